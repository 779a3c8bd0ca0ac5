"""Convolutions as sums of products of a number of the kernel with many positions.

The elements are laid out so that each tap of the kernel meets all positions in order.
A block of the result stays in registers: rows, which are output channels, times some
vectors of positions. Each step, one input channel and one tap, adds the product of a
number of each row with the vectors where the tap has moved them.

Read first: `lower_positions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..loops.grammar import (
    SERIAL,
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Kernel,
    Let,
    Load,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from .blocking import MOST_CHUNKS, Facts, ceil
from .index import ZERO
from .laying import Laying, Span, lay_out
from .product import Piece, as_dtype, bind, smaller
from .sliding import Layout, Problem, Run, parts_of, phases_of, runs_of

_CHUNK_PRODUCTS = 300_000
# Products that take as long as copying a line of elements, and each of them.
_LINE_PRODUCTS, _ELEMENT_PRODUCTS = 400, 8
# Positions that are worked on at once, where there is memory for them.
_POSITIONS = 1024
# Products of an element that are worth another copy of it.
_REUSED = 288
# Steps of the innermost loop are written out up to so many statements.
_WRITTEN_OUT = 160
_WIDEST = 7
# Numbers of the kernel that one chunk copies.
_COPIED = 32_000
# Numbers of a large kernel come from far away, in the order in which they are used:
# they are asked for so many bytes before.
_AHEAD, _LINE = 6144, 64


def lower_positions(problem: Problem, facts: Facts, name: str) -> list[Piece]:
    """Return the loops of a convolution whose vectors run along positions."""
    return Positions(problem, facts).pieces(name)


class Positions:
    """Writes the bodies of the kernels.

    Attributes:
        layout: of the elements of one channel and part.
        units: parts of the work: items of the batch, or a strip of one, of one group.
        together: units of one chunk.
        row_chunks: chunks that share a unit, by its rows.
        block: rows of a block.
        vectors: of the first `wide` panels; those after have one less.
    """

    def __init__(self, problem: Problem, facts: Facts) -> None:
        self.problem, self.facts = problem, facts
        self.dtype = problem.dtype
        self.lanes = facts.lanes(self.dtype)
        axes = problem.axes
        self.parts, self.phases = parts_of(axes), phases_of(axes)
        self.runs = [runs_of(axes, phase) for phase in self.phases]
        self.taps = [sum(_count(runs) for runs in each) for each in self.runs]
        self.cut_units()
        layout = self.layout
        self.block, self.vectors = self.choose(layout.vectors)
        self.panels = ceil(layout.vectors, self.vectors)
        self.wide = layout.vectors - self.panels * (self.vectors - 1)
        self.blocks = ceil(problem.rows, self.block)
        self.cut_chunks()
        channels = problem.channels * len(self.parts)
        self.elements = Buffer(
            "elements", problem.copied, max(1, channels * layout.size), "scratch"
        )
        # Phases of the last axis lie side by side.
        self.across = axes[-1].phases
        self.line = layout.vectors * self.lanes * self.across
        self.lines = len(self.phases) // self.across
        self.sums = Buffer(
            "results", self.dtype, self.block * self.lines * self.line, "scratch"
        )
        self.direct = problem.direct
        size = problem.groups * self.blocks * problem.channels * sum(self.taps)
        size = max(1, size * self.block)
        self.numbers = Buffer("numbers", problem.copied, size, "inout")

    # How the work is cut

    def cut_units(self) -> None:
        """Choose how many items, or which strip of one, are worked on at once."""
        problem, axes = self.problem, self.problem.axes
        room = self.facts.l2 // 2 // self.dtype.itemsize
        room //= max(1, problem.channels * len(self.parts))
        one = Layout(axes, 1, None, self.lanes)
        wanted = self.wanted()
        known = problem.batch * problem.groups
        strips = 1
        first = axes[0].positions
        if len(axes) > 1 and first > 1:
            if one.size > room:
                reach = axes[0].high_shift - axes[0].low_shift
                strip = max(1, room // one.pitches[0] - reach, min(reach, first))
                strips = ceil(first, strip)
            if known < wanted:
                most = max(1, one.positions // _POSITIONS)
                strips = max(strips, min(ceil(wanted, known), most))
        items = 1
        if strips == 1:
            items = max(ceil(known, wanted), ceil(128, one.whole))
            items = min(items, room // one.size, ceil(_POSITIONS, one.whole))
            items = max(1, min(items, problem.batch))
        # Nearly equal parts.
        self.item_groups = ceil(problem.batch, items)
        items = ceil(problem.batch, self.item_groups)
        self.strip = ceil(first, strips)
        self.strips = ceil(first, self.strip)
        self.layout = one
        if self.strips > 1:
            self.layout = Layout(axes, 1, self.strip, self.lanes)
        elif items > 1:
            self.layout = Layout(axes, items, None, self.lanes)
        self.units = self.item_groups * self.strips * problem.groups

    def wanted(self) -> int:
        """Return how many chunks there should be at least."""
        problem, axes = self.problem, self.problem.axes
        products = problem.batch * problem.groups * problem.rows * problem.channels
        for axis in axes:
            products *= axis.positions
        products *= sum(self.taps)
        # Where each channel has but a few rows of the kernel, copies take longer.
        lines = problem.batch * problem.groups * problem.channels
        for axis in axes[:-1]:
            lines *= axis.size
        products += lines * (_LINE_PRODUCTS + _ELEMENT_PRODUCTS * axes[-1].size)
        return min(MOST_CHUNKS, max(1, products // _CHUNK_PRODUCTS))

    def cut_chunks(self) -> None:
        wanted = self.wanted()
        self.row_chunks = 1
        self.together = ceil(self.units, wanted)
        if self.units < wanted:
            taps = sum(self.taps) // len(self.taps)
            most = max(1, self.problem.rows * taps // _REUSED)
            self.row_chunks = min(ceil(wanted, self.units), most, self.blocks)
        self.chunk_blocks = ceil(self.blocks, self.row_chunks)
        self.row_chunks = ceil(self.blocks, self.chunk_blocks)

    def choose(self, all_vectors: int) -> tuple[int, int]:
        """Return the rows and vectors of the block that takes the fewest cycles."""
        rows = self.problem.rows
        steps = max(1, self.problem.channels * sum(self.taps) // len(self.taps))
        best = (0.0, 1, 1)
        for vectors in range(1, min(_WIDEST, all_vectors) + 1):
            most = min((self.facts.registers - 1 - vectors) // vectors, 24)
            if most < 1:
                break
            blocks = ceil(rows, most)
            block = ceil(rows, blocks)
            panels = ceil(all_vectors, vectors)
            if vectors > ceil(all_vectors, panels):
                continue  # as many narrower panels do
            wide = all_vectors - panels * (vectors - 1)
            cycles = 0.0
            for count, width in ((wide, vectors), (panels - wide, vectors - 1)):
                # A vector mostly lies in two lines of memory.
                loads = block + 2 * width
                step = max(block * width, loads * 1.05, 8) / 2
                cycles += count * (steps * step + 30 + 2 * block * width)
            if not best[0] or blocks * cycles < 0.99 * best[0]:
                best = (blocks * cycles, block, vectors)
        return best[1], best[2]

    # Kernels

    def pieces(self, name: str) -> list[Piece]:
        chunks = ceil(self.units, self.together) * self.row_chunks
        scratch = (self.elements, self.sums)
        pieces = [Piece(name, self.chunk(), chunks, scratch)]
        if not self.direct:
            pieces.insert(0, self.packed(f"{name}_weights"))
        return pieces

    def packed(self, name: str) -> Piece:
        """Return what copies the kernel's numbers, as blocks of [step][row]."""
        problem, body = self.problem, Body()
        block_size = problem.channels * sum(self.taps) * self.block
        each = max(1, _COPIED // max(1, sum(self.taps) * problem.rows))
        parts = max(1, ceil(problem.channels, each))
        each = ceil(problem.channels, parts)
        group: Expression = ZERO
        part: Expression = Kernel.CHUNK
        if problem.groups > 1:
            group = bind(body, "group", Kernel.CHUNK // parts)
            part = bind(body, "part", Kernel.CHUNK % parts)
        first = bind(body, "first", part * each)
        count: Expression = Constant(each, first.dtype)
        if each and problem.channels % each:
            count = smaller(problem.channels - first, each)
        at, block = Variable("at"), Variable("block")
        outer, inner = Body(), Body()
        channel = bind(outer, "channel", first + at)
        row = bind(inner, "row", self.first_row(block))
        place = (group * self.blocks + block) * block_size
        place = bind(inner, "place", place)
        for index, found in enumerate(self.runs):
            step = place + channel * (self.taps[index] * self.block)
            place = place + problem.channels * self.taps[index] * self.block
            for number, runs in enumerate(found):
                taps = [Variable(f"tap{index}_{number}_{i}") for i in range(len(runs))]
                to: Expression = ZERO
                for one, run in zip(taps, runs, strict=True):
                    to = to * run.number + one
                own = [
                    one * run.step + run.first
                    for one, run in zip(taps, runs, strict=True)
                ]
                to = step + to * self.block
                nest = self.copied(group, row, [channel, *own], to)
                step = step + _count(runs) * self.block
                for one, run in zip(reversed(taps), reversed(runs), strict=True):
                    nest = [For(one, run.number, nest)]
                inner += nest
        outer.append(For(block, self.blocks, inner))
        body.append(For(at, count, outer))
        return Piece(name, body, problem.groups * parts, (), (self.numbers,))

    def copied(
        self, group: Expression, row: Expression, at: list[Expression], to: Expression
    ) -> Body:
        """Return what copies one number of each row of a block."""
        problem, lanes = self.problem, self.lanes
        lane = Variable("lane")
        body = Body()
        for start in range(0, self.block, lanes):
            extent = min(lanes, self.block - start)
            m = group * problem.rows + (row + start + lane)
            value = problem.weight(m, at)
            value = as_dtype(value, problem.copied)
            store = Store(self.numbers, to + start + lane, value)
            body.append(Vector(lane, extent, lanes, [store]))
        return body

    def chunk(self) -> Body:
        body = Body()
        part: Expression = ZERO
        rest: Expression = Kernel.CHUNK
        if self.row_chunks > 1:
            part = bind(body, "row_chunk", rest % self.row_chunks)
            rest = bind(body, "rest", rest // self.row_chunks)
        if self.together == 1:
            return body + self.unit(rest, part)
        count: Expression = Constant(self.together, rest.dtype)
        first = bind(body, "first_unit", rest * self.together)
        if self.units % self.together:
            count = bind(body, "unit_count", smaller(self.units - first, self.together))
        at = Variable("unit_at")
        inner = Body()
        unit = bind(inner, "unit", first + at)
        return [*body, For(at, count, inner + self.unit(unit, part))]

    def unit(self, unit: Expression, part: Expression) -> Body:
        """Return what computes some rows of one unit."""
        body, group, item, start = self.where(unit)
        body += self.laid_out(group, item, start)
        return body + self.rows_of(group, item, start, part)

    def where(
        self, unit: Expression
    ) -> tuple[Body, Expression, Expression, Expression]:
        """Return the group of a unit, its first item and first position."""
        problem, body = self.problem, Body()
        group: Expression = ZERO
        if problem.groups > 1:
            group = bind(body, "group", unit % problem.groups)
            unit = bind(body, "place", unit // problem.groups)
        start: Expression = ZERO
        item = unit
        if self.strips > 1:
            strip = bind(body, "strip", unit % self.strips)
            start = bind(body, "start", strip * self.strip)
            item = bind(body, "item_group", unit // self.strips)
        item = bind(body, "first_item", item * self.layout.items)
        return body, group, item, start

    def rows_of(
        self, group: Expression, item: Expression, start: Expression, part: Expression
    ) -> Body:
        """Return what computes and finishes the rows that a chunk has of one unit."""
        at = Variable("block_at")
        inner = Body()
        block = bind(inner, "block", part * self.chunk_blocks + at)
        for phase in range(len(self.phases)):
            inner += self.computed(group, block, phase)
        inner += self.finished(group, block, item, start)
        return [For(at, self.block_count(part), inner)]

    def block_count(self, part: Expression) -> Expression:
        """Return how many blocks of rows a chunk has."""
        if self.blocks % self.chunk_blocks:
            return smaller(self.blocks - part * self.chunk_blocks, self.chunk_blocks)
        return Constant(self.chunk_blocks, part.dtype)

    def laid_out(self, group: Expression, item: Expression, start: Expression) -> Body:
        problem = self.problem
        channel = Variable("copied_channel")
        body = Body()
        for number, part in enumerate(self.parts):
            place = (channel * len(self.parts) + number) * self.layout.size
            place = bind(body, f"part{number}", place)

            def source(item: Expression, at: Sequence[Expression]) -> Expression:
                own = group * problem.channels + channel
                return problem.x(item, [own, *at])

            spans = [
                Span(axis.stride, one, axis.size)
                for axis, one in zip(problem.axes, part, strict=True)
            ]
            body += lay_out(
                Laying(
                    self.elements, place, self.layout, spans, True, source, item,
                    problem.batch, start, f"copy{number}",
                )
            )  # fmt: skip
        return [For(channel, problem.channels, body)]

    # One block

    def first_row(self, block: Expression) -> Expression:
        """Return the first row of a block; the last one begins early, to be whole."""
        if self.problem.rows % self.block == 0:
            return block * self.block
        return smaller(block * self.block, self.problem.rows - self.block)

    def computed(self, group: Expression, block: Expression, phase: int) -> Body:
        """Return what computes a block of rows at all positions of one phase."""
        problem, body = self.problem, Body()
        left = (group * self.blocks + block) * sum(self.taps) + sum(self.taps[:phase])
        left = left * (problem.channels * self.block)
        left = ZERO if self.direct else bind(body, f"left{phase}", left)
        row = group * problem.rows + self.first_row(block)
        row = bind(body, f"row{phase}", row)
        panel = Variable(f"panel{phase}")
        narrow = self.vectors - 1
        if self.wide == self.panels:
            inner = self.panel(panel * self.vectors, self.vectors, row, left, phase)
            return [*body, For(panel, self.panels, inner)]
        inner = self.panel(panel * self.vectors, self.vectors, row, left, phase)
        body.append(For(panel, self.wide, inner))
        other = Variable(f"other{phase}")
        place = other * narrow + self.wide * self.vectors
        inner = self.panel(place, narrow, row, left, phase)
        body.append(For(other, self.panels - self.wide, inner))
        return body

    def panel(
        self,
        vector: Expression,
        vectors: int,
        row: Expression,
        left: Expression,
        phase: int,
    ) -> Body:
        """Return what computes a block at some vectors of positions."""
        problem, body = self.problem, Body()
        name = f"{phase}_{vectors}"
        q = bind(body, f"q{name}", vector * self.lanes)
        sums = Registers(f"sums{name}", self.dtype, self.block * vectors, self.lanes)
        body.append(sums)
        channel = Variable(f"channel{name}")
        inner = Body()
        right = channel * len(self.parts) * self.layout.size + q
        right = bind(inner, f"right{name}", right)
        step = left + channel * (self.taps[phase] * self.block)
        step = channel if self.direct else bind(inner, f"step{name}", step)
        for number, runs in enumerate(self.runs[phase]):
            numbers = self.numbers_at(runs, row, step)
            inner += self.run(f"{name}_{number}", runs, right, numbers, sums, vectors)
            step = step if self.direct else step + _count(runs) * self.block
        body.append(For(channel, problem.channels, inner))
        return body + self.kept(phase, q, sums, vectors)

    def run(
        self,
        name: str,
        runs: Sequence[Run],
        right: Expression,
        numbers: Callable[[Sequence[Expression], int], Expression],
        sums: Registers,
        vectors: int,
    ) -> Body:
        """Return the steps of all taps of runs, of one channel."""
        problem, layout = self.problem, self.layout
        part = self.parts.index(tuple(run.part for run in runs))
        at = [Variable(f"tap{name}_{i}") for i in range(len(runs))]
        moved: Expression = right + (part * layout.size + layout.shift(runs))
        for one, run, pitch in zip(at, runs, layout.pitches, strict=True):
            moved = moved + one * (run.shift_step * pitch)
        inner, body = Body(), Body()
        moved = bind(inner, f"moved{name}", moved)
        lane = Variable("lane")
        columns = [
            bind(body, f"column{v}", Load(self.elements, moved + v * self.lanes + lane))
            for v in range(vectors)
        ]
        for r in range(self.block):
            value = bind(body, f"number{r}", numbers(at, r))
            for v in range(vectors):
                at_sum = r * vectors + v
                before = Get(sums, at_sum)
                total = problem.added(value, columns[v], before, self.facts)
                body.append(Set(sums, at_sum, total))
        inner.append(Vector(lane, self.lanes, self.lanes, body))
        written = self.block * vectors
        for one, run in zip(reversed(at), reversed(runs), strict=True):
            written *= run.number
            short = written <= _WRITTEN_OUT
            inner = [For(one, run.number, inner, UNROLL if short else SERIAL)]
        return inner

    def numbers_at(
        self, runs: Sequence[Run], row: Expression, step: Expression
    ) -> Callable[[Sequence[Expression], int], Expression]:
        """Return what gives the number of a row, at one tap of runs.

        Args:
            step: the channel, or where the numbers of runs are in their copy.
        """

        def direct(at: Sequence[Expression], r: int) -> Expression:
            taps = [i * run.step + run.first for i, run in zip(at, runs, strict=True)]
            return self.problem.weight(row + r, [step, *taps])

        def copied(at: Sequence[Expression], r: int) -> Expression:
            tap: Expression = ZERO
            for i, run in zip(at, runs, strict=True):
                tap = tap * run.number + i
            return self.number(step + tap * self.block, r)

        return direct if self.direct else copied

    def number(self, place: Expression, r: int) -> Load:
        """Return the number of a row, of those that lie from a place on in a copy."""
        itemsize = self.numbers.dtype.itemsize
        large = self.numbers.size * itemsize > self.facts.l2 // 2
        far = (large or self.facts.lasting) and r % (_LINE // itemsize) == 0
        return Load(self.numbers, place + r, ahead=_AHEAD // itemsize if far else 0)

    def kept(self, phase: int, q: Expression, sums: Registers, vectors: int) -> Body:
        """Return what keeps the sums until all of a block are known."""
        line, across = divmod(phase, self.across)
        lane = Variable("lane")
        body = Body()
        for r in range(self.block):
            for v in range(vectors):
                to = self.spot(q + v * self.lanes + lane, across)
                to = to + (r * self.lines + line) * self.line
                body.append(Store(self.sums, to, Get(sums, r * vectors + v)))
        return [Vector(lane, self.lanes, self.lanes, body)]

    @property
    def apart(self) -> bool:
        """Whether phases of the last axis are kept apart until they are finished.

        So they are stored in rows. It needs a vector to have whole turns of them.
        """
        return self.across > 1 and self.lanes % self.across == 0

    def spot(self, q: Expression, across: Expression | int) -> Expression:
        """Return where in its line the sum of a position of some phase is kept."""
        if self.apart:
            return across * Constant(self.line // self.across, q.dtype) + q
        return q * self.across + across

    def finished(
        self, group: Expression, block: Expression, item: Expression, start: Expression
    ) -> Body:
        """Return what finishes the sums of a block."""
        problem, layout, axes = self.problem, self.layout, self.problem.axes
        r, i = Variable("r"), Variable("i")
        local = [Variable(f"o{n}") for n in range(len(axes) - 1)]
        body = Body()
        head = Body()
        row = bind(head, "row", self.first_row(block))
        rows: Expression = Constant(self.block, r.dtype)
        inside: Expression = r
        if problem.rows % self.block:
            skip = bind(head, "skip", block * self.block - row)
            rows = rows - skip
            inside = bind(body, "inside", r + skip)
        m = bind(body, "m", group * problem.rows + (row + inside))
        b = bind(body, "b", item + i)
        line: Expression = ZERO
        q: Expression = i * layout.item_pitch
        places: list[Expression] = []
        extents: list[Expression | int] = []
        for n, (at, axis) in enumerate(zip(local, axes, strict=False)):
            place, extent = at + ZERO, axis.count
            if n == 0 and self.strips > 1:
                begin = start * axis.phases
                place = bind(body, "o", begin + at)
                whole = self.strip * axis.phases
                extents.append(smaller(axis.count - begin, whole))
            else:
                extents.append(extent)
            places.append(place)
            line = line * axis.phases + at % axis.phases
            q = q + at // axis.phases * layout.pitches[n]
        from_ = (inside * self.lines + line) * self.line
        from_ = bind(body, "from", from_ + (q if self.apart else q * self.across))
        lanes = self.lanes
        lane = Variable("lane")

        def vector(at: Expression, extent: int) -> Vector:
            value = Variable("value", self.dtype)
            spot = column = at + lane
            if self.apart:
                spot = self.spot(column // self.across, column % self.across)
            inner: Body = [Let(value, Load(self.sums, from_ + spot))]
            inner += problem.finish(b, m, [*places, column], value)
            return Vector(lane, extent, lanes, inner)

        whole, tail = divmod(axes[-1].count, lanes)
        column = Variable("column")
        if whole > 1:
            body.append(For(column, whole, [vector(column * lanes, lanes)]))
        elif whole:
            body.append(vector(ZERO, lanes))
        if tail:
            body.append(vector(Constant(whole * lanes, lane.dtype), tail))
        for at, size in zip(reversed(local), reversed(extents), strict=True):
            body = [For(at, size, body)]
        items: Expression = Constant(layout.items, i.dtype)
        if problem.batch % layout.items:
            items = smaller(problem.batch - item, layout.items)
        body = [For(i, items, body)]
        return [*head, For(r, rows, body)]


def _count(runs: Sequence[Run]) -> int:
    total = 1
    for run in runs:
        total *= run.number
    return total
