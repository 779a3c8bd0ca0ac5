"""Rate schedules: the learning rate as a function of how far the training has come.

Read first: `RateSchedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import ArgumentError
from .engine import Hook, State


def linear_decay(progress: float) -> float:
    """Return 1 - progress."""
    return 1 - progress


def cosine_decay(progress: float) -> float:
    """Return (1 + cos(pi progress)) / 2.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017.
    """
    return (1 + math.cos(math.pi * progress)) / 2


class RateSchedule(Hook):
    """Sets the learning rate before each update: what it was at first, times a factor.

    Formula: lr = initial_lr * factor(step / (max_epochs * batches in the loader)).

    The optimizer's groups keep `initial_lr`, so that a resumed training goes on well.

    Args:
        factor: from the progress, 0 at the first step and below 1 at the last, to a
            number.
        warm_up: over this share of the training, the rate also grows from 0 on a line.
    """

    def __init__(
        self, factor: Callable[[float], float] = linear_decay, warm_up: float = 0.0
    ) -> None:
        if not 0 <= warm_up < 1:
            raise ArgumentError(
                "[RateSchedule] warm_up is a share of the training",
                got=repr(warm_up),
                expected="at least 0 and below 1",
            )
        self.factor = factor
        self.warm_up = warm_up

    def on_start(self, state: State) -> None:
        """Note the rates there are."""
        for group in state.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def on_backward(self, state: State) -> None:
        """Set the rates."""
        steps = state.max_epochs * len(state.loader)
        progress = min(state.step / steps, 1.0)
        factor = self.factor(progress)
        if progress < self.warm_up:
            # The first step is to do something already.
            factor *= min((state.step + 1) / (self.warm_up * steps), 1.0)
        for group in state.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
