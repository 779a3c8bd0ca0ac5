"""The body of a loop for a part of the rows, where the rows do not mix.

A recurrent layer does the same with each sequence of a batch. Threads that share every
small step of the loop would wait for one another at each; so each of them runs the
whole loop, for a part of the sequences.

Whether that may be is found in the graph: from the values that go into the body, whose
first axis has the rows, it is followed which axis of each other value has them. There
is no part if a value cannot be told so: if rows are added up, moved, or compared.

Read first: `divided`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..ir.build import INPUT, flows, make_input
from ..ir.graph import Graph, Node, TensorType
from .planning.calls import alarms
from .schedule.kinds import OPAQUE, kind_of

# A part should have so many rows: with fewer, products do not fill the registers, and
# what does not depend on the rows is read too often. And a turn should read and write
# so many elements for it, as each kernel takes a while to begin. Half of it will do.
_ROWS, _ELEMENTS = 32, 1 << 14
# More parts are not needed to keep any number of cores busy.
_MOST = 64
# More bytes that are the same in all rows would drive the rows out of the second cache;
# threads then better share each product.
_MOST_FIXED = 1 << 18


class Division(NamedTuple):
    """A body for one part of the rows.

    Attributes:
        number: how many parts there are, of equal size.
        body: for the first one; others work on what follows.
        rows: for each input of the body, whether it has rows: a part of them, then.
    """

    number: int
    body: Graph
    rows: tuple[bool, ...]


class _Mixed(Exception):
    """Raised if rows cannot be told, or not be computed by themselves."""


def divided(body: Graph, captured: int) -> Division | None:
    """Return the body of a loop for a part of the rows; None if there is no such.

    Args:
        body: its inputs are captured values and others; these, and all outputs, must
            have the rows along their first axes.
        captured: how many inputs may be without rows.
    """
    given = [*body.inputs[captured:], *body.outputs]
    if not given or any(not x.ndim or not x.size for x in given):
        return None
    sizes = {x.shape[0] for x in given}
    if len(sizes) != 1:
        return None
    (rows,) = sizes
    each = _rows_of_part(rows, sum(x.size for x in given) // rows)
    if not each:
        return None
    try:
        axes = _Rows(body, rows).follow(given)
        for x in body.inputs:
            if axes.get(x, 0) != 0:
                return None
        fixed = sum(x.type.nbytes for x in body.inputs[:captured] if x not in axes)
        if fixed > _MOST_FIXED:
            return None
        smaller = _smaller(body, axes, each)
    except _Mixed:
        return None
    return Division(rows // each, smaller, tuple(x in axes for x in body.inputs))


def _rows_of_part(rows: int, elements: int) -> int:
    """Return how many rows a part should have, or 0.

    Args:
        elements: that a turn reads and writes for one row.
    """
    wanted = max(_ROWS, -(-_ELEMENTS // elements), -(-rows // _MOST))
    sizes = range(min(wanted, rows // 2), (wanted - 1) // 2, -1)
    return next((n for n in sizes if rows % n == 0), 0)


class _Rows:
    """Finds the axis along which the rows lie in each value that has them."""

    def __init__(self, body: Graph, rows: int) -> None:
        self.rows = rows
        self.axes: dict[Node, int] = {}
        self.waiting: list[Node] = []
        self.users: dict[Node, list[Node]] = {}
        for node in body.nodes():
            for x in node.operands:
                self.users.setdefault(x, []).append(node)
            if alarms(node):
                raise _Mixed

    def follow(self, given: list[Node]) -> dict[Node, int]:
        """Return the axis of each value that has rows.

        Args:
            given: those whose first axis has them.
        """
        for x in given:
            self.mark(x, 0)
        while self.waiting:
            node = self.waiting.pop()
            for one in (node, *self.users.get(node, ())):
                if one.primitive is not INPUT:
                    for x, axis in self.told(one):
                        self.mark(x, axis)
        return self.axes

    def mark(self, node: Node, axis: int) -> None:
        """Note that the rows of a value lie along an axis."""
        if self.axes.get(node, axis) != axis:
            raise _Mixed
        if not isinstance(node.type, TensorType) or node.shape[axis] != self.rows:
            raise _Mixed
        if node not in self.axes:
            self.axes[node] = axis
            self.waiting.append(node)

    def told(self, node: Node) -> Iterator[tuple[Node, int]]:
        """Yield in which values, and along which axis, what is known of a node and its
        operands says that there are rows.
        """
        known = self.axes
        if node not in known and not any(x in known for x in node.operands):
            return
        for i, x in enumerate(node.operands):
            places = _places(node, i)
            if x in known:
                place = places[known[x]]
                if place is None:
                    raise _Mixed
                yield node, place
            if node in known:
                if known[node] in places:
                    yield x, places.index(known[node])
                elif node.primitive.name not in _REPEATING:
                    raise _Mixed
        if not node.operands:
            raise _Mixed


# Primitives of which an operand may do without an axis that the result has.
_REPEATING = ("dot", "expand")


def _places(node: Node, i: int) -> list[int | None]:
    """Return for each axis of an operand the axis of the result that is the same.

    It is None where the result has no such axis, or has other places along it.
    """
    name, at = node.primitive.name, node.attributes
    x = node.operands[i]
    axes = range(x.ndim)
    if kind_of(node) == OPAQUE or not isinstance(node.type, TensorType):
        raise _Mixed
    if name == "dot":
        return _places_of_dot(node, i)
    if name == "expand":
        more = node.ndim - x.ndim
        return [a + more if x.shape[a] == node.shape[a + more] else None for a in axes]
    if name == "reshape":
        return [_same_place(x.shape, a, node.shape) for a in axes]
    if name == "permute":
        return [at["axes"].index(a) for a in axes]
    if name in ("sum", "product", "max", "min"):
        kept = [a for a in axes if a not in at["axes"]]
        return [kept.index(a) if a in kept else None for a in axes]
    if name == "slice":
        whole = zip(at["starts"], at["stops"], at["steps"], x.shape, strict=True)
        return [a if y == (0, y[3], 1, y[3]) else None for a, y in enumerate(whole)]
    if name == "pad":
        return [a if at["widths"][a] == (0, 0) else None for a in axes]
    if name == "flip":
        return [None if a in at["axes"] else a for a in axes]
    if name == "concatenate":
        return [None if a == at["axis"] else a for a in axes]
    if node.primitive.batch == "elementwise" and x.shape == node.shape:
        return list(axes)
    raise _Mixed


def _places_of_dot(node: Node, i: int) -> list[int | None]:
    axes, batch = node.attributes["axes"][i], node.attributes["batch"][i]
    x, first = node.operands[i], len(batch)
    if i:
        first = node.ndim - (x.ndim - len(axes) - len(batch))
    rest = [a for a in range(x.ndim) if a not in axes and a not in batch]
    places: list[int | None] = [None] * x.ndim
    for place, axis in enumerate(batch):
        places[axis] = place
    for place, axis in enumerate(rest, first):
        places[axis] = place
    return places


def _same_place(shape: tuple[int, ...], axis: int, new: tuple[int, ...]) -> int | None:
    """Return the axis of a new shape that has the same places as one of the old."""
    before = math.prod(shape[:axis])
    for place, size in enumerate(new):
        if size == shape[axis] and math.prod(new[:place]) == before:
            return place
    return None


def _smaller(body: Graph, axes: dict[Node, int], each: int) -> Graph:
    """Return a body with fewer rows."""
    new: dict[Node, Node] = {}
    for x in body.inputs:
        new[x] = x
        if x in axes:
            shape = (each, *x.shape[1:])
            new[x] = make_input(
                shape, x.dtype, differentiable=x.differentiable, weak=x.weak
            )
    for node in body.nodes():
        if node in new:
            continue
        operands = tuple(new[x] for x in node.operands)
        if node not in axes:
            new[node] = node  # it depends on nothing that has rows
            continue
        attributes = _attributes(node, axes[node], each)
        types = [x.type for x in operands]
        type = node.primitive.infer(*types, **attributes)
        new[node] = Node(
            node.primitive, operands, attributes, type,
            flows(node.primitive, type, operands), node.weak, node.where,
        )  # fmt: skip
    return Graph([new[x] for x in body.inputs], [new[x] for x in body.outputs])


def _attributes(node: Node, axis: int, each: int) -> dict[str, Any]:
    """Return the attributes of a node with fewer rows."""
    attributes = dict(node.attributes)
    name = {"expand": "shape", "reshape": "shape", "slice": "stops"}.get(
        node.primitive.name
    )
    if name is not None:
        sizes = list(attributes[name])
        sizes[axis] = each
        attributes[name] = tuple(sizes)
    return attributes
