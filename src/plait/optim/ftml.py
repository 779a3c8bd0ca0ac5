"""FTML: follow the moving leader.

Read first: `FTML`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, root, unless_zero, zeros


class FTML(Optimizer):
    """Follow the moving leader: the best point so far, with recent steps counting more.

    1. g = gradient; negated if `maximize`. g = g + weight_decay * p
    2. v = beta2 * v + (1 - beta2) * g ** 2
    3. d' = (1 - beta1 ** t) / lr * (sqrt(v / (1 - beta2 ** t)) + eps)
    4. z = beta1 * z + (1 - beta1) * g - (d' - beta1 * d) * p
    5. p = -z / d', and d = d'

    t is the number of the step, from 1; v, d and z begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate. Above 0.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0. Above 0.
        weight_decay: factor of the L2 penalty.
        maximize: go up instead of down.

    Source: S. Zheng, J. Kwok, "Follow the moving leader in deep learning", 2017,
    algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2.5e-3,
        betas: tuple[float, float] = (0.6, 0.999),
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

    def check(self, *, lr: float | Tensor, eps: float, **others: Any) -> None:
        super().check(lr=lr, eps=eps, **others)
        self.refuse(not isinstance(lr, Tensor) and not lr > 0, "lr is not above 0", lr)
        self.refuse(not eps > 0, "eps is not above 0", eps)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "v", "d", "z")

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
        over_lr = (1 - beta1**step) / lr
        return {
            "over_lr": over_lr / root(1 - beta2**step),
            "added": eps * over_lr,
            "old1": beta1,
            "new1": 1 - beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "weight_decay": unless_zero(weight_decay),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        over_lr: float,
        added: float,
        old1: float,
        new1: float,
        old2: float,
        new2: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        second = state["v"] * old2 + gradient * gradient * new2
        divisor = plait.sqrt(second) * over_lr + added
        moved = (divisor - state["d"] * old1) * parameter
        leader = state["z"] * old1 + gradient * new1 - moved
        return -leader / divisor, {"v": second, "d": divisor, "z": leader}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.05},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
