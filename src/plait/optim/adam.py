"""Adam and AdamW: steps of a size that adapts to each parameter.

Read first: `Adam`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import directed, mixed, root, shrinking, unless_zero, zeros


class Adam(Optimizer):
    """Adaptive moments.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. m = beta1 * m + (1 - beta1) * g
    4. v = beta2 * v + (1 - beta2) * g ** 2
    5. u = v; if `amsgrad`, the greatest v so far.
    6. p = p - lr * (m / (1 - beta1 ** t)) / (sqrt(u / (1 - beta2 ** t)) + eps)

    t is the number of the step, from 1; m and v begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the L2 penalty.
        amsgrad: never let the divisor shrink.
        maximize: go up instead of down.
        decoupled_weight_decay: step 2 is p = p - lr * weight_decay * p, as in `AdamW`.

    Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015;
    S. Reddi et al., "On the convergence of Adam and beyond", 2018.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def init(parameter: Tensor, *, amsgrad: bool, **_: Any) -> dict[str, Tensor]:
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if amsgrad else [])]
        return zeros(parameter, *names)

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        amsgrad: bool,
        maximize: bool,
        decoupled_weight_decay: bool,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        apart = decoupled_weight_decay
        return {
            "step_size": lr / (1 - beta1**step),
            "new1": 1 - beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "scale": root(1 - beta2**step),
            "eps": eps,
            "weight_decay": None if apart else unless_zero(weight_decay),
            "shrink": shrinking(lr, weight_decay) if apart else None,
            "amsgrad": amsgrad,
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
        old2: float,
        new2: float,
        scale: float,
        eps: float,
        weight_decay: float | None,
        shrink: float | None,
        amsgrad: bool,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        if shrink is not None:
            parameter = parameter * shrink
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first = mixed(first, gradient, new1)
        second = second * old2 + gradient * gradient * new2
        new = {"exp_avg": first, "exp_avg_sq": second}
        if amsgrad:
            second = plait.maximum(state["max_exp_avg_sq"], second)
            new["max_exp_avg_sq"] = second
        divisor = plait.sqrt(second) / scale + eps
        return parameter - first / divisor * step_size, new

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "amsgrad": True},
            {"lr": 0.1, "amsgrad": True, "maximize": True},
            {"lr": 0.1, "betas": (0.0, 0.0)},
            {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        ]


class AdamW(Adam):
    """Adam with weight decay apart from the gradient.

    As `Adam`, but step 2 is `p = p - lr * weight_decay * p`: the decay does not enter
    the moments.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1 and beta2, how much of the moments is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay.
        amsgrad: never let the divisor shrink.
        maximize: go up instead of down.

    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            *(params, lr, betas, eps, weight_decay, amsgrad),
            maximize=maximize,
            decoupled_weight_decay=True,
        )

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03, "weight_decay": 0.0},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "amsgrad": True, "maximize": True},
        ]
