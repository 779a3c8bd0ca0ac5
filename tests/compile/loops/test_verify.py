"""One failing kernel for each rule of Loop IR, with its message."""

import pytest

from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    Expression,
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
    Statement,
    Store,
    Transpose,
    Variable,
    Vector,
)
from plait.compile.loops.text import from_text
from plait.compile.loops.verify import verify
from plait.dtypes import (
    bfloat16,
    bool_,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
    uint32,
)
from plait.errors import DTypeError, GraphError, IndexingError

i, j = Variable("i"), Variable("j")
X = Buffer("x", float32, 64)
N = Buffer("n", int64, 4)
H = Buffer("h", bfloat16, 64)
Y = Buffer("y", float32, 64, "out")
S = Buffer("s", float32, 8, "scratch")
A = Registers("a", float32, 2, 4)
B = Registers("b", float32)
one, half = Constant(1, int64), Constant(0.5, float32)
true = Constant(True, bool_)
CHUNK = Kernel.CHUNK


def kernel(*body, chunks=1):
    return Kernel("k", (X, N, H, Y), list(body), chunks, (S,))


def op(name, *operands, dtype=None):
    return Operation(name, operands, dtype)


def lanes(*body, extent=4, of=4):
    return Vector(j, extent, of, list(body))


def fails(error, message, *body, chunks=1):
    with pytest.raises(error) as caught:
        verify(kernel(*body, chunks=chunks))
    assert f"[verify] kernel 'k': {message}" in caught.value.message


HEAD = """kernel "good"
  x: float32[64] in
  n: int64[4] in
  z: float32[64] inout
  y: float32[64] out
  s: float32[8] scratch
"""


@pytest.mark.parametrize(
    "body",
    [
        "chunks 8\n  for i in 8:\n    y[chunk * 8 + i] = x[i * 8 + chunk]",
        "chunks 1\n  for i in 100:\n    y[i] = (x[i] if i < 64 else x[0]) if i < 64",
        "chunks 1\n  for i in 100:\n    if i < 64:\n      y[i] = x[i]",
        "chunks 1\n  for i in 100:\n    if 64 <= i:\n      s[0] = x[0]\n"
        "    else:\n      y[i] = x[i]",
        "chunks 1\n  for i in 100:\n    inside = i < 64\n"
        "    v = x[i] if inside else x[0]\n    y[i] = v if inside",
        # A bound that depends on the loop around.
        "chunks 4\n  for t in minimum(20, 64 - chunk * 20):\n"
        "    y[chunk * 20 + t] = x[t]",
        # Data: a condition on the value itself, or clamped.
        "chunks 1\n  i = n[0]\n  y[0] = x[i] if bitwise_and(0 <= i, i < 64) else x[0]",
        "chunks 1\n  i = n[0]\n  good = bitwise_and(0 <= i, i < 8)\n"
        "  vector j in 8 of 8:\n    y[j] = x[i * 8 + j] if good else x[0]",
        "chunks 1\n  y[0] = x[minimum(maximum(n[0], 0), 63)]",
        "chunks 1\n  y[0] = x[n[0] % 64]",
        # The arithmetic may wrap around, and the condition is on what comes out.
        "chunks 1\n  i = n[0] * 3\n  good = bitwise_and(0 <= i, i < 64)\n"
        "  y[0] = x[i] if good else x[0]",
        # Never run.
        "chunks 1\n  for i in 0:\n    y[100] = x[100]",
        "chunks 1\n  for i in 4:\n    if 4 <= i:\n      y[100] = x[100]",
        "chunks 0\n  y[100] = x[100]",
        "chunks 1\n  for i in 4:\n    y[i] = x[100] if 4 <= i else x[0]",
        # Names come again in another body; lanes and places.
        "chunks 1\n  for i in 2:\n    v = x[i]\n  for i in 3:\n    v = i",
        "chunks 1\n  registers a: float32[6 x 4]\n  unroll u in 2:\n"
        "    unroll v in 3:\n      vector j in 3 of 4:\n"
        "        a[u * 3 + v] = a[(u * 3 + v) // 2] + x[j]",
        "chunks 1\n  registers a: int64[4 x 4]\n  transpose a\n  b = fold add a[3]",
        # Chunks that may store one element, but perhaps do not.
        "chunks 2\n  y[0] = x[0] if chunk < 1",
        "chunks 2\n  if chunk < 1:\n    y[0] = x[0]",
        "chunks 2\n  y[n[0] % 4] = x[0]",
        "chunks 2\n  for i in chunk:\n    y[0] = x[0]",
        "chunks 2\n  s[0] = x[0]",
        "chunks 1\n  vector j in 1 of 4:\n    y[0] = x[0]",
    ],
)
def test_good_kernels(body):
    verify(from_text(HEAD + body))


