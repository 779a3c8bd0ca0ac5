"""ResNet v2: blocks that normalise before they convolve; names are timm's.

Read first: `PreActivationBottleneck`, `ResNetV2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from .layers import Layer, fan_out, initialise, small
from .registry import Builder, Input, model
from .resnet import conv1x1, conv3x3


class _Shortcut(nn.Module):
    """The map of the input where a block changes its shape."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv = conv1x1(channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class PreActivationBottleneck(nn.Module):
    """A bottleneck whose normalisations and ReLUs come before the convolutions.

    What is added is the input as it is; where the shape changes, a map of the input
    after the first normalisation.

    Args:
        channels, out: of input and result; a quarter of `out` lies between.
        stride: of the 3 x 3 convolution.
        downsample: whether the input is mapped before it is added.
        norm_layer: makes a normalisation from the number of channels.

    Input: shape (n, channels, height, width). Result: shape (n, out, ...).

    Source: K. He et al., "Identity mappings in deep residual networks", 2016.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        stride: int = 1,
        downsample: bool = False,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        inner = out // 4
        self.downsample = _Shortcut(channels, out, stride) if downsample else None
        self.norm1 = norm_layer(channels)
        self.conv1 = conv1x1(channels, inner)
        self.norm2 = norm_layer(inner)
        self.conv2 = conv3x3(inner, inner, stride)
        self.norm3 = norm_layer(inner)
        self.conv3 = conv1x1(inner, out)

    def forward(self, x: Tensor) -> Tensor:
        active = plait.relu(self.norm1(x))
        kept = x if self.downsample is None else self.downsample(active)
        branch = self.conv2(plait.relu(self.norm2(self.conv1(active))))
        branch = self.conv3(plait.relu(self.norm3(branch)))
        result: Tensor = branch + kept
        return result


class ResNetV2(nn.Module):
    """ResNet v2: four stages of pre-activation bottlenecks.

    The stride is that of the 3 x 3 convolution in the first block of a stage, as in
    timm; Keras's nets of this name have it in the last block.

    Args:
        layers: how many blocks each stage has.
        num_classes: how many classes there are.
        widths: the channels of the stages' results.
        stem: the channels of the first convolution.
        norm_layer: makes a normalisation from the number of channels.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: K. He et al., "Identity mappings in deep residual networks", 2016.
    """

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int = 1000,
        widths: Sequence[int] = (256, 512, 1024, 2048),
        stem: int = 64,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        first = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.stem = nn.Sequential({"conv": first, "pool": nn.MaxPool2d(3, 2, 1)})
        stages: list[nn.Module] = []
        channels = stem
        for i, (count, width) in enumerate(zip(layers, widths, strict=True)):
            blocks = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(
                    PreActivationBottleneck(channels, width, stride, j == 0, norm_layer)
                )
                channels = width
            stages.append(nn.Sequential({"blocks": nn.Sequential(*blocks)}))
        self.stages = nn.Sequential(*stages)
        self.norm = norm_layer(channels)
        # A convolution of one pixel, for the files' sake.
        self.head = nn.ModuleDict({"fc": nn.Conv2d(channels, num_classes, 1)})
        initialise(self, nn.Conv2d, fan_out)
        initialise(self.head, nn.Conv2d, small, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu(self.norm(self.stages(self.stem(x))))
        scores = self.head["fc"](plait.mean(x, axis=(2, 3), keepdims=True))
        return plait.flatten(scores, 1)


def _resnet(
    depth: int, parameters: int, layers: tuple[int, ...], resize: int
) -> Builder[ResNetV2]:
    """Put one on the list."""
    return model(
        f"resnetv2_{depth}", parameters, f"ResNet-{depth} v2", ResNetV2, layers,
        input=Input(224, resize, (0.5,) * 3, (0.5,) * 3),
    )  # fmt: skip


resnetv2_50 = _resnet(50, 25_549_352, (3, 4, 6, 3), 236)
resnetv2_101 = _resnet(101, 44_541_480, (3, 4, 23, 3), 236)
resnetv2_152 = _resnet(152, 60_185_128, (3, 8, 36, 3), 256)
