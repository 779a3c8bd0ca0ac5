"""Exports on the graphics card, in Chromium with a software adapter."""

import base64
import shutil

import numpy as np
import pytest

import plait
from plait.cli.exhibits import RUNTIME

from .conftest import BATCH, message, new_step, value
from .test_numbers import array, near, same_state

STEPS = 100
GRAPHICS = {"backend": "webgpu"}


@pytest.fixture(scope="module")
def graphics(tmp_path_factory):
    """The export of the step that most tests share, with a program for WebGPU."""
    folder = tmp_path_factory.mktemp("graphics")
    plait.export(
        new_step(),
        folder,
        targets=["wasm", "webgpu"],
        inputs=(BATCH, 20),
        target=np.zeros(BATCH, np.int64),
        rows=[1, BATCH],
        features=["simd"],
        page=False,
        quiet=True,
    )
    return folder


@pytest.fixture
def adapter(page):
    """A page that can use WebGPU."""
    found = page.page.evaluate(
        "async () => !!(await globalThis.navigator.gpu?.requestAdapter())"
    )
    if not found:
        pytest.skip("this Chromium has no adapter for WebGPU")
    return page


def test_predictions_of_any_number_of_rows(adapter, graphics):
    model = new_step().model.eval()
    rows = np.random.default_rng(1).random((BATCH + 3, 20), np.float32)
    counts = (1, BATCH, BATCH + 3)
    calls = [["predict", rows[:n].tolist()] for n in counts]
    found = value(adapter.run("calls", graphics, options=GRAPHICS, calls=calls))
    for n, outcome in zip(counts, found, strict=True):
        expected = model(plait.asarray(rows[:n])).numpy()
        assert near(array(outcome["value"]), expected)


def test_training_as_in_python(adapter, graphics, digits, tmp_path):
    step = new_step()
    pairs = [*zip(digits.inputs, digits.labels, strict=True)][:STEPS]
    losses = [float(step(plait.asarray(x), plait.asarray(y))) for x, y in pairs]
    batches = [[x.tolist(), y.tolist()] for x, y in pairs]
    found = value(adapter.run("train", graphics, options=GRAPHICS, batches=batches))
    assert np.allclose(found["losses"], losses, rtol=1e-5, atol=0)
    same_state(found["state"], step.state())
    # What the page has saved is read here.
    path = tmp_path / "saved.safetensors"
    path.write_bytes(base64.b64decode(found["saved"]))
    again = new_step()
    again.load(path)
    same_state(found["state"], again.state())


def test_a_wrong_label_changes_nothing(adapter, graphics, digits):
    x, y = digits.inputs[0].tolist(), digits.labels[0].tolist()
    wrong = [10, *y[1:]]
    calls = [
        ["trainStep", x, wrong],
        ["trainStep", x, y],
    ]
    bad, good = value(adapter.run("calls", graphics, options=GRAPHICS, calls=calls))
    assert bad["error"]["message"].startswith("train_step met a wrong index")
    loss = float(new_step()(plait.asarray(digits.inputs[0]), plait.asarray(y)))
    assert np.isclose(good["value"]["loss"], loss, rtol=1e-5)


def test_about(adapter, graphics):
    found = value(adapter.run("about", graphics, options=GRAPHICS))
    assert found["backend"] == "webgpu"
    assert found["features"] == ["webgpu"]


def test_without_a_card_it_is_wasm(node, graphics):
    found = value(node.run("about", graphics, options=GRAPHICS))
    assert found["backend"] == "wasm"


def test_exports_without_a_program_for_it_are_errors(node, tmp_path):
    model = new_step().model.eval()
    options = {"features": ["simd"], "page": False, "quiet": True}
    plait.export(model, tmp_path, inputs=(BATCH, 20), **options)
    text = message(node.run("about", tmp_path, options=GRAPHICS))
    assert "this export has no program for WebGPU" in text
    assert 'Expected: targets=["webgpu"]' in text
    # With the script from elsewhere, such as a package.
    shutil.copy(RUNTIME / "webgpu.js", tmp_path)
    assert message(node.run("about", tmp_path, options=GRAPHICS)) == text


def test_wrong_shapes_are_errors(adapter, graphics):
    calls = [["predict", [[1.0, 2.0]]]]
    (found,) = value(adapter.run("calls", graphics, options=GRAPHICS, calls=calls))
    assert found["error"]["name"] == "PlaitError"
    assert "wrong shape" in found["error"]["message"]
