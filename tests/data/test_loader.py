"""Loaders: the same batches with and without threads, resumed, interrupted, failing."""

import gc
import subprocess
import sys
import threading
import time
import traceback
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait.data import ArrayDataset, Dataset, ListDataset, Loader
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    ShapeError,
    StateDictError,
)


def numbers(n):
    return ArrayDataset(np.arange(n))


def taken(batches):
    return [batch.tolist() for batch in batches]


def loader_threads():
    return [t for t in threading.enumerate() if t.name == "plait loader"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert not loader_threads()


# --- what comes out


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_batches_are_tensors_in_the_structure_of_the_samples(prefetch):
    x, y = np.arange(10.0, dtype=np.float32).reshape(5, 2), np.arange(5)
    batches = list(Loader((x, y), 2, prefetch=prefetch))
    assert [type(part) for part in batches[0]] == [plait.Tensor, plait.Tensor]
    assert [batch[0].shape for batch in batches] == [(2, 2), (2, 2), (1, 2)]
    np.testing.assert_array_equal(batches[2][0].numpy(), x[4:])
    assert batches[0][0].dtype is plait.float32
    named = next(iter(Loader({"x": x, "y": y}, 5, prefetch=prefetch)))
    assert named["y"].tolist() == [0, 1, 2, 3, 4]


def test_what_is_no_number_stays_as_it_is():
    samples = [("a", 1, 0.5), ("b", 2, 1.5)]
    name, number, fraction = next(iter(Loader(samples, 2)))
    assert name.tolist() == ["a", "b"]
    assert (number.dtype, fraction.dtype) == (plait.int64, plait.float32)


def test_foreign_byte_orders_become_native():
    batch = next(iter(Loader(np.arange(3, dtype=">f4"), 3)))
    assert batch.dtype is plait.float32
    assert batch.tolist() == [0, 1, 2]


def test_tensors_do_not_share_memory_with_the_data():
    x = np.zeros((4, 3))
    batch = next(iter(Loader(x, 2)))
    x[:] = 1
    assert not batch.numpy().any()


@given(
    n=st.integers(0, 40),
    size=st.integers(1, 9),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
)
def test_length_and_order(n, size, drop_last, shuffle):
    loader = Loader(numbers(n), size, shuffle=shuffle, drop_last=drop_last, seed=4)
    batches = taken(loader)
    assert len(batches) == len(loader)
    flat = [x for batch in batches for x in batch]
    whole = list(range(n))
    if shuffle:
        whole = [int(x) for x in numbers(n).shuffle(4)]
    assert flat == whole[: len(whole) - (n % size if drop_last else 0)]


def test_each_loop_is_another_epoch():
    loader = Loader(numbers(30), 30, shuffle=True, seed=2)
    epochs = [taken(loader)[0] for _ in range(3)]
    assert loader.epoch == 3
    assert all(a != b for a, b in pairwise(epochs))
    again = Loader(numbers(30), 30, shuffle=True, seed=2)
    assert [taken(again)[0] for _ in range(3)] == epochs
    again.epoch = 1
    assert taken(again)[0] == epochs[1]


def test_a_loop_that_was_left_early_is_an_epoch_too():
    loader = Loader(numbers(30), 10, shuffle=True)
    next(iter(loader))
    assert loader.epoch == 0
    assert taken(loader) == taken(numbers(30).shuffle(0).at_epoch(1).batch(10))
    assert loader.epoch == 2


def test_two_loops_at_once_do_not_disturb_each_other():
    loader = Loader(numbers(6), 2)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(loader, loader, strict=True)]
    assert pairs == [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5])]


def test_a_data_set_of_batches_needs_no_batch_size():
    dataset = numbers(7).shuffle(1).batch(3, "skip-last")
    loader = Loader(dataset, None)
    assert len(loader) == 2
    assert taken(loader) == taken(dataset)
    assert taken(loader) == taken(dataset.at_epoch(1))


