"""Adamax: Adam with the greatest gradient in place of the mean square.

Read first: `Adamax`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, mixed, unless_zero, zeros


class Adamax(Optimizer):
    """Adam with the infinity norm of the gradients so far.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. m = beta1 * m + (1 - beta1) * g
    4. u = max(beta2 * u, abs(g) + eps)
    5. p = p - lr / (1 - beta1 ** t) * m / u

    t is the number of the step, from 1; m and u begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the mean and of the norm is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty.
        maximize: go up instead of down.

    Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015,
    algorithm 2. The place of eps is PyTorch's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
        return zeros(parameter, "exp_avg", "exp_inf")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            "step_size": lr / (1 - beta1**step),
            "new1": 1 - beta1,
            "old2": beta2,
            "eps": eps,
            "weight_decay": unless_zero(weight_decay),
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
        old2: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        first = mixed(state["exp_avg"], gradient, new1)
        norm = plait.maximum(state["exp_inf"] * old2, plait.abs(gradient) + eps)
        return parameter - first / norm * step_size, {"exp_avg": first, "exp_inf": norm}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.05},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
