"""What a layer says of itself, so that one test can check every layer.

Behind it stand inputs for samples, and what references are made of.

Read first: `Sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One way to make a layer, and inputs to call it with.

    Attributes:
        inputs: the arrays that it is called with, or tuples of arrays.
        args, named: the arguments that it is made with; arrays stand for tensors.
        wrt: by which arrays it has a derivative, counted through tuples.
        smooth: whether finite differences of the result are its derivatives here.
        like_torch: when it equals the layer of that name in PyTorch: "always", "eval"
            (in evaluation mode only, as it draws random numbers in training) or
            "never", which goes without saying if there is a reference.
        separable: whether it treats every example along axis 0 alone, in the first of
            its results.
        reference: what the layer must give in evaluation mode, by NumPy: a function of
            the layer and the inputs, as arrays, that returns an array or a tuple of
            arrays. For layers that PyTorch does not have.
    """

    inputs: tuple[Any, ...]
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = MappingProxyType({})
    wrt: tuple[int, ...] = (0,)
    smooth: bool = True
    like_torch: str = "always"
    separable: bool = True
    reference: Callable[..., Any] | None = None


def uniform(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Return numbers between `low` and `high`, the same at every call."""
    return np.random.default_rng(len(shape)).uniform(low, high, shape)


def integers(*shape: int, high: int) -> np.ndarray:
    """Return integers from 0 up to but without `high`, the same at every call."""
    return np.random.default_rng(len(shape)).integers(0, high, shape)


def distinct(*shape: int) -> np.ndarray:
    """Return numbers apart from each other, so that the greatest stays the greatest."""
    count = int(np.prod(shape))
    order = np.random.default_rng(count).permutation(count)
    return (order / max(count, 1) * 4 - 2).reshape(shape)


def linear_map(layer: Any, x: np.ndarray) -> np.ndarray:
    """Return what a `Linear` does to an array, for references in samples."""
    result: np.ndarray = x @ layer.weight.numpy().T
    return result if layer.bias is None else result + layer.bias.numpy()


def windows(
    x: np.ndarray,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Return all windows: shape (n, channels, *out, *kernel), for references."""
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    axes = tuple(range(2, 2 + len(kernel)))
    views = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axes)
    steps = tuple(slice(None, None, step) for step in stride)
    return views[(slice(None), slice(None), *steps)]
