"""Running reductions along an axis.

Where the axis is not the last one, lanes of a vector are neighbours in memory, and the
running values stay in registers. Along the last axis lanes are rows: a square of
numbers is read, turned, run through, turned back, and written.

Read first: `lower_cumulative`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...dtypes import DType
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
    Statement,
    Store,
    Transpose,
    Variable,
    Vector,
)
from .accumulate import start_of
from .chunk import CHUNK_COST, Blocks
from .lowered import Lanes, Lowered
from .piece import Piece
from .scalar import computed, narrowed, widened

_OPERATIONS = {
    "cumulative_sum": ("add", "sum"),
    "cumulative_product": ("multiply", "product"),
    "cumulative_max": ("maximum", "max"),
}
# Vectors whose running values do not wait for one another.
_TOGETHER = 4
# A square has at most as many rows: more would not fit into registers.
_MOST_ROWS = 16


def lower_cumulative(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered:
    """Return the kernel of a running sum, product or maximum."""
    (x,) = node.operands
    axis = node.attributes["axis"]
    shape = x.shape
    running = _Running(
        node, math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]), lanes
    )
    chunks, body = running.rows() if running.inner == 1 else running.columns()
    kernel = Kernel(name, (running.x, running.y), body, chunks)
    work = Work(x.size, 2 * x.type.nbytes)
    return Lowered([Piece(kernel, (x, results[0]), work)])


class _Running:
    """Memory as [outer][n][inner], along whose middle axis it goes."""

    def __init__(
        self, node: Node, outer: int, n: int, inner: int, lanes: Lanes
    ) -> None:
        self.outer, self.n, self.inner = outer, n, inner
        self.operation, reduction = _OPERATIONS[node.primitive.name]
        self.dtype: DType = computed(node.dtype)
        self.width = lanes(self.dtype)
        self.start = Constant(start_of(reduction, self.dtype), self.dtype)
        self.x = Buffer("x", node.dtype, node.size)
        self.y = Buffer("y", node.dtype, node.size, "out")
        self.count = 0

    def load(self, place: Expression) -> Expression:
        return widened(Load(self.x, place))

    def store(self, place: Expression, value: Expression) -> Statement:
        return Store(self.y, place, narrowed(value, self.y.dtype))

    def combined(self, total: Expression, value: Expression) -> Expression:
        return Operation(self.operation, (total, value), self.dtype)

    def totals(self, count: int, lanes: int) -> tuple[Registers, Body]:
        """Return registers, and what makes them those of nothing."""
        self.count += 1
        totals = Registers(f"total{self.count}", self.dtype, count, lanes)
        at, lane = Variable(f"z{self.count}"), Variable(f"l{self.count}")
        reset: Statement = Set(totals, at, self.start)
        if lanes > 1:
            reset = Vector(lane, lanes, lanes, [reset])
        return totals, [totals, For(at, count, [reset], UNROLL)]

    # Lanes are neighbours in memory

    def columns(self) -> tuple[int, Body]:
        """Return chunks and body for an axis that is not the last one."""
        wide = self.width * _TOGETHER
        whole, rest = divmod(self.inner, wide)
        parts = whole + bool(rest)
        cost = self.n * wide
        blocks = Blocks(self.outer * parts, CHUNK_COST // max(cost, 1), name="block")
        block = blocks.place
        row, part = Variable("row"), Variable("part")
        body: Body = [Let(row, block // parts), Let(part, block % parts)]
        first = Variable("first")
        body.append(Let(first, row * (self.n * self.inner) + part * wide))
        full = self.strip(first, _TOGETHER, 0) if whole else []
        tail = self.strip(first, rest // self.width, rest % self.width)
        if whole and rest:
            body.append(If(part < whole, full, tail))
        else:
            body += full or tail
        return blocks.chunks, blocks.loop(body)

    def strip(self, first: Expression, vectors: int, rest: int) -> Body:
        """Return what goes along the axis for some vectors, and a part of one."""
        body: Body = []
        inner: Body = []
        i = Variable("i")
        parts = [(vectors, self.width, 0)] if vectors else []
        if rest:
            parts.append((1, rest, vectors * self.width))
        for count, extent, offset in parts:
            totals, reset = self.totals(count, self.width)
            body += reset
            v = Variable(f"v{self.count}")
            lane = Variable(f"lane{self.count}")
            place = first + i * self.inner + (v * self.width + offset) + lane
            value = Variable(f"value{self.count}", self.dtype)
            inner.append(
                For(
                    v,
                    count,
                    [
                        Vector(
                            lane,
                            extent,
                            self.width,
                            [
                                Let(
                                    value,
                                    self.combined(Get(totals, v), self.load(place)),
                                ),
                                Set(totals, v, value),
                                self.store(place, value),
                            ],
                        )
                    ],
                    UNROLL,
                )
            )
        return [*body, For(i, self.n, inner)]

    # Lanes are rows

    def rows(self) -> tuple[int, Body]:
        """Return chunks and body for the last axis."""
        size = min(self.width, _MOST_ROWS)
        squares, rest = divmod(self.outer, size)
        if self.n < size // 2:
            squares, rest = 0, self.outer
        each = max(1, CHUNK_COST // max(self.n * size, 1))
        blocks = Blocks(squares, each, name="square")
        others = Blocks(
            rest, max(1, CHUNK_COST // max(4 * self.n, 1)),
            Kernel.CHUNK - (blocks.chunks if squares else 0), "row",
        )  # fmt: skip
        first = Variable("first")
        many: Body = [Let(first, blocks.place * (size * self.n))]
        many += self.square(first, size)
        one: Body = [Let(first, (others.place + squares * size) * self.n)]
        one += self.single(first)
        if not rest:
            return blocks.chunks, blocks.loop(many)
        if not squares:
            return others.chunks, others.loop(one)
        chunks = blocks.chunks + others.chunks
        test = blocks.chunks > Kernel.CHUNK
        return chunks, [If(test, blocks.loop(many), others.loop(one))]

    def square(self, first: Expression, size: int) -> Body:
        """Return what goes along `size` rows at once."""
        totals, body = self.totals(1, size)
        i = Variable("i")
        whole, rest = divmod(self.n, size)
        if whole:
            steps = self.turned(totals, first + i * size, size, size)
            body.append(For(i, whole, steps))
        if rest:
            body += self.turned(totals, first + whole * size, size, rest)
        return body

    def turned(
        self, totals: Registers, first: Expression, size: int, extent: int
    ) -> Body:
        self.count += 1
        tag = self.count
        numbers = Registers(f"square{tag}", self.dtype, size, size)
        row, column = Variable(f"r{tag}"), Variable(f"c{tag}")
        lane = Variable(f"lane{tag}")
        value = Variable(f"value{tag}", self.dtype)
        place = first + row * self.n + lane

        def lanes(name: str, extent: int, body: Body) -> Statement:
            return Vector(lane, extent, size, body)

        return [
            numbers,
            For(row, size, [
                lanes("in", extent, [Set(numbers, row, self.load(place))])
            ], UNROLL),
            Transpose(numbers),
            For(column, extent, [
                lanes("on", size, [
                    Let(value, self.combined(Get(totals, 0), Get(numbers, column))),
                    Set(totals, 0, value),
                    Set(numbers, column, value),
                ])
            ], UNROLL),
            Transpose(numbers),
            For(row, size, [
                lanes("out", extent, [self.store(place, Get(numbers, row))])
            ], UNROLL),
        ]  # fmt: skip

    def single(self, first: Expression) -> Body:
        """Return what goes along one row."""
        totals, body = self.totals(1, 1)
        i = Variable("i")
        value = Variable("value", self.dtype)
        return [
            *body,
            For(
                i,
                self.n,
                [
                    Let(value, self.combined(Get(totals, 0), self.load(first + i))),
                    Set(totals, 0, value),
                    self.store(first + i, value),
                ],
            ),
        ]
