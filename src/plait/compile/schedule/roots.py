"""Which nodes get a value of their own, rather than being written out in their users.

Read first: `roots_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain

from ...ir.build import INPUT
from ...ir.graph import Graph, Node
from ..lower.opaque import operands_of
from ..lower.pull import is_moved, moving_cost
from ..lower.scalar import cost, is_scalar
from .kinds import CONTRACTION, OPAQUE, PULLED, REDUCTION, kind_of

# An expression that costs less is written out again for each of its users.
_CHEAP = 2
# One that only reads inputs of the graph, which lie in memory anyway, may cost more: a
# value of its own would make all of its users wait for one another.
_CHEAP_OF_INPUTS = 6
# One that costs as much is not computed again for each element it is expanded to.
_DEAR = 4
# Longer chains are cut: they make large kernels, and moves are written recursively.
_MOST_MOVES, _MOST_STEPS = 24, 200
_SOURCES = ("constant", "iota")
# What checks inputs of the graph has a value of its own, so that it can be first.
CHECKS = ("class_number",)


def roots_of(graph: Graph) -> dict[Node, str]:
    """Return the nodes that have a value of their own, with their kinds, in order."""
    nodes = graph.nodes()
    inputs = set(graph.inputs)
    users = Counter(x for node in nodes for x in dict.fromkeys(node.operands))
    wanted = set(graph.outputs)
    given: set[Node] = set(graph.outputs)
    expanded: set[Node] = set()
    kinds = {node: kind_of(node) for node in nodes}
    for node in nodes:
        kind = kinds[node]
        if kind == OPAQUE:
            needed = operands_of(node)
            wanted.update(needed)
            given.update(x for x in needed if x.primitive.name != "constant")
        elif kind == CONTRACTION:
            wanted.update(_viewed(operand) for operand in node.operands)
            if node.primitive.name == "convolution":
                wanted.update(_cut(operand) for operand in node.operands)
        elif node.primitive.name in ("gather", "search_sorted"):
            wanted.add(_viewed(node.operands[0]))
        elif node.primitive.name in ("expand", "windows"):
            (x,) = node.operands
            if node.size > x.size > 1:
                expanded.add(_viewed(x))
            if _viewed(x).primitive.name == "pad" and _is_strided(node):
                # Elements apart from one another, some of which are not there, would
                # be read one by one.
                wanted.add(_viewed(x))
    costs: dict[Node, int] = dict.fromkeys(inputs, 0)
    of_inputs = dict.fromkeys(inputs, True)
    depths = dict.fromkeys(inputs, (0, 0))
    roots: dict[Node, str] = {}
    for node in nodes:
        kind = kinds[node]
        costs[node] = 0
        depths[node] = (0, 0)
        of_inputs[node] = False
        if kind == PULLED:
            inner = sum(costs[x] for x in node.operands)
            price = cost(node) if is_scalar(node) else _moving_cost(node)
            price += inner
            of_inputs[node] = all(of_inputs[x] for x in node.operands)
            cheap = _CHEAP_OF_INPUTS if of_inputs[node] else _CHEAP
            source = node.primitive.name in _SOURCES
            own = (
                (node in wanted and not (source and node not in given))
                or (users[node] > 1 and price >= cheap and not is_moved(node))
                or (node in expanded and price >= _DEAR)
                or (node in expanded and _narrows(node, kinds))
                or _is_deep(node, depths)
                or (of_inputs[node] and node.primitive.name in CHECKS)
            )
            if own:
                of_inputs[node] = False
            else:
                costs[node] = price
                continue
        roots[node] = kind
    return {node: kind for node, kind in roots.items() if node.primitive is not INPUT}


def _narrows(node: Node, kinds: Mapping[Node, str]) -> bool:
    """Whether it takes fewer bytes to keep `node` than the reduction that it casts."""
    if node.primitive.name != "cast" or kinds.get(node.operands[0]) != REDUCTION:
        return False
    return node.dtype.itemsize < node.operands[0].dtype.itemsize


def awaited(
    graph: Graph, roots: dict[Node, str], after: Mapping[Node, tuple[Node, ...]]
) -> tuple[dict[Node, str], dict[Node, list[Node]]]:
    """Return roots each after those that it waits for, and which these are.

    Args:
        after: for some nodes others that are to be computed before.
    """
    if not after:
        return roots, {}
    below = _RootsBelow(roots)
    waits: dict[Node, list[Node]] = {}
    for root in roots:
        found: dict[Node, None] = {}
        # Many nodes wait for the same ones.
        all_after = {after[x]: None for x in below.inside(root) if x in after}
        for node in dict.fromkeys(chain.from_iterable(all_after)):
            found.update(dict.fromkeys(below.at(node)))
        if found:
            waits[root] = list(found)
    order: dict[Node, str] = {}
    stack = list(reversed(roots))
    while stack:
        root = stack[-1]
        needed = [x for y in root.operands for x in below.at(y)]
        needed += waits.get(root, ())
        waiting = [x for x in dict.fromkeys(needed) if x not in order]
        if root in order or not waiting:
            order.setdefault(root, roots[root])
            stack.pop()
        else:
            stack += reversed(waiting)
    return order, waits


class _RootsBelow:
    """Finds the roots that a node is computed from."""

    def __init__(self, roots: Mapping[Node, str]) -> None:
        self._roots = roots
        self._known: dict[Node, list[Node]] = {}

    def at(self, node: Node) -> list[Node]:
        """Return the node if it is a root, else those that it is computed from."""
        if node in self._roots:
            return [node]
        found = self._known.get(node)
        if found is None:
            found = [x for x in self._reached(node) if x in self._roots]
            self._known[node] = found
        return found

    def inside(self, root: Node) -> list[Node]:
        """Return a root, and what is written out in it."""
        return [x for x in self._reached(root) if x is root or x not in self._roots]

    def _reached(self, start: Node) -> list[Node]:
        found = {start: None}
        stack = [start]
        while stack:
            for x in stack.pop().operands:
                if x not in found:
                    found[x] = None
                    if x not in self._roots:
                        stack.append(x)
        return list(found)


def _is_deep(node: Node, depths: dict[Node, tuple[int, int]]) -> bool:
    """Return whether `node` ends a long chain; note how long it is, if not."""
    moves = max((depths[x][0] for x in node.operands), default=0)
    steps = max((depths[x][1] for x in node.operands), default=0)
    moves, steps = moves + (not is_scalar(node)), steps + 1
    if moves > _MOST_MOVES or steps > _MOST_STEPS:
        return True
    depths[node] = (moves, steps)
    return False


def _moving_cost(node: Node) -> int:
    if node.primitive.name == "class_number":
        return _CHEAP_OF_INPUTS  # looked at once, and early: it may stop the program
    return moving_cost(node)


def _is_strided(node: Node) -> bool:
    return max(node.attributes.get("stride", ()), default=1) > 1


def _viewed(node: Node) -> Node:
    """Return what `node` is a view of."""
    while is_moved(node):
        node = node.operands[0]
    return node


def _cut(node: Node) -> Node:
    """Return the slice that `node` is a view of; what it is a view of if there is none.

    Convolutions copy elements anyway, and their code is long. Of slices by themselves
    it is the same for all those of one shape, such as the layers of a dense block.
    """
    while is_moved(node) and node.primitive.name != "slice":
        node = node.operands[0]
    return node
