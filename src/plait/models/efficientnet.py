"""EfficientNet: depth, width and size grow together; and its second version.

Read first: `MBConv`, `EfficientNet`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import plait
from plait import Tensor

from .. import nn
from .layers import (
    ConvNormActivation,
    Layer,
    divisible,
    fan_out,
    initialise,
)
from .registry import Builder, Input, model


class Stage(NamedTuple):
    """Blocks of one width.

    Attributes:
        expansion: how many times the channels are widened within a block.
        kernel: the window.
        stride: of the first block's window.
        channels, out: of the first block's input, and of the result.
        repeats: how many blocks.
        fused: whether a block has one convolution of all channels (`FusedMBConv`) in
            place of two narrow ones and squeeze and excitation (`MBConv`).
    """

    expansion: int
    kernel: int
    stride: int
    channels: int
    out: int
    repeats: int
    fused: bool = False


class MBConv(nn.Module):
    """Channels are widened, seen through windows of one each, weighed, and narrowed.

    Args:
        setting: the sizes.
        stochastic_depth_prob: the probability that the block is left out in training.
        norm_layer: makes a normalisation from the number of channels.
    """

    def __init__(
        self, setting: Stage, stochastic_depth_prob: float, norm_layer: Layer
    ) -> None:
        super().__init__()
        channels, out = setting.channels, setting.out
        inner = divisible(channels * setting.expansion)
        piece = partial(
            ConvNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU
        )
        self.block = nn.Sequential(
            *([piece(channels, inner, 1)] if inner != channels else []),
            piece(inner, inner, setting.kernel, setting.stride, groups=inner),
            nn.SqueezeExcitation(inner, max(1, channels // 4), activation="silu"),
            piece(inner, out, 1, activation_layer=None),
        )
        self.stochastic_depth = nn.StochasticDepth(stochastic_depth_prob)
        self.use_res_connect = setting.stride == 1 and channels == out

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result) + input
        return result


class FusedMBConv(nn.Module):
    """As `MBConv`, with one convolution that widens and looks through windows.

    Args:
        setting: the sizes.
        stochastic_depth_prob: the probability that the block is left out in training.
        norm_layer: makes a normalisation from the number of channels.
    """

    def __init__(
        self, setting: Stage, stochastic_depth_prob: float, norm_layer: Layer
    ) -> None:
        super().__init__()
        channels, out = setting.channels, setting.out
        inner = divisible(channels * setting.expansion)
        piece = partial(
            ConvNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU
        )
        kernel, stride = setting.kernel, setting.stride
        if inner != channels:
            layers = [
                piece(channels, inner, kernel, stride),
                piece(inner, out, 1, activation_layer=None),
            ]
        else:
            layers = [piece(channels, out, kernel, stride)]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = nn.StochasticDepth(stochastic_depth_prob)
        self.use_res_connect = stride == 1 and channels == out

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result) + input
        return result


class EfficientNet(nn.Module):
    """EfficientNet and EfficientNetV2.

    Args:
        inverted_residual_setting: the stages.
        dropout: the probability of leaving out an input of the last layer.
        stochastic_depth_prob: the probability that the last block is left out in
            training; that of the others grows evenly from 0.
        num_classes: how many classes there are.
        norm_layer: makes a normalisation from the number of channels. Default:
            `nn.BatchNorm2d`.
        last_channel: what the last layer takes. Default: four times the channels of
            the last stage.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional
    neural networks", 2019; "EfficientNetV2: smaller models and faster training", 2021.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[Stage],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        piece = partial(ConvNormActivation, norm_layer=norm, activation_layer=nn.SiLU)
        stages = inverted_residual_setting
        layers: list[nn.Module] = [piece(3, stages[0].channels, 3, 2)]
        total, done = sum(stage.repeats for stage in stages), 0
        for stage in stages:
            blocks: list[nn.Module] = []
            for i in range(stage.repeats):
                if i:
                    stage = stage._replace(channels=stage.out, stride=1)
                block = FusedMBConv if stage.fused else MBConv
                blocks.append(block(stage, stochastic_depth_prob * done / total, norm))
                done += 1
            layers.append(nn.Sequential(*blocks))
        width = stages[-1].out
        last = last_channel or 4 * width
        layers.append(piece(width, last, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(last, num_classes)
        )
        initialise(self, nn.Conv2d, fan_out, nn.init.zeros_)
        initialise(self, nn.Linear, _linear, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        result: Tensor = self.classifier(plait.flatten(x, 1))
        return result


def _linear(weight: Tensor) -> Tensor:
    bound = 1 / math.sqrt(weight.shape[0])
    return nn.init.uniform_(weight, -bound, bound)


# Table 1 of the first paper.
_B0 = (
    Stage(1, 3, 1, 32, 16, 1),
    Stage(6, 3, 2, 16, 24, 2),
    Stage(6, 5, 2, 24, 40, 2),
    Stage(6, 3, 2, 40, 80, 3),
    Stage(6, 5, 1, 80, 112, 3),
    Stage(6, 5, 2, 112, 192, 4),
    Stage(6, 3, 1, 192, 320, 1),
)
# Table 4 of the second paper, and what its authors' code has for M and L.
_V2_S = (
    Stage(1, 3, 1, 24, 24, 2, True),
    Stage(4, 3, 2, 24, 48, 4, True),
    Stage(4, 3, 2, 48, 64, 4, True),
    Stage(4, 3, 2, 64, 128, 6),
    Stage(6, 3, 1, 128, 160, 9),
    Stage(6, 3, 2, 160, 256, 15),
)
_V2_M = (
    Stage(1, 3, 1, 24, 24, 3, True),
    Stage(4, 3, 2, 24, 48, 5, True),
    Stage(4, 3, 2, 48, 80, 5, True),
    Stage(4, 3, 2, 80, 160, 7),
    Stage(6, 3, 1, 160, 176, 14),
    Stage(6, 3, 2, 176, 304, 18),
    Stage(6, 3, 1, 304, 512, 5),
)
_V2_L = (
    Stage(1, 3, 1, 32, 32, 4, True),
    Stage(4, 3, 2, 32, 64, 7, True),
    Stage(4, 3, 2, 64, 96, 7, True),
    Stage(4, 3, 2, 96, 192, 10),
    Stage(6, 3, 1, 192, 224, 19),
    Stage(6, 3, 2, 224, 384, 25),
    Stage(6, 3, 1, 384, 640, 7),
)
_GOOGLE = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
_V2_NORM = partial(nn.BatchNorm2d, eps=0.001)


def _scaled(width: float, depth: float, **options: Any) -> EfficientNet:
    stages = [
        stage._replace(
            channels=divisible(stage.channels * width),
            out=divisible(stage.out * width),
            repeats=math.ceil(stage.repeats * depth),
        )
        for stage in _B0
    ]
    return EfficientNet(stages, **options)


def _v1(
    which: str, parameters: int, width: float, depth: float, dropout: float,
    size: int, resize: int, norm_layer: Layer | None = None,
) -> Builder[EfficientNet]:  # fmt: skip
    """Put one of B0 to B7 on the list, with the factors of its authors' code."""
    return model(
        f"efficientnet_{which.lower()}", parameters, f"EfficientNet-{which}", _scaled,
        width, depth, kind="EfficientNet", input=Input(size, resize), dropout=dropout,
        norm_layer=norm_layer,
    )  # fmt: skip


def _v2(
    which: str, parameters: int, stages: Sequence[Stage], dropout: float, size: int,
    mean: tuple[float, ...] = Input().mean, std: tuple[float, ...] = Input().std,
) -> Builder[EfficientNet]:  # fmt: skip
    """Put one of EfficientNetV2 on the list."""
    return model(
        f"efficientnet_v2_{which.lower()}", parameters, f"EfficientNetV2-{which}",
        EfficientNet, stages, dropout=dropout, norm_layer=_V2_NORM, last_channel=1280,
        input=Input(size, size, mean, std),
    )  # fmt: skip


efficientnet_b0 = _v1("B0", 5_288_548, 1.0, 1.0, 0.2, 224, 256)
efficientnet_b1 = _v1("B1", 7_794_184, 1.0, 1.1, 0.2, 240, 256)
efficientnet_b2 = _v1("B2", 9_109_994, 1.1, 1.2, 0.3, 288, 288)
efficientnet_b3 = _v1("B3", 12_233_232, 1.2, 1.4, 0.3, 300, 320)
efficientnet_b4 = _v1("B4", 19_341_616, 1.4, 1.8, 0.4, 380, 384)
efficientnet_b5 = _v1("B5", 30_389_784, 1.6, 2.2, 0.4, 456, 456, _GOOGLE)
efficientnet_b6 = _v1("B6", 43_040_704, 1.8, 2.6, 0.5, 528, 528, _GOOGLE)
efficientnet_b7 = _v1("B7", 66_347_960, 2.0, 3.1, 0.5, 600, 600, _GOOGLE)
efficientnet_v2_s = _v2("S", 21_458_488, _V2_S, 0.2, 384)
efficientnet_v2_m = _v2("M", 54_139_356, _V2_M, 0.3, 480)
efficientnet_v2_l = _v2("L", 118_515_272, _V2_L, 0.4, 480, (0.5,) * 3, (0.5,) * 3)
