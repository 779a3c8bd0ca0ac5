"""Every public class and function says in its docstring what a user must know."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import pytest

import plait
from plait import data, distributions, metrics, models, nn, optim, train

ROOMS: tuple[Any, ...] = (nn, optim, metrics, distributions, models, data, train)
LIMIT = 88
NAME = re.compile(r"[A-Za-z_]\w*").findall

# What is documented elsewhere for all classes alike.
COMMON = {"device", "dtype"}

# Modules that take and give what those inside them do, whatever its shape.
ANY_SHAPE = {"AveragedModel", "Lambda", "Parallel", "Sequential"}

# Optimizers that have others make the steps, with no formula of their own.
WRAPPERS = {"Accumulate", "MultiOptimizer"}

# Bases of classes of a kind, which are none themselves.
BASES = {"Distribution", "ExponentialFamily", "Metric", "Optimizer"}

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields", "Example", "Examples")


PUBLIC_CLASSES = [
    pytest.param(getattr(room, name), id=f"{room.__name__}.{name}")
    for room in ROOMS
    for name in room.__all__
    if isinstance(getattr(room, name), type)
]

PUBLIC_FUNCTIONS = [
    pytest.param(getattr(plait, name), id=name)
    for name in plait.__all__
    if inspect.isroutine(getattr(plait, name))
]


def parameters(call: Callable[..., Any], several: bool = False) -> list[str]:
    """Return the names that arguments have, with `several` *args and **named too."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in inspect.signature(call).parameters.values()
        if several or parameter.kind not in kinds
    ]


def sections(text: str) -> dict[str, str]:
    """Return the indented sections of a docstring by name."""
    heads = "|".join(SECTIONS)
    found = re.findall(rf"^({heads}):\n((?: {{4}}.*\n|\n)*)", text + "\n", re.MULTILINE)
    return {name: body.strip("\n") for name, body in found}


def entries(body: str) -> set[str]:
    """Return the names that a section explains; several may share an entry."""
    names: set[str] = set()
    for entry in re.split(r"\n(?= {4}\S)", body):
        head, colon, _ = re.sub(r" *\(.*?\)", "", entry).partition(":")
        if colon:
            names.update(part.strip(" *\n") for part in head.split(","))
    return names


def documentation(thing: Any) -> str:
    """Return the docstring that is the thing's own, not that of a base."""
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(own or "")


def faults_of_text(text: str) -> list[str]:
    """Return what is wrong with any docstring."""
    faults = [] if text else ["there is no docstring"]
    for line in text.splitlines():
        if len(line) > LIMIT:
            faults.append(f"a line has more than {LIMIT} columns: {line}")
    for name, body in sections(text).items():
        if not body.strip():
            faults.append(f"the section {name} is empty")
    if "TODO" in text:
        faults.append("something is left to do")
    return faults


def fields(cls: type) -> bool:
    """Return whether the class is a record, whose fields are its arguments."""
    return is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def faults_of_arguments(cls: type, text: str) -> list[str]:
    """Return what is missing or too much in what is said of the arguments."""
    parts = sections(text)
    explained = entries(parts.get("Args", ""))
    known = parameters(cls, several=True)
    faults = [f"Args: there is no {name}" for name in explained if name not in known]
    if fields(cls):
        explained |= entries(parts.get("Attributes", ""))
    missing = [p for p in parameters(cls) if p not in explained | COMMON]
    if missing:
        faults.append(f"Args: has no entry for {', '.join(missing)}")
    return faults


def faults_of_call(cls: type, text: str) -> list[str]:
    """Return what a module fails to say about what it is called with."""
    if not issubclass(cls, nn.Module) or cls.forward is nn.Module.forward:
        return []
    call = re.search(r"^(Inputs?( and result)?: .*?)(\n\n|\Z)", text, re.M | re.S)
    if call is None:
        return ['there is no line "Input: shape (...). Result: shape (...)."']
    said = call[1]
    faults = []
    if "Result:" not in said and " and result:" not in said:
        faults.append("Input: says nothing of the result")
    shaped = re.search(r"\bshapes?\b|\bscalar\b|\bmatrix\b", said)
    if not shaped and cls.__name__ not in ANY_SHAPE:
        faults.append("Input: says nothing of shapes")
    return faults


