"""Convolutions of any form, and their derivatives, compiled as interpreted."""

import numpy as np
import pytest

from plait.compile import pipeline
from plait.compile.llvm.target import host, named
from plait.compile.loops.text import to_text
from plait.compile.lower import (
    convolution,
    convolution_gradients,
    convolution_products,
    convolution_shifted,
    convolution_tiles,
    ways,
)
from plait.compile.lower.facts import facts_of
from plait.compile.planning.alike import Shelf
from plait.dtypes import as_dtype, bfloat16, float16, float32, float64
from plait.errors import ShapeError
from plait.ir.build import apply, make_input
from plait.ir.graph import Graph
from plait.ops import elementwise, movement, pooling
from plait.ops.convolution import CONVOLUTION
from plait.program import Host
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from .. import both

TYPES = (
    "float32", "float64", "bfloat16", "float16", "int8", "uint8", "int32", "int64",
    "uint64",
)  # fmt: skip


def attributes(rank, stride=1, padding=0, dilation=1, spread=1, groups=1):
    def each(value):
        return (value,) * rank if isinstance(value, int) else tuple(value)

    pairs = tuple((one, one) if isinstance(one, int) else one for one in each(padding))
    return {
        "stride": each(stride), "padding": pairs, "dilation": each(dilation),
        "input_dilation": each(spread), "groups": groups,
    }  # fmt: skip


def draw(rng, shape, dtype):
    if dtype.is_integer:
        return rng.integers(0, 5, shape).astype(dtype.numpy)
    return rng.uniform(-1, 1, shape).astype(dtype.numpy)


def forward(x, weight, dtype=float32, **given):
    """Return the graph of a convolution, and operands."""
    operands = [make_input(x, dtype), make_input(weight, dtype)]
    result = apply(CONVOLUTION, *operands, **attributes(len(x) - 2, **given))
    rng = np.random.default_rng(sum(x))
    return Graph(operands, [result]), [draw(rng, x, dtype), draw(rng, weight, dtype)]


def checked(graph, arrays, **given):
    """Check a graph, none of which may be left to its reference."""
    program = both.compiled(graph)
    assert not any(isinstance(one, Host) for one in program.instructions)
    return both.check(graph, arrays, **given)


