"""Training steps and inference of multilayer perceptrons, beside other frameworks.

usage: python benchmarks/mlp.py [--quick] [--peers A,B] [--threads 1,2] [--write] ...

784 -> depth x width -> 10, batch 64, ReLU, cross-entropy, SGD; a new batch at every
step, which lies there as the framework's own tensor; the loss is looked at once a
sample, the result of an inference each time, as a NumPy array. The losses of the first
20 steps must agree. The options are explained in benchmarks/harness.py.
"""

from __future__ import annotations

from typing import Any

from harness import Case, Section, main, measure, show_times

STEPS = 20  # whose losses are compared
WIDTHS = range(16, 513, 31)  # ends with 512, and meets most remainders of vectors


def network(depth: int, width: int) -> dict[str, Any]:
    """Return the specification of a ReLU net at batch 64."""
    sizes = [784, *[width] * depth, 10]
    return {"sizes": sizes, "batch": 64, "activation": "relu"}


def training(name: str, spec: dict[str, Any], quick: bool = False, **sgd: Any) -> Case:
    """Return the case of a training step."""
    sgd = {"lr": 0.05, **sgd}
    return Case(name, {"kind": "train", "check": STEPS, "sgd": sgd, **spec}, quick)


def inference(name: str, spec: dict[str, Any], batch: int, quick: bool = False) -> Case:
    """Return the case of an inference."""
    return Case(name, {"kind": "infer", **spec, "batch": batch}, quick)


GRID = [(depth, width) for depth in (1, 2, 4, 8) for width in (64, 128, 256)]
SIGMOID = {"sizes": [784, 128, 10], "batch": 256, "activation": "sigmoid"}
SECTIONS = [
    Section(
        "mlp-train",
        [
            training(f"{depth} x {width}", network(depth, width), depth * width == 64)
            for depth, width in GRID
        ],
        show_times,
        measure,
    ),
    Section(
        "mlp-infer",
        [
            inference(f"{depth} x {width}, batch {batch}", network(depth, width), batch,
                      depth * width == 64)
            for batch in (64, 1)
            for depth, width in GRID
        ],
        show_times,
        measure,
    ),
    Section(
        "mlp-widths",
        [training(f"width {width}", network(1, width)) for width in WIDTHS],
        show_times,
        measure,
    ),
    Section(
        "mlp-momentum",
        [
            training("plain", SIGMOID),
            training("momentum 0.9", SIGMOID, momentum=0.9),
            training("Nesterov", SIGMOID, momentum=0.9, nesterov=True),
            training("weight decay", SIGMOID, weight_decay=1e-4),
            training(
                "Nesterov, weight decay", SIGMOID, True,
                momentum=0.9, nesterov=True, weight_decay=1e-4,
            ),
        ],
        show_times,
        measure,
    ),
]  # fmt: skip

if __name__ == "__main__":
    main(SECTIONS)
