"""Layers that choose at random among many ways to change images.

In one step, all images that are moved are read by one grid, all whose colours are
blended are blended at once, and only then each image takes the result of what was
chosen for it. So a step costs little more than one of each kind, and needs no loop over
images.

Read first: `_step`, `RandAugment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import plait
from plait import Tensor

from ...errors import ArgumentError
from ..sample import Sample
from .augmentation import (
    Pair,
    Recolouring,
    choice_of,
    mixing_shares,
    pictures,
    samples_of,
)
from .pixels import (
    blended,
    equalized,
    grey,
    inverted,
    posterized,
    smoothed,
    stretched,
)
from .places import matrix, read
from .recolouring import UNIT

# What a step chooses from. Those before `_FIRST_BLEND` move pixels, those from there up
# to `_FIRST_TONE` blend colours.
OPERATIONS = (
    "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "color", "contrast", "sharpness",
    "posterize", "solarize", "auto_contrast", "equalize",
)  # fmt: skip
_FIRST_BLEND, _FIRST_TONE = (
    OPERATIONS.index("brightness"),
    OPERATIONS.index("posterize"),
)
_MIXED = ("brightness", "color", "contrast", "sharpness")
_INTERPOLATIONS = ("bilinear", "nearest")


class Strengths(NamedTuple):
    """How far each operation goes at full strength.

    Source: E. D. Cubuk et al., "RandAugment: practical automated data augmentation with
    a reduced search space", 2020.
    """

    angle: float = math.radians(30)
    shear: float = 0.3
    shift: float = 0.45  # of the width or the height
    blend: float = 0.9  # away from 1, which is the image itself
    bits: float = 4  # fewer than 8


def _step(
    images: Tensor,
    choice: Tensor,
    strength: Tensor,
    sign: Tensor,
    layer: str,
    interpolation: str,
    strengths: Strengths,
) -> Tensor:
    """Return images with values in 0..1, each changed in the way chosen for it.

    Args:
        choice: numbers of `OPERATIONS`, shape (n, 1, 1, 1).
        strength: in 0..1, shape (n, 1, 1, 1).
        sign: 1 or -1, which way it goes, shape (n, 1, 1, 1).
    """

    def is_(name: str) -> Tensor:
        return plait.equal(choice, OPERATIONS.index(name))

    def amount(name: str, most: float) -> Tensor:
        return plait.where(is_(name), sign * strength * most, 0.0)

    maps = _maps(images, amount, strengths)
    grid = plait.affine_grid(maps, images.shape)
    moved = read(images, grid, interpolation, "reflect", 0.0)

    colourless = grey(images, layer)
    mean = colourless.mean((1, 2, 3), keepdims=True)
    base = plait.where(
        is_("color"), colourless,
        plait.where(
            is_("contrast"), mean,
            plait.where(is_("sharpness"), smoothed(images), 0.0),
        ),
    )  # fmt: skip
    mixed = blended(base, images, 1 + sign * strength * strengths.blend).clip(0, 1)

    bits = plait.round(8 - strengths.bits * strength)
    threshold = 1 - strength
    result = plait.where(choice < _FIRST_BLEND, moved, mixed)
    for name, toned in (
        ("posterize", posterized(images, bits)),
        ("solarize", plait.where(images < threshold, images, inverted(images))),
        ("auto_contrast", stretched(images)),
        ("equalize", equalized(images, 256)),
    ):
        result = plait.where(is_(name), toned, result)
    return result


def _maps(
    images: Tensor, amount: Callable[[str, float], Tensor], strengths: Strengths
) -> Tensor:
    """Return an affine map for each image; the identity where nothing is moved."""
    height, width = images.shape[2:]
    angle = amount("rotate", strengths.angle)
    cos, sin = plait.cos(angle), plait.sin(angle)
    right = amount("shear_x", strengths.shear) - sin
    down = amount("shear_y", strengths.shear) + sin
    x = amount("translate_x", strengths.shift) * 2
    y = amount("translate_y", strengths.shift) * 2
    return matrix(
        ((cos, right * (height / width), x), (down * (width / height), cos, y)), images
    )


class Steps(NamedTuple):
    """What is drawn for some steps: shape (steps, n, 1, 1, 1) each.

    Attributes:
        choice: numbers of `OPERATIONS`.
        strength: in 0..1.
        sign: 1 or -1.
        taken: whether the step is taken at all.
    """

    choice: Tensor
    strength: Tensor
    sign: Tensor
    taken: Tensor


def _changed(images: Tensor, steps: Steps, layer: str, interpolation: str) -> Tensor:
    """Return images that went through steps, one after another."""

    # A loop, so that however many steps there are, one is compiled.
    def step(before: Tensor, now: Steps) -> tuple[Tensor, None]:
        after = _step(
            before,
            now.choice,
            now.strength,
            now.sign,
            layer,
            interpolation,
            Strengths(),
        )
        return plait.where(now.taken, after, before), None

    last: Tensor = plait.scan(step, images, steps)[0]
    return last


def _signs(shape: tuple[int, ...], like: Tensor) -> Tensor:
    up = plait.random.bernoulli(0.5, shape=shape)
    return plait.where(up, 1.0, -1.0).to(like.dtype)


class RandAugment(Recolouring):
    """Changes each image in several ways, chosen at random, in training mode.

    The ways are: rotate, shear_x, shear_y, translate_x, translate_y, brightness, color,
    contrast, sharpness, posterize, solarize, auto_contrast and equalize; what lies
    outside of a moved image is the image mirrored. At full strength an image is turned
    by 30 degrees, sheared by 0.3, moved by 0.45 of its size, blended by a factor of
    0.1 or 1.9, and keeps 4 bits. Directions are random.

    Args:
        value_range: the lowest and the highest value that images have.
        num_ops: how many ways, one after another.
        factor: how strongly, in 0..1.
        interpolation: between pixels: "bilinear" or "nearest".

    Input: shape (n, 3, height, width), or with one channel, or without n. Result: the
    same.

    Raises:
        ArgumentError: a factor outside of 0..1, fewer than one way, no range, no such
            interpolation.
        ShapeError: (calling it) neither three channels nor one.

    Source: E. D. Cubuk et al., "RandAugment: practical automated data augmentation with
    a reduced search space", 2020.
    """

    _shown = ("num_ops", "factor", "value_range")

    def __init__(
        self,
        value_range: Pair = UNIT,
        num_ops: int = 2,
        factor: float = 0.5,
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        name = "RandAugment"
        self._set_range(value_range)
        if num_ops < 1 or not 0 <= factor <= 1:
            raise ArgumentError(
                f"[{name}] there is at least one way, and the factor lies in 0..1",
                got=f"num_ops={num_ops}, factor={factor}",
            )
        self.num_ops = num_ops
        self.factor = float(factor)
        self.interpolation = choice_of(
            name, "interpolation", interpolation, _INTERPOLATIONS
        )

    def _coloured(self, images: Tensor) -> Tensor:
        shape = (self.num_ops, len(images), 1, 1, 1)
        steps = Steps(
            plait.random.randint(0, len(OPERATIONS), shape=shape),
            plait.full(shape, self.factor, dtype=images.dtype),
            _signs(shape, images),
            plait.ones(shape, dtype=plait.bool),
        )
        return _changed(images, steps, "RandAugment", self.interpolation)

    @staticmethod
    def samples() -> list[Sample]:
        dull = samples_of({}, inputs=(pictures(2, 1, 4, 4),), smooth=False)
        wide = {"num_ops": 1, "factor": 1.0, "value_range": (0, 2)}
        return samples_of(wide, smooth=False) + dull


class AugMix(Recolouring):
    """Mixes images with versions that went through chains of changes, in training mode.

    Formula: m * x + (1 - m) * the sum of w_i * chain_i(x), with m drawn from the
    distribution Beta(alpha, alpha) and the weights w from a Dirichlet distribution of
    alpha. A chain changes the image in 1 to `chain_depth` ways, each drawn from those
    of `RandAugment`, with a strength drawn from 0..factor.

    Args:
        value_range: the lowest and the highest value that images have.
        num_chains: how many chains.
        chain_depth: how many ways a chain has at most.
        factor: how strongly at most, in 0..1.
        alpha: of both distributions, above 0.
        all_ops: choose from all ways; otherwise not from brightness, color, contrast
            and sharpness, with which test data for robustness are made.
        interpolation: between pixels: "bilinear" or "nearest".

    Input: shape (n, 3, height, width), or with one channel, or without n. Result: the
    same.

    Raises:
        ArgumentError: a factor outside of 0..1, no chain, a depth below 1, an alpha not
            above 0, no range, no such interpolation.
        ShapeError: (calling it) neither three channels nor one.

    Source: D. Hendrycks et al., "AugMix: a simple data processing method to improve
    robustness and uncertainty", 2020.
    """

    _shown = ("num_chains", "chain_depth", "factor", "alpha", "all_ops", "value_range")

    def __init__(
        self,
        value_range: Pair = UNIT,
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: float = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        self._set_range(value_range)
        if min(num_chains, chain_depth) < 1 or not 0 <= factor <= 1 or not alpha > 0:
            raise ArgumentError(
                "[AugMix] there are chains with a depth, the factor lies in 0..1, and "
                "alpha above 0",
                got=f"num_chains={num_chains}, chain_depth={chain_depth}, "
                f"factor={factor}, alpha={alpha}",
            )
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.factor = float(factor)
        self.alpha = float(alpha)
        self.all_ops = all_ops
        self.interpolation = choice_of(
            "AugMix", "interpolation", interpolation, _INTERPOLATIONS
        )

    def _coloured(self, images: Tensor) -> Tensor:
        n, dtype = len(images), images.dtype
        # All chains go on at once, as further images of the batch.
        count = n * self.num_chains
        shape = (self.chain_depth, count, 1, 1, 1)
        chains = plait.tile(images, (self.num_chains, 1, 1, 1))
        names = [name for name in OPERATIONS if self.all_ops or name not in _MIXED]
        numbers = plait.tensor([OPERATIONS.index(name) for name in names])
        index = plait.random.randint(0, len(names), shape=(math.prod(shape),))
        strength = plait.random.uniform(0, self.factor, shape=shape)
        depth = plait.random.randint(1, self.chain_depth + 1, shape=shape[1:])
        place = plait.arange(self.chain_depth).reshape(-1, 1, 1, 1, 1)
        steps = Steps(
            plait.take(numbers, index, axis=0).reshape(shape),
            strength.to(dtype),
            _signs(shape, images),
            plait.less(place, depth),
        )
        chains = _changed(chains, steps, "AugMix", self.interpolation)
        weights = self._weights(n).to(dtype).reshape(self.num_chains, n, 1, 1, 1)
        mixed = (chains.reshape(self.num_chains, *images.shape) * weights).sum(0)
        share = mixing_shares(n, self.alpha, images)
        return blended(mixed, images, share.reshape(n, 1, 1, 1))

    def _weights(self, n: int) -> Tensor:
        """Return what chains weigh, in sum 1: shape (chains, n)."""
        if self.alpha != 1:
            alpha = plait.full((n, self.num_chains), self.alpha)
            return plait.random.dirichlet(alpha).mT
        # That distribution is then one of exponential numbers, much less to compile.
        parts = plait.random.exponential(shape=(self.num_chains, n))
        return parts / parts.sum(0)

    @staticmethod
    def samples() -> list[Sample]:
        # Few and small, as this is much to compile.
        few = {"num_chains": 2, "chain_depth": 2, "factor": 1.0}
        return samples_of(few, inputs=(pictures(2, 3, 4, 4),), smooth=False)
