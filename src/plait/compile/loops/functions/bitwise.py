"""Functions of signs and bits, division with rounding, and powers of integers.

Read first: `sign`, `remainder`.
"""

from __future__ import annotations

import math

from ....dtypes import DType, bool_, float32, float64
from ..grammar import Constant
from .write import Value, fma, halves, magnitude, select, with_sign


def sign(x: Value) -> Value:
    """Return -1, 0 or 1; nan for nan."""
    if x.dtype.is_float:
        return select(x > 0.0, 1.0, select(x < 0.0, -1.0, x + 0.0))
    if x.dtype.kind == "unsigned":
        return x.apply("minimum", 1)
    return x.apply("minimum", 1).apply("maximum", -1)


def signbit(x: Value) -> Value:
    """Return whether the sign bit is set."""
    result = x.bits() >= x.format.sign
    assert result.dtype is bool_
    return result


def copysign(x: Value, y: Value) -> Value:
    """Return the size of x with the sign of y."""
    return with_sign(abs(x), y)


def nextafter(x: Value, y: Value) -> Value:
    """Return the next number after x towards y."""
    form = x.format
    bits = x.bits().let()
    # Away from 0 the bits count up, whatever the sign.
    away = ((x < y) ^ (bits >= form.sign)).let()
    moved = bits + select(away, bits.constant(1), (1 << form.bits.bits) - 1)
    smallest = (y.bits() & form.sign) | 1
    result = select(x.equals(0.0), smallest, moved).bitcast(x.dtype)
    result = select(x.equals(y), y, result)
    return select(x.is_nan() | y.is_nan(), x + y, result)


# Division


# Remainders are exact where quotients are below 2 to this power: for float32 all.
QUOTIENT: dict[DType, int] = {float32: 278, float64: 500}


def _rest(x: Value, y: Value) -> Value:
    """Return |x| modulo |y|, named, of finite numbers.

    Each step takes from x a multiple of y that leaves less by a factor of 2 ** 50, or
    2 ** 25 without fused operations, and is exact: it has few enough bits.
    """
    single = x.dtype is float32
    size = magnitude(y)
    rest, divisor = magnitude(x), size
    scale = None
    if single:
        rest, divisor = rest.cast(float64).let(), divisor.cast(float64).let()
    else:
        # The inverse must be finite.
        scale = (size < 2.0**-900).let()
        factor = select(scale, size.constant(2.0**110), 1.0).let()
        rest, divisor = (rest * factor).let(), (divisor * factor).let()
    inverse = (1.0 / divisor).let()
    fused = x.writer.fused
    high, low = divisor, None
    if not fused and not single:
        high, low = halves(divisor)
    # Bits of the quotient that would make the new rest too long for a float.
    dropped = 27 if not fused else 0 if single else 2
    for _ in range(-(-QUOTIENT[x.dtype] // (50 if fused else 25))):
        count = (rest * inverse).apply("round")
        if dropped:
            bits = (count.bits() + (1 << dropped >> 1)) & ((1 << 64) - (1 << dropped))
            count = bits.bitcast(float64)
        count = (-count).let()
        rest = fma(count, high, rest)
        if low is not None:
            rest = fma(count, low, rest)
        rest = rest.let()
    rest = select(rest < 0.0, rest + divisor, rest).let()
    if scale is None:
        rest = rest.cast(float32)
    else:
        # Beyond what the steps reach, they leave anything; 0 is in range at least.
        good = (rest >= 0.0) & (rest < divisor)
        rest = select(good, rest * select(scale, rest.constant(2.0**-110), 1.0), 0.0)
    return select(size.equals(math.inf), abs(x), rest).let()


def _differ(x: Value, y: Value) -> Value:
    """Return whether the signs differ."""
    return ((x.bits() ^ y.bits()) & x.format.sign).equals(x.format.sign)


def remainder(x: Value, y: Value) -> Value:
    """Return x - floor(x / y) * y, with the sign of y."""
    rest = _rest(x, y)
    rest = select(_differ(x, y) & (rest > 0.0), abs(y) - rest, rest)
    wrong = y.equals(0.0) | abs(x).equals(math.inf)
    rest = select(wrong, math.nan, rest)
    rest = select(x.is_nan() | y.is_nan(), x + y, rest)
    return with_sign(rest.let(), y)


def floor_divide(x: Value, y: Value) -> Value:
    """Return floor(x / y) in the steps of the reference: first without the rest."""
    ratio = (x / y).let()
    rest = _rest(x, y)
    quotient = (x - with_sign(rest, x)) / y
    down = _differ(x, y) & (rest > 0.0)
    quotient = (quotient - select(down, rest.constant(1.0), 0.0)).let()
    below = quotient.apply("floor").let()
    result = select((quotient - below) > 0.5, below + 1.0, below).let()
    result = select(result.equals(0.0), with_sign(abs(result), ratio), result)
    infinite = abs(x).equals(math.inf) | abs(y).equals(math.inf)
    result = select(infinite, ratio.apply("floor"), result)
    result = select(x.is_nan() | y.is_nan(), x + y, result)
    return select(y.equals(0.0), ratio, result)


# Powers of integers


def integer_power(x: Value, y: Value) -> Value:
    """Return x to the power y modulo 2 ** bits; towards zero where y is negative."""
    one = x.constant(1)
    signed = x.dtype.kind == "signed"
    digits = x.dtype.bits - signed
    known = y.expression.value if isinstance(y.expression, Constant) else None
    if known is not None:
        digits = max(int(known), 0).bit_length()
    result, square = one, x
    for k in range(digits):
        if known is None:
            chosen = ((y >> k) & 1).equals(1)
            result = select(chosen, result * square, result).let()
        elif int(known) >> k & 1:
            result = square if result is one else (result * square).let()
        if k + 1 < digits:
            square = (square * square).let()
    if not signed or (known is not None and known >= 0):
        return result
    unit = select(x.equals(-1), 1 - ((y & 1) << 1), select(x.equals(1), one, 0))
    return select(y < 0, unit, result)
