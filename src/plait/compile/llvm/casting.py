"""Conversions between all dtypes, in LLVM's instructions.

16-bit floats are their bits, an i16. Floats that no integer of the wanted width equals
become some number, as in NumPy: mostly the same one.

Read first: `cast`.
"""

from __future__ import annotations

from ...dtypes import DType, bool_, float32
from .value import Value, float_text, integer, register_type
from .write import Writer


def cast(writer: Writer, x: Value, old: DType, new: DType) -> Value:
    """Return `x` of dtype `old` as the nearest number of dtype `new`."""
    if old is new:
        return x
    if new is bool_:
        return _truth(writer, x, old)
    if old.is_float and old.bits == 16:
        return cast(writer, _widen(writer, x, old), float32, new)
    type = register_type(new)
    if new.is_float:
        if new.bits == 16:
            return _to_short(writer, x, old, new)
        if old.is_float:
            return writer.convert("fpext" if new.bits > 32 else "fptrunc", x, type)
        if x.range and x.type == "i64" and -(2**31) <= x.range[0] <= x.range[1] < 2**31:
            x = writer.resized(x, "i32")
        return writer.convert("sitofp" if old.kind == "signed" else "uitofp", x, type)
    if old.is_float:
        return _to_integer(writer, x, new)
    if new.bits == old.bits:
        return x
    if new.bits < old.bits:
        return writer.convert("trunc", x, type)
    wide = writer.convert("sext" if old.kind == "signed" else "zext", x, type)
    half = 1 << (old.bits - 1)
    wide.range = (-half, half - 1) if old.kind == "signed" else (0, 2 * half - 1)
    return wide


def bitcast(writer: Writer, x: Value, new: DType) -> Value:
    """Return the bits of `x` as a number of another dtype of the same width."""
    type = register_type(new)
    return x if type == x.type else writer.convert("bitcast", x, type)


def _truth(writer: Writer, x: Value, old: DType) -> Value:
    if not old.is_float:
        return writer.compare("icmp ne", x, integer(0, x.type))
    if old.bits == 16:
        magnitude = writer.binary("and", x, integer(0x7FFF, x.type))
        return writer.compare("icmp ne", magnitude, integer(0, x.type))
    return writer.compare("fcmp une", x, Value(float_text(0.0, x.type), x.type))


def _to_integer(writer: Writer, x: Value, new: DType) -> Value:
    """Return a float without its fraction; it may have any value."""
    if new.bits < 32:
        wide = _settled(writer, "fptosi", x, "i32")
        return writer.convert("trunc", wide, f"i{new.bits}")
    if new.kind == "signed":
        return _settled(writer, "fptosi", x, f"i{new.bits}")
    if new.bits == 32:
        return writer.convert("trunc", _settled(writer, "fptosi", x, "i64"), "i32")
    # The upper half of uint64 is beyond int64: take 2**63 off, and put it back.
    half = Value(float_text(2.0**63, x.type), x.type)
    low = _settled(writer, "fptosi", x, "i64")
    high = _settled(writer, "fptosi", writer.binary("fsub", x, half), "i64")
    high = writer.binary("xor", high, integer(1 << 63, "i64"))
    return writer.select(writer.compare("fcmp olt", x, half), low, high)


def _settled(writer: Writer, code: str, x: Value, type: str) -> Value:
    # A number that does not fit would have no meaning to LLVM; `freeze` gives it one.
    whole = writer.convert(code, x, type)
    kind = f"<{x.lanes} x {type}>" if x.lanes else type
    return writer.pure(f"freeze {kind} {whole.text}", type, x.lanes, whole)


# 16-bit floats


def upper_half(writer: Writer, bits: Value) -> Value:
    """Return the float32 whose upper 16 bits are those of `bits`, the others 0."""
    upper = writer.binary("and", bits, integer(0xFFFF0000, "i32"))
    return writer.convert("bitcast", upper, "float")


