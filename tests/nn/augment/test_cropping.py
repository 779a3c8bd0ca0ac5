"""Images that are cut, resized or written over."""

import numpy as np
import pytest

import plait
from plait import nn

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (2, 3, 6, 9))
# Pixels that tell where they come from.
PLACES = np.arange(54.0).reshape(1, 1, 6, 9)


def apply(layer, x, seed=0):
    plait.manual_seed(seed)
    return layer(plait.tensor(x)).numpy()


def test_random_crops_are_pieces_from_everywhere():
    found = apply(nn.RandomCrop(4, 7), np.tile(PLACES, (300, 1, 1, 1)))
    assert found.shape == (300, 1, 4, 7)
    corner = found[:, 0, 0, 0]
    expected = corner[:, None, None] + np.arange(4)[:, None] * 9 + np.arange(7)
    np.testing.assert_array_equal(found[:, 0], expected)
    starts, counts = np.unique(corner, return_counts=True)
    assert starts.tolist() == [9 * i + j for i in range(3) for j in range(3)]
    assert counts.min() > 15


def test_the_middle_is_cut_out():
    expected = X[:, :, 1:5, 2:7]
    np.testing.assert_array_equal(apply(nn.CenterCrop(4, 5), X), expected)
    np.testing.assert_array_equal(apply(nn.CenterCrop(4, 5).eval(), X), expected)
    np.testing.assert_array_equal(apply(nn.RandomCrop(4, 5).eval(), X), expected)
    np.testing.assert_array_equal(apply(nn.CenterCrop(4, 5), X[0]), expected[0])


@pytest.mark.parametrize("layer", [nn.CenterCrop, nn.RandomCrop])
def test_images_that_are_too_small_are_enlarged(layer):
    found = apply(layer(12, 10).eval(), X)
    large = plait.interpolate(plait.tensor(X), [12, 18], mode="bilinear").numpy()
    np.testing.assert_allclose(found, large[..., 4:14], atol=1e-12)


def test_resizing():
    whole = plait.interpolate(plait.tensor(X), [3, 12], mode="bilinear").numpy()
    np.testing.assert_allclose(apply(nn.Resizing(3, 12), X), whole)
    nearest = apply(nn.Resizing(12, 18, "nearest"), X)
    np.testing.assert_array_equal(nearest, X.repeat(2, 2).repeat(2, 3))
    # 6 x 9 goes to 12 x 18, or to 8 x 12, and there is cut or filled up.
    cut = apply(nn.Resizing(12, 12, "nearest", crop_to_aspect_ratio=True), X)
    np.testing.assert_array_equal(cut, nearest[..., 3:15])
    filled = apply(nn.Resizing(12, 12, pad_to_aspect_ratio=True, fill_value=7.0), X)
    inner = plait.interpolate(plait.tensor(X), [8, 12], mode="bilinear").numpy()
    np.testing.assert_allclose(filled[:, :, 2:10], inner)
    assert (filled[:, :, :2] == 7).all()
    assert (filled[:, :, 10:] == 7).all()


def test_pieces_are_resized():
    layer = nn.RandomResizedCrop(6, 9, scale=(1.0, 1.0), ratio=(1.5, 1.5))
    np.testing.assert_allclose(apply(layer, X), X, atol=1e-6)
    np.testing.assert_allclose(apply(layer.eval(), X), X)
    # Read along a ramp, the step from pixel to pixel is the size of the piece.
    ramp = np.broadcast_to(np.arange(64.0), (64, 64))
    x = np.tile(np.stack([ramp, ramp.T])[None], (200, 1, 1, 1))
    found = apply(nn.RandomResizedCrop(4, 4, (0.1, 0.5), (0.5, 2.0)), x)
    wide = found[:, 0, 0, 2] - found[:, 0, 0, 1]
    high = found[:, 1, 2, 0] - found[:, 1, 1, 0]
    area = wide * high * 16 / 64**2
    assert 0.099 < area.min() < 0.13
    assert 0.45 < area.max() < 0.501
    assert 0.49 < (wide / high).min() < 0.6
    assert 1.7 < (wide / high).max() < 2.01
    assert found.min() >= 0
    assert found.max() <= 63


def test_erased_rectangles_have_the_area_and_lie_anywhere():
    x = np.ones((300, 1, 40, 30))
    found = apply(nn.RandomErasing(1.0, (0.1, 0.3), 0.0, ratio=(0.5, 2.0)), x)
    hole = found[:, 0] == 0
    share = hole.mean((1, 2))
    assert 0.08 < share.min() < 0.13
    assert 0.27 < share.max() < 0.32
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    np.testing.assert_array_equal(hole.sum((1, 2)), rows * columns)  # rectangles
    ratio = columns / rows
    assert 0.4 < ratio.min() < 0.7
    assert 1.5 < ratio.max() < 2.4
    assert hole.any((0, 1)).all()
    assert hole.any((0, 2)).all()


def test_erased_with_noise_or_not_at_all():
    x = np.full((100, 1, 10, 10), 5.0)
    found = apply(nn.RandomErasing(0.5, (0.5, 0.5), value_range=(2, 3)), x)
    changed = (found != 5).any((1, 2, 3))
    assert 30 < changed.sum() < 70
    noise = found[found != 5]
    assert noise.min() >= 2
    assert noise.max() <= 3
    assert len(np.unique(noise)) > 1000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.CenterCrop(0, 3),
            "[CenterCrop] height does not fit. Got: height=0 for 1 spatial axes. "
            "Expected: an integer of at least 1, or one for each spatial axis.",
        ),
        (
            lambda: nn.Resizing(
                2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True
            ),
            "[Resizing] an image is cut or filled up, not both. "
            "Got: crop_to_aspect_ratio=True, pad_to_aspect_ratio=True.",
        ),
        (
            lambda: nn.RandomErasing(scale=(0.1, 1.5)),
            "[RandomErasing] scale does not fit. Got: scale=(0.1, 1.5). "
            "Expected: a number, or two in ascending order, in 0..1.",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(plait.errors.ArgumentError) as caught:
        make()
    assert str(caught.value).split("\n")[0] == message
