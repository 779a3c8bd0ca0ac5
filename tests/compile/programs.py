"""Random graphs for the compiler: those of the simplifier's tests, and more kinds.

Read first: `random_case`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plait.dtypes import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint32,
)
from plait.errors import PlaitError
from plait.ir.build import apply, make_input
from plait.ir.graph import Graph
from plait.ops import contract, convolution, gather, index, sort, window
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops import source as s
from plait.ops.philox import RANDOM_BITS
from plait.transform.differentiate import pull_back
from plait.transform.scan import scan
from plait.transform.simplify import simplify

from ..transform.programs import (
    TYPES,
    ExactProgram,
    SmoothProgram,
    floating,
    numeric,
    whole,
)

# Sizes of axes: few elements, and some at the edges of vectors.
_SIZES = [0, 1, 1, 2, 3, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65]
_MOST_ELEMENTS = 4000


@dataclass
class Case:
    """A graph, its arguments, and whether every bit of the results is known."""

    graph: Graph
    arguments: list[Any]
    exact: bool
    outputs: list[int] = field(default_factory=list)


class _Shapes:
    """Draws shapes that occur again, so that operands fit together."""

    def draw_shapes(self):
        count = int(self.rng.integers(1, 4))
        self.shapes = [()]
        for _ in range(count):
            rank = int(self.rng.integers(1, 5))
            shape = tuple(int(self.choose(_SIZES)) for _ in range(rank))
            while np.prod(shape) > _MOST_ELEMENTS:
                shape = shape[1:]
            self.shapes += [shape, shape]
            # What broadcasts with it.
            self.shapes.append(
                tuple(n if self.rng.random() < 0.5 else 1 for n in shape)
            )
            self.shapes.append(shape[int(self.rng.integers(rank)) :])

    def grow(self, count):
        """Add up to `count` values, often by applying an op to the last one."""
        step = None
        for _ in range(count):
            if step is None or self.rng.random() < 0.7:
                step = self.choose(self.STEPS)
            try:
                node = step(self)
            except (PlaitError, AssertionError, ValueError):
                step = None
                continue
            for one in node if isinstance(node, list | tuple) else [node]:
                if one.size <= 2 * _MOST_ELEMENTS and one.ndim <= 6:
                    self.pool.append(one)
                    self.next = one if self.rng.random() < 0.6 else None

    # Ops that both kinds of program have

    def windows(self):
        x = self.value(lambda node: node.ndim)
        rank = 1 if x.ndim < 2 else int(self.rng.integers(1, 3))
        sizes = [int(self.rng.integers(1, n + 1)) for n in x.shape[-rank:]]
        stride = [int(self.choose([1, 1, 2, 3])) for _ in sizes]
        dilation = [int(self.choose([1, 1, 2])) for _ in sizes]
        return window.sliding_windows(x, sizes, stride=stride, dilation=dilation)

    def indices(self, size, shape):
        """Return a tensor of indices that lie in an axis, constant or computed."""
        if self.rng.random() < 0.5 and self.inputs:
            x = self.value(lambda node: node.dtype in (int32, int64, bool_))
            if x.dtype is bool_:
                x = e.cast(x, int64)
            return e.remainder(x, size)
        values = self.rng.integers(-size, size, shape)
        return s.constant(values, self.choose([int32, int64]))

    def take(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        found = self.indices(x.shape[axis], self.choose([(), (1,), (3,), (2, 3), (0,)]))
        if self.rng.random() < 0.5 and found.ndim == 1:
            return index.take(x, found, axis=axis)
        found = gather.wrap_index(found, x.shape[axis], axis)
        return gather.gather(x, found, axis)

    def take_along(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        shape = (*x.shape[:axis], int(self.choose([1, 2, 3])), *x.shape[axis + 1 :])
        found = s.constant(self.rng.integers(0, x.shape[axis], shape), int64)
        return index.take_along_axis(x, found, axis=axis)

    def one_hot(self):
        x = self.value(lambda node: node.dtype in (int32, int64) and node.ndim < 3)
        return index.one_hot(e.remainder(x, 5), 5, dtype=self.choose([float32, int32]))

    def tuck(self):
        x = self.value(lambda node: node.ndim)
        functions = [
            lambda: index.diagonal(x),
            lambda: m.tril(x, k=int(self.choose([-1, 0, 1]))),
            lambda: m.roll(x, int(self.rng.integers(-3, 4)), axis=-1),
            lambda: m.tile(x, [int(self.choose([1, 2])) for _ in x.shape]),
            lambda: m.stack([x, self.value(lambda y: y.type is x.type)]),
            lambda: m.matrix_transpose(x),
            lambda: m.moveaxis(x, 0, -1),
            lambda: index.repeat(x, 2, axis=int(self.rng.integers(x.ndim))),
        ]  # fmt: skip
        return self.choose(functions)()

    def pooled(self):
        x = self.value(lambda node: numeric(node) and node.ndim)
        size = int(self.rng.integers(1, min(4, x.shape[-1] + 1)))
        name = self.choose(["max", "min"])
        found = window.sliding_windows(x, [size])
        return e.add(getattr(r, name)(found, [found.ndim - 1]), 0)

    def bits_drawn(self):
        key = s.constant(self.rng.integers(0, 2**32, 4, np.uint64), uint32)
        shape = tuple(int(n) for n in self.choose(self.shapes))
        start = int(self.choose([0, 0, 1, 3, 1000]))
        return apply(RANDOM_BITS, key, shape=shape, start=start)

    def position(self):
        x = self.value(lambda node: numeric(node) and node.ndim)
        axis = int(self.rng.integers(x.ndim))
        keep = bool(self.rng.random() < 0.5)
        return self.choose([r.argmax, r.argmin])(x, axis, keepdims=keep)

    def split_at(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        return list(m.split(x, int(self.choose([1, 2, 3])), axis))

    COMMON = (
        windows, take, take_along, one_hot, tuck, tuck, pooled, split_at,
    )  # fmt: skip


class ExactGraph(_Shapes, ExactProgram):
    """Programs whose results are known to the last bit.

    16-bit floats are left out: compiled programs round them less often.
    """

    def __init__(self, rng):
        self.rng = rng
        self.pool, self.inputs, self.next = [], [], None
        self.draw_shapes()
        types = [float32, float32, float64, int32, int64, bool_, *TYPES]
        for _ in range(self.rng.integers(1, 5)):
            dtype = self.choose(types)
            if not (dtype.is_float and dtype.bits == 16):
                self.add_input(self.choose(self.shapes), dtype)
        if not self.inputs:
            self.add_input(self.choose(self.shapes), float32)
        if self.rng.random() < 0.2:
            self.add_input((), self.choose([float32, int64]), weak=True)
        self.grow(int(self.rng.integers(2, 40)))

    def partner(self, x):
        if x.dtype.is_float and self.rng.random() < 0.4:
            return self.choose([0.0, 1.0, -1.0, 2.0, 0.5, 4.0, 3.0, np.inf])
        return super().partner(x)

    def cast(self):
        node = super().cast()
        assert not (node.dtype.is_float and node.dtype.bits == 16)
        return node

    def round_to_16(self):
        x = self.value(lambda node: node.dtype.is_float)
        return e.cast(e.cast(x, self.choose([float16, bfloat16])), x.dtype)

    def position_of_whole(self):
        return self.position()

    def ordered(self):
        x = self.value(lambda node: numeric(node) and node.ndim)
        axis = int(self.rng.integers(x.ndim))
        down = bool(self.rng.random() < 0.5)
        functions = [
            lambda: list(sort.top_k(x, int(self.choose([1, 2])), axis=axis)),
            lambda: sort.argsort(x, axis=axis, descending=down),
            lambda: e.add(sort.sort(x, axis=axis, descending=down), 0),
        ]  # fmt: skip
        return self.choose(functions)()

    def searched(self):
        x = self.value(lambda node: node.dtype.is_integer and node.ndim)
        line = sort.sort(m.flatten(x))
        return sort.searchsorted(line, self.value(lambda y: y.dtype is x.dtype))

    def counted(self):
        x = self.value(lambda node: whole(node) and node.ndim)
        axis = int(self.rng.integers(x.ndim))
        name = self.choose(["sum", "sum", "prod", "max"])
        return getattr(r, f"cumulative_{name}")(x, axis=axis)

    def scattered(self):
        x = self.value(lambda node: node.dtype.is_integer and node.ndim)
        axis = int(self.rng.integers(x.ndim))
        size = int(self.rng.integers(1, 4))
        at = s.constant(self.rng.integers(0, x.shape[axis], size), int64)
        updates = index.take(x, at, axis=axis)
        change = self.choose([index.index_add, index.index_copy])
        return change(x, at, updates, axis=axis)

    def same_bits(self):
        x = self.value(lambda node: node.dtype in (float32, float64, int32, int64))
        other = {float32: uint32, float64: int64, int32: uint32, int64: int64}[x.dtype]
        x = e.select(e.equal(x, x), x, 0) if x.dtype.is_float else x
        return e.bitcast(x, other)

    STEPS = (
        *ExactProgram.STEPS, *_Shapes.COMMON, _Shapes.bits_drawn, _Shapes.position,
        ordered, searched, counted, scattered, round_to_16, same_bits,
    )  # fmt: skip


class SmoothGraph(_Shapes, SmoothProgram):
    """Smooth functions of one dtype; rounding shows in the last digits only."""

    def __init__(self, rng, dtype, loops):
        self.rng = rng
        self.pool, self.inputs, self.next = [], [], None
        self.dtype = dtype
        if loops:
            self.STEPS = (*self.STEPS, SmoothGraph.looped)
        self.draw_shapes()
        for _ in range(self.rng.integers(1, 4)):
            self.add_input(self.choose(self.shapes), dtype, differentiable=True)
        self.grow(int(self.rng.integers(2, 28)))

    def constant(self):
        return s.full(
            self.choose(self.shapes), self.choose([0.5, 1.0, -2.0]), self.dtype
        )

    def indices(self, size, shape):
        values = self.rng.integers(-size, size, shape)
        return s.constant(values, self.choose([int32, int64]))

    def einsum(self):
        x = self.value(lambda node: node.ndim)
        y = self.value(lambda node: node.ndim)
        letters: dict[int, str] = {}
        names = iter("abcdefghijklmnop")
        left = "".join(letters.setdefault(n, next(names)) for n in x.shape)
        right = "".join(letters.setdefault(n, next(names)) for n in y.shape)
        out = [c for c in dict.fromkeys(left + right) if self.rng.random() < 0.6]
        self.rng.shuffle(out)
        return self.tame(contract.einsum(f"{left},{right}->{''.join(out)}", x, y))

    def folded(self):
        x = self.value(lambda node: node.ndim)
        found = m.expand_dims(x, 0)
        return e.add(found, self.value())

    def running(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        name = self.choose(["sum", "sum", "max"])
        return self.tame(getattr(r, f"cumulative_{name}")(x, axis=axis))

    def convolved(self):
        x = self.value(lambda node: node.ndim in (2, 3, 4))
        x = x if x.ndim > 2 else m.expand_dims(x, 0)
        weight = self.value(lambda node: node.ndim == x.ndim)
        channels = min(x.shape[1], weight.shape[1])
        x = m.slice_axis(x, 1, 0, channels)
        weight = m.slice_axis(weight, 1, 0, channels)
        for axis in range(2, x.ndim):
            size = min(weight.shape[axis], 3, x.shape[axis])
            weight = m.slice_axis(weight, axis, 0, size)
        rank = x.ndim - 2
        stride = [int(self.choose([1, 1, 2])) for _ in range(rank)]
        padding = [int(self.choose([0, 0, 1])) for _ in range(rank)]
        return self.tame(
            convolution.convolution(x, weight, stride=stride, padding=padding)
        )

    def added_at(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        at = s.constant(self.rng.integers(0, x.shape[axis], 3), int64)
        updates = index.take(self.value(lambda y: y.type is x.type), at, axis=axis)
        return index.index_add(x, at, updates, axis=axis)

    def chosen(self):
        """Choose by what does not depend on rounding."""
        x, y = self.value(), self.value()
        mask = s.constant(self.rng.random(x.shape) < 0.5, bool_)
        return e.select(mask, x, y)

    def looped(self):
        """A loop, which is run in parts if rows do not mix."""
        rows = self.choose([3, 16, 32, 64, 64, 96])
        width = self.choose([5, 16, 64, 64])
        wide, tall = (rows, width), (width, width)
        length = int(self.rng.integers(1, 5))

        def numbers(*shape):
            return s.constant(self.rng.uniform(-0.2, 0.2, shape), self.dtype)

        h, x, w, mask = (
            make_input(shape, self.dtype, differentiable=True)
            for shape in (wide, wide, tall, (rows, 1))
        )
        pool = [h, x]
        for _ in range(int(self.rng.integers(1, 6))):
            a, b = self.choose(pool), self.choose(pool)
            shifted = m.slice_axis(m.concat([a, b], axis=1), 1, 2, width + 2)
            total = r.mean(a, axis=1, keepdims=True)
            steps = [
                lambda a=a, b=b: e.tanh(e.add(a, b)),
                lambda a=a, b=b: e.multiply(e.sin(a), b),
                lambda a=a: contract.matmul(a, w),
                lambda a=a: contract.matmul(a, m.matrix_transpose(w)),
                lambda a=a: m.matrix_transpose(
                    contract.matmul(w, m.matrix_transpose(a))
                ),
                lambda shifted=shifted: shifted,
                lambda a=a, total=total: e.add(a, m.expand(total, a.shape)),
                lambda a=a: e.multiply(m.expand(mask, a.shape), a),
                lambda a=a: m.flip(a, axis=[1]),
            ]
            if self.rng.random() < 0.1:
                steps = [lambda a=a: m.flip(a, axis=[0])]
            pool.append(self.choose(steps)())
        body = Graph([w, mask, h, x], [pool[-1], self.choose(pool)])
        start = e.add(numbers(*wide), self.tame(r.mean(self.value())))
        captured = [numbers(*tall), numbers(rows, 1)]
        xs = numbers(length, *wide)
        reverse = bool(self.rng.integers(2))
        last, stacked = scan(captured, [start], [xs], body, length, reverse)
        return [self.tame(last), self.tame(r.mean(stacked, axis=0))]

    def extreme(self):
        x = self.value(lambda node: node.ndim)
        axes = [i for i in range(x.ndim) if self.rng.random() < 0.5]
        return self.choose([r.max, r.min])(x, axes, keepdims=self.rng.random() < 0.5)

    STEPS = (
        *SmoothProgram.STEPS, *_Shapes.COMMON, einsum, einsum, folded, running, chosen,
        extreme, convolved, convolved, added_at,
    )  # fmt: skip


def random_case(seed: int, loops: bool = False) -> Case | None:
    """Return a random graph, simplified or not; or None where it has no outputs.

    Args:
        loops: there may be loops in it.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        program = ExactGraph(rng)
        exact = True
    else:
        dtype = [float64, float64, float32, float32, float32, float16, bfloat16][
            rng.integers(7)
        ]
        program = SmoothGraph(rng, dtype, loops)
        exact = False
    outputs = [program.pool[-1]]
    for _ in range(int(rng.integers(4))):
        outputs.append(program.choose(program.pool))
    if rng.random() < 0.1:
        outputs.append(program.choose(outputs))
    if rng.random() < 0.1:
        outputs.append(program.choose(program.inputs))
    arguments = program.arguments()
    if not exact and rng.random() < 0.5:
        outputs = _with_derivatives(rng, program, outputs)
    graph = Graph(program.inputs, outputs)
    if rng.random() < 0.7:
        graph = simplify(graph)
    return Case(graph, arguments, exact)


def _with_derivatives(rng, program, outputs):
    floats = [y for y in outputs if floating(y) and y.differentiable]
    if not floats:
        return outputs
    seeds = [s.constant(rng.uniform(-1, 1, y.shape), y.dtype) for y in floats]
    try:
        found = pull_back(floats, seeds, program.inputs)
    except PlaitError:
        return outputs
    return [*outputs[: rng.integers(1, 4)], *[ct for ct in found if ct is not None]]
