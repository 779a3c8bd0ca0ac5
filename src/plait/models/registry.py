"""The list of all models by name: how each is made, what it takes, and its weights.

A family's file says in one line for each of its models what it is:

    resnet34 = model("resnet34", 21_797_672, "ResNet-34", ResNet, BasicBlock, _34)

Read first: `model`, `names`, `get_model`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..arguments import Size, checked
from ..errors import ArgumentError

Net = TypeVar("Net", bound=nn.Module)
Made = TypeVar("Made", bound=nn.Module, covariant=True)
Weights = str | os.PathLike[str] | None
Arrays = dict[str, NDArray[Any]]

_ARGUMENTS = """

    Args:
        num_classes: how many classes there are. Default: {classes}.
        weights: a file of weights, which may be one of PyTorch's: see
            `nn.read_weights`{more}. Default: new random ones.
        options: arguments of `{kind}`.

    Raises:
        ArgumentError: there are no such weights; those in the file do not fit.
"""
_PACKAGED = '; or "imagenet": trained ones out of a\n            package'


class Builder(Protocol[Made]):
    """What a model's name stands for: a function that makes one."""

    __name__: str

    def __call__(
        self, num_classes: int | None = None, weights: Weights = None, **options: Any
    ) -> Made: ...


class Input(NamedTuple):
    """What a classifier of pictures takes, as it was trained; see `prepare`.

    Attributes:
        size: height and width in pixels.
        resize: the shorter side that a picture is brought to before the middle is cut
            out of it.
        mean, std: of red, green and blue from 0 to 1: the first is subtracted, and
            what is left divided by the second.
        channels: of the picture.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channels: int = 3


class Entry(NamedTuple):
    """What is known of a model.

    Attributes:
        name: the function's name.
        parameters: how many numbers are learned, with the usual number of classes.
        about: what it is, in words.
        build: the function.
        input: what it takes; None if that is no picture.
    """

    name: str
    parameters: int
    about: str
    build: Builder[nn.Module]
    input: Input | None


ENTRIES: dict[str, Entry] = {}


def model(
    name: str,
    parameters: int,
    about: str,
    make: Callable[..., Net],
    *arguments: Any,
    kind: str = "",
    classes: int = 1000,
    input: Input | None = Input(),  # noqa: B008 (a constant)
    imagenet: Callable[[], Arrays] | None = None,
    rename: Callable[[Arrays], Arrays] = dict,
    **settings: Any,
) -> Builder[Net]:
    """Put a model on the list, and return the function that makes it.

    Args:
        name: under which `plait.models` has it.
        parameters: how many numbers are learned, with the usual number of classes.
        about: what it is, in words; the docstring's first line.
        make: its class, or a function that makes one.
        arguments, settings: what `make` is called with, before the user's options.
        kind: the class, if `make` is not that.
        classes: how many classes there are usually.
        input: what it takes; None if that is no picture.
        imagenet: a function that gets trained weights out of a package.
        rename: from arrays as other files have them to those of the model's names.
    """

    @checked
    def build(
        num_classes: Size | None = None, weights: Weights = None, **options: Any
    ) -> Net:
        if num_classes is not None:
            options["num_classes"] = num_classes
        made = make(*arguments, **{**settings, **options})
        if weights is not None:
            _load(made, rename(_arrays(name, weights, imagenet)))
        return made

    build.__name__ = build.__qualname__ = name
    build.__module__ = make.__module__
    build.__doc__ = f"Return {about}: {parameters:,} parameters." + _ARGUMENTS.format(
        classes=classes,
        kind=kind or make.__name__,
        more=_PACKAGED if imagenet is not None else "",
    )
    ENTRIES[name] = Entry(name, parameters, about, build, input)
    _WITH_WEIGHTS.update({name} if imagenet is not None else ())
    return build


_WITH_WEIGHTS: set[str] = set()
# What torchvision calls weights that it downloads.
_THEIRS = ("DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2")


def _arrays(
    name: str, weights: str | os.PathLike[str], imagenet: Callable[[], Arrays] | None
) -> Arrays:
    if weights in _THEIRS:
        raise ArgumentError(
            f"[{name}] weights are read from files",
            got=f"weights={weights!r}",
            expected="the path of a .pth or .safetensors file",
        )
    if weights != "imagenet":
        return nn.read_weights(weights)
    if imagenet is None:
        raise ArgumentError(
            f"[{name}] no package is known that has trained weights of this model",
            got="weights='imagenet'",
            expected="a file",
            fix=f"models with weights are {', '.join(sorted(_WITH_WEIGHTS))}",
        )
    return imagenet()


def _load(made: nn.Module, arrays: Arrays) -> None:
    """Take over the arrays; they must be all that the model has."""
    for name, tensor in made.state_dict().items():
        # Files from before PyTorch 0.4.1 do not count batches.
        if name.endswith("num_batches_tracked") and name not in arrays:
            arrays[name] = np.zeros(tensor.shape, np.int64)
    made.load_state_dict(arrays)


def names() -> dict[str, int]:
    """Return the names of all models, each with its number of parameters.

    Example:
        >>> from plait import models
        >>> models.names()["resnet50"]
        25557032
    """
    return {name: entry.parameters for name, entry in sorted(ENTRIES.items())}


def entry(name: str) -> Entry:
    """Return what is known of a model.

    Raises:
        ArgumentError: there is none of that name.
    """
    if name not in ENTRIES:
        raise ArgumentError(
            "[models] there is no model of that name",
            got=repr(name),
            expected=", ".join(sorted(ENTRIES)),
        )
    return ENTRIES[name]


def get_model(name: str, **options: Any) -> nn.Module:
    """Return a new model by its name.

    Args:
        name: one of `names`.
        options: what the function of that name takes: `num_classes`, `weights`, and
            others.

    Raises:
        ArgumentError: there is none of that name.
    """
    return entry(name).build(**options)


def parameter_count(module: nn.Module) -> int:
    """Return how many numbers a module learns."""
    return sum(parameter.size for parameter in module.parameters())
