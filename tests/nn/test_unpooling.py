"""Pooling layers beyond the greatest and the mean: what their samples do not show."""

import numpy as np
import pytest

import plait
from plait import nn
from plait.errors import ArgumentError, ShapeError


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_a_pool(rank):
    x = plait.randn(2, 3, *(7, 6, 5)[:rank])
    pool = getattr(nn, f"MaxPool{rank}d")(2, return_indices=True)
    unpool = getattr(nn, f"MaxUnpool{rank}d")(2)
    found, places = pool(x)
    for size in (x.shape, x.shape[2:]):
        back = unpool(found, places, output_size=size)
        expected = np.where(np.isin(x.numpy(), found.numpy()), x.numpy(), 0)
        np.testing.assert_array_equal(back.numpy(), expected)


def test_fractional_pools_draw_their_places():
    x = plait.tensor(np.random.default_rng(0).permutation(3 * 4 * 81))
    x = x.float().reshape(3, 4, 9, 9)
    layer = nn.FractionalMaxPool2d(2, output_ratio=(0.5, 0.4), return_indices=True)
    plait.manual_seed(0)
    first, places = layer(x)
    second, _ = layer(x)
    assert first.shape == second.shape == (3, 4, 4, 3)
    assert (first.numpy() != second.numpy()).any()
    plait.manual_seed(0)
    again, _ = layer.eval()(x)
    np.testing.assert_array_equal(again.numpy(), first.numpy())
    flat = x.numpy().reshape(3, 4, -1)
    taken = np.take_along_axis(flat, places.numpy().reshape(3, 4, -1), -1)
    np.testing.assert_array_equal(taken.reshape(first.shape), first.numpy())
    key = plait.random.key(3)
    given = plait.jit(lambda x: layer(x, key)[0])(x)
    np.testing.assert_array_equal(given.numpy(), layer(x, key)[0].numpy())


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: nn.LPPool1d(0, 2), ArgumentError,
         "[LPPool1d] norm_type must be positive. Got: norm_type=0."),
        (lambda: nn.LPPool2d(2, 3)(plait.ones(2, 3)), ShapeError,
         "[LPPool2d] the input does not fit. Got: shape (2, 3). Expected: "
         "(n, channels, height, width) or (channels, height, width)."),
        (lambda: nn.FractionalMaxPool2d(2), ArgumentError,
         "[FractionalMaxPool2d] either output_size or output_ratio is needed. Got: "
         "output_size=None, output_ratio=None."),
        (lambda: nn.FractionalMaxPool3d(2, output_ratio=1.5), ArgumentError,
         "[FractionalMaxPool3d] output_ratio does not fit. Got: output_ratio=1.5. "
         "Expected: a number between 0 and 1, or one for each spatial axis."),
        (lambda: nn.FractionalMaxPool2d(1, output_ratio=0.3)(plait.ones(1, 1, 3, 3)),
         ShapeError,
         "[FractionalMaxPool2d] the result would be empty. Got: shape (1, 1, 3, 3), "
         "output_ratio=(0.3, 0.3)."),
        (lambda: nn.Unfold((2, 2, 2)), ArgumentError,
         "[Unfold] kernel_size does not fit. Got: kernel_size=(2, 2, 2) for 2 spatial "
         "axes. Expected: an integer of at least 1, or one for each spatial axis."),
        (lambda: nn.ChannelShuffle(0), ArgumentError,
         "[ChannelShuffle] groups must be at least 1. Got: 0."),
        (lambda: nn.LocalResponseNorm(0), ArgumentError,
         "[LocalResponseNorm] size must be at least 1. Got: 0."),
        (lambda: nn.CrossMapLRN2d(3)(plait.ones(1, 2)), ShapeError,
         "[CrossMapLRN2d] the input does not fit. Got: shape (1, 2). Expected: "
         "(n, channels, height, width)."),
        (lambda: nn.Softmax2d()(plait.ones(1, 2)), ShapeError,
         "[Softmax2d] the input does not fit. Got: shape (1, 2). Expected: "
         "(n, channels, height, width) or (channels, height, width)."),
        (lambda: nn.InstanceNorm1d(2)(plait.ones(3, 2, 1)), ShapeError,
         "[InstanceNorm1d] one value for each channel has no variance to divide by. "
         "Got: shape (3, 2, 1). Fix: use larger inputs."),
        (lambda: nn.InstanceNorm1d(2)(plait.ones(3, 4, 5)), ShapeError,
         "[InstanceNorm1d] the input does not fit. Got: shape (3, 4, 5). Expected: "
         "(n, 2, length) or (2, length)."),
        (lambda: nn.SyncBatchNorm(2)(plait.ones(3)), ShapeError,
         "[SyncBatchNorm] the input does not fit. Got: shape (3,) for num_features=2. "
         "Expected: (n, num_features) or (n, num_features, ...) or (n, num_features, "
         "..., ...) or (n, num_features, ..., ..., ...)."),
        (lambda: nn.EmbeddingBag(3, 2, mode="min"), ArgumentError,
         "[EmbeddingBag] there is no such mode. Got: 'min'. Expected: sum, mean, max."),
        (lambda: nn.EmbeddingBag(3, 2, mode="max", scale_grad_by_freq=True),
         ArgumentError,
         "[EmbeddingBag] scale_grad_by_freq is for sums and means. Got: mode='max'."),
        (lambda: nn.EmbeddingBag(3, 2, padding_idx=3), ArgumentError,
         "[EmbeddingBag] padding_idx numbers no row. Got: padding_idx=3 of 3 rows."),
        (lambda: nn.EmbeddingBag(3, 2, sparse=True), ArgumentError,
         "[EmbeddingBag] there are no sparse gradients. Got: sparse=True. Fix: leave "
         "it out: the gradients are the same, but dense."),
        (lambda: nn.EmbeddingBag(3, 2, max_norm=0), ArgumentError,
         "[EmbeddingBag] max_norm must be a number above 0 or None. Got: 0."),
        (lambda: nn.EmbeddingBag(3, 2, _weight=plait.ones(2, 3)), ShapeError,
         "[EmbeddingBag] _weight does not have one row for each number. Got: (2, 3). "
         "Expected: (3, 2)."),
        (lambda: nn.EmbeddingBag.from_pretrained(plait.ones(2)), ShapeError,
         "[EmbeddingBag] the table must have two axes. Got: (2,)."),
    ],
)  # fmt: skip
def test_wrong_arguments(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert error.value.message == message


def test_bags_of_limited_vectors():
    table = plait.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    layer = nn.EmbeddingBag.from_pretrained(table, max_norm=1.0, mode="sum")
    assert not layer.weight.requires_grad
    found = layer(plait.tensor([[0, 1]]))
    np.testing.assert_allclose(found.numpy(), [[0.9, 1.2]], rtol=1e-6)
    np.testing.assert_allclose(
        layer.weight.numpy(), [[0.6, 0.8], [0.3, 0.4], [6, 8]], rtol=1e-6
    )


def test_gradients_of_bags_by_frequency():
    layer = nn.EmbeddingBag(4, 1, mode="sum", scale_grad_by_freq=True)
    layer(plait.tensor([[0, 0, 1], [0, 2, 2]])).sum().backward()
    assert layer.weight.grad.tolist() == [[1], [1], [1], [0]]
    layer = nn.EmbeddingBag(4, 1, padding_idx=-4)
    assert layer.weight[0].tolist() == [0]
    assert layer.padding_idx == 0
    found = layer(plait.tensor([[0, 0, 1], [0, 0, 0]]))
    assert found.tolist() == [layer.weight[1].tolist(), [0]]
    found.sum().backward()
    assert layer.weight.grad.tolist() == [[0], [1], [0], [0]]
