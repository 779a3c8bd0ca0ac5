"""The command `plait`, run as its users run it: in a process of its own."""

import os
import subprocess
import sys

import pytest

from plait.cli.main import main


class Done:
    """What a command printed, and its status."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


def environment():
    # A width of the terminal must not matter; threads of BLAS only get in the way.
    return {**os.environ, "COLUMNS": "40", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def plait_command():
    """Run `plait` with arguments in a folder."""

    def run(*arguments, folder=None):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "plait", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment(),
            timeout=100,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def plait_here(capsys, monkeypatch):
    """Run `plait` with arguments in this process, which is much faster."""
    # A width of the terminal must not matter.
    monkeypatch.setenv("COLUMNS", "40")

    def run(*arguments, folder=None):
        if folder is not None:
            monkeypatch.chdir(folder)
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, plait_command):
    """A folder with a model, trained for a moment on the small data, and the output."""
    folder = tmp_path_factory.mktemp("trained")
    done = plait_command(
        *("train", "mnist", "--data", "mnist-5k", "--epochs", "4", "--lr", "4e-3"),
        folder=folder,
    )
    assert done.status == 0, done.err
    return folder, done.out
