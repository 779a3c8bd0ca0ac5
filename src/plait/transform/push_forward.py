"""Forward mode: from tangents of some nodes to tangents of what depends on them.

Knows only nodes and the `jvp` rules of their records. A record without one has its
`vjp` transposed: a vjp is linear in the cotangent, and the transpose of that linear map
is the jvp.

Read first: `push_forward`, `transposed`.

Source: J. Townsend, "A new trick for calculating Jacobian vector products" (2017), for
a jvp from two vjps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import GradientError
from ..ir.build import PICK, make_input
from ..ir.graph import Node, TensorType, topological_order
from .differentiate import dependents, pull_back


def push_forward(
    outputs: Sequence[Node],
    tangents: Mapping[Node, Node],
    links: Mapping[Node, Node] | None = None,
) -> list[Node | None]:
    """Return the tangent of each of `outputs`, or None where it does not vary.

    Formula: for nodes x_i with tangents t_i, sum over i of dy / dx_i * t_i.

    Args:
        tangents: of one type with their nodes. A node given here is looked at no
            further: the tangent is not added to what would flow to it.
        links: inputs that hold the value of another expression: the derivative comes
            out of that expression.

    Raises:
        GradientError: a primitive on the way has no derivative.
    """
    links = links or {}
    table: dict[Node, Any] = dict(tangents)
    for node in dependents(outputs, tangents, links):
        if node in tangents:
            continue
        if node in links:
            tangent = table.get(links[node])
        elif node.primitive is PICK:
            results = table.get(node.operands[0])
            tangent = results and results[node.attributes["index"]]
        else:
            tangent = _apply_rule(node, [table.get(x) for x in node.operands])
        if tangent is not None:
            table[node] = tangent
    return [table.get(output) for output in outputs]


def _apply_rule(node: Node, tangents: Sequence[Node | None]) -> Any:
    if all(tangent is None for tangent in tangents):
        return None
    if node.primitive.jvp is not None:
        return node.primitive.jvp(tangents, node, *node.operands)
    if node.primitive.vjp is None:
        raise GradientError(
            f"[{node.primitive.name}] has no derivative in forward mode",
            got=f"recorded at {node.where}" if node.where else "",
            fix="detach its operands",
        )
    found = transposed(tangents, node)
    return found[0] if isinstance(node.type, TensorType) else found


def transposed(tangents: Sequence[Node | None], node: Node) -> list[Node | None]:
    """Return the tangent of each result of `node`, derived from its `vjp`.

    The rule is applied to a stand-in for the cotangent, and what comes out is pulled
    back to the stand-in with the tangents as seeds.

    Raises:
        GradientError: the vjp is not linear in the cotangent.
    """
    single = isinstance(node.type, TensorType)
    types: Sequence[TensorType] = (node.type,) if single else node.type
    stands = [
        make_input(type.shape, type.dtype, differentiable=True)
        if type.dtype.is_float
        else None
        for type in types
    ]
    rule: Any = node.primitive.vjp
    wanted = tuple(tangent is not None for tangent in tangents)
    extra = {"wanted": wanted} if node.primitive.selective else {}
    results = rule(stands[0] if single else stands, node, *node.operands, **extra)
    pairs = [
        (result, tangent)
        for result, tangent in zip(results, tangents, strict=True)
        if result is not None and tangent is not None
    ]
    wrt = [stand for stand in stands if stand is not None]
    known = {node, *node.operands}
    found = iter(
        pull_back([r for r, _ in pairs], [t for _, t in pairs], wrt, fixed=known)
    )
    result = [None if stand is None else next(found) for stand in stands]
    known.update(tangent for tangent in tangents if tangent is not None)
    local = topological_order(
        [r for r in result if r is not None], lambda n: n not in known
    )
    if any(stand in local for stand in wrt):
        raise GradientError(
            f"[{node.primitive.name}] has no derivative in forward mode",
            got="a rule for reverse mode that is not linear in the cotangent",
            fix="use reverse mode, or write the rule so that it is linear",
        )
    return result
