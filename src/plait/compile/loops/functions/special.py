"""The error function and its relatives, and the gamma function.

Read first: `erf`, `lgamma`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....dtypes import float32, float64
from ....ops.special import (
    DIGAMMA_RATIO,
    DIGAMMA_ROOT,
    DIGAMMA_ROOT_REST,
    LGAMMA_RATIO,
    QUANTILE_CENTRE,
    QUANTILE_FAR_TAIL,
    QUANTILE_TAIL,
    STIRLING,
    STIRLING_DERIVATIVE,
)
from . import coefficients as table
from .exponential import exp_parts
from .logarithm import log
from .trigonometry import cosine, sine
from .write import (
    Value,
    at_most,
    fma,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    product,
    select,
    with_sign,
)


def _tail(size: Value) -> Value:
    """Return erfc for named x >= 1/2: exp(-x^2) / (1 + 2 x) times a polynomial.

    The polynomial is in (x - 3.75) / (x + 3.75): M. M. Shepherd and J. G. Laframboise,
    Mathematics of Computation 36, 1981.
    """
    single = size.dtype is float32
    y = at_most(size, 10.2 if single else 27.3).let()
    square, rest = product(y, y)
    p, s = exp_parts((-square).let(), -rest)
    z = ((y - 3.75) / (y + 3.75)).let()
    smooth = polynomial(z, table.ERFC_FLOAT32 if single else table.ERFC_FLOAT64)
    # The last factor makes the result denormal, where it is.
    return (smooth / fma(y, 2.0, 1.0)) * p * s * s


def _near(x: Value) -> Value:
    """Return erf(x) / x - 1 for |x| < 0.89."""
    single = x.dtype is float32
    return polynomial(
        (x * x).let(), table.ERF_NEAR_FLOAT32 if single else table.ERF_NEAR_FLOAT64
    )


def erf(x: Value) -> Value:
    """Return the error function."""
    size = magnitude(x)
    if x.dtype is float32:
        # From there on it is 1. The power of 2 is at most 1/4, so that it may be less
        # precise than exp.
        exponent = polynomial(at_most(size, 3.95).let(), table.ERF_FAR).let()
        n, shifted = nearest(exponent, 1.0)
        r = (exponent - n).let()
        p = polynomial(r, (1.0, *table.EXP2_NEAR))
        far = fma(-power_of_two(shifted), p, 1.0)
    else:
        far = 1.0 - _tail(size)
    return select(size < 0.85, fma(x, _near(x), x), with_sign(far, x))


def erfc(x: Value) -> Value:
    """Return 1 - erf(x)."""
    size = magnitude(x)
    tail = _tail(size).let()
    far = select(x < 0.0, 2.0 - tail, tail)
    return select(size < 0.5, 1.0 - fma(x, _near(x), x), far)


def _falling(x: Value, coefficients: Sequence[float]) -> Value:
    """Return the polynomial; the highest power's coefficient first."""
    return polynomial(x, coefficients[::-1])


def erfinv(x: Value) -> Value:
    """Return the number whose error function is x: the ratios of its reference."""
    single = x.dtype is float32
    x = x.cast(float64).let() if single else x
    size = magnitude(x)
    centre = (size <= 0.85).let()
    # Of numbers beyond 1 the logarithm is nan, and so is the result.
    r = (-log(((1.0 - size) * 0.5).let())).apply("sqrt").let()
    tail, far, inner = (
        (r - 1.6).let(),
        (r - 5.0).let(),
        fma(x * -0.25, x, 0.180625).let(),
    )
    near = (r <= 5.0).let()
    above, below = (
        select(
            centre,
            _falling(inner, QUANTILE_CENTRE[k]),
            select(
                near, _falling(tail, QUANTILE_TAIL[k]),
                _falling(far, QUANTILE_FAR_TAIL[k]),
            ),
        )
        for k in range(2)
    )  # fmt: skip
    scale = select(centre, size * math.sqrt(0.125), math.sqrt(0.5))
    result = select(size.equals(1.0), math.inf, above / below * scale)
    result = with_sign(result.let(), x)
    return result.cast(float32) if single else result


# The gamma function: the pieces of its reference, all worked out


