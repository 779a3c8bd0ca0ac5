"""Functions whose shapes depend on values: repeat, nonzero, unique; against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import plait
from plait.dtypes import ALL
from plait.errors import ArgumentError, ArgumentTypeError, AxisError, ShapeError

small = arrays.arrays(
    st.sampled_from([np.int8, np.int64, np.uint16, bool, np.float32]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    elements=st.integers(0, 1),
)


@settings(deadline=None)
@given(small)
def test_unique_is_numpys(a):
    found = plait.unique_all(plait.asarray(a))
    expected = np.unique(a, return_index=True, return_counts=True)
    for x, y in zip((found.values, found.indices, found.counts), expected, strict=True):
        np.testing.assert_array_equal(x.numpy(), y)
    values, inverse = plait.unique_inverse(plait.asarray(a))
    assert inverse.shape == a.shape
    if a.size:
        np.testing.assert_array_equal(values[inverse].numpy(), a)
    assert found.values.dtype is plait.asarray(a).dtype
    for x in found[1:]:
        assert x.dtype is plait.int64
    np.testing.assert_array_equal(plait.unique_values(plait.asarray(a)), expected[0])
    counted = plait.unique_counts(plait.asarray(a))
    np.testing.assert_array_equal(counted.counts, expected[2])


def test_every_nan_is_distinct():
    x = plait.tensor([np.nan, 1.0, np.nan, 0.0, -0.0])
    found = plait.unique_counts(x)
    np.testing.assert_array_equal(found.values, [0, 1, np.nan, np.nan])
    assert found.counts.tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_unique_of_every_dtype(dtype):
    x = plait.tensor([1, 0, 1], dtype=dtype)
    assert plait.unique_values(x).tolist() == [0, 1]
    assert plait.unique_values(x).dtype is dtype


@settings(deadline=None)
@given(small)
def test_nonzero_is_numpys(a):
    if a.ndim == 0:
        with pytest.raises(ArgumentTypeError, match="scalar"):
            plait.nonzero(plait.asarray(a))
        return
    found = plait.nonzero(plait.asarray(a))
    assert isinstance(found, tuple)
    for x, y in zip(found, np.nonzero(a), strict=True):
        assert x.dtype is plait.int64
        np.testing.assert_array_equal(x.numpy(), y)


@settings(deadline=None)
@given(st.data())
def test_repeat_is_numpys(data):
    a = data.draw(small.filter(lambda a: a.ndim > 0))
    axis = data.draw(st.one_of(st.none(), st.integers(-a.ndim, a.ndim - 1)))
    size = a.size if axis is None else a.shape[axis]
    counts = data.draw(
        st.one_of(
            st.integers(0, 3),
            st.lists(st.integers(0, 3), min_size=size, max_size=size),
        )
    )
    expected = np.repeat(a, np.array(counts, np.int64), axis)
    x = plait.asarray(a)
    given = [counts, np.array(counts, np.int64), plait.tensor(counts, dtype="int64")]
    for one in given:
        np.testing.assert_array_equal(plait.repeat(x, one, axis=axis), expected)


def test_repeat_is_differentiable():
    x = plait.ones(3, requires_grad=True)
    y = plait.repeat(x, plait.tensor([0, 1, 2]))
    (y * plait.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [0, 1, 5]


def test_repeat_refuses():
    x = plait.ones(2, 3)
    with pytest.raises(ShapeError, match="one for each slice"):
        plait.repeat(x, [1, 2], axis=1)
    with pytest.raises(ShapeError, match="one for each slice"):
        plait.repeat(x, [1, 2])
    with pytest.raises(ArgumentError, match="negative"):
        plait.repeat(x, plait.tensor([1, -2]), axis=0)
    with pytest.raises(ShapeError, match="negative"):
        plait.repeat(x, -1)
    with pytest.raises(AxisError):
        plait.repeat(x, [1, 2], axis=2)


def test_they_look_at_pending_tensors():
    x = plait.arange(4) * 2
    assert plait.unique_values(x % 4).tolist() == [0, 2]
    assert [i.tolist() for i in plait.nonzero(x > 2)] == [[2, 3]]
    assert plait.repeat(x, x // 4).tolist() == [4, 6]
