"""Kernels as text: what is printed is read back, and means the same."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from plait.compile.loops.simplify import simplify
from plait.compile.loops.text import from_text, statement_text, to_text
from plait.compile.loops.verify import verify
from plait.dtypes import ALL, bool_, float16, float32, float64, int8, int64, uint64
from plait.errors import GraphError

# Every statement and expression there is.
EVERYTHING = """kernel "all of \\"it\\""
  x: float32[64] in
  n: int32[4] inout
  y: float32[64] out
  s: bool[4] scratch
chunks 2
  registers a: float32[2 x 4]
  registers b: float32[1 x 1]
  registers c: int64[2 x 2]
  transpose c
  b[0] = float32(-inf)
  for i in 4:
    s[i] = True
    for k in i + 1:
      b[0] = maximum(b[0], x[i * 4 + k])
    unroll u in 2:
      vector j in 3 of 4:
        a[u] = fused_multiply_add(a[u], float32(0.1), (x[j] if i < 2 else b[0]) + b[0])
    if s[i]:
      n[i] = cast(n[i], int32)
    else:
      y[i] = exp(x[-1 * (1 - i) - (i - 2)]) if 0 <= i
    if bitwise_and(i == 1, i != 2):
      streaming y[i] = (fold add a[0] + fold maximum a[1]) / float32(2.0) if i < 3
      y[i] = (x[i] if i < 2 else float32(0.0)) if i < 3
      y[i] = x[i] ahead 32 if i < 2 else float32(0.0)
      y[i] = x[i] ahead -1 + x[i]
  even = chunk % 2 == 0
  y[chunk] = select((even == (chunk < 1)) == True, float32(nan), float32(-nan))
"""


def test_every_statement_is_read_and_printed():
    assert to_text(from_text(EVERYTHING)) == EVERYTHING


def k(body, *buffers, name="k", **more):
    return Kernel(name, buffers, body, **more)


X = Buffer("x", float32, 8)
Y = Buffer("y", float32, 8, "out")
i = Variable("i")


def printed(value):
    """Return the text of a value that is stored, and of what was bound before it."""
    buffer = Buffer("out", value.dtype, 8, "out")
    text = to_text(k([For(i, 8, [Store(buffer, i, value)])], buffer, X))
    assert to_text(from_text(text)) == text
    *bound, line = text.split("for i in 8:\n")[1].splitlines()
    return [*map(str.strip, bound), line.split(" = ")[1]]


def op(name, *operands, dtype=None):
    return Operation(name, operands, dtype)


one, two = Constant(1, int64), Constant(2, int64)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((i + 1) * 2, "(i + 1) * 2"),
        (i + i * 2, "i + i * 2"),
        (i - (i + 1), "i - (i + 1)"),
        (i - 1 + i, "i - 1 + i"),
        (i // 2 * 3 % 4, "i // 2 * 3 % 4"),
        (i // ((i + 2) * 3), "i // ((i + 2) * 3)"),
        (i + -3, "i + -3"),
        (op("negative", i), "negative(i)"),
        (i + 1 < i * 2, "i + 1 < i * 2"),
        (op("equal", i < 2, i < 3, dtype=bool_), "(i < 2) == (i < 3)"),
        (op("select", i < 2, one, i, dtype=int64), "select(i < 2, 1, i)"),
        (op("cast", i < 2, dtype=float32), "cast(i < 2, float32)"),
        (Load(X, i + 1, i < 2, Constant(0.5, float32)),
         "x[i + 1] if i < 2 else float32(0.5)"),
        (op("add", Load(X, 0, i < 2, Constant(1.0, float32)), Load(X, i)),
         "(x[0] if i < 2 else float32(1.0)) + x[i]"),
        (Load(X, 0, i < 2, Load(X, 1, i < 3, Constant(1.0, float32))),
         "x[0] if i < 2 else (x[1] if i < 3 else float32(1.0))"),
        (Constant(-1, int8), "int8(-1)"),
        (Constant(1, float16), "float16(1.0)"),
        (Constant(-0.0, float64), "float64(-0.0)"),
        (Constant(1e-300, float64), "float64(1e-300)"),
        (Constant(2**64 - 1, uint64), "uint64(18446744073709551615)"),
        (Constant(-(2**63), int64), "-9223372036854775808"),
    ],
)  # fmt: skip
def test_expressions(value, text):
    assert printed(value) == [text]


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_constants_keep_their_dtype_and_sign(dtype):
    values = [0, 1]
    if dtype.is_float:
        values = [0.0, -0.0, 1 / 3, math.inf, -math.inf, math.nan, -math.nan, 1e20]
    if dtype is bool_:
        values = [True, False]
    y = Buffer("y", dtype, 8, "out")
    kernel = k([Store(y, n, Constant(v, dtype)) for n, v in enumerate(values)], y)
    again = from_text(to_text(kernel))
    for statement, value in zip(again.body, values, strict=True):
        found = statement.value
        assert found.dtype is dtype
        assert type(found.value) is type(value)
        same = found.value == value or (found.value != found.value and value != value)
        assert same
        assert math.copysign(1, found.value) == math.copysign(1, value)


def test_what_is_shared_is_bound_once():
    x = i + 1
    for _ in range(40):
        x = x * x
    lines = printed(x)
    assert lines[:3] == ["t = i + 1", "t_1 = t * t", "t_2 = t_1 * t_1"]
    assert lines[-1] == "t_39 * t_39"


def test_what_is_deep_is_bound_and_still_the_same():
    x = i
    for number in range(5000):
        x = x * 3 + number
    kernel = k([For(i, 2, [Store(Buffer("y", int64, 2, "out"), i, x)])])
    kernel.buffers = (kernel.body[0].body[0].buffer,)
    text = to_text(kernel)
    assert max(map(len, text.splitlines())) < 200
    results = []
    for one in (kernel, from_text(text)):
        results.append(np.zeros(2, np.int64))
        interpret(one, [results[-1]])
    np.testing.assert_array_equal(*results)


def test_what_two_statements_share_is_printed_in_both():
    # A load may give another value in the second.
    load = op("add", Load(X, 0), Load(X, 1))
    lines = to_text(k([Store(Y, 0, load), Store(Y, 1, load)], X, Y)).splitlines()
    assert lines[-2:] == ["  y[0] = x[0] + x[1]", "  y[1] = x[0] + x[1]"]


def test_names_are_made_fit_and_unique():
    odd = [Buffer("in", float32, 8), Buffer("a b", float32, 8), Buffer("", float32, 8),
           Buffer("a_b", float32, 8), Buffer("2", float32, 8, "out")]  # fmt: skip
    t = Variable("t")
    square = i * i
    body = [For(i, 2, [Let(t, square + square)]), For(i, 2, [Let(t, i)])]
    lines = to_text(k(body, *odd, name="a\nb")).splitlines()
    assert lines == [
        'kernel "a\\nb"',
        "  in_1: float32[8] in",
        "  a_b: float32[8] in",
        "  b: float32[8] in",
        "  a_b_1: float32[8] in",
        "  b2: float32[8] out",
        "chunks 1",
        "  for i in 2:",
        "    t = i * i",
        "    t_1 = t + t",
        "  for i in 2:",
        "    t = i",
    ]
    assert to_text(from_text("\n".join(lines))).splitlines() == lines


def test_operations_and_values_may_share_a_name():
    text = to_text(from_text(
        'kernel "k"\n  x: float32[1] in\n  y: float32[1] out\nchunks 1\n'
        "  exp = exp(x[0])\n  y[0] = exp(exp)\n"
    ))  # fmt: skip
    assert text.splitlines()[-2:] == ["  exp = exp(x[0])", "  y[0] = exp(exp)"]


def named(buffer, register, variable, name, streaming=False, place=0):
    x, y = Buffer(buffer, float32, 8), Buffer(buffer + "y", float32, 8, "out")
    a = Registers(register, float32, 2, 4)
    v = Variable(variable)
    lanes = Vector(v, 4, 4, [Set(a, place, Load(x, v))])
    value = Fold("add", a, place)
    store = [Store(y, v + 1, value, v < 3, streaming)]
    return Kernel(name, (x, y), [a, lanes, For(v, 4, store)])


def test_the_canonical_text_has_no_names():
    texts = {
        to_text(named(*names), canonical=True)
        for names in [("x", "a", "i", "one"), ("in", "x", "x y", "two")]
    }
    assert texts == {
        """kernel ""
  b0: float32[8] in
  b1: float32[8] out
