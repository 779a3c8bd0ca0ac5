"""What expressions become: values of LLVM, and linear forms of indices.

Read first: `Value`, `Linear`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...dtypes import DType

Range = tuple[int, int]


class Value:
    """A number, or one in each lane, that LLVM's text has a name for.

    Attributes:
        text: a constant, or the name of what an instruction gave.
        type: the type of one lane, as LLVM spells it.
        lanes: how many there are; 0 for a number that all lanes share.
        depth: the scope in which it was made; it is known in that and those inside.
        range: the least and the greatest that it can be, where that is known.
        each: the number in each lane, where these are known.
    """

    __slots__ = ("depth", "each", "lanes", "range", "text", "type")

    def __init__(
        self,
        text: str,
        type: str,
        lanes: int = 0,
        depth: int = 0,
        range: Range | None = None,
        each: Sequence[int] | None = None,
    ) -> None:
        self.each = each
        self.text = text
        self.type = type
        self.lanes = lanes
        self.depth = depth
        self.range = range

    @property
    def constant(self) -> bool:
        """Whether it is known now."""
        return self.text[0] != "%"


class Linear:
    """An int64 as `constant + lane * (number of the lane) + sum of coefficient * term`.

    Addresses are made of these, so that what is constant, what changes from lane to
    lane, and what changes in which loop stay apart.

    Attributes:
        terms: by its text, each term and its coefficient.
    """

    __slots__ = ("constant", "lane", "terms")

    def __init__(
        self, constant: int, terms: dict[str, tuple[Value, int]], lane: int = 0
    ) -> None:
        self.constant = constant
        self.terms = terms
        self.lane = lane

    @property
    def known(self) -> bool:
        """Whether it is a constant."""
        return not self.terms and not self.lane

    def plus(self, other: Linear, times: int = 1) -> Linear:
        """Return this one and `times` the other, added."""
        if times == 0:
            return self
        constant = self.constant + other.constant * times
        lane = self.lane + other.lane * times
        if not other.terms:
            return Linear(constant, self.terms, lane)
        terms = dict(self.terms)
        for text, (value, coefficient) in other.terms.items():
            before = terms.get(text)
            total = coefficient * times + (before[1] if before else 0)
            if total:
                terms[text] = (value, total)
            elif before:
                del terms[text]
        return Linear(constant, terms, lane)

    def times(self, factor: int) -> Linear:
        """Return it multiplied by a constant."""
        if factor == 1:
            return self
        return Linear(0, {}).plus(self, factor)

    def range(self, last: int) -> Range | None:
        """Return the least and greatest it can be, in lanes from 0 to `last`."""
        low = high = self.constant
        for value, coefficient in self.terms.values():
            if value.range is None:
                return None
            ends = value.range[0] * coefficient, value.range[1] * coefficient
            low += min(ends)
            high += max(ends)
        end = self.lane * last
        return low + min(end, 0), high + max(end, 0)


# The type of a number in a register, and in memory, as LLVM spells it.
_REGISTER = {"bool": "i1", "float32": "float", "float64": "double"}
_SHORT = {"float": "f32", "double": "f64"}


def register_type(dtype: DType) -> str:
    """Return the type of a number in a register; 16-bit floats are their bits."""
    return _REGISTER.get(dtype.name) or f"i{dtype.bits}"


def memory_type(dtype: DType) -> str:
    """Return the type of a number in memory."""
    return "i8" if dtype.kind == "bool" else register_type(dtype)


def spell(type: str, lanes: int) -> str:
    """Return the type of so many lanes."""
    return f"<{lanes} x {type}>" if lanes else type


def suffix(type: str, lanes: int) -> str:
    """Return how a type is written in the names of intrinsics."""
    short = _SHORT.get(type, type)
    return f"v{lanes}{short}" if lanes else short


def float_text(value: float, type: str) -> str:
    """Return a floating-point constant: the bits of the float64 that equals it."""
    with np.errstate(over="ignore"):
        wide = float(np.float32(value)) if type == "float" else float(value)
    return f"0x{struct.pack('>d', wide).hex().upper()}"


def constant(value: Any, dtype: DType) -> Value:
    """Return a number of `dtype`."""
    type = register_type(dtype)
    if type == "i1":
        return Value("true" if value else "false", type)
    if dtype.is_float:
        if type in _SHORT:
            return Value(float_text(value, type), type)
        with np.errstate(over="ignore"):
            value = int(np.asarray(value).astype(dtype.numpy).view(np.int16))
    return integer(int(value), type)


def integer(value: int, type: str) -> Value:
    """Return an integer, wrapped around to the width of `type`."""
    if type == "i1":
        return Value("true" if value & 1 else "false", type)
    bits = int(type[1:])
    half = 1 << (bits - 1)
    wrapped = (value + half) % (2 * half) - half
    return Value(str(wrapped), type, 0, 0, (wrapped, wrapped))


def lane_numbers(type: str, lanes: int, step: int, first: int = 0) -> Value:
    """Return `first + step * lane` in every lane."""
    numbers = (integer(first + step * lane, type).text for lane in range(lanes))
    return Value(f"<{', '.join(f'{type} {text}' for text in numbers)}>", type, lanes)


def in_lanes(numbers: Sequence[int], type: str) -> Value:
    """Return a known number in each lane."""
    text = ", ".join(f"{type} {integer(number, type).text}" for number in numbers)
    ends = min(numbers), max(numbers)
    return Value(f"<{text}>", type, len(numbers), 0, ends, tuple(numbers))


def first_lanes(count: int, lanes: int) -> Value:
    """Return a mask that is true in the first `count` lanes."""
    bits = ("true" if lane < count else "false" for lane in range(lanes))
    return Value(f"<{', '.join(f'i1 {bit}' for bit in bits)}>", "i1", lanes)
