"""What a loader costs beside a loop by hand that takes the same batches with NumPy.

usage: python benchmarks/loader.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import plait
from plait.data import Loader

SAMPLES, PIXELS, REPEATS = 60_000, 784, 15


def main() -> None:
    """Print milliseconds for one pass over data of MNIST's size, best of several."""
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, PIXELS), dtype=np.float32)
    y = rng.integers(0, 10, SAMPLES)
    print(f"{'batch':>6}{'arrays':>10}{'by hand':>10}{'loader':>10}{'ratio':>8}")
    for size in (16, 64, 256):
        loader = Loader((x, y), size, shuffle=True)
        arrays, hand, own = best(
            lambda size=size: by_hand(x, y, size, rng, tensors=False),
            lambda size=size: by_hand(x, y, size, rng, tensors=True),
            lambda loader=loader: exhaust(loader),
        )
        print(f"{size:6}{arrays:10.1f}{hand:10.1f}{own:10.1f}{own / hand:8.2f}")


def by_hand(
    x: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator, tensors: bool
) -> None:
    """Take shuffled batches with fancy indexing, as tensors or as arrays."""
    order = rng.permutation(len(x))
    for start in range(0, len(x), size):
        rows = order[start : start + size]
        images, labels = x[rows], y[rows]
        if tensors:
            plait.from_numpy(images)
            plait.from_numpy(labels)


def exhaust(loader: Loader) -> None:
    """Take every batch."""
    for _ in loader:
        pass


def best(*runs: Callable[[], None]) -> list[float]:
    """Return the shortest time of each in milliseconds, taken in turns."""
    shortest = [float("inf")] * len(runs)
    for _ in range(REPEATS):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            shortest[i] = min(shortest[i], 1e3 * (time.perf_counter() - start))
    return shortest


if __name__ == "__main__":
    main()
