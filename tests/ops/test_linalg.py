"""Linear algebra against NumPy, SciPy, PyTorch and finite differences."""

from __future__ import annotations

import contextlib
import inspect
import math

import ml_dtypes
import numpy as np
import pytest
import scipy.linalg

from plait import errors
from plait.ir.evaluate import interpret
from plait.ops import (
    contract,
    elementwise,
    factor,
    linalg,
    movement,
    reduce,
    system,
)

from .op_checks import (
    check_batch_rule,
    check_derivatives,
    close,
    gradient,
    like_torch,
    recorded,
    several,
    value,
    values,
)
from .torch_table import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
T = torch and torch.linalg
inf, nan = math.inf, math.nan


def draw(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape)


def symmetric(*shape):
    x = draw(*shape)
    return x + np.swapaxes(x, -1, -2)


def definite(*shape):
    x = draw(*shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def symmetrised(op, **settings):
    """Return `op` of the symmetric part, since PyTorch reads one triangle only."""
    return lambda t: op((t + t.mT) / 2, **settings)


SQUARES = [(3, 3), (1, 1), (2, 3, 2, 2), (0, 2, 2), (5, 5)]
SHAPES = [(3, 3), (4, 2), (2, 4), (1, 3), (2, 3, 4), (0, 3, 2)]


# Values and gradients


@pytest.mark.parametrize("shape", SQUARES)
@pytest.mark.parametrize("upper", [False, True])
@needs_torch
def test_cholesky(shape, upper):
    x = definite(*shape)
    (factor,) = values(linalg.cholesky, x, upper=upper)
    other = np.swapaxes(factor, -1, -2)
    close(other @ factor if upper else factor @ other, x)
    assert np.array_equal(factor, np.triu(factor) if upper else np.tril(factor))
    like_torch(linalg.cholesky, symmetrised(T.cholesky, upper=upper), [x], upper=upper)


def test_cholesky_takes_the_symmetric_part():
    x = np.array([[4.0, 3.0], [1.0, 5.0]])
    close(value(linalg.cholesky, x), np.linalg.cholesky([[4, 2], [2, 5]]))
    close(value(linalg.eigvalsh, x), np.linalg.eigvalsh([[4, 2], [2, 5]]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
@needs_torch
def test_qr(shape, mode):
    x = draw(*shape)
    q, r = values(linalg.qr, x, mode=mode)
    close(q @ r, x)
    close(np.swapaxes(q, -1, -2) @ q, np.broadcast_to(np.eye(q.shape[-1]), (
        *x.shape[:-2], q.shape[-1], q.shape[-1])))  # fmt: skip
    assert np.array_equal(r, np.triu(r))
    if mode == "reduced" or shape[-2] <= shape[-1]:
        like_torch(linalg.qr, lambda t: tuple(T.qr(t, mode=mode)), [x], mode=mode)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("full_matrices", [False, True])
@needs_torch
def test_svd(shape, full_matrices):
    x = draw(*shape)
    u, s, vh = values(linalg.svd, x, full_matrices=full_matrices)
    k = min(shape[-2:])
    close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x)
    assert u.shape[-1] == (shape[-2] if full_matrices else k)
    assert vh.shape[-2] == (shape[-1] if full_matrices else k)
    close(s, np.linalg.svd(x, compute_uv=False))
    like_torch(linalg.svdvals, T.svdvals, [x])

    # The signs of vectors are free, and PyTorch refuses what depends on them.
    def invariant(op, square, product):
        def function(t):
            u, s, vh = op(t)
            return square(u), s, square(vh), product(u, s, vh)

        return function

    if not full_matrices:
        ours = invariant(
            lambda t: linalg.svd(t, full_matrices=False), elementwise.square,
            lambda u, s, vh: contract.matmul(u, vh),
        )  # fmt: skip
        theirs = invariant(
            lambda t: T.svd(t, full_matrices=False), torch.square,
            lambda u, s, vh: u @ vh,
        )  # fmt: skip
        like_torch(ours, theirs, [x])


@pytest.mark.parametrize("shape", SQUARES)
@needs_torch
def test_eigh(shape):
    x = symmetric(*shape)
    w, v = values(linalg.eigh, x)
    close(x @ v, v * w[..., None, :])
    close(w, np.linalg.eigvalsh(x))
    like_torch(linalg.eigvalsh, symmetrised(T.eigvalsh), [x])

    def ours(t):
        w, v = linalg.eigh(t)
        return w, elementwise.square(v)

    def theirs(t):
        w, v = T.eigh((t + t.mT) / 2)
        return w, v * v

    like_torch(ours, theirs, [x])


@pytest.mark.parametrize("shape", SQUARES)
@needs_torch
def test_determinants_and_inverses(shape):
    x = draw(*shape)
    like_torch(linalg.det, T.det, [x])
    like_torch(linalg.slogdet, lambda t: tuple(T.slogdet(t)), [x])
    like_torch(linalg.inv, T.inv, [x])
    for n in (-3, -1, 0, 1, 2, 5):
        close(value(linalg.matrix_power, x, n=n), np.linalg.matrix_power(x, n), 1e-6)
    like_torch(linalg.matrix_power, lambda t: T.matrix_power(t, -2), [x], n=-2)
    like_torch(linalg.matrix_power, lambda t: T.matrix_power(t, 7), [x], n=7)


SYSTEMS = [
    ((3, 3), (3,)),
    ((3, 3), (3, 2)),
    ((2, 3, 3), (3,)),
    ((2, 3, 3), (3, 3)),
    ((2, 3, 3), (2, 3, 1)),
    ((4, 1, 2, 2), (3, 2, 5)),
    ((3, 3), (2, 3, 2)),
    ((0, 2, 2), (2,)),
    ((3, 2, 2), (2,)),
]


def solved(solver, transpose=False):
    """Return `solver` with the standard's rule: a vector is one for all matrices."""

    def function(a, b):
        if b.ndim > 1:
            return solver(a, b)
        return solver(a, b[:, None].expand(*a.shape[:-1], 1))[..., 0]

    return function


@pytest.mark.parametrize(("left", "right"), SYSTEMS)
@needs_torch
def test_solve(left, right):
    a, b = draw(*left), draw(*right)
    x = value(linalg.solve, a, b)
    product = a @ x[..., None] if len(right) == 1 else a @ x
    wide = b[:, None] if len(right) == 1 else b
    close(product, np.broadcast_to(wide, product.shape))
    like_torch(linalg.solve, solved(T.solve), [a, b])


@pytest.mark.parametrize(("left", "right"), SYSTEMS)
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
@needs_torch
def test_solve_triangular(left, right, upper, transpose, unit_diagonal):
    a, b = draw(*left) + 3 * np.eye(left[-1]), draw(*right)

    def theirs(a, b):
        a = a.triu() if upper else a.tril()
        a = a.mT if transpose else a
        return T.solve_triangular(
            a, b, upper=upper != transpose, unitriangular=unit_diagonal
        )

    settings = {"upper": upper, "transpose": transpose, "unit_diagonal": unit_diagonal}
    like_torch(linalg.solve_triangular, solved(theirs), [a, b], **settings)


def test_triangular_solutions_are_as_exact_as_substitution():
    # Exchanging rows would lose these tiny pivots.
    rng = np.random.default_rng(0)
    a = np.tril(rng.normal(size=(30, 30)), -1) + np.diag(np.logspace(0, -6, 30))
    b = rng.normal(size=(30, 2))
    for transpose in (False, True):
        for lower in (True, False):
            matrix = a if lower else a.T
            got = value(
                linalg.solve_triangular, matrix, b, upper=not lower, transpose=transpose
            )
            right = scipy.linalg.solve_triangular(
                matrix, b, lower=lower, trans="T" if transpose else "N"
            )
            np.testing.assert_allclose(got, right, rtol=1e-9)


@pytest.mark.parametrize("shape", [*SHAPES, (5, 5)])
@needs_torch
def test_pseudo_inverse_and_rank(shape):
    x = draw(*shape)
    like_torch(linalg.pinv, T.pinv, [x])
    assert np.array_equal(value(linalg.matrix_rank, x), np.linalg.matrix_rank(x))


@needs_torch
def test_pseudo_inverse_of_deficient_matrices():
    x = draw(2, 5, 2) @ draw(2, 2, 4)
    assert value(linalg.matrix_rank, x).tolist() == [2, 2]
    like_torch(linalg.pinv, lambda t: T.pinv(t, rtol=1e-10), [x], rtol=1e-10)
    # Two equal singular values, and two that are zero.
    for y in (np.eye(4), np.diag([1.0, 1, 0, 0]), np.zeros((3, 4))):
        close(value(linalg.pinv, y), np.linalg.pinv(y))
        (found,) = interpret(gradient(recorded(linalg.pinv, [y])), [y, y.T])
        assert np.isfinite(found).all()
    (found,) = interpret(gradient(recorded(linalg.pinv, [np.eye(2)])), [np.eye(2)] * 2)
    close(found, -np.eye(2))


def test_tolerances():
    x = np.stack([np.diag([1.0, 1e-3, 1e-9]), np.diag([2.0, 1e-8, 0.0])])
    assert value(linalg.matrix_rank, x).tolist() == [3, 2]
    assert value(linalg.matrix_rank, x, rtol=1e-6).tolist() == [2, 1]
    each = np.array([1e-2, 1e-12])
    ranks = value(lambda x, rtol: linalg.matrix_rank(x, rtol=rtol), x, each)
    assert ranks.dtype == np.int64
    assert ranks.tolist() == [1, 2]
    inverses = value(lambda x, rtol: linalg.pinv(x, rtol=rtol), x, each)
    close(inverses[0], np.diag([1.0, 0, 0]))
    close(inverses[1], np.diag([0.5, 1e8, 0]))
    assert value(linalg.matrix_rank, np.zeros((2, 0, 3))).tolist() == [0, 0]
    assert value(linalg.matrix_rank, np.zeros((3, 3))) == 0
    # The default is that of the dtype: 3e-8 is nothing in float32.
    noisy = np.diag([1.0, 3e-8])
    assert value(linalg.matrix_rank, noisy) == 2
    assert value(linalg.matrix_rank, noisy.astype(np.float32)) == 1


# Norms


@pytest.mark.parametrize("ord", [2, 1, 0, inf, -inf, 3, 0.5, -1, -2.5])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
@needs_torch
def test_vector_norm(ord, axis, keepdims):
    x = draw(2, 3, 4)
    settings = {"axis": axis, "keepdims": keepdims, "ord": ord}
    theirs = T.vector_norm(torch.tensor(x), ord, axis, keepdims)
    close(value(linalg.vector_norm, x, **settings), theirs)
    if ord != 0:
        like_torch(
            linalg.vector_norm, lambda t: T.vector_norm(t, ord, axis, keepdims), [x],
            **settings,
        )  # fmt: skip


@pytest.mark.parametrize("ord", [2, 1, 3, 0.5, inf])
def test_vector_norms_of_zero(ord):
    x = np.zeros(3)
    assert value(linalg.vector_norm, x, ord=ord) == 0
    graph = gradient(recorded(linalg.vector_norm, [x], ord=ord))
    assert interpret(graph, [x, np.array(1.0)])[0].tolist() == [0, 0, 0]
    some = np.array([0.0, 3.0, -4.0])
    graph = gradient(recorded(linalg.vector_norm, [some], ord=ord))
    assert interpret(graph, [some, np.array(1.0)])[0][0] == 0


def test_vector_norm_edges():
    assert value(linalg.vector_norm, np.array(-3.0)) == 3
    assert value(linalg.vector_norm, np.zeros((0,))) == 0
    assert value(linalg.vector_norm, np.array([0.0, 2.0]), ord=-1) == 0
    assert math.isnan(value(linalg.vector_norm, np.array([nan, 2.0])))
    assert value(linalg.vector_norm, np.array([-inf, 2.0])) == inf
    ints = value(linalg.vector_norm, np.array([3, -4]))
    assert ints.dtype == np.float32
    assert ints == 5
    half = value(linalg.vector_norm, np.array([300, 400], np.float16))
    assert half.dtype == np.float16
    assert half == 500
    assert value(linalg.vector_norm, np.zeros((0, 2)), axis=1).shape == (0,)


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, inf, -inf])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (2, 4, 3)])
@pytest.mark.parametrize("keepdims", [False, True])
@needs_torch
def test_matrix_norm(ord, shape, keepdims):
    like_torch(
        linalg.matrix_norm, lambda t: T.matrix_norm(t, ord, keepdim=keepdims),
        [draw(*shape)], ord=ord, keepdims=keepdims,
    )  # fmt: skip


