"""The error and gamma functions against SciPy, in units in the last place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.dtypes import float32
from plait.ir.build import make_input
from plait.ops import special

from .op_checks import check_derivatives, value
from .torch_compare import agree
from .torch_table import torch

rng = np.random.default_rng(0)
inf, nan = np.inf, np.nan


def ulps(actual, expected):
    """Return how many units in the last place two arrays differ at most."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    differs = ~((actual == expected) | np.isnan(actual))
    a, e = actual[differs].astype(float), expected[differs].astype(float)
    unit = np.spacing(np.abs(expected[differs]).astype(actual.dtype)).astype(float)
    return np.max(np.abs(a - e) / unit, initial=0)


POSITIVE = np.concatenate(
    [
        rng.uniform(0, 3, 20000),
        rng.uniform(0, 40, 20000),
        10 ** rng.uniform(-300, 300, 2000),
        1 + rng.normal(0, 1e-6, 500),
        2 + rng.normal(0, 1e-6, 500),
    ]
)


@pytest.mark.parametrize(
    ("op", "theirs", "x", "allowed"),
    [
        ("erf", scipy.special.erf, rng.uniform(-7, 7, 50000), 5),
        ("erf", scipy.special.erf, 10 ** rng.uniform(-300, 0, 1000), 5),
        ("erfc", scipy.special.erfc, rng.uniform(-7, 5, 50000), 6),
        # Here SciPy itself is 500 units off.
        ("erfc", scipy.special.erfc, rng.uniform(5, 26, 5000), 600),
        ("erfinv", scipy.special.erfinv, rng.uniform(-1, 1, 50000), 8),
        ("erfinv", scipy.special.erfinv, 1 - 10 ** rng.uniform(-16, -1, 2000), 8),
        ("erfinv", scipy.special.erfinv, 10 ** rng.uniform(-300, -1, 1000), 8),
        ("digamma", scipy.special.digamma, POSITIVE, 6),
    ],
)
def test_float64(op, theirs, x, allowed):
    assert ulps(value(getattr(special, op), x), theirs(x)) <= allowed


def test_erfc_far_out():
    # Computed with 40 digits.
    x = np.array([6.0, 13.5, 20.25, 26.0])
    expected = np.array(
        [
            2.1519736712498913e-17,
            2.9247617530893186e-81,
            7.3164013405966085e-180,
            5.663192408856143e-296,
        ]
    )
    assert ulps(value(special.erfc, x), expected) <= 6


def test_lgamma():
    # SciPy's loses its relative precision next to the zeros at 1 and 2.
    away = POSITIVE[(np.abs(POSITIVE - 1) > 0.1) & (np.abs(POSITIVE - 2) > 0.1)]
    assert ulps(value(special.lgamma, away), scipy.special.gammaln(away)) <= 12
    e = rng.normal(0, 1e-6, 500)
    zeta2 = math.pi**2 / 6
    near_one = -np.euler_gamma * e + zeta2 / 2 * e**2
    near_two = (1 - np.euler_gamma) * e + (zeta2 - 1) / 2 * e**2
    for x, series in ((1 + e, near_one), (2 + e, near_two)):
        distance = x - np.rint(x)  # what adding 1 or 2 has left of e
        series = series / e * distance
        np.testing.assert_allclose(value(special.lgamma, x), series, rtol=1e-9)


def test_digamma_keeps_its_precision_at_its_root():
    root = 1.4616321449683622
    # The root, to 30 digits, less the number above is 9.549995429965697e-17.
    slope = scipy.special.polygamma(1, root)
    np.testing.assert_allclose(
        value(special.digamma, np.array(root)), -9.549995429965697e-17 * slope, rtol=1e-12
    )


def test_negative_arguments():
    x = -rng.uniform(0, 20, 5000)
    for op, theirs in (("lgamma", "gammaln"), ("digamma", "digamma")):
        right = getattr(scipy.special, theirs)(x)
        error = np.abs(value(getattr(special, op), x) - right)
        assert np.max(error / np.maximum(1, np.abs(right))) < 2e-12  # SciPy's own


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 20])
def test_polygamma(n):
    x = np.concatenate([rng.uniform(0, 3, 500), rng.uniform(0, 50, 500)])
    found = value(lambda x: special.polygamma(n, x), x)
    assert ulps(found, scipy.special.polygamma(n, x)) <= 30
    x = -rng.uniform(0, 6, 500)
    found = value(lambda x: special.polygamma(n, x), x)
    np.testing.assert_allclose(found, scipy.special.polygamma(n, x), rtol=1e-9)


