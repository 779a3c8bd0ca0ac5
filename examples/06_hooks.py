"""Training with an engine: metrics, a log, and a hook of your own.

usage: python examples/06_hooks.py [mnist | mnist-5k | FOLDER [EPOCHS]]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, digits
from plait.metrics import Accuracy
from plait.train import EarlyStopping, Hook, JSONLinesLog, RateSchedule, fit

data = digits(sys.argv[1] if len(sys.argv) > 1 else "mnist-5k")
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def rows(images):
    """Images as rows of numbers from 0 to 1."""
    return images.reshape(len(images), 784).astype(np.float32) / 255


class ClipGradients(Hook):
    """Cut off the largest numbers in gradients. (`fit` limits their norm itself.)"""

    def on_backward(self, state):
        """Change the gradients before they are used."""
        optim.clip_grad_value_(state.model.parameters(), 0.1)


class Gap(Hook):
    """Note how much better the model knows what it was trained on."""

    def on_end_epoch(self, state):
        """Read what the metrics have written, and add to it."""
        gap = state.record["accuracy"] - state.record["test_accuracy"]
        state.record["gap"] = gap


plait.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
log = Path(tempfile.mkdtemp()) / "log.jsonl"
records = fit(
    model,
    Loader((rows(data.train_images), data.train_labels), 64, shuffle=True),
    loss_function=nn.CrossEntropyLoss(),
    optimizer=optim.Adam(model.parameters()),
    epochs=epochs,
    metrics={"accuracy": Accuracy()},
    evaluate_on=Loader((rows(data.test_images), data.test_labels), 1000),
    hooks=[
        ClipGradients(),
        RateSchedule(optim.cosine_decay),
        Gap(),
        EarlyStopping("test_accuracy", patience=1, mode="max"),
        JSONLinesLog(log),
    ],
)
print(f"{len(log.read_text().splitlines())} epochs logged")
