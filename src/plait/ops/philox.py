"""Random words as a function of a key, and keys made of keys.

One primitive, RANDOM_BITS, makes random words; all distributions are arithmetic on
them. A key holds four words of 32 bits: two of seed and two of stream. The functions
here know of no global generator: who calls them hands them a key and uses it only once.

Read first: `RANDOM_BITS`, `key_of`, `split`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from ..dtypes import (
    DType,
    uint32,
    uint64,
)
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, as_shape, size_of
from . import elementwise, movement, source
from .operand import Operand, as_node, common_dtype

# Philox 4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
# numbers: as easy as 1, 2, 3", SC 2011. The key of a round grows by the second pair.
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
_FACTORS = np.array(MULTIPLIERS, np.uint64)[:, None]
_GROWN = np.outer(np.arange(ROUNDS, dtype=np.uint64), np.array(INCREMENTS, np.uint64))
_GROWN = _GROWN[:, :, None]
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
        exchanged = product[::-1]
        for round_key in (words[:2] + _GROWN) & _LOW:
            np.multiply(even, _FACTORS, out=product)
            np.right_shift(exchanged, _32, out=even)
            even ^= odd
            even ^= round_key
            np.bitwise_and(exchanged, _LOW, out=odd)
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
    check_one_key("fold_in", key)
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


def later_stream(key: Node, streams: int) -> Node:
    """Return the key of the stream that comes `streams` after that of `key`.

    Formula: `later_stream(key_of(seed, s), n)` is `key_of(seed, s + n)`, as long as
    that is below 2**64.

    Args:
        key: uint32, shape (4,), made by `key_of`.
        streams: 0 to 2**32 - 1.
    """
    check_one_key("later_stream", key)
    first, second, low, high = movement.unstack(key)
    moved = elementwise.add(low, streams)
    carry = elementwise.cast(elementwise.less(moved, low), uint32)
    return movement.stack([first, second, moved, elementwise.add(high, carry)])


def check_one_key(op: str, key: Node) -> None:
    """Raise unless `key` is one key.

    Raises:
        DTypeError, ShapeError: it is not.
    """
    _check_key(op, key.dtype, key.shape)
    if key.shape != (4,):
        raise ShapeError(
            f"[{op}] one key is needed",
            got=str(key.shape),
            expected="(4,)",
            fix="use plait.vmap to give each key its own numbers",
        )


def keys_of(key: Node, num: int) -> list[Node]:
    """Return `num` new keys, as `split` makes them."""
    return list(movement.unstack(split(key, num)))


def words(key: Node, shape: Shape) -> Node:
    """Return random words; what `bits` returns, for a shape that is checked."""
    return apply(RANDOM_BITS, key, shape=shape, start=0)


def words64(key: Node, shape: Shape) -> Node:
    """Return random uint64: number i has words 2i (low half) and 2i + 1 (high half)."""
    # In one line, which the compiler makes many at a time of.
    line = words(key, (2 * size_of(shape),))
    low, high = movement.unstack(movement.reshape(line, (*shape, 2)), axis=-1)
    upper = elementwise.bitwise_left_shift(elementwise.cast(high, uint64), 32)
    return elementwise.bitwise_or(upper, elementwise.cast(low, uint64))


PRIMITIVES = (RANDOM_BITS,)

KEY_OPS = (split, fold_in, later_stream)
