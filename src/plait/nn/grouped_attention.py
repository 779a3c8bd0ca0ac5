"""Attention with fewer heads of keys and values than of queries.

Read first: `GroupQueryAttention`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Count, Probability, Size
from ..errors import ArgumentError
from . import init
from .attention import (
    KVCache,
    check_three,
    heads_apart,
    heads_together,
    joint_mask,
    narrowed,
)
from .linear import Linear
from .module import Module
from .positions import RotaryPositionalEmbedding
from .sample import Sample, linear_map, uniform


class GroupQueryAttention(Module):
    """Attention in several heads, of which groups share keys and values.

    With as many heads of keys as of queries it is `MultiheadAttention`, with one it is
    called multi-query attention. A cache takes less memory by the size of the groups.
    Keys and values are not repeated in memory.

    Formula: concat(head_1, ..., head_h) @ out_proj.weight.T + out_proj.bias, with
    head_i = softmax(q_i @ k_g.T / sqrt(head_dim) + mask) @ v_g, g the group of i, where
    q, k and v are linear maps of query, key and value.

    Args:
        embed_dim: the features of the query and of the result.
        num_heads: the heads of the query.
        num_kv_heads: the heads of key and value, which divide `num_heads`.
        dropout: with which probability a weight is left out in training.
        bias: whether the linear maps have offsets.
        head_dim: the features of a head. Default: embed_dim / num_heads.
        kdim, vdim: the features of key and value. Default: `embed_dim`.
        batch_first: batches are the first axis of inputs and result, not the second.
        positions: what queries and keys go through, heads apart, before they meet: such
            as a `RotaryPositionalEmbedding(head_dim)`. It is called with a tensor of
            shape (n, heads, length, head_dim) and the place of its first token.
        sliding_window: tokens see others that are less than so many places away.
            Default: no limit.
        use_gate: multiply what the heads give by sigmoid(gate_proj(query)).
        dtype: of the parameters. Default: float32.

    Attributes:
        q_proj, k_proj, v_proj, out_proj: `Linear` layers of num_heads * head_dim,
            num_kv_heads * head_dim, again num_kv_heads * head_dim, and embed_dim
            features. Weights are at first from `init.xavier_uniform_`, offsets 0.
        gate_proj: a `Linear` of num_heads * head_dim features; or None.
        positions: see above; or None.

    Input: query of shape (l, n, embed_dim), key (s, n, kdim) and value (s, n, vdim).
    Result: the query's shape, and the weights.

    Source: J. Ainslie et al., "GQA: training generalized multi-query transformer models
    from multi-head checkpoints", 2023; windows: I. Beltagy et al., "Longformer: the
    long-document transformer", 2020; the gate: Z. Qiu et al., "Gated attention for
    large language models", 2025.
    """

    gate_proj: Linear | None

    def __init__(
        self,
        embed_dim: Size,
        num_heads: Size,
        num_kv_heads: Size,
        dropout: Probability = 0.0,
        bias: bool = True,
        head_dim: Count | None = None,
        kdim: Size | None = None,
        vdim: Size | None = None,
        batch_first: bool = False,
        positions: Module | None = None,
        sliding_window: int | None = None,
        use_gate: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "GroupQueryAttention"
        if not num_heads or not num_kv_heads or num_heads % num_kv_heads:
            raise ArgumentError(
                f"[{name}] the heads cannot be divided into groups evenly",
                got=f"num_heads={num_heads}, num_kv_heads={num_kv_heads}",
                expected="a multiple of num_kv_heads, and neither 0",
            )
        if head_dim is None and embed_dim % num_heads:
            raise ArgumentError(
                f"[{name}] the heads cannot share the features evenly",
                got=f"embed_dim={embed_dim}, num_heads={num_heads}",
                fix="give head_dim",
            )
        if sliding_window is not None and sliding_window < 1:
            raise ArgumentError(
                f"[{name}] a token sees itself at least",
                got=f"sliding_window={sliding_window}",
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout = dropout
        self.batch_first = batch_first
        self.sliding_window = sliding_window
        like = {"device": device, "dtype": dtype}
        wide, narrow = num_heads * self.head_dim, num_kv_heads * self.head_dim
        self.q_proj = Linear(embed_dim, wide, bias, **like)
        self.k_proj = Linear(self.kdim, narrow, bias, **like)
        self.v_proj = Linear(self.vdim, narrow, bias, **like)
        self.out_proj = Linear(wide, embed_dim, bias, **like)
        self.gate_proj = Linear(embed_dim, wide, bias, **like) if use_gate else None
        self.positions = positions
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        parts = (self.q_proj, self.k_proj, self.v_proj, self.out_proj, self.gate_proj)
        for one in parts:
            if one is None:
                continue
            init.xavier_uniform_(one.weight)
            if one.bias is not None:
                init.zeros_(one.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        cache: KVCache | None = None,
        dropout_key: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the result, and the weights if they are needed.

        Args:
            query: shape (l, n, embed_dim), with `batch_first` (n, l, embed_dim), or
                for one example (l, embed_dim).
            key: the same with s and kdim.
            value: the same with s and vdim.
            key_padding_mask: shape (n, s), for one example (s,). bool: true where a
                key is *not* attended to. Floating-point: added to the scores.
            need_weights: return the weights too. Without, long sequences take less
                memory.
            attn_mask: shape (l, s) or (n * num_heads, l, s); as `key_padding_mask`.
            average_attn_weights: return the mean of the heads' weights.
            is_causal: position i of l attends to positions 0..i of s only.
            cache: a `KVCache` of `num_kv_heads` heads with keys and values of earlier
                tokens, to which those of this call are added: l new tokens attend to
                them all, and causally to one another.
            dropout_key: for the random numbers of dropout. Default: the default
                generator's next; inside `jit` one must be given.

        Returns:
            The result, of the query's shape; and the weights, shape (n, l, s), with
            heads not averaged (n, num_heads, l, s), for one example without n; or None.

        Raises:
            ShapeError: a shape does not fit.
            DTypeError: a mask is of integers.
            ArgumentError: `cache` together with masks.

        Special cases: where masks allow no key, the weights are 0.
        """
        name = "GroupQueryAttention"
        single = query.ndim == 2
        features, first = (self.embed_dim, self.kdim, self.vdim), self.batch_first
        check_three(name, (query, key, value), features, first)
        q = heads_apart(self.q_proj(query), self.num_heads, first)
        k, v = (
            heads_apart(x, self.num_kv_heads, first)
            for x in (self.k_proj(key), self.v_proj(value))
        )
        shape = (*q.shape[:3], k.shape[2])
        mask = joint_mask(name, shape, key_padding_mask, attn_mask)
        place: Any = 0 if cache is None else cache.position
        if self.positions is not None:
            q, k = self.positions(q, place), self.positions(k, place)
        if cache is not None:
            if mask is not None:
                raise ArgumentError(f"[{name}] a cache does not go with masks")
            k, v, mask = cache.update(k, v)
            is_causal = False
        mask = self._near(mask, place, q.shape[2], k.shape[2])
        p = self.dropout if self.training else 0.0
        if p and dropout_key is None:
            dropout_key = plait.random.next_key()
        weights = None
        if need_weights:
            weights, mixed = self._weighted(q, k, v, mask, is_causal, p, dropout_key)
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights.squeeze(0) if single else weights
        else:
            mixed = plait.scaled_dot_product_attention(
                q, k, v, mask, p, is_causal, enable_gqa=True,
                dropout_key=dropout_key if p else None,
            )  # fmt: skip
        result = heads_together(mixed, query.shape[:-1], first)
        if self.gate_proj is not None:
            result = result * plait.sigmoid(self.gate_proj(query))
        return self.out_proj(result), weights

    def _near(
        self, mask: Tensor | None, place: Any, queries: int, keys: int
    ) -> Tensor | None:
        """Return a mask that also allows no key outside the window.

        Args:
            place: that of the first query.
        """
        if self.sliding_window is None:
            return mask
        distance = (plait.arange(queries) + place).unsqueeze(1) - plait.arange(keys)
        return narrowed(mask, plait.abs(distance) < self.sliding_window)

    def _weighted(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool,
        p: float, dropout_key: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return the weights, heads apart, and the values mixed by them."""
        n, heads, length, size = q.shape
        groups, each = self.num_kv_heads, heads // self.num_kv_heads
        k, v = k.unsqueeze(2), v.unsqueeze(2)
        if mask is not None and mask.ndim == 4:
            shape = (groups, each) if mask.shape[1] == heads else (1, 1)
            mask = mask.reshape((mask.shape[0], *shape, *mask.shape[2:]))
        grouped = q.reshape((n, groups, each, length, size))
        weights = plait.attention_weights(grouped, k, mask, is_causal)
        if p:
            weights = plait.dropout(weights, p, key=dropout_key)
        mixed = (weights @ v).reshape((n, heads, length, size))
        return weights.reshape((n, heads, *weights.shape[3:])), mixed

    def extra_repr(self) -> str:
        text = f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, "
        text += f"num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.sliding_window is not None:
            text += f", sliding_window={self.sliding_window}"
        return text + f", batch_first={self.batch_first}"

    @staticmethod
    def samples() -> list[Sample]:
        first = {"batch_first": True}
        three = (uniform(2, 3, 8), uniform(2, 5, 8) * 0.7, uniform(2, 5, 8) * 0.3)
        wrt = (0, 1, 2)
        turned = {
            "batch_first": True, "bias": False,
            "positions": RotaryPositionalEmbedding(2), "sliding_window": 2,
            "use_gate": True,
        }  # fmt: skip
        return [
            Sample(
                three, (8, 4, 2), {"bias": False, **first}, wrt=wrt, reference=_by_hand,
            ),
            Sample(three, (8, 4, 1), first, wrt=wrt, reference=_by_hand),
            Sample(
                (uniform(3, 2, 4), uniform(5, 2, 6), uniform(5, 2, 2)), (4, 4, 1),
                {"kdim": 6, "vdim": 2, "head_dim": 3}, wrt=wrt, separable=False,
                reference=_by_hand,
            ),
            Sample(three, (8, 4, 4), turned, wrt=wrt, like_torch="never"),
            Sample(
                (uniform(3, 4), uniform(5, 4), uniform(5, 4)), (4, 2, 1), wrt=wrt,
                separable=False, reference=_by_hand,
            ),
        ]  # fmt: skip


def _by_hand(
    layer: GroupQueryAttention, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> Any:
    """Return the result and the mean weights, for the reference."""
    if query.ndim == 2:
        result, mean = _by_hand(layer, query[:, None], key[:, None], value[:, None])
        return result[:, 0], mean[0]
    if not layer.batch_first:
        query, key, value = (x.swapaxes(0, 1) for x in (query, key, value))
    size, each = layer.head_dim, layer.num_heads // layer.num_kv_heads
    q = linear_map(layer.q_proj, query)
    k, v = linear_map(layer.k_proj, key), linear_map(layer.v_proj, value)
    mixed, mean = [], np.zeros((*query.shape[:2], key.shape[1]))
    for head in range(layer.num_heads):
        own = slice(head * size, (head + 1) * size)
        shared = slice(head // each * size, (head // each + 1) * size)
        scores = np.exp(q[..., own] @ k[..., shared].swapaxes(1, 2) / np.sqrt(size))
        weights = scores / scores.sum(-1, keepdims=True)
        mixed.append(weights @ v[..., shared])
        mean += weights / layer.num_heads
    result = linear_map(layer.out_proj, np.concatenate(mixed, -1))
    return (result if layer.batch_first else result.swapaxes(0, 1)), mean
