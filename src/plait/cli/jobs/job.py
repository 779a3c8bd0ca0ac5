"""What all jobs share: their arguments, the folder they write, and their pictures.

Read first: `new_training`, `Folder`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plait import nn

from ... import plots
from ...errors import MissingExtraError
from ..console import Failure, Parser, amount, natural, new_parser, positive
from ..models import NAME, save_model


def new_job(name: str, description: str, *, lr: float) -> Parser:
    """Return a parser with the arguments that every job has, and their defaults."""
    parser = new_parser(f"plait train {name}", description)
    add = parser.add_argument
    add("--lr", type=amount, default=lr, metavar="RATE",
        help="learning rate at first")  # fmt: skip
    add("--output", default=name, metavar="FOLDER",
        help="where the model and the pictures are put")  # fmt: skip
    add("--quiet", action="store_true", help="print nothing")
    return parser


def new_training(
    name: str, description: str, *, epochs: int, batch_size: int, lr: float
) -> Parser:
    """Return a parser with the arguments of a job that goes through data."""
    parser = new_job(name, description, lr=lr)
    add = parser.add_argument
    add("--epochs", type=positive, default=epochs, metavar="N",
        help="how often to go through the data")  # fmt: skip
    add("--batch-size", type=positive, default=batch_size, metavar="N",
        help="examples for each step")  # fmt: skip
    add("--seed", type=natural, default=0, metavar="N",
        help="of the first weights and the order")  # fmt: skip
    return parser


class Folder:
    """Where a job leaves what it made.

    It is made before the training, so that nobody waits for a training in vain.

    Args:
        path: of the folder; the one that it is to be in must be there.
        quiet: print nothing.
    """

    def __init__(self, path: str, quiet: bool) -> None:
        self.path = Path(path)
        self.quiet = quiet
        self._written: list[str] = []
        self._refused = False  # pictures, as a library is not there
        if not self.path.absolute().parent.is_dir():
            raise Failure(f"{path}: the folder it would be in does not exist")
        self.path.mkdir(exist_ok=True)

    def save(self, model: nn.Module, kind: str, config: Mapping[str, Any]) -> None:
        """Write the model."""
        save_model(model, kind, config, self.file(NAME))

    def draw(self, name: str, picture: Any, *what: Any, **how: Any) -> None:
        """Write a picture, with a function of `plots`; say so if that cannot be.

        Args:
            name: of the file.
            picture: the function, which is called with `what`, a `path` and `how`.
        """
        try:
            picture(*what, path=self.path / name, **how)
        except MissingExtraError as error:
            if not self.quiet and not self._refused:
                print(f"no pictures: {error.what}; {error.fix}")
            self._refused = True
            return
        self._written.append(name)

    def file(self, name: str) -> Path:
        """Return where to write a file."""
        self._written.append(name)
        return self.path / name

    def report(self, next_command: str = "") -> None:
        """Print what was written, and what may be done with it."""
        if self.quiet:
            return
        print(f"wrote {', '.join(self._written)} to {self.path}/")
        if next_command:
            print(f"now try: {next_command}")


def on_test_picture(options: Any) -> str:
    """Return how to ask the model about a picture of the same data."""
    source = f" --data {shlex.quote(options.data)}" if options.data else ""
    folder = shlex.quote(options.output)
    return f"plait predict --model {folder} --test-index 0{source}"


def draw_training(
    folder: Folder,
    records: Sequence[Mapping[str, Any]],
    confusion: Any = None,
    classes: Sequence[str] | None = None,
) -> None:
    """Write learning curves, and a confusion matrix if there is one."""
    folder.draw("curves.png", plots.learning_curves, records)
    if confusion is not None:
        folder.draw("confusion.png", plots.confusion_matrix, confusion, classes)
