"""Small groups of layers beyond their samples."""

import numpy as np
import pytest

import plait
from plait import errors, nn


def test_squeeze_and_excitation_has_the_names_of_torchvision():
    shapes = {n: x.shape for n, x in nn.SqueezeExcitation(8, 2).state_dict().items()}
    assert shapes == {
        "fc1.weight": (2, 8, 1, 1), "fc1.bias": (2,),
        "fc2.weight": (8, 2, 1, 1), "fc2.bias": (8,),
    }  # fmt: skip


def test_stochastic_depth_leaves_out_whole_examples():
    plait.manual_seed(0)
    x = plait.ones(400, 3)
    result = nn.StochasticDepth(0.25)(x).numpy()
    np.testing.assert_allclose(np.unique(result), [0, 4 / 3], rtol=1e-6)
    assert (result.min(1) == result.max(1)).all()
    assert (result[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.06)
    batch = nn.StochasticDepth(0.5, "batch")
    whole = [batch(x).numpy() for _ in range(20)]
    assert all(one.min() == one.max() for one in whole)
    assert len({one.max() for one in whole}) == 2
    assert not nn.StochasticDepth(1.0)(x).numpy().any()
    layer = nn.StochasticDepth(0.5)
    key = plait.random.key(0)
    np.testing.assert_array_equal(
        plait.jit(layer)(x, key).numpy(), layer(x, key).numpy()
    )
    assert (layer.eval()(x).numpy() == 1).all()


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
        (lambda: nn.StochasticDepth(2.0), "p=2.0"),
        (lambda: nn.StochasticDepth(0.1, "col"), 'Expected: "row" or "batch"'),
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
