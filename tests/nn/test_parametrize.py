"""Parameters that are computed from others."""

import copy

import numpy as np
import pytest

import plait
from plait import errors, nn, optim

try:
    import torch
    from torch.nn.utils import parametrizations as theirs
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


@pytest.fixture(autouse=True)
def seed():
    plait.manual_seed(0)


class Symmetric(nn.Module):
    def forward(self, x):
        return plait.triu(x) + plait.triu(x, k=1).T

    def right_inverse(self, x):
        return plait.triu(x)


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2


def test_a_parameter_is_computed_where_it_is_used():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach()
    assert nn.register_parametrization(layer, "weight", Symmetric()) is layer
    assert nn.is_parametrized(layer)
    assert nn.is_parametrized(layer, "weight")
    assert not nn.is_parametrized(layer, "bias")
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["bias", "parametrizations.weight.original"]
    weight = layer.weight.numpy()
    np.testing.assert_array_equal(weight, weight.T)
    np.testing.assert_array_equal(np.triu(weight), np.triu(before.numpy()))
    x = plait.randn(2, 3)
    expected = x.numpy() @ weight.T + layer.bias.numpy()
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-6)
    assert repr(layer).startswith("ParametrizedLinear(")


def test_it_is_trained_and_assigned_through_its_original():
    layer = nn.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(plait.randn(4, 3)) ** 2).mean().backward()
        optimizer.step()
    weight = layer.weight.numpy()
    np.testing.assert_array_equal(weight, weight.T)
    layer.weight = plait.eye(3)
    np.testing.assert_array_equal(layer.weight.numpy(), np.eye(3))


def test_several_come_one_after_another():
    layer = nn.Linear(3, 3)
    nn.register_parametrization(layer, "weight", Symmetric())
    first = layer.weight.numpy()
    nn.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.numpy(), 2 * first, rtol=1e-6)
    assert len(layer.parametrizations.weight) == 2


@pytest.mark.parametrize("leave", [True, False])
def test_removing_makes_an_ordinary_parameter(leave):
    layer = nn.register_parametrization(nn.Linear(3, 3), "weight", Doubled())
    value, original = (
        x.numpy() for x in (layer.weight, layer.parametrizations.weight.original)
    )
    nn.remove_parametrizations(layer, "weight", leave_parametrized=leave)
    assert type(layer) is nn.Linear
    assert isinstance(layer.weight, nn.Parameter)
    assert not hasattr(layer, "parametrizations")
    np.testing.assert_array_equal(layer.weight.numpy(), value if leave else original)


@pytest.mark.parametrize(
    "make",
    [
        nn.weight_norm,
        nn.spectral_norm,
        nn.orthogonal,
        lambda layer: nn.orthogonal(layer, orthogonal_map="cayley"),
        lambda layer: nn.orthogonal(layer, orthogonal_map="matrix_exp"),
    ],
)
def test_copies_and_state_dicts(make):
    layer = make(nn.Linear(4, 3)).eval()
    twin = copy.deepcopy(layer)
    other = make(nn.Linear(4, 3)).eval()
    other.load_state_dict(layer.state_dict())
    x = plait.randn(2, 4)
    for one in (twin, other):
        np.testing.assert_array_equal(one(x).numpy(), layer(x).numpy())
    with plait.no_grad():
        twin.bias.copy_(twin.bias + 1)
    assert (twin(x) != layer(x)).all().item()


def test_one_layer_is_changed_and_no_other():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    nn.weight_norm(first)
    assert type(second) is nn.Linear
    assert isinstance(second.weight, nn.Parameter)


# --- against PyTorch


def both(kind, own, their, **settings):
    """Return layers with a parametrization and the same values."""
    their = getattr(theirs, kind)(their.double(), **settings)
    own = getattr(nn, kind)(own.double(), **settings)
    state = {n: x.detach().numpy() for n, x in their.state_dict().items()}
    assert list(own.state_dict()) == list(state)
    own.load_state_dict(state)
    return own, their


def agree(own, their, x, training=False):
    own.train(training)
    their.train(training)
    expected = their(torch.tensor(x))
    found = own(plait.tensor(x))
    np.testing.assert_allclose(
        found.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12
    )
    (expected**2).sum().backward()
    (found**2).sum().backward()
    gradients = dict(their.named_parameters())
    for name, parameter in own.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(), gradients[name].grad.numpy(), rtol=1e-7, atol=1e-10
        )
    for name, buffer in their.named_buffers():
        np.testing.assert_allclose(own.get_buffer(name).numpy(), buffer.numpy())


