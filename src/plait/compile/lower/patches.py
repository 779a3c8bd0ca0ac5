"""Convolutions whose windows do not overlap, as if nothing slid.

Where windows lie side by side, the elements of one are channels of one position; and
where each place of the result is met by one tap, the places that a window is put back
to are rows. This is for large windows: each of their elements would be a part, or each
of their places a phase, with code of its own.

Read first: `patched`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...shapes import Shape
from ..loops.grammar import Body, Expression
from .index import unravel
from .sliding import Axis, Problem, Run

# Parts or phases, of all axes, that are written out rather.
_FEW = 4


def patched(problem: Problem, along_kernel: bool) -> Problem:
    """Return a problem in which windows that lie side by side do not slide.

    Args:
        along_kernel: the axes are turned: taps are the places of the result.
    """
    if _are_cut(problem.axes):
        return _by_item(problem) if along_kernel else _by_channel(problem)
    return _by_row(problem) if _are_put_back(problem.axes, along_kernel) else problem


def are_patches(axes: Sequence[Axis], along_kernel: bool) -> bool:
    """Return whether a problem with these axes is one in which nothing need slide."""
    return _are_cut(axes) or _are_put_back(axes, along_kernel)


def _are_cut(axes: Sequence[Axis]) -> bool:
    return math.prod(axis.stride for axis in axes) > _FEW and all(map(_is_cut, axes))


def _are_put_back(axes: Sequence[Axis], along_kernel: bool) -> bool:
    phases = math.prod(axis.phases for axis in axes)
    return not along_kernel and phases > _FEW and all(map(_is_put_back, axes))


def _is_cut(axis: Axis) -> bool:
    """Whether windows lie side by side, within the elements."""
    return (
        axis.phases == 1
        and axis.taps <= axis.stride
        and axis.runs[0] == [Run(t, 0, 1, t, 0, 0) for t in range(axis.taps)]
        and (axis.count - 1) * axis.stride + axis.taps <= axis.size
    )


def _is_put_back(axis: Axis) -> bool:
    """Whether each place is met by one tap, the last ones first."""
    last = axis.phases - 1
    return (
        axis.stride == 1
        and axis.count == axis.positions * axis.phases
        and axis.positions <= axis.size
        and all(
            runs == [Run(last - phase, 0, 1, 0, 0, 0)]
            for phase, runs in enumerate(axis.runs)
        )
    )


def _plain(counts: Sequence[int]) -> list[Axis]:
    return [Axis(n, n, 1, 1, 1, 1, 0) for n in counts]


def _by_channel(problem: Problem) -> Problem:
    axes = problem.axes
    taps = tuple(axis.taps for axis in axes)
    size = math.prod(taps)

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(channel % size, taps)
        return problem.x(item, [channel // size, *_moved(axes, places, own)])

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        return problem.weight(row, [at[0] // size, *unravel(at[0] % size, taps)])

    return problem._replace(
        channels=problem.channels * size,
        axes=_plain([axis.count for axis in axes]),
        x=x,
        weight=weight,
    )


def _by_item(problem: Problem) -> Problem:
    axes = problem.axes
    taps = tuple(axis.taps for axis in axes)
    size = math.prod(taps)

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        channel, *places = at
        own = unravel(item % size, taps)
        return problem.x(item // size, [channel, *_moved(axes, places, own)])

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return problem.finish(b // size, m, [b % size], value)

    return problem._replace(
        batch=problem.batch * size,
        axes=_plain([axis.count for axis in axes]),
        x=x,
        finish=finish,
    )


def _by_row(problem: Problem) -> Problem:
    axes = problem.axes
    phases: Shape = tuple(axis.phases for axis in axes)
    size = math.prod(phases)

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        own = unravel(row % size, phases)
        taps = [n - 1 - i for i, n in zip(own, phases, strict=True)]
        return problem.weight(row // size, [at[0], *taps])

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        own = unravel(m % size, phases)
        found = [q * n + i for q, n, i in zip(places, phases, own, strict=True)]
        return problem.finish(b, m // size, found, value)

    return problem._replace(
        rows=problem.rows * size,
        direct=False,
        axes=_plain([axis.positions for axis in axes]),
        weight=weight,
        finish=finish,
    )


def _moved(
    axes: Sequence[Axis], places: Sequence[Expression], taps: Sequence[Expression]
) -> list[Expression]:
    """Return the elements that taps meet at places."""
    return [
        place * axis.stride + tap
        for axis, place, tap in zip(axes, places, taps, strict=True)
    ]
