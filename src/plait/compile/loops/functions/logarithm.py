"""Logarithms, inverse hyperbolic functions, and powers.

A number is 2^k (1 + f) with 1 + f in sqrt(1/2)..sqrt(2).

Read first: `log`.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ....dtypes import float32, float64
from . import coefficients as table
from .constants import LOG_2_PARTS, split
from .exponential import exp_parts
from .write import (
    Value,
    at_least,
    at_most,
    fma,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    product,
    quick_sum,
    select,
    with_sign,
)

# The bits of sqrt(1/2).
_ROOT = {float32: 0x3F3504F3, float64: 0x3FE6A09E667F3BCD}


def take_apart(x: Value, denormal: bool = True) -> tuple[Value, Value, Value]:
    """Return k, 1 + f, and the biased k as an integer, of a positive number.

    The first and the last are named.

    Args:
        denormal: whether the number may be. Then the integer is of no use.
    """
    form = x.format
    bias = 2.0**form.mantissa + form.bias
    subtract: float | Value = bias
    if denormal:
        # 2 ** (mantissa + 1) makes normal numbers of all.
        small = (x < form.smallest).let()
        x = select(small, x * 2.0 ** (form.mantissa + 1), x)
        subtract = select(small, x.constant(bias + form.mantissa + 1), bias)
    root = _ROOT[form.dtype]
    shifted = (x.bits() + (form.one - root)).let()
    biased = (shifted >> form.mantissa).let()
    # With the bits of 2 ** mantissa above them, integers are floats.
    above = (form.bias + form.mantissa) << form.mantissa
    k = (biased | above).bitcast(form.dtype) - subtract
    mantissa = (shifted & ((1 << form.mantissa) - 1)) + root
    return k.let(), mantissa.bitcast(form.dtype), biased


def _assemble(k: Value, f: Value) -> Value:
    """Return k log(2) + log(1 + f)."""
    high, low = LOG_2_PARTS[f.dtype]
    square = (f * f).let()
    if f.dtype is float32:
        rest = fma(k, low, f * square * polynomial(f, table.LOG))
        return fma(k, high, f + fma(square, -0.5, rest))
    half = (square * 0.5).let()
    s = (f / (f + 2.0)).let()
    z = (s * s).let()
    ratio = z * polynomial(z, table.LOG_RATIO)
    return fma(k, high, f - (half - fma(s, half + ratio, k * low)))


def log(x: Value) -> Value:
    """Return the natural logarithm; nan below 0, -inf at 0."""
    k, mantissa, _ = take_apart(x)
    result = _assemble(k, (mantissa - 1.0).let())
    result = select(x < math.inf, result, x)
    result = select(x < 0.0, math.nan, result)
    return select(x.equals(0.0), -math.inf, result)


def log1p(x: Value) -> Value:
    """Return log(1 + x), where f is worked out from x, so that nothing is lost."""
    form = x.format
    k, _, biased = take_apart((x + 1.0).let(), denormal=False)
    # 4 / 2 ** k: 1 / 2 ** k itself may be denormal.
    scale = (2 * form.bias + 2 - biased) << form.mantissa
    scale = scale.bitcast(form.dtype).let()
    f = fma(x * 0.25, scale, fma(scale, 0.25, -1.0)).let()
    result = _assemble(k, f)
    result = select(x < math.inf, result, x)
    result = select(x < -1.0, math.nan, result)
    result = select(x.equals(-1.0), -math.inf, result)
    return select(abs(x) < 2.0 ** -(form.mantissa + 2), x, result)


_FAR = 2.0**60  # from here on 1 is nothing beside x, and x ** 2 is finite


def asinh(x: Value) -> Value:
    """Return the inverse hyperbolic sine: log1p(x + x^2 / (1 + sqrt(1 + x^2)))."""
    size = magnitude(x)
    far = (size > _FAR).let()
    square = (size * size).let()
    root = fma(size, size, 1.0).apply("sqrt")
    inner = size + square / (root + 1.0)
    result = log1p(select(far, size, inner).let())
    return with_sign(result + select(far, x.constant(math.log(2)), 0.0), x)


def acosh(x: Value) -> Value:
    """Return the inverse hyperbolic cosine: log1p(t + sqrt(2 t + t^2)), t = x - 1."""
    far = (x > _FAR).let()
    t = (x - 1.0).let()
    inner = t + (t * (t + 2.0)).apply("sqrt")
    result = log1p(select(far, x, inner).let())
    result = result + select(far, x.constant(math.log(2)), 0.0)
    return select(x < 1.0, math.nan, result)


def atanh(x: Value) -> Value:
    """Return the inverse hyperbolic tangent: log1p(2 x / (1 - x)) / 2."""
    size = magnitude(x)
    result = log1p(((size * 2.0) / (1.0 - size)).let()) * 0.5
    result = select(size < 2.0 ** -(x.format.mantissa // 2 + 2), size, result)
    return with_sign(result, x)


# Powers


def exp2(y: Value) -> Value:
    """Return 2 to the power y."""
    low, high = (-150.5, 129.0) if y.dtype is float32 else (-1076.0, 1025.0)
    y = at_most(at_least(y, low), high).let()
    m, shifted = nearest(y, 0.5)
    r = fma(m, -2.0, y).let()
    single = r.dtype is float32
    p = polynomial(r, (1.0, *(table.EXP2_FLOAT32 if single else table.EXP2_FLOAT64)))
    s = power_of_two(shifted).let()
    return p * s * s


def _power_float32(size: Value, y: Value) -> Value:
    """Return size ** y for float32, by way of float64."""
    k, mantissa, _ = take_apart(size.cast(float64).let(), denormal=False)
    f = (mantissa - 1.0).let()
    s = (f / (f + 2.0)).let()
    z = (s * s).let()
    natural = s * fma(z, polynomial(z, table.LOG_RATIO_SHORT), 2.0)
    logarithm = fma(natural, 1 / math.log(2), k)
    # Of larger exponents, too, every power but that of 1 is 0 or infinite.
    y = at_most(at_least(y, -(2.0**40)), 2.0**40)
    exponent = y.cast(float64) * logarithm
    exponent = at_most(at_least(exponent, -160.0), 160.0).let()
    n, shifted = nearest(exponent, 1.0)
    p = polynomial(((exponent - n).let()), (1.0, *table.EXP2_SHORT))
    return (p * power_of_two(shifted)).cast(float32)


def _power_float64(size: Value, y: Value) -> Value:
    """Return size ** y for float64: the logarithm in pairs of numbers.

    log(1 + f) = s (2 + z (2/3 + z L(z))), with s = f / (2 + f) and z = s^2.
    """
    k, mantissa, _ = take_apart(size)
    mantissa = mantissa.let()
    f = (mantissa - 1.0).let()
    below, below_rest = _sum_of_one(mantissa)
    inverse = (1.0 / below).let()
    s = (f * inverse).let()
    back, back_rest = product(s, below)
    s_rest = (((f - back) - back_rest - s * below_rest) * inverse).let()
    z, z_rest = product(s, s)
    z_rest = fma(s * 2.0, s_rest, z_rest).let()
    third, third_rest = split(Fraction(2, 3), (53, 53))
    inner, inner_rest = quick_sum(
        z.constant(third), (z * polynomial(z, table.LOG_RATIO_LONG)).let()
    )
    inner_rest = (inner_rest + third_rest).let()
    q, q_rest = product(z, inner)
    q_rest = (q_rest + fma(z, inner_rest, z_rest * inner)).let()
    # 2 s + s q, and k log(2).
    sq, sq_rest = product(s, q)
    sq_rest = sq_rest + fma(s, q_rest, s_rest * q)
    high, low = LOG_2_PARTS[float64]
    total, total_rest = quick_sum((s * 2.0).let(), sq)
    whole, whole_rest = quick_sum((k * high).let(), total)
    rest = whole_rest + (total_rest + (sq_rest + fma(k, low, s_rest * 2.0)))
    whole, rest = quick_sum(whole, rest.let())
    # Of larger exponents, too, every power but that of 1 is 0 or infinite.
    y = at_most(at_least(y, -(2.0**70)), 2.0**70).let()
    exponent, exponent_rest = product(y, whole)
    exponent_rest = fma(y, rest, exponent_rest)
    inside = (abs(exponent) < 800.0).let()
    exponent_rest = select(inside, exponent_rest, 0.0)
    exponent = at_most(at_least(exponent, -746.0), 710.0).let()
    p, scale = exp_parts(exponent, exponent_rest)
    return p * scale * scale


def _sum_of_one(x: Value) -> tuple[Value, Value]:
    """Return 1 + x and the rest, named, for x in 0.5..2."""
    high = (x + 1.0).let()
    # 1 + x is at least 1.5, so this difference is exact, and so is the next.
    return high, (x - (high - 1.0)).let()


def power(x: Value, y: Value) -> Value:
    """Return x to the power y, as IEEE 754-2019 9.2.1 has it for pow."""
    size = magnitude(x)
    single = x.dtype is float32
    result = _power_float32(size, y) if single else _power_float64(size, y)
    # Of 0 and infinity there is no logarithm.
    empty = size.equals(0.0).let()
    rising = ((y > 0.0) ^ empty).let()
    extreme = empty | size.equals(math.inf)
    result = select(extreme, select(rising, x.constant(math.inf), 0.0), result)
    half = (y * 0.5).let()
    whole = y.apply("floor").equals(y).let()
    odd = whole & ~half.apply("floor").equals(half)
    sign = select(odd, x.bits() & x.format.sign, 0)
    result = (result.bits() | sign).bitcast(x.dtype)
    finite_negative = (x < 0.0) & (x > -math.inf)
    result = select(finite_negative & ~whole, math.nan, result)
    result = select(x.is_nan() | y.is_nan(), x + y, result)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, result)


def constant_power(x: Value, exponent: float) -> Value | None:
    """Return x to a power known now, where that is shorter."""
    if exponent == 0:
        return x.constant(1.0)
    if exponent == 0.5:
        # The square root of -inf is nan, and of -0 is -0; these powers are inf and 0.
        root = (x + 0.0).apply("sqrt")
        return select(x.equals(-math.inf), math.inf, root)
    if exponent not in (1, 2, 3, -1, -2):
        return None
    if exponent < 0:
        x = (1.0 / x).let()
    if abs(exponent) == 1:
        return x
    square = x * x
    return square if abs(exponent) == 2 else square * x
