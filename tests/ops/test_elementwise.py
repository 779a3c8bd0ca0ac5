"""The elementwise ops that are made of primitives, and what ops add to primitives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from plait import dtypes
from plait.dtypes import as_dtype
from plait.errors import DTypeError, ShapeError
from plait.ir.build import make_input
from plait.ops import elementwise as e

from .op_checks import (
    check_derivatives,
    gradient,
    interpret,
    like_torch,
    recorded,
    value,
)
from .torch_table import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
inf, nan = np.inf, np.nan
EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, inf, -inf, nan, 1e-300, 1e200, -1e200]
)
PAIRS = [np.array(line) for line in zip(*itertools.product(EDGES, EDGES), strict=True)]


def same(actual, expected, ulps=4):
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=ulps * 2.3e-16, atol=0)


def slopes(op, *arrays):
    """Return the cotangents of the operands for a cotangent of ones."""
    graph = recorded(op, arrays)
    ones = [np.ones(y.shape, y.dtype.numpy) for y in graph.outputs]
    return interpret(gradient(graph), [*arrays, *ones])


UNARY = {
    "log2": np.log2, "log10": np.log10, "exp2": np.exp2, "square": np.square,
    "reciprocal": np.reciprocal, "isnan": np.isnan, "isinf": np.isinf,
    "isfinite": np.isfinite, "rsqrt": lambda x: 1 / np.sqrt(x), "positive": np.positive,
    "logical_not": np.logical_not, "conj": np.conj, "real": np.real, "imag": np.imag,
}  # fmt: skip
BINARY = {
    "hypot": np.hypot, "greater": np.greater, "greater_equal": np.greater_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary_at_the_edges(name):
    with np.errstate(all="ignore"):
        same(value(getattr(e, name), EDGES), UNARY[name](EDGES))


@pytest.mark.parametrize("name", BINARY)
def test_binary_at_the_edges(name):
    same(value(getattr(e, name), *PAIRS), BINARY[name](*PAIRS))


def test_logaddexp_at_the_edges():
    with np.errstate(all="ignore"):
        expected = np.logaddexp(*PAIRS)
    np.testing.assert_allclose(value(e.logaddexp, *PAIRS), expected, rtol=1e-15)


def test_powers_of_two_are_exact():
    exponents = np.arange(-1070.0, 1024.0)
    expected = np.array([math.ldexp(1, int(n)) for n in exponents])
    np.testing.assert_array_equal(value(e.exp2, exponents), expected)


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint64])
def test_integers_are_round_already(name, dtype):
    x = np.array([0, 100], dtype)
    same(value(getattr(e, name), x), x)


@pytest.mark.parametrize("dtype", dtypes.INTEGERS, ids=lambda dtype: dtype.name)
def test_integers_are_finite(dtype):
    x = np.array([0, 100], dtype.numpy)
    for name in ("isnan", "isinf"):
        assert not value(getattr(e, name), x).any()
    assert value(e.isfinite, x).all()


def test_bool_has_no_arithmetic():
    x = make_input((2,), dtypes.bool_)
    for op in (e.add, e.multiply, e.pow, e.remainder):
        with pytest.raises(DTypeError, match="the element type is not accepted"):
            op(x, x)
    for op in (e.negative, e.abs, e.sign, e.square, e.positive, e.isnan, e.floor):
        with pytest.raises(DTypeError, match="the element type is not accepted"):
            op(x)


def test_integers_become_floating_point():
    x = np.array([1, 4])
    for op in (e.sqrt, e.exp, e.log2, e.exp2, e.sigmoid, e.rsqrt):
        assert value(op, x).dtype == np.float32
    for op in (e.divide, e.atan2, e.hypot, e.logaddexp, e.copysign):
        assert value(op, x, x).dtype == np.float32


def test_the_message_names_the_shapes_of_the_tensors():
    x, y = make_input((2,), dtypes.float32), make_input((3,), dtypes.float32)
    with pytest.raises(ShapeError, match=r"Got: \(2,\) and \(3,\), which clash"):
        e.add(x, y)
    assert e.add(1, 2).shape == ()


# --- clip


def test_clip():
    x = np.array([-2.0, -0.5, 0.5, 2.0, nan])
    same(value(e.clip, x, -1.0, 1.0), np.clip(x, -1.0, 1.0))
    same(value(lambda x: e.clip(x, 0), x), np.clip(x, 0, None))
    same(value(lambda x: e.clip(x, max=0), x), np.clip(x, None, 0))
    same(value(lambda x: e.clip(x), x), x)
    bounds = np.array([[0.0], [nan]])
    same(value(e.clip, x, bounds), np.clip(x, bounds, None))
    crossed = value(lambda x: e.clip(x, 1.0, -1.0), x)
    same(crossed, np.array([-1.0, -1.0, -1.0, -1.0, nan]))
    wide = value(e.clip, np.array([1, 9], np.int8), np.array(3, np.int64))
    same(wide, np.array([3, 9], np.int8))


def test_clip_refuses_what_has_no_value_in_its_dtype():
    x = make_input((2,), dtypes.int32)
    for bound in (0.5, make_input((), dtypes.float32)):
        with pytest.raises(DTypeError) as error:
            e.clip(x, bound)
        assert error.value.message == (
            "[clip] a bound is floating-point and the tensor is not. "
            "Got: a tensor of int32. "
            "Fix: cast one of them, for example with x.to(plait.float32)."
        )
    with pytest.raises(ShapeError, match=r"\[clip\] shapes do not broadcast"):
        e.clip(x, make_input((3,), dtypes.int32))


# --- selection


def test_where_gives_nothing_to_the_side_not_chosen():
    choice, x, y = np.array([True, False]), np.array([1.0, nan]), np.array([inf, 2.0])
    _, to_x, to_y = slopes(e.where, choice, x, y)
    np.testing.assert_array_equal(to_x, [1, 0])
    np.testing.assert_array_equal(to_y, [0, 1])


def test_where_refuses():
    x = make_input((2,), dtypes.float32)
    with pytest.raises(DTypeError, match="the condition must be bool"):
        e.where(x, x, x)
    with pytest.raises(ShapeError, match=r"\[where\] shapes do not broadcast"):
        e.where(make_input((3,), dtypes.bool_), x, x)


# --- derivatives


def draw(*shape, low=0.3, high=2.0, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


@pytest.mark.parametrize(
    "name", ["log2", "log10", "exp2", "square", "reciprocal", "rsqrt"]
)
def test_derivatives_of_unary(name):
    check_derivatives(getattr(e, name), [draw(3)])


@pytest.mark.parametrize("name", ["hypot", "logaddexp"])
def test_derivatives_of_binary(name):
    check_derivatives(getattr(e, name), [draw(2, 3), draw(3, seed=1)])


@needs_torch
def test_derivatives_at_the_edges_are_those_of_torch():
    x = np.array([0.0, 1.0, -1.0, 2.0, 0.0, 5.0])
    y = np.array([0.0, 1.0, 2.0, -inf, 3.0, -700.0])
    like_torch(e.logaddexp, lambda x, y: torch.logaddexp(x, y), [x, y])
    at_bounds = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    like_torch(lambda x: e.clip(x, -1, 1), lambda x: torch.clamp(x, -1, 1), [at_bounds])
    like_torch(e.maximum, lambda x, y: torch.maximum(x, y), [x, x[::-1].copy()])
    like_torch(e.abs, lambda x: torch.abs(x), [x])
    powers = np.array([0.0, 1.0, 2.0, -1.0, 0.5, 0.0])
    like_torch(e.pow, lambda x, y: torch.pow(x, y), [np.abs(x), powers])
    like_torch(e.atan2, lambda x, y: torch.atan2(x, y), [x, powers])


def test_the_derivative_of_the_length_of_nothing_is_zero():
    for slope in slopes(e.hypot, np.zeros(1), np.zeros(1)):
        np.testing.assert_array_equal(slope, [0.0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_derivatives_keep_the_dtype(dtype):
    x = np.array([0.5, 0.25], as_dtype(dtype).numpy)
    for op in (e.log2, e.exp2, e.square, e.reciprocal, e.rsqrt, e.sigmoid):
        (slope,) = slopes(op, x)
        assert slope.dtype == x.dtype
    for op in (e.hypot, e.logaddexp, e.pow, e.maximum, e.atan2):
        assert all(slope.dtype == x.dtype for slope in slopes(op, x, x))


# --- references that take another way for many elements


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
def test_selecting_among_many_elements(dtype):
    rng = np.random.default_rng(0)
    shape = (70, 50)
    x, y = (rng.integers(0, 2, shape).astype(dtype.numpy) for _ in range(2))
    if dtype.is_float:
        x[rng.random(shape) < 0.2] = nan
        y[rng.random(shape) < 0.2] = -0.0
    condition = rng.random(shape) < 0.5
    for one, other in ((x, y), (x, np.broadcast_to(y[:1, :1], shape)), (x.T, y.T)):
        mask = condition.reshape(one.shape)
        found = e.SELECT.reference(mask, one, other)
        assert found.dtype == dtype.numpy
        assert found.tobytes() == np.where(mask, one, other).tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_powers_of_many_numbers(dtype):
    with np.errstate(all="ignore"):
        x, y = (np.tile(line, 3).astype(dtype) for line in PAIRS)
        right = np.power(x, y)
    found = e.POWER.reference(x, y)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, right)
    known = ~np.isnan(right)  # the sign of a nan means nothing
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(right[known]))
