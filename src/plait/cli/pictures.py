"""Pictures of digits: read from files, brought into MNIST's form, drawn with letters.

MNIST's form is 28 by 28 numbers from 0 (paper) to 1 (ink), the digit 20 high or wide,
with its centre of mass in the middle.

Read first: `read_pictures`, `draw`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import read_idx
from ..errors import FileFormatError, optional

Picture = NDArray[Any]  # of float32

_SIDE, _DIGIT = 28, 20
_INKS = " .:-=+*#%@"
# How much darker than paper a place must be to count as written on.
_INK = 0.25


def read_pictures(path: str | Path) -> list[Picture]:
    """Return the pictures in a file, each as a (28, 28) array.

    Args:
        path: an image that Pillow reads, a NumPy file `.npy`, or an IDX file. Arrays
            hold one picture or several, as (28, 28) or 784 numbers each, uint8 or from
            0 to 1, and are taken as they are.

    Raises:
        FileFormatError: the file is damaged, or of no such kind.
        MissingExtraError: it is an image, and Pillow is not installed.
        OSError: it cannot be read.
    """
    path = Path(path)
    name = path.name.removesuffix(".gz")
    if name.endswith(".npy"):
        return _from_array(path, _read_npy(path))
    if name.endswith(("ubyte", ".idx")):
        return _from_array(path, read_idx(path))
    return [_from_image(_read_image(path))]


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise FileFormatError(
            f"{path} is no array that can be read", got=str(error)
        ) from error


def _from_array(path: Path, array: NDArray[Any]) -> list[Picture]:
    pixels = _SIDE * _SIDE
    fits = array.shape[-2:] == (_SIDE, _SIDE) and array.ndim <= 3
    fits = fits or (array.shape[-1:] == (pixels,) and array.ndim <= 2)
    if not fits or array.dtype.kind not in "uif" or array.dtype.kind == "i":
        raise FileFormatError(
            f"{path} holds no pictures of digits",
            got=f"{array.dtype} of shape {array.shape}",
            expected="uint8 or floats, of shape (28, 28) or (n, 28, 28), or (n, 784)",
        )
    grey = array.reshape(-1, _SIDE, _SIDE).astype(np.float32)
    if array.dtype.kind == "u":
        grey = grey / np.float32(np.iinfo(array.dtype).max)
    elif not ((grey >= 0) & (grey <= 1)).all():
        raise FileFormatError(
            f"{path} holds floats that are no grey values",
            got=f"{grey.min()} to {grey.max()}",
            expected="0 to 1",
        )
    return list(grey)


def _read_image(path: Path) -> Picture:
    """Return the grey values of an image, transparent places white, from 0 to 1."""
    image_library = optional("PIL.Image", "image", "read images")
    with open(path, "rb") as stream, warnings.catch_warnings():
        # Pillow only warns of images that are far too large.
        warnings.simplefilter("error", image_library.DecompressionBombWarning)
        try:
            image = image_library.open(stream).convert("RGBA")
        except Exception as error:  # damaged images raise a dozen kinds of error
            raise FileFormatError(
                f"{path} is no image that can be read",
                got=type(error).__name__,
                expected="PNG, JPEG, .npy, or IDX (a name that ends in ubyte or .idx)",
            ) from error
        white = image_library.new("RGBA", image.size, "white")
        grey = image_library.alpha_composite(white, image).convert("L")
        return np.asarray(grey, np.float32) / 255


def _from_image(grey: Picture) -> Picture:
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    ink = 1 - grey / paper if paper > 0.5 else (grey - paper) / (1 - paper)
    ink = np.clip(ink, 0, 1).astype(np.float32)
    if ink.shape == (_SIDE, _SIDE):
        return ink
    if ink.max() > _INK:
        ink /= ink.max()  # a pencil's grey becomes black
    return _centred(_scaled(_cropped(ink)))


def _cropped(ink: Picture) -> Picture:
    """Cut off what is blank around the digit."""
    dark = ink > _INK
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    if not len(rows):
        return np.zeros((1, 1), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: Picture) -> Picture:
    """Make the longer side 20, by averages over areas."""
    scale = _DIGIT / max(ink.shape)
    rows, columns = (max(1, round(n * scale)) for n in ink.shape)
    scaled = _shares(ink.shape[0], rows) @ ink @ _shares(ink.shape[1], columns).T
    return np.asarray(scaled)


def _shares(old: int, new: int) -> Picture:
    """Return the part of each new pixel that each old one makes up: (new, old).

    Pixels are intervals of length 1/old and 1/new; the part is that of the overlap.
    """
    old_edges, new_edges = np.linspace(0, 1, old + 1), np.linspace(0, 1, new + 1)
    starts = np.maximum(old_edges[:-1], new_edges[:-1, None])
    ends = np.minimum(old_edges[1:], new_edges[1:, None])
    return np.asarray(np.maximum(ends - starts, 0) * new, np.float32)


def _centred(ink: Picture) -> Picture:
    """Put the digit on a blank picture, its centre of mass in the middle if it fits."""
    picture = np.zeros((_SIDE, _SIDE), np.float32)
    total = max(float(ink.sum()), 1e-6)
    corner = []
    for axis, size in enumerate(ink.shape):
        mass = ink.sum(1 - axis)
        middle = float(mass @ np.arange(size)) / total
        start = round((_SIDE - 1) / 2 - middle)
        corner.append(min(max(start, 0), _SIDE - size))
    top, left = corner
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture


def draw(picture: Picture) -> list[str]:
    """Return a picture as 14 lines of 28 letters; one letter stands for two pixels."""
    # Letters are about twice as high as wide.
    halved = picture.reshape(_SIDE // 2, 2, _SIDE).mean(1)
    levels = np.rint(halved * (len(_INKS) - 1)).astype(int)
    return ["".join(_INKS[level] for level in row) for row in levels]
