"""Pooling undone: elements put back to where they were found.

Read first: `MaxUnpool1d`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import plait
from plait import Tensor

from ..arguments import Sizes
from .sample import Sample, uniform
from .spatial import Spatial


class _MaxUnpool(Spatial):
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0
    ) -> None:
        super().__init__()
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride = (
            self.kernel_size if stride is None else self._each("stride", stride, 1)
        )
        self.padding = self._each("padding", padding)

    def forward(
        self,
        input: Tensor,
        indices: Tensor,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the elements put back to their places.

        Args:
            output_size: the spatial sizes of the result, or its whole shape.
        """
        self._check(input)
        size = None if output_size is None else tuple(output_size)[-self.rank :]
        return plait.max_unpool(
            input, indices, self.kernel_size, stride=self.stride, padding=self.padding,
            size=size,
        )  # fmt: skip

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {1: (3,), 2: (2, 3), 3: (2, 1, 2)}[cls.rank]
        x = uniform(2, 3, *sizes)
        # The first, then the last element of each window of 2 on each axis.
        found = [
            Sample((x, _corners(x.shape, sizes, last)), (2,)) for last in (False, True)
        ]
        one = found[0].inputs
        return [*found, Sample((one[0][0], one[1][0]), (2, 2), separable=False)]


def _corners(shape: tuple[int, ...], sizes: tuple[int, ...], last: bool) -> np.ndarray:
    """Return where windows of 2 on each axis begin, or end."""
    whole = tuple(2 * n for n in sizes)
    lines = [np.arange(n) * 2 + last for n in sizes]
    places = np.ravel_multi_index(np.meshgrid(*lines, indexing="ij"), whole)
    return np.broadcast_to(places, shape).astype(np.int64)


class MaxUnpool1d(_MaxUnpool):
    """Puts elements back to where `MaxPool1d` found them, among zeros.

    Args:
        kernel_size, stride, padding: those of the `MaxPool1d`.

    Input: shape (n, channels, m), or without n; and indices of that shape, as
    `MaxPool1d(..., return_indices=True)` returns them; and `output_size`, where several
    lengths lead to m. Result: shape (n, channels, length), by default with
    length = (m - 1) * stride - 2 * padding + kernel_size.

    Of elements with equal indices the last one stays.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the shapes do not fit, or no such pool has an input of
            that size.
        IndexingError: (calling it) an index is out of range.

    Source: M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional
    networks", 2014.
    """

    rank = 1


class MaxUnpool2d(_MaxUnpool):
    """As `MaxUnpool1d`, for `MaxPool2d`.

    Args:
        kernel_size, stride, padding: those of the `MaxPool2d`.

    Input: shape (n, channels, height, width), or without n, and indices of that shape.
    Result: the same axes, with sizes as in `MaxUnpool1d`.
    """

    rank = 2


class MaxUnpool3d(_MaxUnpool):
    """As `MaxUnpool1d`, for `MaxPool3d`.

    Args:
        kernel_size, stride, padding: those of the `MaxPool3d`.

    Input: shape (n, channels, depth, height, width), or without n, and indices of that
    shape. Result: the same axes, with sizes as in `MaxUnpool1d`.
    """

    rank = 3
