"""Equality, nearness and membership, against NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from plait.ops import closeness

from .op_checks import check_derivatives, value

ODD = np.array([1.0, 1.0 + 1e-6, 0.0, np.inf, -np.inf, np.nan, 1e300])


@pytest.mark.parametrize("equal_nan", [False, True])
@pytest.mark.parametrize(("rtol", "atol"), [(1e-5, 1e-8), (0.0, 0.5), (0.1, 0.0)])
def test_isclose(equal_nan, rtol, atol):
    x, y = (g.ravel() for g in np.meshgrid(ODD, ODD))
    with np.errstate(all="ignore"):
        right = np.isclose(x, y, rtol, atol, equal_nan)
    settings = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    np.testing.assert_array_equal(value(closeness.isclose, x, y, **settings), right)
    for a in (x[right], x):
        b = y[right] if a is not x else y
        found = value(closeness.allclose, a, b, **settings)
        assert found == np.allclose(a, b, rtol, atol, equal_nan)


def test_isclose_of_integers():
    big = np.array([2**40, 2**40 + 2**30, 5])
    found = value(closeness.isclose, big, np.array([2**40 + 1, 2**40, 5]))
    assert found.tolist() == [True, False, True]
    assert value(closeness.isclose, np.array([True]), np.array([False])).tolist() == [0]


def test_array_equal():
    x = np.array([[1.0, np.nan]])
    assert not value(closeness.array_equal, x, x)
    assert value(closeness.array_equal, x, x, equal_nan=True)
    assert not value(closeness.array_equal, x, x[0], equal_nan=True)
    assert value(closeness.array_equal, np.arange(3), np.arange(3))
    assert not value(closeness.array_equal, np.arange(3), np.array([0, 1, 3]))


@pytest.mark.parametrize("count", [0, 1, 5, 32, 33, 200])
def test_isin(count):
    rng = np.random.default_rng(count)
    elements = rng.integers(0, 300, count)
    x = rng.integers(-5, 310, (20, 7))
    found = value(closeness.isin, x, elements)
    np.testing.assert_array_equal(found, np.isin(x, elements))
    found = value(closeness.isin, x, elements.reshape(1, -1), invert=True)
    np.testing.assert_array_equal(found, ~np.isin(x, elements))
    odd = np.concatenate([elements, [np.nan, np.inf]])
    numbers = np.array([np.nan, np.inf, -np.inf, 0.5])
    found = value(closeness.isin, numbers, odd)
    np.testing.assert_array_equal(found, np.isin(numbers, odd))


def test_infinities():
    for kind in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16):
        x = np.array([1.5, np.inf, -np.inf, np.nan]).astype(kind)
        assert value(closeness.isposinf, x).tolist() == [0, 1, 0, 0]
        assert value(closeness.isneginf, x).tolist() == [0, 0, 1, 0]
        found = value(closeness.nan_to_num, x)
        assert found.dtype == x.dtype
        limits = ml_dtypes.finfo(kind)
        assert found.tolist() == [1.5, limits.max, limits.min, 0]
        found = value(closeness.nan_to_num, x, nan=7.0, posinf=8.0, neginf=9.0)
        assert found.astype(float).tolist() == [1.5, 8, 9, 7]
    x = np.array([1, 2])
    assert value(closeness.isposinf, x).tolist() == [False, False]
    assert value(closeness.isneginf, x).tolist() == [False, False]
    assert value(closeness.nan_to_num, x).tolist() == [1, 2]
    check_derivatives(closeness.nan_to_num, [np.array([1.0, -2.0])])
