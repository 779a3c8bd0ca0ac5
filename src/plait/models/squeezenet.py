"""SqueezeNet: few parameters, by squeezing channels before large windows.

Read first: `Fire`, `SqueezeNet`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .layers import initialise, small
from .registry import model


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, then windows of 1 and of 3 side by side.

    Args:
        inplanes: the channels of the input.
        squeeze_planes: of what lies between.
        expand1x1_planes, expand3x3_planes: of the two parts of the result.
    """

    def __init__(
        self,
        inplanes: int,
        squeeze_planes: int,
        expand1x1_planes: int,
        expand3x3_planes: int,
    ) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu(self.squeeze(x))
        return plait.relu(plait.concat([self.expand1x1(x), self.expand3x3(x)], axis=1))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _features(version: str) -> nn.Sequential:
    """Return the layers up to the classifier.

    The first squeezes to a sixth of what follows, or an eighth, and always expands to
    two equal parts. 1.1 begins with a smaller window, and pools earlier.
    """
    first, last = Fire(128, 16, 64, 64), Fire(512, 64, 256, 256)
    middle = [Fire(256, 48, 192, 192), Fire(384, 48, 192, 192), Fire(384, 64, 256, 256)]
    if version == "1_0":
        return nn.Sequential(
            nn.Conv2d(3, 96, 7, 2), nn.ReLU(), _pool(),
            Fire(96, 16, 64, 64), first, Fire(128, 32, 128, 128), _pool(),
            Fire(256, 32, 128, 128), *middle, _pool(), last,
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), _pool(),
        Fire(64, 16, 64, 64), first, _pool(),
        Fire(128, 32, 128, 128), Fire(256, 32, 128, 128), _pool(), *middle, last,
    )  # fmt: skip


class SqueezeNet(nn.Module):
    """Fire blocks, and a convolution to the classes whose results are averaged.

    Args:
        version: "1_0", or "1_1", which needs 2.4 times less arithmetic.
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last convolution.

    Input: shape (n, 3, height, width), at least 21 x 21. Result: shape
    (n, num_classes).

    Raises:
        ArgumentError: there is no such version.

    Source: F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer
    parameters and <0.5MB model size", 2016.
    """

    def __init__(
        self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if version not in ("1_0", "1_1"):
            raise ArgumentError(
                "[SqueezeNet] unknown version",
                got=repr(version),
                expected="'1_0' or '1_1'",
            )
        self.features = _features(version)
        last = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), last, nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))
        )
        initialise(self, nn.Conv2d, nn.init.kaiming_uniform_, nn.init.zeros_)
        small(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return plait.flatten(self.classifier(self.features(x)), 1)


squeezenet1_0 = model("squeezenet1_0", 1_248_424, "SqueezeNet 1.0", SqueezeNet, "1_0")
squeezenet1_1 = model("squeezenet1_1", 1_235_496, "SqueezeNet 1.1", SqueezeNet, "1_1")
