"""ConvNeXt: a convolutional net built as vision transformers are.

Read first: `CNBlock`, `ConvNeXt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import plait
from plait import Tensor

from .. import nn
from .layers import ConvNormActivation, initialise
from .registry import Builder, Input, model

_norm = partial(nn.LayerNorm, eps=1e-6)


class LayerNorm2d(nn.LayerNorm):
    """`nn.LayerNorm` over the channels of each pixel.

    Input and result: shape (n, channels, height, width).
    """

    def forward(self, input: Tensor) -> Tensor:
        last = plait.permute_dims(input, (0, 2, 3, 1))
        return plait.permute_dims(super().forward(last), (0, 3, 1, 2))


_norm2d = partial(LayerNorm2d, eps=1e-6)


class CNBlock(nn.Module):
    """7 x 7 windows of one channel each, then two linear maps; the input is added.

    Args:
        dim: the channels.
        layer_scale: at first, the factor of what is added to the input.
        stochastic_depth_prob: the probability that the block is left out in training.

    Attributes:
        layer_scale: shape (dim, 1, 1).

    Input and result: shape (n, dim, height, width).
    """

    def __init__(
        self, dim: int, layer_scale: float, stochastic_depth_prob: float
    ) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(plait.full((dim, 1, 1), layer_scale))
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            nn.Permute((0, 2, 3, 1)),
            _norm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            nn.Permute((0, 3, 1, 2)),
        )
        self.stochastic_depth = nn.StochasticDepth(stochastic_depth_prob)

    def forward(self, input: Tensor) -> Tensor:
        result = self.layer_scale * self.block(input)
        added: Tensor = self.stochastic_depth(result)
        return added + input


class ConvNeXt(nn.Module):
    """Four stages of blocks, each at half the size of the one before.

    Args:
        widths: the channels of each stage.
        depths: how many blocks each stage has.
        stochastic_depth_prob: the probability that the last block is left out in
            training; that of the others grows evenly from 0.
        layer_scale: at first, the factor of what a block adds to its input.
        num_classes: how many classes there are.

    Input: shape (n, 3, height, width), at least 32 x 32. Result: shape
    (n, num_classes).

    Source: Z. Liu et al., "A ConvNet for the 2020s", 2022.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            ConvNormActivation(
                3, widths[0], 4, 4, 0, norm_layer=_norm2d, activation_layer=None,
                bias=True,
            )
        ]  # fmt: skip
        last, done = max(sum(depths) - 1, 1), 0
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if i:
                before = widths[i - 1]
                layers.append(
                    nn.Sequential(_norm2d(before), nn.Conv2d(before, width, 2, 2))
                )
            shares = [stochastic_depth_prob * (done + j) / last for j in range(depth)]
            blocks = [CNBlock(width, layer_scale, share) for share in shares]
            layers.append(nn.Sequential(*blocks))
            done += depth
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            _norm2d(widths[-1]), nn.Flatten(1), nn.Linear(widths[-1], num_classes)
        )
        draw = partial(nn.init.trunc_normal_, std=0.02)
        initialise(self, nn.Conv2d, draw, nn.init.zeros_)
        initialise(self, nn.Linear, draw, nn.init.zeros_)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(self.avgpool(self.features(x)))
        return result


def _convnext(
    which: str, parameters: int, width: int, depth: int, share: float, resize: int
) -> Builder[ConvNeXt]:
    """Put one on the list, by the first stage's width and the third's depth."""
    return model(
        f"convnext_{which}", parameters, f"ConvNeXt, {which}", ConvNeXt,
        [width * 2**i for i in range(4)], (3, 3, depth, 3),
        stochastic_depth_prob=share, input=Input(224, resize),
    )  # fmt: skip


convnext_tiny = _convnext("tiny", 28_589_128, 96, 9, 0.1, 236)
convnext_small = _convnext("small", 50_223_688, 96, 27, 0.4, 230)
convnext_base = _convnext("base", 88_591_464, 128, 27, 0.5, 232)
convnext_large = _convnext("large", 197_767_336, 192, 27, 0.5, 232)
