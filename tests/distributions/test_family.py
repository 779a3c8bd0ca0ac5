"""Exponential families of one's own: entropy and divergence from the normaliser."""

from __future__ import annotations

import numpy as np
import pytest

import plait
from plait import distributions, errors
from plait.distributions import ExponentialFamily, constraints, kl_divergence


class Exponential(ExponentialFamily):
    """Exponential numbers, known by their normaliser alone."""

    arg_constraints = constraints.of(rate=constraints.positive)

    def __init__(self, rate):
        super().__init__({"rate": rate})

    @property
    def _natural_params(self):
        return (-self.rate,)

    def _log_normalizer(self, x):
        return -plait.log(-x)


class Vectors(ExponentialFamily):
    """Dirichlet distributed vectors, whose natural parameter is a vector."""

    arg_constraints = constraints.of(
        concentration=constraints.independent(constraints.positive, 1)
    )

    def __init__(self, concentration):
        super().__init__({"concentration": concentration}, concentration.shape[-1:])

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return plait.lgamma(x).sum(axis=-1) - plait.lgamma(x.sum(axis=-1))

    @property
    def _mean_carrier_measure(self):
        logs = plait.digamma(self.concentration)
        logs = logs - plait.digamma(self.concentration.sum(axis=-1, keepdims=True))
        return -logs.sum(axis=-1)


NUMBERS = [plait.tensor(np.array(x)) for x in ([0.5, 2.0], [1.5, 0.3])]
VECTORS = [
    plait.tensor(np.array(x))
    for x in ([[0.8, 2.0, 3.0], [1.0, 1.0, 2.0]], [[1.5, 0.7, 2.0], [3.0, 1.0, 0.4]])
]
CASES = [
    (Exponential, distributions.Exponential, NUMBERS),
    (Vectors, distributions.Dirichlet, VECTORS),
]


@pytest.mark.parametrize(("mine", "known", "parameters"), CASES)
def test_entropy_and_divergence_are_those_of_the_formulas(mine, known, parameters):
    for x in parameters:
        expected = known(x).entropy().numpy()
        np.testing.assert_allclose(mine(x).entropy().numpy(), expected, rtol=1e-12)
    found = kl_divergence(*map(mine, parameters)).numpy()
    expected = kl_divergence(*map(known, parameters)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_derivatives_flow_through():
    rate = NUMBERS[0]
    slopes = plait.grad(lambda x: Exponential(x).entropy().sum())(rate)
    np.testing.assert_allclose(slopes.numpy(), -1 / rate.numpy(), rtol=1e-12)


def test_errors():
    with pytest.raises(errors.ArgumentError, match="of one exponential family"):
        kl_divergence(Exponential(NUMBERS[0]), Vectors(VECTORS[0]))
    with pytest.raises(errors.ArgumentError, match="there is no _natural_params"):
        ExponentialFamily({}).entropy()
