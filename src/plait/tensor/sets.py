"""Functions whose result's shape depends on values: they look, and run what is
recorded.

Read first: `nonzero`, `unique_all`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import int64
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from ..shapes import normalize_axis
from .methods import FUNCTIONS
from .tensor import Tensor, concrete


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def _integers(array: np.ndarray) -> Tensor:
    return concrete(np.array(array, np.int64), int64)


def _check_tensor(op: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(
            f"[{op}] a tensor is needed",
            got=f"a {type(x).__name__}",
            fix="convert it with plait.asarray",
        )


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Return `x` with each slice along `axis` repeated.

    Args:
        repeats: one count for all, or a tensor of one count for each slice, whose
            values are looked at.
        axis: None repeats the elements of the flattened tensor.

    Raises:
        ShapeError: the number of counts is not that of the slices.
        ArgumentError: a count is negative.
    """
    if not isinstance(repeats, (Tensor, np.ndarray, list, tuple)):
        return FUNCTIONS["repeat"](x, repeats, axis=axis)  # type: ignore[no-any-return]
    counts = np.asarray(repeats)
    if counts.size and counts.dtype.kind not in "iu":
        raise ArgumentTypeError(
            "[repeat] counts must be integers", got=str(counts.dtype)
        )
    counts = counts.astype(np.int64)
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = normalize_axis("repeat", axis, x.ndim)
    size = x.shape[axis]
    if counts.shape not in ((), (1,), (size,)):
        raise ShapeError(
            "[repeat] one count is needed, or one for each slice",
            got=f"counts of shape {counts.shape} for {size} slices",
        )
    if (counts < 0).any():
        raise ArgumentError("[repeat] a count is negative", got=str(counts.min()))
    places = np.repeat(np.arange(size), np.broadcast_to(counts, (size,)))
    return FUNCTIONS["take"](x, _integers(places), axis=axis)  # type: ignore[no-any-return]


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Return the positions of elements that are not zero: one index tensor for each
    axis.

    Raises:
        ArgumentTypeError: `x` has no axes.
    """
    _check_tensor("nonzero", x)
    if x.ndim == 0:
        raise ArgumentTypeError("[nonzero] a scalar has no positions", got="shape ()")
    return tuple(_integers(index) for index in np.nonzero(x.numpy()))


def unique_all(x: Tensor, /) -> UniqueAll:
    """Return the distinct elements of `x` in order, with positions, inverse and counts.

    Every nan is distinct from the others.
    """
    _check_tensor("unique", x)
    array = x.numpy()
    values, first, inverse, counts = np.unique(
        array,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        equal_nan=False,
    )
    return UniqueAll(
        concrete(values, x.dtype),
        _integers(first),
        _integers(inverse.reshape(array.shape)),
        _integers(counts),
    )


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Return the distinct elements of `x` in order, and how often each occurs."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Return the distinct elements in order, and for each element of `x` which it
    is.
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Return the distinct elements of `x` in order."""
    return unique_all(x).values
