"""Kernels whose lanes are neighbouring rows, or without reductions neighbouring
elements.

Read first: `write_columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...dtypes import bool_, int64
from ...ir.graph import Node
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    If,
    Kernel,
    Load,
    Operation,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from .accumulate import Accumulator
from .chunk import CHUNK_COST, Blocks
from .index import ZERO, Index, linear, unravel
from .lowering import Lowering
from .scalar import computed

# Code is written out for as many parts of a line, if each is a vector or longer.
_MOST_PARTS = 8
# Vectors of rows that go along the reduced axes side by side, at most.
_SIDE_BY_SIDE = 4


def write_columns(lowering: Lowering) -> tuple[int, Body]:
    """Return the number of chunks and the body of the kernel."""
    return _Columns(lowering).write()


class _Columns:
    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.values = lowering.values
        self.width = lowering.width
        self.sizes = tuple(loop.size for loop in lowering.inner)
        self.kept: dict[Node, Buffer] = {}
        self.totals: dict[Node, Accumulator] = {}
        self.place = 0  # of the vector being written

    def write(self) -> tuple[int, Body]:
        """Divide the rows into blocks of vectors, and blocks into chunks."""
        lowering = self.lowering
        parts = self._parts()
        if len(parts) > 1:
            return self._write_parts(parts)
        outer = tuple(loop.size for loop in lowering.outer)
        across = outer[-1] if outer else 1
        length = math.prod(self.sizes)
        vectors = -(-across // self.width)
        most = _SIDE_BY_SIDE
        if lowering.across or lowering.chunk_cost < CHUNK_COST:
            most = 1
        side = min(most, vectors) if lowering.reductions else 1
        if lowering.reductions and vectors >= 2:
            side = min(side, -(-vectors // 2))  # two threads can share it
        columns = side * self.width
        full, rest = divmod(across, columns)
        for node in lowering.kept:
            self._make_room(node, length * columns)
        lines = math.prod(outer[:-1])
        block_cost = lowering.element * length * columns
        together = max(1, lowering.chunk_cost // max(1, block_cost))
        blocks_together = min(max(full, 1), together)
        lines_together = max(1, together // max(1, full + (rest > 0)))
        groups = max(1, -(-full // blocks_together))
        chunk_line: Expression = Kernel.CHUNK
        chunk_block: Expression = ZERO
        if groups > 1:
            lines_together = 1
            chunk_line = Kernel.CHUNK // groups
            chunk_block = Kernel.CHUNK % groups if lines > 1 else Kernel.CHUNK
        by_line = Blocks(lines, lines_together, chunk_line, "line")
        by_block = Blocks(full, blocks_together, chunk_block, "block")
        body: Body = []
        with self.values.inside(body):
            line = unravel(by_line.place, outer[:-1])
            if full:
                body.extend(
                    by_block.loop(self._block(line, by_block.place * columns, columns))
                )
            if rest:
                tail = self._block(line, Constant(full * columns, int64), rest)
                if by_block.chunks > 1:
                    last = Constant(by_block.chunks - 1, int64)
                    test = Operation("equal", (chunk_block, last), bool_)
                    body.append(If(test, tail))
                else:
                    body.extend(tail)
        return by_line.chunks * by_block.chunks, by_line.loop(body)

    def _parts(self) -> list[tuple[int, int]]:
        """Return from where to where in a line the same is done, if that is worth it.

        The conditions that tell the parts apart are decided in each of them.
        """
        lowering = self.lowering
        if lowering.reductions or not lowering.cuts:
            return []
        if lowering.outer[-1].size * lowering.element > lowering.chunk_cost:
            return []  # a line is more than one chunk does
        ends = [*lowering.cuts, lowering.outer[-1].size]
        parts = list(zip([0, *ends], ends, strict=False))
        worth = len(parts) <= _MOST_PARTS and all(
            stop - start >= self.width for start, stop in parts
        )
        return parts if worth else []

    def _write_parts(self, parts: Sequence[tuple[int, int]]) -> tuple[int, Body]:
        """Write the parts of each line one after the other; chunks are lines."""
        lowering = self.lowering
        sizes = tuple(loop.size for loop in lowering.outer)
        cost = max(1, lowering.element * sizes[-1])
        by_line = Blocks(
            math.prod(sizes[:-1]), max(1, lowering.chunk_cost // cost), name="line"
        )
        body: Body = []
        with self.values.inside(body):
            line = unravel(by_line.place, sizes[:-1])
            for start, stop in parts:
                full, rest = divmod(stop - start, self.width)
                block = Variable(self.values.name("block"))
                first = block * self.width + start
                inside = self._block(line, first, self.width)
                self.values.body.append(For(block, full, inside))
                if rest:
                    last = Constant(stop - rest, int64)
                    self.values.body.extend(self._block(line, last, rest))
        return by_line.chunks, by_line.loop(body)

    def _make_room(self, node: Node, size: int) -> None:
        buffer = Buffer(self.values.name("kept"), computed(node.dtype), size, "scratch")
        self.lowering.scratch.append(buffer)
        self.kept[node] = buffer

    def _block(self, line: Index, first: Expression, count: int) -> Body:
        """Return the body that computes `count` neighbouring rows."""
        lowering, values = self.lowering, self.values
        extents = [self.width] * (count // self.width)
        if count % self.width:
            extents.append(count % self.width)
        body: Body = []
        given = dict(values.given)
        with values.inside(body):
            for level in range(lowering.passes + 1):
                rows = lowering.rows_before(level)
                if rows:
                    self._write_rows(rows, line, first, extents)
                if lowering.is_busy(level):
                    self._write_pass(level, line, first, extents)
        values.given = given
        return body

    def _vectors(
        self,
        first: Expression,
        extents: Sequence[int],
        write: Callable[[Expression, Variable], None],
    ) -> None:
        """Write a vector's body for each of the vectors side by side."""
        values = self.values
        for self.place, extent in enumerate(extents):
            lane = Variable(values.name("l"))
            body: Body = []
            with values.inside(body):
                write(first + self.place * self.width + lane, lane)
            values.body.append(Vector(lane, extent, self.width, body))

    def _row(self, line: Index, column: Expression) -> list[Expression]:
        return [*line, column] if self.lowering.outer else []

    def _write_rows(
        self, rows: list[Node], line: Index, first: Expression, extents: Sequence[int]
    ) -> None:
        """Write the values that rows have before a pass."""
        lowering, values = self.lowering, self.values
        made: dict[Node, Registers] = {}
        for node in rows:
            if node not in self.totals:
                made[node] = Registers(
                    values.name("row"), computed(node.dtype), len(extents), self.width
                )
                values.body.append(made[node])

        def write(column: Expression, lane: Variable) -> None:
            here = lowering.index(self._row(line, column), [ZERO] * len(self.sizes))
            found = {
                node: values.bind(values.at(node, lowering.role(node, here)))
                for node in rows
            }
            stores = [
                lowering.store(node, here) for node in rows if node in lowering.outputs
            ]
            for node, registers in made.items():
                values.body.append(Set(registers, self.place, found[node]))
            values.body.extend(stores)

        self._vectors(first, extents, write)
        for node, registers in made.items():
            values.given[node] = lambda index, registers=registers: Get(  # type: ignore[misc]
                registers, self.place
            )

    def _write_pass(
        self, level: int, line: Index, first: Expression, extents: Sequence[int]
    ) -> None:
        lowering, values = self.lowering, self.values
        totals = {
            node: Accumulator(values, node, len(extents), self.width)
            for node in lowering.reductions_of(level)
        }
        along = [Variable(values.name("r")) for _ in self.sizes]

        def write(column: Expression, lane: Variable) -> None:
            spot = (linear(along, self.sizes) * len(extents) + self.place) * self.width
            self._read_kept(level, spot + lane)
            lowering.write_element(
                level, lowering.index(self._row(line, column), along), totals,
                self.place,
                lambda node, value: values.body.append(
                    Store(self.kept[node], spot + lane, value)
                ),
            )  # fmt: skip

        nest: Body = []
        with values.inside(nest):
            self._vectors(first, extents, write)
        for variable, size in zip(reversed(along), reversed(self.sizes), strict=True):
            nest = [For(variable, size, nest)]
        values.body.extend(nest)
        for node, total in totals.items():
            self.totals[node] = total
            values.given[node] = lambda index, total=total: total.result(self.place)  # type: ignore[misc]

    def _read_kept(self, level: int, spot: Expression) -> None:
        for node, buffer in self.kept.items():
            if self.lowering.levels[node] < level:
                value = self.values.bind(Load(buffer, spot))
                self.values.given[node] = lambda index, value=value: value  # type: ignore[misc]
