"""NovoGrad: gradients divided by their norms, with momentum.

Read first: `NovoGrad`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import choose, length, mixed, single, unless_zero, zeros


class NovoGrad(Optimizer):
    """Momentum of gradients that are divided by the norm of the whole parameter's.

    1. g = gradient; negated if `maximize`.
    2. v = beta2 * v + (1 - beta2) * norm(g) ** 2; v = norm(g) ** 2 at the first step.
    3. u = g / (sqrt(v) + eps) + weight_decay * p
    4. m = beta1 * m + u, or beta1 * m + (1 - beta1) * u if `grad_averaging`
    5. p = p - lr * m

    v is one number for each parameter; m begins at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay.
        grad_averaging: a mean in place of a sum.
        maximize: go up instead of down.

    Source: B. Ginsburg et al., "Stochastic gradient methods with layer-wise adaptive
    moments for training of deep networks", 2019, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        grad_averaging: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "grad_averaging": grad_averaging, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return {**zeros(parameter, "exp_avg"), "norm_sq": single(parameter)}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        grad_averaging: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            "lr": lr,
            "old1": beta1,
            "share": 1 - beta1 if grad_averaging else 1.0,
            "new2": choose(step == 1, 1.0, 1 - beta2),
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
        lr: float,
        old1: float,
        share: float,
        new2: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        square = mixed(state["norm_sq"], length(gradient) ** 2, new2)
        divisor = plait.sqrt(square) + eps
        step = gradient / plait.where(divisor > 0, divisor, 1.0)
        if weight_decay is not None:
            step = step + parameter * weight_decay
        first = state["exp_avg"] * old1 + step * share
        return parameter - first * lr, {"exp_avg": first, "norm_sq": square}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 2e-3},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "grad_averaging": True, "maximize": True},
        ]
