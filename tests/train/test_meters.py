"""Meters against the same numbers computed at once, and what they refuse."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait.errors import ArgumentError, ShapeError
from plait.train import (
    AverageValueMeter,
    ClassErrorMeter,
    ConfusionMeter,
    ThroughputMeter,
    TimeMeter,
)


def test_average_of_numbers_tensors_and_arrays():
    meter = AverageValueMeter()
    for value in (1, 2.5, plait.tensor(4.0), np.float32(0.5), plait.tensor([3.0, 5.0])):
        meter.add(value)
    every = [1, 2.5, 4, 0.5, 3, 5]
    assert meter.value().mean == pytest.approx(statistics.fmean(every))
    assert meter.value().std == pytest.approx(statistics.stdev(every))
    meter.reset()
    assert all(math.isnan(x) for x in meter.value())


@given(
    st.lists(
        st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 9), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_a_weight_is_as_many_additions(values):
    meter = AverageValueMeter()
    for value, n, look in values:
        meter.add(value, n)
        if look:
            meter.value()  # looking changes nothing
    every = [value for value, n, _ in values for _ in range(n)]
    assert meter.value().mean == pytest.approx(statistics.fmean(every), abs=1e-9)
    if len(every) > 1:
        assert meter.value().std == pytest.approx(statistics.stdev(every), abs=1e-7)
    else:
        assert math.isnan(meter.value().std)


def test_the_deviation_of_large_numbers_keeps_its_digits():
    meter = AverageValueMeter()
    for i in range(5000):
        meter.add(1e9 + i % 2)
    assert meter.value().std == pytest.approx(0.5, rel=1e-3)


def test_an_average_is_of_the_value_that_was_added():
    meter = AverageValueMeter()
    loss = plait.tensor([1.0, 2.0]).sum()
    meter.add(loss)
    loss += 100
    assert meter.value().mean == 3


def test_adding_does_not_run_anything():
    x = plait.ones(3) * 2
    average, errors = AverageValueMeter(), ClassErrorMeter()
    average.add(x.sum())
    errors.add(x.reshape(1, 3) * 1, plait.tensor([0]))
    assert x._value is None
    assert average.value().mean == 6
    assert errors.value() == 0


def test_not_a_number_stays_visible():
    meter = AverageValueMeter()
    meter.add(1.0)
    meter.add(math.inf)
    assert meter.value().mean == math.inf
    meter.add(math.nan)
    assert math.isnan(meter.value().mean)


def brute_force(output, target, k):
    right = 0
    for scores, label in zip(output, target, strict=True):
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
        right += label in order[:k]
    return right


@given(
    st.integers(1, 20), st.integers(3, 7), st.integers(1, 4), st.integers(0, 2**32 - 1)
)
def test_class_errors(n, classes, batches, seed):
    rng = np.random.default_rng(seed)
    meter = ClassErrorMeter(topk=(1, 3))
    accuracy = ClassErrorMeter(topk=[1], accuracy=True)
    right = {1: 0, 3: 0}
    for _ in range(batches):
        # Few different scores, so that there are ties.
        output = rng.integers(0, 4, (n, classes)).astype(np.float32)
        target = rng.integers(0, classes, n)
        meter.add(plait.asarray(output), plait.asarray(target))
        accuracy.add(output, target)
        for k in right:
            right[k] += brute_force(output, target, k)
    total = n * batches
    expected = {k: 1 - count / total for k, count in right.items()}
    assert meter.value() == pytest.approx(expected)
    assert accuracy.value() == pytest.approx(right[1] / total)


def test_accuracy_is_that_of_argmax():
    rng = np.random.default_rng(0)
    output = rng.integers(0, 3, (500, 5)).astype(np.float32)
    target = rng.integers(0, 5, 500)
    meter = ClassErrorMeter(accuracy=True)
    meter.add(output, target)
    assert meter.value() == (output.argmax(1) == target).mean()


def test_scores_that_are_no_numbers_are_errors():
    meter = ClassErrorMeter()
    meter.add(np.full((4, 3), np.nan), np.array([0, 1, 2, 0]))
    assert meter.value() == 1
    meter.reset()
    # A target that is no class is never right.
    meter.add(np.ones((2, 3)), np.array([3, -1]))
    assert meter.value() == 1
    meter.reset()
    assert math.isnan(meter.value())


def test_confusion_of_scores_and_of_classes():
    rng = np.random.default_rng(1)
    scores, target = rng.random((50, 4)), rng.integers(0, 4, 50)
    expected = np.zeros((4, 4), int)
    for row, column in zip(target, scores.argmax(1), strict=True):
        expected[row, column] += 1
    for meter in (ConfusionMeter(4), ConfusionMeter(4, normalized=True)):
        meter.add(scores[:20], target[:20])
        meter.add(plait.asarray(scores[20:].argmax(1)), plait.asarray(target[20:]))
    np.testing.assert_allclose(meter.value().sum(1), 1)
    again = ConfusionMeter(4)
    again.add(scores, target)
    np.testing.assert_array_equal(again.value(), expected)
    assert again.value().dtype == np.int64
    np.testing.assert_array_equal(ConfusionMeter(2, normalized=True).value(), 0)


def test_time_and_throughput(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("plait.train.meters.time.perf_counter", lambda: now[0])
    seconds, each, speed = TimeMeter(), TimeMeter(unit=True), ThroughputMeter()
    assert math.isnan(each.value())
    assert math.isnan(speed.value())
    now[0] = 14.0
    each.add()
    each.add(3)
    speed.add(100)
    assert (seconds.value(), each.value(), speed.value()) == (4.0, 1.0, 25.0)
    seconds.reset()
    assert seconds.value() == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: AverageValueMeter().add(1.0, 0),
            ArgumentError,
            "[AverageValueMeter] n must be 1 or more. Got: 0.",
        ),
        (
            lambda: ClassErrorMeter(topk=(0,)),
            ArgumentError,
            "[ClassErrorMeter] topk must be integers of at least 1. Got: (0,).",
        ),
        (
            lambda: ClassErrorMeter().add(np.ones((3, 2)), np.ones(2, int)),
            ShapeError,
            "[ClassErrorMeter] scores and targets do not fit together. Got: (3, 2) and "
            "(2,). Expected: (n, classes) and (n,).",
        ),
        (
            lambda: ClassErrorMeter((5,)).add(np.ones((3, 2)), np.ones(3, int)),
            ShapeError,
            "[ClassErrorMeter] there are fewer classes than k. Got: 2 classes, k = 5.",
        ),
        (
            lambda: ConfusionMeter(0),
            ArgumentError,
            "[ConfusionMeter] the number of classes must be an integer above 0. Got: "
            "0.",
        ),
        (
            lambda: ConfusionMeter(3).add(np.ones((3, 2)), np.ones(3, int)),
            ShapeError,
            "[ConfusionMeter] the output has another number of classes. Got: 2. "
            "Expected: 3.",
        ),
        (
            lambda: ConfusionMeter(3).add(np.ones(3, int), np.ones(2, int)),
            ShapeError,
            "[ConfusionMeter] there are not as many targets as outputs. Got: (2,) and "
            "(3,).",
        ),
    ],
)
def test_what_is_refused_and_how(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert caught.value.message == message
