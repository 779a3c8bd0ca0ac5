"""Compiled programs where something is at an edge: of vectors, of memory, of what is
allowed.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from plait.compile.llvm.target import host
from plait.dtypes import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
)  # fmt: skip
from plait.errors import IndexingError, LinearAlgebraError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import contract, gather, index, linalg, loss
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops import source as s
from plait.program import WrongIndex
from plait.runtime import Runner
from plait.settings import settings
from plait.tensor.tier import Tiered
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from . import both

FLOATS = (float64, float32, float16, bfloat16)
W = host().lanes(float32)
EDGES = (0, 1, W - 1, W, W + 1, 4 * W, 6 * W + 1)


def examine(function, *types, exact=False, gradients=False, rng=0, **options):
    """Check what a function of nodes gives, for inputs of some types."""
    rng = np.random.default_rng(rng)
    inputs = [make_input(*one, differentiable=one[1].is_float) for one in types]
    outputs = function(*inputs)
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    arrays = [both.numbers(rng, *one) for one in types]
    if gradients:
        seeds = [s.constant(rng.uniform(-1, 1, y.shape), y.dtype) for y in outputs]
        found = pull_back(outputs, seeds, inputs)
        outputs += [ct for ct in found if ct is not None]
    for graph in (Graph(inputs, outputs), simplify(Graph(inputs, outputs))):
        both.check(graph, arrays, exact=exact, **options)


# --- sizes at the edges of vectors


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_chains_of_elementwise_operations(size, dtype):
    def chain(x, y):
        z = e.multiply(e.add(x, y), 0.5)
        return e.tanh(e.subtract(z, e.exp(e.negative(e.abs(x))))), e.maximum(z, x)

    examine(chain, ((size,), dtype), ((size,), dtype), gradients=True)


@pytest.mark.parametrize("size", EDGES)
def test_integers_of_different_widths_in_one_kernel(size):
    def mixed(x, y, z):
        total = e.add(e.cast(x, int64), e.cast(y, int64))
        return (
            total,
            e.cast(e.multiply(total, 3), int8),
            e.select(z, x, e.cast(y, int8)),
        )

    examine(mixed, ((size,), int8), ((size,), int32), ((size,), bool_), exact=True)


REDUCTIONS = {
    "sum": r.sum, "prod": r.prod, "max": r.max, "min": r.min, "mean": r.mean,
    "var": r.var, "logsumexp": r.logsumexp,
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_all_axes(name, keepdims):
    shape = (3, W + 1, 5)
    for count in range(4):
        for axes in itertools.combinations(range(3), count):
            examine(
                lambda x, axes=axes: REDUCTIONS[name](x, axes, keepdims=keepdims),
                (shape, float32), slowly=False,
            )  # fmt: skip


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_reductions_of_rows_and_columns(size, name):
    function = REDUCTIONS[name]
    for dtype in (float32, float64, bfloat16):
        for shape, axes in (((size,), [0]), ((2, size), [1]), ((size, 3), [0])):
            if size or name != "mean":
                examine(lambda x, axes=axes: function(x, axes), (shape, dtype))


@pytest.mark.parametrize("size", EDGES[1:])
@pytest.mark.parametrize("function", [r.max, r.min, r.argmax, r.argmin])
def test_extremes_of_rows_and_columns(size, function):
    for dtype in (float32, int32, uint8):
        for axis in (0, 1):
            examine(
                lambda x, axis=axis: function(x, axis),
                ((size, size), dtype), exact=True, slowly=False,
            )  # fmt: skip


@pytest.mark.parametrize("function", [r.max, r.min, r.argmax, r.argmin, r.sum])
def test_numbers_that_are_none(function):
    x = make_input((3, 2 * W + 3), float32)
    array = np.zeros((3, 2 * W + 3), np.float32)
    array[0, W + 2] = np.nan
    array[1, 1], array[1, 2] = np.inf, -np.inf
    array[2, -1] = np.nan
    both.check(Graph([x], [function(x, 1), function(x, 0)]), [array], exact=True)


def softmax(x):
    exps = e.exp(e.subtract(x, r.max(x, [-1], keepdims=True)))
    return e.divide(exps, r.sum(exps, [-1], keepdims=True))


def layer_norm(x, weight, bias):
    centred = e.subtract(x, r.mean(x, [-1], keepdims=True))
    spread = e.rsqrt(e.add(r.mean(e.square(centred), [-1], keepdims=True), 1e-5))
    return e.add(e.multiply(e.multiply(centred, spread), weight), bias)


@pytest.mark.parametrize("size", EDGES[1:])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rows_that_take_several_passes(size, dtype):
    examine(softmax, ((3, size), dtype), gradients=True, slowly=False)
    examine(
        lambda x: r.logsumexp(x, [0]), ((size, 3), dtype), gradients=True, slowly=False
    )
    types = [((2, size), dtype), ((size,), dtype), ((size,), dtype)]
    examine(layer_norm, *types, gradients=True, slowly=False)


@pytest.mark.parametrize("classes", [1, 2, W - 1, W + 1, 7 * W])
def test_cross_entropy_forwards_and_backwards(classes):
    rng = np.random.default_rng(0)
    x = make_input((5, classes), float32, differentiable=True)
    labels = make_input((5,), int64)
    y = loss.cross_entropy(x, labels)
    (ct,) = pull_back([y], [s.constant(1.0, y.dtype)], [x])
    arrays = [
        rng.standard_normal((5, classes)).astype(np.float32),
        rng.integers(0, classes, 5),
    ]
    both.check(simplify(Graph([x, labels], [y, ct])), arrays)


@pytest.mark.parametrize("size", EDGES)
def test_products_of_all_small_sizes(size):
    for dtype in (float32, float64, bfloat16):
        for rows, inner in ((1, 3), (3, size), (size, 1)):
            examine(
                contract.matmul, ((rows, inner), dtype), ((inner, size), dtype),
                slowly=False,
            )  # fmt: skip


# --- large enough for several chunks and threads


@pytest.mark.parametrize("dtype", [float32, bfloat16], ids=str)
def test_large_ones(dtype):
    wide = (700, 1000)
    options = {"slowly": False, "threads": (1, 2, 3)}
    examine(
        lambda x, y: e.add(e.tanh(x), e.multiply(x, y)), (wide, dtype), (wide, dtype),
        **options,
    )  # fmt: skip
    examine(softmax, (wide, dtype), gradients=True, **options)
    examine(lambda x: (r.sum(x, [0]), r.max(x, [0, 1])), (wide, dtype), **options)
    examine(lambda x: m.permute_dims(e.exp(x), (1, 0)), (wide, dtype), **options)


def test_a_large_product_gives_the_same_bits_on_any_threads():
    shapes = (((300, 200), float32), ((200, 500), float32))
    examine(
        lambda x, y: e.tanh(contract.matmul(x, y)), *shapes, gradients=True,
        slowly=False, threads=(1, 2, 3, 5),
    )  # fmt: skip


def test_a_sum_of_everything_on_many_threads():
    examine(
        lambda x: r.sum(e.square(x), [0]), ((1_000_003,), float32),
        slowly=False, threads=(1, 2, 4),
    )  # fmt: skip


# --- what comes in and goes out


def test_arrays_with_gaps_and_turned_ones():
    x, y = make_input((W + 1, 3), float32), make_input((3,), float32)
    graph = Graph([x, y], [e.add(x, y), r.sum(x, [0])])
    rng = np.random.default_rng(0)
    turned = np.asfortranarray(rng.standard_normal((W + 1, 3)).astype(np.float32))
    gaps = rng.standard_normal((2 * W + 2, 6)).astype(np.float32)[::2, ::2]
    backwards = rng.standard_normal((W + 1, 3)).astype(np.float32)[::-1, ::-1]
    row = rng.standard_normal(6).astype(np.float32)[::2]
    for one in (turned, gaps, backwards):
        both.check(graph, [one, row], slowly=False)
    fixed = np.broadcast_to(np.float32(2.0), (W + 1, 3))
    both.check(graph, [fixed, row], slowly=False)


def test_arrays_that_are_aligned_to_their_elements_only():
    x, y = make_input((3, W + 3), float32), make_input((W + 3, 4), float32)
    graph = Graph([x, y], [e.exp(x), contract.matmul(x, y)])
    rng = np.random.default_rng(0)
    first = np.zeros(3 * (W + 3) + 1, np.float32)[1:].reshape(3, W + 3)
    second = np.zeros(4 * (W + 3) + 3, np.float32)[3:].reshape(W + 3, 4)
    first[:], second[:] = rng.random(first.shape), rng.random(second.shape)
    both.check(graph, [first, second], slowly=False)


def test_outputs_of_all_kinds():
    x, y = make_input((2, 3), float32), make_input((2, 3), float32)
    z = e.add(x, y)
    constant = s.constant(np.arange(6.0).reshape(2, 3), float32)
    outputs = [
        z, x, z, m.reshape(x, (3, 2)), constant, x, m.permute_dims(z, (1, 0)), constant,
        s.full((4,), 2.0, float32), m.slice_(z, [0, 1], [2, 3]), s.full((), 1, int32),
    ]  # fmt: skip
    graph = Graph([x, y], outputs)
    rng = np.random.default_rng(0)
    arrays = [both.numbers(rng, (2, 3), float32) for _ in range(2)]
    found = both.check(graph, arrays, exact=True)
    for a, b in itertools.combinations((*arrays, *found), 2):
        assert not np.shares_memory(a, b)


@pytest.mark.parametrize("name", ["inputs", "constants", "nothing"])
def test_programs_without_kernels(name):
    x = make_input((3,), float32)
    outputs = {
        "inputs": [x, x], "constants": [s.constant([1.0, 2.0], float32)], "nothing": [],
    }[name]  # fmt: skip
    graph = Graph([x], outputs)
    both.check(graph, [np.arange(3, dtype=np.float32)], exact=True)


def test_sizes_of_zero():
    def empty(x, y):
        return (
            e.add(x, 1.0), r.sum(x, [0]), r.prod(x, [0, 1]), r.sum(x, [1]),
            m.concat([x, x], axis=1), m.pad_constant(x, [(1, 2), (0, 1)], 5.0),
            contract.matmul(m.matrix_transpose(x), x), contract.matmul(y, x), y,
        )  # fmt: skip

    examine(empty, ((0, 3), float32), ((2, 0), float32), exact=True)


# --- depth


def test_long_chains():
    x = make_input((W + 1,), float32)
    y = x
    for i in range(1000):
        y = e.add(y, float(i % 3))
    array = np.linspace(-1, 1, W + 1, dtype=np.float32)
    both.check(Graph([x], [y]), [array], slowly=False)


def test_long_chains_of_moves():
    x = make_input((1000, 2), int32)
    y = z = w = x
    for i in range(100):
        y = m.slice_(y, [1, 0], [y.shape[0], 2])
        z = m.flip(m.pad_constant(z, [(1, 0), (0, 0)], i), axis=0)
        w = m.concat([m.slice_(w, [0, 0], [1, 2]), w], axis=0)
    arrays = [np.arange(2000, dtype=np.int32).reshape(1000, 2)]
    both.check(Graph([x], [y, z, w]), arrays, exact=True, slowly=False, prove=False)


def test_a_value_used_over_and_over():
    x = make_input((W,), float32)
    y = x
    for _ in range(200):
        y = e.multiply(e.add(y, y), 0.5)
    array = np.arange(W, dtype=np.float32)
    both.check(Graph([x], [y]), [array], exact=True, slowly=False)


def test_many_outputs():
    x = make_input((3, W), float32)
    outputs = [e.multiply(x, float(i)) for i in range(300)]
    outputs += [r.sum(y, [1]) for y in outputs]
    both.check(
        Graph([x], outputs), [np.ones((3, W), np.float32)], exact=True, slowly=False
    )


# --- memory that is given away


def update(x, grad, first):
    """Adam's update, more or less."""
    first = e.add(e.multiply(first, 0.9), e.multiply(grad, 0.1))
    return e.subtract(x, e.multiply(first, 0.01)), first


