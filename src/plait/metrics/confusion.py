"""Which classes are taken for which, and what is made of that.

Read first: `ConfusionMatrix`, `IoU`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .accuracy import added, class_targets, weights_of
from .counts import ratio
from .metric import Metric, as_tensor
from .sample import Sample, bits, classes, scores


class ConfusionMatrix(Metric):
    """How often examples of each class were taken for each class.

    Value: an array whose row is the right class and whose column is the predicted one,
    int64; float64 if there were weights, or if normalized.

    Args:
        classes: how many there are.
        normalized: give fractions of each class's examples instead of counts; a class
            without examples has zeros.
    """

    def __init__(self, classes: int, normalized: bool = False) -> None:
        if type(classes) is not int or classes < 1:
            raise ArgumentError(
                f"[{type(self).__name__}] the number of classes must be an integer "
                "above 0",
                got=repr(classes),
            )
        self.classes = classes
        self.normalized = normalized
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts: Tensor | None = None
        self._weighted = False

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch; examples whose target is no class are left out.

        Args:
            output: scores of each class, shape (n, classes, ...), or class numbers,
                integers of shape (n, ...).
            target: the right classes, integers of shape (n, ...); or ones and zeros of
                the shape of the scores.
            weight: of each example, shape (n,). Default: 1.

        Raises:
            ShapeError: the shapes do not fit.
        """
        name = type(self).__name__
        output, target = as_tensor(output), as_tensor(target)
        numbers = output.shape == target.shape and not output.dtype.is_float
        if not numbers:
            output, target = class_targets(name, output, target)
            if output.shape[1] != self.classes:
                raise ShapeError(
                    f"[{name}] the output has another number of classes",
                    got=str(output.shape[1]),
                    expected=str(self.classes),
                )
            output = plait.argmax(output, axis=1)
        self._count(output, target, weight)

    def _count(self, output: Tensor, target: Tensor, weight: Any) -> None:
        n = self.classes
        was, taken_for = target.long(), output.long()
        known = (was >= 0) & (was < n) & (taken_for >= 0) & (taken_for < n)
        # What is no class has a place of its own, which is left out.
        place = plait.where(known, was * n + taken_for, n * n).reshape(-1)
        if weight is not None:
            self._weighted = True
            weight = weights_of(type(self).__name__, weight, target.shape)
            weight = plait.broadcast_to(weight, target.shape).reshape(-1)
        found = plait.bincount(place, weight, length=n * n + 1).double()
        counts = found[:-1].reshape(n, n)
        self._counts = added(self._counts, counts)

    def counts(self) -> NDArray[np.float64]:
        """Return the matrix of counts."""
        if self._counts is None:
            return np.zeros((self.classes, self.classes))
        return np.array(self._counts.numpy(), np.float64)

    def value(self) -> Any:
        """Return the matrix."""
        counts = self.counts()
        if self.normalized:
            return of_rows(counts)
        return counts if self._weighted else counts.astype(np.int64)

    @staticmethod
    def samples() -> list[Sample]:
        x, y = scores(13, 3), classes(13, 3)

        def shares(x: np.ndarray, y: np.ndarray) -> Any:
            counts = _matrix(x.argmax(1), y)
            return counts / counts.sum(1, keepdims=True)

        return [
            Sample((x, y), lambda x, y: _matrix(x.argmax(1), y), (3,), weighted=True),
            Sample((x, np.eye(3)[y]), lambda x, y: shares(x, y.argmax(1)), (3, True)),
            Sample((classes(13, 3)[::-1].copy(), y), _matrix, (3,)),
        ]


def of_rows(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts as fractions of the sums of their rows."""
    sums = counts.sum(1, keepdims=True)
    return ratio(counts, np.broadcast_to(sums, counts.shape))


def _matrix(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    counts = np.zeros((3, 3))
    np.add.at(counts, (y, x), 1)
    return counts


class IoU(ConfusionMatrix):
    """Intersection over union: of the places that are of a class or are taken for it,
    the fraction that are both; the mean over classes that occur.

    Value: the mean, NaN if no class occurs.

    Args:
        classes: how many there are.
        of: the classes whose mean is taken. Default: all.
    """

    def __init__(self, classes: int, of: Sequence[int] | None = None) -> None:
        super().__init__(classes)
        if of is not None and not (len(of) and all(0 <= c < classes for c in of)):
            raise ArgumentError(
                f"[{type(self).__name__}] there is no such class",
                got=f"of={of!r} of {classes} classes",
            )
        self.of = None if of is None else list(of)

    def value(self) -> Any:
        """Return the mean."""
        counts = self.counts()
        both = np.diag(counts)
        either = counts.sum(0) + counts.sum(1) - both
        chosen = np.arange(self.classes) if self.of is None else np.array(self.of)
        found = ratio(both, either)[chosen][either[chosen] > 0]
        return float(found.mean()) if found.size else math.nan

    @staticmethod
    def samples() -> list[Sample]:
        x, y = scores(13, 3), classes(13, 3)
        return [
            Sample((x, y), lambda x, y: _overlap(x.argmax(1), y, range(3)), (3,)),
            Sample(
                (x, y), lambda x, y: _overlap(x.argmax(1), y, [2, 0]), (3, [2, 0])
            ),
            Sample(
                (scores(2, 3, 7), classes(14, 3).reshape(2, 7)),
                lambda x, y: _overlap(x.argmax(1), y, range(3)), (3,),
            ),
        ]  # fmt: skip


def _overlap(x: np.ndarray, y: np.ndarray, of: Sequence[int]) -> float:
    return float(
        np.mean([((x == c) & (y == c)).sum() / ((x == c) | (y == c)).sum() for c in of])
    )


class BinaryIoU(IoU):
    """Intersection over union of yes and no.

    Value: the mean over the classes `of`, NaN if none occurs.

    Args:
        of: which of 0, no, and 1, yes.
        threshold: scores above it say yes.
    """

    def __init__(self, of: Sequence[int] = (0, 1), threshold: float = 0.5) -> None:
        super().__init__(2, of)
        self.threshold = threshold

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            output: scores, shape (n, ...).
            target: 1 for yes, else 0, of the same shape.
            weight: of each example, shape (n,). Default: 1.

        Raises:
            ShapeError: the shapes differ.
        """
        output, target = as_tensor(output), as_tensor(target)
        if output.shape != target.shape:
            raise ShapeError(
                "[BinaryIoU] scores and targets differ in shape",
                got=f"{output.shape} and {target.shape}",
            )
        self._count(output > self.threshold, target > 0.5, weight)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (scores(5, 3), bits(5, 3)),
                lambda x, y: _overlap(x > 0.4, y, [1]), ([1], 0.4), weighted=False,
            )
        ]  # fmt: skip


