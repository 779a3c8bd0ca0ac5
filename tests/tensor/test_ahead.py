"""Updates that still run while Python goes on: nobody may see the difference."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.ahead import ahead
from plait.errors import PlaitError

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(plait.settings, "execution", "auto")
    before = plait.settings.num_threads
    plait.set_num_threads(2)
    yield
    plait.settings.num_threads = before


def trainer(width=96, optimizer=optim.Adam):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 5))
    return model, optimizer(model.parameters(), lr=0.01)


def batches(count, size=32):
    rng = np.random.default_rng(0)
    return [
        (rng.normal(size=(size, 64)).astype(np.float32), rng.integers(0, 5, size))
        for _ in range(count)
    ]


def step(model, optimizer, x, y):
    loss = plait.cross_entropy(model(plait.tensor(x)), plait.tensor(y))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def state(model):
    return {name: np.array(x.detach().numpy()) for name, x in model.named_parameters()}


def test_a_step_may_run_on_and_a_look_waits_for_it():
    model, optimizer = trainer(width=512)
    (x, y), went_on = batches(1)[0], 0
    for _ in range(3000):
        loss = step(model, optimizer, x, y)
        went_on += ahead.wait is not None
        if went_on == 10:
            break
    assert np.isfinite(loss.item())
    assert ahead.wait is None
    if went_on < 10:
        pytest.skip("other work kept the second processor busy")


def test_the_bits_are_those_of_one_thread_which_never_runs_on():
    found = []
    for threads in (1, 2):
        plait.set_num_threads(threads)
        model, optimizer = trainer(width=384)
        losses = [step(model, optimizer, x, y) for x, y in batches(40)]
        found.append(([loss.item() for loss in losses], state(model)))
    assert found[0][0] == found[1][0]
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(found[1][1][name], value)


def test_memory_of_others_is_not_read_after_the_step():
    expected = [None, None]
    for i, shared in enumerate([False, True]):
        model, optimizer = trainer(width=384)
        buffer = np.empty((32, 64), np.float32)
        for x, y in batches(25):
            buffer[...] = x
            given = plait.asarray(buffer, copy=False) if shared else plait.tensor(x)
            loss = plait.cross_entropy(model(given), plait.tensor(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            del given, loss
            buffer[...] = np.nan
        expected[i] = state(model)
    for name, value in expected[0].items():
        np.testing.assert_array_equal(expected[1][name], value)


def test_memory_is_not_used_again_while_a_step_writes_to_it():
    gc.freeze()  # what other tests have left would be looked through 12 times
    model, optimizer = trainer(width=2048)  # whose blocks are ours
    for x, y in batches(12):
        before = state(model)
        copies = {name: value.copy() for name, value in before.items()}
        step(model, optimizer, x, y)  # the loss is dropped at once
        for parameter in model.parameters():
            parameter.grad = None
        gc.collect()
        noise = [plait.ones(2048, 64) * i for i in range(3)]
        plait.flush()
        del noise
        for name, value in before.items():
            np.testing.assert_array_equal(value, copies[name])
    gc.unfreeze()
    other, optimizer = trainer(width=2048)
    for x, y in batches(12):
        step(other, optimizer, x, y)
    for name, value in state(model).items():
        np.testing.assert_array_equal(state(other)[name], value)


@pytest.mark.parametrize("holds_views", [False, True])
def test_a_wrong_label_is_an_error_of_its_step_and_changes_nothing(holds_views):
    model, optimizer = trainer(width=384)
    data = batches(10)
    for x, y in data:
        step(model, optimizer, x, y)
    before = state(model)
    views = [p.detach().numpy() for p in model.parameters()] if holds_views else []
    x, y = data[0]
    wrong = y.copy()
    wrong[3] = 17
    with pytest.raises(PlaitError, match="17"):
        step(model, optimizer, x, wrong)
    assert ahead.wait is None
    for name, value in state(model).items():
        np.testing.assert_array_equal(before[name], value)
    for value, view in zip(before.values(), views, strict=False):
        np.testing.assert_array_equal(value, view)
    assert np.isfinite(step(model, optimizer, x, y).item())


def test_other_threads_wait_too():
    model, optimizer = trainer(width=512)
    data = batches(40)
    seen = []
    weight = model[0].weight

    def look():
        while not done.is_set():
            seen.append(float(weight.detach().numpy().sum()))

    done = threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    for x, y in data:
        step(model, optimizer, x, y)
    done.set()
    thread.join()
    alone, optimizer = trainer(width=512)
    sums = {float(alone[0].weight.detach().numpy().sum())}
    for x, y in data:
        step(alone, optimizer, x, y)
        sums.add(float(alone[0].weight.detach().numpy().sum()))
    assert set(seen) <= sums


SCRIPT = """
import os, sys
import numpy as np
import plait
from plait import nn, optim

plait.set_num_threads(2)
model = nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 5))
optimizer = optim.Adam(model.parameters())
x, y = plait.randn(64, 64), plait.zeros(64, dtype="int64")
plait.flush()
for _ in range(10):
    loss = plait.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
if sys.argv[1] == "fork":
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
    else:
        value = loss.item() + model(x).sum().item()
        os._exit(0 if np.isfinite(value) else 1)
print("over")
"""


@pytest.mark.parametrize(
    "how",
    [
        "exit",
        pytest.param(
            "fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
        ),
    ],
)
def test_the_process_ends_or_forks_while_a_step_runs(how):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
