"""Images read at other places: the one way in which all layers move pixels.

A place is (x, y), from -1, the left or upper edge of an image, to 1. A map says for
each pixel of the result from which place of the image it is read.

Read first: `read`, `turn`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

# How Keras names what lies outside an image -> `plait.grid_sample`'s name.
FILLS = {
    "reflect": "reflection", "wrap": "wrap", "nearest": "border", "constant": "zeros",
}  # fmt: skip
INTERPOLATIONS = ("bilinear", "nearest", "bicubic")


def read(
    images: Tensor, grid: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Return images read at places.

    Args:
        images: shape (n, channels, height, width).
        grid: shape (n, height of the result, width of the result, 2).
        interpolation: one of `INTERPOLATIONS`.
        fill_mode: one of `FILLS`.
        fill_value: what lies outside, for "constant".
    """
    shifted = fill_mode == "constant" and fill_value != 0
    if shifted:
        images = images - fill_value
    found = plait.grid_sample(
        images, grid, mode=interpolation, padding_mode=FILLS[fill_mode]
    )
    return found + fill_value if shifted else found


def matrix(rows: Sequence[Sequence[Tensor | float]], like: Tensor) -> Tensor:
    """Return a matrix for each image, of numbers for each image.

    Args:
        rows: of entries of shape (n, 1, 1, 1), or numbers.

    Returns:
        Shape (n, rows, columns), for `plait.affine_grid`.
    """
    zero = plait.zeros(like.shape[:1], dtype=like.dtype)
    return plait.stack(
        [
            plait.stack(
                [zero + (x.reshape(-1) if isinstance(x, Tensor) else x) for x in row],
                axis=-1,
            )
            for row in rows
        ],
        axis=1,
    )


def turn(angle: Tensor, images: Tensor) -> Tensor:
    """Return maps that turn images counterclockwise about their middle.

    Args:
        angle: in radians, shape (n, 1, 1, 1).
    """
    height, width = images.shape[2:]
    # Places count in halves of the width and of the height, angles are between pixels.
    cos, sin = plait.cos(angle), plait.sin(angle)
    rows = ((cos, -sin * (height / width), 0), (sin * (width / height), cos, 0))
    return matrix(rows, images)


def quadrilateral_grid(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the places that perspective maps read from.

    Args:
        corners: the places of the corners of the result, from the upper left one on
            clockwise: shape (n, 4, 2).
        size: of the result.

    Returns:
        Shape (n, height, width, 2).

    Source: P. S. Heckbert, "Fundamentals of texture mapping and image warping", 1989,
    section 2.2.3: from a square to a quadrilateral.
    """
    n = corners.shape[0]
    a, b, c, d = (corners[:, i].reshape(n, 1, 1, 2) for i in range(4))
    excess, right, lower = a - b + c - d, b - c, d - c

    def cross(p: Tensor, q: Tensor) -> Tensor:
        return p[..., :1] * q[..., 1:] - p[..., 1:] * q[..., :1]

    area = cross(right, lower)
    g = cross(excess, lower) / area
    h = cross(right, excess) / area
    height, width = size
    dtype = corners.dtype
    x = ((plait.arange(width, dtype=dtype) + 0.5) / width).reshape(1, 1, width, 1)
    y = ((plait.arange(height, dtype=dtype) + 0.5) / height).reshape(1, height, 1, 1)
    above = (b - a + g * b) * x + (d - a + h * d) * y + a
    return above / (g * x + h * y + 1)