# Products of vectors, and parts of matrices


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [((3,), (3,), -1), ((2, 3), (2, 3), 1), ((2, 3), (3,), -1), ((3, 2), (3, 2), 0),
     ((4, 1, 3), (2, 3), -1), ((5, 3, 2), (3, 1), -2)],
)  # fmt: skip
@needs_torch
def test_cross(left, right, axis):
    like_torch(
        linalg.cross, lambda a, b: T.cross(*torch.broadcast_tensors(a, b), dim=axis),
        [draw(*left), draw(*right)], axis=axis,
    )  # fmt: skip


def test_cross_of_integers():
    got = value(linalg.cross, np.array([1, 2, 3]), np.array([4, 5, 6], np.int32))
    assert got.tolist() == np.cross([1, 2, 3], [4, 5, 6]).tolist()
    assert got.dtype == np.int64


# Derivatives, also where PyTorch has none


@pytest.mark.parametrize(
    ("op", "array"),
    [
        (linalg.cholesky, definite(3, 3)),
        (linalg.qr, draw(3, 3)),
        (linalg.qr, draw(4, 2)),
        (linalg.qr, draw(2, 4)),
        (lambda x: linalg.qr(x, mode="complete"), draw(2, 3)),
        (lambda x: linalg.svd(x, full_matrices=False), draw(4, 2)),
        (lambda x: linalg.svd(x, full_matrices=False), draw(2, 4)),
        (lambda x: linalg.svd(x), draw(3, 3)),
        (linalg.svdvals, draw(2, 3, 2)),
        (linalg.eigh, symmetric(3, 3)),
        (linalg.eigvalsh, symmetric(2, 3, 3)),
        (linalg.det, draw(3, 3)),
        (linalg.slogdet, draw(3, 3)),
        (linalg.inv, definite(3, 3)),
        (linalg.pinv, draw(4, 3)),
        (linalg.matrix_exp, draw(2, 3, 3)),
        (lambda x: linalg.matrix_power(x, 3), draw(3, 3)),
        (lambda x: linalg.matrix_norm(x, ord="nuc"), draw(3, 2)),
        (lambda x: linalg.matrix_norm(x, ord=2), draw(3, 2)),
        (linalg.vector_norm, draw(3)),
        (lambda x: linalg.vector_norm(x, ord=3.5), draw(2, 3)),
    ],
)
def test_derivatives(op, array):
    check_derivatives(op, [array], tolerance=1e-6)


