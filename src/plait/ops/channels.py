"""Ops that look at channels, which are axis 1: normalisations across them, and order.

Read first: `instance_norm`, `local_response_norm`.
"""

from __future__ import annotations

import math

from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from . import activation, elementwise, movement, pooling
from .operand import float_dtype, inner_dtype


def _channels(op: str, x: Node) -> int:
    """Return the number of channels.

    Raises:
        ShapeError: there is no axis 1.
    """
    if x.ndim < 2:
        raise ShapeError(
            f"[{op}] axis 1 holds the channels",
            got=str(x.shape),
            expected="(n, channels, ...)",
        )
    return x.shape[1]


def instance_norm(
    x: Node, weight: Node | None = None, bias: Node | None = None, eps: float = 1e-5
) -> Node:
    """Return `x` normalised within each channel of each example.

    Formula: (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance
    over the spatial axes.

    Args:
        x: shape (n, channels, ...).
        weight, bias: shape (channels,).
        eps: keeps the divisor from 0.

    Raises:
        ShapeError: the shapes do not fit.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing
    ingredient for fast stylization", 2016.
    """
    channels = _channels("instance_norm", x)
    if not channels:
        return x
    return activation.group_norm(x, channels, weight, bias, eps)


def local_response_norm(
    x: Node, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Node:
    """Return `x` divided by a power of the mean square over neighbouring channels.

    Formula: x[c] / (k + alpha / size * sum of x[j] ** 2) ** beta, for the `size`
    channels j from c - size // 2 on; there is nothing before the first channel and
    after the last.

    Args:
        x: shape (n, channels, ...).
        size: how many channels are neighbours.
        alpha: the factor of the mean square.
        beta: the power.
        k: added to the mean square.

    Returns:
        The shape of `x`; integers become the default floating-point type.

    Raises:
        ShapeError: `x` has no axis 1.
        ArgumentError: `size` is less than 1.

    Source: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with
    deep convolutional neural networks", 2012, section 3.3.
    """
    op = "local_response_norm"
    channels = _channels(op, x)
    if size < 1:
        raise ArgumentError(f"[{op}] size must be at least 1", got=f"size={size}")
    dtype = float_dtype(x)
    x = elementwise.cast(x, inner_dtype(dtype))
    if not x.size:
        return elementwise.cast(x, dtype)
    lines = movement.reshape(
        elementwise.square(x), (x.shape[0], channels, math.prod(x.shape[2:]))
    )
    total = pooling.window_reduce(
        lines, "sum", (size, 1), stride=1,
        padding=((size // 2, (size - 1) // 2), (0, 0)),
    )  # fmt: skip
    total = movement.reshape(total, x.shape)
    divisor = elementwise.add(elementwise.multiply(total, alpha / size), k)
    return elementwise.cast(
        elementwise.divide(x, elementwise.pow(divisor, beta)), dtype
    )


def channel_shuffle(x: Node, groups: int) -> Node:
    """Return `x` with its channels dealt out in turn from each of `groups` groups.

    Formula: y[:, i * groups + g] = x[:, g * m + i], with m = channels / groups.

    Args:
        x: shape (n, channels, ...).
        groups: divides the number of channels.

    Raises:
        ShapeError: `x` has no axis 1.
        ArgumentError: the channels cannot be divided into so many groups.

    Source: X. Zhang et al., "ShuffleNet: an extremely efficient convolutional neural
    network for mobile devices", 2018.
    """
    op = "channel_shuffle"
    channels = _channels(op, x)
    if groups < 1 or channels % groups:
        raise ArgumentError(
            f"[{op}] the channels cannot be divided into so many groups",
            got=f"groups={groups} for {channels} channels",
        )
    split = (x.shape[0], groups, channels // groups, *x.shape[2:])
    return movement.reshape(
        movement.transpose(movement.reshape(x, split), 1, 2), x.shape
    )


OPS = (instance_norm, local_response_norm, channel_shuffle)
