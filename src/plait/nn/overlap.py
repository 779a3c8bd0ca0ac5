"""Losses of how much two regions overlap, as layers.

Formulas and sources stand with the functions.

Read first: `DiceLoss`, `TverskyLoss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import NotNegative, Reduction
from .criterion import Criterion, references
from .sample import Sample, integers, uniform


class DiceLoss(Criterion):
    """1 - 2 * sum(p * t) / (sum(p) + sum(t)) of regions p and t. See `plait.dice_loss`.

    Args:
        dim: the axes of one region. Default: all axes.
        eps: keeps the divisor from 0.
        reduction: "mean" or "sum" over all regions, or "none".

    Input: probabilities and targets from 0 to 1, shapes (...) and (...). Result: a
    scalar, or what is left of (...) without the axes `dim`, for "none".
    """

    _settings = ("dim", "eps")

    def __init__(
        self,
        dim: int | Sequence[int] | None = None,
        eps: NotNegative = 1e-7,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.dim = dim
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.dice_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(p: np.ndarray, t: np.ndarray) -> Any:
            both, left, right = ((x).sum((1, 2)) for x in (p * t, p, t))
            return 1 - 2 * both / (left + right + 1e-7)

        p, t = uniform(3, 4, 5, low=0.1, high=0.9), integers(3, 4, 5, high=2) * 1.0
        return references(reference, p, t, dim=(1, 2))


class TverskyLoss(Criterion):
    """How much a region misses and has too much, with a weight for each.

    See `plait.tversky_loss`.

    Args:
        alpha: the weight of what is missed.
        beta: the weight of what is too much.
        dim: the axes of one region. Default: all axes.
        eps: keeps the divisor from 0.
        reduction: "mean" or "sum" over all regions, or "none".

    Input: probabilities and targets from 0 to 1, shapes (...) and (...). Result: a
    scalar, or what is left of (...) without the axes `dim`, for "none".
    """

    _settings = ("alpha", "beta", "dim", "eps")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        dim: int | Sequence[int] | None = None,
        eps: NotNegative = 1e-7,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.beta = beta
        self.dim = dim
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.tversky_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(p: np.ndarray, t: np.ndarray) -> Any:
            both, left, right = (
                (x).sum((1, 2)) for x in (p * t, (1 - p) * t, p * (1 - t))
            )
            return 1 - both / (both + 0.3 * left + 0.7 * right + 1e-7)

        p, t = uniform(3, 4, 5, low=0.1, high=0.9), integers(3, 4, 5, high=2) * 1.0
        return references(reference, p, t, dim=(1, 2), alpha=0.3, beta=0.7)
