"""Layers that pad the spatial axes of their input, or cut off their ends.

Read first: `ConstantPad1d`, `ReflectionPad1d`, `Cropping1d`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform
from .spatial import Spatial


class _Pad(Spatial):
    """Pads in one way or another.

    Attributes:
        padding: how much, before and after the last axis, then the axis before it, and
            so on, as in PyTorch.
    """

    mode: ClassVar[str]
    value: float = 0.0
    _argument: ClassVar[str] = "padding"  # what the sizes are called

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.rank
        one = not isinstance(padding, (tuple, list))
        given: Sequence[Any] = (padding,) * count if one else tuple(padding)  # type: ignore[arg-type]
        whole = all(hasattr(n, "__index__") and not isinstance(n, bool) for n in given)
        if len(given) != count or not whole:
            raise ArgumentError(
                f"[{type(self).__name__}] {self._argument} does not fit",
                got=f"{self._argument}={padding!r}",
                expected=f"an integer, or {count}: before and after the last axis, "
                "then the axis before it",
            )
        self.padding = tuple(operator.index(n) for n in given)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        # Of the last axis first, while `pad` has them in the order of the axes.
        pairs = [self.padding[i : i + 2] for i in range(0, 2 * self.rank, 2)][::-1]
        return plait.pad(input, pairs, mode=self.mode, value=self.value)

    def extra_repr(self) -> str:
        return super().extra_repr() or f"{self.padding}"

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {1: (7,), 2: (4, 5), 3: (3, 4, 3)}[cls.rank]
        uneven = (2, 1, 0, 3, 1, 2)[: 2 * cls.rank]
        cut = (-1, 2, 1, -2, 0, 1)[: 2 * cls.rank]
        return [
            Sample((uniform(2, 2, *sizes),), (uneven,)),
            Sample((uniform(3, *sizes),), (cut,), separable=False),
            Sample((uniform(0, 2, *sizes),), (2,)),
        ]


class _ConstantPad(_Pad):
    mode = "constant"
    _shown = ("padding", "value")

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    @classmethod
    def samples(cls) -> list[Sample]:
        return [
            sample._replace(args=(*sample.args, 1.5)) for sample in super().samples()
        ]


class ConstantPad1d(_ConstantPad):
    """Adds a constant before and after the last axis.

    Args:
        padding: how much, an integer, or (before, after); negative numbers cut off.
        value: the constant.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels, before + length + after), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 1


class ConstantPad2d(_ConstantPad):
    """As `ConstantPad1d`, for the last two axes: adds a constant around them.

    Args:
        padding: how much, an integer, or (left, right, top, bottom); negative numbers
            cut off.
        value: the constant.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, top + height + bottom, left + width + right), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 2


class ConstantPad3d(_ConstantPad):
    """As `ConstantPad1d`, for the last three axes: adds a constant around them.

    Args:
        padding: how much, an integer, or (left, right, top, bottom, front, back);
            negative numbers cut off.
        value: the constant.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, front + depth + back, top + height + bottom, left + width + right), or
    without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 3


class ZeroPad1d(_Pad):
    """Adds zeros before and after the last axis; see `ConstantPad1d`.

    Args:
        padding: how much, an integer, or (before, after); negative numbers cut off.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels, before + length + after), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 1
    mode = "constant"


class ZeroPad2d(_Pad):
    """Adds zeros around the last two axes; see `ConstantPad2d`.

    Args:
        padding: how much, an integer, or (left, right, top, bottom); negative numbers
            cut off.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, top + height + bottom, left + width + right), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 2
    mode = "constant"


class ZeroPad3d(_Pad):
    """Adds zeros around the last three axes; see `ConstantPad3d`.

    Args:
        padding: how much, an integer, or (left, right, top, bottom, front, back);
            negative numbers cut off.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, front + depth + back, top + height + bottom, left + width + right), or
    without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or more is cut off than there
            is.
    """

    rank = 3
    mode = "constant"


