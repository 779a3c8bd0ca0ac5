"""Pooling beyond the greatest and the mean: by a power, at random places, and back.

Spatial axes are the last ones, in any number; a window, stride or padding has one entry
for each.

Read first: `lp_pool`, `max_unpool`, `fractional_max_pool`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import float32, int64, promote
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape
from . import elementwise, gather, index, movement, pooling
from .family import NUMERIC
from .operand import as_float, require
from .source import constant, full, iota
from .spatial import each_axis, window_of


def lp_pool(
    x: Node,
    p: float,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Node:
    """Return the root of the sum of powers of each window over the last axes.

    Formula: (sum of x ** p) ** (1 / p). As in PyTorch, x is not made positive: for an
    odd `p` a negative sum gives nan.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        p: above 0. At 1, the sum; towards infinity, the greatest element.
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        ceil_mode: also take a last window that is not whole; its sum is scaled up to
            that of a whole one.

    Returns:
        Shape (..., *out), as in `max_pool`; integers become the default floating-point
        type.

    Raises:
        ShapeError: the window is larger than what it slides over.
        ArgumentError: `p` is not positive.

    Gradient: 0 where the sum is 0.

    Source: P. Sermanet, S. Chintala, Y. LeCun, "Convolutional neural networks applied
    to house numbers digit classification", 2012.
    """
    op = "lp_pool"
    require(op, x, NUMERIC)
    if not 0 < p < math.inf:
        raise ArgumentError(
            f"[{op}] the power must be positive and finite", got=f"p={p}"
        )
    x = as_float(op, x)
    dtype = x.dtype
    x = elementwise.cast(x, promote(dtype, float32))
    sizes = window_of(op, window)
    powers = x if p == 1 else elementwise.pow(x, float(p))
    mean = pooling.average_pool(powers, sizes, stride=stride, ceil_mode=ceil_mode)
    total = elementwise.multiply(mean, float(math.prod(sizes)))
    if p != 1:
        # The derivative of a root is infinite at 0.
        zero = elementwise.equal(total, 0)
        safe = elementwise.select(zero, 1.0, total)
        root = elementwise.sqrt(safe) if p == 2 else elementwise.pow(safe, 1 / p)
        total = elementwise.select(zero, 0.0, root)
    return elementwise.cast(total, dtype)


def max_unpool(
    x: Node,
    indices: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    size: int | Sequence[int] | None = None,
) -> Node:
    """Return elements put back to where `max_pool_with_indices` found them, among 0.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        indices: int64, the shape of `x`: places in row-major order over the spatial
            axes of the result.
        window, stride, padding: those of the pool.
        size: the spatial sizes of the result, as several sizes lead to those of `x`.
            Default: (n - 1) * stride - 2 * padding + window.

    Returns:
        Shape (..., *size).

    Raises:
        ShapeError: `indices` have another shape than `x`; or a size that is not within
            a stride of the default.
        DTypeError: `indices` are not integers.
        IndexingError: at run time, one is out of range.

    Special cases: of elements with equal places the last one stays.

    Gradient: to the elements that stayed.

    Source: M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional
    networks", 2014.
    """
    op = "max_unpool"
    sizes = window_of(op, window)
    rank = len(sizes)
    steps = sizes if stride is None else each_axis(op, "stride", stride, rank, 1)
    widths = each_axis(op, "padding", padding, rank, 0)
    if x.ndim < rank or x.shape != indices.shape:
        raise ShapeError(
            f"[{op}] each element needs a place",
            got=f"{x.shape} and indices {indices.shape} for a window {sizes}",
        )
    if not indices.dtype.is_integer:
        raise DTypeError(f"[{op}] places are integers", got=indices.dtype.name)
    lead, spatial = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    usual = tuple(
        (n - 1) * step - 2 * width + k
        for n, step, width, k in zip(spatial, steps, widths, sizes, strict=True)
    )
    wanted = usual if size is None else each_axis(op, "size", size, rank, 1)
    near = all(
        abs(n - m) < step for n, m, step in zip(wanted, usual, steps, strict=True)
    )
    if not near or min(wanted, default=1) < 1:
        raise ShapeError(
            f"[{op}] the result cannot have that size",
            got=f"size {wanted}",
            expected=f"less than a stride {steps} away from {usual}",
        )
    flat = (*lead, math.prod(spatial))
    result = index.put_along_axis(
        full((*lead, math.prod(wanted)), 0, x.dtype),
        movement.reshape(indices, flat),
        movement.reshape(x, flat),
    )
    return movement.reshape(result, (*lead, *wanted))


# Windows at random places


def _starts(samples: Node, n: int, m: int, k: int) -> Node:
    """Return where m windows of k elements begin on an axis of n.

    They lie about (n - k) / (m - 1) apart, and the last one ends the axis.

    Args:
        samples: shape (batch, channels), in 0..1: shifts the sequence of windows.

    Returns:
        int64, shape (batch, channels, m).
    """
    last = constant(np.full((*samples.shape, 1), n - k), int64)
    if m == 1:
        return last
    step = (n - k) / (m - 1)
    shift = movement.expand_dims(samples, -1)
    i = elementwise.cast(iota(m - 1, int64), samples.dtype)

    def cut(x: Node) -> Node:
        return elementwise.cast(elementwise.trunc(elementwise.multiply(x, step)), int64)

    places = elementwise.subtract(cut(elementwise.add(i, shift)), cut(shift))
    return movement.concat([places, last], axis=-1)


def _fractional(
    op: str, x: Node, samples: Node, window: int | Sequence[int], size: Any
) -> tuple[Node, Shape, list[Node]]:
    """Return the windows side by side, their sizes, and where they begin."""
    require(op, x, NUMERIC)
    sizes = window_of(op, window)
    rank = len(sizes)
    wanted = each_axis(op, "size", size, rank, 1)
    if x.ndim != rank + 2 or samples.shape != (*x.shape[:2], rank):
        raise ShapeError(
            f"[{op}] one random number is needed for each channel and spatial axis",
            got=f"samples {samples.shape} for an input of shape {x.shape}",
            expected="(n, channels, *spatial) and (n, channels, spatial axes)",
        )
    for n, m, k in zip(x.shape[2:], wanted, sizes, strict=True):
        if m + k - 1 > n:
            raise ShapeError(
                f"[{op}] the input is too small for so many windows",
                got=f"shape {x.shape} for a window {sizes} and a result of {wanted}",
                expected="at least size + window - 1 on each axis",
            )
    samples = as_float(op, samples)
    samples = elementwise.cast(samples, promote(samples.dtype, float32))
    starts = []
    for axis, (m, k) in enumerate(zip(wanted, sizes, strict=True)):
        # PyTorch takes the numbers of two axes the other way round.
        column = 1 - axis if rank == 2 else axis
        sample = movement.slice_axis(samples, 2, column, column + 1)
        start = _starts(movement.squeeze(sample, 2), x.shape[2 + axis], m, k)
        starts.append(start)
        places = elementwise.add(movement.expand_dims(start, -1), iota(k, int64))
        flat = movement.reshape(places, (*x.shape[:2], m * k))
        x = gather.gather(x, flat, 2 + axis, 2)
    return x, sizes, starts


def fractional_max_pool(
    x: Node, samples: Node, window: int | Sequence[int], size: int | Sequence[int]
) -> Node:
    """Return the greatest elements of windows at random places, `size` on each axis.

    On an axis of n elements, window i of m begins at trunc((i + u) * s) - trunc(u * s)
    with s = (n - window) / (m - 1), and the last one at n - window.

    Args:
        x: shape (n, channels, *spatial).
        samples: u, shape (n, channels, spatial axes), in 0..1, such as
            `plait.random.uniform(shape=...)`. As in PyTorch, for two spatial axes the
            first number is that of the width.
        window: the size on each spatial axis; an integer means one axis.
        size: the size of the result, an integer or one for each spatial axis.

    Returns:
        Shape (n, channels, *size).

    Raises:
        ShapeError: `samples` do not fit, or the input is too small.

    Source: B. Graham, "Fractional max-pooling", 2014.
    """
    spread, sizes, _ = _fractional("fractional_max_pool", x, samples, window, size)
    return pooling.max_pool(spread, sizes)


def fractional_max_pool_with_indices(
    x: Node, samples: Node, window: int | Sequence[int], size: int | Sequence[int]
) -> tuple[Node, Node]:
    """Return `fractional_max_pool`, and where in `x` each greatest element stands.

    Args:
        x, samples, window, size: those of `fractional_max_pool`.

    Returns:
        The greatest elements, and int64 of the same shape: positions in row-major order
        over the spatial axes of `x`.

    Raises:
        ShapeError: as in `fractional_max_pool`.
    """
    op = "fractional_max_pool_with_indices"
    spread, sizes, starts = _fractional(op, x, samples, window, size)
    rank = len(sizes)
    found, position = pooling.max_pool_with_indices(spread, sizes)
    # The row and column in what is spread out, then in the window, then in `x`.
    places: list[Node] = []
    for n in reversed(spread.shape[2:]):
        places.append(elementwise.remainder(position, n))
        position = elementwise.floor_divide(position, n)
    result: Node | None = None
    for axis, place in enumerate(reversed(places)):
        shape = [*x.shape[:2], *(1,) * rank]
        shape[2 + axis] = found.shape[2 + axis]
        start = movement.reshape(starts[axis], shape)
        inside = elementwise.remainder(place, sizes[axis])
        here = elementwise.add(start, inside)
        if result is not None:
            here = elementwise.add(
                elementwise.multiply(result, x.shape[2 + axis]), here
            )
        result = here
    assert result is not None
    return found, result


OPS = (lp_pool, max_unpool, fractional_max_pool, fractional_max_pool_with_indices)
