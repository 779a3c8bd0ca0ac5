"""The nets in TensorFlow: functions compiled with `tf.function`, through XLA where that
is faster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import architecture
import functional
import numpy as np
import protocol
import tensorflow as tf
import workloads

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
tf.config.threading.set_inter_op_parallelism_threads(1)

Tensor = Any
# XLA is slower at convolutions than TensorFlow's own kernels, and compiles the steps
# of an LSTM for minutes.
XLA = ("gpt",)


class Operations:
    """TensorFlow's operations; see `functional.Operations`."""

    def __init__(
        self, weights: dict[str, Tensor], training: bool = False, half: bool = False
    ) -> None:
        self.weights, self.training = weights, training
        self.type = tf.bfloat16 if half else tf.float32
        self.statistics: dict[str, Tensor] = {}  # of batch norms, after this batch

    def conv(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        w, x = self.cast(self.weights[f"{name}.weight"]), self.cast(x)
        half = w.shape[0] // 2
        around = [[0, 0], [half, half], [half, half], [0, 0]]
        padding = around if half and stride > 1 else "SAME"
        strides = [1, stride, stride, 1]
        if groups > 1:
            if padding != "SAME":  # which this operation does not take
                x, padding = tf.pad(x, padding), "VALID"
            w = tf.transpose(w, (0, 1, 3, 2))
            y = tf.nn.depthwise_conv2d(x, w, strides, padding)
        else:
            y = tf.nn.conv2d(x, w, strides, padding)
        return self.with_bias(y, name)

    def linear(self, x: Tensor, name: str) -> Tensor:
        w = self.cast(self.weights[f"{name}.weight"])
        return self.with_bias(self.cast(x) @ w, name)

    def with_bias(self, y: Tensor, name: str) -> Tensor:
        b = self.weights.get(f"{name}.bias")
        return y if b is None else tf.nn.bias_add(y, self.cast(b))

    def cast(self, x: Tensor) -> Tensor:
        return tf.cast(x, self.type)

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        own = self.weights
        given = own[f"{name}.running_mean"], own[f"{name}.running_var"]
        y, mean, var = tf.compat.v1.nn.fused_batch_norm(
            x, own[f"{name}.weight"], own[f"{name}.bias"], *given, epsilon=1e-5,
            is_training=self.training, exponential_avg_factor=0.1,
        )  # fmt: skip
        if self.training:
            self.statistics |= {f"{name}.running_mean": mean}
            self.statistics |= {f"{name}.running_var": var}
        return y

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        mean, var = tf.nn.moments(x, -1, keepdims=True)
        w, b = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return tf.nn.batch_normalization(x, mean, var, b, w, 1e-5)

    def relu(self, x: Tensor) -> Tensor:
        return tf.nn.relu(x)

    def relu6(self, x: Tensor) -> Tensor:
        return tf.nn.relu6(x)

    def gelu(self, x: Tensor) -> Tensor:
        return tf.nn.gelu(x, approximate=True)

    def max_pool(self, x: Tensor, size: int, stride: int, padding: int = 0) -> Tensor:
        around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
        return tf.nn.max_pool2d(x, size, stride, around if padding else "VALID")

    def image_mean(self, x: Tensor) -> Tensor:
        return tf.reduce_mean(x, (1, 2))

    def flatten(self, x: Tensor) -> Tensor:
        return tf.reshape(x, (x.shape[0], -1))

    def look_up(self, ids: Tensor, name: str) -> Tensor:
        return tf.gather(self.weights[name], ids)

    def with_places(self, x: Tensor, name: str) -> Tensor:
        return x + self.weights[name]

    def lstm(self, x: Tensor, name: str) -> Tensor:
        own = self.weights
        # All inputs' products at once, before the loop over time.
        inputs = x @ own[f"{name}.weight_ih_l0"]
        inputs += own[f"{name}.bias_ih_l0"] + own[f"{name}.bias_hh_l0"]
        w = own[f"{name}.weight_hh_l0"]
        hidden = memory = tf.zeros((x.shape[0], w.shape[0]))
        found = []
        for now in tf.unstack(inputs, axis=1):
            i, f, g, o = tf.split(now + hidden @ w, 4, 1)
            memory = tf.sigmoid(f) * memory + tf.sigmoid(i) * tf.tanh(g)
            hidden = tf.sigmoid(o) * tf.tanh(memory)
            found.append(hidden)
        return tf.stack(found, 1)

    def time_max(self, x: Tensor) -> Tensor:
        return tf.reduce_max(x, 1)

    def attention(self, three: Tensor, heads: int) -> Tensor:
        batch, length, width = three.shape
        parts = tf.reshape(three, (batch, length, 3, heads, width // 3 // heads))
        q, k, v = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)))
        scores = tf.matmul(q, k, transpose_b=True) * (q.shape[-1] ** -0.5)
        seen = tf.linalg.band_part(tf.ones((length, length), tf.bool), -1, 0)
        y = tf.nn.softmax(tf.where(seen, scores, -np.inf)) @ v
        return tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (batch, length, width // 3))

    def sqrt(self, x: Tensor) -> Tensor:
        return tf.sqrt(x)


def through_xla(spec: dict[str, Any]) -> bool:
    """Return whether the net is faster through XLA."""
    asked = os.environ.get("BENCHMARK_XLA")  # to find out
    return spec["net"] in XLA if asked is None else asked == "1"


def tensor(x: architecture.Array) -> Tensor:
    """Return inputs as a tensor, channels last if they are images."""
    return tf.constant(architecture.images_last(x))


def resident(spec: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return batches as tensors."""
    pairs = architecture.batches(spec)
    return [(tensor(x), tf.constant(y)) for x, y in pairs]


def loss_from(spec: dict[str, Any], scores: Tensor, y: Tensor) -> Tensor:
    """Return the loss."""
    scores = tf.cast(scores, tf.float32)
    if spec["net"] == "text":
        losses = tf.nn.sigmoid_cross_entropy_with_logits(y, scores)
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, scores)
    return tf.reduce_mean(losses)


class Optimizer:
    """Updates variables in place."""

    def __init__(self, spec: dict[str, Any], trained: dict[str, tf.Variable]) -> None:
        self.spec, self.trained = spec, trained
        self.number = tf.Variable(0.0)
        self.kept = {
            name: [tf.Variable(k) for k in functional.state(spec, tf.zeros_like(p))]
            for name, p in trained.items()
        }

    def update(self, gradients: dict[str, Tensor]) -> None:
        number = self.number.assign_add(1.0)
        for name, p in self.trained.items():
            kept = self.kept[name]
            new, found = functional.update(
                tf, self.spec, p, tf.convert_to_tensor(gradients[name]), kept, number
            )
            for variable, value in zip(kept, found, strict=True):
                variable.assign(value)
            p.assign(new)


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    trained, rest = functional.split(architecture.channels_last(spec))
    trained = {name: tf.Variable(w) for name, w in trained.items()}
    rest = {name: tf.Variable(w, trainable=False) for name, w in rest.items()}
    net, half = functional.NETS[spec["net"]], spec.get("autocast", False)
    optimizer = Optimizer(spec, trained)

    @tf.function(jit_compile=through_xla(spec))
    def whole(x: Tensor, y: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            ops = Operations({**trained, **rest}, training=True, half=half)
            loss = loss_from(spec, net(ops, x, spec), y)
        optimizer.update(tape.gradient(loss, trained))
        for name, value in ops.statistics.items():
            rest[name].assign(value)
        return loss

    data: Iterator[Any] = cycle(resident(spec))

    def run(times: int) -> None:
        for _ in range(times):
            loss = whole(*next(data))
        loss.numpy()

    return [float(whole(*next(data))) for _ in range(spec["check"])], run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    trained, rest = functional.split(architecture.channels_last(spec))
    weights = {name: tf.constant(w) for name, w in {**trained, **rest}.items()}
    net, half = functional.NETS[spec["net"]], spec.get("autocast", False)

    @tf.function(jit_compile=through_xla(spec))
    def scores(x: Tensor) -> Tensor:
        return tf.cast(net(Operations(weights, half=half), x, spec), tf.float32)

    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            scores(next(data)).numpy()

    return workloads.some(scores(batches[0]).numpy()), run


def gram(x: Tensor) -> Tensor:
    """Return how the channels go together, (channels, channels)."""
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.matmul(rows, rows, transpose_a=True) / (rows.shape[0] * rows.shape[1])


def transfer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Iterations of style transfer: Adam on an image that begins as the content."""
    arrays = architecture.channels_last(spec)
    weights = {name: tf.constant(w) for name, w in arrays.items()}
    content, style = map(tensor, architecture.pictures(spec))
    at, places = tuple(spec["content"]), [tuple(place) for place in spec["style"]]

    @tf.function(jit_compile=through_xla(spec))
    def features(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        found = functional.features(Operations(weights), x, spec)
        return found[at], [gram(found[place]) for place in places]

    wanted, grams = features(content)[0], features(style)[1]
    image = tf.Variable(content)
    optimizer = Optimizer(spec, {"image": image})

    @tf.function(jit_compile=through_xla(spec))
    def step() -> Tensor:
        with tf.GradientTape() as tape:
            here, found = features(image)
            apart = sum(
                tf.reduce_mean(tf.square(one - target))
                for one, target in zip(found, grams, strict=True)
            )
            loss = tf.reduce_mean(tf.square(here - wanted)) + spec["weight"] * apart
        optimizer.update({"image": tape.gradient(loss, image)})
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.numpy()

    return [float(step()) for _ in range(spec["check"])], run


def facts() -> dict[str, Any]:
    """Return versions and threads."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return {"tensorflow": tf.__version__, "threads": threads}


MAKERS: dict[str, protocol.Maker] = {
    "net-train": train,
    "net-infer": infer,
    "net-transfer": transfer,
}

if __name__ == "__main__":
    protocol.serve(MAKERS, facts)