def test_collate_makes_the_batches():
    words = ["a", "bbb", "cc"]
    loader = Loader(words, 2, collate=lambda s: np.array([len(w) for w in s]))
    assert taken(loader) == [[1, 3], [2]]


# --- standing still and going on


@given(
    n=st.integers(1, 30),
    size=st.integers(1, 7),
    epoch=st.integers(0, 2),
    stop=st.integers(0, 30),
    shuffle=st.booleans(),
    prefetch=st.sampled_from([0, 2]),
)
def test_a_resumed_loader_yields_exactly_what_was_left(
    n, size, epoch, stop, shuffle, prefetch
):
    def new(seed):
        return Loader(numbers(n), size, shuffle=shuffle, seed=seed, prefetch=prefetch)

    loader = new(5)
    for _ in range(epoch):
        taken(loader)
    stop = min(stop, len(loader))
    state = loader.state_dict()
    batches = iter(loader)
    for _ in range(stop):
        next(batches)
        state = loader.state_dict()
    rest, following = taken(batches), taken(loader)
    other = new(99)
    other.load_state_dict(state)
    assert taken(other) == rest
    assert taken(other) == following
    assert other.state_dict() == loader.state_dict()


def test_batches_prepared_ahead_do_not_count_as_taken():
    loader = Loader(numbers(20), 2, prefetch=5)
    batches = iter(loader)
    next(batches)
    time.sleep(0.05)
    assert loader.state_dict()["batch"] == 1
    batches.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, "another batch_size. Got: 4. Expected: 3."),
        ({"samples": 8}, "another samples. Got: 8. Expected: 9."),
        (
            {"batch": 4},
            "beyond the end of an epoch. Got: batch 4. Expected: at most 3.",
        ),
        ({"epoch": -1}, "not the state of a loader"),
        ({"seed": "x"}, "not the state of a loader"),
        ({"more": 1}, "not the state of a loader"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    loader = Loader(numbers(9), 3)
    with pytest.raises(StateDictError) as caught:
        loader.load_state_dict({**loader.state_dict(), **change})
    assert message in caught.value.message
    assert loader.state_dict() == Loader(numbers(9), 3).state_dict()


# --- the thread


class Slow(Dataset):
    def __init__(self, n, fail_at=None, error=None):
        self.n = n
        self.fail_at = fail_at
        self.error = error
        self.asked = []

    def __len__(self):
        return self.n

    def item(self, index):
        self.asked.append(index)
        if index == self.fail_at:
            explode(self.error)
        return index


def explode(error):
    raise error


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize(
    "error", [KeyError("lost"), ShapeError("[op] bad"), SystemExit(3)]
)
def test_an_error_reaches_the_loop_with_the_frames_it_came_from(prefetch, error):
    loader = Loader(Slow(8, fail_at=5, error=error), 2, prefetch=prefetch)
    seen = []
    with pytest.raises(type(error)) as caught:
        seen.extend(batch.tolist() for batch in loader)
    assert caught.value is error
    assert seen == [[0, 1], [2, 3]]
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert "explode" in frames
    assert loader.state_dict()["batch"] == 2


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_stray_stop_iteration_does_not_end_the_loop_in_silence(prefetch):
    loader = Loader(Slow(8, fail_at=5, error=StopIteration()), 2, prefetch=prefetch)
    with pytest.raises(RuntimeError, match="StopIteration"):
        taken(loader)


def test_no_more_is_prepared_than_asked_for():
    dataset = Slow(100)
    batches = iter(Loader(dataset, 1, prefetch=3))
    next(batches)
    time.sleep(0.1)
    assert len(dataset.asked) <= 5
    batches.close()
    assert not loader_threads()
    asked = len(dataset.asked)
    time.sleep(0.05)
    assert len(dataset.asked) == asked


@pytest.mark.parametrize("way", ["break", "close", "forget", "cycle", "raise"])
def test_the_thread_ends_however_the_loop_is_left(way):
    loader = Loader(Slow(1000), 1, prefetch=2)
    if way == "break":
        for _ in loader:
            break
    elif way == "raise":
        with pytest.raises(ValueError, match="stop"):  # noqa: PT012
            for _ in loader:
                raise ValueError("stop")
    else:
        batches = iter(loader)
        next(batches)
        assert loader_threads()
        if way == "close":
            batches.close()
        elif way == "cycle":
            circle = [batches]
            circle.append(circle)
            del circle
        del batches
    gc.collect()
    assert not loader_threads()


@pytest.mark.parametrize("way", ["batches", "sys.exit(0)", "batches.close()", "1 / 0"])
def test_the_interpreter_can_leave_at_any_time(way):
    code = (
        "import sys, numpy as np\n"
        "from plait.data import Loader\n"
        "batches = iter(Loader(np.zeros((100_000, 50)), 100, prefetch=4))\n"
        "next(batches)\n"
        f"{way}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    failed = way == "1 / 0"
    assert done.returncode == (1 if failed else 0)
    assert ("ZeroDivisionError" in done.stderr) if failed else not done.stderr


def test_leaving_the_loop_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("plait.data.loader._PATIENCE", 0.05)
    stuck = threading.Event()

    def load(index):
        if index == 1:
            stuck.wait(30)
        return index

    batches = iter(Loader(ListDataset(range(3), load), 1, prefetch=1))
    next(batches)
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 5
    stuck.set()
    while loader_threads():
        time.sleep(0.01)


def test_ops_in_a_data_set_run_in_the_thread():
    dataset = ListDataset(range(6)).map(lambda i: plait.tensor(float(i)) * 2)
    assert taken(Loader(dataset, 3, prefetch=2)) == [[0, 2, 4], [6, 8, 10]]
    collated = Loader(
        range(4), 2, prefetch=2, collate=lambda s: plait.tensor(s, dtype="float32") * 2
    )
    assert taken(collated) == [[0, 2], [4, 6]]


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch_size": 0},
            "[Loader] batch_size must be an integer of at least 1 or None. Got: 0.",
        ),
        (
            {"batch_size": 2.0},
            "[Loader] batch_size must be an integer of at least 1 or None. Got: 2.0.",
        ),
        (
            {"batch_size": None, "drop_last": True},
            "[Loader] without batch_size nothing is left out and nothing collated. "
            "Fix: give a batch_size, or use dataset.batch(size, 'skip-last').",
        ),
        (
            {"prefetch": -1},
            "[Loader] prefetch must be an integer of at least 0. Got: -1.",
        ),
        (
            {"num_workers": 4},
            "[Loader] there is no argument 'num_workers'. Expected: Loader(dataset, "
            "batch_size=1, *, shuffle=False, drop_last=False, seed=0, prefetch=0, "
            "collate=None). Fix: did you mean 'prefetch'?",
        ),
        (
            {"shuffle": True, "seed": -1},
            "[shuffle] the seed must be an integer from 0 to 2**64 - 1. Got: -1.",
        ),
    ],
)
def test_what_is_refused_and_how(arguments, message):
    with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
        Loader(numbers(3), **arguments)
    assert caught.value.message == message


# --- cost


def test_a_loader_costs_little_more_than_a_loop_by_hand():
    # Measured 0.92 to 1.03; the bound leaves room for a busy machine. The data are
    # small, so that what the loader adds is a large part of the whole.
    rng = np.random.default_rng(0)
    x, y = rng.random((8192, 784), np.float32), rng.integers(0, 10, 8192)
    loader = Loader((x, y), 64, shuffle=True)

    def by_hand():
        order = rng.permutation(len(x))
        for start in range(0, len(x), 64):
            rows = order[start : start + 64]
            plait.from_numpy(x[rows]), plait.from_numpy(y[rows])

    def by_loader():
        for _ in loader:
            pass

    times = {by_hand: [], by_loader: []}
    for _ in range(15):
        for run, seconds in times.items():
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    assert min(times[by_loader]) < 1.5 * min(times[by_hand])
