"""Loops and branches as instructions give what the interpreter gives."""

import numpy as np
import pytest

from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph, kernel_code
from plait.compile.planning.alike import Shelf
from plait.compile.planning.block import Block
from plait.compile.planning.stock import Stock
from plait.compile.schedule.arena import ALIGNMENT
from plait.dtypes import bool_, float32, float64, int64
from plait.ir.build import make_input, pick
from plait.ir.graph import Graph
from plait.ops import contract, gather, sort
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops import source as s
from plait.program import Advance, Copy, Launch, Place, Repeat, Swap, WrongIndex
from plait.runtime import Runner
from plait.transform.control import cond, while_loop
from plait.transform.differentiate import pull_back
from plait.transform.scan import scan
from plait.transform.simplify import simplify

from ..both import check, host_calls

_SHAPES = [(), (3,), (3, 4), (4, 3), (3, 3), (17,)]


class _Bodies:
    """Random graphs, loops in loops among them, whose numbers stay moderate."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def choose(self, options):
        return options[int(self.rng.integers(len(options)))]

    def node(self, pool, shape):
        """Return something of a shape, made of what there is."""
        same = [x for x in pool if x.shape == shape]
        kind = self.rng.integers(8)
        x = self.choose(same) if same else self.summed(pool, shape)
        if kind == 0:
            return e.tanh(x)
        if kind == 1:
            return e.multiply(x, self.summed(pool, shape))
        if kind == 2 and same:
            return e.subtract(self.choose(same), x)
        if kind == 3 and len(shape) == 2:
            other = [y for y in pool if y.shape == (shape[1], shape[1])]
            return e.tanh(contract.matmul(x, self.choose(other))) if other else x
        if kind == 4 and shape:
            return e.sin(m.flip(x, axis=0))
        if kind == 5 and shape:
            return r.cumulative_sum(e.multiply(x, 0.1), axis=0)
        if kind == 6 and shape:
            which = e.cast(e.abs(e.multiply(self.summed(pool, (2,)), 0.4)), int64)
            found = gather.gather(x, which, 0)
            return e.add(x, r.sum_over(r.mean(found), ()))
        return e.maximum(x, e.multiply(self.summed(pool, shape), -0.5))

    def summed(self, pool, shape):
        x = self.choose(pool)
        return m.expand(m.reshape(e.tanh(r.mean(x)), (1,) * len(shape)), shape)

    def state(self, pool, types, deep):
        """Return new values of some shapes, sometimes old ones."""
        pool = list(pool)
        for _ in range(int(self.rng.integers(1, 6))):
            pool.append(self.node(pool, self.choose(_SHAPES)))
            if deep and self.rng.random() < 0.3:
                pool += self.control(pool, deep - 1)
        found = []
        for shape in types:
            same = [x for x in pool if x.shape == shape]
            old = same and self.rng.random() < 0.5
            found.append(self.choose(same) if old else self.node(pool, shape))
        return found

    def control(self, pool, deep):
        """Return the results of a loop or a branch over some of the pool."""

        def take(most):
            return [self.choose(pool) for _ in range(int(self.rng.integers(0, most)))]

        def copy(nodes):
            return [make_input(x.shape, x.dtype) for x in nodes]

        captured, carry = take(3), take(4) or [self.choose(pool)]
        kind = self.rng.integers(4)
        types = [x.shape for x in carry]
        if kind == 0:
            graphs = []
            for _ in range(2):
                inputs = copy([*captured, *carry])
                graphs.append(Graph(inputs, self.state(inputs, types, deep)))
            test = e.less(r.mean(self.choose(pool)), 0.1)
            return cond(test, [*captured, *carry], *graphs)
        if kind == 1:
            limit = s.constant(int(self.rng.integers(0, 5)), int64)
            inputs = copy(captured), copy([limit, *carry])
            every = [*inputs[0], *inputs[1]]
            left = inputs[1][0]
            test = Graph(every, [e.less(s.constant(0, int64), left)])
            pooled = [*inputs[0], *inputs[1][1:]]
            new = [e.subtract(left, 1), *self.state(pooled, types, deep)]
            return while_loop(captured, [limit, *carry], test, Graph(every, new))[1:]
        length = self.choose([0, 1, 2, 3, 4, 4, 5])
        xs = [x for x in take(4) if x.ndim]
        length = xs[0].shape[0] if xs else length
        xs = [x for x in xs if x.shape[0] == length]
        inputs = copy([*captured, *carry])
        inputs += [make_input(x.shape[1:], x.dtype) for x in xs]
        ys = [self.choose(_SHAPES) for _ in range(int(self.rng.integers(0, 3)))]
        body = Graph(inputs, self.state(inputs, [*types, *ys], deep))
        found = scan(captured, carry, xs, body, length, bool(self.rng.integers(2)))
        stacked = [r.sum(y, axis=0) for y in found[len(carry) :]]
        return [*found[: len(carry)], *stacked]


def _case(seed):
    bodies = _Bodies(seed)
    dtype = bodies.choose([float64, float32])
    inputs = [make_input(shape, dtype, differentiable=True) for shape in _SHAPES]
    pool = list(inputs)
    for _ in range(2):
        pool += bodies.control(pool, 2)
    outputs = [bodies.choose(pool) for _ in range(2)] + pool[-3:]
    values = [bodies.rng.uniform(-1, 1, x.shape).astype(dtype.numpy) for x in inputs]
    return inputs, outputs, values


@pytest.mark.parametrize("seed", range(8))
def test_random_control_flow(seed):
    inputs, outputs, values = _case(seed)
    check(simplify(Graph(inputs, outputs)), values, slowly=False)


def _floats(*shapes):
    return [make_input(shape, float32, differentiable=True) for shape in shapes]


def _recurrence(length, reverse=False):
    """Return a graph over w, h, xs: h = tanh(h @ exp(w) + x), and all of h."""
    w, h, x = _floats((8, 8), (3, 8), (3, 8))
    new = e.tanh(e.add(contract.matmul(h, e.multiply(e.exp(w), 0.1)), x))
    body = Graph((w, h, x), (new, new))
    inputs = _floats((8, 8), (3, 8), (length, 3, 8))
    w, h, xs = inputs
    return inputs, scan((w,), (h,), (xs,), body, length, reverse)


def _numbers(inputs, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, x.shape).astype(x.dtype.numpy) for x in inputs]


@pytest.mark.parametrize("length", [0, 1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrence_and_its_gradient(length, reverse):
    inputs, outputs = _recurrence(length, reverse)
    loss = r.sum(e.square(outputs[1]))
    found = pull_back([loss], [s.full_like(loss, 1)], inputs)
    graph = simplify(Graph(inputs, (*outputs, *(x for x in found if x is not None))))
    assert not host_calls(compile_graph(graph, host()))
    check(graph, _numbers(inputs), slowly=False)


def _turn(program):
    """Return the instructions before the only loop, and those of one turn."""
    instructions = program.instructions
    (end,) = [i for i, x in enumerate(instructions) if isinstance(x, Repeat)]
    start = instructions[end].target
    return instructions[:start], instructions[start:end]


def _names(program, instructions):
    return [
        program.kernels[x.kernel].name for x in instructions if isinstance(x, Launch)
    ]


def test_what_does_not_change_is_computed_once():
    inputs, outputs = _recurrence(5)
    program = compile_graph(Graph(inputs, outputs[:1]), host())
    before, turn = _turn(program)
    assert _names(program, before) == ["multiply_8x8"]
    assert _names(program, turn) == ["dot_tanh_3x8"]


def test_a_turn_copies_nothing():
    inputs, outputs = _recurrence(5)
    _, turn = _turn(compile_graph(Graph(inputs, outputs[:1]), host()))
    assert not any(isinstance(x, Copy) for x in turn)
    assert sum(isinstance(x, Swap) for x in turn) == 1


def test_a_sum_that_is_carried_is_added_up_in_place():
    total, x = _floats((40,), (40,))
    body = Graph((total, x), (e.add(total, e.sin(x)),))
    inputs = _floats((40,), (6, 40))
    graph = Graph(inputs, scan((), inputs[:1], inputs[1:], body))
    _, turn = _turn(compile_graph(graph, host()))
    assert [type(x) for x in turn] == [Launch, Advance]
    check(graph, _numbers(inputs), slowly=False)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_carries_that_are_stacked_lie_in_the_stack(length, reverse):
    w, h, c, x = _floats((8, 8), (3, 8), (3, 8), (3, 8))
    new = e.tanh(e.add(contract.matmul(h, w), e.add(x, c)))
    later = e.multiply(c, new)
    # The first as it leaves a turn, the second as it enters it.
    body = Graph((w, h, c, x), (new, later, new, c))
    inputs = _floats((8, 8), (3, 8), (3, 8), (length, 3, 8))
    outputs = scan(inputs[:1], inputs[1:3], inputs[3:], body, length, reverse)
    for wanted in ((0, 1, 2, 3), (2, 3), (1, 2, 3)):
        graph = Graph(inputs, [outputs[i] for i in wanted])
        program = compile_graph(graph, host())
        if length > 1:
            _, turn = _turn(program)
            assert not any(isinstance(one, Copy | Swap) for one in turn)
        check(graph, _numbers(inputs), slowly=False)


@pytest.mark.parametrize("seed", range(4))
def test_random_gradients(seed):
    bodies = _Bodies(seed)
    shapes = [(3,), (3, 4), (3, 3)]
    body = [make_input(x, float64, differentiable=True) for x in (*shapes, *shapes)]
    new = [bodies.node(body, shape) for shape in (*shapes, (3, 4))]
    length = int(bodies.rng.integers(1, 5))
    inputs = [make_input(x, float64, differentiable=True) for x in shapes]
    inputs += [make_input((length, *x), float64, differentiable=True) for x in shapes]
    graph = Graph(body, [*new, new[1], body[1]])
    found = scan((), inputs[:3], inputs[3:], graph, length, bool(seed % 2))
    loss = r.sum(e.sin(e.add(*(r.mean(x) for x in (found[3], found[5])))))
    gradients = pull_back([loss], [s.full_like(loss, 1)], inputs)
    outputs = [loss, *found, *(x for x in gradients if x is not None)]
    check(simplify(Graph(inputs, outputs)), _numbers(inputs, seed), slowly=False)


def test_a_result_that_was_picked_twice():
    x = make_input((9,), float32)
    node = sort.sort(x).operands[0]
    graph = Graph((x,), [pick(node, 0), pick(node, 0), e.sin(pick(node, 0))])
    check(graph, _numbers((x,)), slowly=False)


def test_updates_that_are_written_into_themselves():
    x, places = make_input((5, 4), float32), make_input((5,), int64)
    y = e.exp(x)
    graph = Graph((x, places), (e.sin(gather.scatter(y, places, y, 0, 0, "add")),))
    check(graph, [*_numbers((x,)), np.array([1, 2, 3, 4, 0])], slowly=False)


def test_carries_that_change_places():
    x, y = _floats((5,), (5,))
    body = Graph((x, y), (y, x))
    inputs = _floats((5,), (5,))
    for length in (1, 2, 3):
        graph = Graph(inputs, scan((), inputs, (), body, length))
        check(graph, _numbers(inputs), slowly=False)


def _looked_up(table, index):
    return r.sum(gather.gather(table, m.reshape(index, (1,)), 0))


@pytest.mark.parametrize("wrong", [0, 3, -1])
def test_a_wrong_index_in_a_loop_is_told(wrong):
    table, total, index = make_input((3,), float32), *_floats(()), make_input((), int64)
    body = Graph((table, total, index), (e.add(total, _looked_up(table, index)),))
    inputs = [make_input((3,), float32), *_floats(()), make_input((4,), int64)]
    graph = Graph(inputs, scan(inputs[:1], inputs[1:2], inputs[2:], body))
    indices = np.array([0, wrong, 2, 1])
    values = [np.arange(3, dtype=np.float32), np.float32(1), indices]
    if wrong:
        with pytest.raises(WrongIndex):
            Runner(compile_graph(graph, host())).run(values)
    else:
        check(graph, values, slowly=False)


def test_a_wrong_index_ends_a_loop_that_waits_for_another_number():
    table, index = make_input((3,), float32), make_input((), int64)
    going = e.less(_looked_up(table, index), 0)
    test = Graph((table, index), (going,))
    inputs = make_input((3,), float32), make_input((), int64)
    body = Graph((table, index), (e.add(index, 1),))
    graph = Graph(inputs, while_loop(inputs[:1], inputs[1:], test, body))
    run = Runner(compile_graph(graph, host())).run
    assert run([np.float32([-1, -1, 2]), np.array(0)])[0] == 2
    with pytest.raises(WrongIndex):
        run([np.float32([-1, -1, -1]), np.array(0)])


def test_a_wrong_index_in_the_branch_that_is_not_taken_does_not_matter():
    def graphs():
        for op in (e.sin, None):
            table, index = make_input((3,), float32), make_input((), int64)
            yield Graph(
                (table, index), (op(r.sum(table)) if op else _looked_up(table, index),)
            )

    inputs = make_input((), bool_), make_input((3,), float32), make_input((), int64)
    graph = Graph(inputs, cond(inputs[0], inputs[1:], *graphs()))
    run = Runner(compile_graph(graph, host())).run
    x = np.ones(3, np.float32)
    assert run([np.array(True), x, np.array(7)])[0] == np.sin(np.float32(3))
    assert run([np.array(False), x, np.array(1)])[0] == 1
    with pytest.raises(WrongIndex):
        run([np.array(False), x, np.array(7)])


@pytest.mark.parametrize("seed", range(3))
def test_blocks_give_back_their_memory(seed):
    inputs, outputs, _ = _case(seed)
    graph = simplify(Graph(inputs, outputs))
    stock = Stock(graph, host(), "highest", kernel_code, Shelf())
    places = [Place(i) for i in range(len(graph.inputs) + len(graph.outputs))]
    count = len(graph.inputs)
    Block(stock, graph, places[:count], places[count:], donations={}).plan()
    assert stock.arena.used == (ALIGNMENT if stock.alarm else 0)
    assert stock.arena.nbytes
