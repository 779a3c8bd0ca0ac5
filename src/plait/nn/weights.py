"""Weights in files of the safetensors format, which hold arrays by name and no code.

The files of other frameworks are read by `weight_files.py`.

Read first: `save_weights`, `load_weights`, `read_weights`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError, ArgumentTypeError, FileFormatError
from ..late import late
from .module import Module

# It brings archives and the readers of `plait.data`, which few programs need.
if TYPE_CHECKING:
    from . import weight_files
else:
    weight_files = late("plait.nn.weight_files")

_LIMIT = 1 << 32
# The format's names of element types.
_DTYPES = {
    "BOOL": plait.bool_, "U8": plait.uint8, "U16": plait.uint16, "U32": plait.uint32,
    "U64": plait.uint64, "I8": plait.int8, "I16": plait.int16, "I32": plait.int32,
    "I64": plait.int64, "F16": plait.float16, "BF16": plait.bfloat16,
    "F32": plait.float32, "F64": plait.float64,
}  # fmt: skip


@checked
def save_weights(
    source: Module | Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a module's state, or arrays by name, to a safetensors file.

    The file appears whole or not at all: what stood at `path` stays until all is
        written.

    Args:
        source: a module, or tensors or arrays by name.
        metadata: texts to keep beside them, by name.

    Raises:
        ArgumentTypeError: a name or a text is not a string, or a value is no tensor.
        ArgumentError: a name is `__metadata__`, which the format keeps for itself.
        OSError: the file cannot be written.
    """
    named = source.state_dict() if isinstance(source, Module) else source
    _check_texts(named, metadata)
    # The format knows nothing of strides and of byte orders: bytes are written as they
    # lie, so they must lie in row-major order and begin with the least significant one.
    arrays = {name: _plain(name, value) for name, value in named.items()}
    # Beside it, so that the last step is a mere renaming.
    folder, name = os.path.split(os.fspath(path))
    temporary = os.path.join(folder, f".{name}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb") as file:
            file.write(safetensors.numpy.save(arrays, dict(metadata or {}) or None))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _check_texts(named: Mapping[str, Any], metadata: Mapping[str, str] | None) -> None:
    if not isinstance(named, Mapping):
        raise ArgumentTypeError(
            "[save_weights] a module or arrays by name are needed",
            got=f"a {type(named).__name__}",
        )
    for text in (*named, *(metadata or {}), *(metadata or {}).values()):
        if not isinstance(text, str):
            raise ArgumentTypeError(
                "[save_weights] names and metadata must be text",
                got=f"{text!r}, a {type(text).__name__}",
            )
    if "__metadata__" in named:
        raise ArgumentError(
            "[save_weights] the format keeps this name for itself", got="'__metadata__'"
        )


def _plain(name: str, value: Any) -> np.ndarray:
    if not isinstance(value, (Tensor, np.ndarray)):
        raise ArgumentTypeError(
            f"[save_weights] {name!r} is no tensor", got=f"a {type(value).__name__}"
        )
    array = plait.asarray(value).numpy()
    return np.ascontiguousarray(array).reshape(array.shape)


@checked
def load_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file by name, in the order of their names.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged, cut off, or no such file, or holds elements of a
            type that plait does not have.
    """
    _refuse_folder(path)
    with open(path, "rb") as file:
        return decode_weights(file.read(), path)


@checked
def decode_weights(content: bytes, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors in the content of a safetensors file; see `load_weights`."""
    try:
        found: Any = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise _unreadable(path, str(error)) from None
    return {
        name: _tensor(path, name, view)
        for name, view in sorted(found, key=lambda item: item[0])
    }


def _tensor(path: str | os.PathLike[str], name: str, view: Mapping[str, Any]) -> Tensor:
    dtype = _DTYPES.get(view["dtype"])
    if dtype is None:
        raise FileFormatError(
            f"[load_weights] {os.fspath(path)}: {name!r} has elements of a type that "
            "plait does not have",
            got=view["dtype"],
            expected=", ".join(_DTYPES),
        )
    try:
        array = np.frombuffer(view["data"], dtype.numpy).reshape(view["shape"])
    except ValueError as error:
        raise _unreadable(path, f"{name!r}: {error}") from None
    # The bytes are a copy of the file's that nobody else holds.
    return plait.asarray(array, copy=False)


@checked
def read_weights(
    source: str | os.PathLike[str] | bytes,
    *,
    prefix: str = "",
    limit: int = _LIMIT,
) -> dict[str, NDArray[Any]]:
    """Return the arrays in a file of weights, be it of PyTorch, Keras or NumPy.

    The arrays are as they lie in the file: `load_state_dict` takes those of PyTorch's
    layers as they are, while Keras has the axes of weights in another order.

    Args:
        source: a path, or the content of a file: safetensors; what `torch.save` wrote
            (a state dict, or a checkpoint with state dicts in it); an HDF5 file or a
            .keras file of Keras, which need h5py; .npz.
        prefix: take only names that begin so, and leave that away, such as
            "state_dict.".
        limit: the size in bytes that all arrays may have together, if that is more than
            the file has: HDF5 and .npz may be compressed, and a small hostile file
            must not fill the memory.

    Returns:
        Name -> array, in the order of the file. In files of PyTorch, names of nested
        dictionaries and lists are joined with dots; numbers and texts are left out. In
        HDF5, names are paths, such as "dense/kernel:0". bfloat16 stays bfloat16 (in
        .npz, which has no name for it, elements of two plain bytes are taken for it).

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged, cut off, hostile or of another format, holds
            objects that only a program could make, or has no such names.
        MissingExtraError: it is HDF5, and h5py is not installed.
    """
    return weight_files.read_file(source, prefix, limit)


@checked
def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the texts kept in a safetensors file beside its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is damaged, cut off, or no such file.
    """
    _refuse_folder(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise _unreadable(path, str(error)) from None


def _refuse_folder(path: str | os.PathLike[str]) -> None:
    if os.path.isdir(path):
        raise _unreadable(path, "a folder")


def _unreadable(path: str | os.PathLike[str], got: str) -> FileFormatError:
    return FileFormatError(
        f"[load_weights] {os.fspath(path)} is no whole safetensors file",
        got=got,
        fix="get the file again: it may be cut off, or of another format",
    )
