"""Write functions down as formulas: values with Python's operators.

Numbers beside a value become constants of its dtype. A value used in several places is
named with `let`, or it would be computed as often as it is used.

Read first: `Writer`, `Value`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ....dtypes import DType, bool_, float32, float64, uint32, uint64
from ..grammar import Constant, Expression, Operation, Variable

Bind = Callable[[Expression], Variable]


class Format(NamedTuple):
    """How a floating-point dtype lies in its bits.

    Attributes:
        bits: the unsigned integer dtype as wide.
        mantissa: stored bits of it.
        bias: of the exponent.
        one: the bits of 1.0.
        sign: the bit of the sign.
        magic: 1.5 * 2 ** mantissa. Added to a number it rounds it to an integer, which
            the low bits of the sum then hold.
        smallest: the smallest normal number.
    """

    dtype: DType
    bits: DType
    mantissa: int
    bias: int
    one: int
    sign: int
    magic: float
    smallest: float


def _format(dtype: DType, bits: DType, mantissa: int) -> Format:
    bias = (1 << (bits.bits - mantissa - 2)) - 1
    return Format(
        dtype, bits, mantissa, bias, bias << mantissa, 1 << (bits.bits - 1),
        1.5 * 2.0**mantissa, 2.0 ** (1 - bias),
    )  # fmt: skip


FORMATS = {
    float32: _format(float32, uint32, 23),
    float64: _format(float64, uint64, 52),
}


class Writer:
    """What values of one expansion share.

    Attributes:
        bind: gives an expression a name.
        fused: the target's `fused_multiply_add` rounds once. Elsewhere exact products
            are put together from halves.
    """

    __slots__ = ("bind", "fused")

    def __init__(self, bind: Bind, fused: bool) -> None:
        self.bind = bind
        self.fused = fused


class Value:
    """An expression that operators apply to."""

    __slots__ = ("expression", "writer")

    def __init__(self, expression: Expression, writer: Writer) -> None:
        self.expression = expression
        self.writer = writer

    @property
    def dtype(self) -> DType:
        return self.expression.dtype

    @property
    def format(self) -> Format:
        return FORMATS[self.expression.dtype]

    def constant(self, number: float | bool) -> Value:
        """Return a number in the dtype of this value."""
        return Value(Constant(number, self.expression.dtype), self.writer)

    def apply(self, name: str, *others: Operand) -> Value:
        """Return an operation on this value and others, in its dtype."""
        own = self.expression
        operands = [own]
        for other in others:
            operands.append(
                other.expression
                if isinstance(other, Value)
                else Constant(other, own.dtype)
            )
        return Value(Operation(name, operands, own.dtype), self.writer)

    def compare(self, name: str, other: Operand, swapped: bool = False) -> Value:
        """Return a comparison with another value."""
        x = self.expression
        y = other.expression if isinstance(other, Value) else Constant(other, x.dtype)
        return Value(Operation(name, (y, x) if swapped else (x, y), bool_), self.writer)

    def __add__(self, other: Operand) -> Value:
        return self.apply("add", other)

    def __sub__(self, other: Operand) -> Value:
        return self.apply("subtract", other)

    def __rsub__(self, other: float) -> Value:
        return self.constant(other).apply("subtract", self)

    def __mul__(self, other: Operand) -> Value:
        return self.apply("multiply", other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Value:
        return self.apply("divide", other)

    def __rtruediv__(self, other: float) -> Value:
        return self.constant(other).apply("divide", self)

    def __neg__(self) -> Value:
        return self.apply("negative")

    def __abs__(self) -> Value:
        return self.apply("abs")

    def __and__(self, other: Operand) -> Value:
        return self.apply("bitwise_and", other)

    def __or__(self, other: Operand) -> Value:
        return self.apply("bitwise_or", other)

    def __xor__(self, other: Operand) -> Value:
        return self.apply("bitwise_xor", other)

    def __invert__(self) -> Value:
        return self.apply("bitwise_invert")

    def __lshift__(self, other: Operand) -> Value:
        return self.apply("bitwise_left_shift", other)

    def __rshift__(self, other: Operand) -> Value:
        return self.apply("bitwise_right_shift", other)

    def __lt__(self, other: Operand) -> Value:
        return self.compare("less", other)

    def __le__(self, other: Operand) -> Value:
        return self.compare("less_equal", other)

    def __gt__(self, other: Operand) -> Value:
        return self.compare("less", other, True)

    def __ge__(self, other: Operand) -> Value:
        return self.compare("less_equal", other, True)

    def equals(self, other: Operand) -> Value:
        """Return whether the values are equal."""
        return self.compare("equal", other)

    def is_nan(self) -> Value:
        """Return whether the value is nan."""
        return self.compare("not_equal", self)

    def cast(self, dtype: DType) -> Value:
        """Return the number in another dtype."""
        return Value(Operation("cast", (self.expression,), dtype), self.writer)

    def bits(self) -> Value:
        """Return the bits of a floating-point number."""
        return self.bitcast(self.format.bits)

    def bitcast(self, dtype: DType) -> Value:
        """Return the number with the same bits in another dtype."""
        return Value(Operation("bitcast", (self.expression,), dtype), self.writer)

    def let(self) -> Value:
        """Return this value under a name, to be used more than once."""
        if isinstance(self.expression, Variable | Constant):
            return self
        return Value(self.writer.bind(self.expression), self.writer)


Operand = Value | float | bool


def select(condition: Value, x: Operand, y: Operand) -> Value:
    """Return `x` where the condition is true, else `y`; one of them is a value."""
    if not isinstance(x, Value):
        assert isinstance(y, Value)
        x = y.constant(x)
    elif not isinstance(y, Value):
        y = x.constant(y)
    operands = (condition.expression, x.expression, y.expression)
    return Value(Operation("select", operands, x.dtype), x.writer)


def fma(x: Value, y: Operand, z: Operand) -> Value:
    """Return `x * y + z`."""
    return x.apply("fused_multiply_add", y, z)


def polynomial(
    x: Value, coefficients: Sequence[float], last: Value | None = None
) -> Value:
    """Return the polynomial by Horner's rule; the lowest power's coefficient first.

    Args:
        x: a named value.
        last: one more coefficient, before the first.
    """
    *lower, top = coefficients
    result: Value = x.constant(top)
    for coefficient in reversed(lower):
        result = fma(x, result, coefficient)
    return result if last is None else fma(x, result, last)


def at_most(x: Value, limit: float) -> Value:
    """Return the lesser; nan of nan."""
    return x.apply("minimum", limit)


def at_least(x: Value, limit: float) -> Value:
    """Return the greater; nan of nan."""
    return x.apply("maximum", limit)


def with_sign(x: Value, sign: Value) -> Value:
    """Return `x`, which is not negative, with the sign of a named value."""
    top = x.format.sign
    return (x.bits() | (sign.bits() & top)).bitcast(x.dtype)


def magnitude(x: Value) -> Value:
    """Return the absolute value under a name."""
    return abs(x).let()


def nearest(x: Value, factor: float) -> tuple[Value, Value]:
    """Return the integer nearest to `x * factor`, below 2 ** (mantissa - 1).

    Returns:
        the number, and a number whose low bits hold it; both named.
    """
    shifted = fma(x, factor, x.format.magic).let()
    return (shifted - x.format.magic).let(), shifted


def power_of_two(shifted: Value, bias: int = 0) -> Value:
    """Return 2 ** (n + bias) of what `nearest` gave, if that is a normal number."""
    form = shifted.format
    bits = shifted.bits() << form.mantissa
    return (bits + (form.one + (bias << form.mantissa))).bitcast(shifted.dtype)


# Pairs: a number and what rounding has taken from it


def product(x: Value, y: Value) -> tuple[Value, Value]:
    """Return `x * y` rounded and the rest, both named; `x` and `y` are.

    Source: T. J. Dekker, Numerische Mathematik 18, 1971, where nothing is fused.
    """
    high = (x * y).let()
    if x.writer.fused:
        return high, fma(x, y, -high).let()
    x_high, x_low = halves(x)
    y_high, y_low = (x_high, x_low) if x is y else halves(y)
    rest = x_high * y_high - high
    rest = rest + x_high * y_low + x_low * y_high
    return high, (rest + x_low * y_low).let()


def halves(x: Value) -> tuple[Value, Value]:
    """Return two named numbers of half as many bits whose sum is `x`."""
    form = x.format
    keep = form.mantissa // 2 + 1
    mask = (1 << form.bits.bits) - (1 << keep)
    high = (x.bits() & mask).bitcast(x.dtype).let()
    return high, (x - high).let()


def quick_sum(x: Value, y: Value) -> tuple[Value, Value]:
    """Return `x + y` rounded and the rest, both named, where |x| >= |y| or x is 0."""
    high = (x + y).let()
    return high, (y - (high - x)).let()


def full_sum(x: Value, y: Value) -> tuple[Value, Value]:
    """Return `x + y` rounded and the rest, both named.

    Source: D. E. Knuth, The Art of Computer Programming 2, 4.2.2.
    """
    high = (x + y).let()
    other = (high - x).let()
    return high, ((x - (high - other)) + (y - other)).let()
