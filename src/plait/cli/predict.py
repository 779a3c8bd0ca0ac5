"""`plait predict`: says which digits are in pictures.

Read first: `run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait

from ..data import digits
from .console import Failure, natural, new_parser, positive
from .digit_model import load_model
from .pictures import Picture, draw, read_pictures

_DESCRIPTION = """\
Say which digits are in pictures, with a model from `plait train digits`.

  plait predict --test-index 7      picture 7 of the test set
  plait predict seven.png           an image; paper may be light or dark
  plait predict digits.npy          an array of pictures, or an IDX file
"""
_BAR = 28


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait predict", _DESCRIPTION)
    add = parser.add_argument
    add("pictures", nargs="*", metavar="FILE", help="PNG, JPEG, .npy or IDX file")
    add("--model", default="digits.safetensors", metavar="FILE", help="the model")
    add("--test-index", type=natural, nargs="+", default=[], metavar="N",
        help="numbers of pictures of the test set")  # fmt: skip
    add("--data", metavar="SOURCE", help="the test set: as for `plait train digits`")
    add("--limit", type=positive, default=10, metavar="N",
        help="how many pictures of each file to look at")  # fmt: skip
    add("--brief", action="store_true", help="one line for each picture")
    options = parser.parse_args(arguments)
    if not options.pictures and not options.test_index:
        parser.error("name a file with pictures, or use --test-index")
    if not Path(options.model).exists():
        raise Failure(
            f"there is no model {options.model}; `plait train digits` writes one"
        )
    model = load_model(options.model)
    for name, picture, label in _pictures(options):
        chances = _probabilities(model, picture)
        verdict = _verdict(chances, label)
        if options.brief:
            print(f"{name}: {_line(chances)}{verdict}")
        else:
            print(f"{name}{verdict}\n{_table(picture, chances)}")
    return 0


def _pictures(options: Any) -> Iterator[tuple[str, Picture, int | None]]:
    """Yield what is to be looked at: a name, the picture, and its label if known."""
    for path in options.pictures:
        found = read_pictures(path)
        for i, picture in enumerate(found[: options.limit]):
            yield (path if len(found) == 1 else f"{path} [{i}]"), picture, None
        if len(found) > options.limit:
            print(f"{path}: {len(found) - options.limit} more; see --limit")
    if options.test_index:
        data = digits(options.data)
        for index in options.test_index:
            if index >= len(data.test_labels):
                last = len(data.test_labels) - 1
                raise Failure(f"there is no test picture {index}; the last is {last}")
            picture = data.test_images[index].astype(np.float32) / 255
            yield f"test picture {index}", picture, int(data.test_labels[index])


def _probabilities(model: Any, picture: Picture) -> NDArray[np.float64]:
    with plait.no_grad():
        scores = model(plait.asarray(picture.reshape(1, -1)))
    # In float64, so that they sum to 1 as they are printed.
    scores = np.asarray(scores.numpy()[0], np.float64)
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())


def _verdict(chances: NDArray[np.float64], label: int | None) -> str:
    if label is None:
        return ""
    return f", a {label}: {'right' if chances.argmax() == label else 'wrong'}"


def _line(chances: NDArray[np.float64]) -> str:
    best = int(chances.argmax())
    return f"{best} with {100 * chances[best]:.1f} %"


def _table(picture: Picture, chances: NDArray[np.float64]) -> str:
    """Return the picture with the probability of each digit beside it."""
    beside = ["", "", *[""] * 10, "", ""]
    for digit, chance in enumerate(chances):
        mark = ">" if digit == chances.argmax() else " "
        bar = "#" * round(_BAR * chance)
        beside[digit + 2] = f"{mark} {digit}  {100 * chance:5.1f} %  {bar}"
    rows = zip(draw(picture), beside, strict=True)
    return "\n".join(f"  {left}  {right}".rstrip() for left, right in rows).strip("\n")
