"""Images in files: read, brought to one size, written, and folders of them.

Here an image is a uint8 array of shape (height, width, 3), red, green and blue, or of
shape (height, width) for grey values. `as_floats` makes of a batch what networks take.

Read first: `read_image`, `ImageFolder`.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    ArgumentError,
    DataError,
    DTypeError,
    FileFormatError,
    ShapeError,
    optional,
)
from .dataset import Dataset
from .packages import fetch

Image = NDArray[np.uint8]

# Of the formats that Pillow reads, some start other programs.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".ppm", ".pgm")
_WRITTEN = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm")
_MODES = ("RGB", "L", "RGBA")
_PIXELS = 1 << 26

_PHOTOGRAPHS_PACKAGE = ("pypi", "scikit-image", "0.26.0")
# Public domain or CC0, but for "ihc": no known restrictions.
_PHOTOGRAPHS = {
    "astronaut": (
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "brick": (
        "skimage/data/brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
    "camera": (
        "skimage/data/camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    "chelsea": (
        "skimage/data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "grass": (
        "skimage/data/grass.png",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    ),
    "gravel": (
        "skimage/data/gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    ),
    "hubble": (
        "skimage/data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    "ihc": (
        "skimage/data/ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    ),
    "retina": (
        "skimage/data/retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    "rocket": (
        "skimage/data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
}


def read_image(
    source: str | os.PathLike[str] | bytes, mode: str = "RGB", *, limit: int = _PIXELS
) -> Image:
    """Read a PNG, JPEG, GIF, BMP, WebP or PPM image, upright; needs Pillow.

    Args:
        source: a path, or the content of a file.
        mode: "RGB", "L" for grey values, or "RGBA" with opacity. In the first two,
            transparent places become white.
        limit: the largest number of pixels, so that a small hostile file cannot fill
            the memory.

    Returns:
        uint8, shape (height, width, 3), (height, width) or (height, width, 4). Of a
        moving image, the first picture.

    Raises:
        FileFormatError: the file is damaged or cut off, too large, or no such image.
        ArgumentError: an unknown mode.
        MissingExtraError: Pillow is not installed.
        OSError: the file cannot be opened.
    """
    if mode not in _MODES:
        raise ArgumentError(
            "[read_image] unknown mode",
            got=repr(mode),
            expected=", ".join(map(repr, _MODES)),
        )
    if isinstance(source, bytes):
        return _decode(source, "<bytes>", mode, limit)
    return _decode(Path(source).read_bytes(), os.fspath(source), mode, limit)


def _decode(content: bytes, name: str, mode: str, limit: int) -> Image:
    library = optional("PIL.Image", "image", "read images")
    operations = optional("PIL.ImageOps", "image", "read images")
    try:
        with warnings.catch_warnings():
            # Pillow warns of very large images and of small faults in files.
            warnings.simplefilter("ignore")
            image = library.open(io.BytesIO(content), formats=_FORMATS)
            width, height = image.size
            if width * height <= limit:
                image = operations.exif_transpose(image)
                if image.mode.startswith("I"):
                    # 16 bits of grey, which Pillow would cut off at 255.
                    grey = np.rint(np.asarray(image) / 257)
                    image = library.fromarray(grey.astype(np.uint8))
                if mode != "RGBA" and image.has_transparency_data:
                    image = image.convert("RGBA")
                    paper = library.new("RGBA", image.size, "white")
                    image = library.alpha_composite(paper, image)
                return np.array(image.convert(mode))
    # On damaged images Pillow raises a dozen kinds of error.
    except Exception as error:
        raise FileFormatError(
            f"[read_image] {name}: damaged, cut off, or no image",
            got=f"{type(error).__name__}: {error}",
            expected=f"one of {', '.join(_FORMATS)}",
        ) from None
    raise FileFormatError(
        f"[read_image] {name}: the image is too large",
        got=f"{width} by {height} pixels",
        expected=f"at most {limit} pixels",
        fix="if the file can be trusted, raise `limit`",
    )


def resize_image(image: Image, size: int | tuple[int, int], how: str = "crop") -> Image:
    """Return an image in another size; needs Pillow.

    Args:
        image: shape (height, width) or (height, width, 3). uint8.
        size: (height, width), or one number for both.
        how: "crop": scale it until it just covers the size, and take the middle.
            "stretch": scale height and width on their own. "fit": scale it, with its
            proportions, until it just fits inside the size, which it need not fill.

    Returns:
        uint8, in the size. Each pixel is a mean of the pixels that it covers (Pillow's
        bicubic filter), so small images are not jagged.

    Raises:
        ArgumentError: no such way, or a size below 1.
        DTypeError: the image is not uint8.
        ShapeError: the image has no pixels, or too few or many axes.
    """
    library = optional("PIL.Image", "image", "resize images")
    _check_image("resize_image", image)
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ArgumentError("[resize_image] a size is at least 1", got=repr(size))
    old_height, old_width = image.shape[:2]
    box = (0.0, 0.0, float(old_width), float(old_height))
    if how == "crop":
        scale = min(old_height / height, old_width / width)
        left, top = (old_width - width * scale) / 2, (old_height - height * scale) / 2
        # Rounding must not reach over the edge.
        right = min(left + width * scale, old_width)
        box = (max(left, 0), max(top, 0), right, min(top + height * scale, old_height))
    elif how == "fit":
        scale = max(old_height / height, old_width / width)
        height = max(1, round(old_height / scale))
        width = max(1, round(old_width / scale))
    elif how != "stretch":
        raise ArgumentError(
            "[resize_image] unknown way",
            got=repr(how),
            expected="'crop', 'stretch' or 'fit'",
        )
    picture = library.fromarray(np.ascontiguousarray(image))
    resized = picture.resize((width, height), library.Resampling.BICUBIC, box=box)
    return np.array(resized)


def write_image(path: str | os.PathLike[str], image: NDArray[Any]) -> None:
    """Write an image in the format that the path's ending names; needs Pillow.

    Args:
        path: ends in .png, .jpg, .jpeg, .bmp, .webp or .ppm; an existing file is
            replaced.
        image: shape (height, width) or (height, width, 3). uint8, or floats from 0 to
            1; what lies outside is cut off.

    Raises:
        ArgumentError: an unknown ending.
        DTypeError: other elements.
        ShapeError: another shape, such as channels first.
        OSError: the file cannot be written.
    """
    library = optional("PIL.Image", "image", "write images")
    if Path(path).suffix.lower() not in _WRITTEN:
        raise ArgumentError(
            "[write_image] the ending names no image format",
            got=repr(Path(path).name),
            expected=", ".join(_WRITTEN),
        )
    image = np.asarray(image)
    if image.dtype.kind == "f":
        image = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    _check_image("write_image", image)
    buffer = io.BytesIO()
    format_ = library.registered_extensions()[Path(path).suffix.lower()]
    # 95 is the best that Pillow advises for JPEG and WebP.
    library.fromarray(np.ascontiguousarray(image)).save(buffer, format_, quality=95)
    Path(path).write_bytes(buffer.getvalue())


def _check_image(name: str, image: NDArray[Any]) -> None:
    if image.dtype != np.uint8:
        raise DTypeError(
            f"[{name}] the elements are no grey or colour values",
            got=str(image.dtype),
            expected="uint8",
        )
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
    if not fits or 0 in image.shape:
        raise ShapeError(
            f"[{name}] this is no image",
            got=f"shape {image.shape}",
            expected="(height, width) or (height, width, 3)",
            fix="np.moveaxis(image, 0, -1) puts channels last",
        )


def as_floats(images: Image) -> NDArray[np.float32]:
    """Return images as networks take them: floats from 0 to 1, channels first.

    Args:
        images: uint8, shape (..., height, width, channels).

    Returns:
        float32, shape (..., channels, height, width).
    """
    moved = np.moveaxis(images, -1, -3)
    return np.multiply(moved, np.float32(1 / 255), dtype=np.float32, order="C")


class ImageFolder(Dataset):
    """Pictures in folders, one folder for each class: samples (image, label).

        folder/cat/1.png  folder/cat/2.jpg  folder/dog/1.png  ...

    Pictures are read when they are asked for, in the order of the names of classes and
    files. Folders within a class's folder belong to it. Files with other endings than
    those of images, and hidden ones, are left out.

    Args:
        folder: the folder with a folder for each class.
        size: (height, width) of all images, or one number for both.
        how: how they are brought to it; see `resize_image`.
        mode: "RGB" or "L"; see `read_image`.
        skip_damaged: look at every picture now, and leave out those that cannot be
            read. Otherwise such a picture is an error when it is asked for.

    Attributes:
        classes: the names of the classes; label i is classes[i].
        paths: the file of each sample.
        labels: the label of each sample. int64.
        skipped: path of each picture left out -> why.

    Raises:
        DataError: no such folder, or no images in it.
        ArgumentError: an unknown way or mode.
        MissingExtraError: Pillow is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int | tuple[int, int],
        *,
        how: str = "crop",
        mode: str = "RGB",
        skip_damaged: bool = False,
    ) -> None:
        optional("PIL.Image", "image", "read images")
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise DataError("[ImageFolder] no such folder", got=str(folder))
        if how not in ("crop", "stretch") or mode not in ("RGB", "L"):
            raise ArgumentError(
                "[ImageFolder] unknown way or mode",
                got=f"how={how!r}, mode={mode!r}",
                expected="'crop' or 'stretch', 'RGB' or 'L'",
            )
        self.folder, self.size, self.how, self.mode = root, size, how, mode
        found = {
            child.name: paths
            for child in sorted(root.iterdir())
            if child.is_dir() and not child.name.startswith(".")
            if (paths := _pictures(child))
        }
        if not found:
            raise DataError(
                "[ImageFolder] there are no images in folders named after classes",
                got=str(root),
                expected=f"{root.name}/a-class/a-picture.png or .jpg",
            )
        self.classes = list(found)
        self.skipped: dict[Path, str] = {}
        if skip_damaged:
            self._skip_damaged([path for paths in found.values() for path in paths])
        pairs = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in found[name]
            if path not in self.skipped
        ]
        self.paths = [path for path, _ in pairs]
        self.labels = np.array([label for _, label in pairs], np.int64)

    def _skip_damaged(self, paths: list[Path]) -> None:
        for path in paths:
            try:
                read_image(path)
            except (FileFormatError, OSError) as error:
                self.skipped[path] = str(getattr(error, "message", error))

    def __len__(self) -> int:
        return len(self.paths)

    def item(self, index: int) -> tuple[Image, np.int64]:
        """Return the image and the label of sample `index`."""
        image = read_image(self.paths[index], self.mode)
        return resize_image(image, self.size, self.how), self.labels[index]


