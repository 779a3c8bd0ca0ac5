"""What the derivative of a loop need not do in its steps.

A cotangent of a captured value is a sum over all steps. Where each step adds a product,
such as that of its input with its cotangents, the sum over the steps is one product
too, after the loop, of factors that the steps leave behind. And products that steps
have computed on the way forward are kept rather than computed again.

Read first: `products`, `factors`, `total`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set

from ..ir.build import INPUT, apply, rebuild
from ..ir.graph import Node, topological_order
from ..ops import elementwise, movement, reduce
from ..ops.contract import DOT

# Of a sum they give the sum of what they give, up to rounding.
_LINEAR = frozenset(
    (
        elementwise.ADD, elementwise.NEGATIVE, elementwise.CAST, movement.RESHAPE,
        movement.PERMUTE, movement.EXPAND, movement.SLICE, movement.FLIP,
    )
)  # fmt: skip


def products(
    found: Sequence[Node], captured: Collection[Node], seeds: Collection[Node]
) -> list[Node]:
    """Return the products of the forward direction that a derivative needs.

    What is done with the elements of a product before anything else is part of it.

    Args:
        found: cotangents of a body's inputs.
        captured: inputs that are the same in each step: what depends on them alone is
            no work of the steps.
        seeds: cotangents of its outputs.
    """
    needed = topological_order(found)
    backward, steps = {*seeds, *found}, set[Node]()
    users: dict[Node, list[Node]] = {}
    for node in needed:
        for x in dict.fromkeys(node.operands):
            users.setdefault(x, []).append(node)
        if any(x in backward for x in node.operands):
            backward.add(node)
        elif node.operands:
            if any(x in steps for x in node.operands):
                steps.add(node)
        elif node.primitive is INPUT and node not in captured:
            steps.add(node)
    products: dict[Node, None] = {}
    for node in needed:
        if node.primitive is DOT and node in steps and node not in backward:
            while _is_alike(after := users[node], node) and after[0] not in backward:
                (node,) = after
            products[node] = None
    return list(products)


def _is_alike(users: Sequence[Node], node: Node) -> bool:
    """Return whether a node is used once, to compute another of its type."""
    if len(users) > 1:
        return False
    elementwise = users[0].primitive.batch == "elementwise"
    return elementwise and users[0].type is node.type


def factors(cotangent: Node, captured: Set[Node], kept: Set[Node]) -> list[Node] | None:
    """Return what steps must leave behind so that `total` can add up a cotangent.

    Args:
        captured: inputs that are the same in each step.
        kept: what is left behind anyway, which may be added up as it is.

    Returns:
        None if it has another form than sums of products.
    """
    found: dict[Node, None] = {}
    nodes = topological_order([cotangent], lambda node: node.primitive in _LINEAR)
    ends = [x for node in nodes for x in node.operands if x.primitive not in _LINEAR]
    for node in ends or [cotangent]:
        if node.primitive is DOT and captured.isdisjoint(node.operands):
            found.update(dict.fromkeys(node.operands))
        elif node.primitive is reduce.SUM and node.operands[0] in kept:
            found[node.operands[0]] = None
        else:
            return None
    return list(found)


def total(cotangent: Node, stacked: Mapping[Node, Node]) -> Node:
    """Return the sum of a cotangent over all steps.

    Args:
        stacked: for each of its `factors` those of all steps along axis 0.
    """
    totals: dict[Node, Node] = {}
    for node in topological_order([cotangent], lambda node: node not in stacked):
        at = node.attributes
        if node.primitive is DOT:
            axes, batch = (
                (tuple(i + 1 for i in first), tuple(i + 1 for i in second))
                for first, second in (at["axes"], at["batch"])
            )
            x, y = (stacked[one] for one in node.operands)
            axes = (0, *axes[0]), (0, *axes[1])
            totals[node] = apply(DOT, x, y, axes=axes, batch=batch)
        elif node.primitive is reduce.SUM:
            moved = (0, *(axis + 1 for axis in at["axes"]))
            totals[node] = reduce.sum_over(stacked[node.operands[0]], moved)
        else:
            totals[node] = rebuild(node, tuple(totals[x] for x in node.operands))
    return totals[cotangent]
