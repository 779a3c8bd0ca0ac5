"""Functions of probabilities, and of the normal distribution.

Read first: `logit`, `erfcx`, `ndtri`.
"""

from __future__ import annotations

import math

from ..errors import ArgumentError
from ..ir.graph import Node
from . import arithmetic, elementwise, special
from .operand import Operand, as_float, inner_dtype, together

_ROOT_HALF = math.sqrt(0.5)


def _inner(op: str, x: Operand) -> tuple[Node, Node]:
    """Return `x` as a float, and in the dtype to compute in."""
    (node,) = together(op, x)
    node = as_float(op, node)
    return node, elementwise.cast(node, inner_dtype(node.dtype))


def logit(x: Operand, eps: float | None = None) -> Node:
    """Return the inverse of `sigmoid`: `log(x / (1 - x))`.

    Args:
        x: probabilities.
        eps: limit `x` to eps..1 - eps first.

    Special cases: infinite at 0 and 1, nan outside.
    """
    (node,) = together("logit", x)
    node = as_float("logit", node)
    if eps is not None:
        node = elementwise.clip(node, eps, 1 - eps)
    return elementwise.log(elementwise.divide(node, elementwise.subtract(1, node)))


def xlog1py(x: Operand, y: Operand) -> Node:
    """Return `x * log(1 + y)`, broadcast, accurate for small `y`.

    Special cases: 0 where `x` is 0, unless `y` is nan.

    Gradient: `ct * log1p(y)`, 0 where `x` is 0 and the logarithm is not finite; and
    `ct * x / (1 + y)`.
    """
    x, y = together("xlog1py", x, y)
    x, y = as_float("xlog1py", x), as_float("xlog1py", y)
    outside = elementwise.logical_or(
        elementwise.less_equal(y, -1), elementwise.equal(y, math.inf)
    )
    nothing = elementwise.logical_and(elementwise.equal(x, 0), outside)
    logarithm = elementwise.log1p(elementwise.select(nothing, 0, y))
    return elementwise.multiply(x, logarithm)


def entr(x: Operand) -> Node:
    """Return `-x * log(x)`, the summands of an entropy.

    Special cases: 0 where `x` is 0, -inf where it is negative.
    """
    (node,) = together("entr", x)
    node = as_float("entr", node)
    safe = elementwise.select(elementwise.less_equal(node, 0), 1, node)
    inside = elementwise.negative(elementwise.multiply(node, elementwise.log(safe)))
    below = elementwise.less(node, 0)
    zero = elementwise.equal(node, 0)
    inside = elementwise.select(zero, 0, inside)
    return elementwise.select(below, -math.inf, inside)


def erfcx(x: Operand) -> Node:
    """Return `exp(x ** 2) * erfc(x)`, which does not vanish where `erfc` does.

    Special cases: inf where `x` is far below 0.

    Source: W. J. Cody, "Rational Chebyshev approximations for the error function",
    Mathematics of Computation 23, 1969.
    """
    given, x = _inner("erfcx", x)
    low = elementwise.less(x, 0.5)
    high = elementwise.greater(x, 4)
    near = elementwise.select(low, x, 0.5)
    near = elementwise.multiply(
        elementwise.exp(elementwise.square(near)), special.erfc(near)
    )
    middle = elementwise.select(elementwise.logical_or(low, high), 1, x)
    middle = arithmetic.ratio(middle, special.ERFC_MIDDLE)
    far = elementwise.select(high, x, 8)
    z = elementwise.square(elementwise.reciprocal(far))
    tail = elementwise.multiply(z, arithmetic.ratio(z, special.ERFC_FAR))
    tail = elementwise.divide(elementwise.subtract(1 / math.sqrt(math.pi), tail), far)
    result = elementwise.select(low, near, elementwise.select(high, tail, middle))
    result = elementwise.select(elementwise.isnan(x), x, result)
    return elementwise.cast(result, given.dtype)


