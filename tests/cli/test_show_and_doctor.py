"""`plait show` prints graphs, and `plait doctor` finds what is broken."""

import tomllib
from pathlib import Path

import pytest

from plait.cli import doctor
from plait.ir.text import from_text
from plait.ops import PRIMITIVES


def graphs(text):
    """Return the graphs in an output, each as its lines."""
    found = []
    for line in text.splitlines():
        if line.startswith("graph("):
            found.append([])
        if found and not line.startswith("#"):
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]


@pytest.mark.parametrize("stage", ["graph", "simplified", "all"])
def test_the_example_is_one_step(plait_command, stage):
    done = plait_command("show", "--stage", stage)
    assert (done.status, done.err) == (0, "")
    texts = graphs(done.out)
    assert len(texts) == (2 if stage == "all" else 1)
    for text in texts:
        graph = from_text(text, PRIMITIVES)
        # The loss, a gradient and a new value of each of the four parameters.
        assert len(graph.outputs) >= 9
        assert "dot(" in text
    assert plait_command("show", "--example", "mnist", "--stage", stage).out == done.out


def test_what_a_script_computes(plait_command, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, plait\n"
        "x = plait.tensor([1.0, 2.0])\n"
        "print(sys.argv[1], plait.exp(x).sum().item() > 10)\n"
    )
    done = plait_command("show", script, "hello")
    assert (done.status, done.err) == (0, "")
    (text,) = graphs(done.out.replace("hello True\n", ""))
    assert "exp(" in text
    assert done.out.endswith("hello True\n")


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        ("schedule", "kernel 0: "),
        ("loops", 'kernel "'),
        ("llvm", "define void @kernel("),
        ("assembly", "kernel:"),
    ],
)
def test_the_program_of_a_graph(plait_here, tmp_path, stage, word):
    path = tmp_path / "graph.txt"
    path.write_text(
        "graph(%0: float32[8]) {\n"
        "  %1 = exp(%0) : float32[8]\n"
        "  %2 = add(%1, %0) : float32[8]\n"
        "  return %2\n"
        "}\n"
    )
    done = plait_here("show", "--stage", stage, path)
    assert (done.status, done.err) == (0, "")
    assert word in done.out
    if stage != "schedule":
        one = plait_here("show", "--stage", stage, "--kernel", 0, path).out
        assert done.out.startswith(one)
    assert plait_here("show", "--stage", "graph", path).out == path.read_text()


def test_the_programs_of_a_script(plait_here, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import plait\n"
        "x = plait.tensor([1.0, 2.0, 3.0])\n"
        "print(plait.expm1(x).tolist()[0] < 2)\n"
    )
    done = plait_here("show", "--stage", "loops", "--kernel", 0, script)
    assert (done.status, done.err) == (0, "")
    assert "# kernel 0: expm1_3\nkernel" in done.out
    assert "expm1(" in done.out
    assert done.out.endswith("True\n")


def test_a_kernel_that_cannot_be(plait_here, tmp_path):
    done = plait_here("show", "--kernel", 0)
    assert done.status == 2
    assert "--kernel goes with loops, llvm, assembly" in done.err
    path = tmp_path / "graph.txt"
    path.write_text("graph(%0: float32[8]) {\n  return %0\n}\n")
    done = plait_here("show", "--stage", "llvm", "--kernel", 5, path)
    assert done.status == 1
    assert "there is no kernel of that number" in done.err


def test_a_script_that_fails(plait_command, tmp_path):
    done = plait_command("show", tmp_path / "none.py")
    assert done.status == 1
    assert done.err == f"plait: error: {tmp_path / 'none.py'}: no such file\n"


def test_the_doctor_finds_nothing_wrong(plait_command):
    done = plait_command("doctor")
    assert (done.status, done.err) == (0, "")
    for word in ("numpy", "python", "cores", "BLAS", "cache", "tqdm", "training"):
        assert f"\n  {word} " in done.out
    assert done.out.splitlines()[-1] == "plait works here"
    assert "FAILED" not in done.out


def test_the_doctor_finds_what_is_wrong(monkeypatch, capsys):
    def broken():
        raise ArithmeticError("wrong: 1 + 1 is 3")

    monkeypatch.setitem(doctor.CHECKS, "arithmetic", broken)
    assert doctor.run([]) == 1
    out = capsys.readouterr().out
    assert "  arithmetic   FAILED: ArithmeticError: wrong: 1 + 1 is 3\n" in out
    assert out.splitlines()[-1] == "plait is broken here; see FAILED above"


def test_the_doctor_says_how_to_get_what_is_missing(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    facts = dict(doctor.extras())
    assert facts["pillow"] == (
        'missing, for reading images in `plait predict`: pip install "plait[image]"'
    )


def test_the_extras_are_those_of_the_project():
    project = Path(__file__).parents[2] / "pyproject.toml"
    named = tomllib.loads(project.read_text())["project"]
    extras = named["optional-dependencies"]
    for library, (_, extra, _) in doctor.EXTRAS.items():
        assert any(one.startswith(library) for one in extras[extra])
    needed = [one.split(">")[0] for one in named["dependencies"]]
    assert sorted(doctor.REQUIRED) == sorted(needed)


def test_the_size_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAIT_CACHE", str(tmp_path / "none"))
    assert dict(doctor.folders())["cache"].endswith("(not made yet)")
    monkeypatch.setenv("PLAIT_CACHE", str(tmp_path))
    (tmp_path / "file").write_bytes(bytes(2_000_000))
    assert dict(doctor.folders())["cache"] == f"{tmp_path} (2.0 MB)"
