"""Copies of parts of operands, side by side as the inner loops read them.

A copy may be of another element type. With `pairs` two neighbours along the sum lie in
the halves of 32 bits, as bfloat16, and the sum has half as many steps.

Read first: `Copy`, `pack_steps`, `pack_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...dtypes import DType, bfloat16, uint16, uint32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Operation,
    Registers,
    Set,
    Store,
    Transpose,
    Variable,
    Vector,
)
from .blocking import ceil
from .product import Operand, as_dtype, bind, smaller


class Copy(NamedTuple):
    """What is common to all parts of a copy.

    Attributes:
        operand: what is copied.
        target: the memory to copy to.
        k: how many numbers are summed up.
        lanes: of a vector.
        pairs: two steps of the sum share an element.
        name: distinguishes the names bound in its code.
    """

    operand: Operand
    target: Buffer
    k: int
    lanes: int
    pairs: bool
    name: str

    @property
    def steps(self) -> int:
        """Elements of the copy along the sum."""
        return ceil(self.k, 2) if self.pairs else self.k

    @property
    def dtype(self) -> DType:
        """The type of one number, before two of them share an element."""
        return uint32 if self.pairs else self.target.dtype

    def load(self, b: Expression, outer: Expression, k: Expression) -> Expression:
        """Return a number of the operand as it will be copied."""
        value = self.operand.load(b, outer, k)
        if not self.pairs:
            return as_dtype(value, self.dtype)
        bits = Operation("bitcast", (as_dtype(value, bfloat16),), uint16)
        return Operation("cast", (bits,), uint32)

    def vector(
        self,
        b: Expression,
        column: Expression,
        step: Expression,
        v: int,
        vectors: int,
        tail: int,
        place: Expression,
        odd: bool,
    ) -> Body:
        """Copy one vector at one step; `odd` if a pair lacks its second."""
        lane = Variable("lane")
        lanes = self.lanes
        if self.pairs:
            value = self.load(b, column + lane, step * 2)
            if not odd:
                value = _paired(value, self.load(b, column + lane, step * 2 + 1))
        else:
            value = self.load(b, column + lane, step)
        to = place + step * (vectors * lanes) + v * lanes + lane
        if not tail or v < vectors - 1:
            return [Vector(lane, lanes, lanes, [Store(self.target, to, value)])]
        edge = Registers(f"{self.name}_edge", self.target.dtype, 1, lanes)
        return [
            edge,
            Vector(lane, tail, lanes, [Set(edge, 0, value)]),
            Vector(lane, lanes, lanes, [Store(self.target, to, Get(edge, 0))]),
        ]


def _paired(low: Expression, high: Expression) -> Expression:
    upper = Operation("bitwise_left_shift", (high, Constant(16, uint32)))
    return Operation("bitwise_or", (low, upper))


def pack_steps(
    copy: Copy,
    b: Expression,
    column: Callable[[int], Expression],
    vectors: int,
    tail: int,
    place: Expression,
) -> Body:
    """Return what copies some vectors of outer indices, as [step][vectors * lanes].

    Args:
        column: the first outer index of each vector.
        tail: how many outer indices the last vector has, if not all; zeros fill it.
        place: where the copy begins.
    """
    pitch = vectors * copy.lanes
    body = Body()
    columns = [bind(body, f"{copy.name}_c{v}", column(v)) for v in range(vectors)]
    if copy.operand.k_stride == 1 and copy.operand.outer_stride != 1:
        squares = Body()
        if not tail and vectors > 1:
            each = Variable(f"{copy.name}_vector")
            first = columns[0] + each * copy.lanes
            last = column(vectors - 1)
            # As `column`, for a vector that is not known before it runs.
            first = bind(squares, f"{copy.name}_first", smaller_of(first, last))
            to = place + each * copy.lanes
            squares += _turned(copy, b, first, copy.lanes, to, pitch, copy.name)
            return [*body, For(each, vectors, squares)]
        for v in range(vectors):
            rows = tail if tail and v == vectors - 1 else copy.lanes
            name = f"{copy.name}{v}"
            to = place + v * copy.lanes
            body += _turned(copy, b, columns[v], rows, to, pitch, name)
        return body
    step = Variable(f"{copy.name}_step")

    def at(step: Expression, odd: bool) -> Body:
        inner = Body()
        for v, column in enumerate(columns):
            inner += copy.vector(b, column, step, v, vectors, tail, place, odd)
        return inner

    whole = copy.k // 2 if copy.pairs else copy.k
    body.append(For(step, whole, at(step, False)))
    if whole < copy.steps:
        body += at(Constant(whole, step.dtype), True)
    return body


def smaller_of(x: Expression, y: Expression) -> Expression:
    """Return the smaller of two indices."""
    return Operation("minimum", (x, y))


def _turned(
    copy: Copy,
    b: Expression,
    first: Expression,
    columns: int,
    place: Expression,
    pitch: int,
    name: str,
) -> Body:
    """Copy columns that lie along the sum: squares of numbers are transposed."""
    lanes, k = copy.lanes, copy.k
    lane, at = Variable("lane"), Variable(f"{name}_at")

    def square(start: Expression, extent: int, name: str) -> Body:
        numbers = Registers(f"{name}_square", copy.dtype, lanes, lanes)
        loads: Body = [
            Set(numbers, u, copy.load(b, first + u, start + lane))
            for u in range(columns)
        ]
        stores = Body()
        if copy.pairs:
            half = bind(stores, f"{name}_half", start // 2)
            for u in range(0, extent, 2):
                value = _paired(Get(numbers, u), Get(numbers, u + 1))
                to = place + (half + u // 2) * pitch + lane
                stores.append(Store(copy.target, to, value))
        else:
            for u in range(extent):
                to = place + (start + u) * pitch + lane
                stores.append(Store(copy.target, to, Get(numbers, u)))
        return [
            numbers,
            Vector(lane, extent, lanes, loads),
            Transpose(numbers),
            Vector(lane, lanes, lanes, stores),
        ]

    if k < lanes:
        return square(Constant(0, at.dtype), k, name)
    inner = Body()
    if copy.pairs:
        # Pairs must begin at even numbers.
        inner = square(at * lanes, lanes, name)
        body: Body = [For(at, k // lanes, inner)]
        if k % lanes:
            last = Constant(k // lanes * lanes, at.dtype)
            body += square(last, k % lanes, f"{name}_end")
        return body
    # The last square begins early enough to be whole.
    start = at * lanes if k % lanes == 0 else smaller(at * lanes, k - lanes)
    start = bind(inner, f"{name}_k", start)
    return [For(at, ceil(k, lanes), inner + square(start, lanes, name))]


def pack_rows(
    copy: Copy,
    b: Expression,
    row: Expression,
    rows: Expression | int,
    place: Expression,
    pitch: int,
) -> Body:
    """Return what copies rows, one after another, `pitch` apart."""
    lanes, k = copy.lanes, copy.k
    lane, step, r = Variable("lane"), Variable("copy_k"), Variable("copy_row")

    def part(start: Expression, extent: int) -> Body:
        value = copy.load(b, row + r, start + lane)
        to = place + r * pitch + start + lane
        return [Vector(lane, extent, lanes, [Store(copy.target, to, value)])]

    inner = Body()
    whole = k // lanes
    if whole:
        inner.append(For(step, whole, part(step * lanes, lanes)))
    if k % lanes:
        inner += part(Constant(whole * lanes, step.dtype), k % lanes)
    return [For(r, rows, inner)]


def row_pitch(k: int, lanes: int) -> int:
    """Return how far rows of a copy are apart.

    An odd number of vectors: rows must not share their places in the cache.
    """
    return (ceil(k, lanes) | 1) * lanes
