"""What losses as layers share: their settings, and samples for each reduction.

Read first: `Criterion`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from plait import Tensor

from ..arguments import Reduction
from .module import Module
from .parameter import Buffer
from .sample import Sample, integers

# Not drawn: `import plait` is a sixth quicker without NumPy's random numbers.
WEIGHTS = np.array([0.75, 1.5, 0.5, 2.0])


def signs(*shape: int) -> np.ndarray:
    """Return 1 and -1, the same at every call."""
    return integers(*shape, high=2) * 2.0 - 1.0


def reductions(
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


def references(
    reference: Callable[..., np.ndarray],
    *inputs: np.ndarray,
    wrt: tuple[int, ...] = (0,),
    **named: Any,
) -> list[Sample]:
    """Return a sample for each reduction of a loss that PyTorch does not have.

    Args:
        reference: a function of the inputs that returns the loss of each element.
    """
    reduced: dict[str, Callable[..., Any]] = {
        "mean": np.mean, "sum": np.sum, "none": np.asarray,
    }  # fmt: skip
    return [
        sample._replace(
            reference=lambda layer, *xs: reduced[layer.reduction](reference(*xs))
        )
        for sample in reductions(*inputs, wrt=wrt, **named)
    ]


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Return the loss of each element, or its mean or sum."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


class Criterion(Module):
    """A loss whose settings are attributes."""

    _settings: ClassVar[tuple[str, ...]] = ()

    reduction: str

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def _options(self) -> dict[str, Any]:
        names = (*self._settings, "reduction")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class WeightedCriterion(Criterion):
    """A loss with weights that belong to its state but are not trained."""

    weight: Buffer | None

    def __init__(self, weight: Tensor | None, reduction: Reduction) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
