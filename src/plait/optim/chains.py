"""Schedules of schedules: one after another, and all at once.

Read first: `SequentialLR`.

Source for names, arguments and defaults: PyTorch, torch.optim.lr_scheduler.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentTypeError
from .optimizer import Optimizer
from .schedule import LRScheduler


class SequentialLR(LRScheduler):
    """One schedule after another.

    Args:
        optimizer: its groups' rates are set.
        schedulers: of the same optimizer. Each begins with its step 0.
        milestones: the steps at which all but the first begin.
        last_epoch: the number of the last step that was made; -1 for none.
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
        _check("SequentialLR", optimizer, self.schedulers)
        super().__init__(optimizer, last_epoch)

    def values(self, step: int) -> list[dict[str, Any]]:
        at = bisect_right(self.milestones, step)
        begin = self.milestones[at - 1] if at else 0
        schedule: LRScheduler = self.schedulers[at]
        return schedule.values(step - begin)


class ChainedScheduler(LRScheduler):
    """The product of the factors of several schedules: rates relative to initial_lr.

    Each schedule is asked for its rate of a group; what all of them make of the initial
    rate is multiplied. Hyperparameters other than the rate are the last schedule's.

    Args:
        schedulers: of the same optimizer.
        optimizer: theirs; the first one's by default.
    """

    def __init__(
        self, schedulers: Sequence[Any], optimizer: Optimizer | None = None
    ) -> None:
        self.schedulers: list[Any] = list(schedulers)
        self._refuse(not self.schedulers, "there are no schedulers", self.schedulers)
        if optimizer is None:
            optimizer = getattr(self.schedulers[0], "optimizer", None)
        _check("ChainedScheduler", optimizer, self.schedulers)
        assert optimizer is not None
        # They have made the same number of steps; this goes on from there.
        super().__init__(optimizer, self.schedulers[0].last_epoch - 1)

    def values(self, step: int) -> list[dict[str, Any]]:
        found = [dict(x) for x in self.schedulers[0].values(step)]
        for one in self.schedulers[1:]:
            rows = zip(found, one.values(step), self.base_lrs, strict=True)
            for values, others, initial in rows:
                factor = others["lr"] / initial if initial else 1.0
                values.update({**others, "lr": values["lr"] * factor})
        return found


def _check(name: str, optimizer: Any, schedulers: Sequence[Any]) -> None:
    for one in schedulers:
        # A plateau is a matter of results, not of the number of the step.
        if not isinstance(one, LRScheduler) or one.optimizer is not optimizer:
            raise ArgumentTypeError(
                f"[{name}] schedules of the same optimizer are needed, which "
                "depend on the number of the step alone",
                got=f"a {type(one).__name__}",
            )
