"""Attention whose heads share keys: masks, generation, positions and errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
N, L, S, E = 2, 3, 5, 8
PADDING = np.array(
    [[False, False, True, False, True], [True, False, False, True, False]]
)
MASK = np.triu(np.ones((L, S), bool), 2)
EACH = rng.normal(size=(N * 4, L, S))


def tensor(*shape):
    return plait.tensor(rng.normal(size=shape))


def same(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def multihead(layer):
    """Return a `MultiheadAttention` in which the shared keys are repeated."""
    other = nn.MultiheadAttention(E, layer.num_heads, batch_first=True).double()
    each = layer.num_heads // layer.num_kv_heads

    def rows(x):
        x = x.numpy().reshape((layer.num_kv_heads, layer.head_dim, -1))
        return np.repeat(x, each, axis=0).reshape((E, -1))

    parts = (layer.k_proj, layer.v_proj)
    weights = [layer.q_proj.weight.numpy(), *(rows(one.weight) for one in parts)]
    biases = [layer.q_proj.bias.numpy(), *(rows(one.bias)[:, 0] for one in parts)]
    other.in_proj_weight.data = plait.tensor(np.concatenate(weights))
    other.in_proj_bias.data = plait.tensor(np.concatenate(biases))
    other.out_proj.load_state_dict(layer.out_proj.state_dict())
    return other


def filled(*args, **named):
    layer = nn.GroupQueryAttention(*args, **named).double()
    for parameter in layer.parameters():
        parameter.data = tensor(*parameter.shape) * 0.5
    return layer


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    ("padding", "mask", "causal"),
    [
        (None, None, False), (PADDING, None, False), (None, MASK, False),
        (PADDING, EACH, False), (None, EACH, False), (None, None, True),
    ],
)  # fmt: skip
def test_equals_attention_with_repeated_keys(
    kv_heads, need_weights, padding, mask, causal
):
    layer = filled(E, 4, kv_heads, batch_first=True)
    query, key, value = tensor(N, L, E), tensor(N, S, E), tensor(N, S, E)
    given = {
        "key_padding_mask": None if padding is None else plait.tensor(padding),
        "attn_mask": None if mask is None else plait.tensor(mask),
        "is_causal": causal,
        "need_weights": need_weights,
        "average_attn_weights": False,
    }
    found, weights = layer(query, key, value, **given)
    expected, wanted = multihead(layer)(query, key, value, **given)
    same(found, expected)
    assert (weights is None) == (wanted is None)
    if weights is not None:
        same(weights, wanted)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("window", [None, 2])
def test_generation_with_a_cache_and_positions(need_weights, window):
    turn = nn.RotaryPositionalEmbedding(4)
    layer = filled(
        E, 4, 2, head_dim=4, batch_first=True, positions=turn, sliding_window=window
    )
    x = tensor(N, 6, E)
    whole, _ = layer(x, x, x, is_causal=True)
    cache = nn.KVCache(N, 2, 8, 4, dtype=plait.float64)
    parts = []
    for piece in (x[:, :3], x[:, 3:4], x[:, 4:]):
        part, _ = layer(piece, piece, piece, need_weights=need_weights, cache=cache)
        parts.append(part)
    same(plait.concat(parts, axis=1), whole)


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_windows_join_other_masks(kind):
    window = filled(E, 4, 2, batch_first=True, sliding_window=2)
    layer = nn.GroupQueryAttention(E, 4, 2, batch_first=True).double()
    layer.load_state_dict(window.state_dict())
    query, key = tensor(N, L, E), tensor(N, S, E)
    i, j = np.indices((L, S))
    far = abs(i - j) >= 2
    mask = None
    if kind == "bool":
        mask = MASK
        far = far | mask
    if kind == "float":
        mask = rng.normal(size=(L, S))
        far = np.where(far, -np.inf, mask)
    given = None if mask is None else plait.tensor(mask)
    found, _ = window(query, key, key, attn_mask=given)
    expected, _ = layer(query, key, key, attn_mask=plait.tensor(far))
    same(found, expected)


def test_dropout_of_weights():
    layer = filled(E, 4, 2, dropout=0.5, batch_first=True)
    x = tensor(N, 6, E)
    key = plait.random.key(3)
    for need_weights in (True, False):
        found = [
            layer(x, x, x, need_weights=need_weights, dropout_key=key)[0]
            for _ in range(2)
        ]
        same(*found)
        other, _ = layer(x, x, x, need_weights=need_weights)
        assert abs(other.numpy() - found[0].numpy()).max() > 1e-3
    jitted = plait.jit(lambda x, key: layer(x, x, x, dropout_key=key)[0])
    same(jitted(x, key), layer(x, x, x, dropout_key=key)[0])


def test_errors():
    with pytest.raises(errors.ArgumentError, match=r"num_heads=4, num_kv_heads=3"):
        nn.GroupQueryAttention(8, 4, 3)
    with pytest.raises(errors.ArgumentError, match=r"Fix: give head_dim"):
        nn.GroupQueryAttention(9, 4, 2)
    with pytest.raises(errors.ArgumentError, match=r"sliding_window=0"):
        nn.GroupQueryAttention(8, 4, 2, sliding_window=0)
    with pytest.raises(errors.ArgumentError, match="dropout must be a number"):
        nn.GroupQueryAttention(8, 4, 2, 2.0)
    layer = nn.GroupQueryAttention(8, 4, 2)
    x = plait.zeros(3, 2, 8)
    with pytest.raises(
        errors.ShapeError, match=r"Expected: \(l, n, 8\), \(s, n, 8\), \(s, n, 8\);"
    ):
        layer(x, x[..., :4], x)
    with pytest.raises(errors.ShapeError, match=r"the key_padding_mask does not fit"):
        layer(x, x, x, key_padding_mask=plait.zeros(3, 3, dtype=plait.bool))
    cache = nn.KVCache(2, 2, 8, 2)
    mask = plait.zeros(3, 3, dtype=plait.bool)
    with pytest.raises(errors.ArgumentError, match="a cache does not go with masks"):
        layer(x, x, x, attn_mask=mask, cache=cache)
