"""On WebGPU every primitive gives what the interpreter gives."""

from __future__ import annotations

import numpy as np
import pytest

from plait.compile.wgsl import compile_graph
from plait.dtypes import bfloat16, bool_, float16, float32, float64, int8, int32, int64
from plait.errors import PlaitError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import contract, movement, reduce
from plait.ops import elementwise as e
from plait.program import WrongIndex
from plait.runtime import webgpu
from plait.transform import ALL_PRIMITIVES
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from ...ops import checks
from .. import both

pytestmark = pytest.mark.usefixtures("adapter")
# Software adapters take long to compile these: long kernels, or float64 in the samples.
# `tests/runtime/test_webgpu.py` has loops and branches.
SLOW = {
    "cofactor", "cond", "custom_vjp", "det", "digamma", "eigh", "erfinv",
    "floor_divide", "lgamma", "pinv", "polygamma", "power", "recompute", "remainder",
    "slogdet", "svd", "while_loop",
}  # fmt: skip
SAMPLES = [
    pytest.param(case, id=case.name)
    for primitive in ALL_PRIMITIVES
    for case in checks.cases(primitive)
    if primitive.name not in SLOW and case.index < 2
]


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
    recorded = checks.record(case.primitive, case.operands, case.attributes)
    examine(Graph(recorded.inputs, recorded.results), case.operands)


DERIVED = ("dot", "gather", "max", "select", "sum", "tanh")


@pytest.mark.parametrize("case", [
    x for x in SAMPLES
    if x.values[0].primitive.name in DERIVED and not x.values[0].index
])  # fmt: skip
def test_derivatives_as_interpreted(case):
    rng = np.random.default_rng(0)
    recorded = checks.record(case.primitive, case.operands, case.attributes)
    wrt = [recorded.inputs[i] for i in recorded.varied]
    results = [recorded.results[i] for i in recorded.used]
    seeds = [checks.like_node(y) for y in results]
    found = [ct for ct in pull_back(results, seeds, wrt) if ct is not None]
    arrays = [*case.operands, *[both.numbers(rng, y.shape, y.dtype) for y in seeds]]
    examine(simplify(Graph([*recorded.inputs, *seeds], [*results, *found])), arrays)


# Other dtypes


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
