"""Random numbers as functions of a key: the same key gives the same numbers, always.

What is here uses integer operations and correctly rounded `+ - * /` and `sqrt` only,
so that every target that does not contract a multiplication and an addition gives the
same bits; `truncated_normal` alone does not. Other distributions are in `distribution`.

Read first: `uniform`, `normal`, `randint`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np

from ..dtypes import (
    DType,
    as_dtype,
    bool_,
    default_float,
    default_integer,
    float32,
    float64,
    int32,
    int64,
)
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape, broadcast, normalize_axis
from . import arithmetic, elementwise, index, movement, philox, sort, source, special
from .operand import Operand, as_node, common_dtype


def bits(key: Node, *, shape: int | Sequence[int] = ()) -> Node:
    """Return random words: all 2 ** 32 values of uint32 are equally likely.

    Args:
        key: uint32, shape (4,).

    Source: Philox 4x32-10, J. K. Salmon et al., "Parallel random numbers: as easy as
    1, 2, 3", 2011.
    """
    philox.check_one_key("bits", key)
    return philox.words(key, as_shape("bits", shape))


def shape_of(op: str, shape: int | Sequence[int] | None, *parameters: Operand) -> Shape:
    """Return the shape of the result, which the parameters broadcast to."""
    shapes = [x.shape for x in parameters if isinstance(x, Node)]
    if shape is None:
        return broadcast(op, *shapes or [()])
    asked = as_shape(op, shape)
    if broadcast(op, asked, *shapes) != asked:
        raise ShapeError(
            f"[{op}] the parameters do not broadcast to the shape asked for",
            got=" and ".join(str(s) for s in shapes) + f" to {asked}",
        )
    return asked


def float_dtype(op: str, dtype: DType | None, *parameters: Operand) -> DType:
    """Return the dtype of the result: as asked, or what the parameters promote to."""
    if dtype is None:
        found = common_dtype(parameters) if parameters else default_float
        return found if found.is_float else default_float
    dtype = as_dtype(dtype)
    if not dtype.is_float:
        raise DTypeError(f"[{op}] the result is floating-point", got=dtype.name)
    return dtype


def computed(dtype: DType) -> DType:
    """Return the dtype to compute in: 16-bit floats would be too coarse."""
    return float32 if dtype.bits == 16 else dtype


def parameter(op: str, x: Operand, dtype: DType, shape: Shape) -> Node:
    """Return a parameter of a distribution in `dtype`, expanded to `shape`."""
    return movement.expand(as_node(op, x, dtype), shape)


# Uniform


_MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def unit_uniform(key: Node, shape: Shape, dtype: DType) -> Node:
    """Return multiples of 2 ** -digits in [0, 1), of as many digits as `dtype` has."""
    digits = _MANTISSA[dtype.name]
    if dtype is float64:
        integer = elementwise.bitwise_right_shift(
            philox.words64(key, shape), 64 - digits
        )
    else:
        integer = elementwise.bitwise_right_shift(philox.words(key, shape), 32 - digits)
        # NumPy converts signed integers faster, and the sign bit is clear.
        integer = elementwise.bitcast(integer, int32)
    return elementwise.multiply(elementwise.cast(integer, dtype), 2.0**-digits)


def uniform(
    key: Node,
    low: Operand = 0.0,
    high: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return random numbers between `low` and `high`, all equally likely.

    Formula: low + (high - low) * u, where u is a multiple of 2 ** -24 in [0, 1) (of
    2 ** -53 in float64, 2 ** -11 in float16, 2 ** -8 in bfloat16).

    Args:
        key: uint32, shape (4,).
        low, high: numbers or tensors that broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters.

    Special cases: rounding can give `high` itself, unless `low` is 0 and `high` a power
    of 2.

    Gradient: to `low` and `high`, by the formula.
    """
    philox.check_one_key("uniform", key)
    dtype = float_dtype("uniform", dtype, low, high)
    full = shape_of("uniform", shape, low, high)
    unit = unit_uniform(key, full, dtype)
    if (
        not isinstance(low, Node)
        and not isinstance(high, Node)
        and (low, high) == (0, 1)
    ):
        return unit
    inner = computed(dtype)
    start = parameter("uniform", low, inner, full)
    width = elementwise.subtract(parameter("uniform", high, inner, full), start)
    result = elementwise.multiply(width, elementwise.cast(unit, inner))
    return elementwise.cast(elementwise.add(start, result), dtype)


