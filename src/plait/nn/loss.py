"""Losses as layers. Formulas, gradients and sources stand with the functions.

Every loss has `reduction`: "mean" or "sum" over all elements, or "none".

Read first: `CrossEntropyLoss`, `MSELoss`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

import plait
from plait import Tensor

from ..arguments import NotNegative, Probability, Reduction
from .criterion import WEIGHTS, Criterion, WeightedCriterion, reductions, references
from .parameter import Buffer
from .sample import Sample, integers, uniform


class MSELoss(Criterion):
    """(input - target) ** 2. See `plait.mse_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.mse_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1))


class L1Loss(Criterion):
    """abs(input - target). See `plait.l1_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.l1_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1))


class SmoothL1Loss(Criterion):
    """A square over 2 * beta up to `beta`, then a line. See `plait.smooth_l1_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".
        beta: the size of the error from which on the loss is a line; not negative. With
            0 this is `L1Loss`.

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    _settings = ("beta",)

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.smooth_l1_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1), beta=0.7)


class HuberLoss(Criterion):
    """Half a square up to `delta`, then a line. See `plait.huber_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".
        delta: the size of the error from which on the loss is a line; positive.

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    _settings = ("delta",)

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.huber_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1), delta=0.7)


class PoissonNLLLoss(Criterion):
    """Negative log likelihood of counts. See `plait.poisson_nll_loss`.

    Args:
        log_input: the input is the logarithm of the expected count.
        full: add Stirling's approximation of the term that depends on the target alone.
        eps: added to the input before its logarithm, without `log_input`.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: expected counts, or their logarithms, and counts, shapes (...) and (...).
    Result: a scalar, or (...) for "none".
    """

    _settings = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: NotNegative = 1e-8,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.poisson_nll_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        counts = uniform(3, 4, low=0.5, high=3.5)
        return [
            *reductions(uniform(3, 4), counts),
            *reductions(uniform(3, 4, low=0.1), counts, log_input=False, full=True),
        ]


class GaussianNLLLoss(Criterion):
    """Negative log likelihood of a normal distribution. See `plait.gaussian_nll_loss`.

    Args:
        full: add the constant term.
        eps: the least variance.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: means, targets and variances, shapes (...), (...) and (...); variances may
    lack the last axis, or have 1 there. Result: a scalar, or (...) for "none".
    """

    _settings = ("full", "eps")

    def __init__(
        self,
        *,
        full: bool = False,
        eps: NotNegative = 1e-6,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        return plait.gaussian_nll_loss(input, target, var, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(3, 4), uniform(3, 4, low=0.0), uniform(3, 4, low=0.5))
        return [*reductions(*x, wrt=(0, 1, 2)), *reductions(*x, full=True)]


class CrossEntropyLoss(WeightedCriterion):
    """Cross entropy of logits and classes. See `plait.cross_entropy`.

    Args:
        weight: a factor for each class, shape (classes,). Default: 1.
        ignore_index: class numbers equal to it count for nothing.
        reduction: "mean" or "sum" over all examples, or "none". The mean of class
            numbers is weighted with `weight` and leaves ignored ones out.
        label_smoothing: the share of the target, in 0..1, that is spread over all
            classes.

    Attributes:
        weight: the given one, a buffer; or None.

    Input: logits, shape (n, classes, ...) or (classes,), and class numbers, shape
    (n, ...) or (), or probabilities of the shape of the logits. Result: a scalar, or
    shape (n, ...) or () for "none".
    """

    _settings = ("ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: Probability = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.cross_entropy(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return [
            *reductions(uniform(3, 4), integers(3, high=4)),
            *reductions(uniform(2, 4, 3), integers(2, 3, high=4), ignore_index=2),
            *reductions(uniform(3, 4), integers(3, high=4), label_smoothing=0.2),
            *reductions(uniform(3, 4), integers(3, high=4), weight=WEIGHTS),
            *reductions(uniform(3, 4), uniform(3, 4, low=0.1, high=0.4)),
        ]


class NLLLoss(WeightedCriterion):
    """Minus the input of the target's class. See `plait.nll_loss`.

    Args:
        weight: a factor for each class, shape (classes,). Default: 1.
        ignore_index: class numbers equal to it count for nothing.
        reduction: "mean" or "sum" over all examples, or "none". The mean is weighted
            with `weight` and leaves ignored ones out.

    Attributes:
        weight: the given one, a buffer; or None.

    Input: logarithms of probabilities, shape (n, classes, ...) or (classes,), and class
    numbers, shape (n, ...) or (). Result: a scalar, or shape (n, ...) or () for "none".
    """

    _settings = ("ignore_index",)

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.nll_loss(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return [
            *reductions(uniform(3, 4, high=0.0), integers(3, high=4)),
            *reductions(
                uniform(2, 4, 3, high=0.0), integers(2, 3, high=4), ignore_index=2
            ),
            *reductions(uniform(3, 4), integers(3, high=4), weight=WEIGHTS),
        ]


class BCELoss(WeightedCriterion):
    """Cross entropy of probabilities and targets in 0..1.

    See `plait.binary_cross_entropy`.

    Args:
        weight: a factor for each element, broadcast. Default: 1.
        reduction: "mean" or "sum" over all elements, or "none".

    Attributes:
        weight: the given one, a buffer; or None.

    Input: probabilities and targets, shapes (...) and (...). Result: a scalar, or (...)
    for "none".
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.binary_cross_entropy(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4, low=0.1, high=0.9), integers(3, 4, high=2) * 1.0
        return [*reductions(x, y), *reductions(x, y, weight=WEIGHTS)]


class BCEWithLogitsLoss(WeightedCriterion):
    """Cross entropy of logits and targets in 0..1.

    See `plait.binary_cross_entropy_with_logits`.

    Args:
        weight: a factor for each element, broadcast. Default: 1.
        reduction: "mean" or "sum" over all elements, or "none".
        pos_weight: a factor for the part of positive targets, broadcast. Default: 1.

    Attributes:
        weight, pos_weight: the given ones, buffers; or None.

    Input: logits and targets, shapes (...) and (...). Result: a scalar, or (...) for
    "none".
    """

    pos_weight: Buffer | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.binary_cross_entropy_with_logits(
            input, target, self.weight, self.pos_weight, **self._options()
        )

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4), integers(3, 4, high=2) * 1.0
        return [
            *reductions(x, y),
            *reductions(x, y, weight=WEIGHTS, pos_weight=2 * WEIGHTS),
        ]


class KLDivLoss(Criterion):
    """target * (log(target) - input). See `plait.kl_div`.

    Args:
        reduction: "mean" or "sum" over all elements, "none", or "batchmean": the sum
            over the number of examples, which is the divergence of mathematics.
        log_target: the target holds logarithms too.

    Input: logarithms of probabilities, and probabilities, shapes (...) and (...).
    Result: a scalar, or (...) for "none".
    """

    _settings = ("log_target",)

    def __init__(
        self,
        reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.kl_div(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4, high=0.0), uniform(3, 4, low=0.1, high=0.4)
        return [
            *reductions(x, y),
            *reductions(x, np.log(y), log_target=True),
            Sample((x, y), (), {"reduction": "batchmean"}, separable=False),
        ]


class LogCoshLoss(Criterion):
    """log(cosh(input - target)). See `plait.log_cosh_loss`.

    Args:
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.log_cosh_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: np.log(np.cosh(x - y)),
            uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1),
        )  # fmt: skip


class MAPELoss(Criterion):
    """The absolute error in percent of the target. See `plait.mape_loss`.

    Args:
        eps: the least size to divide by.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    _settings = ("eps",)

    def __init__(self, eps: NotNegative = 1e-7, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.mape_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: 100 * np.abs(x - y) / np.maximum(np.abs(y), 1e-7),
            uniform(3, 4), uniform(3, 4, low=1.0), wrt=(0, 1),
        )  # fmt: skip


class MSLELoss(Criterion):
    """The squared error of logarithms of numbers that are not negative.

    See `plait.msle_loss`.

    Args:
        eps: what smaller numbers are taken for.
        reduction: "mean" or "sum" over all elements, or "none".

    Input: shapes (...) and (...). Result: a scalar, or (...) for "none".
    """

    _settings = ("eps",)

    def __init__(self, eps: NotNegative = 1e-7, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.msle_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return references(
            lambda x, y: (np.log1p(np.maximum(x, 1e-7)) - np.log1p(y)) ** 2,
            uniform(3, 4), uniform(3, 4, low=0.1), wrt=(0, 1),
        )  # fmt: skip
