"""SparseAdam: Adam that leaves alone what has no part in the loss.

Read first: `SparseAdam`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import mixed, root, zeros


class SparseAdam(Optimizer):
    """Adam that leaves rows without gradient as they are, moments too: for embeddings.

    For each row, along the first axis, whose gradient is not 0 throughout:

    1. g = gradient; negated if `maximize`.
    2. m = beta1 * m + (1 - beta1) * g
    3. v = beta2 * v + (1 - beta2) * g ** 2
    4. p = p - lr * sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * m / (sqrt(v) + eps)

    t is the number of the step, of all rows, from 1; m and v begin at 0. Gradients are
    dense here; this saves no work, but does what PyTorch does with sparse ones.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        maximize: go up instead of down.

    Source: PyTorch, torch.optim.SparseAdam; D. Kingma, J. Ba, "Adam: a method for
    stochastic optimization", 2015.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "exp_avg", "exp_avg_sq")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            "step_size": lr * root(1 - beta2**step) / (1 - beta1**step),
            "new1": 1 - beta1,
            "new2": 1 - beta2,
            "eps": eps,
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        step_size: float,
        new1: float,
        new2: float,
        eps: float,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        axes = tuple(range(1, parameter.ndim))
        used = gradient != 0
        used = plait.any(used, axis=axes, keepdims=True) if axes else used
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first = plait.where(used, mixed(first, gradient, new1), first)
        second = plait.where(used, mixed(second, gradient * gradient, new2), second)
        moved = parameter - first / (plait.sqrt(second) + eps) * step_size
        kept = {"exp_avg": first, "exp_avg_sq": second}
        return plait.where(used, moved, parameter), kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3},
            {"lr": 0.1, "maximize": True},
        ]
