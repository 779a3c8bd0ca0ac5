"""The scalar operations of Loop IR in LLVM's instructions.

Every function here works on a number or on all lanes at once. None of them gives code
that calls a library, traps, or has no meaning for some operands.

Read first: `apply`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType
from .casting import upper_half
from .value import Value, float_text, integer, spell
from .write import Writer

# By operation: the instruction for floats, and for integers.
_PLAIN = {
    "add": ("fadd", "add"),
    "subtract": ("fsub", "sub"),
    "multiply": ("fmul", "mul"),
    "divide": ("fdiv", ""),
    "bitwise_and": ("", "and"),
    "bitwise_or": ("", "or"),
    "bitwise_xor": ("", "xor"),
}
# By operation: the comparison for floats, signed and unsigned integers.
_COMPARE = {
    "equal": ("fcmp oeq", "icmp eq", "icmp eq"),
    "not_equal": ("fcmp une", "icmp ne", "icmp ne"),
    "less": ("fcmp olt", "icmp slt", "icmp ult"),
    "less_equal": ("fcmp ole", "icmp sle", "icmp ule"),
}
_CALLS = {
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "round": "roundeven",
}


def apply(writer: Writer, name: str, operands: list[Value], dtype: DType) -> Value:
    """Return an operation of operands whose (last) dtype is `dtype`."""
    if name in _PLAIN:
        code = _PLAIN[name][not dtype.is_float]
        x, y = operands
        if x.type == "i1":
            return _logical(writer, code, x, y)
        return writer.binary(code, x, y)
    if name in _COMPARE:
        kind = 0 if dtype.is_float else 1 if dtype.kind == "signed" else 2
        return writer.compare(_COMPARE[name][kind], *operands)
    if name in _CALLS:
        return writer.call(_CALLS[name], *operands)
    return _OTHERS[name](writer, dtype, *operands)


def _logical(writer: Writer, code: str, x: Value, y: Value) -> Value:
    if y.constant and not y.lanes:
        x, y = y, x
    if x.text == "true" and code != "xor":
        return y if code == "and" else x
    if x.text == "false":
        return x if code == "and" else y
    return writer.binary(code, x, y)


def both(writer: Writer, x: Value | None, y: Value | None) -> Value | None:
    """Return where two masks are true; None is true everywhere."""
    if x is None or y is None:
        return x or y
    return _logical(writer, "and", x, y)


def _negative(writer: Writer, dtype: DType, x: Value) -> Value:
    if dtype.is_float:
        text = f"fneg {spell(x.type, x.lanes)} {x.text}"
        return writer.pure(text, x.type, x.lanes, x)
    return writer.binary("sub", integer(0, x.type), x)


def _abs(writer: Writer, dtype: DType, x: Value) -> Value:
    if dtype.is_float:
        return writer.call("fabs", x)
    if dtype.kind == "unsigned":
        return x
    return writer.call("abs", x, also=", i1 false")


def _fused(writer: Writer, dtype: DType, x: Value, y: Value, z: Value) -> Value:
    if writer.target.fma:
        return writer.call("fma", x, y, z)
    if writer.target.relaxed:
        return writer.call("fmuladd", x, y, z)
    return writer.binary("fadd", writer.binary("fmul", x, y), z)


def _extreme(name: str, compare: str) -> Callable[[Writer, DType, Value, Value], Value]:
    def extreme(writer: Writer, dtype: DType, x: Value, y: Value) -> Value:
        if x.type == "i1":
            return _logical(writer, "and" if name == "min" else "or", x, y)
        if not dtype.is_float:
            return writer.call(("s" if dtype.kind == "signed" else "u") + name, x, y)
        if writer.target.nan_minimum:
            return writer.call(f"{name}imum", x, y)
        # An x86 minimum gives its second operand if either is nan. So a constant, which
        # is no nan (if it is, so is the comparison), goes first and all is done;
        # otherwise a nan in the first must be put back. That is the second one here:
        # the first is mostly a register that waits for the result before.
        if not x.constant:
            x, y = y, x
        lanes = max(x.lanes, y.lanes)
        if writer.target.relaxed and lanes * dtype.bits == writer.target.vector_bits:
            # The one instruction that gives the second operand for a nan, always.
            chosen = writer.call(f"wasm.p{name}", y, x)
        else:
            chosen = writer.select(writer.compare(f"fcmp {compare}", x, y), x, y)
        if x.constant and "7FF8" not in x.text:
            return chosen
        return writer.select(writer.compare("fcmp uno", x, x), x, chosen)

    return extreme


# Integers


def _invert(writer: Writer, dtype: DType, x: Value) -> Value:
    return writer.binary("xor", x, integer(-1, x.type))


def _shift(left: bool) -> Callable[[Writer, DType, Value, Value], Value]:
    def shift(writer: Writer, dtype: DType, x: Value, y: Value) -> Value:
        bits = dtype.bits
        signed = dtype.kind == "signed" and not left
        code = "shl" if left else "ashr" if signed else "lshr"
        if y.constant and not y.lanes:
            count = int(y.text) % (1 << bits)
            if count < bits:
                return writer.binary(code, x, y)
            if not signed:
                return integer(0, x.type)
            return writer.binary(code, x, integer(bits - 1, x.type))
        if signed:
            return writer.binary(
                code, x, writer.call("umin", y, integer(bits - 1, x.type))
            )
        fits = writer.compare("icmp ult", y, integer(bits, x.type))
        return writer.select(fits, writer.binary(code, x, y), integer(0, x.type))

    return shift


def quotient(writer: Writer, signed: bool, x: Value, y: Value) -> Value:
    """Return x / y towards zero, for y that is neither 0 nor (signed) -1."""
    x, y = writer.together(x, y)
    bits = int(x.type[1:])
    if x.lanes and bits <= 32 and not y.constant:
        # There is no division of vectors of integers. A ratio that is not whole is
        # away from whole numbers by more than what floats of more bits round off.
        wide = "double" if bits > 16 else "float"
        to, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
        ratio = writer.binary(
            "fdiv", writer.convert(to, x, wide), writer.convert(to, y, wide)
        )
        return writer.convert(back, ratio, x.type)
    return writer.binary("sdiv" if signed else "udiv", x, y)


def _divided(writer: Writer, dtype: DType, x: Value, y: Value) -> tuple[Value, Value]:
    """Return quotient and remainder of a division that rounds down."""
    signed = dtype.kind == "signed"
    zero = integer(0, x.type)
    divisor = None
    if y.constant and not y.lanes:
        divisor = int(y.text) if signed else int(y.text) % (1 << dtype.bits)
    if divisor == 0:
        return zero, zero
    if divisor == -1:
        return _negative(writer, dtype, x), zero
    if divisor and divisor > 0 and divisor & (divisor - 1) == 0:
        count = integer(divisor.bit_length() - 1, x.type)
        return (
            writer.binary("ashr" if signed else "lshr", x, count),
            writer.binary("and", x, integer(divisor - 1, x.type)),
        )
    if divisor is None:
        # Division by 0, and of the least number by -1, would trap.
        nothing = writer.compare("icmp eq", y, zero)
        turned = writer.compare("icmp eq", y, integer(-1, y.type))
        bad = _logical(writer, "or", nothing, turned) if signed else nothing
        safe = writer.select(bad, integer(1, y.type), y)
    else:
        safe = y
    whole = quotient(writer, signed, x, safe)
    rest = writer.binary("sub", x, writer.binary("mul", whole, safe))
    if signed:
        below = writer.compare("icmp slt", writer.binary("xor", rest, safe), zero)
        down = _logical(writer, "and", below, writer.compare("icmp ne", rest, zero))
        whole = writer.select(
            down, writer.binary("sub", whole, integer(1, x.type)), whole
        )
        rest = writer.select(down, writer.binary("add", rest, safe), rest)
    if divisor is None:
        whole = writer.select(nothing, zero, whole)
        if signed:
            whole = writer.select(turned, _negative(writer, dtype, x), whole)
        else:
            rest = writer.select(nothing, zero, rest)
    return whole, rest


def _floor_divide(writer: Writer, dtype: DType, x: Value, y: Value) -> Value:
    return _divided(writer, dtype, x, y)[0]


def _remainder(writer: Writer, dtype: DType, x: Value, y: Value) -> Value:
    return _divided(writer, dtype, x, y)[1]


def _select(writer: Writer, dtype: DType, c: Value, x: Value, y: Value) -> Value:
    return writer.select(c, x, y)


def _dot_pairs(writer: Writer, dtype: DType, total: Value, x: Value, y: Value) -> Value:
    total, x, y = writer.together(total, x, y)
    lanes = total.lanes
    if writer.target.bf16_dot and lanes in (4, 8, 16):
        t, pairs = f"<{lanes} x float>", f"<{2 * lanes} x bfloat>"
        a, b = (
            writer.pure(
                f"bitcast <{lanes} x i32> {v.text} to {pairs}", "bfloat", 2 * lanes, v
            )
            for v in (x, y)
        )
        text = (
            f"call {t} @llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}({t} {total.text}, "
            f"{pairs} {a.text}, {pairs} {b.text})"
        )
        return writer.pure(text, "float", lanes, total, a, b)

    def low(v: Value) -> Value:
        return upper_half(writer, writer.binary("shl", v, integer(16, "i32")))

    total = _fused(writer, dtype, upper_half(writer, x), upper_half(writer, y), total)
    return _fused(writer, dtype, low(x), low(y), total)


_OTHERS: dict[str, Callable[..., Value]] = {
    "fused_multiply_add": _fused,
    "negative": _negative,
    "abs": _abs,
    "minimum": _extreme("min", "olt"),
    "maximum": _extreme("max", "ogt"),
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "bitwise_invert": _invert,
    "bitwise_left_shift": _shift(left=True),
    "bitwise_right_shift": _shift(left=False),
    "select": _select,
    "dot_pairs": _dot_pairs,
}


def zero(type: str) -> Value:
    """Return zero."""
    if type in ("float", "double"):
        return Value(float_text(0.0, type), type)
    return integer(0, type)
