"""Losses: how far an output is from its target, all made of other ops.

Definitions and defaults are PyTorch's, except that shapes never broadcast against one
another silently. 16-bit operands are computed in float32 and rounded once, at the end.

Read first: `loss_parts.reduced`, `mse_loss`, `cross_entropy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..dtypes import int64
from ..errors import ArgumentError, ShapeError
from ..ir.graph import Node
from . import activation, elementwise, loss_parts, movement, reduce, source, special
from .operand import float_dtype, inner_dtype

# Regression


def mse_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return the squared error, `(input - target) ** 2`.

    Args:
        input, target: of one shape.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.

    Gradient: to both.
    """
    input, target, dtype = loss_parts.prepared("mse_loss", reduction, input, target)
    error = elementwise.subtract(input, target)
    return loss_parts.reduced(elementwise.square(error), reduction, dtype)


def l1_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return the absolute error, `abs(input - target)`; arguments as in `mse_loss`.

    Gradient where they are equal: 0.
    """
    input, target, dtype = loss_parts.prepared("l1_loss", reduction, input, target)
    error = elementwise.subtract(input, target)
    return loss_parts.reduced(elementwise.abs(error), reduction, dtype)


def smooth_l1_loss(
    input: Node, target: Node, *, reduction: str = "mean", beta: float = 1.0
) -> Node:
    """Return `e ** 2 / (2 * beta)` where `e = abs(input - target)` is below `beta`,
    else `e - beta / 2`.

    Args:
        input, target: of one shape.
        reduction: "mean" or "sum" over all elements, or "none".
        beta: not negative; with 0 this is `l1_loss`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `beta` is negative, or there is no such reduction.

    Source: R. Girshick, "Fast R-CNN", 2015.
    """
    op = "smooth_l1_loss"
    if not beta >= 0:
        raise ArgumentError(f"[{op}] beta must not be negative", got=f"beta={beta}")
    if beta == 0:
        loss_parts.check_shapes(op, input=input, target=target)
        return l1_loss(input, target, reduction=reduction)
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    return loss_parts.reduced(_huber(input, target, beta, 1 / beta), reduction, dtype)


def huber_loss(
    input: Node, target: Node, *, reduction: str = "mean", delta: float = 1.0
) -> Node:
    """Return `e ** 2 / 2` where `e = abs(input - target)` is below `delta`, else
    `delta * (e - delta / 2)`.

    Args:
        input, target: of one shape.
        reduction: "mean" or "sum" over all elements, or "none".
        delta: positive.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `delta` is not positive, or there is no such reduction.

    Source: P. Huber, "Robust estimation of a location parameter", 1964.
    """
    op = "huber_loss"
    if not delta > 0:
        raise ArgumentError(f"[{op}] delta must be positive", got=f"delta={delta}")
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    return loss_parts.reduced(_huber(input, target, delta, 1.0), reduction, dtype)


def _huber(input: Node, target: Node, delta: float, scale: float) -> Node:
    error = elementwise.subtract(input, target)
    size = elementwise.abs(error)
    near = elementwise.less(size, delta)
    # Far out the square could overflow.
    inside = elementwise.select(near, error, 0.0)
    curve = elementwise.multiply(elementwise.square(inside), 0.5 * scale)
    line = elementwise.multiply(elementwise.subtract(size, delta / 2), delta * scale)
    return elementwise.select(near, curve, line)


def poisson_nll_loss(
    input: Node,
    target: Node,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Node:
    """Return the negative log likelihood of counts that are Poisson distributed.

    Formula: exp(input) - target * input; or, without `log_input`,
    input - target * log(input + eps).

    Args:
        input: the logarithm of the rate, or the rate.
        target: the counts, of the same shape.
        log_input: the input is the logarithm.
        full: add Stirling's approximation of log(target!) where `target` is above 1.
        eps: added to the input before its logarithm, without `log_input`.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    input, target, dtype = loss_parts.prepared(
        "poisson_nll_loss", reduction, input, target
    )
    if log_input:
        loss = elementwise.subtract(
            elementwise.exp(input), elementwise.multiply(target, input)
        )
    else:
        logarithm = elementwise.log(elementwise.add(input, eps))
        loss = elementwise.subtract(input, elementwise.multiply(target, logarithm))
    if full:
        counted = elementwise.greater(target, 1)
        n = elementwise.select(counted, target, 1.0)
        logarithm = elementwise.log(n)
        stirling = elementwise.add(
            elementwise.subtract(elementwise.multiply(n, logarithm), n),
            elementwise.multiply(
                elementwise.add(logarithm, math.log(2 * math.pi)), 0.5
            ),
        )
        loss = elementwise.add(loss, elementwise.select(counted, stirling, 0.0))
    return loss_parts.reduced(loss, reduction, dtype)


