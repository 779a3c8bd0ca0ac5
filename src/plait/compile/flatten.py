"""Regions written out: compiled programs have no calls of graphs but loops, branches.

Read first: `flatten`.
"""

from __future__ import annotations

from ..ir.build import PICK, rebuild
from ..ir.graph import Graph, Node
from ..transform.region import CUSTOM, RECOMPUTE

_REGIONS = (CUSTOM, RECOMPUTE)

# For a node those that are to be computed before it, though it does not read them.
After = dict[Node, tuple[Node, ...]]


def flatten(graph: Graph) -> tuple[Graph, After]:
    """Return `graph` with the bodies of regions in their places.

    What a region computes again stays computed again: equal nodes are not merged. And
    it is computed late: nothing in such a region comes before any of its operands, of
    which the cotangents come last.
    """
    after: After = {}
    if not any(node.primitive in _REGIONS for node in graph.nodes()):
        return graph, after
    new: dict[Node, Node] = {node: node for node in graph.inputs}
    bodies: dict[Node, list[Node]] = {}
    for node in graph.nodes():
        if node.primitive is PICK and node.operands[0] in bodies:
            new[node] = bodies[node.operands[0]][node.attributes["index"]]
            continue
        operands = tuple(new[x] for x in node.operands)
        if node.primitive in _REGIONS:
            again = node.primitive is RECOMPUTE
            bodies[node] = _inlined(node.attributes["graph"], operands, again, after)
        else:
            new[node] = rebuild(node, operands)
    return Graph(graph.inputs, [new[node] for node in graph.outputs]), after


def _inlined(
    graph: Graph, operands: tuple[Node, ...], again: bool, after: After
) -> list[Node]:
    """Return the outputs of a region on operands, and note what it waits for."""
    body, inner = flatten(graph)
    awaited = tuple(x for x in operands if x.operands) if again else ()
    new = dict(zip(body.inputs, operands, strict=True))
    for node in body.nodes():
        made = new[node] = rebuild(node, tuple(new[x] for x in node.operands))
        waits = awaited + tuple(new[x] for x in inner.get(node, ()))
        # What depends on no operand may be part of other regions too.
        if made is not node and waits:
            after[made] = waits
    return [new[node] for node in body.outputs]
