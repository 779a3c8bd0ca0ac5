"""A network that a web page goes on training, and that comes back.

usage: python examples/10_web.py [mnist | mnist-5k | FOLDER [WEB_FOLDER]]
"""

import sys
import tempfile

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, digits
from plait.train import TrainStep

data = digits(sys.argv[1] if len(sys.argv) > 1 else "mnist-5k")
folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()


def rows(images):
    """Images as rows of numbers from 0 to 1."""
    return images.reshape(len(images), 784).astype(np.float32) / 255


plait.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
optimizer = optim.Adam(model.parameters(), lr=2e-3)
step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)
for images, labels in Loader((rows(data.train_images), data.train_labels), 64,
                             shuffle=True, drop_last=True):  # fmt: skip
    loss = step(images, labels)
print(loss.item() < 1)  # True

# Programs for predictions of one digit or many, and for steps with batches of 64.
plait.export(
    step, folder, inputs=images, target=labels, rows=[1, 64],
    labels=[str(digit) for digit in range(10)], quiet=True,
)  # fmt: skip
# Now `python -m http.server --directory FOLDER` shows it. A page loads it like this:
#
#     import { load } from "./plait.js";
#     const net = await load(".");
#     const scores = net.predict(pixels);
#     const { loss } = net.trainStep(images, labels, { lr: 0.001 });
#
# What the page saves, Python goes on with: weights, what the optimizer keeps, and the
# random numbers of dropout. Here the file is that of the export itself.
again = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
again.load(f"{folder}/weights.safetensors")
print(again.state()["optimizer.step"].item() == len(data.train_labels) // 64)  # True
