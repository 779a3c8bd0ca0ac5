"""Checkpoints: an interrupted training ends with the same bits as one that was not."""

import json

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.data import Loader
from plait.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    StateDictError,
)
from plait.nn import load_metadata, load_weights, save_weights
from plait.train import Checkpoint, Engine, State, load_checkpoint, save_checkpoint


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    return x, (x.sum(1) > 0).astype(np.int64)


def new_parts(data, seed=0, optimizer=optim.Adam, width=8):
    plait.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(5, width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 2)
    )
    loader = Loader(data, 8, shuffle=True, seed=seed)
    return (
        model,
        nn.CrossEntropyLoss(),
        optimizer(model.parameters(), lr=0.01),
        loader,
    )


def bits(state):
    return {name: x.numpy().tobytes() for name, x in state.model.state_dict().items()}


class Interrupt(Exception):
    """What stops a training from outside."""


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.SGD])
@pytest.mark.parametrize("stop_at", [3, 8, 13, 16])
def test_a_resumed_training_ends_with_the_same_bits(data, tmp_path, stop_at, optimizer):
    whole = Engine().train(*new_parts(data, optimizer=optimizer), epochs=3)

    path = tmp_path / "training.safetensors"
    engine = Engine([Checkpoint(path, every_steps=1)])

    @engine.on("on_update")
    def interrupt(state):
        if state.step == stop_at:
            raise Interrupt

    with pytest.raises(Interrupt):
        engine.train(*new_parts(data, optimizer=optimizer), epochs=3)
    # Another seed: what matters comes from the file.
    parts = new_parts(data, seed=9, optimizer=optimizer)
    resumed = Engine([Checkpoint(path)]).train(*parts, epochs=3)
    assert (resumed.epoch, resumed.step) == (whole.epoch, whole.step) == (3, 24)
    assert bits(resumed) == bits(whole)


def test_a_finished_training_is_not_trained_again(data, tmp_path):
    path = tmp_path / "training.safetensors"
    first = Engine([Checkpoint(path)]).train(*new_parts(data), epochs=2)
    again = Engine([Checkpoint(path)]).train(*new_parts(data, seed=1), epochs=2)
    assert bits(again) == bits(first)
    longer = Engine([Checkpoint(path)]).train(*new_parts(data, seed=1), epochs=3)
    assert bits(longer) == bits(Engine().train(*new_parts(data), epochs=3))


def test_it_is_saved_when_asked(data, tmp_path):
    path = tmp_path / "training.safetensors"
    Engine([Checkpoint(path, every=2)]).train(*new_parts(data), epochs=3)
    state = State(*new_parts(data))
    load_checkpoint(path, state)
    assert (state.epoch, state.step) == (2, 16)
    fresh = Engine([Checkpoint(path, resume=False)]).train(*new_parts(data), epochs=1)
    assert fresh.step == 8


class Counter:
    """Something else with a state: of every kind that can be saved."""

    def __init__(self):
        self.state = {
            "n": 3,
            5: [1.5, None, True],
            "t": (1, "x"),
            "a.b": plait.tensor([1.0]),
            "a": {"b": np.arange(3)},
            "nan": float("inf"),
        }

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_other_objects_are_saved_too(data, tmp_path):
    path = tmp_path / "training.safetensors"
    counter, other = Counter(), Counter()
    save_checkpoint(path, State(*new_parts(data)), {"counter": counter})
    other.state = None
    load_checkpoint(path, State(*new_parts(data)), {"counter": other})
    loaded = other.state
    assert loaded["a"].pop("b").tolist() == [0, 1, 2]
    assert loaded.pop("a.b").tolist() == [1.0]
    assert loaded == {
        "n": 3,
        5: [1.5, None, True],
        "t": (1, "x"),
        "a": {},
        "nan": float("inf"),
    }


def test_a_failed_save_leaves_the_old_file(data, tmp_path):
    path = tmp_path / "training.safetensors"
    state = State(*new_parts(data))
    save_checkpoint(path, state)
    before = path.read_bytes()
    counter = Counter()
    counter.state = {"x": object()}
    with pytest.raises(ArgumentTypeError) as caught:
        save_checkpoint(path, state, {"counter": counter})
    assert caught.value.message == (
        "[save_checkpoint] a state holds what cannot be saved. Got: a object at "
        "parts.counter.x. Expected: tensors, numbers, texts, None, and lists and "
        "dictionaries of them."
    )
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def damaged(path, how):
    metadata, weights = load_metadata(path), load_weights(path)
    text = metadata["plait.checkpoint"]
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-9])
        return
    if how == "no metadata":
        metadata = {}
    elif how == "no json":
        metadata["plait.checkpoint"] = text[:-3]
    elif how == "missing tensor":
        weights.pop(next(iter(weights)))
    elif how == "version":
        metadata["plait.checkpoint"] = text.replace('["version", 1]', '["version", 9]')
    elif how == "epoch":
        metadata["plait.checkpoint"] = text.replace('["epoch", 0]', '["epoch", "x"]')
    elif how == "odd json":
        metadata["plait.checkpoint"] = json.dumps({"set": [1]})
    elif how == "deep json":
        metadata["plait.checkpoint"] = '{"list": [' * 100_000
    save_weights(weights, path, metadata)


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "no metadata",
        "no json",
        "missing tensor",
        "version",
        "epoch",
        "odd json",
        "deep json",
    ],
)
def test_a_damaged_file_is_refused(data, tmp_path, how):
    path = tmp_path / "training.safetensors"
    save_checkpoint(path, State(*new_parts(data)))
    damaged(path, how)
    state = State(*new_parts(data, seed=1))
    before = bits(state)
    with pytest.raises(FileFormatError):
        load_checkpoint(path, state)
    assert bits(state) == before


def test_a_checkpoint_of_something_else_is_refused(data, tmp_path):
    path = tmp_path / "training.safetensors"
    save_checkpoint(path, State(*new_parts(data)))
    with pytest.raises(StateDictError):
        load_checkpoint(path, State(*new_parts(data, width=9)))
    with pytest.raises(StateDictError) as caught:
        load_checkpoint(path, State(*new_parts(data)), {"counter": Counter()})
    assert caught.value.message == (
        f"[load_checkpoint] {path} holds other objects. Got: model, optimizer, loader, "
        "random. Expected: model, optimizer, loader, random, counter."
    )
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none", State(*new_parts(data)))
    with pytest.raises(ArgumentError, match="name is taken"):
        save_checkpoint(path, State(*new_parts(data)), {"model": Counter()})
    with pytest.raises(ArgumentError, match="every_steps must be an integer"):
        Checkpoint(path, every_steps=0)
