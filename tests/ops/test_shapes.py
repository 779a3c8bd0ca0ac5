"""Shapes, axes and the ops that only move elements, on random shapes, against NumPy."""

from __future__ import annotations

import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plait import shapes
from plait.dtypes import as_dtype, float32, float64, int64
from plait.errors import ArgumentError, ArgumentTypeError, AxisError, ShapeError
from plait.ir.build import make_input
from plait.ops import contract, elementwise, movement, reduce

from .op_checks import value, values

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FULL_SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
few = settings(max_examples=60, deadline=None)


def numbers(shape):
    return np.arange(math.prod(shape), dtype=float).reshape(shape)


def node(*shape, dtype=float64):
    return make_input(shape, dtype)


def same(actual, expected):
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


# --- arithmetic on shapes


@few
@given(st.lists(SHAPES, min_size=1, max_size=3))
def test_broadcast(some):
    try:
        expected = np.broadcast_shapes(*some)
    except ValueError:
        with pytest.raises(ShapeError, match=r"\[add\] shapes do not broadcast"):
            shapes.broadcast("add", *some)
    else:
        assert shapes.broadcast("add", *some) == expected


def test_the_message_of_a_broadcast_names_the_axis():
    with pytest.raises(ShapeError) as error:
        shapes.broadcast("add", (2, 3), (4, 3))
    assert error.value.message == (
        "[add] shapes do not broadcast. "
        "Got: (2, 3) and (4, 3), which clash on axis -2: 2 against 4. "
        "Expected: equal sizes on each axis, counted from the last, or 1. "
        "Fix: reshape one operand, or insert an axis of size 1 with expand_dims."
    )


@given(st.integers(-6, 6), st.integers(0, 5))
def test_normalize_axis(axis, ndim):
    try:
        expected = np.lib.array_utils.normalize_axis_index(axis, ndim)
    except np.exceptions.AxisError:
        with pytest.raises(AxisError, match="has no such axis"):
            shapes.normalize_axis("flip", axis, ndim)
    else:
        assert shapes.normalize_axis("flip", axis, ndim) == expected


@given(st.lists(st.integers(-4, 4), max_size=4), st.integers(0, 4))
def test_normalize_axes(axes, ndim):
    try:
        expected = np.lib.array_utils.normalize_axis_tuple(axes, ndim)
    except ValueError:
        with pytest.raises(AxisError):
            shapes.normalize_axes("sum", axes, ndim)
    else:
        assert shapes.normalize_axes("sum", axes, ndim) == expected
        assert shapes.normalize_axes("sum", tuple(axes), ndim) == expected


def test_an_axis_must_be_an_integer():
    for axis in (1.0, "0", [0.5]):
        with pytest.raises(ArgumentTypeError, match="axis must be an integer"):
            shapes.normalize_axes("sum", axis, 2)
    assert shapes.normalize_axis("sum", np.int64(-1), 2) == 1
    assert shapes.normalize_axes("sum", None, 3) == (0, 1, 2)


# --- movement


@st.composite
def shape_and_another(draw):
    """Draw a shape, and another of as many elements, in which one size may be -1."""
    shape = draw(SHAPES)
    size = math.prod(shape)
    divisors = [n for n in range(1, size + 1) if size % n == 0] if size else [0, 1, 3]
    first = draw(st.sampled_from(divisors))
    rest = size // first if first else draw(st.integers(1, 3))
    new = [first, rest] if first * rest == size else [size]
    if draw(st.booleans()) and size:
        new[draw(st.integers(0, len(new) - 1))] = -1
    return shape, tuple(new)


@few
@given(shape_and_another())
def test_reshape(pair):
    shape, new = pair
    x = numbers(shape)
    same(value(movement.reshape, x, shape=new), x.reshape(new))


