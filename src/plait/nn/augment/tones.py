"""Layers that spread the values of images over their range, and one that folds them.

Read first: `AutoContrast`, `Equalization`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from .augmentation import (
    Factor,
    Pair,
    Recolouring,
    drawn,
    pair_of,
    pictures,
    samples_of,
)
from .pixels import counted, equalized, inverted, levels, stretched
from .recolouring import UNIT


class AutoContrast(Recolouring):
    """Stretches each channel of each image over the whole range of values.

    Formula: (x - min) / (max - min); a channel of one value stays. In evaluation mode
    too.

    Args:
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: no range.
    """

    _always = True
    _shown = ("value_range",)

    def __init__(self, value_range: Pair = UNIT) -> None:
        super().__init__()
        self._set_range(value_range)

    def _coloured(self, images: Tensor) -> Tensor:
        return stretched(images)

    @staticmethod
    def samples() -> list[Sample]:
        flat = samples_of({}, inputs=(0 * pictures(1, 2, 3, 3) + 0.5,), smooth=False)
        # A value at the end of the range moves out of it, and is clipped.
        return samples_of({}, {"value_range": (0, 2)}, smooth=False) + flat


class Equalization(Recolouring):
    """Makes the values of each channel of each image about equally frequent.

    Formula: level i of the histogram becomes level floor((s / 2 + c) / s), where c is
    the number of pixels below level i, and s the number of all pixels but those of the
    highest level there is, divided by bins - 1; both quotients rounded down. A channel
    where s is 0 stays. In evaluation mode too.

    Args:
        value_range: the lowest and the highest value that images have.
        bins: the number of levels.

    Input: shape (n, channels, height, width), or without n. Result: the same; its
    derivative is 0.

    Raises:
        ArgumentError: no range, or fewer than two bins.

    Source: R. C. Gonzalez, R. E. Woods, "Digital image processing", section on
    histogram equalization; rounded as in `PIL.ImageOps.equalize`.
    """

    _always = True
    _shown = ("value_range", "bins")

    def __init__(self, value_range: Pair = UNIT, bins: int = 256) -> None:
        super().__init__()
        self._set_range(value_range)
        self.bins = _bins("Equalization", bins)

    def _coloured(self, images: Tensor) -> Tensor:
        return equalized(images, self.bins)

    @staticmethod
    def samples() -> list[Sample]:
        flat = samples_of({}, inputs=(0 * pictures(1, 2, 3, 3) + 0.5,), smooth=False)
        few = {"bins": 4, "value_range": (0, 2)}
        return samples_of({"bins": 8}, few, smooth=False) + flat


def _bins(layer: str, bins: int) -> int:
    if bins < 2:
        raise ArgumentError(
            f"[{layer}] a histogram has at least 2 bins", got=f"bins={bins!r}"
        )
    return bins


class ContrastLimitedAdaptiveHistogramEqualization(Recolouring):
    """Makes the values of each part of an image about equally frequent: CLAHE.

    The image is divided into tiles. In the histogram of a tile, what is above a limit
    is taken off and spread over all bins; the sums of the histogram up to each level
    are the new values. Between the middles of tiles they are interpolated. In
    evaluation mode too.

    Args:
        value_range: the lowest and the highest value that images have.
        clip_limit: a bin holds at most this many times the mean number of pixels.
        tile_grid_size: how many tiles lie along the height and the width. An image that
            cannot be divided so is enlarged at the right and the bottom by mirroring.
        bins: the number of levels.

    Input: shape (n, channels, height, width), or without n. Result: the same; its
    derivative is 0.

    Raises:
        ArgumentError: no range, a limit not above 0, no tiles, fewer than two bins.
        ShapeError: (calling it) more tiles than pixels.

    Source: K. Zuiderveld, "Contrast limited adaptive histogram equalization", 1994.
    """

    _always = True
    _shown = ("value_range", "clip_limit", "tile_grid_size", "bins")

    def __init__(
        self,
        value_range: Pair = UNIT,
        clip_limit: float = 4.0,
        tile_grid_size: tuple[int, int] = (8, 8),
        bins: int = 256,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self._set_range(value_range)
        if not clip_limit > 0 or min(tile_grid_size) < 1:
            raise ArgumentError(
                f"[{name}] the limit is above 0, and there is a tile on each axis",
                got=f"clip_limit={clip_limit}, tile_grid_size={tuple(tile_grid_size)}",
            )
        self.clip_limit = float(clip_limit)
        self.tile_grid_size = (int(tile_grid_size[0]), int(tile_grid_size[1]))
        self.bins = _bins(name, bins)

    def _coloured(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        rows, columns = self.tile_grid_size
        extra = -height % rows, -width % columns
        padded = plait.pad(images, [(0, extra[0]), (0, extra[1])], mode="reflect")
        high, wide = (height + extra[0]) // rows, (width + extra[1]) // columns
        level = levels(padded, self.bins)
        tiles = level.reshape(n, channels, rows, high, columns, wide)
        tiles = plait.permute_dims(tiles, (0, 1, 2, 4, 3, 5))
        tiles = tiles.reshape(n, channels, rows * columns, high * wide)
        table = self._table(tiles, images.dtype)
        table = table.reshape(n, channels, rows * columns * self.bins)
        level = level[..., :height, :width]

        def value(row: Tensor, column: Tensor) -> Tensor:
            place = (row.reshape(height, 1) * columns + column) * self.bins + level
            flat = place.reshape(n, channels, height * width)
            found = plait.take_along_axis(table, flat, axis=-1)
            return found.reshape(images.shape)

        up, down, below = _neighbours(height, high, rows, images)
        left, right, beside = _neighbours(width, wide, columns, images)
        below = below.reshape(height, 1)
        upper = value(up, left) * (1 - beside) + value(up, right) * beside
        lower = value(down, left) * (1 - beside) + value(down, right) * beside
        return upper * (1 - below) + lower * below

    def _table(self, tiles: Tensor, dtype: plait.DType) -> Tensor:
        """Return the new value of each level of each tile: shape (..., bins)."""
        pixels = tiles.shape[-1]
        count = counted(tiles, self.bins).to(dtype)
        limit = max(1.0, self.clip_limit * pixels / self.bins)
        kept = plait.minimum(count, limit)
        spread = (count - kept).sum(-1, keepdims=True) / self.bins
        total = plait.cumulative_sum(kept + spread, axis=-1) / pixels
        return plait.round(total * (self.bins - 1)) / (self.bins - 1)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of(
            {"tile_grid_size": (2, 2), "bins": 8},
            {"tile_grid_size": (2, 3), "clip_limit": 1.5, "value_range": (0, 2)},
            smooth=False,
        )


def _neighbours(
    size: int, tile: int, count: int, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each pixel of an axis, the tiles around it, and how near the second.

    Args:
        size: the number of pixels.
        tile, count: the size of a tile, and their number.
    """
    place = (plait.arange(size, dtype=like.dtype) + 0.5) / tile - 0.5
    first = plait.floor(place)
    last = count - 1
    before = first.clip(0, last).to(plait.int64)
    after = (first + 1).clip(0, last).to(plait.int64)
    return before, after, place - first


