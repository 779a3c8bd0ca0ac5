"""`x[...]` and `x[...] = y` in all their forms.

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

Read first: `parse_index`, `get_index`, `set_index`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, int64
from ..errors import IndexingError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape, broadcast
from . import elementwise, gather, movement, source
from .operand import Operand, require

Spec = tuple[int | None, tuple[tuple[Any, ...], ...]]


# From the key to a spec

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
            operands.append(
                gather.in_range("index", item, shape[axis], axis, negative=True)
            )
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
            expected=gather.range_of(size, True),
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


# From the spec to primitives


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
        index = (
            gather.wrap_index(node, size, axis)
            if wrap
            else elementwise.cast(node, int64)
        )
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
    found = gather.gather(plan.merged(region), _linear(indices, spec, plan), plan.at)
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
    gather.check_mode("setitem", mode)
    plan = _Plan(x, indices, spec)
    value = gather.fit("setitem", value, x.dtype, plan.shape)
    if value.size == 0:
        return x
    if not indices:
        region = tuple(length for _, _, length in plan.region)
        return _write(x, plan.region, movement.reshape(value, region), mode)
    index = _linear(indices, spec, plan)
    shape = (*plan.rest[: plan.at], *plan.common, *plan.rest[plan.at :])
    value = movement.reshape(value, shape)

    def update(region: Node) -> Node:
        new = gather.scatter(plan.merged(region), index, value, plan.at, 0, mode)
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
    return gather.scatter(x, index, value, axis, 0, mode)


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
    new = gather.fit("setitem", value, x.dtype, rest)
    mask = movement.reshape(mask, (*mask.shape, *(1,) * len(rest)))
    return elementwise.select(mask, new, x)


# What `x[...]` and `x[...] = y` record; not for users.
INDEXING_OPS = (get_index, set_index, set_masked)
