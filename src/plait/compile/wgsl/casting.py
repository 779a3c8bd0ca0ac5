"""Conversions between all dtypes, in WGSL.

Floats that no integer of the wanted width equals become some number.

Read first: `cast`.
"""

from __future__ import annotations

from ...dtypes import DType
from .value import LONG, Value, fits, is_long, literal, type_of


def call(name: str, *operands: Value, type: str) -> Value:
    """Return what a function of the library gives."""
    inside = ", ".join(x.text for x in operands)
    depth = 1 + max(x.depth for x in operands)
    uniform = all(x.uniform for x in operands)
    return Value(f"{name}({inside})", type, None, uniform, False, depth)


def as_long(x: Value) -> Value:
    """Return an integer of 64 bits as two words."""
    if x.type == LONG:
        return x
    wide = call("long_of", x, type=LONG)
    wide.range = x.range
    return wide


def as_small(x: Value) -> Value:
    """Return an integer of 64 bits that fits, or wraps around, as an i32."""
    if x.type == "i32":
        return x
    small = Value(
        f"bitcast<i32>({x.text}.x)", "i32", x.range, x.uniform, False, x.depth
    )
    if not x.named:
        small.text = f"bitcast<i32>(({x.text}).x)"
    return small


def shortest(x: Value) -> Value:
    """Return an integer of 64 bits as an i32 where it is known to fit."""
    return as_small(x) if fits(x.range) else x


def cast(x: Value, old: DType, new: DType) -> Value:
    """Return `x` of dtype `old` as the nearest number of dtype `new`."""
    if old is new:
        return x
    if new.kind == "bool":
        return _truth(x, old)
    if old.name == "bfloat16":
        x = Value(f"({x.text} << 16u)", "u32", None, x.uniform, False, x.depth + 1)
        return _from_float(call("as_float", x, type="f32"), new)
    if old.name in ("float32", "float16"):
        return _from_float(x, new)
    if old.name == "float64":
        return _from_double(x, new)
    if old.kind == "bool":
        one, zero = literal(1, new), literal(0, new)
        text = f"select({zero.text}, {one.text}, {x.text})"
        if is_long(new):
            return Value(text, "i32", (0, 1), x.uniform, False, x.depth + 1)
        return Value(text, type_of(new), None, x.uniform, False, x.depth + 1)
    if new.is_float:
        return _to_float(x, old, new)
    return _integer(x, old, new)


def _truth(x: Value, old: DType) -> Value:
    if old.bits == 64 and old.is_float:
        return negated(call("f64_is_zero", x, type="bool"))
    if old.name == "bfloat16":
        text = f"(({x.text} & 0x7fffu) != 0u)"
    elif old.is_float:
        text = f"((bitcast<u32>({x.text}) & 0x7fffffffu) != 0u)"
    elif x.type == LONG:
        text = f"any({x.text} != vec2<u32>(0u, 0u))"
    else:
        text = f"({x.text} != 0{'u' if x.type == 'u32' else 'i'})"
    return Value(text, "bool", None, x.uniform, False, x.depth + 1)


def negated(x: Value) -> Value:
    """Return whether `x` is false."""
    return Value(f"(!{x.text})", "bool", None, x.uniform, False, x.depth + 1)


def _from_float(x: Value, new: DType) -> Value:
    if new.name == "float32":
        return x
    if new.name == "float64":
        return call("f64_of_float", x, type=LONG)
    if new.name == "float16":
        return call("round_half", x, type="f32")
    if new.name == "bfloat16":
        return call("narrow_bfloat", x, type="u32")
    if new.bits == 64:
        return call("long_of_float", x, type=LONG)
    if new.name == "uint32":
        return call("to_word", x, type="u32")
    return wrapped(_retyped(call("to_int", x, type="i32"), new), new)