@pytest.mark.parametrize("shape", [4, (-1, -1), (-1, 0), (4, -1), (-2, -3), (-2, -1)])
def test_reshape_to_what_does_not_fit(shape):
    with pytest.raises(ShapeError, match=r"\[reshape\]"):
        movement.reshape(node(2, 3), shape)


@pytest.mark.parametrize("shape", [2.0, (2, 3.0), "23", (None, 3)])
def test_reshape_to_what_is_no_shape(shape):
    with pytest.raises(
        ArgumentTypeError, match=r"\[reshape\] a size must be an integer"
    ):
        movement.reshape(node(2, 3), shape)


@few
@given(SHAPES, st.data())
def test_permute_dims_and_its_relatives(shape, data):
    x = numbers(shape)
    axes = tuple(data.draw(st.permutations(range(x.ndim))))
    signed = tuple(a - x.ndim if data.draw(st.booleans()) else a for a in axes)
    same(value(movement.permute_dims, x, axes=signed), x.transpose(axes))
    if x.ndim >= 2:
        i, j = (data.draw(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
        same(value(movement.transpose, x, axis0=i, axis1=j), x.swapaxes(i, j))
        same(value(movement.matrix_transpose, x), x.swapaxes(-1, -2))
    count = data.draw(st.integers(0, x.ndim))
    places = data.draw(st.permutations(range(x.ndim)))[:count]
    moved = value(movement.moveaxis, x, source=axes[:count], destination=tuple(places))
    same(moved, np.moveaxis(x, axes[:count], places))


@few
@given(SHAPES, st.data())
def test_expand_dims_and_squeeze(shape, data):
    x = numbers(shape)
    count = data.draw(st.integers(1, 2))
    ndim = x.ndim + count
    axes = data.draw(
        st.lists(
            st.integers(0, ndim - 1), min_size=count, max_size=count, unique=True
        ).map(tuple)
    )
    signed = tuple(a - ndim if data.draw(st.booleans()) else a for a in axes)
    wide = value(movement.expand_dims, x, axis=signed)
    same(wide, np.expand_dims(x, axes))
    same(value(movement.squeeze, wide, axis=signed), x)
    same(value(movement.squeeze, wide), np.squeeze(wide))


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), FULL_SHAPES, st.data())
def test_concat(sizes, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for n in sizes:
        full = list(shape)
        full[axis] = n
        parts.append(numbers(full))
    joined = value(lambda *xs: movement.concat(xs, axis=axis), *parts)
    same(joined, np.concatenate(parts, axis))
    flat = value(lambda *xs: movement.concat(xs, axis=None), *parts)
    same(flat, np.concatenate(parts, None))


@few
@given(st.integers(1, 3), SHAPES, st.data())
def test_stack_and_unstack(count, shape, data):
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    parts = [numbers(shape) + 100 * i for i in range(count)]
    whole = np.stack(parts, axis)
    same(value(lambda *xs: movement.stack(xs, axis=axis), *parts), whole)
    for part, right in zip(
        values(movement.unstack, whole, axis=axis), parts, strict=True
    ):
        same(part, right)


def test_concat_promotes_and_refuses():
    assert (
        movement.concat([node(1, dtype=int64), node(1, dtype=float32)]).dtype is float32
    )
    with pytest.raises(ArgumentError, match="at least one"):
        movement.concat([])
    with pytest.raises(ShapeError, match="the number of axes"):
        movement.concat([node(2), node(2, 2)])
    with pytest.raises(AxisError, match="no axes"):
        movement.concat([node(), node()])
    with pytest.raises(ShapeError, match=r"\[stack\] shapes differ"):
        movement.stack([node(2), node(3)])


@few
@given(SHAPES, st.lists(st.integers(0, 3), max_size=4))
def test_tile(shape, repetitions):
    x = numbers(shape)
    tiled = value(movement.tile, x, repetitions=tuple(repetitions))
    same(tiled, np.tile(x, repetitions))


@few
@given(SHAPES, st.data())
def test_roll(shape, data):
    x = numbers(shape)
    shift = data.draw(st.integers(-7, 7))
    same(value(movement.roll, x, shift=shift), np.roll(x, shift))
    if x.ndim:
        axes = data.draw(
            st.lists(st.integers(-x.ndim, x.ndim - 1), min_size=1, max_size=3)
        )
        shifts = [data.draw(st.integers(-7, 7)) for _ in axes]
        rolled = value(movement.roll, x, shift=tuple(shifts), axis=tuple(axes))
        same(rolled, np.roll(x, shifts, axes))
        same(value(movement.roll, x, shift=2, axis=tuple(axes)), np.roll(x, 2, axes))


def test_roll_refuses():
    with pytest.raises(ArgumentError, match="as many shifts as axes"):
        movement.roll(node(2, 3), (1, 2), axis=0)
    with pytest.raises(ArgumentTypeError, match="a shift must be an integer"):
        movement.roll(node(2, 3), 1.5)


@few
@given(st.integers(0, 9), st.integers(1, 4), st.data())
def test_split_and_chunk(n, step, data):
    x = numbers((2, n))
    bounds = list(range(step, n, step))
    for part, right in zip(
        values(movement.split, x, size_or_sizes=step, axis=1),
        np.split(x, bounds, 1),
        strict=True,
    ):
        same(part, right)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    sizes = tuple(np.diff([0, *cuts, n]).tolist())
    for part, right in zip(
        values(movement.split, x, size_or_sizes=sizes, axis=-1),
        np.split(x, cuts, 1),
        strict=True,
    ):
        same(part, right)
    chunks = values(movement.chunk, x, chunks=step, axis=1)
    same(np.concatenate(chunks, 1), x)
    assert len(chunks) <= step
    widths = [chunk.shape[1] for chunk in chunks]
    assert all(width == widths[0] for width in widths[:-1])
    assert widths[-1] <= widths[0]


def test_split_refuses():
    for sizes in ((1, 1), (2, 2), (4, -1)):
        with pytest.raises(ShapeError, match="do not sum"):
            movement.split(node(3), sizes)
    with pytest.raises(ShapeError, match="at least 1"):
        movement.split(node(3), 0)
    with pytest.raises(ArgumentTypeError, match="a size must be an integer"):
        movement.split(node(3), 1.5)
    with pytest.raises(ArgumentError, match="at least one chunk"):
        movement.chunk(node(3), 0)


@few
@given(SHAPES, st.data())
def test_flip_and_flatten(shape, data):
    x = numbers(shape)
    same(value(movement.flip, x), np.flip(x))
    if x.ndim == 0:
        same(value(movement.flatten, x), x.reshape(1))
        return
    axes = data.draw(
        st.lists(st.integers(0, x.ndim - 1), max_size=3, unique=True).map(tuple)
    )
    same(value(movement.flip, x, axis=axes), np.flip(x, axes))
    first = data.draw(st.integers(0, x.ndim - 1))
    last = data.draw(st.integers(first, x.ndim - 1))
    merged = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    flat = value(movement.flatten, x, start_axis=first, end_axis=last - x.ndim)
    same(flat, x.reshape(merged))


@few
@given(SHAPES, st.data())
def test_broadcast_to(shape, data):
    x = numbers(shape)
    wide = [data.draw(st.integers(0, 3)) if n == 1 else n for n in shape]
    lead = data.draw(st.lists(st.integers(0, 2), max_size=2))
    target = (*lead, *wide)
    same(value(movement.broadcast_to, x, shape=target), np.broadcast_to(x, target))


@few
@given(hnp.array_shapes(min_dims=2, max_dims=3, min_side=0), st.integers(-4, 4))
def test_triangles(shape, k):
    x = numbers(shape) + 1
    same(value(movement.tril, x, k=k), np.tril(x, k))
    same(value(movement.triu, x, k=k), np.triu(x, k))


@few
@given(FULL_SHAPES, st.data())
def test_slices_and_padding(shape, data):
    x = numbers(shape)
    starts = [data.draw(st.integers(0, n)) for n in shape]
    stops = [
        data.draw(st.integers(low, n)) for low, n in zip(starts, shape, strict=True)
    ]
    steps = [data.draw(st.integers(1, 3)) for _ in shape]
    part = value(movement.slice_, x, starts=starts, stops=stops, steps=steps)
    same(part, x[tuple(map(slice, starts, stops, steps))])
    widths = [
        (data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in shape
    ]
    padded = value(movement.pad_constant, x, widths=widths, value=-1.5)
    same(padded, np.pad(x, widths, constant_values=-1.5))


# --- reductions over random axes

REDUCTIONS = {
    "sum": (reduce.sum, np.sum),
    "prod": (reduce.prod, np.prod),
    "max": (reduce.max, np.max),
    "min": (reduce.min, np.min),
    "mean": (reduce.mean, np.mean),
    "var": (reduce.var, np.var),
    "std": (reduce.std, np.std),
    "all": (reduce.all, np.all),
    "any": (reduce.any, np.any),
    "count_nonzero": (reduce.count_nonzero, np.count_nonzero),
    "logsumexp": (reduce.logsumexp, lambda x, axis, keepdims: np.log(
        np.sum(np.exp(x), axis, keepdims=keepdims)
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=25, deadline=None)
@given(SHAPES, st.data())
def test_reductions(name, shape, data):
    op, theirs = REDUCTIONS[name]
    x = np.sin(numbers(shape)).round(1)
    axis = data.draw(
        st.one_of(
            st.none(),
            st.lists(
                st.integers(0, max(x.ndim - 1, 0)), max_size=x.ndim, unique=True
            ).map(tuple),
        )
    )
    keepdims = data.draw(st.booleans())
    axes = range(x.ndim) if axis is None else axis
    if name in ("max", "min") and 0 in [shape[a] for a in axes]:
        with pytest.raises(ShapeError, match="no value over zero elements"):
            op(node(*shape), axis, keepdims=keepdims)
        return
    with np.errstate(all="ignore"):
        if math.prod(shape[a] for a in axes):
            expected = np.asarray(theirs(x, axis=axis, keepdims=keepdims))
        else:
            empty = {"mean": np.nan, "var": np.nan, "std": np.nan, "logsumexp": -np.inf}
            empty |= {"prod": 1, "all": True}
            total = np.sum(x, axis=axis, keepdims=keepdims)
            expected = np.full(total.shape, empty.get(name, 0))
    found = value(op, x, axis=axis, keepdims=keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@few
@given(FULL_SHAPES, st.data())
def test_positions_and_running_reductions(shape, data):
    x = np.sin(numbers(shape) * 7).round(1)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    keepdims = data.draw(st.booleans())
    for op, theirs in ((reduce.argmax, np.argmax), (reduce.argmin, np.argmin)):
        found = value(op, x, axis=axis, keepdims=keepdims)
        same(found, np.asarray(theirs(x, axis, keepdims=keepdims)))
        same(value(op, x, keepdims=keepdims), np.asarray(theirs(x, keepdims=keepdims)))
    np.testing.assert_allclose(
        value(reduce.cumulative_sum, x, axis=axis), np.cumsum(x, axis), atol=1e-12
    )
    np.testing.assert_allclose(
        value(reduce.cumulative_prod, x, axis=axis), np.cumprod(x, axis), atol=1e-12
    )
    maximum = value(reduce.cumulative_max, x, axis=axis)
    same(maximum, np.maximum.accumulate(x, axis))
    n = data.draw(st.integers(0, 3))
    same(value(reduce.diff, x, axis=axis, n=n), np.diff(x, n, axis))


# --- contractions


@st.composite
def equations(draw):
    """Draw an equation and shapes for its operands."""
    letters = string.ascii_letters[: draw(st.integers(1, 5))]
    sizes = {letter: draw(st.integers(1, 3)) for letter in letters}
    terms = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(draw(st.permutations(used)))[: draw(st.integers(0, len(used)))]
    dots = draw(st.booleans())
    lead = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=2)) if dots else ()
    full, written = [], []
    for term in terms:
        start = draw(st.integers(0, len(lead)))
        some = tuple(1 if draw(st.booleans()) else n for n in lead[start:])
        at = draw(st.integers(0, len(term))) if dots else 0
        named = [sizes[letter] for letter in term]
        full.append((*named[:at], *some, *named[at:]))
        written.append(f"{term[:at]}...{term[at:]}" if dots else term)
    right = f"->{'...' if dots else ''}{output}"
    return ",".join(written) + (right if draw(st.booleans()) else ""), full


@settings(max_examples=150, deadline=None)
@given(equations())
def test_einsum(case):
    equation, full = case
    arrays = [np.cos(numbers(shape) + i) for i, shape in enumerate(full)]
    expected = np.asarray(np.einsum(equation, *arrays))
    found = value(lambda *xs: contract.einsum(equation, *xs), *arrays)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("equation", "sizes"),
    [
        ("ij,jk->ik", [(2, 3)]),
        ("ij->i", [(2,)]),
        ("i->ii", [(2,)]),
        ("i->j", [(2,)]),
        ("i.j->i", [(2, 2)]),
        ("......i->i", [(2, 2)]),
        ("i->->i", [(2,)]),
        ("i1->i", [(2, 2)]),
        ("->", [(2,)]),
    ],
)
def test_an_equation_that_is_malformed(equation, sizes):
    with pytest.raises(ArgumentError, match=r"\[einsum\]"):
        contract.einsum(equation, *(node(*shape) for shape in sizes))


def test_einsum_refuses():
    with pytest.raises(ShapeError, match="the index j has two sizes"):
        contract.einsum("ij,jk", node(2, 3), node(4, 2))
    with pytest.raises(ShapeError, match=r"the index \.\.\. has two sizes"):
        contract.einsum("...i,...i", node(2, 3), node(4, 3))
    with pytest.raises(ArgumentTypeError, match="must be a string"):
        contract.einsum(["ij"], node(2, 3))


@st.composite
def factors(draw):
    """Draw shapes that can be multiplied as stacks of matrices."""
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    lead = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3))
    first, second = lead.input_shapes
    left = (k,) if draw(st.booleans()) else (*first, m, k)
    right = (k,) if draw(st.booleans()) else (*second, k, n)
    return left, right


