"""RMSprop: gradients divided by their recent size.

Read first: `RMSprop`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, unless_zero, zeros


class RMSprop(Optimizer):
    """Gradients divided by the root of the mean of their recent squares.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. v = alpha * v + (1 - alpha) * g ** 2
    4. u = v; if `centered`, a = alpha * a + (1 - alpha) * g and u = v - a ** 2
    5. d = g / (sqrt(u) + eps)
    6. with a momentum, b = momentum * b + d and d = b
    7. p = p - lr * d

    v, a and b begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        alpha: how much of the means is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty.
        momentum: 0 for none.
        centered: divide by the deviation from the mean instead.
        maximize: go up instead of down.

    Source: T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", COURSERA: neural networks
    for machine learning, 2012; A. Graves, "Generating sequences with recurrent neural
    networks", 2013, equations 38 to 40, for `centered`. eps stands outside of the root,
    as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, alpha: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 <= alpha <= 1, "alpha is not in 0..1", alpha)

    @staticmethod
    def init(
        parameter: Tensor, *, momentum: float, centered: bool, **_: Any
    ) -> dict[str, Tensor]:
        names = ["square_avg"]
        names += ["momentum_buffer"] if momentum else []
        names += ["grad_avg"] if centered else []
        return zeros(parameter, *names)

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "lr": lr,
            "old": alpha,
            "new": 1 - alpha,
            "eps": eps,
            "weight_decay": unless_zero(weight_decay),
            "momentum": unless_zero(momentum),
            "centered": centered,
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
        momentum: float | None,
        centered: bool,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        square = state["square_avg"] * old + gradient * gradient * new
        kept = {"square_avg": square}
        if centered:
            mean = state["grad_avg"]
            mean = mean + (gradient - mean) * new
            kept["grad_avg"] = mean
            # Rounding may take a variance of 0 below it.
            square = plait.maximum(square - mean * mean, 0.0)
        step = gradient / (plait.sqrt(square) + eps)
        if momentum is not None:
            step = state["momentum_buffer"] * momentum + step
            kept["momentum_buffer"] = step
        return parameter - step * lr, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 1e-3, "momentum": 0.9},
            {"lr": 0.03},
            {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.01, "alpha": 0.8, "centered": True, "momentum": 0.5},
            {"lr": 0.01, "eps": 1e-2, "centered": True, "maximize": True},
        ]
