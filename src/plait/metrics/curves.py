"""What becomes of yes and no as the threshold moves: areas, and points of curves.

Scores are kept until `value`, and sorted there: nothing is rounded to a number of
thresholds. A score that is no number counts as less than all others.

Read first: `AUC`, `AveragePrecision`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .metric import Metric, as_tensor
from .sample import Sample, bits, scores

Array = NDArray[np.float64]


class Curve(Metric):
    """A metric of scores of yes or no for all thresholds.

    Keeps 9 bytes or more for each score that is added.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: list[tuple[Any, Any]] = []
        self._read: list[tuple[Array, NDArray[np.bool_]]] = []

    def add(self, output: Any, target: Any) -> None:
        """Add a batch.

        Args:
            output: scores, shape (n,) or (n, 1).
            target: 1 for yes, else 0, as many.

        Raises:
            ShapeError: there are not as many targets as scores, or more than one for
                each example.
        """
        output, target = as_tensor(output), as_tensor(target)
        fits = output.size == target.size and output.size == (output.shape or (1,))[0]
        if not fits:
            raise ShapeError(
                f"[{type(self).__name__}] scores and targets do not fit together",
                got=f"{output.shape} and {target.shape}",
                expected="(n,) and (n,)",
                fix="for several labels, use one metric for each",
            )
        self._kept.append((output, target))

    def counts(self) -> tuple[Array, Array]:
        """Return how many answers of yes are wrong, and how many right, for falling
        thresholds, from none to all.
        """
        self._read += [
            (np.asarray(x.numpy(), np.float64).ravel(), y.numpy().ravel() > 0.5)
            for x, y in self._kept
        ]
        self._kept.clear()
        if not self._read:
            return np.zeros(1), np.zeros(1)
        score = np.concatenate([x for x, _ in self._read])
        right = np.concatenate([y for _, y in self._read])
        self._read = [(score, right)]
        return counted(score, right)


