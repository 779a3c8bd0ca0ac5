"""IDX files: the array format in which MNIST and its relatives are published.

    0  0  type  ndim | size of each axis, uint32 | elements, row-major

All numbers are big-endian. The reader trusts nothing in the file: it never allocates
more than it has really read, nor more than its limit.

Read first: `read_idx`, `write_idx`.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "The IDX file
format".
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError, FileFormatError, ShapeError

_DTYPE_OF_CODE: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODE_OF_DTYPE = {dtype: code for code, dtype in _DTYPE_OF_CODE.items()}
# The format allows 255 axes; NumPy 1 allows 32.
_MOST_AXES = 32
_LIMIT = 1 << 31
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(
    source: str | os.PathLike[str] | bytes, *, limit: int = _LIMIT
) -> NDArray[Any]:
    """Read an IDX file, compressed with gzip or not.

    Args:
        source: a path, or the content of a file. Compression is seen from the content.
        limit: the largest size in bytes that the elements may have, so that a small
            hostile file cannot fill the memory.

    Returns:
        A writable array in the machine's byte order: uint8, int8, int16, int32,
        float32 or float64.

    Raises:
        FileFormatError: the file is damaged, truncated, too large, has bytes left over,
            or is not an IDX file.
        OSError: the file cannot be opened.

    Special cases: ndim 0 is one element; an axis of size 0 gives an empty array.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), "<bytes>", limit)
    with open(source, "rb") as stream:
        return _read(stream, os.fspath(source), limit)


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array as an IDX file, compressed with gzip if the name ends in `.gz`.

    The same array always gives the same bytes.

    Args:
        path: the file; an existing one is replaced.
        array: uint8, int8, int16, int32, float32 or float64, in any byte order.

    Raises:
        DTypeError: IDX has no such element type. Convert with `astype` first.
        ShapeError: more than 32 axes, or an axis of 2**32 or more.
    """
    content = encode_idx(array)
    if Path(path).suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    Path(path).write_bytes(content)


def encode_idx(array: NDArray[Any]) -> bytes:
    """Return the bytes of an uncompressed IDX file; see `write_idx`."""
    array = np.asarray(array)
    code = _CODE_OF_DTYPE.get(array.dtype.newbyteorder(">"))
    if code is None:
        raise DTypeError(
            "[write_idx] the IDX format has no such element type",
            got=str(array.dtype),
            expected=", ".join(dtype.name for dtype in _CODE_OF_DTYPE),
            fix="convert with astype first",
        )
    if array.ndim > _MOST_AXES or any(size >= 1 << 32 for size in array.shape):
        raise ShapeError(
            "[write_idx] the array does not fit the IDX format",
            got=f"shape {array.shape}",
            expected=f"at most {_MOST_AXES} axes, each below 2**32",
        )
    header = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(_DTYPE_OF_CODE[code]).tobytes()


def _read(stream: BinaryIO, name: str, limit: int) -> NDArray[Any]:
    packed = stream.read(2) == _GZIP_MAGIC
    stream.seek(0)
    if not packed:
        return _decode(stream, name, limit)
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            # Reading past the elements, to see that nothing follows them, also makes
            # gzip compare its own checksum.
            return _decode(unpacked, name, limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileFormatError(
            f"[read_idx] {name}: the gzip compression is damaged or cut off",
            got=str(error),
            fix="get the file again",
        ) from error


def _decode(stream: BinaryIO | gzip.GzipFile, name: str, limit: int) -> NDArray[Any]:
    dtype, shape = _decode_header(stream, name)
    size = math.prod(shape) * dtype.itemsize
    if size > limit:
        raise FileFormatError(
            f"[read_idx] {name}: the header announces too much",
            got=f"shape {shape} of {dtype.name}: {size} bytes",
            expected=f"at most {limit} bytes",
            fix="if the file can be trusted, raise `limit`",
        )
    content = _read_up_to(stream, size + 1)
    if len(content) != size:
        cut_off = len(content) < size
        raise FileFormatError(
            f"[read_idx] {name}: {'cut off' if cut_off else 'bytes follow the data'}",
            got=f"{len(content)} bytes" if cut_off else f"more than {size} bytes",
            expected=f"{size} bytes for shape {shape} of {dtype.name}",
            fix="get the file again",
        )
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # empty, but with other axes beyond what NumPy counts
        raise FileFormatError(
            f"[read_idx] {name}: no array can have the announced shape",
            got=f"shape {shape}",
        ) from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _decode_header(
    stream: BinaryIO | gzip.GzipFile, name: str
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPE_OF_CODE:
        raise FileFormatError(
            f"[read_idx] {name}: not an IDX file",
            got=f"first bytes {magic.hex(' ') or '(none)'}",
            expected="00 00, then one of 08 09 0b 0c 0d 0e, then the number of axes",
        )
    ndim = magic[3]
    if ndim > _MOST_AXES:
        raise FileFormatError(
            f"[read_idx] {name}: too many axes",
            got=str(ndim),
            expected=f"at most {_MOST_AXES}",
        )
    sizes = _read_up_to(stream, 4 * ndim)
    if len(sizes) < 4 * ndim:
        raise FileFormatError(
            f"[read_idx] {name}: cut off within the header",
            got=f"{len(sizes)} bytes of axis sizes",
            expected=f"{4 * ndim} bytes for {ndim} axes",
            fix="get the file again",
        )
    return _DTYPE_OF_CODE[magic[2]], struct.unpack(f">{ndim}I", sizes)


def _read_up_to(stream: BinaryIO | gzip.GzipFile, size: int) -> bytearray:
    """Read in small steps: `read(size)` may allocate all of `size` beforehand."""
    content = bytearray()
    while len(content) < size:
        piece = stream.read(min(_CHUNK, size - len(content)))
        if not piece:
            break
        content += piece
    return content
