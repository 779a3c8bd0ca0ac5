"""The scalar operations of Loop IR: what each takes, gives, and means.

The meaning is a NumPy function, which the interpreter of Loop IR runs and every target
must equal: exactly for arithmetic, within the stated bound for functions. Functions
(`exp`, `tanh`, ...) are written out in arithmetic by `expand` before code is emitted.

Operands of one operation have one dtype, but for `select` (whose first is bool) and
those listed in `FREE`. Floating-point arithmetic is on float32 and float64 only;
16-bit floats are cast to float32 first. Integers wrap around.

Read first: `OPERATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...ops.elementwise import FLOOR_DIVIDE, REMAINDER


class Meaning(NamedTuple):
    """What an operation is.

    Attributes:
        operands: how many it takes.
        kinds: kinds of dtype it takes, as in `DType.kind`.
        gives: "same" as its (last) operands, "bool", or "free": as the node says.
        function: its meaning on NumPy scalars and arrays.
    """

    operands: int
    kinds: tuple[str, ...]
    gives: str
    function: Callable[..., Any]


FLOAT = ("float",)
INTEGER = ("signed", "unsigned")
NUMBER = (*FLOAT, *INTEGER)
BITS = (*INTEGER, "bool")
ANY = (*NUMBER, "bool")


def _fused_multiply_add(x: Any, y: Any, z: Any) -> Any:
    # Exact for float32; float64 is rounded twice, as on targets without the operation.
    wide = np.result_type(x, np.float64)
    return np.asarray(
        np.asarray(x, wide) * np.asarray(y, wide) + np.asarray(z, wide), x.dtype
    )


def _shift_left(x: Any, y: Any) -> Any:
    bits = x.dtype.itemsize * 8
    return np.where(y < bits, np.left_shift(x, np.minimum(y, bits - 1)), 0).astype(
        x.dtype
    )


def _shift_right(x: Any, y: Any) -> Any:
    bits = x.dtype.itemsize * 8
    gone = np.where(x < 0, -1, 0) if x.dtype.kind == "i" else 0
    return np.where(y < bits, np.right_shift(x, np.minimum(y, bits - 1)), gone).astype(
        x.dtype
    )


def _halves(bits: Any) -> tuple[Any, Any]:
    """Return the first and the second of pairs of bfloat16, as float32."""
    bits = np.asarray(bits, np.uint32)
    low = (bits << np.uint32(16)).view(np.float32)
    return low, (bits & np.uint32(0xFFFF0000)).view(np.float32)


def _dot_pairs(total: Any, x: Any, y: Any) -> Any:
    (a, b), (c, d) = _halves(x), _halves(y)
    return np.asarray(total + (a * c + b * d), np.float32)


def tile_product(total: Any, left: Any, right: Any) -> Any:
    """Return `total` plus the matrix product of two matrices of pairs of bfloat16.

    First and second numbers of the pairs are added up apart, and `total` comes last, as
    in the instruction TDPBF16PS (Intel 64 and IA-32 Architectures Software Developer's
    Manual, volume 2), but for denormals, which that takes for zeros.
    """
    parts = np.zeros((2, *total.shape), np.float32)
    for k in range(left.shape[1]):
        for part, x, y in zip(
            parts, _halves(left[:, k]), _halves(right[k]), strict=True
        ):
            part += x[:, None] * y
    return total + (parts[0] + parts[1])


# Their code is an instruction or a few.
OPERATIONS: dict[str, Meaning] = {
    "add": Meaning(2, NUMBER, "same", np.add),
    "subtract": Meaning(2, NUMBER, "same", np.subtract),
    "multiply": Meaning(2, NUMBER, "same", np.multiply),
    "divide": Meaning(2, FLOAT, "same", np.divide),
    "fused_multiply_add": Meaning(3, FLOAT, "same", _fused_multiply_add),
    "negative": Meaning(1, NUMBER, "same", np.negative),
    "abs": Meaning(1, NUMBER, "same", np.abs),
    # nan if either is nan; of two zeros, either.
    "minimum": Meaning(2, ANY, "same", np.minimum),
    "maximum": Meaning(2, ANY, "same", np.maximum),
    "sqrt": Meaning(1, FLOAT, "same", np.sqrt),
    "floor": Meaning(1, FLOAT, "same", np.floor),
    "ceil": Meaning(1, FLOAT, "same", np.ceil),
    "trunc": Meaning(1, FLOAT, "same", np.trunc),
    "round": Meaning(1, FLOAT, "same", np.rint),
    # Towards minus infinity, the remainder with the divisor's sign; by zero gives 0.
    # Of floats they are functions, written out by `expand`.
    "floor_divide": Meaning(2, NUMBER, "same", FLOOR_DIVIDE.reference),
    "remainder": Meaning(2, NUMBER, "same", REMAINDER.reference),
    "bitwise_and": Meaning(2, BITS, "same", np.bitwise_and),
    "bitwise_or": Meaning(2, BITS, "same", np.bitwise_or),
    "bitwise_xor": Meaning(2, BITS, "same", np.bitwise_xor),
    "bitwise_invert": Meaning(1, BITS, "same", np.invert),
    # By as many bits or more as there are: all are shifted out. Counts below 0 are
    # undefined.
    "bitwise_left_shift": Meaning(2, INTEGER, "same", _shift_left),
    "bitwise_right_shift": Meaning(2, INTEGER, "same", _shift_right),
    "equal": Meaning(2, ANY, "bool", np.equal),
    "not_equal": Meaning(2, ANY, "bool", np.not_equal),
    "less": Meaning(2, ANY, "bool", np.less),
    "less_equal": Meaning(2, ANY, "bool", np.less_equal),
    # (condition, where true, where false)
    "select": Meaning(3, ANY, "same", np.where),
    # Between all dtypes: floats to integers towards zero, to bool as `x != 0`.
    "cast": Meaning(1, ANY, "free", None),  # type: ignore[arg-type]
    "bitcast": Meaning(1, ANY, "free", None),  # type: ignore[arg-type]
    # (float32, uint32, uint32): adds two products of bfloat16 pairs packed in 32 bits.
    # The order of the two additions, and denormals, are the target's.
    "dot_pairs": Meaning(3, ANY, "same", _dot_pairs),
}
