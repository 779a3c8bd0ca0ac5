"""Schedule-free learning: an average of points in place of a rate that goes down.

Read first: `ScheduleFree`, `ScheduleFreeSGD`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError
from .optimizer import Optimizer
from .terms import least, root, single, unless_zero, zeros


class ScheduleFree(Optimizer):
    """What schedule-free optimizers have in common: points y, z and their average x.

    Gradients are taken at y = (1 - b) z + b x, which is what parameters hold while the
    training goes on. The average x is what to use the model with: `eval()` puts it in
    the parameters, `train()` puts y there again. Nothing calls them by itself: what
    `train.fit` measures on the way is measured at y.
    """

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize further parameters; see `Optimizer`."""
        super().add_param_group(group)
        self.param_groups[-1]["train_mode"] = True

    def eval(self) -> None:
        """Have the parameters hold the average: to evaluate or save the model."""
        self._switch(False, lambda b: 1 - 1 / b)

    def train(self) -> None:
        """Have the parameters hold what a training goes on with."""
        self._switch(True, lambda b: 1 - b)

    def _switch(self, training: bool, share: Callable[[float], float]) -> None:
        for group in self.param_groups:
            if group["train_mode"] is training:
                continue
            group["train_mode"] = training
            moving = [p for p in group["params"] if p in self.state]
            targets = [self.state[p]["z"] for p in moving]
            weight = group["betas"][0] if "betas" in group else group["momentum"]
            if moving:
                _moved_towards(moving, [*targets, float(share(weight))])

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        skip: Tensor | None = None,
    ) -> Any:
        """Update all parameters that have a gradient; see `Optimizer.step`.

        Raises:
            ArgumentError: the parameters hold the average.
        """
        if not all(group["train_mode"] for group in self.param_groups):
            raise ArgumentError(
                f"[{self.name}] the parameters hold the average, with which no "
                "training goes on",
                fix="call optimizer.train() after optimizer.eval()",
            )
        return super().step(closure, skip=skip)


class ScheduleFreeSGD(ScheduleFree):
    """Stochastic gradient descent without a schedule.

    1. g = gradient at y; g = g + weight_decay * y
    2. z = z - s * g with the rate s = lr * min(1, t / warmup_steps)
    3. w = t ** r * (greatest s so far) ** weight_lr_power; W = W + w; c = w / W
    4. x = (1 - c) * x + c * z
    5. y = momentum * x + (1 - momentum) * z

    t is the number of the step, from 1; x, y and z begin at the parameter. Parameters
    hold y; call `eval()` to have x in them, and `train()` to go on.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate, larger than with a schedule.
        momentum: how near y is to the average.
        weight_decay: factor of the decay, at y.
        warmup_steps: over how many steps the rate goes up.
        r: power of the number of the step in weights of the average.
        weight_lr_power: power of the rate in weights of the average.

    Source: A. Defazio et al., "The road less scheduled", 2024.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, *, momentum: float, warmup_steps: int, **others: Any) -> None:
        super().check(**others)
        self.refuse(not 0 < momentum < 1, "momentum is not between 0 and 1", momentum)
        self.refuse(warmup_steps < 0, "warmup_steps is negative", warmup_steps)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return _start(parameter)

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        warmup_steps: int,
        r: float,
        weight_lr_power: float,
    ) -> dict[str, Any]:
        return {
            **_rates(step, lr, warmup_steps, r, weight_lr_power),
            "momentum": momentum,
            "weight_decay": unless_zero(weight_decay),
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        rate: float,
        growth: float,
        power: float,
        momentum: float,
        weight_decay: float | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if weight_decay is not None:
            gradient = gradient + parameter * weight_decay
        return _averaged(parameter, gradient, state, rate, growth, power, momentum)

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.1, "r": 4.0},
            {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1, "warmup_steps": 4},
            {"lr": 0.1, "r": 1.0, "weight_lr_power": 1.0},
        ]


class ScheduleFreeAdamW(ScheduleFree):
    """AdamW without a schedule.

    As `ScheduleFreeSGD` with beta1 for the momentum, but step 1 is

    1. v = beta2 * v + (1 - beta2) * g ** 2;
       g = g / (sqrt(v / (1 - beta2 ** t)) + eps) + weight_decay * y

    v begins at 0. Parameters hold y; call `eval()` to have the average x in them, and
    `train()` to go on.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate.
        betas: beta1, how near y is to the average, and beta2, how much of the mean
            square is kept.
        eps: keeps the divisor from 0.
        weight_decay: factor of the decay, at y.
        warmup_steps: over how many steps the rate goes up.
        r: power of the number of the step in weights of the average.
        weight_lr_power: power of the rate in weights of the average.

    Source: A. Defazio et al., "The road less scheduled", 2024, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self, *, betas: tuple[float, float], warmup_steps: int, **others: Any
    ) -> None:
        super().check(betas=betas, **others)
        self.refuse(not betas[0] > 0, "beta1 is not between 0 and 1", betas)
        self.refuse(warmup_steps < 0, "warmup_steps is negative", warmup_steps)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return {**zeros(parameter, "exp_avg_sq"), **_start(parameter)}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        warmup_steps: int,
        r: float,
        weight_lr_power: float,
    ) -> dict[str, Any]:
        beta1, beta2 = betas
        return {
            **_rates(step, lr, warmup_steps, r, weight_lr_power),
            "momentum": beta1,
            "old2": beta2,
            "new2": 1 - beta2,
            "scale": root(1 - beta2**step),
            "eps": eps,
            "weight_decay": unless_zero(weight_decay),
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        rate: float,
        growth: float,
        power: float,
        momentum: float,
        old2: float,
        new2: float,
        scale: float,
        eps: float,
        weight_decay: float | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        second = state["exp_avg_sq"] * old2 + gradient * gradient * new2
        step = gradient / (plait.sqrt(second) / scale + eps)
        if weight_decay is not None:
            step = step + parameter * weight_decay
        new, kept = _averaged(parameter, step, state, rate, growth, power, momentum)
        return new, {"exp_avg_sq": second, **kept}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.1},
            {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.1, "warmup_steps": 5, "r": 1.0, "weight_lr_power": 1.0},
        ]


def _start(parameter: Tensor) -> dict[str, Tensor]:
    scalars = {name: single(parameter) for name in ("weight_sum", "lr_max")}
    return {"z": parameter.detach(), **scalars}


def _rates(step: Any, lr: Any, warmup: Any, r: Any, power: Any) -> dict[str, Any]:
    started = least(step / warmup, 1.0) if unless_zero(warmup) is not None else 1.0
    return {"rate": lr * started, "growth": step**r, "power": power}


def _averaged(
    y: Tensor,
    step: Tensor,
    state: dict[str, Tensor],
    rate: Any,
    growth: Any,
    power: Any,
    momentum: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return y and the rest after a step of z; x is not kept: y and z give it."""
    highest = plait.maximum(state["lr_max"], rate)
    weight = highest**power * growth
    total = state["weight_sum"] + weight
    # A rate of 0 has no weight.
    share = plait.where(total > 0, weight / plait.where(total > 0, total, 1.0), 0.0)
    z = state["z"]
    back = momentum * (1.0 - share) - 1.0
    y = y + (z - y) * share + step * (back * rate)
    return y, {"z": z - step * rate, "weight_sum": total, "lr_max": highest}


@plait.updating
def _moved_towards(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    *targets, share = operands
    pairs = zip(tensors, targets, strict=True)
    return [(x + (target - x) * share).to(x.dtype) for x, target in pairs]
