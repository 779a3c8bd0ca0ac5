"""Attention without heads: by products, and by sums.

Read first: `Attention`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Probability, Size
from ..errors import ArgumentError, ShapeError
from . import init
from .module import Module
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, uniform


def _fitting(layer: str, query: Tensor, key: Tensor, value: Tensor) -> None:
    fits = min(query.ndim, key.ndim, value.ndim) >= 2
    fits = fits and query.shape[-1] == key.shape[-1]
    if not fits or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"[{layer}] the shapes do not fit",
            got=f"query {query.shape}, key {key.shape}, value {value.shape}",
            expected="(..., l, features), (..., s, features), (..., s, m)",
        )


class Attention(Module):
    """Attention by products of queries and keys, without maps and without heads.

    Formula: softmax(scale * query @ key.T + mask) @ value.

    Args:
        use_scale: scale is trained; else it is 1. (`MultiheadAttention` divides by the
            root of the features.)
        dropout: with which probability a weight is left out in training.
        dtype: of the parameter. Default: float32.

    Attributes:
        scale: shape (), at first 1; or None.

    Input: query of shape (..., l, features), key (..., s, features) and value
    (..., s, m). Result: shape (..., l, m), and the weights if they are asked for.

    Source: T. Luong et al., "Effective approaches to attention-based neural machine
    translation", 2015.
    """

    scale: Parameter | None

    def __init__(
        self,
        use_scale: bool = False,
        dropout: Probability = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        own_parameter(self, "scale", () if use_scale else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the scale to 1."""
        if self.scale is not None:
            init.ones_(self.scale)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
        dropout_key: Tensor | None = None,
    ) -> Any:
        """Return the result, and the weights if they are needed.

        Args:
            query, key: see the class.
            value: default: the key.
            attn_mask: broadcasts to (..., l, s). bool: true where a key may be attended
                to. Floating-point: added to the scores.
            is_causal: position i of l attends to positions 0..i of s only.
            need_weights: return a pair with the weights, shape (..., l, s).
            dropout_key: for the random numbers of dropout. Default: the default
                generator's next; inside `jit` one must be given.

        Raises:
            ShapeError: the shapes do not fit.
            DTypeError: the mask is of integers.

        Special cases: 0 where the mask allows no key.
        """
        value = key if value is None else value
        _fitting("Attention", query, key, value)
        if self.scale is not None:
            query = query * self.scale
        p = self.dropout if self.training else 0.0
        if p and dropout_key is None:
            dropout_key = plait.random.next_key()
        if need_weights:
            weights = plait.attention_weights(
                query, key, attn_mask, is_causal, scale=1.0
            )
            if p:
                weights = plait.dropout(weights, p, key=dropout_key)
            return weights @ value, weights
        return plait.scaled_dot_product_attention(
            query, key, value, attn_mask, p, is_causal, scale=1.0,
            dropout_key=dropout_key if p else None,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"use_scale={self.scale is not None}, dropout={self.dropout}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(
            layer: Attention, query: np.ndarray, key: np.ndarray, *value: np.ndarray
        ) -> np.ndarray:
            scale = 1.0 if layer.scale is None else layer.scale.item()
            scores = np.exp(scale * query @ key.swapaxes(-1, -2))
            weights = scores / scores.sum(-1, keepdims=True)
            result: np.ndarray = weights @ (value[0] if value else key)
            return result

        two = (uniform(2, 3, 4), uniform(2, 5, 4) * 0.7)
        return [
            Sample(
                (*two, uniform(2, 5, 3)), (True,), wrt=(0, 1, 2), reference=reference,
            ),
            Sample(two, wrt=(0, 1), reference=reference),
            Sample(two, (True, 0.5), wrt=(0, 1), smooth=False, reference=reference),
        ]  # fmt: skip


