"""When a compiled result counts as the interpreted one."""

import numpy as np
import pytest

from plait.dtypes import bfloat16, float16, float32, int32
from plait.errors import WrongResultError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import elementwise as e
from plait.ops import reduce as r
from plait.tensor.compare import compare


def changed(graph, arrays, change):
    """Compare the results of a graph with changed ones."""
    expected = interpret(graph, arrays)
    compare(graph, arrays, expected, [change(y) for y in expected])


@pytest.fixture
def total():
    x = make_input((1000,), float32)
    rng = np.random.default_rng(0)
    array = rng.uniform(0, 1, 1000).astype(np.float32)
    return Graph([x], [r.sum(x, [0]), e.exp(x)]), [array]


def test_roundings_are_let_pass(total):
    changed(*total, lambda y: y * np.float32(1 + 1e-6))


def test_wrong_numbers_are_not(total):
    for factor in (1.01, 0.99, -1.0, np.nan, np.inf):
        with pytest.raises(WrongResultError, match="differs from the interpreted one"):
            changed(*total, lambda y, factor=factor: y * np.float32(factor))


def test_one_wrong_element_is_found(total):
    def change(y):
        y = y.copy()
        y[..., -1:] += 0.5
        return y

    graph, arrays = total
    expected = interpret(graph, arrays)
    found = [expected[0], change(expected[1])]
    with pytest.raises(WrongResultError, match=r"1 of 1000 elements, first at .999,."):
        compare(graph, arrays, expected, found)


def test_a_difference_of_equal_numbers_may_be_any_rounding():
    """Relative to the result, 0, nothing would be small."""
    x = make_input((4,), float32)
    graph = Graph([x], [e.subtract(e.exp(x), e.exp(e.add(x, 0.0)))])
    array = np.ones(4, np.float32)
    changed(graph, [array], lambda y: y + np.float32(3e-7))
    with pytest.raises(WrongResultError):
        changed(graph, [array], lambda y: y + np.float32(1e-3))


def test_16_bits_on_the_way_are_seen():
    x = make_input((100,), float32)
    graph = Graph([x], [e.cast(e.add(e.cast(x, bfloat16), 1.0), float32)])
    array = np.linspace(0, 1, 100, dtype=np.float32)
    changed(graph, [array], lambda y: y * np.float32(1.004))


def test_the_smallest_numbers_are_rounded_by_as_much_as_they_are():
    x = make_input((2,), float16)
    graph = Graph([x], [e.multiply(x, x)])
    array = np.array([1e-4, 3e-4], np.float16)  # the squares are near 2 ** -24
    changed(graph, [array], lambda y: y * np.float16(0))
    with pytest.raises(WrongResultError):
        changed(graph, [array * 100], lambda y: y * np.float16(0))


def test_integers_are_exact():
    x = make_input((4,), int32)
    graph = Graph([x], [e.add(x, 1)])
    with pytest.raises(WrongResultError):
        changed(graph, [np.arange(4, dtype=np.int32)], lambda y: y + (y == 2))


def test_nan_where_it_is_expected():
    x = make_input((3,), float32)
    graph = Graph([x], [e.log(x)])
    array = np.array([-1, 0, 1], np.float32)
    changed(graph, [array], lambda y: y)
    with pytest.raises(WrongResultError):
        changed(graph, [array], lambda y: np.nan_to_num(y))
