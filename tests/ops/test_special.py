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


def libm(function):
    return lambda x: np.array([function(v) for v in x.tolist()])


@pytest.mark.parametrize(
    ("op", "theirs", "x", "allowed"),
    [
        ("erf", libm(math.erf), rng.uniform(-7, 7, 20000), 5),
        ("erf", libm(math.erf), 10 ** rng.uniform(-300, 0, 1000), 5),
        ("erfc", libm(math.erfc), rng.uniform(-7, 26, 20000), 7),
        ("erfinv", scipy.special.erfinv, rng.uniform(-1, 1, 50000), 8),
        ("erfinv", scipy.special.erfinv, 1 - 10 ** rng.uniform(-16, -1, 2000), 8),
        ("erfinv", scipy.special.erfinv, 10 ** rng.uniform(-300, -1, 1000), 8),
        ("digamma", scipy.special.digamma, POSITIVE, 6),
    ],
)
def test_float64(op, theirs, x, allowed):
    assert ulps(value(getattr(special, op), x), theirs(x)) <= allowed


# x, lgamma(x) and digamma(x), computed with 40 digits by mpmath 1.3.
GAMMA = np.array(
    [
        (1e-5, 11.512919692895826, -100000.57719921567),
        (0.2, 1.5240638224307845, -5.289039896592188),
        (0.74, 0.21426754630508071, -1.1115481452162549),
        (0.76, 0.19254856099358999, -1.0607039633605222),
        (0.99, 0.0058548067647097815, -0.59378630405559516),
        (1.001, -0.00057639359828330615, -0.57557193181030065),
        (1.46, -0.12148500100400743, -0.0015805619870834521),
        (1.62, -0.10990006102141709, 0.1430768403689803),
        (1.999, -0.00042246180069210728, 0.42213919889235565),
        (2.03, 0.012971948363974556, 0.44195269912233636),
        (2.4, 0.21685932244884157, 0.65290116970059809),
        (2.6, 0.35741186354897984, 0.75104745277347629),
        (3.5, 1.2009736023470742, 1.1031566406452432),
        (7.9, 8.3242658680088096, 2.002238487563571),
        (11.99, 17.477885575426186, 2.4417922836683349),
        (12.01, 17.526738806509965, 2.4435303215624682),
        (50.3, 145.7372480775525, 3.9080317836496257),
        (1e6, 12815504.569147612, 13.815510057964191),
        (1e300, 6.8977552789821374e302, 690.77552789821371),
    ]
)


def test_gamma_to_all_digits():
    x, log, derivative = GAMMA.T.copy()
    assert ulps(value(special.lgamma, x), log) <= 4
    assert ulps(value(special.digamma, x), derivative) <= 4


def test_lgamma():
    # SciPy's loses its relative precision next to the zeros at 1 and 2.
    away = POSITIVE[(np.abs(POSITIVE - 1) > 0.1) & (np.abs(POSITIVE - 2) > 0.1)]
    assert ulps(value(special.lgamma, away), scipy.special.gammaln(away)) <= 60
    e = rng.normal(0, 1e-6, 500)
    zeta2 = math.pi**2 / 6
    for whole, first in ((1, -np.euler_gamma), (2, 1 - np.euler_gamma)):
        x = whole + e
        distance = x - whole
        series = distance * (first + (zeta2 - whole + 1) / 2 * distance)
        np.testing.assert_allclose(value(special.lgamma, x), series, rtol=1e-10)


def test_digamma_keeps_its_precision_at_its_root():
    root = 1.4616321449683622
    # The root, to 30 digits, less the number above is 9.549995429965697e-17.
    slope = scipy.special.polygamma(1, root)
    np.testing.assert_allclose(
        value(special.digamma, np.array(root)),
        -9.549995429965697e-17 * slope,
        rtol=1e-12,
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
    assert ulps(value(getattr(special, op), near), expected) <= 9


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("op", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_small_floats_are_rounded_once(op, dtype):
    x = rng.uniform(-0.99, 0.99, 1000).astype(dtype)
    found = value(getattr(special, op), x)
    assert found.dtype == dtype
    wide = value(getattr(special, op), x.astype(float)).astype(dtype)
    assert ulps(found, wide) <= (8 if op in ("erf", "erfc") else 0)


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
    inverse = [0.0, -0.0, nan, nan, nan, -inf, nan, inf, nan, tiny]
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
    check_derivatives(
        special.xlogy, [rng.uniform(0.5, 2, (2, 3)), rng.uniform(1, 2, 3)]
    )
    if torch is not None:
        # At (0, inf) and (0, 0) PyTorch's derivatives are inf and nan.
        keep = ~np.isnan(x) & (y < inf) & (y != 0)
        agree(special.xlogy, torch.xlogy, x[keep], y[keep])


@pytest.mark.parametrize("order", [-1, 101])
def test_the_order_is_checked(order):
    with pytest.raises(errors.ArgumentError) as caught:
        special.polygamma(order, make_input((), float32))
    assert caught.value.message == (
        f"[polygamma] the order is out of range. Got: {order}. Expected: 0 to 100."
    )
