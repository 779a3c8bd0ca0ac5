"""Ops that read and write at positions that are data: take, repeat, index_add ...

Knows nothing of Python's keys, as in `x[...]`: those are in `indexing`.

Read first: `take`, `index_add`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from ..dtypes import DType, default_float, int64
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape, broadcast, normalize_axis
from . import elementwise, gather, movement, reduce, source
from .operand import Operand, as_node, require

# Ops that read


def take(x: Node, indices: Node, *, axis: int | None = None) -> Node:
    """Return the elements of `x` at `indices` of `axis`.

    Args:
        indices: integers of any shape; negative ones count from the end.
        axis: may be left out for a tensor of one axis.

    Returns:
        Shape `x.shape[:axis] + indices.shape + x.shape[axis + 1:]`.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ArgumentError: no axis is given and `x` has not one axis.

    Gradient: `ct` added at `indices`.

    Source: Array API standard 2024.12.
    """
    axis = reduce.only_axis("take", x, axis)
    return gather.gather(x, gather.wrap_index(indices, x.shape[axis], axis), axis)


def _along(op: str, x: Node, indices: Node, axis: int) -> tuple[int, Shape]:
    """Check operands that match beside `axis`; return it and the common other sizes."""
    if x.ndim != indices.ndim:
        raise ShapeError(
            f"[{op}] the tensor and the indices differ in the number of axes",
            got=f"{x.shape} and indices {indices.shape}",
        )
    axis = normalize_axis(op, axis, x.ndim)
    first, second = (
        (*node.shape[:axis], *node.shape[axis + 1 :]) for node in (x, indices)
    )
    return axis, broadcast(op, first, second)


def _with_last(x: Node, axis: int, lead: Shape) -> Node:
    """Move `axis` to the end, and expand the others to `lead`."""
    return movement.expand(movement.moveaxis(x, axis, -1), (*lead, x.shape[axis]))


def take_along_axis(x: Node, indices: Node, *, axis: int = -1) -> Node:
    """Return, along `axis`, the elements of `x` at `indices`.

    Formula: on vectors out[i] = x[indices[i]]; else each line has its own indices.

    Args:
        indices: integers, as many axes as `x`; those beside `axis` broadcast. Negative
            ones count from the end.

    Returns:
        The shape of `indices`, broadcast beside `axis`.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: the other axes do not broadcast.

    Gradient: `ct` added at `indices`.

    Source: Array API standard 2024.12.
    """
    axis, lead = _along("take_along_axis", x, indices, axis)
    indices = gather.wrap_index(indices, x.shape[axis], axis)
    n = len(lead)
    x, indices = _with_last(x, axis, lead), _with_last(indices, axis, lead)
    return movement.moveaxis(gather.gather(x, indices, n, n), -1, axis)


def repeat(x: Node, repeats: int | Sequence[int], *, axis: int | None = None) -> Node:
    """Return `x` with each element repeated along `axis`.

    Args:
        repeats: how often; one number, or one for each element of the axis.
        axis: None flattens `x` first.

    Raises:
        ShapeError: `repeats` has not one number for each element, or a negative one.

    Source: Array API standard 2024.12.
    """
    if axis is None:
        x, axis = movement.reshape(x, (x.size,)), 0
    axis = normalize_axis("repeat", axis, x.ndim)
    n = x.shape[axis]
    counts = as_shape("repeat", repeats)
    if isinstance(repeats, (tuple, list)) and len(counts) not in (1, n):
        raise ShapeError(
            "[repeat] one number is needed for each element of the axis",
            got=f"{len(counts)} numbers for axis {axis} of shape {x.shape}",
        )
    if len(counts) > 1:
        order = source.constant(np.repeat(np.arange(n), counts), int64)
        return gather.gather(x, order, axis)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    (count,) = counts or (1,)
    wide = movement.expand_dims(x, axis=axis + 1)
    wide = movement.expand(wide, (*before, n, count, *after))
    return movement.reshape(wide, (*before, n * count, *after))


def diagonal(x: Node, *, offset: int = 0) -> Node:
    """Return the diagonals of matrices.

    Args:
        x: shape (..., n, m).
        offset: which diagonal: above the main one if positive, below it if negative.

    Returns:
        Shape (..., length of the diagonal).

    Raises:
        ShapeError: `x` has fewer than two axes.

    Source: Array API standard 2024.12, linalg.diagonal.
    """
    if x.ndim < 2:
        raise ShapeError("[diagonal] at least two axes are needed", got=str(x.shape))
    *lead, n, m = x.shape
    offset = operator.index(offset)
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    start = offset if offset >= 0 else -offset * m
    # One step down and one to the right is m + 1 elements on.
    flat = movement.reshape(x, (*lead, n * m))
    if length == 0:
        return movement.slice_axis(flat, len(lead), 0, 0)
    stop = start + (length - 1) * (m + 1) + 1
    return movement.slice_axis(flat, len(lead), start, stop, m + 1)


def trace(x: Node, *, offset: int = 0, dtype: DType | None = None) -> Node:
    """Return the sums over the diagonals of matrices.

    Args:
        x, offset: as in `diagonal`.
        dtype: of the result, as in `sum`.

    Returns:
        Shape (...).

    Source: Array API standard 2024.12, linalg.trace.
    """
    return reduce.sum(diagonal(x, offset=offset), -1, dtype=dtype)


def meshgrid(*arrays: Node, indexing: str = "xy") -> list[Node]:
    """Return the coordinates of all points of a grid, one tensor for each of `arrays`.

    Args:
        arrays: coordinates along each axis, of at most one axis each.
        indexing: "ij" puts array i along axis i; "xy" exchanges the first two axes.

    Source: Array API standard 2024.12.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(
            "[meshgrid] there is no such indexing",
            got=repr(indexing),
            expected="xy or ij",
        )
    if any(x.ndim > 1 for x in arrays):
        raise ShapeError(
            "[meshgrid] arrays of at most one axis are needed",
            got=" and ".join(str(x.shape) for x in arrays),
        )
    count = len(arrays)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = 1, 0
    shape = [0] * count
    for x, place in zip(arrays, places, strict=True):
        shape[place] = x.size
    result = []
    for x, place in zip(arrays, places, strict=True):
        line = [1] * count
        line[place] = x.size
        result.append(movement.expand(movement.reshape(x, line), tuple(shape)))
    return result


