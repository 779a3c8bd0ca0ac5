"""Training in one call, what it measures, and what the logs write."""

import csv
import io
import json
import math
import sys

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.data import Loader
from plait.errors import ArgumentError, ArgumentTypeError
from plait.metrics import Accuracy, ClassError, ConfusionMatrix
from plait.train import (
    ConsoleLog,
    CSVLog,
    Engine,
    Evaluate,
    JSONLinesLog,
    Measure,
    fit,
    predict,
)
from plait.train.log import shown


@pytest.fixture
def blobs():
    """Points around the corners of a square, labelled by corner."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 120)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    points = corners[labels] + rng.normal(0, 0.2, (120, 2))
    return points.astype(np.float32), labels


def trained(blobs, **more):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4))
    arguments = {
        "loss_function": nn.CrossEntropyLoss(),
        "optimizer": optim.Adam(model.parameters(), lr=0.05),
        "epochs": 3,
        "metrics": {"accuracy": Accuracy()},
        "evaluate_on": Loader(blobs, 50),
        "quiet": True,
        **more,
    }
    return model, fit(model, Loader(blobs, 32, shuffle=True), **arguments)


def test_fit_trains_measures_and_evaluates(blobs):
    model, records = trained(blobs, epochs=8)
    assert [record["epoch"] for record in records] == list(range(1, 9))
    assert list(records[0]) == [
        "epoch",
        "loss",
        "accuracy",
        "seconds",
        "samples_per_second",
        "test_loss",
        "test_accuracy",
    ]
    assert records[-1]["test_accuracy"] > 0.95
    assert records[-1]["loss"] < records[0]["loss"]
    assert model.training
    points, labels = blobs
    with plait.no_grad():
        scores = model(plait.asarray(points)).numpy()
    assert records[-1]["test_accuracy"] == (scores.argmax(1) == labels).mean()
    top = scores - scores.max(1, keepdims=True)
    losses = np.log(np.exp(top).sum(1)) - top[np.arange(120), labels]
    assert records[-1]["test_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_training_twice_gives_the_same_bits(blobs):
    timing = {"seconds", "samples_per_second"}
    runs = [
        [{k: v for k, v in r.items() if k not in timing} for r in trained(blobs)[1]]
        for _ in range(2)
    ]
    for first, second in zip(*runs, strict=True):
        # The first batch that was ever evaluated was interpreted.
        losses = [record.pop("test_loss") for record in (first, second)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert first == second


def test_several_evaluations_have_their_names(blobs):
    loaders = {"valid": Loader(blobs, 50), "other": Loader(blobs, 40)}
    _, records = trained(blobs, evaluate_on=loaders, epochs=1)
    assert records[0]["valid_accuracy"] == records[0]["other_accuracy"]
    assert records[0]["valid_loss"] == pytest.approx(records[0]["other_loss"])
    _, records = trained(blobs, evaluate_on=None, epochs=1)
    assert "test_loss" not in records[0]


def test_the_users_meters_are_not_touched(blobs):
    metric = ClassError()
    metric.add(np.eye(3), np.arange(3))
    trained(blobs, metrics={"error": metric})
    assert metric.value() == 0


def test_the_console_shows_a_table_of_80_columns(blobs, capsys):
    trained(blobs, quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split("  ")[-1] == "test accuracy"
    assert lines[3].lstrip().startswith("3/3")
    assert lines[3].count(" %") == 2
    assert len(set(map(len, lines))) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_and_then_the_line(blobs, monkeypatch):
    pytest.importorskip("tqdm")
    stream = Terminal()
    trained(blobs, hooks=[ConsoleLog(stream)], epochs=1)
    assert "batch/s" in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].lstrip(" \r").startswith("1/1")


def test_without_tqdm_there_are_the_lines_alone(blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = Terminal()
    trained(blobs, hooks=[ConsoleLog(stream)], epochs=2)
    assert "batch" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 3


def test_csv_and_json_lines_hold_what_was_measured(blobs, tmp_path):
    table, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    metrics = {"error": ClassError((1, 2)), "confusion": ConfusionMatrix(4)}
    hooks = [CSVLog(table), JSONLinesLog(lines)]
    _, records = trained(blobs, metrics=metrics, hooks=hooks)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) == len(objects) == 3
    for record, row, one in zip(records, rows, objects, strict=True):
        assert float(row["loss"]) == one["loss"] == record["loss"]
        assert float(row["error.2"]) == one["error.2"] == record["error"][2]
        assert json.loads(row["confusion"]) == record["confusion"].tolist()
    assert [one["step"] for one in objects] == [4, 8, 12]


def test_logs_go_on_where_they_are_told_to(blobs, tmp_path):
    table, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    for append in (True, True, False):
        trained(blobs, hooks=[CSVLog(table, append), JSONLinesLog(lines, append)])
        if append:
            continue
        assert len(table.read_text().splitlines()) == 4
        assert len(lines.read_text().splitlines()) == 3
    trained(blobs, hooks=[CSVLog(table, append=True), JSONLinesLog(lines, append=True)])
    assert len(table.read_text().splitlines()) == 7
    assert len(lines.read_text().splitlines()) == 6
    with pytest.raises(ArgumentError, match="not those of the header") as caught:
        trained(blobs, metrics={}, hooks=[CSVLog(table, append=True)])
    assert "accuracy" in caught.value.expected


def test_numbers_that_are_not_finite_are_null_in_json(blobs, tmp_path):
    path = tmp_path / "log.jsonl"
    engine = Engine()
    engine.on("on_end_epoch", lambda state: state.record.update(x=math.nan, y=math.inf))
    engine.add(JSONLinesLog(path))
    model = nn.Linear(2, 4)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    engine.train(model, nn.CrossEntropyLoss(), optimizer, Loader(blobs, 64))
    assert json.loads(path.read_text()) == {"epoch": 1, "step": 2, "x": None, "y": None}


def test_a_loss_weighs_batches_by_their_size(blobs):
    model = nn.Linear(2, 4)
    losses = []
    for size in (120, 50, 7):
        engine = Engine([Measure()])
        state = engine.evaluate(model, nn.CrossEntropyLoss(), Loader(blobs, size))
        losses.append(state.record["loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_samples_that_cannot_be_counted_are_refused(blobs):
    model = nn.Linear(2, 4)
    engine = Engine([Measure()])
    engine.split = lambda batch: (plait.asarray(blobs[0]), plait.asarray(blobs[1]))
    with pytest.raises(ArgumentError) as caught:
        engine.evaluate(model, nn.CrossEntropyLoss(), ["batch"])
    assert caught.value.message == (
        "[train] the samples of this batch cannot be counted. Got: a str. Expected: an "
        "array or tensor first."
    )


def test_an_evaluation_alone():
    inputs = plait.tensor([[1.0, 0.0], [0.0, 1.0]])
    metrics = {"accuracy": Accuracy()}
    engine = Engine([Measure(metrics)])
    loader = [(inputs, plait.tensor([0, 0]))]
    model = nn.Linear(2, 2)
    model.load_state_dict({"weight": plait.eye(2), "bias": plait.zeros(2)})
    assert engine.evaluate(model, None, loader).record["accuracy"] == 0.5
    assert isinstance(Evaluate(loader).loader, list)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.97512, "97.51 %"),
        ("test_error", 0.025, "2.50 %"),
        ("loss", 0.123456, "0.1235"),
        ("samples_per_second", 12345.6, "12,346"),
        ("step", 7, "7"),
        ("error", {1: 0.5, 5: 0.1}, "1: 50.00 % 5: 10.00 %"),
        ("note", "x", "x"),
    ],
)
def test_how_numbers_are_shown(name, value, text):
    assert shown(name, value) == text


def test_predictions_are_those_of_all_batches(blobs):
    points, labels = blobs
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    with plait.no_grad():
        expected = model.eval()(plait.asarray(points)).numpy()
    model.train()
    for data in (points, blobs, {"input": points, "target": labels}):
        found = predict(model, Loader(data, 50))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert model.training
    assert not found.requires_grad
    both = predict(nn.LSTM(2, 3), Loader(points[:, None], 60))
    assert both[0].shape == (120, 1, 3)
    with pytest.raises(ArgumentError, match=r"\[predict\] there are no batches"):
        predict(model, [])


def test_gradients_can_be_limited(blobs):
    norms = []

    class Norms:
        def on_backward(self, state):
            total = sum(
                float((p.grad**2).sum().item()) for p in state.model.parameters()
            )
            norms.append(math.sqrt(total))

    trained(blobs, epochs=1, clip_norm=0.01, hooks=[Norms()])
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be an Optimizer. Got: 'adam'"),
        ({"optimizer": optim.Adam}, "optimizer must be an Optimizer. Got: the class"),
        ({"loss_function": "mse"}, "loss_function must be a function. Got: 'mse'"),
        ({"metrics": [Accuracy()]}, "metrics must be a dict"),
        ({"metrics": {"a": Accuracy}}, "'a' is no metric. Got: the class Accuracy."),
        ({"callbacks": []}, "there is no argument 'callbacks'"),
        ({"validation_data": []}, "Fix: did you mean 'evaluate_on'?"),
        ({"validation_split": 0.1}, "Fix: split the data with plait.data.Dataset"),
    ],
)
def test_arguments_of_other_kinds_are_refused(blobs, arguments, message):
    with pytest.raises(ArgumentTypeError) as caught:
        trained(blobs, **arguments)
    assert message in caught.value.message
