"""Adadelta: steps as large as recent steps were.

Read first: `Adadelta`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, unless_zero, zeros


class Adadelta(Optimizer):
    """Gradients in the ratio of the size of recent steps to that of gradients.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. v = rho * v + (1 - rho) * g ** 2
    4. d = sqrt(a + eps) / sqrt(v + eps) * g
    5. a = rho * a + (1 - rho) * d ** 2
    6. p = p - lr * d

    v and a begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: factor of the step; 1 in the paper.
        rho: how much of the means is kept.
        eps: keeps the divisor from 0, and the first steps too.
        weight_decay: factor of the L2 penalty.
        maximize: go up instead of down.

    Source: M. Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, rho: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 <= rho <= 1, "rho is not in 0..1", rho)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "square_avg", "acc_delta")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        rho: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "lr": lr,
            "old": rho,
            "new": 1 - rho,
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
        old: float,
        new: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        square = state["square_avg"] * old + gradient * gradient * new
        before = state["acc_delta"]
        step = plait.sqrt(before + eps) / plait.sqrt(square + eps) * gradient
        kept = {"square_avg": square, "acc_delta": before * old + step * step * new}
        return parameter - step * lr, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 1.0, "eps": 1e-4},
            {"lr": 1.0},
            {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 2.0, "maximize": True},
        ]
