"""ShuffleNet v2: half of the channels go on as they are, then all are shuffled.

Read first: `ShuffleNetV2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .registry import model


def _pointwise(channels: int, out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    ]  # fmt: skip


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(
        channels, channels, 3, stride, 1, groups=channels, bias=False
    )
    return [convolution, nn.BatchNorm2d(channels)]


class _Unit(nn.Module):
    """Figure 3 (c) and, with stride 2, (d) of the paper."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        half = out // 2
        self.stride = stride
        first = (
            [] if stride == 1 else _depthwise(channels, 2) + _pointwise(channels, half)
        )
        self.branch1 = nn.Sequential(*first)
        self.branch2 = nn.Sequential(
            *_pointwise(half if stride == 1 else channels, half),
            *_depthwise(half, stride),
            *_pointwise(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = plait.chunk(x, 2, axis=1) if self.stride == 1 else (x, x)
        kept, changed = self.branch1(kept), self.branch2(changed)
        # Channels of both halves in turn: (0, half, 1, half + 1, ...).
        pairs = plait.stack([kept, changed], axis=2)
        return plait.flatten(pairs, 1, 2)


class ShuffleNetV2(nn.Module):
    """Three stages of units, each at half the size of the one before.

    Args:
        stages_repeats: how many units each stage has.
        stages_out_channels: the channels of the first convolution, of each stage and of
            the last convolution.
        num_classes: how many classes there are.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Raises:
        ArgumentError: these are not three and five numbers.

    Source: N. Ma et al., "ShuffleNet V2: practical guidelines for efficient CNN
    architecture design", 2018.
    """

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        if len(stages_repeats) != 3 or len(stages_out_channels) != 5:
            raise ArgumentError(
                "[ShuffleNetV2] there are three stages, and five numbers of channels",
                got=f"{stages_repeats} and {stages_out_channels}",
            )
        first, *widths, last = stages_out_channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        sizes = zip([first, *widths[:-1]], widths, stages_repeats, strict=True)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                _Unit(before, width, 2),
                *(_Unit(width, width, 1) for _ in range(repeats - 1)),
            )
            for before, width, repeats in sizes
        )
        self.conv5 = nn.Sequential(*_pointwise(widths[-1], last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        result: Tensor = self.fc(plait.mean(x, axis=(2, 3)))
        return result


_UNITS = (4, 8, 4)
shufflenet_v2_x0_5 = model(
    "shufflenet_v2_x0_5", 1_366_792, "ShuffleNet v2 of half the width", ShuffleNetV2,
    _UNITS, (24, 48, 96, 192, 1024),
)  # fmt: skip
shufflenet_v2_x1_0 = model(
    "shufflenet_v2_x1_0", 2_278_604, "ShuffleNet v2", ShuffleNetV2,
    _UNITS, (24, 116, 232, 464, 1024),
)  # fmt: skip
shufflenet_v2_x1_5 = model(
    "shufflenet_v2_x1_5", 3_503_624, "ShuffleNet v2 of 1.5 times the width",
    ShuffleNetV2, _UNITS, (24, 176, 352, 704, 1024),
)  # fmt: skip
shufflenet_v2_x2_0 = model(
    "shufflenet_v2_x2_0", 7_393_996, "ShuffleNet v2 of twice the width", ShuffleNetV2,
    _UNITS, (24, 244, 488, 976, 2048),
)  # fmt: skip
