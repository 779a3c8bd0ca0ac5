"""Reading and writing at positions that are data, and `x[...]` in all its forms.

`parse_index` turns what Python hands to `__getitem__` into a static description and a
list of index arrays; `get_index` and `set_index` record it. The description, or *spec*,
is a tuple `(place, entries)`:

    entry ::= ("slice", start, step, length)   an axis of which some elements are kept
            | ("int", i)                       an axis of which one element is kept
            | ("array", wrap)                  an axis indexed by the next index array;
                                               wrap: it may hold negative indices
            | ("bool", size)                   True (size 1) or False (size 0); no axis
            | ("new",)                         a new axis of size 1; no axis of x

`place` is where the axes of the index arrays stand in the result, None without any.

Knows nothing of tensors: index arrays are NumPy arrays, or anything with a shape and a
`DType`.

Read first: `GATHER`, `SCATTER`, `parse_index`, `get_index`, `set_index`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, default_float, int64
from ..errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, as_shape, broadcast, normalize_axis
from . import elementwise, movement, reduce, source
from .family import ANY, NUMERIC, check_axes, check_kind, quiet
from .operand import Operand, as_node, require

Spec = tuple[int | None, tuple[tuple[Any, ...], ...]]


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng([*shape]).uniform(-1, 1, shape)


# Checks


def _check_indices(op: str, dtype: DType) -> None:
    if dtype is not int64:
        raise DTypeError(
            f"[{op}] indices must be integers, as int64",
            got=dtype.name,
            fix="cast them with x.to(plait.int64)",
        )


def _range_of(size: int, negative: bool) -> str:
    if size == 0:
        return "none, as the axis is empty"
    return f"{-size if negative else 0} to {size - 1}"


def _in_range(
    op: str, indices: np.ndarray, size: int, axis: int, *, negative: bool = False
) -> np.ndarray:
    """Return `indices` as int64 in 0..size-1.

    Args:
        negative: accept -size..-1 too, and add `size` to them.

    Raises:
        IndexingError: one is out of range.
    """
    indices = np.asarray(indices)
    result = indices.astype(np.int64, copy=False)
    # Read as unsigned, a negative number is a huge one: one comparison for both ends.
    if result.size == 0 or result.view(np.uint64).max() < size:
        return result
    # `indices` are compared, as in int64 the huge ones of uint64 are negative.
    bad = (indices >= size) | (indices < (-size if negative else 0))
    if bad.any():
        raise IndexingError(
            f"[{op}] an index is out of range",
            got=f"index {indices[bad].flat[0]} for axis {axis} of size {size}",
            expected=_range_of(size, negative),
        )
    return np.where(result < 0, result + size, result) if negative else result


# Wrap

WRAP_INDEX = Primitive(
    name="wrap_index",
    infer=lambda x, *, size, axis: _wrap_infer(x),
    reference=lambda x, *, size, axis: _in_range("index", x, size, axis, negative=True),
    batch="elementwise",
    differentiable=False,
    samples=lambda: [
        Sample((np.array([[0, 2], [-1, -3]]),), {"size": 3, "axis": 0}),
        Sample((np.array(-2),), {"size": 2, "axis": 0}),
        Sample((np.zeros((0, 2), int),), {"size": 0, "axis": 0}),
    ],
    failures=lambda: [
        Failure(
            (np.array([1, -4]),), {"size": 3, "axis": 1}, IndexingError,
            "[index] an index is out of range. Got: index -4 for axis 1 of size 3. "
            "Expected: -3 to 2.",
        ),
        Failure(
            (np.array([0]),), {"size": 0, "axis": 0}, IndexingError,
            "[index] an index is out of range. Got: index 0 for axis 0 of size 0. "
            "Expected: none, as the axis is empty.",
        ),
        Failure(
            (np.array([1.0]),), {"size": 3, "axis": 0}, DTypeError,
            "[index] indices must be integers, as int64. Got: float64. "
            "Fix: cast them with x.to(plait.int64).",
        ),
    ],
    source="Python: index i < 0 means size + i; out of -size..size-1 is an error",
)  # fmt: skip


def _wrap_infer(x: TensorType) -> TensorType:
    _check_indices("index", x.dtype)
    return x


def wrap_index(indices: Node, size: int, axis: int) -> Node:
    """Return `indices` with negative ones counted from the end, as int64.

    Args:
        size: the number of elements of the axis that is indexed.
        axis: its number, for the message.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
    """
    if indices.dtype.is_integer:
        indices = elementwise.cast(indices, int64)
    return apply(WRAP_INDEX, indices, size=size, axis=axis)


# Gather


def _indexed_shape(x: Shape, indices: Shape, axis: int, batch: int) -> Shape:
    return (*x[:axis], *indices[batch:], *x[axis + 1 :])


def _check_layout(
    op: str, x: TensorType, indices: TensorType, axis: int, batch: int
) -> None:
    _check_indices(op, indices.dtype)
    check_axes(op, (axis,), x.ndim)
    if not 0 <= batch <= min(axis, indices.ndim):
        raise ShapeError(
            f"[{op}] the shared axes must come before the indexed one",
            got=f"batch={batch}, axis={axis}, indices of shape {indices.shape}",
        )
    if x.shape[:batch] != indices.shape[:batch]:
        raise ShapeError(
            f"[{op}] the shared axes differ in size",
            got=f"{x.shape} and indices {indices.shape}, batch={batch}",
        )


def _gather_infer(
    x: TensorType, indices: TensorType, *, axis: int, batch: int
) -> TensorType:
    _check_layout("gather", x, indices, axis, batch)
    return TensorType(_indexed_shape(x.shape, indices.shape, axis, batch), x.dtype)


def _rows(shape: Shape, indices: np.ndarray, axis: int, batch: int) -> np.ndarray:
    """Return flat positions in `shape[: axis + 1]`, in the order of the result."""
    lead, outer = math.prod(shape[:batch]), math.prod(shape[batch:axis])
    count = math.prod(indices.shape[batch:])
    if lead * outer == 1:
        return indices.reshape(count)
    starts = (np.arange(lead * outer) * shape[axis]).reshape(lead, outer, 1)
    return (indices.reshape(lead, 1, count) + starts).reshape(-1)


def _gather_reference(
    x: np.ndarray, indices: np.ndarray, *, axis: int, batch: int
) -> np.ndarray:
    index = _in_range("gather", indices, x.shape[axis], axis)
    shape = _indexed_shape(x.shape, index.shape, axis, batch)
    if 0 in shape:
        return np.empty(shape, x.dtype)
    if batch == 0 and x.flags.c_contiguous:
        return np.asarray(np.take(x, index, axis, mode="clip"))  # checked above
    if batch == 0 or (batch == axis and not x.flags.c_contiguous):
        # NumPy's own indexing does not copy all of x first, as the other ways do.
        grid: list[Any] = [
            np.arange(n).reshape(n, *(1,) * (index.ndim - i - 1))
            for i, n in enumerate(x.shape[:batch])
        ]
        return np.asarray(x[(*grid, *(slice(None),) * (axis - batch), index)])
    inner = math.prod(x.shape[axis + 1 :])
    rows = _rows(x.shape, index, axis, batch)
    return np.take(x.reshape(-1, inner), rows, 0, mode="clip").reshape(shape)


def _gather_vjp(
    ct: Node, node: Node, x: Node, indices: Node
) -> tuple[Node | None, None]:
    at = node.attributes
    zero = source.full_like(x, 0)
    return scatter(zero, indices, ct, at["axis"], at["batch"], "add"), None


def _gather_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    x, indices = operands
    axis, batch = node.attributes["axis"], node.attributes["batch"]
    if all(batched):
        return gather(x, indices, axis + 1, batch + 1)
    # The new axis goes behind those that both share, and comes to the front again.
    if batched[0]:
        result = gather(movement.moveaxis(x, 0, batch), indices, axis + 1, batch)
        return movement.moveaxis(result, batch, 0)
    result = gather(x, movement.moveaxis(indices, 0, batch), axis, batch)
    return movement.moveaxis(result, axis, 0)


GATHER = Primitive(
    name="gather",
    infer=_gather_infer,
    reference=_gather_reference,
    vjp=_gather_vjp,
    batch=_gather_batch,
    samples=lambda: [
        Sample((_array(5, 3), np.array([4, 0, 4, 1])), {"axis": 0, "batch": 0}),
        Sample((_array(2, 4, 3), np.array([[3, 0, 3]])), {"axis": 1, "batch": 0}),
        Sample((_array(4), np.array(2)), {"axis": 0, "batch": 0}),
        Sample((_array(2, 3), np.array([[2, 2], [0, 1]])), {"axis": 1, "batch": 1}),
        Sample(
            (_array(2, 2, 3, 2), np.array([[[0, 1]], [[2, 2]]])),
            {"axis": 2, "batch": 1},
        ),
        Sample((_array(3, 2), np.zeros((0, 2), int)), {"axis": 0, "batch": 0}),
        Sample((_array(0, 2), np.zeros((0,), int)), {"axis": 0, "batch": 0}),
        Sample(
            (np.arange(6, dtype=np.int32), np.array([5, 0])),
            {"axis": 0, "batch": 0}, smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3), np.array([1, 3])), {"axis": 1, "batch": 0}, IndexingError,
            "[gather] an index is out of range. Got: index 3 for axis 1 of size 3. "
            "Expected: 0 to 2.",
        ),
        Failure(
            (_array(2, 3), np.array([1], np.int32)),
            {"axis": 1, "batch": 0}, DTypeError,
            "[gather] indices must be integers, as int64. Got: int32. "
            "Fix: cast them with x.to(plait.int64).",
        ),
        Failure(
            (_array(2, 3), np.zeros((3, 1), int)), {"axis": 1, "batch": 1}, ShapeError,
            "[gather] the shared axes differ in size. "
            "Got: (2, 3) and indices (3, 1), batch=1.",
        ),
        Failure(
            (_array(2, 3), np.zeros((2, 1), int)), {"axis": 0, "batch": 1}, ShapeError,
            "[gather] the shared axes must come before the indexed one. "
            "Got: batch=1, axis=0, indices of shape (2, 1).",
        ),
    ],
    source="elements at given positions of one axis; Array API standard 2024.12, take",
)  # fmt: skip


def gather(x: Node, indices: Node, axis: int, batch: int = 0) -> Node:
    """Return the elements of `x` at `indices` of `axis`.

    Formula: with b for the shared axes, out[b, i, k, j] = x[b, i, indices[b, k], j].

    Args:
        indices: int64 in 0..n-1.
        axis: counted from the front, at least `batch`.
        batch: the number of leading axes that `x` and `indices` share.

    Returns:
        Shape `x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1:]`.
    """
    return apply(GATHER, x, indices, axis=axis, batch=batch)


# Scatter

_UFUNCS: dict[str, Any] = {
    "add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum,
}  # fmt: skip
MODES = ("set", *_UFUNCS)


def _check_mode(op: str, mode: str) -> None:
    if mode not in MODES:
        raise ArgumentError(
            f"[{op}] there is no such mode",
            got=repr(mode),
            expected=" or ".join(MODES),
        )


def _scatter_infer(
    x: TensorType,
    indices: TensorType,
    updates: TensorType,
    *,
    axis: int,
    batch: int,
    mode: str,
) -> TensorType:
    _check_mode("scatter", mode)
    _check_layout("scatter", x, indices, axis, batch)
    check_kind("scatter", x.dtype, NUMERIC if mode in ("add", "multiply") else ANY)
    if updates.dtype is not x.dtype:
        raise DTypeError(
            "[scatter] operands differ in element type",
            got=f"{x.dtype.name} and {updates.dtype.name}",
        )
    shape = _indexed_shape(x.shape, indices.shape, axis, batch)
    if updates.shape != shape:
        raise ShapeError(
            "[scatter] the updates do not have the indexed shape",
            got=str(updates.shape),
            expected=str(shape),
        )
    return x


def _scatter_reference(
    x: np.ndarray,
    indices: np.ndarray,
    updates: np.ndarray,
    *,
    axis: int,
    batch: int,
    mode: str,
) -> np.ndarray:
    index = _in_range("scatter", indices, x.shape[axis], axis)
    wide = mode != "set" and x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    result = np.array(x, np.float32 if wide else x.dtype, order="C")
    if updates.size:
        inner = math.prod(x.shape[axis + 1 :])
        rows = _rows(x.shape, index, axis, batch)
        if mode == "set":
            # With one axis of positions NumPy assigns in order, and the last one stays.
            result.reshape(-1, inner)[rows] = updates.reshape(-1, inner)
        else:
            # NumPy's ufunc.at is fast on flat arrays of one type, and only there.
            if inner > 1:
                rows = (rows[:, None] * inner + np.arange(inner)).reshape(-1)
            flat = updates.reshape(-1).astype(result.dtype, copy=False)
            _UFUNCS[mode].at(result.reshape(-1), rows, flat)
    return result.astype(x.dtype, copy=False)


def _aligned(node: Node, x: Node, axis: int, batch: int) -> Node:
    """Reshape `node`, of the shape of indices, to broadcast against updates of `x`."""
    shape = (
        *node.shape[:batch], *(1,) * (axis - batch),
        *node.shape[batch:], *(1,) * (x.ndim - axis - 1),
    )  # fmt: skip
    return movement.reshape(node, shape)


def _is_last(indices: Node, size: int, batch: int) -> Node:
    """Return whether no later index is equal, among those of the same shared axes."""
    lead, rest = indices.shape[:batch], indices.shape[batch:]
    order = movement.reshape(source.iota(math.prod(rest), int64), rest)
    order = movement.expand(order, indices.shape)
    none = source.full((*lead, size), 0, int64)
    last = scatter(none, indices, order, batch, batch, "set")
    return elementwise.equal(gather(last, indices, batch, batch), order)


def _scatter_vjp(
    ct: Node, node: Node, x: Node, indices: Node, updates: Node
) -> tuple[Node | None, None, Node | None]:
    axis, batch, mode = (node.attributes[name] for name in ("axis", "batch", "mode"))

    def read(values: Node) -> Node:
        return gather(values, indices, axis, batch)

    def write(values: Node, new: Node, mode: str) -> Node:
        return scatter(values, indices, new, axis, batch, mode)

    if mode == "add":
        return ct, None, read(ct)
    if mode == "set":
        found = read(ct)
        if math.prod(indices.shape[batch:]) > 1:
            last = _aligned(_is_last(indices, x.shape[axis], batch), x, axis, batch)
            found = elementwise.select(last, found, 0)
        return write(ct, source.full_like(updates, 0), "set"), None, found
    if mode == "multiply":
        factors = write(source.full_like(x, 1), updates, "multiply")
        # The product of the others without dividing by zero: leave zeros out, and count
        # them. With one zero only its own factor has a derivative, with two none has.
        zero = elementwise.equal(updates, 0)
        others = write(x, elementwise.select(zero, 1, updates), "multiply")
        zeros = read(
            write(source.full_like(x, 0), elementwise.cast(zero, x.dtype), "add")
        )
        share = elementwise.multiply(read(ct), read(others))
        whole = elementwise.divide(share, elementwise.select(zero, 1, updates))
        alive = elementwise.equal(zeros, elementwise.cast(zero, x.dtype))
        new = elementwise.select(alive, elementwise.select(zero, share, whole), 0)
        return elementwise.multiply(ct, factors), None, new
    # max, min: shared equally between equal extremes, of which x may hold one.
    old = elementwise.cast(elementwise.equal(x, node), x.dtype)
    new = elementwise.cast(elementwise.equal(updates, read(node)), x.dtype)
    share = elementwise.divide(ct, write(old, new, "add"))
    return (
        elementwise.multiply(share, old), None, elementwise.multiply(read(share), new)
    )  # fmt: skip


def _scatter_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    axis, batch, mode = (node.attributes[name] for name in ("axis", "batch", "mode"))
    size = next(x.shape[0] for x, b in zip(operands, batched, strict=True) if b)
    x, updates = (
        y if flag else movement.expand(y, (size, *y.shape))
        for y, flag in ((operands[0], batched[0]), (operands[2], batched[2]))
    )
    indices = operands[1]
    if batched[1]:
        return scatter(x, indices, updates, axis + 1, batch + 1, mode)
    x, updates = (movement.moveaxis(y, 0, batch) for y in (x, updates))
    result = scatter(x, indices, updates, axis + 1, batch, mode)
    return movement.moveaxis(result, batch, 0)


def _scatter_samples() -> list[Sample]:
    rows = (_array(5, 2), np.array([4, 0, 4]), _array(3, 2))
    shared = (_array(2, 3), np.array([[2, 2], [0, 1]]), _array(2, 2))
    found = []
    for mode in MODES:
        found += [
            Sample(rows, {"axis": 0, "batch": 0, "mode": mode}),
            Sample(shared, {"axis": 1, "batch": 1, "mode": mode}),
            Sample(
                (_array(2, 4, 2), np.array([[3], [3]]), _array(2, 2, 1, 2)),
                {"axis": 1, "batch": 0, "mode": mode},
            ),
            Sample(
                (_array(3), np.zeros(0, int), np.zeros(0)),
                {"axis": 0, "batch": 0, "mode": mode},
            ),
            Sample(
                (np.array([1, 2, 3]), np.array([1, 1]), np.array([5, -7])),
                {"axis": 0, "batch": 0, "mode": mode}, smooth=False,
            ),
        ]  # fmt: skip
    found.append(
        Sample(
            (_array(2), np.array([0, 0, 1, 1]), np.array([0.0, 3.0, 0.0, 0.0])),
            {"axis": 0, "batch": 0, "mode": "multiply"},
            smooth=False,  # the second derivative is not exact
        )
    )
    return found


SCATTER = Primitive(
    name="scatter",
    infer=_scatter_infer,
    reference=quiet(_scatter_reference),
    vjp=_scatter_vjp,
    batch=_scatter_batch,
    samples=_scatter_samples,
    failures=lambda: [
        Failure(
            (_array(3), np.array([0, 3]), _array(2)),
            {"axis": 0, "batch": 0, "mode": "add"}, IndexingError,
            "[scatter] an index is out of range. Got: index 3 for axis 0 of size 3. "
            "Expected: 0 to 2.",
        ),
        Failure(
            (_array(3, 2), np.array([0, 2]), _array(3)),
            {"axis": 0, "batch": 0, "mode": "add"}, ShapeError,
            "[scatter] the updates do not have the indexed shape. Got: (3,). "
            "Expected: (2, 2).",
        ),
        Failure(
            (np.array([True]), np.array([0]), np.array([True])),
            {"axis": 0, "batch": 0, "mode": "add"}, DTypeError,
            "[scatter] the element type is not accepted. Got: bool. "
            "Expected: float or signed or unsigned. Fix: cast with x.to(...).",
        ),
        Failure(
            (_array(3), np.array([0]), _array(1)),
            {"axis": 0, "batch": 0, "mode": "mean"}, ArgumentError,
            "[scatter] there is no such mode. Got: 'mean'. "
            "Expected: set or add or multiply or max or min.",
        ),
    ],
    source="writes where gather reads; of equal indices in mode set the last one stays",
)  # fmt: skip


def scatter(
    x: Node, indices: Node, updates: Node, axis: int, batch: int, mode: str
) -> Node:
    """Return `x` with `updates` written at `indices` of `axis`, where `gather` reads.

    Args:
        indices: int64 in 0..n-1.
        updates: the shape that `gather` would give, in the dtype of `x`.
        mode: "set" (of equal indices the last one stays), "add", "multiply", "max" or
            "min" with what is there.

    Gradient: exact in all modes; in "max" and "min" shared equally between equal
    extremes. Second derivatives of "multiply" miss terms where updates are 0.
    """
    return apply(SCATTER, x, indices, updates, axis=axis, batch=batch, mode=mode)


# Ops that read


def take(x: Node, indices: Node, *, axis: int | None = None) -> Node:
    """Return the elements of `x` at `indices` of `axis`.

    Args:
        indices: integers of any shape; negative ones count from the end.
        axis: may be left out for a tensor of one axis.

    Returns:
        Shape `x.shape[:axis] + indices.shape + x.shape[axis + 1:]`.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ArgumentError: no axis is given and `x` has not one axis.

    Gradient: `ct` added at `indices`.

    Source: Array API standard 2024.12.
    """
    axis = _only_axis("take", x, axis)
    return gather(x, wrap_index(indices, x.shape[axis], axis), axis)


def _only_axis(op: str, x: Node, axis: int | None) -> int:
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(
                f"[{op}] axis must be given for a tensor that has not one axis",
                got=str(x.shape),
            )
        axis = 0
    return normalize_axis(op, axis, x.ndim)


def _along(op: str, x: Node, indices: Node, axis: int) -> tuple[int, Shape]:
    """Check operands that match beside `axis`; return it and the common other sizes."""
    if x.ndim != indices.ndim:
        raise ShapeError(
            f"[{op}] the tensor and the indices differ in the number of axes",
            got=f"{x.shape} and indices {indices.shape}",
        )
    axis = normalize_axis(op, axis, x.ndim)
    first, second = (
        (*node.shape[:axis], *node.shape[axis + 1 :]) for node in (x, indices)
    )
    return axis, broadcast(op, first, second)


def _with_last(x: Node, axis: int, lead: Shape) -> Node:
    """Move `axis` to the end, and expand the others to `lead`."""
    return movement.expand(movement.moveaxis(x, axis, -1), (*lead, x.shape[axis]))


def take_along_axis(x: Node, indices: Node, *, axis: int = -1) -> Node:
    """Return, along `axis`, the elements of `x` at `indices`.

    Formula: on vectors out[i] = x[indices[i]]; else each line has its own indices.

    Args:
        indices: integers, as many axes as `x`; those beside `axis` broadcast. Negative
            ones count from the end.

    Returns:
        The shape of `indices`, broadcast beside `axis`.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: the other axes do not broadcast.

    Gradient: `ct` added at `indices`.

    Source: Array API standard 2024.12.
    """
    axis, lead = _along("take_along_axis", x, indices, axis)
    indices = wrap_index(indices, x.shape[axis], axis)
    n = len(lead)
    x, indices = _with_last(x, axis, lead), _with_last(indices, axis, lead)
    return movement.moveaxis(gather(x, indices, n, n), -1, axis)


def repeat(x: Node, repeats: int | Sequence[int], *, axis: int | None = None) -> Node:
    """Return `x` with each element repeated along `axis`.

    Args:
        repeats: how often; one number, or one for each element of the axis.
        axis: None flattens `x` first.

    Raises:
        ShapeError: `repeats` has not one number for each element, or a negative one.

    Source: Array API standard 2024.12.
    """
    if axis is None:
        x, axis = movement.reshape(x, (x.size,)), 0
    axis = normalize_axis("repeat", axis, x.ndim)
    n = x.shape[axis]
    counts = as_shape("repeat", repeats)
    if isinstance(repeats, (tuple, list)) and len(counts) not in (1, n):
        raise ShapeError(
            "[repeat] one number is needed for each element of the axis",
            got=f"{len(counts)} numbers for axis {axis} of shape {x.shape}",
        )
    if len(counts) > 1:
        order = source.constant(np.repeat(np.arange(n), counts), int64)
        return gather(x, order, axis)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    (count,) = counts or (1,)
    wide = movement.expand_dims(x, axis=axis + 1)
    wide = movement.expand(wide, (*before, n, count, *after))
    return movement.reshape(wide, (*before, n * count, *after))


def diagonal(x: Node, *, offset: int = 0) -> Node:
    """Return the diagonals of matrices.

    Args:
        x: shape (..., n, m).
        offset: which diagonal: above the main one if positive, below it if negative.

    Returns:
        Shape (..., length of the diagonal).

    Raises:
        ShapeError: `x` has fewer than two axes.

    Source: Array API standard 2024.12, linalg.diagonal.
    """
    if x.ndim < 2:
        raise ShapeError("[diagonal] at least two axes are needed", got=str(x.shape))
    *lead, n, m = x.shape
    offset = operator.index(offset)
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    start = offset if offset >= 0 else -offset * m
    # One step down and one to the right is m + 1 elements on.
    flat = movement.reshape(x, (*lead, n * m))
    if length == 0:
        return movement.slice_axis(flat, len(lead), 0, 0)
    stop = start + (length - 1) * (m + 1) + 1
    return movement.slice_axis(flat, len(lead), start, stop, m + 1)


def trace(x: Node, *, offset: int = 0, dtype: DType | None = None) -> Node:
    """Return the sums over the diagonals of matrices.

    Args:
        x, offset: as in `diagonal`.
        dtype: of the result, as in `sum`.

    Returns:
        Shape (...).

    Source: Array API standard 2024.12, linalg.trace.
    """
    return reduce.sum(diagonal(x, offset=offset), -1, dtype=dtype)


def meshgrid(*arrays: Node, indexing: str = "xy") -> list[Node]:
    """Return the coordinates of all points of a grid, one tensor for each of `arrays`.

    Args:
        arrays: coordinates along each axis, of at most one axis each.
        indexing: "ij" puts array i along axis i; "xy" exchanges the first two axes.

    Source: Array API standard 2024.12.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(
            "[meshgrid] there is no such indexing",
            got=repr(indexing),
            expected="xy or ij",
        )
    if any(x.ndim > 1 for x in arrays):
        raise ShapeError(
            "[meshgrid] arrays of at most one axis are needed",
            got=" and ".join(str(x.shape) for x in arrays),
        )
    count = len(arrays)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = 1, 0
    shape = [0] * count
    for x, place in zip(arrays, places, strict=True):
        shape[place] = x.size
    result = []
    for x, place in zip(arrays, places, strict=True):
        line = [1] * count
        line[place] = x.size
        result.append(movement.expand(movement.reshape(x, line), tuple(shape)))
    return result


