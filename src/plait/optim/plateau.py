"""A rate that goes down when a measured number has stopped getting better.

Read first: `ReduceLROnPlateau`.

Source for names, arguments and defaults: PyTorch, torch.optim.lr_scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments import Checked
from ..errors import ArgumentError, StateDictError
from .optimizer import Optimizer


class ReduceLROnPlateau(Checked):
    """Multiplies rates by `factor` when a measured number has stopped getting better.

    Args:
        optimizer: its groups' rates are set.
        mode: "min" if less is better, or "max".
        patience: how many steps without a better number are borne with.
        threshold: how much better counts as better.
        threshold_mode: "rel" for a share of the best number, or "abs".
        cooldown: steps after a reduction that are not counted.
        min_lr: rates do not go below it; or one for each group.
        eps: a change below this is left out.
        factor: by how much; below 1.

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