def faults_of_kind(cls: type, text: str) -> list[str]:
    """Return what a class of its kind fails to say."""
    if cls.__name__ in BASES:
        return []
    faults = []
    if issubclass(cls, metrics.Metric) and not re.search(r"^Value: ", text, re.M):
        faults.append("a metric says what its Value: is")
    if issubclass(cls, optim.Optimizer) and cls.__name__ not in WRAPPERS:
        if " = " not in text.partition("\nArgs:")[0]:
            faults.append("an optimizer gives its formula before Args:")
        if not re.search(r"^Source: ", text, re.M):
            faults.append("an optimizer gives its Source:")
    if issubclass(cls, distributions.Distribution):
        if not re.search(r"^(Density|Probability|Formula)\b[^:]*: ", text, re.M):
            faults.append("a distribution gives its Density:, Probability: or Formula:")
        if not re.search(r"\bSupport: ", text):
            faults.append("a distribution gives its Support:")
    return faults


def faults_of_class(cls: type) -> list[str]:
    """Return all that is wrong with the docstring of a class."""
    text = documentation(cls)
    return [
        *faults_of_text(text),
        *faults_of_arguments(cls, text),
        *faults_of_call(cls, text),
        *faults_of_kind(cls, text),
    ]


def mentioned(text: str) -> set[str]:
    """Return the names in code, such as `x` and `y` of `max(x, y)`."""
    return {name for code in re.findall(r"`([^`]+)`", text) for name in NAME(code)}


def faults_of_function(function: Callable[..., Any]) -> list[str]:
    """Return all that is wrong with the docstring of a function."""
    text = documentation(function)
    faults = faults_of_text(text)
    named = entries(sections(text).get("Args", "")) | mentioned(text) | COMMON
    missing = [p for p in parameters(function) if p not in named]
    if missing and not re.search(r"\b[Aa]rguments as in `", text):
        faults.append(f"nothing is said of {', '.join(missing)}")
    return faults


@pytest.mark.parametrize("cls", PUBLIC_CLASSES)
def test_classes_say_what_they_take_and_give(cls: type) -> None:
    faults = faults_of_class(cls)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("function", PUBLIC_FUNCTIONS)
def test_functions_name_their_arguments(function: Callable[..., Any]) -> None:
    faults = faults_of_function(function)
    assert not faults, "\n".join(faults)


class Poor(nn.Module):
    """Too little.

    Args:
        size: of something.
        colour: of nothing.

    Raises:
    """

    def __init__(self, size: int, width: int, height: int, dtype: Any = None) -> None:
        super().__init__()

    def forward(self, input: plait.Tensor) -> plait.Tensor:
        return input


class Good(Poor):
    """Enough.

    Args:
        size, width (both in metres): of something.
        height: of the same,
            or of something: else.

    Input: shape (n, ...). Result: the same shape.
    """


class PoorMetric(metrics.Mean):
    """The mean of something."""


class PoorDistribution(distributions.Normal):
    """Numbers.

    Args:
        loc, scale, validate_args: as usual.
    """


class PoorOptimizer(optim.SGD):
    """It goes down.

    Args:
        params, lr, momentum, dampening, weight_decay, nesterov, maximize: as usual.
    """


@pytest.mark.parametrize(
    ("cls", "faults"),
    [
        (
            Poor,
            [
                "the section Raises is empty",
                "Args: there is no colour",
                "Args: has no entry for width, height",
                'there is no line "Input: shape (...). Result: shape (...)."',
            ],
        ),
        (Good, []),
        (PoorMetric, ["a metric says what its Value: is"]),
        (
            PoorDistribution,
            [
                "a distribution gives its Density:, Probability: or Formula:",
                "a distribution gives its Support:",
            ],
        ),
        (
            PoorOptimizer,
            [
                "an optimizer gives its formula before Args:",
                "an optimizer gives its Source:",
            ],
        ),
    ],
)
def test_faults_of_classes_are_found(cls: type, faults: list[str]) -> None:
    assert faults_of_class(cls) == faults


def test_faults_of_functions_are_found() -> None:
    def poor(x: int, width: int, size: int) -> None:
        """Return `max(x, 0)` of some width."""

    def good(x: int, width: int) -> None:
        """Return `max(x, 0)`; arguments as in `poor`."""

    assert faults_of_function(poor) == ["nothing is said of width, size"]
    assert faults_of_function(good) == []
    good.__doc__ = f"TODO {'x' * 90}"
    assert [fault.split(":")[0] for fault in faults_of_function(good)] == [
        "a line has more than 88 columns",
        "something is left to do",
        "nothing is said of x, width",
    ]
