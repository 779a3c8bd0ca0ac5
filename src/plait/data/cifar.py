"""Small colour images in ten or a hundred classes: CIFAR, or drawings in its place.

No package holds all of CIFAR, so plait cannot download it: whoever has it gives its
folder or archive. For everyone else there are `emoji`, which are drawings.

Read first: `cifar`, `emoji`.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images",
University of Toronto, 2009, for CIFAR and, on its web page, both file formats.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FileFormatError, optional
from .images import read_image
from .packages import fetch
from .pickles import read_pickle

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

_SIDE = 32
_IMAGE = 3 * _SIDE * _SIDE
# Several times what any file of CIFAR has.
_LIMIT = 1 << 28

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
    "truck",
)  # fmt: skip

_EMOJI_VERSION = "16.0.0"
_EMOJI_LIST = "package/emoji.json"
_EMOJI_LIST_DIGEST = "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f"
# One picture with all drawings, each 32 pixels wide with an edge of one pixel.
_EMOJI_SHEETS = {
    "google": "b417e9f6cd4bbc10656bbfd5e13b6e9a2545b55e6a4cf7312d75be1faaa34952",
    "twitter": "2767ef2e87cbfb6cc12ac46596c339549afaf0ae8771cf51100c8853f6bde632",
}
_NO_CLASS = "Component"  # skin tones and hair, which are no pictures of their own


@dataclass(frozen=True, eq=False)
class ColourImages:
    """Small colour images with their labels, split for training and testing.

    Attributes:
        train_images: red, green and blue values. uint8, shape (n, 3, 32, 32).
        train_labels: indices into `classes`. int64, shape (n,).
        test_images: as `train_images`, of m other images.
        test_labels: as `train_labels`, shape (m,).
        classes: the names of the classes.
        description: what the images are, and where they come from.
    """

    train_images: Pixels = field(repr=False)
    train_labels: Labels = field(repr=False)
    test_images: Pixels = field(repr=False)
    test_labels: Labels = field(repr=False)
    classes: list[str] = field(repr=False)
    description: str


@dataclass(frozen=True)
class _Version:
    """How one of the distributions spells its files."""

    name: str
    train: tuple[str, ...]
    test: str
    names: str
    # Of the binary files: bytes before each image, and which of them is the label.
    label_bytes: int
    binary: bool
    # Of the Python files: the keys of labels and of names.
    label_key: str = ""
    names_key: str = ""


_VERSIONS = (
    _Version(
        "CIFAR-10",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin", "batches.meta.txt", 1, True,
    ),
    _Version(
        "CIFAR-10",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch", "batches.meta", 0, False, "labels", "label_names",
    ),
    _Version(
        "CIFAR-100",
        ("train.bin",), "test.bin", "fine_label_names.txt", 2, True,
    ),
    _Version(
        "CIFAR-100",
        ("train",), "test", "meta", 0, False, "fine_labels", "fine_label_names",
    ),
)  # fmt: skip


def cifar(source: str | os.PathLike[str]) -> ColourImages:
    """Load CIFAR-10 or CIFAR-100 from the files of its authors.

    Which one it is, and in which form, is seen from the names of the files: the binary
    version (`data_batch_1.bin` ..., or `train.bin`) and the Python version
    (`data_batch_1` ..., or `train`, pickles, of which nothing is executed). Of
    CIFAR-100 the labels are the hundred fine ones.

    Args:
        source: the folder with the files, one that holds that folder, or the archive
            as it is published (.tar.gz or .tar).

    Returns:
        NumPy arrays; the original has 50,000 images for training and 10,000 for
        testing, but fewer are no error.

    Raises:
        DataError: there is no such folder or archive, or it lacks a file.
        FileFormatError: a file is damaged, cut off, or is not CIFAR's kind.
    """
    path = Path(source).expanduser()
    read = _folder_reader(path) if path.is_dir() else _archive_reader(path)
    version, files = read
    decode = _decode_binary if version.binary else _decode_pickle
    names = _class_names(version, files(version.names))
    train = [decode(version, part, files(part)) for part in version.train]
    test_images, test_labels = decode(version, version.test, files(version.test))
    train_labels = np.concatenate([labels for _, labels in train])
    for part, labels in (("training", train_labels), ("test", test_labels)):
        if len(labels) and labels.max() >= len(names):
            raise FileFormatError(
                f"[cifar] {path}: a {part} label is beyond the classes",
                got=str(labels.max()),
                expected=f"0 to {len(names) - 1}",
            )
    return ColourImages(
        np.concatenate([images for images, _ in train]),
        train_labels,
        test_images,
        test_labels,
        names,
        f"{version.name} from {path}",
    )


Read = tuple[_Version, Callable[[str], bytes]]


def _version_of(present: Set[str]) -> _Version | None:
    for version in _VERSIONS:
        if present >= {*version.train, version.test, version.names}:
            return version
    return None


def _folder_reader(path: Path) -> Read:
    inner = sorted(child for child in path.iterdir() if child.is_dir())
    for folder in (path, *inner):
        present = {child.name for child in folder.iterdir() if child.is_file()}
        version = _version_of(present)
        if version is not None:
            return version, partial(_read_file, folder)
    raise _lacking(path)


def _read_file(folder: Path, name: str) -> bytes:
    with open(folder / name, "rb") as stream:
        return _bounded(name, stream.read(_LIMIT + 1))


def _bounded(name: str, content: bytes) -> bytes:
    if len(content) > _LIMIT:
        raise FileFormatError(
            f"[cifar] {name} is far larger than any file of CIFAR",
            expected=f"at most {_LIMIT} bytes",
        )
    return content


def _archive_reader(path: Path) -> Read:
    if not path.is_file():
        raise DataError(
            "[cifar] no such folder or archive",
            got=str(path),
            expected="a folder with the files of CIFAR-10 or CIFAR-100, or the .tar.gz",
        )
    wanted = {
        name for v in _VERSIONS for name in (*v.train, v.test, v.names)
    }  # fmt: skip
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for info in archive:
                name = info.name.rpartition("/")[2]
                if name in wanted and info.isreg() and name not in found:
                    stream = archive.extractfile(info)
                    assert stream is not None  # it is a regular file
                    found[name] = _bounded(name, stream.read(_LIMIT + 1))
    except FileFormatError:
        raise
    # On damaged archives tarfile and the decompressors raise a dozen kinds of error.
    except Exception as error:
        raise FileFormatError(
            f"[cifar] {path}: the archive is damaged or cut off",
            got=f"{type(error).__name__}: {error}",
            expected="a .tar.gz or .tar file",
            fix="get the file again",
        ) from None
    version = _version_of(found.keys())
    if version is None:
        raise _lacking(path)
    return version, found.__getitem__


def _lacking(path: Path) -> DataError:
    return DataError(
        "[cifar] files of CIFAR are missing",
        got=str(path),
        expected="; or ".join(
            f"{v.train[0]}{' ... ' + v.train[-1] if v.train[1:] else ''}, {v.test} and "
            f"{v.names}"
            for v in _VERSIONS
        ),
    )


def _class_names(version: _Version, content: bytes) -> list[str]:
    if version.binary:
        lines = content.decode("utf-8", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    else:
        value = _key(version.names, _unpickled(version.names, content))
        found = value(version.names_key)
        names = [_text(name) for name in found] if isinstance(found, list) else []
    count = len(_CLASSES) if version.name == "CIFAR-10" else 100
    if len(names) != count or len(set(names)) != count:
        raise FileFormatError(
            f"[cifar] {version.names}: these are not the classes of {version.name}",
            got=f"{len(set(names))} names",
            expected=str(count),
        )
    return names


def _decode_binary(
    version: _Version, name: str, content: bytes
) -> tuple[Pixels, Labels]:
    row = version.label_bytes + _IMAGE
    if not content or len(content) % row:
        raise FileFormatError(
            f"[cifar] {name}: cut off, or not {version.name}'s binary version",
            got=f"{len(content)} bytes",
            expected=f"a multiple of {row} bytes",
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, row)
    images = rows[:, version.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
    # The fine label of CIFAR-100 follows the coarse one.
    return images.copy(), rows[:, version.label_bytes - 1].astype(np.int64)


def _decode_pickle(
    version: _Version, name: str, content: bytes
) -> tuple[Pixels, Labels]:
    value = _key(name, _unpickled(name, content))
    images, labels = value("data"), value(version.label_key)
    if not (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.ndim == 2
        and images.shape[1] == _IMAGE
    ):
        got = type(images).__name__
        if isinstance(images, np.ndarray):
            got = f"{images.dtype} of shape {images.shape}"
        raise FileFormatError(
            f"[cifar] {name}: the images are not {version.name}'s",
            got=got,
            expected=f"uint8 of shape (n, {_IMAGE})",
        )
    plain = isinstance(labels, list) and len(labels) == len(images)
    if not plain or not all(type(label) is int and label >= 0 for label in labels):
        raise FileFormatError(
            f"[cifar] {name}: there is not one label for each image",
            expected=f"a list of {len(images)} integers, 0 or more",
        )
    if any(label > 255 for label in labels):
        raise FileFormatError(
            f"[cifar] {name}: a label is beyond the classes", got=str(max(labels))
        )
    return images.reshape(-1, 3, _SIDE, _SIDE), np.array(labels, np.int64)


def _unpickled(name: str, content: bytes) -> dict[Any, Any]:
    value = read_pickle(content, name=name)
    if not isinstance(value, dict):
        raise FileFormatError(
            f"[cifar] {name}: the pickle holds no dictionary",
            got=f"a {type(value).__name__}",
        )
    return value


def _key(name: str, values: Mapping[Any, Any]) -> Callable[[str], Any]:
    """Return a function that finds a key, be it text of Python 2 or 3."""

    def find(key: str) -> Any:
        for spelled in (key, key.encode()):
            if spelled in values:
                return values[spelled]
        raise FileFormatError(f"[cifar] {name}: the pickle lacks {key!r}")

    return find


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def emoji() -> ColourImages:
    """Load drawings of faces, animals, food, flags and so on; needs Pillow.

    They serve where CIFAR is not at hand: of its size, but drawings on white, and not
    photographs, so accuracies say nothing about CIFAR. The nine classes are the
    categories of Unicode, of rather different sizes (of the pictures 19 % are of the
    largest). Skin tones are left out.

    Of each emoji there are two drawings, by Google (Apache-2.0) and by Twitter (CC BY
    4.0), out of the npm packages `emoji-datasource-google` and
    `emoji-datasource-twitter`. Both are for training or both for testing, or else a
    network could know test images by heart. Every fifth emoji or so, by a hash of its
    code, is for testing.

    Returns:
        3,012 images for training and 800 for testing; NumPy arrays.

    Raises:
        DataError: the packages cannot be downloaded.
        MissingExtraError: Pillow is not installed.
    """
    optional("PIL.Image", "image", "read the emoji")
    images, labels, is_test = [], [], []
    for vendor, digest in _EMOJI_SHEETS.items():
        sheet = f"package/img/{vendor}/sheets/32.png"
        files = fetch(
            "npm",
            f"emoji-datasource-{vendor}",
            _EMOJI_VERSION,
            {_EMOJI_LIST: _EMOJI_LIST_DIGEST, sheet: digest},
        )
        entries = json.loads(files[_EMOJI_LIST])
        classes = sorted({entry["category"] for entry in entries} - {_NO_CLASS})
        pixels = read_image(files[sheet])
        for entry in entries:
            if entry["category"] == _NO_CLASS or not entry[f"has_img_{vendor}"]:
                continue
            top = entry["sheet_y"] * (_SIDE + 2) + 1
            left = entry["sheet_x"] * (_SIDE + 2) + 1
            images.append(pixels[top : top + _SIDE, left : left + _SIDE])
            labels.append(classes.index(entry["category"]))
            code = hashlib.md5(entry["unified"].encode(), usedforsecurity=False)
            is_test.append(int(code.hexdigest(), 16) % 5 == 0)
    x = np.stack(images).transpose(0, 3, 1, 2)
    y, test = np.array(labels, np.int64), np.array(is_test)
    return ColourImages(
        np.ascontiguousarray(x[~test]),
        y[~test],
        np.ascontiguousarray(x[test]),
        y[test],
        classes,
        "drawings of emoji, not photographs: emoji-datasource-google and "
        f"emoji-datasource-twitter {_EMOJI_VERSION} (npm)",
    )
