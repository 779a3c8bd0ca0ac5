"""Development commands that need nothing but Python 3.11 or later.

usage: python3 tools/dev.py COMMAND [arguments]

  train    run `plait train mnist [arguments]`: a first look at plait
  test     format check, lint, types, then pytest; [arguments] go to pytest
  check    format check, lint, types and type stub only
  format   sort imports, fix what lint can fix, and format the source
  docs     build the documents into docs/_build/html

The commands run in `.venv` beside this folder. It is made, and plait installed in it in
editable mode, at the first use and again whenever pyproject.toml changes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    name, *rest = arguments
    command = COMMANDS.get(name)
    if command is None:
        print(f"unknown command {name!r}\n\n{__doc__.strip()}", file=sys.stderr)
        return 2
    if rest and name not in ("train", "test"):
        print(f"{name} takes no arguments", file=sys.stderr)
        return 2
    return command(rest)


def train(arguments: list[str]) -> int:
    """Train the digits example."""
    return install("jobs") or run("-m", "plait", "train", "mnist", *arguments)


def test(arguments: list[str]) -> int:
    """Run every check, stopping at the first that fails."""
    return check([]) or run("-m", "pytest", "-n", "2", *arguments)


def check(_: list[str]) -> int:
    """Run the checks that only read the source."""
    return (
        install("dev")
        or run("-m", "ruff", "check")
        or run("-m", "ruff", "format", "--check")
        or run("-m", "mypy")
        or run("tools/stubs.py", "--check")
    )


def format_source(_: list[str]) -> int:
    """Rewrite the source in the project's format."""
    return (
        install("dev")
        or run("-m", "ruff", "check", "--fix-only")
        or run("-m", "ruff", "format")
    )


def docs(_: list[str]) -> int:
    """Build the documents; a warning is an error."""
    source, target = "docs", "docs/_build/html"
    return install("dev") or run("-m", "sphinx", "-W", "-q", source, target)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "test": test,
    "check": check,
    "format": format_source,
    "docs": docs,
}


def run(*arguments: str) -> int:
    """Run the environment's Python in the project's folder; return its exit status."""
    shown = arguments[1:] if arguments[0] == "-m" else arguments
    print("+", *shown, file=sys.stderr, flush=True)
    return subprocess.run([PYTHON, *arguments], cwd=ROOT).returncode


def install(extra: str) -> int:
    """Make the environment hold plait with an extra; return 0 if it does.

    A stamp file with the hash of pyproject.toml says that this was done already.
    """
    stamp = VENV / f"plait-{extra}.stamp"
    recipe = f"{ROOT}\n".encode() + (ROOT / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(recipe).hexdigest()
    if os.path.exists(PYTHON) and stamp.exists() and stamp.read_text() == digest:
        return 0
    status = create_environment()
    if status == 0:
        print(f"installing plait with its {extra!r} extra", file=sys.stderr, flush=True)
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
        status = subprocess.run(
            [PYTHON, "-m", "pip", "install", *quiet, "--editable", f".[{extra}]"],
            cwd=ROOT,
        ).returncode
    if status == 0:
        stamp.write_text(digest)
    return status


def create_environment() -> int:
    """Make `.venv` unless there is one with a working pip; return 0 if there is."""
    if os.path.exists(PYTHON):
        probe = [PYTHON, "-m", "pip", "--version"]
        if subprocess.run(probe, capture_output=True).returncode == 0:
            return 0
    print(f"making {VENV}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        print(
            f"{done.stdout.strip()}\n\n"
            f"{sys.executable} cannot make a virtual environment.\n"
            "On Debian and Ubuntu, `apt install python3-venv` adds what is missing;\n"
            "elsewhere, install Python from python.org, or try another python3.",
            file=sys.stderr,
        )
    return done.returncode


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("plait needs Python 3.11 or later")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
