"""Windows that slide over the last axes: convolution, and pooling over windows.

Spatial axes are the last ones, in any number; a stride, dilation or padding has one
entry for each. A *window* of size k with dilation d spans `d * (k - 1) + 1` elements.

Read first: `CONVOLUTION`, `WINDOWS`, `convolution`, `window_reduce`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtypes import DType, float32, int64, promote
from ..errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import elementwise, gather, movement, reduce
from .family import NUMERIC, check_kind, quiet
from .operand import as_float, as_node, common_dtype, require
from .source import constant, full_like

Pairs = tuple[tuple[int, int], ...]
# Elements of the matrix of windows that a convolution lays out at once: as many as fit
# the second-level cache.
_LAID_OUT = 1 << 18


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape)


def _span(size: int, step: int) -> int:
    """Return how far `size` elements reach that lie `step` apart; 0 for none."""
    return (size - 1) * step + 1 if size else 0


def _wide(x: np.ndarray) -> np.ndarray:
    """Return 16-bit floats as float32, to be accumulated in."""
    narrow = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    return x.astype(np.float32) if narrow else x


# Convolution


def _padded(sizes: Sequence[int], widths: Pairs) -> Shape:
    return tuple(n + low + high for n, (low, high) in zip(sizes, widths, strict=True))


def _spread_sizes(sizes: Shape, padding: Pairs, dilation: Shape) -> Shape:
    return _padded([_span(n, d) for n, d in zip(sizes, dilation, strict=True)], padding)


def _convolution_infer(
    x: TensorType,
    weight: TensorType,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    input_dilation: Shape,
    groups: int,
) -> TensorType:
    if x.dtype is not weight.dtype:
        raise DTypeError(
            "[convolution] operands differ in element type",
            got=f"{x.dtype.name} and {weight.dtype.name}",
        )
    check_kind("convolution", x.dtype, NUMERIC)
    rank = len(stride)
    if weight.ndim != rank + 2 or x.ndim != rank + 2:
        raise ShapeError(
            "[convolution] the number of axes is wrong",
            got=f"input {x.shape} and weight {weight.shape} for {rank} spatial axes",
            expected="input (batch, in_channels, *spatial) and weight "
            "(out_channels, in_channels / groups, *kernel)",
        )
    if groups < 1 or weight.shape[0] % groups or x.shape[1] != groups * weight.shape[1]:
        raise ShapeError(
            "[convolution] the channels of input and weight do not fit",
            got=f"an input of {x.shape[1]} channels and a weight from "
            f"{weight.shape[1]} channels per group to {weight.shape[0]}, "
            f"groups={groups}",
            expected="input channels = groups * weight.shape[1], and weight.shape[0] "
            "divisible by groups",
        )
    spread = _spread_sizes(x.shape[2:], padding, input_dilation)
    out = _window_counts("convolution", spread, weight.shape[2:], stride, dilation)
    return TensorType((x.shape[0], weight.shape[0], *out), x.dtype)


def _window_counts(
    op: str, sizes: Shape, window: Shape, stride: Shape, dilation: Shape
) -> Shape:
    """Return how many windows lie along each axis.

    Raises:
        ShapeError: not a single one.
    """
    result = []
    for n, k, step, gap in zip(sizes, window, stride, dilation, strict=True):
        reach = _span(k, gap)
        if k < 1 or n < reach:
            raise ShapeError(
                f"[{op}] the window is empty or larger than what it slides over",
                got=f"window {window} with dilation {dilation} over sizes {sizes}, "
                "padding included",
                expected="at least 1, and at most the size on each axis",
            )
        result.append((n - reach) // step + 1)
    return tuple(result)


def _spread(x: np.ndarray, padding: Pairs, dilation: Shape) -> np.ndarray:
    """Return `x` with zeros between its elements and around; cut where that is < 0."""
    sizes = x.shape[-len(padding) :]
    shape = _spread_sizes(sizes, padding, dilation)
    if shape == sizes and all(pair == (0, 0) for pair in padding):
        return x
    whole = [slice(None)] * (x.ndim - len(padding))
    taken, placed = list(whole), list(whole)
    for n, total, step, (low, _) in zip(sizes, shape, dilation, padding, strict=True):
        first = -(min(low, 0) // step)
        last = max(first, min(n, -(-(total - low) // step)))
        start = low + first * step
        taken.append(slice(first, last))
        placed.append(slice(start, start + _span(last - first, step), step))
    result = np.zeros(x.shape[: -len(padding)] + shape, x.dtype)
    result[tuple(placed)] = x[tuple(taken)]
    return result


def _laid_out(x: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Return a contiguous copy of `x` in `memory`, which is flat and large enough."""
    copy = memory[: x.size].reshape(x.shape)
    copy[...] = x
    return copy


