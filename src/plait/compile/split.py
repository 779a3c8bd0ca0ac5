"""Long reductions in two steps, so that threads can share them.

    sum(x: (1000000,)) -> sum(sum(reshape(x, (25, 40000)), axis 1), axis 0)

The parts depend on the shape alone, so the result does not depend on the number of
threads. Read first: `split`.
"""

from __future__ import annotations

from ..ir.build import apply, rebuild
from ..ir.graph import Graph, Node
from ..ops import elementwise, movement
from ..shapes import size_of
from .flatten import After

# A reduction over as many elements is worth sharing.
_LARGE = 1 << 16
# There should be as many independent sums, each over as many elements.
_PARTS, _MOST_PARTS, _LEAST = 32, 256, 1 << 11
# A longer sum loses digits.
_LONGEST = 1 << 14
# As many neighbouring sums are computed together.
_TOGETHER = 32
# The same where many more chunks run at once, with wider vectors.
_LARGE_THERE, _LEAST_THERE, _PARTS_THERE, _TOGETHER_THERE = 1 << 12, 1 << 7, 128, 64

_JOINED = {
    "sum": elementwise.add,
    "product": elementwise.multiply,
    "max": elementwise.maximum,
    "min": elementwise.minimum,
}


def split(graph: Graph, after: After, finer: int = 1) -> tuple[Graph, After]:
    """Return `graph` with long reductions in two steps, and `after` for its nodes.

    Args:
        finer: parts are worth sharing that are so many times smaller.
    """
    new: dict[Node, Node] = {node: node for node in graph.inputs}
    changed = False
    for node in graph.nodes():
        operands = tuple(new[x] for x in node.operands)
        parts = _parts(node, finer)
        if parts > 1:
            new[node] = _in_parts(node, operands[0], parts)
            changed = True
        else:
            new[node] = rebuild(node, operands)
    if not changed:
        return graph, after
    after = {new[x]: tuple(new[y] for y in waits) for x, waits in after.items()}
    return Graph(graph.inputs, [new[node] for node in graph.outputs]), after


def _parts(node: Node, finer: int) -> int:
    """Return in how many parts a node should be reduced at first."""
    if node.primitive.name not in _JOINED:
        return 1
    x = node.operands[0]
    large, least, wanted, together = _LARGE, _LEAST, _PARTS, _TOGETHER
    if finer > 1:
        large, least = _LARGE_THERE, _LEAST_THERE
        wanted, together = _PARTS_THERE, _TOGETHER_THERE
    if x.size < large:
        return 1
    axes = node.attributes["axes"]
    sums = node.size
    if x.ndim - 1 not in axes:
        # Lanes are neighbouring sums.
        sums = -(-x.shape[-1] // together) * size_of(
            tuple(n for a, n in enumerate(x.shape[:-1]) if a not in axes)
        )
    if sums >= wanted:
        return 1
    each = x.size // max(1, node.size)
    parts = max(-(-wanted // max(1, sums)), min(_MOST_PARTS // 2, each // _LONGEST))
    return min(parts, each // least)


def _in_parts(node: Node, x: Node, parts: int) -> Node:
    axes = node.attributes["axes"]
    # The outermost one that is long enough: the parts are then long runs of memory.
    long = [one for one in sorted(axes) if x.shape[one] >= 2 * parts]
    axis = long[0] if long else max(axes, key=lambda one: x.shape[one])
    n = x.shape[axis]
    factor = next(
        (f for f in range(parts, _MOST_PARTS + 1) if n % f == 0 and n > f), None
    )
    if factor is not None:
        return _halved(node, x, axis, factor)
    if n < 2 * parts:
        return apply(node.primitive, x, axes=axes)
    # What is left over is reduced by itself.
    whole = n // parts * parts
    first = _halved(node, _cut(x, axis, 0, whole), axis, parts)
    rest = apply(node.primitive, _cut(x, axis, whole, n), axes=axes)
    joined: Node = _JOINED[node.primitive.name](first, rest)
    return joined


def _halved(node: Node, x: Node, axis: int, factor: int) -> Node:
    """Return a reduction of parts of `axis`, and then of what they gave."""
    axes = node.attributes["axes"]
    n = x.shape[axis]
    shape = (*x.shape[:axis], factor, n // factor, *x.shape[axis + 1 :])
    inner = tuple(a + (a >= axis) for a in axes)
    first = apply(node.primitive, apply(movement.RESHAPE, x, shape=shape), axes=inner)
    place = sum(1 for a in range(axis) if a not in axes)
    return apply(node.primitive, first, axes=(place,))


def _cut(x: Node, axis: int, start: int, stop: int) -> Node:
    """Return the elements from `start` to `stop` along an axis."""
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = start, stop
    return apply(
        movement.SLICE, x, starts=tuple(starts), stops=tuple(stops),
        steps=(1,) * x.ndim,
    )  # fmt: skip
