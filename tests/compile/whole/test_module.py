"""Programs as one module of WebAssembly, which gives what the interpreter gives."""

import numpy as np
import pytest

import plait
from plait.compile.llvm.target import named
from plait.compile.whole.module import Function, build_wasm
from plait.dtypes import float32, int32
from plait.errors import ArgumentError, PlaitError
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph
from plait.ops import convolution, index
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops.source import constant
from plait.program import Clear, Copy, Host, Parts, Program
from plait.transform.simplify import simplify

from .. import both, nets
from ..programs import random_case
from .wasm import START, Machine, compiled, laid_out, run

WASM = named("wasm")


def vector(size=16):
    return make_input((size,), float32)


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# A loop over rows that have nothing to do with each other.
PARTED = floats(128, 128) / np.float32(9), floats(64, 128), floats(5, 64, 128)


def same(graph, arrays, exact=False, **options):
    expected = interpret(graph, [np.array(x) for x in arrays])
    got = run(compiled(graph, **options), arrays)
    both.agree(graph, arrays, expected, got, exact)


# Programs of all kinds


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_random_programs(first):
    for seed in range(first, first + 20):
        case = random_case(seed)
        if case is not None:
            same(case.graph, case.arguments, case.exact)


def test_random_programs_with_loops():
    for seed in range(1000, 1020):
        case = random_case(seed, loops=True)
        try:
            interpret(case.graph, case.arguments)
        except PlaitError:
            continue
        same(case.graph, case.arguments, case.exact)


def test_training_steps():
    same(*nets.mlp(2, 20, 5))
    same(*nets.transformer(1, 2, 8, (2, 5)))


def traced(function, *arrays):
    """Return the graph of a function, and its arguments with what it has captured."""
    tensors = tuple(map(plait.asarray, arrays))
    trace = plait.jit(function).trace(*tensors)
    return simplify(trace.graph), trace.values(tensors, {})


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse):
    def total(carry, x):
        carry = plait.tanh(carry + x @ x)
        return carry, carry * 2

    def function(a, xs):
        return plait.scan(total, a, xs, reverse=reverse)

    same(*traced(function, floats(4, 4), floats(7, 4, 4, seed=1)))


def test_the_parts_of_a_loop():
    def function(w, h, xs):
        def cell(h, x):
            h = plait.tanh(x + h @ w)
            return h, h

        return plait.scan(cell, h, xs)

    graph, arrays = traced(function, *PARTED)
    program = compiled(graph)
    assert any(isinstance(one, Parts) for one in program.instructions)
    same(graph, arrays)


def test_while_and_cond():
    def halve(x):
        return plait.cond(x.sum() > 8, lambda x: x / 2, lambda x: x - 1, x)

    def function(x):
        return plait.while_loop(lambda x: x.sum() > 1, halve, x)

    for factor in (0, 1, 100):
        same(*traced(function, np.abs(floats(5)) * np.float32(factor)))


# Where things lie


def test_a_function_may_change_its_input_in_place():
    x, y = vector(), vector()
    program = compiled(Graph([x, y], [e.add(x, y)]))
    assert program.donations == {0: 0} or program.donations == {1: 0}
    inputs, _, end = laid_out(program)
    function = Function("go", program, inputs, [inputs[0]])
    machine = Machine(build_wasm([function], WASM, end))
    one, two = floats(16), floats(16, seed=1)
    machine.write(inputs[0], one)
    machine.write(inputs[1], two)
    for n in (1, 2):
        assert machine.call("go") == 0
        found = machine.read(inputs[0], program.outputs[0])
        np.testing.assert_allclose(found, one + n * two, rtol=1e-5, atol=1e-6)


def test_what_is_still_needed_is_not_overwritten():
    x, y = vector(), vector()
    # Each takes the place of what the other one is made of.
    graph = Graph([x, y], [e.subtract(y, x), e.multiply(x, 2.0), e.add(y, 1.0)])
    program = compiled(graph)
    inputs, outputs, end = laid_out(program)
    function = Function("go", program, inputs, [*inputs, outputs[2]])
    machine = Machine(build_wasm([function], WASM, end))
    arrays = floats(16), floats(16, seed=1)
    for at, array in zip(inputs, arrays, strict=True):
        machine.write(at, array)
    assert machine.call("go") == 0
    for at, type, array in zip(
        function.outputs, program.outputs, interpret(graph, arrays), strict=True
    ):
        np.testing.assert_array_equal(machine.read(at, type), array)


