"""The models of the jobs and of the examples: predictions and steps as in Python."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.cli.jobs import chars, cifar, mnist, sentiment
from plait.export.graphs import functions_of
from plait.train import TrainStep

from .host import Host

CLASSES = ["a", "b", "c"]
cross_entropy = nn.CrossEntropyLoss()


class Letters(nn.Module):
    """Of examples/09_letters.py."""

    def __init__(self, letters=12, size=16):
        super().__init__()
        self.letters = nn.Embedding(letters, size)
        self.memory = nn.GRU(size, size, batch_first=True)
        self.scores = nn.Linear(size, letters)

    def forward(self, ids, state=None):
        seen, state = self.memory(self.letters(ids), state)
        return self.scores(seen), state


class Tagger(nn.Module):
    """Reads sequences of several lengths."""

    def __init__(self):
        super().__init__()
        self.memory = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(12, 3)

    def forward(self, x, lengths):
        seen, _ = self.memory(x, lengths=lengths)
        return self.scores(seen[:, 0])


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(9, 8), nn.Embedding(7, 8)
        self.both = nn.Transformer(8, 2, 1, 1, 16, 0.1, batch_first=True)
        self.scores = nn.Linear(8, 7)

    def forward(self, x, y):
        mask = nn.Transformer.generate_square_subsequent_mask(y.shape[1])
        seen = self.both(self.source(x), self.target(y), tgt_mask=mask)
        return self.scores(seen)


class Painting(nn.Module):
    """A picture that is trained, as `plait train style` does."""

    def __init__(self, features):
        super().__init__()
        self.picture = nn.Parameter(plait.rand(1, 3, 16, 16))
        self.features = features.requires_grad_(False)

    def forward(self):
        seen = self.features(plait.clip(self.picture, 0.0, 1.0))
        flat = seen.reshape((seen.shape[1], -1))
        return seen, flat @ flat.T / flat.shape[1]


def painting():
    convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return Painting(nn.Sequential(*convolutions, nn.Conv2d(8, 8, 3, padding=1)))


def painting_loss(output, wanted):
    seen, gram = output
    return (seen**2).mean() + ((gram - wanted) ** 2).mean()


def images():
    """Of examples/08_images.py, and averages of batches."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(8, 16, 5, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )


def letters_loss(output, target):
    return plait.cross_entropy(output[0].flatten(0, 1), target.flatten())


def floats(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def numbers(top, *shape):
    return np.random.default_rng(1).integers(0, top, shape)


WORDS = {"tokens": CLASSES, "classes": CLASSES, "size": 6, "hidden": 5, "length": 7}
TEXT = {"letters": CLASSES, "context": 8, "layers": 2, "heads": 2, "width": 16}
PICTURES = {"classes": CLASSES, "mean": [0.4] * 3, "deviation": [0.2] * 3}
MODELS = {
    "mnist": (
        lambda: mnist.new_model({"hidden": [32]}),
        [floats(4, 784)], numbers(10, 4), cross_entropy, optim.Adam,
    ),
    "cifar": (
        lambda: cifar.new_model(PICTURES),
        [floats(2, 3, 32, 32)], numbers(3, 2), cross_entropy, optim.AdamW,
    ),
    "sentiment": (
        lambda: sentiment.new_model(WORDS),
        [numbers(5, 3, 7)], numbers(3, 3), cross_entropy, optim.Adam,
    ),
    "chars": (
        lambda: chars.new_model(TEXT),
        [numbers(4, 2, 8)], numbers(4, 2, 8), chars.next_letter_loss, optim.AdamW,
    ),
    "style": (painting, [], floats(8, 8), painting_loss, optim.Adam),
    "images": (
        images, [floats(3, 1, 14, 14)], numbers(10, 3), cross_entropy, optim.Adam,
    ),
    "letters": (
        Letters, [numbers(12, 2, 6)], numbers(12, 2, 6), letters_loss, optim.Adam,
    ),
    "letters with state": (
        Letters, [numbers(12, 2, 1), floats(1, 2, 16)], numbers(12, 2, 1),
        letters_loss, optim.RMSprop,
    ),
    "lengths": (
        Tagger, [floats(3, 5, 4), np.array([5, 2, 3])], numbers(3, 3), cross_entropy,
        optim.Adagrad,
    ),
    "translator": (
        Translator, [numbers(9, 2, 5), numbers(7, 2, 4)], numbers(7, 2, 4),
        lambda output, target: plait.cross_entropy(
            output.flatten(0, 1), target.flatten()
        ),
        optim.SGD,
    ),
}  # fmt: skip


def parts(name):
    make, inputs, target, loss, optimizer = MODELS[name]
    plait.manual_seed(0)
    model = make()
    trained = [p for p in model.parameters() if p.requires_grad]
    return TrainStep(model, loss, optimizer(trained, lr=0.01)), inputs, target


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_exported(name, tmp_path):
    step, inputs, target = parts(name)
    plait.export(
        step, tmp_path, inputs=inputs, target=target, features=["simd"], quiet=True
    )
    host = Host(tmp_path)
    for _ in range(3):
        loss = host.call("train_step", *inputs, target)["loss"]
        wanted = step(*[plait.asarray(x) for x in (*inputs, target)])
        np.testing.assert_allclose(loss, wanted.numpy(), 1e-5)
    step.load_state(host.state())
    step.model.eval()
    with plait.no_grad():
        wanted = step.model(*[plait.asarray(x) for x in inputs])
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = host.call("predict", *inputs).values()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), 1e-4, 1e-5)


def test_a_function_is_recorded_once_for_each_number_of_rows():
    step, inputs, target = parts("mnist")
    functions, state = functions_of(step, inputs, target, [1, 2])
    assert [one.symbol for one in functions] == ["predict_1", "predict_2", "train_step"]
    assert [port.name for port in functions[0].outputs] == ["output"]
    changed = {x.name for x in functions[2].outputs if x.kind == "state"}
    assert changed == {name for name in state if name != "random.key"}
