"""`plait show`: prints the graphs that computations become.

Read first: `run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import plait
from plait import nn, optim

from .console import new_parser
from .digit_model import CLASSES, PIXELS, new_model
from .train import run_script

_DESCRIPTION = """\
Print the graphs that computations become.

  plait show                      one training step of the example `digits`
  plait show my_script.py         whatever a Python file computes
  plait show --stage graph        as recorded, before it is simplified

Each line of a graph is one value: its name, the primitive that computes it, the
operands, and its type. The environment variable PLAIT_SHOW=simplified does the
same for any program.
"""
_STAGES = ("graph", "simplified")


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait show", _DESCRIPTION)
    parser.usage = "plait show [--help] [--stage STAGE] [SCRIPT [arguments]]"
    add = parser.add_argument
    add("--example", choices=["digits"], default="digits",
        help="what to show where no script is named")  # fmt: skip
    add("--stage", choices=[*_STAGES, "all"], default="simplified",
        help="graph (as recorded), simplified, or all")  # fmt: skip
    add("script", nargs="?", metavar="SCRIPT", help="a Python file, with its arguments")
    add("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.script is None:
        _show_digits(options.stage)
        return 0
    with _shown(options.stage):
        return run_script(Path(options.script), options.rest)


@contextmanager
def _shown(stage: str) -> Iterator[None]:
    """Print graphs of `stage` as they are run, to the standard output."""
    before = plait.settings.show
    plait.settings.show = stage
    try:
        with redirect_stderr(sys.stdout):
            yield
    finally:
        plait.settings.show = before


def _show_digits(stage: str) -> None:
    """Print the graph of one step of training, as all but the first are."""
    model = new_model([128])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss_function = nn.CrossEntropyLoss()
    images = plait.zeros(64, PIXELS)
    labels = plait.zeros(64, dtype="int64")
    plait.flush()
    print(f"# one step on 64 images: {PIXELS} grey values, {CLASSES} digits, SGD")
    with _shown(stage):
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()
