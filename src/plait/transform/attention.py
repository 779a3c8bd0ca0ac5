"""Attention. It stands here, and not among the ops, since it loops over long sequences.

The scores of all queries against all keys take memory that grows with the square of the
length. Where they are many, blocks of queries are attended from one after the other: a
`scan` without a carry, whose derivative computes the scores of a block again. So no
more than the scores of one block lie in memory, forward and backward.

Read first: `scaled_dot_product_attention`, `_in_parts`, `_loop`.
"""

from __future__ import annotations

import itertools
import math

from ..dtypes import bool_, int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.build import make_input
from ..ir.graph import Graph, Node
from ..ops import activation, contract, elementwise, movement, philox, reduce, source
from ..ops.operand import float_dtype, inner_dtype
from ..shapes import Shape, size_of
from .scan import scan

# More scores than the first are computed in blocks of as many as the second, which stay
# in the caches. By measurement: fewer are faster at once.
_MOST_SCORES, _BLOCK_SCORES = 1 << 22, 1 << 20
# Thinner blocks would read all keys too often.
_LEAST_QUERIES = 16
# Causal attention is cut into parts, which leave out the keys behind their last query;
# of at least so many queries each, or more would be spent on kernels than is saved.
_CAUSAL_PARTS, _LEAST_PART = 4, 64


def attention_weights(
    query: Node,
    key: Node,
    attn_mask: Node | None = None,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Node:
    """Return `softmax(query @ key.T * scale + attn_mask)`: how much each key counts.

    Args:
        query: shape (..., l, e).
        key: shape (..., s, e). The leading axes broadcast.
        attn_mask: broadcasts to (..., l, s). bool: true where a key may be attended to.
            Floating-point: added to the scores.
        is_causal: position i of l attends to positions 0..i of s only.
        scale: default: 1 / sqrt(e).

    Returns:
        Shape (..., l, s); each row adds up to 1.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the mask is of integers.

    Special cases: a row is 0 where the mask allows no key.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """
    op = "attention_weights"
    _check_sizes(op, query, key, key)
    dtype = float_dtype(query, key)
    query, key = (elementwise.cast(x, inner_dtype(dtype)) for x in (query, key))
    if attn_mask is not None:
        attn_mask = _checked_mask(op, query, key, attn_mask)
    weights = _weights(_scaled(query, scale), key, attn_mask, is_causal)
    return elementwise.cast(weights, dtype)


def scaled_dot_product_attention(
    query: Node,
    key: Node,
    value: Node,
    attn_mask: Node | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    dropout_key: Node | None = None,
) -> Node:
    """Return `softmax(query @ key.T * scale + attn_mask) @ value`.

    Memory grows with the number of queries and with the number of keys, not with their
    product, forward and backward.

    Args:
        query: shape (..., l, e).
        key: shape (..., s, e).
        value: shape (..., s, v). The leading axes broadcast.
        attn_mask: broadcasts to (..., l, s). bool: true where a key may be attended to.
            Floating-point: added to the scores.
        dropout_p: with which probability a weight is left out; see `dropout`.
        is_causal: position i of l attends to positions 0..i of s only.
        scale: default: 1 / sqrt(e).
        enable_gqa: axis -3 counts heads, and those of the key and value may be fewer:
            each serves a group of consecutive heads of the query.
        dropout_key: for the random numbers; uint32, shape (4,). Needed with
            `dropout_p`.

    Returns:
        Shape (..., l, v).

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the mask is of integers.
        ArgumentError: `dropout_p` without `dropout_key`.

    Special cases: 0 where the mask allows no key.

    Source: A. Vaswani et al., "Attention is all you need", 2017; groups of heads:
    J. Ainslie et al., "GQA: training generalized multi-query transformer models from
    multi-head checkpoints", 2023; blocks: M. Rabe, C. Staats, "Self-attention does not
    need O(n^2) memory", 2021.
    """
    op = "scaled_dot_product_attention"
    if dropout_p and dropout_key is None:
        raise ArgumentError(
            f"[{op}] weights are left out at random, and there is no key",
            got=f"dropout_p={dropout_p}",
            fix="pass dropout_key=plait.random.bits(shape=4)",
        )
    _check_sizes(op, query, key, value)
    if enable_gqa:
        query, key, value, attn_mask = _grouped(op, query, key, value, attn_mask)
    dtype = float_dtype(query, key, value)
    inner = inner_dtype(dtype)
    query, key, value = (elementwise.cast(x, inner) for x in (query, key, value))
    if attn_mask is not None:
        attn_mask = _checked_mask(op, query, key, attn_mask)
    query = _scaled(query, scale)
    dropout = (dropout_p, dropout_key) if dropout_p and dropout_key else None
    result = _in_parts(query, key, value, attn_mask, is_causal, dropout)
    if enable_gqa:
        result = movement.reshape(
            result,
            (
                *result.shape[:-4],
                result.shape[-4] * result.shape[-3],
                *result.shape[-2:],
            ),
        )
    return elementwise.cast(result, dtype)


Dropout = tuple[float, Node] | None


def _check_sizes(op: str, query: Node, key: Node, value: Node) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim < 2:
            raise ShapeError(
                f"[{op}] the {name} needs at least two axes", got=str(x.shape)
            )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"[{op}] the sizes do not fit",
            got=f"query {query.shape}, key {key.shape}, value {value.shape}",
            expected="query (..., l, e), key (..., s, e), value (..., s, v)",
        )


