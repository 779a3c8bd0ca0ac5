"""DenseNet: layers that see the results of all layers before them.

Read first: `DenseNet`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from .layers import initialise
from .registry import Arrays, model

_OLD_NAME = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


class _DenseLayer(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution, each after a normalisation and ReLU."""

    def __init__(
        self, channels: int, growth_rate: int, bn_size: int, drop_rate: float
    ) -> None:
        super().__init__()
        inner = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, growth_rate, 3, 1, 1, bias=False)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(plait.relu(self.norm1(x)))
        result: Tensor = self.drop(self.conv2(plait.relu(self.norm2(x))))
        return result


class _DenseBlock(nn.ModuleDict):
    """Layers, each of which takes the block's input and all results so far."""

    def __init__(
        self,
        count: int,
        channels: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
    ) -> None:
        layers = {
            f"denselayer{i + 1}": _DenseLayer(
                channels + i * growth_rate, growth_rate, bn_size, drop_rate
            )
            for i in range(count)
        }
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.values():
            x = plait.concat([x, layer(x)], axis=1)
        return x


class DenseNet(nn.Module):
    """Four blocks of dense layers; between them channels and size are halved.

    Args:
        growth_rate: how many channels each layer adds ("k" in the paper).
        block_config: how many layers each block has.
        num_init_features: the channels of the first convolution.
        bn_size: the channels within a layer, in growth rates.
        drop_rate: the probability of leaving out a result of a layer.
        num_classes: how many classes there are.

    Input: shape (n, 3, height, width), at least 29 x 29. Result: shape
    (n, num_classes).

    Source: G. Huang et al., "Densely connected convolutional networks", 2017.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        width = num_init_features
        features: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, width, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(width),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        for i, count in enumerate(block_config, 1):
            features[f"denseblock{i}"] = _DenseBlock(
                count, width, bn_size, growth_rate, drop_rate
            )
            width += count * growth_rate
            if i < len(block_config):
                features[f"transition{i}"] = _transition(width, width // 2)
                width //= 2
        features["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(features)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(width, num_classes)
        initialise(self, nn.Conv2d, nn.init.kaiming_normal_)
        initialise(self, nn.Linear, None, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(plait.relu(self.features(x)))
        result: Tensor = self.classifier(plait.flatten(x, 1))
        return result


def _transition(channels: int, out: int) -> nn.Sequential:
    layers = {
        "norm": nn.BatchNorm2d(channels),
        "relu": nn.ReLU(),
        "conv": nn.Conv2d(channels, out, 1, bias=False),
        "pool": nn.AvgPool2d(2),
    }
    return nn.Sequential(layers)


def _rename(arrays: Arrays) -> Arrays:
    """Return arrays under today's names: once they were "denselayer1.norm.1.weight"."""
    return {_OLD_NAME.sub(r"\1\2", name): array for name, array in arrays.items()}


densenet121 = model("densenet121", 7_978_856, "DenseNet-121", DenseNet, rename=_rename)
densenet161 = model(
    "densenet161", 28_681_000, "DenseNet-161", DenseNet, 48, (6, 12, 36, 24), 96,
    rename=_rename,
)  # fmt: skip
densenet169 = model(
    "densenet169", 14_149_480, "DenseNet-169", DenseNet, 32, (6, 12, 32, 32),
    rename=_rename,
)  # fmt: skip
densenet201 = model(
    "densenet201", 20_013_928, "DenseNet-201", DenseNet, 32, (6, 12, 48, 32),
    rename=_rename,
)  # fmt: skip
