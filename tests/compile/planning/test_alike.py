"""Groups that are alike are lowered once, and those that are not are told apart."""

import sys

import numpy as np
import pytest

import plait
from plait.compile import pipeline
from plait.compile.llvm.target import host
from plait.compile.planning.alike import Shelf
from plait.ir.text import from_text
from plait.ops import PRIMITIVES
from plait.transform.simplify import simplify

from ..both import check


def training_step(layers, width=16):
    """Return the graph of a step of gradient descent of a deep network."""

    def loss(weights, x):
        for w in weights:
            x = (x @ w).relu()
        return (x * x).mean()

    def step(weights, x):
        value, gradients = plait.value_and_grad(loss)(weights, x)
        return value, [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)]

    weights = [plait.ones(width, width) for _ in range(layers)]
    return simplify(plait.jit(step).trace(weights, plait.ones(8, width)).graph)


def made(graph, monkeypatch):
    """Return how many groups were lowered, and how many kernels made, for a graph."""
    shelf, kernels = Shelf(), []
    kernel_code = pipeline._kernel_code

    def counted(piece, target):
        kernels.append(piece)
        return kernel_code(piece, target)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "SHELF", shelf)
        patch.setattr(pipeline, "_kernel_code", counted)
        program = pipeline.compile_graph(graph, host())
    return shelf.lowered, len(kernels), len(program.kernels)


def test_equal_layers_are_lowered_once(monkeypatch):
    few = made(training_step(6), monkeypatch)
    assert made(training_step(60), monkeypatch) == few
    assert few[0] <= 20


def traced(function, *shapes):
    arguments = [plait.zeros(*shape) for shape in shapes]
    return simplify(plait.jit(function).trace(*arguments).graph)


def test_what_has_computed_an_operand_does_not_matter(monkeypatch):
    def function(x, first, second):
        x = plait.convolution(plait.sin(x), first, padding=1)
        return plait.convolution(x, second, padding=1)

    graph = traced(function, (2, 8, 9, 9), (8, 8, 3, 3), (8, 8, 3, 3))
    lowered, _, _ = made(graph, monkeypatch)
    assert lowered == 2


def test_slices_of_a_dense_block_share_the_code_of_convolutions(monkeypatch):
    """Each has a copy of its part of a tensor, but no kernels of its own."""

    def function(count):
        def convolved(x, *weights):
            return [
                plait.convolution(x[:, 8 * i : 8 * i + 8], weight, padding=1)
                for i, weight in enumerate(weights)
            ]

        return traced(convolved, (2, 8 * count, 9, 9), *[(8, 8, 3, 3)] * count)

    few, many = (made(function(count), monkeypatch)[2] for count in (2, 5))
    assert few == many <= 3


def test_another_program_finds_what_is_known():
    pipeline.compile_graph(training_step(6), host())
    before = pipeline.SHELF.lowered
    pipeline.compile_graph(training_step(7), host())
    assert pipeline.SHELF.lowered == before


def test_a_full_shelf_is_emptied(monkeypatch):
    shelf = Shelf(most=2)
    monkeypatch.setattr(pipeline, "SHELF", shelf)
    program = pipeline.compile_graph(training_step(6), host())
    assert len(shelf._patterns) <= 2
    assert shelf.lowered > 2
    assert len(program.kernels) < 20


def calls_of(function, *args):
    """Return how many functions are called while one runs."""
    count = 0

    def watch(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
    return count


def test_planning_takes_linear_time():
    small, large = training_step(30), training_step(300)
    pipeline.compile_graph(small, host())  # what is done once in a process
    few = calls_of(pipeline.compile_graph, small, host())
    many = calls_of(pipeline.compile_graph, large, host())
    assert many < 11.5 * few


PAIRS = {
    "zeros of both signs": (
        "pad(%0, value=0.0, widths=((1, 0),)) : float32[9]",
        "pad(%1, value=-0.0, widths=((1, 0),)) : float32[9]",
    ),
    "starts": (
        "slice(%0, starts=(0,), steps=(1,), stops=(7,)) : float32[7]",
        "slice(%1, starts=(1,), steps=(1,), stops=(8,)) : float32[7]",
    ),
    "operands": ("subtract(%0, %1) : float32[8]", "subtract(%1, %0) : float32[8]"),
    "one operand twice": (
        "multiply(%0, %1) : float32[8]",
        "multiply(%0, %0) : float32[8]",
    ),
    "primitives": ("add(%0, %1) : float32[8]", "multiply(%0, %1) : float32[8]"),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_differs_is_not_alike(pair):
    first, second = pair
    graph = from_text(
        f"""graph(%0: float32[8], %1: float32[8]) {{
          %2 = {first}
          %3 = {second}
          return %2, %3
        }}""",
        PRIMITIVES,
    )
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(8, np.float32) for _ in range(2)]
    check(graph, values)


def test_memory_of_their_own_is_not_shared_by_groups_that_are_alike():
    # Both products copy their second operand into memory of their own. In the body of
    # a loop, those copies are made before the first turn and kept until the last one.
    def body(x, v, w):
        return (x @ v.T) @ w.T

    def turns(x, v, w):
        return plait.scan(lambda x, _: (body(x, v, w), x.sum()), x, plait.zeros(3))

    square = plait.ones(64, 64)
    graph = simplify(plait.jit(turns).trace(square, square, square).graph)
    rng = np.random.default_rng(0)
    check(graph, [rng.standard_normal(x.shape, np.float32) / 8 for x in graph.inputs])
