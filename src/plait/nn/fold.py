"""Windows of images as columns of a matrix, and back.

Read first: `Unfold`.
"""

from __future__ import annotations

from typing import ClassVar

import plait
from plait import Tensor

from ..arguments import Sizes
from .sample import Sample, uniform
from .spatial import Spatial


class Unfold(Spatial):
    """Makes each window of an image a column.

    A convolution is then a product of matrices: weight.reshape(out_channels, -1) @
    columns.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        dilation: how far apart the elements of the window lie.
        padding: how many zeros are added before and after each axis.
        stride: how far the window moves.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels * elements of a window, number of windows), with
    floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1 windows
    along each axis, in row-major order.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.
    """

    rank = 2
    _shown: ClassVar[tuple[str, ...]] = (
        "kernel_size", "dilation", "padding", "stride",
    )  # fmt: skip

    def __init__(
        self,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride
        self._window = self._each("kernel_size", kernel_size, 1)
        self._dilation = self._each("dilation", dilation, 1)
        self._padding = self._each("padding", padding)
        self._stride = self._each("stride", stride, 1)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.unfold(
            input, self._window, dilation=self._dilation, padding=self._padding,
            stride=self._stride,
        )  # fmt: skip

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 3, 5, 4),), (2,)),
            Sample((uniform(2, 3, 5, 7),), ((3, 2), (1, 2), (1, 0), (2, 1))),
            Sample((uniform(3, 5, 4),), (2,), {"stride": 2}, separable=False),
        ]


class Fold(Unfold):
    """Adds up columns as the windows of an image: the transpose of `Unfold`.

    Where windows overlap, their elements are added.

    Args:
        output_size: height and width of the result; an integer for both.
        kernel_size, dilation, padding, stride: those of the `Unfold`.

    Input: shape (n, channels * elements of a window, number of windows), or without n.
    Result: shape (n, channels, *output_size).

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) there are not so many windows in that size.
    """

    _shown = ("output_size", *Unfold._shown)

    def __init__(
        self,
        output_size: Sizes,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size
        self._size = self._each("output_size", output_size, 1)

    def forward(self, input: Tensor) -> Tensor:
        return plait.fold(
            input, self._size, self._window, dilation=self._dilation,
            padding=self._padding, stride=self._stride,
        )  # fmt: skip

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 12, 12),), ((5, 4), 2)),
            Sample((uniform(2, 6, 15),), ((5, 7), (3, 2), (1, 2), (1, 0), (2, 1))),
            Sample((uniform(8, 4),), (4, 2), {"stride": 2}, separable=False),
        ]
