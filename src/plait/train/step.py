"""One step of a training, as a thing that can be called, saved and exported.

Read first: `TrainStep`, `TrainStep.pure`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import plait
from plait import Tensor, nn, optim

from ..errors import ArgumentError, ArgumentTypeError, StateDictError
from ..optim.clip import clipped

STEP, KEY = "optimizer.step", "random.key"


class Outcome(NamedTuple):
    """What a step comes to.

    Attributes:
        loss: a scalar.
        output: what the model returned.
        state: the new state, by the names of the old one.
    """

    loss: Tensor
    output: Any
    state: dict[str, Tensor]


class TrainStep:
    """A step of a training: forward, loss, gradients, update.

    Called, it does what a loop written by hand does: the model, in training mode, is
    given the inputs, the loss function what it returns and the target; parameters are
    updated in place. `plait.export` makes of it a program for web pages that goes on
    with the same numbers.

    Args:
        model: what is trained.
        loss_function: takes the model's output and the target; returns a scalar.
        optimizer: of parameters of the model. Its groups may be changed between steps.
        clip_norm: gradients are scaled down so that their norm is at most this; None
            for no limit. See `optim.clip_grad_norm_`.

    Raises:
        ArgumentError: the optimizer has no rule for a single gradient, as `LBFGS` or
            `SAM`, or trains tensors that are no parameters of the model.

    Example:
        >>> import plait
        >>> from plait import nn, optim
        >>> from plait.train import TrainStep
        >>> model = nn.Linear(4, 2)
        >>> step = TrainStep(
        ...     model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
        ... )
        >>> loss = step(plait.ones(3, 4), plait.zeros(3, dtype=plait.int64))
        >>> loss.shape
        ()
    """

    def __init__(
        self,
        model: nn.Module,
        loss_function: Callable[[Any, Any], Tensor],
        optimizer: optim.Optimizer,
        *,
        clip_norm: float | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(
                "[TrainStep] a model is a Module", got=f"a {type(model).__name__}"
            )
        if any(one.rule is None for one in optimizer.owners()):
            raise ArgumentError(
                "[TrainStep] the optimizer has no rule that takes one gradient: it "
                "computes the loss several times in a step",
                got=f"a {type(optimizer).__name__}",
                expected="SGD, Adam, AdamW, RMSprop, Adagrad, or one like them",
                fix="train with it in a loop of your own, then export the model",
            )
        if clip_norm is not None and not clip_norm > 0:
            raise ArgumentError(
                "[TrainStep] the limit of the norm is not positive",
                got=f"clip_norm={clip_norm}",
            )
        self.model = model
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._check()

    def __call__(self, *batch: Any) -> Tensor:
        """Do a step and return the loss.

        Args:
            batch: the inputs of the model, then the target.
        """
        *inputs, target = batch
        with in_training(self.model):
            loss = self.loss_function(self.model(*inputs), target)
            self.optimizer.zero_grad()
            loss.backward()
            if self.clip_norm is not None:
                parameters = [p for _, p, _ in self._trained()]
                optim.clip_grad_norm_(parameters, self.clip_norm)
            self.optimizer.step()
        return loss.detach()

    def pure(
        self,
        state: Mapping[str, Tensor],
        batch: Sequence[Any],
        hyperparameters: Mapping[str, Any],
        left_out: Collection[str] = (),
    ) -> Outcome:
        """Return what a step makes of `state`; change nothing.

        Args:
            state: as `state()`; other buffers of the model may be there too. What it
                holds may be changed in place.
            batch: the inputs of the model, then the target.
            hyperparameters: those of `hyperparameters()`, as scalars of float64.
            left_out: names of parameters that the loss does not depend on: they stay.
        """
        *inputs, target = batch
        trained = [one for one in self._trained() if one[0] not in left_out]
        changing = {name: state[name] for name, _, _ in trained}
        own = {*self._names.values(), *dict(self.model.named_buffers())}
        kept = {n: x for n, x in state.items() if n in own and n not in changing}

        def losses(parameters: dict[str, Tensor]) -> tuple[Tensor, Any]:
            tensors = {**kept, **parameters}
            output = nn.functional_call(self.model, tensors, tuple(inputs))
            return self.loss_function(output, target), output

        with in_training(self.model), plait.random.keyed(state[KEY]) as keys:
            (loss, output), found = plait.value_and_grad(losses, has_aux=True)(changing)
            key = keys.following()
        with plait.no_grad():
            step = state[STEP] + 1
            new = {**state, **kept, STEP: step, KEY: key}
            gradients = [found[name] for name, _, _ in trained]
            if self.clip_norm is not None:
                limit = hyperparameters["clip_norm"].to(plait.float32)
                _, *gradients = clipped(limit, repr(2.0), gradients)
            number = step.to(plait.float64)
            for (name, parameter, group), gradient in zip(
                trained, gradients, strict=True
            ):
                settings = self._settings(group, hyperparameters)
                before = {
                    label: state[_of(name, label)]
                    for label in self._kept(parameter, group)
                }
                new[name], after = self._owners()[group].updated(
                    changing[name], gradient, before, number, settings
                )
                new.update((_of(name, label), x) for label, x in after.items())
        return Outcome(loss, output, new)

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers that may be others at each step, by name, as they are now.

        Those of the second group of parameters are called `lr_1` and so on. What is 0
        is not among them: a momentum that is off has no state.
        """
        found = {
            self._label(name, i): float(_number(group[name]))
            for i, group in enumerate(self.optimizer.param_groups)
            for name in self._owners()[i].defaults
            if name not in self._owners()[i].fixed and _number(group[name])
        }
        if self.clip_norm is not None:
            found["clip_norm"] = float(self.clip_norm)
        return found

    # State

    def state(self) -> dict[str, Tensor]:
        """Return all that a step changes, by name.

        Returns:
            The state dict of the model, under its own names; what the optimizer keeps,
            as `optimizer.<parameter>.<name>`; `optimizer.step`, how many steps were
            made, int32; `random.key`, the next key of the default generator.

        Raises:
            ArgumentError: some parameters were updated more often than others.
        """
        found = self.model.state_dict()
        for name, parameter, group in self._trained():
            for label, x in self._kept(parameter, group).items():
                found[_of(name, label)] = x.detach()
        found[STEP] = plait.tensor(self._steps(), dtype=plait.int32)
        found[KEY] = plait.asarray(plait.random.default_generator.following())
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a safetensors file, whole or not at all."""
        nn.save_weights(self.state(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on where the state in a file was: of `save`, or of a page's `save()`.

        The default generator goes on where that of the file was, too. Nothing is
        changed if it fails.

        Raises:
            FileNotFoundError: there is no such file.
            FileFormatError: it is damaged, or no safetensors file.
            StateDictError: names or shapes differ from this step's state.
        """
        self.load_state(nn.load_weights(path))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; see `state` and `load`.

        Raises:
            StateDictError: names or shapes differ.
        """
        given = {name: plait.asarray(x) for name, x in state.items()}
        # Pages write a parameter with several names once, and buffers that are not
        # persistent too.
        owned = {**dict(self.model.named_parameters()), **self.model.state_dict()}
        owned.update(self.model.named_parameters(remove_duplicate=False))
        first = {id(x): name for name, x in reversed(list(owned.items()))}
        expected = self.state()
        for name in expected:
            alias = first.get(id(owned.get(name)))
            if name not in given and alias in given:
                given[name] = given[alias]
        if STEP in given and not given[STEP].numpy().any():
            # Exports leave out what an optimizer begins with where it is zero.
            for name, parameter, group in self._trained():
                for label, x in self._kept(parameter, group).items():
                    given.setdefault(_of(name, label), plait.zeros_like(x))
        passing = dict(self.model.named_buffers())
        missing = [name for name in expected if name not in given]
        others = [n for n in given if n not in expected and n not in passing]
        unfit = [
            f"{name} {given[name].shape} instead of {x.shape}"
            for name, x in expected.items()
            if name in given and given[name].shape != x.shape
        ]
        if missing or others or unfit:
            raise StateDictError(
                "[TrainStep] the state does not fit; nothing was changed",
                got="; ".join(
                    f"{what}: {', '.join(names[:20])}"
                    for what, names in (
                        *(("missing", missing), ("unexpected", others)),
                        ("mis-shaped", unfit),
                    )
                    if names
                ),
            )
        names = self.model.state_dict()
        self.model.load_state_dict({name: given[name] for name in names})
        count = int(given[STEP].item())
        for name, parameter, group in self._trained():
            owner = self._owners()[group]
            owner.state[parameter] = {
                label: given[_of(name, label)].to(x.dtype)
                for label, x in self._kept(parameter, group).items()
            }
            owner.steps[parameter] = count
        low, high, first_low, first_high = map(int, given[KEY].tolist())
        plait.random.default_generator.load_state_dict(
            {"seed": low | high << 32, "stream": first_low | first_high << 32}
        )

    # What is trained

    def _check(self) -> None:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in self._names:
                    raise ArgumentError(
                        "[TrainStep] the optimizer trains a tensor that is no "
                        "parameter of the model",
                        got=f"a tensor of shape {parameter.shape}",
                        fix="make the optimizer with model.parameters()",
                    )

    def _trained(self) -> Iterator[tuple[str, Tensor, int]]:
        """Yield each parameter that is not frozen: name, tensor, and its group."""
        self._check()
        for i, group in enumerate(self.optimizer.param_groups):
            for parameter in group["params"]:
                if parameter.requires_grad:
                    yield self._names[id(parameter)], parameter, i

    def _kept(self, parameter: Tensor, group: int) -> dict[str, Tensor]:
        """Return what the optimizer keeps for a parameter, or will begin with."""
        owner = self._owners()[group]
        found = owner.state.get(parameter)
        if found is None:
            found = owner.begin(parameter, self._settings(group, {}))
        return found

    def _settings(self, group: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters of a group, the given ones in place of its own."""
        own = self.optimizer.param_groups[group]
        return {
            name: given.get(self._label(name, group), own[name])
            for name in self._owners()[group].defaults
        }

    def _owners(self) -> list[optim.Optimizer]:
        """Return the optimizer of each group: the one, or parts of a MultiOptimizer."""
        return self.optimizer.owners()

    def _label(self, name: str, group: int) -> str:
        return f"{name}_{group}" if group else name

    def _steps(self) -> int:
        counts = {
            self.optimizer.steps[p]
            for _, p, _ in self._trained()
            if p in self.optimizer.steps
        }
        if len(counts) > 1:
            raise ArgumentError(
                "[TrainStep] parameters were not updated equally often",
                got=f"{', '.join(map(str, sorted(counts)))} times",
                fix="go on with a new optimizer",
            )
        return counts.pop() if counts else 0


@contextmanager
def in_training(model: nn.Module) -> Iterator[None]:
    """Have a model in training mode inside a `with` block.

    One that is in training mode already stays as it is, so that layers inside may be in
    evaluation mode, as those are whose averages are not to move.
    """
    if model.training:
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _of(parameter: str, label: str) -> str:
    return f"optimizer.{parameter}.{label}"


def _number(x: Any) -> float:
    """Return a hyperparameter that is a number; 0 for others, such as flags."""
    if isinstance(x, Tensor):
        return float(x.item())
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        return 0
    return x
