"""Vectorising: from an expression of one example to that of many at once.

Knows only nodes and the `batch` rules of their records. The new axis comes first.

Read first: `batch`, `batch_graph`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError
from ..ir.build import PICK, apply, make_input, picks
from ..ir.graph import Graph, Node, remembered, topological_order
from ..ops import movement

Flags = tuple[bool, ...]


def batch(
    outputs: Sequence[Node], batched: Mapping[Node, Node]
) -> list[tuple[Node, bool]]:
    """Return `outputs` computed for many examples, and which of them depend on those.

    Args:
        batched: what takes the place of a node: the same with one more axis in front,
            of one size for all.

    Returns:
        For each output: itself with one more axis in front, and True; or, where it
        depends on no key of `batched`, itself as it was, and False.

    Raises:
        ArgumentError: a primitive on the way cannot be vectorised.
    """
    table: dict[Node, Any] = dict(batched)
    for node in topological_order(outputs, lambda node: node not in batched):
        flags = [operand in table for operand in node.operands]
        if not any(flags):
            continue
        if node.primitive is PICK:
            table[node] = table[node.operands[0]][node.attributes["index"]]
        else:
            operands = [table.get(operand, operand) for operand in node.operands]
            table[node] = _apply_rule(node, operands, flags)
    return [(table.get(output, output), output in table) for output in outputs]


def _apply_rule(node: Node, operands: Sequence[Node], flags: Sequence[bool]) -> Any:
    rule = node.primitive.batch
    if rule is None:
        raise ArgumentError(
            f"[{node.primitive.name}] cannot be vectorised",
            got=f"recorded at {node.where}" if node.where else "",
            fix="run over the examples with plait.scan instead of plait.vmap",
        )
    if rule == "elementwise":
        size = batch_size(operands, flags)
        full = [
            x if flag else expanded(x, size)
            for x, flag in zip(operands, flags, strict=True)
        ]
        return apply(node.primitive, *full, **node.attributes)
    assert not isinstance(rule, str)
    result = rule(operands, flags, node)
    several = isinstance(result, Node) and isinstance(result.type, tuple)
    return picks(result) if several else result


def batch_size(operands: Sequence[Node], flags: Sequence[bool]) -> int:
    """Return the number of examples, given operands of which some are batched."""
    return next(x.shape[0] for x, flag in zip(operands, flags, strict=True) if flag)


def expanded(x: Node, size: int) -> Node:
    """Return `x` repeated `size` times along a new axis in front."""
    return movement.expand(x, (size, *x.shape))


@remembered
def batch_graph(
    graph: Graph, flags: Flags, size: int, force: Flags | bool = False
) -> tuple[Graph, Flags]:
    """Return `graph` vectorised over `size` examples, and which outputs are batched.

    Args:
        flags: for each input, whether it is batched.
        force: for each output, or for all, whether it shall be batched even where it
            does not depend on the examples.
    """
    if isinstance(force, bool):
        force = (force,) * len(graph.outputs)
    inputs = [
        make_input((size, *x.shape), x.dtype, differentiable=x.differentiable)
        if flag
        else x
        for x, flag in zip(graph.inputs, flags, strict=True)
    ]
    pairs = zip(graph.inputs, inputs, flags, strict=True)
    results = batch(graph.outputs, {old: new for old, new, flag in pairs if flag})
    outputs = [
        expanded(x, size) if forced and not flag else x
        for (x, flag), forced in zip(results, force, strict=True)
    ]
    done = tuple(
        flag or forced for (_, flag), forced in zip(results, force, strict=True)
    )
    return Graph(inputs, outputs), done