def one_hot(x: Node, num_classes: int, *, dtype: DType | None = None) -> Node:
    """Return 1 at the class that each element of `x` names, 0 elsewhere.

    Args:
        x: integers, any shape.
        num_classes: how many classes there are.
        dtype: of the result. Default: the default floating-point type.

    Returns:
        Shape (..., num_classes).

    Raises:
        DTypeError: `x` are no integers.

    Special cases: all 0 where `x` is not in 0..num_classes-1.
    """
    require("one_hot", x, "signed unsigned")
    (count,) = as_shape("one_hot", num_classes)
    classes = source.iota(count, int64)
    place = movement.expand_dims(elementwise.cast(x, int64), axis=-1)
    hot = elementwise.equal(place, classes)
    return elementwise.cast(hot, default_float if dtype is None else dtype)


# Ops that write


def _index_update(
    op: str, x: Node, indices: Node, updates: Operand, axis: int, mode: str
) -> Node:
    gather.check_mode(op, mode)
    axis = normalize_axis(op, axis, x.ndim)
    index = gather.wrap_index(indices, x.shape[axis], axis)
    shape = gather.indexed_shape(x.shape, index.shape, axis, 0)
    new = gather.fit(op, updates, x.dtype, shape)
    return gather.scatter(x, index, new, axis, 0, mode)


def index_add(x: Node, indices: Node, updates: Operand, *, axis: int) -> Node:
    """Return `x` with `updates` added at `indices` of `axis`; equal indices add up.

    Args:
        indices: integers of any shape; negative ones count from the end.
        updates: broadcast to the shape of `take(x, indices, axis=axis)`, and cast to
            the dtype of `x`. 16-bit floats are accumulated in float32.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: `updates` do not broadcast to the indexed shape.

    Gradient: `(ct, take(ct, indices))`.
    """
    return _index_update("index_add", x, indices, updates, axis, "add")


def index_copy(x: Node, indices: Node, updates: Operand, *, axis: int) -> Node:
    """Return `x` with `updates` put at `indices` of `axis`.

    Arguments and errors are those of `index_add`.

    Special cases: of updates at equal indices the last one stays.

    Gradient: `ct` without the places written, and `ct` at the updates that stayed.
    """
    return _index_update("index_copy", x, indices, updates, axis, "set")


def index_reduce(
    x: Node, indices: Node, updates: Operand, *, axis: int, mode: str
) -> Node:
    """Return `x` combined with `updates` at `indices` of `axis`.

    Args:
        mode: "add", "multiply", "max", "min" or "set". The others are those of
            `index_add`.

    Gradient: in "max" and "min" shared equally between equal extremes. Second
    derivatives of "multiply" miss terms where updates are 0.
    """
    return _index_update("index_reduce", x, indices, updates, axis, mode)


def put_along_axis(
    x: Node, indices: Node, values: Operand, *, axis: int = -1, mode: str = "set"
) -> Node:
    """Return `x` with, along `axis`, `values` put at `indices`.

    Formula: on vectors out[indices[i]] = values[i]; else each line has its own indices.

    Args:
        indices: integers, as many axes as `x`; the others broadcast to those of `x`.
            Negative ones count from the end.
        values: broadcast to `indices`, and cast to the dtype of `x`.
        mode: "set" (of equal indices the last one stays), "add", "multiply", "max" or
            "min" with what is there.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: a shape does not broadcast.

    Gradient: that of `index_reduce`.
    """
    gather.check_mode("put_along_axis", mode)
    axis, lead = _along("put_along_axis", x, indices, axis)
    if lead != (*x.shape[:axis], *x.shape[axis + 1 :]):
        raise ShapeError(
            "[put_along_axis] the indices do not broadcast to the tensor",
            got=f"{x.shape} and indices {indices.shape}",
        )
    index = gather.wrap_index(indices, x.shape[axis], axis)
    shape = (*x.shape[:axis], indices.shape[axis], *x.shape[axis + 1 :])
    new = gather.fit("put_along_axis", values, x.dtype, shape)
    new = movement.moveaxis(new, axis, -1)
    n = len(lead)
    result = gather.scatter(
        movement.moveaxis(x, axis, -1), _with_last(index, axis, lead), new, n, n, mode
    )
    return movement.moveaxis(result, -1, axis)


def masked_fill(x: Node, mask: Node, value: Operand) -> Node:
    """Return `x` with `value` where `mask` is true, in the dtype of `x`.

    Args:
        mask: bool, broadcast against `x`.
        value: a number, or a tensor that broadcasts too.

    Raises:
        DTypeError: the mask is not bool.
        ShapeError: the shapes do not broadcast.

    Gradient: `ct` where `mask` is false, to `x`; the rest to `value`.
    """
    require("masked_fill", mask, "bool")
    return elementwise.select(mask, as_node("masked_fill", value, x.dtype), x)


OPS = (
    take, take_along_axis, repeat, diagonal, trace, meshgrid, one_hot, index_add,
    index_copy, index_reduce, put_along_axis, masked_fill,
)  # fmt: skip
