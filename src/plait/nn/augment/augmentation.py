"""What layers that change images share: batches, ranges of values, and random draws.

Images are channels first, (n, channels, height, width), or one without n. Most layers
act in training mode only; each image of a batch gets numbers of its own.

Read first: `Augmentation`, `Recolouring`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import plait
from plait import Tensor

from ...errors import ArgumentError, DTypeError, ShapeError
from ..module import Module
from ..sample import Sample, uniform

Pair = tuple[float, float]
Factor = float | Pair


def pair_of(layer: str, name: str, value: Factor, low: float, high: float) -> Pair:
    """Return the two ends of the range that a factor is drawn from.

    Args:
        value: two numbers; or one, f, for the range from -f, or 0 if `low` is 0, to f.
        low, high: between which the ends lie.

    Raises:
        ArgumentError: it is neither, or not in order, or an end lies outside.
    """
    given: Any = value
    if not isinstance(given, (tuple, list)):
        given = (min(0.0, low) and -given, given)
    fits = len(given) == 2 and all(
        isinstance(x, (int, float)) and low <= x <= high for x in given
    )
    if not fits or given[0] > given[1]:
        raise ArgumentError(
            f"[{layer}] {name} does not fit",
            got=f"{name}={value!r}",
            expected=f"a number, or two in ascending order, in {low:g}..{high:g}",
        )
    return float(given[0]), float(given[1])


def share_of(layer: str, name: str, value: Any) -> float:
    """Return a probability.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(
            f"[{layer}] {name} is a probability", got=f"{name}={value!r}",
            expected="a number in 0..1",
        )  # fmt: skip
    return float(value)


def choice_of(layer: str, name: str, value: Any, known: Sequence[str]) -> Any:
    """Return a word that is one of those known.

    Raises:
        ArgumentError: it is not.
    """
    if value not in known:
        raise ArgumentError(
            f"[{layer}] there is no such {name}",
            got=repr(value),
            expected=", ".join(map(repr, known)),
        )
    return value


def drawn(count: int, low: float, high: float, like: Tensor) -> Tensor:
    """Return a random number for each image: shape (count, 1, 1, 1).

    In every element type the same numbers are drawn, those of float32.
    """
    if low == high:
        return plait.full((count, 1, 1, 1), low, dtype=like.dtype)
    shape = (count, 1, 1, 1)
    u = plait.random.uniform(low, high, shape=shape, dtype=plait.float32)
    return u.to(like.dtype)


def chosen(count: int, p: float) -> Tensor:
    """Return for each image whether it is chosen: bool, shape (count, 1, 1, 1)."""
    return plait.random.bernoulli(p, shape=(count, 1, 1, 1))


def mixing_shares(count: int, alpha: float, like: Tensor) -> Tensor:
    """Return numbers drawn from the distribution Beta(alpha, alpha): shape (count,).

    Formula: 1/2 + t / (2 sqrt(2 alpha + t ** 2)), where t is of Student's distribution
    with 2 alpha degrees of freedom, made of two uniform numbers u and v:
    t ** 2 = 2 alpha (u ** (-1 / alpha) - 1) cos(2 pi v) ** 2. `plait.random.beta` takes
    any two parameters, but is many times as much to compile.

    Source: R. W. Bailey, "Polar generation of random variates with the t-distribution",
    1994; L. Devroye, "Random variate generation in one line of code", 1996.
    """
    u, v = (plait.random.uniform(shape=(count,), dtype=plait.float32) for _ in range(2))
    # u is a multiple of 2 ** -24; half a step further it is never 0.
    far = plait.expm1(-plait.log(u + 2.0**-25) / alpha)
    cosine = plait.cos(2 * math.pi * v)
    part = plait.rsqrt(1 + 1 / (far * cosine**2))
    return (0.5 + plait.copysign(part, cosine) / 2).to(like.dtype)


def pictures(*shape: int) -> np.ndarray:
    """Return an input for samples, with values between 0.1 and 0.9."""
    return uniform(*shape, low=0.1, high=0.9)


class Augmentation(Module):
    """Changes images, each in its own random way, in training mode only.

    In evaluation mode it hands on its input. Arrays of NumPy come back as such, so that
    it can be given to `Dataset.map`.
    """

    # Layers whose result has another size, or that draw nothing, always act.
    _always: ClassVar[bool] = False

    def forward(self, input: Any) -> Any:
        if not self.training and not self._always:
            return input
        if isinstance(input, np.ndarray):
            return self.forward(plait.asarray(input)).numpy()
        name = type(self).__name__
        check_images(name, input)
        batch = input if input.ndim == 4 else input.unsqueeze(0)
        # 16-bit floats have too few digits for places and sums.
        wide = batch.to(plait.result_type(input.dtype, plait.float32))
        result = self._changed(wide).to(input.dtype)
        return result if input.ndim == 4 else result.squeeze(0)

    def _changed(self, images: Tensor) -> Tensor:
        """Return images of four axes, changed."""
        raise NotImplementedError(f"{type(self).__name__} changes nothing")


class Recolouring(Augmentation):
    """An augmentation that changes colours, and keeps values in their range."""

    value_range: Pair

    def _set_range(self, value_range: Pair) -> None:
        low, high = value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ArgumentError(
                f"[{type(self).__name__}] value_range is no range",
                got=f"value_range={tuple(value_range)}",
                expected="(lowest, highest)",
            )
        self.value_range = (float(low), float(high))

    def _changed(self, images: Tensor) -> Tensor:
        low, high = self.value_range
        if (low, high) == (0, 1):
            return self._coloured(images).clip(0, 1)
        result = self._coloured((images - low) / (high - low)).clip(0, 1)
        return result * (high - low) + low

    def _coloured(self, images: Tensor) -> Tensor:
        """Return images changed, whose range is 0..1; what lies outside is clipped."""
        raise NotImplementedError(f"{type(self).__name__} changes nothing")


def check_images(layer: str, images: Tensor) -> None:
    """Raise unless `images` are floats with channels, a height and a width.

    Raises:
        DTypeError, ShapeError: they are not.
    """
    if not images.dtype.is_float:
        raise DTypeError(
            f"[{layer}] images are floats",
            got=images.dtype.name,
            fix="plait.data.as_floats makes them of uint8, or images.float()",
        )
    if images.ndim not in (3, 4) or 0 in images.shape[-2:]:
        raise ShapeError(
            f"[{layer}] the input does not fit",
            got=f"shape {images.shape}",
            expected="(n, channels, height, width) or (channels, height, width)",
        )


def samples_of(*cases: dict[str, Any], **settings: Any) -> list[Sample]:
    """Return samples of an augmentation that PyTorch's layers do not have."""
    settings = {"like_torch": "never", **settings}
    inputs = settings.pop("inputs", (pictures(2, 3, 6, 5),))
    return [Sample(inputs, (), named, **settings) for named in cases]
