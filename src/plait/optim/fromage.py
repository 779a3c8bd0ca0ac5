"""Fromage: steps by the size of parameters, whatever the size of gradients.

Read first: `Fromage`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plait import Tensor

from .optimizer import Optimizer
from .terms import length, root, trust


class Fromage(Optimizer):
    """Frobenius matched gradient descent.

    Formula: p = (p - lr * norm(p) / norm(g) * g) / sqrt(1 + lr ** 2) for the gradient
    g, negated if `maximize`; the ratio is 1 if a norm is 0. Norms are over all elements
    of a parameter.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: how far to go, relative to the size of a parameter.
        maximize: go up instead of down.

    Source: J. Bernstein et al., "On the distance between two neural networks and the
    stability of learning", 2020, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "maximize": maximize})

    @staticmethod
    def coefficients(step: int, *, lr: float, maximize: bool) -> dict[str, Any]:
        shrink = 1 / root(1 + lr * lr)
        return {"shrink": shrink, "rate": lr * shrink, "maximize": maximize}

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        shrink: float,
        rate: float,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if maximize:
            gradient = -gradient
        ratio = trust(length(parameter), length(gradient))
        return parameter * shrink - gradient * (ratio * rate), state

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [{"lr": 0.03}, {"lr": 0.5}, {"lr": 0.1, "maximize": True}]
