"""On WebGPU every primitive gives what the interpreter gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plait.compile.wgsl import compile_graph
from plait.dtypes import bfloat16, bool_, float16, float32, float64, int8, int32, int64
from plait.errors import PlaitError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import contract, movement, padding, reduce
from plait.ops import elementwise as e
from plait.program import WrongIndex
from plait.runtime import webgpu
from plait.transform import ALL_PRIMITIVES
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from ...ops import checks
from .. import both

pytestmark = pytest.mark.usefixtures("adapter")


def single(case):
    """Return a case with float32 for float64, which is emulated with integers.

    What has graphs of its own keeps the types that they have.
    """
    if any(isinstance(x, Graph) for x in case.attributes.values()):
        return case
    operands = tuple(
        x.astype(np.float32) if x.dtype == np.float64 else x for x in case.operands
    )
    return replace(case, sample=replace(case.sample, operands=operands))


def samples(primitives, most):
    return [
        pytest.param(case, id=case.name)
        for primitive in primitives
        for case in checks.cases(primitive)
        if case.index < most
    ]


SAMPLES = samples(ALL_PRIMITIVES, 2)


def examine(graph, arrays, exact=False):
    """On WebGPU, a graph gives what the interpreter gives, or refuses it too."""
    runner = webgpu.Runner(compile_graph(graph))
    try:
        expected = interpret(graph, [np.array(x) for x in arrays])
    except PlaitError as error:
        with pytest.raises((type(error), WrongIndex)):
            runner.run(arrays)
        return
    both.agree(graph, arrays, expected, runner.run(arrays), exact)


@pytest.mark.parametrize("case", SAMPLES)
def test_as_interpreted(case):
    case = single(case)
    recorded = checks.record(case.primitive, case.operands, case.attributes)
    examine(Graph(recorded.inputs, recorded.results), case.operands)


def is_derived(case):
    recorded = checks.record(case.primitive, case.operands, case.attributes)
    known = case.primitive.name not in checks.NO_REVERSE
    return known and recorded.varied and recorded.used


@pytest.mark.parametrize("case", [
    x for x in samples(ALL_PRIMITIVES, 1) if is_derived(single(x.values[0]))
])  # fmt: skip
def test_derivatives_as_interpreted(case):
    case = single(case)
    rng = np.random.default_rng(0)
    recorded = checks.record(case.primitive, case.operands, case.attributes)
    wrt = [recorded.inputs[i] for i in recorded.varied]
    results = [recorded.results[i] for i in recorded.used]
    seeds = [checks.like_node(y) for y in results]
    found = [ct for ct in pull_back(results, seeds, wrt) if ct is not None]
    arrays = [*case.operands, *[both.numbers(rng, y.shape, y.dtype) for y in seeds]]
    examine(simplify(Graph([*recorded.inputs, *seeds], [*results, *found])), arrays)


# Other dtypes


@pytest.mark.parametrize("name", ["dot", "exp", "sqrt", "sum"])
def test_samples_of_float64(name):
    (primitive,) = (x for x in ALL_PRIMITIVES if x.name == name)
    case = checks.cases(primitive)[0]
    assert case.operands[0].dtype == np.float64
    recorded = checks.record(primitive, case.operands, case.attributes)
    examine(Graph(recorded.inputs, recorded.results), case.operands)


def binary(dtype, function, x, y):
    nodes = [make_input(np.shape(x), dtype) for _ in range(2)]
    arrays = [np.asarray(z).astype(dtype.numpy) for z in (x, y)]
    examine(simplify(Graph(nodes, [function(*nodes)])), arrays, exact=True)


@pytest.mark.parametrize("function", [e.add, e.subtract, e.multiply, e.divide])
def test_float64_is_exact(function):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 63, (2, 500), np.uint64) * 2 + 1
    x, y = bits.view(np.float64)
    x[:100] = rng.normal(size=100)
    y[:150] = rng.normal(size=150) * 2.0 ** rng.integers(-60, 60, 150)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 2.0**-1022, 1.7e308]
    x[-64:], y[-64:] = (z.ravel() for z in np.meshgrid(special, special))
    binary(float64, function, x, y)


@pytest.mark.parametrize("function", [
    e.add, e.subtract, e.multiply, e.floor_divide, e.remainder, e.less, e.maximum,
    e.bitwise_xor,
])  # fmt: skip
def test_integers_of_64_bits(function):
    rng = np.random.default_rng(0)
    ends = [0, 1, -1, 7, -7, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63), 1 << 40]
    x, y = (z.ravel() for z in np.meshgrid(ends, ends))
    shift = rng.integers(0, 60, 200)
    wide = rng.integers(-(1 << 62), 1 << 62, (2, 200)) >> shift
    binary(int64, function, *np.concatenate([[x, y], wide], 1))


@pytest.mark.parametrize(
    "dtype", [bfloat16, float16, int8, bool_], ids=lambda x: x.name
)
def test_elements_that_share_words(dtype):
    # Odd sizes: neighbours in a word are stored by other workgroups.
    rng = np.random.default_rng(0)
    nodes = [make_input((37, 61), dtype), make_input((61, 37), dtype)]
    x, y = nodes
    results = [e.maximum(movement.matrix_transpose(x), y)]
    if dtype is not bool_:
        results += [e.add(y, y), reduce.sum(x, axis=0)]
    arrays = [both.numbers(rng, z.shape, dtype) for z in nodes]
    examine(simplify(Graph(nodes, results)), arrays)


@pytest.mark.parametrize("half", [False, True])
def test_float16(adapter, monkeypatch, half):
    """With the device's own numbers of float16, and without."""
    if half and not adapter.half:
        pytest.skip("the adapter does not offer shader-f16")
    monkeypatch.setattr(adapter, "half", half)
    monkeypatch.setattr(adapter, "_pipelines", {})
    rng = np.random.default_rng(0)
    x, y = make_input((37, 61), float16), make_input((61, 29), float16)
    results = [
        e.add(x, x),  # float16 only
        e.tanh(e.cast(x, float32)),
        contract.matmul(x, y),
        reduce.sum(x, axis=1),
        e.select(e.less(x, e.negative(x)), x, e.abs(x)),
        padding.pad(x, ((1, 2), (0, 3))),
    ]
    graph = simplify(Graph([x, y], results))
    arrays = [both.numbers(rng, z.shape, float16) for z in (x, y)]
    arrays[0][0, :4] = [6e-8, np.inf, -0.0, 65504]
    arrays[0][1, 0] = np.nan
    examine(graph, arrays)
    kernels = compile_graph(graph).kernels
    native = [code.stages["wgsl half"]() for code in kernels]
    assert any("memory: array<f16>;" in text for text in native)
    assert not any("atomicXor" in text for text in native if "array<f16>" in text)


