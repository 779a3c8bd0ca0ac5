"""Convolutions and their transposes, over one to three spatial axes.

Read first: `Conv1d`, `ConvTranspose1d`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import plait
from plait import Tensor

from ..arguments import Count, Size
from ..errors import ArgumentError, ShapeError
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, uniform
from .spatial import Spatial, check_shape

_Widths = tuple[tuple[int, int], ...]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Spatial):
    """What a convolution and its transpose have in common."""

    weight: Parameter
    bias: Parameter | None
    padding: tuple[int, ...] | str

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        groups: Size,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups == 0 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"[{name}] the channels cannot be divided into so many groups",
                got=f"in_channels={in_channels}, out_channels={out_channels}, "
                f"groups={groups}",
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride = self._each("stride", stride, 1)
        self.dilation = self._each("dilation", dilation, 1)
        self.groups = groups

    def _own(
        self, first: int, second: int, bias: bool, device: Any, dtype: Any
    ) -> None:
        shape = (first, second, *self.kernel_size)
        own_parameter(self, "weight", shape, device, dtype)
        size = self.out_channels if bias else None
        own_parameter(self, "bias", size, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        spread(self.parameters(), math.prod(self.weight.shape[1:]))

    def _text(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}"
        )
        zeros, ones = (0,) * self.rank, (1,) * self.rank
        usual = {
            "padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1,
        }  # fmt: skip
        for name, value in usual.items():
            given = getattr(self, name, value)
            text += f", {name}={given}" if given != value else ""
        return text if self.bias is not None else f"{text}, bias=False"


class Conv(Convolution):
    """A convolution."""

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: Count = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, groups
        )
        self.padding = self._conv_padding(padding, self.stride)
        if padding_mode not in _PADDING_MODES:
            raise ArgumentError(
                f"[{type(self).__name__}] there is no padding_mode of that name",
                got=repr(padding_mode),
                expected=", ".join(_PADDING_MODES),
            )
        self.padding_mode = padding_mode
        self._own(out_channels, in_channels // groups, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        widths = _fitting(
            type(self).__name__, input.shape, self.in_channels, self.kernel_size,
            self.dilation, self.padding,
        )  # fmt: skip
        if self.padding_mode != "zeros":
            input = plait.pad(input, widths, mode=self.padding_mode)
            widths = ((0, 0),) * self.rank
        return plait.convolution(
            input, self.weight, self.bias, stride=self.stride, padding=widths,
            dilation=self.dilation, groups=self.groups,
        )  # fmt: skip

    def extra_repr(self) -> str:
        mode = self.padding_mode
        return self._text() + (f", padding_mode={mode}" if mode != "zeros" else "")


# Kept, as layers meet the same shapes in each step.
@lru_cache(maxsize=4096)
def _fitting(
    layer: str,
    shape: tuple[int, ...],
    channels: int,
    kernel_size: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...] | str,
) -> _Widths:
    """Return how much is padded before and after each axis of an input.

    Raises:
        ShapeError: an input of that shape does not fit.
    """
    rank = len(kernel_size)
    check_shape(layer, shape, rank, channels)
    reach = [gap * (k - 1) for k, gap in zip(kernel_size, dilation, strict=True)]
    widths = _widths(padding, reach)
    padded = tuple(
        low + n + high for n, (low, high) in zip(shape[-rank:], widths, strict=True)
    )
    if any(n <= most for n, most in zip(padded, reach, strict=True)):
        raise ShapeError(
            f"[{layer}] the input is smaller than the kernel",
            got=f"shape {shape}, with padding {padded}",
            expected=f"at least {tuple(n + 1 for n in reach)}, padding included",
        )
    return widths


def _widths(padding: tuple[int, ...] | str, reach: Sequence[int]) -> _Widths:
    """Return how much is padded, where windows reach so far."""
    if padding == "valid":
        return ((0, 0),) * len(reach)
    if padding == "same":
        return tuple((n // 2, n - n // 2) for n in reach)
    return tuple((int(width), int(width)) for width in padding)


class Conv1d(Conv):
    """A sum over the channels and a sliding window of the input: cross-correlation.

    Formula: y[b, o, t] = bias[o] + sum over c, k of
    weight[o, c, k] * x[b, c, stride * t + dilation * k], with x padded.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size: the size of the window.
        stride: how far the window moves.
        padding: how much is added before and after; or "valid", nothing, or "same", so
            much that the size stays.
        dilation: how far apart the elements of the window lie.
        groups: the channels are divided into so many groups, each by itself.
        bias: whether there is an offset.
        padding_mode: what is added: "zeros", "reflect", "replicate" or "circular"; see
            `plait.pad`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (out_channels, in_channels / groups, kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one output).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, length), or without n. Result: shape
    (n, out_channels, m), with
    m = floor((length + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels.
        ShapeError: (calling it) the input has other axes or channels, or is smaller
            than the window.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 4, 7),), (4, 6, 3)),
            Sample((uniform(2, 4, 8),), (4, 6, 3, 2, 1, 2, 2), {"bias": False}),
            Sample((uniform(3, 9),), (3, 2, 3), {"padding": "same"}, separable=False),
            Sample((uniform(2, 3, 5),), (3, 3, 3, 1, 2), {"padding_mode": "reflect"}),
            Sample((uniform(0, 3, 5),), (3, 2, 2)),
        ]


