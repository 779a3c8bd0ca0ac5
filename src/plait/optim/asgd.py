"""ASGD: the mean of all points that stochastic gradient descent comes through.

Read first: `ASGD`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, largest, mixed, unless_zero, zeros


class ASGD(Optimizer):
    """Averaged stochastic gradient descent, with a rate that goes down.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. e = lr / (1 + lambd * lr * (t - 1)) ** alpha
    4. p = p - lambd * e * p - e * g
    5. a = a + (p - a) / max(1, t - 1 - t0)

    t is the number of the step, from 1. The mean a is `state[p]["ax"]`; it is the last
    point until step t0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: the first learning rate.
        lambd: factor of the decay.
        alpha: power of the decrease of the rate.
        t0: the step from which on points are averaged.
        weight_decay: factor of the L2 penalty.
        maximize: go up instead of down.

    Source: B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0,
            "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "ax")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        lambd: float,
        alpha: float,
        t0: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        rate = lr / (1 + lambd * lr * (step - 1)) ** alpha
        return {
            "rate": rate,
            "shrink": 1 - lambd * rate,
            "share": 1 / largest(1.0, step - 1 - t0),
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
        shrink: float,
        share: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        parameter = parameter * shrink - gradient * rate
        return parameter, {"ax": mixed(state["ax"], parameter, share)}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.11, "lambd": 0.0},
            {"lr": 0.1},
            {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
