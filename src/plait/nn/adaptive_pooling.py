"""Pooling whose windows adapt to the sizes of the result, or are all of each channel.

Read first: `AdaptiveAvgPool1d`, `GlobalAvgPool1d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import plait
from plait import Tensor

from ..errors import ShapeError
from .sample import Sample, distinct, uniform
from .spatial import Spatial


class _Whole(Spatial):
    """A layer whose windows together are all of its input."""

    def _check(self, input: Tensor, channels: int | None = None) -> None:
        super()._check(input, channels)
        if 0 in input.shape[-self.rank :]:
            raise ShapeError(
                f"[{type(self).__name__}] there is nothing to reduce on an empty axis",
                got=f"shape {input.shape}",
            )


class _Adaptive(_Whole):
    """A layer with windows that adapt to the sizes of its result."""

    _shown = ("output_size",)

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size
        given = output_size if isinstance(output_size, (tuple, list)) else None
        sizes = given or (output_size,) * self.rank
        # None keeps a size; any number stands for it while the others are checked.
        self._each("output_size", tuple(1 if n is None else n for n in sizes), 1)
        self._sizes: tuple[Any, ...] = tuple(sizes)


class _AdaptiveAvgPool(_Adaptive):
    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.adaptive_average_pool(input, self._sizes)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of as many windows as the result has elements.

    Window i of m over a length is [floor(i * length / m), ceil((i + 1) * length / m)).

    Args:
        output_size: m, the size of the result; None keeps the size.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m).

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 7),), (3,)),
            Sample((uniform(2, 3, 6),), (2,)),
            Sample((uniform(3, 5),), (7,), separable=False),
            Sample((uniform(0, 3, 5),), (1,)),
        ]


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d`, over height and width: means of windows.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 3, 5, 6)
        return [
            Sample((x,), (1,)),
            Sample((x,), ((3, 2),)),
            Sample((x,), ((None, 4),)),
            Sample((uniform(3, 4, 6),), (2,), separable=False),
        ]


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d`, over depth, height and width: means of windows.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(2, 2, 3, 4, 5)
        return [Sample((x,), (1,)), Sample((x,), ((2, None, 3),))]


class _AdaptiveMaxPool(_Adaptive):
    def __init__(
        self,
        output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
    ) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        self._check(input)
        if self.return_indices:
            return plait.adaptive_max_pool_with_indices(input, self._sizes)
        return plait.adaptive_max_pool(input, self._sizes)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The greatest elements of as many windows as the result has elements.

    Window i of m over a length is [floor(i * length / m), ceil((i + 1) * length / m)).

    Args:
        output_size: m, the size of the result; None keeps the size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m).

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 1

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((distinct(2, 3, 7),), (3,)),
            Sample((distinct(3, 6),), (2, True), separable=False),
            Sample((distinct(0, 3, 5),), (2,)),
        ]


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool1d`, over height and width: the greatest elements.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 2

    @staticmethod
    def samples() -> list[Sample]:
        x = distinct(2, 3, 5, 6)
        return [
            Sample((x,), (1,)),
            Sample((x,), ((3, 4), True)),
            Sample((x,), ((None, 2),)),
            Sample((distinct(3, 4, 6),), ((3, 8),), separable=False),
        ]


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """As `AdaptiveMaxPool1d`, over depth, height and width: the greatest elements.

    Args:
        output_size: the sizes of the result, an integer or one for each axis; None
            keeps a size.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *output_size), or without n.

    Raises:
        ArgumentError: a size is less than 1.
        ShapeError: (calling it) the input has other axes, or an empty one.
    """

    rank = 3

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((distinct(2, 2, 3, 4, 5),), ((2, None, 3), True))]


class _GlobalPool(_Whole):
    """A layer with one window."""

    _shown = ("keepdim",)
    # The name of the reduction, as a method of a tensor and of an array.
    _reduction: ClassVar[str]

    def __init__(self, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = keepdim

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        result: Tensor = self._reduced(input)
        return result

    def _reduced(self, x: Any) -> Any:
        axes = tuple(range(-self.rank, 0))
        return getattr(x, self._reduction)(axes, keepdims=self.keepdim)

    @classmethod
    def samples(cls) -> list[Sample]:
        def reference(layer: _GlobalPool, x: np.ndarray) -> Any:
            return layer._reduced(x)

        x = distinct(*(2, 3, 4, 5, 2)[: 2 + cls.rank])
        return [
            Sample((x,), reference=reference),
            Sample((x[0],), (True,), separable=False, reference=reference),
        ]


class _GlobalAvgPool(_GlobalPool):
    _reduction = "mean"


class _GlobalMaxPool(_GlobalPool):
    _reduction = "max"


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
