"""`plait show`: prints the graphs that computations become, and the programs.

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

from .console import Failure, natural, new_parser
from .jobs.mnist import CLASSES, PIXELS, new_model
from .train import run_script

_DESCRIPTION = """\
Print the graphs that computations become, and the programs that these become.

  plait show                      one training step of the example `mnist`
  plait show my_script.py         whatever a Python file computes
  plait show my_graph.txt         a graph that plait has printed before
  plait show --stage graph        as recorded, before it is simplified
  plait show --stage schedule     which kernel runs when, on what memory
  plait show --stage llvm --kernel 3

Each line of a graph is one value: its name, the primitive that computes it, the
operands, and its type. A program is shown as its schedule, or each of its
kernels as loops, as LLVM IR, or as assembly. The environment variable
PLAIT_SHOW does the same for any program: PLAIT_SHOW=simplified,loops:3.
"""
_GRAPHS = ("graph", "simplified")
_PROGRAMS = ("schedule", "loops", "llvm", "assembly")


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    parser = new_parser("plait show", _DESCRIPTION)
    parser.usage = (
        "plait show [--help] [--stage STAGE] [--kernel N] [SCRIPT [arguments]]"
    )
    add = parser.add_argument
    add("--example", choices=["mnist"], default="mnist",
        help="what to show where no script is named")  # fmt: skip
    add(
        "--stage",
        choices=[*_GRAPHS, *_PROGRAMS, "all"],
        default="simplified",
        metavar="STAGE",
        help=f"{', '.join((*_GRAPHS, *_PROGRAMS))}, or all graphs",
    )
    add(
        "--kernel",
        type=natural,
        metavar="N",
        help="of loops, llvm and assembly, only kernel N of the schedule",
    )
    add("script", nargs="?", metavar="SCRIPT",
        help="a Python file, with its arguments, or a file with a graph")  # fmt: skip
    add("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.kernel is not None and options.stage not in _PROGRAMS[1:]:
        parser.error(f"--kernel goes with {', '.join(_PROGRAMS[1:])}")
    if options.script is None:
        _show_mnist(options.stage, options.kernel)
        return 0
    path = Path(options.script)
    if path.is_file() and path.suffix != ".py":
        print(graph_text(path, options.stage, options.kernel), end="")
        return 0
    with _shown(options.stage, options.kernel):
        return run_script(path, options.rest)


def graph_text(path: Path, stage: str, kernel: int | None) -> str:
    """Return a stage of the graph whose text is in a file."""
    try:
        traced = plait.Traced.from_text(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Failure(f"{path}: neither a Python file nor a graph") from None
    if stage == "all":
        return "\n".join(f"# {one}\n{traced.text(one)}" for one in _GRAPHS)
    if stage in _GRAPHS:
        return traced.text(stage)
    return traced.lower().text(stage, kernel)


@contextmanager
def _shown(stage: str, kernel: int | None) -> Iterator[None]:
    """Print what is run as it is at `stage`, to the standard output."""
    settings = plait.settings
    before = settings.show, settings.execution
    settings.show = ",".join(_GRAPHS) if stage == "all" else stage
    if kernel is not None:
        settings.show += f":{kernel}"
    if stage in _PROGRAMS:
        settings.execution = "compile"  # at the first run
    try:
        with redirect_stderr(sys.stdout):
            yield
    finally:
        settings.show, settings.execution = before


def _show_mnist(stage: str, kernel: int | None) -> None:
    """Print the graph of one step of training, as all but the first are."""
    model = new_model({"hidden": [128]})
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss_function = nn.CrossEntropyLoss()
    images = plait.zeros(64, PIXELS)
    labels = plait.zeros(64, dtype="int64")
    plait.flush()
    print(f"# one step on 64 images: {PIXELS} grey values, {CLASSES} digits, SGD")
    with _shown(stage, kernel):
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()
