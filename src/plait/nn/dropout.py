"""Layers that leave out random parts of their input while training.

Read first: `Dropout`, `Dropout1d`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

import plait
from plait import Tensor

from ..arguments import Probability
from ..errors import ArgumentError, ShapeError
from .module import Module
from .sample import Sample, uniform


class _Dropout(Module):
    """Leaves out elements in training; hands on its input in evaluation mode."""

    _shown = ("p", "inplace")

    def __init__(self, p: Probability = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = p
        self.inplace = inplace

    def _shared(self, input: Tensor) -> tuple[int, ...]:
        """Return the axes along which elements are left out together."""
        return ()

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the input with elements left out.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        shared = self._shared(input)
        if not self.training or self.p == 0:
            return input
        return self._left_out(input, key, shared)

    def _left_out(
        self, input: Tensor, key: Tensor | None, shared: tuple[int, ...]
    ) -> Tensor:
        return plait.dropout(input, self.p, key=key, shared=shared)

    @classmethod
    def samples(cls) -> list[Sample]:
        return _samples(uniform(3, 4))


def _samples(*inputs: np.ndarray) -> list[Sample]:
    """Return samples with all kinds of probabilities, for each input."""
    return [
        sample
        for x in inputs
        for sample in (
            Sample((x,), (0.3,), like_torch="eval"),
            Sample((x,), (0.0,)),
            Sample((x,), (1.0,), like_torch="eval"),
        )
    ]


class Dropout(_Dropout):
    """In training, sets elements to 0 with probability `p` and divides others by 1 - p.

    In evaluation mode it hands on its input. With p = 1 the result is 0.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: `p` is out of range.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014.
    """


class _Channels(_Dropout):
    """Leaves out whole channels, elements along the spatial axes together."""

    # Pairs: axes of the input, and how many of them are of space.
    _ranks: ClassVar[tuple[tuple[int, int], ...]]

    def _shared(self, input: Tensor) -> tuple[int, ...]:
        ranks = dict(self._ranks)
        if input.ndim not in ranks:
            expected = " or ".join(str(rank) for rank in ranks)
            raise ShapeError(
                f"[{type(self).__name__}] the number of axes is wrong",
                got=f"shape {input.shape}",
                expected=f"{expected} axes",
            )
        return tuple(range(-ranks[input.ndim], 0))

    @classmethod
    def samples(cls) -> list[Sample]:
        shapes = {2: (3, 4), 3: (2, 3, 4), 4: (2, 3, 2, 3), 5: (2, 3, 1, 2, 2)}
        return _samples(*(uniform(*shapes[rank]) for rank, _ in cls._ranks))


class Dropout1d(_Channels):
    """In training, sets whole channels to 0 with probability `p`; see `Dropout`.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: shape (n, channels, length), or without n. Result: the same shape.

    Raises:
        ArgumentError: `p` is out of range.
        ShapeError: (calling it) the input has other axes.

    Source: J. Tompson et al., "Efficient object localization using convolutional
    networks", 2015.
    """

    _ranks = ((2, 1), (3, 1))


class Dropout2d(_Channels):
    """As `Dropout1d`, for images: in training, sets whole channels to 0.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: shape (n, channels, height, width), or (n, channels, length): as in PyTorch,
    three axes are never an image without n. Result: the same shape.

    Raises:
        ArgumentError: `p` is out of range.
        ShapeError: (calling it) the input has other axes.

    Source: J. Tompson et al., "Efficient object localization using convolutional
    networks", 2015.
    """

    _ranks = ((3, 1), (4, 2))


class Dropout3d(_Channels):
    """As `Dropout1d`, for volumes: in training, sets whole channels to 0.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: shape (n, channels, depth, height, width), or without n. Result: the same
    shape.

    Raises:
        ArgumentError: `p` is out of range.
        ShapeError: (calling it) the input has other axes.

    Source: J. Tompson et al., "Efficient object localization using convolutional
    networks", 2015.
    """

    _ranks = ((4, 3), (5, 3))


class AlphaDropout(_Dropout):
    """In training, sets elements to the lower limit of SELU with probability `p`.

    All are then scaled and shifted, so that mean 0 and variance 1 stay. In evaluation
    mode it hands on its input. See `plait.alpha_dropout` for the formula.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: `p` is out of range.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    def _left_out(
        self, input: Tensor, key: Tensor | None, shared: tuple[int, ...]
    ) -> Tensor:
        return plait.alpha_dropout(input, self.p, key=key, shared=shared)


class FeatureAlphaDropout(AlphaDropout):
    """As `AlphaDropout`, of whole channels, with all elements behind them.

    Args:
        p: with which probability, in 0..1.
        inplace: has no effect: tensors are not changed in place.

    Input: shape (n, channels, ...). Result: the same shape.

    Raises:
        ArgumentError: `p` is out of range.
        ShapeError: (calling it) the input has less than two axes.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    def _shared(self, input: Tensor) -> tuple[int, ...]:
        if input.ndim < 2:
            raise ShapeError(
                "[FeatureAlphaDropout] axis 1 holds the channels",
                got=f"shape {input.shape}",
            )
        return tuple(range(2, input.ndim))

    @classmethod
    def samples(cls) -> list[Sample]:
        return _samples(uniform(2, 3, 4, 2))


class StochasticDepth(Module):
    """In training, sets whole examples to 0 with probability `p`; else hands them on.

    Before the sum of a residual block it leaves out the block. What stays is divided by
    1 - p.

    Args:
        p: in 0..1.
        mode: "row", each example by itself, or "batch", all together.

    Input: shape (n, ...). Result: the same.

    Raises:
        ArgumentError: `p` is out of range, or there is no such mode.

    Source: G. Huang et al., "Deep networks with stochastic depth", 2016.
    """

    _shown = ("p", "mode")

    def __init__(self, p: Probability, mode: str = "row") -> None:
        super().__init__()
        if mode not in ("row", "batch"):
            raise ArgumentError(
                "[StochasticDepth] there is no such mode", got=repr(mode),
                expected='"row" or "batch"',
            )  # fmt: skip
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the input, of which examples may be left out.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        if not self.training or self.p == 0:
            return input
        shared = tuple(range(1 if self.mode == "row" else 0, input.ndim))
        return plait.dropout(input, self.p, key=key, shared=shared)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (0.3,), reference=lambda _, x: x),
            Sample((uniform(3, 4),), (0.5, "batch"), reference=lambda _, x: x),
        ]
