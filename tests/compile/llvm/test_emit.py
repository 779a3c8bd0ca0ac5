"""Loops, vectors, registers and memory: machine code does what the interpreter does."""

import numpy as np
import pytest

from plait.compile.llvm.assemble import assemble, assembly
from plait.compile.llvm.emit import emit
from plait.compile.llvm.target import host, library, named
from plait.compile.loops.grammar import (
    SERIAL,
    UNROLL,
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
    Variable,
    Vector,
)
from plait.dtypes import ALL, as_dtype, bool_, float32, int32, int64

CHUNK = Kernel.CHUNK
i, j, k, v = (Variable(name) for name in "ijkv")


HERE = [name for name in ("sse4", "avx2", "avx512") if named(name).runs]


def random_of(dtype, size, seed=0):
    random = np.random.default_rng(seed)
    if dtype is bool_:
        return random.random(size) < 0.5
    if dtype.is_float:
        return random.standard_normal(size).astype(dtype.numpy)
    return random.integers(0, 100, size).astype(dtype.numpy)


def number(x, dtype=float32):
    return Constant(x, dtype)


def add(x, y):
    return Operation("add", (x, y))


def less(x, y):
    return Operation("less", (x, y), bool_)


# All on the host, and on the others what they do in different ways.
COPIES = [("host", dtype.name, extent) for dtype in ALL for extent in (1, 5, 8, 16)]
COPIES += [
    (name, dtype, extent)
    for name in HERE
    for dtype in ("bool", "int8", "float32", "float64")
    for extent in (2, 13, 16)
]


@pytest.mark.parametrize(("name", "dtype", "extent"), COPIES)
def test_copy_by_every_step(name, dtype, extent, agree):
    """Rows forwards and backwards, near and far steps, one place, gathered places."""
    target, dtype = named(name), as_dtype(dtype)
    size = 16 * 9 + 20
    x, at = Buffer("x", dtype, size), Buffer("at", int32, 16)
    buffers, body = [x, at], []
    place = Operation("cast", (Load(at, v),), int64)
    indices = [v + 3, 40 - v, v * 2, v * 3 + 1, v * 4, v * 9, 140 - v * 5, place, 7]
    indices += [v // 2 + 5, v % 2 * 70 + v // 2, v % 4 * 30, (v + 1) // 3 * 9, v // 20]
    for n, index in enumerate(indices):
        rows = Buffer(f"rows{n}", dtype, 16, "inout")
        back = Buffer(f"back{n}", dtype, 16, "inout")
        buffers += [rows, back]
        body.append(Store(rows, v, Load(x, index)))
        body.append(Store(back, 15 - v, Load(x, index)))
    for n, index in enumerate([v * 2, v * 9 + 1, 140 - v * 5, place]):
        far = Buffer(f"far{n}", dtype, size, "inout")
        buffers.append(far)
        body.append(Store(far, index, Load(x, v)))
    places = np.random.default_rng(1).permutation(size)[:16].astype(np.int32)
    arrays = [random_of(dtype, size), places]
    arrays += [np.zeros(b.size, dtype.numpy) for b in buffers[2:]]
    agree(Kernel("copy", buffers, [Vector(v, extent, 16, body)]), arrays, target)


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "float32", "float64"])
@pytest.mark.parametrize("extent", [5, 16])
def test_conditions_touch_nothing_where_false(dtype, extent, target, agree):
    """The indices are far outside of the buffer where the condition is false."""
    dtype = as_dtype(dtype)
    x, limit = Buffer("x", dtype, 64), Buffer("limit", int64, 4)
    buffers, body = [x, limit], []
    other = number(1, dtype)
    far = 1 << 40
    n = Variable("n")
    conditions = [
        (less(v, Load(limit, 0)), v),
        (less(v, Load(limit, 1)), v + far),
        (less(Load(limit, 0), Load(limit, 2)), v),
        (less(Load(limit, 2), Load(limit, 0)), v + far),
        (less(Load(limit, 0), v), 20 - v),
        (less(v, Load(limit, 0)), v * 3),
        (less(v, n), v * v),
    ]
    for number_of, (condition, index) in enumerate(conditions):
        for where in (index, index - v if number_of < 4 else index):
            y = Buffer(f"y{len(buffers)}", dtype, 64, "inout")
            buffers.append(y)
            body.append(Store(y, v, Load(x, where, condition, other)))
        y = Buffer(f"y{len(buffers)}", dtype, 64, "inout")
        buffers.append(y)
        body.append(Store(y, index, Load(x, v), condition))
    once = [
        Let(n, Load(limit, 0)),
        Vector(v, extent, 16, body),
        If(
            less(n, Load(limit, 2)),
            [Store(y, 50, Load(x, far, less(Load(limit, 2), n), other))],
        ),
        Store(y, far, other, less(Load(limit, 2), n)),
    ]
    arrays = [random_of(dtype, 64), np.array([3, 0, 7, 7])]
    arrays += [np.zeros(64, dtype.numpy) for _ in buffers[2:]]
    agree(Kernel("conditions", buffers, once), arrays, target)


