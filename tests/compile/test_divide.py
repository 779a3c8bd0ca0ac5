"""Loops whose rows do not mix are run in parts."""

import numpy as np
import pytest

from plait.compile.divide import divided
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import float32
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import contract, source
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.program import Copy, Launch, Parts, Shift
from plait.transform.differentiate import pull_back
from plait.transform.scan import scan
from plait.transform.simplify import simplify

from .both import agree, check, run_slowly

ROWS, WIDTH = 64, 128


def _inputs(*shapes):
    return [make_input(shape, float32, differentiable=True) for shape in shapes]


def _body(new, *more):
    """Return a body over a matrix, what is carried, and a slice."""
    w, h, x = _inputs((WIDTH, WIDTH), (ROWS, WIDTH), (ROWS, WIDTH))
    return Graph([w, h, x, *more], [new(w, h, x)])


def _shapes(graph):
    return [x.shape for x in (*graph.inputs, *graph.outputs)]


SEPARATE = {
    "product": lambda w, h, x: e.tanh(e.add(contract.matmul(h, w), x)),
    "turned product": lambda w, h, x: m.transpose(
        contract.matmul(w, m.transpose(e.add(h, x), 0, 1)), 0, 1
    ),
    "part of a row": lambda w, h, x: e.add(
        m.concat([m.slice_axis(h, 1, 64, 128), m.slice_axis(x, 1, 0, 64)], axis=1),
        m.pad_constant(m.slice_axis(x, 1, 3, 67), ((0, 0), (64, 0))),
    ),
    "sum of a row": lambda w, h, x: e.add(
        m.expand(r.sum(h, axis=1, keepdims=True), h.shape), m.flip(x, axis=[1])
    ),
    "row as a matrix": lambda w, h, x: e.add(
        m.reshape(
            r.max(m.expand(m.reshape(x, (ROWS, 1, 8, 16)), (ROWS, 2, 8, 16)), axis=1),
            (ROWS, WIDTH),
        ),
        h,
    ),
    "the same in all rows": lambda w, h, x: e.add(
        e.multiply(m.expand(r.sum(w, axis=0, keepdims=True), h.shape), h), x
    ),
    "product of each row": lambda w, h, x: m.slice_axis(
        m.reshape(
            contract.matmul(m.reshape(h, (ROWS, 16, 8)), m.reshape(x, (ROWS, 8, 16))),
            (ROWS, 256),
        ),
        1, 32, 160,
    ),
}  # fmt: skip

MIXED = {
    "sum of rows": lambda w, h, x: e.add(
        m.expand(r.sum(h, axis=0, keepdims=True), h.shape), x
    ),
    "rows turned around": lambda w, h, x: e.add(m.flip(h, axis=[0]), x),
    "rows moved": lambda w, h, x: e.add(
        m.concat([m.slice_axis(h, 0, 1, ROWS), m.slice_axis(h, 0, 0, 1)], axis=0),
        x,
    ),
    "rows padded": lambda w, h, x: e.add(
        m.pad_constant(m.slice_axis(h, 0, 1, ROWS), ((1, 0), (0, 0))), x
    ),
    "rows by rows": lambda w, h, x: contract.matmul(
        contract.matmul(h, m.transpose(h, 0, 1)), x
    ),
    "rows cut otherwise": lambda w, h, x: e.add(
        m.reshape(m.transpose(h, 0, 1), (ROWS, WIDTH)), x
    ),
    "numbers of rows": lambda w, h, x: e.add(
        m.expand(
            m.reshape(source.iota(ROWS, float32), (ROWS, 1)), (ROWS, WIDTH)
        ),
        e.add(h, x),
    ),
}  # fmt: skip


def _graph(new, length, reverse=False, ends=True):
    body = _body(new)
    body = Graph(body.inputs, [*body.outputs, *body.outputs])
    inputs = _inputs((WIDTH, WIDTH), (ROWS, WIDTH), (length, ROWS, WIDTH))
    outputs = scan(inputs[:1], inputs[1:2], inputs[2:], body, length, reverse)
    return Graph(inputs, outputs if ends else outputs[1:])


def _numbers(inputs):
    rng = np.random.default_rng(0)
    return [rng.uniform(-0.1, 0.1, x.shape).astype(x.dtype.numpy) for x in inputs]


