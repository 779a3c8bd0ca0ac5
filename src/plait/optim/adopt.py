"""ADOPT: Adam that divides by what was known before the step.

Read first: `ADOPT`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import choose, mixed, shrinking, zeros


class ADOPT(Optimizer):
    """Adam in another order, which makes it converge with any beta2.

    1. g = gradient; negated if `maximize`.
    2. p = p - lr * weight_decay * p
    3. m = beta1 * m + (1 - beta1) * c, where c = g / max(sqrt(v), eps), limited to
       abs(c) <= (t - 1) ** 0.25
    4. p = p - lr * m
    5. v = beta2 * v + (1 - beta2) * g ** 2

    t is the number of the step, from 1. At the first step v = g ** 2, and nothing else
    happens; m begins at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the means is kept.
        eps: the least divisor.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: S. Taniguchi et al., "ADOPT: modified Adam can converge with any beta2 with
    the optimal rate", 2024, with the limit of its second edition.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-6,
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
        return zeros(parameter, "exp_avg", "exp_avg_sq")

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
        first = step == 1
        shrink = shrinking(lr, weight_decay)
        return {
            "lr": choose(first, 0.0, lr),
            "low": -((step - 1) ** 0.25),
            "high": (step - 1) ** 0.25,
            "new1": choose(first, 0.0, 1 - beta1),
            "new2": choose(first, 1.0, 1 - beta2),
            "eps": eps,
            "shrink": None if shrink is None else choose(first, 1.0, shrink),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lr: float,
        low: float,
        high: float,
        new1: float,
        new2: float,
        eps: float,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        if shrink is not None:
            parameter = parameter * shrink
        first, second = state["exp_avg"], state["exp_avg_sq"]
        scaled = gradient / plait.maximum(plait.sqrt(second), eps)
        first = mixed(first, plait.clip(scaled, low, high), new1)
        second = mixed(second, gradient * gradient, new2)
        return parameter - first * lr, {"exp_avg": first, "exp_avg_sq": second}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03, "betas": (0.9, 0.99)},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
