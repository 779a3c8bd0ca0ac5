"""Recurrence over any cell: the same as the layers that have it built in."""

import numpy as np
import pytest

import plait
from plait import errors, nn

rng = np.random.default_rng(0)
STEPS, BATCH, IN, SIZE = 5, 3, 2, 4
X = rng.normal(size=(STEPS, BATCH, IN))
LENGTHS = [5, 2, 3]
KINDS = [
    (nn.RNN, nn.RNNCell), (nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell),
]  # fmt: skip


def pair(layer_class, cell_class):
    """Return a layer, and a `Recurrent` with the same values."""
    layer = layer_class(IN, SIZE).double()
    cell = cell_class(IN, SIZE).double()
    state = {n.removesuffix("_l0"): x for n, x in layer.state_dict().items()}
    cell.load_state_dict(state)
    return layer, nn.Recurrent(cell)


def same(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def ends(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_equals_the_layer_of_that_cell(kind, lengths):
    layer, loop = pair(*kind)
    x = plait.tensor(X)
    expected, end = layer(x, lengths=lengths)
    found, own_end = loop(x, lengths=lengths)
    same(found, expected)
    for one, wanted in zip(ends(own_end), ends(end), strict=True):
        same(one, wanted.squeeze(0))
    if lengths is not None:
        mask = plait.arange(STEPS).unsqueeze(1) < plait.tensor(lengths)
        same(loop(x, mask=mask)[0], expected)
        first = nn.Recurrent(loop.cell, batch_first=True)
        found, _ = first(plait.moveaxis(x, 0, 1), mask=mask.mT)
        same(plait.moveaxis(found, 0, 1), expected)


def test_steps_that_do_not_count_have_no_influence():
    _, loop = pair(nn.LSTM, nn.LSTMCell)
    mask = np.ones((STEPS, BATCH), bool)
    mask[1:3, 0] = False
    spoiled = X.copy()
    spoiled[1:3, 0] = np.nan
    result, _ = loop(plait.tensor(spoiled), mask=plait.tensor(mask))
    shorter, _ = loop(plait.tensor(X[[0, 3, 4], :1]))
    same(result[:, 0][[0, 3, 4]], shorter[:, 0])
    assert not result.numpy()[1:3, 0].any()
    result.sum().backward()
    assert np.isfinite(loop.cell.weight_ih.grad.numpy()).all()


def test_backward_goes_from_the_last_step_that_counts():
    _, loop = pair(nn.GRU, nn.GRUCell)
    back = nn.Recurrent(loop.cell, reverse=True)
    found, end = back(plait.tensor(X), lengths=LENGTHS)
    for i, length in enumerate(LENGTHS):
        alone, alone_end = loop(plait.tensor(X[:length, i : i + 1][::-1].copy()))
        same(plait.flip(found[:length, i], axis=0), alone[:, 0])
        same(end[i], alone_end[0])


def test_a_state_at_the_start():
    _, loop = pair(nn.LSTM, nn.LSTMCell)
    x = plait.tensor(X)
    whole, end = loop(x)
    first, middle = loop(x[:2])
    second, own_end = loop(x[2:], middle)
    same(plait.concat([first, second]), whole)
    same(own_end[1], end[1])


def test_no_examples():
    result, (h, _) = nn.Recurrent(nn.LSTMCell(2, 3))(plait.zeros(4, 0, 2))
    assert result.shape == (4, 0, 3)
    assert h.shape == (0, 3)


def test_a_users_cell_may_say_what_it_hands_on():
    class Counter(nn.Module):
        """Counts its steps, and hands on the square of the count."""

        def forward(self, input, hx=None):
            count = plait.zeros(input.shape[0]) if hx is None else hx
            return count + 1

        def output(self, state):
            return state * state

    found, end = nn.Recurrent(Counter())(plait.zeros(4, 2, 1))
    assert found[:, 0].tolist() == [1, 4, 9, 16]
    assert end.tolist() == [4, 4]
    stack = nn.StackedRNNCells(nn.RNNCell(1, 3), Counter())
    found, _ = nn.Recurrent(stack)(plait.zeros(4, 2, 1))
    assert found[:, 1].tolist() == [1, 4, 9, 16]


def test_zoneout_keeps_a_part_of_the_state_anew_at_each_step():
    plait.manual_seed(0)
    size = 2000
    cell = nn.RNNCell(1, size)
    loop = nn.Recurrent(nn.ZoneoutCell(cell, 0.3))
    x = plait.tensor(rng.normal(size=(4, 1, 1)), dtype=plait.float32)
    states = loop(x)[0][:, 0].numpy()
    kept = states[1:] == states[:-1]
    assert kept.mean(1) == pytest.approx([0.3] * 3, abs=0.05)
    assert 0.1 < (kept[0] & kept[1]).mean() / kept[0].mean() < 0.5
    loop.eval()
    first = cell(x[0], plait.zeros(1, size))
    same(loop(x)[0][0], 0.7 * first)
    loop.train()
    with pytest.raises(errors.TracingError, match="key"):
        plait.jit(lambda x: loop(x)[0])(x)
    jitted = plait.jit(lambda x, key: loop(x, key=key)[0])
    key = plait.random.key(1)
    np.testing.assert_array_equal(jitted(x, key).numpy(), loop(x, key=key)[0].numpy())


def test_probabilities_of_zoneout_belong_to_the_tensors_of_the_state():
    cell = nn.ZoneoutCell(nn.LSTMCell(2, 3), (1.0, 0.0))
    x, h = plait.ones(2, 2), plait.full((2, 3), 0.5)
    new_h, new_c = cell(x, (h, h), key=plait.random.key(0))
    assert (new_h == h).all()
    assert not (new_c == h).any()


def call(layer, *args, **named):
    return lambda: layer(*args, **named)


x = plait.zeros(3, 2, 2)
loop = nn.Recurrent(nn.RNNCell(2, 3))
cases = [
    (
        lambda: nn.Recurrent(plait.tanh), errors.ArgumentTypeError,
        r"\[Recurrent\] cell must be a Module\. Got: a function",
    ),
    (
        call(loop, plait.zeros(0, 2, 2)), errors.ShapeError,
        r"must have steps\. Got: shape \(0, 2, 2\)",
    ),
    (
        call(loop, x, lengths=[1, 2], mask=plait.ones(3, 2, dtype=plait.bool)),
        errors.ArgumentError, "lengths and a mask say the same",
    ),
    (
        call(loop, x, mask=plait.ones(2, 3, dtype=plait.bool)), errors.ShapeError,
        r"Got: bool of shape \(2, 3\)\. Expected: bool of shape \(3, 2\)",
    ),
    (
        call(loop, x, lengths=[1, 4]), errors.ArgumentError, "length 4 of example 1",
    ),
    (lambda: nn.StackedRNNCells(), errors.ArgumentError, "there is no cell"),
    (
        call(nn.StackedRNNCells(nn.RNNCell(2, 3)), x[0], (x[0], x[0])),
        errors.ArgumentError, "2 for 1 cells",
    ),
    (
        lambda: nn.ZoneoutCell(nn.RNNCell(2, 3), 1.5), errors.ArgumentError,
        r"p must be a number from 0 to 1 .* Got: 1\.5",
    ),
    (
        call(nn.ZoneoutCell(nn.RNNCell(2, 3), (0.1, 0.2)), x[0]), errors.ArgumentError,
        "for 1 tensors",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), cases)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
