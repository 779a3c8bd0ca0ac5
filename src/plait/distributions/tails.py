"""Distributions of lifetimes and of extremes, made of an exponential number.

Read first: `Weibull`, `Pareto`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from . import constraints
from .distribution import Distribution, Number, standard_exponential
from .location import EULER_GAMMA
from .sample import Sample, array


class Weibull(Distribution):
    """The Weibull distribution: a power of an exponential number.

    Density: concentration / scale * z ** (concentration - 1) * exp(-z **
    concentration), where z = x / scale. Support: positive numbers.

    Args:
        scale: positive.
        concentration: the shape parameter, positive. 1 is the exponential distribution.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        scale=constraints.positive, concentration=constraints.positive
    )
    support = constraints.positive
    has_rsample = True
    scale: Tensor
    concentration: Tensor

    def __init__(
        self, scale: Number, concentration: Number, validate_args: bool | None = None
    ) -> None:
        parameters = {"scale": scale, "concentration": concentration}
        super().__init__(parameters, validate_args=validate_args)

    def _moment(self, power: float) -> Tensor:
        return plait.exp(plait.lgamma(1 + power / self.concentration))

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1.0)

    @property
    def mode(self) -> Tensor:
        a = plait.maximum(self.concentration, 1.0)
        return self.scale * plait.pow((a - 1) / a, 1 / a)

    @property
    def variance(self) -> Tensor:
        spread = self._moment(2.0) - plait.square(self._moment(1.0))
        return plait.square(self.scale) * spread

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        e = standard_exponential(key, shape, self.scale.dtype)
        return self.scale * plait.pow(e, 1 / self.concentration)

    def log_prob(self, value: Number) -> Tensor:
        a, z = self.concentration, self._value(value) / self.scale
        front = plait.log(a) - plait.log(self.scale)
        return front + plait.xlogy(a - 1, z) - plait.pow(z, a)

    def cdf(self, value: Number) -> Tensor:
        z = self._value(value) / self.scale
        return -plait.expm1(-plait.pow(z, self.concentration))

    def icdf(self, value: Number) -> Tensor:
        e = -plait.log1p(-plait.asarray(value))
        return self.scale * plait.pow(e, 1 / self.concentration)

    def entropy(self) -> Tensor:
        a = self.concentration
        return EULER_GAMMA * (1 - 1 / a) + plait.log(self.scale / a) + 1

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"scale": array(1, 0.3, 2), "concentration": array(0.8, 2, 1)}
        return [Sample(parameters, array(0.4, 0.2, 3))]


