"""Steps of optimizers, and draws of distributions, beside PyTorch, eager.

usage: python benchmarks/optimizers.py [--quick] [--peers A,B] [--threads 1,2] ...

A step is `optimizer.step()` alone, with the same gradients each time, of the parameters
of ResNet-18: 62 tensors, 11.7 million numbers. A draw is of 100,000 numbers of one
distribution. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness import Case, Found, Section, duration, main, measure, table

PEERS = ("plait", "torch")
NAMES = (
    *("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax"),
    *("Adagrad", "RMSprop", "Adadelta", "ASGD", "Rprop"),
)
DISTRIBUTIONS: dict[str, dict[str, float]] = {
    "Normal": {"loc": 0.5, "scale": 2.0},
    "Exponential": {"rate": 2.0},
    "Laplace": {"loc": 0.5, "scale": 2.0},
    "Gamma": {"concentration": 2.5, "rate": 2.0},
    "Beta": {"concentration1": 2.5, "concentration0": 0.7},
    "StudentT": {"df": 4.0},
    "Poisson": {"rate": 15.0},
    "Binomial": {"total_count": 40.0, "probs": 0.3},
    "VonMises": {"loc": 0.5, "concentration": 3.0},
}


def resnet() -> list[Sequence[int]]:
    """Return the shapes of the parameters of ResNet-18."""
    shapes: list[Sequence[int]] = [(64, 3, 7, 7), (64,), (64,)]
    for before, width in pairwise((64, 64, 128, 256, 512)):
        for inner in (before, width):
            shapes += [(width, inner, 3, 3), (width,), (width,)]
            shapes += [(width, width, 3, 3), (width,), (width,)]
            if inner != width:
                shapes += [(width, inner, 1, 1), (width,), (width,)]
    return [*shapes, (1000, 512), (1000,)]


def step(name: str, shapes: Sequence[Sequence[int]], quick: bool = False) -> Case:
    """Return the case of an optimizer."""
    settings = {"lr": 1e-3, **({"momentum": 0.9} if name == "SGD" else {})}
    spec = {
        "kind": "optimizer", "name": name, "shapes": shapes, "settings": settings
    }  # fmt: skip
    return Case(name + (" (small)" if quick else ""), spec, quick, PEERS)


def draw(name: str, count: int, quick: bool = False) -> Case:
    """Return the case of a distribution."""
    spec = {
        "kind": "draw", "name": name, "count": count, "settings": DISTRIBUTIONS[name]
    }  # fmt: skip
    return Case(name + (" (small)" if quick else ""), spec, quick, PEERS)


def show(section: Section, found: Found) -> Iterator[str]:
    """Yield a table of times."""
    yield from table(section, found, lambda case, seconds: duration(seconds))


STEPS = [step(name, resnet()) for name in NAMES]
DRAWS = [draw(name, 100_000) for name in DISTRIBUTIONS]
SECTIONS = [
    Section("optimizers", [*STEPS, step("Adam", [(9, 5), (5,)], True)], show, measure),
    Section("draws", [*DRAWS, draw("Gamma", 100, True)], show, measure),
]

if __name__ == "__main__":
    main(SECTIONS)
