"""Nodes with kernels of their own: running reductions, scatter, sorting, searching."""

import numpy as np
import pytest

from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import (
    as_dtype,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, TensorType
from plait.ops import elementwise as e
from plait.ops import gather, reduce, sort, source
from plait.ops import movement as m
from plait.program import Copy, WrongIndex
from plait.runtime import Runner

from ..both import check, host_calls, same_numbers

# Sizes at the edges of vectors of 4, 8 and 16 lanes, and of runs that are sorted.
_SIZES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 100]
_NUMBERS = [
    float32,
    float64,
    bfloat16,
    float16,
    int8,
    int32,
    int64,
    uint8,
    uint32,
    uint64,
]
_ALL = [*_NUMBERS, int16, uint16, bool_]


def _values(seed, shape, dtype, ties=False):
    """Return numbers, with ties and what is special among them."""
    rng = np.random.default_rng(seed)
    if dtype is bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        x = rng.integers(-3, 4, shape) * 0.5 if ties else rng.uniform(-2, 2, shape)
        x = np.asarray(x)
        if ties:
            special = np.array([np.nan, np.inf, -np.inf, -0.0])
            x = np.where(rng.random(shape) < 0.3, special[rng.integers(0, 4, shape)], x)
        return x.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    if ties:
        edges = np.array([limits.min, limits.max, 0, 1, 2], dtype.numpy)
        return edges[rng.integers(0, 5, shape)]
    return rng.integers(limits.min, limits.max, shape, dtype.numpy, endpoint=True)


def _run(primitive, arrays, **attributes):
    """Check one node in all ways, and that kernels alone compute it."""
    inputs = [make_input(x.shape, as_dtype(x.dtype)) for x in arrays]
    node = apply(primitive, *inputs, **attributes)
    several = not isinstance(node.type, TensorType)
    graph = Graph(inputs, picks(node) if several else (node,))
    assert not host_calls(compile_graph(graph, host()))
    small = sum(x.size for x in arrays) < 80
    return graph, check(graph, arrays, slowly=small)


# Running reductions


@pytest.mark.parametrize("n", _SIZES)
def test_cumulative_sizes(n):
    for shape, axis in (
        ((n,), 0),
        ((n, 3), 0),
        ((3, n), 1),
        ((2, n, 70), 1),
        ((n, 20), 1),
    ):
        x = _values(n, shape, float32)
        _run(reduce.CUMULATIVE_SUM, [x], axis=axis)


@pytest.mark.parametrize("dtype", _NUMBERS, ids=lambda x: x.name)
@pytest.mark.parametrize("kind", ["SUM", "PRODUCT", "MAX"])
def test_cumulative_dtypes(kind, dtype):
    primitive = getattr(reduce, f"CUMULATIVE_{kind}")
    for shape, axis in (((37, 19), 1), ((9, 40), 0), ((5, 6), 1)):
        x = _values(1, shape, dtype, ties=kind == "MAX")
        _run(primitive, [x], axis=axis)


# Scatter


def _scattered(dtype, x, indices, updates, **attributes):
    rng = np.random.default_rng(3)
    places = rng.integers(0, x[attributes["axis"]], indices)
    arrays = [_values(4, x, dtype), places, _values(5, updates, dtype)]
    return _run(gather.SCATTER, arrays, **attributes)


@pytest.mark.parametrize("mode", gather.MODES)
def test_scatter_modes(mode):
    at = {"mode": mode}
    for inner in (1, 5, 16, 70):
        _scattered(float32, (6, inner), (9,), (9, inner), axis=0, batch=0, **at)
    _scattered(float64, (3, 4, 6), (3, 9), (3, 4, 9), axis=2, batch=1, **at)
    _scattered(float32, (2, 4, 6, 3), (2, 9), (2, 4, 9, 3), axis=2, batch=1, **at)
    _scattered(int32, (7,), (20,), (20,), axis=0, batch=0, **at)
    _scattered(float32, (7, 3), (), (3,), axis=0, batch=0, **at)
    _scattered(float32, (7, 3), (0,), (0, 3), axis=0, batch=0, **at)


