"""What is done to the colours of images: functions of batches with values in 0..1.

Read first: `blended`, `equalized`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ...errors import ShapeError

# How much red, green and blue add to brightness. Source: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


def blended(first: Tensor, second: Tensor, share: Tensor | float) -> Tensor:
    """Return `first` at share 0, `second` at share 1, and what lies between, or past.

    Formula: first + share * (second - first).
    """
    return first + share * (second - first)


def check_colours(images: Tensor, layer: str) -> None:
    """Raise unless the images are grey, or red, green and blue.

    Raises:
        ShapeError: they have neither one channel nor three.
    """
    if images.shape[1] not in (1, 3):
        raise ShapeError(
            f"[{layer}] colours need the channels red, green and blue",
            got=f"{images.shape[1]} channels",
            expected="3, or 1 for grey images",
        )


def grey(images: Tensor, layer: str) -> Tensor:
    """Return the brightness, in one channel; `layer` is for errors."""
    check_colours(images, layer)
    if images.shape[1] == 1:
        return images
    red, green, blue = plait.split(images, 1, 1)
    return red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]


def resaturated(images: Tensor, scale: Tensor, layer: str) -> Tensor:
    """Return images whose saturation, that of HSV, is `scale` times as much.

    Formula: with v the largest channel and m the smallest, s = (v - m) / v; channel c
    becomes v - (v - c) * min(scale, 1 / s), so that hue and v stay.

    Source: A. R. Smith, "Color gamut transform pairs", 1978.
    """
    check_colours(images, layer)
    if images.shape[1] == 1:
        return images
    most = images.amax(1, keepdims=True)
    chroma = most - images.amin(1, keepdims=True)
    coloured = chroma > 0
    limit = most / plait.where(coloured, chroma, 1.0)
    return most - (most - images) * plait.minimum(scale, limit)


def rehued(images: Tensor, turn: Tensor, layer: str) -> Tensor:
    """Return images whose hue, that of HSV, is turned by `turn` of a full circle.

    Source: A. R. Smith, "Color gamut transform pairs", 1978.
    """
    check_colours(images, layer)
    if images.shape[1] == 1:
        return images
    red, green, blue = plait.split(images, 1, 1)
    most = images.amax(1, keepdims=True)
    chroma = most - images.amin(1, keepdims=True)
    divisor = plait.where(chroma > 0, chroma, 1.0)
    sixth = plait.where(
        red == most, (green - blue) / divisor,
        plait.where(
            green == most, (blue - red) / divisor + 2, (red - green) / divisor + 4
        ),
    ) + turn * 6  # fmt: skip
    # Channel n is `most` less the chroma where the hue is far from the channel's own.
    channels = []
    for n in (5, 3, 1):
        k = plait.remainder(sixth + n, 6)
        channels.append(most - chroma * plait.minimum(k, 4 - k).clip(0, 1))
    return plait.concat(channels, axis=1)


def inverted(images: Tensor) -> Tensor:
    """Return the negatives of images."""
    return 1 - images


def posterized(images: Tensor, bits: Tensor | float) -> Tensor:
    """Return images whose 8-bit values keep only their highest `bits`."""
    step = 2.0 ** (8 - bits) if isinstance(bits, (int, float)) else plait.exp2(8 - bits)
    return plait.floor(_byte(images) / step) * step / 255


def _byte(images: Tensor) -> Tensor:
    return plait.round(images.clip(0, 1) * 255)


def stretched(images: Tensor) -> Tensor:
    """Return images with each channel stretched so that it goes from 0 to 1."""
    low = images.amin((2, 3), keepdims=True)
    span = images.amax((2, 3), keepdims=True) - low
    return plait.where(
        span > 0, (images - low) / plait.where(span > 0, span, 1), images
    )


def levels(images: Tensor, bins: int) -> Tensor:
    """Return the number of the bin that each value is in: int64."""
    return plait.round(images.clip(0, 1) * (bins - 1)).to(plait.int64)


def counted(numbers: Tensor, bins: int) -> Tensor:
    """Return how often each number below `bins` stands in the last axis: int64."""
    zeros = plait.zeros((*numbers.shape[:-1], bins), dtype=plait.int64)
    ones = plait.ones_like(numbers)
    return plait.put_along_axis(zeros, numbers, ones, axis=-1, mode="add")


def equalized(images: Tensor, bins: int) -> Tensor:
    """Return images whose values are, in each channel, about equally frequent.

    Formula: level i becomes floor((s / 2 + c) / s), where c is the number of pixels
    below level i, and s that of all pixels but those of the highest level there is,
    divided by bins - 1, both rounded down. Nothing changes where s is 0.
    """
    n, channels, height, width = images.shape
    level = levels(images, bins).reshape(n, channels, height * width)
    count = counted(level, bins)
    last = plait.take_along_axis(count, level.amax(-1, keepdims=True), axis=-1)
    step = plait.floor_divide(height * width - last, bins - 1)
    below = plait.cumulative_sum(count, axis=-1) - count
    divisor = plait.maximum(step, 1)
    table = plait.floor_divide(plait.floor_divide(step, 2) + below, divisor)
    found = plait.take_along_axis(table.clip(0, bins - 1), level, axis=-1)
    value = found.to(images.dtype) / (bins - 1)
    changed = plait.where(step > 0, value, images.reshape(level.shape))
    return changed.reshape(images.shape)


def smoothed(images: Tensor) -> Tensor:
    """Return images in which each inner pixel is mixed with its eight neighbours.

    Formula: (5 * the pixel + the sum of its neighbours) / 13; the edge stays.
    """
    if min(images.shape[2:]) < 3:
        return images
    inner = images[..., 1:-1, 1:-1]
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    change = (total + 4 * inner) / 13 - inner
    return images + plait.pad(change, [(1, 1), (1, 1)])
