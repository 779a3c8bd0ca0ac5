"""Reductions over windows of the last axes: pooling.

Spatial axes are the last ones, in any number; a window, stride, dilation or padding has
one entry for each.

Read first: `window_reduce`, `max_pool`, `adaptive_max_pool`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import DType, bool_, float32, int32, int64, promote, uint8
from ..errors import ArgumentError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node
from ..shapes import Shape
from . import elementwise, gather, movement, reduce
from .family import NUMERIC
from .operand import as_float, require
from .source import constant, full_like, iota, stop_gradient
from .spatial import (
    Pairs,
    each_axis,
    each_side,
    pad_spatial,
    padded_sizes,
    span,
    window_counts,
    window_of,
)
from .window import WINDOWS


def _lowest(dtype: DType) -> float:
    if dtype.is_float:
        return -math.inf
    return -(1 << (dtype.bits - 1)) if dtype.kind == "signed" else 0


def _highest(dtype: DType) -> float:
    if dtype.is_float:
        return math.inf
    return (1 << (dtype.bits - (dtype.kind == "signed"))) - 1


# kind -> the value of padding, and the reduction of the first axis.
_KINDS: dict[str, tuple[Callable[[DType], float], Callable[[Node], Node]]] = {
    "sum": (lambda dtype: 0, lambda x: reduce.sum_over(x, (0,))),
    "prod": (lambda dtype: 1, lambda x: apply(reduce.PRODUCT, x, axes=(0,))),
    "max": (_lowest, lambda x: reduce.argmax(x, 0)),
    "min": (_highest, lambda x: reduce.argmin(x, 0)),
}


class _Slide(NamedTuple):
    """How a window slides: settings of each spatial axis.

    Attributes:
        widths: the padding asked for. full: with enough after for the last window.
    """

    window: Shape
    stride: Shape
    dilation: Shape
    widths: Pairs
    full: Pairs


def _slide(
    op: str,
    x: Node,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[Any],
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> _Slide:
    """Return the settings of each axis, which are checked."""
    require(op, x, NUMERIC)
    sizes = window_of(op, window)
    rank = len(sizes)
    steps = sizes if stride is None else each_axis(op, "stride", stride, rank, 1)
    gaps = each_axis(op, "dilation", dilation, rank, 1)
    widths = each_side(op, padding, rank)
    if x.ndim < rank:
        raise ShapeError(
            f"[{op}] the window has more axes than the tensor",
            got=f"window {sizes} over shape {x.shape}",
        )
    spatial = x.shape[x.ndim - rank :]
    full = _rounded_up(spatial, sizes, steps, gaps, widths) if ceil_mode else widths
    window_counts(op, padded_sizes(spatial, full), sizes, steps, gaps)
    return _Slide(sizes, steps, gaps, widths, full)


def _rounded_up(
    sizes: Shape, window: Shape, stride: Shape, dilation: Shape, widths: Pairs
) -> Pairs:
    """Return `widths` with enough padding after for a last window that is not whole.

    It is left out if it would begin beyond the input and the padding before it.
    """
    result = []
    for n, k, step, gap, (low, high) in zip(
        sizes, window, stride, dilation, widths, strict=True
    ):
        reach = span(k, gap)
        last = -(-(n + low + high - reach) // step) * step
        if last >= n + low:
            last -= step
        result.append((low, max(high, last + reach - n - low)))
    return tuple(result)


def _windows_first(x: Node, slide: _Slide) -> Node:
    """Return the windows over `x`, which is padded, with their elements on axis 0.

    Reductions over that axis run along whole rows.
    """
    found = apply(
        WINDOWS, x, window=slide.window, stride=slide.stride, dilation=slide.dilation
    )
    rank = len(slide.window)
    lead = movement.moveaxis(found, tuple(range(-rank, 0)), tuple(range(rank)))
    return movement.reshape(lead, (math.prod(slide.window), *found.shape[:-rank]))


def _reduced(x: Node, kind: str, slide: _Slide) -> tuple[Node, Node]:
    """Return the reduction, and for "max" and "min" the position in the window."""
    neutral, reduction = _KINDS[kind]
    windows = _windows_first(pad_spatial(x, slide.full, neutral(x.dtype)), slide)
    result = reduction(windows)
    if kind in ("max", "min"):
        return _at_positions(windows, result), result
    return result, result


def _at_positions(windows: Node, position: Node) -> Node:
    """Return the element at a position of each window, counted in row-major order.

    That is a sum in which all others are zeros. So its gradient looks at each element
    where it lies, rather than putting it where a position says.
    """
    count = windows.shape[0]
    # The gradient keeps the positions: in one byte each, where that is enough.
    dtype = uint8 if count <= 256 else int64
    places = movement.reshape(iota(count, dtype), (count,) + (1,) * position.ndim)
    found = elementwise.equal(places, elementwise.cast(position, dtype))
    chosen = elementwise.select(found, windows, full_like(windows, 0))
    return reduce.sum_over(chosen, (0,))


def window_reduce(
    x: Node,
    kind: str,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Node:
    """Return a reduction of each window over the last axes, in the dtype of `x`.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        kind: "sum", "prod", "max" or "min".
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: an integer, one for each spatial axis, or a pair (before, after) for
            each; filled with the value that changes nothing.
        dilation: an integer, or one for each spatial axis.
        ceil_mode: also reduce a last window that is not whole, unless it would begin in
            the padding after the input.

    Returns:
        Shape (..., *numbers of windows).

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: an unknown kind, or a setting with a wrong value.

    Special cases: nan if there is one in the window; -inf or inf for "max" or "min"
    where a window holds nothing but padding.

    Gradient: for "max" and "min" to the first of equal elements in row-major order.
    """
    op = "window_reduce"
    if kind not in _KINDS:
        raise ArgumentError(
            f"[{op}] there is no reduction of that name",
            got=repr(kind),
            expected=", ".join(_KINDS),
        )
    slide = _slide(op, x, window, stride, padding, dilation, ceil_mode)
    return _reduced(x, kind, slide)[0]


def _pool(
    op: str,
    x: Node,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[Any],
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> _Slide:
    """Return the settings of a pool, which pads no more than half of its window."""
    sizes = window_of(op, window)
    gaps = each_axis(op, "dilation", dilation, len(sizes), 1)
    widths = each_side(op, padding, len(sizes))
    for k, gap, pair in zip(sizes, gaps, widths, strict=True):
        if max(pair) > span(k, gap) // 2:
            raise ArgumentError(
                f"[{op}] the padding must be at most half of the window",
                got=f"padding {widths} for a window {sizes} with dilation {gaps}",
                fix="pad first, with plait.pad",
            )
    return _slide(op, x, sizes, stride, widths, gaps, ceil_mode)


def max_pool(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Node:
    """Return the greatest element of each window over the last axes.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: at most half of the window; padded places are never the greatest.
        dilation: an integer, or one for each spatial axis.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.

    Returns:
        Shape (..., *out), where out is
        floor((n + before + after - dilation * (window - 1) - 1) / stride) + 1, or with
        ceil in place of floor.

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: the padding is more than half of the window.

    Special cases: nan if there is one in the window; the least number where dilation
    leaves nothing but padding in it.

    Gradient: to the first of equal greatest elements in row-major order, as in PyTorch.
    """
    slide = _pool("max_pool", x, window, stride, padding, dilation, ceil_mode)
    return _reduced(x, "max", slide)[0]


def max_pool_with_indices(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> tuple[Node, Node]:
    """Return `max_pool`, and where in `x` each greatest element stands.

    Args:
        x, window, stride, padding, dilation, ceil_mode: those of `max_pool`.

    Returns:
        The greatest elements, and int64 of the same shape: positions in row-major order
        over the spatial axes of `x`.

    Raises:
        ShapeError, ArgumentError: as in `max_pool`.
    """
    op = "max_pool_with_indices"
    return _pooled_with_indices(
        x, _pool(op, x, window, stride, padding, dilation, ceil_mode)
    )


def _pooled_with_indices(x: Node, slide: _Slide) -> tuple[Node, Node]:
    """Return the greatest element of each window, and where in `x` it stands."""
    found, position = _reduced(x, "max", slide)
    rank = len(slide.window)
    starts = [
        np.arange(n) * step - low
        for n, step, (low, _) in zip(
            found.shape[found.ndim - rank :], slide.stride, slide.widths, strict=True
        )
    ]
    return found, _in_input(position, x.shape[x.ndim - rank :], starts, slide)


def _in_input(
    position: Node, sizes: Shape, starts: Sequence[np.ndarray], slide: _Slide
) -> Node:
    """Return positions in an input of `sizes`, from those in windows with `starts`."""
    rank = len(sizes)
    elements = np.unravel_index(np.arange(math.prod(slide.window)), slide.window)
    result: Node | None = None
    for axis, (n, start) in enumerate(zip(sizes, starts, strict=True)):
        column = start.reshape((-1,) + (1,) * (rank - 1 - axis))
        offsets = constant(elements[axis] * slide.dilation[axis], int64)
        place = elementwise.add(
            gather.gather(offsets, position, 0), constant(column, int64)
        )
        if (start < 0).any():  # where all is -inf, padding is the first of the greatest
            place = elementwise.maximum(place, 0)
        if result is None:
            result = place
        else:
            result = elementwise.add(elementwise.multiply(result, n), place)
    return position if result is None else result


def average_pool(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: float | None = None,
) -> Node:
    """Return the mean of each window over the last axes.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: zeros, at most half of the window.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input. What lies beyond the padding is not counted.
        count_include_pad: count the padding as elements.
        divisor: what sums are divided by, in place of the numbers of elements.

    Returns:
        Shape (..., *out), as in `max_pool`; integers are averaged as the default
        floating-point type.

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: the padding is more than half of the window; the divisor is 0.
    """
    op = "average_pool"
    require(op, x, NUMERIC)
    x = as_float(op, x)
    dtype = x.dtype
    # The mean of 16-bit numbers may fit where their sum does not.
    x = elementwise.cast(x, promote(dtype, float32))
    slide = _pool(op, x, window, stride, padding, 1, ceil_mode)
    total = _reduced(x, "sum", slide)[0]
    if divisor is None:
        counts = _counts(x, total, slide, count_include_pad)
    elif divisor == 0:
        raise ArgumentError(f"[{op}] the divisor is 0", got=f"divisor={divisor}")
    else:
        counts = np.asarray(float(divisor))
    return elementwise.cast(_over(total, counts), dtype)


def _over(total: Node, counts: np.ndarray) -> Node:
    """Return sums divided by numbers of elements, of which all may be one number."""
    if counts.size and (counts == counts.flat[0]).all():
        return elementwise.divide(total, float(counts.flat[0]))
    return elementwise.divide(total, constant(counts, total.dtype))


def _counts(x: Node, total: Node, slide: _Slide, include_padding: bool) -> np.ndarray:
    """Return how many elements there are in each window."""
    rank = len(slide.window)
    spatial, out = x.shape[x.ndim - rank :], total.shape[total.ndim - rank :]
    counts = np.ones(())
    for n, m, k, step, (low, high) in zip(
        spatial, out, slide.window, slide.stride, slide.widths, strict=True
    ):
        start = np.arange(m) * step - low
        stop = np.minimum(start + k, n + high)
        if not include_padding:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        counts = np.multiply.outer(counts, stop - start)
    return counts


# Windows that adapt to the size of the result


def _wanted(op: str, x: Node, size: Any) -> Shape:
    """Return the sizes of the result on the last axes; None keeps one."""
    given = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    lead = x.ndim - len(given)
    if lead < 0:
        raise ShapeError(
            f"[{op}] more sizes are wanted than there are axes",
            got=f"size {size} over shape {x.shape}",
        )
    sizes = tuple(
        n if wanted is None else each_axis(op, "size", wanted, 1, 1)[0]
        for n, wanted in zip(x.shape[lead:], given, strict=True)
    )
    if 0 in x.shape[lead:]:
        raise ShapeError(
            f"[{op}] there is nothing to reduce on an empty axis", got=str(x.shape)
        )
    return sizes


def _adapted(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of `size` windows over `n` elements starts and stops."""
    i = np.arange(size)
    return i * n // size, -((i + 1) * n // -size)


