"""The contract of all metrics, and what is measured of single numbers.

    metric.reset()
    for each batch:
        metric.add(...)
    metric.value()

A metric given tensors records its arithmetic with the rest of the step and looks at
nothing before `value()`, so measuring does not interrupt training.

Read first: `Metric`, `Mean`.

Source: R. Collobert, L. van der Maaten, A. Joulin, "Torchnet: an open-source platform
for (deep) learning research", ICML workshop, 2016, for the contract.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

import plait

from ..arguments import Checked
from ..errors import ArgumentError
from ..names import missing
from .sample import Sample

# How many values are kept unlooked-at before they are merged into one mean.
_KEPT = 1024


class Metric(Checked):
    """The contract of all metrics: gathers over batches, and is looked at when all are
    in.
    """

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError

    def add(self, *values: Any, **named: Any) -> None:
        """Take in one batch's values."""
        raise NotImplementedError

    def value(self) -> Any:
        """Return what was gathered since the last reset; more may be added after."""
        raise NotImplementedError

    if not TYPE_CHECKING:  # else every name would pass for one of ours
        __getattr__ = missing("plait.metrics.Metric")

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if not name.startswith("_")
        )
        return f"{type(self).__name__}({shown})"


def as_tensor(value: Any) -> plait.Tensor:
    """Return a tensor without a history: of what is measured there is no derivative."""
    tensor = value if isinstance(value, plait.Tensor) else plait.asarray(value)
    found: plait.Tensor = tensor.detach()
    return found


class Mean(Metric):
    """Mean and standard deviation of numbers.

    Formula: mean = sum(n_i v_i) / N, std = sqrt(sum(n_i (v_i - mean)^2) / (N - 1)) with
    N = sum(n_i), as if v_i had been added n_i times; in float64, and without the loss
    of digits that the difference of two sums has.

    Value: the mean, NaN if nothing was added.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._kept: list[tuple[Any, Any]] = []
        self._count = 0.0
        self._mean = 0.0
        self._total = 0.0
        self._squares = 0.0

    def add(self, value: Any, n: Any = 1) -> None:
        """Add a number `n` times, such as a batch's mean loss and the batch's size.

        Args:
            value: a number, or a tensor; of several elements, each is added.
            n: a number or a tensor of one element, not negative.
        """
        if not isinstance(n, plait.Tensor) and not n >= 0:
            raise ArgumentError("[Mean] n is negative", got=repr(n))
        # Handles of our own: the caller's may come to stand for other values.
        if isinstance(value, plait.Tensor):
            value = value.detach()
        if isinstance(n, plait.Tensor):
            n = n.detach()
        self._kept.append((value, n))
        if len(self._kept) >= _KEPT:
            self._merge()

    def value(self) -> float:
        """Return the mean."""
        self._merge()
        return self._mean if self._count else math.nan

    def std(self) -> float:
        """Return the standard deviation; NaN for fewer than two values."""
        self._merge()
        if not self._count > 1:
            return math.nan
        return math.sqrt(self._squares / (self._count - 1))

    def _merge(self) -> None:
        if not self._kept:
            return
        parts = [np.ravel(np.asarray(v, np.float64)) for v, _ in self._kept]
        weights = np.repeat(
            [float(n) for _, n in self._kept], [len(part) for part in parts]
        )
        values = np.concatenate(parts)
        self._kept.clear()
        # What has no weight has no say, nan or not.
        values = values[weights > 0]
        weights = weights[weights > 0]
        count = float(weights.sum())
        if count == 0:
            return
        with np.errstate(all="ignore"):
            added = float(weights @ values)
            mean = added / count
            squares = float(weights @ (values - mean) ** 2)
        total = self._count + count
        difference = mean - self._mean
        self._mean += difference * (count / total)
        self._squares += squares + difference**2 * (self._count * count / total)
        self._count = total
        self._total += added

    def total(self) -> float:
        """Return the sum; 0 if nothing was added."""
        self._merge()
        return self._total

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample(((1.5, 2.0, -4.0, 0.25),), lambda xs: float(np.mean(xs)))]


class Sum(Metric):
    """The sum of numbers, in float64.

    Value: the sum, 0 if nothing was added.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._mean = Mean()

    def add(self, value: Any, n: Any = 1) -> None:
        """Add a number `n` times.

        Args:
            value: a number, or a tensor; of several elements, each is added.
            n: a number or a tensor of one element, not negative.
        """
        self._mean.add(value, n)

    def value(self) -> float:
        """Return the sum."""
        return self._mean.total()

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample(((1.5, 2.0, -4.0, 0.25),), lambda xs: float(np.sum(xs)))]


class MovingAverage(Metric):
    """The mean of the last numbers.

    Value: the mean of as many as there are, NaN if nothing was added.

    Args:
        window: of how many.
    """

    def __init__(self, window: int) -> None:
        if type(window) is not int or window < 1:
            raise ArgumentError(
                "[MovingAverage] window must be an integer of at least 1",
                got=repr(window),
            )
        self.window = window
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._last: deque[Any] = deque(maxlen=self.window)

    def add(self, value: Any) -> None:
        """Add a number, or a tensor of one element."""
        self._last.append(
            value.detach() if isinstance(value, plait.Tensor) else float(value)
        )

    def value(self) -> float:
        """Return the mean."""
        if not self._last:
            return math.nan
        return math.fsum(float(x) for x in self._last) / len(self._last)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(((1.5, 2.0, -4.0, 0.25),), lambda xs: float(np.mean(xs[-3:])), (3,))
        ]


class Time(Metric):
    """Seconds since the last reset, or for each unit added since.

    Value: the seconds; for each unit NaN if there is none.

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


class Throughput(Metric):
    """Units, such as examples, for each second since the last reset.

    Value: units per second.
    """

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
