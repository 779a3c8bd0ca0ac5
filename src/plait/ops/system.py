"""Systems of linear equations, and what their solution gives: determinants, inverses.

The records, and functions that the rules of other records use; the ops that users call
are in `linalg`. LAPACK computes, in float32 or float64.

Read first: `SOLVE`, `TRIANGULAR_SOLVE`, `DET`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import (
    DTypeError,
    LinearAlgebraError,
    ShapeError,
)
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import broadcast
from . import elementwise, movement, reduce
from .matrix import (
    by_row,
    check_matrices,
    identity,
    lapack,
    matmul,
    mT,
    over_leading,
    product_of,
    random_definite,
    random_matrices,
    square_failures,
)

# Triangular systems


def _solve_infer(name: str, a: TensorType, b: TensorType) -> TensorType:
    check_matrices(name, a, square=True)
    check_matrices(name, b)
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"[{name}] operands differ in element type",
            got=f"{a.dtype.name} and {b.dtype.name}",
        )
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"[{name}] the shapes do not fit",
            got=f"{a.shape} and {b.shape}",
            expected="(..., n, n) and (..., n, k)",
        )
    return b


@lapack("triangular_solve", "the matrix is singular")
def _triangular_solve_reference(
    a: np.ndarray, b: np.ndarray, *, lower: bool, transpose: bool, unit_diagonal: bool
) -> np.ndarray:
    a = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        i = np.arange(a.shape[-1])
        a[..., i, i] = 1
    if transpose:
        a, lower = np.swapaxes(a, -1, -2), not lower
    # An upper triangular matrix is its own U in LAPACK's LU factorisation, which leaves
    # it as it is: what is computed is back substitution. A lower one is turned around.
    if lower:
        return np.linalg.solve(a[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]
    return np.linalg.solve(a, b)


def _triangular_solve_vjp(ct: Node, node: Node, a: Node, b: Node) -> tuple[Node, Node]:
    at = node.attributes
    back = apply(TRIANGULAR_SOLVE, a, ct, **{**at, "transpose": not at["transpose"]})
    left, right = (node, back) if at["transpose"] else (back, node)
    whole = elementwise.negative(matmul(left, mT(right)))
    offset = 1 if at["unit_diagonal"] else 0
    if at["lower"]:
        return movement.tril(whole, k=-offset), back
    return movement.triu(whole, k=offset), back


_PLAIN = {"lower": True, "transpose": False, "unit_diagonal": False}

TRIANGULAR_SOLVE = Primitive(
    name="triangular_solve",
    infer=lambda a, b, **attributes: _solve_infer("triangular_solve", a, b),
    reference=_triangular_solve_reference,
    vjp=_triangular_solve_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample(
            (random_definite(3, 3), random_matrices(3, 2)),
            {"lower": lower, "transpose": transpose, "unit_diagonal": unit},
        )
        for lower in (False, True)
        for transpose in (False, True)
        for unit in (False, True)
    ]
    + [
        Sample((random_definite(2, 2, 2), random_matrices(2, 2, 1)), _PLAIN),
        Sample((np.zeros((0, 0)), np.zeros((0, 2))), _PLAIN, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (np.eye(2), np.ones((3, 1))), _PLAIN, ShapeError,
            "[triangular_solve] the shapes do not fit. Got: (2, 2) and (3, 1). "
            "Expected: (..., n, n) and (..., n, k).",
        ),
        Failure(
            (np.array([[1.0, 0.0], [1.0, 0.0]]), np.ones((2, 1))), _PLAIN,
            LinearAlgebraError,
            "[triangular_solve] the matrix is singular. "
            "Got: the matrix of shape (2, 2).",
        ),
    ],
    source="op(a) @ x = b with the lower or upper triangle of a, the other ignored; "
    "derivative: Giles 2008, An extended collection of matrix derivative results",
)  # fmt: skip


def triangular_solve(
    a: Node,
    b: Node,
    *,
    lower: bool,
    transpose: bool = False,
    unit_diagonal: bool = False,
) -> Node:
    """Return the solution of `op(a) @ x = b`, with equal leading axes.

    Args:
        a: shape (..., n, n), of which only the lower or upper triangle is read.
        b: shape (..., n, k).
        transpose: transpose the triangle.
        unit_diagonal: take the diagonal as 1.

    Raises:
        LinearAlgebraError: an element of the diagonal is 0.
    """
    return apply(
        TRIANGULAR_SOLVE, a, b, lower=lower, transpose=transpose,
        unit_diagonal=unit_diagonal,
    )  # fmt: skip


# Linear systems


def _solve_vjp(ct: Node, node: Node, a: Node, b: Node) -> tuple[Node, Node]:
    back = apply(SOLVE, mT(a), ct)
    return elementwise.negative(matmul(back, mT(node))), back


SOLVE = Primitive(
    name="solve",
    infer=lambda a, b: _solve_infer("solve", a, b),
    reference=lapack("solve", "the matrix is singular")(np.linalg.solve),
    vjp=_solve_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_definite(3, 3), random_matrices(3, 2))),
        Sample((random_definite(2, 2, 2), random_matrices(2, 2, 1))),
        Sample((np.zeros((0, 0)), np.zeros((0, 2))), smooth=False),
    ],
    failures=lambda: [
        Failure(
            (np.eye(2), np.ones((3, 1))), {}, ShapeError,
            "[solve] the shapes do not fit. Got: (2, 2) and (3, 1). "
            "Expected: (..., n, n) and (..., n, k).",
        ),
        Failure(
            (np.eye(2), np.ones((2, 1), np.float32)), {}, DTypeError,
            "[solve] operands differ in element type. Got: float64 and float32.",
        ),
        Failure(
            (np.stack([np.eye(2), np.ones((2, 2))]), np.ones((2, 2, 1))), {},
            LinearAlgebraError,
            "[solve] the matrix is singular. Got: the matrix at (1,) of shape (2, 2).",
        ),
    ],
    source="Gauss elimination with row exchanges (LAPACK gesv); derivative: Giles "
    "2008, An extended collection of matrix derivative results",
)  # fmt: skip


def solve_stacked(a: Node, b: Node) -> Node:
    """Return the solution of `a @ x = b`, whose leading axes broadcast."""
    lead = broadcast("solve", a.shape[:-2], b.shape[:-2])
    a = movement.expand(a, (*lead, *a.shape[-2:]))
    b = movement.expand(b, (*lead, *b.shape[-2:]))
    return apply(SOLVE, a, b)


def inverse(x: Node) -> Node:
    """Return the inverses of square matrices."""
    return apply(SOLVE, x, movement.expand(identity(x, x.shape[-1]), x.shape))


# Determinants


def _slogdet_infer(x: TensorType) -> tuple[TensorType, TensorType]:
    check_matrices("slogdet", x, square=True)
    type = TensorType(x.shape[:-2], x.dtype)
    return type, type


def _slogdet_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node | None]:
    ct = cts[1]  # the sign is locally constant
    if ct is None:
        return (None,)
    return (elementwise.multiply(mT(inverse(x)), by_row(by_row(ct))),)


def _slogdet_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sign, logabsdet = np.linalg.slogdet(x)
    return np.asarray(sign, x.dtype), np.asarray(logabsdet, x.dtype)


SLOGDET = Primitive(
    name="slogdet",
    infer=_slogdet_infer,
    reference=lapack("slogdet", "the factorisation failed")(_slogdet_reference),
    vjp=_slogdet_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3),)),
        Sample((random_matrices(2, 2, 2),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
        Sample((np.zeros((2, 0, 0)),), smooth=False),
    ],
    failures=square_failures("slogdet"),
    source="the product of the pivots of Gauss elimination (LAPACK getrf); derivative: "
    "Giles 2008, An extended collection of matrix derivative results",
)  # fmt: skip


def _det_infer(x: TensorType) -> TensorType:
    check_matrices("det", x, square=True)
    return TensorType(x.shape[:-2], x.dtype)


def _det_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    return (elementwise.multiply(apply(COFACTOR, x), by_row(by_row(ct))),)


DET = Primitive(
    name="det",
    infer=_det_infer,
    reference=lapack("det", "the factorisation failed")(
        lambda x: np.asarray(np.linalg.det(x), x.dtype)
    ),
    vjp=_det_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3),)),
        Sample((random_matrices(2, 2, 2),)),
        Sample((random_matrices(1, 1),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
        Sample((np.zeros((2, 0, 0)),), smooth=False),
    ],
    failures=square_failures("det"),
    source="the product of the pivots of Gauss elimination (LAPACK getrf); derivative: "
    "Jacobi's formula",
)  # fmt: skip


def _cofactor_infer(x: TensorType) -> TensorType:
    check_matrices("cofactor", x, square=True)
    return x


@lapack("cofactor", "the iteration did not converge")
def _cofactor_reference(x: np.ndarray) -> np.ndarray:
    # By singular values, so that singular matrices have their cofactors too: those of
    # u @ diag(s) @ vh are det(u) det(vh) u @ diag(products of all other s) @ vh.
    finite = np.isfinite(x).all((-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(finite, x, 0))
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vh))
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    scale = sign[..., None] * before * after
    return np.where(finite, (u * scale[..., None, :]) @ vh, np.nan).astype(x.dtype)


def _cofactor_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # With c = det(x) x^-T: (sum(ct * c) c - c ct.T c) / det(x).
    total = reduce.sum(elementwise.multiply(ct, node), (-2, -1), keepdims=True)
    product = product_of(node, mT(ct), node)
    top = elementwise.subtract(elementwise.multiply(total, node), product)
    return (elementwise.divide(top, by_row(by_row(apply(DET, x)))),)


COFACTOR = Primitive(
    name="cofactor",
    infer=_cofactor_infer,
    reference=_cofactor_reference,
    vjp=_cofactor_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3),)),
        Sample((random_matrices(2, 2, 2),)),
        Sample((random_matrices(1, 1),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
    ],
    failures=square_failures("cofactor"),
    source="the signed minors: the derivative of the determinant by each element; "
    "derivative: from det(x) times the transposed inverse",
)  # fmt: skip


# Pseudo-inverse


def _pinv_infer(x: TensorType, rtol: TensorType) -> TensorType:
    check_matrices("pinv", x)
    if rtol.shape != x.shape[:-2] or rtol.dtype is not x.dtype:
        raise ShapeError(
            "[pinv] there must be one tolerance for each matrix, of its element type",
            got=f"{rtol!r} for {x!r}",
        )
    return TensorType((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@lapack("pinv", "the iteration did not converge", finite=True)
def _pinv_reference(x: np.ndarray, rtol: np.ndarray) -> np.ndarray:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    cutoff = rtol[..., None] * s.max(-1, keepdims=True, initial=0)
    kept = s > cutoff
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(x.dtype)
    return np.swapaxes((u * inverse[..., None, :]) @ vh, -1, -2)


def _pinv_vjp(ct: Node, node: Node, x: Node, rtol: Node) -> tuple[Node, None]:
    # dp = -p dx p + p p.T dx.T (1 - x p) + (1 - p x) dx.T p.T p
    p, back = node, mT(ct)
    pt = mT(p)
    first = product_of(pt, ct, pt)
    second = product_of(back, p, pt)
    second = elementwise.subtract(second, matmul(x, matmul(p, second)))
    third = matmul(pt, matmul(p, back))
    third = elementwise.subtract(third, product_of(third, p, x))
    return elementwise.add(elementwise.subtract(second, first), third), None


PINV = Primitive(
    name="pinv",
    infer=_pinv_infer,
    reference=_pinv_reference,
    vjp=_pinv_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3), np.array(1e-12))),
        Sample((random_matrices(2, 3, 2), np.full(2, 1e-12))),
        Sample((random_matrices(2, 3), np.array(1e-12))),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]), np.array(1e-12)), smooth=False),
        Sample((np.zeros((0, 3)), np.array(1e-12)), smooth=False),
    ],
    failures=lambda: [
        Failure(
            (random_matrices(2, 3), np.ones(2)), {}, ShapeError,
            "[pinv] there must be one tolerance for each matrix, of its element type. "
            "Got: float64[2] for float64[2, 3].",
        )
    ],
    source="singular values of at most rtol times the greatest count as 0; derivative "
    "at constant rank: Golub and Pereyra 1973, The differentiation of pseudo-inverses "
    "and nonlinear least squares problems whose variables separate",
)  # fmt: skip


PRIMITIVES = (TRIANGULAR_SOLVE, SOLVE, SLOGDET, DET, COFACTOR, PINV)