class ReflectionPad1d(_Pad):
    """Adds the mirror image of the last axis, without the element at the edge.

    For abcd and padding 2: cb abcd cb.

    Args:
        padding: how much, an integer, or (before, after), less than the length;
            negative numbers cut off.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels, before + length + after), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """As `ReflectionPad1d`, for the last two axes: adds mirror images.

    Args:
        padding: how much, an integer, or (left, right, top, bottom), less than the
            sizes; negative numbers cut off.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, top + height + bottom, left + width + right), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """As `ReflectionPad1d`, for the last three axes: adds mirror images.

    Args:
        padding: how much, an integer, or (left, right, top, bottom, front, back), less
            than the sizes; negative numbers cut off.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, front + depth + back, top + height + bottom, left + width + right), or
    without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 3
    mode = "reflect"

    @classmethod
    def samples(cls) -> list[Sample]:
        x = uniform(2, 2, 3, 4, 3)
        return [
            Sample((x,), (1,)),
            Sample((x[0],), ((1, 0, 2, 1, 0, 1),), separable=False),
        ]


class ReplicationPad1d(_Pad):
    """Repeats the elements at the edges of the last axis.

    For abcd and padding 2: aa abcd dd.

    Args:
        padding: how much, an integer, or (before, after); negative numbers cut off.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels, before + length + after), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """As `ReplicationPad1d`, for the last two axes: repeats their edges.

    Args:
        padding: how much, an integer, or (left, right, top, bottom); negative numbers
            cut off.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, top + height + bottom, left + width + right), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """As `ReplicationPad1d`, for the last three axes: repeats their edges.

    Args:
        padding: how much, an integer, or (left, right, top, bottom, front, back);
            negative numbers cut off.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, front + depth + back, top + height + bottom, left + width + right), or
    without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Adds the last axis again, as if it were a ring.

    For abcd and padding 2: cd abcd ab.

    Args:
        padding: how much, an integer, or (before, after), at most the length; negative
            numbers cut off.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels, before + length + after), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """As `CircularPad1d`, for the last two axes, as if they were rings.

    Args:
        padding: how much, an integer, or (left, right, top, bottom), at most the sizes;
            negative numbers cut off.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, top + height + bottom, left + width + right), or without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """As `CircularPad1d`, for the last three axes, as if they were rings.

    Args:
        padding: how much, an integer, or (left, right, top, bottom, front, back), at
            most the sizes; negative numbers cut off.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, front + depth + back, top + height + bottom, left + width + right), or
    without n.

    Raises:
        ArgumentError: padding that is no integers, or not so many.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 3
    mode = "circular"


class _Cropping(_Pad):
    """Padding by less than nothing."""

    mode = "constant"
    _argument = "cropping"

    def __init__(self, cropping: int | Sequence[int]) -> None:
        super().__init__(cropping)
        self.cropping = self.padding
        name = type(self).__name__
        if min(self.cropping) < 0:
            raise ArgumentError(
                f"[{name}] less than nothing cannot be cut off",
                got=f"cropping={self.cropping}",
                expected="integers of at least 0",
                fix=f"to add zeros, use {name.replace('Cropping', 'ZeroPad')}",
            )
        self.padding = tuple(-n for n in self.cropping)

    def extra_repr(self) -> str:
        return f"{self.cropping}"

    @classmethod
    def samples(cls) -> list[Sample]:
        rank = cls.rank
        shape = (2, 2, 5, 6, 7)[: 2 + rank]
        cut = (2, 1, 0, 3, 1, 2)[: 2 * rank]

        def reference(_: Module, x: np.ndarray) -> Any:
            pairs = list(zip(cut[::2], cut[1::2], strict=True))[::-1]
            places = zip(pairs, shape[2:], strict=True)
            kept: Any = [..., *(slice(a, n - b) for (a, b), n in places)]
            return x[tuple(kept)]

        def even(_: Module, x: np.ndarray) -> Any:
            kept: Any = [..., *[slice(1, -1)] * rank]
            return x[tuple(kept)]

        x = uniform(*shape)
        return [
            Sample((x,), (cut,), reference=reference),
            Sample((x,), (1,), reference=even),
        ]


class Cropping1d(_Cropping):
    """Cuts off the ends of the last axis: what `ZeroPad1d` adds.

    Args:
        cropping: how much, an integer or two, before and after.

    Input: shape (n, channels, length), or without n. Result: the same but for the
    length.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too short.
    """

    rank = 1


class Cropping2d(_Cropping):
    """Cuts off the ends of height and width: what `ZeroPad2d` adds.

    Args:
        cropping: how much, an integer or four: left, right, top, bottom, the last axis
            first as in all padding.

    Input: shape (n, channels, height, width), or without n. Result: the same but for
    height and width.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 2


class Cropping3d(_Cropping):
    """Cuts off the ends of depth, height and width: what `ZeroPad3d` adds.

    Args:
        cropping: how much, an integer or six: before and after the width, then the
            height, then the depth.

    Input: shape (n, channels, depth, height, width), or without n. Result: the same but
    for the spatial sizes.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 3
