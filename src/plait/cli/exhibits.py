"""The networks of the playground: made, trained, exported, with the data they need.

Read first: `build`, `EXHIBITS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor, nn, optim

from ..data import Loader, Vocabulary, Windows, cache_folder, corpus, digits
from ..errors import DataError, FileFormatError, StateDictError
from ..train import Hook, RateSchedule, State, TrainStep, fit
from .console import Failure

PACKAGE = Path(plait.__file__).parent
PAGES = PACKAGE / "web" / "playground"
RUNTIME = PACKAGE / "web" / "runtime"

BATCH = 64  # of training steps in pages
PLACES = 1024  # of the plane, or so many pictures, that a program looks at in one go
CLASSES, COLOURS = 10, 3
TRAIN_RATE, PLANE_RATE = 0.02, 0.01
PLANES = ((3,), (6,), (8, 8), (16, 16))
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class Effort(NamedTuple):
    """How much work goes into the networks that come trained.

    Attributes:
        source: of the digits, as for `data.digits`.
        epochs: in which the reader goes through them.
        text: what the writer reads, as for `data.corpus`.
        steps: of the writer's training.
        memory: the size of what the writer remembers.
        features: builds of the programs, as for `plait.export`.
        targets: what programs are for, as for `plait.export`.
    """

    source: str | None = None
    epochs: int = 3
    text: str | None = None
    steps: int = 2500
    memory: int = 256
    features: Sequence[str] = ("simd", "relaxed", "threads")
    targets: Sequence[str] = ("wasm", "webgpu")


class Reader(nn.Module):
    """Reads a digit, and shows what its layers find on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 5)
        self.second = nn.Conv2d(8, 16, 5)
        self.third = nn.Linear(16 * 4 * 4, 64)
        self.scores = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the activations of all layers for images (n, 1, 28, 28)."""
        first = plait.relu(self.first(images))
        second = plait.relu(self.second(plait.max_pool(first, (2, 2))))
        third = plait.relu(self.third(plait.max_pool(second, (2, 2)).flatten(1)))
        scores = self.scores(third)
        return {
            "first": first,
            "second": second,
            "third": third,
            "scores": scores,
            "probabilities": plait.softmax(scores, axis=-1),
        }


class Plane(nn.Module):
    """Tells from a place in the plane which colour is there.

    Args:
        layers: how many cells each hidden layer has.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[nn.Linear(n, m) for n, m in pairwise([2, *layers])]
        )
        self.scores = nn.Linear(layers[-1], COLOURS)

    def forward(self, places: Tensor) -> dict[str, Tensor]:
        """Return scores, probabilities and the last hidden layer for places (n, 2)."""
        hidden = places
        for layer in self.layers:
            hidden = plait.tanh(layer(hidden))
        scores = self.scores(hidden)
        probabilities = plait.softmax(scores, axis=-1)
        return {"scores": scores, "probabilities": probabilities, "hidden": hidden}


class Writer(nn.Module):
    """Says of each letter how likely it is to be the next: embedding, GRU, linear.

    Args:
        letters: how many there are.
        memory: the size of the recurrent state.
    """

    def __init__(self, letters: int, memory: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, 64)
        self.memory = nn.GRU(64, memory, batch_first=True)
        self.scores = nn.Linear(memory, letters)

    def forward(self, text: Tensor) -> Tensor:
        """Return the scores of next letters, (n, length, letters)."""
        seen, _ = self.memory(self.letters(text))
        scores: Tensor = self.scores(seen)
        return scores


