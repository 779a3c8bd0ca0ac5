"""The state of an export in a file: as it is, or matrices with fewer bits. What an
optimizer begins with is left out if it is zero.

Read first: `stored`, `load_state`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor, nn

from ..errors import ArgumentError, FileFormatError
from ..train.step import STEP
from .graphs import Entry

FILE, MANIFEST = "weights.safetensors", "manifest.json"
WAYS = (None, "f16", "int8")
# How the manifest says that a tensor is not in the file, as it is zero.
ZEROS = {"zeros": True}
_LARGEST_HALF = float(np.finfo(np.float16).max)


def stored(
    state: Mapping[str, Entry], quantize: str | None
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, Any]]]:
    """Return what is to be written, and how it is to be read where it is not all there.

    Parameters of float32 with two axes or more are quantized: "f16" rounds them;
    "int8" makes of each row w the integers round(w / s), where the scale s is
    max(abs(w)) / 127.

    Before the first step, what an optimizer keeps is not written where it is zero.

    Returns:
        Arrays by name, and for each that is quantized, or left out, its entry "stored"
        in the manifest.

    Raises:
        ArgumentError: there is no such way, or a value is too large for 16 bits.
    """
    if quantize not in WAYS:
        raise ArgumentError(
            "[export] there is no such way to quantize",
            got=repr(quantize),
            expected="None, 'f16' or 'int8'",
        )
    arrays: dict[str, NDArray[Any]] = {}
    ways: dict[str, dict[str, Any]] = {}
    new = STEP in state and not state[STEP].value.numpy().any()
    for name, (tensor, role) in state.items():
        array = tensor.detach().numpy()
        if new and role == "optimizer" and not array.any():
            ways[name] = ZEROS
            continue
        arrays[name] = array
        if quantize is None or role != "parameter":
            continue
        if array.ndim < 2 or array.dtype != np.float32 or not array.size:
            continue
        if not np.isfinite(array).all():
            raise ArgumentError(f"[export] {name} is not finite", fix="train it anew")
        if quantize == "f16":
            if np.abs(array).max() > _LARGEST_HALF:
                raise ArgumentError(
                    f"[export] {name} is too large for 16 bits",
                    got=f"{np.abs(array).max():g}",
                    expected=f"at most {_LARGEST_HALF:g}",
                )
            arrays[name] = array.astype(np.float16)
            ways[name] = {"dtype": "float16"}
        else:
            arrays[name], arrays[f"{name}.scale"] = _bytes_of(array)
            ways[name] = {"dtype": "int8", "scale": f"{name}.scale", "axis": 0}
    return arrays, ways


def _bytes_of(array: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = array.reshape(len(array), -1)
    scale = np.abs(rows).max(1) / np.float32(127)
    scale[scale == 0] = 1
    found = np.rint(rows / scale[:, None]).astype(np.int8)
    return found.reshape(array.shape), scale.astype(np.float32)


def expanded(
    arrays: Mapping[str, NDArray[Any]], ways: Mapping[str, Mapping[str, Any]]
) -> dict[str, NDArray[Any]]:
    """Return what `stored` was given, rounded, as the script makes it when loading."""
    found = dict(arrays)
    for name, way in ways.items():
        if way == ZEROS:
            continue
        array = found[name].astype(np.float32)
        if way["dtype"] == "int8":
            scale = found.pop(way["scale"])
            array *= scale.reshape(-1, *[1] * (array.ndim - 1))
        found[name] = array
    return found


def load_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return a state by name; see `plait.export.load_state`."""
    path = Path(path)
    if not path.is_dir():
        return nn.load_weights(path)
    manifest = read_manifest(path)
    try:
        file = str(manifest["weights"]["file"])
        if Path(file).name != file:
            raise ValueError(f"weights in another folder: {file}")
        places = {x["name"]: x for x in manifest["state"] if "stored" in x}
        ways = {name: x["stored"] for name, x in places.items()}
        arrays = {name: x.numpy() for name, x in nn.load_weights(path / file).items()}
        found = {name: plait.asarray(x) for name, x in expanded(arrays, ways).items()}
        for name, x in places.items():
            if ways[name] == ZEROS:
                found[name] = plait.zeros(x["shape"], dtype=x["dtype"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path / MANIFEST, f"{type(error).__name__}: {error}") from None
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an export.

    Raises:
        FileNotFoundError: there is none.
        FileFormatError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _unreadable(path, str(error)) from None
    if not isinstance(manifest, dict) or manifest.get("format") != "plait":
        raise _unreadable(path, "another file of this name")
    return manifest


def _unreadable(path: Path, got: str) -> FileFormatError:
    return FileFormatError(f"[export] {path} is no manifest of an export", got=got)
