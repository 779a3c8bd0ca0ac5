"""Attention over several heads, and what generation keeps of the tokens it has seen.

Read first: `MultiheadAttention`, `KVCache`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plait
from plait import Tensor

from ..arguments import Count, Probability, Size
from ..errors import ArgumentError, DTypeError, ShapeError
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter, own_parameter
from .sample import Sample, uniform


class KVCache:
    """The keys and values of the tokens so far, in tensors that never change shape.

    So a loop that generates tokens is one program, however long the text is.

    Args:
        batch_size: how many sequences there are.
        num_heads: the heads of the keys.
        max_length: for how many tokens there is room.
        head_dim: the features of a head.
        dtype: of keys and values. Default: float32.

    Attributes:
        keys, values: shape (batch_size, num_heads, max_length, head_dim); 0 where
            nothing is yet.
        position: int64, shape (): how many tokens there are.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
        >>> cache = nn.KVCache(1, 2, 16, 4)
        >>> token = plait.zeros(1, 1, 8)
        >>> with plait.no_grad():
        ...     for _ in range(3):
        ...         token, _ = attention(
        ...             token, token, token, need_weights=False, cache=cache
        ...         )
        >>> cache.position.item()
        3
    """

    def __init__(
        self,
        batch_size: Size,
        num_heads: Size,
        max_length: Size,
        head_dim: Size,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        shape = (batch_size, num_heads, max_length, head_dim)
        self.keys = plait.zeros(shape, device=device, dtype=dtype)
        self.values = plait.zeros(shape, device=device, dtype=dtype)
        self.reset()

    def reset(self) -> None:
        """Forget all tokens."""
        self.position = plait.zeros((), dtype=plait.int64, device=self.keys.device)
        # What the position is, known without looking at it.
        self._used = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put the keys and values of new tokens behind those there are.

        Args:
            keys, values: shape (batch_size, num_heads, l, head_dim).

        Returns:
            All keys, all values, and which of them each new token may attend to: those
            up to its own; bool, shape (l, max_length).

        Raises:
            ShapeError: the shape is another, or there is no room left.
        """
        wanted = self.keys.shape
        for name, x in (("keys", keys), ("values", values)):
            if x.ndim != 4 or x.shape[:2] + x.shape[3:] != wanted[:2] + wanted[3:]:
                raise ShapeError(
                    f"[KVCache] the {name} do not fit",
                    got=str(x.shape),
                    expected=f"({wanted[0]}, {wanted[1]}, l, {wanted[3]})",
                )
        new, room = keys.shape[2], wanted[2]
        if self._used + new > room:
            raise ShapeError(
                "[KVCache] there is no room left",
                got=f"{new} tokens behind {self._used} of {room}",
                fix="make a longer cache, or call reset()",
            )
        place = plait.arange(room, device=self.keys.device)
        number = place - self.position
        written = ((number >= 0) & (number < new)).reshape((room, 1))
        number = number.clip(0, new - 1)
        for name, x in (("keys", keys), ("values", values)):
            spread = plait.take(x, number, axis=2) if new > 1 else x
            kept = getattr(self, name)
            setattr(self, name, plait.where(written, spread.to(kept.dtype), kept))
        last = self.position + plait.arange(new, device=self.keys.device)
        self.position = self.position + new
        self._used += new
        return self.keys, self.values, place <= last.reshape((new, 1))


