"""Losses: how far an output is from its target, all made of other ops.

Definitions and defaults are PyTorch's, except that shapes never broadcast against one
another silently. 16-bit operands are computed in float32 and rounded once, at the end.

Read first: `_reduced`, `mse_loss`, `cross_entropy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..dtypes import DType, int64
from ..errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from . import activation, elementwise, movement, reduce, source, special

_REDUCTIONS = ("mean", "sum", "none")


def _check_reduction(
    op: str, reduction: str, allowed: tuple[str, ...] = _REDUCTIONS
) -> None:
    if reduction not in allowed:
        raise ArgumentError(
            f"[{op}] there is no such reduction",
            got=repr(reduction),
            expected=" or ".join(repr(name) for name in allowed),
        )


def _reduced(loss: Node, reduction: str, dtype: DType) -> Node:
    if reduction == "mean":
        loss = reduce.mean(loss)
    elif reduction == "sum":
        loss = reduce.sum(loss)
    return elementwise.cast(loss, dtype)


def _check_shapes(op: str, **operands: Node) -> None:
    """Raise unless all operands, given by their names, have one shape.

    Raises:
        ShapeError: they differ.
    """
    shapes = [x.shape for x in operands.values()]
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(
            f"[{op}] {' and '.join(operands)} differ in shape",
            got=" and ".join(str(shape) for shape in shapes),
            fix="reshape one of them: a loss does not broadcast",
        )


def _weighted(op: str, loss: Node, weight: Node | None) -> Node:
    """Return `loss * weight`, where the weight broadcasts to the loss."""
    if weight is None:
        return loss
    if movement.broadcast_shape(op, loss, weight) != loss.shape:
        raise ShapeError(
            f"[{op}] the weight does not broadcast to the loss",
            got=f"{weight.shape} to {loss.shape}",
        )
    return elementwise.multiply(loss, elementwise.cast(weight, loss.dtype))


def _prepared(
    op: str, reduction: str, input: Node, target: Node
) -> tuple[Node, Node, DType]:
    """Return input and target in the dtype to compute in, and that of the result."""
    _check_reduction(op, reduction)
    _check_shapes(op, input=input, target=target)
    dtype = activation.float_dtype(input, target)
    inner = activation.inner_dtype(dtype)
    return elementwise.cast(input, inner), elementwise.cast(target, inner), dtype


def _above_zero(x: Node) -> Node:
    """Return `max(x, 0)`, with a derivative of 0 at 0."""
    return activation.relu(x)


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
    input, target, dtype = _prepared("mse_loss", reduction, input, target)
    error = elementwise.subtract(input, target)
    return _reduced(elementwise.square(error), reduction, dtype)


def l1_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return the absolute error, `abs(input - target)`; arguments as in `mse_loss`.

    Gradient where they are equal: 0.
    """
    input, target, dtype = _prepared("l1_loss", reduction, input, target)
    error = elementwise.subtract(input, target)
    return _reduced(elementwise.abs(error), reduction, dtype)


