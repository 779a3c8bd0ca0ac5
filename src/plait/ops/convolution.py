"""Convolution and its transpose, over any number of spatial axes.

Spatial axes are the last ones; a stride, dilation or padding has one entry for each.
The derivatives of a convolution are convolutions again.

Read first: `CONVOLUTION`, `convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape
from . import elementwise, movement
from .family import NUMERIC, check_kind, quiet
from .operand import as_node, common_dtype, require
from .source import full_like
from .spatial import (
    Pairs,
    each_axis,
    each_side,
    padded_sizes,
    span,
    wide,
    window_counts,
)


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape)


# Elements of the matrix of windows that a convolution lays out at once: as many as fit
# the second-level cache.
_LAID_OUT = 1 << 18


def _spread_sizes(sizes: Shape, padding: Pairs, dilation: Shape) -> Shape:
    return padded_sizes(
        [span(n, d) for n, d in zip(sizes, dilation, strict=True)], padding
    )


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
    out = window_counts("convolution", spread, weight.shape[2:], stride, dilation)
    return TensorType((x.shape[0], weight.shape[0], *out), x.dtype)


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
        placed.append(slice(start, start + span(last - first, step), step))
    result = np.zeros(x.shape[: -len(padding)] + shape, x.dtype)
    result[tuple(placed)] = x[tuple(taken)]
    return result


def _laid_out(x: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Return a contiguous copy of `x` in `memory`, which is flat and large enough."""
    copy = memory[: x.size].reshape(x.shape)
    copy[...] = x
    return copy


def _by_place(windows: np.ndarray, matrix: np.ndarray, rank: int) -> np.ndarray:
    """Return (batch, groups, rows, places), from columns of one window each.

    Args:
        windows: (batch, groups, channels, *kernel, *out), with `rank` axes of kernel.
        matrix: (groups, rows, channels * elements of the kernel).
    """
    batch, groups = windows.shape[:2]
    rows, inner = matrix.shape[1:]
    places = math.prod(windows.shape[3 + rank :])
    elements = groups * inner * places
    at_once = max(1, min(batch, _LAID_OUT // max(1, elements)))
    memory = np.empty(at_once * elements, windows.dtype)
    result = np.empty((batch, groups, rows, places), windows.dtype)
    for start in range(0, batch, at_once):
        part = windows[start : start + at_once]
        columns = _laid_out(part, memory).reshape(len(part), groups, inner, places)
        np.matmul(matrix, columns, out=result[start : start + at_once])
    return result


def _by_window(windows: np.ndarray, matrix: np.ndarray, rank: int) -> np.ndarray:
    """Return what `_by_place` returns, from rows of one window each.

    These are long where the windows are large. So some of the channels come at once,
    of all examples.
    """
    batch, groups, channels = windows.shape[:3]
    rows, size = matrix.shape[1], math.prod(windows.shape[3 : 3 + rank])
    places = math.prod(windows.shape[3 + rank :])
    elements = groups * batch * places * size
    at_once = max(1, min(channels, _LAID_OUT // max(1, elements)))
    memory = np.empty(at_once * elements, windows.dtype)
    total = np.zeros((groups, batch * places, rows), windows.dtype)
    order = (1, 0, *range(3 + rank, 3 + 2 * rank), *range(2, 3 + rank))
    for start in range(0, channels, at_once):
        part = windows[:, :, start : start + at_once].transpose(order)
        block = matrix[:, :, start * size : (start + at_once) * size]
        table = _laid_out(part, memory).reshape(*total.shape[:2], block.shape[2])
        total += np.matmul(table, block.transpose(0, 2, 1))
    return total.reshape(groups, batch, places, rows).transpose(1, 0, 3, 2)


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
    x, weight = _spread(wide(x), padding, input_dilation), wide(weight)
    kernel = weight.shape[2:]
    out = window_counts("convolution", x.shape[2:], kernel, stride, dilation)
    batch, channels, rank = x.shape[0], weight.shape[1], len(out)
    inner = channels * math.prod(kernel)
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
    matrix = weight.reshape(groups, weight.shape[0] // groups, inner)
    # They are laid out as a matrix whose fastest axis is the longer one, to copy fast.
    product = _by_place if out[-1] >= kernel[-1] else _by_window
    full = product(windows, matrix, rank).reshape(batch, weight.shape[0], *out)
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
        reach = span(k, gap)
        before = reach - 1 - low
        widths.append((before, span(n, spread) + reach - 1 - span(m, step) - before))
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
        after = span(k, gap) - 1 + span(m, step) - span(n, spread) - low
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


# Ops


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
    return each_axis(op, "groups", groups, 1, 1)[0]


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
    steps = each_axis(op, "stride", stride, rank, 1)
    gaps = each_axis(op, "dilation", dilation, rank, 1)
    if isinstance(padding, str):
        widths = _named_padding(padding, weight.shape[2:], steps, gaps)
    else:
        widths = each_side(op, padding, rank)
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
    totals = [span(k, gap) - 1 for k, gap in zip(kernel, dilation, strict=True)]
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
    steps = each_axis(op, "stride", stride, rank, 1)
    cuts = each_axis(op, "padding", padding, rank, 0)
    gaps = each_axis(op, "dilation", dilation, rank, 1)
    extra = each_axis(op, "output_padding", output_padding, rank, 0)
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
        (n - 1) * s - 2 * p + span(k, d) + e
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


PRIMITIVES = (CONVOLUTION,)

OPS = (convolution, convolution_transposed)
