"""Images read at places that are data, against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.ops.sampling import affine_grid, grid_sample

from .op_checks import check_derivatives, like_torch, value
from .torch_table import torch

F = torch and torch.nn.functional

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
RNG = np.random.default_rng(0)
# No place at a kink: at a middle of a pixel or at an edge.
GRID = RNG.uniform(-1.9, 1.9, (2, 4, 3, 2))
X = RNG.normal(size=(2, 3, 5, 7))


def places(grid, sizes, align_corners):
    """Return the rows and columns, counted in pixels, that a grid of places means."""
    found = []
    for k, n in zip((1, 0), sizes, strict=True):
        g = grid[..., k]
        found.append((g + 1) / 2 * (n - 1) if align_corners else ((g + 1) * n - 1) / 2)
    return np.stack(found)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection", "wrap"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_equals_scipy(mode, padding, align_corners):
    ndimage = pytest.importorskip("scipy.ndimage")
    ways = {
        "zeros": "grid-constant", "border": "nearest", "wrap": "grid-wrap",
        "reflection": "mirror" if align_corners else "reflect",
    }  # fmt: skip
    found = value(
        grid_sample, X, GRID, mode=mode, padding_mode=padding,
        align_corners=align_corners,
    )  # fmt: skip
    for b, image in enumerate(X):
        at = places(GRID[b], image.shape[1:], align_corners)
        for c, channel in enumerate(image):
            expected = ndimage.map_coordinates(
                channel, at, order=int(mode == "bilinear"), mode=ways[padding]
            )
            np.testing.assert_allclose(found[b, c], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@needs_torch
def test_equals_torch(mode, padding, align_corners):
    settings = {"mode": mode, "padding_mode": padding, "align_corners": align_corners}
    like_torch(
        grid_sample, lambda x, g: F.grid_sample(x, g, **settings), [X, GRID], **settings
    )


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@needs_torch
def test_volumes_equal_torch(padding):
    x, grid = RNG.normal(size=(2, 2, 3, 4, 5)), RNG.uniform(-1.5, 1.5, (2, 2, 3, 2, 3))
    for mode in ("bilinear", "nearest"):
        settings = {"mode": mode, "padding_mode": padding, "align_corners": False}
        like_torch(
            grid_sample, lambda x, g, s=settings: F.grid_sample(x, g, **s), [x, grid],
            **settings,
        )  # fmt: skip


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection", "wrap"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_derivatives(mode, padding):
    check_derivatives(
        grid_sample, [X, GRID], mode=mode, padding_mode=padding, second=False,
        tolerance=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_grid_of_the_identity_reads_the_image(align_corners):
    theta = np.tile(np.eye(2, 3), (2, 1, 1))
    grid = value(affine_grid, theta, size=X.shape, align_corners=align_corners)
    for mode in ("bilinear", "nearest", "bicubic"):
        found = value(grid_sample, X, grid, mode=mode, align_corners=align_corners)
        np.testing.assert_allclose(found, X, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 2, 3, 4), (2, 1, 1, 1)])
def test_affine_grids(size, align_corners):
    rank = len(size) - 2
    theta = RNG.normal(size=(2, rank, rank + 1))
    found = value(affine_grid, theta, size=size, align_corners=align_corners)
    axes = [
        np.linspace(-1, 1, n) if align_corners and n > 1
        else (0 * np.arange(n) if align_corners else (2 * np.arange(n) + 1) / n - 1)
        for n in size[2:]
    ]  # fmt: skip
    points = np.stack([*np.meshgrid(*axes, indexing="ij")][::-1], -1)
    points = np.concatenate([points, np.ones((*size[2:], 1))], -1)
    expected = np.einsum("brk,...k->b...r", theta, points)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if torch is not None and min(size[2:]) > 1:
        like_torch(
            affine_grid, lambda t: F.affine_grid(t, size, align_corners=align_corners),
            [theta], size=size, align_corners=align_corners,
        )  # fmt: skip


def test_element_types_and_nans():
    half = value(grid_sample, X.astype(np.float16), GRID.astype(np.float16))
    assert half.dtype == np.float16
    wide = value(grid_sample, X, GRID.astype(np.float16))
    np.testing.assert_allclose(half, wide, atol=0.01)
    nowhere = value(grid_sample, X, GRID * np.nan, padding_mode="border")
    np.testing.assert_array_equal(
        nowhere, np.broadcast_to(X[..., :1, :1], (2, 3, 4, 3))
    )


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection", "wrap"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_places_that_are_no_numbers(mode, padding_mode):
    named = {"mode": mode, "padding_mode": padding_mode}
    for place in (np.inf, -np.inf):
        found = value(grid_sample, X, np.full_like(GRID, place), **named)
        assert np.isfinite(found).all()
        if padding_mode == "zeros":
            assert (found == 0).all()
    found = value(grid_sample, X, np.full_like(GRID, np.nan), **named)
    expected = value(grid_sample, X, np.full_like(GRID, -1.0), **named)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: value(grid_sample, X, GRID, mode="cubic"),
            errors.ArgumentError,
            "[grid_sample] there is no such mode. Got: 'cubic'. "
            "Expected: bilinear, nearest, bicubic.",
        ),
        (
            lambda: value(grid_sample, X, GRID, padding_mode="same"),
            errors.ArgumentError,
            "[grid_sample] there is no such padding_mode. Got: 'same'. "
            "Expected: zeros, border, reflection, wrap.",
        ),
        (
            lambda: value(grid_sample, X, GRID[:1]),
            errors.ShapeError,
            "[grid_sample] the places do not fit the images. Got: images (2, 3, 5, 7) "
            "and grid (1, 4, 3, 2). Expected: (batch, channels, height, width) and "
            "(batch, height, width, 2), or one more spatial axis in both.",
        ),
        (
            lambda: value(grid_sample, X[..., :0], GRID),
            errors.ShapeError,
            "[grid_sample] the images are empty. Got: (2, 3, 5, 0).",
        ),
        (
            lambda: value(affine_grid, np.zeros((2, 3, 3)), size=(2, 1, 4, 4)),
            errors.ShapeError,
            "[affine_grid] the matrices do not fit the size. Got: theta of shape "
            "(2, 3, 3) and size (2, 1, 4, 4). Expected: (batch, 2, 3) for (batch, "
            "channels, height, width), or one more.",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message
