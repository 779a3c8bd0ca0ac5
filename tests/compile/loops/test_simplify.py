"""Simplified kernels do the same, with less."""

import random

import numpy as np
import pytest

from plait.compile.loops.grammar import (
    Buffer,
    Constant,
    For,
    If,
    Kernel,
    Let,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from plait.compile.loops.interpret import interpret
from plait.compile.loops.simplify import simplify
from plait.compile.loops.text import from_text, to_text
from plait.compile.loops.verify import verify
from plait.dtypes import bool_, int64

i, j, k = Variable("i"), Variable("j"), Variable("k")
HEAD = """kernel "k"
  x: float32[512] in
  n: int64[512] in
  y: float32[512] out
  m: int64[512] out
"""


def simplified(body, head=HEAD + "chunks 1\n"):
    """Return the body of the kernel after it was simplified twice, checked."""
    body = "".join(f"  {line}\n" for line in body.strip("\n").split("\n"))
    kernel = from_text(head + body)
    verify(kernel)
    before = to_text(kernel)
    new = simplify(kernel)
    verify(new)
    assert to_text(kernel) == before
    text = to_text(new)
    assert to_text(simplify(new)) == text
    return "\n".join(line[2:] for line in text[len(head) :].splitlines())


def same(body, expected):
    assert simplified(body) == expected.strip("\n")


LOOPS = "for i in 8:\n  for j in 64:\n    "


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("(i * 64 + j) // 64 * 64 + (i * 64 + j) % 64", "i * 64 + j"),
        ("j + i * 64", "i * 64 + j"),
        ("(i + 1) * 3 - j * 0 - 3", "i * 3"),
        ("63 - j", "63 - j"),
        ("64 - j * 1 - 1 + i * 64", "i * 64 - j + 63"),
        ("j // 2 // 4 + j % 12 % 4", "j // 8 + j % 4"),
        ("minimum(i, j) + maximum(i, 7) - 7", "minimum(i, j)"),
        ("(minimum(i * 64 + j, 100)) // 8", "minimum(i * 64 + j, 100) // 8"),
        ("i * j", "i * j"),
        ("select(i < 8, j, i)", "j"),
        ("cast(cast(j, int32), int64) % 64", "cast(cast(j, int32), int64)"),
        ("7 + 0 * i", "7"),
        ("j % (i + 1)", "j % (i + 1)"),
        ("minimum(maximum(n[j + 1 - 1], 0), 3)", "minimum(maximum(n[j], 0), 3)"),
        ("bitwise_and(j + 0, 0) % 4", "bitwise_and(j, 0) % 4"),
    ],
)
def test_indices(index, expected):
    same(LOOPS + f"y[0] = x[{index}]", LOOPS + f"y[0] = x[{expected}]")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("i * 64 + j < 512", None),
        ("i * 64 + j < 500", "i * 64 + j < 500"),
        ("i * 8 + 3 <= i * 8 + j + 1", "2 <= j"),
        ("bitwise_and(i < 8, j < 9)", "j < 9"),
        ("bitwise_or(j < 9, 8 <= i)", "j < 9"),
        ("bitwise_and(i == 1, j != 2)", "bitwise_and(i == 1, j != 2)"),
        ("bitwise_invert(9 <= i)", None),
        ("n[j] + 1 < n[j]", "n[j] + 1 < n[j]"),
    ],
)
def test_conditions(condition, expected):
    store = "m[j] = 1"
    loaded = "y[j] = x[j]"
    if expected is None:
        same(LOOPS + f"{store} if {condition}", LOOPS + store)
        text = LOOPS + f"{loaded} if {condition} else float32(0.0)"
        same(text, LOOPS + loaded)
        text = LOOPS + f"if {condition}:\n      {store}\n    else:\n      {loaded}"
        same(text, LOOPS + store)
        text = LOOPS + f"m[j] = select({condition}, i, j)"
        same(text, LOOPS + "m[j] = i")
    else:
        same(LOOPS + f"{store} if {condition}", LOOPS + f"{store} if {expected}")
        text = f"{loaded} if {{}} else float32(0.0)"
        same(LOOPS + text.format(condition), LOOPS + text.format(expected))
        text = f"if {{}}:\n      {store}\n    else:\n      {loaded}"
        same(LOOPS + text.format(condition), LOOPS + text.format(expected))


