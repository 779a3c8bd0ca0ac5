"""Orthogonal times triangular: QR factors by Householder's reflections.

A reflection takes from each row of a matrix a multiple of one row, the sum of all rows
times the vector of the reflection: whole rows, which are whole vectors. Threads share
the matrices of a stack.

Source: Golub and Van Loan 2013, Matrix Computations, section 5.2; signs are those of
LAPACK's geqrf.

Read first: `lower_qr`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...dtypes import bool_, int64
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Statement,
    Store,
    Variable,
    Vector,
)
from .chunk import CHUNK_COST, Blocks
from .eliminate import ScratchMatrix
from .lowered import Lanes, Lowered
from .piece import Piece
from .rotate import identities, power_below


def lower_qr(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel of QR factors."""
    (x,) = node.operands
    m, n = x.shape[-2:]
    k = min(m, n)
    if not k:
        made = [identities(results[0], node.type[0], name)] if node.type[0].size else []
        return Lowered(made)
    dtype, width = x.dtype, lanes(x.dtype)
    inner = m if node.attributes["mode"] == "complete" else k
    count = math.prod(x.shape[:-2])
    given = Buffer("x", dtype, x.size)
    q = Buffer("q", dtype, count * m * inner, "out")
    r = Buffer("r", dtype, count * inner * n, "out")
    left = ScratchMatrix("a", m, n, dtype, width)
    right = ScratchMatrix("b", m, inner, dtype, width)
    # The vectors of the reflections, and how much of each is taken.
    vectors = Buffer("vectors", dtype, k * m, "scratch")
    factors = Buffer("factors", dtype, k, "scratch")
    blocks = Blocks(count, CHUNK_COST // (4 * m * n * k), name="matrix")
    i, j, up = Variable("i"), Variable("j"), Variable("up")
    one, zero = Constant(1.0, dtype), Constant(0.0, dtype)
    largest, power = Registers("largest", dtype), Variable("power", dtype)
    size = Operation("abs", (left.at(i, j),))
    scaled = Operation("divide", (left.at(i, j), power))
    grown = Operation("multiply", (left.at(i, j), power))
    onto = Operation("select", (Operation("equal", (i, j), bool_), one, zero), dtype)
    body: Body = [
        *left.filled(given, blocks.place * (m * n)),
        largest,
        For(i, m, [For(j, n, [
            Set(largest, 0, Operation("maximum", (Get(largest), size)))
        ])]),
        Let(power, power_below(Get(largest), dtype)),
        For(i, m, [For(j, n, [Store(left.buffer, i * left.pitch + j, scaled)])]),
        For(up, k, [
            *_reflection(left, up, vectors, factors),
            *_reflected(left, up, vectors, factors, up // width),
            *_cleared(left, up),
        ]),
        For(i, m, [right.along(0, lambda column: [
            Store(right.buffer, i * right.pitch + column, zero)
        ])]),
        For(i, m, [For(j, inner, [Store(right.buffer, i * right.pitch + j, onto)])]),
        For(up, k, _reflected(right, (k - 1) - up, vectors, factors, 0)),
        *right.copied(q, blocks.place * (m * inner)),
        For(i, inner, [For(j, n, [
            Store(r, blocks.place * (inner * n) + i * n + j, grown)
        ])]),
    ]  # fmt: skip
    kernel = Kernel(
        name, (given, q, r), blocks.loop(body), blocks.chunks,
        (left.buffer, right.buffer, vectors, factors),
    )  # fmt: skip
    work = Work(4 * count * m * n * k, 2 * x.type.nbytes)
    return Lowered([Piece(kernel, (x, *results), work)])


def _reflection(
    left: ScratchMatrix, at: Expression, vectors: Buffer, factors: Buffer
) -> Body:
    """Return what finds the reflection that leaves nothing below the diagonal.

    v = (1, x / (a - b)), factor (b - a) / b and b = -sign(a) norm(a, x), where `a` is
    on the diagonal and `x` below; no reflection, with factor 0, if x is 0.
    """
    dtype, m = left.dtype, left.rows
    total = Registers("below", dtype)
    i, row = Variable("i"), Variable("below_row")
    a, b, norm = Variable("a", dtype), Variable("b", dtype), Variable("norm", dtype)
    none, apart = Variable("none", bool_), Variable("apart", dtype)
    one, zero = Constant(1.0, dtype), Constant(0.0, dtype)
    value = left.at(row, at)
    square = Operation("multiply", (value, value))
    whole = Operation("add", (Operation("multiply", (a, a)), Get(total)))
    negative = Operation("less", (a, zero), bool_)
    signed = (negative, norm, Operation("negative", (norm,)))
    safe = (none, one, Operation("subtract", (a, b)))
    taken = Operation("divide", (Operation("subtract", (b, a)), b))
    here = at * m
    rows = For(i, Constant(m - 1, int64) - at, [
        Let(row, at + (i + 1)),
        Store(vectors, here + row, Operation("divide", (value, apart))),
    ])  # fmt: skip
    return [
        total,
        For(i, Constant(m - 1, int64) - at, [
            Let(row, at + (i + 1)),
            Set(total, 0, Operation("add", (Get(total), square))),
        ]),
        Let(a, left.at(at, at)),
        Let(none, Operation("equal", (Get(total), zero), bool_)),
        Let(norm, Operation("sqrt", (whole,))),
        Let(b, Operation("select", signed, dtype)),
        Let(apart, Operation("select", safe, dtype)),
        rows,
        Store(vectors, here + at, one),
        Store(factors, at, Operation("select", (none, zero, taken), dtype)),
    ]  # fmt: skip


def _reflected(
    matrix: ScratchMatrix,
    at: Expression,
    vectors: Buffer,
    factors: Buffer,
    start: Expression | int,
) -> Body:
    """Return what applies a reflection to a matrix, from vector `start` of rows on."""
    dtype, m, width = matrix.dtype, matrix.rows, matrix.width
    place, v, lane = (Variable(matrix.name_of(one)) for one in ("place", "v", "lane"))
    i, row = Variable(matrix.name_of("i")), Variable(matrix.name_of("row"))
    factor = Variable(matrix.name_of("factor"), dtype)
    vector, first = (
        Variable(matrix.name_of("vector"), dtype),
        Variable(matrix.name_of("first")),
    )
    sums = Registers(matrix.name_of("sums"), dtype, 1, width)
    here = row * matrix.pitch + (first + lane)
    product = Operation("multiply", (vector, Load(matrix.buffer, here)))
    more = Set(sums, 0, Operation("add", (Get(sums), product)))
    times = Operation("multiply", (vector, factor))
    part = Operation("multiply", (Get(sums), times))
    less = Store(
        matrix.buffer, here, Operation("subtract", (Load(matrix.buffer, here), part))
    )

    def each(statement: Statement) -> Statement:
        return For(i, Constant(m, int64) - place, [
            Let(row, place + i),
            Let(vector, Load(vectors, place * m + row)),
            Vector(lane, width, width, [statement]),
        ])  # fmt: skip

    return [
        Let(place, at),
        Let(factor, Load(factors, place)),
        For(v, Constant(matrix.vectors, int64) - start, [
            Let(first, (v + start) * width), sums, each(more), each(less),
        ]),
    ]  # fmt: skip


def _cleared(left: ScratchMatrix, at: Expression) -> Body:
    """Return what sets the elements below the diagonal to 0, which they nearly are."""
    i = Variable("cleared")
    here = (at + (i + 1)) * left.pitch + at
    zero = Constant(0.0, left.dtype)
    rows = Constant(left.rows - 1, int64) - at
    return [For(i, rows, [Store(left.buffer, here, zero)])]
