"""Recurrent layers beyond their samples: lengths, cells, compiled loops, errors."""

import re

import numpy as np
import pytest

import plait
from plait import errors, nn
from plait.settings import settings

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
KINDS = ("RNN", "LSTM", "GRU")
every_kind = pytest.mark.parametrize("kind", KINDS)
LENGTHS = [3, 5, 1, 4]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def both(kind, *args, **named):
    """Return a layer and PyTorch's of the same weights, in float64."""
    layer = getattr(nn, kind)(*args, **named).double()
    theirs = getattr(torch.nn, kind)(*args, **named).double()
    state = {name: torch.tensor(x.numpy()) for name, x in layer.state_dict().items()}
    theirs.load_state_dict(state)
    return layer, theirs


def leaves(tree):
    return list(tree) if isinstance(tree, tuple) else [tree]


def close(found, expected, tolerance=1e-10):
    assert found.shape == tuple(expected.shape)
    expected = expected.detach().numpy()
    np.testing.assert_allclose(
        found.numpy(), expected, rtol=tolerance, atol=tolerance * abs(expected).max()
    )


@needs_torch
@every_kind
@pytest.mark.parametrize("execution", ["interpret", "compile"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)]
)
def test_a_training_step_equals_torch(kind, execution, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(settings, "execution", execution)
    plait.manual_seed(0)
    layer, theirs = both(kind, 7, 6, num_layers=2, bidirectional=True)
    layer, theirs = layer.to(getattr(plait, dtype)), theirs.to(getattr(torch, dtype))
    x = numbers(9, 5, 7).astype(dtype)
    own, their = (
        plait.tensor(x, requires_grad=True),
        torch.tensor(x, requires_grad=True),
    )
    result, expected = layer(own), theirs(their)
    for found, wanted in zip(
        [result[0], *leaves(result[1])],
        [expected[0], *leaves(expected[1])],
        strict=True,
    ):
        close(found, wanted, tolerance)
    weights = numbers(*result[0].shape, seed=1).astype(dtype)
    (result[0] * plait.tensor(weights)).sum().backward()
    (expected[0] * torch.tensor(weights)).sum().backward()
    close(own.grad, their.grad, tolerance)
    for name, parameter in theirs.named_parameters():
        close(layer.get_parameter(name).grad, parameter.grad, tolerance)


@every_kind
def test_layers_equal_their_cells(kind):
    layer = getattr(nn, kind)(3, 4).double()
    cell = getattr(nn, kind + "Cell")(3, 4).double()
    state = layer.state_dict()
    cell.load_state_dict({name.removesuffix("_l0"): state[name] for name in state})
    x = plait.tensor(numbers(6, 2, 3))
    result, end = layer(x)
    state = None
    for t in range(6):
        state = cell(x[t], state)
        np.testing.assert_allclose(
            result[t].numpy(), leaves(state)[0].numpy(), rtol=1e-12, atol=1e-14
        )
    for found, expected in zip(leaves(end), leaves(state), strict=True):
        np.testing.assert_allclose(
            found[0].numpy(), expected.numpy(), rtol=1e-12, atol=1e-14
        )


def test_relu_instead_of_tanh():
    layer = nn.RNN(2, 3, nonlinearity="relu")
    assert repr(layer) == "RNN(2, 3, nonlinearity=relu)"
    for parameter in layer.parameters():
        parameter.data = plait.ones(parameter.shape)
    assert layer(plait.ones(2, 1, 2))[0][:, 0].tolist() == [[4.0] * 3, [16.0] * 3]
    assert layer(-3 * plait.ones(2, 1, 2))[0][:, 0].tolist() == [[0.0] * 3] * 2
    with pytest.raises(
        errors.ArgumentError, match=r"no such nonlinearity\. Got: 'elu'"
    ):
        nn.RNN(2, 3, nonlinearity="elu")


# --- sequences of different lengths


@needs_torch
@every_kind
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
def test_packed_sequences_equal_torch(kind, bidirectional):
    plait.manual_seed(0)
    layer, theirs = both(kind, 3, 4, num_layers=2, bidirectional=bidirectional)
    x = numbers(4, 6, 3)
    own, their = (
        plait.tensor(x, requires_grad=True),
        torch.tensor(x, requires_grad=True),
    )
    packed = nn.pack_padded_sequence(own, LENGTHS, batch_first=True)
    their_packed = torch.nn.utils.rnn.pack_padded_sequence(
        their, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    close(packed.data, their_packed.data)
    assert packed.batch_sizes.tolist() == their_packed.batch_sizes.tolist()
    result, end = layer(packed)
    expected, their_end = theirs(their_packed)
    close(result.data, expected.data)
    for found, wanted in zip(leaves(end), leaves(their_end), strict=True):
        close(found, wanted)
    padded, lengths = nn.pad_packed_sequence(result, batch_first=True)
    wanted, _ = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    close(padded, wanted)
    assert lengths.tolist() == LENGTHS
    weights = numbers(*padded.shape, seed=1)
    total = (padded * plait.tensor(weights)).sum() + leaves(end)[-1].sum()
    total.backward()
    total = (wanted * torch.tensor(weights)).sum() + leaves(their_end)[-1].sum()
    total.backward()
    close(own.grad, their.grad)
    for name, parameter in theirs.named_parameters():
        close(layer.get_parameter(name).grad, parameter.grad)


@every_kind
def test_what_lies_beyond_the_end_does_not_matter(kind):
    layer = getattr(nn, kind)(3, 4, bidirectional=True)
    x = numbers(6, 4, 3).astype("float32")
    spoilt = np.where(
        np.arange(6)[:, None, None] < np.array(LENGTHS)[:, None], x, np.nan
    )
    gradients = []
    for values in (x, spoilt):
        layer.zero_grad()
        result, end = layer(plait.tensor(values), lengths=LENGTHS)
        (result.sum() + leaves(end)[0].sum()).backward()
        gradients.append([p.grad.numpy() for p in layer.parameters()])
        assert (result.numpy()[3:, 0] == 0).all()
    for first, second in zip(*gradients, strict=True):
        assert np.isfinite(second).all()
        np.testing.assert_array_equal(first, second)


def test_an_example_alone_gives_what_it_gives_in_a_batch():
    layer = nn.GRU(3, 4, batch_first=True, bidirectional=True).double()
    x = plait.tensor(numbers(4, 6, 3))
    result, end = layer(x, lengths=plait.tensor(LENGTHS))
    for i, length in enumerate(LENGTHS):
        alone, own_end = layer(x[i, :length].unsqueeze(0))
        np.testing.assert_allclose(result[i, :length].numpy(), alone[0].numpy(), 1e-12)
        np.testing.assert_allclose(end[:, i].numpy(), own_end[:, 0].numpy(), 1e-12)


def test_batches_of_other_lengths_share_a_program(monkeypatch, capsys):
    monkeypatch.setattr(settings, "execution", "compile")
    monkeypatch.setattr(settings, "show", "compile")
    layer = nn.LSTM(2, 3)
    x = plait.tensor(numbers(5, 4, 2).astype("float32"))
    plait.flush()
    capsys.readouterr()
    for lengths in (LENGTHS, [5, 5, 5, 5], [1, 2, 3, 4]):
        packed = nn.pack_padded_sequence(x, lengths)
        nn.pad_packed_sequence(layer(packed)[0], total_length=5)[0].numpy()
    assert len(re.findall("compiled because", capsys.readouterr().err)) == 1


def test_lengths_may_be_arguments_of_a_recorded_function():
    layer = nn.GRU(3, 4).eval()
    x, lengths = plait.tensor(numbers(6, 4, 3)), plait.tensor(LENGTHS)
    layer = layer.double()

    def run(x, lengths):
        packed = layer(nn.pack_padded_sequence(x, lengths))[0]
        return packed, nn.pad_packed_sequence(packed, total_length=6)[0]

    packed, padded = plait.jit(run)(x, lengths)
    assert isinstance(packed, nn.PackedSequence)
    np.testing.assert_allclose(
        padded.numpy(), layer(x, lengths=LENGTHS)[0].numpy(), rtol=1e-12
    )


@needs_torch
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_equals_torch(batch_first, side):
    parts = [numbers(n, 2) for n in LENGTHS]
    named = {"batch_first": batch_first, "padding_value": -1.0, "padding_side": side}
    found = nn.pad_sequence([plait.tensor(x) for x in parts], **named)
    close(
        found,
        torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x in parts], **named),
    )


