"""Products of long sums with a small result: parts of the sum, added up afterwards.

The parts are in a fixed order, and there are as many on every machine: what a sum gives
does not depend on who computes it.

Read first: `parts_of`, `split`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..loops.grammar import (
    Body,
    Buffer,
    Expression,
    For,
    Kernel,
    Let,
    Load,
    Operation,
    Statement,
    Store,
    Variable,
    Vector,
)
from .blocking import Facts, Shape, ceil
from .contract_workgroup import BUSY, tiles_of
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    bind,
    count_from,
    smaller,
    vectors,
)

# A result of so many elements has blocks enough to keep all cores busy.
_MOST_ELEMENTS = 8192
# So much larger must operands be than all parts of a larger result, which lie in caches
# while the operands, read once only, go by.
_LARGER = 4
_MOST_IN_CACHES = 1 << 17
# Multiplications in one part: some microseconds.
_PART_PRODUCTS = 600_000
_MOST_PARTS = 16
_LEAST_STEPS = 512
# Steps of a part that workgroups make, at least.
_LEAST_COPIED = 128
# Elements that one chunk finishes.
_CHUNK_ELEMENTS = 4096


def parts_of(shape: Shape, facts: Facts) -> int:
    """Return how many parts a sum is worth cutting into."""
    size = shape.batch * shape.m * shape.n
    if facts.workgroup:
        tiles = max(1, tiles_of(shape, facts))
        return max(1, min(_MOST_PARTS, shape.k // _LEAST_COPIED, BUSY // tiles))
    if size > _MOST_IN_CACHES:
        return 1
    parts = min(shape.k // _LEAST_STEPS, shape.products // _PART_PRODUCTS)
    if size > _MOST_ELEMENTS:
        read = shape.batch * (shape.m + shape.n) * shape.k
        parts = min(parts, read // (_LARGER * size))
    return max(1, min(_MOST_PARTS, parts))


def split(
    contraction: Contraction,
    operands: tuple[Operand, Operand],
    finish: Finish,
    facts: Facts,
    name: str,
    lower: Callable[[Contraction, Operand, Operand, Finish, str], list[Piece]],
) -> list[Piece]:
    """Return the loops of a product whose sums are cut into parts.

    Args:
        lower: gives the loops of a product that is not cut.
    """
    shape, dtype = contraction.shape, contraction.sum_dtype
    count = parts_of(shape, facts)
    steps = shape.k // count
    rest = shape.k - steps * count
    size = shape.m * shape.n
    slots = count + (rest > 0)
    sums = Buffer("parts", dtype, shape.batch * slots * size, "inout")

    def part(operand: Operand, first: int, count: int) -> Operand:
        def load(b: Expression, outer: Expression, k: Expression) -> Expression:
            return operand.load(b // count, outer, (b % count) * steps + first + k)

        def pairs(b: Expression, outer: Expression, step: Expression) -> Load:
            assert operand.pairs is not None
            start = (b % count) * (steps // 2) + first // 2
            return operand.pairs(b // count, outer, start + step)

        even = operand.pairs is not None and steps % 2 == 0
        return operand._replace(
            load=load, batch_stride=None, pairs=pairs if even else None
        )

    def put(first: int, count: int) -> Finish:
        def finish(
            b: Expression, m: Expression, n: Expression, value: Expression
        ) -> list[Statement]:
            slot = (b // count) * slots + b % count + first
            return [Store(sums, slot * size + m * shape.n + n, value)]

        return finish

    def pieces(first: int, count: int, k: int, name: str) -> list[Piece]:
        left, right = (part(one, first * steps, count) for one in operands)
        cut = shape._replace(batch=shape.batch * count, k=k)
        cut_contraction = contraction._replace(shape=cut)
        return lower(cut_contraction, left, right, put(first, count), name)

    found = pieces(0, count, steps, name)
    if rest:
        found += pieces(count, 1, rest, f"{name}_rest")
    found.append(_added(shape, sums, slots, finish, facts, f"{name}_sum"))
    return found


def _added(
    shape: Shape, sums: Buffer, slots: int, finish: Finish, facts: Facts, name: str
) -> Piece:
    """Return what adds up the parts of each element, and finishes it."""
    dtype, lanes = sums.dtype, facts.lanes(sums.dtype)
    size = shape.m * shape.n
    each = min(shape.m, max(1, _CHUNK_ELEMENTS // facts.finer // shape.n))
    parts = ceil(shape.m, each)
    body, rows = Body(), Body()
    b = bind(body, "b", Kernel.CHUNK // parts)
    first = bind(body, "first", (Kernel.CHUNK % parts) * each)
    count = bind(body, "count", count_from(first, each, shape.m))
    at, lane = Variable("at"), Variable("lane")
    m = bind(rows, "m", smaller(first + at, shape.m - 1))

    def added(start: Expression, extent: int) -> Vector:
        place = b * (slots * size) + m * shape.n + start + lane
        inner = Body()
        total: Expression = Load(sums, place)
        for slot in range(1, slots):
            total = Operation("add", (total, Load(sums, place + slot * size)))
        value = Variable("value", dtype)
        inner.append(Let(value, total))
        inner += finish(b, m, start + lane, value)
        return Vector(lane, extent, lanes, inner)

    rows += vectors(shape.n, lanes, added, "v")
    body.append(For(at, count, rows))
    return Piece(name, body, shape.batch * parts, (), (sums,))
