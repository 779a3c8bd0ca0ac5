"""Convolutions as if nothing slid, where the code of what slides would be too long.

Each part that windows with a large stride slide over has code of its own, and so has
each phase of what is spread: thousands, for a window that is put down at every 32nd
place of an image. Such a convolution is another one:

- What is spread far apart: the places that lie between two elements are rows of the
  result. They meet the same few elements, with numbers of the kernel or with zeros.
- Any other: the elements that taps meet at a position are channels. They are copied for
  each tap, with zeros beyond the edges, and the rest is a product of matrices.
- The gradient of a kernel: what each tap meets is an item of the batch. If elements are
  spread, they change places with the numbers that they meet, which then are not.

Read first: `gathered`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...dtypes import bool_, int64
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Kernel,
    Let,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from .blocking import ceil
from .index import ZERO, linear, unravel
from .product import Piece, as_dtype, bind, count_from, smaller
from .scalar import computed, constant
from .sliding import Axis, Problem
from .ways import is_short

_MOST_CHUNKS = 64


def gathered(
    problem: Problem, along_kernel: bool, lanes: int, name: str
) -> tuple[Problem, list[Piece]]:
    """Return a problem in which little slides, and what is done after it.

    Args:
        along_kernel: the axes are turned: taps are the places of the result.
    """
    if along_kernel:
        spread = math.prod(axis.spread for axis in problem.axes)
        if spread > math.prod(axis.step for axis in problem.axes):
            problem = _exchanged(problem)
        return _by_item(problem), []
    after: list[Piece] = []
    if all(axis.phases == 1 or axis.step == 1 for axis in problem.axes):
        problem, after = _by_row(problem, lanes, name)
    if not is_short(problem.axes, along_kernel):
        problem = _by_channel(problem)
    return problem, after


class Meeting(NamedTuple):
    """What the taps of a window meet along one axis: see `sliding`."""

    size: int
    positions: int
    taps: int
    step: int
    gap: int
    spread: int
    low: int

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
        last = (self.positions - 1) * self.step + (self.taps - 1) * self.gap - self.low
        if before > 0:
            tests.append(Constant(before, int64) <= place)
            place = Operation("maximum", (place - before, ZERO))
        else:
            place = place - before
        if last // self.spread >= self.size:
            tests.append(place < self.size)
            place = smaller(place, self.size - 1)
        return place, tests


def chosen(tests: Sequence[Expression], value: Expression) -> Expression:
    """Return `value`, or zero unless all tests are passed."""
    if not tests:
        return value
    inside = tests[0]
    for test in tests[1:]:
        inside = Operation("bitwise_and", (inside, test), bool_)
    value = as_dtype(value, computed(value.dtype))
    return Operation("select", (inside, value, constant(0, value.dtype)), value.dtype)


def _meetings(axes: Sequence[Axis]) -> list[Meeting]:
    return [
        Meeting(a.size, a.count, a.taps, a.step, a.gap, a.spread, a.low) for a in axes
    ]


def _met(
    problem: Problem,
    meetings: Sequence[Meeting],
    item: Expression,
    channel: Expression,
    places: Sequence[Expression],
    taps: Sequence[Expression],
) -> Expression:
    """Return the element that a tap meets at a position, or zero if it meets none.

    Args:
        meetings: of the first axes; those after them are met where they are.
    """
    index: list[Expression] = [channel]
    tests: list[Expression] = []
    for meeting, place, tap in zip(meetings, places, taps, strict=False):
        found, some = meeting.met(place, tap)
        index.append(found)
        tests += some
    return chosen(tests, problem.x(item, [*index, *places[len(meetings) :]]))


def _too_many(axes: Sequence[Axis]) -> int:
    """Return how many axes must not slide, so that the others have short code."""
    short = (n for n in range(1, len(axes)) if is_short(axes[n:], True))
    return next(short, len(axes))


def _plain(axes: Sequence[Axis]) -> list[Axis]:
    """Return axes along which each position meets the element at its place."""
    return [Axis(axis.count, axis.count, 1, 1, 1, 1, 0) for axis in axes]


def _by_channel(problem: Problem) -> Problem:
    """Return a problem whose channels are what taps meet.

    The last axes may slide as they did, if that does not take too much code.
    """
    count = _too_many(problem.axes)
    taps = tuple(axis.taps for axis in problem.axes[:count])
    size = math.prod(taps)
    meetings = _meetings(problem.axes[:count])

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(channel % size, taps)
        return _met(problem, meetings, item, channel // size, places, own)

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        own = unravel(at[0] % size, taps)
        return problem.weight(row, [at[0] // size, *own, *at[1 + count :]])

    return problem._replace(
        channels=problem.channels * size,
        axes=[*_plain(problem.axes[:count]), *problem.axes[count:]],
        x=x,
        weight=weight,
    )


def _by_item(problem: Problem) -> Problem:
    """Return a problem whose items are what taps meet, which are places of the result.

    The last axes may slide as they did, if that does not take too much code.

    Args:
        problem: its axes are turned.
    """
    count = _too_many(problem.axes)
    taps = tuple(axis.taps for axis in problem.axes[:count])
    size = math.prod(taps)
    rest = math.prod(axis.taps for axis in problem.axes[count:])
    meetings = _meetings(problem.axes[:count])

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(item % size, taps)
        return _met(problem, meetings, item // size, channel, places, own)

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        tap = b % size if rest == 1 else b % size * rest + places[0]
        return problem.finish(b // size, m, [tap], value)

    return problem._replace(
        batch=problem.batch * size,
        axes=[*_plain(problem.axes[:count]), *problem.axes[count:]],
        x=x,
        finish=finish,
    )


def _exchanged(problem: Problem) -> Problem:
    """Return a problem in which elements and the kernel's numbers change places.

    Taps come in the other order, so that they do not move backwards.

    Args:
        problem: its axes are turned.
    """
    batch, groups = problem.batch, problem.groups
    rows, channels = problem.rows, problem.channels
    axes = [
        Axis(
            axis.count, axis.size, axis.taps, axis.spread, axis.gap, axis.step,
            axis.gap * (axis.taps - 1) - axis.low,
        )
        for axis in problem.axes
    ]  # fmt: skip
    last = math.prod(axis.taps for axis in axes) - 1

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        own, *places = at
        if groups == 1:
            return problem.weight(item, [own, *places])
        return problem.weight(own // channels * rows + item, [own % channels, *places])

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        own, *places = at
        if groups == 1:
            return problem.x(row, [own, *places])
        return problem.x(row % batch, [row // batch * channels + own, *places])

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        tap = Constant(last, int64) - places[0]
        if groups == 1:
            return problem.finish(m, b, [tap], value)
        return problem.finish(m % batch, m // batch * rows + b, [tap], value)

    return problem._replace(
        batch=rows, rows=batch, axes=axes, direct=False,
        x=x, weight=weight, finish=finish,
    )  # fmt: skip


class _Row(NamedTuple):
    """How the places between elements are rows, along one axis.

    Place number `phase + at * spread - ahead` of the result meets, with the tap number
    `(shift + first) * spread - phase + ahead + low`, divided by the gap, the element
    number `at + shift + first`, for all shifts up to `shifts`.
    """

    axis: Axis
    ahead: int
    first: int
    shifts: int

    @property
    def positions(self) -> int:
        return ceil(self.axis.count + self.ahead, self.axis.phases)

    @property
    def new(self) -> Axis:
        """The axis along which elements are met."""
        if self.axis.phases == 1:
            return self.axis
        return Axis(
            self.axis.size, self.positions, self.shifts, 1, 1, 1, -self.first
        )  # fmt: skip

    def tap(
        self, phase: Expression, shift: Expression
    ) -> tuple[Expression, list[Expression]]:
        """Return a tap, some one if there is none, and tests whether there is."""
        axis = self.axis
        if axis.phases == 1:
            return shift, []
        # A tap is what the positions of another window meet.
        low = self.ahead + axis.low + self.first * axis.spread
        turned = Meeting(
            axis.taps, self.shifts, axis.spread, axis.spread, 1, axis.gap,
            axis.spread - 1 - low,
        )  # fmt: skip
        return turned.met(shift, Constant(axis.spread - 1, int64) - phase)


def _row(axis: Axis) -> _Row:
    """Return how the places between elements are rows so that they meet the fewest."""
    spread, reach = axis.spread, axis.gap * (axis.taps - 1)
    if axis.phases == 1:
        return _Row(axis, 0, 0, axis.taps)
    ways = []
    for ahead in range(spread):
        first = ceil(-ahead - axis.low, spread)
        last = (spread - 1 - ahead - axis.low + reach) // spread
        ways.append(_Row(axis, ahead, first, max(1, last - first + 1)))
    return min(ways, key=lambda way: way.shifts * way.positions)


def _by_row(problem: Problem, lanes: int, name: str) -> tuple[Problem, list[Piece]]:
    """Return a problem whose rows are places between elements, and what follows.

    All places around an element are rows, and so some lie beyond the result's edges.
    Then sums are written to memory first.
    """
    found = [_row(axis) for axis in problem.axes]
    phases = tuple(axis.phases for axis in problem.axes)
    size = math.prod(phases)
    if size == 1:
        return problem, []

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        own = unravel(row % size, phases)
        index: list[Expression] = [at[0]]
        tests: list[Expression] = []
        for one, phase, shift in zip(found, own, at[1:], strict=True):
            tap, some = one.tap(phase, shift)
            index.append(tap)
            tests += some
        return chosen(tests, problem.weight(row // size, index))

    def put(m: Expression, places: Sequence[Expression]) -> list[Expression]:
        own = unravel(m % size, phases)
        return [
            place * n + phase if n > 1 else place
            for place, n, phase in zip(places, phases, own, strict=True)
        ]

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return problem.finish(b, m // size, put(m, places), value)

    rows = problem._replace(
        rows=problem.rows * size,
        direct=False,
        axes=[one.new for one in found],
        weight=weight,
        finish=finish,
    )
    counts = tuple(axis.count for axis in problem.axes)
    whole = tuple(one.new.count * n for one, n in zip(found, phases, strict=True))
    if counts == whole:
        return rows, []
    lines = problem.batch * problem.groups * problem.rows
    sums = Buffer("placed", problem.dtype, lines * math.prod(whole), "inout")
    shape = (problem.batch, problem.groups * problem.rows, *whole)

    def kept(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return [Store(sums, linear((b, m // size, *put(m, places)), shape), value)]

    aheads = [one.ahead for one in found]
    after = _finished(problem, sums, shape, aheads, lanes, f"{name}_places")
    return rows._replace(finish=kept), [after]


def _finished(
    problem: Problem,
    sums: Buffer,
    shape: tuple[int, ...],
    aheads: Sequence[int],
    lanes: int,
    name: str,
) -> Piece:
    """Return what finishes the sums that lie in memory."""
    *outer, across = (axis.count for axis in problem.axes)
    lines = shape[0] * shape[1]
    each = ceil(lines, _MOST_CHUNKS)
    at, lane, column = Variable("at"), Variable("lane"), Variable("column")
    local = [Variable(f"o{n}") for n in range(len(outer))]
    head = Body()
    line = bind(head, "line", Kernel.CHUNK * each + at)
    b, m = unravel(line, shape[:2])

    def vector(first: Expression, extent: int) -> Vector:
        body = Body()
        places = [*local, first + lane]
        moved = [place + ahead for place, ahead in zip(places, aheads, strict=True)]
        value = Variable("value", problem.dtype)
        body.append(Let(value, Load(sums, linear((b, m, *moved), shape))))
        body += problem.finish(b, m, places, value)
        return Vector(lane, extent, lanes, body)

    whole, tail = divmod(across, lanes)
    body: Body = []
    if whole:
        body.append(For(column, whole, [vector(column * lanes, lanes)]))
    if tail:
        body.append(vector(Constant(whole * lanes, int64), tail))
    for variable, extent in zip(reversed(local), reversed(outer), strict=True):
        body = [For(variable, extent, body)]
    count = count_from(Kernel.CHUNK * each, each, lines)
    nest: Body = [For(at, count, [*head, *body])]
    return Piece(name, nest, ceil(lines, each), (), (sums,))