# Normal
#
# The inverse of the distribution function, by M. J. Wichura's algorithm AS 241 (Applied
# Statistics 37, 1988): PPND7 in float32, PPND16 in float64. Its uniform number is the
# middle of one of 2 ** digits equal parts of 0..1, so it is never 0, 0.5 or 1.

_QUANTILE_FLOAT32 = (
    ((5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179),
     (6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0)),
    ((1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777),
     (1.2021132975e-1, 7.3700164250e-1, 1.0)),
    ((1.7337203997e-2, 4.2868294337e-1, 3.0812263860, 6.6579051150),
     (1.2258202635e-2, 2.4197894225e-1, 1.0)),
)  # fmt: skip
_QUANTILE_FLOAT64 = (
    special.QUANTILE_CENTRE, special.QUANTILE_TAIL, special.QUANTILE_FAR_TAIL
)  # fmt: skip


def _exact_log(x: Node) -> Node:
    """Return the logarithm of positive normal numbers, of exactly rounded operations.

    Formula: with x = m * 2 ** e and m in sqrt(1/2)..sqrt(2), and s = (m - 1) / (m + 1),
    log(x) = e * log(2) + 2 * (s + s ** 3 / 3 + s ** 5 / 5 + ...).
    """
    integer, fraction, terms = (int64, 52, 11) if x.dtype is float64 else (int32, 23, 5)
    word = elementwise.bitcast(x, integer)
    # Counted from the bits of sqrt(1/2), the exponent field changes at each
    # sqrt(2) * 2 ** e.
    root = np.array(math.sqrt(0.5), x.dtype.numpy).view(integer.numpy).item()
    exponent = elementwise.bitwise_right_shift(
        elementwise.subtract(word, root), fraction
    )
    mantissa = elementwise.bitcast(
        elementwise.subtract(word, elementwise.bitwise_left_shift(exponent, fraction)),
        x.dtype,
    )
    s = elementwise.divide(
        elementwise.subtract(mantissa, 1), elementwise.add(mantissa, 1)
    )
    series = arithmetic.polynomial(
        elementwise.multiply(s, s), [2 / (2 * k + 1) for k in range(terms)][::-1]
    )
    scaled = elementwise.multiply(elementwise.cast(exponent, x.dtype), math.log(2))
    return elementwise.add(scaled, elementwise.multiply(s, series))


def _quantile(q: Node, tail: Node, least: float) -> Node:
    """Return the inverse of the standard normal distribution function.

    Args:
        q: the probability less 0.5, in float32 or float64.
        tail: 0.5 - abs(q), without rounding.
        least: a positive bound below `tail`.
    """
    double = q.dtype is float64
    centre, near, far = _QUANTILE_FLOAT64 if double else _QUANTILE_FLOAT32
    r = elementwise.subtract(0.180625, elementwise.multiply(q, q))
    middle = elementwise.multiply(q, arithmetic.ratio(r, centre))
    r = elementwise.sqrt(elementwise.negative(_exact_log(tail)))
    outside = arithmetic.ratio(elementwise.subtract(r, 1.6), near)
    if least < math.exp(-25):
        beyond = arithmetic.ratio(elementwise.subtract(r, 5.0), far)
        outside = elementwise.select(elementwise.less_equal(r, 5.0), outside, beyond)
    inside = elementwise.less_equal(elementwise.abs(q), 0.425)
    return elementwise.select(inside, middle, elementwise.copysign(outside, q))


def standard_normal(key: Node, shape: Shape, dtype: DType) -> Node:
    """Return normally distributed numbers of mean 0 and deviation 1."""
    if dtype is float64:
        digits, signed = 53, int64
        word = elementwise.bitwise_right_shift(philox.words64(key, shape), 64 - digits)
    else:
        digits, signed = 24, int32
        word = elementwise.bitwise_right_shift(philox.words(key, shape), 32 - digits)
    # Part number k has its middle at (2 k + 1) / 2 ** (digits + 1). That less one half
    # is an odd number below 2 ** digits over 2 ** (digits + 1): exact, and so
    # is `tail`.
    odd = elementwise.bitwise_or(elementwise.bitwise_left_shift(word, 1), 1)
    centred = elementwise.subtract(elementwise.bitcast(odd, signed), 1 << digits)
    least = 2.0 ** -(digits + 1)
    q = elementwise.multiply(elementwise.cast(centred, dtype), least)
    tail = elementwise.subtract(0.5, elementwise.abs(q))
    return _quantile(q, tail, least)