def _stepped_down(x: Value, steps: int) -> tuple[list[Value], list[Value]]:
    """Return x and x minus 1, 2, ..., each while above 2.5, and where it was."""
    values, high = [x], []
    for _ in range(steps):
        above = (values[-1] > 2.5).let()
        high.append(above)
        values.append(select(above, values[-1] - 1.0, values[-1]).let())
    return values, high


def _distance(x: Value) -> Value:
    """Return x less the nearest integer."""
    return (x - x.apply("round")).let()


def _half_turn(distance: Value) -> tuple[Value, Value]:
    """Return sine and cosine, without signs, of pi times -1/2..1/2."""
    size = magnitude(distance)
    over = (size > 0.25).let()
    angle = (select(over, 0.5 - size, size) * math.pi).let()
    square = (angle * angle).let()
    s, c = sine(angle, None, square).let(), cosine(angle, None, square).let()
    return select(over, c, s), select(over, s, c)


def lgamma(x: Value) -> Value:
    """Return the logarithm of the absolute value of the gamma function."""
    single = x.dtype is float32
    x = x.cast(float64).let() if single else x
    size = magnitude(x)
    low, far = (size < 0.75).let(), (size >= 12.0).let()
    values, high = _stepped_down(at_most(size, 12.0).let(), 10)
    factor = size.constant(1.0)
    for above, value in zip(high, values[1:], strict=True):
        factor = select(above, factor * value, factor).let()
    base = select(low, size + 1.0, values[-1]).let()
    above, below = (_falling((base - 0.75).let(), part) for part in LGAMMA_RATIO)
    # At 1 and 2 the subtractions are exact; for small x, x + 1 - 1 would not be.
    first = select(low, size, base - 1.0)
    near = first * (base - 2.0) * (above / below)
    logarithm = log(select(low | far, size, factor).let()).let()
    inverse = (1.0 / size).let()
    series = polynomial((inverse * inverse).let(), STIRLING[::-1]) * inverse
    stirling = fma(size - 0.5, logarithm, -size) + (
        series + 0.5 * math.log(2 * math.pi)
    )
    positive = near + select(low, -logarithm, logarithm)
    positive = select(far, stirling, positive)
    positive = select(size.equals(math.inf), math.inf, positive).let()
    s, _ = _half_turn(_distance(size))
    reflected = log((math.pi / (s * size)).let()) - positive
    # For smaller ones the product above would be 0, and the values are the same.
    result = select(x < -(2.0**-60), reflected, positive)
    pole = (x <= 0.0) & x.apply("round").equals(x)
    result = select(pole, math.inf, result)
    return result.cast(float32) if single else result


def digamma(x: Value) -> Value:
    """Return the derivative of `lgamma`."""
    single = x.dtype is float32
    x = x.cast(float64).let() if single else x
    negative = (x < 0.0).let()
    # Of negative numbers that of 1 - x, and a cotangent.
    y = select(negative, 1.0 - x, x).let()
    low, far = (y < 1.0).let(), (y >= 10.0).let()
    values, high = _stepped_down(at_most(y, 10.0).let(), 9)
    # The sum of 1 / value as one ratio: a division costs as much as ten products.
    top, bottom = y.constant(0.0), y.constant(1.0)
    for above, value in zip(high, values[1:], strict=True):
        top = select(above, fma(top, value, bottom), top).let()
        bottom = select(above, bottom * value, bottom).let()
    base = select(low, y + 1.0, values[-1]).let()
    over, under = (_falling((base - 1.0).let(), part) for part in DIGAMMA_RATIO)
    near = ((base - DIGAMMA_ROOT) - DIGAMMA_ROOT_REST) * (over / under)
    inverse = (1.0 / y).let()
    near = near + select(low, -inverse, top / bottom)
    z = (inverse * inverse).let()
    stirling = log(y) - fma(inverse, 0.5, z * polynomial(z, STIRLING_DERIVATIVE[::-1]))
    result = select(far, stirling, near).let()
    distance = _distance(x)
    s, c = _half_turn(distance)
    cotangent = with_sign(((c / s) * math.pi).let(), distance)
    result = select(negative, result - cotangent, result)
    result = select(x.equals(0.0), -1.0 / x, result)
    nothing = negative & distance.equals(0.0)
    result = select(nothing | x.equals(-math.inf), math.nan, result)
    return result.cast(float32) if single else result
