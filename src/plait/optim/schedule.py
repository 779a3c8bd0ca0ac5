"""Rate schedules: the learning rate as a function of the number of the step.

Each schedule is one formula, `rate`, from the number of the step and the rate that a
group began with. Rates are numbers that enter a recorded update at run time: changing
them records and compiles nothing new.

Read first: `LRScheduler`.

Source for names, arguments and defaults: PyTorch, torch.optim.lr_scheduler.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..arguments import Checked, within_plait
from ..errors import ArgumentError, ArgumentTypeError, StateDictError
from .optimizer import Optimizer


def linear_decay(progress: float) -> float:
    """Return 1 - progress.

    Args:
        progress: 0 at the beginning, 1 at the end.
    """
    return 1 - progress


def cosine_decay(progress: float) -> float:
    """Return (1 + cos(pi progress)) / 2.

    Args:
        progress: 0 at the beginning, 1 at the end.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017, equation 5.
    """
    return (1 + math.cos(math.pi * progress)) / 2


class LRScheduler(Checked):
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
        try:
            return [{"lr": self.rate(step, initial)} for initial in self.base_lrs]
        except (OverflowError, ZeroDivisionError) as error:
            if not within_plait(error):  # in a function of the user's
                raise
            numbers = [f"{k}={x}" for k, x in vars(self).items() if k != "optimizer"]
            raise ArgumentError(
                f"[{type(self).__name__}] the rate of step {step} cannot be computed",
                got=f"{error}, of {', '.join(numbers)}",
            ) from error

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
        optimizer: its groups' rates are set.
        lr_lambda: from the number of the step to a factor; or one for each group.
        last_epoch: the number of the last step that was made; -1 for none.
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
            f"lr_lambda must be a function, or one for each of {count} groups",
            len(self.lr_lambdas),
        )
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [{"lr": initial * factor(step)} for initial, factor in pairs]


class MultiplicativeLR(LRScheduler):
    """initial_lr * lr_lambda(1) * lr_lambda(2) * ... * lr_lambda(step).

    Args:
        optimizer: its groups' rates are set.
        lr_lambda: from the number of the step to a factor; or one for each group.
        last_epoch: the number of the last step that was made; -1 for none.
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
            f"lr_lambda must be a function, or one for each of {count} groups",
            len(self.lr_lambdas),
        )
        self._products = (0, [1.0] * count)  # at the step asked for last
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        at, products = self._products
        if step < at:
            at, products = 0, [1.0] * len(products)
        for i in range(at + 1, step + 1):
            pairs = zip(products, self.lr_lambdas, strict=True)
            products = [product * factor(i) for product, factor in pairs]
        self._products = max(step, 0), products
        pairs_of_rates = zip(self.base_lrs, products, strict=True)
        return [{"lr": initial * product} for initial, product in pairs_of_rates]


class StepLR(LRScheduler):
    """initial_lr * gamma ** (step // step_size).

    Args:
        optimizer: its groups' rates are set.
        step_size: how many steps have the same rate. At least 1.
        gamma: the factor.
        last_epoch: the number of the last step that was made; -1 for none.
    """

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
    """initial_lr * gamma ** (how many of `milestones` are at most step).

    Args:
        optimizer: its groups' rates are set.
        milestones: the steps from which on a further factor counts, in any order.
        gamma: the factor.
        last_epoch: the number of the last step that was made; -1 for none.
    """

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


