"""What does not fit, or is damaged, is refused with a message that says what it is."""

import base64
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import BATCH, message, value

NUMBERS = [0.5] * 20
ROWS = [NUMBERS] * BATCH
LABELS = [1] * BATCH

WRONG = {
    "too short": (
        ["predict", NUMBERS[1:]],
        "input has the wrong shape. Got: (19). Expected: (1,20).",
    ),
    "too wide": (
        ["predict", [[*NUMBERS, 0]]],
        "input has the wrong shape. Got: (21). Expected: (20).",
    ),
    "uneven": (
        ["predict", [NUMBERS, NUMBERS[1:]]],
        "input has the wrong shape. Got: (19). Expected: (20).",
    ),
    "no input": (
        ["predict"],
        "input has the wrong shape. Got: (1). Expected: (1,20).",
    ),
    "text": (
        ["predict", ["x"] * 20],
        "input has a wrong value. Got: x. Expected: float32.",
    ),
    "null": (
        ["predict", [None] * 20],
        "input has a wrong value. Got: null. Expected: float32.",
    ),
    "another batch": (
        ["trainStep", ROWS[1:], LABELS[1:]],
        "train_step takes other numbers of rows. Got: 15,15. Expected: 16.",
    ),
    "fewer labels": (
        ["trainStep", ROWS, LABELS[1:]],
        "train_step takes other numbers of rows. Got: 16,15. Expected: 16.",
    ),
    "half a label": (
        ["trainStep", ROWS, [0.5] * BATCH],
        "target has a wrong value. Got: 0.5. Expected: int64.",
    ),
    "another setting": (
        ["trainStep", ROWS, LABELS, {"rate": 1}],
        "train_step has no such setting. Got: rate. Expected: lr,eps.",
    ),
    "text as a setting": (
        ["trainStep", ROWS, LABELS, {"lr": "1"}],
        "lr has a wrong value. Got: 1. Expected: float64.",
    ),
    "another function": (
        ["call", "guess", NUMBERS],
        "there is no guess. Got: guess. Expected: predict,train_step.",
    ),
    "state of another shape": (
        ["setState", "4.bias", [1, 2]],
        "4.bias has the wrong shape. Got: (2). Expected: (10).",
    ),
    "step out of range": (
        ["setState", "optimizer.step", 1 << 40],
        "optimizer.step has a wrong value. Got: 1099511627776. Expected: int32.",
    ),
}


@pytest.mark.parametrize("worker", [False, True])
def test_what_does_not_fit(host, digits, worker):
    before, after = ["call", "predict", ROWS], ["predict", ROWS]
    calls = [before, *(call for call, _ in WRONG.values()), after]
    found = value(host.run("calls", digits.folder, calls=calls, worker=worker))
    told = {name: message(one) for name, one in zip(WRONG, found[1:-1], strict=True)}
    assert told == {name: text for name, (_, text) in WRONG.items()}
    assert found[0] == found[-1]


def test_a_label_out_of_range_changes_nothing(host, digits):
    names = [one["name"] for one in manifest(digits.folder)["state"]]
    states = [["state", name] for name in names]
    wrong = ["trainStep", ROWS, [10] * BATCH]
    found = value(host.run("calls", digits.folder, calls=[*states, wrong, *states]))
    text = message(found[len(names)])
    assert text.startswith("train_step met a wrong index. Got: ")
    assert "conftest.py:" in text
    assert found[: len(names)] == found[len(names) + 1 :]


def test_nothing_can_be_done_after_the_end(host, digits):
    calls = [["dispose"], ["predict", NUMBERS], ["state", "4.bias"], ["dispose"]]
    found = value(host.run("calls", digits.folder, calls=calls))
    assert message(found[1]) == "the net is disposed of. Got: a call. Expected: none."
    assert message(found[2]) == "the net is disposed of. Got: a call. Expected: none."


# --- damaged exports


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def changed_manifest(folder, **changes):
    return json.dumps({**manifest(folder), **changes})


def test_a_changed_program(host, digits):
    change = {"file": "program.wasm", "flip": -1}
    options = {"features": ["simd128"]}
    found = host.run("changed", digits.folder, change=change, options=options)
    assert message(found).startswith("program.wasm is damaged. Got: ")


