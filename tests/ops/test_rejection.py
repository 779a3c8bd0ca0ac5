"""Numbers drawn by rejection: how often, in which distribution, and in what order."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from plait.dtypes import float64, uint32
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import counts, distribution, elementwise, random, rejection, source
from plait.ops.philox import key_of
from plait.transform.batch import batch

from .op_checks import value, values

KEY = key_of(2024, 9)


def a_third(key, shape, low):
    """Accept the third of uniform numbers that lies above 2 / 3."""
    u = random.unit_uniform(key, shape, float64)
    return elementwise.add(u, low), elementwise.greater(u, 2 / 3)


@pytest.mark.parametrize("n", [0, 1, 100, 5000, 60000])
def test_what_was_rejected_is_drawn_again(n):
    low = np.arange(n) % 7
    found = value(
        lambda key, low: rejection.settled(key, (n,), [low], a_third, 2 / 3),
        *(KEY, low.astype(float)),
    )
    rest = found - low
    assert ((rest > 2 / 3) & (rest < 1)).all()
    assert len(np.unique(found)) == n
    if n > 1000:
        exact = scipy.stats.uniform(2 / 3, 1 / 3)
        for part in (rest, rest[: n // 2], rest[low == 3]):
            assert scipy.stats.kstest(part, exact.cdf).pvalue > 1e-4
        assert abs(np.corrcoef(rest[1:], rest[:-1])[0, 1]) < 4 / np.sqrt(n)


def test_scalars_and_batches():
    def op(key):
        low = source.constant(1.0, float64)
        return rejection.settled(key, (50, 100), [low], a_third, 2 / 3)

    keys = np.stack([KEY, key_of(1, 2)])
    single = make_input((4,), uint32)
    full = make_input((2, 4), uint32)
    ((result, batched),) = batch([op(single)], {single: full})
    assert batched
    (found,) = interpret(Graph([full], [result]), [keys])
    for i in range(2):
        alone = value(op, keys[i])
        np.testing.assert_array_equal(found[i], alone)
        assert alone.shape == (50, 100)
        assert alone.min() > 1 + 2 / 3


@pytest.mark.parametrize(
    ("trial", "parameters", "rejected"),
    [
        (counts._poisson_trial, [[10.0, 11, 14, 30, 1e3, 1e7]], 0.25),
        (
            lambda key, shape, n, p: counts._binomial_trial(
                key, shape, n, p, highest(n, p)
            ),
            [[20.0, 100, 1000, 1e6, 1e6, 1e9], [0.5, 0.1, 0.01, 1e-5, 0.5, 0.3]],
            0.36,
        ),
        (distribution._gamma_trial, [[2 / 3, 1.0, 3, 1e3, 1e7, 1e12]], 0.05),
        (distribution._angle_trial, [[1e-12, 0.1, 1.0, 10, 1e4, 1e15]], 0.35),
    ],
)
def test_trials_reject_as_seldom_as_they_say(trial, parameters, rejected):
    n = 20000
    arrays = [np.array(x) for x in parameters]
    _, accepted = values(lambda key, *x: trial(key, (n, 6), *x), KEY, *arrays)
    assert (1 - accepted.mean(0)).max() < rejected
    assert (1 - accepted.mean(0)).max() > 0.6 * rejected, "a closer bound is known"


def highest(n, p):
    mode = elementwise.floor(elementwise.multiply(elementwise.add(n, 1), p))
    return counts._log_weight(mode, n, p)
