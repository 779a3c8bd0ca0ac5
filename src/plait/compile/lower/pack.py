"""Copies of parts of operands, side by side as the inner loops read them.

A copy may be of another element type. With `pairs` two neighbours along the sum lie in
the halves of 32 bits, as bfloat16, and the sum has half as many steps. A float32 may
also be copied as the sum of several bfloat16, its parts: then the copy of all first
parts is followed by that of all second ones.

Read first: `Copy`, `pack_steps`, `pack_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...dtypes import DType, bfloat16, float32, uint16, uint32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    Fold,
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
        parts: of pairs, how many bfloat16 a number is the sum of.
        apart: how far the parts of an element are from one another.
        scale: what numbers of several parts are multiplied by.
        compact: code shall be small: numbers are copied one by one, if they must turn.
    """

    operand: Operand
    target: Buffer
    k: int
    lanes: int
    pairs: bool
    name: str
    parts: int = 1
    apart: int = 0
    scale: Expression | None = None
    compact: bool = False

    @property
    def steps(self) -> int:
        """Elements of the copy along the sum."""
        return ceil(self.k, 2) if self.pairs else self.k

    @property
    def dtype(self) -> DType:
        """The type of one number, before two of them share an element."""
        if self.parts > 1:
            return float32
        return uint32 if self.pairs else self.target.dtype

    def load(self, b: Expression, outer: Expression, k: Expression) -> Expression:
        """Return a number of the operand as it will be copied."""
        value = self.operand.load(b, outer, k)
        if not self.pairs:
            return as_dtype(value, self.dtype)
        if self.parts > 1:
            value = as_dtype(value, float32)
            if self.scale is None:
                return value
            return Operation("multiply", (value, self.scale))
        bits = Operation("bitcast", (as_dtype(value, bfloat16),), uint16)
        return Operation("cast", (bits,), uint32)

    def elements(
        self, body: Body, first: Expression, second: Expression | None, mark: str = ""
    ) -> list[Expression]:
        """Return the parts of an element, of a number and its neighbour, if any.

        Args:
            mark: distinguishes the names bound in `body`.
        """
        if self.parts == 1:
            return [first if second is None else pair(first, second)]
        name, shift = f"{self.name}_a{mark}", Constant(16, uint32)
        found = [
            Operation("bitwise_right_shift", (part, shift))
            for part in _parts(body, first, self.parts, name)
        ]
        if second is not None:
            parts = _parts(body, second, self.parts, f"{self.name}_b{mark}")
            for i, part in enumerate(parts):
                found[i] = Operation("bitwise_or", (found[i], part))
        return [*found]

    def stored(self, place: Expression, elements: list[Expression]) -> Body:
        """Return what stores the parts of an element."""
        return [
            Store(self.target, place + part * self.apart, value)
            for part, value in enumerate(elements)
        ]

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
        second = None
        if self.pairs:
            first = self.load(b, column + lane, step * 2)
            if not odd:
                second = self.load(b, column + lane, step * 2 + 1)
        else:
            first = self.load(b, column + lane, step)
        inner = Body()
        values = self.elements(inner, first, second)
        to = place + step * (vectors * lanes) + v * lanes + lane
        if not tail or v < vectors - 1:
            return [Vector(lane, lanes, lanes, inner + self.stored(to, values))]
        edge = Registers(f"{self.name}_edge", self.target.dtype, self.parts, lanes)
        inner += [Set(edge, part, value) for part, value in enumerate(values)]
        kept: list[Expression] = [Get(edge, part) for part in range(self.parts)]
        return [
            edge,
            Vector(lane, tail, lanes, inner),
            Vector(lane, lanes, lanes, self.stored(to, kept)),
        ]


def pair(low: Expression, high: Expression) -> Expression:
    """Return 32 bits with two numbers of 16, given in 32 each."""
    upper = Operation("bitwise_left_shift", (high, Constant(16, uint32)))
    return Operation("bitwise_or", (low, upper))


