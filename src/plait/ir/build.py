"""The one door through which nodes are made.

Shapes and dtypes are checked here, at the line that records the op.

Read first: `apply`, `rebuild`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..dtypes import DType
from ..errors import Line, user_place
from ..shapes import Shape
from .graph import Graph, Node, TensorType, topological_order
from .primitive import Primitive


def _no_reference(**_: Any) -> Any:
    raise AssertionError("an input has no reference: its value is given")


INPUT = Primitive(
    name="input",
    infer=lambda *, type: type,
    reference=_no_reference,
    source="a value given to the graph from outside",
)

PICK = Primitive(
    name="pick",
    infer=lambda types, *, index: types[index],
    reference=lambda results, *, index: results[index],
    batch=lambda operands, batched, node: pick(operands[0], node.attributes["index"]),
    source="selects one result of a primitive that has several",
)


class _Line(threading.local):
    """The line that nodes are recorded for where it is not the one being run, or ""."""

    where = ""


_line = _Line()


@contextmanager
def recorded_for(node: Node) -> Iterator[None]:
    """Have what is recorded inside a `with` block, a derivative, belong to the line of
    `node`.
    """
    where = node.where
    if isinstance(where, Line) and not where.backward:
        where = Line(where, where.layer, where.kind, backward=True)
    before, _line.where = _line.where, where
    try:
        yield
    finally:
        _line.where = before


def apply(primitive: Primitive, *operands: Node, **attributes: Any) -> Node:
    """Return the node of `primitive` applied to `operands`.

    Raises:
        PlaitError: what the primitive's `infer` refuses.
    """
    type = primitive.infer(*(operand.type for operand in operands), **attributes)
    return Node(
        primitive, operands, attributes, type, flows(primitive, type, operands),
        where=_line.where or user_place(),
    )  # fmt: skip


def rebuild(node: Node, operands: tuple[Node, ...]) -> Node:
    """Return `node` with other operands of the same types."""
    if operands == node.operands:
        return node
    return Node(
        node.primitive, operands, node.attributes, node.type,
        flows(node.primitive, node.type, operands), node.weak, node.where,
    )  # fmt: skip


def flows(primitive: Primitive, type: Any, operands: Iterable[Node]) -> bool:
    """Return whether derivatives flow through `primitive` applied to `operands`."""
    if primitive.differentiable is not None:
        return primitive.differentiable
    if isinstance(type, TensorType) and not type.dtype.is_float:
        return False
    return any(operand.differentiable for operand in operands)


def make_input(
    shape: Shape, dtype: DType, *, differentiable: bool = False, weak: bool = False
) -> Node:
    """Return a new input node."""
    type = TensorType(shape, dtype)
    return Node(INPUT, (), {"type": type}, type, differentiable, weak)


def pick(node: Node, index: int) -> Node:
    """Return result `index` of a node with several results."""
    return Node(
        PICK, (node,), {"index": index}, node.type[index],
        node.differentiable and node.type[index].dtype.is_float, where=node.where,
    )  # fmt: skip


def picks(node: Node) -> tuple[Node, ...]:
    """Return all results of a node with several results."""
    return tuple(pick(node, i) for i in range(len(node.type)))


def substitute(
    outputs: Sequence[Node], replacements: Mapping[Node, Node]
) -> list[Node]:
    """Return `outputs` rebuilt with each key of `replacements` replaced by its
    value.
    """
    new = dict(replacements)
    for node in topological_order(outputs, lambda node: node not in new):
        if node not in new:
            new[node] = rebuild(node, tuple(new[operand] for operand in node.operands))
    return [new[node] for node in outputs]


def inline(graph: Graph, operands: Sequence[Node]) -> list[Node]:
    """Return the outputs of `graph` with `operands` in place of its inputs."""
    return substitute(graph.outputs, dict(zip(graph.inputs, operands, strict=True)))