@pytest.mark.parametrize("new", SEPARATE.values(), ids=SEPARATE)
def test_rows_that_do_not_mix_are_computed_in_parts(new):
    found = divided(_body(new), 1)
    assert found is not None
    assert (found.number, found.rows) == (2, (False, True, True))
    part = (ROWS // 2, WIDTH)
    assert _shapes(found.body) == [(WIDTH, WIDTH), part, part, part]
    graph = _graph(new, 3)
    program = compile_graph(graph, host())
    assert any(isinstance(x, Parts) for x in program.instructions)
    check(graph, _numbers(graph.inputs), slowly=False)


@pytest.mark.parametrize("new", MIXED.values(), ids=MIXED)
def test_rows_that_mix_are_computed_together(new):
    assert divided(_body(new), 1) is None
    graph = _graph(new, 3)
    program = compile_graph(graph, host())
    assert not any(isinstance(x, Parts | Shift) for x in program.instructions)


def test_what_is_captured_may_have_rows():
    mask, h, x = _inputs((ROWS, 1), (ROWS, WIDTH), (ROWS, WIDTH))
    new = e.add(e.multiply(m.expand(mask, h.shape), h), x)
    body = Graph([mask, h, x], [new])
    found = divided(body, 1)
    assert found is not None
    assert found.rows == (True, True, True)
    assert found.body.inputs[0].shape == (ROWS // 2, 1)
    inputs = _inputs((ROWS, 1), (ROWS, WIDTH), (4, ROWS, WIDTH))
    graph = Graph(inputs, scan(inputs[:1], inputs[1:2], inputs[2:], body, 4, True))
    check(graph, _numbers(inputs), slowly=False)


def test_small_and_odd_loops_are_left_alone():
    for rows, width in ((61, 128), (24, 128), (64, 2), (1000, 1)):
        h, x = _inputs((rows, width), (rows, width))
        assert divided(Graph([h, x], [e.add(h, x)]), 0) is None


def test_there_are_no_more_parts_than_are_useful():
    h, x = _inputs((1 << 20,), (1 << 20,))
    found = divided(Graph([h, x], [e.add(h, x)]), 0)
    assert found is not None
    assert found.number == 64


def test_large_matrices_are_not_read_for_each_part():
    w, h = _inputs((512, 512), (ROWS, 512))
    assert divided(Graph([w, h], [contract.matmul(h, w)]), 1) is None


@pytest.mark.parametrize("length", [1, 2, 3, 6])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ends", [False, True])
def test_derivatives_in_parts(length, reverse, ends):
    graph = _graph(SEPARATE["product"], length, reverse, ends)
    loss = r.sum(e.square(graph.outputs[-1]))
    found = pull_back([loss], [source.full_like(loss, 1)], graph.inputs)
    outputs = [*graph.outputs, *(x for x in found if x is not None)]
    graph = simplify(Graph(graph.inputs, outputs))
    program = compile_graph(graph, host())
    loops = sum(isinstance(x, Parts) for x in program.instructions)
    assert loops == (2 if length > 1 else 0)
    check(graph, _numbers(graph.inputs), slowly=False)


def test_a_matrix_is_laid_out_once_for_all_turns():
    """Each turn multiplies by it, in the order in which it is copied before them."""
    w, h, x = _inputs((WIDTH, WIDTH), (ROWS, WIDTH), (ROWS, WIDTH))
    new = e.add(contract.matmul(h, m.transpose(w, 0, 1)), x)
    inputs = _inputs((WIDTH, WIDTH), (ROWS, WIDTH), (3, ROWS, WIDTH))
    body = Graph([w, h, x], [new])
    graph = Graph(inputs, scan(inputs[:1], inputs[1:2], inputs[2:], body, 3, False))
    program = compile_graph(graph, host())
    at = next(i for i, x in enumerate(program.instructions) if isinstance(x, Parts))
    names = [
        [program.kernels[x.kernel].name for x in part if isinstance(x, Launch)]
        for part in (program.instructions[:at], program.instructions[at:])
    ]
    assert names == [["dot_add_32x128_columns"], ["dot_add_32x128"]]
    assert not any(isinstance(x, Copy) for x in program.instructions[at + 1 :])
    check(graph, _numbers(inputs), slowly=False)


def test_parts_give_the_same_slowly():
    """Without products, which take too long in Python."""
    h, x = _inputs((2048, 4), (2048, 4))
    body = Graph([h, x], [e.add(e.multiply(h, 0.5), x), e.multiply(h, x)])
    found = divided(body, 0)
    assert found is not None
    inputs = _inputs((2048, 4), (2, 2048, 4))
    graph = Graph(inputs, scan((), inputs[:1], inputs[1:], body, 2, False))
    arrays = _numbers(inputs)
    program = compile_graph(graph, host())
    expected = check(graph, arrays, slowly=False)
    agree(graph, arrays, expected, run_slowly(program, arrays))
