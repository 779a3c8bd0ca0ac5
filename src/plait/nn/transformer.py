"""Transformers: blocks of attention and small nets, and stacks of them.

Read first: `TransformerEncoderLayer`, `TransformerEncoder`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Count, Depth, NotNegative, Probability, Size
from ..errors import ArgumentError, ShapeError
from . import init
from .attention import KVCache, MultiheadAttention
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .named_activation import Function, activation_function
from .normalization import LayerNorm
from .sample import Sample, uniform

Activation = str | Function


class _Layer(Module):
    """What the layers of encoder and decoder share: parts, and how they are joined."""

    activation: Callable[[Tensor], Tensor]
    linear1: Linear
    linear2: Linear
    dropout: Dropout
    norm_first: bool

    def _own(
        self,
        attentions: Sequence[str],
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        where: dict[str, Any],
    ) -> None:
        """Make the parts, in PyTorch's order."""
        name = type(self).__name__
        for attention in attentions:
            one = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, **where
            )
            setattr(self, attention, one)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        count = len(attentions) + 1
        for i in range(count):
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
            setattr(self, f"norm{i + 1}", norm)
        for i in range(count):
            setattr(self, f"dropout{i + 1}", Dropout(dropout))
        self.norm_first = norm_first
        self.activation = activation_function(name, activation)

    def _joined(
        self, x: Tensor, part: int, block: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return `x` with what a block makes of it added."""
        norm, dropout = getattr(self, f"norm{part}"), getattr(self, f"dropout{part}")
        if self.norm_first:
            return x + dropout(block(norm(x)))  # type: ignore[no-any-return]
        return norm(x + dropout(block(x)))  # type: ignore[no-any-return]

    def _feed_forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(self.activation(self.linear1(x)))
        return self.linear2(inner)  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a net of two linear maps; each added to its input.

    Formula: x + attention(x), then x + linear2(activation(linear1(x))); each sum is
    normalised, or with `norm_first` what enters attention and net is.

    Args:
        d_model: the features of input and result.
        nhead: how many heads attend.
        dim_feedforward: the features between the two linear maps.
        dropout: with which probability elements are left out in training.
        activation: "relu", "gelu", another name that `Activation` knows, or a
            function.
        layer_norm_eps: keeps the norms' divisors from 0.
        batch_first: batches are the first axis of inputs and result, not the second.
        norm_first: normalise before attention and net, not after.
        bias: whether linear maps and norms have offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        self_attn: a `MultiheadAttention`.
        linear1, linear2: the `Linear` maps of the net.
        norm1, norm2: a `LayerNorm` for attention and one for the net.
        dropout, dropout1, dropout2: `Dropout` inside the net, and of what attention and
            net give.

    Input: shape (l, n, d_model), with `batch_first` (n, l, d_model), or without n; and
    masks, see `forward`. Result: the same shape.

    Raises:
        ArgumentError: a setting has a wrong value, or there is no such activation.
        ShapeError: (calling it) the shapes do not fit.

    Source: A. Vaswani et al., "Attention is all you need", 2017; `norm_first`: R. Xiong
    et al., "On layer normalization in the transformer architecture", 2020.
    """

    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: Count,
        nhead: Count,
        dim_feedforward: Size = 2048,
        dropout: Probability = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: NotNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._own(
            ("self_attn",), d_model, nhead, dim_feedforward, dropout, activation,
            layer_norm_eps, batch_first, norm_first, bias,
            {"device": device, "dtype": dtype},
        )  # fmt: skip

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
        *,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Return the result; for the arguments see `MultiheadAttention.forward`."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(  # type: ignore[no-any-return]
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal,
                cache=cache,
            )[0]  # fmt: skip

        return self._joined(self._joined(src, 1, attend), 2, self._feed_forward)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(2, 3, 4),), (4, 2, 5, 0.0),
                {"batch_first": True, "activation": "gelu"},
            ),
            Sample(
                (uniform(3, 2, 4),), (4, 2, 5, 0.0),
                {"norm_first": True, "bias": False, "activation": "gelu",
                 "layer_norm_eps": 0.1},
                separable=False,
            ),
            Sample(
                (uniform(3, 4),), (4, 1, 5), smooth=False, like_torch="eval",
                separable=False,
            ),
        ]  # fmt: skip


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's results, then a net; each added.

    Formula: x + attention(x), x + attention(x, memory), then x +
    linear2(activation(linear1(x))); each sum is normalised, or with `norm_first` what
    enters attentions and net is.

    Args:
        d_model: the features of input and result.
        nhead: how many heads attend.
        dim_feedforward: the features between the two linear maps.
        dropout: with which probability elements are left out in training.
        activation: "relu", "gelu", another name that `Activation` knows, or a
            function.
        layer_norm_eps: keeps the norms' divisors from 0.
        batch_first: batches are the first axis of inputs and result, not the second.
        norm_first: normalise before attentions and net, not after.
        bias: whether linear maps and norms have offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        self_attn, multihead_attn: `MultiheadAttention` to the input, and to the
            encoder's results.
        linear1, linear2: the `Linear` maps of the net.
        norm1, norm2, norm3: a `LayerNorm` for each of the three.
        dropout, dropout1, dropout2, dropout3: `Dropout` inside the net, and of what
            each of the three gives.

    Input: shape (l, n, d_model), and the encoder's results, shape (s, n, d_model); with
    `batch_first` n comes first; or both without n; and masks, see `forward`. Result:
    the shape of the first.

    Raises:
        ArgumentError: a setting has a wrong value, or there is no such activation.
        ShapeError: (calling it) the shapes do not fit.

    Source: A. Vaswani et al., "Attention is all you need", 2017; `norm_first`: R. Xiong
    et al., "On layer normalization in the transformer architecture", 2020.
    """

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention

    def __init__(
        self,
        d_model: Count,
        nhead: Count,
        dim_feedforward: Size = 2048,
        dropout: Probability = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: NotNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._own(
            ("self_attn", "multihead_attn"), d_model, nhead, dim_feedforward, dropout,
            activation, layer_norm_eps, batch_first, norm_first, bias,
            {"device": device, "dtype": dtype},
        )  # fmt: skip

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        *,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Return the result; for the arguments see `MultiheadAttention.forward`.

        Args:
            tgt: the input.
            memory: the encoder's results.
            cache: of self-attention.
        """

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(  # type: ignore[no-any-return]
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal,
                cache=cache,
            )[0]  # fmt: skip

        def look(x: Tensor) -> Tensor:
            return self.multihead_attn(  # type: ignore[no-any-return]
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )[0]  # fmt: skip

        x = self._joined(self._joined(tgt, 1, attend), 2, look)
        return self._joined(x, 3, self._feed_forward)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (uniform(2, 3, 4), uniform(2, 5, 4)), (4, 2, 5, 0.0),
                {"batch_first": True, "activation": "gelu"}, wrt=(0, 1),
            ),
            Sample(
                (uniform(3, 2, 4), uniform(5, 2, 4)), (4, 2, 5, 0.0),
                {"norm_first": True, "bias": False, "activation": "gelu"}, wrt=(0, 1),
                separable=False,
            ),
            Sample(
                (uniform(3, 4), uniform(5, 4)), (4, 1, 5), wrt=(0, 1), smooth=False,
                like_torch="eval", separable=False,
            ),
        ]  # fmt: skip


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


