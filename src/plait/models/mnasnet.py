"""MNASNet: a net for telephones that was found by search.

Read first: `MNASNet`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .layers import divisible, fan_out, initialise
from .registry import model

_MOMENTUM = 0.0003
# Figure 7 of the paper, the B1 variant: channels, window, stride, expansion, repeats.
_STAGES = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=_MOMENTUM)


def _depthwise(channels: int, window: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(
        channels, channels, window, stride, window // 2, groups=channels, bias=False
    )
    return [convolution, _norm(channels), nn.ReLU()]


class _InvertedResidual(nn.Module):
    """Channels are widened, seen through windows of one channel each, and narrowed."""

    def __init__(
        self, channels: int, out: int, window: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        self.adds = channels == out and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), _norm(inner), nn.ReLU(),
            *_depthwise(inner, window, stride),
            nn.Conv2d(inner, out, 1, bias=False), _norm(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result + x if self.adds else result


class MNASNet(nn.Module):
    """Stages of inverted residuals.

    Args:
        alpha: a factor of all numbers of channels but the last.
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last layer.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Raises:
        ArgumentError: alpha is not above 0.

    Source: M. Tan et al., "MnasNet: platform-aware neural architecture search for
    mobile", 2019.
    """

    def __init__(
        self, alpha: float, num_classes: int = 1000, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if not alpha > 0:
            raise ArgumentError("[MNASNet] alpha must be above 0", got=f"alpha={alpha}")
        first, width = divisible(32 * alpha), divisible(16 * alpha)
        layers: list[nn.Module] = [
            nn.Conv2d(3, first, 3, 2, 1, bias=False), _norm(first), nn.ReLU(),
            *_depthwise(first, 3, 1),
            nn.Conv2d(first, width, 1, bias=False), _norm(width),
        ]  # fmt: skip
        for channels, window, stride, expansion, repeats in _STAGES:
            out = divisible(channels * alpha)
            blocks = [_InvertedResidual(width, out, window, stride, expansion)]
            for _ in range(repeats - 1):
                blocks.append(_InvertedResidual(out, out, window, 1, expansion))
            layers.append(nn.Sequential(*blocks))
            width = out
        layers += [nn.Conv2d(width, 1280, 1, bias=False), _norm(1280), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(1280, num_classes)
        )
        initialise(self, nn.Conv2d, fan_out)
        initialise(self, nn.Linear, _linear, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(plait.mean(self.layers(x), axis=(2, 3)))
        return result


def _linear(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, mode="fan_out", nonlinearity="sigmoid")


mnasnet0_5 = model("mnasnet0_5", 2_218_512, "MNASNet of half the width", MNASNet, 0.5)
mnasnet0_75 = model(
    "mnasnet0_75", 3_170_208, "MNASNet of 0.75 times the width", MNASNet, 0.75
)
mnasnet1_0 = model("mnasnet1_0", 4_383_312, "MNASNet", MNASNet, 1.0)
mnasnet1_3 = model(
    "mnasnet1_3", 6_282_256, "MNASNet of 1.3 times the width", MNASNet, 1.3
)
