"""Factorisations of stacks of matrices: Cholesky, QR, singular values, eigenvalues.

The records only; the ops that users call are in `linalg`. LAPACK computes, in float32
or float64.

Read first: `CHOLESKY`, `SVD`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import (
    ArgumentError,
    GradientError,
    LinearAlgebraError,
    ShapeError,
)
from ..ir.build import apply, picks
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from . import elementwise, movement, system
from .matrix import (
    by_column,
    by_row,
    check_matrices,
    lapack,
    matmul,
    mT,
    on_diagonal,
    over_leading,
    product_of,
    random_definite,
    random_matrices,
    square_failures,
    sum_of,
    symmetric_array,
    symmetric_part,
)
from .source import full_like

# Cholesky factors


@lapack("cholesky", "the matrix is not positive definite")
def _cholesky_reference(x: np.ndarray, *, upper: bool) -> np.ndarray:
    factor = np.linalg.cholesky(symmetric_array(x))
    return np.swapaxes(factor, -1, -2) if upper else factor


def _cholesky_infer(x: TensorType, *, upper: bool) -> TensorType:
    check_matrices("cholesky", x, square=True)
    return x


def _cholesky_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # With L = node and P = tril(L.T @ ct), its diagonal halved: L^-T P L^-1, symmetric.
    if node.attributes["upper"]:
        ct, node = mT(ct), mT(node)
    inner = movement.tril(matmul(mT(node), ct))
    halved = elementwise.select(
        on_diagonal(x.shape[-1]), elementwise.multiply(inner, 0.5), inner
    )
    left = system.triangular_solve(node, halved, lower=True, transpose=True)
    both = system.triangular_solve(node, mT(left), lower=True, transpose=True)
    return (symmetric_part(both),)


CHOLESKY = Primitive(
    name="cholesky",
    infer=_cholesky_infer,
    reference=_cholesky_reference,
    vjp=_cholesky_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_definite(3, 3),), {"upper": False}),
        Sample((random_definite(2, 2, 2),), {"upper": True}),
        Sample(
            (random_definite(4, 4).astype(np.float32),), {"upper": False}, smooth=False
        ),
        Sample((np.zeros((2, 0, 0)),), {"upper": False}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (random_matrices(2, 3),), {"upper": False}, ShapeError,
            "[cholesky] square matrices are needed. Got: (2, 3). "
            "Expected: (..., n, n).",
        ),
        Failure(
            (np.array([[1.0, 2.0], [2.0, 1.0]]),), {"upper": False}, LinearAlgebraError,
            "[cholesky] the matrix is not positive definite. "
            "Got: the matrix of shape (2, 2).",
        ),
        Failure(
            (np.stack([np.eye(2), -np.eye(2)]),), {"upper": True}, LinearAlgebraError,
            "[cholesky] the matrix is not positive definite. "
            "Got: the matrix at (1,) of shape (2, 2).",
        ),
    ],
    source="the factor of the symmetric part (x + x.T) / 2; derivative: Murray 2016, "
    "Differentiation of the Cholesky decomposition, arXiv:1602.07527",
)  # fmt: skip


# Signs of vectors


def _signs(vectors: np.ndarray) -> np.ndarray:
    """Return 1 or -1 for each column, with which it begins with a positive element.

    LAPACK leaves the signs open. What is less than half of the greatest element does
    not count, so that rounding does not decide.
    """
    if not vectors.shape[-2]:
        return np.ones((*vectors.shape[:-2], vectors.shape[-1]), vectors.dtype)
    size = np.abs(vectors)
    large = size >= 0.5 * size.max(-2, keepdims=True)
    first = np.expand_dims(large.argmax(-2), -2)
    found = np.take_along_axis(vectors, first, -2)[..., 0, :]
    return np.where(found < 0, -1, 1).astype(vectors.dtype)


# QR


def _qr_infer(x: TensorType, *, mode: str) -> tuple[TensorType, TensorType]:
    check_matrices("qr", x)
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            "[qr] there is no mode of that name",
            got=repr(mode),
            expected='"reduced" or "complete"',
        )
    *lead, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    return TensorType((*lead, m, k), x.dtype), TensorType((*lead, k, n), x.dtype)


def _qr_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node]:
    ct_q, ct_r = cts
    q, r = picks(node)
    m, n = x.shape[-2:]
    k = min(m, n)
    if node.attributes["mode"] == "complete" and m > n:
        if ct_q is not None:
            raise GradientError(
                "[qr] the complete Q of a tall matrix has no derivative",
                got=f"mode='complete' for shape {x.shape}",
                fix="use mode='reduced'",
            )
        q, r = picks(apply(QR, x, mode="reduced"))
        ct_r = None if ct_r is None else _leading_rows(ct_r, k)
    ct_q = full_like(q, 0) if ct_q is None else ct_q
    ct_r = full_like(r, 0) if ct_r is None else ct_r
    if m >= n:
        return (_deep_qr_vjp(ct_q, ct_r, q, r),)
    # x = (X Y) and r = (U V): X = q @ U is factored, V = q.T @ Y.
    axis = x.ndim - 1
    ct_v = movement.slice_axis(ct_r, axis, k, n)
    ct_q = elementwise.add(ct_q, matmul(movement.slice_axis(x, axis, k, n), mT(ct_v)))
    first = _deep_qr_vjp(ct_q, _leading_columns(ct_r, k), q, _leading_columns(r, k))
    return (movement.concat([first, matmul(q, ct_v)], axis=axis),)


def _deep_qr_vjp(ct_q: Node, ct_r: Node, q: Node, r: Node) -> Node:
    """Return the cotangent of x = q @ r with q (m, n), m >= n, and r square.

    Formula: (ct_q + q @ C) @ r^-T, where C is the lower triangle of
    r @ ct_r.T - ct_q.T @ q, copied to the upper.
    """
    inner = elementwise.subtract(matmul(r, mT(ct_r)), matmul(mT(ct_q), q))
    copied = elementwise.add(movement.tril(inner), mT(movement.tril(inner, k=-1)))
    total = elementwise.add(ct_q, matmul(q, copied))
    return mT(system.triangular_solve(r, mT(total), lower=False))


def _leading_rows(x: Node, k: int) -> Node:
    return movement.slice_axis(x, x.ndim - 2, 0, k)


def _leading_columns(x: Node, k: int) -> Node:
    return movement.slice_axis(x, x.ndim - 1, 0, k)


QR = Primitive(
    name="qr",
    infer=_qr_infer,
    reference=lapack("qr", "the factorisation failed")(
        lambda x, *, mode: tuple(np.linalg.qr(x, mode))
    ),
    vjp=_qr_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3),), {"mode": "reduced"}),
        Sample((random_matrices(2, 4, 2),), {"mode": "reduced"}),
        Sample((random_matrices(2, 4),), {"mode": "reduced"}),
        Sample((random_matrices(2, 3),), {"mode": "complete"}),
        Sample((random_matrices(0, 3),), {"mode": "reduced"}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (random_matrices(3),), {"mode": "reduced"}, ShapeError,
            "[qr] matrices are needed. Got: (3,). Expected: (..., m, n).",
        ),
        Failure(
            (random_matrices(3, 3),), {"mode": "raw"}, ArgumentError,
            "[qr] there is no mode of that name. Got: 'raw'. "
            'Expected: "reduced" or "complete".',
        ),
    ],
    source="Householder reflections (LAPACK geqrf); derivative: Seeger et al. 2017, "
    "Auto-differentiating linear algebra, arXiv:1710.08717; for wide matrices: Roberts "
    "and Roberts 2020, arXiv:2009.10071",
)  # fmt: skip


# Singular values


def _svd_infer(x: TensorType, *, full_matrices: bool) -> tuple[TensorType, ...]:
    check_matrices("svd", x)
    *lead, m, n = x.shape
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    shapes = ((*lead, m, rows), (*lead, k), (*lead, columns, n))
    return tuple(TensorType(shape, x.dtype) for shape in shapes)


def _svd_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node]:
    ct_u, ct_s, ct_vh = cts
    u, s, vh = picks(node)
    m, n = x.shape[-2:]
    k = min(m, n)
    if node.attributes["full_matrices"] and m != n:
        if (ct_u if m > n else ct_vh) is not None:
            raise GradientError(
                "[svd] the vectors that complete a basis have no derivative",
                got=f"full_matrices=True for shape {x.shape}",
                fix="use full_matrices=False",
            )
        u, vh = _leading_columns(u, k), _leading_rows(vh, k)
    parts: list[Node] = []
    # 1 / (s_j^2 - s_i^2) beside the diagonal; Townsend calls it F.
    gaps = elementwise.multiply(_reciprocal_gaps(s), _reciprocal_sums(s))
    if ct_u is not None:
        product = matmul(mT(u), ct_u)
        skew = elementwise.multiply(gaps, elementwise.subtract(product, mT(product)))
        parts.append(product_of(u, elementwise.multiply(skew, by_column(s)), vh))
        if m > k:
            beside = elementwise.subtract(ct_u, matmul(u, product))
            parts.append(matmul(elementwise.divide(beside, by_column(s)), vh))
    if ct_s is not None:
        parts.append(matmul(elementwise.multiply(u, by_column(ct_s)), vh))
    if ct_vh is not None:
        product = matmul(vh, mT(ct_vh))
        skew = elementwise.multiply(gaps, elementwise.subtract(product, mT(product)))
        parts.append(product_of(u, elementwise.multiply(by_row(s), skew), vh))
        if n > k:
            beside = elementwise.subtract(ct_vh, matmul(mT(product), vh))
            parts.append(matmul(u, elementwise.divide(beside, by_row(s))))
    return (sum_of(parts),)


def _reciprocal_gaps(s: Node) -> Node:
    """Return the matrices of 1 / (s_j - s_i), 0 on the diagonal."""
    return _reciprocal_beside_diagonal(elementwise.subtract(by_column(s), by_row(s)))


def _reciprocal_sums(s: Node) -> Node:
    """Return the matrices of 1 / (s_j + s_i), 0 on the diagonal."""
    return _reciprocal_beside_diagonal(elementwise.add(by_column(s), by_row(s)))


def _reciprocal_beside_diagonal(x: Node) -> Node:
    diagonal = on_diagonal(x.shape[-1])
    safe = elementwise.select(diagonal, 1, x)
    return elementwise.select(diagonal, 0, elementwise.divide(1, safe))


@lapack("svd", "the iteration did not converge", finite=True)
def _svd_reference(x: np.ndarray, *, full_matrices: bool) -> tuple[np.ndarray, ...]:
    u, s, vh = np.linalg.svd(x, full_matrices)
    k = s.shape[-1]
    left, right = _signs(u), _signs(np.swapaxes(vh, -1, -2))
    # Each pair has the sign of its left vector.
    right = np.concatenate([left[..., :k], right[..., k:]], -1)
    return u * left[..., None, :], s, vh * right[..., None]


SVD = Primitive(
    name="svd",
    infer=_svd_infer,
    reference=_svd_reference,
    vjp=_svd_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_matrices(3, 3),), {"full_matrices": False}),
        Sample((random_matrices(2, 4, 2),), {"full_matrices": False}),
        Sample((random_matrices(2, 3),), {"full_matrices": False}),
        Sample((random_matrices(3, 3, seed=4),), {"full_matrices": True}),
        Sample((random_matrices(0, 3),), {"full_matrices": False}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (random_matrices(3),), {"full_matrices": False}, ShapeError,
            "[svd] matrices are needed. Got: (3,). Expected: (..., m, n).",
        ),
        Failure(
            (np.full((2, 2), np.nan),), {"full_matrices": False}, LinearAlgebraError,
            "[svd] the matrix has elements that are not finite. "
            "Got: the matrix of shape (2, 2).",
        ),
    ],
    source="singular values in descending order (LAPACK gesdd); left vectors begin "
    "with a positive element, what is less than half of the greatest not counted; "
    "derivative: Townsend 2016, Differentiating the singular value decomposition",
)  # fmt: skip


# Eigenvalues of symmetric matrices


def _eigh_infer(x: TensorType) -> tuple[TensorType, TensorType]:
    check_matrices("eigh", x, square=True)
    return TensorType(x.shape[:-1], x.dtype), x


def _eigh_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node]:
    ct_w, ct_v = cts
    w, v = picks(node)
    parts: list[Node] = []
    if ct_w is not None:
        parts.append(matmul(elementwise.multiply(v, by_column(ct_w)), mT(v)))
    if ct_v is not None:
        inner = elementwise.multiply(_reciprocal_gaps(w), matmul(mT(v), ct_v))
        parts.append(product_of(v, inner, mT(v)))
    return (symmetric_part(sum_of(parts)),)


@lapack("eigh", "the iteration did not converge", finite=True)
def _eigh_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w, v = np.linalg.eigh(symmetric_array(x))
    return w, v * _signs(v)[..., None, :]


EIGH = Primitive(
    name="eigh",
    infer=_eigh_infer,
    reference=_eigh_reference,
    vjp=_eigh_vjp,
    batch=over_leading,
    samples=lambda: [
        Sample((random_definite(3, 3),)),
        Sample((random_definite(2, 2, 2),)),
        Sample((np.zeros((0, 0)),), smooth=False),
    ],
    failures=square_failures("eigh"),
    source="of the symmetric part (x + x.T) / 2, eigenvalues in ascending order "
    "(LAPACK syevd), signs of vectors as those of svd; derivative: Giles 2008, An "
    "extended collection of matrix derivative results",
)  # fmt: skip


PRIMITIVES = (CHOLESKY, QR, SVD, EIGH)
