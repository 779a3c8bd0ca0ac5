"""MADGRAD: Adagrad by dual averaging, with momentum.

Read first: `MADGRAD`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, root, unless_zero, zeros


class MADGRAD(Optimizer):
    """Momentumized, adaptive, dual averaged gradients.

    1. g = gradient; negated if `maximize`. g = g + weight_decay * p
    2. s = s + lr * sqrt(t) * g
    3. v = v + lr * sqrt(t) * g ** 2
    4. z = x0 - s / (cbrt(v) + eps), where x0 is the first p
    5. p = momentum * p + (1 - momentum) * z

    t is the number of the step, from 1; s and v begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        momentum: how much of the last point is kept.
        weight_decay: factor of the L2 penalty.
        eps: keeps the divisor from 0.
        maximize: go up instead of down.

    Source: A. Defazio, S. Jelassi, "Adaptivity without compromise: a momentumized,
    adaptive, dual averaged gradient method for stochastic optimization", 2021.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eps: float = 1e-6,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eps": eps,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, momentum: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 <= momentum < 1, "momentum is not in [0, 1)", momentum)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return {**zeros(parameter, "s", "grad_sum_sq"), "x0": parameter.detach()}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        eps: float,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "rate": lr * root(step),
            "momentum": momentum,
            "new": 1 - momentum,
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
        rate: float,
        momentum: float,
        new: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        total = state["s"] + gradient * rate
        squares = state["grad_sum_sq"] + gradient * gradient * rate
        point = state["x0"] - total / (squares ** (1 / 3) + eps)
        kept = {"s": total, "grad_sum_sq": squares, "x0": state["x0"]}
        return parameter * momentum + point * new, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "momentum": 0.0, "eps": 1e-3},
            {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "maximize": True},
        ]
