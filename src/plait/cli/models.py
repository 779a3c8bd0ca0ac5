"""The classifier of digits: made, written to a file that says what it is, and read.

Read first: `new_model`, `save_model`, `load_model`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from plait import nn

from ..errors import FileFormatError

_KEY = "plait.model"
PIXELS, CLASSES = 28 * 28, 10


def new_model(hidden: Sequence[int]) -> nn.Sequential:
    """Return a multilayer perceptron: 784 grey values to a score for each digit."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([PIXELS, *hidden, CLASSES]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def save_model(
    model: nn.Module, hidden: Sequence[int], path: str | os.PathLike[str]
) -> None:
    """Write the weights, and beside them what `load_model` must know."""
    description = {"kind": "digits", "hidden": list(hidden)}
    nn.save_weights(model, path, {_KEY: json.dumps(description)})


def load_model(path: str | os.PathLike[str]) -> nn.Sequential:
    """Return the model in a file, ready to predict.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged, or holds something else.
    """
    text = nn.load_metadata(path).get(_KEY)
    if text is None:
        raise _other_file(path, f"no {_KEY!r} in its metadata")
    weights = nn.load_weights(path)
    try:
        description = json.loads(text)
        hidden = list(description["hidden"])
        kind = description["kind"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _other_file(path, f"metadata that does not parse: {error}") from error
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    # Before anything is made: numbers in a hostile file could ask for all memory.
    if kind != "digits" or shapes != _expected_shapes(hidden):
        raise _other_file(path, f"kind {kind!r} with weights that do not fit it")
    model = new_model(hidden)
    model.load_state_dict(weights)
    model.eval()
    return model


def _expected_shapes(hidden: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (inputs, outputs) in enumerate(pairwise([PIXELS, *hidden, CLASSES])):
        shapes[f"{2 * i}.weight"] = (outputs, inputs)
        shapes[f"{2 * i}.bias"] = (outputs,)
    return shapes


def _other_file(path: str | os.PathLike[str], got: str) -> FileFormatError:
    return FileFormatError(
        f"{os.fspath(path)} is no model that `plait train digits` has written", got=got
    )
