"""Reductions of the numbers that are there: nan stands for those that are missing.

Read first: `nansum`, `nanmean`, `nanquantile`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import DType, int64
from ..ir.graph import Node
from ..shapes import reduced_shape
from . import elementwise, index, movement, reduce, sort
from .operand import as_float

Axes = int | Sequence[int] | None


def _filled(x: Node, value: float) -> Node:
    """Return `x` with a number in place of nan."""
    if not x.dtype.is_float:
        return x
    return elementwise.select(elementwise.isnan(x), value, x)


def _count(x: Node, axis: Axes, keepdims: bool) -> Node:
    """Return how many numbers there are, as int64."""
    return reduce.count_nonzero(elementwise.equal(x, x), axis, keepdims=keepdims)


def nansum(
    x: Node, axis: Axes = None, *, dtype: DType | None = None, keepdims: bool = False
) -> Node:
    """Return the sum over `axis` without nans; 0 if there is nothing else.

    Args:
        x, axis, dtype, keepdims: as in `sum`.

    Gradient: 0 to nans.
    """
    return reduce.sum(_filled(x, 0), axis, dtype=dtype, keepdims=keepdims)


def nanprod(
    x: Node, axis: Axes = None, *, dtype: DType | None = None, keepdims: bool = False
) -> Node:
    """Return the product over `axis` without nans; 1 if there is nothing else.

    Args:
        x, axis, dtype, keepdims: as in `sum`.

    Gradient: 0 to nans.
    """
    return reduce.prod(_filled(x, 1), axis, dtype=dtype, keepdims=keepdims)


def nanmean(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the arithmetic mean over `axis` without nans; nan if there is nothing
    else.

    Args:
        x, axis, keepdims: as in `mean`.

    Gradient: 0 to nans.
    """
    x = as_float("nanmean", x)
    wide = reduce.widened(x)
    total = nansum(wide, axis, keepdims=keepdims)
    count = elementwise.cast(_count(x, axis, keepdims), wide.dtype)
    return elementwise.cast(elementwise.divide(total, count), x.dtype)


def nanvar(
    x: Node, axis: Axes = None, *, correction: float = 0.0, keepdims: bool = False
) -> Node:
    """Return the variance over `axis` without nans.

    Args:
        x, axis, correction, keepdims: as in `var`.

    Special cases: nan where there are not more numbers than `correction`.

    Gradient: 0 to nans.
    """
    x = as_float("nanvar", x)
    return elementwise.cast(_variance(x, axis, correction, keepdims), x.dtype)


def _variance(x: Node, axis: Axes, correction: float, keepdims: bool) -> Node:
    wide = reduce.widened(x)
    missing = elementwise.isnan(wide)
    centred = elementwise.subtract(_filled(wide, 0), nanmean(wide, axis, keepdims=True))
    squares = elementwise.square(elementwise.select(missing, 0, centred))
    total = reduce.sum(squares, axis, keepdims=keepdims)
    count = elementwise.cast(_count(x, axis, keepdims), wide.dtype)
    free = elementwise.subtract(count, correction)
    enough = elementwise.greater(free, 0)
    return elementwise.divide(total, elementwise.select(enough, free, math.nan))


def nanstd(
    x: Node, axis: Axes = None, *, correction: float = 0.0, keepdims: bool = False
) -> Node:
    """Return the standard deviation over `axis` without nans: the root of `nanvar`.

    Args:
        x, axis, correction, keepdims: as in `var`.
    """
    x = as_float("nanstd", x)
    variance = _variance(x, axis, correction, keepdims)
    return elementwise.cast(elementwise.sqrt(variance), x.dtype)


def nanmax(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the greatest number over `axis`; nan if there is none.

    Args:
        x, axis, keepdims: as in `max`.

    Raises:
        ShapeError: there are no elements.

    Gradient: shared equally between equal greatest numbers.
    """
    return _extreme(x, axis, keepdims, least=False)


def nanmin(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the least number over `axis`; nan if there is none.

    Args:
        x, axis, keepdims: as in `min`.

    Raises:
        ShapeError: there are no elements.

    Gradient: shared equally between equal least numbers.
    """
    return _extreme(x, axis, keepdims, least=True)


def _extreme(x: Node, axis: Axes, keepdims: bool, least: bool) -> Node:
    reduction = reduce.min if least else reduce.max
    found = reduction(
        _filled(x, math.inf if least else -math.inf), axis, keepdims=keepdims
    )
    if not x.dtype.is_float:
        return found
    none = elementwise.equal(_count(x, axis, keepdims), 0)
    return elementwise.select(none, math.nan, found)


def nanargmax(x: Node, axis: int | None = None, *, keepdims: bool = False) -> Node:
    """Return the position of the greatest number along `axis`, as int64.

    Args:
        x, axis, keepdims: as in `argmax`.

    Special cases: 0 where there are only nans.
    """
    return reduce.argmax(_filled(x, -math.inf), axis, keepdims=keepdims)


def nanargmin(x: Node, axis: int | None = None, *, keepdims: bool = False) -> Node:
    """Return the position of the least number along `axis`, as int64.

    Args:
        x, axis, keepdims: as in `argmin`.

    Special cases: 0 where there are only nans.
    """
    return reduce.argmin(_filled(x, math.inf), axis, keepdims=keepdims)


def nanquantile(
    x: Node, q: float | Sequence[float], axis: Axes = None, *, keepdims: bool = False
) -> Node:
    """Return `quantile` without nans, by linear interpolation.

    Args:
        q: one number in 0..1, or several.
        x, axis, keepdims: as in `quantile`.

    Returns:
        For several `q`, an axis of their number in front.

    Raises:
        ArgumentError: a `q` is not in 0..1.
        ShapeError: there are no elements.

    Special cases: nan where there are only nans.

    Gradient: to the elements used, by their shares.
    """
    shares = sort.shares_of("nanquantile", q)
    line, axes = sort.lined_up("nanquantile", x, axis)
    count = reduce.sum(elementwise.cast(elementwise.equal(line, line), int64), -1)
    last = elementwise.maximum(elementwise.subtract(count, 1), 0)
    shape = reduced_shape(x.shape, axes, keepdims)
    found = [movement.reshape(_between(line, one, last), shape) for one in shares]
    return sort.one_or_all(found, q, shape, line.dtype)


def _between(line: Node, share: float, last: Node) -> Node:
    """Return what stands at `share * last` of sorted lines."""
    dtype = line.dtype
    place = elementwise.multiply(
        elementwise.cast(last, reduce.widened(line).dtype), share
    )
    low = elementwise.floor(place)
    rest = elementwise.cast(elementwise.subtract(place, low), dtype)
    position = elementwise.cast(low, int64)
    after = elementwise.minimum(elementwise.add(position, 1), last)
    first, second = (
        index.take_along_axis(line, movement.expand_dims(at, -1), axis=-1)
        for at in (position, after)
    )
    return sort.part_way(first, second, movement.expand_dims(rest, -1))


def nanmedian(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return `median` without nans: the middle number, or the mean of the middle two.

    Args:
        x, axis, keepdims: as in `median`.

    Raises:
        ShapeError: there are no elements.

    Special cases: nan where there are only nans.
    """
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


OPS = (
    nansum, nanprod, nanmean, nanvar, nanstd, nanmax, nanmin, nanargmax, nanargmin,
    nanquantile, nanmedian,
)  # fmt: skip
