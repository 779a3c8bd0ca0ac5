"""Numbers in several parts, for reductions that lose nothing.

Read first: `split`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ....dtypes import DType, float32, float64

PI_BITS = 1400


def split(number: Fraction, bits: Sequence[int]) -> tuple[float, ...]:
    """Return floats of at most so many bits each, whose sum is nearly the number.

    All but the last are cut off.

    Args:
        number: positive.
    """
    result = []
    for width in bits[:-1]:
        exponent = number.numerator.bit_length() - number.denominator.bit_length()
        if number >= Fraction(2) ** exponent:
            exponent += 1
        unit = Fraction(2) ** (exponent - width)
        part = int(number / unit) * unit
        result.append(float(part))
        number -= part
    return (*result, float(number))


def _inverse_tangent(inverse: int, bits: int) -> int:
    """Return atan(1 / inverse) * 2 ** bits, a little below."""
    power = (1 << bits) // inverse
    total, k, sign = power, 1, -1
    while power:
        power //= inverse * inverse
        k += 2
        total += sign * (power // k)
        sign = -sign
    return total


def _pi(bits: int) -> Fraction:
    """Return pi. Source: J. Machin, 1706: pi / 4 = 4 atan(1/5) - atan(1/239)."""
    guard = bits + 32
    total = 4 * _inverse_tangent(5, guard) - _inverse_tangent(239, guard)
    return Fraction(4 * total, 1 << guard)


def _log_2(bits: int) -> Fraction:
    """Return log(2) = the sum of 1 / (k * 2 ** k)."""
    total = sum((1 << bits) // (k << k) for k in range(1, bits))
    return Fraction(total, 1 << bits)


PI = _pi(PI_BITS)
LOG_2 = _log_2(200)
TWO_OVER_PI = 2 / PI
# What multiplies an exponent of at most 9 or 11 bits without rounding, and the rest.
LOG_2_PARTS: dict[DType, tuple[float, ...]] = {
    float32: split(LOG_2, (15, 24)),
    float64: split(LOG_2, (41, 53)),
}
# float32 in float64 is split as far as float64 goes.
PI_PARTS: dict[DType, tuple[float, ...]] = {
    float32: split(PI, (24, 24)),
    float64: split(PI, (53, 53)),
}
