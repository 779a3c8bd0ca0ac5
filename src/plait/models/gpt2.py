"""GPT-2: a transformer that says which token comes next, and so writes text.

Read first: `GPT2`. Names are those of `GPT2LMHeadModel` in Hugging Face's transformers.

Source: A. Radford et al., "Language models are unsupervised multitask learners", 2019.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError, ShapeError
from .folders import Config, TextBuilder, refuse, text_model
from .registry import Arrays

_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")


class _Map(nn.Module):
    """A linear map whose weight has the features of the input first."""

    def __init__(self, inputs: int, outputs: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(plait.empty((inputs, outputs)))
        self.bias = nn.Parameter(plait.zeros((outputs,)))
        nn.init.normal_(self.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class _Attention(nn.Module):
    """Attention of each token to itself and those before."""

    def __init__(
        self, width: int, heads: int, std: float, dropout: float, attention: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attn_pdrop = attention
        self.c_attn = _Map(width, 3 * width, 0.02)
        self.c_proj = _Map(width, width, std)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: nn.KVCache | None) -> Tensor:
        n, length, width = x.shape
        split = (n, length, self.heads, width // self.heads)
        q, k, v = (
            plait.permute_dims(part.reshape(split), (0, 2, 1, 3))
            for part in plait.chunk(self.c_attn(x), 3, axis=-1)
        )
        mask = None
        if cache is not None:
            k, v, mask = cache.update(k, v)
        p = self.attn_pdrop if self.training else 0.0
        mixed = plait.scaled_dot_product_attention(
            q, k, v, mask, p, cache is None,
            dropout_key=plait.random.bits(shape=4) if p else None,
        )  # fmt: skip
        joined = plait.permute_dims(mixed, (0, 2, 1, 3)).reshape(x.shape)
        result: Tensor = self.resid_dropout(self.c_proj(joined))
        return result


class _Perceptron(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, width: int, inner: int, std: float, dropout: float) -> None:
        super().__init__()
        self.c_fc = _Map(width, inner, 0.02)
        self.c_proj = _Map(inner, width, std)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = plait.gelu(self.c_fc(x), approximate="tanh")
        result: Tensor = self.dropout(self.c_proj(x))
        return result


class _Block(nn.Module):
    """Attention, then two linear maps, each after a normalisation and added."""

    def __init__(
        self, width: int, heads: int, inner: int, std: float, eps: float,
        dropout: float, attention: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = _Attention(width, heads, std, dropout, attention)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = _Perceptron(width, inner, std, dropout)

    def forward(self, x: Tensor, cache: nn.KVCache | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class _Tables(nn.Module):
    """All but the last layer, which `GPT2` calls one after another."""

    def __init__(
        self, tokens: int, places: int, width: int, dropout: float,
        blocks: Sequence[_Block], eps: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.wte = nn.Embedding(tokens, width)
        self.wpe = nn.Embedding(places, width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(blocks)
        self.ln_f = nn.LayerNorm(width, eps=eps)


class GPT2(nn.Module):
    """GPT-2 with its last layer, whose weight is the table of the tokens' vectors.

    Args:
        vocab_size: how many tokens there are.
        n_positions: how long a text may be.
        n_embd: how many numbers a token becomes.
        n_layer, n_head: how many blocks there are, and heads in each.
        n_inner: within the linear maps. Default: 4 * n_embd.
        layer_norm_epsilon: of the normalisations.
        embd_pdrop, resid_pdrop, attn_pdrop: the probability of leaving out a number
            of the tokens' vectors, of a part's result, and a weight of the attention.
        tie_word_embeddings: whether `lm_head.weight` is that table.

    Attributes:
        transformer: what comes before the last layer: tables `wte` and `wpe`, blocks
            `h`, normalisation `ln_f`.
        lm_head: a `Linear` without offset.

    Input: integers, shape (n, length). Result: scores of the token after each, shape
    (n, length, vocab_size).

    Raises:
        ArgumentError: the heads cannot share the features.
        ShapeError: (calling it) the text is too long.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.GPT2(50, 16, n_embd=8, n_layer=1, n_head=2).eval()
        >>> net.generate(plait.asarray([[1, 2, 3]]), 4).shape
        (1, 7)

    Source: A. Radford et al., "Language models are unsupervised multitask learners",
    2019.
    """

    def __init__(
        self,
        vocab_size: int = 50257,
        n_positions: int = 1024,
        n_embd: int = 768,
        n_layer: int = 12,
        n_head: int = 12,
        n_inner: int | None = None,
        layer_norm_epsilon: float = 1e-5,
        embd_pdrop: float = 0.1,
        resid_pdrop: float = 0.1,
        attn_pdrop: float = 0.1,
        tie_word_embeddings: bool = True,
    ) -> None:
        super().__init__()
        if n_embd % n_head:
            raise ArgumentError(
                "[GPT2] the heads cannot share the features evenly",
                got=f"n_embd={n_embd}, n_head={n_head}",
            )
        self.n_positions = n_positions
        self.n_head = n_head
        # Sums grow with the number of what is added.
        std = 0.02 / (2 * n_layer) ** 0.5
        blocks = [
            _Block(
                n_embd, n_head, n_inner or 4 * n_embd, std, layer_norm_epsilon,
                resid_pdrop, attn_pdrop,
            )
            for _ in range(n_layer)
        ]  # fmt: skip
        self.transformer = _Tables(
            vocab_size, n_positions, n_embd, embd_pdrop, blocks, layer_norm_epsilon
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        table = self.transformer.wte.weight
        for weight in (table, self.transformer.wpe.weight, self.lm_head.weight):
            nn.init.normal_(weight, std=0.02)
        self.tied = ()
        if tie_word_embeddings:
            self.lm_head.weight = table
            self.tied = (("lm_head.weight", "transformer.wte.weight"),)

    tied: Sequence[tuple[str, str]]

    def forward(
        self, input_ids: Tensor, caches: Sequence[nn.KVCache] | None = None
    ) -> Tensor:
        """Return the scores.

        Args:
            input_ids: the tokens.
            caches: for each block, keys and values of the tokens before these, to
                which those of these are added. See `new_caches`.
        """
        result: Tensor = self.lm_head(self.features(input_ids, caches))
        return result

    def features(
        self, input_ids: Tensor, caches: Sequence[nn.KVCache] | None = None
    ) -> Tensor:
        """Return what the last layer takes: shape (n, length, n_embd)."""
        if input_ids.ndim != 2 or input_ids.shape[1] > self.n_positions:
            raise ShapeError(
                "[GPT2] the tokens do not fit",
                got=f"shape {input_ids.shape}",
                expected=f"(n, length), with length at most {self.n_positions}",
            )
        parts = self.transformer
        place = plait.arange(input_ids.shape[1])
        if caches is not None:
            place = place + caches[0].position
        x: Tensor = parts.drop(parts.wte(input_ids) + parts.wpe(place))
        for i, block in enumerate(parts.h):
            x = block(x, None if caches is None else caches[i])
        result: Tensor = parts.ln_f(x)
        return result

    def new_caches(self, batch_size: int, max_length: int) -> list[nn.KVCache]:
        """Return an empty cache for each block, with room for so many tokens."""
        table = self.transformer.wte.weight
        head = table.shape[1] // self.n_head
        return [
            nn.KVCache(batch_size, self.n_head, max_length, head, dtype=table.dtype)
            for _ in self.transformer.h
        ]

    def generate(
        self,
        input_ids: Tensor,
        max_new_tokens: int,
        *,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        eos_token_id: int | None = None,
        key: Tensor | None = None,
    ) -> Tensor:
        """Return the texts, each with the tokens that the model puts behind it.

        The loop over tokens is one program: keys and values of earlier tokens are kept.
        The model should be in evaluation mode.

        Args:
            input_ids: integers, shape (n, length), with length above 0.
            max_new_tokens: how many tokens are added.
            do_sample: draw tokens with the probabilities that the model gives them.
                Otherwise the likeliest one is taken.
            temperature: what scores are divided by before drawing; above 0.
            top_k: draw from so many likeliest tokens only. Default: from all.
            eos_token_id: behind this token there are only more of it.
            key: what is drawn depends on this key, as of `plait.random.key`. Default:
                the next of the default generator.

        Returns:
            int64, shape (n, length + max_new_tokens).

        Raises:
            ArgumentError: a setting is out of range.
            ShapeError: the texts become too long.
        """
        table = self.transformer.wte.weight
        if input_ids.ndim != 2 or not input_ids.shape[1]:
            raise ShapeError(
                "[generate] there must be a token to begin with",
                got=f"shape {input_ids.shape}",
                expected="(n, length)",
            )
        if input_ids.shape[1] + max_new_tokens > self.n_positions:
            raise ShapeError(
                "[generate] the texts become too long",
                got=f"{input_ids.shape[1]} and {max_new_tokens} more tokens",
                expected=f"at most {self.n_positions}",
            )
        most = table.shape[0]
        if max_new_tokens < 1 or not temperature > 0 or not 0 < (top_k or most) <= most:
            raise ArgumentError(
                "[generate] a setting is out of range",
                got=f"max_new_tokens={max_new_tokens}, temperature={temperature}, "
                f"top_k={top_k}",
                expected=f"at least 1; above 0; 1 to {most}",
            )

        def chosen(scores: Tensor, key: Tensor) -> Tensor:
            if not do_sample:
                return plait.argmax(scores, axis=-1)
            if top_k is not None:
                least = plait.top_k(scores, top_k)[0][:, -1:]
                scores = plait.where(scores < least, float("-inf"), scores)
            return plait.random.categorical(scores / temperature, key=key)

        def step(
            state: tuple[Tensor, Tensor, list[Any]], key: Tensor
        ) -> tuple[tuple[Tensor, Tensor, list[Any]], Tensor]:
            token, position, kept = state
            scores, position, kept = self._next(token.expand_dims(1), position, kept)
            new = chosen(scores, key)
            if eos_token_id is not None:
                new = plait.where(token == eos_token_id, eos_token_id, new)
            return (new, position, kept), new

        n, length = input_ids.shape
        input_ids = input_ids.to(plait.int64)
        with plait.no_grad():
            if not do_sample:
                key = plait.random.key(0)  # of no effect
            keys = plait.random.split(
                plait.random.next_key() if key is None else key, max_new_tokens
            )
            caches = self.new_caches(n, length + max_new_tokens)
            kept = [(cache.keys, cache.values) for cache in caches]
            scores, position, kept = self._next(input_ids, caches[0].position, kept)
            first = chosen(scores, keys[0])
            rows = [input_ids, first.expand_dims(1)]
            if max_new_tokens > 1:
                _, more = plait.scan(step, (first, position, kept), keys[1:])
                rows.append(more.mT)
            return plait.concat(rows, axis=1)

    def _next(
        self, tokens: Tensor, position: Tensor, kept: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the scores behind the last token, and what is kept then."""
        caches = []
        for keys, values in kept:
            n, heads, room, size = keys.shape
            cache = nn.KVCache(n, heads, room, size, dtype=keys.dtype)
            cache.keys, cache.values, cache.position = keys, values, position
            caches.append(cache)
        last = self.features(tokens, caches)[:, -1]
        pairs = [(cache.keys, cache.values) for cache in caches]
        return self.lm_head(last), caches[0].position, pairs


