"""Every optimizer, by the sets of hyperparameters that it gives of itself."""

import copy
import pickle

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.tensor.trie import roots

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

OPTIMIZERS = {
    name: getattr(optim, name)
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    and issubclass(getattr(optim, name), optim.Optimizer)
    and name not in ("Optimizer", "LBFGS")  # which has no rule for one gradient
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_sample = pytest.mark.parametrize(
    ("name", "sample"),
    [
        pytest.param(name, sample, id=f"{name}-{i}")
        for name, optimizer in OPTIMIZERS.items()
        for i, sample in enumerate(optimizer.samples())
    ],
)
SHAPES = ((4, 3), (4,), (2, 1, 4), (), (0, 3))


def arrays(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


def make(name, sample, dtype=np.float64):
    parameters = [nn.Parameter(x) for x in arrays(0, dtype)]
    return OPTIMIZERS[name](parameters, **sample), parameters


def feed(parameters, seed):
    for parameter, x in zip(parameters, arrays(seed), strict=True):
        parameter.grad = plait.tensor(x, dtype=parameter.dtype)


def values(parameters):
    return [parameter.numpy().copy() for parameter in parameters]


@every_sample
def test_a_step_as_a_function_is_the_same_step(name, sample):
    optimizer, parameters = make(name, sample)
    numbers = {
        label: plait.tensor(x, dtype=plait.float64)
        for label, x in optimizer.param_groups[0].items()
        if isinstance(x, float) and x
    }

    @plait.jit
    def updated(parameter, gradient, state, step, numbers):
        settings = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
        settings.update(numbers)
        return optimizer.updated(parameter, gradient, state, step, settings)

    own = [p.detach() for p in parameters]
    defaults = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    states = [optimizer.init(p, **defaults) for p in own]
    for turn in (1, 2, 3):
        feed(parameters, turn)
        step = plait.tensor(float(turn), dtype=plait.float64)
        for i, p in enumerate(parameters):
            own[i], states[i] = updated(own[i], p.grad, states[i], step, numbers)
        optimizer.step()
        for p, new, state in zip(parameters, own, states, strict=True):
            np.testing.assert_allclose(new.numpy(), p.numpy(), rtol=1e-12)
            for label, x in state.items():
                kept = optimizer.state[p][label].numpy()
                np.testing.assert_allclose(x.numpy(), kept, rtol=1e-12)


def test_every_optimizer_gives_samples():
    assert [name for name, one in OPTIMIZERS.items() if not one.samples()] == []


@needs_torch
@every_sample
def test_equals_torch(name, sample):
    ours, parameters = make(name, sample)
    theirs = [torch.nn.Parameter(torch.tensor(x)) for x in arrays(0)]
    their_optimizer = getattr(torch.optim, name)(theirs, **sample)
    for seed in range(1, 16):
        feed(parameters, seed)
        for parameter, x in zip(theirs, arrays(seed), strict=True):
            parameter.grad = torch.tensor(x)
        if seed % 3 == 0:  # a parameter that had no part in the loss
            parameters[1].grad = theirs[1].grad = None
        ours.step()
        their_optimizer.step()
        for found, expected in zip(parameters, theirs, strict=True):
            np.testing.assert_allclose(
                found.numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-9
            )


@every_optimizer
def test_finds_the_minimum_of_a_bowl(name):
    x = nn.Parameter(np.array([3.0, -2.0, 1.0]))
    scales, minimum = np.array([1.0, 4.0, 9.0]), np.array([-1.0, 0.5, 2.0])
    optimizer = OPTIMIZERS[name]([x], **OPTIMIZERS[name].samples()[0])
    for _ in range(1500):
        optimizer.zero_grad()
        (plait.square(x - minimum) * scales).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(x.numpy(), minimum, atol=1e-3)


@every_optimizer
def test_follows_the_valley_of_rosenbrock(name):
    xy = nn.Parameter(np.array([-1.2, 1.0]))
    optimizer = OPTIMIZERS[name]([xy], **OPTIMIZERS[name].samples()[0])
    loss = plait.value_and_grad(
        lambda xy: (1 - xy[0]) ** 2 + 100 * (xy[1] - xy[0] ** 2) ** 2
    )
    first, _ = loss(xy)
    for _ in range(3000):
        last, xy.grad = loss(xy)
        optimizer.step()
    assert last.item() < 1e-3 * first.item()


@every_sample
def test_goes_on_where_the_state_was_taken(name, sample):
    optimizer, parameters = make(name, sample)
    for seed in range(1, 4):
        feed(parameters, seed)
        optimizer.step()
    state = pickle.loads(pickle.dumps(optimizer.state_dict()))
    middle = values(parameters)
    other, others = make(name, {**sample, "lr": 7.0})
    for parameter, x in zip(others, middle, strict=True):
        parameter.data = plait.tensor(x)
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == sample["lr"]
    for seed in range(4, 7):
        for one, own in ((optimizer, parameters), (other, others)):
            feed(own, seed)
            one.step()
    for a, b in zip(values(parameters), values(others), strict=True):
        np.testing.assert_array_equal(a, b)


@every_sample
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_copies_go_on_alike(name, sample, copied):
    optimizer, parameters = make(name, sample)
    feed(parameters, 1)
    optimizer.step()
    twin = copied(optimizer)
    others = twin.param_groups[0]["params"]
    for one, own in ((optimizer, parameters), (twin, others)):
        feed(own, 2)
        one.step()
    for a, b in zip(parameters, others, strict=True):
        assert a is not b
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_sample
def test_changed_numbers_record_nothing_new(name, sample):
    optimizer, parameters = make(name, sample)

    def step(i):
        for group in optimizer.param_groups:
            group["lr"] = sample["lr"] * (0.5 + i)
            if "weight_decay" in sample:
                group["weight_decay"] = 0.01 * (1 + i)
        feed(parameters, i)
        optimizer.step()

    for i in range(3):
        step(i)
    before = roots.count
    for i in range(3, 20):
        step(i)
    assert roots.count == before


@every_sample
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_types_stay_what_they_are(name, sample, dtype):
    optimizer, parameters = make(name, sample)
    for parameter in parameters:
        parameter.data = parameter.to(dtype)
    handles = list(parameters)
    for seed in (1, 2):
        feed(parameters, seed)
        optimizer.step()
    for parameter, handle in zip(parameters, handles, strict=True):
        assert parameter is handle
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.dtype is plait.asarray(parameter.numpy()).dtype
        assert parameter.dtype.name == dtype
        assert np.isfinite(parameter.to("float32").numpy()).all()
        for tensor in optimizer.state[parameter].values():
            assert tensor.dtype is parameter.dtype
            assert not tensor.requires_grad


@every_optimizer
def test_a_schedule_may_be_a_tensor(name):
    sample = OPTIMIZERS[name].samples()[0]
    plain, parameters = make(name, sample)
    rate = {**sample, "lr": plait.tensor(sample["lr"], dtype=plait.float64)}
    other, others = make(name, rate)
    for seed in (1, 2):
        for one, own in ((plain, parameters), (other, others)):
            feed(own, seed)
            one.step()
    for a, b in zip(values(parameters), values(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@every_sample
def test_the_rule_is_a_pure_function(name, sample):
    """It can be used inside `jit`, `scan` and `vmap` without an optimizer object."""
    optimizer, parameters = make(name, sample)
    own = OPTIMIZERS[name]
    group = {n: optimizer.param_groups[0][n] for n in optimizer.defaults}
    x = plait.tensor(arrays(0)[0])
    state = own.init(x, **group)
    update = plait.jit(own.update)
    for step in (1, 2, 3):
        gradient = plait.tensor(arrays(step)[0])
        x, state = update(x, gradient, state, **own.coefficients(step, **group))
        feed(parameters, step)
        optimizer.step()
    np.testing.assert_allclose(x.numpy(), parameters[0].numpy(), rtol=1e-12)
