"""What a kernel of elementwise nodes and reductions does at each element, and when.

Read first: `Lowering`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...dtypes import DType, float32, float64
from ...ir.graph import Node
from ..loops.grammar import Buffer, Expression, Store, Variable
from ..schedule.group import AXES, Group
from .accumulate import Accumulator
from .chunk import CHUNK_COST
from .domain import Loop, cuts, index_of, merged
from .index import ZERO, Index, linear
from .memory import Memory
from .pull import Values, moving_cost
from .scalar import computed, cost, is_scalar, narrowed

# What costs less is computed again in a later pass rather than kept.
_RECOMPUTED = 8
# What it costs more, in additions of vectors, that one runs over the ends of lines.
_GATHERED = 48


class Lowering:
    """What both ways of running through the rows share.

    Attributes:
        outer, inner: the loops over the rows, and along one.
        passes: how many passes a row needs.
        costs: about what one element of each member costs, in additions.
        element: what all of them cost.
        width: lanes of a vector.
        kept: members whose values are kept from pass to pass.
        compact: whether code shall be small.
        chunk_cost: what a chunk should cost, in additions.
        across: whether lanes are neighbouring rows to make it so.
        cuts: places along the last loop where something else begins, such as the next
            operand of a concatenation.
    """

    def __init__(
        self,
        group: Group,
        stored: Callable[[Node], bool],
        outputs: Sequence[Node],
        lanes: Callable[[DType], int],
        compact: bool = False,
        finer: int = 1,
    ) -> None:
        self.group = group
        self.compact = compact
        self.chunk_cost = CHUNK_COST // finer
        self.stored = stored
        self.outputs = [node for node in group.members if node in set(outputs)]
        self.reductions = [node for node in group.members if node in group.spaces]
        self.levels = _levels(group)
        self.memory = Memory(stored)
        self.values = Values(self.memory)
        self.scratch: list[Buffer] = []
        self.cuts: list[int] = []
        loops = self._loops()
        self.outer = [loop for loop in loops if loop.kind is not True]
        self.inner = [loop for loop in loops if loop.kind is True]
        self.lanes_along_row = bool(loops) and loops[-1].kind is True
        self.costs = costs = costs_of(group)
        self.element = max(1, sum(costs.values()) + len(group.reads))
        widths = {computed(node.dtype).bits for node in group.members}
        self.width = lanes(float64 if widths == {64} else float32)
        self.across = (compact or finer > 1) and self._is_short_row(finer > 1)
        self.lanes_along_row = self.lanes_along_row and not self.across
        later = {
            x
            for node in group.members
            for x in group.inner_reads[node]
            if not group.is_row(x) and self.levels[node] > self.levels[x]
        }
        self.kept = [n for n in group.members if n in later and costs[n] >= _RECOMPUTED]
        last = [
            self.levels[node]
            for node in (*self.reductions, *self.outputs)
            if node in group.spaces or not group.is_row(node)
        ]
        self.passes = max(last, default=-1) + 1

    def _is_short_row(self, wide: bool) -> bool:
        """Return whether rows are short, no whole vectors, but those side by side are.

        Code for them is less than for the vectors of a row, and its last part.

        Args:
            wide: vectors are so wide that most lanes would have nothing to do.
        """
        if not self.lanes_along_row or not self.outer:
            return False
        length = self.inner[-1].size
        rows = self.outer[-1].size
        if wide:
            return length * 4 <= self.width
        return length < 4 * self.width and length % self.width != 0 == rows % self.width

    def _loops(self) -> list[Loop]:
        """Return the loops over the domain, found by writing all of it out once."""
        group, values = self.group, Values(Memory(self.stored))
        for node in self.reductions:
            total = Variable(values.name("total"), computed(node.dtype))
            values.given[node] = lambda index, total=total: total  # type: ignore[misc]
        index = AXES[: len(group.shape)]
        for node in group.members:
            if node in group.spaces:
                # An axis along which argmax counts is a loop of its own.
                values.at(node.operands[0], self.space(node, index))
                values.bind(self.position(node, index) + 0)
            if node in self.outputs:
                value = values.at(node, self.role(node, index))
                buffer = values.memory.write(node)
                place = linear(self.role(node, index), node.shape)
                values.body.append(Store(buffer, place, narrowed(value, node.dtype)))
        reduced = group.reduced or frozenset()
        kinds = [axis in reduced for axis in range(len(group.shape))]
        loops = merged(group.shape, kinds, AXES, values.body)
        if loops:
            self.cuts = cuts(values.body, AXES[loops[-1].axis], loops[-1].size)
        return loops

    def join_short_lines(self) -> None:
        """Have vectors run on from line to line, where lines are a part of a vector."""
        if len(self.outer) < 2 or self.cuts:
            return
        before, last = self.outer[-2:]
        if self.reductions:
            joins = last.size * 4 in (self.width * 2, self.width)
        else:
            # What lanes do in vain if each line is a vector of its own.
            idle = self.element * (self.width / last.size - 1)
            joins = idle > _GATHERED and not self.compact
        if joins:
            size = before.size * last.size
            joined = Loop(last.axis, size, last.kind, before.axis, last.size)
            self.outer[-2:] = [joined]

    # Where things are

    def index(self, rows: Sequence[Expression], along: Sequence[Expression]) -> Index:
        """Return the index into the domain of a place in each loop."""
        loops = [*self.outer, *self.inner]
        return index_of(len(self.group.shape), loops, [*rows, *along])

    def role(self, node: Node, index: Index) -> Index:
        """Return the index of a member at an index into the domain."""
        role = self.group.roles[node]
        return tuple(ZERO if axis is None else index[axis] for axis in role)

    def space(self, node: Node, index: Index) -> Index:
        """Return the index of a reduction's operand at an index into the domain."""
        role = self.group.spaces[node]
        return tuple(ZERO if axis is None else index[axis] for axis in role)

    def position(self, node: Node, index: Index) -> Expression:
        """Return where along its axis an element of argmax's operand lies."""
        if node.primitive.name not in ("argmax", "argmin"):
            return ZERO
        return self.space(node, index)[int(node.attributes["axis"])]

    # What is done when

    def reductions_of(self, level: int) -> list[Node]:
        """Return the reductions that a pass makes."""
        return [node for node in self.reductions if self.levels[node] == level]

    def cost_of(self, level: int) -> int:
        """Return about what a pass does at one element, in additions."""
        return sum(
            self.costs[node]
            for node in self.group.members
            if self.levels[node] == level
            and (node in self.group.spaces or not self.group.is_row(node))
        )

    def rows_before(self, level: int) -> list[Node]:
        """Return the members with one value a row that are known before a pass."""
        return [
            node
            for node in self.group.members
            if self.group.is_row(node)
            and self.levels[node] + (node in self.group.spaces) == level
        ]

    def is_busy(self, level: int) -> bool:
        """Return whether a pass has anything to do."""
        return bool(
            self.reductions_of(level) or self._kept_in(level) or self._stored_in(level)
        )

    def _kept_in(self, level: int) -> list[Node]:
        return [node for node in self.kept if self.levels[node] == level]

    def _stored_in(self, level: int) -> list[Node]:
        return [
            node
            for node in self.outputs
            if not self.group.is_row(node) and self.levels[node] == level
        ]

    # Writing

    def store(self, node: Node, index: Index) -> Store:
        """Return the statement that stores a member, given an index into the domain."""
        value = narrowed(self.values.at(node, self.role(node, index)), node.dtype)
        place = linear(self.role(node, index), node.shape)
        return Store(self.memory.write(node), place, value)

    def write_element(
        self,
        level: int,
        index: Index,
        totals: dict[Node, Accumulator],
        place: Expression | int,
        keep: Callable[[Node, Expression], None],
    ) -> None:
        """Write what a pass does at one element, into the current body of a vector.

        Args:
            totals, place: the accumulators, and which of their vectors takes it.
            keep: writes the keeping of a value.
        """
        values = self.values
        taken = [
            (node, values.at(node.operands[0], self.space(node, index)))
            for node in self.reductions_of(level)
        ]
        kept = [
            (node, values.at(node, self.role(node, index)))
            for node in self._kept_in(level)
        ]
        stores = [self.store(node, index) for node in self._stored_in(level)]
        for node, value in taken:
            totals[node].update(place, value, self.position(node, index))
        for node, value in kept:
            keep(node, value)
        # After all loads, as what is stored may lie where something was loaded.
        values.body.extend(stores)


def _levels(group: Group) -> dict[Node, int]:
    """Return the pass in which each member is computed.

    A row's value that no reduction makes is known before the pass of that number.
    """
    levels: dict[Node, int] = {}
    for node in group.members:
        levels[node] = max(
            (levels[x] + (x in group.spaces) for x in group.inner_reads[node]),
            default=0,
        )
    return levels


def costs_of(group: Group) -> dict[Node, int]:
    """Return about what an element of each member costs, in additions."""
    members = set(group.members)
    reads = set(group.reads)
    costs: dict[Node, int] = {}
    for member in group.members:
        total = 1
        stack = list(member.operands)
        done: set[Node] = set()
        if member not in group.spaces:
            total = cost(member) if is_scalar(member) else 1 + moving_cost(member)
        while stack:
            node = stack.pop()
            if node in done or node in members or node in reads:
                continue
            done.add(node)
            if is_scalar(node):
                total += cost(node)
            else:
                total += moving_cost(node)
            stack.extend(node.operands)
        costs[member] = total
    return costs