def gaussian_nll_loss(
    input: Node,
    target: Node,
    var: Node,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Node:
    """Return the negative log likelihood of numbers that are normally distributed.

    Formula: (log(v) + (input - target) ** 2 / v) / 2 with v = max(var, eps).

    Args:
        input: the mean.
        target: of the same shape.
        var: the variance, of the same shape, or without the last axis, or with 1 there.
        full: add log(2 * pi) / 2.
        eps: positive; a smaller variance is taken to be it. The derivative ignores
            that.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `eps` is not positive, or there is no such reduction.
    """
    op = "gaussian_nll_loss"
    if not eps > 0:
        raise ArgumentError(f"[{op}] eps must be positive", got=f"eps={eps}")
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    if var.shape == input.shape[:-1] and input.ndim:
        var = movement.expand_dims(var, axis=-1)
    if var.shape != input.shape and var.shape != (*input.shape[:-1], 1):
        raise ShapeError(
            f"[{op}] var does not have the shape of input",
            got=f"input {input.shape}, var {var.shape}",
            expected="the same shape, or 1 on the last axis",
        )
    dtype = float_dtype(input, var) if dtype.bits > 16 else dtype
    var = elementwise.cast(var, input.dtype)
    # The lower bound changes the value and not the derivative, as in PyTorch.
    short = elementwise.select(
        elementwise.less(var, eps), elementwise.subtract(eps, var), 0.0
    )
    var = elementwise.add(var, source.stop_gradient(short))
    error = elementwise.square(elementwise.subtract(input, target))
    loss = elementwise.multiply(
        elementwise.add(elementwise.log(var), elementwise.divide(error, var)), 0.5
    )
    if full:
        loss = elementwise.add(loss, 0.5 * math.log(2 * math.pi))
    return loss_parts.reduced(loss, reduction, dtype)


def log_cosh_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return `log(cosh(input - target))`: about half the square of a small error, and a
    large one less `log(2)`.

    Args:
        input, target: of one shape.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.

    Special cases: does not overflow.
    """
    input, target, dtype = loss_parts.prepared(
        "log_cosh_loss", reduction, input, target
    )
    error = elementwise.abs(elementwise.subtract(input, target))
    tail = activation.log1p_exp(elementwise.multiply(error, -2.0))
    loss = elementwise.subtract(elementwise.add(error, tail), math.log(2))
    return loss_parts.reduced(loss, reduction, dtype)


def mape_loss(
    input: Node, target: Node, *, eps: float = 1e-7, reduction: str = "mean"
) -> Node:
    """Return the absolute error in percent,
    `100 * abs(input - target) / max(abs(target), eps)`.

    Args:
        input, target: of one shape.
        eps: the least size to divide by, positive.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `eps` is not positive, or there is no such reduction.
    """
    op = "mape_loss"
    if not eps > 0:
        raise ArgumentError(f"[{op}] eps must be positive", got=f"eps={eps}")
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    size = elementwise.maximum(elementwise.abs(target), eps)
    error = elementwise.abs(elementwise.subtract(input, target))
    loss = elementwise.multiply(elementwise.divide(error, size), 100.0)
    return loss_parts.reduced(loss, reduction, dtype)


def msle_loss(
    input: Node, target: Node, *, eps: float = 1e-7, reduction: str = "mean"
) -> Node:
    """Return the squared error of logarithms,
    `(log(1 + max(input, eps)) - log(1 + max(target, eps))) ** 2`.

    Args:
        input, target: of one shape; for numbers that are not negative.
        eps: what smaller numbers are taken for.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    input, target, dtype = loss_parts.prepared("msle_loss", reduction, input, target)
    logs = (elementwise.log1p(elementwise.maximum(x, eps)) for x in (input, target))
    loss = elementwise.square(elementwise.subtract(*logs))
    return loss_parts.reduced(loss, reduction, dtype)


# Classification


def _labelled(
    op: str,
    log_p: Node,
    target: Node,
    weight: Node | None,
    axis: int,
    ignore_index: int,
    smoothing: float,
    reduction: str,
) -> Node:
    """Return the weighted, smoothed negative log likelihood of class numbers."""
    classes = log_p.shape[axis]
    target = elementwise.cast(target, int64)
    chosen = loss_parts.is_class(target, classes, axis)
    # Checked here alone, where each number is looked at once: the derivative needs
    # only what is chosen.
    checked = loss_parts.class_number(op, target, classes, ignore_index)
    counted = elementwise.not_equal(checked, ignore_index)
    loss = elementwise.negative(loss_parts.chosen(log_p, chosen, axis))
    weights = None
    if weight is not None:
        per_class = loss_parts.per_class(weight, log_p.ndim, axis, log_p.dtype)
        weights = loss_parts.chosen(per_class, chosen, axis)
        loss = elementwise.multiply(loss, weights)
        if smoothing:
            log_p = elementwise.multiply(log_p, per_class)
    if smoothing:
        spread = elementwise.multiply(reduce.sum(log_p, axis), -smoothing / classes)
        loss = elementwise.add(elementwise.multiply(loss, 1 - smoothing), spread)
    loss = elementwise.select(counted, loss, 0.0)
    if reduction == "none":
        return loss
    total = reduce.sum(loss)
    if reduction == "sum":
        return total
    share = elementwise.cast(counted, log_p.dtype)
    if weights is not None:
        share = elementwise.multiply(share, weights)
    return elementwise.divide(total, reduce.sum(share))


def cross_entropy(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Node:
    """Return the cross entropy between the softmax of `input` and the target.

    Formula: -sum over classes of target * log(softmax(input)), computed without
    overflow.

    Args:
        input: logits, shape (n, classes, ...) or (classes,).
        target: class numbers, integers of shape (n, ...); or probabilities,
            floating-point and of the shape of `input`.
        weight: a factor for each class, shape (classes,).
        ignore_index: class numbers equal to it contribute nothing.
        label_smoothing: the share of the target, in 0..1, that is spread over all
            classes.
        reduction: "mean", "sum" or "none". The mean of class numbers is weighted with
            `weight` and leaves ignored ones out.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `label_smoothing` is out of range, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Special cases: the mean over nothing is nan.

    Gradient: to the input, the weight, and a target of probabilities.
    """
    op = "cross_entropy"
    loss_parts.check_reduction(op, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"[{op}] label_smoothing lies in 0..1",
            got=f"label_smoothing={label_smoothing}",
        )
    axis = loss_parts.class_axis(op, input)
    classes = input.shape[axis]
    loss_parts.check_class_weight(op, weight, classes)
    probabilities = target.dtype.is_float
    if probabilities:
        loss_parts.check_shapes(op, input=input, target=target)
    else:
        loss_parts.check_labels(op, input, target, axis)
    dtype = float_dtype(input, target if probabilities else None, weight)
    inner = inner_dtype(dtype)
    log_p = activation.log_softmax(elementwise.cast(input, inner), axis)
    if not probabilities:
        loss = _labelled(
            op, log_p, target, weight, axis, ignore_index, label_smoothing, reduction
        )
        return elementwise.cast(loss, dtype)
    target = elementwise.cast(target, inner)
    if label_smoothing:
        target = elementwise.add(
            elementwise.multiply(target, 1 - label_smoothing), label_smoothing / classes
        )
    product = elementwise.multiply(target, log_p)
    if weight is not None:
        product = elementwise.multiply(
            product, loss_parts.per_class(weight, input.ndim, axis, inner)
        )
    return loss_parts.reduced(
        elementwise.negative(reduce.sum(product, axis)), reduction, dtype
    )


def nll_loss(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Node:
    """Return the negative log likelihood: minus the input at the class numbers.

    Args:
        input: logarithms of probabilities, shape (n, classes, ...) or (classes,).
        target: class numbers, integers of shape (n, ...).
        weight, ignore_index, reduction: as in `cross_entropy`.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the target is not of integers.
        ArgumentError: there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Special cases: the mean over nothing is nan.
    """
    op = "nll_loss"
    loss_parts.check_reduction(op, reduction)
    axis = loss_parts.class_axis(op, input)
    loss_parts.check_labels(op, input, target, axis)
    loss_parts.check_class_weight(op, weight, input.shape[axis])
    dtype = float_dtype(input, weight)
    log_p = elementwise.cast(input, inner_dtype(dtype))
    loss = _labelled(op, log_p, target, weight, axis, ignore_index, 0.0, reduction)
    return elementwise.cast(loss, dtype)


def binary_cross_entropy(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    reduction: str = "mean",
) -> Node:
    """Return `-(target * log(input) + (1 - target) * log(1 - input))`.

    Args:
        input: probabilities.
        target: of the same shape, in 0..1.
        weight: a factor that broadcasts to that shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.

    Special cases: a logarithm is taken to be -100 where it is below.

    Gradient: to both. A logarithm that was limited passes nothing on, so it stays
    finite where the input is 0 or 1.
    """
    op = "binary_cross_entropy"
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    log_p = _limited_log(input, elementwise.log, 0.0)
    log_q = _limited_log(elementwise.negative(input), elementwise.log1p, -1.0)
    loss = elementwise.subtract(
        elementwise.multiply(elementwise.subtract(target, 1), log_q),
        elementwise.multiply(target, log_p),
    )
    return loss_parts.reduced(loss_parts.weighted(op, loss, weight), reduction, dtype)


def _limited_log(x: Node, logarithm: Callable[[Node], Node], zero: float) -> Node:
    """Return `max(logarithm(x), -100)`, with a derivative of 0 where that is -100.

    Args:
        zero: where the logarithm is -inf.
    """
    # Below exp(-100), which is subnormal in float32.
    above = elementwise.subtract(x, zero)
    small = elementwise.logical_and(
        elementwise.greater_equal(above, 0), elementwise.less(above, math.exp(-100))
    )
    return elementwise.select(
        small, -100.0, logarithm(elementwise.select(small, zero + 1, x))
    )


def binary_cross_entropy_with_logits(
    input: Node,
    target: Node,
    weight: Node | None = None,
    pos_weight: Node | None = None,
    *,
    reduction: str = "mean",
) -> Node:
    """Return `binary_cross_entropy(sigmoid(input), target)`, without overflow.

    Formula: (1 - target) * input + (1 + (pos_weight - 1) * target) * l, with
    l = log(1 + exp(-input)).

    Args:
        input: logits.
        target: of the same shape, in 0..1.
        weight: a factor that broadcasts to that shape.
        pos_weight: a factor for the positive part, that broadcasts to that shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.
    """
    op = "binary_cross_entropy_with_logits"
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    positive = None
    if pos_weight is not None:
        extra = loss_parts.weighted(op, target, elementwise.subtract(pos_weight, 1))
        positive = elementwise.add(extra, 1)
    loss = loss_parts.entropy_of_logits(input, target, positive)
    return loss_parts.reduced(loss_parts.weighted(op, loss, weight), reduction, dtype)


def kl_div(
    input: Node, target: Node, *, reduction: str = "mean", log_target: bool = False
) -> Node:
    """Return the Kullback-Leibler divergence, `target * (log(target) - input)`.

    Args:
        input: logarithms of probabilities.
        target: probabilities, or with `log_target` their logarithms; of the same shape.
        reduction: "mean", "sum", "none", or "batchmean": the sum over the size of axis
            0, which is the divergence as mathematics defines it.

    Raises:
        ShapeError: the shapes differ, or "batchmean" of a scalar.
        ArgumentError: there is no such reduction.

    Special cases: 0 where the target is 0.
    """
    op = "kl_div"
    loss_parts.check_reduction(op, reduction, (*loss_parts.REDUCTIONS, "batchmean"))
    input, target, dtype = loss_parts.prepared(op, "none", input, target)
    if log_target:
        loss = elementwise.multiply(
            elementwise.exp(target), elementwise.subtract(target, input)
        )
    else:
        loss = elementwise.subtract(
            special.xlogy(target, target), elementwise.multiply(target, input)
        )
    if reduction != "batchmean":
        return loss_parts.reduced(loss, reduction, dtype)
    if not loss.ndim:
        raise ShapeError(f'[{op}] "batchmean" needs an axis of examples', got="()")
    total = elementwise.divide(reduce.sum(loss), float(loss.shape[0]))
    return elementwise.cast(total, dtype)


OPS = (
    mse_loss, l1_loss, smooth_l1_loss, huber_loss, poisson_nll_loss, gaussian_nll_loss,
    cross_entropy, nll_loss, binary_cross_entropy, binary_cross_entropy_with_logits,
    kl_div, log_cosh_loss, mape_loss, msle_loss,
)  # fmt: skip