def ndtr(x: Operand) -> Node:
    """Return the probability that a standard normal number is at most `x`.

    Formula: erfc(-x / sqrt(2)) / 2.

    Gradient: `ct` times the density, exp(-x ** 2 / 2) / sqrt(2 pi).
    """
    (node,) = together("ndtr", x)
    scaled = elementwise.multiply(as_float("ndtr", node), -_ROOT_HALF)
    return elementwise.multiply(special.erfc(scaled), 0.5)


def log_ndtr(x: Operand) -> Node:
    """Return the logarithm of `ndtr(x)`, precise far below 0, too.

    Formula: log1p(-ndtr(-x)) above -1; and log(erfcx(-x / sqrt(2)) / 2) - x ** 2 / 2
    below.
    """
    given, x = _inner("log_ndtr", x)
    low = elementwise.less(x, -1)
    far = elementwise.multiply(elementwise.select(low, x, -1), -_ROOT_HALF)
    below = elementwise.subtract(
        elementwise.log(elementwise.multiply(erfcx(far), 0.5)), elementwise.square(far)
    )
    near = elementwise.negative(elementwise.select(low, 0, x))
    above = elementwise.log1p(elementwise.negative(ndtr(near)))
    return elementwise.cast(elementwise.select(low, below, above), given.dtype)


def ndtri(p: Operand) -> Node:
    """Return the number that a standard normal number is below with probability `p`.

    The inverse of `ndtr`.

    Special cases: -inf at 0, inf at 1, nan outside.

    Source: M. J. Wichura, Applied Statistics 37, 1988, algorithm AS 241.
    """
    given, p = _inner("ndtri", p)
    q = elementwise.subtract(p, 0.5)
    central = elementwise.less_equal(elementwise.abs(q), 0.425)
    centre = elementwise.select(central, q, 0)
    square = elementwise.square(centre)
    centre = elementwise.multiply(
        centre,
        arithmetic.ratio(
            elementwise.subtract(0.180625, square), special.QUANTILE_CENTRE
        ),
    )
    below = elementwise.less(q, 0)
    tail = elementwise.select(below, p, elementwise.subtract(1, p))
    outer = elementwise.logical_and(
        elementwise.greater(tail, 0), elementwise.logical_not(central)
    )
    tail = elementwise.select(outer, tail, 0.05)
    r = elementwise.sqrt(elementwise.negative(elementwise.log(tail)))
    close = elementwise.less_equal(r, 5)
    near = elementwise.subtract(elementwise.select(close, r, 1.6), 1.6)
    far = elementwise.subtract(elementwise.select(close, 5, r), 5)
    size = elementwise.select(
        close,
        arithmetic.ratio(near, special.QUANTILE_TAIL),
        arithmetic.ratio(far, special.QUANTILE_FAR_TAIL),
    )
    sides = elementwise.select(below, elementwise.negative(size), size)
    result = elementwise.select(central, centre, sides)
    result = elementwise.select(elementwise.equal(p, 0), -math.inf, result)
    result = elementwise.select(elementwise.equal(p, 1), math.inf, result)
    inside = elementwise.logical_and(
        elementwise.greater_equal(p, 0), elementwise.less_equal(p, 1)
    )
    return elementwise.cast(elementwise.select(inside, result, math.nan), given.dtype)


def multigammaln(x: Operand, p: int) -> Node:
    """Return the logarithm of the gamma function of several dimensions.

    Formula: p (p - 1) / 4 * log(pi) + sum of lgamma(x - j / 2) over j = 0..p - 1.

    Args:
        x: above (p - 1) / 2.
        p: the number of dimensions.

    Raises:
        ArgumentError: `p` is less than 1.

    Source: A. T. James, "Distributions of matrix variates and latent roots derived
    from normal samples", 1964.
    """
    if p < 1:
        raise ArgumentError("[multigammaln] p must be at least 1", got=f"p={p}")
    (node,) = together("multigammaln", x)
    total = special.lgamma(node)
    for j in range(1, p):
        total = elementwise.add(
            total, special.lgamma(elementwise.subtract(node, j / 2))
        )
    return elementwise.add(total, p * (p - 1) / 4 * math.log(math.pi))


OPS = (logit, xlog1py, entr, erfcx, ndtr, log_ndtr, ndtri, multigammaln)
