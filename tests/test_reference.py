"""The documents build without a warning, and the examples in docstrings run."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import plait

ROOT = Path(__file__).parent.parent


@pytest.mark.timeout(600)
def test_the_documents_build_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-D",
            "html_theme=basic",
            "docs",
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reference" / "nn" / "linear.html").read_text("utf-8")
    assert 'id="plait.nn.Linear"' in page
    assert "A linear map with an offset" in page
    table = (tmp_path / "reference" / "names" / "keras.html").read_text("utf-8")
    assert "linear.html#plait.nn.Linear" in table


def modules():
    for found in pkgutil.walk_packages(plait.__path__, "plait."):
        room = found.name.split(".")[1]
        if room not in ("__main__", "cli", "compile", "runtime"):
            yield found.name


WITH_EXAMPLES = [
    name
    for name in modules()
    if ">>>" in Path(importlib.util.find_spec(name).origin).read_text("utf-8")
]


def test_there_are_examples():
    assert len(WITH_EXAMPLES) > 20


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name):
    plait.manual_seed(0)
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
