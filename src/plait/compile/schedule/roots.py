"""Which nodes get a value of their own, rather than being written out in their users.

Read first: `roots_of`.
"""

from __future__ import annotations

from collections import Counter

from ...ir.build import INPUT
from ...ir.graph import Graph, Node
from ..lower.scalar import cost, is_scalar
from .kinds import CONTRACTION, OPAQUE, PULLED, RESULT, is_moved, kind_of

# An expression that costs less is written out again for each of its users.
_CHEAP = 2
# One that costs as much is not computed again for each element it is expanded to.
_DEAR = 4
_SOURCES = ("constant", "iota")


def roots_of(graph: Graph) -> dict[Node, str]:
    """Return the nodes that have a value of their own, with their kinds, in order."""
    nodes = graph.nodes()
    inputs = set(graph.inputs)
    users = Counter(x for node in nodes for x in dict.fromkeys(node.operands))
    wanted = set(graph.outputs)
    expanded: set[Node] = set()
    kinds = {node: kind_of(node) for node in nodes}
    for node in nodes:
        kind = kinds[node]
        if kind == OPAQUE:
            wanted.update(node.operands)
        elif kind == CONTRACTION:
            wanted.update(_viewed(operand) for operand in node.operands)
        elif node.primitive.name == "gather":
            wanted.add(_viewed(node.operands[0]))
        elif node.primitive.name in ("expand", "windows"):
            (x,) = node.operands
            if node.size > x.size > 1:
                expanded.add(_viewed(x))
    costs: dict[Node, int] = dict.fromkeys(inputs, 0)
    roots: dict[Node, str] = {}
    for node in nodes:
        kind = kinds[node]
        costs[node] = 0
        if kind == PULLED:
            inner = sum(costs[x] for x in node.operands)
            price = cost(node) if is_scalar(node) else _moving_cost(node)
            price += inner
            source = node.primitive.name in _SOURCES
            own = (
                (node in wanted and not (source and node not in graph.outputs))
                or (users[node] > 1 and price >= _CHEAP and not is_moved(node))
                or (node in expanded and price >= _DEAR)
            )
            if not own:
                costs[node] = price
                continue
        roots[node] = kind
    return {node: kind for node, kind in roots.items() if node.primitive is not INPUT}


def _moving_cost(node: Node) -> int:
    name = node.primitive.name
    if name == "random_bits":
        return 120
    return 2 if name in ("pad", "concatenate", "gather", "wrap_index") else 0


def _viewed(node: Node) -> Node:
    """Return what `node` is a view of."""
    while is_moved(node):
        node = node.operands[0]
    return node


__all__ = ["RESULT", "roots_of"]
