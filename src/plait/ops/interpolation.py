"""Images of other sizes: values between pixels, and channels traded for pixels.

Every axis is resized by itself: each element of the result is a weighted sum of a few
elements of `x`, its *taps*, whose places and weights are known when it is recorded.

Read first: `interpolate`, `_taps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import float32, int64, promote
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape
from . import elementwise, gather, index, movement
from .operand import as_float
from .source import constant
from .spatial import each_axis

# mode -> how many spatial axes it is for; None for any number.
_RANKS = {
    "nearest": None, "nearest-exact": None, "linear": 1, "bilinear": 2, "bicubic": 2,
    "trilinear": 3,
}  # fmt: skip
# The free parameter of cubic convolution, as PyTorch and OpenCV choose it.
CUBIC_SLOPE = -0.75

# The places of the taps of each element, and their weights: both (taps, elements).
Taps = tuple[np.ndarray, np.ndarray]


def _linear(places: np.ndarray) -> Taps:
    """Return the two elements around each place, the nearer of the greater weight."""
    places = np.maximum(places, 0)
    before = np.floor(places).astype(np.int64)
    after = places - before
    return np.stack([before, before + 1]), np.stack([1 - after, after])


def _cubic(places: np.ndarray) -> Taps:
    """Return the four elements around each place, weighted by cubic convolution.

    Source: R. G. Keys, "Cubic convolution interpolation for digital image processing",
    1981, equation 4 with a free parameter.
    """
    first = np.floor(places).astype(np.int64)
    t, a = places - first, CUBIC_SLOPE

    def near(s: Any) -> Any:
        return ((a + 2) * s - (a + 3)) * s * s + 1

    def far(s: Any) -> Any:
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a

    return (
        np.stack([first - 1, first, first + 1, first + 2]),
        np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)]),
    )


def _taps(
    n: int, m: int, ratio: tuple[float, float], mode: str, align_corners: bool
) -> Taps:
    """Return the taps of each of m elements out of n.

    Args:
        ratio: of the steps from element to element in the result and in `x`. As two
            numbers, so that quotients that are whole come out whole.
    """
    i = np.arange(m)
    to, of = ratio
    if mode.startswith("nearest"):
        middle = 0.5 if mode == "nearest-exact" else 0.0
        places = np.floor((i + middle) * of / to).astype(np.int64)[None]
        return np.clip(places, 0, n - 1), np.ones((1, m))
    at: Any
    if align_corners:
        at = i * (n - 1) / max(m - 1, 1)
    else:
        at = (i + 0.5) * of / to - 0.5
    places, weights = _cubic(at) if mode == "bicubic" else _linear(at)
    return np.clip(places, 0, n - 1), weights


def _taken(x: Node, axis: int, places: np.ndarray) -> Node:
    """Return the elements at static places of an axis, by a slice if that will do."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step > 0 and (np.diff(places) == step).all():
        first, last = int(places[0]), int(places[-1])
        return movement.slice_axis(x, axis, first, last + 1, step)
    return gather.gather(x, constant(places, int64), axis)


def _resized(x: Node, axis: int, taps: Taps) -> Node:
    column = (-1,) + (1,) * (x.ndim - 1 - axis)
    result: Node | None = None
    for places, weights in zip(*taps, strict=True):
        if not weights.any():
            continue
        part = _taken(x, axis, places)
        if (weights != 1).any():
            part = elementwise.multiply(
                part, constant(weights.reshape(column), part.dtype)
            )
        result = part if result is None else elementwise.add(result, part)
    assert result is not None, "the weights of each element sum to 1"
    return result


def _sizes_of(
    x: Node, size: Any, scale_factor: Any, rank: int
) -> tuple[Shape, tuple[tuple[float, float], ...]]:
    """Return the sizes of the result, and their ratios to those of the input."""
    spatial = x.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            "[interpolate] either size or scale_factor is needed",
            got=f"size={size}, scale_factor={scale_factor}",
        )
    if size is not None:
        sizes = each_axis("interpolate", "size", size, rank, 1)
        return sizes, tuple(zip(sizes, spatial, strict=True))
    many = isinstance(scale_factor, (tuple, list))
    factors = tuple(scale_factor) if many else (scale_factor,) * rank
    if len(factors) != rank or not all(
        isinstance(f, (int, float)) and 0 < f < math.inf for f in factors
    ):
        raise ArgumentError(
            "[interpolate] scale_factor does not fit",
            got=f"scale_factor={scale_factor!r} for {rank} spatial axes",
            expected="a number above 0, or one for each spatial axis",
        )
    sizes = tuple(math.floor(n * f) for n, f in zip(spatial, factors, strict=True))
    if 0 in sizes or max(sizes, default=0) >= 1 << 63:
        size = "empty" if 0 in sizes else "too large"
        raise ShapeError(
            f"[interpolate] the result would be {size}",
            got=f"scale_factor={scale_factor} for shape {x.shape}",
        )
    return sizes, tuple((float(f), 1.0) for f in factors)


