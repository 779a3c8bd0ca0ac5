"""The blocks of GoogLeNet and Inception v3: branches that see the same input.

Read first: `Inception`, `InceptionA`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from .. import nn

_Sizes = int | tuple[int, int]


class BasicConv2d(nn.Module):
    """A convolution without offset, batch normalisation and ReLU.

    Args:
        in_channels, out_channels, kernel_size, stride, padding: of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Sizes,
        stride: int = 1,
        padding: _Sizes = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return plait.relu(self.bn(self.conv(x)))


def _flat(channels: int, out: int) -> BasicConv2d:
    """Return a convolution of seven columns."""
    return BasicConv2d(channels, out, (1, 7), padding=(0, 3))


def _tall(channels: int, out: int) -> BasicConv2d:
    """Return a convolution of seven rows."""
    return BasicConv2d(channels, out, (7, 1), padding=(3, 0))


def _mean(x: Tensor) -> Tensor:
    """Return the means of windows of 3 x 3, in the same size."""
    return plait.average_pool(x, (3, 3), stride=1, padding=1)


class Inception(nn.Module):
    """GoogLeNet's block: windows of 1 and twice 3, and a pooling.

    The third branch has 3 x 3 windows where the paper has 5 x 5, as torchvision's.

    Args:
        in_channels: of the input.
        ch1x1: the channels of the first branch.
        ch3x3red, ch3x3: of the second branch, within and after it.
        ch5x5red, ch5x5: of the third branch.
        pool_proj: of the fourth.

    Result: shape (n, ch1x1 + ch3x3 + ch5x5 + pool_proj, height, width).
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
    ) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, 1), BasicConv2d(ch3x3red, ch3x3, 3, 1, 1)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, 1), BasicConv2d(ch5x5red, ch5x5, 3, 1, 1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True),
            BasicConv2d(in_channels, pool_proj, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1, self.branch2, self.branch3, self.branch4]
        return plait.concat([branch(x) for branch in branches], axis=1)


class GoogLeNetAuxiliary(nn.Module):
    """A classifier on a lower layer of GoogLeNet.

    Args:
        in_channels: of that layer.
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last layer.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((4, 4))
        self.conv = BasicConv2d(in_channels, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.flatten(self.conv(self.pool(x)), 1)
        result: Tensor = self.fc2(self.dropout(plait.relu(self.fc1(x))))
        return result


class InceptionA(nn.Module):
    """Figure 5 of the paper: windows of 1 and 5, twice 3, and a pooling.

    Args:
        in_channels: of the input.
        pool_features: the channels of the pooling's branch.

    Result: 224 + pool_features channels.
    """

    def __init__(self, in_channels: int, pool_features: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(in_channels, 64, 1)
        self.branch5x5_1 = BasicConv2d(in_channels, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, 1, 2)
        self.branch3x3dbl_1 = BasicConv2d(in_channels, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, 1, 1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, 1, 1)
        self.branch_pool = BasicConv2d(in_channels, pool_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        branches = [self.branch1x1(x), five, double, self.branch_pool(_mean(x))]
        return plait.concat(branches, axis=1)


class InceptionB(nn.Module):
    """Figure 10 of the paper: to half the size.

    Args:
        in_channels: of the input.

    Result: 480 + in_channels channels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(in_channels, 384, 3, 2)
        self.branch3x3dbl_1 = BasicConv2d(in_channels, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, 1, 1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = plait.max_pool(x, (3, 3), stride=2)
        return plait.concat([self.branch3x3(x), double, pooled], axis=1)


class InceptionC(nn.Module):
    """Figure 6 of the paper: windows of 7 taken apart into rows and columns.

    Args:
        in_channels: of the input.
        channels_7x7: within the branches.

    Result: 768 channels.
    """

    def __init__(self, in_channels: int, channels_7x7: int) -> None:
        super().__init__()
        inner = channels_7x7
        self.branch1x1 = BasicConv2d(in_channels, 192, 1)
        self.branch7x7_1 = BasicConv2d(in_channels, inner, 1)
        self.branch7x7_2 = _flat(inner, inner)
        self.branch7x7_3 = _tall(inner, 192)
        self.branch7x7dbl_1 = BasicConv2d(in_channels, inner, 1)
        self.branch7x7dbl_2 = _tall(inner, inner)
        self.branch7x7dbl_3 = _flat(inner, inner)
        self.branch7x7dbl_4 = _tall(inner, inner)
        self.branch7x7dbl_5 = _flat(inner, 192)
        self.branch_pool = BasicConv2d(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        branches = [self.branch1x1(x), seven, double, self.branch_pool(_mean(x))]
        return plait.concat(branches, axis=1)


class InceptionD(nn.Module):
    """Between the second and the third grid: to half the size.

    Args:
        in_channels: of the input.

    Result: 512 + in_channels channels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(in_channels, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, 2)
        self.branch7x7x3_1 = BasicConv2d(in_channels, 192, 1)
        self.branch7x7x3_2 = _flat(192, 192)
        self.branch7x7x3_3 = _tall(192, 192)
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        pooled = plait.max_pool(x, (3, 3), stride=2)
        return plait.concat([three, self.branch7x7x3_4(seven), pooled], axis=1)


class InceptionE(nn.Module):
    """Figure 7 of the paper: branches that part once more.

    Args:
        in_channels: of the input.

    Result: 2048 channels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(in_channels, 320, 1)
        self.branch3x3_1 = BasicConv2d(in_channels, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = BasicConv2d(in_channels, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3, 1, 1)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = BasicConv2d(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(_mean(x)),
        ]
        return plait.concat(branches, axis=1)


class Auxiliary(nn.Module):
    """A classifier on a middle layer of Inception v3.

    Args:
        in_channels: of that layer.
        num_classes: how many classes there are.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = BasicConv2d(in_channels, 128, 1)
        self.conv1 = BasicConv2d(128, 768, 5)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.average_pool(x, (5, 5), stride=3)
        x = self.avgpool(self.conv1(self.conv0(x)))
        result: Tensor = self.fc(plait.flatten(x, 1))
        return result
