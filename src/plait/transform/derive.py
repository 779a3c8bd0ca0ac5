"""Derivatives of whole graphs, as graphs: what the rules of control flow are made of.

Read first: `pulled`, `pushed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import DTypeError, GraphError, ShapeError
from ..ir.build import inline, make_input
from ..ir.graph import Graph, Node, TensorType, remembered, topological_order
from ..ops.source import full_like
from .differentiate import pull_back
from .push_forward import push_forward

Flags = tuple[bool, ...]


class Derived(NamedTuple):
    """A graph laid open, with its derivative beside it.

    Attributes:
        inputs: fresh nodes in place of the graph's inputs.
        outputs: the graph's outputs computed from them.
        seeds: fresh nodes for the cotangents or tangents given, None where none is.
        found: cotangents of the inputs or tangents of the outputs, None where none is.
    """

    inputs: list[Node]
    outputs: list[Node]
    seeds: list[Node | None]
    found: list[Node | None]


def like(node: Node, differentiable: bool) -> Node:
    """Return a new input of the type of `node`."""
    return make_input(node.shape, node.dtype, differentiable=differentiable)


def opened(
    graph: Graph, differentiable: Iterable[bool]
) -> tuple[list[Node], list[Node]]:
    """Return fresh inputs, and the outputs of `graph` computed from them."""
    inputs = [like(x, d) for x, d in zip(graph.inputs, differentiable, strict=True)]
    return inputs, inline(graph, inputs)


@remembered
def pulled(graph: Graph, wrt: Flags, used: Flags) -> Derived:
    """Return `graph` with reverse mode from its `used` outputs to its `wrt` inputs."""
    inputs, outputs = opened(graph, wrt)
    seeds = [
        like(y, True) if use else None for y, use in zip(outputs, used, strict=True)
    ]
    found = iter(
        pull_back(
            [y for y, seed in zip(outputs, seeds, strict=True) if seed is not None],
            given(seeds),
            [x for x, flag in zip(inputs, wrt, strict=True) if flag],
        )
    )
    return Derived(inputs, outputs, seeds, [next(found) if w else None for w in wrt])


@remembered
def pushed(graph: Graph, varying: Flags) -> Derived:
    """Return `graph` with forward mode from its `varying` inputs to all outputs."""
    inputs, outputs = opened(graph, varying)
    seeds = [like(x, True) if v else None for x, v in zip(inputs, varying, strict=True)]
    pairs = zip(inputs, seeds, strict=True)
    found = push_forward(outputs, {x: seed for x, seed in pairs if seed is not None})
    return Derived(inputs, outputs, seeds, found)


def given(nodes: Iterable[Node | None]) -> list[Node]:
    """Return `nodes` without the None."""
    return [node for node in nodes if node is not None]


def flags_of(nodes: Iterable[Node | None]) -> Flags:
    """Return which of `nodes` are not None."""
    return tuple(node is not None for node in nodes)


def wanted_of(operands: Iterable[Node]) -> Flags:
    """Return which of `operands` may have a cotangent."""
    return tuple(x.differentiable for x in operands)


def filled(
    nodes: Sequence[Node | None], like: Sequence[Node], keep: Sequence[bool]
) -> list[Node]:
    """Return those of `nodes` that `keep` names, with zeros like `like` for None."""
    return [
        full_like(model, 0) if node is None else node
        for node, model, wanted in zip(nodes, like, keep, strict=True)
        if wanted
    ]


def spread(nodes: Sequence[Node], keep: Sequence[bool]) -> list[Node | None]:
    """Return `nodes` at the places that `keep` names, None at the others."""
    rest = iter(nodes)
    return [next(rest) if wanted else None for wanted in keep]


def taken(*graphs: Graph) -> Flags:
    """Return for each input whether an output of one of `graphs` needs it."""
    needed = [set(topological_order(graph.outputs)) for graph in graphs]
    columns = zip(*(graph.inputs for graph in graphs), strict=True)
    return tuple(
        any(x in one for x, one in zip(column, needed, strict=True))
        for column in columns
    )


def narrowed(graph: Graph, keep: Flags) -> Graph:
    """Return `graph` with those inputs only that `keep` names."""
    return Graph(chosen(graph.inputs, keep), graph.outputs)


def chosen(nodes: Sequence[Any], keep: Sequence[bool]) -> list[Any]:
    """Return those of `nodes` that `keep` names."""
    return [node for node, wanted in zip(nodes, keep, strict=True) if wanted]


def check_inputs(
    name: str, graph: Graph, types: Sequence[TensorType], what: str
) -> None:
    """Raise unless `graph` takes inputs of `types`.

    Raises:
        GraphError: it does not.
    """
    expected = [x.type for x in graph.inputs]
    if expected != list(types):
        raise GraphError(
            f"[{name}] the {what} does not take what it is given",
            got=", ".join(map(repr, types)) or "nothing",
            expected=", ".join(map(repr, expected)) or "nothing",
        )


def check_type(what: str, got: str, type: TensorType, expected: TensorType) -> None:
    """Raise unless the types are equal.

    Raises:
        ShapeError, DTypeError: they differ.
    """
    if type.shape != expected.shape:
        raise ShapeError(what, got=got, fix="return values of one shape, with reshape")
    if type.dtype is not expected.dtype:
        fix = f"cast the result with x.to(plait.{expected.dtype.name})"
        raise DTypeError(what, got=got, fix=fix)
