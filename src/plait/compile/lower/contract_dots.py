"""Products whose lanes run along the sum: for few rows or few columns.

Read first: `wants_dots`, `lower_dots`.
"""

from __future__ import annotations

from ..loops.grammar import (
    Body,
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
    Store,
    Variable,
    Vector,
)
from .blocking import MOST_CHUNKS, Facts, ceil
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    as_dtype,
    bind,
    multiply_add,
    smaller,
)

# Of more rows and columns workgroups have tiles.
_FEW = 4
_CHUNK_PRODUCTS = 50_000


def wants_dots(
    contraction: Contraction, left: Operand, right: Operand, facts: Facts
) -> bool:
    """Whether both operands lie along the sum, and copying one would not pay."""
    beside = [
        one.k_stride == 1 or (facts.workgroup > 0 and one.along_sum)
        for one in (left, right)
    ]
    if not all(beside) or not contraction.dtype.is_float:
        return False
    _, m, n, k = contraction.shape
    lanes = facts.lanes(contraction.sum_dtype)
    # Adding up lanes at the end costs as much as some vectors of products.
    few = min(m, n)
    most = _FEW if facts.workgroup else lanes * 3 // 4
    return few <= most and k >= few * lanes


def lower_dots(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    facts: Facts,
    name: str,
) -> list[Piece]:
    """Return the loops of a product, by dot products of several rows and columns."""
    dots = _Dots(contraction, left, right, finish, facts)
    return [Piece(name, dots.chunk(), dots.chunks, (dots.line,))]


