"""Distributions of a place and a width: uniform, Cauchy, Laplace and Gumbel.

Read first: `Laplace`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from ..errors import ArgumentError
from . import constraints
from .distribution import Distribution, Number, keys_of, known, standard_exponential
from .sample import Sample, array

EULER_GAMMA = 0.57721566490153286


class Uniform(Distribution):
    """Numbers between two bounds, all equally likely.

    Density: 1 / (high - low) from `low` up to but without `high`; 0 elsewhere.
    Support: `low` to `high`.

    Args:
        low: the lower bound.
        high: the upper bound, above `low`.
        validate_args: see `Distribution`.

    Raises:
        ArgumentError: two numbers are given, or tensors are checked, and `low` is not
            below `high`.
    """

    arg_constraints = constraints.of(
        low=constraints.dependent, high=constraints.dependent
    )
    has_rsample = True
    low: Tensor
    high: Tensor

    def __init__(
        self, low: Number, high: Number, validate_args: bool | None = None
    ) -> None:
        super().__init__({"low": low, "high": high}, validate_args=validate_args)
        numbers = not isinstance(low, Tensor) and not isinstance(high, Tensor)
        checked = self._validate or (numbers and self._validate is not False)
        if checked and not known((self.low < self.high).all()):
            raise ArgumentError(
                "[Uniform] low must be below high", got=f"low={low}, high={high}"
            )

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """From `low` to `high`."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return 0.5 * (self.low + self.high)

    @property
    def mode(self) -> Tensor:
        """Nan: all values are equally likely."""
        return plait.full_like(self.low, math.nan)

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) * math.sqrt(1 / 12)

    @property
    def variance(self) -> Tensor:
        return plait.square(self.high - self.low) / 12

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return plait.random.uniform(self.low, self.high, shape=shape, key=key)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        inside = (x >= self.low) & (x < self.high)
        return plait.where(inside, -plait.log(self.high - self.low), -math.inf)

    def cdf(self, value: Number) -> Tensor:
        share = (self._value(value) - self.low) / (self.high - self.low)
        return plait.clip(share, 0, 1)

    def icdf(self, value: Number) -> Tensor:
        return self.low + (self.high - self.low) * plait.asarray(value)

    def entropy(self) -> Tensor:
        return plait.log(self.high - self.low)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"low": array(-1, 0.5), "high": array(2, 0.7)}
        return [Sample(parameters, array([0.4, 0.6], [-0.9, 0.65]))]


class Cauchy(Distribution):
    """The Cauchy, or Lorentz, distribution: a ratio of two normal numbers.

    Density: 1 / (pi * scale * (1 + ((x - loc) / scale) ** 2)). Support: all numbers.

    Args:
        loc: the median.
        scale: half the width at half the height, positive.
        validate_args: see `Distribution`.

    Special cases: the mean is nan and the variance inf.
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
        return plait.full_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return plait.full_like(self.loc, math.inf)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        u = plait.random.uniform(shape=shape, dtype=self.loc.dtype, key=key)
        return self.loc + self.scale * plait.tan(math.pi * (u - 0.5))

    def log_prob(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -plait.log1p(plait.square(z)) - plait.log(math.pi * self.scale)

    def cdf(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return plait.atan(z) / math.pi + 0.5

    def icdf(self, value: Number) -> Tensor:
        turn = math.pi * (plait.asarray(value) - 0.5)
        return self.loc + self.scale * plait.tan(turn)

    def entropy(self) -> Tensor:
        return plait.log(4 * math.pi * self.scale)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"loc": array(0.5, -2), "scale": array(1, 0.3)}
        return [Sample(parameters, array([1, -2.5], [9, 0]))]


class HalfCauchy(Distribution):
    """The absolute value of a Cauchy distributed number around 0.

    Density: 2 / (pi * scale * (1 + (x / scale) ** 2)). Support: 0 and above.

    Args:
        scale: the median, positive.
        validate_args: see `Distribution`.

    Special cases: the mean and the variance are inf.
    """

    arg_constraints = constraints.of(scale=constraints.positive)
    support = constraints.nonnegative
    has_rsample = True
    scale: Tensor

    def __init__(self, scale: Number, validate_args: bool | None = None) -> None:
        super().__init__({"scale": scale}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return plait.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        return plait.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return plait.full_like(self.scale, math.inf)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        u = plait.random.uniform(shape=shape, dtype=self.scale.dtype, key=key)
        return self.scale * plait.tan(0.5 * math.pi * u)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        front = math.log(2 / math.pi) - plait.log(self.scale)
        inside = front - plait.log1p(plait.square(x / self.scale))
        return plait.where(x >= 0, inside, -math.inf)

    def cdf(self, value: Number) -> Tensor:
        return plait.atan(self._value(value) / self.scale) * (2 / math.pi)

    def icdf(self, value: Number) -> Tensor:
        return self.scale * plait.tan(0.5 * math.pi * plait.asarray(value))

    def entropy(self) -> Tensor:
        return plait.log(2 * math.pi * self.scale)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample({"scale": array(1, 0.3)}, array([0.7, 0.1], [9, 2]))]


class Laplace(Distribution):
    """The Laplace distribution: the difference of two exponential numbers.

    Density: exp(-abs(x - loc) / scale) / (2 * scale). Support: all numbers.

    Args:
        loc: the mean.
        scale: the mean distance from it, positive.
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
        return self.scale * math.sqrt(2)

    @property
    def variance(self) -> Tensor:
        return 2 * plait.square(self.scale)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        dtype = self.loc.dtype
        x = standard_exponential(first, shape, dtype)
        return self.loc + self.scale * (x - standard_exponential(second, shape, dtype))

    def log_prob(self, value: Number) -> Tensor:
        off = plait.abs(self._value(value) - self.loc)
        return -plait.log(2 * self.scale) - off / self.scale

    def cdf(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        tail = 0.5 * plait.exp(-plait.abs(z))
        return plait.where(z > 0, 1 - tail, tail)

    def icdf(self, value: Number) -> Tensor:
        centred = plait.asarray(value) - 0.5
        off = plait.log1p(-2 * plait.abs(centred))
        return self.loc - self.scale * plait.sign(centred) * off

    def entropy(self) -> Tensor:
        return 1 + plait.log(2 * self.scale)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"loc": array(0.5, -2), "scale": array(1, 0.3)}
        return [Sample(parameters, array([1, -2.5], [9, 0]))]


class Gumbel(Distribution):
    """The Gumbel distribution, of the largest of many numbers.

    Density: exp(-(z + exp(-z))) / scale, where z = (x - loc) / scale.
    Support: all numbers.

    Args:
        loc: the mode.
        scale: positive.
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
        return self.loc + self.scale * EULER_GAMMA

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale * (math.pi / math.sqrt(6))

    @property
    def variance(self) -> Tensor:
        return plait.square(self.stddev)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        logs = plait.log(standard_exponential(key, shape, self.loc.dtype))
        return self.loc - self.scale * logs

    def log_prob(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -(z + plait.exp(-z)) - plait.log(self.scale)

    def cdf(self, value: Number) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return plait.exp(-plait.exp(-z))

    def icdf(self, value: Number) -> Tensor:
        return self.loc - self.scale * plait.log(-plait.log(plait.asarray(value)))

    def entropy(self) -> Tensor:
        return plait.log(self.scale) + (1 + EULER_GAMMA)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"loc": array(0.5, -2), "scale": array(1, 0.3)}
        return [Sample(parameters, array([1, -2.5], [7, -1]))]
