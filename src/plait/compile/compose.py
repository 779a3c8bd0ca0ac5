"""Primitives that have no kernels, said with others that have.

Done last of all, when no derivative will be taken any more: these primitives have rules
of their own for it, which hold where those of their parts do not.

Read first: `composed`, `RULES`.
"""

from __future__ import annotations

import math

from ..dtypes import float64, int32, uint16
from ..ir.build import apply, picks
from ..ir.graph import Graph, Node, remembered
from ..ir.rewrite import Rule, rewrite
from ..ops import elementwise, movement, reduce
from ..ops.factor import SVD
from ..ops.matrix import by_column, by_row, matmul, mT
from ..ops.source import full, full_like
from ..ops.special import BERNOULLI, POLYGAMMA, cotangent_polynomial
from ..ops.system import COFACTOR, DET, PINV
from ..transform.region import RECOMPUTE


@remembered
def composed(graph: Graph) -> Graph:
    """Return a graph without the primitives that are composed of others."""
    if not any(map(_has, graph.nodes())):
        return graph
    return rewrite(graph, RULES, distinct=(RECOMPUTE,), inner=composed)


def _has(node: Node) -> bool:
    if node.primitive in _COMPOSED:
        return True
    graphs = (x for x in node.attributes.values() if isinstance(x, Graph))
    return any(any(map(_has, graph.nodes())) for graph in graphs)


def pinv_of_svd(node: Node) -> Node | None:
    """`pinv(u @ diag(s) @ vh) -> vh.T @ diag(1 / s) @ u.T`, 0 for small s"""
    x, rtol = node.operands
    if not x.size:
        return None
    u, s, vh = picks(apply(SVD, x, full_matrices=False))
    largest = reduce.max(s, -1, keepdims=True)
    kept = elementwise.less(elementwise.multiply(by_row(rtol), largest), s)
    safe = elementwise.select(kept, s, full_like(s, 1))
    inverse = elementwise.divide(elementwise.cast(kept, s.dtype), safe)
    return matmul(mT(vh), elementwise.multiply(by_row(inverse), mT(u)))


def cofactor_of_svd(node: Node) -> Node | None:
    """`cofactor(u @ diag(s) @ vh) -> det(u) det(vh) u @ diag(r) @ vh`, r[i] the product
    of all other s
    """
    (x,) = node.operands
    n = x.shape[-1]
    if not n:
        return None
    bounded = elementwise.less(elementwise.abs(x), full_like(x, math.inf))
    whole = reduce.all(bounded, (-2, -1), keepdims=True)
    whole = movement.expand(whole, x.shape)
    u, s, vh = picks(
        apply(SVD, elementwise.select(whole, x, full_like(x, 0)), full_matrices=False)
    )
    sign = elementwise.multiply(apply(DET, u), apply(DET, vh))
    sign = elementwise.select(
        elementwise.less(sign, full_like(sign, 0)),
        full_like(sign, -1), full_like(sign, 1),
    )  # fmt: skip
    axis = s.ndim - 1
    one = full((*s.shape[:-1], 1), 1, s.dtype)
    before = movement.concat([one, movement.slice_axis(s, axis, 0, n - 1)], axis=axis)
    after = movement.concat([movement.slice_axis(s, axis, 1, n), one], axis=axis)
    after = movement.flip(
        reduce.cumulative_product(movement.flip(after, axis=axis), axis=axis),
        axis=axis,
    )
    others = elementwise.multiply(reduce.cumulative_product(before, axis=axis), after)
    scale = elementwise.multiply(by_row(sign), others)
    found = matmul(elementwise.multiply(u, by_column(scale)), vh)
    return elementwise.select(whole, found, full_like(x, math.nan))


