"""Elements side by side: lines of which each part is something else."""

import numpy as np
import pytest

from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import float32
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r

from .. import both


def joined(lines, sizes):
    """Return a graph of sines and cosines of operands, side by side."""
    inputs = [make_input((lines, size), float32) for size in sizes]
    parts = [(e.sin, e.cos)[i % 2](x) for i, x in enumerate(inputs)]
    return Graph(inputs, [m.concat(parts, axis=1)])


def padded(lines, size, before, after):
    """Return a graph of two operands with zeros around them, added up."""
    x, y = (make_input((lines, size), float32) for _ in range(2))
    first = m.pad_constant(e.sin(x), [(0, 0), (before, after)])
    second = m.pad_constant(e.cos(y), [(0, 0), (after, before)], 2.0)
    return Graph([x, y], [e.add(first, second)])


def check(graph):
    rng = np.random.default_rng(0)
    both.check(graph, [numbers(rng, x) for x in graph.inputs])


def numbers(rng, x):
    return rng.uniform(-1, 1, x.shape).astype(np.float32)


def text(graph):
    (kernel,) = compile_graph(graph, host()).kernels
    return kernel.stages["loops"]()


WIDE = host().lanes(float32)


@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("size", [WIDE, WIDE + 1, 2 * WIDE + 5])
def test_parts_of_lines_are_told_apart_outside_of_loops(lines, size):
    graph = joined(lines, [size, size + 2, size])
    check(graph)
    found = text(graph)
    assert " if " not in found
    assert "select" not in found
    # Each part has a loop over its vectors, and one for what is left over.
    assert found.count("sin(") == (2 if size == WIDE else 4)


def test_what_is_around_elements():
    graph = padded(3, 2 * WIDE, WIDE, 3 * WIDE)
    check(graph)
    assert "select" not in text(graph)


@pytest.mark.parametrize(
    "sizes", [(WIDE, 3, WIDE), (WIDE,) * 9, (1, 2, 3)], ids=["short", "many", "small"]
)
def test_parts_that_are_short_or_many_are_told_apart_inside(sizes):
    graph = joined(2, sizes)
    check(graph)
    assert "select" in text(graph)


def test_a_long_line_is_shared_by_threads():
    graph = joined(1, [200_000, 300_000])
    check(graph)
    (kernel,) = compile_graph(graph, host()).kernels
    assert kernel.chunks > 1


@pytest.mark.parametrize("size", [2, 3, 5])
def test_vectors_run_on_over_short_lines_of_much_work(size):
    x, y = make_input((3 * WIDE, size), float32), make_input((size,), float32)
    much = e.multiply(x, y)
    for _ in range(8):
        much = e.sin(e.exp(e.negative(much)))
    much = Graph([x, y], [much])
    check(much)
    assert f"in {size} of" not in text(much)
    # Where little is done, reading over the ends of lines costs more.
    little = Graph([x, y], [e.add(x, y)])
    check(little)
    assert f"in {size} of" in text(little)


def test_what_is_joined_along_rows_is_chosen_once():
    """Later passes over a row read what the first one has put together."""
    inputs = [make_input((2, 3, 40), float32) for _ in range(5)]
    x = m.concat(inputs, axis=1)
    centred = e.subtract(x, r.mean(x, axis=(0, 2), keepdims=True))
    spread = r.mean(e.multiply(centred, centred), axis=(0, 2))
    graph = Graph(inputs, [spread])
    check(graph)
    found = text(graph)
    assert all(found.count(f"x{i}[") == found.count("x0[") for i in range(1, 5))
    assert found.count("x0[") == len(range(0, 40, WIDE))
