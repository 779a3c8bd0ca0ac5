"""Values in WGSL: how each dtype is represented, and what is known of numbers.

    bool                bool
    int8, int16, int32  i32, the sign extended
    uint8, uint16       u32, the upper bits 0; so is bfloat16, its bits
    uint32              u32
    float32             f32
    float16             f32, rounded
    int64, uint64       i32 where the range is known to fit, as for most indices;
                        else vec2<u32>, the lower word first
    float64             vec2<u32>, its bits

Read first: `Value`, `literal`.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ...dtypes import DType

Range = tuple[int, int]
_SMALL: Range = (-(1 << 31), (1 << 31) - 1)
LONG = "vec2<u32>"


class Value:
    """An expression in WGSL.

    Attributes:
        text: it.
        type: in WGSL.
        range: what an integer of 64 bits lies in; None: anywhere.
        uniform: the same in all invocations, which WGSL's analysis can tell.
        named: a name or a constant, which may be used again at no cost.
        depth: of nesting of the text.
    """

    __slots__ = ("depth", "named", "range", "text", "type", "uniform")

    def __init__(
        self,
        text: str,
        type: str,
        range: Range | None = None,
        uniform: bool = False,
        named: bool = False,
        depth: int = 0,
    ) -> None:
        self.text = text
        self.type = type
        self.range = range
        self.uniform = uniform
        self.named = named
        self.depth = depth


def is_long(dtype: DType) -> bool:
    """Return whether a dtype is an integer of 64 bits."""
    return dtype.bits == 64 and dtype.is_integer


def fits(range: Range | None) -> bool:
    """Return whether all numbers of a range are an i32."""
    return range is not None and _SMALL[0] <= range[0] <= range[1] <= _SMALL[1]


def type_of(dtype: DType) -> str:
    """Return the type in which a number lies where nothing is known of it."""
    if dtype.kind == "bool":
        return "bool"
    if dtype.bits == 64:
        return LONG
    if dtype.name in ("float32", "float16"):
        return "f32"
    return "i32" if dtype.kind == "signed" else "u32"


def literal(value: Any, dtype: DType) -> Value:
    """Return a constant."""
    if dtype.kind == "bool":
        return Value("true" if value else "false", "bool", None, True, True)
    if dtype.is_float:
        return _float(float(value), dtype)
    number = int(value)
    if dtype.bits == 64:
        if fits((number, number)):
            return Value(_integer(number), "i32", (number, number), True, True)
        return _long(number % (1 << 64), (number, number))
    if dtype.kind == "unsigned":
        return Value(f"{number % (1 << dtype.bits)}u", "u32", None, True, True)
    return Value(_integer(number), "i32", None, True, True)


def _integer(number: int) -> str:
    # The least one has no literal: it would be the negative of what does not fit.
    if number == _SMALL[0]:
        return "(-2147483647i - 1i)"
    return f"{number}i" if number >= 0 else f"({number}i)"


def _long(bits: int, range: Range | None) -> Value:
    text = f"vec2<u32>({bits & 0xFFFFFFFF}u, {bits >> 32}u)"
    return Value(text, LONG, range, True, True)


def _float(value: float, dtype: DType) -> Value:
    if dtype.bits == 64:
        (double,) = struct.unpack("<Q", struct.pack("<d", value))
        return _long(double, None)
    if dtype.name == "bfloat16":
        bits = int.from_bytes(dtype.numpy.type(value).tobytes(), "little")
        return Value(f"{bits}u", "u32", None, True, True)
    number = np.float32(dtype.numpy.type(value))
    rounded = float(number)
    if not math.isfinite(rounded) or 0 < abs(rounded) < 2.0**-126:
        # A constant must be finite, and normal ones alone are sure to be kept. What a
        # function gives is no constant.
        bits = struct.unpack("<I", struct.pack("<f", rounded))[0]
        return Value(f"as_float({bits}u)", "f32", None, True, True)
    text = f"{number!s}f"
    return Value(text if rounded >= 0 else f"({text})", "f32", None, True, True)


def named(text: str, of: Value) -> Value:
    """Return a name that was bound to a value."""
    return Value(text, of.type, of.range, of.uniform, True)
