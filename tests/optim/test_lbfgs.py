"""L-BFGS against PyTorch's, and on functions whose minima are known."""

import pickle

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import ArgumentError, StateDictError

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
SETTINGS = [
    {"lr": 0.1, "max_iter": 4},
    {"lr": 0.5, "max_iter": 12, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_iter": 5},
    {"line_search_fn": "strong_wolfe", "max_iter": 20, "history_size": 10},
    {"line_search_fn": "strong_wolfe", "lr": 8.0, "max_iter": 6, "max_eval": 9},
]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))


def start():
    rng = np.random.default_rng(1)
    return rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)


def loss_of(library, parameters):
    a, b, c = parameters
    x, y = (library.tensor(z) for z in (X, Y))
    error = library.tanh(x @ a) @ b + c - y
    return (error * error).sum()


def stepper(library, parameters, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = loss_of(library, parameters)
        loss.backward()
        return loss

    return lambda: optimizer.step(closure).item()


def ours(settings):
    parameters = [nn.Parameter(x) for x in start()]
    optimizer = optim.LBFGS(parameters, **settings)
    return parameters, optimizer, stepper(plait, parameters, optimizer)


@needs_torch
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_torch(settings):
    parameters, _, step = ours(settings)
    others = [torch.nn.Parameter(torch.tensor(x)) for x in start()]
    their_step = stepper(torch, others, torch.optim.LBFGS(others, **settings))
    for _ in range(2):  # roundings grow with each iteration
        assert step() == pytest.approx(their_step(), rel=1e-6)
        for own, other in zip(parameters, others, strict=True):
            right = other.detach().numpy()
            np.testing.assert_allclose(own.numpy(), right, rtol=1e-5, atol=1e-7)


def test_follows_the_valley_of_rosenbrock_to_its_end():
    xy = nn.Parameter(np.array([-1.2, 1.0]))
    optimizer = optim.LBFGS(
        [xy], line_search_fn="strong_wolfe", max_iter=60, tolerance_change=0.0
    )

    def closure():
        optimizer.zero_grad()
        loss = (1 - xy[0]) ** 2 + 100 * (xy[1] - xy[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(xy.numpy(), [1, 1], atol=1e-6)
    assert optimizer.evaluations < 60


@pytest.mark.parametrize("settings", SETTINGS[1:3], ids=str)
def test_goes_on_where_the_state_was_taken(settings):
    parameters, optimizer, step = ours(settings)
    for _ in range(2):
        step()
    others, other, other_step = ours({"max_iter": 1})
    for a, b in zip(others, parameters, strict=True):
        a.data = plait.tensor(b.numpy())
    other.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    for _ in range(2):
        assert other_step() == step()
    for a, b in zip(others, parameters, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_parameters_keep_their_type():
    x = nn.Parameter(np.array([3.0, -2.0], np.float32))
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((x - 1) ** 2).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first.item() == 13.0
    assert x.dtype is plait.float32
    np.testing.assert_allclose(x.numpy(), [1, 1], atol=1e-5)


def test_what_is_refused():
    x = nn.Parameter(np.ones(2))
    with pytest.raises(ArgumentError, match="the loss is computed several times"):
        optim.LBFGS([x]).step()
    with pytest.raises(ArgumentError, match="there is one group"):
        optim.LBFGS([{"params": [x]}, {"params": [nn.Parameter(np.ones(2))]}])
    with pytest.raises(ArgumentError, match="neither 'strong_wolfe' nor None"):
        optim.LBFGS([x], line_search_fn="wolfe")
    _, optimizer, step = ours(SETTINGS[2])
    step()
    with pytest.raises(StateDictError, match="does not fit this LBFGS"):
        optim.LBFGS([nn.Parameter(z) for z in (np.ones(1),) * 3]).load_state_dict(
            optimizer.state_dict()
        )


def test_16_bit_parameters():
    x = nn.Parameter(plait.tensor([3.0, -2.0], dtype="bfloat16"))
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((x.float() - plait.tensor([1.0, 4.0])) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert x.tolist() == [1.0, 4.0]
    assert optimizer.state_dict()["state"]["gradient"].dtype is plait.float32
