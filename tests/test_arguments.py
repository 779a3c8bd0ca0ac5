"""What annotations say of values, and what errors say of those that do not fit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest

import plait
from plait import nn
from plait.arguments import (
    ANYTHING,
    Arrays,
    Checked,
    Count,
    Decay,
    Positive,
    Probability,
    Size,
    Sizes,
    checked,
    kind_of,
    shown,
)
from plait.errors import ArgumentError, ArgumentTypeError

ONE = plait.ones(2)
# Annotation -> its words, what fits, what would fit but for its size, what does not.
KINDS = {
    "int": (int, "an integer", [0, np.int8(2)], [2**63, -(2**64)], [True, 1.0, "1"]),
    "float": (float, "a number", [0, 1.5, np.float16(2)], [], [True, "1", 1j, None]),
    "bool": (bool, "True or False", [True, np.True_, 0, 1], [], [2, 1.0, None]),
    "or none": (int | None, "an integer or None", [3, None], [], ["", 1.5]),
    "three": (int | str | None, "an integer, a string or None", ["a"], [], [1.5]),
    "size": (Size, "an integer of at least 0", [0, 5], [-1], [1.0]),
    "count": (Count, "an integer of at least 1", [1], [0, 2**70], [None]),
    "probability": (
        Probability, "a number from 0 to 1", [0, 1, 0.5], [1.5, float("nan")], ["a"],
    ),
    "positive": (Positive, "a number above 0", [1e-9, 3], [0, float("nan")], [None]),
    "decay": (Decay, "a number of at least 0 and below 1", [0], [1, -0.1], [None]),
    "sizes": (
        Sizes, "an integer of at least 0 or a list or tuple of integers of at least 0",
        [3, (1, 2), [0], np.array([1, 2])], [-1, (1, -2)], ["12", (1, "a"), 1.5],
    ),
    "pair": (
        tuple[float, float], "a tuple of 2 numbers", [(1, 2.5), [0, 1]], [(1,)],
        [("a", 1), 3],
    ),
    "two": (tuple[int, str], "a tuple of an integer, a string", [(1, "a")], [()], [1]),
    "words": (Literal["a", "b"], "'a' or 'b'", ["a"], ["c"], [1, None]),
    "strings": (Sequence[str], "a list or tuple of strings", [["a"]], [], ["a", [1]]),
    "iterable": (Iterable[Any], "an iterable", [iter(()), "a", [1]], [], [3, None]),
    "function": (Callable[[int], int], "a function", [abs, int], [], [3]),
    "class": (type[int], "a class", [int], [], [3]),
    "dict": (Mapping[str, int], "a dict", [{}], [], [[], None]),
    "tensor": (plait.Tensor, "a tensor", [ONE], [], [np.ones(2), [1.0], 3]),
    "module": (nn.Module, "a Module", [nn.ReLU()], [], [nn.ReLU, abs]),
    "arrays": (
        Annotated[float | plait.Tensor, Arrays], "a number or a tensor",
        [1, ONE, np.ones(2), [1.0], np.float32(1)], [], ["a", None, object()],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name):
    annotation, words, fitting, sized, others = KINDS[name]
    kind = kind_of(annotation)
    assert kind.one == words
    for x in fitting:
        assert (kind.fits(x, True), kind.fits(x, False)) == (True, True), x
    for x in sized:
        assert (kind.fits(x, True), kind.fits(x, False)) == (False, True), x
    for x in others:
        assert (kind.fits(x, True), kind.fits(x, False)) == (False, False), x
    for x in (*sized, *others):
        assert type(x) not in kind.classes, x


@pytest.mark.parametrize("annotation", [Any, object, Any | None, "no annotation"])
def test_what_says_nothing_of_use(annotation):
    assert kind_of(annotation) is ANYTHING


def test_what_is_shown_of_a_value():
    assert shown("a" * 100) == "'" + "a" * 76 + "..."
    assert shown([1, "a", None]) == "[1, 'a', None]"
    assert shown([ONE]) == "a list"
    assert shown(ONE) == "a Tensor of shape (2,)"
    assert shown(np.ones(())) == "an array of shape ()"
    assert shown(np.float32(0.5)) == "0.5"
    assert shown(object()) == "an object"


@checked
def scaled(x: int, *others: Any, factor: Size = 1, **named: Any) -> int:
    return x * factor + len(others) + len(named)


def test_a_checked_function():
    assert scaled(2, "a", factor=3, more=None) == 8
    with pytest.raises(ArgumentTypeError, match=r"\[scaled\] x must be an integer\."):
        scaled(2.5)
    with pytest.raises(ArgumentError, match=r"\[scaled\] factor must be .* Got: -1"):
        scaled(2, factor=-1)
    with pytest.raises(
        ArgumentTypeError, match=r"is missing\. Got: no x\. Expected: sca"
    ):
        scaled(factor=3)


def test_errors_from_inside_are_left_alone():
    @checked
    def failing(x: int) -> None:
        raise TypeError("from inside")

    with pytest.raises(TypeError, match="from inside") as caught:
        failing(3)
    assert type(caught.value) is TypeError


def test_classes_of_others_are_not_checked():
    class Mine(Checked):
        def __init__(self, x: int) -> None:
            self.x = x

    assert Mine("a").x == "a"
