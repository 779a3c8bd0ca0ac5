"""`plait profile` runs a script and prints a table; `plait plan` looks ahead."""

import json

import pytest

SCRIPT = """\
import sys
import plait
x = plait.tensor([[1.0] * 200] * 200)
for _ in range(3):
    print(sys.argv[1], plait.tanh(x @ x).sum().item())
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_a_script_is_profiled(plait_here, script, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAIT_EXECUTION", "auto")
    trace = tmp_path / "trace.json"
    done = plait_here("profile", "--trace", trace, "--lines", 5, script, "--hello")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:3] == ["--hello 40000.0"] * 3
    assert lines[3].startswith("kernel  ")
    assert any(line.startswith("dot_200x200") for line in lines)
    assert lines[-1].startswith(f"written to {trace}: ")
    assert all(len(line) <= 80 for line in lines[3:-1])
    events = json.loads(trace.read_text())["traceEvents"]
    assert any(event["name"].startswith("dot_200x200") for event in events)


def test_a_script_that_is_not_there(plait_here, tmp_path):
    done = plait_here("profile", tmp_path / "none.py")
    assert (done.status, done.out) == (1, "")
    assert "no such file" in done.err
    # The profile was closed.
    assert "no such file" in plait_here("profile", tmp_path / "none.py").err


def test_a_graph_is_planned(plait_here, plait_command, script, tmp_path):
    text = plait_command("show", script, "x").out
    graph = tmp_path / "graph.txt"
    (first, *_) = text.split("# simplified\n")[1:]
    graph.write_text(first.rpartition("}")[0] + "}\n")
    done = plait_here("plan", graph)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("line, layer  ")
    assert "memory: " in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_no_graph_is_planned(plait_here, tmp_path):
    (tmp_path / "text").write_text("nothing")
    assert "expected 'graph'" in plait_here("plan", tmp_path / "text").err
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "no text of a graph" in plait_here("plan", tmp_path / "bytes").err
    assert plait_here("plan", tmp_path / "none").status == 1
