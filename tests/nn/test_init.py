"""Initial values: bounds, moments, structure, reproducibility."""

import inspect
import math

import numpy as np
import pytest
from scipy import stats

import plait
from plait import errors, nn
from plait.nn import init


def drawn(function, *args, shape=(80, 50), **named):
    plait.manual_seed(0)
    tensor = nn.Parameter(plait.zeros(shape))
    assert function(tensor, *args, **named) is tensor
    assert tensor.requires_grad
    assert tensor.is_leaf
    assert tensor.dtype is plait.float32
    return tensor.numpy()


def is_uniform(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    return (
        stats.kstest(values.ravel(), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    )


def is_normal(values, mean, std):
    return stats.kstest(values.ravel(), stats.norm(mean, std).cdf).pvalue > 1e-3


def test_distributions():
    assert is_uniform(drawn(init.uniform_), 0, 1)
    assert is_uniform(drawn(init.uniform_, -3.0, 5.0), -3, 5)
    assert is_normal(drawn(init.normal_, 2.0, 3.0), 2, 3)
    cut = drawn(init.trunc_normal_, 1.0, 2.0, 0.0, 2.5)
    exact = stats.truncnorm(-0.5, 0.75, 1.0, 2.0)
    assert stats.kstest(cut.ravel(), exact.cdf).pvalue > 1e-3
    bound = 2.0 * math.sqrt(6 / 130)
    assert is_uniform(drawn(init.xavier_uniform_, 2.0), -bound, bound)
    assert is_normal(drawn(init.xavier_normal_), 0, math.sqrt(2 / 130))
    bound = math.sqrt(6 / 50)
    assert is_uniform(drawn(init.kaiming_uniform_, nonlinearity="relu"), -bound, bound)
    assert is_normal(drawn(init.kaiming_normal_, 1.0, "fan_out"), 0, math.sqrt(1 / 80))
    kernel = drawn(init.kaiming_normal_, nonlinearity="linear", shape=(20, 10, 3, 5))
    assert is_normal(kernel, 0, math.sqrt(1 / 150))


def test_layers_begin_as_in_pytorch():
    plait.manual_seed(0)
    linear = nn.Linear(64, 100)
    assert is_uniform(linear.weight.numpy(), -1 / 8, 1 / 8)
    assert is_uniform(linear.bias.numpy(), -1 / 8, 1 / 8)
    bilinear = nn.Bilinear(16, 5, 60)
    assert is_uniform(bilinear.weight.numpy(), -1 / 4, 1 / 4)
    assert is_normal(nn.Embedding(50, 40).weight.numpy(), 0, 1)
    assert nn.Embedding(3, 2, padding_idx=1).weight.numpy()[1].tolist() == [0.0, 0.0]
    norm = nn.BatchNorm1d(3)
    assert norm.weight.tolist() == norm.running_var.tolist() == [1.0] * 3
    assert norm.bias.tolist() == norm.running_mean.tolist() == [0.0] * 3
    assert nn.PReLU().weight.tolist() == [0.25]
    plait.manual_seed(0)
    np.testing.assert_array_equal(
        nn.Linear(64, 100).weight.numpy(), linear.weight.numpy()
    )


def test_constants():
    assert (drawn(init.constant_, 2.5) == 2.5).all()
    assert (drawn(init.ones_) == 1).all()
    assert (drawn(init.zeros_) == 0).all()
    np.testing.assert_array_equal(drawn(init.eye_, shape=(3, 4)), np.eye(3, 4))


def test_dirac_hands_on_channels():
    weight = drawn(init.dirac_, shape=(3, 2, 3, 3))
    expected = np.zeros((3, 2, 3, 3))
    expected[0, 0, 1, 1] = expected[1, 1, 1, 1] = 1
    np.testing.assert_array_equal(weight, expected)
    grouped = drawn(init.dirac_, 2, shape=(4, 2, 3))
    np.testing.assert_array_equal(grouped[:2], grouped[2:])
    with pytest.raises(errors.ArgumentError, match="groups=3 for 4"):
        init.dirac_(plait.zeros(4, 2, 3), 3)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3), (0, 3)])
def test_orthogonal_matrices(shape):
    columns = math.prod(shape[1:])
    weight = drawn(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], columns)
    small = weight @ weight.T if shape[0] < columns else weight.T @ weight
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.3, 1.0])
def test_sparse_columns(sparsity):
    weight = drawn(init.sparse_, sparsity, shape=(20, 300))
    zeros = (weight == 0).sum(axis=0)
    assert (zeros == math.ceil(sparsity * 20)).all()
    if 0 < sparsity < 1:
        assert len(np.unique(weight == 0, axis=1).T) > 100
        assert is_normal(weight[weight != 0], 0, 0.01)


@pytest.mark.parametrize(
    "name", [x for x in vars(init) if x.endswith("_") and x[0] != "_"]
)
def test_docstrings_explain_every_argument(name):
    function = getattr(init, name)
    explained = inspect.getdoc(function).split("Args:\n")[1].split("\n\n")[0]
    for argument in inspect.signature(function).parameters:
        assert f"    {argument}: " in explained, argument


