"""AdaBelief: Adam that trusts gradients as far as they come as expected.

Read first: `AdaBelief`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import mixed, root, shrinking, zeros


class AdaBelief(Optimizer):
    """Adam with the variance of the gradients in place of their mean square.

    1. g = gradient; negated if `maximize`.
    2. p = p - lr * weight_decay * p
    3. m = beta1 * m + (1 - beta1) * g
    4. s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
    5. p = p - lr * (m / (1 - beta1 ** t)) / (sqrt(s / (1 - beta2 ** t)) + eps)

    t is the number of the step, from 1; m and s begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0; much less than for Adam.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: J. Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in
    observed gradients", 2020.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
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
        return zeros(parameter, "exp_avg", "exp_avg_var")

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
            "new2": 1 - beta2,
            "scale": root(1 - beta2**step),
            "eps": eps,
            "shrink": shrinking(lr, weight_decay),
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
        new2: float,
        scale: float,
        eps: float,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        if shrink is not None:
            parameter = parameter * shrink
        first = mixed(state["exp_avg"], gradient, new1)
        surprise = gradient - first
        second = state["exp_avg_var"] * old2 + surprise * surprise * new2 + eps
        divisor = plait.sqrt(second) / scale + eps
        kept = {"exp_avg": first, "exp_avg_var": second}
        return parameter - first / divisor * step_size, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03, "eps": 1e-8},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "eps": 1e-6, "maximize": True},
        ]
