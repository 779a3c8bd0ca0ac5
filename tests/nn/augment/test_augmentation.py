"""What holds for every augmentation: draws, seeds, arrays, graphs; and mixtures."""

import numpy as np
import pytest

import plait
from plait import data, nn
from plait.nn.augment import policies
from plait.nn.augment.augmentation import mixing_shares

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (4, 3, 8, 8))

RANDOM = [
    nn.RandomFlip(), nn.RandomRotation(0.2), nn.RandomTranslation(0.3, 0.3),
    nn.RandomZoom(0.3), nn.RandomShear(0.3, 0.3), nn.RandomPerspective(),
    nn.RandomElasticTransform(), nn.RandomErasing(), nn.RandomBrightness(0.3),
    nn.RandomContrast(0.5), nn.RandomSaturation(1.0), nn.RandomHue(1.0),
    nn.RandomColorDegeneration(1.0), nn.RandomGrayscale(), nn.RandomInvert(0.5),
    nn.RandomPosterization((1, 5)), nn.RandomSharpness(1.0),
    nn.RandomColorJitter(brightness_factor=0.2, hue_factor=0.5),
    nn.Solarization(0.1, (0.2, 0.9)), nn.RandomGaussianBlur(0.5), nn.RandAugment(),
    nn.AugMix(factor=1.0, num_chains=2), nn.RandomCrop(4, 5),
    nn.RandomResizedCrop(5, 4),
]  # fmt: skip
every_random = pytest.mark.parametrize(
    "layer", RANDOM, ids=lambda layer: type(layer).__name__
)


def apply(layer, x, seed=0):
    plait.manual_seed(seed)
    return layer(plait.tensor(x)).numpy()


@every_random
def test_a_seed_says_what_is_drawn(layer):
    x = np.tile(X[:1], (40, 1, 1, 1))
    found = apply(layer, x)
    np.testing.assert_array_equal(apply(layer, x), found)
    assert (apply(layer, x, seed=1) != found).any()
    assert len(np.unique(found, axis=0)) > 1  # each image its own
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6


@every_random
def test_arrays_and_single_images(layer):
    x = X.astype(np.float32)
    expected = apply(layer, x[:1])
    plait.manual_seed(0)
    found = layer(x[:1])
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(apply(layer, x[0]), expected[0])


@every_random
def test_inside_jit_each_key_is_another_draw(layer):
    @plait.jit
    def changed(x, key):
        with plait.random.keyed(key):
            return layer(x)

    x = plait.tensor(X)
    expected = apply(layer, X, seed=5)
    found = changed(x, plait.random.key(5)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (changed(x, plait.random.key(6)).numpy() != expected).any()


@every_random
def test_nothing_changes_in_evaluation_mode(layer):
    if isinstance(layer, (nn.RandomCrop, nn.RandomResizedCrop)):
        return  # these take the middle then
    layer.eval()
    np.testing.assert_array_equal(apply(layer, X), X)
    assert layer(X) is X
    layer.train()


def test_images_of_a_data_set():
    dataset = data.ArrayDataset(X.astype(np.float32), np.arange(4))
    plait.manual_seed(3)
    whole = dataset.map(nn.RandomFlip("horizontal"), key=0, batched=True)[[0, 1, 2, 3]]
    assert isinstance(whole[0], np.ndarray)
    np.testing.assert_allclose(np.sort(whole[0]), np.sort(X), atol=1e-6)
    one, label = dataset.map(nn.RandomCrop(4, 4), key=0)[2]
    assert one.shape == (3, 4, 4)
    assert label == 2


def test_a_net_that_begins_with_them_learns():
    plait.manual_seed(0)
    layers = (nn.RandomRotation(0.05), nn.RandomContrast(0.2), nn.Flatten())
    net = nn.Sequential(*layers, nn.Linear(192, 2))
    optimizer = plait.optim.SGD(net.parameters(), lr=0.5)
    x, y = plait.tensor(X, dtype=plait.float32), plait.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(60):
        loss = plait.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < losses[0] / 2
    np.testing.assert_array_equal(net.eval()(x).numpy(), net(x).numpy())


# Mixtures


def test_mixup_mixes_targets_as_it_mixes_images():
    y = np.eye(4)
    plait.manual_seed(0)
    layer = nn.MixUp(1.0)
    images, targets = layer(plait.tensor(X), plait.tensor(y))
    images, targets = images.numpy(), targets.numpy()
    np.testing.assert_allclose(targets.sum(1), 1)
    np.testing.assert_allclose(images, np.einsum("ij,jchw->ichw", targets, X))
    assert ((targets > 0).sum(1) == 2).any()
    plait.manual_seed(0)
    np.testing.assert_allclose(layer(X), images)
    plait.manual_seed(0)
    arrays = layer(X, y)
    np.testing.assert_allclose(arrays[1], targets)


def test_mixup_draws_from_beta():
    x = np.stack([np.zeros((500, 1)), np.ones((500, 1))]).reshape(1000, 1)
    small, large = (apply(nn.MixUp(alpha), x) for alpha in (0.1, 50.0))
    # Where a 0 is mixed with a 1, most are near the middle, or near the ends.
    mixed = [
        np.minimum(part, 1 - part)[(part > 0) & (part < 1)] for part in (small, large)
    ]
    assert np.median(mixed[0]) < 0.05
    assert np.median(mixed[1]) > 0.4


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 7.0])
def test_shares_are_of_a_symmetric_beta_distribution(alpha):
    plait.manual_seed(0)
    found = mixing_shares(20_000, alpha, plait.zeros(())).numpy()
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    # Its variance is 1 / (4 (2 alpha + 1)), and that of this estimate is below 1 / n.
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert found.var() == pytest.approx(1 / (8 * alpha + 4), abs=0.01)
    stats = pytest.importorskip("scipy.stats")
    inner = found[(found > 1e-6) & (found < 1 - 1e-6)].astype(float)
    law = stats.beta(alpha, alpha)
    low, high = law.cdf([1e-6, 1 - 1e-6])
    test = stats.kstest(inner, lambda x: (law.cdf(x) - low) / (high - low))
    assert test.pvalue > 1e-4


