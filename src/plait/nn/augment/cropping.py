"""Layers that cut images, bring them to a size, or take pieces out of them.

Read first: `CenterCrop`, `RandomCrop`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from ..spatial import each_axis
from .augmentation import (
    Augmentation,
    Factor,
    Pair,
    choice_of,
    chosen,
    drawn,
    pair_of,
    samples_of,
    share_of,
)
from .places import INTERPOLATIONS, matrix
from .recolouring import UNIT


def _size(layer: str, height: int, width: int) -> tuple[int, int]:
    return (
        each_axis(layer, "height", height, 1, 1)[0],
        each_axis(layer, "width", width, 1, 1)[0],
    )


def _resized(
    images: Tensor, size: tuple[int, int], interpolation: str = "bilinear"
) -> Tensor:
    if images.shape[2:] == size:
        return images
    return plait.interpolate(images, list(size), mode=interpolation)


def _scaled_size(images: Tensor, size: tuple[int, int], cover: bool) -> tuple[int, int]:
    """Return the size of images with their proportions kept that just covers `size`.

    Args:
        cover: or, if false, that just fits into it.
    """
    ratios = [m / n for m, n in zip(size, images.shape[2:], strict=True)]
    ratio = max(ratios) if cover else min(ratios)
    height, width = (max(1, round(n * ratio)) for n in images.shape[2:])
    return height, width


def _middle(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the middle of images that are at least so large."""
    top, left = (n - m for n, m in zip(images.shape[2:], size, strict=True))
    top, left = top // 2, left // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