@few
@given(factors())
def test_matmul(pair):
    x, y = (np.sin(numbers(shape)) for shape in pair)
    expected = np.asarray(np.matmul(x, y))
    found = value(contract.matmul, x, y)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_matmul_refuses():
    with pytest.raises(ShapeError) as error:
        contract.matmul(node(2, 3), node(2, 3))
    assert error.value.message == (
        "[matmul] the inner sizes differ. Got: (2, 3) @ (2, 3): the last axis of the "
        "first has 3 elements, axis -2 of the second has 2. "
        "Expected: (..., m, k) @ (..., k, n). "
        "Fix: transpose one of them, for example with .mT."
    )
    with pytest.raises(ShapeError, match="a scalar has no rows"):
        contract.matmul(node(), node(2))


@few
@given(st.data())
def test_tensordot_and_vecdot(data):
    shape = data.draw(FULL_SHAPES)
    x = np.sin(numbers(shape))
    axes = data.draw(st.permutations(range(x.ndim)))
    count = data.draw(st.integers(0, x.ndim))
    y = np.cos(numbers([shape[a] for a in axes]))
    pair = (tuple(axes[:count]), tuple(range(count)))
    np.testing.assert_allclose(
        value(contract.tensordot, x, y, axes=pair), np.tensordot(x, y, pair), atol=1e-12
    )
    z = np.cos(x)
    np.testing.assert_allclose(
        value(contract.tensordot, x, z.T, axes=1 if x.ndim == 1 else 0),
        np.tensordot(x, z.T, 1 if x.ndim == 1 else 0),
        atol=1e-12,
    )
    axis = data.draw(st.integers(-x.ndim, -1))
    product = value(contract.vecdot, x, z, axis=axis)
    np.testing.assert_allclose(product, np.sum(x * z, axis), atol=1e-12)


