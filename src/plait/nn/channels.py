"""Layers that look across the channels of their input, at each place by itself.

Read first: `LocalResponseNorm`, `ChannelShuffle`.
"""

from __future__ import annotations

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import ArgumentError, ShapeError
from .module import Module
from .sample import Sample, uniform


class LocalResponseNorm(Module):
    """Divides each element by a power of the mean square of its neighbour channels.

    Formula: x[c] / (k + alpha / size * sum of x[j] ** 2) ** beta, for the `size`
    channels j from c - size // 2 on, as far as there are such channels.

    Args:
        size: how many channels are neighbours.
        alpha: the factor of the mean square.
        beta: the power.
        k: added to the mean square.

    Input and result: shape (n, channels, ...).

    Raises:
        ArgumentError: `size` is less than 1.

    Source: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with
    deep convolutional neural networks", 2012, section 3.3.
    """

    def __init__(
        self, size: Size, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> None:
        super().__init__()
        if not size:
            raise ArgumentError(
                f"[{type(self).__name__}] size must be at least 1", got="0"
            )
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return plait.local_response_norm(
            input, self.size, self.alpha, self.beta, self.k
        )

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 5, 3, 2),), (3, 0.5)),
            Sample((uniform(2, 4, 3),), (2, 0.3, 0.6, 1.5)),
            Sample((uniform(2, 3, 2, 2),), (8, 0.3)),
            Sample((uniform(0, 3, 2),), (2,)),
        ]


class CrossMapLRN2d(LocalResponseNorm):
    """As `LocalResponseNorm`, with the neighbours of Torch7.

    The neighbours are the channels at most (size - 1) // 2 away, so for an even `size`
    one less than that; the sum is divided by `size` all the same. (PyTorch's layer of
    that name counts channel 0 as a neighbour of all; this one does not.)

    Args:
        size, alpha, beta, k: those of `LocalResponseNorm`.

    Input and result: shape (n, channels, height, width).

    Raises:
        ArgumentError: `size` is less than 1.
        ShapeError: (calling it) the input has other axes.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ShapeError(
                "[CrossMapLRN2d] the input does not fit",
                got=f"shape {input.shape}",
                expected="(n, channels, height, width)",
            )
        neighbours = 2 * ((self.size - 1) // 2) + 1
        alpha = self.alpha * neighbours / self.size
        return plait.local_response_norm(input, neighbours, alpha, self.beta, self.k)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((x,), args, reference=_cross_map)
            for x, args in (
                (uniform(2, 5, 3, 2), (3, 0.5)),
                (uniform(2, 5, 2, 2), (4, 0.3, 0.6, 1.5)),
            )
        ]


def _cross_map(layer: CrossMapLRN2d, x: np.ndarray) -> np.ndarray:
    reach, channels = (layer.size - 1) // 2, range(x.shape[1])
    total = [
        sum(x[:, j] ** 2 for j in channels if abs(c - j) <= reach) for c in channels
    ]
    mean = np.stack(total, 1) / layer.size
    return x / (layer.k + layer.alpha * mean) ** layer.beta


class ChannelShuffle(Module):
    """Deals the channels out in turn from each of several groups.

    See `plait.channel_shuffle` for the formula.

    Args:
        groups: divides the number of channels.

    Input and result: shape (n, channels, ...).

    Raises:
        ArgumentError: `groups` is less than 1; or (calling it) does not divide the
            channels.

    Source: X. Zhang et al., "ShuffleNet: an extremely efficient convolutional neural
    network for mobile devices", 2018.
    """

    _shown = ("groups",)

    def __init__(self, groups: Size) -> None:
        super().__init__()
        if not groups:
            raise ArgumentError("[ChannelShuffle] groups must be at least 1", got="0")
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return plait.channel_shuffle(input, self.groups)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 6, 3, 2),), (3,)),
            Sample((uniform(2, 4, 3),), (2,)),
            Sample((uniform(0, 4, 1, 2),), (2,)),
        ]


class Softmax2d(Module):
    """The softmax over the channels of each pixel.

    Input and result: shape (n, channels, height, width), or without n.

    Raises:
        ShapeError: (calling it) the input has other axes.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ShapeError(
                "[Softmax2d] the input does not fit",
                got=f"shape {input.shape}",
                expected="(n, channels, height, width) or (channels, height, width)",
            )
        return plait.softmax(input, -3)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 2, 4),)),
            Sample((uniform(3, 2, 4),), separable=False),
        ]
