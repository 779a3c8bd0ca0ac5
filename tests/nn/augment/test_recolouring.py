"""Images whose colours change, against Pillow, SciPy and Python's colorsys."""

import colorsys

import numpy as np
import pytest

import plait
from plait import nn
from plait.nn.augment import pixels

RNG = np.random.default_rng(0)
BYTES = RNG.integers(30, 200, (2, 3, 12, 9)).astype(np.uint8)
BYTES[1, 0] = 77  # a channel of one value
X = BYTES / 255


def apply(layer, x, seed=0):
    plait.manual_seed(seed)
    return layer(plait.tensor(x)).numpy()


def by_pillow(function):
    """Return the images, as bytes, changed one after another."""
    image = pytest.importorskip("PIL.Image")
    pictures = [image.fromarray(np.moveaxis(x, 0, 2)) for x in BYTES]
    return np.stack([np.moveaxis(np.asarray(function(x)), 2, 0) for x in pictures])


def same_bytes(found, expected, off=0):
    assert np.abs(np.rint(found * 255) - expected).max() <= off


def test_equalization_is_that_of_pillow():
    ops = pytest.importorskip("PIL.ImageOps")
    same_bytes(apply(nn.Equalization(), X), by_pillow(ops.equalize))


def test_equalization_by_hand():
    # 8 pixels and 4 levels: the highest is there twice, so s = (8 - 2) // 3 = 2.
    x = np.array([0, 0, 0, 1, 1, 2, 3, 3]).reshape(1, 1, 2, 4) / 3
    found = apply(nn.Equalization(bins=4), x) * 3
    below = np.array([0, 3, 5, 6])
    table = np.minimum((1 + below) // 2, 3)
    np.testing.assert_allclose(found.ravel(), table[[0, 0, 0, 1, 1, 2, 3, 3]])


def test_auto_contrast_is_that_of_pillow():
    ops = pytest.importorskip("PIL.ImageOps")
    same_bytes(apply(nn.AutoContrast(), X), by_pillow(ops.autocontrast), off=1)


def test_auto_contrast_fills_the_range():
    found = apply(nn.AutoContrast(), X)
    low, high = X.min((2, 3), keepdims=True), X.max((2, 3), keepdims=True)
    expected = np.where(high > low, (X - low) / np.where(high > low, high - low, 1), X)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_posterization_keeps_high_bits(bits):
    found = apply(nn.RandomPosterization(bits), X)
    same_bytes(found, BYTES & (256 - (1 << 8 - bits)))
    ops = pytest.importorskip("PIL.ImageOps")
    same_bytes(found, by_pillow(lambda image: ops.posterize(image, bits)))


def test_solarization():
    found = apply(nn.Solarization(0.0, (0.4, 0.4)), X)
    same_bytes(found, np.where(BYTES < 102, BYTES, 255 - BYTES))
    found = apply(nn.Solarization((0.1, 0.1), (0.4, 0.4)), X)
    raised = np.minimum(X + 0.1, 1)
    expected = np.where(raised < 0.4, raised, 1 - raised)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.5, 1.0])
def test_sharpness_is_that_of_pillow(factor):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    found = apply(nn.RandomSharpness((factor, factor)), X)
    expected = by_pillow(lambda image: enhance.Sharpness(image).enhance(2 * factor))
    same_bytes(found, expected, off=1)


def test_sharpness_by_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    kernel = np.ones((1, 1, 3, 3))
    kernel[0, 0, 1, 1] = 5
    smooth = ndimage.correlate(X, kernel / 13)
    expected = X.copy()
    expected[..., 1:-1, 1:-1] = smooth[..., 1:-1, 1:-1]
    found = apply(nn.RandomSharpness((0.0, 0.0)), X)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    tiny = X[..., :2, :]
    np.testing.assert_array_equal(apply(nn.RandomSharpness((0.0, 0.0)), tiny), tiny)


def test_grey_is_that_of_pillow():
    expected = by_pillow(lambda image: image.convert("L").convert("RGB"))
    found = apply(nn.RandomGrayscale(1.0), X)
    same_bytes(found, expected, off=1)
    np.testing.assert_array_equal(found[:, 0], found[:, 2])


