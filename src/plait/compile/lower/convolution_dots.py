"""Convolutions with few positions and a large kernel, as sums along the kernel.

Such is the gradient of a kernel: its taps are the positions of the convolution that it
belongs to. What was a tap is a position here and the other way around: vectors run
along the kernel, each lane has a sum of its own, and these are added up in the end.
Channels are what is run through one after another.

Read first: `lower_sums`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    Fold,
    For,
    Get,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from .blocking import Facts, ceil
from .index import ZERO
from .laying import Laying, Span, lay_out, zero_of
from .product import Piece, bind, smaller
from .sliding import Layout, Problem, Run, parts_of, phases_of, runs_of

_CHUNK_PRODUCTS = 600_000
_MOST_CHUNKS = 16
# Chunks are not smaller if that makes more than so many of them, and an element that is
# copied has fewer products.
_FEW_CHUNKS, _REUSED = 4, 96


class _Column(NamedTuple):
    """A sum of one item: where its elements begin, and where it is kept."""

    moved: int
    tap: int


def lower_sums(problem: Problem, facts: Facts, name: str) -> list[Piece]:
    """Return the loops of a convolution whose vectors run along the kernel.

    Args:
        problem: its axes are turned: positions are those of the kernel, and taps those
            of the result.
    """
    return _Sums(problem, facts).pieces(name)


class _Sums:
    """Writes the body of the kernel.

    Attributes:
        columns: the sums of one item, by phase of the kernel.
        width: how many are made at once, of one item.
        beside: items whose sums are made at once.
        block: rows of which sums are made at once.
        rows, items: of one chunk.
    """

    def __init__(self, problem: Problem, facts: Facts) -> None:
        self.problem, self.facts = problem, facts
        self.dtype = problem.dtype
        self.lanes = facts.lanes(self.dtype)
        axes = problem.axes
        self.parts, self.phases = parts_of(axes), phases_of(axes)
        self.taps = math.prod(axis.taps for axis in axes)
        room = facts.l2 * 5 // 8 // self.dtype.itemsize
        widest = max(
            sum(math.prod(run.number for run in runs) for runs in runs_of(axes, phase))
            for phase in self.phases
        )
        self.block, self.width, self.beside = self.choose(max(1, widest))
        self.layout = self.choose_layout(room)
        self.channel_groups = ceil(problem.channels, self.layout.items)
        self.columns = [self.columns_of(phase) for phase in self.phases]
        self.cut_chunks(room)
        padded_rows = ceil(self.rows, self.block) * self.block
        padded_items = ceil(self.items, self.beside) * self.beside
        size = self.layout.size
        self.elements = Buffer(
            "elements", problem.copied, padded_items * len(self.parts) * size, "scratch"
        )
        self.numbers = Buffer(
            "numbers", problem.copied, padded_rows * len(self.phases) * size, "scratch"
        )
        self.results = Buffer(
            "results", self.dtype, padded_rows * padded_items * self.taps, "scratch"
        )
        self.padded_items = padded_items

    def columns_of(self, phase: Sequence[int]) -> list[_Column]:
        """Return the sums to which a phase of the kernel adds."""
        axes, layout = self.problem.axes, self.layout
        found = []
        for runs in runs_of(axes, phase):
            part = self.parts.index(tuple(run.part for run in runs))
            base = part * layout.size + layout.shift(runs)
            for at in _all(runs):
                tap, moved = 0, base
                for i, run, axis, pitch in zip(
                    at, runs, axes, layout.pitches, strict=True
                ):
                    tap = tap * axis.taps + run.first + i * run.step
                    moved += i * run.shift_step * pitch
                found.append(_Column(moved, tap))
        return found

    def choose(self, widest: int) -> tuple[int, int, int]:
        """Return the rows, columns and items of the block with the fewest cycles."""
        problem = self.problem
        best = (0.0, 1, 1, 1)
        registers = self.facts.registers
        for width in range(1, min(widest, 16) + 1):
            if ceil(widest, width) == ceil(widest, width - 1 or 1) and width > 1:
                continue
            for beside in range(1, 1 + (8 // width if width == widest else 1)):
                if beside > problem.batch:
                    break
                across = width * beside
                for block in range(1, min(16, problem.rows) + 1):
                    if block * across + min(block, across) + 1 > registers:
                        break
                    blocks = ceil(problem.rows, block) * ceil(problem.batch, beside)
                    blocks *= ceil(widest, width)
                    # Columns that are moved lie in two lines of memory.
                    loads = block + across * (2 if widest > 1 else 1)
                    cycles = blocks * max(block * across, loads, 8)
                    if not best[0] or cycles < best[0]:
                        best = (cycles, block, width, beside)
        return best[1:]

    def choose_layout(self, room: int) -> Layout:
        """Return the layout of as many channels as sums run along at once."""
        problem, facts = self.problem, self.facts
        across = self.width * self.beside
        count = self.block * across
        best: tuple[float, Layout] | None = None
        for items in range(1, min(problem.channels, 64) + 1):
            layout = Layout(problem.axes, items, None, self.lanes, True)
            lines = self.block * len(self.phases) + self.beside * len(self.parts)
            numbers = (self.block + self.beside) * layout.size * self.dtype.itemsize
            if best and (lines * layout.size > room or numbers > facts.l1):
                break
            cycles = layout.vectors * max(count, 8) / 2 + 4 * count + 20
            cycles *= ceil(problem.channels, items)
            if best is None or cycles < best[0]:
                best = cycles, layout
        if best is None:
            return Layout(problem.axes, 1, None, self.lanes, True)
        return best[1]

    def cut_chunks(self, room: int) -> None:
        """Choose how many rows and items of the batch a chunk has."""
        problem = self.problem
        products = problem.batch * problem.groups * problem.rows * problem.channels
        products *= self.taps * self.layout.axes[0].positions
        for axis in problem.axes[1:]:
            products *= axis.positions
        wanted = min(_MOST_CHUNKS, max(1, products // _CHUNK_PRODUCTS))
        wanted = ceil(wanted, problem.groups)
        size = self.layout.size
        rows, items = problem.rows, problem.batch

        def used() -> int:
            elements = items * len(self.parts) * size
            return elements + rows * len(self.phases) * size

        def chunks() -> int:
            return ceil(problem.rows, rows) * ceil(problem.batch, items)

        def is_enough() -> bool:
            # Smaller chunks copy the same again: there are fewer of these.
            reuse = rows * items * self.taps / (rows + items)
            fewer = wanted if reuse > _REUSED else min(wanted, _FEW_CHUNKS)
            return chunks() >= fewer

        while rows > self.block or items > self.beside:
            if used() <= room and is_enough():
                break
            row_cost = rows * len(self.phases)
            if items > self.beside and (
                rows <= self.block or items * len(self.parts) >= row_cost
            ):
                items = ceil(ceil(items, 2), self.beside) * self.beside
            else:
                rows = ceil(ceil(rows, 2), self.block) * self.block
        self.rows, self.items = min(rows, problem.rows), min(items, problem.batch)
        self.row_chunks = ceil(problem.rows, self.rows)
        self.item_chunks = ceil(problem.batch, self.items)

    # Kernels

    def pieces(self, name: str) -> list[Piece]:
        chunks = self.problem.groups * self.row_chunks * self.item_chunks
        scratch = (self.elements, self.numbers, self.results)
        return [Piece(name, self.chunk(), chunks, scratch)]

    def chunk(self) -> Body:
        problem, body = self.problem, Body()
        rest: Expression = Kernel.CHUNK
        item_chunk: Expression = ZERO
        row_chunk: Expression = ZERO
        group: Expression = ZERO
        if self.item_chunks > 1:
            item_chunk = bind(body, "item_chunk", rest % self.item_chunks)
            rest = bind(body, "rest", rest // self.item_chunks)
        if self.row_chunks > 1:
            row_chunk = bind(body, "row_chunk", rest % self.row_chunks)
            rest = bind(body, "group", rest // self.row_chunks)
        if problem.groups > 1:
            group = rest
        item = bind(body, "first_item", item_chunk * self.items)
        row = bind(body, "first_row", row_chunk * self.rows)
        items = bind(body, "items", _count(item, self.items, problem.batch))
        rows = bind(body, "rows", _count(row, self.rows, problem.rows))
        lanes, lane, at = self.lanes, Variable("lane"), Variable("cleared")
        zero = zero_of(self.dtype)
        size = self.results.size
        store = Store(self.results, at * lanes + lane, zero)
        body.append(For(at, size // lanes, [Vector(lane, lanes, lanes, [store])]))
        if size % lanes:
            place = Constant(size // lanes * lanes, at.dtype)
            store = Store(self.results, place + lane, zero)
            body.append(Vector(lane, size % lanes, lanes, [store]))
        part = Variable("channel_group")
        inner = Body()
        first = bind(inner, "first_channel", part * self.layout.items)
        inner += self.laid_out(group, item, items, first)
        inner += self.numbered(group, row, rows, first)
        inner += self.summed(items, rows)
        body.append(For(part, self.channel_groups if problem.channels else 0, inner))
        return body + self.finished(group, item, items, row, rows)

    def laid_out(
        self, group: Expression, item: Expression, items: Expression, first: Expression
    ) -> Body:
        """Return what lays out the elements of a chunk, of some channels."""
        problem = self.problem
        at = Variable("copied_item")
        body = Body()
        for number, part in enumerate(self.parts):
            place = (at * len(self.parts) + number) * self.layout.size
            place = bind(body, f"part{number}", place)
            spans = [
                Span(axis.stride, one, axis.size)
                for axis, one in zip(problem.axes, part, strict=True)
            ]

            def source(channel: Expression, places: Sequence[Expression]) -> Expression:
                own = group * problem.channels + channel
                return problem.x(item + at, [own, *places])

            body += lay_out(
                Laying(
                    self.elements, place, self.layout, spans, True, source, first,
                    problem.channels, ZERO, f"copy{number}",
                )
            )  # fmt: skip
        return [For(at, items, body)]

    def numbered(
        self, group: Expression, row: Expression, rows: Expression, first: Expression
    ) -> Body:
        """Return what lays out the kernel's numbers for the rows of a chunk."""
        problem = self.problem
        at = Variable("copied_row")
        body = Body()
        for number, phase in enumerate(self.phases):
            place = (at * len(self.phases) + number) * self.layout.size
            place = bind(body, f"phase{number}", place)
            spans = [
                Span(axis.phases, one, axis.count)
                for axis, one in zip(problem.axes, phase, strict=True)
            ]

            def source(channel: Expression, places: Sequence[Expression]) -> Expression:
                m = group * problem.rows + (row + at)
                return problem.weight(m, [channel, *places])

            body += lay_out(
                Laying(
                    self.numbers, place, self.layout, spans, False, source, first,
                    problem.channels, ZERO, f"phase_copy{number}",
                )
            )  # fmt: skip
        return [For(at, rows, body)]

    def summed(self, items: Expression, rows: Expression) -> Body:
        """Return what adds to all sums of a chunk."""
        i, r = Variable("item_block"), Variable("row_block")
        body = Body()
        size = self.layout.size
        element = i * (self.beside * len(self.parts) * size)
        number = r * (self.block * len(self.phases) * size)
        element = bind(body, "element", element)
        number = bind(body, "number", number)
        result = r * (self.block * self.padded_items) + i * self.beside
        result = bind(body, "result", result * self.taps)
        for phase, columns in enumerate(self.columns):
            for start in range(0, len(columns), self.width):
                some = columns[start : start + self.width]
                body += self.block_of(phase, start, some, element, number, result)
        body = [For(i, _blocks(items, self.beside), body)]
        return [For(r, _blocks(rows, self.block), body)]

    def block_of(
        self,
        phase: int,
        start: int,
        columns: Sequence[_Column],
        element: Expression,
        number: Expression,
        result: Expression,
    ) -> Body:
        """Return what adds to a block of sums."""
        lanes, size = self.lanes, self.layout.size
        lane, step = Variable("lane"), Variable("step")
        across = [(i, column) for i in range(self.beside) for column in columns]
        name = f"{phase}_{start}"
        sums = Registers(f"sums{name}", self.dtype, self.block * len(across), lanes)
        body, inner, outer = Body(), Body(), Body()
        at = bind(outer, f"at{name}", step * lanes)
        left = bind(outer, f"left{name}", number + at)
        right = bind(outer, f"right{name}", element + at)
        rows = [
            bind(
                inner, f"row{r}",
                Load(self.numbers, left + (r * len(self.phases) + phase) * size + lane),
            )
            for r in range(self.block)
        ]  # fmt: skip
        for c, (i, column) in enumerate(across):
            place = right + (i * len(self.parts) * size + column.moved) + lane
            value = bind(inner, f"column{c}", Load(self.elements, place))
            for r in range(self.block):
                spot = r * len(across) + c
                total = self.problem.added(value, rows[r], Get(sums, spot), self.facts)
                inner.append(Set(sums, spot, total))
        outer.append(Vector(lane, lanes, lanes, inner))
        body += [sums, For(step, self.layout.vectors, outer)]
        for c, (i, column) in enumerate(across):
            for r in range(self.block):
                total = Fold("add", sums, r * len(across) + c)
                to = (r * self.padded_items + i) * self.taps + column.tap
                before = Load(self.results, result + to)
                value = Operation("add", (before, total))
                body.append(Store(self.results, result + to, value))
        return body

    def finished(
        self,
        group: Expression,
        item: Expression,
        items: Expression,
        row: Expression,
        rows: Expression,
    ) -> Body:
        """Return what finishes the sums of a chunk."""
        problem, lanes = self.problem, self.lanes
        r, i, lane = Variable("r"), Variable("i"), Variable("lane")
        body = Body()
        m = bind(body, "m", group * problem.rows + (row + r))
        line = bind(body, "line", r * (self.padded_items * self.taps))

        def vector(
            b: Expression, n: Expression, place: Expression, extent: int
        ) -> Body:
            value = Variable("value", self.dtype)
            inner: Body = [Let(value, Load(self.results, place))]
            inner += problem.finish(b, m, [n], value)
            return [Vector(lane, extent, lanes, inner)]

        if self.taps == 1 and problem.batch % self.items == 0:
            # Items lie side by side.
            whole, tail = divmod(self.items, lanes)
            at = Variable("column")
            if whole:
                place = at * lanes + lane
                inner = vector(item + place, ZERO, line + place, lanes)
                body.append(For(at, whole, inner))
            if tail:
                place = lane + whole * lanes
                body += vector(item + place, ZERO, line + place, tail)
            return [For(r, rows, body)]
        inner = Body()
        b = bind(inner, "b", item + i)
        line = bind(inner, "from", line + i * self.taps)
        whole, tail = divmod(self.taps, lanes)
        at = Variable("column")
        if whole:
            place = at * lanes + lane
            inner.append(For(at, whole, vector(b, place, line + place, lanes)))
        if tail:
            place = lane + whole * lanes
            inner += vector(b, place, line + place, tail)
        body.append(For(i, items, inner))
        return [For(r, rows, body)]


def _all(runs: Sequence[Run]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for run in runs:
        found = [(*one, i) for one in found for i in range(run.number)]
    return found


def _count(first: Expression, each: int, all: int) -> Expression:
    """Return how many of `all` one chunk has, that begins at `first`."""
    if all % each == 0:
        return Constant(each, first.dtype)
    return smaller(all - first, each)


def _blocks(count: Expression, each: int) -> Expression:
    return (count + (each - 1)) // each