# --- memory of the kernel


def test_buffers():
    def refuses(message, buffers, scratch=()):
        with pytest.raises(GraphError) as caught:
            verify(Kernel("k", buffers, [], 1, scratch))
        assert caught.value.message == f"[verify] kernel 'k': {message}"

    refuses(
        "the access is not one of these. Got: x: float32[1] im. Expected: "
        "('in', 'out', 'inout').", [Buffer("x", float32, 1, "im")],
    )  # fmt: skip
    refuses(
        "the access is not one of these. Got: x: float32[1] in. Expected: "
        "('scratch',).", [], [Buffer("x", float32, 1)],
    )  # fmt: skip
    refuses("a name is bound twice. Got: x: float32[64] in.", [X, X])
    refuses("a size is negative. Got: x: float32[-1] in.", [Buffer("x", float32, -1)])
    refuses(
        "a name is bound twice. Got: chunk: float32[1] in.",
        [Buffer("chunk", float32, 1)],
    )


def test_buffers_of_the_kernel_only():
    other = Buffer("x", float32, 64)
    message = "the buffer is not the kernel's: `y[0] = x[0]`. Got: x: float32[64] in."
    fails(GraphError, message, Store(Y, 0, Load(other, 0)))
    message = "the buffer is not the kernel's: `x[0] = float32(0.5)`"
    fails(GraphError, message, Store(other, 0, half))
    fails(GraphError, "a store to an input: `x[0] = float32(0.5)`", Store(X, 0, half))


# --- names


def test_names():
    message = "a name is not bound: `y[j] = float32(0.5)`. Got: 'j'."
    fails(GraphError, message, Store(Y, j, half))
    fails(GraphError, message, lanes(), Store(Y, j, half))
    message = "a name is bound twice: `i = 1`. Got: 'i'."
    fails(GraphError, message, Let(i, one), Let(i, one))
    fails(GraphError, message, For(i, 2, [Let(i, one)]))
    message = "a name is bound twice: `for i in 2:`. Got: 'i'."
    fails(GraphError, message, For(i, 2, [For(i, 2, [])]))
    message = "a name is bound twice: `registers x: float32[1 x 1]`. Got: 'x'."
    fails(GraphError, message, Registers("x", float32))
    message = (
        "the name 'i' is of the wrong element type: `y[0] = i`. "
        "Got: float32. Expected: int64."
    )
    fails(DTypeError, message, Let(i, one), Store(Y, 0, Variable("i", float32)))


# --- dtypes


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (op("add", half, one), DTypeError,
         "[add] does not take operands of these element types: "
         "`y[0] = float32(0.5) + 1`. Got: float32, int64. Fix: cast first"),
        (op("add", true, true), DTypeError, "[add] does not take operands"),
        (op("add", Load(H, 0), Load(H, 0)), DTypeError, "[add] does not take operands"),
        (op("exp", Load(H, 0)), DTypeError, "[exp] does not take operands"),
        (op("exp", one), DTypeError, "[exp] the element type is not accepted"),
        (op("select", one, half, half), DTypeError, "[select] does not take operands"),
        (op("dot_pairs", half, half, half), DTypeError, "[dot_pairs] does not take"),
        (op("exp", half, half), GraphError, "[exp] the number of operands is wrong"),
        (op("add", half), GraphError,
         "[add] the number of operands is wrong: `y[0] = add(float32(0.5))`. "
         "Got: 1. Expected: 2."),
        (op("frobnicate", half), GraphError,
         "[frobnicate] there is no such operation: `y[0] = frobnicate(float32(0.5))`."),
        (op("less", half, half), DTypeError,
         "the result of less is of the wrong element type: "
         "`y[0] = float32(0.5) < float32(0.5)`. Got: float32. Expected: bool."),
        (op("bitcast", one, dtype=float32), DTypeError,
         "a bitcast to another size: is of the wrong element type"),
        (one, DTypeError,
         "a value is of the wrong element type: `y[0] = 1`. Got: int64. "
         "Expected: float32."),
        (Load(X, half), DTypeError, "an index is of the wrong element type"),
        (Load(X, 0, one, half), DTypeError, "a condition is of the wrong element"),
        (Load(X, 0, true, one), DTypeError, "the other value of a load is of"),
        (Load(X, 0, true), GraphError,
         "a load has a condition, or another value, but not both: `y[0] = x[0]`."),
        (Constant(True, float32), GraphError,
         "a constant is no float32: `y[0] = float32(1.0)`. Got: True of bool."),
        (op("cast", Constant(True, int64), dtype=float32), GraphError,
         "a constant is no int64"),
        (op("cast", Constant(128, int8), dtype=float32), GraphError,
         "a constant is no int8"),
        (op("cast", Constant(-1, uint8), dtype=float32), GraphError,
         "a constant is no uint8"),
        (op("cast", Constant(1, bool_), dtype=float32), GraphError,
         "a constant is no bool"),
    ],
)  # fmt: skip
def test_expressions(value, error, message):
    fails(error, message, Store(Y, 0, value))


