"""Profiles: what is taken down, tables, and files for trace viewers."""

import json

import numpy as np
import pytest

import plait
from plait import errors, nn
from plait.program import Work
from plait.runtime.instructions import Step
from plait.runtime.timeline import Span
from plait.settings import settings
from plait.tensor import profile as module
from plait.tensor.limits import Limits, limits
from plait.tensor.profile import Event, Profile, shortened


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    monkeypatch.setattr(settings, "execution", "compile")


@pytest.fixture(scope="module")
def profile():
    """A profile of a program of two kernels, run three times."""
    a = np.random.default_rng(0).random((150, 150), np.float32)
    before, settings.execution = settings.execution, "compile"
    try:
        with plait.profile() as found:
            for _ in range(3):
                x = plait.asarray(a)
                plait.sort(plait.exp(x @ x / 100).sum(1)).numpy()
    finally:
        settings.execution = before
    return found


def test_what_is_taken_down(profile):
    kinds = [event.kind for event in profile.events]
    assert kinds.count("compile") == 1
    assert kinds.count("program") == 3
    (dot,) = [row for row in profile.rows() if row.name.startswith("dot")]
    assert dot.calls == 3
    assert dot.flops >= 3 * 2 * 150**3
    assert dot.nbytes >= 3 * 2 * 4 * 150**2
    assert dot.least > 0
    assert 0 < dot.seconds < profile.seconds
    for event in profile.events:
        assert profile.begin <= event.begin <= event.end <= profile.end


def test_kernels_lie_inside_of_their_program(profile):
    inside = [e for e in profile.events if e.kind in ("kernel", "host", "copy")]
    whole = [e for e in profile.events if e.kind == "program"]
    for event in inside:
        assert any(x.begin <= event.begin and event.end <= x.end for x in whole)


def test_calls_of_python_are_named(profile):
    hosts = {row.name for row in profile.rows(["host"])}
    names = {row.name for row in profile.rows()}
    assert hosts <= names
    assert any("sort" in name for name in names)


def test_the_table(profile):
    text = profile.table()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == [
        *("kernel", "calls", "total", "ms", "mean", "us", "share"),
        *("GFLOP/s", "GB/s", "limit"),
    ]
    (row,) = [line for line in lines if line.startswith("dot")]
    assert row.split()[1] == "3"
    assert "compilations                        1" in text
    assert "at most, on 1 thread:" in text
    assert "more, " in profile.table(1)


def test_a_table_by_lines_and_layers():
    model = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4))
    x = plait.asarray(np.ones((3, 8), np.float32))
    with plait.profile() as found:
        model(x).numpy()
    names = {row.name.partition(" ")[2] for row in found.rows(by="line")}
    assert {"0", "2"} <= names <= {"", "0", "1", "2"}
    lines = found.table(by="line").splitlines()
    assert lines[0].startswith("line   ")
    assert lines[2].startswith("test_profile.py:")
    layers = [x["args"].get("layer") for x in found.trace()["traceEvents"]]
    assert "2" in layers
    with pytest.raises(errors.ArgumentError, match="'kernel' or 'line'"):
        found.table(by="layer")


def test_the_file_for_viewers(profile, tmp_path):
    profile.save(tmp_path / "trace.json")
    found = json.loads((tmp_path / "trace.json").read_text())
    complete = [x for x in found["traceEvents"] if x["ph"] == "X"]
    assert len(complete) == len(profile.events)
    assert all({"name", "cat", "pid", "tid", "ts", "dur"} <= x.keys() for x in complete)
    starts = [x["ts"] for x in complete]
    assert starts == sorted(starts)
    assert starts[0] >= 0
    (first, *_) = [x for x in complete if x["name"].startswith("dot")]
    assert first["args"]["line"].startswith(__file__)


def test_interpreted_runs_are_taken_down(monkeypatch):
    monkeypatch.setattr(settings, "execution", "interpret")
    with plait.profile() as found:
        assert plait.exp(plait.zeros(3)).tolist() == [1, 1, 1]
    assert [event.kind for event in found.events] == ["interpreted"]


def test_what_was_recorded_before_and_what_is_recorded_inside():
    before = plait.exp(plait.ones(3))
    with plait.profile() as found:
        inside = plait.exp(plait.ones(5) * 2)
    assert before._trace is None
    assert inside._trace is None
    assert [row.calls for row in found.rows()] == [1]


def test_one_profile_at_a_time():
    with plait.profile():
        with pytest.raises(errors.ArgumentError) as caught:
            plait.profile()
        assert caught.value.where.startswith(__file__)
    assert module.watching is None
    with pytest.raises(ZeroDivisionError), plait.profile():
        raise ZeroDivisionError
    assert module.watching is None


def test_an_error_is_what_it_is_without_a_profile():
    x, i = plait.zeros(3), plait.asarray(np.array([5]))
    with pytest.raises(errors.IndexingError), plait.profile():
        plait.take(x, i, axis=0).numpy()


def test_rates_and_shares(monkeypatch):
    monkeypatch.setattr(
        module.limits, "limits", lambda shared=True: Limits(2e9, 1e9, 1)
    )
    found = Profile()
    found.begin, found.end = 0, 10_000
    steps = {
        7: Step("add_4", "kernel", Work(1000, 2000)),
        9: Step("copy", "copy", Work()),
    }
    found.add_spans(steps, [Span(7, 0, 4000), Span(9, 4000, 5000), Span(7, 6000, 8000)])
    found.add("program", "3 nodes", 0, 9000)
    lines = found.table().splitlines()
    # 2000 operations and 4000 bytes in 6 us; memory alone would take 4 us.
    assert lines[2].split() == ["add_4", "2", "0.006", "3.0", "60.0", "%", "0.3",
                                "0.7", "67", "%"]  # fmt: skip
    assert lines[3].split() == ["copy", "copy", "1", "0.001", "1.0", "10.0", "%"]
    facts = [" ".join(line.split()) for line in lines]
    assert "starting and ending programs 1 0.002 ms 20.0 %" in facts
    assert "everything else (Python) 0.001 ms 10.0 %" in facts


def test_names_are_shortened_in_the_middle():
    assert shortened("dot_add", 26) == "dot_add"
    long = "select_sum_divide_add_maximum_64x128"
    assert len(shortened(long, 26)) == 26
    assert shortened(long, 26).endswith("64x128")


def test_the_limits_of_the_machine():
    one, all_threads = limits(False), limits()
    assert one.threads == 1
    assert 1e8 < one.flops < 1e13
    assert 1e8 < one.bandwidth < 1e13
    assert all_threads.threads >= 1
    assert one.seconds(one.flops, 0) == pytest.approx(1)
    assert one.seconds(0, 2 * one.bandwidth) == pytest.approx(2)


def test_an_event_has_a_length():
    row = module.Row("kernel", "add")
    row.add(Event("kernel", "add", 5, 25))
    assert row.seconds == pytest.approx(20e-9)
    assert row.least == 0
