"""Schedules that go up and down: with the momentum, with restarts, to averages.

Read first: `OneCycleLR`.

Source for names, arguments and defaults: PyTorch, torch.optim.lr_scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..arguments import Positive
from ..errors import ArgumentError
from .optimizer import Group, Optimizer
from .schedule import LRScheduler, cosine_decay, linear_decay


class OneCycleLR(LRScheduler):
    """Up to a greatest rate and down again, far below the first; the momentum the
    other way round.

    From max_lr / div_factor to max_lr over the first `pct_start` of all steps, then to
    max_lr / div_factor / final_div_factor over the rest. With `three_phase`, the way
    down to the first rate is as long as that up, and then follows the rest.

    Args:
        optimizer: its groups' rates are set.
        max_lr: the greatest rate, or one for each group.
        total_steps: how many steps there are.
        epochs, steps_per_epoch: give them instead of `total_steps`, their product.
        pct_start: the share of steps on which the rate grows.
        anneal_strategy: "cos" for a half wave of a cosine, or "linear".
        cycle_momentum: also set the momentum, or the first of betas, from
            `max_momentum` to `base_momentum` and back.
        base_momentum: the least momentum.
        max_momentum: the greatest momentum.
        div_factor: how many times less the first rate is than the greatest.
        final_div_factor: how many times less the last rate is than the first.
        three_phase: see above.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: L. Smith, N. Topin, "Super-convergence: very fast training of neural
    networks using large learning rates", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: Positive = 25.0,
        final_div_factor: Positive = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            self._refuse(
                not epochs or not steps_per_epoch,
                "total_steps is needed, or epochs and steps_per_epoch",
                {"epochs": epochs, "steps_per_epoch": steps_per_epoch},
            )
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        self._refuse(total_steps < 1, "total_steps is below 1", total_steps)
        self._refuse(not 0 <= pct_start <= 1, "pct_start is not in 0..1", pct_start)
        self._refuse(
            anneal_strategy not in ("cos", "linear"),
            "anneal_strategy is neither 'cos' nor 'linear'",
            anneal_strategy,
        )
        count = len(optimizer.param_groups)
        rates = [max_lr] * count if isinstance(max_lr, (int, float)) else list(max_lr)
        self._refuse(
            len(rates) != count, f"one max_lr for each of {count} groups", len(rates)
        )
        self.total_steps = total_steps
        self.max_lrs = rates
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.momenta = (base_momentum, max_momentum)
        self._decay = cosine_decay if anneal_strategy == "cos" else linear_decay
        self._cycled = _cycled(type(self).__name__, optimizer, cycle_momentum)
        # Where each phase ends, and which of (least, first, greatest) rates it ends at.
        up = float(pct_start * total_steps) - 1
        ends = [(up, 2), (2 * up, 1), (total_steps - 1, 0)]
        self._phases = ends if three_phase else [ends[0], ends[2]]
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        self._refuse(
            step > self.total_steps,
            f"the cycle of {self.total_steps} steps is over",
            f"step {step}",
        )
        step = min(step, self.total_steps - 1)
        start, before = 0.0, 1
        for end, after in self._phases:
            if step <= end:
                break
            start, before = end, after
        progress = (step - start) / (end - start) if end > start else 1.0
        share = self._decay(progress)  # of what was before

        def between(low: float, high: float) -> float:
            return high + (low - high) * share

        result = []
        low, high = self.momenta
        momenta = (high, high, low)
        groups = self.optimizer.param_groups
        for group, greatest in zip(groups, self.max_lrs, strict=True):
            first = greatest / self.div_factor
            rates = (first / self.final_div_factor, first, greatest)
            values: dict[str, Any] = {"lr": between(rates[before], rates[after])}
            if self._cycled:
                momentum = between(momenta[before], momenta[after])
                values.update(_with_momentum(group, momentum))
            result.append(values)
        return result


