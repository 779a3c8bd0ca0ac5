"""The convolutional nets that began it: LeNet-5 and AlexNet.

Read first: `LeNet`, `AlexNet`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from .. import nn
from .registry import Input, model


class LeNet(nn.Module):
    """LeNet-5, as it is written today: for digits of 32 x 32 grey pixels.

    The means of windows have no factors, and the last layer is a linear map in place of
    distances to drawings of the digits.

    Args:
        num_classes: how many classes there are.

    Input: shape (n, 1, 32, 32). Result: shape (n, num_classes).

    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition",
    1998.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), nn.Tanh(),
            nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(plait.flatten(self.features(x), 1))
        return result


class AlexNet(nn.Module):
    """AlexNet in its later form, of one column.

    Args:
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of a linear layer.

    Input: shape (n, 3, height, width), at least 63 x 63. Result: shape
    (n, num_classes).

    Source: A. Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks", 2014; A. Krizhevsky et al., "ImageNet classification with deep
    convolutional neural networks", 2012.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        result: Tensor = self.classifier(plait.flatten(x, 1))
        return result


_DIGITS = Input(32, 32, (0.1307,), (0.3081,), 1)
lenet = model("lenet", 61_706, "LeNet-5", LeNet, classes=10, input=_DIGITS)
alexnet = model("alexnet", 61_100_840, "AlexNet", AlexNet)
