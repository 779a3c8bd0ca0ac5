"""Adan: Adam that looks ahead by how gradients change.

Read first: `Adan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import choose, mixed, root, zeros


class Adan(Optimizer):
    """Adaptive Nesterov momentum.

    1. g = gradient; negated if `maximize`. d = g - the last g; 0 at the first step.
    2. m = beta1 * m + (1 - beta1) * g
    3. v = beta2 * v + (1 - beta2) * d
    4. n = beta3 * n + (1 - beta3) * (g + beta2 * d) ** 2
    5. u = (m / (1 - beta1 ** t) + beta2 * v / (1 - beta2 ** t))
       / (sqrt(n / (1 - beta3 ** t)) + eps)
    6. p = (p - lr * u) / (1 + lr * weight_decay)

    t is the number of the step, from 1; m, v and n begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1, beta2 and beta3, how much of the means is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: X. Xie et al., "Adan: adaptive Nesterov momentum algorithm for faster
    optimizing deep models", 2022. What is kept is 1 - beta in the paper.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "exp_avg", "exp_avg_diff", "exp_avg_sq", "previous")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float, float],
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2, beta3 = betas
        shrink = 1 / (1 + lr * weight_decay)
        return {
            "shrink": shrink,
            "of_mean": lr / (1 - beta1**step) * shrink,
            "of_change": lr * beta2 / (1 - beta2**step) * shrink,
            "changed": choose(step == 1, 0.0, 1.0),
            "new1": 1 - beta1,
            "ahead": beta2,
            "new2": 1 - beta2,
            "new3": 1 - beta3,
            "scale": root(1 - beta3**step),
            "eps": eps,
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        shrink: float,
        of_mean: float,
        of_change: float,
        changed: float,
        new1: float,
        ahead: float,
        new2: float,
        new3: float,
        scale: float,
        eps: float,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        change = (gradient - state["previous"]) * changed
        first = mixed(state["exp_avg"], gradient, new1)
        second = mixed(state["exp_avg_diff"], change, new2)
        expected = gradient + change * ahead
        third = mixed(state["exp_avg_sq"], expected * expected, new3)
        step = first * of_mean + second * of_change
        step = step / (plait.sqrt(third) / scale + eps)
        kept = {
            "exp_avg": first, "exp_avg_diff": second, "exp_avg_sq": third,
            "previous": gradient,
        }  # fmt: skip
        return parameter * shrink - step, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
