"""Images read at places that are data: `grid_sample`, and grids of affine maps.

Each axis gives the *taps* of a place: the elements around it and their weights. What
lies at a place is the sum over all combinations of taps of the axes.

Read first: `grid_sample`, `_taps`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..dtypes import DType, float32, int64, promote
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape
from . import elementwise, gather, movement
from .arithmetic import polynomial
from .interpolation import CUBIC_SLOPE
from .operand import as_float
from .source import constant

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection", "wrap")
# Farther off than any element, but finite when it is multiplied by a size.
_FAR = 1e30

# A tap: the number of an element, as int64, and its weight; None is 1.
Tap = tuple[Node, Node | None]


def _middles(size: int, align_corners: bool) -> np.ndarray:
    """Return where the elements of an axis lie, if it goes from -1 to 1."""
    if align_corners:
        return np.linspace(-1, 1, size) if size > 1 else np.zeros(size)
    return (2 * np.arange(size) + 1) / size - 1


def affine_grid(
    theta: Node, size: Sequence[int], *, align_corners: bool = False
) -> Node:
    """Return the places that affine maps read an image from, for `grid_sample`.

    Formula: grid[b, i, j] = theta[b] @ (x, y, 1), where (x, y) is the place of element
    (i, j) of the result; with three spatial axes theta[b] @ (x, y, z, 1).

    Args:
        theta: matrices, shape (batch, 2, 3), or (batch, 3, 4) for volumes.
        size: of the result, (batch, channels, height, width), or with a depth before
            the height.
        align_corners: -1 and 1 are the middles of the first and the last element, and
            not the edges of the image.

    Returns:
        Shape (batch, *spatial, number of spatial axes); the last axis is (x, y), or
        (x, y, z).

    Raises:
        ShapeError: `theta` does not fit `size`.

    Source: M. Jaderberg et al., "Spatial transformer networks", 2015.
    """
    op = "affine_grid"
    theta = as_float(op, theta)
    batch, _, *spatial = as_shape(op, size) if len(size) > 2 else (0, 0)
    rank = len(spatial)
    if rank not in (2, 3) or theta.shape != (batch, rank, rank + 1):
        raise ShapeError(
            f"[{op}] the matrices do not fit the size",
            got=f"theta of shape {theta.shape} and size {tuple(size)}",
            expected="(batch, 2, 3) for (batch, channels, height, width), or one more",
        )
    inner = promote(theta.dtype, float32)
    wide = elementwise.cast(theta, inner)
    shape = (batch, *spatial)

    def entry(row: int, column: int) -> Node:
        part = movement.slice_axis(wide, 1, row, row + 1)
        part = movement.slice_axis(part, 2, column, column + 1)
        return movement.reshape(part, (batch, *(1,) * rank))

    places = []
    for row in range(rank):
        total = movement.expand(entry(row, rank), shape)
        for column in range(rank):
            axis = rank - 1 - column  # x runs along the last axis
            middles = _middles(spatial[axis], align_corners)
            middles = middles.reshape((-1,) + (1,) * column)
            term = elementwise.multiply(entry(row, column), constant(middles, inner))
            total = elementwise.add(total, term)
        places.append(total)
    return elementwise.cast(movement.stack(places, axis=-1), theta.dtype)


def _between(place: Node, low: float, high: float) -> Node:
    """Return places mirrored at both ends, until they lie between them."""
    span = high - low
    if span <= 0:
        return elementwise.multiply(place, 0)
    past = elementwise.remainder(elementwise.subtract(place, low), 2 * span)
    mirrored = elementwise.abs(elementwise.subtract(past, span))
    return elementwise.add(elementwise.subtract(span, mirrored), low)


def _cubic_weights(t: Node) -> list[Node]:
    """Return the weights of the four elements around a place, `t` past the second.

    Source: R. G. Keys, "Cubic convolution interpolation for digital image processing",
    1981, equation 4 with a free parameter.
    """
    a = CUBIC_SLOPE

    def near(s: Node) -> Node:
        return polynomial(s, (a + 2, -(a + 3), 0.0, 1.0))

    def far(s: Node) -> Node:
        return polynomial(s, (a, -5 * a, 8 * a, -4 * a))

    rest = elementwise.subtract(1, t)
    return [
        far(elementwise.add(t, 1)),
        near(t),
        near(rest),
        far(elementwise.add(rest, 1)),
    ]


def _inside(place: Node, size: int, padding: str, align_corners: bool) -> Tap:
    """Return the element that a whole place stands for, and whether there is one."""
    last = size - 1
    kept: Node | None = None
    if padding == "wrap":
        place = elementwise.remainder(place, float(size))
    elif padding == "reflection":
        ends = (0.0, float(last)) if align_corners else (-0.5, last + 0.5)
        place = _between(place, *ends)
    elif padding == "zeros":
        within = elementwise.logical_and(
            elementwise.greater_equal(place, 0), elementwise.less_equal(place, last)
        )
        kept = elementwise.cast(within, place.dtype)
    return elementwise.cast(elementwise.clip(place, 0, last), int64), kept


def _taps(
    place: Node, size: int, mode: str, padding: str, align_corners: bool
) -> list[Tap]:
    """Return the taps of each place along one axis of an image.

    Args:
        place: from -1 to 1.
        size: of the axis.
    """
    # As in PyTorch; a nan has no integer.
    place = elementwise.select(elementwise.isnan(place), -1, place)
    # An infinite place would be inf - inf past an element.
    place = elementwise.clip(place, -_FAR, _FAR)
    at = elementwise.add(place, 1)
    if align_corners:
        at = elementwise.multiply(at, (size - 1) / 2)
    else:
        at = elementwise.subtract(elementwise.multiply(at, size / 2), 0.5)
    if mode != "bicubic" and padding in ("border", "reflection"):
        if padding == "reflection":
            at = _between(at, *((0, size - 1) if align_corners else (-0.5, size - 0.5)))
        at = elementwise.clip(at, 0, size - 1)
        padding = "border"
    weights: list[Node | None]
    if mode == "nearest":
        first, weights = elementwise.round(at), [None]
    else:
        first = elementwise.floor(at)
        past = elementwise.subtract(at, first)
        if mode == "bilinear":
            weights = [elementwise.subtract(1, past), past]
        else:
            weights = [*_cubic_weights(past)]
            first = elementwise.subtract(first, 1)
    taps = []
    for i, weight in enumerate(weights):
        step = elementwise.add(first, i) if i else first
        element, kept = _inside(step, size, padding, align_corners)
        parts = [part for part in (weight, kept) if part is not None]
        factor = elementwise.multiply(*parts) if len(parts) == 2 else None
        taps.append((element, parts[0] if len(parts) == 1 else factor))
    return taps


def grid_sample(
    x: Node,
    grid: Node,
    *,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Node:
    """Return what lies at given places of images, with values between the pixels.

    Formula: out[b, c, i, j] = x[b, c] at the place (x, y) = grid[b, i, j], where -1 is
    the left or upper edge of the image and 1 the other edge.

    Args:
        x: images, shape (batch, channels, height, width), or volumes, (batch, channels,
            depth, height, width).
        grid: places, shape (batch, *sizes, 2) with (x, y) in the last axis; for volumes
            (batch, *sizes, 3) with (x, y, z).
        mode: "bilinear", between the nearest elements of each axis; "nearest";
            "bicubic", for images.
        padding_mode: what lies outside: "zeros", the nearest element at the "border",
            the "reflection" of the image, or the image again, "wrap".
        align_corners: -1 and 1 are the middles of the first and the last element, and
            not the edges of the image. "reflection" is then about these middles.

    Returns:
        Shape (batch, channels, *sizes).

    Raises:
        ArgumentError: there is no such mode or padding mode.
        ShapeError: the shapes do not fit, or the image is empty.

    Special cases: nan in the grid is -1; an infinity is a place far outside. Computed
    in float32 or wider.

    Gradient: to `x` and `grid`.

    Source: M. Jaderberg et al., "Spatial transformer networks", 2015; cubic
    convolution: R. G. Keys, 1981, with a = -0.75 as in PyTorch. "wrap" is not in
    PyTorch.
    """
    op = "grid_sample"
    rank = x.ndim - 2
    for name, given, known in (
        ("mode", mode, _MODES if rank == 2 else _MODES[:2]),
        ("padding_mode", padding_mode, _PADDINGS),
    ):
        if given not in known:
            raise ArgumentError(
                f"[{op}] there is no such {name}",
                got=repr(given),
                expected=", ".join(known),
            )
    fits = grid.ndim == rank + 2 and grid.shape[-1] == rank
    if rank not in (2, 3) or not fits or grid.shape[0] != x.shape[0]:
        raise ShapeError(
            f"[{op}] the places do not fit the images",
            got=f"images {x.shape} and grid {grid.shape}",
            expected="(batch, channels, height, width) and (batch, height, width, 2), "
            "or one more spatial axis in both",
        )
    spatial = x.shape[2:]
    if 0 in spatial:
        raise ShapeError(f"[{op}] the images are empty", got=str(x.shape))
    x, grid = as_float(op, x), as_float(op, grid)
    inner = promote(promote(x.dtype, grid.dtype), float32)
    dtype = x.dtype
    result = _sampled(
        elementwise.cast(x, inner),
        [
            _taps(
                _entry(grid, rank - 1 - axis, inner), size, mode, padding_mode,
                align_corners,
            )
            for axis, size in enumerate(spatial)
        ],
    )  # fmt: skip
    return elementwise.cast(result, dtype)


def _entry(grid: Node, i: int, dtype: DType) -> Node:
    part = movement.slice_axis(grid, grid.ndim - 1, i, i + 1)
    return elementwise.cast(movement.reshape(part, grid.shape[:-1]), dtype)


def _sampled(x: Node, taps: Sequence[Sequence[Tap]]) -> Node:
    """Return the sum over all combinations of taps, one of each spatial axis."""
    batch, channels, *spatial = x.shape
    sizes: Shape = taps[0][0][0].shape[1:]
    flat = movement.reshape(x, (batch, channels, int(np.prod(spatial))))
    result: Node | None = None
    for combination in itertools.product(*taps):
        place: Node | None = None
        factor: Node | None = None
        for (element, weight), size in zip(combination, spatial, strict=True):
            place = (
                element if place is None
                else elementwise.add(elementwise.multiply(place, size), element)
            )  # fmt: skip
            if weight is not None:
                factor = (
                    weight if factor is None else elementwise.multiply(factor, weight)
                )
        assert place is not None
        part = gather.gather(flat, place, 2, 1)
        if factor is not None:
            factor = movement.reshape(factor, (batch, 1, *sizes))
            part = elementwise.multiply(part, factor)
        result = part if result is None else elementwise.add(result, part)
    assert result is not None
    return result


OPS = (affine_grid, grid_sample)