class MatthewsCorrelation(ConfusionMatrix):
    """The correlation of classes with predicted classes: 1 if all are right, 0 for
    answers that say nothing.

    Value: the correlation, 0 where it is not defined.

    Args:
        classes: how many there are.

    Source: J. Gorodkin, "Comparing two K-category assignments by a K-category
    correlation coefficient", 2004.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(classes)

    def value(self) -> Any:
        """Return the correlation."""
        counts = self.counts()
        said, right = counts.sum(0), counts.sum(1)
        total = counts.sum()
        together = np.trace(counts) * total - said @ right
        spread = math.sqrt((total**2 - said @ said) * (total**2 - right @ right))
        return float(together / spread) if spread else 0.0

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            a, b = np.eye(3)[x.argmax(1)], np.eye(3)[y]
            a, b = a - a.mean(0), b - b.mean(0)
            return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))

        return [Sample((scores(13, 3), classes(13, 3)), reference, (3,), weighted=True)]


class CohenKappa(ConfusionMatrix):
    """How far answers agree with the right classes beyond what chance does.

    Formula: (p - q) / (1 - q), where p is the fraction that agrees, and q that which
    would if classes and answers were independent.

    Value: kappa, 0 where it is not defined.

    Args:
        classes: how many there are.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(classes)

    def value(self) -> Any:
        """Return kappa."""
        counts = self.counts()
        total = counts.sum()
        if not total:
            return 0.0
        agree = np.trace(counts) / total
        chance = counts.sum(0) @ counts.sum(1) / total**2
        return float((agree - chance) / (1 - chance)) if chance != 1 else 0.0

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            said = x.argmax(1)
            p = (said == y).mean()
            q = sum((said == c).mean() * (y == c).mean() for c in range(3))
            return float((p - q) / (1 - q))

        return [Sample((scores(13, 3), classes(13, 3)), reference, (3,), weighted=True)]


class MultiLabelConfusion(Metric):
    """Which labels are taken for which, where an example has several.

    Each example's labels that were not found are shared out among the labels that were
    said wrongly; a label that was found counts for itself.

    Value: an array, float64, whose row is the right label and whose column is the one
    that was said.

    Args:
        classes: how many labels there are.
        normalized: give fractions of each row.
        threshold: scores above it say yes.
    """

    def __init__(
        self, classes: int, normalized: bool = False, threshold: float = 0.5
    ) -> None:
        self.classes = classes
        self.normalized = normalized
        self.threshold = threshold
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts: Tensor | None = None

    def add(self, output: Any, target: Any) -> None:
        """Add a batch.

        Args:
            output: scores of each label, shape (n, classes).
            target: ones and zeros, of the same shape.

        Raises:
            ShapeError: the shapes do not fit.
        """
        output, target = as_tensor(output), as_tensor(target)
        if output.shape != target.shape or output.shape[1:] != (self.classes,):
            raise ShapeError(
                "[MultiLabelConfusion] scores and targets do not fit",
                got=f"{output.shape} and {target.shape}",
                expected=f"two of (n, {self.classes})",
            )
        said, right = output > self.threshold, target > 0.5
        found = plait.sum((said & right).double(), axis=0)
        missed, extra = (right & ~said).double(), (said & ~right).double()
        share = extra / plait.maximum(plait.sum(extra, axis=1, keepdims=True), 1.0)
        wrong = plait.matmul(missed.T, share)
        here = plait.eye(self.classes, dtype=plait.float64)
        self._counts = added(self._counts, wrong + here * found)

    def value(self) -> NDArray[np.float64]:
        """Return the matrix."""
        if self._counts is None:
            return np.zeros((self.classes, self.classes))
        counts = np.array(self._counts.numpy())
        if not self.normalized:
            return counts
        return of_rows(counts)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            counts = np.zeros((3, 3))
            for said, right in zip(x > 0.5, y > 0, strict=True):
                extra = np.flatnonzero(said & ~right)
                for label in np.flatnonzero(right):
                    if said[label]:
                        counts[label, label] += 1
                    elif extra.size:
                        counts[label, extra] += 1 / extra.size
            return counts

        return [Sample((scores(9, 3), bits(9, 3)), reference, (3,))]
