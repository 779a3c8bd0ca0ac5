"""What is computed: immutable nodes, and graphs of them. Never how.

    Graph      ::= inputs: Node*  outputs: Node*
    Node       ::= primitive  operands: Node*  attributes  type  where
    TensorType ::= shape  dtype
    attribute  ::= int | float | bool | str | None | DType | Graph | Literal |
    (attribute*)

A node has one result, except those of a primitive with several results: their `type`
is a tuple, and `pick` nodes select from them. An input is a node of the primitive
`input`.

Read first: `Node`, `Graph`, `topological_order`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..dtypes import DType
from ..errors import ShapeError
from ..shapes import Shape, size_of
from .primitive import Primitive

Function = TypeVar("Function", bound=Callable[..., Any])
# Bytes that cannot be counted in 64 bits, which NumPy and the compiler count in.
_TOO_LARGE = 1 << 63


class TensorType:
    """The shape and element type of a value. Equal types are one object."""

    __slots__ = ("shape", "dtype")
    shape: Shape
    dtype: DType
    _all: ClassVar[dict[tuple[Shape, DType], TensorType]] = {}

    def __new__(cls, shape: Shape, dtype: DType) -> TensorType:
        key = (shape, dtype)
        found = cls._all.get(key)
        if found is None:
            found = object.__new__(cls)
            # True and 1 are one key, but must not be one print.
            found.shape = tuple(int(operator.index(n)) for n in shape)
            found.dtype = dtype
            if size_of(n or 1 for n in found.shape) * dtype.itemsize >= _TOO_LARGE:
                raise ShapeError("no memory holds so large a tensor", got=repr(found))
            found = cls._all.setdefault(key, found)
        return found

    def __reduce__(self) -> Any:
        return (TensorType, (self.shape, self.dtype))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return size_of(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Literal:
    """A constant array as an attribute: read-only, compared by its bytes."""

    __slots__ = ("array", "_hash")

    def __init__(self, array: np.ndarray) -> None:
        array = np.array(array, order="C", copy=True)
        array.flags.writeable = False
        self.array = array
        self._hash = hash((array.shape, array.dtype.str, array.tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and self._hash == other._hash
            and self.array.dtype == other.array.dtype
            and self.array.shape == other.array.shape
            and self.array.tobytes() == other.array.tobytes()
        )

    def __repr__(self) -> str:
        return f"Literal({self.array!r})"


class Node:
    """One value of a graph: a primitive applied to operands.

    Attributes:
        primitive, operands, attributes: what it computes.
        type: its TensorType, or a tuple of them when the primitive has several results.
        shape, dtype: those of `type`; a node with several results has None.
        differentiable: whether a derivative with respect to some input can flow
            through.
        weak: it holds a Python scalar, which yields to the type of what it meets.
        where: the user's line that recorded it, or "".
    """

    __slots__ = (
        "primitive", "operands", "attributes", "type", "shape", "dtype",
        "differentiable", "weak", "where",
    )  # fmt: skip
    shape: Shape
    dtype: DType

    def __init__(
        self,
        primitive: Primitive,
        operands: tuple[Node, ...],
        attributes: Mapping[str, Any],
        type: Any,
        differentiable: bool,
        weak: bool = False,
        where: str = "",
    ) -> None:
        self.primitive = primitive
        self.operands = operands
        self.attributes = attributes
        self.type = type
        if isinstance(type, TensorType):
            self.shape = type.shape
            self.dtype = type.dtype
        else:
            self.shape = self.dtype = None  # type: ignore[assignment]
        self.differentiable = differentiable
        self.weak = weak
        self.where = where

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return size_of(self.shape)

    def __repr__(self) -> str:
        return f"<{self.primitive.name} {self.type!r}>"


class Graph:
    """Inputs, and outputs computed from them. Closed: no other inputs are reached.

    Attributes:
        memory: what `remembered` functions have made of it.
    """

    __slots__ = ("inputs", "memory", "outputs", "__weakref__")

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.memory: dict[Any, Any] = {}

    def nodes(self) -> list[Node]:
        """Return what the outputs need, operands before users, inputs left out."""
        inputs = set(self.inputs)
        return [node for node in topological_order(self.outputs) if node not in inputs]

    def __repr__(self) -> str:
        ins = ", ".join(repr(node.type) for node in self.inputs)
        outs = ", ".join(repr(node.type) for node in self.outputs)
        return f"<graph ({ins}) -> ({outs})>"


def remembered(function: Function) -> Function:
    """Return `function(graph, *key)` made to run once for each graph and key.

    Graphs are compared by identity, so what is derived twice from one graph must be one
    object, or programs that hold it would be compiled again.
    """

    @wraps(function)
    def wrapper(graph: Graph, *key: Any) -> Any:
        memory = graph.memory
        full = (function, *key)
        if full not in memory:
            memory[full] = function(graph, *key)
        return memory[full]

    return wrapper  # type: ignore[return-value]


def topological_order(
    outputs: Iterable[Node], follow: Callable[[Node], bool] | None = None
) -> list[Node]:
    """Return `outputs` and what they need, operands before users.

    Args:
        follow: where it is false, neither the node nor what it needs is visited.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack = [node for node in outputs if follow is None or follow(node)][::-1]
    while stack:
        node = stack.pop()
        if node in done:
            continue
        waiting = [
            operand
            for operand in node.operands
            if operand not in done and (follow is None or follow(operand))
        ]
        if waiting:
            stack.append(node)
            stack.extend(reversed(waiting))
        else:
            done.add(node)
            order.append(node)
    return order
