"""Predictions and trainings in pages and Node have the numbers of Python."""

import base64
import json

import numpy as np
import pytest

import plait
from plait import nn
from plait.export import load_state

from .conftest import BATCH, message, value

BUILDS = {
    "simd": {"features": ["simd128"]},
    "relaxed": {},
    "threads": {"threads": 2},
}
NEAR = 1e-5


def near(found, expected):
    """Whether arrays are equal but for a part of the largest number."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape
    return abs(found - expected).max() <= NEAR * max(abs(expected).max(), 1e-3)


def array(plain):
    if not isinstance(plain, dict):
        return np.array(plain)
    return np.array(plain["list"]).reshape(plain["shape"])


@pytest.fixture(params=BUILDS)
def options(request):
    return BUILDS[request.param]


def test_predictions_of_any_number_of_rows(host, digits, options):
    model = digits.step().model.eval()
    counts = (1, BATCH, 5, 2 * BATCH + 3, 0)
    rows = digits.inputs.reshape(-1, 20)
    given = [["predict", rows[:n].tolist()] for n in counts]
    given.append(
        ["predict", {"kind": "Float32Array", "list": rows[:3].ravel().tolist()}]
    )
    found = value(host.run("calls", digits.folder, options=options, calls=given))
    for n, outcome in zip((*counts, 3), found, strict=True):
        expected = model(plait.asarray(rows[:n])).numpy() if n else np.zeros((0, 10))
        assert outcome["value"]["shape"] == [n, 10]
        assert near(array(outcome["value"]), expected) if n else True


@pytest.fixture(scope="module")
def trained(digits):
    """A hundred losses in Python, and the state after them."""
    step = digits.step()
    pairs = zip(digits.inputs, digits.labels, strict=True)
    losses = [float(step(plait.asarray(x), plait.asarray(y))) for x, y in pairs]
    return losses, step


def batches(digits, begin=0, end=100):
    pairs = zip(digits.inputs[begin:end], digits.labels[begin:end], strict=True)
    return [[x.tolist(), y.tolist()] for x, y in pairs]


def same_state(found, expected):
    """Check a state from a page by Python's, which is by name too."""
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert near(array(found[name]), tensor.numpy()), name


def test_a_hundred_steps(host, digits, options, trained):
    losses, step = trained
    found = value(
        host.run("train", digits.folder, options=options, batches=batches(digits))
    )
    assert np.allclose(found["losses"], losses, rtol=NEAR, atol=0)
    same_state(found["state"], step.state())


def test_a_training_goes_from_python_to_the_page_and_back(
    host, digits, trained, tmp_path
):
    losses, expected = trained
    path = tmp_path / "state.safetensors"
    step, found = digits.step(), []

    def in_python(begin, end):
        pairs = zip(digits.inputs[begin:end], digits.labels[begin:end], strict=True)
        found.extend(float(step(plait.asarray(x), plait.asarray(y))) for x, y in pairs)

    in_python(0, 30)
    step.save(path)
    weights = base64.b64encode(path.read_bytes()).decode()
    there = value(
        host.run(
            "train", digits.folder, weights=weights, batches=batches(digits, 30, 60)
        )
    )
    found += there["losses"]
    path.write_bytes(base64.b64decode(there["saved"]))
    step = digits.step()
    step.load(path)
    in_python(60, 100)
    assert np.allclose(found, losses, rtol=NEAR, atol=0)
    same_state({name: _plain(x) for name, x in step.state().items()}, expected.state())


def test_what_was_left_out_as_it_is_zero_is_zero_again(host, digits):
    content = (digits.folder / "weights.safetensors").read_bytes()
    file = {"kind": "Uint8Array", "list": list(content)}
    batch = batches(digits, 0, 1)[0]
    name = "optimizer.0.weight.exp_avg"
    assert name.encode() not in content
    calls = [
        *(["state", name], ["trainStep", *batch], ["state", name]),
        *(["restore", file], ["state", name], ["trainStep", *batch]),
    ]
    found = [
        one["value"] for one in value(host.run("calls", digits.folder, calls=calls))
    ]
    before, first, between, _, after, again = found
    assert before == after
    assert not np.any(array(before))
    assert np.any(array(between))
    assert first == again


def _plain(tensor):
    return {"list": tensor.numpy().ravel().tolist(), "shape": list(tensor.shape)}


@pytest.mark.parametrize("quantize", ["f16", "int8"])
def test_quantized_weights_are_widened(node, digits, quantize, tmp_path):
    model = digits.step().model
    named = {"inputs": (4, 20), "features": ["simd"], "page": False, "quiet": True}
    plait.export(model, tmp_path, quantize=quantize, **named)
    found = value(node.run("changed", tmp_path, change={}))
    for name, tensor in load_state(tmp_path).items():
        assert np.array_equal(array(found[name]), tensor.numpy())