def one_hot(x: Node, num_classes: int, *, dtype: DType | None = None) -> Node:
    """Return 1 at the class that each element of `x` names, 0 elsewhere.

    Args:
        x: integers, any shape.
        dtype: of the result. Default: the default floating-point type.

    Returns:
        Shape (..., num_classes).

    Raises:
        DTypeError: `x` are no integers.

    Special cases: all 0 where `x` is not in 0..num_classes-1.
    """
    require("one_hot", x, "signed unsigned")
    (count,) = as_shape("one_hot", num_classes)
    classes = source.iota(count, int64)
    place = movement.expand_dims(elementwise.cast(x, int64), axis=-1)
    hot = elementwise.equal(place, classes)
    return elementwise.cast(hot, default_float if dtype is None else dtype)


# Ops that write


def _fit(op: str, value: Operand, dtype: DType, shape: Shape) -> Node:
    """Return `value` cast and broadcast to the indexed `shape`."""
    node = as_node(op, value, dtype)
    extra = node.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in node.shape[:extra]):
        node = movement.reshape(node, node.shape[extra:])
    sizes = zip(node.shape[::-1], shape[::-1], strict=False)
    if node.ndim > len(shape) or any(n not in (1, m) for n, m in sizes):
        raise ShapeError(
            f"[{op}] the new values do not broadcast to the indexed shape",
            got=f"values of shape {node.shape}",
            expected=f"{shape}, or what broadcasts to it",
        )
    return movement.expand(node, shape)


