"""Numbers to be ordered as integers, so that one comparison tells which comes first.

Read first: `key_of`.
"""

from __future__ import annotations

from ...dtypes import DType, bool_, int32, int64
from ..loops.grammar import Constant, Expression, Operation
from .scalar import computed, widened


def key_dtype(dtype: DType) -> DType:
    """Return the dtype of keys of numbers of `dtype`."""
    if computed(dtype).is_float:
        return int64 if dtype.bits == 64 else int32
    return dtype if dtype.itemsize >= 4 else int32


def most(dtype: DType) -> Constant:
    """Return the largest key."""
    unsigned = dtype.kind == "unsigned"
    return Constant(2 ** (dtype.bits - (not unsigned)) - 1, dtype)


def key_of(value: Expression, descending: bool) -> Expression:
    """Return a key of a number from memory: less if it comes before.

    As integers the bits of positive floats are in order, and those of negative ones in
    reverse order. Both zeros have one key, and nan has the greatest.
    """
    value = widened(value)
    key = _ascending(value)
    return Operation("bitwise_invert", (key,)) if descending else key


def _ascending(value: Expression) -> Expression:
    dtype = key_dtype(value.dtype)
    if not value.dtype.is_float:
        return value if value.dtype is dtype else Operation("cast", (value,), dtype)
    bits = Operation("bitcast", (value,), dtype)
    sign = Operation("bitwise_right_shift", (bits, Constant(dtype.bits - 1, dtype)))
    turned = Operation("bitwise_and", (sign, most(dtype)))
    ordered = Operation("bitwise_xor", (bits, turned))
    zero = Operation("equal", (value, Constant(0.0, value.dtype)), bool_)
    number = Operation("equal", (value, value), bool_)
    plain = Operation("select", (zero, Constant(0, dtype), ordered), dtype)
    return Operation("select", (number, plain, most(dtype)), dtype)
