"""What a distribution says of itself, so that one test can check every one.

Read first: `Sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One way to make a distribution, and values to ask it about.

    Attributes:
        parameters: what it is made with, by name: arrays stand for tensors.
        value: an array of values within the support, which broadcasts with the
            parameters.
        make: makes it, given a module with the names of this room, and the parameters.
            Default: the class is called.
        fixed: names of array parameters that it has no derivative by.
        smooth: whether the density has a derivative by the value.
    """

    parameters: Mapping[str, Any]
    value: Any
    make: Callable[..., Any] | None = None
    fixed: tuple[str, ...] = ()
    smooth: bool = True


def array(*values: Any) -> np.ndarray:
    """Return numbers as an array of float64."""
    return np.array(values, float)