def updating(shape):
    inputs = [make_input(shape, float32) for _ in range(3)]
    return Graph(inputs, update(*inputs))


def three(shape):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]


@pytest.mark.parametrize("size", [W - 1, 5 * W + 3, 100_000])
def test_updates_take_the_place_of_what_nobody_holds(size):
    graph = updating((size,))
    program = both.compiled(graph)
    assert sorted(program.donations.values()) == [0, 1]
    runner = Runner(program)
    expected = interpret(graph, three(size))
    values = three(size)
    places = [x.ctypes.data for x in values]
    found = runner.run(values)
    assert values == []
    both.agree(graph, three(size), expected, found)
    assert {x.ctypes.data for x in found} < set(places)


def test_what_others_hold_is_not_overwritten():
    graph = updating((W + 1,))
    runner = Runner(both.compiled(graph))
    expected = interpret(graph, three(W + 1))
    held = three(W + 1)
    copies = [x.copy() for x in held]
    view = three(W + 1)
    cases = [
        (list(held), held),  # variables
        (tuple(held), held),  # no list
        ([x[:] for x in view], view),  # views
        ([np.ndarray(x.shape, x.dtype, memoryview(x)) for x in held], held),
    ]
    for values, kept in cases:
        both.agree(graph, copies, expected, runner.run(values))
        for one, copy in zip(kept, copies, strict=True):
            both.same_bits(one, copy)
    fixed = three(W + 1)
    for one in fixed:
        one.flags.writeable = False
    both.agree(graph, copies, expected, runner.run(fixed))