# Shapes of input and weight, and attributes: the ways of laying things out, blocks of
# rows and positions that are not whole, and edges.
CASES = {
    "blocks": ((3, 5, 9, 11), (19, 5, 3, 3), {"padding": 1}),
    "one_row": ((2, 3, 9, 8), (1, 3, 5, 5), {"padding": 2}),
    "strips": ((1, 8, 70, 70), (9, 8, 3, 3), {"padding": 1}),
    "small_images": ((9, 6, 4, 4), (20, 6, 3, 3), {"padding": 1}),
    "one_position": ((5, 4, 5, 5), (7, 4, 5, 5), {}),
    "stride": ((2, 4, 13, 15), (6, 4, 3, 3), {"stride": 2, "padding": 1}),
    "stride_over_taps": ((2, 4, 9, 9), (6, 4, 1, 1), {"stride": 3}),
    "dilation": ((2, 3, 12, 11), (4, 3, 3, 2), {"dilation": (2, 3)}),
    "spread": ((2, 5, 6, 7), (4, 5, 3, 3), {"spread": 2, "padding": 1}),
    "spread_and_stride": ((2, 3, 6, 7), (4, 3, 3, 4), {"spread": (4, 3), "stride": 2}),
    "groups": ((2, 6, 8, 7), (9, 2, 3, 3), {"groups": 3, "padding": 1}),
    "each_channel": ((3, 7, 9, 10), (7, 1, 3, 3), {"groups": 7, "padding": 1}),
    "points": ((3, 6, 5, 7), (18, 6, 1, 1), {}),
    "one_point": ((9, 6, 1, 1), (18, 6, 1, 1), {}),
    "many_points": ((3, 6, 7, 7), (18, 6, 1, 1), {}),
    "points_of_lines": ((3, 6, 25), (18, 6, 1), {}),
    "line": ((2, 3, 40), (4, 3, 5), {"padding": ((1, 3),)}),
    "volume": ((2, 3, 4, 5, 6), (4, 3, 2, 3, 2), {"padding": (1, 0, 1)}),
    "only_padding": ((1, 2, 1, 1), (2, 2, 5, 5), {"padding": 3}),
    "cut_off": ((2, 2, 8, 9), (3, 2, 2, 2), {"padding": ((-1, -2), (-3, 1))}),
    "kernel_larger_than_input": ((2, 2, 3, 2), (3, 2, 7, 5), {"padding": 3}),
    "patches": ((2, 3, 20, 15), (7, 3, 5, 5), {"stride": 5}),
    "patches_of_lines": ((2, 4, 50), (14, 2, 8), {"stride": 8, "groups": 2}),
    "apart": ((2, 6, 10, 12), (8, 3, 2, 4), {"stride": (2, 6), "groups": 2}),
    "patches_put_back": ((2, 3, 4, 3), (7, 3, 5, 5), {"spread": 5, "padding": 4}),
    "nothing": ((0, 2, 5, 5), (3, 2, 3, 3), {}),
    "no_channels": ((2, 0, 5, 5), (3, 0, 3, 3), {}),
    "large_kernel": ((3, 9, 20, 20), (5, 9, 18, 18), {}),
    "large_kernel_with_stride": ((3, 2, 20, 21), (5, 2, 8, 9), {"dilation": 2}),
    "large_kernel_spread": ((2, 3, 10, 9), (5, 3, 17, 16), {"spread": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_forms(name):
    x, weight, given = CASES[name]
    checked(*forward(x, weight, **given))


@pytest.mark.parametrize("name", TYPES)
def test_types(name):
    dtype = as_dtype(name)
    checked(*forward((2, 4, 7, 9), (22, 2, 3, 3), dtype, groups=2, padding=1))
    checked(*forward((2, 4, 9, 9), (3, 4, 8, 8), dtype))


def random_convolution(rng):
    rank = int(rng.integers(1, 4))
    most = {1: 40, 2: 12, 3: 5}[rank]
    groups = int(rng.choice([1, 1, 1, 2, 5]))
    while True:
        sizes = [int(n) for n in rng.integers(1, most + 1, rank)]
        kernel = [int(n) for n in rng.integers(1, int(rng.choice([4, most])) + 1, rank)]
        given = {
            "stride": [int(n) for n in rng.choice([1, 1, 2, 3], rank)],
            "dilation": [int(n) for n in rng.choice([1, 1, 2, 3], rank)],
            "spread": [int(n) for n in rng.choice([1, 1, 2, 4], rank)],
            "padding": [tuple(map(int, rng.integers(-1, 4, 2))) for _ in range(rank)],
            "groups": groups,
        }
        x = (int(rng.integers(1, 5)), groups * int(rng.integers(1, 5)), *sizes)
        weight = (groups * int(rng.integers(1, 20)), x[1] // groups, *kernel)
        try:
            return forward(x, weight, float64, **given)
        except ShapeError:
            continue  # the kernel is too large


@pytest.mark.parametrize("seed", range(10))
def test_random_forms(seed):
    graph, arrays = random_convolution(np.random.default_rng(seed))
    checked(graph, arrays)


DERIVED = (
    "blocks", "one_position", "stride", "dilation", "spread", "groups",
    "each_channel", "points", "one_point", "many_points", "stride_over_taps", "patches",
    "patches_of_lines", "apart",
)  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives(name):
    x, weight, given = CASES[name]
    operands = [make_input(s, float64, differentiable=True) for s in (x, weight)]
    result = apply(CONVOLUTION, *operands, **attributes(len(x) - 2, **given))
    seed = make_input(result.shape, float64)
    found = pull_back([result], [seed], operands)
    graph = simplify(Graph([*operands, seed], found))
    rng = np.random.default_rng(0)
    checked(graph, [draw(rng, one.shape, float64) for one in graph.inputs])


# Products of bfloat16 are added up two at a time, of which one may be left over.
PAIRED = {
    name: CASES[name]
    for name in (
        "blocks", "small_images", "stride", "spread", "groups",
        "one_position", "line", "volume", "large_kernel", "patches", "patches_of_lines",
    )
} | {
    "one_left_over": ((3, 3, 6, 7), (5, 3, 3, 3), {"padding": 1}),
    "left_over_in_groups": ((3, 10, 6, 7), (6, 5, 3, 3), {"groups": 2, "padding": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRED)
def test_pairs(name):
    x, weight, given = PAIRED[name]
    graph, arrays = with_gradients(x, weight, bfloat16, **given)
    checked(graph, arrays)
    kernels = [both.kernel_of(one) for one in both.compiled(graph).kernels]
    used = [one for one in kernels if "dot_pairs" in to_text(one)]
    assert len(used) == 3 * facts_of(host()).bf16_dot


def test_what_has_no_second_meets_nothing():
    graph, (x, weight) = forward((1, 3, 5, 9), (4, 3, 2, 3), bfloat16)
    x[:, 2, 2, 4] = np.inf
    (found,) = checked(graph, [x, weight])
    assert np.isinf(found[:, :, 1:3, 2:5].astype(np.float32)).all()


@pytest.mark.parametrize("dtype", [float32, bfloat16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("kernel", [3, 10])
def test_what_follows_is_computed_as_sums_are_finished(kernel, dtype):
    x, weight = (
        make_input((2, 3, 11, 11), dtype),
        make_input((5, 3, kernel, kernel), dtype),
    )
    y = apply(CONVOLUTION, x, weight, **attributes(2, padding=1))
    bias = make_input((5, 1, 1), dtype)
    rest = make_input(y.shape, dtype)
    result = elementwise.maximum(elementwise.add(y, bias), rest)
    turned = movement.transpose(elementwise.multiply(result, y), 0, 1)
    graph = Graph([x, weight, bias, rest], [result, turned])
    rng = np.random.default_rng(0)
    arrays = [draw(rng, one.shape, dtype) for one in graph.inputs]
    checked(graph, arrays)
    assert all("convolution" in one.name for one in both.compiled(graph).kernels)


# What minimal filtering is for.
TILED = {
    "items": ((5, 3, 6, 8), (18, 3, 3, 3), {"padding": 1}),
    "odd": ((2, 4, 7, 9), (5, 4, 3, 3), {"padding": 1}),
    "strips": ((1, 40, 34, 70), (9, 40, 3, 3), {"padding": 1}),
    "unpadded": ((3, 2, 7, 6), (4, 2, 3, 3), {}),
    "uneven": ((2, 2, 6, 6), (4, 2, 3, 3), {"padding": ((0, 2), (3, -1))}),
    "groups": ((2, 6, 5, 6), (10, 3, 3, 3), {"groups": 2, "padding": 1}),
    "one_row": ((1, 3, 1, 9), (3, 3, 3, 3), {"padding": 1}),
    "many_channels": ((2, 200, 5, 4), (170, 200, 3, 3), {"padding": 1}),
}


@pytest.fixture
def filtered(monkeypatch):
    """Filter minimally what is too small for it to pay."""
    monkeypatch.setattr(convolution_tiles, "_WORTH", 1000)
    monkeypatch.setattr(pipeline, "SHELF", Shelf())


def with_gradients(x, weight, dtype=float32, **given):
    """Return the graph of a convolution and its derivatives, and operands."""
    operands = [make_input(s, dtype, differentiable=True) for s in (x, weight)]
    result = apply(CONVOLUTION, *operands, **attributes(len(x) - 2, **given))
    seed = make_input(result.shape, dtype)
    found = pull_back([result], [seed], operands)
    graph = simplify(Graph([*operands, seed], [result, *found]))
    rng = np.random.default_rng(0)
    return graph, [draw(rng, one.shape, dtype) for one in graph.inputs]


@pytest.mark.parametrize("name", TILED)
def test_minimal_filtering(name, filtered, monkeypatch):
    x, weight, given = TILED[name]
    groups = given.get("groups", 1)
    way = convolution_products.FILTERED if groups == 1 else ""
    monkeypatch.setattr(convolution, "way_of", lambda *_: way)
    graph, arrays = with_gradients(x, weight, **given)
    checked(graph, arrays)
    names = [one.name for one in both.compiled(graph).kernels]
    assert sum(one.endswith("_taps") for one in names) == (groups == 1)


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda dtype: dtype.name)
def test_minimal_filtering_of_16_bits(dtype, filtered, monkeypatch):
    way = convolution_products.FILTERED
    monkeypatch.setattr(convolution, "way_of", lambda *_: way)
    x, weight, given = TILED["odd"]
    graph, arrays = with_gradients(x, weight, dtype, **given)
    checked(graph, arrays)
    kernels = both.compiled(graph).kernels
    assert sum(one.name.endswith("_taps") for one in kernels) == 1
    assert not any("dot_pairs" in to_text(both.kernel_of(one)) for one in kernels)


# Gradients of kernels that are products of matrices of what each tap meets.
MULTIPLIED = {
    "stride": ((3, 5, 13, 12), (18, 5, 3, 3), {"stride": 2, "padding": 1}),
    "points": ((4, 6, 9, 8), (7, 6, 1, 1), {"stride": 2}),
    "one_item": ((2, 1, 12, 14), (5, 1, 5, 3), {"stride": (2, 1), "padding": 2}),
    "dilation": ((2, 3, 12, 11), (4, 3, 3, 3), {"dilation": 2}),
    "line": ((3, 3, 40), (4, 3, 5), {"stride": 3}),
    "volume": ((2, 3, 5, 6, 7), (4, 3, 2, 3, 2), {"padding": (1, 0, 1)}),
}


@pytest.mark.parametrize("name", MULTIPLIED)
def test_gradients_as_products(name, filtered, monkeypatch):
    x, weight, given = MULTIPLIED[name]
    plain = convolution_products.PLAIN
    monkeypatch.setattr(convolution, "way_of", lambda *_: plain)
    graph, arrays = with_gradients(x, weight, **given)
    checked(graph, arrays)
    names = [one.name for one in both.compiled(graph).kernels]
    assert any(one.endswith("_places") for one in names)


# Gradients of kernels as sums in registers: lines that are whole vectors, and others.
SUMMED = {
    "lines": ((5, 3, 6, 32), (11, 3, 3, 3), {"padding": 1}),
    "short_lines": ((6, 5, 8, 8), (9, 5, 3, 3), {"padding": 1}),
    "stride": ((3, 4, 9, 32), (6, 4, 3, 3), {"stride": 2, "padding": 1}),
    "dilation": (
        (2, 3, 8, 16),
        (4, 3, 3, 2),
        {"dilation": (2, 3), "padding": (2, (1, 2))},
    ),
    "many_taps": ((3, 2, 16, 16), (3, 2, 5, 5), {"padding": 2}),
    "line": ((4, 3, 48), (4, 3, 5), {"padding": 2}),
    "volume": ((3, 2, 4, 4, 4), (5, 2, 3, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("name", SUMMED)
def test_gradients_as_sums_in_registers(name, filtered, monkeypatch):
    x, weight, given = SUMMED[name]
    direct = convolution_products.DIRECT
    monkeypatch.setattr(convolution, "way_of", lambda *_: direct)
    monkeypatch.setattr(convolution_gradients, "_PART_PRODUCTS", 5000)
    graph, arrays = with_gradients(x, weight, **given)
    checked(graph, arrays)
    names = [one.name for one in both.compiled(graph).kernels]
    assert any(one.endswith("_sum") for one in names)


def test_sums_in_registers_need_whole_vectors_in_a_row():
    found = []
    for places in ((16, 16), (5, 5)):
        graph, arrays = with_gradients((64, 16, *places), (32, 16, 3, 3), padding=1)
        both.check(graph, arrays)
        names = [one.name for one in both.compiled(graph).kernels]
        found.append(any(one.endswith("_sum") for one in names))
    assert found == [True, False]


def test_gradient_of_a_kernel_of_many_channels():
    graph, arrays = with_gradients((64, 32, 8, 8), (64, 32, 3, 3), padding=1)
    x, weight, seed = graph.inputs
    gradient = Graph([x, weight, seed], [graph.outputs[2]])
    both.check(gradient, arrays)


def test_minimal_filtering_where_it_pays():
    graph, arrays = forward((2, 64, 24, 24), (64, 64, 3, 3), padding=1)
    checked(graph, arrays)
    plain, _ = forward((2, 4, 24, 24), (64, 4, 3, 3), padding=1)
    for one, count in ((graph, 2), (plain, 1)):
        assert len(both.compiled(one).kernels) == count


# Code for each part or phase of these would be too long.
FAR = {
    "stride": ((2, 3, 21, 26), (5, 3, 9, 8), {"stride": 7, "padding": (3, (0, 2))}),
    "cut_off": ((2, 2, 30, 33), (3, 2, 9, 9), {"stride": 7, "padding": (-2, (-1, 3))}),
    "stride_in_groups": ((2, 6, 20, 19), (4, 3, 9, 8), {"stride": 7, "groups": 2}),
    "line": ((2, 1, 300), (6, 1, 70), {"stride": 40, "padding": 5}),
    "line_of_channels": ((3, 4, 211), (5, 4, 50), {"stride": 39}),
    "volume": ((1, 2, 9, 10, 9), (3, 2, 5, 5, 5), {"stride": 4, "padding": 2}),
    "spread": ((2, 3, 4, 3), (4, 3, 16, 15), {"spread": 8, "padding": (11, (9, 10))}),
    "spread_line": ((2, 5, 9), (2, 5, 90), {"spread": 40, "padding": 65}),
    "spread_in_groups": (
        (2, 4, 4, 3), (6, 2, 9, 10), {"spread": 7, "padding": 4, "groups": 2},
    ),
    "spread_and_dilation": (
        (2, 3, 4, 3), (4, 3, 7, 8), {"spread": 7, "dilation": 3, "padding": 9},
    ),
    "spread_and_stride": (
        (2, 3, 5, 6), (4, 3, 9, 7), {"spread": 13, "stride": 8, "padding": 5},
    ),
    "dilation": ((2, 3, 16, 14), (4, 3, 3, 3), {"dilation": 9, "padding": 9}),
    "dilation_of_channels": (
        (2, 33, 16, 14), (4, 33, 3, 3), {"dilation": 9, "padding": (9, (8, 7))},
    ),
    "dilation_beyond_edges": (
        (2, 32, 7, 8), (3, 32, 3, 5), {"dilation": 8, "padding": (8, 16)},
    ),
    "dilation_with_stride": (
        (1, 3, 40, 41), (4, 3, 7, 7), {"dilation": 4, "stride": 7, "padding": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float32, float64, bfloat16], ids=lambda d: d.name)
@pytest.mark.parametrize("name", FAR)
def test_what_slides_far(name, dtype):
    x, weight, given = FAR[name]
    graph, arrays = with_gradients(x, weight, dtype, **given)
    nodes = [one for one in graph.nodes() if one.primitive is CONVOLUTION]
    assert any(map(ways.is_spelled_out, nodes))
    checked(graph, arrays, slowly=False)


@pytest.mark.parametrize("seed", range(9))
def test_random_forms_that_slide_far(seed, monkeypatch):
    # As if the code of all, or of some, were too long.
    monkeypatch.setattr(ways, "_MOST_RUNS", seed % 3 * 2)
    monkeypatch.setattr(convolution_shifted, "_CHANNELS", 3)
    monkeypatch.setattr(pipeline, "SHELF", Shelf())
    graph, arrays = random_convolution(np.random.default_rng(100 + seed))
    checked(graph, arrays)


def test_no_products_of_taps_that_take_too_much_memory(monkeypatch):
    x, weight, given = FAR["dilation_of_channels"]
    graph, arrays = forward(x, weight, **given)
    found = []
    for most in (1 << 20, 1 << 10):
        monkeypatch.setattr(convolution_shifted, "_MOST_BYTES", most)
        monkeypatch.setattr(pipeline, "SHELF", Shelf())
        checked(graph, arrays)
        names = [one.name for one in both.compiled(graph).kernels]
        found.append(any(one.endswith("_taps") for one in names))
    assert found == [True, False]


@pytest.mark.parametrize("name", ["stride", "spread", "dilation", "line"])
def test_code_of_web_pages_is_not_left_to_the_reference(name):
    x, weight, given = FAR[name]
    graph, _ = with_gradients(x, weight, **given)
    program = pipeline.compile_graph(graph, named("wasm"))
    assert not any(isinstance(one, Host) for one in program.instructions)


def test_operands_may_be_views():
    x, weight = make_input((2, 8, 9, 3), float32), make_input((3, 4, 3, 3), float32)
    image = movement.permute_dims(x, (0, 3, 1, 2))
    turned = movement.flip(movement.transpose(weight, 0, 1), axis=(2, 3))
    y = apply(CONVOLUTION, image, turned, **attributes(2, padding=1))
    rng = np.random.default_rng(0)
    arrays = [draw(rng, one.shape, float32) for one in (x, weight)]
    checked(Graph([x, weight], [y]), arrays)


@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_and_its_derivative(kind):
    x = make_input((3, 4, 9, 10), float64, differentiable=True)
    if kind == "average":
        y = pooling.average_pool(x, (3, 2), stride=2, padding=1)
    else:
        y = pooling.max_pool(x, (3, 3), stride=2, padding=1)
    seed = make_input(y.shape, float64)
    graph = simplify(Graph([x, seed], [y, *pull_back([y], [seed], [x])]))
    rng = np.random.default_rng(0)
    both.check(graph, [draw(rng, one.shape, float64) for one in graph.inputs])


@pytest.mark.parametrize("shape", [(3, 5, 6, 16), (2, 3, 8, 8), (1, 1, 6, 8)])
def test_pooling_of_short_lines(shape):
    x = make_input(shape, float32, differentiable=True)
    y = pooling.max_pool(x, 2)
    seed = make_input(y.shape, float32)
    graph = simplify(Graph([x, seed], [y, *pull_back([y], [seed], [x])]))
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 3, shape).astype(np.float32)
    values.flat[[0, 7, 20]] = np.nan, -np.inf, np.inf
    both.check(graph, [values, draw(rng, y.shape, float32)])
