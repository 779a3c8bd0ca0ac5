"""Tensors made of numbers alone: scales that grow by factors, and triangles.

Read first: `geomspace`, `tril_indices`.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arguments import checked
from ..dtypes import as_dtype, default_float, int64
from ..errors import ArgumentError
from ..shapes import as_shape
from .create import linspace
from .tensor import Tensor, concrete


@checked
def logspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    base: float = 10.0,
    dtype: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` numbers from `base ** start` to `base ** stop`, evenly spaced in
    their logarithms.

    Args:
        base: of the powers.
        endpoint: include the last.
        dtype: default: the default floating-point type.

    Raises:
        ArgumentError: `num` is negative.

    Source: NumPy, logspace.
    """
    kind = default_float if dtype is None else as_dtype(dtype)
    powers = linspace(start, stop, num, dtype="float64", endpoint=endpoint).numpy()
    return concrete((float(base) ** powers).astype(kind.numpy), kind)


@checked
def geomspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """Return `num` numbers from `start` to `stop`, each the one before it times one
    factor.

    Args:
        endpoint: include `stop`.
        dtype: default: the default floating-point type.

    Raises:
        ArgumentError: an end is 0, they differ in sign, or `num` is negative.

    Source: NumPy, geomspace.
    """
    if not start * stop > 0 or num < 0:
        raise ArgumentError(
            "[geomspace] two ends of one sign are needed, and not less than 0 numbers",
            got=f"{start} to {stop}, num={num}",
        )
    kind = default_float if dtype is None else as_dtype(dtype)
    (num,) = as_shape("geomspace", num)
    values = np.geomspace(float(start), float(stop), num, endpoint=endpoint)
    return concrete(values.astype(kind.numpy), kind)


@checked
def tri(n: int, m: int | None = None, k: int = 0, *, dtype: Any = None) -> Tensor:
    """Return ones on and below diagonal `k` of an (n, m) matrix, zeros elsewhere.

    Args:
        n: how many rows.
        m: how many columns. Default: as many.
        k: which diagonal: above the main one if positive, below it if negative.
        dtype: default: the default floating-point type.

    Source: NumPy, tri.
    """
    kind = default_float if dtype is None else as_dtype(dtype)
    rows, columns = as_shape("tri", (n, n if m is None else m))
    return concrete(np.tri(rows, columns, operator.index(k), kind.numpy), kind)


@checked
def tril_indices(n: int, m: int | None = None, k: int = 0) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of elements on and below diagonal `k`.

    `x[plait.tril_indices(n)]` are the elements of the lower triangle of `x`.

    Args:
        n, m, k: of the matrix, as in `tri`.

    Source: NumPy, tril_indices.
    """
    rows, columns = as_shape("tril_indices", (n, n if m is None else m))
    return _places(np.tri(rows, columns, operator.index(k), bool))


@checked
def triu_indices(n: int, m: int | None = None, k: int = 0) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns of elements on and above diagonal `k`.

    Args:
        n, m, k: of the matrix, as in `tri`.

    Source: NumPy, triu_indices.
    """
    rows, columns = as_shape("triu_indices", (n, n if m is None else m))
    return _places(~np.tri(rows, columns, operator.index(k) - 1, bool))


def _places(mask: np.ndarray) -> tuple[Tensor, Tensor]:
    rows, columns = (
        concrete(np.ascontiguousarray(places), int64) for places in np.nonzero(mask)
    )
    return rows, columns
