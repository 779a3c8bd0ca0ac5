"""GoogLeNet and Inception v3: blocks of parallel branches, joined along the channels.

Read first: `Inception`, `GoogLeNet`, `Inception3`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import plait
from plait import Tensor

from .. import nn
from .inception_blocks import (
    Auxiliary,
    BasicConv2d,
    GoogLeNetAuxiliary,
    Inception,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)
from .layers import initialise
from .registry import Input, model

# torchvision's mean and deviation of colours, and those that these nets were trained
# with.
_USUAL, _OWN = Input(), 0.5


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet returns in training.

    Attributes:
        logits: shape (n, num_classes).
        aux_logits2, aux_logits1: the same of the auxiliary classifiers, from the
            higher layer and the lower one.
    """

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class InceptionOutputs(NamedTuple):
    """What Inception v3 returns in training.

    Attributes:
        logits: shape (n, num_classes).
        aux_logits: the same of the auxiliary classifier.
    """

    logits: Tensor
    aux_logits: Tensor


def _own_colours(x: Tensor) -> Tensor:
    """Return colours as the net was trained with, of those of `Input`'s defaults."""
    mean = plait.asarray(_USUAL.mean, dtype=x.dtype).reshape((3, 1, 1))
    std = plait.asarray(_USUAL.std, dtype=x.dtype).reshape((3, 1, 1))
    return x * (std / _OWN) + (mean - _OWN) / _OWN


def _initialise(net: nn.Module, std: float) -> None:
    """Draw weights as these nets want them, cut off at 2."""

    def draw(weight: Tensor) -> Any:
        return nn.init.trunc_normal_(weight, 0.0, std, -2.0, 2.0)

    initialise(net, nn.Conv2d, draw)
    initialise(net, nn.Linear, draw)


class GoogLeNet(nn.Module):
    """GoogLeNet, "Inception v1", with batch normalisation.

    Args:
        num_classes: how many classes there are.
        aux_logits: whether there are two auxiliary classifiers, which help to train the
            lower layers: in training the result is then a `GoogLeNetOutputs`.
        transform_input: whether the input's colours are changed from torchvision's
            usual ones to those that Google trained with.
        init_weights: whether weights are drawn from N(0, 0.01 ** 2); else as the layers
            draw them.
        dropout, dropout_aux: the probability of leaving out an input of the last layer
            of the net and of the auxiliary classifiers.

    Input: shape (n, 3, height, width), at least 15 x 15. Result: shape
    (n, num_classes).

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 64, 7, 2, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3, 1, 1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        # Table 1 of the paper.
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1: GoogLeNetAuxiliary | None = None
        self.aux2: GoogLeNetAuxiliary | None = None
        if aux_logits:
            self.aux1 = GoogLeNetAuxiliary(512, num_classes, dropout_aux)
            self.aux2 = GoogLeNetAuxiliary(528, num_classes, dropout_aux)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            _initialise(self, 0.01)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            x = _own_colours(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        low = self.inception4a(x)
        high = self.inception4d(self.inception4c(self.inception4b(low)))
        x = self.maxpool4(self.inception4e(high))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        logits: Tensor = self.fc(self.dropout(plait.flatten(x, 1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(high), self.aux1(low))
        return logits


class Inception3(nn.Module):
    """Inception v3, whose large windows are taken apart into small and narrow ones.

    Args:
        num_classes: how many classes there are.
        aux_logits: whether there is an auxiliary classifier, which helps to train the
            lower layers: in training the result is then an `InceptionOutputs`.
        transform_input: whether the input's colours are changed from torchvision's
            usual ones to those that Google trained with.
        init_weights: whether weights are drawn from N(0, 0.1 ** 2), those of the
            auxiliary classifier's linear map from N(0, 0.001 ** 2); else as the layers
            draw them.
        dropout: the probability of leaving out an input of the last layer.

    Input: shape (n, 3, height, width), at least 75 x 75, usually 299 x 299. Result:
    shape (n, num_classes).

    Source: C. Szegedy et al., "Rethinking the Inception architecture for computer
    vision", 2016.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, 1, 1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits: Auxiliary | None = None
        if aux_logits:
            self.AuxLogits = Auxiliary(768, num_classes)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights:
            _initialise(self, 0.1)
            if self.AuxLogits is not None:
                _initialise(self.AuxLogits.fc, 0.001)

    def forward(self, x: Tensor) -> Tensor | InceptionOutputs:
        if self.transform_input:
            x = _own_colours(x)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        middle = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))
        logits: Tensor = self.fc(plait.flatten(self.dropout(self.avgpool(x)), 1))
        if self.training and self.AuxLogits is not None:
            return InceptionOutputs(logits, self.AuxLogits(middle))
        return logits


googlenet = model("googlenet", 13_004_888, "GoogLeNet", GoogLeNet)
inception_v3 = model(
    "inception_v3", 27_161_264, "Inception v3", Inception3, input=Input(299, 342)
)
