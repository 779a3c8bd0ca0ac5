"""Positions of tokens: attention alone does not see the order of its keys.

Read first: `SinusoidalPositionalEncoding`, `RotaryPositionalEmbedding`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Count, Positive, Size
from ..errors import ArgumentError, ShapeError
from . import init
from .module import Module
from .parameter import Buffer, Parameter
from .sample import Sample, uniform


def _table(table: Tensor, layer: str, input: Tensor, offset: Any) -> Tensor:
    """Return the rows of a table for the places along axis -2 of the input.

    Args:
        offset: the place of the first one, a number or a tensor.
    """
    length, features = table.shape
    if input.ndim < 2 or input.shape[-1] != features:
        raise ShapeError(
            f"[{layer}] the input does not fit",
            got=str(input.shape),
            expected=f"(..., length, {features})",
        )
    first = 0 if isinstance(offset, Tensor) else offset
    if first < 0 or first + input.shape[-2] > length:
        raise ShapeError(
            f"[{layer}] there are more places than the layer knows",
            got=f"{first} to {first + input.shape[-2]}",
            expected=f"at most {length}",
            fix="pass a larger max_length",
        )
    if isinstance(offset, Tensor):
        places = plait.arange(input.shape[-2], device=input.device) + offset
        return plait.take(table, places, axis=0)
    return table[first : first + input.shape[-2]]


def _angles(max_length: int, features: int, base: float) -> np.ndarray:
    """Return angles[p, i] = p / base ** (2 i / features), one for each pair."""
    speeds = float(base) ** (-np.arange(0, features, 2) / max(features, 1))
    angles: np.ndarray = np.arange(max_length)[:, None] * speeds
    return angles


class SinusoidalPositionalEncoding(Module):
    """Adds sines and cosines of the place to each token.

    Formula: y[p, 2 i] = x[p, 2 i] + sin(a), y[p, 2 i + 1] = x[p, 2 i + 1] + cos(a),
    with a = p / base ** (2 i / embedding_dim).

    Args:
        embedding_dim: the features of a token.
        max_length: how many places there are at most.
        base: see the formula.
        dtype: of the table. Default: float32.

    Input: shape (..., length, embedding_dim). Result: the same.

    Source: A. Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """

    def __init__(
        self,
        embedding_dim: Size,
        max_length: Count = 5000,
        base: Positive = 10000.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.max_length = max_length
        self.base = base
        angles = _angles(max_length, embedding_dim, base)
        values = np.stack([np.sin(angles), np.cos(angles)], -1)
        values = values.reshape(max_length, -1)[:, :embedding_dim]
        dtype = plait.float32 if dtype is None else dtype
        table = plait.tensor(values, dtype=dtype, device=device)
        self.table = Buffer(table, persistent=False)

    def forward(self, input: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return the input with its places added.

        Args:
            offset: the place of the first token, a number or an integer tensor of
                shape ().
        """
        name = "SinusoidalPositionalEncoding"
        return input + _table(self.table, name, input, offset)

    def extra_repr(self) -> str:
        return f"{self.embedding_dim}, max_length={self.max_length}, base={self.base}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: SinusoidalPositionalEncoding, x: np.ndarray) -> np.ndarray:
            feature = np.arange(layer.embedding_dim)
            powers = layer.base ** (feature // 2 * 2 / layer.embedding_dim)
            a = np.arange(x.shape[-2])[:, None] / powers
            table = np.where(feature % 2, np.cos(a), np.sin(a))
            result: np.ndarray = x + table.astype(np.float32)
            return result

        return [
            Sample((uniform(2, 3, 4),), (4, 8), reference=reference),
            Sample((uniform(2, 3, 5),), (5, 3, 100.0), reference=reference),
        ]


class LearnedPositionalEmbedding(Module):
    """Adds a trained vector to the token at each place.

    Args:
        max_length: how many places there are at most.
        embedding_dim: the features of a token.
        dtype: of the table. Default: float32.

    Attributes:
        weight: shape (max_length, embedding_dim); at first N(0, 0.02 ** 2), as in the
            source.

    Input: shape (..., length, embedding_dim). Result: the same.

    Source: A. Radford et al., "Improving language understanding by generative
    pre-training", 2018.
    """

    def __init__(
        self,
        max_length: Size,
        embedding_dim: Size,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.embedding_dim = embedding_dim
        shape = (max_length, embedding_dim)
        self.weight = Parameter(plait.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the table to new initial values."""
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, input: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return the input with the vectors of its places added.

        Args:
            offset: the place of the first token, a number or an integer tensor of
                shape ().
        """
        return input + _table(self.weight, "LearnedPositionalEmbedding", input, offset)

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.embedding_dim}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: LearnedPositionalEmbedding, x: np.ndarray) -> Any:
            return x + layer.weight.numpy()[: x.shape[-2]]

        return [
            Sample((uniform(2, 3, 4),), (5, 4), reference=reference),
            Sample((uniform(3, 4),), (3, 4), separable=False, reference=reference),
        ]


class RotaryPositionalEmbedding(Module):
    """Turns pairs of features by angles that grow with the place.

    The product of a query and a key turned so depends on their distance only. Apply it
    to both.

    Formula: with a = p / base ** (2 i / dim), the pair (u, v) becomes
    (u cos a - v sin a, v cos a + u sin a).

    Args:
        dim: the features of a head; even.
        max_length: how many places there are at most.
        base: see the formula.
        interleaved: pair i is (x[2 i], x[2 i + 1]), as in the source; else it is
            (x[i], x[i + dim / 2]), as in many published weights.
        dtype: of the tables. Default: float32.

    Input: shape (..., length, dim), such as (batch, heads, length, dim). Result: the
    same.

    Raises:
        ArgumentError: `dim` is odd.

    Source: J. Su et al., "RoFormer: enhanced transformer with rotary position
    embedding", 2021.
    """

    def __init__(
        self,
        dim: Size,
        max_length: Size = 4096,
        base: Positive = 10000.0,
        interleaved: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ArgumentError(
                "[RotaryPositionalEmbedding] features are turned in pairs",
                got=f"dim={dim}",
                expected="an even number",
            )
        self.dim = dim
        self.max_length = max_length
        self.base = base
        self.interleaved = interleaved
        angles = _angles(max_length, dim, base)
        both = [np.cos(angles), np.sin(angles)]
        both = [
            np.repeat(x, 2, axis=1) if interleaved else np.tile(x, (1, 2)) for x in both
        ]
        dtype = plait.float32 if dtype is None else dtype
        self.cosines, self.sines = (
            Buffer(plait.tensor(x, dtype=dtype, device=device), persistent=False)
            for x in both
        )

    def forward(self, input: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return the input, turned.

        Args:
            offset: the place of the first token, a number or an integer tensor of
                shape ().
        """
        name = "RotaryPositionalEmbedding"
        cosines = _table(self.cosines, name, input, offset)
        sines = _table(self.sines, name, input, offset)
        # Beside u stands -v, beside v stands u.
        if self.interleaved:
            pairs = input.reshape((*input.shape[:-1], self.dim // 2, 2))
            beside = plait.stack([-pairs[..., 1], pairs[..., 0]], axis=-1)
            beside = beside.reshape(input.shape)
        else:
            u, v = plait.chunk(input, 2, axis=-1)
            beside = plait.concat([-v, u], axis=-1)
        return input * cosines + beside * sines

    def extra_repr(self) -> str:
        return (
            f"{self.dim}, max_length={self.max_length}, base={self.base}, "
            f"interleaved={self.interleaved}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: RotaryPositionalEmbedding, x: np.ndarray) -> np.ndarray:
            pairs = layer.dim // 2
            first = slice(0, None, 2) if layer.interleaved else slice(pairs)
            second = slice(1, None, 2) if layer.interleaved else slice(pairs, None)
            powers = layer.base ** (np.arange(pairs) * 2 / layer.dim)
            a = np.arange(x.shape[-2])[:, None] / powers
            cosines, sines = np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)
            u, v = x[..., first], x[..., second]
            result = np.empty_like(x)
            result[..., first] = u * cosines - v * sines
            result[..., second] = v * cosines + u * sines
            return result

        return [
            Sample((uniform(2, 3, 5, 4),), (4, 8), reference=reference),
            Sample((uniform(2, 3, 4),), (4, 3, 100.0, False), reference=reference),
        ]


class ALiBi(Module):
    """Subtracts from scores of attention what grows with the distance of the key.

    Formula: y[..., h, i, j] = x[..., h, i, j] - slope[h] * abs(offset + i - j). For n
    heads, n a power of 2, slope[h] = 2 ** (-8 * (h + 1) / n); else the slopes are those
    of the next lower power of 2, and every second of twice that power.

    Args:
        num_heads: how many heads there are.
        dtype: of the slopes. Default: float32.

    Input: scores of shape (..., num_heads, l, s). Result: the same.

    Source: O. Press et al., "Train short, test long: attention with linear biases
    enables input length extrapolation", 2022.
    """

    _shown = ("num_heads",)

    def __init__(self, num_heads: Count, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        whole = 2 ** (num_heads.bit_length() - 1)
        slopes = 2.0 ** (-8 * np.arange(1, whole + 1) / whole)
        between = 2.0 ** (-4 * np.arange(1, 2 * whole, 2) / whole)
        values = np.concatenate([slopes, between])[:num_heads]
        dtype = plait.float32 if dtype is None else dtype
        table = plait.tensor(values, dtype=dtype, device=device)
        self.slopes = Buffer(table, persistent=False)

    def bias(self, queries: int, keys: int, offset: int | Tensor = 0) -> Tensor:
        """Return what is added to the scores, shape (num_heads, queries, keys).

        It is a mask for `plait.scaled_dot_product_attention`.

        Args:
            queries, keys: how many there are.
            offset: the place of the first query, a number or an integer tensor of shape
                ().
        """
        places = (plait.arange(queries) + offset).unsqueeze(1)
        distance = plait.abs(places - plait.arange(keys)).to(self.slopes.dtype)
        return -self.slopes.reshape((self.num_heads, 1, 1)) * distance

    def forward(self, scores: Tensor, offset: int | Tensor = 0) -> Tensor:
        """Return the scores with the bias added.

        Args:
            scores: see the class.
            offset: the place of the first query.

        Raises:
            ShapeError: the scores have other heads.
        """
        if scores.ndim < 3 or scores.shape[-3] != self.num_heads:
            raise ShapeError(
                "[ALiBi] the scores do not fit",
                got=f"shape {scores.shape}",
                expected=f"(..., {self.num_heads}, l, s)",
            )
        return scores + self.bias(scores.shape[-2], scores.shape[-1], offset)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: ALiBi, x: np.ndarray) -> np.ndarray:
            slopes = {4: [1 / 4, 1 / 16, 1 / 64, 1 / 256], 3: [1 / 16, 1 / 256, 1 / 4]}
            i, j = np.indices(x.shape[-2:])
            each = np.reshape(slopes[x.shape[-3]], (-1, 1, 1))
            result: np.ndarray = x - each * np.abs(i - j)
            return result

        return [
            Sample((uniform(2, 4, 3, 5),), (4,), reference=reference),
            Sample((uniform(2, 3, 4, 4),), (3,), reference=reference),
        ]
