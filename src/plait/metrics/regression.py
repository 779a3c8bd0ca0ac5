"""How numbers go together with those they should be.

Read first: `R2Score`, `PearsonCorrelation`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .metric import Metric, as_tensor
from .sample import Sample

Array = NDArray[np.float64]


class _Moments(Metric):
    """A metric of means, variances and the covariance of outputs and targets."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: list[tuple[int, Tensor]] = []
        self._count = 0
        # Means of output and target, then sums of products of what is off them:
        # output with itself, target with itself, one with the other.
        self._moments: Array | None = None

    def add(self, output: Any, target: Any) -> None:
        """Add a batch.

        Args:
            output: numbers, shape (n,) or (n, outputs).
            target: what they should be, of the same shape.

        Raises:
            ShapeError: the shapes differ from one another, or from those before.
        """
        output, target = as_tensor(output), as_tensor(target)
        if output.ndim == 1:
            output = output.unsqueeze(1)
        if target.ndim == 1:
            target = target.unsqueeze(1)
        known = self._kept[-1][1].shape[1] if self._kept else None
        if self._moments is not None:
            known = self._moments.shape[1]
        fits = output.ndim == 2 and output.shape == target.shape
        if not fits or known not in (None, output.shape[1]):
            raise ShapeError(
                f"[{type(self).__name__}] numbers and targets do not fit together",
                got=f"{output.shape} and {target.shape}",
                expected=f"two of (n, {known or 'outputs'})",
            )
        if not output.shape[0]:
            return
        x, y = output.double(), target.double()
        at_x, at_y = plait.mean(x, axis=0), plait.mean(y, axis=0)
        off_x, off_y = x - at_x, y - at_y
        sums = [
            plait.sum(a * b, axis=0)
            for a, b in ((off_x, off_x), (off_y, off_y), (off_x, off_y))
        ]
        self._kept.append((output.shape[0], plait.stack([at_x, at_y, *sums])))

    def value(self) -> float:
        """Return the number; of several outputs the mean of theirs."""
        for count, kept in self._kept:
            part = np.array(kept.numpy())
            total = self._count + count
            if self._moments is None:
                self._moments = part
            else:
                gap = part[:2] - self._moments[:2]
                share = self._count * count / total
                self._moments[:2] += gap * (count / total)
                products = np.stack([gap[0] ** 2, gap[1] ** 2, gap[0] * gap[1]])
                self._moments[2:] += part[2:] + products * share
            self._count = total
        self._kept.clear()
        if self._moments is None:
            return math.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.mean(self._of(self._moments, self._count)))

    def _of(self, moments: Array, n: int) -> Array:
        """Return the number of each output, of n pairs."""
        raise NotImplementedError


def _numbers() -> tuple[np.ndarray, np.ndarray]:
    y = np.random.default_rng(5).normal(size=(17, 2)) + 3
    return y + np.random.default_rng(6).normal(size=(17, 2)) / 2, y


class PearsonCorrelation(_Moments):
    """The correlation of outputs and targets: their covariance over the product of
    their standard deviations.

    Value: the correlation, the mean over outputs; NaN where one does not vary.
    """

    def _of(self, moments: Array, n: int) -> Array:
        _, _, xx, yy, xy = moments
        found: Array = xy / np.sqrt(xx * yy)
        return found

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                _numbers(),
                lambda x, y: np.mean(
                    [np.corrcoef(x[:, i], y[:, i])[0, 1] for i in (0, 1)]
                ),
            )
        ]


class ConcordanceCorrelation(_Moments):
    """How near pairs of output and target are to being equal.

    Formula: 2 * cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y)) ** 2), with
    variances over n.

    Value: the correlation, the mean over outputs.

    Source: L. Lin, "A concordance correlation coefficient to evaluate
    reproducibility", 1989.
    """

    def _of(self, moments: Array, n: int) -> Array:
        x, y, xx, yy, xy = moments
        found: Array = 2 * xy / (xx + yy + n * (x - y) ** 2)
        return found

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            cov = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
            return float(
                (2 * cov / (x.var(0) + y.var(0) + (x.mean(0) - y.mean(0)) ** 2)).mean()
            )

        return [Sample(_numbers(), reference)]


class R2Score(_Moments):
    """The fraction of the targets' variance that outputs explain.

    Formula: 1 - sum((y - x) ** 2) / sum((y - mean(y)) ** 2).

    Value: 1 if all are right, 0 for the mean, below 0 for worse; the mean over
    outputs.

    Args:
        num_regressors: how many inputs the model has; with it, the score is adjusted:
            1 - (1 - R2) * (n - 1) / (n - num_regressors - 1).
    """

    def __init__(self, num_regressors: int = 0) -> None:
        if num_regressors < 0:
            raise ArgumentError(
                "[R2Score] num_regressors is negative", got=repr(num_regressors)
            )
        self.num_regressors = num_regressors
        super().__init__()

    def _of(self, moments: Array, n: int) -> Array:
        x, y, xx, yy, xy = moments
        errors = xx + yy - 2 * xy + n * (x - y) ** 2
        score: Array = 1 - errors / yy
        if self.num_regressors:
            score = 1 - (1 - score) * (n - 1) / (n - self.num_regressors - 1)
        return score

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            errors, spread = (y - x) ** 2, (y - y.mean(0)) ** 2
            found: np.ndarray = 1 - errors.sum(0) / spread.sum(0)
            return found

        return [
            Sample(_numbers(), lambda x, y: reference(x, y).mean()),
            Sample(
                _numbers(),
                lambda x, y: (1 - (1 - reference(x, y)) * 16 / 13).mean(), (3,),
            ),
        ]  # fmt: skip
