"""Modules as functions of their parameters."""

import numpy as np
import pytest

import plait
from plait import errors, nn


def test_other_tensors_stand_in_and_leave_again():
    layer = nn.Linear(2, 1)
    own = layer.weight
    x = plait.ones(3, 2)
    result = nn.functional_call(layer, {"weight": plait.zeros(1, 2)}, x)
    np.testing.assert_allclose(result.numpy(), np.full((3, 1), layer.bias.item()))
    assert layer.weight is own
    with pytest.raises(errors.ShapeError):
        nn.functional_call(layer, {"weight": plait.zeros(1, 3)}, (x,))
    assert layer.weight is own


def test_gradients_and_examples_by_transforms():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    rng = np.random.default_rng(0)
    x = plait.tensor(rng.normal(size=(5, 2)))

    def loss(parameters, x):
        return plait.square(nn.functional_call(model, parameters, x)).sum()

    state = model.state_dict()
    gradients = plait.grad(loss)(state, x)
    loss(dict(model.named_parameters()), x).backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(gradients[name].numpy(), parameter.grad.numpy())
    each = plait.vmap(plait.grad(loss), in_axes=(None, 0))(state, x)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            each[name].numpy().sum(0), gradient.numpy(), rtol=1e-10
        )
    fast = plait.jit(loss)
    for _ in range(2):
        np.testing.assert_allclose(fast(state, x).numpy(), loss(state, x).numpy())


def test_several_models_at_once():
    models = [nn.Linear(2, 3).double() for _ in range(4)]
    stacked = {
        name: plait.stack([model.state_dict()[name] for model in models])
        for name in models[0].state_dict()
    }
    x = plait.tensor(np.random.default_rng(0).normal(size=(5, 2)))
    found = plait.vmap(
        lambda state, x: nn.functional_call(models[0], state, x), in_axes=(0, None)
    )(stacked, x)
    for one, model in zip(found, models, strict=True):
        np.testing.assert_allclose(one.numpy(), model(x).numpy())


def test_running_averages_change_in_the_tensors_given():
    layer = nn.BatchNorm1d(2)
    x = plait.tensor(np.random.default_rng(0).normal(size=(8, 2)), dtype=plait.float32)

    @plait.jit
    def train(state, x):
        result = nn.functional_call(layer, state, x)
        return result, state

    result, new = train(layer.state_dict(), x)
    assert layer.running_mean.tolist() == [0.0, 0.0]
    expected = layer(x)
    np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-6)
    for name, tensor in layer.state_dict().items():
        np.testing.assert_allclose(new[name].numpy(), tensor.numpy(), rtol=1e-6)


def test_tied_tensors_are_replaced_together():
    model = nn.Module()
    model.a = nn.Linear(1, 1, bias=False)
    model.b = model.a
    model.forward = lambda x: model.a(x) + model.b(x)
    result = nn.functional_call(model, {"a.weight": plait.ones(1, 1)}, plait.ones(1, 1))
    assert result.item() == 2.0


def test_arguments_by_name_and_unknown_names():
    model = nn.Bilinear(1, 1, 1)
    x = plait.ones(1, 1)
    with pytest.raises(errors.ArgumentError, match=r"'wight'\. Expected: weight, bias"):
        nn.functional_call(model, {"wight": x}, (x, x))
    by_name = nn.functional_call(model, {}, (x,), {"input2": x})
    np.testing.assert_array_equal(by_name.numpy(), model(x, x).numpy())