def test_polygamma_of_order_zero_is_digamma():
    x = rng.uniform(0, 3, 10)
    found = value(lambda x: special.polygamma(0, x), x)
    np.testing.assert_array_equal(found, value(special.digamma, x))


@pytest.mark.parametrize("op", ["erf", "erfc"])
def test_float32(op):
    x = np.linspace(-5, 9, 200001).astype(np.float32)
    expected = getattr(scipy.special, op)(x.astype(float))
    found = value(getattr(special, op), x)
    assert found.dtype == np.float32
    assert ulps(found, expected) <= 11
    near = x[np.abs(x) < 5]
    expected = getattr(scipy.special, op)(near.astype(float))
    assert ulps(value(getattr(special, op), near), expected) <= 8


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("op", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_small_floats_are_rounded_once(op, dtype):
    x = rng.uniform(-0.99, 0.99, 1000).astype(dtype)
    found = value(getattr(special, op), x)
    assert found.dtype == dtype
    wide = value(getattr(special, op), x.astype(float)).astype(dtype)
    assert ulps(found, wide) <= (4 if op in ("erf", "erfc") else 0)


@pytest.mark.parametrize("size", [8191, 8192, 8193, 20000])
def test_blocks_join(size):
    x = np.linspace(-3, 3, size)
    found = value(special.erf, x)
    np.testing.assert_array_equal(found[-3:], value(special.erf, x[-3:]))
    np.testing.assert_array_equal(found, value(special.erf, x[::-1].copy())[::-1] * 1.0)


def test_edges():
    x = np.array([0.0, -0.0, inf, -inf, nan, -1.0, -2.0, 1.0, -1.5, 5e-324])

    def close(op, expected):
        found = value(getattr(special, op), x)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        same_sign = np.signbit(found) == np.signbit(expected)
        assert same_sign[~np.isnan(expected)].all()

    e1, e2, e15 = math.erf(1), math.erf(2), math.erf(1.5)
    tiny = 5e-324
    close("erf", np.array([0.0, -0.0, 1, -1, nan, -e1, -e2, e1, -e15, tiny]))
    close("erfc", np.array([1, 1, 0, 2, nan, 1 + e1, 1 + e2, 1 - e1, 1 + e15, 1]))
    inverse = [0.0, -0.0, nan, nan, nan, -inf, nan, inf, nan, 0]
    close("erfinv", np.array(inverse))
    logs = [inf, inf, inf, inf, nan, inf, inf, 0, math.lgamma(-1.5), math.lgamma(tiny)]
    close("lgamma", np.array(logs))
    psi = scipy.special.digamma(np.array([1, -1.5]))
    close("digamma", np.array([-inf, inf, inf, nan, nan, nan, nan, *psi, -inf]))


def test_derivatives():
    x = rng.uniform(-0.9, 0.9, 5)
    for op in (special.erf, special.erfc, special.erfinv):
        check_derivatives(op, [x], tolerance=1e-6)
    for op in (special.lgamma, special.digamma, lambda x: special.polygamma(2, x)):
        check_derivatives(op, [x + 1.5], tolerance=1e-6)


def test_xlogy():
    x = np.array([0.0, 0, 0, 0, 0, 0, 2, 2, 2, -1, nan])
    y = np.array([0.0, 1, 2, -1, inf, nan, 0, 3, -1, 2, 1])
    np.testing.assert_array_equal(value(special.xlogy, x, y), scipy.special.xlogy(x, y))
    check_derivatives(special.xlogy, [rng.uniform(0.5, 2, (2, 3)), rng.uniform(1, 2, 3)])
    if torch is not None:
        keep = ~np.isnan(x) & ~np.isnan(y)
        agree(special.xlogy, torch.xlogy, x[keep], y[keep])


@pytest.mark.parametrize("order", [-1, 101])
def test_the_order_is_checked(order):
    with pytest.raises(errors.ArgumentError) as caught:
        special.polygamma(order, make_input((), float32))
    assert caught.value.message == (
        f"[polygamma] the order is out of range. Got: {order}. Expected: 0 to 100."
    )
