"""What all peers' nets begin with: the same weights and data, as NumPy arrays.

Weights have PyTorch's names, shapes and layouts (images are (n, channels, h, w)). Peers
that want others convert them.

Read first: `weights`, `batches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]
BATCHES = 4


def weights(spec: dict[str, Any]) -> dict[str, Array]:
    """Return the net's weights and running statistics by name."""
    rng = np.random.default_rng(1)
    return {name: value(rng, name, shape) for name, shape in NETS[spec["net"]](spec)}


def value(rng: np.random.Generator, name: str, shape: Shape) -> Array:
    """Return values for which what flows through the net keeps its scale."""
    part = name.rpartition(".")[2]
    if part == "num_batches_tracked":
        return np.zeros((), np.int64)
    if part == "running_var":
        found = rng.uniform(0.8, 1.2, shape)
    elif part == "weight" and len(shape) == 1:
        # The last norm of a residual branch: keeps sums of many branches small.
        most = 0.4 if name.endswith(("last.weight", "norm3.weight")) else 1.2
        found = rng.uniform(0.6 * most, most, shape)
    elif len(shape) < 2:
        found = rng.uniform(-0.1, 0.1, shape)
    else:
        # He et al. 2015, eq. 10, before a ReLU; others keep their scale with less.
        gain = 2.0 if len(shape) == 4 else 1.0
        inner = 50 if part in TABLES else int(np.prod(shape[1:]))
        found = rng.standard_normal(shape, np.float32) * (gain / inner) ** 0.5
    return found.astype(np.float32)


TABLES = ("table", "places")  # of embeddings


