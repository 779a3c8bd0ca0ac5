"""What the primitives on stacks of matrices share: checks, LAPACK's errors, shorthands.

Matrices are the last two axes, all others are stacked. Knows no single primitive.

Read first: `check_matrices`, `lapack`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtypes import int64
from ..errors import (
    DTypeError,
    LinearAlgebraError,
    ShapeError,
)
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure
from . import contract, elementwise, movement
from .source import iota

mT = movement.matrix_transpose
matmul = contract.matmul


def random_matrices(*shape: int, seed: int = 3) -> np.ndarray:
    """Return sample matrices, the same at every call."""
    return np.random.default_rng(seed).normal(size=shape)


def random_definite(*shape: int) -> np.ndarray:
    """Return sample matrices that are symmetric and positive definite."""
    x = random_matrices(*shape)
    return np.asarray(x @ np.swapaxes(x, -1, -2) + 0.5 * np.eye(shape[-1]))


# What the records share


def check_matrices(name: str, x: TensorType, square: bool = False) -> None:
    """Raise unless `x` holds matrices of a type that LAPACK computes with.

    Raises:
        ShapeError: fewer than two axes; or matrices that are not square, but should be.
        DTypeError: not float32 or float64.
    """
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices are" if square else "matrices are"
        raise ShapeError(
            f"[{name}] {kind} needed",
            got=str(x.shape),
            expected="(..., n, n)" if square else "(..., m, n)",
        )
    if not x.dtype.is_float or x.dtype.bits < 32:
        raise DTypeError(
            f"[{name}] the element type is not accepted",
            got=x.dtype.name,
            expected="float32 or float64",
        )


def lapack(name: str, complaint: str, *, finite: bool = False) -> Callable[..., Any]:
    """Return a decorator of references that translates the errors of `np.linalg`.

    Args:
        complaint: what its error means.
        finite: refuse infinities and nans, with which LAPACK's iterations may not end.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def fails(*arrays: np.ndarray, **attributes: Any) -> bool:
            try:
                with np.errstate(all="ignore"):
                    function(*arrays, **attributes)
            except np.linalg.LinAlgError:
                return True
            return False

        def reference(*arrays: np.ndarray, **attributes: Any) -> Any:
            if finite and not np.isfinite(arrays[0]).all():
                raise LinearAlgebraError(
                    f"[{name}] the matrix has elements that are not finite",
                    got=_first(arrays, {}, lambda *xs: not np.isfinite(xs[0]).all()),
                )
            try:
                with np.errstate(all="ignore"):
                    return function(*arrays, **attributes)
            except np.linalg.LinAlgError:
                raise LinearAlgebraError(
                    f"[{name}] {complaint}", got=_first(arrays, attributes, fails)
                ) from None

        return reference

    return decorate


def _first(
    arrays: Sequence[np.ndarray], attributes: Any, bad: Callable[..., bool]
) -> str:
    """Return words for the first matrix of a stack that is bad."""
    lead = arrays[0].shape[:-2]
    for place in np.ndindex(*lead):
        if bad(*(x[place] for x in arrays), **attributes):
            where = f" at {place}" if lead else ""
            return f"the matrix{where} of shape {arrays[0].shape[-2:]}"
    return f"matrices of shape {arrays[0].shape}"


def over_leading(operands: Sequence[Node], batched: Sequence[bool], node: Node) -> Node:
    """Batch rule: the new axis is one more stacked axis."""
    size = next(x.shape[0] for x, flag in zip(operands, batched, strict=True) if flag)
    full = [
        x if flag else movement.expand(x, (size, *x.shape))
        for x, flag in zip(operands, batched, strict=True)
    ]
    return apply(node.primitive, *full, **node.attributes)


def square_failures(name: str, *more: Failure) -> Callable[[], list[Failure]]:
    """Return the `failures` of a record that takes one operand of square matrices."""

    def failures() -> list[Failure]:
        return [
            Failure(
                (random_matrices(2, 3),), {}, ShapeError,
                f"[{name}] square matrices are needed. Got: (2, 3). "
                "Expected: (..., n, n).",
            ),
            Failure(
                (np.eye(2, dtype=np.float16),), {}, DTypeError,
                f"[{name}] the element type is not accepted. Got: float16. "
                "Expected: float32 or float64.",
            ),
            *more,
        ]  # fmt: skip

    return failures


def identity(x: Node, n: int) -> Node:
    """Return the identity matrix of size n in the dtype of `x`."""
    return elementwise.cast(on_diagonal(n), x.dtype)


def on_diagonal(n: int) -> Node:
    """Return a bool matrix of size n, true on the diagonal."""
    return elementwise.equal(movement.reshape(iota(n, int64), (n, 1)), iota(n, int64))


def symmetric_part(x: Node) -> Node:
    """Return the symmetric part."""
    return elementwise.multiply(elementwise.add(x, mT(x)), 0.5)


def symmetric_array(x: np.ndarray) -> np.ndarray:
    """Return the symmetric part of an array."""
    return x * 0.5 + np.swapaxes(x, -1, -2) * 0.5


def by_row(x: Node) -> Node:
    """Return vectors as columns, to be multiplied to the rows of matrices."""
    return movement.expand_dims(x, axis=-1)


def by_column(x: Node) -> Node:
    """Return vectors as rows, to be multiplied to the columns of matrices."""
    return movement.expand_dims(x, axis=-2)


def product_of(first: Node, *others: Node) -> Node:
    """Return the matrix product, from the left."""
    for x in others:
        first = matmul(first, x)
    return first


def sum_of(parts: Sequence[Node]) -> Node:
    """Return the sum of at least one node."""
    total = parts[0]
    for part in parts[1:]:
        total = elementwise.add(total, part)
    return total
