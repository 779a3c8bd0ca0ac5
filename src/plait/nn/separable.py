"""Convolutions of each channel by itself, and with a mixture of the channels behind.

Read first: `DepthwiseConv1d`, `SeparableConv1d`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from plait import Tensor

from ..arguments import Count, Size, Sizes
from ..errors import ArgumentError
from .convolution import Conv, Conv1d, Conv2d, Conv3d
from .module import Module
from .sample import Sample, uniform, windows


def _multiplied(layer: str, channels: int, multiplier: int) -> int:
    """Return the channels of a depthwise convolution's result."""
    if multiplier == 0 or channels == 0:
        raise ArgumentError(
            f"[{layer}] there must be channels",
            got=f"in_channels={channels}, depth_multiplier={multiplier}",
        )
    return channels * multiplier


class _Depthwise(Conv):
    """A convolution of each channel by itself; the next base says of which rank."""

    def __init__(
        self,
        in_channels: Size,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        depth_multiplier: Count = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        super().__init__(
            in_channels, _multiplied(name, in_channels, depth_multiplier),
            kernel_size, stride, padding, dilation, in_channels, bias, padding_mode,
            device, dtype,
        )  # fmt: skip
        self.depth_multiplier = depth_multiplier

    @classmethod
    def samples(cls) -> list[Sample]:
        shape = (2, 3, 5, 6, 4)[: 2 + cls.rank]
        return [
            Sample((uniform(*shape),), (3, 3), reference=_depthwise),
            Sample((uniform(*shape),), (3, 2, 2, 1, 1, 2, False), reference=_depthwise),
        ]


class DepthwiseConv1d(_Depthwise, Conv1d):
    """A `Conv1d` of each channel by itself.

    Args:
        in_channels: the channels of the input.
        kernel_size, stride, padding, dilation: those of `Conv1d`.
        depth_multiplier: how many channels of the result each channel of the input
            gives; they stand side by side.
        bias, padding_mode: those of `Conv1d`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels * depth_multiplier, 1, kernel_size); at first as that
            of `Conv1d`.
        bias: shape (in_channels * depth_multiplier,), or None.

    Input: shape (n, in_channels, length), or without n. Result: shape
    (n, in_channels * depth_multiplier, m), with the m of `Conv1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input does not fit.

    Source: L. Sifre, "Rigid-motion scattering for image classification", 2014.
    """


class DepthwiseConv2d(_Depthwise, Conv2d):
    """A `Conv2d` of each channel by itself; see `DepthwiseConv1d`.

    Args:
        in_channels: the channels of the input.
        kernel_size, stride, padding, dilation: those of `Conv2d`.
        depth_multiplier: how many channels of the result each channel of the input
            gives; they stand side by side.
        bias, padding_mode: those of `Conv2d`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels * depth_multiplier, 1, *kernel_size); at first as
            that of `Conv2d`.
        bias: shape (in_channels * depth_multiplier,), or None.

    Input: shape (n, in_channels, height, width), or without n. Result: shape
    (n, in_channels * depth_multiplier, ...), with the sizes of `Conv2d`.
    """


class DepthwiseConv3d(_Depthwise, Conv3d):
    """A `Conv3d` of each channel by itself; see `DepthwiseConv1d`.

    Args:
        in_channels: the channels of the input.
        kernel_size, stride, padding, dilation: those of `Conv3d`.
        depth_multiplier: how many channels of the result each channel of the input
            gives; they stand side by side.
        bias, padding_mode: those of `Conv3d`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (in_channels * depth_multiplier, 1, *kernel_size); at first as
            that of `Conv3d`.
        bias: shape (in_channels * depth_multiplier,), or None.

    Input: shape (n, in_channels, depth, height, width), or without n. Result: shape
    (n, in_channels * depth_multiplier, ...), with the sizes of `Conv3d`.
    """


def _depthwise(layer: Any, x: np.ndarray) -> Any:
    """Return a depthwise convolution without dilation."""
    rank = layer.rank
    pads = [(p, p) for p in layer.padding]
    views = windows(x, layer.kernel_size, layer.stride, pads)
    weight = layer.weight.numpy()
    weight = weight.reshape((x.shape[1], -1, *layer.kernel_size))
    out, kernel = "uvw"[:rank], "xyz"[:rank]
    result = np.einsum(f"nc{out}{kernel},cm{kernel}->ncm{out}", views, weight)
    result = result.reshape((x.shape[0], -1, *result.shape[3:]))
    if layer.bias is not None:
        result = result + layer.bias.numpy().reshape((-1, *(1,) * rank))
    return result


class _Separable(Module):
    _kinds: ClassVar[tuple[type[_Depthwise], type[Conv]]]

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        depth_multiplier: Count = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        depthwise, pointwise = self._kinds
        self.depthwise = depthwise(
            in_channels, kernel_size, stride, padding, dilation, depth_multiplier,
            False, padding_mode, device, dtype,
        )  # fmt: skip
        between = in_channels * depth_multiplier
        self.pointwise = pointwise(
            between, out_channels, 1, bias=bias, device=device, dtype=dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.pointwise(self.depthwise(input))
        return result

    @classmethod
    def samples(cls) -> list[Sample]:
        rank = cls._kinds[1].rank

        def reference(layer: Any, x: np.ndarray) -> np.ndarray:
            between = _depthwise(layer.depthwise, x)
            weight = layer.pointwise.weight.numpy().reshape((-1, between.shape[1]))
            result: np.ndarray = np.einsum("nc...,oc->no...", between, weight)
            if layer.pointwise.bias is not None:
                bias = layer.pointwise.bias.numpy()
                result = result + bias.reshape((-1, *(1,) * rank))
            return result

        shape = (2, 3, 5, 6)[: 2 + rank]
        return [
            Sample((uniform(*shape),), (3, 4, 3), reference=reference),
            Sample(
                (uniform(*shape),), (3, 2, 2, 2, 1, 1, 2, False), reference=reference,
            ),
        ]  # fmt: skip


class SeparableConv1d(_Separable):
    """A convolution of each channel by itself, and then a mixture of the channels.

    Formula: y = pointwise(depthwise(x)).

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size, stride, padding, dilation: those of `Conv1d`, for `depthwise`.
        depth_multiplier: how many channels stand between, for each of the input.
        bias: whether there is an offset, at the end.
        padding_mode: that of `Conv1d`.
        dtype: of the parameters. Default: float32.

    Attributes:
        depthwise: a `DepthwiseConv1d` without offset.
        pointwise: a `Conv1d` with windows of one.

    Input: shape (n, in_channels, length), or without n. Result: shape
    (n, out_channels, m), with the m of `Conv1d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input does not fit.

    Source: F. Chollet, "Xception: deep learning with depthwise separable convolutions",
    2017.
    """

    _kinds = (DepthwiseConv1d, Conv1d)


class SeparableConv2d(_Separable):
    """A convolution of each channel by itself, and then a mixture of the channels.

    Formula: y = pointwise(depthwise(x)).

    Args:
        in_channels, out_channels: the channels of input and result.
        kernel_size, stride, padding, dilation: those of `Conv2d`, for `depthwise`.
        depth_multiplier: how many channels stand between, for each of the input.
        bias: whether there is an offset, at the end.
        padding_mode: that of `Conv2d`.
        dtype: of the parameters. Default: float32.

    Attributes:
        depthwise: a `DepthwiseConv2d` without offset.
        pointwise: a `Conv2d` with windows of one.

    Input: shape (n, in_channels, height, width), or without n. Result: shape
    (n, out_channels, ...), with the sizes of `Conv2d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input does not fit.

    Source: F. Chollet, "Xception: deep learning with depthwise separable convolutions",
    2017.
    """

    _kinds = (DepthwiseConv2d, Conv2d)
