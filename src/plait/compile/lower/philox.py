"""Random words in Loop IR: the counter-based generator of `ops.philox`.

Read first: `random_word`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...dtypes import bool_, uint32, uint64
from ...ops.philox import INCREMENTS, MULTIPLIERS, ROUNDS
from ..loops.grammar import Constant, Expression, Operation

Bind = Callable[[Expression], Expression]


def _wide(value: int) -> Constant:
    return Constant(value, uint64)


def random_word(
    words: Sequence[Expression], place: Expression, start: int, bind: Bind
) -> Expression:
    """Return word `place` of the random words of a key.

    Args:
        words: the key's four words, uint32.
        place: int64, the place in the flattened result.
        start: the number of the first block.
    """

    def op(name: str, x: Expression, y: Expression) -> Expression:
        return Operation(name, (x, y), uint64)

    low = _wide(0xFFFFFFFF)
    half = _wide(32)
    block = bind(op("add", Operation("cast", (place // 4,), uint64), _wide(start)))
    keys = [bind(Operation("cast", (word,), uint64)) for word in words]
    even = [bind(op("bitwise_and", block, low)), keys[2]]
    odd = [bind(op("bitwise_right_shift", block, half)), keys[3]]
    for turn in range(ROUNDS):
        products = [
            bind(op("multiply", even[i], _wide(MULTIPLIERS[i]))) for i in range(2)
        ]
        swapped = products[::-1]
        fresh = []
        for i in range(2):
            grown = op("add", keys[i], _wide(turn * INCREMENTS[i]))
            key = bind(op("bitwise_and", grown, low))
            high = op("bitwise_right_shift", swapped[i], half)
            mixed = op("bitwise_xor", op("bitwise_xor", high, odd[i]), key)
            fresh.append(bind(mixed))
        odd = [bind(op("bitwise_and", one, low)) for one in swapped]
        even = fresh
    lane = bind(place % 4)
    result = odd[1]
    for i, word in ((2, even[1]), (1, odd[0]), (0, even[0])):
        test = Operation("equal", (lane, Constant(i, lane.dtype)), bool_)
        result = bind(Operation("select", (test, word, result), uint64))
    return bind(Operation("cast", (result,), uint32))
