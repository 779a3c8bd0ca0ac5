"""Blocks are aligned, used again when all that sees them is gone, and bounded."""

import gc
import os
import threading

import numpy as np
import pytest

from plait.runtime import memory

FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def _clean():
    memory.trim()
    memory.reset_peak()
    yield
    memory.trim()


@pytest.mark.parametrize("n", [1, 1000, 8192, 9000, 100_003, 1 << 20, 3_000_001])
def test_arrays(n):
    a = memory.empty((n,), FLOAT)
    assert (a.shape, a.dtype, a.flags.c_contiguous) == ((n,), FLOAT, True)
    a[:] = np.arange(n)
    assert a[-1] == n - 1
    assert memory.address(a) == a.ctypes.data
    assert memory.address(a[n // 2 :]) == a[n // 2 :].ctypes.data
    if a.nbytes >= memory.SMALL:
        assert a.ctypes.data % 64 == 0
        assert a.nbytes <= a.base._length_ <= 1.26 * a.nbytes + 1024
    if a.nbytes >= 1 << 20:
        assert a.ctypes.data % 4096 == 0


def test_zero_size_and_scalars():
    for shape in ((), (0,), (3, 0, 5), (0, 1 << 40)):
        assert memory.empty(shape, FLOAT).shape == shape


def test_memory_is_used_again_when_no_view_is_left():
    before = memory.usage()
    a = memory.empty((300, 300), FLOAT)
    place = a.ctypes.data
    held = [a[1:], memoryview(a), np.from_dlpack(a), a.reshape(-1).view(np.uint8)[5:]]
    capacity = a.base._length_
    assert memory.usage().used == before.used + capacity
    del a
    while held:
        assert memory.usage().used == before.used + capacity
        b = memory.empty((300, 300), FLOAT)
        assert b.ctypes.data != place
        del b
        held.pop()
    assert memory.usage().used == before.used
    places = {memory.empty((300, 300), FLOAT).ctypes.data for _ in range(2)}
    c, d = memory.empty((300, 300), FLOAT), memory.empty((300, 300), FLOAT)
    assert place in {*places, c.ctypes.data, d.ctypes.data}


def test_counters():
    before = memory.usage()
    a = memory.empty((1 << 18,), FLOAT)
    b = memory.empty((1 << 18,), FLOAT)
    del a
    c = memory.empty((1 << 18,), FLOAT)
    del b, c
    after = memory.usage()
    assert after.used == before.used
    assert after.peak == before.used + (2 << 20)
    assert after.free == 2 << 20
    memory.trim(1 << 20)
    assert memory.usage().free == 1 << 20


def test_what_lies_free_is_bounded(monkeypatch):
    monkeypatch.setattr(
        memory._died,
        "__defaults__",
        (
            *memory._died.__defaults__[:2],
            3 << 20,
        ),
    )
    arrays = [memory.empty((1 << 18,), FLOAT) for _ in range(5)]
    arrays.clear()
    assert memory.usage().free == 3 << 20


def test_garbage_in_cycles():
    before = memory.usage().used
    for _ in range(100):
        cycle = [memory.empty((10_000,), FLOAT)]
        cycle.append(cycle)
    del cycle
    gc.collect()
    assert memory.usage().used == before


def test_threads():
    before = memory.usage().used
    wrong = []

    def work(seed):
        generator = np.random.default_rng(seed)
        held = []
        for _ in range(300):
            n = int(generator.integers(1, 50_000))
            a = memory.empty((n,), FLOAT)
            a[0] = a[-1] = seed
            held.append(a)
            if len(held) > 8:
                b = held.pop(int(generator.integers(8)))
                if b[0] != seed or b[-1] != seed:
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    gc.collect()
    assert memory.usage().used == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_goes_on():
    kept = memory.empty((10_000,), FLOAT)
    kept[:] = 7
    child = os.fork()
    if child == 0:
        status = 1
        try:
            other = memory.empty((10_000,), FLOAT)
            other[:] = 1
            status = 0 if (kept == 7).all() else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
