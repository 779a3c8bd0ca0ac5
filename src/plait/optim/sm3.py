"""SM3: Adagrad with one number for each row and each column.

Read first: `SM3`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import filled, mixed, unless_zero, zeros


class SM3(Optimizer):
    """Adagrad with little memory: square-root of minima of sums of maxima of squares.

    1. g = gradient; negated if `maximize`.
    2. v = min over axes r of a_r + g ** 2, where a_r has one number for each place
       along axis r
    3. u = g / sqrt(v), 0 where v is 0
    4. m = momentum * m + (1 - momentum) * u
    5. p = p - lr * m
    6. a_r = max of v over all axes but r

    All a_r and m begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        momentum: 0 for none.
        maximize: go up instead of down.

    Source: R. Anil et al., "Memory-efficient adaptive optimization", 2019, SM3-II.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-1,
        momentum: float = 0.9,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "maximize": maximize})

    def check(self, *, momentum: float, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 <= momentum < 1, "momentum is not in [0, 1)", momentum)

    @staticmethod
    def init(parameter: Tensor, *, momentum: float, **_: Any) -> dict[str, Tensor]:
        rank = parameter.ndim
        kept = zeros(parameter, "momentum_buffer") if momentum else {}
        for axis in range(max(rank, 1)):
            shape = [n if i == axis else 1 for i, n in enumerate(parameter.shape)]
            kept[f"accumulator_{axis}"] = filled(shape, 0.0, parameter)
        return kept

    @staticmethod
    def coefficients(
        step: int, *, lr: float, momentum: float, maximize: bool
    ) -> dict[str, Any]:
        off = unless_zero(momentum) is None
        return {
            "lr": lr,
            "new": None if off else 1 - momentum,
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
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if not parameter.size:
            return parameter, state
        if maximize:
            gradient = -gradient
        names = [f"accumulator_{axis}" for axis in range(max(parameter.ndim, 1))]
        total = state[names[0]]
        for name in names[1:]:
            total = plait.minimum(total, state[name])
        total = total + gradient * gradient
        step = gradient / plait.sqrt(plait.where(total > 0, total, 1.0))
        kept = {}
        if new is not None:
            step = kept["momentum_buffer"] = mixed(state["momentum_buffer"], step, new)
        for axis, name in enumerate(names):
            others = tuple(i for i in range(parameter.ndim) if i != axis)
            most = plait.max(total, axis=others, keepdims=True) if others else total
            kept[name] = most
        return parameter - step * lr, kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.5},
            {"lr": 0.1, "momentum": 0.0},
            {"lr": 0.1, "momentum": 0.5, "maximize": True},
        ]
