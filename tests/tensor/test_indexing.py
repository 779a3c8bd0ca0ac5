"""`x[key]` and `x[key] = value` of tensors, against NumPy, and their derivatives."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.errors import GradientError, IndexingError, ShapeError


def shown(value):
    """Return an id without addresses, which differ between processes."""
    return re.sub(r" at 0x\w+", "", repr(value))


def bound(size):
    return st.one_of(st.none(), st.integers(-size - 2, size + 2))


def slices(size):
    step = st.one_of(st.none(), st.integers(1, 3), st.integers(-3, -1))
    return st.builds(slice, bound(size), bound(size), step)


@st.composite
def keys(draw, shape):
    """Draw a key as NumPy takes it: each item covers one axis, or none."""
    items = []
    common = draw(st.integers(1, 3))
    for size in shape[: draw(st.integers(0, len(shape)))]:
        kinds = [slices(size)]
        if size:
            kinds += [
                st.integers(-size, size - 1),
                st.lists(
                    st.integers(-size, size - 1), min_size=common, max_size=common
                ).map(np.array),
            ]
        items.append(draw(st.one_of(*kinds)))
        if draw(st.integers(0, 5)) == 0:
            items.append(None)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(items)))
        # What stands behind an ellipsis covers the last axes.
        if not any(isinstance(i, (int, slice, np.ndarray)) for i in items[at:]):
            items.insert(at, Ellipsis)
    return tuple(items)


def as_tensors(key, dtype):
    return tuple(
        plait.tensor(item, dtype=dtype) if isinstance(item, np.ndarray) else item
        for item in key
    )


@st.composite
def cases(draw):
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    kind = draw(st.integers(0, 3))
    if kind or not shape:
        key = draw(keys(shape))
        dtype = draw(st.sampled_from(["int64", "int32", "int8"]))
        own = key if draw(st.booleans()) else as_tensors(key, dtype)
    else:
        covered = shape[: draw(st.integers(1, len(shape)))]
        size = int(np.prod(covered))
        mask = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        key = np.array(mask, bool).reshape(covered)
        own = draw(st.sampled_from([plait.asarray, lambda mask: mask]))(key)
    return np.arange(np.prod(shape), dtype=float).reshape(shape), key, own


@settings(max_examples=300, deadline=None)
@given(cases())
def test_reading_is_numpys(case):
    a, key, own = case
    np.testing.assert_array_equal(plait.asarray(a)[own].numpy(), a[key])


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(0, 2))
def test_writing_is_numpys(case, kind):
    a, key, own = case
    x = plait.asarray(a)
    before, view = x.clone(), x[...]
    b = a.copy()
    # All elements written are equal: at a place named twice any of them may win.
    shape = b[key].shape
    value = (-1.0, np.full(shape, -2.0), np.full((1,) * bool(shape), -3.0))[kind]
    b[key] = value
    x[own] = plait.asarray(value) if kind == 1 else value
    np.testing.assert_array_equal(x.numpy(), b)
    np.testing.assert_array_equal(before.numpy(), a)
    np.testing.assert_array_equal(view.numpy(), a)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_each_element_is_written_where_it_would_be_read(case):
    a, key, own = case
    x = plait.asarray(a)
    x[own] = x[own] + 100
    b = a.copy()
    b[key] += 100
    np.testing.assert_array_equal(x.numpy(), b)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_gradient_of_reading_counts_how_often_each_element_was_read(case):
    a, key, own = case
    x = plait.tensor(a, requires_grad=True)
    y = x[own]
    weights = 1.0 + np.arange(y.size).reshape(y.shape)
    (y * weights).sum().backward()
    expected = np.zeros_like(a)
    np.add.at(expected, key, weights)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_gradient_of_writing(case):
    a, key, own = case
    x = plait.tensor(a, requires_grad=True)
    v = plait.tensor(3.0, dtype="float64", requires_grad=True)
    y = x * 1
    y[own] = v
    (y * 2).sum().backward()
    written = np.zeros(a.shape, bool)
    written[key] = True
    # No gradient comes to what was wholly replaced, or never used.
    if not (x.grad is None and written.all()):
        np.testing.assert_array_equal(x.grad.numpy(), np.where(written, 0.0, 2.0))
    if not (v.grad is None and not written.any()):
        assert v.grad.item() == 2 * written.sum()


def test_integer_tensors_of_no_axes_index_as_integers_do():
    x = plait.arange(12).reshape(3, 4)
    assert x[plait.tensor(1)].tolist() == [4, 5, 6, 7]
    assert x[plait.tensor(-1), plait.tensor(2)].item() == 10
    assert x[np.int64(2), np.array(1)].item() == 9


def test_lists_and_ranges_index_as_arrays_do():
    x = plait.arange(12).reshape(3, 4)
    assert x[[0, 2]].tolist() == x[range(0, 3, 2)].tolist()
    assert x[[0, 2], [1, -1]].tolist() == [1, 11]
    assert x[[]].shape == (0, 4)
    assert x[[True, False, True]].shape == (2, 4)


def test_bools_and_none_are_numpys():
    a = np.arange(4.0).reshape(2, 2)
    x = plait.asarray(a)
    for key in (True, False, None, (None, ..., None), np.True_, (0, None, 1)):
        np.testing.assert_array_equal(x[key].numpy(), a[key])
    assert x[plait.tensor(True)].shape == (1, 2, 2)


def test_a_mask_made_of_pending_tensors_looks_at_its_values():
    x = plait.arange(6.0)
    assert x[(x * 2) > 5].tolist() == [3, 4, 5]
    x[x % 2 == 0] = -1
    assert x.tolist() == [-1, 1, -1, 3, -1, 5]


def test_a_written_value_is_cast_and_broadcast():
    x = plait.zeros(2, 3, dtype="int32")
    x[:, 1] = plait.tensor([1, 2])
    x[0] = np.array([7, 8, 9], np.int8)
    assert x.dtype is plait.int32
    assert x.tolist() == [[7, 8, 9], [0, 2, 0]]


def test_augmented_assignment_of_an_item():
    x = plait.arange(4.0)
    y = x
    x[1:3] += 10
    x[0] *= 5
    x[-1] -= 1
    assert x is y
    assert x.tolist() == [0, 11, 12, 2]


def test_a_leaf_is_written_only_without_gradients():
    x = plait.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="leaf"):
        x[0] = 2
    with plait.no_grad():
        x[0] = 2
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 2, 2]


@pytest.mark.parametrize(
    "key",
    [
        3, -4, 1.5, "a", 1j, (0, 0, 0), (..., ...), slice(0, 1, 0), slice(1.5, 2),
        [0.5], np.ones(3), [[0], [1, 2]], [True], ([0, 1], [0, 1, 2]), object(),
        plait.tensor([1.0]), plait.tensor([3]), plait.tensor([True, False]),
        np.ones((3, 3), bool),
    ],
    ids=shown,
)  # fmt: skip
def test_a_bad_key_is_an_indexing_error(key):
    x = plait.zeros(3, 2)
    with pytest.raises(IndexingError, match=r"\[index\]"):
        x[key].numpy()
    with pytest.raises(IndexingError):
        written(x, key).numpy()


def written(x, key):
    x[key] = 1
    return x


def test_a_value_that_does_not_fit():
    x = plait.zeros(3, 2)
    with pytest.raises(ShapeError):
        x[0] = plait.ones(3)
    with pytest.raises(ShapeError):
        x[[0, 1]] = plait.ones(3, 1)
    with pytest.raises(TypeError):
        x[0] = "a"
    assert not x.any()


def test_a_written_float_is_cast_to_integers():
    x = plait.zeros(2, dtype="int32")
    x[0] = 1.5
    assert x.dtype is plait.int32
    assert x.tolist() == [1, 0]
