"""Losses of how much two regions overlap, for pictures in parts.

Read first: `tversky_loss`, `dice_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ArgumentError
from ..ir.graph import Node
from . import elementwise, loss_parts, reduce

Axes = int | Sequence[int] | None


def dice_loss(
    input: Node,
    target: Node,
    *,
    dim: Axes = None,
    eps: float = 1e-7,
    reduction: str = "mean",
) -> Node:
    """Return `1 - 2 * sum(p * t) / (sum(p) + sum(t) + eps)` of regions p and t.

    Args:
        input: probabilities p, from 0 to 1.
        target: 0 or 1, or probabilities, of the same shape.
        dim: the axes of one region, such as all but the batch's. Default: all axes,
            which makes the whole batch one region.
        eps: keeps the divisor from 0.
        reduction: "mean" or "sum" over all regions, or "none".

    Raises:
        ShapeError: the shapes differ.
        AxisError: there is no such axis.
        ArgumentError: there is no such reduction.

    Source: F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural
    networks for volumetric medical image segmentation", 2016; without squares, as in
    Keras.
    """
    p, t, dtype = loss_parts.prepared("dice_loss", reduction, input, target)
    both = reduce.sum(elementwise.multiply(p, t), dim)
    sizes = elementwise.add(reduce.sum(p, dim), reduce.sum(t, dim))
    share = elementwise.divide(
        elementwise.multiply(both, 2.0), elementwise.add(sizes, eps)
    )
    return loss_parts.reduced(elementwise.subtract(1.0, share), reduction, dtype)


def tversky_loss(
    input: Node,
    target: Node,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    dim: Axes = None,
    eps: float = 1e-7,
    reduction: str = "mean",
) -> Node:
    """Return `1 - both / (both + alpha * missed + beta * extra + eps)` of regions.

    Formula: both = sum(p * t), missed = sum((1 - p) * t), extra = sum(p * (1 - t)).

    Args:
        input: probabilities p, from 0 to 1.
        target: 0 or 1, or probabilities t, of the same shape.
        alpha: the weight of what is missed.
        beta: the weight of what is too much. With both 0.5 this is `dice_loss`.
        dim: the axes of one region. Default: all axes.
        eps: keeps the divisor from 0.
        reduction: "mean" or "sum" over all regions, or "none".

    Raises:
        ShapeError: the shapes differ.
        AxisError: there is no such axis.
        ArgumentError: a weight is negative, or there is no such reduction.

    Source: S. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image
    segmentation using 3D fully convolutional deep networks", 2017; the weights stand
    as in Keras.
    """
    op = "tversky_loss"
    if not (alpha >= 0 and beta >= 0):
        raise ArgumentError(
            f"[{op}] a weight is negative", got=f"alpha={alpha}, beta={beta}"
        )
    p, t, dtype = loss_parts.prepared(op, reduction, input, target)
    both = reduce.sum(elementwise.multiply(p, t), dim)
    missed = elementwise.subtract(reduce.sum(t, dim), both)
    extra = elementwise.subtract(reduce.sum(p, dim), both)
    wrong = elementwise.add(
        elementwise.multiply(missed, alpha), elementwise.multiply(extra, beta)
    )
    whole = elementwise.add(elementwise.add(both, wrong), eps)
    loss = elementwise.subtract(1.0, elementwise.divide(both, whole))
    return loss_parts.reduced(loss, reduction, dtype)


OPS = (dice_loss, tversky_loss)