@needs_torch
@pytest.mark.parametrize("total", [None, 5, 8])
def test_packing_sequences_equals_torch(total):
    parts = [numbers(n, 2) for n in LENGTHS]
    packed = nn.pack_sequence([plait.tensor(x) for x in parts])
    theirs = torch.nn.utils.rnn.pack_sequence(
        [torch.tensor(x) for x in parts], enforce_sorted=False
    )
    close(packed.data, theirs.data)
    named = {"padding_value": 2.5, "total_length": total}
    found, lengths = nn.pad_packed_sequence(packed, **named)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs, **named)
    close(found, expected)
    assert lengths.tolist() == LENGTHS


# --- one loop


def test_a_longer_sequence_is_no_larger_program():
    layer = nn.LSTM(4, 3)

    def loss(x):
        return layer(x)[0].sum()

    def text(steps):
        trace = plait.jit(plait.value_and_grad(loss)).trace(plait.zeros(steps, 2, 4))
        return trace.text()

    short, long = text(10), text(1000)
    assert short.count("\n") == long.count("\n")
    assert short.count("scan") > 0


@every_kind
def test_the_product_with_the_input_is_outside_the_loop(kind):
    layer = getattr(nn, kind)(7, 3)
    text = plait.jit(layer).trace(plait.zeros(5, 2, 7)).text()
    outside = [line for line in text.splitlines() if re.match(r"  %\S+ = dot", line)]
    assert len(outside) == 1, text


