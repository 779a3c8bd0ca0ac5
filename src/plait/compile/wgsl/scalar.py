"""The scalar operations of Loop IR in WGSL.

Read first: `apply`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType
from .casting import as_long, call, negated, shortest, wrapped
from .value import LONG, Range, Value, fits, is_long

_SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
_COMPARE = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<="}
_BUILTIN = {
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "round": "round",
}  # fmt: skip


def apply(name: str, operands: list[Value], dtype: DType) -> Value:
    """Return an operation of operands whose (last) dtype is `dtype`."""
    if name == "select":
        return _select(operands, dtype)
    if is_long(dtype):
        return _on_longs(name, operands, dtype)
    if dtype.name == "float64":
        return _on_doubles(name, operands)
    if name in _COMPARE:
        return _compared(name, operands, dtype)
    if dtype.kind == "bool":
        return _logical(name, operands)
    if name in _SIGNS:
        return wrapped(_infix(_SIGNS[name], *operands), dtype)
    if dtype.is_float:
        return _on_floats(name, operands)
    return _on_integers(name, operands, dtype)


def _infix(sign: str, *operands: Value, type: str = "") -> Value:
    x, y = operands
    depth = 1 + max(x.depth, y.depth)
    return Value(
        f"({x.text} {sign} {y.text})", type or x.type, None, x.uniform and y.uniform,
        False, depth,
    )  # fmt: skip


def _select(operands: list[Value], dtype: DType) -> Value:
    condition, x, y = operands
    if x.type != y.type:
        x, y = as_long(x), as_long(y)
    chosen = call("select", y, x, condition, type=x.type)
    if is_long(dtype) and x.range and y.range:
        chosen.range = (min(x.range[0], y.range[0]), max(x.range[1], y.range[1]))
    return chosen


def _compared(name: str, operands: list[Value], dtype: DType) -> Value:
    x, y = operands
    if dtype.name == "float32" and x.text == y.text and "equal" in name:
        # Compilers may know that a number equals itself.
        nan = call("is_nan", x, type="bool")
        return nan if name == "not_equal" else negated(nan)
    if dtype.kind == "bool" and name.startswith("less"):
        # false < true
        first = negated(x)
        return _infix("&&" if name == "less" else "||", first, y, type="bool")
    if name == "not_equal":
        # Some compilers take `!=` for false where there is a nan.
        return negated(_infix("==", x, y, type="bool"))
    return _infix(_COMPARE[name], x, y, type="bool")


def _logical(name: str, operands: list[Value]) -> Value:
    if name == "bitwise_invert":
        return negated(operands[0])
    if name in ("bitwise_and", "minimum"):
        return _infix("&&", *operands)
    if name in ("bitwise_or", "maximum"):
        return _infix("||", *operands)
    return _infix("!=", *operands)  # bitwise_xor


def _on_floats(name: str, operands: list[Value]) -> Value:
    x = operands[0]
    if name == "minimum":
        return call("lesser", *operands, type="f32")
    if name == "maximum":
        return call("greater", *operands, type="f32")
    if name == "fused_multiply_add":
        return call("fma", *operands, type="f32")
    if name == "negative":
        return Value(f"(-{x.text})", "f32", None, x.uniform, False, x.depth + 1)
    return call(_BUILTIN.get(name, name), x, type="f32")


def _on_integers(name: str, operands: list[Value], dtype: DType) -> Value:
    x = operands[0]
    signed = dtype.kind == "signed"
    if name == "negative":
        text = f"(0{'i' if signed else 'u'} - {x.text})"
        return wrapped(Value(text, x.type, None, x.uniform, False, x.depth + 1), dtype)
    if name == "abs":
        return wrapped(call("abs", x, type=x.type), dtype)
    if name == "bitwise_invert":
        text = f"(~{x.text})"
        return wrapped(Value(text, x.type, None, x.uniform, False, x.depth + 1), dtype)
    if name in ("minimum", "maximum"):
        return call(name[:3], *operands, type=x.type)
    if name in ("floor_divide", "remainder"):
        suffix = "i" if signed else "u"
        return wrapped(call(f"{name}_{suffix}", *operands, type=x.type), dtype)
    count = operands[1]
    if count.type == "i32":
        text = f"bitcast<u32>({count.text})"
        count = Value(text, "u32", None, count.uniform, False, count.depth + 1)
    if name == "bitwise_right_shift" and signed:
        most = call("min", count, Value("31u", "u32", None, True, True), type="u32")
        return _infix(">>", x, most)
    bits = x
    if signed:
        text = f"bitcast<u32>({x.text})"
        bits = Value(text, "u32", None, x.uniform, False, x.depth + 1)
    if name == "bitwise_left_shift":
        found = call("shift_left", bits, count, type="u32")
    else:
        found = call("shift_right", bits, count, type="u32")
    if signed:
        text = f"bitcast<i32>({found.text})"
        found = Value(text, "i32", None, found.uniform, False, found.depth + 1)
    return wrapped(found, dtype)


def _on_doubles(name: str, operands: list[Value]) -> Value:
    if name in ("equal", "less", "less_equal"):
        return call(f"f64_{name}", *operands, type="bool")
    if name == "not_equal":
        return negated(call("f64_equal", *operands, type="bool"))
    if name == "fused_multiply_add":
        x, y, z = operands
        product = call("f64_multiply", x, y, type=LONG)
        return call("f64_add", product, z, type=LONG)
    short = {"minimum": "lesser", "maximum": "greater"}.get(name, name)
    return call(f"f64_{short}", *operands, type=LONG)


# Integers of 64 bits: an i32 where the range is known to fit


def _on_longs(name: str, operands: list[Value], dtype: DType) -> Value:
    suffix = "i" if dtype.kind == "signed" else "u"
    if name in _COMPARE:
        return _compared_longs(name, operands, suffix)
    known = _range_of(name, [x.range for x in operands], dtype)
    small = fits(known) and all(x.type == "i32" for x in operands)
    if small and name in _SMALL:
        found = _SMALL[name](operands)
        found.range = known
        return found
    wide = [as_long(x) for x in operands]
    found = _wide(name, wide, suffix)
    found.range = known
    return shortest(found)


def _compared_longs(name: str, operands: list[Value], suffix: str) -> Value:
    x, y = operands
    if x.type == y.type == "i32":
        return _infix(_COMPARE[name], x, y, type="bool")
    x, y = as_long(x), as_long(y)
    if name == "less":
        return call(f"long_less_{suffix}", x, y, type="bool")
    if name == "less_equal":
        return negated(call(f"long_less_{suffix}", y, x, type="bool"))
    equal = call("long_equal", x, y, type="bool")
    return equal if name == "equal" else negated(equal)


def _wide(name: str, operands: list[Value], suffix: str) -> Value:
    x = operands[0]
    if name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        return _infix(_SIGNS[name], *operands)
    if name in ("add", "subtract", "multiply"):
        return call(f"long_{name}", *operands, type=LONG)
    if name in ("floor_divide", "remainder"):
        return call(f"long_{name}_{suffix}", *operands, type=LONG)
    if name in ("minimum", "maximum"):
        pair = operands if name == "minimum" else operands[::-1]
        less = call(f"long_less_{suffix}", *pair, type="bool")
        return call("select", operands[1], x, less, type=LONG)
    if name == "bitwise_invert":
        return Value(f"(~{x.text})", LONG, None, x.uniform, False, x.depth + 1)
    if name == "negative":
        return call("long_negative", x, type=LONG)
    if name == "abs":
        return x if suffix == "u" else call("long_magnitude", x, type=LONG)
    text = f"min(({operands[1].text}).x, 64u)"
    count = Value(text, "u32", None, operands[1].uniform, False, operands[1].depth + 1)
    if name == "bitwise_left_shift":
        return call("long_left", x, count, type=LONG)
    return call(f"long_right_{suffix}", x, count, type=LONG)


def _small_division(sign: str, name: str) -> Callable[[list[Value]], Value]:
    def divided(operands: list[Value]) -> Value:
        x, y = operands
        if x.range and x.range[0] >= 0 and y.range and y.range[0] > 0:
            return _infix(sign, x, y)
        return call(name, x, y, type="i32")

    return divided


def _small_infix(sign: str) -> Callable[[list[Value]], Value]:
    return lambda operands: _infix(sign, *operands)


_SMALL: dict[str, Callable[[list[Value]], Value]] = {
    "add": _small_infix("+"),
    "subtract": _small_infix("-"),
    "multiply": _small_infix("*"),
    "floor_divide": _small_division("/", "floor_divide_i"),
    "remainder": _small_division("%", "remainder_i"),
    "minimum": lambda operands: call("min", *operands, type="i32"),
    "maximum": lambda operands: call("max", *operands, type="i32"),
    "bitwise_and": _small_infix("&"),
}


def _range_of(name: str, ranges: list[Range | None], dtype: DType) -> Range | None:
    """Return what an operation on integers of 64 bits lies in, as far as is known."""
    limit = (
        (-(1 << 63), (1 << 63) - 1) if dtype.kind == "signed" else (0, (1 << 64) - 1)
    )
    x = ranges[0] or limit
    y = (ranges[1] if len(ranges) > 1 else None) or limit
    found: Range | None = None
    if name == "add":
        found = (x[0] + y[0], x[1] + y[1])
    elif name == "subtract":
        found = (x[0] - y[1], x[1] - y[0])
    elif name == "multiply":
        ends = [a * b for a in x for b in y]
        found = (min(ends), max(ends))
    elif name == "negative":
        found = (-x[1], -x[0])
    elif name == "minimum":
        found = (min(x[0], y[0]), min(x[1], y[1]))
    elif name == "maximum":
        found = (max(x[0], y[0]), max(x[1], y[1]))
    elif name == "floor_divide" and y[0] > 0:
        ends = [a // b for a in x for b in y]
        found = (min(ends), max(ends))
    elif name == "remainder" and y[0] > 0:
        found = (0, min(y[1] - 1, x[1]) if x[0] >= 0 else y[1] - 1)
    elif name == "bitwise_and" and (x[0] >= 0 or y[0] >= 0):
        found = (0, min(one[1] for one in (x, y) if one[0] >= 0))
    elif name == "bitwise_right_shift" and x[0] >= 0:
        found = (0, x[1] >> max(y[0], 0))
    if found is None or found[0] < limit[0] or found[1] > limit[1]:
        return None
    return found
