"""Images that are moved, against SciPy and by what must hold."""

import numpy as np
import pytest

import plait
from plait import nn
from plait.nn.augment.places import quadrilateral_grid

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (2, 3, 6, 9))
# Fill modes here and in SciPy.
MODES = {
    "reflect": "reflect", "wrap": "grid-wrap", "nearest": "nearest",
    "constant": "grid-constant",
}  # fmt: skip


def apply(layer, x, seed=0):
    plait.manual_seed(seed)
    return layer(plait.tensor(x)).numpy()


def moved(x, matrix, mode, order=1):
    """Return images by SciPy; the matrix is about the middle, (y, x) in pixels."""
    ndimage = pytest.importorskip("scipy.ndimage")
    middle = (np.array(x.shape[2:]) - 1) / 2
    matrix = np.asarray(matrix, float)
    offset = middle - matrix @ middle
    return np.stack(
        [
            [
                ndimage.affine_transform(
                    channel, matrix, offset, order=order, mode=MODES[mode], cval=0.25
                )
                for channel in image
            ]
            for image in x
        ]
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("interpolation", "order"), [("bilinear", 1), ("nearest", 0)])
def test_a_rotation_is_that_of_scipy(mode, interpolation, order):
    layer = nn.RandomRotation((0.08, 0.08), mode, interpolation, 0.25)
    angle = 0.08 * 2 * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    expected = moved(X, [[cos, sin], [-sin, cos]], mode, order)
    np.testing.assert_allclose(apply(layer, X), expected, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_zoom_and_shear_are_those_of_scipy(mode):
    settings = {"fill_mode": mode, "fill_value": 0.25}
    layer = nn.RandomZoom((0.3, 0.3), (-0.2, -0.2), **settings)
    expected = moved(X, [[1.3, 0], [0, 0.8]], mode)
    np.testing.assert_allclose(apply(layer, X), expected, atol=1e-6)
    layer = nn.RandomShear((0.3, 0.3), (-0.2, -0.2), **settings)
    expected = moved(X, [[1, 0.2], [-0.3, 1]], mode)
    np.testing.assert_allclose(apply(layer, X), expected, atol=1e-6)


def test_a_quarter_turn_counterclockwise():
    x = X[..., :6]
    found = apply(nn.RandomRotation((0.25, 0.25)), x)
    np.testing.assert_allclose(found, np.rot90(x, axes=(2, 3)), atol=1e-6)


def test_a_translation_goes_down_and_right():
    layer = nn.RandomTranslation((0.5, 0.5), (1 / 3, 1 / 3), "wrap")
    np.testing.assert_allclose(apply(layer, X), np.roll(X, (3, 3), (2, 3)), atol=1e-5)
    layer = nn.RandomTranslation(0.0, (1 / 3, 1 / 3), "constant", fill_value=0.5)
    found = apply(layer, X)
    np.testing.assert_allclose(found[..., 3:], X[..., :-3], atol=1e-5)
    np.testing.assert_allclose(found[..., :3], 0.5, atol=1e-5)


def test_a_zoom_with_one_factor_keeps_proportions():
    both = apply(nn.RandomZoom((0.3, 0.3), (0.3, 0.3)), X)
    np.testing.assert_array_equal(apply(nn.RandomZoom((0.3, 0.3)), X), both)


def test_each_image_is_flipped_on_its_own():
    x = np.tile(X[:1], (400, 1, 1, 1))
    for mode, axes in (
        ("horizontal", [(), (3,)]), ("vertical", [(), (2,)]),
        ("horizontal_and_vertical", [(), (3,), (2,), (2, 3)]),
    ):  # fmt: skip
        found = apply(nn.RandomFlip(mode), x)
        counts = [
            np.all(found == np.flip(x, axis), axis=(1, 2, 3)).sum() for axis in axes
        ]
        assert sum(counts) == 400
        assert min(counts) > 400 / len(axes) * 0.7


def test_a_perspective_map_takes_corners_to_corners():
    corners = np.array([[[-0.7, -1.2], [1.1, -0.8], [0.6, 1.3], [-1.3, 0.9]]])
    size = (4, 5)
    found = quadrilateral_grid(plait.tensor(corners), size).numpy()[0]
    # The eight numbers of the map from the unit square, by its four corners.
    rows, right = [], []
    for (s, t), (x, y) in zip(
        [(0, 0), (1, 0), (1, 1), (0, 1)], corners[0], strict=True
    ):
        rows += [[s, t, 1, 0, 0, 0, -s * x, -t * x], [0, 0, 0, s, t, 1, -s * y, -t * y]]
        right += [x, y]
    a, b, c, d, e, f, g, h = np.linalg.solve(rows, right)
    t, s = np.meshgrid(
        (np.arange(4) + 0.5) / 4, (np.arange(5) + 0.5) / 5, indexing="ij"
    )
    scale = g * s + h * t + 1
    expected = np.stack([a * s + b * t + c, d * s + e * t + f], -1) / scale[..., None]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_perspective_and_bending_by_nothing_change_nothing():
    for layer in (
        nn.RandomPerspective(scale=0.0),
        nn.RandomElasticTransform(scale=0.0),
    ):
        np.testing.assert_allclose(apply(layer, X), X, atol=1e-6)


def test_they_happen_with_their_probability():
    x = np.tile(X[:1], (400, 1, 1, 1))
    for layer in (nn.RandomPerspective(0.25), nn.RandomElasticTransform(0.25)):
        changed = np.abs(apply(layer, x) - x).max((1, 2, 3)) > 1e-3
        assert 60 < changed.sum() < 140


def test_bending_moves_points_as_far_as_it_says():
    """An image of its own places shows how far each pixel has moved."""
    size = 64
    ramp = np.broadcast_to(np.arange(size, dtype=float), (size, size))
    x = np.tile(np.stack([ramp, ramp.T])[None], (50, 1, 1, 1))
    found = apply(nn.RandomElasticTransform(scale=(1.0, 1.0), points=3), x)
    inner = (found - x)[..., 8:-8, 8:-8]
    # Between its points, the spread of a cubic is less than at them.
    assert 0.5 * size / 50 < inner.std() < size / 50


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.RandomRotation(2.0),
            "[RandomRotation] factor does not fit. Got: factor=2.0. "
            "Expected: a number, or two in ascending order, in -1..1.",
        ),
        (
            lambda: nn.RandomRotation((0.2, 0.1)),
            "[RandomRotation] factor does not fit. Got: factor=(0.2, 0.1). "
            "Expected: a number, or two in ascending order, in -1..1.",
        ),
        (
            lambda: nn.RandomZoom(0.1, fill_mode="mirror"),
            "[RandomZoom] there is no such fill_mode. Got: 'mirror'. "
            "Expected: 'reflect', 'wrap', 'nearest', 'constant'.",
        ),
        (
            lambda: nn.RandomFlip("both"),
            "[RandomFlip] there is no such mode. Got: 'both'. "
            "Expected: 'horizontal', 'vertical', 'horizontal_and_vertical'.",
        ),
        (
            lambda: nn.RandomPerspective(scale=2.0),
            "[RandomPerspective] the scale lies in 0..1. Got: scale=2.0.",
        ),
        (
            lambda: nn.RandomElasticTransform(points=1),
            "[RandomElasticTransform] the grid has at least 2 points along an axis. "
            "Got: points=1.",
        ),
        (
            lambda: nn.RandomPerspective(1.5),
            "[RandomPerspective] factor is a probability. Got: factor=1.5. "
            "Expected: a number in 0..1.",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(plait.errors.ArgumentError) as caught:
        make()
    assert str(caught.value).split("\n")[0] == message
