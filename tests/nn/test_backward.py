"""Hooks of modules that see gradients."""

import numpy as np
import pytest

import plait
from plait import nn
from plait.errors import ArgumentError

try:
    import torch
except ImportError:  # the comparison with PyTorch is skipped
    torch = None


class Both(nn.Module):
    def forward(self, x, factor, y, exponent=1):
        return x * y, (x + y) ** exponent * factor


def listed(gradients):
    return tuple(None if g is None else g.tolist() for g in gradients)


def test_gradients_of_one_argument_and_one_result():
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = plait.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=plait.float64)
    seen = []
    handle = layer.register_full_backward_hook(
        lambda module, *gradients: seen.append((module, *map(listed, gradients)))
    )
    x = plait.ones(1, 2, dtype=plait.float64, requires_grad=True)
    # What else is made of the argument is no gradient of this call.
    (layer(x).sum() * 2 + x.sum()).backward()
    assert seen == [(layer, ([[8, 12]],), ([[2, 2]],))]
    assert x.grad.tolist() == [[9, 13]]
    handle.remove()
    layer(x).sum().backward()
    assert len(seen) == 1


def test_gradients_of_several():
    layer, seen = Both(), []
    layer.register_full_backward_pre_hook(
        lambda module, came: seen.append(("before", listed(came)))
    )
    layer.register_full_backward_hook(
        lambda module, went, came: seen.append(("after", listed(went), listed(came)))
    )
    x, y = (plait.tensor(n, requires_grad=True) for n in (3.0, 5.0))
    product, power = layer(x, 2.0, y, exponent=2)
    (product + 10 * power).backward()
    # 5 + 10 * 2 * 2 * 8, 3 + 10 * 2 * 2 * 8
    assert seen == [
        ("before", (1, 10)),
        ("after", (325, None, 323), (1, 10)),
    ]
    assert (x.grad.item(), y.grad.item()) == (325, 323)


def test_hooks_replace_gradients():
    layer = Both()
    layer.register_full_backward_pre_hook(lambda module, came: (came[0] * 2, None))
    layer.register_full_backward_hook(lambda module, went, came: (went[0], None, None))
    layer.register_full_backward_hook(
        lambda module, went, came: (went[0] + 1, None, came[0]), prepend=False
    )
    x, y = (plait.tensor(n, requires_grad=True) for n in (3.0, 5.0))
    product, power = layer(x, 2.0, y)
    (product + power).backward()
    assert (x.grad.item(), y.grad.item()) == (11, 2)
    wrong = nn.Identity()
    wrong.register_full_backward_hook(lambda module, went, came: (went[0], went[0]))
    with pytest.raises(ArgumentError) as error:
        wrong(x).backward()
    assert error.value.message == (
        "[backward] a hook returned another number of gradients. Got: 2 for 1."
    )


def test_a_module_whose_arguments_need_no_gradient():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(
        lambda module, went, came: seen.append((went, listed(came)))
    )
    layer(plait.ones(1, 2)).sum().backward()
    assert seen == [((None,), ([[1]],))]
    assert layer.weight.grad.tolist() == [[1, 1]]
    with plait.no_grad():
        layer(plait.ones(1, 2))


def test_in_a_network_and_in_every_call():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh()).double()
    order = []
    for name, module in net.named_children():
        module.register_full_backward_hook(lambda *_, n=name: order.append(n))
    x = plait.randn(2, 3, dtype=plait.float64).requires_grad_()
    for _ in range(2):
        net(x).sum().backward()
    assert order == ["3", "2", "1", "0"] * 2
    found = net[0].weight.grad.numpy()
    twin = nn.Sequential(*(nn.Linear(3, 3) if i % 2 == 0 else nn.Tanh()
                           for i in range(4))).double()  # fmt: skip
    twin.load_state_dict(net.state_dict())
    (2 * twin(x).sum()).backward()
    np.testing.assert_allclose(found, twin[0].weight.grad.numpy(), rtol=1e-12)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
def test_they_see_what_hooks_of_torch_see():
    found = []
    x = np.random.default_rng(0).normal(size=(2, 3))
    for library, tensor in ((plait, plait.tensor), (torch, torch.tensor)):
        layer = library.nn.Bilinear(3, 3, 2, bias=False)
        layer.weight.data = tensor(np.arange(18.0).reshape(2, 3, 3))
        seen = []
        layer.register_full_backward_hook(lambda m, *g, s=seen: s.append(g))
        y = tensor(x)
        y.requires_grad_()
        (layer(y, y) ** 2).sum().backward()
        found.append([g.numpy() for gradients in seen[0] for g in gradients])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
