"""The place of a value in a sorted vector, found by halving, without branches.

Read first: `search_sorted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...dtypes import bool_, int64
from ...ir.graph import Node
from ..loops.grammar import Expression, Operation
from .index import ZERO, Index

if TYPE_CHECKING:
    from .pull import Values


def steps_of(node: Node) -> int:
    """Return how many numbers a search looks at."""
    return int(node.operands[0].shape[-1]).bit_length()


def search_sorted(values: Values, node: Node, index: Index) -> Expression:
    """Return where the element of the second operand would go in the first one.

    The place lies between `base` and `base + left`. Each step looks at the middle, and
    halves what is left, which is the same number for all elements.
    """
    ordered, wanted = node.operands
    value = values.at(wanted, index)
    lead = index[: ordered.ndim - 1]
    right = node.attributes["side"] == "right"

    def before(place: Expression) -> Expression:
        """Return whether an element of the vector comes before the value's place."""
        found = values.at(ordered, (*lead, place))
        if not right:
            return values.bind(_below(found, value))
        after = _below(value, found)
        return values.bind(Operation("bitwise_invert", (after,), bool_))

    base: Expression = ZERO
    left = ordered.shape[-1]
    while left > 1:
        half = left // 2
        choices = (before(base + (half - 1)), base + half, base)
        base = values.bind(Operation("select", choices, int64))
        left -= half
    if left:
        last = Operation("cast", (before(base),), int64)
        base = values.bind(base + last)
    return base


def _below(x: Expression, y: Expression) -> Expression:
    """Return whether x comes before y; nan comes last."""
    less = Operation("less", (x, y), bool_)
    if not x.dtype.is_float:
        return less
    number = Operation("equal", (x, x), bool_)
    nan = Operation("not_equal", (y, y), bool_)
    last = Operation("bitwise_and", (number, nan), bool_)
    return Operation("bitwise_or", (less, last), bool_)
