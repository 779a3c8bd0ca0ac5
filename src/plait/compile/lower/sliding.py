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

Read first: `Axis`, `Layout`, `Problem`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from ...dtypes import DType, bool_, int64, uint32
from ..loops.grammar import Body, Constant, Expression, Operation
from .blocking import Facts
from .index import ZERO
from .product import all_true, as_dtype, multiply_add, smaller
from .scalar import computed, constant


class Run(NamedTuple):
    """Taps of one phase that meet the same part.

    Attributes:
        first, step, number: the taps are first, first + step, ..., so many.
        part: what they meet.
        shift, shift_step: how far the first one moves, and each next one more.
    """

    first: int
    step: int
    number: int
    part: int
    shift: int
    shift_step: int


class Axis:
    """One axis of a sliding window.

    Attributes:
        size, count, taps, step, gap, spread, low: as in the text of this module.
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
        self.step, self.gap, self.spread, self.low = step, gap, spread, low
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

    def apart(self) -> Axis:
        """Return the axis with a part for each tap."""
        return Axis(
            self.size, self.count, self.taps, self.step, self.gap, self.spread,
            self.low, apart=True,
        )  # fmt: skip

    def met(
        self, position: Expression, tap: Expression
    ) -> tuple[Expression, list[Expression]]:
        """Return the element that a tap meets, some one if it meets none, and tests
        whether it does.
        """
        before = -(-self.low // self.spread)
        # Never negative, so that it may be divided.
        place = position * self.step + tap * self.gap
        place = place + (before * self.spread - self.low)
        tests: list[Expression] = []
        if self.spread > 1:
            rest = place % self.spread
            tests.append(Operation("equal", (rest, ZERO), bool_))
            place = place // self.spread
        last = (self.count - 1) * self.step + (self.taps - 1) * self.gap - self.low
        if before > 0:
            tests.append(Constant(before, int64) <= place)
            place = Operation("maximum", (place - before, ZERO))
        else:
            place = place - before
        if last // self.spread >= self.size:
            tests.append(place < self.size)
            place = smaller(place, self.size - 1)
        return place, tests

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


def chosen(tests: Sequence[Expression], value: Expression) -> Expression:
    """Return `value`, or zero unless all tests are passed."""
    inside = all_true(tests)
    if inside is None:
        return value
    value = as_dtype(value, computed(value.dtype))
    return Operation("select", (inside, value, constant(0, value.dtype)), value.dtype)


# (item, place along each axis) -> element
Source = Callable[[Expression, Sequence[Expression]], Expression]


Finish = Callable[[Expression, Expression, Sequence[Expression], Expression], Body]


class Problem(NamedTuple):
    """A convolution.

    Attributes:
        batch, groups: how many there are.
        rows, channels: output and input channels of one group.
        axes: the spatial ones.
        dtype: of the sums.
        direct: whether numbers of the kernel are read where they lie.
        x: gives the element at ([batch], [channel, *place]), of all groups' channels.
        weight: gives the number at ([row], [channel, *tap]), of all groups' rows.
        finish: what is done with each element, given its item, row, place along each
            axis, or the number of its place, and value.
        pairs: `x` and `weight` give two channels, bfloat16 in the halves of 32 bits.
    """

    batch: int
    groups: int
    rows: int
    channels: int
    axes: Sequence[Axis]
    dtype: DType
    direct: bool
    x: Source
    weight: Source
    finish: Finish
    pairs: bool = False

    @property
    def copied(self) -> DType:
        """The dtype in which elements and the kernel's numbers are copied."""
        return uint32 if self.pairs else self.dtype

    def added(
        self, x: Expression, y: Expression, total: Expression, facts: Facts
    ) -> Expression:
        """Return `total` with the product of two numbers, or of two pairs."""
        if self.pairs:
            return Operation("dot_pairs", (total, x, y), self.dtype)
        return multiply_add(x, y, total, facts)