def test_one_array_for_two_inputs_is_not_overwritten():
    graph = updating((W + 1,))
    (array,) = three(W + 1)[:1]
    expected = interpret(graph, [array.copy()] * 3)
    runner = Runner(both.compiled(graph))
    both.agree(graph, [array] * 3, expected, runner.run([array, array, array]))


def test_an_input_that_is_read_later_is_not_overwritten():
    """Its old value is an output too, or goes into other results."""
    x, y = make_input((40, 40), float32), make_input((40, 40), float32)
    new = e.add(x, y)
    outputs = [new, r.sum(x, [0]), contract.matmul(x, y), x, m.flip(x, axis=[0])]
    for graph in (Graph([x, y], outputs), Graph([x, y], outputs[::-1])):
        arrays = [one[:, None] * np.ones((1, 40), np.float32) for one in three(40)[:2]]
        expected = interpret(graph, [one.copy() for one in arrays])
        runner = Runner(both.compiled(graph))
        copies = [one.copy() for one in arrays]
        found = runner.run([one.copy() for one in copies])
        both.agree(graph, copies, expected, found)


@pytest.mark.parametrize("function", [
    lambda x: m.flip(x, axis=[0]), lambda x: m.roll(x, 1, axis=0),
    lambda x: e.add(x, m.flip(x, axis=[0])), lambda x: m.permute_dims(x, (1, 0)),
    lambda x: e.subtract(x, r.mean(x, [0], keepdims=True)),
    lambda x: softmax(x), lambda x: e.subtract(x, r.max(x, [0, 1], keepdims=True)),
    lambda x: contract.matmul(x, x), lambda x: index.take(x, s.constant(
        np.arange(W + 1)[::-1].copy(), int64), axis=0),
])  # fmt: skip
def test_results_that_read_other_elements_are_right_in_any_memory(function):
    """Whether or not the result takes the operand's place."""
    x = make_input((W + 1, W + 1), float32)
    rng = np.random.default_rng(0)
    array = rng.standard_normal((W + 1, W + 1)).astype(np.float32)
    inner = e.multiply(x, 2.0)
    for graph in (Graph([x], [function(x)]), Graph([x], [function(inner)])):
        expected = interpret(graph, [array.copy()])
        found = Runner(both.compiled(graph)).run([array.copy()])
        both.agree(graph, [array], expected, found)


