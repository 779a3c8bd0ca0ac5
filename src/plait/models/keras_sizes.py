"""Sizes that Keras has and torchvision has not; names are torchvision's.

EfficientNetV2-B0 to B3 are the first of the paper's nets, scaled as EfficientNet is.
ConvNeXt-XL is the widest.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from .. import nn
from .convnext import ConvNeXt
from .efficientnet import EfficientNet, Stage
from .registry import Builder, Input, model

_STAGES = (
    Stage(1, 3, 1, 32, 16, 1, True),
    Stage(4, 3, 2, 16, 32, 2, True),
    Stage(4, 3, 2, 32, 48, 2, True),
    Stage(4, 3, 2, 48, 96, 3),
    Stage(6, 3, 1, 96, 112, 5),
    Stage(6, 3, 2, 112, 192, 8),
)


def _rounded(value: float) -> int:
    """Return the multiple of 8 nearest to a number of channels."""
    return max(8, int(value + 4) // 8 * 8)


def _scaled(width: float, depth: float, **options: Any) -> EfficientNet:
    stages = [
        stage._replace(
            channels=_rounded(stage.channels * width),
            out=_rounded(stage.out * width),
            repeats=math.ceil(stage.repeats * depth),
        )
        for stage in _STAGES
    ]
    return EfficientNet(stages, last_channel=_rounded(1280 * width), **options)


def _b(
    which: int, parameters: int, width: float, depth: float, dropout: float, size: int
) -> Builder[EfficientNet]:
    """Put one on the list."""
    return model(
        f"efficientnet_v2_b{which}", parameters, f"EfficientNetV2-B{which}", _scaled,
        width, depth, kind="EfficientNet", dropout=dropout,
        norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.1),
        input=Input(size, size),
    )  # fmt: skip


efficientnet_v2_b0 = _b(0, 7_139_704, 1.0, 1.0, 0.2, 224)
efficientnet_v2_b1 = _b(1, 8_141_052, 1.0, 1.1, 0.2, 240)
efficientnet_v2_b2 = _b(2, 10_096_086, 1.1, 1.2, 0.3, 260)
efficientnet_v2_b3 = _b(3, 14_358_406, 1.2, 1.4, 0.3, 300)
convnext_xlarge = model(
    "convnext_xlarge", 350_196_968, "ConvNeXt, xlarge", ConvNeXt,
    (256, 512, 1024, 2048), (3, 3, 27, 3), stochastic_depth_prob=0.5,
    input=Input(224, 232),
)  # fmt: skip