def test_products_refuse():
    with pytest.raises(ShapeError, match="axes come in pairs"):
        contract.tensordot(node(2, 3), node(3, 2), axes=((0, 1), (1,)))
    with pytest.raises(ArgumentError, match="a number, or a list for each operand"):
        contract.tensordot(node(2, 3), node(3, 2), axes=((0,), (1,), (2,)))
    with pytest.raises(ArgumentError, match="not so many axes"):
        contract.tensordot(node(2), node(2, 2), axes=2)
    with pytest.raises(ShapeError, match="two vectors are needed"):
        contract.outer(node(2), node(2, 2))
    with pytest.raises(ShapeError, match="sizes along the axis differ"):
        contract.vecdot(node(2), node(3))


def test_linear():
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=s) for s in ((2, 3, 4), (5, 4), (5,)))
    np.testing.assert_allclose(
        value(contract.linear, x, weight, bias), x @ weight.T + bias, atol=1e-12
    )
    with pytest.raises(ShapeError, match="the bias is not one number"):
        contract.linear(node(2, 4), node(5, 4), node(2, 5))
    with pytest.raises(ShapeError, match="the input's features"):
        contract.linear(node(2, 3), node(5, 4))


# --- elementwise ops broadcast


@few
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_elementwise_ops_broadcast(some):
    x, y, z = (np.cos(numbers(shape)) for shape in some.input_shapes)
    same(value(elementwise.multiply, x, y), np.asarray(x * y))
    same(value(elementwise.where, x > 0, y, z), np.where(x > 0, y, z))
    low, high = np.minimum(y, z), np.maximum(y, z)
    same(value(elementwise.clip, x, low, high), np.asarray(np.clip(x, low, high)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64"])
def test_expanded_arrays_are_views_that_cannot_be_written(dtype):
    x = np.arange(6).astype(as_dtype(dtype).numpy).reshape(2, 1, 3)
    cases = [
        (x, (4, 2, 5, 3)), (x[:, :, ::2], (2, 3, 2)), (x[:0], (0, 2, 3)),
        (x[0, 0, 0], (2, 2)), (x[:1, :, 0], (3, 0)), (x, (2, 1, 3)),
    ]  # fmt: skip
    for array, shape in cases:
        found = movement.EXPAND.reference(array, shape=shape)
        same(found, np.broadcast_to(array, shape))
        assert not found.flags.writeable
        assert not found.size or np.shares_memory(found, array) or array.ndim == 0


def test_bilinear():
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    weight, bias = rng.normal(size=(5, 2, 3)), rng.normal(size=5)
    expected = np.einsum("ni,kij,nj->nk", x1, weight, x2)
    found = value(contract.bilinear, x1, x2, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    found = value(contract.bilinear, x1, x2, weight, bias)
    np.testing.assert_allclose(found, expected + bias, rtol=1e-12)
    for arrays, message in (
        (
            (x1, x1, weight),
            "[bilinear] the inputs' features are not those of the weight. Got: inputs "
            "(4, 2) and (4, 2), weight (5, 2, 3). Expected: inputs (..., in1_features) "
            "and (..., in2_features), weight (out_features, in1_features, "
            "in2_features).",
        ),
        (
            (x1, x2, weight, bias[:2]),
            "[bilinear] the bias is not one number for each output feature. Got: bias "
            "(2,), weight (5, 2, 3). Expected: bias (5,).",
        ),
    ):
        with pytest.raises(ShapeError) as error:
            value(contract.bilinear, *arrays)
        assert error.value.message == message
