"""Pooling of windows at random places.

Read first: `FractionalMaxPool2d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plait
from plait import Tensor

from ..arguments import Sizes
from ..errors import ArgumentError, ShapeError
from .parameter import Buffer
from .sample import Sample, distinct, uniform
from .spatial import Spatial


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
