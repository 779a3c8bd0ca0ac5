"""What single layers do beyond their samples: errors, modes, special arguments."""

import numpy as np
import pytest

import plait
from plait import errors, nn


def test_dropout_leaves_out_and_scales():
    layer = nn.Dropout(0.25)
    x = plait.ones(100, 100)
    plait.manual_seed(0)
    result = layer(x).numpy()
    assert set(np.unique(result)) == {0.0, np.float32(1 / 0.75)}
    assert (result == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert (layer(x).numpy() != result).any()
    key = plait.random.key(3)
    np.testing.assert_array_equal(layer(x, key).numpy(), layer(x, key).numpy())
    assert layer.eval()(x) is x


def test_dropout_inside_jit_needs_a_key():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    with pytest.raises(errors.TracingError, match="key") as info:
        plait.jit(layer)(plait.ones(3, 2))
    assert info.value.layer == "1"
    masked = plait.jit(nn.Dropout(0.5))
    keys = plait.random.split(plait.random.key(0), 2)
    x = plait.ones(50)
    assert (masked(x, keys[0]).numpy() != masked(x, keys[1]).numpy()).any()


def test_rrelu_draws_slopes_in_training():
    layer = nn.RReLU(0.1, 0.3)
    slopes = -layer(plait.full((1000,), -1.0)).numpy()
    assert slopes.min() >= 0.1
    assert slopes.max() <= 0.3
    assert slopes.std() > 0.03
    assert layer.eval()(plait.tensor([-1.0])).item() == pytest.approx(-0.2)


def test_embedding_with_padding():
    layer = nn.Embedding(4, 2, padding_idx=-1)
    assert layer.padding_idx == 3
    layer(plait.tensor([3, -1, 0, 0])).sum().backward()
    np.testing.assert_array_equal(
        layer.weight.grad.numpy(), [[2, 2], [0, 0], [0, 0], [0, 0]]
    )
    with pytest.raises(errors.ArgumentError, match="padding_idx=4 of 4 rows"):
        nn.Embedding(4, 2, padding_idx=4)
    with pytest.raises(errors.DTypeError):
        layer(plait.ones(2))


def test_embedding_from_a_table():
    table = plait.tensor(np.arange(6.0).reshape(3, 2))
    layer = nn.Embedding.from_pretrained(table)
    assert layer(plait.tensor([2])).tolist() == [[4.0, 5.0]]
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(errors.ShapeError, match="two axes"):
        nn.Embedding.from_pretrained(plait.zeros(3))


def test_embedding_settings():
    table = plait.tensor(np.arange(6.0).reshape(3, 2))
    layer = nn.Embedding(3, 2, _weight=table, _freeze=True)
    assert layer.weight.tolist() == table.tolist()
    assert not layer.weight.requires_grad
    for make, message in (
        (lambda: nn.Embedding(3, 2, sparse=True), "no sparse gradients"),
        (lambda: nn.Embedding(3, 2, max_norm=0.0), "max_norm must be a number above 0"),
        (lambda: nn.Embedding(2, 2, _weight=table), r"Got: \(3, 2\). Expected: \(2, 2"),
    ):
        with pytest.raises(errors.PlaitError, match=message):
            make()


def test_embedding_scales_down_the_vectors_it_looks_up():
    table = plait.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    layer = nn.Embedding.from_pretrained(table, freeze=False, max_norm=1.0)
    found = layer(plait.tensor([[0, 1, 0]]))
    expected = [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]]
    np.testing.assert_allclose(found.detach().numpy()[0, :2], expected[:2], rtol=1e-6)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-6)
    found.sum().backward()
    assert layer.weight.grad.tolist() == [[2, 2], [1, 1], [0, 0]]
    layer = nn.Embedding.from_pretrained(table, max_norm=7.0, norm_type=1)
    layer(plait.tensor([0, 2]))
    np.testing.assert_allclose(
        layer.weight.numpy(), [[3, 4], [0.3, 0.4], [3, 4]], rtol=1e-6
    )


def test_batch_norm_keeps_its_averages_from_an_empty_batch():
    layer = nn.BatchNorm1d(2)
    result = layer(plait.zeros((0, 2)))
    result.sum().backward()
    assert result.shape == (0, 2)
    assert layer.weight.grad.tolist() == [0, 0]
    assert layer.running_var.tolist() == [1, 1]
    assert layer.num_batches_tracked.item() == 0


