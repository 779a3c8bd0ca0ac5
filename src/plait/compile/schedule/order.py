"""In which order groups run.

Read first: `ordered`, `orders`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ...ir.graph import Graph, Node
from .group import Group
from .lives import held_bytes, in_arena, most_held, nbytes_of, stored
from .roots import CHECKS

# Orders whose peaks differ by less are equally good, and then the one in which values
# live for a short time is better: they are likely to be in the caches still.
_WORTH = 0.97

Groups = Mapping[Group, set[Group]]


def ordered(groups: Sequence[Group], graph: Graph) -> list[Group]:
    """Return the groups in the best of `orders`: the one that needs least memory."""
    best, *others = orders(groups, graph)
    if not others:
        return best
    held = held_bytes(best, graph)
    least, area = max(held), sum(held)
    for order in others:
        held = held_bytes(order, graph)
        if max(held) < _WORTH * least or (
            max(held) * _WORTH <= least and sum(held) < _WORTH * area
        ):
            best, least, area = order, max(held), sum(held)
    return best


def orders(groups: Sequence[Group], graph: Graph) -> list[list[Group]]:
    """Return orders of the groups in which each comes after what it needs.

    In the first one they run as they were recorded. Others begin with what the last
    output needs, which often is what the backward pass comes to first, or bring groups
    forward whose operands need no memory any more.

    A group that makes an output from an input of the same type, as an optimizer's
    update does, waits for those who read the old value, so that the new one can take
    its place.
    """
    home = {node: one for one in groups for node in one.members}
    inputs, outputs = set(graph.inputs), set(graph.outputs)
    readers: dict[Node, list[Group]] = defaultdict(list)
    needs: dict[Group, set[Group]] = {}
    for one in groups:
        needs[one] = {home[x] for x in (*one.reads, *one.waits) if x in home} - {one}
        for x in one.reads:
            if x in inputs:
                readers[x].append(one)
    waits: dict[Group, set[Group]] = {}
    for one in groups:
        types = {node.type for node in one.members if node in outputs}
        waits[one] = {
            other
            for x in one.reads
            if x in inputs and x.type in types and x.size > 1
            for other in readers[x]
            if other is not one and not other.before >> one.number & 1
        }
    # What checks inputs comes first: once it has passed, nothing can go wrong any more.
    last = len(groups)
    early = {one for one in groups if one.head.primitive.name in CHECKS}
    recorded = {one: one.number - last * (one in early) for one in groups}
    first = _listed(groups, recorded, needs, waits)
    if len(groups) == 1 or not most_held(first, graph):
        return [first]
    ends = [home[x] for x in graph.outputs if x in home]
    backwards = {
        one: number - last * (one in early)
        for one, number in _backwards(ends, needs).items()
    }
    release = _Release(groups, graph)
    return [
        first,
        _listed(groups, recorded, needs, waits, release),
        _listed(groups, backwards, needs, waits, release),
        _listed(groups, backwards, needs, waits),
    ]


def _backwards(ends: Sequence[Group], needs: Groups) -> dict[Group, int]:
    """Return when each group is needed if the last end is computed first."""
    numbers: dict[Group, int] = {}
    stack = list(ends)
    while stack:
        one = stack[-1]
        waiting = [x for x in needs[one] if x not in numbers and x is not one]
        if one in numbers or not waiting:
            numbers.setdefault(one, len(numbers))
            stack.pop()
        else:
            stack += sorted(waiting, key=lambda x: -x.number)
    assert len(numbers) == len(needs)  # outputs need all groups
    return numbers


def _listed(
    groups: Sequence[Group],
    numbers: Mapping[Group, int],
    needs: Groups,
    waits: Groups,
    release: _Release | None = None,
) -> list[Group]:
    """Return groups by their numbers, each once what it needs and waits for is there.

    Args:
        release: those that it names are taken first.
    """
    users: dict[Group, list[Group]] = defaultdict(list)
    left: dict[Group, int] = {}
    for one in groups:
        before = needs[one] | waits[one]
        left[one] = len(before)
        for other in before:
            users[other].append(one)
    by_number = {numbers[one]: one for one in groups}
    ready = [numbers[one] for one in groups if not left[one]]
    heapq.heapify(ready)
    result: list[Group] = []
    done: set[Group] = set()
    waiting = set(groups)
    first: list[int] = []  # numbers of those that are taken first
    if release is not None:
        release.begin()
        first = [n for n in ready if release.frees(by_number[n])]
        heapq.heapify(first)
    while waiting:
        if not ready:
            # Two updates wait for one another: let one go first.
            free = min(
                (g for g in waiting if needs[g] <= done), key=lambda g: numbers[g]
            )
            left[free] = 0
            ready = [numbers[free]]
        one = by_number[heapq.heappop(first or ready)]
        if one in done:
            continue
        done.add(one)
        waiting.discard(one)
        result.append(one)
        fresh = release.ran(one) if release is not None else set()
        for user in users[one]:
            left[user] -= 1
            if left[user] == 0 and user in waiting:
                heapq.heappush(ready, numbers[user])
                fresh.add(user)
        if release is not None:
            for other in fresh & waiting:
                if left[other] <= 0 and release.frees(other):
                    heapq.heappush(first, numbers[other])
    return result


class _Release:
    """Knows which groups would leave no more memory in use than there is now."""

    def __init__(self, groups: Sequence[Group], graph: Graph) -> None:
        given = {*graph.inputs, *graph.outputs}
        wanted = stored(groups, graph)
        made = {x for one in groups for x in one.members}
        self._sizes = {
            x: nbytes_of(x) for x in wanted if x in made and in_arena(x, given)
        }
        self._reads = {
            one: [x for x in (*one.reads, *one.members) if x in self._sizes]
            for one in groups
        }
        self._grows = {
            one: sum(self._sizes.get(x, 0) for x in one.members) for one in groups
        }
        self._users: dict[Node, list[Group]] = defaultdict(list)
        for one in groups:
            for x in self._reads[one]:
                self._users[x].append(one)
        self._counts = Counter({x: len(users) for x, users in self._users.items()})
        self._left = Counter(self._counts)

    def begin(self) -> None:
        self._left = Counter(self._counts)

    def frees(self, one: Group) -> bool:
        """Return whether no more memory is in use after a group than before it."""
        freed = sum(self._sizes[x] for x in self._reads[one] if self._left[x] == 1)
        return self._grows[one] <= freed

    def ran(self, one: Group) -> set[Group]:
        """Return those that may free something, now that a group has run."""
        found: set[Group] = set()
        for x in self._reads[one]:
            self._left[x] -= 1
            if self._left[x] == 1:
                found.update(self._users[x])
        return found
