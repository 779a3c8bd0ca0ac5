"""Loops and branches as instructions give what the interpreter gives."""

import numpy as np
import pytest

import plait
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import bool_, float32, float64, int64
from plait.errors import IndexingError
from plait.ir.build import inline, make_input, picks
from plait.ir.graph import Graph
from plait.ops import contract, gather
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops import source as s
from plait.program import Copy, Host, WrongIndex
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
        take = lambda most: [
            self.choose(pool) for _ in range(int(self.rng.integers(0, most)))
        ]
        captured, carry = take(3), take(4) or [self.choose(pool)]
        kind = self.rng.integers(4)
        types = [x.shape for x in carry]
        copy = lambda nodes: [make_input(x.shape, x.dtype) for x in nodes]
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
        xs = [x for x in take(4) if x.ndim and x.shape[0] == 4 or length == 3 and x.shape[:1] == (3,)]
        length = xs[0].shape[0] if xs else length
        xs = [x for x in xs if x.shape[0] == length]
        inputs = copy([*captured, *carry])
        inputs += [make_input(x.shape[1:], x.dtype) for x in xs]
        ys = [self.choose(_SHAPES) for _ in range(int(self.rng.integers(0, 3)))]
        body = Graph(inputs, self.state(inputs, [*types, *ys], deep))
        found = scan(captured, carry, xs, body, length, bool(self.rng.integers(2)))
        return [*found[: len(carry)], *(r.mean(y, axis=0) for y in found[len(carry) :] if y.shape[0])]


def _case(seed):
    bodies = _Bodies(seed)
    dtype = bodies.choose([float64, float32])
    inputs = [make_input(shape, dtype, differentiable=True) for shape in _SHAPES]
    pool = list(inputs)
    for _ in range(2):
        pool += bodies.control(pool, 2)
    outputs = [bodies.choose(pool) for _ in range(2)] + pool[-3:]
    values = [
        bodies.rng.uniform(-1, 1, x.shape).astype(dtype.numpy) for x in inputs
    ]
    return inputs, outputs, values


@pytest.mark.parametrize("seed", range(24))
def test_random_control_flow(seed):
    inputs, outputs, values = _case(seed)
    graph = simplify(Graph(inputs, outputs))
    check(graph, values, slowly=False)
