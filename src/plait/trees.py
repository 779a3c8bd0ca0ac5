"""Nested tuples, lists and dictionaries as a flat list of leaves and back.

Whatever is none of the three is a leaf. None holds no leaf. Named tuples keep their
class.

Read first: `flatten`, `unflatten`, `tree_map`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .errors import ArgumentError

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


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return a tree with a function applied to its leaves.

    A tree is made of tuples, lists and dictionaries; whatever else is in them, such as
    a tensor, is a leaf. None holds no leaf.

    Args:
        function: takes a leaf, and the leaves at the same place in the others.
        tree: what to change; it stays as it is.
        others: trees of the same structure, such as the gradients of parameters.

    Raises:
        ArgumentError: one of them has another structure.

    Example:
        >>> import plait
        >>> plait.tree_map(lambda a, b: a - b, {"w": 3, "b": [2]}, {"b": [1], "w": 1})
        {'w': 2, 'b': [1]}
    """
    leaves, structure = flatten(tree)
    rest = [flatten(_ordered(structure, other))[0] for other in others]
    results = [function(*row) for row in zip(leaves, *rest, strict=True)]
    return unflatten(structure, results)


def _ordered(structure: Any, tree: Any) -> Any:
    """Return a tree of a structure, with dictionaries in its order."""
    found = flatten(tree)[1]
    if found == structure:
        return tree
    if _LEAF not in (found, structure) and _NONE not in (found, structure):
        (kind, keys, inner), (other, other_keys, _) = structure, found
        if kind is other is dict and {*keys} == {*other_keys}:
            pairs = zip(keys, inner, strict=True)
            return {key: _ordered(one, tree[key]) for key, one in pairs}
        if kind is other and kind is not dict and len(inner) == len(tree):
            rest = [_ordered(*pair) for pair in zip(inner, tree, strict=True)]
            return kind(*rest) if hasattr(kind, "_fields") else kind(rest)
    raise ArgumentError(
        "[tree_map] the trees have different structures",
        got=_described(found),
        expected=_described(structure),
    )


def _described(structure: Any) -> str:
    if structure in (_LEAF, _NONE):
        return "a leaf" if structure == _LEAF else "None"
    kind, keys, inner = structure
    if kind is dict:
        return f"a dictionary of {', '.join(map(repr, keys)) or 'nothing'}"
    return f"a {kind.__name__} of {len(inner)}"