def polygamma_of_series(node: Node) -> Node:
    """`polygamma(x) -> (-1)^(n + 1) n! zeta(n + 1, x)`, and by reflection for x < 0

    Source: NIST DLMF 5.15.1, 5.15.6, 25.11.28, as its reference.
    """
    (given,) = node.operands
    order = node.attributes["order"]
    x = elementwise.cast(given, float64)
    sign = 1.0 if order % 2 else -1.0
    negative = elementwise.less(x, 0.0)
    inside = elementwise.select(negative, elementwise.subtract(1.0, x), x)
    zeta = _hurwitz_zeta(order + 1, inside)
    found = elementwise.multiply(zeta, sign * math.factorial(order))
    distance = elementwise.multiply(
        elementwise.subtract(x, elementwise.round(x)), math.pi
    )
    cotangent = elementwise.divide(elementwise.cos(distance), elementwise.sin(distance))
    total: Node = full_like(x, 0)
    for coefficient in cotangent_polynomial(order):
        total = elementwise.add(elementwise.multiply(total, cotangent), coefficient)
    reflected = elementwise.subtract(
        elementwise.multiply(found, -sign),
        elementwise.multiply(total, math.pi ** (order + 1)),
    )
    found = elementwise.select(negative, reflected, found)
    whole = elementwise.equal(x, elementwise.round(x))
    pole = elementwise.bitwise_and(whole, elementwise.less_equal(x, 0.0))
    found = elementwise.select(pole, full_like(x, sign * math.inf), found)
    found = elementwise.select(elementwise.equal(x, math.inf), full_like(x, 0), found)
    found = elementwise.select(
        elementwise.equal(x, -math.inf), full_like(x, math.nan), found
    )
    return elementwise.cast(found, given.dtype)


def _hurwitz_zeta(s: int, x: Node) -> Node:
    """Return the sum of (x + k) ** -s over k = 0, 1, ..., for x > 0 and s > 1."""
    start = 9 + s  # from here on the series below is precise
    total: Node = full_like(x, 0)
    for _ in range(start):
        low = elementwise.less(x, float(start))
        more = elementwise.add(total, _inverse_power(x, s))
        total = elementwise.select(low, more, total)
        x = elementwise.select(low, elementwise.add(x, 1.0), x)
    series = elementwise.add(elementwise.divide(x, float(s - 1)), 0.5)
    square = elementwise.multiply(x, x)
    factor = elementwise.divide(float(s), x)
    for k, b in enumerate(BERNOULLI, 1):
        term = elementwise.multiply(factor, b / math.factorial(2 * k))
        series = elementwise.add(series, term)
        factor = elementwise.multiply(factor, float((s + 2 * k - 1) * (s + 2 * k)))
        factor = elementwise.divide(factor, square)
    return elementwise.add(total, elementwise.multiply(_inverse_power(x, s), series))


def _inverse_power(x: Node, n: int) -> Node:
    result: Node | None = None
    square = elementwise.divide(1.0, x)
    while n:
        if n & 1:
            result = square if result is None else elementwise.multiply(result, square)
        square = elementwise.multiply(square, square)
        n >>= 1
    assert result is not None
    return result


def nextafter_of_bits(node: Node) -> Node | None:
    """`nextafter(x, y) -> bits of x, one more or less`, of 16-bit floats

    Kernels have these as float32, which has other numbers next to them.
    """
    x, y = node.operands
    if x.dtype.bits != 16:
        return None
    bits, towards = (
        elementwise.cast(elementwise.bitcast(one, uint16), int32) for one in (x, y)
    )
    sign = full_like(bits, _SIGN)
    # Away from 0 the bits count up, whatever the sign.
    away = elementwise.bitwise_xor(
        elementwise.less(x, y), elementwise.greater_equal(bits, sign)
    )
    step = elementwise.select(away, full_like(bits, 1), full_like(bits, -1))
    least = elementwise.add(elementwise.bitwise_and(towards, sign), 1)
    zero = elementwise.equal(x, full_like(x, 0))
    moved = elementwise.select(zero, least, elementwise.add(bits, step))
    found = elementwise.bitcast(elementwise.cast(moved, uint16), x.dtype)
    found = elementwise.select(elementwise.equal(x, y), y, found)
    wrong = elementwise.bitwise_or(elementwise.isnan(x), elementwise.isnan(y))
    return elementwise.select(wrong, elementwise.add(x, y), found)


_SIGN = 0x8000  # the sign bit of 16-bit floats


RULES = (
    Rule(pinv_of_svd, (PINV,), exact=False),
    Rule(cofactor_of_svd, (COFACTOR,), exact=False),
    Rule(polygamma_of_series, (POLYGAMMA,), exact=False),
    Rule(nextafter_of_bits, (elementwise.NEXTAFTER,), exact=True),
)
_COMPOSED = frozenset(root for rule in RULES for root in rule.roots)
