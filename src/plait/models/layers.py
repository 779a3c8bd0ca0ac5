"""Pieces that several families share, laid out as torchvision's.

Read first: `ConvNormActivation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plait import Tensor

from .. import nn

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