def _index_update(
    op: str, x: Node, indices: Node, updates: Operand, axis: int, mode: str
) -> Node:
    _check_mode(op, mode)
    axis = normalize_axis(op, axis, x.ndim)
    index = wrap_index(indices, x.shape[axis], axis)
    shape = _indexed_shape(x.shape, index.shape, axis, 0)
    return scatter(x, index, _fit(op, updates, x.dtype, shape), axis, 0, mode)


def index_add(x: Node, indices: Node, updates: Operand, *, axis: int) -> Node:
    """Return `x` with `updates` added at `indices` of `axis`; equal indices add up.

    Args:
        indices: integers of any shape; negative ones count from the end.
        updates: broadcast to the shape of `take(x, indices, axis=axis)`, and cast to
            the dtype of `x`. 16-bit floats are accumulated in float32.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: `updates` do not broadcast to the indexed shape.

    Gradient: `(ct, take(ct, indices))`.
    """
    return _index_update("index_add", x, indices, updates, axis, "add")


def index_copy(x: Node, indices: Node, updates: Operand, *, axis: int) -> Node:
    """Return `x` with `updates` put at `indices` of `axis`.

    Arguments and errors are those of `index_add`.

    Special cases: of updates at equal indices the last one stays.

    Gradient: `ct` without the places written, and `ct` at the updates that stayed.
    """
    return _index_update("index_copy", x, indices, updates, axis, "set")


