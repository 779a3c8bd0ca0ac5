"""Xception: residual blocks of separable convolutions.

Read first: `Xception`. Names are those of timm's `legacy_xception`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from .layers import fan_out, initialise
from .registry import Input, model

_WIDTHS = (32, 64, 128, 256, 728, 1024, 1536, 2048)


class _Separable(nn.Module):
    """3 x 3 windows of one channel each, then a map of the channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.pointwise(self.conv1(x))
        return result


class _Block(nn.Module):
    """Separable convolutions, each after a ReLU, to which the input is added."""

    def __init__(
        self, widths: Sequence[int], stride: int = 1, relu_first: bool = True
    ) -> None:
        super().__init__()
        self.skip: nn.Conv2d | None = None
        if stride != 1 or widths[0] != widths[-1]:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])
        rows: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            rows += [nn.ReLU(), _Separable(before, after), nn.BatchNorm2d(after)]
        if stride != 1:
            rows.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*rows[0 if relu_first else 1 :])

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.skip is None else self.skipbn(self.skip(x))
        result: Tensor = self.rep(x) + kept
        return result


class Xception(nn.Module):
    """Xception.

    Args:
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last layer.
        widths: eight numbers of channels: of the first two convolutions, of the blocks,
            and of the last two convolutions.
        middle: how many blocks of the widest kind there are in the middle.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: F. Chollet, "Xception: deep learning with depthwise separable convolutions",
    2017.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.0,
        widths: Sequence[int] = _WIDTHS,
        middle: int = 8,
    ) -> None:
        super().__init__()
        a, b, c, d, e, f, g, h = widths
        self.conv1 = nn.Conv2d(3, a, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.conv2 = nn.Conv2d(a, b, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        blocks = [
            _Block((b, c, c), 2, relu_first=False), _Block((c, d, d), 2),
            _Block((d, e, e), 2), *[_Block((e,) * 4) for _ in range(middle)],
            _Block((e, e, f), 2),
        ]  # fmt: skip
        self.count = len(blocks)
        for i, block in enumerate(blocks):
            setattr(self, f"block{i + 1}", block)
        self.conv3 = _Separable(f, g)
        self.bn3 = nn.BatchNorm2d(g)
        self.conv4 = _Separable(g, h)
        self.bn4 = nn.BatchNorm2d(h)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(h, num_classes)
        initialise(self, nn.Conv2d, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu(self.bn1(self.conv1(x)))
        x = plait.relu(self.bn2(self.conv2(x)))
        for i in range(self.count):
            x = getattr(self, f"block{i + 1}")(x)
        x = plait.relu(self.bn3(self.conv3(x)))
        x = plait.relu(self.bn4(self.conv4(x)))
        result: Tensor = self.fc(self.dropout(plait.mean(x, axis=(2, 3))))
        return result


xception = model(
    "xception", 22_855_952, "Xception", Xception,
    input=Input(299, 333, (0.5,) * 3, (0.5,) * 3),
)  # fmt: skip
