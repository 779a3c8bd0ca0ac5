"""Pooling: the greatest element or the mean of each window of the input.

Read first: `MaxPool1d`, `AvgPool1d`, `AdaptiveAvgPool1d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .sample import Sample, uniform
from .spatial import Spatial

Sizes = int | Sequence[int]


class _Pool(Spatial):
    """A layer with a window that slides."""

    dilation: Sizes = 1
    ceil_mode: bool

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self._window = self._each("kernel_size", kernel_size, 1)
        self._stride = self._each("stride", self.stride, 1)
        self._padding = self._each("padding", padding)
        for size, width in zip(self._window, self._padding, strict=True):
            if width > size // 2:
                raise ArgumentError(
                    f"[{type(self).__name__}] the padding must be at most half of the "
                    "window",
                    got=f"padding={padding}, kernel_size={kernel_size}",
                    fix="pad first, with a layer such as ZeroPad2d",
                )

    def _check(self, input: Tensor, channels: int | None = None) -> None:
        super()._check(input, channels)
        gaps = self._each("dilation", self.dilation, 1)
        for n, size, step, width, gap in zip(
            input.shape[-self.rank :], self._window, self._stride, self._padding, gaps,
            strict=True,
        ):  # fmt: skip
            # One window that is not whole lies less than a stride outside.
            room = n + 2 * width + (step - 1 if self.ceil_mode and n else 0)
            if room < gap * (size - 1) + 1:
                raise ShapeError(
                    f"[{type(self).__name__}] the input is smaller than the window",
                    got=f"shape {input.shape} for kernel_size={self.kernel_size}, "
                    f"padding={self.padding}, dilation={self.dilation}",
                )


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode
        self._dilation = self._each("dilation", dilation, 1)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self._check(input)
        pool = plait.max_pool_with_indices if self.return_indices else plait.max_pool
        return pool(
            input, self._window, stride=self._stride, padding=self._padding,
            dilation=self._dilation, ceil_mode=self.ceil_mode,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The greatest element of each window.

    Args:
        kernel_size: the size of the window.
        stride: how far the window moves. Default: its size.
        padding: how much is added before and after, at most half of the window; it is
            never the greatest.
        dilation: how far apart the elements of the window lie.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m),
    with m = floor((length + 2 * padding - dilation * (kernel_size - 1) - 1) / stride)
    + 1, or with ceil in place of floor.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((distinct(2, 3, 7),), (3,)),
            Sample((distinct(2, 3, 8),), (3, 2, 1, 2), {"ceil_mode": True}),
            Sample((distinct(3, 6),), (2,), {"return_indices": True}, separable=False),
            Sample((distinct(0, 3, 6),), (2,)),
        ]


class MaxPool2d(_MaxPool):
    """As `MaxPool1d`, over height and width: the greatest of each window.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis. Default: its
            size.
        padding: how much is added before and after, at most half of the window, an
            integer or one for each axis; it is never the greatest.
        dilation: how far apart the elements of the window lie, an integer or one for
            each axis.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *sizes), or without n, with the size of each axis as in `MaxPool1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = distinct(2, 3, 5, 7)
        return [
            Sample((x,), (2,)),
            Sample((x,), ((3, 2), (2, 1), 1, (1, 2))),
            Sample((x,), (3, 2, 1), {"ceil_mode": True, "return_indices": True}),
            Sample((distinct(3, 4, 6),), ((2, 3),), separable=False),
        ]


class MaxPool3d(_MaxPool):
    """As `MaxPool1d`, over depth, height and width: the greatest of each window.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis. Default: its
            size.
        padding: how much is added before and after, at most half of the window, an
            integer or one for each axis; it is never the greatest.
        dilation: how far apart the elements of the window lie, an integer or one for
            each axis.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *sizes), or without n, with the size of each axis as in `MaxPool1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        x = distinct(2, 2, 3, 4, 5)
        return [
            Sample((x,), (2,)),
            Sample((x,), (3, (1, 2, 2), 1), {"return_indices": True}),
        ]


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        if divisor_override == 0:
            raise ArgumentError(
                f"[{type(self).__name__}] the divisor is 0", got="divisor_override=0"
            )
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.average_pool(
            input, self._window, stride=self._stride, padding=self._padding,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad,
            divisor=self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class AvgPool1d(_AvgPool):
    """The mean of each window.

    Args:
        kernel_size: the size of the window.
        stride: how far the window moves. Default: its size.
        padding: how many zeros are added before and after, at most half of the window.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.
        count_include_pad: count the padding as elements.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m),
    with m = floor((length + 2 * padding - kernel_size) / stride) + 1, or with ceil in
    place of floor.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 1

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 7),), (3,)),
            Sample((uniform(2, 3, 7),), (3, 2, 1, True, False)),
            Sample((uniform(3, 6),), (2, 1), separable=False),
            Sample((uniform(0, 3, 6),), (2,)),
        ]


class AvgPool2d(_AvgPool):
    """As `AvgPool1d`, over height and width: the mean of each window.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis. Default: its
            size.
        padding: how many zeros are added before and after, at most half of the window,
            an integer or one for each axis.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.
        count_include_pad: count the padding as elements.
        divisor_override: what sums are divided by, in place of the numbers of elements.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *sizes), or without n, with the size of each axis as in `AvgPool1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 5, 7)
        return [
            Sample((x,), (2,)),
            Sample((x,), ((3, 2), (2, 1), (1, 0), True)),
            Sample((x,), (8, 8, 0, True)),
            Sample((x,), (3, 2, 1, True), {"count_include_pad": False}),
            Sample((x,), (3, 2, 1, True), {"divisor_override": 5}),
            Sample((uniform(3, 4, 6),), ((2, 3),), separable=False),
        ]


class AvgPool3d(_AvgPool):
    """As `AvgPool1d`, over depth, height and width: the mean of each window.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis. Default: its
            size.
        padding: how many zeros are added before and after, at most half of the window,
            an integer or one for each axis.
        ceil_mode: also take a last window that is not whole, unless it would begin in
            the padding after the input.
        count_include_pad: count the padding as elements.
        divisor_override: what sums are divided by, in place of the numbers of elements.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *sizes), or without n, with the size of each axis as in `AvgPool1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 2, 3, 4, 5)
        return [
            Sample((x,), (2,)),
            Sample((x,), (3, (1, 2, 2), 1), {"divisor_override": 4}),
        ]


