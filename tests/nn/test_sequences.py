"""Both directions of a sequence, and layers for each step."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 3, 2))


def same(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, [5, 2, 3]])
@pytest.mark.parametrize("batch_first", [False, True])
def test_equals_lstm_in_both_directions(lengths, batch_first):
    both = nn.LSTM(2, 4, bidirectional=True, batch_first=batch_first).double()
    layer = nn.Bidirectional(nn.LSTM(2, 4, batch_first=batch_first)).double()
    state = both.state_dict()
    for part, suffix in (("forward_layer", ""), ("backward_layer", "_reverse")):
        values = {n: state[n + suffix] for n in layer.get_submodule(part).state_dict()}
        layer.get_submodule(part).load_state_dict(values)
    x = plait.tensor(X.swapaxes(0, 1).copy() if batch_first else X)
    expected, (h, c) = both(x, lengths=lengths)
    found, (ahead, back) = layer(x, lengths=lengths)
    same(found, expected)
    same(plait.concat([ahead[0], back[0]]), h)
    same(plait.concat([ahead[1], back[1]]), c)


def test_mask_and_lengths_of_a_recurrent_agree():
    layer = nn.Bidirectional(nn.Recurrent(nn.GRUCell(2, 3)), merge=None).double()
    x, lengths = plait.tensor(X), plait.tensor([5, 2, 3])
    mask = plait.arange(5).unsqueeze(1) < lengths
    by_length, ends = layer(x, lengths=lengths)
    by_mask, other_ends = layer(x, mask=mask)
    pairs = zip((*by_mask, *other_ends), (*by_length, *ends), strict=True)
    for found, expected in pairs:
        same(found, expected)


def test_the_copy_has_values_of_its_own():
    layer = nn.Bidirectional(nn.LSTM(2, 3))
    ahead, back = (
        one.weight_ih_l0.numpy() for one in (layer.forward_layer, layer.backward_layer)
    )
    assert not (ahead == back).any()


def test_both_directions_of_images():
    layer = nn.Bidirectional(nn.ConvLSTM1d(2, 3, 3, padding=1), merge="ave")
    result, (ahead, back) = layer(plait.ones(4, 2, 2, 6))
    assert result.shape == (4, 2, 3, 6)
    assert ahead[0].shape == back[1].shape == (2, 3, 6)


def test_states_at_the_start():
    layer = nn.Bidirectional(nn.Recurrent(nn.RNNCell(2, 3)), merge="sum").double()
    h = plait.tensor(rng.normal(size=(3, 3)))
    found, _ = layer(plait.tensor(X), (h, 2 * h))
    ahead, _ = layer.forward_layer(plait.tensor(X), h)
    back, _ = layer.backward_layer(plait.tensor(X[::-1].copy()), 2 * h)
    same(found, ahead + plait.flip(back, axis=0))


def test_errors():
    with pytest.raises(errors.ArgumentError, match=r"no such merge\. Got: 'add'"):
        nn.Bidirectional(nn.GRU(2, 3), merge="add")
    with pytest.raises(errors.ShapeError, match="must have steps"):
        nn.Bidirectional(nn.GRU(2, 3))(plait.ones(2))
    with pytest.raises(errors.ShapeError, match="axes for batch and steps"):
        nn.TimeDistributed(nn.ReLU())(plait.ones(2))
    with pytest.raises(errors.ArgumentError, match="length 9 of example 0"):
        nn.Bidirectional(nn.GRU(2, 3))(plait.ones(4, 2, 2), lengths=[9, 1])
