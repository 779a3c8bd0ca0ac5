"""The incomplete gamma function, and how gamma distributed numbers move with it.

All of it comes from one integral. With t = x * exp(s), the density t ** (a - 1) *
exp(-t) turns into exp(a * s - x * exp(s)), whose logarithm bends downward everywhere,
so that from s = 0 outward it falls at least like an exponential: a few nodes of Gauss
and Legendre up to where 1e-16 of it is left give all digits. Where x is small, the
power series at 0 does.

Read first: `_integrals`.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import float64
from ..errors import DTypeError
from ..ir.graph import Node
from . import elementwise, movement, reduce, source, special
from .operand import Operand, as_float, together

_NEAR = 2.5  # below it, the series
_TERMS = 30
_NODES = 32
_DROP = 37.0  # exp(-37) is 1e-16
_LARGE = 20.0  # from here on, Stirling's series of four terms has all digits


def _along(values: np.ndarray) -> Node:
    return source.constant(values, float64)


def _total(x: Node) -> Node:
    return reduce.sum(x, -1)


def _column(x: Node) -> Node:
    return movement.expand_dims(x, -1)


def _series(a: Node, x: Node) -> tuple[Node, Node]:
    """Return the sums of c / (a + k) and c / (a + k) ** 2 over k = 1, 2, ..., where c =
    (-x) ** k / k!.
    """
    k = np.arange(1.0, _TERMS)
    factorials = np.array([math.factorial(i) for i in range(1, _TERMS)], float)
    powers = elementwise.pow(_column(x), _along(k))
    terms = elementwise.multiply(powers, _along((-1.0) ** k / factorials))
    below = elementwise.add(_column(a), _along(k))
    first = elementwise.divide(terms, below)
    return _total(first), _total(elementwise.divide(first, below))


def _excess(s: Node) -> Node:
    """Return exp(s) - 1 - s, by its series where that is small."""
    near = elementwise.less(elementwise.abs(s), 0.3)
    t = elementwise.select(near, s, 0.0)
    series = elementwise.multiply(t, 1 / 14)
    for k in range(13, 2, -1):
        step = elementwise.multiply(t, 1 / k)
        series = elementwise.multiply(elementwise.add(series, 1), step)
    half = elementwise.multiply(elementwise.square(t), 0.5)
    series = elementwise.multiply(elementwise.add(series, 1), half)
    exact = elementwise.subtract(elementwise.expm1(s), s)
    return elementwise.select(near, series, exact)


def _front(a: Node, x: Node) -> Node:
    """Return x ** a * exp(-x) / gamma(a).

    Formula: for a large `a`, with s = log(x / a) and Stirling's series r,
    sqrt(a / (2 * pi)) * exp(-a * (exp(s) - 1 - s) - r): no large numbers of which
    little is left.
    """
    large = elementwise.greater_equal(a, _LARGE)
    plain = elementwise.subtract(
        elementwise.subtract(elementwise.multiply(a, elementwise.log(x)), x),
        special.lgamma(a),
    )
    b = elementwise.select(large, a, _LARGE)
    off = elementwise.divide(elementwise.subtract(x, b), b)
    near = elementwise.less(elementwise.abs(off), 0.5)
    s = elementwise.select(
        near,
        elementwise.log1p(elementwise.select(near, off, 0.0)),
        elementwise.log(elementwise.divide(x, b)),
    )
    over = elementwise.reciprocal(b)
    square = elementwise.square(over)
    rest = elementwise.multiply(square, -1 / 1680)
    for coefficient in (1 / 1260, -1 / 360):
        rest = elementwise.multiply(elementwise.add(rest, coefficient), square)
    rest = elementwise.multiply(elementwise.add(rest, 1 / 12), over)
    exponent = elementwise.negative(
        elementwise.add(elementwise.multiply(b, _excess(s)), rest)
    )
    factor = elementwise.sqrt(elementwise.multiply(b, 0.5 / math.pi))
    factor = elementwise.select(large, factor, 1.0)
    exponent = elementwise.select(large, exponent, plain)
    return elementwise.multiply(factor, elementwise.exp(exponent))


def _width(a: Node, x: Node, low: Node) -> Node:
    """Return how far from 0 the integrand has fallen by `exp(-_DROP)`, or further.

    Formula: with b = abs(a - x), the exponent falls by more than b * u + x * u ** 2 / 2
    at s = u above, and by more than b * u + x * u ** 2 / (2 + u) at s = -u below.
    """
    b = elementwise.abs(elementwise.subtract(a, x))
    above = elementwise.divide(
        2 * _DROP,
        elementwise.add(
            b,
            elementwise.sqrt(
                elementwise.add(
                    elementwise.square(b), elementwise.multiply(x, 2 * _DROP)
                )
            ),
        ),
    )
    slack = elementwise.subtract(elementwise.multiply(b, 2), _DROP)
    root = elementwise.sqrt(
        elementwise.add(
            elementwise.square(slack),
            elementwise.multiply(elementwise.add(b, x), 8 * _DROP),
        )
    )
    below = elementwise.divide(4 * _DROP, elementwise.add(slack, root))
    return elementwise.select(low, below, above)


def _integrals(a: Node, x: Node) -> tuple[Node, Node, Node]:
    """Return the integrals of f(s) and of f(s) * abs(s), and on which side of 0.

    Formula: f(s) = exp(a * s - x * (exp(s) - 1)), integrated from 0 to infinity, or
    from -infinity to 0 where the third result is true: where `x` is below `a`.

    Args:
        a, x: float64, positive; `x` not small.
    """
    low = elementwise.less(x, a)
    # No derivative flows through where the nodes lie.
    width = source.stop_gradient(_width(a, x, low))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    u = elementwise.multiply(_column(width), _along((nodes + 1) / 2))
    s = elementwise.multiply(u, _column(elementwise.select(low, -1.0, 1.0)))
    exponent = elementwise.subtract(
        elementwise.multiply(_column(elementwise.subtract(a, x)), s),
        elementwise.multiply(_column(x), _excess(s)),
    )
    f = elementwise.multiply(elementwise.exp(exponent), _along(weights / 2))
    size = elementwise.multiply(width, _total(f))
    moment = elementwise.multiply(width, _total(elementwise.multiply(f, u)))
    return size, moment, low


def _both(op: str, a: Operand, x: Operand) -> tuple[Node, Node, Node]:
    """Return the lower and the upper part, and `x` before the cast to float64."""
    a, x = together(op, a, x)
    if not a.dtype.is_float:
        raise DTypeError(f"[{op}] the element type is not accepted", got=a.dtype.name)
    a, given = as_float(op, a), as_float(op, x)
    a, x = elementwise.cast(a, float64), elementwise.cast(given, float64)
    given_a = a
    a = elementwise.select(_ordinary(a), a, 1.0)
    inside = elementwise.logical_and(
        elementwise.greater(x, 0), elementwise.less(x, math.inf)
    )
    near = elementwise.less(x, _NEAR)
    small = elementwise.select(elementwise.logical_and(inside, near), x, 1.0)
    large = elementwise.select(elementwise.logical_and(inside, near), _NEAR, x)
    large = elementwise.select(inside, large, _NEAR)

    sums, _ = _series(a, small)
    front = elementwise.exp(
        elementwise.subtract(
            elementwise.multiply(a, elementwise.log(small)),
            special.lgamma(elementwise.add(a, 1)),
        )
    )
    series = elementwise.multiply(
        front, elementwise.add(elementwise.multiply(a, sums), 1)
    )

    size, _, low = _integrals(a, large)
    part = elementwise.multiply(_front(a, large), size)
    rest = elementwise.subtract(1, part)
    lower = elementwise.select(near, series, elementwise.select(low, part, rest))
    upper = elementwise.select(
        near,
        elementwise.subtract(1, series),
        elementwise.select(low, rest, part),
    )
    beyond = elementwise.equal(x, math.inf)
    lower = elementwise.select(inside, lower, elementwise.select(beyond, 1.0, _ends(x)))
    upper = elementwise.select(
        inside,
        upper,
        elementwise.select(beyond, 0.0, elementwise.subtract(1, _ends(x))),
    )
    # Of an infinite `a`, nothing lies below a finite `x`.
    endless = elementwise.logical_and(
        elementwise.equal(given_a, math.inf), elementwise.greater_equal(x, 0)
    )
    endless = elementwise.logical_and(endless, elementwise.less(x, math.inf))
    lower = elementwise.select(endless, 0.0, lower)
    upper = elementwise.select(endless, 1.0, upper)
    defined = elementwise.logical_or(endless, _ordinary(given_a))
    lower = elementwise.select(defined, lower, math.nan)
    upper = elementwise.select(defined, upper, math.nan)
    return lower, upper, given


def _ordinary(a: Node) -> Node:
    """Return whether a concentration is not negative, and finite."""
    return elementwise.logical_and(
        elementwise.greater_equal(a, 0), elementwise.less(a, math.inf)
    )


def _ends(x: Node) -> Node:
    """Return 0 where `x` is 0, and nan where it is negative or nan."""
    return elementwise.select(elementwise.equal(x, 0), 0.0, math.nan)


def gammainc(a: Operand, x: Operand) -> Node:
    """Return the regularised lower incomplete gamma function.

    Formula: the integral of t ** (a - 1) * exp(-t) over t from 0 to `x`, over
    gamma(a): the probability that a gamma distributed number of concentration `a` is
    at most `x`.

    Args:
        a: positive.
        x: not negative. Both are broadcast, and computed in float64.

    Special cases: 0 where `a` is infinite and `x` is not; nan where one of
    them is negative.

    Gradient: to both.

    Source: NIST DLMF 8.2, 8.7.
    """
    lower, _, given = _both("gammainc", a, x)
    return elementwise.cast(lower, given.dtype)


def gammaincc(a: Operand, x: Operand) -> Node:
    """Return the regularised upper incomplete gamma function, `1 - gammainc(a, x)`.

    With full relative precision where `x` is above `a` and 2.5.

    Args:
        a: positive.
        x: not negative. Both are broadcast, and computed in float64.

    Special cases: 1 where `a` is infinite and `x` is not; nan where one of
    them is negative.

    Gradient: to both.

    Source: NIST DLMF 8.2, 8.7.
    """
    _, upper, given = _both("gammaincc", a, x)
    return elementwise.cast(upper, given.dtype)


def loggamma_slope(a: Operand, y: Operand) -> Node:
    """Return how the logarithm of a gamma distributed number moves with `a`.

    Formula: dy / da where gammainc(a, exp(y)) stays the same: that is
    -(d gammainc / da) / (x * density(x)) at x = exp(y). It makes numbers drawn from a
    gamma distribution differentiable in its concentration.

    Args:
        a: the concentration, positive.
        y: the logarithm of the number. Both are broadcast, and computed in float64.

    Gradient: to both, of the formula.

    Source: M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients",
    2018.
    """
    op = "loggamma_slope"
    a, y = together(op, a, y)
    a, given = as_float(op, a), as_float(op, y)
    a, y = elementwise.cast(a, float64), elementwise.cast(given, float64)
    near = elementwise.less(y, math.log(_NEAR))
    # The value at a + 1 and 1 / a stand apart, as their sum forgets the former.
    digamma = special.digamma(elementwise.add(a, 1))
    distance = elementwise.subtract(digamma, y)

    x = elementwise.exp(elementwise.select(near, y, 0.0))
    first, second = _series(a, x)
    inner = elementwise.multiply(
        elementwise.subtract(distance, elementwise.reciprocal(a)), first
    )
    series = elementwise.add(
        elementwise.divide(distance, a), elementwise.add(inner, second)
    )
    series = elementwise.multiply(series, elementwise.exp(x))

    x = elementwise.exp(elementwise.select(near, math.log(_NEAR), y))
    size, moment, low = _integrals(a, x)
    lead = elementwise.multiply(
        elementwise.subtract(distance, elementwise.reciprocal(a)), size
    )
    lead = elementwise.select(low, lead, elementwise.negative(lead))
    result = elementwise.select(near, series, elementwise.add(lead, moment))
    return elementwise.cast(result, given.dtype)


OPS = (gammainc, gammaincc, loggamma_slope)
