"""Layers that change the sizes of images.

Read first: `Upsample`, `PixelShuffle`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import plait
from plait import Tensor

from ..arguments import Count
from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform
from .spatial import each_axis


class Upsample(Module):
    """Changes the sizes of the spatial axes, with values in between; or down, as well.

    Args:
        size: of the result, an integer or one for each spatial axis.
        scale_factor: in place of `size`, which is then floor(n * scale_factor).
        mode: "nearest" or "nearest-exact", for any number of spatial axes; "linear" for
            one, "bilinear" or "bicubic" for two, "trilinear" for three.
        align_corners: first and last elements stay where they are; for modes that are
            not nearest. None is False.
        recompute_scale_factor: take the ratio of the sizes for the scale factor.

    Input: shape (n, channels, *spatial). Result: shape (n, channels, *size).

    Raises:
        ArgumentError: neither size nor scale factor, or both.

    See `plait.interpolate` for the formula.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ArgumentError(
                f"[{type(self).__name__}] either size or scale_factor is needed",
                got=f"size={size}, scale_factor={scale_factor}",
            )
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        size, factor = self.size, self.scale_factor
        if factor is not None and self.recompute_scale_factor:
            spatial = input.shape[2:]
            each = factor if isinstance(factor, Sequence) else (factor,) * len(spatial)
            size = [math.floor(n * f) for n, f in zip(spatial, each, strict=False)]
            factor = None
        return plait.interpolate(
            input, size, scale_factor=factor, mode=self.mode,
            align_corners=bool(self.align_corners),
        )  # fmt: skip

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
        return f"size={self.size}, mode={self.mode!r}"

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 4, 5)
        corners = {"align_corners": True}
        return [
            Sample((x,), (None, 2)),
            Sample((x,), ((7, 3), None, "nearest-exact")),
            Sample((x,), (None, 2, "bilinear")),
            Sample((x,), ((7, 5), None, "bilinear"), corners),
            Sample((x,), (None, (1.5, 0.7), "bicubic")),
            Sample((x,), (None, 1.7, "bilinear"), {"recompute_scale_factor": True}),
            Sample((uniform(2, 3, 5),), (8, None, "linear")),
            Sample((uniform(2, 1, 2, 3, 2),), ((3, 3, 4), None, "trilinear"), corners),
            Sample((uniform(0, 3, 4, 4),), (None, 2)),
        ]


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images to the nearest element.

    Args:
        size: of the result, an integer or (height, width).
        scale_factor: in place of `size`, which is then floor(n * scale_factor); a
            number or one for each axis.

    Input: shape (n, channels, height, width). Result: shape (n, channels, *size).

    Raises:
        ArgumentError: neither size nor scale factor, or both.

    See `plait.interpolate` for the formula.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "nearest")

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 4, 5)
        return [Sample((x,), (None, 3)), Sample((x,), ((5, 8),))]


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images, linear on both axes, with corners that stay.

    Args:
        size: of the result, an integer or (height, width).
        scale_factor: in place of `size`, which is then floor(n * scale_factor); a
            number or one for each axis.

    Input: shape (n, channels, height, width). Result: shape (n, channels, *size).

    Raises:
        ArgumentError: neither size nor scale factor, or both.

    See `plait.interpolate` for the formula.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 4, 5)
        return [Sample((x,), (None, 2)), Sample((x,), ((5, 8),))]


class PixelShuffle(Module):
    """Makes squares of pixels out of channels.

    Args:
        upscale_factor: the size of a square.

    Input: shape (..., channels * upscale_factor ** 2, height, width). Result: shape
    (..., channels, height * upscale_factor, width * upscale_factor).

    Source: W. Shi et al., "Real-time single image and video super-resolution using an
    efficient sub-pixel convolutional neural network", 2016.
    """

    _shown = ("upscale_factor",)

    def __init__(self, upscale_factor: Count) -> None:
        super().__init__()
        name = type(self).__name__
        each_axis(name, "upscale_factor", upscale_factor, 1, 1)
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return plait.pixel_shuffle(input, self.upscale_factor)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 12, 3, 2),), (2,)),
            Sample((uniform(9, 2, 3),), (3,), separable=False),
        ]


class PixelUnshuffle(Module):
    """Makes channels out of squares of pixels: the inverse of `PixelShuffle`.

    Args:
        downscale_factor: the size of a square.

    Input: shape (..., channels, height * downscale_factor, width * downscale_factor).
    Result: shape (..., channels * downscale_factor ** 2, height, width).
    """

    _shown = ("downscale_factor",)

    def __init__(self, downscale_factor: Count) -> None:
        super().__init__()
        name = type(self).__name__
        each_axis(name, "downscale_factor", downscale_factor, 1, 1)
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return plait.pixel_unshuffle(input, self.downscale_factor)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 4, 6),), (2,)),
            Sample((uniform(2, 3, 6),), (3,), separable=False),
        ]
