"""RegNet: nets out of a design space in which widths grow by a simple rule.

Read first: `stage_sizes`, `RegNet`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .layers import (
    ConvNormActivation,
    divisible,
    fan_out,
    initialise,
    small,
)
from .registry import Builder, model


def stage_sizes(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int
) -> list[tuple[int, int, int]]:
    """Return (width, number of blocks, width of a group) of each stage.

    Block i wants the width w_0 + w_a * i. It gets the nearest of w_0 * w_m ** k with
    whole k, rounded to a multiple of 8; blocks of one width are a stage. Then widths
    are rounded to multiples of the groups' width.

    Args:
        depth: the number of blocks.
        w_0, w_a, w_m: the first width, its growth, and the factor between stages.
        group_width: the channels of a group.

    Raises:
        ArgumentError: widths that do not grow.

    Source: I. Radosavovic et al., "Designing network design spaces", 2020, section 3.3.
    """
    if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % 8:
        raise ArgumentError(
            "[RegNet] the widths do not grow",
            got=f"w_0={w_0}, w_a={w_a}, w_m={w_m}",
            expected="w_0 a multiple of 8, w_a at least 0, w_m above 1",
        )
    widths = []
    for i in range(depth):
        power = round(math.log((w_0 + w_a * i) / w_0) / math.log(w_m))
        widths.append(round(w_0 * w_m**power / 8) * 8)
    sizes = []
    for width in sorted(set(widths)):
        group = min(group_width, width)
        sizes.append((divisible(width, group), widths.count(width), group))
    return sizes


class RegNetBlock(nn.Module):
    """A 3 x 3 convolution in groups between two of 1 x 1; the input is added.

    Args:
        channels, out: of input and result.
        stride: of the 3 x 3 convolution.
        group_width: the channels of a group of it.
        se_ratio: the channels within squeeze and excitation, as a share of those of
            the input; 0: there is none.
    """

    def __init__(
        self, channels: int, out: int, stride: int, group_width: int, se_ratio: float
    ) -> None:
        super().__init__()
        self.proj = None
        if channels != out or stride != 1:
            self.proj = ConvNormActivation(
                channels, out, 1, stride, activation_layer=None
            )
        layers: dict[str, nn.Module] = {
            "a": ConvNormActivation(channels, out, 1),
            "b": ConvNormActivation(out, out, 3, stride, groups=out // group_width),
        }
        if se_ratio:
            layers["se"] = nn.SqueezeExcitation(out, round(se_ratio * channels))
        layers["c"] = ConvNormActivation(out, out, 1, activation_layer=None)
        self.f = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return plait.relu((x if self.proj is None else self.proj(x)) + self.f(x))


class RegNet(nn.Module):
    """Stages of blocks, each at half the size of the one before.

    Args:
        sizes: of each stage; see `stage_sizes`.
        se_ratio: the channels within squeeze and excitation, as a share of those of
            a block's input (RegNetY); 0: there is none (RegNetX).
        num_classes: how many classes there are.
        stem_width: the channels of the first convolution.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: I. Radosavovic et al., "Designing network design spaces", 2020.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int, int]],
        se_ratio: float = 0.0,
        num_classes: int = 1000,
        stem_width: int = 32,
    ) -> None:
        super().__init__()
        self.stem = ConvNormActivation(3, stem_width, 3, 2)
        before, stages = stem_width, {}
        for i, (width, count, group) in enumerate(sizes, 1):
            blocks: dict[str, nn.Module] = {}
            for j in range(count):
                stride = 2 if j == 0 else 1
                blocks[f"block{i}-{j}"] = RegNetBlock(
                    before, width, stride, group, se_ratio
                )
                before = width
            stages[f"block{i}"] = nn.Sequential(blocks)
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(before, num_classes)
        initialise(self, nn.Conv2d, fan_out)
        initialise(self, nn.Linear, small, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.trunk_output(self.stem(x)))
        result: Tensor = self.fc(plait.flatten(x, 1))
        return result


def _regnet(
    which: str, parameters: int, depth: int, w_0: int, w_a: float, w_m: float,
    group_width: int,
) -> Builder[RegNet]:  # fmt: skip
    """Put one on the list: x or y, and how many multiplications it needs."""
    kind, flops = which.split("_", 1)
    return model(
        f"regnet_{which}", parameters,
        f"RegNet{kind.upper()}-{flops.replace('_', '.').upper()}", RegNet,
        stage_sizes(depth, w_0, w_a, w_m, group_width),
        se_ratio=0.25 if kind == "y" else 0.0,
    )  # fmt: skip


# Depth, first width, growth, factor and groups of the paper's appendix.
regnet_x_400mf = _regnet("x_400mf", 5_495_976, 22, 24, 24.48, 2.54, 16)
regnet_x_800mf = _regnet("x_800mf", 7_259_656, 16, 56, 35.73, 2.28, 16)
regnet_x_1_6gf = _regnet("x_1_6gf", 9_190_136, 18, 80, 34.01, 2.25, 24)
regnet_x_3_2gf = _regnet("x_3_2gf", 15_296_552, 25, 88, 26.31, 2.25, 48)
regnet_x_8gf = _regnet("x_8gf", 39_572_648, 23, 80, 49.56, 2.88, 120)
regnet_x_16gf = _regnet("x_16gf", 54_278_536, 22, 216, 55.59, 2.1, 128)
regnet_x_32gf = _regnet("x_32gf", 107_811_560, 23, 320, 69.86, 2.0, 168)
regnet_y_400mf = _regnet("y_400mf", 4_344_144, 16, 48, 27.89, 2.09, 8)
regnet_y_800mf = _regnet("y_800mf", 6_432_512, 14, 56, 38.84, 2.4, 16)
regnet_y_1_6gf = _regnet("y_1_6gf", 11_202_430, 27, 48, 20.71, 2.65, 24)
regnet_y_3_2gf = _regnet("y_3_2gf", 19_436_338, 21, 80, 42.63, 2.66, 24)
regnet_y_8gf = _regnet("y_8gf", 39_381_472, 17, 192, 76.82, 2.19, 56)
regnet_y_16gf = _regnet("y_16gf", 83_590_140, 18, 200, 106.23, 2.48, 112)
regnet_y_32gf = _regnet("y_32gf", 145_046_770, 20, 232, 115.89, 2.53, 232)
regnet_y_128gf = _regnet("y_128gf", 644_812_894, 27, 456, 160.83, 2.52, 264)
