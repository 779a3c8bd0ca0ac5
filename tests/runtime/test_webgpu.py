"""Programs that run on WebGPU, natively."""

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.compile.wgsl import compile_graph
from plait.errors import DeviceError, IndexingError
from plait.program import WrongIndex
from plait.runtime import webgpu
from plait.transform.simplify import simplify

needs_adapter = pytest.mark.skipif(
    bool(webgpu.unavailable()), reason=webgpu.unavailable() or "there is one"
)


def run(function, *arrays):
    """Return what a function gives on WebGPU."""
    traced = plait.jit(function).trace(*map(plait.asarray, arrays))
    program = compile_graph(simplify(traced.graph))
    return webgpu.Runner(program).run(traced.values(arrays, {}))


@needs_adapter
def test_loops_and_branches():
    xs = np.random.default_rng(0).random((7, 5), np.float32)

    def function(xs):
        def turn(carry, x):
            carry = plait.cond(x.sum() > 2.5, lambda c: c + x, lambda c: c * 0.5, carry)
            return carry, carry * 2

        return plait.scan(turn, plait.zeros(5), xs)

    carry, expected = np.zeros(5, np.float32), []
    for x in xs:
        carry = carry + x if x.sum() > 2.5 else carry * np.float32(0.5)
        expected.append(carry * 2)
    found = run(function, xs)
    np.testing.assert_allclose(found[0], carry, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.stack(expected), rtol=1e-6)


@needs_adapter
def test_runs_do_not_meet_what_others_have_left():
    x = np.arange(12, dtype=np.float32)
    traced = plait.jit(lambda x: (x + x).sum()).trace(plait.asarray(x))
    runner = webgpu.Runner(compile_graph(simplify(traced.graph)))
    assert [float(runner.run([x * k])[0]) for k in (1, 3, 0)] == [132, 396, 0]


# `plait.device`


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss()(model(x), y)
    loss.backward()
    optimizer.step()
    return float(loss)


def dense():
    return nn.Sequential(nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 4)), (8, 36)


def convolutional():
    layers = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
    model = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4))
    return model, (8, 2, 6, 6)


def trained(net, place):
    """Return the losses of a few steps, and a parameter after them."""
    plait.manual_seed(0)
    model, shape = net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    x, y = rng.random(shape, np.float32), rng.integers(0, 4, 8)
    with plait.device(place):
        losses = [
            step(model, optimizer, plait.asarray(x), plait.asarray(y)) for _ in range(5)
        ]
    return losses, model[0].weight.numpy()


@needs_adapter
@pytest.mark.parametrize("net", [dense, convolutional])
def test_training_on_the_device(net):
    (losses, weight), (expected, other) = trained(net, "webgpu"), trained(net, "cpu")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]


@needs_adapter
def test_wrong_indices_are_errors():
    x, at = plait.asarray(np.arange(4.0)), plait.asarray(np.array([1, 9]))
    with plait.device("webgpu"), pytest.raises(IndexingError):
        x[at].tolist()


@needs_adapter
def test_nobody_waits_to_learn_whether_an_index_was_wrong(monkeypatch):
    x, at = plait.asarray(np.arange(4.0, dtype=np.float32)), plait.asarray([1, 3])
    traced = plait.jit(lambda x, at: (x[at], x.sum())).trace(x, at)
    runner = webgpu.Runner(compile_graph(simplify(traced.graph)))
    reads = []
    get = runner._get
    monkeypatch.setattr(runner, "_get", lambda *a: reads.append(a) or get(*a))
    for index, wrong in ([1, 3], False), ([1, 9], True), ([0, 2], False):
        reads.clear()
        if wrong:
            with pytest.raises(WrongIndex):
                runner.run([np.arange(4.0), np.array(index)])
        else:
            found = runner.run([np.arange(4.0), np.array(index)])
            assert found[0].tolist() == index
            assert found[1] == 6
        assert len(reads) == 1  # results, with the verdict


def test_devices_that_do_not_exist():
    with pytest.raises(DeviceError, match="no such device to run programs on"):
        plait.device("cuda")
    with pytest.raises(DeviceError, match="tensors lie in the CPU's memory"):
        plait.zeros(3, device="webgpu")
    with plait.device("cpu"):
        assert (plait.ones(2) + 1).tolist() == [2, 2]
