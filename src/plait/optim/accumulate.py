"""Gradients of several batches as those of one large batch.

Read first: `Accumulate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentTypeError, StateDictError
from .optimizer import Optimizer
from .terms import wide


class Accumulate(Optimizer):
    """Another optimizer that makes a step with the mean of several gradients.

    Each `step()` adds up the gradients; each `steps`-th one has the optimizer make a
    step with their sum / steps, in which a batch without a gradient, or one that is to
    be skipped, counts as 0. Between steps nothing changes. A loop stays as it is:
    `zero_grad`, `backward`, `step` for each batch, `train.fit` too.

    Args:
        optimizer: makes the steps. Use this object in its place from now on.
        steps: how many gradients.

    Attributes:
        optimizer: the given one.
        count: how many gradients have been added up since its last step.

    Raises:
        ArgumentTypeError: `optimizer` is none.
        ArgumentError: `steps` is below 1.

    Example:
        >>> import plait
        >>> from plait import nn, optim
        >>> model = nn.Linear(4, 2)
        >>> optimizer = optim.Accumulate(optim.SGD(model.parameters(), lr=0.1), 4)
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                "[Accumulate] an optimizer is needed",
                got=f"a {type(optimizer).__name__}",
            )
        self.refuse(steps < 1, "steps is below 1", steps)
        self.optimizer = optimizer
        self.every = steps
        self.count = 0
        self._sums: dict[Tensor, Tensor] = {}

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The hyperparameters of the optimizer."""
        return self.optimizer.defaults

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of the optimizer."""
        return self.optimizer.param_groups

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        """What the optimizer keeps."""
        return self.optimizer.state

    @property
    def steps(self) -> dict[Tensor, int]:  # type: ignore[override]
        """How often the optimizer has updated each parameter."""
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
        """Take the gradients in, and make a step if they are enough.

        Args:
            closure: computes the gradients first and returns the loss.
            skip: a bool of shape (); if it is true, these gradients count as 0.

        Returns:
            What `closure` returned; None without one.
        """
        loss = None
        if closure is not None:
            with plait.enable_grad():
                loss = closure()
        active = [p for p in self._parameters() if p.grad is not None]
        for parameter in active:
            if parameter not in self._sums:
                self._sums[parameter] = plait.zeros_like(wide(parameter.detach()))
        sums = [self._sums[p] for p in active]
        # The share is applied here: sums of many gradients may overflow.
        operands = [*(p.grad for p in active), 1 / self.every, skip]
        if sums:
            _added(sums, operands)
        else:
            plait.flush()
        self.count += 1
        if self.count == self.every:
            given = [p.grad for p in self._sums]
            for parameter, total in self._sums.items():
                parameter.grad = total
            self.optimizer.step()
            for parameter, gradient in zip(self._sums, given, strict=True):
                parameter.grad = gradient
            self.count, self._sums = 0, {}
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer, and what was added up."""
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        sums = {numbers[id(p)]: x.detach() for p, x in self._sums.items()}
        accumulated = {"count": self.count, "sums": sums}
        return {**self.optimizer.state_dict(), "accumulated": accumulated}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; see `Optimizer`.

        Raises:
            StateDictError: it does not fit; nothing is changed.
        """
        parameters = self._parameters()
        try:
            accumulated = state_dict["accumulated"]
            count = int(accumulated["count"])
            sums = {
                parameters[i]: wide(plait.asarray(x).detach())
                for i, x in accumulated["sums"].items()
            }
            if any(p.shape != x.shape for p, x in sums.items()):
                raise ValueError("sums of other shapes")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateDictError(
                "[load_state_dict] the state does not fit this Accumulate; nothing was "
                "changed",
                got=repr(error),
            ) from None
        self.optimizer.load_state_dict(state_dict)
        self.count, self._sums = count, sums


@plait.updating
def _added(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
    *gradients, share, skip = operands
    new = []
    for total, gradient in zip(tensors, gradients, strict=True):
        more = gradient.to(total.dtype) * share
        # No product: 0 * inf is nan.
        more = more if skip is None else plait.where(skip, 0.0, more)
        new.append(total + more)
    return new