def test_weights_of_chains_are_of_a_dirichlet_distribution():
    plait.manual_seed(0)
    for alpha in (1.0, 3.0):
        weights = nn.AugMix(num_chains=3, alpha=alpha)._weights(5000).numpy()
        np.testing.assert_allclose(weights.sum(0), 1, atol=1e-5)
        np.testing.assert_allclose(weights.mean(1), 1 / 3, atol=0.02)
        variance = 2 / 9 / (3 * alpha + 1)
        np.testing.assert_allclose(weights.var(1), variance, rtol=0.1)


def test_cutmix_weighs_targets_by_area():
    n = 200
    x = np.tile(np.arange(n, dtype=float).reshape(n, 1, 1, 1), (1, 2, 12, 10))
    plait.manual_seed(0)
    images, targets = nn.CutMix()(plait.tensor(x), plait.tensor(np.eye(n)))
    images, targets = images.numpy(), targets.numpy()
    for i in range(n):
        values, counts = np.unique(images[i], return_counts=True)
        assert len(values) <= 2
        expected = np.zeros(n)
        expected[values.astype(int)] = counts / images[i].size
        np.testing.assert_allclose(targets[i], expected, atol=1e-6)
    assert targets.diagonal().min() < 0.1
    assert 0.4 < targets.diagonal().mean() < 0.6


# Policies


def step(name, strength, x=X):
    shape = (len(x), 1, 1, 1)
    choice = plait.full(shape, policies.OPERATIONS.index(name))
    far = plait.full(shape, strength, dtype=plait.float64)
    sign = plait.tensor([1.0, -1.0, 1.0, -1.0]).reshape(shape)
    found = policies._step(
        plait.tensor(x), choice, far, sign, "RandAugment", "bilinear",
        policies.Strengths(),
    )  # fmt: skip
    return found.numpy()