def _parts(body: Body, value: Expression, count: int, name: str) -> list[Expression]:
    """Return bfloat16, as the upper halves of 32 bits, whose sum is about `value`.

    Each is the nearest to what is left; of two, the one farther from 0. What is left
    then is exact, and after three parts nothing is: 8 bits in each and a sign make 24.
    """
    found: list[Expression] = []
    for part in range(count):
        value = bind(body, f"{name}{part}", value)
        bits = Operation("bitcast", (value,), uint32)
        bits = Operation("add", (bits, Constant(0x8000, uint32)))
        upper: Expression = Operation(
            "bitwise_and", (bits, Constant(0xFFFF0000, uint32))
        )
        upper = bind(body, f"{name}{part}_near", upper)
        found.append(upper)
        if part < count - 1:
            near = Operation("bitcast", (upper,), float32)
            value = Operation("subtract", (value, near))
    return found


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
    along = copy.operand.k_stride == 1 and copy.operand.outer_stride != 1
    if along and not copy.compact:
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
                pair = Get(numbers, u), Get(numbers, u + 1)
                values = copy.elements(stores, *pair, str(u))
                to = place + (half + u // 2) * pitch + lane
                stores += copy.stored(to, values)
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


def pack_row_pairs(
    copy: Copy,
    b: Expression,
    row: Expression,
    rows: int,
    place: Expression,
    pitch: int,
    steps: int,
) -> Body:
    """Return what copies rows of pairs, `pitch` apart, with zeros up to `steps`."""
    lanes, lane = copy.lanes, Variable("lane")
    body = Body()
    if copy.steps < steps:
        r, empty = Variable("padded_row"), Constant(0, uint32)
        to = place + r * pitch + copy.steps + lane
        zeros = copy.stored(to, [empty] * copy.parts)
        body.append(For(r, rows, [Vector(lane, steps - copy.steps, lanes, zeros)]))
    if copy.operand.outer_stride == 1 and copy.operand.k_stride != 1:
        return body + _rows_turned(copy, b, row, rows, place, pitch)
    step, r = Variable("copy_k"), Variable("copy_row")

    def part(start: Expression, extent: int, odd: bool = False) -> Body:
        first = copy.load(b, row + r, (start + lane) * 2)
        second = None if odd else copy.load(b, row + r, (start + lane) * 2 + 1)
        to = place + r * pitch + start + lane
        inner = Body()
        values = copy.elements(inner, first, second)
        return [Vector(lane, extent, lanes, inner + copy.stored(to, values))]

    inner, whole = Body(), copy.k // 2
    if whole // lanes:
        inner.append(For(step, whole // lanes, part(step * lanes, lanes)))
    if whole % lanes:
        start = Constant(whole // lanes * lanes, step.dtype)
        inner += part(start, whole % lanes)
    if copy.k % 2:
        inner += part(Constant(whole, step.dtype), 1, odd=True)
    return [*body, For(r, rows, inner)]


def _rows_turned(
    copy: Copy, b: Expression, row: Expression, rows: int, place: Expression, pitch: int
) -> Body:
    """Copy pairs of rows that do not lie along the sum: squares are transposed."""
    lanes, lane = copy.lanes, Variable("lane")
    at, group = Variable("copy_k"), Variable("copy_rows")
    high = min(rows, lanes)

    def square(first: Expression, start: Expression, count: int, odd: bool) -> Body:
        """Copy `count` steps, the last one without its second if `odd`."""
        numbers = [
            Registers(f"{copy.name}_{name}", copy.dtype, lanes, lanes)
            for name in ("first", "second")
        ]
        loads, stores = Body(), Body()
        for u in range(count):
            for second, kept in enumerate(numbers):
                if not (odd and second and u == count - 1):
                    k = (start + u) * 2 + second
                    loads.append(Set(kept, u, copy.load(b, row + first + lane, k)))
        for r in range(high):
            pair = Get(numbers[0], r), Get(numbers[1], r)
            values = copy.elements(stores, *pair, str(r))
            to = place + (first + r) * pitch + start + lane
            stores += copy.stored(to, values)
        return [
            *numbers,
            Vector(lane, high, lanes, loads),
            *(Transpose(one) for one in numbers),
            Vector(lane, count, lanes, stores),
        ]

    inner = Body()
    first = bind(inner, f"{copy.name}_row", smaller(group * high, rows - high))
    whole = copy.steps if copy.k % 2 == 0 else copy.steps - 1
    if whole // lanes:
        inner.append(
            For(at, whole // lanes, square(first, at * lanes, lanes, odd=False))
        )
    done = whole // lanes * lanes
    if done < copy.steps:
        start = Constant(done, at.dtype)
        inner += square(first, start, copy.steps - done, odd=copy.k % 2 == 1)
    return [For(group, ceil(rows, high), inner)]


def extremes(
    operand: Operand,
    b: Expression,
    starts: list[Expression],
    extent: int,
    tail: int,
    k: int,
    lanes: int,
    name: str,
) -> tuple[Body, Expression, Expression]:
    """Return what finds the largest and the least magnitude in parts of an operand, and
    the bits of both; zeros do not count for the latter.

    As numbers, the bits of float32 magnitudes are in their order; those of infinity and
    nan are the largest.

    Args:
        starts, extent: `extent` outer indices from each of `starts`.
        tail: outer indices from the last of them, if not as many.
        lanes: at least `extent`.
    """
    top = Registers(f"{name}_top", uint32, 1, lanes)
    # Negated bits, so that the largest of them counts.
    low = Registers(f"{name}_low", uint32, 1, lanes)
    step, r, lane = Variable(f"{name}_k"), Variable(f"{name}_r"), Variable("lane")

    def looked(outer: Expression, k: Expression, count: int) -> Body:
        value = as_dtype(operand.load(b, outer, k), float32)
        bits = Operation("bitcast", (value,), uint32)
        inner = Body()
        bits = Operation("bitwise_and", (bits, Constant(0x7FFFFFFF, uint32)))
        size = bind(inner, f"{name}_size", bits)
        inner.append(Set(top, 0, Operation("maximum", (Get(top, 0), size))))
        # Of zero it is zero, and does not count.
        rest = Operation("subtract", (Constant(0, uint32), size))
        inner.append(Set(low, 0, Operation("maximum", (Get(low, 0), rest))))
        return [Vector(lane, count, lanes, inner)]

    body: Body = [top, low]
    firsts = [bind(body, f"{name}_s{i}", first) for i, first in enumerate(starts)]
    extents = [*[extent] * (len(starts) - 1), tail or extent]
    if operand.outer_stride == 1 and operand.k_stride != 1:
        inner = Body()
        for first, count in zip(firsts, extents, strict=True):
            inner += looked(first + lane, step, count)
        body.append(For(step, k, inner))
    else:
        for first, count in zip(firsts, extents, strict=True):
            inner = Body()
            if k // lanes:
                whole = looked(first + r, step * lanes + lane, lanes)
                inner.append(For(step, k // lanes, whole))
            if k % lanes:
                inner += looked(first + r, lane + k // lanes * lanes, k % lanes)
            body.append(For(r, count, inner))
    least = Operation("subtract", (Constant(0, uint32), Fold("maximum", low)))
    return body, Fold("maximum", top), least
