"""The benchmarks run, their peers agree, and their tables say what was measured."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import numpy as np
import pytest

import plait

FOLDER = Path(__file__).parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(
    not hasattr(os, "killpg"), reason="processes are stopped with POSIX signals"
)


@pytest.fixture
def harness(monkeypatch):
    """The module, imported as its scripts do, and forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    yield import_module("harness")
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, FOLDER / script, "--quick", "--threads", "1", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("script", "rows", "agreeing"),
    [
        ("mlp.py", ["1 x 64", "1 x 64, batch 64", "1 x 64, batch 1"], 3),
        ("elementwise.py", ["softmax (small)"], 1),
        ("matmul.py", ["64 x 64 x 64"], 1),
        ("start.py", ["plait, cold", "numpy", "1 layer"], 0),
        ("memory.py", ["1 x 128, batch 64"], 0),
        ("optimizers.py", ["Adam (small)", "Gamma (small)"], 2),
    ],
)
def test_a_benchmark_runs_and_peers_agree(script, rows, agreeing):
    done = run(script, "--peers", "plait,numpy")
    for row in rows:
        assert re.search(rf"^\| {re.escape(row)} \|.*\d", done.stdout, re.MULTILINE)
    assert done.stdout.count("Results of all peers agree.") == agreeing
    assert "NOT" not in done.stdout
    assert plait.__version__ in done.stdout or not agreeing


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_a_peer_agrees_or_is_left_out(peer):
    done = run("mlp.py", "--peers", f"{peer},numpy", "--sections", "mlp-momentum")
    assert "Results of all peers agree." in done.stdout
    header = re.search(r"^\| \| (.*)\|$", done.stdout, re.MULTILINE).group(1)
    assert (peer in header) != (f"left out: {peer}" in done.stderr)


def test_nets_run_and_agree_with_those_of_a_peer():
    done = run("nets.py", "--peers", "plait,torch")
    assert done.stdout.count("Results of all peers agree.") == 3
    assert "FAILED" not in done.stdout
    names = re.findall(r"^\| (.*?) \|.*\d", done.stdout, re.MULTILINE)
    several = ("CNN", "LSTM", "GPT", "ResNet-18", "style", "ResNet-50", "Mobile", "VGG")
    assert all(any(part in name for name in names) for part in several)
    assert re.search(r"^\| CIFAR CNN.* \| plait \| \d+ \|", done.stdout, re.MULTILINE)


def test_layers_run_and_agree_with_those_of_a_peer():
    done = run("layers.py", "--peers", "plait,torch")
    assert "NOT" not in done.stdout
    assert "FAILED" not in done.stdout
    names = re.findall(r"^\| (.*?) \|.*\d", done.stdout, re.MULTILINE)
    for part in ("Linear", "ReLU", "CTCLoss", "sort", "Sparsemax"):
        assert any(part in name for name in names), part


# Those that compute nothing, are made of others, become others, or need a GPU there.
NOT_MEASURED = {
    "Flatten", "Identity", "Module", "ModuleDict", "ModuleList", "ParameterDict",
    "ParameterList", "Sequential", "SyncBatchNorm", "Unflatten",
}  # fmt: skip


def test_every_layer_that_pytorch_has_is_measured(harness):
    torch = pytest.importorskip("torch")
    cases = [c for section in import_module("layers").SECTIONS for c in section.cases]
    measured = {case.spec["work"].get("layer") for case in cases}
    shared = {
        name
        for name in plait.nn.__all__
        if isinstance(getattr(torch.nn, name, None), type)
        and issubclass(getattr(torch.nn, name), torch.nn.Module)
        and not name.startswith("Lazy")
    }
    assert shared - measured == NOT_MEASURED


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_models_are_compiled_and_compared():
    done = subprocess.run(
        [sys.executable, FOLDER / "zoo.py", "lenet"], capture_output=True, text=True,
        timeout=300, check=True,
    )  # fmt: skip
    row = re.search(r"^\| lenet \|(.*)\|$", done.stdout, re.MULTILINE).group(1)
    parameters, *figures = [cell.strip() for cell in row.split("|")]
    assert parameters == "61,706"
    assert all(re.fullmatch(r"[\d.]+ m?s", time) for time in figures[:2])
    distances = [float(x) for x in figures[2:] if x]  # none without PyTorch
    assert not distances or (max(distances[:2]) < 1e-5 and distances[2] < 1e-12)


