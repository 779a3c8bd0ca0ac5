"""Runs a graph, primitive by primitive, with the records' NumPy references.

The first tier of execution, and the oracle of every other. Knows nothing of tensors.

Read first: `Interpreted`, `interpret`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import PlaitError
from .graph import Graph, Node, remembered


class Interpreted:
    """A graph made ready to be run any number of times.

    Intermediate values are dropped as soon as their last user has run.
    """

    def __init__(self, graph: Graph) -> None:
        nodes = graph.nodes()
        slots = {node: i for i, node in enumerate((*graph.inputs, *nodes))}
        last: dict[int, int] = {}
        for at, node in enumerate(nodes):
            for operand in node.operands:
                last[slots[operand]] = at
        keep = {slots[node] for node in graph.outputs}
        frees: list[list[int]] = [[] for _ in nodes]
        for slot, at in last.items():
            if slot not in keep:
                frees[at].append(slot)
        for at, node in enumerate(nodes):
            if slots[node] not in last and slots[node] not in keep:
                frees[at].append(slots[node])
        self._inputs = [_converter(node) for node in graph.inputs]
        self._outputs = [slots[node] for node in graph.outputs]
        self._size = len(slots)
        self._steps = [
            (
                _bound(node),
                tuple(slots[operand] for operand in node.operands),
                slots[node],
                tuple(free),
                _place(node),
            )
            for node, free in zip(nodes, frees, strict=True)
        ]

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        Raises:
            PlaitError: what a reference refuses, naming the line that recorded it.
        """
        memory: list[Any] = [
            value if convert is None else convert(value)
            for convert, value in zip(self._inputs, values, strict=True)
        ]
        memory.extend([None] * (self._size - len(memory)))
        for function, operands, slot, frees, where in self._steps:
            try:
                memory[slot] = function(*[memory[i] for i in operands])
            except PlaitError as error:
                error.where = where or error.where
                raise
            for i in frees:
                memory[i] = None
        return [_owned(memory[slot]) for slot in self._outputs]


def _owned(value: Any) -> np.ndarray:
    """Return a result as an array of its own, not a view into a larger one."""
    array = np.asarray(value)
    flags = array.flags
    if flags.c_contiguous and flags.writeable:
        base = array.base
        if not isinstance(base, np.ndarray) or base.nbytes == array.nbytes:
            return array
    return np.array(array, order="C")


def _bound(node: Node) -> Callable[..., Any]:
    reference = node.primitive.reference
    return partial(reference, **node.attributes) if node.attributes else reference


def _converter(node: Node) -> Callable[[Any], np.ndarray] | None:
    if not node.weak:
        return None
    dtype = node.dtype.numpy
    return lambda value: np.asarray(value, dtype)


def _place(node: Node) -> str:
    """Return the line to name in errors; "" leaves the one named inside a sub-graph."""
    if any(isinstance(value, Graph) for value in node.attributes.values()):
        return ""
    return node.where


@remembered
def prepared(graph: Graph) -> Interpreted:
    """Return `graph` ready to be run, made once for each graph."""
    return Interpreted(graph)


def interpret(graph: Graph, values: Sequence[Any]) -> list[np.ndarray]:
    """Run `graph` on NumPy arrays and return the values of its outputs."""
    return prepared(graph).run(values)
