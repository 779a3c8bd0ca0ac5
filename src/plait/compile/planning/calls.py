"""What a program does in Python: references of primitives, and raising alarms.

Read first: `reference`, `check_alarm`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from ...ir.graph import Graph, Node
from ...program import WrongIndex
from ..schedule.group import Group

# Primitives that may find an index that does not lie in its axis.
_INDEXING = ("gather", "scatter", "wrap_index")


def reference(node: Node) -> Callable[..., Any]:
    """Return what computes a node in Python, given arrays."""
    function = node.primitive.reference
    return partial(function, **node.attributes) if node.attributes else function


def check_alarm(alarm: np.ndarray) -> tuple[()]:
    """Raise if a kernel has found a wrong index.

    Raises:
        WrongIndex: the byte is not 0.
    """
    if alarm[0]:
        raise WrongIndex
    return ()


def alarms(node: Node) -> bool:
    """Return whether a node, or a graph in it, may find a wrong index."""
    if node.primitive.name in _INDEXING:
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
