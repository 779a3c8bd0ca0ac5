"""Windows that slide over the last axes, and their transpose.

Spatial axes are the last ones, in any number; a stride, dilation or padding has one
entry for each.

Read first: `WINDOWS`, `sliding_windows`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import movement
from .family import NUMERIC, check_kind, quiet
from .spatial import (
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
        dilation: how far apart the elements of a window lie.
        padding: zeros before and after each spatial axis.
        stride: how far the window moves.

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


PRIMITIVES = (WINDOWS, FOLD)

OPS = (sliding_windows, unfold, fold)