def batches(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return inputs and labels, several of each."""
    rng = np.random.default_rng(2)
    size = spec["batch"]
    if spec["net"] == "text":
        ids, labels = (size, spec["length"]), (size, 1)
        return [
            (
                rng.integers(0, spec["vocabulary"], ids),
                rng.integers(0, 2, labels).astype(np.float32),
            )
            for _ in range(BATCHES)
        ]
    if spec["net"] == "gpt":
        ids = (size, spec["context"] + 1)
        texts = [rng.integers(0, spec["vocabulary"], ids) for _ in range(BATCHES)]
        return [
            (np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:]))
            for text in texts
        ]
    shape = (size, 3, spec["image"], spec["image"])
    return [
        (rng.standard_normal(shape, np.float32), rng.integers(0, spec["classes"], size))
        for _ in range(BATCHES)
    ]


def pictures(spec: dict[str, Any]) -> tuple[Array, Array]:
    """Return the content and the style of a transfer, (1, 3, height, width) each."""
    rng = np.random.default_rng(3)
    shape = (1, 3, spec["image"], spec["image"])
    content, style = rng.standard_normal((2, *shape), np.float32)
    return content, style


# --- names and shapes


def linear(name: str, inner: int, outer: int) -> Named:
    """Yield a linear layer's parameters."""
    yield f"{name}.weight", (outer, inner)
    yield f"{name}.bias", (outer,)


def convolution(name: str, inner: int, outer: int, size: int) -> Named:
    """Yield a convolution's parameters."""
    yield f"{name}.weight", (outer, inner, size, size)
    yield f"{name}.bias", (outer,)


def norm(name: str, width: int) -> Named:
    """Yield a layer norm's parameters."""
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def batch_norm(name: str, width: int) -> Named:
    """Yield a batch norm's parameters and statistics."""
    yield from norm(name, width)
    yield f"{name}.running_mean", (width,)
    yield f"{name}.running_var", (width,)
    yield f"{name}.num_batches_tracked", ()


def unit(conv: str, norm: str, shape: Shape) -> Named:
    """Yield a convolution without bias and its batch norm."""
    yield f"{conv}.weight", shape
    yield from batch_norm(norm, shape[0])


def cnn(spec: dict[str, Any]) -> Named:
    """A small convolutional net: conv, ReLU, halve; then two linear layers."""
    inner, side = 3, spec["image"]
    for i, width in enumerate(spec["widths"]):
        yield from convolution(f"convs.{i}", inner, width, 3)
        inner, side = width, side // 2
    yield from linear("hidden", inner * side * side, spec["hidden"])
    yield from linear("head", spec["hidden"], spec["classes"])


def text(spec: dict[str, Any]) -> Named:
    """A frozen table, an LSTM, the largest over time, two linear layers."""
    hidden = spec["hidden"]
    yield "table", (spec["vocabulary"], spec["width"])
    yield "lstm.weight_ih_l0", (4 * hidden, spec["width"])
    yield "lstm.weight_hh_l0", (4 * hidden, hidden)
    yield "lstm.bias_ih_l0", (4 * hidden,)
    yield "lstm.bias_hh_l0", (4 * hidden,)
    yield from linear("hidden", hidden, 16)
    yield from linear("head", 16, 1)


def gpt(spec: dict[str, Any]) -> Named:
    """A decoder as GPT-2's: norms before attention and before the two layers."""
    width = spec["width"]
    yield "table", (spec["vocabulary"], width)
    yield "places", (spec["context"], width)
    for i in range(spec["layers"]):
        yield from norm(f"blocks.{i}.norm1", width)
        yield from linear(f"blocks.{i}.attention", width, 3 * width)
        yield from linear(f"blocks.{i}.project", width, width)
        yield from norm(f"blocks.{i}.norm2", width)
        yield from linear(f"blocks.{i}.expand", width, 4 * width)
        yield from linear(f"blocks.{i}.shrink", 4 * width, width)
    yield from norm("norm", width)
    yield "head.weight", (spec["vocabulary"], width)


def residual_blocks(spec: dict[str, Any]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield name, channels before, inside and after, and stride of each block."""
    inner, spread = spec["width"], 4 if spec["bottleneck"] else 1
    for stage, count in enumerate(spec["blocks"]):
        middle = spec["width"] << stage
        for i in range(count):
            stride = 2 if stage and not i else 1
            yield f"stages.{stage}.{i}", inner, middle, middle * spread, stride
            inner = middle * spread


def resnet(spec: dict[str, Any]) -> Named:
    """A residual net: blocks of two 3x3 convolutions, or of 1x1, 3x3, 1x1."""
    size = 7 if spec["bottleneck"] else 3
    yield from unit("stem", "stem_norm", (spec["width"], 3, size, size))
    outer = spec["width"]
    for name, inner, middle, outer, stride in residual_blocks(spec):
        shapes = [(middle, inner, 3, 3), (outer, middle, 3, 3)]
        if spec["bottleneck"]:
            shapes = [(middle, inner, 1, 1), (middle, middle, 3, 3)]
            shapes += [(outer, middle, 1, 1)]
        for i, shape in enumerate(shapes, 1):
            last = "last" if i == len(shapes) else f"norm{i}"
            yield from unit(f"{name}.conv{i}", f"{name}.{last}", shape)
        if stride > 1 or inner != outer:
            shortcut = f"{name}.shortcut"
            yield from unit(f"{shortcut}.0", f"{shortcut}.1", (outer, inner, 1, 1))
    yield from linear("head", outer, spec["classes"])


# Sandler et al. 2018, table 2: expansion, channels, repetitions, stride.
INVERTED = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
    (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def inverted_blocks(spec: dict[str, Any]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield name, channels before, inside and after, and stride of each block."""
    inner, number = 32, 0
    for spread, outer, count, stride in INVERTED[: spec["stages"]]:
        for i in range(count):
            strided = stride if not i else 1
            yield f"blocks.{number}", inner, inner * spread, outer, strided
            inner, number = outer, number + 1


def mobilenet(spec: dict[str, Any]) -> Named:
    """Inverted residuals: 1x1 wider, 3x3 of each channel alone, 1x1 narrower."""
    yield from unit("stem", "stem_norm", (32, 3, 3, 3))
    outer = 32
    for name, inner, middle, outer, _ in inverted_blocks(spec):
        if middle > inner:
            yield from unit(f"{name}.expand", f"{name}.norm1", (middle, inner, 1, 1))
        yield from unit(f"{name}.depthwise", f"{name}.norm2", (middle, 1, 3, 3))
        yield from unit(f"{name}.shrink", f"{name}.norm3", (outer, middle, 1, 1))
    yield from unit("last", "last_norm", (4 * outer, outer, 1, 1))
    yield from linear("head", 4 * outer, spec["classes"])


def vgg_features(spec: dict[str, Any]) -> Named:
    """The convolutions of VGG, a list of them between two poolings."""
    inner = 3
    for i, widths in enumerate(spec["widths"]):
        for j, width in enumerate(widths):
            yield from convolution(f"features.{i}.{j}", inner, width, 3)
            inner = width


def vgg(spec: dict[str, Any]) -> Named:
    """VGG: convolutions of 3x3 and three linear layers."""
    yield from vgg_features(spec)
    side = spec["image"] >> len(spec["widths"])
    sizes = [spec["widths"][-1][-1] * side * side, spec["hidden"], spec["hidden"]]
    for i, inner in enumerate(sizes):
        outer = spec["classes"] if i == 2 else spec["hidden"]
        yield from linear(f"classifier.{i}", inner, outer)


NETS = {
    "cnn": cnn,
    "text": text,
    "gpt": gpt,
    "resnet": resnet,
    "mobilenet": mobilenet,
    "vgg": vgg,
    "style": vgg_features,
}


# --- channels last


def flattened(spec: dict[str, Any]) -> dict[str, Shape]:
    """Return the linear weights whose input is a flattened image, with its shape
    (channels, height, width).
    """
    if spec["net"] == "cnn":
        side = spec["image"] >> len(spec["widths"])
        return {"hidden.weight": (spec["widths"][-1], side, side)}
    if spec["net"] == "vgg":
        side = spec["image"] >> len(spec["widths"])
        return {"classifier.0.weight": (spec["widths"][-1][-1], side, side)}
    return {}


def channels_last(spec: dict[str, Any]) -> dict[str, Array]:
    """Return the weights for frameworks whose images are (n, height, width, channels):
    convolutions (height, width, in, out), linear layers (in, out).
    """
    found = {}
    images = flattened(spec)
    for name, w in weights(spec).items():
        if name in images:
            w = w.reshape(-1, *images[name]).transpose(0, 2, 3, 1).reshape(w.shape)
        if w.ndim == 4:
            w = w.transpose(2, 3, 1, 0)
        elif w.ndim == 2 and name not in TABLES:
            w = w.T
        found[name] = np.ascontiguousarray(w)
    return found


def images_last(x: Array) -> Array:
    """Return inputs with the channels last, if they are images."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x
