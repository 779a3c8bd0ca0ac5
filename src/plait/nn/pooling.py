"""Pooling: the greatest element, the mean or a norm of each window of the input.

Read first: `MaxPool1d`, `AvgPool1d`, `LPPool1d`.
"""

from __future__ import annotations

import numpy as np

import plait
from plait import Tensor

from ..arguments import Sizes
from ..errors import ArgumentError, ShapeError
from .sample import Sample, distinct, uniform
from .spatial import Spatial


class _Pool(Spatial):
    """A layer with a window that slides."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None,
        padding: Sizes,
        ceil_mode: bool,
        dilation: Sizes = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode
        self._window = self._each("kernel_size", kernel_size, 1)
        self._stride = self._each("stride", self.stride, 1)
        self._padding = self._each("padding", padding)
        self._dilation = self._each("dilation", dilation, 1)
        self._span = tuple(
            gap * (size - 1) + 1
            for size, gap in zip(self._window, self._dilation, strict=True)
        )
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
        for n, span, step, width in zip(
            input.shape[-self.rank :], self._span, self._stride, self._padding,
            strict=True,
        ):  # fmt: skip
            # One window that is not whole lies less than a stride outside.
            room = n + 2 * width + (step - 1 if self.ceil_mode and n else 0)
            if room < span:
                raise ShapeError(
                    f"[{type(self).__name__}] the input is smaller than the window",
                    got=f"shape {input.shape} for kernel_size={self.kernel_size}, "
                    f"padding={self.padding}, dilation={self.dilation}",
                )


class _MaxPool(_Pool):
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, dilation)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self._check(input)
        pool = plait.max_pool_with_indices if self.return_indices else plait.max_pool
        return pool(
            input, self._window, stride=self._stride, padding=self._padding,
            dilation=self._dilation, ceil_mode=self.ceil_mode,
        )  # fmt: skip


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
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        if divisor_override == 0:
            raise ArgumentError(
                f"[{type(self).__name__}] the divisor is 0", got="divisor_override=0"
            )
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.average_pool(
            input, self._window, stride=self._stride, padding=self._padding,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad,
            divisor=self.divisor_override,
        )  # fmt: skip


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


class _LPPool(_Pool):
    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, 0, ceil_mode)
        if not norm_type > 0:
            raise ArgumentError(
                f"[{type(self).__name__}] norm_type must be positive",
                got=f"norm_type={norm_type}",
            )
        self.norm_type = norm_type

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.lp_pool(
            input, self.norm_type, self._window, stride=self._stride,
            ceil_mode=self.ceil_mode,
        )  # fmt: skip

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {1: (7,), 2: (5, 7), 3: (3, 4, 5)}[cls.rank]
        x = uniform(2, 3, *sizes)
        return [
            Sample((x,), (2, 2)),
            Sample((np.abs(x),), (1.5, 3, 2), {"ceil_mode": True}),
            Sample((np.abs(x[0]),), (3.0, 2, 1), separable=False),
            Sample((uniform(0, 3, *sizes),), (2.0, 2)),
        ]


class LPPool1d(_LPPool):
    """The root of the sum of the powers of each window: its p-norm, for an even p.

    Formula: (sum of x ** p) ** (1 / p).

    Args:
        norm_type: p, above 0. At 1, the sum; towards infinity, the greatest element.
            Elements are not made positive: for an odd p negative sums give nan.
        kernel_size: the size of the window.
        stride: how far the window moves. Default: its size.
        ceil_mode: also take a last window that is not whole; its sum is scaled up to
            that of a whole one.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m),
    with m = floor((length - kernel_size) / stride) + 1, or with ceil in place of floor.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.

    Source: P. Sermanet, S. Chintala, Y. LeCun, "Convolutional neural networks applied
    to house numbers digit classification", 2012.
    """

    rank = 1


class LPPool2d(_LPPool):
    """As `LPPool1d`, over height and width, each with its own settings.

    Args:
        norm_type, kernel_size, stride, ceil_mode: those of `LPPool1d`.

    Input: shape (n, channels, height, width), or without n. Result: the same axes, with
    sizes as in `LPPool1d`.
    """

    rank = 2


class LPPool3d(_LPPool):
    """As `LPPool1d`, over depth, height and width, each with its own settings.

    Args:
        norm_type, kernel_size, stride, ceil_mode: those of `LPPool1d`.

    Input: shape (n, channels, depth, height, width), or without n. Result: the same
    axes, with sizes as in `LPPool1d`.
    """

    rank = 3
