"""The incomplete gamma function against SciPy, and its derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.dtypes import float32
from plait.ops import incomplete

from .op_checks import check_derivatives, value

rng = np.random.default_rng(0)
A = np.concatenate([10 ** rng.uniform(-3, 4, 800), rng.uniform(0.1, 5, 200)])
# From far below to far above, most where there is something to see.
X = np.concatenate(
    [
        scipy.special.gammaincinv(A[:700], rng.uniform(1e-9, 1 - 1e-9, 700)),
        A[700:] * 10 ** rng.uniform(-2, 1, 300),
    ]
)


def test_values():
    found = value(incomplete.gammainc, A, X)
    np.testing.assert_allclose(
        found, scipy.special.gammainc(A, X), rtol=1e-10, atol=1e-300
    )
    found = value(incomplete.gammaincc, A, X)
    np.testing.assert_allclose(found, scipy.special.gammaincc(A, X), atol=1e-12)
    far = np.maximum(A, 2.5) < X
    np.testing.assert_allclose(
        found[far], scipy.special.gammaincc(A, X)[far], rtol=1e-10
    )


def test_values_at_the_ends():
    x = np.array([0.0, -1.0, np.inf, np.nan])
    np.testing.assert_array_equal(
        value(incomplete.gammainc, 2.0, x), [0, np.nan, 1, np.nan]
    )
    np.testing.assert_array_equal(
        value(incomplete.gammaincc, 2.0, x), [1, np.nan, 0, np.nan]
    )
    # SciPy of an `a` of 0, infinite, negative, and of nan.
    a = np.array([0.0, np.inf, np.inf, -1.0, np.nan, np.nan])
    x = np.array([0.5, 3.0, np.inf, 3.0, 0.0, 3.0])
    for own, theirs in (
        (incomplete.gammainc, scipy.special.gammainc),
        (incomplete.gammaincc, scipy.special.gammaincc),
    ):
        np.testing.assert_array_equal(value(own, a, x), theirs(a, x))


@pytest.mark.parametrize("op", [incomplete.gammainc, incomplete.gammaincc])
def test_derivatives(op):
    a = np.array([0.2, 0.7, 1.3, 4.0, 20.0, 3.0])
    x = np.array([0.1, 1.2, 2.5, 2.6, 24.0, 9.0])
    check_derivatives(op, [a, x], tolerance=1e-6)


def test_slope_is_that_of_the_quantile():
    a = np.array([0.05, 0.3, 0.9, 1.0, 2.5, 7.0, 60.0, 900.0])
    for p in (1e-4, 0.03, 0.4, 0.8, 0.999):
        x = scipy.special.gammaincinv(a, p)
        step = 1e-4 * a
        ahead, behind = (
            np.log(scipy.special.gammaincinv(a + sign * step, p)) for sign in (1, -1)
        )
        expected = (ahead - behind) / (2 * step)
        found = value(incomplete.loggamma_slope, a, np.log(x))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# a, log(x) and the slope, by mpmath 1.3 with 40 digits.
SLOPES = np.array(
    [
        (0.01, -60.0, 5943.911454213133),
        (0.01, 0.3, 49.164060129778846),
        (0.3, -4.0, 12.987290255633374),
        (0.3, 1.5, 1.0185885472219924),
        (1.0, 0.4, 0.9567246683348624),
        (1.0, 0.41, 0.9516668239075072),
        (1.5, 3.0, 0.15360951636351605),
        (2.5, 0.6, 0.49829464749262514),
        (2.5, 0.95, 0.4203236492222846),
        (10.0, 1.5, 0.14782487422967136),
        (10.0, 2.9, 0.07430438881342169),
        (200.0, 5.0, 0.005787625840253262),
        (200.0, 5.4, 0.004754059865415588),
        (1000.0, 6.9, 0.0010040499816119934),
    ]
)


def test_slope_to_all_digits():
    a, y, slope = SLOPES.T.copy()
    np.testing.assert_allclose(
        value(incomplete.loggamma_slope, a, y), slope, rtol=1e-12
    )


def test_slope_of_numbers_that_underflow():
    """For a small number the distribution function is a power of it."""
    a, y = np.array([0.001, 0.01]), np.array([-5000.0, -900.0])
    expected = (scipy.special.digamma(a + 1) - y) / a
    found = value(incomplete.loggamma_slope, a, y)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


# a, x and the lower part, by mpmath 1.3 from the integral, with 60 digits.
LARGE = np.array(
    [
        (25.0, 10.0, 4.6949381426799706e-5),
        (25.0, 25.0, 0.52660153144365064),
        (25.0, 30.0, 0.8427579727616084),
        (1000000.0, 997000.0, 0.0013381041673135997),
        (1000000.0, 1000000.0, 0.50013298076087259),
        (1000000.0, 1001000.0, 0.84134478636834029),
        (1000000000.0, 999905131.0, 0.0013494304244922981),
        (1000000000.0, 1000000000.0, 0.50000420522087006),
        (1000000000.0, 1000031623.0, 0.84134645546294143),
        (10000000000000.0, 9999990513166.0, 0.0013498928655781514),
        (10000000000000.0, 10000000000000.0, 0.5000000420522087),
        (10000000000000.0, 10000003162278.0, 0.84134477207172904),
    ]
)


def test_large_concentrations_to_all_digits():
    a, x, lower = LARGE.T.copy()
    found = value(incomplete.gammainc, a, x)
    np.testing.assert_allclose(found, lower, rtol=3e-14)
    upper = value(incomplete.gammaincc, a, x)
    np.testing.assert_allclose(upper, 1 - lower, rtol=1e-13)


def test_dtypes():
    a, x = A[::50].astype(np.float32), X[::50].astype(np.float32)
    found = value(incomplete.gammainc, a, x)
    assert found.dtype == np.float32
    double = scipy.special.gammainc(a.astype(float), x.astype(float))
    np.testing.assert_array_equal(found, double.astype(float32.numpy))
    with pytest.raises(errors.DTypeError, match=r"\[gammainc\] the element type"):
        value(incomplete.gammainc, np.array([1]), np.array([2]))
    assert math.isclose(value(incomplete.gammainc, 1.0, 1.0), 1 - math.exp(-1))