def test_pages_run_and_agree_with_python():
    sections = "mlp-train,mlp-infer,start,size"
    done = run("browser/run.py", "--peers", "plait", "--sections", sections)
    rows = {
        "1 x 64": "us|ms", "1 x 64, batch 64": "us|ms", "1 x 64, batch 1": "us|ms",
        "2 x 128, first training step": "ms|s", "2 x 128, training and inference": "kB",
    }  # fmt: skip
    for row, unit in rows.items():
        pattern = rf"^\| {re.escape(row)} \| [\d.]+ ({unit}) \|"
        assert re.search(pattern, done.stdout, re.MULTILINE), row
    assert done.stdout.count("Results of all peers agree.") == 2
    assert "NOT" not in done.stdout
    assert "FAILED" not in done.stdout


def test_a_page_that_fails_says_why(harness, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER / "browser"))
    chromium = import_module("chromium")
    server = SimpleNamespace(asked={"t": Queue()}, answers={"t": Queue()})
    closed = []
    browser = SimpleNamespace(server=server, ask=closed.append, seconds=int)
    tab = chromium.Tab(browser, "t", "number")
    server.answers["t"].put({"check": [1.0]})
    assert tab.ask({"make": {}}) == {"check": [1.0]}
    server.answers["t"].put({"error": "TypeError: x is not a function"})
    with pytest.raises(RuntimeError, match="page says: TypeError: x is not"):
        tab.ask({"make": {}})
    assert closed == ["/json/close/number"]


def test_losses_that_differ_are_found(harness, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER / "browser"))
    apart = import_module("run").apart
    losses = {"plait in Python": [2.0, 1.0], "tfjs": [2.0, 1.001]}
    assert apart(losses, 0.01) == "agree"
    assert apart(losses, 1e-4) == "tfjs differs by 1.0e-03"
    losses["tfjs"][1] = math.nan
    assert apart(losses, 1e-4) == "tfjs differs by nan"


def test_a_slow_peer_gives_few_samples(harness):
    class Slow:
        def ask(self, request):
            return {"check": [1.0]} if "make" in request else {"seconds": 2.0}

    case, entry = harness.Case("work", {}), {"peers": {}}
    options = harness.Options(rounds=9, suite=harness.Suite(slow=1.0))
    assert not harness.time_case(case, options, {"plait": Slow()}, entry)
    assert entry["peers"]["plait"]["samples"] == harness.FEW


def test_a_job_runs_and_its_results_agree():
    done = run("jobs.py", "--peers", "plait,torch", "--rounds", "1")
    row = re.search(r"^\| mnist.*$", done.stdout, re.MULTILINE).group()
    accuracies = [float(text) for text in re.findall(r"([\d.]+) %", row)]
    assert len(accuracies) == 2 - ("left out" in done.stderr)
    assert min(accuracies) > 80
    assert "NOT" not in done.stdout


def test_results_of_jobs_that_differ_are_found(harness):
    jobs = import_module("jobs")
    entry = {"peers": {"plait": {"score": 0.95}, "torch": {"score": 0.94}}}
    assert jobs.agreement(entry, 0.02) == "agree"
    assert jobs.agreement(entry, 0.005) == "plait differs by 0.01"
    entry["peers"]["plait"]["score"] = np.nan
    assert jobs.agreement(entry, 0.02) == "plait differs by nan"


