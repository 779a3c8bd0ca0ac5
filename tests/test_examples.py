"""The examples run, on small data, and print what stands beside them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
ARGUMENTS = {
    "02_digits.py": ["mnist-5k", "2"],
    "05_data.py": ["mnist-5k"],
    "06_hooks.py": ["mnist-5k", "3"],
    "08_images.py": ["mnist-5k", "1"],
}
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))


def run(name):
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / name, *ARGUMENTS.get(name, [])],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name):
    out = run(name)
    source = (FOLDER / name).read_text(encoding="utf-8")
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", source, flags=re.MULTILINE)
    if promised:
        assert out.splitlines() == promised
    else:
        assert re.search(r"accuracy", out)


def test_the_examples_are_numbered():
    assert [int(name[:2]) for name in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


def test_the_digits_example_learns():
    last = run("02_digits.py").splitlines()[-1]
    accuracy = float(re.search(r"accuracy (\S+)%", last).group(1))
    assert accuracy > 85


def test_the_program_in_the_readme_runs(tmp_path):
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    script = tmp_path / "readme.py"
    script.write_text(program.replace('digits("mnist")', 'digits("mnist-5k")'))
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"loss 0\.\d{3}\n", done.stdout)
