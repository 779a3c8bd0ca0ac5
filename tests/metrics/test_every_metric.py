"""Every metric, by the samples that it gives of itself."""

import copy
import itertools
import math

import numpy as np
import pytest

import plait
from plait import metrics

METRICS = {
    name: getattr(metrics, name)
    for name in metrics.__all__
    if name not in ("Metric", "Time", "Throughput")  # which measure no data
}
every_sample = pytest.mark.parametrize(
    ("name", "sample"),
    [
        pytest.param(name, sample, id=f"{name}-{i}")
        for name, metric in METRICS.items()
        for i, sample in enumerate(metric.samples())
    ],
)


def make(name, sample):
    return METRICS[name](*sample.args, **sample.named)


def feed(metric, parts, **named):
    """Add examples; a tuple of numbers is added one by one."""
    if isinstance(parts[0], tuple):
        for number in parts[0]:
            metric.add(number)
    else:
        metric.add(*parts, **named)


def pieces(data, cuts):
    """Cut all data at the same places."""
    ends = [0, *cuts, len(data[0])]
    for start, end in itertools.pairwise(ends):
        yield tuple(part[start:end] for part in data)


def same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    assert isinstance(found, (float, list, np.ndarray))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-9)


def tensors(data):
    if isinstance(data[0], tuple):
        return data
    return tuple(plait.tensor(x) for x in data)


@every_sample
def test_the_value_is_that_of_the_reference(name, sample):
    for data in (sample.data, tensors(sample.data)):
        metric = make(name, sample)
        feed(metric, data)
        same(metric.value(), sample.reference(*sample.data))
        same(metric.value(), sample.reference(*sample.data))  # looking changes nothing


@every_sample
@pytest.mark.parametrize("execution", ["interpret", "compile"])
def test_batches_make_no_difference(name, sample, execution, monkeypatch):
    monkeypatch.setattr(plait.settings, "execution", execution)
    metric = make(name, sample)
    for i, part in enumerate(pieces(sample.data, (2, 3))):
        feed(metric, tensors(part))
        if i == 1:
            metric.value()
    same(metric.value(), sample.reference(*sample.data))


@every_sample
def test_an_empty_batch_changes_nothing(name, sample):
    if isinstance(sample.data[0], tuple):
        return
    empty = tuple(part[:0] for part in tensors(sample.data))
    metric = make(name, sample)
    metric.add(*empty)
    metric.value()
    feed(metric, tensors(sample.data))
    metric.add(*empty)
    same(metric.value(), sample.reference(*sample.data))


@every_sample
def test_reset_and_copies(name, sample):
    metric = make(name, sample)
    new = metric.value()
    feed(metric, sample.data)
    twin = copy.deepcopy(metric)
    metric.reset()
    assert repr(metric.value()) == repr(new)
    same(twin.value(), sample.reference(*sample.data))
    feed(metric, sample.data)
    same(metric.value(), twin.value())
    assert repr(metric) == repr(twin)
    assert repr(metric).startswith(f"{name}(")


@every_sample
def test_a_weight_is_as_many_examples(name, sample):
    if not sample.weighted:
        return
    count = len(sample.data[0])
    weight = np.random.default_rng(0).integers(0, 3, count)
    metric = make(name, sample)
    for part in pieces((*sample.data, weight), (1, 4)):
        metric.add(*tensors(part[:-1]), weight=plait.tensor(part[-1]))
    repeated = tuple(np.repeat(x, weight, axis=0) for x in sample.data)
    same(metric.value(), sample.reference(*repeated))


@every_sample
def test_what_has_a_history_is_measured_without(name, sample):
    if isinstance(sample.data[0], tuple) or sample.data[0].dtype.kind != "f":
        return
    metric = make(name, sample)
    output, *rest = tensors(sample.data)
    output = output.float().requires_grad_()
    metric.add(output * 1, *rest)
    kept = [x for x in vars(metric).values() if isinstance(x, plait.Tensor)]
    assert not any(x.requires_grad for x in kept)
    same(metric.value(), sample.reference(*sample.data))


@pytest.mark.parametrize("name", METRICS)
def test_nothing_was_added(name):
    sample = METRICS[name].samples()[0]
    value = make(name, sample).value()
    assert np.isnan(value).all() or not np.any(value)


# --- against Keras


def keras_metric(name):
    return pytest.importorskip("keras").metrics.__dict__[name]


