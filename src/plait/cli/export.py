"""`plait export`: makes web pages, or C, of a model that `plait train` has written.

Read first: `KINDS`, `run`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor, nn, optim

from ..data import Vocabulary
from ..train import TrainStep
from .console import Failure, amount, new_parser, positive
from .jobs import chars, cifar, mnist, sentiment
from .models import load_model

BATCH = 64
FEATURES = ("simd", "relaxed", "threads")


class Kind(NamedTuple):
    """What `export` must know of the models of a job.

    Attributes:
        new_model: makes one from its configuration.
        inputs: an example of so many rows.
        target: of a training step, too.
        loss_function: what is trained by.
        optimizer: the job's, given parameters and a rate.
        lr: the rate to begin with.
        notes: what pages may need besides.
        labels: the names of classes.
    """

    new_model: Callable[[Mapping[str, Any]], nn.Module]
    inputs: Callable[[int, Mapping[str, Any]], Any]
    target: Callable[[int, Mapping[str, Any]], Any]
    loss_function: Callable[[Any, Any], Tensor]
    optimizer: Callable[..., optim.Optimizer]
    lr: float
    notes: Callable[[Mapping[str, Any]], dict[str, Any]]
    labels: Callable[[Mapping[str, Any]], Sequence[str] | None]


class Pictures(nn.Sequential):
    """A classifier that takes colours from 0 to 1, as pages have them.

    Its state is that of the classifier, under the same names.

    Args:
        model: takes what `cifar.as_input` returns.
        config: of the model.
    """

    def __init__(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        super().__init__(*model.children())
        mean, deviation = cifar.scale(config)
        self._mean = mean
        self._deviation = np.maximum(deviation, np.float32(1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores for pictures, shape (n, 3, height, width)."""
        scores: Tensor = super().forward((x - self._mean) / self._deviation)
        return scores


def _classes(rows: int, _: Mapping[str, Any]) -> Any:
    return plait.zeros(rows, dtype=plait.int32)


def _no_notes(_: Mapping[str, Any]) -> dict[str, Any]:
    return {}


KINDS = {
    "mnist": Kind(
        mnist.new_model,
        lambda rows, _: plait.zeros(rows, mnist.PIXELS),
        _classes,
        nn.CrossEntropyLoss(),
        optim.Adam,
        3e-3,
        _no_notes,
        lambda _: mnist.DIGITS,
    ),
    "cifar": Kind(
        lambda config: Pictures(cifar.new_model(config), config),
        lambda rows, _: plait.zeros(rows, 3, cifar.SIDE, cifar.SIDE),
        _classes,
        nn.CrossEntropyLoss(),
        optim.AdamW,
        2e-3,
        _no_notes,
        lambda config: config["classes"],
    ),
    "sentiment": Kind(
        sentiment.new_model,
        lambda rows, config: plait.zeros(rows, config["length"], dtype=plait.int32),
        _classes,
        nn.CrossEntropyLoss(),
        optim.Adam,
        4e-3,
        lambda config: {"words": Vocabulary(config["tokens"]).tokens},
        lambda config: config["classes"],
    ),
    "chars": Kind(
        chars.new_model,
        lambda rows, config: plait.zeros(rows, config["context"], dtype=plait.int32),
        lambda rows, config: plait.zeros(rows, config["context"], dtype=plait.int32),
        chars.next_letter_loss,
        lambda parameters, lr: optim.AdamW(parameters, lr=lr, weight_decay=0.1),
        2e-3,
        lambda config: {"letters": chars.letters(config).tokens},
        lambda _: None,
    ),
}

_DESCRIPTION = """\
Make a web page of a model, or a part of a C program.

  plait export mnist                    the model that `plait train mnist` wrote
  plait export mnist --train            it learns in the page, too
  plait export mnist --single-file      one file, mnist.html, with all in it
  plait export cifar --quantize int8    a quarter of the bytes to load
  plait export mnist --target c         mnist.o and mnist.h

A folder holds plait.js, which loads the model, and a page that shows it:

  plait export mnist && python -m http.server --directory mnist-web
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = _options(arguments)
    builders = {name: kind.new_model for name, kind in KINDS.items()}
    name, model, config = load_model(options.model, builders)
    kind = KINDS[name]
    to = options.to or f"{name}{'.html' if options.single_file else '-web'}"
    source: Any = model
    target = None
    if options.train:
        lr = kind.lr if options.lr is None else options.lr
        optimizer = kind.optimizer(model.parameters(), lr=lr)
        source = TrainStep(model, kind.loss_function, optimizer)
        target = kind.target(options.batch_size, config)
    elif options.lr is not None:
        raise Failure("--lr is for training steps; add --train")
    # One row for what a visitor asks, and many for tables of data.
    rows = options.rows or ([1, options.batch_size] if options.train else [1])
    plait.export(
        source,
        to,
        inputs=kind.inputs(options.batch_size, config),
        target=target,
        rows=rows,
        targets=options.target,
        features=options.features,
        quantize=options.quantize,
        single_file=options.single_file,
        page=not options.no_page,
        labels=kind.labels(config),
        notes=kind.notes(config),
        name=options.name or name,
        quiet=options.quiet,
    )
    if not options.quiet and not options.single_file and "c" not in options.target:
        print(f"now try: python -m http.server --directory {to}")
    return 0


def _options(arguments: Sequence[str]) -> Any:
    parser = new_parser("plait export", _DESCRIPTION)
    parser.usage = "plait export [--help] MODEL [options]"
    add = parser.add_argument
    add("model", metavar="MODEL",
        help="what `plait train` wrote: the folder, or the model in it")  # fmt: skip
    add("--to", metavar="PATH",
        help="the folder, or the file (default: JOB-web, or JOB.html)")  # fmt: skip
    add("--train", action="store_true", help="also a function that trains")
    add("--batch-size", type=positive, default=BATCH, metavar="N",
        help="examples for each training step")  # fmt: skip
    add("--lr", type=amount, metavar="RATE",
        help="learning rate if a page gives none (default: the job's)")  # fmt: skip
    add("--rows", type=positive, nargs="+", metavar="N",
        help="examples that predictions are made for at a time; any number can be "
        "asked for (default: 1, and with --train a batch)")  # fmt: skip
    add("--target", nargs="+", default=["wasm"], metavar="NAME",
        help="wasm, webgpu, c, or c:neon and the like")  # fmt: skip
    add("--features", nargs="+", metavar="NAME", default=list(FEATURES),
        help="builds of wasm")  # fmt: skip
    add("--quantize", choices=["f16", "int8"], help="store weights with fewer bits")
    add("--single-file", action="store_true", help="write one page with all in it")
    add("--no-page", action="store_true", help="leave out index.html")
    add("--name", metavar="NAME", help="of the export (default: that of the job)")
    add("--quiet", action="store_true", help="print nothing")
    options: argparse.Namespace = parser.parse_args(arguments)
    return options
