"""Batch normalisation taken into the layer before it, and parameters as a vector."""

import numpy as np
import pytest

import plait
from plait import nn
from plait.errors import ArgumentError, ShapeError


def seen(bn):
    """Return a normalisation with averages and factors other than at first."""
    rng = np.random.default_rng(0)
    n = bn.num_features
    bn.running_mean = plait.tensor(rng.normal(size=n))
    bn.running_var = plait.tensor(rng.uniform(0.5, 2, n))
    if bn.weight is not None:
        bn.weight.data = plait.tensor(rng.normal(size=n))
    if bn.bias is not None:
        bn.bias.data = plait.tensor(rng.normal(size=n))
    return bn.double().eval()


@pytest.mark.parametrize(
    ("layer", "bn", "shape"),
    [
        (nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), (2, 2, 5)),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (2, 4, 5, 4)),
        (nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2, affine=False), (2, 1, 3, 2, 3)),
        (nn.ConvTranspose1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), (2, 4, 5)),
        (nn.ConvTranspose2d(3, 2, 2, bias=False), nn.BatchNorm2d(2), (2, 3, 3, 2)),
        (nn.Linear(3, 5), nn.BatchNorm1d(5), (4, 3)),
        (nn.Linear(3, 5, bias=False), nn.BatchNorm1d(5, bias=False), (4, 3)),
    ],
)
def test_the_fused_layer_does_what_both_do(layer, bn, shape):
    layer, bn = layer.double().eval(), seen(bn)
    x = plait.randn(*shape, dtype=plait.float64)
    if isinstance(layer, nn.Linear):
        fused = nn.fuse_linear_bn_eval(layer, bn)
    else:
        transposed = "Transpose" in type(layer).__name__
        fused = nn.fuse_conv_bn_eval(layer, bn, transpose=transposed)
    before = layer.weight.numpy().copy()
    expected = bn(layer(x)).numpy()
    np.testing.assert_allclose(fused(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    assert type(fused) is type(layer)
    assert [n for n, _ in fused.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("fuse", "message"),
    [
        (lambda: nn.fuse_conv_bn_eval(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4).eval()),
         "[fuse_conv_bn_eval] layers in evaluation mode are needed, with running "
         "averages. Got: training=True and False, track_running_stats=True. Fix: call "
         "eval() first."),
        (lambda: nn.fuse_linear_bn_eval(
            nn.Linear(2, 4).eval(), nn.BatchNorm1d(3).eval()),
         "[fuse_linear_bn_eval] the layers do not fit together. Got: 4 features out of "
         "the first for num_features=3 of the second."),
        (lambda: nn.fuse_conv_bn_eval(
            nn.ConvTranspose1d(2, 4, 3).eval(), nn.BatchNorm1d(4).eval()),
         "[fuse_conv_bn_eval] transpose says whether the convolution is a transposed "
         "one. Got: transpose=False and a ConvTranspose1d."),
    ],
)  # fmt: skip
def test_what_cannot_be_fused(fuse, message):
    with pytest.raises(ArgumentError) as error:
        fuse()
    assert error.value.message == message


def test_parameters_as_a_vector():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1).double())
    vector = nn.parameters_to_vector(model.parameters())
    expected = np.concatenate([p.numpy().ravel() for p in model.parameters()])
    np.testing.assert_array_equal(vector.numpy(), expected)
    (vector**2).sum().backward()
    first = model[0].weight
    np.testing.assert_allclose(first.grad.numpy(), 2 * first.numpy(), rtol=1e-6)
    nn.vector_to_parameters(vector.detach() + 1, model.parameters())
    again = nn.parameters_to_vector(model.parameters())
    np.testing.assert_allclose(again.detach().numpy(), expected + 1, rtol=1e-6)
    assert model[0].weight is first
    assert [p.dtype.name for p in model.parameters()] == ["float32"] * 2 + [
        "float64"
    ] * 2
    with pytest.raises(ShapeError) as error:
        nn.vector_to_parameters(plait.ones(12), model.parameters())
    assert error.value.message == (
        "[vector_to_parameters] the vector does not fit the parameters. Got: (12,). "
        "Expected: (13,)."
    )
    with pytest.raises(ArgumentError, match="there are no parameters"):
        nn.parameters_to_vector([])
