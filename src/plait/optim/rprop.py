"""Rprop: steps of a size of their own, by the signs of the gradients alone.

Read first: `Rprop`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import filled, zeros


class Rprop(Optimizer):
    """Resilient backpropagation: for whole data sets, not for batches of them.

    1. g = gradient; negated if `maximize`.
    2. s = s * eta_plus where g has the sign it had, s * eta_minus where it has the
       other one; s is kept within `step_sizes`.
    3. g = 0 where it has changed its sign.
    4. p = p - sign(g) * s

    s begins at `lr`, which has no part in later steps.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: the size of the first step.
        etas: eta_minus, below 1, and eta_plus, above 1.
        step_sizes: the least and the greatest size of a step.
        maximize: go up instead of down.

    Source: M. Riedmiller, H. Braun, "A direct adaptive method for faster
    backpropagation learning: the RPROP algorithm", 1993; without going back where the
    sign has changed, as in C. Igel, M. Huesken, "Improving the Rprop learning
    algorithm", 2000, iRprop-.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self,
        *,
        etas: tuple[float, float],
        step_sizes: tuple[float, float],
        **others: Any,
    ) -> None:
        super().check(**others)
        minus, plus = etas
        self.refuse(not 0 < minus < 1 < plus, "etas are not below and above 1", etas)
        low, high = step_sizes
        self.refuse(
            not 0 <= low <= high,
            "step_sizes are not a least and a greatest",
            step_sizes,
        )

    @staticmethod
    def init(parameter: Tensor, *, lr: float | Tensor, **_: Any) -> dict[str, Tensor]:
        size = filled(parameter.shape, 1.0 if isinstance(lr, Tensor) else lr, parameter)
        if isinstance(lr, Tensor):
            size = (size * lr).to(parameter.dtype)
        return {**zeros(parameter, "prev"), "step_size": size}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        etas: tuple[float, float],
        step_sizes: tuple[float, float],
        maximize: bool,
    ) -> dict[str, Any]:
        names = ("minus", "plus", "low", "high")
        numbers = (float(x) for x in (*etas, *step_sizes))
        return {**dict(zip(names, numbers, strict=True)), "maximize": maximize}

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        minus: float,
        plus: float,
        low: float,
        high: float,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        # Of signs: a product of small gradients may come to 0.
        before = plait.sign(state["prev"])
        same = plait.sign(gradient) * before
        size, turned = state["step_size"], same < 0
        grown = plait.where(same > 0, size * plus, size)
        size = plait.clip(plait.where(turned, size * minus, grown), low, high)
        gradient = plait.where(turned, 0.0, gradient)
        new = parameter - plait.sign(gradient) * size
        return new, {"prev": gradient, "step_size": size}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03},
            {"lr": 0.3, "etas": (0.3, 1.5), "step_sizes": (0.02, 0.5)},
            {"lr": 0.1, "maximize": True},
        ]