def _large(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images enlarged, if need be, so that a piece of `size` can be cut out."""
    if all(n >= m for n, m in zip(images.shape[2:], size, strict=True)):
        return images
    return _resized(images, _scaled_size(images, size, cover=True))


class CenterCrop(Augmentation):
    """Cuts out the middle of images, in evaluation mode too.

    Images that are too small are enlarged first, with their proportions kept.

    Args:
        height, width: of the result.

    Input: shape (n, channels, height, width), or without n. Result: the same with the
    size given.

    Raises:
        ArgumentError: a size below 1.
    """

    _always = True
    _shown = ("height", "width")

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = _size(type(self).__name__, height, width)

    def _changed(self, images: Tensor) -> Tensor:
        size = (self.height, self.width)
        return _middle(_large(images, size), size)

    @staticmethod
    def samples() -> list[Sample]:
        small = {"height": 9, "width": 6}
        return samples_of({"height": 3, "width": 4}, {"height": 6, "width": 5}, small)


class RandomCrop(CenterCrop):
    """Cuts out a random piece of each image; in evaluation mode the middle.

    Images that are too small are enlarged first, with their proportions kept.

    Args:
        height, width: of the result.

    Input: shape (n, channels, height, width), or without n. Result: the same with the
    size given.

    Raises:
        ArgumentError: a size below 1.
    """

    def _changed(self, images: Tensor) -> Tensor:
        if not self.training:
            return super()._changed(images)
        size = (self.height, self.width)
        images = _large(images, size)
        n = len(images)
        for axis, m in zip((2, 3), size, strict=True):
            room = images.shape[axis] - m
            if room:
                shape = (n, 1, 1, 1)
                start = plait.random.randint(0, room + 1, shape=shape)
                steps = plait.arange(m).reshape((m, 1) if axis == 2 else (m,))
                images = plait.take_along_axis(images, start + steps, axis=axis)
        return images


class RandomResizedCrop(Augmentation):
    """Cuts out random pieces of random sizes and brings them to one size.

    In evaluation mode, the middle of the image, brought to that size.

    Args:
        height, width: of the result.
        scale: the share of the image's area that a piece has: two numbers to draw
            between.
        ratio: the width of a piece over its height: two numbers to draw between, on a
            logarithmic scale. A piece that is too long is cut at the image's edge.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic".

    Input: shape (n, channels, height, width), or without n. Result: the same with the
    size given.

    Raises:
        ArgumentError: a size below 1, a scale outside of 0..1, a ratio not above 0, no
            such interpolation.

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015, section 6.
    """

    _always = True
    _shown = ("height", "width", "scale", "ratio", "interpolation")

    def __init__(
        self,
        height: int,
        width: int,
        scale: Pair = (0.08, 1.0),
        ratio: Pair = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        name = "RandomResizedCrop"
        self.height, self.width = _size(name, height, width)
        self.scale = pair_of(name, "scale", scale, 0, 1)
        self.ratio = pair_of(name, "ratio", ratio, 1e-3, 1e3)
        self.interpolation = choice_of(
            name, "interpolation", interpolation, INTERPOLATIONS
        )

    def _changed(self, images: Tensor) -> Tensor:
        size = (self.height, self.width)
        if not self.training:
            covering = _scaled_size(images, size, cover=True)
            return _middle(_resized(images, covering, self.interpolation), size)
        n, channels = images.shape[:2]
        high, wide = _piece(images, self.scale, self.ratio)
        # The middle of a piece lies where the piece is inside.
        x = drawn(n, -1, 1, images) * (1 - wide)
        y = drawn(n, -1, 1, images) * (1 - high)
        maps = matrix(((wide, 0, x), (0, high, y)), images)
        grid = plait.affine_grid(maps, (n, channels, *size))
        return plait.grid_sample(
            images, grid, mode=self.interpolation, padding_mode="border"
        )

    @staticmethod
    def samples() -> list[Sample]:
        small = {"height": 9, "width": 6, "scale": (0.5, 0.6), "ratio": (0.5, 1.0)}
        return samples_of({"height": 3, "width": 4}, small)


def _piece(
    images: Tensor, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Return random heights and widths of pieces, as shares of those of the images.

    Args:
        scale: the range of the share of the area.
        ratio: the range of width over height.
    """
    n = len(images)
    height, width = images.shape[2:]
    share = drawn(n, *scale, images)
    low, high = (math.log(x * height / width) for x in ratio)
    longer = plait.exp(drawn(n, low, high, images))
    return (
        plait.minimum(plait.sqrt(share / longer), 1),
        plait.minimum(plait.sqrt(share * longer), 1),
    )


class Resizing(Augmentation):
    """Brings images to a size, in evaluation mode too.

    Args:
        height, width: of the result.
        interpolation: between pixels: "bilinear", "nearest" or "bicubic"; see
            `plait.interpolate`.
        crop_to_aspect_ratio: keep the proportions, and cut off what is too much.
        pad_to_aspect_ratio: keep the proportions, and fill up what is missing.
        fill_value: what is filled in.

    Input: shape (n, channels, height, width), or without n. Result: the same with the
    size given.

    Raises:
        ArgumentError: a size below 1, no such interpolation, both to be cut and filled.
    """

    _always = True
    _shown = ("height", "width", "interpolation")

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_value: float = 0.0,
    ) -> None:
        super().__init__()
        self.height, self.width = _size("Resizing", height, width)
        self.interpolation = choice_of(
            "Resizing", "interpolation", interpolation, INTERPOLATIONS
        )
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ArgumentError(
                "[Resizing] an image is cut or filled up, not both",
                got="crop_to_aspect_ratio=True, pad_to_aspect_ratio=True",
            )
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_value = float(fill_value)

    def _changed(self, images: Tensor) -> Tensor:
        size = (self.height, self.width)
        if not self.crop_to_aspect_ratio and not self.pad_to_aspect_ratio:
            return _resized(images, size, self.interpolation)
        scaled = _scaled_size(images, size, cover=self.crop_to_aspect_ratio)
        images = _resized(images, scaled, self.interpolation)
        if self.crop_to_aspect_ratio:
            return _middle(images, size)
        missing = [m - n for n, m in zip(scaled, size, strict=True)]
        widths = [(gap // 2, gap - gap // 2) for gap in missing]
        return plait.pad(images, widths, value=self.fill_value)

    @staticmethod
    def samples() -> list[Sample]:
        size = {"height": 4, "width": 8}
        return samples_of(
            size, {**size, "interpolation": "bicubic"},
            {**size, "crop_to_aspect_ratio": True},
            {**size, "pad_to_aspect_ratio": True, "fill_value": 0.5},
        )  # fmt: skip


class RandomErasing(Augmentation):
    """Writes over a random rectangle of each image, in training mode.

    Args:
        factor: the probability that an image is changed.
        scale: the share of the image's area that is written over: two numbers to draw
            between.
        fill_value: what is written. None: random numbers between the ends of the range
            of values, another one for each element.
        value_range: the lowest and the highest value that images have.
        ratio: the width of the rectangle over its height: two numbers to draw between,
            on a logarithmic scale. One that is too long is cut at the image's edge.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor or scale outside of 0..1, a ratio not above 0.

    Source: Z. Zhong et al., "Random erasing data augmentation", 2017.
    """

    _shown = ("factor", "scale", "fill_value", "value_range", "ratio")

    def __init__(
        self,
        factor: float = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | None = None,
        value_range: Pair = UNIT,
        ratio: Pair = (0.3, 3.3),
    ) -> None:
        super().__init__()
        name = "RandomErasing"
        self.factor = share_of(name, "factor", factor)
        self.scale = pair_of(name, "scale", scale, 0, 1)
        self.ratio = pair_of(name, "ratio", ratio, 1e-3, 1e3)
        self.fill_value = fill_value
        self.value_range = (float(value_range[0]), float(value_range[1]))

    def _changed(self, images: Tensor) -> Tensor:
        new: Tensor | float | None = self.fill_value
        if new is None:
            low, high = self.value_range
            noise = plait.random.uniform(
                low, high, shape=images.shape, dtype=plait.float32
            )
            new = noise.to(images.dtype)
        inside = rectangles(images, *_piece(images, self.scale, self.ratio))
        inside = inside & chosen(len(images), self.factor)
        return plait.where(inside, new, images)

    @staticmethod
    def samples() -> list[Sample]:
        plain = {"factor": 0.7, "scale": (0.3, 0.5), "fill_value": 0.0}
        return samples_of({}, plain)


def rectangles(images: Tensor, high: Tensor, wide: Tensor) -> Tensor:
    """Return where random rectangles lie: bool, shape (n, 1, height, width).

    Args:
        high, wide: their sizes, as shares of those of the images; rounded to pixels.
    """
    n, dtype = len(images), images.dtype
    inside = []
    for share, size, shape in (
        (high, images.shape[2], (-1, 1)), (wide, images.shape[3], (-1,)),
    ):  # fmt: skip
        length = plait.round(share * size)
        start = plait.floor(drawn(n, 0, 1, images) * (size - length + 1))
        pixel = plait.arange(size, dtype=dtype).reshape(shape)
        inside.append((pixel >= start) & (pixel < start + length))
    return inside[0] & inside[1]
