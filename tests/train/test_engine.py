"""The engine: order of events, what hooks see and may do, and evaluations."""

import numpy as np
import pytest

import plait
from plait import optim
from plait.data import Loader
from plait.errors import ArgumentError, ArgumentTypeError
from plait.train import EVENTS, Engine, Hook, State


class Line:
    """The smallest thing that an engine can train: y = a x."""

    def __init__(self):
        self.a = plait.zeros((), requires_grad=True)
        self.training = True
        self.modes = []

    def __call__(self, x):
        self.modes.append((self.training, plait.is_grad_enabled()))
        return x * self.a

    def train(self, mode=True):
        self.training = mode
        return self

    def eval(self):
        return self.train(False)


def squared(output, target):
    return ((output - target) ** 2).mean()


@pytest.fixture
def parts():
    x = np.arange(1, 7, dtype=np.float32)
    model = Line()
    optimizer = optim.SGD([model.a], lr=0.02)
    return model, squared, optimizer, Loader((x, 3 * x), 2)


class Noting:
    def __init__(self):
        self.seen = []


for _event in EVENTS:
    setattr(
        Noting, _event, lambda self, state, _event=_event: self.seen.append(_event[3:])
    )


def test_events_come_in_order(parts):
    noting = Noting()
    Engine([noting]).train(*parts, epochs=2)
    step = ["sample", "forward", "backward", "update"]
    epoch = ["start_epoch", *step * 3, "end_epoch"]
    assert noting.seen == ["start", *epoch * 2, "end"]


def test_the_model_learns_and_the_state_tells(parts):
    state = Engine().train(*parts, epochs=20)
    assert (state.epoch, state.step) == (20, 60)
    assert parts[0].a.item() == pytest.approx(3, abs=1e-3)
    assert state.loss.item() < 1e-4
    assert set(parts[0].modes) == {(True, True)}


def test_what_hooks_see(parts):
    engine = Engine()

    @engine.on("on_forward")
    def forward(state):
        assert isinstance(state, State)
        assert state.training
        assert state.output.shape == state.target.shape == (2,)
        assert state.batch[0] is state.input

    gradients = []
    engine.on("on_backward", lambda s: gradients.append(s.model.a.grad.item()))
    steps = []
    engine.on("on_update", lambda s: steps.append((s.epoch, s.step)))
    engine.train(*parts, epochs=1)
    assert steps == [(0, 1), (0, 2), (0, 3)]
    assert gradients[0] == pytest.approx(-15)  # mean of 2 (0 - 3x) x at x = 1, 2


@pytest.mark.parametrize("event", ["on_update", "on_end_epoch", "on_start"])
def test_a_hook_can_end_the_training(parts, event):
    noting = Noting()
    engine = Engine([noting])
    engine.on(event, State.stop)
    state = engine.train(*parts, epochs=5)
    expected = {"on_update": (0, 1), "on_end_epoch": (1, 3), "on_start": (0, 0)}
    assert (state.epoch, state.step) == expected[event]
    assert noting.seen[-1] == "end"


def test_a_hook_can_change_gradients(parts):
    engine = Engine()

    def vanish(state):
        state.model.a.grad = plait.zeros(())

    engine.on("on_backward", vanish)
    engine.train(*parts, epochs=1)
    assert parts[0].a.item() == 0


def test_hooks_are_called_in_the_order_given(parts):
    called = []

    class First(Hook):
        def on_end_epoch(self, state):
            state.record["first"] = 1

    class Second(Hook):
        def on_end_epoch(self, state):
            called.append(dict(state.record))

    Engine([First(), Second()]).train(*parts, epochs=2)
    assert called == [{"first": 1}, {"first": 1}]


def test_an_evaluation_changes_nothing(parts):
    model, loss_function, _, loader = parts
    noting = Noting()
    state = Engine([noting]).evaluate(model, loss_function, loader)
    step = ["sample", "forward"]
    assert noting.seen == ["start_evaluation", *step * 3, "end_evaluation"]
    assert not state.training
    assert set(model.modes) == {(False, False)}
    assert model.training
    assert model.a.grad is None
    assert state.loss.item() == pytest.approx(9 * (25 + 36) / 2)
    model.eval()
    Engine().evaluate(model, None, loader)
    assert not model.training


def test_the_mode_comes_back_after_an_error(parts):
    model, loss_function, _, _ = parts
    with pytest.raises(ArgumentError):
        Engine().evaluate(model, loss_function, [np.ones(3)])
    assert model.training
    assert plait.is_grad_enabled()


def test_other_batches_and_losses(parts):
    model, loss_function, optimizer, _ = parts

    class Own(Engine):
        def split(self, batch):
            return batch["x"], batch["y"]

        def loss(self, state):
            return super().loss(state) + state.model.a.abs() * 0

    x = plait.arange(1.0, 4.0)
    Own().train(model, loss_function, optimizer, [{"x": x, "y": x * 3}], epochs=40)
    assert model.a.item() == pytest.approx(3, abs=0.05)
    named = [{"input": x, "target": x * 2, "weight": x}]
    Engine().train(model, loss_function, optimizer, named, epochs=60)
    assert model.a.item() == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (np.ones(3), "a ndarray"),
        ((1, 2, 3), "a tuple of 3"),
        ({"x": 1}, "a dictionary of 'x'"),
    ],
)
def test_a_batch_that_is_no_pair_is_refused(parts, batch, got):
    with pytest.raises(ArgumentError) as caught:
        Engine().train(*parts[:3], [batch])
    assert caught.value.message == (
        f"[Engine] a batch is not an input and a target. Got: {got}. Expected: a pair, "
        "or a dictionary with 'input' and 'target'. Fix: make batches of arrays with "
        "data.Loader((x, y), 32); change others with map() of the data set, or "
        "override Engine.split."
    )


class Misspelt:
    def on_epoch_end(self, state): ...


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Engine([Misspelt()]),
            ArgumentTypeError,
            "[Engine] Misspelt has a method that is never called. Got: on_epoch_end. "
            "Expected: " + ", ".join(EVENTS) + ".",
        ),
        (
            lambda: Engine([print]),
            ArgumentTypeError,
            "[Engine] this is no hook. Got: a builtin_function_or_method. Expected: an "
            "object with a method such as on_end_epoch(state). Fix: for a function, "
            "use engine.on('on_end_epoch', function).",
        ),
        (
            lambda: Engine().on("on_updates", print),
            ArgumentError,
            "[Engine] there is no such event. Got: 'on_updates'. Expected: on_update.",
        ),
        (
            lambda: Engine().train(None, None, None, None, epochs=-1),
            ArgumentError,
            "[Engine] the number of epochs must be an integer, 0 or more. Got: -1.",
        ),
    ],
)
def test_what_is_refused_and_how(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert caught.value.message == message
