"""Tensors from numbers, lists, arrays and nothing.

Read first: `tensor`, `asarray`, `zeros`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype, default_float, uint64
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ..ir.graph import Node
from ..ops import elementwise, movement, source
from ..ops.operand import as_node
from ..shapes import Shape, as_shape
from .device import as_device
from .inspection import iinfo
from .record import record
from .tensor import Tensor, concrete


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a new tensor holding a copy of `data`.

    Args:
        data: a number, nested lists of numbers, a NumPy array, or a tensor.
        dtype: default: that of an array; for Python numbers bool, int64 or float32.
        requires_grad: accumulate gradients here.

    Raises:
        DTypeError: elements of a type that plait does not have.
        ShapeError: nested lists of unequal lengths.
    """
    result = asarray(data, dtype=dtype, device=device, copy=True)
    if isinstance(data, Tensor):
        result = result.detach()
    return result.requires_grad_() if requires_grad else result


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """Return `obj` as a tensor.

    Args:
        obj: a number, nested lists, a NumPy array, a tensor, or an object with
            `__dlpack__`, `__array__` or a buffer.
        dtype: default: that of `obj`; for Python numbers bool, int64 or float32.
        copy: False shares the memory of an array, which must then not be changed, or
            raises if it cannot; True and None copy. A tensor is never changed by
            others, so None returns it as it is.
    """
    as_device(device)
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(obj, Tensor):
        if wanted is not None and wanted is not obj.dtype:
            if copy is False:
                raise ArgumentError("[asarray] another dtype needs a copy")
            return obj.to(wanted)
        return obj.clone() if copy else obj
    if isinstance(obj, (bool, int, float, list, tuple)):
        if copy is False:
            raise ArgumentError(
                "[asarray] Python numbers need a copy", got="copy=False"
            )
        return _from_python(obj, wanted)
    if isinstance(obj, (np.ndarray, np.generic)) or not hasattr(obj, "__dlpack__"):
        array = _read("asarray", np.asarray, obj)
    else:
        array = _read("asarray", np.from_dlpack, obj)
    return _from_numpy(array, wanted, copy)


def _read(op: str, read: Callable[[Any], np.ndarray], obj: Any) -> np.ndarray:
    """Return what NumPy makes of an object that is none of ours.

    Raises:
        ArgumentTypeError: nothing.
    """
    try:
        return read(obj)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ArgumentTypeError(
            f"[{op}] this cannot be read as a tensor",
            got=f"a {type(obj).__name__}: {error}",
        ) from None


def _from_numpy(array: np.ndarray, wanted: DType | None, copy: bool | None) -> Tensor:
    found = as_dtype(array.dtype)
    dtype = wanted or found
    if copy is False:
        if dtype is not found or not array.dtype.isnative:
            raise ArgumentError(
                "[asarray] another dtype needs a copy", got="copy=False"
            )
        return concrete(array.view(), dtype)
    with np.errstate(all="ignore"):
        return concrete(np.array(array, dtype.numpy, order="C"), dtype)


def _from_python(obj: Any, wanted: DType | None) -> Tensor:
    plain = _without_tensors(obj)
    try:
        array = np.array(plain)
    except ValueError:
        raise ShapeError(
            "[tensor] nested lists have unequal lengths",
            fix="pad them to one length first",
        ) from None
    if array.dtype.kind in "OSU":
        kinds = {type(x).__name__ for x in array.ravel().tolist()}
        raise DTypeError(
            "[tensor] elements must be numbers of a type that plait has",
            got=", ".join(sorted(kinds)),
        )
    if wanted is None:
        found = (
            as_dtype(array.dtype)
            if array.size or array.dtype.kind != "f"
            else default_float
        )
        numpy_inside = _holds_numpy(obj)
        wanted = default_float if found.is_float and not numpy_inside else found
    if wanted.is_integer and array.dtype.kind in "iu" and array.size:
        _check_range("tensor", wanted, int(array.min()), int(array.max()))
    with np.errstate(all="ignore"):
        return concrete(array.astype(wanted.numpy), wanted)


def _check_range(op: str, dtype: DType, low: int, high: int) -> None:
    """Raise unless the integers from `low` to `high` are of `dtype`."""
    limits = iinfo(dtype)
    if high > limits.max or low < limits.min:
        raise DTypeError(
            f"[{op}] a number does not fit in {dtype.name}",
            got=f"{low}" if low == high else f"{low} to {high}",
            expected=f"{limits.min} to {limits.max}",
        )


def _without_tensors(obj: Any) -> Any:
    if isinstance(obj, (list, tuple)):
        return [_without_tensors(item) for item in obj]
    return obj.numpy() if isinstance(obj, Tensor) else obj


