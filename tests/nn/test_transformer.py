"""Transformers beyond their samples: masks, order of norms, stacks, errors."""

import warnings

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
ARGS = (8, 2, 2, 1, 6, 0.0)


def pair(**named):
    layer = nn.Transformer(*ARGS, batch_first=True, **named).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        theirs = torch.nn.Transformer(*ARGS, batch_first=True, **named).double()
    state = {n: torch.tensor(x.numpy()) for n, x in layer.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    return layer, theirs


def agree(found, expected, layer, theirs):
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12
    )
    found.square().sum().backward()
    expected.square().sum().backward()
    their_parameters = dict(theirs.named_parameters())
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(), their_parameters[name].grad.numpy(),
            rtol=1e-8, atol=1e-11, err_msg=name,
        )  # fmt: skip


@needs_torch
@pytest.mark.parametrize(
    ("norm_first", "bias", "execution"),
    [
        (False, True, "interpret"),
        (True, True, "interpret"),
        (False, False, "interpret"),
        (True, True, "compile"),
    ],
)
def test_masks(monkeypatch, norm_first, bias, execution):
    monkeypatch.setattr(plait.settings, "execution", execution)
    layer, theirs = pair(norm_first=norm_first, bias=bias, activation="gelu")
    src, tgt = rng.normal(size=(3, 5, 8)), rng.normal(size=(3, 4, 8))
    padding = np.zeros((3, 5), bool)
    padding[1, 3:] = True
    floats = np.where(padding, -np.inf, 0.0)
    causal = nn.Transformer.generate_square_subsequent_mask
    theirs_causal = torch.nn.Transformer.generate_square_subsequent_mask
    mask = causal(4, dtype=plait.float64)
    np.testing.assert_array_equal(mask.numpy(), theirs_causal(4).numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = theirs(
            torch.tensor(src), torch.tensor(tgt),
            tgt_mask=theirs_causal(4, dtype=torch.float64),
            src_key_padding_mask=torch.tensor(floats),
            memory_key_padding_mask=torch.tensor(floats),
        )  # fmt: skip
    src, tgt, padding = (plait.tensor(x) for x in (src, tgt, padding))
    found = layer(
        src, tgt, tgt_mask=mask, src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )  # fmt: skip
    agree(found, expected, layer, theirs)
    causal = layer(
        src, tgt, src_key_padding_mask=padding, memory_key_padding_mask=padding,
        tgt_is_causal=True,
    )  # fmt: skip
    np.testing.assert_allclose(causal.numpy(), found.numpy(), rtol=1e-9, atol=1e-12)


@needs_torch
def test_float32_is_as_close_as_rounding_allows():
    layer, theirs = pair()
    layer.float()
    theirs.float()
    src, tgt = rng.normal(size=(2, 3, 5, 8)).astype(np.float32)
    found = layer(plait.tensor(src), plait.tensor(tgt)).numpy()
    expected = theirs(torch.tensor(src), torch.tensor(tgt)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 6)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    assert len(list(stack.parameters())) == 2 * 12 + 2
    first, second = stack.layers
    assert first.linear1.weight is not second.linear1.weight is not layer.linear1.weight
    np.testing.assert_array_equal(
        first.linear1.weight.numpy(), second.linear1.weight.numpy()
    )


def test_a_decoder_with_caches_gives_what_it_gives_at_once():
    layer = nn.TransformerDecoderLayer(8, 2, 6, batch_first=True)
    stack = nn.TransformerDecoder(layer, 2, nn.LayerNorm(8)).double().eval()
    memory = plait.tensor(rng.normal(size=(2, 3, 8)))
    tgt = plait.tensor(rng.normal(size=(2, 4, 8)))
    whole = stack(tgt, memory, tgt_is_causal=True).numpy()
    caches = [nn.KVCache(2, 2, 5, 4, dtype=plait.float64) for _ in range(2)]
    parts = [stack(tgt[:, i : i + 1], memory, caches=caches) for i in range(4)]
    found = np.concatenate([x.numpy() for x in parts], 1)
    np.testing.assert_allclose(found, whole, rtol=1e-11)
    with pytest.raises(errors.ArgumentError) as info:
        stack(tgt, memory, caches=caches[:1])
    assert "each layer needs a cache of its own. Got: 1 for 2 layers." in str(
        info.value
    )


def test_other_stacks_may_be_given():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 6), 1)
    model = nn.Transformer(8, 2, custom_encoder=encoder, num_decoder_layers=1)
    assert model.encoder is encoder
    x = plait.zeros(3, 2, 8)
    assert model(x, x).shape == (3, 2, 8)


def test_errors():
    model = nn.Transformer(*ARGS)
    with pytest.raises(errors.ShapeError) as info:
        model(plait.zeros(3, 2, 8), plait.zeros(3, 4, 8))
    assert (
        "[Transformer] the shapes do not fit. Got: src (3, 2, 8), tgt (3, 4, 8). "
        "Expected: one batch on axis 1, and 8 features." in str(info.value)
    )
    with pytest.raises(errors.ArgumentError) as info:
        nn.TransformerEncoderLayer(8, 2, activation="swish")
    assert (
        "[TransformerEncoderLayer] there is no activation of this name. Got: 'swish'. "
        "Expected: celu, elu, exp, gelu, " in str(info.value)
    )
