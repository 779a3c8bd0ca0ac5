"""Order: sorting, the largest few, places in a sorted vector, and quantiles.

In all of them nan counts as greater than every number, as in NumPy and PyTorch: it
comes last in ascending order and first in descending order. -0.0 and 0.0 are equal.

Read first: `SORT`, `sort`, `TOP_K`, `SEARCH_SORTED`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, int64
from ..errors import ArgumentError, AxisError, DTypeError, ShapeError
from ..ir.build import apply, pick, picks
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import (
    Shape,
    as_shape,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    size_of,
)
from . import elementwise, gather, index, movement, source
from .family import check_axes
from .operand import as_float, as_node, common_dtype

Axes = int | Sequence[int] | None

_EDGES = np.array([2.0, np.nan, -0.0, np.inf, 0.0, -np.inf, np.nan, 2.0])


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng([*shape]).uniform(-1, 1, shape)


def _comparable(x: np.ndarray) -> np.ndarray:
    """Return `x` in a type that NumPy orders fast: 16-bit floats as float32."""
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        return x.astype(np.float32)
    return x


# Sort


def _sort_infer(
    x: TensorType, *, axis: int, descending: bool, stable: bool
) -> tuple[TensorType, TensorType]:
    check_axes("sort", (axis,), x.ndim)
    return x, TensorType(x.shape, int64)


def _order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Return the positions along `axis` in order; equal elements keep theirs."""
    if not descending:
        return np.argsort(_comparable(x), axis, kind="stable")
    # Turned round twice, equal elements stand as they stood.
    turned = np.argsort(np.flip(_comparable(x), axis), axis, kind="stable")
    result: np.ndarray = x.shape[axis] - 1 - np.flip(turned, axis)
    return result


def _sort_reference(
    x: np.ndarray, *, axis: int, descending: bool, stable: bool
) -> tuple[np.ndarray, np.ndarray]:
    indices = _order(x, axis, descending).astype(np.int64, copy=False)
    return np.take_along_axis(x, indices, axis), indices


def _picked_vjp(
    cotangents: Sequence[Node | None], node: Node, x: Node
) -> tuple[Node | None]:
    """Give each element of `x` the cotangent of where it went."""
    ct = cotangents[0]
    if ct is None or not x.dtype.is_float:
        return (None,)
    zero, indices, axis = source.full_like(x, 0), pick(node, 1), node.attributes["axis"]
    zero, indices, ct = (movement.moveaxis(y, axis, -1) for y in (zero, indices, ct))
    last = x.ndim - 1
    result = gather.scatter(zero, indices, ct, last, last, "add")
    return (movement.moveaxis(result, -1, axis),)


def _shifted_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    at = dict(node.attributes)
    at["axis"] += 1
    return apply(node.primitive, *operands, **at)


_ORDERS: tuple[dict[str, Any], ...] = (
    {"descending": False, "stable": True},
    {"descending": True, "stable": True},
)

SORT = Primitive(
    name="sort",
    infer=_sort_infer,
    reference=_sort_reference,
    vjp=_picked_vjp,
    batch=_shifted_batch,
    samples=lambda: [
        sample
        for order in _ORDERS
        for sample in (
            Sample((_array(3, 4),), {"axis": 1, **order}),
            Sample((_array(4, 2, 2),), {"axis": 0, **order}),
            Sample((_array(0, 2),), {"axis": 0, **order}),
            Sample((_EDGES,), {"axis": 0, **order}, smooth=False),
            Sample((np.array([[3, 1, 3, -2]]),), {"axis": 1, **order}, smooth=False),
            Sample((np.array([True, False]),), {"axis": 0, **order}, smooth=False),
        )
    ],
    failures=lambda: [
        Failure(
            (_array(3),), {"axis": 1, **_ORDERS[0]}, AxisError,
            "[sort] the tensor has no such axis. "
            "Got: axis=1 for a tensor of 1 axes. Expected: 0 to 0.",
        )
    ],
    source="Array API standard 2024.12, sort and argsort; nan is greatest",
)  # fmt: skip


def _sorted(
    op: str, x: Node, axis: int, descending: bool, stable: bool
) -> tuple[Node, ...]:
    axis = normalize_axis(op, axis, x.ndim)
    return picks(
        apply(SORT, x, axis=axis, descending=bool(descending), stable=bool(stable))
    )


