"""From a group led by a contraction to kernels: which numbers are multiplied, and what
is done with each sum.

Read first: `lower_dot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...dtypes import bfloat16
from ...ir.graph import Node
from ...shapes import Shape
from ..loops.grammar import Body, Expression, Let, Load, Store, Variable
from ..schedule.group import AXES, Group
from . import contract
from .blocking import Facts
from .blocking import Shape as Extents
from .domain import merged
from .index import ZERO, Index, affine
from .led import Epilogue, as_pieces, element, spread
from .memory import Memory
from .piece import Piece
from .product import Contraction, Operand
from .scalar import computed

_BATCH, _ROW, _COLUMN, _SUM = "bmnk"


def lower_dot(
    group: Group,
    stored: Callable[[Node], bool],
    outputs: Sequence[Node],
    facts: Facts,
    precision: str,
    name: str,
    fixed: tuple[bool, bool] = (False, False),
) -> list[Piece]:
    """Return the kernels that compute a group led by a contraction, in order.

    Args:
        fixed: see `Contraction`.
    """
    memory = Memory(stored)
    node = group.head
    x, y = node.operands
    axes, batch = node.attributes["axes"], node.attributes["batch"]
    left = operand(x, axes[0], batch[0], memory)
    right = operand(y, axes[1], batch[1], memory)
    lead = len(batch[0])
    rows = x.ndim - lead - len(axes[0])
    kinds = [_BATCH] * lead + [_ROW] * rows
    kinds += [_COLUMN] * (node.ndim - len(kinds))
    extents = Extents(
        math.prod(node.shape[:lead]),
        math.prod(node.shape[lead : lead + rows]),
        math.prod(node.shape[lead + rows :]),
        math.prod(x.shape[axis] for axis in axes[0]),
    )
    epilogue = Epilogue(group, memory, outputs, kinds)

    def finish(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
        return epilogue.at({_BATCH: b, _ROW: m, _COLUMN: n}, value)

    pieces = contract.lower(
        Contraction(extents, node.dtype, precision, fixed), left, right, finish,
        contiguous(epilogue), facts, name,
    )  # fmt: skip
    return as_pieces(pieces, group, memory, math.prod(extents))


def operand(node: Node, axes: Shape, batch: Shape, memory: Memory) -> Operand:
    """Return one side of a product.

    Args:
        axes: that are summed over.
        batch: that both sides have.
    """
    rest = [a for a in range(node.ndim) if a not in axes and a not in batch]
    order = [*batch, *rest, *axes]
    shape = tuple(node.shape[axis] for axis in order)
    kinds = [_BATCH] * len(batch) + [_ROW] * len(rest) + [_SUM] * len(axes)

    def at(index: Index) -> Expression:
        turned: list[Expression] = [ZERO] * node.ndim
        for axis, place in zip(order, index, strict=True):
            turned[axis] = place
        return element(node, tuple(turned), memory)

    sample = at(AXES[: len(shape)])
    loops = merged(shape, kinds, AXES, [Let(Variable("x", node.dtype), sample)])

    def load(b: Expression, outer: Expression, k: Expression) -> Expression:
        return at(spread(len(shape), loops, {_BATCH: b, _ROW: outer, _SUM: k}))

    b, outer, k = (Variable(name) for name in (_BATCH, _ROW, _SUM))
    value = load(b, outer, k)
    found = affine(value.index) if isinstance(value, Load) else None
    if found is None or not isinstance(value, Load):
        return Operand(load, node.dtype, None, None, None)
    rows, along, apart = (found[0].get(name, 0) for name in (_ROW, _SUM, _BATCH))
    first = found[1]
    pairs = None
    even = along == 1 and not any(step % 2 for step in (rows, apart, first))
    if node.dtype is bfloat16 and even and value.buffer.size % 2 == 0:
        view = memory.pairs(value.buffer)

        def pairs(b: Expression, outer: Expression, step: Expression) -> Load:
            place = b * (apart // 2) + outer * (rows // 2) + step + first // 2
            return Load(view, place)

    return Operand(load, node.dtype, rows, along, apart, pairs)


def contiguous(epilogue: Epilogue) -> str:
    """Return the index along which neighbours in memory are stored."""
    places = {name: Variable(name) for name in (_BATCH, _ROW, _COLUMN)}
    value = Variable("value", computed(epilogue.head.dtype))
    for statement in epilogue.at(dict(places), value):
        if isinstance(statement, Store):
            found = affine(statement.index)
            if found is not None and found[0].get(_ROW) == 1:
                return "m" if found[0].get(_COLUMN, 0) != 1 else "n"
    return "n"