def index_reduce(
    x: Node, indices: Node, updates: Operand, *, axis: int, mode: str
) -> Node:
    """Return `x` combined with `updates` at `indices` of `axis`.

    Args:
        mode: "add", "multiply", "max", "min" or "set". The others are those of
            `index_add`.

    Gradient: in "max" and "min" shared equally between equal extremes. Second
    derivatives of "multiply" miss terms where updates are 0.
    """
    return _index_update("index_reduce", x, indices, updates, axis, mode)


def put_along_axis(
    x: Node, indices: Node, values: Operand, *, axis: int = -1, mode: str = "set"
) -> Node:
    """Return `x` with, along `axis`, `values` put at `indices`.

    Formula: on vectors out[indices[i]] = values[i]; else each line has its own indices.

    Args:
        indices: integers, as many axes as `x`; the others broadcast to those of `x`.
            Negative ones count from the end.
        values: broadcast to `indices`, and cast to the dtype of `x`.
        mode: "set" (of equal indices the last one stays), "add", "multiply", "max" or
            "min" with what is there.

    Raises:
        DTypeError: `indices` are no integers.
        IndexingError: at run time, one is out of range.
        ShapeError: a shape does not broadcast.

    Gradient: that of `index_reduce`.
    """
    _check_mode("put_along_axis", mode)
    axis, lead = _along("put_along_axis", x, indices, axis)
    if lead != (*x.shape[:axis], *x.shape[axis + 1 :]):
        raise ShapeError(
            "[put_along_axis] the indices do not broadcast to the tensor",
            got=f"{x.shape} and indices {indices.shape}",
        )
    index = wrap_index(indices, x.shape[axis], axis)
    shape = (*x.shape[:axis], indices.shape[axis], *x.shape[axis + 1 :])
    new = movement.moveaxis(_fit("put_along_axis", values, x.dtype, shape), axis, -1)
    n = len(lead)
    result = scatter(
        movement.moveaxis(x, axis, -1), _with_last(index, axis, lead), new, n, n, mode
    )
    return movement.moveaxis(result, -1, axis)


