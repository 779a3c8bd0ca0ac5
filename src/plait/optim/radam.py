"""RAdam: Adam that waits with its divisor until it is known well enough.

Read first: `RAdam`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import choose, directed, mixed, root, shrinking, unless_zero, zeros


class RAdam(Optimizer):
    """Adam, rectified.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p, or p = p - lr * weight_decay * p if
       `decoupled_weight_decay`.
    3. m = beta1 * m + (1 - beta1) * g
    4. v = beta2 * v + (1 - beta2) * g ** 2
    5. R = 2 / (1 - beta2) - 1; r = R - 2 * t * beta2 ** t / (1 - beta2 ** t)
    6. f = sqrt((r - 4) (r - 2) R / ((R - 4) (R - 2) r)) if r > 5
    7. p = p - lr * m / (1 - beta1 ** t) * d, where d is 1 unless r > 5, else
       f * sqrt(1 - beta2 ** t) / (sqrt(v) + eps)

    t is the number of the step, from 1; m and v begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty, or of the decay.
        decoupled_weight_decay: decay parameters apart from the gradient.
        maximize: go up instead of down.

    Source: L. Liu et al., "On the variance of the adaptive learning rate and beyond",
    2020.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
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
        decoupled_weight_decay: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        apart = decoupled_weight_decay
        most = 2 / (1 - beta2) - 1
        power = beta2**step
        now = most - 2 * step * power / (1 - power)
        known = now > 5
        now = choose(known, now, 6.0)  # else no root
        rectified = (now - 4) * (now - 2) * most / ((most - 4) * (most - 2) * now)
        rate = lr / (1 - beta1**step)
        return {
            # One of the two is 0.
            "plain": choose(known, 0.0, rate),
            "divided": choose(known, rate * root(rectified * (1 - power)), 0.0),
            "new1": 1 - beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "eps": eps,
            "weight_decay": None if apart else unless_zero(weight_decay),
            "shrink": shrinking(lr, weight_decay) if apart else None,
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        plain: float,
        divided: float,
        new1: float,
        old2: float,
        new2: float,
        eps: float,
        weight_decay: float | None,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        if shrink is not None:
            parameter = parameter * shrink
        first = mixed(state["exp_avg"], gradient, new1)
        second = state["exp_avg_sq"] * old2 + gradient * gradient * new2
        step = first * (plain + divided / (plait.sqrt(second) + eps))
        return parameter - step, {"exp_avg": first, "exp_avg_sq": second}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "betas": (0.9, 0.99), "maximize": True},
            {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        ]
