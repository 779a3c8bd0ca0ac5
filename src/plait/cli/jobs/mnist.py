"""A classifier of handwritten digits: the first example, and a template for others.

Read first: `main`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import plait
from plait import nn, optim

from ...data import Loader, digits
from ...train import ClassErrorMeter, RateSchedule, fit
from ..console import Failure, natural, new_parser, positive
from ..digit_model import new_model, save_model

OPTIMIZERS: dict[str, Any] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
}


def main(arguments: Sequence[str]) -> int:
    """Train, and write the model to a file."""
    options = _options(arguments)
    if not Path(options.output).absolute().parent.is_dir():
        # Better now than after the training.
        raise Failure(f"{options.output}: the folder it would be in does not exist")
    plait.manual_seed(options.seed)
    data = digits(options.data)
    train_loader = Loader(
        (as_input(data.train_images), data.train_labels),
        options.batch_size,
        shuffle=True,
        seed=options.seed,
    )
    test_loader = Loader((as_input(data.test_images), data.test_labels), 1000)
    model = new_model(options.hidden)
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
        meters={"accuracy": ClassErrorMeter(accuracy=True)},
        evaluate_on=test_loader,
        hooks=[RateSchedule()],  # down to 0 on a straight line
        quiet=options.quiet,
    )
    save_model(model, options.hidden, options.output)
    if not options.quiet:
        seconds = sum(record["seconds"] for record in records)
        accuracy = records[-1]["test_accuracy"]
        rate = options.epochs * len(data.train_labels) / seconds
        print(
            f"test accuracy {accuracy:.2%} after {seconds:.1f} s of training, "
            f"{rate:,.0f} images/s"
        )
        print(f"wrote {options.output}; now try: plait predict --test-index 0")
    return 0


def as_input(images: Any) -> Any:
    """Return uint8 images, shape (n, 28, 28), as rows of numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _options(arguments: Sequence[str]) -> Any:
    parser = new_parser(
        "plait train digits",
        "Train a multilayer perceptron to tell handwritten digits apart, and save it.",
    )
    add = parser.add_argument
    add("--epochs", type=positive, default=8, metavar="N",
        help="how often to go through the data")  # fmt: skip
    add("--batch-size", type=positive, default=128, metavar="N",
        help="images for each step")  # fmt: skip
    add("--hidden", type=positive, nargs="*", default=[128], metavar="UNITS",
        help="size of each hidden layer; none for a linear model")  # fmt: skip
    add("--lr", type=float, default=3e-3, metavar="RATE",
        help="learning rate at first")  # fmt: skip
    add("--optimizer", choices=sorted(OPTIMIZERS), default="adam", help="how to update")
    add("--seed", type=natural, default=0, metavar="N",
        help="of the first weights and the order")  # fmt: skip
    add("--data", metavar="SOURCE",
        help="mnist, mnist-5k, or a folder with the four MNIST files (default: mnist, "
        "or mnist-5k where that cannot be had)")  # fmt: skip
    add("--output", default="digits.safetensors", metavar="FILE",
        help="where to save the model")  # fmt: skip
    add("--quiet", action="store_true", help="print nothing")
    return parser.parse_args(arguments)
