"""Random numbers as functions of a key: the same key gives the same numbers, always.

One primitive, RANDOM_BITS, makes random words; everything else is arithmetic on them.
`bits`, `uniform`, `normal`, `bernoulli`, `randint` and `permutation` use integer
operations and correctly rounded `+ - * /` and `sqrt` only, so that every target that
does not contract a multiplication and an addition gives them bit for bit.

A key holds four words of 32 bits: two of seed and two of stream. The functions here
know of no global generator: who calls them hands them a key and uses it only once.

Read first: `RANDOM_BITS`, `key_of`, `split`, `uniform`, `normal`.
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
    uint32,
    uint64,
)
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, as_shape, broadcast, normalize_axis, size_of
from . import elementwise, index, movement, reduce, sort, source, special
from .operand import Operand, as_float, as_node, common_dtype

# Philox 4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
# numbers: as easy as 1, 2, 3", SC 2011. The key of a round grows by the second pair.
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_INCREMENTS = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint64)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)

# Blocks are counted with 63 bits; those with the top bit set make keys, so that no key
# is made of words that were also given out as random numbers.
_KEYS_START = 1 << 63
_FOLD_START = _KEYS_START | 1 << 62
_BLOCKS_AT_ONCE = 8192  # as many as fit the second-level cache


def philox(key: np.ndarray, shape: Shape, start: int = 0) -> np.ndarray:
    """Return the random words of `key`.

    Formula: element i of the flattened result is word i % 4 of
    Philox(counter=(low word of b, high word of b, key[2], key[3]), key=key[:2]) with
    b = start + i // 4.

    Args:
        key: uint32, shape (..., 4).
        start: the first block, below 2 ** 64.

    Returns:
        uint32, shape (..., *shape).
    """
    keys = key.reshape(-1, 4).astype(np.uint64)
    size = size_of(shape)
    blocks = -(-size // 4)
    total = blocks * len(keys)
    result = np.empty((total, 4), np.uint32)
    at_once = max(1, min(_BLOCKS_AT_ONCE, total))
    # Words 0 and 2 of the blocks, words 1 and 3, and two products of 64 bits.
    even_buffer, odd_buffer, product_buffer = np.empty((3, 2, at_once), np.uint64)
    one_key = len(keys) == 1
    for begin in range(0, total, at_once):
        end = min(begin + at_once, total)
        n = end - begin
        even, odd, product = (
            buffer[:, :n] for buffer in (even_buffer, odd_buffer, product_buffer)
        )
        index = np.arange(begin, end, dtype=np.uint64)
        if one_key:
            words = keys[0][:, None]
        else:
            words = keys[index // np.uint64(blocks)].T
            index %= np.uint64(blocks)
        index += np.uint64(start)
        np.bitwise_and(index, _LOW, out=even[0])
        np.right_shift(index, _32, out=odd[0])
        even[1], odd[1] = words[2], words[3]
        round_key = words[:2].copy()
        for _ in range(_ROUNDS):
            np.multiply(even, _MULTIPLIERS, out=product)
            np.right_shift(product[::-1], _32, out=even)
            even ^= odd
            even ^= round_key
            np.bitwise_and(product[::-1], _LOW, out=odd)
            round_key += _INCREMENTS
            round_key &= _LOW
        block = result[begin:end]
        block[:, 0], block[:, 2] = even
        block[:, 1], block[:, 3] = odd
    flat = result.reshape(len(keys), 4 * blocks)[:, :size]
    return flat.reshape((*key.shape[:-1], *shape))


def _check_key(op: str, dtype: DType, shape: Shape) -> None:
    if dtype is not uint32:
        raise DTypeError(
            f"[{op}] the words of a key are uint32",
            got=dtype.name,
            fix="make keys with key_of, split or fold_in",
        )
    if not shape or shape[-1] != 4:
        raise ShapeError(f"[{op}] a key has four words", got=str(shape))


def _bits_infer(key: TensorType, *, shape: Shape, start: int) -> TensorType:
    _check_key("random_bits", key.dtype, key.shape)
    return TensorType((*key.shape[:-1], *shape), uint32)


def _bits_batch(operands: Sequence[Node], batched: Sequence[bool], node: Node) -> Node:
    return apply(RANDOM_BITS, *operands, **node.attributes)


def _key_sample(*words: int) -> np.ndarray:
    return np.array(words, np.uint32)


RANDOM_BITS = Primitive(
    name="random_bits",
    infer=_bits_infer,
    reference=lambda key, *, shape, start: philox(key, shape, start),
    batch=_bits_batch,
    differentiable=False,
    samples=lambda: [
        Sample((_key_sample(0, 0, 0, 0),), {"shape": (5,), "start": 0}, smooth=False),
        Sample(
            (_key_sample(0xA4093822, 0x299F31D0, 0x13198A2E, 0x03707344),),
            {"shape": (2, 3), "start": 0x85A308D3243F6A88},
            smooth=False,
        ),
        Sample(
            (_key_sample(*range(8)).reshape(2, 4),), {"shape": (3, 2), "start": 7},
            smooth=False,
        ),
        Sample((_key_sample(1, 2, 3, 4),), {"shape": (0, 2), "start": 0}, smooth=False),
        Sample((_key_sample(1, 2, 3, 4),), {"shape": (), "start": 1}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (np.zeros(3, np.uint32),), {"shape": (2,), "start": 0}, ShapeError,
            "[random_bits] a key has four words. Got: (3,).",
        ),
        Failure(
            (np.zeros(4, np.int64),), {"shape": (2,), "start": 0}, DTypeError,
            "[random_bits] the words of a key are uint32. Got: int64. "
            "Fix: make keys with key_of, split or fold_in.",
        ),
    ],
    source="Philox 4x32-10, Salmon et al. 2011",
)  # fmt: skip


# Keys


def key_of(seed: int, stream: int = 0) -> np.ndarray:
    """Return the key of stream number `stream` under `seed`, uint32 of shape (4,).

    Raises:
        ArgumentError: one of them is not in 0..2**64-1.
        ArgumentTypeError: one of them is not an integer.
    """
    words = []
    for name, value in (("seed", seed), ("stream", stream)):
        try:
            number = operator.index(value)
        except TypeError:
            raise ArgumentTypeError(
                f"the {name} must be an integer", got=repr(value)
            ) from None
        if not 0 <= number < 1 << 64:
            raise ArgumentError(
                f"the {name} is out of range",
                got=str(number),
                expected="0 to 2**64 - 1",
            )
        words += [number & 0xFFFFFFFF, number >> 32]
    return np.array(words, np.uint32)


def split(key: Node, num: int = 2) -> Node:
    """Return `num` new keys, independent of one another and of what `key` gives.

    Args:
        key: uint32, shape (..., 4).

    Returns:
        uint32, shape (..., num, 4).
    """
    _check_key("split", key.dtype, key.shape)
    (num,) = as_shape("split", num)
    return apply(RANDOM_BITS, key, shape=(num, 4), start=_KEYS_START)


def fold_in(key: Node, data: Operand) -> Node:
    """Return a new key that depends on `key` and on the integer `data`.

    Different `data` give different keys.

    Args:
        key: uint32, shape (4,).
        data: an integer, for example the number of a step.

    Raises:
        DTypeError: `data` is not an integer.
    """
    _check_one_key("fold_in", key)
    kind = common_dtype((data,))
    if not kind.is_integer:
        raise DTypeError("[fold_in] only an integer can be folded in", got=kind.name)
    node = elementwise.cast(as_node("fold_in", data, kind), uint64)
    if node.shape:
        raise ShapeError("[fold_in] one integer is needed", got=str(node.shape))
    # As the stream of a fresh key it enters every word of the next.
    fresh = apply(RANDOM_BITS, key, shape=(4,), start=_FOLD_START)
    zero = source.full((), 0, uint64)
    halves = movement.stack(
        [
            zero,
            zero,
            elementwise.bitwise_and(node, 0xFFFFFFFF),
            elementwise.bitwise_right_shift(node, 32),
        ]
    )
    mixed = elementwise.bitwise_xor(fresh, elementwise.cast(halves, uint32))
    return apply(RANDOM_BITS, mixed, shape=(4,), start=_FOLD_START)


def _check_one_key(op: str, key: Node) -> None:
    _check_key(op, key.dtype, key.shape)
    if key.shape != (4,):
        raise ShapeError(
            f"[{op}] one key is needed",
            got=str(key.shape),
            expected="(4,)",
            fix="use plait.vmap to give each key its own numbers",
        )


def _keys(key: Node, num: int) -> list[Node]:
    return list(movement.unstack(split(key, num)))


# Words


def bits(key: Node, *, shape: int | Sequence[int] = ()) -> Node:
    """Return random words: all 2 ** 32 values of uint32 are equally likely.

    Args:
        key: uint32, shape (4,).

    Source: Philox 4x32-10, J. K. Salmon et al., "Parallel random numbers: as easy as
    1, 2, 3", 2011.
    """
    _check_one_key("bits", key)
    return _words(key, as_shape("bits", shape))


def _words(key: Node, shape: Shape) -> Node:
    return apply(RANDOM_BITS, key, shape=shape, start=0)


def _words64(key: Node, shape: Shape) -> Node:
    """Return random uint64: number i has words 2i (low half) and 2i + 1 (high half)."""
    low, high = movement.unstack(_words(key, (*shape, 2)), axis=-1)
    upper = elementwise.bitwise_left_shift(elementwise.cast(high, uint64), 32)
    return elementwise.bitwise_or(upper, elementwise.cast(low, uint64))


def _shape(op: str, shape: int | Sequence[int] | None, *parameters: Operand) -> Shape:
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


def _float_dtype(op: str, dtype: DType | None, *parameters: Operand) -> DType:
    """Return the dtype of the result: as asked, or what the parameters promote to."""
    if dtype is None:
        found = common_dtype(parameters) if parameters else default_float
        return found if found.is_float else default_float
    dtype = as_dtype(dtype)
    if not dtype.is_float:
        raise DTypeError(f"[{op}] the result is floating-point", got=dtype.name)
    return dtype


def _computed(dtype: DType) -> DType:
    """Return the dtype to compute in: 16-bit floats would be too coarse."""
    return float32 if dtype.bits == 16 else dtype


def _parameter(op: str, x: Operand, dtype: DType, shape: Shape) -> Node:
    return movement.expand(as_node(op, x, dtype), shape)


# Uniform


_MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _unit(key: Node, shape: Shape, dtype: DType) -> Node:
    """Return multiples of 2 ** -digits in [0, 1), of as many digits as `dtype` has."""
    digits = _MANTISSA[dtype.name]
    if dtype is float64:
        integer = elementwise.bitwise_right_shift(_words64(key, shape), 64 - digits)
    else:
        integer = elementwise.bitwise_right_shift(_words(key, shape), 32 - digits)
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
    _check_one_key("uniform", key)
    dtype = _float_dtype("uniform", dtype, low, high)
    full = _shape("uniform", shape, low, high)
    unit = _unit(key, full, dtype)
    if (
        not isinstance(low, Node)
        and not isinstance(high, Node)
        and (low, high) == (0, 1)
    ):
        return unit
    inner = _computed(dtype)
    start = _parameter("uniform", low, inner, full)
    width = elementwise.subtract(_parameter("uniform", high, inner, full), start)
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


def _polynomial(x: Node, coefficients: Sequence[float]) -> Node:
    """Return the polynomial by Horner's rule; the highest power's coefficient first."""
    first, second, *rest = coefficients
    result = elementwise.add(elementwise.multiply(x, first), second)
    for coefficient in rest:
        result = elementwise.add(elementwise.multiply(result, x), coefficient)
    return result


def _ratio(x: Node, pair: tuple[Sequence[float], Sequence[float]]) -> Node:
    return elementwise.divide(_polynomial(x, pair[0]), _polynomial(x, pair[1]))


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
    series = _polynomial(
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
    middle = elementwise.multiply(q, _ratio(r, centre))
    r = elementwise.sqrt(elementwise.negative(_exact_log(tail)))
    outside = _ratio(elementwise.subtract(r, 1.6), near)
    if least < math.exp(-25):
        beyond = _ratio(elementwise.subtract(r, 5.0), far)
        outside = elementwise.select(elementwise.less_equal(r, 5.0), outside, beyond)
    inside = elementwise.less_equal(elementwise.abs(q), 0.425)
    return elementwise.select(inside, middle, elementwise.copysign(outside, q))


def _standard_normal(key: Node, shape: Shape, dtype: DType) -> Node:
    if dtype is float64:
        digits, signed = 53, int64
        word = elementwise.bitwise_right_shift(_words64(key, shape), 64 - digits)
    else:
        digits, signed = 24, int32
        word = elementwise.bitwise_right_shift(_words(key, shape), 32 - digits)
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
    _check_one_key("normal", key)
    dtype = _float_dtype("normal", dtype, mean, std)
    full = _shape("normal", shape, mean, std)
    inner = _computed(dtype)
    result = _standard_normal(key, full, inner)
    if not (isinstance(std, (int, float)) and std == 1):
        result = elementwise.multiply(result, _parameter("normal", std, inner, full))
    if not (isinstance(mean, (int, float)) and mean == 0):
        result = elementwise.add(_parameter("normal", mean, inner, full), result)
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
    _check_one_key(op, key)
    parameters = (mean, std, low, high)
    dtype = _float_dtype(op, dtype, *parameters)
    full = _shape(op, shape, *parameters)
    inner = _computed(dtype)
    mean, std, low, high = (_parameter(op, x, inner, full) for x in parameters)
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
    u = elementwise.add(_unit(key, full, inner), 2.0 ** -(_MANTISSA[inner.name] + 1))
    p = elementwise.add(below, elementwise.multiply(width, u))
    least = float(np.finfo(inner.numpy).tiny)
    known = elementwise.maximum(source.stop_gradient(p), least)
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
    _check_one_key("bernoulli", key)
    full = _shape("bernoulli", shape, p)
    inner = _computed(_float_dtype("bernoulli", None, p))
    limit = _parameter("bernoulli", p, inner, full)
    result = elementwise.less(_unit(key, full, inner), limit)
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
    _check_one_key("randint", key)
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
    result = _scaled_word(_words64(key, full), high - low)
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


def categorical(
    key: Node,
    logits: Node,
    *,
    axis: int = -1,
    shape: int | Sequence[int] | None = None,
) -> Node:
    """Return random positions along `axis`, each with probability softmax(logits).

    Formula: argmax(logits + g) with independent Gumbel numbers g.

    Args:
        key: uint32, shape (4,).
        logits: unnormalised logarithms of the probabilities.
        shape: of the result; the shape of `logits` without `axis` broadcasts to it.
            Default: that shape.

    Returns:
        int64.

    Raises:
        ShapeError: there are no positions.

    Special cases: -inf is never chosen, unless all are. If one is nan, its position.
    """
    op = "categorical"
    _check_one_key(op, key)
    axis = normalize_axis(op, axis, logits.ndim)
    logits = movement.moveaxis(as_float(op, logits), axis, -1)
    *lead, count = logits.shape
    asked = tuple(lead) if shape is None else as_shape(op, shape)
    if broadcast(op, tuple(lead), asked) != asked:
        raise ShapeError(
            f"[{op}] the logits do not broadcast to the shape asked for",
            got=f"{tuple(lead)} to {asked}",
        )
    dtype = _computed(logits.dtype)
    full = (*asked, count)
    gumbel = elementwise.negative(
        elementwise.log(_standard_exponential(key, full, dtype))
    )
    scores = movement.expand(elementwise.cast(logits, dtype), full)
    return reduce.argmax(elementwise.add(scores, gumbel), -1)


def permutation(key: Node, n: int) -> Node:
    """Return 0, 1, ..., n - 1 in random order, all orders equally likely, as int64.

    Formula: the order that sorts random words of 64 bits. Two are equal, and the orders
    then not equally likely, with a probability below n ** 2 / 2 ** 65.
    """
    _check_one_key("permutation", key)
    (n,) = as_shape("permutation", n)
    return sort.argsort(_words64(key, (n,)))


def shuffle(key: Node, x: Node, *, axis: int = 0) -> Node:
    """Return `x` with its slices along `axis` in random order, as in `permutation`."""
    axis = normalize_axis("shuffle", axis, x.ndim)
    return index.take(x, permutation(key, x.shape[axis]), axis=axis)


# Exponential, gamma and what is made of them


def _standard_exponential(key: Node, shape: Shape, dtype: DType) -> Node:
    """Return exponentially distributed numbers, never 0, precise near 0 and far out."""
    word = _words64(key, shape) if dtype is float64 else _words(key, shape)
    width = word.dtype.bits
    upper = elementwise.bitwise_right_shift(word, width - 1)
    upper = elementwise.not_equal(upper, 0)
    folded = elementwise.select(upper, elementwise.bitwise_invert(word), word)
    # The middle of one of 2 ** width equal parts of 0..1, or that taken from 1.
    v = elementwise.multiply(
        elementwise.add(elementwise.cast(folded, dtype), 0.5), 2.0**-width
    )
    return elementwise.negative(
        elementwise.select(
            upper, elementwise.log(v), elementwise.log1p(elementwise.negative(v))
        )
    )


def exponential(
    key: Node,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return exponentially distributed random numbers, of mean `1 / rate`.

    Args:
        key: uint32, shape (4,).
        rate: positive, broadcast to `shape`.
        shape: of the result. Default: that of `rate`.
        dtype: of the result. Default: that of `rate`.

    Gradient: to `rate`.
    """
    _check_one_key("exponential", key)
    dtype = _float_dtype("exponential", dtype, rate)
    full = _shape("exponential", shape, rate)
    inner = _computed(dtype)
    result = elementwise.divide(
        _standard_exponential(key, full, inner),
        _parameter("exponential", rate, inner, full),
    )
    return elementwise.cast(result, dtype)


