"""Metrics against the same numbers computed at once, and what they refuse."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait import metrics
from plait.errors import ArgumentError, ShapeError
from plait.metrics import (
    Accuracy,
    ClassError,
    ConfusionMatrix,
    Mean,
    Throughput,
    Time,
)


def test_average_of_numbers_tensors_and_arrays():
    metric = Mean()
    for value in (1, 2.5, plait.tensor(4.0), np.float32(0.5), plait.tensor([3.0, 5.0])):
        metric.add(value)
    every = [1, 2.5, 4, 0.5, 3, 5]
    assert metric.value() == pytest.approx(statistics.fmean(every))
    assert metric.std() == pytest.approx(statistics.stdev(every))
    metric.reset()
    assert math.isnan(metric.value())
    assert math.isnan(metric.std())


@given(
    st.lists(
        st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 9), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_a_weight_is_as_many_additions(values):
    metric = Mean()
    for value, n, look in values:
        metric.add(value, n)
        if look:
            metric.value()  # looking changes nothing
    every = [value for value, n, _ in values for _ in range(n)]
    assert metric.value() == pytest.approx(statistics.fmean(every), abs=1e-9)
    if len(every) > 1:
        assert metric.std() == pytest.approx(statistics.stdev(every), abs=1e-7)
    else:
        assert math.isnan(metric.std())


def test_the_deviation_of_large_numbers_keeps_its_digits():
    metric = Mean()
    for i in range(5000):
        metric.add(1e9 + i % 2)
    assert metric.std() == pytest.approx(0.5, rel=1e-3)


def test_an_average_is_of_the_value_that_was_added():
    metric = Mean()
    loss = plait.tensor([1.0, 2.0]).sum()
    metric.add(loss)
    loss += 100
    assert metric.value() == 3


def test_adding_does_not_run_anything():
    x = plait.ones(3) * 2
    average, errors = Mean(), ClassError()
    average.add(x.sum())
    errors.add(x.reshape(1, 3) * 1, plait.tensor([0]))
    assert x._value is None
    assert average.value() == 6
    assert errors.value() == 0


def test_not_a_number_stays_visible():
    metric = Mean()
    metric.add(1.0)
    metric.add(math.inf)
    assert metric.value() == math.inf
    metric.add(math.nan)
    assert math.isnan(metric.value())


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
    metric = ClassError(topk=(1, 3))
    accuracy = Accuracy()
    right = {1: 0, 3: 0}
    for _ in range(batches):
        # Few different scores, so that there are ties.
        output = rng.integers(0, 4, (n, classes)).astype(np.float32)
        target = rng.integers(0, classes, n)
        metric.add(plait.asarray(output), plait.asarray(target))
        accuracy.add(output, target)
        for k in right:
            right[k] += brute_force(output, target, k)
    total = n * batches
    expected = {k: 1 - count / total for k, count in right.items()}
    assert metric.value() == pytest.approx(expected)
    assert accuracy.value() == pytest.approx(right[1] / total)


def test_accuracy_is_that_of_argmax():
    rng = np.random.default_rng(0)
    output = rng.integers(0, 3, (500, 5)).astype(np.float32)
    target = rng.integers(0, 5, 500)
    metric = Accuracy()
    metric.add(output, target)
    assert metric.value() == (output.argmax(1) == target).mean()


def test_scores_that_are_no_numbers_are_errors():
    metric = ClassError()
    metric.add(np.full((4, 3), np.nan), np.array([0, 1, 2, 0]))
    assert metric.value() == 1
    metric.reset()
    # A target that is no class is never right.
    metric.add(np.ones((2, 3)), np.array([3, -1]))
    assert metric.value() == 1
    metric.reset()
    assert math.isnan(metric.value())


def test_confusion_of_scores_and_of_classes():
    rng = np.random.default_rng(1)
    scores, target = rng.random((50, 4)), rng.integers(0, 4, 50)
    expected = np.zeros((4, 4), int)
    for row, column in zip(target, scores.argmax(1), strict=True):
        expected[row, column] += 1
    for metric in (ConfusionMatrix(4), ConfusionMatrix(4, normalized=True)):
        metric.add(scores[:20], target[:20])
        metric.add(plait.asarray(scores[20:].argmax(1)), plait.asarray(target[20:]))
    np.testing.assert_allclose(metric.value().sum(1), 1)
    again = ConfusionMatrix(4)
    again.add(scores, target)
    np.testing.assert_array_equal(again.value(), expected)
    assert again.value().dtype == np.int64
    np.testing.assert_array_equal(ConfusionMatrix(2, normalized=True).value(), 0)


def test_sums_of_whole_numbers_are_whole():
    metric = metrics.Sum()
    for n in (3, 7, 11, 10**15, 1):
        metric.add(n, 3)
        metric.value()
    assert metric.value() == 3 * (10**15 + 22)
    assert metrics.Sum().value() == 0


def test_a_great_loss_is_an_infinite_perplexity():
    metric = metrics.Perplexity()
    metric.add(np.array([[0.0, 2000.0]]), np.array([0]))
    assert metric.value() == math.inf


def test_no_number_is_the_least_score():
    score = np.array([0.9, np.nan, 0.4, np.nan, 0.1])
    right = np.array([1, 1, 0, 0, 1])
    least = np.where(np.isnan(score), -1.0, score)
    for make in (metrics.AUC, metrics.AveragePrecision):
        for order in (slice(None), slice(None, None, -1)):
            found = []
            for x in (score, least):
                metric = make()
                metric.add(x[order], right[order])
                found.append(metric.value())
            assert found[0] == found[1]


def test_what_is_no_class_is_left_out_of_the_confusion():
    metric = ConfusionMatrix(2)
    metric.add(plait.tensor([0, 1, 1, 5, -2]), plait.tensor([0, 0, 2, 1, 1]))
    assert metric.value().tolist() == [[1, 1], [0, 0]]


def test_time_and_throughput(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("plait.metrics.metric.time.perf_counter", lambda: now[0])
    seconds, each, speed = Time(), Time(unit=True), Throughput()
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
            lambda: Mean().add(1.0, -1),
            ArgumentError,
            "[Mean] n is negative. Got: -1.",
        ),
        (
            lambda: ClassError(topk=(0,)),
            ArgumentError,
            "[ClassError] topk must be an integer of at least 1, or several. Got: "
            "(0,).",
        ),
        (
            lambda: ClassError().add(np.ones((3, 2)), np.ones(2, int)),
            ShapeError,
            "[ClassError] scores and targets do not fit together. Got: (3, 2) and "
            "(2,). Expected: (n, classes) and (n,).",
        ),
        (
            lambda: ClassError((5,)).add(np.ones((3, 2)), np.ones(3, int)),
            ShapeError,
            "[ClassError] there are fewer classes than k. Got: 2 classes, k = 5.",
        ),
        (
            lambda: ConfusionMatrix(0),
            ArgumentError,
            "[ConfusionMatrix] the number of classes must be an integer above 0. Got: "
            "0.",
        ),
        (
            lambda: ConfusionMatrix(3).add(np.ones((3, 2)), np.ones(3, int)),
            ShapeError,
            "[ConfusionMatrix] the output has another number of classes. Got: 2. "
            "Expected: 3.",
        ),
        (
            lambda: ConfusionMatrix(3).add(np.ones(3, int), np.ones(2, int)),
            ShapeError,
            "[ConfusionMatrix] scores and targets do not fit together. Got: (3,) and "
            "(2,). Expected: (n, classes) and (n,).",
        ),
        (
            lambda: metrics.BinaryAccuracy().add(np.ones(3), np.ones((3, 1))),
            ShapeError,
            "[BinaryAccuracy] scores and targets differ in shape. Got: (3,) and "
            "(3, 1).",
        ),
        (
            lambda: Accuracy().add(np.ones((3, 2)), np.ones(3, int), weight=[1.0]),
            ShapeError,
            "[Accuracy] there must be a weight for each example. Got: weights of shape "
            "(1,). Expected: (3,).",
        ),
        (
            lambda: metrics.F1Score(average="all"),
            ArgumentError,
            "[F1Score] there is no such average. Got: 'all'. Expected: 'micro', "
            "'macro', 'weighted' or None.",
        ),
        (
            lambda: metrics.AUC().add(np.ones((3, 2)), np.ones((3, 2))),
            ShapeError,
            "[AUC] scores and targets do not fit together. Got: (3, 2) and (3, 2). "
            "Expected: (n,) and (n,). Fix: for several labels, use one metric for "
            "each.",
        ),
        (
            lambda: metrics.PrecisionAtRecall(1.5),
            ArgumentError,
            "[PrecisionAtRecall] recall lies in 0..1. Got: 1.5.",
        ),
        (
            lambda: metrics.IoU(3, of=[3]),
            ArgumentError,
            "[IoU] there is no such class. Got: of=[3] of 3 classes.",
        ),
        (
            lambda: metrics.NDCG(4).add(np.ones((2, 3)), np.ones((2, 3))),
            ShapeError,
            "[NDCG] there are fewer items than k. Got: 3, k = 4.",
        ),
        (
            lambda: metrics.R2Score().add(np.ones((2, 3)), np.ones((2, 2))),
            ShapeError,
            "[R2Score] numbers and targets do not fit together. Got: (2, 3) and "
            "(2, 2). Expected: two of (n, outputs).",
        ),
        (
            lambda: metrics.MeanOf(plait.mse_loss).add([1.0], [2.0], weight=[1.0]),
            ShapeError,
            "[MeanOf] one number for a batch has no weights. Got: a function whose "
            "result is a scalar. Expected: a number for each example.",
        ),
        (
            lambda: metrics.MovingAverage(0),
            ArgumentError,
            "[MovingAverage] window must be an integer of at least 1. Got: 0.",
        ),
    ],
)
def test_what_is_refused_and_how(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert caught.value.message == message
