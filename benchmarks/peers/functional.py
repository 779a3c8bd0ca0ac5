"""The nets as functions of named weights, for frameworks that are used that way.

A peer gives its operations as an object; see `Operations`. So JAX, TensorFlow and ONNX
share these definitions. Layouts are the operations' business.

Read first: `Operations`, `NETS`, `loss`, `update`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import architecture

Value = Any  # the framework's array
Weights = Mapping[str, Value]


class Operations(Protocol):
    """What a framework must offer; names of layers are looked up in `weights`."""

    weights: Weights

    def conv(self, x: Value, name: str, stride: int = 1, groups: int = 1) -> Value:
        """A convolution, padded with half of its size; with a bias if there is one."""

    def linear(self, x: Value, name: str) -> Value:
        """A linear layer; with a bias if there is one."""

    def batch_norm(self, x: Value, name: str) -> Value:
        """Batch norm, with the batch's statistics in training."""

    def layer_norm(self, x: Value, name: str) -> Value:
        """Layer norm of the last axis."""

    def relu(self, x: Value) -> Value:
        """What is above 0."""

    def relu6(self, x: Value) -> Value:
        """What is above 0, at most 6."""

    def gelu(self, x: Value) -> Value:
        """GELU with the tanh formula."""

    def max_pool(self, x: Value, size: int, stride: int, padding: int = 0) -> Value:
        """The largest of each window."""

    def image_mean(self, x: Value) -> Value:
        """The mean of each channel, (n, channels)."""

    def flatten(self, x: Value) -> Value:
        """Images as rows."""

    def look_up(self, ids: Value, name: str) -> Value:
        """Rows of a table."""

    def with_places(self, x: Value, name: str) -> Value:
        """What is looked up plus a row for each place."""

    def lstm(self, x: Value, name: str) -> Value:
        """All states of an LSTM, (n, length, hidden)."""

    def time_max(self, x: Value) -> Value:
        """The largest over time, (n, hidden)."""

    def attention(self, three: Value, heads: int) -> Value:
        """Causal attention; q, k and v lie side by side in the last axis."""


