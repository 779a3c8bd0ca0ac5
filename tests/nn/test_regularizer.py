"""Losses with penalties, and weights that are put back."""

import numpy as np
import pytest

import plait
from plait import errors, nn, optim, train


def net():
    plait.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_penalties_of_weights_are_added():
    model = net()
    x, y = plait.randn(5, 3), plait.randn(5, 2)
    plain = nn.MSELoss()(model(x), y).item()
    weights = [model[0].weight.numpy(), model[2].weight.numpy()]
    loss = nn.RegularizedLoss(nn.MSELoss(), model, nn.L2(0.1))
    every = 0.1 * sum((w**2).sum() for w in weights)
    assert loss(model(x), y).item() == pytest.approx(plain + every, rel=1e-5)
    loss = nn.RegularizedLoss(nn.MSELoss(), model, {"2.*": nn.L1(0.5)})
    last = 0.5 * (abs(weights[1]).sum() + abs(model[2].bias.numpy()).sum())
    assert loss(model(x), y).item() == pytest.approx(plain + last, rel=1e-5)


def test_a_pattern_must_fit():
    with pytest.raises(errors.ArgumentError, match=r"'kernel'.*0.weight, 0.bias"):
        nn.RegularizedLoss(nn.MSELoss(), net(), {"kernel": nn.L2()})
    with pytest.raises(errors.ArgumentError, match="'kernel'"):
        train.Constrain(net(), {"kernel": nn.NonNeg()})


def test_a_hook_keeps_weights_within_their_bounds():
    model = net()
    data = [(plait.randn(8, 3), plait.randn(8, 2) * 10) for _ in range(6)]
    hook = train.Constrain(model, {"0.weight": nn.MaxNorm(0.5), "2.*": nn.NonNeg()})
    train.fit(
        model, data, loss_function=nn.MSELoss(), quiet=True, hooks=[hook],
        optimizer=optim.SGD(model.parameters(), lr=0.3),
    )  # fmt: skip
    norms = np.linalg.norm(model[0].weight.numpy(), axis=1)
    assert norms.max() <= 0.5 + 1e-6
    assert norms.max() > 0.49
    assert model[2].weight.numpy().min() >= 0
    assert model[2].bias.numpy().min() >= 0
    assert model[2].weight.requires_grad
