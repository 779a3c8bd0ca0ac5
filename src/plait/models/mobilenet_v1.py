"""MobileNet v1: windows of one channel each, then a map of the channels.

Read first: `MobileNetV1`. Names are those of timm's `mobilenetv1_100`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from .layers import divisible, fan_out, initialise
from .registry import Input, model

# Channels, stride, how many blocks.
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 2, 2))


class _Separable(nn.Module):
    """One block."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(
            channels, channels, 3, stride, 1, groups=channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu6(self.bn1(self.conv_dw(x)))
        return plait.relu6(self.bn2(self.conv_pw(x)))


class MobileNetV1(nn.Module):
    """MobileNet v1.

    Args:
        num_classes: how many classes there are.
        width_mult: a factor of all channels.
        dropout: the probability of leaving out an input of the last layer.
        stages: for each stage: channels, stride, how many blocks.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: A. Howard et al., "MobileNets: efficient convolutional neural networks for
    mobile vision applications", 2017.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        dropout: float = 0.001,
        stages: Sequence[Sequence[int]] = _STAGES,
    ) -> None:
        super().__init__()
        width = divisible(32 * width_mult)
        self.conv_stem = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks = []
        for channels, stride, repeats in stages:
            out = divisible(channels * width_mult)
            stage = []
            for i in range(repeats):
                stage.append(_Separable(width, out, stride if i == 0 else 1))
                width = out
            blocks.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        initialise(self, nn.Conv2d, fan_out)
        initialise(self, nn.Linear, None, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(plait.relu6(self.bn1(self.conv_stem(x))))
        result: Tensor = self.classifier(self.dropout(plait.mean(x, axis=(2, 3))))
        return result


mobilenet_v1 = model(
    "mobilenet_v1", 4_231_976, "MobileNet v1", MobileNetV1,
    input=Input(224, 256, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip
