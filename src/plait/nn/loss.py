"""Losses as layers. Formulas, gradients and sources stand with the functions.

Every loss has `reduction`: "mean" or "sum" over all elements, or "none".

Read first: `CrossEntropyLoss`, `MSELoss`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import plait
from plait import Tensor

from .module import Module
from .parameter import Buffer
from .sample import Sample, integers, uniform

# Not drawn: `import plait` is a sixth quicker without NumPy's random numbers.
_WEIGHTS = np.array([0.75, 1.5, 0.5, 2.0])


def _signs(*shape: int) -> np.ndarray:
    return integers(*shape, high=2) * 2.0 - 1.0


def _reductions(
    *inputs: np.ndarray, wrt: tuple[int, ...] = (0,), **named: Any
) -> list[Sample]:
    """Return a sample for each reduction."""
    return [
        Sample(
            inputs, (), {**named, "reduction": reduction}, wrt,
            separable=reduction == "none",
        )
        for reduction in ("mean", "sum", "none")
    ]  # fmt: skip


class _Loss(Module):
    """A loss whose settings are attributes."""

    _settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction

    def _options(self) -> dict[str, Any]:
        names = (*self._settings, "reduction")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class _Weighted(_Loss):
    """A loss with weights that belong to its state but are not trained."""

    weight: Buffer | None

    def __init__(self, weight: Tensor | None, reduction: str) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """(input - target) ** 2. See `plait.mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.mse_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1))


class L1Loss(_Loss):
    """abs(input - target). See `plait.l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.l1_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1))


class SmoothL1Loss(_Loss):
    """A square over 2 * beta up to `beta`, then a line. See `plait.smooth_l1_loss`."""

    _settings = ("beta",)

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.smooth_l1_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1), beta=0.7)


class HuberLoss(_Loss):
    """Half a square up to `delta`, then a line. See `plait.huber_loss`."""

    _settings = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.huber_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), uniform(3, 4, low=0.0), wrt=(0, 1), delta=0.7)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of counts. See `plait.poisson_nll_loss`.

    Args:
        log_input: the input is the logarithm of the expected count.
        full: add Stirling's approximation of the term that depends on the target alone.
        eps: added to the input before its logarithm, without `log_input`.
        reduction: "mean", "sum" or "none".
    """

    _settings = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
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
            *_reductions(uniform(3, 4), counts),
            *_reductions(uniform(3, 4, low=0.1), counts, log_input=False, full=True),
        ]


class GaussianNLLLoss(_Loss):
    """Negative log likelihood of a normal distribution. See `plait.gaussian_nll_loss`.

    Args:
        full: add the constant term.
        eps: the least variance.
        reduction: "mean", "sum" or "none".
    """

    _settings = ("full", "eps")

    def __init__(
        self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        return plait.gaussian_nll_loss(input, target, var, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x = (uniform(3, 4), uniform(3, 4, low=0.0), uniform(3, 4, low=0.5))
        return [*_reductions(*x, wrt=(0, 1, 2)), *_reductions(*x, full=True)]


class CrossEntropyLoss(_Weighted):
    """Cross entropy of logits and classes. See `plait.cross_entropy`.

    Args:
        weight: of each class, shape (classes,).
        ignore_index: a target that counts for nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: the share of the target that is spread over all classes.

    Input: shape (n, classes, ...) or (classes,). Target: classes, shape (n, ...) or (),
    or probabilities of the input's shape.
    """

    _settings = ("ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.cross_entropy(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return [
            *_reductions(uniform(3, 4), integers(3, high=4)),
            *_reductions(uniform(2, 4, 3), integers(2, 3, high=4), ignore_index=2),
            *_reductions(uniform(3, 4), integers(3, high=4), label_smoothing=0.2),
            *_reductions(uniform(3, 4), integers(3, high=4), weight=_WEIGHTS),
            *_reductions(uniform(3, 4), uniform(3, 4, low=0.1, high=0.4)),
        ]


class NLLLoss(_Weighted):
    """Minus the input of the target's class. See `plait.nll_loss`.

    Args:
        weight: of each class, shape (classes,).
        ignore_index: a target that counts for nothing.
        reduction: "mean", "sum" or "none".

    Input: logarithms of probabilities, shape (n, classes, ...) or (classes,). Target:
    classes, shape (n, ...) or ().
    """

    _settings = ("ignore_index",)

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.nll_loss(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return [
            *_reductions(uniform(3, 4, high=0.0), integers(3, high=4)),
            *_reductions(
                uniform(2, 4, 3, high=0.0), integers(2, 3, high=4), ignore_index=2
            ),
            *_reductions(uniform(3, 4), integers(3, high=4), weight=_WEIGHTS),
        ]


class BCELoss(_Weighted):
    """Cross entropy of probabilities and targets in 0..1.

    See `plait.binary_cross_entropy`.

    Args:
        weight: of each element, broadcast.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.binary_cross_entropy(input, target, self.weight, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4, low=0.1, high=0.9), integers(3, 4, high=2) * 1.0
        return [*_reductions(x, y), *_reductions(x, y, weight=_WEIGHTS)]


