"""Weights in files: whole round trips, and damaged files of every kind."""

import contextlib
import json
import os
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plait
from plait import errors, nn

ARRAYS = {
    "float64": np.linspace(-1, 1, 6).reshape(2, 3),
    "float32": np.float32([np.nan, np.inf, -0.0]),
    "float16": np.float16([[1.5]]),
    "bfloat16": np.array([1.0, -2.5], ml_dtypes.bfloat16),
    "int8": np.int8([-128, 127]),
    "uint64": np.uint64([2**64 - 1]),
    "int32": np.array(7, np.int32),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(12)[::-2],
    "big endian": np.arange(4).astype(">i4"),
    "ä.b/c": np.ones(1),
}


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, x in expected.items():
        y = found[name].numpy()
        assert y.dtype == x.dtype.newbyteorder("=")
        assert y.shape == x.shape
        assert y.tobytes() == np.asarray(x, y.dtype).tobytes(), name


def test_arrays_survive(tmp_path):
    path = tmp_path / "weights.safetensors"
    nn.save_weights(ARRAYS, path, {"note": "ü"})
    assert_same(nn.load_weights(path), ARRAYS)
    assert list(nn.load_weights(path)) == sorted(ARRAYS)
    assert nn.load_metadata(path) == {"note": "ü"}
    nn.save_weights({n: plait.asarray(x) for n, x in ARRAYS.items()}, str(path))
    assert_same(nn.load_weights(str(path)), ARRAYS)
    assert nn.load_metadata(path) == {}
    nn.save_weights({}, path)
    assert nn.load_weights(path) == {}


def test_modules_survive(tmp_path):
    path = tmp_path / "weights.safetensors"
    source = nn.Sequential(nn.Linear(3, 4).bfloat16(), nn.BatchNorm1d(4))
    target = nn.Sequential(nn.Linear(3, 4).bfloat16(), nn.BatchNorm1d(4))
    nn.save_weights(source, path)
    target.load_state_dict(nn.load_weights(path))
    assert_same(
        target.state_dict(), {n: x.numpy() for n, x in source.state_dict().items()}
    )


def test_what_is_loaded_does_not_depend_on_the_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    nn.save_weights({"x": np.arange(4.0)}, path)
    loaded = nn.load_weights(path)["x"]
    nn.save_weights({"x": np.zeros(4)}, path)
    assert loaded.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    nn.save_weights({"x": np.arange(4.0)}, path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        nn.save_weights({"x": np.zeros(4)}, path)
    assert os.listdir(tmp_path) == ["weights.safetensors"]
    assert nn.load_weights(path)["x"].tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("source", "metadata", "error", "message"),
    [
        ({"x": 3.0}, None, errors.ArgumentTypeError, "'x' is no tensor"),
        ({3: np.zeros(1)}, None, errors.ArgumentTypeError, "3, a int"),
        (
            [np.zeros(1)],
            None,
            errors.ArgumentTypeError,
            "source must be a Module or a dict. Got: a list",
        ),
        ({}, {"a": 3}, errors.ArgumentTypeError, "3, a int"),
        ({"__metadata__": np.zeros(1)}, None, errors.ArgumentError, "keeps this name"),
        ({"x": np.zeros(1, complex)}, None, errors.DTypeError, "complex128"),
    ],
)
def test_what_cannot_be_saved(tmp_path, source, metadata, error, message):
    with pytest.raises(error, match=message):
        nn.save_weights(source, tmp_path / "weights.safetensors", metadata)
    assert os.listdir(tmp_path) == []


def test_places_where_nothing_can_be_saved(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.save_weights({}, tmp_path / "no folder" / "weights.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        nn.save_weights({}, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


DAMAGED = {
    "empty": b"",
    "short": b"abc",
    "header longer than the file": struct.pack("<Q", 100) + b"{}",
    "huge header": struct.pack("<Q", 2**63) + b"{}",
    "greatest header": b"\xff" * 8 + b"{}",
    "no JSON": file_of(b"not JSON"),
    "no UTF-8": file_of(b'{"\xff\xfe":1}'),
    "a list": file_of([]),
    "a number": file_of(b"5"),
    "deep": file_of(b"[" * 100_000),
    "no entry": file_of({"x": 5}),
    "no dtype": file_of({"x": {"shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown dtype": file_of({"x": entry("F31")}, b"\0" * 8),
    "wrong size": file_of({"x": entry("F64")}, b"\0" * 8),
    "negative size": file_of({"x": entry(shape=(-2,))}, b"\0" * 8),
    "huge size": file_of({"x": entry(shape=(2**62, 2**62))}, b"\0" * 8),
    "huge offset": file_of({"x": entry(offsets=(0, 2**64 - 1))}, b"\0" * 8),
    "backward": file_of({"x": entry(offsets=(8, 0))}, b"\0" * 8),
    "past the end": file_of({"x": entry(offsets=(8, 16))}, b"\0" * 8),
    "cut off": file_of({"x": entry()}, b"\0" * 7),
    "more than said": file_of({"x": entry()}, b"\0" * 9),
    "overlap": file_of({"x": entry(), "y": entry(offsets=(4, 12))}, b"\0" * 12),
    "hole": file_of({"x": entry(), "y": entry(offsets=(12, 20))}, b"\0" * 20),
    "metadata of numbers": file_of({"__metadata__": {"a": 1}}),
    "a type that plait has not": file_of({"x": entry("F8_E4M3", (8,))}, b"\0" * 8),
    "another format": b"\x80\x04\x95" + b"\0" * 100,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(errors.FileFormatError, match=r"weights\.safetensors"):
        nn.load_weights(path)
    if damage != "a type that plait has not":
        with pytest.raises(errors.FileFormatError, match=r"weights\.safetensors"):
            nn.load_metadata(path)


def test_no_file(tmp_path):
    for load in (nn.load_weights, nn.load_metadata):
        with pytest.raises(FileNotFoundError, match="none"):
            load(tmp_path / "none")
        with pytest.raises(errors.FileFormatError, match="a folder"):
            load(tmp_path)


@given(st.data())
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_changed_bytes_give_an_error_or_tensors(tmp_path, data):
    path = tmp_path / "weights.safetensors"
    nn.save_weights(
        {"a": np.arange(6.0).reshape(2, 3), "b": np.int32([1, 2])}, path, {"k": "v"}
    )
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, header - 1))
        kind = data.draw(st.sampled_from(["set", "drop", "add", "cut", "double"]))
        if kind == "set" and where < len(content):
            content[where] = data.draw(st.integers(0, 255))
        elif kind == "drop":
            del content[where : where + data.draw(st.integers(1, 9))]
        elif kind == "add":
            content[where:where] = data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "cut":
            del content[where:]
        else:
            content[where:where] = content[where : where + 40]
    path.write_bytes(content)
    for load in (nn.load_weights, nn.load_metadata):
        with contextlib.suppress(errors.FileFormatError):
            load(path)
