"""Distributions of matrices: correlations and covariances.

Read first: `LKJCholesky`, `Wishart`.
"""

from __future__ import annotations

import math

import numpy as np

import plait
from plait import Tensor, linalg

from ..errors import ArgumentError
from . import constraints
from .distribution import Distribution, Number, as_tensors, keys_of, known, one_of
from .implicit import gamma, log_gamma
from .multivariate import (
    COVARIANCES,
    half_log_det,
    log_multivariate_gamma,
    precision_to_scale_tril,
    solved,
)
from .sample import Sample, array


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices.

    Density of the correlation matrix C = L L^T: proportional to det(C) **
    (concentration - 1); all matrices are equally likely where that is 1. Density of L:
    proportional to the product of L_ii ** (dim - i + 2 * concentration - 2) over i = 2,
    ..., dim. Support: lower triangular matrices with a positive diagonal and rows of
    length 1.

    Args:
        dim: how many rows, at least 2.
        concentration: positive; the larger, the nearer to no correlation.
        validate_args: see `Distribution`.

    Raises:
        ArgumentError: `dim` is below 2.

    Source: D. Lewandowski, D. Kurowicka, H. Joe, "Generating random correlation
    matrices based on vines and extended onion method", 2009.
    """

    arg_constraints = constraints.of(concentration=constraints.positive)
    support = constraints.corr_cholesky
    concentration: Tensor

    def __init__(
        self, dim: int, concentration: Number = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ArgumentError("[LKJCholesky] dim must be at least 2", got=str(dim))
        parameters = {"concentration": concentration}
        super().__init__(parameters, (dim, dim), {"dim": dim}, validate_args)
        self.dim = dim

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        # The onion method: a row points anywhere on a sphere, and the square of its
        # length is beta distributed; the rest of 1 is the square of the diagonal.
        n = self.dim
        first, second, third = keys_of(key, 3)
        eta = plait.expand_dims(self.concentration, -1)
        rows = plait.tensor(np.arange(n), dtype=eta.dtype)
        # The first row has no direction; 1 stands for its length.
        inside = plait.maximum(0.5 * rows, 0.5)
        outside = eta + 0.5 * (n - 1 - plait.maximum(rows, 1.0))
        x = log_gamma(first, plait.broadcast_to(inside, shape[:-1]), shape[:-1])
        y = log_gamma(second, plait.broadcast_to(outside, shape[:-1]), shape[:-1])
        used = plait.sigmoid(x - y) * (rows > 0).to(eta.dtype)
        z = plait.random.normal(shape=shape, dtype=eta.dtype, key=third)
        z = plait.tril(z, k=-1)
        length = plait.sqrt(plait.square(z).sum(axis=-1, keepdims=True))
        least = float(plait.finfo(eta.dtype).smallest_normal)
        direction = z / plait.maximum(length, least)
        below = direction * plait.expand_dims(plait.sqrt(used), -1)
        diagonal = plait.sqrt(plait.maximum(1 - used, least))
        return below + plait.diag_embed(diagonal)

    def log_prob(self, value: Number) -> Tensor:
        logs = plait.log(plait.diagonal(self._value(value))[..., 1:])
        n, eta = self.dim, self.concentration
        orders = plait.tensor(np.arange(n - 2, -1, -1), dtype=eta.dtype)
        powers = plait.expand_dims(2 * (eta - 1), -1) + orders
        alpha = eta + 0.5 * (n - 1)
        constant = log_multivariate_gamma(alpha - 0.5, n - 1)
        constant = constant - (n - 1) * plait.lgamma(alpha)
        front = constant + 0.5 * (n - 1) * math.log(math.pi)
        return (powers * logs).sum(axis=-1) - front

    @staticmethod
    def samples() -> list[Sample]:
        value = array([1, 0, 0], [0.6, 0.8, 0], [-0.48, 0.6, 0.64])
        value /= np.linalg.norm(value, axis=-1, keepdims=True)
        return [
            Sample({"dim": 3, "concentration": array(1, 2.5)}, value, smooth=False),
            Sample(
                {"dim": 2, "concentration": array(0.7)}, value[:2, :2], smooth=False
            ),
        ]


class Wishart(Distribution):
    """The sum of the outer products of `df` normally distributed vectors of k numbers.

    Density: det(X) ** ((df - k - 1) / 2) * exp(-trace(C^-1 X) / 2) / (2 ** (df * k / 2)
    * det(C) ** (df / 2) * gamma_k(df / 2)), with the covariance matrix C of the
    vectors and the multivariate gamma function. Support: positive definite matrices.

    Args:
        df: how many vectors, above k - 1, whole or not.
        covariance_matrix: C, positive definite, shape (..., k, k).
        precision_matrix: instead, the inverse of C.
        scale_tril: instead, the lower triangular L with L L^T = C.
        validate_args: see `Distribution`.

    Attributes:
        scale_tril: L, shape (..., k, k).

    Raises:
        ArgumentError: `df` is at most k - 1.

    Source: J. Wishart, "The generalised product moment distribution in samples from a
    normal multivariate population", 1928; drawn by M. S. Bartlett's decomposition,
    1933.
    """

    arg_constraints = constraints.of(df=constraints.greater_than(0), **COVARIANCES)
    support = constraints.positive_definite
    has_rsample = True
    df: Tensor
    scale_tril: Tensor

    def __init__(
        self,
        df: Number,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of(
            "Wishart",
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        k = next(iter(as_tensors(given).values())).shape[-1]
        super().__init__({"df": df, **given}, (k, k), validate_args=validate_args)
        number = isinstance(df, (int, float)) and self._validate is not False
        if (number or self._validate) and not known((self.df > k - 1).all()):
            self._refuse("df", df, constraints.greater_than(k - 1))
        ((form, matrix),) = [(n, self._parameters[n]) for n in given]
        if form == "covariance_matrix":
            self.scale_tril = linalg.cholesky(matrix)
        elif form == "precision_matrix":
            self.scale_tril = precision_to_scale_tril(matrix)

    @property
    def covariance_matrix(self) -> Tensor:
        """C."""
        if "covariance_matrix" in self._parameters:
            return self._parameters["covariance_matrix"]
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of C."""
        if "precision_matrix" in self._parameters:
            return self._parameters["precision_matrix"]
        one = plait.eye(self.event_shape[0], dtype=self.df.dtype)
        inverse = solved(self.scale_tril, one)
        return inverse.mT @ inverse

    def _spread(self, x: Tensor) -> Tensor:
        return plait.reshape(x, (*x.shape, 1, 1))

    @property
    def mean(self) -> Tensor:
        return self._spread(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """The value of the highest density; nan where `df` is at most k + 1."""
        factor = self.df - self.event_shape[0] - 1
        factor = plait.where(factor > 0, factor, math.nan)
        return self._spread(factor) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        c = self.covariance_matrix
        diagonal = plait.diagonal(c)
        outer = plait.expand_dims(diagonal, -1) * plait.expand_dims(diagonal, -2)
        return self._spread(self.df) * (plait.square(c) + outer)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        k, dtype = self.event_shape[0], self.df.dtype
        places = plait.tensor(np.arange(k), dtype=dtype)
        degrees = plait.expand_dims(self.df, -1) - places
        squares = 2 * gamma(first, 0.5 * degrees, shape[:-1])
        z = plait.tril(plait.random.normal(shape=shape, dtype=dtype, key=second), k=-1)
        factor = self.scale_tril @ (z + plait.diag_embed(plait.sqrt(squares)))
        return factor @ factor.mT

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        k, df, lower = self.event_shape[0], self.df, self.scale_tril
        half = half_log_det(linalg.cholesky(x))
        # trace(C^-1 X) is the square sum of L^-1 times the factor of X.
        inner = solved(lower, linalg.cholesky(x))
        trace = plait.square(inner).sum(axis=(-2, -1))
        constant = 0.5 * df * k * math.log(2) + log_multivariate_gamma(0.5 * df, k)
        front = constant + df * half_log_det(lower)
        return (df - k - 1) * half - 0.5 * trace - front

    def entropy(self) -> Tensor:
        k, df = self.event_shape[0], self.df
        places = plait.tensor(np.arange(k), dtype=df.dtype)
        slopes = plait.digamma(0.5 * (plait.expand_dims(df, -1) - places))
        log_det = (
            slopes.sum(axis=-1) + k * math.log(2) + 2 * half_log_det(self.scale_tril)
        )
        constant = 0.5 * df * k * math.log(2) + log_multivariate_gamma(0.5 * df, k)
        constant = constant + df * half_log_det(self.scale_tril)
        return constant - 0.5 * (df - k - 1) * log_det + 0.5 * df * k

    @staticmethod
    def samples() -> list[Sample]:
        lower = array([1, 0], [0.5, 0.7])
        value = array([2.0, 0.5], [0.5, 3.0])
        df = array(3.5, 6)
        return [
            Sample({"df": df, "scale_tril": lower}, value, smooth=False),
            Sample(
                {"df": df, "covariance_matrix": lower @ lower.T},
                value,
                fixed=("covariance_matrix",),
                smooth=False,
            ),
        ]
