"""The nets in JAX; what `with_jax.py` runs.

Read first: `Operations`, `train`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import architecture
import functional
import jax
import jax.numpy as jnp
import numpy as np
import protocol
import workloads
from jax import Array, lax

IMAGES = ("NHWC", "HWIO", "NHWC")


class Operations:
    """JAX's operations; see `functional.Operations`."""

    def __init__(
        self, weights: dict[str, Array], training: bool = False, half: bool = False
    ) -> None:
        self.weights, self.training = weights, training
        self.type = jnp.bfloat16 if half else jnp.float32
        self.statistics: dict[str, Array] = {}  # of batch norms, after this batch

    def conv(self, x: Array, name: str, stride: int = 1, groups: int = 1) -> Array:
        w = self.weights[f"{name}.weight"].astype(self.type)
        half = (w.shape[0] // 2, w.shape[0] // 2)
        y = lax.conv_general_dilated(
            x.astype(self.type), w, (stride, stride), (half, half),
            dimension_numbers=IMAGES, feature_group_count=groups,
        )  # fmt: skip
        return self.with_bias(y, name)

    def linear(self, x: Array, name: str) -> Array:
        w = self.weights[f"{name}.weight"].astype(self.type)
        return self.with_bias(x.astype(self.type) @ w, name)

    def with_bias(self, y: Array, name: str) -> Array:
        b = self.weights.get(f"{name}.bias")
        return y if b is None else y + b.astype(self.type)

    def batch_norm(self, x: Array, name: str) -> Array:
        own = self.weights
        mean, var = own[f"{name}.running_mean"], own[f"{name}.running_var"]
        if self.training:
            count = x.size // x.shape[-1]
            batch_mean = x.mean((0, 1, 2))
            batch_var = jnp.square(x).mean((0, 1, 2)) - jnp.square(batch_mean)
            unbiased = batch_var * (count / (count - 1))
            self.statistics |= {
                f"{name}.running_mean": 0.9 * mean + 0.1 * batch_mean,
                f"{name}.running_var": 0.9 * var + 0.1 * unbiased,
            }
            mean, var = batch_mean, batch_var
        scale = own[f"{name}.weight"] * lax.rsqrt(var + 1e-5)
        return x * scale + (own[f"{name}.bias"] - mean * scale)

    def layer_norm(self, x: Array, name: str) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def relu(self, x: Array) -> Array:
        return jax.nn.relu(x)

    def relu6(self, x: Array) -> Array:
        return jax.nn.relu6(x)

    def gelu(self, x: Array) -> Array:
        return jax.nn.gelu(x, approximate=True)

    def max_pool(self, x: Array, size: int, stride: int, padding: int = 0) -> Array:
        around = (padding, padding)
        return lax.reduce_window(
            x, np.array(-np.inf, x.dtype), lax.max, (1, size, size, 1),
            (1, stride, stride, 1), ((0, 0), around, around, (0, 0)),
        )  # fmt: skip

    def image_mean(self, x: Array) -> Array:
        return x.mean((1, 2))

    def flatten(self, x: Array) -> Array:
        return x.reshape(x.shape[0], -1)

    def look_up(self, ids: Array, name: str) -> Array:
        return self.weights[name][ids]

    def with_places(self, x: Array, name: str) -> Array:
        return x + self.weights[name]

    def lstm(self, x: Array, name: str) -> Array:
        own = self.weights
        # All inputs' products at once, before the loop over time.
        inputs = x @ own[f"{name}.weight_ih_l0"]
        inputs += own[f"{name}.bias_ih_l0"] + own[f"{name}.bias_hh_l0"]
        w = own[f"{name}.weight_hh_l0"]

        def cell(state: tuple[Array, Array], x: Array) -> Any:
            hidden, memory = state
            i, f, g, o = jnp.split(x + hidden @ w, 4, 1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
            return (hidden, memory), hidden

        zeros = jnp.zeros((x.shape[0], w.shape[0]), x.dtype)
        _, found = lax.scan(cell, (zeros, zeros), inputs.swapaxes(0, 1))
        return found.swapaxes(0, 1)

    def time_max(self, x: Array) -> Array:
        return x.max(1)

    def attention(self, three: Array, heads: int) -> Array:
        batch, length, width = three.shape
        q, k, v = jnp.split(three.reshape(batch, length, 3 * heads, -1), 3, 2)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return y.reshape(batch, length, width // 3)

    def sqrt(self, x: Array) -> Array:
        return jnp.sqrt(x)


def network(spec: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return what is trained, and what is not."""
    trained, rest = functional.split(architecture.channels_last(spec))
    return jax.tree.map(jnp.asarray, trained), jax.tree.map(jnp.asarray, rest)


def image(x: architecture.Array) -> Array:
    """Return inputs as JAX's, channels last if they are images."""
    return jnp.asarray(architecture.images_last(x))


def resident(spec: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Return batches as JAX's arrays."""
    pairs = architecture.batches(spec)
    return [(image(x), jnp.asarray(y)) for x, y in pairs]


def loss_from(spec: dict[str, Any], scores: Array, y: Array) -> Array:
    """Return the loss."""
    scores = scores.astype(jnp.float32)
    if spec["net"] == "text":
        return (jax.nn.softplus(scores) - scores * y).mean()
    shares = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(shares, y[..., None], -1).mean()


def kept_for(spec: dict[str, Any], trained: dict[str, Array]) -> Any:
    """Return what the optimizer keeps; no two of its arrays are the same one, as they
    are given away.
    """
    shapes = {name: functional.state(spec, p.shape) for name, p in trained.items()}
    return {name: tuple(map(jnp.zeros, several)) for name, several in shapes.items()}


def updated(
    spec: dict[str, Any],
    trained: dict[str, Array],
    gradients: dict[str, Array],
    kept: Any,
    step: Array,
) -> tuple[dict[str, Array], Any]:
    """Return parameters and what the optimizer keeps after an update."""
    found = {
        name: functional.update(jnp, spec, p, gradients[name], kept[name], step)
        for name, p in trained.items()
    }
    return {n: p for n, (p, _) in found.items()}, {n: k for n, (_, k) in found.items()}


def train(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Training steps, with a new batch each; the last loss is looked at."""
    trained, rest = network(spec)
    net, half = functional.NETS[spec["net"]], spec.get("autocast", False)
    kept, number = kept_for(spec, trained), jnp.zeros(())

    def loss_of(trained: Any, rest: Any, x: Array, y: Array) -> Any:
        ops = Operations({**trained, **rest}, training=True, half=half)
        loss = loss_from(spec, net(ops, x, spec), y)
        return loss, {**rest, **ops.statistics}

    def whole(trained: Any, rest: Any, kept: Any, number: Array, x: Array, y: Array):
        derived = jax.value_and_grad(loss_of, has_aux=True)
        (loss, rest), gradients = derived(trained, rest, x, y)
        number = number + 1
        trained, kept = updated(spec, trained, gradients, kept, number)
        return trained, rest, kept, number, loss

    compiled = jax.jit(whole, donate_argnums=(0, 1, 2, 3))
    data: Iterator[Any] = cycle(resident(spec))

    def step() -> Array:
        nonlocal trained, rest, kept, number
        trained, rest, kept, number, loss = compiled(
            trained, rest, kept, number, *next(data)
        )
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()
        jax.block_until_ready(trained)

    return [step().item() for _ in range(spec["check"])], run


def infer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Scores of a batch, each looked at."""
    trained, rest = network(spec)
    weights = {**trained, **rest}
    net, half = functional.NETS[spec["net"]], spec.get("autocast", False)

    @jax.jit
    def scores(weights: dict[str, Array], x: Array) -> Array:
        return net(Operations(weights, half=half), x, spec).astype(jnp.float32)

    batches = [x for x, _ in resident(spec)]
    data: Iterator[Any] = cycle(batches)

    def run(times: int) -> None:
        for _ in range(times):
            np.asarray(scores(weights, next(data)))

    return workloads.some(scores(weights, batches[0])), run


def gram(x: Array) -> Array:
    """Return how the channels go together, (channels, channels)."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.T @ rows / rows.size


def transfer(spec: dict[str, Any]) -> tuple[list[float], protocol.Run]:
    """Iterations of style transfer: Adam on an image that begins as the content."""
    weights, _ = network(spec)
    content, style = map(image, architecture.pictures(spec))
    at, places = tuple(spec["content"]), [tuple(place) for place in spec["style"]]

    def features(weights: dict[str, Array], x: Array) -> dict[Any, Array]:
        return functional.features(Operations(weights), x, spec)

    wanted = jax.jit(lambda w, x: features(w, x)[at])(weights, content)
    found = jax.jit(lambda w, x: [gram(features(w, x)[place]) for place in places])
    grams = found(weights, style)
    picture, number = {"image": content}, jnp.zeros(())
    kept = kept_for(spec, picture)

    def loss_of(picture: Any, weights: Any, wanted: Array, grams: Any) -> Array:
        found = features(weights, picture["image"])
        apart = sum(
            jnp.square(gram(found[place]) - target).mean()
            for place, target in zip(places, grams, strict=True)
        )
        return jnp.square(found[at] - wanted).mean() + spec["weight"] * apart

    def whole(picture: Any, kept: Any, number: Array, *given: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(picture, *given)
        number = number + 1
        picture, kept = updated(spec, picture, gradients, kept, number)
        return picture, kept, number, loss

    compiled = jax.jit(whole, donate_argnums=(0, 1, 2))

    def step() -> Array:
        nonlocal picture, kept, number
        picture, kept, number, loss = compiled(
            picture, kept, number, weights, wanted, grams
        )
        return loss

    def run(times: int) -> None:
        for _ in range(times):
            loss = step()
        loss.item()
        jax.block_until_ready(picture)

    return [step().item() for _ in range(spec["check"])], run


MAKERS: dict[str, protocol.Maker] = {
    "net-train": train,
    "net-infer": infer,
    "net-transfer": transfer,
}
