"""Random programs over nodes: pools of values that ops drawn at random let grow.

Read first: `Program`.
"""

import numpy as np

from plait.dtypes import (
    ALL,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from plait.errors import PlaitError
from plait.ir.build import make_input
from plait.ir.graph import Graph
from plait.ops import contract
from plait.ops import elementwise as e
from plait.ops import movement as m
from plait.ops import reduce as r
from plait.ops import source as s

SHAPES = [
    (), (1,), (3,), (2, 3), (1, 3), (2, 1), (3, 2), (2, 3, 2), (1, 2, 1), (2, 3, 4),
    (0,), (2, 0),
]  # fmt: skip
TYPES = [
    *[float64] * 4, *[float32] * 2, float16, bfloat16, int32, int64, int8, int16, uint8,
    bool_,
]  # fmt: skip


class Program:
    """Grows a pool of nodes by ops drawn at random; ops that refuse are left out."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.pool = []
        self.inputs = []
        self.next = None  # the node that the next op shall be applied to

    def choose(self, items):
        return items[self.rng.integers(len(items))]

    def value(self, wanted=lambda node: True):
        """Return a node of the pool, rather a late one."""
        found = [node for node in self.pool if wanted(node)]
        assert found
        if found[-1] is self.next:
            self.next = None
            return found[-1]
        return self.choose(found[-4:] if self.rng.random() < 0.5 else found)

    def add_input(self, shape, dtype, **marks):
        self.inputs.append(make_input(shape, dtype, **marks))
        self.pool.append(self.inputs[-1])

    def grow(self, count):
        """Add up to `count` values, often by applying an op to the last one."""
        step = None
        for _ in range(count):
            if step is None or self.rng.random() < 0.7:
                step = self.choose(self.STEPS)
            try:
                node = step(self)
            except (PlaitError, AssertionError):
                step = None
                continue
            if node.size <= 200 and node.ndim <= 5:
                self.pool.append(node)
                self.next = node if self.rng.random() < 0.6 else None

    def graph(self):
        count = min(len(self.pool), 1 + int(self.rng.integers(3)))
        outputs = [self.pool[-1 - i] for i in range(count)]
        return Graph(self.inputs, outputs)

    # Movement, which any program may do

    def reshape(self):
        x = self.value()
        sizes = [n for n in x.shape if n != 1]
        if self.rng.random() < 0.3 and len(sizes) > 1:
            sizes = [sizes[0] * sizes[1], *sizes[2:]]
        elif x.size % 2 == 0 and x.size and self.rng.random() < 0.3:
            sizes = [2, x.size // 2]
        for _ in range(self.rng.integers(3)):
            sizes.insert(self.rng.integers(len(sizes) + 1), 1)
        return m.reshape(x, tuple(sizes))

    def permute(self):
        x = self.value()
        return m.permute_dims(x, tuple(self.rng.permutation(x.ndim).tolist()))

    def expand(self):
        x = self.value()
        shape = [int(self.choose([2, 3])) if n == 1 else n for n in x.shape]
        for _ in range(self.rng.integers(2)):
            shape.insert(0, int(self.choose([1, 2, 3])))
        return m.expand(x, tuple(shape))

    def pad(self):
        x = self.value()
        widths = [(int(a), int(b)) for a, b in self.rng.integers(0, 3, (x.ndim, 2))]
        return m.pad_constant(x, widths, self.choose([0, 0.0, -0.0, 1, 1.0, True]))

    def slice(self):
        x = self.value()
        starts, stops, steps = [], [], []
        for n in x.shape:
            a, b = sorted(self.rng.integers(0, n + 1, 2).tolist())
            starts.append(a if self.rng.random() < 0.6 else 0)
            stops.append(b if self.rng.random() < 0.6 else n)
            steps.append(int(self.choose([1, 1, 1, 2, 3])))
        return m.slice_(x, starts, stops, steps)

    def flip(self):
        x = self.value()
        return m.flip(x, axis=[i for i in range(x.ndim) if self.rng.random() < 0.5])

    def concatenate(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        rest = (*x.shape[:axis], *x.shape[axis + 1 :])
        others = [
            y for y in self.pool
            if y.ndim == x.ndim and (*y.shape[:axis], *y.shape[axis + 1 :]) == rest
            and y.dtype is x.dtype
        ]  # fmt: skip
        parts = [self.choose(others) for _ in range(self.rng.integers(1, 4))]
        return m.concat([x, *parts], axis=axis)

    def split_and_join(self):
        x = self.value(lambda node: node.ndim)
        axis = int(self.rng.integers(x.ndim))
        pieces = m.chunk(x, 2, axis)
        return m.concat(pieces[:: self.choose([1, 1, -1])], axis=axis)

    def identity(self):
        return self.choose([s.stop_gradient, s.variable])(self.value())

    MOVES = (
        reshape, permute, expand, pad, slice, flip, concatenate, split_and_join,
        identity,
    )  # fmt: skip


def numeric(node):
    return node.dtype is not bool_


def floating(node):
    return node.dtype.is_float


def sign_of_number(x):
    # A nan has a sign that means nothing, and rules may change it.
    return e.signbit(e.select(e.isnan(x), 0.0, x))


def whole(node):
    return not node.dtype.is_float


class ExactProgram(Program):
    """Any dtypes and edge values; only ops that do not depend on the rounding order.

    Of several zeros an extreme may be any, so 0.0 is added to extremes.
    """

    def __init__(self, seed):
        super().__init__(seed)
        for _ in range(self.rng.integers(1, 5)):
            self.add_input(self.choose(SHAPES), self.choose(TYPES))
        if self.rng.random() < 0.3:
            self.add_input((), self.choose([float32, int64]), weak=True)
        if self.rng.random() < 0.3:
            value = self.choose([0.0, -0.0, 1.0, -1.0, 2.0, np.inf, np.nan])
            self.pool.append(
                s.full(self.choose(SHAPES), value, self.choose([float32, float64]))
            )
        self.grow(int(self.rng.integers(3, 30)))

    def arguments(self):
        """Return values for the inputs, many of them special."""
        return [self.array(node) for node in self.inputs]

    def array(self, node):
        shape, dtype = node.shape, node.dtype
        if dtype is bool_:
            return self.rng.random(shape) < 0.5
        if dtype.is_float:
            array = self.rng.choice([0.0, -0.0, 1, -1, 0.5, -2.5, 3, 7], shape)
            if self.rng.random() < 0.5:
                special = self.rng.choice([np.inf, -np.inf, np.nan, 1e4, 1e-8], shape)
                array = np.where(self.rng.random(shape) < 0.3, special, array)
        else:
            limits = np.iinfo(dtype.numpy)
            array = self.rng.choice([0, 1, 2, 5, 100, limits.max, limits.min], shape)
        if node.weak:
            return array.item()
        return np.asarray(array).astype(dtype.numpy)

    def unary(self):
        x = self.value()
        if x.dtype is bool_:
            return e.logical_not(x)
        names = [e.negative, e.abs, e.square, e.negative, e.isnan, e.sign]
        names += [e.floor, e.ceil, e.round, e.trunc] if x.dtype.is_float else []
        names += [e.sqrt, sign_of_number, e.reciprocal] if x.dtype.is_float else []
        names += [e.bitwise_invert] if whole(x) else []
        return self.choose(names)(x)

    def partner(self, x):
        """Return a constant, or a value that broadcasts with `x`."""
        if self.rng.random() < 0.4:
            if x.dtype.is_float:
                constants = [
                    0,
                    1,
                    -1,
                    2,
                    0.5,
                    4.0,
                    0.0,
                    -0.0,
                    np.inf,
                    -np.inf,
                    np.nan,
                    3.0,
                ]
            elif x.dtype is bool_:
                constants = [True, False]
            else:
                constants = [0, 1, 2, 7, 0, 1] + [-1] * (x.dtype.kind == "signed")
            return self.choose(constants)
        return x if self.rng.random() < 0.15 else self.value()

    def binary(self):
        x = self.value(numeric)
        y = self.partner(x)
        x, y = (x, y) if self.rng.random() < 0.7 else (y, x)
        functions = [e.add, e.subtract, e.multiply, e.maximum, e.minimum, e.divide]
        function = self.choose(functions)
        result = function(x, y)
        if function in (e.maximum, e.minimum) and result.dtype.is_float:
            return e.add(result, 0.0)
        return result

    def division(self):
        x = self.value(lambda node: node.dtype.is_integer)
        return self.choose([e.floor_divide, e.remainder])(x, self.choose([1, 2, 3]))

    def bits(self):
        x = self.value(whole)
        functions = [e.bitwise_and, e.bitwise_or, e.bitwise_xor]
        if x.dtype.is_integer and self.rng.random() < 0.3:
            shift = self.choose([e.bitwise_left_shift, e.bitwise_right_shift])
            return shift(x, self.choose([0, 1, 3]))
        return self.choose(functions)(x, self.partner(x))

    def compare(self):
        x = self.value()
        functions = [e.equal, e.not_equal, e.less, e.less_equal, e.greater]
        return self.choose(functions)(x, self.partner(x))

    def choice(self):
        condition = self.value(lambda node: node.dtype is bool_)
        x = self.value()
        return e.select(condition, x, self.partner(x))

    def power(self):
        x = self.value(numeric)
        return e.pow(x, s.full_like(x, self.choose([0, 1])))

    def cast(self):
        x = self.value()
        dtype = self.choose(ALL)
        if x.dtype.is_float and dtype.is_integer:
            # Out of range a cast has no value.
            x = e.select(e.isnan(x), 0.0, x)
            x = e.clip(x, 0.0 if dtype.kind == "unsigned" else -100.0, 100.0)
        return e.cast(x, dtype)

    def cast_there_and_back(self):
        x = self.value()
        if not x.dtype.is_float:
            return e.cast(e.cast(x, self.choose([int64, bool_])), x.dtype)
        return e.cast(e.cast(x, self.choose([float64, float32, float16])), x.dtype)

    def reduce(self):
        x = self.value(lambda node: node.ndim)
        axes = [i for i in range(x.ndim) if self.rng.random() < 0.5]
        keep = bool(self.rng.random() < 0.5)
        if x.dtype.is_float:
            return e.add(self.choose([r.max, r.min])(x, axes, keepdims=keep), 0.0)
        functions = [r.max, r.min, r.sum, r.prod, r.any, r.all]
        return self.choose(functions)(x, axes, keepdims=keep)

    def contract(self):
        x = self.value(lambda node: node.dtype.is_integer and node.ndim)
        y = self.value(lambda node: node.dtype.is_integer and node.ndim)
        return contract.matmul(x, y)

    STEPS = (
        *Program.MOVES, unary, unary, binary, binary, binary, binary, division, bits,
        compare, choice, power, cast, cast_there_and_back, reduce, contract,
    )  # fmt: skip


class SmoothProgram(Program):
    """Smooth, well-conditioned functions of moderate values, and the formulas that the
    rules look for: rounding shows in the last digits only."""

    def __init__(self, seed, dtype):
        super().__init__(seed)
        self.dtype = dtype
        for _ in range(self.rng.integers(1, 4)):
            shape = self.choose([shape for shape in SHAPES if 0 not in shape])
            self.add_input(shape, dtype, differentiable=True)
        self.grow(int(self.rng.integers(3, 22)))

    def arguments(self):
        return [
            self.rng.uniform(-1.5, 1.5, node.shape).astype(self.dtype.numpy)
            for node in self.inputs
        ]

    def tame(self, x):
        """Return `x` brought back to moderate values."""
        return e.multiply(e.tanh(e.multiply(x, 0.25)), 3.0)

    def smooth(self):
        functions = [
            e.sin, e.cos, e.tanh, e.sigmoid, e.atan, e.negative, e.asinh,
            lambda x: e.exp(e.sin(x)), lambda x: e.multiply(e.sin(x), e.cos(x)),
            lambda x: e.sqrt(e.add(e.square(x), 0.5)),
            lambda x: e.log(e.add(e.square(x), 0.5)),
            lambda x: e.divide(x, e.add(e.square(x), 1.0)),
            lambda x: self.tame(e.square(x)), lambda x: self.tame(e.pow(x, 3.0)),
            lambda x: e.pow(e.add(2.0, e.sin(x)), -1.0),
        ]  # fmt: skip
        return self.choose(functions)(self.value())

    def formula(self):
        functions = [
            lambda x: e.log(e.add(1.0, e.exp(x))),
            lambda x: e.divide(1.0, e.add(e.exp(e.negative(x)), 1.0)),
            lambda x: e.divide(x, e.add(1.0, e.exp(e.negative(x)))),
            lambda x: e.divide(e.exp(x), e.add(1.0, e.exp(x))),
            lambda x: e.log(e.sigmoid(x)), lambda x: e.subtract(1.0, e.sigmoid(x)),
            lambda x: e.log(e.subtract(1.0, e.sigmoid(x))),
            lambda x: e.log1p(e.negative(e.sigmoid(x))),
            lambda x: self.tame(e.subtract(e.exp(x), 1.0)),
            lambda x: self.tame(e.subtract(1.0, e.exp(x))),
            lambda x: e.log(e.add(1.0, e.square(x))), lambda x: e.log(e.exp(x)),
            lambda x: e.log(e.subtract(1.5, e.sin(x))), lambda x: e.log1p(e.expm1(x)),
            lambda x: e.log(e.divide(e.exp(x), e.add(1.0, e.square(x)))),
            lambda x: e.log(e.multiply(e.exp(x), 3.0)),
            lambda x: e.log(e.add(e.exp(x), e.exp(e.sin(x)))),
        ]  # fmt: skip
        return self.choose(functions)(self.value())

    def rows(self):
        x = self.value(lambda node: node.ndim)
        axes = [i for i in range(x.ndim) if self.rng.random() < 0.6]
        exps = e.exp(x)
        total = r.sum(exps, axes, keepdims=True)
        functions = [
            lambda: e.divide(exps, total), lambda: e.log(e.divide(exps, total)),
            lambda: e.log(total), lambda: e.log(r.sum(exps, axes)),
            lambda: r.logsumexp(x, axes), lambda: r.mean(x, axes, keepdims=True),
            lambda: e.subtract(x, r.mean(x, axes, keepdims=True)),
            lambda: self.tame(r.var(x, axes)),
        ]  # fmt: skip
        return self.choose(functions)()

    def binary(self):
        x, y = self.value(), self.value()
        if self.rng.random() < 0.3:
            y = self.choose([0.0, 1.0, -1.0, 2.0, 0.5, 3.0, -0.0])
        x, y = (x, y) if self.rng.random() < 0.7 else (y, x)
        functions = [
            e.add, e.subtract, lambda x, y: self.tame(e.multiply(x, y)),
            lambda x, y: e.divide(x, e.add(e.square(y), 1.0)),
            lambda x, y: e.add(x, e.negative(y)),
            lambda x, y: e.subtract(x, e.negative(y)),
        ]  # fmt: skip
        return self.choose(functions)(x, y)

    def reduce(self):
        x = self.value(lambda node: node.ndim)
        axes = [i for i in range(x.ndim) if self.rng.random() < 0.5]
        return self.tame(r.sum(x, axes, keepdims=bool(self.rng.random() < 0.5)))

    def contract(self):
        x, y = (self.value(lambda node: node.ndim) for _ in range(2))
        choice = self.rng.integers(3)
        if choice == 0:
            return self.tame(contract.matmul(x, y))
        if choice == 1:
            return self.tame(contract.matmul(x, m.matrix_transpose(y)))
        pair = int(self.rng.integers(x.ndim)), int(self.rng.integers(y.ndim))
        result = contract.tensordot(x, y, axes=((pair[0],), (pair[1],)))
        if result.ndim > 1:
            result = m.permute_dims(
                result, tuple(self.rng.permutation(result.ndim).tolist())
            )
        return self.tame(result)

    def constant(self):
        return s.full(
            self.choose(SHAPES[:6]), self.choose([0.5, 1.0, -2.0]), self.dtype
        )

    STEPS = (
        *Program.MOVES[:-1], smooth, smooth, smooth, formula, formula, rows, rows,
        binary, binary, binary, reduce, contract, contract, constant,
    )  # fmt: skip