def smooth_l1_loss(
    input: Node, target: Node, *, reduction: str = "mean", beta: float = 1.0
) -> Node:
    """Return `e ** 2 / (2 * beta)` where `e = abs(input - target)` is below `beta`,
    else `e - beta / 2`.

    Args:
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
        _check_shapes(op, input=input, target=target)
        return l1_loss(input, target, reduction=reduction)
    input, target, dtype = _prepared(op, reduction, input, target)
    return _reduced(_huber(input, target, beta, 1 / beta), reduction, dtype)


def huber_loss(
    input: Node, target: Node, *, reduction: str = "mean", delta: float = 1.0
) -> Node:
    """Return `e ** 2 / 2` where `e = abs(input - target)` is below `delta`, else
    `delta * (e - delta / 2)`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: `delta` is not positive, or there is no such reduction.

    Source: P. Huber, "Robust estimation of a location parameter", 1964.
    """
    op = "huber_loss"
    if not delta > 0:
        raise ArgumentError(f"[{op}] delta must be positive", got=f"delta={delta}")
    input, target, dtype = _prepared(op, reduction, input, target)
    return _reduced(_huber(input, target, delta, 1.0), reduction, dtype)


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
        full: add Stirling's approximation of log(target!) where `target` is above 1.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    input, target, dtype = _prepared("poisson_nll_loss", reduction, input, target)
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
    return _reduced(loss, reduction, dtype)


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

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `eps` is not positive, or there is no such reduction.
    """
    op = "gaussian_nll_loss"
    if not eps > 0:
        raise ArgumentError(f"[{op}] eps must be positive", got=f"eps={eps}")
    input, target, dtype = _prepared(op, reduction, input, target)
    if var.shape == input.shape[:-1] and input.ndim:
        var = movement.expand_dims(var, axis=-1)
    if var.shape != input.shape and var.shape != (*input.shape[:-1], 1):
        raise ShapeError(
            f"[{op}] var does not have the shape of input",
            got=f"input {input.shape}, var {var.shape}",
            expected="the same shape, or 1 on the last axis",
        )
    dtype = activation.float_dtype(input, var) if dtype.bits > 16 else dtype
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
    return _reduced(loss, reduction, dtype)


# Classification


def _class_axis(op: str, input: Node) -> int:
    axis = 1 if input.ndim > 1 else 0
    if not input.ndim or not input.shape[axis]:
        raise ShapeError(
            f"[{op}] the input has no classes",
            got=str(input.shape),
            expected="(n, classes, ...) or (classes,)",
        )
    return axis


def _check_labels(op: str, input: Node, target: Node, axis: int) -> None:
    if not target.dtype.is_integer:
        raise DTypeError(
            f"[{op}] class numbers are integers",
            got=target.dtype.name,
            fix="cast the target with x.to(plait.int64)",
        )
    expected = (*input.shape[:axis], *input.shape[axis + 1 :])
    if target.shape != expected:
        raise ShapeError(
            f"[{op}] the target has not the shape of the input without its classes",
            got=f"input {input.shape}, target {target.shape}",
            expected=f"target {expected}",
        )


def _check_class_weight(op: str, weight: Node | None, classes: int) -> None:
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(
            f"[{op}] one weight for each class is needed",
            got=str(weight.shape),
            expected=str((classes,)),
        )


def _class_number_reference(
    x: np.ndarray, *, op: str, classes: int, ignored: int | None
) -> np.ndarray:
    # Read as unsigned, a negative number is a huge one: one comparison for both ends.
    if x.size and x.view(np.uint64).max() >= classes:
        bad = (x < 0) | (x >= classes)
        spared = ""
        if ignored is not None:
            bad &= x != ignored
            spared = f", or {ignored} for what is to be ignored"
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            place = f" at {at}" if at else ""
            raise IndexingError(
                f"[{op}] a target is no class number",
                got=f"{x[at]}{place}, with {classes} classes",
                expected=f"0 to {classes - 1}{spared}",
            )
    return x


def _class_number_infer(
    x: TensorType, *, op: str, classes: int, ignored: int | None
) -> TensorType:
    if x.dtype is not int64:
        raise DTypeError(f"[{op}] class numbers are of int64", got=x.dtype.name)
    return x


