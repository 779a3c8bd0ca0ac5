"""IDX files: exact bytes, round trips, and every kind of damage."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from plait.data.idx import encode_idx, read_idx, write_idx
from plait.errors import DTypeError, FileFormatError, ShapeError

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]
GOOD = encode_idx(np.arange(24, dtype=np.int16).reshape(2, 3, 4))


def header(code, *shape, ndim=None):
    ndim = len(shape) if ndim is None else ndim
    return struct.pack(f">4B{len(shape)}I", 0, 0, code, ndim, *shape)


# --- what is written is read


def test_the_bytes_are_those_of_the_format():
    content = encode_idx(np.array([[1, -2, 300]], np.int16))
    assert content.hex(" ") == ("00 00 0b 02 00 00 00 01 00 00 00 03 00 01 ff fe 01 2c")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", "<>")
def test_every_element_type_survives_in_native_order(dtype, order):
    array = np.array([[0, 1, 100], [2, 3, 127]], np.dtype(dtype).newbyteorder(order))
    got = read_idx(encode_idx(array))
    assert got.dtype == np.dtype(dtype)
    assert got.dtype.isnative
    assert got.flags.writeable
    np.testing.assert_array_equal(got, array)


@settings(deadline=None)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: npst.arrays(
            dtype, npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
        )
    ),
    packed=st.booleans(),
)
def test_round_trip(array, packed):
    content = encode_idx(array)
    got = read_idx(gzip.compress(content) if packed else content)
    assert (got.shape, got.dtype) == (array.shape, array.dtype)
    assert got.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["a-idx2-ubyte", "a-idx2-ubyte.gz"])
def test_files_are_packed_by_their_name_and_always_alike(tmp_path, name):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)[:, ::-1]
    write_idx(tmp_path / name, array)
    first = (tmp_path / name).read_bytes()
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")
    np.testing.assert_array_equal(read_idx(tmp_path / name), array)
    np.testing.assert_array_equal(read_idx(str(tmp_path / name)), array)
    write_idx(tmp_path / name, array)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint16", "float16", "O", "U3"])
def test_other_element_types_cannot_be_written(dtype):
    with pytest.raises(DTypeError, match="astype"):
        encode_idx(np.zeros(3, dtype))


def test_shapes_beyond_the_format_cannot_be_written():
    with pytest.raises(ShapeError, match="2\\*\\*32"):
        encode_idx(np.empty((0, 1 << 32), np.uint8))


# --- what is damaged is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"PK\x03\x04" + bytes(30), "first bytes 50 4b 03 04"),
        (header(0x0A, 1) + b"x", "not an IDX file"),
        (b"\0\1" + GOOD[2:], "not an IDX file"),
        (header(0x08, ndim=255), "too many axes"),
        (header(0x08, *[1] * 33) + b"x", "too many axes"),
        (header(0x08, 1, 2, ndim=3), "cut off within the header"),
        (header(0x08, 5) + b"1234", "cut off. Got: 4 bytes. Expected: 5 bytes"),
        (header(0x0E, 1) + bytes(7), "cut off"),
        (header(0x08, 5) + b"123456", "bytes follow the data"),
        (header(0x08, 0) + b"1", "bytes follow the data"),
        (header(0x0E, *[0xFFFFFFFF] * 32), "announces too much"),
        (header(0x08, 1 << 31, 2), "announces too much"),
        (header(0x08, 0, *[0xFFFFFFFF] * 3), "no array can have"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / "damaged"
    for stored in (content, gzip.compress(content)):
        path.write_bytes(stored)
        with pytest.raises(FileFormatError, match=message) as caught:
            read_idx(path)
        assert str(path) in caught.value.what


@pytest.mark.parametrize(
    "stored",
    [
        b"\x1f\x8b",
        b"\x1f\x8b" + bytes(30),
        gzip.compress(GOOD)[:-4],
        gzip.compress(GOOD)[:-8] + bytes(8),  # a wrong checksum
        gzip.compress(GOOD) + b"left over",
    ],
    ids=["cut", "zeros", "no end", "checksum", "left over"],
)
def test_damaged_compression_is_named(stored):
    with pytest.raises(FileFormatError, match="gzip compression is damaged"):
        read_idx(stored)


def test_a_missing_file_stays_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


def peak_while_refusing(content, **options):
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            read_idx(content, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_false_size_allocates_nothing():
    content = header(0x08, 1 << 31)
    assert peak_while_refusing(content) < 8 << 20
    assert peak_while_refusing(gzip.compress(content)) < 8 << 20


def test_a_gzip_bomb_is_not_unpacked():
    zeros = bytes(64 << 20)
    behind_the_data = gzip.compress(header(0x08, 10) + zeros)
    announced = gzip.compress(header(0x08, len(zeros)) + zeros)
    assert peak_while_refusing(behind_the_data) < 8 << 20
    assert peak_while_refusing(announced, limit=1 << 20) < 8 << 20
    assert len(read_idx(announced)) == len(zeros)


@settings(deadline=None, max_examples=300)
@given(
    packed=st.booleans(),
    cut=st.integers(0, len(GOOD) + 40),
    changes=st.lists(
        st.tuples(st.integers(0, len(GOOD) + 40), st.integers(0, 255)), max_size=4
    ),
    tail=st.binary(max_size=8),
)
def test_random_damage_gives_an_array_or_its_own_error(packed, cut, changes, tail):
    content = bytearray(gzip.compress(GOOD) if packed else GOOD)[:cut]
    for place, value in changes:
        if place < len(content):
            content[place] = value
    try:
        array = read_idx(bytes(content + tail), limit=1 << 20)
    except FileFormatError:
        return
    assert array.nbytes <= 1 << 20


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=64))
def test_random_bytes_give_an_array_or_their_own_error(content):
    for start in (b"", b"\0\0", b"\x1f\x8b\x08"):
        try:
            read_idx(start + content, limit=1 << 20)
        except FileFormatError:
            continue
