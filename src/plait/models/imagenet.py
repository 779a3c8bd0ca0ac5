"""From pictures to the input of a classifier, and from its result to words.

Read first: `prepare`, `imagenet_classes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ..errors import ArgumentError, DataError
from .registry import Input, entry

_PACKAGE = ("pypi", "timm", "1.0.31")
# The classes in their order, as keys of WordNet; and WordNet's words by key.
_KEYS = "timm/data/_info/imagenet_synsets.txt"
_WORDS = "timm/data/_info/imagenet_synset_to_lemma.txt"
_FILES = {
    _KEYS: "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    _WORDS: "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
}


def prepare(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], model: str | Input
) -> Tensor:
    """Return pictures as a model takes them; needs Pillow.

    Each is brought to a size in which its shorter side is that of the model's `Input`,
    the middle is cut out, and colours are brought to the mean 0 and the deviation 1 of
    what the model was trained with.

    Args:
        images: one picture, or several, which may differ in size: uint8, each of shape
            (height, width, 3), or (height, width) for a model of grey pictures.
        model: its name, or what it takes.

    Returns:
        float32, shape (n, channels, size, size).

    Raises:
        ArgumentError: there is no model of that name, or it takes no pictures.
        ShapeError, DTypeError: these are no pictures.
        MissingExtraError: Pillow is not installed.
    """
    taken = model if isinstance(model, Input) else entry(model).input
    if taken is None:
        raise ArgumentError("[prepare] this model takes no pictures", got=repr(model))
    edge = (taken.resize - taken.size) // 2
    middle = slice(edge, edge + taken.size)
    rows = [images] if isinstance(images, np.ndarray) and images.ndim < 4 else images
    cut = np.stack(
        [plait.data.resize_image(row, taken.resize)[middle, middle] for row in rows]
    )
    floats = plait.data.as_floats(cut.reshape((*cut.shape[:3], taken.channels)))
    axes = (taken.channels, 1, 1)
    mean = np.asarray(taken.mean, np.float32).reshape(axes)
    std = np.asarray(taken.std, np.float32).reshape(axes)
    prepared: NDArray[Any] = (floats - mean) / std
    return plait.asarray(prepared)


def imagenet_classes() -> list[str]:
    """Return what the 1000 classes of ImageNet are called, downloading if need be.

    Several words for one thing are joined with commas: "tabby, tabby cat". They are
    WordNet's, and come with the PyPI package `timm` (Apache-2.0).

    Raises:
        DataError: the package cannot be downloaded.

    Source: O. Russakovsky et al., "ImageNet large scale visual recognition challenge",
    2015; G. Miller, "WordNet: a lexical database for English", 1995.
    """
    files = plait.data.fetch(*_PACKAGE, _FILES)
    words = dict(
        line.split("\t", 1) for line in files[_WORDS].decode("utf-8").splitlines()
    )
    keys = files[_KEYS].decode("utf-8").split()
    missing = [key for key in keys if key not in words]
    if missing:
        raise DataError("[imagenet_classes] classes have no name", got=missing[0])
    return [words[key] for key in keys]
