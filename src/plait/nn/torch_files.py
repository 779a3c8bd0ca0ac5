"""Tensors in the files that PyTorch writes with `torch.save`, of which nothing is run.

Since version 1.6 such a file is a zip archive: `data.pkl` is a pickle that names the
tensors, and of each storage there is a file of its plain bytes. Older files are one
pickle after another: a number that marks the format, a version, facts about the
machine, the tensors, and the names of storages, whose bytes follow, each after its
length.

Read first: `read_zip`, `read_legacy`.

Source: PyTorch, `torch/serialization.py` and `torch/_utils.py`, for the form.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import plait

from ..data.pickles import NUMPY_BUILDERS, Name, read_pickle
from ..errors import FileFormatError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_MOST_AXES = 64

_BFLOAT16 = plait.bfloat16.numpy
# The storages' and the element types' names -> element type.
_DTYPES: dict[str, np.dtype[Any]] = {
    f"torch.{name}": np.dtype(code)
    for names, code in (
        (("FloatStorage", "float32", "float"), "f4"),
        (("DoubleStorage", "float64", "double"), "f8"),
        (("HalfStorage", "float16", "half"), "f2"),
        (("BFloat16Storage", "bfloat16"), _BFLOAT16),
        (("LongStorage", "int64", "long"), "i8"),
        (("IntStorage", "int32", "int"), "i4"),
        (("ShortStorage", "int16", "short"), "i2"),
        (("CharStorage", "int8"), "i1"),
        (("ByteStorage", "uint8"), "u1"),
        (("BoolStorage", "bool"), "?"),
        (("uint16",), "u2"),
        (("uint32",), "u4"),
        (("uint64",), "u8"),
    )
    for name in names
}
_UNTYPED = "torch.storage.UntypedStorage"


@dataclass(frozen=True, eq=False)
class _Storage:
    """Elements in a row, whose bytes are elsewhere in the file.

    Attributes:
        key: what its bytes are called.
        dtype: of the elements; uint8 if the tensors say what they are.
        count: how many there are.
        start: the number of the first one within the bytes.
    """

    key: str
    dtype: np.dtype[Any]
    count: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise FileFormatError(
            "[read_weights] a size in the file is no count", got=f"{value!r:.40}"
        )
    return value


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > _MOST_AXES:
        raise FileFormatError("[read_weights] the shape of a tensor is malformed")
    return tuple(_count(value) for value in values)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise FileFormatError("[read_weights] a tensor has no storage")
    shape, strides = _counts(shape), _counts(strides)
    if len(shape) != len(strides):
        raise FileFormatError(
            "[read_weights] a tensor has not one stride for each axis"
        )
    return _Tensor(storage, _count(offset), shape, strides, storage.dtype)


def _typed_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> _Tensor:
    # requires_grad, hooks, dtype, perhaps metadata
    tensor = _tensor(storage, offset, shape, strides)
    return _Tensor(
        tensor.storage, tensor.offset, tensor.shape, tensor.strides, _dtype(rest[2])
    )


def _dtype(name: Any) -> np.dtype[Any]:
    path = name.path if isinstance(name, Name) else ""
    if path == _UNTYPED:
        return np.dtype(np.uint8)
    if path not in _DTYPES:
        raise FileFormatError(
            "[read_weights] a tensor has elements of a type that plait does not have",
            got=path or "no type",
        )
    return _DTYPES[path]


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in items:
        if not isinstance(key, (str, int)):
            raise FileFormatError("[read_weights] a tensor has a name that is no text")
        made[key] = value
    return made


def _nothing(*_: Any) -> None:
    """Stand for what tensors need not have, such as the device they were on."""


_BUILDERS: dict[str, Callable[..., Any]] = {
    **NUMPY_BUILDERS,
    **dict.fromkeys((*_DTYPES, _UNTYPED), _nothing),
    # Older element types, refused where they are used.
    **dict.fromkeys(
        (
            "torch.ComplexFloatStorage",
            "torch.ComplexDoubleStorage",
            "torch.complex64",
            "torch.complex128",
        ),
        _nothing,
    ),
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": tuple,
    "torch.device": _nothing,
}


def _storage(said: Any) -> _Storage:
    """Return the storage of a persistent id: kind, type, key, place, count, view."""
    if not isinstance(said, tuple) or len(said) not in (5, 6) or said[0] != "storage":
        raise FileFormatError("[read_weights] parts of it are kept elsewhere")
    _, kind, key, _, count = said[:5]
    storage = _Storage(str(key), _dtype(kind), _count(count))
    if len(said) == 5 or said[5] is None:
        return storage
    _, start, size = said[5]
    return _Storage(storage.key, storage.dtype, _count(size), _count(start))


def read_zip(archive: zipfile.ZipFile, name: str, most: int) -> list[tuple[str, Any]]:
    """Return the tensors in a zip archive of PyTorch's, each with its name.

    Args:
        archive: the open archive.
        name: what to call the file in errors.
        most: the size in bytes that all arrays may have together.
    """
    infos = {info.filename: info for info in archive.infolist()}
    (pickle,) = (path for path in infos if path.endswith("data.pkl"))
    folder = pickle.removesuffix("data.pkl")
    value = read_pickle(
        _record(archive, infos[pickle], most).tobytes(),
        _BUILDERS,
        name=name,
        persistent=_storage,
    )
    order = "<"
    if f"{folder}byteorder" in infos:
        said = _record(archive, infos[f"{folder}byteorder"], 16).tobytes()
        order = ">" if said == b"big" else "<"
    # Several entries of an archive may lie over the same bytes.
    left = [most]

    def content(key: str) -> NDArray[np.uint8]:
        found = _record(archive, infos[f"{folder}data/{key}"], left[0])
        left[0] -= found.nbytes
        return found

    return _arrays(value, content, order, most)


def _record(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int
) -> NDArray[np.uint8]:
    # PyTorch does not compress, so that nothing can unfold.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise FileFormatError(
            "[read_weights] a part of the archive is compressed or too large",
            got=f"{info.file_size} bytes",
            expected=f"at most {most} bytes, not compressed",
        )
    content = np.empty(info.file_size, np.uint8)
    with archive.open(info) as stream:
        done = cast(Any, stream).readinto(content)
        # At the end, the checksum is compared.
        if done != content.nbytes or stream.read(1):
            raise FileFormatError("[read_weights] a part of the archive is cut off")
    return content


def read_legacy(content: bytes, name: str, most: int) -> list[tuple[str, Any]]:
    """Return the tensors in a file of PyTorch before 1.6, each with its name.

    Args:
        content: the file.
        name: what to call it in errors.
        most: the size in bytes that all arrays may have together.
    """
    stream = io.BytesIO(content)
    magic = read_pickle(stream, {}, name=name)
    version = read_pickle(stream, {}, name=name) if magic == LEGACY_MAGIC else None
    if version != _LEGACY_VERSION:
        raise FileFormatError(
            f"[read_weights] {name}: this pickle is not PyTorch's",
            fix="only a program that you trust should open it: save the arrays alone "
            "with that",
        )
    system = read_pickle(stream, {}, name=name)
    order = "<" if system.get("little_endian", True) else ">"
    stored: dict[str, _Storage] = {}

    def persistent(said: Any) -> _Storage:
        storage = _storage(said)
        stored.setdefault(storage.key, storage)
        return storage

    value = read_pickle(stream, _BUILDERS, name=name, persistent=persistent)
    keys = read_pickle(stream, {}, name=name)
    places: dict[str, tuple[int, int]] = {}
    place = stream.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q" if order == "<" else ">q", content, place)
        size = _count(count) * stored[key].dtype.itemsize
        if place + 8 + size > len(content):
            raise FileFormatError("[read_weights] the file is cut off")
        places[key] = (place + 8, size)
        place += 8 + size

    def content_of(key: str) -> NDArray[np.uint8]:
        start, size = places[key]
        return np.frombuffer(content, np.uint8, size, start).copy()

    return _arrays(value, content_of, order, most)


def _arrays(
    value: Any, content: Callable[[str], NDArray[np.uint8]], order: str, most: int
) -> list[tuple[str, Any]]:
    """Return the arrays in nested dictionaries and lists, each with its path."""
    read: dict[str, NDArray[np.uint8]] = {}
    made: list[tuple[str, Any]] = []
    for path, leaf in leaves(value):
        if isinstance(leaf, _Tensor):
            most -= math.prod(leaf.shape) * leaf.dtype.itemsize
            if most < 0:
                raise FileFormatError(
                    "[read_weights] the tensors unfold to more than they may",
                    fix="if the file can be trusted, raise `limit`",
                )
            key = leaf.storage.key
            if key not in read:
                read[key] = content(key)
            made.append((path, _array(leaf, read[key], order)))
        elif isinstance(leaf, np.ndarray):
            made.append((path, leaf))
    return made


def leaves(value: Any) -> Iterable[tuple[str, Any]]:
    """Yield what is in nested dictionaries, lists and tuples, with names like a.b.0.

    A value may hold itself, and may hold another one at many places: no more steps are
    taken than anyone's weights need.
    """
    steps = 1 << 20
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    while pending:
        path, node, depth = pending.pop()
        steps -= 1
        if steps < 0 or depth > 64:
            raise FileFormatError("[read_weights] the file is nested without an end")
        if isinstance(node, dict):
            items: list[tuple[Any, Any]] = list(node.items())
        elif isinstance(node, (list, tuple)):
            items = list(enumerate(node))
        else:
            yield path, node
            continue
        if len(items) > steps:
            raise FileFormatError("[read_weights] the file is nested without an end")
        prefix = f"{path}." if path else ""
        for key, child in reversed(items):
            pending.append((f"{prefix}{key}", child, depth + 1))


def _array(tensor: _Tensor, content: NDArray[np.uint8], order: str) -> NDArray[Any]:
    dtype = tensor.dtype
    storage = tensor.storage
    size = storage.dtype.itemsize
    begin, end = storage.start * size, (storage.start + storage.count) * size
    row = content[begin:end]
    last = tensor.offset
    if 0 not in tensor.shape:
        last += sum(
            (n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)
        )
        last += 1
    if end > content.nbytes or last * dtype.itemsize > row.nbytes:
        raise FileFormatError(
            "[read_weights] a tensor reaches beyond its storage",
            got=f"shape {tensor.shape}, strides {tensor.strides}, from {tensor.offset}",
            expected=f"at most {storage.count} elements",
        )
    if 0 in tensor.shape:
        return np.empty(tensor.shape, dtype)
    elements = row[: row.nbytes // dtype.itemsize * dtype.itemsize].view(dtype)
    if order == ">":
        elements = elements.byteswap()
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    view = as_strided(elements[tensor.offset :], tensor.shape, strides)
    # Of a shape (), this would make (1,).
    return np.ascontiguousarray(view).reshape(tensor.shape)
