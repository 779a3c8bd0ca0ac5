"""Moments, counts, integrals, running sums and segments, against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.dtypes import int64
from plait.ops import statistics
from plait.ops.gather import gather
from plait.ops.source import constant

from .op_checks import check_derivatives, value, values
from .torch_compare import agree
from .torch_table import torch

RNG = np.random.default_rng(6)


def draw(*shape):
    return RNG.normal(size=shape)


def test_moments():
    x = draw(3, 4, 5)
    mean, variance = values(statistics.moments, x, axis=(0, 2), correction=1)
    np.testing.assert_allclose(mean, x.mean((0, 2)))
    np.testing.assert_allclose(variance, x.var((0, 2), ddof=1))


def test_average():
    x, rows, all_ = draw(3, 4), abs(draw(3)), abs(draw(3, 4))
    np.testing.assert_allclose(value(statistics.average, x), x.mean())
    found = value(statistics.average, x, rows, axis=0, keepdims=True)
    np.testing.assert_allclose(found, np.average(x, 0, rows, keepdims=True))
    found = value(statistics.average, x, all_)
    np.testing.assert_allclose(found, np.average(x, weights=all_))
    check_derivatives(lambda x, w: statistics.average(x, w, 0), [x, rows])


def test_covariances():
    x = draw(3, 10)
    np.testing.assert_allclose(value(statistics.cov, x), np.cov(x))
    np.testing.assert_allclose(value(statistics.cov, x[0]), np.cov(x[0]))
    found = value(statistics.cov, x, correction=0)
    np.testing.assert_allclose(found, np.cov(x, ddof=0))
    np.testing.assert_allclose(value(statistics.corrcoef, x), np.corrcoef(x))
    assert value(statistics.corrcoef, x[0]) == 1
    check_derivatives(statistics.cov, [x])
    if torch is not None:
        agree(statistics.cov, torch.cov, x)
        agree(statistics.corrcoef, torch.corrcoef, x)


def test_bincount():
    x, weights = RNG.integers(0, 6, (4, 5)), draw(4, 5)
    found = value(statistics.bincount, x, length=8)
    np.testing.assert_array_equal(found, np.bincount(x.ravel(), minlength=8))
    assert found.dtype == np.int64
    found = value(statistics.bincount, x.astype(np.uint8), weights, length=6)
    right = np.bincount(x.ravel(), weights.ravel(), 6)
    np.testing.assert_allclose(found, right)
    numbers = constant(x, int64)
    check_derivatives(
        lambda w: statistics.bincount(numbers, w, length=6), [weights], second=False
    )


@pytest.mark.parametrize("limits", [None, (-1.0, 1.5), (0.0, 0.0)])
def test_histogram(limits):
    x = draw(3, 50)
    x[0, :3] = -1, 1.5, 0
    counts, edges = values(statistics.histogram, x, bins=7, range=limits)
    right, ends = np.histogram(x, 7, limits)
    np.testing.assert_array_equal(counts, right)
    np.testing.assert_allclose(edges, ends, atol=1e-12)
    weights = draw(3, 50)
    counts, _ = values(
        lambda x, w: statistics.histogram(x, 7, limits, w), x, weights
    )  # fmt: skip
    right, _ = np.histogram(x, 7, limits, weights=weights)
    np.testing.assert_allclose(counts, right, atol=1e-12)


def test_histogram_of_equal_and_missing_numbers():
    counts, edges = values(statistics.histogram, np.full(4, 2.0), bins=2)
    assert counts.tolist() == [0, 4]
    assert edges.tolist() == [1.5, 2, 2.5]
    x = np.array([0.1, np.nan, 0.9, np.inf])
    counts, _ = values(statistics.histogram, x, bins=2, range=(0, 1))
    assert counts.tolist() == [1, 1]


def test_trapezoid():
    y, x, wide = draw(3, 5), np.sort(draw(5)), np.sort(draw(3, 5))
    np.testing.assert_allclose(value(statistics.trapezoid, y), np.trapezoid(y))
    found = value(statistics.trapezoid, y, dx=0.3, axis=0)
    np.testing.assert_allclose(found, np.trapezoid(y, dx=0.3, axis=0))
    for points in (x, wide):
        found = value(statistics.trapezoid, y, points)
        np.testing.assert_allclose(found, np.trapezoid(y, points))
        check_derivatives(statistics.trapezoid, [y, points])
    found = value(statistics.trapezoid, y, x[:3], axis=0)
    np.testing.assert_allclose(found, np.trapezoid(y, x[:3], axis=0))
    assert value(statistics.trapezoid, np.zeros((2, 0))).tolist() == [0, 0]


def test_interp():
    xp, fp = np.sort(draw(6)), draw(6)
    xp[3] = xp[2]
    x = np.concatenate([draw(20) * 2, xp[:2], xp[4:]]).reshape(2, 12)
    found = value(statistics.interp, x, xp, fp)
    np.testing.assert_allclose(found, np.interp(x, xp, fp))
    found = value(statistics.interp, x, xp[:1], fp[:1])
    np.testing.assert_allclose(found, np.full((2, 12), fp[0]))
    assert value(statistics.interp, xp[0], xp, fp).shape == ()
    inside = np.array([0.1, 1.4, 2.2])
    check_derivatives(statistics.interp, [inside, np.arange(4.0), draw(4)])


def test_running():
    x = draw(3, 9)
    for axis in (0, -1):
        found = value(statistics.cumulative_min, x, axis=axis)
        np.testing.assert_array_equal(found, np.minimum.accumulate(x, axis))
        found = value(statistics.logcumsumexp, x, axis=axis)
        np.testing.assert_allclose(found, np.log(np.exp(x).cumsum(axis)))
    edge = np.array([3, -128, 127, 0], np.int8)
    assert value(statistics.cumulative_min, edge, axis=0).tolist() == [3, *[-128] * 3]
    far = np.array([-900.0, -1000.0, 0, 1000, -5, 999])
    right = np.logaddexp.accumulate(far)
    np.testing.assert_allclose(value(statistics.logcumsumexp, far, axis=0), right)
    low = value(statistics.logcumsumexp, np.array([-np.inf, -np.inf, 1.0]), axis=0)
    assert low.tolist() == [-np.inf, -np.inf, 1]
    assert value(statistics.logcumsumexp, np.zeros((2, 0)), axis=1).shape == (2, 0)
    check_derivatives(lambda x: statistics.logcumsumexp(x, axis=1), [x])
    check_derivatives(lambda x: statistics.cumulative_min(x, axis=1), [x])
    if torch is not None:
        agree(
            lambda x: statistics.logcumsumexp(x, axis=1),
            lambda x: torch.logcumsumexp(x, 1),
            x,
        )


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean"])
@pytest.mark.parametrize("lead", [(7,), (2, 4)])
def test_segments(name, lead):
    op = getattr(statistics, f"segment_{name}")
    x, ids = draw(*lead, 3), RNG.integers(0, 5, lead)
    ids[ids == 3] = 4
    start = {"sum": 0, "prod": 1, "max": -np.inf, "min": np.inf, "mean": 0}[name]
    expected = np.array(
        [
            getattr(x[ids == i], name)(0) if (ids == i).any() else [start] * 3
            for i in range(6)
        ]
    )
    found = value(op, x, ids, num_segments=6)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    where = constant(ids, int64)
    rows = [row for row in range(6) if name in ("sum", "prod", "mean") or row in ids]

    def used(x):
        full = op(x, where, 6)
        return gather(full, constant(np.array(rows), int64), 0)

    check_derivatives(used, [x], second=name != "prod")


def test_segments_of_integers():
    x, ids = np.array([5, -7, 2], np.int8), np.array([0, 0, 2])
    found = value(statistics.segment_max, x, ids, num_segments=3)
    assert found.tolist() == [5, -128, 2]
    found = value(statistics.segment_min, x, ids, num_segments=3)
    assert found.tolist() == [-7, 127, 2]
    flags = np.array([True, False, True])
    found = value(statistics.segment_max, flags, ids, num_segments=3)
    assert found.tolist() == [True, False, True]
    assert value(statistics.segment_mean, x, ids, num_segments=2 + 1).tolist() == [
        -1,
        0,
        2,
    ]


def test_classes():
    x = np.array([[1, 3], [0, 9]])
    found = value(statistics.multi_hot, x, num_classes=4)
    assert found.tolist() == [[0, 1, 0, 1], [1, 0, 0, 0]]
    scores = np.array([[0.1, 0.9, 0.8], [0.5, 0.5, 0.1], [np.nan, 1, 2]])
    targets = np.array([2, 0, 0])
    for k, expected in ((1, [0, 1, 0]), (2, [1, 1, 0]), (3, [1, 1, 0])):
        found = value(statistics.in_top_k, targets, scores, k=k)
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (lambda: value(statistics.bincount, draw(3), length=4), errors.DTypeError,
         "[bincount] the element type is not accepted. Got: float64. Expected: signed "
         "or unsigned."),
        (lambda: value(statistics.bincount, np.array([1, 5]), length=4),
         errors.IndexingError,
         "[scatter] an index is out of range. Got: index 5 for axis 0 of size 4. "
         "Expected: 0 to 3."),
        (lambda: value(statistics.bincount, np.array([1]), draw(2), length=4),
         errors.ShapeError,
         "[bincount] a weight is needed for each number. Got: (2,) for (1,)."),
        (lambda: values(statistics.histogram, draw(3), bins=0), errors.ArgumentError,
         "[histogram] at least one bin and an ascending range are needed. "
         "Got: bins=0, range=None."),
        (lambda: value(statistics.interp, draw(3), draw(2), draw(3)), errors.ShapeError,
         "[interp] as many places as values are needed. Got: (2,) and (3,). "
         "Expected: (n,) and (n,)."),
        (lambda: value(statistics.cov, draw(2, 3, 4)), errors.ShapeError,
         "[cov] variables are needed. Got: (2, 3, 4). Expected: (variables, n)."),
        (lambda: value(
            statistics.segment_sum, draw(3), np.array([0, 1]), num_segments=2),
         errors.ShapeError,
         "[segment_sum] a segment is needed for each row. Got: (2,) for (3,)."),
        (lambda: value(statistics.in_top_k, np.array([0]), draw(2, 3), k=1),
         errors.ShapeError,
         "[in_top_k] a target is needed for each line of predictions. "
         "Got: (1,) and (2, 3)."),
    ],
)  # fmt: skip
def test_wrong_arguments(run, kind, message):
    with pytest.raises(kind) as error:
        run()
    assert error.value.message == message
