"""Arithmetic, comparison, logic, rounding and the elementary functions.

Each record stands beside the op that applies it. Operands of these primitives have one
shape and, unless said otherwise, one dtype: the ops cast and expand first, so the
rules need not.

Read first: `ADD`, `multiply`, and the families in `family.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int16,
    int32,
    uint8,
)
from ..errors import DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from . import movement
from .family import (
    ANY,
    EDGES,
    NUMERIC,
    binary,
    check_same,
    choose,
    quiet,
    unary,
    uniform,
)
from .operand import Operand, as_float, as_node, common_dtype, require, together
from .source import full_like


def _unary(primitive: Primitive, x: Operand) -> Node:
    (node,) = together(primitive.name, x)
    return apply(primitive, node)


def _float_unary(primitive: Primitive, x: Operand) -> Node:
    (node,) = together(primitive.name, x)
    return apply(primitive, as_float(primitive.name, node))


def _binary(primitive: Primitive, x: Operand, y: Operand) -> Node:
    return apply(primitive, *together(primitive.name, x, y))


def _float_binary(primitive: Primitive, x: Operand, y: Operand) -> Node:
    x, y = together(primitive.name, x, y)
    name = primitive.name
    return apply(primitive, as_float(name, x), as_float(name, y))


# Casts


CAST = Primitive(
    name="cast",
    infer=lambda x, *, dtype: TensorType(x.shape, dtype),
    reference=quiet(lambda x, *, dtype: x.astype(dtype.numpy)),
    vjp=lambda ct, node, x: (cast(ct, x.dtype) if x.dtype.is_float else None,),
    batch="elementwise",
    samples=lambda: [
        Sample((np.array([1.5, -2.25, 3.0]),), {"dtype": float64}),
        Sample((np.array([1.5, -2.25, 3.0]),), {"dtype": float32}, smooth=False),
        Sample((np.array([1.5, -2.9, 0.0]),), {"dtype": int32}, smooth=False),
        Sample((np.array([1.5, -0.0, np.nan]),), {"dtype": bool_}, smooth=False),
        Sample((np.array([True, False]),), {"dtype": float32}, smooth=False),
        Sample((np.array([1, -1, 300, 1 << 40]),), {"dtype": uint8}, smooth=False),
        Sample((np.array([1, -1, 300, 1 << 40]),), {"dtype": int16}, smooth=False),
        Sample((EDGES,), {"dtype": bfloat16}, smooth=False),
        Sample((EDGES,), {"dtype": float16}, smooth=False),
    ],
    source="IEEE 754-2019 5.4; towards zero from floating-point to integer",
)


def cast(x: Node, dtype: DType) -> Node:
    """Return `x` with elements of `dtype`.

    Floating-point to integer rounds towards zero; out of range the value is
    unspecified.
    Anything to bool is `x != 0`.

    Gradient: cast back to the dtype of `x`.
    """
    if x.dtype is dtype:
        return apply(CAST, x, dtype=dtype) if x.weak else x
    return apply(CAST, x, dtype=dtype)


# Arithmetic

ADD = binary(
    "add", np.add, lambda ct, node, x, y: (ct, ct), integers=[([1, 2], [3, -4])]
)


def add(x: Operand, y: Operand) -> Node:
    """Return `x + y`.

    Args:
        x, y: numeric tensors or numbers whose shapes broadcast.

    Returns:
        The broadcast shape, in the promoted dtype.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: bool operands, or uint64 with a signed type.

    Special cases: IEEE 754; integers wrap around on overflow.

    Gradient: `(ct, ct)`, summed over broadcast axes.
    """
    return _binary(ADD, x, y)


SUBTRACT = binary(
    "subtract", np.subtract, lambda ct, node, x, y: (ct, negative(ct)),
    integers=[([1, 2], [3, -4])],
)  # fmt: skip


def subtract(x: Operand, y: Operand) -> Node:
    """Return `x - y`, broadcast. Integers wrap around on overflow."""
    return _binary(SUBTRACT, x, y)


MULTIPLY = binary(
    "multiply", np.multiply,
    lambda ct, node, x, y: (multiply(ct, y), multiply(ct, x)),
    low=-2.0, integers=[([1, 2], [3, -4])],
)  # fmt: skip


def multiply(x: Operand, y: Operand) -> Node:
    """Return `x * y`, broadcast. Integers wrap around on overflow."""
    return _binary(MULTIPLY, x, y)


DIVIDE = binary(
    "divide", np.divide,
    lambda ct, node, x, y: (
        divide(ct, y), negative(divide(multiply(ct, node), y)),
    ),
    kinds="float",
)  # fmt: skip


def divide(x: Operand, y: Operand) -> Node:
    """Return `x / y`, broadcast; integers are divided as floating-point numbers."""
    return _float_binary(DIVIDE, x, y)


def _floor_divide_reference(x: np.ndarray, y: np.ndarray) -> Any:
    result = np.floor_divide(x, y)
    if x.dtype.kind in "iu":
        return result
    # Python's rule gives nan and -1 where the standard asks for the quotient's floor.
    infinite = np.isinf(x) | np.isinf(y)
    return np.where(infinite, np.floor(np.divide(x, y)), result).astype(x.dtype)


FLOOR_DIVIDE = binary(
    "floor_divide", _floor_divide_reference,
    lambda ct, node, x, y: (None, None), low=0.6, high=5.0,
    integers=[([7, -7, 7, -7], [2, 2, -2, -2]), ([1], [0])],
    source="Array API standard 2024.12; an integer divided by zero gives zero",
)  # fmt: skip


def floor_divide(x: Operand, y: Operand) -> Node:
    """Return the largest integer not greater than `x / y`, in the promoted dtype.

    Special cases: an integer divided by zero gives 0. Gradient: zero.
    """
    return _binary(FLOOR_DIVIDE, x, y)


REMAINDER = binary(
    "remainder", np.remainder,
    lambda ct, node, x, y: (ct, negative(multiply(ct, floor_divide(x, y)))),
    low=0.6, high=5.0,
    integers=[([7, -7, 7, -7], [2, 2, -2, -2]), ([1], [0])],
    source="Python's %: the sign is the divisor's",
)  # fmt: skip


def remainder(x: Operand, y: Operand) -> Node:
    """Return `x - floor(x / y) * y`, with the sign of `y`.

    Special cases: the remainder of an integer by zero is 0.
    """
    return _binary(REMAINDER, x, y)


def _power_reference(x: np.ndarray, y: np.ndarray) -> Any:
    if x.dtype.kind in "iu":
        # NumPy refuses negative integer exponents; C99's pow on integers truncates.
        negative_exponent = y < 0
        result = np.power(x, np.where(negative_exponent, 0, y).astype(y.dtype))
        if negative_exponent.any():
            units = np.where(x == -1, 1 - 2 * (y & 1), x == 1)
            result = np.where(negative_exponent, units, result).astype(x.dtype)
        return result
    if x.size < 100 or not (x < 0).any():
        return np.power(x, y)
    # NumPy takes a hundred times as long for negative numbers: their sign comes apart.
    half = y * y.dtype.type(0.5)
    whole, even = np.floor(y) == y, np.floor(half) == half
    size = np.power(np.abs(x), y)
    size = np.where(np.signbit(x) & whole & ~even, -size, size)
    return np.where((x < 0) & np.isfinite(x) & ~whole, np.nan, size).astype(x.dtype)


def _power_vjp(ct: Node, node: Node, x: Node, y: Node) -> tuple[Node, Node]:
    # 0 * inf at y = 0 and log of zero must not poison the other operand's cotangent.
    zero_exponent = equal(y, 0)
    base = multiply(y, pow(x, select(zero_exponent, 1, subtract(y, 1))))
    flat = logical_and(equal(x, 0), greater_equal(y, 0))
    exponent = multiply(node, log(select(flat, 1, x)))
    return (
        multiply(ct, select(zero_exponent, 0, base)),
        multiply(ct, select(flat, 0, exponent)),
    )


POWER = binary(
    "power", _power_reference, _power_vjp,
    integers=[([2, -3, 0], [3, 2, 0]), ([2, 1, -1], [-1, -2, -3])],
    source="IEEE 754-2019 9.2.1 pow",
)  # fmt: skip


def pow(x: Operand, y: Operand) -> Node:
    """Return `x` raised to `y`, broadcast.

    Special cases: `x ** 0` is 1 even for nan; a negative number to a fraction is nan.
    An integer to a negative power is rounded towards zero, and 0 gives 0.

    Gradient: `ct * y * x ** (y - 1)`, 0 where `y` is 0; and `ct * x ** y * log(x)`, 0
    where `x` is 0 and `y` is not negative.
    """
    if isinstance(y, int) and not isinstance(y, bool) and isinstance(x, Node):
        if y == 2:
            return multiply(x, x)
        if y == 1:
            return positive(x)
    return _binary(POWER, x, y)


NEGATIVE = unary(
    "negative", np.negative, lambda ct, node, x: (negative(ct),), kinds=NUMERIC,
    integers=[[1, -2]],
)  # fmt: skip


def negative(x: Operand) -> Node:
    """Return `-x`."""
    return _unary(NEGATIVE, x)


def positive(x: Operand) -> Node:
    """Return `x` unchanged."""
    return _unary_checked("positive", x, NUMERIC)


def _unary_checked(op: str, x: Operand, kinds: str) -> Node:
    (node,) = together(op, x)
    require(op, node, kinds)
    return node


ABS = unary(
    "abs", np.abs, lambda ct, node, x: (multiply(ct, sign(x)),), kinds=NUMERIC,
    low=0.1, integers=[[1, -2]],
)  # fmt: skip


def abs(x: Operand) -> Node:
    """Return the absolute value of `x`. Gradient at 0: 0."""
    return _unary(ABS, x)


SIGN = unary(
    "sign",
    # Adding 0 makes 0.0 of -0.0, in every dtype.
    lambda x: np.sign(x) + x.dtype.type(0),
    lambda ct, node, x: (None,), kinds=NUMERIC, low=0.1,
    integers=[[1, -2, 0]],
)  # fmt: skip


def sign(x: Operand) -> Node:
    """Return -1, 0 or 1, the sign of `x`; nan for nan. Gradient: zero."""
    return _unary(SIGN, x)


MAXIMUM = binary(
    "maximum", np.maximum,
    lambda ct, node, x, y: _extremum_vjp(ct, x, y, greater(x, y)),
    kinds=ANY, low=-2.0, integers=[([1, 2], [3, -4]), ([True, False], [False, False])],
    source="Array API standard 2024.12; of two zeros of unlike sign, either",
)  # fmt: skip
MINIMUM = binary(
    "minimum", np.minimum,
    lambda ct, node, x, y: _extremum_vjp(ct, x, y, less(x, y)),
    kinds=ANY, low=-2.0, integers=[([1, 2], [3, -4]), ([True, False], [False, False])],
    source="Array API standard 2024.12; of two zeros of unlike sign, either",
)  # fmt: skip


def _extremum_vjp(ct: Node, x: Node, y: Node, first: Node) -> tuple[Node, Node]:
    half = multiply(ct, 0.5)
    tie = equal(x, y)
    zero = full_like(ct, 0)
    return (
        select(first, ct, select(tie, half, zero)),
        select(logical_or(first, tie), select(tie, half, zero), ct),
    )


def maximum(x: Operand, y: Operand) -> Node:
    """Return the greater of each pair of `x` and `y`; nan if either is nan.

    Gradient: to the greater; halved between equal ones.
    """
    return _binary(MAXIMUM, x, y)


def minimum(x: Operand, y: Operand) -> Node:
    """Return the lesser of each pair of `x` and `y`; nan if either is nan.

    Gradient: to the lesser; halved between equal ones.
    """
    return _binary(MINIMUM, x, y)


def clip(x: Node, min: Operand | None = None, max: Operand | None = None) -> Node:
    """Return `x` limited to `min` and `max`, in the dtype of `x`.

    Args:
        min, max: numbers or tensors that broadcast against `x`; None leaves a side
            open.

    Raises:
        DTypeError: a bound is floating-point and `x` is not.
        ShapeError: the shapes do not broadcast.

    Special cases: nan stays nan. Where `min > max` the result is `max`.

    Gradient: `ct` inside and on the bounds, else 0.
    """
    (x,) = together("clip", x)
    result = x
    if min is not None:
        result = _limit("clip", result, min, less)
    if max is not None:
        result = _limit("clip", result, max, greater)
    return result


def _limit(
    op: str, x: Node, bound: Operand, beyond: Callable[[Operand, Operand], Node]
) -> Node:
    require_same_kind(op, x, bound)
    x, limit = together(op, x, as_node(op, bound, x.dtype))
    return select(logical_or(beyond(x, limit), _is_nan(limit)), limit, x)


def require_same_kind(op: str, x: Node, bound: Operand) -> None:
    """Raise unless `bound` has a value in the dtype of `x`.

    Raises:
        DTypeError: it is floating-point and `x` is not.
    """
    floating = bound.dtype.is_float if isinstance(bound, Node) else type(bound) is float
    if floating and not x.dtype.is_float:
        raise DTypeError(
            f"[{op}] a bound is floating-point and the tensor is not",
            got=f"a tensor of {x.dtype.name}",
            fix="cast one of them, for example with x.to(plait.float32)",
        )


def _is_nan(x: Node) -> Node:
    return not_equal(x, x)


# Comparison

_PAIRS = [([1, 2, 3], [3, 2, 1]), ([True, False], [False, False])]
EQUAL = binary("equal", np.equal, kinds=ANY, result=bool_, integers=_PAIRS)
NOT_EQUAL = binary("not_equal", np.not_equal, kinds=ANY, result=bool_, integers=_PAIRS)
LESS = binary("less", np.less, kinds=ANY, result=bool_, integers=_PAIRS)
LESS_EQUAL = binary(
    "less_equal", np.less_equal, kinds=ANY, result=bool_, integers=_PAIRS
)


def equal(x: Operand, y: Operand) -> Node:
    """Return whether `x == y`, as bool. nan equals nothing."""
    return _binary(EQUAL, x, y)


def not_equal(x: Operand, y: Operand) -> Node:
    """Return whether `x != y`, as bool."""
    return _binary(NOT_EQUAL, x, y)


def less(x: Operand, y: Operand) -> Node:
    """Return whether `x < y`, as bool."""
    return _binary(LESS, x, y)


def less_equal(x: Operand, y: Operand) -> Node:
    """Return whether `x <= y`, as bool."""
    return _binary(LESS_EQUAL, x, y)


def greater(x: Operand, y: Operand) -> Node:
    """Return whether `x > y`, as bool."""
    return less(y, x)


def greater_equal(x: Operand, y: Operand) -> Node:
    """Return whether `x >= y`, as bool."""
    return less_equal(y, x)


# Logic and bits

_LOGIC = [([True, True, False], [True, False, False])]
_BITS = [([12, -7, 0], [10, 3, -1]), ([True, False], [True, True])]
_SHIFTS = [
    ([1, -8, 5], [2, 1, 0]),
    (np.array([200], np.uint8), np.array([1], np.uint8)),
]
BITWISE_AND = binary(
    "bitwise_and", np.bitwise_and, kinds="bool signed unsigned", integers=_BITS
)
BITWISE_OR = binary(
    "bitwise_or", np.bitwise_or, kinds="bool signed unsigned", integers=_BITS
)
BITWISE_XOR = binary(
    "bitwise_xor", np.bitwise_xor, kinds="bool signed unsigned", integers=_BITS
)
BITWISE_INVERT = unary(
    "bitwise_invert", np.invert, kinds="bool signed unsigned",
    integers=[[5, -3], [True, False]],
)  # fmt: skip
SHIFT_LEFT = binary(
    "bitwise_left_shift", np.left_shift, kinds="signed unsigned", integers=_SHIFTS
)
SHIFT_RIGHT = binary(
    "bitwise_right_shift", np.right_shift, kinds="signed unsigned", integers=_SHIFTS,
    source="arithmetic on signed types",
)  # fmt: skip


def bitwise_and(x: Operand, y: Operand) -> Node:
    """Return `x & y` on each bit; logical on bools."""
    return _binary(BITWISE_AND, x, y)


def bitwise_or(x: Operand, y: Operand) -> Node:
    """Return `x | y` on each bit; logical on bools."""
    return _binary(BITWISE_OR, x, y)


def bitwise_xor(x: Operand, y: Operand) -> Node:
    """Return `x ^ y` on each bit; logical on bools."""
    return _binary(BITWISE_XOR, x, y)


def bitwise_invert(x: Operand) -> Node:
    """Return `~x` on each bit; logical on bools."""
    return _unary(BITWISE_INVERT, x)


def bitwise_left_shift(x: Operand, y: Operand) -> Node:
    """Return `x` shifted left by `y` bits, `y` in 0..bits-1."""
    return _binary(SHIFT_LEFT, x, y)


def bitwise_right_shift(x: Operand, y: Operand) -> Node:
    """Return `x` shifted right by `y` bits; the sign bit is copied in."""
    return _binary(SHIFT_RIGHT, x, y)


def _truth(op: str, x: Operand) -> Node:
    (node,) = together(op, x)
    return cast(node, bool_)


def logical_and(x: Operand, y: Operand) -> Node:
    """Return whether both `x` and `y` are true (not zero), as bool."""
    return bitwise_and(_truth("logical_and", x), _truth("logical_and", y))


def logical_or(x: Operand, y: Operand) -> Node:
    """Return whether `x` or `y` is true (not zero), or both, as bool."""
    return bitwise_or(_truth("logical_or", x), _truth("logical_or", y))


def logical_xor(x: Operand, y: Operand) -> Node:
    """Return whether exactly one of `x` and `y` is true (not zero), as bool."""
    return bitwise_xor(_truth("logical_xor", x), _truth("logical_xor", y))


def logical_not(x: Operand) -> Node:
    """Return whether `x` is false (zero), as bool."""
    return bitwise_invert(_truth("logical_not", x))


# Selection


def _select_infer(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if condition.dtype is not bool_:
        raise DTypeError(
            "[select] the condition must be bool",
            got=condition.dtype.name,
            fix="compare, for example x != 0",
        )
    check_same("select", (x, y))
    check_same("select", (condition, TensorType(x.shape, bool_)))
    return x


def _select_vjp(
    ct: Node, node: Node, condition: Node, x: Node, y: Node
) -> tuple[None, Node, Node]:
    zero = full_like(ct, 0)
    return None, select(condition, ct, zero), select(condition, zero, ct)


SELECT = Primitive(
    name="select",
    infer=_select_infer,
    reference=choose,
    vjp=_select_vjp,
    batch="elementwise",
    samples=lambda: [
        Sample(
            (
                np.array([True, False, True]),
                uniform((3,), -1, 1, 1),
                uniform((3,), -1, 1, 2),
            )
        ),
        Sample((np.array(True), np.array(1.0), np.array(2.0))),
        Sample(
            (np.array([True, False]), np.array([1, 2]), np.array([3, 4])), smooth=False
        ),
        Sample(
            (np.array([True, False]), np.array([np.nan, 1]), np.array([-0.0, np.nan])),
            smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (np.array([1, 0]), np.array([1.0, 2.0]), np.array([3.0, 4.0])), {},
            DTypeError,
            "[select] the condition must be bool. Got: int64. "
            "Fix: compare, for example x != 0.",
        ),
        Failure(
            (np.array([True]), np.array([1.0]), np.array([3])), {}, DTypeError,
            "[select] operands differ in element type. Got: float64 and int64.",
        ),
        Failure(
            (np.array([True]), np.array([1.0]), np.array(3.0)), {}, ShapeError,
            "[select] operands differ in shape. Got: (1,) and ().",
        ),
        Failure(
            (np.array(True), np.array([1.0]), np.array([3.0])), {}, ShapeError,
            "[select] operands differ in shape. Got: () and (1,).",
        ),
    ],
    source="Array API standard 2024.12, where",
)  # fmt: skip


def select(condition: Node, x: Operand, y: Operand) -> Node:
    """Return `x` where `condition` is true, else `y`.

    Gradient: `ct` to the side chosen, exactly 0 to the other, even where that is nan.
    """
    (condition,) = together("where", condition)
    dtype = common_dtype((x, y))
    x, y = as_node("where", x, dtype), as_node("where", y, dtype)
    shape = movement.broadcast_shape("where", condition, x, y)
    return apply(SELECT, *(movement.expand(node, shape) for node in (condition, x, y)))


def where(condition: Node, x: Operand, y: Operand) -> Node:
    """Return `x` where `condition` is true, else `y`.

    Args:
        condition: bool, broadcast against the others.
        x, y: tensors or numbers, in their promoted dtype.

    Raises:
        DTypeError: the condition is not bool.
        ShapeError: the shapes do not broadcast.

    Gradient: `ct` to the side chosen, exactly 0 to the other, even where that is nan.
    """
    return select(condition, x, y)


# Rounding


def _flat(ct: Node, node: Node, x: Node) -> tuple[None]:
    return (None,)


FLOOR = unary("floor", np.floor, _flat, low=0.1, high=0.9)
CEIL = unary("ceil", np.ceil, _flat, low=0.1, high=0.9)
TRUNC = unary("trunc", np.trunc, _flat, low=0.1, high=0.9)
ROUND = unary(
    "round", np.rint, _flat, low=0.6, high=0.9,
    source="IEEE 754-2019 roundToIntegralTiesToEven",
)  # fmt: skip


def _rounded(primitive: Primitive, x: Operand) -> Node:
    node = _unary_checked(primitive.name, x, NUMERIC)
    return apply(primitive, node) if node.dtype.is_float else node


def floor(x: Operand) -> Node:
    """Return the largest integer not above `x`, in its dtype. Gradient: zero."""
    return _rounded(FLOOR, x)


def ceil(x: Operand) -> Node:
    """Return the smallest integer not below `x`, in its dtype. Gradient: zero."""
    return _rounded(CEIL, x)


def trunc(x: Operand) -> Node:
    """Return `x` rounded towards zero, in its dtype. Gradient: zero."""
    return _rounded(TRUNC, x)


def round(x: Operand) -> Node:
    """Return the nearest integer, ties to even, in the dtype of `x`. Gradient: zero."""
    return _rounded(ROUND, x)


# Exponentials and logarithms

EXP = unary("exp", np.exp, lambda ct, node, x: (multiply(ct, node),))


def exp(x: Operand) -> Node:
    """Return e to the power `x`. Gradient: `ct * exp(x)`."""
    return _float_unary(EXP, x)


EXPM1 = unary("expm1", np.expm1, lambda ct, node, x: (multiply(ct, exp(x)),))


def expm1(x: Operand) -> Node:
    """Return `exp(x) - 1`, accurate near 0."""
    return _float_unary(EXPM1, x)


LOG = unary("log", np.log, lambda ct, node, x: (divide(ct, x),), low=0.3)


def log(x: Operand) -> Node:
    """Return the natural logarithm; nan below 0, -inf at 0. Gradient: `ct / x`."""
    return _float_unary(LOG, x)


LOG1P = unary("log1p", np.log1p, lambda ct, node, x: (divide(ct, add(x, 1)),), low=-0.7)


def log1p(x: Operand) -> Node:
    """Return `log(1 + x)`, accurate near 0."""
    return _float_unary(LOG1P, x)


def log2(x: Operand) -> Node:
    """Return the logarithm of `x` to base 2."""
    return divide(log(x), float(np.log(2.0)))


def log10(x: Operand) -> Node:
    """Return the logarithm of `x` to base 10."""
    return divide(log(x), float(np.log(10.0)))


def conj(x: Operand) -> Node:
    """Return `x`: there are no complex numbers."""
    return _unary_checked("conj", x, NUMERIC)


def real(x: Operand) -> Node:
    """Return `x`: there are no complex numbers."""
    return _unary_checked("real", x, NUMERIC)


def imag(x: Operand) -> Node:
    """Return zeros in the shape of `x`: there are no complex numbers."""
    return full_like(_unary_checked("imag", x, NUMERIC), 0)


def exp2(x: Operand) -> Node:
    """Return 2 to the power `x`. Gradient: `ct * 2 ** x * log(2)`."""
    # exp(x * log(2)) would lose precision in the product, the more the larger x is.
    return _float_binary(POWER, 2, x)


def logaddexp(x: Operand, y: Operand) -> Node:
    """Return `log(exp(x) + exp(y))` without overflow.

    Special cases: of two equal infinities, that infinity.
    """
    x, y = together("logaddexp", x, y)
    x, y = as_float("logaddexp", x), as_float("logaddexp", y)
    top = maximum(x, y)
    gap = negative(abs(subtract(x, y)))
    # The gap of two equal infinities is nan; there the answer is that infinity.
    return select(equal(x, y), add(top, float(np.log(2.0))), add(top, log1p(exp(gap))))


SQRT = unary(
    "sqrt", np.sqrt, lambda ct, node, x: (divide(multiply(ct, 0.5), node),), low=0.3
)


def sqrt(x: Operand) -> Node:
    """Return the square root; nan below 0. Gradient: `ct / (2 sqrt(x))`."""
    return _float_unary(SQRT, x)


def rsqrt(x: Operand) -> Node:
    """Return `1 / sqrt(x)`."""
    return divide(1, sqrt(x))


def square(x: Operand) -> Node:
    """Return `x * x`."""
    node = _unary_checked("square", x, NUMERIC)
    return multiply(node, node)


def reciprocal(x: Operand) -> Node:
    """Return `1 / x`."""
    return divide(1, x)


def _sigmoid_reference(x: np.ndarray) -> Any:
    # exp of negative numbers only: no overflow, and full precision in both tails.
    one = x.dtype.type(1)
    return np.exp(np.minimum(x, x.dtype.type(0))) / (np.exp(-np.abs(x)) + one)


SIGMOID = unary(
    "sigmoid", _sigmoid_reference,
    lambda ct, node, x: (multiply(ct, multiply(node, subtract(1, node))),),
    source="the logistic function",
)  # fmt: skip


def sigmoid(x: Operand) -> Node:
    """Return `1 / (1 + exp(-x))`, without overflow and precise in both tails.

    Gradient: `ct * s * (1 - s)`.
    """
    return _float_unary(SIGMOID, x)


# Trigonometric and hyperbolic functions

SIN = unary("sin", np.sin, lambda ct, node, x: (multiply(ct, cos(x)),))
COS = unary("cos", np.cos, lambda ct, node, x: (negative(multiply(ct, sin(x))),))
TAN = unary(
    "tan", np.tan, lambda ct, node, x: (multiply(ct, add(1, square(node))),),
    low=-1.0, high=1.0,
)  # fmt: skip
ASIN = unary(
    "asin", np.arcsin, lambda ct, node, x: (divide(ct, sqrt(subtract(1, square(x)))),),
    low=-0.8, high=0.8,
)  # fmt: skip
ACOS = unary(
    "acos", np.arccos,
    lambda ct, node, x: (negative(divide(ct, sqrt(subtract(1, square(x))))),),
    low=-0.8, high=0.8,
)  # fmt: skip
ATAN = unary("atan", np.arctan, lambda ct, node, x: (divide(ct, add(1, square(x))),))


def _atan2_vjp(ct: Node, node: Node, y: Node, x: Node) -> tuple[Node, Node]:
    norm = add(square(x), square(y))
    # At the origin there is no derivative; 0 rather than nan, which would spread.
    over = divide(ct, select(equal(norm, 0), 1, norm))
    return multiply(over, x), negative(multiply(over, y))


ATAN2 = binary(
    "atan2", np.arctan2,
    _atan2_vjp,
    kinds="float",
)  # fmt: skip
SINH = unary("sinh", np.sinh, lambda ct, node, x: (multiply(ct, cosh(x)),))
COSH = unary("cosh", np.cosh, lambda ct, node, x: (multiply(ct, sinh(x)),))
TANH = unary(
    "tanh", np.tanh, lambda ct, node, x: (multiply(ct, subtract(1, square(node))),)
)
ASINH = unary(
    "asinh", np.arcsinh, lambda ct, node, x: (divide(ct, sqrt(add(1, square(x)))),)
)
ACOSH = unary(
    "acosh", np.arccosh,
    lambda ct, node, x: (divide(ct, multiply(sqrt(subtract(x, 1)), sqrt(add(x, 1)))),),
    low=1.3, high=3.0,
)  # fmt: skip
ATANH = unary(
    "atanh", np.arctanh, lambda ct, node, x: (divide(ct, subtract(1, square(x))),),
    low=-0.7, high=0.7,
)  # fmt: skip


def sin(x: Operand) -> Node:
    """Return the sine of `x` in radians."""
    return _float_unary(SIN, x)


def cos(x: Operand) -> Node:
    """Return the cosine of `x` in radians."""
    return _float_unary(COS, x)


def tan(x: Operand) -> Node:
    """Return the tangent of `x` in radians."""
    return _float_unary(TAN, x)


def asin(x: Operand) -> Node:
    """Return the angle in -pi/2..pi/2 whose sine is `x`; nan outside -1..1."""
    return _float_unary(ASIN, x)


def acos(x: Operand) -> Node:
    """Return the angle in 0..pi whose cosine is `x`; nan outside -1..1."""
    return _float_unary(ACOS, x)


def atan(x: Operand) -> Node:
    """Return the angle in -pi/2..pi/2 whose tangent is `x`."""
    return _float_unary(ATAN, x)


def atan2(y: Operand, x: Operand) -> Node:
    """Return the angle in -pi..pi of the point `(x, y)`, by the signs of both.

    Gradient: `ct * x / (x ** 2 + y ** 2)` and `-ct * y / (x ** 2 + y ** 2)`; 0 at the
    origin.
    """
    return _float_binary(ATAN2, y, x)


def sinh(x: Operand) -> Node:
    """Return the hyperbolic sine of `x`."""
    return _float_unary(SINH, x)


def cosh(x: Operand) -> Node:
    """Return the hyperbolic cosine of `x`."""
    return _float_unary(COSH, x)


def tanh(x: Operand) -> Node:
    """Return the hyperbolic tangent. Gradient: `ct * (1 - tanh(x) ** 2)`."""
    return _float_unary(TANH, x)


def asinh(x: Operand) -> Node:
    """Return the inverse hyperbolic sine of `x`."""
    return _float_unary(ASINH, x)


def acosh(x: Operand) -> Node:
    """Return the inverse hyperbolic cosine of `x`; nan below 1."""
    return _float_unary(ACOSH, x)


def atanh(x: Operand) -> Node:
    """Return the inverse hyperbolic tangent of `x`; nan outside -1..1."""
    return _float_unary(ATANH, x)


def hypot(x: Operand, y: Operand) -> Node:
    """Return `sqrt(x ** 2 + y ** 2)` without overflow or underflow on the way.

    Special cases: inf if either is infinite, even if the other is nan.
    """
    x, y = together("hypot", x, y)
    x, y = abs(as_float("hypot", x)), abs(as_float("hypot", y))
    big, small = maximum(x, y), minimum(x, y)
    ratio = divide(small, select(equal(big, 0), 1, big))
    result = multiply(big, sqrt(add(1, square(ratio))))
    infinite = logical_or(equal(x, float("inf")), equal(y, float("inf")))
    return select(infinite, float("inf"), result)


# Classification and the parts of a floating-point number

SIGNBIT = unary(
    "signbit", np.signbit, result=bool_, source="IEEE 754-2019 5.7.2 isSignMinus"
)
COPYSIGN = binary(
    "copysign", np.copysign,
    lambda ct, node, x, y: (multiply(ct, multiply(sign(x), sign(node))), None),
    kinds="float",
)  # fmt: skip
NEXTAFTER = binary(
    "nextafter",
    # Of equal operands the second, so that nextafter(0.0, -0.0) is -0.0 in every dtype.
    lambda x, y: np.where(x == y, y, np.nextafter(x, y)),
    lambda ct, node, x, y: (ct, None),
    kinds="float",
)


def isnan(x: Operand) -> Node:
    """Return whether `x` is nan, as bool."""
    node = _unary_checked("isnan", x, NUMERIC)
    return not_equal(node, node)


def isinf(x: Operand) -> Node:
    """Return whether `x` is an infinity, as bool."""
    node = _unary_checked("isinf", x, NUMERIC)
    if not node.dtype.is_float:
        return not_equal(node, node)
    return equal(abs(node), float("inf"))


def isfinite(x: Operand) -> Node:
    """Return whether `x` is neither an infinity nor nan, as bool."""
    node = _unary_checked("isfinite", x, NUMERIC)
    if not node.dtype.is_float:
        return equal(node, node)
    return less(abs(node), float("inf"))


def signbit(x: Operand) -> Node:
    """Return whether the sign bit of `x` is set, as bool: also for -0.0 and -nan."""
    return _float_unary(SIGNBIT, x)


def copysign(x: Operand, y: Operand) -> Node:
    """Return the magnitude of `x` with the sign of `y`."""
    return _float_binary(COPYSIGN, x, y)


def nextafter(x: Operand, y: Operand) -> Node:
    """Return the next representable number after `x` towards `y`."""
    return _float_binary(NEXTAFTER, x, y)


# Bits of a number


def _bitcast_infer(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.bits != dtype.bits:
        raise DTypeError(
            "[bitcast] the types differ in width",
            got=f"{x.dtype.name} to {dtype.name}",
            expected=f"a type of {x.dtype.bits} bits",
        )
    return TensorType(x.shape, dtype)


BITCAST = Primitive(
    name="bitcast",
    infer=_bitcast_infer,
    reference=lambda x, *, dtype: (
        np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape)
    ),
    batch="elementwise",
    differentiable=False,
    samples=lambda: [
        Sample((np.array([1.0, -2.0], np.float32),), {"dtype": int32}, smooth=False),
        Sample((np.array([[0, 1 << 62]]),), {"dtype": float64}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (np.array([1.0]),), {"dtype": int32}, DTypeError,
            "[bitcast] the types differ in width. Got: float64 to int32. "
            "Expected: a type of 64 bits.",
        )
    ],
    source="the same bits, read as another type of the same width",
)  # fmt: skip


def bitcast(x: Node, dtype: DType) -> Node:
    """Return the bits of `x` read as `dtype`, a type of the same width."""
    return apply(BITCAST, x, dtype=dtype)


PRIMITIVES = (
    CAST, ADD, SUBTRACT, MULTIPLY, DIVIDE, FLOOR_DIVIDE, REMAINDER, POWER, NEGATIVE,
    ABS, SIGN, MAXIMUM, MINIMUM, EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, BITWISE_AND,
    BITWISE_OR, BITWISE_XOR, BITWISE_INVERT, SHIFT_LEFT, SHIFT_RIGHT, SELECT, FLOOR,
    CEIL, TRUNC, ROUND, EXP, EXPM1, LOG, LOG1P, SQRT, SIGMOID, SIN, COS, TAN, ASIN,
    ACOS, ATAN, ATAN2, SINH, COSH, TANH, ASINH, ACOSH, ATANH, SIGNBIT, COPYSIGN,
    NEXTAFTER, BITCAST,
)  # fmt: skip

OPS = (
    add, subtract, multiply, divide, floor_divide, remainder, pow, negative, positive,
    abs, sign, maximum, minimum, clip, equal, not_equal, less, less_equal, greater,
    greater_equal, bitwise_and, bitwise_or, bitwise_xor, bitwise_invert,
    bitwise_left_shift, bitwise_right_shift, logical_and, logical_or, logical_xor,
    logical_not, where, floor, ceil, trunc, round, exp, expm1, exp2, log, log1p, log2,
    log10, logaddexp, sqrt, rsqrt, square, reciprocal, sigmoid, sin, cos, tan, asin,
    acos, atan, atan2, sinh, cosh, tanh, asinh, acosh, atanh, hypot, isnan, isinf,
    isfinite, signbit, copysign, nextafter, bitcast, conj, real, imag,
)  # fmt: skip
