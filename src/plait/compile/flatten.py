"""Regions written out: a compiled program has no calls of graphs but loops and branches.

Read first: `flatten`.
"""

from __future__ import annotations

from ..ir.build import PICK, inline, rebuild
from ..ir.graph import Graph, Node
from ..transform.region import CUSTOM, RECOMPUTE

_REGIONS = (CUSTOM, RECOMPUTE)


def flatten(graph: Graph) -> Graph:
    """Return `graph` with the bodies of regions in their places.

    What a region computes again stays computed again: equal nodes are not merged.
    """
    if not any(node.primitive in _REGIONS for node in graph.nodes()):
        return graph
    new: dict[Node, Node] = {node: node for node in graph.inputs}
    bodies: dict[Node, list[Node]] = {}
    for node in graph.nodes():
        if node.primitive in _REGIONS:
            operands = [new[x] for x in node.operands]
            bodies[node] = inline(flatten(node.attributes["graph"]), operands)
        elif node.primitive is PICK and node.operands[0] in bodies:
            new[node] = bodies[node.operands[0]][node.attributes["index"]]
        else:
            new[node] = rebuild(node, tuple(new[x] for x in node.operands))
    return Graph(graph.inputs, [new[node] for node in graph.outputs])
