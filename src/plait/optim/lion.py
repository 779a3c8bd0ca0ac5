"""Lion and Signum: steps of the signs of a momentum.

Read first: `Lion`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import mixed, shrinking, unless_zero, zeros


class Lion(Optimizer):
    """Evolved sign momentum: every element moves by the same length.

    1. g = gradient; negated if `maximize`.
    2. p = p - lr * weight_decay * p
    3. p = p - lr * sign(beta1 * m + (1 - beta1) * g)
    4. m = beta2 * m + (1 - beta2) * g

    m begins at 0. Rates three to ten times less than Adam's do well.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the momentum counts and is kept.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: X. Chen et al., "Symbolic discovery of optimization algorithms", 2023.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "weight_decay": weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "exp_avg")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            "lr": lr,
            "new1": 1 - beta1,
            "new2": 1 - beta2,
            "shrink": shrinking(lr, weight_decay),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lr: float,
        new1: float,
        new2: float,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        if shrink is not None:
            parameter = parameter * shrink
        momentum = state["exp_avg"]
        step = plait.sign(mixed(momentum, gradient, new1))
        return parameter - step * lr, {"exp_avg": mixed(momentum, gradient, new2)}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.02},
            {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]


class Signum(Optimizer):
    """The sign of the momentum; without one, of the gradient: "signSGD".

    1. g = gradient; negated if `maximize`.
    2. m = momentum * m + (1 - momentum) * g
    3. p = p - lr * weight_decay * p
    4. p = p - lr * sign(m)

    m begins at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        momentum: 0 for none.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: J. Bernstein et al., "signSGD: compressed optimisation for non-convex
    problems", 2018, algorithms 1 and 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, momentum: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 <= momentum < 1, "momentum is not in [0, 1)", momentum)

    @staticmethod
    def init(parameter: Tensor, *, momentum: float, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "momentum_buffer") if momentum else {}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        off = unless_zero(momentum) is None
        return {
            "lr": lr,
            "new": None if off else 1 - momentum,
            "shrink": shrinking(lr, weight_decay),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lr: float,
        new: float | None,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        if new is not None:
            gradient = mixed(state["momentum_buffer"], gradient, new)
            state = {"momentum_buffer": gradient}
        if shrink is not None:
            parameter = parameter * shrink
        return parameter - plait.sign(gradient) * lr, state

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.02},
            {"lr": 0.1, "momentum": 0.0},
            {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]
