"""Reductions over axes, and running reductions along one.

Read first: `SUM`, `sum_over`, `sum`, `max`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, default_integer, float32, int64, uint64
from ..errors import ArgumentError, AxisError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, normalize_axes, normalize_axis, reduced_shape, size_of
from . import elementwise, gather, movement
from .family import ANY, NUMERIC, check_axes, check_kind, quiet, refused
from .operand import as_float, require
from .source import constant, full_like, iota, stop_gradient

Axes = int | Sequence[int] | None


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(0.3, 2.0, shape)


def _keep(x: Node, shape: Shape, axes: Sequence[int]) -> Node:
    """Expand a reduced `x` back to `shape`, of which `axes` were reduced."""
    return movement.expand(movement.reshape(x, reduced_shape(shape, axes, True)), shape)


def _wide(function: np.ufunc) -> Callable[..., Any]:
    """Return the reduction by `function`, of 16-bit floats in float32."""

    def widened(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        dtype = x.dtype
        if dtype.itemsize == 2 and dtype.kind not in "iu":
            return np.asarray(function.reduce(x.astype(np.float32), axes), dtype)
        return np.asarray(function.reduce(x, axes, dtype))

    return widened


def _reduction_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    axes = tuple(axis + 1 for axis in node.attributes["axes"])
    return apply(node.primitive, *operands, axes=axes)


def reduction(
    name: str,
    function: np.ufunc,
    vjp: Callable[..., Any],
    *,
    empty: bool,
    kinds: str = NUMERIC,
) -> Primitive:
    """Return the record of a reduction over several axes.

    Args:
        function: of two operands, which it is repeated over.
        empty: whether reducing no elements has a value.
        kinds: the dtype kinds it accepts.
    """

    def infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        check_axes(name, axes, x.ndim)
        check_kind(name, x.dtype, kinds)
        if not empty and 0 in (x.shape[axis] for axis in axes):
            raise ShapeError(
                f"[{name}] there is no value over zero elements",
                got=f"axes {axes} of shape {x.shape}",
            )
        return TensorType(reduced_shape(x.shape, axes), x.dtype)

    def samples() -> list[Sample]:
        found = [
            Sample((_array(3, 4),), {"axes": (1,)}),
            Sample((_array(2, 3, 2),), {"axes": (0, 2)}),
            Sample((_array(3),), {"axes": (0,)}),
            Sample((_array(2, 2),), {"axes": ()}),
            Sample((np.array([[3, 1], [2, 7]]),), {"axes": (0,)}, smooth=False),
            Sample((np.array([1.0, np.nan, np.inf]),), {"axes": (0,)}, smooth=False),
            Sample((np.array([[2.0, 0.0], [2.0, 3.0]]),), {"axes": (0,)}, smooth=False),
            Sample((np.array([0.0, 0.0, 3.0]),), {"axes": (0,)}, smooth=False),
        ]
        if empty:
            found.append(Sample((np.zeros((0, 2)),), {"axes": (0,)}))
        return found

    def failures() -> list[Failure]:
        found = [
            Failure(
                (_array(2, 3),), {"axes": (2,)}, AxisError,
                f"[{name}] the tensor has no such axis. "
                "Got: axis=2 for a tensor of 2 axes. Expected: 0 to 1.",
            ),
            Failure(
                (_array(2, 3),), {"axes": (0, 0)}, AxisError,
                f"[{name}] an axis is named twice. Got: axis=(0, 0).",
            ),
        ]  # fmt: skip
        if not empty:
            found.append(
                Failure(
                    (np.zeros((2, 0)),), {"axes": (1,)}, ShapeError,
                    f"[{name}] there is no value over zero elements. "
                    "Got: axes (1,) of shape (2, 0).",
                )
            )  # fmt: skip
        return found + [
            Failure((array,), {"axes": (0,)}, DTypeError, message)
            for array, message in refused(name, kinds)
        ]

    return Primitive(
        name=name,
        infer=infer,
        reference=quiet(_wide(function)),
        vjp=vjp,
        batch=_reduction_batch,
        samples=samples,
        failures=failures,
        source="Array API standard 2024.12",
    )  # fmt: skip


SUM = reduction(
    "sum", np.add,
    lambda ct, node, x: (_keep(ct, x.shape, node.attributes["axes"]),),
    empty=True,
)  # fmt: skip


def sum_over(x: Node, axes: Sequence[int]) -> Node:
    """Return the sum over `axes`, counted from the front, in the dtype of `x`."""
    return apply(SUM, x, axes=tuple(axes)) if axes else x


def _product_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # Products of all the others, from both sides, so that zeros need no division.
    axes = node.attributes["axes"]
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    moved = movement.permute_dims(x, (*rest, *axes))
    flat = movement.reshape(moved, (*(x.shape[a] for a in rest), -1)) if x.size else x
    if not x.size:
        return (full_like(x, 0),)
    last = flat.ndim - 1
    ones = full_like(movement.slice_axis(flat, last, 0, 1), 1)
    n = flat.shape[last]
    before = cumulative_product(
        movement.concat([ones, movement.slice_axis(flat, last, 0, n - 1)], axis=last),
        axis=last,
    )
    backward = movement.flip(movement.slice_axis(flat, last, 1, n), axis=last)
    after = movement.flip(
        cumulative_product(movement.concat([ones, backward], axis=last), axis=last),
        axis=last,
    )
    others = elementwise.multiply(before, after)
    others = movement.reshape(others, moved.shape)
    inverse = movement._inverse((*rest, *axes))
    return (
        elementwise.multiply(
            _keep(ct, x.shape, axes), movement.permute_dims(others, inverse)
        ),
    )


PRODUCT = reduction("product", np.multiply, _product_vjp, empty=True)


def _extremum_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    axes = node.attributes["axes"]
    chosen = elementwise.cast(elementwise.equal(x, _keep(node, x.shape, axes)), x.dtype)
    count = _keep(sum_over(chosen, axes), x.shape, axes)
    share = elementwise.divide(chosen, count)
    return (elementwise.multiply(_keep(ct, x.shape, axes), share),)


MAX = reduction("max", np.maximum, _extremum_vjp, empty=False, kinds=ANY)
MIN = reduction("min", np.minimum, _extremum_vjp, empty=False, kinds=ANY)


def _result(op: str, primitive: Primitive, x: Node, axis: Axes, keepdims: bool) -> Node:
    axes = normalize_axes(op, axis, x.ndim)
    result = apply(primitive, x, axes=axes) if axes else x
    return (
        movement.reshape(result, reduced_shape(x.shape, axes, True))
        if keepdims
        else result
    )


def _accumulator(x: Node, dtype: DType | None) -> Node:
    """Cast to `dtype`, or as the standard asks: small integers and bool to 64 bits."""
    if dtype is None:
        dtype = x.dtype
        if dtype.kind in ("bool", "signed"):
            dtype = int64
        elif dtype.kind == "unsigned":
            dtype = uint64
    return elementwise.cast(x, dtype)


def sum(
    x: Node, axis: Axes = None, *, dtype: DType | None = None, keepdims: bool = False
) -> Node:
    """Return the sum over `axis`; None means all.

    Args:
        dtype: of the result. Default: that of `x`, with integers and bool widened to 64
            bits. 16-bit floats are accumulated in float32.
        keepdims: keep the reduced axes with size 1.

    Special cases: 0 over no elements.

    Gradient: `ct` broadcast to the shape of `x`.
    """
    return _result("sum", SUM, _accumulator(x, dtype), axis, keepdims)


def prod(
    x: Node, axis: Axes = None, *, dtype: DType | None = None, keepdims: bool = False
) -> Node:
    """Return the product of `x` over `axis`; 1 over no elements.

    Args:
        axis: one axis, or several. Default: all.
        dtype: as in `sum`.
        keepdims: keep the reduced axes with size 1.

    Gradient: `ct` times the product of the other elements, exact where some are 0.
    """
    return _result("prod", PRODUCT, _accumulator(x, dtype), axis, keepdims)


def max(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the greatest element over `axis`; nan if there is one.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: there are no elements.

    Gradient: shared equally between equal greatest elements.
    """
    return _result("max", MAX, x, axis, keepdims)


