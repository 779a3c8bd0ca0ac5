"""Primitives that move elements and compute nothing, and the ops over them.

Read first: `RESHAPE`, `EXPAND`, `expand`, `reshape`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..dtypes import int64
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    AxisError,
    DTypeError,
    ShapeError,
)
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, as_shape, broadcast, normalize_axes, normalize_axis
from . import elementwise, reduce, source
from .family import check_axes
from .operand import common_dtype


def _array(*shape: int) -> np.ndarray:
    size = math.prod(shape)
    return (np.arange(size, dtype=float) * 0.37 - 1).reshape(shape)


def as_tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    """Return one integer or several as a tuple."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)  # type: ignore[return-value]


def as_integer(op: str, what: str, value: int) -> int:
    """Return `value` as a Python integer.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentTypeError(
            f"[{op}] {what} must be an integer", got=repr(value)
        ) from None


def broadcast_shape(op: str, *nodes: Node) -> Shape:
    """Return the shape that the shapes of `nodes` broadcast to."""
    return broadcast(op, *(node.shape for node in nodes))


# Reshape


def _reshape_infer(x: TensorType, *, shape: Shape) -> TensorType:
    if math.prod(shape) != x.size or min(shape, default=0) < 0:
        raise ShapeError(
            "[reshape] the number of elements differs",
            got=f"{x.shape} ({x.size} elements) to {shape} ({math.prod(shape)})",
            fix="give one size as -1 to have it computed",
        )
    return TensorType(shape, x.dtype)


RESHAPE = Primitive(
    name="reshape",
    infer=_reshape_infer,
    reference=lambda x, *, shape: x.reshape(shape),
    vjp=lambda ct, node, x: (_reshape(ct, x.shape),),
    batch=lambda operands, batched, node: _reshape(
        operands[0], (operands[0].shape[0], *node.shape)
    ),
    samples=lambda: [
        Sample((_array(2, 3, 4),), {"shape": (6, 4)}),
        Sample((_array(2, 3),), {"shape": (3, 1, 2)}),
        Sample((_array(1),), {"shape": ()}),
        Sample((_array(0, 3),), {"shape": (3, 0, 2)}),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"shape": (4,)}, ShapeError,
            "[reshape] the number of elements differs. Got: (2, 3) (6 elements) to "
            "(4,) (4). Fix: give one size as -1 to have it computed.",
        ),
        Failure(
            (_array(2, 3),), {"shape": (-2, -3)}, ShapeError,
            "[reshape] the number of elements differs. Got: (2, 3) (6 elements) to "
            "(-2, -3) (6). Fix: give one size as -1 to have it computed.",
        ),
    ],
    source="row-major order of elements",
)  # fmt: skip


def _reshape(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else apply(RESHAPE, x, shape=shape)


def reshape(x: Node, shape: int | Sequence[int], *, copy: bool | None = None) -> Node:
    """Return the elements of `x` in row-major order, in another shape.

    Args:
        shape: the sizes; one may be -1, which is then computed.
        copy: accepted as the standard asks. Tensors never share memory that can be
            written, so there is no difference to see.

    Raises:
        ShapeError: the number of elements differs, or two sizes are -1.
    """
    sizes = [as_integer("reshape", "a size", n) for n in as_tuple(shape)]
    if sizes.count(-1) > 1:
        raise ShapeError("[reshape] only one size may be -1", got=str(tuple(sizes)))
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        if known == 0 or x.size % known:
            raise ShapeError(
                "[reshape] no size fits in place of -1",
                got=f"{x.shape} ({x.size} elements) to {tuple(sizes)}",
            )
        sizes[sizes.index(-1)] = x.size // known
    return _reshape(x, as_shape("reshape", sizes))


# Permute


def _permute_infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.ndim)):
        raise AxisError(
            "[permute] the axes must be each axis once",
            got=f"{axes} for a tensor of {x.ndim} axes",
        )
    return TensorType(tuple(x.shape[axis] for axis in axes), x.dtype)


PERMUTE = Primitive(
    name="permute",
    infer=_permute_infer,
    reference=lambda x, *, axes: x.transpose(axes),
    vjp=lambda ct, node, x: (_permute(ct, _inverse(node.attributes["axes"])),),
    batch=lambda operands, batched, node: _permute(
        operands[0], (0, *(axis + 1 for axis in node.attributes["axes"]))
    ),
    samples=lambda: [
        Sample((_array(2, 3, 4),), {"axes": (2, 0, 1)}),
        Sample((_array(3, 2),), {"axes": (1, 0)}),
        Sample((_array(),), {"axes": ()}),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"axes": (0, 0)}, AxisError,
            "[permute] the axes must be each axis once. "
            "Got: (0, 0) for a tensor of 2 axes.",
        ),
        Failure(
            (_array(2, 3),), {"axes": (0,)}, AxisError,
            "[permute] the axes must be each axis once. "
            "Got: (0,) for a tensor of 2 axes.",
        ),
    ],
    source="axis i of the result is axis axes[i] of x",
)  # fmt: skip


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    result = [0] * len(axes)
    for i, axis in enumerate(axes):
        result[axis] = i
    return tuple(result)


def _permute(x: Node, axes: tuple[int, ...]) -> Node:
    return x if axes == tuple(range(x.ndim)) else apply(PERMUTE, x, axes=axes)


def permute_dims(x: Node, axes: Sequence[int]) -> Node:
    """Return `x` with its axes in the order `axes`."""
    return apply(PERMUTE, x, axes=normalize_axes("permute_dims", tuple(axes), x.ndim))


def transpose(x: Node, axis0: int, axis1: int) -> Node:
    """Return `x` with the axes `axis0` and `axis1` exchanged."""
    axes = list(range(x.ndim))
    i = normalize_axis("transpose", axis0, x.ndim)
    j = normalize_axis("transpose", axis1, x.ndim)
    axes[i], axes[j] = axes[j], axes[i]
    return _permute(x, tuple(axes))


def matrix_transpose(x: Node) -> Node:
    """Return `x` with its last two axes exchanged.

    Raises:
        ShapeError: `x` has fewer than two axes.
    """
    if x.ndim < 2:
        raise ShapeError(
            "[matrix_transpose] at least two axes are needed", got=str(x.shape)
        )
    return transpose(x, -1, -2)


def moveaxis(
    x: Node, source: int | Sequence[int], destination: int | Sequence[int]
) -> Node:
    """Return `x` with the axes `source` at places `destination`, others in order."""
    sources = normalize_axes("moveaxis", source, x.ndim, "source")
    places = normalize_axes("moveaxis", destination, x.ndim, "destination")
    if len(sources) != len(places):
        raise AxisError(
            "[moveaxis] as many places as axes are needed",
            got=f"{len(sources)} axes and {len(places)} places",
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return _permute(x, tuple(order))


# Expand


def _expand_infer(x: TensorType, *, shape: Shape) -> TensorType:
    lead = len(shape) - x.ndim
    if (
        lead < 0
        or min(shape, default=0) < 0
        or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True))
    ):
        raise ShapeError(
            "[expand] the shape does not broadcast to the one asked for",
            got=f"{x.shape} to {shape}",
            expected="equal sizes on each axis, counted from the last, or 1 to expand",
        )
    return TensorType(shape, x.dtype)


def _expand_reference(x: np.ndarray, *, shape: Shape) -> np.ndarray:
    x = np.asarray(x)
    if not x.flags.c_contiguous:
        return np.broadcast_to(x, shape)
    # The same in half the time.
    result = np.ndarray(
        shape, x.dtype, x, 0, _expanded_strides(x.shape, x.strides, shape)
    )
    result.flags.writeable = False
    return result


@lru_cache(1024)
def _expanded_strides(shape: Shape, strides: Shape, result: Shape) -> Shape:
    lead = (0,) * (len(result) - len(shape))
    return lead + tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _expand_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    lead = node.ndim - x.ndim
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(x.shape) if n == 1 and node.shape[lead + i] != 1
    )
    return (_reshape(reduce.sum_over(ct, axes), x.shape),)


def _expand_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    (x,) = operands
    size, *rest = x.shape
    aligned = (size, *(1,) * (node.ndim - len(rest)), *rest)
    return expand(_reshape(x, aligned), (size, *node.shape))


EXPAND = Primitive(
    name="expand",
    infer=_expand_infer,
    reference=_expand_reference,
    vjp=_expand_vjp,
    batch=_expand_batch,
    samples=lambda: [
        Sample((_array(3, 1),), {"shape": (2, 3, 4)}),
        Sample((_array(),), {"shape": (2, 2)}),
        Sample((_array(1, 3),), {"shape": (0, 3)}),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"shape": (2, 4)}, ShapeError,
            "[expand] the shape does not broadcast to the one asked for. "
            "Got: (2, 3) to (2, 4). Expected: equal sizes on each axis, counted from "
            "the last, or 1 to expand.",
        ),
        Failure(
            (_array(2, 3),), {"shape": (3,)}, ShapeError,
            "[expand] the shape does not broadcast to the one asked for. "
            "Got: (2, 3) to (3,). Expected: equal sizes on each axis, counted from "
            "the last, or 1 to expand.",
        ),
    ],
    source="broadcasting, Array API standard 2024.12",
)  # fmt: skip


def expand(x: Node, shape: Shape) -> Node:
    """Return `x` broadcast to `shape`, without a copy."""
    return x if x.shape == shape else apply(EXPAND, x, shape=shape)


def broadcast_arrays(*arrays: Node) -> list[Node]:
    """Return `arrays` broadcast to the one shape that they all broadcast to.

    Raises:
        ShapeError: the shapes do not broadcast.
    """
    if not arrays:
        return []
    shape = broadcast_shape("broadcast_arrays", *arrays)
    return [expand(x, shape) for x in arrays]


def broadcast_to(x: Node, shape: Sequence[int]) -> Node:
    """Return `x` broadcast to `shape`.

    Raises:
        ShapeError: it does not broadcast to it.
    """
    return expand(x, as_shape("broadcast_to", shape))


# Pad


def _pad_infer(
    x: TensorType, *, widths: tuple[tuple[int, int], ...], value: float
) -> TensorType:
    if len(widths) != x.ndim or any(low < 0 or high < 0 for low, high in widths):
        raise ShapeError(
            "[pad] one pair of non-negative widths is needed for each axis",
            got=f"{widths} for a tensor of {x.ndim} axes",
        )
    shape = tuple(
        n + low + high for n, (low, high) in zip(x.shape, widths, strict=True)
    )
    return TensorType(shape, x.dtype)


def _pad_reference(
    x: np.ndarray, *, widths: tuple[tuple[int, int], ...], value: float
) -> np.ndarray:
    sizes = zip(x.shape, widths, strict=True)
    result = np.empty([n + low + high for n, (low, high) in sizes], x.dtype)
    result[...] = np.asarray(value).astype(x.dtype)
    sizes = zip(x.shape, widths, strict=True)
    result[tuple(slice(low, low + n) for n, (low, _) in sizes)] = x
    return result


def _pad_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    widths = node.attributes["widths"]
    starts = tuple(low for low, _ in widths)
    stops = tuple(low + n for (low, _), n in zip(widths, x.shape, strict=True))
    return (slice_(ct, starts, stops),)


PAD: Primitive = Primitive(
    name="pad",
    infer=_pad_infer,
    reference=_pad_reference,
    vjp=_pad_vjp,
    batch=lambda operands, batched, node: apply(
        PAD, *operands,
        widths=((0, 0), *node.attributes["widths"]), value=node.attributes["value"],
    ),
    samples=lambda: [
        Sample((_array(2, 3),), {"widths": ((1, 0), (2, 3)), "value": 0.0}),
        Sample((_array(2),), {"widths": ((0, 2),), "value": -1.5}),
        Sample((_array(),), {"widths": (), "value": 0.0}),
        Sample((np.arange(3),), {"widths": ((1, 1),), "value": 7}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"widths": ((1, 1),), "value": 0.0}, ShapeError,
            "[pad] one pair of non-negative widths is needed for each axis. "
            "Got: ((1, 1),) for a tensor of 2 axes.",
        ),
        Failure(
            (_array(2),), {"widths": ((1, -1),), "value": 0.0}, ShapeError,
            "[pad] one pair of non-negative widths is needed for each axis. "
            "Got: ((1, -1),) for a tensor of 1 axes.",
        ),
    ],
    source="a constant before and after each axis",
)  # fmt: skip


def pad_constant(x: Node, widths: Sequence[tuple[int, int]], value: float = 0) -> Node:
    """Return `x` with `value` added before and after each axis."""
    pairs = tuple((int(low), int(high)) for low, high in widths)
    if all(pair == (0, 0) for pair in pairs) and len(pairs) == x.ndim:
        return x
    return apply(PAD, x, widths=pairs, value=value)


# Slice


def _slice_infer(
    x: TensorType, *, starts: Shape, stops: Shape, steps: Shape
) -> TensorType:
    sizes = []
    if not len(starts) == len(stops) == len(steps) == x.ndim:
        raise ShapeError(
            "[slice] a start, stop and step is needed for each axis",
            got=f"{len(starts)}, {len(stops)} and {len(steps)} for {x.ndim} axes",
        )
    for axis, (n, start, stop, step) in enumerate(
        zip(x.shape, starts, stops, steps, strict=True)
    ):
        if not (0 <= start <= stop <= n and step >= 1):
            raise ShapeError(
                f"[slice] the range does not lie in axis {axis}",
                got=f"{start}:{stop}:{step} for size {n}",
            )
        sizes.append(-(-(stop - start) // step))
    return TensorType(tuple(sizes), x.dtype)


def _slice_reference(
    x: np.ndarray, *, starts: Shape, stops: Shape, steps: Shape
) -> np.ndarray:
    return x[tuple(map(slice, starts, stops, steps))]


def _slice_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    at = node.attributes
    # Put step - 1 zeros between the elements: a trailing axis of size step, then trim.
    for axis, step in enumerate(at["steps"]):
        if step > 1:
            n = ct.shape[axis]
            shape = (*ct.shape[: axis + 1], 1, *ct.shape[axis + 1 :])
            widths = [(0, 0)] * len(shape)
            widths[axis + 1] = (0, step - 1)
            spread = pad_constant(_reshape(ct, shape), widths)
            spread = _reshape(
                spread, (*ct.shape[:axis], n * step, *ct.shape[axis + 1 :])
            )
            length = min(n * step, x.shape[axis] - at["starts"][axis])
            stops = tuple(
                length if i == axis else size for i, size in enumerate(spread.shape)
            )
            ct = slice_(spread, (0,) * ct.ndim, stops)
    widths = [
        (start, n - start - got)
        for start, n, got in zip(at["starts"], x.shape, ct.shape, strict=True)
    ]
    return (pad_constant(ct, widths),)


SLICE = Primitive(
    name="slice",
    infer=_slice_infer,
    reference=_slice_reference,
    vjp=_slice_vjp,
    batch=lambda operands, batched, node: slice_(
        operands[0],
        (0, *node.attributes["starts"]),
        (operands[0].shape[0], *node.attributes["stops"]),
        (1, *node.attributes["steps"]),
    ),
    samples=lambda: [
        Sample((_array(5, 6),), {"starts": (1, 0), "stops": (4, 6), "steps": (1, 1)}),
        Sample((_array(7, 5),), {"starts": (1, 0), "stops": (7, 5), "steps": (3, 2)}),
        Sample((_array(8),), {"starts": (0,), "stops": (7,), "steps": (4,)}),
        Sample((_array(3),), {"starts": (2,), "stops": (2,), "steps": (1,)}),
    ],
    failures=lambda: [
        Failure(
            (_array(3),), {"starts": (1,), "stops": (4,), "steps": (1,)}, ShapeError,
            "[slice] the range does not lie in axis 0. Got: 1:4:1 for size 3.",
        ),
        Failure(
            (_array(3),), {"starts": (1,), "stops": (2,), "steps": (0,)}, ShapeError,
            "[slice] the range does not lie in axis 0. Got: 1:2:0 for size 3.",
        ),
        Failure(
            (_array(3, 2),), {"starts": (1,), "stops": (2,), "steps": (1,)}, ShapeError,
            "[slice] a start, stop and step is needed for each axis. "
            "Got: 1, 1 and 1 for 2 axes.",
        ),
    ],
    source="every step-th element of start..stop-1 on each axis",
)  # fmt: skip


def slice_(
    x: Node,
    starts: Sequence[int],
    stops: Sequence[int],
    steps: Sequence[int] | None = None,
) -> Node:
    """Return the elements `starts[i] : stops[i] : steps[i]` of each axis i."""
    steps = (1,) * x.ndim if steps is None else tuple(steps)
    whole = all(n == 0 for n in starts) and all(n == 1 for n in steps)
    if whole and tuple(stops) == x.shape:
        return x
    return apply(SLICE, x, starts=tuple(starts), stops=tuple(stops), steps=steps)


def slice_axis(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """Return the elements `start : stop : step` of one axis, all of the others."""
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return slice_(x, starts, stops, steps)


# Flip


def _flip_infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check_axes("flip", axes, x.ndim)
    return x


FLIP: Primitive = Primitive(
    name="flip",
    infer=_flip_infer,
    reference=lambda x, *, axes: np.flip(x, axes),
    vjp=lambda ct, node, x: (apply(FLIP, ct, axes=node.attributes["axes"]),),
    batch=lambda operands, batched, node: apply(
        FLIP, *operands, axes=tuple(axis + 1 for axis in node.attributes["axes"])
    ),
    samples=lambda: [
        Sample((_array(2, 3),), {"axes": (1,)}),
        Sample((_array(2, 3),), {"axes": (0, 1)}),
        Sample((_array(0, 2),), {"axes": (0,)}),
        Sample((_array(),), {"axes": ()}),
    ],
    failures=lambda: [
        Failure(
            (_array(3),), {"axes": (1,)}, AxisError,
            "[flip] the tensor has no such axis. "
            "Got: axis=1 for a tensor of 1 axes. Expected: 0 to 0.",
        ),
        Failure(
            (_array(3),), {"axes": (0, 0)}, AxisError,
            "[flip] an axis is named twice. Got: axis=(0, 0).",
        ),
    ],
    source="reverses the order along each axis",
)  # fmt: skip


def flip(x: Node, *, axis: int | Sequence[int] | None = None) -> Node:
    """Return `x` with the order of elements reversed along `axis`, or all axes."""
    axes = normalize_axes("flip", axis, x.ndim)
    return apply(FLIP, x, axes=axes) if axes else x


# Concatenate


def _concatenate_infer(*types: TensorType, axis: int) -> TensorType:
    if not types:
        raise ArgumentError("[concat] at least one tensor is needed", got="none")
    first = types[0]
    check_axes("concat", (axis,), first.ndim)
    for type in types:
        if type.dtype is not first.dtype:
            raise DTypeError(
                "[concat] operands differ in element type",
                got=" and ".join(t.dtype.name for t in types),
            )
        if type.ndim != first.ndim or any(
            i != axis and n != m
            for i, (n, m) in enumerate(zip(type.shape, first.shape, strict=True))
        ):
            raise ShapeError(
                f"[concat] shapes differ beside axis {axis}",
                got=" and ".join(str(t.shape) for t in types),
            )
    total = sum(type.shape[axis] for type in types)
    shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    return TensorType(shape, first.dtype)


def _concatenate_vjp(ct: Node, node: Node, *operands: Node) -> tuple[Node, ...]:
    axis = node.attributes["axis"]
    result, at = [], 0
    for x in operands:
        result.append(slice_axis(ct, axis, at, at + x.shape[axis]))
        at += x.shape[axis]
    return tuple(result)


def _concatenate_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    size = next(x.shape[0] for x, b in zip(operands, batched, strict=True) if b)
    full = [
        x if b else expand(x, (size, *x.shape))
        for x, b in zip(operands, batched, strict=True)
    ]
    return apply(CONCATENATE, *full, axis=node.attributes["axis"] + 1)


CONCATENATE = Primitive(
    name="concatenate",
    infer=_concatenate_infer,
    reference=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concatenate_vjp,
    batch=_concatenate_batch,
    samples=lambda: [
        Sample((_array(2, 3), _array(2, 1), _array(2, 0)), {"axis": 1}),
        Sample((_array(2, 3), _array(1, 3)), {"axis": 0}),
        Sample((_array(3),), {"axis": 0}),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3), _array(3, 3)), {"axis": 1}, ShapeError,
            "[concat] shapes differ beside axis 1. Got: (2, 3) and (3, 3).",
        ),
        Failure(
            (_array(2, 3), _array(2)), {"axis": 0}, ShapeError,
            "[concat] shapes differ beside axis 0. Got: (2, 3) and (2,).",
        ),
        Failure(
            (_array(2), np.arange(2)), {"axis": 0}, DTypeError,
            "[concat] operands differ in element type. Got: float64 and int64.",
        ),
        Failure(
            (_array(),), {"axis": 0}, AxisError,
            "[concat] the tensor has no such axis. "
            "Got: axis=0 for a tensor of 0 axes. Expected: none, as it has no axes.",
        ),
        Failure(
            (), {"axis": 0}, ArgumentError,
            "[concat] at least one tensor is needed. Got: none.",
        ),
    ],
    source="Array API standard 2024.12, concat",
)  # fmt: skip


def concat(tensors: Sequence[Node], *, axis: int | None = 0) -> Node:
    """Return `tensors` joined along an existing axis; None flattens them first.

    Args:
        tensors: at least one; equal shapes beside `axis`. Dtypes promote.

    Raises:
        ShapeError: shapes differ beside `axis`.
        ArgumentError: there are none.
    """
    nodes = list(tensors)
    if not nodes:
        raise ArgumentError("[concat] at least one tensor is needed", got="none")
    if axis is None:
        nodes = [_reshape(x, (x.size,)) for x in nodes]
        axis = 0
    dtype = common_dtype(nodes)
    axis = normalize_axis("concat", axis, nodes[0].ndim)
    ranks = {x.ndim for x in nodes}
    if len(ranks) > 1:
        raise ShapeError(
            "[concat] operands differ in the number of axes",
            got=" and ".join(str(x.shape) for x in nodes),
        )
    return apply(CONCATENATE, *(elementwise.cast(x, dtype) for x in nodes), axis=axis)


def stack(tensors: Sequence[Node], *, axis: int = 0) -> Node:
    """Return `tensors`, all of one shape, joined along a new axis, `axis`."""
    nodes = list(tensors)
    if not nodes:
        raise ArgumentError("[stack] at least one tensor is needed", got="none")
    if len({x.shape for x in nodes}) > 1:
        raise ShapeError(
            "[stack] shapes differ", got=" and ".join(str(x.shape) for x in nodes)
        )
    return concat([expand_dims(x, axis=axis) for x in nodes], axis=axis)


# Ops made of the above


def expand_dims(x: Node, axis: int | Sequence[int] = 0) -> Node:
    """Return `x` with a new axis of size 1 at `axis`, counted in the result."""
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = normalize_axes("expand_dims", axis, x.ndim + count)
    sizes = iter(x.shape)
    return _reshape(
        x, tuple(1 if i in axes else next(sizes) for i in range(x.ndim + count))
    )


def squeeze(x: Node, axis: int | Sequence[int] | None = None) -> Node:
    """Return `x` without `axis`, which must have size 1; None removes all such axes.

    Raises:
        ShapeError: an axis named has another size.
    """
    if axis is None:
        return _reshape(x, tuple(n for n in x.shape if n != 1))
    axes = normalize_axes("squeeze", axis, x.ndim)
    for i in axes:
        if x.shape[i] != 1:
            raise ShapeError(
                "[squeeze] only an axis of size 1 can be removed",
                got=f"axis={i} of shape {x.shape}",
            )
    return _reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def flatten(x: Node, start_axis: int = 0, end_axis: int = -1) -> Node:
    """Return `x` with the axes from `start_axis` to `end_axis` merged into one."""
    if x.ndim == 0:
        return _reshape(x, (1,))
    first = normalize_axis("flatten", start_axis, x.ndim, "start_axis")
    last = normalize_axis("flatten", end_axis, x.ndim, "end_axis")
    if first > last:
        raise AxisError(
            "[flatten] start_axis comes after end_axis",
            got=f"start_axis={start_axis}, end_axis={end_axis}",
        )
    merged = math.prod(x.shape[first : last + 1])
    return _reshape(x, (*x.shape[:first], merged, *x.shape[last + 1 :]))


def unstack(x: Node, *, axis: int = 0) -> tuple[Node, ...]:
    """Return the slices of `x` along `axis`, without that axis."""
    axis = normalize_axis("unstack", axis, x.ndim)
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    return tuple(
        _reshape(slice_axis(x, axis, i, i + 1), rest) for i in range(x.shape[axis])
    )


def split(
    x: Node, size_or_sizes: int | Sequence[int], axis: int = 0
) -> tuple[Node, ...]:
    """Return pieces of `x` along `axis`.

    Args:
        size_or_sizes: the size of each piece, the last may be smaller; or all sizes.

    Raises:
        ShapeError: the sizes do not sum to that of the axis.
    """
    axis = normalize_axis("split", axis, x.ndim)
    total = x.shape[axis]
    if isinstance(size_or_sizes, (tuple, list)):
        sizes = [as_integer("split", "a size", n) for n in size_or_sizes]
        if sum(sizes) != total or any(n < 0 for n in sizes):
            raise ShapeError(
                "[split] the sizes do not sum to that of the axis",
                got=f"{tuple(sizes)} for axis {axis} of shape {x.shape}",
            )
    else:
        step = as_integer("split", "a size", size_or_sizes)  # type: ignore[arg-type]
        if step < 1:
            raise ShapeError("[split] a size must be at least 1", got=str(step))
        sizes = [min(step, total - at) for at in range(0, total, step)] or [0]
    result, at = [], 0
    for n in sizes:
        result.append(slice_axis(x, axis, at, at + n))
        at += n
    return tuple(result)


def chunk(x: Node, chunks: int, axis: int = 0) -> tuple[Node, ...]:
    """Return `x` in at most `chunks` pieces of one size along `axis`.

    The last piece may be smaller.
    """
    axis = normalize_axis("chunk", axis, x.ndim)
    if as_integer("chunk", "the number of chunks", chunks) < 1:
        raise ArgumentError("[chunk] at least one chunk is needed", got=str(chunks))
    return split(x, max(1, -(-x.shape[axis] // chunks)), axis)


def roll(
    x: Node, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None
) -> Node:
    """Return `x` with elements moved `shift` places forward along `axis`, and around.

    Args:
        axis: None rolls the flattened tensor. Of several axes each takes its own shift,
            or all the one given.

    Raises:
        ArgumentError: there are not as many shifts as axes.
        AxisError: an axis does not exist.
    """
    given = [as_integer("roll", "a shift", n) for n in as_tuple(shift)]
    if axis is None:
        return _reshape(roll(_reshape(x, (x.size,)), sum(given), axis=0), x.shape)
    axes = as_tuple(axis)
    shifts = given if isinstance(shift, (tuple, list)) else given * len(axes)
    if len(shifts) != len(axes):
        raise ArgumentError(
            "[roll] as many shifts as axes are needed",
            got=f"{len(shifts)} shifts and {len(axes)} axes",
        )
    for places, one in zip(shifts, axes, strict=True):
        at = normalize_axis("roll", one, x.ndim)
        n = x.shape[at]
        cut = -places % n if n else 0
        if cut:
            x = concat([slice_axis(x, at, cut, n), slice_axis(x, at, 0, cut)], axis=at)
    return x


def tile(x: Node, repetitions: Sequence[int]) -> Node:
    """Return `x` repeated `repetitions[i]` times along axis i.

    The shorter of shape and repetitions is filled up with 1 in front.
    """
    counts = as_shape("tile", repetitions)
    ndim = max(len(counts), x.ndim)
    counts = (1,) * (ndim - len(counts)) + counts
    x = _reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    paired = tuple(
        m for n, count in zip(x.shape, counts, strict=True) for m in (count, n)
    )
    spaced = tuple(m for n in x.shape for m in (1, n))
    full = tuple(n * count for n, count in zip(x.shape, counts, strict=True))
    return _reshape(expand(_reshape(x, spaced), paired), full)


def triangle(shape: Shape, k: int) -> Node:
    """Return a bool matrix that is true on and below diagonal `k`."""
    row = _reshape(source.iota(shape[-2], int64), (shape[-2], 1))
    column = source.iota(shape[-1], int64)
    return elementwise.less_equal(column, elementwise.add(row, k))


def tril(x: Node, *, k: int = 0) -> Node:
    """Return the lower triangles of the matrices `x`: 0 above diagonal `k`."""
    if x.ndim < 2:
        raise ShapeError("[tril] at least two axes are needed", got=str(x.shape))
    return elementwise.select(triangle(x.shape, k), x, source.full_like(x, 0))


def triu(x: Node, *, k: int = 0) -> Node:
    """Return the upper triangles of the matrices `x`: 0 below diagonal `k`."""
    if x.ndim < 2:
        raise ShapeError("[triu] at least two axes are needed", got=str(x.shape))
    return elementwise.select(triangle(x.shape, k - 1), source.full_like(x, 0), x)


PRIMITIVES = (RESHAPE, PERMUTE, EXPAND, PAD, SLICE, FLIP, CONCATENATE)

OPS = (
    reshape, permute_dims, transpose, matrix_transpose, moveaxis, broadcast_to,
    broadcast_arrays, flip, concat, stack, expand_dims, squeeze, flatten, unstack,
    split, chunk, roll, tile, tril, triu,
)  # fmt: skip