def normal(
    key: Node,
    mean: Operand = 0.0,
    std: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return normally distributed random numbers.

    Formula: mean + std * z, where z is the standard normal quantile of the middle of
    one of 2 ** 24 equal parts of 0..1 (2 ** 53 in float64). abs(z) stays below 5.42
    (8.3).

    Args:
        key: uint32, shape (4,).
        mean, std: numbers or tensors that broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. 16-bit floats are
            computed in float32.

    Gradient: to `mean` and `std`, by the formula.

    Source: M. J. Wichura, Applied Statistics 37, 1988, algorithm AS 241.
    """
    philox.check_one_key("normal", key)
    dtype = float_dtype("normal", dtype, mean, std)
    full = shape_of("normal", shape, mean, std)
    inner = computed(dtype)
    result = standard_normal(key, full, inner)
    if not (isinstance(std, (int, float)) and std == 1):
        result = elementwise.multiply(result, parameter("normal", std, inner, full))
    if not (isinstance(mean, (int, float)) and mean == 0):
        result = elementwise.add(parameter("normal", mean, inner, full), result)
    return elementwise.cast(result, dtype)


def truncated_normal(
    key: Node,
    mean: Operand = 0.0,
    std: Operand = 1.0,
    low: Operand = -2.0,
    high: Operand = 2.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return normally distributed random numbers that lie between `low` and `high`.

    Args:
        key: uint32, shape (4,).
        mean, std: of the normal distribution before it is cut.
        low, high: the bounds, not in units of `std`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters.

    Special cases: where the bounds lie so far out that the normal distribution holds
    nothing between them, the bound that is nearer to the mean. `high` where `low` is
    above it.

    Gradient: to all four parameters; of first order only.
    """
    op = "truncated_normal"
    philox.check_one_key(op, key)
    parameters = (mean, std, low, high)
    dtype = float_dtype(op, dtype, *parameters)
    full = shape_of(op, shape, *parameters)
    inner = computed(dtype)
    mean, std, low, high = (parameter(op, x, inner, full) for x in parameters)
    a = elementwise.divide(elementwise.subtract(low, mean), std)
    b = elementwise.divide(elementwise.subtract(high, mean), std)
    # Work in the lower half, where probabilities are small and hence precise.
    mirrored = elementwise.greater(elementwise.add(a, b), 0)
    a, b = (
        elementwise.select(mirrored, elementwise.negative(b), a),
        elementwise.select(mirrored, elementwise.negative(a), b),
    )
    below, upto = _distribution(a), _distribution(b)
    width = elementwise.subtract(upto, below)
    u = elementwise.add(
        unit_uniform(key, full, inner), 2.0 ** -(_MANTISSA[inner.name] + 1)
    )
    p = elementwise.add(below, elementwise.multiply(width, u))
    least = float(np.finfo(inner.numpy).tiny)
    known = elementwise.maximum(source.stop_gradient(p), least)
    # Rounding may have made 1 of it, whose quantile lies far out.
    most = 1 - float(np.finfo(inner.numpy).epsneg)
    known = elementwise.minimum(known, most)
    tail = elementwise.minimum(known, elementwise.subtract(1, known))
    q = elementwise.subtract(known, 0.5)
    z = _quantile(q, elementwise.maximum(tail, least), least)
    # The bits of the logarithm have no derivative. dz / dp is 1 over the density at z.
    density = elementwise.multiply(
        elementwise.exp(elementwise.multiply(elementwise.square(z), -0.5)),
        1 / math.sqrt(2 * math.pi),
    )
    change = elementwise.subtract(p, source.stop_gradient(p))
    z = elementwise.add(z, elementwise.divide(change, source.stop_gradient(density)))
    z = elementwise.select(mirrored, elementwise.negative(z), z)
    result = elementwise.add(mean, elementwise.multiply(std, z))
    result = elementwise.minimum(elementwise.maximum(result, low), high)
    return elementwise.cast(result, dtype)


def _distribution(z: Node) -> Node:
    """Return the probability that a standard normal number is below `z`."""
    return elementwise.multiply(
        special.erfc(elementwise.multiply(z, -math.sqrt(0.5))), 0.5
    )


# Discrete distributions


def bernoulli(
    key: Node,
    p: Operand = 0.5,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return true with probability `p`.

    Formula: u < p, with u as in `uniform`, in float32 or, where `p` is, in float64.

    Args:
        key: uint32, shape (4,).
        p: probabilities, broadcast to `shape`.
        shape: of the result. Default: that of `p`.
        dtype: of the result. Default: bool.

    Special cases: never true where `p` is negative or nan; always where it is above 1.
    """
    philox.check_one_key("bernoulli", key)
    full = shape_of("bernoulli", shape, p)
    inner = computed(float_dtype("bernoulli", None, p))
    limit = parameter("bernoulli", p, inner, full)
    result = elementwise.less(unit_uniform(key, full, inner), limit)
    return elementwise.cast(result, bool_ if dtype is None else as_dtype(dtype))


def randint(
    key: Node,
    low: int,
    high: int,
    *,
    shape: int | Sequence[int] = (),
    dtype: DType | None = None,
) -> Node:
    """Return random integers in low..high-1, all equally likely.

    Formula: low + floor(w * (high - low) / 2 ** 64) with w a random word of 64 bits.
    The probabilities of two values differ by 2 ** -64 at most.

    Args:
        key: uint32, shape (4,).
        low, high: integers; `dtype` holds all the values.
        dtype: an integer type. Default: int64.

    Raises:
        ArgumentError: the range is empty, or `dtype` does not hold it.
        DTypeError: `dtype` is not an integer type.
    """
    philox.check_one_key("randint", key)
    full = as_shape("randint", shape)
    dtype = default_integer if dtype is None else as_dtype(dtype)
    if not dtype.is_integer:
        raise DTypeError("[randint] the result is an integer", got=dtype.name)
    try:
        low, high = operator.index(low), operator.index(high)
    except TypeError:
        raise ArgumentTypeError(
            "[randint] low and high must be integers", got=f"low={low!r}, high={high!r}"
        ) from None
    if low >= high:
        raise ArgumentError(
            "[randint] there is no integer in the range",
            got=f"low={low}, high={high}",
            expected="low < high",
        )
    least = -(1 << dtype.bits - 1) if dtype.kind == "signed" else 0
    most = least + (1 << dtype.bits) - 1
    if low < least or high - 1 > most:
        raise ArgumentError(
            f"[randint] {dtype.name} does not hold the range",
            got=f"low={low}, high={high}",
            expected=f"values in {least}..{most}",
        )
    result = _scaled_word(philox.words64(key, full), high - low)
    wrapped = elementwise.add(result, low % (1 << 64))
    return elementwise.cast(elementwise.bitcast(wrapped, int64), dtype)


def _scaled_word(word: Node, count: int) -> Node:
    """Return floor(word * count / 2 ** 64) for a uint64 `word`, without 128 bits."""
    if count == 1 << 64:
        return word

    mask = 0xFFFFFFFF
    high = elementwise.bitwise_right_shift(word, 32)
    low = elementwise.bitwise_and(word, mask)
    count_low, count_high = count & mask, count >> 32
    # Schoolbook multiplication with digits of 32 bits, the carries kept apart.
    carry = elementwise.bitwise_right_shift(elementwise.multiply(low, count_low), 32)
    middle = elementwise.add(elementwise.multiply(high, count_low), carry)
    if not count_high:
        return elementwise.bitwise_right_shift(middle, 32)
    second = elementwise.add(
        elementwise.multiply(low, count_high), elementwise.bitwise_and(middle, mask)
    )
    result = elementwise.multiply(high, count_high)
    for part in (middle, second):
        result = elementwise.add(result, elementwise.bitwise_right_shift(part, 32))
    return result


def permutation(key: Node, n: int) -> Node:
    """Return 0, 1, ..., n - 1 in random order, all orders equally likely, as int64.

    Formula: the order that sorts random words of 64 bits. Two are equal, and the orders
    then not equally likely, with a probability below n ** 2 / 2 ** 65.
    """
    philox.check_one_key("permutation", key)
    (n,) = as_shape("permutation", n)
    return sort.argsort(philox.words64(key, (n,)))


def shuffle(key: Node, x: Node, *, axis: int = 0) -> Node:
    """Return `x` with its slices along `axis` in random order, as in `permutation`."""
    axis = normalize_axis("shuffle", axis, x.ndim)
    return index.take(x, permutation(key, x.shape[axis]), axis=axis)


# The first parameter is the key. Where it is left out, plait.random supplies one.
RANDOM_OPS = (
    bits, uniform, normal, truncated_normal, bernoulli, randint, permutation, shuffle,
)  # fmt: skip