def masked_fill(x: Node, mask: Node, value: Operand) -> Node:
    """Return `x` with `value` where `mask` is true, in the dtype of `x`.

    Args:
        mask: bool, broadcast against `x`.
        value: a number, or a tensor that broadcasts too.

    Raises:
        DTypeError: the mask is not bool.
        ShapeError: the shapes do not broadcast.

    Gradient: `ct` where `mask` is false, to `x`; the rest to `value`.
    """
    require("masked_fill", mask, "bool")
    return elementwise.select(mask, as_node("masked_fill", value, x.dtype), x)


# Indexing: from the key to a spec

_KINDS = "integers, slices, ..., None, and integer or bool tensors, arrays or lists"


def _bad_index(item: Any) -> IndexingError:
    kind = type(item).__name__
    is_float = isinstance(item, (float, np.floating))
    return IndexingError(
        "[index] this cannot index a tensor",
        got=f"{item!r} of type {kind}" if is_float else f"an index of type {kind}",
        expected=_KINDS,
        fix="convert it with int(...)" if is_float else "",
    )


def _as_array(item: Any) -> Any:
    """Return a nested list as a NumPy array, and an array as it is; check the dtype."""
    if isinstance(item, (list, tuple, range)):
        try:
            item = np.asarray(item)
        except (TypeError, ValueError):
            raise _bad_index(item) from None
        if item.size == 0:
            item = item.astype(np.int64)
    if isinstance(item, np.ndarray):
        if item.dtype.kind not in "iub":
            raise IndexingError(
                "[index] an index array must be of integers or bools",
                got=item.dtype.name,
                fix="convert it with .astype(int)" if item.dtype.kind == "f" else "",
            )
        return item
    dtype = getattr(item, "dtype", None)
    if not isinstance(dtype, DType) or not hasattr(item, "shape"):
        raise _bad_index(item)
    if dtype.kind == "bool":
        raise IndexingError(
            "[index] the shape of the result would depend on the values of a mask",
            got=f"a bool tensor of shape {tuple(item.shape)}",
            fix="use where(mask, x, y) or masked_fill",
        )
    if not dtype.is_integer:
        raise IndexingError(
            "[index] an index tensor must be of integers or bools",
            got=dtype.name,
            fix="cast it with x.to(plait.int64)",
        )
    return item


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    """Return the start, step and length of a slice of an axis of `size` elements."""
    try:
        start, stop, step = item.indices(size)
    except TypeError:
        raise IndexingError(
            "[index] the bounds of a slice must be integers or None", got=repr(item)
        ) from None
    except ValueError:
        raise IndexingError(
            "[index] the step of a slice must not be zero", got=repr(item)
        ) from None
    length = len(range(start, stop, step))
    return (start, step, length) if length else (0, 1, 0)


