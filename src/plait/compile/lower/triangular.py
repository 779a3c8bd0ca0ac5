"""Small triangular matrices: systems of equations, and Cholesky's factors.

Threads share the matrices of a stack, and columns of right-hand sides.

Read first: `lower_triangular_solve`, `lower_cholesky`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...dtypes import bool_, int64, uint8
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
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
from .chunk import CHUNK_COST, Blocks
from .eliminate import ScratchMatrix
from .index import ZERO
from .lowered import Lanes, Lowered
from .memory import ALARM
from .piece import Piece

# Vectors of right-hand sides that one pass over the triangle solves for.
_TOGETHER = 4


def lower_triangular_solve(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel that solves triangular systems."""
    a, b = node.operands
    n, k = b.shape[-2:]
    if not n:
        return Lowered([])
    dtype = node.dtype
    turned, unit = node.attributes["transpose"], node.attributes["unit_diagonal"]
    down = node.attributes["lower"] is not turned
    width = lanes(dtype)
    strip = min(k, width * _TOGETHER)
    parts = -(-k // strip)
    count = math.prod(b.shape[:-2])
    cost = n * n * strip
    blocks = Blocks(count * parts, CHUNK_COST // max(cost, 1), name="block")
    triangle, given = Buffer("a", dtype, a.size), Buffer("b", dtype, b.size)
    wanted = Buffer("y", dtype, b.size, "inout")
    alarm = Buffer("alarm", uint8, 1, "out")
    matrix, part = Variable("matrix"), Variable("part")

    def element(row: Expression, column: Expression) -> Expression:
        row, column = (column, row) if turned else (row, column)
        return Load(triangle, matrix * (n * n) + row * n + column)

    def solved(first: Expression, size: int) -> Body:
        """Return what solves for some columns, row by row."""
        step, row = Variable("step"), Variable("row")
        back, other = Variable("back"), Variable("other")
        factor, pivot = Variable("factor", dtype), Variable("pivot", dtype)
        whole, rest = divmod(size, width)
        groups = [(whole, width, 0)] if whole else []
        if rest:
            groups.append((1, rest, whole * width))
        begin: Body = []
        inner: Body = [
            Let(other, back if down else (n - 1) - back),
            Let(factor, element(row, other)),
        ]
        end: Body = []
        for number, (vectors, extent, offset) in enumerate(groups):
            sums = Registers(f"sums{number}", dtype, vectors, width)
            v, lane = Variable(f"v{number}"), Variable(f"lane{number}")
            at = matrix * (n * k) + first + (v * width + offset) + lane

            def each(
                body: Body, vectors: int = vectors, extent: int = extent,
                v: Variable = v, lane: Variable = lane,
            ) -> For:  # fmt: skip
                return For(v, vectors, [Vector(lane, extent, width, body)], UNROLL)

            begin += [sums, each([Set(sums, v, Load(given, at + row * k))])]
            product = Operation("multiply", (factor, Load(wanted, at + other * k)))
            less = Operation("subtract", (Get(sums, v), product))
            inner.append(each([Set(sums, v, less)]))
            value: Expression = Get(sums, v)
            if not unit:
                value = Operation("divide", (value, pivot))
            end.append(each([Store(wanted, at + row * k, value)]))
        if not unit:
            zero = Operation("equal", (pivot, Constant(0.0, dtype)), bool_)
            end = [
                Let(pivot, element(row, row)),
                Store(alarm, ZERO, Constant(1, uint8), zero),
                *end,
            ]
        turn = [Let(row, step if down else (n - 1) - step), *begin]
        return [For(step, n, [*turn, For(back, step, inner), *end])]

    whole, odd = divmod(k, strip)
    full = solved(part * strip, strip) if whole else []
    tail = solved(Constant(whole * strip, int64), odd) if odd else []
    body: Body = [Let(matrix, blocks.place // parts), Let(part, blocks.place % parts)]
    body += [If(part < whole, full, tail)] if whole and odd else full or tail
    buffers = [triangle, given, wanted] + ([] if unit else [alarm])
    contents: list[Hashable] = [a, b, results[0]] + ([] if unit else [ALARM])
    kernel = Kernel(name, buffers, blocks.loop(body), blocks.chunks)
    work = Work(count * n * n * k, a.type.nbytes + 2 * b.type.nbytes)
    return Lowered([Piece(kernel, tuple(contents), work)])


def lower_cholesky(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel of Cholesky's factors.

    Row by row of the upper triangle: a row is divided by the root of its first
    element, and its multiples are subtracted from the rows below.
    """
    (x,) = node.operands
    n, upper = x.shape[-1], node.attributes["upper"]
    if not n:
        return Lowered([])
    dtype = x.dtype
    width = lanes(dtype)
    count = math.prod(x.shape[:-2])
    blocks = Blocks(count, CHUNK_COST // n**3, name="matrix")
    given, wanted = Buffer("x", dtype, x.size), Buffer("y", dtype, x.size, "out")
    alarm = Buffer("alarm", uint8, 1, "out")
    matrix = ScratchMatrix("a", n, n, dtype, width)
    k, below, row = Variable("k"), Variable("below"), Variable("row")
    i, j = Variable("i"), Variable("j")
    pivot, root = Variable("pivot", dtype), Variable("root", dtype)
    factor = Variable("factor", dtype)
    half, zero = Constant(0.5, dtype), Constant(0.0, dtype)
    first = blocks.place * (n * n)

    def scaled(column: Expression) -> Body:
        here = k * matrix.pitch + column
        value = Operation("divide", (Load(matrix.buffer, here), root))
        return [Store(matrix.buffer, here, value)]

    def symmetric(column: Expression) -> Expression:
        there = Operation("multiply", (Load(given, first + i * n + column), half))
        turned = Operation("multiply", (Load(given, first + column * n + i), half))
        return Operation("add", (there, turned))

    start = k // width
    refused = Operation("less_equal", (pivot, zero), bool_)
    turn: Body = [
        Let(pivot, matrix.at(k, k)),
        Store(alarm, ZERO, Constant(1, uint8), refused),
        Let(root, Operation("sqrt", (pivot,))),
        matrix.along(start, scaled),
        For(below, Constant(n - 1, int64) - k, [
            Let(row, k + (below + 1)),
            Let(factor, matrix.at(k, row)),
            matrix.subtracted(row, k, factor, row // width),
        ]),
    ]  # fmt: skip
    source = matrix.at(i, j) if upper else matrix.at(j, i)
    keeps = i <= j if upper else j <= i
    value = Operation("select", (keeps, source, zero), dtype)
    body: Body = [
        *matrix.filled(given, first),
        For(i, n, [matrix.within(lambda column: [
            Store(matrix.buffer, i * matrix.pitch + column, symmetric(column))
        ])]),
        For(k, n, turn),
        For(i, n, [For(j, n, [Store(wanted, first + i * n + j, value)])]),
    ]  # fmt: skip
    kernel = Kernel(
        name, (given, wanted, alarm), blocks.loop(body), blocks.chunks,
        (matrix.buffer,),
    )  # fmt: skip
    work = Work(count * n**3 // 3, 2 * x.type.nbytes)
    return Lowered([Piece(kernel, (x, results[0], ALARM), work)])
