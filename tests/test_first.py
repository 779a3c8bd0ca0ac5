"""A check of every part in a few seconds: if one of these fails, look no further."""

import sys
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.data import Loader
from plait.errors import PlaitError, ShapeError
from plait.ir.text import from_text, to_text
from plait.ir.verify import verify
from plait.ops import PRIMITIVES
from plait.tensor.record import record_function
from plait.tensor.trie import CONSTANT, LEAF


def close(x, y):
    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-5, atol=1e-6)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_arithmetic_is_numpys(rng):
    a, b = rng.normal(size=(2, 3, 4))
    x, y = plait.asarray(a), plait.asarray(b)
    close(x * y - 2 / (1 + y * y), a * b - 2 / (1 + b * b))
    close((x @ y.T).sum(axis=0), (a @ b.T).sum(axis=0))
    close(plait.exp(x).mean(), np.exp(a).mean())
    close(plait.where(x > y, x, 0.0), np.where(a > b, a, 0.0))


def test_backward_reaches_the_leaves(rng):
    a, b = rng.normal(size=(2, 3, 3))
    x, y = plait.tensor(a, requires_grad=True), plait.tensor(b, requires_grad=True)
    ((x @ y) ** 2).sum().backward()
    close(x.grad, 2 * a @ b @ b.T)
    close(y.grad, 2 * a.T @ a @ b)


def test_gradients_add_up_and_python_branches():
    x = plait.tensor(3.0, requires_grad=True)
    for _ in range(2):
        y = x * x
        while y < 20:
            y = y * x
        y.backward()
    assert x.grad.item() == 2 * 27


def test_a_flush_changes_nothing(rng):
    a = rng.normal(size=5)

    def run(flush):
        x = plait.tensor(a, requires_grad=True)
        y = x.sin()
        flush()
        z = (y * x).sum()
        flush()
        z.backward()
        return x.grad.numpy()

    assert run(plait.flush).tobytes() == run(lambda: None).tobytes()


def test_nothing_is_aliased():
    a = np.zeros(3)
    x = plait.asarray(a)
    row, same = x[:2], x
    x += 1
    x[0] = 5
    assert (row.tolist(), same.tolist()) == ([0, 0], [5, 1, 1])
    assert a.tolist() == [0, 0, 0]


def test_grad_and_value_and_grad():
    def cube(x):
        return (x**3).sum()

    x = plait.tensor([1.0, 2.0])
    close(plait.grad(cube)(x), [3, 12])
    close(plait.grad(lambda x: plait.grad(cube)(x).sum())(x), [6, 12])
    value, gradient = plait.value_and_grad(cube)(x)
    assert (value.item(), gradient.tolist()) == (9, [3, 12])
    close(plait.hessian(cube)(x), np.diag([6, 12]))
    assert plait.jvp(cube, (x,), (plait.ones(2),))[1].item() == 15


def test_vmap_scan_and_jit():
    x = plait.arange(6.0).reshape(3, 2)
    close(plait.vmap(lambda row: row.sum() * row)(x), [[0, 1], [10, 15], [36, 45]])
    total, partial = plait.scan(lambda c, r: (c + r, c), plait.zeros(2), x)
    assert total.tolist() == [6, 9]
    assert partial.tolist() == [[0, 0], [0, 1], [2, 4]]
    fast = plait.jit(lambda x, k: (x * k).sum())
    assert [fast(x, k).item() for k in (1.0, 2.0)] == [15, 30]
    close(plait.grad(lambda x: fast(x, 3.0))(x), np.full((3, 2), 3))


def test_control_flow():
    def step(x):
        return plait.cond(x > 0, lambda x: x * 2, lambda x: -x, x)

    assert [step(plait.tensor(v)).item() for v in (3.0, -4.0)] == [6, 4]
    found = plait.while_loop(lambda x: x < 100, lambda x: x * 2, plait.tensor(3.0))
    assert found.item() == 192


def test_indexing_is_numpys(rng):
    a = rng.normal(size=(4, 5))
    x = plait.asarray(a)
    for key in (1, (slice(None, None, -2), [0, 3]), a > 0, (..., None, -1)):
        close(x[key], a[key])
    x[1:3, ::2] = 7
    a[1:3, ::2] = 7
    close(x, a)


