"""Tracing nan and infinity: the op, layer, line and pass that are named, or none."""

import re

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.data import Loader
from plait.errors import NonFiniteError, PlaitError
from plait.settings import settings
from plait.train import fit


@pytest.fixture(params=["interpret", "compile"], autouse=True)
def execution(request, monkeypatch):
    monkeypatch.setattr(settings, "execution", request.param)


class Root(nn.Module):
    """Has a derivative that is infinite times 0."""

    def forward(self, x):
        return plait.sqrt(plait.relu(x) * 0.0)


class Logarithm(nn.Module):
    """Is infinite where its input is 0."""

    def forward(self, x):
        return plait.log(plait.relu(x))


class Net(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.body = nn.Sequential(nn.Tanh(), inner)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.body(self.first(x)))


DATA = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
LABELS = np.arange(8) % 2


def step(net, optimizer, x=DATA):
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss()(net(plait.tensor(x)), plait.tensor(LABELS))
    loss.backward()
    optimizer.step()
    return loss


def trained(inner, steps=1):
    plait.manual_seed(0)
    net = Net(inner)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        step(net, optimizer)
    return net, optimizer


def error_of(function):
    with plait.trace_nonfinite(), pytest.raises(NonFiniteError) as caught:
        function()
    return caught.value


def test_a_layer_that_is_infinite_is_named():
    net, optimizer = trained(nn.ReLU(), steps=3)
    net.body[1] = Logarithm()
    before = {name: x.numpy().copy() for name, x in net.state_dict().items()}
    found = error_of(lambda: step(net, optimizer))
    assert found.what == (
        "[trace_nonfinite] log is the first to give what is not finite"
    )
    assert re.match(
        r"\d+ infinite in float32\[8, 4\], first at \(0, \d\), out of "
        r"float32\[8, 4\] of 0 to 0\.\d+$",
        found.got,
    )
    assert found.layer == "body.1 (Logarithm)"
    assert re.search(r"test_nonfinite\.py:\d+$", found.where)
    after = {name: x.numpy() for name, x in net.state_dict().items()}
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_a_derivative_that_is_infinite_is_named():
    net, optimizer = trained(nn.ReLU(), steps=3)
    net.body[1] = Root()
    found = error_of(lambda: step(net, optimizer))
    assert "body.1 (Root), backward" in str(found)
    assert re.search(r"test_nonfinite\.py:\d+$", found.where)


def test_all_is_as_before_when_the_fault_is_mended():
    net, optimizer = trained(nn.ReLU(), steps=3)
    bad = DATA.copy()
    bad[2, 1] = np.nan
    found = error_of(lambda: step(net, optimizer, bad))
    assert found.message == (
        "[trace_nonfinite] a value that came from outside is not finite. Got: 1 nan in "
        "float32[8, 3], first at (2, 1). Fix: look at the data, and at what was "
        "computed before."
    )
    assert found.layer == "first (Linear)"
    with plait.trace_nonfinite():
        losses = [step(net, optimizer).item() for _ in range(5)]
    assert losses[-1] < losses[0]


def test_what_overflows_is_named():
    x = plait.tensor([1.0, 100.0], requires_grad=True)
    found = error_of(lambda: plait.sum(plait.exp(x) * 2).item())
    assert found.what.startswith("[trace_nonfinite] exp is the first")
    assert found.got == (
        "1 infinite in float32[2], first at (1,), out of float32[2] of 1 to 100"
    )
    assert found.layer == ""


def test_an_infinite_mask_is_no_fault_but_what_is_made_of_it_may_be():
    scores = plait.tensor([[1.0, 2.0], [3.0, 4.0]])
    mask = plait.tensor([[True, False], [True, True]])
    hidden = plait.where(mask, scores, -np.inf)
    with plait.trace_nonfinite():
        np.testing.assert_allclose(plait.softmax(hidden, -1).numpy()[0], [1, 0])
    nothing = plait.where(mask & False, scores, -np.inf)
    found = error_of(lambda: (nothing - plait.max(nothing)).numpy())
    assert found.what.startswith("[trace_nonfinite] subtract is the first")
    assert "4 infinite" in found.got


def test_it_is_off_again_after_an_error_and_by_default():
    assert settings.trace_nonfinite is False
    error_of(lambda: plait.log(plait.zeros(())).item())
    assert settings.trace_nonfinite is False
    assert plait.log(plait.zeros(())).item() == -np.inf


def test_fit_stops_with_the_origin():
    plait.manual_seed(0)
    net = Net(Root())
    with pytest.raises(PlaitError) as caught:
        fit(
            net,
            Loader((DATA, LABELS), 4),
            loss_function=nn.CrossEntropyLoss(),
            optimizer=optim.SGD(net.parameters(), lr=0.1),
            epochs=9,
            quiet=True,
            trace_nonfinite=True,
        )
    assert isinstance(caught.value, NonFiniteError)
    assert caught.value.layer == "body.1 (Root), backward"
    assert settings.trace_nonfinite is False
    assert all(np.isfinite(p.numpy()).all() for p in net.parameters())
