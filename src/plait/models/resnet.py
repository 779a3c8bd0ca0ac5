"""ResNet, ResNeXt and Wide ResNet: blocks that add to what they take.

Read first: `Bottleneck`, `ResNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError
from .layers import Layer, fan_out, initialise
from .registry import model


def conv3x3(
    in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Return a 3 x 3 convolution without offset that keeps the size at stride 1."""
    return nn.Conv2d(
        in_planes, out_planes, 3, stride, dilation, dilation, groups, bias=False
    )


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """Return a 1 x 1 convolution without offset."""
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, to which the input is added.

    Args:
        inplanes, planes: the channels of input and result.
        stride: of the first convolution.
        downsample: what the input goes through before it is added; None: nothing.
        groups, base_width, dilation: for the likeness with `Bottleneck`: 1, 64 and 1.
        norm_layer: makes a normalisation from the number of channels.

    Input: shape (n, inplanes, height, width). Result: shape
    (n, planes, ceil(height / stride), ceil(width / stride)).

    Raises:
        ArgumentError: groups, base_width or dilation has another value.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if (groups, base_width, dilation) != (1, 64, 1):
            raise ArgumentError(
                "[BasicBlock] knows neither groups nor widths nor dilation",
                got=f"groups={groups}, base_width={base_width}, dilation={dilation}",
                fix="use Bottleneck",
            )
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation before the addition."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        kept = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(branch + kept)
        return result


class Bottleneck(nn.Module):
    """A 3 x 3 convolution between two of 1 x 1, to which the input is added.

    The stride is that of the 3 x 3 convolution, as in torchvision ("ResNet v1.5"), not
    that of the first one, as in the paper.

    Args:
        inplanes: the channels of the input.
        planes: a quarter of the channels of the result.
        stride, groups, dilation: of the 3 x 3 convolution.
        downsample: what the input goes through before it is added; None: nothing.
        base_width: the channels of a group of the 3 x 3 convolution, for planes = 64.
        norm_layer: makes a normalisation from the number of channels.

    Input: shape (n, inplanes, height, width). Result: shape
    (n, 4 * planes, ceil(height / stride), ceil(width / stride)).
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width = int(planes * (base_width / 64)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation before the addition."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        kept = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(branch + kept)
        return result


class ResNet(nn.Module):
    """Four stages of blocks, each but the first at half the size of the one before.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: how many blocks each of the four stages has.
        num_classes: how many classes there are.
        zero_init_residual: whether the factor of each block's last normalisation is 0
            at first, so that blocks begin with handing on their input.
        groups, width_per_group: of the 3 x 3 convolutions: ResNeXt has many groups,
            and Wide ResNet one of twice the width.
        replace_stride_with_dilation: for each of the last three stages, whether it
            keeps the size, and its windows have gaps instead. Default: none.
        norm_layer: makes a normalisation from the number of channels. Default:
            `nn.BatchNorm2d`.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Raises:
        ArgumentError: replace_stride_with_dilation is not of three values, or does not
            go with the block.

    Source: K. He et al., "Deep residual learning for image recognition", 2016; S. Xie
    et al., "Aggregated residual transformations for deep neural networks", 2017;
    S. Zagoruyko, N. Komodakis, "Wide residual networks", 2016.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        dilate = replace_stride_with_dilation or (False,) * 3
        if len(dilate) != 3:
            raise ArgumentError(
                "[ResNet] replace_stride_with_dilation is for three stages",
                got=str(replace_stride_with_dilation),
                expected="three values",
            )
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes = 64
        self.dilation = 1
        self.groups = groups
        self.base_width = width_per_group
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(block, 64, layers[0], 1, False)
        self.layer2 = self._stage(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._stage(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._stage(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise(self, nn.Conv2d, fan_out)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    initialise(module.last_norm, nn.Module, nn.init.zeros_)

    def _stage(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        count: int,
        stride: int,
        dilate: bool,
    ) -> nn.Sequential:
        # The first block's windows have the gaps of the stage before.
        gap = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        width = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != width:
            downsample = nn.Sequential(
                conv1x1(self.inplanes, width, stride), self._norm_layer(width)
            )
        blocks = []
        for i in range(count):
            blocks.append(
                block(
                    self.inplanes, planes,
                    stride if i == 0 else 1,
                    downsample if i == 0 else None,
                    self.groups, self.base_width,
                    gap if i == 0 else self.dilation,
                    self._norm_layer,
                )
            )  # fmt: skip
            self.inplanes = width
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        result: Tensor = self.fc(plait.flatten(self.avgpool(x), 1))
        return result


_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
resnet18 = model("resnet18", 11_689_512, "ResNet-18", ResNet, BasicBlock, (2, 2, 2, 2))
resnet34 = model("resnet34", 21_797_672, "ResNet-34", ResNet, BasicBlock, _50)
resnet50 = model("resnet50", 25_557_032, "ResNet-50", ResNet, Bottleneck, _50)
resnet101 = model("resnet101", 44_549_160, "ResNet-101", ResNet, Bottleneck, _101)
resnet152 = model("resnet152", 60_192_808, "ResNet-152", ResNet, Bottleneck, _152)
resnext50_32x4d = model(
    "resnext50_32x4d", 25_028_904, "ResNeXt-50 (32 x 4d)", ResNet, Bottleneck, _50,
    groups=32, width_per_group=4,
)  # fmt: skip
resnext101_32x8d = model(
    "resnext101_32x8d", 88_791_336, "ResNeXt-101 (32 x 8d)", ResNet, Bottleneck, _101,
    groups=32, width_per_group=8,
)  # fmt: skip
resnext101_64x4d = model(
    "resnext101_64x4d", 83_455_272, "ResNeXt-101 (64 x 4d)", ResNet, Bottleneck, _101,
    groups=64, width_per_group=4,
)  # fmt: skip
wide_resnet50_2 = model(
    "wide_resnet50_2",
    68_883_240,
    "Wide ResNet-50-2",
    ResNet,
    Bottleneck,
    _50,
    width_per_group=128,
)
wide_resnet101_2 = model(
    "wide_resnet101_2", 126_886_696, "Wide ResNet-101-2", ResNet, Bottleneck, _101,
    width_per_group=128,
)  # fmt: skip
