"""Losses of margins and of distances, as layers.

Formulas, gradients and sources stand with the functions.

Read first: `HingeEmbeddingLoss`, `TripletMarginLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import NotNegative, Reduction
from ..errors import ArgumentError
from .criterion import (
    WEIGHTS,
    Criterion,
    WeightedCriterion,
    reduced,
    reductions,
    references,
    signs,
)
from .sample import Sample, integers, uniform


class HingeEmbeddingLoss(Criterion):
    """The input where the target is 1, else what it lacks to `margin`.

    See `plait.hinge_embedding_loss`.

    Args:
        margin: the wanted size of the input where the target is -1.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: distances and targets, shapes (...) and (...). The target is 1 or -1. Result:
    a scalar, or (...) for "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.hinge_embedding_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), signs(3, 4), margin=0.7)


class MarginRankingLoss(Criterion):
    """What the greater input lacks to exceed the other by `margin`.

    See `plait.margin_ranking_loss`.

    Args:
        margin: the wanted difference.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: two inputs and a target, shapes (...), (...) and (...). The target is 1 where
    the first shall be greater, -1 where the second. Result: a scalar, or (...) for
    "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return plait.margin_ranking_loss(input1, input2, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(5), uniform(5, high=1.0)
        return reductions(x, y, signs(5), margin=0.3, wrt=(0, 1))


class SoftMarginLoss(Criterion):
    """log(1 + exp(-target * input)). See `plait.soft_margin_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). The target is 1 or -1. Result: a scalar, or (...) for
    "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.soft_margin_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), signs(3, 4))


class MultiMarginLoss(WeightedCriterion):
    """What the target's class lacks to exceed the others by `margin`.

    See `plait.multi_margin_loss`.

    Args:
        p: 1 or 2, the power.
        margin: the wanted distance.
        weight: a factor for each class, shape (classes,). Default: 1.
        reduction: "mean" or "sum" over all examples, or "none".

    Attributes:
        weight: the given one, a buffer; or None.

    Input: scores, shape (n, classes) or (classes,), and class numbers, shape (n,) or
    (). Result: a scalar, or shape (n,) or () for "none".
    """

    _settings = ("p", "margin")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.multi_margin_loss(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4), integers(3, high=4)
        return [
            *reductions(x, y),
            *reductions(x, y, p=2, margin=0.7, weight=WEIGHTS),
        ]


class MultiLabelMarginLoss(Criterion):
    """What the targets' classes lack to exceed the others by 1.

    See `plait.multilabel_margin_loss`.

    Args:
        reduction: "mean" or "sum" over all examples, or "none".

    Input: scores, shape (n, classes) or (classes,), and class numbers of the same
    shape: those of the right classes, then -1. Result: a scalar, or shape (n,) or ()
    for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.multilabel_margin_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        labels = np.array([[3, 0, -1, 1], [1, -1, 2, 3], [0, 1, 2, 3]])
        return reductions(uniform(3, 4), labels)


class MultiLabelSoftMarginLoss(WeightedCriterion):
    """The mean over the classes of the cross entropy of logits.

    See `plait.multilabel_soft_margin_loss`.

    Args:
        weight: a factor for each class, shape (classes,). Default: 1.
        reduction: "mean" or "sum" over all examples, or "none".

    Attributes:
        weight: the given one, a buffer; or None.

    Input: logits and targets of 0 or 1, shapes (..., classes) and (..., classes).
    Result: a scalar, or shape (...) for "none".
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.multilabel_soft_margin_loss(
            input, target, self.weight, **self._options()
        )

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4), integers(3, 4, high=2) * 1.0
        return [*reductions(x, y), *reductions(x, y, weight=WEIGHTS)]


class CosineEmbeddingLoss(Criterion):
    """How far two vectors point apart, or lack to do so by `margin`.

    See `plait.cosine_embedding_loss`.

    Args:
        margin: the cosine that vectors which do not belong together may have.
        reduction: "mean" or "sum" over all examples, or "none".

    Input: two of shape (n, features) or (features,), and a target of 1 for vectors that
    belong together, else -1, shape (n,) or (). Result: a scalar, or shape (n,) or ()
    for "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return plait.cosine_embedding_loss(input1, input2, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(5, 3), uniform(5, 3, low=-1.0)
        return reductions(x, y, signs(5), margin=0.1, wrt=(0, 1))


class TripletMarginLoss(Criterion):
    """What the negative lacks to be farther off than the positive by `margin`.

    See `plait.triplet_margin_loss`.

    Args:
        margin: the wanted difference of distances.
        p: the order of the norm.
        eps: added to differences, to keep norms from 0.
        swap: use the distance of positive and negative where it is smaller than that of
            anchor and negative.
        reduction: "mean" or "sum" over all triplets, or "none".

    Input: anchor, positive and negative, three of shape (..., features). Result: a
    scalar, or shape (...) for "none".
    """

    _settings = ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: NotNegative = 1e-6,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return plait.triplet_margin_loss(anchor, positive, negative, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(4, 3), uniform(4, 3, low=-1.0), uniform(4, 3, high=1.0))
        return [
            *reductions(*x, wrt=(0, 1, 2)),
            *reductions(*x, p=3.0, swap=True, margin=0.5),
        ]


class HingeLoss(Criterion):
    """max(0, margin - target * input). See `plait.hinge_loss`.

    Args:
        margin: by how much the right sign must win.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). The target is 1 or -1. Result: a scalar, or (...) for
    "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.hinge_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: np.maximum(0, 0.7 - x * y),
            uniform(3, 4), signs(3, 4), margin=0.7,
        )  # fmt: skip


class SquaredHingeLoss(Criterion):
    """max(0, margin - target * input) ** 2. See `plait.squared_hinge_loss`.

    Args:
        margin: by how much the right sign must win.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). The target is 1 or -1. Result: a scalar, or (...) for
    "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.squared_hinge_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: np.maximum(0, 1 - x * y) ** 2, uniform(3, 4), signs(3, 4)
        )


class CategoricalHingeLoss(Criterion):
    """max(0, 1 + wrong - right) of scores of classes.

    See `plait.categorical_hinge_loss`.

    Args:
        reduction: "mean" or "sum" over all examples, or "none".

    Input: scores, shape (n, classes), and class numbers, shape (n,), or ones and
    zeros, shape (n, classes). Result: a scalar, or shape (n,) for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.categorical_hinge_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> Any:
            one = np.eye(4)[y]
            gap = ((1 - one) * x).max(1) - (one * x).sum(1)
            return np.maximum(0, 1 + gap)

        x, y = uniform(3, 4), integers(3, high=4)
        return references(reference, x, y)


class ContrastiveLoss(Criterion):
    """Half the squared distance of pairs that belong together, half the square of
    what is lacking to `margin` for others. See `plait.contrastive_loss`.

    Args:
        margin: the wanted distance of pairs that do not belong together.
        reduction: "mean" or "sum" over all pairs, or "none".

    Input: two of shape (n, features), and a target of 1 for pairs that belong
    together, else 0, shape (n,). Result: a scalar, or shape (n,) for "none".
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return plait.contrastive_loss(input1, input2, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> Any:
            d = np.sqrt(((x - y) ** 2).sum(1) + 1e-12)
            return (t * d**2 + (1 - t) * np.maximum(0, 3 - d) ** 2) / 2

        x, y = uniform(5, 3), uniform(5, 3, low=-1.0)
        t = integers(5, high=2) * 1.0
        return references(reference, x, y, t, margin=3.0, wrt=(0, 1))


class TripletMarginWithDistanceLoss(Criterion):
    """What the negative lacks to be farther off than the positive by `margin`, by a
    distance of your own.

    Formula: max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        distance_function: a function, or a module, of two tensors of one shape, which
            returns a distance for each pair. Default: `plait.pairwise_distance`.
        margin: the wanted difference of distances, positive.
        swap: use d(positive, negative) where it is smaller than d(anchor, negative).
        reduction: "mean" or "sum" over all triplets, or "none".

    Input: three of shape (n, features). Result: a scalar, or shape (n,) for "none".

    Source: V. Balntas et al., "Learning shallow convolutional feature descriptors with
    triplet losses", 2016.
    """

    _settings = ("distance_function", "margin", "swap")

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if not margin > 0:
            raise ArgumentError(
                "[TripletMarginWithDistanceLoss] margin must be positive",
                got=f"margin={margin}",
            )
        self.distance_function = distance_function or plait.pairwise_distance
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        near = self.distance_function(anchor, positive)
        far = self.distance_function(anchor, negative)
        if self.swap:
            far = plait.minimum(far, self.distance_function(positive, negative))
        return reduced(plait.relu(near - far + self.margin), self.reduction)

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(4, 3), uniform(4, 3, low=-1.0), uniform(4, 3, high=1.0))
        return [
            *reductions(*x, wrt=(0, 1, 2)),
            *reductions(*x, swap=True, margin=0.5),
        ]
