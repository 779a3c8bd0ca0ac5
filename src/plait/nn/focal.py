"""Losses that weigh examples by how sure the net already is, as layers.

Formulas, gradients and sources stand with the functions.

Read first: `FocalLoss`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Reduction
from .criterion import WEIGHTS, Criterion, WeightedCriterion, references
from .sample import Sample, integers, uniform


def _softmax(x: np.ndarray) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _right(x: np.ndarray, y: np.ndarray) -> Any:
    """Return the probability of the right class."""
    return _softmax(x)[np.arange(len(y)), y]


class FocalLoss(WeightedCriterion):
    """The cross entropy with less weight on classes that are well known.

    See `plait.focal_loss`.

    Args:
        weight: a factor for each class, shape (classes,). Default: 1.
        gamma: how much less; with 0 this is the cross entropy.
        reduction: "mean" or "sum" over all examples, or "none".

    Attributes:
        weight: the given one, a buffer; or None.

    Input: scores, shape (n, classes, ...), and class numbers, shape (n, ...), or
    probabilities of the shape of the scores. Result: a scalar, or shape (n, ...) for
    "none".
    """

    _settings = ("gamma",)

    def __init__(
        self,
        weight: Tensor | None = None,
        gamma: float = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.focal_loss(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4), integers(3, high=4)

        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            p = _right(x, y)
            return -((1 - p) ** 2) * np.log(p)

        return [
            *references(reference, x, y),
            *references(
                lambda x, y: -WEIGHTS[y] * np.log(_right(x, y)),
                x, y, gamma=0.0, weight=WEIGHTS,
            ),
        ]  # fmt: skip


class SigmoidFocalLoss(Criterion):
    """The binary cross entropy with less weight on what is well known.

    See `plait.sigmoid_focal_loss`.

    Args:
        alpha: the weight of a target of 1, in 0..1; None for no weights.
        gamma: how much less.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: logits and targets from 0 to 1, shapes (...) and (...). Result: a scalar, or
    (...) for "none".
    """

    _settings = ("alpha", "gamma")

    def __init__(
        self,
        alpha: float | None = 0.25,
        gamma: float = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.sigmoid_focal_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            p = 1 / (1 + np.exp(-np.where(y == 1, x, -x)))
            return np.where(y == 1, 0.3, 0.7) * (1 - p) ** 1.5 * -np.log(p)

        x, y = uniform(3, 4), integers(3, 4, high=2) * 1.0
        return references(reference, x, y, alpha=0.3, gamma=1.5)


class PolyLoss(Criterion):
    """The cross entropy with another first term of its expansion.

    See `plait.poly_loss`.

    Args:
        epsilon: what is added to the term's coefficient, at least -1.
        reduction: "mean" or "sum" over all examples, or "none".

    Input: scores, shape (n, classes, ...), and class numbers, shape (n, ...), or
    probabilities of the shape of the scores. Result: a scalar, or shape (n, ...) for
    "none".
    """

    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.epsilon = epsilon

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.poly_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: 2 * (1 - _right(x, y)) - np.log(_right(x, y)),
            uniform(3, 4), integers(3, high=4),
        )  # fmt: skip


class GeneralizedCrossEntropyLoss(Criterion):
    """Between the cross entropy and the absolute error, for labels some of which
    are wrong. See `plait.generalized_cross_entropy`.

    Args:
        q: how far wrong labels are put up with, above 0 and at most 1.
        reduction: "mean" or "sum" over all examples, or "none".

    Input: scores, shape (n, classes, ...), and class numbers, shape (n, ...). Result: a
    scalar, or shape (n, ...) for "none".
    """

    _settings = ("q",)

    def __init__(self, q: float = 0.5, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.q = q

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.generalized_cross_entropy(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: (1 - _right(x, y) ** 0.7) / 0.7,
            uniform(3, 4), integers(3, high=4), q=0.7,
        )  # fmt: skip


class SparsemaxLoss(Criterion):
    """The loss whose gradient is sparsemax(input) - target. See `plait.sparsemax_loss`.

    Args:
        reduction: "mean" or "sum" over all examples, or "none".

    Input: scores, shape (n, classes, ...), and class numbers, shape (n, ...), or
    probabilities of the shape of the scores. Result: a scalar, or shape (n, ...) for
    "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.sparsemax_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            losses = []
            for z, label in zip(x, y, strict=True):
                falling = np.sort(z)[::-1]
                above = 1 + np.arange(1, 5) * falling > np.cumsum(falling)
                tau = (falling[above].sum() - 1) / above.sum()
                support = z[z > tau]
                losses.append((support**2 - tau**2).sum() / 2 - z[label] + 0.5)
            return np.array(losses)

        return references(reference, uniform(3, 4), integers(3, high=4))
