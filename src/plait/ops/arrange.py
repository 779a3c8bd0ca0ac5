"""Tensors put together, taken apart and turned: matrices from vectors, all pairs, and
so on.

Read first: `diag_embed`, `kron`, `tensor_split`.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence

import numpy as np

from ..dtypes import int64
from ..errors import ArgumentError, AxisError, ShapeError
from ..ir.graph import Node
from ..shapes import as_shape, normalize_axes, normalize_axis
from . import contract, elementwise, gather, index, movement, source


def diag_embed(x: Node, *, offset: int = 0) -> Node:
    """Return matrices with the last axis of `x` on a diagonal, and 0 elsewhere.

    Args:
        x: shape (..., n).
        offset: which diagonal: above the main one if positive, below it if negative.

    Returns:
        Shape (..., m, m) with m = n + abs(offset).

    Raises:
        ShapeError: `x` has no axes.
    """
    if not x.ndim:
        raise ShapeError("[diag_embed] at least one axis is needed", got=str(x.shape))
    offset = operator.index(offset)
    n = x.shape[-1]
    m = n + abs(offset)
    widths = ((0, 0),) * (x.ndim - 1) + ((0, m - n),)
    row = movement.reshape(source.iota(m, int64), (m, 1))
    there = elementwise.equal(elementwise.add(row, offset), source.iota(m, int64))
    # Above the main diagonal an element stands in its row, below in its column.
    line = movement.expand_dims(
        movement.pad_constant(x, widths), -1 if offset > 0 else -2
    )
    zero = False if x.dtype.kind == "bool" else 0
    return elementwise.select(there, line, zero)


def diag(x: Node, *, offset: int = 0) -> Node:
    """Return the matrix with `x` on a diagonal; or of a matrix, its diagonal.

    Args:
        x: shape (n,) or (n, m).
        offset: which diagonal, as in `diagonal`.

    Raises:
        ShapeError: `x` has not one or two axes.

    Source: NumPy, diag.
    """
    if x.ndim == 1:
        return diag_embed(x, offset=offset)
    if x.ndim == 2:
        return index.diagonal(x, offset=offset)
    raise ShapeError(
        "[diag] a vector or a matrix is needed",
        got=str(x.shape),
        fix="use diag_embed or diagonal for stacks of them",
    )


def diagflat(x: Node, *, offset: int = 0) -> Node:
    """Return the matrix with all elements of `x` on a diagonal, and 0 elsewhere.

    Args:
        x: any shape.
        offset: which diagonal, as in `diagonal`.
    """
    return diag_embed(movement.reshape(x, (x.size,)), offset=offset)


def block_diag(*matrices: Node) -> Node:
    """Return a matrix with `matrices` along its diagonal, and 0 elsewhere.

    Args:
        matrices: of shape (n, m); a vector is a row, a number a matrix of one element.

    Raises:
        ArgumentError: there are none.
        ShapeError: one has more than two axes.
    """
    if not matrices:
        raise ArgumentError("[block_diag] at least one matrix is needed", got="none")
    if any(x.ndim > 2 for x in matrices):
        raise ShapeError(
            "[block_diag] matrices are needed",
            got=" and ".join(str(x.shape) for x in matrices),
        )
    blocks = [movement.reshape(x, (1,) * (2 - x.ndim) + x.shape) for x in matrices]
    total = sum(x.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        after = total - before - x.shape[1]
        rows.append(movement.pad_constant(x, ((0, 0), (before, after))))
        before += x.shape[1]
    return movement.concat(rows, axis=0)


def kron(x: Node, y: Node) -> Node:
    """Return the product of Kronecker: all products of elements, as blocks of `y`.

    Formula: out[i * n + k, j * m + l] = x[i, j] * y[k, l] for `y` of shape (n, m).

    Args:
        x, y: any shapes; the one with fewer axes gets axes of size 1 in front.

    Source: NumPy, kron.
    """
    ndim = max(x.ndim, y.ndim)
    first = (1,) * (ndim - x.ndim) + x.shape
    second = (1,) * (ndim - y.ndim) + y.shape
    rows = [size for n in first for size in (n, 1)]
    columns = [size for n in second for size in (1, n)]
    product = elementwise.multiply(
        movement.reshape(x, rows), movement.reshape(y, columns)
    )
    shape = tuple(a * b for a, b in zip(first, second, strict=True))
    return movement.reshape(product, shape)


def inner(x: Node, y: Node) -> Node:
    """Return the sums of products over the last axes of `x` and `y`.

    Args:
        x: shape (..., n); or a number.
        y: shape (..., n); its other axes follow those of `x`.

    Raises:
        ShapeError: the last axes differ.

    Source: NumPy, inner.
    """
    if not x.ndim or not y.ndim:
        return elementwise.multiply(x, y)
    return contract.tensordot(x, y, axes=((-1,), (-1,)))


def rot90(x: Node, k: int = 1, axes: Sequence[int] = (0, 1)) -> Node:
    """Return `x` turned by a quarter of a circle, `k` times, from `axes[0]` to
    `axes[1]`.

    Args:
        k: how often; negative turns the other way.
        axes: the plane to turn in.

    Raises:
        AxisError: there are not two different axes.

    Source: NumPy, rot90.
    """
    plane = normalize_axes("rot90", tuple(axes), x.ndim)
    if len(plane) != 2:
        raise AxisError("[rot90] two axes are needed", got=f"axes={tuple(axes)}")
    first, second = plane
    k = operator.index(k) % 4
    if k == 2:
        return movement.flip(x, axis=plane)
    if k == 1:
        return movement.transpose(movement.flip(x, axis=second), first, second)
    return movement.flip(movement.transpose(x, first, second), axis=second) if k else x


def tensor_split(
    x: Node, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[Node, ...]:
    """Return pieces of `x` along `axis`, of sizes that differ by at most one.

    Args:
        indices_or_sections: how many pieces, of which the first are the larger; or
            the positions before which to cut, as in slices.

    Raises:
        ArgumentError: fewer than one piece.

    Source: NumPy, array_split.
    """
    axis = normalize_axis("tensor_split", axis, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [*indices_or_sections]
    else:
        count = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if count < 1:
            raise ArgumentError(
                "[tensor_split] at least one piece is needed", got=str(count)
            )
        small, larger = divmod(n, count)
        cuts = [i * small + min(i, larger) for i in range(1, count)]
    pieces = []
    for start, stop in itertools.pairwise([0, *cuts, n]):
        start, stop, _ = slice(start, stop).indices(n)
        pieces.append(movement.slice_axis(x, axis, start, max(start, stop)))
    return tuple(pieces)


def unflatten(x: Node, axis: int, sizes: Sequence[int]) -> Node:
    """Return `x` with one axis made into several: the inverse of `flatten`.

    Args:
        axis: which.
        sizes: of the new axes; one may be -1.

    Raises:
        ShapeError: the sizes do not fit.
    """
    axis = normalize_axis("unflatten", axis, x.ndim)
    sizes = tuple(sizes)
    known = math.prod(n for n in sizes if n != -1)
    n = x.shape[axis]
    if sizes.count(-1) == 1 and known > 0 and n % known == 0:
        sizes = tuple(n // known if size == -1 else size for size in sizes)
    if math.prod(sizes) != n or min(sizes, default=0) < 0:
        raise ShapeError(
            "[unflatten] the sizes do not fit",
            got=f"sizes {sizes} for axis {axis} of shape {x.shape}",
        )
    return movement.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def vander(x: Node, n: int | None = None, *, increasing: bool = False) -> Node:
    """Return the matrix of Vandermonde: the powers of each element of `x`.

    Args:
        x: shape (..., m).
        n: how many powers. Default: m.
        increasing: from power 0 on; else down to it.

    Returns:
        Shape (..., m, n).

    Raises:
        ShapeError: `x` has no axes.

    Source: NumPy, vander.
    """
    if not x.ndim:
        raise ShapeError("[vander] at least one axis is needed", got=str(x.shape))
    (count,) = as_shape("vander", x.shape[-1] if n is None else n)
    powers = np.arange(count) if increasing else np.arange(count)[::-1]
    exponents = source.constant(powers, x.dtype)
    return elementwise.pow(movement.expand_dims(x, -1), exponents)


def cartesian_prod(*tensors: Node) -> Node:
    """Return all ways to take one element of each of `tensors`, as rows.

    Args:
        tensors: of one axis.

    Returns:
        Shape (product of the sizes, number of tensors), the last changing fastest; of
        one tensor, itself.

    Raises:
        ShapeError: one has not one axis.
        ArgumentError: there are none.
    """
    if not tensors:
        raise ArgumentError(
            "[cartesian_prod] at least one tensor is needed", got="none"
        )
    if any(x.ndim != 1 for x in tensors):
        raise ShapeError(
            "[cartesian_prod] tensors of one axis are needed",
            got=" and ".join(str(x.shape) for x in tensors),
        )
    if len(tensors) == 1:
        return tensors[0]
    grid = index.meshgrid(*tensors, indexing="ij")
    return movement.stack([movement.reshape(x, (x.size,)) for x in grid], axis=-1)


def combinations(x: Node, r: int = 2, with_replacement: bool = False) -> Node:
    """Return all ways to take `r` elements of `x` in order, as rows.

    Args:
        x: shape (n,).
        r: how many.
        with_replacement: an element may be taken several times.

    Returns:
        Shape (number of ways, r), in the order of itertools.

    Raises:
        ShapeError: `x` has not one axis.
        ArgumentError: `r` is negative.
    """
    if x.ndim != 1:
        raise ShapeError("[combinations] one axis is needed", got=str(x.shape))
    if r < 0:
        raise ArgumentError("[combinations] r must not be negative", got=f"r={r}")
    choose = (
        itertools.combinations_with_replacement
        if with_replacement
        else itertools.combinations
    )
    found = list(choose(range(x.size), r))
    ways = np.array(found, np.int64).reshape(len(found), r)
    return gather.gather(x, source.constant(ways, int64), 0)


def unravel_index(indices: Node, shape: Sequence[int]) -> tuple[Node, ...]:
    """Return the positions along each axis of those in the flattened tensor.

    Args:
        indices: integers, any shape; negative ones count from the end.
        shape: of the tensor.

    Returns:
        Integers in the shape of `indices` for each axis, as int64.

    Raises:
        IndexingError: at run time, one is out of range.
    """
    sizes = as_shape("unravel_index", shape)
    rest = gather.wrap_index(indices, math.prod(sizes), 0)
    found: list[Node] = []
    for size in reversed(sizes):
        found.append(elementwise.remainder(rest, size))
        rest = elementwise.floor_divide(rest, size)
    return tuple(reversed(found))


OPS = (
    diag_embed, diag, diagflat, block_diag, kron, inner, rot90, tensor_split, unflatten,
    vander, cartesian_prod, combinations, unravel_index,
)  # fmt: skip
