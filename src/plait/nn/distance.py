"""Distances and angles: between two inputs, or from trained vectors.

Read first: `CosineSimilarity`, `Euclidean`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import NotNegative, Size
from .module import Module
from .parameter import Parameter, own_parameter, spread
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

    _shown = ("dim", "eps")

    def __init__(self, dim: int = 1, eps: NotNegative = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return plait.cosine_similarity(x1, x2, self.dim, self.eps)

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

    _shown = ("p", "eps", "keepdim")

    def __init__(
        self, p: float = 2.0, eps: NotNegative = 1e-6, keepdim: bool = False
    ) -> None:
        super().__init__()
        self.p = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return plait.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(3, 4), uniform(3, 4, low=-1.0))
        return [Sample(x, wrt=(0, 1)), Sample(x, (1.0,), {"keepdim": True})]


class _Prototypes(Module):
    """A layer that compares its input with trained vectors."""

    weight: Parameter
    _shown = ("in_features", "out_features")

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        own_parameter(self, "weight", shape, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the vectors to new initial values."""
        spread([self.weight], self.in_features)


class Cosine(_Prototypes):
    """The cosines of the angles between the input and trained vectors.

    Formula: y[k] = x . weight[k] / (norm(x) * norm(weight[k])).

    Args:
        in_features: the size of the input's last axis.
        out_features: how many vectors there are.
        dtype: of the vectors. Default: float32.

    Attributes:
        weight: shape (out_features, in_features); at first U(-b, b) with
            b = 1 / sqrt(in_features).

    Input: shape (..., in_features). Result: shape (..., out_features).
    """

    def forward(self, input: Tensor) -> Tensor:
        vectors = plait.normalize(self.weight, axis=-1)
        return plait.linear(plait.normalize(input, axis=-1), vectors)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Cosine, x: np.ndarray) -> Any:
            weight = layer.weight.numpy()
            norms = np.linalg.norm(weight, axis=1)
            result: np.ndarray = x @ weight.T / norms
            return result / np.linalg.norm(x, axis=-1, keepdims=True)

        return [
            Sample((uniform(3, 4),), (4, 5), reference=reference),
            Sample((uniform(2, 3, 4),), (4, 2), reference=reference),
        ]


class Euclidean(_Prototypes):
    """The distances of the input from trained vectors.

    Formula: y[k] = norm(x - weight[k]).

    Args:
        in_features: the size of the input's last axis.
        out_features: how many vectors there are.
        dtype: of the vectors. Default: float32.

    Attributes:
        weight: shape (out_features, in_features); at first U(-b, b) with
            b = 1 / sqrt(in_features).

    Input: shape (..., in_features). Result: shape (..., out_features).
    """

    def forward(self, input: Tensor) -> Tensor:
        vectors = input.reshape(-1, input.shape[-1])
        found = plait.cdist(vectors, self.weight)
        return found.reshape(*input.shape[:-1], len(self.weight))

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Euclidean, x: np.ndarray) -> np.ndarray:
            apart = x[..., None, :] - layer.weight.numpy()
            result: np.ndarray = np.sqrt((apart**2).sum(-1))
            return result

        return [
            Sample((uniform(3, 4),), (4, 5), reference=reference),
            Sample((uniform(2, 3, 4),), (4, 2), reference=reference),
        ]
