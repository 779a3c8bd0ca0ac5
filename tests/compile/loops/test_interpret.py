"""The interpreter of Loop IR: what kernels mean, and what it catches."""

import re

import ml_dtypes
import numpy as np
import pytest

from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    Fold,
    For,
    Get,
    If,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Store,
    Transpose,
    Variable,
    Vector,
)
from plait.compile.loops.interpret import interpret
from plait.compile.loops.parse import from_text
from plait.compile.loops.signature import FUNCTIONS
from plait.dtypes import bfloat16, bool_, float32, float64, int64, uint32
from plait.errors import ArgumentError, GraphError, IndexingError
from plait.ops.catalogue import PRIMITIVES

CHUNK = Kernel.CHUNK
i, j = Variable("i"), Variable("j")


def store(value, size=1, index=0, **kernel):
    """Return what a kernel of one store writes."""
    out = np.zeros(size, value.dtype.numpy)
    y = Buffer("y", value.dtype, size, "out")
    interpret(Kernel("k", (y,), [Store(y, index, value)], **kernel), [out])
    return out


def run(text, *arrays):
    interpret(from_text(text), arrays)
    return arrays[-1]


def test_chunks_run_in_any_order():
    seen = []
    y = Buffer("y", int64, 4, "out")
    kernel = Kernel("k", (y,), [Store(y, CHUNK, CHUNK * 10)], 4)
    for order in (None, [3, 1, 0, 2]):
        out = np.zeros((2, 2), np.int64)
        interpret(kernel, [out], order)
        seen.append(out.tolist())
    assert seen == [[[0, 10], [20, 30]]] * 2
    out = np.zeros(4, np.int64)
    interpret(kernel, [out], [2])
    assert out.tolist() == [0, 0, 20, 0]


def test_softmax_of_rows_with_a_cut_tile():
    out = np.zeros((2, 5), np.float32)
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    text = """kernel "softmax"
  x: float32[10] in
  y: float32[10] out
  powers: float32[8] scratch
chunks 2
  registers top: float32[1 x 4]
  registers total: float32[1 x 4]
  vector j in 4 of 4:
    top[0] = float32(-inf)
  for t in 2:
    vector j in 4 of 4:
      inside = t * 4 + j < 5
      v = x[chunk * 5 + t * 4 + j] if inside else float32(-inf)
      top[0] = maximum(top[0], v)
  m = fold maximum top[0]
  for t in 2:
    vector j in 4 of 4:
      inside = t * 4 + j < 5
      p = exp((x[chunk * 5 + t * 4 + j] if inside else float32(-inf)) - m)
      powers[t * 4 + j] = p
      total[0] = total[0] + p
  scale = float32(1.0) / fold add total[0]
  for t in 2:
    vector j in 4 of 4:
      y[chunk * 5 + t * 4 + j] = powers[t * 4 + j] * scale if t * 4 + j < 5
"""
    run(text, x, out)
    powers = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(
        out, powers / powers.sum(1, keepdims=True), rtol=3e-7, atol=0
    )


def test_lanes_beyond_the_extent_keep_what_they_had():
    text = """kernel "fold"
  y: int64[1] out
chunks 1
  registers a: int64[1 x 4]
  vector i in 4 of 4:
    a[0] = i + 1
  vector i in 2 of 4:
    a[0] = a[0] * 100
  y[0] = fold add a[0]
"""
    assert run(text, np.zeros(1, np.int64)).tolist() == [100 + 200 + 3 + 4]


def test_registers_are_zero_each_time_they_are_met():
    text = """kernel "sums"
  y: int64[3] out
chunks 1
  for i in 3:
    registers a: int64[2 x 1]
    unroll k in 2:
      a[k] = a[k] + i + k
    y[i] = a[0] * 10 + a[1]
"""
    assert run(text, np.zeros(3, np.int64)).tolist() == [1, 12, 23]


def test_transpose_exchanges_places_and_lanes():
    text = """kernel "transpose"
  y: int64[4] out
chunks 1
  registers a: int64[2 x 2]
  unroll k in 2:
    vector j in 2 of 2:
      a[k] = k * 2 + j
  transpose a
  unroll k in 2:
    vector j in 2 of 2:
      y[k * 2 + j] = a[k]
"""
    assert run(text, np.zeros(4, np.int64)).tolist() == [0, 2, 1, 3]


def test_if_takes_one_branch_and_negative_extents_run_never():
    text = """kernel "branches"
  y: int64[4] out
chunks 1
  for i in 4:
    if i < 2:
      y[i] = 1
    else:
      for k in i - 3:
        y[i] = 100
      for k in i:
        y[i] = k
"""
    assert run(text, np.zeros(4, np.int64)).tolist() == [1, 1, 1, 2]