def test_derivatives_of_solutions():
    a, b = definite(2, 3, 3), draw(3, 2)
    check_derivatives(linalg.solve, [a, b])
    check_derivatives(linalg.solve_triangular, [a, b], upper=True, transpose=True)
    check_derivatives(linalg.solve_triangular, [a, b[:, 0]], unit_diagonal=True)
    check_derivatives(linalg.cross, [draw(2, 3), draw(3)])


def test_the_determinant_of_a_singular_matrix_has_a_gradient():
    x = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    (found,) = interpret(gradient(recorded(linalg.det, [x])), [x, np.array(1.0)])
    close(found, [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]])
    check_derivatives(linalg.det, [x], second=False)
    check_derivatives(linalg.det, [np.eye(3)])
    check_derivatives(linalg.det, [np.zeros((2, 2))], second=False)


def test_singular_values_that_are_equal_have_a_gradient():
    check_derivatives(
        lambda x: reduce.sum(linalg.svdvals(x), -1), [np.eye(3)], second=False
    )
    check_derivatives(
        lambda x: reduce.sum(linalg.eigvalsh(x), -1), [np.eye(3)], second=False
    )


def test_no_derivative_through_a_completed_basis():
    def factors(x):
        return linalg.svd(x)

    for shape, name in (((3, 2), "U"), ((2, 3), "Vh")):
        with pytest.raises(errors.GradientError) as caught:
            gradient(recorded(factors, [draw(*shape)]))
        assert caught.value.message == (
            "[svd] the vectors that complete a basis have no derivative. Got: "
            f"full_matrices=True for shape {shape}. Fix: use full_matrices=False."
        )
        others = [i for i, n in enumerate(("U", "S", "Vh")) if n != name]
        check_derivatives(
            lambda x, i=others: tuple(linalg.svd(x)[j] for j in i), [draw(*shape)],
            tolerance=1e-6, second=False,
        )  # fmt: skip
    with pytest.raises(errors.GradientError) as caught:
        gradient(recorded(linalg.qr, [draw(3, 2)], mode="complete"))
    assert caught.value.message == (
        "[qr] the complete Q of a tall matrix has no derivative. "
        "Got: mode='complete' for shape (3, 2). Fix: use mode='reduced'."
    )
    check_derivatives(
        lambda x: linalg.qr(x, mode="complete")[1], [draw(3, 2)], tolerance=1e-6
    )


