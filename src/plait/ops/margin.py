"""Losses of margins and of distances: what is right must win by so much.

Read first: `hinge_embedding_loss`, `multi_margin_loss`, `triplet_margin_loss`.
"""

from __future__ import annotations

import math

from ..dtypes import int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Node
from . import activation, elementwise, loss_parts, movement, reduce
from .distances import pairwise_distance
from .operand import float_dtype, inner_dtype


def hinge_embedding_loss(
    input: Node, target: Node, *, margin: float = 1.0, reduction: str = "mean"
) -> Node:
    """Return `input` where the target is 1, `max(0, margin - input)` where it is -1.

    Args:
        input: distances.
        target: 1 or -1, of the same shape. Any other target counts as both.
        margin: the wanted distance where the target is -1.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    op = "hinge_embedding_loss"
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    near = elementwise.select(elementwise.not_equal(target, -1), input, 0.0)
    far = elementwise.select(
        elementwise.not_equal(target, 1),
        activation.relu(elementwise.subtract(margin, input)),
        0.0,
    )
    return loss_parts.reduced(elementwise.add(near, far), reduction, dtype)


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
        margin: the wanted difference.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    op = "margin_ranking_loss"
    loss_parts.check_reduction(op, reduction)
    (x1, x2, sign), dtype = loss_parts.alike(
        op, input1=input1, input2=input2, target=target
    )
    gap = elementwise.multiply(sign, elementwise.subtract(x1, x2))
    return loss_parts.reduced(
        activation.relu(elementwise.subtract(margin, gap)), reduction, dtype
    )


def soft_margin_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return `log(1 + exp(-target * input))`, without overflow.

    Args:
        target: 1 or -1, of the shape of `input`.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.
    """
    input, target, dtype = loss_parts.prepared(
        "soft_margin_loss", reduction, input, target
    )
    product = elementwise.negative(elementwise.multiply(target, input))
    return loss_parts.reduced(activation.log1p_exp(product), reduction, dtype)


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
        margin: the wanted difference.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the target is not of integers.
        ArgumentError: `p` is neither 1 nor 2, or there is no such reduction.
        IndexingError: at run time, a class number is out of range.
    """
    op = "multi_margin_loss"
    loss_parts.check_reduction(op, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"[{op}] p is neither 1 nor 2", got=f"p={p}")
    axis, classes = _matrix(op, input)
    loss_parts.check_labels(op, input, target, axis)
    loss_parts.check_class_weight(op, weight, classes)
    dtype = float_dtype(input, weight)
    x = elementwise.cast(input, inner_dtype(dtype))
    target = loss_parts.class_number(op, target, classes, None)
    chosen = loss_parts.is_class(target, classes, axis)
    right = movement.expand_dims(loss_parts.chosen(x, chosen, axis), axis=axis)
    hinge = activation.relu(elementwise.add(elementwise.subtract(margin, right), x))
    if p == 2:
        hinge = elementwise.square(hinge)
    hinge = elementwise.select(chosen, 0.0, hinge)
    loss = elementwise.divide(reduce.sum(hinge, axis), float(classes))
    if weight is not None:
        per_class = loss_parts.per_class(weight, x.ndim, axis, x.dtype)
        loss = elementwise.multiply(loss, loss_parts.chosen(per_class, chosen, axis))
    return loss_parts.reduced(loss, reduction, dtype)


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
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes differ, or there are more than two axes.
        DTypeError: the target is not of integers.
        ArgumentError: there is no such reduction.

    Special cases: a class number above the last, before the first -1, contributes nan.
    """
    op = "multilabel_margin_loss"
    loss_parts.check_reduction(op, reduction)
    axis, classes = _matrix(op, input)
    if not target.dtype.is_integer:
        raise DTypeError(f"[{op}] class numbers are integers", got=target.dtype.name)
    loss_parts.check_shapes(op, input=input, target=target)
    dtype = float_dtype(input)
    x = elementwise.cast(input, inner_dtype(dtype))
    target = elementwise.cast(target, int64)
    ended = reduce.cumulative_max(
        elementwise.cast(elementwise.less(target, 0), int64), axis=axis
    )
    listed = elementwise.equal(ended, 0)
    # Axes: the places in the list, then the classes.
    chosen = elementwise.logical_and(
        loss_parts.is_class(target, classes, axis + 1),
        movement.expand_dims(listed, axis=axis + 1),
    )
    right = movement.expand_dims(reduce.any(chosen, axis), axis=axis)
    values = loss_parts.chosen(movement.expand_dims(x, axis=axis), chosen, axis + 1)
    gap = elementwise.subtract(
        movement.expand_dims(values, axis=axis + 1), movement.expand_dims(x, axis=axis)
    )
    counted = elementwise.logical_and(
        movement.expand_dims(listed, axis=axis + 1), elementwise.logical_not(right)
    )
    hinge = elementwise.select(
        counted, activation.relu(elementwise.subtract(1, gap)), 0.0
    )
    loss = elementwise.divide(reduce.sum(hinge, (axis, axis + 1)), float(classes))
    unknown = elementwise.logical_and(
        listed, elementwise.greater_equal(target, classes)
    )
    loss = elementwise.select(reduce.any(unknown, axis), math.nan, loss)
    return loss_parts.reduced(loss, reduction, dtype)


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
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.
    """
    op = "multilabel_soft_margin_loss"
    if not input.ndim:
        raise ShapeError(f"[{op}] the input needs an axis of classes", got="()")
    input, target, dtype = loss_parts.prepared(op, reduction, input, target)
    loss = loss_parts.entropy_of_logits(input, target)
    return loss_parts.reduced(
        reduce.mean(loss_parts.weighted(op, loss, weight), -1), reduction, dtype
    )


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
        margin: the cosine that vectors with target -1 may have.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.

    Special cases: any other target contributes 0.
    """
    op = "cosine_embedding_loss"
    loss_parts.check_reduction(op, reduction)
    (x1, x2), dtype = loss_parts.alike(op, input1=input1, input2=input2)
    _matrix(op, input1)
    loss_parts.check_pairs(op, input1, target)
    target = elementwise.cast(target, x1.dtype)
    lengths = elementwise.multiply(_squared_length(x1), _squared_length(x2))
    dot = reduce.sum(elementwise.multiply(x1, x2), -1)
    cosine = elementwise.divide(dot, elementwise.sqrt(lengths))
    apart = activation.relu(elementwise.subtract(cosine, margin))
    loss = elementwise.add(
        elementwise.select(
            elementwise.equal(target, 1), elementwise.subtract(1, cosine), 0.0
        ),
        elementwise.select(elementwise.equal(target, -1), apart, 0.0),
    )
    return loss_parts.reduced(loss, reduction, dtype)