class PiecewiseConstantLR(LRScheduler):
    """values[how many of `boundaries` are below step], as they are: no factors.

    Args:
        optimizer: its groups' rates are set.
        boundaries: the last step with each value but the last.
        values: of the rate, one more than boundaries.
        last_epoch: the number of the last step that was made; -1 for none.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        boundaries: Sequence[int],
        values: Sequence[float],
        last_epoch: int = -1,
    ) -> None:
        self.boundaries = list(boundaries)
        self.rates = list(values)
        self._refuse(
            sorted(self.boundaries) != self.boundaries,
            "boundaries do not increase",
            self.boundaries,
        )
        self._refuse(
            len(self.rates) != len(self.boundaries) + 1,
            "there is one boundary less than values",
            f"{len(self.boundaries)} for {len(self.rates)}",
        )
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return self.rates[bisect_left(self.boundaries, step)]


class ConstantLR(LRScheduler):
    """initial_lr * factor before step `total_iters`, then initial_lr.

    Args:
        optimizer: its groups' rates are set.
        factor: in 0..1.
        total_iters: for how many steps.
        last_epoch: the number of the last step that was made; -1 for none.
    """

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

    Args:
        optimizer: its groups' rates are set.
        start_factor: in (0, 1].
        end_factor: in 0..1.
        total_iters: over how many steps. At least 1.
        last_epoch: the number of the last step that was made; -1 for none.
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
    """initial_lr * gamma ** step.

    Args:
        optimizer: its groups' rates are set.
        gamma: the factor of each step.
        last_epoch: the number of the last step that was made; -1 for none.
    """

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        return float(initial * self.gamma**step)


class PolynomialLR(LRScheduler):
    """initial_lr * (1 - min(step / total_iters, 1)) ** power.

    Args:
        optimizer: its groups' rates are set.
        total_iters: over how many steps. At least 1.
        power: 1 for a line.
        last_epoch: the number of the last step that was made; -1 for none.
    """

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


class InverseTimeLR(LRScheduler):
    """initial_lr / (1 + gamma * n) ** power, where n is step / decay_steps.

    Args:
        optimizer: its groups' rates are set.
        gamma: how fast it goes down. At least 0.
        power: at which power.
        decay_steps: what n counts in.
        staircase: round n down.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: Keras, InverseTimeDecay; Caffe, the policy "inv".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        gamma: float,
        power: float = 1.0,
        decay_steps: int = 1,
        staircase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._refuse(not gamma >= 0, "gamma is negative", gamma)
        self._refuse(decay_steps < 1, "decay_steps is below 1", decay_steps)
        self.gamma = gamma
        self.power = power
        self.decay_steps = decay_steps
        self.staircase = staircase
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        n = step / self.decay_steps
        n = math.floor(n) if self.staircase else n
        return float(initial / (1 + self.gamma * n) ** self.power)


class InverseSquareRootLR(LRScheduler):
    """initial_lr * min(n / warmup_steps, sqrt(warmup_steps / n)), where n is step + 1.

    Up on a line to the rate the group began with, then down with the root of the number
    of the step: the schedule of the first transformers ("Noam"), whose greatest rate is
    (d_model * warmup_steps) ** -0.5.

    Args:
        optimizer: its groups' rates are set.
        warmup_steps: how long the rate goes up. At least 1.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: A. Vaswani et al., "Attention is all you need", 2017, equation 3.
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int = 4000, last_epoch: int = -1
    ) -> None:
        self._refuse(warmup_steps < 1, "warmup_steps is below 1", warmup_steps)
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        n = (step + 1) / self.warmup_steps
        return initial * min(n, 1 / math.sqrt(n))


class SigmoidLR(LRScheduler):
    """initial_lr / (1 + exp(-gamma * (step - step_size))).

    Args:
        optimizer: its groups' rates are set.
        gamma: how fast the rate changes; below 0 for down.
        step_size: the step at which it is half of the initial one.
        last_epoch: the number of the last step that was made; -1 for none.

    Source: Caffe, the policy "sigmoid".
    """

    def __init__(
        self, optimizer: Optimizer, gamma: float, step_size: int, last_epoch: int = -1
    ) -> None:
        self.gamma = gamma
        self.step_size = step_size
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, initial: float) -> float:
        # The hyperbolic tangent does not overflow.
        half = self.gamma * (step - self.step_size) / 2
        return initial * (1 + math.tanh(half)) / 2


class CosineAnnealingLR(LRScheduler):
    """eta_min + (initial_lr - eta_min) * (1 + cos(pi step / T_max)) / 2.

    After `T_max` steps the rate grows again, as the cosine does.

    Args:
        optimizer: its groups' rates are set.
        T_max: how many steps down. At least 1.
        eta_min: the least rate.
        last_epoch: the number of the last step that was made; -1 for none.

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
