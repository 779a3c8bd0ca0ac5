"""Linear algebra as users call it: `plait.linalg.<name>`, on stacks of matrices.

Matrices are the last two axes, all others are stacked. Integers and 16-bit floats are
brought to the types that LAPACK computes with, and the results back. Knows no
derivatives: those stand in the records of `factor` and `system`.

Read first: `solve`, `svd`, `LINALG_OPS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes

from ..dtypes import DType, float32, promote
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    AxisError,
    ShapeError,
)
from ..ir.build import apply, picks
from ..ir.graph import Node
from ..shapes import broadcast, normalize_axes, normalize_axis
from . import elementwise, factor, index, movement, reduce, source, system
from .family import NUMERIC
from .matrix import (
    by_row,
    check_matrices,
    identity,
    matmul,
)
from .operand import Operand, as_float, as_node, common_dtype, require

# Operands of the ops


def _stacked(op: str, x: Node, square: bool = False) -> tuple[Node, DType]:
    """Return `x` as LAPACK computes with it, and the dtype of the result.

    Raises:
        ShapeError: it holds no matrices, or none that are square where they should be.
        DTypeError: it is bool.
    """
    require(op, x, NUMERIC)
    x = as_float(op, x)
    wide = elementwise.cast(x, promote(x.dtype, float32))
    check_matrices(op, wide.type, square)
    return wide, x.dtype


def _narrowed(results: Sequence[Node], dtype: DType) -> tuple[Node, ...]:
    return tuple(elementwise.cast(x, dtype) for x in results)


def _epsilon(dtype: DType) -> float:
    return float(ml_dtypes.finfo(dtype.numpy).eps)  # type: ignore[no-untyped-call]


# Factorisations


class QRResult(NamedTuple):
    """The factors of `qr`."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """The factors of `svd`."""

    U: Any
    S: Any
    Vh: Any


class EighResult(NamedTuple):
    """The results of `eigh`."""

    eigenvalues: Any
    eigenvectors: Any


class SlogdetResult(NamedTuple):
    """The results of `slogdet`."""

    sign: Any
    logabsdet: Any


def cholesky(x: Node, *, upper: bool = False) -> Node:
    """Return the Cholesky factors of symmetric positive definite matrices.

    Formula: x = L @ L.T with L lower triangular, or x = U.T @ U with U = L.T.

    Args:
        x: shape (..., n, n); of a matrix that is not symmetric, the symmetric part.
        upper: return U instead of L.

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: a matrix is not positive definite.

    Gradient: symmetric.

    Source: Array API standard 2024.12; Murray 2016, arXiv:1602.07527.
    """
    x, dtype = _stacked("cholesky", x, square=True)
    return elementwise.cast(apply(factor.CHOLESKY, x, upper=bool(upper)), dtype)


def qr(x: Node, *, mode: str = "reduced") -> tuple[Node, Node]:
    """Return Q and R, where `x = Q @ R`, Q has orthonormal columns and R is upper.

    Args:
        x: shape (..., m, n).
        mode: "reduced": Q (..., m, k) and R (..., k, n), with k = min(m, n);
            "complete": Q (..., m, m) and R (..., m, n).

    Returns:
        (Q, R).

    Raises:
        ShapeError: fewer than two axes.
        ArgumentError: an unknown mode.

    Gradient: needs the first k columns to be independent; GradientError for the
    complete Q of a tall matrix.

    Source: Array API standard 2024.12; Seeger et al. 2017, arXiv:1710.08717.
    """
    x, dtype = _stacked("qr", x)
    q, r = _narrowed(picks(apply(factor.QR, x, mode=mode)), dtype)
    return q, r


def svd(x: Node, *, full_matrices: bool = True) -> tuple[Node, Node, Node]:
    """Return U, S and Vh, where `x = U @ diag(S) @ Vh`: singular vectors and values.

    Args:
        x: shape (..., m, n).
        full_matrices: complete U and Vh to square matrices.

    Returns:
        (U, S, Vh) of shapes (..., m, m), (..., k) and (..., n, n); or (..., m, k),
        (..., k) and (..., k, n), with k = min(m, n). S is in descending order. In each
        column of U the first element of at least half of the greatest is positive, on
        every machine.

    Raises:
        ShapeError: fewer than two axes.
        LinearAlgebraError: an element is not finite.

    Gradient: inf or nan through U and Vh where singular values are equal, or are 0 in a
    matrix that is not square; GradientError through vectors that only complete a basis.

    Source: Array API standard 2024.12; Townsend 2016, Differentiating the singular
    value decomposition.
    """
    x, dtype = _stacked("svd", x)
    results = picks(apply(factor.SVD, x, full_matrices=bool(full_matrices)))
    u, s, vh = _narrowed(results, dtype)
    return u, s, vh


def _singular_values(x: Node) -> Node:
    return picks(apply(factor.SVD, x, full_matrices=False))[1]


def svdvals(x: Node) -> Node:
    """Return the singular values of matrices, in descending order.

    Args:
        x: shape (..., m, n).

    Returns:
        Shape (..., min(m, n)).

    Raises:
        ShapeError: fewer than two axes.
        LinearAlgebraError: an element is not finite.

    Gradient: `u_i v_i^T` for each value, also where some are equal.
    """
    x, dtype = _stacked("svdvals", x)
    return elementwise.cast(_singular_values(x), dtype)


def eigh(x: Node) -> tuple[Node, Node]:
    """Return the eigenvalues and eigenvectors of symmetric matrices.

    Args:
        x: shape (..., n, n); of a matrix that is not symmetric, the symmetric part.

    Returns:
        The eigenvalues in ascending order, (..., n), and as columns of (..., n, n) the
        orthonormal eigenvectors, with signs as those of U of `svd`.

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: an element is not finite.

    Gradient: symmetric; inf or nan through the eigenvectors where eigenvalues are
    equal.

    Source: Array API standard 2024.12; Giles 2008, An extended collection of matrix
    derivative results.
    """
    x, dtype = _stacked("eigh", x, square=True)
    w, v = _narrowed(picks(apply(factor.EIGH, x)), dtype)
    return w, v


def eigvalsh(x: Node) -> Node:
    """Return the eigenvalues of symmetric matrices, in ascending order.

    Arguments and errors are those of `eigh`. Gradient: also where some are equal.
    """
    x, dtype = _stacked("eigvalsh", x, square=True)
    return elementwise.cast(picks(apply(factor.EIGH, x))[0], dtype)


# Systems, inverses and powers


def solve(x1: Node, x2: Node) -> Node:
    """Return the solution x of `x1 @ x = x2`.

    Args:
        x1: shape (..., n, n).
        x2: shape (n,), one right-hand side for all matrices; or (..., n, k), a stack of
            matrices of k columns. The leading axes broadcast.

    Returns:
        Shape (..., n) or (..., n, k).

    Raises:
        ShapeError: the matrices are not square, or the sizes n differ.
        LinearAlgebraError: a matrix is singular.

    Gradient: `x1^-T ct` for x2, and minus its outer product with the solution for x1.

    Source: Array API standard 2024.12; Giles 2008, An extended collection of matrix
    derivative results.
    """
    a, b, dtype, vector = _system("solve", x1, x2)
    result = system.solve_stacked(a, b)
    result = movement.squeeze(result, -1) if vector else result
    return elementwise.cast(result, dtype)


def _system(op: str, a: Node, b: Node) -> tuple[Node, Node, DType, bool]:
    """Return both sides as matrices, their dtype, and whether `b` was a vector."""
    dtype = common_dtype((a, b))
    a, dtype = _stacked(op, as_node(op, a, dtype), square=True)
    vector = b.ndim == 1
    b = elementwise.cast(b, a.dtype)
    if vector:
        b = movement.expand_dims(b, axis=-1)
    if b.ndim == 0 or b.shape[-2] != a.shape[-1]:
        raise ShapeError(
            f"[{op}] the sizes of the matrix and the right-hand side differ",
            got=f"{a.shape} and {b.shape[:1] if vector else b.shape}",
            expected="(..., n, n) and (n,) or (..., n, k)",
        )
    broadcast(op, a.shape[:-2], b.shape[:-2])
    return a, b, dtype, vector


def solve_triangular(
    a: Node,
    b: Node,
    *,
    upper: bool = False,
    transpose: bool = False,
    unit_diagonal: bool = False,
) -> Node:
    """Return the solution x of `a @ x = b`, reading only one triangle of `a`.

    Args:
        a: shape (..., n, n).
        b: shape (n,), or (..., n, k). The leading axes broadcast.
        upper: read the upper triangle instead of the lower.
        transpose: solve `a.T @ x = b`.
        unit_diagonal: take the diagonal as 1 instead of reading it.

    Raises:
        ShapeError: the matrices are not square, or the sizes n differ.
        LinearAlgebraError: an element of the diagonal is 0.
    """
    a, b, dtype, vector = _system("solve_triangular", a, b)
    lead = broadcast("solve_triangular", a.shape[:-2], b.shape[:-2])
    result = system.triangular_solve(
        movement.expand(a, (*lead, *a.shape[-2:])),
        movement.expand(b, (*lead, *b.shape[-2:])),
        lower=not upper, transpose=bool(transpose), unit_diagonal=bool(unit_diagonal),
    )  # fmt: skip
    result = movement.squeeze(result, -1) if vector else result
    return elementwise.cast(result, dtype)


def inv(x: Node) -> Node:
    """Return the inverses of matrices.

    Args:
        x: shape (..., n, n).

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: a matrix is singular.

    Gradient: `-y^T ct y^T` with y the inverse.
    """
    x, dtype = _stacked("inv", x, square=True)
    return elementwise.cast(system.inverse(x), dtype)


def _tolerance(op: str, x: Node, dtype: DType, rtol: Operand | None) -> Node:
    """Return one relative tolerance for each matrix."""
    lead = x.shape[:-2]
    if rtol is None:
        rtol = max(x.shape[-2:]) * _epsilon(dtype)
    node = as_node(op, rtol, x.dtype)
    broadcast(op, lead, node.shape)
    return movement.expand(node, lead)


def pinv(x: Node, *, rtol: Operand | None = None) -> Node:
    """Return the Moore-Penrose pseudo-inverses of matrices.

    Args:
        x: shape (..., m, n).
        rtol: singular values of at most `rtol` times the greatest count as 0: a number,
            or a tensor that broadcasts to the leading axes. Default: max(m, n) times
            the machine epsilon of `x`.

    Returns:
        Shape (..., n, m).

    Raises:
        ShapeError: fewer than two axes, or `rtol` does not broadcast.
        LinearAlgebraError: an element is not finite.

    Gradient: that at constant rank.

    Source: Array API standard 2024.12; Golub and Pereyra 1973, The differentiation of
    pseudo-inverses and nonlinear least squares problems whose variables separate.
    """
    x, dtype = _stacked("pinv", x)
    tolerance = _tolerance("pinv", x, dtype, rtol)
    return elementwise.cast(apply(system.PINV, x, tolerance), dtype)


def matrix_rank(x: Node, *, rtol: Operand | None = None) -> Node:
    """Return the ranks of matrices: how many singular values are not about 0, as int64.

    Args:
        x: shape (..., m, n).
        rtol: as in `pinv`.

    Raises:
        ShapeError: fewer than two axes, or `rtol` does not broadcast.
        LinearAlgebraError: an element is not finite.
    """
    x, dtype = _stacked("matrix_rank", x)
    tolerance = _tolerance("matrix_rank", x, dtype, rtol)
    s = _singular_values(x)
    if s.shape[-1] == 0:
        return reduce.count_nonzero(s, axis=-1)
    greatest = reduce.max(s, -1, keepdims=True)
    above = elementwise.greater(s, elementwise.multiply(by_row(tolerance), greatest))
    return reduce.count_nonzero(above, axis=-1)


def matrix_power(x: Node, n: int) -> Node:
    """Return the products of `n` times the same matrix, or of `-n` times its inverse.

    Args:
        x: shape (..., k, k).
        n: any integer; 0 gives the identity.

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: n < 0 and a matrix is singular.
    """
    x, dtype = _stacked("matrix_power", x, square=True)
    try:
        n = operator.index(n)
    except TypeError:
        raise ArgumentTypeError(
            "[matrix_power] n must be an integer", got=repr(n)
        ) from None
    if n < 0:
        x, n = system.inverse(x), -n
    result: Node | None = None
    while n:  # the bits of n, the lowest first
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    if result is None:
        result = movement.expand(identity(x, x.shape[-1]), x.shape)
    return elementwise.cast(result, dtype)


def matrix_exp(x: Node) -> Node:
    """Return the exponential of matrices, the sum over k of `x ** k / k!`.

    Scaled by a power of 2 to a norm of at most 1 / 2, 15 terms of the sum, and squared
    as often as it was scaled.

    Args:
        x: shape (..., n, n).

    Raises:
        ShapeError: the matrices are not square.

    Special cases: nan for a matrix whose largest sum of a column, without signs, is
    above 32,768.

    Source: C. Moler, C. Van Loan, "Nineteen dubious ways to compute the exponential of
    a matrix, twenty-five years later", 2003, method 3.
    """
    x, dtype = _stacked("matrix_exp", x, square=True)
    if not x.shape[-1]:
        return elementwise.cast(x, dtype)
    size = reduce.max(
        reduce.sum(elementwise.abs(x), -2, keepdims=True), -1, keepdims=True
    )
    halved = elementwise.ceil(
        elementwise.log2(elementwise.maximum(elementwise.multiply(size, 2.0), 1.0))
    )
    halved = source.stop_gradient(halved)
    small = elementwise.multiply(x, elementwise.exp2(elementwise.negative(halved)))
    one = identity(x, x.shape[-1])
    result = elementwise.add(one, elementwise.divide(small, float(_TERMS)))
    for k in range(_TERMS - 1, 0, -1):
        term = elementwise.divide(matmul(small, result), float(k))
        result = elementwise.add(one, term)
    for i in range(_SQUARINGS):
        square = matmul(result, result)
        result = elementwise.select(elementwise.greater(halved, i), square, result)
    known = elementwise.less_equal(halved, _SQUARINGS)
    return elementwise.cast(elementwise.select(known, result, math.nan), dtype)


# Of `matrix_exp`: 0.5 ** 15 / 15! is below the last digit of float64.
_TERMS = 14
_SQUARINGS = 16


def det(x: Node) -> Node:
    """Return the determinants of matrices of shape (..., n, n).

    Raises:
        ShapeError: the matrices are not square.

    Gradient: `ct` times the cofactors, also of singular matrices; the second derivative
    is nan there.
    """
    x, dtype = _stacked("det", x, square=True)
    return elementwise.cast(apply(system.DET, x), dtype)


def slogdet(x: Node) -> tuple[Node, Node]:
    """Return sign and logarithm of the absolute value of determinants.

    Args:
        x: shape (..., n, n).

    Returns:
        (sign, logabsdet), each of shape (...); the determinant is
        sign * exp(logabsdet).

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: the gradient was asked for at a singular matrix.

    Special cases: (0, -inf) for a singular matrix.

    Gradient: `ct` times the transposed inverse; 0 through the sign.
    """
    x, dtype = _stacked("slogdet", x, square=True)
    sign, logabsdet = _narrowed(picks(apply(system.SLOGDET, x)), dtype)
    return sign, logabsdet


# Products of vectors


def cross(x1: Node, x2: Node, *, axis: int = -1) -> Node:
    """Return the cross products of vectors of three elements.

    Args:
        x1, x2: numeric tensors with 3 elements along `axis`; other axes broadcast.
        axis: in both operands; from 0 on only if they have equally many axes.

    Raises:
        ShapeError: there are not 3 elements along `axis`, or others do not broadcast.
        AxisError: there is no such axis in both.
    """
    dtype = common_dtype((x1, x2))
    x1, x2 = (as_node("cross", x, dtype) for x in (x1, x2))
    require("cross", x1, NUMERIC)
    normalize_axis("cross", axis, min(x1.ndim, x2.ndim))
    if axis >= 0 and x1.ndim != x2.ndim:
        raise AxisError(
            "[cross] count the axis from the last where the numbers of axes differ",
            got=f"axis={axis} for shapes {x1.shape} and {x2.shape}",
        )
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(
            "[cross] there must be 3 elements along the axis",
            got=f"{x1.shape} and {x2.shape} on axis {axis}",
        )
    shape = movement.broadcast_shape("cross", x1, x2)
    x1, x2 = movement.expand(x1, shape), movement.expand(x2, shape)

    def product(first: int, second: int) -> Node:
        return elementwise.multiply(
            movement.roll(x1, first, axis=axis), movement.roll(x2, second, axis=axis)
        )

    return elementwise.subtract(product(-1, -2), product(-2, -1))


# Norms


def _float_accumulator(op: str, x: Node) -> tuple[Node, DType]:
    require(op, x, NUMERIC)
    x = as_float(op, x)
    return elementwise.cast(x, promote(x.dtype, float32)), x.dtype


def vector_norm(
    x: Node,
    *,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    ord: float = 2,
) -> Node:
    """Return the norms of vectors.

    Formula: sum(|x| ** ord) ** (1 / ord); the greatest |x| for inf, the least for -inf;
    the number of elements that are not 0 for 0.

    Args:
        axis: the axis, or several, over which a vector lies. None: all.
        keepdims: keep those axes with size 1.
        ord: any real number, inf or -inf.

    Raises:
        ShapeError: inf or -inf over no elements.

    Gradient: 0 where the norm is 0; shared between equal extremes for inf and -inf.

    Source: Array API standard 2024.12.
    """
    x, dtype = _float_accumulator("vector_norm", x)
    axes = normalize_axes("vector_norm", axis, x.ndim)
    result = _norm(x, axes, keepdims, ord)
    return elementwise.cast(result, dtype)


def _norm(x: Node, axes: tuple[int, ...], keepdims: bool, ord: float) -> Node:
    sizes = elementwise.abs(x)
    if ord == math.inf:
        return reduce.max(sizes, axes, keepdims=keepdims)
    if ord == -math.inf:
        return reduce.min(sizes, axes, keepdims=keepdims)
    if ord == 0:
        count = reduce.count_nonzero(x, axes, keepdims=keepdims)
        return elementwise.cast(count, x.dtype)
    if ord == 1:
        return reduce.sum(sizes, axes, keepdims=keepdims)
    if ord == 2:
        total = reduce.sum(elementwise.square(x), axes, keepdims=keepdims)
    else:
        total = reduce.sum(_power(sizes, ord), axes, keepdims=keepdims)
    # The root has no derivative at 0, where 0 is one of the subgradients.
    zero = elementwise.equal(total, 0)
    safe = elementwise.select(zero, 1, total)
    root = elementwise.sqrt(safe) if ord == 2 else elementwise.pow(safe, 1 / ord)
    at_zero = math.inf if ord < 0 else 0
    return elementwise.select(zero, at_zero, root)


def _power(sizes: Node, ord: float) -> Node:
    """Return `sizes ** ord`, with gradient 0 at 0 for positive orders."""
    if ord < 0:
        return elementwise.pow(sizes, float(ord))
    zero = elementwise.equal(sizes, 0)
    safe = elementwise.select(zero, 1, sizes)
    return elementwise.select(zero, 0, elementwise.pow(safe, float(ord)))


def matrix_norm(
    x: Node, *, keepdims: bool = False, ord: float | str | None = "fro"
) -> Node:
    """Return the norms of matrices.

    Args:
        x: shape (..., m, n).
        keepdims: keep the last two axes with size 1.
        ord: "fro", the root of the sum of squares; "nuc", the sum of singular values; 2
            or -2, the greatest or least singular value; 1 or -1, the greatest or least
            sum of absolute values of a column; inf or -inf, of a row.

    Raises:
        ShapeError: fewer than two axes; the greatest or least of nothing.
        ArgumentError: another `ord`.

    Source: Array API standard 2024.12.
    """
    x, dtype = _stacked("matrix_norm", x)
    if ord == "fro" or ord is None:
        result = _norm(x, (x.ndim - 2, x.ndim - 1), keepdims, 2)
        return elementwise.cast(result, dtype)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ArgumentError(
            "[matrix_norm] there is no such norm",
            got=f"ord={ord!r}",
            expected='"fro", "nuc", 1, -1, 2, -2, inf or -inf',
        )
    if ord in ("nuc", 2, -2):
        parts = _singular_values(x)
    else:
        along = -2 if ord in (1, -1) else -1
        parts = reduce.sum(elementwise.abs(x), along)
    if ord == "nuc":
        result = reduce.sum(parts, -1)
    elif isinstance(ord, str) or ord > 0:
        result = reduce.max(parts, -1)
    else:
        result = reduce.min(parts, -1)
    if keepdims:
        result = movement.expand_dims(result, axis=(-2, -1))
    return elementwise.cast(result, dtype)


# Published as `plait.linalg.<name>`.
LINALG_OPS = (
    cholesky, cross, det, index.diagonal, eigh, eigvalsh, inv, matrix_exp, matrix_norm,
    matrix_power, matrix_rank, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
    index.trace, vector_norm,
)  # fmt: skip

RESULTS: dict[Callable[..., Any], type] = {
    qr: QRResult,
    svd: SVDResult,
    eigh: EighResult,
    slogdet: SlogdetResult,
}
