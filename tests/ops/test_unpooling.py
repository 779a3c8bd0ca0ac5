"""Pooling by powers and at random places, and pooling undone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plait import errors
from plait.dtypes import float64, int64
from plait.ir.evaluate import interpret
from plait.ops import unpooling
from plait.ops.pooling import max_pool_with_indices
from plait.ops.source import constant

from .op_checks import (
    check_derivatives,
    gradient,
    like_torch,
    recorded,
    value,
    values,
)
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize(
    "settings", [{}, {"stride": (2, 1)}, {"stride": 2, "ceil_mode": True}]
)
@needs_torch
def test_lp_pool_against_torch(p, settings):
    like_torch(
        unpooling.lp_pool, lambda t: F.lp_pool2d(t, p, (3, 2), **settings),
        [np.abs(draw(2, 3, 7, 8))], p=p, window=(3, 2), **settings,
    )  # fmt: skip


def test_lp_pool():
    x = np.array([[3.0, 4.0, 0.0, 0.0, 1.0]])
    assert value(unpooling.lp_pool, x, p=2, window=2).tolist() == [[5, 0]]
    assert value(unpooling.lp_pool, -x, p=2, window=2).tolist() == [[5, 0]]
    assert value(unpooling.lp_pool, -x, p=1, window=2).tolist() == [[-7, 0]]
    found = value(unpooling.lp_pool, x, p=1, window=2, ceil_mode=True)
    assert found.tolist() == [[7, 0, 2]]  # one element, scaled up to two
    assert np.isnan(value(unpooling.lp_pool, -x, p=3, window=2)[0, 0])
    check_derivatives(unpooling.lp_pool, [np.abs(draw(2, 6)) + 0.1], p=3.5, window=2)
    half = value(unpooling.lp_pool, np.full(4, 200, np.float16), p=2, window=4)
    assert half.dtype == np.float16
    assert half.tolist() == [400]


def test_the_derivative_of_a_power_of_zeros_is_zero():
    graph = gradient(recorded(unpooling.lp_pool, [np.zeros((1, 4))], p=4.0, window=2))
    (found,) = interpret(graph, [np.zeros((1, 4)), np.ones((1, 2))])
    assert found.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 0, "window": 2}, "[lp_pool] the power must be positive and finite. "
         "Got: p=0."),
        ({"p": math.inf, "window": 2}, "[lp_pool] the power must be positive and "
         "finite. Got: p=inf."),
    ],
)  # fmt: skip
def test_wrong_powers(settings, message):
    with pytest.raises(errors.ArgumentError) as error:
        value(unpooling.lp_pool, draw(4), **settings)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("sizes", "window", "settings"),
    [
        ((8,), (2,), {}),
        ((7, 6), (2, 3), {}),
        ((7, 7), (3, 3), {"stride": 2, "padding": 1}),
        ((4, 5, 4), (2, 2, 3), {"padding": (1, 1, 0)}),
    ],
)
def test_max_unpool_puts_back_what_max_pool_found(sizes, window, settings):
    x = draw(2, 3, *sizes)
    found, places = values(max_pool_with_indices, x, window=window, **settings)
    back = value(
        unpooling.max_unpool, found, places, window=window, size=sizes, **settings
    )
    expected = np.where(np.isin(x, found), x, 0)
    np.testing.assert_array_equal(back, expected)


@needs_torch
def test_max_unpool_against_torch():
    _, places = values(max_pool_with_indices, draw(2, 3, 6, 7), window=(2, 2))
    x = draw(*places.shape)
    for size in ((6, 7), (7, 7)):
        like_torch(
            lambda x, size=size: unpooling.max_unpool(
                x, constant(places, int64), (2, 2), size=size
            ),
            lambda t, size=size: F.max_unpool2d(
                t, torch.tensor(places), 2, output_size=size
            ),
            [x],
        )


def test_the_usual_size_of_max_unpool_and_equal_places():
    x, places = np.array([[1.0, 2.0, 3.0]]), np.array([[0, 5, 5]])
    found = value(unpooling.max_unpool, x, places, window=2)
    assert found.tolist() == [[1, 0, 0, 0, 0, 3]]
    op = lambda x: unpooling.max_unpool(x, constant(places, int64), 2)  # noqa: E731
    check_derivatives(op, [x])


@pytest.mark.parametrize(
    ("arrays", "settings", "kind", "message"),
    [
        ((draw(1, 3), np.zeros((1, 2), int)), {}, errors.ShapeError,
         "[max_unpool] each element needs a place. Got: (1, 3) and indices (1, 2) for "
         "a window (2,)."),
        ((draw(1, 3), draw(1, 3)), {}, errors.DTypeError,
         "[max_unpool] places are integers. Got: float64."),
        ((draw(1, 3), np.zeros((1, 3), int)), {"size": 8}, errors.ShapeError,
         "[max_unpool] the result cannot have that size. Got: size (8,). Expected: "
         "less than a stride (2,) away from (6,)."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_max_unpool(arrays, settings, kind, message):
    with pytest.raises(kind) as error:
        value(unpooling.max_unpool, *arrays, window=2, **settings)
    assert error.value.message == message


@pytest.mark.parametrize("rank", [2, 3])
@needs_torch
def test_fractional_max_pool_against_torch(rank):
    x, samples = draw(2, 3, *(7, 9, 8)[:rank]), RNG.uniform(size=(2, 3, rank))
    window, size = (2, 3, 2)[:rank], (4, 5, 1)[:rank]
    theirs = getattr(F, f"fractional_max_pool{rank}d")
    given = {"_random_samples": torch.tensor(samples)}
    right = theirs(torch.tensor(x), window, size, return_indices=True, **given)
    found = values(
        unpooling.fractional_max_pool_with_indices, x, samples, window=window, size=size
    )
    for one, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    like_torch(
        lambda x: unpooling.fractional_max_pool(
            x, constant(samples, float64), window, size
        ),
        lambda t: theirs(t, window, size, **given), [x],
    )  # fmt: skip


def test_fractional_max_pool_against_loops():
    x, samples = draw(2, 3, 9), RNG.uniform(size=(2, 3, 1))
    found, places = values(
        unpooling.fractional_max_pool_with_indices, x, samples, window=3, size=4
    )
    for b, c in np.ndindex(2, 3):
        u, step = samples[b, c, 0], (9 - 3) / 3
        starts = [int((i + u) * step) - int(u * step) for i in range(3)] + [6]
        for i, start in enumerate(starts):
            place = start + np.argmax(x[b, c, start : start + 3])
            assert places[b, c, i] == place
            assert found[b, c, i] == x[b, c, place]


@pytest.mark.parametrize(
    ("shape", "samples", "message"),
    [
        ((1, 2, 9), (1, 2, 2), "[fractional_max_pool] one random number is needed for "
         "each channel and spatial axis. Got: samples (1, 2, 2) for an input of shape "
         "(1, 2, 9). Expected: (n, channels, *spatial) and (n, channels, spatial "
         "axes)."),
        ((1, 2, 5), (1, 2, 1), "[fractional_max_pool] the input is too small for so "
         "many windows. Got: shape (1, 2, 5) for a window (3,) and a result of (4,). "
         "Expected: at least size + window - 1 on each axis."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_fractional_max_pool(shape, samples, message):
    with pytest.raises(errors.ShapeError) as error:
        value(
            unpooling.fractional_max_pool, draw(*shape), np.zeros(samples), window=3,
            size=4,
        )  # fmt: skip
    assert error.value.message == message
