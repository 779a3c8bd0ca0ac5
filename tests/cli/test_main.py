"""The command as a whole: help, statuses, messages, and how it is interrupted."""

import signal
import subprocess
import sys

import pytest

import plait
from plait.cli import train

from .conftest import environment


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        *(["train", job, "--help"] for job in train.JOBS),
        ["predict", "--help"],
        ["show", "--help"],
        ["profile", "--help"],
        ["plan", "--help"],
        ["doctor", "--help"],
    ],
)
def test_help_fits_in_80_columns(plait_here, tmp_path, arguments):
    done = plait_here(*arguments, folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: plait")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_the_help_names_every_command(plait_here, plait_command):
    out = plait_here("--help").out
    for name in (
        "train",
        "predict",
        "show",
        "profile",
        "plan",
        "doctor",
        "--version",
        "--traceback",
    ):
        assert f"\n  {name}" in out
    without = plait_command()
    assert (without.status, without.out, without.err) == (2, out, "")


def test_the_version(plait_here):
    assert plait_here("--version").out == f"plait {plait.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["trian"],
            "plait: error: there is no command 'trian'; did you mean 'train'?\n",
        ),
        (["xyz"], "plait: error: there is no command 'xyz'\n"),
        (["--fast"], "plait: error: unrecognized arguments: --fast\n"),
        (
            ["train", "minst"],
            "plait train: error: 'minst' is neither an example nor a Python file; did "
            "you mean 'mnist'?\n",
        ),
        (
            ["train"],
            "plait train: error: name an example or a Python file\n",
        ),
        (
            ["train", "mnist", "--epochs", "0"],
            "plait train mnist: error: argument --epochs: invalid positive integer "
            "value: '0'\n",
        ),
        (
            ["train", "mnist", "--epoch", "1"],
            "plait train mnist: error: unrecognized arguments: --epoch 1\n",
        ),
        (
            ["predict", "--model"],
            "plait predict: error: argument --model: expected one",
        ),
        (
            ["show", "--stage", "x"],
            "plait show: error: argument --stage: invalid choice: 'x'",
        ),
        (["doctor", "x"], "plait doctor: error: unrecognized arguments: x\n"),
    ],
)
def test_arguments_that_make_no_sense(plait_here, arguments, message):
    done = plait_here(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(message)
    assert "--help`." in done.err.splitlines()[-1]


def test_an_error_is_a_message_and_with_traceback_more(
    plait_here, plait_command, tmp_path
):
    arguments = ("train", "mnist", "--data", tmp_path / "none")
    done = plait_here(*arguments)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "plait: error: [digits] no such folder\n"
        f"  got: {tmp_path / 'none'}\n"
        "  expected: 'mnist', 'mnist-5k', or a folder with the four MNIST files\n"
    )
    done = plait_command("--traceback", *arguments)
    assert done.status == 1
    assert done.err.startswith("Traceback")
    assert "DataError" in done.err


def test_ctrl_c_ends_with_its_status(tmp_path):
    script = tmp_path / "long.py"
    script.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "plait", "train", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "\ninterrupted\n")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    script = tmp_path / "many.py"
    script.write_text("for i in range(100_000): print('line', i)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "plait", "train", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "")
