"""Pooling over the whole of each channel.

Read first: `GlobalAvgPool1d`.
"""

from __future__ import annotations

import numpy as np

from plait import Tensor

from ..errors import ShapeError
from .pooling import distinct
from .sample import Sample, uniform
from .spatial import Spatial


class _GlobalPool(Spatial):
    def __init__(self, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = keepdim

    def _axes(self, input: Tensor) -> tuple[int, ...]:
        """Return the spatial axes.

        Raises:
            ShapeError: the input has other axes, or there is nothing on one.
        """
        self._check(input)
        if 0 in input.shape[-self.rank :]:
            raise ShapeError(
                f"[{type(self).__name__}] there is nothing to reduce on an empty axis",
                got=f"shape {input.shape}",
            )
        return tuple(range(-self.rank, 0))

    def extra_repr(self) -> str:
        return f"keepdim={self.keepdim}"


class _GlobalAvgPool(_GlobalPool):
    def forward(self, input: Tensor) -> Tensor:
        return input.mean(self._axes(input), keepdims=self.keepdim)

    @classmethod
    def samples(cls) -> list[Sample]:
        axes = tuple(range(-cls.rank, 0))

        def reference(layer: _GlobalAvgPool, x: np.ndarray) -> np.ndarray:
            result: np.ndarray = x.mean(axes, keepdims=layer.keepdim)
            return result

        shape = (2, 3, 4, 5, 2)[: 2 + cls.rank]
        return [
            Sample((uniform(*shape),), like_torch="never", reference=reference),
            Sample(
                (uniform(*shape[1:]),), (True,), like_torch="never", separable=False,
                reference=reference,
            ),
        ]  # fmt: skip


class _GlobalMaxPool(_GlobalPool):
    def forward(self, input: Tensor) -> Tensor:
        return input.max(self._axes(input), keepdims=self.keepdim)

    @classmethod
    def samples(cls) -> list[Sample]:
        axes = tuple(range(-cls.rank, 0))

        def reference(layer: _GlobalMaxPool, x: np.ndarray) -> np.ndarray:
            result: np.ndarray = x.max(axes, keepdims=layer.keepdim)
            return result

        shape = (2, 3, 4, 5, 2)[: 2 + cls.rank]
        return [
            Sample((distinct(*shape),), like_torch="never", reference=reference),
            Sample(
                (distinct(*shape[1:]),), (True,), like_torch="never", separable=False,
                reference=reference,
            ),
        ]  # fmt: skip


class GlobalAvgPool1d(_GlobalAvgPool):
    """The mean of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1


class GlobalAvgPool2d(_GlobalAvgPool):
    """The mean of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2


class GlobalAvgPool3d(_GlobalAvgPool):
    """The mean of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1, 1, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3


class GlobalMaxPool1d(_GlobalMaxPool):
    """The greatest element of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, length), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1


class GlobalMaxPool2d(_GlobalMaxPool):
    """The greatest element of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2


class GlobalMaxPool3d(_GlobalMaxPool):
    """The greatest element of each channel.

    Args:
        keepdim: keep the spatial axes, with size 1.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels), or with `keepdim` (n, channels, 1, 1, 1).

    Raises:
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3