@pytest.mark.parametrize("index", range(5))
def test_the_check_finds_a_net_that_is_trained_otherwise(harness, index):
    case = import_module("nets").TRAINED[index]
    train = import_module("nets_plait").MAKERS[case.small["kind"]]
    optimizer = case.small["optimizer"]
    slower = {**case.small, "optimizer": {**optimizer, "lr": 0.9 * optimizer["lr"]}}
    found = {"plait": train(slower)[0]}
    assert "differs" in harness.agreement(found, train(case.small)[0], case.tolerance)


@pytest.mark.parametrize("spec", [{"kind": "train"}, {"kind": "infer", "batch": 3}])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_the_check_finds_a_peer_that_computes_something_else(
    harness, spec, activation, monkeypatch
):
    ours = import_module("with_plait").MAKERS[spec["kind"]]
    theirs = import_module("with_numpy").MAKERS[spec["kind"]]
    sgd = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    spec = {
        "sizes": [20, 9, 4], "batch": 7, "activation": activation, "sgd": sgd,
        "check": 12, **spec,
    }  # fmt: skip
    expected = theirs(spec)[0]
    agreement = harness.agreement({"plait": ours(spec)[0]}, expected, 1e-5)
    assert agreement.startswith("agree")
    other = "relu" if activation == "sigmoid" else "sigmoid"
    wrong = ours({**spec, "activation": other})[0]
    assert "plait differs" in harness.agreement({"plait": wrong}, expected, 1e-5)


def test_no_number_is_not_agreement(harness):
    found = harness.agreement({"plait": [np.nan]}, [1.0], 1e-5)
    assert found == "plait differs by nan"
    found = harness.agreement({"plait": [1.0, np.nan]}, [1.1, 1.0], 0.5)
    assert found == "plait differs by nan"


def test_a_table_shows_ratios_to_plait_and_the_best_of_the_others(harness):
    case = harness.Case("work", {})
    section = harness.Section("name", [case], harness.show_times, harness.measure)
    medians = {"plait": 2e-3, "torch": 5e-3, "numpy": 3e-3}
    entry = {"peers": {name: {"median": value} for name, value in medians.items()}}
    lines = list(harness.show_times(section, {"cases": {"work": entry}}))
    assert lines == [
        "| | plait | torch | numpy | best other ÷ plait |",
        "|---|---:|---:|---:|---:|",
        "| work | 2.00 ms | 5.00 ms (2.50) | 3.00 ms (1.50) | 1.50 |",
        "| geometric mean |  | (2.50) | (1.50) | (1.50) |",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 us"),
        (1.234e-6, "1.23 us"),
        (4.56789e-4, "457 us"),
        (0.0123456, "12.3 ms"),
        (12.3456, "12.3 s"),
    ],
)
def test_a_duration_has_three_digits(harness, seconds, text):
    assert harness.duration(seconds) == text


def test_a_long_case_has_fewer_rounds_and_a_small_stand_in(harness):
    case = harness.Case("work", {"size": 9}, True, rounds=3, small={"size": 1})
    section = harness.Section("name", [case], harness.show_times, harness.measure)
    quick = harness.Options(quick=True, rounds=2)
    assert [chosen.spec for chosen, _ in quick.chosen(section)] == [{"size": 1}]
    assert quick.samples(case) == 2
    whole = harness.Options(rounds=15)
    assert [chosen.spec for chosen, _ in whole.chosen(section)] == [{"size": 9}]
    assert whole.samples(case) == 3


def test_results_of_another_machine_are_not_mixed_in(harness, tmp_path, capsys):
    path = tmp_path / "mlp.json"
    kept = {"machine": {"processor": "one"}, "threads": {"1": {"cases": {}}}}
    path.write_text(json.dumps(kept))
    assert harness.load(path, {"processor": "one"}) == kept
    assert harness.load(path, {"processor": "other"})["threads"] == {}
    assert "another machine" in capsys.readouterr().err


def test_tables_go_between_the_marks_of_their_section(harness, tmp_path):
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n")
    harness.insert(path, "x", ["new", "\\1"])
    assert path.read_text() == "a\n<!-- begin x -->\nnew\n\\1\n<!-- end x -->\nb\n"
    with pytest.raises(ValueError, match="no place for 'y'"):
        harness.insert(path, "y", [])