@pytest.mark.parametrize("change", [{"flip": -1}, {"cut": 1}, {"text": ""}])
def test_changed_weights(host, digits, change):
    change["file"] = "weights.safetensors"
    found = message(host.run("changed", digits.folder, change=change))
    expected = manifest(digits.folder)["weights"]["sha256"]
    assert found.startswith("weights.safetensors is damaged. Got: ")
    assert found.endswith(f"Expected: {expected}.")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cut": 1}, "the weights of "),
        ({"text": ""}, "the weights are damaged. Got: "),
        ({"text": "<!doctype html>"}, "the weights are damaged. Got: "),
    ],
)
def test_changed_weights_where_nothing_can_be_hashed(node, digits, change, expected):
    change |= {"file": "weights.safetensors", "insecure": True}
    found = node.run("changed", digits.folder, change=change)
    assert message(found).startswith(expected)


def test_a_changed_program_where_nothing_can_be_hashed(node, digits):
    change = {"file": "program.relaxed.wasm", "cut": 9, "insecure": True}
    found = message(node.run("changed", digits.folder, change=change))
    assert found.startswith(f"{digits.folder} cannot be loaded. Got: CompileError")


def test_nothing_to_hash_with_is_no_obstacle(node, digits):
    change = {"insecure": True}
    assert value(node.run("changed", digits.folder, change=change))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"version": 2},
            "this is no export that can be loaded. Got: plait 2. Expected: plait 1.",
        ),
        (
            {"format": "other", "version": 1},
            "this is no export that can be loaded. Got: other 1. Expected: plait 1.",
        ),
    ],
)
def test_another_format(host, digits, changes, expected):
    text = changed_manifest(digits.folder, **changes)
    change = {"file": "manifest.json", "text": text}
    assert message(host.run("changed", digits.folder, change=change)) == expected


@pytest.mark.parametrize("text", ["<!doctype html>", "", '{"format": "pl'])
def test_something_else_than_a_manifest(host, digits, text):
    change = {"file": "manifest.json", "text": text}
    found = message(host.run("changed", digits.folder, change=change))
    assert " cannot be loaded. Got: SyntaxError: " in found


def test_a_manifest_that_leads_out_of_memory(host, digits):
    state = manifest(digits.folder)["state"]
    state[0]["at"] = 1 << 31
    text = changed_manifest(digits.folder, state=state)
    change = {"file": "manifest.json", "text": text}
    found = message(host.run("changed", digits.folder, change=change))
    assert " cannot be loaded. Got: RangeError: " in found


def test_a_missing_folder(page, node, digits, tmp_path):
    found = message(page.run("about", digits.folder, options={}, elsewhere="nothing"))
    assert found.endswith(
        "nothing/manifest.json cannot be had. Got: 404. Expected: 200."
    )
    found = message(node.run("about", digits.folder, elsewhere="nothing"))
    assert found.startswith("nothing cannot be loaded. Got: Error: ENOENT")


def test_a_folder_may_end_with_a_slash(host, digits):
    folder = host.address(digits.folder) + "/"
    assert value(host.run("about", digits.folder, elsewhere=folder))["threads"] == 1


def test_missing_features(host, digits):
    found = message(host.run("about", digits.folder, options={"features": ["simd256"]}))
    assert found == (
        "no program can run here. Got: simd256. "
        "Expected: simd128,simd128,relaxed-simd,simd128,relaxed-simd,threads."
    )


# --- weights from elsewhere


def restored(host, digits, path):
    weights = base64.b64encode(path.read_bytes()).decode()
    return host.run("train", digits.folder, weights=weights, batches=[])


def test_weights_of_another_net(host, digits, tmp_path):
    path = tmp_path / "weights.safetensors"
    arrays = load_file(digits.folder / "weights.safetensors")
    save_file({**arrays, "more": np.zeros(3)}, path)
    assert value(restored(host, digits, path))
    save_file({**arrays, "4.bias": np.zeros(9, np.float32)}, path)
    assert message(restored(host, digits, path)) == (
        "the weights of 4.bias do not fit. Got: F32 (9), 36 bytes. "
        "Expected: F32 (10), 40 bytes."
    )
    save_file({**arrays, "4.bias": np.zeros(10, np.int32)}, path)
    assert message(restored(host, digits, path)) == (
        "the weights of 4.bias do not fit. Got: I32 (10), 40 bytes. "
        "Expected: F32 (10), 40 bytes."
    )
    del arrays["4.bias"]
    save_file(arrays, path)
    text = message(restored(host, digits, path))
    assert text.startswith("weights are missing. Got: ")
    assert text.endswith("Expected: 4.bias.")
    file = (digits.folder / "weights.safetensors").read_bytes()
    path.write_bytes(file[:-8])
    text = message(restored(host, digits, path))
    assert text.startswith("the weights of ")
    assert " do not fit. Got: " in text
    path.write_bytes(b"hello")
    assert message(restored(host, digits, path)).startswith("the weights are damaged. ")
