"""Loss scaling: float16 gradients kept from vanishing.

Read first: `GradScaler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plait
from plait import Tensor

from ..arguments import Checked
from ..errors import ArgumentError, StateDictError
from .optimizer import Optimizer


class GradScaler(Checked):
    """Multiplies the loss, so that small float16 gradients do not become 0.

    1. `scale(loss)` is loss * s; its gradients are s times as large.
    2. `unscale_(optimizer)` divides them by s again, in float32.
    3. `step(optimizer)` updates, unless a gradient was nan or infinite.
    4. `update()`: s = s * backoff_factor if one was, else s * growth_factor after each
       `growth_interval` steps in a row without.

    Nothing waits for the values: whether an update takes place is decided where it is
    computed. A step that is left out so still counts as one for the optimizer, in the
    bias corrections of Adam for example.

    Args:
        init_scale: s at the beginning.
        growth_factor, backoff_factor, growth_interval: see above.
        enabled: False to do nothing, so that one code serves all types.

    Raises:
        ArgumentError: a factor is out of range.

    Source: P. Micikevicius et al., "Mixed precision training", 2018; PyTorch,
    torch.amp.GradScaler, for the interface and its defaults.

    Example:
        scaler = optim.GradScaler()
        with plait.autocast(plait.float16):
            loss = loss_function(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        for wrong, what, got in (
            (not init_scale > 0, "init_scale is not above 0", init_scale),
            (not growth_factor > 1, "growth_factor is not above 1", growth_factor),
            (
                not 0 < backoff_factor < 1,
                "backoff_factor is not between 0 and 1",
                backoff_factor,
            ),
            (growth_interval < 1, "growth_interval is below 1", growth_interval),
        ):
            if wrong:
                raise ArgumentError(f"[GradScaler] {what}", got=repr(got))
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.growth_interval = growth_interval
        self.enabled = enabled
        self._scale = plait.tensor(float(init_scale))
        self._good_steps = plait.tensor(0.0)
        # For each optimizer since the last `update`: whether a gradient was not finite.
        self._found: dict[int, Tensor] = {}

    def scale(self, loss: Any) -> Any:
        """Return the loss times the scale; of a list or tuple, each of them."""
        if not self.enabled:
            return loss
        if isinstance(loss, (list, tuple)):
            return type(loss)([self.scale(one) for one in loss])
        return loss.float() * self._scale

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide gradients by the scale, once for each step, such as to clip them.

        Raises:
            ArgumentError: it was done already.
        """
        if not self.enabled:
            return
        if id(optimizer) in self._found:
            raise ArgumentError(
                "[GradScaler] gradients are divided by the scale already",
                fix="call update() once after all steps",
            )
        owners = [
            p
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        gradients = [p.grad for p in owners]
        found, *unscaled = _unscaled(self._scale, gradients)
        for owner, gradient in zip(owners, unscaled, strict=True):
            owner.grad = gradient
        self._found[id(optimizer)] = found

    def step(self, optimizer: Optimizer) -> None:
        """Update the parameters, unless a gradient is nan or infinite."""
        if not self.enabled:
            optimizer.step()
            return
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        optimizer.step(skip=self._found[id(optimizer)])

    def update(self) -> None:
        """Change the scale, after all optimizers' steps."""
        if not self.enabled or not self._found:
            return
        # Recorded only: it runs with the next step.
        self._scale, self._good_steps = _updated(
            self._scale,
            self._good_steps,
            list(self._found.values()),
            float(self.growth_factor),
            float(self.backoff_factor),
            float(self.growth_interval),
        )
        self._found = {}

    def get_scale(self) -> float:
        """Return the scale. This looks at it."""
        return self._scale.item() if self.enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, and how long it has not changed."""
        return {"scale": self._scale.detach(), "good_steps": self._good_steps.detach()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            StateDictError: it is of something else; nothing is changed.
        """
        if state_dict.keys() != {"scale", "good_steps"}:
            raise StateDictError(
                "[load_state_dict] the state does not fit this GradScaler; nothing was "
                "changed",
                got=", ".join(map(str, state_dict)) or "nothing",
                expected="scale, good_steps",
            )
        scale, good = (plait.asarray(x).float() for x in state_dict.values())
        self._scale, self._good_steps = scale.detach(), good.detach()


@plait.jit
def _unscaled(scale: Tensor, gradients: list[Tensor]) -> list[Tensor]:
    with plait.no_grad():
        one_over = 1.0 / scale
        new = [(g.float() * one_over).to(g.dtype) for g in gradients]
        wrong = [plait.any(~plait.isfinite(g)) for g in new]
        found = plait.any(plait.stack(wrong)) if wrong else plait.tensor(False)
    return [found, *new]


@plait.jit
def _updated(
    scale: Tensor,
    good_steps: Tensor,
    found: list[Tensor],
    growth: Any,
    backoff: Any,
    interval: Any,
) -> tuple[Tensor, Tensor]:
    with plait.no_grad():
        bad = plait.any(plait.stack(found))
        good = plait.where(bad, 0.0, good_steps + 1.0)
        grows = good >= interval
        larger = plait.where(grows, scale * growth, scale)
        # A scale that has overflowed would never come back.
        larger = plait.where(plait.isfinite(larger), larger, scale)
        scale = plait.where(bad, scale * backoff, larger)
        return scale, plait.where(grows, 0.0, good)