def min(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the least element over `axis`; nan if there is one.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: there are no elements.

    Gradient: shared equally between equal least elements.
    """
    return _result("min", MIN, x, axis, keepdims)


def _any_or_all(op: str, x: Node, axis: Axes, keepdims: bool, start: bool) -> Node:
    truth = elementwise.cast(x, bool_)
    axes = normalize_axes(op, axis, x.ndim)
    if 0 in (x.shape[a] for a in axes):
        shape = reduced_shape(x.shape, axes, keepdims)
        return movement.expand(constant(start, bool_), shape)
    return _result(op, MIN if start else MAX, truth, axis, keepdims)


def all(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return whether all elements over `axis` are true (not zero); true over none.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.
    """
    return _any_or_all("all", x, axis, keepdims, True)


def any(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return whether any element over `axis` is true (not zero); false over none.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.
    """
    return _any_or_all("any", x, axis, keepdims, False)


def count_nonzero(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the number of elements over `axis` that are not zero, as int64.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.
    """
    return sum(elementwise.cast(x, bool_), axis, keepdims=keepdims)


def widened(x: Node) -> Node:
    """Return `x`, 16-bit floats as float32: sums of many overflow or lose precision."""
    return elementwise.cast(x, float32) if x.dtype.bits == 16 else x


def mean(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the arithmetic mean over `axis`; nan over no elements.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.

    Integers are averaged as the default floating-point type. 16-bit floats are
    accumulated in float32.
    """
    x = as_float("mean", x)
    axes = normalize_axes("mean", axis, x.ndim)
    count = size_of(x.shape[a] for a in axes)
    total = sum(widened(x), axis, keepdims=keepdims)
    return elementwise.cast(elementwise.divide(total, float(count)), x.dtype)


def var(
    x: Node, axis: Axes = None, *, correction: float = 0.0, keepdims: bool = False
) -> Node:
    """Return the variance: the mean squared distance from the mean over `axis`.

    Formula: sum((x - mean(x)) ** 2) / (n - correction), with n the number of elements.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        correction: 1 gives the unbiased estimate (Bessel).
        keepdims: keep the reduced axes with size 1.

    Special cases: nan over no elements; inf or nan where `n <= correction`.
    """
    x = as_float("var", x)
    result = _wide_variance("var", x, axis, correction, keepdims)
    return elementwise.cast(result, x.dtype)


def _wide_variance(
    op: str, x: Node, axis: Axes, correction: float, keepdims: bool
) -> Node:
    """Return the variance, of 16-bit floats as float32."""
    x = widened(x)
    axes = normalize_axes(op, axis, x.ndim)
    count = size_of(x.shape[a] for a in axes)
    centred = elementwise.subtract(x, mean(x, axis, keepdims=True))
    total = sum(elementwise.square(centred), axis, keepdims=keepdims)
    return elementwise.divide(total, float(np.maximum(float(count - correction), 0)))


def std(
    x: Node, axis: Axes = None, *, correction: float = 0.0, keepdims: bool = False
) -> Node:
    """Return the standard deviation: the square root of `var`.

    Arguments as in `var`.
    """
    x = as_float("std", x)
    variance = _wide_variance("std", x, axis, correction, keepdims)
    return elementwise.cast(elementwise.sqrt(variance), x.dtype)


def logsumexp(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return `log(sum(exp(x)))` over `axis`, without overflow.

    Args:
        x: any shape.
        axis: one axis, or several. Default: all.
        keepdims: keep the reduced axes with size 1.

    Special cases: -inf where all elements are -inf, and over no elements.

    Gradient: `ct * softmax(x)`.
    """
    x = as_float("logsumexp", x)
    axes = normalize_axes("logsumexp", axis, x.ndim)
    if 0 in (x.shape[a] for a in axes):
        shape = reduced_shape(x.shape, axes, keepdims)
        return movement.expand(constant(float("-inf"), x.dtype), shape)
    dtype = x.dtype
    x = widened(x)
    top = max(x, axis, keepdims=True)
    # An infinite maximum would give inf - inf; it needs no shift.
    top = elementwise.select(elementwise.isfinite(top), top, 0)
    top = stop_gradient(top)  # the shift cancels out of the derivative
    total = sum(elementwise.exp(elementwise.subtract(x, top)), axis, keepdims=True)
    result = elementwise.cast(elementwise.add(elementwise.log(total), top), dtype)
    return result if keepdims else movement.squeeze(result, axes)


# Position of the extremes

# Lines of at most _FEW elements, at least _MANY of them, are searched side by side.
_FEW, _MANY = 64, 2048


def _arg_infer(name: str) -> Callable[..., TensorType]:
    def infer(x: TensorType, *, axis: int) -> TensorType:
        check_axes(name, (axis,), x.ndim)
        check_kind(name, x.dtype, NUMERIC)
        if x.shape[axis] == 0:
            raise ShapeError(
                f"[{name}] there is no position in zero elements",
                got=f"axis {axis} of shape {x.shape}",
            )
        return TensorType(reduced_shape(x.shape, (axis,)), int64)

    return infer


def _axis_failures(name: str, kinds: str) -> list[Failure]:
    return [
        Failure(
            (_array(2, 3),), {"axis": 2}, AxisError,
            f"[{name}] the tensor has no such axis. "
            "Got: axis=2 for a tensor of 2 axes. Expected: 0 to 1.",
        ),
        Failure(
            (_array(),), {"axis": 0}, AxisError,
            f"[{name}] the tensor has no such axis. "
            "Got: axis=0 for a tensor of 0 axes. Expected: none, as it has no axes.",
        ),
    ] + [
        Failure((array,), {"axis": 0}, DTypeError, message)
        for array, message in refused(name, kinds)
    ]  # fmt: skip


def _position_reference(
    reference: Callable[..., Any], extreme: np.ufunc, x: np.ndarray, *, axis: int
) -> np.ndarray:
    n = x.shape[axis]
    if n > _FEW or x.size < _MANY * n:
        return np.asarray(reference(x, axis), np.int64)
    # NumPy looks at one short line after the other. Here all lines go side by side, and
    # the elements before the first extreme one are counted.
    x = np.moveaxis(x, axis, 0)
    best = extreme.reduce(x, 0)
    has_nan = x.dtype.kind not in "iu" and bool(np.isnan(best).any())
    before = np.ones(best.shape, bool)
    position = np.zeros(best.shape, np.uint8)
    for row in x[:-1]:
        before &= row != best
        if has_nan:
            before &= row == row
        position += before
    return position.astype(np.int64)


def _position(name: str, reference: Callable[..., Any], extreme: np.ufunc) -> Primitive:
    return Primitive(
        name=name,
        infer=_arg_infer(name),
        reference=quiet(partial(_position_reference, reference, extreme)),
        batch=lambda operands, batched, node: apply(
            node.primitive, *operands, axis=node.attributes["axis"] + 1
        ),
        samples=lambda: [
            Sample((_array(3, 4),), {"axis": 1}),
            Sample((_array(3, 2, 2),), {"axis": 0}),
            Sample((np.array([2.0, 3.0, 1.0, 3.0, 1.0]),), {"axis": 0}, smooth=False),
            Sample((np.array([1.0, np.nan, 3.0, np.nan]),), {"axis": 0}, smooth=False),
            Sample((np.array([[3, 1], [2, 7]]),), {"axis": 0}, smooth=False),
            Sample((np.zeros((0, 2)),), {"axis": 1}, smooth=False),
        ],
        failures=lambda: [
            Failure(
                (np.zeros((2, 0)),), {"axis": 1}, ShapeError,
                f"[{name}] there is no position in zero elements. "
                "Got: axis 1 of shape (2, 0).",
            ),
            *_axis_failures(name, NUMERIC),
        ],
        source="Array API standard 2024.12; the first of equal ones; nan is extreme",
    )  # fmt: skip


ARGMAX = _position("argmax", np.argmax, np.maximum)
ARGMIN = _position("argmin", np.argmin, np.minimum)


def _arg(primitive: Primitive, x: Node, axis: int | None, keepdims: bool) -> Node:
    if x.dtype is bool_:
        x = elementwise.cast(x, default_integer)
    if axis is None:
        flat = movement.reshape(x, (x.size,))
        result = apply(primitive, flat, axis=0)
        return movement.reshape(result, (1,) * x.ndim) if keepdims else result
    axis = normalize_axis(primitive.name, axis, x.ndim)
    result = apply(primitive, x, axis=axis)
    return movement.expand_dims(result, axis=axis) if keepdims else result


def argmax(x: Node, axis: int | None = None, *, keepdims: bool = False) -> Node:
    """Return the position of the greatest element along `axis`, as int64.

    Args:
        x: any shape.
        axis: the axis. Default: the position is that in the flattened tensor.
        keepdims: keep the reduced axes with size 1.

    Special cases: the first of equal ones; nan counts as greatest.
    """
    return _arg(ARGMAX, x, axis, keepdims)


def argmin(x: Node, axis: int | None = None, *, keepdims: bool = False) -> Node:
    """Return the position of the least element along `axis`, as int64.

    Args:
        x: any shape.
        axis: the axis. Default: the position is that in the flattened tensor.
        keepdims: keep the reduced axes with size 1.

    Special cases: the first of equal ones; nan counts as least.
    """
    return _arg(ARGMIN, x, axis, keepdims)


# Running reductions


def cumulative(
    name: str, reference: Callable[..., Any], vjp: Callable[..., Any], kinds: str
) -> Primitive:
    """Return the record of a running reduction along one axis."""

    def infer(x: TensorType, *, axis: int) -> TensorType:
        check_axes(name, (axis,), x.ndim)
        check_kind(name, x.dtype, kinds)
        return x

    def narrow(x: np.ndarray, *, axis: int) -> np.ndarray:
        if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
            return np.asarray(reference(x.astype(np.float32), axis), x.dtype)
        return np.asarray(reference(x, axis), x.dtype)

    return Primitive(
        name=name,
        infer=infer,
        reference=quiet(narrow),
        vjp=vjp,
        batch=lambda operands, batched, node: apply(
            node.primitive, *operands, axis=node.attributes["axis"] + 1
        ),
        samples=lambda: [
            Sample((_array(3, 4),), {"axis": 1}),
            Sample((_array(3, 2, 2),), {"axis": 0}),
            Sample((_array(0, 2),), {"axis": 0}),
            Sample((np.array([3, 1, 2]),), {"axis": 0}, smooth=False),
            Sample((np.array([2.0, 1.0, 2.0, 0.0]),), {"axis": 0}, smooth=False),
            Sample((np.array([1.0, np.nan, np.inf]),), {"axis": 0}, smooth=False),
        ],
        failures=lambda: _axis_failures(name, kinds),
        source="Array API standard 2024.12",
    )  # fmt: skip


def _reverse_cumulative_sum(x: Node, axis: int) -> Node:
    flipped = movement.flip(x, axis=axis)
    return movement.flip(apply(CUMULATIVE_SUM, flipped, axis=axis), axis=axis)


CUMULATIVE_SUM = cumulative(
    "cumulative_sum", np.cumsum,
    lambda ct, node, x: (_reverse_cumulative_sum(ct, node.attributes["axis"]),),
    NUMERIC,
)  # fmt: skip


def _cumulative_product_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # The gradient is that of x[:i].prod() * after[i], where after[i] = ct[i] +
    # x[i + 1] * after[i + 1]: without division, zeros are exact in all derivatives.
    axis = node.attributes["axis"]
    n = x.shape[axis]
    if x.size == 0:
        return (full_like(x, 0),)

    def shifted(x: Node, by: int, behind: int) -> Node:
        """Return x[by:] with so many equal numbers behind it."""
        kept = movement.slice_axis(x, axis, by, n)
        filling = full_like(movement.slice_axis(x, axis, 0, by), behind)
        return movement.concat([kept, filling], axis=axis)

    # after[i] = ct[i] + ... + factor[i] * after[i + reach], twice as far each time.
    factor, after = shifted(x, 1, 0), ct
    reach = 1
    while reach < n:
        after = elementwise.add(
            after, elementwise.multiply(factor, shifted(after, reach, 0))
        )
        factor = elementwise.multiply(factor, shifted(factor, reach, 0))
        reach *= 2
    ones = full_like(movement.slice_axis(x, axis, 0, 1), 1)
    first = movement.slice_axis(x, axis, 0, n - 1)
    before = cumulative_product(movement.concat([ones, first], axis=axis), axis=axis)
    return (elementwise.multiply(before, after),)


CUMULATIVE_PRODUCT = cumulative(
    "cumulative_product", np.cumprod, _cumulative_product_vjp, NUMERIC
)


def _cumulative_max_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # Each output comes from the latest position at which the running maximum was set.
    axis = node.attributes["axis"]
    n = x.shape[axis]
    if x.size == 0:
        return (full_like(x, 0),)
    shape = [1] * x.ndim
    shape[axis] = n
    position = movement.expand(movement.reshape(iota(n, int64), shape), x.shape)
    fresh = elementwise.select(elementwise.equal(x, node), position, 0)
    origin = movement.moveaxis(apply(CUMULATIVE_MAX, fresh, axis=axis), axis, -1)
    last = x.ndim - 1
    ct = movement.moveaxis(ct, axis, -1)
    total = gather.scatter(full_like(ct, 0), origin, ct, last, last, "add")
    return (movement.moveaxis(total, -1, axis),)


CUMULATIVE_MAX = cumulative(
    "cumulative_max", np.maximum.accumulate, _cumulative_max_vjp, NUMERIC
)


def only_axis(op: str, x: Node, axis: int | None) -> int:
    """Return the number of an axis, which may be left out if there is only one.

    Raises:
        ArgumentError: it is left out, and there is not one axis.
    """
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(
                f"[{op}] axis must be given for a tensor that has not one axis",
                got=str(x.shape),
            )
        axis = 0
    return normalize_axis(op, axis, x.ndim)


def _running(
    op: str,
    primitive: Primitive,
    x: Node,
    axis: int | None,
    dtype: DType | None,
    start: int | None,
) -> Node:
    axis = only_axis(op, x, axis)
    result = apply(primitive, _accumulator(x, dtype), axis=axis)
    if start is not None:
        shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
        first = movement.expand(constant(start, result.dtype), shape)
        result = movement.concat([first, result], axis=axis)
    return result


def cumulative_sum(
    x: Node,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Node:
    """Return the running sum of `x` along `axis`.

    Args:
        axis: may be left out for a tensor of one axis.
        dtype: as in `sum`.
        include_initial: put the empty sum, 0, first.
    """
    start = 0 if include_initial else None
    return _running("cumulative_sum", CUMULATIVE_SUM, x, axis, dtype, start)


def cumulative_prod(
    x: Node,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Node:
    """Return the running product along `axis`; arguments as in `cumulative_sum`."""
    start = 1 if include_initial else None
    return _running("cumulative_prod", CUMULATIVE_PRODUCT, x, axis, dtype, start)


def cumulative_product(x: Node, *, axis: int) -> Node:
    """Return the running product along `axis`, in the dtype of `x`."""
    return apply(CUMULATIVE_PRODUCT, x, axis=axis)


def cumulative_max(x: Node, *, axis: int) -> Node:
    """Return the running maximum of `x` along `axis`.

    Gradient: to the latest position at which the maximum was set.
    """
    require("cumulative_max", x, NUMERIC)
    return apply(CUMULATIVE_MAX, x, axis=normalize_axis("cumulative_max", axis, x.ndim))


def diff(
    x: Node,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Node | None = None,
    append: Node | None = None,
) -> Node:
    """Return the `n`-th difference of neighbours along `axis`.

    Args:
        prepend, append: joined to `x` along `axis` first.

    Raises:
        ArgumentError: `n` is negative.
    """
    axis = normalize_axis("diff", axis, x.ndim)
    if n < 0:
        raise ArgumentError("[diff] n must not be negative", got=str(n))
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = movement.concat(parts, axis=axis)
    for _ in range(n):
        size = x.shape[axis]
        low = movement.slice_axis(x, axis, 0, np.maximum(size - 1, 0).item())
        high = movement.slice_axis(x, axis, np.minimum(1, size).item(), size)
        unequal = elementwise.not_equal if x.dtype is bool_ else elementwise.subtract
        x = unequal(high, low)
    return x


PRIMITIVES = (
    SUM, PRODUCT, MAX, MIN, ARGMAX, ARGMIN, CUMULATIVE_SUM, CUMULATIVE_PRODUCT,
    CUMULATIVE_MAX,
)  # fmt: skip

OPS = (
    sum, prod, max, min, all, any, count_nonzero, mean, var, std, logsumexp, argmax,
    argmin, cumulative_sum, cumulative_prod, cumulative_max, diff,
)  # fmt: skip