class AdditiveAttention(Module):
    """Attention by sums of queries and keys.

    Formula: softmax(scores + mask) @ value, with
    scores[i, j] = sum over f of scale[f] * tanh(query[i, f] + key[j, f]).

    Args:
        features: the size of the last axis of query and key.
        use_scale: scale is trained; else it is 1.
        dropout: with which probability a weight is left out in training.
        dtype: of the parameter. Default: float32.

    Attributes:
        scale: shape (features,); at first U(-b, b) with b = 1 / sqrt(features); or
            None.

    Input: query of shape (..., l, features), key (..., s, features) and value
    (..., s, m). Result: shape (..., l, m), and the weights if they are asked for.

    Source: D. Bahdanau et al., "Neural machine translation by jointly learning to align
    and translate", 2015.
    """

    scale: Parameter | None

    def __init__(
        self,
        features: Size,
        use_scale: bool = True,
        dropout: Probability = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = dropout
        own_parameter(self, "scale", features if use_scale else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the scale to new initial values."""
        spread([self.scale], self.features)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        need_weights: bool = False,
        dropout_key: Tensor | None = None,
    ) -> Any:
        """Return the result, and the weights if they are needed.

        Args:
            query, key: see the class.
            value: default: the key.
            attn_mask: broadcasts to (..., l, s), bool: true where a key may be attended
                to.
            is_causal: position i of l attends to positions 0..i of s only.
            need_weights: return a pair with the weights, shape (..., l, s).
            dropout_key: for the random numbers of dropout. Default: the default
                generator's next; inside `jit` one must be given.

        Raises:
            ShapeError: the shapes do not fit.
            ArgumentError: the mask is not bool.

        Special cases: 0 where the mask allows no key.
        """
        value = key if value is None else value
        _fitting("AdditiveAttention", query, key, value)
        if query.shape[-1] != self.features:
            raise ShapeError(
                "[AdditiveAttention] the features do not fit",
                got=f"query {query.shape}",
                expected=f"(..., l, {self.features})",
            )
        mask = attn_mask
        if mask is not None and mask.dtype is not plait.bool:
            raise ArgumentError(
                "[AdditiveAttention] the mask must be bool", got=mask.dtype.name
            )
        if is_causal:
            row = plait.arange(query.shape[-2]).unsqueeze(1)
            causal = plait.arange(key.shape[-2]) <= row
            mask = causal if mask is None else mask & causal
        sums = plait.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))
        sums = sums if self.scale is None else sums * self.scale
        weights = _masked_softmax(sums.sum(-1), mask)
        if self.training and self.dropout:
            weights = plait.dropout(weights, self.dropout, key=dropout_key)
        result = weights @ value
        return (result, weights) if need_weights else result

    def extra_repr(self) -> str:
        text = f"{self.features}, use_scale={self.scale is not None}"
        return f"{text}, dropout={self.dropout}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(
            layer: AdditiveAttention,
            query: np.ndarray,
            key: np.ndarray,
            *value: np.ndarray,
        ) -> np.ndarray:
            sums = np.tanh(query[..., :, None, :] + key[..., None, :, :])
            sums = sums if layer.scale is None else sums * layer.scale.numpy()
            scores = np.exp(sums.sum(-1))
            weights = scores / scores.sum(-1, keepdims=True)
            result: np.ndarray = weights @ (value[0] if value else key)
            return result

        two = (uniform(2, 3, 4), uniform(2, 5, 4) * 0.7)
        return [
            Sample((*two, uniform(2, 5, 3)), (4,), wrt=(0, 1, 2), reference=reference),
            Sample(two, (4, False), wrt=(0, 1), reference=reference),
            Sample(two, (4, True, 0.5), wrt=(0, 1), smooth=False, reference=reference),
        ]


def _masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the softmax along the last axis over what is allowed; 0 elsewhere."""
    if mask is None:
        return plait.softmax(scores, -1)
    # Finite, so that rows without any key have no nan in their derivative.
    least = plait.finfo(scores.dtype).min
    return plait.where(mask, plait.softmax(plait.where(mask, scores, least), -1), 0.0)