# Batch rules


def test_batch_rules():
    a, b = definite(4, 2, 3, 3), draw(4, 2, 3, 2)
    for upper in (False, True):
        check_batch_rule(factor.CHOLESKY, [a], [True], upper=upper)
    at = {"lower": True, "transpose": False, "unit_diagonal": False}
    for flags in ((True, True), (True, False), (False, True)):
        given = [x if flag else x[0] for x, flag in zip((a, b), flags, strict=True)]
        check_batch_rule(system.SOLVE, given, flags)
        check_batch_rule(system.TRIANGULAR_SOLVE, given, flags, **at)
        given = [x if f else x[0] for x, f in zip((b, 0.5 * b[..., 0, 0]), flags,
                                                  strict=True)]  # fmt: skip
        check_batch_rule(system.PINV, given, flags)
    check_batch_rule(factor.QR, [b], [True], mode="complete")
    check_batch_rule(factor.SVD, [b], [True], full_matrices=False)
    for primitive in (factor.EIGH, system.SLOGDET, system.DET, system.COFACTOR):
        check_batch_rule(primitive, [a], [True])


# Element types


FLOATS = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
NEAR = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3, "bfloat16": 4e-2}


@pytest.mark.parametrize("dtype", FLOATS)
def test_results_have_the_dtype_of_the_operand(dtype):
    x = np.array([[4.0, 1.0], [1.0, 3.0]]).astype(dtype)
    exact = x.astype(np.float64)
    near = NEAR[x.dtype.name]
    ops = {
        linalg.cholesky: np.linalg.cholesky,
        linalg.det: np.linalg.det,
        linalg.eigvalsh: np.linalg.eigvalsh,
        linalg.inv: np.linalg.inv,
        linalg.matrix_norm: np.linalg.norm,
        linalg.pinv: np.linalg.pinv,
        linalg.svdvals: lambda x: np.linalg.svd(x, compute_uv=False),
        linalg.vector_norm: np.linalg.norm,
    }
    for op, function in ops.items():
        got = value(op, x)
        assert got.dtype == dtype
        close(got.astype(np.float64), function(exact), near)
    for op in (linalg.qr, linalg.svd, linalg.eigh, linalg.slogdet):
        assert all(y.dtype == dtype for y in values(op, x))
    assert value(linalg.solve, x, x[0]).dtype == dtype
    graph = gradient(recorded(linalg.inv, [x]))
    (found,) = interpret(graph, [x, np.ones((2, 2), dtype)])
    assert found.dtype == dtype


