"""Limits on gradients, applied between `backward()` and `step()`.

Read first: `clip_grad_norm_`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError
from .terms import wide


@checked
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale gradients down so that their norm, as if they were one vector, is limited.

    Formula: g * min(1, max_norm / (norm + 1e-6)) for each gradient g, where norm is
    sum(abs(g) ** norm_type) ** (1 / norm_type) over all elements of all gradients.

    Args:
        parameters: a tensor or several; those without a gradient are passed over.
        max_norm: the limit.
        norm_type: the order of the norm; infinity for the greatest absolute value.
        error_if_nonfinite: look at the norm, and raise if it is nan or infinite.

    Returns:
        The norm before scaling, a scalar of at least float32.

    Raises:
        ArgumentError: `norm_type` is not positive, or the norm is not finite and
            `error_if_nonfinite`. No gradient is changed then.

    Source: R. Pascanu et al., "On the difficulty of training recurrent neural
    networks", 2013.
    """
    if not norm_type > 0:
        raise ArgumentError(
            "[clip_grad_norm_] the order of the norm must be positive",
            got=f"norm_type={norm_type}",
        )
    owners = _with_gradient(parameters)
    if not owners:
        return plait.zeros(())
    gradients = [owner.grad for owner in owners]
    # The order of the norm is known while recording, as text is.
    norm: Tensor
    norm, *limited = clipped(float(max_norm), repr(float(norm_type)), gradients)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise ArgumentError(
            "[clip_grad_norm_] the norm of the gradients is not finite",
            got=str(norm.item()),
            fix="look for the first step at which the loss is not finite",
        )
    for owner, gradient in zip(owners, limited, strict=True):
        owner.grad = gradient
    return norm


@plait.jit
def clipped(max_norm: Any, order_text: str, gradients: list[Tensor]) -> list[Tensor]:
    """Return the norm of gradients, and the gradients scaled; see `clip_grad_norm_`.

    Args:
        max_norm: the limit: a float, or a scalar tensor of the norm's type.
        order_text: the order of the norm, as text.
    """
    order = float(order_text)
    with plait.no_grad():
        parts = [wide(g) for g in gradients]
        if math.isinf(order):
            tops = [plait.max(plait.abs(g)) for g in parts if g.size]
            norm = plait.max(plait.stack(tops)) if tops else plait.zeros(())
        elif order == 2:
            norm = plait.sqrt(_total([plait.sum(g * g) for g in parts]))
        else:
            norm = _total([plait.sum(plait.abs(g) ** order) for g in parts]) ** (
                1 / order
            )
        factor = plait.minimum(max_norm / (norm + 1e-6), 1.0)
        scaled = [
            (x * factor).to(g.dtype) for x, g in zip(parts, gradients, strict=True)
        ]
    return [norm, *scaled]


def _total(parts: list[Tensor]) -> Tensor:
    return plait.sum(plait.stack(parts))


@checked
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of each gradient to `-clip_value` and `clip_value`.

    Args:
        parameters: a tensor or several; those without a gradient are passed over.
        clip_value: the limit. At least 0.

    Raises:
        ArgumentError: `clip_value` is negative.
    """
    if not clip_value >= 0:
        raise ArgumentError(
            "[clip_grad_value_] the limit must not be negative",
            got=f"clip_value={clip_value}",
        )
    owners = _with_gradient(parameters)
    limited = _limited(float(clip_value), [owner.grad for owner in owners])
    for owner, gradient in zip(owners, limited, strict=True):
        owner.grad = gradient


@plait.jit
def _limited(limit: Any, gradients: list[Tensor]) -> list[Tensor]:
    with plait.no_grad():
        return [plait.clip(g, -limit, limit) for g in gradients]


@checked
def adaptive_clip_grad_(
    parameters: Tensor | Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3
) -> None:
    """Limit the gradient of each unit to a share of the size of its weights.

    Formula: g * min(1, clip_factor * max(norm(w), eps) / norm(g)) for each unit, which
    is a row along the first axis; a parameter of at most one axis is one unit.

    Args:
        parameters: a tensor or several; those without a gradient are passed over.
        clip_factor: the share.
        eps: the least norm that counts for weights, so that zeros can learn.

    Raises:
        ArgumentError: a number is negative.

    Source: A. Brock et al., "High-performance large-scale image recognition without
    normalization", 2021, equation 3. It is left to you to pass over the last layer.
    """
    for name, number in (("clip_factor", clip_factor), ("eps", eps)):
        if not number >= 0:
            raise ArgumentError(
                f"[adaptive_clip_grad_] {name} is negative", got=f"{name}={number}"
            )
    owners = _with_gradient(parameters)
    limited = _limited_by_weights(
        [owner.detach() for owner in owners],
        [owner.grad for owner in owners],
        float(clip_factor),
        float(eps),
    )
    for owner, gradient in zip(owners, limited, strict=True):
        owner.grad = gradient


@plait.jit
def _limited_by_weights(
    weights: list[Tensor], gradients: list[Tensor], factor: Any, eps: Any
) -> list[Tensor]:
    with plait.no_grad():
        new = []
        for weight, gradient in zip(weights, gradients, strict=True):
            size = _norm_of_units(gradient)
            limit = plait.maximum(_norm_of_units(weight), eps) * factor
            over = size > limit
            share = plait.where(over, limit / plait.where(over, size, 1.0), 1.0)
            new.append((gradient * share).to(gradient.dtype))
        return new


def _norm_of_units(x: Tensor) -> Tensor:
    axes = tuple(range(1, x.ndim)) if x.ndim > 1 else None
    x = wide(x)
    return plait.sqrt(plait.sum(x * x, axis=axes, keepdims=x.ndim > 0))


@checked
def centralize_grad_(parameters: Tensor | Iterable[Tensor]) -> None:
    """Take the mean off each unit's gradient, of weights with two axes or more.

    Formula: g - mean(g) for each row along the first axis.

    Args:
        parameters: a tensor or several; those without a gradient are passed over.

    Source: H. Yong et al., "Gradient centralization: a new optimization technique for
    deep neural networks", 2020.
    """
    owners = [owner for owner in _with_gradient(parameters) if owner.ndim > 1]
    central = _centralized([owner.grad for owner in owners])
    for owner, gradient in zip(owners, central, strict=True):
        owner.grad = gradient


@plait.jit
def _centralized(gradients: list[Tensor]) -> list[Tensor]:
    with plait.no_grad():
        return [
            g - plait.mean(g, axis=tuple(range(1, g.ndim)), keepdims=True)
            for g in gradients
        ]


def _with_gradient(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    owners = [parameters] if isinstance(parameters, Tensor) else parameters
    return [owner for owner in owners if owner.grad is not None]
