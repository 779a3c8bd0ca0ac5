"""Checkpoints: a training written to one file, to go on from bit for bit.

The file is of the safetensors format: arrays by name, and the structure around them as
JSON text in its metadata. Reading one runs no code that it brings.

Read first: `Checkpoint`, `save_checkpoint`, `load_checkpoint`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

import plait

from ..arguments import Count
from ..errors import ArgumentError, ArgumentTypeError, FileFormatError, StateDictError
from ..nn.weights import load_metadata, load_weights, save_weights
from .engine import Hook, State
from .stop import Best

_KEY = "plait.checkpoint"
_VERSION = 1


def save_checkpoint(
    path: str | os.PathLike[str],
    state: State,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write where a training stands.

    Model, optimizer, loader (if it has a `state_dict`), default random generator, epoch
    and step. The file appears whole or not at all.

    Args:
        path: the file; an existing one is replaced when all is written.
        state: of the engine; in a hook, the one it is given.
        also: further objects with `state_dict` and `load_state_dict`, by name, such as
            a schedule of the learning rate.

    Raises:
        ArgumentTypeError: a state holds something other than tensors, numbers, texts,
            None, and lists, tuples and dictionaries of them.
        OSError: the file cannot be written.
    """
    parts = {name: part.state_dict() for name, part in _parts(state, also).items()}
    tensors: dict[str, Any] = {}
    tree = {
        "version": _VERSION,
        "epoch": state.epoch,
        "step": state.step,
        "parts": parts,
    }
    text = json.dumps(_packed(tree, tensors, ""))
    save_weights(tensors, path, {_KEY: text})


def load_checkpoint(
    path: str | os.PathLike[str],
    state: State,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Put a training where another stood when it was saved.

    Training on gives the same bits as if it had never been interrupted, if it is set
    up alike: the same model, data, hyperparameters that are not saved, and machine.
    What is averaged over an epoch that was saved half-way is averaged over its rest.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged, or no checkpoint.
        StateDictError: it is of another model, optimizer or loader, or other objects
            were saved beside them.
    """
    tree = _read(path)
    parts = _parts(state, also)
    if tree["parts"].keys() != parts.keys():
        raise StateDictError(
            f"[load_checkpoint] {os.fspath(path)} holds other objects",
            got=", ".join(tree["parts"]),
            expected=", ".join(parts),
        )
    for name, part in parts.items():
        part.load_state_dict(tree["parts"][name])
    state.epoch, state.step = tree["epoch"], tree["step"]


class Checkpoint(Hook):
    """Saves a checkpoint after epochs or steps, and goes on from it at the start.

    Args:
        path: the file, always the same one.
        every: save after so many epochs.
        every_steps: save after so many steps, besides.
        resume: at the start, go on from the file if it exists.
        also: further objects to save; see `save_checkpoint`.
        best: a number in the record, such as "test_loss": of the epochs, save only
            those that are better than all before. Hooks that write it come before this
            one.
        mode: "min" if less of it is better, "max" if more is. Default: "min" for a
            loss; for other numbers it must be given.

    Raises:
        ArgumentError: a setting makes no sense; in training: there is no such number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: Count = 1,
        every_steps: Count | None = None,
        resume: bool = True,
        also: Mapping[str, Any] | None = None,
        best: str | None = None,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        self.path = Path(path)
        self.every = every
        self.every_steps = every_steps
        self.resume = resume
        self.also = dict(also or {})
        self._best = None if best is None else Best("Checkpoint", best, mode)
        if self._best is not None:
            self.also.setdefault("best", self._best)

    def on_start(self, state: State) -> None:
        """Go on from the file."""
        if self.resume and self.path.exists():
            load_checkpoint(self.path, state, self.also)

    def on_update(self, state: State) -> None:
        """Save after a number of steps."""
        if self.every_steps is not None and state.step % self.every_steps == 0:
            save_checkpoint(self.path, state, self.also)

    def on_end_epoch(self, state: State) -> None:
        """Save after a number of epochs."""
        due = state.epoch % self.every == 0
        if due and (self._best is None or self._best.beaten(state)):
            save_checkpoint(self.path, state, self.also)


def _parts(state: State, also: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all that has a state of its own, by name."""
    parts = {"model": state.model, "optimizer": state.optimizer}
    if hasattr(state.loader, "state_dict"):
        parts["loader"] = state.loader
    parts["random"] = plait.random.default_generator
    for name, part in (also or {}).items():
        if name in parts:
            raise ArgumentError("[save_checkpoint] this name is taken", got=repr(name))
        parts[name] = part
    return parts


def _packed(value: Any, tensors: dict[str, Any], path: str) -> Any:
    """Return a tree as JSON can hold it; its tensors go into `tensors` by path."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (plait.Tensor, np.ndarray)):
        name = path.lstrip(".")
        if name in tensors:  # keys with dots in them can spell the same path
            name = f"{name}#{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping) and all(type(key) in (str, int) for key in value):
        # Pairs, because JSON would make texts of integer keys.
        pairs = value.items()
        return {
            "dict": [[key, _packed(x, tensors, f"{path}.{key}")] for key, x in pairs]
        }
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        items = enumerate(value)
        return {kind: [_packed(x, tensors, f"{path}.{i}") for i, x in items]}
    raise ArgumentTypeError(
        "[save_checkpoint] a state holds what cannot be saved",
        got=f"a {type(value).__name__} at {path.lstrip('.')}",
        expected="tensors, numbers, texts, None, and lists and dictionaries of them",
    )


def _unpacked(value: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpacked(x, tensors) for key, x in content}
    items = [_unpacked(x, tensors) for x in content]
    return {"list": items, "tuple": tuple(items)}[kind]


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tree in a checkpoint."""
    text = load_metadata(path).get(_KEY)
    if text is None:
        raise FileFormatError(
            f"[load_checkpoint] {os.fspath(path)} is no checkpoint",
            got=f"no {_KEY!r} in its metadata",
            fix="for weights alone, use nn.load_weights",
        )
    tensors = load_weights(path)
    try:
        tree = _unpacked(json.loads(text), tensors)
        version = tree["version"]
        sound = type(tree["epoch"]) is int and type(tree["step"]) is int
        sound = sound and all(type(name) is str for name in tree["parts"])
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise FileFormatError(
            f"[load_checkpoint] {os.fspath(path)} is damaged", got=str(error)
        ) from error
    if version != _VERSION or not sound:
        raise FileFormatError(
            f"[load_checkpoint] {os.fspath(path)} is of another version of plait",
            got=f"version {version}",
            expected=f"version {_VERSION}",
        )
    return dict(tree)