def _scaled(query: Node, scale: float | None) -> Node:
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    return elementwise.multiply(query, scale)


def _checked_mask(op: str, query: Node, key: Node, mask: Node) -> Node:
    """Return the mask with at least two axes, bool or of the dtype of the scores."""
    if mask.dtype.is_integer:
        raise DTypeError(
            f"[{op}] the mask is neither bool nor floating-point", got=mask.dtype.name
        )
    scores = (query.shape[-2], key.shape[-2])
    if mask.ndim < 2:
        mask = movement.reshape(mask, (1,) * (2 - mask.ndim) + mask.shape)
    if any(n not in (1, m) for n, m in zip(mask.shape[-2:], scores, strict=True)):
        raise ShapeError(
            f"[{op}] the mask does not fit the queries and keys",
            got=str(mask.shape),
            expected=f"(..., {scores[0]}, {scores[1]}), or 1 in place of either",
        )
    return mask if mask.dtype is bool_ else elementwise.cast(mask, query.dtype)


def _grouped(
    op: str, query: Node, key: Node, value: Node, mask: Node | None
) -> tuple[Node, Node, Node, Node | None]:
    """Return operands with an axis for groups of heads, and one for heads in each."""
    heads = [x.shape[-3] if x.ndim > 2 else 0 for x in (query, key, value)]
    if heads[1] != heads[2] or not heads[1] or heads[0] % heads[1]:
        raise ShapeError(
            f"[{op}] the heads of the query cannot be shared out evenly",
            got=f"query {query.shape}, key {key.shape}, value {value.shape}",
            expected="a multiple of the heads, axis -3, of both key and value",
        )

    def split(x: Node, count: int) -> Node:
        parts = (*x.shape[:-3], count, x.shape[-3] // count, *x.shape[-2:])
        return movement.reshape(x, parts)

    if mask is not None and mask.ndim > 2:
        mask = split(mask, 1 if mask.shape[-3] == 1 else heads[1])
    return (*(split(x, heads[1]) for x in (query, key, value)), mask)  # type: ignore[return-value]


def _mixed(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None,
    causal: bool,
    dropout: Dropout,
    first: Node | int = 0,
) -> Node:
    """Return the values, mixed as the weights say.

    Args:
        first: the position of the first query.
    """
    weights = _weights(query, key, mask, causal, first)
    if dropout is not None:
        # Each block draws numbers of its own.
        own = philox.fold_in(dropout[1], first)
        weights = activation.dropout(weights, dropout[0], key=own)
    return contract.matmul(weights, value)


def _weights(
    query: Node, key: Node, mask: Node | None, causal: bool, first: Node | int = 0
) -> Node:
    scores = contract.matmul(query, movement.matrix_transpose(key))
    if causal:
        row = source.iota(query.shape[-2], int64)
        row = movement.reshape(elementwise.add(row, first), (row.size, 1))
        column = source.iota(key.shape[-2], int64)
        allowed = elementwise.less_equal(column, row)
        scores = elementwise.select(allowed, scores, -math.inf)
    if not key.shape[-2]:
        return scores
    if mask is None:
        return activation.softmax(scores)
    if mask.dtype is bool_:
        scores = elementwise.select(mask, scores, -math.inf)
    else:
        scores = elementwise.add(scores, mask)
    # Unlike softmax, 0 where nothing is allowed.
    top = source.stop_gradient(reduce.max(scores, -1, keepdims=True))
    top = elementwise.select(elementwise.equal(top, -math.inf), 0.0, top)
    weights = elementwise.exp(elementwise.subtract(scores, top))
    total = reduce.sum(weights, -1, keepdims=True)
    nothing = elementwise.equal(total, 0)
    return elementwise.divide(weights, elementwise.select(nothing, 1.0, total))


def _in_parts(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None,
    causal: bool,
    dropout: Dropout,
) -> Node:
    """Return what `_mixed` does, without the keys that no query of a part may see."""
    length, keys = query.shape[-2], key.shape[-2]
    parts = max(min(_CAUSAL_PARTS, length // _LEAST_PART), 1) if causal else 1
    edges = [length * i // parts for i in range(parts + 1)]
    results = []
    for start, stop in itertools.pairwise(edges):
        rows, columns = (start, stop), (0, min(stop, keys) if causal else keys)
        results.append(
            _in_blocks(
                _part(query, -2, rows), _part(key, -2, columns),
                _part(value, -2, columns),
                mask and _part(_part(mask, -2, rows), -1, columns),
                causal, dropout, start,
            )
        )  # fmt: skip
    return movement.concat(results, axis=-2)


def _part(x: Node, axis: int, bounds: tuple[int, int]) -> Node:
    """Return the places of an axis between two bounds; all of one that broadcasts."""
    if x.shape[axis] == 1:
        return x
    return movement.slice_axis(x, axis % x.ndim, *bounds)


def _in_blocks(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None,
    causal: bool,
    dropout: Dropout,
    start: int,
) -> Node:
    """Return what `_mixed` does, for a block of queries after the other if need be."""
    length = query.shape[-2]
    leads = [x.shape[:-2] for x in (query, key, value, mask) if x is not None]
    scores = max(map(size_of, leads)) * length * key.shape[-2]
    if scores <= _MOST_SCORES:
        return _mixed(query, key, value, mask, causal, dropout, start)
    share = length * _BLOCK_SCORES // scores
    block = max(1 << max(share.bit_length() - 1, 0), _LEAST_QUERIES)
    whole = length // block * block
    edges = [start for start in (0, whole) if start < length]
    results = [
        _loop(
            _part(query, -2, rows), key, value, mask and _part(mask, -2, rows), causal,
            dropout, start + rows[0], min(block, rows[1] - rows[0]),
        )
        for rows in itertools.pairwise([*edges, length])
    ]  # fmt: skip
    return movement.concat(results, axis=-2)


def _loop(
    query: Node,
    key: Node,
    value: Node,
    mask: Node | None,
    causal: bool,
    dropout: Dropout,
    start: int,
    block: int,
) -> Node:
    """Return what `_mixed` does for queries from number `start` on, block by block."""
    length = query.shape[-2]
    count = length // block
    firsts = elementwise.add(
        elementwise.multiply(source.iota(count, int64), block), start
    )
    sliced = mask is not None and mask.shape[-2] != 1
    shared = [key, value]
    each = [_blocks(query, block), firsts]
    if mask is not None and sliced:
        each.append(_blocks(mask, block))
    elif mask is not None:
        shared.append(mask)
    if dropout is not None:
        shared.append(dropout[1])
    inner = [_slot(x, x.shape) for x in shared]
    slices = [_slot(x, x.shape[1:]) for x in each]
    first = slices[1]
    if mask is not None:
        mask = slices[2] if sliced else inner[2]
    if dropout is not None:
        dropout = (dropout[0], inner[-1])
    mixed = _mixed(slices[0], inner[0], inner[1], mask, causal, dropout, first)
    body = Graph((*inner, *slices), (mixed,))
    (result,) = scan(shared, (), each, body, count)
    result = movement.moveaxis(result, 0, -3)
    return movement.reshape(result, (*result.shape[:-3], length, result.shape[-1]))


def _blocks(x: Node, block: int) -> Node:
    """Return `x` with its second last axis cut into blocks, which come first."""
    cut = (*x.shape[:-2], x.shape[-2] // block, block, x.shape[-1])
    return movement.moveaxis(movement.reshape(x, cut), -3, 0)


def _slot(x: Node, shape: Shape) -> Node:
    return make_input(shape, x.dtype, differentiable=x.differentiable)


OPS = (attention_weights, scaled_dot_product_attention)
