"""What groups that are led by a contraction have in common: the elements that they
read, what is done with each sum, and the kernels that it becomes.

Read first: `Epilogue`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
    Body,
    Expression,
    Kernel,
    Load,
    Store,
    Variable,
)
from ..loops.traverse import buffers_of
from ..schedule.group import AXES, Group
from . import product
from .domain import Loop, index_of, merged
from .index import ZERO, Index, linear, unravel
from .lowering import costs_of
from .memory import Memory
from .piece import Piece
from .pull import Values
from .scalar import computed, narrowed


class _Views(Values):
    """Elements as they are stored, of nodes that are views of what lies in memory."""

    def bind(self, value: Expression) -> Expression:
        return value

    def load(self, node: Node, place: Expression) -> Expression:
        return Load(self.memory.read(node), place)


def element(node: Node, index: Index, memory: Memory) -> Expression:
    """Return an element of an operand as it is stored."""
    return narrowed(_Views(memory).at(node, index), node.dtype)


def spread(ndim: int, loops: Sequence[Loop], places: dict[str, Expression]) -> Index:
    """Return the index of an element, given its linear place in each kind of axis."""
    found: list[Expression] = [ZERO] * len(loops)
    for kind, place in places.items():
        chosen = [i for i, loop in enumerate(loops) if loop.kind == kind]
        parts = unravel(place, tuple(loops[i].size for i in chosen))
        for i, part in zip(chosen, parts, strict=True):
            found[i] = part
    return index_of(ndim, loops, found)


class Epilogue:
    """What is done with each element of a contraction.

    Args:
        kinds: of each axis of the contraction; neighbours of one kind may be run
            through as one.
    """

    def __init__(
        self, group: Group, memory: Memory, outputs: Sequence[Node], kinds: list[str]
    ) -> None:
        self.group = group
        self.outputs = [node for node in group.members if node in set(outputs)]
        self.values = Values(memory)
        self.head = head = group.head
        value = Variable("value", computed(head.dtype))
        body = self.statements(AXES[: head.ndim], value)
        self.loops = merged(head.shape, kinds, AXES, body)

    def statements(self, index: Index, value: Expression) -> Body:
        """Return the statements that finish the element at `index`."""
        values = self.values
        body: Body = []
        stores: list[Store] = []
        if value.dtype is not computed(self.head.dtype):
            raise AssertionError(f"{value.dtype} for {self.head}")
        values.given[self.head] = lambda _: value
        with values.inside(body):
            for node in self.outputs:
                role = self.group.roles[node]
                own = tuple(ZERO if axis is None else index[axis] for axis in role)
                result = narrowed(values.at(node, own), node.dtype)
                buffer = values.memory.write(node)
                stores.append(Store(buffer, linear(own, node.shape), result))
        return [*body, *stores]

    def at(self, places: dict[str, Expression], value: Expression) -> Body:
        """Return the same, given the linear place in each kind of axis."""
        return self.statements(spread(self.head.ndim, self.loops, places), value)


def as_pieces(
    pieces: Sequence[product.Piece], group: Group, memory: Memory, products: int
) -> list[Piece]:
    """Return the kernels of a group, one of which does the given multiplications."""
    known = {buffer: content for content, buffer in memory.buffers.items()}
    known |= {view: known[buffer] for buffer, view in memory.views.items()}
    flops = 2 * products + group.head.size * sum(costs_of(group).values())
    found: list[Piece] = []
    # The others are named after it, by what they do before and after.
    main = min(range(len(pieces)), key=lambda i: len(pieces[i].name), default=0)
    for i, piece in enumerate(pieces):
        used = [one for one in buffers_of(piece.body) if one not in piece.scratch]
        nbytes = sum(one.size * one.dtype.itemsize for one in used)
        contents: list[Hashable] = [known.get(one, one) for one in used]
        kernel = Kernel(piece.name, used, piece.body, piece.chunks, piece.scratch)
        work = Work(flops if i == main else 0, nbytes)
        found.append(Piece(kernel, tuple(contents), work))
    return found