class Pareto(Distribution):
    """The Pareto distribution: the exponential of an exponential number.

    Density: alpha * scale ** alpha / x ** (alpha + 1). Support: `scale` and above.

    Args:
        scale: the least value, positive.
        alpha: how fast the tail falls, positive.
        validate_args: see `Distribution`.

    Special cases: the mean is inf where `alpha` is at most 1, the variance where it is
    at most 2.
    """

    arg_constraints = constraints.of(
        scale=constraints.positive, alpha=constraints.positive
    )
    has_rsample = True
    scale: Tensor
    alpha: Tensor

    def __init__(
        self, scale: Number, alpha: Number, validate_args: bool | None = None
    ) -> None:
        super().__init__({"scale": scale, "alpha": alpha}, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """`scale` and above."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        finite = self.alpha > 1
        a = plait.where(finite, self.alpha, 2.0)
        return plait.where(finite, a * self.scale / (a - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        finite = self.alpha > 2
        a = plait.where(finite, self.alpha, 3.0)
        spread = plait.square(self.scale) * a / (plait.square(a - 1) * (a - 2))
        return plait.where(finite, spread, math.inf)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        e = standard_exponential(key, shape, self.scale.dtype)
        return self.scale * plait.exp(e / self.alpha)

    def log_prob(self, value: Number) -> Tensor:
        x, a = self._value(value), self.alpha
        inside = plait.log(a) + a * plait.log(self.scale) - (a + 1) * plait.log(x)
        return plait.where(x >= self.scale, inside, -math.inf)

    def cdf(self, value: Number) -> Tensor:
        logs = plait.log(self._value(value)) - plait.log(self.scale)
        return -plait.expm1(-self.alpha * plait.maximum(logs, 0.0))

    def icdf(self, value: Number) -> Tensor:
        e = -plait.log1p(-plait.asarray(value))
        return self.scale * plait.exp(e / self.alpha)

    def entropy(self) -> Tensor:
        return plait.log(self.scale / self.alpha) + (1 + 1 / self.alpha)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"scale": array(1, 0.3), "alpha": array(6, 5)}
        return [Sample(parameters, array([1.4, 0.4], [3, 0.31]))]


_SMALL = 1e-2


class GeneralizedPareto(Distribution):
    """The generalized Pareto distribution, of how far a high threshold is exceeded.

    Density: (1 + concentration * z) ** (-1 / concentration - 1) / scale, where z =
    (x - loc) / scale; exp(-z) / scale where `concentration` is 0.
    Support: `loc` and above; up to `loc - scale / concentration` where that is
    negative.

    Args:
        loc: the least value.
        scale: positive.
        concentration: the shape parameter, of any sign: how heavy the tail is.
        validate_args: see `Distribution`.

    Special cases: the mean is inf where `concentration` is at least 1, the variance
    where it is at least 1 / 2.

    Source: J. Pickands, "Statistical inference using extreme order statistics", 1975.
    """

    arg_constraints = constraints.of(
        loc=constraints.real,
        scale=constraints.positive,
        concentration=constraints.real,
    )
    has_rsample = True
    loc: Tensor
    scale: Tensor
    concentration: Tensor

    def __init__(
        self,
        loc: Number,
        scale: Number,
        concentration: Number,
        validate_args: bool | None = None,
    ) -> None:
        parameters = {"loc": loc, "scale": scale, "concentration": concentration}
        super().__init__(parameters, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """`loc` and above, up to an end where `concentration` is negative."""
        ends = self.concentration < 0
        safe = plait.where(ends, self.concentration, -1.0)
        end = plait.where(ends, self.loc - self.scale / safe, math.inf)
        return constraints.interval(self.loc, end)

    @property
    def mean(self) -> Tensor:
        finite = self.concentration < 1
        c = plait.where(finite, self.concentration, 0.0)
        return plait.where(finite, self.loc + self.scale / (1 - c), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.concentration < 0.5
        c = plait.where(finite, self.concentration, 0.0)
        spread = plait.square(self.scale) / (plait.square(1 - c) * (1 - 2 * c))
        return plait.where(finite, spread, math.inf)

    def _exceeding(self, e: Tensor) -> Tensor:
        """Return expm1(c * e) / c, by its series where c is small."""
        c = self.concentration
        small = plait.abs(c * e) < _SMALL
        t = c * e
        series = e * (1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5))))
        safe = plait.where(c == 0, 1.0, c)
        return plait.where(small, series, plait.expm1(safe * e) / safe)

    def _exponent(self, z: Tensor) -> Tensor:
        """Return log1p(c * z) / c, by its series where c is small."""
        c = self.concentration
        t = c * z
        small = plait.abs(t) < _SMALL
        series = z * (
            1
            - t
            * (1 / 2 - t * (1 / 3 - t * (1 / 4 - t * (1 / 5 - t * (1 / 6 - t / 7)))))
        )
        safe = plait.where(c == 0, 1.0, c)
        inside = plait.where(small, 1.0, plait.maximum(t, -1.0))
        return plait.where(small, series, plait.log1p(inside) / safe)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        e = standard_exponential(key, shape, self.scale.dtype)
        return self.loc + self.scale * self._exceeding(e)

    def log_prob(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        inside = (z >= 0) & (self.concentration * z > -1)
        logs = -(1 + self.concentration) * self._exponent(z) - plait.log(self.scale)
        return plait.where(inside, logs, -math.inf)

    def cdf(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -plait.expm1(-self._exponent(plait.maximum(z, 0.0)))

    def icdf(self, value: Number) -> Tensor:
        e = -plait.log1p(-plait.asarray(value))
        return self.loc + self.scale * self._exceeding(e)

    def entropy(self) -> Tensor:
        return plait.log(self.scale) + self.concentration + 1

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {
            "loc": array(0, 1, -2, 0.5),
            "scale": array(1, 0.5, 2, 1),
            "concentration": array(0.2, -0.3, 0.1, 1e-3),
        }
        return [Sample(parameters, array(0.7, 1.6, 5, 2))]


class Kumaraswamy(Distribution):
    """The Kumaraswamy distribution, like the beta distribution but of closed form.

    Density: a * b * x ** (a - 1) * (1 - x ** a) ** (b - 1), where a is
    `concentration1` and b is `concentration0`. Support: 0 to 1.

    Args:
        concentration1: positive.
        concentration0: positive.
        validate_args: see `Distribution`.

    Source: P. Kumaraswamy, "A generalized probability density function for
    double-bounded random processes", 1980.
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

    def _moment(self, power: float) -> Tensor:
        a, b = self.concentration1, self.concentration0
        first = 1 + power / a
        logs = plait.lgamma(first) + plait.lgamma(b) - plait.lgamma(first + b)
        return b * plait.exp(logs)

    @property
    def mean(self) -> Tensor:
        return self._moment(1.0)

    @property
    def mode(self) -> Tensor:
        """The value of the highest density; nan unless both concentrations are at
        least 1, and one is above.
        """
        a, b = self.concentration1, self.concentration0
        inner = (a >= 1) & (b >= 1) & (a * b > 1)
        safe = plait.where(inner, a, 2.0)
        other = plait.where(inner, b, 2.0)
        ratio = (safe - 1) / (safe * other - 1)
        return plait.where(inner, plait.pow(ratio, 1 / safe), math.nan)

    @property
    def variance(self) -> Tensor:
        return self._moment(2.0) - plait.square(self._moment(1.0))

    def _from_exponential(self, e: Tensor) -> Tensor:
        inner = -plait.expm1(-e / self.concentration0)
        return plait.pow(inner, 1 / self.concentration1)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        e = standard_exponential(key, shape, self.concentration1.dtype)
        return self._from_exponential(e)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        a, b = self.concentration1, self.concentration0
        rest = plait.xlogy(b - 1, 1 - plait.pow(x, a))
        return plait.log(a) + plait.log(b) + plait.xlogy(a - 1, x) + rest

    def cdf(self, value: Number) -> Tensor:
        power = plait.pow(self._value(value), self.concentration1)
        return -plait.expm1(self.concentration0 * plait.log1p(-power))

    def icdf(self, value: Number) -> Tensor:
        return self._from_exponential(-plait.log1p(-plait.asarray(value)))

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = plait.digamma(b + 1) + EULER_GAMMA
        logs = plait.log(a) + plait.log(b)
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - logs

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {
            "concentration1": array(0.8, 2, 3), "concentration0": array(1.5, 3, 1.2)
        }  # fmt: skip
        return [Sample(parameters, array(0.2, 0.9, 0.55))]
