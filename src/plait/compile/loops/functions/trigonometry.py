"""Trigonometric functions and their inverses.

An angle is n quarter turns and a rest of at most an eighth of a turn. To keep the rest
precise, however large the angle is, the quotient by pi / 2 is worked out with as many
bits of 2 / pi as matter: M. H. Payne and R. N. Hanek, "Radian reduction for
trigonometric functions", SIGNUM Newsletter 18, 1983.

Read first: `reduced`, `sin`.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ....dtypes import float32, float64, int64, uint32
from . import coefficients as table
from .constants import PI_PARTS, TWO_OVER_PI, split
from .write import (
    Value,
    fma,
    magnitude,
    nearest,
    polynomial,
    product,
    quick_sum,
    select,
    with_sign,
)

_PIECES = (29, 29, 29, 53)
# From here on the first bits of 2 / pi give multiples of 4.
_FAR = 80


def _pieces(skip: int) -> tuple[float, ...]:
    """Return 2 / pi without its first bits, in pieces."""
    kept = TWO_OVER_PI * 2**skip
    return split((kept - math.floor(kept)) / 2**skip, _PIECES)


_NEAR_PIECES = _pieces(0)
_FAR_PIECES = _pieces(_FAR - 25)


def reduced(size: Value) -> tuple[Value, Value | None, Value]:
    """Return the rest, what rounding has taken from it, and the quarter turns.

    Args:
        size: not negative.

    Returns:
        named values; the last an unsigned integer of which only the two lowest bits
        count. float32 needs no second.
    """
    return _reduced_float32(size) if size.dtype is float32 else _reduced_float64(size)


def _reduced_float32(size: Value) -> tuple[Value, None, Value]:
    # In float64 products with pieces of 29 bits are exact.
    x = size.cast(float64).let()
    far = (x >= 2.0**_FAR).let()
    products = []
    for near_piece, far_piece in zip(_NEAR_PIECES, _FAR_PIECES, strict=True):
        products.append(x * select(far, x.constant(far_piece), near_piece))
    # The last is small; of the others, multiples of 4 go.
    *large, last = products
    kept = []
    for one in large:
        named = one.let()
        kept.append(fma((named * 0.25).apply("round"), -4.0, named).let())
    first, second, third = kept
    turns, shifted = nearest(first + second + third, 1.0)
    fraction = (first - turns) + second + third + last
    rest = (fraction * (math.pi / 2)).cast(float32).let()
    return rest, None, shifted.bits().cast(uint32).let()


# Of float64, as integers: 2 / pi begins after 55 zeros, so that the exponent says where
# the bits begin that matter.
_ZEROS = 55
_WORDS = 20
_STREAM = math.floor(TWO_OVER_PI * Fraction(2) ** (64 * _WORDS - _ZEROS))
_LOW = (1 << 32) - 1


def _window(start: Value) -> list[Value]:
    """Return three words of the bits of 2 / pi from a bit on, the highest first."""
    all_words = [(_STREAM >> (64 * (_WORDS - 1 - k))) & ((1 << 64) - 1)
                 for k in range(_WORDS)]  # fmt: skip
    words: list[Value] = [start.constant(word) for word in all_words]
    for step in (16, 8, 4, 2, 1):
        chosen = ((start & (64 * step)).equals(64 * step)).let()
        words = [
            select(chosen, words[k + step], words[k]).let()
            if k + step < len(words)
            else words[k]
            for k in range(min(len(words), step + 3))
        ]
    shift = (start & 63).let()
    back = (63 - shift).let()
    return [
        ((words[k] << shift) | ((words[k + 1] >> 1) >> back)).let() for k in range(3)
    ]


def _reduced_float64(size: Value) -> tuple[Value, Value, Value]:
    bits = size.bits().let()
    # Below 1/2 there is nothing to reduce.
    exponent = (bits >> 52).let()
    safe = exponent.apply("maximum", 1022)
    words = _window((safe - 1022).let())
    digits: list[Value] = []  # of 32 bits, the lowest first
    for word in reversed(words):
        digits += [(word & _LOW).let(), (word >> 32).let()]
    mantissa = ((bits & ((1 << 52) - 1)) | (1 << 52)).let()
    low, high = (mantissa & _LOW).let(), (mantissa >> 32).let()
    # The product modulo 2 ** 192, but for its lowest digit.
    carry = low.constant(0)
    result: list[Value] = []
    for k in range(1, 6):
        one, two = (low * digits[k]).let(), (high * digits[k - 1]).let()
        total = ((one & _LOW) + (two & _LOW) + carry).let()
        if k > 1:
            result.append((total & _LOW).let())
        if k < 5:
            carry = (one >> 32) + (two >> 32) + (total >> 32)
    top = (result[3] << 32 | result[2]).let()
    turns = ((top + (1 << 61)) >> 62).let()
    # What is left is signed: an exact sum of two parts, and digits below them.
    left = (top - (turns << 62)).bitcast(int64).let()
    above = _whole(left >> 32) * 2.0**-30
    between = _whole(left & _LOW) * 2.0**-62
    lowest = _whole(result[0].bitcast(int64)) * 2.0**-126
    below = fma(_whole(result[1].bitcast(int64)), 2.0**-94, lowest)
    fraction, fraction_rest = quick_sum(above.let(), between.let())
    fraction_rest = (fraction_rest + below).let()
    half_pi, half_pi_rest = (part / 2 for part in PI_PARTS[float64])
    rest, error = product(fraction, fraction.constant(half_pi))
    error = error + fma(fraction, half_pi_rest, fraction_rest * half_pi)
    rest, error = quick_sum(rest, error.let())
    small = (size < math.pi / 4).let()
    rest = select(small, size, rest)
    rest = select(size < math.inf, rest, math.nan).let()
    return (
        rest,
        select(small, error.constant(0.0), error).let(),
        select(small, turns.constant(0), turns).let(),
    )


def _whole(x: Value) -> Value:
    """Return an int64 below 2 ** 51 as float64, by its bits."""
    magic = 1.5 * 2.0**52
    return (x + 0x4338000000000000).bitcast(float64) - magic


def sine(r: Value, error: Value | None, square: Value) -> Value:
    """Return sin(r + error) for small r, whose square is given."""
    single = r.dtype is float32
    rest = polynomial(square, table.SIN_FLOAT32 if single else table.SIN_FLOAT64)
    cube = r * square
    if error is None:
        return fma(cube, rest, r)
    # sin(r + e) = sin(r) + e cos(r).
    return r + fma(cube, rest, fma(square * -0.5, error, error))


def cosine(r: Value, error: Value | None, square: Value) -> Value:
    """Return cos(r + error) for small r, whose square is given."""
    single = r.dtype is float32
    rest = polynomial(square, table.COS_FLOAT32 if single else table.COS_FLOAT64)
    if error is None:
        return fma(square, fma(square, rest, -0.5), 1.0)
    # cos(r + e) = cos(r) - e r; 1 - r^2 / 2 in two parts.
    half = (square * 0.5).let()
    most = (1.0 - half).let()
    tail = (1.0 - most) - half
    return most + (tail + (square * square * rest - r * error))


def _circular(x: Value, shift: int) -> Value:
    """Return the sine of x + shift * pi / 2, up to the sign of x."""
    r, error, turns = reduced(magnitude(x))
    if shift:
        turns = (turns + shift).let()
    square = (r * r).let()
    odd = (turns & 1).equals(1)
    result = select(odd, cosine(r, error, square), sine(r, error, square))
    sign = (turns & 2) << (x.format.bits.bits - 2)
    return (result.bits() ^ sign).bitcast(x.dtype)


def sin(x: Value) -> Value:
    """Return the sine."""
    return (_circular(x, 0).bits() ^ (x.bits() & x.format.sign)).bitcast(x.dtype)


def cos(x: Value) -> Value:
    """Return the cosine."""
    return _circular(x, 1)


def tan(x: Value) -> Value:
    """Return the tangent: sine over cosine, or -cosine over sine."""
    r, error, turns = reduced(magnitude(x))
    square = (r * r).let()
    odd = (turns & 1).equals(1).let()
    s, c = sine(r, error, square).let(), cosine(r, error, square).let()
    result = select(odd, -c, s) / select(odd, s, c)
    return (result.bits() ^ (x.bits() & x.format.sign)).bitcast(x.dtype)


# Inverses


def _angle(y: Value, x: Value) -> Value:
    """Return the angle of (x, y) for named y and x with 0 <= y <= x, x > 0."""
    # At more than an eighth of a right angle, turned back by a quarter of two.
    steep = (y > x * (math.sqrt(2) - 1)).let()
    t = (select(steep, y - x, y) / select(steep, y + x, x)).let()
    square = (t * t).let()
    single = x.dtype is float32
    rest = polynomial(square, table.ATAN_FLOAT32 if single else table.ATAN_FLOAT64)
    high, low = PI_PARTS[x.dtype]
    rest = (t * square * rest).let()
    turned = (t + (rest + low / 4)) + high / 4
    return select(steep, turned, t + rest)


def atan(x: Value) -> Value:
    """Return the angle whose tangent is x."""
    size = magnitude(x)
    large = (size > 1.0).let()
    one = size.constant(1.0)
    # Not 1 / size, which would round twice.
    angle = _angle(
        select(large, one, size).let(), select(large, at_finite(size), 1.0).let()
    )
    high, low = PI_PARTS[x.dtype]
    angle = angle.let()
    return with_sign(select(large, (high / 2 - angle) + low / 2, angle), x)


def at_finite(size: Value) -> Value:
    """Return the value, or the largest number in place of infinity; nan of nan."""
    largest = (2.0 - 2.0**-size.format.mantissa) * 2.0**size.format.bias
    return size.apply("minimum", largest)


def atan2(y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y)."""
    high, low = PI_PARTS[x.dtype]
    size_y, size_x = magnitude(y), magnitude(x)
    over = (size_y > size_x).let()
    most = select(over, size_y, size_x).let()
    least = select(over, size_x, size_y).let()
    # The sum of both must not overflow, nor be compared with the few digits of
    # denormal numbers; infinities only have ratios 0 and 1.
    small = select(most < x.format.smallest * 2.0**30, x.constant(2.0**60), 1.0)
    scale = select(most > 2.0 ** (x.format.bias - 2), 2.0**-30, small).let()
    infinite = most.equals(math.inf).let()
    least_there = select(least.equals(math.inf), x.constant(1.0), 0.0)
    least = select(infinite, least_there, least * scale).let()
    most = select(infinite, x.constant(1.0), most * scale).let()
    most = select(most.equals(0.0), 1.0, most).let()
    angle = _angle(least, most).let()
    angle = select(over, (high / 2 - angle) + low / 2, angle).let()
    behind = (x.bits() & x.format.sign).equals(x.format.sign)
    angle = select(behind, (high - angle) + low, angle)
    result = with_sign(angle, y)
    return select(x.is_nan() | y.is_nan(), x + y, result)


