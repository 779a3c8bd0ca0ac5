"""Weights in the files of other frameworks: what `plait.nn.read_weights` reads.

    safetensors     anyone's, as plait's own
    torch.save      zip archives, and the pickles before PyTorch 1.6
    HDF5            Keras: .weights.h5, .h5, and .keras, which holds one; needs h5py
    .npz            NumPy's

What a file is, is seen from its content. Nothing in a file is run, and no more memory
is taken than the file has, or a limit allows.

Read first: `read_file`.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import plait

from ..errors import FileFormatError, PlaitError, optional
from .torch_files import read_legacy, read_zip
from .weights import decode_weights

Named = list[tuple[str, NDArray[Any]]]

_ZIP, _HDF5, _PICKLE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80"
_KERAS_WEIGHTS = "model.weights.h5"
_BFLOAT16 = plait.bfloat16.numpy


def read_file(
    source: str | os.PathLike[str] | bytes, prefix: str, limit: int
) -> dict[str, NDArray[Any]]:
    """Return the arrays in a file; see `plait.nn.read_weights`."""
    if isinstance(source, bytes):
        named = _read(io.BytesIO(source), "<bytes>", len(source), limit)
    else:
        name = os.fspath(source)
        if os.path.isdir(source):
            raise _unknown(name, "a folder")
        with open(source, "rb") as stream:
            named = _read(stream, name, os.fstat(stream.fileno()).st_size, limit)
    found = {
        path.removeprefix(prefix): array
        for path, array in named
        if path.startswith(prefix)
    }
    if not found:
        name = "<bytes>" if isinstance(source, bytes) else os.fspath(source)
        raise FileFormatError(
            f"[read_weights] {name}: there are no arrays of that name",
            got=f"prefix {prefix!r}",
            expected=", ".join(path for path, _ in named[:10]) or "a file with arrays",
        )
    return found


def _read(stream: BinaryIO, name: str, size: int, limit: int) -> Named:
    most = max(size, limit)
    try:
        magic = stream.read(9)
        stream.seek(0)
        if magic.startswith(_ZIP):
            return _read_archive(stream, name, most)
        if magic.startswith(_HDF5):
            return _read_hdf5(stream, most)
        if magic.startswith(_PICKLE):
            return read_legacy(stream.read(), name, most)
        if magic[8:9] == b"{":
            tensors = decode_weights(stream.read(), name)
            return [(path, tensor.numpy()) for path, tensor in tensors.items()]
    except (FileFormatError, ImportError) as error:
        if isinstance(error, ImportError) or name in error.what:
            raise
        raise FileFormatError(
            f"[read_weights] {name}: {error.what.removeprefix('[read_weights] ')}",
            got=error.got,
            expected=error.expected,
            fix=error.fix,
        ) from None
    except (PlaitError, MemoryError):
        raise
    # On damaged input zipfile, h5py and NumPy raise a dozen kinds of error.
    except Exception as error:
        raise FileFormatError(
            f"[read_weights] {name}: the file is damaged or cut off",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            fix="get the file again",
        ) from None
    raise _unknown(name, f"first bytes {magic.hex(' ') or '(none)'}")


def _unknown(name: str, got: str) -> FileFormatError:
    return FileFormatError(
        f"[read_weights] {name} is no file of weights of a known kind",
        got=got,
        expected="safetensors, a file of torch.save, HDF5 or .npz",
    )


def _read_archive(stream: BinaryIO, name: str, most: int) -> Named:
    with zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
        if any(path.endswith("data.pkl") for path in names):
            return read_zip(archive, name, most)
        if _KERAS_WEIGHTS in names:
            content = _unpacked(archive, archive.getinfo(_KERAS_WEIGHTS), most)
            return _read_hdf5(io.BytesIO(content), most)
        if any(path.endswith(".npy") for path in names):
            return _read_npz(archive, most)
    raise _unknown(name, "a zip archive without weights")


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.file_size > most:
        raise _too_much(info.filename, info.file_size, most)
    with archive.open(info) as stream:
        # Never more than announced, whatever is in there; and then the checksum.
        content = stream.read(info.file_size)
        if len(content) != info.file_size or stream.read(1):
            raise FileFormatError(
                "[read_weights] a part of the archive is cut off",
                got=repr(info.filename),
            )
    return content


def _too_much(what: str, size: int, most: int) -> FileFormatError:
    return FileFormatError(
        f"[read_weights] {what!r} announces too much",
        got=f"{size} bytes",
        expected=f"at most {most} bytes",
        fix="if the file can be trusted, raise `limit`",
    )


def _read_npz(archive: zipfile.ZipFile, most: int) -> Named:
    named: Named = []
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        content = _unpacked(archive, info, most)
        most -= len(content)
        name = info.filename.removesuffix(".npy")
        named.append((name, _decode_npy(content, name)))
    return named


def _decode_npy(content: bytes, name: str) -> NDArray[Any]:
    """Decode an array: `numpy.load` would allocate whatever the header announces."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, columns_first, dtype = read_header(stream)
    if dtype == np.dtype("V2"):
        dtype = _BFLOAT16
    if dtype.kind not in "biuf" and dtype != _BFLOAT16:
        raise FileFormatError(
            f"[read_weights] {name!r} holds no plain numbers", got=str(dtype)
        )
    start = stream.tell()
    size = math.prod(shape) * dtype.itemsize
    if start + size != len(content):
        raise FileFormatError(
            f"[read_weights] {name!r} has not the announced size",
            got=f"{len(content) - start} bytes",
            expected=f"{size} bytes for shape {shape} of {dtype}",
        )
    flat = np.frombuffer(bytearray(content), dtype, offset=start)
    array = flat.reshape(shape, order="F" if columns_first else "C")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _read_hdf5(stream: BinaryIO, most: int) -> Named:
    library = optional("h5py", "hdf5", "read HDF5 files")
    named: Named = []
    with library.File(stream, "r") as file:
        datasets: list[tuple[str, Any]] = []

        def collect(path: str, node: Any) -> None:
            if isinstance(node, library.Dataset):
                datasets.append((path, node))

        # Takes each object once, and follows no links into other files.
        file.visititems(collect)
        for path, dataset in datasets:
            array = _decode_dataset(path, dataset, most)
            if array is not None:
                most -= array.nbytes
                named.append((path, array))
    return named


def _decode_dataset(path: str, dataset: Any, most: int) -> NDArray[Any] | None:
    """Return an array, or None if the dataset holds texts, as Keras keeps names."""
    if dataset.external or dataset.is_virtual:
        raise FileFormatError(
            f"[read_weights] {path!r} is kept in another file",
            fix="save the weights as one file",
        )
    bfloat16 = dataset.attrs.get("dtype") == "bfloat16"
    if dataset.shape is None or (dataset.dtype.kind not in "biuf" and not bfloat16):
        return None
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > most:
        raise _too_much(path, size, most)
    array = np.asarray(dataset[()])
    if bfloat16:
        return (
            array.view(_BFLOAT16)
            if array.dtype.kind == "V"
            else array.astype(_BFLOAT16)
        )
    return (
        array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    )
