"""From a group led by a convolution to kernels.

Read first: `lower_convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...dtypes import float32
from ...ir.graph import Node
from ..loops.grammar import Body, Expression
from ..schedule.group import Group
from .blocking import Facts
from .convolution_block import Finish, Problem, lower_positions
from .convolution_dots import lower_sums
from .index import unravel
from .led import Epilogue, as_pieces, element
from .memory import Memory
from .piece import Piece
from .sliding import Axis, phases_of, runs_of


def lower_convolution(
    group: Group,
    stored: Callable[[Node], bool],
    outputs: Sequence[Node],
    facts: Facts,
    precision: str,
    name: str,
) -> list[Piece]:
    """Return the kernels that compute a group led by a convolution, in order."""
    memory = Memory(stored)
    node = group.head
    x, weight = node.operands
    at = node.attributes
    axes, turned = [], []
    for size, count, taps, step, gap, spread, (low, _) in zip(
        x.shape[2:], node.shape[2:], weight.shape[2:], at["stride"], at["dilation"],
        at["input_dilation"], at["padding"], strict=True,
    ):  # fmt: skip
        axes.append(Axis(size, count, taps, step, gap, spread, low))
        turned.append(Axis(size, taps, count, gap, step, spread, low))
    kinds = ["b", "m", *["n"] * len(axes)]
    narrow = node.dtype.is_float and node.dtype.itemsize == 2

    def source(operand: Node) -> Callable[[Expression, Sequence[Expression]], Expression]:
        return lambda first, rest: element(operand, (first, *rest), memory)

    epilogue = Epilogue(group, memory, outputs, kinds)
    lower, slid, finish = lower_positions, axes, _at_places(epilogue)
    if _extent(turned) < _extent(axes):
        lower, slid, finish = lower_sums, turned, _at_number(epilogue)
    problem = Problem(
        x.shape[0], at["groups"], weight.shape[0] // at["groups"], weight.shape[1],
        slid, float32 if narrow else node.dtype, not narrow, source(x), source(weight), finish,
    )  # fmt: skip
    pieces = lower(_joined(problem), facts, name)
    products = node.size * math.prod(weight.shape[1:])
    return as_pieces(pieces, group, memory, products)


def _at_places(epilogue: Epilogue) -> Finish:
    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return epilogue.statements((b, m, *places), value)

    return finish


def _at_number(epilogue: Epilogue) -> Finish:
    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        return epilogue.at({"b": b, "m": m, "n": places[0]}, value)

    return finish


def _extent(axes: Sequence[Axis]) -> int:
    """Return how many products one way of laying things out takes."""
    taps = sum(math.prod(run.count for run in runs) for phase in phases_of(axes)
               for runs in runs_of(axes, phase))
    return taps * math.prod(axis.pitch for axis in axes)


def _joined(problem: Problem) -> Problem:
    """Return the problem with axes joined along which nothing slides."""
    axes: list[Axis] = []
    sizes: list[list[int]] = []
    for axis in problem.axes:
        if axes and _is_plain(axis) and _is_plain(axes[-1]):
            sizes[-1].append(axis.size)
            n = math.prod(sizes[-1])
            axes[-1] = Axis(n, n, 1, 1, 1, 1, 0)
        else:
            axes.append(axis)
            sizes.append([axis.size])
    if len(axes) == len(problem.axes):
        return problem

    def apart(at: Sequence[Expression]) -> list[Expression]:
        found: list[Expression] = []
        for place, parts in zip(at, sizes, strict=True):
            found += unravel(place, tuple(parts)) if len(parts) > 1 else [place]
        return found

    def x(item: Expression, at: Sequence[Expression]) -> Expression:
        return problem.x(item, [at[0], *apart(at[1:])])

    def weight(row: Expression, at: Sequence[Expression]) -> Expression:
        return problem.weight(row, [at[0], *apart(at[1:])])

    def finish(
        b: Expression, m: Expression, places: Sequence[Expression], value: Expression
    ) -> Body:
        if len(places) == len(sizes):
            places = apart(places)
        return problem.finish(b, m, places, value)

    return problem._replace(axes=axes, x=x, weight=weight, finish=finish)


def _is_plain(axis: Axis) -> bool:
    """Whether each position meets just the element at its place."""
    return (
        axis.taps == axis.phases == axis.stride == 1
        and axis.parts == [axis.low_shift] == [0]
        and axis.count == axis.size
    )
