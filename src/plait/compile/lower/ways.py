"""Which way a convolution is computed: what its vectors run along, and how elements
are laid out for that.

Read first: `slid`, `is_gathered`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...ir.graph import Node
from .sliding import Axis, Run, parts_of, phases_of, runs_of

# Code of so many runs is not too long.
_MOST_RUNS = 36
# Parts or phases, of all axes, that are written out even where windows do not overlap.
_MOST_WRITTEN_OUT = 4
# Sums of one item that are written out.
_MOST_SUMS = 100
# Products that cost as much as the copy of an element.
_COPY = 8
# What need not be copied for each tap may take so many times the products.
_WORTH = 3
# Positions that are worked on at once, at least.
_FEW = 128


def is_gathered(axes: Sequence[Axis], along_kernel: bool) -> bool:
    """Return whether a convolution becomes another one, in which little slides.

    Args:
        along_kernel: the axes are turned: taps are the places of the result.
    """
    return are_patches(axes, along_kernel) or not has_short_code(axes)


def has_short_code(axes: Sequence[Axis]) -> bool:
    """Return whether the code of what slides would not be too long.

    Each part of what windows with a stride slide over has code of its own, and so has
    each phase of what is spread.
    """
    runs = math.prod(sum(map(len, axis.runs)) for axis in axes)
    return runs <= _MOST_RUNS


def are_patches(axes: Sequence[Axis], along_kernel: bool) -> bool:
    """Return whether windows do not overlap, and are many: nothing need slide."""
    if math.prod(axis.stride for axis in axes) > _MOST_WRITTEN_OUT:
        return all(map(_is_cut, axes))
    phases = math.prod(axis.phases for axis in axes)
    return (
        not along_kernel and phases > _MOST_WRITTEN_OUT and all(map(_is_put_back, axes))
    )


def _is_cut(axis: Axis) -> bool:
    """Whether windows lie side by side, within the elements."""
    return (
        axis.phases == 1
        and axis.taps <= axis.stride
        and axis.runs[0] == [Run(t, 0, 1, t, 0, 0) for t in range(axis.taps)]
        and (axis.count - 1) * axis.stride + axis.taps <= axis.size
    )


def _is_put_back(axis: Axis) -> bool:
    """Whether each place is met by one tap, the last ones first."""
    last = axis.phases - 1
    return (
        axis.step == 1
        and axis.count == axis.positions * axis.phases
        and axis.positions <= axis.size
        and all(
            runs == [Run(last - phase, 0, 1, 0, 0, 0)]
            for phase, runs in enumerate(axis.runs)
        )
    )


def _is_short(axes: Sequence[Axis], along_kernel: bool) -> bool:
    return has_short_code(axes) or are_patches(axes, along_kernel)


def is_spelled_out(node: Node) -> bool:
    """Return whether the usual way of a convolution has too long code."""
    first, _, along_kernel = _ways(node)
    return not _is_short(first, along_kernel)


def slid(node: Node) -> tuple[Sequence[Axis], bool]:
    """Return the axes of a convolution, and whether vectors run along its kernel."""
    first, second, along_kernel = _ways(node)
    if _is_short(first, along_kernel) or not _is_short(second, not along_kernel):
        return first, along_kernel
    weight, axes = node.operands[1], first
    rows = weight.shape[0] // node.attributes["groups"]
    # What is copied for each tap has no places between lines, which take products too.
    copied = math.prod(axis.count * axis.taps for axis in axes)
    written = math.prod(axis.taps for axis in second) if not along_kernel else 0
    if written <= _MOST_SUMS and _products(second) * rows < _WORTH * copied * (
        rows + _COPY
    ):
        return second, not along_kernel
    return first, along_kernel


def _ways(node: Node) -> tuple[Sequence[Axis], Sequence[Axis], bool]:
    """Return the axes of a convolution in the usual way and in the other one, and
    whether vectors run along the kernel in the usual one.
    """
    x, weight = node.operands
    at = node.attributes
    axes, turned = [], []
    for size, count, taps, step, gap, spread, (low, _) in zip(
        x.shape[2:], node.shape[2:], weight.shape[2:], at["stride"], at["dilation"],
        at["input_dilation"], at["padding"], strict=True,
    ):  # fmt: skip
        axes.append(Axis(size, count, taps, step, gap, spread, low))
        turned.append(Axis(size, taps, count, gap, step, spread, low))
    if _products(turned) < _products(axes):
        return turned, axes, True
    return axes, turned, False


def laid(axes: Sequence[Axis], rows: int, room: int) -> Sequence[Axis]:
    """Return the cheaper way of laying axes out.

    Args:
        room: elements of one channel for which there is memory.
    """
    apart = [*axes[:-1], axes[-1].apart()]
    if len(parts_of(apart)) * max(_extent(apart), _FEW) > room:
        return axes
    ways: list[Sequence[Axis]] = [axes, apart]
    return min(
        ways,
        key=lambda way: (
            _products(way) * rows + _extent(way) * len(parts_of(way)) * _COPY
        ),
    )


def _products(axes: Sequence[Axis]) -> int:
    """Return how many products one channel of an item takes."""
    taps = sum(
        math.prod(run.number for run in runs)
        for phase in phases_of(axes)
        for runs in runs_of(axes, phase)
    )
    return taps * _extent(axes)


def _extent(axes: Sequence[Axis]) -> int:
    """Return how many positions are worked on for one item."""
    if len(axes) == 1:
        return axes[0].pitch
    return axes[0].positions * math.prod(axis.pitch for axis in axes[1:])