def test_floats_between_all_widths():
    values = np.array(
        [
            0,
            -0.0,
            1,
            65504,
            65520,
            2.0**-24,
            2.0**-25,
            1e-8,
            np.inf,
            np.nan,
            1 / 3,
            1e300,
        ]
    )
    x = make_input(values.shape, float64)
    results = [e.cast(x, dtype) for dtype in (float16, bfloat16, int32, bool_)]
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.where(np.isfinite(values) & (abs(values) < 1e9), values, 3.0)
        examine(Graph([x], results[:2] + results[3:]), [values], exact=True)
        examine(Graph([x], results), [finite], exact=True)


# Shapes that fill several workgroups, and parts of them


@pytest.mark.parametrize(("m", "k", "n"), [(1, 300, 1), (65, 129, 70), (200, 7, 3)])
def test_products(m, k, n):
    rng = np.random.default_rng(0)
    x, y = make_input((m, k), float32), make_input((n, k), float32)
    product = contract.matmul(x, movement.matrix_transpose(y))
    arrays = [both.numbers(rng, z.shape, z.dtype) for z in (x, y)]
    examine(simplify(Graph([x, y], [product])), arrays)


@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(axis):
    rng = np.random.default_rng(0)
    x = make_input((130, 257), float32)
    results = [reduce.sum(x, axis=axis), reduce.max(x, axis=axis)]
    results.append(reduce.argmax(x, axis=axis))
    examine(simplify(Graph([x], results)), [both.numbers(rng, x.shape, x.dtype)])