def test_a_thousand_steps():
    layer = nn.GRU(2, 3).double()
    x = numbers(1000, 1, 2)
    result, end = layer(plait.tensor(x))
    np.testing.assert_array_equal(result[-1].numpy(), end[0].numpy())
    assert result.shape == (1000, 1, 3)


# --- dropout between layers


def test_dropout_is_between_layers_and_needs_a_key_inside_jit():
    x = plait.tensor(numbers(5, 2, 3).astype("float32"))
    one, two = nn.LSTM(3, 4, dropout=0.5), nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    np.testing.assert_array_equal(one(x)[0].numpy(), one(x)[0].numpy())
    assert (two(x)[0].numpy() != two(x)[0].numpy()).any()
    first = two(x, key=plait.random.key(1))[0].numpy()
    np.testing.assert_array_equal(first, two(x, key=plait.random.key(1))[0].numpy())
    with pytest.raises(errors.TracingError, match="key"):
        plait.jit(two)(x)
    jitted = plait.jit(lambda x, key: two(x, key=key)[0])
    np.testing.assert_allclose(
        jitted(x, plait.random.key(1)).numpy(), first, rtol=1e-5, atol=1e-7
    )
    # With all of its input left out, the last layer knows nothing of x.
    everything = nn.LSTM(3, 4, num_layers=2, dropout=1.0)
    np.testing.assert_array_equal(
        everything(x)[0].numpy(), everything(plait.zeros(5, 2, 3))[0].numpy()
    )


