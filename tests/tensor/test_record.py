"""When recorded steps run, what is recorded anew, and what limits and errors do."""

import collections
import gc
import inspect

import numpy as np
import pytest

import plait
from plait.errors import PlaitError, ShapeError
from plait.tensor import execute, trie


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
    run = execute.Program.run

    def counted(self, values):
        runs.append(len(self.targets))
        return run(self, values)

    monkeypatch.setattr(execute.Program, "run", counted)
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
    before = trie.roots.count
    for i in range(settle, settle + repeats):
        step(i)
    assert trie.roots.count == before


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


# --- loops that look between forward and backward, and never flush at their end


def alive():
    """Return how many traces, histories, programs and tensors there are."""
    names = ("Trace", "History", "Kept", "Step", "Node", "Program")
    found = collections.Counter()
    for thing in gc.get_objects():
        if type(thing).__name__ in names:
            found[type(thing).__name__] += 1
        elif issubclass(type(thing), plait.Tensor):
            found["Tensor"] += 1
    return found


class Net:
    """Two layers as closures use them, and a plain gradient step."""

    def __init__(self):
        self.draw = np.random.default_rng(0)
        self.w = plait.tensor(self.draw.normal(size=(5, 4)), requires_grad=True)
        self.b = plait.zeros(4, dtype=plait.float64, requires_grad=True)
        self.scaled = plait.jit(lambda x, rate: (self(x) ** 2).mean() * rate)

    def __call__(self, x):
        return plait.tanh(x @ self.w + self.b)

    def data(self):
        return plait.tensor(self.draw.normal(size=(3, 5)))

    def step(self, loss, rate=0.1):
        loss.item()
        loss.backward()
        self.update(rate)

    def update(self, rate):
        with plait.no_grad():
            for p in (self.w, self.b):
                p -= rate * p.grad
                p.grad = None


def plain(net, i):
    net.step((net(net.data()) ** 2).mean(), 0.1 / (i + 1))


def looks_twice(net, i):
    y = net(net.data())
    y.numpy()
    net.step((y**2).mean())


def hooked(net, i):
    y = net(net.data())
    y.register_hook(lambda gradient: gradient * 2)
    net.step((y**2).mean())


def twice(net, i):
    loss = (net(net.data()) ** 2).mean()
    loss.backward(retain_graph=True)
    net.step(loss)


def second_order(net, i):
    (net(net.data()) ** 2).mean().backward(create_graph=True)
    found = [net.w.grad, net.b.grad]
    net.w.grad = net.b.grad = None
    net.step(sum((g**2).sum() for g in found))


def jitted(net, i):
    net.step(net.scaled(net.data(), 0.5 / (i + 1)))


def recomputed(net, i):
    net.step((plait.recompute(lambda x: net(x))(net.data()) ** 2).mean())


def vectorised(net, i):
    net.step(plait.vmap(lambda x: (net(x) ** 2).mean())(net.data()).mean())


def scanned(net, i):
    def body(carry, x):
        return carry + net(x).sum(), net(x)

    total, rows = plait.scan(body, plait.zeros((), dtype=plait.float64), net.data())
    net.step(total + (rows**2).sum())


def branched(net, i):
    x = net.data()
    y = plait.cond(x.sum() > 0, net, lambda x: net(x * 2), x)
    net.step((y**2).sum())


def own_rule(net, i):
    rule = plait.custom_vjp(lambda x: x * 3)
    rule.defvjp(lambda x: (x * 3, (x,)), lambda kept, ct: (ct * 3 + 0 * kept[0],))
    net.step((rule(net(net.data())) ** 2).mean())


def functional(net, i):
    def loss(w):
        y = net.data() @ w
        y.numpy()
        return (y**2).mean()

    gradient = plait.grad(loss)(net.w.detach())
    assert not gradient.requires_grad
    net.w.data = net.w - 0.1 * gradient
    net.w.numpy()


def evaluated(net, i):
    net(net.data()).sum().item()


def changed_in_place(net, i):
    y = net(net.data())
    y += 1
    y.numpy()
    y *= y
    net.step(y.sum())


LOOPS = [
    plain, looks_twice, hooked, twice, second_order, jitted, recomputed, vectorised,
    scanned, branched, own_rule, functional, evaluated, changed_in_place,
]  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_a_loop_records_nothing_new_and_keeps_nothing(loop):
    gc.disable()  # nothing of a loop may wait for the collector
    gc.freeze()
    try:
        net = Net()
        for i in range(5):
            loop(net, i)
        count, before = trie.roots.count, alive()
        for i in range(5, 8):
            loop(net, i)
        assert trie.roots.count == count
        assert alive() == before
    finally:
        gc.unfreeze()
        gc.enable()


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
    trie.roots.renew()  # steps that are known are not counted again
    plait.flush()
    found = chain(30)
    assert len(runs) > 30 // limit
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("limit", [0, 1, 10, 40])
def test_max_steps_forgets_but_results_stay(monkeypatch, limit):
    expected = chain(30)
    renewed = []
    renew = trie._Roots.renew

    def counted(self):
        renewed.append(self.count)
        renew(self)

    monkeypatch.setattr(trie._Roots, "renew", counted)
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
    trie.roots.renew()
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
        counts.append(trie.roots.count)
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


def test_the_same_step_at_another_line_names_that_line():
    def first(x, i):
        return x[i], here()

    def second(x, i):
        return x[i], here()

    def solved(x, i):
        return plait.linalg.inv(plait.zeros((2, 2))), here()

    def solved_elsewhere(x, i):
        return plait.linalg.inv(plait.zeros((2, 2))), here()

    def in_vmap(x, i):
        return plait.vmap(lambda i: x[i])(plait.stack([i, i])), here()

    def in_vmap_elsewhere(x, i):
        return plait.vmap(lambda i: x[i])(plait.stack([i, i])), here()

    makers = [first, second, solved, solved_elsewhere, in_vmap, in_vmap_elsewhere]
    for make in makers * 2:
        plait.flush()
        y, at = make(plait.tensor([1.0, 2.0, 3.0]), plait.tensor(7))
        with pytest.raises(PlaitError) as caught:
            y.numpy()
        assert caught.value.where == at


def test_a_leaf_that_got_a_value_before_the_run_is_no_result_of_it():
    w = plait.zeros(3).requires_grad_()  # recorded: it has no value yet
    w.data = plait.asarray(np.ones(3, np.float32))
    (w * 2).sum().backward()
    close(w.grad, [2, 2, 2])
    assert w._history is None
    w.grad = None
    (w * 3).sum().backward()
    close(w.grad, [3, 3, 3])


def test_what_may_fail_is_found_again_at_its_line():
    x, i = plait.tensor([1.0, 2.0, 3.0]), plait.tensor([2, 0])

    def step(_):
        for _ in range(3):
            plait.take(x, i, axis=0).sum().item()

    steady(step)


def test_gradients_after_a_run_time_error():
    x = plait.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x * x).sum()
    bad = x[plait.tensor(5)]
    with pytest.raises(PlaitError):
        bad.item()
    y.backward()
    assert x.grad.tolist() == [2, 4, 6]


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
    trie.roots.renew()
    plait.flush()
    plait.asinh(plait.tensor([1.0, 2.0])).sum().item()
    shown = capsys.readouterr().err
    assert [s for s in ("graph", "simplified") if f"# {s}\n" in shown] == stages