class CosineAnnealingWarmRestarts(LRScheduler):
    """`CosineAnnealingLR` down to `eta_min`, again and again: at first over `T_0`
    steps, then each time over `T_mult` times as many as before.

    Args:
        optimizer: its groups' rates are set.
        T_0: steps of the first way down. At least 1.
        T_mult: how many times longer each next one is. At least 1.
        eta_min: the least rate.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(type(T_0) is not int or T_0 < 1, "T_0 is below 1", T_0)
        self._refuse(type(T_mult) is not int or T_mult < 1, "T_mult is below 1", T_mult)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        if self.T_mult == 1:
            length, step = self.T_0, step % self.T_0
        else:
            length = self.T_0
            while step >= length:
                step -= length
                length *= self.T_mult
        share = cosine_decay(step / length)
        return self.eta_min + (initial - self.eta_min) * share


class CyclicLR(LRScheduler):
    """Up on a line and down again, over and over; the momentum the other way round.

    Formula: base_lr + (max_lr - base_lr) * h * scale, where h goes from 0 to 1 over
    `step_size_up` steps and back over `step_size_down`.

    Args:
        optimizer: its groups' rates are set.
        base_lr: the least rate, or one for each group.
        max_lr: the greatest rate, or one for each group.
        step_size_up: how many steps it goes up.
        step_size_down: how many it goes down. Default: as many.
        mode: what scale is: "triangular" for 1, "triangular2" for half as much in each
            cycle, "exp_range" for gamma ** step.
        gamma: for "exp_range".
        scale_fn: another scale in place of `mode`: from the number of the cycle, from
            1, or of the step.
        scale_mode: "cycle" or "iterations": what `scale_fn` is given.
        cycle_momentum: also set the momentum, or the first of betas, from
            `max_momentum` to `base_momentum` and back.
        base_momentum: the least momentum, or one for each group.
        max_momentum: the greatest momentum, or one for each group.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: L. Smith, "Cyclical learning rates for training neural networks", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        known = {
            "triangular": ("cycle", _same),
            "triangular2": ("cycle", _halved),
            "exp_range": ("iterations", lambda step: gamma**step),
        }
        self._refuse(
            scale_fn is None and mode not in known,
            f"mode is none of {', '.join(known)}",
            mode,
        )
        self._refuse(
            scale_mode not in ("cycle", "iterations"),
            "scale_mode is neither 'cycle' nor 'iterations'",
            scale_mode,
        )
        down = step_size_up if step_size_down is None else step_size_down
        self._refuse(step_size_up <= 0, "step_size_up is not above 0", step_size_up)
        self._refuse(down < 0, "step_size_down is negative", down)
        if scale_fn is None:
            self._of, self._scale = known[mode]
        else:
            self._of, self._scale = scale_mode, scale_fn
        self.total_size = step_size_up + down
        self.step_ratio = step_size_up / self.total_size
        self._cycled = _cycled(type(self).__name__, optimizer, cycle_momentum)
        count = len(optimizer.param_groups)
        bounds = {
            "base_lr": base_lr, "max_lr": max_lr,
            "base_momentum": base_momentum, "max_momentum": max_momentum,
        }  # fmt: skip
        self._bounds: dict[str, list[float]] = {}
        for name, given in bounds.items():
            each = [given] * count if isinstance(given, (int, float)) else list(given)
            self._refuse(
                len(each) != count, f"one {name} for each of {count} groups", len(each)
            )
            self._bounds[name] = each
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        cycle = math.floor(1 + step / self.total_size)
        place = 1 + step / self.total_size - cycle
        up = place <= self.step_ratio
        height = place / self.step_ratio if up else (place - 1) / (self.step_ratio - 1)
        height *= self._scale(cycle if self._of == "cycle" else step)
        result = []
        groups = self.optimizer.param_groups
        for group, low, high, least, most in zip(
            groups, *self._bounds.values(), strict=True
        ):
            values: dict[str, Any] = {"lr": low + (high - low) * height}
            if self._cycled:
                momentum = most - (most - least) * height
                values.update(_with_momentum(group, momentum))
            result.append(values)
        return result


class SWALR(LRScheduler):
    """From the rate that is set to `swa_lr`, over `anneal_epochs` steps; then that.

    For averages of weights, `optim.AveragedModel`: step it in place of the other
    schedule once averaging begins.

    Args:
        optimizer: its groups' rates are set.
        swa_lr: the rate to come to, or one for each group.
        anneal_epochs: over how many steps. At least 0.
        anneal_strategy: "cos" for a half wave of a cosine, or "linear".
        last_epoch: the number of the last step that was made; -1 for none.

    Source: P. Izmailov et al., "Averaging weights leads to wider optima and better
    generalization", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self._refuse(
            anneal_strategy not in ("cos", "linear"),
            "anneal_strategy is neither 'cos' nor 'linear'",
            anneal_strategy,
        )
        self._refuse(anneal_epochs < 0, "anneal_epochs is negative", anneal_epochs)
        count = len(optimizer.param_groups)
        rates = [swa_lr] * count if isinstance(swa_lr, (int, float)) else list(swa_lr)
        self._refuse(
            len(rates) != count, f"one swa_lr for each of {count} groups", len(rates)
        )
        self.swa_lrs = rates
        self.anneal_epochs = anneal_epochs
        self._decay = cosine_decay if anneal_strategy == "cos" else linear_decay
        # What another schedule has set when the first step is made.
        self.start_lrs: list[float] | None = None
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        now = [group["lr"] for group in self.optimizer.param_groups]
        if step < 1 and self.anneal_epochs:
            return [{"lr": rate} for rate in now]
        if self.start_lrs is None:
            self.start_lrs = now
        progress = min(step / self.anneal_epochs, 1.0) if self.anneal_epochs else 1.0
        share = self._decay(progress)
        pairs = zip(self.start_lrs, self.swa_lrs, strict=True)
        return [{"lr": swa + (start - swa) * share} for start, swa in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the step, and the rates that it began with."""
        return {**super().state_dict(), "start_lrs": self.start_lrs}


def _same(cycle: float) -> float:
    return 1.0


def _halved(cycle: float) -> float:
    return float(0.5 ** (cycle - 1))


def _cycled(name: str, optimizer: Any, wanted: bool) -> bool:
    """Return `wanted`, if the optimizer has a momentum to set."""
    groups = getattr(optimizer, "param_groups", [])
    if wanted and not any("momentum" in g or "betas" in g for g in groups):
        raise ArgumentError(
            f"[{name}] the optimizer has no momentum to set with cycle_momentum",
            got=repr(type(optimizer).__name__),
        )
    return wanted


def _with_momentum(group: Mapping[str, Any], momentum: float) -> Group:
    if "momentum" in group:
        return {"momentum": momentum}
    if "betas" in group:
        return {"betas": (momentum, *group["betas"][1:])}
    return {}
