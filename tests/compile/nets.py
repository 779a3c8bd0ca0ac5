"""Training steps as graphs, with random arguments.

Read first: `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import plait
from plait import nn
from plait.transform.simplify import simplify

Net = Callable[[list[Any], Any], Any]


def step(net: Net, shapes: Sequence[tuple[int, ...]], x: tuple[int, ...]) -> Any:
    """Return the graph of a step of gradient descent, and arguments for it.

    Args:
        net: from parameters and input to the output.
        shapes: of the parameters.
        x: the shape of the input.
    """

    def loss(parameters: list[Any], x: Any) -> Any:
        return (net(parameters, x) ** 2).mean()

    def update(parameters: list[Any], x: Any) -> Any:
        value, grads = plait.value_and_grad(loss)(parameters, x)
        new = [p - 0.1 * g for p, g in zip(parameters, grads, strict=True)]
        return value, new

    rng = np.random.default_rng(0)
    arrays = [
        (rng.normal(size=shape) / max(shape[0], 1) ** 0.5).astype(np.float32)
        for shape in (*shapes, x)
    ]
    *parameters, last = [plait.asarray(array) for array in arrays]
    traced = plait.jit(update).trace(parameters, last)
    return simplify(traced.graph), traced.values((parameters, last), {})


def mlp(layers: int, width: int, batch: int, again: bool = False) -> Any:
    """Return a step of a net of tanh layers; `again`: in recomputed blocks of two."""

    def block(a: Any, b: Any, x: Any) -> Any:
        return plait.tanh(plait.tanh(x @ a) @ b)

    one = plait.recompute(block) if again else block

    def net(parameters: list[Any], x: Any) -> Any:
        for a, b in zip(parameters[::2], parameters[1::2], strict=True):
            x = one(a, b, x)
        return x

    return step(net, [(width, width)] * layers, (batch, width))


def transformer(blocks: int, heads: int, width: int, shape: tuple[int, int]) -> Any:
    """Return a step of blocks of attention and a GELU net, with layer norms."""
    batch, length = shape
    part = width // heads

    def attention(q: Any, k: Any, v: Any) -> Any:
        def split(x: Any) -> Any:
            x = x.reshape((batch, length, heads, part))
            return plait.permute_dims(x, (0, 2, 1, 3))

        q, k, v = split(q), split(k), split(v)
        scores = q @ plait.matrix_transpose(k) * part**-0.5
        mixed = plait.permute_dims(plait.softmax(scores, -1) @ v, (0, 2, 1, 3))
        return mixed.reshape((batch, length, width))

    def net(parameters: list[Any], x: Any) -> Any:
        norm, gelu = nn.LayerNorm(width, elementwise_affine=False), nn.GELU()
        for i in range(0, len(parameters), 6):
            q, k, v, out, up, down = parameters[i : i + 6]
            y = norm(x)
            x = x + attention(y @ q, y @ k, y @ v) @ out
            x = x + gelu(norm(x) @ up) @ down
        return x

    square, up, down = (width, width), (width, 4 * width), (4 * width, width)
    return step(net, [*[square] * 4, up, down] * blocks, (*shape, width))