def _arcsine_rest(x: Value, square: Value) -> Value:
    """Return asin(x) - x for |x| <= 1/2."""
    single = x.dtype is float32
    rest = polynomial(square, table.ASIN_FLOAT32 if single else table.ASIN_FLOAT64)
    return x * square * rest


def _halved(size: Value) -> tuple[Value, Value, Value, Value]:
    """Return (where |x| > 1/2, t, asin(t) - t, rest of t), all named.

    There t is sqrt((1 - |x|) / 2), so that asin(|x|) = pi / 2 - 2 asin(t); elsewhere t
    is |x|.
    """
    large = (size > 0.5).let()
    below = (0.5 - size * 0.5).let()
    root = below.apply("sqrt").let()
    square = select(large, below, size * size).let()
    t = select(large, root, size).let()
    return large, t, _arcsine_rest(t, square).let(), below


def asin(x: Value) -> Value:
    """Return the angle whose sine is x."""
    size = magnitude(x)
    large, t, rest, _ = _halved(size)
    high, low = PI_PARTS[x.dtype]
    far = (high / 2 - t * 2.0) + (low / 2 - rest * 2.0)
    return with_sign(select(large, far, t + rest), x)


def acos(x: Value) -> Value:
    """Return the angle whose cosine is x."""
    size = magnitude(x)
    large, t, rest, _ = _halved(size)
    high, low = PI_PARTS[x.dtype]
    negative = (x < 0.0).let()
    twice = ((t + rest) * 2.0).let()
    far = select(negative, (high - twice) + low, twice)
    signed_t, signed_rest = select(negative, -t, t), select(negative, -rest, rest)
    near = (high / 2 - signed_t) + (low / 2 - signed_rest)
    return select(large, far, near)