def each_colour(function):
    pixels = np.moveaxis(X, 1, -1).reshape(-1, 3)
    found = np.array([function(*pixel) for pixel in pixels])
    return np.moveaxis(found.reshape(2, 12, 9, 3), -1, 1)


@pytest.mark.parametrize("factor", [0.0, 0.25, 0.5, 0.7, 1.0])
def test_saturation_is_that_of_hsv(factor):
    scale = factor / max(1 - factor, 1e-6)

    def expected(r, g, b):
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        return colorsys.hsv_to_rgb(h, min(1.0, s * scale), v)

    found = apply(nn.RandomSaturation((factor, factor)), X)
    np.testing.assert_allclose(found, each_colour(expected), atol=1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.1, 1 / 3, 0.5, -0.25])
def test_hue_is_that_of_hsv(turn):
    def expected(r, g, b):
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        return colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)

    found = pixels.rehued(plait.tensor(X), turn, "").numpy()
    np.testing.assert_allclose(found, each_colour(expected), atol=1e-12)


def test_hue_turns_either_way():
    x = np.tile(X[:1], (200, 1, 1, 1))
    found = apply(nn.RandomHue((0.4, 0.4)), x)
    ways = [pixels.rehued(plait.tensor(X[:1]), t, "").numpy() for t in (0.2, -0.2)]
    counts = [(np.abs(found - w).max((1, 2, 3)) < 1e-6).sum() for w in ways]
    assert sum(counts) == 200
    assert min(counts) > 70


def test_brightness_and_contrast():
    found = apply(nn.RandomBrightness((0.3, 0.3)), X)
    np.testing.assert_allclose(found, np.minimum(X + 0.3, 1), atol=1e-6)
    mean = X.mean((2, 3), keepdims=True)
    found = apply(nn.RandomContrast((0.5, -0.0)), X, seed=1)
    share = (found - mean)[0, 0] / (X - mean)[0, 0]
    assert np.ptp(share) < 1e-6
    assert 0.5 <= share[0, 0] <= 1
    np.testing.assert_allclose(found[1, 0], X[1, 0], atol=1e-7)  # its own mean


def test_degeneration_and_inversion():
    found = apply(nn.RandomColorDegeneration((0.25, 0.25)), X)
    grey = np.einsum("bcij,c->bij", X, [0.299, 0.587, 0.114])[:, None]
    np.testing.assert_allclose(found, 0.75 * X + 0.25 * grey, atol=1e-12)
    np.testing.assert_allclose(apply(nn.RandomInvert(), X), 1 - X)


def test_jitter_is_its_parts_one_after_another():
    every = {
        "brightness_factor": (0.2, 0.2), "contrast_factor": (0.0, 0.0),
        "saturation_factor": (0.3, 0.3), "hue_factor": (0.0, 0.0),
    }  # fmt: skip
    found = apply(nn.RandomColorJitter(**every), X)
    bright = apply(nn.RandomBrightness((0.2, 0.2)), X)
    expected = apply(nn.RandomSaturation((0.3, 0.3)), bright)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_array_equal(apply(nn.RandomColorJitter(), X), X)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize("size", [1, 5, (3, 7)])
def test_blur_is_that_of_scipy(sigma, size):
    ndimage = pytest.importorskip("scipy.ndimage")
    expected = X
    for axis, n in zip((2, 3), np.broadcast_to(size, 2), strict=True):
        weights = np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * sigma**2))
        expected = ndimage.correlate1d(
            expected, weights / weights.sum(), axis, mode="mirror"
        )
    found = apply(nn.RandomGaussianBlur(1.0, size, sigma), X)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_each_image_has_its_own_blur():
    found = apply(
        nn.RandomGaussianBlur(1.0, 3, (0.3, 3.0)), np.tile(X[:1], (5, 1, 1, 1))
    )
    assert len(np.unique(found[:, 0, 3, 3])) == 5
    kept = apply(nn.RandomGaussianBlur(0.0), X)
    np.testing.assert_array_equal(kept, X)