SCRIPTS = (
    *("mlp", "elementwise", "matmul", "start", "memory", "nets", "jobs", "layers"),
)


@pytest.mark.parametrize(("folder", "scripts"), [(".", SCRIPTS), ("browser", ("run",))])
def test_every_section_has_its_place_in_the_page(harness, monkeypatch, folder, scripts):
    monkeypatch.syspath_prepend(str(FOLDER / folder))
    page = (FOLDER / folder / "README.md").read_text(encoding="utf-8")
    for script in scripts:
        for section in import_module(script).SECTIONS:
            assert page.count(f"<!-- begin {section.name} -->") == 1
            assert page.count(f"<!-- end {section.name} -->") == 1
            names = [case.name for case in section.cases]
            assert len(set(names)) == len(names)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc")
def test_the_time_of_others_is_what_neither_we_nor_our_children_took(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    others = import_module("machine").Others()
    whole, busy, ours = others.start
    assert 0 < ours < busy < whole
    monkeypatch.setattr(others, "now", lambda: (whole + 10, busy + 6, ours + 4))
    assert others.share() == pytest.approx(0.2)
    monkeypatch.setattr(others, "now", lambda: (whole + 10, busy + 4, ours + 5))
    assert others.share() == 0
    sys.modules.pop("machine")


class Broken:
    def ask(self, request):
        raise RuntimeError("the process of plait ended; it said: nothing")


def test_a_peer_that_fails_is_named_and_the_others_are_measured(harness, capsys):
    case = harness.Case("product", {
        "kind": "matmul", "shape": [3, 4, 5], "dtype": "float32",
        "transposed": [True, False],
    })  # fmt: skip
    options = harness.Options(quick=True, rounds=2)
    worker, entry = import_module("processes").Worker("numpy", 1), {"peers": {}}
    try:
        running = {"plait": Broken(), "numpy": worker}
        assert harness.time_case(case, options, running, entry) == ["plait"]
    finally:
        worker.close()
    assert "product: the process of plait ended" in capsys.readouterr().err
    assert list(entry["peers"]) == ["numpy"]
    assert entry["peers"]["numpy"]["samples"] == 2
    section = harness.Section("name", [case], harness.show_times, harness.measure)
    machine = {"processor": "one", "cores": 2, "features": [], "system": "here"}
    found = {"machine": machine, "threads": {"1": {"cases": {"product": entry}}}}
    text = "\n".join(harness.report(section, found))
    assert "FAILED: plait at product." in text


def test_results_are_written_with_lists_on_one_line_and_read_back(harness):
    results = {"cases": {"a": {"expected": [1.5, -2.0], "failed": []}}}
    text = harness.as_json(results)
    assert json.loads(text) == results
    assert '"expected": [1.5, -2.0]' in text


def state(process):
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return re.search(r"State:\s+(\w)", status).group(1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_worker_is_stopped_unless_it_is_asked(harness):
    worker = import_module("processes").Worker("numpy", 1)
    try:
        for _ in range(100):
            if state(worker.process) == "T":
                break
            time.sleep(0.01)
        assert state(worker.process) == "T"
        assert worker.ask({})["facts"]["numpy"].startswith(np.__version__)
    finally:
        worker.close()
    assert worker.process.returncode == -signal.SIGKILL


def test_a_failing_worker_says_what_happened(harness):
    worker = import_module("processes").Worker("numpy", 1)
    with pytest.raises(RuntimeError, match=r"(?s)of numpy ended.*KeyError: 'knitting'"):
        worker.ask({"make": {"kind": "knitting"}})
    assert worker.process.returncode is not None


def test_a_library_that_is_not_there_is_missing(harness):
    processes = import_module("processes")
    said = "Traceback\nModuleNotFoundError: No module named 'jax'\n"
    assert isinstance(processes.failure("jax", "ended", said), processes.Missing)
    assert isinstance(processes.failure("jax", "ended", "Killed"), RuntimeError)