def test_16_bit_floats_may_be_moved():
    value = op("select", true, Load(H, 0), Load(H, 1), dtype=bfloat16)
    verify(kernel(Store(Y, 0, op("cast", value, dtype=float32))))


def test_dtypes_of_statements():
    message = "a value is of the wrong element type: `i = float32(0.5)`"
    fails(DTypeError, message, Let(i, half))
    fails(DTypeError, "a value is of the wrong", B, Set(B, 0, one))
    fails(DTypeError, "a place is of the wrong", B, Set(B, half, half))
    fails(DTypeError, "an index is of the wrong", Store(Y, half, half))
    fails(DTypeError, "a condition is of the wrong", Store(Y, 0, half, one))
    fails(DTypeError, "a condition is of the wrong", If(one, []))
    fails(DTypeError, "an extent is of the wrong", For(i, half, []))
    message = "the variable of a loop is of the wrong"
    fails(DTypeError, message, For(Variable("i", int32), 2, []))
    fails(DTypeError, message, Vector(Variable("j", uint32), 2, 2, []))


# --- places in memory


@pytest.mark.parametrize(
    ("index", "condition", "got"),
    [
        (i, None, "0 to 99"),
        (i - 1, i < 64, "-1 to 98"),
        (i, i <= 64, "0 to 99"),
        (i * 64 - i * 63 + 1, i < 64, "1 to 100"),
        (Load(N, 0), None, "any number"),
        (Load(N, 0), op("bitwise_and", 0 * i <= Load(N, 0), Load(N, 0) < 64),
         "any number"),  # of another load than the one it is about
        (op("minimum", Load(N, 0), Constant(3, int64)), None, "any number"),
        (Load(N, 0) % 65, None, "0 to 64"),
        (i, op("bitwise_or", i < 64, i < 80), "0 to 99"),
    ],
)  # fmt: skip
def test_indices_that_are_not_proven(index, condition, got):
    other = None if condition is None else half
    fails(
        IndexingError, "an index is not proven to lie within x: float32[64] in: `",
        For(i, 100, [Store(Y, 0, Load(X, index, condition, other))]),
    )  # fmt: skip
    with pytest.raises(IndexingError) as caught:
        verify(kernel(For(i, 100, [Store(Y, index, half, condition)])))
    assert "within y: float32[64] out" in caught.value.what
    if "any" not in got:
        assert caught.value.got == got
    assert caught.value.expected == "0 to 63"
    assert caught.value.fix == "give the access a condition, or clamp the index"


def test_the_condition_of_another_load_does_not_count():
    inner = Load(X, i - 1)
    fails(
        IndexingError,
        "an index is not proven to lie within x: float32[64] in: "
        "`y[i] = x[i] if i < 1 else x[i - 1]`. Got: -1 to 62. Expected: 0 to 63.",
        For(i, 64, [Store(Y, i, Load(X, i, i < 1, inner))]),
    )


def test_a_condition_ends_with_its_body():
    store = Store(Y, i, half)
    fails(IndexingError, "an index is not proven", For(i, 99, [If(i < 64, []), store]))


# --- statements in their places


