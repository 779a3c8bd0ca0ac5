"""Hooks that measure: metrics over an epoch, and evaluations at its end.

They write into `state.record`, which the logs in `log.py` read.

Read first: `Measure`, `Evaluate`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import plait

from ..arguments import shown
from ..errors import ArgumentError, ArgumentTypeError
from ..metrics import Mean, Metric, Throughput, Time
from .engine import Engine, Hook, State


class Measure(Hook):
    """Averages the loss over each epoch or evaluation, and feeds metrics.

    Writes `loss` and a value for each metric.

    Args:
        metrics: by name; each is given output and target of every batch.

    Raises:
        ArgumentTypeError: one is no metric.
    """

    def __init__(self, metrics: Mapping[str, Metric] | None = None) -> None:
        self.metrics = dict(metrics or {})
        for name, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise ArgumentTypeError(
                    f"[Measure] {name!r} is no metric",
                    got=shown(metric),
                    expected="an object such as metrics.Accuracy()",
                )
        self._loss = Mean()

    def on_start_epoch(self, state: State) -> None:
        """Forget the last epoch."""
        self._loss.reset()
        for metric in self.metrics.values():
            metric.reset()

    def on_forward(self, state: State) -> None:
        """Take in a batch."""
        if state.loss is not None:
            self._loss.add(state.loss, samples_in(state.batch))
        for metric in self.metrics.values():
            metric.add(state.output, state.target)

    def on_end_epoch(self, state: State) -> None:
        """Write what was measured."""
        state.record["loss"] = self._loss.value()
        for name, metric in self.metrics.items():
            state.record[name] = metric.value()

    on_start_evaluation = on_start_epoch
    on_end_evaluation = on_end_epoch


class Clock(Hook):
    """Writes `seconds` of each epoch's training, and `samples_per_second`."""

    def __init__(self) -> None:
        self._seconds = Time()
        self._samples = Throughput()

    def on_start_epoch(self, state: State) -> None:
        """Start to count."""
        self._seconds.reset()
        self._samples.reset()

    def on_sample(self, state: State) -> None:
        """Count the samples of a batch."""
        if state.training:
            self._samples.add(samples_in(state.batch))

    def on_end_epoch(self, state: State) -> None:
        """Write the time."""
        state.record["seconds"] = self._seconds.value()
        state.record["samples_per_second"] = self._samples.value()


class Evaluate(Hook):
    """Evaluates the model at the end of each epoch.

    Writes what it measures with `prefix` and an underscore in front: `test_loss`.

    Args:
        loader: what to evaluate on.
        metrics: by name; copies of them are used.
        prefix: "test", "valid" and so on.
        engine: says what input, output and loss are. Default: an `Engine`.
    """

    def __init__(
        self,
        loader: Any,
        metrics: Mapping[str, Metric] | None = None,
        prefix: str = "test",
        engine: Engine | None = None,
    ) -> None:
        self.loader = loader
        self.prefix = prefix
        self._engine = Engine() if engine is None else engine
        self._engine.add(Measure(copy.deepcopy(dict(metrics or {}))))

    def on_end_epoch(self, state: State) -> None:
        """Evaluate, and write what was measured."""
        done = self._engine.evaluate(state.model, state.loss_function, self.loader)
        for name, value in done.record.items():
            state.record[f"{self.prefix}_{name}"] = value


def measured(owner: str, state: State, name: str) -> Any:
    """Return a number of the record.

    Args:
        owner: the class of the hook that asks, for errors.

    Raises:
        ArgumentError: there is none of that name.
    """
    if name not in state.record:
        raise ArgumentError(
            f"[{owner}] there is no such number in the record",
            got=repr(name),
            expected=" or ".join(map(repr, state.record)),
        )
    return state.record[name]


def samples_in(batch: Any) -> int:
    """Return the number of samples in a batch: the length of its first array.

    Raises:
        ArgumentError: there is no array in it.
    """
    leaf = batch
    while isinstance(leaf, (tuple, list, Mapping)) and len(leaf):
        leaf = next(iter(leaf.values() if isinstance(leaf, Mapping) else leaf))
    shape = leaf.shape if isinstance(leaf, plait.Tensor) else getattr(leaf, "shape", ())
    if not shape:
        raise ArgumentError(
            "[train] the samples of this batch cannot be counted",
            got=f"a {type(leaf).__name__}",
            expected="an array or tensor first",
        )
    return int(shape[0])
