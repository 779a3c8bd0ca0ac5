"""SAM: gradients from where the loss near by is greatest.

Read first: `SAM`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError
from .optimizer import Optimizer
from .terms import wide


class SAM(Optimizer):
    """Sharpness-aware minimization: two gradients for each step of another optimizer.

    1. g = gradient at p, of all parameters as one vector
    2. e = rho * g / (norm(g) + 1e-12); if `adaptive`,
       e = rho * p ** 2 * g / (norm(abs(p) * g) + 1e-12)
    3. a step of the optimizer at p with the gradient at p + e

    `step(closure)` computes the loss twice.

    Args:
        optimizer: makes the steps.
        rho: how far to look for a greater loss.
        adaptive: look further along large elements.

    Attributes:
        optimizer: the given one.

    Raises:
        ArgumentTypeError: `optimizer` is none.
        ArgumentError: rho is negative.

    Source: P. Foret et al., "Sharpness-aware minimization for efficiently improving
    generalization", 2021; J. Kwon et al., "ASAM: adaptive sharpness-aware
    minimization", 2021, for `adaptive`.
    """

    def __init__(
        self, optimizer: Optimizer, rho: float = 0.05, adaptive: bool = False
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                "[SAM] an optimizer is needed", got=f"a {type(optimizer).__name__}"
            )
        self.refuse(not rho >= 0, "rho is negative", rho)
        self.optimizer = optimizer
        self.rho = rho
        self.adaptive = adaptive
        self.defaults = optimizer.defaults
        self.param_groups = optimizer.param_groups

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        """What the optimizer keeps."""
        return self.optimizer.state

    @property
    def steps(self) -> dict[Tensor, int]:  # type: ignore[override]
        """How often each parameter was updated."""
        return self.optimizer.steps

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimize further parameters; see `Optimizer`."""
        self.optimizer.add_param_group(group)

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        skip: Tensor | None = None,
    ) -> Any:
        """Make a step.

        Args:
            closure: clears gradients, computes the loss, calls `backward()` on it and
                returns it.

        Returns:
            The loss at the parameters as they were.
        """
        if closure is None or skip is not None:
            raise ArgumentError(
                "[SAM] the loss is computed twice",
                got="no closure" if closure is None else "skip",
                fix="pass a function that computes the loss and its gradients, in "
                "a loop of your own",
            )
        with plait.enable_grad():
            loss = closure()
        moving = [
            p for g in self.optimizer.param_groups for p in g["params"]
            if p.grad is not None
        ]  # fmt: skip
        before = [p.detach() for p in moving]
        operands = [*(p.grad for p in moving), float(self.rho), self.adaptive]
        if moving:
            _climbed(moving, operands)
        try:
            with plait.enable_grad():
                closure()
        finally:
            if moving:
                _put_back(moving, before)
        self.optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; see `Optimizer`."""
        self.optimizer.load_state_dict(state_dict)


@plait.updating
def _climbed(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    *gradients, rho, adaptive = operands
    pairs = list(zip(tensors, gradients, strict=True))
    ways = [plait.abs(wide(p)) * g if adaptive else wide(g) for p, g in pairs]
    total = plait.sum(plait.stack([plait.sum(way * way) for way in ways]))
    scale = rho / (plait.sqrt(total) + 1e-12)
    new = []
    for (p, _), way in zip(pairs, ways, strict=True):
        step = plait.abs(p) * way if adaptive else way
        new.append((p + step * scale).to(p.dtype))
    return new


@plait.updating
def _put_back(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    return list(operands)