def _convolution_reference(
    x: np.ndarray,
    weight: np.ndarray,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    input_dilation: Shape,
    groups: int,
) -> np.ndarray:
    dtype = x.dtype
    x, weight = _spread(_wide(x), padding, input_dilation), _wide(weight)
    kernel = weight.shape[2:]
    out = _window_counts("convolution", x.shape[2:], kernel, stride, dilation)
    batch, channels, rank = x.shape[0], weight.shape[1], len(out)
    inner, places = channels * math.prod(kernel), math.prod(out)
    # All windows without a copy: (batch, groups, channels, *kernel, *out).
    steps = x.strides[2:]
    windows = as_strided(
        x,
        (batch, groups, channels, *kernel, *out),
        (
            x.strides[0], channels * x.strides[1], x.strides[1],
            *(s * gap for s, gap in zip(steps, dilation, strict=True)),
            *(s * step for s, step in zip(steps, stride, strict=True)),
        ),
        writeable=False,
    )  # fmt: skip
    matrix = weight.reshape(groups, -1, inner)
    rows = matrix.shape[1]
    result = np.empty((batch, groups, rows, places), x.dtype)
    # They are laid out as a matrix whose fastest axis is the longer one, to copy fast.
    by_place = out[-1] >= kernel[-1]
    order = (1, 0, *range(3 + rank, 3 + 2 * rank), *range(2, 3 + rank))
    elements = groups * inner * places
    at_once = max(1, min(batch, _LAID_OUT // max(1, elements)))
    memory = np.empty(at_once * elements, x.dtype)
    for start in range(0, batch, at_once):
        part = windows[start : start + at_once]
        some = slice(start, start + len(part))
        if by_place:
            columns = _laid_out(part, memory).reshape(len(part), groups, inner, places)
            np.matmul(matrix, columns, out=result[some])
        else:
            table = _laid_out(part.transpose(order), memory).reshape(groups, -1, inner)
            product = np.matmul(table, matrix.transpose(0, 2, 1))
            shape = (groups, len(part), places, rows)
            result[some] = product.reshape(shape).transpose(1, 0, 3, 2)
    full = result.reshape(batch, groups * rows, *out)
    return full if full.dtype == dtype else full.astype(dtype)


def _exchange_channels(weight: Node, groups: int) -> Node:
    """Return the weight from out to in channels: each group has its own block."""
    out, channels, *kernel = weight.shape
    split = movement.reshape(weight, (groups, out // groups, channels, *kernel))
    swapped = movement.transpose(split, 1, 2)
    return movement.reshape(swapped, (groups * channels, out // groups, *kernel))


def _transposed(
    ct: Node,
    weight: Node,
    sizes: Shape,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    input_dilation: Shape,
    groups: int,
) -> Node:
    """Return the transpose of the convolution of inputs of `sizes`, applied to `ct`."""
    widths = []
    for n, m, k, step, (low, _), gap, spread in zip(
        sizes, ct.shape[2:], weight.shape[2:], stride, padding, dilation,
        input_dilation, strict=True,
    ):  # fmt: skip
        reach = _span(k, gap)
        before = reach - 1 - low
        widths.append((before, _span(n, spread) + reach - 1 - _span(m, step) - before))
    kernel_axes = tuple(range(2, weight.ndim))
    flipped = movement.flip(_exchange_channels(weight, groups), axis=kernel_axes)
    return apply(
        CONVOLUTION, ct, flipped, stride=input_dilation, padding=tuple(widths),
        dilation=dilation, input_dilation=stride, groups=groups,
    )  # fmt: skip


def _weight_cotangent(ct: Node, x: Node, weight: Node, at: Any) -> Node:
    # Batch and channels change places: what was summed over is now a kernel's channel.
    groups, channels = at["groups"], weight.shape[1]
    widths = []
    for n, m, k, step, (low, _), gap, spread in zip(
        x.shape[2:], ct.shape[2:], weight.shape[2:], at["stride"], at["padding"],
        at["dilation"], at["input_dilation"], strict=True,
    ):  # fmt: skip
        after = _span(k, gap) - 1 + _span(m, step) - _span(n, spread) - low
        widths.append((low, after))
    batch, _, *sizes = x.shape
    split = movement.reshape(x, (batch, groups, channels, *sizes))
    moved = movement.moveaxis(split, (2, 1, 0), (0, 1, 2))
    result = apply(
        CONVOLUTION,
        movement.reshape(moved, (channels, groups * batch, *sizes)),
        movement.transpose(ct, 0, 1),
        stride=at["dilation"], padding=tuple(widths), dilation=at["stride"],
        input_dilation=at["input_dilation"], groups=groups,
    )  # fmt: skip
    return movement.transpose(result, 0, 1)


def _convolution_vjp(ct: Node, node: Node, x: Node, weight: Node) -> tuple[Node, Node]:
    if x.size == 0 or weight.size == 0:
        return full_like(x, 0), full_like(weight, 0)
    at = node.attributes
    return (
        _transposed(ct, weight, x.shape[2:], **at),
        _weight_cotangent(ct, x, weight, at),
    )


def _convolution_batch(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    x, weight = operands
    at = dict(node.attributes)
    groups, (batch, out, *sizes) = at["groups"], node.shape
    if not batched[1]:  # one longer batch
        result = apply(CONVOLUTION, _merge(x), weight, **at)
        return movement.reshape(result, (x.shape[0], *node.shape))
    count, _, channels, *kernel = weight.shape
    if batched[0]:  # every example has its own groups
        x = _merge(movement.moveaxis(x, 0, 1), 1)
        at["groups"] = count * groups
        result = apply(CONVOLUTION, x, _merge(weight), **at)
        result = movement.reshape(result, (batch, count, out, *sizes))
        return movement.moveaxis(result, 1, 0)
    # More output channels within each group.
    rows = out // groups
    weight = movement.reshape(weight, (count, groups, rows, channels, *kernel))
    weight = movement.moveaxis(weight, 0, 1)
    weight = movement.reshape(weight, (groups * count * rows, channels, *kernel))
    result = apply(CONVOLUTION, x, weight, **at)
    result = movement.reshape(result, (batch, groups, count, rows, *sizes))
    result = movement.moveaxis(result, 2, 0)
    return movement.reshape(result, (count, batch, out, *sizes))


def _merge(x: Node, axis: int = 0) -> Node:
    """Return `x` with `axis` and the next merged."""
    return movement.flatten(x, axis, axis + 1)


def _convolution_sample(
    x: Shape,
    weight: Shape,
    *,
    stride: int = 1,
    padding: Pairs | None = None,
    dilation: int = 1,
    input_dilation: int = 1,
    groups: int = 1,
) -> Sample:
    rank = len(x) - 2
    return Sample(
        (_array(*x), _array(*weight)),
        {
            "stride": (stride,) * rank,
            "padding": padding or ((0, 0),) * rank,
            "dilation": (dilation,) * rank,
            "input_dilation": (input_dilation,) * rank,
            "groups": groups,
        },
    )


def _convolution_samples() -> list[Sample]:
    one = _convolution_sample
    integers = one((1, 1, 4), (1, 1, 2))
    return [
        one((2, 3, 5), (4, 3, 3)),
        one((2, 3, 5, 6), (4, 3, 2, 3), padding=((1, 1), (0, 2)), stride=2),
        one((2, 4, 5, 5), (6, 2, 3, 3), padding=((2, 1), (1, 1)), groups=2),
        one((1, 2, 9), (2, 2, 3), dilation=2, stride=3, padding=((1, 2),)),
        one((2, 2, 4), (2, 1, 3), input_dilation=3, groups=2, stride=2),
        one((1, 1, 6), (1, 1, 2), padding=((-2, -1),), input_dilation=2),
        one((1, 2, 3, 2, 3), (2, 2, 2, 2, 2)),
        one((1, 2, 3), (3, 2, 1), padding=((2, 2),)),
        one((0, 2, 3), (3, 2, 2)),
        Sample(
            (np.array([[[1, -2, 3, 4]]]), np.array([[[2, 1]]])), integers.attributes,
            smooth=False,
        ),
    ]  # fmt: skip


def _convolution_failures() -> list[Failure]:
    at = _convolution_sample((1, 1, 1), (1, 1, 1)).attributes
    return [
        Failure(
            (_array(2, 3, 5), _array(4, 2, 3)), {**at, "groups": 2}, ShapeError,
            "[convolution] the channels of input and weight do not fit. Got: an input "
            "of 3 channels and a weight from 2 channels per group to 4, groups=2. "
            "Expected: input channels = groups * weight.shape[1], and weight.shape[0] "
            "divisible by groups.",
        ),
        Failure(
            (_array(2, 3, 2), _array(4, 3, 3)), at, ShapeError,
            "[convolution] the window is empty or larger than what it slides over. "
            "Got: window (3,) with dilation (1,) over sizes (2,), padding included. "
            "Expected: at least 1, and at most the size on each axis.",
        ),
        Failure(
            (_array(3, 5), _array(4, 3, 3)), at, ShapeError,
            "[convolution] the number of axes is wrong. Got: input (3, 5) and weight "
            "(4, 3, 3) for 1 spatial axes. Expected: input (batch, in_channels, "
            "*spatial) and weight (out_channels, in_channels / groups, *kernel).",
        ),
        Failure(
            (_array(2, 3, 5), _array(4, 3, 3).astype(np.float32)), at, DTypeError,
            "[convolution] operands differ in element type. Got: float64 and float32.",
        ),
    ]  # fmt: skip


CONVOLUTION = Primitive(
    name="convolution",
    infer=_convolution_infer,
    reference=quiet(_convolution_reference),
    vjp=_convolution_vjp,
    batch=_convolution_batch,
    samples=_convolution_samples,
    failures=_convolution_failures,
    source="cross-correlation; a negative padding cuts off. Dumoulin and Visin "
    "2016, A guide to convolution arithmetic for deep learning, arXiv:1603.07285",
)


# All windows, and their overlap-add


def _windows_infer(
    x: TensorType, *, window: Shape, stride: Shape, dilation: Shape
) -> TensorType:
    rank = len(window)
    if x.ndim < rank:
        raise ShapeError(
            "[windows] the window has more axes than the tensor",
            got=f"window {window} over shape {x.shape}",
        )
    lead, sizes = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    out = _window_counts("windows", sizes, window, stride, dilation)
    return TensorType((*lead, *out, *window), x.dtype)


def _windows_reference(
    x: np.ndarray, *, window: Shape, stride: Shape, dilation: Shape
) -> np.ndarray:
    lead = x.ndim - len(window)
    steps = x.strides[lead:]
    out = _window_counts("windows", x.shape[lead:], window, stride, dilation)
    return as_strided(
        x,
        (*x.shape[:lead], *out, *window),
        (
            *x.strides[:lead],
            *(s * step for s, step in zip(steps, stride, strict=True)),
            *(s * gap for s, gap in zip(steps, dilation, strict=True)),
        ),
        writeable=False,
    )


def _windows_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    at = node.attributes
    size = x.shape[x.ndim - len(at["window"]) :]
    return (apply(FOLD, ct, size=size, stride=at["stride"], dilation=at["dilation"]),)


def _same_over_leading(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    return apply(node.primitive, *operands, **node.attributes)


WINDOWS = Primitive(
    name="windows",
    infer=_windows_infer,
    reference=_windows_reference,
    vjp=_windows_vjp,
    batch=_same_over_leading,
    samples=lambda: [
        Sample((_array(2, 7),), {"window": (3,), "stride": (2,), "dilation": (1,)}),
        Sample(
            (_array(5, 6),), {"window": (2, 3), "stride": (2, 1), "dilation": (2, 1)}
        ),
        Sample((_array(2, 3),), {"window": (), "stride": (), "dilation": ()}),
        Sample((_array(0, 4),), {"window": (2,), "stride": (2,), "dilation": (1,)}),
        Sample(
            (np.arange(5),), {"window": (2,), "stride": (1,), "dilation": (3,)},
            smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(2, 3),), {"window": (2,), "stride": (1,), "dilation": (3,)},
            ShapeError,
            "[windows] the window is empty or larger than what it slides over. "
            "Got: window (2,) with dilation (3,) over sizes (3,), padding included. "
            "Expected: at least 1, and at most the size on each axis.",
        ),
        Failure(
            (_array(3),), {"window": (2, 2), "stride": (1, 1), "dilation": (1, 1)},
            ShapeError,
            "[windows] the window has more axes than the tensor. "
            "Got: window (2, 2) over shape (3,).",
        ),
    ],
    source="result[..., o, j] = x[..., stride * o + dilation * j], for each axis",
)  # fmt: skip


def _fold_infer(
    x: TensorType, *, size: Shape, stride: Shape, dilation: Shape
) -> TensorType:
    check_kind("fold", x.dtype, NUMERIC)
    rank = len(size)
    lead = x.ndim - 2 * rank
    window = x.shape[lead + rank :]
    fits = lead >= 0 and x.shape[lead : lead + rank] == _window_counts(
        "fold", size, window, stride, dilation
    )
    if not fits:
        raise ShapeError(
            "[fold] the numbers of windows are not those over the size asked for",
            got=f"windows {x.shape} for size {size}, stride {stride} and "
            f"dilation {dilation}",
            expected="(..., *numbers of windows, *window)",
        )
    return TensorType((*x.shape[:lead], *size), x.dtype)


def _fold_reference(
    x: np.ndarray, *, size: Shape, stride: Shape, dilation: Shape
) -> np.ndarray:
    dtype = x.dtype
    x = _wide(x)
    rank = len(size)
    lead = x.ndim - 2 * rank
    # The axes of the windows first: what is added up then lies in long rows.
    x = np.moveaxis(x, range(-rank, 0), range(rank))
    # One axis at a time, the last first, which is then the last of the windows' axes.
    # Along it, either all windows at one offset or all offsets of one window are added.
    for i in reversed(range(rank)):
        place, step, gap = lead + 2 * i, stride[i], dilation[i]
        k, count = x.shape[i], x.shape[place + 1]
        shape = [*x.shape[:i], *x.shape[i + 1 :]]
        shape[place] = size[i]
        total = np.zeros(shape, x.dtype)
        index = [slice(None)] * len(shape)
        for j in range(min(count, k)):
            if k <= count:
                part = x[(*index[:i], j)]
                target = slice(j * gap, j * gap + _span(count, step), step)
            else:
                part = np.moveaxis(x[(*index[: place + 1], j)], i, place)
                target = slice(j * step, j * step + _span(k, gap), gap)
            total[(*index[:place], target)] += part
        x = total
    return x if x.dtype == dtype else x.astype(dtype)


def _fold_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    at = node.attributes
    window = x.shape[x.ndim - len(at["size"]) :]
    return (
        apply(WINDOWS, ct, window=window, stride=at["stride"], dilation=at["dilation"]),
    )


FOLD = Primitive(
    name="fold",
    infer=_fold_infer,
    reference=quiet(_fold_reference),
    vjp=_fold_vjp,
    batch=_same_over_leading,
    samples=lambda: [
        Sample((_array(2, 3, 3),), {"size": (7,), "stride": (2,), "dilation": (1,)}),
        Sample((_array(1, 2, 5),), {"size": (6,), "stride": (1,), "dilation": (1,)}),
        Sample(
            (_array(2, 4, 2, 3),),
            {"size": (5, 6), "stride": (2, 1), "dilation": (2, 1)},
        ),
        Sample((_array(2, 3),), {"size": (), "stride": (), "dilation": ()}),
        Sample(
            (np.arange(6).reshape(3, 2),),
            {"size": (4,), "stride": (1,), "dilation": (1,)}, smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(3, 2),), {"size": (5,), "stride": (1,), "dilation": (1,)},
            ShapeError,
            "[fold] the numbers of windows are not those over the size asked for. Got: "
            "windows (3, 2) for size (5,), stride (1,) and dilation (1,). Expected: "
            "(..., *numbers of windows, *window).",
        )
    ],
    source="the transpose of `windows`: overlapping elements are added",
)  # fmt: skip


# Arguments of the ops


def _each_axis(
    op: str, name: str, value: int | Sequence[int], rank: int, least: int
) -> Shape:
    """Return one integer for each spatial axis.

    Raises:
        ArgumentError: one is less than `least`, or there are not `rank` of them.
        ArgumentTypeError: one is no integer.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    try:
        sizes = tuple(operator.index(n) for n in given)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(
            f"[{op}] {name} must be an integer, or one for each spatial axis",
            got=f"{name}={value!r}",
        ) from None
    if len(sizes) != rank or any(n < least for n in sizes):
        raise ArgumentError(
            f"[{op}] {name} does not fit",
            got=f"{name}={value!r} for {rank} spatial axes",
            expected=f"an integer of at least {least}, or one for each spatial axis",
        )
    return sizes


def _each_side(op: str, value: Any, rank: int) -> Pairs:
    """Return a pair of widths for each spatial axis, from integers or pairs."""
    if isinstance(value, (tuple, list)) and len(value) == rank:
        parts = [
            _each_axis(op, "padding", part, 2, 0) if isinstance(part, (tuple, list))
            else _each_axis(op, "padding", part, 1, 0) * 2
            for part in value
        ]  # fmt: skip
        return tuple((low, high) for low, high in parts)
    widths = _each_axis(op, "padding", value, rank, 0)
    return tuple((width, width) for width in widths)


def _window_of(op: str, window: int | Sequence[int]) -> Shape:
    rank = len(window) if isinstance(window, (tuple, list)) else 1
    return _each_axis(op, "window", window, rank, 1)


def _pad_spatial(x: Node, widths: Pairs, value: float = 0) -> Node:
    lead = ((0, 0),) * (x.ndim - len(widths))
    return movement.pad_constant(x, (*lead, *widths), value)


# Convolution ops


def _convolution_operands(
    op: str, x: Node, weight: Node
) -> tuple[Node, Node, int, bool]:
    """Return the operands in one dtype, the spatial rank, whether `x` had a batch."""
    rank = weight.ndim - 2
    if rank < 1 or x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"[{op}] the number of axes is wrong",
            got=f"input {x.shape} and weight {weight.shape}",
            expected="(batch, channels, *spatial) or (channels, *spatial), and a "
            "weight with one kernel axis for each spatial axis after two channel axes",
        )
    dtype = common_dtype((x, weight))
    x, weight = as_node(op, x, dtype), as_node(op, weight, dtype)
    require(op, x, NUMERIC)
    has_batch = x.ndim == rank + 2
    return x if has_batch else movement.expand_dims(x), weight, rank, has_batch


def _with_bias(op: str, result: Node, bias: Node | None, has_batch: bool) -> Node:
    if bias is not None:
        channels = result.shape[1]
        if bias.shape != (channels,):
            raise ShapeError(
                f"[{op}] the bias does not have one element for each output channel",
                got=str(bias.shape),
                expected=str((channels,)),
            )
        column = movement.reshape(bias, (channels,) + (1,) * (result.ndim - 2))
        result = elementwise.add(result, column)
    return result if has_batch else movement.squeeze(result, 0)


def _groups_of(op: str, groups: int) -> int:
    return _each_axis(op, "groups", groups, 1, 1)[0]


def convolution(
    x: Node,
    weight: Node,
    bias: Node | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Node:
    """Return the convolution over any number of spatial axes, as layers define it.

    Formula: y[b, o, t] = bias[o] + sum over c, k of
    weight[o, c, k] * x[b, c, stride * t + dilation * k], with x padded by zeros: the
    kernel is not flipped.

    Args:
        x: shape (batch, in_channels, *spatial) or (in_channels, *spatial).
        weight: shape (out_channels, in_channels / groups, *kernel).
        bias: shape (out_channels,).
        stride, dilation: an integer, or one for each spatial axis.
        padding: an integer, one for each spatial axis, a pair (before, after) for each,
            "valid" (none), or "same" (as many outputs as inputs, one more after than
            before where the total is odd).
        groups: the channels are divided into so many groups, each by itself.

    Returns:
        Shape (batch, out_channels, *out), without batch if `x` had none, where out is
        floor((n + before + after - dilation * (kernel - 1) - 1) / stride) + 1.

    Raises:
        ShapeError: the channels do not fit, or the kernel is larger than the padded
            input.
        ArgumentError: a setting has a wrong value or number of entries; "same" with a
            stride.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """
    op = "convolution"
    x, weight, rank, has_batch = _convolution_operands(op, x, weight)
    steps = _each_axis(op, "stride", stride, rank, 1)
    gaps = _each_axis(op, "dilation", dilation, rank, 1)
    if isinstance(padding, str):
        widths = _named_padding(padding, weight.shape[2:], steps, gaps)
    else:
        widths = _each_side(op, padding, rank)
    result = apply(
        CONVOLUTION, x, weight, stride=steps, padding=widths, dilation=gaps,
        input_dilation=(1,) * rank, groups=_groups_of(op, groups),
    )  # fmt: skip
    return _with_bias(op, result, bias, has_batch)


def _named_padding(name: str, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    if name not in ("same", "valid"):
        raise ArgumentError(
            "[convolution] there is no padding of that name",
            got=repr(name),
            expected='"same", "valid", or integers',
        )
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if any(step != 1 for step in stride):
        raise ArgumentError(
            '[convolution] padding="same" needs stride 1',
            got=f"stride={stride}",
            fix="give the padding as integers",
        )
    totals = [_span(k, gap) - 1 for k, gap in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def convolution_transposed(
    x: Node,
    weight: Node,
    bias: Node | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Node:
    """Return the transpose of a convolution: from its outputs' shape to its inputs'.

    Args:
        x: shape (batch, in_channels, *spatial) or (in_channels, *spatial).
        weight: shape (in_channels, out_channels / groups, *kernel).
        bias: shape (out_channels,).
        stride, padding, dilation, groups: those of the convolution that is transposed.
        output_padding: added to the output's size at its end, since several input sizes
            of a convolution with a stride give one output size.

    Returns:
        Shape (batch, out_channels, *out), without batch if `x` had none, where out is
        (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.

    Raises:
        ShapeError: the channels do not fit, or the output would be empty.
        ArgumentError: a setting has a wrong value; an `output_padding` that is not less
            than the stride or the dilation.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """
    op = "convolution_transposed"
    x, weight, rank, has_batch = _convolution_operands(op, x, weight)
    steps = _each_axis(op, "stride", stride, rank, 1)
    cuts = _each_axis(op, "padding", padding, rank, 0)
    gaps = _each_axis(op, "dilation", dilation, rank, 1)
    extra = _each_axis(op, "output_padding", output_padding, rank, 0)
    groups = _groups_of(op, groups)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, gaps, strict=True)):
        raise ArgumentError(
            f"[{op}] output_padding must be less than stride or dilation",
            got=f"output_padding={extra}, stride={steps}, dilation={gaps}",
        )
    if x.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise ShapeError(
            f"[{op}] the channels of input and weight do not fit",
            got=f"an input of {x.shape[1]} channels and a weight from "
            f"{weight.shape[0]} channels to {weight.shape[1]} per group, "
            f"groups={groups}",
            expected="input channels = weight.shape[0], divisible by groups",
        )
    sizes = tuple(
        (n - 1) * s - 2 * p + _span(k, d) + e
        for n, s, p, k, d, e in zip(
            x.shape[2:], steps, cuts, weight.shape[2:], gaps, extra, strict=True
        )
    )
    if any(n < 1 for n in sizes + x.shape[2:]):
        raise ShapeError(
            f"[{op}] the output would be empty",
            got=f"sizes {sizes} from input {x.shape} and weight {weight.shape}",
            fix="use less padding",
        )
    result = _transposed(
        x, weight, sizes, stride=steps, padding=tuple((p, p) for p in cuts),
        dilation=gaps, input_dilation=(1,) * rank, groups=groups,
    )  # fmt: skip
    return _with_bias(op, result, bias, has_batch)


# Windows as ops


def sliding_windows(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Node:
    """Return all windows over the last axes, without a copy.

    Formula: y[..., o, j] = x[..., stride * o + dilation * j], for each axis.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride, dilation: an integer, or one for each spatial axis.

    Returns:
        Shape (..., *numbers of windows, *window).

    Raises:
        ShapeError: the window is larger than what it slides over.

    Gradient: overlapping elements are added.
    """
    sizes = _window_of("sliding_windows", window)
    steps = _each_axis("sliding_windows", "stride", stride, len(sizes), 1)
    gaps = _each_axis("sliding_windows", "dilation", dilation, len(sizes), 1)
    return apply(WINDOWS, x, window=sizes, stride=steps, dilation=gaps)


def _exchange_halves(lead: int, rank: int) -> tuple[int, ...]:
    """Return the order of axes with the last `rank` and the `rank` before swapped."""
    first, second = range(lead, lead + rank), range(lead + rank, lead + 2 * rank)
    return (*range(lead), *second, *first)


def unfold(
    x: Node,
    window: int | Sequence[int],
    *,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[Any] = 0,
    stride: int | Sequence[int] = 1,
) -> Node:
    """Return each window as a column, so that a convolution is a matrix product.

    Args:
        x: shape (batch, channels, *spatial) or (channels, *spatial), with one spatial
            axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        padding: zeros before and after each spatial axis.

    Returns:
        Shape (batch, channels * elements of a window, number of windows).

    Raises:
        ShapeError: the window is larger than the padded input.
    """
    sizes = _window_of("unfold", window)
    rank = len(sizes)
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            "[unfold] the number of axes is wrong",
            got=f"input {x.shape} for a window {sizes}",
            expected="(batch, channels, *spatial) or (channels, *spatial)",
        )
    padded = _pad_spatial(x, _each_side("unfold", padding, rank))
    found = sliding_windows(padded, sizes, stride=stride, dilation=dilation)
    lead = x.ndim - rank
    out = found.shape[lead : lead + rank]
    rows = x.shape[lead - 1] * math.prod(sizes)
    columns = movement.permute_dims(found, _exchange_halves(lead, rank))
    return movement.reshape(columns, (*x.shape[: lead - 1], rows, math.prod(out)))


def fold(
    x: Node,
    size: int | Sequence[int],
    window: int | Sequence[int],
    *,
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[Any] = 0,
    stride: int | Sequence[int] = 1,
) -> Node:
    """Return the sum of columns put back as windows: the transpose of `unfold`.

    Args:
        x: shape (batch, channels * elements of a window, number of windows), or without
            batch.
        size: the spatial sizes of the result.
        window, dilation, padding, stride: those of `unfold`.

    Returns:
        Shape (batch, channels, *size), without batch if `x` had none.

    Raises:
        ShapeError: the columns are not those of such windows.
    """
    kernel = _window_of("fold", window)
    rank = len(kernel)
    sizes = _each_axis("fold", "size", size, rank, 1)
    steps = _each_axis("fold", "stride", stride, rank, 1)
    gaps = _each_axis("fold", "dilation", dilation, rank, 1)
    widths = _each_side("fold", padding, rank)
    padded = _padded(sizes, widths)
    out = _window_counts("fold", padded, kernel, steps, gaps)
    elements = math.prod(kernel)
    if x.ndim not in (2, 3) or x.shape[-2] % elements or x.shape[-1] != math.prod(out):
        raise ShapeError(
            "[fold] the columns are not those of such windows",
            got=str(x.shape),
            expected=f"(batch, channels * {elements}, {math.prod(out)})",
        )
    lead = (*x.shape[:-2], x.shape[-2] // elements)
    split = movement.reshape(x, (*lead, *kernel, *out))
    at = len(lead)
    found = movement.permute_dims(split, _exchange_halves(at, rank))
    result = apply(FOLD, found, size=padded, stride=steps, dilation=gaps)
    starts = (0,) * at + tuple(low for low, _ in widths)
    stops = lead + tuple(low + n for (low, _), n in zip(widths, sizes, strict=True))
    return movement.slice_(result, starts, stops)


# Reductions over windows


def _lowest(dtype: DType) -> float:
    if dtype.is_float:
        return -math.inf
    return -(1 << (dtype.bits - 1)) if dtype.kind == "signed" else 0


def _highest(dtype: DType) -> float:
    if dtype.is_float:
        return math.inf
    return (1 << (dtype.bits - (dtype.kind == "signed"))) - 1


# kind -> the value of padding, and the reduction of the first axis.
_KINDS: dict[str, tuple[Callable[[DType], float], Callable[[Node], Node]]] = {
    "sum": (lambda dtype: 0, lambda x: reduce.sum_over(x, (0,))),
    "prod": (lambda dtype: 1, lambda x: apply(reduce.PRODUCT, x, axes=(0,))),
    "max": (_lowest, lambda x: reduce.argmax(x, 0)),
    "min": (_highest, lambda x: reduce.argmin(x, 0)),
}


def _at_positions(
    x: Node, position: Node, window: Shape, stride: Shape, dilation: Shape
) -> Node:
    """Return the element at a position of each window, counted in row-major order."""
    rank = len(window)
    lead, sizes = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    out = position.shape[len(lead) :]
    starts = _flat_positions(
        [np.arange(n) * s for n, s in zip(out, stride, strict=True)], sizes
    )
    offsets = _flat_positions(
        [np.arange(n) * s for n, s in zip(window, dilation, strict=True)], sizes
    )
    within = gather.gather(constant(offsets, int64), position, 0)
    count = math.prod(lead)
    at = movement.reshape(
        elementwise.add(within, constant(starts.reshape(out), int64)),
        (count, math.prod(out)),
    )
    found = gather.gather(movement.reshape(x, (count, math.prod(sizes))), at, 1, 1)
    return movement.reshape(found, position.shape)


def _flat_positions(places: Sequence[np.ndarray], sizes: Shape) -> np.ndarray:
    """Return flat positions of the points of a grid, given its places on each axis."""
    return np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), sizes).reshape(-1)


def _rounded_up(
    sizes: Shape, window: Shape, stride: Shape, dilation: Shape, widths: Pairs
) -> Pairs:
    """Return `widths` with enough padding after for a last window that is not whole.

    It is left out if it would begin beyond the input and the padding before it.
    """
    result = []
    for n, k, step, gap, (low, high) in zip(
        sizes, window, stride, dilation, widths, strict=True
    ):
        reach = _span(k, gap)
        last = -(-(n + low + high - reach) // step) * step
        if last >= n + low:
            last -= step
        result.append((low, max(high, last + reach - n - low)))
    return tuple(result)


def _reduce_windows(
    op: str,
    x: Node,
    kind: str,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[Any],
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> tuple[Node, Shape, Shape, Pairs]:
    """Return the reduction, and the window, stride and padding for each axis."""
    if kind not in _KINDS:
        raise ArgumentError(
            f"[{op}] there is no reduction of that name",
            got=repr(kind),
            expected=", ".join(_KINDS),
        )
    require(op, x, NUMERIC)
    sizes = _window_of(op, window)
    rank = len(sizes)
    steps = sizes if stride is None else _each_axis(op, "stride", stride, rank, 1)
    gaps = _each_axis(op, "dilation", dilation, rank, 1)
    widths = _each_side(op, padding, rank)
    if x.ndim < rank:
        raise ShapeError(
            f"[{op}] the window has more axes than the tensor",
            got=f"window {sizes} over shape {x.shape}",
        )
    spatial = x.shape[x.ndim - rank :]
    padded = _padded(spatial, widths)
    _window_counts(op, padded, sizes, steps, gaps)
    full = _rounded_up(spatial, sizes, steps, gaps, widths) if ceil_mode else widths
    neutral, reduction = _KINDS[kind]
    x = _pad_spatial(x, full, neutral(x.dtype))
    found = apply(WINDOWS, x, window=sizes, stride=steps, dilation=gaps)
    # The window first: reductions over it then run along whole rows.
    lead = movement.moveaxis(found, tuple(range(-rank, 0)), tuple(range(rank)))
    flat = movement.reshape(lead, (math.prod(sizes), *found.shape[:-rank]))
    result = reduction(flat)
    if kind in ("max", "min"):
        result = _at_positions(x, result, sizes, steps, gaps)
    return result, sizes, steps, widths


def window_reduce(
    x: Node,
    kind: str,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Node:
    """Return a reduction of each window over the last axes, in the dtype of `x`.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        kind: "sum", "prod", "max" or "min".
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: an integer, one for each spatial axis, or a pair (before, after) for
            each; filled with the value that changes nothing.
        dilation: an integer, or one for each spatial axis.
        ceil_mode: also reduce a last window that is not whole, unless it would begin in
            the padding after the input.

    Returns:
        Shape (..., *numbers of windows).

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: an unknown kind, or a setting with a wrong value.

    Special cases: nan if there is one in the window; -inf or inf for "max" or "min"
    where a window holds nothing but padding.

    Gradient: for "max" and "min" to the first of equal elements in row-major order.
    """
    return _reduce_windows(
        "window_reduce", x, kind, window, stride, padding, dilation, ceil_mode
    )[0]


def _check_half(op: str, window: Shape, dilation: Shape, widths: Pairs) -> None:
    for k, gap, pair in zip(window, dilation, widths, strict=True):
        if max(pair) > _span(k, gap) // 2:
            raise ArgumentError(
                f"[{op}] the padding must be at most half of the window",
                got=f"padding {widths} for a window {window} with dilation {dilation}",
                fix="pad first, with plait.pad",
            )


def max_pool(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Node:
    """Return the greatest element of each window over the last axes.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: at most half of the window; padded places are never the greatest.
        dilation: an integer, or one for each spatial axis.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.

    Returns:
        Shape (..., *out), where out is
        floor((n + before + after - dilation * (window - 1) - 1) / stride) + 1, or with
        ceil in place of floor.

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: the padding is more than half of the window.

    Special cases: nan if there is one in the window.

    Gradient: to the first of equal greatest elements in row-major order, as in PyTorch.
    """
    sizes = _window_of("max_pool", window)
    gaps = _each_axis("max_pool", "dilation", dilation, len(sizes), 1)
    _check_half("max_pool", sizes, gaps, _each_side("max_pool", padding, len(sizes)))
    return _reduce_windows(
        "max_pool", x, "max", sizes, stride, padding, gaps, ceil_mode
    )[0]


def average_pool(
    x: Node,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[Any] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Node:
    """Return the mean of each window over the last axes.

    Args:
        x: shape (..., *spatial), with one spatial axis for each entry of `window`.
        window: the size on each spatial axis; an integer means one axis.
        stride: an integer, or one for each spatial axis. Default: the window.
        padding: zeros, at most half of the window.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input. What lies beyond the padding is not counted.
        count_include_pad: count the padding as elements.

    Returns:
        Shape (..., *out), as in `max_pool`; integers are averaged as the default
        floating-point type.

    Raises:
        ShapeError: the window is larger than the padded input.
        ArgumentError: the padding is more than half of the window.
    """
    op = "average_pool"
    require(op, x, NUMERIC)
    x = as_float(op, x)
    dtype = x.dtype
    # The mean of 16-bit numbers may fit where their sum does not.
    x = elementwise.cast(x, promote(dtype, float32))
    sizes = _window_of(op, window)
    ones = (1,) * len(sizes)
    _check_half(op, sizes, ones, _each_side(op, padding, len(sizes)))
    total, _, steps, widths = _reduce_windows(
        op, x, "sum", sizes, stride, padding, ones, ceil_mode
    )
    rank = len(sizes)
    spatial, out = x.shape[x.ndim - rank :], total.shape[total.ndim - rank :]
    counts = np.ones(())
    for n, m, k, step, (low, high) in zip(
        spatial, out, sizes, steps, widths, strict=True
    ):
        start = np.arange(m) * step - low
        stop = np.minimum(start + k, n + high)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        counts = np.multiply.outer(counts, stop - start)
    if counts.size and (counts == counts.flat[0]).all():
        mean = elementwise.divide(total, float(counts.flat[0]))
    else:
        mean = elementwise.divide(total, constant(counts, x.dtype))
    return elementwise.cast(mean, dtype)


PRIMITIVES = (CONVOLUTION, WINDOWS, FOLD)

OPS = (
    convolution, convolution_transposed, sliding_windows, unfold, fold, window_reduce,
    max_pool, average_pool,
)  # fmt: skip
