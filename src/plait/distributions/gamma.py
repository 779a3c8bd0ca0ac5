"""The gamma distribution and those that are made of it.

Read first: `Gamma`, `Dirichlet`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor

from . import constraints
from .distribution import Distribution, Number, keys_of
from .implicit import gamma, log_gamma
from .sample import Sample, array
from .transform import PowerTransform
from .transformed import TransformedDistribution


class Gamma(Distribution):
    """The gamma distribution.

    Density: rate ** concentration / gamma(concentration) * x ** (concentration - 1) *
    exp(-rate * x). Support: positive numbers.

    Args:
        concentration: the shape parameter, positive.
        rate: one over the scale, positive.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        concentration=constraints.positive, rate=constraints.positive
    )
    support = constraints.nonnegative
    has_rsample = True
    concentration: Tensor
    rate: Tensor

    def __init__(
        self, concentration: Number, rate: Number, validate_args: bool | None = None
    ) -> None:
        parameters = {"concentration": concentration, "rate": rate}
        super().__init__(parameters, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return plait.maximum((self.concentration - 1) / self.rate, 0.0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / plait.square(self.rate)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return gamma(key, self.concentration, shape) / self.rate

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        a = self.concentration
        front = a * plait.log(self.rate) - plait.lgamma(a)
        return plait.xlogy(a - 1, x) - self.rate * x + front

    def cdf(self, value: Number) -> Tensor:
        return plait.gammainc(self.concentration, self.rate * self._value(value))

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - plait.log(self.rate) + plait.lgamma(a) + (1 - a) * plait.digamma(a)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"concentration": array(0.4, 1, 7.5), "rate": array(1, 0.3, 4)}
        return [Sample(parameters, array(0.2, 2.5, 2))]


class Chi2(Gamma):
    """The chi-squared distribution: the sum of squares of `df` normal numbers.

    Density: that of `Gamma(df / 2, 1 / 2)`. Support: positive numbers.

    Args:
        df: degrees of freedom, positive.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(df=constraints.positive)
    df: Tensor

    def __init__(self, df: Number, validate_args: bool | None = None) -> None:
        Distribution.__init__(self, {"df": df}, validate_args=validate_args)
        self.concentration = 0.5 * self.df
        self.rate = plait.full_like(self.df, 0.5)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample({"df": array(0.6, 3, 12)}, array(0.2, 2.5, 9))]


class Exponential(Distribution):
    """The exponential distribution: the time until an event without a memory.

    Density: rate * exp(-rate * x). Support: 0 and above.

    Args:
        rate: positive.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(rate=constraints.positive)
    support = constraints.nonnegative
    has_rsample = True
    rate: Tensor

    def __init__(self, rate: Number, validate_args: bool | None = None) -> None:
        super().__init__({"rate": rate}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return plait.reciprocal(self.rate)

    @property
    def mode(self) -> Tensor:
        return plait.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return plait.reciprocal(self.rate)

    @property
    def variance(self) -> Tensor:
        return plait.reciprocal(plait.square(self.rate))

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return plait.random.exponential(self.rate, shape=shape, key=key)

    def log_prob(self, value: Number) -> Tensor:
        return plait.log(self.rate) - self.rate * self._value(value)

    def cdf(self, value: Number) -> Tensor:
        return -plait.expm1(-self.rate * self._value(value))

    def icdf(self, value: Number) -> Tensor:
        return -plait.log1p(-plait.asarray(value)) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - plait.log(self.rate)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample({"rate": array(0.3, 2)}, array([0.2, 1.5], [3, 0.7]))]


class InverseGamma(TransformedDistribution):
    """One over a gamma distributed number.

    Density: rate ** concentration / gamma(concentration) * x ** (-concentration - 1) *
    exp(-rate / x). Support: positive numbers.

    Args:
        concentration: the shape parameter, positive.
        rate: positive.
        validate_args: see `Distribution`.

    Special cases: the mean is inf where `concentration` is at most 1, the variance
    where it is at most 2.
    """

    arg_constraints = Gamma.arg_constraints
    support = constraints.positive
    has_rsample = True
    base_dist: Gamma

    def __init__(
        self, concentration: Number, rate: Number, validate_args: bool | None = None
    ) -> None:
        base = Gamma(concentration, rate, validate_args)
        super().__init__(base, PowerTransform(-1.0), validate_args)

    @property
    def concentration(self) -> Tensor:
        """The shape parameter."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """The rate of the gamma distributed number."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        finite = self.concentration > 1
        a = plait.where(finite, self.concentration, 2.0)
        return plait.where(finite, self.rate / (a - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        finite = self.concentration > 2
        a = plait.where(finite, self.concentration, 3.0)
        spread = plait.square(self.rate) / (plait.square(a - 1) * (a - 2))
        return plait.where(finite, spread, math.inf)

    def entropy(self) -> Tensor:
        a = self.concentration
        rest = plait.lgamma(a) - (1 + a) * plait.digamma(a)
        return a + plait.log(self.rate) + rest

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"concentration": array(0.8, 5, 7.5), "rate": array(1, 0.3, 4)}
        return [Sample(parameters, array(0.4, 2.5, 2))]


class Dirichlet(Distribution):
    """The Dirichlet distribution, of positive numbers whose sum is 1.

    Density: gamma(sum(a)) / prod(gamma(a)) * prod(x ** (a - 1)), a the concentration.
    Support: vectors of positive numbers whose sum is 1.

    Args:
        concentration: positive, shape (..., k): the last axis is that of the event.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        concentration=constraints.independent(constraints.positive, 1)
    )
    support = constraints.simplex
    has_rsample = True
    concentration: Tensor

    def __init__(
        self, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        x: Tensor = plait.asarray(concentration)
        super().__init__(
            {"concentration": x}, x.shape[-1:], validate_args=validate_args
        )

    def _sum(self) -> Tensor:
        return self.concentration.sum(axis=-1, keepdims=True)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self._sum()

    @property
    def mode(self) -> Tensor:
        """A value of the highest density; the corner of the largest concentration
        where none is above 1.
        """
        a = self.concentration
        above = plait.maximum(a - 1, 0.0)
        none = (a < 1).all(axis=-1, keepdims=True)
        weight = above.sum(axis=-1, keepdims=True)
        inner = above / plait.where(weight > 0, weight, 1.0)
        corner = plait.one_hot(plait.argmax(a, -1), a.shape[-1], dtype=a.dtype)
        return plait.where(none, corner, inner)

    @property
    def variance(self) -> Tensor:
        mean = self.mean
        return mean * (1 - mean) / (self._sum() + 1)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return plait.softmax(log_gamma(key, self.concentration, shape), -1)

    def log_prob(self, value: Number) -> Tensor:
        a = self.concentration
        logs = plait.xlogy(a - 1, self._value(value)) - plait.lgamma(a)
        return logs.sum(axis=-1) + plait.lgamma(a.sum(axis=-1))

    def entropy(self) -> Tensor:
        a = self.concentration
        k, top = a.shape[-1], a.sum(axis=-1)
        parts = plait.lgamma(a) - (a - 1) * plait.digamma(a)
        return parts.sum(axis=-1) - plait.lgamma(top) + (top - k) * plait.digamma(top)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"concentration": array([0.6, 2, 3.5], [1.5, 1.2, 4])}
        return [Sample(parameters, array([0.2, 0.3, 0.5], [0.1, 0.15, 0.75]))]


class Beta(Distribution):
    """The beta distribution.

    Density: x ** (a - 1) * (1 - x) ** (b - 1) * gamma(a + b) / (gamma(a) * gamma(b)),
    where a is `concentration1` and b is `concentration0`. Support: 0 to 1.

    Args:
        concentration1: positive; the larger, the nearer to 1.
        concentration0: positive; the larger, the nearer to 0.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        concentration1=constraints.positive, concentration0=constraints.positive
    )
    support = constraints.unit_interval
    has_rsample = True
    concentration1: Tensor
    concentration0: Tensor

    def __init__(
        self,
        concentration1: Number,
        concentration0: Number,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            {"concentration1": concentration1, "concentration0": concentration0},
            validate_args=validate_args,
        )

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """A value of the highest density; at an end where that is infinite."""
        a = plait.maximum(self.concentration1 - 1, 0.0)
        b = plait.maximum(self.concentration0 - 1, 0.0)
        total = a + b
        corner = (self.concentration1 > self.concentration0).to(a.dtype)
        return plait.where(total > 0, a / plait.where(total > 0, total, 1.0), corner)

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        spread = plait.square(total) * (total + 1)
        return self.concentration1 * self.concentration0 / spread

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        x = log_gamma(first, self.concentration1, shape)
        y = log_gamma(second, self.concentration0, shape)
        return plait.sigmoid(x - y)

    def _log_beta(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return plait.lgamma(a) + plait.lgamma(b) - plait.lgamma(a + b)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        logs = plait.xlogy(self.concentration1 - 1, x)
        other = plait.xlogy(self.concentration0 - 1, 1 - x)
        return logs + other - self._log_beta()

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        slopes = (a - 1) * plait.digamma(a) + (b - 1) * plait.digamma(b)
        return self._log_beta() - slopes + (a + b - 2) * plait.digamma(a + b)

    @staticmethod
    def samples() -> list[Sample]:
        parameters: dict[str, Any] = {
            "concentration1": array(0.4, 1.5, 30), "concentration0": array(0.6, 3, 20)
        }  # fmt: skip
        return [Sample(parameters, array(0.2, 0.9, 0.55))]


class FisherSnedecor(Distribution):
    """The F-distribution: the ratio of two averaged squares of normal numbers.

    Density: with a = df1 / 2 and b = df2 / 2, gamma(a + b) / (gamma(a) * gamma(b)) *
    (a / b) ** a * x ** (a - 1) * (1 + a / b * x) ** -(a + b).
    Support: positive numbers.

    Args:
        df1: degrees of freedom above, positive.
        df2: degrees of freedom below, positive.
        validate_args: see `Distribution`.

    Special cases: the mean is nan where `df2` is at most 2, the variance where it is at
    most 4, the mode where `df1` is at most 2.
    """

    arg_constraints = constraints.of(df1=constraints.positive, df2=constraints.positive)
    support = constraints.positive
    has_rsample = True
    df1: Tensor
    df2: Tensor

    def __init__(
        self, df1: Number, df2: Number, validate_args: bool | None = None
    ) -> None:
        super().__init__({"df1": df1, "df2": df2}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        finite = self.df2 > 2
        df2 = plait.where(finite, self.df2, 3.0)
        return plait.where(finite, df2 / (df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        inside = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return plait.where(self.df1 > 2, inside, math.nan)

    @property
    def variance(self) -> Tensor:
        finite = self.df2 > 4
        df1, df2 = self.df1, plait.where(finite, self.df2, 5.0)
        top = 2 * plait.square(df2) * (df1 + df2 - 2)
        spread = top / (df1 * plait.square(df2 - 2) * (df2 - 4))
        return plait.where(finite, spread, math.nan)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        above = log_gamma(first, 0.5 * self.df1, shape)
        below = log_gamma(second, 0.5 * self.df2, shape)
        return plait.exp(above - below) * (self.df2 / self.df1)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        a, b, ratio = 0.5 * self.df1, 0.5 * self.df2, self.df1 / self.df2
        front = plait.lgamma(a + b) - plait.lgamma(a) - plait.lgamma(b)
        rising = a * plait.log(ratio) + (a - 1) * plait.log(x)
        return front + rising - (a + b) * plait.log1p(ratio * x)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"df1": array(0.8, 5, 12), "df2": array(9, 6, 20)}
        return [Sample(parameters, array(0.4, 2.5, 1.1))]
