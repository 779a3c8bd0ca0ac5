"""NAdam: Adam that looks ahead along its momentum.

Read first: `NAdam`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, mixed, root, shrinking, single, unless_zero, zeros


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p, or p = p - lr * weight_decay * p if
       `decoupled_weight_decay`.
    3. mu(t) = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2); M = mu(1) * ... * mu(t)
    4. m = beta1 * m + (1 - beta1) * g
    5. v = beta2 * v + (1 - beta2) * g ** 2
    6. d = mu(t + 1) / (1 - M * mu(t + 1)) * m + (1 - mu(t)) / (1 - M) * g
    7. p = p - lr * d / (sqrt(v / (1 - beta2 ** t)) + eps)

    t is the number of the step, from 1; m and v begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty, or of the decay.
        momentum_decay: how fast the momentum comes up to beta1.
        decoupled_weight_decay: decay parameters apart from the gradient.
        maximize: go up instead of down.

    Source: T. Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, momentum_decay: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(
            not momentum_decay >= 0, "momentum_decay is negative", momentum_decay
        )

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        kept = zeros(parameter, "exp_avg", "exp_avg_sq")
        return {"mu_product": single(parameter, 1.0), **kept}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        momentum_decay: float,
        decoupled_weight_decay: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        apart = decoupled_weight_decay
        now, after = (
            beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in (step, step + 1)
        )
        return {
            "now": now,
            "after": after,
            "of_gradient": lr * (1 - now),
            "of_mean": lr * after,
            "new1": 1 - beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "scale": root(1 - beta2**step),
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
        now: float,
        after: float,
        of_gradient: float,
        of_mean: float,
        new1: float,
        old2: float,
        new2: float,
        scale: float,
        eps: float,
        weight_decay: float | None,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        if shrink is not None:
            parameter = parameter * shrink
        product = state["mu_product"] * now
        first = mixed(state["exp_avg"], gradient, new1)
        second = state["exp_avg_sq"] * old2 + gradient * gradient * new2
        ahead = gradient * (of_gradient / (1 - product))
        ahead = ahead + first * (of_mean / (1 - product * after))
        step = ahead / (plait.sqrt(second) / scale + eps)
        kept = {"mu_product": product, "exp_avg": first, "exp_avg_sq": second}
        return parameter - step, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "momentum_decay": 0.1, "maximize": True},
            {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        ]
