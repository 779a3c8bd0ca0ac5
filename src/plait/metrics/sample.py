"""What a metric says of itself, so that one test can check every metric.

Read first: `Sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Sample(NamedTuple):
    """Data to give to a metric, and what it must say of them.

    Attributes:
        data: what `add` takes, of all examples: arrays whose first axes are examples,
            or a tuple of numbers.
        reference: a function of these that returns the value, by NumPy.
        args, named: the arguments that the metric is made with.
        weighted: whether `add` takes a `weight` for each example.
    """

    data: tuple[Any, ...]
    reference: Callable[..., Any]
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = MappingProxyType({})
    weighted: bool = False


def scores(*shape: int) -> np.ndarray:
    """Return probabilities, the same at every call, with some that are equal."""
    return np.random.default_rng(len(shape)).integers(1, 20, shape) / 20


def classes(n: int, high: int) -> np.ndarray:
    """Return class numbers, the same at every call."""
    return np.random.default_rng(high).integers(0, high, n)


def bits(*shape: int) -> np.ndarray:
    """Return zeros and ones, the same at every call."""
    return np.random.default_rng(7 + len(shape)).integers(0, 2, shape)
