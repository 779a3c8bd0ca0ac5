"""Squares of numbers in vector registers, with rows and columns exchanged.

Read first: `transposed`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

from .value import Value
from .write import Writer

_T = TypeVar("_T")
_GROUP = 128  # bits that the cheap shuffles of x86 stay within
_BITS = {"double": 64, "float": 32, "half": 16, "bfloat": 16}


def transposed(writer: Writer, rows: Sequence[Value]) -> list[Value]:
    """Return the columns of as many vectors as they have lanes."""
    lanes = len(rows)
    if lanes == 1:
        return list(rows)
    type = rows[0].type
    bits = _BITS[type] if type in _BITS else int(type[1:])
    places = _order(lanes, bits)
    columns = _network(list(rows), lanes, bits, writer.shuffle)
    return [columns[place] for place in places]


def _network(
    rows: list[_T],
    lanes: int,
    bits: int,
    shuffle: Callable[[_T, _T, list[int]], _T],
) -> list[_T]:
    """Return the columns in some order, by shuffles of two vectors each.

    First within groups of lanes, then of whole groups: both are one instruction.
    """
    group = min(lanes, max(2, _GROUP // bits))
    apart = 1
    while apart < lanes:
        after = list(rows)
        low: list[int] = []
        high: list[int] = []
        if apart < group:
            for first in range(0, lanes, group):
                for unit in range(0, group // 2, apart):
                    for chosen, start in ((low, first), (high, first + group // 2)):
                        own = list(range(start + unit, start + unit + apart))
                        chosen += own + [lanes + lane for lane in own]
        else:
            for chosen, odd in ((low, 0), (high, 1)):
                own = [lane for lane in range(lanes) if lane // group % 2 == odd]
                chosen += own + [lanes + lane for lane in own]
        for i in range(lanes):
            if not i & apart:
                x, y = rows[i], rows[i + apart]
                after[i] = shuffle(x, y, low)
                after[i + apart] = shuffle(x, y, high)
        rows = after
        apart *= 2
    return rows


@functools.cache
def _order(lanes: int, bits: int) -> list[int]:
    """Return where `_network` leaves each column."""

    def shuffle(
        x: list[tuple[int, int]], y: list[tuple[int, int]], chosen: list[int]
    ) -> list[tuple[int, int]]:
        both = x + y
        return [both[lane] for lane in chosen]

    square = [[(row, lane) for lane in range(lanes)] for row in range(lanes)]
    found = _network(square, lanes, bits, shuffle)
    where = {column[0][1]: place for place, column in enumerate(found)}
    assert all(
        column == [(row, column[0][1]) for row in range(lanes)] for column in found
    )
    return [where[lane] for lane in range(lanes)]