_SETTINGS = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner",
    "layer_norm_epsilon", "embd_pdrop", "resid_pdrop", "attn_pdrop",
    "tie_word_embeddings",
)  # fmt: skip
_ONLY = {
    "model_type": "gpt2", "activation_function": "gelu_new",
    "add_cross_attention": False, "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
}  # fmt: skip


def _options(config: Config) -> dict[str, Any]:
    refuse("gpt2", config, _ONLY)
    return {key: config[key] for key in _SETTINGS if key in config}


def _rename(arrays: Arrays) -> Arrays:
    """Return arrays under today's names: older files have masks, and no prefix."""
    found = {}
    for name, array in arrays.items():
        short = name.removeprefix("transformer.")
        if not _MASK.fullmatch(short):
            alone = short.startswith("lm_head.")
            found[short if alone else f"transformer.{short}"] = array
    return found


def _gpt2(
    size: str, parameters: int, n_embd: int, n_layer: int, n_head: int
) -> TextBuilder[GPT2]:
    """Put one on the list."""
    name = f"gpt2_{size}" if size else "gpt2"
    return text_model(
        name, parameters, f"GPT-2 {size}".strip(), GPT2, _options, _rename,
        n_embd=n_embd, n_layer=n_layer, n_head=n_head,
    )  # fmt: skip


gpt2 = _gpt2("", 124_439_808, 768, 12, 12)
gpt2_medium = _gpt2("medium", 354_823_168, 1024, 24, 16)
gpt2_large = _gpt2("large", 774_030_080, 1280, 36, 20)
gpt2_xl = _gpt2("xl", 1_557_611_200, 1600, 48, 25)
