"""Layers that gate, beyond their samples."""

import pytest

import plait
from plait import errors, nn


def test_squeeze_and_excitation_has_the_names_of_torchvision():
    shapes = {n: x.shape for n, x in nn.SqueezeExcitation(8, 2).state_dict().items()}
    assert shapes == {
        "fc1.weight": (2, 8, 1, 1), "fc1.bias": (2,),
        "fc2.weight": (8, 2, 1, 1), "fc2.bias": (8,),
    }  # fmt: skip


def test_a_highway_hands_on_most_at_first():
    layer = nn.Highway(16, gate_bias=-4.0)
    x = plait.ones(3, 16)
    assert abs(layer(x).numpy() - 1).max() < 0.1
    layer.reset_parameters()
    assert (layer.gate.bias.numpy() == -4).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Highway(4, "soft"), r"\[Highway\] there is no activation"),
        (lambda: nn.MixtureOfExperts(nn.Linear(2, 1)), "there is no expert"),
        (
            lambda: nn.MixtureOfExperts(nn.Linear(2, 3), nn.ReLU())(plait.ones(2, 2)),
            r"scores of shape \(2, 3\)\. Expected: \(..., 1\)",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(errors.PlaitError, match=message):
        make()
