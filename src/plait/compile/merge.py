"""Loops that go the same way made one loop.

A scan and its derivative both run through the forward direction: one for the results,
the other for what the derivative needs. Where they carry the same values, one loop
gives both.

Read first: `merge_scans`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.build import PICK, apply, inline, pick, rebuild
from ..ir.graph import Graph, Node
from ..ir.rewrite import rewrite
from ..transform.region import RECOMPUTE
from ..transform.scan import SCAN


def merge_scans(graph: Graph) -> Graph:
    """Return `graph` with one scan for those that carry the same values.

    Scans in regions are left alone: what is computed again shall be.
    """
    alike: dict[Any, list[Node]] = {}
    for node in graph.nodes():
        if node.primitive is SCAN:
            at = node.attributes
            rest = (at["captured"], at["carried"], at["length"], at["reverse"])
            alike.setdefault((node.operands, rest), []).append(node)
    found = {
        scans[0]: joint
        for scans in alike.values()
        if len(scans) > 1 and (joint := _joined(scans)) is not None
    }
    if not found:
        return graph
    # For each scan that is merged the first one, and the places of its results there.
    merged = {
        node: (first, places)
        for first, (_, all_places) in found.items()
        for node, places in all_places.items()
    }
    new: dict[Node, Node] = {node: node for node in graph.inputs}
    picked: dict[tuple[Node, int], Node] = {}
    for node in graph.nodes():
        if node.primitive is PICK and node.operands[0] in merged:
            first, places = merged[node.operands[0]]
            key = (first, places[node.attributes["index"]])
            if key not in picked:
                picked[key] = pick(new[first], key[1])
            new[node] = picked[key]
        elif node in found:
            operands = [new[x] for x in node.operands]
            attributes = {**node.attributes, "body": found[node][0]}
            new[node] = apply(SCAN, *operands, **attributes)
            new[node].where = node.where
        elif node in merged:
            # It comes later, and has the same operands: the first one is there.
            new[node] = new[merged[node][0]]
        else:
            new[node] = rebuild(node, tuple(new[x] for x in node.operands))
    return Graph(graph.inputs, [new[node] for node in graph.outputs])


def _joined(
    scans: Sequence[Node],
) -> tuple[Graph, dict[Node, list[int]]] | None:
    """Return one body for all of some scans, and where the results of each are.

    It is None if they do not carry the same values.
    """
    first, *others = (node.attributes["body"] for node in scans)
    carried = scans[0].attributes["carried"]
    outputs = list(first.outputs)
    starts = [0]
    for body in others:
        starts.append(len(outputs))
        outputs += inline(body, first.inputs)
    # Equal nodes become one.
    joint = rewrite(Graph(first.inputs, outputs), distinct=(RECOMPUTE,)).outputs
    carry = joint[:carried]
    results = list(carry)
    places: dict[Node, list[int]] = {}
    for node, start in zip(scans, starts, strict=True):
        mine = joint[start : start + len(node.type)]
        if any(x is not y for x, y in zip(mine, carry, strict=False)):
            return None
        places[node] = [*range(carried)]
        for x in mine[carried:]:
            if x not in results[carried:]:
                results.append(x)
            places[node].append(results.index(x, carried))
    return Graph(first.inputs, results), places