def cnn(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """A small convolutional net."""
    for i in range(len(spec["widths"])):
        x = ops.max_pool(ops.relu(ops.conv(x, f"convs.{i}")), 2, 2)
    return ops.linear(ops.relu(ops.linear(ops.flatten(x), "hidden")), "head")


def text(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """An LSTM over a frozen table, and the largest over time."""
    x = ops.time_max(ops.lstm(ops.look_up(x, "table"), "lstm"))
    return ops.linear(ops.relu(ops.linear(x, "hidden")), "head")


def gpt(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """A decoder as GPT-2's."""
    x = ops.with_places(ops.look_up(x, "table"), "places")
    for i in range(spec["layers"]):
        name = f"blocks.{i}"
        y = ops.linear(ops.layer_norm(x, f"{name}.norm1"), f"{name}.attention")
        x = x + ops.linear(ops.attention(y, spec["heads"]), f"{name}.project")
        y = ops.linear(ops.layer_norm(x, f"{name}.norm2"), f"{name}.expand")
        x = x + ops.linear(ops.gelu(y), f"{name}.shrink")
    return ops.linear(ops.layer_norm(x, "norm"), "head")


def resnet(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """A residual net; with bottlenecks for large images, else for small ones."""
    large = spec["bottleneck"]
    x = ops.relu(ops.batch_norm(ops.conv(x, "stem", 2 if large else 1), "stem_norm"))
    if large:
        x = ops.max_pool(x, 3, 2, 1)
    for name, _, _, _, stride in architecture.residual_blocks(spec):
        y = ops.conv(x, f"{name}.conv1", 1 if large else stride)
        y = ops.relu(ops.batch_norm(y, f"{name}.norm1"))
        y = ops.conv(y, f"{name}.conv2", stride if large else 1)
        if large:
            y = ops.relu(ops.batch_norm(y, f"{name}.norm2"))
            y = ops.conv(y, f"{name}.conv3")
        y = ops.batch_norm(y, f"{name}.last")
        if f"{name}.shortcut.0.weight" in ops.weights:
            x = ops.conv(x, f"{name}.shortcut.0", stride)
            x = ops.batch_norm(x, f"{name}.shortcut.1")
        x = ops.relu(y + x)
    return ops.linear(ops.image_mean(x), "head")


def mobilenet(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """MobileNetV2."""
    x = ops.relu6(ops.batch_norm(ops.conv(x, "stem", 2), "stem_norm"))
    for name, inner, middle, outer, stride in architecture.inverted_blocks(spec):
        y = x
        if middle > inner:
            y = ops.batch_norm(ops.conv(y, f"{name}.expand"), f"{name}.norm1")
            y = ops.relu6(y)
        y = ops.conv(y, f"{name}.depthwise", stride, groups=middle)
        y = ops.relu6(ops.batch_norm(y, f"{name}.norm2"))
        y = ops.batch_norm(ops.conv(y, f"{name}.shrink"), f"{name}.norm3")
        x = x + y if stride == 1 and inner == outer else y
    x = ops.relu6(ops.batch_norm(ops.conv(x, "last"), "last_norm"))
    return ops.linear(ops.image_mean(x), "head")


def features(
    ops: Operations, x: Value, spec: dict[str, Any]
) -> dict[tuple[int, int], Value]:
    """All results of VGG's convolutions, by place."""
    found = {}
    for i, widths in enumerate(spec["widths"]):
        if i:
            x = ops.max_pool(x, 2, 2)
        for j in range(len(widths)):
            x = found[i, j] = ops.relu(ops.conv(x, f"features.{i}.{j}"))
    return found


def vgg(ops: Operations, x: Value, spec: dict[str, Any]) -> Value:
    """VGG: the convolutions and three linear layers."""
    last = features(ops, x, spec).popitem()[1]
    x = ops.flatten(ops.max_pool(last, 2, 2))
    for i in range(2):
        x = ops.relu(ops.linear(x, f"classifier.{i}"))
    return ops.linear(x, "classifier.2")


NETS = {
    "cnn": cnn,
    "text": text,
    "gpt": gpt,
    "resnet": resnet,
    "mobilenet": mobilenet,
    "vgg": vgg,
    "style": features,
}


# --- training


def split(
    weights: dict[str, architecture.Array],
) -> tuple[dict[str, architecture.Array], dict[str, architecture.Array]]:
    """Return what is trained, and what is not."""
    fixed = ["running_mean", "running_var"]
    if "lstm.weight_hh_l0" in weights:
        fixed.append("table")
    trained, rest = {}, {}
    for name, w in weights.items():
        if not name.endswith("num_batches_tracked"):
            (rest if name.endswith(tuple(fixed)) else trained)[name] = w
    return trained, rest


def state(spec: dict[str, Any], zeros: Any) -> tuple[Any, ...]:
    """Return what the optimizer keeps for a parameter, where `zeros` are as large."""
    given = spec["optimizer"]
    return (zeros,) if given["name"] == "SGD" else (zeros, zeros)


def update(
    ops: Any, spec: dict[str, Any], p: Value, g: Value, kept: Any, step: Value
) -> tuple[Value, tuple[Value, ...]]:
    """Return a parameter and what is kept for it after an update.

    Args:
        ops: offers `sqrt`.
        spec: says which optimizer it is.
        p: the parameter.
        g: its gradient.
        kept: see `state`.
        step: the number of the update as a float, from 1 on.
    """
    given = spec["optimizer"]
    if given["name"] == "SGD":
        buffer = given["momentum"] * kept[0] + g
        return p - given["lr"] * buffer, (buffer,)
    # Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
    lr, (first, second) = given["lr"], given.get("betas", (0.9, 0.999))
    if given["name"] == "AdamW":
        p = p * (1 - lr * given["weight_decay"])
    mean = first * kept[0] + (1 - first) * g
    square = second * kept[1] + (1 - second) * (g * g)
    size = ops.sqrt(square) / ops.sqrt(1 - second**step) + 1e-8
    return p - (lr / (1 - first**step)) * mean / size, (mean, square)