@pytest.mark.parametrize("dtype", _NUMBERS, ids=lambda x: x.name)
def test_scatter_dtypes(dtype):
    for mode in ("add", "max", "set"):
        _scattered(dtype, (5, 18), (30,), (30, 18), axis=0, batch=0, mode=mode)


@pytest.mark.parametrize("mode", gather.MODES)
def test_scatter_into_one_number_fills_by_itself(mode):
    rng = np.random.default_rng(6)
    for shape, count, axis, batch in (
        ((6,), (9,), 0, 0),
        ((6, 5), (9,), 0, 0),
        ((3, 37), (3, 9), 1, 1),
        ((2, 4, 6, 70), (2, 9), 2, 1),
        ((900, 80), (9,), 0, 0),  # too large to be filled by one thread
        ((900, 300), (9,), 0, 0),
    ):
        places, new = (
            make_input(count, int64),
            make_input((*shape[:axis], *count[batch:], *shape[axis + 1 :]), float32),
        )
        start = source.full(shape, 1.5, float32)
        node = gather.scatter(start, places, new, axis, batch, mode)
        graph = Graph((places, new), (e.sin(node), node))
        arrays = [rng.integers(0, shape[axis], count), _values(7, new.shape, float32)]
        check(graph, arrays)
        names = [code.name for code in compile_graph(graph, host()).kernels]
        filled = sum("expand" in name for name in names)
        assert filled == (shape == (900, 80))


def test_scatter_of_special_numbers_keeps_nan():
    x = _values(1, (4, 9), float32, ties=True)
    new = _values(2, (12, 9), float32, ties=True)
    places = np.arange(12) % 4
    for mode in gather.MODES:
        _run(gather.SCATTER, [x, places, new], axis=0, batch=0, mode=mode)


def test_scatter_of_a_wrong_index_is_told():
    x, new = np.zeros((4, 3), np.float32), np.ones((2, 3), np.float32)
    for wrong in (4, -1):
        places = np.array([1, wrong])
        inputs = [make_input(a.shape, as_dtype(a.dtype)) for a in (x, places, new)]
        node = gather.scatter(*inputs, 0, 0, "add")
        program = compile_graph(Graph(inputs, (node,)), host())
        with pytest.raises(WrongIndex):
            Runner(program).run((x, places, new))


def test_scatter_into_what_nobody_needs_copies_nothing():
    x = make_input((40, 8), float32)
    places, new = make_input((5,), int64), make_input((5, 8), float32)
    node = gather.scatter(e.exp(x), places, new, 0, 0, "add")
    graph = Graph((x, places, new), (e.sin(node),))
    program = compile_graph(graph, host())
    assert not any(isinstance(one, Copy) for one in program.instructions)
    check(
        graph, [_values(1, (40, 8), float32), np.arange(5), _values(2, (5, 8), float32)]
    )


def test_scatter_into_zeros_that_are_an_output_copies_nothing():
    places, new = make_input((5,), int64), make_input((5, 8), float32)
    node = gather.scatter(
        e.exp(m.expand(m.slice_(new, (0, 0), (1, 8)), (40, 8))),
        places,
        new,
        0,
        0,
        "add",
    )
    graph = Graph((places, new), (node, e.sin(node)))
    program = compile_graph(graph, host())
    assert not any(isinstance(one, Copy) for one in program.instructions)
    check(graph, [np.arange(5), _values(2, (5, 8), float32)])


def test_scatter_into_a_constant_that_is_an_output():
    places, new = make_input((5,), int64), make_input((5, 8), float32)
    start = source.constant(_values(1, (40, 8), float32), float32)
    node = gather.scatter(start, places, new, 0, 0, "add")
    graph = Graph((places, new), (node,))
    check(graph, [np.arange(5), _values(2, (5, 8), float32)])


