"""The training loop, written once, and the places where others may join in.

An engine knows neither what the model is nor what is measured, shown or saved: hooks do
that. `fit.py` puts the usual ones together.

Read first: `Engine.train`, `State`.

Source: R. Collobert, L. van der Maaten, A. Joulin, "Torchnet: an open-source platform
for (deep) learning research", ICML workshop, 2016, for the engine and its hooks.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import plait

from ..arguments import Checked, Positive
from ..errors import ArgumentError, ArgumentTypeError
from ..optim import GradScaler, clip_grad_norm_

Listener = Callable[["State"], Any]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(eq=False)
class State:
    """What an engine is at; hooks read it and may change it.

    Attributes:
        model: called with the input; has `train`, `eval`.
        loss_function: called with output and target; None in an evaluation without.
        optimizer: has `zero_grad`, `step`. None in an evaluation.
        loader: iterates over batches.
        max_epochs: when to end.
        epoch: how many epochs are over.
        step: how many updates were made.
        training: False in an evaluation.
        batch: what the loader gave.
        input, target: its two parts.
        output: what the model made of the input.
        loss: a tensor of one element. It has a value once `on_update` is called;
            looking at it earlier runs half a step by itself, which costs time.
        record: what is known of the epoch, by name; written by hooks, for hooks.
        stopped: whether `stop` was called.
    """

    model: Any
    loss_function: Any
    optimizer: Any
    loader: Any
    max_epochs: int = 1
    epoch: int = 0
    step: int = 0
    training: bool = True
    batch: Any = None
    input: Any = None
    target: Any = None
    output: Any = None
    loss: Any = None
    record: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False

    def stop(self) -> None:
        """End the training after the hooks that are being called now."""
        self.stopped = True


class Hook(Checked):
    """A base for hooks, with every place at which one is called, in order.

    A hook may also be any other object with some of these methods.
    """

    def on_start(self, state: State) -> None:
        """Is called before the first epoch."""

    def on_start_epoch(self, state: State) -> None:
        """Is called before each epoch."""

    def on_sample(self, state: State) -> None:
        """Is called with a new batch."""

    def on_forward(self, state: State) -> None:
        """Is called with output and loss, also in an evaluation."""

    def on_backward(self, state: State) -> None:
        """Is called with gradients, before they are used."""

    def on_update(self, state: State) -> None:
        """Is called when the parameters have changed."""

    def on_end_epoch(self, state: State) -> None:
        """Is called after each epoch."""

    def on_end(self, state: State) -> None:
        """Is called after the last epoch; not if an error ended the training."""

    def on_start_evaluation(self, state: State) -> None:
        """Is called before an evaluation."""

    def on_end_evaluation(self, state: State) -> None:
        """Is called after an evaluation."""


EVENTS = tuple(name for name in vars(Hook) if name.startswith("on_"))


class Engine(Checked):
    """Runs training loops and evaluations, and calls hooks on the way.

    Tensors run when they are looked at, or at the end of `optimizer.step()`; a hook
    that looks at none costs next to nothing.

    To train something other than `loss_function(model(input), target)`, override
    `split`, `forward` or `loss`.

    Args:
        hooks: objects with methods named as those of `Hook`, called in this order.
        precision: "float32" to compute in the types that are given; "bfloat16" or
            "float16" to compute outputs and losses under `plait.autocast`; the latter
            with an `optim.GradScaler`.
        clip_norm: gradients are scaled down so that their norm is at most this; None
            for no limit. See `optim.clip_grad_norm_`.

    Attributes:
        scaler: the `GradScaler`, which has a state to save, or None.
    """

    def __init__(
        self,
        hooks: Iterable[Any] = (),
        *,
        precision: Precision = "float32",
        clip_norm: Positive | None = None,
    ) -> None:
        self.precision = precision
        self.clip_norm = clip_norm
        self.scaler = GradScaler() if precision == "float16" else None
        self._listeners: dict[str, list[Listener]] = {name: [] for name in EVENTS}
        for hook in hooks:
            self.add(hook)

    def add(self, hook: Any) -> None:
        """Call the methods of `hook` from now on.

        Raises:
            ArgumentTypeError: it has none of the methods, or one of a name like theirs
                that is never called.
        """
        names = [name for name in dir(hook) if name.startswith("on_")]
        for name in names:
            if name not in EVENTS:
                raise ArgumentTypeError(
                    f"[Engine] {type(hook).__name__} has a method that is never called",
                    got=name,
                    expected=_suggested(name),
                )
        if not names:
            raise ArgumentTypeError(
                "[Engine] this is no hook",
                got=f"a {type(hook).__name__}",
                expected="an object with a method such as on_end_epoch(state)",
                fix="for a function, use engine.on('on_end_epoch', function)",
            )
        for name in names:
            if getattr(type(hook), name, None) is not getattr(Hook, name):
                self._listeners[name].append(getattr(hook, name))

    def on(self, event: str, listener: Listener | None = None) -> Any:
        """Call the function `listener(state)` at `event`; return it.

        Without a listener, return a decorator: `@engine.on("on_update")`.

        Raises:
            ArgumentError: there is no such event.
        """
        if event not in EVENTS:
            raise ArgumentError(
                "[Engine] there is no such event",
                got=repr(event),
                expected=_suggested(event),
            )
        if listener is None:
            return lambda function: self.on(event, function)
        self._listeners[event].append(listener)
        return listener

    def train(
        self,
        model: Any,
        loss_function: Any,
        optimizer: Any,
        loader: Any,
        epochs: int = 1,
    ) -> State:
        """Train a model.

            on_start
            while epoch < max_epochs:
                model.train()
                on_start_epoch
                for batch in loader:
                    input, target = batch;              on_sample
                    output = model(input)
                    loss = loss_function(output, target); on_forward
                    optimizer.zero_grad()
                    loss.backward()
                    clip the gradients;                 on_backward
                    optimizer.step();                   on_update
                    step += 1
                epoch += 1
                on_end_epoch
            on_end

        Args:
            model: a module.
            loss_function: takes output and target, returns a tensor of one element.
            optimizer: of the model's parameters.
            loader: iterates over batches, once for each epoch.
            epochs: how often to go through the loader. A hook that goes on with an
                earlier training sets `epoch` and `step` in its `on_start`.

        Returns:
            The state at the end.
        """
        if type(epochs) is not int or epochs < 0:
            raise ArgumentError(
                "[Engine] the number of epochs must be an integer, 0 or more",
                got=repr(epochs),
            )
        state = State(model, loss_function, optimizer, loader, max_epochs=epochs)
        self._call("on_start", state)
        while state.epoch < state.max_epochs and not state.stopped:
            self._train_epoch(state)
        self._call("on_end", state)
        return state

    def _train_epoch(self, state: State) -> None:
        state.model.train()
        state.record = {}
        self._call("on_start_epoch", state)
        for batch in state.loader:
            self._forward(batch, state)
            state.optimizer.zero_grad()
            self._backward(state)
            self._call("on_backward", state)
            self._update(state)
            state.step += 1
            self._call("on_update", state)
            if state.stopped:
                return
        state.epoch += 1
        self._call("on_end_epoch", state)

    def evaluate(self, model: Any, loss_function: Any, loader: Any) -> State:
        """Go through a loader without training; the model is left in its mode.

            model.eval()
            on_start_evaluation
            for batch in loader, without gradients:
                input, target = batch;              on_sample
                output = model(input)
                loss = loss_function(output, target); on_forward
            on_end_evaluation

        Args:
            model, loader: as for `train`.
            loss_function: as for `train`, or None.

        Returns:
            The state at the end; what was measured is in its `record`.
        """
        state = State(model, loss_function, None, loader, training=False)
        was_training = model.training
        model.eval()
        try:
            with plait.no_grad():
                self._call("on_start_evaluation", state)
                for batch in loader:
                    self._forward(batch, state)
                    plait.flush()
                self._call("on_end_evaluation", state)
        finally:
            model.train(was_training)
        return state

    def _forward(self, batch: Any, state: State) -> None:
        # The last step's tensors are let go before new ones are made.
        state.batch, state.output, state.loss = batch, None, None
        state.input, state.target = self.split(batch)
        self._call("on_sample", state)
        if self.precision == "float32":
            state.output = self.forward(state)
            state.loss = self.loss(state)
        else:
            with plait.autocast(self.precision):
                state.output = self.forward(state)
                state.loss = self.loss(state)
        self._call("on_forward", state)

    def _backward(self, state: State) -> None:
        if self.scaler is None:
            state.loss.backward()
        else:
            self.scaler.scale(state.loss).backward()
            self.scaler.unscale_(state.optimizer)
        if self.clip_norm is not None:
            clip_grad_norm_(state.model.parameters(), self.clip_norm)

    def _update(self, state: State) -> None:
        if self.scaler is None:
            state.optimizer.step()
        else:
            self.scaler.step(state.optimizer)
            self.scaler.update()

    def _call(self, event: str, state: State) -> None:
        for listener in self._listeners[event]:
            listener(state)

    # What a subclass may say otherwise

    def split(self, batch: Any) -> tuple[Any, Any]:
        """Return input and target of a batch: a pair, or a dictionary of the two."""
        if isinstance(batch, Mapping) and batch.keys() >= {"input", "target"}:
            return batch["input"], batch["target"]
        if isinstance(batch, (tuple, list)) and len(batch) == 2:
            return batch[0], batch[1]
        raise ArgumentError(
            "[Engine] a batch is not an input and a target",
            got=f"a dictionary of {', '.join(map(repr, batch))}"
            if isinstance(batch, Mapping)
            else f"a {type(batch).__name__}"
            + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""),
            expected="a pair, or a dictionary with 'input' and 'target'",
            fix="make batches of arrays with data.Loader((x, y), 32); change others "
            "with map() of the data set, or override Engine.split",
        )

    def forward(self, state: State) -> Any:
        """Return the output of the model for the input in `state`."""
        return state.model(state.input)

    def loss(self, state: State) -> Any:
        """Return the loss of the output in `state`, None without a loss function."""
        if state.loss_function is None:
            return None
        return state.loss_function(state.output, state.target)


def _suggested(name: str) -> str:
    near = difflib.get_close_matches(name, EVENTS, n=1, cutoff=0.7)
    return near[0] if near else ", ".join(EVENTS)
