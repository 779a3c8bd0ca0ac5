"""Arithmetic that is made of the elementary functions, against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait.ops import arithmetic

from .op_checks import check_derivatives, value
from .torch_compare import agree
from .torch_table import torch

EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 7.25, -7.25, np.inf, -np.inf, np.nan]
)
PAIRS = [g.ravel() for g in np.meshgrid(EDGES, EDGES)]
RNG = np.random.default_rng(3)


def draw(*shape):
    return RNG.uniform(0.3, 3.0, shape) * RNG.choice([-1, 1], shape)


def like_numpy(op, theirs, *arrays):
    with np.errstate(all="ignore"):
        expected = theirs(*arrays)
    np.testing.assert_allclose(value(op, *arrays), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("op", "theirs"),
    [
        (arithmetic.fmod, np.fmod), (arithmetic.fmax, np.fmax),
        (arithmetic.fmin, np.fmin), (arithmetic.heaviside, np.heaviside),
        (arithmetic.float_power, np.float_power),
        (arithmetic.logaddexp2, np.logaddexp2),
    ],
    ids=lambda x: x.__name__,
)  # fmt: skip
def test_of_two(op, theirs):
    like_numpy(op, theirs, *PAIRS)
    like_numpy(op, theirs, draw(3, 1), draw(4))
    if op is not arithmetic.heaviside:
        x, y = abs(draw(3, 4)), abs(draw(4))
        check_derivatives(op, [x, y], second=op is not arithmetic.fmod)


@pytest.mark.parametrize(
    ("op", "theirs"),
    [
        (arithmetic.deg2rad, np.deg2rad), (arithmetic.rad2deg, np.rad2deg),
        (arithmetic.sinc, np.sinc), (arithmetic.frac, lambda x: x - np.trunc(x)),
    ],
    ids=["deg2rad", "rad2deg", "sinc", "frac"],
)  # fmt: skip
def test_of_one(op, theirs):
    like_numpy(op, theirs, EDGES)
    found = value(op, np.array([3, -4]))
    np.testing.assert_allclose(found, theirs(np.array([3, -4])), atol=1e-5)
    check_derivatives(op, [draw(3, 4)])


def test_integers():
    x, y = np.array([7, -7, 7, -7, 3]), np.array([2, 2, -2, -2, 0])
    assert value(arithmetic.fmod, x, y).tolist() == [1, -1, 1, -1, 0]
    assert value(arithmetic.fmax, x, y).tolist() == [7, 2, 7, -2, 3]
    assert value(arithmetic.heaviside, y, np.array(5)).tolist() == [1, 1, 0, 0, 5]
    small = np.array([200], np.uint8)
    assert value(arithmetic.fmod, small, np.array([7], np.uint8)).tolist() == [4]
    assert value(arithmetic.float_power, x, 2).dtype == np.float64


def test_large_remainders_are_exact():
    x, y = np.array([1e17, 5.3]), np.array([3.0, 1e-3])
    np.testing.assert_array_equal(value(arithmetic.fmod, x, y), np.fmod(x, y))


def test_lerp():
    x, y = draw(3, 4), draw(4)
    for weight in (0.0, 0.3, 0.5, 1.0, 1.7):
        found = value(arithmetic.lerp, x, y, weight)
        np.testing.assert_allclose(found, x + weight * (y - x), rtol=1e-12)
    assert (value(arithmetic.lerp, np.full(4, 1e17), y, 1.0) == y).all()
    check_derivatives(arithmetic.lerp, [x, y, np.array([0.1, 0.6, -1.0, 1.5])])


def test_products_added():
    x, y, z = draw(3, 4), draw(4), draw(3, 1)
    for extra in ({}, {"value": -0.5}):
        scale = extra.get("value", 1)
        found = value(arithmetic.addcmul, x, y, z, **extra)
        np.testing.assert_allclose(found, x + scale * y * z)
        found = value(arithmetic.addcdiv, x, y, z, **extra)
        np.testing.assert_allclose(found, x + scale * y / z)
    check_derivatives(arithmetic.addcdiv, [x, y, z], value=2.0)


def test_divide_no_nan():
    found = value(
        arithmetic.divide_no_nan, np.array([1.0, 0, 3]), np.array([2.0, 0, 0])
    )
    assert found.tolist() == [0.5, 0, 0]
    check_derivatives(arithmetic.divide_no_nan, [draw(3), draw(3)])
    assert value(arithmetic.divide_no_nan, np.array([1]), np.array([0])).tolist() == [0]


def test_like_torch():
    if torch is None:
        pytest.skip("torch is not installed")
    x, y, w = draw(3, 4), draw(4), draw(3, 1)
    agree(arithmetic.fmod, torch.fmod, x, y)
    agree(arithmetic.fmax, torch.fmax, *PAIRS, derivative=False)
    agree(arithmetic.fmin, torch.fmin, x, y)
    agree(arithmetic.lerp, torch.lerp, x, y, w)
    agree(arithmetic.addcmul, torch.addcmul, x, y, w, value=0.3)
    agree(arithmetic.sinc, torch.sinc, EDGES[:8])
    agree(arithmetic.frac, torch.frac, x)
    agree(arithmetic.logaddexp2, torch.logaddexp2, x, y)
