"""Data sets: each kind against lists, and the laws that hold between them."""

import pickle
from collections import namedtuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import plait
from plait.data import (
    ArrayDataset,
    BatchDataset,
    ConcatDataset,
    Dataset,
    ListDataset,
    ResampleDataset,
    ShuffleDataset,
    SplitDataset,
    Subset,
    as_dataset,
    collate,
)
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IndexingError,
    ShapeError,
)


class Squares(Dataset):
    """A user's own data set, written as for PyTorch."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return index, float(index * index)


def numbers(n):
    return ArrayDataset(np.arange(n))


def listed(dataset):
    return [int(x) for x in dataset]


# --- where samples come from


def test_a_list_gives_its_elements():
    dataset = ListDataset(["a", "b", "c"], load=str.upper)
    assert len(dataset) == 3
    assert list(dataset) == ["A", "B", "C"]
    assert dataset[-1] == "C"
    assert dataset[1:].tolist() == ["B", "C"]


def test_arrays_give_tuples_one_array_rows_and_a_dictionary_dictionaries():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    both = ArrayDataset(x, y)
    assert len(both) == 6
    np.testing.assert_array_equal(both[2][0], x[2])
    assert both[2][1] == 2
    np.testing.assert_array_equal(ArrayDataset(x)[2], x[2])
    assert ArrayDataset({"a": x, "b": y})[5]["b"] == 5
    assert repr(both) == "<ArrayDataset of 6: float64[2], int64>"
    assert repr(ArrayDataset({"a": y})) == "<ArrayDataset of 6: 'a': int64>"


@pytest.mark.parametrize(
    "key",
    [slice(1, 4), slice(None, None, -2), [3, -1, 3], np.array([0, 5]), range(2, 5)],
)
def test_lists_of_indices_give_batches(key):
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    expected = list(key) if isinstance(key, range) else key
    got = ArrayDataset(x, y)[key]
    np.testing.assert_array_equal(got[0], x[expected])
    np.testing.assert_array_equal(got[1], y[expected])
    from_items = ListDataset([(x[i], y[i]) for i in range(6)])[key]
    np.testing.assert_array_equal(from_items[0], got[0])


def test_masks_and_tensors_are_indices_too():
    dataset = numbers(4)
    assert dataset[[True, False, True, False]].tolist() == [0, 2]
    assert dataset[plait.tensor([3, 1])].tolist() == [3, 1]
    assert dataset[plait.tensor(2)] == 2
    assert dataset[np.int64(2)] == 2
    assert dataset[[]].shape == (0,)


def test_a_batch_of_arrays_does_not_share_their_memory():
    x = np.zeros((4, 2))
    ArrayDataset(x)[0:2][:] = 1
    assert not x.any()


def test_tensors_and_lists_are_arrays_too():
    dataset = ArrayDataset(plait.tensor([[1.0], [2.0]]), [5, 6])
    assert dataset[1][0] == [2.0]
    assert dataset[1][1] == 6


def test_a_users_own_data_set_has_the_whole_algebra():
    dataset = Squares(5)
    assert dataset[3] == (3, 9.0)
    batch = (dataset + dataset).shuffle(0).subset([0, 1, 2]).gather(np.arange(3))
    assert batch[0].dtype == np.int64
    assert batch[1].dtype == np.float32
    np.testing.assert_array_equal(batch[0] ** 2, batch[1])


@pytest.mark.parametrize(
    ("data", "sample"),
    [
        (np.arange(3), 1),
        (plait.arange(3), 1),
        ([4, 5, 6], 5),
        ((np.arange(3), np.arange(3)), (1, 1)),
        ({"a": np.arange(3)}, {"a": 1}),
        (range(3), 1),
    ],
)
def test_what_can_be_seen_as_a_data_set(data, sample):
    assert as_dataset(data)[1] == sample


# --- what is made of them


def test_map_changes_samples_entries_or_batches():
    x, y = np.arange(6.0), np.arange(6)
    dataset = ArrayDataset({"x": x, "y": y})
    doubled = dataset.map(lambda v: v * 2, key="x")
    assert doubled[3] == {"x": 6.0, "y": 3}
    both = dataset.map({"x": lambda v: v + 1, "y": str})
    assert both[3] == {"x": 4.0, "y": "3"}
    assert both[2:4]["y"].tolist() == ["2", "3"]
    whole = dataset.map(lambda s: s["x"] - s["y"])
    assert whole[3] == 0
    pairs = ArrayDataset(x, y).map({0: np.sqrt})
    assert pairs[4] == (2.0, 4)


def test_a_batched_function_sees_batches_and_gives_the_same_samples():
    sizes = []

    def normalised(batch):
        sizes.append(len(batch))
        return batch / 2

    dataset = ArrayDataset(np.arange(6.0), np.arange(6))
    changed = dataset.map(normalised, key=0, batched=True)
    assert changed[3] == (1.5, 3)
    np.testing.assert_array_equal(changed[1:5][0], [0.5, 1, 1.5, 2])
    assert sizes == [1, 4]


def test_named_tuples_stay_what_they_are():
    Pair = namedtuple("Pair", "x y")
    dataset = ListDataset([Pair(1.0, 2), Pair(3.0, 4)]).map(
        {"x": abs, 1: abs}, key=None
    )
    with pytest.raises(IndexingError, match="no such entry"):
        dataset[0]
    batch = ListDataset([Pair(1.0, 2), Pair(3.0, 4)]).map({1: abs})[:]
    assert type(batch) is Pair
    assert batch.y.tolist() == [2, 4]


def test_concat_numbers_samples_through():
    dataset = numbers(3) + numbers(0) + [7, 8] + numbers(2)
    assert listed(dataset) == [0, 1, 2, 7, 8, 0, 1]
    assert dataset[[6, 0, 3, 4, 1]].tolist() == [1, 0, 7, 8, 1]
    assert dataset[3:5].tolist() == [7, 8]
    assert dataset[[]].shape == (0,)


def test_shuffle_depends_on_seed_and_epoch_alone():
    source = numbers(50)
    first = source.shuffle(3)
    assert sorted(listed(first)) == list(range(50))
    assert listed(first) == listed(source.shuffle(3)) != listed(source.shuffle(4))
    later = first.at_epoch(7)
    assert listed(later) == listed(ShuffleDataset(source, 3, epoch=7)) != listed(first)
    assert listed(later.at_epoch(0)) == listed(first)
    assert listed(pickle.loads(pickle.dumps(later))) == listed(later)


def test_orders_stay_the_same_for_ever():
    assert listed(numbers(10).shuffle(1)) == GOLDEN["shuffle"]
    assert listed(numbers(10).shuffle(1).at_epoch(2)) == GOLDEN["epoch 2"]
    assert listed(numbers(10).split({"a": 1.0}, seed=1)) == GOLDEN["split"]
    assert listed(numbers(10).sample(seed=1)) == GOLDEN["sample"]


GOLDEN = {
    "shuffle": [3, 5, 2, 9, 7, 0, 8, 6, 1, 4],
    "epoch 2": [7, 5, 4, 0, 3, 8, 6, 1, 2, 9],
    "split": [0, 6, 5, 3, 4, 9, 7, 8, 2, 1],
    "sample": [3, 3, 0, 9, 0, 4, 3, 7, 6, 5],
}


@given(
    n=st.integers(0, 200), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**40)
)
def test_every_shuffle_is_a_permutation(n, seed, epoch):
    order = ShuffleDataset(range(n), seed, epoch).indices
    assert sorted(order.tolist()) == list(range(n))


def test_shuffles_are_fair():
    # Each of 5 samples stands at each of 5 places in about a fifth of 4000 epochs.
    orders = np.array([ShuffleDataset(range(5), 0, e).indices for e in range(4000)])
    counts = np.array([(orders == i).sum(0) for i in range(5)])
    # Chi-squared with 16 degrees of freedom is above 45 once in 7000 times.
    assert (((counts - 800) ** 2) / 800).sum() < 45


def test_splits_are_disjoint_named_and_whole():
    parts = numbers(10).split({"train": 0.7, "valid": 0.2, "test": 0.1})
    assert parts.names == ("train", "valid", "test")
    assert [listed(parts.select(n)) for n in parts.names] == [
        [0, 1, 2, 3, 4, 5, 6],
        [7, 8],
        [9],
    ]
    assert listed(parts) == listed(parts.select("train"))
    mixed = numbers(10).split({"train": 8, "valid": 2}, seed=0)
    both = [listed(mixed.select(n)) for n in mixed.names]
    assert sorted(both[0] + both[1]) == list(range(10)) != both[0] + both[1]


def test_splits_and_subsets_of_a_shuffled_source_stay_apart_in_every_epoch():
    shuffled = numbers(20).shuffle(0)
    parts = shuffled.split({"train": 0.5, "valid": 0.5})
    train = listed(parts.select("train").at_epoch(1))
    valid = listed(parts.select("valid").at_epoch(2))
    assert not set(train) & set(valid)
    assert listed(shuffled.subset(range(5)).at_epoch(3)) == listed(shuffled)[:5]


@given(
    n=st.integers(1, 300),
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    seed=st.none() | st.integers(0, 99),
)
def test_fractions_that_sum_to_one_leave_none_out(n, weights, seed):
    total = sum(weights)
    parts = {f"part {i}": w / total for i, w in enumerate(weights)}
    fractions = list(parts.values())
    ends = [round(sum(fractions[: i + 1]) * n) for i in range(len(weights))]
    assume(all(end > start for start, end in pairwise([0, *ends])))
    split = numbers(n).split(parts, seed=seed)
    every = [x for name in split.names for x in listed(split.select(name))]
    assert sorted(every) == list(range(n))
    for i, name in enumerate(split.names):
        assert abs(len(split.select(name)) - weights[i] / total * n) <= 1


def test_a_subset_has_its_samples_in_order():
    assert listed(numbers(9).subset([4, -1, 4])) == [4, 8, 4]
    assert listed(numbers(4).subset([True, False, False, True])) == [0, 3]
    assert listed(numbers(9).subset(slice(2, 8, 2))) == [2, 4, 6]


def test_sampling_with_and_without_replacement():
    source = numbers(20)
    drawn = source.sample(1000, seed=1)
    assert len(drawn) == 1000
    assert set(listed(drawn)) == set(range(20))
    assert listed(drawn) != listed(drawn.at_epoch(1))
    without = source.sample(8, replacement=False)
    assert len(set(listed(without))) == 8
    assert len(numbers(0).sample()) == 0


def test_sampling_follows_the_weights():
    weights = np.array([0.0, 1.0, 3.0, 0.0])
    drawn = listed(numbers(4).sample(8000, weights=weights, seed=5))
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == counts[3] == 0
    # The standard deviation is 39.
    assert abs(counts[2] - 6000) < 200


def test_batches_and_their_policies():
    source = numbers(7)
    assert [b.tolist() for b in source.batch(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b.tolist() for b in source.batch(3, "skip-last")] == [[0, 1, 2], [3, 4, 5]]
    assert len(source.batch(7, "divisible-only")) == 1
    assert len(numbers(0).batch(3)) == 0
    shuffled = source.shuffle(0).batch(3)
    assert shuffled.at_epoch(1)[0].tolist() == listed(source.shuffle(0).at_epoch(1))[:3]


@given(
    n=st.integers(1, 60),
    size=st.integers(1, 9),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
)
def test_a_long_chain_gives_what_lists_give(n, size, seed, epoch):
    chain = (
        (numbers(n) + numbers(n).map(lambda x: x + 100, batched=True))
        .shuffle(seed)
        .map(lambda x: x * 2)
        .batch(size)
        .at_epoch(epoch)
    )
    order = ShuffleDataset(range(2 * n), seed, epoch).indices.tolist()
    plain = [i if i < n else i - n + 100 for i in order]
    expected = [x * 2 for x in plain]
    assert [x for batch in chain for x in batch.tolist()] == expected


def test_collate_keeps_the_structure():
    samples = [{"x": np.ones(2), "y": (1, "a", 0.5, True, None)} for _ in range(3)]
    batch = collate(samples)
    assert batch["x"].shape == (3, 2)
    one, text, fraction, flag, nothing = batch["y"]
    assert (one.dtype, fraction.dtype, flag.dtype) == (np.int64, np.float32, np.bool_)
    assert text.tolist() == ["a", "a", "a"]
    assert nothing.tolist() == [None] * 3


# --- what is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: numbers(3)[3],
            IndexingError,
            "[dataset] the index is out of range. Got: 3. Expected: -3 to 2.",
        ),
        (
            lambda: numbers(0)[0],
            IndexingError,
            "[dataset] the index is out of range. Got: 0. Expected: an index of no "
            "sample.",
        ),
        (
            lambda: numbers(3)["x"],
            IndexingError,
            "[dataset] this is no index. Got: a str. Expected: an integer, a slice, a "
            "list of integers, or a mask.",
        ),
        (
            lambda: numbers(3)[[0, -4]],
            IndexingError,
            "[dataset] the index is out of range. Got: -4. Expected: -3 to 2.",
        ),
        (
            lambda: numbers(3)[[0.5]],
            IndexingError,
            "[dataset] indices are a list of integers, or a bool for each sample. Got: "
            "float64 of shape (1,).",
        ),
        (
            lambda: numbers(3).subset([True]),
            IndexingError,
            "[dataset] the mask is not as long as the data set. Got: 1. Expected: 3.",
        ),
        (
            lambda: ArrayDataset(np.zeros(2), np.zeros(3)),
            ShapeError,
            "[ArrayDataset] the arrays have unequal lengths. Got: 0: 2, 1: 3.",
        ),
        (
            lambda: ArrayDataset({"x": np.zeros(2), "y": 4}),
            ShapeError,
            "[ArrayDataset] array 'y' is a single number. Expected: an axis that "
            "counts the samples.",
        ),
        (lambda: ArrayDataset(), ArgumentError, "[ArrayDataset] there is no array."),
        (
            lambda: ListDataset(iter([1])),
            ArgumentTypeError,
            "[ListDataset] the elements have no length or no numbers. Got: a "
            "list_iterator. Expected: a list. Fix: list(...) reads an iterator into "
            "one.",
        ),
        (
            lambda: numbers(3).map(3),
            ArgumentTypeError,
            "[map] this cannot be called. Got: a int.",
        ),
        (
            lambda: numbers(3).map(abs, key="x")[0],
            IndexingError,
            "[map] a sample without entries has no keys. Got: key 'x'. Fix: call "
            "map(function) without a key.",
        ),
        (
            lambda: ArrayDataset({"x": [1]}).map({"y": abs})[0],
            IndexingError,
            "[map] the sample has no such entry. Got: key 'y'. Expected: 'x'.",
        ),
        (
            lambda: ArrayDataset([1], [2]).map(abs, key=2)[0],
            IndexingError,
            "[map] the sample has no such entry. Got: key 2. Expected: 0 to 1.",
        ),
        (
            lambda: (numbers(2) + ArrayDataset([1.5]))[:],
            DTypeError,
            "[concat] the data sets have different element types. Got: float64 and "
            "int64. Fix: convert one with map() first.",
        ),
        (
            lambda: (ArrayDataset(np.zeros((2, 2))) + ArrayDataset(np.zeros((2, 3))))[
                :
            ],
            ShapeError,
            "[concat] the data sets have samples of different shapes. Got: (2,) and "
            "(3,).",
        ),
        (
            lambda: (numbers(2) + ArrayDataset([1], [2]))[:],
            ArgumentError,
            "[dataset] samples of one batch have different structures. Got: a ndarray "
            "and a tuple of 2.",
        ),
        (lambda: ConcatDataset(), ArgumentError, "[concat] there is no data set."),
        (
            lambda: numbers(3).shuffle(-1),
            ArgumentError,
            "[shuffle] the seed must be an integer from 0 to 2**64 - 1. Got: -1.",
        ),
        (
            lambda: numbers(3).shuffle(0.5),
            ArgumentError,
            "[shuffle] the seed must be an integer from 0 to 2**64 - 1. Got: 0.5.",
        ),
        (
            lambda: numbers(9).split({"a": 0.5, "b": 4}),
            ArgumentError,
            "[split] parts are all fractions, or all numbers of samples, above 0. Got: "
            "{'a': 0.5, 'b': 4}. Expected: {'train': 0.9, 'valid': 0.1} or {'train': "
            "900, 'valid': 100}.",
        ),
        (
            lambda: numbers(9).split({"a": 0.9, "b": 0.2}),
            ArgumentError,
            "[split] the parts are more than all samples. Got: 1.1. Expected: at most "
            "1.",
        ),
        (
            lambda: numbers(9).split({"a": 8, "b": 2}),
            ArgumentError,
            "[split] the parts are more than all samples. Got: 10. Expected: at most "
            "9.",
        ),
        (
            lambda: numbers(9).split({"a": 0.99, "b": 0.01}),
            ArgumentError,
            "[split] a part has no samples. Got: 'b', 0.01 of 9.",
        ),
        (
            lambda: numbers(9).split({"a": 9}).select("b"),
            ArgumentError,
            "[split] there is no such part. Got: 'b'. Expected: 'a'.",
        ),
        (
            lambda: numbers(3).sample(4, replacement=False),
            ArgumentError,
            "[sample] there are not so many samples to draw. Got: 4 of 3. Fix: draw "
            "fewer, or with replacement=True.",
        ),
        (
            lambda: numbers(0).sample(1),
            ArgumentError,
            "[sample] there are not so many samples to draw. Got: 1 of 0.",
        ),
        (
            lambda: numbers(2).sample(weights=[1.0]),
            ShapeError,
            "[sample] there must be one weight for each sample. Got: shape (1,). "
            "Expected: shape (2,).",
        ),
        (
            lambda: numbers(2).sample(weights=[0.0, -1.0]),
            ArgumentError,
            "[sample] weights must be finite and not negative, and one of them "
            "positive.",
        ),
        (
            lambda: numbers(2).sample(weights=[1.0, 1.0], replacement=False),
            ArgumentError,
            "[sample] weights need replacement=True.",
        ),
        (
            lambda: numbers(2).batch(0),
            ArgumentError,
            "[batch] the size must be an integer of at least 1. Got: 0.",
        ),
        (
            lambda: numbers(2).batch(True),
            ArgumentError,
            "[batch] the size must be an integer of at least 1. Got: True.",
        ),
        (
            lambda: numbers(2).batch(1, "half"),
            ArgumentError,
            "[batch] unknown policy. Got: 'half'. Expected: 'include-last' or "
            "'skip-last' or 'divisible-only'.",
        ),
        (
            lambda: numbers(7).batch(3, "divisible-only"),
            ArgumentError,
            "[batch] the samples do not divide into batches. Got: 7 samples in batches "
            "of 3. Fix: use 'include-last' or 'skip-last'.",
        ),
        (
            lambda: ListDataset([np.zeros(2), np.zeros(3)])[:],
            ShapeError,
            "[collate] samples of different shapes make no batch. Got: (2,) and (3,). "
            "Fix: make them equal with map(), or give the loader a collate function.",
        ),
        (
            lambda: ListDataset([{"a": 1}, {"b": 1}])[:],
            ArgumentError,
            "[dataset] samples of one batch have different structures. Got: a "
            "dictionary of 'a' and a dictionary of 'b'.",
        ),
        (
            lambda: ListDataset([object()])[:],
            ArgumentTypeError,
            "[dataset] this is no array. Got: a object. Expected: a NumPy array, a "
            "tensor, a number, or nested lists of numbers.",
        ),
        (
            lambda: collate([]),
            ArgumentError,
            "[collate] a batch needs at least one sample.",
        ),
        (
            lambda: as_dataset([[1], [2, 3]])[:],
            ArgumentError,
            "[dataset] samples of one batch have different structures. Got: a list of "
            "1 and a list of 2.",
        ),
    ],
)
def test_what_is_refused_and_how(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert caught.value.message == message


def test_a_data_set_ends_for_loops():
    assert sum(1 for _ in BatchDataset(numbers(5), 2)) == 3
    assert list(Squares(2)) == [(0, 0.0), (1, 1.0)]
    assert isinstance(ResampleDataset(numbers(2)), Dataset)
    assert isinstance(Subset(numbers(2), []), Dataset)
    assert isinstance(SplitDataset(numbers(2), {"a": 1}), Dataset)
