"""Attention without heads: masks, weights, dropout and errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
QUERY, KEY, VALUE = (
    plait.tensor(rng.normal(size=shape)) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 6))
)
LAYERS = [lambda **named: nn.Attention(**named).double()]
LAYERS += [lambda **named: nn.AdditiveAttention(4, **named).double()]
both = pytest.mark.parametrize("make", LAYERS, ids=["product", "sum"])


@both
def test_masks(make):
    layer = make()
    mask = rng.random((2, 3, 5)) > 0.5
    mask[0, 1] = False  # no key at all
    found, weights = layer(
        QUERY, KEY, VALUE, plait.tensor(mask), is_causal=True, need_weights=True
    )
    allowed = mask & np.tri(3, 5, dtype=bool)
    assert not weights.numpy()[~allowed].any()
    sums = weights.numpy().sum(-1)
    np.testing.assert_allclose(sums, allowed.any(-1), rtol=1e-9)
    np.testing.assert_allclose(
        found.numpy(), weights.numpy() @ VALUE.numpy(), rtol=1e-9, atol=1e-12
    )
    alone = layer(QUERY, KEY, VALUE, plait.tensor(mask), is_causal=True)
    np.testing.assert_allclose(alone.numpy(), found.numpy(), rtol=1e-9, atol=1e-12)


@both
def test_no_key_gives_no_nan_in_gradients(make):
    layer = make(use_scale=True)
    mask = plait.zeros(3, 5, dtype=plait.bool)
    layer(QUERY, KEY, VALUE, mask).sum().backward()
    assert not layer.scale.grad.numpy().any()


@both
def test_dropout(make):
    layer = make(dropout=0.5)
    key = plait.random.key(0)
    found = [
        layer(QUERY, KEY, VALUE, need_weights=True, dropout_key=key)[1].numpy()
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*found)
    assert 0.2 < (found[0] == 0).mean() < 0.8
    layer(QUERY, KEY, VALUE)  # with a key of its own
    assert (layer.eval()(QUERY, KEY, VALUE, need_weights=True)[1].numpy() > 0).all()


@both
def test_errors(make):
    with pytest.raises(errors.ArgumentError, match="dropout must be a number"):
        make(dropout=2.0)
    with pytest.raises(errors.ShapeError, match=r"key \(2, 5, 6\)"):
        make()(QUERY, VALUE)


def test_errors_of_additive_attention():
    with pytest.raises(errors.ArgumentError, match=r"must be bool\. Got: float32"):
        nn.AdditiveAttention(4)(QUERY, KEY, attn_mask=plait.zeros(3, 5))
    with pytest.raises(errors.ShapeError, match=r"Expected: \(..., l, 3\)"):
        nn.AdditiveAttention(3)(QUERY, KEY)


def test_reset():
    layer = nn.Attention(use_scale=True)
    layer.scale.data = plait.tensor(3.0)
    layer.reset_parameters()
    assert layer.scale.item() == 1
