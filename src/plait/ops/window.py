"""Windows that slide over the last axes, and reductions over them: pooling.

Spatial axes are the last ones, in any number; a stride, dilation or padding has one
entry for each.

Read first: `WINDOWS`, `sliding_windows`, `window_reduce`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtypes import DType, float32, int64, promote
from ..errors import ArgumentError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import elementwise, gather, movement, reduce
from .family import NUMERIC, check_kind, quiet
from .operand import as_float, require
from .source import constant
from .spatial import (
    Pairs,
    each_axis,
    each_side,
    pad_spatial,
    padded_sizes,
    span,
    wide,
    window_counts,
    window_of,
)


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape)


def _windows_infer(
    x: TensorType, *, window: Shape, stride: Shape, dilation: Shape
) -> TensorType:
    rank = len(window)
    if x.ndim < rank:
        raise ShapeError(
            "[windows] the window has more axes than the tensor",
            got=f"window {window} over shape {x.shape}",
        )
    lead, sizes = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    out = window_counts("windows", sizes, window, stride, dilation)
    return TensorType((*lead, *out, *window), x.dtype)


def _windows_reference(
    x: np.ndarray, *, window: Shape, stride: Shape, dilation: Shape
) -> np.ndarray:
    lead = x.ndim - len(window)
    steps = x.strides[lead:]
    out = window_counts("windows", x.shape[lead:], window, stride, dilation)
    return as_strided(
        x,
        (*x.shape[:lead], *out, *window),
        (
            *x.strides[:lead],
            *(s * step for s, step in zip(steps, stride, strict=True)),
            *(s * gap for s, gap in zip(steps, dilation, strict=True)),
        ),
        writeable=False,
    )


def _windows_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    at = node.attributes
    size = x.shape[x.ndim - len(at["window"]) :]
    return (apply(FOLD, ct, size=size, stride=at["stride"], dilation=at["dilation"]),)


def _same_over_leading(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    return apply(node.primitive, *operands, **node.attributes)


WINDOWS = Primitive(
    name="windows",
    infer=_windows_infer,
    reference=_windows_reference,
    vjp=_windows_vjp,
    batch=_same_over_leading,
    samples=lambda: [
        Sample((_array(2, 7),), {"window": (3,), "stride": (2,), "dilation": (1,)}),
        Sample(
            (_array(5, 6),), {"window": (2, 3), "stride": (2, 1), "dilation": (2, 1)}
        ),
        Sample((_array(2, 3),), {"window": (), "stride": (), "dilation": ()}),
        Sample((_array(0, 4),), {"window": (2,), "stride": (2,), "dilation": (1,)}),
        Sample(
            (np.arange(5),), {"window": (2,), "stride": (1,), "dilation": (3,)},
            smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"window": (2,), "stride": (1,), "dilation": (3,)},
            ShapeError,
            "[windows] the window is empty or larger than what it slides over. "
            "Got: window (2,) with dilation (3,) over sizes (3,), padding included. "
            "Expected: at least 1, and at most the size on each axis.",
        ),
        Failure(
            (_array(3),), {"window": (2, 2), "stride": (1, 1), "dilation": (1, 1)},
            ShapeError,
            "[windows] the window has more axes than the tensor. "
            "Got: window (2, 2) over shape (3,).",
        ),
    ],
    source="result[..., o, j] = x[..., stride * o + dilation * j], for each axis",
)  # fmt: skip


def _fold_infer(
    x: TensorType, *, size: Shape, stride: Shape, dilation: Shape
) -> TensorType:
    check_kind("fold", x.dtype, NUMERIC)
    rank = len(size)
    lead = x.ndim - 2 * rank
    window = x.shape[lead + rank :]
    fits = lead >= 0 and x.shape[lead : lead + rank] == window_counts(
        "fold", size, window, stride, dilation
    )
    if not fits:
        raise ShapeError(
            "[fold] the numbers of windows are not those over the size asked for",
            got=f"windows {x.shape} for size {size}, stride {stride} and "
            f"dilation {dilation}",
            expected="(..., *numbers of windows, *window)",
        )
    return TensorType((*x.shape[:lead], *size), x.dtype)


def _fold_reference(
    x: np.ndarray, *, size: Shape, stride: Shape, dilation: Shape
) -> np.ndarray:
    dtype = x.dtype
    x = wide(x)
    rank = len(size)
    lead = x.ndim - 2 * rank
    # The axes of the windows first: what is added up then lies in long rows.
    x = np.moveaxis(x, range(-rank, 0), range(rank))
    # One axis at a time, the last first, which is then the last of the windows' axes.
    # Along it, either all windows at one offset or all offsets of one window are added.
    for i in reversed(range(rank)):
        place, step, gap = lead + 2 * i, stride[i], dilation[i]
        k, count = x.shape[i], x.shape[place + 1]
        shape = [*x.shape[:i], *x.shape[i + 1 :]]
        shape[place] = size[i]
        total = np.zeros(shape, x.dtype)
        whole: list[Any] = [slice(None)] * len(shape)
        for j in range(min(count, k)):
            if k <= count:
                part = x[(*whole[:i], j)]
                target = slice(j * gap, j * gap + span(count, step), step)
            else:
                part = np.moveaxis(x[(*whole[: place + 1], j)], i, place)
                target = slice(j * step, j * step + span(k, gap), gap)
            total[(*whole[:place], target)] += part
        x = total
    return x if x.dtype == dtype else x.astype(dtype)


def _fold_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    at = node.attributes
    window = x.shape[x.ndim - len(at["size"]) :]
    return (
        apply(WINDOWS, ct, window=window, stride=at["stride"], dilation=at["dilation"]),
    )


FOLD = Primitive(
    name="fold",
    infer=_fold_infer,
    reference=quiet(_fold_reference),
    vjp=_fold_vjp,
    batch=_same_over_leading,
    samples=lambda: [
        Sample((_array(2, 3, 3),), {"size": (7,), "stride": (2,), "dilation": (1,)}),
        Sample((_array(1, 2, 5),), {"size": (6,), "stride": (1,), "dilation": (1,)}),
        Sample(
            (_array(2, 4, 2, 3),),
            {"size": (5, 6), "stride": (2, 1), "dilation": (2, 1)},
        ),
        Sample((_array(2, 3),), {"size": (), "stride": (), "dilation": ()}),
        Sample(
            (np.arange(6).reshape(3, 2),),
            {"size": (4,), "stride": (1,), "dilation": (1,)}, smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(3, 2),), {"size": (5,), "stride": (1,), "dilation": (1,)},
            ShapeError,
            "[fold] the numbers of windows are not those over the size asked for. Got: "
            "windows (3, 2) for size (5,), stride (1,) and dilation (1,). Expected: "
            "(..., *numbers of windows, *window).",
        )
    ],
    source="the transpose of `windows`: overlapping elements are added",
)  # fmt: skip


# Windows as ops


def sliding_windows(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Node:
    """Return all windows over the last axes, without a copy.

    Formula: y[..., o, j] = x[..., stride * o + dilation * j], for each axis.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride, dilation: an integer, or one for each spatial axis.

    Returns:
        Shape (..., *numbers of windows, *window).

    Raises:
        ShapeError: the window is larger than what it slides over.

    Gradient: overlapping elements are added.
    """
    sizes = window_of("sliding_windows", window)
    steps = each_axis("sliding_windows", "stride", stride, len(sizes), 1)
    gaps = each_axis("sliding_windows", "dilation", dilation, len(sizes), 1)
    return apply(WINDOWS, x, window=sizes, stride=steps, dilation=gaps)


def _exchange_halves(lead: int, rank: int) -> tuple[int, ...]:
    """Return the order of axes with the last `rank` and the `rank` before swapped."""
    first, second = range(lead, lead + rank), range(lead + rank, lead + 2 * rank)
    return (*range(lead), *second, *first)


def unfold(
    x: Node,
    window: int | Sequence[int],
    *,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[Any] = 0,
    stride: int | Sequence[int] = 1,
) -> Node:
    """Return each window as a column, so that a convolution is a matrix product.

    Args:
        x: shape (batch, channels, *spatial) or (channels, *spatial), with one spatial
            axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        padding: zeros before and after each spatial axis.

    Returns:
        Shape (batch, channels * elements of a window, number of windows).

    Raises:
        ShapeError: the window is larger than the padded input.
    """
    sizes = window_of("unfold", window)
    rank = len(sizes)
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            "[unfold] the number of axes is wrong",
            got=f"input {x.shape} for a window {sizes}",
            expected="(batch, channels, *spatial) or (channels, *spatial)",
        )
    padded = pad_spatial(x, each_side("unfold", padding, rank))
    found = sliding_windows(padded, sizes, stride=stride, dilation=dilation)
    lead = x.ndim - rank
    out = found.shape[lead : lead + rank]
    rows = x.shape[lead - 1] * math.prod(sizes)
    columns = movement.permute_dims(found, _exchange_halves(lead, rank))
    return movement.reshape(columns, (*x.shape[: lead - 1], rows, math.prod(out)))


def fold(
    x: Node,
    size: int | Sequence[int],
    window: int | Sequence[int],
    *,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[Any] = 0,
    stride: int | Sequence[int] = 1,
) -> Node:
    """Return the sum of columns put back as windows: the transpose of `unfold`.

    Args:
        x: shape (batch, channels * elements of a window, number of windows), or without
            batch.
        size: the spatial sizes of the result.
        window, dilation, padding, stride: those of `unfold`.

    Returns:
        Shape (batch, channels, *size), without batch if `x` had none.

    Raises:
        ShapeError: the columns are not those of such windows.
    """
    kernel = window_of("fold", window)
    rank = len(kernel)
    sizes = each_axis("fold", "size", size, rank, 1)
    steps = each_axis("fold", "stride", stride, rank, 1)
    gaps = each_axis("fold", "dilation", dilation, rank, 1)
    widths = each_side("fold", padding, rank)
    padded = padded_sizes(sizes, widths)
    out = window_counts("fold", padded, kernel, steps, gaps)
    elements = math.prod(kernel)
    if x.ndim not in (2, 3) or x.shape[-2] % elements or x.shape[-1] != math.prod(out):
        raise ShapeError(
            "[fold] the columns are not those of such windows",
            got=str(x.shape),
            expected=f"(batch, channels * {elements}, {math.prod(out)})",
        )
    lead = (*x.shape[:-2], x.shape[-2] // elements)
    split = movement.reshape(x, (*lead, *kernel, *out))
    at = len(lead)
    found = movement.permute_dims(split, _exchange_halves(at, rank))
    result = apply(FOLD, found, size=padded, stride=steps, dilation=gaps)
    starts = (0,) * at + tuple(low for low, _ in widths)
    stops = lead + tuple(low + n for (low, _), n in zip(widths, sizes, strict=True))
    return movement.slice_(result, starts, stops)


# Reductions over windows


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


def _at_positions(
    x: Node, position: Node, window: Shape, stride: Shape, dilation: Shape
) -> Node:
    """Return the element at a position of each window, counted in row-major order."""
    rank = len(window)
    lead, sizes = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    out = position.shape[len(lead) :]
    starts = _flat_positions(
        [np.arange(n) * s for n, s in zip(out, stride, strict=True)], sizes
    )
    offsets = _flat_positions(
        [np.arange(n) * s for n, s in zip(window, dilation, strict=True)], sizes
    )
    within = gather.gather(constant(offsets, int64), position, 0)
    count = math.prod(lead)
    at = movement.reshape(
        elementwise.add(within, constant(starts.reshape(out), int64)),
        (count, math.prod(out)),
    )
    found = gather.gather(movement.reshape(x, (count, math.prod(sizes))), at, 1, 1)
    return movement.reshape(found, position.shape)


def _flat_positions(places: Sequence[np.ndarray], sizes: Shape) -> np.ndarray:
    """Return flat positions of the points of a grid, given its places on each axis."""
    return np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), sizes).reshape(-1)


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


def _reduce_windows(
    op: str,
    x: Node,
    kind: str,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[Any],
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> tuple[Node, Shape, Shape, Pairs]:
    """Return the reduction, and the window, stride and padding for each axis."""
    if kind not in _KINDS:
        raise ArgumentError(
            f"[{op}] there is no reduction of that name",
            got=repr(kind),
            expected=", ".join(_KINDS),
        )
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
    padded = padded_sizes(spatial, widths)
    window_counts(op, padded, sizes, steps, gaps)
    full = _rounded_up(spatial, sizes, steps, gaps, widths) if ceil_mode else widths
    neutral, reduction = _KINDS[kind]
    x = pad_spatial(x, full, neutral(x.dtype))
    found = apply(WINDOWS, x, window=sizes, stride=steps, dilation=gaps)
    # The window first: reductions over it then run along whole rows.
    lead = movement.moveaxis(found, tuple(range(-rank, 0)), tuple(range(rank)))
    flat = movement.reshape(lead, (math.prod(sizes), *found.shape[:-rank]))
    result = reduction(flat)
    if kind in ("max", "min"):
        result = _at_positions(x, result, sizes, steps, gaps)
    return result, sizes, steps, widths


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
    return _reduce_windows(
        "window_reduce", x, kind, window, stride, padding, dilation, ceil_mode
    )[0]


def _check_half(op: str, window: Shape, dilation: Shape, widths: Pairs) -> None:
    for k, gap, pair in zip(window, dilation, widths, strict=True):
        if max(pair) > span(k, gap) // 2:
            raise ArgumentError(
                f"[{op}] the padding must be at most half of the window",
                got=f"padding {widths} for a window {window} with dilation {dilation}",
                fix="pad first, with plait.pad",
            )


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

    Special cases: nan if there is one in the window.

    Gradient: to the first of equal greatest elements in row-major order, as in PyTorch.
    """
    sizes = window_of("max_pool", window)
    gaps = each_axis("max_pool", "dilation", dilation, len(sizes), 1)
    _check_half("max_pool", sizes, gaps, each_side("max_pool", padding, len(sizes)))
    return _reduce_windows(
        "max_pool", x, "max", sizes, stride, padding, gaps, ceil_mode
    )[0]


