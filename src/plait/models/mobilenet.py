"""MobileNet v2 and v3: inverted residuals, for small machines.

Read first: `InvertedResidual`, `MobileNetV2`, `MobileNetV3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .layers import (
    ConvNormActivation,
    Layer,
    divisible,
    fan_out,
    initialise,
    small,
)
from .registry import model

# Table 2 of the paper of v2: expansion, channels, repeats, stride.
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Channels are widened, seen through windows of one channel each, and narrowed.

    The input is added where it has the shape of the result.

    Args:
        inp, oup: the channels of input and result.
        stride: of the windows, 1 or 2.
        expand_ratio: how many times the channels are widened.
        norm_layer: makes a normalisation from the number of channels.
    """

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: float,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        inner = round(inp * expand_ratio)
        piece = partial(
            ConvNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6
        )
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            *([piece(inp, inner, 1)] if expand_ratio != 1 else []),
            piece(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, oup, 1, bias=False),
            norm_layer(oup),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return x + result if self.use_res_connect else result


class MobileNetV2(nn.Module):
    """MobileNet v2.

    Args:
        num_classes: how many classes there are.
        width_mult: a factor of all numbers of channels.
        inverted_residual_setting: for each stage: expansion, channels, how many blocks,
            and the stride of the first. Default: those of the paper.
        round_nearest: numbers of channels are multiples of this.
        norm_layer: makes a normalisation from the number of channels. Default:
            `nn.BatchNorm2d`.
        dropout: the probability of leaving out an input of the last layer.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Raises:
        ArgumentError: the stages are not of four numbers each.

    Source: M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks",
    2018.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        stages = inverted_residual_setting or _V2
        if any(len(stage) != 4 for stage in stages):
            raise ArgumentError(
                "[MobileNetV2] a stage is given by four numbers",
                got=str(stages),
                expected="expansion, channels, how many blocks, stride",
            )
        norm = norm_layer or nn.BatchNorm2d
        piece = partial(ConvNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        width = divisible(32 * width_mult, round_nearest)
        self.last_channel = divisible(1280 * max(1.0, width_mult), round_nearest)
        layers: list[nn.Module] = [piece(3, width, 3, 2)]
        for expansion, channels, repeats, stride in stages:
            out = divisible(channels * width_mult, round_nearest)
            for i in range(repeats):
                step = stride if i == 0 else 1
                layers.append(InvertedResidual(width, out, step, expansion, norm))
                width = out
        layers.append(piece(width, self.last_channel, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes)
        )
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(plait.mean(self.features(x), axis=(2, 3)))
        return result


def _initialise(net: nn.Module) -> None:
    initialise(net, nn.Conv2d, fan_out, nn.init.zeros_)
    initialise(net, nn.Linear, small, nn.init.zeros_)


class Bneck(NamedTuple):
    """A block of MobileNet v3, as in tables 1 and 2 of its paper.

    Attributes:
        kernel: the window.
        expanded: the channels within.
        out: the channels of the result.
        squeezes: whether channels are weighed by squeeze and excitation.
        activation: makes the activation.
        stride: of the window.
        dilation: of the window; above 1, the stride is 1.
    """

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    activation: Layer
    stride: int
    dilation: int = 1


class InvertedResidualV3(nn.Module):
    """As `InvertedResidual`, with squeeze and excitation.

    Args:
        channels: of the input.
        setting: the other sizes.
        norm_layer: makes a normalisation from the number of channels.
    """

    def __init__(self, channels: int, setting: Bneck, norm_layer: Layer) -> None:
        super().__init__()
        kernel, inner, out, squeezes, activation, stride, dilation = setting
        piece = partial(ConvNormActivation, norm_layer=norm_layer)
        layers: list[nn.Module] = []
        if inner != channels:
            layers.append(piece(channels, inner, 1, activation_layer=activation))
        step = 1 if dilation > 1 else stride
        layers.append(
            piece(
                inner, inner, kernel, step, groups=inner, dilation=dilation,
                activation_layer=activation,
            )
        )  # fmt: skip
        if squeezes:
            squeezed = divisible(inner // 4)
            layers.append(
                nn.SqueezeExcitation(inner, squeezed, scale_activation="hardsigmoid")
            )
        layers.append(piece(inner, out, 1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and channels == out

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        return result + input if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """MobileNet v3.

    Args:
        inverted_residual_setting: the blocks.
        first_channel, last_channel: the channels of the first convolution, and what the
            last layer takes.
        num_classes: how many classes there are.
        norm_layer: makes a normalisation from the number of channels. Default:
            `nn.BatchNorm2d` with eps 0.001 and momentum 0.01.
        dropout: the probability of leaving out an input of the last layer.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: A. Howard et al., "Searching for MobileNetV3", 2019.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[Bneck],
        first_channel: int,
        last_channel: int,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        piece = partial(
            ConvNormActivation, norm_layer=norm, activation_layer=nn.Hardswish
        )
        layers: list[nn.Module] = [piece(3, first_channel, 3, 2)]
        width = first_channel
        for setting in inverted_residual_setting:
            layers.append(InvertedResidualV3(width, setting, norm))
            width = setting.out
        layers.append(piece(width, 6 * width, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * width, last_channel), nn.Hardswish(),
            nn.Dropout(dropout), nn.Linear(last_channel, num_classes),
        )  # fmt: skip
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        result: Tensor = self.classifier(plait.flatten(x, 1))
        return result