def _covered(item: Any) -> int:
    """Return how many axes an item of a key takes up, an ellipsis left out."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, np.ndarray) and item.dtype.kind == "b":
        return item.ndim
    return 1


def _simplified(item: Any) -> Any:
    """Return an item of a key as None, ..., a bool, an int, a slice or an array."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (np.generic, np.ndarray)) and item.ndim == 0:
        item = item.item()
    if isinstance(item, (bool, int)):
        return item
    if isinstance(item, (list, tuple, range)) or hasattr(item, "shape"):
        return _as_array(item)
    try:
        return operator.index(item)
    except TypeError:
        raise _bad_index(item) from None


def mask_positions(mask: np.ndarray, shape: Shape, axis: int = 0) -> list[np.ndarray]:
    """Return where `mask` is true: one index array for each axis that it covers.

    Args:
        mask: bool, with the sizes of the axes of `shape` from `axis` on, or 0 as the
            Array API standard allows.

    Raises:
        IndexingError: the sizes differ.
    """
    for i, n in enumerate(mask.shape, axis):
        if i >= len(shape) or n not in (shape[i], 0):
            against = shape[i] if i < len(shape) else "none"
            raise IndexingError(
                "[index] a mask does not have the sizes of the axes that it covers",
                got=f"a mask of shape {mask.shape} at axis {axis} of shape {shape}: "
                f"{n} elements against {against} on axis {i}",
            )
    return list(np.nonzero(mask))


