"""Convolutions as if nothing slid, where windows do not overlap, or the code of what
slides would be too long.

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

from ...dtypes import int64
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Let,
    Load,
    Store,
    Variable,
    Vector,
)
from .blocking import ceil
from .index import linear, unravel
from .product import Piece, each_line, vectors
from .sliding import Axis, Problem, chosen
from .ways import are_patches, has_short_code, is_gathered


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
    if is_gathered(problem.axes, along_kernel):
        problem = _by_channel(problem)
    return problem, after


def _met(
    problem: Problem,
    count: int,
    item: Expression,
    channel: Expression,
    places: Sequence[Expression],
    taps: Sequence[Expression],
) -> Expression:
    """Return the element that a tap meets at a position, or zero if it meets none.

    Args:
        count: of the first axes; those after them are met where they are.
    """
    index: list[Expression] = [channel]
    tests: list[Expression] = []
    for axis, place, tap in zip(problem.axes, places[:count], taps, strict=False):
        found, some = axis.met(place, tap)
        index.append(found)
        tests += some
    return chosen(tests, problem.x(item, [*index, *places[count:]]))


def _still(axes: Sequence[Axis]) -> int:
    """Return how many axes must not slide, so that the others have short code."""
    if are_patches(axes, True):
        return len(axes)
    short = (n for n in range(1, len(axes)) if has_short_code(axes[n:]))
    return next(short, len(axes))


def _plain(axes: Sequence[Axis]) -> list[Axis]:
    """Return axes along which each position meets the element at its place."""
    return [Axis(axis.count, axis.count, 1, 1, 1, 1, 0) for axis in axes]


def _by_channel(problem: Problem) -> Problem:
    """Return a problem whose channels are what taps meet.

    The last axes may slide as they did, if that does not take too much code.
    """
    count = _still(problem.axes)
    taps = tuple(axis.taps for axis in problem.axes[:count])
    size = math.prod(taps)

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(channel % size, taps)
        return _met(problem, count, item, channel // size, places, own)

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
    count = _still(problem.axes)
    taps = tuple(axis.taps for axis in problem.axes[:count])
    size = math.prod(taps)
    rest = math.prod(axis.taps for axis in problem.axes[count:])

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(item % size, taps)
        return _met(problem, count, item // size, channel, places, own)

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
        turned = Axis(
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
    lane = Variable("lane")
    local = [Variable(f"o{n}") for n in range(len(outer))]

    def line(number: Expression) -> Body:
        b, m = unravel(number, shape[:2])

        def finished(first: Expression, extent: int) -> Vector:
            body = Body()
            places = [*local, first + lane]
            moved = [place + ahead for place, ahead in zip(places, aheads, strict=True)]
            value = Variable("value", problem.dtype)
            body.append(Let(value, Load(sums, linear((b, m, *moved), shape))))
            body += problem.finish(b, m, places, value)
            return Vector(lane, extent, lanes, body)

        body = vectors(across, lanes, finished, "column")
        for variable, extent in zip(reversed(local), reversed(outer), strict=True):
            body = [For(variable, extent, body)]
        return body

    body, chunks = each_line(shape[0] * shape[1], line)
    return Piece(name, body, chunks, (), (sums,))