def interpolate(
    x: Node,
    size: int | Sequence[int] | None = None,
    *,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Node:
    """Return `x` with other sizes of its spatial axes, with values in between.

    Element i of the result lies at (i + 0.5) / r - 0.5 of the input, where r is the
    scale factor, or the ratio of the sizes if `size` is given; with `align_corners` it
    lies at i * (n - 1) / (m - 1), so that first and last elements stay. Places outside
    are moved to the edge. "nearest" takes element floor(i / r), and "nearest-exact"
    element floor((i + 0.5) / r). With "nearest" and the linear modes, an axis whose
    size stays is left as it is, even if the scale factor is not 1.

    Args:
        x: shape (batch, channels, *spatial).
        size: of the result, an integer or one for each spatial axis.
        scale_factor: in place of `size`, which is then floor(n * scale_factor).
        mode: "nearest" and "nearest-exact" for any number of spatial axes, "linear" for
            one, "bilinear" and "bicubic" for two, "trilinear" for three.
        align_corners: for modes that are not nearest.

    Returns:
        Shape (batch, channels, *size); integers become the default floating-point type,
        unless the mode is nearest.

    Raises:
        ArgumentError: neither size nor scale factor, or both; no such mode, or not for
            so many axes; `align_corners` with a nearest mode.
        ShapeError: the input has no spatial axes, or empty ones; an empty result.

    Source: linear and cubic convolution: R. G. Keys, "Cubic convolution interpolation
    for digital image processing", 1981, with a = -0.75 as in PyTorch.
    """
    op = "interpolate"
    rank = x.ndim - 2
    if rank < 1 or 0 in x.shape[2:]:
        raise ShapeError(
            f"[{op}] the input has no spatial axes, or an empty one",
            got=str(x.shape),
            expected="(batch, channels, *spatial)",
        )
    if mode not in _RANKS or _RANKS[mode] not in (None, rank):
        fitting = [name for name, ranks in _RANKS.items() if ranks in (None, rank)]
        raise ArgumentError(
            f"[{op}] there is no such mode for {rank} spatial axes",
            got=repr(mode),
            expected=", ".join(fitting),
        )
    nearest = mode.startswith("nearest")
    if nearest and align_corners:
        raise ArgumentError(
            f"[{op}] align_corners is for modes that are not nearest",
            got=f"mode={mode!r}",
        )
    sizes, ratios = _sizes_of(x, size, scale_factor, rank)
    if not nearest:
        x = as_float(op, x)
    dtype = x.dtype
    if not nearest:  # sums of 16-bit numbers would lose digits
        x = elementwise.cast(x, promote(dtype, float32))
    for axis, (m, ratio) in enumerate(zip(sizes, ratios, strict=True), 2):
        n = x.shape[axis]
        if m == n and mode not in ("bicubic", "nearest-exact"):
            continue
        if nearest and m % n == 0 and m * ratio[1] == n * ratio[0]:
            x = index.repeat(x, m // n, axis=axis)
        else:
            x = _resized(x, axis, _taps(n, m, ratio, mode, align_corners))
    return elementwise.cast(x, dtype)


# Channels and pixels


def _image(op: str, x: Node, factor: int, fits: Callable[[Shape, int], bool]) -> int:
    """Return the factor, if `x` is an image that it fits.

    Raises:
        ShapeError: it is not.
    """
    (factor,) = each_axis(op, "factor", factor, 1, 1)
    if x.ndim < 3 or not fits(x.shape[-3:], factor):
        raise ShapeError(
            f"[{op}] the shape does not fit",
            got=f"{x.shape} with factor {factor}",
            expected="(..., channels, height, width), divisible by the factor",
        )
    return factor


def pixel_shuffle(x: Node, factor: int) -> Node:
    """Return channels as pixels: squares of `factor` by `factor` out of each.

    Formula: y[..., c, f * h + i, f * w + j] = x[..., f * f * c + f * i + j, h, w].

    Args:
        x: shape (..., channels * factor ** 2, height, width).

    Returns:
        Shape (..., channels, height * factor, width * factor).

    Raises:
        ShapeError: the channels cannot be divided.

    Source: W. Shi et al., "Real-time single image and video super-resolution using an
    efficient sub-pixel convolutional neural network", 2016.
    """
    f = _image("pixel_shuffle", x, factor, lambda shape, f: shape[0] % (f * f) == 0)
    *lead, channels, height, width = x.shape
    at = len(lead)
    squares = movement.reshape(x, (*lead, channels // (f * f), f, f, height, width))
    order = (*range(at + 1), at + 3, at + 1, at + 4, at + 2)
    moved = movement.permute_dims(squares, order)
    return movement.reshape(moved, (*lead, channels // (f * f), height * f, width * f))


def pixel_unshuffle(x: Node, factor: int) -> Node:
    """Return pixels as channels: the inverse of `pixel_shuffle`.

    Args:
        x: shape (..., channels, height * factor, width * factor).
        factor: the size of a square of pixels.

    Returns:
        Shape (..., channels * factor ** 2, height, width).

    Raises:
        ShapeError: height or width cannot be divided.
    """
    f = _image(
        "pixel_unshuffle", x, factor,
        lambda shape, f: shape[1] % f == 0 and shape[2] % f == 0,
    )  # fmt: skip
    *lead, channels, height, width = x.shape
    at = len(lead)
    height, width = height // f, width // f
    squares = movement.reshape(x, (*lead, channels, height, f, width, f))
    order = (*range(at + 1), at + 2, at + 4, at + 1, at + 3)
    moved = movement.permute_dims(squares, order)
    return movement.reshape(moved, (*lead, channels * f * f, height, width))


OPS = (interpolate, pixel_shuffle, pixel_unshuffle)
