"""State dicts: a module's values by name, read and written as a whole.

Read first: `entries`, `load`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plait
from plait import Tensor

from ..errors import ArgumentTypeError, StateDictError
from .parameter import Buffer, Parameter, Uninitialized

_LONGEST_LIST = 20


class LoadedKeys(NamedTuple):
    """The names that `load_state_dict` could not match; both empty if it was strict."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def entries(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a module and of those inside.

    Each module's parameters come first, then its buffers, then those of its children.
    """
    found: dict[str, Tensor] = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        lead = f"{prefix}{path}." if path else prefix
        owned = vars(inner).items()
        found.update((lead + n, x) for n, x in owned if isinstance(x, Parameter))
        found.update(
            (lead + n, x) for n, x in owned if isinstance(x, Buffer) and x.persistent
        )
    return found


def load(
    module: Any, given: Mapping[str, Any], strict: bool, assign: bool
) -> LoadedKeys:
    """Set the entries of `module` to the given values. See `Module.load_state_dict`."""
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            "[load_state_dict] values by name are needed",
            got=f"a {type(given).__name__}",
            fix="pass what state_dict() or nn.load_weights(path) returns",
        )
    targets = entries(module)
    missing = [name for name in targets if name not in given]
    unexpected = [name for name in given if name not in targets]
    # Lazy layers become what the values say, if all goes well.
    twins = _twins(module, given, targets)
    values, unfit = {}, []
    for name, target in targets.items():
        if name in given and isinstance(target, Uninitialized):
            unfit.append(f"{name} of a layer that has no shape yet")
        elif name in given:
            value = given[name]
            values[name] = value = plait.asarray(value)
            if value.shape != target.shape:
                unfit.append(f"{name} {value.shape} instead of {target.shape}")
            elif _loses_kind(value, target):
                unfit.append(
                    f"{name} {value.dtype.name} instead of {target.dtype.name}"
                )
    if unfit or (strict and (missing or unexpected)):
        lists = [
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", unfit),
        ]
        raise StateDictError(
            f"[load_state_dict] the values do not fit the {type(module).__name__}; "
            "nothing was changed",
            got="; ".join(
                f"{what}: {_listed(names)}" for what, names in lists if names
            ),
            fix=_advice(missing, unexpected, unfit),
        )
    for name, value in values.items():
        target = targets[name]
        same = assign or value.dtype is target.dtype
        target.data = value if same else value.to(target.dtype)
    for lazy, twin in twins:
        lazy._settle(twin)
    return LoadedKeys(missing, unexpected)


def _twins(
    module: Any, given: Mapping[str, Any], targets: dict[str, Tensor]
) -> list[tuple[Any, Any]]:
    """Return lazy layers and what they become, whose tensors are the targets instead.

    Args:
        targets: it is changed.
    """
    found: dict[int, tuple[Any, Any]] = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        lead = f"{path}." if path else ""
        names = [n for n, x in vars(inner).items() if isinstance(x, Uninitialized)]
        if not names:
            continue
        if id(inner) not in found:
            own = {n: given[lead + n] for n in names if lead + n in given}
            twin = inner._twin_for(own)
            if twin is None:
                continue
            found[id(inner)] = (inner, twin)
        _, twin = found[id(inner)]
        targets.update((lead + n, vars(twin)[n]) for n in names)
    return list(found.values())


def _loses_kind(value: Tensor, target: Tensor) -> bool:
    """Return whether fractions would be cut off."""
    return plait.isdtype(value.dtype, "real floating") and not plait.isdtype(
        target.dtype, "real floating"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LONGEST_LIST])
    rest = len(names) - _LONGEST_LIST
    return f"{shown} and {rest} more" if rest > 0 else shown


def _advice(missing: list[str], unexpected: list[str], unfit: list[str]) -> str:
    heads = {name.partition(".")[0] for name in unexpected}
    if missing and len(heads) == 1:
        tails = {name.partition(".")[2] for name in unexpected}
        if tails == set(missing):
            return f"take {heads.pop() + '.'!r} off the front of the names"
    return "" if unfit else "pass strict=False to load only what matches"
