"""Groups like others, on nodes of their own.

Read first: `copied`, `part_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...ir.graph import Node
from .group import Group
from .kinds import CONTRACTION, OPAQUE


def part_of(one: Group, wanted: Sequence[Node]) -> Group:
    """Return a group with only those members that `wanted` ones need."""
    if one.kind == OPAQUE:
        members = [x for i, x in enumerate(one.members) if not i or x in wanted]
        return replace(one, members=members)
    needed = set(wanted)
    for node in reversed(one.members):
        if node in needed:
            needed.update(one.inner_reads[node])
    if one.kind == CONTRACTION:
        needed.add(one.head)
    members = [x for x in one.members if x in needed]
    seen = reached(members, {*one.reads})
    part = replace(
        one,
        members=members,
        roles={x: role for x, role in one.roles.items() if x in needed},
        spaces={x: role for x, role in one.spaces.items() if x in needed},
        reads={x: None for x in one.reads if x in seen},
        inner_reads={x: y for x, y in one.inner_reads.items() if x in needed},
    )
    if not part.spaces and not any(map(part.is_row, members)):
        part.reduced = None
    return part


def reached(members: Iterable[Node], ends: set[Node]) -> set[Node]:
    """Return what members are computed from, not beyond `ends`."""
    found: set[Node] = set()
    stack = list(members)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if node not in ends:
                stack += node.operands
    return found


def copied(
    one: Group,
    made: Iterable[Node],
    current: dict[Node, Node],
    reads: Iterable[Node] | None = None,
) -> Group:
    """Return a group on copies of its nodes.

    Args:
        made: the members whose copies are the current ones afterwards.
        current: for nodes that were copied before the copies that are to be read.
        reads: what it reads, if that is something else than before.
    """
    reads = list(one.reads if reads is None else reads)
    new = {x: current.get(x, x) for x in reads}
    stack = list(reversed(one.members))
    while stack:
        node = stack[-1]
        waiting = [x for x in node.operands if x not in new]
        if node not in new and waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        if node not in new:
            # Inputs and constants are nobody's: they have no copies.
            new[node] = _copy(node, [new[x] for x in node.operands])
    current.update((x, new[x]) for x in made)
    return replace(
        one,
        members=[new[x] for x in one.members],
        roles={new[x]: role for x, role in one.roles.items()},
        spaces={new[x]: role for x, role in one.spaces.items()},
        reads={new[x]: None for x in reads},
        inner_reads={
            new[x]: [new[y] for y in inner] for x, inner in one.inner_reads.items()
        },
        waits={current.get(x, x): None for x in one.waits},
    )


def _copy(node: Node, operands: Sequence[Node]) -> Node:
    if not operands:
        return node
    return Node(
        node.primitive, tuple(operands), node.attributes, node.type,
        node.differentiable, node.weak, node.where,
    )  # fmt: skip