def test_a_masked_load_touches_nothing_where_it_is_false():
    x = Buffer("x", float32, 2)
    y = Buffer("y", float32, 4, "out")
    # Its own condition guards a load, and not that of a load around it.
    last = Operation("equal", (i, Constant(2, int64)), bool_)
    guarded = Load(x, i, i < 2, Load(x, i - 1, last, one()))
    out = np.zeros(4, np.float32)
    body = [Vector(i, 4, 4, [Store(y, i, guarded, i < 3)])]
    interpret(Kernel("k", (x, y), body), [np.array([5, 6], np.float32), out])
    assert out.tolist() == [5, 6, 6, 0]


def one():
    return Constant(1.0, float32)


def test_16_bit_floats_are_cast_by_rounding():
    x = Constant(1.0 + 2**-8, float32)
    assert store(Operation("cast", (x,), bfloat16))[0] == ml_dtypes.bfloat16(1.0)
    half = Buffer("x", bfloat16, 1)
    y = Buffer("y", float32, 1, "out")
    out = np.zeros(1, np.float32)
    value = Operation("cast", (Load(half, 0),), float32)
    array = np.array([1.5], ml_dtypes.bfloat16)
    interpret(Kernel("k", (half, y), [Store(y, 0, value)]), [array, out])
    assert out[0] == 1.5


def test_integers_wrap_around_and_division_by_zero_gives_zero():
    top = Constant(2**63 - 1, int64)
    nothing = Constant(0, int64)
    assert store(Operation("add", (top, Constant(1, int64))))[0] == -(2**63)
    assert store(Operation("floor_divide", (top, nothing)))[0] == 0
    assert store(Operation("remainder", (top, nothing)))[0] == 0
    assert (
        store(Operation("floor_divide", (Constant(-7, int64), Constant(2, int64))))[0]
        == -4
    )


def test_bits():
    bits = Constant(0x3FC00000, uint32)
    assert store(Operation("bitcast", (bits,), float32))[0] == 1.5
    eight, forty = Constant(8, uint32), Constant(40, uint32)
    assert store(Operation("bitwise_left_shift", (bits, eight)))[0] == 0xC0000000
    assert store(Operation("bitwise_right_shift", (bits, forty)))[0] == 0
    pair = Constant(0x40003F80, uint32)  # 2.0 above 1.0
    total = Operation("dot_pairs", (one(), pair, pair), float32)
    assert store(total)[0] == 1 + 1 + 4


