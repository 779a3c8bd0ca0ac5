"""Transforms of vectors and matrices, and those of parts that lie side by side.

Read first: `StickBreakingTransform`, `CatTransform`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ShapeError
from . import constraints
from .distribution import total
from .transform import TanhTransform, Transform


class SoftmaxTransform(Transform):
    """y = softmax(x) along the last axis. Its inverse is log(y), one of many.

    It has no Jacobian: use `StickBreakingTransform` where one is needed.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __call__(self, x: Tensor) -> Tensor:
        return plait.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.log(y)


class StickBreakingTransform(Transform):
    """Vectors of k - 1 numbers turned into k positive numbers whose sum is 1.

    Formula: z_i = sigmoid(x_i - log(k - i)), for i from 1; y_i = z_i of what the parts
    before have left of 1; y_k is the rest.

    x = 0 gives equal parts.

    Source: B. Carpenter et al., "Stan: a probabilistic programming language", 2017.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def _shifted(self, x: Tensor) -> Tensor:
        left = np.arange(x.shape[-1], 0, -1)
        return x - plait.tensor(np.log(left), dtype=x.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        shifted = self._shifted(x)
        rest = plait.cumulative_sum(plait.log_sigmoid(-shifted), axis=-1)
        logs = plait.log_sigmoid(shifted) + _moved_right(rest, 0.0)
        return plait.exp(plait.concat([logs, rest[..., -1:]], axis=-1))

    def _inverse(self, y: Tensor) -> Tensor:
        parts = y[..., :-1]
        # What is left after each part, added up from the end where it is small.
        rest = plait.flip(
            plait.cumulative_sum(plait.flip(y, axis=-1), axis=-1), axis=-1
        )[..., 1:]
        least = float(plait.finfo(y.dtype).smallest_normal)
        x = plait.log(plait.maximum(parts, least)) - plait.log(
            plait.maximum(rest, least)
        )
        return x - self._shifted(plait.zeros_like(x))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        shifted = self._shifted(x)
        rest = plait.cumulative_sum(plait.log_sigmoid(-shifted), axis=-1)
        slopes = plait.log_sigmoid(shifted) + rest
        return slopes.sum(axis=-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


def _moved_right(x: Tensor, first: float) -> Tensor:
    """Return the elements one place further along the last axis, the last dropped."""
    widths = [(0, 0)] * (x.ndim - 1) + [(1, 0)]
    return plait.pad(x, widths, value=first)[..., :-1]


class LowerCholeskyTransform(Transform):
    """Square matrices turned into lower triangular ones with a positive diagonal.

    Formula: below the diagonal y = x, on it y = exp(x), above it 0.
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __call__(self, x: Tensor) -> Tensor:
        return plait.tril(x, k=-1) + plait.diag_embed(plait.exp(plait.diagonal(x)))

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.tril(y, k=-1) + plait.diag_embed(plait.log(plait.diagonal(y)))