def joint_mask(
    layer: str,
    shape: tuple[int, ...],
    padding: Tensor | None,
    mask: Tensor | None,
) -> Tensor | None:
    """Return one mask, as `plait.scaled_dot_product_attention` takes it.

    Args:
        shape: that of the scores: batch, heads, queries and keys.
        padding, mask: `key_padding_mask` and `attn_mask`, true where a key is *not*
            attended to, or added to the scores.

    Raises:
        ShapeError: a shape does not fit.
        DTypeError: a mask is of integers.
    """
    batch, heads, queries, keys = shape
    found: list[Tensor] = []
    if padding is not None:
        if padding.shape not in ((batch, keys), (keys,) if batch == 1 else ()):
            raise ShapeError(
                f"[{layer}] the key_padding_mask does not fit",
                got=str(padding.shape),
                expected=f"({batch}, {keys})",
            )
        found.append(padding.reshape((batch, 1, 1, keys)))
    if mask is not None:
        if mask.shape not in ((queries, keys), (batch * heads, queries, keys)):
            raise ShapeError(
                f"[{layer}] the attn_mask does not fit",
                got=str(mask.shape),
                expected=f"({queries}, {keys}) or ({batch * heads}, {queries}, {keys})",
            )
        if mask.ndim == 3:
            mask = mask.reshape((batch, heads, queries, keys))
        found.append(mask)
    for x in found:
        if x.dtype is not plait.bool and not plait.isdtype(x.dtype, "real floating"):
            raise DTypeError(
                f"[{layer}] a mask is neither bool nor floating-point",
                got=x.dtype.name,
            )
    if not found:
        return None
    if all(x.dtype is plait.bool for x in found):
        refused = found[0] if len(found) == 1 else found[0] | found[1]
        return ~refused
    added = [
        plait.where(x, -math.inf, 0.0) if x.dtype is plait.bool else x for x in found
    ]
    return added[0] if len(added) == 1 else added[0] + added[1]


def narrowed(mask: Tensor | None, allowed: Tensor) -> Tensor:
    """Return a mask that also refuses where `allowed` is false.

    Args:
        mask: as `plait.scaled_dot_product_attention` takes it.
    """
    if mask is None:
        return allowed
    if mask.dtype is plait.bool:
        return mask & allowed
    return plait.where(allowed, mask, -math.inf)


def check_three(
    layer: str,
    given: tuple[Tensor, Tensor, Tensor],
    features: tuple[int, int, int],
    batch_first: bool,
) -> None:
    """Raise unless query, key and value fit: (l, n, q), (s, n, k) and (s, n, v).

    Args:
        given: the three, with `batch_first` n before l and s, or all without n.
        features: q, k and v.

    Raises:
        ShapeError: they do not fit.
    """
    query, key, value = given
    fits = query.ndim in (2, 3) and query.ndim == key.ndim == value.ndim
    if fits:
        fits = all(x.shape[-1] == n for x, n in zip(given, features, strict=True))
        fits = fits and key.shape[:-1] == value.shape[:-1]
    if fits and query.ndim == 3:
        batch = 0 if batch_first else 1
        fits = query.shape[batch] == key.shape[batch]
    if not fits:
        order = "n, {}" if batch_first else "{}, n"
        shapes = (
            f"({order.format(length)}, {size})"
            for length, size in zip("lss", features, strict=True)
        )
        raise ShapeError(
            f"[{layer}] the shapes do not fit",
            got=f"query {query.shape}, key {key.shape}, value {value.shape}",
            expected=f"{', '.join(shapes)}; or all without n",
        )


def heads_apart(x: Tensor, heads: int, batch_first: bool) -> Tensor:
    """Return (l, n, features) or (l, features) as (n, heads, l, features of a head).

    Args:
        batch_first: it is (n, l, features).
    """
    lead = (1,) if x.ndim == 2 else ()
    size = x.shape[-1] // heads
    first = batch_first or x.ndim == 2
    x = x.reshape((*lead, *x.shape[:-1], heads, size))
    return plait.permute_dims(x, (0, 2, 1, 3) if first else (1, 2, 0, 3))


def heads_together(x: Tensor, shape: tuple[int, ...], batch_first: bool) -> Tensor:
    """Return (n, heads, l, features of a head) with the heads side by side again.

    Args:
        shape: of the result without the features: (l, n), (n, l), or (l,).
    """
    first = batch_first or len(shape) == 1
    wide = x.shape[1] * x.shape[3]
    x = plait.permute_dims(x, (0, 2, 1, 3) if first else (2, 0, 1, 3))
    return x.reshape((*shape, wide))


