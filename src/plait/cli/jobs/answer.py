"""What jobs share that can be asked: their arguments, and how answers are printed.

Read first: `new_prediction`, `probabilities`, `bars`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait

from ..console import Failure, Parser, new_parser

Chances = NDArray[np.float64]

_BAR = 28


def new_prediction(description: str) -> Parser:
    """Return a parser for what models of one kind can be asked."""
    parser = new_parser("plait predict", description)
    add_model(parser)
    return parser


def add_model(parser: Parser) -> None:
    """Add the argument that names the model."""
    parser.add_argument("--model", default="mnist", metavar="PATH",
        help="what the training wrote: the folder, or the model in it")  # fmt: skip


def class_names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's classes; a ValueError if they are no texts."""
    names = config["classes"]
    if not isinstance(names, list) or not all(isinstance(x, str) for x in names):
        raise ValueError("the classes have no names")
    return names


def probabilities(model: Any, inputs: Any, temperature: float = 1.0) -> Chances:
    """Return how likely a model finds each class: shape (..., classes).

    Formula: softmax(scores / temperature), in float64, so that they sum to 1 as they
    are printed.
    """
    with plait.no_grad():
        scores = model(plait.asarray(inputs)).to(plait.float64)
        chances = plait.softmax(scores / temperature, axis=-1).numpy()
    if not np.isfinite(chances).all():
        raise Failure(
            "the model's scores are no numbers; was its training rate too high?"
        )
    return np.asarray(chances)


def likeliest(names: Sequence[str], chances: Chances) -> str:
    """Return the likeliest class and its probability, as text."""
    best = int(chances.argmax())
    return f"{printable(names[best])} with {100 * chances[best]:.1f} %"


def bars(names: Sequence[str], chances: Chances) -> list[str]:
    """Return a line for each class, with a bar as long as it is likely."""
    longest = min(max(len(name) for name in names), 30)
    lines = []
    for i, (name, chance) in enumerate(zip(names, chances, strict=True)):
        mark = ">" if i == chances.argmax() else " "
        bar = "#" * round(_BAR * float(chance))
        shown = printable(name)[:longest].ljust(longest)
        lines.append(f"{mark} {shown}  {100 * chance:5.1f} %  {bar}".rstrip())
    return lines


def verdict(right: str | None, names: Sequence[str], chances: Chances) -> str:
    """Return whether the likeliest class is the right one, if that is known."""
    if right is None:
        return ""
    found = names[int(chances.argmax())]
    return f", a {printable(right)}: {'right' if found == right else 'wrong'}"


def check_index(index: int, count: int) -> None:
    """Refuse the number of a test picture that is not there."""
    if index >= count:
        raise Failure(f"there is no test picture {index}; the last is {count - 1}")


def printable(text: str) -> str:
    """Return a text of a file that is not trusted, without codes for terminals."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
