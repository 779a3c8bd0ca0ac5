"""Muon: momentum of a matrix, made orthogonal.

Read first: `Muon`, `orthogonalized`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ShapeError
from .optimizer import Optimizer
from .terms import mixed, shrinking, wide, zeros

_KNOWN = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """Momentum orthogonalized by the iteration of Newton and Schulz, for matrices.

    1. b = momentum * b + (1 - momentum) * gradient
    2. u = momentum * b + (1 - momentum) * gradient if `nesterov`, else b
    3. u = the nearest matrix of orthonormal rows or columns, roughly
    4. p = p - lr * weight_decay * p
    5. p = p - lr * f * u

    The factor f is sqrt(max(1, rows / columns)), or 0.2 * sqrt(max(rows, columns)) with
    "match_rms_adamw", with which rates and decays of AdamW fit.

    It is for the weights of hidden layers. Train biases, embeddings and the last layer
    with another optimizer, such as AdamW, both in a `MultiOptimizer`. Axes after the
    first count as columns, as in weights of convolutions.

    Args:
        params: tensors of two axes or more, or groups; see `Optimizer`.
        lr: learning rate.
        weight_decay: factor of the decay.
        momentum: how much of the mean is kept.
        nesterov: look ahead along the momentum.
        ns_coefficients: a, b and c of x = a x + (b (x x^T) + c (x x^T) ** 2) x.
        eps: keeps the norm that a matrix is divided by at first from 0.
        ns_steps: how often that is done.
        adjust_lr_fn: the factor f: None or "original", or "match_rms_adamw".

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks",
    2024; J. Liu et al., "Muon is scalable for LLM training", 2025, for the second
    factor. Products are in at least float32, but for `plait.settings.matmul_precision`.
    """

    fixed = ("ns_steps",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum,
            "nesterov": nesterov, "ns_coefficients": ns_coefficients, "eps": eps,
            "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self,
        *,
        ns_coefficients: Sequence[float],
        ns_steps: int,
        adjust_lr_fn: str | None,
        **others: Any,
    ) -> None:
        super().check(**others)
        self.refuse(
            len(ns_coefficients) != 3, "ns_coefficients are not three", ns_coefficients
        )
        self.refuse(not 0 <= ns_steps < 100, "ns_steps is not in 0..99", ns_steps)
        self.refuse(
            adjust_lr_fn not in _KNOWN,
            "adjust_lr_fn is not 'original', 'match_rms_adamw' or None",
            adjust_lr_fn,
        )

    def _check_parameters(self, tensors: Sequence[Any]) -> None:
        super()._check_parameters(tensors)
        for tensor in tensors:
            if tensor.ndim < 2:
                raise ShapeError(
                    "[Muon] only matrices can be optimized",
                    got=f"a tensor of shape {tensor.shape}",
                    expected="two axes or more",
                    fix="give it to AdamW, and both optimizers to a MultiOptimizer",
                )

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        return zeros(parameter, "momentum_buffer")

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        ns_coefficients: tuple[float, float, float],
        eps: float,
        ns_steps: int,
        adjust_lr_fn: str | None,
    ) -> dict[str, Any]:
        return {
            "lr": lr,
            "shrink": shrinking(lr, weight_decay),
            "new": 1 - momentum,
            "nesterov": nesterov,
            **dict(zip("abc", map(float, ns_coefficients), strict=True)),
            "turns": range(ns_steps),  # no number: it is known while recording
            "eps": eps,
            "adjusted": adjust_lr_fn,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lr: float,
        shrink: float | None,
        new: float,
        nesterov: bool,
        a: float,
        b: float,
        c: float,
        turns: range,
        eps: float,
        adjusted: str | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if not parameter.size:
            return parameter, state
        buffer = mixed(state["momentum_buffer"], gradient, new)
        ahead = mixed(buffer, gradient, new) if nesterov else buffer
        rows, columns = parameter.shape[0], math.prod(parameter.shape[1:])
        step = orthogonalized(ahead.reshape(rows, columns), (a, b, c), turns, eps)
        if adjusted == "match_rms_adamw":
            factor = 0.2 * math.sqrt(max(rows, columns))
        else:
            factor = math.sqrt(max(1, rows / columns))
        if shrink is not None:
            parameter = parameter * shrink
        step = step.reshape(parameter.shape) * factor
        return parameter - step * lr, {"momentum_buffer": buffer}

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.05, "weight_decay": 0.0},
            {"lr": 0.1, "momentum": 0.8, "nesterov": False, "ns_steps": 3, "eps": 1.0},
            {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.2},
            {"lr": 0.1, "ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 9},
        ]


def orthogonalized(
    matrix: Tensor, coefficients: Sequence[Any], turns: range, eps: Any
) -> Tensor:
    """Return U V^T, roughly, for the matrix U S V^T; in at least float32.

    Args:
        coefficients: a, b and c of x = a x + (b (x x^T) + c (x x^T) ** 2) x. Each
            singular value goes its way by this polynomial alone.
        turns: as many as it is applied.
        eps: the least norm that the matrix is divided by.
    """
    a, b, c = coefficients
    x = wide(matrix)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / plait.maximum(plait.sqrt(plait.sum(x * x)), eps)
    for _ in turns:
        gram = x @ x.mT
        x = x * a + (gram * b + (gram @ gram) * c) @ x
    return x.mT if tall else x
