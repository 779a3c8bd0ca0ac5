"""Nested tuples, lists and dictionaries as a flat list of leaves and back.

Whatever is none of the three is a leaf. None holds no leaf. Named tuples keep their
class.

Read first: `flatten`, `unflatten`, `map_leaves`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

_LEAF = "leaf"
_NONE = "none"


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """Return the leaves in order and a hashable structure that `unflatten` takes."""
    leaves: list[Any] = []
    return leaves, _structure(tree, leaves)


def _structure(tree: Any, leaves: list[Any]) -> Any:
    if tree is None:
        return _NONE
    kind = type(tree)
    if kind is dict:
        return (dict, tuple(tree), _structures(tree.values(), leaves))
    if (
        kind is tuple
        or kind is list
        or (isinstance(tree, tuple) and hasattr(kind, "_fields"))
    ):
        return (kind, None, _structures(tree, leaves))
    leaves.append(tree)
    return _LEAF


def _structures(trees: Iterable[Any], leaves: list[Any]) -> tuple[Any, ...]:
    found = []
    for tree in trees:
        # Most are leaves, which need no call.
        if tree is None or isinstance(tree, (tuple, list, dict)):
            found.append(_structure(tree, leaves))
        else:
            leaves.append(tree)
            found.append(_LEAF)
    return tuple(found)


def unflatten(structure: Any, leaves: Iterable[Any]) -> Any:
    """Return the tree of `structure` with `leaves` in place."""
    return _build(structure, iter(leaves))


def _build(structure: Any, leaves: Iterator[Any]) -> Any:
    if structure is _LEAF or structure == _LEAF:
        return next(leaves)
    if structure == _NONE:
        return None
    kind, keys, children = structure
    items = [_build(child, leaves) for child in children]
    if kind is dict:
        return dict(zip(keys, items, strict=True))
    if kind is tuple or kind is list:
        return kind(items)
    return kind(*items)


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return `tree` with `function` applied to its leaves, those of `others` beside."""
    leaves, structure = flatten(tree)
    rest = [flatten(other)[0] for other in others]
    results = [function(*row) for row in zip(leaves, *rest, strict=True)]
    return unflatten(structure, results)