@pytest.mark.parametrize("size", [(12, 9), (11, 8)])
def test_adaptive_equalization_by_loops(size):
    height, width = size
    x = X[..., :height, :width]
    rows, columns, bins, limit = 3, 2, 16, 1.5
    layer = nn.ContrastLimitedAdaptiveHistogramEqualization(
        clip_limit=limit, tile_grid_size=(rows, columns), bins=bins
    )
    found = apply(layer, x)
    extra = [(0, -height % rows), (0, -width % columns)]
    padded = np.pad(x, [(0, 0), (0, 0), *extra], mode="reflect")
    level = np.rint(padded * (bins - 1)).astype(int)
    high, wide = level.shape[2] // rows, level.shape[3] // columns
    most = max(1, limit * high * wide / bins)
    for image, channels in enumerate(level):
        for channel, picture in enumerate(channels):
            table = np.empty((rows, columns, bins))
            for r in range(rows):
                for c in range(columns):
                    tile = picture[r * high : (r + 1) * high, c * wide : (c + 1) * wide]
                    count = np.bincount(tile.ravel(), minlength=bins).astype(float)
                    over = np.maximum(count - most, 0).sum()
                    total = np.cumsum(np.minimum(count, most) + over / bins)
                    table[r, c] = np.rint(total / tile.size * (bins - 1)) / (bins - 1)
            for i in range(height):
                for j in range(width):
                    y, z = (i + 0.5) / high - 0.5, (j + 0.5) / wide - 0.5
                    top, left = int(np.floor(y)), int(np.floor(z))
                    expected = sum(
                        table[np.clip(top + p, 0, rows - 1)][
                            np.clip(left + q, 0, columns - 1)
                        ][picture[i, j]]
                        * abs(1 - p - (y - top)) * abs(1 - q - (z - left))
                        for p in (0, 1) for q in (0, 1)
                    )  # fmt: skip
                    assert found[image, channel, i, j] == pytest.approx(expected)


def test_grey_images_have_neither_hue_nor_saturation():
    grey = X[:, :1]
    for layer in (nn.RandomHue(1.0), nn.RandomSaturation(1.0), nn.RandomGrayscale(1.0)):
        np.testing.assert_array_equal(apply(layer, grey), grey)
    with pytest.raises(plait.errors.ShapeError) as caught:
        apply(nn.RandomHue(1.0), X[:, :2])
    assert (
        str(caught.value)
        .split("\n")[0]
        .startswith(
            "[RandomHue] colours need the channels red, green and blue. "
            "Got: 2 channels. Expected: 3, or 1 for grey images."
        )
    )


RANGED = [
    nn.RandomBrightness, nn.RandomContrast, nn.RandomSaturation, nn.RandomHue,
    nn.RandomColorDegeneration, nn.RandomInvert, nn.RandomPosterization,
    nn.RandomSharpness, nn.AutoContrast, nn.Equalization, nn.Solarization,
]  # fmt: skip


@pytest.mark.parametrize("layer", RANGED)
def test_the_range_of_values_is_the_users(layer):
    args = () if layer in (nn.AutoContrast, nn.Equalization) else (0.4,)
    args = (3,) if layer is nn.RandomPosterization else args
    unit = apply(layer(*args), X)
    bytes_ = apply(layer(*args, value_range=(0, 255)), X * 255)
    np.testing.assert_allclose(bytes_, unit * 255, atol=1e-4)
    both = apply(layer(*args, value_range=(-1, 1)), X * 2 - 1)
    np.testing.assert_allclose(both, unit * 2 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.RandomPosterization(9),
            "[RandomPosterization] factor does not fit. Got: factor=9. "
            "Expected: an integer in 1..8, or two in ascending order.",
        ),
        (
            lambda: nn.RandomContrast(-0.1),
            "[RandomContrast] factor does not fit. Got: factor=-0.1. "
            "Expected: a number in 0..1, or two: in 0..1 and at least 0.",
        ),
        (
            lambda: nn.RandomBrightness(0.1, (1, 1)),
            "[RandomBrightness] value_range is no range. Got: value_range=(1, 1). "
            "Expected: (lowest, highest).",
        ),
        (
            lambda: nn.RandomGaussianBlur(1.0, 4),
            "[RandomGaussianBlur] sizes are odd, and sigma is above 0. "
            "Got: kernel_size=4, sigma=1.0.",
        ),
        (
            lambda: nn.Equalization(bins=1),
            "[Equalization] a histogram has at least 2 bins. Got: bins=1.",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(plait.errors.ArgumentError) as caught:
        make()
    assert str(caught.value).split("\n")[0] == message
