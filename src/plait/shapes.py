"""Arithmetic on shapes and axes. Knows nothing of tensors.

Read first: `broadcast`, `normalize_axis`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from .errors import ArgumentTypeError, AxisError, ShapeError

Shape = tuple[int, ...]


def size_of(shape: Iterable[int]) -> int:
    """Return the number of elements."""
    result = 1
    for n in shape:
        result *= n
    return result


def broadcast(op: str, *shapes: Shape) -> Shape:
    """Return the shape that all of `shapes` broadcast to, aligned at the last axis.

    Raises:
        ShapeError: two sizes on one axis differ and neither is 1.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    result = []
    for i, sizes in enumerate(zip(*padded, strict=True)):
        wide = {n for n in sizes if n != 1}
        if len(wide) > 1:
            raise ShapeError(
                f"[{op}] shapes do not broadcast",
                got=" and ".join(str(shape) for shape in shapes)
                + f", which clash on axis {i - ndim}: "
                + " against ".join(str(n) for n in dict.fromkeys(sizes)),
                expected="equal sizes on each axis, counted from the last, or 1",
                fix="reshape one operand, or insert an axis of size 1 with expand_dims",
            )
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def normalize_axis(op: str, axis: int, ndim: int, name: str = "axis") -> int:
    """Return `axis` counted from the front.

    Raises:
        AxisError: it is not in -ndim..ndim-1.
    """
    try:
        index = operator.index(axis)
    except TypeError:
        raise ArgumentTypeError(
            f"[{op}] {name} must be an integer", got=f"{axis!r}"
        ) from None
    if not -ndim <= index < ndim:
        allowed = f"{-ndim} to {ndim - 1}" if ndim else "none, as it has no axes"
        raise AxisError(
            f"[{op}] the tensor has no such {name}",
            got=f"{name}={axis} for a tensor of {ndim} axes",
            expected=allowed,
        )
    return index % ndim


def normalize_axes(
    op: str, axes: int | Sequence[int] | None, ndim: int, name: str = "axis"
) -> tuple[int, ...]:
    """Return `axes` counted from the front, in the order given; None means all.

    Raises:
        AxisError: one does not exist, or is named twice.
    """
    if axes is None:
        return tuple(range(ndim))
    if not isinstance(axes, (tuple, list)):
        return (normalize_axis(op, axes, ndim, name),)  # type: ignore[arg-type]
    result = tuple(normalize_axis(op, axis, ndim, name) for axis in axes)
    if len(set(result)) != len(result):
        raise AxisError(
            f"[{op}] an {name} is named twice",
            got=f"{name}={tuple(axes)} for a tensor of {ndim} axes",
        )
    return result


def reduced_shape(shape: Shape, axes: Iterable[int], keepdims: bool = False) -> Shape:
    """Return `shape` without `axes`, or with size 1 there."""
    gone = set(axes)
    if keepdims:
        return tuple(1 if i in gone else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def as_shape(op: str, shape: int | Sequence[int]) -> Shape:
    """Return `shape` as a tuple of non-negative sizes.

    Raises:
        ShapeError: a size is negative.
        ArgumentTypeError: a size is not an integer.
    """
    items = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        result = tuple(operator.index(n) for n in items)
    except TypeError:
        raise ArgumentTypeError(
            f"[{op}] sizes must be integers", got=f"{shape!r}"
        ) from None
    if any(n < 0 for n in result):
        raise ShapeError(f"[{op}] sizes must not be negative", got=str(result))
    return result
