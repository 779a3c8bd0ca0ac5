"""WebAssembly gives what the interpreter gives: all primitives, products, functions."""

from __future__ import annotations

import numpy as np
import pytest

from plait.compile.llvm.target import named
from plait.compile.loops.functions import BOUNDS, FUNCTIONS, expand_functions
from plait.compile.loops.grammar import (
    Buffer,
    For,
    Kernel,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from plait.compile.pipeline import compile_graph
from plait.dtypes import as_dtype, bool_, float16, float32, float64, int32
from plait.errors import PlaitError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import contract, convolution
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.program import WrongIndex
from plait.transform import ALL_PRIMITIVES
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from ..ops import checks
from . import both, programs
from .loops.test_functions import EXACT, TRUTH, edge_operands, samples, units
from .loops.vectors import call
from .test_every_primitive import derivatives, swept

runner = pytest.importorskip("tests.compile.wasm_runner", exc_type=ImportError)
TARGETS = ["wasm", "wasm-relaxed"]


def examine(graph, arrays, name):
    """In WebAssembly, a graph gives what the interpreter gives, or refuses it too."""
    program = compile_graph(graph, named(name))
    assert not both.host_calls(program), "it has no kernels"
    try:
        expected = interpret(graph, [np.array(x) for x in arrays])
    except PlaitError as error:
        with pytest.raises((type(error), WrongIndex)):
            runner.run(program, arrays)
        return
    found = runner.run(program, arrays)
    both.agree(graph, arrays, expected, found)


# Of the relaxed target the first sample is enough: only sums of products differ. Those
# of other dtypes differ in casts, and what derivatives are made of has its own samples.
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("primitive", ALL_PRIMITIVES, ids=lambda one: one.name)
def test_every_primitive(primitive, name):
    rng = np.random.default_rng(0)
    plain = name == "wasm"
    for case in checks.cases(primitive)[: None if plain else 1]:
        varies = not checks.excuse_gradient(case, smooth=False)
        for operands in swept(case) if plain else [case.operands]:
            recorded = checks.record(primitive, operands, case.attributes)
            graph = Graph(recorded.inputs, recorded.results)
            examine(graph, operands, name)
        found = derivatives(case, case.operands, rng) if varies else None
        if found is not None:
            examine(simplify(found[0]), found[1], name)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    case = programs.random_case(seed)
    expected = interpret(case.graph, [np.array(x) for x in case.arguments])
    program = compile_graph(case.graph, named("wasm"))
    found = runner.run(program, case.arguments)
    both.agree(case.graph, case.arguments, expected, found, case.exact)


# Products


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("turned", ["", "left", "right"])
@pytest.mark.parametrize(
    ("batch", "shape"),
    [(1, (64, 128, 64)), (1, (5, 7, 9)), (1, (1, 784, 33)), (1, (1, 5, 3)),
     (2, (13, 100, 10)), (1, (31, 1, 17)), (1, (3, 2100, 2)), (1, (200, 33, 1))],
)  # fmt: skip
def test_products(batch, shape, turned, name):
    rows, depth, columns = shape
    rng = np.random.default_rng(0)
    for dtype in (float32,) if name == "wasm-relaxed" else (float32, float64, float16):
        left, right = (rows, depth), (depth, columns)
        x = make_input((batch, *(left[::-1] if turned == "left" else left)), dtype)
        y = make_input((batch, *(right[::-1] if turned == "right" else right)), dtype)
        arrays = [both.numbers(rng, one.shape, dtype) for one in (x, y)]
        product = contract.matmul(
            m.matrix_transpose(x) if turned == "left" else x,
            m.matrix_transpose(y) if turned == "right" else y,
        )
        examine(simplify(Graph([x, y], [e.tanh(product)])), arrays, name)


@pytest.mark.parametrize(
    ("channels", "size", "stride", "name"),
    [(1, 3, 1, "wasm"), (3, 3, 1, "wasm"), (16, 3, 1, "wasm-relaxed"),
     (1, 5, 2, "wasm"), (16, 5, 2, "wasm-relaxed"), (3, 1, 1, "wasm-relaxed")],
)  # fmt: skip
def test_convolutions(channels, size, stride, name):
    rng = np.random.default_rng(0)
    x = make_input((3, channels, 11, 14), float32, differentiable=True)
    w = make_input((9, channels, size, size), float32, differentiable=True)
    y = convolution.convolution(x, w, stride=stride, padding=size // 2)
    seed = make_input(y.shape, float32)
    found = pull_back([y], [seed], [x, w])
    arrays = [both.numbers(rng, one.shape, float32) for one in (x, w, seed)]
    examine(simplify(Graph([x, w, seed], [y, *found])), arrays, name)


# Functions


def worked_out(function, arrays, name):
    """Return a function of arrays, by vectors of four."""
    lanes, size = 4, arrays[0].size
    dtype = as_dtype(arrays[0].dtype)
    inputs = [Buffer(f"x{k}", dtype, size) for k in range(len(arrays))]
    result = Buffer("y", bool_ if function == "signbit" else dtype, size, "out")
    i, lane = Variable("i"), Variable("lane")
    at = i * lanes + lane
    value = Operation(function, [Load(one, at) for one in inputs], result.dtype)
    inner = Vector(lane, lanes, lanes, [Store(result, at, value)])
    kernel = Kernel("f", [*inputs, result], [For(i, size // lanes, [inner])])
    target = named(name)
    done = expand_functions(kernel, target.fma)
    arrays = [*arrays, np.empty(size, result.dtype.numpy)]
    return runner.run_kernel(done, arrays, target)[-1]


def operands_of(name, dtype, count):
    parts = zip(edge_operands(name, dtype), samples(name, dtype, count), strict=False)
    arrays = [np.concatenate(part) for part in parts]
    if len(arrays) < FUNCTIONS[name].operands:
        arrays.append(arrays[0][::-1].copy())
    return [array[: array.size // 4 * 4] for array in arrays]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    """With all operations rounded, they give what their formulas give."""
    arrays = operands_of(name, dtype, 2000)
    expected = call(name, *arrays, fma=False)
    found = worked_out(name, arrays, "wasm")
    np.testing.assert_array_equal(found, expected)
    if found.dtype != bool:
        number = ~np.isnan(expected)
        signs = np.signbit(found[number]), np.signbit(expected[number])
        np.testing.assert_array_equal(*signs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_rounded_at_will(name):
    """They keep within their bounds where a product and a sum may be rounded once."""
    if name in EXACT:
        for dtype in (np.float32, np.float64):
            arrays = operands_of(name, dtype, 2000)
            expected = call(name, *arrays, fma=False)
            found = worked_out(name, arrays, "wasm-relaxed")
            np.testing.assert_array_equal(found, expected)
        return
    arrays = list(samples(name, np.float32, 4000))
    arrays = [array[: array.size // 4 * 4] for array in arrays]
    with np.errstate(all="ignore"):
        expected = TRUTH[name][0](*(v.astype(np.float64) for v in arrays))
    found = worked_out(name, arrays, "wasm-relaxed")
    assert units(name, found, expected).max() <= BOUNDS[name].float32
    wide = operands_of(name, np.float64, 2000)
    expected = call(name, *wide, fma=False)
    found = worked_out(name, wide, "wasm-relaxed")
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~number)
    off = units(name, found[number], expected[number])
    assert off.max() <= 2 * BOUNDS[name].float64


# Modules


def test_vectors_and_fused_operations_are_used():
    x, y = (make_input((16, 16), float32) for _ in range(2))
    texts = {}
    for name in TARGETS:
        program = compile_graph(Graph([x, y], [contract.matmul(x, y)]), named(name))
        texts[name] = program.kernels[0].stages["assembly"]()
    assert "f32x4.mul" in texts["wasm"]
    assert "relaxed" not in texts["wasm"]
    assert "f32x4.relaxed_madd" in texts["wasm-relaxed"]


def test_no_instruction_may_lose_a_nan():
    """Relaxed minimum and maximum may, and LLVM takes choices for them."""
    x, y = (make_input((8, 16), float32) for _ in range(2))
    z = e.select(e.less(x, y), x, y)
    graph = Graph(
        [x, y],
        [
            e.maximum(x, y),
            e.minimum(x, 2.0),
            e.select(e.less_equal(x, 0.0), 0.0, x),
            e.add(z, e.select(e.less_equal(y, z), y, z)),
        ],
    )
    program = compile_graph(graph, named("wasm-relaxed"))
    text = "\n".join(code.stages["assembly"]() for code in program.kernels)
    assert "f32x4.pmax" in text
    assert "relaxed_m" not in text


def test_offsets_are_parts_of_instructions():
    """Elements at constant distances need no additions of their own."""
    x, y = make_input((64, 32), float32), make_input((32, 64), float32)
    program = compile_graph(Graph([x, y], [contract.matmul(x, y)]), named("wasm"))
    loads = [
        line.split()[1]
        for line in program.kernels[0].stages["assembly"]().splitlines()
        if "load32_splat" in line
    ]
    assert sorted(map(int, loads)) == [0, 128, 256, 384]


def test_code_is_the_same_each_time():
    x = make_input((7, 9), int32)
    graph = Graph([x], [e.add(m.matrix_transpose(x), 1)])
    first, second = (
        compile_graph(graph, named("wasm")).kernels[0].build() for _ in range(2)
    )
    assert first == second