class Solarization(Recolouring):
    """Inverts the values of images above random thresholds, in training mode.

    Formula: with y = x + a, clipped to the range of values: y where it is below t, and
    highest value - y + lowest value elsewhere.

    Args:
        addition_factor: a, as a fraction of the range: two numbers in 0..1 to draw
            between, or one for 0..a.
        threshold_factor: t, in the same way, counted from the lowest value.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
    """

    _shown = ("addition_factor", "threshold_factor", "value_range")

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Pair = UNIT,
    ) -> None:
        super().__init__()
        name = "Solarization"
        self.addition_factor = pair_of(name, "addition_factor", addition_factor, 0, 1)
        self.threshold_factor = pair_of(
            name, "threshold_factor", threshold_factor, 0, 1
        )
        self._set_range(value_range)

    def _coloured(self, images: Tensor) -> Tensor:
        n = len(images)
        raised = (images + drawn(n, *self.addition_factor, images)).clip(0, 1)
        threshold = drawn(n, *self.threshold_factor, images)
        return plait.where(raised < threshold, raised, inverted(raised))

    @staticmethod
    def samples() -> list[Sample]:
        both = {"addition_factor": 0.05, "threshold_factor": (0.5, 0.6)}
        return samples_of({}, both, {"value_range": (-1, 2)})
