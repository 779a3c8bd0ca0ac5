"""A classifier of handwritten digits: the first example, and a template for others.

Read first: `new_model`, `main`, `predict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import plait
from plait import nn, optim

from ... import plots
from ...data import Loader, digits
from ...metrics import Accuracy, ConfusionMatrix
from ...train import RateSchedule, evaluate, fit
from ..console import natural, positive
from ..pictures import Picture, draw, read_pictures
from .answer import (
    Chances,
    bars,
    check_index,
    likeliest,
    new_prediction,
    probabilities,
    verdict,
)
from .job import Folder, draw_training, new_training, on_test_picture

PIXELS, CLASSES = 28 * 28, 10
DIGITS = [str(digit) for digit in range(CLASSES)]
OPTIMIZERS: dict[str, Any] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
}


def new_model(config: Mapping[str, Any]) -> nn.Sequential:
    """Return a multilayer perceptron: 784 grey values to a score for each digit."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([PIXELS, *config["hidden"], CLASSES]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def main(arguments: Sequence[str]) -> int:
    """Train, and write the model and pictures of the training to a folder."""
    options = _options(arguments)
    folder = Folder(options.output, options.quiet)
    plait.manual_seed(options.seed)
    data = digits(options.data)
    train_loader = Loader(
        (as_input(data.train_images), data.train_labels),
        options.batch_size,
        shuffle=True,
        seed=options.seed,
    )
    test_loader = Loader((as_input(data.test_images), data.test_labels), 1000)
    config = {"hidden": options.hidden}
    model = new_model(config)
    if not options.quiet:
        print(f"{data.description}: {len(data.train_labels)} to train on, ", end="")
        print(f"{len(data.test_labels)} to test on")
        print(model)
    records = fit(
        model,
        train_loader,
        loss_function=nn.CrossEntropyLoss(),
        optimizer=OPTIMIZERS[options.optimizer](model.parameters(), lr=options.lr),
        epochs=options.epochs,
        metrics={"accuracy": Accuracy()},
        evaluate_on=test_loader,
        hooks=[RateSchedule()],  # down to 0 on a straight line
        quiet=options.quiet,
    )
    if not options.quiet:
        seconds = sum(record["seconds"] for record in records)
        accuracy = records[-1]["test_accuracy"]
        rate = options.epochs * len(data.train_labels) / seconds
        print(
            f"test accuracy {accuracy:.2%} after {seconds:.1f} s of training, "
            f"{rate:,.0f} images/s"
        )
    folder.save(model, "mnist", config)
    found = evaluate(model, test_loader, metrics={"counts": ConfusionMatrix(CLASSES)})
    draw_training(folder, records, found["counts"])
    folder.draw("filters.png", plots.filters, model.state_dict()["0.weight"])
    folder.report(on_test_picture(options))
    return 0


def predict(
    model: nn.Module, config: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    """Say which digits are in pictures."""
    parser = new_prediction(
        "Say which digits are in pictures, with a model from `plait train mnist`.\n\n"
        "  plait predict --test-index 7      picture 7 of the test set\n"
        "  plait predict seven.png           an image; paper may be light or dark\n"
        "  plait predict digits.npy          an array of pictures, or an IDX file"
    )
    add = parser.add_argument
    add("pictures", nargs="*", metavar="FILE", help="PNG, JPEG, .npy or IDX file")
    add("--test-index", type=natural, nargs="+", default=[], metavar="N",
        help="numbers of pictures of the test set")  # fmt: skip
    add("--data", metavar="SOURCE", help="the test set: as for `plait train mnist`")
    add("--limit", type=positive, default=10, metavar="N",
        help="how many pictures of each file to look at")  # fmt: skip
    add("--brief", action="store_true", help="one line for each picture")
    options = parser.parse_args(arguments)
    if not options.pictures and not options.test_index:
        parser.error("name a file with pictures, or use --test-index")
    for name, picture, right in _pictures(options):
        (chances,) = probabilities(model, picture.reshape(1, -1))
        about = verdict(right, DIGITS, chances)
        if options.brief:
            print(f"{name}: {likeliest(DIGITS, chances)}{about}")
        else:
            print(f"{name}{about}\n{_table(picture, chances)}")
    return 0


def _pictures(options: Any) -> Iterator[tuple[str, Picture, str | None]]:
    """Yield what is to be looked at: a name, the picture, and its digit if known."""
    for path in options.pictures:
        found = read_pictures(path)
        for i, picture in enumerate(found[: options.limit]):
            yield (path if len(found) == 1 else f"{path} [{i}]"), picture, None
        if len(found) > options.limit:
            print(f"{path}: {len(found) - options.limit} more; see --limit")
    if options.test_index:
        data = digits(options.data)
        for index in options.test_index:
            check_index(index, len(data.test_labels))
            picture = data.test_images[index].astype(np.float32) / 255
            yield f"test picture {index}", picture, str(data.test_labels[index])


def _table(picture: Picture, chances: Chances) -> str:
    """Return the picture with the probability of each digit beside it."""
    beside = ["", "", *bars(DIGITS, chances), "", ""]
    rows = zip(draw(picture), beside, strict=True)
    return "\n".join(f"  {left}  {right}".rstrip() for left, right in rows).strip("\n")


def as_input(images: Any) -> Any:
    """Return uint8 images, shape (n, 28, 28), as rows of numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _options(arguments: Sequence[str]) -> Any:
    parser = new_training(
        "mnist",
        "Train a multilayer perceptron to tell handwritten digits apart, and save it.",
        epochs=8,
        batch_size=128,
        lr=3e-3,
    )
    add = parser.add_argument
    add("--hidden", type=positive, nargs="*", default=[128], metavar="UNITS",
        help="size of each hidden layer; none for a linear model")  # fmt: skip
    add("--optimizer", choices=sorted(OPTIMIZERS), default="adam", help="how to update")
    add("--data", metavar="SOURCE",
        help="mnist, mnist-5k, or a folder with the four MNIST files (default: mnist, "
        "or mnist-5k where that cannot be had)")  # fmt: skip
    return parser.parse_args(arguments)
