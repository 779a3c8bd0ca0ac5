"""The main job end to end: `plait train digits` against the same job in torch eager.

    python benchmarks/digits.py [--epochs N] [--rounds N] [--threads N]

Both train 784-128-10 with Adam at batch 128 on all of MNIST, shuffled anew each epoch,
with a rate that falls on a straight line, the accuracy of each batch, and a test after
each epoch. Each run is a process of its own; runs are interleaved. What is timed is the
training with its tests, from the model's making on, not the imports and the reading of
the data.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

BATCH, HIDDEN, RATE = 128, 128, 3e-3


def plait_job(data, epochs):
    """Return the seconds of training and the accuracy on the test images."""
    import plait
    from plait import nn, optim
    from plait.data import Loader
    from plait.train import ClassErrorMeter, RateSchedule, fit

    plait.manual_seed(0)
    start = time.perf_counter()
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    records = fit(
        model,
        Loader(data["train"], BATCH, shuffle=True, seed=0),
        loss_function=nn.CrossEntropyLoss(),
        optimizer=optim.Adam(model.parameters(), lr=RATE),
        epochs=epochs,
        meters={"accuracy": ClassErrorMeter(accuracy=True)},
        evaluate_on=Loader(data["test"], 1000),
        hooks=[RateSchedule()],
        quiet=True,
    )
    return time.perf_counter() - start, records[-1]["test_accuracy"]


def torch_job(data, epochs):
    """Return the seconds of training and the accuracy on the test images."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    start = time.perf_counter()
    images, labels = (torch.from_numpy(x) for x in data["train"])
    test_images, test_labels = (torch.from_numpy(x) for x in data["test"])
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(images))
        total = right = 0
        for at in range(0, len(images), BATCH):
            # Batches cut from tensors: faster than torch's own DataLoader.
            chosen = order[at : at + BATCH]
            x, y = images[chosen], labels[chosen]
            scores = model(x)
            loss = loss_function(scores, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total = total + loss.detach()
            right = right + (scores.argmax(1) == y).sum()
        with torch.no_grad():
            pieces = zip(test_images.split(1000), test_labels.split(1000), strict=True)
            hits = [(model(x).argmax(1) == y).sum() for x, y in pieces]
    accuracy = sum(hits).item() / len(test_labels)
    return time.perf_counter() - start, accuracy


JOBS = {"plait": plait_job, "torch": torch_job}


def read_data():
    """Return images as rows of numbers from 0 to 1, and labels."""
    from plait.data import digits

    data = digits("mnist")

    def rows(images):
        return images.reshape(len(images), -1).astype(np.float32) / 255

    return {
        "train": (rows(data.train_images), data.train_labels.astype(np.int64)),
        "test": (rows(data.test_images), data.test_labels.astype(np.int64)),
    }


def main():
    """Run the jobs in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", choices=JOBS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        seconds, accuracy = JOBS[options.run](read_data(), options.epochs)
        print(json.dumps([seconds, accuracy]))
        return
    count = str(options.threads)
    names = ("PLAIT_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    source = str(Path(__file__).parent.parent / "src")
    environment = {**os.environ, "PYTHONPATH": source, **dict.fromkeys(names, count)}
    found = {name: [] for name in JOBS}
    for _ in range(options.rounds):
        for name in JOBS:
            command = [sys.executable, __file__, "--run", name]
            command += ["--epochs", str(options.epochs)]
            result = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            found[name].append(json.loads(result.stdout))
    print(f"{options.epochs} epochs of MNIST, {count} threads, median of "
          f"{options.rounds} runs")  # fmt: skip
    medians = {}
    for name, runs in found.items():
        medians[name] = statistics.median(seconds for seconds, _ in runs)
        rate = options.epochs * 60_000 / medians[name]
        accuracy = statistics.median(accuracy for _, accuracy in runs)
        print(f"{name:6} {medians[name]:7.2f} s {rate:10,.0f} images/s, "
              f"test accuracy {accuracy:.2%}")  # fmt: skip
    print(f"torch takes {medians['torch'] / medians['plait']:.2f} times as long")


if __name__ == "__main__":
    main()
