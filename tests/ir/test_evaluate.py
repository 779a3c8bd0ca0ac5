"""Running graphs: what is computed ahead, what memory is shared, where errors point."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from plait.dtypes import float32, float64, int64
from plait.errors import IndexingError
from plait.ir.build import apply, make_input
from plait.ir.evaluate import Interpreted, interpret
from plait.ir.graph import Graph
from plait.ops import elementwise, gather, movement, reduce, source


def real(*shape):
    return make_input(shape, float64)


def counted(primitive):
    """Return a copy of the primitive, and the list of operands that it is run with."""
    calls = []

    def reference(*arrays, **attributes):
        calls.append(arrays)
        return primitive.reference(*arrays, **attributes)

    return replace(primitive, reference=reference), calls


def test_each_node_runs_once():
    square, calls = counted(elementwise.MULTIPLY)
    x = real(2)
    y = apply(square, x, x)
    z = elementwise.add(elementwise.add(y, x), y)
    (found,) = interpret(Graph([x], [z]), [np.array([1.0, 3.0])])
    assert found.tolist() == [3.0, 21.0]
    assert len(calls) == 1


def test_values_live_as_long_as_they_are_needed():
    """Random chains of nodes, each with operands from anywhere before it."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        nodes = [real(), real(), source.constant(2.0, float64)]
        numbers = [*rng.normal(size=2), 2.0]
        for _ in range(20):
            i, j = rng.integers(0, len(nodes), 2)
            op = [elementwise.add, elementwise.subtract][rng.integers(2)]
            nodes.append(op(nodes[i], nodes[j]))
            sign = 1 if op is elementwise.add else -1
            numbers.append(numbers[i] + sign * numbers[j])
        chosen = [*rng.integers(0, len(nodes), 5)]
        graph = Graph(nodes[:2], [nodes[i] for i in chosen])
        ready = Interpreted(graph)
        for _ in range(2):
            found = ready.run([np.array(x) for x in numbers[:2]])
            np.testing.assert_allclose(found, [numbers[i] for i in chosen])


def test_what_depends_on_no_input_runs_ahead():
    add, calls = counted(elementwise.ADD)
    x = real(3)
    row = movement.expand(source.constant(2.0, float64), (3,))
    three = apply(add, row, source.full((3,), 1.0, float64))
    graph = Graph([x], [elementwise.multiply(x, three), three])
    ready = Interpreted(graph)
    assert len(calls) == 1
    for _ in range(2):
        product, alone = ready.run([np.array([1.0, 2.0, 3.0])])
        assert product.tolist() == [3.0, 6.0, 9.0]
        assert alone.tolist() == [3.0, 3.0, 3.0]
        alone[...] = 0  # the caller's own
    assert len(calls) == 1


def test_large_constants_are_not_kept():
    add, calls = counted(elementwise.ADD)
    row = source.full((100_000,), 1.0, float32)
    ready = Interpreted(Graph([], [reduce.sum(apply(add, row, row))]))
    assert not calls
    assert ready.run([]) == [200_000]


def test_an_error_names_the_line_of_its_node():
    x, i = real(3), make_input((), int64)
    y = gather.gather(x, i, 0)
    with pytest.raises(IndexingError) as caught:
        interpret(Graph([x, i], [y]), [np.zeros(3), np.array(3)])
    assert caught.value.where == y.where


def test_an_error_of_constants_is_raised_when_they_are_needed():
    y = gather.gather(source.constant([1.0], float64), source.constant(1, int64), 0)
    ready = Interpreted(Graph([], [y]))
    with pytest.raises(IndexingError):
        ready.run([])


def test_numpy_does_not_warn_of_infinities():
    x = real(2)
    graph = Graph([x], [elementwise.log(x), elementwise.divide(1, x)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logs, inverses = interpret(graph, [np.array([0.0, -1.0])])
        elementwise.LOG.reference(np.array([0.0, -1.0]))
    np.testing.assert_array_equal(logs, [-np.inf, np.nan])
    np.testing.assert_array_equal(inverses, [np.inf, -1])


def test_an_input_may_be_an_output_and_values_must_be_given_for_all():
    x, y = real(2), real(2)
    ready = Interpreted(Graph([x, y], [y, x, y]))
    found = ready.run([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    assert [z.tolist() for z in found] == [[3, 4], [1, 2], [3, 4]]
    with pytest.raises(ValueError, match="1 values for 2 inputs"):
        ready.run([np.zeros(2)])
