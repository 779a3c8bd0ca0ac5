"""AdEMAMix: Adam with a second, much slower momentum.

Read first: `AdEMAMix`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from ..arguments import Size
from .optimizer import Optimizer
from .terms import least, mixed, root, shrinking, unless_zero, zeros


class AdEMAMix(Optimizer):
    """Adam with a mixture of two momenta.

    1. g = gradient; negated if `maximize`.
    2. p = p - lr * weight_decay * p
    3. m = beta1 * m + (1 - beta1) * g
    4. s = b * s + (1 - b) * g, where b goes from beta1 to beta3
    5. v = beta2 * v + (1 - beta2) * g ** 2
    6. p = p - lr * (m / (1 - beta1 ** t) + a * s) / (sqrt(v / (1 - beta2 ** t)) + eps),
       where a goes from 0 to alpha on a line

    t is the number of the step, from 1; m, s and v begin at 0. b goes so that the
    half-life of the slow momentum grows on a line:
    b = exp(log(beta1) * log(beta3) / ((1 - f) * log(beta3) + f * log(beta1))) with
    f = min(t / t_beta3, 1).

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1, beta2 and beta3, how much of the means is kept.
        alpha: how much the slow momentum counts.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay.
        t_alpha: the step at which a is alpha; 0 for from the first one.
        t_beta3: the step at which b is beta3; 0 for from the first one.
        maximize: go up instead of down.

    Source: M. Pagliardini, P. Ablin, D. Grangier, "The AdEMAMix optimizer: better,
    faster, older", 2024.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        t_alpha: Size = 0,
        t_beta3: Size = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "alpha": alpha, "eps": eps,
            "weight_decay": weight_decay, "t_alpha": t_alpha, "t_beta3": t_beta3,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self,
        *,
        betas: tuple[float, float, float],
        alpha: float,
        t_alpha: int,
        t_beta3: int,
        **others: Any,
    ) -> None:
        super().check(betas=betas, **others)
        self.refuse(not alpha >= 0, "alpha is negative", alpha)
        self.refuse(
            t_alpha < 0 or t_beta3 < 0, "a step is negative", (t_alpha, t_beta3)
        )
        self.refuse(
            bool(t_beta3) and not (betas[0] > 0 and betas[2] > 0),
            "with t_beta3, beta1 and beta3 are not above 0",
            betas,
        )

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "exp_avg", "exp_avg_slow", "exp_avg_sq")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float, float],
        alpha: float,
        eps: float,
        weight_decay: float,
        t_alpha: int,
        t_beta3: int,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2, beta3 = betas
        slow: Any = beta3
        if unless_zero(t_beta3) is not None:
            share = least(step / t_beta3, 1.0)
            log1, log3 = math.log(beta1), math.log(beta3)
            slow = math.e ** (log1 * log3 / ((1 - share) * log3 + share * log1))
        if unless_zero(t_alpha) is not None:
            alpha = alpha * least(step / t_alpha, 1.0)
        return {
            "of_fast": lr / (1 - beta1**step),
            "of_slow": lr * alpha,
            "new1": 1 - beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "new3": 1 - slow,
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
        of_fast: float,
        of_slow: float,
        new1: float,
        old2: float,
        new2: float,
        new3: float,
        scale: float,
        eps: float,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        if shrink is not None:
            parameter = parameter * shrink
        fast = mixed(state["exp_avg"], gradient, new1)
        slow = mixed(state["exp_avg_slow"], gradient, new3)
        second = state["exp_avg_sq"] * old2 + gradient * gradient * new2
        step = fast * of_fast + slow * of_slow
        step = step / (plait.sqrt(second) / scale + eps)
        kept = {"exp_avg": fast, "exp_avg_slow": slow, "exp_avg_sq": second}
        return parameter - step, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03, "betas": (0.9, 0.999, 0.99), "alpha": 2.0},
            {"lr": 0.1, "betas": (0.8, 0.9, 0.99), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "t_alpha": 7, "t_beta3": 9, "maximize": True},
        ]
