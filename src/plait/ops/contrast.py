"""Losses of embeddings: those of one label belong together, the others apart.

Read first: `nt_xent_loss`, `circle_loss`.
"""

from __future__ import annotations

from ..dtypes import DType, int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Node
from . import activation, contract, elementwise, loss_parts, movement, reduce, source
from .operand import float_dtype, inner_dtype

# Stands for minus infinity, whose derivatives are not numbers.
_NEVER = -1e30


def circle_loss(
    input: Node,
    target: Node,
    *,
    gamma: float = 80.0,
    margin: float = 0.4,
    reduction: str = "mean",
) -> Node:
    """Return how far embeddings of one label are from being closer than all others,
    with more weight on the pairs that are farthest from where they belong.

    Formula: softplus(logsumexp over others of one label of gamma * a * (d - margin) +
    logsumexp over those of other labels of gamma * b * (1 - margin - d)), with d =
    max(0, 1 - cosine), a = d + margin and b = max(0, 1 + margin - d).

    Args:
        input: embeddings of length 1, shape (n, features).
        target: labels, integers of shape (n,).
        gamma: the scale.
        margin: how near, and how far, is enough.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such reduction.

    Special cases: 0 for an example that has no other of its label, or none of another.

    Gradient: to the input, weights included.

    Source: Y. Sun et al., "Circle loss: a unified perspective of pair similarity
    optimization", 2020; in distances, as in Keras.
    """
    op = "circle_loss"
    x, dtype, same, other = _pairs(op, input, target, reduction)
    d = activation.relu(elementwise.subtract(1.0, _products(x)))
    near = elementwise.multiply(
        elementwise.add(d, margin), elementwise.subtract(d, margin)
    )
    far = elementwise.multiply(
        activation.relu(elementwise.subtract(1 + margin, d)),
        elementwise.subtract(1 - margin, d),
    )
    together = _largest(elementwise.multiply(near, gamma), same)
    apart = _largest(elementwise.multiply(far, gamma), other)
    loss = activation.softplus(elementwise.add(together, apart))
    return loss_parts.reduced(loss, reduction, dtype)


def nt_xent_loss(
    input: Node, target: Node, *, temperature: float = 0.07, reduction: str = "mean"
) -> Node:
    """Return how badly each embedding picks out those of its label by their cosines.

    Formula: the mean over the others j of one label of -log(exp(c_ij / temperature) /
    sum over k other than i of exp(c_ik / temperature)), where c are cosines.

    Args:
        input: embeddings, shape (n, features).
        target: labels, integers of shape (n,); two views of a picture have one label.
        temperature: positive.
        reduction: "mean" or "sum" over all examples, or "none".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: `temperature` is not positive, or there is no such reduction.

    Special cases: 0 for an example that is alone with its label.

    Source: T. Chen et al., "A simple framework for contrastive learning of visual
    representations", 2020; with more than one of a label, P. Khosla et al.,
    "Supervised contrastive learning", 2020.
    """
    op = "nt_xent_loss"
    if not temperature > 0:
        raise ArgumentError(
            f"[{op}] temperature must be positive", got=f"temperature={temperature}"
        )
    x, dtype, same, other = _pairs(op, input, target, reduction)
    units = activation.normalize(x, axis=-1)
    scores = elementwise.multiply(_products(units), 1 / temperature)
    others = elementwise.logical_or(same, other)
    log_p = elementwise.subtract(
        scores, movement.expand_dims(_largest(scores, others), axis=1)
    )
    count = reduce.sum(elementwise.cast(same, x.dtype), 1)
    total = reduce.sum(elementwise.select(same, log_p, 0.0), 1)
    loss = elementwise.negative(
        elementwise.divide(total, elementwise.maximum(count, 1.0))
    )
    return loss_parts.reduced(loss, reduction, dtype)


def ranking_softmax_loss(input: Node, target: Node, *, reduction: str = "mean") -> Node:
    """Return `-sum(target * log_softmax(input))` along the last axis: how badly scores
    order a list as its relevances do.

    Args:
        input: scores, shape (..., items).
        target: relevances, at least 0, of the same shape.
        reduction: "mean" or "sum" over all lists, or "none".

    Raises:
        ShapeError: the shapes differ, or have no axis.
        ArgumentError: there is no such reduction.

    Source: Z. Cao et al., "Learning to rank: from pairwise approach to listwise
    approach", 2007; without scaling relevances to a sum of 1.
    """
    op = "ranking_softmax_loss"
    if not input.ndim:
        raise ShapeError(f"[{op}] the input needs an axis of items", got="()")
    x, t, dtype = loss_parts.prepared(op, reduction, input, target)
    product = elementwise.multiply(t, activation.log_softmax(x, -1))
    loss = elementwise.negative(reduce.sum(product, -1))
    return loss_parts.reduced(loss, reduction, dtype)


def _pairs(
    op: str, input: Node, target: Node, reduction: str
) -> tuple[Node, DType, Node, Node]:
    """Return embeddings, the dtype of the result, and which pairs are of one label and
    which of two, no example with itself.
    """
    loss_parts.check_reduction(op, reduction)
    if input.ndim != 2 or target.shape != input.shape[:1]:
        raise ShapeError(
            f"[{op}] the shapes do not fit",
            got=f"input {input.shape}, target {target.shape}",
            expected="input (n, features), target (n,)",
        )
    if not target.dtype.is_integer:
        raise DTypeError(f"[{op}] labels are integers", got=target.dtype.name)
    dtype = float_dtype(input)
    x = elementwise.cast(input, inner_dtype(dtype))
    equal = elementwise.equal(
        movement.expand_dims(target, axis=1), movement.expand_dims(target, axis=0)
    )
    number = source.iota(input.shape[0], int64)
    others = elementwise.not_equal(
        movement.expand_dims(number, axis=1), movement.expand_dims(number, axis=0)
    )
    same = elementwise.logical_and(equal, others)
    return x, dtype, same, elementwise.logical_not(equal)


def _products(x: Node) -> Node:
    return contract.matmul(x, movement.matrix_transpose(x))


def _largest(x: Node, counted: Node) -> Node:
    """Return the logarithm of the sum of exponentials of what is counted in a row."""
    return reduce.logsumexp(elementwise.select(counted, x, _NEVER), 1)


OPS = (circle_loss, nt_xent_loss, ranking_softmax_loss)
