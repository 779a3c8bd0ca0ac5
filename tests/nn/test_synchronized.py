"""Batch normalisation over what several processes see together."""

import numpy as np

import plait
from plait import nn

RNG = np.random.default_rng(0)


def test_two_processes_are_one_with_both_batches():
    x = RNG.normal(1, 2, (5, 3, 4))
    parts = x[:2], x[2:]
    mean = x.mean((0, 2), keepdims=True)

    def sums(part):
        return [
            np.append(part.sum((0, 2)), part.size / 3),
            ((part - mean) ** 2).sum((0, 2)),
        ]

    whole = nn.BatchNorm1d(3).double()
    expected = whole(plait.tensor(x)).numpy()
    for part, other, right in (
        (parts[0], parts[1], expected[:2]), (parts[1], parts[0], expected[2:]),
    ):  # fmt: skip
        coming = iter(sums(other))
        layer = nn.SyncBatchNorm(
            3, process_group=lambda t, c=coming: t + plait.tensor(next(c))
        ).double()
        found = layer(plait.tensor(part))
        np.testing.assert_allclose(found.numpy(), right, rtol=1e-12, atol=1e-12)
        for name, buffer in layer.named_buffers():
            np.testing.assert_allclose(
                buffer.numpy(), whole.get_buffer(name).numpy(), rtol=1e-12
            )
        assert list(coming) == []
        layer.eval()(plait.tensor(part))  # asks nobody


def test_gradients_go_through_the_bridge():
    # Two processes that see the same: sums and their cotangents are doubled.
    x = RNG.normal(size=(2, 3))
    given = plait.tensor(x, requires_grad=True)
    layer = nn.SyncBatchNorm(3, process_group=lambda t: 2 * t).double()
    (layer(given) ** 3).sum().backward()
    both = plait.tensor(np.concatenate([x, x]), requires_grad=True)
    (nn.BatchNorm1d(3).double()(both) ** 3).sum().backward()
    np.testing.assert_allclose(given.grad.numpy(), both.grad.numpy()[:2], atol=1e-12)


def test_conversion():
    shared = nn.BatchNorm1d(3)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3), nn.Sequential(shared), shared,
        nn.InstanceNorm1d(3, affine=True),
    ).eval()  # fmt: skip
    state, x = model.state_dict(), plait.randn(2, 2, 4)
    expected = model(x).numpy()
    parameters = list(model.parameters())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model, lambda t: t)
    assert converted is model
    assert [type(m).__name__ for m in model.modules()] == [
        "Sequential", "Conv1d", "SyncBatchNorm", "Sequential", "SyncBatchNorm",
        "SyncBatchNorm", "InstanceNorm1d",
    ]  # fmt: skip
    assert list(model.state_dict()) == list(state)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    np.testing.assert_array_equal(model(x).numpy(), expected)
    assert not model[1].training
    assert model[1].process_group is not None
    alone = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(4))
    assert type(alone) is nn.SyncBatchNorm