# --- wrong indices


def looking_up(check):
    """Return a graph that updates a table before or after it is looked up."""
    table, at = make_input((5, 3), float32), make_input((4,), int64)
    rows = index.take(table, at, axis=0) if check else gather.gather(table, at, 0)
    new = e.subtract(table, e.multiply(r.sum(rows, [0], keepdims=True), 0.5))
    return Graph([table, at], [rows, new])


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("wrong", [5, -6, 2**40, -(2**62)])
def test_a_wrong_index_is_the_interpreters_error(wrapped, wrong, monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")
    graph = looking_up(wrapped)
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    at = np.array([0, 1, wrong, 2])
    with pytest.raises(IndexingError) as expected:
        interpret(graph, [table, at])
    program = both.compiled(graph)
    assert program.donations == {0: 1}
    values = [table.copy(), at.copy()]
    with pytest.raises(WrongIndex) as caught:
        Runner(program).run(values)
    back = caught.value.args[0]
    both.same_bits(back[0], table)
    both.same_bits(back[1], at)
    with pytest.raises(IndexingError) as found:
        Tiered(graph).run([table.copy(), at.copy()])
    assert str(found.value) == str(expected.value)
    # And it goes on to work.
    good = [table, np.array([0, 1, 4, 2])]
    both.agree(graph, good, interpret(graph, good), Tiered(graph).run(list(good)))


def test_an_index_that_is_not_read_may_be_wrong():
    """What a condition leaves out is not looked up."""
    table, at = make_input((5,), float32), make_input((3,), int64)
    padded = m.pad_constant(gather.gather(table, at, 0), [(2, 2)], 1.0)
    graph = Graph([table, at], [m.slice_(padded, [0], [2])])
    arrays = [np.arange(5, dtype=np.float32), np.array([0, 4, 1])]
    both.check(graph, arrays, exact=True)


def test_a_matrix_that_is_refused_leaves_inputs_alone(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")
    x, matrix = make_input((3, 3), float64), make_input((3, 3), float64)
    graph = Graph([x, matrix], [e.add(x, 1.0), linalg.cholesky(matrix)])
    arrays = [np.zeros((3, 3)), -np.eye(3)]
    with pytest.raises(LinearAlgebraError) as expected:
        interpret(graph, arrays)
    values = [x.copy() for x in arrays]
    with pytest.raises((WrongIndex, LinearAlgebraError)) as caught:
        Runner(both.compiled(graph)).run(values)
    if isinstance(caught.value, WrongIndex):  # the interpreter shall say what it is
        for one, back in zip(arrays, caught.value.args[0], strict=True):
            both.same_bits(one, back)
    with pytest.raises(LinearAlgebraError) as found:
        Tiered(graph).run([x.copy() for x in arrays])
    assert str(found.value) == str(expected.value)
