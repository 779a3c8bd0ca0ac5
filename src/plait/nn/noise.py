"""Layers that act in training only: noise, and gradients turned around.

Read first: `GaussianNoise`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from ..arguments import NotNegative, Probability
from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform


class GaussianNoise(Module):
    """In training, adds normal random numbers; else it hands on its input.

    Args:
        std: their standard deviation; their mean is 0.

    Input: any shape. Result: the same.

    Raises:
        ArgumentError: `std` is negative.
    """

    _shown = ("std",)

    def __init__(self, std: NotNegative) -> None:
        super().__init__()
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

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (0.3,), reference=lambda _, x: x),
            Sample((uniform(3, 4),), (0.0,), reference=lambda _, x: x),
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

    _shown = ("p",)

    def __init__(self, p: Probability = 0.5) -> None:
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

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (0.3,), reference=lambda _, x: x),
            Sample((uniform(3, 4),), (0.0,), reference=lambda _, x: x),
        ]


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

    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        factor = plait.asarray(self.alpha, dtype=input.dtype)
        result: Tensor = _reversed(input, factor)
        return result

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),), smooth=False, reference=lambda _, x: x)]
