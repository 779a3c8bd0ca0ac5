"""Kernels whose lanes are neighbours along a row.

Read first: `write_rows`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...dtypes import int64
from ...ir.graph import Node
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Load,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from .accumulate import Accumulator
from .blocking import ceil
from .chunk import Blocks
from .index import ZERO, Index, linear, unravel
from .lowering import Lowering
from .scalar import computed

# As many vectors of a row, or fewer, stay in registers from pass to pass.
_IN_REGISTERS = 6
# Vectors of accumulators, to have as many additions under way at once: fewer where so
# many others lie between two of them.
_ACCUMULATORS, _BETWEEN = 4, 16
# The same where code shall be small, and vectors of a row that make two worth it.
_FEW_ACCUMULATORS, _LONG = 2, 32


def write_rows(lowering: Lowering) -> tuple[int, Body]:
    """Return the number of chunks and the body of the kernel."""
    return _Rows(lowering).write()


class _Rows:
    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.values = lowering.values
        self.width = lowering.width
        self.sizes = tuple(loop.size for loop in lowering.inner)
        self.full, self.rest = divmod(self.sizes[-1], self.width)
        self.vectors = self.full + (self.rest > 0)
        self.most = _ACCUMULATORS
        kept = _IN_REGISTERS
        if lowering.compact:
            self.most = _FEW_ACCUMULATORS if self.full >= _LONG else 1
            kept = 1
        self.short = len(self.sizes) == 1 and self.vectors <= kept
        self.kept: dict[Node, Registers | Buffer] = {}

    def write(self) -> tuple[int, Body]:
        lowering, values = self.lowering, self.values
        outer = tuple(loop.size for loop in lowering.outer)
        length = math.prod(self.sizes)
        blocks = Blocks(
            math.prod(outer), lowering.chunk_cost // max(1, lowering.element * length)
        )
        body: Body = []
        with values.inside(body):
            for node in lowering.kept:
                self._make_room(node, length)
            self._write_row(unravel(blocks.place, outer))
        return blocks.chunks, blocks.loop(body)

    def _make_room(self, node: Node, length: int) -> None:
        """Make the place where a member is kept from pass to pass."""
        dtype, name = computed(node.dtype), self.values.name("kept")
        if self.short:
            registers = Registers(name, dtype, self.vectors, self.width)
            self.values.body.append(registers)
            self.kept[node] = registers
        else:
            buffer = Buffer(name, dtype, length, "scratch")
            self.lowering.scratch.append(buffer)
            self.kept[node] = buffer

    def _write_row(self, row: Sequence[Expression]) -> None:
        lowering, values = self.lowering, self.values
        here = lowering.index(row, [ZERO] * len(self.sizes))
        for level in range(lowering.passes + 1):
            for node in lowering.rows_before(level):
                value = values.bind(values.at(node, lowering.role(node, here)))
                values.given[node] = lambda index, value=value: value  # type: ignore[misc]
                if node in lowering.outputs:
                    values.body.append(lowering.store(node, here))
            if lowering.is_busy(level):
                self._write_pass(level, row)

    def _write_pass(self, level: int, row: Sequence[Expression]) -> None:
        lowering, values = self.lowering, self.values
        reductions = lowering.reductions_of(level)
        most = min(self.most, ceil(_BETWEEN, max(1, lowering.cost_of(level))))
        together = self.full if self.short else min(self.full, most)
        together = max(1, together)
        count = min(together, most)
        totals = {
            node: Accumulator(values, node, count, self.width) for node in reductions
        }
        outer = [Variable(values.name("r")) for _ in self.sizes[:-1]]

        def vector(at: Expression, number: int, extent: int) -> Vector:
            """Write vector `number` of those written out together."""
            lane = Variable(values.name("l"))
            body: Body = []
            with values.inside(body):
                along = (*outer, at + lane)
                self._read_kept(level, along, number)
                lowering.write_element(
                    level, lowering.index(row, along), totals, number % count,
                    lambda node, value: self._keep(node, value, along, number),
                )  # fmt: skip
            return Vector(lane, extent, self.width, body)

        nest: Body = []
        with values.inside(nest):
            steps, left = divmod(self.full, together)
            if not reductions and not self.short:
                steps, left, together = self.full, 0, 1
            if steps > 1:
                step = Variable(values.name("v"))
                one: Body = []
                with values.inside(one):
                    for u in range(together):
                        one.append(
                            vector((step * together + u) * self.width, u, self.width)
                        )
                nest.append(For(step, steps, one))
                done = steps * together
            else:
                done = 0
                left = self.full
            for u in range(left):
                at = Constant((done + u) * self.width, int64)
                nest.append(vector(at, u, self.width))
            if self.rest:
                at = Constant(self.full * self.width, int64)
                number = self.full if self.short else 0
                nest.append(vector(at, number, self.rest))
        for variable, size in zip(reversed(outer), self.sizes[-2::-1], strict=True):
            nest = [For(variable, size, nest)]
        values.body.extend(nest)
        for node, total in totals.items():
            result = total.folded()
            values.given[node] = lambda index, result=result: result  # type: ignore[misc]

    def _keep(self, node: Node, value: Expression, along: Index, number: int) -> None:
        place = self.kept[node]
        if isinstance(place, Registers):
            self.values.body.append(Set(place, number, value))
        else:
            at = linear(along, self.sizes)
            self.values.body.append(Store(place, at, value))

    def _read_kept(self, level: int, along: Index, number: int) -> None:
        """Have members kept by earlier passes read where they are kept."""
        for node, place in self.kept.items():
            if self.lowering.levels[node] >= level:
                continue
            if isinstance(place, Registers):
                value: Expression = Get(place, number)
            else:
                value = Load(place, linear(along, self.sizes))
            value = self.values.bind(value)
            self.values.given[node] = lambda index, value=value: value  # type: ignore[misc]
