"""Windows put back where they were taken, and added up where they overlap: each element
of the result asks which windows it lies in.

Read first: `folded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from ...dtypes import bool_, int64
from ...ir.graph import Node
from ..loops.grammar import Constant, Expression, Operation
from .index import ZERO, Index
from .product import smaller
from .scalar import constant

if TYPE_CHECKING:
    from .pull import Values

# Windows that an element may lie in.
MOST_TERMS = 128


class _Place(NamedTuple):
    """The window along one axis that has an element at some place within it."""

    window: Expression
    within: Expression
    tests: Sequence[Expression]


def terms_of(node: Node) -> int:
    """Return how many windows an element may lie in, at most."""
    at = node.attributes
    rank = len(at["size"])
    terms = 1
    for k, step, gap in zip(
        node.operands[0].shape[-rank:] if rank else (), at["stride"], at["dilation"],
        strict=True,
    ):  # fmt: skip
        terms *= -(-k // step) if gap == 1 else k
    return terms


def folded(values: Values, node: Node, index: Index) -> Expression:
    """Return an element of a fold by those of its operand."""
    (x,) = node.operands
    at = node.attributes
    rank = len(at["size"])
    lead = x.ndim - 2 * rank
    places = [
        _places(values, index[lead + i], x.shape[lead + i], x.shape[lead + rank + i],
                at["stride"][i], at["dilation"][i])
        for i in range(rank)
    ]  # fmt: skip
    zero = constant(0, node.dtype)
    total: Expression | None = None
    for chosen in product(*places):
        inside: Expression | None = None
        for place in chosen:
            for test in place.tests:
                inside = test if inside is None else _both(inside, test)
        windows = [place.window for place in chosen]
        own = (*index[:lead], *windows, *(place.within for place in chosen))
        if inside is None:
            value = values.at(x, own)
        else:
            inside = values.bind(inside)
            with values.guarded(inside):
                value = values.at(x, own)
            chosen_value = (inside, value, zero)
            value = values.bind(Operation("select", chosen_value, value.dtype))
        if total is not None:
            value = values.bind(Operation("add", (total, value)))
        total = value
    return zero if total is None else total


def _places(
    values: Values, u: Expression, count: int, k: int, step: int, gap: int
) -> list[_Place]:
    """Return the windows, of `count`, that an element may lie in, along one axis."""
    found = []
    if gap == 1:
        # The last window that begins before it, and those before that one.
        last, rest = values.bind(u // step), values.bind(u % step)
        for i in range(-(-k // step)):
            within = rest + i * step
            tests = [last < count + i]
            if (i + 1) * step > k:
                tests.append(within < k)
            if i:
                tests.append(_at_least(last, i))
                within = smaller(within, k - 1)
            found.append(_Place(_clamped(last - i, count, i > 0), within, tests))
        return found
    for j in range(k):
        moved = u - j * gap
        tests = [_at_least(u, j * gap)] if j else []
        if step > 1:
            tests.append(Operation("equal", (moved % step, ZERO), bool_))
        window = values.bind(moved // step)
        tests.append(window < count)
        window = _clamped(window, count, j > 0)
        found.append(_Place(window, Constant(j, int64), tests))
    return found


def _clamped(window: Expression, count: int, may_be_less: bool) -> Expression:
    """Return the number of a window as one that exists, which can be proven."""
    window = smaller(window, count - 1)
    return Operation("maximum", (window, ZERO), int64) if may_be_less else window


def _at_least(x: Expression, low: int) -> Expression:
    return Operation("less_equal", (Constant(low, int64), x), bool_)


def _both(x: Expression, y: Expression) -> Expression:
    return Operation("bitwise_and", (x, y), bool_)
