"""When recorded steps run, what is recorded anew, and what limits and errors do."""

import inspect

import numpy as np
import pytest

import plait
from plait.errors import PlaitError, ShapeError
from plait.tensor import record


@pytest.fixture(autouse=True)
def fresh_trace():
    plait.flush()


def is_pending(*tensors):
    return all(x._value is None for x in tensors)


def close(x, y):
    np.testing.assert_allclose(x.numpy(), y, rtol=1e-6)


# --- when things run


def test_nothing_runs_before_a_look():
    x = plait.tensor([1.0, 2.0, 3.0])
    y = plait.exp(x * 2) + 1
    z = y.sum()
    assert is_pending(y, z)
    assert (y.shape, y.dtype, y.ndim, y.size, len(y)) == ((3,), plait.float32, 1, 3, 3)
    assert not y.requires_grad
    assert is_pending(y, z)


LOOKS = {
    "numpy": lambda x: x.numpy(),
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "repr": repr,
    "bool": bool,
    "float": float,
    "int": int,
    "format": lambda x: f"{x:.2f}",
    "asarray": np.asarray,
    "flush": lambda x: plait.flush(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_runs_all_that_lives(look):
    x = plait.tensor(3.0)
    y = x * 2
    z = x + 1
    LOOKS[look](y)
    assert not is_pending(y)
    assert not is_pending(z)
    assert (y._value, z._value) == (6, 4)


def count_runs(monkeypatch):
    """Return a list that gets the targets of each program that is run."""
    runs = []
    run = record.Program.run

    def counted(self, values):
        runs.append(len(self.targets))
        return run(self, values)

    monkeypatch.setattr(record.Program, "run", counted)
    return runs


def test_flush_runs_only_what_is_alive(monkeypatch):
    runs = count_runs(monkeypatch)
    x = plait.tensor([1.0, 2.0])
    y = plait.sin(x)
    dropped = plait.cos(y)
    kept = plait.exp(y)
    del y, dropped
    plait.flush()
    assert runs == [1]
    close(kept, np.exp(np.sin([1.0, 2.0])))
    plait.flush()
    assert runs == [1]


def test_dead_work_is_not_in_the_program(monkeypatch, capsys):
    monkeypatch.setattr(plait.settings, "show", "graph")
    x = plait.tensor(np.ones((2, 7)))
    plait.tanh(x)
    y = plait.cosh(x)
    plait.flush()
    shown = capsys.readouterr().err
    assert "cosh" in shown
    assert "tanh" not in shown
    del y


def test_a_flush_of_nothing():
    plait.flush()
    plait.tensor([1.0]) * 2
    plait.flush()


def test_one_look_serves_aliases():
    x = plait.tensor([1.0, 2.0]) * 3
    y = x
    close(y, [3, 6])
    assert x._value is y._value


def test_random_looks_give_what_no_looks_give():
    def work(look):
        x = plait.tensor([0.5, -1.0, 2.0])
        for i in range(6):
            x = plait.sin(x * (i + 0.5)) + x
            if i == look:
                x.numpy()
        return x.numpy()

    for look in range(6):
        np.testing.assert_array_equal(work(look), work(-1))


def test_values_are_read_only_and_inputs_are_copied():
    source = np.ones(3)
    x = plait.tensor(source)
    y = x * 2
    source[:] = 5
    close(y, [2, 2, 2])
    with pytest.raises(ValueError, match="read-only"):
        y.numpy()[0] = 1


# --- steady state


def steady(step, settle=3, repeats=5):
    for i in range(settle):
        step(i)
    before = record.roots.count
    for i in range(settle, settle + repeats):
        step(i)
    assert record.roots.count == before


def test_training_records_nothing_new():
    w = plait.tensor(np.ones((3, 2)), requires_grad=True)
    b = plait.tensor(np.zeros(2), requires_grad=True)
    draw = np.random.default_rng(0)
    losses = []

    def step(i):
        x = plait.tensor(draw.normal(size=(4, 3)))
        loss = ((plait.tanh(x @ w + b) - x[:, :2]) ** 2).mean()
        loss.backward()
        with plait.no_grad():
            for p in (w, b):
                p -= 0.1 / (i + 1) * p.grad
                p.grad = None
        losses.append(loss.item())

    steady(step)
    assert np.isfinite(losses).all()


def test_an_optimizer_records_nothing_new():
    model = plait.nn.Linear(3, 2)
    optimizer = plait.optim.Adam(model.parameters(), lr=0.01)
    x = plait.tensor(np.ones((4, 3)), dtype=plait.float32)

    def step(i):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean() * (1.0 / (i + 1))
        loss.backward()
        optimizer.step()
        loss.item()

    steady(step)


def test_changed_numbers_record_nothing_new():
    x = plait.tensor([1.0, 2.0])
    found = []

    def step(i):
        y = plait.clip(x * (i / 7) + i, min=float(i), max=i + 0.5)
        found.append(plait.where(y > i, y, -1.5 * i).numpy())

    steady(step)
    for i, one in enumerate(found):
        y = np.clip(np.array([1.0, 2.0], np.float32) * (i / 7) + i, i, i + 0.5)
        np.testing.assert_allclose(one, np.where(y > i, y, -1.5 * i), rtol=1e-6)


def test_evaluation_under_no_grad_records_nothing_new():
    w = plait.tensor([1.0, 2.0], requires_grad=True)

    def step(i):
        with plait.no_grad():
            (w * float(i)).sum().item()
        (w * float(i)).sum().item()

    steady(step)


def test_higher_derivatives_record_nothing_new():
    x = plait.tensor([1.0, 2.0], requires_grad=True)

    def step(i):
        x.grad = None
        (plait.sin(x) * float(i)).sum().backward(create_graph=True)
        g = x.grad
        x.grad = None
        (g * g).sum().backward()
        x.grad.numpy()
        plait.hessian(lambda a: (a**3).sum() * float(i))(x).numpy()

    steady(step)


def test_derivatives_across_flushes_record_nothing_new():
    w = plait.tensor([1.0, 2.0], requires_grad=True)

    def step(i):
        y = plait.sin(w * float(i))
        if y.sum().item() > 100:
            raise AssertionError
        z = plait.exp(y)
        plait.flush()
        (z * y).sum().backward()
        w.grad.numpy()
        w.grad = None

    steady(step)


# --- limits


def chain(n):
    x = plait.tensor([0.5, -0.25], dtype=plait.float64).requires_grad_()
    y = x
    for i in range(n):
        y = plait.sin(y) + x * (1.0 / (i + 1))
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("limit", [1, 2, 5, 17])
def test_max_trace_forces_runs(monkeypatch, limit):
    expected = chain(30)
    runs = count_runs(monkeypatch)
    monkeypatch.setattr(plait.settings, "max_trace", limit)
    record.roots.renew()  # steps that are known are not counted again
    plait.flush()
    found = chain(30)
    assert len(runs) > 30 // limit
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("limit", [0, 1, 10, 40])
def test_max_steps_forgets_but_results_stay(monkeypatch, limit):
    expected = chain(30)
    renewed = []
    renew = record._Roots.renew

    def counted(self):
        renewed.append(self.count)
        renew(self)

    monkeypatch.setattr(record._Roots, "renew", counted)
    monkeypatch.setattr(plait.settings, "max_steps", limit)
    w = plait.tensor([1.0, 2.0], requires_grad=True)
    old = plait.exp(w * 2)
    other = plait.square(w)
    old.sum().item()
    for _ in range(3):
        found = chain(30)
        for one, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, right, rtol=1e-12)
    ((old + other) * w).sum().backward()
    assert renewed
    a = np.array([1.0, 2.0])
    close(w.grad, np.exp(2 * a) * (1 + 2 * a) + 3 * a**2)


def test_renewal_with_pending_tensors(monkeypatch):
    x = plait.tensor([1.0, 2.0], requires_grad=True)
    y = plait.sin(x)
    monkeypatch.setattr(plait.settings, "max_steps", 0)
    record.roots.renew()
    z = y * x
    z.sum().backward()
    a = np.array([1.0, 2.0])
    close(z.detach(), np.sin(a) * a)
    close(x.grad, np.cos(a) * a + np.sin(a))


def test_a_trace_that_never_repeats(monkeypatch):
    monkeypatch.setattr(plait.settings, "max_steps", 100)
    counts = []
    for i in range(1, 80):
        x = plait.ones(i)
        assert plait.reshape(x * 2 + x, (i, 1)).sum().item() == 3 * i
        counts.append(record.roots.count)
    assert max(counts) < 120


# --- errors


def test_an_error_leaves_the_trace_usable():
    x = plait.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    for _ in range(2):
        with pytest.raises(ShapeError):
            y + plait.ones(3)
        with pytest.raises(TypeError):
            plait.sin(object())
    assert is_pending(y)
    z = (y * y).sum()
    z.backward()
    assert z.item() == 20
    close(x.grad, [8, 16])


def test_an_error_while_a_function_is_recorded():
    x = plait.tensor([1.0, 2.0])
    y = x * 2
    with pytest.raises(ZeroDivisionError):
        plait.vmap(lambda a: 1 // 0)(x)
    with pytest.raises(ShapeError):
        plait.vmap(lambda a: a + plait.ones((3, 0)) @ plait.ones(2))(x)
    close(y + 1, [3, 5])


def here():
    """Return the caller's "file:line"."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def test_a_recording_error_names_the_line():
    x, y = plait.ones(2), plait.ones(3)
    with pytest.raises(ShapeError) as caught:
        [at := here(), x + y]
    assert caught.value.where == at


def test_a_run_time_error_names_the_recording_line():
    table = plait.ones((3, 2))
    ids = plait.tensor([0, 5])
    at = here(); rows = plait.embedding(ids, table)  # fmt: skip  # noqa: E702
    total = rows.sum()
    assert is_pending(rows)
    with pytest.raises(PlaitError) as caught:
        total.item()
    assert caught.value.where == at


def test_after_a_run_time_error():
    table = plait.ones((3, 2))
    x = plait.tensor(4.0)
    good = x * 2
    bad = plait.embedding(plait.tensor([0, 5]), table)
    for _ in range(2):
        with pytest.raises(PlaitError):
            bad.numpy()
    assert good.item() == 8
    assert (good + 1).item() == 9
    with pytest.raises(PlaitError):
        (bad + 1).numpy()
    del bad
    assert (x * 3).item() == 12


# --- PLAIT_SHOW


def test_show_prints_graphs(monkeypatch, capsys):
    monkeypatch.setattr(plait.settings, "show", "graph, simplified")
    x = plait.tensor(np.ones((3, 11)))
    (plait.sinh(x) * 1.0).sum().item()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("# graph\n") == 1
    assert shown.err.count("# simplified\n") == 1
    assert "sinh" in shown.err
    (plait.sinh(x) * 2.0).sum().item()
    assert capsys.readouterr().err == ""  # the program was there


@pytest.mark.parametrize(
    ("show", "stages"),
    [("", []), ("graph", ["graph"]), ("simplified", ["simplified"])],
)
def test_show_prints_what_is_asked(monkeypatch, capsys, show, stages):
    monkeypatch.setattr(plait.settings, "show", show)
    record.roots.renew()
    plait.flush()
    plait.asinh(plait.tensor([1.0, 2.0])).sum().item()
    shown = capsys.readouterr().err
    assert [s for s in ("graph", "simplified") if f"# {s}\n" in shown] == stages