def counted(score: Array, right: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return what `Curve.counts` does of scores, and of whether yes is right."""
    if not score.size:
        return np.zeros(1), np.zeros(1)
    score = np.where(np.isnan(score), -np.inf, score)
    order = np.argsort(score)[::-1]
    score, right = score[order], right[order]
    # Equal scores are above a threshold together.
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    tp = np.concatenate([[0.0], np.cumsum(right)[ends]])
    return np.concatenate([[0.0], ends + 1.0]) - tp, tp


class AUC(Curve):
    """The area under a curve: of the rate of right answers of yes over that of wrong
    ones (ROC), or of precision over recall (PR).

    Under the ROC curve it is the probability that an example of yes has a higher score
    than one of no, by trapezoids; under the PR curve, between two points, precision
    follows the counts, which a straight line does not.

    Value: the area, NaN unless there are both yes and no (for "PR": unless there is a
    yes).

    Args:
        curve: "ROC" or "PR".

    Source: J. Davis, M. Goadrich, "The relationship between precision-recall and ROC
    curves", 2006, for how precision is interpolated.
    """

    def __init__(self, curve: str = "ROC") -> None:
        if curve not in ("ROC", "PR"):
            raise ArgumentError(
                "[AUC] there is no such curve",
                got=repr(curve),
                expected="'ROC' or 'PR'",
            )
        self.curve = curve
        super().__init__()

    def value(self) -> float:
        """Return the area."""
        fp, tp = self.counts()
        if self.curve == "PR":
            return _area_of_precision(fp, tp)
        if not fp[-1] or not tp[-1]:
            return math.nan
        return float(np.trapezoid(tp, fp) / (fp[-1] * tp[-1]))

    @staticmethod
    def samples() -> list[Sample]:
        def pairs(x: np.ndarray, y: np.ndarray) -> float:
            yes, no = x[y == 1][:, None], x[y == 0]
            return float(((yes > no) + 0.5 * (yes == no)).mean())

        def summed(x: np.ndarray, y: np.ndarray) -> float:
            # One answer after another between two thresholds, in many small steps.
            fp, tp = _counted(x, y)
            area = 0.0
            for i in range(1, len(tp)):
                parts = np.linspace(0, 1, 20001)
                right = tp[i - 1] + (tp[i] - tp[i - 1]) * parts
                wrong = fp[i - 1] + (fp[i] - fp[i - 1]) * parts
                middle = (right[1:] + right[:-1]) / 2
                share = middle / (middle + (wrong[1:] + wrong[:-1]) / 2)
                area += (share * np.diff(right)).sum() / tp[-1]
            return area

        return [
            Sample((scores(15), bits(15)), pairs),
            Sample((scores(15), bits(15)), summed, ("PR",)),
        ]


def _area_of_precision(fp: Array, tp: Array) -> float:
    if not tp[-1]:
        return math.nan
    gained, lost = np.diff(tp), np.diff(fp)
    before, wrong = tp[:-1], fp[:-1]
    moves = gained > 0
    gained, lost = gained[moves], lost[moves]
    before, wrong = before[moves], wrong[moves]
    # The integral of t / (t + w + s * (t - before)) over t, where s = lost / gained.
    slope = lost / gained
    offset = wrong - slope * before
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = ((1 + slope) * (before + gained) + offset) / (
            (1 + slope) * before + offset
        )
        part = (gained - offset / (1 + slope) * np.log(grown)) / (1 + slope)
    # From nothing at all, the share is the same all along.
    part = np.where(offset == 0, gained / (1 + slope), part)
    return float(part.sum() / tp[-1])


def _counted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fp and tp for falling thresholds, by looking at each."""
    levels = [np.inf, *np.unique(x)[::-1]]
    fp = np.array([((x >= t) & (y == 0)).sum() for t in levels])
    return fp, np.array([((x >= t) & (y == 1)).sum() for t in levels])


class AveragePrecision(Curve):
    """The mean of the precisions at which recall grows, weighted with its steps.

    Formula: sum over thresholds of (recall_i - recall_(i - 1)) * precision_i.

    Value: the mean, NaN if there is no yes.
    """

    def value(self) -> float:
        """Return the mean."""
        return _mean_precision(*self.counts())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            fp, tp = _counted(x, y)
            steps = [
                (tp[i] - tp[i - 1]) / tp[-1] * tp[i] / (tp[i] + fp[i])
                for i in range(1, len(tp))
            ]
            return float(sum(steps))

        return [Sample((scores(15), bits(15)), reference)]


def _mean_precision(fp: Array, tp: Array) -> float:
    if not tp[-1]:
        return math.nan
    precision = tp[1:] / (tp[1:] + fp[1:])
    return float((np.diff(tp) * precision).sum() / tp[-1])


class MeanAveragePrecision(Metric):
    """The mean over labels of `AveragePrecision`.

    Value: the mean over labels that have a yes, NaN if none has.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: list[tuple[Tensor, Tensor]] = []

    def add(self, output: Any, target: Any) -> None:
        """Add a batch.

        Args:
            output: scores of each label, shape (n, labels).
            target: ones and zeros, of the same shape.

        Raises:
            ShapeError: the shapes differ from one another, or from those before.
        """
        output, target = as_tensor(output), as_tensor(target)
        labels = output.shape[-1] if output.ndim else 0
        known = self._kept[0][0].shape[1] if self._kept else labels
        if output.ndim != 2 or output.shape != target.shape or labels != known:
            raise ShapeError(
                "[MeanAveragePrecision] scores and targets do not fit together",
                got=f"{output.shape} and {target.shape}",
                expected=f"two of (n, {known or 'labels'})",
            )
        self._kept.append((output, target))

    def value(self) -> float:
        """Return the mean."""
        if not self._kept:
            return math.nan
        score, right = (
            np.concatenate([x.numpy() for x in part])
            for part in zip(*self._kept, strict=True)
        )
        columns = zip(score.astype(np.float64).T, right.T > 0.5, strict=True)
        found = [_mean_precision(*counted(*column)) for column in columns]
        present = [x for x in found if not math.isnan(x)]
        return math.fsum(present) / len(present) if present else math.nan

    @staticmethod
    def samples() -> list[Sample]:
        (one,) = AveragePrecision.samples()
        return [
            Sample(
                (scores(15, 2), bits(15, 2)),
                lambda x, y: np.mean([one.reference(x[:, i], y[:, i]) for i in (0, 1)]),
            )
        ]


class _Best(Curve):
    """The best of one rate where another is good enough."""

    _name: str

    def __init__(self, least: float) -> None:
        if not 0 <= least <= 1:
            raise ArgumentError(
                f"[{type(self).__name__}] {self._name} lies in 0..1", got=repr(least)
            )
        setattr(self, self._name, least)
        super().__init__()

    def value(self) -> float:
        """Return the best."""
        fp, tp = self.counts()
        if not fp[-1] + tp[-1]:
            return math.nan
        found, given = self._rates(fp, tp)
        allowed = found[given >= getattr(self, self._name) - 1e-12]
        return float(allowed.max()) if allowed.size else 0.0

    @staticmethod
    def _rates(fp: Array, tp: Array) -> tuple[Array, Array]:
        """Return what is to be great, and what must be great enough."""
        raise NotImplementedError


def _recall(tp: Array) -> Array:
    found: Array = tp / max(tp[-1], 1)
    return found


def _precision(fp: Array, tp: Array) -> Array:
    # Of no answers all are right.
    return np.divide(tp, tp + fp, out=np.ones_like(tp), where=tp + fp > 0)


def _specificity(fp: Array) -> Array:
    found: Array = 1 - fp / max(fp[-1], 1)
    return found


def _best(rates: Callable[..., Any], least: float) -> list[Sample]:
    def reference(x: np.ndarray, y: np.ndarray) -> float:
        fp, tp = _counted(x, y)
        found = [0.0]
        for wrong, right in zip(fp, tp, strict=True):
            great, given = rates(wrong, right, fp[-1], tp[-1])
            if given >= least:
                found.append(great)
        return float(max(found))

    return [Sample((scores(15), bits(15)), reference, (least,))]


def _share(right: float, wrong: float) -> float:
    return right / (right + wrong) if right + wrong else 1.0


class PrecisionAtRecall(_Best):
    """The best precision of thresholds whose recall is good enough.

    Value: the precision, 0 if there is no such threshold; NaN if nothing was added.

    Args:
        recall: the least recall, in 0..1.
    """

    _name = "recall"

    def __init__(self, recall: float) -> None:
        super().__init__(recall)

    @staticmethod
    def _rates(fp: Array, tp: Array) -> tuple[Array, Array]:
        return _precision(fp, tp), _recall(tp)

    @staticmethod
    def samples() -> list[Sample]:
        return _best(lambda fp, tp, no, yes: (_share(tp, fp), tp / yes), 0.5)


class RecallAtPrecision(_Best):
    """The best recall of thresholds whose precision is good enough.

    Value: the recall, 0 if there is no such threshold; NaN if nothing was added.

    Args:
        precision: the least precision, in 0..1.
    """

    _name = "precision"

    def __init__(self, precision: float) -> None:
        super().__init__(precision)

    @staticmethod
    def _rates(fp: Array, tp: Array) -> tuple[Array, Array]:
        return _recall(tp), _precision(fp, tp)

    @staticmethod
    def samples() -> list[Sample]:
        return _best(lambda fp, tp, no, yes: (tp / yes, _share(tp, fp)), 0.6)


class SensitivityAtSpecificity(_Best):
    """The best recall of thresholds that leave alone enough of what is a no.

    Value: the recall, 0 if there is no such threshold; NaN if nothing was added.

    Args:
        specificity: the least fraction of no that must not be said to be yes, in 0..1.
    """

    _name = "specificity"

    def __init__(self, specificity: float) -> None:
        super().__init__(specificity)

    @staticmethod
    def _rates(fp: Array, tp: Array) -> tuple[Array, Array]:
        return _recall(tp), _specificity(fp)

    @staticmethod
    def samples() -> list[Sample]:
        return _best(lambda fp, tp, no, yes: (tp / yes, 1 - fp / no), 0.5)


class SpecificityAtSensitivity(_Best):
    """The greatest fraction of no that is left alone by thresholds whose recall is good
    enough.

    Value: the fraction, 0 if there is no such threshold; NaN if nothing was added.

    Args:
        sensitivity: the least recall, in 0..1.
    """

    _name = "sensitivity"

    def __init__(self, sensitivity: float) -> None:
        super().__init__(sensitivity)

    @staticmethod
    def _rates(fp: Array, tp: Array) -> tuple[Array, Array]:
        return _specificity(fp), _recall(tp)

    @staticmethod
    def samples() -> list[Sample]:
        return _best(lambda fp, tp, no, yes: (1 - fp / no, tp / yes), 0.5)
