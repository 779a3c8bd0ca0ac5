"""Distributions of counts.

Read first: `Bernoulli`, `Poisson`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor

from . import constraints
from .distribution import (
    Distribution,
    Number,
    keys_of,
    logits_of,
    one_of,
    standard_exponential,
)
from .sample import Sample, array


class _Trials(Distribution):
    """Distributions of trials that succeed with a probability `probs`, the same for
    all, given by itself or as its logit.
    """

    @property
    def probs(self) -> Tensor:
        """The probability of a success."""
        given = self._parameters
        return given["probs"] if "probs" in given else plait.sigmoid(given["logits"])

    @property
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        given = self._parameters
        return given["logits"] if "logits" in given else logits_of(given["probs"])


def _softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)): of a logit, -log(1 - probs)."""
    return -plait.log_sigmoid(-x)


def _listed(values: Tensor, batch: tuple[int, ...], expand: bool) -> Tensor:
    """Return values along axis 0, and axes for the batch behind."""
    shaped = plait.reshape(values, (values.shape[0], *[1] * len(batch)))
    if not expand:
        return shaped
    return plait.broadcast_to(shaped, (values.shape[0], *batch))


class Bernoulli(_Trials):
    """1 with a probability, else 0.

    Probability: probs ** x * (1 - probs) ** (1 - x). Support: 0 and 1.

    Args:
        probs: the probability of 1.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        probs=constraints.unit_interval, logits=constraints.real
    )
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of("Bernoulli", probs=probs, logits=logits)
        super().__init__(given, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more probable value; nan where both are equally so."""
        p = self.probs
        return plait.where(p == 0.5, math.nan, (p > 0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        p = self.probs
        return plait.random.bernoulli(p.detach(), shape=shape, dtype=p.dtype, key=key)

    def log_prob(self, value: Number) -> Tensor:
        logits = self.logits
        return self._value(value) * logits - _softplus(logits)

    def entropy(self) -> Tensor:
        logits = self.logits
        return _softplus(logits) - self.probs * logits

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = plait.arange(2, dtype=self.probs.dtype)
        return _listed(values, self.batch_shape, expand)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample({"probs": array(0.2, 0.7)}, array([0, 1], [1, 1])),
            Sample({"logits": array(-3, 0.5)}, array([0, 1], [1, 1])),
        ]


class Geometric(_Trials):
    """The number of failures before the first success.

    Probability: (1 - probs) ** x * probs. Support: 0, 1, 2, ...

    Args:
        probs: the probability of a success in each trial, above 0.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        probs=constraints.unit_interval, logits=constraints.real
    )
    support = constraints.nonnegative_integer

    def __init__(
        self,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of("Geometric", probs=probs, logits=logits)
        super().__init__(given, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return plait.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        e = standard_exponential(key, shape, self.probs.dtype)
        given = self._parameters
        # Of failures, exactly: infinite where there are none.
        rate = (
            -plait.log1p(-given["probs"])
            if "probs" in given
            else _softplus(given["logits"])
        )
        return plait.floor(e / rate.detach())

    def log_prob(self, value: Number) -> Tensor:
        logits = self.logits
        return plait.log_sigmoid(logits) - self._value(value) * _softplus(logits)

    def entropy(self) -> Tensor:
        logits = self.logits
        return _softplus(logits) * (1 / self.probs - 1) - plait.log_sigmoid(logits)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample({"probs": array(0.2, 0.7)}, array([0, 1], [4, 2])),
            Sample({"logits": array(-2, 0.5)}, array([0, 1], [4, 2])),
        ]


def _log_ways(n: Any, k: Tensor) -> Tensor:
    """Return the logarithm of the number of ways to choose k of n."""
    ways = plait.lgamma(n + 1) - plait.lgamma(k + 1)
    return ways - plait.lgamma(n - k + 1)


class Binomial(_Trials):
    """The number of successes in `total_count` trials.

    Probability: n! / (x! * (n - x)!) * probs ** x * (1 - probs) ** (n - x), n the total
    count. Support: 0 to n.

    Args:
        total_count: how many trials, not negative.
        probs: the probability of a success in each.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        total_count=constraints.nonnegative_integer,
        probs=constraints.unit_interval,
        logits=constraints.real,
    )
    has_enumerate_support = True
    total_count: Tensor

    def __init__(
        self,
        total_count: Number = 1,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of("Binomial", probs=probs, logits=logits)
        parameters = {"total_count": total_count, **given}
        super().__init__(parameters, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """0 to `total_count`."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        top = plait.floor((self.total_count + 1) * self.probs)
        return plait.minimum(top, self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        n, p = self.total_count, self.probs
        return plait.random.binomial(n, p, shape=shape, dtype=p.dtype, key=key)

    def log_prob(self, value: Number) -> Tensor:
        k, n, logits = self._value(value), self.total_count, self.logits
        return _log_ways(n, k) + k * logits - n * _softplus(logits)

    def entropy(self) -> Tensor:
        """Return the mean of `-log_prob`, by going through all counts.

        Raises:
            TracingError: `total_count` is not known.
        """
        values = plait.arange(self._most() + 1, dtype=self.probs.dtype)
        values = _listed(values, self.batch_shape, True)
        possible = values <= self.total_count
        logs = self.log_prob(plait.minimum(values, self.total_count))
        terms = plait.exp(logs) * logs
        return -plait.where(possible, terms, 0.0).sum(axis=0)

    def _most(self) -> int:
        return int(self.total_count.max().item())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all possible values, one after another along a new axis 0.

        Args:
            expand: broadcast them to the batch shape; else its axes have size 1.

        Raises:
            ArgumentError: the total counts differ.
            TracingError: `total_count` is not known.
        """
        most = self._most()
        if not bool((self.total_count == most).all()):
            raise self._lacks("list of all values, as the total counts differ")
        values = plait.arange(most + 1, dtype=self.probs.dtype)
        return _listed(values, self.batch_shape, expand)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                {"total_count": array(5, 40), "probs": array(0.2, 0.7)},
                array([0, 40], [4, 25]),
                fixed=("total_count",),
            ),
            Sample({"total_count": 7, "logits": array(-2, 0.5)}, array(7, 2)),
        ]