def sort(
    x: Node, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Node:
    """Return `x` with the elements along `axis` in order.

    Args:
        descending: the greatest first.
        stable: keep the order of equal elements, in both directions. Without it their
            order is unspecified.

    Special cases: nan counts as greatest.

    Gradient: `ct` put back where each element came from.

    Source: Array API standard 2024.12.
    """
    return _sorted("sort", x, axis, descending, stable)[0]


def argsort(
    x: Node, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Node:
    """Return the positions along `axis` that sort `x`, as int64.

    Special cases and arguments as in `sort`.

    Source: Array API standard 2024.12.
    """
    return _sorted("argsort", x, axis, descending, stable)[1]


# Top k


def _top_k_infer(x: TensorType, *, k: int, axis: int) -> tuple[TensorType, TensorType]:
    check_axes("top_k", (axis,), x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ArgumentError(
            "[top_k] there are not so many elements",
            got=f"k={k} for axis {axis} of shape {x.shape}",
            expected=f"0 to {x.shape[axis]}",
        )
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return TensorType(shape, x.dtype), TensorType(shape, int64)


def _top_k_reference(
    x: np.ndarray, *, k: int, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    n = x.shape[axis]
    last = np.moveaxis(x, axis, -1)
    if k == 0 or x.size == 0 or 8 * k > n:
        indices = _order(last, -1, True)[..., :k]
    else:
        chosen = _largest(_comparable(last).reshape(-1, n), k)
        indices = chosen.reshape(*last.shape[:-1], k)
        order = _order(np.take_along_axis(last, indices, -1), -1, True)
        indices = np.take_along_axis(indices, order, -1)
    values = np.moveaxis(np.take_along_axis(last, indices, -1), -1, axis)
    return values, np.moveaxis(indices, -1, axis).astype(np.int64, copy=False)


def _largest(rows: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of the `k` largest of each row, in ascending order.

    Of elements equal to the k-th largest the first are taken. Takes linear time.
    """
    n = rows.shape[1]
    bound = np.partition(rows, n - k, axis=1)[:, n - k, None]
    greater, equal = rows > bound, rows == bound
    if rows.dtype.kind == "f":  # nan, which is greater than any number
        nan = np.isnan(rows)
        greater |= nan & ~np.isnan(bound)
        equal |= nan & np.isnan(bound)
    room = k - greater.sum(1, keepdims=True)
    taken = greater | (equal & (np.cumsum(equal, 1) <= room))
    return np.nonzero(taken)[1].reshape(-1, k)


TOP_K = Primitive(
    name="top_k",
    infer=_top_k_infer,
    reference=_top_k_reference,
    vjp=_picked_vjp,
    batch=_shifted_batch,
    samples=lambda: [
        Sample((_array(3, 5),), {"k": 2, "axis": 1}),
        Sample((_array(4, 2),), {"k": 4, "axis": 0}),
        Sample((_array(2, 20),), {"k": 2, "axis": 1}),
        Sample((_array(3),), {"k": 0, "axis": 0}),
        Sample((_EDGES,), {"k": 3, "axis": 0}, smooth=False),
        Sample((np.tile(_EDGES, 4),), {"k": 3, "axis": 0}, smooth=False),
        Sample((np.array([1, 3, 2, 3, 3] * 4),), {"k": 2, "axis": 0}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"k": 4, "axis": 1}, ArgumentError,
            "[top_k] there are not so many elements. "
            "Got: k=4 for axis 1 of shape (2, 3). Expected: 0 to 3.",
        )
    ],
    source="the first k of a stable sort in descending order; nan is greatest",
)  # fmt: skip


def top_k(x: Node, k: int, *, axis: int = -1) -> tuple[Node, Node]:
    """Return the `k` largest elements of `x` along `axis`, with positions as int64.

    Args:
        k: 0 to the size of the axis.

    Returns:
        Both with size k along `axis`, the largest first; of equal ones the first first.

    Raises:
        ArgumentError: the axis has fewer elements.

    Special cases: nan counts as greatest.

    Gradient: `ct` put back where each element came from.
    """
    axis = normalize_axis("top_k", axis, x.ndim)
    (k,) = as_shape("top_k", k)
    values, indices = picks(apply(TOP_K, x, k=k, axis=axis))
    return values, indices


# Search


def _search_infer(ordered: TensorType, values: TensorType, *, side: str) -> TensorType:
    if side not in ("left", "right"):
        raise ArgumentError(
            "[searchsorted] there is no such side",
            got=repr(side),
            expected="left or right",
        )
    if ordered.dtype is not values.dtype:
        raise DTypeError(
            "[searchsorted] operands differ in element type",
            got=f"{ordered.dtype.name} and {values.dtype.name}",
        )
    lead = ordered.shape[:-1]
    if ordered.ndim == 0 or values.shape[: len(lead)] != lead:
        raise ShapeError(
            "[searchsorted] a vector is needed, or one for each row of values",
            got=f"{ordered.shape} and values {values.shape}",
            expected="(n,) and any shape, or (..., n) and (..., m)",
        )
    return TensorType(values.shape, int64)


def _search_reference(
    ordered: np.ndarray, values: np.ndarray, *, side: str
) -> np.ndarray:
    ordered, values = _comparable(ordered), _comparable(values)
    if ordered.ndim == 1:
        return np.asarray(np.searchsorted(ordered, values, side), np.int64)  # type: ignore[call-overload]
    *lead, n = ordered.shape
    rows = math.prod(lead)
    count = math.prod(values.shape[len(lead) :])
    table, wanted = ordered.reshape(rows, n), values.reshape(rows, count)
    low = np.zeros((rows, count), np.int64)
    high = np.full((rows, count), n, np.int64)
    for _ in range(n.bit_length()):  # each step halves what lies between
        middle = (low + high) // 2
        found = np.take_along_axis(table, np.minimum(middle, n - 1), 1)
        if side == "left":
            onward = _below(found, wanted)
        else:
            onward = ~_below(wanted, found)
        onward &= low < high
        low = np.where(onward, middle + 1, low)
        high = np.where(onward, high, np.minimum(middle, high))
    return low.reshape(values.shape)


def _below(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    result = x < y
    if x.dtype.kind == "f":
        result |= np.isnan(y) & ~np.isnan(x)
    return result


def _search_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    ordered, values = operands
    side = node.attributes["side"]
    if all(batched):
        return apply(SEARCH_SORTED, ordered, values, side=side)
    if batched[0]:
        values = movement.expand(values, (ordered.shape[0], *values.shape))
        return apply(SEARCH_SORTED, ordered, values, side=side)
    # The new axis of values goes behind those that both share, and comes back.
    lead = ordered.ndim - 1
    result = apply(
        SEARCH_SORTED, ordered, movement.moveaxis(values, 0, lead), side=side
    )
    return movement.moveaxis(result, lead, 0)


SEARCH_SORTED = Primitive(
    name="search_sorted",
    infer=_search_infer,
    reference=_search_reference,
    batch=_search_batch,
    differentiable=False,
    samples=lambda: [
        Sample((table, values), {"side": side}, smooth=False)
        for side in ("left", "right")
        for table, values in (
            (np.array([1.0, 2.0, 2.0, 3.0]), np.array([[0.0, 2.0], [2.5, 9.0]])),
            (np.sort(_EDGES), _EDGES),
            (np.array([1, 3, 3, 5]), np.array(3)),
            (np.zeros(0), np.array([1.0])),
            (np.sort(_array(2, 7)), _array(2, 3)),
            (np.array([[1, 2, 2], [2, 4, 6]]), np.array([[2, 0], [7, 4]])),
        )
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3), _array(3, 2)), {"side": "left"}, ShapeError,
            "[searchsorted] a vector is needed, or one for each row of values. "
            "Got: (2, 3) and values (3, 2). "
            "Expected: (n,) and any shape, or (..., n) and (..., m).",
        ),
        Failure(
            (_array(3), _array(2)), {"side": "middle"}, ArgumentError,
            "[searchsorted] there is no such side. Got: 'middle'. "
            "Expected: left or right.",
        ),
    ],
    source="Array API standard 2024.12, searchsorted; nan is greatest",
)  # fmt: skip


def searchsorted(
    x1: Node, x2: Node, *, side: str = "left", sorter: Node | None = None
) -> Node:
    """Return where the elements of `x2` would go in `x1` so that it stays sorted.

    Formula: i with x1[i - 1] < v <= x1[i] for side "left", and with
    x1[i - 1] <= v < x1[i] for side "right".

    Args:
        x1: shape (n,), ascending; or (..., n), with one line for each line of `x2`.
        x2: any shape; or (..., m).
        side: "left" or "right".
        sorter: positions that sort `x1`, which then need not be sorted.

    Returns:
        Integers in 0..n in the shape of `x2`, as int64.

    Raises:
        ShapeError: `x1` has no axes, or its leading axes are not those of `x2`.

    Special cases: nan counts as greatest.

    Source: Array API standard 2024.12.
    """
    dtype = common_dtype((x1, x2))
    if sorter is not None:
        x1 = index.take_along_axis(x1, sorter, axis=-1)
    x1, x2 = (as_node("searchsorted", x, dtype) for x in (x1, x2))
    return apply(SEARCH_SORTED, x1, x2, side=side)


# Quantiles

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def lined_up(op: str, x: Node, axis: Axes) -> tuple[Node, tuple[int, ...]]:
    """Return floats with `axis` flattened into the last, sorted; and the axes."""
    x = as_float(op, x)
    axes = normalize_axes(op, axis, x.ndim)
    count = size_of(x.shape[a] for a in axes)
    if count == 0:
        raise ShapeError(
            f"[{op}] there is no value over zero elements",
            got=f"axes {axes} of shape {x.shape}",
        )
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    x = movement.permute_dims(x, (*rest, *axes))
    x = movement.reshape(x, (*(x.shape[: len(rest)]), count))
    return sort(x), axes


def _between(x: Node, at: float, method: str) -> Node:
    """Return what stands at a place between elements of the last axis of sorted `x`."""
    low, high = math.floor(at), math.ceil(at)
    share = at - low
    if method == "lower":
        high = low
    elif method == "higher":
        low = high
    elif method == "nearest":  # ties to even
        low = high = round(at)
    elif method == "midpoint" and low != high:
        share = 0.5
    axis = x.ndim - 1
    first = movement.slice_axis(x, axis, low, low + 1)
    if low == high:
        return first
    second = movement.slice_axis(x, axis, high, high + 1)
    return part_way(first, second, share)


def part_way(first: Node, second: Node, share: Node | float) -> Node:
    """Return what lies a share of the way from the first to the second."""
    step = elementwise.multiply(elementwise.subtract(second, first), share)
    # Between equal infinities the difference is nan.
    stay = elementwise.logical_and(
        elementwise.equal(first, second), elementwise.isinf(first)
    )
    return elementwise.add(first, elementwise.select(stay, 0, step))


def shares_of(op: str, q: float | Sequence[float]) -> list[float]:
    """Return the shares that quantiles are asked for.

    Raises:
        ArgumentError: one does not lie in 0..1.
    """
    shares = [float(one) for one in (q if isinstance(q, (tuple, list)) else (q,))]
    if not all(0 <= one <= 1 for one in shares):
        raise ArgumentError(
            f"[{op}] the shares must lie in 0..1", got=repr(q), expected="0 to 1"
        )
    return shares


def one_or_all(
    found: list[Node], q: float | Sequence[float], shape: Shape, dtype: DType
) -> Node:
    """Return the only quantile; those of several shares along an axis in front."""
    if not isinstance(q, (tuple, list)):
        return found[0]
    return movement.stack(found) if found else source.full((0, *shape), 0, dtype)


def quantile(
    x: Node,
    q: float | Sequence[float],
    axis: Axes = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Node:
    """Return the values below which the shares `q` of the elements over `axis` lie.

    Formula: the element at place q (n - 1) of the sorted ones, counted from 0.

    Args:
        x: any shape.
        q: one number in 0..1, or several.
        axis: None means all.
        method: what to give at a place between two elements: "linear" interpolation,
            the "lower", the "higher", the "nearest" (ties to even), or the "midpoint".
        keepdims: keep the reduced axes with size 1.

    Returns:
        For several `q`, an axis of their number in front.

    Raises:
        ArgumentError: a `q` is not in 0..1, or there is no such method.
        ShapeError: there are no elements.

    Special cases: nan where there is a nan.

    Gradient: to the elements used, by their shares.
    """
    shares = shares_of("quantile", q)
    if method not in _METHODS:
        raise ArgumentError(
            "[quantile] there is no such method",
            got=repr(method),
            expected=" or ".join(_METHODS),
        )
    line, axes = lined_up("quantile", x, axis)
    n = line.shape[-1]
    found = [_between(line, one * (n - 1), method) for one in shares]
    shape = reduced_shape(x.shape, axes, keepdims)
    found = [movement.reshape(_or_nan(y, line), shape) for y in found]
    return one_or_all(found, q, shape, line.dtype)


def _or_nan(y: Node, line: Node) -> Node:
    """Return `y`, or nan where a sorted line has a nan, which is then its last."""
    n = line.shape[-1]
    last = movement.slice_axis(line, line.ndim - 1, n - 1, n)
    return elementwise.select(elementwise.isnan(last), last, y)


def median(x: Node, axis: Axes = None, *, keepdims: bool = False) -> Node:
    """Return the middle element over `axis`, or the mean of the two middle ones.

    Args:
        x: any shape.
        axis: None means all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: there are no elements.

    Special cases: nan where there is a nan. Integers become the default float.

    Gradient: to the middle element, or half to each of two.
    """
    line, axes = lined_up("median", x, axis)
    n = line.shape[-1]
    last = line.ndim - 1
    found = movement.slice_axis(line, last, n // 2, n // 2 + 1)
    if n % 2 == 0:  # halved first, as the sum may overflow
        other = movement.slice_axis(line, last, n // 2 - 1, n // 2)
        found = elementwise.add(
            elementwise.multiply(other, 0.5), elementwise.multiply(found, 0.5)
        )
    shape = reduced_shape(x.shape, axes, keepdims)
    return movement.reshape(_or_nan(found, line), shape)


PRIMITIVES = (SORT, TOP_K, SEARCH_SORTED)

OPS = (sort, argsort, top_k, searchsorted, quantile, median)
