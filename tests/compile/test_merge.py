"""Loops that carry the same values are one loop, and others are not."""

import numpy as np

from plait.compile.merge import merge_scans
from plait.dtypes import float64
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import elementwise as e
from plait.ops import reduce as r
from plait.ops import source as s
from plait.transform.differentiate import pull_back
from plait.transform.scan import SCAN, scan
from plait.transform.simplify import simplify

from .both import check, numbers


def _inputs(*shapes):
    return [make_input(shape, float64, differentiable=True) for shape in shapes]


def _body(factor):
    """Return a body over w, h, x."""
    w, h, x = _inputs((3,), (3,), (3,))
    new = e.tanh(e.add(e.multiply(w, h), e.multiply(x, factor)))
    return w, h, x, new


def _scans(graph):
    return sum(node.primitive is SCAN for node in graph.nodes())


def _check(graph, count):
    merged = merge_scans(graph)
    assert _scans(merged) == count
    rng = np.random.default_rng(0)
    arrays = [numbers(rng, x.shape, x.dtype) for x in graph.inputs]
    check(graph, arrays, slowly=False)


def test_a_loop_and_its_derivative_go_forward_once():
    w, h, x, new = _body(2.0)
    inputs = _inputs((3,), (3,), (4, 3))
    found = scan(inputs[:1], inputs[1:2], inputs[2:], Graph((w, h, x), (new, new)))
    loss = r.sum(e.square(found[1]))
    gradients = pull_back([loss], [s.full_like(loss, 1)], inputs)
    graph = simplify(Graph(inputs, (loss, *gradients)))
    assert _scans(graph) == 3
    _check(graph, 2)


def test_results_of_equal_loops_are_stacked_once():
    inputs = _inputs((3,), (3,), (4, 3))
    outputs = []
    for result in (e.sin, e.cos, e.sin):
        w, h, x, new = _body(2.0)
        body = Graph((w, h, x), (new, result(new)))
        outputs += scan(inputs[:1], inputs[1:2], inputs[2:], body)
    graph = Graph(inputs, outputs)
    _check(graph, 1)
    (one,) = [n for n in merge_scans(graph).nodes() if n.primitive is SCAN]
    assert len(one.type) == 3


def test_loops_that_carry_other_values_stay_apart():
    inputs = _inputs((3,), (3,), (4, 3))
    outputs = []
    for factor in (1.0, 2.0):
        w, h, x, new = _body(factor)
        outputs += scan(inputs[:1], inputs[1:2], inputs[2:], Graph((w, h, x), (new,)))
    _check(Graph(inputs, outputs), 2)


def test_loops_in_other_directions_stay_apart():
    inputs = _inputs((3,), (3,), (4, 3))
    outputs = []
    for reverse in (False, True):
        w, h, x, new = _body(1.0)
        body = Graph((w, h, x), (new,))
        outputs += scan(inputs[:1], inputs[1:2], inputs[2:], body, reverse=reverse)
    _check(Graph(inputs, outputs), 2)
