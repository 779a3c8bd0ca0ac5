"""Rules of arithmetic, comparison, logic and casts that keep every bit.

In floating point, `x + 0.0` is not `x` where `x` is -0.0, `0 * x` is not 0 where `x` is
nan, and a sum depends on its order, so those rules stand here for integers only, or
with the condition under which they hold. A constant is a scalar or expanded from one.

Read first: the table `ALGEBRA` at the end.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import DType, bool_
from ..ir.graph import Node
from ..ir.rewrite import Rule, derive
from ..ops.elementwise import (
    ABS,
    ADD,
    BITWISE_AND,
    BITWISE_INVERT,
    BITWISE_OR,
    BITWISE_XOR,
    CAST,
    CEIL,
    DIVIDE,
    EQUAL,
    FLOOR,
    FLOOR_DIVIDE,
    LESS,
    LESS_EQUAL,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    NOT_EQUAL,
    POWER,
    REMAINDER,
    ROUND,
    SELECT,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    SUBTRACT,
    TRUNC,
)  # fmt: skip
from .patterns import (
    full,
    is_a,
    is_number,
    never_minus_zero,
    never_negative,
    number,
    scalar,
)  # fmt: skip

ROUNDINGS = (FLOOR, CEIL, TRUNC, ROUND)

# Significant bits and exponent bits of the floating-point types, IEEE 754-2019 table
# 3.5; bfloat16 is the upper half of a float32.
_FORMAT = {
    "float16": (11, 5),
    "bfloat16": (8, 8),
    "float32": (24, 8),
    "float64": (53, 11),
}


def _constant_last(node: Node) -> tuple[Node, Node]:
    """Return the two operands, a constant first one put second."""
    x, y = node.operands
    return (y, x) if scalar(x) is not None and scalar(y) is None else (x, y)


# Sums


def add_zero(node: Node) -> Node | None:
    """`x + 0 -> x`, for integers, x + -0.0, and where x cannot be -0.0"""
    x, y = _constant_last(node)
    if is_number(y, -0.0) or (is_number(y, 0) and never_minus_zero(x)):
        return x
    return None


def subtract_zero(node: Node) -> Node | None:
    """`x - 0 -> x`"""
    x, y = node.operands
    return x if is_number(y, 0) else None


def subtract_from_zero(node: Node) -> Node | None:
    """`0 - x -> -x`, for integers and -0.0 - x"""
    x, y = node.operands
    if is_number(x, -0.0) or (is_number(x, 0) and not node.dtype.is_float):
        return derive(node, NEGATIVE, y)
    return None


def subtract_itself(node: Node) -> Node | None:
    """`x - x -> 0`, for integers"""
    x, y = node.operands
    return full(node, 0) if x is y and not node.dtype.is_float else None


def add_negative(node: Node) -> Node | None:
    """`x + -y -> x - y, -x + y -> y - x`"""
    x, y = node.operands
    if y.primitive is NEGATIVE:
        return derive(node, SUBTRACT, x, y.operands[0])
    if x.primitive is NEGATIVE:
        return derive(node, SUBTRACT, y, x.operands[0])
    return None


def subtract_negative(node: Node) -> Node | None:
    """`x - -y -> x + y`"""
    x, y = node.operands
    return derive(node, ADD, x, y.operands[0]) if y.primitive is NEGATIVE else None


def add_constants(node: Node) -> Node | None:
    """`(x + a) + b -> x + (a + b)`, for integers"""
    inner, b = _constant_last(node)
    if node.dtype.is_float or inner.primitive is not ADD or scalar(b) is None:
        return None
    x, a = _constant_last(inner)
    if scalar(a) is None:
        return None
    return derive(node, ADD, x, derive(node, ADD, a, b))


# Products


def multiply_by_one(node: Node) -> Node | None:
    """`x * 1 -> x`"""
    x, y = _constant_last(node)
    return x if is_number(y, 1) else None


def multiply_by_minus_one(node: Node) -> Node | None:
    """`x * -1 -> -x`"""
    x, y = _constant_last(node)
    return derive(node, NEGATIVE, x) if is_number(y, -1) else None


def multiply_by_zero(node: Node) -> Node | None:
    """`x * 0 -> 0`, for integers"""
    _, y = _constant_last(node)
    return y if is_number(y, 0) and not node.dtype.is_float else None


def multiply_negatives(node: Node) -> Node | None:
    """`-x * -y -> x * y, -x / -y -> x / y`"""
    x, y = node.operands
    if x.primitive is NEGATIVE and y.primitive is NEGATIVE:
        return derive(node, node.primitive, x.operands[0], y.operands[0])
    return None


def multiply_negative_by_constant(node: Node) -> Node | None:
    """`-x * c -> x * -c, -x / c -> x / -c, c / -x -> -c / x`"""
    x, y = node.operands
    for inner, constant in ((x, y), (y, x)):
        value = scalar(constant)
        if inner.primitive is NEGATIVE and value is not None:
            turned = full(node, np.negative(value))
            pair = [inner.operands[0], turned]
            return derive(node, node.primitive, *(pair if inner is x else pair[::-1]))
    return None


def multiply_constants(node: Node) -> Node | None:
    """`(x * a) * b -> x * (a * b)`, for integers"""
    inner, b = _constant_last(node)
    if node.dtype.is_float or inner.primitive is not MULTIPLY or scalar(b) is None:
        return None
    x, a = _constant_last(inner)
    if scalar(a) is None:
        return None
    return derive(node, MULTIPLY, x, derive(node, MULTIPLY, a, b))


def divide_by_one(node: Node) -> Node | None:
    """`x / 1 -> x`"""
    x, y = node.operands
    return x if is_number(y, 1) else None


def divide_by_power_of_two(node: Node) -> Node | None:
    """`x / 2**k -> x * 2**-k, and x / -1 -> -x`"""
    x, y = node.operands
    value = number(y)
    if value is None or not math.isfinite(value):
        return None
    fraction, exponent = math.frexp(value)
    # Both the number and its inverse must be normal; subnormal ones may count as zero.
    most = 2 ** (_FORMAT[node.dtype.name][1] - 1) - 2
    if abs(fraction) != 0.5 or abs(exponent - 1) > most:
        return None
    return derive(node, MULTIPLY, x, full(node, 1 / value))


def floor_divide_by_one(node: Node) -> Node | None:
    """`x // 1 -> x`, for integers"""
    x, y = node.operands
    return x if is_number(y, 1) and not node.dtype.is_float else None


def remainder_by_one(node: Node) -> Node | None:
    """`x % 1 -> 0`, for integers"""
    _, y = node.operands
    return full(node, 0) if is_number(y, 1) and not node.dtype.is_float else None


def power_zero_or_one(node: Node) -> Node | None:
    """`x ** 0 -> 1, x ** 1 -> x`"""
    x, y = node.operands
    if number(y) == 0:
        return full(node, 1)
    return x if is_number(y, 1) else None


# Signs and rounding


def negative_of_negative(node: Node) -> Node | None:
    """`--x -> x`"""
    (x,) = node.operands
    return x.operands[0] if x.primitive is NEGATIVE else None


def negative_of_difference(node: Node) -> Node | None:
    """`-(x - y) -> y - x`, for integers"""
    (inner,) = node.operands
    if inner.primitive is not SUBTRACT or node.dtype.is_float:
        return None
    x, y = inner.operands
    return derive(node, SUBTRACT, y, x)


def negative_of_product(node: Node) -> Node | None:
    """`-(x * c) -> x * -c, -(x / c) -> x / -c`"""
    (inner,) = node.operands
    if not is_a(inner, MULTIPLY, DIVIDE):
        return None
    x, y = _constant_last(inner) if inner.primitive is MULTIPLY else inner.operands
    value = scalar(y)
    if value is None:
        return None
    return derive(node, inner.primitive, x, full(node, np.negative(value)))


def abs_of_negative(node: Node) -> Node | None:
    """`abs(-x) -> abs(x)`, but for unsigned integers"""
    (x,) = node.operands
    if x.primitive is not NEGATIVE or node.dtype.kind == "unsigned":
        return None
    return derive(node, ABS, x.operands[0])


def abs_of_positive(node: Node) -> Node | None:
    """`abs(x) -> x`, where x is exp, abs, sigmoid, a square or unsigned"""
    (x,) = node.operands
    return x if never_negative(x) else None


def round_twice(node: Node) -> Node | None:
    """`floor(ceil(x)) -> ceil(x)`, for any two of floor, ceil, trunc and round"""
    (x,) = node.operands
    return x if is_a(x, *ROUNDINGS) else None


# Extremes and comparison


def extremum_of_itself(node: Node) -> Node | None:
    """`max(x, x) -> x, min(x, x) -> x`"""
    x, y = node.operands
    return x if x is y else None


def extremum_of_constants(node: Node) -> Node | None:
    """`max(max(x, a), b) -> max(x, max(a, b))`, the same for min"""
    inner, b = _constant_last(node)
    if inner.primitive is not node.primitive or scalar(b) is None:
        return None
    x, a = _constant_last(inner)
    # Of 0.0 and -0.0 either may be the greater one.
    if scalar(a) is None or (number(a) == 0 == number(b) and a is not b):
        return None
    return derive(node, node.primitive, x, derive(node, node.primitive, a, b))


def extremum_of_bound(node: Node) -> Node | None:
    """`max(x, -inf) -> x, min(x, inf) -> x`, and the bounds of integers"""
    x, y = _constant_last(node)
    value = number(y)
    if value is None or node.dtype is bool_:
        return None
    low, high = _bounds(node.dtype)
    return x if value == (low if node.primitive is MAXIMUM else high) else None


def _bounds(dtype: DType) -> tuple[float, float]:
    if dtype.is_float:
        return -math.inf, math.inf
    half: int = 2 ** (dtype.bits - 1)
    return (-half, half - 1) if dtype.kind == "signed" else (0, 2 * half - 1)


def compare_with_itself(node: Node) -> Node | None:
    """`x < x -> False, x == x -> True, x != x -> False`, for floats the first only"""
    x, y = node.operands
    if x is not y:
        return None
    if node.primitive is LESS:
        return full(node, False)
    return None if x.dtype.is_float else full(node, node.primitive is not NOT_EQUAL)


def compare_bools(node: Node) -> Node | None:
    """`b == True -> b, b != False -> b, b == False -> not b, b != True -> not b`"""
    x, y = _constant_last(node)
    value = number(y)
    if x.dtype is not bool_ or value is None:
        return None
    return x if value is (node.primitive is EQUAL) else derive(node, BITWISE_INVERT, x)


# Logic and bits


def bits_of_itself(node: Node) -> Node | None:
    """`x & x -> x, x | x -> x`"""
    x, y = node.operands
    return x if x is y else None


def xor_of_itself(node: Node) -> Node | None:
    """`x ^ x -> 0`"""
    x, y = node.operands
    return full(node, 0) if x is y else None


def bits_with_constant(node: Node) -> Node | None:
    """`x & 0 -> 0, x & ~0 -> x, x | 0 -> x, x | ~0 -> ~0, x ^ 0 -> x`"""
    x, y = _constant_last(node)
    value = scalar(y)
    if value is None:
        return None
    none, all_ = value == 0, np.invert(value) == 0
    if node.primitive is BITWISE_AND:
        return y if none else x if all_ else None
    if node.primitive is BITWISE_OR:
        return y if all_ else x if none else None
    return x if none else None


def invert_twice(node: Node) -> Node | None:
    """`~~x -> x`"""
    (x,) = node.operands
    return x.operands[0] if x.primitive is BITWISE_INVERT else None


def invert_comparison(node: Node) -> Node | None:
    """`not x == y -> x != y`; for all but floats also not x < y -> y <= x, and back"""
    (inner,) = node.operands
    opposite = {EQUAL: NOT_EQUAL, NOT_EQUAL: EQUAL, LESS: LESS_EQUAL, LESS_EQUAL: LESS}
    found = opposite.get(inner.primitive)
    if found is None:
        return None
    x, y = inner.operands
    if is_a(inner, EQUAL, NOT_EQUAL):
        return derive(node, found, x, y)
    return None if x.dtype.is_float else derive(node, found, y, x)


def shift_by_zero(node: Node) -> Node | None:
    """`x << 0 -> x, x >> 0 -> x`"""
    x, y = node.operands
    return x if is_number(y, 0) else None


# Selection


def select_constant(node: Node) -> Node | None:
    """`select(True, x, y) -> x, select(False, x, y) -> y`"""
    condition, x, y = node.operands
    value = number(condition)
    return None if value is None else x if value else y


def select_same(node: Node) -> Node | None:
    """`select(c, x, x) -> x`"""
    _, x, y = node.operands
    return x if x is y else None


def select_inverted(node: Node) -> Node | None:
    """`select(not c, x, y) -> select(c, y, x)`"""
    condition, x, y = node.operands
    if condition.primitive is not BITWISE_INVERT:
        return None
    return derive(node, SELECT, condition.operands[0], y, x)


def select_truth(node: Node) -> Node | None:
    """`select(c, True, False) -> c, select(c, False, True) -> not c`"""
    condition, x, y = node.operands
    if node.dtype is not bool_ or {number(x), number(y)} != {True, False}:
        return None
    return condition if number(x) else derive(node, BITWISE_INVERT, condition)


def select_twice(node: Node) -> Node | None:
    """`select(c, select(c, x, _), y) -> select(c, x, y)`, and on the other side"""
    condition, x, y = node.operands
    if x.primitive is SELECT and x.operands[0] is condition:
        return derive(node, SELECT, condition, x.operands[1], y)
    if y.primitive is SELECT and y.operands[0] is condition:
        return derive(node, SELECT, condition, x, y.operands[2])
    return None


# Casts


def holds(wide: DType, narrow: DType) -> bool:
    """Return whether `wide` has each value of `narrow`."""
    if wide is narrow or narrow is bool_:
        return True
    if wide.is_float and narrow.is_float:
        pairs = zip(_FORMAT[wide.name], _FORMAT[narrow.name], strict=True)
        return all(a >= b for a, b in pairs)
    if narrow.is_float or wide is bool_:
        return False
    bits = narrow.bits - (narrow.kind == "signed")
    if wide.is_float:
        return _FORMAT[wide.name][0] >= bits
    if wide.kind == "unsigned":
        return narrow.kind == "unsigned" and wide.bits >= narrow.bits
    return wide.bits - 1 >= bits


def cast_to_same(node: Node) -> Node | None:
    """`cast(x) -> x`, to the dtype it has"""
    (x,) = node.operands
    return x if x.dtype is node.dtype and not x.weak else None


def cast_twice(node: Node) -> Node | None:
    """`cast(cast(x)) -> cast(x)`, where the first loses nothing"""
    (inner,) = node.operands
    if inner.primitive is not CAST:
        return None
    (x,) = inner.operands
    if not holds(inner.dtype, x.dtype):
        return None
    if x.dtype.is_integer and inner.dtype.is_float:
        # Out of range, an integer wraps around and a float has no value. And how often
        # an integer is rounded on its way to 16 bits is up to the target.
        narrow = node.dtype.is_float and node.dtype.bits == 16 and x.dtype.bits > 16
        if narrow or (node.dtype.is_integer and not holds(node.dtype, x.dtype)):
            return None
    return derive(node, CAST, x, dtype=node.dtype)


ALGEBRA = (
    Rule(add_zero, (ADD,)),
    Rule(subtract_zero, (SUBTRACT,)),
    Rule(subtract_from_zero, (SUBTRACT,)),
    Rule(subtract_itself, (SUBTRACT,)),
    Rule(add_negative, (ADD,)),
    Rule(subtract_negative, (SUBTRACT,)),
    Rule(add_constants, (ADD,)),
    Rule(multiply_by_one, (MULTIPLY,)),
    Rule(multiply_by_minus_one, (MULTIPLY,)),
    Rule(multiply_by_zero, (MULTIPLY,)),
    Rule(multiply_negatives, (MULTIPLY, DIVIDE)),
    Rule(multiply_negative_by_constant, (MULTIPLY, DIVIDE)),
    Rule(multiply_constants, (MULTIPLY,)),
    Rule(divide_by_one, (DIVIDE,)),
    Rule(divide_by_power_of_two, (DIVIDE,)),
    Rule(floor_divide_by_one, (FLOOR_DIVIDE,)),
    Rule(remainder_by_one, (REMAINDER,)),
    Rule(power_zero_or_one, (POWER,)),
    Rule(negative_of_negative, (NEGATIVE,)),
    Rule(negative_of_difference, (NEGATIVE,)),
    Rule(negative_of_product, (NEGATIVE,)),
    Rule(abs_of_negative, (ABS,)),
    Rule(abs_of_positive, (ABS,)),
    Rule(round_twice, ROUNDINGS),
    Rule(extremum_of_itself, (MAXIMUM, MINIMUM)),
    Rule(extremum_of_constants, (MAXIMUM, MINIMUM)),
    Rule(extremum_of_bound, (MAXIMUM, MINIMUM)),
    Rule(compare_with_itself, (EQUAL, NOT_EQUAL, LESS, LESS_EQUAL)),
    Rule(compare_bools, (EQUAL, NOT_EQUAL)),
    Rule(bits_of_itself, (BITWISE_AND, BITWISE_OR)),
    Rule(xor_of_itself, (BITWISE_XOR,)),
    Rule(bits_with_constant, (BITWISE_AND, BITWISE_OR, BITWISE_XOR)),
    Rule(invert_twice, (BITWISE_INVERT,)),
    Rule(invert_comparison, (BITWISE_INVERT,)),
    Rule(shift_by_zero, (SHIFT_LEFT, SHIFT_RIGHT)),
    Rule(select_constant, (SELECT,)),
    Rule(select_same, (SELECT,)),
    Rule(select_inverted, (SELECT,)),
    Rule(select_truth, (SELECT,)),
    Rule(select_twice, (SELECT,)),
    Rule(cast_to_same, (CAST,)),
    Rule(cast_twice, (CAST,)),
)