@pytest.mark.parametrize("dtype", [float32, float64, bfloat16], ids=lambda x: x.name)
def test_threads_share_a_large_scatter(dtype):
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(50, 70)), rng.normal(size=(4000, 70))
    places = np.minimum(rng.geometric(0.1, 4000) - 1, 49)
    arrays = [x.astype(dtype.numpy), places, new.astype(dtype.numpy)]
    inputs = [make_input(a.shape, as_dtype(a.dtype)) for a in arrays]
    node = gather.scatter(*inputs, 0, 0, "add")
    graph = Graph(inputs, (node,))
    kernels = compile_graph(graph, host()).kernels
    assert max(kernel.chunks for kernel in kernels) > 1
    check(graph, arrays, slowly=False)


# Order


@pytest.mark.parametrize("n", _SIZES)
def test_sort_sizes(n):
    for descending in (False, True):
        at = {"descending": descending, "stable": True}
        for shape, axis in (((2, n), 1), ((n, 3), 0)):
            x = _values(n, shape, float32, ties=True)
            graph, found = _run(sort.SORT, [x], axis=axis, **at)
            for a, b in zip(interpret(graph, [x]), found, strict=True):
                same_numbers(a, b)


@pytest.mark.parametrize("dtype", _ALL, ids=lambda x: x.name)
def test_sort_dtypes(dtype):
    for descending in (False, True):
        for ties in (False, True):
            x = _values(7, (3, 75), dtype, ties)
            at = {"axis": 1, "descending": descending, "stable": True}
            graph, found = _run(sort.SORT, [x], **at)
            for a, b in zip(interpret(graph, [x]), found, strict=True):
                same_numbers(a, b)


@pytest.mark.parametrize("dtype", _ALL, ids=lambda x: x.name)
def test_top_k_dtypes(dtype):
    for n, k, ties in ((300, 5, True), (75, 1, False), (129, 32, True), (40, 20, True)):
        x = _values(n + k, (2, n), dtype, ties)
        graph, found = _run(sort.TOP_K, [x], k=k, axis=1)
        for a, b in zip(interpret(graph, [x]), found, strict=True):
            same_numbers(a, b)


def test_top_k_of_rows_in_order():
    for x in (np.arange(500.0), -np.arange(500.0), np.zeros(500)):
        columns = np.stack([x, x + 1], 1)
        _run(sort.TOP_K, [columns], k=7, axis=0)


def test_one_of_several_results_is_enough():
    x = make_input((3, 50), float32)
    for node in (sort.sort(x), sort.argsort(x), sort.top_k(x, 2)[1]):
        check(Graph((x,), (node,)), [_values(1, (3, 50), float32)])


# Search


@pytest.mark.parametrize("n", _SIZES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_search(n, side):
    for dtype in (float32, bfloat16, int64):
        # NumPy does not know how to sort all nans.
        table = _values(n, (2, n), dtype, ties=True)
        wide = table.astype(np.float32) if dtype is bfloat16 else table
        table = np.sort(wide, axis=1).astype(dtype.numpy)
        wanted = _values(n + 1, (2, 19), dtype, ties=True)
        graph, found = _run(sort.SEARCH_SORTED, [table, wanted], side=side)
        same_numbers(interpret(graph, [table, wanted])[0], found[0])
        graph, found = _run(sort.SEARCH_SORTED, [table[0], wanted], side=side)
        same_numbers(interpret(graph, [table[0], wanted])[0], found[0])


def test_search_in_what_is_computed():
    x, y = make_input((9,), float32), make_input((4, 5), float32)
    node = sort.searchsorted(m.flip(reduce.cumulative_sum(e.exp(x), axis=0), axis=0), y)
    check(
        Graph((x, y), (e.add(node, 1),)),
        [_values(1, (9,), float32), _values(2, (4, 5), float32)],
    )
