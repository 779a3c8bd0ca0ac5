"""Pooling by powers and at random places, and pooling undone.

Read first: `LPPool1d`, `MaxUnpool1d`, `FractionalMaxPool2d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .parameter import Buffer
from .pooling import distinct
from .sample import Sample, uniform
from .spatial import Spatial

Sizes = int | Sequence[int]


class _LPPool(Spatial):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if not norm_type > 0:
            raise ArgumentError(
                f"[{type(self).__name__}] norm_type must be positive",
                got=f"norm_type={norm_type}",
            )
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode
        self._window = self._each("kernel_size", kernel_size, 1)
        self._stride = (
            self._window if stride is None else self._each("stride", stride, 1)
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return plait.lp_pool(
            input, self.norm_type, self._window, stride=self._stride,
            ceil_mode=self.ceil_mode,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, ceil_mode={self.ceil_mode}"
        )

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {1: (7,), 2: (5, 7), 3: (3, 4, 5)}[cls.rank]
        x = uniform(2, 3, *sizes)
        return [
            Sample((x,), (2, 2)),
            Sample((np.abs(x),), (1.5, 3, 2), {"ceil_mode": True}),
            Sample((np.abs(x[0]),), (3.0, 2, 1), separable=False),
            Sample((uniform(0, 3, *sizes),), (2.0, 2)),
        ]


class LPPool1d(_LPPool):
    """The root of the sum of the powers of each window: its p-norm, for an even p.

    Formula: (sum of x ** p) ** (1 / p).

    Args:
        norm_type: p, above 0. At 1, the sum; towards infinity, the greatest element.
            Elements are not made positive: for an odd p negative sums give nan.
        kernel_size: the size of the window.
        stride: how far the window moves. Default: its size.
        ceil_mode: also take a last window that is not whole; its sum is scaled up to
            that of a whole one.

    Input: shape (n, channels, length), or without n. Result: shape (n, channels, m),
    with m = floor((length - kernel_size) / stride) + 1, or with ceil in place of floor.

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is smaller than the
            window.

    Source: P. Sermanet, S. Chintala, Y. LeCun, "Convolutional neural networks applied
    to house numbers digit classification", 2012.
    """

    rank = 1


class LPPool2d(_LPPool):
    """As `LPPool1d`, over height and width, each with its own settings.

    Args:
        norm_type, kernel_size, stride, ceil_mode: those of `LPPool1d`.

    Input: shape (n, channels, height, width), or without n. Result: the same axes, with
    sizes as in `LPPool1d`.
    """

    rank = 2


class LPPool3d(_LPPool):
    """As `LPPool1d`, over depth, height and width, each with its own settings.

    Args:
        norm_type, kernel_size, stride, ceil_mode: those of `LPPool1d`.

    Input: shape (n, channels, depth, height, width), or without n. Result: the same
    axes, with sizes as in `LPPool1d`.
    """

    rank = 3


class _MaxUnpool(Spatial):
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

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )

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


class _FractionalMaxPool(Spatial):
    _random_samples: Buffer | None

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(
                f"[{name}] either output_size or output_ratio is needed",
                got=f"output_size={output_size}, output_ratio={output_ratio}",
            )
        self.output_size = (
            None if output_size is None else self._each("output_size", output_size, 1)
        )
        given: Any = output_ratio
        many = isinstance(given, (tuple, list))
        ratios = tuple(given) if many else (given,) * self.rank
        self.output_ratio = None if output_ratio is None else ratios
        if output_ratio is not None and not (
            len(ratios) == self.rank
            and all(isinstance(r, (int, float)) and 0 < r < 1 for r in ratios)
        ):
            raise ArgumentError(
                f"[{name}] output_ratio does not fit",
                got=f"output_ratio={output_ratio!r}",
                expected="a number between 0 and 1, or one for each spatial axis",
            )

    def forward(
        self, input: Tensor, key: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the greatest elements, and where they stand if `return_indices`.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        self._check(input)
        if input.ndim == self.rank + 1:
            found = self.forward(input.unsqueeze(0), key)
            if isinstance(found, tuple):
                return found[0].squeeze(0), found[1].squeeze(0)
            return found.squeeze(0)
        size = self.output_size
        if size is None:
            assert self.output_ratio is not None
            spatial = input.shape[2:]
            size = tuple(
                int(n * r) for n, r in zip(spatial, self.output_ratio, strict=True)
            )
            if 0 in size:
                raise ShapeError(
                    f"[{type(self).__name__}] the result would be empty",
                    got=f"shape {input.shape}, output_ratio={self.output_ratio}",
                )
        samples: Tensor | None = self._random_samples
        if samples is None:
            samples = plait.random.uniform(shape=(*input.shape[:2], self.rank), key=key)
        pool = (
            plait.fractional_max_pool_with_indices if self.return_indices
            else plait.fractional_max_pool
        )  # fmt: skip
        return pool(input, samples, self.kernel_size, size)

    def extra_repr(self) -> str:
        wanted = (
            f"output_ratio={self.output_ratio}" if self.output_size is None
            else f"output_size={self.output_size}"
        )  # fmt: skip
        return f"kernel_size={self.kernel_size}, {wanted}"

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {2: (6, 7), 3: (6, 6, 7)}[cls.rank]
        x = distinct(2, 3, *sizes)
        given = {"_random_samples": uniform(2, 3, cls.rank, low=0.0, high=1.0)}
        return [
            Sample((x,), (2, 3), given, separable=False),
            Sample((x,), (3, None, 0.5), given, separable=False),
            Sample(
                (x,), (2, (2, 3, 4)[: cls.rank], None, True), given, separable=False
            ),
            Sample(
                (x[0],), (2, 3), {"_random_samples": given["_random_samples"][:1]},
                separable=False,
            ),
        ]  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """The greatest element of each of so many windows, at places that are random.

    Windows begin about (n - kernel_size) / (output_size - 1) apart on an axis of n
    elements, now a little more, now a little less, and the last one ends the axis. They
    are drawn at every call, in evaluation mode too, for each channel of each example.
    See `plait.fractional_max_pool` for the formula.

    Args:
        kernel_size: the size of the window, an integer or one for each axis.
        output_size: the size of the result, an integer or one for each axis.
        output_ratio: in place of `output_size`, which is then floor(n * output_ratio);
            between 0 and 1, a number or one for each axis.
        return_indices: also return where in the spatial axes of the input each element
            stands, in row-major order, int64.
        _random_samples: the random numbers, shape (n, channels, 2), in 0..1. Default:
            they are drawn.

    Input: shape (n, channels, height, width), or without n. Result: shape
    (n, channels, *output_size).

    Raises:
        ArgumentError: a setting has a wrong value.
        ShapeError: (calling it) the input has other axes, or is too small.

    Source: B. Graham, "Fractional max-pooling", 2014.
    """

    rank = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """As `FractionalMaxPool2d`, for volumes.

    Args:
        kernel_size, output_size, output_ratio, return_indices: those of
            `FractionalMaxPool2d`.
        _random_samples: the random numbers, shape (n, channels, 3), in 0..1. Default:
            they are drawn.

    Input: shape (n, channels, depth, height, width), or without n. Result: shape
    (n, channels, *output_size).
    """

    rank = 3