def _equal(x: Node, size: Shape) -> Shape | None:
    """Return the window, if all of them have the same size."""
    spatial = x.shape[x.ndim - len(size) :]
    if any(n % m for n, m in zip(spatial, size, strict=True)):
        return None
    return tuple(n // m for n, m in zip(spatial, size, strict=True))


def _windowed(x: Node, axis: int, places: np.ndarray) -> Node:
    """Return the elements at places, shape (windows, size), in place of an axis."""
    n = x.shape[axis]
    if places.size == n and (places.reshape(-1) == np.arange(n)).all():
        return movement.reshape(
            x, (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        )
    return gather.gather(x, constant(places, int64), axis)


def adaptive_max_pool(x: Node, size: int | Sequence[int | None] | None) -> Node:
    """Return the greatest elements of `size` windows on each of the last axes.

    Window i of m over n elements is [floor(i * n / m), ceil((i + 1) * n / m)).

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `size`.
        size: the size of the result on each spatial axis; an integer means one axis,
            None that the size stays.

    Returns:
        Shape (..., *size).

    Raises:
        ShapeError: an axis is empty, or there are more sizes than axes.
        ArgumentError: a size is less than 1.
    """
    return _greatest("adaptive_max_pool", x, size)[0]


def adaptive_max_pool_with_indices(
    x: Node, size: int | Sequence[int | None] | None
) -> tuple[Node, Node]:
    """Return `adaptive_max_pool`, and where in `x` each greatest element stands.

    Args:
        x, size: those of `adaptive_max_pool`.

    Returns:
        The greatest elements, and int64 of the same shape: positions in row-major order
        over the spatial axes of `x`.

    Raises:
        ShapeError, ArgumentError: as in `adaptive_max_pool`.
    """
    return _greatest("adaptive_max_pool_with_indices", x, size)


def _greatest(
    op: str, x: Node, size: int | Sequence[int | None] | None
) -> tuple[Node, Node]:
    """Return the greatest elements of the windows, and their positions."""
    wanted = _wanted(op, x, size)
    window = _equal(x, wanted)
    if window is not None:
        return _pooled_with_indices(x, _slide(op, x, window, None, 0, 1, False))
    require(op, x, NUMERIC)
    first = x.ndim - len(wanted)
    lead, count = x.shape[:first], math.prod(x.shape[first:])
    # Axis by axis; of equal elements the position that comes first is kept.
    dtype = int32 if count < 1 << 31 else int64
    values = stop_gradient(x)
    position = movement.reshape(iota(count, dtype), x.shape[first:])
    for axis, m in enumerate(wanted, first):
        start, stop = _adapted(x.shape[axis], m)
        widest = int((stop - start).max())
        first_of = np.minimum(start, x.shape[axis] - widest)
        places = first_of[:, None] + np.arange(widest)
        windows = _windowed(values, axis, places)
        own = _windowed(position, axis - x.ndim + position.ndim, places)
        inside = (places >= start[:, None]) & (places < stop[:, None])
        if not inside.all():  # smaller windows are filled up with their neighbours
            mask = inside.reshape(*inside.shape, *(1,) * (x.ndim - 1 - axis))
            windows = elementwise.select(
                constant(mask, bool_), windows, _lowest(x.dtype)
            )
            own = elementwise.select(constant(mask, bool_), own, count)
        values = reduce.max(windows, axis + 1)
        top = elementwise.equal(windows, movement.expand_dims(values, axis + 1))
        if x.dtype.is_float:
            top = elementwise.logical_or(top, elementwise.isnan(windows))
        position = reduce.min(elementwise.select(top, own, count), axis + 1)
    position = elementwise.cast(position, int64)
    flat = movement.reshape(x, (*lead, count))
    places = movement.reshape(position, (*lead, math.prod(wanted)))
    found = gather.gather(flat, places, first, first)
    return movement.reshape(found, position.shape), position


def adaptive_average_pool(x: Node, size: int | Sequence[int | None] | None) -> Node:
    """Return the means of `size` windows on each of the last axes.

    Window i of m over n elements is [floor(i * n / m), ceil((i + 1) * n / m)).

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `size`.
        size: the size of the result on each spatial axis; an integer means one axis,
            None that the size stays.

    Returns:
        Shape (..., *size); integers are averaged as the default floating-point type.

    Raises:
        ShapeError: an axis is empty, or there are more sizes than axes.
        ArgumentError: a size is less than 1.
    """
    op = "adaptive_average_pool"
    wanted = _wanted(op, x, size)
    x = as_float(op, x)
    if set(wanted) == {1}:
        axes = tuple(range(x.ndim - len(wanted), x.ndim))
        return reduce.mean(x, axes, keepdims=True)
    window = _equal(x, wanted)
    if window is not None:
        return average_pool(x, window)
    dtype = x.dtype
    x = elementwise.cast(x, promote(dtype, float32))
    counts = np.ones(())
    for axis, m in enumerate(wanted, x.ndim - len(wanted)):
        start, stop = _adapted(x.shape[axis], m)
        counts = np.multiply.outer(counts, stop - start)
        least = int((stop - start).min())
        whole = _windowed(x, axis, start[:, None] + np.arange(least))
        total = reduce.sum_over(whole, (axis + 1,))
        for more in range(least, int((stop - start).max())):
            # Some windows have another element.
            place = np.minimum(start + more, stop - 1)
            part = gather.gather(x, constant(place, int64), axis)
            inside = (start + more < stop).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
            part = elementwise.select(constant(inside, bool_), part, 0.0)
            total = elementwise.add(total, part)
        x = total
    return elementwise.cast(_over(x, counts), dtype)


OPS = (
    window_reduce, max_pool, max_pool_with_indices, average_pool, adaptive_max_pool,
    adaptive_max_pool_with_indices, adaptive_average_pool,
)  # fmt: skip
