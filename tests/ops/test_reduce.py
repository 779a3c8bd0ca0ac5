"""What the reductions do at the edges, in small types, and their derivatives.

Random shapes and axes are in `test_shapes.py`.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from plait import dtypes
from plait.errors import ArgumentError, AxisError
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import reduce

from .op_checks import check_derivatives, gradient, like_torch, value
from .torch_table import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
inf, nan = np.inf, np.nan


def draw(*shape):
    return np.random.default_rng(shape).normal(size=shape)


# --- element types


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
def test_sums_are_wide_as_the_standard_asks(dtype):
    x = np.ones((2, 3), dtype.numpy)
    wide = {"bool": np.int64, "signed": np.int64, "unsigned": np.uint64}
    expected = wide.get(dtype.kind, dtype.numpy)
    for op in (reduce.sum, reduce.prod):
        assert value(op, x, axis=0).dtype == expected
        assert value(op, x, dtype=dtypes.float32).dtype == np.float32
    for op in (reduce.cumulative_sum, reduce.cumulative_prod):
        assert value(op, x, axis=0).dtype == expected
    mean = value(reduce.mean, x)
    assert mean.dtype == (dtype.numpy if dtype.is_float else np.float32)
    assert value(reduce.count_nonzero, x) == 6
    for op in (reduce.max, reduce.min):
        assert value(op, x).dtype == dtype.numpy
    assert value(reduce.argmax, x) == 0


def test_small_integers_do_not_overflow():
    assert value(reduce.sum, np.full(100, 100, np.int8)) == 10_000
    assert value(reduce.sum, np.full(100, True)) == 100
    assert value(reduce.sum, np.full(100, 100, np.int8), dtype=dtypes.int8) == 16


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_floats_are_accumulated_in_float32(dtype):
    x = np.full(3000, 100, dtype)
    assert value(reduce.mean, x) == 100
    assert value(reduce.var, x) == 0
    assert value(reduce.std, np.array([-300, 300] * 2000, dtype)) == dtype(300)
    ones = np.ones(3000, dtype)
    assert value(reduce.sum, ones) == dtype(3000)
    assert value(reduce.logsumexp, np.zeros(70_000, dtype)) == dtype(np.log(70_000))
    for op in (reduce.mean, reduce.var, reduce.std, reduce.logsumexp):
        assert value(op, x).dtype == dtype


# --- the edges


def test_logsumexp_at_the_edges():
    x = np.array([[1000.0, 1000.0], [-inf, -inf], [inf, 0.0], [nan, 0.0], [-inf, 0.0]])
    expected = [1000 + np.log(2), -inf, inf, nan, 0.0]
    np.testing.assert_allclose(value(reduce.logsumexp, x, axis=1), expected)
    assert value(reduce.logsumexp, np.zeros((2, 0)), axis=1).tolist() == [-inf, -inf]


def test_variance_needs_more_elements_than_the_correction():
    with np.errstate(all="ignore"):
        x = np.array([2.0])
        assert np.isnan(value(reduce.var, x, correction=1))
        assert np.isnan(value(reduce.std, x, correction=2.5))
    x = draw(3, 4)
    np.testing.assert_allclose(
        value(reduce.var, x, axis=0, correction=1), np.var(x, axis=0, ddof=1)
    )


def test_nan_wins():
    x = np.array([1.0, nan, 3.0])
    assert np.isnan(value(reduce.max, x))
    assert np.isnan(value(reduce.min, x))
    assert value(reduce.argmax, x) == value(reduce.argmin, x) == 1
    running = value(reduce.cumulative_max, x, axis=0)
    np.testing.assert_array_equal(running, [1, nan, nan])
    assert value(reduce.any, x)
    assert value(reduce.all, x)


def test_running_reductions():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    with_start = value(reduce.cumulative_sum, x, axis=1, include_initial=True)
    np.testing.assert_array_equal(with_start, [[0, 1, 3], [0, 3, 7]])
    with_start = value(reduce.cumulative_prod, x, axis=0, include_initial=True)
    np.testing.assert_array_equal(with_start, [[1, 1], [1, 2], [3, 8]])
    assert value(reduce.cumulative_sum, np.arange(3)).tolist() == [0, 1, 3]
    with pytest.raises(ArgumentError, match="axis must be given"):
        reduce.cumulative_sum(make_input((2, 2), dtypes.float32))


def test_diff():
    x, first, last = np.array([1, 4, 9]), np.array([0]), np.array([16, 25])
    joined = value(lambda x, a, b: reduce.diff(x, prepend=a, append=b), x, first, last)
    assert joined.tolist() == [1, 3, 5, 7, 9]
    assert value(reduce.diff, x, n=5).tolist() == []
    assert value(reduce.diff, np.array([True, False, False])).tolist() == [True, False]
    with pytest.raises(ArgumentError, match="n must not be negative"):
        reduce.diff(make_input((2,), dtypes.float32), n=-1)


def test_an_axis_that_does_not_exist():
    x = make_input((2, 3), dtypes.float32)
    for op in (reduce.sum, reduce.max, reduce.mean, reduce.logsumexp, reduce.all):
        with pytest.raises(AxisError) as error:
            op(x, 2)
        assert error.value.message == (
            f"[{op.__name__}] the tensor has no such axis. "
            "Got: axis=2 for a tensor of 2 axes. Expected: -2 to 1."
        )
        with pytest.raises(AxisError, match="named twice"):
            op(x, (1, -1))


# --- derivatives


@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "logsumexp", "max"]
)
def test_derivatives(name, axis):
    check_derivatives(getattr(reduce, name), [draw(2, 3, 2)], axis=axis)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod", "diff"])
def test_derivatives_of_running_reductions(name):
    check_derivatives(getattr(reduce, name), [draw(3, 2)], axis=0)


def test_running_products_with_zeros_have_exact_derivatives():
    rows = [[2.0, 0.0, 3.0, 5.0], [0.0, 0.0, 2.0, 3.0], [1.0, 2.0, 4.0, 0.0]]
    check_derivatives(reduce.cumulative_prod, [np.array(rows)], axis=1)


def test_long_running_reductions_have_gradients_that_take_no_table():
    x = make_input((4, 50), dtypes.float64, differentiable=True)
    for op in (reduce.cumulative_prod, reduce.cumulative_max):
        graph = gradient(Graph([x], [op(x, axis=1)]))
        assert max(node.size for node in graph.nodes()) == x.size


@needs_torch
def test_derivatives_at_the_edges_are_those_of_torch():
    zeros = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 2.0], [1.0, 2.0, 4.0]])
    like_torch(reduce.prod, lambda x: torch.prod(x, 1), [zeros], axis=1)
    like_torch(reduce.cumulative_prod, lambda x: torch.cumprod(x, 1), [zeros], axis=1)
    ties = np.array([[2.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    like_torch(reduce.max, lambda x: torch.amax(x, 1), [ties], axis=1)
    like_torch(reduce.min, lambda x: torch.amin(x, 1), [ties], axis=1)
    low = np.array([[-inf, 0.0], [1e3, -1e3]])
    like_torch(reduce.logsumexp, lambda x: torch.logsumexp(x, 1), [low], axis=1)


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.uint16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5000), (2, 64, 2100), (50, 3, 50)])
def test_positions_in_many_short_lines(dtype, shape):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, shape).astype(dtype)
    if dtype not in (np.int8, np.uint16):
        x[rng.random(shape) < 0.1] = nan
    for axis in range(x.ndim - 1):
        for op, right in ((reduce.ARGMAX, np.argmax), (reduce.ARGMIN, np.argmin)):
            found = op.reference(x, axis=axis)
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, right(x.astype(float), axis))
