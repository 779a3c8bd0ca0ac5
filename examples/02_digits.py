"""A classifier of handwritten digits, with the loop written out.

usage: python examples/02_digits.py [mnist | mnist-5k | FOLDER [EPOCHS]]
"""

import sys

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, digits

source = sys.argv[1] if len(sys.argv) > 1 else None
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 10


def rows(images):
    """Images as rows of numbers from 0 to 1."""
    return images.reshape(len(images), 784).astype(np.float32) / 255


plait.manual_seed(0)
data = digits(source)
loader = Loader((rows(data.train_images), data.train_labels), 64, shuffle=True)

model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
loss_function = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=1e-3)

for epoch in range(epochs):
    total = 0.0
    for images, labels in loader:
        loss = loss_function(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # runs all that the step has recorded
        total = total + loss.detach()  # still a tensor: looked at once an epoch

    with plait.no_grad():
        scores = model(plait.asarray(rows(data.test_images)))
        right = scores.argmax(axis=1) == plait.asarray(data.test_labels)
    accuracy = right.float().mean().item()
    print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}, accuracy {accuracy:.2%}")
