"""Every operation of every dtype: machine code gives what its meaning says."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    For,
    Kernel,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from plait.compile.loops.operations import OPERATIONS
from plait.dtypes import ALL, as_dtype, bool_, float32, float64, int64, uint32

FLOATS = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1e-3, 3.14159, -7.9, 1e8, -1e30),
    *(np.inf, -np.inf, np.nan, 1e-310, 1.2e-40, 8388609.0),
]
SHORT = ("float16", "bfloat16")


def numbers(dtype):
    """Return numbers of `dtype` that are likely to go wrong."""
    if dtype is bool_:
        return np.array([False, True])
    if dtype.is_float:
        with np.errstate(over="ignore"):
            return np.array(FLOATS).astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    some = [0, 1, 2, 3, 7, 8, 100, info.max, info.max - 1, info.min, info.min + 1]
    if info.min < 0:
        some += [-1, -2, -3, -7, -100]
    return np.array(some, dtype.numpy)


def kernel_of(name, dtypes, results, sizes, make):
    """Return a kernel that applies an operation to all of its inputs, in vectors of
    16, in a tail of those left, and the first number once more by itself.
    """
    buffers, body = [], []
    for number, (operands, result, size) in enumerate(
        zip(dtypes, results, sizes, strict=True)
    ):
        inputs = [
            Buffer(f"x{number}_{n}", dtype, size) for n, dtype in enumerate(operands)
        ]
        output = Buffer(f"y{number}", result, size + 1, "out")
        buffers += [*inputs, output]
        i, v = Variable(f"i{number}"), Variable(f"v{number}")
        whole, left = divmod(size, 16)

        def at(where, into, inputs=inputs, output=output, result=result):
            value = make(name, [Load(x, where) for x in inputs], result)
            return Store(output, into, value)

        body.append(For(i, whole, [Vector(v, 16, 16, [at(i * 16 + v, i * 16 + v)])]))
        if left:
            body.append(Vector(v, left, 16, [at(whole * 16 + v, whole * 16 + v)]))
        body.append(at(Constant(0, int64), Constant(size, int64)))
    return Kernel(name, buffers, body)


def operation(name, operands, dtype):
    return Operation(name, operands, dtype)


def cases(name):
    """Return the dtypes of operands and results that an operation is defined for."""
    meaning = OPERATIONS[name]
    if name == "dot_pairs":
        return [((float32, uint32, uint32), float32)]
    found = []
    for dtype in ALL:
        if dtype.kind not in meaning.kinds:
            continue
        if dtype.is_float and name in ("floor_divide", "remainder"):
            continue  # written out before code is emitted
        if dtype is float64 and name == "fused_multiply_add":
            continue  # the interpreter rounds the product
        if dtype.name in SHORT and name not in ("select", "cast", "bitcast"):
            continue
        operands = (dtype,) * meaning.operands
        if name == "select":
            operands = (bool_, dtype, dtype)
        found.append((operands, bool_ if meaning.gives == "bool" else dtype))
    return found


def combinations(dtypes):
    """Return arrays of all combinations of likely numbers, or of many of them."""
    lists = [numbers(dtype) for dtype in dtypes]
    if len(lists) == 3:
        lists = [x[:: 1 + len(x) // 9] for x in lists]
    rows = list(itertools.product(*lists))
    return [
        np.array([row[n] for row in rows], lists[n].dtype) for n in range(len(lists))
    ]


NAMES = [n for n in OPERATIONS if n not in ("cast", "bitcast", "dot_pairs")]


@pytest.mark.parametrize("name", NAMES)
def test_operation(name, target, agree):
    dtypes, results, arrays, sizes = [], [], [], []
    for operands, result in cases(name):
        inputs = combinations(operands)
        if "shift" in name:
            keep = inputs[1] >= 0
            inputs = [x[keep] for x in inputs]
        dtypes.append(operands)
        results.append(result)
        sizes.append(len(inputs[0]))
        arrays += [*inputs, np.zeros(sizes[-1] + 1, result.numpy)]
    kernel = kernel_of(name, dtypes, results, sizes, operation)
    # Where the interpreter or the target rounds the product too, the last bit differs.
    close = {float32: 1e-6} if name == "fused_multiply_add" else None
    # Of two zeros, minimum and maximum give either.
    agree(kernel, arrays, target, close, signs=name not in ("minimum", "maximum"))


def test_fused_multiply_add_of_float64_rounds_once(target, compiled):
    random = np.random.default_rng(0)
    x, y, z = random.standard_normal((3, 37))
    z[:20] = -x[:20] * y[:20]  # what is left is what rounding the product loses
    kernel = kernel_of(
        "fused_multiply_add", [(float64,) * 3], [float64], [37], operation
    )
    *_, got = compiled(kernel, [x, y, z, np.zeros(38)], target)
    for a, b, c, result in zip(x, y, z, got, strict=False):
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        assert result == (float(exact) if target.fma else a * b + c)


DIVISORS = [-100, -8, -3, -2, -1, 0, 1, 2, 3, 7, 8, 16, 100]


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32"])
def test_division_by_constants(name, dtype, target, agree):
    dtype = as_dtype(dtype)
    x = np.resize(numbers(dtype), 37)
    dividends = Buffer("x", dtype, 37)
    buffers, body = [dividends], []
    for n, divisor in enumerate(
        d for d in DIVISORS if d >= 0 or dtype.kind != "unsigned"
    ):
        output = Buffer(f"y{n}", dtype, 37, "out")
        buffers.append(output)
        i, v = Variable(f"i{n}"), Variable(f"v{n}")
        by = Constant(divisor, dtype)

        def at(where, output=output, by=by):
            return Store(output, where, Operation(name, (Load(dividends, where), by)))

        body += [
            For(i, 2, [Vector(v, 16, 16, [at(i * 16 + v)])]),
            For(i, 5, [at(32 + i)]),
        ]
    arrays = [x, *(np.zeros(37, dtype.numpy) for _ in buffers[1:])]
    agree(Kernel("divide", buffers, body), arrays, target)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
@pytest.mark.parametrize("side", [0, 1])
def test_extreme_of_constant_keeps_nan(name, side, target, agree):
    def make(name, operands, dtype):
        pair = [operands[0], Constant(0.0, dtype)]
        return Operation(name, pair[:: 1 - 2 * side], dtype)

    x = np.array(FLOATS, np.float32)
    kernel = kernel_of(name, [(float32,)], [float32], [len(x)], make)
    agree(kernel, [x, np.zeros(len(x) + 1, np.float32)], target, signs=False)


@pytest.mark.parametrize("old", ALL, ids=lambda dtype: dtype.name)
def test_cast(old, target, agree):
    random = np.random.default_rng(0)
    dtypes, results, arrays, sizes = [], [], [], []
    for new in ALL:
        x = numbers(old)
        if old.is_float:
            many = np.ldexp(random.standard_normal(200), random.integers(-30, 15, 200))
            x = np.concatenate([x, many.astype(old.numpy)])
            if new.is_integer:
                info = np.iinfo(new.numpy)
                wide = x.astype(np.float64)
                x = x[(wide > float(info.min) - 1) & (wide < float(info.max))]
        dtypes.append((old,))
        results.append(new)
        sizes.append(len(x))
        arrays += [x, np.zeros(len(x) + 1, new.numpy)]
    kernel = kernel_of("cast", dtypes, results, sizes, operation)
    agree(kernel, arrays, target)


@pytest.mark.parametrize("short", SHORT)
def test_every_short_float_is_widened(short, target, agree):
    dtype = as_dtype(short)
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype.numpy)
    kernel = kernel_of("cast", [(dtype,)], [float32], [len(x)], operation)
    agree(kernel, [x, np.zeros(len(x) + 1, np.float32)], target)


@pytest.mark.parametrize("short", SHORT)
@pytest.mark.parametrize("wide", ["float32", "float64"])
def test_rounding_beside_the_middle(short, wide, target, agree):
    """Middles of two neighbours, and the numbers just beside them, round rightly."""
    dtype, wide = as_dtype(short), as_dtype(wide)
    bits = np.arange(0, 1 << 16, 7, dtype=np.uint16)
    with np.errstate(all="ignore"):
        x, y = (b.view(dtype.numpy).astype(wide.numpy) for b in (bits, bits + 1))
        middle = (x + y) / 2
        middle = middle[np.isfinite(middle)]
        above, below = (np.nextafter(middle, to) for to in (np.inf, -np.inf))
    x = np.concatenate([middle, above, below]).astype(wide.numpy)
    if wide is float64 and short == "bfloat16":
        x = x.astype(np.float32).astype(np.float64)  # NumPy goes by way of float32
    kernel = kernel_of("cast", [(wide,)], [dtype], [len(x)], operation)
    agree(kernel, [x, np.zeros(len(x) + 1, dtype.numpy)], target)


def test_floats_beyond_integers_are_harmless(target, compiled):
    x = np.array(FLOATS, np.float32)
    integers = [dtype for dtype in ALL if dtype.is_integer]
    kernel = kernel_of("cast", [(float32,)] * 8, integers, [len(x)] * 8, operation)
    arrays = []
    for dtype in integers:
        arrays += [x, np.zeros(len(x) + 1, dtype.numpy)]
    got = compiled(kernel, arrays, target)
    for dtype, y in zip(integers, got[1::2], strict=True):
        np.testing.assert_array_equal(y[2], dtype.numpy.type(1))


def test_bitcast(target, agree):
    pairs = [
        (a, b)
        for a in ALL
        for b in ALL
        if a.bits == b.bits and a is not bool_ and b is not bool_
    ]
    arrays = []
    for a, b in pairs:
        arrays += [numbers(a), np.zeros(len(numbers(a)) + 1, b.numpy)]
    kernel = kernel_of(
        "bitcast",
        [(a,) for a, _ in pairs],
        [b for _, b in pairs],
        [len(numbers(a)) for a, _ in pairs],
        operation,
    )
    agree(kernel, arrays, target)


def test_dot_pairs(target, agree):
    random = np.random.default_rng(0)

    def pairs():
        wide = random.standard_normal(74).astype(np.float32).view(np.uint32)
        return wide[::2] >> 16 | wide[1::2] & np.uint32(0xFFFF0000)

    total = random.standard_normal(37).astype(np.float32)
    kernel = kernel_of(
        "dot_pairs", [(float32, uint32, uint32)], [float32], [37], operation
    )
    arrays = [total, pairs(), pairs(), np.zeros(38, np.float32)]
    got = agree(kernel, arrays, target, {float32: 2e-4})
    assert np.isfinite(got[-1]).all()
