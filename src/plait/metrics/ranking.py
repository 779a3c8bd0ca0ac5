"""How well scores order what is relevant in each list.

Read first: `NDCG`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .metric import Mean, Metric, as_tensor
from .sample import Sample, bits


class _OfLists(Metric):
    """The mean of a number for each list."""

    def __init__(self, k: int | None) -> None:
        if k is not None and (type(k) is not int or k < 1):
            raise ArgumentError(
                f"[{type(self).__name__}] k must be an integer of at least 1",
                got=repr(k),
            )
        self.k = k
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._mean = Mean()

    def add(self, output: Any, target: Any) -> None:
        """Add a batch of lists.

        Args:
            output: scores, shape (n, items), or (items,) of one list.
            target: how relevant each item is, at least 0, of the same shape.

        Raises:
            ShapeError: the shapes differ, or there are fewer items than k.
        """
        output, target = as_tensor(output), as_tensor(target)
        name = type(self).__name__
        if output.shape != target.shape or output.ndim not in (1, 2):
            raise ShapeError(
                f"[{name}] scores and targets do not fit together",
                got=f"{output.shape} and {target.shape}",
                expected="two of (n, items)",
            )
        items = output.shape[-1]
        if self.k is not None and items < self.k:
            raise ShapeError(
                f"[{name}] there are fewer items than k", got=f"{items}, k = {self.k}"
            )
        if output.ndim == 1:
            output, target = output.unsqueeze(0), target.unsqueeze(0)
        order = plait.argsort(output, axis=1, descending=True, stable=True)
        sorted_ = plait.take_along_axis(target.double(), order, axis=1)
        self._mean.add(self._of(sorted_, target.double(), self.k or items))

    def value(self) -> float:
        """Return the mean."""
        return self._mean.value()

    def _of(self, ranked: Tensor, target: Tensor, k: int) -> Tensor:
        """Return a number for each list, of relevances as the scores order them."""
        raise NotImplementedError


def _ranked(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.take_along_axis(y, np.argsort(-x, axis=1, kind="stable"), axis=1)


def _scores() -> np.ndarray:
    return np.random.default_rng(3).permuted(np.tile(np.arange(5.0), (6, 1)), axis=1)


class NDCG(_OfLists):
    """How much relevance stands at the front of each list, against the best order.

    Formula: sum over the first k of (2 ** relevance - 1) / log2(1 + place), over the
    same of the best order; 0 for a list without relevance.

    Value: the mean over lists, NaN if nothing was added.

    Args:
        k: how many places count. Default: all.

    Source: C. Burges et al., "Learning to rank using gradient descent", 2005.
    """

    def __init__(self, k: int | None = None) -> None:
        super().__init__(k)

    def _of(self, ranked: Tensor, target: Tensor, k: int) -> Tensor:
        best = plait.sort(target, axis=1, descending=True)
        places = plait.arange(2, k + 2, dtype=plait.float64)
        found, most = (
            plait.sum((plait.exp2(x[:, :k]) - 1) / plait.log2(places), axis=1)
            for x in (ranked, best)
        )
        return plait.where(most > 0, found / plait.maximum(most, 1e-30), 0.0)

    @staticmethod
    def samples() -> list[Sample]:
        y = np.random.default_rng(1).integers(0, 4, (6, 5))

        def gain(y: np.ndarray) -> np.ndarray:
            found: np.ndarray = ((2.0 ** y[:, :3] - 1) / np.log2([2, 3, 4])).sum(1)
            return found

        return [
            Sample(
                (_scores(), y),
                lambda x, y: (gain(_ranked(x, y)) / gain(-np.sort(-y, 1))).mean(), (3,),
            )
        ]  # fmt: skip


class PrecisionAtK(_OfLists):
    """The fraction of the first k of each list that is relevant.

    Value: the mean over lists, NaN if nothing was added.

    Args:
        k: how many places count.
    """

    def __init__(self, k: int) -> None:
        super().__init__(k)

    def _of(self, ranked: Tensor, target: Tensor, k: int) -> Tensor:
        return plait.sum((ranked[:, :k] > 0).double(), axis=1) / k

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (_scores(), bits(6, 5)), lambda x, y: _ranked(x, y)[:, :2].mean(), (2,)
            )
        ]


class RecallAtK(_OfLists):
    """The fraction of what is relevant that stands among the first k of each list.

    Value: the mean over lists, 0 for those without anything relevant; NaN if nothing
    was added.

    Args:
        k: how many places count.
    """

    def __init__(self, k: int) -> None:
        super().__init__(k)

    def _of(self, ranked: Tensor, target: Tensor, k: int) -> Tensor:
        relevant = (ranked > 0).double()
        every = plait.maximum(plait.sum(relevant, axis=1), 1.0)
        return plait.sum(relevant[:, :k], axis=1) / every

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (_scores(), bits(6, 5)),
                lambda x, y: (
                    _ranked(x, y)[:, :2].sum(1) / np.maximum(y.sum(1), 1)
                ).mean(), (2,),
            )
        ]  # fmt: skip


class MeanReciprocalRank(_OfLists):
    """The mean of 1 / place of the first item of each list that is relevant.

    Value: the mean over lists, 0 for those without one; NaN if nothing was added.

    Args:
        k: how many places count. Default: all.
    """

    def __init__(self, k: int | None = None) -> None:
        super().__init__(k)

    def _of(self, ranked: Tensor, target: Tensor, k: int) -> Tensor:
        places = plait.arange(1, k + 1, dtype=plait.float64)
        return plait.max(plait.where(ranked[:, :k] > 0, 1 / places, 0.0), axis=1)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            found = []
            for row in _ranked(x, y):
                hits = np.flatnonzero(row)
                found.append(1 / (1 + hits[0]) if hits.size else 0)
            return float(np.mean(found))

        return [Sample((_scores(), bits(6, 5)), reference)]
