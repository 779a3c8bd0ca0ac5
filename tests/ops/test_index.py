"""Gather, scatter and `x[...]`, against NumPy, PyTorch, loops and differences."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plait import dtypes, errors
from plait.dtypes import as_dtype
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ops import gather, index, indexing, reduce, source

from .op_checks import (
    check_batch_rule,
    check_derivatives,
    gradient,
    like_torch,
    recorded,
)
from .op_checks import value as run
from .op_checks import values as run_all
from .torch_table import torch

INT = np.int64
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


def held(array):
    """Return a node that holds indices, which have no derivative."""
    return source.constant(array, dtypes.int64)


def values(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def indices(n, *shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(-n, n, shape)


# --- the primitives


def scatter_loop(x, indices, updates, *, axis, batch, mode):
    rule = {
        "set": lambda a, b: b,
        "add": np.add,
        "multiply": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
    }[mode]
    result = x.copy()
    for at in np.ndindex(*updates.shape):
        head, middle, tail = (
            at[:axis],
            at[axis : axis + indices.ndim - batch],
            at[axis + indices.ndim - batch :],
        )
        place = (*head, indices[(*at[:batch], *middle)], *tail)
        result[place] = rule(result[place], updates[at])
    return result


LAYOUTS = [
    ((4,), (3,), 0, 0),
    ((4,), (), 0, 0),
    ((4, 3), (2, 2), 0, 0),
    ((2, 4, 3), (5,), 1, 0),
    ((2, 4, 3), (6,), 2, 0),
    ((2, 4), (2, 3), 1, 1),
    ((2, 4, 3), (2, 3), 1, 1),
    ((2, 3, 4, 2), (2, 3), 2, 1),
    ((2, 3, 4, 2), (2, 3, 2, 2), 2, 2),
    ((2, 3, 4, 2), (2, 3), 2, 2),
    ((0, 4), (0, 3), 1, 1),
    ((2, 4, 0), (3,), 1, 0),
    ((2, 4, 3), (2, 0), 1, 1),
]


@pytest.mark.parametrize(("shape", "count", "axis", "batch"), LAYOUTS)
@pytest.mark.parametrize("contiguous", [True, False])
def test_gather_and_scatter_follow_their_layout(shape, count, axis, batch, contiguous):
    n = shape[axis]
    x = values(*shape) if contiguous else values(*shape[::-1]).transpose()
    at = np.abs(indices(n, *count)) % n
    attributes = {"axis": axis, "batch": batch}
    indexed = (*shape[:axis], *count[batch:], *shape[axis + 1 :])
    got = run(gather.gather, x, at, **attributes)
    assert got.shape == indexed
    for place in np.ndindex(*indexed):
        middle = place[axis : axis + at.ndim - batch]
        source = at[(*place[:batch], *middle)]
        end = place[axis + at.ndim - batch :]
        assert got[place] == x[(*place[:axis], source, *end)]
    updates = values(*indexed, seed=1)
    for mode in gather.MODES:
        got = run(gather.scatter, x, at, updates, mode=mode, **attributes)
        right = scatter_loop(x, at, updates, mode=mode, **attributes)
        np.testing.assert_allclose(got, right)


@pytest.mark.parametrize(("shape", "count", "axis", "batch"), LAYOUTS)
@pytest.mark.parametrize("mode", gather.MODES)
def test_scatter_has_its_gradient(shape, count, axis, batch, mode):
    at = np.abs(indices(shape[axis], *count)) % shape[axis]
    x = values(*shape)
    updates = values(*shape[:axis], *count[batch:], *shape[axis + 1 :], seed=1)
    check_derivatives(
        lambda x, u: gather.scatter(x, held(at), u, axis, batch, mode), [x, updates]
    )


@pytest.mark.parametrize("at", [
    np.array([2, 1, 0, 1, 2, 3, 4, 3, 2]), np.array([[0, 1, 2], [2, 3, 4]]),
    np.array([4, 4, 0]), np.array(3), np.zeros((0, 2), INT),
])  # fmt: skip
def test_what_was_taken_from_known_places_is_collected(at):
    def taken(x, axis, *summed):
        return reduce.sum_over(gather.gather(x, held(at), axis), summed)

    for axis in (0, 1):
        check_derivatives(taken, [values(5, 5)], axis=axis)
    if at.ndim == 2:  # the gradient of a sum is the same for several places
        check_derivatives(lambda x: taken(x, 1, 2), [values(5, 5)])


@pytest.mark.parametrize(("at", "scattered"), [([0, 1, 1, 2], False), ([0] * 30, True)])
def test_many_that_took_one_element_are_added_up_where_it_is(at, scattered):
    graph = gradient(recorded(lambda x: gather.gather(x, held(at), 0), [values(5)]))
    names = {node.primitive.name for node in graph.nodes()}
    assert ("scatter" in names) == scattered


def test_multiplied_zeros_have_exact_gradients():
    x = np.array([2.0, 0.0, 3.0, 5.0])
    at = np.array([0, 0, 1, 1, 2, 2, 2])
    updates = np.array([0.0, 3.0, 2.0, 4.0, 0.0, 0.0, 7.0])
    check_derivatives(
        lambda x, u: index.index_reduce(x, held(at), u, axis=0, mode="multiply"),
        [x, updates],
        second=False,
    )


@pytest.mark.parametrize(("shape", "count", "axis", "batch"), LAYOUTS)
@pytest.mark.parametrize("mode", [None, "set", "add", "max"])
def test_batch_rules_agree_with_a_loop(shape, count, axis, batch, mode):
    size = 3
    indexed = (*shape[:axis], *count[batch:], *shape[axis + 1 :])
    attributes = {"axis": axis, "batch": batch}
    primitive, shapes = gather.GATHER, [shape, count]
    if mode is not None:
        primitive, shapes = gather.SCATTER, [shape, count, indexed]
        attributes["mode"] = mode
    for flags in itertools.product([False, True], repeat=len(shapes)):
        if not any(flags):
            continue
        operands = []
        for i, (one, flag) in enumerate(zip(shapes, flags, strict=True)):
            full = (size, *one) if flag else one
            ints = np.abs(indices(shape[axis], *full)) % shape[axis]
            operands.append(ints if i == 1 else values(*full, seed=i))
        check_batch_rule(primitive, operands, flags, **attributes)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda dtype: dtype.name)
def test_every_dtype_is_read_and_written(dtype):
    x = np.arange(12).reshape(3, 4).astype(dtype.numpy)
    at = np.array([2, 0, 2])
    np.testing.assert_array_equal(run(index.take, x, at, axis=0), x[at])
    got = run(index.take_along_axis, x, at[:, None], axis=1)
    np.testing.assert_array_equal(got, np.take_along_axis(x, at[:, None], 1))
    new = x[:, :3]
    modes = ["set", "max", "min"] if dtype.kind == "bool" else gather.MODES
    for mode in modes:
        got = run(index.index_reduce, x, at, new, axis=1, mode=mode)
        right = scatter_loop(x, at, new, axis=1, batch=0, mode=mode)
        np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_floats_add_up_in_float32(dtype):
    ones = np.ones(4096, dtype)
    at = np.zeros(4096, INT)
    got = run(index.index_add, np.zeros(1, dtype), at, ones, axis=0)
    assert got[0] == 4096  # 2048 + 1 is 2048 in float16


def test_many_rows_add_up():
    rng = np.random.default_rng(0)
    at, rows = rng.integers(0, 50, 3000), rng.normal(size=(3000, 8))
    right = np.zeros((50, 8))
    for i, row in zip(at, rows, strict=True):
        right[i] += row
    got = run(index.index_add, np.zeros((50, 8)), at, rows, axis=0)
    np.testing.assert_allclose(got, right)
    last = {int(i): k for k, i in enumerate(at)}
    got = run(index.index_copy, np.zeros((50, 8)), at, rows, axis=0)
    np.testing.assert_array_equal(got, rows[[last[i] for i in range(50)]])


def test_an_index_out_of_range_is_named():
    x = values(2, 3)
    with pytest.raises(errors.IndexingError) as caught:
        run(index.take, x, np.array([[0, -4]]), axis=1)
    assert caught.value.message == (
        "[index] an index is out of range. Got: index -4 for axis 1 of size 3. "
        "Expected: -3 to 2."
    )
    for function in (index.take_along_axis, index.take):
        with pytest.raises(errors.IndexingError, match="index 3 for axis 1 of size 3"):
            run(function, x, np.array([[1], [3]]), axis=1)
    with pytest.raises(errors.IndexingError, match="index 2 for axis 0 of size 2"):
        run(index.index_add, x, np.array([0, 2]), np.zeros((2, 3)), axis=0)
    with pytest.raises(errors.DTypeError, match="indices must be integers"):
        run(index.take, x, np.array([0.0]), axis=1)


# --- ops that read


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_take_is_numpy_take(dtype):
    x = values(2, 5, 3)
    at = np.array([[4, 0], [1, 4]], dtype)
    for axis in (1, -2):
        got = run(index.take, x, at, axis=axis)
        np.testing.assert_array_equal(got, np.take(x, at, axis))
    if dtype.startswith("i"):
        got = run(index.take, x, -1 - at, axis=1)
        np.testing.assert_array_equal(got, np.take(x, -1 - at, 1))
    np.testing.assert_array_equal(run(index.take, x[0, :, 0], at), x[0, :, 0][at])
    wide = np.zeros(200)
    wide[-100] = 1
    assert run(index.take, wide, np.array(-100, np.int8)) == 1
    with pytest.raises(errors.ArgumentError, match="axis must be given"):
        run(index.take, x, at)


def test_take_has_its_gradient():
    at = indices(4, 2, 3)
    check_derivatives(lambda x: index.take(x, held(at), axis=1), [values(2, 4, 3)])


@needs_torch
def test_take_is_torchs_embedding():
    at = np.array([[5, 0, 5], [5, 1, 2]])
    like_torch(
        lambda x: index.take(x, held(at), axis=0),
        lambda x: torch.nn.functional.embedding(torch.tensor(at), x),
        [values(6, 3)],
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take_along_axis_is_numpy(axis):
    x = values(3, 4, 5)
    shape = [3, 4, 5]
    shape[axis] = 6
    at = indices(x.shape[axis], *shape)
    got = run(index.take_along_axis, x, at, axis=axis)
    np.testing.assert_array_equal(got, np.take_along_axis(x, at, axis))
    check_derivatives(lambda x: index.take_along_axis(x, held(at), axis=axis), [x])
    narrow = at[:1, :1, :1] if axis else at[:, :1, :1]
    got = run(index.take_along_axis, x, narrow, axis=axis)
    np.testing.assert_array_equal(got, np.take_along_axis(x, narrow, axis))


@needs_torch
def test_take_along_axis_is_torchs_gather():
    x, at = values(3, 4, 5), indices(4, 2, 6, 5)
    like_torch(
        lambda x: index.take_along_axis(x, held(at), axis=1),
        lambda x: torch.gather(x, 1, torch.tensor(at % 4)),
        [x[:2]],
    )


def test_take_along_axis_refuses_other_shapes():
    x, at = make_input((2, 3), dtypes.float32), make_input((4, 1), dtypes.int64)
    with pytest.raises(errors.ShapeError, match="do not broadcast"):
        index.take_along_axis(x, at)
    with pytest.raises(errors.ShapeError, match="the number of axes"):
        index.take_along_axis(x, make_input((4,), dtypes.int64))
    with pytest.raises(errors.AxisError):
        index.take_along_axis(x, at, axis=2)


def test_repeat_is_numpy_repeat():
    x = values(2, 3, 2)
    cases = [(2, None), (3, 1), (0, 1), ((1, 0, 4), 1), ([2, 1], 0), ((2,), 2), (1, -1)]
    for repeats, axis in cases:
        got = run(index.repeat, x, repeats=repeats, axis=axis)
        np.testing.assert_array_equal(got, np.repeat(x, repeats, axis))
    got = run(index.repeat, np.zeros((0, 2)), repeats=(), axis=0)
    assert got.shape == (0, 2)
    check_derivatives(index.repeat, [x], repeats=(2, 0, 1), axis=1)
    check_derivatives(index.repeat, [x], repeats=2, axis=0)
    with pytest.raises(errors.ShapeError, match="one number is needed"):
        run(index.repeat, x, repeats=(1, 2), axis=1)
    with pytest.raises(errors.ShapeError, match="negative"):
        run(index.repeat, x, repeats=-1, axis=1)


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 5), (5, 2), (2, 0, 3), (1, 1)])
@pytest.mark.parametrize("offset", [-6, -2, -1, 0, 1, 3, 6])
def test_diagonal_and_trace_are_numpys(shape, offset):
    x = values(*shape)
    got = run(index.diagonal, x, offset=offset)
    n, m = shape[-2:]
    if -n < offset < m or offset == 0:
        np.testing.assert_array_equal(got, np.diagonal(x, offset, -2, -1))
    else:
        assert got.shape == (*shape[:-2], 0)
    right = np.array(got.sum(-1))
    np.testing.assert_allclose(run(index.trace, x, offset=offset), right)
    check_derivatives(index.diagonal, [x], offset=offset)


def test_trace_widens_integers():
    assert run(index.trace, np.full((2, 2), 100, np.int8)) == 200
    with pytest.raises(errors.ShapeError, match="two axes"):
        run(index.trace, np.zeros(3))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_meshgrid_is_numpys(indexing, count):
    arrays = [values(n) for n in (2, 3, 4)][:count]
    got = run_all(lambda *xs: tuple(index.meshgrid(*xs, indexing=indexing)), *arrays)
    right = np.meshgrid(*arrays, indexing=indexing)
    assert len(got) == len(right)
    for a, b in zip(got, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_meshgrid_refuses_matrices():
    with pytest.raises(errors.ShapeError, match="at most one axis"):
        index.meshgrid(make_input((2, 2), dtypes.float32))
    with pytest.raises(errors.ArgumentError, match="no such indexing"):
        index.meshgrid(make_input((2,), dtypes.float32), indexing="yx")


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, INT])
def test_one_hot_marks_classes(dtype):
    got = run(index.one_hot, np.array([[1, 0], [2, 7]], dtype), num_classes=3)
    right = [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 0]]]
    np.testing.assert_array_equal(got, right)
    assert got.dtype == np.float32
    got = run(index.one_hot, np.array(1, dtype), num_classes=300, dtype=dtypes.bool_)
    assert got.dtype == bool
    assert got.nonzero() == (1,)
    with pytest.raises(errors.DTypeError):
        run(index.one_hot, np.array([1.0]), num_classes=3)


# --- ops that write


@needs_torch
def test_index_add_is_torchs():
    at = np.array([3, 0, 3])
    for axis, shape in ((0, (3, 2)), (1, (4, 3))):
        x = values(4, 2) if axis == 0 else values(4, 4)
        like_torch(
            lambda x, u, axis=axis: index.index_add(x, held(at), u, axis=axis),
            lambda x, u, axis=axis: torch.index_add(x, axis, torch.tensor(at), u),
            [x, values(*shape, seed=1)],
        )


@needs_torch
@pytest.mark.parametrize(
    ("mode", "name"), [("multiply", "prod"), ("max", "amax"), ("min", "amin")]
)
def test_index_reduce_is_torchs(mode, name):
    at = np.array([[3, 0, 3, 1], [2, 2, 2, 2]])
    x = np.array([[1.0, 2.0, 0.0, 3.0], [1.0, 1.0, 4.0, 2.0]])
    updates = np.array([[3.0, 1.0, 3.0, 0.0], [4.0, 0.0, 4.0, 1.0]])
    like_torch(
        lambda x, u: index.put_along_axis(x, held(at), u, axis=1, mode=mode),
        lambda x, u: torch.scatter_reduce(x, 1, torch.tensor(at), u, name),
        [x, updates],
    )


def test_index_copy_keeps_the_last_and_so_does_its_gradient():
    x, updates, at = values(4, 2), values(3, 2, seed=1), np.array([1, -1, 1])
    got = run(lambda x, u, i: index.index_copy(x, i, u, axis=0), x, updates, at)
    right = x.copy()
    right[1], right[3] = updates[2], updates[1]
    np.testing.assert_array_equal(got, right)
    check_derivatives(
        lambda x, u: index.index_copy(x, held(at), u, axis=0), [x, updates]
    )


def test_updates_are_cast_and_broadcast():
    x = np.zeros((3, 4), np.float32)
    got = run(lambda x, i: index.index_add(x, i, 2, axis=0), x, np.array([1, 1]))
    np.testing.assert_array_equal(got, [[0] * 4, [4] * 4, [0] * 4])
    got = run(index.index_copy, x, np.array([0, 2]), np.arange(4), axis=0)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[2], range(4))
    got = run(index.index_add, x, np.array(1), np.arange(4), axis=0)
    np.testing.assert_array_equal(got[1], range(4))
    with pytest.raises(errors.ShapeError) as caught:
        run(index.index_add, x, np.array([0, 2]), np.arange(3), axis=0)
    assert caught.value.message == (
        "[index_add] the new values do not broadcast to the indexed shape. "
        "Got: values of shape (3,). Expected: (2, 4), or what broadcasts to it."
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("mode", gather.MODES)
def test_put_along_axis_follows_a_loop(axis, mode):
    x = values(3, 4)
    at = np.array([[1, 0, 2, 2]]) if axis == 0 else np.array([[1, -1], [0, 0], [3, 2]])
    new = values(*at.shape, seed=1)
    got = run(index.put_along_axis, x, at, new, axis=axis, mode=mode)
    lines, places, updates = (np.swapaxes(a, axis, -1) for a in (x, at, new))
    places = np.broadcast_to(places, (len(lines), places.shape[1])) % lines.shape[1]
    updates = np.broadcast_to(updates, places.shape)
    right = scatter_loop(lines, places, updates, axis=1, batch=1, mode=mode)
    np.testing.assert_allclose(got, np.swapaxes(right, axis, -1))
    check_derivatives(
        lambda x, u: index.put_along_axis(x, held(at), u, axis=axis, mode=mode),
        [x, new],
    )


def test_put_along_axis_broadcasts_as_numpy_does():
    x = values(3, 4)
    at = np.array([[2, 0]])
    right = x.copy()
    np.put_along_axis(right, at, 7.0, 1)
    np.testing.assert_array_equal(
        run(lambda x, i: index.put_along_axis(x, i, 7.0), x, at), right
    )
    with pytest.raises(errors.ShapeError, match="do not broadcast to the tensor"):
        run(lambda x, i: index.put_along_axis(x, i, 7.0), x[:1], np.zeros((3, 1), INT))
    with pytest.raises(errors.ArgumentError, match="no such mode"):
        run(lambda x, i: index.put_along_axis(x, i, 7.0, mode="mean"), x, at)


@needs_torch
def test_masked_fill_is_torchs():
    mask = np.array([True, False, True])
    like_torch(
        lambda x: index.masked_fill(x, source.constant(mask, dtypes.bool_), -1),
        lambda x: torch.masked_fill(x, torch.tensor(mask), -1),
        [values(2, 3)],
    )


def test_masked_fill_keeps_the_dtype():
    mask = np.array([True, False, True])
    got = run(lambda x, m: index.masked_fill(x, m, 2.5), np.arange(3), mask)
    assert got.dtype == INT
    np.testing.assert_array_equal(got, [2, 1, 2])
    with pytest.raises(errors.DTypeError):
        run(lambda x, m: index.masked_fill(x, m, 0.0), values(3), np.array([1, 0, 1]))


# --- x[...]


class Held:
    """An index array of which only shape and dtype are known, as a tensor is."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape = self.array.shape
        self.dtype = as_dtype(self.array.dtype)