class PositiveDefiniteTransform(Transform):
    """Square matrices turned into positive definite ones.

    Formula: y = L L^T, with L by `LowerCholeskyTransform`.
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def __call__(self, x: Tensor) -> Tensor:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform()._inverse(plait.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """Vectors of n (n - 1) / 2 numbers turned into factors of correlation matrices.

    Formula: with z = tanh(x) laid out row by row below the diagonal, y_ij = z_ij *
    sqrt(the product of 1 - z_ik ** 2 over k < j), and z_ii = 1.

    The result is lower triangular, with a positive diagonal and rows of length 1.

    Source: D. Lewandowski, D. Kurowicka, H. Joe, "Generating random correlation
    matrices based on vines and extended onion method", 2009.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def __call__(self, x: Tensor) -> Tensor:
        n = self._order(x.shape[-1])
        z = _unpacked(plait.tanh(x), n)
        rest = plait.cumulative_prod(1 - z * z, axis=-1)
        # On the diagonal z is 1.
        z = z + plait.eye(n, dtype=x.dtype)
        return z * plait.sqrt(_moved_right(rest, 1.0)) * _lower(n, x)

    def _inverse(self, y: Tensor) -> Tensor:
        n = y.shape[-1]
        used = plait.cumulative_sum(plait.square(y), axis=-1)
        rest = _moved_right(1 - used, 1.0)
        below = plait.tril(plait.ones((n, n), dtype=plait.bool), k=-1)
        z = plait.where(below, y, 0.0) / plait.sqrt(plait.where(below, rest, 1.0))
        return plait.atanh(_packed(z))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        n = y.shape[-1]
        used = plait.cumulative_sum(plait.square(y), axis=-1)
        rest = 1 - used
        # One factor sqrt(rest) for each number further to the right in the row.
        inner = plait.tril(plait.ones((n, n), dtype=plait.bool), k=-2)
        logs = plait.where(inner, plait.log(plait.where(inner, rest, 1.0)), 0.0)
        stretch = 0.5 * total(logs, 2)
        return stretch + TanhTransform().log_abs_det_jacobian(x, y).sum(axis=-1)

    def _order(self, count: int) -> int:
        n = round((1 + math.isqrt(1 + 8 * count)) / 2)
        if n * (n - 1) // 2 != count:
            raise ShapeError(
                "[CorrCholeskyTransform] no matrix has so many elements below its "
                "diagonal",
                got=str(count),
                expected="1, 3, 6, 10, ...",
            )
        return n

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        n = self._order(shape[-1])
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        n = shape[-1]
        return (*shape[:-2], n * (n - 1) // 2)


def _lower(n: int, like: Tensor) -> Tensor:
    return plait.tril(plait.ones((n, n), dtype=like.dtype))


def _unpacked(x: Tensor, n: int) -> Tensor:
    """Return a vector laid out row by row below the diagonal of a matrix."""
    places = np.zeros((n, n), np.int64)
    places[np.tril_indices(n, -1)] = np.arange(1, n * (n - 1) // 2 + 1)
    padded = plait.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 0)])
    taken = plait.take(padded, plait.tensor(places.reshape(-1)), axis=-1)
    return plait.reshape(taken, (*x.shape[:-1], n, n))


def _packed(x: Tensor) -> Tensor:
    """Return what lies below the diagonal, row by row."""
    n = x.shape[-1]
    rows, columns = np.tril_indices(n, -1)
    flat = plait.reshape(x, (*x.shape[:-2], n * n))
    return plait.take(flat, plait.tensor(rows * n + columns), axis=-1)


class _Parts(Transform):
    """Transforms of slices along an axis."""

    transforms: list[Transform]
    dim: int

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _split(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _join(self, parts: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        parts = self._split(x)
        return self._join([t(p) for t, p in zip(self.transforms, parts, strict=True)])

    def _inverse(self, y: Tensor) -> Tensor:
        parts = self._split(y)
        pairs = zip(self.transforms, parts, strict=True)
        return self._join([t._inverse(p) for t, p in pairs])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        triples = zip(self.transforms, self._split(x), self._split(y), strict=True)
        return self._join([t.log_abs_det_jacobian(p, q) for t, p, q in triples])


class CatTransform(_Parts):
    """Transforms of slices that lie one after another along an axis.

    Args:
        tseq: a transform for each slice, of numbers.
        dim: the axis.
        lengths: how long each slice is. Default: 1.
    """

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.transforms, self.dim = list(tseq), dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        self.domain = constraints.cat(
            [t.domain for t in self.transforms], dim, self.lengths
        )
        self.codomain = constraints.cat(
            [t.codomain for t in self.transforms], dim, self.lengths
        )

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(plait.split(x, self.lengths, self.dim))

    def _join(self, parts: list[Tensor]) -> Tensor:
        return plait.concat(parts, axis=self.dim)


class StackTransform(_Parts):
    """Transforms of the slices at each place of an axis.

    Args:
        tseq: a transform for each slice, of numbers.
        dim: the axis.
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0) -> None:
        self.transforms, self.dim = list(tseq), dim
        self.domain = constraints.stack([t.domain for t in self.transforms], dim)
        self.codomain = constraints.stack([t.codomain for t in self.transforms], dim)

    def _split(self, x: Tensor) -> list[Any]:
        return list(plait.unstack(x, axis=self.dim))

    def _join(self, parts: list[Tensor]) -> Tensor:
        return plait.stack(parts, axis=self.dim)
