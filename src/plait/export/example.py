"""Examples of what functions take: shapes and types, and how they are handed over.

Read first: `Example`, `example_of`.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np

import plait
from plait import Tensor

from ..dtypes import as_dtype
from ..errors import ArgumentTypeError
from ..ir.graph import TensorType
from ..trees import flatten


class Example(NamedTuple):
    """What a function takes: types by name, and how it is called with them."""

    names: list[str]
    types: list[TensorType]
    structure: Any  # of (args, named)

    def with_rows(self, rows: int) -> Example:
        """Return the same for another length of the first axes."""
        types = [TensorType((rows, *x.shape[1:]), x.dtype) for x in self.types]
        return self._replace(types=types)


def example_of(inputs: Any, function: Any) -> Example:
    """Return what `inputs`, as `export` takes them, stand for.

    Args:
        function: whose arguments they are, for their names; None if they have none.
    """
    if isinstance(inputs, dict):
        args: tuple[Any, ...] = ()
        named = {name: _typed(x) for name, x in inputs.items()}
    else:
        one = _is_leaf(inputs)
        args = tuple(_typed(x) for x in ([inputs] if one else inputs))
        named = {}
    types, structure = flatten((args, named))
    labels = [*_argument_names(function, len(args)), *named]
    names: list[str] = []
    for label, tree in zip(labels, (*args, *named.values()), strict=True):
        names += labels_of(label, len(flatten(tree)[0]))
    return Example(names, types, structure)


def labels_of(label: str, count: int) -> list[str]:
    """Return names for the tensors of one thing: its own if it is one."""
    return [label if count == 1 else f"{label}.{i}" for i in range(count)]


def _argument_names(function: Any, count: int) -> list[str]:
    """Return names for the first arguments of a function: its own if there are more."""
    if count == 1:
        return ["input"]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name for one in parameters if one.kind in plain]
    if len(names) >= count:
        return names[:count]
    return [f"input_{i}" if i else "input" for i in range(count)]


def _is_leaf(x: Any) -> bool:
    return hasattr(x, "__array__") or isinstance(x, Tensor) or _is_shape(x)


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in x
    )


def _typed(x: Any) -> Any:
    """Return `x` with types in place of its tensors, arrays and shapes."""
    if isinstance(x, Tensor):
        return TensorType(x.shape, x.dtype)
    if _is_shape(x):
        return TensorType(x, plait.float32)
    if hasattr(x, "__array__"):
        array = np.asarray(x)
        return TensorType(array.shape, as_dtype(array.dtype))
    if x is None:
        return None
    if isinstance(x, (list, tuple)):
        made = [_typed(one) for one in x]
        return type(x)(*made) if hasattr(x, "_fields") else type(x)(made)
    if isinstance(x, dict):
        return {name: _typed(one) for name, one in x.items()}
    raise ArgumentTypeError(
        "[export] an example of an input is neither array nor shape",
        got=f"a {type(x).__name__}",
        expected="tensors, arrays, or tuples of integers",
    )
