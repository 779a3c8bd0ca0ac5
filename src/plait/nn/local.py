"""Convolutions with weights of their own at each place.

Read first: `LocallyConnected1d`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size, Sizes
from ..errors import ArgumentError, ShapeError
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, uniform, windows
from .spatial import Spatial


class _LocallyConnected(Spatial):
    """A convolution whose weights differ from place to place."""

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: Size,
        out_channels: Size,
        input_size: Sizes,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.input_size = self._each("input_size", input_size, 1)
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride = self._each("stride", stride, 1)
        self.padding = self._each("padding", padding)
        room = [
            n + 2 * p - k
            for n, k, p in zip(
                self.input_size, self.kernel_size, self.padding, strict=True
            )
        ]
        if min(room) < 0:
            raise ArgumentError(
                f"[{name}] the input is smaller than the window",
                got=f"input_size={self.input_size}, kernel_size={self.kernel_size}, "
                f"padding={self.padding}",
            )
        self.output_size = tuple(
            n // step + 1 for n, step in zip(room, self.stride, strict=True)
        )
        shape = (*self.output_size, out_channels, in_channels, *self.kernel_size)
        own_parameter(self, "weight", shape, device, dtype)
        shape = (out_channels, *self.output_size)
        own_parameter(self, "bias", shape if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        fan_in = self.in_channels * math.prod(self.kernel_size)
        spread(self.parameters(), fan_in)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.in_channels)
        if input.shape[-self.rank :] != self.input_size:
            raise ShapeError(
                f"[{type(self).__name__}] the input has another size",
                got=f"shape {input.shape}",
                expected=f"spatial sizes {self.input_size}",
            )
        columns = plait.unfold(
            input, self.kernel_size, stride=self.stride, padding=self.padding
        )
        places = math.prod(self.output_size)
        window = self.in_channels * math.prod(self.kernel_size)
        weight = self.weight.reshape((places, self.out_channels, window))
        result = plait.einsum("...kp,pok->...op", columns, weight)
        front = (*input.shape[: -self.rank - 1], self.out_channels)
        result = result.reshape((*front, *self.output_size))
        return result if self.bias is None else result + self.bias

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )
        return text if self.bias is not None else f"{text}, bias=False"

    @classmethod
    def samples(cls) -> list[Sample]:
        rank = cls.rank

        def reference(layer: Any, x: np.ndarray) -> np.ndarray:
            single = x.ndim == 1 + rank
            x = x[None] if single else x
            pads = [(p, p) for p in layer.padding]
            views = windows(x, layer.kernel_size, layer.stride, pads)
            weight = layer.weight.numpy()
            result = np.zeros((len(x), layer.out_channels, *layer.output_size))
            for place in itertools.product(*map(range, layer.output_size)):
                at: Any = (slice(None), slice(None), *place)
                one = weight[place].reshape(layer.out_channels, -1)
                result[at] = views[at].reshape(len(x), -1) @ one.T
            result = result if layer.bias is None else result + layer.bias.numpy()
            return result[0] if single else result

        shape = (2, 3, 5, 4)[: 2 + rank]
        inner = shape[2:]
        return [
            Sample((uniform(*shape),), (3, 4, inner, 3), reference=reference),
            Sample(
                (uniform(*shape),), (3, 2, inner, 2, 2, 1, False), reference=reference,
            ),
            Sample(
                (uniform(*shape[1:]),), (3, 2, inner, 2), separable=False,
                reference=reference,
            ),
        ]  # fmt: skip


class LocallyConnected1d(_LocallyConnected):
    """As `Conv1d`, with weights of its own at each place.

    Formula: y[b, o, t] = bias[o, t] + sum over c, k of
    weight[t, o, c, k] * x[b, c, stride * t + k], with x padded by zeros.

    Args:
        in_channels, out_channels: the channels of input and result.
        input_size: the length of the input, since it decides how many weights there
            are.
        kernel_size: the size of the window.
        stride: how far the window moves.
        padding: how many zeros are added before and after.
        bias: whether there are offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (m, out_channels, in_channels, kernel_size); at first U(-b, b)
            with b = 1 / sqrt(in_channels * kernel_size).
        bias: shape (out_channels, m), or None; at first as the weight.

    Input: shape (n, in_channels, input_size), or without n. Result: shape
    (n, out_channels, m), with m = floor((input_size + 2 * padding - kernel_size) /
    stride) + 1.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has another shape.

    Source: K. Gregor, Y. LeCun, "Emergence of complex-like cells in a temporal product
    network with local receptive fields", 2010.
    """

    rank = 1


class LocallyConnected2d(_LocallyConnected):
    """As `Conv2d`, with weights of its own at each place; see `LocallyConnected1d`.

    Args:
        in_channels, out_channels: the channels of input and result.
        input_size: height and width of the input, since they decide how many weights
            there are.
        kernel_size: the size of the window.
        stride: how far the window moves.
        padding: how many zeros are added before and after.
        bias: whether there are offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (*out, out_channels, in_channels, *kernel_size); at first U(-b, b)
            with b = 1 / sqrt(in_channels * elements of the window).
        bias: shape (out_channels, *out), or None; at first as the weight.

    Input: shape (n, in_channels, *input_size), or without n. Result: shape
    (n, out_channels, *out), with the sizes of `Conv2d`.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has another shape.
    """

    rank = 2
