"""Models of the example jobs, in files that say what they hold.

Read first: `save_model`, `load_model`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plait import nn

from ..errors import FileFormatError, PlaitError
from .console import Failure

_KEY = "plait.model"
NAME = "model.safetensors"
_SMALL = 10_000  # what any model may have, of anything


def save_model(
    model: nn.Module,
    kind: str,
    config: Mapping[str, Any],
    path: str | os.PathLike[str],
) -> None:
    """Write a model's weights, and beside them what `load_model` must know.

    Args:
        kind: the job that made it.
        config: what the model is made from again, as JSON.
    """
    nn.save_weights(model, path, {_KEY: json.dumps({"kind": kind, **config})})


def model_file(path: str | os.PathLike[str]) -> Path:
    """Return the file of a model that is named by it, or by the folder it is in."""
    path = Path(path)
    return path / NAME if path.is_dir() else path


def load_model(
    path: str | os.PathLike[str],
    builders: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]],
) -> tuple[str, Any, dict[str, Any]]:
    """Return the kind of the model in a file, the model, and its configuration.

    Args:
        path: the file, or the folder that `plait train` has written.
        builders: for each kind, what makes a model from a configuration. It raises an
            error if that is not one that the job has written.

    Raises:
        Failure: there is no such file.
        FileFormatError: it is damaged, or holds something else.
    """
    job = name if (name := Path(path).name) in builders else "JOB"
    path = model_file(path)
    if not path.exists():
        raise Failure(f"there is no model {path}; `plait train {job}` writes one")
    text = nn.load_metadata(path).get(_KEY)
    if text is None:
        raise _other_file(path, f"no {_KEY!r} in its metadata")
    weights = nn.load_weights(path)
    try:
        config = json.loads(text)
        kind = config.pop("kind")
        if kind not in builders:
            raise _other_file(path, f"kind {kind!r}"[:80], expected=", ".join(builders))
        # Numbers in a hostile file must not ask for more than the file holds.
        numbers = sum(weight.size for weight in weights.values())
        if _largest(config) > max(numbers, _SMALL):
            raise ValueError(f"a size of {_largest(config)} with {numbers} weights")
        model = builders[kind](config)
        needed = {name: tensor.shape for name, tensor in model.state_dict().items()}
    except FileFormatError:
        raise
    except (
        *(PlaitError, ValueError, LookupError, TypeError),
        *(AttributeError, OverflowError, RecursionError),
    ) as error:
        got = f"metadata that describes no model: {type(error).__name__}: {error}"
        raise _other_file(path, got) from error
    if {name: tensor.shape for name, tensor in weights.items()} != needed:
        raise _other_file(path, f"{text[:200]} with weights that do not fit it")
    model.load_state_dict(weights)
    model.eval()
    return kind, model, config


def _largest(config: Mapping[str, Any]) -> int:
    """Return the largest integer in a configuration."""
    values = list(config.values())
    listed = [x for value in values if isinstance(value, list) for x in value]
    return max((x for x in values + listed if isinstance(x, int)), default=0)


def _other_file(path: Path, got: str, expected: str = "") -> FileFormatError:
    what = f"{path} is no model that `plait train` has written"
    return FileFormatError(what, got=got, expected=expected)
