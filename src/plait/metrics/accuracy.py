"""How often the class of highest score is the right one.

Read first: `Accuracy`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .metric import Metric, as_tensor
from .sample import Sample, bits, classes, scores


def class_targets(name: str, output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Return scores and the numbers of the right classes.

    Args:
        name: the metric's.
        output: scores, shape (n, classes, ...).
        target: class numbers, integers of shape (n, ...), or scores of the right
            classes, of the shape of `output`.

    Raises:
        ShapeError: the shapes do not fit.
    """
    output, target = as_tensor(output), as_tensor(target)
    if output.ndim > 1 and target.shape == output.shape:
        return output, plait.argmax(target, axis=1)
    if output.ndim < 2 or target.shape != (output.shape[0], *output.shape[2:]):
        raise ShapeError(
            f"[{name}] scores and targets do not fit together",
            got=f"{output.shape} and {target.shape}",
            expected="(n, classes) and (n,)",
        )
    return output, target


def added(total: Tensor | None, part: Tensor) -> Tensor:
    """Return a total and one more part."""
    return part if total is None else total + part


def weights_of(name: str, weight: Any, shape: tuple[int, ...]) -> Tensor:
    """Return weights as they broadcast over the axes of examples, in float64.

    Raises:
        ShapeError: there is not one for each example, or for each element.
    """
    weight = as_tensor(weight).double()
    if weight.shape not in (shape, shape[:1]):
        raise ShapeError(
            f"[{name}] there must be a weight for each example",
            got=f"weights of shape {weight.shape}",
            expected=str(shape[:1]),
        )
    axes = [1] * (len(shape) - weight.ndim)
    found: Tensor = weight.reshape(*weight.shape, *axes)
    return found


