"""What is told of many numbers: moments, counts, integrals, running sums.

Read first: `moments`, `histogram`, `logcumsumexp`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import default_float, int64
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from ..shapes import as_shape, normalize_axis
from . import contract, elementwise, gather, index, movement, reduce, sort, source
from .family import NUMERIC
from .operand import Operand, as_float, require, together

Axes = int | Sequence[int] | None


def moments(
    x: Node, axis: Axes = None, *, correction: float = 0.0, keepdims: bool = False
) -> tuple[Node, Node]:
    """Return the mean and the variance over `axis`.

    Args:
        x, axis, correction, keepdims: as in `var`.
    """
    variance = reduce.var(x, axis, correction=correction, keepdims=keepdims)
    return reduce.mean(x, axis, keepdims=keepdims), variance


def average(
    x: Node,
    weights: Node | None = None,
    axis: Axes = None,
    *,
    keepdims: bool = False,
) -> Node:
    """Return the weighted mean over `axis`.

    Formula: sum(x * weights) / sum(weights).

    Args:
        weights: broadcast to the shape of `x`; or of one axis, for one `axis`. Default:
            all are equal.
        axis: None means all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: the weights do not broadcast.

    Special cases: nan or infinite where the weights add up to 0.

    Source: NumPy, average.
    """
    x = as_float("average", x)
    if weights is None:
        return reduce.mean(x, axis, keepdims=keepdims)
    if weights.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
        place = normalize_axis("average", axis, x.ndim)
        weights = movement.reshape(weights, (-1, *(1,) * (x.ndim - place - 1)))
    x, weights = together("average", x, weights)
    total = reduce.sum(elementwise.multiply(x, weights), axis, keepdims=keepdims)
    return elementwise.divide(total, reduce.sum(weights, axis, keepdims=keepdims))


def cov(x: Node, *, correction: float = 1.0) -> Node:
    """Return the covariances of variables.

    Formula: C[i, j] = sum((x[i] - mean(x[i])) * (x[j] - mean(x[j]))) / (n -
    correction).

    Args:
        x: shape (variables, n), with an observation in each column; or (n,).
        correction: 1 gives the unbiased estimate, 0 the mean.

    Returns:
        Shape (variables, variables); of one variable, its variance.

    Raises:
        ShapeError: `x` has not one or two axes.

    Source: NumPy, cov.
    """
    if x.ndim not in (1, 2):
        raise ShapeError(
            "[cov] variables are needed", got=str(x.shape), expected="(variables, n)"
        )
    x = as_float("cov", x)
    centred = elementwise.subtract(x, reduce.mean(x, -1, keepdims=True))
    free = float(max(x.shape[-1] - correction, 0))
    if x.ndim == 1:
        total = reduce.sum(elementwise.square(centred))
    else:
        total = contract.matmul(centred, movement.matrix_transpose(centred))
    return elementwise.divide(total, free)


def corrcoef(x: Node) -> Node:
    """Return the correlations of variables: their covariances over their deviations.

    Args:
        x: shape (variables, n), as in `cov`.

    Returns:
        Numbers in -1..1, shape (variables, variables); 1 of one variable.

    Raises:
        ShapeError: `x` has not one or two axes.

    Special cases: nan for a variable that does not vary.

    Source: NumPy, corrcoef.
    """
    matrix = cov(x)
    if not matrix.ndim:
        return elementwise.divide(matrix, matrix)
    deviation = elementwise.sqrt(index.diagonal(matrix))
    matrix = elementwise.divide(matrix, movement.expand_dims(deviation, -1))
    return elementwise.clip(elementwise.divide(matrix, deviation), -1.0, 1.0)


def bincount(x: Node, weights: Node | None = None, *, length: int) -> Node:
    """Return how often each of the numbers 0, 1, ... length - 1 occurs.

    Args:
        x: integers in 0..length - 1, any shape.
        weights: the sum of these for each number instead, in the shape of `x`.
        length: how many numbers. Shapes are known beforehand, so it has to be given.

    Returns:
        Shape (length,): int64, or the dtype of the weights.

    Raises:
        DTypeError: `x` are no integers.
        ShapeError: the weights have not the shape of `x`.
        IndexingError: at run time, a number is out of range.

    Gradient: to the weights.
    """
    require("bincount", x, "signed unsigned")
    (count,) = as_shape("bincount", length)
    if weights is None:
        weights = source.full(x.shape, 1, int64)
    elif weights.shape != x.shape:
        raise ShapeError(
            "[bincount] a weight is needed for each number",
            got=f"{weights.shape} for {x.shape}",
        )
    none = source.full((count,), 0, weights.dtype)
    return gather.scatter(none, elementwise.cast(x, int64), weights, 0, 0, "add")


def histogram(
    x: Node,
    bins: int = 10,
    range: Sequence[float] | None = None,
    weights: Node | None = None,
) -> tuple[Node, Node]:
    """Return how many elements lie in each of several bins, and where these begin.

    Args:
        x: any shape.
        bins: how many, of equal width.
        range: where the first begins and the last ends; what lies outside is not
            counted. Default: the least and the greatest element.
        weights: the sum of these in each bin instead, in the shape of `x`.

    Returns:
        The counts, int64 or in the dtype of the weights; and bins + 1 ends of bins. A
        bin has its lower end; the last has both.

    Raises:
        ArgumentError: no bin, or a range that does not ascend.
        ShapeError: there are no elements and no range; or the weights do not fit.

    Special cases: for elements that are all equal, the range is 1 wide around them.
    nan is not counted.

    Source: NumPy, histogram.
    """
    if bins < 1 or (range is not None and not range[0] <= range[1]):
        raise ArgumentError(
            "[histogram] at least one bin and an ascending range are needed",
            got=f"bins={bins}, range={range}",
        )
    if weights is not None and weights.shape != x.shape:
        raise ShapeError(
            "[histogram] a weight is needed for each element",
            got=f"{weights.shape} for {x.shape}",
        )
    x = as_float("histogram", x)
    if range is None:
        low, high = reduce.min(x), reduce.max(x)
    else:
        low, high = (source.constant(float(end), x.dtype) for end in range)
    point = elementwise.equal(low, high)
    room = elementwise.cast(elementwise.select(point, 0.5, 0.0), x.dtype)
    low, high = elementwise.subtract(low, room), elementwise.add(high, room)
    parts = np.arange(bins + 1) / bins
    share = source.constant(parts, x.dtype)
    rest = source.constant(1 - parts, x.dtype)
    edges = elementwise.add(
        elementwise.multiply(low, rest), elementwise.multiply(high, share)
    )
    edges = source.stop_gradient(edges)
    flat = movement.reshape(x, (x.size,))
    last = movement.slice_axis(edges, 0, bins, bins + 1)
    place = elementwise.subtract(sort.searchsorted(edges, flat, side="right"), 1)
    place = elementwise.select(elementwise.equal(flat, last), bins - 1, place)
    # What lies outside goes into a bin of its own, before the others.
    outside = elementwise.logical_or(
        elementwise.greater_equal(place, bins), elementwise.isnan(flat)
    )
    place = elementwise.add(elementwise.select(outside, -1, place), 1)
    if weights is not None:
        weights = movement.reshape(weights, (x.size,))
    counts = bincount(place, weights, length=bins + 1)
    return movement.slice_axis(counts, 0, 1, bins + 1), edges


def trapezoid(
    y: Node, x: Node | None = None, *, dx: float = 1.0, axis: int = -1
) -> Node:
    """Return the integral of `y` along `axis`, by trapezoids between its points.

    Formula: sum of (x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2.

    Args:
        y: values at the points.
        x: where the points lie: one axis, or a shape that broadcasts to that of `y`.
            Default: `dx` apart.
        dx: their distance, without `x`.
        axis: along which they follow one another.

    Source: NumPy, trapezoid.
    """
    y = as_float("trapezoid", y)
    axis = normalize_axis("trapezoid", axis, y.ndim)
    n = y.shape[axis]
    low = movement.slice_axis(y, axis, 0, max(n - 1, 0))
    high = movement.slice_axis(y, axis, min(1, n), n)
    middle = elementwise.multiply(elementwise.add(low, high), 0.5)
    if x is None:
        return elementwise.multiply(reduce.sum(middle, axis), dx)
    if x.ndim == 1:
        step = reduce.diff(x)
        step = movement.reshape(step, (step.size, *(1,) * (y.ndim - axis - 1)))
    else:
        step = reduce.diff(x, axis=axis - y.ndim)
    return reduce.sum(elementwise.multiply(middle, step), axis)


def interp(x: Operand, xp: Node, fp: Node) -> Node:
    """Return a function at `x` that is linear between known points.

    Args:
        x: where, any shape.
        xp: where the function is known, ascending, shape (n,).
        fp: its values there, shape (n,).

    Returns:
        The shape of `x`; before the first point and after the last their values.

    Raises:
        ShapeError: `xp` and `fp` have not one shape (n,), or are empty.

    Gradient: to `x` and `fp`, and to `xp`.

    Source: NumPy, interp.
    """
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(
            "[interp] as many places as values are needed",
            got=f"{xp.shape} and {fp.shape}",
            expected="(n,) and (n,)",
        )
    (x,) = together("interp", x)
    x, xp, fp = (as_float("interp", one) for one in (x, xp, fp))
    n = xp.size
    if n == 1:
        return movement.expand(movement.reshape(fp, ()), x.shape)
    after = elementwise.clip(sort.searchsorted(xp, x, side="right"), 1, n - 1)
    before = elementwise.subtract(after, 1)
    left, right = gather.gather(xp, before, 0), gather.gather(xp, after, 0)
    low, high = gather.gather(fp, before, 0), gather.gather(fp, after, 0)
    width = elementwise.subtract(right, left)
    share = elementwise.divide(
        elementwise.subtract(x, left),
        elementwise.select(elementwise.equal(width, 0), 1, width),
    )
    step = elementwise.multiply(share, elementwise.subtract(high, low))
    result = elementwise.add(low, step)
    result = elementwise.select(elementwise.less_equal(x, left), low, result)
    return elementwise.select(elementwise.greater_equal(x, right), high, result)


def cumulative_min(x: Node, *, axis: int) -> Node:
    """Return the running minimum of `x` along `axis`.

    Gradient: to the latest position at which the minimum was set.
    """
    require("cumulative_min", x, NUMERIC)
    turn = elementwise.negative if x.dtype.is_float else elementwise.bitwise_invert
    return turn(reduce.cumulative_max(turn(x), axis=axis))


def logcumsumexp(x: Node, *, axis: int) -> Node:
    """Return `log(cumulative_sum(exp(x)))` along `axis`, without overflow.

    Formula: sums of 2, 4, 8, ... neighbours, each of two that overlap not at all.

    Special cases: -inf as long as all elements are -inf.
    """
    x = as_float("logcumsumexp", x)
    axis = normalize_axis("logcumsumexp", axis, x.ndim)
    dtype, x = x.dtype, reduce.widened(x)
    n, step = x.shape[axis], 1
    while step < n:
        head = movement.slice_axis(x, axis, 0, step)
        pairs = elementwise.logaddexp(
            movement.slice_axis(x, axis, step, n),
            movement.slice_axis(x, axis, 0, n - step),
        )
        x = movement.concat([head, pairs], axis=axis)
        step *= 2
    return elementwise.cast(x, dtype)


# Numbers of the same kind taken together


def _segments(
    op: str, x: Node, segment_ids: Node, num_segments: int, mode: str, start: float
) -> Node:
    require(op, segment_ids, "signed unsigned")
    (count,) = as_shape(op, num_segments)
    if segment_ids.shape != x.shape[: segment_ids.ndim] or not segment_ids.ndim:
        raise ShapeError(
            f"[{op}] a segment is needed for each row",
            got=f"{segment_ids.shape} for {x.shape}",
        )
    rest = x.shape[segment_ids.ndim :]
    rows = movement.reshape(x, (segment_ids.size, *rest))
    ids = movement.reshape(segment_ids, (segment_ids.size,))
    none = source.full((count, *rest), start, x.dtype)
    return gather.scatter(none, elementwise.cast(ids, int64), rows, 0, 0, mode)


def segment_sum(x: Node, segment_ids: Node, num_segments: int) -> Node:
    """Return the sums of the rows of each segment.

    Args:
        x: shape (n, ...).
        segment_ids: the segment of each row, integers in 0..num_segments - 1, in any
            order, shape (n,).
        num_segments: how many. Shapes are known beforehand, so it has to be given.

    Returns:
        Shape (num_segments, ...); 0 for a segment without rows.

    Raises:
        DTypeError: `segment_ids` are no integers.
        ShapeError: there is not one for each row.
        IndexingError: at run time, one is out of range.
    """
    return _segments("segment_sum", x, segment_ids, num_segments, "add", 0)


def segment_prod(x: Node, segment_ids: Node, num_segments: int) -> Node:
    """Return the products of the rows of each segment; 1 for one without rows.

    Arguments as in `segment_sum`.
    """
    return _segments("segment_prod", x, segment_ids, num_segments, "multiply", 1)


def _bound(x: Node, least: bool) -> float:
    if x.dtype.is_float:
        return -math.inf if least else math.inf
    if x.dtype.kind == "bool":
        return not least
    kind: Any = x.dtype.numpy
    limits = np.iinfo(kind)
    return int(limits.min if least else limits.max)


def segment_max(x: Node, segment_ids: Node, num_segments: int) -> Node:
    """Return the greatest element of the rows of each segment.

    Arguments as in `segment_sum`.

    Special cases: the least number of the dtype, or -inf, for a segment without rows.

    Gradient: shared equally between equal greatest elements.
    """
    start = _bound(x, True)
    return _segments("segment_max", x, segment_ids, num_segments, "max", start)


def segment_min(x: Node, segment_ids: Node, num_segments: int) -> Node:
    """Return the least element of the rows of each segment.

    Arguments as in `segment_sum`.

    Special cases: the greatest number of the dtype, or inf, for a segment without
    rows.

    Gradient: shared equally between equal least elements.
    """
    start = _bound(x, False)
    return _segments("segment_min", x, segment_ids, num_segments, "min", start)


def segment_mean(x: Node, segment_ids: Node, num_segments: int) -> Node:
    """Return the means of the rows of each segment; 0 for one without rows.

    Arguments as in `segment_sum`.
    """
    x = as_float("segment_mean", x)
    total = segment_sum(x, segment_ids, num_segments)
    count = bincount(segment_ids, length=num_segments)
    count = elementwise.cast(elementwise.maximum(count, 1), x.dtype)
    rest = total.ndim - 1
    return elementwise.divide(total, movement.reshape(count, (-1, *(1,) * rest)))


# Classes


def multi_hot(x: Node, num_classes: int) -> Node:
    """Return 1 at every class that is named along the last axis of `x`, 0 elsewhere.

    Args:
        x: integers, shape (..., n).
        num_classes: how many classes there are.

    Returns:
        Shape (..., num_classes), in the default floating-point type.

    Raises:
        DTypeError: `x` are no integers.
        ShapeError: `x` has no axes.

    Special cases: what is not in 0..num_classes - 1 names no class.
    """
    if not x.ndim:
        raise ShapeError("[multi_hot] at least one axis is needed", got=str(x.shape))
    named = reduce.any(index.one_hot(x, num_classes), -2)
    return elementwise.cast(named, default_float)


def in_top_k(targets: Node, predictions: Node, k: int) -> Node:
    """Return whether the target class is among the `k` with the greatest predictions.

    Args:
        targets: classes, integers of shape (...).
        predictions: shape (..., classes).
        k: how many.

    Returns:
        bool of shape (...). Classes with equal predictions rank alike.

    Raises:
        DTypeError: `targets` are no integers.
        ShapeError: there is not one target for each line of predictions.
        IndexingError: at run time, a target is out of range.

    Special cases: false where the prediction of the target is nan or infinite.
    """
    if targets.shape != predictions.shape[:-1]:
        raise ShapeError(
            "[in_top_k] a target is needed for each line of predictions",
            got=f"{targets.shape} and {predictions.shape}",
        )
    require("in_top_k", targets, "signed unsigned")
    place = movement.expand_dims(targets, -1)
    own = index.take_along_axis(predictions, place, axis=-1)
    above = reduce.count_nonzero(elementwise.greater(predictions, own), -1)
    known = elementwise.isfinite(movement.squeeze(own, -1))
    return elementwise.logical_and(elementwise.less(above, k), known)


OPS = (
    moments, average, cov, corrcoef, bincount, histogram, trapezoid, interp,
    cumulative_min, logcumsumexp, segment_sum, segment_prod, segment_max, segment_min,
    segment_mean, multi_hot, in_top_k,
)  # fmt: skip