def either(found, low, high):
    """Assert that each image is what one of two layers makes of it."""
    ways = np.stack([apply(layer, X) for layer in (low, high)])
    off = np.abs(ways - found).max((2, 3, 4))
    assert (off.min(0) < 1e-6).all()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_operations_of_policies_are_those_of_layers(strength):
    s = strength
    fold = nn.RandomRotation
    turn = s / 12
    either(step("rotate", s), fold((turn, turn)), fold((-turn, -turn)))
    shear = (0.3 * s, 0.3 * s), (-0.3 * s, -0.3 * s)
    either(step("shear_x", s), *(nn.RandomShear(x, 0.0) for x in shear))
    either(step("shear_y", s), *(nn.RandomShear(0.0, y) for y in shear))
    move = (0.45 * s, 0.45 * s), (-0.45 * s, -0.45 * s)
    either(step("translate_x", s), *(nn.RandomTranslation(0.0, x) for x in move))
    either(step("translate_y", s), *(nn.RandomTranslation(y, 0.0) for y in move))
    sharp = ((1 - 0.9 * s) / 2,) * 2, ((1 + 0.9 * s) / 2,) * 2
    either(
        step("sharpness", s), *(nn.RandomSharpness(f) for f in sharp[:1]), Sharpened(s)
    )
    for name, layer in (
        ("posterize", nn.RandomPosterization(round(8 - 4 * s))),
        ("solarize", nn.Solarization(0.0, (1 - s, 1 - s))),
        ("auto_contrast", nn.AutoContrast()),
        ("equalize", nn.Equalization()),
    ):
        np.testing.assert_allclose(step(name, s), apply(layer, X), atol=1e-6)


class Sharpened(nn.Module):
    """Sharpens by more than a factor of 1 of `nn.RandomSharpness` would."""

    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def forward(self, x):
        smooth = nn.RandomSharpness((0.0, 0.0))(x)
        return (smooth + (1 + 0.9 * self.strength) * (x - smooth)).clip(0, 1)


def test_blends_of_policies():
    grey = np.einsum("bcij,c->bij", X, [0.299, 0.587, 0.114])[:, None]
    mean = grey.mean((1, 2, 3), keepdims=True)
    for name, base in (("brightness", 0 * X), ("color", grey), ("contrast", mean)):
        found = step(name, 1.0)
        ways = [np.clip(base + f * (X - base), 0, 1) for f in (0.1, 1.9)]
        off = np.abs(np.stack(ways) - found).max((2, 3, 4))
        assert (off.min(0) < 1e-6).all()


def test_without_strength_little_changes():
    np.testing.assert_allclose(step("rotate", 0.0), X, atol=1e-6)
    still = apply(nn.AugMix(factor=0.0, all_ops=False), X)
    # Equalizing and stretching have no strength.
    assert np.abs(still - X).max() < 0.5


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.RandomFlip()(plait.zeros(2, 3, 4, 4, dtype=plait.uint8)),
            plait.errors.DTypeError,
            "[RandomFlip] images are floats. Got: uint8. "
            "Fix: plait.data.as_floats makes them of uint8, or images.float().",
        ),
        (
            lambda: nn.RandomFlip()(plait.zeros(4, 4)),
            plait.errors.ShapeError,
            "[RandomFlip] the input does not fit. Got: shape (4, 4). Expected: "
            "(n, channels, height, width) or (channels, height, width).",
        ),
        (
            lambda: nn.MixUp()(plait.zeros(2, 3), plait.tensor([1, 2])),
            plait.errors.DTypeError,
            "[MixUp] targets that are mixed are floats. Got: int64. "
            "Fix: plait.one_hot(targets, classes) makes them of classes.",
        ),
        (
            lambda: nn.MixUp()(plait.zeros(2, 3), plait.zeros(3, 3)),
            plait.errors.ShapeError,
            "[MixUp] there must be a target for each image. "
            "Got: images (2, 3) and targets (3, 3).",
        ),
        (
            lambda: nn.CutMix()(plait.zeros(2, 3, 3)),
            plait.errors.ShapeError,
            "[CutMix] a batch of images is needed. Got: shape (2, 3, 3).",
        ),
        (
            lambda: nn.MixUp(0.0),
            plait.errors.ArgumentError,
            "[MixUp] alpha is above 0. Got: alpha=0.0.",
        ),
        (
            lambda: nn.RandAugment(factor=1.5),
            plait.errors.ArgumentError,
            "[RandAugment] there is at least one way, and the factor lies in 0..1. "
            "Got: num_ops=2, factor=1.5.",
        ),
        (
            lambda: nn.AugMix(num_chains=0),
            plait.errors.ArgumentError,
            "[AugMix] there are chains with a depth, the factor lies in 0..1, and "
            "alpha above 0. Got: num_chains=0, chain_depth=3, factor=0.3, alpha=1.0.",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message
