"""Going through sequences step by step: what layers of recurrences share.

A *state* is a tensor, or a tuple of tensors or of such tuples.

Read first: `loop`, `given_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .packed import checked_lengths, valid_steps

State = Any

_NAMES = ("h", "c")


def mapped(function: Callable[..., Tensor], *states: State) -> State:
    """Return a state of what `function` gives for each of the tensors of states."""
    if isinstance(states[0], Tensor):
        return function(*states)
    return tuple(mapped(function, *parts) for parts in zip(*states, strict=True))


def first_of(state: State) -> Tensor:
    """Return the first tensor of a state."""
    while not isinstance(state, Tensor):
        state = state[0]
    return state


def given_state(
    layer: str, hx: Any, shapes: Sequence[tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """Return the tensors of a state h, or (h, c), that a user gives.

    Args:
        shapes: what they must be, one or two.

    Raises:
        ArgumentTypeError: it is no tensor, or no pair.
        ShapeError: a shape does not fit.
    """
    state: tuple[Tensor, ...] = ()
    if len(shapes) == 1:
        expected = "a tensor"
        if isinstance(hx, Tensor):
            state = (hx,)
    else:
        expected = "a pair (h, c)"
        if isinstance(hx, tuple | list) and len(hx) == len(shapes):
            state = tuple(hx)
    if not state:
        raise ArgumentTypeError(
            f"[{layer}] the state is of another kind",
            got=type(hx).__name__,
            expected=expected,
        )
    for name, x, shape in zip(_NAMES, state, shapes, strict=False):
        if x.shape != shape:
            raise ShapeError(
                f"[{layer}] the state {name} does not fit",
                got=f"shape {x.shape}",
                expected=f"{shape}",
            )
    return state


def steps_that_count(
    layer: str,
    shape: tuple[int, ...],
    batch_first: bool,
    lengths: Tensor | Sequence[int] | None,
    mask: Tensor | None,
) -> Tensor | None:
    """Return which steps of each example count, bool, steps first; None for all.

    Args:
        shape: of the input, steps first.
        mask: bool, its axes as those of the input that the user gave.

    Raises:
        ArgumentError: both are given, or a length is out of range.
        ShapeError: they do not fit.
    """
    if lengths is not None and mask is not None:
        raise ArgumentError(
            f"[{layer}] lengths and a mask say the same", fix="give one of them"
        )
    steps, batch = shape[:2]
    if lengths is not None:
        return valid_steps(checked_lengths(layer, lengths, steps, batch), steps)
    if mask is None:
        return None
    wanted = (batch, steps) if batch_first else (steps, batch)
    if mask.shape != wanted or mask.dtype is not plait.bool:
        raise ShapeError(
            f"[{layer}] the mask does not fit",
            got=f"{mask.dtype.name} of shape {mask.shape}",
            expected=f"bool of shape {wanted}",
        )
    return mask.mT if batch_first else mask


def without_fillers(x: Tensor, counts: Tensor | None) -> Tensor:
    """Return the input with 0 in the steps that do not count.

    What lies there may be nan, and nan times 0 is nan, in gradients too.
    """
    if counts is None:
        return x
    return plait.where(_beside(counts, x), x, 0.0)


def _beside(counts: Tensor, x: Tensor) -> Tensor:
    """Return `counts` with as many axes as `x`, whose first axes are the same."""
    return counts.reshape(counts.shape + (1,) * (x.ndim - counts.ndim))


def loop(
    step: Callable[[State, Any], State],
    start: State,
    xs: Any,
    counts: Tensor | None,
    reverse: bool,
    output: Callable[[State], Tensor] = first_of,
) -> tuple[State, Tensor]:
    """Go through steps, where some may not count: they keep the state and give 0.

    Args:
        step: from a state and what it takes of a step to the next state.
        xs: a tree of tensors, steps first.
        counts: bool, shape (steps, batch); or None, if all count.
        reverse: go from the last step to the first.
        output: from a state to what is handed on of a step.

    Returns:
        The state at the end, and what was handed on.
    """

    def next_state(state: State, x: Any) -> State:
        # `plait.autocast` gives other types than a loop began with.
        return mapped(lambda new, old: new.to(old.dtype), step(state, x), state)

    def plain(state: State, x: Any) -> tuple[State, Tensor]:
        new = next_state(state, x)
        return new, output(new)

    def counted(state: State, parts: Any) -> tuple[State, Tensor]:
        x, counts = parts

        def chosen(new: Tensor, old: Tensor | float) -> Tensor:
            return plait.where(_beside(counts, new), new, old)

        new = next_state(state, x)
        return mapped(chosen, new, state), chosen(output(new), 0.0)

    if counts is None:
        end, handed_on = plait.scan(plain, start, xs, reverse=reverse)
    else:
        end, handed_on = plait.scan(counted, start, (xs, counts), reverse=reverse)
    return end, handed_on
