"""Averages of weights, kept while a model trains.

Read first: `WeightAverage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import plait

from ..arguments import Probability, Size
from ..optim import AveragedModel, update_bn
from .engine import Hook, State


class WeightAverage(Hook):
    """Averages the weights of the model that is trained; at the end the model has them.

    To evaluate the average on the way, use `average` in a hook of your own; the model
    itself is not touched until the end. To resume a training, save this hook too, with
    `Checkpoint(also={"average": hook})`.

    Args:
        decay: how much of the average is kept at each update; None for the plain mean,
            as in stochastic weight averaging.
        every: what an update of the average is made after: "step" for an update of the
            parameters, or "epoch".
        start: how many of those are over before averaging begins.
        replace: give the model the averages when the training ends.
        loader: batches to measure batch normalization on again then; see
            `optim.update_bn`. None not to.

    Attributes:
        average: the `optim.AveragedModel`; None before the training.

    Source: see `optim.AveragedModel`.

    Example:
        fit(model, loader, ..., hooks=[WeightAverage(decay=0.999)])
    """

    def __init__(
        self,
        decay: Probability | None = 0.999,
        *,
        every: Literal["step", "epoch"] = "step",
        start: Size = 0,
        replace: bool = True,
        loader: Iterable[Any] | None = None,
    ) -> None:
        self.decay = decay
        self.every = every
        self.start = start
        self.replace = replace
        self.loader = loader
        self.average: AveragedModel | None = None
        self._loaded: Mapping[str, Any] | None = None

    def on_start(self, state: State) -> None:
        """Make the copy."""
        self.average = AveragedModel(state.model, self.decay)
        if self._loaded is not None:
            self.average.load_state_dict(self._loaded)
            self._loaded = None

    def on_update(self, state: State) -> None:
        """Take the new weights in."""
        if self.every == "step" and state.step > self.start and self.average:
            self.average.update_parameters(state.model)

    def on_end_epoch(self, state: State) -> None:
        """Take the new weights in."""
        if self.every == "epoch" and state.epoch > self.start and self.average:
            self.average.update_parameters(state.model)

    def on_end(self, state: State) -> None:
        """Give the model the averages."""
        if not self.replace or self.average is None:
            return
        if int(self.average.n_averaged.item()) == 0:
            return  # it never began
        own = dict(self.average.module.named_parameters())
        with plait.no_grad():
            for name, parameter in state.model.named_parameters():
                parameter.data = own[name].detach()
        if self.loader is not None:
            update_bn(self.loader, state.model)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages."""
        if self.average is None:
            return dict(self._loaded or {})
        return self.average.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        if self.average is None:
            self._loaded = dict(state_dict) or None
        elif state_dict:
            self.average.load_state_dict(state_dict)