def test_loops():
    fails(GraphError, "there is no such kind of loop: `for i in 2:`. Got: parallel.",
          For(i, 2, [], "parallel"))  # fmt: skip
    fails(GraphError, "the extent of unroll is not a number: `unroll i in n[0]:`",
          For(i, Load(N, 0), [], "unroll"))  # fmt: skip
    fails(GraphError, "a loop inside vector that is not unroll: `for i in 2:`",
          lanes(For(i, 2, [])))  # fmt: skip
    fails(GraphError, "a vector inside a vector: `vector i in 2 of 2:`",
          lanes(Vector(i, 2, 2, [])))  # fmt: skip
    fails(GraphError, "a vector has more values than lanes: `vector j in 5 of 4:`",
          lanes(extent=5))  # fmt: skip
    fails(GraphError, "an if inside vector: `if j < 1:`", lanes(If(j < 1, [])))
    fails(GraphError, "this is not a statement. Got: Statement", Statement())
    fails(GraphError, "this is not an expression", Store(Y, 0, odd()))


def odd():
    node = Expression()
    node.dtype = float32
    return node


def test_registers():
    fails(GraphError, "registers need a place and a lane: `registers a: int64[0 x 1]`",
          Registers("a", int64, 0))  # fmt: skip
    fails(GraphError, "the registers are not declared here: `b[0] = float32(0.5)`. "
          "Got: 'b'.", Set(B, 0, half))  # fmt: skip
    fails(GraphError, "the registers are not declared here: `y[0] = b[0]`",
          For(i, 2, [B]), Store(Y, 0, Get(B)))  # fmt: skip
    fails(GraphError, "registers of several lanes got or set outside of vector: "
          "`y[0] = a[0]`.", A, Store(Y, 0, Get(A)))  # fmt: skip
    fails(GraphError, "registers and vector differ in lanes: `a[0] = float32(0.5)`. "
          "Got: 4 and 8.", A, lanes(Set(A, 0, half), of=8))  # fmt: skip
    fails(GraphError, "registers of one lane set inside vector: `b[0] = float32(0.5)`",
          B, lanes(Set(B, 0, half)))  # fmt: skip
    constant = "a place that is not constant once loops are unrolled: `a[i] = "
    fails(GraphError, constant, A, For(i, 2, [lanes(Set(A, i, half))]))
    fails(GraphError, "a place that is not constant", A, lanes(Set(A, j % 2, half)))
    fails(GraphError, "a place that is not constant", B, Let(i, Load(N, 0)),
          Store(Y, 0, Get(B, i)))  # fmt: skip
    fails(IndexingError, "an index is not proven to lie within a[2 x 4]: "
          "`a[i] = float32(0.5)`. Got: 0 to 2. Expected: 0 to 1.",
          A, For(i, 3, [lanes(Set(A, i, half))], "unroll"))  # fmt: skip
    verify(kernel(A, B, lanes(Set(A, 1, Get(B))), Store(Y, 0, Fold("add", A, 1))))


def test_folds_and_transposes():
    fails(GraphError, "a fold inside vector: `y[j] = fold add a[0]`.",
          A, lanes(Store(Y, j, Fold("add", A))))  # fmt: skip
    fails(GraphError, "there is no fold of this: `y[0] = fold subtract a[0]`. "
          "Got: subtract. Expected: add, ", A,
          Store(Y, 0, Fold("subtract", A)))  # fmt: skip
    fails(DTypeError, "a fold of bitwise_or is of the wrong element type: `", A,
          Store(Y, 0, Fold("bitwise_or", A)))  # fmt: skip
    odd = Registers("a", float32, 1, 3)
    fails(GraphError, "a fold of lanes that cannot be halved: `y[0] = fold add a[0]`. "
          "Got: 3.", odd, Store(Y, 0, Fold("add", odd)))  # fmt: skip
    fails(
        GraphError, "a transpose inside vector: `transpose a`", A, lanes(Transpose(A))
    )
    fails(GraphError, "registers to transpose are no square of 2, 4, 8, ...: "
          "`transpose a`. Got: 2 x 4.", A, Transpose(A))  # fmt: skip
    fails(
        GraphError, "the registers are not declared here: `transpose a`", Transpose(A)
    )


# --- stores that meet


def test_stores_that_surely_meet():
    fails(GraphError, "all lanes store to one element: `y[0] = x[j]`",
          lanes(Store(Y, 0, Load(X, j))))  # fmt: skip
    fails(GraphError, "all chunks store to one element: `y[i] = float32(0.5)`",
          For(i, 2, [Store(Y, i, half)]), chunks=2)  # fmt: skip


def test_double_precision_is_not_single():
    fails(DTypeError, "a value is of the wrong element type",
          Store(Y, 0, Constant(0.5, float64)))  # fmt: skip
