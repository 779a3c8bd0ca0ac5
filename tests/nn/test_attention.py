"""Attention layers beyond their samples: masks, weights, errors, and generation."""

import numpy as np
import pytest

import plait
from plait import errors, nn

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
rng = np.random.default_rng(0)
N, L, S, E, H = 2, 3, 5, 8, 2


def pair(*args, **named):
    """Return a layer in float64 and PyTorch's with its parameters."""
    layer = nn.MultiheadAttention(*args, **named).double()
    for parameter in layer.parameters():
        parameter.data = plait.tensor(rng.normal(0, 0.5, parameter.shape))
    theirs = torch.nn.MultiheadAttention(*args, **named).double()
    state = {n: torch.tensor(x.numpy()) for n, x in layer.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    return layer, theirs


def given(*arrays):
    return [None if x is None else plait.tensor(x) for x in arrays]


def torch_given(*arrays):
    return [None if x is None else torch.tensor(x) for x in arrays]


def close(found, expected):
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12
    )


PADDING = np.array(
    [[False, False, True, False, True], [True, False, False, False, True]]
)
MASK = np.triu(np.ones((L, S), bool), 3)
FLOATS = rng.normal(size=(L, S))
EACH = rng.random((N * H, L, S)) > 0.7


@needs_torch
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    ("padding", "mask"),
    [
        (PADDING, None),
        (None, MASK),
        (None, FLOATS),
        (None, EACH),
        (PADDING, MASK),
        (PADDING * -1.5, FLOATS),
        (PADDING * -1.5, EACH * -2.0),
    ],
)
def test_masks(padding, mask, need_weights):
    for more in ({}, {"add_bias_kv": True, "add_zero_attn": True}):
        layer, theirs = pair(E, H, batch_first=True, **more)
        arrays = [rng.normal(size=(N, n, E)) for n in (L, S, S)]
        found, weights = layer(*given(*arrays, padding), need_weights, *given(mask))
        expected, their_weights = theirs(
            *torch_given(*arrays, padding), need_weights, *torch_given(mask)
        )
        close(found, expected)
        if need_weights:
            close(weights, their_weights)
        else:
            assert weights is their_weights is None


@needs_torch
def test_rows_without_keys_are_zero():
    layer, theirs = pair(E, H, batch_first=True)
    arrays = [rng.normal(size=(N, n, E)) for n in (L, S, S)]
    nobody = np.ones((N, S), bool)
    found, _ = layer(*given(*arrays, nobody), False)
    expected, _ = theirs(*torch_given(*arrays, nobody), False)
    close(found, expected)
    found, weights = layer(*given(*arrays, nobody))
    assert not weights.any()
    close(found, expected)


@needs_torch
def test_weights_of_each_head():
    layer, theirs = pair(E, H)
    arrays = [rng.normal(size=(n, N, E)) for n in (L, S, S)]
    found = layer(*given(*arrays), average_attn_weights=False)
    expected = theirs(*torch_given(*arrays), average_attn_weights=False)
    for x, y in zip(found, expected, strict=True):
        close(x, y)
    single = [x[:, 0] for x in arrays]
    _, weights = layer(*given(*single))
    close(weights, theirs(*torch_given(*single))[1])


@needs_torch
def test_causal_attention():
    mask = np.triu(np.ones((S, S), bool), 1)
    for more in ({}, {"add_bias_kv": True}, {"add_zero_attn": True}):
        layer, theirs = pair(E, H, batch_first=True, **more)
        x = rng.normal(size=(N, S, E))
        expected, _ = theirs(*torch_given(x, x, x), attn_mask=torch.tensor(mask))
        (x,) = given(x)
        close(layer(x, x, x, is_causal=True)[0], expected)
        close(layer(x, x, x, None, False, is_causal=True)[0], expected)
        close(layer(x, x, x, attn_mask=plait.tensor(mask), is_causal=True)[0], expected)


def test_dropout_in_training():
    layer = nn.MultiheadAttention(E, H, dropout=0.5, batch_first=True)
    x = plait.tensor(rng.normal(size=(N, 20, E)), dtype=plait.float32)
    for need_weights in (True, False):
        plait.manual_seed(0)
        first = layer(x, x, x, need_weights=need_weights)[0].numpy()
        assert (layer(x, x, x, need_weights=need_weights)[0].numpy() != first).any()
        plait.manual_seed(0)
        again = layer(x, x, x, need_weights=need_weights)[0].numpy()
        np.testing.assert_array_equal(first, again)
    weights = layer(x, x, x, average_attn_weights=False)[1].numpy()
    assert 0.4 < (weights == 0).mean() < 0.6
    key = plait.random.key(3)
    jitted = plait.jit(lambda x, key: layer(x, x, x, dropout_key=key)[0])
    expected = layer(x, x, x, dropout_key=key)[0].numpy()
    np.testing.assert_allclose(jitted(x, key).numpy(), expected, rtol=1e-5, atol=1e-6)


def x_of(*shape):
    return plait.zeros(shape)