def test_what_never_happens_is_gone():
    same("for i in 8:\n  m[i] = 1 if 8 <= i\n  m[i] = 2 if i < 9",
         "for i in 8:\n  m[i] = 2")  # fmt: skip
    same("for i in 8:\n  y[i] = (x[i] if 8 <= i else x[1 + i]) if i < 3",
         "for i in 8:\n  y[i] = x[i + 1] if i < 3")  # fmt: skip
    same("for i in 8:\n  if 8 <= i:\n    m[i] = 1\nm[9] = 1", "m[9] = 1")
    same("for i in 0:\n  m[0] = 1\nvector i in 0 of 4:\n  m[i] = 1", "")
    same("for i in 4:\n  for j in i - 3:\n    m[0] = 1", "")
    same("for i in 4:\n  for j in i - 2:\n    m[j] = i",
         "for i in 4:\n  for j in i - 2:\n    m[j] = i")  # fmt: skip


def test_loops_that_run_once_are_written_out():
    same(
        """
for i in 1:
  registers a: float32[1 x 1]
  a[0] = x[i]
  for j in 8:
    y[j] = a[0]
for i in 1:
  registers a: float32[1 x 1]
  for j in 1 + i:
    v = x[i]
    v2 = v + a[0]
    y[j + 9 + n[0] % 4] = v2
unroll j in 1:
  v = x[j + 1]
  y[20] = v + v
""",
        """
registers a: float32[1 x 1]
a[0] = x[0]
for j in 8:
  y[j] = a[0]
registers a_1: float32[1 x 1]
v = x[0]
v2 = v + a_1[0]
y[n[0] % 4 + 9] = v2
v_1 = x[1]
y[20] = v_1 + v_1
""",
    )


def test_one_expression_in_two_loops_that_run_once():
    # The same objects mean another thing in each.
    y = Buffer("y", int64, 8, "out")
    twice = i * 2
    body = [Let(i, Constant(1, int64)), Store(y, twice, twice)]
    other = [Let(i, Constant(3, int64)), Store(y, twice, twice)]
    kernel = Kernel("k", (y,), [For(j, 1, body), For(j, 1, other)])
    verify(kernel)
    assert to_text(simplify(kernel)).splitlines()[3:] == ["  y[2] = 2", "  y[6] = 6"]


def test_conditions_around_decide_those_inside():
    same(
        """
for i in 8:
  for j in 64:
    if i * 8 + j < 20:
      if i * 8 + j < 30:
        m[j] = 1 if i * 8 + j < 20
      m[j] = minimum(i * 8 + j, 19)
    else:
      m[j] = 2 if i * 8 + j < 20
""",
        """
for i in 8:
  for j in 64:
    if i * 8 + j < 20:
      m[j] = 1
      m[j] = i * 8 + j
""",
    )
    same("for i in 8:\n  for j in 8 - i:\n    m[i] = 1 if i + j < 8",
         "for i in 8:\n  for j in 8 - i:\n    m[i] = 1")  # fmt: skip


def test_values_that_nobody_uses_are_gone():
    same(
        """
for i in 8:
  row = i * 64
  unused = x[row]
  also = unused * unused
  here = n[i]
  copied = here
  same = x[i]
  again = same
  small = i < 5
  for j in 64:
    inner = row + j
    m[inner] = here + copied
    y[inner] = again if small
""",
        """
for i in 8:
  here = n[i]
  same = x[i]
  small = i < 5
  for j in 64:
    m[i * 64 + j] = here * 2
    y[i * 64 + j] = same if small
""",
    )


def test_a_load_is_not_moved_over_a_store():
    same("a = m[0]\nm[0] = 5\nm[1] = a + a\nm[2] = m[0]".replace("m[0]", "n[0]")
         .replace("n[0] = 5", "m[0] = 5"),
         "a = n[0]\nm[0] = 5\nm[1] = a * 2\nm[2] = n[0]")  # fmt: skip
    load = Load(Buffer("z", int64, 4, "inout"), 0)
    z = load.buffer
    twice = load + load
    kernel = Kernel(
        "k", (z,), [Let(i, load), Store(z, 0, twice), Store(z, 1, twice + i)]
    )
    new = simplify(kernel)
    for one in (kernel, new):
        array = np.array([3, 0, 0, 0])
        interpret(one, [array])
        assert array.tolist() == [6, 15, 0, 0]


def test_other_arithmetic_stays():
    same("for i in 8:\n  y[i] = x[i] * float32(1.0) + x[i + 0] - x[i]",
         "for i in 8:\n  y[i] = x[i] * float32(1.0) + x[i] - x[i]")  # fmt: skip


