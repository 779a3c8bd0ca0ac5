"""The example jobs in plait: their data for all peers, and their training.

Read first: `train`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

import plait
from plait import data as plait_data
from plait import nn, optim
from plait.cli.jobs import chars, cifar, mnist, sentiment, style
from plait.data import Loader, Vocabulary, Windows
from plait.metrics import Accuracy
from plait.train import RateSchedule, fit

JOBS: dict[str, Any] = {
    "mnist": mnist, "cifar": cifar, "sentiment": sentiment, "chars": chars,
}  # fmt: skip
Arrays = dict[str, Any]


# --- data


def mnist_data(small: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return images as rows, and the model's configuration."""
    data = plait_data.digits("mnist-5k" if small else "mnist")
    arrays = {
        "x": mnist.as_input(data.train_images), "y": data.train_labels,
        "test_x": mnist.as_input(data.test_images), "test_y": data.test_labels,
    }  # fmt: skip
    return arrays, {"hidden": [128]}


def cifar_data(small: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return drawings of emoji, and the model's configuration."""
    data = cifar.images(None)
    config = {
        "classes": data.classes,
        "mean": (data.train_images.mean((0, 2, 3)) / 255).tolist(),
        "deviation": (data.train_images.std((0, 2, 3)) / 255).tolist(),
    }
    arrays = {
        "x": cifar.as_input(data.train_images, config), "y": data.train_labels,
        "test_x": cifar.as_input(data.test_images, config), "test_y": data.test_labels,
    }  # fmt: skip
    return arrays, config


def sentiment_data(small: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return sentences as numbers, vectors of words, and the configuration."""
    data = plait_data.movie_reviews()
    words, test_words = (
        [plait_data.tokenize(text) for text in part.texts]
        for part in (data.train, data.test)
    )
    vocabulary = Vocabulary.of(words, min_count=2, max_size=20_000)
    found = plait_data.word_vectors(vocabulary, "glove-6b-50d")
    config = {
        "tokens": vocabulary.tokens[2:], "classes": data.train.classes,
        "size": found.table.shape[1], "hidden": 40, "length": 40,
    }  # fmt: skip
    arrays = {
        "x": sentiment.encoded(words, config), "y": data.train.labels,
        "test_x": sentiment.encoded(test_words, config), "test_y": data.test.labels,
        "table": found.table, "found": found.found,
    }  # fmt: skip
    return arrays, config


def chars_data(small: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return a text as numbers, pieces to test on, and the configuration."""
    text = plait_data.corpus("shakespeare").text
    parts = plait_data.split_text(text, {"train": 0.9, "test": 0.1})
    vocabulary = Vocabulary.of(
        [parts["train"]], padding=None, unknown="\N{REPLACEMENT CHARACTER}",
        max_size=256,
    )  # fmt: skip
    config = {
        "letters": vocabulary.tokens[1:], "context": 64, "layers": 4, "heads": 4,
        "width": 128,
    }  # fmt: skip
    test = Windows(vocabulary.encode(parts["test"]), 64)
    x, y = test.gather(np.linspace(0, len(test) - 1, 400).astype(int))
    arrays = {"x": vocabulary.encode(parts["train"]), "test_x": x, "test_y": y}
    return arrays, config


def style_data(small: bool) -> tuple[Arrays, dict[str, Any]]:
    """Return two pictures as the network takes them, and its weights."""
    size = (149, 224)
    pictures = {
        name: style.as_input(
            plait_data.resize_image(plait_data.photograph(source), size)
        ).numpy()
        for name, source in (("content", "chelsea"), ("style", "gravel"))
    }
    return {**pictures, **nn.load_vgg_features()}, {}


DATA = {
    "mnist": mnist_data, "cifar": cifar_data, "sentiment": sentiment_data,
    "chars": chars_data, "style": style_data,
}  # fmt: skip


# --- training


def train(spec: dict[str, Any], data: Arrays) -> float:
    """Train, and return the last evaluation's accuracy or loss."""
    job, batch, seed = spec["job"], spec["batch"], spec["seed"]
    plait.manual_seed(seed)
    model = JOBS[job].new_model(spec["config"])
    rate, hook, loss_function = spec["rate"], RateSchedule(), nn.CrossEntropyLoss()
    kind: Any = optim.AdamW if job == "cifar" else optim.Adam
    if job == "sentiment":
        sentiment.begin_with(model, data["table"], data["found"])
    test = Loader((data["test_x"], data["test_y"]), {"mnist": 1000}.get(job, 200))
    if job == "chars":
        windows = Windows(data["x"], spec["config"]["context"])
        loader = Loader(windows.sample(200 * batch, seed=seed), batch)
        made = optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)
        hook = RateSchedule(optim.cosine_decay, warm_up=0.05)
        loss_function = chars.next_letter_loss
    else:
        loader = Loader((data["x"], data["y"]), batch, shuffle=True, seed=seed)
        made = kind(model.parameters(), lr=rate)
    records = fit(
        model, loader, loss_function=loss_function, optimizer=made,
        epochs=spec["epochs"], evaluate_on=test, hooks=[hook], quiet=True,
        metrics={"accuracy": Accuracy()} if spec["accuracy"] else {},
    )  # fmt: skip
    return float(records[-1]["test_accuracy" if spec["accuracy"] else "test_loss"])


def paint(spec: dict[str, Any], data: Arrays) -> float:
    """Paint, and return the last loss."""
    state = {name: x for name, x in data.items() if name.startswith("features.")}
    content, manner = plait.tensor(data["content"]), plait.tensor(data["style"])
    losses = style.Losses(style.new_features(state), content, manner)
    x = nn.Parameter(content)
    optimizer = optim.Adam([x], lr=spec["rate"])
    for _ in range(spec["epochs"]):
        things, textures = losses(x)
        loss = things + 30.0 * textures
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.item())


def main() -> None:
    """Do what the argument says; print what was found as JSON."""
    spec = json.loads(sys.argv[1])
    if "prepare" in spec:
        arrays, config = DATA[spec["job"]](spec["small"])
        np.savez(spec["prepare"], **arrays)
        print(json.dumps({"config": config}))
        return
    with np.load(spec["file"]) as file:
        data = dict(file)
    start = time.perf_counter()
    score = (paint if spec["job"] == "style" else train)(spec, data)
    seconds = time.perf_counter() - start
    facts = {"plait": plait.__version__, "threads": plait.settings.num_threads}
    print(json.dumps({"seconds": seconds, "score": score, "facts": facts}))


if __name__ == "__main__":
    main()
