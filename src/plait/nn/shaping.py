"""Layers that change the order, the number or the sizes of axes.

Read first: `Flatten`, `Reshape`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import ArgumentError, ShapeError
from .module import Module
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

    _shown = ("dims",)

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, input: Tensor) -> Tensor:
        return plait.permute_dims(input, self.dims)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(2, 3, 4),), ((0, 2, 1),),
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

    _shown = ("shape",)

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

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4, 2),), ((2, -1, 2),),
                reference=lambda _, x: x.reshape((3, 2, 2, 2)),
            ),
            Sample(
                (uniform(0, 6),), ((3, 2),),
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

    _shown = ("n",)

    def __init__(self, n: Size) -> None:
        super().__init__()
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

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (2,), reference=lambda _, x: np.stack([x, x], 1))
        ]


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim` into one. See `plait.flatten`.

    Args:
        start_dim: the first axis that is joined. Default: the one behind the batch.
        end_dim: the last one. Default: the last of all.

    Input: by default shape (n, ...). Result: shape
    (n, product of the sizes of the other axes).
    """

    _shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return plait.flatten(input, self.start_dim, self.end_dim)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 2, 4),)),
            Sample((uniform(2, 3, 4, 2),), (1, 2)),
            Sample((uniform(2, 3, 4),), (0, -1), separable=False),
        ]


class Unflatten(Module):
    """Splits an axis into several. See `plait.unflatten`.

    Args:
        dim: the axis.
        unflattened_size: the sizes of the new axes; they multiply to that of the axis.
            In place of a -1 stands what makes them do so.

    Input: shape (..., size, ...). Result: shape (..., *unflattened_size, ...).

    Raises:
        AxisError: (calling it) the input has no such axis.
        ShapeError: (calling it) the sizes do not multiply to that of the axis.
    """

    _shown = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return plait.unflatten(input, self.dim, self.unflattened_size)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 12),), (1, (3, 4))),
            Sample((uniform(3, 12, 2),), (-2, (2, -1))),
        ]
