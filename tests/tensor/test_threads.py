"""Recording in several threads, and in the child of a fork."""

import os
import queue
import subprocess
import sys
import threading

import numpy as np
import pytest

import plait

THREADS = 4


def in_threads(*functions):
    """Run functions at once, each in a thread, and return their results."""
    results = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(i):
        barrier.wait()
        try:
            results[i] = functions[i]()
        except BaseException as error:  # it is raised in the main thread
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def train(seed, steps=30):
    draw = np.random.default_rng(seed)
    w = plait.tensor(draw.normal(size=(4, 4)), requires_grad=True)
    b = plait.zeros(4, dtype=plait.float64).requires_grad_()
    losses = []
    for i in range(steps):
        x = plait.tensor(draw.normal(size=(8, 4)))
        y = plait.tanh(x @ w + b)
        if i % 3 == seed % 3:
            plait.flush()
        loss = ((y - x.flip(axis=1)) ** 2).mean() * (1.0 + i / 10)
        loss.backward()
        with plait.no_grad():
            for p in (w, b):
                p -= 0.1 / (i + 1) * p.grad
                p.grad = None
        if i % 5 == seed % 5:
            losses.append(loss.item())
    return np.array(losses), w.detach().numpy(), b.detach().numpy()


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_in_threads_is_as_serial():
    together = in_threads(*[lambda i=i: train(i) for i in range(THREADS)])
    for i in range(THREADS):
        same(together[i], train(i))


def test_the_same_steps_recorded_for_the_first_time_at_once():
    def work():
        x = plait.arange(7, dtype=plait.float64).requires_grad_()
        y = x
        for i in range(60):
            y = plait.sin(y * (1.0 + i)) + x[i % 7]
        y.sum().backward()
        return x.grad.numpy()

    found = in_threads(*[work] * THREADS)
    expected = work()
    for one in found:
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("renewed", [50, 500])
def test_renewal_in_threads(monkeypatch, renewed):
    expected = [train(i) for i in range(THREADS)]
    monkeypatch.setattr(plait.settings, "max_steps", renewed)
    together = in_threads(*[lambda i=i: train(i) for i in range(THREADS)])
    for one, other in zip(together, expected, strict=True):
        same(one, other)


def test_transforms_in_threads():
    def work(seed):
        x = plait.tensor(np.random.default_rng(seed).normal(size=5))

        def f(a):
            return plait.scan(lambda c, s: (plait.sin(c + s), c), a[0], a)[1].sum()

        g = plait.jit(plait.grad(f))
        return [
            g(x).numpy(),
            plait.hessian(f)(x).numpy(),
            plait.vmap(g)(x[None]).numpy(),
        ]

    together = in_threads(*[lambda i=i: work(i) for i in range(THREADS)])
    for i in range(THREADS):
        same(together[i], work(i))


def test_one_jit_in_several_threads():
    f = plait.jit(lambda x, k: plait.exp(x * k).sum())
    x = np.linspace(0, 1, 5)

    def work():
        return [f(plait.tensor(x), i / 7).item() for i in range(40)]

    found = in_threads(*[work] * THREADS)
    assert found == [work()] * THREADS


def test_a_pending_tensor_goes_to_another_thread():
    x = plait.tensor([1.0, 2.0, 3.0])
    y = plait.square(x) + 1
    assert y._value is None
    (value,) = in_threads(lambda: y.numpy())
    np.testing.assert_array_equal(value, [2, 5, 10])
    np.testing.assert_array_equal((y * 2).numpy(), [4, 10, 20])  # the trace goes on


def test_a_pending_tensor_is_computed_with_in_another_thread():
    x = plait.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x

    def work():
        z = (y * 2).sum()
        z.backward()
        return z.item()

    assert in_threads(work) == [28.0]
    np.testing.assert_array_equal(x.grad.numpy(), [4, 8, 12])


def test_a_pending_tensor_looked_at_by_many_threads():
    for i in range(20):
        x = plait.tensor([1.0, 2.0, 3.0]) * float(i)
        y = plait.sin(x) + x
        values = in_threads(*[lambda x=x, y=y: (x + y).numpy()] * THREADS)
        expected = (x + y).numpy()
        for value in values:
            np.testing.assert_array_equal(value, expected)


def test_shared_parameters():
    w = plait.tensor(np.arange(6.0).reshape(2, 3))

    def work(i):
        return [(w * float(i) @ plait.ones(3, dtype=plait.float64)).numpy()] * 30

    found = in_threads(*[lambda i=i: work(i) for i in range(THREADS)])
    for i in range(THREADS):
        same(found[i], work(i))


def test_gradient_mode_is_of_one_thread():
    inside = threading.Event()
    looked = threading.Event()

    def off():
        with plait.no_grad():
            inside.set()
            looked.wait(30)
            return plait.is_grad_enabled()

    def on():
        inside.wait(30)
        x = plait.tensor(2.0, requires_grad=True)
        y = x * x
        looked.set()
        y.backward()
        return plait.is_grad_enabled(), x.grad.item()

    assert in_threads(off, on) == [False, (True, 4.0)]


FORK = """
import os
import sys
import numpy as np
import plait

w = plait.tensor([1.0, 2.0], requires_grad=True)
pending = plait.exp(w) @ plait.ones((2, 2))
def step(k):
    w.grad = None
    (plait.sin(w * k) @ plait.ones((2, 3))).sum().backward()
    return w.grad.numpy()
first = step(0.5)
later = pending * 2
child = os.fork()
if child == 0:
    good = np.array_equal(step(0.5), first)
    good = good and np.allclose(later.numpy(), 2 * np.exp([1.0, 2.0]).sum())
    os._exit(0 if good else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(step(0.5), first)
assert np.allclose(later.numpy(), 2 * np.exp([1.0, 2.0]).sum())
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_after_use():
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_derivative_of_what_another_thread_ran():
    w = plait.tensor(3.0, dtype=plait.float64, requires_grad=True)
    y = w * w
    in_threads(y.item)
    (y * w).backward()
    assert w.grad.item() == 27
    other = w * w
    in_threads(other.backward)
    assert w.grad.item() == 33


def test_a_producer_records_on_while_others_compute():
    handed = queue.Queue(5)
    w = plait.tensor(2.0, dtype=plait.float64, requires_grad=True)
    before = sys.getswitchinterval()

    def produce():
        try:
            for i in range(150):
                y = w * float(i) + 1
                z = y * y
                handed.put((i, y, z), timeout=30)
                total = y + z
                if i % 7 == 0:
                    total.item()
        finally:
            for _ in range(2):
                handed.put(None, timeout=30)

    def consume(together):
        while (item := handed.get(timeout=30)) is not None:
            i, y, z = item
            found = (z + y).item() - (2 * i + 1) if together else z.item()
            assert found == (2 * i + 1) ** 2
            gradient = plait.grad(lambda w, i=i: (w * float(i) + 1) ** 2)(w)
            assert gradient.item() == 2 * (2 * i + 1) * i

    sys.setswitchinterval(1e-6)
    try:
        in_threads(produce, lambda: consume(True), lambda: consume(False))
    finally:
        sys.setswitchinterval(before)


def test_one_generator_for_many_threads():
    generator = plait.Generator(5)
    drawn = in_threads(
        *[lambda: [generator.next_key().numpy() for _ in range(50)]] * THREADS
    )
    assert len({key.tobytes() for keys in drawn for key in keys}) == 50 * THREADS
