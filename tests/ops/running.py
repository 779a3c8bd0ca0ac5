"""Runs ops on arrays, with their derivatives, and compares them with PyTorch's.

Read first: `value`, `like_torch`, `check_derivatives`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plait.ir.build import apply
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, Node
from plait.ir.primitive import Primitive
from plait.transform.batch import batch
from plait.transform.differentiate import pull_back

from . import checks
from .torch_table import torch


def inputs_for(arrays: Sequence[Any]) -> list[Node]:
    return [checks.like(np.asarray(x)) for x in arrays]


def values(op: Callable[..., Any], *arrays: Any, **settings: Any) -> list[np.ndarray]:
    """Return the results of an op on arrays; None stands for an operand left out."""
    given = [x for x in arrays if x is not None]
    nodes = inputs_for(given)
    left = iter(nodes)
    result = op(*(None if x is None else next(left) for x in arrays), **settings)
    results = result if isinstance(result, tuple) else (result,)
    found = interpret(Graph(nodes, results), given)
    for node, array in zip(results, found, strict=True):
        assert array.shape == node.shape
        assert array.dtype == node.dtype.numpy
    return found


def value(op: Callable[..., Any], *arrays: Any, **settings: Any) -> np.ndarray:
    """Return the only result of an op on arrays."""
    (found,) = values(op, *arrays, **settings)
    return found


def gradients(
    op: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray | None],
    **settings: Any,
) -> list[np.ndarray]:
    """Return the cotangents of the operands; 0 where there is none."""
    nodes = inputs_for(arrays)
    result = op(*nodes, **settings)
    results = result if isinstance(result, tuple) else (result,)
    pairs = [
        (y, np.asarray(ct, y.dtype.numpy))
        for y, ct in zip(results, cotangents, strict=True)
        if ct is not None
    ]
    found = checks.gradient_values(nodes, *map(list, zip(*pairs, strict=True)))(arrays)
    return [
        np.zeros_like(x) if ct is None else ct
        for x, ct in zip(arrays, found, strict=True)
    ]
