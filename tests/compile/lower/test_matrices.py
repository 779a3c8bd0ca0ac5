"""Small matrices: systems, determinants and factors, as LAPACK gives them."""

from dataclasses import replace

import numpy as np
import pytest

import plait
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import as_dtype, float64
from plait.errors import LinearAlgebraError
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, TensorType
from plait.ops import factor, system
from plait.program import WrongIndex
from plait.runtime import Runner
from plait.settings import settings

from ..both import compiled, host_calls

# Sizes at the edges of vectors, and the largest one.
_SIZES = [1, 2, 3, 7, 8, 9, 17, 33, 64]


def _close(primitive, arrays, **attributes):
    """Check that kernels alone compute what LAPACK does, up to rounding."""
    inputs = [make_input(x.shape, as_dtype(x.dtype)) for x in arrays]
    node = apply(primitive, *inputs, **attributes)
    several = not isinstance(node.type, TensorType)
    graph = Graph(inputs, picks(node) if several else (node,))
    program = compiled(graph)
    assert not host_calls(program)
    expected = interpret(graph, arrays)
    found = Runner(program).run(tuple(arrays))
    tolerance = 1e-9 if arrays[0].dtype == np.float64 else 1e-3
    for x, y in zip(expected, found, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        scale = np.abs(x).max(initial=1e-30)
        np.testing.assert_allclose(y / scale, x / scale, rtol=0, atol=tolerance)


def _matrices(seed, *shape, dtype=np.float64):
    """Return matrices that are far from singular, but need rows to be exchanged."""
    rng = np.random.default_rng(seed)
    n = shape[-1]
    x = rng.normal(size=shape) * 0.2 / np.sqrt(n) + np.eye(n)
    return x[..., rng.permutation(n), :].astype(dtype)


@pytest.mark.parametrize("n", _SIZES)
def test_systems_and_determinants(n):
    rng = np.random.default_rng(n)
    for lead, k, dtype in (((), 1, np.float64), ((3,), 9, np.float32)):
        a = _matrices(n, *lead, n, n, dtype=dtype)
        b = rng.normal(size=(*lead, n, k)).astype(dtype)
        _close(system.SOLVE, [a, b])
        _close(system.DET, [a])
        _close(system.SLOGDET, [a])


@pytest.mark.parametrize("n", _SIZES)
def test_triangles(n):
    rng = np.random.default_rng(n)
    for lead, k, dtype in (((), 1, np.float64), ((2,), 70, np.float32)):
        x = rng.normal(size=(*lead, n, n)) / n + np.eye(n)
        b = rng.normal(size=(*lead, n, k)).astype(dtype)
        for lower in (False, True):
            for transpose in (False, True):
                _close(
                    system.TRIANGULAR_SOLVE, [x.astype(dtype), b],
                    lower=lower, transpose=transpose, unit_diagonal=k == 1,
                )  # fmt: skip
        positive = x @ np.swapaxes(x, -1, -2) + np.eye(n)
        _close(factor.CHOLESKY, [positive.astype(dtype)], upper=False)
        _close(factor.CHOLESKY, [positive.astype(dtype)], upper=True)


def test_determinants_of_singular_matrices():
    x = np.array([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]])
    node = make_input(x.shape, as_dtype(x.dtype))
    results = (*picks(apply(system.SLOGDET, node)), apply(system.DET, node))
    found = Runner(compile_graph(Graph((node,), results), host())).run((x,))
    np.testing.assert_array_equal(found, [[0, -1], [-np.inf, 0], [0, -1]])


@pytest.mark.parametrize(
    ("primitive", "a", "attributes"),
    [
        (system.SOLVE, [[1.0, 2.0], [2.0, 4.0]], {}),
        (system.TRIANGULAR_SOLVE, [[1.0, 0.0], [1.0, 0.0]], {
            "lower": True, "transpose": False, "unit_diagonal": False
        }),
        (factor.CHOLESKY, [[1.0, 2.0], [2.0, 1.0]], {"upper": False}),
    ],
)  # fmt: skip
def test_matrices_that_are_refused(primitive, a, attributes):
    arrays = [np.stack([np.eye(2), np.array(a)])]
    if primitive is not factor.CHOLESKY:
        arrays.append(np.ones((2, 2, 1)))
    inputs = [make_input(x.shape, as_dtype(x.dtype)) for x in arrays]
    graph = Graph(inputs, (apply(primitive, *inputs, **attributes),))
    with pytest.raises(WrongIndex):
        Runner(compile_graph(graph, host())).run(tuple(arrays))
    with pytest.raises(LinearAlgebraError):
        interpret(graph, arrays)


def _orthogonal(vectors):
    """Check that columns are orthonormal."""
    eps = np.finfo(vectors.dtype).eps
    product = np.swapaxes(vectors, -1, -2) @ vectors
    n = vectors.shape[-1]
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(n), product.shape),
                               rtol=0, atol=(8 + 4 * n) * eps)  # fmt: skip


