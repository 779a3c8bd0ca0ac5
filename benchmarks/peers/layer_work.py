"""Single layers and functions, forward and backward: the work in any framework that
has PyTorch's names, as plait does.

Read first: `Library`, `maker`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import architecture
import numpy as np
import protocol
import workloads

WARM = 2  # turns before results are compared: plait interprets first, then compiles
TURNS = 2  # inputs in turn: what is made of the same ones may be kept


@dataclass(frozen=True)
class Library:
    """What differs between frameworks.

    Attributes:
        layers: the module that has the layers.
        parametrizations: the module that has `weight_norm` and its like.
        functions: those that are no layers, by name.
        tensor: returns the tensor of an array.
        wait: returns when everything asked for is computed.
    """

    layers: Any
    parametrizations: Any
    functions: Mapping[str, Callable[..., Any]]
    tensor: Callable[[np.ndarray], Any]
    wait: Callable[[], None]


def maker(library: Library) -> protocol.Maker:
    """Return the function that makes the work of a specification."""

    def make(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
        work, parameters = built(library, spec["work"])
        given = [tensors(library, spec["inputs"], seed) for seed in range(TURNS)]
        wanted = [
            [*(x.requires_grad_() for x in inputs[: spec["wrt"]]), *parameters]
            for inputs in given
        ]
        y = first(work(*given[0]))
        differentiable = y.requires_grad
        rng = np.random.default_rng(6)
        gradients = [
            library.tensor(np.asarray(rng.standard_normal(tuple(y.shape)), np.float32))
            for _ in given
        ]

        def call(turn: int) -> Any:
            turn %= TURNS
            for x in wanted[turn]:
                x.grad = None
            y = first(work(*given[turn]))
            if differentiable:
                y.backward(gradients[turn])
            library.wait()
            return y

        def run(times: int) -> None:
            for turn in range(times):
                y = call(turn)
            del y

        for turn in range(TURNS * WARM):
            y = call(turn)
        if spec["random"]:
            return [], run
        results = [y.detach(), *(x.grad for x in wanted[-1] if x.grad is not None)]
        return [v for x in results for v in workloads.some(x.numpy())], run

    return make


def first(y: Any) -> Any:
    """Return the first tensor of what a layer returns."""
    while isinstance(y, tuple):
        y = y[0]
    return y


def built(library: Library, given: dict[str, Any]) -> tuple[Callable[..., Any], Any]:
    """Return a function or a layer, with given weights, and its parameters."""
    if "function" in given:
        return library.functions[given["function"]], ()
    layer = new(library, given)
    rng = np.random.default_rng(4)
    state = sorted((name, tuple(x.shape)) for name, x in layer.state_dict().items())
    values = {name: architecture.value(rng, name, shape) for name, shape in state}
    layer.load_state_dict({k: library.tensor(v) for k, v in values.items()})
    if "after" not in given:
        return layer, list(layer.parameters())
    before = new(library, given["after"])
    return lambda x, *others: layer(before(x), *others), list(layer.parameters())


def new(library: Library, given: Any) -> Any:
    """Return a layer; lists are tuples, and arguments may be layers."""
    if isinstance(given, list):
        return tuple(new(library, x) for x in given)
    if not isinstance(given, dict):
        return given
    args = [new(library, x) for x in given.get("args", ())]
    named = {key: new(library, x) for key, x in given.get("named", {}).items()}
    layer = getattr(library.layers, given["layer"])(*args, **named)
    if "parametrization" in given:
        return getattr(library.parametrizations, given["parametrization"])(layer)
    return layer


def tensors(library: Library, inputs: list[list[Any]], seed: int) -> list[Any]:
    """Return the inputs; `["again", i]` is the same one as input i."""
    rng = np.random.default_rng([5, seed])
    found: list[Any] = []
    for kind, *rest in inputs:
        found.append(
            found[rest[0]]
            if kind == "again"
            else library.tensor(KINDS[kind](rng, *rest))
        )
    return found


def normal(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Return normally distributed numbers."""
    return rng.standard_normal(shape, np.float32)


def uniform(
    rng: np.random.Generator, shape: list[int], low: float, high: float
) -> np.ndarray:
    """Return numbers from `low` to `high`."""
    return rng.uniform(low, high, shape).astype(np.float32)


def integers(
    rng: np.random.Generator, shape: list[int], low: int, high: int
) -> np.ndarray:
    """Return integers from `low` up to but without `high`."""
    return rng.integers(low, high, shape)


def signs(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Return -1 or 1."""
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.float32)


def shares(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Return probabilities, whose sum over the last axis is 1."""
    x = np.exp(rng.standard_normal(shape, np.float32))
    return x / x.sum(-1, keepdims=True)


def labels(rng: np.random.Generator, shape: list[int], count: int) -> np.ndarray:
    """Return rows of `count` different labels, with -1 behind them."""
    found = np.full(shape, -1)
    for row in found:
        row[:count] = rng.permutation(shape[1])[:count]
    return found


def steps(rng: np.random.Generator, shape: list[int], step: int) -> np.ndarray:
    """Return 0, step, 2 * step, ..."""
    return np.arange(shape[0]) * step


def corners(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Return where poolings of windows of 2 found the greatest elements."""
    sizes = shape[2:]
    lines = np.meshgrid(*(np.arange(n) * 2 for n in sizes), indexing="ij")
    places = [line + rng.integers(0, 2, shape) for line in lines]
    found = np.ravel_multi_index(places, [2 * n for n in sizes])
    return np.asarray(found, np.int64)


KINDS: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function
    for function in (normal, uniform, integers, signs, shares, labels, steps, corners)
}
