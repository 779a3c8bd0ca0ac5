"""Pruning by masks."""

import copy

import numpy as np
import pytest

import plait
from plait import errors, nn, optim
from plait.nn import prune

try:
    import torch
    from torch.nn.utils import prune as theirs
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


@pytest.fixture(autouse=True)
def seed():
    plait.manual_seed(0)


def test_what_is_pruned_stays_zero_in_training():
    layer = nn.Linear(4, 5)
    before = layer.weight.numpy()
    assert prune.l1_unstructured(layer, "weight", 0.25) is layer
    zeros = layer.weight.numpy() == 0
    assert zeros.sum() == 5
    assert abs(before)[zeros].max() <= abs(before)[~zeros].min()
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_mask"]
    assert prune.is_pruned(layer)
    assert prune.sparsity(layer) == 0.25
    optimizer = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(plait.randn(8, 4)) ** 2).mean().backward()
        optimizer.step()
    np.testing.assert_array_equal(layer.weight.numpy() == 0, zeros)
    twin = copy.deepcopy(layer)
    value = layer.weight.numpy()
    prune.remove(layer, "weight")
    assert type(layer) is nn.Linear
    assert list(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_array_equal(layer.weight.numpy(), value)
    assert not prune.is_pruned(layer)
    assert prune.is_pruned(nn.Sequential(twin))


def test_pruning_again_takes_from_what_is_left():
    layer = nn.Linear(10, 10)
    prune.random_unstructured(layer, "weight", 0.5)
    first = layer.weight.numpy() == 0
    prune.l1_unstructured(layer, "weight", 0.5)
    second = layer.weight.numpy() == 0
    assert (first.sum(), second.sum()) == (50, 75)
    assert second[first].all()


def test_slices_go_as_a_whole():
    layer = nn.Conv2d(3, 8, 3)
    prune.ln_structured(layer, "weight", 3, n=2, dim=0)
    gone = (layer.weight.numpy() == 0).all((1, 2, 3))
    assert gone.sum() == 3
    prune.random_structured(layer, "weight", 1, dim=1)
    assert (layer.weight.numpy() == 0).all((0, 2, 3)).sum() == 1
    prune.ln_structured(layer, "weight", 2, n=1, dim=0)
    assert (layer.weight.numpy() == 0).all((1, 2, 3)).sum() == 5


def test_scores_say_what_matters():
    layer = nn.Linear(2, 2)
    prune.l1_unstructured(layer, "weight", 1, importance_scores=[[4, 3], [-1, 2]])
    assert (layer.weight.numpy() == 0).tolist() == [[False, False], [True, False]]


@needs_torch
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("l1_unstructured", ("weight", 0.3)),
        ("l1_unstructured", ("weight", 7)),
        ("ln_structured", ("weight", 0.4, 2, 0)),
        ("ln_structured", ("weight", 1, float("inf"), 1)),
        ("identity", ("bias",)),
    ],
)
def test_equals_torch(name, args):
    own, their = nn.Linear(6, 5), torch.nn.Linear(6, 5)
    own.load_state_dict({n: x.detach().numpy() for n, x in their.state_dict().items()})
    getattr(prune, name)(own, *args)
    getattr(theirs, name)(their, *args)
    state = their.state_dict()
    assert list(own.state_dict()) == list(state)
    for key, value in own.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].numpy())


@needs_torch
def test_several_layers_at_once_equal_torch():
    own = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    their = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4))
    own.load_state_dict({n: x.detach().numpy() for n, x in their.state_dict().items()})
    prune.global_unstructured([(own[0], "weight"), (own[1], "weight")], 0.4)
    theirs.global_unstructured(
        [(their[0], "weight"), (their[1], "weight")], theirs.L1Unstructured, amount=0.4
    )
    for one, two in zip(own, their, strict=True):
        np.testing.assert_array_equal(one.weight.numpy(), two.weight.detach().numpy())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: prune.l1_unstructured(x, "w", 1), errors.ArgumentTypeError, "'w'"),
        (
            lambda x: prune.l1_unstructured(x, "weight", 21), errors.ArgumentError,
            "amount=21 of 20",
        ),
        (
            lambda x: prune.l1_unstructured(x, "weight", 1.5), errors.ArgumentError,
            "0..1",
        ),
        (
            lambda x: prune.ln_structured(x, "weight", 1, 2, 2), errors.AxisError,
            "dim=2 for a tensor of shape",
        ),
        (
            lambda x: prune.custom_from_mask(x, "bias", [1, 0]), errors.ShapeError,
            r"\(2,\)",
        ),
        (lambda x: prune.remove(x, "weight"), errors.ArgumentError, "not pruned"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Linear(4, 5))
