"""Exponential and hyperbolic functions, and the logistic one.

With m = round(x / (2 log(2))) and r = x - 2 m log(2), exp(x) = exp(r) * 2^m * 2^m: no
factor overflows or loses bits, even where the result is denormal.

Read first: `exp`.
"""

from __future__ import annotations

import math

from ....dtypes import float32
from . import coefficients as table
from .constants import LOG_2_PARTS
from .write import (
    Value,
    at_least,
    at_most,
    fma,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    select,
    with_sign,
)

INFINITY = math.inf


def _by(
    x: Value, single: tuple[float, ...], double: tuple[float, ...]
) -> tuple[float, ...]:
    return single if x.dtype is float32 else double


def exp_parts(x: Value, rest: Value | None = None) -> tuple[Value, Value]:
    """Return p and s, named, with exp(x + rest) = p * s * s, for x that is in range."""
    half = 0.5 / math.log(2)
    m, shifted = nearest(x, half)
    high, low = LOG_2_PARTS[x.dtype]
    r = fma(m, -2 * low, fma(m, -2 * high, x))
    if rest is not None:
        r = r + rest
    r = r.let()
    p = polynomial(r, (1.0, 1.0, *_by(r, table.EXP_FLOAT32, table.EXP_FLOAT64)))
    return p.let(), power_of_two(shifted).let()


def limits(x: Value) -> tuple[float, float]:
    """Return numbers beyond which exp is 0 and infinite.

    At the first one, 2^m is 0 itself. Products that become 0 by rounding may take a
    hundred times as long as others, and what is masked by -inf would be such products.
    """
    return (-176.0, 89.0) if x.dtype is float32 else (-1418.0, 710.0)


def exp(x: Value) -> Value:
    """Return e to the power x."""
    low, high = limits(x)
    p, s = exp_parts(at_most(at_least(x, low), high).let())
    return p * s * s


def _expm1_parts(x: Value, bias: int) -> tuple[Value, Value]:
    """Return exp(r) - 1 and 2 ** (n + bias), named, for x = n log(2) + r in range."""
    n, shifted = nearest(x, 1 / math.log(2))
    high, low = LOG_2_PARTS[x.dtype]
    r = fma(n, -low, fma(n, -high, x)).let()
    rest = polynomial(r, _by(r, table.EXP_NEAR_FLOAT32, table.EXP_NEAR_FLOAT64))
    return fma(r * r, rest, r), power_of_two(shifted, bias).let()


def expm1(x: Value) -> Value:
    """Return exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) with x = n log(2) + r."""
    low, high = (-18.0, 89.0) if x.dtype is float32 else (-40.0, 710.0)
    # 2 ** n itself may be infinite where the result is not.
    near, scale = _expm1_parts(at_most(at_least(x, low), high).let(), -1)
    result = fma(scale, near, scale - 0.5) * 2.0
    return select(abs(x) < 2.0 ** -(x.format.mantissa + 2), x, result)


def sigmoid(x: Value) -> Value:
    """Return 1 / (1 + exp(-x)), from exp(-|x|): precise in both tails."""
    low, _ = limits(x)
    p, s = exp_parts((-at_most(abs(x), -low)).let())
    e = (p * s * s).let()
    return select(x < 0.0, e, 1.0) / (e + 1.0)


def tanh(x: Value) -> Value:
    """Return the hyperbolic tangent: with e = exp(2 |x|) - 1, e / (e + 2)."""
    limit = 20.0 if x.dtype is float32 else 40.0  # from there on it is 1
    near, scale = _expm1_parts(at_most(abs(x) * 2.0, limit).let(), 0)
    e = fma(scale, near, scale - 1.0).let()
    return with_sign(e / (e + 2.0), x)


def _half_exp(size: Value) -> Value:
    """Return exp(x) / 2, named, which is finite for a little longer than exp(x)."""
    _, high = limits(size)
    p, s = exp_parts(at_most(size, high + 2).let())
    return ((p * s) * (s * 0.5)).let()


def sinh(x: Value) -> Value:
    """Return the hyperbolic sine."""
    size = magnitude(x)
    half = _half_exp(size)
    far = with_sign(half - 0.25 / half, x)
    y = (x * x).let()
    rest = polynomial(y, _by(x, table.SINH_FLOAT32, table.SINH_FLOAT64))
    return select(size < 1.0, fma(x * y, rest, x), far)


def cosh(x: Value) -> Value:
    """Return the hyperbolic cosine."""
    half = _half_exp(magnitude(x))
    return half + 0.25 / half