def test_integers_become_floating_point():
    x = np.array([[2, 1], [1, 3]])
    assert value(linalg.inv, x).dtype == np.float32
    assert value(linalg.solve, x, np.array([1.0, 2.0])).dtype == np.float64
    assert value(linalg.det, x) == 5
    q, r = values(linalg.qr, x)
    close(q @ r, x, 1e-6)


def test_empty_matrices():
    x = np.zeros((2, 0, 0))
    assert value(linalg.det, x).tolist() == [1, 1]
    assert [y.tolist() for y in values(linalg.slogdet, x)] == [[1, 1], [0, 0]]
    assert value(linalg.inv, x).shape == (2, 0, 0)
    assert value(linalg.pinv, np.zeros((0, 3))).shape == (3, 0)
    assert value(linalg.solve, x, np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert value(linalg.matrix_norm, np.zeros((0, 3))) == 0
    u, s, vh = values(linalg.svd, np.zeros((0, 3)))
    assert (u.shape, s.shape, vh.shape) == ((0, 0), (0,), (3, 3))


def test_results_with_names():
    for op, kind in linalg.RESULTS.items():
        assert op in linalg.LINALG_OPS
        found = kind(*values(op, definite(2, 2)))
        assert len(found) == len(several(found))
    assert linalg.QRResult._fields == ("Q", "R")
    assert linalg.SVDResult._fields == ("U", "S", "Vh")
    assert linalg.EighResult._fields == ("eigenvalues", "eigenvectors")
    assert linalg.SlogdetResult._fields == ("sign", "logabsdet")


def test_signatures_are_those_of_the_standard():
    standard = {
        "cholesky": "x, upper=False",
        "cross": "x1, x2, axis=-1",
        "det": "x",
        "diagonal": "x, offset=0",
        "eigh": "x",
        "eigvalsh": "x",
        "inv": "x",
        "matrix_norm": "x, keepdims=False, ord='fro'",
        "matrix_power": "x, n",
        "matrix_rank": "x, rtol=None",
        "pinv": "x, rtol=None",
        "qr": "x, mode='reduced'",
        "slogdet": "x",
        "solve": "x1, x2",
        "svd": "x, full_matrices=True",
        "svdvals": "x",
        "trace": "x, offset=0, dtype=None",
        "vector_norm": "x, axis=None, keepdims=False, ord=2",
    }
    ours = {}
    for op in linalg.LINALG_OPS:
        if op is linalg.matrix_exp:
            continue  # the standard has none
        parts = []
        for p in inspect.signature(op).parameters.values():
            bare = p.default is p.empty
            parts.append(p.name if bare else f"{p.name}={p.default!r}")
            assert (p.kind is p.KEYWORD_ONLY) != bare
        ours[op.__name__] = ", ".join(parts)
    extra = ours.pop("solve_triangular")
    assert extra == "a, b, upper=False, transpose=False, unit_diagonal=False"
    assert ours == standard


# Errors


NOT_SQUARE = "square matrices are needed. Got: (2, 3). Expected: (..., n, n)."
NO_MATRIX = "matrices are needed. Got: (3,). Expected: (..., m, n)."
SINGULAR = np.ones((2, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        *[
            (lambda op=op: value(op, draw(2, 3)), errors.ShapeError,
             f"[{op.__name__}] {NOT_SQUARE}")
            for op in (linalg.cholesky, linalg.eigvalsh, linalg.inv, linalg.det)
        ],
        *[
            (lambda op=op: values(op, draw(3)), errors.ShapeError,
             f"[{op.__name__}] {NO_MATRIX}")
            for op in (linalg.qr, linalg.svd, linalg.svdvals, linalg.pinv,
                       linalg.matrix_rank, linalg.matrix_norm)
        ],
        (
            lambda: value(linalg.matrix_power, draw(2, 3), n=2), errors.ShapeError,
            f"[matrix_power] {NOT_SQUARE}",
        ),
        (
            lambda: value(linalg.matrix_power, draw(2, 2), n=1.5),
            errors.ArgumentTypeError,
            "[matrix_power] n must be an integer. Got: 1.5.",
        ),
        (
            lambda: value(linalg.cholesky, -np.eye(2)), errors.LinearAlgebraError,
            "[cholesky] the matrix is not positive definite. "
            "Got: the matrix of shape (2, 2).",
        ),
        (
            lambda: value(linalg.solve, np.stack([np.eye(2), SINGULAR]), draw(2)),
            errors.LinearAlgebraError,
            "[solve] the matrix is singular. Got: the matrix at (1,) of shape (2, 2).",
        ),
        (
            lambda: value(linalg.inv, SINGULAR), errors.LinearAlgebraError,
            "[solve] the matrix is singular. Got: the matrix of shape (2, 2).",
        ),
        (
            lambda: value(linalg.solve_triangular, np.diag([1.0, 0.0]), draw(2)),
            errors.LinearAlgebraError,
            "[triangular_solve] the matrix is singular. "
            "Got: the matrix of shape (2, 2).",
        ),
        (
            lambda: value(linalg.solve, draw(2, 2), draw(3)), errors.ShapeError,
            "[solve] the sizes of the matrix and the right-hand side differ. "
            "Got: (2, 2) and (3,). Expected: (..., n, n) and (n,) or (..., n, k).",
        ),
        (
            lambda: value(linalg.solve, draw(2, 2, 2), draw(3, 2, 2)),
            errors.ShapeError,
            "[solve] shapes do not broadcast. Got: (2,) and (3,), which clash on axis "
            "-1: 2 against 3. Expected: equal sizes on each axis, counted from the "
            "last, or 1. Fix: reshape one operand, or insert an axis of size 1 with "
            "expand_dims.",
        ),
        (
            lambda: values(linalg.qr, draw(2, 2), mode="raw"), errors.ArgumentError,
            "[qr] there is no mode of that name. Got: 'raw'. "
            'Expected: "reduced" or "complete".',
        ),
        (
            lambda: value(linalg.matrix_norm, draw(2, 2), ord=3), errors.ArgumentError,
            "[matrix_norm] there is no such norm. Got: ord=3. "
            'Expected: "fro", "nuc", 1, -1, 2, -2, inf or -inf.',
        ),
        (
            lambda: value(linalg.cross, draw(2), draw(2)), errors.ShapeError,
            "[cross] there must be 3 elements along the axis. "
            "Got: (2,) and (2,) on axis -1.",
        ),
        (
            lambda: value(linalg.cross, draw(2, 3), draw(3), axis=0), errors.AxisError,
            "[cross] count the axis from the last where the numbers of axes differ. "
            "Got: axis=0 for shapes (2, 3) and (3,).",
        ),
        (
            lambda: value(linalg.det, np.eye(2, dtype=bool)), errors.DTypeError,
            "[det] the element type is not accepted. Got: bool. "
            "Expected: float or signed or unsigned.",
        ),
        (
            lambda: values(linalg.svd, np.full((2, 2), nan)), errors.LinearAlgebraError,
            "[svd] the matrix has elements that are not finite. "
            "Got: the matrix of shape (2, 2).",
        ),
        (
            lambda: value(linalg.vector_norm, np.zeros(0), ord=inf), errors.ShapeError,
            "[max] there is no value over zero elements. Got: axes (0,) of shape (0,).",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message


@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize(
    "op", [op for op in linalg.LINALG_OPS if len(inspect.signature(op).parameters) < 4]
)
def test_values_that_are_not_finite_end_in_a_value_or_our_error(op, bad):
    x = np.array([[1.0, bad, 2], [bad, 1, 0], [2, 0, 1]])
    operands = [x, x[0]] if "x2" in inspect.signature(op).parameters else [x]
    settings = {"n": -2} if op is linalg.matrix_power else {}
    finite = {"eigh", "eigvalsh", "pinv", "matrix_rank", "svd", "svdvals"}
    if op.__name__ in finite:
        with pytest.raises(errors.LinearAlgebraError, match="not finite"):
            values(op, *operands, **settings)
    else:
        with contextlib.suppress(errors.LinearAlgebraError):
            values(op, *operands, **settings)


def test_the_gradient_of_a_determinant_that_is_not_finite():
    x = np.stack([np.full((2, 2), nan), np.diag([inf, 1]), np.eye(2)])
    (found,) = interpret(gradient(recorded(linalg.det, [x])), [x, np.ones(3)])
    assert np.isnan(found[:2]).all()
    close(found[2], np.eye(2))


def test_a_gaussian_likelihood():
    """What the ops are for: log det and quadratic form through one factor."""

    def likelihood(covariance, y):
        factor = linalg.cholesky(covariance)
        scaled = linalg.solve_triangular(factor, y)
        half_log_det = reduce.sum(elementwise.log(linalg.index.diagonal(factor)))
        total = elementwise.add(reduce.sum(elementwise.square(scaled)), half_log_det)
        return movement.reshape(total, ())

    covariance, y = definite(3, 3), draw(3)
    right = y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1] / 2
    close(value(likelihood, covariance, y), right)
    check_derivatives(likelihood, [covariance, y])


@pytest.mark.parametrize("size", [1e-3, 0.4, 3.0, 40.0])
def test_exponentials_of_matrices(size):
    x = draw(2, 5, 5)
    x = x / np.linalg.norm(x, 1, axis=(-2, -1), keepdims=True) * size
    expected = np.stack([scipy.linalg.expm(one) for one in x])
    found = value(linalg.matrix_exp, x)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13 * expected.max())


def test_the_exponential_of_a_huge_matrix_is_not_known():
    assert np.isnan(value(linalg.matrix_exp, np.full((2, 2), 1e6))).all()
    assert np.isfinite(value(linalg.matrix_exp, np.zeros((0, 0)))).all()
