"""The command `plait`, run as its users run it: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


class Done:
    """What a command printed, and its status."""

    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout
        self.err = process.stderr


def environment(**more):
    # A width of the terminal must not matter; threads of BLAS only get in the way.
    return {**os.environ, "COLUMNS": "40", "OPENBLAS_NUM_THREADS": "1", **more}


@pytest.fixture(scope="session")
def plait_command():
    """Run `plait` with arguments in a folder."""

    def run(*arguments, folder=None, env=None):
        return Done(
            subprocess.run(
                [sys.executable, "-W", "error", "-m", "plait", *map(str, arguments)],
                capture_output=True,
                text=True,
                cwd=folder,
                env=environment(**(env or {})),
                timeout=100,
            )
        )

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, plait_command):
    """A folder with a model, trained for a moment on the small data, and the output."""
    folder = tmp_path_factory.mktemp("trained")
    done = plait_command(
        *("train", "digits", "--data", "mnist-5k", "--epochs", "4", "--lr", "4e-3"),
        folder=folder,
    )
    assert done.status == 0, done.err
    return folder, done.out