def test_state_is_read_and_written(host, digits):
    calls = [
        ["setState", "4.bias", list(range(10))],
        ["state", "4.bias"],
        ["setState", "optimizer.step", 7],
        ["state", "optimizer.step"],
        ["predict", digits.inputs[0].tolist()],
        ["setState", "4.weight", [[0] * 64] * 10],
        ["predict", digits.inputs[0].tolist()],
    ]
    found = [
        one["value"] for one in value(host.run("calls", digits.folder, calls=calls))
    ]
    assert found[1] == {"list": [*range(10)], "shape": [10], "kind": "Float32Array"}
    assert found[3] == 7
    # Weights that a program keeps in another order are renewed too.
    assert not np.allclose(array(found[4]), np.arange(10), atol=1e-3)
    assert np.array_equal(array(found[6]), [np.arange(10)] * BATCH)


def test_what_a_net_says_of_itself(host, digits):
    found = value(host.run("about", digits.folder, options={"threads": 2}))
    assert found == {
        "features": ["simd128", "relaxed-simd", "threads"],
        "threads": 2,
        "backend": "wasm",
        "name": "sequential",
        "labels": [str(digit) for digit in range(10)],
    }


def test_what_a_program_has_made_of_weights_is_made_anew(node, tmp_path):
    plait.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256, bias=False), nn.ReLU(), nn.Linear(256, 2))
    named = {"features": ["simd"], "page": False, "quiet": True}
    plait.export(model, tmp_path, inputs=(256, 784), **named)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["modules"][0]["lasting"]
    rows = {"kind": "Float32Array", "list": [1] * (256 * 784)}
    zeros = {"kind": "Float32Array", "list": [0] * (256 * 784)}
    calls = [["predict", rows], ["setState", "0.weight", zeros], ["predict", rows]]
    before, _, after = value(node.run("calls", tmp_path, calls=calls))
    bias = model[2].bias.numpy()
    assert not np.allclose(array(before["value"]), bias)
    assert np.array_equal(array(after["value"]), [bias] * 256)


# --- all kinds of inputs and outputs

DTYPES = {
    "float64": ("Float64Array", [0.1, -2.5, 1e300]),
    "float32": ("Float32Array", [0.5, -2.5, 2.0**100]),
    "int64": ("BigInt64Array", [5, -7, 1 << 40]),
    "int32": ("Int32Array", [5, -7, 1 << 30]),
    "int16": ("Int16Array", [5, -7, 1 << 14]),
    "int8": ("Int8Array", [5, -7, 100]),
    "uint32": ("Uint32Array", [5, 7, 1 << 31]),
    "uint16": ("Uint16Array", [5, 7, 1 << 15]),
    "uint8": ("Uint8Array", [5, 7, 255]),
    "bool": ("Uint8Array", [1, 0, 1]),
}


def doubled(**given):
    """Return each input, and a copy of it backwards."""
    return {name: plait.stack([x, plait.flip(x)]) for name, x in given.items()}


def test_every_dtype_goes_in_and_out(node, tmp_path):
    examples = {name: np.zeros(3, name) for name in DTYPES}
    named = {"features": ["simd"], "page": False, "quiet": True}
    plait.export(doubled, tmp_path, inputs=examples, **named)
    lists = [numbers for _, numbers in DTYPES.values()]
    (found,) = value(node.run("calls", tmp_path, calls=[["call", "doubled", *lists]]))
    for name, (kind, numbers) in DTYPES.items():
        assert found["value"][name] == {
            "list": [*numbers, *reversed(numbers)],
            "shape": [2, 3],
            "kind": kind,
        }


def joined(x, y, z):
    """Take inputs of different lengths; return a number and two tensors."""
    return {"sum": plait.sum(x) + z, "rows": plait.matmul(x, y), "y": y * 2}


def test_inputs_and_outputs_of_different_lengths(node, tmp_path):
    named = {"features": ["simd"], "page": False, "quiet": True}
    plait.export(joined, tmp_path, inputs=[(2, 3), (3, 4), ()], **named)
    x, y = [[1, 2, 3], [4, 5, 6]], np.arange(12).reshape(3, 4).tolist()
    calls = [["call", "joined", x, y, 10], ["call", "joined", y, y, 10]]
    found, wrong = value(node.run("calls", tmp_path, calls=calls))
    assert found["value"]["sum"] == 31
    assert np.array_equal(array(found["value"]["rows"]), np.array(x) @ y)
    assert np.array_equal(array(found["value"]["y"]), 2 * np.array(y))
    expected = "x has the wrong shape. Got: (4). Expected: (3)."
    assert message(wrong) == expected
