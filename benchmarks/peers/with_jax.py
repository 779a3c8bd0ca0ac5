"""The work in JAX: pure functions, compiled with `jit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import nets_jax
import numpy as np
import protocol
import workloads
from jax import Array

Layers = list[tuple[Array, Array]]


def network(spec: dict[str, Any]) -> Layers:
    """Return the weights of a multilayer perceptron, (in, out) each, and biases."""
    return [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in workloads.weights(spec)]


def scorer(spec: dict[str, Any]) -> Callable[[Layers, Array], Array]:
    """Return the function from weights and inputs to scores."""
    activation = jax.nn.relu if spec["activation"] == "relu" else jax.nn.sigmoid

    def scores(layers: Layers, x: Array) -> Array:
        for w, b in layers[:-1]:
            x = activation(x @ w + b)
        w, b = layers[-1]
        return x @ w + b

    return scores


def resident(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return batches as JAX's arrays."""
    return [(jnp.asarray(x), jnp.asarray(y)) for x, y in workloads.batches(spec)]


def updater(
    lr: float, momentum: float = 0, weight_decay: float = 0, nesterov: bool = False
) -> Callable[[Array, Array, Array | None], tuple[Array, Array | None]]:
    """Return the update of one parameter, given its gradient and buffer."""

    def update(p: Array, g: Array, buffer: Array | None) -> tuple[Array, Array | None]:
        if weight_decay:
            g = g + weight_decay * p
        if buffer is not None:
            buffer = momentum * buffer + g
            g = g + momentum * buffer if nesterov else buffer
        return p - lr * g, buffer

    return update


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    scores, update = scorer(spec), updater(**spec["sgd"])
    layers, tree = jax.tree.flatten(network(spec))
    buffers = [
        jnp.zeros_like(p) if spec["sgd"].get("momentum") else None for p in layers
    ]

    def loss_of(layers: list[Array], x: Array, y: Array) -> Array:
        shares = jax.nn.log_softmax(scores(jax.tree.unflatten(tree, layers), x))
        return -jnp.take_along_axis(shares, y[:, None], 1).mean()

    def whole(layers: list[Array], buffers: list[Array | None], x: Array, y: Array):
        loss, gradients = jax.value_and_grad(loss_of)(layers, x, y)
        pairs = [
            update(*group) for group in zip(layers, gradients, buffers, strict=True)
        ]
        return [p for p, _ in pairs], [b for _, b in pairs], loss

    compiled = jax.jit(whole, donate_argnums=(0, 1))
    data: Iterator[Any] = cycle(resident(spec))

    def step() -> Array:
        nonlocal layers, buffers
        layers, buffers, loss = compiled(layers, buffers, *next(data))
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()
        jax.block_until_ready(layers)

    return [step().item() for _ in range(spec["check"])], run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    scores, layers = jax.jit(scorer(spec)), network(spec)
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            np.asarray(scores(layers, next(data)))

    return workloads.some(scores(layers, batches[0])), run


def norm(x: Array, w: Array, b: Array) -> Array:
    """Layer norm of the rows."""
    x = x - x.mean(1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(1, keepdims=True) + 1e-5) * w + b


def chain(x: Array) -> Array:
    """Elementwise work with functions that cost something."""
    return jax.nn.gelu(x * 1.1 + 0.1, approximate=False) * jax.nn.sigmoid(x)


# How many of x, w, b a function takes, and the function.
FUNCTIONS: dict[str, tuple[int, Callable[..., Array]]] = {
    "negative": (1, lambda x: -x),
    "gelu chain": (1, chain),
    "softmax": (1, lambda x: jax.nn.softmax(x, 1)),
    "layer norm": (3, norm),
}


def elementwise(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A function of a large array, and its derivatives if `backward`."""
    given = {name: jnp.asarray(v) for name, v in workloads.plane(spec).items()}
    g = given.pop("g")
    count, function = FUNCTIONS[spec["function"]]
    inputs = tuple(given.values())[:count]

    def both(g: Array, *inputs: Array) -> tuple[Array, tuple[Array, ...]]:
        y, pull = jax.vjp(function, *inputs)
        return y, pull(g)

    def value(g: Array, *inputs: Array) -> tuple[Array, tuple[Array, ...]]:
        return function(*inputs), ()

    compiled = jax.jit(both if spec["backward"] else value)

    def run(times: int) -> None:
        for _ in range(times):
            # Waiting each time keeps the queue, and its memory, short.
            jax.block_until_ready(compiled(g, *inputs))

    y, gradients = compiled(g, *inputs)
    return sum(map(workloads.some, gradients), workloads.some(y)), run


def matmul(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """A matrix product."""
    dtype = getattr(jnp, spec["dtype"])
    x, y = (jnp.asarray(v).astype(dtype) for v in workloads.factors(spec))
    first, second = spec["transposed"]

    @jax.jit
    def compiled(x: Array, y: Array) -> Array:
        return (x.T if first else x) @ (y.T if second else y)

    def run(times: int) -> None:
        for _ in range(times):
            z = compiled(x, y)
        z.block_until_ready()

    return workloads.some(compiled(x, y).astype(jnp.float32)), run


def facts() -> dict[str, Any]:
    """Return versions and threads; XLA takes as many as it sees cores."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    threads = len(cores) or os.cpu_count()
    versions = f"{jax.__version__}, jaxlib {jaxlib.__version__}"
    return {"jax": versions, "threads": threads}


MAKERS: dict[str, protocol.Maker] = {
    "train": train,
    "infer": infer,
    "elementwise": elementwise,
    "matmul": matmul,
    **nets_jax.MAKERS,
}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)