def average_pool(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
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

    Returns:
        Shape (..., *out), as in `max_pool`; integers are averaged as the default
        floating-point type.

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: the padding is more than half of the window.
    """
    op = "average_pool"
    require(op, x, NUMERIC)
    x = as_float(op, x)
    dtype = x.dtype
    # The mean of 16-bit numbers may fit where their sum does not.
    x = elementwise.cast(x, promote(dtype, float32))
    sizes = window_of(op, window)
    ones = (1,) * len(sizes)
    _check_half(op, sizes, ones, each_side(op, padding, len(sizes)))
    total, _, steps, widths = _reduce_windows(
        op, x, "sum", sizes, stride, padding, ones, ceil_mode
    )
    rank = len(sizes)
    spatial, out = x.shape[x.ndim - rank :], total.shape[total.ndim - rank :]
    counts = np.ones(())
    for n, m, k, step, (low, high) in zip(
        spatial, out, sizes, steps, widths, strict=True
    ):
        start = np.arange(m) * step - low
        stop = np.minimum(start + k, n + high)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        counts = np.multiply.outer(counts, stop - start)
    if counts.size and (counts == counts.flat[0]).all():
        mean = elementwise.divide(total, float(counts.flat[0]))
    else:
        mean = elementwise.divide(total, constant(counts, x.dtype))
    return elementwise.cast(mean, dtype)


PRIMITIVES = (WINDOWS, FOLD)

OPS = (sliding_windows, unfold, fold, window_reduce, max_pool, average_pool)
