"""Linear algebra on stacks of matrices: factorisations, solutions, norms.

Matrices are the last two axes, all others are stacked. The primitives compute through
LAPACK, in float32 or float64; the ops bring integers and 16-bit floats there.

Read first: `CHOLESKY`, `SOLVE`, `SVD`, `LINALG_OPS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..dtypes import DType, float32, int64, promote
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    AxisError,
    DTypeError,
    GradientError,
    LinearAlgebraError,
    ShapeError,
)
from ..ir.build import apply, picks
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import broadcast, normalize_axes, normalize_axis
from . import contract, elementwise, index, movement, reduce
from .family import NUMERIC
from .operand import Operand, as_float, as_node, common_dtype, require
from .source import full_like, iota

_mT = movement.matrix_transpose
_matmul = contract.matmul


def _matrices(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def _definite(*shape: int) -> np.ndarray:
    x = _matrices(*shape)
    return np.asarray(x @ np.swapaxes(x, -1, -2) + 0.5 * np.eye(shape[-1]))


# What the records share


def _check_matrices(name: str, x: TensorType, square: bool = False) -> None:
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


def _lapack(name: str, complaint: str, *, finite: bool = False) -> Callable[..., Any]:
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


def _over_leading(
    operands: Sequence[Node], batched: Sequence[bool], node: Node
) -> Node:
    """Batch rule: the new axis is one more stacked axis."""
    size = next(x.shape[0] for x, flag in zip(operands, batched, strict=True) if flag)
    full = [
        x if flag else movement.expand(x, (size, *x.shape))
        for x, flag in zip(operands, batched, strict=True)
    ]
    return apply(node.primitive, *full, **node.attributes)


def _square_failures(name: str, *more: Failure) -> Callable[[], list[Failure]]:
    def failures() -> list[Failure]:
        return [
            Failure(
                (_matrices(2, 3),), {}, ShapeError,
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


def _identity(x: Node, n: int) -> Node:
    """Return the identity matrix of size n in the dtype of `x`."""
    return elementwise.cast(_on_diagonal(n), x.dtype)


def _on_diagonal(n: int) -> Node:
    return elementwise.equal(movement.reshape(iota(n, int64), (n, 1)), iota(n, int64))


def _symmetric(x: Node) -> Node:
    """Return the symmetric part."""
    return elementwise.multiply(elementwise.add(x, _mT(x)), 0.5)


def _symmetric_array(x: np.ndarray) -> np.ndarray:
    return x * 0.5 + np.swapaxes(x, -1, -2) * 0.5


def _rows(x: Node) -> Node:
    """Return vectors as columns, to be multiplied to the rows of matrices."""
    return movement.expand_dims(x, axis=-1)


def _columns(x: Node) -> Node:
    """Return vectors as rows, to be multiplied to the columns of matrices."""
    return movement.expand_dims(x, axis=-2)


# Cholesky factors


@_lapack("cholesky", "the matrix is not positive definite")
def _cholesky_reference(x: np.ndarray, *, upper: bool) -> np.ndarray:
    factor = np.linalg.cholesky(_symmetric_array(x))
    return np.swapaxes(factor, -1, -2) if upper else factor


def _cholesky_infer(x: TensorType, *, upper: bool) -> TensorType:
    _check_matrices("cholesky", x, square=True)
    return x


def _cholesky_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    # With L = node and P = tril(L.T @ ct), its diagonal halved: L^-T P L^-1, symmetric.
    if node.attributes["upper"]:
        ct, node = _mT(ct), _mT(node)
    inner = movement.tril(_matmul(_mT(node), ct))
    halved = elementwise.select(
        _on_diagonal(x.shape[-1]), elementwise.multiply(inner, 0.5), inner
    )
    left = triangular_solve(node, halved, lower=True, transpose=True)
    both = triangular_solve(node, _mT(left), lower=True, transpose=True)
    return (_symmetric(both),)


CHOLESKY = Primitive(
    name="cholesky",
    infer=_cholesky_infer,
    reference=_cholesky_reference,
    vjp=_cholesky_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_definite(3, 3),), {"upper": False}),
        Sample((_definite(2, 2, 2),), {"upper": True}),
        Sample((_definite(4, 4).astype(np.float32),), {"upper": False}, smooth=False),
        Sample((np.zeros((2, 0, 0)),), {"upper": False}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_matrices(2, 3),), {"upper": False}, ShapeError,
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


# Triangular systems


def _solve_infer(name: str, a: TensorType, b: TensorType) -> TensorType:
    _check_matrices(name, a, square=True)
    _check_matrices(name, b)
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


@_lapack("triangular_solve", "the matrix is singular")
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
    whole = elementwise.negative(_matmul(left, _mT(right)))
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
    batch=_over_leading,
    samples=lambda: [
        Sample(
            (_definite(3, 3), _matrices(3, 2)),
            {"lower": lower, "transpose": transpose, "unit_diagonal": unit},
        )
        for lower in (False, True)
        for transpose in (False, True)
        for unit in (False, True)
    ]
    + [
        Sample((_definite(2, 2, 2), _matrices(2, 2, 1)), _PLAIN),
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
    back = apply(SOLVE, _mT(a), ct)
    return elementwise.negative(_matmul(back, _mT(node))), back


SOLVE = Primitive(
    name="solve",
    infer=lambda a, b: _solve_infer("solve", a, b),
    reference=_lapack("solve", "the matrix is singular")(np.linalg.solve),
    vjp=_solve_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_definite(3, 3), _matrices(3, 2))),
        Sample((_definite(2, 2, 2), _matrices(2, 2, 1))),
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


def _solve(a: Node, b: Node) -> Node:
    """Return the solution of `a @ x = b`, whose leading axes broadcast."""
    lead = broadcast("solve", a.shape[:-2], b.shape[:-2])
    a = movement.expand(a, (*lead, *a.shape[-2:]))
    b = movement.expand(b, (*lead, *b.shape[-2:]))
    return apply(SOLVE, a, b)


def _inverse(x: Node) -> Node:
    return apply(SOLVE, x, movement.expand(_identity(x, x.shape[-1]), x.shape))


# QR


def _qr_infer(x: TensorType, *, mode: str) -> tuple[TensorType, TensorType]:
    _check_matrices("qr", x)
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
    ct_q = elementwise.add(ct_q, _matmul(movement.slice_axis(x, axis, k, n), _mT(ct_v)))
    first = _deep_qr_vjp(ct_q, _leading_columns(ct_r, k), q, _leading_columns(r, k))
    return (movement.concat([first, _matmul(q, ct_v)], axis=axis),)


def _deep_qr_vjp(ct_q: Node, ct_r: Node, q: Node, r: Node) -> Node:
    """Return the cotangent of x = q @ r with q (m, n), m >= n, and r square.

    Formula: (ct_q + q @ C) @ r^-T, where C is the lower triangle of
    r @ ct_r.T - ct_q.T @ q, copied to the upper.
    """
    inner = elementwise.subtract(_matmul(r, _mT(ct_r)), _matmul(_mT(ct_q), q))
    copied = elementwise.add(movement.tril(inner), _mT(movement.tril(inner, k=-1)))
    total = elementwise.add(ct_q, _matmul(q, copied))
    return _mT(triangular_solve(r, _mT(total), lower=False))


def _leading_rows(x: Node, k: int) -> Node:
    return movement.slice_axis(x, x.ndim - 2, 0, k)


def _leading_columns(x: Node, k: int) -> Node:
    return movement.slice_axis(x, x.ndim - 1, 0, k)


QR = Primitive(
    name="qr",
    infer=_qr_infer,
    reference=_lapack("qr", "the factorisation failed")(
        lambda x, *, mode: tuple(np.linalg.qr(x, mode))
    ),
    vjp=_qr_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3),), {"mode": "reduced"}),
        Sample((_matrices(2, 4, 2),), {"mode": "reduced"}),
        Sample((_matrices(2, 4),), {"mode": "reduced"}),
        Sample((_matrices(2, 3),), {"mode": "complete"}),
        Sample((_matrices(0, 3),), {"mode": "reduced"}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_matrices(3),), {"mode": "reduced"}, ShapeError,
            "[qr] matrices are needed. Got: (3,). Expected: (..., m, n).",
        ),
        Failure(
            (_matrices(3, 3),), {"mode": "raw"}, ArgumentError,
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
    _check_matrices("svd", x)
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
        product = _matmul(_mT(u), ct_u)
        skew = elementwise.multiply(gaps, elementwise.subtract(product, _mT(product)))
        parts.append(_product(u, elementwise.multiply(skew, _columns(s)), vh))
        if m > k:
            beside = elementwise.subtract(ct_u, _matmul(u, product))
            parts.append(_matmul(elementwise.divide(beside, _columns(s)), vh))
    if ct_s is not None:
        parts.append(_matmul(elementwise.multiply(u, _columns(ct_s)), vh))
    if ct_vh is not None:
        product = _matmul(vh, _mT(ct_vh))
        skew = elementwise.multiply(gaps, elementwise.subtract(product, _mT(product)))
        parts.append(_product(u, elementwise.multiply(_rows(s), skew), vh))
        if n > k:
            beside = elementwise.subtract(ct_vh, _matmul(_mT(product), vh))
            parts.append(_matmul(u, elementwise.divide(beside, _rows(s))))
    return (_total(parts),)


def _product(first: Node, *others: Node) -> Node:
    for x in others:
        first = _matmul(first, x)
    return first


def _total(parts: Sequence[Node]) -> Node:
    total = parts[0]
    for part in parts[1:]:
        total = elementwise.add(total, part)
    return total


def _reciprocal_gaps(s: Node) -> Node:
    """Return the matrices of 1 / (s_j - s_i), 0 on the diagonal."""
    return _reciprocal_beside_diagonal(elementwise.subtract(_columns(s), _rows(s)))


def _reciprocal_sums(s: Node) -> Node:
    """Return the matrices of 1 / (s_j + s_i), 0 on the diagonal."""
    return _reciprocal_beside_diagonal(elementwise.add(_columns(s), _rows(s)))


def _reciprocal_beside_diagonal(x: Node) -> Node:
    diagonal = _on_diagonal(x.shape[-1])
    safe = elementwise.select(diagonal, 1, x)
    return elementwise.select(diagonal, 0, elementwise.divide(1, safe))


SVD = Primitive(
    name="svd",
    infer=_svd_infer,
    reference=_lapack("svd", "the iteration did not converge", finite=True)(
        lambda x, *, full_matrices: tuple(np.linalg.svd(x, full_matrices))
    ),
    vjp=_svd_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3),), {"full_matrices": False}),
        Sample((_matrices(2, 4, 2),), {"full_matrices": False}),
        Sample((_matrices(2, 3),), {"full_matrices": False}),
        Sample((_matrices(3, 3, seed=4),), {"full_matrices": True}),
        Sample((_matrices(0, 3),), {"full_matrices": False}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_matrices(3),), {"full_matrices": False}, ShapeError,
            "[svd] matrices are needed. Got: (3,). Expected: (..., m, n).",
        ),
        Failure(
            (np.full((2, 2), np.nan),), {"full_matrices": False}, LinearAlgebraError,
            "[svd] the matrix has elements that are not finite. "
            "Got: the matrix of shape (2, 2).",
        ),
    ],
    source="singular values in descending order (LAPACK gesdd); derivative: Townsend "
    "2016, Differentiating the singular value decomposition",
)  # fmt: skip


# Eigenvalues of symmetric matrices


def _eigh_infer(x: TensorType) -> tuple[TensorType, TensorType]:
    _check_matrices("eigh", x, square=True)
    return TensorType(x.shape[:-1], x.dtype), x


def _eigh_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node]:
    ct_w, ct_v = cts
    w, v = picks(node)
    parts: list[Node] = []
    if ct_w is not None:
        parts.append(_matmul(elementwise.multiply(v, _columns(ct_w)), _mT(v)))
    if ct_v is not None:
        inner = elementwise.multiply(_reciprocal_gaps(w), _matmul(_mT(v), ct_v))
        parts.append(_product(v, inner, _mT(v)))
    return (_symmetric(_total(parts)),)


EIGH = Primitive(
    name="eigh",
    infer=_eigh_infer,
    reference=_lapack("eigh", "the iteration did not converge", finite=True)(
        lambda x: tuple(np.linalg.eigh(_symmetric_array(x)))
    ),
    vjp=_eigh_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_definite(3, 3),)),
        Sample((_definite(2, 2, 2),)),
        Sample((np.zeros((0, 0)),), smooth=False),
    ],
    failures=_square_failures("eigh"),
    source="of the symmetric part (x + x.T) / 2, eigenvalues in ascending order "
    "(LAPACK syevd); derivative: Giles 2008, An extended collection of matrix "
    "derivative results",
)  # fmt: skip


# Determinants


def _slogdet_infer(x: TensorType) -> tuple[TensorType, TensorType]:
    _check_matrices("slogdet", x, square=True)
    type = TensorType(x.shape[:-2], x.dtype)
    return type, type


def _slogdet_vjp(cts: Sequence[Node | None], node: Node, x: Node) -> tuple[Node | None]:
    ct = cts[1]  # the sign is locally constant
    if ct is None:
        return (None,)
    return (elementwise.multiply(_mT(_inverse(x)), _rows(_rows(ct))),)


def _slogdet_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sign, logabsdet = np.linalg.slogdet(x)
    return np.asarray(sign, x.dtype), np.asarray(logabsdet, x.dtype)


SLOGDET = Primitive(
    name="slogdet",
    infer=_slogdet_infer,
    reference=_lapack("slogdet", "the factorisation failed")(_slogdet_reference),
    vjp=_slogdet_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3),)),
        Sample((_matrices(2, 2, 2),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
        Sample((np.zeros((2, 0, 0)),), smooth=False),
    ],
    failures=_square_failures("slogdet"),
    source="the product of the pivots of Gauss elimination (LAPACK getrf); derivative: "
    "Giles 2008, An extended collection of matrix derivative results",
)  # fmt: skip


def _det_infer(x: TensorType) -> TensorType:
    _check_matrices("det", x, square=True)
    return TensorType(x.shape[:-2], x.dtype)


def _det_vjp(ct: Node, node: Node, x: Node) -> tuple[Node]:
    return (elementwise.multiply(apply(COFACTOR, x), _rows(_rows(ct))),)


DET = Primitive(
    name="det",
    infer=_det_infer,
    reference=_lapack("det", "the factorisation failed")(
        lambda x: np.asarray(np.linalg.det(x), x.dtype)
    ),
    vjp=_det_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3),)),
        Sample((_matrices(2, 2, 2),)),
        Sample((_matrices(1, 1),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
        Sample((np.zeros((2, 0, 0)),), smooth=False),
    ],
    failures=_square_failures("det"),
    source="the product of the pivots of Gauss elimination (LAPACK getrf); derivative: "
    "Jacobi's formula",
)  # fmt: skip


def _cofactor_infer(x: TensorType) -> TensorType:
    _check_matrices("cofactor", x, square=True)
    return x


@_lapack("cofactor", "the iteration did not converge")
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
    product = _product(node, _mT(ct), node)
    top = elementwise.subtract(elementwise.multiply(total, node), product)
    return (elementwise.divide(top, _rows(_rows(apply(DET, x)))),)


COFACTOR = Primitive(
    name="cofactor",
    infer=_cofactor_infer,
    reference=_cofactor_reference,
    vjp=_cofactor_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3),)),
        Sample((_matrices(2, 2, 2),)),
        Sample((_matrices(1, 1),)),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
    ],
    failures=_square_failures("cofactor"),
    source="the signed minors: the derivative of the determinant by each element; "
    "derivative: from det(x) times the transposed inverse",
)  # fmt: skip


# Pseudo-inverse


def _pinv_infer(x: TensorType, rtol: TensorType) -> TensorType:
    _check_matrices("pinv", x)
    if rtol.shape != x.shape[:-2] or rtol.dtype is not x.dtype:
        raise ShapeError(
            "[pinv] there must be one tolerance for each matrix, of its element type",
            got=f"{rtol!r} for {x!r}",
        )
    return TensorType((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@_lapack("pinv", "the iteration did not converge", finite=True)
def _pinv_reference(x: np.ndarray, rtol: np.ndarray) -> np.ndarray:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    cutoff = rtol[..., None] * s.max(-1, keepdims=True, initial=0)
    kept = s > cutoff
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(x.dtype)
    return np.swapaxes((u * inverse[..., None, :]) @ vh, -1, -2)


def _pinv_vjp(ct: Node, node: Node, x: Node, rtol: Node) -> tuple[Node, None]:
    # dp = -p dx p + p p.T dx.T (1 - x p) + (1 - p x) dx.T p.T p
    p, back = node, _mT(ct)
    pt = _mT(p)
    first = _product(pt, ct, pt)
    second = _product(back, p, pt)
    second = elementwise.subtract(second, _matmul(x, _matmul(p, second)))
    third = _matmul(pt, _matmul(p, back))
    third = elementwise.subtract(third, _product(third, p, x))
    return elementwise.add(elementwise.subtract(second, first), third), None


PINV = Primitive(
    name="pinv",
    infer=_pinv_infer,
    reference=_pinv_reference,
    vjp=_pinv_vjp,
    batch=_over_leading,
    samples=lambda: [
        Sample((_matrices(3, 3), np.array(1e-12))),
        Sample((_matrices(2, 3, 2), np.full(2, 1e-12))),
        Sample((_matrices(2, 3), np.array(1e-12))),
        Sample((np.array([[1.0, 2.0], [2.0, 4.0]]), np.array(1e-12)), smooth=False),
        Sample((np.zeros((0, 3)), np.array(1e-12)), smooth=False),
    ],
    failures=lambda: [
        Failure(
            (_matrices(2, 3), np.ones(2)), {}, ShapeError,
            "[pinv] there must be one tolerance for each matrix, of its element type. "
            "Got: float64[2] for float64[2, 3].",
        )
    ],
    source="singular values of at most rtol times the greatest count as 0; derivative "
    "at constant rank: Golub and Pereyra 1973, The differentiation of pseudo-inverses "
    "and nonlinear least squares problems whose variables separate",
)  # fmt: skip


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
    _check_matrices(op, wide.type, square)
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
    return elementwise.cast(apply(CHOLESKY, x, upper=bool(upper)), dtype)


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
    q, r = _narrowed(picks(apply(QR, x, mode=mode)), dtype)
    return q, r


def svd(x: Node, *, full_matrices: bool = True) -> tuple[Node, Node, Node]:
    """Return U, S and Vh, where `x = U @ diag(S) @ Vh`: singular vectors and values.

    Args:
        x: shape (..., m, n).
        full_matrices: complete U and Vh to square matrices.

    Returns:
        (U, S, Vh) of shapes (..., m, m), (..., k) and (..., n, n); or (..., m, k),
        (..., k) and (..., k, n), with k = min(m, n). S is in descending order.

    Raises:
        ShapeError: fewer than two axes.
        LinearAlgebraError: an element is not finite.

    Gradient: inf or nan through U and Vh where singular values are equal, or are 0 in a
    matrix that is not square; GradientError through vectors that only complete a basis.

    Source: Array API standard 2024.12; Townsend 2016, Differentiating the singular
    value decomposition.
    """
    x, dtype = _stacked("svd", x)
    results = picks(apply(SVD, x, full_matrices=bool(full_matrices)))
    u, s, vh = _narrowed(results, dtype)
    return u, s, vh


def _singular_values(x: Node) -> Node:
    return picks(apply(SVD, x, full_matrices=False))[1]


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
        orthonormal eigenvectors.

    Raises:
        ShapeError: the matrices are not square.
        LinearAlgebraError: an element is not finite.

    Gradient: symmetric; inf or nan through the eigenvectors where eigenvalues are
    equal.

    Source: Array API standard 2024.12; Giles 2008, An extended collection of matrix
    derivative results.
    """
    x, dtype = _stacked("eigh", x, square=True)
    w, v = _narrowed(picks(apply(EIGH, x)), dtype)
    return w, v