def test_a_seed_gives_the_same_numbers():
    plait.manual_seed(3)
    first, second = plait.randn(4), plait.randn(4)
    plait.manual_seed(3)
    assert plait.randn(4).tolist() == first.tolist() != second.tolist()


def test_linear_algebra(rng):
    a = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    x = plait.asarray(a)
    close(plait.linalg.inv(x) @ x, np.eye(3))
    close(plait.linalg.det(x), np.linalg.det(a))
    q, r = plait.linalg.qr(x)
    close(q @ r, a)
    close(plait.grad(lambda x: plait.linalg.det(x).log())(x), np.linalg.inv(a).T)


def trained(optimizer, rng, steps=30):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optimizer(model.parameters(), lr=0.05)
    a = rng.normal(size=(30, 4)).astype(np.float32)
    x, y = plait.asarray(a), plait.asarray(a[:, :3].argmax(1))
    losses = []
    for _ in range(steps):
        loss = nn.CrossEntropyLoss()(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return model, [loss.item() for loss in losses]


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
def test_a_model_learns(rng, optimizer):
    _, losses = trained(optimizer, rng)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def test_an_optimizer_takes_the_step_of_the_book():
    x = nn.Parameter([1.0, -2.0])
    optimizer = optim.SGD([x], lr=0.5)
    (x**2).sum().backward()
    optimizer.step()
    assert x.tolist() == [0, 0]
    assert isinstance(x, nn.Parameter)


def test_weights_are_saved_and_loaded(rng, tmp_path):
    model, _ = trained(optim.SGD, rng, steps=1)
    nn.save_weights(model.state_dict(), tmp_path / "weights.safetensors")
    other = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    other.load_state_dict(nn.load_weights(tmp_path / "weights.safetensors"))
    x = plait.ones(2, 4)
    assert other(x).tolist() == model(x).tolist()


def test_the_namespace_of_the_array_api():
    x = plait.ones(2)
    xp = x.__array_namespace__(api_version="2024.12")
    assert xp is plait
    assert xp.__array_namespace_info__().default_dtypes()["integral"] is xp.int64
    rooms = {"data", "train"}  # imported when asked for
    assert all(hasattr(xp, name) for name in {*xp.__all__} - rooms)
    assert xp.result_type(xp.int8, xp.uint8) is xp.int16


def test_an_error_names_the_line_of_the_user():
    x = plait.ones(2, 3)
    with pytest.raises(ShapeError) as caught:
        x + plait.ones(4)
    line = sys._getframe().f_lineno - 1
    assert caught.value.where == f"{Path(__file__)}:{line}"
    assert isinstance(caught.value, (PlaitError, ValueError))
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 2))
    with pytest.raises(ShapeError) as caught:
        model(plait.ones(1, 2))
    assert caught.value.layer == "1"


def test_a_recorded_graph_is_read_back_from_text():
    def function(arguments):
        x, w = arguments
        loss = plait.softmax(x @ w, axis=-1).log().mean()
        return [loss, plait.grad(lambda w: (x @ w).tanh().sum())(w)]

    types = [plait.ones(*shape)._node.type for shape in ((2, 3), (3, 4))]
    graph = record_function("test", function, types, [CONSTANT, LEAF]).graph
    text = to_text(graph)
    again = from_text(text, PRIMITIVES)
    verify(again)
    assert to_text(again) == text


def test_dlpack_goes_both_ways():
    x = plait.arange(6.0).reshape(2, 3)
    assert np.from_dlpack(x).tolist() == x.tolist()
    assert plait.from_dlpack(np.arange(3)).tolist() == [0, 1, 2]


def test_a_loader_gives_every_sample_once():
    loader = Loader((np.arange(10), np.arange(10) ** 2), 4, shuffle=True)
    found = [(i, j) for x, y in loader for i, j in zip(x.tolist(), y.tolist())]  # noqa: B905
    assert sorted(found) == [(i, i * i) for i in range(10)]
