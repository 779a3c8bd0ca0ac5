"""LAMB and LARS: steps in proportion to the size of each parameter.

Read first: `LAMB`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, length, mixed, root, trust, unless_zero, zeros


class LAMB(Optimizer):
    """Adam with a step in proportion to each parameter's norm: for large batches.

    1. g = gradient; negated if `maximize`.
    2. m = beta1 * m + (1 - beta1) * g
    3. v = beta2 * v + (1 - beta2) * g ** 2
    4. u = (m / (1 - beta1 ** t)) / (sqrt(v / (1 - beta2 ** t)) + eps)
       + weight_decay * p
    5. p = p - lr * norm(p) / norm(u) * u; the ratio is 1 if a norm is 0.

    t is the number of the step, from 1; m and v begin at 0. Norms are over all elements
    of a parameter.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: Y. You et al., "Large batch optimization for deep learning: training BERT in
    76 minutes", 2020, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "exp_avg", "exp_avg_sq")

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
        return {
            "lr": lr,
            "new1": 1 - beta1,
            "scale1": 1 - beta1**step,
            "old2": beta2,
            "new2": 1 - beta2,
            "scale2": root(1 - beta2**step),
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
        new1: float,
        scale1: float,
        old2: float,
        new2: float,
        scale2: float,
        eps: float,
        weight_decay: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        first = mixed(state["exp_avg"], gradient, new1)
        second = state["exp_avg_sq"] * old2 + gradient * gradient * new2
        step = first / scale1 / (plait.sqrt(second) / scale2 + eps)
        if weight_decay is not None:
            step = step + parameter * weight_decay
        ratio = trust(length(parameter), length(step))
        kept = {"exp_avg": first, "exp_avg_sq": second}
        return parameter - step * (ratio * lr), kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "maximize": True},
        ]


class LARS(Optimizer):
    """Momentum with a step in proportion to each parameter's norm: for large batches.

    1. g = gradient; negated if `maximize`.
    2. r = trust_coefficient * norm(p) / (norm(g) + weight_decay * norm(p) + eps), or 1
       if a norm is 0.
    3. b = momentum * b + lr * r * (g + weight_decay * p)
    4. p = p - b, or p - (momentum * b + lr * r * (g + weight_decay * p)) if `nesterov`

    b begins at 0. Norms are over all elements of a parameter.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        momentum: how much of the last step is kept.
        weight_decay: factor of the L2 penalty.
        trust_coefficient: size of a step as a share of the size of a parameter.
        eps: keeps the divisor from 0.
        nesterov: look ahead along the momentum.
        maximize: go up instead of down.

    Source: Y. You, I. Gitman, B. Ginsburg, "Large batch training of convolutional
    networks", 2017, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient, "eps": eps, "nesterov": nesterov,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, trust_coefficient: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(
            not trust_coefficient > 0,
            "trust_coefficient is not above 0",
            trust_coefficient,
        )

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "momentum_buffer")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        trust_coefficient: float,
        eps: float,
        nesterov: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": unless_zero(weight_decay),
            "coefficient": trust_coefficient,
            "eps": eps,
            "nesterov": nesterov,
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float | None,
        coefficient: float,
        eps: float,
        nesterov: bool,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        size, under = length(parameter), length(gradient)
        # A gradient of 0 leaves the step to the decay, at the plain rate.
        if weight_decay is not None:
            under = plait.where(under > 0, under + size * weight_decay, 0.0)
        ratio = trust(size, plait.where(under > 0, under + eps, 0.0), coefficient)
        gradient = directed(parameter, gradient, weight_decay, maximize)
        step = gradient * (ratio * lr)
        buffer = state["momentum_buffer"] * momentum + step
        step = buffer * momentum + step if nesterov else buffer
        return parameter - step, {"momentum_buffer": buffer}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 1.0, "trust_coefficient": 0.01},
            {"lr": 1.0, "trust_coefficient": 0.1, "momentum": 0.0},
            {"lr": 1.0, "trust_coefficient": 0.1, "weight_decay": 0.1, "eps": 1e-3},
            {"lr": 0.5, "nesterov": True, "maximize": True},
        ]
