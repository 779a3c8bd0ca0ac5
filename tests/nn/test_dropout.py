"""Layers that leave out, beyond their samples."""

import numpy as np
import pytest

import plait
from plait import errors, nn


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.StochasticDepth(2.0),
            r"\[StochasticDepth\] p must be a number from 0 to 1. Got: 2.0",
        ),
        (lambda: nn.StochasticDepth(0.1, "col"), 'Expected: "row" or "batch"'),
        (
            lambda: nn.Dropout(-0.5),
            r"\[Dropout\] p must be a number from 0 to 1. Got: -0.5",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(errors.ArgumentError, match=message):
        make()
