"""Whole programs for a processor with tiles, which are in software here."""

import numpy as np
import pytest

import plait
from plait.compile import pipeline
from plait.compile.llvm.emit import emit
from plait.compile.loops.parse import from_text
from plait.compile.loops.verify import verify
from plait.dtypes import as_dtype
from plait.ir.evaluate import interpret
from plait.transform.simplify import simplify

from . import both
from .nets import mlp
from .tile_model import modelled, tile_target


@pytest.fixture(autouse=True)
def software(monkeypatch):
    monkeypatch.setattr(pipeline, "emit", lambda *x: modelled(emit(*x)))


def compiled(graph, precision="highest"):
    program = pipeline.compile_graph(graph, tile_target(), precision)
    texts = [code.stages["basic"]() for code in program.kernels]
    for text in texts:
        verify(from_text(text))
    return program, sum("tile" in text.split("chunks")[1] for text in texts)


def check(graph, arrays, least, precision="highest"):
    """Check a program with at least so many kernels on tiles."""
    expected = interpret(graph, [np.array(x) for x in arrays])
    program, count = compiled(graph, precision)
    assert count >= least
    # The model is not made for several threads.
    found = both.run(program, arrays, 1)
    both.agree(graph, arrays, expected, found)


def test_step_of_a_net():
    """Products of all layouts: the layers, and the gradients of weights and inputs."""
    graph, arrays = mlp(2, 160, 150)
    check(graph, arrays, 4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_products_and_what_follows_them(dtype):
    def function(x, y, b):
        return plait.relu(x @ y + b), x[:, :1] @ y[:1], plait.matrix_transpose(x) @ x

    kind = as_dtype(dtype)
    arrays = [np.random.default_rng(0).standard_normal(s).astype(kind.numpy)
              for s in ((130, 128), (128, 144), (144,))]  # fmt: skip
    graph = plait.jit(function).trace(*map(plait.asarray, arrays)).graph
    check(simplify(graph), arrays, 2)


def test_convolutions_without_windows():
    def function(x, w):
        return plait.convolution(x, w)

    arrays = [np.random.default_rng(0).standard_normal(s).astype(np.float32)
              for s in ((2, 128, 12, 12), (160, 128, 1, 1))]  # fmt: skip
    graph = plait.jit(function).trace(*map(plait.asarray, arrays)).graph
    check(simplify(graph), arrays, 1)


def test_precisions_are_other_programs():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((160, 160)).astype(np.float32) for _ in range(2))
    traced = plait.jit(lambda x, y: x @ y).trace(plait.asarray(x), plait.asarray(y))
    errors = []
    for precision in ("highest", "high", "fast"):
        program, count = compiled(simplify(traced.graph), precision)
        assert count
        (found,) = both.run(program, [x, y], 1)
        errors.append(abs(found - x.astype(np.float64) @ y).max())
    assert errors[0] < errors[1] / 5 < errors[2] / 50
