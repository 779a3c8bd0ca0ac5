"""From when to when values lie in memory, given groups in order.

Planning memory, ordering groups and computing values again all ask here, so that they
cannot disagree.

Read first: `stored`, `last_uses`, `held_bytes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...ir.graph import Graph, Node, TensorType
from .arena import aligned
from .group import Group
from .kinds import OPAQUE, PULLED

_CONSTANTS = ("constant", "iota")


def stored(groups: Iterable[Group], graph: Graph) -> set[Node]:
    """Return the members that get memory: outputs, and what other groups read."""
    groups = list(groups)
    home = {node: one for one in groups for node in one.members}
    wanted = set(graph.outputs)
    for one in groups:
        for node in one.reads:
            if home.get(node) is not one:
                wanted.add(node)
    return wanted


def last_uses(groups: Sequence[Group]) -> dict[Node, int]:
    """Return for each value the number of the last group that makes or reads it."""
    last: dict[Node, int] = {}
    for at, one in enumerate(groups):
        for node in (*one.members, *one.reads):
            last[node] = at
    return last


def in_arena(node: Node, given: Collection[Node]) -> bool:
    """Return whether a stored value lies in the arena: not among constants.

    Args:
        given: inputs and outputs, which have memory of their own.
    """
    return node not in given and node.primitive.name not in _CONSTANTS


def nbytes_of(node: Node) -> int:
    """Return how many bytes a node takes in the arena."""
    types = [node.type] if isinstance(node.type, TensorType) else node.type
    return sum(aligned(type.nbytes) for type in types)


def held_bytes(groups: Sequence[Group], graph: Graph) -> list[int]:
    """Return how many bytes of the arena are in use while each group runs.

    What kernels of a contraction share for a while is not counted.
    """
    given = {*graph.inputs, *graph.outputs}
    wanted = stored(groups, graph)
    last = last_uses(groups)
    dying: list[list[Node]] = [[] for _ in groups]
    for node, at in last.items():
        dying[at].append(node)
    made: set[Node] = set()
    held = 0
    result: list[int] = []
    for at, one in enumerate(groups):
        new = [x for x in one.members if x in wanted and in_arena(x, given)]
        extra = 0
        if one.kind == OPAQUE and not isinstance(one.head.type, TensorType):
            extra = nbytes_of(one.head) - sum(map(nbytes_of, one.members[1:]))
        dead = [x for x in dying[at] if x in made]
        spare = [x.type for x in dead] if one.kind == PULLED else []
        for node in new:
            # It may lie where an operand lies that nobody needs afterwards.
            if node.type in spare:
                spare.remove(node.type)
                extra -= nbytes_of(node)
            held += nbytes_of(node)
            made.add(node)
        result.append(held + extra)
        held -= sum(nbytes_of(x) for x in dying[at] if x in made)
    return result


def most_held(groups: Sequence[Group], graph: Graph) -> int:
    """Return the most bytes of the arena that are in use at once."""
    return max(held_bytes(groups, graph), default=0)