_GAMMA_ROUNDS = 8


def _log_gamma_parts(key: Node, concentration: Node) -> tuple[Node, Node]:
    """Return g and h such that g * exp(h) is gamma distributed with rate 1.

    Marsaglia and Tsang's rejection for shapes of at least 1: a round fails with
    probability 0.049 at most, all 8 with 4e-11. A smaller shape a is drawn as a + 1,
    times a uniform number to the power 1 / a, whose logarithm is h: it may be too small
    for its exponential.

    Args:
        concentration: float64.
    """
    keys = _keys(key, 2 * _GAMMA_ROUNDS + 1)
    shape = concentration.shape
    small = elementwise.less(concentration, 1)
    d = elementwise.subtract(
        elementwise.select(small, elementwise.add(concentration, 1), concentration),
        1 / 3,
    )
    c = elementwise.divide(1 / 3, elementwise.sqrt(d))
    v = source.full(shape, 1.0, float64)
    for i in reversed(range(_GAMMA_ROUNDS)):
        # The last rounds first, so that the first to accept has the last word.
        z = _standard_normal(keys[2 * i], shape, float64)
        t = elementwise.multiply(c, z)
        usable = elementwise.greater(t, -1)
        t = elementwise.select(usable, t, 0)
        base = elementwise.add(t, 1)
        trial = elementwise.multiply(base, elementwise.square(base))
        # log(u) < z ** 2 / 2 + d * (1 - v + log(v)), with -log(u) exponential.
        bound = elementwise.add(
            elementwise.multiply(elementwise.square(z), 0.5),
            elementwise.multiply(
                d,
                elementwise.add(
                    elementwise.subtract(1, trial),
                    elementwise.multiply(elementwise.log1p(t), 3),
                ),
            ),
        )
        e = _standard_exponential(keys[2 * i + 1], shape, float64)
        accepted = elementwise.logical_and(
            usable, elementwise.greater(elementwise.add(bound, e), 0)
        )
        v = elementwise.select(accepted, trial, v)
    e = _standard_exponential(keys[-1], shape, float64)
    boost = elementwise.negative(elementwise.divide(e, concentration))
    return elementwise.multiply(d, v), elementwise.select(small, boost, 0)


