"""Distances between rows of tensors: of all pairs of them, or one by one.

Read first: `cdist`.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import int64
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from ..shapes import broadcast
from . import activation, contract, elementwise, gather, movement, reduce, source
from .operand import float_dtype, inner_dtype
from .source import constant


def _order(op: str, p: float) -> None:
    if not p >= 0:
        raise ArgumentError(f"[{op}] p must be at least 0", got=f"p={p}")


def _norm(difference: Node, p: float) -> Node:
    """Return the `p`-norm along the last axis; with `p` 0, how many are not 0."""
    if not difference.shape[-1]:
        return reduce.sum(difference, -1)
    if p == 0:
        other = elementwise.not_equal(difference, 0)
        return reduce.sum(elementwise.cast(other, difference.dtype), -1)
    return movement.squeeze(activation.norm_along(difference, p, -1), -1)


def cdist(x1: Node, x2: Node, p: float = 2.0) -> Node:
    """Return the distance of each row of `x1` from each row of `x2`.

    Formula: y[..., i, j] = (sum over k of abs(x1[..., i, k] - x2[..., j, k]) ** p)
    ** (1 / p).

    Args:
        x1: shape (..., n, features).
        x2: shape (..., m, features); the axes before broadcast.
        p: at least 0; 0 counts the features that differ, `math.inf` takes the greatest
            difference.

    Returns:
        Shape (..., n, m).

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `p` is negative.

    Gradient: 0 between equal rows.
    """
    op = "cdist"
    _order(op, p)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"[{op}] rows of equal length are needed",
            got=f"{x1.shape} and {x2.shape}",
            expected="(..., n, features) and (..., m, features)",
        )
    broadcast(op, x1.shape[:-2], x2.shape[:-2])
    dtype = float_dtype(x1, x2)
    x1, x2 = (elementwise.cast(x, inner_dtype(dtype)) for x in (x1, x2))
    if p == 2 and x1.shape[-1] and (x1.differentiable or x2.differentiable):
        return elementwise.cast(_euclidean(x1, x2), dtype)
    return elementwise.cast(_norm(_differences(x1, x2), p), dtype)


def _differences(x1: Node, x2: Node) -> Node:
    return elementwise.subtract(
        movement.expand_dims(x1, -2), movement.expand_dims(x2, -3)
    )


def _euclidean(x1: Node, x2: Node) -> Node:
    """Return the distances of rows for p = 2, with derivatives by products of matrices.

    The values are exact, as sums of squared differences. The derivatives are those of
    |a| ** 2 + |b| ** 2 - 2 a @ b, which would be too coarse between near rows.
    """
    plain1, plain2 = source.stop_gradient(x1), source.stop_gradient(x2)
    exact = reduce.sum(elementwise.square(_differences(plain1, plain2)), -1)
    # Far from 0 its derivatives would be coarse, too.
    middle = reduce.mean(plain1, -2, keepdims=True) if x1.shape[-2] else 0.0
    x1, x2 = elementwise.subtract(x1, middle), elementwise.subtract(x2, middle)
    product = contract.matmul(x1, movement.matrix_transpose(x2))
    lengths = elementwise.add(
        reduce.sum(elementwise.square(x1), -1, keepdims=True),
        movement.expand_dims(reduce.sum(elementwise.square(x2), -1), -2),
    )
    smooth = elementwise.subtract(lengths, elementwise.multiply(product, 2.0))
    change = elementwise.subtract(smooth, source.stop_gradient(smooth))  # it is 0
    equal = elementwise.equal(exact, 0)
    safe = elementwise.select(equal, 1.0, elementwise.add(exact, change))
    return elementwise.select(equal, 0.0, elementwise.sqrt(safe))


def pdist(x: Node, p: float = 2.0) -> Node:
    """Return the distances between the rows of `x`, each pair once.

    Args:
        x: shape (n, features).
        p: as in `cdist`.

    Returns:
        Shape (n * (n - 1) / 2,): those of rows (0, 1), (0, 2), ..., (1, 2), ...

    Raises:
        ShapeError: `x` has not two axes.
        ArgumentError: `p` is negative.

    Gradient: 0 between equal rows.
    """
    op = "pdist"
    _order(op, p)
    if x.ndim != 2:
        raise ShapeError(
            f"[{op}] rows are needed", got=str(x.shape), expected="(n, features)"
        )
    n = x.shape[0]
    first, second = np.triu_indices(n, 1)
    flat = movement.reshape(cdist(x, x, p), (n * n,))
    return gather.gather(flat, constant(first * n + second, int64), 0)


def pairwise_distance(
    x1: Node, x2: Node, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Node:
    """Return the `p`-norm of `x1 - x2 + eps` along the last axis.

    Args:
        x1, x2: shapes that broadcast.
        keepdims: keep the last axis with size 1.

    Raises:
        ArgumentError: `p` is not positive.
    """
    op = "pairwise_distance"
    activation.check_order(op, p)
    dtype = float_dtype(x1, x2)
    x1, x2 = (elementwise.cast(x, inner_dtype(dtype)) for x in (x1, x2))
    difference = elementwise.add(elementwise.subtract(x1, x2), eps)
    if not difference.ndim:
        raise ShapeError(f"[{op}] the operands need an axis of features", got="()")
    norm = activation.norm_along(difference, p, -1)
    return elementwise.cast(norm if keepdims else movement.squeeze(norm, -1), dtype)


OPS = (cdist, pdist, pairwise_distance)
