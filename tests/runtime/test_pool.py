"""Threads: the same results, however many there are and whatever they do."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from plait.errors import ArgumentError
from plait.program import Copy, Count, Launch, Place, Repeat
from plait.runtime import (
    Runner,
    get_num_threads,
    kernels,
    pool,
    set_num_threads,
    sharing,
)
from plait.settings import settings

from .llvm_kernels import HEAVY, multiply_add, program, vector

N, CHUNKS, REGIONS = 1 << 12, 37, 100
SIZE = N // CHUNKS * CHUNKS
X = np.arange(N, dtype=np.float32)


def heavy(scratch=0):
    """A program with many launches that threads share: adds `REGIONS` to a vector."""
    code = multiply_add(N, CHUNKS, 1.0, 1.0, HEAVY, scratch)
    instructions = [
        Copy(Place(2), Place(0), 4 * N),
        Count(4, REGIONS // 2),
        Launch(0, (Place(2), Place(2, 4 * N))),
        Launch(0, (Place(2, 4 * N), Place(2))),
        Repeat(4, 2),
        Copy(Place(1), Place(2), 4 * N),
    ]
    return Runner(
        program([vector(N)], [vector(N)], [code], instructions, arena=8 * N, slots=1)
    )


def check(runner, times=1):
    for _ in range(times):
        (y,) = runner.run([X])
        np.testing.assert_array_equal(y[:SIZE], X[:SIZE] + REGIONS)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
@pytest.mark.parametrize("scratch", [0, 64, 10_000])
def test_any_number_of_threads(threads, count, scratch):
    threads(count)
    check(heavy(scratch), 3)
    assert threading.active_count() >= count or count == 1


def test_a_thread_of_the_pool_runs_chunks(threads):
    """A launch that nobody else runs: its words are written as `region` does."""
    threads(2)
    check(heavy(64))
    team = pool._current.pool
    kernel = kernels.load(multiply_add(N, CHUNKS, 1.0, 1.0, HEAVY, 64))
    y = np.zeros(N, np.float32)
    arguments = np.array([X.ctypes.data, y.ctypes.data], np.int64)
    with team.busy:
        team.words[sharing.KERNEL] = kernel.addresses["kernel"]
        team.words[sharing.REGION_ARGUMENTS] = arguments.ctypes.data
        team.words[sharing.CHUNKS] = CHUNKS
        team.words[sharing.DONE] = 0
        team.words[sharing.REMAINING] = CHUNKS
        half = CHUNKS // 2
        for part, count in enumerate([half, CHUNKS - half]):
            team.words[sharing.LEFT + part * sharing.PART_WORDS] = count
        team.wake()
        limit = time.monotonic() + 20
        while team.words[sharing.DONE] != CHUNKS and time.monotonic() < limit:
            time.sleep(0.001)
        assert team.words[sharing.DONE] == CHUNKS
    np.testing.assert_array_equal(y[:SIZE], X[:SIZE] + 1)


def awake(team):
    records = [record for record, _ in team._workers]
    return [x for x in records if not x[sharing.WORKER_ASLEEP]]


def test_idle_threads_sleep_and_are_woken(threads):
    threads(3)
    runner = heavy()
    for _ in range(3):
        check(runner)
        team = pool._current.pool
        limit = time.monotonic() + 20
        while awake(team) and time.monotonic() < limit:
            time.sleep(0.001)
        assert team.sleeps
        assert not awake(team)
        before = time.process_time()
        time.sleep(0.1)
        assert time.process_time() - before < 0.09  # nobody spins


def test_a_thread_that_waits_for_the_gil_is_woken_too(threads):
    """It is known to sleep before it can say so to Python."""
    threads(2)
    runner = heavy()
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)  # nobody else gets the GIL in the loop
    try:
        check(runner)
        team = pool._current.pool
        limit = time.monotonic() + 5
        while awake(team) and time.monotonic() < limit:
            pass
        assert team.sleeps
        assert not awake(team)
        team.wake()
        assert not team.sleeps
        check(runner)
    finally:
        sys.setswitchinterval(before)


def test_programs_of_several_threads_at_once(threads):
    threads(2)
    runner = heavy()
    wrong = []

    def work():
        try:
            check(runner, 5)
        except BaseException as error:
            wrong.append(error)

    mine = [threading.Thread(target=work) for _ in range(4)]
    for thread in mine:
        thread.start()
    for thread in mine:
        thread.join()
    assert not wrong


def test_the_number_changes_while_programs_run(threads):
    threads(2)
    runner = heavy()
    over = threading.Event()
    wrong = []

    def work():
        try:
            while not over.is_set():
                check(runner)
        except BaseException as error:
            wrong.append(error)

    mine = [threading.Thread(target=work) for _ in range(2)]
    for thread in mine:
        thread.start()
    for count in (3, 1, 4, 2, 5):
        threads(count)
        check(runner)
    over.set()
    for thread in mine:
        thread.join()
    assert not wrong


def test_threads_end_when_the_number_changes(threads):
    threads(9)
    check(heavy())
    threads(2)
    check(heavy())
    names = [x.name for x in threading.enumerate() if x.name.startswith("plait-")]
    assert names == ["plait-1"]


def test_a_system_that_allows_no_more_threads(threads, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    threads(7)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    check(heavy())
    assert pool._current.pool._threads == []


def test_setting_the_number(monkeypatch):
    monkeypatch.setattr(settings, "num_threads", 0)
    assert get_num_threads() == pool._processors() >= 1
    set_num_threads(3)
    assert get_num_threads() == settings.num_threads == 3
    for wrong in (0, -1, 2.0, True, "2", None):
        with pytest.raises(ArgumentError, match="not an integer of at least 1"):
            set_num_threads(wrong)
    assert get_num_threads() == 3


SCRIPT = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
from runtime import test_pool
from runtime.test_pool import check, heavy
from plait.runtime import pool, set_num_threads
set_num_threads(3)
runner = heavy()
check(runner)
"""


def run_script(rest):
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent.parent))
    environment = {**os.environ, "PLAIT_CACHE": settings.cache}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script + textwrap.dedent(rest)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_interpreter_exits_with_threads_awake():
    run_script("")


def test_the_interpreter_exits_while_a_thread_runs_programs():
    run_script("""
        def work():
            while True:
                runner.run([test_pool.X])
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
    """)


def test_a_program_at_exit():
    out = run_script("""
        import atexit
        pool.atexit.unregister(pool._current.end)
        atexit.register(lambda: print("done", check(runner)))
        atexit.register(pool._current.end)  # which runs first
    """)
    assert out == "done None\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_process_has_threads_of_its_own():
    out = run_script("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        def work():
            check(runner, 20)
        others = [threading.Thread(target=work) for _ in range(2)]
        for one in others: one.start()
        child = os.fork()
        if child == 0:
            check(runner, 3)
            names = [x.name for x in threading.enumerate()]
            print(sorted(names), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        check(runner)
        for one in others: one.join()
    """)
    assert "'plait-1', 'plait-2'" in out


def test_processes_at_once():
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(run_script, ["check(runner, 20)"] * 2))
