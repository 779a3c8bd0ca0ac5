"""The work, written by hand with NumPy."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import protocol
import workloads

Array = np.ndarray


class Network:
    """A multilayer perceptron with the update of stochastic gradient descent."""

    def __init__(self, spec: dict[str, Any]) -> None:
        layers = workloads.weights(spec)
        self.layers = [(np.ascontiguousarray(w.T), b) for w, b in layers]
        self.buffers = [(np.zeros_like(w), np.zeros_like(b)) for w, b in self.layers]
        # Large arrays that are made anew at each step can cost as much as the rest.
        self.gradients = [(np.empty_like(w), np.empty_like(b)) for w, b in self.layers]
        self.relu = spec["activation"] == "relu"
        self.sgd = spec.get("sgd", {})

    def forward(self, x: Array) -> list[Array]:
        """Return the input of each layer, and the scores."""
        values = [x]
        for i, (w, b) in enumerate(self.layers):
            x = x @ w
            x += b
            if i < len(self.layers) - 1:
                x = np.maximum(x, 0, out=x) if self.relu else 1 / (1 + np.exp(-x))
            values.append(x)
        return values

    def step(self, x: Array, labels: Array) -> float:
        """Update the weights; return the loss from before."""
        *values, scores = self.forward(x)
        rows = np.arange(len(x))
        scores -= scores.max(1, keepdims=True)
        g = np.exp(scores)
        sums = g.sum(1, keepdims=True)
        loss = (np.log(sums[:, 0]) - scores[rows, labels]).mean()
        g /= sums
        g[rows, labels] -= 1
        g /= len(x)
        for i in reversed(range(len(self.layers))):
            w, b = self.layers[i]
            inner = values[i]
            w_gradient, b_gradient = self.gradients[i]
            np.matmul(inner.T, g, out=w_gradient)
            np.sum(g, 0, out=b_gradient)
            if i:
                g = g @ w.T
                g *= (inner > 0) if self.relu else inner * (1 - inner)
            self.update(w, w_gradient, self.buffers[i][0])
            self.update(b, b_gradient, self.buffers[i][1])
        return float(loss)

    def update(self, parameter: Array, gradient: Array, buffer: Array) -> None:
        """Change a parameter in place; the gradient is used up."""
        sgd = self.sgd
        if sgd.get("weight_decay"):
            gradient += sgd["weight_decay"] * parameter
        if sgd.get("momentum"):
            buffer *= sgd["momentum"]
            buffer += gradient
            if sgd.get("nesterov"):
                gradient += sgd["momentum"] * buffer
            else:
                gradient[...] = buffer
        gradient *= sgd["lr"]
        parameter -= gradient


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each."""
    network = Network(spec)
    data: Iterator[Any] = cycle(workloads.batches(spec))

    def run(times: int) -> None:
        for _ in range(times):
            network.step(*next(data))

    return [network.step(*next(data)) for _ in range(spec["check"])], run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    network = Network(spec)
    batches = [x for x, _ in workloads.batches(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            network.forward(next(data))

    return workloads.some(network.forward(batches[0])[-1]), run


def softmax(x: Array, w: Array, b: Array) -> Array:
    """Exponentials of each row, as shares of their sum."""
    x = x - x.max(1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(1, keepdims=True)
    return x


def norm(x: Array, w: Array, b: Array) -> Array:
    """Layer norm of the rows."""
    x = x - x.mean(1, keepdims=True)
    x /= np.sqrt((x * x).mean(1, keepdims=True) + 1e-5)
    x *= w
    x += b
    return x


FUNCTIONS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "negative": lambda x, w, b: -x,
    "softmax": softmax,
    "layer norm": norm,
}


def elementwise(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A function of a large array."""
    given = workloads.plane(spec)
    function = FUNCTIONS[spec["function"]]
    x, w, b = given["x"], given["w"], given["b"]

    def run(times: int) -> None:
        for _ in range(times):
            y = function(x, w, b)
        del y

    return workloads.some(function(x, w, b)), run


def matmul(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A matrix product."""
    x, y = workloads.factors(spec)
    x, y = (
        v.T if turned else v
        for v, turned in zip((x, y), spec["transposed"], strict=True)
    )

    def run(times: int) -> None:
        for _ in range(times):
            z = x @ y
        del z

    return workloads.some(x @ y), run


def facts() -> dict[str, Any]:
    """Return versions and threads."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "python": platform.python_version(),
        "numpy": f"{np.__version__} ({blas.get('name')} {blas.get('version')})",
    }


MAKERS: dict[str, protocol.Maker] = {
    "train": train,
    "infer": infer,
    "elementwise": elementwise,
    "matmul": matmul,
}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)
