"""Layers that mix the images of a batch with one another, and their targets.

Read first: `MixUp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ...errors import ArgumentError, DTypeError, ShapeError
from ..module import Module
from ..sample import Sample, uniform
from .augmentation import (
    Factor,
    check_images,
    drawn,
    mixing_shares,
    pair_of,
    pictures,
    samples_of,
)
from .cropping import rectangles


class _Mix(Module):
    """Mixes each example of a batch with another one of it, and their targets."""

    def forward(self, images: Any, targets: Any = None) -> Any:
        """Return the images mixed; with targets, a tuple of both.

        Args:
            images: see the class.
            targets: shape (n, ...), floats, such as classes by `plait.one_hot`.
        """
        if isinstance(images, np.ndarray):
            mixed = self.forward(
                plait.asarray(images),
                None if targets is None else plait.asarray(targets),
            )
            if targets is None:
                return mixed.numpy()
            return tuple(part.numpy() for part in mixed)
        name = type(self).__name__
        if targets is not None and not targets.dtype.is_float:
            raise DTypeError(
                f"[{name}] targets that are mixed are floats",
                got=targets.dtype.name,
                fix="plait.one_hot(targets, classes) makes them of classes",
            )
        if targets is not None and targets.shape[:1] != images.shape[:1]:
            raise ShapeError(
                f"[{name}] there must be a target for each image",
                got=f"images {images.shape} and targets {targets.shape}",
            )
        if not self.training:
            return images if targets is None else (images, targets)
        wide = images.to(plait.result_type(images.dtype, plait.float32))
        others = plait.random.permutation(len(images))
        mixed, share = self._mixed(wide, plait.take(wide, others, axis=0))
        mixed = mixed.to(images.dtype)
        if targets is None:
            return mixed
        kept = share.reshape((-1,) + (1,) * (targets.ndim - 1)).to(targets.dtype)
        other_targets = plait.take(targets, others, axis=0)
        return mixed, other_targets + kept * (targets - other_targets)

    def _mixed(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return images mixed with others, and what share of each has stayed."""
        raise NotImplementedError(f"{type(self).__name__} mixes nothing")


class MixUp(_Mix):
    """Mixes each image of a batch with another one, in training mode.

    Formula: w * x + (1 - w) * another x of the batch, with w drawn for each image from
    the distribution Beta(alpha, alpha), and the same for the targets.

    Args:
        alpha: above 0; the nearer to 0, the less is mixed.

    Input: shape (n, ...), floats, and optionally targets, (n, ...), floats, such as
    classes by `plait.one_hot`. Result: the same.

    Raises:
        ArgumentError: an alpha not above 0.
        DTypeError: (calling it) the targets are no floats.

    Source: H. Zhang et al., "mixup: beyond empirical risk minimization", 2018.
    """

    _shown = ("alpha",)

    def __init__(self, alpha: float = 0.2) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise ArgumentError("[MixUp] alpha is above 0", got=f"alpha={alpha!r}")
        self.alpha = float(alpha)

    def _mixed(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        share = mixing_shares(len(images), self.alpha, images)
        kept = share.reshape((-1,) + (1,) * (images.ndim - 1))
        return others + kept * (images - others), share

    @staticmethod
    def samples() -> list[Sample]:
        both = (pictures(3, 2, 4, 3), uniform(3, 4, low=0.0, high=1.0))
        return samples_of({"alpha": 1.0}, inputs=both, wrt=(0, 1))


class CutMix(_Mix):
    """Puts a rectangle of another image of the batch into each one, in training mode.

    The rectangle lies anywhere inside and has the image's proportions. A target becomes
    the mean of both, weighted by how many pixels are of each image.

    Args:
        factor: the share of the area that comes from the other image: two numbers in
            0..1 to draw between, or one for 0..f.

    Input: shape (n, channels, height, width), and optionally targets, (n, ...), floats,
    such as classes by `plait.one_hot`. Result: the same.

    Raises:
        ArgumentError: a factor outside of 0..1.
        DTypeError: (calling it) images or targets are no floats.

    Source: S. Yun et al., "CutMix: regularization strategy to train strong classifiers
    with localizable features", 2019.
    """

    _shown = ("factor",)

    def __init__(self, factor: Factor = 1.0) -> None:
        super().__init__()
        self.factor = pair_of("CutMix", "factor", factor, 0, 1)

    def _mixed(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        check_images("CutMix", images)
        if images.ndim != 4:
            raise ShapeError(
                "[CutMix] a batch of images is needed", got=f"shape {images.shape}"
            )
        length = plait.sqrt(drawn(len(images), *self.factor, images))
        inside = rectangles(images, length, length)
        stayed = 1 - inside.to(images.dtype).mean((1, 2, 3))
        return plait.where(inside, others, images), stayed

    @staticmethod
    def samples() -> list[Sample]:
        both = (pictures(3, 2, 4, 3), uniform(3, 4, low=0.0, high=1.0))
        return samples_of({}, inputs=both, wrt=(0, 1))
