"""Layers with spatial axes beyond their samples: errors, text, initial values."""

import math

import numpy as np
import pytest

import plait
from plait import errors, nn

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def ones(*shape):
    return plait.ones(shape)


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_initial_values_are_those_of_kaiming(layer):
    plait.manual_seed(0)
    made = layer(8, 16, (3, 5), groups=2)
    fan_in = math.prod(made.weight.shape[1:])
    for parameter in (made.weight, made.bias):
        values = parameter.detach().numpy()
        bound = 1 / math.sqrt(fan_in)
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.8 * bound
    assert made.weight.detach().numpy().std() == pytest.approx(bound / 3**0.5, rel=0.1)


@needs_torch
@pytest.mark.parametrize(
    ("name", "args", "named"),
    [
        ("Conv1d", (2, 4, 3), {"padding": "same", "bias": False}),
        ("Conv2d", (2, 4, 3, 2, 1, 2, 2), {"padding_mode": "circular"}),
        ("ConvTranspose3d", (2, 4, 3, 2, 1, 1, 2), {"dilation": 2}),
        ("MaxPool2d", (2,), {"ceil_mode": True}),
        ("AvgPool2d", ((2, 3), 2), {}),
        ("AdaptiveAvgPool2d", ((None, 2),), {}),
        ("AdaptiveMaxPool1d", (3,), {}),
        ("ReflectionPad2d", (2,), {}),
        ("ConstantPad1d", ((1, 2), 0.5), {}),
        ("Upsample", (), {"scale_factor": 2.0, "mode": "bilinear"}),
        ("Upsample", ((3, 4),), {}),
        ("PixelShuffle", (2,), {}),
        ("PixelUnshuffle", (2,), {}),
        ("Dropout2d", (0.2,), {}),
        ("Embedding", (3, 4, 1, 2.0, 1.0, True), {}),
    ],
)
def test_the_text_is_that_of_torch(name, args, named):
    ours, theirs = getattr(nn, name)(*args, **named), getattr(torch.nn, name)
    assert repr(ours) == repr(theirs(*args, **named))


