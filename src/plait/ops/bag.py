"""Bags of rows of a table: looked up by number and put together, bag by bag.

Read first: `embedding_bag`.
"""

from __future__ import annotations

import math

from ..dtypes import float32, int64, promote
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Node
from . import activation, elementwise, gather, movement, reduce, source

_MODES = ("sum", "mean", "max")


def embedding_bag(
    ids: Node,
    weight: Node,
    offsets: Node | None = None,
    per_sample_weights: Node | None = None,
    *,
    mode: str = "mean",
    padding_idx: int | None = None,
    include_last_offset: bool = False,
) -> Node:
    """Return the sum, the mean or the maximum of the rows of each bag.

    It is `embedding` and a reduction of its rows.

    Args:
        ids: integers in -n..n-1, the rows: shape (bags, rows of each), or shape (rows,)
            for bags of several sizes, one after another.
        weight: the table, shape (n, features).
        offsets: integers that do not decrease, where in `ids` each bag begins; the
            first is 0. Needed if, and only if, `ids` has one axis.
        per_sample_weights: the shape of `ids`, factors of the rows; with mode "sum".
        mode: "sum", "mean" or "max".
        padding_idx: the number of a row that is left out wherever it stands.
        include_last_offset: `offsets` has one more number, where the last bag ends.

    Returns:
        Shape (bags, features); 0 for a bag without rows.

    Raises:
        DTypeError: `ids` or `offsets` are no integers.
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such mode; or offsets are missing or too many.
        IndexingError: at run time, a number is out of range.

    Gradient: to the rows that were taken, and to `per_sample_weights`.
    """
    op = "embedding_bag"
    _check(op, ids, offsets, per_sample_weights, mode, weight, include_last_offset)
    counted: Node | None = None
    if padding_idx is not None:
        # Counted from the end, a number may mean the same row.
        n = weight.shape[0]
        counted = elementwise.not_equal(elementwise.remainder(ids, n), padding_idx % n)
    rows = activation.embedding(ids, weight)
    dtype = rows.dtype
    rows = elementwise.cast(rows, promote(dtype, float32))
    if per_sample_weights is not None:
        factors = elementwise.cast(per_sample_weights, rows.dtype)
        rows = elementwise.multiply(rows, movement.expand_dims(factors, -1))
    if counted is not None:
        none = -math.inf if mode == "max" else 0.0
        rows = elementwise.select(movement.expand_dims(counted, -1), rows, none)
    if offsets is None:
        result = _equal_bags(rows, counted, mode)
    else:
        result = _bags(rows, counted, mode, offsets, include_last_offset)
    return elementwise.cast(result, dtype)


def _check(
    op: str,
    ids: Node,
    offsets: Node | None,
    factors: Node | None,
    mode: str,
    weight: Node,
    include_last_offset: bool,
) -> None:
    if mode not in _MODES:
        raise ArgumentError(
            f"[{op}] there is no such mode", got=repr(mode), expected=", ".join(_MODES)
        )
    if weight.ndim != 2:
        raise ShapeError(
            f"[{op}] the weight must have two axes", got=str(weight.shape),
            expected="(n, features)",
        )  # fmt: skip
    if ids.ndim not in (1, 2):
        raise ShapeError(
            f"[{op}] rows are numbered in one axis, or in one for each bag",
            got=str(ids.shape),
        )
    if (offsets is None) == (ids.ndim == 1):
        raise ArgumentError(
            f"[{op}] offsets say where bags begin if the ids have one axis, and only "
            "then",
            got=f"ids of shape {ids.shape}, "
            + ("no offsets" if offsets is None else f"offsets {offsets.shape}"),
        )
    if offsets is not None:
        if not offsets.dtype.is_integer:
            raise DTypeError(f"[{op}] offsets are integers", got=offsets.dtype.name)
        if offsets.ndim != 1 or offsets.size < include_last_offset:
            raise ShapeError(
                f"[{op}] the offsets must have one axis", got=str(offsets.shape)
            )
    if factors is None:
        return
    if mode != "sum":
        raise ArgumentError(
            f"[{op}] per_sample_weights are for sums", got=f"mode={mode!r}"
        )
    if factors.shape != ids.shape:
        raise ShapeError(
            f"[{op}] each row needs one weight",
            got=f"per_sample_weights {factors.shape} for ids {ids.shape}",
        )


def _equal_bags(rows: Node, counted: Node | None, mode: str) -> Node:
    """Return what is made of rows, shape (bags, rows of each, features)."""
    if mode == "max":
        if not rows.shape[1]:
            return source.full((rows.shape[0], rows.shape[2]), 0, rows.dtype)
        return _or_zero(reduce.max(rows, 1))
    total = reduce.sum(rows, 1)
    if mode == "sum":
        return total
    if counted is None:
        return elementwise.divide(total, float(max(rows.shape[1], 1)))
    count = reduce.sum(elementwise.cast(counted, rows.dtype), 1, keepdims=True)
    return elementwise.divide(total, elementwise.maximum(count, 1.0))


def _bags(
    rows: Node,
    counted: Node | None,
    mode: str,
    offsets: Node,
    include_last_offset: bool,
) -> Node:
    """Return what is made of rows, shape (rows, features), from offset to offset."""
    n, features = rows.shape
    # Row i belongs to the bag with as many offsets up to i. What lies before the first
    # bag, or after the end of the last, falls into rows that are cut off again.
    offsets = elementwise.cast(offsets, int64)
    marks = source.full((n + 1,), 0, int64)
    ones = source.full(offsets.shape, 1, int64)
    marks = gather.scatter(marks, offsets, ones, 0, 0, "add")
    bag = movement.slice_axis(reduce.cumulative_sum(marks, axis=0), 0, 0, n)
    bags = offsets.size - include_last_offset
    start = -math.inf if mode == "max" else 0.0
    whole = source.full((offsets.size + 1, features), start, rows.dtype)
    how = "max" if mode == "max" else "add"
    result = gather.scatter(whole, bag, rows, 0, 0, how)
    result = movement.slice_axis(result, 0, 1, 1 + bags)
    if mode == "max":
        return _or_zero(result)
    if mode == "sum":
        return result
    if counted is None:
        ends = movement.slice_axis(offsets, 0, min(offsets.size, 1), offsets.size)
        if bags and not include_last_offset:
            ends = movement.concat([ends, source.full((1,), n, int64)])
        starts = movement.slice_axis(offsets, 0, 0, bags)
        count = elementwise.subtract(ends, starts)
        count = elementwise.cast(count, rows.dtype)
    else:
        each = elementwise.cast(counted, rows.dtype)
        count = source.full((offsets.size + 1,), 0, rows.dtype)
        count = gather.scatter(count, bag, each, 0, 0, "add")
        count = movement.slice_axis(count, 0, 1, 1 + bags)
    divisor = movement.expand_dims(elementwise.maximum(count, 1.0), -1)
    return elementwise.divide(result, divisor)


def _or_zero(x: Node) -> Node:
    """Return 0 in place of the greatest of nothing."""
    return elementwise.select(elementwise.equal(x, -math.inf), 0.0, x)


OPS = (embedding_bag,)
