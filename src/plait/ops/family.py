"""Families of primitives whose records differ in few facts.

Knows nothing of single ops; rules of the records come in as arguments.

Read first: `unary`, `binary`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..dtypes import DType
from ..errors import AxisError, DTypeError, ShapeError
from ..ir.graph import TensorType
from ..ir.primitive import Failure, Primitive, Sample

NUMERIC = "float signed unsigned"
ANY = "float signed unsigned bool"
# From as many elements on, arithmetic on bits is faster than np.where.
_BRANCHING = 2048
EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-30, 1e30])


def check_kind(name: str, dtype: DType, kinds: str) -> None:
    """Raise unless `dtype` is of one of `kinds`, words separated by spaces.

    Raises:
        DTypeError: it is not.
    """
    if dtype.kind not in kinds.split():
        raise DTypeError(
            f"[{name}] the element type is not accepted",
            got=dtype.name,
            expected=" or ".join(kinds.split()),
            fix="cast with x.to(...)",
        )


def check_axes(name: str, axes: Sequence[int], ndim: int) -> None:
    """Raise unless `axes` are distinct and count from the front, as in attributes.

    Raises:
        AxisError: they are not.
    """
    for axis in axes:
        if not 0 <= axis < ndim:
            raise AxisError(
                f"[{name}] the tensor has no such axis",
                got=f"axis={axis} for a tensor of {ndim} axes",
                expected=f"0 to {ndim - 1}" if ndim else "none, as it has no axes",
            )
    if len(set(axes)) != len(axes):
        raise AxisError(f"[{name}] an axis is named twice", got=f"axis={tuple(axes)}")


def check_same(name: str, types: Sequence[TensorType]) -> None:
    """Raise unless all types are equal.

    Raises:
        ShapeError, DTypeError: they differ.
    """
    if any(type.shape != types[0].shape for type in types):
        raise ShapeError(
            f"[{name}] operands differ in shape",
            got=" and ".join(str(type.shape) for type in types),
        )
    if any(type.dtype is not types[0].dtype for type in types):
        raise DTypeError(
            f"[{name}] operands differ in element type",
            got=" and ".join(type.dtype.name for type in types),
        )


def refused(name: str, kinds: str) -> Iterator[tuple[np.ndarray, str]]:
    """Yield an array of each kind that is not of `kinds`, and the message it causes."""
    accepted = kinds.split()
    for kind, x in (("bool", True), ("signed", 1), ("float", 1.0)):
        if kind not in accepted:
            array = np.array([x])
            yield (
                array,
                f"[{name}] the element type is not accepted. Got: {array.dtype}. "
                f"Expected: {' or '.join(accepted)}. Fix: cast with x.to(...).",
            )


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` without NumPy's warnings: infinities and nans are values.

    The function itself is `__wrapped__` in it, for callers that have silenced them.
    """

    @wraps(function)
    def reference(*arrays: Any, **attributes: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arrays, **attributes)

    return reference


def choose(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return `np.where(condition, x, y)`, for arrays of one shape.

    `x` and `y` have one dtype. np.where branches at each element, which is slow where
    the condition often changes; many elements are chosen by arithmetic on their bits.
    """
    if condition.size < _BRANCHING:
        return np.where(condition, x, y)
    word = f"i{x.dtype.itemsize}"
    chosen = condition.astype(word)
    np.negative(chosen, out=chosen)  # all bits are set where the condition is true
    chosen &= x.view(word) ^ y.view(word)
    chosen ^= y.view(word)
    return chosen.view(x.dtype)


def uniform(shape: tuple[int, ...], low: float, high: float, seed: int) -> np.ndarray:
    """Return sample values between `low` and `high`, the same at every call."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def unary(
    name: str,
    reference: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    *,
    kinds: str = "float",
    result: DType | None = None,
    low: float = -2.0,
    high: float = 2.0,
    integers: Iterable[Any] = (),
    source: str = "IEEE 754-2019",
) -> Primitive:
    """Return the record of a function of one operand.

    Args:
        kinds: the dtype kinds it accepts.
        result: the dtype of the result; None keeps the operand's.
        low, high: where samples are drawn, kept away from kinks and poles.
        integers: extra sample operands of other dtypes.
    """

    def infer(x: TensorType) -> TensorType:
        check_kind(name, x.dtype, kinds)
        return x if result is None else TensorType(x.shape, result)

    def samples() -> list[Sample]:
        floats = "float" in kinds.split()
        found = [Sample((np.asarray(x),), smooth=False) for x in integers]
        if floats:
            found += [
                Sample((uniform((3, 4), low, high, 1),), smooth=vjp is not None),
                Sample((uniform((), low, high, 2),), smooth=vjp is not None),
                Sample((uniform((0, 2), low, high, 3),), smooth=False),
                Sample((EDGES,), smooth=False),
                Sample((EDGES.astype(np.float32),), smooth=False),
            ]
        return found

    def failures() -> list[Failure]:
        return [
            Failure((x,), {}, DTypeError, message)
            for x, message in refused(name, kinds)
        ]

    return Primitive(
        name=name, infer=infer, reference=quiet(reference), vjp=vjp,
        batch="elementwise", samples=samples, failures=failures, source=source,
    )  # fmt: skip


def binary(
    name: str,
    reference: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    *,
    kinds: str = NUMERIC,
    result: DType | None = None,
    low: float = 0.5,
    high: float = 2.0,
    integers: Iterable[tuple[Any, Any]] = (),
    source: str = "IEEE 754-2019",
) -> Primitive:
    """Return the record of a function of two operands of one shape and dtype."""

    def infer(x: TensorType, y: TensorType) -> TensorType:
        check_same(name, (x, y))
        check_kind(name, x.dtype, kinds)
        return x if result is None else TensorType(x.shape, result)

    def samples() -> list[Sample]:
        found = [
            Sample((np.asarray(x), np.asarray(y)), smooth=False) for x, y in integers
        ]
        if "float" in kinds.split():
            smooth = vjp is not None
            x, y = uniform((3, 4), low, high, 1), uniform((3, 4), low, high, 2)
            edge_x, edge_y = (g.ravel() for g in np.meshgrid(EDGES, EDGES))
            found += [
                Sample((x, y), smooth=smooth),
                Sample((x[0, 0], y[0, 0]), smooth=smooth),
                Sample((x[:0], y[:0]), smooth=False),
                Sample((edge_x, edge_y), smooth=False),
            ]
        return found

    def failures() -> list[Failure]:
        wrong = np.zeros(2, np.int16), np.zeros(2, np.int32)
        found = [
            Failure(
                (np.zeros((2, 3)), np.zeros((3, 2))), {}, ShapeError,
                f"[{name}] operands differ in shape. Got: (2, 3) and (3, 2).",
            ),
            Failure(
                wrong, {}, DTypeError,
                f"[{name}] operands differ in element type. Got: int16 and int32.",
            ),
        ]  # fmt: skip
        return found + [
            Failure((x, x), {}, DTypeError, message)
            for x, message in refused(name, kinds)
        ]

    return Primitive(
        name=name, infer=infer, reference=quiet(reference), vjp=vjp,
        batch="elementwise", samples=samples, failures=failures, source=source,
    )  # fmt: skip