class _Dots:
    """Writes the body of the kernel.

    A chunk has some columns of the result, and all rows; or where there are few
    columns, some rows and all columns. `across` is the index of which it has some.
    """

    def __init__(
        self,
        contraction: Contraction,
        left: Operand,
        right: Operand,
        finish: Finish,
        facts: Facts,
    ) -> None:
        self.shape = batch, m, n, k = contraction.shape
        self.dtype = contraction.sum_dtype
        self.facts, self.finish = facts, finish
        self.lanes = facts.lanes(self.dtype)
        self.by_rows = m > n
        # `many` has the index that is cut, `few` the other.
        self.many, self.few = (left, right) if self.by_rows else (right, left)
        self.extent, self.others = (m, n) if self.by_rows else (n, m)
        # One register holds a part of `many`, and one for each of `few`.
        few = 4 if facts.registers >= 32 else 2
        few = min(self.others, few if self.extent > 1 else 1)
        self.few_at_once = few = ceil(self.others, ceil(self.others, few))
        # Of one or two there are as many sums as hide the latency of an addition: more
        # rows would only be more places to read from.
        most = 8 // few if few < 3 else (facts.registers - 2 - few) // few
        self.at_once = min(self.extent, max(1, most))
        products = batch * m * n * k * facts.finer
        wanted = min(MOST_CHUNKS * facts.finer, max(1, products // _CHUNK_PRODUCTS))
        parts = max(1, ceil(wanted, batch))
        line = self.at_once
        if not facts.workgroup:
            line = max(line, self.lanes)
        self.each = ceil(ceil(self.extent, parts), line) * line
        if self.each >= self.extent:
            self.each = self.extent
        self.parts = ceil(self.extent, self.each)
        self.chunks = batch * self.parts
        self.line = Buffer("line", self.dtype, self.few_at_once * self.each, "scratch")

    def chunk(self) -> Body:
        body = Body()
        b = bind(body, "b", Kernel.CHUNK // self.parts)
        part = bind(body, "part", Kernel.CHUNK % self.parts)
        if self.shape.batch == 1:
            b = Constant(0, Kernel.CHUNK.dtype)
            part = Kernel.CHUNK
        if self.chunks == 1:
            part = Constant(0, Kernel.CHUNK.dtype)
        # The last part begins early enough to be whole; only what is new is finished.
        nominal = bind(body, "nominal", part * self.each)
        first = bind(body, "first", smaller(nominal, self.extent - self.each))
        other = Variable("other")
        count = self.few_at_once
        inner = Body()
        o = bind(inner, "o", smaller(other * count, self.others - count))
        group = Variable("group")
        dots = Body()
        at = bind(dots, "at", smaller(group * self.at_once, self.each - self.at_once))
        dots += self.dots(b, first, at, o)
        inner.append(For(group, ceil(self.each, self.at_once), dots))
        new = bind(inner, "new", other * count - o)
        inner += self.finished(b, nominal, first, o, new)
        body.append(For(other, ceil(self.others, count), inner))
        return body

    def dots(
        self, b: Expression, first: Expression, at: Expression, o: Expression
    ) -> Body:
        """Write sums of `at_once` x `few_at_once` elements into `line`."""
        lanes, k = self.lanes, self.shape.k
        lane, step = Variable("lane"), Variable("step")
        places = self.at_once * self.few_at_once
        spread = 1
        while places * spread < 8 and k >= 4 * spread * lanes:
            spread *= 2
        sums = Registers("sums", self.dtype, places * spread, lanes)
        body: Body = [sums]

        def part(k: Expression, extent: int, u: int) -> Body:
            inner = Body()
            few = [
                bind(
                    inner,
                    f"f{u}_{j}",
                    as_dtype(self.few.load(b, o + j, k + lane), self.dtype),
                )
                for j in range(self.few_at_once)
            ]
            for i in range(self.at_once):
                many = bind(
                    inner,
                    f"x{u}_{i}",
                    as_dtype(self.many.load(b, first + at + i, k + lane), self.dtype),
                )
                for j, value in enumerate(few):
                    place = (u * self.at_once + i) * self.few_at_once + j
                    total = multiply_add(many, value, Get(sums, place), self.facts)
                    inner.append(Set(sums, place, total))
            return [Vector(lane, extent, lanes, inner)]

        whole = k // (lanes * spread)
        inner = Body()
        for u in range(spread):
            inner += part(step * (lanes * spread) + u * lanes, lanes, u)
        body.append(For(step, whole, inner))
        done = whole * lanes * spread
        rest = (k - done) // lanes
        if rest:
            more = Variable("more")
            body.append(For(more, rest, part(more * lanes + done, lanes, 0)))
            done += rest * lanes
        if done < k:
            body += part(Constant(done, step.dtype), k - done, 0)
        half = spread // 2
        adds = Body()
        while half:
            for i in range(half * places):
                two = Get(sums, i), Get(sums, i + half * places)
                adds.append(Set(sums, i, Operation("add", two)))
            half //= 2
        if adds:
            body.append(Vector(lane, lanes, lanes, adds))
        for i in range(self.at_once):
            for j in range(self.few_at_once):
                total = Fold("add", sums, i * self.few_at_once + j)
                body.append(Store(self.line, at + (j * self.each + i), total))
        return body

    def finished(
        self,
        b: Expression,
        nominal: Expression,
        first: Expression,
        o: Expression,
        new: Expression,
    ) -> Body:
        """Finish the sums in `line`, from where they are new."""
        lanes = self.lanes
        j, v, lane = Variable("j"), Variable("v"), Variable("lane")

        def vector(inside: Expression, extent: int) -> Body:
            body = Body()
            other = bind(body, "other_at", o + new + j)
            place = bind(body, "place", (new + j) * self.each + inside)
            value = Variable("value", self.dtype)
            inner: Body = [Let(value, Load(self.line, place + lane))]
            index = first + inside + lane
            m, n = (index, other) if self.by_rows else (other, index)
            inner += self.finish(b, m, n, value)
            return [*body, Vector(lane, extent, lanes, inner)]

        def all_of(count: int, start: Expression) -> Body:
            body = Body()
            if count // lanes:
                body.append(For(v, count // lanes, vector(start + v * lanes, lanes)))
            if count % lanes:
                whole = count // lanes * lanes
                body += vector(start + whole, count % lanes)
            return body

        tail = self.extent % self.each
        zero = Constant(0, j.dtype)
        rows: Body
        if not tail:
            rows = all_of(self.each, zero)
        else:
            last = Constant(self.each - tail, j.dtype)
            rows = [
                If(
                    nominal <= self.extent - self.each,
                    all_of(self.each, zero),
                    all_of(tail, last),
                )
            ]
        return [For(j, self.few_at_once - new, rows)]
