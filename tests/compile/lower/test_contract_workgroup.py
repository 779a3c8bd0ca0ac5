"""Products in tiles of workgroups: as Loop IR means them, and how much they read."""

import numpy as np
import pytest

from plait.compile.loops.parse import from_text
from plait.compile.loops.text import to_text
from plait.compile.loops.verify import verify
from plait.compile.lower import contract_split
from plait.compile.lower.blocking import Facts, Shape
from plait.compile.lower.contract_workgroup import BUSY, cut_of
from plait.compile.wgsl import compile_graph
from plait.compile.wgsl.emit import emit
from plait.compile.wgsl.memory import WORKGROUP_BYTES
from plait.dtypes import bfloat16, float16, float32, float64, int32, int64
from plait.ir.build import apply, make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops.convolution import CONVOLUTION
from plait.transform.simplify import simplify

from .. import both
from .products import LAYOUTS, SHAPES, Product
from .test_convolution import attributes

# Four lanes, so that edges come early.
FEW = Facts(vector_bytes=16, registers=10, workgroup=WORKGROUP_BYTES)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_right(shape, layout):
    for contiguous in "nm":
        Product(shape, layout, facts=FEW, contiguous=contiguous).check()


@pytest.mark.parametrize(
    "dtype", [float16, bfloat16, float64, int32, int64], ids=lambda x: x.name
)
def test_other_dtypes(dtype):
    Product((2, 5, 7, 9), "ko", dtype, FEW).check(2e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_of_long_sums(layout, monkeypatch):
    monkeypatch.setattr(contract_split, "_LEAST_COPIED", 3)
    product = Product((2, 5, 6, 13), layout, facts=FEW)
    assert len(product.pieces) > 1
    product.check()


def test_each_element_is_finished_once():
    product = Product((2, 11, 9, 3), facts=FEW, count=True)
    x, y = product.numbers()
    np.testing.assert_array_equal(product.run(x, y, start=4), np.full((2, 11, 9), 5))


def test_results_go_through_memory_where_much_is_done_with_them(monkeypatch):
    monkeypatch.setattr("plait.compile.lower.contract_workgroup._SHORT", 0)
    product = Product((2, 11, 9, 3), facts=FEW)
    assert any("done[" in to_text(one) for one in product.kernels)
    product.check()


@pytest.mark.parametrize(
    "shape",
    [(1, 64, 256, 784), (1, 1, 128, 784), (1, 1024, 1024, 1024), (16, 64, 64, 64),
     (1, 4, 4096, 9), (1, 3, 3, 3)],
)  # fmt: skip
def test_tiles(shape):
    """There are many, or large ones; and they fit into the memory of a workgroup."""
    cut = cut_of(Shape(*shape), 64, WORKGROUP_BYTES)
    assert cut.lanes_down * cut.lanes_across == 64
    held = cut.depth * (cut.rows + cut.columns + 2)
    assert 4 * held <= WORKGROUP_BYTES
    few = cut.down * cut.across < 8
    assert cut.tiles(Shape(*shape)) >= BUSY or few
    if Shape(*shape).products >= 1 << 28:
        # What an element of the tile reads for each of its products.
        assert (cut.rows + cut.columns) / (cut.rows * cut.columns) < 1 / 20


def test_barriers_stand_outside_of_the_inner_loop():
    """Two for each part of the sum: before it is copied, and before it is used."""
    (kernel,) = Product(
        (1, 200, 130, 70), facts=Facts(256, workgroup=WORKGROUP_BYTES)
    ).kernels
    text = emit(kernel).text
    main = text[text.index("fn kernel(") :]
    assert main.count("workgroupBarrier();") == 2
    assert "storageBarrier" not in main


# Convolutions, as products that work out where a window is

CONVOLUTIONS = [
    ((2, 3, 7, 6), (4, 3, 3, 3), {"padding": 1}),
    ((2, 3, 9, 8), (4, 3, 3, 2), {"stride": (2, 3), "padding": ((1, 0), (0, 2))}),
    ((1, 4, 5, 5), (4, 1, 3, 3), {"groups": 4}),
    ((2, 4, 5), (6, 2, 2), {"groups": 2, "dilation": 3}),
    ((1, 2, 4, 3), (3, 2, 3, 3), {"spread": (2, 3), "padding": 2}),
    ((1, 2, 4, 4), (3, 2, 2, 2), {"spread": 3, "stride": 2, "padding": ((-1, 3),) * 2}),
    ((2, 2, 3, 4, 3), (2, 2, 2, 2, 2), {}),
    ((3, 5, 1, 1), (4, 5, 1, 1), {}),
    ((1, 3, 6, 6), (2, 3, 5, 6), {"padding": 1}),
]


@pytest.mark.parametrize(("x", "weight", "given"), CONVOLUTIONS)
def test_convolutions_are_right(x, weight, given):
    nodes = [make_input(x, float32), make_input(weight, float32)]
    result = apply(CONVOLUTION, *nodes, **attributes(len(x) - 2, **given))
    graph = simplify(Graph(nodes, [result]))
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in (x, weight)]
    program = compile_graph(graph)
    for code in program.kernels:
        verify(from_text(code.stages["basic"]()))
    expected = interpret(graph, arrays)
    both.agree(graph, arrays, expected, both.run_slowly(program, arrays), False)
