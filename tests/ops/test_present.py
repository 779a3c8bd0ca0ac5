"""Reductions without nans, against NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from plait import errors
from plait.dtypes import bool_
from plait.ops import present
from plait.ops.elementwise import select
from plait.ops.source import constant

from .op_checks import check_derivatives, value

RNG = np.random.default_rng(4)


def draw(*shape):
    x = RNG.normal(size=shape)
    x[RNG.random(shape) < 0.3] = np.nan
    return x


CUBE = draw(3, 4, 5)
CUBE[1, 2] = np.nan
CUBE[0, 0, :2] = 3.5
WHOLE = RNG.integers(0, 9, (3, 4))
NAMES = [
    "nansum",
    "nanprod",
    "nanmean",
    "nanvar",
    "nanstd",
    "nanmax",
    "nanmin",
    "nanmedian",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, 2)])
def test_reductions(name, axis):
    op, theirs = getattr(present, name), getattr(np, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keepdims in (False, True):
            expected = theirs(CUBE, axis=axis, keepdims=keepdims)
            found = value(op, CUBE, axis=axis, keepdims=keepdims)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    if axis in (None, 0, -1):
        expected = theirs(WHOLE, axis=axis)
        np.testing.assert_allclose(value(op, WHOLE, axis=axis), expected, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name):
    x = draw(3, 6)
    x[:, :2] = RNG.normal(size=(3, 2))
    hole = np.isnan(x)

    def op(full):
        return getattr(present, name)(select(
            constant(hole, bool_), np.nan, full
        ), 1)  # fmt: skip

    check_derivatives(op, [np.where(hole, 0.5, x)], second=name not in ("nanprod",))


def test_variance_with_correction():
    for correction in (1, 2.5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.nanvar(CUBE, axis=2, correction=correction)
        count = (~np.isnan(CUBE)).sum(2)
        found = value(present.nanvar, CUBE, axis=2, correction=correction)
        right = np.where(count > correction, expected, np.nan)
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_positions():
    x = draw(6, 9)
    x[:, 4] = 0.3
    for axis in (None, 0, 1):
        found = value(present.nanargmax, x, axis=axis)
        np.testing.assert_array_equal(found, np.nanargmax(x, axis=axis))
        found = value(present.nanargmin, x, axis=axis, keepdims=True)
        np.testing.assert_array_equal(found, np.nanargmin(x, axis=axis, keepdims=True))
    assert value(present.nanargmax, np.array([2, 7, 1])) == 1


@pytest.mark.parametrize("q", [0.0, 0.25, 0.6, 1.0, (0.1, 0.5), ()])
def test_quantiles(q):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for axis, keepdims in ((None, False), (1, True), ((0, 2), False)):
            share = list(q) if isinstance(q, tuple) else q
            expected = np.nanquantile(CUBE, share, axis=axis, keepdims=keepdims)
            found = value(present.nanquantile, CUBE, q=q, axis=axis, keepdims=keepdims)
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_infinities_and_half_precision():
    x = np.array([np.inf, np.inf, np.nan, -np.inf])
    assert value(present.nanmedian, x) == np.inf
    assert value(present.nanmin, x) == -np.inf
    x = np.full(5000, 20, np.float16)
    x[::2] = np.nan
    assert value(present.nanmean, x).dtype == np.float16
    assert value(present.nanmean, x) == 20
    assert value(present.nanvar, x) == 0


def test_wrong_arguments():
    with pytest.raises(errors.ArgumentError) as error:
        value(present.nanquantile, CUBE, q=1.5)
    assert error.value.message == (
        "[nanquantile] the shares must lie in 0..1. Got: 1.5. Expected: 0 to 1."
    )
    with pytest.raises(errors.ShapeError) as error:
        value(present.nanmedian, np.zeros((2, 0)), axis=1)
    assert error.value.message == (
        "[nanquantile] there is no value over zero elements. "
        "Got: axes (1,) of shape (2, 0)."
    )
