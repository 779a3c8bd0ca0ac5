"""Rate schedules as hooks: the learning rate as the training goes on.

The formulas are those of `plait.optim`.

Read first: `RateSchedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..arguments import Decay
from ..errors import ArgumentError
from ..optim import LambdaLR, LRScheduler, ReduceLROnPlateau, linear_decay
from .engine import Hook, State
from .measure import measured


class RateSchedule(Hook):
    """Sets the learning rate before each update or epoch.

    Formula, for a function of the progress:
    lr = initial_lr * schedule(step / (max_epochs * batches in the loader)).

    A schedule of `plait.optim` is set to the number of updates, or of epochs, that this
    training has made; the optimizer's groups keep `initial_lr`. So a training that is
    resumed goes on well. A `ReduceLROnPlateau` is told a number of the record after
    each epoch; to resume with it, save this hook too, with
    `Checkpoint(also={"rate": hook})`.

    Args:
        schedule: a schedule of `plait.optim`, made with the optimizer; or a function
            from the progress, 0 at the first step and below 1 at the last, to a
            factor, such as `optim.cosine_decay`.
        warm_up: with a function; over this share of the training, the rate also grows
            from 0 on a line.
        every: what a step of the schedule is: "step" for an update, or "epoch".
        watch: what a `ReduceLROnPlateau` is told: a name in the record, such as
            "test_loss". Hooks that write it come before this one.
    """

    def __init__(
        self,
        schedule: LRScheduler
        | ReduceLROnPlateau
        | Callable[[float], float] = linear_decay,
        warm_up: Decay = 0.0,
        *,
        every: Literal["step", "epoch"] = "step",
        watch: str = "loss",
    ) -> None:
        bound = isinstance(schedule, (LRScheduler, ReduceLROnPlateau))
        if bound and warm_up:
            raise ArgumentError(
                "[RateSchedule] warm_up goes with a function of the progress",
                got=f"a {type(schedule).__name__}",
                fix="use optim.SequentialLR with an optim.LinearLR first",
            )
        self.schedule = schedule
        self.warm_up = warm_up
        self.every = every
        self.watch = watch
        self._bound: Any = schedule if bound else None

    def on_start(self, state: State) -> None:
        """Note the rates there are."""
        if callable(self.schedule):
            factor = self._factor(self.schedule, state)
            self._bound = LambdaLR(state.optimizer, factor)
        elif self.schedule.optimizer is not state.optimizer:
            raise ArgumentError("[RateSchedule] the schedule is of another optimizer")

    def on_start_epoch(self, state: State) -> None:
        """Set the rates, of a schedule by epochs."""
        if self.every == "epoch" and isinstance(self._bound, LRScheduler):
            self._bound.step(state.epoch)

    def on_backward(self, state: State) -> None:
        """Set the rates, of a schedule by updates."""
        if self.every == "step" and isinstance(self._bound, LRScheduler):
            self._bound.step(state.step)

    def on_end_epoch(self, state: State) -> None:
        """Tell a schedule what was measured."""
        if isinstance(self._bound, ReduceLROnPlateau):
            self._bound.step(measured("RateSchedule", state, self.watch))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule."""
        bound = isinstance(self._bound, ReduceLROnPlateau)
        return self._bound.state_dict() if bound else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        if isinstance(self._bound, ReduceLROnPlateau):
            self._bound.load_state_dict(state_dict)

    def _factor(
        self, factor: Callable[[float], float], state: State
    ) -> Callable[[int], float]:
        """Return the factor as a function of the number of the step."""
        batches = len(state.loader) if self.every == "step" else 1
        steps = max(state.max_epochs * batches, 1)

        def at(step: int) -> float:
            progress = min(step / steps, 1.0)
            found = factor(progress)
            if progress < self.warm_up:
                # The first step is to do something already.
                found *= min((step + 1) / (self.warm_up * steps), 1.0)
            return found

        return at
