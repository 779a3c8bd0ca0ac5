"""Distances of vectors as layers.

Read first: `CosineSimilarity`, `PairwiseDistance`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from .module import Module
from .sample import Sample, uniform


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`.

    See `plait.cosine_similarity`.

    Args:
        dim: the axis along which the vectors lie.
        eps: the least length to divide by.

    Input: two tensors, whose shapes broadcast. Result: their common shape without the
    axis `dim`.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return plait.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4), uniform(3, 4, low=-1.0)), wrt=(0, 1)),
            Sample((uniform(2, 3, 4), uniform(2, 3, 4, low=-1.0)), (-1,)),
        ]


class PairwiseDistance(Module):
    """The norm of the difference of vectors. See `plait.pairwise_distance`.

    Args:
        p: the order of the norm.
        eps: added to differences, to keep norms from 0.
        keepdim: keep the last axis, with size 1.

    Input: two of shape (..., features); shapes broadcast. Result: shape (...), or with
    `keepdim` (..., 1).

    Raises:
        ArgumentError: (calling it) `p` is not positive.
    """

    def __init__(
        self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
    ) -> None:
        super().__init__()
        self.p = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return plait.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        return f"p={self.p}, eps={self.eps}, keepdim={self.keepdim}"

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(3, 4), uniform(3, 4, low=-1.0))
        return [Sample(x, wrt=(0, 1)), Sample(x, (1.0,), {"keepdim": True})]
