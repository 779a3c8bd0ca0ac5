"""Small matrices: systems, determinants and factors, as LAPACK gives them."""

import numpy as np
import pytest

import plait
from plait.compile.llvm.target import host
from plait.compile.pipeline import compile_graph
from plait.dtypes import as_dtype
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


def test_the_error_of_a_compiled_program_names_the_matrix(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")
    x = plait.tensor(np.stack([np.eye(2), np.ones((2, 2))]))
    with pytest.raises(LinearAlgebraError, match=r"the matrix at \(1,\)"):
        plait.linalg.inv(x).numpy()
