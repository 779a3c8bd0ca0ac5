"""Positions by their formulas, from any place on, and their errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3, 6))


def test_sines_and_cosines_by_the_formula():
    found = nn.SinusoidalPositionalEncoding(6, 10).double()(plait.tensor(X)).numpy()
    for p in range(3):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            added = found[:, p, 2 * i : 2 * i + 2] - X[:, p, 2 * i : 2 * i + 2]
            expected = [[np.sin(angle), np.cos(angle)]] * 2
            np.testing.assert_allclose(added, expected, atol=1e-7)


@pytest.mark.parametrize("interleaved", [True, False])
def test_turning_by_complex_numbers(interleaved):
    layer = nn.RotaryPositionalEmbedding(6, 10, interleaved=interleaved).double()
    found = layer(plait.tensor(X), 2).numpy()
    angle = np.arange(2, 5)[:, None] / 10000 ** (2 * np.arange(3) / 6)
    if interleaved:
        pairs = [x[..., 0::2] + 1j * x[..., 1::2] for x in (X, found)]
    else:
        pairs = [x[..., :3] + 1j * x[..., 3:] for x in (X, found)]
    np.testing.assert_allclose(pairs[1], pairs[0] * np.exp(1j * angle), atol=1e-6)


def test_products_of_turned_vectors_depend_on_the_distance():
    layer = nn.RotaryPositionalEmbedding(6, 64).double()
    q, k = (plait.tensor(rng.normal(size=(1, 6))) for _ in range(2))
    products = [
        (layer(q, start + 5) * layer(k, start)).sum().item() for start in (0, 11, 50)
    ]
    np.testing.assert_allclose(products, products[0], rtol=1e-5)


LAYERS = [
    nn.SinusoidalPositionalEncoding(6, 10),
    nn.LearnedPositionalEmbedding(10, 6),
    nn.RotaryPositionalEmbedding(6, 10),
]
each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda x: type(x).__name__)


@each_layer
def test_places_may_start_anywhere(layer):
    x = plait.tensor(rng.normal(size=(7, 6)), dtype=plait.float32)
    whole = layer(x).numpy()
    np.testing.assert_array_equal(layer(x[4:], 4).numpy(), whole[4:])
    np.testing.assert_array_equal(layer(x[4:], plait.tensor(4)).numpy(), whole[4:])


@each_layer
def test_errors(layer):
    name = type(layer).__name__
    with pytest.raises(errors.ShapeError) as info:
        layer(plait.zeros(3, 5))
    assert (
        f"[{name}] the input does not fit. Got: (3, 5). Expected: (..., length, 6)."
        in str(info.value)
    )
    with pytest.raises(errors.ShapeError) as info:
        layer(plait.zeros(8, 6), 3)
    assert (
        f"[{name}] there are more places than the layer knows. Got: 3 to 11. "
        "Expected: at most 10. Fix: pass a larger max_length." in str(info.value)
    )


def test_odd_features_cannot_be_turned():
    with pytest.raises(errors.ArgumentError) as info:
        nn.RotaryPositionalEmbedding(5)
    assert "features are turned in pairs. Got: dim=5. Expected: an even number." in str(
        info.value
    )