def parse_index(key: Any, shape: Shape) -> tuple[Spec, list[Any]]:
    """Return the spec of `x[key]` for `x` of `shape`, and its index arrays in order.

    Args:
        key: what Python gives to `__getitem__`: integers, slices, `...`, None, bools,
            nested lists, NumPy arrays of integers or bools, and objects with a shape
            and an integer `DType`. Bool tensors must have become NumPy arrays.

    Returns:
        The spec is hashable. The index arrays are NumPy arrays of int64 in 0..n-1, and
        the objects with a `DType` as they are.

    Raises:
        IndexingError: there are more indices than axes, two ellipses, an index out of
            range or of another kind, a mask of a wrong shape, or index arrays that do
            not broadcast.
    """
    items = [_simplified(item) for item in (key if isinstance(key, tuple) else (key,))]
    covered = sum(map(_covered, items))
    dots = sum(item is Ellipsis for item in items)
    if dots > 1:
        raise IndexingError(
            "[index] an index may have only one ellipsis (...)", got=str(dots)
        )
    if covered > len(shape):
        raise IndexingError(
            "[index] there are more indices than axes",
            got=f"indices for {covered} axes of a tensor of shape {shape}",
            expected=f"at most {len(shape)}",
        )
    if not dots:
        items.append(Ellipsis)
    entries: list[tuple[Any, ...]] = []
    operands: list[Any] = []
    axis = rank = 0  # axes of x used up, and of the result made by basic indices
    place: int | None = None
    parted = False  # a basic index has followed an advanced one
    for item in items:
        if item is None or item is Ellipsis or isinstance(item, slice):
            parted = place is not None
        elif place is None:
            place = rank
        elif parted:
            place = 0
        if item is None:
            entries.append(("new",))
            rank += 1
        elif item is Ellipsis:
            whole = shape[axis : axis + len(shape) - covered]
            entries += [("slice", 0, 1, n) for n in whole]
            axis, rank = axis + len(whole), rank + len(whole)
        elif isinstance(item, bool):
            entries.append(("bool", int(item)))
        elif isinstance(item, int):
            entries.append(("int", _static_index(item, shape, axis)))
            axis += 1
        elif isinstance(item, slice):
            entries.append(("slice", *_bounds(item, shape[axis])))
            axis, rank = axis + 1, rank + 1
        elif isinstance(item, np.ndarray) and item.dtype.kind == "b":
            operands += mask_positions(item, shape, axis)
            entries += [("array", False)] * item.ndim
            axis += item.ndim
        elif isinstance(item, np.ndarray):
            operands.append(_in_range("index", item, shape[axis], axis, negative=True))
            entries.append(("array", False))
            axis += 1
        else:
            operands.append(item)
            entries.append(("array", True))
            axis += 1
    if not any(entry[0] in ("array", "bool") for entry in entries):
        place = None  # integers alone are basic
    spec = (place, tuple(entries))
    _broadcast_indices(spec, [tuple(item.shape) for item in operands])
    return spec, operands


def _static_index(item: int, shape: Shape, axis: int) -> int:
    size = shape[axis]
    if not -size <= item < size:
        raise IndexingError(
            "[index] an index is out of range",
            got=f"index {item} for axis {axis} of shape {shape}",
            expected=_range_of(size, True),
        )
    return item % size


def _broadcast_indices(spec: Spec, shapes: Iterable[Shape]) -> Shape:
    """Return the common shape of the index arrays.

    Raises:
        IndexingError: they do not broadcast.
    """
    every = [*shapes, *((entry[1],) for entry in spec[1] if entry[0] == "bool")]
    try:
        return broadcast("index", *every) if every else ()
    except ShapeError as error:
        raise IndexingError(
            "[index] index arrays do not broadcast",
            got=" and ".join(str(shape) for shape in every),
            expected=error.expected,
        ) from None


# Indexing: from the spec to primitives


class _Plan:
    """The axes of an indexed tensor, sorted by what the spec does with them.

    Attributes:
        region: (start, step, length) of each axis of x; whole under an index array.
        common: the shape of the index arrays.
        shape: of the result.
        kept: the shape of the region without the axes that an integer removes.
        order: the axes of `kept`, those under index arrays brought together.
        at: where these stand in that order.
        sizes: their sizes.
        rest: the sizes of the others in that order.
    """

    def __init__(self, x: Node, indices: Sequence[Node], spec: Spec) -> None:
        place, entries = spec
        self.common = _broadcast_indices(spec, [node.shape for node in indices])
        self.region: list[tuple[int, int, int]] = []
        arrays: list[int] = []
        others: list[int] = []
        kept: list[int] = []
        result: list[int] = []
        self.at = 0
        for kind, *numbers in entries:
            if kind == "new":
                result.append(1)
            elif kind == "int":
                self.region.append((numbers[0], 1, 1))
            elif kind == "array":
                n = x.shape[len(self.region)]
                arrays.append(len(kept))
                kept.append(n)
                self.region.append((0, 1, n))
            elif kind == "slice":
                start, step, length = numbers
                others.append(len(kept))
                kept.append(length)
                result.append(length)
                self.region.append((start, step, length))
            if place is not None and len(result) <= place:
                self.at = len(others)
        if place is not None:
            result[place:place] = self.common
        self.shape = tuple(result)
        self.kept = tuple(kept)
        self.order = (*others[: self.at], *arrays, *others[self.at :])
        self.sizes = tuple(kept[i] for i in arrays)
        self.rest = tuple(kept[i] for i in others)

    def merged(self, x: Node) -> Node:
        """Return the region with the axes under index arrays merged into one."""
        x = movement._permute(movement.reshape(x, self.kept), self.order)
        size = math.prod(self.sizes)
        return movement.reshape(x, (*self.rest[: self.at], size, *self.rest[self.at :]))

    def unmerged(self, x: Node, shape: Shape) -> Node:
        """Undo `merged`, for a region of `shape`."""
        split = (*self.rest[: self.at], *self.sizes, *self.rest[self.at :])
        x = movement._permute(movement.reshape(x, split), movement._inverse(self.order))
        return movement.reshape(x, shape)


