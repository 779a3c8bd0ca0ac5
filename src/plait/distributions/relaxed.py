"""Choices made smooth, so that derivatives flow through them.

Read first: `RelaxedOneHotCategorical`.
"""

from __future__ import annotations

import math

import numpy as np

import plait
from plait import Tensor

from . import constraints
from .categorical import OneHotCategorical
from .discrete import Bernoulli
from .distribution import (
    Distribution,
    Number,
    keys_of,
    known,
    one_of,
    standard_exponential,
)
from .sample import Sample, array
from .transform import ExpTransform, SigmoidTransform
from .transformed import TransformedDistribution


class LogitRelaxedBernoulli(Bernoulli):
    """The logit of a `RelaxedBernoulli` number: a logistic number, moved and scaled.

    Density: with d = logits - temperature * x, temperature * exp(d) / (1 + exp(d)) **
    2. Support: all numbers.

    Args:
        temperature: positive; the nearer to 0, the nearer to a Bernoulli number.
        probs: the probability of 1 at temperature 0.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.
    """

    arg_constraints = constraints.of(
        temperature=constraints.positive, **Bernoulli.arg_constraints
    )
    support = constraints.real
    has_rsample = True
    has_enumerate_support = False
    temperature: Tensor

    def __init__(
        self,
        temperature: Number,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of(type(self).__name__, probs=probs, logits=logits)
        parameters = {"temperature": temperature, **given}
        Distribution.__init__(self, parameters, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.logits / self.temperature

    @property
    def mode(self) -> Tensor:
        return self.logits / self.temperature

    @property
    def variance(self) -> Tensor:
        return plait.square(math.pi / self.temperature) / 3

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = keys_of(key, 2)
        dtype = self.temperature.dtype
        # The logarithm of the ratio of two exponential numbers is logistic.
        above = plait.log(standard_exponential(first, shape, dtype))
        below = plait.log(standard_exponential(second, shape, dtype))
        return (self.logits + above - below) / self.temperature

    def log_prob(self, value: Number) -> Tensor:
        d = self.logits - self.temperature * self._value(value)
        fall = plait.log_sigmoid(d) + plait.log_sigmoid(-d)
        return plait.log(self.temperature) + fall

    def entropy(self) -> Tensor:
        return 2 - plait.log(self.temperature)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"temperature": np.array(0.7), "logits": array(0.5, -2)}
        return [Sample(parameters, array([0.3, -1], [4, -6]))]


class RelaxedBernoulli(TransformedDistribution):
    """A number between 0 and 1 that is near to one of them, and smooth in `probs`.

    It is the sigmoid of a `LogitRelaxedBernoulli` number.

    Density: that of `LogitRelaxedBernoulli` at log(x / (1 - x)), over x * (1 - x).
    Support: 0 to 1.

    Args:
        temperature: positive; the nearer to 0, the nearer to a Bernoulli number.
        probs: the probability of 1 at temperature 0.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.

    Source: C. J. Maddison, A. Mnih, Y. W. Teh, "The concrete distribution", 2017.
    """

    arg_constraints = LogitRelaxedBernoulli.arg_constraints
    support = constraints.unit_interval
    has_rsample = True
    base_dist: LogitRelaxedBernoulli

    def __init__(
        self,
        temperature: Number,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        """How far from a Bernoulli number."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        """The probability of 1 at temperature 0."""
        return self.base_dist.probs

    @property
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        return self.base_dist.logits

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                {"temperature": np.array(0.7), "logits": array(0.5, -2)},
                array(0.3, 0.01),
            ),
            Sample(
                {"temperature": array(0.7, 2), "probs": array(0.3, 0.8)},
                array(0.9, 0.4),
            ),
        ]


class ExpRelaxedCategorical(OneHotCategorical):
    """The logarithm of a `RelaxedOneHotCategorical` vector.

    Density: with s = logits - temperature * x, gamma(k) * temperature ** (k - 1) times
    the product of softmax(s). Support: vectors whose exponentials sum to 1.

    Args:
        temperature: positive, a number or of the batch shape.
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.
    """

    support = constraints.real_vector
    has_rsample = True
    has_enumerate_support = False

    def __init__(
        self,
        temperature: Number,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args)
        positive = constraints.positive
        number = isinstance(temperature, (int, float)) and validate_args is not False
        x: Tensor = plait.asarray(temperature, dtype=self.logits.dtype)
        if (number or validate_args) and not known(positive.check(x).all()):
            self._refuse("temperature", temperature, positive)
        self.temperature = plait.expand_dims(x, -1) if x.ndim else x
        self._settings["temperature"] = temperature

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        logits = self.logits
        gumbel = -plait.log(standard_exponential(key, shape, logits.dtype))
        return plait.log_softmax((logits + gumbel) / self.temperature, -1)

    def log_prob(self, value: Number) -> Tensor:
        k = self._count()
        scores = self.logits - self.temperature * self._value(value)
        fall = plait.log_softmax(scores, -1).sum(axis=-1)
        heat = plait.log(self.temperature)
        heat = plait.squeeze(heat, axis=-1) if heat.ndim else heat
        return fall + (k - 1) * heat + math.lgamma(k)

    @property
    def mean(self) -> Tensor:
        raise self._lacks("mean in closed form")

    @property
    def mode(self) -> Tensor:
        raise self._lacks("mode in closed form")

    @property
    def variance(self) -> Tensor:
        raise self._lacks("variance in closed form")

    def entropy(self) -> Tensor:
        raise self._lacks("entropy in closed form")

    @staticmethod
    def samples() -> list[Sample]:
        value = array([-1.5, -1.2, -0.7473], [-3, -2, -0.2053])
        return [
            Sample({"temperature": np.array(0.7), "logits": array(0.5, -2, 1)}, value)
        ]


class RelaxedOneHotCategorical(TransformedDistribution):
    """A vector near to one with a single 1, and smooth in `probs`.

    It is the softmax of Gumbel numbers around the logits, over the temperature.

    Density: that of `ExpRelaxedCategorical` at log(x), over the product of x.
    Support: positive numbers whose sum is 1.

    Args:
        temperature: positive, a number or of the batch shape; the nearer to 0, the
            nearer to a single 1.
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.

    Source: C. J. Maddison, A. Mnih, Y. W. Teh, "The concrete distribution", 2017.
    """

    support = constraints.simplex
    has_rsample = True
    base_dist: ExpRelaxedCategorical

    def __init__(
        self,
        temperature: Number,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        """How far from a single 1."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        """The probabilities at temperature 0."""
        return self.base_dist.probs

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return self.base_dist.logits

    @staticmethod
    def samples() -> list[Sample]:
        value = array([0.2, 0.3, 0.5], [0.7, 0.25, 0.05])
        return [
            Sample({"temperature": np.array(0.7), "logits": array(0.5, -2, 1)}, value),
            Sample(
                {"temperature": np.array(2.0), "probs": array(0.2, 0.3, 0.5)}, value
            ),
        ]
