"""Rate schedules: the rates that updates see, also after an interruption."""

import math

import numpy as np
import pytest

from plait import nn, optim
from plait.data import Loader
from plait.errors import ArgumentError, ArgumentTypeError
from plait.optim import cosine_decay, linear_decay
from plait.train import Checkpoint, Engine, Measure, RateSchedule, State


def rates(schedule, epochs=2):
    data = (np.ones((8, 2), np.float32), np.zeros(8, np.int64))
    model = nn.Linear(2, 2)
    first, second = {"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}
    optimizer = optim.SGD([first, second], lr=1.0)
    engine, seen = Engine([schedule]), []

    @engine.on("on_update")
    def note(state):
        seen.append([group["lr"] for group in state.optimizer.param_groups])

    engine.train(model, nn.CrossEntropyLoss(), optimizer, Loader(data, 4), epochs)
    return seen


def test_the_rate_goes_down_to_nothing():
    assert rates(RateSchedule()) == [
        [1, 0.5],
        [0.75, 0.375],
        [0.5, 0.25],
        [0.25, 0.125],
    ]
    waves = [one[0] for one in rates(RateSchedule(cosine_decay))]
    expected = [(1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    assert waves == pytest.approx(expected)


def test_the_rate_can_grow_first():
    seen = [one[0] for one in rates(RateSchedule(lambda _: 1.0, warm_up=0.75))]
    assert seen == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert linear_decay(0.25) == 0.75


@pytest.mark.parametrize("schedule_first", [True, False])
def test_a_resumed_training_has_the_same_rates(tmp_path, schedule_first):
    data = (np.ones((8, 2), np.float32), np.zeros(8, np.int64))

    def train(epochs, stop_at):
        model = nn.Linear(2, 2)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        hooks = [RateSchedule(), Checkpoint(tmp_path / "c", every_steps=1)]
        engine = Engine(hooks if schedule_first else hooks[::-1])
        engine.on("on_update", lambda s: State.stop(s) if s.step == stop_at else None)
        loader = Loader(data, 4)
        engine.train(model, nn.CrossEntropyLoss(), optimizer, loader, epochs)
        return optimizer.param_groups[0]["lr"]

    assert train(2, stop_at=2) == 0.75
    assert train(2, stop_at=None) == 0.25


def trained(make_schedule, epochs=3, **options):
    """Return the rates that updates saw, and those after the training."""
    data = (np.ones((8, 2), np.float32), np.zeros(8, np.int64))
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    hook = RateSchedule(make_schedule(optimizer), **options)
    engine, seen = Engine([Measure(), hook]), []
    engine.on("on_backward", lambda state: seen.append(optimizer.param_groups[0]["lr"]))
    engine.train(model, nn.CrossEntropyLoss(), optimizer, Loader(data, 4), epochs)
    return seen, optimizer.param_groups[0]["lr"]


def test_a_schedule_of_optim_is_set_at_each_step_or_epoch():
    steps, _ = trained(lambda o: optim.ExponentialLR(o, 0.5))
    assert steps == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]
    epochs, _ = trained(lambda o: optim.StepLR(o, 1, 0.5), every="epoch")
    assert epochs == [1, 1, 0.5, 0.5, 0.25, 0.25]
    functions, _ = trained(lambda _: linear_decay, every="epoch")
    assert functions == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])


def test_a_plateau_is_told_what_was_measured():
    def plateau(optimizer):
        return optim.ReduceLROnPlateau(optimizer, "max", 0.5, patience=0)

    seen, last = trained(plateau)  # the loss goes down, which counts as worse here
    assert seen == [1, 1, 1, 1, 0.5, 0.5]
    assert last == 0.25


def test_what_is_refused():
    optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    with pytest.raises(ArgumentError, match="schedule is of another optimizer"):
        trained(lambda _: optim.ExponentialLR(optimizer, 0.5))
    with pytest.raises(ArgumentError, match=r"no such number in the record\. Got: 'x'"):
        trained(lambda o: optim.ReduceLROnPlateau(o), watch="x")
    with pytest.raises(ArgumentTypeError, match=r"or a function\. Got: 'cosine'"):
        RateSchedule("cosine")
    with pytest.raises(ArgumentError, match="goes with a function of the progress"):
        RateSchedule(optim.ExponentialLR(optimizer, 0.5), warm_up=0.1)
    with pytest.raises(ArgumentError) as caught:
        RateSchedule(warm_up=1)
    assert caught.value.message == (
        "[RateSchedule] warm_up must be a number of at least 0 and below 1. Got: 1."
    )
