"""Losses of classification that weigh examples by how sure the net already is.

Read first: `focal_loss`.
"""

from __future__ import annotations

from ..dtypes import DType
from ..errors import ArgumentError
from ..ir.graph import Node
from . import activation, elementwise, loss_parts, reduce
from .operand import float_dtype, inner_dtype


def focal_loss(
    input: Node,
    target: Node,
    weight: Node | None = None,
    *,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> Node:
    """Return the cross entropy with less weight on classes that are well known.

    Formula: -sum over classes of weight * target * (1 - p) ** gamma * log(p), with p =
    softmax(input).

    Args:
        input: logits, shape (n, classes, ...) or (classes,).
        target: class numbers, integers of shape (n, ...); or probabilities,
            floating-point and of the shape of `input`.
        weight: a factor for each class, shape (classes,). Default: 1.
        gamma: how much less, not negative; with 0 this is `cross_entropy`.
        reduction: "mean" or "sum" over all examples, or "none". The mean is that of
            all examples, whatever their weights.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `gamma` is negative, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017.
    """
    op = "focal_loss"
    _check_gamma(op, gamma)
    log_p, target, axis, dtype = _classified(op, input, target, reduction)
    term = elementwise.multiply(target, log_p)
    if gamma:
        term = elementwise.multiply(term, _unsure(log_p, gamma))
    if weight is not None:
        loss_parts.check_class_weight(op, weight, input.shape[axis])
        factor = loss_parts.per_class(weight, input.ndim, axis, log_p.dtype)
        term = elementwise.multiply(term, factor)
    loss = elementwise.negative(reduce.sum(term, axis))
    return loss_parts.reduced(loss, reduction, dtype)


def sigmoid_focal_loss(
    input: Node,
    target: Node,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> Node:
    """Return the binary cross entropy with less weight on what is well known.

    Formula: a * (1 - p_t) ** gamma * -log(p_t), where p_t is sigmoid(input) for a
    target of 1 and 1 - sigmoid(input) for 0, and a is alpha for 1 and 1 - alpha for 0.

    Args:
        input: logits.
        target: 0 or 1, or between, of the same shape.
        alpha: the weight of a target of 1, in 0..1; None for no weights.
        gamma: how much less, not negative.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an argument is out of range, or there is no such reduction.

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017.
    """
    op = "sigmoid_focal_loss"
    _check_gamma(op, gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ArgumentError(f"[{op}] alpha lies in 0..1", got=f"alpha={alpha}")
    x, t, dtype = loss_parts.prepared(op, reduction, input, target)
    # log(sigmoid(-x)) is that of the other class.
    on = activation.log_sigmoid(x)
    off = activation.log_sigmoid(elementwise.negative(x))
    rest = elementwise.subtract(1.0, t)
    entropy = elementwise.negative(
        elementwise.add(elementwise.multiply(t, on), elementwise.multiply(rest, off))
    )
    if gamma:
        wrong = elementwise.add(
            elementwise.multiply(t, elementwise.exp(off)),
            elementwise.multiply(rest, elementwise.exp(on)),
        )
        entropy = elementwise.multiply(entropy, _power(wrong, gamma))
    if alpha is not None:
        weight = elementwise.add(elementwise.multiply(t, 2 * alpha - 1), 1 - alpha)
        entropy = elementwise.multiply(entropy, weight)
    return loss_parts.reduced(entropy, reduction, dtype)


def poly_loss(
    input: Node, target: Node, *, epsilon: float = 2.0, reduction: str = "mean"
) -> Node:
    """Return the cross entropy with another first term of its expansion in 1 - p:
    `cross_entropy + epsilon * (1 - sum(target * p))`, with p = softmax(input).

    Args:
        input: logits, shape (n, classes, ...) or (classes,).
        target: class numbers or probabilities, as for `cross_entropy`.
        epsilon: what is added to the term's coefficient, at least -1.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `epsilon` is less than -1, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Source: Z. Leng et al., "PolyLoss: a polynomial expansion perspective of
    classification loss functions", 2022.
    """
    op = "poly_loss"
    if not epsilon >= -1:
        raise ArgumentError(f"[{op}] epsilon is below -1", got=f"epsilon={epsilon}")
    log_p, target, axis, dtype = _classified(op, input, target, reduction)
    entropy = elementwise.negative(
        reduce.sum(elementwise.multiply(target, log_p), axis)
    )
    right = reduce.sum(elementwise.multiply(target, elementwise.exp(log_p)), axis)
    extra = elementwise.multiply(elementwise.subtract(1.0, right), epsilon)
    return loss_parts.reduced(elementwise.add(entropy, extra), reduction, dtype)


def generalized_cross_entropy(
    input: Node, target: Node, *, q: float = 0.5, reduction: str = "mean"
) -> Node:
    """Return `(1 - p ** q) / q`, where p is the softmax of the right class: between the
    cross entropy, for a small q, and the absolute error, for 1.

    Args:
        input: logits, shape (n, classes, ...) or (classes,).
        target: class numbers, integers of shape (n, ...).
        q: how far wrong labels are put up with, above 0 and at most 1.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `q` is out of range, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Source: Z. Zhang, M. Sabuncu, "Generalized cross entropy loss for training deep
    neural networks with noisy labels", 2018.
    """
    op = "generalized_cross_entropy"
    if not 0 < q <= 1:
        raise ArgumentError(f"[{op}] q lies above 0 and up to 1", got=f"q={q}")
    log_p, target, axis, dtype = _classified(op, input, target, reduction)
    right = reduce.sum(elementwise.multiply(target, log_p), axis)
    # 1 - exp(x) without loss of digits where p is nearly 1.
    loss = elementwise.multiply(
        elementwise.expm1(elementwise.multiply(right, q)), -1.0 / q
    )
    return loss_parts.reduced(loss, reduction, dtype)


def sparsemax_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return the loss whose gradient is `sparsemax(input) - target`.

    Formula: (sum over the support of sparsemax of z ** 2 - tau ** 2) / 2 -
    sum(target * z) + sum(target ** 2) / 2, with sparsemax(z) = max(z - tau, 0).

    Args:
        input: scores z, shape (n, classes, ...) or (classes,).
        target: class numbers or probabilities, as for `cross_entropy`.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Source: A. Martins, R. Astudillo, "From softmax to sparsemax: a sparse model of
    attention and multi-label classification", 2016, equation 13.
    """
    op = "sparsemax_loss"
    z, target, axis, dtype = _scores(op, input, target, reduction)
    # By p the derivative is 0: the loss is greatest for this p of all.
    p = activation.sparsemax(z, axis)
    inner = elementwise.multiply(elementwise.subtract(p, target), z)
    squares = elementwise.subtract(elementwise.square(target), elementwise.square(p))
    loss = reduce.sum(elementwise.add(inner, elementwise.multiply(squares, 0.5)), axis)
    return loss_parts.reduced(loss, reduction, dtype)


def _check_gamma(op: str, gamma: float) -> None:
    if not gamma >= 0:
        raise ArgumentError(f"[{op}] gamma is negative", got=f"gamma={gamma}")


def _scores(
    op: str, input: Node, target: Node, reduction: str
) -> tuple[Node, Node, int, DType]:
    """Return scores and what they should be, the axis of classes, and the dtype."""
    loss_parts.check_reduction(op, reduction)
    axis = loss_parts.class_axis(op, input)
    probabilities = target.dtype.is_float
    if probabilities:
        loss_parts.check_shapes(op, input=input, target=target)
    else:
        loss_parts.check_labels(op, input, target, axis)
        classes = input.shape[axis]
        number = loss_parts.class_number(op, target, classes, None)
        target = loss_parts.is_class(number, classes, axis)
    dtype = float_dtype(input, target if probabilities else None)
    inner = inner_dtype(dtype)
    return elementwise.cast(input, inner), elementwise.cast(target, inner), axis, dtype


def _classified(
    op: str, input: Node, target: Node, reduction: str
) -> tuple[Node, Node, int, DType]:
    """As `_scores`, with the logarithm of the softmax."""
    x, target, axis, dtype = _scores(op, input, target, reduction)
    return activation.log_softmax(x, axis), target, axis, dtype


def _unsure(log_p: Node, gamma: float) -> Node:
    """Return `(1 - p) ** gamma`."""
    return _power(elementwise.negative(elementwise.expm1(log_p)), gamma)


def _power(x: Node, exponent: float) -> Node:
    # 0 ** gamma has no derivative for a gamma below 1.
    return elementwise.pow(elementwise.maximum(x, 1e-12), exponent)


OPS = (
    focal_loss, sigmoid_focal_loss, poly_loss, generalized_cross_entropy,
    sparsemax_loss,
)  # fmt: skip
