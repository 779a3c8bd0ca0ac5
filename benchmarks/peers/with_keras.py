"""The nets in Keras: functional models, `train_on_batch` and `predict_on_batch`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import architecture
import functional
import keras
import numpy as np
import protocol
import workloads

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    threads = int(os.environ["OMP_NUM_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

Tensor = Any


class Places(keras.layers.Layer):
    """Adds a row for each place."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.rows = self.add_weight(shape=shape[1:])

    def call(self, x: Tensor) -> Tensor:
        return x + keras.ops.cast(self.rows, x.dtype)


class Attention(keras.layers.Layer):
    """Causal attention of q, k and v that lie side by side."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def call(self, three: Tensor) -> Tensor:
        batch, length, width = three.shape
        parts = keras.ops.reshape(three, (batch, length, 3 * self.heads, -1))
        q, k, v = keras.ops.split(parts, 3, 2)
        y = keras.ops.nn.dot_product_attention(q, k, v, is_causal=True)
        return keras.ops.reshape(y, (batch, length, width // 3))


class Operations:
    """Makes layers with given weights; see `functional.Operations`."""

    def __init__(self, weights: dict[str, architecture.Array]) -> None:
        self.weights = weights

    def layer(self, layer: Any, x: Tensor, name: str, parts: str) -> Tensor:
        """Return a layer's result, after it was given the parts that there are."""
        y = layer(x)
        given = [f"{name}.{part}" for part in parts.split()]
        layer.set_weights([self.weights[n] for n in given if n in self.weights])
        return y

    def conv(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        w = self.weights[f"{name}.weight"]
        padding = "same"
        if stride > 1 and w.shape[0] > 1:
            x, padding = keras.layers.ZeroPadding2D(w.shape[0] // 2)(x), "valid"
        bias = f"{name}.bias" in self.weights
        named = {"strides": stride, "padding": padding, "use_bias": bias}
        if groups > 1:
            layer = keras.layers.DepthwiseConv2D(w.shape[0], **named)
            self.weights[f"{name}.turned"] = w.transpose(0, 1, 3, 2)
            return self.layer(layer, x, name, "turned bias")
        layer = keras.layers.Conv2D(w.shape[3], w.shape[0], **named)
        return self.layer(layer, x, name, "weight bias")

    def linear(self, x: Tensor, name: str) -> Tensor:
        bias = f"{name}.bias" in self.weights
        size = self.weights[f"{name}.weight"].shape[1]
        layer = keras.layers.Dense(size, use_bias=bias)
        return self.layer(layer, x, name, "weight bias")

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
        return self.layer(layer, x, name, "weight bias running_mean running_var")

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        layer = keras.layers.LayerNormalization(epsilon=1e-5)
        return self.layer(layer, x, name, "weight bias")

    def relu(self, x: Tensor) -> Tensor:
        return keras.ops.relu(x)

    def relu6(self, x: Tensor) -> Tensor:
        return keras.ops.relu6(x)

    def gelu(self, x: Tensor) -> Tensor:
        return keras.ops.gelu(x, approximate=True)

    def max_pool(self, x: Tensor, size: int, stride: int, padding: int = 0) -> Tensor:
        if padding:  # after a ReLU zeros are never the largest alone
            x = keras.layers.ZeroPadding2D(padding)(x)
        return keras.layers.MaxPooling2D(size, stride)(x)

    def image_mean(self, x: Tensor) -> Tensor:
        return keras.layers.GlobalAveragePooling2D()(x)

    def flatten(self, x: Tensor) -> Tensor:
        return keras.layers.Flatten()(x)

    def look_up(self, ids: Tensor, name: str) -> Tensor:
        frozen = "places" not in self.weights
        layer = keras.layers.Embedding(*self.weights[name].shape, trainable=not frozen)
        y = layer(ids)
        layer.set_weights([self.weights[name]])
        return y

    def with_places(self, x: Tensor, name: str) -> Tensor:
        layer = Places()
        y = layer(x)
        layer.set_weights([self.weights[name]])
        return y

    def lstm(self, x: Tensor, name: str) -> Tensor:
        own = self.weights
        biases = own[f"{name}.bias_ih_l0"], own[f"{name}.bias_hh_l0"]
        own[f"{name}.bias"] = biases[0] + biases[1]
        size = own[f"{name}.weight_hh_l0"].shape[0]
        layer = keras.layers.LSTM(size, return_sequences=True)
        return self.layer(layer, x, name, "weight_ih_l0 weight_hh_l0 bias")

    def time_max(self, x: Tensor) -> Tensor:
        return keras.layers.GlobalMaxPooling1D()(x)

    def attention(self, three: Tensor, heads: int) -> Tensor:
        return Attention(heads)(three)


def network(spec: dict[str, Any]) -> keras.Model:
    """Return the net with the given weights."""
    policy = "mixed_bfloat16" if spec.get("autocast") else "float32"
    keras.config.set_dtype_policy(policy)
    x = architecture.images_last(architecture.batches(spec)[0][0])
    entry = keras.Input(batch_shape=x.shape, dtype=str(x.dtype))
    net = functional.NETS[spec["net"]]
    scores = net(Operations(architecture.channels_last(spec)), entry, spec)
    whole = keras.layers.Activation("linear", dtype="float32")
    return keras.Model(entry, whole(scores))


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    convert = keras.ops.convert_to_tensor
    pairs = architecture.batches(spec)
    return [(convert(architecture.images_last(x)), convert(y)) for x, y in pairs]


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; their losses are what Keras returns."""
    model = network(spec)
    given = dict(spec["optimizer"])
    kind = getattr(keras.optimizers, given.pop("name"))
    given["learning_rate"] = given.pop("lr")
    if kind is not keras.optimizers.SGD:
        given["epsilon"] = 1e-8
    losses = keras.losses
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    if spec["net"] == "text":
        loss = losses.BinaryCrossentropy(from_logits=True)
    model.compile(kind(**given), loss)
    data: Iterator[Any] = cycle(resident(spec))

    def run(times: int) -> None:
        for _ in range(times):
            model.train_on_batch(*next(data))

    # Keras's LSTM has one bias where the others' have two, which learn twice as fast:
    # only the first loss is the same.
    check, steps = [], min(1, spec["check"]) if spec["net"] == "text" else spec["check"]
    for _ in range(steps):
        model.reset_metrics()  # else it is the mean of all so far
        check.append(float(model.train_on_batch(*next(data))))
    return check, run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    model = network(spec)
    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            np.asarray(model.predict_on_batch(next(data)))

    return workloads.some(model.predict_on_batch(batches[0])), run


def facts() -> dict[str, Any]:
    """Return versions and threads."""
    version = f"{keras.__version__} on {keras.backend.backend()}"
    return {"keras": version, "threads": int(os.environ["OMP_NUM_THREADS"])}


MAKERS: dict[str, protocol.Maker] = {"net-train": train, "net-infer": infer}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)