class BCEWithLogitsLoss(_Weighted):
    """Cross entropy of logits and targets in 0..1.

    See `plait.binary_cross_entropy_with_logits`.

    Args:
        weight: of each element, broadcast.
        reduction: "mean", "sum" or "none".
        pos_weight: of the positive targets, broadcast.
    """

    pos_weight: Buffer | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
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
            *_reductions(x, y),
            *_reductions(x, y, weight=_WEIGHTS, pos_weight=2 * _WEIGHTS),
        ]


class KLDivLoss(_Loss):
    """target * (log(target) - input). See `plait.kl_div`.

    Args:
        reduction: "mean", "sum", "none", or "batchmean": the sum over the number of
            examples, which is the divergence of mathematics.
        log_target: the target holds logarithms too.

    Input: logarithms of probabilities. Target: probabilities, of the same shape.
    """

    _settings = ("log_target",)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.kl_div(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4, high=0.0), uniform(3, 4, low=0.1, high=0.4)
        return [
            *_reductions(x, y),
            *_reductions(x, np.log(y), log_target=True),
            Sample((x, y), (), {"reduction": "batchmean"}, separable=False),
        ]


class HingeEmbeddingLoss(_Loss):
    """The input where the target is 1, else what it lacks to `margin`.

    See `plait.hinge_embedding_loss`.
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.hinge_embedding_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), _signs(3, 4), margin=0.7)


class MarginRankingLoss(_Loss):
    """What the greater input lacks to exceed the other by `margin`.

    See `plait.margin_ranking_loss`.
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return plait.margin_ranking_loss(input1, input2, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(5), uniform(5, high=1.0)
        return _reductions(x, y, _signs(5), margin=0.3, wrt=(0, 1))


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * input)). See `plait.soft_margin_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.soft_margin_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        return _reductions(uniform(3, 4), _signs(3, 4))


class MultiMarginLoss(_Weighted):
    """What the target's class lacks to exceed the others by `margin`.

    See `plait.multi_margin_loss`.

    Args:
        p: 1 or 2, the power.
        margin: the wanted distance.
        weight: of each class, shape (classes,).
        reduction: "mean", "sum" or "none".
    """

    _settings = ("p", "margin")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
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
            *_reductions(x, y),
            *_reductions(x, y, p=2, margin=0.7, weight=_WEIGHTS),
        ]


class MultiLabelMarginLoss(_Loss):
    """What the targets' classes lack to exceed the others by 1.

    See `plait.multilabel_margin_loss`.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.multilabel_margin_loss(input, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        labels = np.array([[3, 0, -1, 1], [1, -1, 2, 3], [0, 1, 2, 3]])
        return _reductions(uniform(3, 4), labels)


class MultiLabelSoftMarginLoss(_Weighted):
    """The mean over the classes of the cross entropy of logits.

    See `plait.multilabel_soft_margin_loss`.

    Args:
        weight: of each class, shape (classes,).
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return plait.multilabel_soft_margin_loss(
            input, target, self.weight, **self._options()
        )

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(3, 4), integers(3, 4, high=2) * 1.0
        return [*_reductions(x, y), *_reductions(x, y, weight=_WEIGHTS)]


class CosineEmbeddingLoss(_Loss):
    """How far two vectors point apart, or lack to do so by `margin`.

    See `plait.cosine_embedding_loss`.
    """

    _settings = ("margin",)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return plait.cosine_embedding_loss(input1, input2, target, **self._options())

    @staticmethod
    def samples() -> list[Sample]:
        x, y = uniform(5, 3), uniform(5, 3, low=-1.0)
        return _reductions(x, y, _signs(5), margin=0.1, wrt=(0, 1))


class TripletMarginLoss(_Loss):
    """What the negative lacks to be farther off than the positive by `margin`.

    See `plait.triplet_margin_loss`.

    Args:
        margin: the wanted distance.
        p: the order of the norm.
        eps: added to differences, to keep norms from 0.
        swap: use the distance of positive and negative where it is smaller.
        reduction: "mean", "sum" or "none".
    """

    _settings = ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
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
            *_reductions(*x, wrt=(0, 1, 2)),
            *_reductions(*x, p=3.0, swap=True, margin=0.5),
        ]
