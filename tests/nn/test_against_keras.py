"""Layers that Keras has and PyTorch lacks, compared with Keras.

Its arrays have the channels last. Everything here also has a reference in NumPy, in the
layer's own samples; this finds out whether the formula is Keras's.
"""

import importlib.util
import os

import numpy as np
import pytest

import plait
from plait import nn

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed", allow_module_level=True)

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
L = keras.layers
rng = np.random.default_rng(0)

# Keras asks for arrays in a way that NumPy will give up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def in_float64():
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx(before)


def x(*shape):
    return rng.normal(size=shape)


def last(array, rank):
    """Move the channels behind the last `rank` axes."""
    return np.moveaxis(array, -rank - 1, -1)


def out(value):
    return value.detach().cpu().numpy()


def theirs(layer, *inputs, **named):
    """Call a layer of Keras in evaluation mode."""
    return out(layer(inputs[0] if len(inputs) == 1 else list(inputs), **named))


def ours(layer, *inputs, **named):
    layer = layer.double().eval()
    given = [plait.tensor(one) for one in inputs]
    return layer(*given, **named)


def put(parameter, array):
    parameter.data = plait.tensor(np.ascontiguousarray(array))


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-7)


# Without sparsemax: Keras 3.15 returns only zeros for some rows.
ACTIVATIONS = {
    "exponential": nn.Exponential(),
    "sparse_plus": nn.SparsePlus(),
    "sparse_sigmoid": nn.SparseSigmoid(),
    "squareplus": nn.Squareplus(),
    "relu": nn.Activation("relu"),
    "tanh_shrink": nn.Activation("tanhshrink"),
    "hard_sigmoid": nn.Activation("hardsigmoid"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    array = x(4, 5) * 2
    close(ours(ACTIVATIONS[name], array), theirs(L.Activation(name), array))


@pytest.mark.parametrize(
    "name",
    ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"],
)
def test_merging(name):
    pair = x(3, 4), x(3, 4)
    close(ours(getattr(nn, name)(), *pair), theirs(getattr(L, name)(), *pair))


def test_concatenate_and_dot():
    pair = x(3, 4, 2), x(3, 4, 5)
    close(ours(nn.Concatenate(-1), *pair), theirs(L.Concatenate(), *pair))
    close(ours(nn.Dot(1), *pair), theirs(L.Dot(axes=1), *pair))
    close(ours(nn.Dot(1, True), *pair), theirs(L.Dot(axes=1, normalize=True), *pair))
    vectors = x(3, 4), x(3, 4)
    close(ours(nn.Dot(1), *vectors), theirs(L.Dot(axes=1), *vectors))


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    query, key, value = x(2, 3, 4), x(2, 5, 4), x(2, 5, 6)
    mask = rng.random((2, 3, 5)) > 0.4
    mask[..., 0] = True
    pairs = (
        (nn.Attention(use_scale=True), L.Attention(use_scale=True)),
        (nn.AdditiveAttention(4), L.AdditiveAttention()),
    )
    for layer, their in pairs:
        their.build([query.shape, value.shape, key.shape])
        scale = rng.normal(size=layer.scale.shape)
        put(layer.scale, scale)
        their.set_weights([scale])
        padding = np.ones((2, 3), bool), mask[:, 0]
        expected = their(
            [query, value, key], mask=[None, padding[1]], use_causal_mask=causal
        )
        allowed = plait.tensor(padding[1][:, None, :])
        found = ours(layer, query, key, value, attn_mask=allowed, is_causal=causal)
        close(found, out(expected))


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_group_query_attention(need_weights, causal, special):
    query, value = x(2, 3, 8), x(2, 5, 8)
    options = {"sliding_window": 2, "use_gate": True} if special else {}
    layer = nn.GroupQueryAttention(8, 4, 2, head_dim=3, batch_first=True, **options)
    their = L.GroupQueryAttention(3, 4, 2, **options)
    their.build(query.shape, value.shape)
    weights = [rng.normal(size=one.shape) for one in their.get_weights()]
    their.set_weights(weights)
    names = {"query": layer.q_proj, "key": layer.k_proj, "value": layer.v_proj}
    names |= {"attention_output": layer.out_proj, "gate": layer.gate_proj}
    for variable, array in zip(their.weights, weights, strict=True):
        part = names[variable.path.split("/")[-2]]
        if variable.name == "bias":
            put(part.bias, array.reshape(-1))
        else:
            put(part.weight, array.reshape(part.weight.shape[::-1]).T)
    found, shares = ours(
        layer, query, value, value, need_weights=need_weights, is_causal=causal,
        average_attn_weights=False,
    )  # fmt: skip
    expected, scores = their(
        query, value, return_attention_scores=True, use_causal_mask=causal
    )
    close(found, out(expected))
    assert (shares is None) != need_weights
    if need_weights:
        close(shares, out(scores))


@pytest.mark.parametrize("rank", [1, 2])
def test_depthwise_and_separable(rank):
    shape = (2, 3, 7, 6)[: 2 + rank]
    kernel = (3, 2)[:rank]
    array = x(*shape)
    options = {"dilation_rate": 2, "depth_multiplier": 2}
    layer = getattr(nn, f"DepthwiseConv{rank}d")(
        3, kernel, dilation=2, depth_multiplier=2
    )
    their = getattr(L, f"DepthwiseConv{rank}D")(kernel, **options)
    expected = theirs(their, last(array, rank))
    weight, bias = their.get_weights()
    put(layer.weight, depthwise_weight(weight, rank))
    put(layer.bias, bias)
    close(ours(layer, array), np.moveaxis(expected, -1, 1))

    layer = getattr(nn, f"SeparableConv{rank}d")(3, 5, kernel, 2, depth_multiplier=2)
    their = getattr(L, f"SeparableConv{rank}D")(
        5, kernel, strides=2, depth_multiplier=2
    )
    expected = theirs(their, last(array, rank))
    depthwise, pointwise, bias = their.get_weights()
    put(layer.depthwise.weight, depthwise_weight(depthwise, rank))
    put(layer.pointwise.weight, np.moveaxis(pointwise, (-1, -2), (0, 1)))
    put(layer.pointwise.bias, bias)
    close(ours(layer, array), np.moveaxis(expected, -1, 1))


def depthwise_weight(weight, rank):
    """From (*kernel, channels, multiplier) to (channels * multiplier, 1, *kernel)."""
    moved = np.moveaxis(weight, (-2, -1), (0, 1))
    return moved.reshape((-1, 1, *weight.shape[:rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_conv_lstm(rank, padding):
    shape = (2, 3, 2, 5, 4, 4)[: 3 + rank]
    array = x(*shape)
    layer = getattr(nn, f"ConvLSTM{rank}d")(2, 3, 3, padding=padding, batch_first=True)
    their = getattr(L, f"ConvLSTM{rank}D")(
        3, 3, padding=padding, return_sequences=True, return_state=True
    )
    expected, h, c = their(np.moveaxis(array, 2, -1))
    kernel, recurrent, bias = their.get_weights()
    put(layer.weight_ih, np.moveaxis(kernel, (-1, -2), (0, 1)))
    put(layer.weight_hh, np.moveaxis(recurrent, (-1, -2), (0, 1)))
    put(layer.bias, bias)
    found, (own_h, own_c) = ours(layer, array)
    close(found, np.moveaxis(out(expected), -1, 2))
    close(own_h, np.moveaxis(out(h), -1, 1))
    close(own_c, np.moveaxis(out(c), -1, 1))


def lstm_weights(cell, weights):
    """Give an `LSTMCell` the weights of Keras: its matrices stand the other way."""
    kernel, recurrent, bias = weights
    put(cell.weight_ih, kernel.T)
    put(cell.weight_hh, recurrent.T)
    put(cell.bias_ih, bias)
    put(cell.bias_hh, np.zeros_like(bias))


def test_recurrent_and_stacked_cells_with_a_mask():
    array = x(3, 5, 2)
    array[0, 3:] = 0
    array[1, 2] = 0  # in the middle, too
    cells = [L.LSTMCell(4), L.LSTMCell(3)]
    their = L.RNN(L.StackedRNNCells(cells), return_sequences=True, return_state=True,
                  zero_output_for_mask=True)  # fmt: skip
    masked = L.Masking()(array)
    expected, *states = their(masked, mask=(array != 0).any(-1))
    layer = nn.Recurrent(
        nn.StackedRNNCells(nn.LSTMCell(2, 4), nn.LSTMCell(4, 3)), batch_first=True
    )
    for own, cell in zip(layer.cell.cells, cells, strict=True):
        lstm_weights(own, cell.get_weights())
    kept, mask = nn.Masking()(plait.tensor(array))
    found, ends = layer.double()(kept, mask=mask)
    close(found, out(expected))
    for own, wanted in zip(ends, states, strict=True):
        for one, their_one in zip(own, wanted, strict=True):
            close(one, out(their_one))


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
def test_bidirectional(merge):
    array = x(3, 5, 2)
    their = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=merge)
    expected = theirs(their, array)
    layer = nn.Bidirectional(
        nn.Recurrent(nn.LSTMCell(2, 4), batch_first=True), merge=merge
    )
    weights = their.get_weights()
    lstm_weights(layer.forward_layer.cell, weights[:3])
    lstm_weights(layer.backward_layer.cell, weights[3:])
    close(ours(layer, array)[0], expected)


def test_time_distributed():
    array = x(2, 3, 4, 5, 2)
    their = L.TimeDistributed(L.Conv2D(3, 2))
    expected = theirs(their, array)
    kernel, bias = their.get_weights()
    layer = nn.TimeDistributed(nn.Conv2d(2, 3, 2))
    put(layer.layer.weight, np.moveaxis(kernel, (-1, -2), (0, 1)))
    put(layer.layer.bias, bias)
    close(ours(layer, np.moveaxis(array, -1, 2)), np.moveaxis(expected, -1, 2))


@pytest.mark.parametrize(
    ("equation", "shape", "bias_axes"),
    [("abc,cd->abd", (None, 6), "d"), ("abc,cde->abde", (None, 2, 3), "de")],
)
def test_einsum_dense(equation, shape, bias_axes):
    array = x(2, 3, 4)
    their = L.EinsumDense(equation, output_shape=shape, bias_axes=bias_axes)
    expected = theirs(their, array)
    kernel, bias = their.get_weights()
    layer = nn.EinsumDense(equation, kernel.shape, bias_axes)
    put(layer.weight, kernel)
    put(layer.bias, bias.reshape(layer.bias.shape))
    close(ours(layer, array), expected)


@pytest.mark.skipif(not hasattr(L, "TernaryDense"), reason="an older Keras")
def test_ternary_dense():
    array = x(3, 4)
    their = L.TernaryDense(5)
    expected = theirs(their, array)
    kernel, bias = their.get_weights()
    layer = nn.TernaryDense(4, 5)
    put(layer.weight, kernel.T)
    put(layer.bias, bias)
    close(ours(layer, array), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cropping_and_global_pooling(rank):
    array = x(*(2, 3, 5, 6, 4)[: 2 + rank])
    pairs = [(1, 2), (0, 1), (2, 1)][:rank]
    flat = [n for pair in pairs[::-1] for n in pair]
    given = pairs[0] if rank == 1 else pairs
    expected = theirs(getattr(L, f"Cropping{rank}D")(given), last(array, rank))
    found = ours(getattr(nn, f"Cropping{rank}d")(flat), array)
    close(found, np.moveaxis(expected, -1, 1))
    for own, their in (("Avg", "Average"), ("Max", "Max")):
        expected = theirs(
            getattr(L, f"Global{their}Pooling{rank}D")(), last(array, rank)
        )
        close(ours(getattr(nn, f"Global{own}Pool{rank}d")(), array), expected)


def test_small_ones():
    array = x(3, 4, 2)
    close(ours(nn.UnitNormalization(), array), theirs(L.UnitNormalization(), array))
    close(ours(nn.Rescaling(0.5, -1), array), theirs(L.Rescaling(0.5, -1), array))
    close(ours(nn.Permute((0, 2, 1)), array), theirs(L.Permute((2, 1)), array))
    close(ours(nn.Reshape((-1, 4)), array), theirs(L.Reshape((-1, 4)), array))
    flat = array[:, 0]
    close(ours(nn.RepeatVector(3), flat), theirs(L.RepeatVector(3), flat))
    their = L.Masking(array[0, 0, 0])
    close(ours(nn.Masking(array[0, 0, 0]), array)[0], theirs(their, array))


@pytest.mark.parametrize("tied", [True, False])
def test_reversible_embedding(tied):
    their = L.ReversibleEmbedding(5, 3, tie_weights=tied, logit_soft_cap=2.0)
    ids, array = rng.integers(0, 5, (3, 4)), x(3, 4, 3)
    expected = theirs(their, ids)
    weights = their.get_weights()
    layer = nn.ReversibleEmbedding(5, 3, tied, 2.0)
    put(layer.weight, weights[0])
    if not tied:
        put(layer.reverse_weight, weights[1].T)
    close(ours(layer, ids), expected)
    close(ours(layer, array, reverse=True), theirs(their, array, reverse=True))