class _Adaptive(Spatial):
    """A layer with windows that adapt to the sizes of its result."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size
        given = output_size if isinstance(output_size, (tuple, list)) else None
        sizes = given or (output_size,) * self.rank
        # None keeps a size; any number stands for it while the others are checked.
        self._each("output_size", tuple(1 if n is None else n for n in sizes), 1)
        self._sizes: tuple[Any, ...] = tuple(sizes)

    def _check(self, input: Tensor, channels: int | None = None) -> None:
        super()._check(input, channels)
        if 0 in input.shape[-self.rank :]:
            raise ShapeError(
                f"[{type(self).__name__}] there is nothing to reduce on an empty axis",
                got=f"shape {input.shape}",
            )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_Adaptive):
    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.adaptive_average_pool(input, self._sizes)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of as many windows as the result has elements.

    Window i of m over a length is [floor(i * length / m), ceil((i + 1) * length / m)).

    Args:
        output_size: m, the size of the result; None keeps the size.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m).

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 7),), (3,)),
            Sample((uniform(2, 3, 6),), (2,)),
            Sample((uniform(3, 5),), (7,), separable=False),
            Sample((uniform(0, 3, 5),), (1,)),
        ]


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d`, over height and width: means of windows.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 5, 6)
        return [
            Sample((x,), (1,)),
            Sample((x,), ((3, 2),)),
            Sample((x,), ((None, 4),)),
            Sample((uniform(3, 4, 6),), (2,), separable=False),
        ]


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d`, over depth, height and width: means of windows.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 2, 3, 4, 5)
        return [Sample((x,), (1,)), Sample((x,), ((2, None, 3),))]


class _AdaptiveMaxPool(_Adaptive):
    def __init__(
        self,
        output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
    ) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self._check(input)
        if self.return_indices:
            return plait.adaptive_max_pool_with_indices(input, self._sizes)
        return plait.adaptive_max_pool(input, self._sizes)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The greatest elements of as many windows as the result has elements.

    Window i of m over a length is [floor(i * length / m), ceil((i + 1) * length / m)).

    Args:
        output_size: m, the size of the result; None keeps the size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m).

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((distinct(2, 3, 7),), (3,)),
            Sample((distinct(3, 6),), (2, True), separable=False),
            Sample((distinct(0, 3, 5),), (2,)),
        ]


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool1d`, over height and width: the greatest elements.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = distinct(2, 3, 5, 6)
        return [
            Sample((x,), (1,)),
            Sample((x,), ((3, 4), True)),
            Sample((x,), ((None, 2),)),
            Sample((distinct(3, 4, 6),), ((3, 8),), separable=False),
        ]


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool1d`, over depth, height and width: the greatest elements.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((distinct(2, 2, 3, 4, 5),), ((2, None, 3), True))]


def distinct(*shape: int) -> np.ndarray:
    """Return numbers apart from each other, so that the greatest stays the greatest."""
    count = int(np.prod(shape))
    order = np.random.default_rng(count).permutation(count)
    return (order / max(count, 1) * 4 - 2).reshape(shape)
