"""Counts of right and wrong answers for each class, and what is made of them.

Read first: `Counts`, `Precision`, `FBetaScore`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .accuracy import added, weights_of
from .metric import Metric, as_tensor
from .sample import Sample, bits, classes, scores

AVERAGES = ("micro", "macro", "weighted", None)


class Tally(NamedTuple):
    """How often a class was said and was right, and so on; float64, shape (classes,).

    Attributes:
        tp: said, and right.
        fp: said, and wrong.
        fn: not said, but right.
        tn: not said, rightly.
    """

    tp: NDArray[np.float64]
    fp: NDArray[np.float64]
    fn: NDArray[np.float64]
    tn: NDArray[np.float64]


class Counts(Metric):
    """A metric of the numbers of true and false, positive and negative answers.

    An answer is given for each class: with class numbers as targets the class of
    highest score is said, else each class whose score is above the threshold.

    Args:
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro" counts all classes together; "macro" is the mean of the
            classes' values; "weighted" the same with weights by how often each class is
            right; None gives an array with the value of each class.
    """

    def __init__(
        self, threshold: float | None = None, average: str | None = "micro"
    ) -> None:
        if average not in AVERAGES:
            raise ArgumentError(
                f"[{type(self).__name__}] there is no such average",
                got=repr(average),
                expected="'micro', 'macro', 'weighted' or None",
            )
        self.threshold = threshold
        self.average = average
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sums: Tensor | None = None

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            output: scores, shape (n, classes), or (n,) of one class.
            target: ones and zeros of that shape, or class numbers, integers of shape
                (n,).
            weight: of each example, shape (n,). Default: 1.

        Raises:
            ShapeError: the shapes do not fit.
        """
        said, right = self._answers(as_tensor(output), as_tensor(target))
        pairs = (said & right, said & ~right, ~said & right, ~said & ~right)
        counted = plait.stack([x.double() for x in pairs])
        if weight is not None:
            factor = weights_of(type(self).__name__, weight, said.shape)
            counted = counted * factor
        self._sums = added(self._sums, plait.sum(counted, axis=1))

    def _answers(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is said and what is right, yes or no, shape (n, classes)."""
        if output.shape == target.shape and output.ndim in (1, 2):
            threshold = 0.5 if self.threshold is None else self.threshold
            said, right = output > threshold, target > 0.5
            if output.ndim == 1:
                said, right = said.unsqueeze(1), right.unsqueeze(1)
            return said, right
        if output.ndim != 2 or target.shape != output.shape[:1]:
            raise ShapeError(
                f"[{type(self).__name__}] scores and targets do not fit together",
                got=f"{output.shape} and {target.shape}",
                expected="(n, classes) and (n,), or two of one shape",
            )
        numbers = plait.arange(output.shape[1])
        best = plait.argmax(output, axis=1, keepdims=True)
        said = numbers == best
        if self.threshold is not None:
            said = said & (output > self.threshold)
        return said, numbers == target.unsqueeze(1)

    def tally(self) -> Tally:
        """Return the counts so far; of no class if nothing was added."""
        if self._sums is None:
            return Tally(*np.zeros((4, 0)))
        return Tally(*np.asarray(self._sums.numpy(), np.float64))

    def value(self) -> Any:
        """Return what is made of the counts: a number, or an array if `average` is
        None.
        """
        tally = self.tally()
        if self.average == "micro":
            tally = Tally(*(x.sum(keepdims=True) for x in tally))
        found = self._of(tally)
        if self.average is None:
            return found
        if self.average == "weighted":
            share = tally.tp + tally.fn
            return float(ratio((found * share).sum(), share.sum()))
        return float(found.mean()) if found.size else 0.0

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        """Return the value of each class."""
        raise NotImplementedError


def ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Return part / whole, and 0 where there is nothing."""
    found: NDArray[np.float64] = np.divide(
        part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0
    )
    return found


def _answered(
    x: np.ndarray, y: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, ...]:
    """Return tp, fp, fn, tn of each class, by NumPy."""
    if y.ndim < x.ndim:
        said, right = np.eye(x.shape[1])[x.argmax(1)], np.eye(x.shape[1])[y]
    else:
        said, right = (x > threshold) * 1.0, y * 1.0
    pairs = ((said, right), (said, 1 - right), (1 - said, right), (1 - said, 1 - right))
    return tuple((a * b).sum(0) for a, b in pairs)


class _Sum(Counts):
    """The sum of one of the four numbers."""

    _which: ClassVar[int]

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(threshold)

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        return tally[self._which]

    @classmethod
    def samples(cls) -> list[Sample]:
        x, y = scores(9), bits(9)
        return [
            Sample((x, y), lambda x, y: _answered(x, y)[cls._which], weighted=True),
            Sample(
                (scores(9, 3), bits(9, 3)),
                lambda x, y: _answered(x, y, 0.3)[cls._which].sum(), (0.3,),
            ),
        ]  # fmt: skip


class TruePositives(_Sum):
    """How many answers of yes are right.

    Value: the number, or the sum of their weights.

    Args:
        threshold: scores above it say yes. Default: 0.5.
    """

    _which = 0


class FalsePositives(_Sum):
    """How many answers of yes are wrong.

    Value: the number, or the sum of their weights.

    Args:
        threshold: scores above it say yes. Default: 0.5.
    """

    _which = 1


class FalseNegatives(_Sum):
    """How many answers of no are wrong.

    Value: the number, or the sum of their weights.

    Args:
        threshold: scores above it say yes. Default: 0.5.
    """

    _which = 2


class TrueNegatives(_Sum):
    """How many answers of no are right.

    Value: the number, or the sum of their weights.

    Args:
        threshold: scores above it say yes. Default: 0.5.
    """

    _which = 3


def _averages(of: Any) -> list[Sample]:
    """Return samples for each average of a function of tp, fp, fn and tn."""
    x, y = scores(13, 3), classes(13, 3)

    def micro(x: np.ndarray, y: np.ndarray) -> Any:
        return of(*(np.sum(part) for part in _answered(x, y)))

    def each(x: np.ndarray, y: np.ndarray) -> Any:
        return of(*_answered(x, y))

    def weighted(x: np.ndarray, y: np.ndarray) -> Any:
        return (each(x, y) * np.bincount(y, minlength=3)).sum() / len(y)

    return [
        Sample((x, y), micro, weighted=True),
        Sample((x, y), each, named={"average": None}),
        Sample((x, y), lambda x, y: each(x, y).mean(), named={"average": "macro"}),
        Sample((x, y), weighted, named={"average": "weighted"}),
        Sample((scores(9), bits(9)), lambda x, y: each(x[:, None], y[:, None])[0]),
        Sample(
            (scores(9, 2), bits(9, 2)),
            lambda x, y: of(*_answered(x, y, 0.3)), (0.3,), {"average": None},
        ),
    ]  # fmt: skip


class Precision(Counts):
    """The fraction of what was said that is right: tp / (tp + fp).

    Value: the fraction, 0 if nothing was said; or one for each class.

    Args:
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro", "macro", "weighted" or None; see `Counts`.
    """

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        return ratio(tally.tp, tally.tp + tally.fp)

    @staticmethod
    def samples() -> list[Sample]:
        return _averages(lambda tp, fp, fn, tn: tp / (tp + fp))


class Recall(Counts):
    """The fraction of what is right that was said: tp / (tp + fn).

    Value: the fraction, 0 if nothing is right; or one for each class.

    Args:
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro", "macro", "weighted" or None; see `Counts`.
    """

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        return ratio(tally.tp, tally.tp + tally.fn)

    @staticmethod
    def samples() -> list[Sample]:
        return _averages(lambda tp, fp, fn, tn: tp / (tp + fn))


class Specificity(Counts):
    """The fraction of what is not right that was not said: tn / (tn + fp).

    Value: the fraction, 0 if all is right; or one for each class.

    Args:
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro", "macro", "weighted" or None; see `Counts`.
    """

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        return ratio(tally.tn, tally.tn + tally.fp)

    @staticmethod
    def samples() -> list[Sample]:
        return _averages(lambda tp, fp, fn, tn: tn / (tn + fp))


class FBetaScore(Counts):
    """Precision and recall in one number.

    Formula: (1 + beta ** 2) * tp / ((1 + beta ** 2) * tp + beta ** 2 * fn + fp).

    Value: the score, 0 if there is nothing; or one for each class.

    Args:
        beta: how many times as much recall counts as precision does.
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro", "macro", "weighted" or None; see `Counts`.
    """

    def __init__(
        self,
        beta: float = 1.0,
        threshold: float | None = None,
        average: str | None = "micro",
    ) -> None:
        if not beta > 0:
            raise ArgumentError("[FBetaScore] beta must be positive", got=repr(beta))
        self.beta = beta
        super().__init__(threshold, average)

    def _of(self, tally: Tally) -> NDArray[np.float64]:
        square = self.beta**2
        hits = (1 + square) * tally.tp
        return ratio(hits, hits + square * tally.fn + tally.fp)

    @staticmethod
    def samples() -> list[Sample]:
        plain = _averages(lambda tp, fp, fn, tn: 5 * tp / (5 * tp + 4 * fn + fp))
        return [x._replace(args=(2.0, *x.args)) for x in plain]


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: 2 * tp / (2 * tp + fn + fp).

    Value: the score, 0 if there is nothing; or one for each class.

    Args:
        threshold: scores above it say yes. Default: 0.5 for targets of ones and zeros.
        average: "micro", "macro", "weighted" or None; see `Counts`.
    """

    def __init__(
        self, threshold: float | None = None, average: str | None = "micro"
    ) -> None:
        super().__init__(1.0, threshold, average)

    @staticmethod
    def samples() -> list[Sample]:
        return _averages(lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fn + fp))