chunks 1
  registers r2: float32[2 x 4]
  vector v3 in 4 of 4:
    r2[0] = b0[v3]
  for v4 in 4:
    b1[v4 + 1] = fold add r2[0] if v4 < 3
"""
    }
    others = [named("x", "a", "i", "one", True), named("x", "a", "i", "one", place=1)]
    assert len(texts | {to_text(other, canonical=True) for other in others}) == 3


def test_canonical_text_reads_as_itself():
    text = to_text(from_text(EVERYTHING), canonical=True)
    assert to_text(from_text(text)) == text
    assert to_text(from_text(text), canonical=True) == text


def test_a_kernel_that_was_read_computes_the_same():
    a, b = Registers("a", float32, 1, 4), Registers("b", float32)
    total = op("add", Get(b), Fold("add", a))
    j = Variable("j")
    body = [
        b,
        For(i, 2, [
            a,
            Vector(j, 4, 4, [Set(a, 0, op("exp", Load(X, i * 4 + j)))]),
            Set(b, 0, total),
            If(i < 1, [Store(Y, i, op("multiply", total, total))],
               [Store(Y, i, Get(b))]),
        ]),
    ]  # fmt: skip
    kernel = k(body, X, Y)
    verify(kernel)
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    results = []
    for one in (kernel, from_text(to_text(kernel))):
        results.append(np.zeros(8, np.float32))
        interpret(one, [x, results[-1]])
    np.testing.assert_array_equal(*results)
    assert results[0][1] == pytest.approx(np.exp(x).sum())


@given(st.recursive(
    st.sampled_from([i, one, two]) | st.integers(-9, 9).map(
        lambda n: Constant(n, int64)
    ),
    lambda parts: st.builds(
        lambda name, x, y: Operation(name, (x, y)),
        st.sampled_from(["add", "subtract", "multiply", "floor_divide", "remainder",
                         "minimum", "bitwise_xor"]),
        parts, parts,
    ),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_random_expressions_mean_the_same(value):
    y = Buffer("y", int64, 8, "out")
    kernel = k([For(i, 8, [Store(y, i, value)])], y)
    results = []
    for one in (kernel, from_text(to_text(kernel, canonical=True))):
        results.append(np.zeros(8, np.int64))
        interpret(one, [results[-1]])
    np.testing.assert_array_equal(*results)


def test_messages_show_a_statement_in_a_line():
    square = i * i
    body = [Store(Y, square, Load(X, square))]
    assert statement_text(body[0]) == "t = i * i; y[t] = x[t]"
    assert statement_text(For(i, i + 1, body)) == "for i in i + 1:"
    assert statement_text(If(i < 2, body)) == "if i < 2:"
    assert statement_text(Transpose(Registers("a", float32))) == "transpose a"
    long = op("exp", Load(X, sum(([i] * 60), start=i)))
    assert len(statement_text(Store(Y, i, long), width=50)) == 50


HEAD = 'kernel "k"\n  x: float32[8] in\n  y: float32[8] out\nchunks 1\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Got: the end of the text. Expected: 'kernel'"),
        ("kernel k", "'k' in line 1: kernel k. Expected: a name in quotes"),
        ('kernel "k"', "Got: the end of the text. Expected: 'chunks'"),
        ('kernel "k"\n  x: float31[8] in', "Expected: a dtype"),
        ('kernel "k"\n  x: float32[8] im', "Expected: in, out, inout or scratch"),
        ('kernel "k"\n  x: float32[8.5] in', "Expected: an integer"),
        ('kernel "k"\n  chunk: float32[8] in', "Expected: a new name"),
        (HEAD + "  y[0] = x[0] $", "'$' in line 5"),
        (HEAD + "  y[0] = z", "'z' in line 5: y[0] = z. Expected: an expression"),
        (HEAD + "  y[0] = x[0] x", "Expected: the end of the line"),
        (HEAD + "  y[0] = x[0] + 1", "does not take operands of these element types"),
        (HEAD + "  y[0] = exp(x[0], x[0])", "the number of operands is wrong"),
        (HEAD + "  y[0] = cast(1)", "Expected: a dtype after the operands"),
        (HEAD + "  y[0] = exp(x[0], float32)", "Expected: no dtype"),
        (HEAD + "  y[0] = 1 if True else 2", "Expected: a load before its condition"),
        (HEAD + "  y[0] = fold add x[0]", "Expected: registers"),
        (HEAD + "  transpose x", "Expected: the name of registers"),
        (HEAD + "  a = 1\n  a = 2", "Expected: a new name"),
        (HEAD + "  for i in 2:\n    a = 1\n  b = a", "Expected: an expression"),
        (HEAD + "  a = 1\n    b = 2", "Expected: the same indent as before"),
        (HEAD + "  a = 1\n b = 2", "Expected: a statement, indented as the others"),
        (HEAD + "  registers a: float32[1 x 1]\n  a[0] = x[0] if True",
         "Expected: neither a condition nor streaming for registers"),
        (HEAD + "".join(" " * n + "if True:\n" for n in range(1, 80)),
         "Expected: at most 64 bodies in one another"),
    ],
)  # fmt: skip
def test_text_that_is_no_kernel(text, message):
    with pytest.raises(GraphError) as caught:
        from_text(text)
    assert message in str(caught.value)
    assert "[from_text] this is no kernel" in str(caught.value)


def test_kernels_that_cannot_be_printed():
    with pytest.raises(GraphError, match="the name 'i' is not bound"):
        to_text(k([Store(Y, i, Load(X, i))], X, Y))
    with pytest.raises(GraphError, match="'x' is not declared"):
        to_text(k([Store(Y, 0, Load(X, 0))], Y))


def test_printing_is_quick():
    x = i
    for number in range(20_000):
        x = x * 3 + number
    kernel = k([For(i, 2, [Store(Buffer("y", int64, 2, "out"), i, x)])])
    kernel.buffers = (kernel.body[0].body[0].buffer,)
    start = time.perf_counter()
    to_text(kernel, canonical=True)
    # About 1.5 us for each of 40 000 operations; far from quadratic.
    assert time.perf_counter() - start < 2


def test_the_kernel_in_the_documents():
    page = Path(__file__).parents[3] / "docs" / "loop-ir.md"
    text = page.read_text(encoding="utf-8").split("```\n")[1]
    kernel = from_text(text)
    assert to_text(kernel) == text
    x = np.random.default_rng(0).normal(size=(6, 37)).astype(np.float32)
    powers = np.exp(x - x.max(1, keepdims=True))
    for one in (kernel, simplify(kernel)):
        verify(one)
        out = np.zeros_like(x)
        interpret(one, [x, out], [2, 0, 1])
        np.testing.assert_allclose(
            out, powers / powers.sum(1, keepdims=True), rtol=1e-6, atol=0
        )