@pytest.mark.parametrize("kind", [SERIAL, UNROLL])
@pytest.mark.parametrize("lanes", [4, 16, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_sums_in_registers(kind, lanes, dtype, target, agree):
    """Four partial sums, a tail that keeps the other lanes, and all folds."""
    dtype = as_dtype(dtype)
    size = lanes * 8 + lanes // 2 + 1
    x, y = Buffer("x", dtype, size), Buffer("y", dtype, 3, "out")
    sums, most = Registers("sums", dtype, 4, lanes), Registers("most", dtype, 1, lanes)
    item = Variable("item", dtype)
    body = [
        sums,
        most,
        For(
            i,
            2,
            [
                For(
                    j,
                    4,
                    [
                        Vector(
                            v,
                            lanes,
                            lanes,
                            [
                                Let(item, Load(x, (i * 4 + j) * lanes + v)),
                                Set(sums, j, add(Get(sums, j), item)),
                                Set(most, 0, Operation("maximum", (Get(most), item))),
                            ],
                        )
                    ],
                    UNROLL,
                )
            ],
            kind,
        ),
        Vector(
            v,
            lanes // 2 + 1,
            lanes,
            [Set(sums, 1, add(Get(sums, 1), Load(x, 8 * lanes + v)))],
        ),
        Store(
            y,
            0,
            add(
                add(Fold("add", sums, 0), Fold("add", sums, 1)),
                add(Fold("add", sums, 2), Fold("add", sums, 3)),
            ),
        ),
        Store(y, 1, Fold("maximum", most)),
        Store(y, 2, Fold("minimum", sums, 3)),
    ]
    arrays = [random_of(dtype, size), np.zeros(3, dtype.numpy)]
    agree(Kernel("sums", [x, y], body), arrays, target)


def test_if_sets_registers(target, agree):
    x, y = Buffer("x", float32, 40), Buffer("y", float32, 4, "out")
    total, count, rows = (
        Registers("total", float32),
        Registers("count", int64, 2),
        Registers("rows", float32, 2, 4),
    )
    item = Variable("item", float32)
    body = [
        total,
        count,
        rows,
        For(
            i,
            40,
            [
                Let(item, Load(x, i)),
                If(
                    less(item, number(0.0)),
                    [
                        Set(count, 0, Get(count, 0) + 1),
                        Vector(v, 3, 4, [Set(rows, 0, add(Get(rows, 0), item))]),
                    ],
                    [
                        Set(total, 0, add(Get(total), item)),
                        If(
                            less(item, number(0.5)),
                            [Set(count, 1, Get(count, 1) + i)],
                        ),
                    ],
                ),
                If(Constant(i is j, bool_), [Set(total, 0, number(7.0))]),
            ],
        ),
        Store(y, 0, Get(total)),
        Store(y, 1, Operation("cast", (Get(count, 0),), float32)),
        Store(y, 2, Operation("cast", (Get(count, 1),), float32)),
        Store(y, 3, add(Fold("add", rows, 0), Fold("add", rows, 1))),
    ]
    kernel = Kernel("if", [x, y], body)
    agree(kernel, [random_of(float32, 40), np.zeros(4, np.float32)], target)


@pytest.mark.parametrize("rows", [-1, 0, 1, 5])
def test_loops_of_unknown_extent(rows, target, agree):
    """Extents from memory and from other loops; what is set in none stays."""
    n, x = Buffer("n", int64, 1), Buffer("x", float32, 8)
    y = Buffer("y", float32, 64, "inout")
    total = Registers("total", float32, 2)
    body = [
        total,
        Set(total, 1, number(3.0)),
        For(
            i,
            Load(n, 0),
            [
                For(j, i, [Set(total, 0, add(Get(total), Load(x, j + i % 3)))]),
                # Nothing may be read before it is known that this runs.
                Store(y, i * 8, add(Get(total), Load(x, Load(n, 0) + 2))),
            ],
        ),
        Store(y, 1, Get(total)),
        Store(y, 2, Get(total, 1)),
    ]
    arrays = [np.array([rows]), random_of(float32, 8), np.zeros(64, np.float32)]
    agree(Kernel("unknown", [n, x, y], body), arrays, target)


def test_chunks_and_scratch(target, agree, compiled, same):
    """Chunks in any pieces; scratch buffers lie apart, and do not disturb others."""
    x, y = Buffer("x", float32, 7 * 20), Buffer("y", float32, 7 * 20, "out")
    small, big = (
        Buffer("small", bool_, 20, "scratch"),
        Buffer("big", float32, 20, "scratch"),
    )
    at = CHUNK * 20 + i
    body = [
        For(i, 20, [Store(small, i, less(Load(x, at), number(0.0)))]),
        For(i, 20, [Store(big, 19 - i, Load(x, at))]),
        For(
            i,
            20,
            [
                Store(
                    y,
                    at,
                    Operation("select", (Load(small, i), Load(big, i), number(1.0))),
                )
            ],
        ),
    ]
    kernel = Kernel("chunks", [x, y], body, 7, [small, big])
    arrays = [random_of(float32, 140), np.zeros(140, np.float32)]
    whole = agree(kernel, arrays, target)
    pieces = compiled(kernel, arrays, target, [(4, 7), (2, 2), (0, 3), (3, 4)])
    same(whole[1], pieces[1])


def test_values_shared_by_scopes(target, agree):
    """What is computed once stays right where loops write to memory."""
    x = Buffer("x", int32, 64, "inout")
    first, second = Variable("first", int32), Variable("second", int32)
    body = [
        Let(first, Load(x, 5)),
        For(i, 4, [Store(x, 5, add(Load(x, 5), first)), Store(x, 6 + i, first)]),
        Let(second, Load(x, 5)),
        If(less(first, second), [Store(x, 60, add(first, second))]),
        Store(x, 61, add(first, second)),
        # An inner name hides an outer one in its body only.
        For(i, 2, [Let(first, Load(x, i)), Store(x, 20 + i, first)], UNROLL),
        Store(x, 62, first),
    ]
    agree(Kernel("shared", [x], body), [random_of(int32, 64)], target)


@pytest.mark.parametrize("offset", [0, 1])
def test_streaming(offset, agree):
    """Rows of whole lines go around the caches, if the buffer begins with one."""
    target = host()
    x, y = Buffer("x", float32, 96), Buffer("y", float32, 96, "inout")
    at = i * 16 + v
    body = [
        For(i, 4, [Vector(v, 16, 16, [Store(y, at, Load(x, at), streaming=True)])]),
        Vector(v, 5, 16, [Store(y, v + 64, Load(x, v), streaming=True)]),
        Vector(v, 16, 16, [Store(y, v + 77, Load(x, v), streaming=True)]),
    ]
    kernel = Kernel("streaming", [x, y], body)
    space = np.zeros(96 + 33, np.float32)
    start = -space.ctypes.data % 64 // 4 + offset
    agree(kernel, [random_of(float32, 96), space[start : start + 96]], target)
    text = assembly(emit(kernel, named("avx512")), named("avx512"))
    assert text.count("vmovntps\t%zmm") == 1
    assert text.count("sfence") == 1


@pytest.mark.parametrize(("name", "count"), [("avx512", 2), ("neon", 2), ("wasm", 0)])
def test_what_is_needed_soon(name, count, agree):
    """It is asked for, also beyond the end; the values are those of other loads."""
    x, y = Buffer("x", float32, 64), Buffer("y", float32, 64, "out")
    at = i * 16 + v
    total = add(Load(x, at, ahead=32), Load(x, i, ahead=1 << 20))
    body = [For(i, 4, [Vector(v, 16, 16, [Store(y, at, total)])])]
    kernel = Kernel("ahead", [x, y], body)
    agree(kernel, [random_of(float32, 64), np.zeros(64, np.float32)], host())
    text = emit(kernel, named(name))
    assert text.count("call void @llvm.prefetch") == count


def expression_of(random, depth, names):
    """Return a random index whose numbers stay small and are not negative."""
    if depth == 0 or random.random() < 0.2:
        if random.random() < 0.3:
            return Constant(int(random.integers(0, 20)), int64)
        return names[random.integers(len(names))]
    x = expression_of(random, depth - 1, names)
    chosen = random.integers(8)
    if chosen == 0:
        return x * int(random.integers(1, 9))
    if chosen == 1:
        return x // int(random.integers(1, 20))
    if chosen == 2:
        return x % int(random.integers(1, 20))
    if chosen == 3:
        names = [
            Operation("minimum", (x, expression_of(random, 1, names))),
            Operation("maximum", (x, expression_of(random, 1, names))),
        ]
        return names[random.integers(2)]
    y = expression_of(random, depth - 1, names)
    if chosen == 4:
        return Operation("select", (x < y, x, y))
    if chosen == 5:
        return Operation("select", (x <= y + 3, x - 3, y)) % 50
    return x + y


@pytest.mark.parametrize("seed", range(4))
def test_random_indices(seed, target, agree):
    """Index arithmetic, which is mostly done before the code runs, is right."""
    random = np.random.default_rng(seed)
    extent = int(random.integers(1, 17))
    size = 4 * 5 * 16
    x = Buffer("x", int64, 1000)
    buffers, body = [x], []
    here = CHUNK * 80 + i * 16 + v
    names = [CHUNK, i, v, v, Operation("cast", (Load(x, i * 3 + v),), int64)]
    for n in range(6):
        y = Buffer(f"y{n}", int64, size, "inout")
        buffers.append(y)
        index = expression_of(random, 5, names)
        body.append(Store(y, here, index))
        z = Buffer(f"z{n}", int64, size, "inout")
        buffers.append(z)
        body.append(Store(z, here, Load(x, index % 1000, index < 500, index)))
    loops = [For(i, 5, [Vector(v, extent, 16, body)])]
    arrays = [random.integers(0, 30, 1000)]
    arrays += [np.zeros(size, np.int64) for _ in buffers[1:]]
    agree(Kernel("random", buffers, loops, 4), arrays, target)


def test_division_leaves_lanes_in_a_row(agree):
    """Rows of a transposed or padded picture stay vector loads: no gathers."""
    x, y = Buffer("x", float32, 8192), Buffer("y", float32, 4096, "out")
    at = i * 16 + v
    index = (at // 64) * 128 + at % 64 + at // 512 + (at // 1024) * 3
    body = [For(i, 256, [Vector(v, 16, 16, [Store(y, at, Load(x, index))])])]
    kernel = Kernel("rows", [x, y], body)
    assert "gather" not in emit(kernel, named("avx512"))
    agree(kernel, [random_of(float32, 8192), np.zeros(4096, np.float32)], host())


def test_known_lanes_are_picked_from_rows(agree):
    """Places of a picture that is twice as large, or of a few put into each other."""
    x, y = Buffer("x", float32, 4096), Buffer("y", float32, 8192, "inout")
    at = i * 16 + v
    body = [
        Store(y, at, Load(x, at // 2)),
        Store(y, at + 2048, Load(x, at % 2 * 1024 + at // 2)),
        Store(y, at + 4096, Load(x, at % 4 * 512 + at // 4)),
        Store(y, at + 6144, Load(x, at + v // 6 * 512)),
    ]
    kernel = Kernel("picked", [x, y], [For(i, 128, [Vector(v, 16, 16, body)])])
    assert "gather" not in emit(kernel, named("avx512"))
    agree(kernel, [random_of(float32, 4096), np.zeros(8192, np.float32)], host())


def microkernel(rows=8, columns=3, lanes=16, depth=100):
    """Return a product of a tile of `rows` by `columns * lanes`."""
    a = Buffer("a", float32, rows * depth)
    b = Buffer("b", float32, columns * lanes * depth)
    c = Buffer("c", float32, rows * columns * lanes, "out")
    total = Registers("total", float32, rows * columns, lanes)
    right = [Variable(f"right{n}", float32) for n in range(columns)]
    left = Variable("left", float32)
    inner = [
        Let(right[n], Load(b, (k * columns + n) * lanes + v)) for n in range(columns)
    ]
    sums = [
        Set(
            total,
            i * columns + n,
            Operation(
                "fused_multiply_add", (left, right[n], Get(total, i * columns + n))
            ),
        )
        for n in range(columns)
    ]
    inner.append(For(i, rows, [Let(left, Load(a, i * depth + k)), *sums], UNROLL))
    store = Store(c, (i * columns + j) * lanes + v, Get(total, i * columns + j))
    out = [For(j, columns, [Vector(v, lanes, lanes, [store])], UNROLL)]
    body = [
        total,
        For(k, depth, [Vector(v, lanes, lanes, inner)]),
        For(i, rows, out, UNROLL),
    ]
    return Kernel("micro", [a, b, c], body)


def test_microkernel(target, agree):
    arrays = [abs(random_of(float32, n)) for n in (800, 4800, 384)]
    close = {float32: 1e-4}
    agree(microkernel(), arrays, target, close)


def inner_loop(text):
    """Return the instructions of the innermost loop in x86 assembly."""
    lines = [line.strip() for line in text.splitlines()]
    labels = {line[:-1]: n for n, line in enumerate(lines) if line.endswith(":")}
    loops = [
        lines[labels[line.split()[-1]] + 1 : n + 1]
        for n, line in enumerate(lines)
        if line.startswith("j") and labels.get(line.split()[-1], n) < n
    ]
    return min(loops, key=len)


def test_inner_loop_of_microkernel_is_tight():
    """Loads, products, and at most two counters with the branch: nothing else."""
    target = named("avx512")
    text = assembly(emit(microkernel(), target), target)
    loop = inner_loop(text)
    assert sum("vfmadd" in line for line in loop) == 24
    assert sum("%zmm" in line for line in loop) <= 24 + 3 + 8
    assert not any("%rsp" in line for line in loop)
    assert len(loop) <= 24 + 3 + 8 + 4


@pytest.mark.parametrize(
    "name", ["sse4", "avx2", "avx512", "avx512bf16", "amx", "neon", "host"]
)
def test_objects_need_nothing_from_outside(name):
    """Code for every target is made, and calls no function of a library."""
    target = named(name)
    x = Buffer("x", float32, 100)
    buffers, body = [x], []
    wide = Operation("cast", (Load(x, v * 3),), as_dtype("float64"))
    for dtype in ALL:
        y = Buffer(f"y_{dtype.name}", dtype, 100, "out")
        buffers.append(y)
        body.append(Store(y, v, Operation("cast", (wide,), dtype)))
        body.append(Store(y, v + 16, Operation("cast", (Load(x, v),), dtype)))
    for name in ("round", "floor", "sqrt", "minimum", "fused_multiply_add"):
        z = Buffer(f"z_{name}", float32, 100, "out")
        buffers.append(z)
        count = {"minimum": 2, "fused_multiply_add": 3}.get(name, 1)
        value = Operation(name, (Load(x, v),) * count)
        body += [Store(z, v, value), Store(z, 99, Operation("round", (Load(x, 0),)))]
    many = [Vector(v, 16, 16, body), Vector(v, 5, 16, body)]
    text = emit(Kernel("all", buffers, many), target)
    assembled = assembly(text, target)
    calls = ("call", "bl\t", "jmp\t__", "b\t__")
    found = [x for x in assembled.splitlines() if x.strip().startswith(calls)]
    assert found == []
    assert assemble(text, target)[:4] == b"\x7fELF" or host().triple != target.triple


def test_llvm_looks_for_no_other_addresses(monkeypatch):
    """What others of the process make with LLVM is as it was."""
    found = []
    monkeypatch.setattr(library(), "set_option", lambda _, text: found.append(text))
    assemble(emit(Kernel("nothing", [], [], 1), host()), host())
    assert found == ["-disable-lsr=true", "-disable-lsr=false"]


def test_text_is_the_same_each_time():
    target = named("avx512")
    assert emit(microkernel(), target) == emit(microkernel(), target)
