"""Training in one call: an engine with the usual hooks.

Read first: `fit`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import plait
from plait import nn, optim

from ..arguments import Positive, checked
from ..errors import ArgumentError
from ..metrics import Metric
from .engine import Engine, Hook, Precision, State
from .log import ConsoleLog
from .measure import Clock, Evaluate, Measure


class History(Hook):
    """Keeps the record of every epoch, in a list of dictionaries."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def on_end_epoch(self, state: State) -> None:
        """Keep a copy of the record."""
        self.records.append({"epoch": state.epoch, **state.record})


@checked
def fit(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    loss_function: Callable[[Any, Any], plait.Tensor],
    optimizer: optim.Optimizer,
    epochs: int = 1,
    metrics: Mapping[str, Metric] | None = None,
    evaluate_on: Any = None,
    hooks: Iterable[Any] = (),
    quiet: bool = False,
    precision: Precision = "float32",
    clip_norm: Positive | None = None,
    trace_nonfinite: bool = False,
) -> list[dict[str, Any]]:
    """Train a model, and measure and print how it goes.

    Args:
        model: a module.
        loader: batches of (input, target) to train on.
        loss_function: takes output and target, returns a tensor of one element.
        optimizer: of the model's parameters.
        epochs: how often to go through the loader.
        metrics: what to measure besides the loss, by name, such as
            `{"accuracy": Accuracy()}`.
        evaluate_on: a loader to evaluate on after each epoch, or several by name.
        hooks: further hooks, called after the usual ones, so that they can read the
            epoch's record.
        quiet: print nothing.
        precision: "bfloat16" or "float16" to compute products of matrices and
            convolutions, in training and evaluation, with numbers of 16 bits, which
            takes less time and memory; parameters stay as they are. See `Engine`.
        clip_norm: gradients are scaled down so that their norm is at most this; None
            for no limit.
        trace_nonfinite: stop with a NonFiniteError, which names the layer, op and line
            to blame, as soon as a value is nan; see `plait.trace_nonfinite`.

    Returns:
        For each epoch: `epoch`, `loss`, each metric's value, the same of each
        evaluation with its name in front (`test_loss`), `seconds` and
        `samples_per_second`.

    Raises:
        ArgumentTypeError: an argument is of another kind, such as a class instead of an
            object of it.

    Example:
        fit(model, train_loader, loss_function=nn.CrossEntropyLoss(),
            optimizer=optim.Adam(model.parameters()), epochs=5)
    """
    metrics = copy.deepcopy(dict(metrics or {}))
    history = History()
    engine = Engine(
        [Measure(metrics), Clock()], precision=precision, clip_norm=clip_norm
    )
    if evaluate_on is not None:
        if not isinstance(evaluate_on, Mapping):
            evaluate_on = {"test": evaluate_on}
        for name, one in evaluate_on.items():
            inner = Engine(precision=precision)
            engine.add(Evaluate(one, metrics, prefix=name, engine=inner))
    engine.add(history)
    if not quiet:
        engine.add(ConsoleLog())
    for hook in hooks:
        engine.add(hook)
    with plait.trace_nonfinite(trace_nonfinite or plait.settings.trace_nonfinite):
        engine.train(model, loss_function, optimizer, loader, epochs)
    return history.records


@checked
def predict(model: nn.Module, loader: Iterable[Any]) -> Any:
    """Return what a model makes of data, batch by batch, without derivatives.

    Args:
        model: a module; it is in evaluation mode meanwhile.
        loader: batches: an input; or a tuple or list whose first part is one, or a
            dictionary with `input`.

    Returns:
        The outputs of all batches, joined along their first axis: a tensor, or a tree
        of tensors, as the model returns them.

    Raises:
        ArgumentError: there are no batches.

    Example:
        classes = predict(model, Loader(images, 256)).argmax(axis=1)
    """
    outputs = []
    was_training = model.training
    model.eval()
    try:
        with plait.no_grad():
            for batch in loader:
                if isinstance(batch, Mapping) and "input" in batch:
                    batch = batch["input"]
                elif isinstance(batch, (tuple, list)):
                    batch = batch[0]
                outputs.append(model(batch))
                plait.flush()
    finally:
        model.train(was_training)
    if not outputs:
        raise ArgumentError("[predict] there are no batches")
    return plait.tree_map(lambda *parts: plait.concat(list(parts)), *outputs)


@checked
def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    loss_function: Callable[[Any, Any], plait.Tensor] | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, Any]:
    """Measure a model on data, without training it.

    Args:
        model: a module; it is in evaluation mode meanwhile.
        loader: batches of (input, target).
        loss_function: takes output and target; None to leave the loss out.
        metrics: what else to measure, by name.

    Returns:
        `loss`, and each metric's value.

    Example:
        evaluate(model, test_loader, metrics={"confusion": ConfusionMatrix(10)})
    """
    measure = Measure(copy.deepcopy(dict(metrics or {})))
    record = Engine([measure]).evaluate(model, loss_function, loader).record
    if loss_function is None:
        del record["loss"]
    return record
