"""Values computed again where they are needed late, to hold less memory at once.

The groups are run as a play, in which only so many bytes may be held: where there is
no room, a value is dropped that costs little to compute again, is large, and is not
needed soon; where a dropped value is needed, its group is run again, and before it
those for what it reads. Which one to drop is decided as in "Dynamic Tensor
Rematerialization" (Kirisame et al., 2021), but by when it is needed next, which is
known here, rather than by when it was used last. Several plays with more or less room
are tried.

A group that runs again is a copy of the group, on copies of its nodes: it becomes the
same kernel and gives the same bits.

Read first: `within`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from ...ir.graph import Graph, Node
from ...shapes import size_of
from ..lower.scalar import cost
from .copies import copied, part_of
from .group import Group
from .kinds import CONTRACTION, OPAQUE
from .lives import in_arena, most_held, nbytes_of, stored

# Parts of the room that values are dropped for in turn. They are above 1 too, as a play
# holds a value until it is dropped, and a program until it is read for the last time.
# Those far above it are for a room that is too small for any play.
_ROOMS = (6.0, 4.0, 3.0, 2.0, 1.5, 1.3, 1.15, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
# How much what is needed next counts: these are powers of the time until then.
_POWERS = (1.0, 0.0)
# Orders that hold as much more than the best one are not tried.
_FAR = 1.25
# A play is given up if it costs as much more than without computing anything again.
_MOST_PRICE = 3.0
# And after as many steps of looking for what to drop.
_MOST_STEPS = 300_000
# Operations that take as long as moving a byte; those of a contraction are faster.
_PER_BYTE, _PER_BYTE_DOT = 2.0, 8.0
_LAUNCH = 2_000.0  # bytes that could be moved while a kernel starts


@dataclass(frozen=True)
class _Run:
    """One run of a group in a play.

    Attributes:
        members: which of its values it makes.
        again: it ran before; else it makes outputs of the graph too.
    """

    group: int
    members: frozenset[int]
    again: bool = True


def within(
    orders: Sequence[Sequence[Group]], graph: Graph, room: int
) -> tuple[list[Group], Graph]:
    """Return groups in order that hold at most `room` bytes of the arena at once.

    If that cannot be, they hold as few as was found. Some groups come several times
    then, as groups of their own, and nodes of the graph have others in their places.

    Args:
        orders: of the groups. Some are better than others if much is computed again.
    """
    least = most_held(orders[0], graph)
    best: tuple[list[_Run], _Stage] | None = None
    rank = (least <= room, 0.0, -least)
    distinct = {
        tuple(x.number for x in order): order
        for order in orders
        if most_held(order, graph) <= _FAR * least
    }
    stages = [_Stage(order, graph) for order in distinct.values()]
    for stage, power in product(stages, _POWERS):
        # The more room a play has, the less it computes again.
        low, high = 0, len(_ROOMS)
        while low < high:
            middle = (low + high) // 2
            base = max(room, stage.widest)
            runs = _Play(stage, int(_ROOMS[middle] * base), power).runs()
            if runs is None:
                high = middle
                continue
            most = stage.most_held(runs)
            fits = most <= room
            if fits:
                high = middle
            else:
                low = middle + 1
            # What fits is best if it takes little time, else if it holds little.
            price = sum(map(stage.price, runs)) if fits else 0.0
            if (fits, -price, -most) > rank:
                best, rank = (runs, stage), (fits, -price, -most)
    if best is None:
        return list(orders[0]), graph
    return _performed(*best)


class _Stage:
    """What plays of the same groups share.

    Values are the stored members that lie in the arena, as numbers.

    Attributes:
        values: their nodes.
        sizes, home: the bytes of a value, and its group.
        made: the values of each group.
        uses: the groups that read each value, in order.
        reads: what each group reads for all of its members.
        widest: the bytes that a group needs for what it reads and makes, at most.
        prices, sources: what it costs to compute each value alone, and what is read.
    """

    def __init__(self, groups: Sequence[Group], graph: Graph) -> None:
        self.groups = groups
        self.graph = graph
        inputs = set(graph.inputs)
        given = {*inputs, *graph.outputs}
        wanted = stored(groups, graph)
        self.values = [
            x for g in groups for x in g.members if x in wanted and in_arena(x, given)
        ]
        self.index = {node: i for i, node in enumerate(self.values)}
        self.sizes = [nbytes_of(x) for x in self.values]
        self.home = [0] * len(self.values)
        self.made: list[list[int]] = []
        self.reads: list[list[int]] = []
        self.uses: list[list[int]] = [[] for _ in self.values]
        for at, one in enumerate(groups):
            self.made.append([self.index[x] for x in one.members if x in self.index])
            self.reads.append([self.index[x] for x in one.reads if x in self.index])
            for i in self.made[at]:
                self.home[i] = at
            for i in self.reads[at]:
                self.uses[i].append(at)
        sides = zip(self.reads, self.made, strict=True)
        self.widest = max(
            [sum(self.sizes[i] for i in (*read, *made)) for read, made in sides],
            default=0,
        )
        # Inputs that an output may take the place of once a group has read them.
        self._replaced: dict[Node, int] = {}
        for at, one in enumerate(groups):
            types = {x.type for x in one.members if x in given}
            for x in one.reads:
                self._replaced.pop(x, None)
                if x in inputs and x.type in types:
                    self._replaced[x] = at
        self._parts: dict[_Run, tuple[float, list[int], list[Node]]] = {}
        alone = [_Run(at, frozenset((i,))) for i, at in enumerate(self.home)]
        self.prices = [self.price(run) for run in alone]
        self.sources = [self.reads_of(run) for run in alone]

    def first(self, at: int) -> _Run:
        """Return the first run of a group, which makes all of its values."""
        return _Run(at, frozenset(self.made[at]), again=False)

    def price(self, run: _Run) -> float:
        """Return what a run costs."""
        return self._part(run)[0]

    def reads_of(self, run: _Run) -> list[int]:
        """Return the values that a run reads."""
        return self._part(run)[1]

    def group_of(self, run: _Run) -> Group:
        """Return a group with only the members that are needed for a run."""
        one = self.groups[run.group]
        if not run.again:
            return one
        return part_of(one, [self.values[i] for i in sorted(run.members)])

    def _part(self, run: _Run) -> tuple[float, list[int], list[Node]]:
        found = self._parts.get(run)
        if found is None:
            one = self.group_of(run)
            reads = [self.index[x] for x in one.reads if x in self.index]
            old = [x for x in one.reads if x in self._replaced]
            found = self._parts[run] = (price_of(one), reads, old)
        return found

    def most_held(self, runs: Sequence[_Run]) -> int:
        """Return the most bytes that are held at once if groups run like this.

        An output that cannot take the place of an input counts, as it is read again.
        """
        kept: dict[Node, int] = {}
        done: set[int] = set()
        for run in runs:
            done.add(run.group)
            for x in self._part(run)[2]:
                if run.again and self._replaced[x] in done:
                    kept[x] = nbytes_of(x)
        current: dict[int, int] = {}  # value -> the run that made it last
        last: dict[tuple[int, int], int] = {}
        for at, run in enumerate(runs):
            for i in self.reads_of(run):
                last[i, current[i]] = at
            for i in run.members:
                current[i] = at
                last[i, at] = at
        dying: list[list[int]] = [[] for _ in runs]
        for (i, _), at in last.items():
            dying[at].append(i)
        held = most = sum(kept.values())
        for at, run in enumerate(runs):
            held += sum(self.sizes[i] for i in run.members)
            most = max(most, held)
            held -= sum(self.sizes[i] for i in dying[at])
        return most


class _Play:
    """One way to run the groups with so many bytes at once.

    Args:
        power: see `_POWERS`.
    """

    def __init__(self, stage: _Stage, room: int, power: float) -> None:
        self.stage = stage
        self.room = room
        self.power = power
        self.now = 0
        self.held = 0
        self.steps = 0
        self.price = 0.0
        self.result: list[_Run] = []
        count = len(stage.values)
        self.here = [False] * count
        self.known = [False] * count  # it was computed before
        self.pins = [0] * count
        self.turn = [0] * count  # how many of its uses are over
        # What was found out about values: 0 is nothing.
        self.price_of = [0.0] * count
        self.next_of = [0.0] * count

    def runs(self) -> list[_Run] | None:
        """Return the runs of groups in order; None if they would cost too much."""
        stage = self.stage
        firsts = [stage.first(at) for at in range(len(stage.groups))]
        limit = _MOST_PRICE * sum(map(stage.price, firsts))
        for at, first in enumerate(firsts):
            self.now = at
            if not self._run(first, limit):
                return None
            for i in stage.reads[at]:
                self.turn[i] += 1
                self.price_of[i] = 0.0
            for i in (*stage.reads[at], *stage.made[at]):
                self._drop_if_idle(i)
        return self._read(self.result)

    def _read(self, runs: Sequence[_Run]) -> list[_Run]:
        """Return runs without those members of later ones that nobody reads."""
        stage = self.stage
        read: set[int] = set()
        result: list[_Run] = []
        for run in reversed(runs):
            if run.again:
                wanted = run.members & read
                if not wanted:
                    continue
                read -= run.members
                run = _Run(run.group, wanted)
            read.update(stage.reads_of(run))
            result.append(run)
        return result[::-1]

    def _run(self, run: _Run, limit: float) -> bool:
        """Run a group, and before it the groups for what is not here any more."""
        stage = self.stage
        stack: list[tuple[_Run, list[int]]] = []
        self._open(stack, run)
        while stack:
            if self.price > limit or self.steps > _MOST_STEPS:
                return False
            one, reads = stack[-1]
            missing = [i for i in reads if not self.here[i]]
            if missing:
                at = stage.home[missing[0]]
                again = frozenset(i for i in missing if stage.home[i] == at)
                self._open(stack, self._with_others(_Run(at, again)))
                continue
            stack.pop()
            new = [i for i in sorted(one.members) if not self.here[i]]
            self._make_room(sum(stage.sizes[i] for i in new))
            for i in new:
                self.here[i] = self.known[i] = True
                self.held += stage.sizes[i]
                # Its neighbours are cheaper now.
                for x in (i, *stage.sources[i]):
                    self.price_of[x] = 0.0
                for at in stage.uses[i]:
                    for x in stage.made[at]:
                        self.price_of[x] = 0.0
            self.result.append(one)
            self.price += stage.price(one)
            for i in reads:
                self.pins[i] -= 1
            for i in new:
                # Those who wait need them now.
                self.pins[i] = sum(i in waiting for _, waiting in stack)
            if stack:
                for i in reads:
                    self._drop_if_idle(i)
        return True

    def _open(self, stack: list[tuple[_Run, list[int]]], run: _Run) -> None:
        reads = self.stage.reads_of(run)
        for i in reads:
            if self.here[i]:
                self.pins[i] += 1
        stack.append((run, reads))

    def _with_others(self, run: _Run) -> _Run:
        """Return a run that makes what else is needed later, if there is room."""
        stage = self.stage
        others = [
            i
            for i in stage.made[run.group]
            if not self.here[i] and self.turn[i] < len(stage.uses[i])
        ]
        full = _Run(run.group, run.members.union(others))
        if self.held + sum(stage.sizes[i] for i in full.members) > self.room:
            return run
        reads = stage.reads_of(run)
        if any(not self.here[i] for i in stage.reads_of(full) if i not in reads):
            return run
        return full

    def _make_room(self, nbytes: int) -> None:
        while self.held + nbytes > self.room:
            free = [i for i, here in enumerate(self.here) if here and not self.pins[i]]
            if not free:
                return
            # What was found out before is mostly true still: only of the least worth
            # one it is found out again.
            least = min(free, key=self._worth)
            before = self._worth(least)
            self.price_of[least] = 0.0
            if self._worth(least) <= before or least == min(free, key=self._worth):
                self._drop(least)

    def _worth(self, i: int) -> float:
        """Return what keeping a value saves, for each byte and for the time."""
        if not self.price_of[i]:
            following = self._missing_after(i)
            prices = self.stage.prices
            self.price_of[i] = self._price_of(i) + sum(prices[x] for x in following)
            self.next_of[i] = self._next_use(i, following)
        ahead = max(self.next_of[i] - self.now, 0) + 1
        urgent: float = ahead**-self.power
        return self.price_of[i] / self.stage.sizes[i] * urgent

    def _price_of(self, i: int) -> float:
        """Return what it would cost to compute a value again now."""
        stage = self.stage
        price = 0.0
        done = {i}
        homes: set[int] = set()
        stack = [i]
        while stack:
            self.steps += 1
            x = stack.pop()
            if stage.home[x] not in homes:
                homes.add(stage.home[x])
                price += stage.prices[x]
            for y in stage.sources[x]:
                if not self.here[y] and y not in done:
                    done.add(y)
                    stack.append(y)
        return price

    def _missing_after(self, i: int) -> set[int]:
        """Return the values not here any more that are computed with a value."""
        stage = self.stage
        found: set[int] = set()
        stack = [i]
        while stack:
            for at in stage.uses[stack.pop()]:
                if at > self.now:
                    break
                for x in stage.made[at]:
                    self.steps += 1
                    if self.known[x] and not self.here[x] and x not in found:
                        found.add(x)
                        stack.append(x)
        return found

    def _next_use(self, i: int, following: Iterable[int]) -> float:
        """Return which group needs a value next, or what is computed with it."""
        stage = self.stage
        return min(
            (
                stage.uses[x][self.turn[x]]
                for x in (i, *following)
                if self.turn[x] < len(stage.uses[x])
            ),
            default=math.inf,
        )

    def _drop_if_idle(self, i: int) -> None:
        if (
            self.here[i]
            and not self.pins[i]
            and self.turn[i] >= len(self.stage.uses[i])
            and self._next_use(i, self._missing_after(i)) == math.inf
        ):
            self._drop(i)

    def _drop(self, i: int) -> None:
        self.here[i] = False
        self.held -= self.stage.sizes[i]


def price_of(one: Group) -> float:
    """Return about how long a group takes, in bytes that could be moved meanwhile."""
    moved = sum(nbytes_of(x) for x in one.reads) + sum(map(nbytes_of, one.members))
    flops = float(size_of(one.shape) * len(one.members))
    if one.kind == CONTRACTION:
        x = one.head.operands[0]
        inner = (
            size_of(one.head.operands[1].shape[1:])
            if one.head.primitive.name == "convolution"
            else size_of(tuple(x.shape[a] for a in one.head.attributes["axes"][0]))
        )
        flops += 2 * one.head.size * inner * _PER_BYTE / _PER_BYTE_DOT
    elif one.kind == OPAQUE:
        flops += 8 * moved * one.head.attributes.get("length", 1)
    else:
        flops += sum(cost(x) * x.size for x in one.members if x not in one.spaces)
    return _LAUNCH + moved + flops / _PER_BYTE


def _performed(runs: Sequence[_Run], stage: _Stage) -> tuple[list[Group], Graph]:
    """Return the groups of a play, each on nodes of its own."""
    current: dict[Node, Node] = {}
    result: list[Group] = []
    for run in runs:
        one = stage.group_of(run)
        made = {stage.values[i] for i in run.members} if run.again else one.members
        result.append(copied(one, made, current))
    outputs = [current.get(x, x) for x in stage.graph.outputs]
    return result, Graph(stage.graph.inputs, outputs)