class NegativeBinomial(_Trials):
    """The number of successes before `total_count` failures.

    Probability: gamma(n + x) / (x! * gamma(n)) * probs ** x * (1 - probs) ** n, n the
    total count. Support: 0, 1, 2, ...

    Args:
        total_count: how many failures end the trials, positive, whole or not.
        probs: the probability of a success in each trial, below 1.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        total_count=constraints.positive,
        probs=constraints.half_open_interval(0.0, 1.0),
        logits=constraints.real,
    )
    support = constraints.nonnegative_integer
    total_count: Tensor

    def __init__(
        self,
        total_count: Number,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of("NegativeBinomial", probs=probs, logits=logits)
        parameters = {"total_count": total_count, **given}
        super().__init__(parameters, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * plait.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        odds = plait.exp(self.logits)
        return plait.maximum(plait.floor((self.total_count - 1) * odds), 0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 + plait.exp(self.logits))

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        rate = plait.random.gamma(
            self.total_count, plait.exp(-self.logits), shape=shape, key=first
        )
        return plait.random.poisson(rate, dtype=rate.dtype, key=second)

    def log_prob(self, value: Number) -> Tensor:
        x, n, logits = self._value(value), self.total_count, self.logits
        ways = plait.lgamma(n + x) - plait.lgamma(x + 1) - plait.lgamma(n)
        return ways - n * _softplus(logits) - x * _softplus(-logits)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                {"total_count": array(5, 0.7), "probs": array(0.2, 0.7)},
                array([0, 3], [4, 2]),
            ),
            Sample({"total_count": 7.0, "logits": array(-2, 0.5)}, array(7, 2)),
        ]


class Poisson(Distribution):
    """The number of independent events in a time.

    Probability: rate ** x * exp(-rate) / x!. Support: 0, 1, 2, ...

    Args:
        rate: the mean, not negative.
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(rate=constraints.nonnegative)
    support = constraints.nonnegative_integer
    rate: Tensor

    def __init__(self, rate: Number, validate_args: bool | None = None) -> None:
        super().__init__({"rate": rate}, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return plait.floor(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        rate = self.rate
        return plait.random.poisson(rate, shape=shape, dtype=rate.dtype, key=key)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        return plait.xlogy(x, self.rate) - self.rate - plait.lgamma(x + 1)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample({"rate": array(0.3, 15)}, array([0, 12], [2, 25]))]
