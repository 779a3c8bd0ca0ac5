"""Layers that act in training only: noise, penalties, and gradients turned around.

Read first: `GaussianNoise`, `ActivityRegularization`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform


def _not_negative(layer: str, **given: float) -> None:
    for name, value in given.items():
        if not value >= 0:
            raise ArgumentError(
                f"[{layer}] {name} must not be negative", got=f"{name}={value}"
            )


class GaussianNoise(Module):
    """In training, adds normal random numbers; else it hands on its input.

    Args:
        std: their standard deviation; their mean is 0.

    Input: any shape. Result: the same.

    Raises:
        ArgumentError: `std` is negative.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        _not_negative("GaussianNoise", std=std)
        self.std = std

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the input with noise.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        if not self.training or self.std == 0:
            return input
        noise = plait.random.normal(
            0.0, self.std, shape=input.shape, dtype=input.dtype, key=key
        )
        return input + noise

    def extra_repr(self) -> str:
        return f"std={self.std}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4),), (0.3,), like_torch="never", reference=lambda _, x: x
            ),
            Sample(
                (uniform(3, 4),), (0.0,), like_torch="never", reference=lambda _, x: x
            ),
        ]


class GaussianDropout(Module):
    """In training, multiplies by normal random numbers; else it hands on its input.

    Their mean is 1 and their variance p / (1 - p), as that of what `Dropout(p)`
    multiplies by.

    Args:
        p: at least 0 and below 1.

    Input: any shape. Result: the same.

    Raises:
        ArgumentError: `p` is out of range.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014, section 10.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ArgumentError(
                "[GaussianDropout] p must be at least 0 and below 1", got=f"p={p}"
            )
        self.p = p

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the input times random numbers.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        if not self.training or self.p == 0:
            return input
        std = math.sqrt(self.p / (1 - self.p))
        factors = plait.random.normal(
            1.0, std, shape=input.shape, dtype=input.dtype, key=key
        )
        return input * factors

    def extra_repr(self) -> str:
        return f"p={self.p}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4),), (0.3,), like_torch="never", reference=lambda _, x: x
            ),
            Sample(
                (uniform(3, 4),), (0.0,), like_torch="never", reference=lambda _, x: x
            ),
        ]


@plait.custom_vjp
def _penalised(x: Tensor, l1: Tensor, l2: Tensor) -> Tensor:
    return x


def _penalised_forward(x: Tensor, l1: Tensor, l2: Tensor) -> Any:
    return x, (x, l1, l2)


def _penalised_backward(kept: Any, ct: Tensor) -> Any:
    x, l1, l2 = kept
    return ct + l1 * plait.sign(x) + 2 * l2 * x, None, None


_penalised.defvjp(_penalised_forward, _penalised_backward)


class ActivityRegularization(Module):
    """Hands on its input, and makes training keep it small.

    In training the gradient of a penalty, l1 * sum(abs(x)) + l2 * sum(x ** 2), is added
    to the gradient of the input, as if the penalty were part of the loss. So it works
    anywhere in a model and keeps nothing between calls. What a loss reports does not
    contain it: `penalty` gives it. It is not scaled with the loss, so it does not go
    with `optim.GradScaler`.

    Args:
        l1: the factor of the sum of absolute values.
        l2: the factor of the sum of squares.

    Input: any shape. Result: the same.

    Raises:
        ArgumentError: a factor is negative.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        super().__init__()
        _not_negative("ActivityRegularization", l1=l1, l2=l2)
        self.l1 = l1
        self.l2 = l2

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.l1 == self.l2 == 0:
            return input
        factors = (plait.asarray(x, dtype=input.dtype) for x in (self.l1, self.l2))
        result: Tensor = _penalised(input, *factors)
        return result

    def penalty(self, input: Tensor) -> Tensor:
        """Return what is added to the loss, in effect: shape ()."""
        return self.l1 * plait.abs(input).sum() + self.l2 * plait.square(input).sum()

    def extra_repr(self) -> str:
        return f"l1={self.l1}, l2={self.l2}"

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(3, 4)
        return [
            Sample(
                (x,), (0.1, 0.2), smooth=False, like_torch="never",
                reference=lambda _, x: x,
            ),
            Sample((x,), like_torch="never", reference=lambda _, x: x),
        ]  # fmt: skip


@plait.custom_vjp
def _reversed(x: Tensor, factor: Tensor) -> Tensor:
    return x


_reversed.defvjp(lambda x, factor: (x, factor), lambda factor, ct: (-factor * ct, None))


class GradientReversal(Module):
    """Hands on its input, and turns around the gradient that comes back.

    What stands before it learns the opposite of what stands behind: features from which
    a classifier of domains, for example, cannot tell them apart.

    Args:
        alpha: the gradient is multiplied by -alpha.

    Input: any shape. Result: the same.

    Source: Y. Ganin, V. Lempitsky, "Unsupervised domain adaptation by backpropagation",
    2015.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        factor = plait.asarray(self.alpha, dtype=input.dtype)
        result: Tensor = _reversed(input, factor)
        return result

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4),), smooth=False, like_torch="never",
                reference=lambda _, x: x,
            )
        ]  # fmt: skip