class Conv2d(Conv):
    """As `Conv1d`, over height and width: sums over a sliding window.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis.
        padding: how much is added before and after, an integer or one for each axis; or
            "valid", nothing, or "same", so much that the sizes stay, which needs stride
            1.
        dilation: how far apart the elements of the window lie, an integer or one for
            each axis.
        groups: the channels are divided into so many groups, each by itself.
        bias: whether there is an offset.
        padding_mode: what is added: "zeros", "reflect", "replicate" or "circular"; see
            `plait.pad`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (out_channels, in_channels / groups, *kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one output).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, height, width), or without n. Result: shape
    (n, out_channels, *sizes), or without n, with the size of each axis as in `Conv1d`.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels.
        ShapeError: (calling it) the input has other axes or channels, or is smaller
            than the window.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 4, 5, 7)
        return [
            Sample((x,), (4, 3, 3), {"padding": 1}),
            Sample((x,), (4, 6, (3, 2), (2, 1), (0, 1), (1, 3), 2)),
            Sample((x,), (4, 8, 3, 2, 1), {"groups": 4, "bias": False}),
            Sample((x,), (4, 2, 1, (1, 2))),
            Sample((x,), (4, 2, (3, 5), 1, "same"), {"padding_mode": "circular"}),
            Sample((x,), (4, 2, 3, 2, (1, 2)), {"padding_mode": "replicate"}),
            Sample((uniform(4, 5, 6),), (4, 2, 3, 1, "valid"), separable=False),
        ]


class Conv3d(Conv):
    """As `Conv1d`, over depth, height and width: sums over a sliding window.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size: the size of the window, an integer or one for each axis.
        stride: how far the window moves, an integer or one for each axis.
        padding: how much is added before and after, an integer or one for each axis; or
            "valid", nothing, or "same", so much that the sizes stay, which needs stride
            1.
        dilation: how far apart the elements of the window lie, an integer or one for
            each axis.
        groups: the channels are divided into so many groups, each by itself.
        bias: whether there is an offset.
        padding_mode: what is added: "zeros", "reflect", "replicate" or "circular"; see
            `plait.pad`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (out_channels, in_channels / groups, *kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one output).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, depth, height, width), or without n. Result: shape
    (n, out_channels, *sizes), or without n, with the size of each axis as in `Conv1d`.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels.
        ShapeError: (calling it) the input has other axes or channels, or is smaller
            than the window.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 2, 3, 4, 5),), (2, 3, (2, 3, 2), (1, 2, 1), 1)),
            Sample((uniform(2, 2, 3, 3, 4),), (2, 4, 2), {"groups": 2}),
            Sample((uniform(2, 3, 3, 3),), (2, 2, 2, 2), separable=False),
        ]


