"""A classifier of small colour images, by a convolutional network.

Read first: `new_model`, `main`, `predict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import nn, optim

from ... import plots
from ...data import (
    ColourImages,
    ImageFolder,
    Loader,
    as_dataset,
    cifar,
    emoji,
    read_image,
    resize_image,
)
from ...metrics import Accuracy, ConfusionMatrix
from ...train import RateSchedule, evaluate, fit
from ..console import Failure, natural
from .answer import (
    bars,
    check_index,
    class_names,
    likeliest,
    new_prediction,
    probabilities,
    verdict,
)
from .job import Folder, draw_training, new_training, on_test_picture

SIDE = 32
_SHOWN = 10  # classes, the likeliest first
_SEED = 0  # of what is for testing, in a folder of images


def new_model(config: Mapping[str, Any]) -> nn.Sequential:
    """Return three convolutions, each with pooling, and two linear layers above."""
    scale(config)  # a file with other numbers is refused here
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(64 * (SIDE // 8) ** 2, 512), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(512, len(class_names(config))),
    )


def main(arguments: Sequence[str]) -> int:
    """Train, and write the model and pictures of the training to a folder."""
    options = _options(arguments)
    folder = Folder(options.output, options.quiet)
    plait.manual_seed(options.seed)
    data = images(options.data)
    mean = data.train_images.mean((0, 2, 3)) / 255
    deviation = data.train_images.std((0, 2, 3)) / 255
    config = {
        "classes": data.classes,
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
    }
    train_loader = Loader(
        (as_input(data.train_images, config), data.train_labels),
        options.batch_size,
        shuffle=True,
        seed=options.seed,
    )
    test_loader = Loader((as_input(data.test_images, config), data.test_labels), 200)
    model = new_model(config)
    if not options.quiet:
        print(data.description)
        print(f"{len(data.train_labels)} images to train on, ", end="")
        print(f"{len(data.test_labels)} to test on, {len(data.classes)} classes")
        print(model)
    records = fit(
        model,
        train_loader,
        loss_function=nn.CrossEntropyLoss(),
        optimizer=optim.AdamW(model.parameters(), lr=options.lr),
        epochs=options.epochs,
        metrics={"accuracy": Accuracy()},
        evaluate_on=test_loader,
        hooks=[RateSchedule()],
        quiet=options.quiet,
    )
    if not options.quiet:
        seconds = sum(record["seconds"] for record in records)
        rate = options.epochs * len(data.train_labels) / seconds
        most = np.bincount(data.test_labels).max() / len(data.test_labels)
        print(
            f"test accuracy {records[-1]['test_accuracy']:.2%} (the largest class is "
            f"{most:.0%}) after {seconds:.1f} s, {rate:,.0f} images/s"
        )
    folder.save(model, "cifar", config)
    metric = ConfusionMatrix(len(data.classes))
    counts = evaluate(model, test_loader, metrics={"counts": metric})["counts"]
    draw_training(folder, records, counts, data.classes)
    folder.draw("filters.png", plots.filters, model.state_dict()["0.weight"])
    folder.report(on_test_picture(options))
    return 0


def images(source: str | None) -> ColourImages:
    """Return CIFAR, pictures out of the user's folders, or emoji.

    Args:
        source: CIFAR's archive or folder, or a folder with a folder of pictures for
            each class, of which every fifth is for testing; None for emoji.
    """
    if source is None:
        return emoji()
    path = Path(source).expanduser()
    if not path.exists():
        raise Failure(f"{source}: no such file or folder")
    has_classes = path.is_dir() and not any(
        child.name.startswith(("data_batch", "train", "cifar"))
        for child in path.iterdir()
    )
    if not has_classes:
        return cifar(path)
    found = ImageFolder(path, SIDE, skip_damaged=True)
    parts = as_dataset(found).split({"train": 0.8, "test": 0.2}, seed=_SEED)
    train, labels = parts.select("train")[:]
    test, test_labels = parts.select("test")[:]
    note = f"; left out: {len(found.skipped)} damaged" if found.skipped else ""
    return ColourImages(
        *(np.moveaxis(train, -1, 1), labels, np.moveaxis(test, -1, 1), test_labels),
        classes=found.classes,
        description=f"pictures in {path}{note}",
    )


def as_input(images: Any, config: Mapping[str, Any]) -> Any:
    """Return uint8 images, shape (n, 3, height, width), with mean 0 and variance 1."""
    mean, deviation = scale(config)
    return (images / np.float32(255) - mean) / np.maximum(deviation, np.float32(1e-3))


def scale(config: Mapping[str, Any]) -> list[NDArray[np.float32]]:
    """Return mean and deviation of each colour, from 0 to 1."""
    found = [np.array(config[x], np.float32) for x in ("mean", "deviation")]
    if not all(one.shape == (3,) and np.isfinite(one).all() for one in found):
        raise ValueError("mean and deviation are not three numbers each")
    return [one.reshape(3, 1, 1) for one in found]


def predict(
    model: nn.Module, config: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    """Say of which class pictures are."""
    parser = new_prediction(
        "Say what is in pictures, with a model from `plait train cifar`.\n\n"
        "  plait predict --model cifar cat.png ship.jpg\n"
        "  plait predict --model cifar --test-index 7"
    )
    add = parser.add_argument
    add("pictures", nargs="*", metavar="FILE", help="image of any size, as PNG or JPEG")
    add("--test-index", type=natural, nargs="+", default=[], metavar="N",
        help="numbers of pictures of the test set")  # fmt: skip
    add("--data", metavar="PATH", help="the test set: as for `plait train cifar`")
    add("--brief", action="store_true", help="one line for each picture")
    options = parser.parse_args(arguments)
    if not options.pictures and not options.test_index:
        parser.error("name a file with a picture, or use --test-index")
    classes = config["classes"]
    for name, picture, right in _pictures(options, classes):
        (chances,) = probabilities(model, as_input(picture[None], config))
        about = verdict(right, classes, chances)
        if options.brief:
            print(f"{name}: {likeliest(classes, chances)}{about}")
            continue
        print(f"{name}{about}")
        order = np.argsort(-chances, kind="stable")[:_SHOWN]
        for line in bars([classes[i] for i in order], chances[order]):
            print(f"  {line}")
    return 0


def _pictures(
    options: Any, classes: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.uint8], str | None]]:
    """Yield what is to be looked at: a name, the picture, and its class if known."""
    for path in options.pictures:
        yield path, np.moveaxis(resize_image(read_image(path), SIDE), -1, 0), None
    if options.test_index:
        data = images(options.data)
        if data.classes != classes:
            raise Failure(
                f"{data.description}: not the classes of the model; name what it was "
                "trained on with --data"
            )
        for index in options.test_index:
            check_index(index, len(data.test_labels))
            right = classes[int(data.test_labels[index])]
            yield f"test picture {index}", data.test_images[index], right


def _options(arguments: Sequence[str]) -> Any:
    parser = new_training(
        "cifar",
        "Train a convolutional network to tell small colour images apart. CIFAR-10 is\n"
        "not downloaded: give its files with --data. Without them the images are\n"
        "drawings of emoji in nine classes, which are downloaded.",
        epochs=12,
        batch_size=64,
        lr=2e-3,
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="CIFAR-10 or CIFAR-100, binary or Python version, as archive or folder; "
        "or a folder with a folder of pictures for each class (default: emoji)",
    )
    return parser.parse_args(arguments)
