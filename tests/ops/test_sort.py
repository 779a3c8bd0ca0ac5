"""Sorting, the largest few, search and quantiles, against NumPy, PyTorch and loops."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plait import dtypes, errors
from plait.ir.build import make_input
from plait.ops import sort

from .op_checks import (
    check_batch_rule,
    check_derivatives,
    like_torch,
    value,
    values,
)
from .torch_table import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
nan, inf = np.nan, np.inf
EDGES = np.array([2.0, nan, -0.0, inf, 0.0, -inf, nan, 2.0, -0.0])


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def apart(*shape):
    """Return numbers so far apart that small steps do not change their order."""
    return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape) * 0.1


def compare(a, b):
    """Order two numbers, nan above all."""
    if np.isnan(a) or np.isnan(b):
        return int(np.isnan(a)) - int(np.isnan(b))
    return int(a > b) - int(a < b)


def order(line, descending):
    """Return the stable order of a vector, by the sort of Python, which is stable."""
    key = functools.cmp_to_key(
        lambda i, j: (-1 if descending else 1) * compare(line[i], line[j])
    )
    return sorted(range(len(line)), key=key)


ELEMENTS = st.sampled_from([nan, inf, -inf, 0.0, -0.0, 1.0, 2.0, -3.0])
TENSORS = hnp.arrays(
    float,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    elements=ELEMENTS,
)


# --- sort


@settings(deadline=None)
@given(TENSORS, st.data(), st.booleans())
def test_sort_is_stable_in_both_directions(x, data, descending):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    places = value(sort.argsort, x, axis=axis, descending=descending)
    got = value(sort.sort, x, axis=axis, descending=descending)
    right = np.apply_along_axis(order, axis, x, descending) if x.size else places
    np.testing.assert_array_equal(places, right)
    expected = np.take_along_axis(x, places, axis)
    np.testing.assert_array_equal(got, expected)
    assert (np.signbit(got) == np.signbit(expected)).all()
    if not descending:
        np.testing.assert_array_equal(got, np.sort(x, axis))


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("descending", [False, True])
def test_sort_takes_every_dtype(dtype, descending):
    x = np.array([3, 0, 1, 3, 0, 250, 1]).astype(np.uint8).astype(dtype.numpy)
    got = value(sort.sort, x, descending=descending)
    right = np.array(sorted(x.tolist(), reverse=descending)).astype(dtype.numpy)
    np.testing.assert_array_equal(got, right)
    places = value(sort.argsort, x, descending=descending)
    assert places.dtype == np.int64
    assert places.tolist() == order(x.astype(float), descending)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_sort_puts_nan_last_and_first(dtype):
    x = EDGES.astype(dtype)
    got = value(sort.sort, x).astype(float)
    np.testing.assert_array_equal(got, np.sort(EDGES))
    got = value(sort.sort, x, descending=True).astype(float)
    np.testing.assert_array_equal(got, np.sort(EDGES)[::-1])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_has_its_gradient(axis, descending):
    x = apart(3, 4, 2)
    check_derivatives(sort.sort, [x], axis=axis, descending=descending)


@needs_torch
@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_torchs(descending):
    x = np.array([[3.0, 1.0, 3.0, nan], [1.0, 1.0, inf, -2.0]])
    like_torch(
        functools.partial(sort.sort, descending=descending),
        lambda x: torch.sort(x, descending=descending, stable=True).values,
        [x],
    )
    places = torch.argsort(torch.tensor(x), descending=descending, stable=True)
    got = value(sort.argsort, x, descending=descending)
    np.testing.assert_array_equal(got, places.numpy())


def test_sort_refuses_a_scalar():
    with pytest.raises(errors.AxisError, match=r"\[sort\] the tensor has no such axis"):
        sort.sort(make_input((), dtypes.float32))
    with pytest.raises(errors.AxisError, match=r"\[argsort\]"):
        sort.argsort(make_input((2,), dtypes.float32), axis=1)


@pytest.mark.parametrize("axis", [0, 1])
def test_batch_rules_agree_with_a_loop(axis):
    x = draw(3, 4, 5)
    attributes = {"axis": axis, "stable": True}
    check_batch_rule(sort.SORT, [x], [True], descending=True, **attributes)
    check_batch_rule(sort.TOP_K, [x], [True], axis=axis, k=2)


# --- the largest few


@settings(deadline=None)
@given(TENSORS, st.data(), st.integers(1, 4))
def test_top_k_is_the_front_of_a_stable_sort(x, data, times):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    x = np.concatenate([x] * times * times, axis)  # so that some are long
    k = data.draw(st.integers(0, x.shape[axis]))
    found, places = values(sort.top_k, x, k=k, axis=axis)
    right = value(sort.argsort, x, axis=axis, descending=True)
    right = np.take(right, range(k), axis)
    np.testing.assert_array_equal(places, right)
    np.testing.assert_array_equal(found, np.take_along_axis(x, right, axis))


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("k", [1, 3, 40])
def test_top_k_takes_every_dtype(dtype, k):
    x = np.random.default_rng(0).integers(0, 9, (2, 50)).astype(dtype.numpy)
    found, places = values(sort.top_k, x, k=k)
    right = np.argsort(-x.astype(float), 1, kind="stable")[:, :k]
    np.testing.assert_array_equal(places, right)
    np.testing.assert_array_equal(found, np.take_along_axis(x, right, 1))


@pytest.mark.parametrize(("k", "axis"), [(1, 1), (3, 1), (2, 0), (0, 1)])
def test_top_k_has_its_gradient(k, axis):
    check_derivatives(lambda x: sort.top_k(x, k, axis=axis)[0], [apart(3, 30)])


@needs_torch
def test_top_k_is_torchs():
    x = draw(3, 40)
    x[1, 4] = nan
    like_torch(lambda x: sort.top_k(x, 3)[0], lambda x: torch.topk(x, 3).values, [x])


def test_top_k_refuses_too_many():
    x = make_input((2, 3), dtypes.float32)
    with pytest.raises(errors.ArgumentError, match="not so many elements"):
        sort.top_k(x, 4)
    with pytest.raises(errors.ShapeError, match="negative"):
        sort.top_k(x, -1)
    with pytest.raises(errors.ArgumentTypeError, match="integers"):
        sort.top_k(x, 1.5)


# --- search


@settings(deadline=None)
@given(
    hnp.arrays(float, st.integers(0, 9), elements=ELEMENTS),
    TENSORS,
    st.sampled_from(["left", "right"]),
)
def test_search_is_numpys(table, wanted, side):
    table = np.sort(table)
    got = value(sort.searchsorted, table, wanted, side=side)
    np.testing.assert_array_equal(got, np.searchsorted(table, wanted, side))


@settings(deadline=None)
@given(st.data(), st.sampled_from(["left", "right"]))
def test_search_in_rows_is_a_search_in_each(data, side):
    rows, n, m = (data.draw(st.integers(0, 6)) for _ in range(3))
    table = np.sort(data.draw(hnp.arrays(float, (rows, n), elements=ELEMENTS)), 1)
    wanted = data.draw(hnp.arrays(float, (rows, m), elements=ELEMENTS))
    got = value(sort.searchsorted, table, wanted, side=side)
    for line, row, result in zip(table, wanted, got, strict=True):
        np.testing.assert_array_equal(result, np.searchsorted(line, row, side))


def test_search_takes_many_axes_and_types():
    table, wanted = np.sort(draw(2, 3, 8)), draw(2, 3, 4)
    got = value(sort.searchsorted, table, wanted)
    for at in np.ndindex(2, 3):
        np.testing.assert_array_equal(got[at], np.searchsorted(table[at], wanted[at]))
    got = value(sort.searchsorted, np.array([1, 3, 5]), np.array(2.5))
    assert got == 1
    assert got.dtype == np.int64
    narrow = np.array([1, 2, 3]).astype(ml_dtypes.bfloat16)
    assert value(sort.searchsorted, narrow, narrow, side="right").tolist() == [1, 2, 3]


def test_search_takes_a_sorter():
    table, wanted = np.array([3.0, 1.0, 2.0]), np.array([1.5, 9.0])
    got = value(
        lambda x, y, s: sort.searchsorted(x, y, sorter=s),
        table,
        wanted,
        np.argsort(table),
    )
    assert got.tolist() == [1, 3]


@pytest.mark.parametrize("side", ["left", "right"])
def test_search_batch_rule_agrees_with_a_loop(side):
    rng = np.random.default_rng(0)

    def tables(*shape):
        return np.sort(rng.integers(0, 9, shape), -1)

    def wanted(*shape):
        return rng.integers(-1, 10, shape)

    check = functools.partial(check_batch_rule, sort.SEARCH_SORTED, side=side)
    check([tables(3, 5), wanted(3, 2, 2)], [True, True])
    check([tables(3, 5), wanted(2, 2)], [True, False])
    check([tables(5), wanted(3, 2, 2)], [False, True])
    check([tables(3, 2, 5), wanted(3, 2, 4)], [True, True])
    check([tables(2, 5), wanted(3, 2, 4)], [False, True])
    check([tables(3, 2, 5), wanted(2, 4)], [True, False])


def test_search_refuses_other_shapes():
    x = make_input((2, 3), dtypes.float32)
    with pytest.raises(errors.ShapeError, match="a vector is needed"):
        sort.searchsorted(x, make_input((3, 3), dtypes.float32))
    with pytest.raises(errors.ArgumentError, match="no such side"):
        sort.searchsorted(x, x, side="middle")


# --- quantiles

AXES = [None, 0, 1, -1, (0, 2), (2, 0, 1), ()]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 2, 3), (1, 1, 1)])
def test_median_is_numpys(axis, keepdims, shape):
    x = apart(*shape)
    got = value(sort.median, x, axis=axis, keepdims=keepdims)
    right = x if axis == () else np.median(x, axis, keepdims=keepdims)
    np.testing.assert_allclose(got, right)
    check_derivatives(sort.median, [x], axis=axis, keepdims=keepdims)


@pytest.mark.parametrize("axis", AXES[:-1])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 1, (0.25, 0.9), ()])
def test_quantile_is_numpys(axis, keepdims, method, q):
    x = draw(3, 4, 5)
    got = value(sort.quantile, x, q=q, axis=axis, keepdims=keepdims, method=method)
    right = np.quantile(x, np.array(q, float), axis, keepdims=keepdims, method=method)
    np.testing.assert_allclose(got, right, rtol=1e-12)


@pytest.mark.parametrize("q", [0.3, (0.0, 0.77)])
def test_quantile_has_its_gradient(q):
    check_derivatives(sort.quantile, [apart(3, 4)], q=q, axis=1)


@needs_torch
def test_quantile_is_torchs():
    like_torch(
        lambda x: sort.quantile(x, 0.3, 1),
        lambda x: torch.quantile(x, 0.3, 1),
        [draw(3, 4)],
    )


def test_quantiles_at_edges():
    x = np.array([[1.0, nan, 2.0], [inf, inf, 1.0], [-inf, -inf, -inf]])
    got = value(sort.median, x, axis=1)
    np.testing.assert_array_equal(got, [nan, inf, -inf])
    got = value(sort.quantile, x, q=0.75, axis=1)
    np.testing.assert_array_equal(got, [nan, inf, -inf])
    assert value(sort.median, np.array([1, 2])) == np.float32(1.5)
    assert value(sort.median, np.array([6e4, 6e4], np.float16)) == 6e4
    empty = make_input((0, 2), dtypes.float32)
    for function in (sort.median, functools.partial(sort.quantile, q=0.5)):
        with pytest.raises(errors.ShapeError, match="no value over zero elements"):
            function(empty, axis=0)
    with pytest.raises(errors.ArgumentError, match="must lie in"):
        sort.quantile(empty, 1.5, axis=1)
    with pytest.raises(errors.ArgumentError, match="no such method"):
        sort.quantile(empty, 0.5, axis=1, method="mean")
