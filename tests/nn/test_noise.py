"""Layers that act in training: what they draw, and what they add to gradients."""

import numpy as np
import pytest

import plait
from plait import errors, nn

X = plait.tensor(np.random.default_rng(0).normal(size=(40, 50)), dtype=plait.float32)


def test_noise_has_the_moments_it_says():
    plait.manual_seed(0)
    noise = (nn.GaussianNoise(0.5)(X) - X).numpy()
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    factors = (nn.GaussianDropout(0.2)(X) / X).numpy()
    assert np.median(factors) == pytest.approx(1, abs=0.05)
    assert factors.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("layer", [nn.GaussianNoise(0.5), nn.GaussianDropout(0.2)])
def test_keys(layer):
    key = plait.random.key(0)
    first, second = (layer(X, key=key).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (layer(X).numpy() != first).all()
    np.testing.assert_allclose(plait.jit(layer)(X, key).numpy(), first, rtol=1e-6)
    with pytest.raises(errors.TracingError, match="key"):
        plait.jit(layer)(X)


def gradient(layer, x, way):
    def loss(x):
        return (layer(x) * 3).sum()

    if way == "grad":
        return plait.grad(loss)(x)
    if way == "jit":
        return plait.jit(plait.grad(loss))(x)
    x = plait.tensor(x.numpy(), requires_grad=True)
    loss(x).backward()
    return x.grad


@pytest.mark.parametrize("way", ["backward", "grad", "jit"])
def test_penalty_is_added_to_gradients(way):
    layer = nn.ActivityRegularization(l1=0.1, l2=0.2)
    expected = 3 + 0.1 * np.sign(X.numpy()) + 0.4 * X.numpy()
    found = gradient(layer, X, way)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    own = plait.grad(layer.penalty)(X)
    np.testing.assert_allclose(own.numpy(), expected - 3, rtol=1e-4, atol=1e-6)
    assert layer(X).numpy() is not None
    np.testing.assert_array_equal(layer(X).numpy(), X.numpy())
    assert (gradient(layer.eval(), X, way).numpy() == 3).all()


@pytest.mark.parametrize("way", ["backward", "grad", "jit"])
def test_gradients_are_turned_around(way):
    layer = nn.GradientReversal(0.5)
    assert (gradient(layer, X, way).numpy() == -1.5).all()
    mapped = plait.grad(lambda x: plait.vmap(layer)(x).sum())(X)
    assert (mapped.numpy() == -0.5).all()
    assert layer(plait.tensor([1, 2])).tolist() == [1, 2]  # which have no gradient


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GaussianNoise(-1), r"\[GaussianNoise\] std .* Got: -1"),
        (lambda: nn.GaussianDropout(1.0), "below 1. Got: p=1.0"),
        (lambda: nn.ActivityRegularization(l2=-1.0), "l2 .* Got: -1.0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(errors.ArgumentError, match=message):
        make()
