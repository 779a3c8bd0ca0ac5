"""Interpolation and pixel shuffles, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.ops.interpolation import interpolate, pixel_shuffle, pixel_unshuffle

from .op_checks import like_torch, value
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return RNG.normal(size=shape).astype(dtype)


SIZES = {
    1: [(5, 5), (5, 10), (5, 7), (7, 3), (6, 3), (1, 4), (4, 1)],
    2: [((5, 4), (10, 8)), ((5, 4), (7, 9)), ((6, 7), (3, 2)), ((3, 3), (6, 1))],
    3: [((2, 3, 4), (4, 3, 5))],
}
MODES = [
    ("nearest", (1, 2, 3)), ("nearest-exact", (1, 2, 3)), ("linear", (1,)),
    ("bilinear", (2,)), ("bicubic", (2,)), ("trilinear", (3,)),
]  # fmt: skip
CASES = [
    (mode, n, m, align_corners)
    for mode, ranks in MODES
    for rank in ranks
    for n, m in SIZES[rank]
    for align_corners in ((False, True) if "nearest" not in mode else (False,))
]


@pytest.mark.parametrize(("mode", "n", "m", "align_corners"), CASES)
@needs_torch
def test_interpolation_against_torch(mode, n, m, align_corners):
    x = draw(2, 3, *np.atleast_1d(n))
    corners = None if "nearest" in mode else align_corners
    like_torch(
        interpolate, lambda t: F.interpolate(t, m, mode=mode, align_corners=corners),
        [x], size=m, mode=mode, align_corners=align_corners,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [2, 3.0, 0.5, 1.7, (1.5, 0.6)])
@needs_torch
def test_scale_factors_against_torch(mode, factor):
    x = draw(2, 1, 5, 6)
    like_torch(
        interpolate, lambda t: F.interpolate(t, scale_factor=factor, mode=mode), [x],
        scale_factor=factor, mode=mode,
    )  # fmt: skip


def test_the_nearest_element_is_exact():
    # floor(i * (n / m)) or floor(i / (m / n)) are one less in some of these places.
    for n in range(1, 30):
        for m in range(1, 60):
            found = value(interpolate, np.arange(n)[None, None], size=m)
            expected = [i * n // m for i in range(m)]
            assert found[0, 0].tolist() == expected, (n, m)


@needs_torch
def test_an_axis_whose_size_stays():
    x = draw(1, 2, 3, 9)
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        like_torch(
            interpolate, lambda t, m=mode: F.interpolate(t, scale_factor=1.3, mode=m),
            [x], scale_factor=1.3, mode=mode,
        )  # fmt: skip


def test_element_types():
    x = np.arange(6).reshape(1, 1, 6).astype(np.uint8)
    found = value(interpolate, x, size=3)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 2, 4]]]
    found = value(interpolate, x, size=3, mode="linear")
    assert found.dtype == np.float32
    assert found.tolist() == [[[0.5, 2.5, 4.5]]]
    half = np.full((1, 1, 4, 4), 60000, np.float16)
    found = value(interpolate, half, size=7, mode="bicubic")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, 60000)
    assert value(interpolate, draw(0, 2, 4), size=8).shape == (0, 2, 8)


@pytest.mark.parametrize("shape", [(2, 12, 3, 2), (12, 3, 2), (2, 1, 12, 3, 2)])
@needs_torch
def test_pixel_shuffles_against_torch(shape):
    x = draw(*shape)
    like_torch(pixel_shuffle, lambda t: F.pixel_shuffle(t, 2), [x], factor=2)
    y = value(pixel_shuffle, x, factor=2)
    like_torch(pixel_unshuffle, lambda t: F.pixel_unshuffle(t, 2), [y], factor=2)
    np.testing.assert_array_equal(value(pixel_unshuffle, y, factor=2), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(interpolate, draw(2, 3, 4)),
            errors.ArgumentError,
            "[interpolate] either size or scale_factor is needed. Got: size=None, "
            "scale_factor=None.",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), size=2, scale_factor=2),
            errors.ArgumentError,
            "[interpolate] either size or scale_factor is needed. Got: size=2, "
            "scale_factor=2.",
        ),
        (
            lambda: value(interpolate, draw(2, 3), size=2),
            errors.ShapeError,
            "[interpolate] the input has no spatial axes, or an empty one. "
            "Got: (2, 3). Expected: (batch, channels, *spatial).",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), size=2, mode="bilinear"),
            errors.ArgumentError,
            "[interpolate] there is no such mode for 1 spatial axes. Got: 'bilinear'. "
            "Expected: nearest, nearest-exact, linear.",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), size=2, align_corners=True),
            errors.ArgumentError,
            "[interpolate] align_corners is for modes that are not nearest. "
            "Got: mode='nearest'.",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), scale_factor=(2, 2)),
            errors.ArgumentError,
            "[interpolate] scale_factor does not fit. Got: scale_factor=(2, 2) for 1 "
            "spatial axes. Expected: a number above 0, or one for each spatial axis.",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), scale_factor=0.2),
            errors.ShapeError,
            "[interpolate] the result would be empty. Got: scale_factor=0.2 for shape "
            "(2, 3, 4).",
        ),
        (
            lambda: value(interpolate, draw(2, 3, 4), size=(2, 2)),
            errors.ArgumentError,
            "[interpolate] size does not fit. Got: size=(2, 2) for 1 spatial axes. "
            "Expected: an integer of at least 1, or one for each spatial axis.",
        ),
        (
            lambda: value(pixel_shuffle, draw(2, 6, 3, 3), factor=2),
            errors.ShapeError,
            "[pixel_shuffle] the shape does not fit. Got: (2, 6, 3, 3) with factor 2. "
            "Expected: (..., channels, height, width), divisible by the factor.",
        ),
        (
            lambda: value(pixel_unshuffle, draw(2, 6, 4, 3), factor=2),
            errors.ShapeError,
            "[pixel_unshuffle] the shape does not fit. Got: (2, 6, 4, 3) with factor "
            "2. Expected: (..., channels, height, width), divisible by the factor.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message