class Accuracy(Metric):
    """The fraction of examples whose class is among the k classes of highest score.

    Of equal scores the class of the lower number counts as higher, as in `argmax`; an
    example whose scores are not numbers is wrong.

    Value: the fraction, NaN if nothing was added; for several k, by k.

    Args:
        topk: k, or several.
    """

    def __init__(self, topk: int | tuple[int, ...] = 1) -> None:
        every = (topk,) if isinstance(topk, int) else tuple(topk)
        if not every or not all(type(k) is int and k > 0 for k in every):
            raise ArgumentError(
                f"[{type(self).__name__}] topk must be an integer of at least 1, or "
                "several",
                got=repr(topk),
            )
        self.topk = topk
        self._every = every
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._right: Tensor | None = None
        self._count: Any = 0

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            output: scores of each class, shape (n, classes, ...).
            target: the right classes, integers, shape (n, ...), or ones and zeros of
                the shape of `output`.
            weight: of each example, shape (n,). Default: 1.

        Raises:
            ShapeError: the shapes are others, or there are fewer classes than k.
        """
        name = type(self).__name__
        output, target = class_targets(name, output, target)
        if output.shape[1] < max(self._every):
            raise ShapeError(
                f"[{name}] there are fewer classes than k",
                got=f"{output.shape[1]} classes, k = {max(self._every)}",
            )
        right = _right(output, target, self._every)
        count: Any = target.size
        if weight is not None:
            weight = weights_of(name, weight, target.shape)
            right = right * plait.expand_dims(weight, axis=-1)
            count = plait.broadcast_to(weight, target.shape).sum()
        axes = tuple(range(right.ndim - 1))
        self._right = added(self._right, plait.sum(right, axis=axes))
        self._count = self._count + count

    def value(self) -> Any:
        """Return the fraction; for several k, by k."""
        count = float(self._count)
        if self._right is None or not count:
            found = [math.nan] * len(self._every)
        else:
            found = [self._fraction(x / count) for x in self._right.tolist()]
        if isinstance(self.topk, int):
            return found[0]
        return dict(zip(self._every, found, strict=True))

    @staticmethod
    def _fraction(right: float) -> float:
        return right

    @staticmethod
    def samples() -> list[Sample]:
        x, y = scores(11, 4), classes(11, 4)
        rows = np.arange(11)

        def rank(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            order = np.argsort(-x, axis=1, kind="stable")
            found: np.ndarray = np.argmax(order == y[:, None], axis=1)
            return found

        return [
            Sample((x, y), lambda x, y: (x.argmax(1) == y).mean(), weighted=True),
            Sample((x, y), lambda x, y: (rank(x, y) < 3).mean(), (3,)),
            Sample(
                (x, np.eye(4)[y]),
                lambda x, y: {k: (rank(x, y.argmax(1)) < k).mean() for k in (1, 2)},
                ((1, 2),),
            ),
            Sample(
                (scores(3, 4, 5), classes(15, 4).reshape(3, 5)),
                lambda x, y: (x.argmax(1) == y).mean(),
                weighted=True,
            ),
            Sample((x[rows], y[rows]), lambda x, y: (rank(x, y) < 4).mean(), (4,)),
        ]


class ClassError(Accuracy):
    """The fraction of examples whose class is not among the k of highest score.

    Value: 1 - `Accuracy`; for several k, by k.

    Args:
        topk: k, or several.
    """

    @staticmethod
    def _fraction(right: float) -> float:
        return 1 - right

    @staticmethod
    def samples() -> list[Sample]:
        x, y = scores(11, 4), classes(11, 4)
        return [Sample((x, y), lambda x, y: (x.argmax(1) != y).mean(), weighted=True)]


def _right(output: Tensor, target: Tensor, topk: tuple[int, ...]) -> Tensor:
    """Return whether each target is among the k classes of highest score, by k at the
    last axis.
    """
    if topk == (1,):
        # In fewer steps: this runs for every batch. Of nan, which argmax finds, no
        # class is right.
        found = plait.argmax(output, axis=1) == target
        best = plait.max(output, axis=1)
        return plait.expand_dims(found & (best == best), axis=-1)
    classes = plait.arange(output.shape[1]).reshape(-1, *[1] * (output.ndim - 2))
    target = plait.expand_dims(target, axis=1)
    score = plait.where(classes == target, output, -math.inf)
    score = plait.max(score, axis=1, keepdims=True)
    # Written so that NaN, which compares as false, is ahead of all.
    ahead = ~(output <= score) | ((output == score) & (classes < target))
    rank = plait.sum(ahead, axis=1)
    return plait.expand_dims(rank, axis=-1) < plait.tensor(topk)


class BinaryAccuracy(Metric):
    """The fraction of yes-or-no answers that are right.

    Value: the fraction, NaN if nothing was added.

    Args:
        threshold: what is above it is a yes.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._right: Tensor | None = None
        self._count: Any = 0

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            output: scores, shape (n, ...).
            target: 1 for yes, else 0, of the same shape.
            weight: of each example, shape (n,), or of each element. Default: 1.

        Raises:
            ShapeError: the shapes differ.
        """
        output, target = as_tensor(output), as_tensor(target)
        if output.shape != target.shape:
            raise ShapeError(
                "[BinaryAccuracy] scores and targets differ in shape",
                got=f"{output.shape} and {target.shape}",
            )
        right = (output > self.threshold) == (target > 0.5)
        count: Any = target.size
        if weight is not None:
            weight = weights_of("BinaryAccuracy", weight, target.shape)
            right = right * weight
            count = plait.broadcast_to(weight, target.shape).sum()
        self._right = added(self._right, plait.sum(right))
        self._count = self._count + count

    def value(self) -> float:
        """Return the fraction."""
        count = float(self._count)
        return (
            float(self._right) / count
            if self._right is not None and count
            else math.nan
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (scores(9, 2), bits(9, 2)),
                lambda x, y: ((x > 0.6) == y).mean(), (0.6,), weighted=True,
            )
        ]  # fmt: skip
