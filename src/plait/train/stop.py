"""What depends on the best epoch: when to end, and which weights to keep.

Read first: `EarlyStopping`, `Best`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from ..arguments import NotNegative, Size
from ..errors import ArgumentError
from .engine import Hook, State
from .measure import measured


class Best:
    """The best value that a number in the record has had.

    Args:
        owner: the class that wants to know it, for errors.
        watch: the name of the number, such as "test_loss".
        mode: "min" if less is better, or "max". None: "min", for a loss alone.
        min_delta: how much better counts as better.

    Raises:
        ArgumentError: no mode is given for a number that is no loss.
    """

    def __init__(
        self, owner: str, watch: str, mode: str | None, min_delta: float = 0.0
    ) -> None:
        if mode is None and watch.endswith("loss"):
            mode = "min"
        if mode is None:
            raise ArgumentError(
                f"[{owner}] is less of {watch!r} better, or more?",
                fix="give a mode, 'min' or 'max'",
            )
        self.owner = owner
        self.watch = watch
        self.mode = mode
        self.min_delta = min_delta
        self.value: float | None = None

    def beaten(self, state: State) -> bool:
        """Say whether the epoch is better than all before, and keep its number if so.

        Raises:
            ArgumentError: the record has no such number.
        """
        new = measured(self.owner, state, self.watch)
        if self.value is not None:
            gain = new - self.value if self.mode == "max" else self.value - new
            # What is not a number beats nothing, and is beaten by any number.
            first = math.isnan(self.value) and not math.isnan(new)
            if not first and not gain > self.min_delta:
                return False
        self.value = new
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"value": self.value}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.value = state_dict["value"]


class EarlyStopping(Hook):
    """Ends the training when a measured number has stopped getting better.

    The model then has the weights of its best epoch. To resume a training, save this
    hook too, with `Checkpoint(also={"stop": hook})`.

    Args:
        watch: a name in the record, such as "test_loss". Hooks that write it come
            before this one.
        patience: how many epochs in a row without a better number are borne with.
        mode: "min" if less is better, "max" if more is. Default: "min" for a loss;
            for other numbers it must be given.
        min_delta: how much better counts as better.
        restore_best: at the end give the model the weights of its best epoch, also if
            it was not this hook that ended the training.

    Attributes:
        best_epoch: the number of the best epoch, from 1; 0 before the first.
        bad_epochs: how many have passed since.

    Raises:
        ArgumentError: a setting makes no sense; in training: there is no such number.

    Example:
        fit(model, loader, ..., evaluate_on=other,
            hooks=[EarlyStopping("test_accuracy", patience=2, mode="max")])
    """

    def __init__(
        self,
        watch: str = "test_loss",
        patience: Size = 3,
        mode: Literal["min", "max"] | None = None,
        min_delta: NotNegative = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.patience = patience
        self.restore_best = restore_best
        self._best = Best("EarlyStopping", watch, mode, min_delta)
        self._begin()

    def _begin(self) -> None:
        self.best_epoch = 0
        self.bad_epochs = 0
        self._best.value = None
        self._weights: Mapping[str, Any] | None = None

    @property
    def best(self) -> float | None:
        """The best number so far, None before the first epoch."""
        return self._best.value

    def on_start(self, state: State) -> None:
        """Forget an earlier training."""
        if state.epoch == 0:  # else this one goes on
            self._begin()

    def on_end_epoch(self, state: State) -> None:
        """Look at the number."""
        if self._best.beaten(state):
            self.best_epoch, self.bad_epochs = state.epoch, 0
            if self.restore_best:
                self._weights = state.model.state_dict()
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            state.stop()

    def on_end(self, state: State) -> None:
        """Give the model its best weights."""
        if self._weights is not None:
            state.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best number, its epoch and weights, and the epochs since."""
        return {
            **self._best.state_dict(),
            "best_epoch": self.best_epoch,
            "bad_epochs": self.bad_epochs,
            "weights": self._weights,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self._best.load_state_dict(state_dict)
        self.best_epoch = state_dict["best_epoch"]
        self.bad_epochs = state_dict["bad_epochs"]
        self._weights = state_dict["weights"]
