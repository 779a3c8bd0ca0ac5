"""Reverse mode: from cotangents of outputs to cotangents of what they depend on.

Knows only nodes and the `vjp` rules of their records.

Read first: `pull_back`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import GradientError
from ..ir.build import PICK, recorded_for
from ..ir.graph import Node, topological_order
from ..ops import elementwise


def pull_back(
    outputs: Sequence[Node],
    cotangents: Sequence[Node],
    wrt: Collection[Node],
    links: Mapping[Node, Node] | None = None,
    overrides: Mapping[Node, Node] | None = None,
    fixed: Collection[Node] = (),
) -> list[Node | None]:
    """Return the cotangent of each of `wrt`, or None where no output depends on it.

    Formula: for outputs y_i with cotangents c_i, sum over i of c_i * dy_i / dw.

    Args:
        links: inputs that hold the value of another expression: the derivative goes on
            through that expression.
        overrides: nodes whose accumulated cotangent is replaced by another.
        fixed: nodes known not to depend on `wrt`: what they need is not searched.

    Raises:
        GradientError: a primitive on the way has no derivative.
    """
    links = links or {}
    overrides = overrides or {}
    order = dependents(outputs, wrt, links, fixed)
    on_path = set(order)
    table: dict[Node, Any] = {}
    for output, seed in zip(outputs, cotangents, strict=True):
        if output in on_path:
            _accumulate(table, output, seed)
    for node in reversed(order):
        if node in overrides:
            table[node] = overrides[node]
        cotangent = table.get(node)
        if cotangent is None:
            continue
        if node in links:
            _accumulate(table, links[node], cotangent)
        elif node.primitive is PICK:
            source = node.operands[0]
            results = table.setdefault(source, [None] * len(source.type))
            index = node.attributes["index"]
            before = results[index]
            results[index] = (
                cotangent if before is None else elementwise.add(before, cotangent)
            )
        elif node.operands:
            # So that costs and errors are those of the line that is differentiated.
            with recorded_for(node):
                _apply_rule(table, node, cotangent, on_path)
    return [table.get(node) for node in wrt]


def _accumulate(table: dict[Node, Any], node: Node, cotangent: Node) -> None:
    before = table.get(node)
    table[node] = cotangent if before is None else elementwise.add(before, cotangent)


def _apply_rule(
    table: dict[Node, Any], node: Node, cotangent: Any, on_path: set[Node]
) -> None:
    rule = node.primitive.vjp
    if rule is None:
        raise GradientError(
            f"[{node.primitive.name}] has no derivative in reverse mode",
            got=f"recorded at {node.where}" if node.where else "",
            fix="detach its operands, use plait.jvp, or wrap it in plait.custom_vjp",
        )
    wanted = tuple(operand in on_path for operand in node.operands)
    extra = {"wanted": wanted} if node.primitive.selective else {}
    results = rule(cotangent, node, *node.operands, **extra)
    for operand, result, use in zip(node.operands, results, wanted, strict=True):
        if result is not None and use:
            _accumulate(table, operand, result)


def dependents(
    outputs: Sequence[Node],
    wrt: Collection[Node],
    links: Mapping[Node, Node],
    fixed: Collection[Node] = (),
) -> list[Node]:
    """Return the nodes between `wrt` and `outputs`, both included, operands first."""
    order = linked_order(outputs, links, fixed)
    reached = set(wrt)
    result = []
    for node in order:
        if not node.differentiable:
            continue
        if (
            node in reached
            or any(operand in reached for operand in node.operands)
            or (node in links and links[node] in reached)
        ):
            reached.add(node)
            result.append(node)
    return result


def linked_order(
    outputs: Sequence[Node], links: Mapping[Node, Node], fixed: Collection[Node]
) -> list[Node]:
    """Return a topological order in which a linked input comes after its expression."""
    if not links:
        return topological_order(
            outputs, lambda node: node.differentiable and node not in fixed
        )
    order: list[Node] = []
    done: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in done or not node.differentiable:
            continue
        needs = (links[node],) if node in links else node.operands
        waiting = [n for n in needs if n not in done and n.differentiable]
        if waiting:
            stack.append(node)
            stack.extend(waiting)
        else:
            done.add(node)
            order.append(node)
    return order
