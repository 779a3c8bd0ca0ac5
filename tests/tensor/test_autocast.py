"""Mixed precision: what is computed in which type, and that modes are kept apart."""

import threading

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import DTypeError
from plait.settings import settings
from plait.tensor import autocast
from plait.tensor.methods import FUNCTIONS
from plait.tensor.trie import roots

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

RNG = np.random.default_rng(0)


@pytest.fixture(params=["interpret", "compile"], autouse=True)
def execution(request, monkeypatch):
    monkeypatch.setattr(settings, "execution", request.param)


def tensor(*shape, dtype=plait.float32):
    return plait.tensor(RNG.normal(size=shape).astype(np.float32)).to(dtype)


def test_the_lists_hold_ops_and_no_op_twice():
    lists = (autocast.LOWERED, autocast.RAISED, autocast.KEPT)
    known = {*FUNCTIONS, "bilinear"}
    assert [x for names in lists for x in names if x not in known] == []
    assert sum(map(len, lists)) == len(frozenset().union(*lists))


@pytest.mark.parametrize("dtype", [plait.bfloat16, plait.float16])
def test_types_of_results(dtype):
    x, y = tensor(4, 4), tensor(4, 4)
    with plait.autocast(dtype):
        product = x @ y
        assert product.dtype is dtype
        assert plait.einsum("ij,jk->ik", x, y).dtype is dtype
        assert plait.relu(product).dtype is dtype
        assert (product + 1.0).dtype is dtype
        assert (product + x).dtype is plait.float32
        assert plait.softmax(product, -1).dtype is plait.float32
        assert plait.sum(product).dtype is plait.float32
        assert plait.mse_loss(product, product).dtype is plait.float32
        assert plait.exp(product).dtype is plait.float32
        norm = nn.LayerNorm(4)
        assert norm(product).dtype is dtype
        assert norm(x).dtype is plait.float32
        assert (x.to(plait.float64) @ y.to(plait.float64)).dtype is plait.float64
        with plait.autocast(enabled=False):
            assert (x @ y).dtype is plait.float32
        assert (x @ y).dtype is dtype
    assert (x @ y).dtype is plait.float32
    expected = x.to(dtype).to(plait.float64) @ y.to(dtype).to(plait.float64)
    found = product.to(plait.float64)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0.01, atol=0.01)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
def test_a_network_gives_what_torch_gives():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 5)
    )
    other = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AvgPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(72, 5),
    )  # fmt: skip
    other.load_state_dict({
        name: torch.tensor(x.numpy()) for name, x in net.state_dict().items()
    })  # fmt: skip
    x, y = tensor(6, 3, 8, 8), np.array([0, 1, 2, 3, 4, 0])
    with plait.autocast():
        output = net(x)
        loss = nn.CrossEntropyLoss()(output, plait.tensor(y))
    loss.backward()
    with torch.autocast("cpu", torch.bfloat16):
        expected = other(torch.tensor(x.numpy()))
        their_loss = torch.nn.CrossEntropyLoss()(expected, torch.tensor(y))
    their_loss.backward()
    assert str(expected.dtype).endswith(output.dtype.name)
    assert abs(loss.item() - their_loss.item()) < 0.01
    for own, their in zip(net.parameters(), other.parameters(), strict=True):
        assert own.grad.dtype is plait.float32
        right = their.grad.numpy()
        apart = np.linalg.norm(own.grad.numpy() - right)
        assert apart < 0.1 * np.linalg.norm(right)


def train(dtype, steps=30):
    plait.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.03)
    x = np.random.default_rng(1).normal(size=(32, 4)).astype(np.float32)
    y = x[:, :3].argmax(1)
    for i in range(steps):
        if i == 5:
            count = roots.count
        optimizer.zero_grad()
        with plait.autocast(dtype or plait.bfloat16, enabled=dtype is not None):
            loss = nn.CrossEntropyLoss()(net(plait.tensor(x)), plait.tensor(y))
        loss.backward()
        optimizer.step()
    assert roots.count == count  # a step like the one before records nothing new
    for parameter in net.parameters():
        assert parameter.dtype is plait.float32
        for kept in optimizer.state[parameter].values():
            assert kept.dtype is plait.float32
    return loss.item()


def test_training_learns_as_much():
    wide = train(None)
    assert wide < 0.5
    assert train(plait.bfloat16) == pytest.approx(wide, abs=0.05)
    assert train(plait.float16) == pytest.approx(wide, abs=0.05)


def test_recorded_functions_are_kept_apart():
    product = plait.jit(lambda x, y: x @ y)
    x = tensor(3, 3)
    assert product(x, x).dtype is plait.float32
    with plait.autocast():
        assert product(x, x).dtype is plait.bfloat16
        assert plait.vmap(lambda row: x @ row)(x).dtype is plait.bfloat16
        grads = plait.grad(lambda w: plait.sum(x @ w))(x)
        assert grads.dtype is plait.float32
    assert product(x, x).dtype is plait.float32
    decorated = plait.autocast(plait.float16)(lambda: x @ x)
    assert decorated().dtype is plait.float16
    assert (x @ x).dtype is plait.float32


def test_running_what_is_recorded_leaves_the_mode_on():
    x = tensor(3, 3)
    with plait.autocast():
        (x @ x).numpy()
        assert (x @ x).dtype is plait.bfloat16
        with plait.no_grad():
            (x @ x).numpy()
            assert (x @ x).dtype is plait.bfloat16
    assert (x @ x).dtype is plait.float32


def test_each_thread_has_its_own_mode():
    x, seen = tensor(3, 3), []
    with plait.autocast():
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
        assert (x @ x).dtype is plait.bfloat16
    assert seen == [plait.float32]


def test_what_is_refused():
    with pytest.raises(DTypeError) as caught:
        plait.autocast(plait.float32)
    assert caught.value.message == (
        "[autocast] products are computed with types of 16 bits. Got: float32. "
        "Expected: bfloat16 or float16."
    )