class WriterStep(nn.Module):
    """One letter of a `Writer`, whose weights it takes over: a page writes with it."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.letters = writer.letters
        self.memory = nn.GRUCell(64, writer.memory.hidden_size)
        self.scores = writer.scores
        weights = writer.memory.state_dict()
        self.memory.load_state_dict(
            {name.removesuffix("_l0"): weight for name, weight in weights.items()}
        )

    def forward(self, letter: Tensor, memory: Tensor) -> dict[str, Tensor]:
        """Return scores (1, letters) and the new memory for one letter (1,)."""
        after = self.memory(self.letters(letter), memory)
        return {"scores": self.scores(after), "memory": after}


Tell = Callable[[str], None]


class Exhibit(NamedTuple):
    """A part of the playground.

    Attributes:
        about: what it is.
        files: where it is in the folder, as a pattern.
        make: makes it in a folder; returns facts for the pages.
    """

    about: str
    files: str
    make: Callable[[Path, Effort, Tell], Mapping[str, Any] | None]


def build(
    folder: Path,
    effort: Effort | None = None,
    *,
    tell: Tell = print,
    only: Sequence[str] | None = None,
) -> None:
    """Make the playground in a folder: what is there and up to date is kept.

    Args:
        folder: made if it is not there.
        effort: what goes into trained networks.
        tell: is told each thing that is made.
        only: names of the exhibits to make; all if None.

    Raises:
        Failure: the folder holds something else.
    """
    effort = effort or Effort()
    site = folder / "site.json"
    if folder.is_dir() and any(folder.iterdir()) and not site.exists():
        raise Failure(f"{folder} holds something else; name a new folder")
    (folder / "models").mkdir(parents=True, exist_ok=True)
    if not site.exists():
        site.write_text("{}", encoding="utf-8")  # the folder is ours from now on
    _copy_pages(folder)
    made_by = {"plait": _fingerprint(), "effort": json.loads(json.dumps(effort))}
    wanted = [name for name in EXHIBITS if only is None or name in only]
    missing = [name for name in wanted if not _is_made(folder, name, made_by)]
    for number, name in enumerate(missing, 1):
        exhibit = EXHIBITS[name]
        plait.manual_seed(0)
        tell(f"{number}/{len(missing)}  {exhibit.about}")
        facts = exhibit.make(folder, effort, tell) or {}
        made = {**made_by, "files": _sizes(folder, name), "facts": facts}
        _mark(folder, name).write_text(json.dumps(made), encoding="utf-8")
    facts = {"train_rate": TRAIN_RATE, "plane_rate": PLANE_RATE}
    for name in wanted:
        facts.update(json.loads(_mark(folder, name).read_text("utf-8"))["facts"])
    site.write_text(json.dumps(facts), encoding="utf-8")


# --- the exhibits: each makes its part of the folder, and returns facts for the pages


def _make_digits(folder: Path, effort: Effort, tell: Tell) -> None:
    """Write pictures for pages: 4,000 to train on, 1,000 others to test on."""
    try:
        data = digits("mnist-5k")
    except DataError:
        data = digits(effort.source)
    (folder / "data").mkdir(exist_ok=True)
    arrays = {
        "train_images": data.train_images[:4000],
        "train_labels": data.train_labels[:4000].astype(np.uint8),
        "test_images": data.test_images[:1000],
        "test_labels": data.test_labels[:1000].astype(np.uint8),
    }
    nn.save_weights(arrays, folder / "data" / "digits.safetensors")


def _make_reader(folder: Path, effort: Effort, tell: Tell) -> None:
    reader = Reader()

    def train() -> None:
        data = digits(effort.source)
        images = data.train_images[:, None].astype(np.float32) / 255
        tell(f"     learns to read {len(images):,} digits; this takes a moment")
        loader = Loader(
            (images, data.train_labels), BATCH, shuffle=True, seed=0,
            drop_last=True,  # a batch of another size would be compiled for itself
        )  # fmt: skip
        fit(
            reader,
            loader,
            loss_function=_score_loss,
            optimizer=optim.Adam(reader.parameters(), lr=2e-3),
            epochs=effort.epochs,
            hooks=[RateSchedule(optim.cosine_decay), _Progress(tell)],
            quiet=True,
        )

    recipe = f"reader {effort.source} {effort.epochs}"
    _trained(reader, recipe, train)
    _export(reader, folder / "models" / "reader", _small(effort), inputs=(1, 1, 28, 28))


def _make_trainable(
    name: str, net: Callable[[], nn.Module], shape: Sequence[int]
) -> Any:
    """Return what makes an export of a network with its training step, untrained."""

    def make(folder: Path, effort: Effort, tell: Tell) -> None:
        model = net()
        optimizer = optim.SGD(model.parameters(), lr=TRAIN_RATE, momentum=0.9)
        step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)
        _export(
            step, folder / "models" / name, effort,
            inputs=(BATCH, *shape), target=plait.zeros(BATCH, dtype=plait.int32),
            rows=[BATCH],
        )  # fmt: skip

    return make


def _dense() -> nn.Module:
    return nn.Sequential(
        nn.Linear(28 * 28, 128), nn.ReLU(),
        nn.Linear(128, 64), nn.ReLU(),
        nn.Linear(64, CLASSES),
    )  # fmt: skip


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(),
        nn.Linear(64, CLASSES),
    )  # fmt: skip


def _make_planes(folder: Path, effort: Effort, tell: Tell) -> Mapping[str, Any]:
    made = []
    for layers in PLANES:
        name = "-".join(["plane", *map(str, layers)])
        model = Plane(layers)
        optimizer = optim.Adam(model.parameters(), lr=PLANE_RATE)
        _export(
            TrainStep(model, _score_loss, optimizer),
            folder / "models" / name, _small(effort),
            inputs=(BATCH, 2), target=plait.zeros(BATCH, dtype=plait.int32),
            rows=[PLACES],
        )  # fmt: skip
        made.append({"name": name, "layers": layers})
    return {"planes": made}


def _make_writer(folder: Path, effort: Effort, tell: Tell) -> Mapping[str, Any]:
    data = corpus(effort.text)
    vocabulary = Vocabulary.of([data.text], padding=None, unknown=_UNKNOWN, max_size=96)
    writer = Writer(len(vocabulary), effort.memory)

    def train() -> None:
        tell(f"     reads {data.description}; this takes a minute or two")
        pieces = Windows(vocabulary.encode(data.text), 96)
        count = 32 * effort.steps
        fit(
            writer,
            Loader(pieces.sample(count, seed=0), 32),
            loss_function=_letter_loss,
            optimizer=optim.AdamW(writer.parameters(), lr=4e-3),
            hooks=[RateSchedule(optim.cosine_decay, warm_up=0.05), _Progress(tell)],
            quiet=True,
        )

    of_text = hashlib.sha256(data.text.encode()).hexdigest()
    _trained(writer, f"writer {of_text} {effort.steps} {effort.memory}", train)
    _export(
        WriterStep(writer), folder / "models" / "writer", _small(effort),
        inputs=[plait.zeros(1, dtype=plait.int32), (1, effort.memory)],
    )  # fmt: skip
    return {"letters": vocabulary.tokens, "text": data.description}


EXHIBITS = {
    "digits": Exhibit("pictures of digits", "data/*", _make_digits),
    "reader": Exhibit("a network that reads digits", "models/reader/*", _make_reader),
    "mlp": Exhibit(
        "a dense network to be trained",
        "models/mlp/*",
        _make_trainable("mlp", _dense, (28 * 28,)),
    ),
    "cnn": Exhibit(
        "a convolutional network to be trained",
        "models/cnn/*",
        _make_trainable("cnn", _convolutional, (1, 28, 28)),
    ),
    "planes": Exhibit(
        "tiny networks for points in the plane", "models/plane-*/*", _make_planes
    ),
    "writer": Exhibit("a network that writes", "models/writer/*", _make_writer),
}


# --- what they share


def _score_loss(output: Mapping[str, Tensor], target: Tensor) -> Tensor:
    loss: Tensor = plait.cross_entropy(output["scores"], target)
    return loss


def _letter_loss(output: Tensor, target: Tensor) -> Tensor:
    loss: Tensor = plait.cross_entropy(output.flatten(0, 1), target.flatten())
    return loss


class _Progress(Hook):
    """Tells at each tenth of a training how far it has come."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.told = tell, 0

    def on_update(self, state: State) -> None:
        tenths = 10 * state.step // (state.max_epochs * len(state.loader))
        if tenths > self.told:
            self.told = tenths
            self.tell(f"     {10 * tenths} %")


