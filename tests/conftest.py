"""What all tests share: golden files, and how programs run."""

import os
from pathlib import Path

import hypothesis
import pytest

from plait.settings import settings

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# These are about what is computed, not how: their many small programs are interpreted.
# PLAIT_EXECUTION=compile runs them compiled.
INTERPRETED = (
    *("conformance", "data", "distributions", "models", "nn", "optim", "tensor"),
    "transform",
)
HERE = Path(__file__).parent
GOLDEN = HERE / "golden"


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew instead of comparing with them",
    )


@pytest.fixture
def golden(request):
    """Return `check(name, text)`: compare with tests/golden/<name>.txt, or write it."""

    def check(name, text):
        path = GOLDEN / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"no {path}; run pytest with --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(autouse=True)
def execution(request, monkeypatch):
    """Have programs interpreted where the tests are not about running them."""
    room = request.path.relative_to(HERE).parts[0]
    if room in INTERPRETED and "PLAIT_EXECUTION" not in os.environ:
        monkeypatch.setattr(settings, "execution", "interpret")