class ConvTranspose(Convolution):
    """The transpose of a convolution."""

    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: Count = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, groups
        )
        if padding_mode != "zeros":
            raise ArgumentError(
                f"[{type(self).__name__}] a transposed convolution cuts off its "
                "padding, so there is only one mode",
                got=f"padding_mode={padding_mode!r}",
                expected="zeros",
            )
        self.padding = self._each("padding", padding)
        self.output_padding = self._each("output_padding", output_padding)
        self.padding_mode = padding_mode
        self._own(in_channels, out_channels // groups, bias, device, dtype)

    def forward(
        self, input: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Return the transposed convolution.

        Args:
            output_size: the spatial sizes of the result, or its whole shape; they take
                the place of `output_padding`.

        Raises:
            ShapeError: no `output_padding` leads to that size.
        """
        self._check(input, self.in_channels)
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, tuple(output_size)[-self.rank :])
        return plait.convolution_transposed(
            input, self.weight, self.bias, stride=self.stride, padding=self.padding,
            output_padding=extra, groups=self.groups, dilation=self.dilation,
        )  # fmt: skip

    def _extra(self, input: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output padding that leads to the sizes that are wanted."""
        least = tuple(
            (n - 1) * step - 2 * cut + gap * (k - 1) + 1
            for n, step, cut, gap, k in zip(
                input.shape[-self.rank :], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        )  # fmt: skip
        most = tuple(n + step - 1 for n, step in zip(least, self.stride, strict=True))
        if len(wanted) != self.rank or not all(
            low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)
        ):
            raise ShapeError(
                f"[{type(self).__name__}] the result cannot have that size",
                got=f"output_size {wanted} for an input of shape {input.shape}",
                expected=f"{least} to {most}",
            )
        return tuple(n - low for n, low in zip(wanted, least, strict=True))

    def extra_repr(self) -> str:
        return self._text()


class ConvTranspose1d(ConvTranspose):
    """The transpose of a `Conv1d`: from its result's shape to its input's.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size, stride, padding, dilation, groups: those of the convolution that is
            transposed.
        output_padding: added to the result's size at its end, since several inputs of a
            convolution with a stride give results of one size.
        bias: whether there is an offset.
        padding_mode: "zeros"; there is no other.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels, out_channels / groups, kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one input).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, length), or without n; and `output_size`, the size of
    the result, if it shall decide in place of `output_padding`. Result: shape
    (n, out_channels, m), or without n, with m = (length - 1) * stride - 2 * padding
    + dilation * (kernel_size - 1) + output_padding + 1.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels; an `output_padding` that is not less than stride or dilation.
        ShapeError: (calling it) the input has other axes or channels; no
            `output_padding` leads to `output_size`.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 4, 5),), (4, 6, 3)),
            Sample((uniform(2, 4, 5),), (4, 6, 3, 2, 1, 1, 2, False, 2)),
            Sample((uniform(3, 4),), (3, 2, 2, 3), separable=False),
            Sample((uniform(0, 3, 4),), (3, 2, 2)),
        ]


class ConvTranspose2d(ConvTranspose):
    """The transpose of a `Conv2d`: from its result's shape to its input's.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size, stride, padding, dilation, groups: those of the convolution that is
            transposed.
        output_padding: added to each size of the result at its end, an integer or one
            for each axis, since several inputs of a convolution with a stride give
            results of one size.
        bias: whether there is an offset.
        padding_mode: "zeros"; there is no other.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels, out_channels / groups, *kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one input).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, height, width), or without n; and `output_size`, the
    sizes of the result, if they shall decide in place of `output_padding`. Result:
    shape (n, out_channels, *sizes), or without n, with the size of each axis as in
    `ConvTranspose1d`.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels; an `output_padding` that is not less than stride or dilation.
        ShapeError: (calling it) the input has other axes or channels; no
            `output_padding` leads to `output_size`.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 4, 3, 4)
        return [
            Sample((x,), (4, 3, 4, 2, 1)),
            Sample((x,), (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2), {"dilation": 2}),
            Sample((x,), (4, 4, 3, 1, 2), {"groups": 4, "bias": False}),
            Sample((uniform(4, 3, 3),), (4, 2, 2, 2), separable=False),
        ]


class ConvTranspose3d(ConvTranspose):
    """The transpose of a `Conv3d`: from its result's shape to its input's.

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size, stride, padding, dilation, groups: those of the convolution that is
            transposed.
        output_padding: added to each size of the result at its end, an integer or one
            for each axis, since several inputs of a convolution with a stride give
            results of one size.
        bias: whether there is an offset.
        padding_mode: "zeros"; there is no other.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels, out_channels / groups, *kernel_size); at first
            U(-b, b) with b = 1 / sqrt(the elements of weight for one input).
        bias: shape (out_channels,), or None; at first as the weight.

    Input: shape (n, in_channels, depth, height, width), or without n; and
    `output_size`, the sizes of the result, if they shall decide in place of
    `output_padding`. Result: shape (n, out_channels, *sizes), or without n, with the
    size of each axis as in `ConvTranspose1d`.

    Raises:
        ArgumentError: a setting has a wrong value; `groups` does not divide the
            channels; an `output_padding` that is not less than stride or dilation.
        ShapeError: (calling it) the input has other axes or channels; no
            `output_padding` leads to `output_size`.

    Source: Dumoulin and Visin 2016, arXiv:1603.07285.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 2, 2, 3, 2),), (2, 3, (2, 3, 2), (1, 2, 2), 1)),
            Sample((uniform(2, 2, 2, 2, 3),), (2, 4, 2), {"groups": 2}),
            Sample((uniform(2, 2, 2, 2),), (2, 2, 2, 2), separable=False),
        ]