def test_vectors_and_registers_stay():
    text = """
registers a: float32[2 x 4]
transpose_me = n[0]
vector j in 1 of 4:
  unroll u in 2:
    a[u] = x[u * 4 + j + 0 * u]
for t in 4:
  vector j in 4 of 4:
    y[t + j] = a[1] + (x[j] if t * 4 + j < 13 else float32(0.0))
y[16] = fold add a[0]
streaming y[17] = x[0]
"""
    same(text, text.replace("transpose_me = n[0]\n", "").replace(" + 0 * u", ""))


def test_chains_of_data_take_no_long():
    # Each step uses the one before twice; sums have many terms.
    y = Buffer("y", int64, 1, "out")
    n = Buffer("n", int64, 400)
    value, total = Load(n, 0), Load(n, 0)
    for number in range(1, 400):
        value = value * value + value
        total = total + Load(n, number)
    kernel = Kernel(
        "k", (n, y), [Store(y, 0, Operation("bitwise_xor", (value, total)))]
    )
    results = []
    for one in (kernel, simplify(kernel)):
        results.append(np.zeros(1, np.int64))
        interpret(one, [np.arange(1, 401), results[-1]])
    np.testing.assert_array_equal(*results)


# --- random kernels

TABLE = Buffer("table", int64, 16)
NUMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 0, -4)


def op(name, *operands, dtype=None):
    return Operation(name, operands, dtype)


def random_index(draw, size):
    """Return a random int64 expression with about `size` operations."""
    if size < 1:
        number = Constant(draw.randint(-70, 70), int64)
        return draw.choice([i, j, k, Kernel.CHUNK, number])
    half = draw.randint(0, size - 1)
    x, y = random_index(draw, half), random_index(draw, size - 1 - half)
    kind = draw.randint(0, 9)
    if kind < 3:
        names = ("add", "subtract", "multiply", "minimum", "maximum")
        return op(draw.choice(names), x, y)
    if kind < 7:
        if draw.random() < 0.8:
            y = Constant(draw.choice(NUMBERS), int64)
        return op(draw.choice(("floor_divide", "remainder", "multiply")), x, y)
    if kind == 7:
        truth = random_condition(draw, size // 2)
        if draw.random() < 0.3:
            return op("cast", truth, dtype=int64)
        return op("select", truth, x, y, dtype=int64)
    if kind == 8:
        return Load(TABLE, op("remainder", x, Constant(16, int64)))
    inside = op("bitwise_and", Constant(0, int64) <= x, x < 16)
    return Load(TABLE, x, inside, y)


def random_condition(draw, size):
    if size > 2 and draw.random() < 0.5:
        x, y = (random_condition(draw, size // 2) for _ in range(2))
        name = draw.choice(("bitwise_and", "bitwise_or", "bitwise_xor"))
        return op("bitwise_invert", op(name, x, y))
    x, y = (random_index(draw, size // 2) for _ in range(2))
    name = draw.choice(("less", "less_equal", "equal", "not_equal"))
    return op(name, x, y, dtype=bool_)


def kernel_of(first, second, inside):
    """Return a kernel of two values, in four kinds of bodies."""
    y = Buffer("y", int64, 3 * 2 * 3 * 64, "out")
    a = Variable("a")
    at = ((Kernel.CHUNK * 2 + k) * 3 + i) * 64 + j
    body = [
        Let(a, first),
        Store(y, at, a),
        If(inside, [Store(y, at + 16, second)], [Store(y, at + 16, a + 1, i < 2)]),
        Store(y, at + 32, second - a, inside),
    ]
    lanes = [Let(a, second), Store(y, at + 48, a * 2 + first, inside)]
    loop = For(i, 3, [For(j, 16, body), Vector(j, 16, 16, lanes)])
    return Kernel("random", (TABLE, y), [For(k, 2, [loop])], 3)


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels_do_the_same(seed):
    draw = random.Random(seed)
    kernel = kernel_of(
        random_index(draw, 8), random_index(draw, 8), random_condition(draw, 6)
    )
    verify(kernel)
    new = simplify(kernel)
    verify(new)
    table = np.random.default_rng(0).integers(-(2**62), 2**62, 16)
    table[::2] = np.arange(8)
    results = []
    for one in (kernel, new):
        results.append(np.full(kernel.buffers[1].size, -1))
        interpret(one, [table, results[-1]])
    np.testing.assert_array_equal(*results)
