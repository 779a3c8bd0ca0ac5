"""Lookahead: slow weights that follow fast ones.

Read first: `Lookahead`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError
from .optimizer import Optimizer, Rule
from .terms import choose, mixed


class Lookahead(Optimizer):
    """Another optimizer, from whose steps only a part of the way is kept.

    After each `k` steps of the optimizer, of the parameter p and the slow weights s:
    s = s + alpha * (p - s), and p = s. s begins at the parameter.

    Args:
        optimizer: with a rule for one gradient, and no group updated yet. Use this
            object in its place from now on.
        k: how many steps.
        alpha: the part of the way.

    Attributes:
        optimizer: the given one.

    Raises:
        ArgumentTypeError: it is no optimizer.
        ArgumentError: it has no such rule, k is below 1 or alpha not in 0..1.

    Source: M. Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", 2019.

    Example:
        >>> import plait
        >>> from plait import nn, optim
        >>> model = nn.Linear(4, 2)
        >>> optimizer = optim.Lookahead(optim.SGD(model.parameters(), lr=0.1), k=5)
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                "[Lookahead] an optimizer is needed",
                got=f"a {type(optimizer).__name__}",
            )
        if optimizer.rule is None:
            raise ArgumentError(
                "[Lookahead] an optimizer with a rule for one gradient is needed",
                got=f"a {type(optimizer).__name__}",
                fix="of a MultiOptimizer, give it each optimizer by itself",
            )
        self.refuse(k < 1, "k is below 1", k)
        self.refuse(not 0 <= alpha <= 1, "alpha is not in 0..1", alpha)
        self.refuse(bool(optimizer.state), "the optimizer has made steps already", k)
        self.optimizer = optimizer
        self.k = k
        self.alpha = alpha
        self.defaults = optimizer.defaults
        self.fixed = optimizer.fixed
        self.param_groups = optimizer.param_groups
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.steps: dict[Tensor, int] = {}

    @property
    def rule(self) -> Rule:
        """The rule of the optimizer, and what is done after it."""
        inner = self.optimizer.rule
        return _looking_ahead(inner or self.optimizer.update)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize further parameters; see `Optimizer`."""
        self.optimizer.add_param_group(group)

    def init(  # type: ignore[override]
        self, parameter: Tensor, **hyperparameters: Any
    ) -> dict[str, Tensor]:
        """Return what both keep for a parameter."""
        inner = self.optimizer.init(parameter, **hyperparameters)
        return {"slow": parameter.detach(), **inner}

    def coefficients(  # type: ignore[override]
        self, step: int, **hyperparameters: Any
    ) -> dict[str, Any]:
        """Return the numbers of both at a step."""
        inner = self.optimizer.coefficients(step, **hyperparameters)
        looks = choose(step % self.k == 0, 1.0, 0.0)
        return {"lookahead": looks, "kept_part": float(self.alpha), **inner}


@functools.cache
def _looking_ahead(rule: Rule) -> Rule:
    """Return the rule with the slow weights."""

    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        lookahead: Any,
        kept_part: Any,
        **others: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        slow = state["slow"]
        fast, kept = rule(parameter, gradient, state, **others)
        follows = plait.zeros_like(slow) + lookahead > 0.5
        slow = plait.where(follows, mixed(slow, fast, kept_part), slow)
        return plait.where(follows, slow, fast), {**kept, "slow": slow}

    return update
