"""Adagrad: gradients divided by their size so far.

Read first: `Adagrad`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, filled, unless_zero


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. v = v + g ** 2
    4. p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps)

    t is the number of the step, from 1; v begins at `initial_accumulator_value`.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        lr_decay: how fast the rate goes down.
        weight_decay: factor of the L2 penalty.
        initial_accumulator_value: what the sums begin at.
        eps: keeps the divisor from 0.
        maximize: go up instead of down.

    Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online
    learning and stochastic optimization", 2011.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "eps": eps,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, initial_accumulator_value: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(
            not initial_accumulator_value >= 0,
            "initial_accumulator_value is negative",
            initial_accumulator_value,
        )

    @staticmethod
    def init(
        parameter: Tensor, *, initial_accumulator_value: float, **_: Any
    ) -> dict[str, Tensor]:
        start = initial_accumulator_value
        return {"sum": filled(parameter.shape, start, parameter)}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        lr_decay: float,
        weight_decay: float,
        initial_accumulator_value: float,
        eps: float,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "lr": lr / (1 + (step - 1) * lr_decay),
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
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        total = state["sum"] + gradient * gradient
        step = gradient / (plait.sqrt(total) + eps)
        return parameter - step * lr, {"sum": total}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.5},
            {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1},
            {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
            {"lr": 0.1, "maximize": True},
        ]
