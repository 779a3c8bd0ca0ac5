"""Ftrl: follow the regularized leader, which makes weights exactly 0.

Read first: `Ftrl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import filled, unless_zero, zeros


class Ftrl(Optimizer):
    """The point that would have been best so far, with penalties: "FTRL-proximal".

    1. n' = n + g ** 2
    2. z = z + g + 2 * l2_shrinkage * p - (n' ** -lr_power - n ** -lr_power) / lr * p
    3. q = n' ** -lr_power / lr + 2 * l2 + beta / lr
    4. p = (min(max(z, -l1), l1) - z) / q, and n = n'

    n begins at `initial_accumulator_value`, z at 0. Where abs(z) is at most l1, p is 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate. Above 0.
        lr_power: how the rate goes down with n; 0 for not at all. At most 0.
        initial_accumulator_value: what n begins at.
        l1: factor of the L1 penalty.
        l2: factor of the L2 penalty.
        l2_shrinkage: factor of an L2 penalty that enters the gradient.
        beta: added to the root of n.
        maximize: go up instead of down.

    Source: H. B. McMahan et al., "Ad click prediction: a view from the trenches", 2013,
    algorithm 1; Keras, keras.optimizers.Ftrl, for the further arguments.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        lr_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1: float = 0.0,
        l2: float = 0.0,
        l2_shrinkage: float = 0.0,
        beta: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "lr_power": lr_power,
            "initial_accumulator_value": initial_accumulator_value, "l1": l1, "l2": l2,
            "l2_shrinkage": l2_shrinkage, "beta": beta, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self,
        *,
        lr: float | Tensor,
        lr_power: float,
        initial_accumulator_value: float,
        **others: Any,
    ) -> None:
        super().check(**others)
        self.refuse(not isinstance(lr, Tensor) and not lr > 0, "lr is not above 0", lr)
        self.refuse(not lr_power <= 0, "lr_power is above 0", lr_power)
        self.refuse(
            not initial_accumulator_value >= 0,
            "initial_accumulator_value is negative",
            initial_accumulator_value,
        )

    @staticmethod
    def init(
        parameter: Tensor, *, initial_accumulator_value: float, **_: Any
    ) -> dict[str, Tensor]:
        start = filled(parameter.shape, initial_accumulator_value, parameter)
        return {"accumulator": start, **zeros(parameter, "linear")}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        lr_power: float,
        initial_accumulator_value: float,
        l1: float,
        l2: float,
        l2_shrinkage: float,
        beta: float,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "over_lr": 1 / lr,
            "power": None if _is(lr_power, -0.5) else -lr_power,
            "low": -l1,
            "high": l1,
            "added": 2 * l2 + beta / lr,
            "shrinkage": unless_zero(2 * l2_shrinkage),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        over_lr: float,
        power: float | None,
        low: float,
        high: float,
        added: float,
        shrinkage: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient

        def raised(x: Tensor) -> Tensor:
            return plait.sqrt(x) if power is None else x**power

        before = state["accumulator"]
        after = before + gradient * gradient
        size = raised(after)
        linear = state["linear"] + gradient
        linear = linear - (size - raised(before)) * over_lr * parameter
        if shrinkage is not None:
            linear = linear + parameter * shrinkage
        divisor = size * over_lr + added
        new = plait.clip(linear, low, high) - linear
        # Nothing has happened yet where the divisor is 0.
        new = plait.where(divisor > 0, new / divisor, parameter)
        return new, {"accumulator": after, "linear": linear}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.5},
            {"lr": 0.3, "l1": 0.01, "l2": 0.02, "initial_accumulator_value": 0.0},
            {"lr": 0.1, "lr_power": -0.3, "l2_shrinkage": 0.1, "beta": 0.5},
            {"lr": 0.1, "l1": 0.5, "maximize": True},
        ]


def _is(x: Any, number: float) -> bool:
    return not isinstance(x, Tensor) and x == number