def _from_double(x: Value, new: DType) -> Value:
    if new.is_float and new.bits == 16:
        return _from_float(call("f64_to_short", x, type="f32"), new)
    if new.is_float:
        return call("f64_to_float", x, type="f32")
    if new.name == "uint64":
        return call("f64_to_long_u", x, type=LONG)
    whole = call("f64_to_long", x, type=LONG)
    return whole if new.bits == 64 else _integer(whole, None, new)


def _to_float(x: Value, old: DType, new: DType) -> Value:
    sign = "i" if old.kind == "signed" or (x.type == "i32") else "u"
    if new.name == "float64":
        if x.type == "u32":
            words = f"vec2<u32>({x.text}, 0u)"
            x = Value(words, LONG, None, x.uniform, False, x.depth + 1)
        return call(f"f64_of_long_{sign}", as_long(x), type=LONG)
    if x.type == LONG:
        number = call(f"float_of_long_{sign}", x, type="f32")
    else:
        number = call("f32", x, type="f32")
    return _from_float(number, new)


def _integer(x: Value, old: DType | None, new: DType) -> Value:
    if is_long(new):
        if x.type == LONG:
            # The other sign: what was known of the number holds where it fits both.
            keep = x.range is not None and 0 <= x.range[0] <= x.range[1] < 1 << 63
            kept = x.range if keep else None
            return Value(x.text, LONG, kept, x.uniform, x.named, x.depth)
        if x.type == "u32":
            if old is not None and old.bits < 32:
                top = (0, (1 << old.bits) - 1)
                return Value(
                    f"i32({x.text})", "i32", top, x.uniform, False, x.depth + 1
                )
            words = f"vec2<u32>({x.text}, 0u)"
            return Value(words, LONG, (0, (1 << 32) - 1), x.uniform, False, x.depth + 1)
        low, high = x.range or (-(1 << 31), (1 << 31) - 1)
        if new.kind == "unsigned" and low < 0:
            wide = as_long(x)
            wide.range = None
            return wide
        return Value(x.text, "i32", (low, high), x.uniform, x.named, x.depth)
    return wrapped(_retyped(as_small(x) if x.type == LONG else x, new), new)


def _retyped(x: Value, new: DType) -> Value:
    """Return an i32 or u32 as the one that `new` lies in."""
    type = type_of(new)
    if x.type == type:
        return Value(x.text, type, None, x.uniform, x.named, x.depth)
    return Value(
        f"bitcast<{type}>({x.text})", type, None, x.uniform, False, x.depth + 1
    )


def wrapped(x: Value, dtype: DType) -> Value:
    """Return an integer of up to 32 bits wrapped around to those of its dtype."""
    if dtype.bits >= 32:
        return x
    if dtype.kind == "unsigned":
        text = f"({x.text} & {(1 << dtype.bits) - 1}u)"
    else:
        gap = 32 - dtype.bits
        text = f"(({x.text} << {gap}u) >> {gap}u)"
    return Value(text, x.type, None, x.uniform, False, x.depth + 1)


def bitcast(x: Value, old: DType, new: DType) -> Value:
    """Return the bits of `x` as a number of another dtype of the same width."""
    if new.bits == 64:
        wide = x if old.is_float else as_long(x)
        return Value(wide.text, LONG, None, x.uniform, wide.named, wide.depth)
    if old.kind == "bool" or new.kind == "bool":
        return cast(x, old, new)
    if old.name == "float16":
        x = call("narrow_half", x, type="u32")
    if new.name == "float16":
        if x.type != "u32":
            x = call("bitcast<u32>", x, type="u32")
        return call("widen_half", x, type="f32")
    type = type_of(new)
    if x.type != type:
        x = Value(
            f"bitcast<{type}>({x.text})", type, None, x.uniform, False, x.depth + 1
        )
    if new.bits == 16 and old.kind == "signed" and new.kind != "signed":
        return Value(f"({x.text} & 0xffffu)", type, None, x.uniform, False, x.depth + 1)
    if new.bits < 32 and new.kind == "signed" and old.kind != "signed":
        return wrapped(x, new)
    if new.bits < 32 and new.kind == "unsigned" and old.kind == "signed":
        return wrapped(x, new)
    return x
