"""When instructions began and ended, as the machine has taken it down."""

import time

import numpy as np
import pytest

from plait.program import Clear, Copy, Count, Host, Launch, Place, Repeat
from plait.runtime import Runner, timeline
from plait.runtime.timeline import Timeline, clock_text

from .llvm_kernels import HEAVY, multiply_add, program, vector

N = 256


def double(x):
    time.sleep(0.002)
    return 2 * x


def timed(runner, values):
    table = Timeline()
    begin = time.perf_counter_ns()
    results = runner.run(values, table)
    end = time.perf_counter_ns()
    return results, sorted(table.spans, key=lambda span: span.begin), (begin, end)


@pytest.mark.parametrize("work", [None, HEAVY], ids=["alone", "shared"])
def test_every_kind_that_takes_time(work, threads):
    threads(2)
    kernel = multiply_add(N, chunks=4, work=work)
    type = vector(N)
    one = program(
        [type],
        [type],
        [kernel],
        [
            Clear(Place(2), 4 * N),
            Launch(0, (Place(0), Place(2)), "net.py:3"),
            Host(double, ((Place(2), type),), ((Place(2), type),), "net.py:4"),
            Copy(Place(1), Place(2), 4 * N),
        ],
        arena=4 * N,
    )
    runner = Runner(one)
    x = np.arange(N, dtype=np.float32)
    (y,), spans, (begin, end) = timed(runner, [x])
    np.testing.assert_array_equal(y, 2 * (x + 1))
    found = [runner.steps[span.at] for span in spans]
    assert [step.kind for step in found] == ["clear", "kernel", "host", "copy"]
    assert [step.where for step in found] == ["", "net.py:3", "net.py:4", ""]
    assert [step.name for step in found][1:3] == ["multiply_add", "double"]
    assert found[1].work == kernel.work
    assert found[1].shared is (work is HEAVY)
    times = [x for span in spans for x in span[1:]]
    assert times == sorted(times)
    # One clock for Python and the machine.
    assert begin <= times[0]
    assert times[-1] <= end
    assert spans[2].end - spans[2].begin > 1_000_000


def test_more_than_the_table_holds(monkeypatch):
    monkeypatch.setattr(timeline, "_CAPACITY", 16)
    turns = 100
    type = vector(N)
    one = program(
        [type],
        [type],
        [multiply_add(N)],
        [
            Copy(Place(2), Place(0), 4 * N),
            Count(4, turns),
            Launch(0, (Place(2), Place(2))),
            Repeat(4, 2),
            Copy(Place(1), Place(2), 4 * N),
        ],
        arena=4 * N,
        slots=1,
    )
    (y,), spans, _ = timed(Runner(one), [np.zeros(N, np.float32)])
    np.testing.assert_array_equal(y, np.full(N, turns, np.float32))
    assert len(spans) == turns + 2
    assert sum(span.end - span.begin for span in spans) > 0


def test_a_run_without_a_timeline_is_as_before():
    type = vector(N)
    runner = Runner(program([type], [type], [], [Copy(Place(1), Place(0), 4 * N)]))
    x = np.ones(N, np.float32)
    _, spans, _ = timed(runner, [x])
    assert len(spans) == 1
    np.testing.assert_array_equal(runner.run([x])[0], 1)


def test_each_system_has_a_clock():
    assert "@clock_gettime(i32 1," in clock_text("linux")
    assert "@clock_gettime_nsec_np(i32 8)" in clock_text("darwin")
    for platform in ("linux", "darwin"):
        text = clock_text(platform)
        assert "define internal i64 @now()" in text
        assert "define internal void @note(" in text
