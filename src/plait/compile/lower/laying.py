"""Copies of elements laid out for a sliding window, with zeros around them.

Read first: `Laying`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...dtypes import DType, bool_
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    If,
    Operation,
    Store,
    Variable,
    Vector,
)
from .index import ZERO
from .product import all_true, as_dtype, bind, smaller, vectors
from .sliding import Layout, Source


class Span(NamedTuple):
    """The elements of an axis that are copied: stride * z + part, below `size`."""

    stride: int
    part: int
    size: int


class Laying(NamedTuple):
    """What is laid out, and where.

    Attributes:
        target, place: the memory, and where the layout begins in it.
        layout: of what is laid out.
        spans: what lies along each axis.
        moved: whether the axes begin with the lowest shift, rather than 0.
        source: gives the elements.
        first: the item that comes first, of `total`.
        start: the position along the first axis that comes first, in a strip.
        name: distinguishes the names bound in its code.
    """

    target: Buffer
    place: Expression
    layout: Layout
    spans: Sequence[Span]
    moved: bool
    source: Source
    first: Expression
    total: int
    start: Expression
    name: str


def lay_out(work: Laying) -> Body:
    """Return what copies elements into a layout, with zeros all around."""
    layout, spans, name = work.layout, work.spans, work.name
    lows = [axis.low_shift if work.moved else 0 for axis in layout.axes]
    row = Body()
    item = Variable(f"{name}_item")
    local = [Variable(f"{name}_z{i}") for i in range(len(spans) - 1)]
    place: Expression = work.place + item * layout.item_pitch
    for at, pitch in zip(local, layout.pitches[:-1], strict=True):
        place = place + at * pitch
    place = bind(row, f"{name}_place", place)
    number = work.first + item
    tests: list[Expression] = []
    if layout.items > 1 and work.total % layout.items:
        tests.append(number < work.total)
        number = smaller(number, work.total - 1)
    number = bind(row, f"{name}_number", number)
    places: list[Expression] = []
    for i, (at, low, span) in enumerate(zip(local, lows, spans, strict=False)):
        z: Expression = at + low
        if i == 0:
            z = z + work.start
        z = bind(row, f"{name}_y{i}", z * span.stride + span.part)
        places.append(z)
        tests += (Operation("less_equal", (ZERO, z), bool_), z < span.size)
    copied = _row(work, place, number, places, lows[-1])
    inside = all_true(tests)
    if inside is None:
        row += copied
    else:
        blank = zeros(work.target, place, layout.extents[-1], layout.lanes, name)
        row.append(If(inside, copied, blank))
    body = row
    for at, extent in zip(reversed(local), layout.extents[-2::-1], strict=True):
        body = [For(at, extent, body)]
    done, rest = layout.whole, layout.written - layout.whole
    tail = zeros(work.target, work.place + done, rest, layout.lanes, f"{name}_end")
    return [For(item, layout.items, body), *tail]


def _row(
    work: Laying,
    place: Expression,
    item: Expression,
    places: Sequence[Expression],
    low: int,
) -> Body:
    """Return what copies one row, with the zeros before and after it."""
    layout, span = work.layout, work.spans[-1]
    lanes, extent, name = layout.lanes, layout.extents[-1], work.name
    first = max(low, -(span.part // span.stride))
    last = min(low + extent - 1, (span.size - 1 - span.part) // span.stride)
    if work.moved:
        last = min(last, layout.axes[-1].high_shift + layout.axes[-1].positions - 1)
    count = max(0, last - first + 1)
    lead = min(first - low, extent)
    body = zeros(work.target, place, lead, lanes, f"{name}_lead")
    lane = Variable("lane")

    def copied(at: Expression, extent: int) -> Vector:
        x = (at + lane + first) * span.stride + span.part
        value = as_dtype(work.source(item, [*places, x]), work.target.dtype)
        to = place + lead + at + lane
        return Vector(lane, extent, lanes, [Store(work.target, to, value)])

    body += vectors(count, lanes, copied, f"{name}_x")
    rest = extent - lead - count
    after = place + (lead + count)
    return body + zeros(work.target, after, rest, lanes, f"{name}_rest")


def zeros(target: Buffer, place: Expression, count: int, lanes: int, name: str) -> Body:
    """Return what sets `count` elements to zero."""
    zero = zero_of(target.dtype)
    lane = Variable("lane")

    def write(at: Expression, extent: int) -> Vector:
        return Vector(lane, extent, lanes, [Store(target, place + at + lane, zero)])

    return vectors(max(0, count), lanes, write, name)


def zero_of(dtype: DType) -> Constant:
    """Return zero."""
    return Constant(0.0 if dtype.is_float else 0, dtype)