def test_an_input_that_stays_as_it_is():
    x, y = vector(), vector()
    program = compiled(Graph([x, y], [x, e.multiply(y, 3.0)]))
    inputs, _, end = laid_out(program)
    machine = Machine(build_wasm([Function("go", program, inputs, inputs)], WASM, end))
    machine.write(inputs[0], floats(16))
    assert machine.call("go") == 0
    np.testing.assert_array_equal(
        machine.read(inputs[0], program.outputs[0]), floats(16)
    )


def test_functions_share_memory_kernels_and_constants():
    x, y = vector(), vector()
    numbers = constant(floats(16, seed=9), float32)
    graphs = [
        Graph([x], [e.add(e.exp(x), numbers)]),
        Graph([x], [e.add(e.sin(x), numbers)]),
        Graph([x, y], [e.add(e.exp(x), y)]),
    ]
    programs = [compiled(graph) for graph in graphs]
    inputs, outputs, end = laid_out(programs[2])
    functions = [
        Function(f"f{i}", program, inputs[: len(program.inputs)], outputs)
        for i, program in enumerate(programs)
    ]
    built = build_wasm(functions, WASM, end)
    twice = build_wasm(
        [*functions, *(one._replace(symbol=one.symbol + "b") for one in functions)],
        WASM,
        end,
    )
    assert len(twice.code) - len(built.code) < 120  # no kernel, no constant again
    assert twice.memory == built.memory
    machine = Machine(twice)
    arrays = floats(16), floats(16, seed=1)
    for at, array in zip(inputs, arrays, strict=True):
        machine.write(at, array)
    for i, (graph, function) in enumerate(zip(graphs, functions, strict=True)):
        (expected,) = interpret(graph, arrays[: len(graph.inputs)])
        for symbol in (f"f{i}", f"f{i}b"):
            assert machine.call(symbol) == 0
            found = machine.read(outputs[0], function.program.outputs[0])
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# What ends a function


def look_up():
    table, words = make_input((7, 5), float32), make_input((3,), int32)
    return Graph([table, words], [index.take(table, words, axis=0), e.add(table, 1.0)])


def test_an_alarm_ends_it_before_anything_is_overwritten():
    program = compiled(look_up())
    inputs, outputs, end = laid_out(program)
    function = Function("go", program, inputs, [outputs[0], inputs[0]])
    built = build_wasm([function], WASM, end)
    (line,) = built.alarms["go"]
    assert "test_module.py" in line
    machine = Machine(built)
    machine.write(inputs[0], floats(7, 5))
    for words, result, added in (
        ([0, 7, 1], 1, 0),
        ([6, 0, -7], 0, 1),
        ([0, 0, -8], 1, 1),
    ):
        machine.write(inputs[1], np.array(words, np.int32))
        assert machine.call("go") == result
        table = machine.read(inputs[0], program.inputs[0])
        np.testing.assert_array_equal(table, floats(7, 5) + np.float32(added))


def test_what_runs_in_python_is_refused():
    def function(x):
        return x

    one = Host(function, (), (), "model.py:7")
    program = Program([], [], [], [Clear, one], 0, np.zeros(0, np.uint8), 2)
    program.instructions = [one]
    with pytest.raises(
        ArgumentError, match=r"function runs in Python(.|\n)*model.py:7"
    ):
        build_wasm([Function("go", program, [], [])], WASM, START)


def test_too_much_memory_is_refused():
    program = compiled(Graph([vector()], [vector()]))
    function = Function("go", program, [1024], [1088])
    with pytest.raises(ArgumentError, match=r"Got: 2048 MiB.*smaller batch"):
        build_wasm([function], WASM, 1 << 31)


