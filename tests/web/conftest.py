"""Two hosts for exports: pages of Chromium, and Node. Both run what is in cases.js.

Read first: `host`, `digits`.
"""

import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import plait
from plait import nn, optim
from plait.errors import optional
from plait.train import TrainStep

from . import chromium

HERE = Path(__file__).parent
NODE = shutil.which("node")
TIME = 30_000  # milliseconds
BATCH = 16


class HostError(Exception):
    """What a case in JavaScript threw."""


# --- Chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, controlled by Playwright; tests are skipped where there is neither."""
    if chromium.found() is None:
        pytest.skip("there is no Chromium: apt install chromium")
    playwright = optional("playwright.sync_api", "test", "control Chromium")
    with (
        chromium.running(tmp_path_factory.mktemp("chromium")) as address,
        playwright.sync_playwright() as library,
    ):
        found = library.chromium.connect_over_cdp(address)
        yield found
        found.close()


@pytest.fixture(scope="session")
def server():
    """A server of the folders of these tests."""
    with chromium.serving() as found:
        found.folders["tests"] = HERE
        yield found


@pytest.fixture
def new_page(browser, server):
    """A function that opens a page; `kind` says with which headers it comes."""
    pages = []

    def opened(kind="isolated"):
        page = browser.contexts[0].new_page()
        pages.append(page)
        page.set_default_timeout(TIME)
        page.goto(f"{server.address}/{kind}/blank.html")
        return page

    yield opened
    for page in pages:
        page.close()


class Page:
    """A page as a host.

    Args:
        page: Playwright's.
        server: where it is from.
        kind: the headers that it came with.
    """

    name = "chromium"

    def __init__(self, page, server, kind):
        self.page, self.server, self.kind = page, server, kind

    def address(self, folder):
        """Return the address of a folder, for scripts."""
        known = self.server.folders
        name = next((name for name, path in known.items() if path == folder), None)
        if name is None:
            name = uuid.uuid4().hex
            known[name] = Path(folder)
        return f"/{self.kind}/{name}"

    def run(self, case, folder, **given):
        """Return what a case of cases.js gives."""
        script = f"/{self.kind}/tests/cases.js"
        return self.page.evaluate(
            """([script, name, given]) => import(script).then((cases) =>
                cases.outcome(name, given))""",
            [script, case, {"folder": self.address(folder), **given}],
        )


class Node:
    """Node as a host."""

    name = "node"

    def address(self, folder):
        """Return the address of a folder, for scripts."""
        return str(folder)

    def run(self, case, folder, **given):
        """Return what a case of cases.js gives."""
        flags = ["--no-warnings", "--experimental-wasm-relaxed-simd"]
        done = subprocess.run(
            [NODE, *flags, str(HERE / "node.mjs"), case],
            input=json.dumps({"folder": self.address(folder), **given}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def page(new_page, server):
    """A page that is cross-origin isolated, as a host."""
    return Page(new_page(), server, "isolated")


@pytest.fixture
def node():
    """Node, as a host."""
    if NODE is None:
        pytest.skip("there is no Node: apt install nodejs")
    return Node()


@pytest.fixture(params=["page", "node"])
def host(request):
    """Each host: `run(case, folder, **given)` gives {value}, or {error: {message}}."""
    return request.getfixturevalue(request.param)


def value(outcome):
    """Return the value of an outcome, which is no error."""
    assert "error" not in outcome, outcome["error"]
    return outcome["value"]


def message(outcome):
    """Return the message of the PlaitError that an outcome is."""
    assert "error" in outcome, outcome
    assert outcome["error"]["name"] == "PlaitError", outcome
    return outcome["error"]["message"]


# --- an export that most tests share


class Digits(NamedTuple):
    """An export, and a training from which it can be told what is right.

    Attributes:
        folder: the export, of a step that has done nothing yet.
        step: makes the training step that was exported, as it was then.
        inputs, labels: of 100 batches.
    """

    folder: Path
    step: object
    inputs: np.ndarray
    labels: np.ndarray


def new_step():
    """Return a training step of a small net with everything that has state."""
    plait.manual_seed(0)
    model = nn.Sequential(
        *(
            nn.Linear(20, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Dropout(0.1),
        ),
        nn.Linear(64, 10),
    )
    optimizer = optim.Adam(model.parameters(), lr=0.002)
    return TrainStep(model, nn.CrossEntropyLoss(), optimizer)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The export of `new_step`, in all builds, for predictions of 1 or 16 rows."""
    folder = tmp_path_factory.mktemp("digits")
    plait.export(
        new_step(),
        folder,
        inputs=(BATCH, 20),
        target=np.zeros(BATCH, np.int64),
        rows=[1, BATCH],
        features=["simd", "relaxed", "threads"],
        labels=[str(digit) for digit in range(10)],
        page=False,
        quiet=True,
    )
    random = np.random.default_rng(0)
    inputs = random.random((100, BATCH, 20), np.float32)
    labels = inputs[..., :10].argmax(-1)
    return Digits(folder, new_step, inputs, labels)
