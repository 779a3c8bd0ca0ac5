"""Activations, shapes, pooling and other small layers: special cases and errors."""

import numpy as np
import pytest

import plait
from plait import errors, nn


def test_a_rational_tanh_stays_finite():
    for dtype in (plait.float16, plait.bfloat16, plait.float32, plait.float64):
        x = plait.tensor([-6e4, -20.0, 0.0, 20.0, 6e4], dtype=dtype)
        x.requires_grad_()
        result = nn.RationalTanh()(x)
        result.sum().backward()
        values = result.float().numpy()
        np.testing.assert_allclose(values, [-1.7159, -1.7159, 0, 1.7159, 1.7159], 1e-2)
        assert np.isfinite(x.grad.float().numpy()).all()
    near = nn.RationalTanh()(plait.linspace(-3, 3, 50)).numpy()
    exact = 1.7159 * np.tanh(np.linspace(-3, 3, 50) * 2 / 3)
    assert abs(near - exact).max() < 0.03


def test_activations_by_name():
    x = plait.linspace(-2, 2, 9)
    for name, layer in (("relu", nn.ReLU()), ("hardswish", nn.Hardswish())):
        np.testing.assert_array_equal(nn.Activation(name)(x).numpy(), layer(x).numpy())
    assert repr(nn.Activation("gelu")) == "Activation('gelu')"
    assert repr(nn.Activation(plait.tan)) == "Activation(tan)"


def test_crops_undo_pads():
    x = plait.ones(2, 3, 4, 5)
    sides = (1, 2, 0, 3)
    assert nn.Cropping2d(sides)(nn.ZeroPad2d(sides)(x)).tolist() == x.tolist()


def test_masking_gives_what_recurrence_takes():
    x = np.ones((2, 4, 3), np.float32)
    x[1, 2:] = -1
    kept, mask = nn.Masking(-1.0)(plait.tensor(x))
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert not kept[1, 2:].numpy().any()
    layer = nn.GRU(3, 2, batch_first=True)
    by_length, _ = layer(kept, lengths=mask.sum(-1))
    assert not by_length[1, 2:].numpy().any()


def test_bytes_are_rescaled_to_floats():
    x = plait.tensor([0, 51, 255], dtype=plait.uint8)
    result = nn.Rescaling(1 / 255)(x)
    assert result.dtype is plait.float32
    np.testing.assert_allclose(result.numpy(), [0, 0.2, 1], rtol=1e-6)


def test_a_tied_table_goes_back():
    layer = nn.ReversibleEmbedding(5, 3, logit_soft_cap=2.0)
    x = plait.ones(2, 3)
    expected = 2 * np.tanh(layer.weight.numpy().sum(1) / 2)
    np.testing.assert_allclose(layer(x, reverse=True).numpy()[1], expected, rtol=1e-5)
    apart = nn.ReversibleEmbedding(5, 3, tie_weights=False)
    before = apart.reverse_weight.numpy()
    np.testing.assert_allclose(
        apart(x, reverse=True).numpy()[0], before.sum(1), rtol=1e-5
    )
    apart.reset_parameters()
    assert not (apart.reverse_weight.numpy() == before).any()


def test_linear_biases_of_attention():
    layer = nn.ALiBi(2)
    assert layer.bias(1, 3, offset=2).tolist() == [
        [[-0.125, -0.0625, 0.0]],
        [[-0.0078125, -0.00390625, 0.0]],
    ]
    later = layer.bias(1, 3, offset=plait.tensor(2))
    np.testing.assert_array_equal(later.numpy(), layer.bias(1, 3, 2).numpy())
    q, k = plait.rand(2, 2, 3, 4), plait.rand(2, 2, 3, 4)
    mixed = plait.scaled_dot_product_attention(q, k, k, layer.bias(3, 3))
    weights = plait.softmax(layer(q @ k.mT / 2), -1)
    np.testing.assert_allclose(mixed.numpy(), (weights @ k).numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Activation("swish"), r"Got: 'swish'\. Expected: celu, elu"),
        (lambda: nn.Maxout(0), "nothing to compare"),
        (lambda: nn.Maxout(2)(plait.ones(2, 3)), "size 3 of axis 1, for pieces=2"),
        (lambda: nn.CReLU(2)(plait.ones(2, 3)), r"no such axis\. Got: dim=2"),
        (lambda: nn.Lambda(3), "function must be a function. Got: 3"),
        (lambda: nn.Masking()(plait.ones(3)), r"Got: shape \(3,\)"),
        (lambda: nn.Reshape((-1, -1)), r"shape=\(-1, -1\)"),
        (lambda: nn.Reshape((2, -2)), r"shape=\(2, -2\)"),
        (
            lambda: nn.Reshape((2, 3))(plait.ones(4, 5)),
            r"shape \(4, 5\) for shape=\(2, 3\)\. Expected: .* 6 elements behind n",
        ),
        (lambda: nn.Reshape((2, -1))(plait.ones(4, 5)), "not as many elements"),
        (lambda: nn.RepeatVector(-1), "n must be an integer of at least 0"),
        (lambda: nn.RepeatVector(2)(plait.ones(3)), r"Expected: \(batch, features\)"),
        (
            lambda: nn.Cropping2d((1, -1, 0, 0)),
            r"cropping=\(1, -1, 0, 0\).* use ZeroPad2d",
        ),
        (lambda: nn.Cropping1d(3)(plait.ones(1, 2, 5)), "Cropping1d|pad"),
        (lambda: nn.GlobalAvgPool2d()(plait.ones(2, 3)), r"Got: shape \(2, 3\)"),
        (lambda: nn.GlobalMaxPool1d()(plait.ones(2, 3, 0)), "empty axis"),
        (lambda: nn.ALiBi(0), "num_heads must be an integer of at least 1"),
        (lambda: nn.ALiBi(2)(plait.ones(3, 4, 4)), r"Expected: \(..., 2, l, s\)"),
        (lambda: nn.DepthwiseConv1d(0, 2), "must be channels"),
        (
            lambda: nn.LocallyConnected1d(2, 3, 4, 5),
            r"input_size=\(4,\), kernel_size=\(5,\)",
        ),
        (
            lambda: nn.LocallyConnected2d(2, 3, 4, 2)(plait.ones(1, 2, 4, 5)),
            r"another size\. Got: shape \(1, 2, 4, 5\)\. Expected: .* \(4, 4\)",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(errors.PlaitError, match=message):
        call()
