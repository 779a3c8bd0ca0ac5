"""Hooks of modules that see the gradients of results and arguments.

The arguments of a call are joined into one tensor, and so are its results, if there are
several: the hook of that tensor sees all their gradients at once.

Read first: `watched`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError

Gradients = tuple[Tensor | None, ...]


def watched(
    module: Any,
    before: Iterable[Callable[..., Any]],
    after: Iterable[Callable[..., Any]],
    args: tuple[Any, ...],
    run: Callable[..., Any],
) -> Any:
    """Return `run(*args)`; going backward through it calls hooks.

    Args:
        before: called as `hook(module, grad_output)`, with what comes in.
        after: called as `hook(module, grad_input, grad_output)`, with what goes out.
    """
    hooks = list(after)
    coming: list[Gradients] = []

    def leave(gradients: Gradients) -> Gradients:
        for hook in hooks:
            changed = hook(module, gradients, coming[-1])
            gradients = _replaced(gradients, changed)
        return gradients

    given, has_inputs = _seen(args, leave)
    result = run(*given)

    def enter(gradients: Gradients) -> Gradients:
        for hook in before:
            gradients = _replaced(gradients, hook(module, gradients))
        coming.append(gradients)
        if not has_inputs:
            leave((None,) * len(args))
        return gradients

    if isinstance(result, (tuple, list)):
        found, _ = _seen(tuple(result), enter)
        return found if isinstance(result, tuple) else list(found)
    return _seen((result,), enter)[0][0]


def _replaced(gradients: Gradients, changed: Any) -> Gradients:
    """Return gradients, or what a hook gave in their place.

    Raises:
        ArgumentError: it gave another number of them.
    """
    if changed is None:
        return gradients
    new = tuple(changed) if isinstance(changed, (tuple, list)) else (changed,)
    if len(new) != len(gradients):
        raise ArgumentError(
            "[backward] a hook returned another number of gradients",
            got=f"{len(new)} for {len(gradients)}",
        )
    return new


def _seen(
    values: Sequence[Any], see: Callable[[Gradients], Gradients]
) -> tuple[tuple[Any, ...], bool]:
    """Return values equal to `values`, whose gradients `see` is called with.

    It returns gradients in their place. There is None for what has no gradient.

    Returns:
        The values, and whether any has a gradient.
    """
    places = [
        i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad
    ]
    if not places or not plait.is_grad_enabled():
        return tuple(values), False
    tensors = [values[i] for i in places]
    one = len(tensors) == 1
    whole = tensors[0].clone() if one else plait.concat(_flat(tensors))
    sizes = [x.size for x in tensors]

    def split(joined: Tensor) -> list[Tensor]:
        if one:
            return [joined]
        return [
            part.reshape(x.shape).to(x.dtype)
            for part, x in zip(plait.split(joined, sizes), tensors, strict=True)
        ]

    def hook(gradient: Tensor) -> Tensor:
        full: list[Tensor | None] = [None] * len(values)
        for i, part in zip(places, split(gradient), strict=True):
            full[i] = part
        new = see(tuple(full))
        kept = [
            plait.zeros_like(x) if new[i] is None else new[i]
            for i, x in zip(places, tensors, strict=True)
        ]
        found = kept[0] if one else plait.concat(_flat(kept))
        assert found is not None
        return found

    whole.register_hook(hook)
    result = list(values)
    for i, part in zip(places, split(whole), strict=True):
        result[i] = part
    return tuple(result), True


def _flat(tensors: Iterable[Any]) -> list[Tensor]:
    return [x.reshape(-1) for x in tensors]
