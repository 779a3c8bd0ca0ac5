"""What all peers work on: the same weights and data, as NumPy arrays."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray
BATCHES = 8


def weights(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return a weight of shape (out, in) and a bias for each layer of `sizes`."""
    rng = np.random.default_rng(1)
    sizes = spec["sizes"]
    layers = []
    for inner, outer in pairwise(sizes):
        bound = inner**-0.5
        w = rng.uniform(-bound, bound, (outer, inner)).astype(np.float32)
        layers.append((w, rng.uniform(-bound, bound, outer).astype(np.float32)))
    return layers


def batches(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return inputs (batch, first size) and labels (batch,), several of each."""
    rng = np.random.default_rng(2)
    first, last, size = spec["sizes"][0], spec["sizes"][-1], spec["batch"]
    return [
        (rng.standard_normal((size, first), np.float32), rng.integers(0, last, size))
        for _ in range(BATCHES)
    ]


def plane(spec: dict[str, Any]) -> dict[str, Array]:
    """Return what elementwise work needs: `x` and a gradient `g` of the same shape,
    and `w` and `b` as long as a row.
    """
    rng = np.random.default_rng(3)
    rows, columns = spec["shape"]
    return {
        "x": rng.standard_normal((rows, columns), np.float32),
        "g": rng.standard_normal((rows, columns), np.float32),
        "w": rng.uniform(0.5, 1.5, columns).astype(np.float32),
        "b": rng.standard_normal(columns, np.float32),
    }


def factors(spec: dict[str, Any]) -> tuple[Array, Array]:
    """Return the operands of a product, laid out as `spec` says."""
    rng = np.random.default_rng(4)
    rows, inner, columns = spec["shape"]
    first = (inner, rows) if spec["transposed"][0] else (rows, inner)
    second = (columns, inner) if spec["transposed"][1] else (inner, columns)
    return (
        rng.standard_normal(first, np.float32),
        rng.standard_normal(second, np.float32),
    )


def trained(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return parameters of `shapes`, and gradients of them."""
    rng = np.random.default_rng(5)
    return [
        (
            rng.uniform(-0.1, 0.1, shape).astype(np.float32),
            rng.standard_normal(shape).astype(np.float32) * np.float32(0.01),
        )
        for shape in spec["shapes"]
    ]


def some(values: Any) -> list[float]:
    """Return about 64 values spread over an array, to be compared between peers."""
    flat = np.asarray(values).astype(np.float32).ravel()
    return [float(value) for value in flat[:: max(1, flat.size // 61)]]
