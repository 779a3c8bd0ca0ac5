"""Layers that look at data before training, and those that number categories."""

import numpy as np
import pytest

import plait
from plait import nn

RNG = np.random.default_rng(0)


def test_normalization_finds_mean_and_variance():
    x = RNG.normal(1000, [1, 2, 3], (200, 4, 3)).astype(np.float32)
    layer = nn.Normalization().adapt(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.mean.numpy(), wide.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(layer.variance.numpy(), wide.var((0, 1)), rtol=1e-5)
    found = layer(plait.tensor(x)).numpy()
    np.testing.assert_allclose(found.mean((0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(found.std((0, 1)), 1, atol=1e-3)
    back = nn.Normalization(-1, layer.mean, layer.variance, invert=True)
    np.testing.assert_allclose(back(plait.tensor(found)).numpy(), x, rtol=1e-6)


def test_batches_are_as_good_as_all_data_at_once():
    x = RNG.normal(5, 2, (90, 3))
    whole = nn.Normalization().adapt(x)
    parts = nn.Normalization().adapt(
        plait.tensor(x[i : i + 20]) for i in range(0, 90, 20)
    )
    for name in ("mean", "variance"):
        one, other = (getattr(layer, name).numpy() for layer in (whole, parts))
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("axis", "over"), [(None, (0, 1, 2, 3)), (1, (0, 2, 3)), ((1, -1), (0, 2))]
)
def test_the_axes_of_a_normalization(axis, over):
    x = RNG.normal(5, 2, (9, 3, 4, 5))
    found = nn.Normalization(axis).adapt(x)(plait.tensor(x)).numpy()
    mean, deviation = (f(x, axis=over, keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(found, (x - mean) / deviation, atol=1e-5)


def test_features_that_never_change_are_zero():
    x = np.full((5, 2), 3.0)
    np.testing.assert_array_equal(
        nn.Normalization().adapt(x)(plait.tensor(x)).numpy(), 0
    )


def test_what_was_found_out_is_saved():
    x = RNG.normal(5, 2, (9, 3))
    for make in (nn.Normalization, lambda: nn.Discretization(num_bins=4)):
        layer = make().adapt(x)
        other = make()
        other.load_state_dict(layer.state_dict())
        first, second = (part(plait.tensor(x)).numpy() for part in (layer, other))
        np.testing.assert_array_equal(first, second)
        assert list(other.state_dict()) == list(layer.state_dict())
    words = np.array([[3, 1, 3], [3, 1, 2]])
    layer = nn.IntegerLookup(output_mode="tf_idf").adapt(words)
    other = nn.IntegerLookup(output_mode="tf_idf")
    other.load_state_dict(layer.state_dict())
    found = other(plait.tensor(words)).numpy()
    np.testing.assert_array_equal(found, layer(plait.tensor(words)).numpy())


def test_adapting_again_takes_new_data():
    layer = nn.Normalization().adapt(np.zeros((3, 2)))
    layer.adapt(np.ones((3, 5)))
    np.testing.assert_array_equal(layer.mean.numpy(), np.ones(5))


def test_discretization_makes_equal_parts():
    x = RNG.exponential(size=1001)
    layer = nn.Discretization(num_bins=4).adapt(x)
    ids = layer(plait.tensor(x)).numpy()
    assert np.bincount(ids).min() >= 249
    bounds = layer.bin_boundaries.numpy()
    np.testing.assert_allclose(bounds, np.quantile(x, [0.25, 0.5, 0.75]), rtol=1e-6)
    assert layer(plait.tensor([-1.0, bounds[1], 1e9])).tolist() == [0, 2, 3]
    assert nn.Discretization([0, 10])(plait.tensor([-1, 0, 5, 10])).tolist() == [
        0,
        1,
        1,
        2,
    ]


def test_categories_as_vectors():
    x = plait.tensor([[0, 1], [2, 2], [3, 1]])
    expected = {
        "one_hot": np.eye(4)[[[0, 1], [2, 2], [3, 1]]],
        "multi_hot": [[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]],
        "count": [[1, 1, 0, 0], [0, 0, 2, 0], [0, 1, 0, 1]],
        "int": x.numpy(),
    }
    for mode, value in expected.items():
        found = nn.CategoryEncoding(4, mode)(x)
        np.testing.assert_array_equal(found.numpy(), value)
        assert found.dtype is (plait.int64 if mode == "int" else plait.float32)
    weights = plait.tensor([[0.1, 0.2], [0.1, 0.1], [0.2, 0.3]])
    found = nn.CategoryEncoding(4, "count")(x, weights).numpy()
    expected = [[0.1, 0.2, 0, 0], [0, 0, 0.2, 0], [0, 0.3, 0, 0.2]]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    one = nn.CategoryEncoding(3, "one_hot")(plait.tensor([[2], [0]]))
    assert one.tolist() == [[0, 0, 1], [1, 0, 0]]
    # What is no category counts as nothing.
    for mode in ("one_hot", "multi_hot", "count"):
        assert not nn.CategoryEncoding(3, mode)(plait.tensor([[-1, 7]])).numpy().any()
    assert nn.CategoryEncoding(3)(plait.tensor(1)).tolist() == [0, 1, 0]


def test_integers_by_a_vocabulary():
    x = plait.tensor([[12, 1138, 42], [42, 1000, 36]])
    layer = nn.IntegerLookup(vocabulary=[12, 36, 1138, 42])
    assert layer(x).tolist() == [[1, 3, 4], [4, 0, 2]]
    back = nn.IntegerLookup(vocabulary=[12, 36, 1138, 42], invert=True)
    assert back(layer(x)).tolist() == [[12, 1138, 42], [42, -1, 36]]
    masked = nn.IntegerLookup(
        num_oov_indices=3, mask_token=0, vocabulary=[12, 36, 1138, 42]
    )
    assert masked(plait.tensor([0, 12, 7, 8, -1])).tolist() == [0, 4, 2, 3, 3]
    hot = nn.IntegerLookup(vocabulary=[12, 36, 1138, 42], output_mode="multi_hot")
    assert hot(x).tolist() == [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]


def test_a_vocabulary_of_integers_is_found_out():
    data = np.array([[7, 7, 5], [5, 7, 0], [2, 9, 5], [2, 7, 5]])
    layer = nn.IntegerLookup(max_tokens=4, mask_token=0).adapt(data)
    assert layer.vocabulary_size() == 4
    # 5 and 7 are there four times each; the smaller one comes first.
    assert layer(plait.tensor([0, 5, 7, 2, 9])).tolist() == [0, 2, 3, 1, 1]
    weighed = nn.IntegerLookup(output_mode="tf_idf").adapt(data)
    found = weighed(plait.tensor([[7, 7, 5, 1]])).numpy()
    rows = {5: 4, 7: 3, 2: 2, 0: 1, 9: 1}
    idf = {token: np.log(1 + 4 / (1 + m)) for token, m in rows.items()}
    mean = np.mean(list(idf.values()))
    np.testing.assert_allclose(found, [[mean, idf[5], 2 * idf[7], 0, 0, 0]], rtol=1e-6)


def test_hashes_spread_evenly_and_depend_on_the_salt():
    x = plait.arange(10_000)
    found = nn.Hashing(10)(x).numpy()
    assert np.bincount(found, minlength=10).min() > 900
    other = nn.Hashing(10, salt=1)(x).numpy()
    assert 0.05 < (found == other).mean() < 0.15
    masked = nn.Hashing(4, mask_value=3)(x).numpy()
    assert masked[3] == 0
    assert set(np.delete(masked, 3)) == {1, 2, 3}
    hot = nn.Hashing(10, output_mode="one_hot")(x[:5])
    np.testing.assert_array_equal(hot.numpy().argmax(1), found[:5])
    one, two = plait.tensor([1, 2, 3]), plait.tensor([4, 5, 6])
    crossed = nn.HashedCrossing(1 << 40)
    assert (crossed(one, two) != crossed(two, one)).numpy().all()
    hot = nn.HashedCrossing(6, "one_hot")(one, two)
    assert hot.shape == (3, 6)


def refused(call, message, kind=plait.errors.ArgumentError):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).split("\n")[0] == message


def test_wrong_use():
    refused(
        lambda: nn.Normalization()(plait.zeros(2, 3)),
        "[Normalization] the layer has not seen any data. Fix: call adapt(data) once, "
        "or give what it finds out as arguments.",
    )
    refused(
        lambda: nn.Normalization().adapt(np.zeros((0, 3))),
        "[Normalization] there are no data to adapt to.",
    )
    refused(
        lambda: nn.Normalization(mean=1.0),
        "[Normalization] give both mean and variance, or none. Got: mean.",
    )
    refused(
        lambda: nn.Normalization(-1, [0.0, 1.0], [1.0, 1.0])(plait.zeros(2, 3)),
        "[Normalization] the input does not fit. Got: sizes (3,) along axis (-1,). "
        "Expected: (2,).",
        plait.errors.ShapeError,
    )
    refused(
        nn.Discretization,
        "[Discretization] either bin_boundaries or num_bins is needed. "
        "Got: bin_boundaries=None, num_bins=None.",
    )
    refused(
        lambda: nn.Discretization([1, 1]),
        "[Discretization] boundaries must ascend. Got: [1, 1].",
    )
    refused(
        lambda: nn.CategoryEncoding(3, "hot"),
        "[CategoryEncoding] there is no such output_mode. Got: 'hot'. "
        "Expected: 'int', 'one_hot', 'multi_hot', 'count'.",
    )
    refused(
        lambda: nn.CategoryEncoding(3)(plait.tensor([1]), plait.tensor([1.0])),
        "[CategoryEncoding] weights are for the mode 'count'. "
        "Got: output_mode='multi_hot'.",
    )
    refused(
        lambda: nn.IntegerLookup(vocabulary=[1, 1]),
        "[IntegerLookup] a vocabulary holds each integer once. "
        "Got: 2 integers, 1 different ones.",
    )
    refused(
        lambda: nn.IntegerLookup(max_tokens=1),
        "[IntegerLookup] there is no room for unknown integers or for known ones. "
        "Got: num_oov_indices=1, max_tokens=1.",
    )
    refused(
        lambda: nn.IntegerLookup(vocabulary=[1], output_mode="tf_idf"),
        "[IntegerLookup] a vocabulary needs weights for tf_idf, and weights one. "
        "Got: vocabulary=[1], idf_weights=None.",
    )
    refused(
        lambda: nn.Hashing(5)(plait.tensor([1.5])),
        "[Hashing] integers are hashed. Got: float32. Fix: cast with "
        "x.to(plait.int64); for texts, plait.data.hash_tokens.",
        plait.errors.DTypeError,
    )
    refused(
        lambda: nn.HashedCrossing(5)(plait.tensor([1])),
        "[HashedCrossing] there is nothing to cross. Got: 1 features. "
        "Expected: two or more tensors.",
    )
    refused(
        lambda: nn.HashedCrossing(5)(plait.tensor([1]), plait.tensor([1, 2])),
        "[HashedCrossing] the features differ in shape. Got: (1,) and (2,).",
        plait.errors.ShapeError,
    )
