"""Every primitive, on every one of its samples: compiled as interpreted.

In all dtypes that it takes, and so for the graph of its derivative.
"""

from __future__ import annotations

import numpy as np
import pytest

from plait.compile.llvm.target import host, named
from plait.compile.pipeline import compile_graph
from plait.dtypes import as_dtype, bfloat16, float32
from plait.errors import PlaitError
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, TensorType
from plait.program import WrongIndex
from plait.transform import ALL_PRIMITIVES
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from ..ops import checks
from . import both

WIDTHS = (float32, bfloat16)
SAMPLES = [
    pytest.param(case, id=case.name)
    for primitive in ALL_PRIMITIVES
    for case in checks.cases(primitive)
]


def swept(case):
    """Yield the operands of a case as they are, and in other dtypes that it takes."""
    yield case.operands
    seen = {tuple(x.dtype for x in case.operands)}
    for dtype, operands in checks.swept_dtypes(case):
        kinds = tuple(x.dtype for x in operands)
        # All dtypes for the first sample of a primitive, a few for the others.
        if kinds in seen or (dtype not in WIDTHS and case.index):
            continue
        seen.add(kinds)
        if checks.is_unspecified(case, operands):
            continue
        types = [TensorType(x.shape, as_dtype(x.dtype)) for x in operands]
        try:
            case.primitive.infer(*types, **case.attributes)
        except PlaitError:
            continue
        yield operands


def examine(graph, arrays):
    """Compiled, a graph gives what the interpreter gives, or refuses it too."""
    try:
        expected = interpret(graph, arrays)
    except PlaitError as error:
        with pytest.raises((type(error), WrongIndex)):
            both.run(both.compiled(graph), arrays, 1)
        return
    both.check(graph, arrays, expected=expected)


@pytest.mark.parametrize("case", SAMPLES)
def test_compiled_as_interpreted(case):
    for operands in swept(case):
        recorded = checks.record(case.primitive, operands, case.attributes)
        examine(Graph(recorded.inputs, recorded.results), operands)


def derivatives(case, operands, rng):
    """Return a graph with the derivatives of a case, and its arguments; or None."""
    recorded = checks.record(case.primitive, operands, case.attributes)
    wrt = [recorded.inputs[i] for i in recorded.varied]
    results = [recorded.results[i] for i in recorded.used]
    if not wrt or not results:
        return None
    seeds = [checks.like_node(y) for y in results]
    found = [ct for ct in pull_back(results, seeds, wrt) if ct is not None]
    arrays = [*operands, *[both.numbers(rng, y.shape, y.dtype) for y in seeds]]
    return Graph([*recorded.inputs, *seeds], [*results, *found]), arrays


@pytest.mark.parametrize(
    "case",
    [x for x in SAMPLES if not checks.excuse_gradient(x.values[0], smooth=False)],
)
def test_derivatives_compiled_as_interpreted(case):
    rng = np.random.default_rng(0)
    for operands in swept(case):
        found = derivatives(case, operands, rng)
        if found is None:
            continue
        graph, arrays = found
        # As they are trained, and as they come from the rule.
        examine(simplify(graph), arrays)
        if operands is case.operands and not case.index:
            examine(graph, arrays)


@pytest.mark.parametrize("primitive", ALL_PRIMITIVES, ids=lambda one: one.name)
def test_it_has_kernels(primitive):
    for case in checks.cases(primitive):
        recorded = checks.record(primitive, case.operands, case.attributes)
        graphs = [Graph(recorded.inputs, recorded.results)]
        if not checks.excuse_gradient(case, smooth=False):
            found = derivatives(case, case.operands, np.random.default_rng(0))
            graphs += [simplify(found[0])] if found else []
        for graph in graphs:
            for target in (host(), named("wasm")):
                calls = both.host_calls(compile_graph(graph, target))
                assert not calls, "it has no kernels, and runs in Python"
