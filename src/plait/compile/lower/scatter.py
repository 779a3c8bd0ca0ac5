"""Writing at positions that are data, in the order of the updates.

The result begins as a copy of the operand, or is filled if that is one number. Threads
share the axes that all updates have alike, so that the updates of an element come in
order whoever does them.

Read first: `lower_scatter`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...dtypes import bool_, float32, int64, uint8
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    If,
    Kernel,
    Let,
    Load,
    Operation,
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
from .scalar import computed, narrowed, widened

_OPERATIONS = {"add": "add", "multiply": "multiply", "max": "maximum", "min": "minimum"}
# Vectors of neighbours that one turn updates.
_TOGETHER = 4
# What is larger is filled by a kernel of its own unless so many strips of about so many
# neighbours are updated independently.
_ALONE = 1 << 16
_STRIPS, _STRIP = 4, 64


def filling(node: Node) -> float | int | bool | None:
    """Return the number that all of the operand is, if the kernel fills the result."""
    x, _, updates = node.operands
    if x.primitive.name != "expand" or x.operands[0].primitive.name != "constant":
        return None
    axis = node.attributes["axis"]
    strips = math.prod(x.shape[:axis]) * -(-math.prod(x.shape[axis + 1 :]) // _STRIP)
    narrow = node.dtype.is_float and node.dtype.bits == 16
    if narrow or not updates.size or not x.shape[axis] or x.operands[0].size != 1:
        return None
    if strips < _STRIPS and node.size > _ALONE:
        return None
    value: float | int | bool = x.operands[0].attributes["value"].array.item()
    return value


def lower_scatter(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel that puts updates into a copy of an operand."""
    x, indices, updates = node.operands
    if not updates.size:
        return Lowered([], x)
    axis, batch, mode = (node.attributes[key] for key in ("axis", "batch", "mode"))
    shape = x.shape
    lead, outer = math.prod(shape[:batch]), math.prod(shape[batch:axis])
    n, inner = shape[axis], math.prod(shape[axis + 1 :])
    if not n:
        return None  # every index is wrong
    count = math.prod(indices.shape[batch:])
    narrow = node.dtype.is_float and node.dtype.bits == 16 and mode != "set"
    value = filling(node)
    access = "inout" if value is None else "out"
    result = Buffer("y", node.dtype, node.size, access)
    total = Buffer("sums", float32, node.size, "inout") if narrow else result
    places = Buffer("places", int64, indices.size)
    new = Buffer("updates", node.dtype, updates.size)
    alarm = Buffer("alarm", uint8, 1, "out")

    width = lanes(computed(node.dtype))
    strip = min(inner, width * _TOGETHER)
    parts = -(-inner // strip)
    cost = 2 * count * (strip if inner > 1 else 4)
    blocks = Blocks(lead * outer * parts, CHUNK_COST // max(cost, 1), name="block")
    row, part = Variable("row"), Variable("part")
    k, found, at = Variable("k"), Variable("found"), Variable("at")
    zero, last = ZERO, Constant(max(n - 1, 0), int64)
    loaded = Load(places, (row // outer) * count + k)
    low = Operation("maximum", (found, zero), int64)
    wrong = Operation("not_equal", (at, found), bool_)
    old_row, new_row = Variable("old"), Variable("new")
    turn: Body = [
        Let(found, loaded),
        Let(at, Operation("minimum", (low, last), int64)),
        Store(alarm, zero, Constant(1, uint8), wrong),
        Let(old_row, (row * n + at) * inner),
        Let(new_row, (row * count + k) * inner),
    ]

    def combined(to: Expression, source: Expression) -> Body:
        value: Expression = Load(new, source)
        if mode != "set":
            old = widened(Load(total, to))
            operands = (old, widened(value))
            value = Operation(_OPERATIONS[mode], operands, computed(node.dtype))
            value = narrowed(value, total.dtype)
        return [Store(total, to, value)]

    def vectors(size: int) -> list[tuple[int, int, int]]:
        """Return how many vectors of so many neighbours there are, and from where."""
        whole, rest = divmod(size, width)
        return [(whole, width, 0)] * (whole > 0) + [(1, rest, size - rest)] * (rest > 0)

    def neighbours(first: Expression, size: int) -> Body:
        body: Body = []
        for each, extent, offset in vectors(size):
            v, lane = Variable(f"v{offset}"), Variable(f"lane{offset}")
            place = first + (v * width + offset) + lane
            inside = combined(old_row + place, new_row + place)
            body.append(For(v, each, [Vector(lane, extent, width, inside)], UNROLL))
        return body

    def loop(rest: Body) -> Body:
        return [For(k, count, [*turn, *rest])]

    line = Variable("line")

    def filled(first: Expression, size: int) -> Body:
        """Return what fills neighbours from a place on."""
        if value is None:
            return []
        constant, body = Constant(value, node.dtype), list[Statement]()
        for each, extent, offset in vectors(size):
            v, lane = Variable(f"f{offset}"), Variable(f"to{offset}")
            place = first + (v * width + offset) + lane
            store = Store(result, place, constant)
            body.append(For(v, each, [Vector(lane, extent, width, [store])]))
        return body

    def begun(first: Expression, size: int) -> Body:
        """Return what fills the same part of each line."""
        body = filled((row * n + line) * inner + first, size)
        return [For(line, n, body)] if body else []

    body: Body = [Let(row, blocks.place // parts), Let(part, blocks.place % parts)]
    if inner == 1:
        body += [*filled(row * n, n), *loop(combined(old_row, new_row))]
    else:
        whole, odd = divmod(inner, strip)
        full, tail = (
            [*begun(first, size), *loop(neighbours(first, size))] if size else []
            for first, size in (
                (part * strip, strip if whole else 0),
                (Constant(whole * strip, int64), odd),
            )
        )
        body += [If(part < whole, full, tail)] if whole and odd else full or tail
    used = [total, places, new, alarm]
    contents: list[Hashable] = [results[0], indices, updates, ALARM]
    kernel = Kernel(name, used, blocks.loop(body), blocks.chunks)
    nbytes = indices.type.nbytes + 3 * updates.type.nbytes
    work = Work(updates.size, nbytes)
    if not narrow:
        piece = Piece(kernel, tuple(contents), work)
        return Lowered([piece], x if value is None else None)
    contents[0] = total
    operand = Buffer("x", node.dtype, node.size)
    result.access = "out"
    pieces = [
        _converted(f"{name}_wide", operand, total, (x, total), lanes),
        Piece(kernel, tuple(contents), work),
        _converted(f"{name}_narrow", total, result, (total, results[0]), lanes),
    ]
    return Lowered(pieces)


def _converted(
    name: str,
    source: Buffer,
    target: Buffer,
    contents: tuple[Hashable, Hashable],
    lanes: Lanes,
) -> Piece:
    """Return the kernel that copies one buffer to another of another dtype."""
    width = lanes(float32)
    whole, rest = divmod(source.size, width)
    blocks = Blocks(whole + bool(rest), CHUNK_COST // width, name="vector")
    lane = Variable("lane")

    def vector(extent: int) -> Body:
        place = blocks.place * width + lane
        value = narrowed(widened(Load(source, place)), target.dtype)
        return [Vector(lane, extent, width, [Store(target, place, value)])]

    body = vector(width) if whole else vector(rest)
    if whole and rest:
        body = [If(blocks.place < whole, body, vector(rest))]
    nbytes = source.size * (source.dtype.itemsize + target.dtype.itemsize)
    kernel = Kernel(name, (source, target), blocks.loop(body), blocks.chunks)
    return Piece(kernel, contents, Work(0, nbytes))
