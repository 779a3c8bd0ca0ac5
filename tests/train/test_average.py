"""Averages of weights as a hook of a training."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import ArgumentError
from plait.train import Checkpoint, Engine, WeightAverage, fit


def batches():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4, 3)).astype(np.float32)
    return [(plait.asarray(a), plait.asarray(a.sum(1, keepdims=True))) for a in x]


def trained(hooks, epochs=2, norm=False):
    plait.manual_seed(0)
    layers = [nn.Linear(3, 1), *([nn.BatchNorm1d(1)] if norm else [])]
    model = nn.Sequential(*layers)
    engine = Engine(hooks)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    engine.train(model, nn.MSELoss(), optimizer, batches(), epochs)
    return model


class Points:
    """Keeps the weight after each update and after each epoch."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_update(self, state):
        self.steps.append(state.model[0].weight.numpy().copy())

    def on_end_epoch(self, state):
        self.epochs.append(state.model[0].weight.numpy().copy())


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"decay": None}, lambda points: points.steps),
        ({"decay": None, "start": 6}, lambda points: points.steps[6:]),
        ({"decay": None, "every": "epoch"}, lambda points: points.epochs),
    ],
    ids=["all", "later", "epochs"],
)
def test_the_model_ends_with_the_mean(settings, chosen):
    points, hook = Points(), WeightAverage(**settings)
    model = trained([points, hook])
    expected = np.mean(chosen(points), axis=0)
    np.testing.assert_allclose(model[0].weight.numpy(), expected, rtol=1e-5)
    assert hook.average.n_averaged.item() == len(chosen(points))


def test_a_moving_average_beside_the_model():
    points, hook = Points(), WeightAverage(0.5, replace=False)
    model = trained([points, hook])
    expected = points.steps[0]
    for x in points.steps[1:]:
        expected = (expected + x) / 2
    found = hook.average.module[0].weight.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert model[0].weight.tolist() == points.steps[-1].tolist()
    # What never began replaces nothing.
    late = Points()
    model = trained([late, WeightAverage(start=99)])
    assert model[0].weight.tolist() == late.steps[-1].tolist()


def test_batch_normalization_is_measured_again():
    hook = WeightAverage(None, loader=batches())
    model = trained([hook], norm=True)
    outputs = [model[0](x).detach().numpy() for x, _ in batches()]
    means = np.mean([x.mean(0) for x in outputs], axis=0)
    np.testing.assert_allclose(model[1].running_mean.numpy(), means, 1e-4, 1e-6)


def test_a_training_goes_on_with_its_average(tmp_path):
    whole = trained([WeightAverage(0.9)], epochs=4)
    path = tmp_path / "state"
    hook = WeightAverage(0.9, replace=False)
    trained([hook, Checkpoint(path, also={"average": hook})], epochs=2)
    hook = WeightAverage(0.9)
    again = trained([Checkpoint(path, resume=True, also={"average": hook}), hook], 4)
    assert again[0].weight.tolist() == whole[0].weight.tolist()


def test_in_fit():
    model = nn.Linear(3, 1)
    optimizer = optim.Lookahead(optim.Adam(model.parameters(), lr=0.1))
    records = fit(
        *(model, batches()),
        loss_function=nn.MSELoss(),
        optimizer=optimizer,
        epochs=20,
        hooks=[WeightAverage(0.9)],
        quiet=True,
    )
    assert records[-1]["loss"] < 0.1 * records[0]["loss"]


def test_what_is_refused():
    for make, message in (
        (lambda: WeightAverage(1.5), "decay must be a number from 0 to 1"),
        (lambda: WeightAverage(every="batch"), "every must be 'step' or 'epoch'"),
        (lambda: WeightAverage(start=-1), "start must be an integer of at least 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            make()
