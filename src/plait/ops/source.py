"""Primitives that make values out of nothing, and those that mark a value.

Read first: `constant`, `iota`, `stop_gradient`, `variable`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype
from ..ir.build import apply
from ..ir.graph import Literal, Node, TensorType
from ..ir.primitive import Primitive, Sample
from ..shapes import Shape
from . import movement

CONSTANT = Primitive(
    name="constant",
    infer=lambda *, value: TensorType(value.array.shape, as_dtype(value.array.dtype)),
    reference=lambda *, value: value.array,
    samples=lambda: [
        Sample((), {"value": Literal(np.array(array))})
        for array in (1.5, [[1, 2], [3, 4]], [np.nan, np.inf, -0.0], [True, False])
    ],
    source="a literal array",
)


def constant(value: Any, dtype: DType) -> Node:
    """Return a constant node holding `value` as `dtype`."""
    with np.errstate(over="ignore"):
        array = np.asarray(value).astype(dtype.numpy)
    return apply(CONSTANT, value=Literal(array))


def full(shape: Shape, value: Any, dtype: DType) -> Node:
    """Return a node of `shape` whose every element is `value`."""
    return movement.expand(constant(value, dtype), shape)


def full_like(x: Node, value: Any) -> Node:
    """Return a node of the shape and dtype of `x` whose every element is `value`."""
    return full(x.shape, value, x.dtype)


IOTA = Primitive(
    name="iota",
    infer=lambda *, size, dtype: TensorType((size,), dtype),
    reference=lambda *, size, dtype: np.arange(size).astype(dtype.numpy),
    samples=lambda: [
        Sample((), {"size": size, "dtype": as_dtype(name)})
        for size, name in ((0, "int64"), (5, "int64"), (4, "float32"), (3, "uint8"))
    ],
    source="the numbers 0, 1, ..., size - 1",
)


def iota(size: int, dtype: DType) -> Node:
    """Return 0, 1, ..., size - 1."""
    return apply(IOTA, size=size, dtype=dtype)


def _identity_samples() -> list[Sample]:
    return [Sample((np.array([[1.0, -2.0, 0.5]]),)), Sample((np.array(3.0),))]


STOP_GRADIENT = Primitive(
    name="stop_gradient",
    infer=lambda x: x,
    reference=lambda x: x,
    vjp=lambda cotangent, node, x: (None,),
    jvp=lambda tangents, node, x: None,
    batch=lambda operands, batched, node: stop_gradient(*operands),
    differentiable=False,
    samples=_identity_samples,
    source="the identity, whose derivative is defined to be zero",
)


def stop_gradient(x: Node) -> Node:
    """Return `x`, through which no derivative flows."""
    return apply(STOP_GRADIENT, x)


VARIABLE = Primitive(
    name="variable",
    infer=lambda x: x,
    reference=lambda x: x,
    vjp=lambda cotangent, node, x: (cotangent,),
    jvp=lambda tangents, node, x: tangents[0],
    batch=lambda operands, batched, node: variable(*operands),
    differentiable=True,
    samples=_identity_samples,
    source="the identity, marking a place that derivatives are taken with respect to",
)


def variable(x: Node) -> Node:
    """Return `x` as a place that derivatives can be taken with respect to."""
    return apply(VARIABLE, x)


PRIMITIVES = (CONSTANT, IOTA, STOP_GRADIENT, VARIABLE)
