"""What the namespace tells of itself, and functions of dtypes: the Array API's
inspection.

Read first: `NamespaceInfo`, `finfo`, `result_type`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .. import dtypes
from ..dtypes import DType, as_dtype, promote
from ..errors import ArgumentError, DTypeError
from ..ir.build import make_input
from ..ops import elementwise
from ..ops.operand import common_dtype
from .device import CPU, Device, as_device
from .lift import lift
from .tensor import Tensor

# The constants of the standard.
e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi

ARRAY_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("signed",),
    "unsigned integer": ("unsigned",),
    "integral": ("signed", "unsigned"),
    "real floating": ("float",),
    "complex floating": (),
    "numeric": ("signed", "unsigned", "float"),
}


@dataclass(frozen=True)
class FloatInfo:
    """The limits of a floating-point type; see `finfo`."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerInfo:
    """The limits of an integer type; see `iinfo`."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype_of(what: Any) -> DType:
    return what.dtype if isinstance(what, Tensor) else as_dtype(what)


def finfo(type: Any, /) -> FloatInfo:
    """Return the limits of a floating-point `type`, or of that of a tensor.

    Raises:
        DTypeError: the type is not floating-point.
    """
    dtype = _dtype_of(type)
    if not dtype.is_float:
        raise DTypeError("[finfo] a floating-point type is needed", got=dtype.name)
    info = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    return FloatInfo(
        dtype.bits, float(info.eps), float(info.max), float(info.min),
        float(info.smallest_normal), dtype,
    )  # fmt: skip


def iinfo(type: Any, /) -> IntegerInfo:
    """Return the limits of an integer `type`, or of that of a tensor.

    Raises:
        DTypeError: the type is no integer.
    """
    dtype = _dtype_of(type)
    if not dtype.is_integer:
        raise DTypeError("[iinfo] an integer type is needed", got=dtype.name)
    signed = dtype.kind == "signed"
    top = 1 << (dtype.bits - signed)
    return IntegerInfo(dtype.bits, top - 1, -top if signed else 0, dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Return whether `dtype` is of `kind`.

    Args:
        kind: a dtype, or a word of the Array API such as `real floating` or `integral`,
            or a tuple of them.

    Raises:
        ArgumentError: the word is unknown.
    """
    dtype = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ArgumentError(
                "[isdtype] this kind is unknown",
                got=repr(kind),
                expected=", ".join(_KINDS),
            )
        return dtype.kind in _KINDS[kind]
    return dtype is as_dtype(kind)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Return whether the promotion table casts `from_`, a dtype or tensor, to `to`."""
    source, target = _dtype_of(from_), as_dtype(to)
    try:
        return promote(source, target) is target
    except DTypeError:
        return False


def result_type(*arrays_and_dtypes: Any) -> DType:
    """Return the dtype that tensors, dtypes and Python numbers promote to.

    Raises:
        DTypeError: two have no common type.
        ArgumentError: nothing is given.
    """
    if not arrays_and_dtypes:
        raise ArgumentError("[result_type] at least one argument is needed", got="none")
    operands = [
        x
        if isinstance(x, (bool, int, float)) and not isinstance(x, np.generic)
        else make_input((), _dtype_of(x))
        for x in arrays_and_dtypes
    ]
    return common_dtype(operands)


_cast = lift(elementwise.cast)


def astype(
    x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None
) -> Tensor:
    """Return `x` with elements of `dtype`; with `copy=False` `x` itself if it has
    it.
    """
    as_device(device)
    dtype = as_dtype(dtype)
    if x.dtype is dtype:
        return x.clone() if copy else x
    return _cast(x, dtype=dtype)  # type: ignore[no-any-return]


class NamespaceInfo:
    """What the namespace offers, as the Array API asks; see
    `__array_namespace_info__`.
    """

    def capabilities(self) -> dict[str, Any]:
        """Return which optional features there are."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": 64,
        }

    def default_device(self) -> Device:
        """Return the device of new tensors."""
        return CPU

    def devices(self) -> list[Device]:
        """Return all devices."""
        return [CPU]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """Return the dtypes of tensors made without naming one."""
        as_device(device)
        return {
            "real floating": dtypes.default_float,
            "integral": dtypes.default_integer,
            "indexing": dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """Return the dtypes of the standard, by name, limited to `kind`."""
        as_device(device)
        return {
            dtype.name: dtype
            for dtype in dtypes.ALL
            if dtype.name not in ("float16", "bfloat16")
            and (kind is None or isdtype(dtype, kind))
        }


def __array_namespace_info__() -> NamespaceInfo:
    """Return what the namespace offers: devices, dtypes, capabilities."""
    return NamespaceInfo()
