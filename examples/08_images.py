"""A convolutional network for handwritten digits, with the loop done by `fit`.

usage: python examples/08_images.py [mnist | mnist-5k | FOLDER [EPOCHS]]
"""

import sys

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, digits
from plait.metrics import Accuracy
from plait.train import RateSchedule, evaluate, fit

source = sys.argv[1] if len(sys.argv) > 1 else None
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3


def channels(images):
    """Images of one channel, with numbers from 0 to 1: shape (n, 1, 28, 28)."""
    return images[:, None].astype(np.float32) / 255


plait.manual_seed(0)
data = digits(source)
train = Loader((channels(data.train_images), data.train_labels), 64, shuffle=True)
test = Loader((channels(data.test_images), data.test_labels), 500)

# Each convolution looks at 5 x 5 points; pooling keeps the largest of 2 x 2.
model = nn.Sequential(
    *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(16 * 7 * 7, 10)),
)
fit(
    model,
    train,
    loss_function=nn.CrossEntropyLoss(),
    optimizer=optim.Adam(model.parameters(), lr=3e-3),
    epochs=epochs,
    hooks=[RateSchedule()],  # the rate falls on a line
)
found = evaluate(model, test, metrics={"accuracy": Accuracy()})
print(f"accuracy {found['accuracy']:.2%} on pictures that it has never seen")
