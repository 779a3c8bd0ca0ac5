"""Vectorised expressions against a Python loop over the examples."""

import numpy as np
import pytest

from plait.dtypes import bool_, float64
from plait.errors import ArgumentError
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ir.primitive import Primitive
from plait.ops import contract, elementwise, movement, reduce, source
from plait.transform.batch import batch, batch_graph
from plait.transform.differentiate import pull_back

from .cases import cases, combinations, enter, results_of, run

SIZE = 3
TOLERANCE = {2: 5e-2, 4: 1e-5, 8: 1e-12}


def examples(array):
    """Return three arrays like `array`, of other values in the same range."""
    array = np.asarray(array)
    if array.dtype.kind in "biu":
        return [np.roll(array.ravel(), i).reshape(array.shape) for i in range(SIZE)]
    with np.errstate(all="ignore"):
        return [(array * scale).astype(array.dtype) for scale in (1.0, 1.015, 0.985)]


@pytest.mark.parametrize(
    ("primitive", "sample"), cases(lambda primitive, sample: sample.operands)
)
def test_a_batch_is_a_loop_over_its_examples(primitive, sample):
    rows = [examples(x) for x in sample.operands]
    for flags in combinations(len(rows)):
        inputs = enter(sample.operands)
        outputs = results_of(primitive, inputs, sample.attributes)
        many = [
            make_input((SIZE, *x.shape), x.dtype) if flag else x
            for x, flag in zip(inputs, flags, strict=True)
        ]
        pairs = zip(inputs, many, flags, strict=True)
        found = batch(outputs, {x: wide for x, wide, flag in pairs if flag})
        for y, (wide, flag) in zip(outputs, found, strict=True):
            assert flag
            assert wide.shape == (SIZE, *y.shape)
            assert wide.dtype is y.dtype
        arrays = [
            np.stack(row) if flag else row[0]
            for row, flag in zip(rows, flags, strict=True)
        ]
        values = run(many, [y for y, _ in found], arrays)
        for i in range(SIZE):
            one = [row[i if flag else 0] for row, flag in zip(rows, flags, strict=True)]
            for got, expected in zip(values, run(inputs, outputs, one), strict=True):
                assert got.dtype == expected.dtype
                tolerance = TOLERANCE.get(got.dtype.itemsize, 0)
                if got.dtype.kind not in "biu":
                    got, expected = got.astype(float), expected.astype(float)
                np.testing.assert_allclose(
                    got[i], expected, rtol=tolerance, atol=tolerance / 10
                )


def network(x, w):
    hidden = elementwise.tanh(contract.matmul(x, w))
    return reduce.sum(elementwise.square(hidden))


def test_gradients_of_each_example():
    x = make_input((4,), float64)
    w = make_input((4, 2), float64, differentiable=True)
    y = network(x, w)
    (gradient,) = pull_back([y], [source.full_like(y, 1)], [w])
    xs = make_input((5, 4), float64)
    ((wide, flag),) = batch([gradient], {x: xs})
    assert flag
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(5, 4)), random.normal(size=(4, 2))]
    (got,) = run([xs, w], [wide], arrays)
    for i in range(5):
        (expected,) = run([x, w], [gradient], [arrays[0][i], arrays[1]])
        np.testing.assert_allclose(got[i], expected, rtol=1e-12)


def test_batches_nest():
    x, y = make_input((), float64), make_input((), float64)
    z = elementwise.subtract(x, elementwise.exp(y))
    xs, ys = make_input((2,), float64), make_input((3,), float64)
    ((inner, _),) = batch([z], {x: xs})
    ((table, _),) = batch([inner], {y: ys})
    assert table.shape == (3, 2)
    a, b = np.array([1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    (got,) = run([xs, ys], [table], [a, b])
    np.testing.assert_allclose(got, a - np.exp(b)[:, None])


def test_what_does_not_depend_is_left_as_it_is():
    x, y = make_input((2,), float64), make_input((2,), float64)
    other = elementwise.sin(y)
    xs = make_input((3, 2), float64)
    found = batch([other, x, y, elementwise.add(x, other)], {x: xs})
    assert found[:3] == [(other, False), (xs, True), (y, False)]
    assert found[3][0].shape == (3, 2)


def test_no_examples():
    x = make_input((2,), float64)
    xs = make_input((0, 2), float64)
    ((y, _),) = batch([reduce.sum(elementwise.sin(x))], {x: xs})
    assert run([xs], [y], [np.zeros((0, 2))])[0].shape == (0,)


BARE = Primitive(name="bare", infer=lambda x: x, reference=np.exp)
HALVES = Primitive(
    name="halves",
    infer=lambda x: (x, x),
    reference=lambda x: (x / 2, x / 3),
    batch=lambda operands, batched, node: apply(HALVES, *operands),
)
APART = Primitive(
    name="apart",
    infer=lambda x: (x, x),
    reference=lambda x: (x / 2, x / 3),
    batch=lambda operands, batched, node: [
        elementwise.divide(operands[0], 2.0),
        elementwise.divide(operands[0], 3.0),
    ],
)


def test_a_primitive_without_a_rule_is_named():
    x, xs = make_input((), float64), make_input((3,), float64)
    with pytest.raises(ArgumentError, match=r"\[bare\] cannot be vectorised"):
        batch([apply(BARE, x)], {x: xs})


@pytest.mark.parametrize("primitive", [HALVES, APART])
def test_several_results(primitive):
    x, xs = make_input((), float64), make_input((3,), float64)
    found = batch(picks(apply(primitive, x)), {x: xs})
    values = run([xs], [y for y, _ in found], [np.array([6.0, 12.0, 0.0])])
    assert [v.tolist() for v in values] == [[3.0, 6.0, 0.0], [2.0, 4.0, 0.0]]


def test_a_graph_with_outputs_forced():
    x, y = make_input((2,), float64), make_input((2,), bool_)
    graph = Graph((x, y), (elementwise.sin(x), y, source.constant(1.0, float64)))
    wide, done = batch_graph(graph, (True, False), 4, (False, True, False))
    assert done == (True, True, False)
    assert [node.shape for node in wide.inputs] == [(4, 2), (2,)]
    assert [node.shape for node in wide.outputs] == [(4, 2), (4, 2), ()]
    again, _ = batch_graph(graph, (True, False), 4, (False, True, False))
    assert again is wide
    assert batch_graph(graph, (False, False), 4)[1] == (False, False, False)
    values = interpret(wide, [np.zeros((4, 2)), np.array([True, False])])
    assert values[1].tolist() == [[True, False]] * 4


def test_expanding_keeps_axes_of_size_one():
    x, xs = make_input((1, 3), float64), make_input((2, 1, 3), float64)
    ((y, _),) = batch([movement.expand(x, (4, 5, 3))], {x: xs})
    array = np.arange(6.0).reshape(2, 1, 3)
    (got,) = run([xs], [y], [array])
    np.testing.assert_array_equal(got[1], np.broadcast_to(array[1], (4, 5, 3)))