def _trained(model: nn.Module, recipe: str, train: Callable[[], None]) -> None:
    """Give a model the weights that were trained earlier by a recipe, or train it."""
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:24]
    path = cache_folder() / "playground" / "weights" / f"{digest}.safetensors"
    try:
        model.load_state_dict(nn.load_weights(path))
        return
    except (FileNotFoundError, FileFormatError, StateDictError):
        pass  # none yet, or none that can be used
    train()
    path.parent.mkdir(parents=True, exist_ok=True)
    nn.save_weights(model, path)


def _small(effort: Effort) -> Effort:
    """Leave out what would only be in the way of a small network."""
    features = [one for one in effort.features if one != "threads"]
    return effort._replace(features=features, targets=["wasm"])


def _export(what: Any, path: Path, effort: Effort, **about: Any) -> None:
    if path.exists():
        shutil.rmtree(path)
    plait.export(
        what, path, targets=effort.targets, features=effort.features,
        page=False, quiet=True, **about,
    )  # fmt: skip
    for script in [*path.glob("*.js"), *path.glob("*.ts")]:
        script.unlink()  # all exports share the one in `runtime`


def _copy_pages(folder: Path) -> None:
    for source, target in ((PAGES, folder), (RUNTIME, folder / "runtime")):
        shutil.copytree(
            source,
            target,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.ts", "*.md", "package.json"),
        )


def _is_made(folder: Path, name: str, made_by: Mapping[str, Any]) -> bool:
    try:
        found = json.loads(_mark(folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {**made_by, "files": _sizes(folder, name)}
    return isinstance(found, dict) and wanted.items() <= found.items()


def _mark(folder: Path, name: str) -> Path:
    """Return the file that says of what an exhibit was made."""
    return folder / "models" / f"{name}.made.json"


def _sizes(folder: Path, name: str) -> dict[str, int]:
    """Return how large the files of an exhibit are."""
    files = sorted(folder.glob(EXHIBITS[name].files))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _fingerprint() -> str:
    """Return what changes when plait does: exports are made anew then."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(os.fspath(path.relative_to(PACKAGE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