@pytest.mark.parametrize("name", ["exp", "tanh", "lgamma", "atan2", "signbit", "sign"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
def test_functions_are_the_references_of_primitives(name, dtype):
    reference = {one.name: one for one in PRIMITIVES}[name].reference
    values = np.linspace(-2.5, 2.5, 7).astype(dtype.numpy)
    count = 2 if name == "atan2" else 1
    expected = reference(*[values] * count)
    x = Buffer("x", dtype, 7)
    gives = bool_ if name == "signbit" else dtype
    y = Buffer("y", gives, 7, "out")
    for loop in (lambda body: Vector(i, 7, 8, body), lambda body: For(i, 7, body)):
        out = np.zeros(7, gives.numpy)
        value = Operation(name, [Load(x, i)] * count, gives)
        interpret(Kernel("k", (x, y), [loop([Store(y, i, value)])]), [values, out])
        np.testing.assert_array_equal(out, expected)


def test_there_are_functions_of_every_kind():
    assert {"exp", "erfinv", "power", "nextafter", "digamma"} <= set(FUNCTIONS)
    assert not {"add", "cast", "polygamma", "wrap_index"} & set(FUNCTIONS)


@pytest.mark.parametrize("name", ["float32", "int64", "uint8", "bool", "bfloat16"])
def test_scratch_begins_with_garbage_in_each_chunk(name):
    text = f"""kernel "garbage"
  y: {name}[2] out
  s: {name}[1] scratch
chunks 2
  y[chunk] = s[0]
  s[0] = {"True" if name == "bool" else f"{name}(0)"}
"""
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
    out = run(text, np.zeros(2, dtype))
    # nan is not equal to zero.
    assert (out != np.zeros(2, dtype)).all()


# --- what it catches


def fails(body, buffers, arrays, error, message, chunks=1):
    with pytest.raises(error, match=re.escape(message)):
        interpret(Kernel("k", buffers, body, chunks), arrays)


Y = Buffer("y", int64, 4, "out")
X = Buffer("x", int64, 4, "in")
INOUT = Buffer("z", int64, 4, "inout")


def four():
    return np.zeros(4, np.int64)


def test_an_index_outside_is_found():
    fails(
        [Vector(i, 4, 4, [Store(Y, i + CHUNK, i)])], (Y,), [four()], IndexingError,
        "[interpret] kernel 'k': an index is outside of the buffer y: int64[4] out: "
        "`y[i + chunk] = i`. Got: index 4 in chunk 1. Expected: 0 to 3.", chunks=2,
    )  # fmt: skip
    loaded = Load(X, i - 1, i < 3, Constant(0, int64))
    fails(
        [For(i, 4, [Store(Y, i, loaded)])], (X, Y), [four(), four()], IndexingError,
        "outside of the buffer x: int64[4] in: `x[i - 1] if i < 3 else 0`. "
        "Got: index -1 in chunk 0.",
    )  # fmt: skip
    registers = Registers("a", int64, 2)
    fails(
        [registers, For(i, 3, [Set(registers, i, i)])], (), [], IndexingError,
        "there is no such place in the registers 'a'. Got: 2. Expected: 0 to 1.",
    )  # fmt: skip


def test_stores_that_meet_are_found():
    fails(
        [Vector(i, 4, 4, [Store(Y, i // 2, i)])], (Y,), [four()], GraphError,
        "two lanes store to one element: `y[i // 2] = i`",
    )  # fmt: skip
    fails(
        [Store(Y, CHUNK // 2, CHUNK)], (Y,), [four()], GraphError,
        "chunks touch what another one writes: `y[chunk // 2] = chunk`", chunks=4,
    )  # fmt: skip
    later = Load(INOUT, 3 - CHUNK)
    fails(
        [Store(INOUT, CHUNK, later)], (INOUT,), [four()], GraphError,
        "chunks touch what another one writes: `z[3 - chunk]`", chunks=4,
    )  # fmt: skip


def test_several_chunks_may_read_an_element():
    table = Buffer("z", int64, 4, "inout")
    y = Buffer("y", int64, 4, "out")
    out = four()
    array = np.arange(4)
    kernel = Kernel("k", (table, y), [Store(y, CHUNK, Load(table, 2))], 4)
    interpret(kernel, [array, out])
    assert out.tolist() == [2] * 4


def test_names_and_registers_must_be_there():
    registers, lanes = Registers("a", int64), Registers("a", int64, 1, 4)
    fails([Store(Y, 0, j)], (Y,), [four()], GraphError, "the name 'j' is not bound")
    inner = [For(j, 1, [Let(i, j)]), Store(Y, 0, i)]
    fails(inner, (Y,), [four()], GraphError, "the name 'i' is not bound")
    fails([Store(Y, 0, Get(registers))], (Y,), [four()], GraphError, "not declared")
    fails([Transpose(registers)], (), [], GraphError, "not declared")
    fails(
        [lanes, Store(Y, 0, Get(lanes))], (Y,), [four()], GraphError,
        "lanes are got and set inside vector",
    )  # fmt: skip
    fails(
        [registers, Vector(i, 2, 2, [Set(registers, 0, i)])], (), [], GraphError,
        "registers of one lane set in a vector: `a[0] = i`",
    )  # fmt: skip
    fails([Store(X, 0, Constant(1, int64))], (X,), [four()], GraphError, "to an input")
    fails([Store(Y, 0, Load(X, 0))], (Y,), [four()], GraphError, "is not the kernel's")
    wrong = Operation("frobnicate", (Constant(1, int64),))
    fails([If(i < 1, []), Store(Y, 0, wrong)], (Y,), [four()], GraphError, "'i' is not")
    fails([Store(Y, 0, wrong)], (Y,), [four()], GraphError, "operation 'frobnicate'")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "takes another number of arrays. Got: 0. Expected: 1."),
        ([np.zeros(3, np.int64)], "Got: int64 of shape (3,). Expected: y: int64[4]"),
        ([np.zeros(4, np.int32)], "Got: int32 of shape (4,)"),
        ([np.zeros(8, np.int64)[::2]], "without gaps and writable"),
    ],
)
def test_arrays_must_be_those_of_the_buffers(arrays, message):
    fails([Store(Y, 0, Constant(1, int64))], (Y,), arrays, ArgumentError, message)


def test_fold_needs_the_registers_of_its_place():
    registers = Registers("a", int64, 1, 4)
    body = [registers, Store(Y, 0, Fold("add", registers, 1))]
    fails(body, (Y,), [four()], IndexingError, "no such place in the registers 'a'")
