"""Layers that change the order, the number or the sizes of axes.

Read first: `Reshape`, `Cropping1d`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .linear import sizes
from .module import Module
from .padding import ZeroPad1d
from .sample import Sample, uniform


class Permute(Module):
    """Puts the axes in another order. See `plait.permute_dims`.

    Args:
        dims: the axes of the input, all of them, in their order in the result.

    Input: any shape. Result: shape (input.shape[dims[0]], ...).

    Example:
        >>> import plait
        >>> from plait import nn
        >>> nn.Permute((0, 3, 1, 2))(plait.zeros(8, 32, 24, 3)).shape
        (8, 3, 32, 24)
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, input: Tensor) -> Tensor:
        return plait.permute_dims(input, self.dims)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(2, 3, 4),), ((0, 2, 1),), like_torch="never",
                reference=lambda _, x: np.transpose(x, (0, 2, 1)),
            )
        ]  # fmt: skip


class Reshape(Module):
    """Gives each example another shape, with the same elements in the same order.

    Args:
        shape: of one example, without the axis of the batch; one size may be -1, for
            what is left.

    Input: shape (n, ...). Result: shape (n, *shape).

    Raises:
        ArgumentError: more than one size is -1, or one is below.
        ShapeError: (calling it) the sizes do not multiply to those of an example.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        if self.shape.count(-1) > 1 or min(self.shape, default=0) < -1:
            raise ArgumentError(
                "[Reshape] this is no shape", got=f"shape={self.shape}",
                expected="sizes of at least 0, one of which may be -1",
            )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        count = math.prod(input.shape[1:])
        shape = list(self.shape)
        if -1 in shape:
            others = -math.prod(shape)
            shape[shape.index(-1)] = count // others if others else 0
        if input.ndim < 1 or math.prod(shape) != count:
            raise ShapeError(
                "[Reshape] an example has not as many elements",
                got=f"shape {input.shape} for shape={self.shape}",
                expected=f"(n, ...) with {math.prod(shape)} elements behind n"
                if -1 not in self.shape
                else "",
            )
        return input.reshape((input.shape[0], *shape))

    def extra_repr(self) -> str:
        return f"shape={self.shape}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4, 2),), ((2, -1, 2),), like_torch="never",
                reference=lambda _, x: x.reshape((3, 2, 2, 2)),
            ),
            Sample(
                (uniform(0, 6),), ((3, 2),), like_torch="never",
                reference=lambda _, x: x.reshape((0, 3, 2)),
            ),
        ]  # fmt: skip


class RepeatVector(Module):
    """Repeats each vector as the steps of a sequence.

    Args:
        n: how often.

    Input: shape (batch, features). Result: shape (batch, n, features).

    Raises:
        ArgumentError: `n` is no integer of at least 0.
        ShapeError: (calling it) the input has not two axes.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        sizes("RepeatVector", n=n)
        self.n = n

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 2:
            raise ShapeError(
                "[RepeatVector] the input must have two axes",
                got=f"shape {input.shape}",
                expected="(batch, features)",
            )
        batch, features = input.shape
        return plait.broadcast_to(input.unsqueeze(1), (batch, self.n, features))

    def extra_repr(self) -> str:
        return f"n={self.n}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4),), (2,), like_torch="never",
                reference=lambda _, x: np.stack([x, x], 1),
            )
        ]  # fmt: skip


class _Cropping(ZeroPad1d):
    """Padding by less than nothing."""

    def __init__(self, cropping: int | Sequence[int]) -> None:
        super().__init__(cropping)
        self.cropping = self.padding
        name = type(self).__name__
        if min(self.cropping) < 0:
            raise ArgumentError(
                f"[{name}] less than nothing cannot be cut off",
                got=f"cropping={self.cropping}",
                expected="integers of at least 0",
                fix=f"to add zeros, use {name.replace('Cropping', 'ZeroPad')}",
            )
        self.padding = tuple(-n for n in self.cropping)

    def extra_repr(self) -> str:
        return f"{self.cropping}"

    @classmethod
    def samples(cls) -> list[Sample]:
        rank = cls.rank
        shape = (2, 2, 5, 6, 7)[: 2 + rank]
        cut = (2, 1, 0, 3, 1, 2)[: 2 * rank]

        def reference(_: Module, x: np.ndarray) -> Any:
            pairs = list(zip(cut[::2], cut[1::2], strict=True))[::-1]
            places = zip(pairs, shape[2:], strict=True)
            kept: Any = [..., *(slice(a, n - b) for (a, b), n in places)]
            return x[tuple(kept)]

        def even(_: Module, x: np.ndarray) -> Any:
            kept: Any = [..., *[slice(1, -1)] * rank]
            return x[tuple(kept)]

        x = uniform(*shape)
        return [
            Sample((x,), (cut,), like_torch="never", reference=reference),
            Sample((x,), (1,), like_torch="never", reference=even),
        ]


class Cropping1d(_Cropping):
    """Cuts off the ends of the last axis: what `ZeroPad1d` adds.

    Args:
        cropping: how much, an integer or two, before and after.

    Input: shape (n, channels, length), or without n. Result: the same but for the
    length.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too short.
    """

    rank = 1


class Cropping2d(_Cropping):
    """Cuts off the ends of height and width: what `ZeroPad2d` adds.

    Args:
        cropping: how much, an integer or four: left, right, top, bottom, the last axis
            first as in all padding.

    Input: shape (n, channels, height, width), or without n. Result: the same but for
    height and width.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 2


class Cropping3d(_Cropping):
    """Cuts off the ends of depth, height and width: what `ZeroPad3d` adds.

    Args:
        cropping: how much, an integer or six: before and after the width, then the
            height, then the depth.

    Input: shape (n, channels, depth, height, width), or without n. Result: the same but
    for the spatial sizes.

    Raises:
        ArgumentError: a number is negative, or there are not as many as needed.
        ShapeError: (calling it) the input has other axes, or is too small.
    """

    rank = 3
