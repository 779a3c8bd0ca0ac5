"""Terms that many rules share: of numbers, for `coefficients`, and of tensors, for
`update`.

Numbers are Python's, or scalar tensors of float64 in an exported step.

Read first: `directed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

# Numbers


def unless_zero(number: Any) -> Any:
    """Return a hyperparameter, or None if it is 0, which leaves its term out."""
    return number if isinstance(number, Tensor) else number or None


def root(number: Any) -> Any:
    """Return the square root of a number."""
    return plait.sqrt(number) if isinstance(number, Tensor) else math.sqrt(number)


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` if the condition holds, else `no`; the other may be nonsense."""
    if not isinstance(condition, Tensor):
        return yes if condition else no
    wide = [plait.asarray(x, dtype=plait.float64) for x in (yes, no)]
    return plait.where(condition, *wide)


def least(x: Any, y: Any) -> Any:
    """Return the smaller of two numbers."""
    return choose(x < y, x, y)


def largest(x: Any, y: Any) -> Any:
    """Return the larger of two numbers."""
    return choose(x > y, x, y)


def shrinking(lr: Any, weight_decay: Any) -> Any:
    """Return the factor of a weight decay apart from the gradient; None for none."""
    decay = unless_zero(weight_decay)
    return None if decay is None else 1 - lr * decay


# Tensors


def directed(
    parameter: Tensor, gradient: Tensor, weight_decay: Any, maximize: bool
) -> Tensor:
    """Return the gradient, the other way to go up, and with that of the L2 penalty."""
    if maximize:
        gradient = -gradient
    if weight_decay is not None:
        gradient = gradient + parameter * weight_decay
    return gradient


def zeros(parameter: Tensor, *names: str) -> dict[str, Tensor]:
    """Return a state of zeros of the parameter's shape, by name."""
    return {name: filled(parameter.shape, 0.0, parameter) for name in names}


def filled(shape: Sequence[int], value: float, like: Tensor) -> Tensor:
    """Return a tensor of a state, of the type of `like`.

    It is not recorded, but has its values, as those of later steps have: so the first
    step is the same program as all others.
    """
    return plait.tensor(np.full(shape, value), dtype=like.dtype)


def wide(x: Tensor) -> Tensor:
    """Return a tensor in at least float32: for arithmetic, and for sums."""
    return x.to(plait.result_type(x.dtype, plait.float32))


def single(parameter: Tensor, value: float = 0.0) -> Tensor:
    """Return a scalar of a state."""
    return filled((), value, parameter)


def length(x: Tensor) -> Tensor:
    """Return the Euclidean norm over all elements."""
    x = wide(x)
    return plait.sqrt(plait.sum(x * x))


def trust(over: Tensor, under: Tensor, factor: float = 1.0) -> Tensor:
    """Return factor * over / under for two norms, or 1 if one of them is 0."""
    fine = (over > 0) & (under > 0)
    safe = plait.where(fine, under, 1.0)
    ratio: Tensor = plait.where(fine, factor * over / safe, 1.0)
    return ratio


def mixed(old: Tensor, new: Tensor, share: Any) -> Tensor:
    """Return a running mean that takes in `share` of what is new."""
    mean: Tensor = old + (new - old) * share
    return mean
