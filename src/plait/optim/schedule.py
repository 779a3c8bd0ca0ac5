"""Rate schedules: the learning rate as a function of the number of the step.

Each schedule is one formula, `rate`, from the number of the step and the rate that a
group began with. Rates are numbers that enter a recorded update at run time: changing
them records and compiles nothing new.

Read first: `LRScheduler`.

Source for names, arguments and defaults: PyTorch, torch.optim.lr_scheduler.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError, StateDictError
from .optimizer import Optimizer


def linear_decay(progress: float) -> float:
    """Return 1 - progress."""
    return 1 - progress


def cosine_decay(progress: float) -> float:
    """Return (1 + cos(pi progress)) / 2.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017, equation 5.
    """
    return (1 + math.cos(math.pi * progress)) / 2


class LRScheduler:
    """The base of schedules whose rate depends on the number of the step alone.

    A group's rate is set when the schedule is made, as of step 0, and by each
    `step()`. Groups keep the rate that they began with as `initial_lr`, which is saved
    with the optimizer.

    Args:
        optimizer: its groups' rates are set.
        last_epoch: the number of the last step that was made; -1 for none.

    Attributes:
        last_epoch: the number of the step whose rates are set, from 0. What a step is,
            an update or an epoch, is for the caller to say.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):  # PyTorch's, for example
            raise ArgumentTypeError(
                f"[{type(self).__name__}] an optimizer is needed",
                got=f"a {type(optimizer).__name__}",
            )
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.step()

    def rate(self, step: int, initial: float) -> float:
        """Return the rate at step number `step` of a group that began with
        `initial`.
        """
        raise NotImplementedError

    def values(self, step: int) -> list[dict[str, Any]]:
        """Return for each group the hyperparameters to set at step number `step`."""
        return [{"lr": self.rate(step, initial)} for initial in self.base_lrs]

    @property
    def base_lrs(self) -> list[float]:
        """The rates that the groups began with."""
        return [group["initial_lr"] for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step, or those of step number `epoch`."""
        number = self.last_epoch + 1 if epoch is None else epoch
        groups = self.optimizer.param_groups
        for group, values in zip(groups, self.values(number), strict=True):
            group.update(values)
        self.last_epoch = number

    def get_last_lr(self) -> list[float]:
        """Return the rates that are set."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the step. Rates are saved with the optimizer."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            StateDictError: it is not of such a schedule; nothing is changed.
        """
        own = self.state_dict()
        if state_dict.keys() != own.keys():
            raise StateDictError(
                "[load_state_dict] the state does not fit this "
                f"{type(self).__name__}; nothing was changed",
                got=", ".join(map(str, state_dict)) or "nothing",
                expected=", ".join(own),
            )
        vars(self).update(state_dict)

    def _refuse(self, condition: bool, what: str, got: Any) -> None:
        if condition:
            raise ArgumentError(f"[{type(self).__name__}] {what}", got=repr(got))


class LambdaLR(LRScheduler):
    """initial_lr * lr_lambda(step).

    Args:
        lr_lambda: from the number of the step to a factor; or one for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        if callable(lr_lambda):
            lr_lambda = [lr_lambda] * count
        self.lr_lambdas = list(lr_lambda)
        self._refuse(
            len(self.lr_lambdas) != count,
            f"one function for each of {count} groups is needed",
            len(self.lr_lambdas),
        )
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [{"lr": initial * factor(step)} for initial, factor in pairs]


class StepLR(LRScheduler):
    """initial_lr * gamma ** (step // step_size)."""

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(step_size < 1, "step_size is below 1", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma ** (step // self.step_size))


class MultiStepLR(LRScheduler):
    """initial_lr * gamma ** (how many of `milestones` are at most step)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma ** bisect_right(self.milestones, step))


class ConstantLR(LRScheduler):
    """initial_lr * factor before step `total_iters`, then initial_lr."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(not 0 <= factor <= 1, "factor is not in 0..1", factor)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return initial * self.factor if step < self.total_iters else initial


class LinearLR(LRScheduler):
    """initial_lr * a factor that goes from `start_factor` to `end_factor` on a line,
    over `total_iters` steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(
            not 0 < start_factor <= 1, "start_factor is not in (0, 1]", start_factor
        )
        self._refuse(not 0 <= end_factor <= 1, "end_factor is not in 0..1", end_factor)
        self._refuse(total_iters < 1, "total_iters is below 1", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        progress = min(step / self.total_iters, 1.0)
        growth = (self.end_factor - self.start_factor) * progress
        return initial * (self.start_factor + growth)


class ExponentialLR(LRScheduler):
    """initial_lr * gamma ** step."""

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma**step)


class PolynomialLR(LRScheduler):
    """initial_lr * (1 - min(step / total_iters, 1)) ** power."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(total_iters < 1, "total_iters is below 1", total_iters)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        progress = min(step / self.total_iters, 1.0)
        return float(initial * linear_decay(progress) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """eta_min + (initial_lr - eta_min) * (1 + cos(pi step / T_max)) / 2.

    After `T_max` steps the rate grows again, as the cosine does.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017, equation 5.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(T_max < 1, "T_max is below 1", T_max)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        share = cosine_decay(step / self.T_max)
        return self.eta_min + (initial - self.eta_min) * share


class CosineAnnealingWarmRestarts(LRScheduler):
    """`CosineAnnealingLR` down to `eta_min`, again and again: at first over `T_0`
    steps, then each time over `T_mult` times as many as before.

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


class OneCycleLR(LRScheduler):
    """Up to a greatest rate and down again, far below the first; the momentum the
    other way round.

    From max_lr / div_factor to max_lr over the first `pct_start` of all steps, then to
    max_lr / div_factor / final_div_factor over the rest. With `three_phase`, the way
    down to the first rate is as long as that up, and then follows the rest.

    Args:
        max_lr: the greatest rate, or one for each group.
        total_steps: how many steps there are.
        epochs, steps_per_epoch: give them instead of `total_steps`, their product.
        pct_start: the share of steps on which the rate grows.
        anneal_strategy: "cos" for a half wave of a cosine, or "linear".
        cycle_momentum: also set the momentum, or the first of betas, from
            `max_momentum` to `base_momentum` and back.

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
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
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
        self._momentum = None
        if cycle_momentum:
            known = ("momentum", "betas")
            self._momentum = next((x for x in known if x in optimizer.defaults), None)
            self._refuse(
                self._momentum is None,
                "the optimizer has no momentum to set with cycle_momentum",
                type(optimizer).__name__,
            )
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
            momentum = between(momenta[before], momenta[after])
            if self._momentum == "betas":
                values["betas"] = (momentum, *group["betas"][1:])
            elif self._momentum is not None:
                values["momentum"] = momentum
            result.append(values)
        return result


class SequentialLR(LRScheduler):
    """One schedule after another.

    Args:
        schedulers: of the same optimizer. Each begins with its step 0.
        milestones: the steps at which all but the first begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[Any],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.schedulers: list[Any] = list(schedulers)
        self.milestones = list(milestones)
        self._refuse(
            len(self.schedulers) != len(self.milestones) + 1,
            "there is one milestone less than schedulers",
            f"{len(self.milestones)} for {len(self.schedulers)}",
        )
        self._refuse(
            sorted(self.milestones) != self.milestones,
            "milestones do not increase",
            self.milestones,
        )
        for one in self.schedulers:
            # A plateau is a matter of results, not of the number of the step.
            if not isinstance(one, LRScheduler) or one.optimizer is not optimizer:
                raise ArgumentTypeError(
                    "[SequentialLR] schedules of the same optimizer are needed, which "
                    "depend on the number of the step alone",
                    got=f"a {type(one).__name__}",
                )
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        at = bisect_right(self.milestones, step)
        begin = self.milestones[at - 1] if at else 0
        schedule: LRScheduler = self.schedulers[at]
        return schedule.values(step - begin)


class ReduceLROnPlateau:
    """Multiplies rates by `factor` when a measured number has stopped getting better.

    Args:
        mode: "min" if less is better, or "max".
        patience: how many steps without a better number are borne with.
        threshold: how much better counts as better.
        threshold_mode: "rel" for a share of the best number, or "abs".
        cooldown: steps after a reduction that are not counted.
        min_lr: rates do not go below it; or one for each group.
        eps: a change below this is left out.

    Attributes:
        best: the best number.
        num_bad_epochs: how many steps have passed since, that count.
        cooldown_counter: steps that will not be counted.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        refusals = (
            (not factor < 1, "factor is not below 1", factor),
            (mode not in ("min", "max"), "mode is neither 'min' nor 'max'", mode),
            (
                threshold_mode not in ("rel", "abs"),
                "threshold_mode is neither 'rel' nor 'abs'",
                threshold_mode,
            ),
        )
        for condition, what, got in refusals:
            if condition:
                raise ArgumentError(f"[ReduceLROnPlateau] {what}", got=repr(got))
        count = len(optimizer.param_groups)
        least = [min_lr] * count if isinstance(min_lr, (int, float)) else list(min_lr)
        if len(least) != count:
            raise ArgumentError(
                f"[ReduceLROnPlateau] one min_lr for each of {count} groups",
                got=str(len(least)),
            )
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = least
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """Take in a number, a tensor or a Python number, and set the rates."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, value: float) -> bool:
        less = self.mode == "min"
        margin = -self.threshold if less else self.threshold
        if self.threshold_mode == "rel":
            bound = self.best * (1 + margin)
        else:
            bound = self.best + margin
        return value < bound if less else value > bound

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            new = max(group["lr"] * self.factor, least)
            if group["lr"] - new > self.eps:
                group["lr"] = new

    def get_last_lr(self) -> list[float]:
        """Return the rates that are set."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured. Rates are saved with the optimizer."""
        return {name: getattr(self, name) for name in _PLATEAU}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            StateDictError: it is not of such a schedule; nothing is changed.
        """
        if state_dict.keys() != set(_PLATEAU):
            raise StateDictError(
                "[load_state_dict] the state does not fit this ReduceLROnPlateau; "
                "nothing was changed",
                got=", ".join(map(str, state_dict)) or "nothing",
                expected=", ".join(_PLATEAU),
            )
        vars(self).update(state_dict)


_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