rng = np.random.default_rng(0)
YES = rng.integers(0, 2, 40)
SCORES = np.where(YES, rng.uniform(0.2, 1, 40), rng.uniform(0, 0.8, 40))
CLASSES = rng.integers(0, 4, 40)
ROWS = rng.dirichlet(np.ones(4), 40)
NUMBERS = rng.uniform(0.5, 2, (40, 3))
OTHERS = NUMBERS + rng.normal(size=(40, 3)) / 5


@pytest.mark.parametrize(
    ("own", "theirs", "output", "target"),
    [
        (metrics.BinaryAccuracy(), ("BinaryAccuracy", {}), SCORES, YES),
        (metrics.Accuracy(), ("SparseCategoricalAccuracy", {}), ROWS, CLASSES),
        (
            metrics.Accuracy(2),
            ("SparseTopKCategoricalAccuracy", {"k": 2}), ROWS, CLASSES,
        ),
        (metrics.Precision(0.4), ("Precision", {"thresholds": 0.4}), SCORES, YES),
        (metrics.Recall(0.4), ("Recall", {"thresholds": 0.4}), SCORES, YES),
        (metrics.TruePositives(), ("TruePositives", {}), SCORES, YES),
        (metrics.FalsePositives(), ("FalsePositives", {}), SCORES, YES),
        (metrics.TrueNegatives(), ("TrueNegatives", {}), SCORES, YES),
        (metrics.FalseNegatives(), ("FalseNegatives", {}), SCORES, YES),
        (
            metrics.F1Score(average="macro"), ("F1Score", {"average": "macro"}),
            ROWS, np.eye(4)[CLASSES],
        ),
        (metrics.IoU(4), ("MeanIoU", {"num_classes": 4}), ROWS.argmax(1), CLASSES),
        (metrics.BinaryIoU(), ("BinaryIoU", {}), SCORES, YES),
        (metrics.R2Score(), ("R2Score", {}), OTHERS, NUMBERS),
        (metrics.MeanAbsoluteError(), ("MeanAbsoluteError", {}), OTHERS, NUMBERS),
        (metrics.MeanSquaredError(), ("MeanSquaredError", {}), OTHERS, NUMBERS),
        (metrics.RootMeanSquaredError(), ("RootMeanSquaredError", {}), OTHERS, NUMBERS),
        (
            metrics.MeanAbsolutePercentageError(),
            ("MeanAbsolutePercentageError", {}), OTHERS, NUMBERS,
        ),
        (
            metrics.MeanSquaredLogarithmicError(),
            ("MeanSquaredLogarithmicError", {}), OTHERS, NUMBERS,
        ),
        (metrics.LogCoshError(), ("LogCoshError", {}), OTHERS, NUMBERS),
        (metrics.CosineSimilarity(), ("CosineSimilarity", {}), OTHERS, NUMBERS),
        (metrics.Poisson(), ("Poisson", {}), abs(OTHERS), NUMBERS),
        (metrics.Hinge(), ("Hinge", {}), OTHERS, np.sign(OTHERS - 1)),
        (metrics.SquaredHinge(), ("SquaredHinge", {}), OTHERS, np.sign(OTHERS - 1)),
        (
            metrics.CategoricalHinge(), ("CategoricalHinge", {}),
            ROWS, np.eye(4)[CLASSES],
        ),
        (metrics.KLDivergence(), ("KLDivergence", {}), ROWS, ROWS[::-1].copy()),
        (metrics.BinaryCrossentropy(), ("BinaryCrossentropy", {}), SCORES, YES * 1.0),
        (
            metrics.CrossEntropy(),
            ("SparseCategoricalCrossentropy", {"from_logits": True}), ROWS, CLASSES,
        ),
    ],
)  # fmt: skip
def test_equals_keras(own, theirs, output, target):
    name, settings = theirs
    metric = keras_metric(name)(**settings)
    for i in (0, 20):
        metric.update_state(target[i : i + 20], output[i : i + 20])
        right = target[i : i + 20]
        own.add(output[i : i + 20], right.argmax(1) if name == "F1Score" else right)
    found = own.value()
    own.reset()
    assert found == pytest.approx(float(metric.result()), rel=3e-5)


def test_areas_are_near_those_of_many_thresholds():
    for curve in ("ROC", "PR"):
        theirs = keras_metric("AUC")(num_thresholds=5000, curve=curve)
        theirs.update_state(YES, SCORES)
        own = metrics.AUC(curve)
        own.add(SCORES, YES)
        assert own.value() == pytest.approx(float(theirs.result()), abs=2e-3)


def test_an_area_needs_both_answers():
    metric = metrics.AUC()
    metric.add([0.1, 0.2], [1, 1])
    assert math.isnan(metric.value())
