"""Reading and writing at positions that are data: the records behind all indexing.

Positions are int64 in 0..n-1 along one axis; `wrap_index` makes them of what users
give.
Knows nothing of keys, and nothing of the ops that users call.

Read first: `GATHER`, `SCATTER`, `gather`, `scatter`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, bool_, int32, int64
from ..errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import elementwise, movement, source
from .family import ANY, NUMERIC, check_axes, check_kind, quiet
from .operand import Operand, as_node


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


def range_of(size: int, negative: bool) -> str:
    """Return in words which indices an axis of `size` elements has."""
    if size == 0:
        return "none, as the axis is empty"
    return f"{-size if negative else 0} to {size - 1}"


def in_range(
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
            expected=range_of(size, negative),
        )
    return np.where(result < 0, result + size, result) if negative else result


# Wrap

WRAP_INDEX = Primitive(
    name="wrap_index",
    infer=lambda x, *, size, axis: _wrap_infer(x),
    reference=lambda x, *, size, axis: in_range("index", x, size, axis, negative=True),
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


def indexed_shape(x: Shape, indices: Shape, axis: int, batch: int) -> Shape:
    """Return the shape of `gather(x, indices, axis, batch)`."""
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
    return TensorType(indexed_shape(x.shape, indices.shape, axis, batch), x.dtype)


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
    index = in_range("gather", indices, x.shape[axis], axis)
    shape = indexed_shape(x.shape, index.shape, axis, batch)
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
    if indices.primitive is source.CONSTANT and not at["batch"]:
        found = _collected(ct, indices, x.shape[at["axis"]], at["axis"])
        if found is not None:
            return found, None
    zero = source.full_like(x, 0)
    return scatter(zero, indices, ct, at["axis"], at["batch"], "add"), None


# Elements may ask who took them for at most so many times the work of adding up where
# indices say.
_ASKING = 4


def _collected(ct: Node, indices: Node, size: int, axis: int) -> Node | None:
    """Return the derivative of a gather whose indices are known, if that pays.

    Each element adds up what was taken from it, of which the places are known. So
    nothing is written at positions that are data, and other kernels can do it.
    """
    array = indices.attributes["value"].array
    places = array.reshape(-1)
    if not ct.size or places.min() < 0 or places.max() >= size:
        return None
    counts = np.bincount(places, minlength=size)
    most = int(counts.max())
    if most > 1 and most * size > _ASKING * places.size:
        return None
    # Places that are shifted as most are come first: so these are neighbours.
    shifts = np.arange(places.size) - places
    found, often = np.unique(shifts, return_counts=True)
    order = np.lexsort((shifts != found[often.argmax()], places))
    lead, rest = ct.shape[:axis], ct.shape[axis + array.ndim :]
    own = array.shape
    if ct.primitive is movement.EXPAND and ct.operands[0].ndim == ct.ndim:
        # What is the same for several places is looked up where it is one.
        own = ct.operands[0].shape[axis : axis + array.ndim]
        numbers = np.arange(math.prod(own)).reshape(own)
        order = np.broadcast_to(numbers, array.shape).reshape(-1)[order]
        ct = movement.expand(ct.operands[0], (*lead, *own, *rest))
    ct = movement.reshape(ct, (*lead, math.prod(own), *rest))
    starts = np.cumsum(counts) - counts
    total: Node | None = None
    for turn in range(most):
        taken = turn < counts
        at = order[np.where(taken, starts + turn, 0)]
        part = gather(ct, source.constant(at, int64), axis)
        if not taken.all():
            column = taken.reshape((-1,) + (1,) * len(rest))
            part = elementwise.select(source.constant(column, bool_), part, 0)
        total = part if total is None else elementwise.add(total, part)
    return total


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


def check_mode(op: str, mode: str) -> None:
    """Raise unless `mode` is one of `MODES`.

    Raises:
        ArgumentError: it is not.
    """
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
    check_mode("scatter", mode)
    _check_layout("scatter", x, indices, axis, batch)
    check_kind("scatter", x.dtype, NUMERIC if mode in ("add", "multiply") else ANY)
    if updates.dtype is not x.dtype:
        raise DTypeError(
            "[scatter] operands differ in element type",
            got=f"{x.dtype.name} and {updates.dtype.name}",
        )
    shape = indexed_shape(x.shape, indices.shape, axis, batch)
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
    index = in_range("scatter", indices, x.shape[axis], axis)
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
    count = math.prod(rest)
    dtype = int32 if count < 1 << 31 else int64
    order = movement.reshape(source.iota(count, dtype), rest)
    order = movement.expand(order, indices.shape)
    none = source.full((*lead, size), 0, dtype)
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


def fit(op: str, value: Operand, dtype: DType, shape: Shape) -> Node:
    """Return `value` cast and broadcast to the indexed `shape`.

    Raises:
        ShapeError: it does not broadcast to it.
    """
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


PRIMITIVES = (WRAP_INDEX, GATHER, SCATTER)