def _pictures(folder: Path) -> list[Path]:
    paths = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                paths.append(Path(place, name))
    return paths


def photograph(name: str) -> Image:
    """Return a freely usable picture by name, downloading it if need be; needs Pillow.

    They come with the PyPI package `scikit-image`. In the public domain or under CC0:
    "astronaut" (512 x 512), "chelsea", a cat (300 x 451), "coffee" (400 x 600),
    "rocket" (427 x 640), "hubble", galaxies (872 x 1000), "retina" (1411 x 1411), and
    in grey "camera", "brick", "grass", "gravel" (512 x 512). Without known
    restrictions: "ihc", a stained tissue under the microscope (512 x 512).

    Args:
        name: one of these.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        ArgumentError: no such picture.
        DataError: it cannot be downloaded.
        MissingExtraError: Pillow is not installed.
    """
    if name not in _PHOTOGRAPHS:
        raise ArgumentError(
            "[photograph] no such picture",
            got=repr(name),
            expected=", ".join(map(repr, _PHOTOGRAPHS)),
        )
    optional("PIL.Image", "image", "read images")
    member, digest = _PHOTOGRAPHS[name]
    wanted: Mapping[str, str] = {member: digest}
    return read_image(fetch(*_PHOTOGRAPHS_PACKAGE, wanted)[member])
