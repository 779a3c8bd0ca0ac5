"""Losses of embeddings and of lists, as layers.

Formulas, gradients and sources stand with the functions.

Read first: `NTXentLoss`, `CircleLoss`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Reduction
from .criterion import Criterion, references
from .sample import Sample, uniform

_LABELS = np.array([0, 1, 0, 2, 1, 0])


def _of_one_length() -> Any:
    x = uniform(6, 3)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class CircleLoss(Criterion):
    """How far embeddings of one label are from being closer than all others.

    See `plait.circle_loss`.

    Args:
        gamma: the scale.
        margin: how near, and how far, is enough.
        reduction: "mean" or "sum" over all examples, or "none".

    Input: embeddings, shape (n, features), and labels, shape (n,). Result: a scalar, or
    shape (n,) for "none".
    """

    _settings = ("gamma", "margin")

    def __init__(
        self, gamma: float = 80.0, margin: float = 0.4, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.gamma = gamma
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.circle_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            d = np.maximum(0, 1 - x @ x.T)
            near = np.exp(8 * (d + 0.4) * (d - 0.4))
            far = np.exp(8 * np.maximum(0, 1.4 - d) * (0.6 - d))
            same = (y[:, None] == y) & ~np.eye(6, dtype=bool)
            other = y[:, None] != y
            return np.log1p((near * same).sum(1) * (far * other).sum(1))

        samples = references(reference, _of_one_length(), _LABELS, gamma=8.0)
        return [x._replace(separable=False) for x in samples]


class NTXentLoss(Criterion):
    """How badly each embedding picks out those of its label by their cosines.

    See `plait.nt_xent_loss`.

    Args:
        temperature: by what cosines are divided, positive.
        reduction: "mean" or "sum" over all examples, or "none".

    Input: embeddings, shape (n, features), and labels, shape (n,). Result: a scalar, or
    shape (n,) for "none".
    """

    _settings = ("temperature",)

    def __init__(
        self, temperature: float = 0.07, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.temperature = temperature

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.nt_xent_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            x = x / np.linalg.norm(x, axis=1, keepdims=True)
            e = np.exp(x @ x.T / 0.5) * (1 - np.eye(6))
            same = (y[:, None] == y) & ~np.eye(6, dtype=bool)
            log_p = np.where(same, np.log(e + np.eye(6)) - np.log(e.sum(1))[:, None], 0)
            return -log_p.sum(1) / np.maximum(same.sum(1), 1)

        samples = references(reference, uniform(6, 3), _LABELS, temperature=0.5)
        return [x._replace(separable=False) for x in samples]


class RankingSoftmaxLoss(Criterion):
    """How badly scores order a list as its relevances do.

    See `plait.ranking_softmax_loss`.

    Args:
        reduction: "mean" or "sum" over all lists, or "none".

    Input: scores and relevances, shapes (..., items) and (..., items). Result: a
    scalar, or shape (...) for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.ranking_softmax_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: (y * (np.log(np.exp(x).sum(1, keepdims=True)) - x)).sum(1),
            uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1),
        )  # fmt: skip
