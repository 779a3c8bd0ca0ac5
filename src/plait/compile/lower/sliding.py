"""How a window slides: which elements meet which, and how they are laid out for that.

Along one axis, `count` positions and `taps` taps meet the element at

    (position * step + tap * gap - low) / spread

where that is a whole number that is not below 0 and below `size`. Positions that are
`phases` apart meet the same taps, `stride` elements further on. So the elements are
laid out in `stride` parts, and the positions taken in `phases` phases: then each tap
of a phase meets, at its position number q, element q + shift of one part.

All axes are laid out as one: rows of `pitch` elements one after another, with as many
zeros between them as any window reaches into. Then a tap moves all positions of all
rows by one number, and vectors run on over the ends of rows. The numbers that they make
there are not used.

Read first: `Axis`, `Layout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
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
from .product import as_dtype, bind, smaller


class Run(NamedTuple):
    """Taps of one phase that meet the same part.

    Attributes:
        first, step, count: the taps are first, first + step, ...
        part: what they meet.
        shift, shift_step: how far the first one moves, and each next one more.
    """

    first: int
    step: int
    count: int
    part: int
    shift: int
    shift_step: int


class Axis:
    """One axis of a sliding window.

    Attributes:
        size, count, taps: as in the text of this module.
        phases, stride: how far positions are apart that meet the same taps, and how
            many elements further on these are.
        positions: of one phase, at most.
        runs: the taps of each phase.
        parts: those that are met.
        low_shift, high_shift: of all taps.

    Args:
        apart: each tap has a part of its own, and does not move positions. So there are
            more parts, but nothing has to lie between rows.
    """

    def __init__(
        self,
        size: int,
        count: int,
        taps: int,
        step: int,
        gap: int,
        spread: int,
        low: int,
        apart: bool = False,
    ) -> None:
        self.size, self.count, self.taps = size, count, taps
        common = math.gcd(step, spread)
        self.phases, self.stride = spread // common, step // common
        self.positions = -(-count // self.phases)
        self.runs: list[list[Run]] = []
        shifts = [0]
        parts = set()
        for phase in range(self.phases):
            found: dict[int, list[tuple[int, int]]] = {}
            for tap in range(taps):
                place, rest = divmod(phase * step + tap * gap - low, spread)
                if not rest:
                    shift, part = divmod(place, self.stride)
                    if apart:
                        shift, part = 0, place
                    found.setdefault(part, []).append((tap, shift))
            runs = []
            for part, met in found.items():
                (first, shift), (second, after) = met[0], met[min(1, len(met) - 1)]
                runs.append(
                    Run(first, second - first, len(met), part, shift, after - shift)
                )
                shifts += [one for _, one in met]
                parts.add(part)
            self.runs.append(runs)
        shifts = shifts[1:] or shifts
        self.low_shift, self.high_shift = min(shifts), max(shifts)
        self.parts = sorted(parts)

    @property
    def pitch(self) -> int:
        """How far copies of this axis may follow one another."""
        top = self.high_shift + self.positions - 1
        first, last = top + 1, -1
        for part in self.parts:
            first = min(first, max(self.low_shift, -(part // self.stride)))
            last = max(last, min(top, (self.size - 1 - part) // self.stride))
        if last < first:
            return self.positions
        return max(self.positions, top - first + 1, last - self.low_shift + 1)


class Span(NamedTuple):
    """The elements of an axis that are copied: stride * z + part, below `size`."""

    stride: int
    part: int
    size: int


class Layout:
    """Where elements lie, of several items of all axes.

    Attributes:
        items: how many are laid out together.
        strip: positions along the first axis, of one item; None for all.
        pitches: how far neighbours along each axis are apart.
        item_pitch: how far items are apart: they lie side by side along the last axis.
        whole: all rows of all items.
        positions: how many there are from the first position to the last.
        reach: how far taps move them, at most.
        size: what the vectors read.
        written: what is laid out.

    Args:
        full: all that vectors read is laid out: what they make of it counts.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        items: int,
        strip: int | None,
        lanes: int,
        full: bool = False,
    ) -> None:
        self.axes, self.items, self.strip, self.lanes = axes, items, strip, lanes
        self.extents = [axis.pitch for axis in axes]
        counts = [axis.positions for axis in axes]
        self.item_pitch = self.extents[-1]
        if len(axes) > 1:
            # Nothing follows the first axis: it needs no zeros for its neighbours.
            counts[0] = counts[0] if strip is None else strip
            self.extents[0] = counts[0] + axes[0].high_shift - axes[0].low_shift
        pitches = [1]
        step = items * self.item_pitch
        for extent in self.extents[-2::-1]:
            pitches.insert(0, step)
            step *= extent
        self.pitches = pitches
        self.whole = step
        self.positions = 1 + (items - 1) * self.item_pitch
        self.reach = 0
        for axis, count, pitch in zip(axes, counts, pitches, strict=True):
            self.positions += (count - 1) * pitch
            self.reach += (axis.high_shift - axis.low_shift) * pitch
        self.vectors = -(-self.positions // lanes)
        self.written = max(self.whole, self.positions + self.reach)
        size = max(self.written, self.vectors * lanes + self.reach)
        self.size = -(-size // lanes) * lanes
        if full:
            self.written = self.size

    def shift(self, runs: Sequence[Run]) -> int:
        """Return how far the first taps of runs move a position."""
        return sum(
            (run.shift - axis.low_shift) * pitch
            for run, axis, pitch in zip(runs, self.axes, self.pitches, strict=True)
        )


# (item, place along each axis) -> element
Source = Callable[[Expression, Sequence[Expression]], Expression]


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
    inside: Expression | None = None
    if layout.items > 1 and work.total % layout.items:
        inside = number < work.total
        number = smaller(number, work.total - 1)
    number = bind(row, f"{name}_number", number)
    places: list[Expression] = []
    for i, (at, low, span) in enumerate(zip(local, lows, spans, strict=False)):
        z: Expression = at + low
        if i == 0:
            z = z + work.start
        z = bind(row, f"{name}_y{i}", z * span.stride + span.part)
        places.append(z)
        for test in (Operation("less_equal", (ZERO, z), bool_), z < span.size):
            inside = _both(inside, test)
    copied = _row(work, place, number, places, lows[-1])
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


def _both(x: Expression | None, y: Expression) -> Expression:
    return y if x is None else Operation("bitwise_and", (x, y), bool_)


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

    body += _vectors(count, lanes, copied, f"{name}_x")
    rest = extent - lead - count
    after = place + (lead + count)
    return body + zeros(work.target, after, rest, lanes, f"{name}_rest")


def _vectors(
    count: int, lanes: int, write: Callable[[Expression, int], Vector], name: str
) -> Body:
    whole, tail = divmod(count, lanes)
    at = Variable(name)
    body = Body()
    if whole > 1:
        body.append(For(at, whole, [write(at * lanes, lanes)]))
    elif whole:
        body.append(write(ZERO, lanes))
    if tail:
        body.append(write(Constant(whole * lanes, at.dtype), tail))
    return body


def zeros(
    target: Buffer, place: Expression, count: int, lanes: int, name: str
) -> Body:
    """Return what sets `count` elements to zero."""
    zero = zero_of(target.dtype)
    lane = Variable("lane")

    def write(at: Expression, extent: int) -> Vector:
        return Vector(lane, extent, lanes, [Store(target, place + at + lane, zero)])

    return _vectors(max(0, count), lanes, write, name)


def zero_of(dtype: DType) -> Constant:
    """Return zero."""
    return Constant(0.0 if dtype.is_float else 0, dtype)


def parts_of(axes: Sequence[Axis]) -> list[tuple[int, ...]]:
    """Return the parts of all axes together, in the order in which they lie."""
    return list(product(*(axis.parts for axis in axes)))


def phases_of(axes: Sequence[Axis]) -> list[tuple[int, ...]]:
    """Return the phases of all axes together."""
    return list(product(*(range(axis.phases) for axis in axes)))


def runs_of(axes: Sequence[Axis], phase: Sequence[int]) -> list[tuple[Run, ...]]:
    """Return the runs of all axes together, of one phase."""
    runs = [axis.runs[p] for axis, p in zip(axes, phase, strict=True)]
    return list(product(*runs))
