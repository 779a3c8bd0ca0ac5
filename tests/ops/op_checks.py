"""Checks of ops, which are functions of nodes: run on arrays, against others.

Read first: `value`, `like_torch`, `check_derivatives`, `check_batch_rule`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plait.dtypes import as_dtype
from plait.ir.build import apply, make_input, picks
from plait.ir.evaluate import interpret
from plait.ir.graph import Graph, Node
from plait.ir.primitive import Primitive
from plait.ops import source
from plait.transform.batch import batch
from plait.transform.differentiate import pull_back

from .torch_table import torch

Arrays = Sequence[np.ndarray]
Op = Callable[..., Any]


def inputs_for(arrays: Sequence[Any]) -> list[Node]:
    types = [(np.shape(x), as_dtype(np.asarray(x).dtype)) for x in arrays]
    return [make_input(s, dtype, differentiable=dtype.is_float) for s, dtype in types]


def several(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def values(op: Op, *arrays: Any, **settings: Any) -> list[np.ndarray]:
    """Return the results of an op on arrays; None stands for an operand left out."""
    given = [np.asarray(x) for x in arrays if x is not None]
    nodes = inputs_for(given)
    left = iter(nodes)
    results = several(
        op(*(None if x is None else next(left) for x in arrays), **settings)
    )
    found = interpret(Graph(nodes, results), given)
    for node, array in zip(results, found, strict=True):
        assert array.shape == node.shape
        assert array.dtype == node.dtype.numpy
    return found


def value(op: Op, *arrays: Any, **settings: Any) -> np.ndarray:
    """Return the only result of an op on arrays."""
    (found,) = values(op, *arrays, **settings)
    return found


# Derivatives


def recorded(op: Op, arrays: Arrays, **settings: Any) -> Graph:
    """Return the graph of those results of an op that have derivatives."""
    nodes = inputs_for(arrays)
    results = several(op(*nodes, **settings))
    return Graph(nodes, [y for y in results if y.differentiable])


def gradient(graph: Graph) -> Graph:
    """Return the graph from inputs and cotangents to the cotangents of all inputs."""
    given = [make_input(y.shape, y.dtype, differentiable=True) for y in graph.outputs]
    found = pull_back(graph.outputs, given, graph.inputs)
    for x, y in zip(graph.inputs, found, strict=True):
        assert y is None or y.type is x.type
    zeros = [source.full_like(x, 0) for x in graph.inputs]
    results = [z if y is None else y for y, z in zip(found, zeros, strict=True)]
    return Graph([*graph.inputs, *given], results)


def like_torch(
    op: Op, theirs: Op, arrays: Arrays, tolerance: float = 1e-9, **settings: Any
) -> None:
    """Raise unless results and gradients are those of a function of PyTorch."""
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    results = several(theirs(*tensors))
    for ours, right in zip(values(op, *arrays, **settings), results, strict=True):
        assert ours.shape == tuple(right.shape)
        close(ours, right.detach().numpy(), tolerance)
    results = [y for y in results if y.requires_grad]
    rng = np.random.default_rng(11)
    cotangents = [rng.normal(size=tuple(y.shape)) for y in results]
    ours = interpret(gradient(recorded(op, arrays, **settings)), [*arrays, *cotangents])
    given = [torch.tensor(c) for c in cotangents]
    right = torch.autograd.grad(results, tensors, given, materialize_grads=True)
    for one, other in zip(ours, right, strict=True):
        close(one, other.numpy(), tolerance)


def close(actual: Any, expected: Any, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def check_derivatives(
    op: Op,
    arrays: Arrays,
    tolerance: float = 1e-7,
    second: bool = True,
    **settings: Any,
) -> None:
    """Raise unless first and second derivatives agree with finite differences."""
    rng = np.random.default_rng(12)
    graph, at = recorded(op, arrays, **settings), list(arrays)
    for order in (1, 2) if second else (1,):
        slopes_graph = gradient(graph)
        cotangents = [rng.normal(size=y.shape) for y in graph.outputs]
        found = interpret(slopes_graph, [*at, *cotangents])
        for _ in range(3):
            along = [rng.normal(size=x.shape) for x in at]
            slopes = difference(graph, at, along)
            got = sum(np.sum(a * b) for a, b in zip(found, along, strict=True))
            right = sum(np.sum(a * b) for a, b in zip(cotangents, slopes, strict=True))
            room = tolerance * max(1.0, abs(right)) * 10 ** (order - 1)
            assert abs(got - right) < room, f"order {order}: {got} is not {right}"
        graph, at = slopes_graph, [*at, *cotangents]


def difference(graph: Graph, at: Arrays, along: Arrays) -> list[np.ndarray]:
    """Return the derivative of a graph along a direction, to the fourth order."""

    def centred(step: float) -> list[np.ndarray]:
        high, low = (
            interpret(graph, [x + s * d for x, d in zip(at, along, strict=True)])
            for s in (step, -step)
        )
        return [(a - b) / (2 * step) for a, b in zip(high, low, strict=True)]

    coarse, fine = centred(2e-4), centred(1e-4)
    return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)]


# Vectorising


def check_batch_rule(
    primitive: Primitive, arrays: Arrays, flags: Sequence[bool], **attributes: Any
) -> None:
    """Raise unless the batch rule gives what the primitive gives for each example.

    Args:
        flags: which of `arrays` hold one example after another along their first axis.
    """
    pairs = list(zip(arrays, flags, strict=True))
    singles = inputs_for([x[0] if flag else x for x, flag in pairs])
    node = apply(primitive, *singles, **attributes)
    outputs = list(picks(node)) if isinstance(node.type, tuple) else [node]
    full = inputs_for(arrays)
    table = {s: n for s, n, flag in zip(singles, full, flags, strict=True) if flag}
    found = batch(outputs, table)
    assert all(flag for _, flag in found)
    inputs = [table.get(s, s) for s in singles]
    results = interpret(Graph(inputs, [y for y, _ in found]), arrays)
    count = next(len(x) for x, flag in pairs if flag)
    for result, output in zip(results, outputs, strict=True):
        assert result.shape == (count, *output.shape)
    for i in range(count):
        one = [x[i] if flag else x for x, flag in pairs]
        expected = several(primitive.reference(*one, **attributes))
        for result, right in zip(results, expected, strict=True):
            close(result[i], right)
