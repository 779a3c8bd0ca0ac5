"""A hook that puts weights back to where they must be.

Read first: `Constrain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import plait

from ..nn.regularizer import named_like
from .engine import Hook, State


class Constrain(Hook):
    """Applies constraints to parameters after each update.

    Args:
        model: whose parameters they are.
        constraint: a function of a tensor, such as `nn.MaxNorm(2.0)`, for every
            parameter whose name ends in "weight"; or one by pattern of names, as in
            {"0.weight": nn.NonNeg()}.

    Raises:
        ArgumentError: a pattern fits no parameter.
    """

    def __init__(self, model: Any, constraint: Any) -> None:
        given: Mapping[str, Callable[[Any], Any]] = (
            constraint if isinstance(constraint, Mapping) else {"*weight": constraint}
        )
        self._pairs = named_like("Constrain", model, given)

    def on_start(self, state: State) -> None:
        """Apply them before the first update, too."""
        self.apply()

    def on_update(self, state: State) -> None:
        """Apply them."""
        self.apply()

    def apply(self) -> None:
        """Apply the constraints now; for a training loop of your own."""
        with plait.no_grad():
            for parameter, function in self._pairs:
                parameter.copy_(function(parameter.detach()))
