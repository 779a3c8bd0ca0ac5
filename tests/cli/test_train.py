"""`plait train`: the example, and scripts of users."""

import re

import pytest

from plait.nn import load_metadata, load_weights


def test_the_example_learns_and_says_so(trained):
    folder, out = trained
    lines = out.splitlines()
    assert lines[0].startswith("5,000 digits of MNIST")
    assert lines[0].endswith("4000 to train on, 1000 to test on")
    assert "(0): Linear(in_features=784, out_features=128, bias=True)" in out
    assert [line for line in lines[1:] if len(line) > 80] == []
    rows = [line for line in lines if re.match(r" *\d/4 ", line)]
    assert len(rows) == 4
    accuracy = float(re.search(r"test accuracy (\S+)%", lines[-3]).group(1))
    assert accuracy > 90
    assert rows[-1].endswith(f"{accuracy:.2f} %")
    assert (
        lines[-1]
        == "now try: plait predict --model mnist --test-index 0 --data mnist-5k"
    )
    assert [path.name for path in folder.iterdir()] == ["mnist"]
    pictures = ["confusion.png", "curves.png", "filters.png"]
    assert sorted(path.name for path in (folder / "mnist").iterdir()) == [
        *pictures,
        "model.safetensors",
    ]
    for name in pictures:
        assert (folder / "mnist" / name).read_bytes()[:4] == b"\x89PNG"


def test_the_model_says_what_it_is(trained):
    path = trained[0] / "mnist" / "model.safetensors"
    description = '{"kind": "mnist", "hidden": [128]}'
    assert load_metadata(path) == {"plait.model": description}
    assert load_weights(path)["0.weight"].shape == (128, 784)


def test_a_seed_gives_the_same_file(plait_here, plait_command, tmp_path):
    def train(name, seed, *more, run=plait_here):
        arguments = ("--data", "mnist-5k", "--epochs", 1, "--hidden", "8", "--quiet")
        done = run(
            *("train", "mnist", *arguments, "--seed", seed, "--output", name, *more),
            folder=tmp_path,
        )
        assert (done.status, done.out, done.err) == (0, "", "")
        return (tmp_path / name / "model.safetensors").read_bytes()

    first = train("a", 1, run=plait_command)
    assert train("b", 1, run=plait_command) == first
    assert train("c", 2) != first
    train("d", 1, "--hidden", "--optimizer", "sgd", "--lr", "0.1")
    weights = load_weights(tmp_path / "d" / "model.safetensors")
    assert list(weights) == ["0.bias", "0.weight"]


def test_an_output_that_cannot_be_written(plait_here, tmp_path):
    arguments = ("train", "mnist", "--data", "mnist-5k", "--epochs", "1", "--output")
    output = tmp_path / "no" / "folder"
    done = plait_here(*arguments, output)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"plait: error: {output}: the folder it would be in does not exist\n"
    )
    output = tmp_path / "file"
    output.write_text("")
    done = plait_here(*arguments, output)
    assert (done.status, done.err) == (1, f"plait: error: {output}: File exists\n")


@pytest.fixture
def script(tmp_path, plait_here):
    """Run a script of this text."""
    (tmp_path / "beside.py").write_text("value = 7\n")

    def run(text, *arguments, before=()):
        (tmp_path / "script.py").write_text(text)
        return plait_here(*before, "train", "script.py", *arguments, folder=tmp_path)

    return run


def test_a_script_runs_as_python_would_run_it(script):
    done = script(
        "import sys, beside\n"
        "print(__name__, sys.argv, beside.value)\n"
        "import plait\n"
        "print((plait.ones(2) * 3).tolist())\n",
        *("--lr", "0.1", "--help"),
    )
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "__main__ ['script.py', '--lr', '0.1', '--help'] 7\n[3.0, 3.0]\n"
    )


@pytest.mark.parametrize(
    ("text", "status", "err"),
    [
        ("import sys; sys.exit(5)", 5, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit('no data')", 1, "plait: error: no data\n"),
    ],
)
def test_the_status_of_a_script_is_kept(script, text, status, err):
    done = script(text)
    assert (done.status, done.err) == (status, err)


def test_an_error_of_plait_names_the_line_of_the_script(script):
    text = "import plait\n\nplait.ones(2) @ plait.ones(3)\n"
    done = script(text)
    assert done.status == 1
    first, *_, last = done.err.splitlines()
    assert first.startswith("plait: error: [matmul]")
    assert last == "  at script.py:3"
    assert script(text, before=["--traceback"]).err.startswith("Traceback")


def test_any_other_error_shows_the_script_alone(script):
    done = script("def f():\n    return 1 / 0\n\nf()\n")
    assert done.status == 1
    lines = done.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "runpy" not in done.err
    assert "cli" not in done.err
    broken = script("def f(:\n")
    assert broken.status == 1
    assert broken.err.splitlines()[-1].startswith("SyntaxError")


def test_a_script_that_is_not_there(plait_here, tmp_path):
    done = plait_here("train", "none.py", folder=tmp_path)
    assert (done.status, done.err) == (1, "plait: error: none.py: no such file\n")
    done = plait_here("train", tmp_path)
    assert (done.status, done.err) == (1, f"plait: error: {tmp_path}: no such file\n")
