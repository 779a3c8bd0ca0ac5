"""Element types, and the one table that says which type two of them promote to.

Knows nothing of tensors. Read first: `DType`, `promote`, `as_dtype`.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from .errors import DTypeError


class DType:
    """An element type.

    Attributes:
        name: the name in the Array API standard, or `float16`, `bfloat16`.
        kind: `bool`, `signed`, `unsigned` or `float`.
        bits: width of one element.
        itemsize: width in bytes.
        numpy: the NumPy dtype with the same layout.
    """

    __slots__ = ("name", "kind", "bits", "itemsize", "numpy")

    def __init__(self, name: str, kind: str, bits: int, scalar: type) -> None:
        self.name = name
        self.kind = kind
        self.bits = bits
        self.numpy = np.dtype(scalar)
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"plait.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (as_dtype, (self.name,))

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("signed", "unsigned")


bool_ = DType("bool", "bool", 1, np.bool_)
int8 = DType("int8", "signed", 8, np.int8)
int16 = DType("int16", "signed", 16, np.int16)
int32 = DType("int32", "signed", 32, np.int32)
int64 = DType("int64", "signed", 64, np.int64)
uint8 = DType("uint8", "unsigned", 8, np.uint8)
uint16 = DType("uint16", "unsigned", 16, np.uint16)
uint32 = DType("uint32", "unsigned", 32, np.uint32)
uint64 = DType("uint64", "unsigned", 64, np.uint64)
float16 = DType("float16", "float", 16, np.float16)
bfloat16 = DType("bfloat16", "float", 16, ml_dtypes.bfloat16)
float32 = DType("float32", "float", 32, np.float32)
float64 = DType("float64", "float", 64, np.float64)

ALL = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64,
)  # fmt: skip
FLOATS = tuple(dtype for dtype in ALL if dtype.is_float)
INTEGERS = tuple(dtype for dtype in ALL if dtype.is_integer)

default_float = float32
default_integer = int64

_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}
_BY_PYTHON = {bool: bool_, int: default_integer, float: default_float}
_SIGNED = {dtype.bits: dtype for dtype in (int8, int16, int32, int64)}


def as_dtype(what: object) -> DType:
    """Return the element type meant by a `DType`, a NumPy dtype, a Python type or a
    name.

    Raises:
        DTypeError: it names no type that plait has.
    """
    if isinstance(what, DType):
        return what
    if isinstance(what, str) and what in _BY_NAME:
        return _BY_NAME[what]
    if isinstance(what, type) and what in _BY_PYTHON:
        return _BY_PYTHON[what]
    try:
        if what is None or isinstance(what, str):
            raise KeyError(what)  # NumPy would read float64, or codes of its own
        return _BY_NUMPY[np.dtype(what).newbyteorder("=")]  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError):
        raise DTypeError(
            "not an element type that plait has",
            got=repr(what),
            expected=f"one of {', '.join(_BY_NAME)}",
        ) from None


def promote(a: DType, b: DType) -> DType:
    """Return the smallest type that both promote to.

    Within a kind this is the table of the Array API standard 2024.12. Between kinds,
    where the standard leaves it open, bool yields to anything and an integer yields to
    a floating-point type, as in PyTorch.

    Raises:
        DTypeError: uint64 with a signed type, which no integer type holds.
    """
    if a is b or b is bool_:
        return a
    if a is bool_:
        return b
    if a.is_float and b.is_float:
        if a.bits == b.bits:  # float16 with bfloat16
            return float32
        return a if a.bits > b.bits else b
    if a.is_float or b.is_float:
        return a if a.is_float else b
    if a.kind == b.kind:
        return a if a.bits > b.bits else b
    signed, unsigned = (a, b) if a.kind == "signed" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    if unsigned.bits < 64:
        return _SIGNED[2 * unsigned.bits]
    raise DTypeError(
        "no integer type holds both",
        got=f"{a.name} and {b.name}",
        fix="cast one of them first, for example x.to(plait.int64)",
    )


def promote_scalar(dtype: DType, scalar: DType) -> DType:
    """Return the type of a tensor of `dtype` combined with a Python scalar.

    A Python scalar is weak: it takes the tensor's type unless its kind is higher, and
    then becomes the default type of its kind.
    """
    order = {"bool": 0, "unsigned": 1, "signed": 1, "float": 2}
    if order[scalar.kind] <= order[dtype.kind]:
        return dtype
    return default_float if scalar.is_float else default_integer