def plain(key):
    """Return a key for NumPy."""
    if isinstance(key, tuple):
        return tuple(plain(item) for item in key)
    return key.array if isinstance(key, Held) else key


def arrays_of(operands):
    return [item.array if isinstance(item, Held) else item for item in operands]


def get(x, key):
    spec, operands = indexing.parse_index(key, x.shape)
    hash(spec)
    return run(indexing.get_index, x, *arrays_of(operands), spec=spec)


def put(x, key, value, mode="set"):
    spec, operands = indexing.parse_index(key, x.shape)
    return run(indexing.set_index, x, value, *arrays_of(operands), spec=spec, mode=mode)


def put_loop(x, key, value, mode="set"):
    """Write one element after another, in row-major order of the indexed shape."""
    places = np.arange(x.size).reshape(x.shape)[plain(key)]
    while value.ndim > places.ndim:
        value = value[0]
    value = np.broadcast_to(value, places.shape)
    result = x.copy().reshape(-1)
    for place, new in zip(places.ravel(), value.ravel(), strict=True):
        old = result[place]
        result[place] = {
            "set": new, "add": old + new, "multiply": old * new,
            "max": max(old, new), "min": min(old, new),
        }[mode]  # fmt: skip
    return result.reshape(x.shape)


@st.composite
def slices(draw, n):
    bound = st.none() | st.integers(-n - 2, n + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return slice(draw(bound), draw(bound), draw(step))


@st.composite
def integer_arrays(draw, n, common):
    """An index array that broadcasts to `common`, as an array, a list or a tensor."""
    shape = list(common[draw(st.integers(0, len(common))) :])
    shape = [1 if draw(st.booleans()) else m for m in shape]
    if n == 0 and 0 not in shape:
        shape = [0]
    array = draw(
        hnp.arrays(
            INT, tuple(shape), elements=st.integers(-n, n - 1) if n else st.just(0)
        )
    )
    kind = draw(st.sampled_from(["array", "list", "tensor", "int8"]))
    if kind == "list" and array.ndim:
        return array.tolist()
    if kind == "tensor":
        return Held(array)
    return array.astype(np.int8) if kind == "int8" else array


@st.composite
def keys(draw, shape):
    """A key of any kind; the index arrays in it may fail to broadcast."""
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    advanced = draw(st.booleans())
    first = draw(st.integers(0, len(shape)))
    items = draw(items_for(shape[:first], common, advanced))
    if draw(st.booleans()):
        second = draw(st.integers(first, len(shape)))
        items += [Ellipsis, *draw(items_for(shape[second:], common, advanced))]
    extra = [None, None, True, False] if advanced else [None]
    for item in draw(st.lists(st.sampled_from(extra), max_size=2)):
        items.insert(draw(st.integers(0, len(items))), item)
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


@st.composite
def items_for(draw, shape, common, advanced):
    """Items of a key for each of some neighbouring axes."""
    items = []
    axis = 0
    while axis < len(shape):
        n = shape[axis]
        kinds = ["slice", "int"] if n else ["slice"]
        if advanced:
            kinds += ["array", "array", "mask"]
        kind = draw(st.sampled_from(kinds))
        axes = 1
        if kind == "slice":
            items.append(draw(slices(n)))
        elif kind == "int":
            number = draw(st.integers(-n, n - 1))
            items.append(draw(st.sampled_from([number, np.int32(number)])))
        elif kind == "array":
            items.append(draw(integer_arrays(n, common)))
        else:
            axes = draw(st.integers(1, min(2, len(shape) - axis)))
            mask = draw(hnp.arrays(bool, shape[axis : axis + axes]))
            listed = axes == 1 and n and draw(st.booleans())
            items.append(mask.tolist() if listed else mask)
        axis += axes
    return items


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_any_key_reads_as_in_numpy(data):
    shape = data.draw(SHAPES)
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    key = data.draw(keys(shape))
    try:
        right = x[plain(key)]
    except IndexError:
        with pytest.raises(errors.IndexingError):
            get(x, key)
        return
    np.testing.assert_array_equal(get(x, key), right)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_any_key_writes_as_a_loop_does(data):
    shape = data.draw(SHAPES)
    x = np.random.default_rng(0).integers(-9, 9, shape)
    key = data.draw(keys(shape))
    try:
        indexed = x[plain(key)].shape
    except IndexError:
        with pytest.raises(errors.IndexingError):
            put(x, key, np.array(0))
        return
    cut = indexed[data.draw(st.integers(0, len(indexed))) :]
    cut = tuple(1 if data.draw(st.booleans()) else n for n in cut)
    if indexed and data.draw(st.booleans()):
        cut = (1,) * (len(indexed) - len(cut) + 1) + cut
    value = np.random.default_rng(1).integers(-9, 9, cut)
    mode = data.draw(st.sampled_from(gather.MODES))
    right = put_loop(x, key, value, mode)
    np.testing.assert_array_equal(put(x, key, value, mode), right)
    if mode == "set":
        places = np.arange(x.size).reshape(shape)[plain(key)]
        if np.unique(places).size == places.size and value.ndim <= places.ndim:
            x[plain(key)] = value
            np.testing.assert_array_equal(x, right)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_gradients_of_any_key_are_transposed(data):
    """Reading, and writing in modes set and add, are linear: ct . J v = J^T ct . v."""
    shape = data.draw(SHAPES)
    key = data.draw(keys(shape))
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    try:
        indexed = x[plain(key)].shape
    except IndexError:
        return
    spec, operands = indexing.parse_index(key, shape)
    at = [held(array) for array in arrays_of(operands)]
    mode = data.draw(st.sampled_from([None, "set", "add"]))
    if mode is None:
        arrays = [x]

        def function(x):
            return indexing.get_index(x, *at, spec=spec)
    else:
        arrays = [x, rng.normal(size=indexed)]

        def function(x, value):
            return indexing.set_index(x, value, *at, spec=spec, mode=mode)

    graph = recorded(function, arrays)
    cotangents = [rng.normal(size=y.shape) for y in graph.outputs]
    found = interpret(gradient(graph), [*arrays, *cotangents])
    results = interpret(graph, arrays)
    left = sum(np.sum(a * b) for a, b in zip(cotangents, results, strict=True))
    right = sum(np.sum(a * b) for a, b in zip(found, arrays, strict=True))
    np.testing.assert_allclose(left, right, atol=1e-9)


def test_known_hard_keys():
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    a, b = np.array([0, 1]), np.array([[2], [0], [1]])
    for key in [
        (a, slice(None), b),
        (slice(None), a, b),
        (slice(None), a, slice(None), b),
        (0, slice(None), a),
        (slice(None), 0, a),
        (a, None, b),
        (None, a, b),
        (slice(None), None, a, Ellipsis, None, b),
        (Ellipsis, a, b),
        (a, Ellipsis, 1),
        (slice(None, None, -1), a, slice(None, None, -2), 1),
        (True, a),
        (slice(None), True, a),
        (False,),
        (0, slice(None), True),
        (np.array(1), slice(None), np.array(2)),
        (x[0, :, :, 0] > 10,) * 0 + (1, x[0, :, :, 0] % 3 == 0),
        (x % 7 == 0,),
        (slice(None), x[0] % 7 == 0),
        ([[0, 1], [1, 0]], [[2], [0]]),
        [0, 1],
        [],
        ([], slice(None), []),
        ((0, 1), (1, 2)),
        (range(2), 0),
        (slice(5, 0, -1), slice(-1, -9, -3)),
        (slice(2, 2), a),
    ]:
        np.testing.assert_array_equal(get(x, key), x[plain(key)])
        value = np.arange(x[plain(key)].size).reshape(x[plain(key)].shape)
        right = x.copy()
        right[plain(key)] = value
        np.testing.assert_array_equal(put(x, key, value), put_loop(x, key, value))


@needs_torch
def test_torch_agrees_on_gradients_of_advanced_keys():
    a, b, c = np.array([0, 1, -1]), np.array([2, 0, 2]), np.array([2, 0, 1])
    spec, operands = indexing.parse_index(
        (slice(None, None, 2), a, slice(1, 3), b), SHAPE
    )
    like_torch(
        lambda x: indexing.get_index(x, *map(held, operands), spec=spec),
        lambda x: x[::2, a, 1:3, b],
        [values(*SHAPE)],
    )

    def set_in_place(x, value):
        result = x.clone()
        result[::2, a, 1:3, c] = value
        return result

    spec, operands = indexing.parse_index(
        (slice(None, None, 2), a, slice(1, 3), c), SHAPE
    )
    like_torch(
        lambda x, u: indexing.set_index(x, u, *map(held, operands), spec=spec),
        set_in_place,
        [values(*SHAPE), values(3, 2, 2, seed=1)],
    )


SHAPE = (3, 2, 4, 3)

KINDS = (
    "Expected: integers, slices, ..., None, and integer or bool tensors, arrays or "
    "lists."
)
ERRORS = [
    (
        4,
        "an index is out of range. Got: index 4 for axis 0 of shape (3, 4). "
        "Expected: -3 to 2.",
    ),
    (
        (0, -5),
        "an index is out of range. Got: index -5 for axis 1 of shape (3, 4). "
        "Expected: -4 to 3.",
    ),
    (
        (0, 0, 0),
        "there are more indices than axes. Got: indices for 3 axes of a tensor of "
        "shape (3, 4). Expected: at most 2.",
    ),
    ((..., 0, ...), "an index may have only one ellipsis (...). Got: 2."),
    (
        1.5,
        f"this cannot index a tensor. Got: 1.5 of type float. {KINDS} "
        "Fix: convert it with int(...).",
    ),
    ("a", f"this cannot index a tensor. Got: an index of type str. {KINDS}"),
    (
        [[0], [0, 1]],
        f"this cannot index a tensor. Got: an index of type list. {KINDS}",
    ),
    (
        np.zeros((3, 3), bool),
        "a mask does not have the sizes of the axes that it covers. Got: a mask of "
        "shape (3, 3) at axis 0 of shape (3, 4): 3 elements against 4 on axis 1.",
    ),
    (
        (slice(None), [True]),
        "a mask does not have the sizes of the axes that it covers. Got: a mask of "
        "shape (1,) at axis 1 of shape (3, 4): 1 elements against 4 on axis 1.",
    ),
    (
        ([0, 1], [0, 1, 2]),
        "index arrays do not broadcast. Got: (2,) and (3,). Expected: equal sizes on "
        "each axis, counted from the last, or 1.",
    ),
    (
        [0, 3],
        "an index is out of range. Got: index 3 for axis 0 of size 3. "
        "Expected: -3 to 2.",
    ),
    (
        np.array([2**64 - 1], np.uint64),
        "an index is out of range. Got: index 18446744073709551615 for axis 0 of "
        "size 3. Expected: -3 to 2.",
    ),
    (
        [0.0],
        "an index array must be of integers or bools. Got: float64. "
        "Fix: convert it with .astype(int).",
    ),
    (
        slice(0.5, None),
        "the bounds of a slice must be integers or None. Got: slice(0.5, None, None).",
    ),
    (
        slice(None, None, 0),
        "the step of a slice must not be zero. Got: slice(None, None, 0).",
    ),
    (
        Held(np.zeros(2)),
        "an index tensor must be of integers or bools. Got: float64. "
        "Fix: cast it with x.to(plait.int64).",
    ),
    (
        Held(np.zeros(2, bool)),
        "the shape of the result would depend on the values of a mask. Got: a bool "
        "tensor of shape (2,). Fix: use where(mask, x, y) or masked_fill.",
    ),
]


@pytest.mark.parametrize(("key", "message"), ERRORS, ids=lambda value: str(value)[:30])
def test_a_wrong_key_is_explained(key, message):
    with pytest.raises(errors.IndexingError) as caught:
        indexing.parse_index(key, (3, 4))
    assert caught.value.message == f"[index] {message}"


def test_an_index_out_of_range_at_run_time_is_explained():
    x = np.zeros((3, 4))
    with pytest.raises(errors.IndexingError) as caught:
        get(x, (Held([0, 0]), Held([1, 5])))
    assert caught.value.message == (
        "[index] an index is out of range. Got: index 5 for axis 1 of size 4. "
        "Expected: -4 to 3."
    )


def test_new_values_of_a_wrong_shape_are_explained():
    with pytest.raises(errors.ShapeError) as caught:
        put(np.zeros((3, 4)), slice(0, 2), np.zeros((3, 4)))
    assert caught.value.message == (
        "[setitem] the new values do not broadcast to the indexed shape. "
        "Got: values of shape (3, 4). Expected: (2, 4), or what broadcasts to it."
    )


def test_new_values_are_cast():
    got = put(np.zeros(3, np.int32), 1, np.array(2.7))
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [0, 2, 0])
    spec, _ = indexing.parse_index(1, (3,))
    got = run(lambda x: indexing.set_index(x, 2, spec=spec), np.zeros(3, np.float32))
    np.testing.assert_array_equal(got, [0, 2, 0])


def test_a_mask_is_set_without_its_positions():
    x = np.arange(24.0).reshape(2, 3, 4)
    for axes in range(1, 4):
        mask = x.reshape(*x.shape[:axes], -1)[..., 0] % 3 == 0
        for value in (np.array(-1.0), np.arange(4.0)[None] if axes < 3 else np.ones(1)):
            right = x.copy()
            right[mask] = value
            got = run(indexing.set_masked, x, mask, value)
            np.testing.assert_array_equal(got, right)
    with pytest.raises(errors.IndexingError, match="mask does not have the sizes"):
        run(indexing.set_masked, x, np.ones(3, bool), np.array(0.0))
    mask = source.constant(x[..., 0] > 5, dtypes.bool_)
    check_derivatives(lambda x, v: indexing.set_masked(x, mask, v), [x, np.arange(4.0)])
