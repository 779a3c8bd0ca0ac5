"""Activation functions that Keras, Torch7, DL4J or ConvNetJS have and PyTorch lacks.

Read first: `CReLU`, `Maxout`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import ArgumentError, ShapeError
from .linear import axis_number
from .module import Module
from .sample import Sample, uniform


class Exponential(Module):
    """exp(x). See `plait.exp`.

    Input: any shape. Result: the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.exp(input)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),), reference=lambda _, x: np.exp(x))]


class Squareplus(Module):
    """(x + sqrt(x ** 2 + b)) / 2, a smooth max(x, 0). See `plait.squareplus`.

    Args:
        b: how smooth the bend is.

    Input: any shape. Result: the same.
    """

    _shown = ("b",)

    def __init__(self, b: float = 4.0) -> None:
        super().__init__()
        self.b = b

    def forward(self, input: Tensor) -> Tensor:
        return plait.squareplus(input, self.b)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Squareplus, x: np.ndarray) -> np.ndarray:
            result: np.ndarray = (x + np.sqrt(x * x + layer.b)) / 2
            return result

        x = uniform(3, 4)
        return [
            Sample((x,), reference=reference),
            Sample((x,), (0.5,), reference=reference),
        ]


class SparsePlus(Module):
    """0 up to -1, (x + 1) ** 2 / 4 up to 1, and then x. See `plait.sparse_plus`.

    Input: any shape. Result: the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.sparse_plus(input)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(_: Module, x: np.ndarray) -> np.ndarray:
            return np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4))

        return [Sample((uniform(3, 4),), reference=reference)]


class SparseSigmoid(Module):
    """min(max((x + 1) / 2, 0), 1), the slope of SparsePlus. See `plait.sparse_sigmoid`.

    Input: any shape. Result: the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.sparse_sigmoid(input)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), reference=lambda _, x: np.clip((x + 1) / 2, 0, 1))
        ]


class Sparsemax(Module):
    """The nearest point whose parts are not negative and sum to 1: a sparse softmax.

    See `plait.sparsemax`.

    Args:
        dim: the axis along which they sum to 1.

    Input: any shape. Result: the same.

    Source: A. Martins, R. Astudillo, "From softmax to sparsemax", 2016.
    """

    _shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return plait.sparsemax(input, self.dim)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Sparsemax, x: np.ndarray) -> Any:
            # The sum of max(x - t, 0) falls with t: bisect.
            low = x.max(layer.dim, keepdims=True) - 1
            high = low + 1
            for _ in range(80):
                middle = (low + high) / 2
                total = np.maximum(x - middle, 0).sum(layer.dim, keepdims=True)
                low = np.where(total > 1, middle, low)
                high = np.where(total > 1, high, middle)
            return np.maximum(x - low, 0)

        return [
            Sample((uniform(3, 4),), reference=reference),
            Sample((uniform(2, 4, 3),), (1,), reference=reference),
        ]


class Cube(Module):
    """x ** 3.

    Input: any shape. Result: the same.

    Source: D. Chen, C. Manning, "A fast and accurate dependency parser using neural
    networks", 2014.
    """

    def forward(self, input: Tensor) -> Tensor:
        return input * input * input

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),), reference=lambda _, x: x**3)]


class RationalTanh(Module):
    """1.7159 * tanh(2 x / 3), with a fraction in the place of the tanh.

    Formula: 1.7159 * sign(x) * (1 - 1 / (1 + y + y ** 2 + 1.41645 * y ** 4)), with
    y = abs(2 x / 3).

    Input: any shape. Result: the same.

    Source: Y. LeCun et al., "Efficient backprop", 1998, for the factors; DL4J for the
    fraction.
    """

    def forward(self, input: Tensor) -> Tensor:
        # Beyond, the fraction is less than half an ulp of 1; and powers stay finite.
        most = (2 / (1.41645 * plait.finfo(input.dtype).eps)) ** 0.25
        y = plait.clip(plait.abs(input * (2 / 3)), 0, most)
        below = 1 + y * (1 + y * (1 + y * y * 1.41645))
        return plait.sign(input) * (1 - 1 / below) * 1.7159

    @staticmethod
    def samples() -> list[Sample]:
        def reference(_: Module, x: np.ndarray) -> np.ndarray:
            y = np.abs(2 * x / 3)
            result: np.ndarray = (
                1.7159 * np.sign(x) * (1 - 1 / (1 + y + y**2 + 1.41645 * y**4))
            )
            return result

        return [Sample((uniform(3, 4),), reference=reference)]


class RectifiedTanh(Module):
    """max(tanh(x), 0).

    Input: any shape. Result: the same.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.relu(plait.tanh(input))

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), reference=lambda _, x: np.maximum(np.tanh(x), 0))
        ]


class CReLU(Module):
    """max(x, 0) and max(-x, 0), one behind the other: nothing is lost.

    Args:
        dim: the axis that becomes twice as long.

    Input: shape (n, channels, ...). Result: shape (n, 2 * channels, ...).

    Source: W. Shang et al., "Understanding and improving convolutional neural networks
    via concatenated rectified linear units", 2016.
    """

    _shown = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        axis = axis_number("CReLU", self.dim, input.shape)
        return plait.relu(plait.concat([input, -input], axis=axis))

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: CReLU, x: np.ndarray) -> Any:
            return np.maximum(np.concatenate([x, -x], layer.dim), 0)

        return [
            Sample((uniform(3, 4),), reference=reference),
            Sample((uniform(2, 3, 4),), (-1,), reference=reference),
        ]


class Maxout(Module):
    """The greatest of each few neighbours along an axis.

    Behind a `Linear(n, m * pieces)` it is a layer of m units, each the greatest of
    `pieces` linear maps.

    Args:
        pieces: how many neighbours there are.
        dim: the axis, whose size is a multiple of `pieces`.

    Input: shape (n, channels, ...). Result: shape (n, channels / pieces, ...).

    Raises:
        ArgumentError: `pieces` is less than 1.
        ShapeError: (calling it) the size of the axis is no multiple of `pieces`.

    Source: I. Goodfellow et al., "Maxout networks", 2013.
    """

    _shown = ("pieces", "dim")

    def __init__(self, pieces: Size = 2, dim: int = 1) -> None:
        super().__init__()
        if pieces == 0:
            raise ArgumentError("[Maxout] there is nothing to compare", got="pieces=0")
        self.pieces = pieces
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        axis = axis_number("Maxout", self.dim, input.shape)
        before, size, after = (
            input.shape[:axis], input.shape[axis], input.shape[axis + 1 :],
        )  # fmt: skip
        if size % self.pieces:
            raise ShapeError(
                "[Maxout] the axis cannot be divided into pieces",
                got=f"size {size} of axis {self.dim}, for pieces={self.pieces}",
                expected=f"a multiple of {self.pieces}",
            )
        shape = (*before, size // self.pieces, self.pieces, *after)
        return input.reshape(shape).max(axis + 1)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(3, 4),),
                reference=lambda _, x: np.maximum(x[:, ::2], x[:, 1::2]),
            ),
            Sample(
                (uniform(2, 3, 6),), (3, -1), reference=lambda _, x: np.stack(
                    [x[..., :3].max(-1), x[..., 3:].max(-1)], -1
                ),
            ),
        ]  # fmt: skip
