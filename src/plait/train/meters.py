"""Meters: numbers gathered over batches, and looked at when all are in.

    meter.reset()
    for each batch:
        meter.add(...)
    meter.value()

A meter given tensors records its arithmetic with the rest of the step and looks at
nothing before `value()`, so measuring does not interrupt training.

Read first: `Meter`, `ClassErrorMeter`.

Source: R. Collobert, L. van der Maaten, A. Joulin, "Torchnet: an open-source platform
for (deep) learning research", ICML workshop, 2016, for the meters' names and contract.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import plait

from ..errors import ArgumentError, ShapeError

# How many values are kept unlooked-at before they are merged into one mean.
_KEPT = 1024


class Meter:
    """The contract of all meters."""

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError

    def add(self, *values: Any, **named: Any) -> None:
        """Take in one batch's values."""
        raise NotImplementedError

    def value(self) -> Any:
        """Return what was gathered since the last reset; more may be added after."""
        raise NotImplementedError


class Average(NamedTuple):
    """What an `AverageValueMeter` gives.

    Attributes:
        mean: NaN if nothing was added.
        std: standard deviation, with n - 1; NaN for fewer than two values.
    """

    mean: float
    std: float


class AverageValueMeter(Meter):
    """Mean and standard deviation of numbers.

    Formula: mean = sum(n_i v_i) / N, std = sqrt(sum(n_i (v_i - mean)^2) / (N - 1)) with
    N = sum(n_i), as if v_i had been added n_i times; in float64, and without the loss
    of digits that the difference of two sums has.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: list[tuple[Any, int]] = []
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, value: Any, n: int = 1) -> None:
        """Add a number `n` times, such as a batch's mean loss and the batch's size.

        Args:
            value: a number, or a tensor; of several elements, each is added.
            n: 1 or more.
        """
        if n < 1:
            raise ArgumentError("[AverageValueMeter] n must be 1 or more", got=repr(n))
        if isinstance(value, plait.Tensor):
            # A handle of our own: the caller's may come to stand for another value.
            value = value.detach()
        self._kept.append((value, n))
        if len(self._kept) >= _KEPT:
            self._merge()

    def value(self) -> Average:
        """Return mean and standard deviation."""
        self._merge()
        if self._count == 0:
            return Average(math.nan, math.nan)
        variance = self._squares / (self._count - 1) if self._count > 1 else math.nan
        return Average(self._mean, math.sqrt(variance))

    def _merge(self) -> None:
        if not self._kept:
            return
        parts = [np.ravel(np.asarray(v, np.float64)) for v, _ in self._kept]
        weights = np.repeat([n for _, n in self._kept], [len(part) for part in parts])
        values = np.concatenate(parts)
        self._kept.clear()
        count = int(weights.sum())
        if count == 0:
            return
        with np.errstate(all="ignore"):
            mean = float(weights @ values) / count
            squares = float(weights @ (values - mean) ** 2)
        total = self._count + count
        difference = mean - self._mean
        self._mean += difference * (count / total)
        self._squares += squares + difference**2 * (self._count * count / total)
        self._count = total


class ClassErrorMeter(Meter):
    """The fraction of samples whose class is not among the k classes of highest score.

    Of equal scores the class of the lower number counts as higher, as in `argmax`; a
    sample whose scores are not numbers is an error.

    Args:
        topk: which k to count for.
        accuracy: give the fraction of samples that are right instead.
    """

    def __init__(self, topk: Sequence[int] = (1,), accuracy: bool = False) -> None:
        if not topk or not all(type(k) is int and k > 0 for k in topk):
            raise ArgumentError(
                "[ClassErrorMeter] topk must be integers of at least 1", got=repr(topk)
            )
        self.topk = tuple(topk)
        self.accuracy = accuracy
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._right: Any = None
        self._count = 0

    def add(self, output: Any, target: Any) -> None:
        """Add a batch.

        Args:
            output: scores of each class, shape (n, classes).
            target: the right classes, integers, shape (n,).

        Raises:
            ShapeError: the shapes are others, or there are fewer classes than k.
        """
        output, target = _pair("ClassErrorMeter", output, target)
        if output.shape[1] < max(self.topk):
            raise ShapeError(
                "[ClassErrorMeter] there are fewer classes than k",
                got=f"{output.shape[1]} classes, k = {max(self.topk)}",
            )
        right = _right(output, target, self.topk)
        self._right = right if self._right is None else self._right + right
        self._count += output.shape[0]

    def value(self) -> Any:
        """Return the fraction, NaN if nothing was added; for several k, by k."""
        if self._count == 0:
            found = [math.nan] * len(self.topk)
        else:
            found = [right / self._count for right in self._right.tolist()]
            if not self.accuracy:
                found = [1 - fraction for fraction in found]
        if len(found) == 1:
            return found[0]
        return dict(zip(self.topk, found, strict=True))


def _right(output: Any, target: Any, topk: tuple[int, ...]) -> Any:
    """Return for each k how many targets are among the k classes of highest score."""
    if topk == (1,):
        # In fewer steps: this runs for every batch. Of nan, which argmax finds, no
        # class is right.
        found = plait.argmax(output, axis=1) == target
        best = plait.max(output, axis=1)
        return plait.sum(found & (best == best), axis=0, keepdims=True)
    classes = plait.arange(output.shape[1])
    target = plait.expand_dims(target, axis=1)
    score = plait.where(classes == target, output, -math.inf)
    score = plait.max(score, axis=1, keepdims=True)
    # Written so that NaN, which compares as false, is ahead of all.
    ahead = ~(output <= score) | ((output == score) & (classes < target))
    rank = plait.sum(ahead, axis=1, keepdims=True)
    return plait.sum(rank < plait.tensor(topk), axis=0)


class ConfusionMeter(Meter):
    """How often samples of each class were taken for each class.

    Args:
        classes: how many there are.
        normalized: give fractions of each class's samples instead of counts.
    """

    def __init__(self, classes: int, normalized: bool = False) -> None:
        if type(classes) is not int or classes < 1:
            raise ArgumentError(
                "[ConfusionMeter] the number of classes must be an integer above 0",
                got=repr(classes),
            )
        self.classes = classes
        self.normalized = normalized
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts: Any = None

    def add(self, output: Any, target: Any) -> None:
        """Add a batch; samples whose target is no class are left out.

        Args:
            output: scores of each class, shape (n, classes), or classes, shape (n,).
            target: the right classes, integers, shape (n,).
        """
        output = _as_tensor(output)
        if output.ndim == 1:
            target = _as_tensor(target)
            if target.shape != output.shape:
                raise ShapeError(
                    "[ConfusionMeter] there are not as many targets as outputs",
                    got=f"{target.shape} and {output.shape}",
                )
        else:
            output, target = _pair("ConfusionMeter", output, target)
            if output.shape[1] != self.classes:
                raise ShapeError(
                    "[ConfusionMeter] the output has another number of classes",
                    got=str(output.shape[1]),
                    expected=str(self.classes),
                )
            output = plait.argmax(output, axis=1)
        classes = plait.arange(self.classes)
        # A batch's counts are whole numbers below 2**24, which float32 holds exactly.
        was = (plait.expand_dims(target, axis=1) == classes).float()
        taken_for = (plait.expand_dims(output, axis=1) == classes).float()
        counts = plait.matmul(was.T, taken_for).long()
        self._counts = counts if self._counts is None else self._counts + counts

    def value(self) -> NDArray[Any]:
        """Return an array whose row is the right class, and column the predicted one.

        int64; if normalized float64, with rows of zeros for classes without samples.
        """
        if self._counts is None:
            counts = np.zeros((self.classes, self.classes), np.int64)
        else:
            counts = np.array(self._counts.numpy())
        if not self.normalized:
            return counts
        shares: NDArray[Any] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        return shares


class TimeMeter(Meter):
    """Seconds since the last reset, or for each unit added since.

    Args:
        unit: divide by how much was added.
    """

    def __init__(self, unit: bool = False) -> None:
        self.unit = unit
        self.reset()

    def reset(self) -> None:
        """Start to count from now."""
        self._start = time.perf_counter()
        self._units = 0.0

    def add(self, units: float = 1) -> None:
        """Count units, such as batches."""
        self._units += units

    def value(self) -> float:
        """Return the seconds; for each unit NaN if there is none."""
        seconds = time.perf_counter() - self._start
        if not self.unit:
            return seconds
        return seconds / self._units if self._units else math.nan


class ThroughputMeter(Meter):
    """Units, such as samples, for each second since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start to count from now."""
        self._start = time.perf_counter()
        self._units = 0.0

    def add(self, units: float = 1) -> None:
        """Count units."""
        self._units += units

    def value(self) -> float:
        """Return units per second."""
        seconds = time.perf_counter() - self._start
        return self._units / seconds if seconds else math.nan


def _as_tensor(value: Any) -> Any:
    return value if isinstance(value, plait.Tensor) else plait.asarray(value)


def _pair(name: str, output: Any, target: Any) -> tuple[Any, Any]:
    output, target = _as_tensor(output), _as_tensor(target)
    if output.ndim != 2 or target.shape != output.shape[:1]:
        raise ShapeError(
            f"[{name}] scores and targets do not fit together",
            got=f"{output.shape} and {target.shape}",
            expected="(n, classes) and (n,)",
        )
    return output, target
