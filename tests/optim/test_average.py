"""Averages of weights, of any rule, and what batch normalization makes of them."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import ArgumentError

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def model_with(values):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for name, x in values.items():
        dict([*model.named_parameters(), *model.named_buffers()])[name].data = x
    return model


def values(seed):
    rng = np.random.default_rng(seed)
    shapes = {
        "0.weight": (2, 3), "0.bias": (2,), "1.weight": (2,), "1.bias": (2,),
        "1.running_mean": (2,), "1.running_var": (2,),
    }  # fmt: skip
    drawn = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    drawn["1.running_var"] = abs(drawn["1.running_var"])
    return {n: plait.tensor(x) for n, x in drawn.items()}


def set_values(model, seed):
    both = dict([*model.named_parameters(), *model.named_buffers()])
    for name, x in values(seed).items():
        both[name].data = x


def averaged(steps, **settings):
    model = model_with(values(0))
    average = optim.AveragedModel(model, **settings)
    for seed in range(steps):
        set_values(model, seed)
        average.update_parameters(model)
    return average, model


def test_the_mean_of_all():
    average, model = averaged(5)
    for name in ("0.weight", "1.bias"):
        expected = np.mean([values(seed)[name].numpy() for seed in range(5)], axis=0)
        found = dict(average.module.named_parameters())[name].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert average.n_averaged.item() == 5
    # Buffers are copied.
    last = values(4)["1.running_mean"].tolist()
    assert average.module[1].running_mean.tolist() == last
    assert model[0].weight.tolist() == values(4)["0.weight"].tolist()
    assert average.module[0].weight.requires_grad


def test_a_moving_average_with_buffers():
    average, _ = averaged(6, decay=0.8, use_buffers=True)
    for name in ("0.weight", "1.running_var"):
        expected = values(0)[name].numpy()
        for seed in range(1, 6):
            expected = 0.8 * expected + 0.2 * values(seed)[name].numpy()
        found = average.state_dict()[f"module.{name}"].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_rule_of_ones_own():
    average, _ = averaged(4, avg_fn=lambda old, new, n: plait.maximum(old, new) + n * 0)
    expected = np.max([values(seed)["0.weight"].numpy() for seed in range(4)], axis=0)
    assert average.module[0].weight.tolist() == expected.tolist()


def test_it_is_a_module_that_can_be_saved():
    average, model = averaged(3)
    other = optim.AveragedModel(model)
    other.load_state_dict(average.state_dict())
    set_values(model, 3)
    for one in (average, other):
        one.update_parameters(model)
    assert other.n_averaged.item() == 4
    for name, x in average.state_dict().items():
        assert other.state_dict()[name].tolist() == x.tolist()
    x = plait.ones(4, 3)
    assert average.eval()(x).tolist() == average.module.eval()(x).tolist()


@needs_torch
@pytest.mark.parametrize("decay", [None, 0.9])
def test_equals_torch(decay):
    average, _ = averaged(5, decay=decay)
    swa = torch.optim.swa_utils
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    rule = None if decay is None else swa.get_ema_multi_avg_fn(decay)
    their_average = swa.AveragedModel(theirs, multi_avg_fn=rule)
    for seed in range(5):
        named = {n: torch.tensor(x.numpy()) for n, x in values(seed).items()}
        theirs.load_state_dict(named, strict=False)
        their_average.update_parameters(theirs)
    expected = their_average.state_dict()
    found = average.state_dict()
    assert sorted(found) == sorted(expected)
    for name, x in found.items():
        np.testing.assert_allclose(x.numpy(), expected[name].numpy(), 1e-5, 1e-6)


def test_batch_normalization_measured_anew():
    rng = np.random.default_rng(0)
    batches = [plait.tensor(rng.normal(size=(8, 3)).astype("float32")) for _ in "abc"]
    model = model_with({})
    model.eval()
    for loader in (batches, [(x, None) for x in batches]):
        set_values(model, 1)
        optim.update_bn(loader, model)
        outputs = [model[0](x).detach().numpy() for x in batches]
        means = np.mean([x.mean(0) for x in outputs], axis=0)
        variances = np.mean([x.var(0, ddof=1) for x in outputs], axis=0)
        np.testing.assert_allclose(model[1].running_mean.numpy(), means, 1e-4, 1e-6)
        np.testing.assert_allclose(model[1].running_var.numpy(), variances, 1e-4)
        assert model[1].momentum == 0.1
        assert not model.training
    optim.update_bn([], nn.Linear(2, 2))  # there is nothing to measure


def test_what_is_refused():
    with pytest.raises(ArgumentError, match=r"decay is not in 0..1. Got: decay=2"):
        optim.AveragedModel(nn.Linear(2, 2), decay=2)
    with pytest.raises(ArgumentError, match="decay and avg_fn are both given"):
        optim.AveragedModel(nn.Linear(2, 2), 0.5, lambda a, b, n: b)
    average = optim.AveragedModel(nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"not like the one .* Got: no bias"):
        average.update_parameters(nn.Linear(2, 2, bias=False))
