"""Distances between rows, against NumPy and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plait import errors
from plait.ir.evaluate import interpret
from plait.ops.distances import cdist, pdist

from .op_checks import check_derivatives, gradient, like_torch, recorded, value
from .torch_table import torch

RNG = np.random.default_rng(0)
ORDERS = [0, 0.5, 1, 2, 3, math.inf]


def draw(*shape):
    return RNG.normal(size=shape)


def norm(x, p):
    if p == 0:
        return (x != 0).sum(-1).astype(float)
    if p == math.inf:
        return np.abs(x).max(-1)
    return (np.abs(x) ** p).sum(-1) ** (1 / p)


@pytest.mark.parametrize("p", ORDERS)
def test_distances(p):
    x, y = draw(2, 3, 4), draw(1, 5, 4)
    x[0, 0] = y[0, 0]
    found = value(cdist, x, y, p=p)
    np.testing.assert_allclose(found, norm(x[:, :, None] - y[:, None], p), rtol=1e-12)
    x = draw(5, 3)
    i, j = np.triu_indices(5, 1)
    np.testing.assert_allclose(value(pdist, x, p=p), norm(x[i] - x[j], p), rtol=1e-12)
    if p:
        y = draw(2, 3)
        check_derivatives(lambda x: pdist(x, p), [draw(3, 2)], second=p < math.inf)
        check_derivatives(lambda x, y: cdist(x, y, p), [x, y], second=p < math.inf)
    if p and torch is not None:
        like_torch(cdist, lambda x, y: torch.cdist(x, y, p), [x, y], p=p)
        like_torch(pdist, lambda x: torch.nn.functional.pdist(x, p), [x], p=p)


def test_near_and_equal_rows_far_from_zero():
    x = 1e4 + np.float32(draw(6, 3))
    y = np.concatenate([x[:2], x[2:] + np.float32(1e-2)])
    exact = norm(x.astype(float)[:, None] - y, 2)
    np.testing.assert_allclose(value(cdist, x, y), exact, rtol=1e-6)
    assert value(cdist, x, y)[0, 0] == 0
    graph = gradient(recorded(cdist, [x, y]))
    ones = np.ones((6, 6), np.float32)
    found = interpret(graph, [x, y, ones])
    differences = x.astype(float)[:, None] - y
    unit = differences / np.where(exact == 0, 1, exact)[..., None]
    np.testing.assert_allclose(found[0], unit.sum(1), atol=1e-2)
    np.testing.assert_allclose(found[1], -unit.sum(0), atol=1e-2)


def test_edges():
    assert value(cdist, np.zeros((2, 0)), np.zeros((3, 0))).tolist() == [[0] * 3] * 2
    assert value(pdist, np.zeros((1, 3))).shape == (0,)
    assert value(cdist, np.zeros((0, 3)), np.zeros((2, 3))).shape == (0, 2)
    assert value(pdist, np.arange(6).reshape(3, 2)).dtype == np.float32
    far = value(cdist, np.full((1, 2), 200, np.float16), np.zeros((1, 2), np.float16))
    assert far.dtype == np.float16
    assert far.tolist() == [[282.75]]


@pytest.mark.parametrize(
    ("op", "arrays", "p", "kind", "message"),
    [
        (cdist, (draw(2, 3), draw(2, 4)), 2, errors.ShapeError,
         "[cdist] rows of equal length are needed. Got: (2, 3) and (2, 4). Expected: "
         "(..., n, features) and (..., m, features)."),
        (cdist, (draw(2, 3), draw(2, 3)), -1, errors.ArgumentError,
         "[cdist] p must be at least 0. Got: p=-1."),
        (pdist, (draw(2),), 2, errors.ShapeError,
         "[pdist] rows are needed. Got: (2,). Expected: (n, features)."),
    ],
)  # fmt: skip
def test_wrong_arguments(op, arrays, p, kind, message):
    with pytest.raises(kind) as error:
        value(op, *arrays, p=p)
    assert error.value.message == message
