"""Convolutions as products, on machines that copy what they multiply next anyway.

Rows are the channels of the result, columns the positions of all items, and the sum
goes along channels and taps. The matrix of windows is never there: what a position and
a tap meet is worked out where it is copied, see `contract_workgroup`.

Read first: `lower_windows`.
"""

from __future__ import annotations

import math

from ...ir.graph import Node
from ..loops.grammar import Body, Expression, Load, Variable
from . import contract
from .blocking import Facts, Shape
from .index import ZERO, affine, unravel
from .led import Epilogue, element
from .memory import Memory
from .product import Contraction, Operand, Piece
from .sliding import Axis, chosen


def lower_windows(
    node: Node,
    memory: Memory,
    epilogue: Epilogue,
    facts: Facts,
    precision: str,
    name: str,
) -> list[Piece]:
    """Return the loops of a convolution.

    Args:
        epilogue: of axes of the kinds "b", "m" and "n".
    """
    x, weight = node.operands
    groups = node.attributes["groups"]
    rows, places = weight.shape[0] // groups, math.prod(node.shape[2:])
    extents = Shape(groups, rows, x.shape[0] * places, math.prod(weight.shape[1:]))

    def finish(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
        item, place = unravel(n, (x.shape[0], places))
        return epilogue.at({"b": item, "m": b * rows + m, "n": place}, value)

    return contract.lower(
        Contraction(extents, node.dtype, precision),
        _kernel(node, memory, rows), _windows(node, memory), finish, "n", facts, name,
    )  # fmt: skip


def _kernel(node: Node, memory: Memory, rows: int) -> Operand:
    """Return the kernel: a row for each channel of the result."""
    weight = node.operands[1]
    shape = weight.shape[1:]

    def load(b: Expression, m: Expression, k: Expression) -> Expression:
        return element(weight, (b * rows + m, *unravel(k, shape)), memory)

    axes = [axis for axis, n in enumerate(shape) if n > 1]
    along = False
    if axes:
        last = Variable("k")
        rest = [last if a == axes[-1] else ZERO for a in range(len(shape))]
        value = element(weight, (ZERO, *rest), memory)
        found = affine(value.index) if isinstance(value, Load) else None
        along = found is not None and found[0].get(last.name) == 1
    return Operand(load, weight.dtype, None, None, None, along_sum=along)


def _windows(node: Node, memory: Memory) -> Operand:
    """Return what the taps meet at each position, and zeros beyond the edges."""
    x, weight = node.operands
    at, channels = node.attributes, weight.shape[1]
    axes = [
        Axis(size, count, taps, step, gap, spread, low)
        for size, count, taps, step, gap, spread, (low, _) in zip(
            x.shape[2:], node.shape[2:], weight.shape[2:], at["stride"],
            at["dilation"], at["input_dilation"], at["padding"], strict=True,
        )
    ]  # fmt: skip

    def load(b: Expression, n: Expression, k: Expression) -> Expression:
        item, *positions = unravel(n, (x.shape[0], *node.shape[2:]))
        channel, *taps = unravel(k, weight.shape[1:])
        index = [item, b * channels + channel]
        tests: list[Expression] = []
        for axis, position, tap in zip(axes, positions, taps, strict=True):
            place, some = axis.met(position, tap)
            index.append(place)
            tests += some
        return chosen(tests, element(x, tuple(index), memory))

    # Positions lie side by side; of few, taps do.
    along = bool(axes) and axes[-1].taps > axes[-1].count
    return Operand(load, x.dtype, None, None, None, along_sum=along)