def test_batch_norm_keeps_averages():
    layer = nn.BatchNorm1d(2, momentum=None).double()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 2)) for n in (3, 5, 8)]
    for x in batches:
        layer(plait.tensor(x))
    assert layer.num_batches_tracked.item() == 3
    np.testing.assert_allclose(
        layer.running_mean.numpy(), np.mean([x.mean(0) for x in batches], 0)
    )
    np.testing.assert_allclose(
        layer.running_var.numpy(), np.mean([x.var(0, ddof=1) for x in batches], 0)
    )
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1.0, 1.0]
    assert layer.num_batches_tracked.item() == 0


def test_batch_norm_averages_are_free_of_derivatives():
    layer = nn.BatchNorm2d(3)
    x = plait.randn(2, 3, 4, 4).requires_grad_()
    for _ in range(3):
        layer(x).sum().backward()
    assert not layer.running_mean.requires_grad
    assert isinstance(layer.running_mean, nn.Buffer)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm1d(3), (4, 2), r"Got: shape \(4, 2\) for num_features=3"),
        (nn.BatchNorm1d(3), (2, 3, 4, 4), r"Expected: \(n, num_features\) or"),
        (nn.BatchNorm2d(3), (2, 3), "does not fit"),
        (nn.BatchNorm1d(3), (1, 3), "no variance to train with"),
        (nn.Unflatten(1, (2, 3)), (4, 5), "sizes do not fit"),
        (nn.Unflatten(1, (-1, -1)), (4, 4), "sizes do not fit"),
        (nn.Unflatten(1, (0, -1)), (4, 4), "sizes do not fit"),
        (nn.Unflatten(3, (2, 2)), (4, 4), "no such axis"),
        (nn.Linear(3, 2), (4, 5), "features"),
        (nn.LayerNorm(3), (4, 5), "layer_norm"),
        (nn.GLU(), (4, 5), "two halves"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, message):
    with pytest.raises(errors.PlaitError, match=message):
        layer(plait.ones(shape))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(-1, 2),
        lambda: nn.Linear(2.0, 2),
        lambda: nn.Linear(True, 2),
        lambda: nn.Bilinear(1, 2, "3"),
        lambda: nn.Embedding(3, None),
        lambda: nn.LayerNorm(()),
        lambda: nn.LayerNorm((3, -1)),
        lambda: nn.GroupNorm(2, 3),
        lambda: nn.GroupNorm(0, 3),
        lambda: nn.BatchNorm1d(-3),
        lambda: nn.Dropout(1.5),
        lambda: nn.Dropout(float("nan")),
        lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 8, [2], div_value=0),
    ],
)
def test_arguments_that_make_no_layer(make):
    with pytest.raises((errors.ArgumentError, errors.ArgumentTypeError)):
        make()


def test_sizes_of_zero_and_numpy_integers():
    assert nn.Linear(0, 2)(plait.ones(3, 0)).shape == (3, 2)
    assert nn.Linear(2, 0)(plait.ones(3, 2)).shape == (3, 0)
    assert nn.Linear(np.int64(2), np.int32(3))(plait.ones(1, 2)).shape == (1, 3)


def test_settings_can_be_changed_after_making():
    layer = nn.LeakyReLU(0.5)
    layer.negative_slope = 0.25
    assert layer(plait.tensor([-4.0])).item() == -1.0
    assert repr(layer) == "LeakyReLU(negative_slope=0.25)"


def test_identity_ignores_its_arguments():
    x = plait.ones(2)
    assert nn.Identity(3, name="x")(x) is x


def test_weights_of_losses_are_buffers():
    weight = plait.tensor([1.0, 2.0])
    loss = nn.CrossEntropyLoss(weight)
    assert list(loss.state_dict()) == ["weight"]
    assert list(loss.parameters()) == []
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    loss.double()
    assert loss.weight.dtype is plait.float64
    assert repr(nn.MSELoss("sum")) == "MSELoss(reduction='sum')"
    with pytest.raises(errors.ArgumentError):
        nn.MSELoss("product")(weight, weight)