WRONG = [
    (
        (x_of(L, N, E), x_of(S, N, E + 1), x_of(S, N, E)), {}, errors.ShapeError,
        "[MultiheadAttention] the shapes do not fit. Got: query (3, 2, 8), key "
        "(5, 2, 9), value (5, 2, 8). Expected: (l, n, 8), (s, n, 8), (s, n, 8); or all "
        "without n.",
    ),
    (
        (x_of(L, N, E), x_of(S, 1, E), x_of(S, 1, E)), {}, errors.ShapeError,
        "[MultiheadAttention] the shapes do not fit. Got: query (3, 2, 8), key "
        "(5, 1, 8), value (5, 1, 8). Expected: (l, n, 8), (s, n, 8), (s, n, 8); or all "
        "without n.",
    ),
    (
        (x_of(L, N, E), *[x_of(S, N, E)] * 2, plait.zeros((S, N), dtype=plait.bool)),
        {}, errors.ShapeError,
        "[MultiheadAttention] the key_padding_mask does not fit. Got: (5, 2). "
        "Expected: (2, 5).",
    ),
    (
        (x_of(L, N, E), *[x_of(S, N, E)] * 2), {"attn_mask": x_of(N, L, S)},
        errors.ShapeError,
        "[MultiheadAttention] the attn_mask does not fit. Got: (2, 3, 5). "
        "Expected: (3, 5) or (4, 3, 5).",
    ),
    (
        (x_of(L, N, E), *[x_of(S, N, E)] * 2),
        {"attn_mask": plait.zeros((L, S), dtype=plait.int64)}, errors.DTypeError,
        "[MultiheadAttention] a mask is neither bool nor floating-point. Got: int64.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "named", "kind", "message"), WRONG)
def test_wrong_inputs(inputs, named, kind, message):
    with pytest.raises(kind) as info:
        nn.MultiheadAttention(E, H)(*inputs, **named)
    assert message in str(info.value)


def test_wrong_sizes():
    with pytest.raises(errors.ArgumentError) as info:
        nn.MultiheadAttention(8, 3)
    assert str(info.value).startswith(
        "[MultiheadAttention] the heads cannot share the features evenly. "
        "Got: embed_dim=8, num_heads=3. Expected: a multiple of num_heads."
    )
    with pytest.raises(errors.ArgumentError, match="dropout must be a number"):
        nn.MultiheadAttention(8, 2, dropout=2)


# --- generation


def test_a_cache_gives_what_causal_attention_gives():
    layer = nn.MultiheadAttention(E, H, batch_first=True).double()
    x = plait.tensor(rng.normal(size=(N, 7, E)))
    whole = layer(x, x, x, is_causal=True)[0].numpy()
    cache = nn.KVCache(N, H, 9, E // H, dtype=plait.float64)
    for _ in range(2):
        found, start = [], 0
        for count in (3, 1, 2, 1):  # a prompt, then some tokens at once
            part = x[:, start : start + count]
            found.append(layer(part, part, part, cache=cache)[0].numpy())
            start += count
        np.testing.assert_allclose(np.concatenate(found, 1), whole, rtol=1e-12)
        assert cache.position.item() == 7
        assert not cache.keys[:, :, 7:].any()
        cache.reset()


def test_generation_is_one_program(monkeypatch, capfd):
    monkeypatch.setattr(plait.settings, "execution", "compile")
    block = nn.TransformerEncoderLayer(E, H, 16, batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(block, 1).eval()
    places = nn.LearnedPositionalEmbedding(24, E)
    caches = [nn.KVCache(1, H, 24, E // H)]
    token = plait.ones(1, 1, E)
    with plait.no_grad():
        for step in range(6):
            if step == 3:
                monkeypatch.setattr(plait.settings, "show", "compile")
            token = model(places(token, caches[0].position), caches=caches)
            token.numpy()
    assert "compiled" not in "".join(capfd.readouterr())


def test_errors_of_caches():
    cache = nn.KVCache(1, 2, 3, 4)
    with pytest.raises(errors.ShapeError) as info:
        cache.update(x_of(1, 2, 1, 5), x_of(1, 2, 1, 4))
    assert "the keys do not fit. Got: (1, 2, 1, 5). Expected: (1, 2, l, 4)." in str(
        info.value
    )
    cache.update(x_of(1, 2, 2, 4), x_of(1, 2, 2, 4))
    with pytest.raises(errors.ShapeError) as info:
        cache.update(x_of(1, 2, 2, 4), x_of(1, 2, 2, 4))
    assert (
        "there is no room left. Got: 2 tokens behind 2 of 3. "
        "Fix: make a longer cache, or call reset()." in str(info.value)
    )
    layer = nn.MultiheadAttention(8, 2, add_zero_attn=True)
    x = x_of(1, 1, 8)
    with pytest.raises(errors.ArgumentError, match="neither masks nor added keys"):
        layer(x, x, x, cache=nn.KVCache(1, 2, 3, 4))