_RE, _HS = nn.ReLU, nn.Hardswish


def _v3(
    large: bool,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **options: Any,
) -> MobileNetV3:
    part, gap = (2 if reduced_tail else 1), (2 if dilated else 1)
    if large:
        wide, tail, last = 960 // part, 160 // part, 1280 // part
        rows = [
            Bneck(3, 16, 16, False, _RE, 1), Bneck(3, 64, 24, False, _RE, 2),
            Bneck(3, 72, 24, False, _RE, 1), Bneck(5, 72, 40, True, _RE, 2),
            *[Bneck(5, 120, 40, True, _RE, 1)] * 2,
            Bneck(3, 240, 80, False, _HS, 2), Bneck(3, 200, 80, False, _HS, 1),
            *[Bneck(3, 184, 80, False, _HS, 1)] * 2,
            Bneck(3, 480, 112, True, _HS, 1), Bneck(3, 672, 112, True, _HS, 1),
            Bneck(5, 672, tail, True, _HS, 2, gap),
            *[Bneck(5, wide, tail, True, _HS, 1, gap)] * 2,
        ]  # fmt: skip
    else:
        wide, tail, last = 576 // part, 96 // part, 1024 // part
        rows = [
            Bneck(3, 16, 16, True, _RE, 2), Bneck(3, 72, 24, False, _RE, 2),
            Bneck(3, 88, 24, False, _RE, 1), Bneck(5, 96, 40, True, _HS, 2),
            *[Bneck(5, 240, 40, True, _HS, 1)] * 2,
            Bneck(5, 120, 48, True, _HS, 1), Bneck(5, 144, 48, True, _HS, 1),
            Bneck(5, 288, tail, True, _HS, 2, gap),
            *[Bneck(5, wide, tail, True, _HS, 1, gap)] * 2,
        ]  # fmt: skip
    scaled = [
        row._replace(
            expanded=divisible(row.expanded * width_mult),
            out=divisible(row.out * width_mult),
        )
        for row in rows
    ]
    first, last = divisible(16 * width_mult), divisible(last * width_mult)
    return MobileNetV3(scaled, first, last, **options)


mobilenet_v2 = model("mobilenet_v2", 3_504_872, "MobileNet v2", MobileNetV2)
mobilenet_v3_large = model(
    "mobilenet_v3_large", 5_483_032, "MobileNet v3, the large one", _v3, True,
    kind="MobileNetV3",
)  # fmt: skip
mobilenet_v3_small = model(
    "mobilenet_v3_small", 2_542_856, "MobileNet v3, the small one", _v3, False,
    kind="MobileNetV3",
)  # fmt: skip
