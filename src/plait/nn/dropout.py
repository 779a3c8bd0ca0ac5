"""Layers that leave out random parts of their input while training.

Read first: `Dropout`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform


class Dropout(Module):
    """In training, sets elements to 0 with probability `p` and divides others by 1 - p.

    In evaluation mode it hands on its input.

    Args:
        p: in 0..1.
        inplace: has no effect.

    Raises:
        ArgumentError: `p` is out of range.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError("[Dropout] a probability lies in 0..1", got=f"p={p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the input with elements left out.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        if not self.training or self.p == 0:
            return input
        return plait.dropout(input, self.p, key=key)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (0.3,), smooth=False, like_torch="eval"),
            Sample((uniform(3, 4),), (0.0,)),
            Sample((uniform(3, 4),), (1.0,), like_torch="eval"),
        ]