X = np.random.default_rng(0).normal(size=(2, 4))
IMAGE = np.random.default_rng(0).normal(size=(2, 4, 5, 5))


@needs_torch
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_equals_torch(dim):
    own, their = both("weight_norm", nn.Linear(4, 3), torch.nn.Linear(4, 3), dim=dim)
    agree(own, their, X)


@needs_torch
@pytest.mark.parametrize("training", [True, False])
def test_spectral_norm_equals_torch(training):
    layers = (nn.Conv2d(4, 3, 2), torch.nn.Conv2d(4, 3, 2))
    agree(*both("spectral_norm", *layers, n_power_iterations=2), IMAGE, training)
    layers = (nn.ConvTranspose2d(4, 3, 2), torch.nn.ConvTranspose2d(4, 3, 2))
    agree(*both("spectral_norm", *layers), IMAGE, training)
    assert own_axis(layers[0]) == 1


def own_axis(layer):
    return layer.parametrizations.weight[0].dim


@needs_torch
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize(("n", "k"), [(4, 4), (4, 3), (4, 6)])
def test_orthogonal_equals_torch(kind, n, k):
    layers = (nn.Linear(n, k), torch.nn.Linear(n, k))
    own, their = both("orthogonal", *layers, orthogonal_map=kind)
    with torch.no_grad():
        original = their.parametrizations.weight.original
        original += torch.tril(torch.full_like(original, 0.3), -1)
        original += torch.triu(torch.full_like(original, 0.2), 1)
    state = {n: x.detach().numpy() for n, x in their.state_dict().items()}
    own.load_state_dict(state)
    agree(own, their, np.random.default_rng(0).normal(size=(2, n)))


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize(("n", "k"), [(4, 4), (4, 3), (4, 6)])
def test_orthogonal_matrices_stay_so_in_training(kind, n, k):
    layer = nn.orthogonal(nn.Linear(n, k).double(), orthogonal_map=kind)
    optimizer = optim.SGD(layer.parameters(), lr=0.01)
    before = layer.weight.numpy()
    for _ in range(4):
        optimizer.zero_grad()
        (layer(plait.randn(5, n).double()) ** 3).sum().backward()
        optimizer.step()
    weight = layer.weight.numpy()
    inner = weight @ weight.T if k < n else weight.T @ weight
    np.testing.assert_allclose(inner, np.eye(len(inner)), atol=1e-12)
    assert abs(weight - before).max() > 1e-3
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0][:k]
    if k <= n:
        layer.weight = plait.tensor(start)
        np.testing.assert_allclose(layer.weight.numpy(), start, atol=1e-12)


def test_the_largest_singular_value_becomes_one():
    layer = nn.Linear(6, 5)
    with plait.no_grad():
        layer.weight.copy_(layer.weight * 7)
    nn.spectral_norm(layer)
    for _ in range(60):
        layer(plait.randn(1, 6))
    top = np.linalg.svd(layer.weight.numpy(), compute_uv=False)[0]
    assert top == pytest.approx(1, rel=1e-4)


class Halved(nn.Module):
    def forward(self, x):
        return x[:1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: nn.weight_norm(x, "w"), errors.ArgumentTypeError,
            "Linear has no parameter 'w'. Got: NoneType. Fix: use one of 'weight', "
            "'bias'",
        ),
        (lambda x: nn.weight_norm(x, dim=2), errors.AxisError, "dim=2 for a tensor"),
        (
            lambda x: nn.spectral_norm(x, n_power_iterations=0), errors.ArgumentError,
            "1 or more",
        ),
        (
            lambda x: nn.orthogonal(x, orthogonal_map="svd"), errors.ArgumentError,
            "no such map",
        ),
        (lambda x: nn.orthogonal(x, "bias"), errors.ShapeError, "no matrix"),
        (
            lambda x: nn.register_parametrization(x, "weight", Halved()),
            errors.ShapeError, r"\(1, 4\), float32.*\(3, 4\), float32",
        ),
        (
            lambda x: nn.remove_parametrizations(x, "weight"), errors.ArgumentError,
            "does not compute 'weight'",
        ),
        (
            lambda x: nn.remove_parametrizations(nn.weight_norm(x), "weight", False),
            errors.ArgumentError, "leave_parametrized=True",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Linear(4, 3))
