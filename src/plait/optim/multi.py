"""Several optimizers as one: different rules for different parameters.

Read first: `MultiOptimizer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError
from .optimizer import Group, Optimizer


class MultiOptimizer(Optimizer):
    """Optimizers of different parameters, used as one.

    Its groups are those of the optimizers, one after another: the same dicts, so that a
    schedule of rates sets them all. All updates are one program. It can be used
    wherever an optimizer can, `train.fit` and `train.TrainStep` among them.

    Args:
        optimizers: with a rule for one gradient each, so not `LBFGS`. Use this object
            in their place from now on.

    Attributes:
        optimizers: those that were given.
        state: what they keep, all in one; a copy.
        steps: how often each parameter was updated; a copy.

    Raises:
        ArgumentError: there are none, one has no such rule, or two have the same
            parameter.
        ArgumentTypeError: one is no optimizer.

    Example:
        >>> import plait
        >>> from plait import nn, optim
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
        >>> optimizer = optim.MultiOptimizer([
        ...     optim.Muon([layer.weight for layer in model], lr=0.02),
        ...     optim.AdamW([layer.bias for layer in model], lr=1e-3),
        ... ])
        >>> len(optimizer.param_groups)
        2
    """

    def __init__(self, optimizers: Iterable[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        for one in self.optimizers:
            if not isinstance(one, Optimizer):
                raise ArgumentTypeError(
                    "[MultiOptimizer] optimizers are needed",
                    got=f"a {type(one).__name__}",
                )
            self.refuse(
                one.rule is None, "an optimizer has no rule for one gradient", one.name
            )
        self.refuse(not self.optimizers, "there are no optimizers", [])
        seen: set[int] = set()
        for parameter in self._parameters():
            if id(parameter) in seen:
                raise ArgumentError(
                    "[MultiOptimizer] a parameter has two optimizers",
                    got=f"a tensor of shape {parameter.shape}",
                )
            seen.add(id(parameter))

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """Hyperparameters: none of its own."""
        return {}

    @property
    def param_groups(self) -> list[Group]:  # type: ignore[override]
        """The groups of all optimizers; the list is new, the dicts are theirs."""
        return [group for one in self.optimizers for group in one.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        """What the rules keep, for each parameter that was updated."""
        return {p: kept for one in self.optimizers for p, kept in one.state.items()}

    @property
    def steps(self) -> dict[Tensor, int]:  # type: ignore[override]
        """How often each parameter was updated."""
        return {p: count for one in self.optimizers for p, count in one.steps.items()}

    def owners(self) -> list[Optimizer]:
        """Return for each group the optimizer that updates it."""
        return [one for one in self.optimizers for _ in one.param_groups]

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Refuse: it is not known which of the optimizers should have it.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(
            "[MultiOptimizer] a group is of one of the optimizers",
            fix="call add_param_group of that one",
        )

    def _keep(
        self, state: dict[Tensor, dict[str, Tensor]], steps: dict[Tensor, int]
    ) -> None:
        for one in self.optimizers:
            own = [p for p in one._parameters() if p in state]
            one._keep({p: state[p] for p in own}, {p: steps[p] for p in own})
