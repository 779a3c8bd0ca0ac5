"""Layers that change the colours of images.

Read first: `RandomBrightness`, `RandomSaturation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from .augmentation import (
    Augmentation,
    Factor,
    Pair,
    Recolouring,
    chosen,
    drawn,
    pair_of,
    pictures,
    samples_of,
    share_of,
)
from .pixels import (
    blended,
    grey,
    inverted,
    posterized,
    rehued,
    resaturated,
    smoothed,
)

# The values of an image, unless a layer is told otherwise.
UNIT = (0.0, 1.0)


class _ByFactor(Recolouring):
    """A recolouring by a factor, which is drawn for each image."""

    _shown = ("factor", "value_range")
    _least: ClassVar[float] = 0

    def __init__(self, factor: Factor, value_range: Pair = UNIT) -> None:
        super().__init__()
        self.factor = pair_of(type(self).__name__, "factor", factor, self._least, 1)
        self._set_range(value_range)


class RandomBrightness(_ByFactor):
    """Makes images brighter or darker by random amounts, in training mode.

    Formula: x + f * (highest - lowest value), clipped to the range of values.

    Args:
        factor: f: two numbers in -1..1 to draw between, or one for -f..f.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of -1..1, or no range.
    """

    _least = -1

    def _coloured(self, images: Tensor) -> Tensor:
        return images + drawn(len(images), *self.factor, images)

    @staticmethod
    def samples() -> list[Sample]:
        wide = {"factor": 0.4, "value_range": (-1.0, 2.0)}
        return samples_of({"factor": 0.05}, {"factor": (0.2, 0.2)}, wide)


class RandomContrast(Recolouring):
    """Changes the contrast of images by random factors, in training mode.

    Formula: m + f * (x - m), where m is the mean of the channel of the image, clipped
    to the range of values.

    Args:
        factor: two numbers, below and above: f is drawn from 1 - below to 1 + above; or
            one for both.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: below outside of 0..1, above less than 0, or no range.
    """

    _shown = ("factor", "value_range")

    def __init__(self, factor: Factor, value_range: Pair = UNIT) -> None:
        super().__init__()
        below, above = factor if isinstance(factor, Sequence) else (factor, factor)
        if not (0 <= below <= 1 and 0 <= above < float("inf")):
            raise ArgumentError(
                "[RandomContrast] factor does not fit",
                got=f"factor={factor!r}",
                expected="a number in 0..1, or two: in 0..1 and at least 0",
            )
        self.factor = (float(below), float(above))
        self._set_range(value_range)

    def _coloured(self, images: Tensor) -> Tensor:
        below, above = self.factor
        mean = images.mean((2, 3), keepdims=True)
        share = drawn(len(images), 1 - below, 1 + above, images)
        return blended(mean, images, share)

    @staticmethod
    def samples() -> list[Sample]:
        wide = {"factor": (0.5, 2.0), "value_range": (0, 2)}
        return samples_of({"factor": 0.1}, {"factor": (0.5, 0.0)}, wide)


class RandomSaturation(_ByFactor):
    """Makes the colours of images stronger or paler at random, in training mode.

    Formula: the saturation in HSV is multiplied by f / (1 - f), and is 1 at most.

    Args:
        factor: f: 0 leaves no colour, 0.5 changes nothing, 1 is full saturation. Two
            numbers to draw between, or one for 0..f.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, 3, height, width), or without n; grey images, with one channel,
    stay as they are. Result: the same shape.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
        ShapeError: (calling it) neither three channels nor one.

    Source: A. R. Smith, "Color gamut transform pairs", 1978.
    """

    def _coloured(self, images: Tensor) -> Tensor:
        factor = drawn(len(images), *self.factor, images)
        # Where it is 1, a factor so large that any colour is fully saturated.
        scale = factor / plait.maximum(1 - factor, 1e-6)
        return resaturated(images, scale, "RandomSaturation")

    @staticmethod
    def samples() -> list[Sample]:
        grey_images = samples_of({"factor": 0.3}, inputs=(pictures(2, 1, 3, 3),))
        wide = {"factor": (0.3, 0.6), "value_range": (0, 2)}
        return samples_of({"factor": 0.5}, {"factor": (1.0, 1.0)}, wide) + grey_images


class RandomHue(_ByFactor):
    """Turns the hues of images by random angles, in training mode.

    Formula: the hue in HSV, as a fraction of the circle, grows by f / 2 or falls by it.

    Args:
        factor: f: two numbers in 0..1 to draw between, or one for 0..f.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, 3, height, width), or without n; grey images, with one channel,
    stay as they are. Result: the same shape.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
        ShapeError: (calling it) neither three channels nor one.

    Source: A. R. Smith, "Color gamut transform pairs", 1978.
    """

    def _coloured(self, images: Tensor) -> Tensor:
        turn = drawn(len(images), *self.factor, images) / 2
        turn = plait.where(chosen(len(images), 0.5), turn, -turn)
        return rehued(images, turn, "RandomHue")

    @staticmethod
    def samples() -> list[Sample]:
        grey_images = samples_of({"factor": 0.3}, inputs=(pictures(2, 1, 3, 3),))
        wide = {"factor": (0.3, 0.6), "value_range": (0, 2)}
        return samples_of({"factor": 0.3}, wide) + grey_images


class RandomColorDegeneration(_ByFactor):
    """Takes random shares of the colour out of images, in training mode.

    Formula: (1 - f) * x + f * the grey image of x.

    Args:
        factor: f: two numbers in 0..1 to draw between, or one for 0..f.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, 3, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
        ShapeError: (calling it) neither three channels nor one.

    Source: brightness as in ITU-R BT.601.
    """

    def _coloured(self, images: Tensor) -> Tensor:
        share = drawn(len(images), *self.factor, images)
        return blended(images, grey(images, "RandomColorDegeneration"), share)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of({"factor": 0.5}, {"factor": (1, 1), "value_range": (0, 2)})


class RandomGrayscale(Augmentation):
    """Makes images grey at random, in training mode; they keep their channels.

    Args:
        factor: the probability that an image is made grey.

    Input: shape (n, 3, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1.
        ShapeError: (calling it) neither three channels nor one.

    Source: brightness as in ITU-R BT.601.
    """

    _shown = ("factor",)

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = share_of("RandomGrayscale", "factor", factor)

    def _changed(self, images: Tensor) -> Tensor:
        dull = grey(images, "RandomGrayscale")
        return plait.where(chosen(len(images), self.factor), dull, images)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of({}, {"factor": 1.0}, {"factor": 0.0})


class RandomInvert(Recolouring):
    """Makes negatives of images at random, in training mode.

    Args:
        factor: the probability that an image is inverted.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
    """

    _shown = ("factor", "value_range")

    def __init__(self, factor: float = 1.0, value_range: Pair = UNIT) -> None:
        super().__init__()
        self.factor = share_of("RandomInvert", "factor", factor)
        self._set_range(value_range)

    def _coloured(self, images: Tensor) -> Tensor:
        negatives = inverted(images)
        return plait.where(chosen(len(images), self.factor), negatives, images)

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of({}, {"factor": 0.5, "value_range": (-1, 1)})


class RandomPosterization(Recolouring):
    """Leaves few different values in images, in training mode.

    Of each value, as an integer of 8 bits, the highest bits are kept.

    Args:
        factor: how many bits: an integer in 1..8; or two to draw between.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same; its
    derivative is 0.

    Raises:
        ArgumentError: a number of bits outside of 1..8, or no range.
    """

    _shown = ("factor", "value_range")

    def __init__(self, factor: int | Sequence[int], value_range: Pair = UNIT) -> None:
        super().__init__()
        bits = (factor, factor) if isinstance(factor, int) else tuple(factor)
        whole = len(bits) == 2 and all(isinstance(n, int) for n in bits)
        if not whole or not 1 <= bits[0] <= bits[1] <= 8:
            raise ArgumentError(
                "[RandomPosterization] factor does not fit",
                got=f"factor={factor!r}",
                expected="an integer in 1..8, or two in ascending order",
            )
        self.factor = bits
        self._set_range(value_range)

    def _coloured(self, images: Tensor) -> Tensor:
        low, high = self.factor
        if low == high:
            return posterized(images, float(low))
        bits = plait.random.randint(low, high + 1, shape=(len(images), 1, 1, 1))
        return posterized(images, bits.to(images.dtype))

    @staticmethod
    def samples() -> list[Sample]:
        return samples_of(
            {"factor": 3}, {"factor": (1, 8), "value_range": (0, 255)}, smooth=False
        )


class RandomSharpness(_ByFactor):
    """Makes images sharper or less sharp by random amounts, in training mode.

    Formula: s + 2 f * (x - s), where s is x smoothed: an inner pixel is mixed with its
    eight neighbours, (5 * the pixel + the sum of the neighbours) / 13.

    Args:
        factor: f: 0 is smoothed, 0.5 changes nothing, 1 is sharpened. Two numbers to
            draw between, or one for 0..f.
        value_range: the lowest and the highest value that images have.

    Input: shape (n, channels, height, width), or without n. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1, or no range.
    """

    def _coloured(self, images: Tensor) -> Tensor:
        share = drawn(len(images), *self.factor, images) * 2
        return blended(smoothed(images), images, share)

    @staticmethod
    def samples() -> list[Sample]:
        wide = {"factor": (0.6, 1.0), "value_range": (0, 2)}
        return samples_of({"factor": 0.5}, wide)


class RandomColorJitter(Recolouring):
    """Changes brightness, contrast, saturation and hue at random, in training mode.

    In this order, by `RandomBrightness`, `RandomContrast`, `RandomSaturation` and
    `RandomHue`.

    Args:
        value_range: the lowest and the highest value that images have.
        brightness_factor: see `RandomBrightness`. None: it stays as it is.
        contrast_factor: see `RandomContrast`, or None.
        saturation_factor: see `RandomSaturation`, or None.
        hue_factor: see `RandomHue`, or None.

    Input: shape (n, 3, height, width), or without n; grey images, with one channel,
    have neither saturation nor hue. Result: the same shape.

    Raises:
        ArgumentError: a factor out of its range, or no range.
        ShapeError: (calling it) neither three channels nor one.
    """

    def __init__(
        self,
        value_range: Pair = UNIT,
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
    ) -> None:
        super().__init__()
        self._set_range(value_range)
        factors = {
            RandomBrightness: brightness_factor, RandomContrast: contrast_factor,
            RandomSaturation: saturation_factor, RandomHue: hue_factor,
        }  # fmt: skip
        # What is changed one after another is in 0..1 already.
        self._steps: tuple[Recolouring, ...] = tuple(
            kind(factor) for kind, factor in factors.items() if factor is not None
        )

    def _coloured(self, images: Tensor) -> Tensor:
        for step in self._steps:
            images = step._coloured(images).clip(0, 1)
        return images

    def extra_repr(self) -> str:
        factors = "".join(
            f"{type(step).__name__.removeprefix('Random').lower()}_factor="
            f"{step.factor}, "  # type: ignore[attr-defined]
            for step in self._steps
        )
        return f"{factors}value_range={self.value_range}"

    @staticmethod
    def samples() -> list[Sample]:
        every = {
            "brightness_factor": 0.02, "contrast_factor": 0.1,
            "saturation_factor": (0.4, 0.5), "hue_factor": 0.1,
        }  # fmt: skip
        return samples_of(every, {"hue_factor": 0.2, "value_range": (0, 2)}, {})
