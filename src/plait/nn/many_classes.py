"""Losses over many classes, such as the words of a language.

Read first: `AdaptiveLogSoftmaxWithLoss`, `LinearCrossEntropyLoss`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor

from ..arguments import Probability, Reduction, Size
from ..errors import ArgumentError, ShapeError
from .containers import ModuleList, Sequential
from .criterion import WEIGHTS, WeightedCriterion, reductions
from .linear import Linear
from .module import Module
from .sample import Sample, integers, uniform


class AdaptiveOutput(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` gives.

    Attributes:
        output: the logarithm of the probability of each target, shape (n,).
        loss: the mean of its negative, a scalar.
    """

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over many classes in clusters: frequent classes first, rarer ones
    behind smaller and smaller projections.

    The *head* has a score for each of the first `cutoffs[0]` classes and one for each
    cluster of rarer ones; a cluster's classes have a softmax of their own, over a
    projection to in_features / div_value ** i features. Every cluster is computed for
    every example, so that shapes are known: what is saved is the size of the clusters'
    projections.

    Args:
        in_features: the size of the input's last axis.
        n_classes: the number of classes, which must be sorted by frequency, the most
            frequent first.
        cutoffs: where clusters end: rising class numbers, the last below `n_classes`.
        div_value: by how much each cluster's projection is smaller than the last.
        head_bias: whether the head has an offset.
        device, dtype: of the parameters. Default: float32.

    Attributes:
        head: a `Linear` to cutoffs[0] + len(cutoffs) scores.
        tail: a `Sequential` of two `Linear` without offset for each cluster.

    Input: shape (n, in_features) and class numbers, shape (n,); or (in_features,) and
    (). Result: `AdaptiveOutput`.

    Source: E. Grave et al., "Efficient softmax approximation for GPUs", 2017.
    """

    def __init__(
        self,
        in_features: Size,
        n_classes: Size,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = [int(c) for c in cutoffs]
        rising = all(
            x < y for x, y in zip([0, *given], [*given, n_classes], strict=True)
        )
        if not given or given != list(cutoffs) or not rising:
            raise ArgumentError(
                "[AdaptiveLogSoftmaxWithLoss] the cutoffs do not fit",
                got=f"cutoffs={cutoffs!r} for n_classes={n_classes}",
                expected=f"rising integers from 1 to {n_classes - 1}",
            )
        if not 0 < div_value < math.inf:
            raise ArgumentError(
                "[AdaptiveLogSoftmaxWithLoss] div_value must be positive",
                got=repr(div_value),
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        like = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, given[0] + len(given), bias=head_bias, **like)
        self.tail = ModuleList()
        for i, (start, end) in enumerate(
            zip(self.cutoffs[:-1], self.cutoffs[1:], strict=True)
        ):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **like),
                    Linear(hidden, end - start, bias=False, **like),
                )
            )

    def forward(self, input: Tensor, target: Tensor) -> AdaptiveOutput:
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ShapeError(
                "[AdaptiveLogSoftmaxWithLoss] the shapes do not fit",
                got=f"input {input.shape}, target {target.shape}",
                expected=f"(n, {self.in_features}) and (n,), or without n",
            )
        classes = target.to(plait.int64)
        first = self.cutoffs[0]
        head = plait.log_softmax(self.head(input), -1)
        # A class of a cluster stands for its cluster in the head.
        place = classes
        inner = plait.zeros_like(head[..., 0])
        bounds = zip(self.cutoffs[:-1], self.cutoffs[1:], self.tail, strict=True)
        for i, (start, end, tail) in enumerate(bounds):
            own = (classes >= start) & (classes < end)
            place = plait.where(own, first + i, place)
            within = plait.where(own, classes - start, 0)
            chosen = -plait.nll_loss(
                plait.log_softmax(tail(input), -1), within, reduction="none"
            )
            inner = plait.where(own, chosen, inner)
        output = inner - plait.nll_loss(head, place, reduction="none")
        return AdaptiveOutput(output, -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """Return logarithms of the probabilities of all classes.

        Args:
            input: shape (n, in_features).

        Returns:
            Shape (n, n_classes).
        """
        first = self.cutoffs[0]
        head = plait.log_softmax(self.head(input), -1)
        parts = [head[..., :first]]
        for i, tail in enumerate(self.tail):
            own = plait.log_softmax(tail(input), -1)
            parts.append(own + head[..., first + i : first + i + 1])
        return plait.concat(parts, axis=-1)

    def predict(self, input: Tensor) -> Tensor:
        """Return the class of the highest probability of each example.

        Args:
            input: shape (n, in_features).

        Returns:
            Integers, shape (n,).
        """
        return plait.argmax(self.log_prob(input), axis=-1)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, n_classes={self.n_classes}, "
            f"cutoffs={self.cutoffs[:-1]}, div_value={self.div_value}, "
            f"head_bias={self.head_bias}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(5, 8), integers(5, high=12)
        return [
            Sample((x, y), (8, 12, [3, 7]), {"div_value": 2.0}),
            Sample((x, y), (8, 12, [4]), {"div_value": 2.0, "head_bias": True}),
        ]


class LinearCrossEntropyLoss(WeightedCriterion):
    """A linear map to scores of classes, and their cross entropy with the target, in
    parts, so that the scores of a whole batch are never in memory.

    Formula: cross_entropy(x @ weight.T + bias, target). Scores are computed for `chunk`
    examples at a time, and once more for the gradient, by one loop (`plait.scan` over
    `plait.recompute`): memory for chunk * num_classes scores instead of n *
    num_classes, for one more product.

    Args:
        in_features: the size of the input's last axis.
        num_classes: the number of classes.
        bias: whether the map has an offset.
        device, dtype: of the parameters. Default: float32.
        reduction: "mean" or "sum" over all examples, or "none".
        weight: a factor for each class, shape (num_classes,). Default: 1.
        ignore_index: class numbers equal to it contribute nothing.
        label_smoothing: the share of the target that is spread over all classes.
        chunk: how many examples at a time. Default: as many as there are features,
            where there are more examples than that and more classes than features,
            which is where it saves memory; else all.

    Attributes:
        linear: the `Linear` map.
        weight: the given one, a buffer; or None.

    Input: shape (n, in_features) and class numbers, shape (n,). Result: a scalar, or
    shape (n,) for "none".
    """

    _settings = ("ignore_index", "label_smoothing")

    def __init__(
        self,
        in_features: Size,
        num_classes: int,
        *,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: Reduction = "mean",
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: Probability = 0.0,
        chunk: int | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        if chunk is not None and chunk < 1:
            raise ArgumentError(
                "[LinearCrossEntropyLoss] chunk must be 1 or more", got=f"chunk={chunk}"
            )
        self.linear = Linear(
            in_features, num_classes, bias=bias, device=device, dtype=dtype
        )
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.chunk = chunk

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if input.ndim != 2 or target.shape != input.shape[:1]:
            raise ShapeError(
                "[LinearCrossEntropyLoss] the shapes do not fit",
                got=f"input {input.shape}, target {target.shape}",
                expected=f"(n, {self.linear.in_features}) and (n,)",
            )
        n = input.shape[0]
        chunk = self._chunk(n)
        if chunk >= n:
            return self._loss(input, target, self.reduction)
        # What is added to fill the last part is ignored.
        missing = -n % chunk
        inputs = plait.pad(input, ((0, missing), (0, 0)))
        targets = plait.pad(target, ((0, missing),), value=self.ignore_index)
        parts = (
            inputs.reshape(-1, chunk, input.shape[1]),
            targets.reshape(-1, chunk),
        )
        part = plait.recompute(lambda x, y: self._loss(x, y, "none"))
        _, losses = plait.scan(lambda carry, x: (carry, part(*x)), (), parts)
        losses = losses.reshape(-1)[:n]
        if self.reduction == "none":
            found: Tensor = losses
            return found
        total: Tensor = losses.sum()
        return total if self.reduction == "sum" else total / self._count(target)

    def _chunk(self, n: int) -> int:
        if self.chunk is not None:
            return self.chunk
        features, classes = self.linear.in_features, self.linear.out_features
        saves = n > features and classes > features
        return math.ceil(n / math.ceil(n / max(features, 1))) if saves else n

    def _loss(self, input: Tensor, target: Tensor, reduction: str) -> Tensor:
        return plait.cross_entropy(
            self.linear(input), target, self.weight,
            **{**self._options(), "reduction": reduction},
        )  # fmt: skip

    def _count(self, target: Tensor) -> Tensor:
        """Return what the mean divides by: weights of the classes that count."""
        counted = target != self.ignore_index
        if self.weight is None:
            count: Tensor = counted.to(self.linear.weight.dtype).sum()
            return count
        own = self.weight[plait.where(counted, target, 0)]
        return plait.where(counted, own, 0.0).sum()

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(7, 3), integers(7, high=4)
        smoothed = {"ignore_index": 2, "label_smoothing": 0.1, "weight": WEIGHTS}
        return [
            *_maps(x, y),
            *_maps(x, y, bias=True, **smoothed),
            *_in_parts(x, y, chunk=3, bias=True),
            *_in_parts(x, y, chunk=2, **smoothed),
            *_in_parts(x, y, chunk=7),
        ]


def _maps(x: np.ndarray, y: np.ndarray, **named: Any) -> list[Sample]:
    return [sample._replace(args=(3, 4)) for sample in reductions(x, y, **named)]


def _in_parts(x: np.ndarray, y: np.ndarray, **named: Any) -> list[Sample]:
    """Return samples of loops, which PyTorch's layer does not have."""
    return [
        sample._replace(like_torch="never", separable=False, reference=_at_once)
        for sample in _maps(x, y, **named)
    ]


def _at_once(layer: LinearCrossEntropyLoss, x: np.ndarray, y: np.ndarray) -> Any:
    scores = x @ layer.linear.weight.numpy().T
    if layer.linear.bias is not None:
        scores = scores + layer.linear.bias.numpy()
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    weight = np.ones(4) if layer.weight is None else layer.weight.numpy()
    one = np.eye(4)[y]
    share = layer.label_smoothing
    spread = one * (1 - share) + share / 4
    counted = y != layer.ignore_index
    losses = -(spread * log_p * weight).sum(1) * counted
    if layer.reduction == "none":
        return losses
    total = losses.sum()
    return total if layer.reduction == "sum" else total / (weight[y] * counted).sum()
