"""What weights are put back to after each update, where they have left it.

    train.fit(..., hooks=[train.Constrain(model, nn.MaxNorm(2.0))])

A norm is that of what leads to one output: of all axes but the first, as weights have
their outputs first.

Read first: `MaxNorm`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform

Axes = int | Sequence[int] | None
# Keeps divisors from 0.
_LEAST = 1e-7


class _Norm(Module):
    """A constraint of norms."""

    dim: Axes

    def _norm(self, x: Tensor) -> Tensor:
        axes: Any = tuple(range(1, x.ndim)) if self.dim is None else self.dim
        return plait.sqrt(plait.sum(x * x, axis=axes, keepdims=True))


def _norms(x: np.ndarray) -> Any:
    return np.sqrt((x**2).sum(tuple(range(1, x.ndim)), keepdims=True))


def _samples(reference: Any, *args: Any) -> list[Sample]:
    return [
        Sample(
            (uniform(*shape),), args, separable=False,
            reference=lambda layer, x: reference(x),
        )
        for shape in ((3, 4), (2, 3, 2))
    ]  # fmt: skip


class MaxNorm(_Norm):
    """Shortens what is longer than a norm.

    Formula: x * min(norm, max_value) / (norm + 1e-7).

    Args:
        max_value: the greatest norm.
        dim: the axes of a norm. Default: all but the first.

    Input: a tensor. Result: the same shape.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """

    _shown = ("max_value", "dim")

    def __init__(self, max_value: float = 2.0, dim: Axes = None) -> None:
        super().__init__()
        if not max_value > 0:
            raise ArgumentError(
                "[MaxNorm] max_value must be positive", got=f"max_value={max_value}"
            )
        self.max_value = max_value
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        norm = self._norm(x)
        return x * (plait.minimum(norm, self.max_value) / (norm + _LEAST))

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray) -> Any:
            return x * np.minimum(_norms(x), 2.5) / (_norms(x) + 1e-7)

        return _samples(reference, 2.5)


class MinMaxNorm(_Norm):
    """Shortens what is longer than a norm, and lengthens what is shorter than another.

    Formula: x * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (norm +
    1e-7).

    Args:
        min_value: the least norm.
        max_value: the greatest norm.
        rate: how far to go at once, above 0 and at most 1.
        dim: the axes of a norm. Default: all but the first.

    Input: a tensor. Result: the same shape.
    """

    _shown = ("min_value", "max_value", "rate", "dim")

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        dim: Axes = None,
    ) -> None:
        super().__init__()
        if not 0 <= min_value <= max_value or not 0 < rate <= 1:
            raise ArgumentError(
                "[MinMaxNorm] an argument is out of range",
                got=f"min_value={min_value}, max_value={max_value}, rate={rate}",
                expected="0 <= min_value <= max_value, and rate above 0 and at most 1",
            )
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        norm = self._norm(x)
        wanted = plait.clip(norm, self.min_value, self.max_value)
        wanted = self.rate * wanted + (1 - self.rate) * norm
        return x * (wanted / (norm + _LEAST))

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray) -> Any:
            norm = _norms(x)
            wanted = 0.3 * np.clip(norm, 1.0, 2.5) + 0.7 * norm
            return x * wanted / (norm + 1e-7)

        return _samples(reference, 1.0, 2.5, 0.3)


class UnitNorm(_Norm):
    """Makes norms 1.

    Formula: x / (norm + 1e-7).

    Args:
        dim: the axes of a norm. Default: all but the first.

    Input: a tensor. Result: the same shape.
    """

    _shown = ("dim",)

    def __init__(self, dim: Axes = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x / (self._norm(x) + _LEAST)

    @staticmethod
    def samples() -> list[Sample]:
        return _samples(lambda x: x / (_norms(x) + 1e-7))


class NonNeg(Module):
    """Puts 0 in the place of what is negative: max(x, 0).

    Input: a tensor. Result: the same shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        return plait.relu(x)

    @staticmethod
    def samples() -> list[Sample]:
        return _samples(lambda x: np.maximum(x, 0))