def test_names_that_cannot_be_are_refused():
    program = compiled(Graph([vector()], [vector()]))
    for names in (["memory"], ["work"], ["a", "a"], ["a.b"], ["\u00e9"], [""]):
        functions = [Function(name, program, [1024], [1088]) for name in names]
        with pytest.raises(ArgumentError, match="cannot have this name"):
            build_wasm(functions, WASM, START + 256)
    # What it calls itself inside does not matter.
    functions = [
        Function(name, program, [1024], [1088]) for name in ("run", "share", "kernel0")
    ]
    assert build_wasm(functions, WASM, START + 256, threads=True).code


# What lasts


def net():
    """A convolution, whose kernels are copied in another order, and a step of it."""
    x, w = make_input((4, 16, 14, 14), float32), make_input((32, 16, 3, 3), float32)
    return Graph([w, x], [convolution.convolution(x, w)]), Graph([w], [double(w)])


def double(w):
    return e.multiply(w, 2.0)


class Lasting:
    def __init__(self, state_end=True):
        self.graph, step = net()
        program, doubled = compiled(self.graph, lasts=True), compiled(step)
        assert program.lasts
        inputs, outputs, end = laid_out(program)
        self.program, (self.w, self.x), (self.y,) = program, inputs, outputs
        functions = [
            Function("go", program, inputs, outputs),
            Function("step", doubled, [self.w], [self.w]),
        ]
        border = self.x if state_end else 0
        self.built = build_wasm(functions, WASM, end, state_end=border)
        self.machine = Machine(self.built)
        self.images = floats(4, 16, 14, 14, seed=1)
        self.machine.write(self.x, self.images)

    def check(self, w):
        assert self.machine.call("go") == 0
        found = self.machine.read(self.y, self.program.outputs[0])
        (expected,) = interpret(self.graph, [w, self.images])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_made_of_state_lasts_until_that_changes():
    one, w = Lasting(), floats(32, 16, 3, 3)
    (flag,) = one.built.lasting
    memory, store = one.machine.memory, one.machine.store
    one.machine.write(one.w, w)
    for _ in range(2):
        one.check(w)
        assert memory.read(store, flag, flag + 1) == b"\0"
    one.machine.write(one.w, np.zeros_like(w))
    one.check(w)  # as nobody has said so
    one.machine.stale()
    one.check(np.zeros_like(w))
    one.machine.write(one.w, w)
    one.machine.stale()
    one.check(w)
    assert one.machine.call("step") == 0  # which says so itself
    one.check(2 * w)


def test_nothing_lasts_that_is_made_of_other_inputs():
    one, w = Lasting(state_end=False), floats(32, 16, 3, 3)
    assert one.built.lasting == []
    for factor in (1, 2):
        one.machine.write(one.w, factor * w)
        one.check(factor * w)


def test_an_alarm_leaves_unmade_what_comes_after_it():
    """What lasts is made again if the function that makes it did not come to an end."""
    images, which = make_input((7, 16, 14, 14), float32), make_input((4,), int32)
    w = make_input((32, 16, 3, 3), float32)
    chosen = index.take(images, which, axis=0)
    graph = Graph([images, w, which], [convolution.convolution(chosen, w)])
    program = compiled(graph, lasts=True)
    assert program.lasts
    inputs, outputs, end = laid_out(program)
    built = build_wasm(
        [Function("go", program, inputs, outputs)], WASM, end, state_end=inputs[2]
    )
    machine = Machine(built)
    arrays = floats(7, 16, 14, 14), floats(32, 16, 3, 3), np.full(4, 9, np.int32)
    for at, array in zip(inputs, arrays, strict=True):
        machine.write(at, array)
    assert machine.call("go") == 1
    arrays[2][:] = 3
    machine.write(inputs[2], arrays[2])
    assert machine.call("go") == 0
    found = machine.read(outputs[0], program.outputs[0])
    (expected,) = interpret(graph, arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# Small things


def test_copies_and_shapes_without_elements():
    x = make_input((3, 0), float32)
    same(Graph([x], [r.sum(x), m.reshape(x, (0, 3))]), (floats(3, 0),))
    y = vector()
    program = compiled(Graph([y], [y, e.exp(y)]))
    assert any(isinstance(one, Copy) for one in program.instructions)
    same(Graph([y], [y, e.exp(y)]), (floats(16),))
