"""Pieces that several families share, laid out as torchvision's.

Read first: `ConvNormActivation`, `SqueezeExcitation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError

Layer = Callable[..., nn.Module]


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation, one after another.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: of the
            convolution.
        padding: of the convolution. Default: so much that stride 1 keeps the size.
        norm_layer: makes the normalisation from the number of channels; None: there
            is none, and the convolution has an offset.
        activation_layer: makes the activation; None: there is none.
        bias: whether the convolution has an offset. Default: if there is no
            normalisation.

    Attributes:
        out_channels: of the convolution.

    Input: shape (n, in_channels, height, width). Result: shape
    (n, out_channels, height, width), at stride 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int = 1,
        bias: bool | None = None,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                (kernel_size - 1) // 2 * dilation if padding is None else padding,
                dilation,
                groups,
                norm_layer is None if bias is None else bias,
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Weighs channels by what all channels hold on the average.

    Formula: x * scale_activation(fc2(activation(fc1(m)))), with m the mean of x over
    height and width.

    Args:
        input_channels: of the input and the result.
        squeeze_channels: of what lies between the two maps.
        activation, scale_activation: make the two activations.

    Input and result: shape (n, input_channels, height, width).

    Source: J. Hu et al., "Squeeze-and-excitation networks", 2018.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        scale: Tensor = self.scale_activation(self.fc2(squeezed))
        return scale * input


class StochasticDepth(nn.Module):
    """In training, sets whole examples to 0, and so leaves out a residual branch.

    What is left is divided by the share of it, 1 - p.

    Args:
        p: the probability.
        mode: "row": each example by itself; "batch": all or none.

    Input and result: shape (n, ...).

    Raises:
        ArgumentError: `p` is not in 0..1, or there is no such mode.

    Source: G. Huang et al., "Deep networks with stochastic depth", 2016.
    """

    def __init__(self, p: float, mode: str = "row") -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(
                "[StochasticDepth] a probability lies in 0..1", got=f"p={p}"
            )
        if mode not in ("row", "batch"):
            raise ArgumentError(
                "[StochasticDepth] unknown mode",
                got=repr(mode),
                expected="'row' or 'batch'",
            )
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        first = 1 if self.mode == "row" else 0
        return plait.dropout(input, self.p, shared=tuple(range(first, input.ndim)))

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class Permute(nn.Module):
    """Puts axes in another order.

    Args:
        dims: for each axis of the result, which of the input it is.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, input: Tensor) -> Tensor:
        return plait.permute_dims(input, self.dims)

    def extra_repr(self) -> str:
        return f"{self.dims}"


def divisible(value: float, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `value`, at most a tenth below it."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def initialise(
    model: nn.Module,
    kind: type[nn.Module],
    weight: Callable[[Tensor], Any] | None,
    bias: Callable[[Tensor], Any] | None = None,
) -> None:
    """Set the parameters of all layers of a kind to new initial values.

    Args:
        model: what owns the layers.
        kind: their class.
        weight, bias: set one tensor; None leaves it as it is.
    """
    for module in model.modules():
        if isinstance(module, kind):
            for name, fill in (("weight", weight), ("bias", bias)):
                tensor = getattr(module, name)
                if fill is not None and tensor is not None:
                    fill(tensor)


def fan_out(weight: Tensor) -> Tensor:
    """Fill a convolution's weight as ReLU nets want it, keeping variances backward."""
    return nn.init.kaiming_normal_(weight, mode="fan_out")


def small(weight: Tensor) -> Tensor:
    """Fill a weight with N(0, 0.01 ** 2)."""
    return nn.init.normal_(weight, 0.0, 0.01)
