"""Normally distributed vectors.

Read first: `MultivariateNormal`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor, linalg

from . import constraints
from .arrangements import StickBreakingTransform
from .distribution import Distribution, Number, as_tensors, keys_of, one_of
from .normal import HALF_LOG_2PI, Normal
from .sample import Sample, array
from .transformed import TransformedDistribution

COVARIANCES = {
    "covariance_matrix": constraints.positive_definite,
    "precision_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """Return the lower triangular L with L L^T = the inverse of a matrix."""
    # The factor of the matrix with rows and columns in the other order, turned back,
    # is upper triangular: U U^T = precision, and L = U^-T.
    flipped = linalg.cholesky(plait.flip(precision, axis=(-2, -1)))
    upper = plait.flip(flipped, axis=(-2, -1))
    n = precision.shape[-1]
    return solved(upper.mT, plait.eye(n, dtype=precision.dtype))


def solved(lower: Tensor, x: Tensor) -> Tensor:
    """Return the solution of `lower @ y = x`; both broadcast."""
    lead = plait.broadcast_arrays(lower[..., :1, :1], x[..., :1, :1])[0].shape[:-2]
    lower = plait.broadcast_to(lower, (*lead, *lower.shape[-2:]))
    return linalg.solve_triangular(lower, plait.broadcast_to(x, (*lead, *x.shape[-2:])))


def half_log_det(lower: Tensor) -> Tensor:
    """Return the sum of the logarithms of the diagonal."""
    return plait.log(plait.diagonal(lower)).sum(axis=-1)


def squared_length(lower: Tensor, x: Tensor) -> Tensor:
    """Return the squared length of `y` with `lower @ y = x`, for vectors x."""
    y = solved(lower, plait.expand_dims(x, -1))
    return plait.square(y).sum(axis=(-2, -1))


class MultivariateNormal(Distribution):
    """Normally distributed vectors of k numbers that depend on each other.

    Density: exp(-(x - loc)^T C^-1 (x - loc) / 2) / sqrt((2 * pi) ** k * det(C)), with
    the covariance matrix C. Support: all vectors.

    Args:
        loc: the mean, shape (..., k).
        covariance_matrix: C, positive definite, shape (..., k, k).
        precision_matrix: instead, the inverse of C.
        scale_tril: instead, the lower triangular L with L L^T = C. The others are
            turned into it.
        validate_args: see `Distribution`.

    Attributes:
        scale_tril: L, shape (..., k, k).
    """

    arg_constraints = constraints.of(loc=constraints.real_vector, **COVARIANCES)
    support = constraints.real_vector
    has_rsample = True
    loc: Tensor
    scale_tril: Tensor

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of(
            "MultivariateNormal",
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        k = next(iter(as_tensors(given).values())).shape[-1]
        centre: Tensor = plait.asarray(loc)
        if not centre.ndim or centre.shape[-1] == 1:
            centre = plait.broadcast_to(centre, (*centre.shape[:-1], k))
        super().__init__({"loc": centre, **given}, (k,), validate_args=validate_args)
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
        n = self.event_shape[0]
        inverse = solved(self.scale_tril, plait.eye(n, dtype=self.loc.dtype))
        return inverse.mT @ inverse

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return plait.square(self.scale_tril).sum(axis=-1)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        z = plait.random.normal(shape=shape, dtype=self.loc.dtype, key=key)
        moved = self.scale_tril @ plait.expand_dims(z, -1)
        return self.loc + plait.squeeze(moved, axis=-1)

    def log_prob(self, value: Number) -> Tensor:
        length = squared_length(self.scale_tril, self._value(value) - self.loc)
        constant = self.event_shape[0] * HALF_LOG_2PI
        return -0.5 * length - half_log_det(self.scale_tril) - constant

    def entropy(self) -> Tensor:
        constant = self.event_shape[0] * (0.5 + HALF_LOG_2PI)
        return half_log_det(self.scale_tril) + constant

    @staticmethod
    def samples() -> list[Sample]:
        loc = array([0.5, -1, 2], [0, 1, 0.3])
        lower = array([1, 0, 0], [0.5, 0.7, 0], [-0.3, 0.2, 1.4])
        value = array([0.2, -0.5, 1], [1, 1, -1])
        covariance = lower @ lower.T
        # Symmetric, whatever it is moved by.
        return [
            Sample({"loc": loc, "scale_tril": lower}, value, _tril),
            Sample({"loc": loc, "covariance_matrix": covariance}, value, _covariance),
            Sample({"loc": loc[0], "precision_matrix": covariance}, value, _precision),
        ]


def _tril(d: Any, loc: Any, scale_tril: Any) -> Any:
    return d.MultivariateNormal(loc, scale_tril=scale_tril)


def _covariance(d: Any, loc: Any, covariance_matrix: Any) -> Any:
    return d.MultivariateNormal(loc, 0.5 * (covariance_matrix + covariance_matrix.mT))


def _precision(d: Any, loc: Any, precision_matrix: Any) -> Any:
    symmetric = 0.5 * (precision_matrix + precision_matrix.mT)
    return d.MultivariateNormal(loc, precision_matrix=symmetric)


class LowRankMultivariateNormal(Distribution):
    """Normally distributed vectors whose covariance is of low rank, plus a diagonal.

    Density: that of `MultivariateNormal` with the covariance matrix C = F F^T +
    diag(d), found without C: the work grows with k times the square of the rank r.
    Support: all vectors.

    Args:
        loc: the mean, shape (..., k).
        cov_factor: F, shape (..., k, r).
        cov_diag: d, positive, shape (..., k).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        loc=constraints.real_vector,
        cov_factor=constraints.independent(constraints.real, 2),
        cov_diag=constraints.independent(constraints.positive, 1),
    )
    support = constraints.real_vector
    has_rsample = True
    loc: Tensor
    cov_factor: Tensor
    cov_diag: Tensor

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        parameters = {"loc": loc, "cov_factor": cov_factor, "cov_diag": cov_diag}
        k = as_tensors(parameters)["loc"].shape[-1:]
        super().__init__(parameters, k, validate_args=validate_args)

    def capacitance_tril(self) -> Tensor:
        """Return the Cholesky factor of 1 + F^T diag(1 / d) F."""
        factor = self.cov_factor
        scaled = factor / plait.expand_dims(self.cov_diag, -1)
        one = plait.eye(factor.shape[-1], dtype=factor.dtype)
        return linalg.cholesky(one + factor.mT @ scaled)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return plait.square(self.cov_factor).sum(axis=-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Tensor:
        """C, shape (..., k, k)."""
        return self.cov_factor @ self.cov_factor.mT + plait.diag_embed(self.cov_diag)

    @property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of C, shape (..., k, k)."""
        return linalg.cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of C, shape (..., k, k)."""
        inverse = 1 / self.cov_diag
        scaled = self.cov_factor * plait.expand_dims(inverse, -1)
        inner = solved(self.capacitance_tril(), scaled.mT)
        return plait.diag_embed(inverse) - inner.mT @ inner

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        dtype, rank = self.loc.dtype, self.cov_factor.shape[-1]
        wide = plait.random.normal(shape=(*shape[:-1], rank, 1), dtype=dtype, key=first)
        own = plait.random.normal(shape=shape, dtype=dtype, key=second)
        moved = plait.squeeze(self.cov_factor @ wide, axis=-1)
        return self.loc + moved + plait.sqrt(self.cov_diag) * own

    def half_log_det(self) -> Tensor:
        """Return log(det(C)) / 2, by the determinant lemma."""
        own = 0.5 * plait.log(self.cov_diag).sum(axis=-1)
        return own + half_log_det(self.capacitance_tril())

    def squared_length(self, x: Tensor) -> Tensor:
        """Return x^T C^-1 x, by the identity of Woodbury."""
        scaled = x / self.cov_diag
        inner = self.cov_factor.mT @ plait.expand_dims(scaled, -1)
        inner = plait.squeeze(inner, axis=-1)
        own = (x * scaled).sum(axis=-1)
        return own - squared_length(self.capacitance_tril(), inner)

    def log_prob(self, value: Number) -> Tensor:
        length = self.squared_length(self._value(value) - self.loc)
        constant = self.event_shape[0] * HALF_LOG_2PI
        return -0.5 * length - self.half_log_det() - constant

    def entropy(self) -> Tensor:
        return self.half_log_det() + self.event_shape[0] * (0.5 + HALF_LOG_2PI)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {
            "loc": array([0.5, -1, 2], [0, 1, 0.3]),
            "cov_factor": array([1, 0.3], [0.5, 0.7], [-0.3, 0.2]),
            "cov_diag": array(0.5, 1, 0.3),
        }
        return [Sample(parameters, array([0.2, -0.5, 1], [1, 1, -1]))]


class LogisticNormal(TransformedDistribution):
    """Positive numbers whose sum is 1, made of normal numbers by breaking a stick.

    Density: that of a `TransformedDistribution` of `Normal(loc, scale)` by a
    `StickBreakingTransform`. Support: vectors of k positive numbers whose sum is 1.

    Args:
        loc: the means of the normal numbers, shape (..., k - 1).
        scale: their standard deviations, positive.
        validate_args: see `Distribution`.

    Source: J. Aitchison, S. M. Shen, "Logistic-normal distributions: some properties
    and uses", 1980.
    """

    arg_constraints = constraints.of(loc=constraints.real, scale=constraints.positive)
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self, loc: Number, scale: Number, validate_args: bool | None = None
    ) -> None:
        self._normal = Normal(loc, scale, validate_args)
        if not self._normal.batch_shape:
            self._normal = self._normal.expand((1,))
        super().__init__(self._normal, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The means of the normal numbers."""
        return self._normal.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviations of the normal numbers."""
        return self._normal.scale

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"loc": array(0.5, -1), "scale": array(0.6, 0.4)}
        return [Sample(parameters, array([0.2, 0.3, 0.5], [0.6, 0.3, 0.1]))]


def log_multivariate_gamma(a: Tensor, p: int) -> Tensor:
    """Return the logarithm of the multivariate gamma function.

    Formula: p * (p - 1) / 4 * log(pi) + the sum of lgamma(a - i / 2) over i < p.
    """
    terms = plait.stack([plait.lgamma(a - 0.5 * i) for i in range(p)])
    return terms.sum(axis=0) + 0.25 * p * (p - 1) * math.log(math.pi)
