"""What plait costs in Python: importing it, recording an op, recording a training step.

Prints medians beside PyTorch's eager dispatch of the same loops where torch is
installed. Times are of this process alone; the programs' own running time is taken out.

    python benchmarks/recording.py [--json FILE]
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import plait
from plait import nn, optim
from plait.tensor import execute

try:
    import torch
except ImportError:
    torch = None

ROUNDS = 15
OPS = 1000


def median_of(function: Callable[[], float], rounds: int = ROUNDS) -> float:
    """Return the median of what `function` returns, after one unmeasured call."""
    function()
    return statistics.median(function() for _ in range(rounds))


def import_milliseconds() -> float:
    """Return how long `import plait` takes once numpy is there, in new processes."""
    code = (
        "import time, numpy; start = time.perf_counter(); import plait;"
        "print(time.perf_counter() - start)"
    )

    # Compiled modules must be kept, as an installed package has them.
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def once() -> float:
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return float(run.stdout) * 1e3

    return median_of(once, 7)


def op_microseconds(
    make: Callable[[], tuple[Any, Any]], end: Callable[[], None]
) -> float:
    """Return the time of one `x + y` of a loop that keeps the latest result."""

    def once() -> float:
        x, y = make()
        z = x + y
        start = time.perf_counter()
        for _ in range(OPS):
            z = x + y
        seconds = time.perf_counter() - start
        del z
        end()
        return seconds / OPS * 1e6

    return median_of(once)


def plait_pair() -> tuple[Any, Any]:
    """Return two small tensors that hold values."""
    x, y = plait.ones(4), plait.ones(4)
    x.numpy(), y.numpy()
    return x, y


def perceptron(*sizes: int) -> Any:
    """Return linear layers of these sizes with ReLU between them."""
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def plait_step_microseconds(
    optimizer_class: Any = optim.SGD, hidden: Sequence[int] = (128,), **named: Any
) -> tuple[float, float]:
    """Return the time of a training step outside of running it, and the whole
    step's.
    """
    model = perceptron(784, *hidden, 10)
    optimizer = optimizer_class(model.parameters(), lr=0.001, **named)
    images = plait.asarray(np.random.default_rng(0).random((64, 784), np.float32))
    labels = plait.asarray(np.arange(64) % 10)
    running = 0.0
    run = execute.Program.run

    def timed(self: Any, values: Any) -> Any:
        nonlocal running
        start = time.perf_counter()
        result = run(self, values)
        running += time.perf_counter() - start
        return result

    def step() -> None:
        optimizer.zero_grad()
        loss = plait.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    outside, whole = [], []
    execute.Program.run = timed  # type: ignore[method-assign]
    try:
        for _ in range(300):
            running = 0.0
            start = time.perf_counter()
            step()
            seconds = time.perf_counter() - start
            outside.append(seconds - running)
            whole.append(seconds)
    finally:
        execute.Program.run = run  # type: ignore[method-assign]
    return statistics.median(outside[50:]) * 1e6, statistics.median(whole[50:]) * 1e6


def torch_step_microseconds() -> float:
    """Return the time of the same step in PyTorch, eager, running included."""
    net = torch.nn
    model = net.Sequential(net.Linear(784, 128), net.ReLU(), net.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, labels = torch.rand(64, 784), torch.arange(64) % 10
    times = []
    for _ in range(300):
        start = time.perf_counter()
        optimizer.zero_grad()
        net.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[50:]) * 1e6


def measure() -> dict[str, float]:
    """Return all figures, in the unit that their name ends with."""
    outside, whole = plait_step_microseconds()
    momentum, _ = plait_step_microseconds(momentum=0.9)
    adam, _ = plait_step_microseconds(optim.Adam)
    deep, _ = plait_step_microseconds(hidden=[16] * 8)
    found = {
        "import plait after numpy, ms": import_milliseconds(),
        "record x + y, us": op_microseconds(plait_pair, plait.flush),
        "record a training step 784-128-10, us": outside,
        "the same with momentum, us": momentum,
        "the same with Adam, us": adam,
        "the same with 8 hidden layers, us": deep,
        "the whole step of 784-128-10, us": whole,
    }
    if torch is not None:
        pair = torch.ones(4), torch.ones(4)
        found["torch eager x + y of 4 elements, us"] = op_microseconds(
            lambda: pair, lambda: None
        )
        found["torch eager training step, us"] = torch_step_microseconds()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    versions = f"plait {plait.__version__}, numpy {np.__version__}"
    threads = os.cpu_count()
    if torch is not None:
        threads = torch.get_num_threads()
        versions += f", torch {torch.__version__}"
    print(f"Python {platform.python_version()}, {versions}, {threads} threads")
    found = measure()
    for name, value in found.items():
        print(f"{name:<45} {value:9.2f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
