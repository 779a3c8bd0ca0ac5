"""A hook that puts weights back to where they must be.

Read first: `Constrain`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

import plait

from ..errors import ArgumentError
from .engine import Hook, State


class Constrain(Hook):
    """Applies constraints to parameters after each update.

    Args:
        model: whose parameters they are.
        constraint: a function of a tensor, such as `nn.MaxNorm(2.0)`, for every
            parameter named "weight"; or one by pattern of names, as in {"0.weight":
            nn.NonNeg()}.

    Raises:
        ArgumentError: a pattern fits no parameter.
    """

    def __init__(self, model: Any, constraint: Any) -> None:
        given: Mapping[str, Callable[[Any], Any]] = (
            constraint if isinstance(constraint, Mapping) else {"*weight": constraint}
        )
        named = list(model.named_parameters())
        self._pairs = []
        for pattern, function in given.items():
            found = [p for name, p in named if fnmatch.fnmatchcase(name, pattern)]
            if not found:
                raise ArgumentError(
                    "[Constrain] no parameter is named so",
                    got=repr(pattern),
                    expected="one of " + ", ".join(name for name, _ in named[:8]),
                )
            self._pairs += [(parameter, function) for parameter in found]

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
