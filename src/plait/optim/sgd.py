"""Stochastic gradient descent, with momentum.

Read first: `SGD`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plait import Tensor

from .optimizer import Optimizer
from .terms import choose, directed, unless_zero, zeros


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    1. g = gradient; negated if `maximize`.
    2. g = g + weight_decay * p
    3. b = g at the first step, later b = momentum * b + (1 - dampening) * g
    4. g = g + momentum * b if `nesterov`, else g = b
    5. p = p - lr * g

    Without momentum, steps 3 and 4 are left out.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        momentum: 0 for none.
        dampening: how much less of each new gradient enters the momentum.
        weight_decay: factor of the L2 penalty.
        nesterov: look ahead along the momentum. Needs a momentum and no dampening.
        maximize: go up instead of down.

    Source: B. Polyak, "Some methods of speeding up the convergence of iteration
    methods", 1964; I. Sutskever et al., "On the importance of initialization and
    momentum in deep learning", 2013.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening,
            "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self, *, momentum: float, dampening: float, nesterov: bool, **others: Any
    ) -> None:
        super().check(momentum=momentum, **others)
        self.refuse(
            nesterov and not (momentum and dampening == 0),
            "nesterov needs a momentum and no dampening",
            {"momentum": momentum, "dampening": dampening},
        )

    @staticmethod
    def init(parameter: Tensor, *, momentum: float, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "momentum_buffer") if momentum else {}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        maximize: bool,
    ) -> dict[str, Any]:
        share: Any = unless_zero(dampening)
        if share is not None:
            # A buffer of zeros takes the first gradient whole.
            share = choose(step == 1, 1.0, 1.0 - dampening)
        return {
            "lr": lr,
            "momentum": unless_zero(momentum),
            "share": share,
            "weight_decay": unless_zero(weight_decay),
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
        momentum: float | None,
        share: float | None,
        weight_decay: float | None,
        nesterov: bool,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = directed(parameter, gradient, weight_decay, maximize)
        if momentum is not None:
            entering = gradient if share is None else gradient * share
            buffer = state["momentum_buffer"] * momentum + entering
            gradient = gradient + buffer * momentum if nesterov else buffer
            state = {"momentum_buffer": buffer}
        return parameter - gradient * lr, state

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.05, "momentum": 0.9},
            {"lr": 0.1},
            {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
            {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
            {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        ]