def _checked_caches(
    stack: Module, caches: Sequence[KVCache] | None, count: int
) -> Sequence[KVCache | None]:
    if caches is None:
        return [None] * count
    if len(caches) != count:
        raise ArgumentError(
            f"[{type(stack).__name__}] each layer needs a cache of its own",
            got=f"{len(caches)} for {count} layers",
        )
    return caches


class TransformerEncoder(Module):
    """A stack of encoder layers.

    With causal masks, it is also what is called a decoder-only transformer.

    Args:
        encoder_layer: is copied for each layer.
        num_layers: how many there are.
        norm: is applied to the result, if it is given.
        enable_nested_tensor, mask_check: have no effect.

    Attributes:
        layers: a `ModuleList` of the layers; at first with equal values.
        norm: the given one; or None.

    Input: that of a layer, for `TransformerEncoderLayer` shape (l, n, d_model), with
    `batch_first` (n, l, d_model), or without n; and masks, see `forward`. Result: the
    same shape.

    Raises:
        ArgumentError: `num_layers` is negative; (calling it) there is not one cache for
            each layer.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    layers: ModuleList
    norm: Module | None

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: Size,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.register_module("norm", norm)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
        *,
        caches: Sequence[KVCache] | None = None,
    ) -> Tensor:
        """Return the result; for the arguments see `MultiheadAttention.forward`.

        Args:
            caches: one for each layer.
        """
        x = src
        kept = _checked_caches(self, caches, len(self.layers))
        for layer, cache in zip(self.layers, kept, strict=True):
            more = {} if cache is None else {"cache": cache}
            x = layer(x, mask, src_key_padding_mask, bool(is_causal), **more)
        return x if self.norm is None else self.norm(x)

    @staticmethod
    def samples() -> list[Sample]:
        layer = TransformerEncoderLayer(
            4, 2, 5, 0.0, plait.gelu, batch_first=True, norm_first=True
        )

        def reference(stack: TransformerEncoder, x: np.ndarray) -> np.ndarray:
            result = plait.tensor(x)
            for one in stack.layers:
                result = one(result)
            return (result if stack.norm is None else stack.norm(result)).numpy()

        return [
            Sample((uniform(2, 3, 4),), (layer, 2), reference=reference),
            Sample((uniform(2, 3, 4),), (layer, 1, LayerNorm(4)), reference=reference),
        ]


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: is copied for each layer.
        num_layers: how many there are.
        norm: is applied to the result, if it is given.

    Attributes:
        layers: a `ModuleList` of the layers; at first with equal values.
        norm: the given one; or None.

    Input: that of a layer, for `TransformerDecoderLayer` shape (l, n, d_model), and the
    encoder's results, shape (s, n, d_model); with `batch_first` n comes first; or both
    without n; and masks, see `forward`. Result: the shape of the first.

    Raises:
        ArgumentError: `num_layers` is negative; (calling it) there is not one cache for
            each layer.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    layers: ModuleList
    norm: Module | None

    def __init__(
        self, decoder_layer: Module, num_layers: Size, norm: Module | None = None
    ) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.register_module("norm", norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
        *,
        caches: Sequence[KVCache] | None = None,
    ) -> Tensor:
        """Return the result; for the arguments see `TransformerDecoderLayer.forward`.

        Args:
            caches: one for each layer.
        """
        x = tgt
        kept = _checked_caches(self, caches, len(self.layers))
        for layer, cache in zip(self.layers, kept, strict=True):
            more = {} if cache is None else {"cache": cache}
            x = layer(
                x, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
                memory_key_padding_mask, bool(tgt_is_causal), memory_is_causal, **more,
            )  # fmt: skip
        return x if self.norm is None else self.norm(x)

    @staticmethod
    def samples() -> list[Sample]:
        layer = TransformerDecoderLayer(4, 2, 5, 0.0, plait.gelu, batch_first=True)
        inputs, args = (uniform(2, 3, 4), uniform(2, 5, 4)), (layer, 2, LayerNorm(4))

        def reference(
            stack: TransformerDecoder, x: np.ndarray, memory: np.ndarray
        ) -> Any:
            result = plait.tensor(x)
            for one in stack.layers:
                result = one(result, plait.tensor(memory))
            assert stack.norm is not None
            return stack.norm(result).numpy()

        return [Sample(inputs, args, wrt=(0, 1), reference=reference)]


class Transformer(Module):
    """An encoder, and a decoder that attends to its results.

    Args:
        d_model: the features of inputs and result.
        nhead: how many heads attend.
        num_encoder_layers, num_decoder_layers: how many layers the stacks have.
        dim_feedforward, dropout, activation: see `TransformerEncoderLayer`.
        custom_encoder, custom_decoder: are used in place of the stacks.
        layer_norm_eps, batch_first, norm_first, bias: see `TransformerEncoderLayer`.
        dtype: of the parameters. Default: float32.

    Attributes:
        encoder, decoder: stacks, each with a `LayerNorm` at the end. Their matrices are
            at first from `init.xavier_uniform_`.

    Input: that of the encoder, shape (s, n, d_model), and that of the decoder, shape
    (l, n, d_model); with `batch_first` n comes first; or both without n; and masks, see
    `forward`. Result: the shape of the decoder's input.

    Raises:
        ArgumentError: a setting has a wrong value, or there is no such activation.
        ShapeError: (calling it) the shapes do not fit.

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        d_model: Count = 512,
        nhead: Count = 8,
        num_encoder_layers: Depth = 6,
        num_decoder_layers: Depth = 6,
        dim_feedforward: Size = 2048,
        dropout: Probability = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: NotNegative = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        args = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps,
            batch_first, norm_first, bias, device, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(
                d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype
            )

        if custom_encoder is None:
            encoder = TransformerEncoderLayer(*args)
            custom_encoder = TransformerEncoder(encoder, num_encoder_layers, norm())
        if custom_decoder is None:
            decoder = TransformerDecoderLayer(*args)
            custom_decoder = TransformerDecoder(decoder, num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the matrices to new initial values."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the decoder's result for `tgt`, given `src`.

        For masks see `MultiheadAttention.forward`.

        Raises:
            ShapeError: `src` and `tgt` have not the same batch, or not `d_model`
                features.
        """
        batch = 0 if self.batch_first else 1
        fits = src.ndim == tgt.ndim and src.ndim in (2, 3)
        fits = fits and src.shape[-1] == tgt.shape[-1] == self.d_model
        if fits and src.ndim == 3:
            fits = src.shape[batch] == tgt.shape[batch]
        if not fits:
            raise ShapeError(
                "[Transformer] the shapes do not fit",
                got=f"src {src.shape}, tgt {tgt.shape}",
                expected=f"one batch on axis {batch}, and {self.d_model} features",
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
            memory_key_padding_mask, tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Any = None, dtype: Any = None
    ) -> Tensor:
        """Return a mask that lets each place attend to itself and those before it.

        Returns:
            Shape (sz, sz): 0 there, -inf elsewhere. Default dtype: float32.
        """
        values = np.triu(np.full((sz, sz), -math.inf), 1)
        dtype = plait.float32 if dtype is None else dtype
        return plait.tensor(values, dtype=dtype, device=device)

    @staticmethod
    def samples() -> list[Sample]:
        args = (4, 2, 1, 1, 5, 0.0)
        return [
            Sample(
                (uniform(2, 3, 4), uniform(2, 5, 4)), args,
                {"batch_first": True, "activation": "gelu"}, wrt=(0, 1),
            ),
            Sample(
                (uniform(3, 2, 4), uniform(5, 2, 4)), (4, 2, 2, 1, 5, 0.0, "gelu"),
                {"bias": False}, wrt=(0, 1), like_torch="never", separable=False,
            ),
        ]  # fmt: skip
