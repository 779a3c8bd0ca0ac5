"""Runs a graph, primitive by primitive, with the records' NumPy references.

The first tier of execution, and the oracle of every other. Knows nothing of tensors.

Read first: `Interpreted`, `interpret`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any

import numpy as np

from ..errors import PlaitError
from .graph import Graph, Node, TensorType, remembered

# Values that are known before a run are kept if they have at most as many bytes.
_KEPT_BYTES = 1 << 14


# A reference, what takes its operands out of the memory, the slot of its result, slots
# that nobody needs any more, and the line that recorded it.
_Step = tuple[
    Callable[..., Any], Callable[[list[Any]], Sequence[Any]], int, list[int], str
]


class Interpreted:
    """A graph made ready to be run any number of times.

    A value lives in a slot of the run's memory, which a later value takes over as soon
    as the last node that needs it has run. Nodes that depend on no input are computed
    here, if they are small.
    """

    def __init__(self, graph: Graph) -> None:
        _keep_freed_memory()
        nodes = graph.nodes()
        known = _known(graph, nodes)
        nodes = [node for node in nodes if node not in known]
        last = {x: at for at, node in enumerate(nodes) for x in node.operands}
        last.update(dict.fromkeys(graph.outputs, len(nodes)))
        slots = {x: i for i, x in enumerate((*graph.inputs, *known))}
        size = len(graph.inputs) + len(known)
        steps: list[_Step] = []
        for at, node in enumerate(nodes):
            given = tuple(slots[x] for x in node.operands)
            free = [slots[x] for x in dict.fromkeys(node.operands) if last[x] == at]
            if free:
                slot = free.pop()
            else:
                slot, size = size, size + 1
            slots[node] = slot
            steps.append((_bound(node), _getter(given), slot, free, _place(node)))
        self._steps = steps
        self._weak = [(i, x.dtype.numpy) for i, x in enumerate(graph.inputs) if x.weak]
        self._count = len(graph.inputs)
        self._rest = [*known.values(), *[None] * (size - self._count - len(known))]
        self._outputs = [slots[x] for x in graph.outputs]

    def run(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Return the values of the outputs, given those of the inputs.

        Raises:
            PlaitError: what a reference refuses, naming the line that recorded it.
        """
        if len(values) != self._count:
            raise ValueError(f"{len(values)} values for {self._count} inputs")
        memory: list[Any] = [*values, *self._rest]
        for slot, dtype in self._weak:
            memory[slot] = np.asarray(memory[slot], dtype)
        where = ""
        try:
            with np.errstate(all="ignore"):
                for function, operands, slot, free, where in self._steps:  # noqa: B007
                    memory[slot] = function(*operands(memory))
                    for dead in free:
                        memory[dead] = None
        except PlaitError as error:
            if where:
                error.where = where
                error.layer = getattr(where, "layer", "")
            raise
        return [_owned(memory[slot]) for slot in self._outputs]


@cache
def _keep_freed_memory() -> None:
    """Have glibc keep blocks of up to 32 MiB that are freed, for the next run.

    It does so once a block of that size was freed (mallopt(3), M_MMAP_THRESHOLD), and
    else returns large ones to the system. The page faults of getting them back cost
    more than most arithmetic: softmax of 256 x 1000 numbers takes 1000 us with them and
    270 without (2026-11).
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


def _known(graph: Graph, nodes: Sequence[Node]) -> dict[Node, np.ndarray]:
    """Return the values of nodes that depend on no input, where that is cheap."""
    known: dict[Node, np.ndarray] = {}
    unknown = set(graph.inputs)
    with np.errstate(all="ignore"):
        for node in nodes:
            if not unknown.isdisjoint(node.operands) or not _is_cheap(node):
                unknown.add(node)
                continue
            try:
                value = _bound(node)(*[known[x] for x in node.operands])
            except PlaitError:  # it is raised when the graph runs
                unknown.add(node)
                continue
            known[node] = np.asarray(value).view()
            known[node].flags.writeable = False
    return known


def _is_cheap(node: Node) -> bool:
    type = node.type
    return (
        isinstance(type, TensorType)
        and type.size * type.dtype.bits <= 8 * _KEPT_BYTES
        and not _holds_graph(node)
    )


def _holds_graph(node: Node) -> bool:
    return any(isinstance(value, Graph) for value in node.attributes.values())


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
    """Return the reference with the attributes filled in."""
    reference = node.primitive.reference
    # A run silences NumPy's warnings once, which costs more than many a reference.
    reference = getattr(reference, "__wrapped__", reference)
    return partial(reference, **node.attributes) if node.attributes else reference


def _getter(slots: tuple[int, ...]) -> Callable[[list[Any]], Sequence[Any]]:
    """Return a function from the memory to the values in `slots`."""
    if len(slots) > 1:
        return itemgetter(*slots)
    return itemgetter(slice(slots[0], slots[0] + 1) if slots else slice(0))


def _place(node: Node) -> str:
    """Return the line to name in errors; "" leaves the one named inside a sub-graph."""
    return "" if _holds_graph(node) else node.where


@remembered
def prepared(graph: Graph) -> Interpreted:
    """Return `graph` ready to be run, made once for each graph."""
    return Interpreted(graph)


def interpret(graph: Graph, values: Sequence[Any]) -> list[np.ndarray]:
    """Run `graph` on NumPy arrays and return the values of its outputs."""
    return prepared(graph).run(values)