class MultiheadAttention(Module):
    """Attends to different features of its input in several heads at once.

    Formula: concat(head_1, ..., head_h) @ out_proj.weight.T + out_proj.bias, with
    head_i = softmax(q_i @ k_i.T / sqrt(head_dim) + mask) @ v_i, where q, k and v are
    linear maps of query, key and value.

    Args:
        embed_dim: the features of the query and of the result, divisible by
            `num_heads`.
        num_heads: how many heads share them.
        dropout: with which probability a weight is left out in training.
        bias: whether the linear maps have offsets.
        add_bias_kv: add a learned key and value behind those given.
        add_zero_attn: add a key and value of zeros behind those given.
        kdim, vdim: the features of key and value. Default: `embed_dim`.
        batch_first: batches are the first axis of inputs and result, not the second.
        dtype: of the parameters. Default: float32.

    Attributes:
        in_proj_weight: the maps of query, key and value, one below the other: shape
            (3 * embed_dim, embed_dim); None if they have different features. At first
            from `init.xavier_uniform_`, as the next three.
        q_proj_weight, k_proj_weight, v_proj_weight: the same three in that case:
            shapes (embed_dim, embed_dim), (embed_dim, kdim), (embed_dim, vdim).
        in_proj_bias: their offsets, shape (3 * embed_dim,), at first 0; or None.
        bias_k, bias_v: the added key and value, shape (1, 1, embed_dim), at first from
            `init.xavier_normal_`; or None.
        out_proj: a `Linear`, its offset at first 0.

    Input: query of shape (l, n, embed_dim), key (s, n, kdim) and value (s, n, vdim);
    with `batch_first` n comes first; or all without n; and masks, see `forward`.
    Result: the query's shape, and the weights, shape (n, l, s), or None.

    Raises:
        ArgumentError: the heads cannot share the features evenly; `dropout` is out of
            range.
        ShapeError: (calling it) the shapes do not fit.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: Size,
        num_heads: Count,
        dropout: Probability = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: Size | None = None,
        vdim: Size | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        if embed_dim % num_heads:
            raise ArgumentError(
                "[MultiheadAttention] the heads cannot share the features evenly",
                got=f"embed_dim={embed_dim}, num_heads={num_heads}",
                expected="a multiple of num_heads",
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        packed = self.kdim == self.vdim == embed_dim
        one, three = (1, 1, embed_dim), 3 * embed_dim
        for name, wanted, shape in (
            ("q_proj_weight", not packed, (embed_dim, embed_dim)),
            ("k_proj_weight", not packed, (embed_dim, self.kdim)),
            ("v_proj_weight", not packed, (embed_dim, self.vdim)),
            ("in_proj_weight", packed, (three, embed_dim)),
            ("in_proj_bias", bias, (three,)),
            ("bias_k", add_bias_kv, one),
            ("bias_v", add_bias_kv, one),
        ):
            own_parameter(self, name, shape if wanted else None, device, dtype)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        for name in ("in_proj", "q_proj", "k_proj", "v_proj"):
            weight = getattr(self, f"{name}_weight")
            if weight is not None:
                init.xavier_uniform_(weight)
        self.out_proj.reset_parameters()
        if self.in_proj_bias is not None:
            assert self.out_proj.bias is not None
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for added in (self.bias_k, self.bias_v):
            if added is not None:
                init.xavier_normal_(added)

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
            cache: keys and values of earlier tokens, to which those of this call are
                added: l new tokens attend to them all, and causally to one another.
            dropout_key: for the random numbers of dropout. Default: the default
                generator's next; inside `jit` one must be given.

        Returns:
            The result, of the query's shape; and the weights, shape (n, l, s), with
            heads not averaged (n, num_heads, l, s), for one example without n; or None.

        Raises:
            ShapeError: a shape does not fit.
            DTypeError: a mask is of integers.
            ArgumentError: `cache` together with masks or added keys.

        Special cases: where masks allow no key, the weights are 0.
        """
        name = "MultiheadAttention"
        single = query.ndim == 2
        features = (self.embed_dim, self.kdim, self.vdim)
        check_three(name, (query, key, value), features, self.batch_first)
        q, k, v = (
            heads_apart(x, self.num_heads, self.batch_first)
            for x in self._projected(query, key, value)
        )
        shape = (*q.shape[:3], k.shape[2])
        mask = joint_mask(name, shape, key_padding_mask, attn_mask)
        if cache is not None:
            if mask is not None or self.bias_k is not None or self.add_zero_attn:
                raise ArgumentError(
                    f"[{name}] a cache goes with neither masks nor added keys"
                )
            k, v, mask = cache.update(k, v)
            is_causal = False
        k, v, mask, is_causal = self._with_added(q, k, v, mask, is_causal)
        p = self.dropout if self.training else 0.0
        if p and dropout_key is None:
            dropout_key = plait.random.next_key()
        weights = None
        if need_weights:
            weights = plait.attention_weights(q, k, mask, is_causal)
            if p:
                weights = plait.dropout(weights, p, key=dropout_key)
            mixed = weights @ v
            if average_attn_weights:
                weights = weights.mean(1)
            if single:
                weights = weights.squeeze(0)
        else:
            mixed = plait.scaled_dot_product_attention(
                q, k, v, mask, p, is_causal, dropout_key=dropout_key if p else None
            )
        result = heads_together(mixed, query.shape[:-1], self.batch_first)
        return self.out_proj(result), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> Sequence[Tensor]:
        """Return what the maps make of query, key and value."""
        same = query is key is value
        biases: Any = (None, None, None)
        if self.in_proj_bias is not None:
            biases = plait.chunk(self.in_proj_bias, 3)
        if self.in_proj_weight is not None and same:
            joint = plait.linear(query, self.in_proj_weight, self.in_proj_bias)
            return plait.chunk(joint, 3, axis=-1)
        weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = plait.chunk(self.in_proj_weight, 3)
        given = (query, key, value)
        return list(map(plait.linear, given, weights, biases))

    def _with_added(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
        is_causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None, bool]:  # fmt: skip
        """Return keys and values with those that the layer adds, which are allowed."""
        batch, heads, keys, size = key.shape
        added: list[tuple[Tensor, Tensor]] = []
        if self.bias_k is not None and self.bias_v is not None:
            one = (1, heads, 1, size)
            added.append((self.bias_k.reshape(one), self.bias_v.reshape(one)))
        if self.add_zero_attn:
            nothing = plait.zeros((1, heads, 1, size), dtype=key.dtype)
            added.append((nothing, nothing))
        if not added:
            return key, value, mask, is_causal
        if is_causal:
            row = plait.arange(query.shape[2]).reshape((query.shape[2], 1))
            mask = narrowed(mask, plait.arange(keys) <= row)
        for k, v in added:
            shape = (batch, heads, 1, size)
            key = plait.concat([key, plait.broadcast_to(k, shape)], axis=2)
            value = plait.concat([value, plait.broadcast_to(v, shape)], axis=2)
            if mask is not None:
                end = (*mask.shape[:-1], 1)
                free = plait.zeros(end, dtype=mask.dtype)
                free = ~free if mask.dtype is plait.bool else free
                mask = plait.concat([mask, free], axis=-1)
        return key, value, mask, False

    def extra_repr(self) -> str:
        text = f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if (self.kdim, self.vdim) != (self.embed_dim, self.embed_dim):
            text += f", kdim={self.kdim}, vdim={self.vdim}"
        return text + f", batch_first={self.batch_first}"

    @staticmethod
    def samples() -> list[Sample]:
        first = {"batch_first": True}
        three = (uniform(2, 3, 4), uniform(2, 5, 4) * 0.7, uniform(2, 5, 4) * 0.3)
        other = (uniform(2, 3, 4), uniform(2, 5, 6), uniform(2, 5, 2))
        wrt = (0, 1, 2)
        return [
            Sample(three, (4, 2), first, wrt=wrt),
            Sample(
                other, (4, 2),
                {"kdim": 6, "vdim": 2, "bias": False, "add_zero_attn": True, **first},
                wrt=wrt,
            ),
            Sample(
                (uniform(3, 2, 4), uniform(5, 2, 4), uniform(5, 2, 4)), (4, 4),
                {"add_bias_kv": True, "add_zero_attn": True}, wrt=wrt, separable=False,
            ),
            Sample(
                (uniform(3, 4), uniform(5, 4), uniform(5, 4)), (4, 1), wrt=wrt,
                separable=False,
            ),
            Sample(
                three, (4, 2), {"dropout": 0.5, **first}, wrt=wrt, smooth=False,
                like_torch="eval",
            ),
        ]  # fmt: skip