def _squared_length(x: Node) -> Node:
    # Never 0, where the square root has no derivative.
    return elementwise.add(reduce.sum(elementwise.square(x), -1), 1e-12)


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
        margin: the wanted difference of distances.
        p, eps: the distance d is `pairwise_distance`.
        swap: take d(positive, negative) where it is smaller than d(anchor, negative).
        reduction: "mean" or "sum" over all triplets, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: an argument is out of range, or there is no such reduction.

    Source: V. Balntas et al., "Learning shallow convolutional feature descriptors with
    triplet losses", 2016.
    """
    op = "triplet_margin_loss"
    loss_parts.check_reduction(op, reduction)
    if not margin > 0:
        raise ArgumentError(f"[{op}] margin must be positive", got=f"margin={margin}")
    (anchor, positive, negative), dtype = loss_parts.alike(
        op, anchor=anchor, positive=positive, negative=negative
    )
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = elementwise.minimum(far, pairwise_distance(positive, negative, p, eps))
    gap = elementwise.add(elementwise.subtract(near, far), margin)
    return loss_parts.reduced(activation.relu(gap), reduction, dtype)


def hinge_loss(
    input: Node, target: Node, *, margin: float = 1.0, reduction: str = "mean"
) -> Node:
    """Return `max(0, margin - target * input)`.

    Args:
        input: scores.
        target: 1 or -1, of the same shape.
        margin: by how much the right sign must win.
        reduction: "mean" or "sum" over all elements, or "none".

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: there is no such reduction.

    Gradient at the margin: 0.
    """
    input, target, dtype = loss_parts.prepared("hinge_loss", reduction, input, target)
    return loss_parts.reduced(_hinge(input, target, margin), reduction, dtype)


def squared_hinge_loss(
    input: Node, target: Node, *, margin: float = 1.0, reduction: str = "mean"
) -> Node:
    """Return `max(0, margin - target * input) ** 2`; arguments as in `hinge_loss`."""
    input, target, dtype = loss_parts.prepared(
        "squared_hinge_loss", reduction, input, target
    )
    loss = elementwise.square(_hinge(input, target, margin))
    return loss_parts.reduced(loss, reduction, dtype)


def _hinge(input: Node, target: Node, margin: float) -> Node:
    product = elementwise.multiply(target, input)
    return activation.relu(elementwise.subtract(margin, product))


def categorical_hinge_loss(
    input: Node, target: Node, *, reduction: str = "mean"
) -> Node:
    """Return `max(0, 1 + wrong - right)` of the scores of classes.

    Formula: right = sum(target * input), wrong = max((1 - target) * input), over the
    classes; as (1 - target) is 0 for the right class, wrong is at least 0.

    Args:
        input: shape (n, classes) or (classes,).
        target: 1 for the right class and 0 for the others, of the same shape; or class
            numbers, integers of shape (n,) or ().
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.
        IndexingError: at run time, a class number is out of range.

    Source: definition of Keras's CategoricalHinge.
    """
    op = "categorical_hinge_loss"
    loss_parts.check_reduction(op, reduction)
    axis, classes = _matrix(op, input)
    if target.dtype.is_integer and target.ndim == axis:
        loss_parts.check_labels(op, input, target, axis)
        number = loss_parts.class_number(op, target, classes, None)
        target = loss_parts.is_class(number, classes, axis)
    loss_parts.check_shapes(op, input=input, target=target)
    dtype = float_dtype(input)
    x = elementwise.cast(input, inner_dtype(dtype))
    target = elementwise.cast(target, x.dtype)
    right = reduce.sum(elementwise.multiply(target, x), axis)
    others = elementwise.multiply(elementwise.subtract(1.0, target), x)
    gap = elementwise.subtract(reduce.max(others, axis), right)
    loss = activation.relu(elementwise.add(gap, 1.0))
    return loss_parts.reduced(loss, reduction, dtype)


def contrastive_loss(
    input1: Node,
    input2: Node,
    target: Node,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Node:
    """Return `d ** 2 / 2` of pairs that belong together, and
    `max(0, margin - d) ** 2 / 2` of the others, where d is their Euclidean distance.

    Args:
        input1, input2: of one shape, (..., features).
        target: 1 for pairs that belong together, else 0, shape (...).
        margin: the wanted distance of pairs that do not.
        reduction: "mean" or "sum" over all pairs, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.

    Source: R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an
    invariant mapping", 2006.
    """
    op = "contrastive_loss"
    loss_parts.check_reduction(op, reduction)
    (x1, x2), dtype = loss_parts.alike(op, input1=input1, input2=input2)
    loss_parts.check_pairs(op, input1, target)
    target = elementwise.cast(target, x1.dtype)
    squared = _squared_length(elementwise.subtract(x1, x2))
    apart = activation.relu(elementwise.subtract(margin, elementwise.sqrt(squared)))
    loss = elementwise.add(
        elementwise.multiply(target, squared),
        elementwise.multiply(
            elementwise.subtract(1.0, target), elementwise.square(apart)
        ),
    )
    return loss_parts.reduced(elementwise.multiply(loss, 0.5), reduction, dtype)


OPS = (
    hinge_embedding_loss, margin_ranking_loss, soft_margin_loss,
    multi_margin_loss, multilabel_margin_loss, multilabel_soft_margin_loss,
    cosine_embedding_loss, triplet_margin_loss,
    hinge_loss, squared_hinge_loss, categorical_hinge_loss, contrastive_loss,
)  # fmt: skip
