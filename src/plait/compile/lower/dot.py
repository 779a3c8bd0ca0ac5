"""From a group led by a contraction to kernels: which numbers are multiplied, and what
is done with each sum.

Read first: `lower_dot`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from ...ir.graph import Node
from ...program import Work
from ...shapes import Shape
from ..loops.grammar import (
    Body,
    Buffer,
    Expression,
    Kernel,
    Let,
    Load,
    Store,
    Variable,
)
from ..loops.traverse import buffers_of
from ..schedule.group import AXES, Group
from . import contract
from .blocking import Facts
from .blocking import Shape as Extents
from .domain import Loop, index_of, merged
from .index import ZERO, Index, affine, linear, unravel
from .lowering import costs_of
from .memory import Memory
from .piece import Piece
from .product import Contraction, Operand
from .pull import Values
from .scalar import computed, narrowed

_BATCH, _ROW, _COLUMN, _SUM = "bmnk"


class _Views(Values):
    """Elements as they are stored, of nodes that are views of what lies in memory."""

    def bind(self, value: Expression) -> Expression:
        return value

    def load(self, node: Node, place: Expression) -> Expression:
        return Load(self.memory.read(node), place)


def lower_dot(
    group: Group,
    stored: Callable[[Node], bool],
    outputs: Sequence[Node],
    facts: Facts,
    precision: str,
    name: str,
) -> list[Piece]:
    """Return the kernels that compute a group led by a contraction, in order."""
    memory = Memory(stored)
    node = group.head
    x, y = node.operands
    axes, batch = node.attributes["axes"], node.attributes["batch"]
    left = _operand(x, axes[0], batch[0], memory)
    right = _operand(y, axes[1], batch[1], memory)
    lead = len(batch[0])
    rows = x.ndim - lead - len(axes[0])
    kinds = [_BATCH] * lead + [_ROW] * rows
    kinds += [_COLUMN] * (node.ndim - len(kinds))
    extents = Extents(
        math.prod(node.shape[:lead]),
        math.prod(node.shape[lead : lead + rows]),
        math.prod(node.shape[lead + rows :]),
        math.prod(x.shape[axis] for axis in axes[0]),
    )
    epilogue = _Epilogue(group, memory, outputs, kinds)
    pieces = contract.lower(
        Contraction(extents, node.dtype, precision), left, right, epilogue.finish,
        epilogue.contiguous(), facts, name,
    )  # fmt: skip
    known = {buffer: content for content, buffer in memory.buffers.items()}
    found: list[Piece] = []
    flops = 2 * math.prod(extents) + node.size * sum(costs_of(group).values())
    for i, piece in enumerate(pieces):
        used = [one for one in buffers_of(piece.body) if one not in piece.scratch]
        last = i == len(pieces) - 1
        nbytes = sum(one.size * one.dtype.itemsize for one in used)
        work = Work(flops if last else 0, nbytes)
        contents: list[Hashable] = [known.get(one, one) for one in used]
        kernel = Kernel(piece.name, used, piece.body, piece.chunks, piece.scratch)
        found.append(Piece(kernel, tuple(contents), work))
    return found


def _operand(node: Node, axes: Shape, batch: Shape, memory: Memory) -> Operand:
    """Return one side of the product."""
    rest = [a for a in range(node.ndim) if a not in axes and a not in batch]
    order = [*batch, *rest, *axes]
    shape = tuple(node.shape[axis] for axis in order)
    kinds = [_BATCH] * len(batch) + [_ROW] * len(rest) + [_SUM] * len(axes)

    def element(index: Index) -> Expression:
        turned: list[Expression] = [ZERO] * node.ndim
        for axis, place in zip(order, index, strict=True):
            turned[axis] = place
        return narrowed(_Views(memory).at(node, tuple(turned)), node.dtype)

    sample = element(AXES[: len(shape)])
    loops = merged(shape, kinds, AXES, [Let(Variable("x", node.dtype), sample)])

    def load(b: Expression, outer: Expression, k: Expression) -> Expression:
        return element(_spread(len(shape), loops, {_BATCH: b, _ROW: outer, _SUM: k}))

    return Operand(load, node.dtype, *_strides(load))


def _strides(
    load: Callable[[Expression, Expression, Expression], Expression],
) -> tuple[int | None, int | None, int | None]:
    """Return how far elements are apart along rows, the sum, and the batch."""
    b, outer, k = (Variable(name) for name in (_BATCH, _ROW, _SUM))
    value = load(b, outer, k)
    found = affine(value.index) if isinstance(value, Load) else None
    if found is None:
        return None, None, None
    terms = found[0]
    return terms.get(_ROW, 0), terms.get(_SUM, 0), terms.get(_BATCH, 0)


def _spread(
    ndim: int, loops: Sequence[Loop], places: dict[str, Expression]
) -> Index:
    """Return the index of an element, given its linear place in each kind of axis."""
    found: list[Expression] = [ZERO] * len(loops)
    for kind, place in places.items():
        chosen = [i for i, loop in enumerate(loops) if loop.kind == kind]
        parts = unravel(place, tuple(loops[i].size for i in chosen))
        for i, part in zip(chosen, parts, strict=True):
            found[i] = part
    return index_of(ndim, loops, found)


class _Epilogue:
    """What is done with each element of a contraction."""

    def __init__(
        self, group: Group, memory: Memory, outputs: Sequence[Node], kinds: list[str]
    ) -> None:
        self.group = group
        self.memory = memory
        self.outputs = [node for node in group.members if node in set(outputs)]
        self.values = Values(memory)
        head = group.head
        index = AXES[: head.ndim]
        body = self._statements(index, Variable("value", computed(head.dtype)))
        self.loops = merged(head.shape, kinds, AXES, body)

    def _statements(self, index: Index, value: Expression) -> Body:
        values = self.values
        body: Body = []
        stores: list[Store] = []
        head = self.group.head
        values.given[head] = lambda _: value
        with values.inside(body):
            for node in self.outputs:
                role = self.group.roles[node]
                own = tuple(ZERO if axis is None else index[axis] for axis in role)
                result = narrowed(values.at(node, own), node.dtype)
                stores.append(Store(self._buffer(node), linear(own, node.shape), result))
        return [*body, *stores]

    def _buffer(self, node: Node) -> Buffer:
        return self.memory.write(node)

    def finish(
        self, b: Expression, m: Expression, n: Expression, value: Expression
    ) -> Body:
        """Return the statements that finish one element."""
        head = self.group.head
        index = _spread(head.ndim, self.loops, {_BATCH: b, _ROW: m, _COLUMN: n})
        if value.dtype is not computed(head.dtype):
            raise AssertionError(f"{value.dtype} for {head}")
        return self._statements(index, value)

    def contiguous(self) -> str:
        """Return the index along which neighbours in memory are stored."""
        b, m, n = (Variable(name) for name in (_BATCH, _ROW, _COLUMN))
        value = Variable("value", computed(self.group.head.dtype))
        for statement in self.finish(b, m, n, value):
            if isinstance(statement, Store):
                found = affine(statement.index)
                if found is not None and found[0].get(_ROW) == 1:
                    return "m" if found[0].get(_COLUMN, 0) != 1 else "n"
        return "n"
