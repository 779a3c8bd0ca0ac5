"""VGG: deep nets of nothing but 3 x 3 convolutions and poolings.

Read first: `VGG`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plait
from plait import Tensor

from .. import nn
from .layers import fan_out, initialise, small
from .registry import model

_WIDTHS = (64, 128, 256, 512, 512)
# Convolutions in each of the five blocks: columns A, B, D, E of table 1.
_A, _B, _D, _E = (1, 1, 2, 2, 2), (2,) * 5, (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)


class VGG(nn.Module):
    """Convolutions, then three linear layers.

    Args:
        features: the convolutions, with 512 channels at the end.
        num_classes: how many classes there are.
        init_weights: whether weights are drawn as ReLU nets want them: convolutions
            with N(0, 2 / fan_out), linear layers with N(0, 0.01 ** 2), offsets 0. Else
            as the layers draw them.
        dropout: the probability of leaving out a result of a linear layer.

    Input: shape (n, 3, height, width), at least 32 x 32. Result: shape
    (n, num_classes).

    Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale
    image recognition", 2015.
    """

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        if init_weights:
            initialise(self, nn.Conv2d, fan_out, nn.init.zeros_)
            initialise(self, nn.Linear, small, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        result: Tensor = self.classifier(plait.flatten(x, 1))
        return result


def _convolutions(counts: Sequence[int], batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for width, count in zip(_WIDTHS, counts, strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(before, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU())
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _vgg(counts: Sequence[int], batch_norm: bool = False, **options: Any) -> VGG:
    return VGG(_convolutions(counts, batch_norm), **options)


_BN = "with batch normalisation"
vgg11 = model("vgg11", 132_863_336, "VGG-11", _vgg, _A, kind="VGG")
vgg13 = model("vgg13", 133_047_848, "VGG-13", _vgg, _B, kind="VGG")
vgg16 = model("vgg16", 138_357_544, "VGG-16", _vgg, _D, kind="VGG")
vgg19 = model("vgg19", 143_667_240, "VGG-19", _vgg, _E, kind="VGG")
vgg11_bn = model("vgg11_bn", 132_868_840, f"VGG-11 {_BN}", _vgg, _A, True, kind="VGG")
vgg13_bn = model("vgg13_bn", 133_053_736, f"VGG-13 {_BN}", _vgg, _B, True, kind="VGG")
vgg16_bn = model("vgg16_bn", 138_365_992, f"VGG-16 {_BN}", _vgg, _D, True, kind="VGG")
vgg19_bn = model("vgg19_bn", 143_678_248, f"VGG-19 {_BN}", _vgg, _E, True, kind="VGG")