def _linear(indices: Sequence[Node], spec: Spec, plan: _Plan) -> Node:
    """Return positions in the merged axis, which is in row-major order."""
    axes = [entry for entry in spec[1] if entry[0] not in ("new", "bool")]
    arrays = [(i, entry[1]) for i, entry in enumerate(axes) if entry[0] == "array"]
    total: Node | None = None
    for (axis, wrap), node, size in zip(arrays, indices, plan.sizes, strict=True):
        index = wrap_index(node, size, axis) if wrap else elementwise.cast(node, int64)
        if total is not None:
            index = elementwise.add(elementwise.multiply(total, size), index)
        total = index
    assert total is not None
    return movement.expand(total, plan.common)


def _range(x: Node, ranges: Sequence[tuple[int, int, int]]) -> Node:
    """Return the elements `start + k * step`, k < length, of each axis."""
    starts, stops, steps, reverse = [], [], [], []
    for axis, (start, step, length) in enumerate(ranges):
        last = start + step * (length - 1)
        low, high = min(start, last), max(start, last)
        starts.append(low if length else 0)
        stops.append(high + 1 if length else 0)
        steps.append(abs(step))
        if step < 0 and length > 1:
            reverse.append(axis)
    x = movement.slice_(x, starts, stops, steps)
    return movement.flip(x, axis=tuple(reverse)) if reverse else x


def get_index(x: Node, *indices: Node, spec: Spec) -> Node:
    """Return `x[key]` as a new value.

    Args:
        indices, spec: what `parse_index(key, x.shape)` gives.

    Raises:
        IndexingError: at run time, an index is out of range.

    Gradient: `ct` added at the indexed places.
    """
    plan = _Plan(x, indices, spec)
    region = _range(x, plan.region)
    if spec[0] is None:
        return movement.reshape(region, plan.shape)
    if not indices:  # bools alone: a new axis of size 1 or 0
        ones = list(plan.shape)
        ones[spec[0]] = 1
        return movement.expand(movement.reshape(region, ones), plan.shape)
    found = gather(plan.merged(region), _linear(indices, spec, plan), plan.at)
    return movement.reshape(found, plan.shape)


def set_index(
    x: Node, value: Operand, *indices: Node, spec: Spec, mode: str = "set"
) -> Node:
    """Return `x` with `value` at `x[key]`, a new value.

    Args:
        value: broadcast to the shape of `x[key]`, and cast to the dtype of `x`.
        indices, spec: what `parse_index(key, x.shape)` gives.
        mode: as in `scatter`. "add" adds up where a place is indexed twice.

    Raises:
        ShapeError: `value` does not broadcast to the indexed shape.
        IndexingError: at run time, an index is out of range.

    Gradient: `ct` without the places written, and `ct` at those.
    """
    _check_mode("setitem", mode)
    plan = _Plan(x, indices, spec)
    value = _fit("setitem", value, x.dtype, plan.shape)
    if value.size == 0:
        return x
    if not indices:
        region = tuple(length for _, _, length in plan.region)
        return _write(x, plan.region, movement.reshape(value, region), mode)
    index = _linear(indices, spec, plan)
    shape = (*plan.rest[: plan.at], *plan.common, *plan.rest[plan.at :])
    value = movement.reshape(value, shape)

    def update(region: Node) -> Node:
        new = scatter(plan.merged(region), index, value, plan.at, 0, mode)
        return plan.unmerged(new, region.shape)

    return _write(x, plan.region, update(_range(x, plan.region)), "set")


def _write(
    x: Node, ranges: Sequence[tuple[int, int, int]], value: Node, mode: str
) -> Node:
    """Return `x` with `value` in a region, which is given for each axis."""
    parts = [
        axis
        for axis, (part, n) in enumerate(zip(ranges, x.shape, strict=True))
        if part != (0, 1, n)
    ]
    if not parts:
        return _combined(x, value, mode)
    axis = parts[0]
    start, step, length = ranges[axis]
    index = elementwise.multiply(source.iota(length, int64), step)
    index = elementwise.add(index, start)
    if len(parts) > 1:
        # Write inside the part of this axis alone, then put that part back.
        only = [(0, 1, n) for n in x.shape]
        only[axis] = ranges[axis]
        inside = [*ranges]
        inside[axis] = (0, 1, length)
        value, mode = _write(_range(x, only), inside, value, mode), "set"
    return scatter(x, index, value, axis, 0, mode)


def _combined(x: Node, value: Node, mode: str) -> Node:
    rules = {
        "add": elementwise.add, "multiply": elementwise.multiply,
        "max": elementwise.maximum, "min": elementwise.minimum,
    }  # fmt: skip
    return rules[mode](x, value) if mode in rules else value


def set_masked(x: Node, mask: Node, value: Operand) -> Node:
    """Return `x` with `value` at `x[mask]`, where `value` is the same for each place.

    Unlike `set_index` it needs not know where the mask is true.

    Args:
        mask: bool, with the sizes of the first axes of `x`.
        value: broadcasts to the shape of the other axes of `x`.

    Raises:
        IndexingError: the mask has other sizes.
        ShapeError: `value` does not broadcast.
    """
    require("setitem", mask, "bool")
    if mask.shape != x.shape[: mask.ndim]:
        raise IndexingError(
            "[setitem] a mask does not have the sizes of the axes that it covers",
            got=f"a mask of shape {mask.shape} for shape {x.shape}",
        )
    rest = x.shape[mask.ndim :]
    new = _fit("setitem", value, x.dtype, rest)
    mask = movement.reshape(mask, (*mask.shape, *(1,) * len(rest)))
    return elementwise.select(mask, new, x)


PRIMITIVES = (WRAP_INDEX, GATHER, SCATTER)

OPS = (
    take, take_along_axis, repeat, diagonal, trace, meshgrid, one_hot, index_add,
    index_copy, index_reduce, put_along_axis, masked_fill,
)  # fmt: skip
# What `x[...]` and `x[...] = y` record; not for users.
INDEXING_OPS = (get_index, set_index, set_masked)