# --- errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.LSTM(3, 4)(plait.zeros(5, 2, 6)), errors.ShapeError,
            "[LSTM] the input does not fit. Got: shape (5, 2, 6). Expected: 2 or 3 "
            "axes, the last of size 3.",
        ),
        (
            lambda: nn.GRU(3, 4)(plait.zeros(3)), errors.ShapeError,
            "[GRU] the input does not fit. Got: shape (3,). Expected: 2 or 3 axes, the "
            "last of size 3.",
        ),
        (
            lambda: nn.GRU(3, 4)(plait.zeros(0, 2, 3)), errors.ShapeError,
            "[GRU] the sequence has no step. Got: shape (0, 2, 3).",
        ),
        (
            lambda: nn.GRU(3, 4)(plait.zeros(5, 2, 3), plait.zeros(1, 3, 4)),
            errors.ShapeError,
            "[GRU] the state h does not fit. Got: shape (1, 3, 4). Expected: (1, 2, "
            "4).",
        ),
        (
            lambda: nn.LSTM(3, 4, batch_first=True)(
                plait.zeros(2, 5, 3), (plait.zeros(1, 2, 4), plait.zeros(2, 2, 4))
            ),
            errors.ShapeError,
            "[LSTM] the state c does not fit. Got: shape (2, 2, 4). Expected: (1, 2, "
            "4).",
        ),
        (
            lambda: nn.LSTM(3, 4)(plait.zeros(5, 2, 3), plait.zeros(1, 2, 4)),
            errors.ArgumentTypeError,
            "[LSTM] the state is of another kind. Got: Tensor. Expected: a pair (h, "
            "c).",
        ),
        (
            lambda: nn.LSTMCell(3, 4)(plait.zeros(2, 3), [plait.zeros(2, 4)]),
            errors.ArgumentTypeError,
            "[LSTMCell] the state is of another kind. Got: list. Expected: a pair (h, "
            "c).",
        ),
        (
            lambda: nn.RNNCell(3, 4)(plait.zeros(2, 3), plait.zeros(3, 4)),
            errors.ShapeError,
            "[RNNCell] the state h does not fit. Got: shape (3, 4). Expected: (2, 4).",
        ),
        (
            lambda: nn.RNN(3, 4)(plait.zeros(5, 2, 3), lengths=[5, 6]),
            errors.ArgumentError,
            "[RNN] a length is out of range. Got: length 6 of example 1. Expected: "
            "1..5.",
        ),
        (
            lambda: nn.pack_padded_sequence(plait.zeros(5, 2, 3), [0, 5]),
            errors.ArgumentError,
            "[pack_padded_sequence] a length is out of range. Got: length 0 of example "
            "0. Expected: 1..5.",
        ),
        (
            lambda: nn.pack_padded_sequence(plait.zeros(5, 2, 3), [4]),
            errors.ShapeError,
            "[pack_padded_sequence] one length is needed for each example. Got: "
            "lengths of shape (1,). Expected: shape (2,).",
        ),
        (
            lambda: nn.pack_padded_sequence(plait.zeros(5, 2, 3), plait.ones(2)),
            errors.DTypeError,
            "[pack_padded_sequence] lengths must be integers. Got: float32.",
        ),
        (
            lambda: nn.pack_padded_sequence(plait.zeros(5), [4]), errors.ShapeError,
            "[pack_padded_sequence] the input must have axes for steps and batch. Got: "
            "shape (5,).",
        ),
        (
            lambda: nn.pad_packed_sequence(
                nn.pack_padded_sequence(plait.zeros(5, 2, 3), [4, 2]), total_length=3
            ),
            errors.ArgumentError,
            "[pad_packed_sequence] total_length is less than the longest example. Got: "
            "total_length=3 for an example of 4 steps.",
        ),
        (
            lambda: nn.pad_sequence([plait.zeros(2, 3), plait.zeros(2, 4)]),
            errors.ShapeError,
            "[pad_sequence] sequence 1 is not like the first one. Got: (2, 4) after "
            "(2, 3). Expected: shapes that differ along the first axis only.",
        ),
        (
            lambda: nn.pack_sequence([]), errors.ArgumentError,
            "[pad_sequence] there is no sequence. Got: [].",
        ),
        (
            lambda: nn.pack_sequence([plait.zeros(2), plait.zeros(0)]),
            errors.ArgumentError,
            "[pack_padded_sequence] a length is out of range. Got: length 0 of example "
            "1. Expected: 1..2.",
        ),
        (
            lambda: nn.GRU(3, 4)(plait.zeros(5, 3), lengths=[4]), errors.ArgumentError,
            "[GRU] lengths are for batches. Got: an input of shape (5, 3).",
        ),
        (
            lambda: nn.GRU(3, 4)(
                nn.pack_padded_sequence(plait.zeros(5, 1, 3), [4]), lengths=[4]
            ),
            errors.ArgumentError,
            "[GRU] a packed sequence has lengths of its own. Fix: do not give lengths.",
        ),
        (
            lambda: nn.LSTM(3, 4, proj_size=4), errors.ArgumentError,
            "[LSTM] a projection must make the state smaller. Got: proj_size=4 of "
            "hidden_size=4.",
        ),
        (
            lambda: nn.LSTM(3, 4, num_layers=0), errors.ArgumentError,
            "[LSTM] num_layers must be an integer from 1 to 10000. Got: 0.",
        ),
        (
            lambda: nn.LSTM(3, 4, dropout=1.5), errors.ArgumentError,
            "[LSTM] dropout must be a number from 0 to 1. Got: 1.5.",
        ),
        (
            lambda: nn.LSTM(3, -4), errors.ArgumentError,
            "[LSTM] hidden_size must be an integer of at least 1. Got: -4.",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as info:
        call()
    assert info.value.message == message
