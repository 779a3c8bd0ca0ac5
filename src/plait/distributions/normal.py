"""The normal distribution and those that are made of it.

Read first: `Normal`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor

from . import constraints
from .distribution import Distribution, Number, keys_of
from .implicit import gamma
from .sample import Sample, array
from .transform import ExpTransform
from .transformed import TransformedDistribution

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)
_ROOT_2 = math.sqrt(2.0)


class Normal(Distribution):
    """The normal, or Gaussian, distribution.

    Density: exp(-((x - loc) / scale) ** 2 / 2) / (scale * sqrt(2 * pi)).
    Support: all numbers.

    Args:
        loc: the mean.
        scale: the standard deviation, positive. Both broadcast to the batch shape.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(loc=constraints.real, scale=constraints.positive)
    support = constraints.real
    has_rsample = True
    loc: Tensor
    scale: Tensor

    def __init__(
        self, loc: Number, scale: Number, validate_args: bool | None = None
    ) -> None:
        super().__init__({"loc": loc, "scale": scale}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return plait.square(self.scale)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return plait.random.normal(self.loc, self.scale, shape=shape, key=key)

    def log_prob(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -0.5 * plait.square(z) - plait.log(self.scale) - HALF_LOG_2PI

    def cdf(self, value: Number) -> Tensor:
        return plait.ndtr((self._value(value) - self.loc) / self.scale)

    def icdf(self, value: Number) -> Tensor:
        return self.loc + self.scale * plait.ndtri(plait.asarray(value))

    def entropy(self) -> Tensor:
        return plait.log(self.scale) + (0.5 + HALF_LOG_2PI)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                {"loc": array(0.5, -2, 1), "scale": array(1, 0.3, 4)}, array(1, -2.5, 9)
            ),
            Sample({"loc": 1.0, "scale": array(0.5)}, array([0.2], [1.7])),
        ]


class HalfNormal(Distribution):
    """The absolute value of a normal number of mean 0.

    Density: sqrt(2 / pi) / scale * exp(-(x / scale) ** 2 / 2).
    Support: 0 and above.

    Args:
        scale: the standard deviation of the normal number, positive.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(scale=constraints.positive)
    support = constraints.nonnegative
    has_rsample = True
    scale: Tensor

    def __init__(self, scale: Number, validate_args: bool | None = None) -> None:
        super().__init__({"scale": scale}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return plait.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return plait.square(self.scale) * (1 - 2 / math.pi)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        z = plait.random.normal(shape=shape, dtype=self.scale.dtype, key=key)
        return plait.abs(z) * self.scale

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        z = x / self.scale
        inside = -0.5 * plait.square(z) - plait.log(self.scale)
        inside = inside + (math.log(2) - HALF_LOG_2PI)
        return plait.where(x >= 0, inside, -math.inf)

    def cdf(self, value: Number) -> Tensor:
        return plait.erf(self._value(value) / self.scale * _ROOT_HALF)

    def icdf(self, value: Number) -> Tensor:
        return self.scale * _ROOT_2 * plait.erfinv(plait.asarray(value))

    def entropy(self) -> Tensor:
        return plait.log(self.scale) + (0.5 + HALF_LOG_2PI - math.log(2))

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample({"scale": array(1, 0.3, 4)}, array(0.7, 0.1, 9))]


class LogNormal(TransformedDistribution):
    """The exponential of a normal number.

    Density: that of `Normal(loc, scale)` at log(x), over x.
    Support: positive numbers.

    Args:
        loc: the mean of the logarithm.
        scale: the standard deviation of the logarithm, positive.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(loc=constraints.real, scale=constraints.positive)
    support = constraints.positive
    has_rsample = True
    base_dist: Normal

    def __init__(
        self, loc: Number, scale: Number, validate_args: bool | None = None
    ) -> None:
        base = Normal(loc, scale, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        return plait.exp(self.loc + 0.5 * plait.square(self.scale))

    @property
    def mode(self) -> Tensor:
        return plait.exp(self.loc - plait.square(self.scale))

    @property
    def variance(self) -> Tensor:
        square = plait.square(self.scale)
        return plait.expm1(square) * plait.exp(2 * self.loc + square)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample({"loc": array(0.5, -2), "scale": array(0.4, 0.2)}, array(1, 0.1))
        ]


class StudentT(Distribution):
    """Student's t-distribution: a normal number over the root of an averaged square.

    Density: with z = (x - loc) / scale,
    gamma((df + 1) / 2) / gamma(df / 2) / sqrt(pi * df) / scale *
    (1 + z ** 2 / df) ** (-(df + 1) / 2).
    Support: all numbers.

    Args:
        df: degrees of freedom, positive.
        loc: the centre; the mean where `df` is above 1.
        scale: positive; not the standard deviation.
        validate_args: see `Distribution`.

    Special cases: the mean is nan where `df` is at most 1; the variance is inf for
    `df` in 1..2, and nan up to 1.

    Source: Student, "The probable error of a mean", 1908.
    """

    arg_constraints = constraints.of(
        df=constraints.positive,
        loc=constraints.real,
        scale=constraints.positive,
    )
    support = constraints.real
    has_rsample = True
    df: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        df: Number,
        loc: Number = 0.0,
        scale: Number = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        parameters = {"df": df, "loc": loc, "scale": scale}
        super().__init__(parameters, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return plait.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.df > 2
        df = plait.where(finite, self.df, 3.0)
        heavy = plait.where(self.df > 1, math.inf, plait.full_like(df, math.nan))
        return plait.where(finite, plait.square(self.scale) * df / (df - 2), heavy)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        z = plait.random.normal(shape=shape, dtype=self.df.dtype, key=first)
        chi_square = 2 * gamma(second, 0.5 * self.df, shape)
        return self.loc + self.scale * z * plait.rsqrt(chi_square / self.df)

    def log_prob(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        front = plait.lgamma(0.5 * (self.df + 1)) - plait.lgamma(0.5 * self.df)
        front = front - 0.5 * plait.log(math.pi * self.df) - plait.log(self.scale)
        return front - 0.5 * (self.df + 1) * plait.log1p(plait.square(z) / self.df)

    def entropy(self) -> Tensor:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = plait.lgamma(half) + math.log(math.pi) / 2 - plait.lgamma(more)
        slopes = more * (plait.digamma(more) - plait.digamma(half))
        return plait.log(self.scale) + slopes + 0.5 * plait.log(self.df) + log_beta

    @staticmethod
    def samples() -> list[Sample]:
        parameters: dict[str, Any] = {
            "df": array(1.5, 7, 30), "loc": array(0.5, -2, 1), "scale": array(1, 0.3, 4)
        }  # fmt: skip
        return [Sample(parameters, array(1, -2.5, 9))]