def _holds_numpy(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return any(_holds_numpy(item) for item in obj)
    return isinstance(obj, (np.ndarray, np.generic, Tensor))


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of `array`, which must not be changed."""
    return asarray(array, copy=False)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor from any object with `__dlpack__`, sharing memory if it can.

    Args:
        x: the object.
        copy: True to never share memory.

    Raises:
        ArgumentTypeError: the object has no `__dlpack__`.
    """
    as_device(device)
    if isinstance(x, Tensor):
        return x.clone() if copy else x
    if not hasattr(x, "__dlpack__"):
        raise ArgumentTypeError(
            "[from_dlpack] the object has no __dlpack__", got=type(x).__name__
        )
    return _from_numpy(np.from_dlpack(x), None, bool(copy))


def _full(value: Any, shape: Shape, dtype: DType | None) -> Node:
    kind = value.dtype if isinstance(value, Node) else as_dtype(type(value))
    if dtype is None:
        dtype = default_float if kind.is_float else kind
    return movement.expand(as_node("full", value, dtype), shape)


def full(
    shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Return a tensor whose every element is `fill_value`.

    Args:
        shape: the sizes, a tuple or one integer.
        dtype: default: bool, int64 or float32, after the kind of the number.
    """
    as_device(device)
    kind = None if dtype is None else as_dtype(dtype)
    if kind is not None and kind.is_integer and isinstance(fill_value, int):
        _check_range("full", kind, fill_value, fill_value)
    static = (as_shape("full", shape), kind)
    return record(_full, [fill_value], static)  # type: ignore[no-any-return]


def _fill(shape: Any, value: int, dtype: Any, device: Any, op: str) -> Tensor:
    as_device(device)
    dtype = default_float if dtype is None else as_dtype(dtype)
    return record(source.full, [], (as_shape(op, shape), value, dtype))  # type: ignore[no-any-return]


def zeros(
    shape: Any,
    *more: int,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of zeros, float32 by default.

    Args:
        shape: the sizes, a tuple, or one after another.
        requires_grad: whether derivatives by it are wanted.
    """
    result = _fill(_sizes(shape, more), 0, dtype, device, "zeros")
    return result.requires_grad_() if requires_grad else result


def ones(
    shape: Any,
    *more: int,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of ones, float32 by default.

    Args:
        shape: the sizes, a tuple, or one after another.
        requires_grad: whether derivatives by it are wanted.
    """
    result = _fill(_sizes(shape, more), 1, dtype, device, "ones")
    return result.requires_grad_() if requires_grad else result


def _sizes(shape: Any, more: tuple[int, ...]) -> Any:
    return (shape, *more) if more else shape


def empty(shape: Any, *more: int, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor of unspecified values: zeros; arguments as in `zeros`."""
    return zeros(shape, *more, dtype=dtype, device=device)


def full_like(
    x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Return a tensor of the shape and dtype of `x`, filled with `fill_value`."""
    return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return zeros of the shape and dtype of `x`."""
    return zeros(x.shape, dtype=dtype or x.dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return ones of the shape and dtype of `x`."""
    return ones(x.shape, dtype=dtype or x.dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor of the shape and dtype of `x` with unspecified values: zeros."""
    return zeros_like(x, dtype=dtype, device=device)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Return `start, start + step, ...` up to but without `stop`.

    With one argument it is `stop`, and `start` is 0.

    Args:
        dtype: default: int64 if all arguments are integers, else float32.

    Raises:
        ArgumentError: `step` is 0, or an argument is infinite or nan.
        ArgumentTypeError: an argument is no number.
    """
    as_device(device)
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_number("arange", x) for x in (start, stop, step))
    if step == 0:
        raise ArgumentError("[arange] step must not be 0")
    whole = all(isinstance(x, int) for x in (start, stop, step))
    kind = (
        as_dtype(dtype)
        if dtype is not None
        else as_dtype("int64" if whole else "float32")
    )
    if whole:
        span = range(int(start), int(stop), int(step))
        if kind.is_integer and span:
            _check_range("arange", kind, min(span[0], span[-1]), max(span[0], span[-1]))
        # Differences fit in 64 bits, and sums wrap around to the right number.
        steps = np.arange(len(span), dtype=np.int64) * np.int64(step)
        first = np.array(span.start % (1 << 64), np.uint64)
        wide: np.ndarray = (steps.astype(np.uint64) + first).view(
            np.uint64 if kind is uint64 else np.int64
        )
    else:
        count = max(0, math.ceil((stop - start) / step))
        wide = np.arange(count, dtype=np.float64) * step + start
    return concrete(wide.astype(kind.numpy), kind)


def _number(op: str, value: Any) -> Any:
    """Return a finite number as one of Python's.

    Raises:
        ArgumentTypeError, ArgumentError: it is no number, or not finite.
    """
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    if not isinstance(value, (int, float)):
        raise ArgumentTypeError(
            f"[{op}] numbers are needed", got=f"a {type(value).__name__}"
        )
    if not math.isfinite(value):
        raise ArgumentError(f"[{op}] finite numbers are needed", got=str(value))
    return int(value) if isinstance(value, int) else value


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` numbers evenly spaced from `start` to `stop`.

    Args:
        endpoint: include `stop`.
    """
    as_device(device)
    start, stop = _number("linspace", start), _number("linspace", stop)
    if num < 0:
        raise ArgumentError("[linspace] num must not be negative", got=str(num))
    (num,) = as_shape("linspace", num)
    kind = default_float if dtype is None else as_dtype(dtype)
    values = np.linspace(start, stop, num, endpoint=endpoint)
    return concrete(values.astype(kind.numpy), kind)


def _eye(rows: int, columns: int, k: int, dtype: DType) -> Node:
    integer = as_dtype("int64")
    row = movement.reshape(source.iota(rows, integer), (rows, 1))
    column = movement.reshape(source.iota(columns, integer), (1, columns))
    return elementwise.cast(elementwise.equal(column, elementwise.add(row, k)), dtype)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Return ones on diagonal `k` of an `(n_rows, n_cols)` matrix, zeros elsewhere.

    Without `n_cols` it is square.
    """
    as_device(device)
    kind = default_float if dtype is None else as_dtype(dtype)
    columns = n_rows if n_cols is None else n_cols
    rows, columns = as_shape("eye", (n_rows, columns))
    k = min(
        max(operator.index(k), -rows), columns
    )  # beyond these there is nothing to see
    return record(_eye, [], (rows, columns, k, kind))  # type: ignore[no-any-return]
