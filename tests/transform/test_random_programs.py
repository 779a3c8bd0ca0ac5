"""Random programs: simplified or not, printed and read or not, they mean the same.

`PLAIT_PROGRAMS=20000` runs so many programs of each kind in place of a few hundred. The
seed of a program that fails is the parameter of the test; its text is in the message.
"""

import os

import numpy as np
import pytest

from plait.dtypes import float32, float64
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ir.text import from_text, to_text
from plait.ir.verify import verify
from plait.ops import PRIMITIVES
from plait.ops import source as s
from plait.transform.differentiate import pull_back
from plait.transform.simplify import simplify

from .programs import ExactProgram, SmoothProgram

BATCHES = 20
PROGRAMS = int(os.environ.get("PLAIT_PROGRAMS", "400"))


# --- what must hold


def same(a, b):
    """Assert that two arrays are equal to the last bit, but for the kind of nan."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    if a.dtype.kind in "biu":
        np.testing.assert_array_equal(a, b)
        return
    a, b = a.astype(float), b.astype(float)  # NumPy's assertion does not know all nans
    np.testing.assert_array_equal(a, b)
    number = ~np.isnan(a)
    np.testing.assert_array_equal(np.signbit(a)[number], np.signbit(b)[number])


def close(tolerance):
    def compare(a, b):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    return compare


def check(graph, arguments, compare, **options):
    """Check all that must hold of `graph`; name the first node whose value differs."""
    verify(graph)
    result = simplify(graph, **options)
    verify(result)
    for one in (graph, result):
        text = to_text(one)
        back = from_text(text, PRIMITIVES)
        assert to_text(back) == text
    assert to_text(simplify(result, **options)) == to_text(result)
    values = interpret(graph, arguments)
    try:
        for found in (result, back):
            for a, b in zip(values, interpret(found, arguments), strict=True):
                compare(a, b)
    except AssertionError as error:
        pytest.fail(f"{first_fault(graph, arguments, compare, options)}\n{error}")
    return result


def first_fault(graph, arguments, compare, options):
    for node in graph.nodes():
        one = Graph(graph.inputs, [node])
        simple = simplify(one, **options)
        try:
            compare(interpret(one, arguments)[0], interpret(simple, arguments)[0])
        except AssertionError:
            return f"{to_text(one)}\n{to_text(simple)}"
    return "no single node differs"


def seeds(batch):
    return range(batch, PROGRAMS, BATCHES)


@pytest.mark.timeout(max(120, PROGRAMS))
@pytest.mark.parametrize("batch", range(BATCHES))
def test_exact_rules_keep_every_bit(batch):
    for seed in seeds(batch):
        program = ExactProgram(seed)
        graph = program.graph()
        for final in (True, False):
            check(graph, program.arguments(), same, exact=True, final=final)


@pytest.mark.timeout(max(120, PROGRAMS))
@pytest.mark.parametrize("batch", range(BATCHES))
def test_simplified_programs_have_the_same_values_and_derivatives(batch):
    for seed in seeds(batch):
        program = SmoothProgram(seed, float64)
        graph = program.graph()
        arguments = program.arguments()
        check(graph, arguments, close(1e-9))
        stable = check(graph, arguments, close(1e-9), final=False)
        before, after = gradients(graph, seed), gradients(stable, seed)
        expected = interpret(before, arguments)
        for other in (after, simplify(before), simplify(after)):
            for a, b in zip(expected, interpret(other, arguments), strict=True):
                np.testing.assert_allclose(
                    a, b, rtol=1e-7, atol=1e-7, err_msg=to_text(graph)
                )


def gradients(graph, seed):
    """Return the graph of the cotangents of the inputs, for random ones of outputs."""
    rng = np.random.default_rng(seed)
    weights = [s.constant(rng.uniform(-1, 1, y.shape), y.dtype) for y in graph.outputs]
    found = pull_back(graph.outputs, weights, graph.inputs)
    pairs = zip(found, graph.inputs, strict=True)
    return Graph(
        graph.inputs, [s.full_like(x, 0) if ct is None else ct for ct, x in pairs]
    )


@pytest.mark.timeout(max(120, PROGRAMS))
@pytest.mark.parametrize("batch", range(BATCHES))
def test_simplified_programs_in_single_precision(batch):
    for seed in seeds(batch):
        program = SmoothProgram(seed, float32)
        check(program.graph(), program.arguments(), close(2e-3))


def test_the_programs_are_worth_running():
    """The kinds of program together use most primitives, and fire most rules."""
    primitives, fired = set(), set()
    for seed in range(300):
        for graph in (ExactProgram(seed).graph(), SmoothProgram(seed, float64).graph()):
            primitives |= {node.primitive.name for node in graph.nodes()}
            simplify(graph, observe=lambda rule, *_: fired.add(rule.name))
    assert len(primitives) > 45
    assert len(fired) > 55
