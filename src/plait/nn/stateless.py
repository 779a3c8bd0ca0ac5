"""Calling a module with other tensors than its own, as transforms of functions need it.

Read first: `functional_call`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError
from .module import Module
from .parameter import Buffer, Parameter


@checked
def functional_call(
    module: Module,
    tensors: Mapping[str, Tensor],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Return `module(*args, **kwargs)` with `tensors` in place of its own.

    It makes of a module a function of its parameters, for `plait.grad`, `plait.vmap`
    and `plait.jit`. What the module changes in place, such as running averages, it
    changes in the tensors given, for which new values can be returned.

    Args:
        tensors: by the names of parameters and buffers. The module's own are used where
            none is given; tensors that it owns under several names are replaced
            together.
        args: the arguments, or one argument that is no tuple.

    Raises:
        ArgumentError: the module has no parameter or buffer of a name.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> layer = nn.Linear(2, 1)
        >>> def loss(parameters, x):
        ...     return nn.functional_call(layer, parameters, x).sum()
        >>> gradients = plait.grad(loss)(layer.state_dict(), plait.ones(3, 2))
        >>> sorted(gradients)
        ['bias', 'weight']
    """
    args = args if isinstance(args, tuple) else (args,)
    with replaced(module, tensors):
        return module(*args, **(kwargs or {}))


@contextmanager
def replaced(module: Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a module own other tensors inside a `with` block."""
    places: dict[int, list[tuple[dict[str, Any], str]]] = {}
    owners: dict[str, Tensor] = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        for name, owned in vars(inner).items():
            if isinstance(owned, (Parameter, Buffer)):
                places.setdefault(id(owned), []).append((vars(inner), name))
                owners[f"{path}.{name}" if path else name] = owned
    unknown = [name for name in tensors if name not in owners]
    if unknown:
        raise ArgumentError(
            f"[functional_call] the {type(module).__name__} has no parameter or buffer "
            "of this name",
            got=", ".join(map(repr, unknown)),
            expected=", ".join(owners),
        )
    try:
        for path, tensor in tensors.items():
            for attributes, name in places[id(owners[path])]:
                attributes[name] = tensor
        yield
    finally:
        for owned in owners.values():
            for attributes, name in places[id(owned)]:
                attributes[name] = owned
