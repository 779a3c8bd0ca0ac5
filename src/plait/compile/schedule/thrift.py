"""Values written out where they are read, if fewer have to be kept then.

The backward pass of an activation reads several values of the forward pass, such as
`h / 2` and `erfc(h / sqrt(2))`. If all of them are elementwise functions of one value
that the same kernel computes, that one is kept, and they are computed again from it,
in the kernels that read them. What this costs is won by moving fewer bytes.

Read first: `thrifty`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Graph, Node
from ...shapes import size_of
from ..lower.scalar import cost, is_scalar
from .copies import copied, reached
from .group import Group
from .kinds import CONTRACTION, OPAQUE
from .lives import in_arena, stored

# Smaller values are not worth it.
_LEAST_BYTES = 1 << 16
# An expression that costs more, in additions, is rather kept.
_DEAR = 40


def thrifty(groups: Sequence[Group], graph: Graph) -> tuple[list[Group], Graph]:
    """Return groups that keep fewer values for one another, with new nodes."""
    given = {*graph.inputs, *graph.outputs}
    wanted = stored(groups, graph)
    readers: dict[Node, list[Group]] = {}
    for one in groups:
        for x in one.reads:
            readers.setdefault(x, []).append(one)
    instead: dict[Node, list[Node]] = {}
    for one in groups:
        found: dict[Node, list[Node]] = {}
        for node in one.members:
            if (
                node in wanted
                and in_arena(node, given)
                and node.type.nbytes >= _LEAST_BYTES
                and all(_can_compute(reader, node) for reader in readers.get(node, ()))
            ):
                ends = _ends(one, node, set(graph.inputs))
                if ends is not None:
                    found[node] = ends
        kept = {x for ends in found.values() for x in ends}
        new = kept - wanted - set(graph.inputs)
        before = sum(x.type.nbytes for x in found)
        if before > sum(x.type.nbytes for x in new):
            instead.update(found)
    if not instead:
        return list(groups), graph
    current: dict[Node, Node] = {}
    result: list[Group] = []
    # Each has more before it than those that it needs.
    for one in sorted(groups, key=lambda x: (x.before.bit_count(), x.number)):
        reads = dict.fromkeys(y for x in one.reads for y in instead.get(x, (x,)))
        result.append(copied(one, one.members, current, reads))
    graph = Graph(graph.inputs, [current.get(x, x) for x in graph.outputs])
    return sorted(_needed(result, graph), key=lambda x: x.number), graph


def _needed(groups: Sequence[Group], graph: Graph) -> set[Group]:
    """Return the groups that make outputs, or what these need.

    Nobody needs a group any more all of whose values others compute again.
    """
    home = {node: one for one in groups for node in one.members}
    found: set[Group] = set()
    stack = [home[x] for x in graph.outputs if x in home]
    while stack:
        one = stack.pop()
        if one not in found:
            found.add(one)
            stack += [home[x] for x in (*one.reads, *one.waits) if x in home]
    return found


def _can_compute(reader: Group, node: Node) -> bool:
    """Return whether a group could compute what it reads, once for each element."""
    if reader.kind == OPAQUE or size_of(reader.shape) != node.size:
        return False
    return reader.kind != CONTRACTION or node not in reached(
        reader.head.operands, {*reader.reads}
    )


def _ends(one: Group, node: Node, inputs: set[Node]) -> list[Node] | None:
    """Return the members and inputs that a member is an elementwise function of.

    None if there are others, or it would cost too much.
    """
    if one.kind == OPAQUE or (node is one.head and one.kind == CONTRACTION):
        return None
    ends: dict[Node, None] = {}
    seen: set[Node] = set()
    total = 0
    stack = [node]
    while stack:
        x = stack.pop()
        if x in seen:
            continue
        seen.add(x)
        if (
            x in inputs
            or x in one.spaces
            or (x is one.head and one.kind == CONTRACTION)
        ):
            ends[x] = None
            continue
        if x in one.reads or (x.dtype.bits == 16 and x.dtype.is_float):
            return None
        if is_scalar(x):
            total += cost(x)
        elif x.operands and x.size != x.operands[0].size and x.operands[0].ndim > 1:
            return None
        stack += x.operands
    return list(ends) if 0 < total <= _DEAR and node not in ends else None
