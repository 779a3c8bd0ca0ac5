"""Small matrices: Gauss elimination with row exchanges, for systems and determinants.

A matrix is copied to scratch memory, with rows of whole vectors. Threads share the
matrices of a stack.

Read first: `lower_solve`, `ScratchMatrix`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from ...dtypes import DType, bool_, int64, uint8
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
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
    Statement,
    Store,
    Variable,
    Vector,
)
from .chunk import CHUNK_COST, Blocks
from .index import ZERO
from .lowered import Lanes, Lowered
from .memory import ALARM
from .piece import Piece


def lower_solve(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel that solves systems of linear equations."""
    a, b = node.operands
    n, k = b.shape[-2:]
    if not n:
        return Lowered([])
    width = lanes(node.dtype)
    right = ScratchMatrix("b", n, k, node.dtype, width)
    elimination = _Elimination(n, node.dtype, width, right)
    given, wanted = Buffer("a", a.dtype, a.size), Buffer("y", b.dtype, b.size, "out")
    values = Buffer("x", b.dtype, b.size)
    alarm = Buffer("alarm", uint8, 1, "out")
    count = math.prod(b.shape[:-2])
    cost = n * n * (n + k)
    blocks = Blocks(count, CHUNK_COST // cost, name="matrix")
    matrix = elimination.left
    body = [
        *matrix.filled(given, blocks.place * (n * n)),
        *right.filled(values, blocks.place * (n * k)),
        *elimination.steps(),
        Store(alarm, ZERO, Constant(1, uint8), elimination.failed()),
        *_substituted(matrix, right),
        *right.copied(wanted, blocks.place * (n * k)),
    ]
    kernel = Kernel(
        name, (given, values, wanted, alarm), blocks.loop(body), blocks.chunks,
        (matrix.buffer, right.buffer),
    )  # fmt: skip
    work = Work(2 * count * cost, a.type.nbytes + 2 * b.type.nbytes)
    return Lowered([Piece(kernel, (a, b, results[0], ALARM), work)])


def lower_determinant(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel of determinants, or of their signs and logarithms."""
    (x,) = node.operands
    n = x.shape[-1]
    dtype = x.dtype
    elimination = _Elimination(n, dtype, lanes(dtype))
    count = math.prod(x.shape[:-2])
    blocks = Blocks(count, CHUNK_COST // max(n**3, 1), name="matrix")
    given = Buffer("x", dtype, x.size)
    outs = [Buffer(f"y{i}", dtype, count, "out") for i in range(len(results))]
    total = Registers("total", dtype)
    sign = Registers("product", dtype)
    i, pivot = Variable("i"), Variable("pivot", dtype)
    one, zero = Constant(1.0, dtype), Constant(0.0, dtype)
    matrix = elimination.left
    # Exchanged rows change the sign.
    choices = (elimination.is_odd(), Constant(-1.0, dtype), one)
    begin = Operation("select", choices, dtype)
    turn: Body = [Let(pivot, matrix.at(i, i))]
    if len(results) == 1:
        turn.append(Set(sign, 0, Operation("multiply", (Get(sign), pivot))))
    else:
        less = Operation("less", (pivot, zero), bool_)
        greater = Operation("less", (zero, pivot), bool_)
        flat = Operation("select", (greater, one, pivot), dtype)  # 0, or nan
        unit = Operation("select", (less, Constant(-1.0, dtype), flat), dtype)
        size = Operation("log", (Operation("abs", (pivot,)),))
        turn += [
            Set(sign, 0, Operation("multiply", (Get(sign), unit))),
            Set(total, 0, Operation("add", (Get(total), size))),
        ]
    body: Body = [
        *matrix.filled(given, blocks.place * (n * n)),
        *elimination.steps(),
        sign,
        total,
        Set(sign, 0, begin),
        For(i, n, turn),
        Store(outs[0], blocks.place, Get(sign)),
    ]
    if len(results) > 1:
        body.append(Store(outs[1], blocks.place, Get(total)))
    kernel = Kernel(
        name, (given, *outs), blocks.loop(body), blocks.chunks, (matrix.buffer,)
    )
    return Lowered([Piece(kernel, (x, *results), Work(count * n**3, x.type.nbytes))])


class ScratchMatrix:
    """A matrix in scratch memory, whose rows are whole vectors."""

    def __init__(
        self, name: str, rows: int, columns: int, dtype: DType, width: int
    ) -> None:
        self.name, self.rows, self.columns = name, rows, columns
        self.dtype, self.width = dtype, width
        self.vectors = -(-columns // width)
        self.pitch = self.vectors * width
        self.buffer = Buffer(f"{name}_rows", dtype, rows * self.pitch, "scratch")
        self._count = 0

    def name_of(self, what: str) -> str:
        """Return a new name."""
        self._count += 1
        return f"{self.name}_{what}{self._count}"

    def at(self, row: Expression, column: Expression) -> Expression:
        """Return an element."""
        return Load(self.buffer, row * self.pitch + column)

    def filled(self, source: Buffer, first: Expression) -> Body:
        """Return what copies a matrix from memory, with zeros up to whole vectors."""
        return [self._each(source, first, True)]

    def copied(self, target: Buffer, first: Expression) -> Body:
        """Return what copies the matrix to memory."""
        return [self._each(target, first, False)]

    def _each(self, buffer: Buffer, first: Expression, fills: bool) -> Statement:
        row, lane = Variable(self.name_of("row")), Variable(self.name_of("lane"))
        body: Body = []
        for v in range(self.vectors):
            extent = min(self.width, self.columns - v * self.width)
            here = row * self.pitch + (lane + v * self.width)
            there = first + row * self.columns + (lane + v * self.width)
            if fills:
                if extent < self.width:
                    zero = Store(self.buffer, here, Constant(0.0, self.dtype))
                    body.append(Vector(lane, self.width, self.width, [zero]))
                inside: Statement = Store(self.buffer, here, Load(buffer, there))
            else:
                inside = Store(buffer, there, Load(self.buffer, here))
            body.append(Vector(lane, extent, self.width, [inside]))
        return For(row, self.rows, body)

    def along(
        self, start: Expression | int, write: Callable[[Expression], Body]
    ) -> Statement:
        """Return a loop over the vectors of a row, from vector `start` on.

        Args:
            write: given the column of each lane, returns what is done there.
        """
        v, lane = Variable(self.name_of("v")), Variable(self.name_of("lane"))
        first = Variable(self.name_of("first"))
        extent: Expression | int = self.vectors
        place: Expression = v * self.width
        if isinstance(start, Expression) or start:
            extent = Constant(self.vectors, int64) - start
            place = (v + start) * self.width
        body: Body = [Let(first, place)]
        inside = write(first + lane)
        body.append(Vector(lane, self.width, self.width, inside))
        return For(v, extent, body)

    def within(self, write: Callable[[Expression], Body]) -> For:
        """Return a loop over the vectors of a row, whose lanes lie in the matrix."""
        column, lane = Variable(self.name_of("column")), Variable(self.name_of("lane"))
        whole, rest = divmod(self.columns, self.width)
        vectors = [(self.width, v * self.width) for v in range(whole)]
        if rest:
            vectors.append((rest, whole * self.width))
        body: Body = [
            Vector(lane, extent, self.width, [
                Let(column, lane + start), *write(column)
            ])
            for extent, start in vectors
        ]  # fmt: skip
        return For(Variable(self.name_of("once")), 1, body)

    def exchanged(self, i: Expression, j: Expression, start: Expression) -> Statement:
        """Return what exchanges two rows."""
        x = Variable(self.name_of("x"), self.dtype)
        y = Variable(self.name_of("y"), self.dtype)

        def write(column: Expression) -> Body:
            one, other = i * self.pitch + column, j * self.pitch + column
            return [
                Let(x, Load(self.buffer, one)),
                Let(y, Load(self.buffer, other)),
                Store(self.buffer, one, y),
                Store(self.buffer, other, x),
            ]

        return self.along(start, write)

    def subtracted(
        self,
        target: Expression,
        source: Expression,
        factor: Expression,
        start: Expression | int,
    ) -> Statement:
        """Return what subtracts a multiple of a row from another."""

        def write(column: Expression) -> Body:
            here = target * self.pitch + column
            there = Load(self.buffer, source * self.pitch + column)
            product = Operation("multiply", (factor, there))
            value = Operation("subtract", (Load(self.buffer, here), product))
            return [Store(self.buffer, here, value)]

        return self.along(start, write)


class _Elimination:
    """What makes a matrix upper triangular; right-hand sides go along."""

    def __init__(
        self, n: int, dtype: DType, width: int, right: ScratchMatrix | None = None
    ) -> None:
        self.n, self.dtype = n, dtype
        self.left = ScratchMatrix("a", n, n, dtype, width)
        self.right = right
        self.exchanges = Registers("exchanges", int64)
        self.bad = Registers("bad", int64)

    def is_odd(self) -> Expression:
        """Return whether rows were exchanged an odd number of times."""
        return Operation("equal", (Get(self.exchanges) % 2, Constant(1, int64)), bool_)

    def failed(self) -> Expression:
        """Return whether a pivot was 0."""
        return Operation("not_equal", (Get(self.bad), ZERO), bool_)

    def steps(self) -> Body:
        """Return the elimination of all columns."""
        left, dtype, n = self.left, self.dtype, self.n
        k, below = Variable("k"), Variable("below")
        best, where = Registers("best", dtype), Registers("where", int64)
        size, place = Variable("size", dtype), Variable("place")
        chosen, pivot = Variable("chosen"), Variable("divisor", dtype)
        row, factor = Variable("eliminated"), Variable("factor", dtype)
        greater = Variable("greater", bool_)
        look: Body = [
            Let(place, k + below),
            Let(size, Operation("abs", (left.at(place, k),))),
            Let(greater, Operation("less", (Get(best), size), bool_)),
            Set(best, 0, Operation("select", (greater, size, Get(best)), dtype)),
            Set(where, 0, Operation("select", (greater, place, Get(where)), int64)),
        ]
        high = Operation("maximum", (Get(where), k), int64)
        last = Constant(n - 1, int64)
        start = k // left.width
        moved = Operation("not_equal", (chosen, k), bool_)
        both = [left.exchanged(k, chosen, start)]
        update = [left.subtracted(row, k, factor, start)]
        if self.right is not None:
            both.append(self.right.exchanged(k, chosen, ZERO))
            update.append(self.right.subtracted(row, k, factor, 0))
        both.append(Set(self.exchanges, 0, Get(self.exchanges) + 1))
        zero = Operation("equal", (pivot, Constant(0.0, dtype)), bool_)
        one = Operation("cast", (zero,), int64)
        ratio = Operation("divide", (left.at(row, k), pivot))
        nothing = Operation("equal", (factor, Constant(0.0, dtype)), bool_)
        turn: Body = [
            best,
            where,
            Set(best, 0, Constant(-1.0, dtype)),
            Set(where, 0, k),
            For(below, Constant(n, int64) - k, look),
            Let(chosen, Operation("minimum", (high, last), int64)),
            If(moved, both),
            Let(pivot, left.at(k, k)),
            Set(self.bad, 0, Get(self.bad) + one),
            # With a pivot of 0 nothing but zeros is below.
            If(zero, [], [
                For(below, Constant(n - 1, int64) - k, [
                    Let(row, k + (below + 1)),
                    Let(factor, ratio),
                    If(nothing, [], update),
                ])
            ]),
        ]  # fmt: skip
        return [self.exchanges, self.bad, For(k, n, turn)]


def _substituted(left: ScratchMatrix, right: ScratchMatrix) -> Body:
    """Return what solves an upper triangular system in place, from the last row up."""
    up, row, j = Variable("up"), Variable("solved"), Variable("known")
    column, factor = Variable("column"), Variable("multiple", left.dtype)
    pivot = Variable("last_divisor", left.dtype)
    n = left.rows

    def divide(at: Expression) -> Body:
        here = row * right.pitch + at
        value = Operation("divide", (Load(right.buffer, here), pivot))
        return [Store(right.buffer, here, value)]

    body: Body = [
        Let(row, (n - 1) - up),
        For(j, up, [
            Let(column, row + (j + 1)),
            Let(factor, left.at(row, column)),
            right.subtracted(row, column, factor, 0),
        ]),
        Let(pivot, left.at(row, row)),
        right.along(0, divide),
    ]  # fmt: skip
    return [For(up, n, body)]
