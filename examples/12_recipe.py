"""A training loop by hand with all that one does to get the most of it: augmentation,
16-bit numbers, a schedule, limited gradients, an average of the weights, checkpoints.

usage: python examples/12_recipe.py [mnist | mnist-5k | FOLDER [EPOCHS]]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import plait
from plait import nn, optim
from plait.data import Loader, digits
from plait.metrics import Accuracy
from plait.train import State, evaluate, load_checkpoint, save_checkpoint

data = digits(sys.argv[1] if len(sys.argv) > 1 else "mnist-5k")
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
file = Path(tempfile.mkdtemp()) / "checkpoint.safetensors"


def channels(images):
    """Images of one channel, with numbers from 0 to 1: shape (n, 1, 28, 28)."""
    return images[:, None].astype(np.float32) / 255


def convolution(inputs, outputs):
    """A convolution of 3 x 3 points, batch normalization and an activation."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


plait.manual_seed(0)
train = (channels(data.train_images), data.train_labels)
loader = Loader(train, 100, shuffle=True, drop_last=True)
test = Loader((channels(data.test_images), data.test_labels), 500)

model = nn.Sequential(
    *(convolution(1, 16), nn.MaxPool2d(2), convolution(16, 32), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 7 * 7, 10)),
)
# Layers of their own, so that evaluations see the pictures as they are. They change
# each picture in its own way, as part of the step's program.
augment = nn.Sequential(nn.RandomRotation(0.03), nn.RandomTranslation(0.08, 0.08))
loss_function = nn.CrossEntropyLoss(label_smoothing=0.1)

# Weights decay, but not offsets and what normalizes.
groups = [
    {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
    {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
]
optimizer = optim.AdamW(groups, lr=3e-3)
schedule = optim.OneCycleLR(
    optimizer, max_lr=1e-2, epochs=epochs, steps_per_epoch=len(loader)
)
average = optim.AveragedModel(model, decay=0.9)
state = State(model, loss_function, optimizer, loader)
also = {"schedule": schedule, "average": average}

for epoch in range(epochs):
    model.train()
    for images, labels in loader:
        with plait.autocast("bfloat16"):
            loss = loss_function(model(augment(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
    state.epoch = epoch + 1
    save_checkpoint(file, state, also)

print(f"{schedule.get_last_lr()[0]:.1e}")  # 4.0e-08
found = evaluate(average, test, metrics={"accuracy": Accuracy()})
print(found["accuracy"] > 0.9)  # True

# All of it comes back: weights, the optimizer's means, the rates, the average, the
# order of the pictures, and the random numbers.
with plait.no_grad():
    model[-1].weight.zero_()
load_checkpoint(file, state, also)
print(state.epoch == epochs, bool((model[-1].weight != 0).any()))  # True True