CLASS_NUMBER = Primitive(
    name="class_number",
    infer=_class_number_infer,
    reference=_class_number_reference,
    batch="elementwise",
    differentiable=False,
    samples=lambda: [
        Sample(
            (np.array([[0, 2], [-100, 1]]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100},
        ),
        Sample((np.array(1),), {"op": "nll_loss", "classes": 2, "ignored": None}),
        Sample(
            (np.zeros((0, 2), int),), {"op": "nll_loss", "classes": 1, "ignored": -1}
        ),
    ],
    failures=lambda: [
        Failure(
            (np.array([[1, 0], [1, 3]]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100}, IndexingError,
            "[nll_loss] a target is no class number. Got: 3 at (1, 1), with 3 classes. "
            "Expected: 0 to 2, or -100 for what is to be ignored.",
        ),
        Failure(
            (np.array(-1),),
            {"op": "nll_loss", "classes": 3, "ignored": None}, IndexingError,
            "[nll_loss] a target is no class number. Got: -1, with 3 classes. "
            "Expected: 0 to 2.",
        ),
        Failure(
            (np.array([1.0]),),
            {"op": "nll_loss", "classes": 3, "ignored": -100}, DTypeError,
            "[nll_loss] class numbers are of int64. Got: float64.",
        ),
    ],
    source="itself, which is a class number 0..classes-1 or the ignored one",
)  # fmt: skip


def _class_number(op: str, target: Node, classes: int, ignored: int | None) -> Node:
    """Return the target as int64; it is an error, at run time, if it is no class."""
    target = elementwise.cast(target, int64)
    return apply(CLASS_NUMBER, target, op=op, classes=classes, ignored=ignored)


def _is_class(target: Node, classes: int, axis: int) -> Node:
    """Return whether each class is the target, with the classes at `axis`."""
    sizes = [1] * (target.ndim + 1)
    sizes[axis] = classes
    numbers = movement.reshape(source.iota(classes, int64), sizes)
    return elementwise.equal(numbers, movement.expand_dims(target, axis=axis))


def _chosen(x: Node, chosen: Node, axis: int) -> Node:
    """Return the sum along `axis` of the elements of `x` that are chosen."""
    return reduce.sum(elementwise.select(chosen, x, 0.0), axis)


def _per_class(weight: Node, ndim: int, axis: int, dtype: DType) -> Node:
    sizes = [1] * ndim
    sizes[axis] = weight.shape[0]
    return movement.reshape(elementwise.cast(weight, dtype), sizes)


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
    chosen = _is_class(target, classes, axis)
    # Checked here alone, where each number is looked at once: the derivative needs
    # only what is chosen.
    checked = _class_number(op, target, classes, ignore_index)
    counted = elementwise.not_equal(checked, ignore_index)
    loss = elementwise.negative(_chosen(log_p, chosen, axis))
    weights = None
    if weight is not None:
        per_class = _per_class(weight, log_p.ndim, axis, log_p.dtype)
        weights = _chosen(per_class, chosen, axis)
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
    _check_reduction(op, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            f"[{op}] label_smoothing lies in 0..1",
            got=f"label_smoothing={label_smoothing}",
        )
    axis = _class_axis(op, input)
    classes = input.shape[axis]
    _check_class_weight(op, weight, classes)
    probabilities = target.dtype.is_float
    if probabilities:
        _check_shapes(op, input=input, target=target)
    else:
        _check_labels(op, input, target, axis)
    dtype = activation.float_dtype(input, target if probabilities else None, weight)
    inner = activation.inner_dtype(dtype)
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
            product, _per_class(weight, input.ndim, axis, inner)
        )
    return _reduced(elementwise.negative(reduce.sum(product, axis)), reduction, dtype)


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
    _check_reduction(op, reduction)
    axis = _class_axis(op, input)
    _check_labels(op, input, target, axis)
    _check_class_weight(op, weight, input.shape[axis])
    dtype = activation.float_dtype(input, weight)
    log_p = elementwise.cast(input, activation.inner_dtype(dtype))
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
    input, target, dtype = _prepared(op, reduction, input, target)
    log_p = _limited_log(input, elementwise.log, 0.0)
    log_q = _limited_log(elementwise.negative(input), elementwise.log1p, -1.0)
    loss = elementwise.subtract(
        elementwise.multiply(elementwise.subtract(target, 1), log_q),
        elementwise.multiply(target, log_p),
    )
    return _reduced(_weighted(op, loss, weight), reduction, dtype)


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
    input, target, dtype = _prepared(op, reduction, input, target)
    softplus = activation.log1p_exp(elementwise.negative(input))
    if pos_weight is not None:
        extra = _weighted(op, target, elementwise.subtract(pos_weight, 1))
        softplus = elementwise.multiply(softplus, elementwise.add(extra, 1))
    loss = elementwise.add(
        elementwise.multiply(elementwise.subtract(1, target), input), softplus
    )
    return _reduced(_weighted(op, loss, weight), reduction, dtype)


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
    _check_reduction(op, reduction, (*_REDUCTIONS, "batchmean"))
    input, target, dtype = _prepared(op, "none", input, target)
    if log_target:
        loss = elementwise.multiply(
            elementwise.exp(target), elementwise.subtract(target, input)
        )
    else:
        loss = elementwise.subtract(
            special.xlogy(target, target), elementwise.multiply(target, input)
        )
    if reduction != "batchmean":
        return _reduced(loss, reduction, dtype)
    if not loss.ndim:
        raise ShapeError(f'[{op}] "batchmean" needs an axis of examples', got="()")
    total = elementwise.divide(reduce.sum(loss), float(loss.shape[0]))
    return elementwise.cast(total, dtype)


# Margins


def hinge_embedding_loss(
    input: Node, target: Node, *, margin: float = 1.0, reduction: str = "mean"
) -> Node:
    """Return `input` where the target is 1, `max(0, margin - input)` where it is -1.

    Args:
        input: distances.
        target: 1 or -1, of the same shape. Any other target counts as both.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    op = "hinge_embedding_loss"
    input, target, dtype = _prepared(op, reduction, input, target)
    near = elementwise.select(elementwise.not_equal(target, -1), input, 0.0)
    far = elementwise.select(
        elementwise.not_equal(target, 1),
        _above_zero(elementwise.subtract(margin, input)),
        0.0,
    )
    return _reduced(elementwise.add(near, far), reduction, dtype)


def margin_ranking_loss(
    input1: Node,
    input2: Node,
    target: Node,
    *,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Node:
    """Return `max(0, margin - target * (input1 - input2))`.

    Args:
        input1, input2: of one shape.
        target: 1 where the first shall be greater, -1 where the second; of that shape.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    op = "margin_ranking_loss"
    _check_reduction(op, reduction)
    _check_shapes(op, input1=input1, input2=input2, target=target)
    dtype = activation.float_dtype(input1, input2, target)
    input1, input2, target = (
        elementwise.cast(x, activation.inner_dtype(dtype))
        for x in (input1, input2, target)
    )
    gap = elementwise.multiply(target, elementwise.subtract(input1, input2))
    return _reduced(_above_zero(elementwise.subtract(margin, gap)), reduction, dtype)


def soft_margin_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return `log(1 + exp(-target * input))`, without overflow.

    Args:
        target: 1 or -1, of the shape of `input`.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    input, target, dtype = _prepared("soft_margin_loss", reduction, input, target)
    product = elementwise.negative(elementwise.multiply(target, input))
    return _reduced(activation.log1p_exp(product), reduction, dtype)


def multi_margin_loss(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Node:
    """Return the hinge loss of several classes.

    Formula: sum over i != y of max(0, weight[y] * (margin - x[y] + x[i])) ** p, over
    the number of classes.

    Args:
        input: shape (n, classes) or (classes,).
        target: class numbers y, integers of shape (n,) or ().
        weight: a factor for each class, shape (classes,). As in PyTorch it stands
            outside of the power.
        p: 1 or 2.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the target is not of integers.
        ArgumentError: `p` is neither 1 nor 2, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.
    """
    op = "multi_margin_loss"
    _check_reduction(op, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"[{op}] p is neither 1 nor 2", got=f"p={p}")
    axis, classes = _matrix(op, input)
    _check_labels(op, input, target, axis)
    _check_class_weight(op, weight, classes)
    dtype = activation.float_dtype(input, weight)
    x = elementwise.cast(input, activation.inner_dtype(dtype))
    target = _class_number(op, target, classes, None)
    chosen = _is_class(target, classes, axis)
    right = movement.expand_dims(_chosen(x, chosen, axis), axis=axis)
    hinge = _above_zero(elementwise.add(elementwise.subtract(margin, right), x))
    if p == 2:
        hinge = elementwise.square(hinge)
    hinge = elementwise.select(chosen, 0.0, hinge)
    loss = elementwise.divide(reduce.sum(hinge, axis), float(classes))
    if weight is not None:
        per_class = _per_class(weight, x.ndim, axis, x.dtype)
        loss = elementwise.multiply(loss, _chosen(per_class, chosen, axis))
    return _reduced(loss, reduction, dtype)


def _matrix(op: str, input: Node) -> tuple[int, int]:
    """Return the axis of the classes, the last, and their number."""
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise ShapeError(
            f"[{op}] the input has another shape",
            got=str(input.shape),
            expected="(n, classes) or (classes,)",
        )
    return input.ndim - 1, input.shape[-1]


def multilabel_margin_loss(
    input: Node, target: Node, *, reduction: str = "mean"
) -> Node:
    """Return the hinge loss of several classes of which several are right.

    Formula: sum over right j and wrong i of max(0, 1 - (x[j] - x[i])), over the number
    of classes.

    Args:
        input: shape (n, classes) or (classes,).
        target: integers of the same shape: the numbers of the right classes, then -1;
            what follows the first -1 is not looked at.

    Raises:
        ShapeError: the shapes differ, or there are more than two axes.
        DTypeError: the target is not of integers.
        ArgumentError: there is no such reduction.

    Special cases: a class number above the last, before the first -1, contributes nan.
    """
    op = "multilabel_margin_loss"
    _check_reduction(op, reduction)
    axis, classes = _matrix(op, input)
    if not target.dtype.is_integer:
        raise DTypeError(f"[{op}] class numbers are integers", got=target.dtype.name)
    _check_shapes(op, input=input, target=target)
    dtype = activation.float_dtype(input)
    x = elementwise.cast(input, activation.inner_dtype(dtype))
    target = elementwise.cast(target, int64)
    ended = reduce.cumulative_max(
        elementwise.cast(elementwise.less(target, 0), int64), axis=axis
    )
    listed = elementwise.equal(ended, 0)
    # Axes: the places in the list, then the classes.
    chosen = elementwise.logical_and(
        _is_class(target, classes, axis + 1),
        movement.expand_dims(listed, axis=axis + 1),
    )
    right = movement.expand_dims(reduce.any(chosen, axis), axis=axis)
    values = _chosen(movement.expand_dims(x, axis=axis), chosen, axis + 1)
    gap = elementwise.subtract(
        movement.expand_dims(values, axis=axis + 1), movement.expand_dims(x, axis=axis)
    )
    counted = elementwise.logical_and(
        movement.expand_dims(listed, axis=axis + 1), elementwise.logical_not(right)
    )
    hinge = elementwise.select(counted, _above_zero(elementwise.subtract(1, gap)), 0.0)
    loss = elementwise.divide(reduce.sum(hinge, (axis, axis + 1)), float(classes))
    unknown = elementwise.logical_and(
        listed, elementwise.greater_equal(target, classes)
    )
    loss = elementwise.select(reduce.any(unknown, axis), math.nan, loss)
    return _reduced(loss, reduction, dtype)


def multilabel_soft_margin_loss(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    reduction: str = "mean",
) -> Node:
    """Return the mean over classes of `binary_cross_entropy_with_logits`.

    Args:
        input: logits, shape (..., classes).
        target: 0 or 1, of the same shape.
        weight: a factor for each class, or anything that broadcasts to that shape.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.
    """
    op = "multilabel_soft_margin_loss"
    if not input.ndim:
        raise ShapeError(f"[{op}] the input needs an axis of classes", got="()")
    input, target, dtype = _prepared(op, reduction, input, target)
    loss = elementwise.add(
        elementwise.multiply(elementwise.subtract(1, target), input),
        activation.log1p_exp(elementwise.negative(input)),
    )
    return _reduced(reduce.mean(_weighted(op, loss, weight), -1), reduction, dtype)


def cosine_embedding_loss(
    input1: Node,
    input2: Node,
    target: Node,
    *,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Node:
    """Return `1 - cos(input1, input2)` where the target is 1, and
    `max(0, cos(input1, input2) - margin)` where it is -1.

    Args:
        input1, input2: of one shape, (n, features) or (features,).
        target: 1 or -1, shape (n,) or ().

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.

    Special cases: any other target contributes 0.
    """
    op = "cosine_embedding_loss"
    _check_reduction(op, reduction)
    _check_shapes(op, input1=input1, input2=input2)
    _matrix(op, input1)
    if target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"[{op}] one target for each pair is needed",
            got=f"inputs {input1.shape}, target {target.shape}",
            expected=f"target {input1.shape[:-1]}",
        )
    dtype = activation.float_dtype(input1, input2)
    x1, x2 = (
        elementwise.cast(x, activation.inner_dtype(dtype)) for x in (input1, input2)
    )
    target = elementwise.cast(target, x1.dtype)
    lengths = elementwise.multiply(_squared_length(x1), _squared_length(x2))
    dot = reduce.sum(elementwise.multiply(x1, x2), -1)
    cosine = elementwise.divide(dot, elementwise.sqrt(lengths))
    apart = _above_zero(elementwise.subtract(cosine, margin))
    loss = elementwise.add(
        elementwise.select(
            elementwise.equal(target, 1), elementwise.subtract(1, cosine), 0.0
        ),
        elementwise.select(elementwise.equal(target, -1), apart, 0.0),
    )
    return _reduced(loss, reduction, dtype)


def _squared_length(x: Node) -> Node:
    # Never 0, where the square root has no derivative.
    return elementwise.add(reduce.sum(elementwise.square(x), -1), 1e-12)


def pairwise_distance(
    x1: Node, x2: Node, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Node:
    """Return the `p`-norm of `x1 - x2 + eps` along the last axis.

    Args:
        x1, x2: shapes that broadcast.

    Raises:
        ArgumentError: `p` is not positive.
    """
    op = "pairwise_distance"
    activation.check_order(op, p)
    dtype = activation.float_dtype(x1, x2)
    x1, x2 = (elementwise.cast(x, activation.inner_dtype(dtype)) for x in (x1, x2))
    difference = elementwise.add(elementwise.subtract(x1, x2), eps)
    if not difference.ndim:
        raise ShapeError(f"[{op}] the operands need an axis of features", got="()")
    norm = activation.norm_along(difference, p, -1)
    return elementwise.cast(norm if keepdims else movement.squeeze(norm, -1), dtype)


def triplet_margin_loss(
    anchor: Node,
    positive: Node,
    negative: Node,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Node:
    """Return `max(0, d(anchor, positive) - d(anchor, negative) + margin)`.

    Args:
        anchor, positive, negative: of one shape, (..., features).
        p, eps: the distance d is `pairwise_distance`.
        swap: take d(positive, negative) where it is smaller than d(anchor, negative).

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an argument is out of range, or there is no such reduction.

    Source: V. Balntas et al., "Learning shallow convolutional feature descriptors with
    triplet losses", 2016.
    """
    op = "triplet_margin_loss"
    _check_reduction(op, reduction)
    _check_shapes(op, anchor=anchor, positive=positive, negative=negative)
    if not margin > 0:
        raise ArgumentError(f"[{op}] margin must be positive", got=f"margin={margin}")
    dtype = activation.float_dtype(anchor, positive, negative)
    anchor, positive, negative = (
        elementwise.cast(x, activation.inner_dtype(dtype))
        for x in (anchor, positive, negative)
    )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = elementwise.minimum(far, pairwise_distance(positive, negative, p, eps))
    gap = elementwise.add(elementwise.subtract(near, far), margin)
    return _reduced(_above_zero(gap), reduction, dtype)


PRIMITIVES = (CLASS_NUMBER,)

OPS = (
    mse_loss, l1_loss, smooth_l1_loss, huber_loss, poisson_nll_loss, gaussian_nll_loss,
    cross_entropy, nll_loss, binary_cross_entropy, binary_cross_entropy_with_logits,
    kl_div, hinge_embedding_loss, margin_ranking_loss, soft_margin_loss,
    multi_margin_loss, multilabel_margin_loss, multilabel_soft_margin_loss,
    cosine_embedding_loss, pairwise_distance, triplet_margin_loss,
)  # fmt: skip
