"""What ops with spatial axes share: sizes, windows and the forms of their arguments.

Spatial axes are the last ones, in any number; a stride, dilation or padding has one
entry for each. A *window* of size k with dilation d spans `d * (k - 1) + 1` elements.
Knows no single primitive.

Read first: `window_counts`, `each_axis`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape
from . import movement

Pairs = tuple[tuple[int, int], ...]


def span(size: int, step: int) -> int:
    """Return how far `size` elements reach that lie `step` apart; 0 for none."""
    return (size - 1) * step + 1 if size else 0


def wide(x: np.ndarray) -> np.ndarray:
    """Return 16-bit floats as float32, to be accumulated in."""
    narrow = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    return x.astype(np.float32) if narrow else x


def padded_sizes(sizes: Sequence[int], widths: Pairs) -> Shape:
    """Return sizes with widths added before and after; a width may be negative."""
    return tuple(n + low + high for n, (low, high) in zip(sizes, widths, strict=True))


def window_counts(
    op: str, sizes: Shape, window: Shape, stride: Shape, dilation: Shape
) -> Shape:
    """Return how many windows lie along each axis.

    Raises:
        ShapeError: not a single one.
    """
    result = []
    for n, k, step, gap in zip(sizes, window, stride, dilation, strict=True):
        reach = span(k, gap)
        if k < 1 or n < reach:
            raise ShapeError(
                f"[{op}] the window is empty or larger than what it slides over",
                got=f"window {window} with dilation {dilation} over sizes {sizes}, "
                "padding included",
                expected="at least 1, and at most the size on each axis",
            )
        result.append((n - reach) // step + 1)
    return tuple(result)


# Arguments of the ops


def each_axis(
    op: str, name: str, value: int | Sequence[int], rank: int, least: int
) -> Shape:
    """Return one integer for each spatial axis.

    Raises:
        ArgumentError: one is less than `least`, or there are not `rank` of them.
        ArgumentTypeError: one is no integer.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    try:
        sizes = tuple(operator.index(n) for n in given)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(
            f"[{op}] {name} must be an integer, or one for each spatial axis",
            got=f"{name}={value!r}",
        ) from None
    if len(sizes) != rank or any(n < least for n in sizes):
        raise ArgumentError(
            f"[{op}] {name} does not fit",
            got=f"{name}={value!r} for {rank} spatial axes",
            expected=f"an integer of at least {least}, or one for each spatial axis",
        )
    return sizes


def each_side(op: str, value: Any, rank: int) -> Pairs:
    """Return a pair of widths for each spatial axis, from integers or pairs."""
    if isinstance(value, (tuple, list)) and len(value) == rank:
        parts = [
            each_axis(op, "padding", part, 2, 0) if isinstance(part, (tuple, list))
            else each_axis(op, "padding", part, 1, 0) * 2
            for part in value
        ]  # fmt: skip
        return tuple((low, high) for low, high in parts)
    widths = each_axis(op, "padding", value, rank, 0)
    return tuple((width, width) for width in widths)


def window_of(op: str, window: int | Sequence[int]) -> Shape:
    """Return the sizes of a window."""
    rank = len(window) if isinstance(window, (tuple, list)) else 1
    return each_axis(op, "window", window, rank, 1)


def pad_spatial(x: Node, widths: Pairs, value: float = 0) -> Node:
    """Return `x` with `value` added around its spatial axes."""
    lead = ((0, 0),) * (x.ndim - len(widths))
    return movement.pad_constant(x, (*lead, *widths), value)