def eigvalsh(x: Node) -> Node:
    """Return the eigenvalues of symmetric matrices, in ascending order.

    Arguments and errors are those of `eigh`. Gradient: also where some are equal.
    """
    x, dtype = _stacked("eigvalsh", x, square=True)
    return elementwise.cast(picks(apply(EIGH, x))[0], dtype)


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
    result = _solve(a, b)
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
    result = triangular_solve(
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
    return elementwise.cast(_inverse(x), dtype)


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
    return elementwise.cast(apply(PINV, x, tolerance), dtype)


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
    above = elementwise.greater(s, elementwise.multiply(_rows(tolerance), greatest))
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
        x, n = _inverse(x), -n
    result: Node | None = None
    while n:  # the bits of n, the lowest first
        if n & 1:
            result = x if result is None else _matmul(result, x)
        n >>= 1
        x = _matmul(x, x) if n else x
    if result is None:
        result = movement.expand(_identity(x, x.shape[-1]), x.shape)
    return elementwise.cast(result, dtype)


def det(x: Node) -> Node:
    """Return the determinants of matrices of shape (..., n, n).

    Raises:
        ShapeError: the matrices are not square.

    Gradient: `ct` times the cofactors, also of singular matrices; the second derivative
    is nan there.
    """
    x, dtype = _stacked("det", x, square=True)
    return elementwise.cast(apply(DET, x), dtype)


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
    sign, logabsdet = _narrowed(picks(apply(SLOGDET, x)), dtype)
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


PRIMITIVES = (
    CHOLESKY, TRIANGULAR_SOLVE, SOLVE, QR, SVD, EIGH, SLOGDET, DET, COFACTOR, PINV,
)  # fmt: skip

# Published as `plait.linalg.<name>`.
LINALG_OPS = (
    cholesky, cross, det, index.diagonal, eigh, eigvalsh, inv, matrix_norm,
    matrix_power, matrix_rank, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
    index.trace, vector_norm,
)  # fmt: skip

RESULTS: dict[Callable[..., Any], type] = {
    qr: QRResult,
    svd: SVDResult,
    eigh: EighResult,
    slogdet: SlogdetResult,
}
