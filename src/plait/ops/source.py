"""Primitives that make values out of nothing, and those that mark a value.

Read first: `constant`, `iota`, `stop_gradient`, `variable`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype, bool_, int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Literal, Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import movement
from .family import NUMERIC, check_kind

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
    """Return a constant node holding `value` as `dtype`.

    Raises:
        ArgumentError: a Python integer is too large for `dtype`.
    """
    try:
        if isinstance(value, int) and dtype.is_integer:
            array = np.array(value, dtype.numpy)
        else:
            with np.errstate(all="ignore"):
                array = np.asarray(value).astype(dtype.numpy)
    except OverflowError:
        size = value.bit_length()
        raise ArgumentError(
            f"the number does not fit in {dtype.name}",
            got=str(value) if size <= 128 else f"an integer of {size} bits",
            fix="cast the tensor to a wider type first",
        ) from None
    return apply(CONSTANT, value=Literal(array))


def full(shape: Shape, value: Any, dtype: DType) -> Node:
    """Return a node of `shape` whose every element is `value`."""
    return movement.expand(constant(value, dtype), shape)


def full_like(x: Node, value: Any) -> Node:
    """Return a node of the shape and dtype of `x` whose every element is `value`."""
    return full(x.shape, value, x.dtype)


def _iota_infer(*, size: int, dtype: DType) -> TensorType:
    if size < 0:
        raise ShapeError("[iota] sizes must not be negative", got=str(size))
    check_kind("iota", dtype, NUMERIC)
    return TensorType((size,), dtype)


IOTA = Primitive(
    name="iota",
    infer=_iota_infer,
    reference=lambda *, size, dtype: np.arange(size).astype(dtype.numpy),
    samples=lambda: [
        Sample((), {"size": size, "dtype": as_dtype(name)})
        for size, name in ((0, "int64"), (5, "int64"), (4, "float32"), (300, "uint8"))
    ],
    failures=lambda: [
        Failure(
            (), {"size": -1, "dtype": int64}, ShapeError,
            "[iota] sizes must not be negative. Got: -1.",
        ),
        Failure(
            (), {"size": 2, "dtype": bool_}, DTypeError,
            "[iota] the element type is not accepted. Got: bool. "
            "Expected: float or signed or unsigned. Fix: cast with x.to(...).",
        ),
    ],
    source="the numbers 0, 1, ..., size - 1; integers wrap around",
)  # fmt: skip


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