def test_variances_scaled():
    bound = math.sqrt(3 * 2.0 / 50)
    values = drawn(init.variance_scaling_, 2.0, distribution="uniform")
    assert is_uniform(values, -bound, bound)
    values = drawn(init.variance_scaling_, 2.0, "fan_out", "normal")
    assert is_normal(values, 0, math.sqrt(2 / 80))
    cut = drawn(init.variance_scaling_, 3.0, "fan_avg", shape=(300, 100))
    wide = math.sqrt(3 / 200) / stats.truncnorm.std(-2, 2)
    exact = stats.truncnorm(-2, 2, 0, wide)
    assert stats.kstest(cut.ravel(), exact.cdf).pvalue > 1e-3
    assert cut.var() == pytest.approx(3 / 200, rel=0.03)
    kernel = drawn(init.lecun_normal_, shape=(40, 10, 3, 5))
    assert kernel.var() == pytest.approx(1 / 150, rel=0.1)
    assert abs(kernel).max() <= 2 / math.sqrt(150) / stats.truncnorm.std(-2, 2)
    bound = math.sqrt(3 / 50)
    assert is_uniform(drawn(init.lecun_uniform_), -bound, bound)


def test_bilinear_weights_enlarge_smoothly():
    line = drawn(init.bilinear_, shape=(1, 1, 4))[0, 0]
    np.testing.assert_allclose(line, [0.25, 0.75, 0.75, 0.25])
    kernel = drawn(init.bilinear_, shape=(3, 1, 4, 5))
    other = drawn(init.bilinear_, shape=(1, 1, 5))[0, 0]
    np.testing.assert_allclose(other, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(kernel[2, 0], np.outer(line, other), rtol=1e-6)
    larger = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, groups=2, bias=False)
    init.bilinear_(larger.weight)
    ramp = plait.tensor(np.broadcast_to(np.arange(6.0, dtype=np.float32), (1, 2, 6, 6)))
    found = larger(ramp).detach().numpy()[0, :, 2:-2, 2:-2]
    expected = np.broadcast_to(np.arange(8) / 2 + 0.75, (2, 8, 8))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rows_that_add_up_to_one():
    weight = drawn(init.positive_unitball_, shape=(6, 4, 3))
    np.testing.assert_allclose(weight.sum(axis=(1, 2)), np.ones(6), rtol=1e-6)
    assert (weight > 0).all()
    assert len(np.unique(weight)) == weight.size


def test_generators_give_the_same_again():
    for function, args in (
        (init.uniform_, ()),
        (init.kaiming_normal_, ()),
        (init.orthogonal_, ()),
        (init.sparse_, (0.5,)),
        (init.trunc_normal_, ()),
        (init.lecun_normal_, ()),
        (init.lecun_uniform_, ()),
        (init.variance_scaling_, (2.0, "fan_in", "normal")),
        (init.positive_unitball_, ()),
    ):
        one, two = (
            function(plait.zeros(4, 3), *args, generator=plait.Generator(5)).numpy()
            for _ in range(2)
        )
        np.testing.assert_array_equal(one, two)


def test_dtypes_are_kept():
    for dtype in (plait.float64, plait.float16, plait.bfloat16):
        for function in (
            *(init.uniform_, init.normal_, init.orthogonal_, init.ones_),
            *(init.lecun_normal_, init.positive_unitball_),
        ):
            assert function(plait.zeros(2, 3, dtype=dtype)).dtype is dtype
        assert init.bilinear_(plait.zeros(1, 1, 4, dtype=dtype)).dtype is dtype


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("conv_transpose2d") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 2.0) == math.sqrt(2 / 5)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("selu") == 0.75
    with pytest.raises(errors.ArgumentError, match=r"'elu'\. Expected: linear"):
        init.calculate_gain("elu")


def test_wrong_arguments():
    with pytest.raises(errors.ShapeError, match="2 or more axes"):
        init.xavier_uniform_(plait.zeros(3))
    with pytest.raises(errors.ShapeError, match="2 axes"):
        init.eye_(plait.zeros(3, 3, 3))
    with pytest.raises(errors.ShapeError, match="3 to 5 axes"):
        init.dirac_(plait.zeros(3, 3))
    with pytest.raises(errors.ArgumentError, match="'fan'"):
        init.kaiming_normal_(plait.zeros(3, 3), mode="fan")
    with pytest.raises(errors.ArgumentError, match=r"0\.\.1"):
        init.sparse_(plait.zeros(3, 3), 1.5)
    with pytest.raises(errors.ArgumentError, match="fan_in, fan_out or fan_avg"):
        init.variance_scaling_(plait.zeros(3, 3), mode="fan")
    with pytest.raises(errors.ArgumentError, match="this distribution is unknown"):
        init.variance_scaling_(plait.zeros(3, 3), distribution="cauchy")
    with pytest.raises(errors.ArgumentError, match="scale is not above 0"):
        init.variance_scaling_(plait.zeros(3, 3), 0.0)
    with pytest.raises(errors.ShapeError, match="3 to 5 axes"):
        init.bilinear_(plait.zeros(3, 3))
    with pytest.raises(errors.ShapeError, match="2 or more axes"):
        init.lecun_normal_(plait.zeros(3))
