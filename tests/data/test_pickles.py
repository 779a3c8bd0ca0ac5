"""Pickles are read without running them: plain values and arrays, and nothing else."""

import contextlib
import io
import os
import pickle
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.data import read_pickle
from plait.errors import FileFormatError

VALUES = {
    "numbers": [0, 1, -1, 255, 65536, -(2**40), 10**30, 1.5, True, False, None],
    "text": "grüße\n\\ \U0001f600",
    b"bytes": b"\x00\xff",
    3: ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "nested": {"empty": {}, "list": [[], [{}]]},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol(protocol):
    assert read_pickle(pickle.dumps(VALUES, protocol)) == VALUES


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
        np.array([1, 2], ">i4"),
        np.float64(2.5),
    ],
)
def test_arrays_of_every_protocol(array, protocol):
    got = read_pickle(pickle.dumps({"a": array, "same": array}, protocol))
    np.testing.assert_array_equal(got["a"], array)
    np.testing.assert_array_equal(got["same"], array)
    assert np.shape(got["a"]) == np.shape(array)
    assert np.asarray(got["a"]).dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


def test_texts_of_python_2_are_bytes():
    python2 = b"\x80\x02}q\x00U\x04dataq\x01U\x03ab\xffs."
    assert read_pickle(python2) == {b"data": b"ab\xff"}


def test_a_stream_is_left_after_the_pickle():
    stream = io.BytesIO(pickle.dumps(1) + pickle.dumps([2]) + b"rest")
    assert read_pickle(stream) == 1
    assert read_pickle(stream) == [2]
    assert stream.read() == b"rest"


class Runs:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "call", [(os.system, "touch ran"), (subprocess.call, ["touch", "ran"])]
)
def test_nothing_is_run(tmp_path, monkeypatch, protocol, call):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match="holds more than plain values"):
        read_pickle(pickle.dumps([1, Runs(*call)], protocol))
    assert list(tmp_path.iterdir()) == []


def refused(content):
    with pytest.raises(FileFormatError) as error:
        read_pickle(content, name="x.pkl")
    return error.value.message


def test_messages():
    assert refused(pickle.dumps(Runs(os.getcwd))) == (
        "[read_pickle] x.pkl: it holds more than plain values and arrays. Got: "
        f"something made by '{os.getcwd.__module__}.getcwd'. Fix: only a program that "
        "you trust should open it: save the arrays alone with that."
    )
    assert refused(b"") == (
        "[read_pickle] x.pkl: the pickle is damaged or cut off. Got: ValueError: "
        "pickle exhausted before seeing STOP. Fix: get the file again."
    )
    assert refused(pickle.dumps(np.array([None]))) == (
        "[read_pickle] x.pkl: the elements of an array are no plain numbers. Expected: "
        "bools, integers or floats."
    )
    assert refused(pickle.dumps({(1,): 2})) == (
        "[read_pickle] x.pkl: a key of a dictionary is no text and no number. Got: a "
        "tuple."
    )
    assert refused(pickle.dumps({1})) == (
        "[read_pickle] x.pkl: it holds more than plain values and arrays. Got: the "
        "instruction EMPTY_SET."
    )
    assert "parts of it are kept elsewhere" in refused(b"\x80\x02K\x01Q.")
    assert "does not end with one value" in refused(b"\x80\x02.")
    assert "does not end with one value" in refused(b"\x80\x02K\x01K\x02.")
    assert "what it calls is no function" in refused(b"\x80\x02K\x01)R.")
    assert "added to what is no list" in refused(b"\x80\x02K\x01K\x02a.")
    assert "too few elements" in refused(b"\x80\x02K\x01\x86.")


def test_an_announced_size_takes_no_memory():
    # Each announces 2**62 bytes, or memory for as many values.
    huge = (1 << 62).to_bytes(8, "little")
    for content in (
        b"\x80\x04\x8e" + huge,
        b"\x80\x05\x96" + huge,
        b"\x80\x04\x8d" + huge,
    ):
        assert "damaged or cut off" in refused(content + b"abc.")
    assert read_pickle(b"\x80\x02K\x01r\xff\xff\xff\x7f.") == 1  # a place in the memo


def test_a_wrong_shape_of_an_array_is_an_error():
    good = pickle.dumps(np.arange(100, dtype=np.uint8), 2)
    assert good.count(b"Kd\x85") == 1  # the shape (100,)
    for shape in (b"Kc\x85", b"J\xff\xff\xff\x7f\x85", b"J\xff\xff\xff\xff\x85"):
        refused(good.replace(b"Kd\x85", shape))


def test_unfolding_is_bounded():
    # One text of a megabyte, made into bytes by a thousand calls.
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)
    calls = b"c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R" * 1000
    pickled = b"\x80\x02" + text + b"q\x01(" + calls + b"t\x86."
    assert "unfolds to many times its size" in refused(pickled)


@given(st.data())
def test_damage_is_found_or_harmless(data):
    content = bytearray(
        pickle.dumps([VALUES, np.arange(5)], data.draw(st.integers(0, 5)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    cut = data.draw(st.integers(1, len(content)))
    with contextlib.suppress(FileFormatError):
        read_pickle(bytes(content[:cut]))
