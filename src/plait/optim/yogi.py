"""Yogi: Adam whose divisor changes by small amounts.

Read first: `Yogi`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, filled, mixed, root, unless_zero


class Yogi(Optimizer):
    """Adam with a mean square that grows and shrinks by at most a share of g ** 2.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. m = beta1 * m + (1 - beta1) * g
    4. v = v - (1 - beta2) * sign(v - g ** 2) * g ** 2
    5. p = p - lr * (m / (1 - beta1 ** t)) / (sqrt(v / (1 - beta2 ** t)) + eps)

    t is the number of the step, from 1; m and v begin at `initial_accumulator_value`.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty.
        initial_accumulator_value: what the moments begin at.
        maximize: go up instead of down.

    Source: M. Zaheer et al., "Adaptive methods for nonconvex optimization", 2018. What
    the moments begin at, and their correction, are those of the authors' program.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 1e-6,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
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
        names, start = ("exp_avg", "exp_avg_sq"), initial_accumulator_value
        return {name: filled(parameter.shape, start, parameter) for name in names}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        initial_accumulator_value: float,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            "step_size": lr / (1 - beta1**step),
            "new1": 1 - beta1,
            "new2": 1 - beta2,
            "scale": root(1 - beta2**step),
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
        step_size: float,
        new1: float,
        new2: float,
        scale: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        first = mixed(state["exp_avg"], gradient, new1)
        second, square = state["exp_avg_sq"], gradient * gradient
        second = second - plait.sign(second - square) * square * new2
        divisor = plait.sqrt(second) / scale + eps
        kept = {"exp_avg": first, "exp_avg_sq": second}
        return parameter - first / divisor * step_size, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1},
            {"lr": 0.1, "initial_accumulator_value": 0.5, "maximize": True},
        ]
