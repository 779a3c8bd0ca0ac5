"""Minimal filtering: the matrices, and convolutions by tiles of four by four places."""

import numpy as np
import pytest

from plait.compile import pipeline
from plait.compile.llvm.target import host
from plait.compile.lower import convolution
from plait.compile.lower.filtering import FOUR, TAPS, TWO, from_points
from plait.compile.planning.alike import Shelf
from plait.dtypes import float64
from plait.ir.evaluate import interpret
from plait.program import Unless
from plait.runtime import Runner
from plait.tensor.compare import compare

from .test_convolution import TILED, forward


@pytest.mark.parametrize("filter", [TWO, FOUR, from_points((0.0, 1.0, -1.0))])
def test_matrices(filter):
    rng = np.random.default_rng(0)
    elements, taps = rng.normal(size=filter.met), rng.normal(size=TAPS)
    products = np.dot(filter.of_numbers, taps) * np.dot(filter.of_elements, elements)
    expected = np.correlate(elements, taps)
    np.testing.assert_allclose(np.dot(filter.of_products, products), expected)


def lasting(graph):
    return pipeline.compile_graph(graph, host(), lasts=True)


@pytest.fixture
def by_four(monkeypatch):
    """Filter with four places what is too small for it to pay."""
    monkeypatch.setattr(convolution, "filter_of", lambda *_: FOUR)
    monkeypatch.setattr(pipeline, "SHELF", Shelf())


@pytest.mark.parametrize("name", TILED)
@pytest.mark.usefixtures("by_four")
def test_tiles_of_four_by_four(name):
    x, weight, given = TILED[name]
    graph, arrays = forward(x, weight, **given)
    program = lasting(graph)
    assert any(isinstance(one, Unless) for one in program.instructions)
    runner = Runner(program)
    expected = interpret(graph, list(arrays))
    for _ in range(2):
        compare(graph, arrays, expected, runner.run(list(arrays)))
    other = [arrays[0] + 1, arrays[1] * 2]
    compare(graph, other, interpret(graph, list(other)), runner.run(list(other)))


def test_a_kernel_that_lasts_decides():
    graph, _ = forward((1, 128, 28, 28), (128, 128, 3, 3), padding=1)
    usual = pipeline.compile_graph(graph, host())
    assert not usual.lasts
    sizes = [max(use.size for use in one.uses) for one in usual.kernels]
    program = lasting(graph)
    assert program.lasting >= 36 * 128 * 128 * 4 > 4 * max(sizes)
    assert program.taken == program.lasting + program.arena + 128 * 28 * 28 * 4
    assert not pipeline.compile_graph(graph, host(), memory_limit=1, lasts=True).lasts


@pytest.mark.parametrize("size", [1, 3])
def test_a_large_kernel_is_copied_where_the_copy_lasts(size):
    """Windows that slide by two are not filtered; small kernels are read in place."""
    padding = size // 2
    shapes = (1, 160, 9, 9), (224, 160, size, size)
    graph, arrays = forward(*shapes, stride=2, padding=padding)
    assert not pipeline.compile_graph(graph, host()).lasts
    program = lasting(graph)
    assert program.lasting >= arrays[1].nbytes
    runner = Runner(program)
    expected = interpret(graph, list(arrays))
    for _ in range(2):
        compare(graph, arrays, expected, runner.run(list(arrays)))
    small, _ = forward((1, 16, 9, 9), (16, 16, size, size), stride=2, padding=padding)
    assert not lasting(small).lasts


def test_errors_stay_small():
    shapes = (1, 256, 28, 28), (256, 256, 3, 3)
    graph, (x, weight) = forward(*shapes, padding=1)
    x = np.maximum(x, 0)
    precise = [x.astype(np.float64), weight.astype(np.float64)]
    exact = forward(*shapes, dtype=float64, padding=1)[0]
    (expected,) = Runner(pipeline.compile_graph(exact, host())).run(precise)
    (found,) = Runner(lasting(graph)).run([x, weight])
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
