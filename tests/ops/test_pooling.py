"""Pooling, against PyTorch, loops and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plait import errors
from plait.dtypes import as_dtype
from plait.ops import pooling

from .op_checks import check_derivatives, like_torch, value, values
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return RNG.normal(size=shape).astype(dtype)


def of_rank(name, rank):
    return getattr(F, name.format(rank))


POOLS = [
    ((8,), 3, {}),
    ((8,), (3,), {"stride": 1, "padding": 1}),
    ((6, 7), (2, 3), {}),
    ((6, 7), (3, 3), {"stride": 2, "padding": 1}),
    ((6, 7), (3, 2), {"stride": (2, 3), "padding": (1, 0), "ceil_mode": True}),
    ((7, 7), (2, 2), {"stride": 3, "padding": 1, "ceil_mode": True}),
    ((5, 4), (3, 3), {"stride": 2, "ceil_mode": True}),
    ((4, 5, 4), (2, 2, 3), {"stride": 2, "padding": (1, 1, 0), "ceil_mode": True}),
    ((9, 9), (9, 9), {}),
    ((5, 2), (3, 3), {"ceil_mode": True}),
]


@pytest.mark.parametrize(("sizes", "shape", "settings"), POOLS)
@needs_torch
def test_max_pool_against_torch(sizes, shape, settings):
    theirs = of_rank("max_pool{}d", len(sizes))
    x = draw(2, 3, *sizes)
    for one in (x, x[0]):
        like_torch(
            pooling.max_pool, lambda t: theirs(t, shape, **settings), [one],
            window=shape, **settings,
        )  # fmt: skip


@needs_torch
def test_max_pool_with_dilation_against_torch():
    settings = {"stride": 2, "dilation": (2, 3), "padding": 1, "ceil_mode": True}
    like_torch(
        pooling.max_pool, lambda t: F.max_pool2d(t, (2, 3), **settings),
        [draw(2, 1, 7, 9)], window=(2, 3), **settings,
    )  # fmt: skip


@needs_torch
def test_max_pool_sends_the_gradient_to_the_first_maximum():
    x = RNG.integers(0, 2, (2, 3, 8, 8)).astype(float)
    for settings in ({}, {"stride": 1}, {"stride": 2, "padding": 1}):
        like_torch(
            pooling.max_pool, lambda t, s=settings: F.max_pool2d(t, (3, 3), **s), [x],
            window=(3, 3), **settings,
        )  # fmt: skip


@pytest.mark.parametrize(("sizes", "shape", "settings"), POOLS)
@pytest.mark.parametrize("count_include_pad", [True, False])
@needs_torch
def test_average_pool_against_torch(sizes, shape, settings, count_include_pad):
    theirs = of_rank("avg_pool{}d", len(sizes))
    settings = {**settings, "count_include_pad": count_include_pad}
    x = draw(2, 3, *sizes)
    for one in (x, x[0]):
        like_torch(
            pooling.average_pool, lambda t: theirs(t, shape, **settings), [one],
            window=shape, **settings,
        )  # fmt: skip


def test_pooling_edges():
    x = np.array([[1.0, np.nan, 3.0, -np.inf, -np.inf]])
    got = value(pooling.max_pool, x, window=2, stride=1)
    np.testing.assert_array_equal(got, [[np.nan, np.nan, 3, -np.inf]])
    ints = np.array([3, -5, -7, -2])
    got = value(pooling.max_pool, ints, window=2, padding=1)
    assert got.dtype == np.int64
    assert got.tolist() == [3, -5, -2]
    got = value(pooling.average_pool, ints, window=2)
    assert got.dtype == np.float32
    assert got.tolist() == [-1, -4.5]
    half = value(pooling.average_pool, np.full(4, 60000, np.float16), window=4)
    assert half.dtype == np.float16
    assert half.tolist() == [60000]
    none = value(pooling.max_pool, np.zeros((0, 4)), window=2)
    assert none.shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.uint8, np.int64])
@pytest.mark.parametrize(
    ("kind", "fold", "start"),
    [("sum", np.add, 0), ("prod", np.multiply, 1), ("max", np.maximum, None),
     ("min", np.minimum, None)],
)  # fmt: skip
def test_window_reduce_against_loops(kind, fold, start, dtype):
    x = RNG.integers(1, 4, (2, 5, 6)).astype(dtype)
    got = value(
        pooling.window_reduce, x, kind=kind, window=(2, 3), stride=(2, 1),
        padding=((1, 0), (0, 1)),
    )  # fmt: skip
    assert got.dtype == dtype
    assert got.shape == (2, 3, 5)
    for b, i, j in np.ndindex(*got.shape):
        rows = slice(max(2 * i - 1, 0), 2 * i + 1)
        part = x[b, rows, j : j + 3].ravel()
        assert got[b, i, j] == fold.reduce(part, dtype=dtype)


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
def test_derivatives_of_window_reduce(kind):
    x = RNG.permutation(24).reshape(1, 4, 6) * 0.1 + 0.5
    settings = {"kind": kind, "window": (2, 3), "stride": 1, "padding": (1, 0)}
    check_derivatives(pooling.window_reduce, [x], **settings)


@pytest.mark.parametrize(("sizes", "shape", "settings"), POOLS)
@needs_torch
def test_positions_of_the_greatest_against_torch(sizes, shape, settings):
    theirs = of_rank("max_pool{}d", len(sizes))
    x = RNG.integers(0, 3, (2, 3, *sizes)).astype(float)
    for one in (x, x[0], np.full_like(x, -np.inf)):
        _, found = values(pooling.max_pool_with_indices, one, window=shape, **settings)
        _, right = theirs(torch.tensor(one), shape, return_indices=True, **settings)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, right.numpy())


@needs_torch
def test_positions_with_dilation_against_torch():
    settings = {"stride": 2, "dilation": (2, 3), "padding": 1, "ceil_mode": True}
    like_torch(
        pooling.max_pool_with_indices,
        lambda t: F.max_pool2d(t, (2, 3), return_indices=True, **settings),
        [draw(2, 1, 7, 9)], window=(2, 3), **settings,
    )  # fmt: skip


@needs_torch
def test_average_pool_with_a_divisor_against_torch():
    settings = {"stride": 2, "padding": 1, "ceil_mode": True}
    like_torch(
        pooling.average_pool,
        lambda t: F.avg_pool2d(t, (3, 2), divisor_override=5, **settings),
        [draw(2, 3, 6, 7)], window=(3, 2), divisor=5, **settings,
    )  # fmt: skip


# Windows that adapt

ADAPTIVE = [
    ((7,), (3,)),
    ((6,), (3,)),
    ((5,), (8,)),
    ((6, 7), (1, 1)),
    ((6, 7), (3, 2)),
    ((6, 7), (None, 5)),
    ((13, 13), (6, 6)),
    ((4, 5, 3), (2, None, 2)),
]


@pytest.mark.parametrize(("sizes", "wanted"), ADAPTIVE)
@needs_torch
def test_adaptive_pools_against_torch(sizes, wanted):
    x = draw(2, 3, *sizes)
    ties = RNG.integers(0, 3, x.shape).astype(float)
    theirs = wanted if len(wanted) > 1 else wanted[0]
    mean = of_rank("adaptive_avg_pool{}d", len(sizes))
    greatest = of_rank("adaptive_max_pool{}d", len(sizes))
    for one in (x, x[0], x[:0]):
        like_torch(
            pooling.adaptive_average_pool, lambda t: mean(t, theirs), [one], size=wanted
        )
    for one in (x, ties, ties[0]):
        like_torch(
            pooling.adaptive_max_pool, lambda t: greatest(t, theirs), [one], size=wanted
        )
        like_torch(
            pooling.adaptive_max_pool_with_indices,
            lambda t: greatest(t, theirs, return_indices=True), [one], size=wanted,
        )  # fmt: skip


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_stays_in_its_windows(bad):
    x = np.array([1.0, 2.0, bad, 4.0, 5.0])
    found = value(pooling.adaptive_average_pool, x, size=3)
    np.testing.assert_array_equal(found, [1.5, bad, 4.5])
    found = value(pooling.adaptive_max_pool, x, size=3)
    np.testing.assert_array_equal(found, [2, bad, 5])


def test_adaptive_pools_of_other_numbers():
    found = value(pooling.adaptive_average_pool, np.array([1, 2, 4]), size=2)
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, 3]
    half = np.full(5, 60000, np.float16)
    found = value(pooling.adaptive_average_pool, half, size=2)
    assert found.dtype == np.float16
    assert found.tolist() == [60000, 60000]
    found = value(pooling.adaptive_max_pool, np.array([3, -5, -7], np.int8), size=2)
    assert found.dtype == np.int8
    assert found.tolist() == [3, -5]


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(pooling.max_pool, draw(1, 6), window=2, padding=2),
            errors.ArgumentError,
            "[max_pool] the padding must be at most half of the window. Got: padding "
            "((2, 2),) for a window (2,) with dilation (1,). Fix: pad first, with "
            "plait.pad.",
        ),
        (
            lambda: value(pooling.max_pool, draw(6), window=(2, 2)),
            errors.ShapeError,
            "[max_pool] the window has more axes than the tensor. "
            "Got: window (2, 2) over shape (6,).",
        ),
        (
            lambda: value(pooling.average_pool, draw(1, 3), window=4),
            errors.ShapeError,
            "[average_pool] the window is empty or larger than what it slides over. "
            "Got: window (4,) with dilation (1,) over sizes (3,), padding included. "
            "Expected: at least 1, and at most the size on each axis.",
        ),
        (
            lambda: value(pooling.window_reduce, draw(4), kind="mean", window=2),
            errors.ArgumentError,
            "[window_reduce] there is no reduction of that name. Got: 'mean'. "
            "Expected: sum, prod, max, min.",
        ),
        (
            lambda: value(pooling.max_pool, np.array([True, False]), window=2),
            errors.DTypeError,
            "[max_pool] the element type is not accepted. Got: bool. "
            "Expected: float or signed or unsigned.",
        ),
        (
            lambda: value(pooling.average_pool, draw(4), window=2, divisor=0),
            errors.ArgumentError,
            "[average_pool] the divisor is 0. Got: divisor=0.",
        ),
        (
            lambda: value(pooling.adaptive_max_pool, draw(4), size=(2, 2)),
            errors.ShapeError,
            "[adaptive_max_pool] more sizes are wanted than there are axes. "
            "Got: size (2, 2) over shape (4,).",
        ),
        (
            lambda: value(pooling.adaptive_average_pool, draw(2, 0), size=1),
            errors.ShapeError,
            "[adaptive_average_pool] there is nothing to reduce on an empty axis. "
            "Got: (2, 0).",
        ),
        (
            lambda: value(pooling.adaptive_average_pool, draw(2, 3), size=0),
            errors.ArgumentError,
            "[adaptive_average_pool] size does not fit. Got: size=0 for 1 spatial "
            "axes. Expected: an integer of at least 1, or one for each spatial axis.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message


def test_infinite_padding_is_never_chosen_for_its_value():
    assert math.isinf(pooling._lowest(as_dtype("float16")))
    assert pooling._lowest(as_dtype("int8")) == -128
    assert pooling._lowest(as_dtype("uint8")) == 0
    assert pooling._highest(as_dtype("uint8")) == 255
    assert pooling._highest(as_dtype("int64")) == (1 << 63) - 1
