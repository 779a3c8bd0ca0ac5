"""What a program does in Python: references of primitives, and what may refuse.

Read first: `reference`, `alarming`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.graph import Graph, Node
from ...ir.primitive import Primitive

if TYPE_CHECKING:
    from ..schedule.group import Group

# Primitives that may find an index that does not lie in its axis, or a matrix with
# which they can do nothing.
_REFUSING = (
    "class_number", "gather", "scatter", "wrap_index", "solve", "triangular_solve",
    "cholesky", "svd", "eigh",
)  # fmt: skip


class Reference:
    """Computes a node in Python, given arrays.

    Attributes:
        primitive, attributes, type: the node's.
        func: what is called.
    """

    def __init__(
        self, primitive: Primitive, attributes: Mapping[str, Any], type: Any
    ) -> None:
        self.primitive = primitive
        self.attributes = attributes
        self.type = type
        self.func = primitive.reference

    def __call__(self, *arrays: np.ndarray) -> Any:
        return self.func(*arrays, **self.attributes)


def reference(node: Node) -> Reference:
    """Return what computes a node in Python, given arrays."""
    return Reference(node.primitive, node.attributes, node.type)


def alarms(node: Node) -> bool:
    """Return whether a node, or a graph in it, may find a wrong index."""
    if node.primitive.name in _REFUSING:
        return True
    graphs = (x for x in node.attributes.values() if isinstance(x, Graph))
    return any(any(map(alarms, graph.nodes())) for graph in graphs)


def alarming(groups: Iterable[Group]) -> int:
    """Return how many groups there are up to the last one that may find a wrong
    index.
    """
    count = 0
    for at, one in enumerate(groups):
        seen: set[Node] = set()
        stack = list(one.members)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if alarms(node):
                count = at + 1
            stack.extend(x for x in node.operands if x not in one.reads)
    return count