def _widen(writer: Writer, x: Value, old: DType) -> Value:
    """Return a 16-bit float as float32."""
    if old.name == "float16" and writer.target.half:
        return writer.convert("fpext", writer.convert("bitcast", x, "half"), "float")
    bits = writer.convert("zext", x, "i32")
    if old.name == "bfloat16":
        shifted = writer.binary("shl", bits, integer(16, "i32"))
        return writer.convert("bitcast", shifted, "float")
    # Move exponent and fraction to their places; a multiplication by a power of two
    # then corrects the exponent, and makes small numbers normal.
    sign = writer.binary(
        "shl", writer.binary("and", bits, integer(0x8000, "i32")), integer(16, "i32")
    )
    body = writer.binary("and", bits, integer(0x7FFF, "i32"))
    moved = writer.binary("shl", body, integer(13, "i32"))
    scaled = writer.binary(
        "fmul",
        writer.convert("bitcast", moved, "float"),
        Value(float_text(2.0**112, "float"), "float"),
    )
    special = writer.compare("icmp ugt", body, integer(0x7BFF, "i32"))
    endless = writer.binary("or", moved, integer(0x7F800000, "i32"))
    number = writer.select(special, endless, writer.convert("bitcast", scaled, "i32"))
    return writer.convert("bitcast", writer.binary("or", number, sign), "float")


def _to_short(writer: Writer, x: Value, old: DType, new: DType) -> Value:
    if not old.is_float:
        x = cast(writer, x, old, float32)
    elif old.bits == 64:
        if new.name == "float16":
            x = _round_to_odd(writer, x)
        else:
            x = writer.convert("fptrunc", x, "float")
    if new.name == "bfloat16":
        return _to_bfloat16(writer, x)
    if writer.target.half:
        return writer.convert("bitcast", writer.convert("fptrunc", x, "half"), "i16")
    return _to_float16(writer, x)


def _round_to_odd(writer: Writer, x: Value) -> Value:
    """Return a float64 as the float32 from which it rounds on as if directly.

    That is the one towards zero, its last bit set if anything is lost: so numbers just
    beside the middle of two float16 stay beside it.
    """
    near = writer.convert("fptrunc", x, "float")
    back = writer.convert("fpext", near, "double")
    bits = writer.convert("bitcast", near, "i32")
    size = writer.call("fabs", x)
    beyond = writer.compare("fcmp ogt", writer.call("fabs", back), size)
    lost = writer.compare("fcmp one", back, x)
    bits = writer.binary("sub", bits, writer.convert("zext", beyond, "i32"))
    bits = writer.binary("or", bits, writer.convert("zext", lost, "i32"))
    return writer.convert("bitcast", bits, "float")


def _to_bfloat16(writer: Writer, x: Value) -> Value:
    """Round to nearest, ties to even, by adding just under half of the last place."""
    bits = writer.convert("bitcast", x, "i32")
    upper = writer.binary("lshr", bits, integer(16, "i32"))
    odd = writer.binary("and", upper, integer(1, "i32"))
    rounded = writer.binary(
        "add", writer.binary("add", bits, integer(0x7FFF, "i32")), odd
    )
    result = writer.binary("lshr", rounded, integer(16, "i32"))
    # The sum could make an infinity of a nan: keep its sign, with the quiet bit set.
    quiet = writer.binary("or", upper, integer(0x40, "i32"))
    chosen = writer.select(writer.compare("fcmp uno", x, x), quiet, result)
    return writer.convert("trunc", chosen, "i16")


def _to_float16(writer: Writer, x: Value) -> Value:
    bits = writer.convert("bitcast", x, "i32")
    sign = writer.binary(
        "and", writer.binary("lshr", bits, integer(16, "i32")), integer(0x8000, "i32")
    )
    body = writer.binary("and", bits, integer(0x7FFFFFFF, "i32"))
    # Normal: move the exponent's bias, and round the 13 bits that go.
    odd = writer.binary(
        "and", writer.binary("lshr", body, integer(13, "i32")), integer(1, "i32")
    )
    normal = writer.binary("add", body, integer(0xFFF - (112 << 23), "i32"))
    normal = writer.binary(
        "lshr", writer.binary("add", normal, odd), integer(13, "i32")
    )
    # Below 2**-14: added to 0.5 the last place is that of float16, and the sum is
    # rounded to it.
    sum = writer.binary(
        "fadd",
        writer.convert("bitcast", body, "float"),
        Value(float_text(0.5, "float"), "float"),
    )
    small = writer.binary(
        "sub", writer.convert("bitcast", sum, "i32"), integer(0x3F000000, "i32")
    )
    number = writer.select(
        writer.compare("icmp ult", body, integer(113 << 23, "i32")), small, normal
    )
    number = writer.select(
        writer.compare("icmp ugt", body, integer(0x477FEFFF, "i32")),
        integer(0x7C00, "i32"),
        number,
    )
    number = writer.select(
        writer.compare("icmp ugt", body, integer(0x7F800000, "i32")),
        integer(0x7E00, "i32"),
        number,
    )
    return writer.convert("trunc", writer.binary("or", number, sign), "i16")