@needs_torch
@pytest.mark.parametrize("size", [(5, 7), (6, 8), (2, 4, 6, 7)])
def test_the_size_of_a_transposed_convolution(size):
    ours = nn.ConvTranspose2d(3, 4, (3, 2), 2, (0, 1), dilation=(1, 4))
    theirs = torch.nn.ConvTranspose2d(3, 4, (3, 2), 2, (0, 1), dilation=(1, 4))
    state = {n: torch.tensor(x.numpy()) for n, x in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        ours(plait.tensor(x), output_size=size).detach().numpy(),
        theirs(torch.tensor(x), output_size=size).detach().numpy(), atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("layer", [nn.Dropout1d, nn.Dropout2d, nn.Dropout3d])
def test_dropout_leaves_out_whole_channels(layer):
    plait.manual_seed(0)
    shape = {nn.Dropout1d: (9,), nn.Dropout2d: (3, 4), nn.Dropout3d: (2, 3, 4)}[layer]
    result = layer(0.25)(ones(20, 50, *shape)).numpy().reshape(1000, -1)
    assert set(np.unique(result)) == {0.0, np.float32(1 / 0.75)}
    assert (result == result[:, :1]).all()
    assert (result[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.05)


def test_dropout_of_channels_without_a_batch():
    plait.manual_seed(0)
    result = nn.Dropout1d(0.5)(ones(50, 9)).numpy()
    assert (result == result[:, :1]).all()
    assert len(np.unique(result)) == 2
    # Three axes are (n, channels, length) for images, (channels, length) is unknown.
    result = nn.Dropout2d(0.5)(ones(2, 50, 9)).numpy()
    assert (result == result[..., :1]).all()
    assert (result[0] != result[1]).any()


def test_alpha_dropout_of_channels():
    plait.manual_seed(0)
    x = plait.randn(20, 30, 5, 6)
    for layer, alike in ((nn.AlphaDropout(0.3), False),
                         (nn.FeatureAlphaDropout(0.3), True)):  # fmt: skip
        values, counts = np.unique(layer(x).numpy(), return_counts=True)
        left_out = layer(x).numpy() == values[counts.argmax()]
        assert left_out.mean() == pytest.approx(0.3, abs=0.05)
        assert (left_out == left_out[..., :1, :1]).all() == alike
        assert layer.eval()(x) is x


def test_layers_work_inside_jit():
    plait.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(),
        nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(),
    )  # fmt: skip
    x = plait.randn(2, 3, 8, 9)
    np.testing.assert_allclose(
        plait.jit(model)(x).numpy(), model(x).detach().numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.Conv2d(3, 4, 3)(ones(2, 4, 8, 8)), errors.ShapeError,
            "[Conv2d] the input does not fit. Got: shape (2, 4, 8, 8). Expected: "
            "(n, 3, height, width) or (3, height, width).",
        ),
        (
            lambda: nn.Conv1d(3, 4, 3)(ones(8)), errors.ShapeError,
            "[Conv1d] the input does not fit. Got: shape (8,). Expected: "
            "(n, 3, length) or (3, length).",
        ),
        (
            lambda: nn.Conv2d(3, 4, 5, padding=(0, 1))(ones(3, 4, 4)),
            errors.ShapeError,
            "[Conv2d] the input is smaller than the kernel. Got: shape (3, 4, 4), with "
            "padding (4, 6). Expected: at least (5, 5), padding included.",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2), errors.ArgumentError,
            "[Conv2d] the channels cannot be divided into so many groups. Got: "
            "in_channels=3, out_channels=4, groups=2.",
        ),
        (
            lambda: nn.Conv2d(3, 4, (3, 3, 3)), errors.ArgumentError,
            "[Conv2d] kernel_size does not fit. Got: kernel_size=(3, 3, 3) for 2 "
            "spatial axes. Expected: an integer of at least 1, or one for each spatial "
            "axis.",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, 1.5), errors.ArgumentTypeError,
            "[Conv2d] stride must be an integer or a list or tuple of integers. Got: "
            "1.5.",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, 0), errors.ArgumentError,
            "[Conv2d] stride does not fit. Got: stride=0 for 2 spatial axes. "
            "Expected: an integer of at least 1, or one for each spatial axis.",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, padding="full"), errors.ArgumentError,
            "[Conv2d] there is no padding of that name. Got: 'full'. Expected: "
            '"same", "valid", or integers.',
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, 2, "same"), errors.ArgumentError,
            '[Conv2d] padding="same" needs stride 1. Got: stride=(2, 2). '
            "Fix: give the padding as integers.",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, padding_mode="edge"), errors.ArgumentError,
            "[Conv2d] there is no padding_mode of that name. Got: 'edge'. Expected: "
            "zeros, reflect, replicate, circular.",
        ),
        (
            lambda: nn.ConvTranspose1d(3, 4, 3, padding_mode="reflect"),
            errors.ArgumentError,
            "[ConvTranspose1d] a transposed convolution cuts off its padding, so there "
            "is only one mode. Got: padding_mode='reflect'. Expected: zeros.",
        ),
        (
            lambda: nn.ConvTranspose1d(3, 4, 3, 2)(ones(3, 4), output_size=[11]),
            errors.ShapeError,
            "[ConvTranspose1d] the result cannot have that size. Got: output_size "
            "(11,) for an input of shape (3, 4). Expected: (9,) to (10,).",
        ),
        (
            lambda: nn.MaxPool2d(2, padding=2), errors.ArgumentError,
            "[MaxPool2d] the padding must be at most half of the window. Got: "
            "padding=2, kernel_size=2. Fix: pad first, with a layer such as ZeroPad2d.",
        ),
        (
            lambda: nn.MaxPool2d(3, dilation=2)(ones(1, 3, 4, 6)), errors.ShapeError,
            "[MaxPool2d] the input is smaller than the window. Got: shape "
            "(1, 3, 4, 6) for kernel_size=3, padding=0, dilation=2.",
        ),
        (
            lambda: nn.AvgPool3d(2)(ones(4, 4, 4)), errors.ShapeError,
            "[AvgPool3d] the input does not fit. Got: shape (4, 4, 4). Expected: "
            "(n, channels, depth, height, width) or (channels, depth, height, width).",
        ),
        (
            lambda: nn.AvgPool2d(2, divisor_override=0), errors.ArgumentError,
            "[AvgPool2d] the divisor is 0. Got: divisor_override=0.",
        ),
        (
            lambda: nn.AdaptiveAvgPool2d((0, None)), errors.ArgumentError,
            "[AdaptiveAvgPool2d] output_size does not fit. Got: output_size=(0, 1) for "
            "2 spatial axes. Expected: an integer of at least 1, or one for each "
            "spatial axis.",
        ),
        (
            lambda: nn.AdaptiveMaxPool1d(2)(ones(2, 3, 0)), errors.ShapeError,
            "[AdaptiveMaxPool1d] there is nothing to reduce on an empty axis. "
            "Got: shape (2, 3, 0).",
        ),
        (
            lambda: nn.ZeroPad2d((1, 2, 3)), errors.ArgumentError,
            "[ZeroPad2d] padding does not fit. Got: padding=(1, 2, 3). Expected: an "
            "integer, or 4: before and after the last axis, then the axis before it.",
        ),
        (
            lambda: nn.Upsample(), errors.ArgumentError,
            "[Upsample] either size or scale_factor is needed. Got: size=None, "
            "scale_factor=None.",
        ),
        (
            lambda: nn.PixelShuffle(0), errors.ArgumentError,
            "[PixelShuffle] upscale_factor must be an integer of at least 1. Got: 0.",
        ),
        (
            lambda: nn.Dropout3d(0.1)(ones(1, 3, 2)), errors.ShapeError,
            "[Dropout3d] the number of axes is wrong. Got: shape (1, 3, 2). Expected: "
            "4 or 5 axes.",
        ),
        (
            lambda: nn.FeatureAlphaDropout()(ones(3)), errors.ShapeError,
            "[FeatureAlphaDropout] axis 1 holds the channels. Got: shape (3,).",
        ),
        (
            lambda: nn.AlphaDropout(1.5), errors.ArgumentError,
            "[AlphaDropout] p must be a number from 0 to 1. Got: 1.5.",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.message == message


def test_an_error_names_the_layer_in_the_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(5, 4, 3))
    with pytest.raises(errors.ShapeError, match=r"\(n, 5, height, width\)") as info:
        model(ones(1, 3, 8, 8))
    assert info.value.layer == "2"