def _log_gamma(key: Node, concentration: Node) -> Node:
    g, h = _log_gamma_parts(key, concentration)
    return elementwise.add(elementwise.log(g), h)


def _concentration(op: str, x: Operand, shape: Shape) -> Node:
    return source.stop_gradient(_parameter(op, x, float64, shape))


def gamma(
    key: Node,
    concentration: Operand,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return gamma distributed random numbers, of mean `concentration / rate`.

    Args:
        key: uint32, shape (4,).
        concentration: the shape parameter, positive, broadcast to `shape`.
        rate: positive, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. Computed in float64.

    Special cases: nan where `concentration` is not positive.

    Gradient: to `rate`. None flows to `concentration`.

    Source: G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables",
    ACM Transactions on Mathematical Software 26, 2000. With a probability of 4e-11 all
    rounds of its rejection fail, and the result is `concentration - 1/3`.
    """
    _check_one_key("gamma", key)
    dtype = _float_dtype("gamma", dtype, concentration, rate)
    full = _shape("gamma", shape, concentration, rate)
    shape_parameter = _concentration("gamma", concentration, full)
    g, h = _log_gamma_parts(key, shape_parameter)
    result = elementwise.multiply(g, elementwise.exp(h))
    positive = elementwise.greater(shape_parameter, 0)
    result = elementwise.select(positive, result, math.nan)
    inner = _computed(dtype)
    result = elementwise.divide(
        elementwise.cast(result, inner), _parameter("gamma", rate, inner, full)
    )
    return elementwise.cast(result, dtype)


def beta(
    key: Node,
    alpha: Operand,
    beta: Operand,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return beta distributed random numbers, of mean `alpha / (alpha + beta)`.

    Formula: g / (g + h) with gamma numbers g and h of shapes `alpha` and `beta`.

    Args:
        key: uint32, shape (4,).
        alpha, beta: positive, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. Computed in float64.

    Gradient: none.
    """
    _check_one_key("beta", key)
    dtype = _float_dtype("beta", dtype, alpha, beta)
    full = _shape("beta", shape, alpha, beta)
    first, second = _keys(key, 2)
    difference = elementwise.subtract(
        _log_gamma(first, _concentration("beta", alpha, full)),
        _log_gamma(second, _concentration("beta", beta, full)),
    )
    return elementwise.cast(elementwise.sigmoid(difference), dtype)


def dirichlet(
    key: Node,
    concentration: Node,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return Dirichlet distributed random vectors: positive numbers whose sum is 1.

    Args:
        key: uint32, shape (4,).
        concentration: positive, shape (..., k).
        shape: of the result without its last axis. Default: that of `concentration`
            without its last axis.
        dtype: of the result. Default: that of `concentration`. Computed in float64.

    Raises:
        ShapeError: `concentration` is a scalar or has no elements on its last axis.

    Gradient: none.
    """
    _check_one_key("dirichlet", key)
    if not concentration.shape or not concentration.shape[-1]:
        raise ShapeError(
            "[dirichlet] the last axis must hold the concentrations",
            got=str(concentration.shape),
        )
    dtype = _float_dtype("dirichlet", dtype, concentration)
    *lead, count = concentration.shape
    full = (*(lead if shape is None else as_shape("dirichlet", shape)), count)
    _shape("dirichlet", full, concentration)
    logs = _log_gamma(key, _concentration("dirichlet", concentration, full))
    top = reduce.max(logs, -1, keepdims=True)
    weights = elementwise.exp(elementwise.subtract(logs, top))
    result = elementwise.divide(weights, reduce.sum(weights, -1, keepdims=True))
    return elementwise.cast(result, dtype)


_POISSON_SMALL = 10.0
_POISSON_TERMS = 38
_POISSON_ROUNDS = 15


def poisson(
    key: Node,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return Poisson distributed random counts, of mean `rate`.

    Below a rate of 10 by adding up probabilities until they exceed a uniform number,
    from there on by Hörmann's rejection. Both are computed in float64.

    Args:
        key: uint32, shape (4,).
        rate: not negative, broadcast to `shape`.
        shape: of the result. Default: that of `rate`.
        dtype: of the result. Default: int64.

    Special cases: -1 where `rate` is negative, infinite or nan.

    Gradient: none.

    Source: W. Hörmann, "The transformed rejection method for generating Poisson random
    variables", Insurance: Mathematics and Economics 12, 1993, algorithm PTRS. With a
    probability below 1e-9 all 15 rounds fail, and the result is the rate rounded down.
    """
    _check_one_key("poisson", key)
    full = _shape("poisson", shape, rate)
    mean = source.stop_gradient(_parameter("poisson", rate, float64, full))
    small_key, large_key = _keys(key, 2)
    small = elementwise.less(mean, _POISSON_SMALL)
    count = elementwise.select(
        small,
        _poisson_small(small_key, elementwise.select(small, mean, 1.0)),
        _poisson_large(large_key, elementwise.select(small, _POISSON_SMALL, mean)),
    )
    valid = elementwise.logical_and(
        elementwise.greater_equal(mean, 0), elementwise.less(mean, math.inf)
    )
    count = elementwise.select(valid, count, -1.0)
    return elementwise.cast(
        count, default_integer if dtype is None else as_dtype(dtype)
    )


def _poisson_small(key: Node, mean: Node) -> Node:
    u = _unit(key, mean.shape, float64)
    term = elementwise.exp(elementwise.negative(mean))
    total = term
    count = source.full_like(mean, 0)
    for k in range(1, _POISSON_TERMS):
        beyond = elementwise.greater_equal(u, total)
        count = elementwise.add(count, elementwise.cast(beyond, float64))
        term = elementwise.multiply(term, elementwise.divide(mean, float(k)))
        total = elementwise.add(total, term)
    return count


def _poisson_large(key: Node, mean: Node) -> Node:
    keys = _keys(key, 2 * _POISSON_ROUNDS)
    log_mean = elementwise.log(mean)
    b = elementwise.add(elementwise.multiply(elementwise.sqrt(mean), 2.53), 0.931)
    a = elementwise.subtract(elementwise.multiply(b, 0.02483), 0.059)
    scale = elementwise.add(
        elementwise.divide(1.1328, elementwise.subtract(b, 3.4)), 1.1239
    )
    count = elementwise.floor(mean)
    for i in reversed(range(_POISSON_ROUNDS)):
        # The last rounds first, so that the first to accept has the last word.
        u = elementwise.subtract(_unit(keys[2 * i], mean.shape, float64), 0.5)
        e = _standard_exponential(keys[2 * i + 1], mean.shape, float64)
        room = elementwise.maximum(
            elementwise.subtract(0.5, elementwise.abs(u)), 2.0**-54
        )
        stretch = elementwise.add(
            elementwise.divide(elementwise.multiply(a, 2), room), b
        )
        k = elementwise.floor(
            elementwise.add(
                elementwise.multiply(stretch, u), elementwise.add(mean, 0.43)
            )
        )
        possible = elementwise.greater_equal(k, 0)
        k = elementwise.select(possible, k, 0)
        hat = elementwise.log(
            elementwise.divide(
                scale,
                elementwise.add(elementwise.divide(a, elementwise.square(room)), b),
            )
        )
        log_probability = elementwise.subtract(
            elementwise.subtract(elementwise.multiply(k, log_mean), mean),
            special.lgamma(elementwise.add(k, 1)),
        )
        # log(v) + log(hat) <= log(probability), with -log(v) exponential.
        accepted = elementwise.less_equal(elementwise.subtract(hat, e), log_probability)
        count = elementwise.select(
            elementwise.logical_and(possible, accepted), k, count
        )
    return count


PRIMITIVES = (RANDOM_BITS,)

# The first parameter is the key. Where it is left out, plait.random supplies one.
RANDOM_OPS = (
    bits, uniform, normal, truncated_normal, bernoulli, randint, categorical,
    permutation, shuffle, exponential, gamma, beta, dirichlet, poisson,
)  # fmt: skip

KEY_OPS = (split, fold_in)