def _parts(primitive, x, target=None, **attributes):
    """Return what kernels alone compute of one array."""
    node = make_input(x.shape, as_dtype(x.dtype))
    graph = Graph((node,), picks(apply(primitive, node, **attributes)))
    program = compile_graph(graph, target or host())
    assert not host_calls(program)
    return Runner(program).run((x,))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (1, 5), (5, 1), (3, 8, 3), (2, 3, 9), (17, 17), (24, 9)]
)
def test_factors(shape, dtype):
    rng = np.random.default_rng(len(shape))
    x = rng.normal(size=shape).astype(dtype)
    for full in (False, True):
        _close(factor.QR, [x], mode="complete" if full else "reduced")
        u, s, vh = _parts(factor.SVD, x, full_matrices=full)
        _orthogonal(u)
        _orthogonal(np.swapaxes(vh, -1, -2))
        k = s.shape[-1]
        np.testing.assert_allclose(
            (u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, rtol=0,
            atol=60 * np.finfo(dtype).eps * np.abs(x).max(),
        )  # fmt: skip
    _close(factor.SVD, [x], full_matrices=False)
    square = x @ np.swapaxes(x, -1, -2) if shape[-1] > shape[-2] else np.swapaxes(
        x, -1, -2) @ x  # fmt: skip
    _close(factor.EIGH, [square])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "x",
    [
        np.zeros((3, 2)), np.ones((3, 3)), np.eye(4), np.diag([1.0, -2.0, 0.0]),
        np.array([[1.0, 2.0], [2.0, 4.0]]), np.diag([1e30, 1e30]),
        np.diag([1e-37, 3e-37]), np.diag([1.0, 1e-30, 0.0]), -np.ones((4, 4)),
    ],
)  # fmt: skip
def test_singular_values_where_vectors_are_not_given_by_the_matrix(x, dtype):
    x = x.astype(dtype)
    for given in (x, x.T):
        u, s, vh = _parts(factor.SVD, np.ascontiguousarray(given), full_matrices=True)
        _orthogonal(u)
        _orthogonal(vh.T)
        k, bound = len(s), 8 * np.finfo(dtype).eps * np.abs(x).max()
        np.testing.assert_allclose((u[:, :k] * s) @ vh[:k], given, rtol=0, atol=bound)
    if x.shape[0] == x.shape[1]:
        w, v = _parts(factor.EIGH, x)
        _orthogonal(v)
        np.testing.assert_allclose((v * w) @ v.T, x, rtol=0, atol=4 * bound)


def test_eigenvalues_are_those_of_the_matrix_to_the_last_bits():
    w, v = _parts(factor.EIGH, np.diag([3.0, -1.0, 2.0, 1e-9]))
    np.testing.assert_array_equal(w, [-1, 1e-9, 2, 3])
    np.testing.assert_array_equal(v, np.eye(4)[:, [1, 3, 2, 0]])


@pytest.mark.parametrize("primitive", [factor.SVD, factor.EIGH])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_factors_refuse_what_is_not_finite(primitive, value):
    attributes = {"full_matrices": False} if primitive is factor.SVD else {}
    x = np.stack([np.eye(3), np.diag([1.0, value, 2.0])])
    with pytest.raises(WrongIndex):
        _parts(primitive, x, **attributes)


@pytest.mark.parametrize(
    ("primitive", "attributes"),
    [(factor.SVD, {"full_matrices": True}), (factor.QR, {"mode": "complete"})],
)
@pytest.mark.parametrize("shape", [(2, 0, 3), (3, 0)])
def test_factors_of_matrices_without_elements(primitive, attributes, shape):
    x = np.zeros(shape)
    expected = primitive.reference(x, **attributes)
    for found, wanted in zip(_parts(primitive, x, **attributes), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_large_matrices_are_left_to_lapack_unless_the_program_runs_alone():
    x = make_input((80, 80), float64)
    several = [apply(factor.QR, x, mode="reduced"), apply(factor.EIGH, x)]
    nodes = [part for node in several for part in picks(node)]
    nodes.append(apply(factor.CHOLESKY, x, upper=False))
    graph = Graph((x,), nodes)
    assert len(host_calls(compile_graph(graph, host()))) == 3
    alone = compile_graph(graph, replace(host(), alone=True))
    assert not host_calls(alone)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(80, 80))
    value = root @ root.T / 80 + np.eye(80)
    expected = interpret(graph, [value])
    for found, wanted in zip(Runner(alone).run((value,)), expected, strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=1e-10)


def test_the_error_of_a_compiled_program_names_the_matrix(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")
    x = plait.tensor(np.stack([np.eye(2), np.ones((2, 2))]))
    with pytest.raises(LinearAlgebraError, match=r"the matrix at \(1,\)"):
        plait.linalg.inv(x).numpy()
