"""Ending early, the weights of the best epoch, and checkpoints of it alone."""

import math

import numpy as np
import pytest

from plait import nn, optim
from plait.errors import ArgumentError
from plait.train import Checkpoint, EarlyStopping, Engine, State


def trained(losses, *hooks, epochs=None):
    """Train while a number in the record goes as given; return model and state."""
    model = nn.Linear(1, 1, bias=False)
    engine = Engine()

    class Given:
        def on_end_epoch(self, state):
            state.record["test_loss"] = losses[state.epoch - 1]
            model.weight.data = model.weight.detach() * 0 + state.epoch

    for hook in (Given(), *hooks):
        engine.add(hook)
    x = np.ones((1, 1), np.float32)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    state = engine.train(
        model, nn.MSELoss(), optimizer, [(x, x)], epochs or len(losses)
    )
    return model, state


def test_it_ends_when_the_number_no_longer_gets_better():
    hook = EarlyStopping(patience=1)
    model, state = trained([3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 0.5], hook)
    assert state.epoch == 6
    assert (hook.best, hook.best_epoch, hook.bad_epochs) == (1.0, 4, 2)
    assert model.weight.item() == 4
    last, _ = trained([1.0, 2.0], EarlyStopping(patience=0, restore_best=False))
    assert last.weight.item() == 2


def test_more_may_be_better_and_a_little_may_not_count():
    hook = EarlyStopping("test_loss", patience=0, mode="max", min_delta=0.5)
    _, state = trained([1.0, 2.0, 2.4, 9.0], hook)
    assert (state.epoch, hook.best) == (3, 2.0)


def test_what_is_not_a_number_is_never_better():
    hook = EarlyStopping(patience=1)
    _, state = trained([math.nan, 5.0, math.nan, 4.0, math.nan, math.nan, 1.0], hook)
    assert (state.epoch, hook.best, hook.best_epoch) == (6, 4.0, 4)


def test_another_training_begins_anew():
    hook = EarlyStopping(patience=0)
    trained([1.0, 2.0], hook)
    model, state = trained([7.0, 6.0, 6.5], hook)
    assert (state.epoch, hook.best, model.weight.item()) == (3, 6.0, 2)


@pytest.mark.parametrize("first", [True, False])
def test_it_goes_on_where_a_checkpoint_was_taken(tmp_path, first):
    losses = [3.0, 1.0, 2.0, 2.0, 2.0]

    def hooks():
        stop = EarlyStopping(patience=2)
        keep = Checkpoint(tmp_path / "c", also={"stop": stop})
        return (stop, keep) if first else (keep, stop)

    trained(losses, *hooks(), epochs=3)
    both = hooks()
    model, state = trained(losses, *both)
    assert state.epoch == 5
    assert model.weight.item() == 2
    assert next(h for h in both if isinstance(h, EarlyStopping)).best == 1.0


def test_a_checkpoint_of_the_best_epoch(tmp_path):
    def keep():
        return Checkpoint(tmp_path / "best", best="test_loss")

    trained([3.0, 1.0, 2.0], keep())
    model, state = trained([3.0, 1.0, 1.5, 1.2], keep(), epochs=2)
    assert (state.epoch, model.weight.item()) == (2, 2)
    # The best number was saved, too: what comes after has to beat it.
    trained([3.0, 1.0, 1.5, 0.5], keep())
    _, state = trained([], keep(), epochs=1)
    assert state.epoch == 4


def test_what_is_refused():
    def message(call):
        with pytest.raises(ArgumentError) as caught:
            call()
        return caught.value.message

    assert message(lambda: EarlyStopping("test_accuracy")) == (
        "[EarlyStopping] is less of 'test_accuracy' better, or more? Fix: give a mode, "
        "'min' or 'max'."
    )
    assert message(lambda: Checkpoint("c", best="test_loss", mode="auto")) == (
        "[Checkpoint] mode must be 'min' or 'max' or None. Got: 'auto'."
    )
    assert "min_delta" in message(lambda: EarlyStopping(min_delta=-1.0))
    assert "patience" in message(lambda: EarlyStopping(patience=-1))
    stop = EarlyStopping("loss")
    state = State(None, None, None, None, record={"accuracy": 1.0})
    assert message(lambda: stop.on_end_epoch(state)) == (
        "[EarlyStopping] there is no such number in the record. Got: 'loss'. Expected: "
        "'accuracy'."
    )
