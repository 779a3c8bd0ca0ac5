"""Layers that turn, move, stretch and bend images at random.

Read first: `_Warp`, `RandomRotation`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from .augmentation import (
    Augmentation,
    Factor,
    choice_of,
    chosen,
    drawn,
    pair_of,
    pictures,
    samples_of,
    share_of,
)
from .places import FILLS, INTERPOLATIONS, matrix, quadrilateral_grid, read, turn


class RandomFlip(Augmentation):
    """Mirrors images at random, each with probability 1/2, in training mode.

    Args:
        mode: "horizontal" exchanges left and right, "vertical" top and bottom,
            "horizontal_and_vertical" does each of both with probability 1/2.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: no such mode.
    """

    _shown = ("mode",)

    def __init__(self, mode: str = "horizontal_and_vertical") -> None:
        super().__init__()
        known = ("horizontal", "vertical", "horizontal_and_vertical")
        self.mode = choice_of("RandomFlip", "mode", mode, known)

    def _changed(self, images: Tensor) -> Tensor:
        for name, axis in (("horizontal", 3), ("vertical", 2)):
            if name in self.mode:
                mirrored = plait.flip(images, axis=axis)
                images = plait.where(chosen(len(images), 0.5), mirrored, images)
        return images

    @staticmethod
    def samples() -> list[Sample]:
        names = ("horizontal", "vertical")
        one = samples_of({}, inputs=(pictures(3, 4, 5),), separable=False)
        return samples_of({}, *({"mode": name} for name in names)) + one


class _Warp(Augmentation):
    """Reads images at other places, with values between the pixels."""

    def __init__(self, fill_mode: str, interpolation: str, fill_value: float) -> None:
        super().__init__()
        name = type(self).__name__
        self.fill_mode = choice_of(name, "fill_mode", fill_mode, tuple(FILLS))
        self.interpolation = choice_of(
            name, "interpolation", interpolation, INTERPOLATIONS
        )
        self.fill_value = float(fill_value)

    def _read(self, images: Tensor, grid: Tensor) -> Tensor:
        return read(images, grid, self.interpolation, self.fill_mode, self.fill_value)

    def _changed(self, images: Tensor) -> Tensor:
        grid = plait.affine_grid(self._matrix(images), images.shape)
        return self._read(images, grid)

    def _matrix(self, images: Tensor) -> Tensor:
        """Return an affine map for each image: shape (n, 2, 3)."""
        raise NotImplementedError(f"{type(self).__name__} moves nothing")


class RandomRotation(_Warp):
    """Turns images about their middle by random angles, in training mode.

    Args:
        factor: how far, as a fraction of a full turn, counterclockwise: two numbers to
            draw between, or one, f, for -f..f.
        fill_mode: what lies outside of the image: "reflect", the image mirrored
            (d c b a | a b c d | d c b a), "wrap", the image again, "nearest", the
            nearest pixel, or "constant".
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_value: the constant.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of -1..1, no such mode or interpolation.
    """

    _shown = ("factor", "fill_mode", "interpolation")

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        self.factor = pair_of("RandomRotation", "factor", factor, -1, 1)

    def _matrix(self, images: Tensor) -> Tensor:
        low, high = self.factor
        whole = 2 * math.pi
        return turn(drawn(len(images), low * whole, high * whole, images), images)

    @staticmethod
    def samples() -> list[Sample]:
        nearest = {"factor": 0.1, "fill_mode": "wrap", "interpolation": "nearest"}
        constant = {"factor": (0.1, 0.2), "fill_mode": "constant", "fill_value": 0.5}
        return samples_of({"factor": 0.2}, nearest, constant)


class RandomTranslation(_Warp):
    """Moves images by random distances, in training mode.

    Args:
        height_factor: how far down, as a fraction of the height: two numbers to draw
            between, or one, f, for -f..f.
        width_factor: how far to the right, as a fraction of the width.
        fill_mode: what lies outside; see `RandomRotation`.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_value: for the fill mode "constant".

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of -1..1, no such mode or interpolation.
    """

    _shown = ("height_factor", "width_factor", "fill_mode", "interpolation")

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        name = "RandomTranslation"
        self.height_factor = pair_of(name, "height_factor", height_factor, -1, 1)
        self.width_factor = pair_of(name, "width_factor", width_factor, -1, 1)

    def _matrix(self, images: Tensor) -> Tensor:
        n = len(images)
        x = drawn(n, *self.width_factor, images) * -2
        y = drawn(n, *self.height_factor, images) * -2
        return matrix(((1, 0, x), (0, 1, y)), images)

    @staticmethod
    def samples() -> list[Sample]:
        still = {"height_factor": 0.0, "width_factor": (0.1, 0.3)}
        return samples_of({"height_factor": 0.3, "width_factor": 0.2}, still)


class RandomZoom(_Warp):
    """Shows images larger or smaller by random factors, in training mode.

    Args:
        height_factor: the image's height is divided by 1 + this: above 0 it shrinks,
            below 0 it grows. Two numbers to draw between, or one, f, for -f..f.
        width_factor: as much for the width. None: as the height, so that proportions
            stay.
        fill_mode: what lies outside; see `RandomRotation`.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_value: for the fill mode "constant".

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of -0.99..10, no such mode or interpolation.
    """

    _shown = ("height_factor", "width_factor", "fill_mode", "interpolation")

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        name = "RandomZoom"
        self.height_factor = pair_of(name, "height_factor", height_factor, -0.99, 10)
        self.width_factor = (
            None if width_factor is None
            else pair_of(name, "width_factor", width_factor, -0.99, 10)
        )  # fmt: skip

    def _matrix(self, images: Tensor) -> Tensor:
        n = len(images)
        y = drawn(n, *self.height_factor, images) + 1
        x = y
        if self.width_factor is not None:
            x = drawn(n, *self.width_factor, images) + 1
        return matrix(((x, 0, 0), (0, y, 0)), images)

    @staticmethod
    def samples() -> list[Sample]:
        both = {"height_factor": (0.1, 0.3), "width_factor": (-0.3, -0.1)}
        return samples_of({"height_factor": 0.3}, both)


class RandomShear(_Warp):
    """Shears images by random factors, in training mode.

    Args:
        x_factor: how many pixels to the right a row moves for each row further down
            from the middle: two numbers to draw between, or one, f, for -f..f.
        y_factor: how many pixels down a column moves for each one further right.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_mode: what lies outside; see `RandomRotation`.
        fill_value: for the fill mode "constant".

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of -1..1, no such mode or interpolation.
    """

    _shown = ("x_factor", "y_factor", "fill_mode", "interpolation")

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        self.x_factor = pair_of("RandomShear", "x_factor", x_factor, -1, 1)
        self.y_factor = pair_of("RandomShear", "y_factor", y_factor, -1, 1)

    def _matrix(self, images: Tensor) -> Tensor:
        n = len(images)
        height, width = images.shape[2:]
        x = drawn(n, *self.x_factor, images) * -(height / width)
        y = drawn(n, *self.y_factor, images) * -(width / height)
        return matrix(((1, x, 0), (y, 1, 0)), images)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of({"x_factor": 0.3}, {"x_factor": 0.2, "y_factor": (0.1, 0.2)})


class RandomPerspective(_Warp):
    """Shows images as if from random other points of view, in training mode.

    Each corner of the result is read from a place up to `scale` / 4 of the width and
    the height away from the image's corner, and what lies between by perspective.

    Args:
        factor: the probability that an image is changed.
        scale: how far corners move, in 0..1.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_value: for the fill mode "constant".
        fill_mode: what lies outside; see `RandomRotation`.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor or scale outside of 0..1, no such mode or interpolation.

    Source: P. S. Heckbert, "Fundamentals of texture mapping and image warping", 1989.
    """

    _shown = ("factor", "scale", "fill_mode", "interpolation")

    def __init__(
        self,
        factor: float = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        fill_mode: str = "constant",
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        self.factor = share_of("RandomPerspective", "factor", factor)
        if not 0 <= scale <= 1:
            raise ArgumentError(
                "[RandomPerspective] the scale lies in 0..1", got=f"scale={scale!r}"
            )
        self.scale = float(scale)

    def _changed(self, images: Tensor) -> Tensor:
        n, dtype = len(images), images.dtype
        square = plait.tensor(
            [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=dtype
        )
        reach = self.scale / 2
        moves = plait.random.uniform(
            -reach, reach, shape=(n, 4, 2), dtype=plait.float32
        )
        height, width = images.shape[2:]
        grid = quadrilateral_grid(square + moves.to(dtype), (height, width))
        moved = self._read(images, grid)
        return plait.where(chosen(n, self.factor), moved, images)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of({}, {"factor": 0.5, "scale": 0.3, "fill_mode": "nearest"})


class RandomElasticTransform(_Warp):
    """Bends images at random, as if printed on cloth, in training mode.

    The points of a coarse grid move by normally distributed distances; those between
    them move by cubic interpolation.

    Args:
        factor: the probability that an image is changed.
        scale: how strongly: the standard deviation of a point's move is `scale` / 50 of
            the shorter side. Two numbers to draw between, or one, s, for 0..s.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".
        fill_mode: what lies outside; see `RandomRotation`.
        fill_value: for the fill mode "constant".
        points: how many points of the grid lie along each axis.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, a scale outside of 0..10, no such mode
            or interpolation, fewer than two points.

    Source: O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for
    biomedical image segmentation", 2015, section 3.1.
    """

    _shown = ("factor", "scale", "fill_mode", "interpolation")

    def __init__(
        self,
        factor: float = 1.0,
        scale: Factor = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        points: int = 8,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value)
        self.factor = share_of("RandomElasticTransform", "factor", factor)
        self.scale = pair_of("RandomElasticTransform", "scale", scale, 0, 10)
        if points < 2:
            raise ArgumentError(
                "[RandomElasticTransform] the grid has at least 2 points along an axis",
                got=f"points={points}",
            )
        self.points = points

    def _changed(self, images: Tensor) -> Tensor:
        n, dtype = len(images), images.dtype
        height, width = images.shape[2:]
        shape = (n, 2, self.points, self.points)
        moves = plait.random.normal(shape=shape, dtype=plait.float32).to(dtype)
        moves = moves * (drawn(n, *self.scale, images) / 50 * min(height, width))
        size = [height, width]
        fine = plait.interpolate(moves, size, mode="bicubic", align_corners=True)
        # In pixels so far; a place counts in halves of the image.
        halves = plait.tensor([2 / width, 2 / height], dtype=dtype)
        moved = plait.permute_dims(fine, (0, 2, 3, 1)) * halves
        still = matrix(((1, 0, 0), (0, 1, 0)), images)
        bent = self._read(images, plait.affine_grid(still, images.shape) + moved)
        return plait.where(chosen(n, self.factor), bent, images)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of(
            {}, {"factor": 0.5, "scale": (1.0, 2.0), "points": 3},
            {"interpolation": "nearest", "fill_mode": "constant", "fill_value": 0.3},
        )  # fmt: skip
