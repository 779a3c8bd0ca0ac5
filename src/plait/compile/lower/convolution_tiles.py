"""Convolutions with windows of three by three, by minimal filtering.

The result is cut into tiles of two by two places, or four by four. The elements that
tiles meet are transformed into 16 or 36 matrices of [channel][tile], and so is the
kernel into as many of [row][channel]. Their products, one matrix by the other, are
transformed into the tiles of the result.

A chunk takes so many tiles that the matrices of their elements stay in the second
cache, and from there it takes a block of rows after the other.

Read first: `lower_tiles`, `filtering`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from ...dtypes import float32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Kernel,
    Load,
    Registers,
    Set,
    Store,
    Variable,
    Vector,
)
from .blocking import MOST_CHUNKS, Facts, ceil
from .convolution_block import Positions
from .filtering import FOUR, TAPS, TWO, Filter, transformed
from .index import ZERO
from .laying import Laying, Span, lay_out
from .product import Piece, as_dtype, bind, multiply_add, smaller
from .sliding import Axis, Layout, Problem, parts_of, runs_of

# Cycles to lay out and transform what a vector of tiles meets, of one channel; to
# transform its products, of one row; and to transform 16 rows of the kernel, of one
# channel.
_ELEMENT_CYCLES, _RESULT_CYCLES, _NUMBER_CYCLES = 60, 100, 330
# The same of four places along an axis.
_ELEMENT_CYCLES_OF_4, _RESULT_CYCLES_OF_4 = 400, 330
# Matrices of a kernel that lasts come from main memory: 16 numbers in so many cycles.
_READ_CYCLES = 8
# A product of a vector takes half a cycle, and a bit more.
_PRODUCT_CYCLES = 0.55
# It should save as much, as the places of a tile depend on all that the tile meets.
_WORTH = 0.85
# Numbers of a matrix that one chunk makes.
_NUMBERS = 4096
# Tiles that are worked on at once, at least, and rows that share them.
_TILES, _ROWS = 32, 64
# The same where the kernel is large, and how many units are enough there.
_SPREAD, _UNITS = 192, 8
# Chunks that keep all cores busy.
_CHUNKS = 16


def filter_of(problem: Problem, facts: Facts, each: float = 1) -> Filter | None:
    """Return the way of filtering that is worth it, or None.

    Args:
        each: what a product costs without filtering.
    """
    axes = problem.axes
    if len(axes) != 2 or problem.dtype is not float32:
        return None
    if not all(map(plain_taps, axes)):
        return None
    lanes = facts.lanes(problem.dtype)
    rows, channels = problem.rows, problem.channels
    places = problem.batch * axes[0].count * axes[1].count
    products = rows * channels * _PRODUCT_CYCLES
    best = _WORTH * each * ceil(places, lanes) * TAPS * TAPS * products
    found = None
    for filter in (TWO, FOUR) if facts.lasting else (TWO,):
        matrices = filter.met**2
        tiles = problem.batch
        for axis in axes:
            tiles *= ceil(axis.count, filter.places)
        vectors = ceil(tiles, lanes)
        cycles = vectors * matrices * products
        numbers = ceil(rows, lanes) * channels
        if facts.lasting:
            cycles = max(cycles, numbers * matrices * _READ_CYCLES)
        else:
            cycles += numbers * _NUMBER_CYCLES
        if filter is TWO:
            cycles += vectors * (channels * _ELEMENT_CYCLES + rows * _RESULT_CYCLES)
        else:
            cycles += vectors * channels * _ELEMENT_CYCLES_OF_4
            cycles += vectors * rows * _RESULT_CYCLES_OF_4
        if cycles < best:
            best, found = cycles, filter
    return found


def plain_taps(axis: Axis) -> bool:
    """Return whether windows are three neighbours, and slide by one."""
    if axis.taps != TAPS or axis.phases != 1 or axis.stride != 1:
        return False
    return [run[:3] + run[5:] for run in axis.runs[0]] == [(0, 1, TAPS, 1)]


def tiled_axes(axes: Sequence[Axis], filter: Filter = TWO) -> list[Axis]:
    """Return axes along which windows are those of whole tiles."""
    n, met = filter.places, filter.met
    tiled = [
        Axis(axis.size, ceil(axis.count, n), met, n, 1, 1, -axis.low_shift)
        for axis in axes
    ]
    return [*tiled[:-1], tiled[-1].apart()]


def offsets_of(axes: Sequence[Axis], layout: Layout) -> list[int]:
    """Return where the elements of a window lie, from where its tile is counted.

    They are in row-major order, and axes have one phase.
    """
    taps = tuple(axis.taps for axis in axes)
    parts = parts_of(axes)
    found = [0] * math.prod(taps)
    for runs in runs_of(axes, (0,) * len(axes)):
        start = parts.index(tuple(run.part for run in runs)) * layout.size
        start += layout.shift(runs)
        for at in product(*(range(run.number) for run in runs)):
            tap, moved = 0, start
            for i, run, n, pitch in zip(at, runs, taps, layout.pitches, strict=True):
                tap = tap * n + run.first + i * run.step
                moved += i * run.shift_step * pitch
            found[tap] = moved
    return found


def lower_tiles(
    problem: Problem, filter: Filter, facts: Facts, name: str
) -> list[Piece]:
    """Return the loops of a convolution by minimal filtering."""
    return _Tiles(problem, filter, facts).pieces(name)


class _Tiles(Positions):
    """Writes the bodies of the kernels.

    Attributes:
        filter: the way of filtering.
        count: how many matrices there are.
        layout: of the elements of one channel, as windows of whole tiles.
        offsets: where the elements of a window lie that is met by a tile.
        pitch: how far channels are apart in a matrix, and rows in one of products.
        spread: a matrix is multiplied with all rows of a chunk before the next one is.
            The matrices are made by a kernel of their own, for chunks to share.
        size: of all matrices of one unit.
    """

    def __init__(self, problem: Problem, filter: Filter, facts: Facts) -> None:
        self.filter, self.count = filter, filter.met**2
        self.facts, self.dtype = facts, problem.dtype
        self.lanes = facts.lanes(self.dtype)
        self.tiled = tiled = tiled_axes(problem.axes, filter)
        self.parts = parts_of(tiled)
        # Of the result, places of a tile are phases.
        axes = [
            Axis(axis.size, axis.count, 1, 1, 1, filter.places, 0)
            for axis in problem.axes
        ]
        self.problem = problem = problem._replace(axes=axes, direct=False)
        self.cut_units()
        layout = self.layout
        # All places of a tile are computed at once.
        self.phases, self.taps = [()], [self.count]
        self.block, self.vectors = self.choose(layout.vectors)
        self.panels = ceil(layout.vectors, self.vectors)
        self.wide = layout.vectors - self.panels * (self.vectors - 1)
        self.blocks = ceil(problem.rows, self.block)
        self.cut_chunks()
        self.offsets = offsets_of(tiled, layout)
        size = len(self.parts) * layout.size
        self.elements = Buffer("elements", self.dtype, size, "scratch")
        # Lines of neighbours shall not share their places in the caches.
        self.pitch = (layout.vectors | 1) * self.lanes
        self.size = self.count * problem.channels * self.pitch
        size, access = self.size, "scratch"
        if self.spread:
            size, access = size * self.units, "inout"
        self.matrices = Buffer("matrices", self.dtype, size, access)
        size = self.block * self.count * self.pitch
        if self.spread:
            size *= self.chunk_blocks
        self.products = Buffer("products", self.dtype, size, "scratch")
        self.across, self.lines = filter.places, filter.places
        self.line = layout.vectors * self.lanes * self.across
        size = self.block * self.lines * self.line
        self.sums = Buffer("results", self.dtype, size, "scratch")
        size = problem.groups * self.blocks * problem.channels * self.count * self.block
        self.numbers = Buffer("numbers", self.dtype, size, "inout")
        self.direct = False

    # How the work is cut

    def cut_units(self) -> None:
        """Choose how many items, or which strip of one, are worked on at once."""
        problem, axes, lanes = self.problem, self.tiled, self.lanes
        room = self.facts.l2 // 2 // self.dtype.itemsize // problem.channels
        most = room // self.count
        # Each unit reads all of the kernel's matrices again. If those are large, one
        # matrix of many tiles, rather than all of few, stays in the second cache.
        self.spread = problem.rows > 4 * most
        if self.spread:
            all = problem.batch * axes[0].positions * axes[1].positions
            most = min(room, max(_SPREAD, ceil(all, _UNITS)))
        most = max(_TILES, most // lanes * lanes)
        one = Layout(axes, 1, None, lanes)
        first = axes[0].positions
        strips, items = 1, 1
        if one.vectors * lanes > most:
            strips = ceil(first, max(1, most // one.pitches[0]))
        else:
            items = max(1, min(problem.batch, most // one.whole))
        self.item_groups = ceil(problem.batch, items)
        items = ceil(problem.batch, self.item_groups)
        self.strip = ceil(first, strips)
        self.strips = ceil(first, self.strip)
        strip = self.strip if self.strips > 1 else None
        self.layout = Layout(axes, items, strip, lanes)
        self.units = self.item_groups * self.strips * problem.groups

    def cut_chunks(self) -> None:
        self.together = ceil(self.units, MOST_CHUNKS)
        self.row_chunks = 1
        if self.units < _CHUNKS:
            most = max(1, self.problem.rows // _ROWS)
            self.row_chunks = min(ceil(_CHUNKS, self.units), most, self.blocks)
        self.chunk_blocks = ceil(self.blocks, self.row_chunks)
        self.row_chunks = ceil(self.blocks, self.chunk_blocks)

    # Kernels

    def pieces(self, name: str) -> list[Piece]:
        chunks = ceil(self.units, self.together) * self.row_chunks
        products = (self.products, self.sums)
        pieces = [self.packed(f"{name}_weights")]
        if self.spread:
            pieces.append(self.gathered(f"{name}_elements"))
            pieces.append(Piece(name, self.chunk(), chunks, products))
        else:
            scratch = (self.elements, self.matrices, *products)
            pieces.append(Piece(name, self.chunk(), chunks, scratch))
        return pieces

    def gathered(self, name: str) -> Piece:
        """Return what makes the matrices of the elements of all units."""
        channels = self.problem.channels
        each = ceil(channels, ceil(_CHUNKS, self.units))
        parts = ceil(channels, each)
        body = Body()
        unit = bind(body, "unit", Kernel.CHUNK // parts)
        first = bind(body, "first", Kernel.CHUNK % parts * each)
        inner, group, item, start = self.where(unit)
        body += inner
        count: Expression = Constant(each, first.dtype)
        if channels % each:
            count = smaller(channels - first, each)
        base = bind(body, "base", unit * self.size)
        body += self.filled(group, item, start, first, count, base)
        scratch = (self.elements,)
        return Piece(name, body, self.units * parts, scratch, (self.matrices,))

    def unit(self, unit: Expression, part: Expression) -> Body:
        """Return what computes some rows of one unit."""
        body, group, item, start = self.where(unit)
        base: Expression = ZERO
        if self.spread:
            base = bind(body, "base", unit * self.size)
        else:
            count = Constant(self.problem.channels, unit.dtype)
            body += self.filled(group, item, start, ZERO, count, ZERO)
        return body + self.rows_at(base, group, item, start, part)

    def packed(self, name: str) -> Piece:
        """Return what transforms the kernel, into blocks of [channel][row]."""
        problem, body, lanes = self.problem, Body(), self.lanes
        each = min(problem.channels, ceil(_NUMBERS, self.block))
        parts = ceil(problem.channels, each)
        block: Expression = bind(body, "block", Kernel.CHUNK // parts)
        part: Expression = bind(body, "part", Kernel.CHUNK % parts)
        group: Expression = ZERO
        if problem.groups > 1:
            group = bind(body, "group", block // self.blocks)
            block = bind(body, "own", block % self.blocks)
        place = bind(body, "place", self.left(group, block, 0))
        apart = self.blocks if self.spread else 1
        apart *= problem.channels * self.block
        row = bind(body, "row", self.first_row(block))
        first = bind(body, "first", part * each)
        at, lane = Variable("at"), Variable("lane")
        inner = Body()
        channel = first + at
        count: Expression = Constant(each, at.dtype)
        if problem.channels % each:
            channel = smaller(channel, problem.channels - 1)
            count = smaller(problem.channels - first, each)
        channel = bind(inner, "channel", channel)
        to = bind(inner, "to", place + channel * self.block)
        for start in range(0, self.block, lanes):
            extent = min(lanes, self.block - start)
            m = group * problem.rows + (row + start + lane)
            vector = Body()
            found = transformed(
                vector, "number", self.filter.of_numbers,
                lambda i, j, m=m: as_dtype(  # type: ignore[misc]
                    problem.weight(m, [channel, Constant(i, m.dtype),
                                       Constant(j, m.dtype)]), self.dtype,
                ),
            )  # fmt: skip
            for number, value in enumerate(found):
                own = number * apart + start
                vector.append(Store(self.numbers, to + own + lane, value))
            inner.append(Vector(lane, extent, lanes, vector))
        body.append(For(at, count, inner))
        chunks = problem.groups * self.blocks * parts
        return Piece(name, body, chunks, (), (self.numbers,))

    def left(
        self, group: Expression, block: Expression, matrix: Expression | int
    ) -> Expression:
        """Return where a block of rows of one of the kernel's matrices begins.

        They lie in the order in which they are read: what is read far apart comes much
        slower from main memory.
        """
        if self.spread:
            place = (group * self.count + matrix) * self.blocks + block
        else:
            place = (group * self.blocks + block) * self.count + matrix
        return place * (self.problem.channels * self.block)

    def filled(
        self,
        group: Expression,
        item: Expression,
        start: Expression,
        first: Expression,
        count: Expression,
        base: Expression,
    ) -> Body:
        """Return what fills the matrices of elements at `base`, of some channels."""
        problem, layout, lanes = self.problem, self.layout, self.lanes
        met = self.filter.met
        at, lane, vector = Variable("copied"), Variable("lane"), Variable("v")
        body = Body()
        channel = bind(body, "channel", first + at)

        def source(item: Expression, at: Sequence[Expression]) -> Expression:
            own = group * problem.channels + channel
            return as_dtype(problem.x(item, [own, *at]), self.dtype)

        for number, part in enumerate(self.parts):
            spans = [
                Span(axis.stride, one, axis.size)
                for axis, one in zip(self.tiled, part, strict=True)
            ]
            place = Constant(number * layout.size, lane.dtype)
            body += lay_out(
                Laying(
                    self.elements, place, layout, spans, True, source, item,
                    problem.batch, start, f"copy{number}",
                )
            )  # fmt: skip
        inner = Body()
        found = transformed(
            inner, "element", self.filter.of_elements,
            lambda i, j: Load(
                self.elements, vector * lanes + (self.offsets[i * met + j] + lane)
            ),
        )  # fmt: skip
        for number, value in enumerate(found):
            to = base + (number * problem.channels + channel) * self.pitch
            inner.append(Store(self.matrices, to + vector * lanes + lane, value))
        body.append(For(vector, layout.vectors, [Vector(lane, lanes, lanes, inner)]))
        return [For(at, count, body)]

    # One block

    def rows_at(
        self,
        base: Expression,
        group: Expression,
        item: Expression,
        start: Expression,
        part: Expression,
    ) -> Body:
        """Return what computes and finishes the rows that a chunk has of one unit."""
        at, matrix = Variable("block_at"), Variable("matrix")
        head = Body()
        block = bind(head, "block", part * self.chunk_blocks + at)
        count = self.block_count(part)
        kept = at * (self.block * self.count * self.pitch) if self.spread else ZERO
        kept = bind(head, "kept", kept)
        products = self.multiplied(base, group, block, matrix, kept)
        done = self.turned_back(kept) + self.finished(group, block, item, start)
        if self.spread:
            return [
                For(matrix, self.count, [For(at, count, head + products)]),
                For(at, count, head + done),
            ]
        return [For(at, count, [*head, For(matrix, self.count, products), *done])]

    def multiplied(
        self,
        base: Expression,
        group: Expression,
        block: Expression,
        matrix: Expression,
        kept: Expression,
    ) -> Body:
        """Return what multiplies a block of rows of a matrix with all tiles."""
        problem, head = self.problem, Body()
        left = bind(head, "left", self.left(group, block, matrix))
        right = base + matrix * (problem.channels * self.pitch)
        right = bind(head, "right", right)
        to = bind(head, "to", kept + matrix * self.pitch)
        panel = Variable("panel")
        place = panel * (self.vectors * self.lanes)
        inner = self.product(left, right, to, place, self.vectors)
        head.append(For(panel, self.wide, inner))
        if self.wide < self.panels:
            other = Variable("other")
            narrow = self.vectors - 1
            place = (other * narrow + self.wide * self.vectors) * self.lanes
            inner = self.product(left, right, to, place, narrow)
            head.append(For(other, self.panels - self.wide, inner))
        return head

    def product(
        self,
        left: Expression,
        right: Expression,
        to: Expression,
        place: Expression,
        vectors: int,
    ) -> Body:
        """Return what multiplies one matrix of a block with some vectors of tiles."""
        lanes, name = self.lanes, f"{vectors}"
        body, inner, step = Body(), Body(), Body()
        q = bind(body, f"q{name}", place)
        sums = Registers(f"sums{name}", self.dtype, self.block * vectors, lanes)
        body.append(sums)
        channel, lane = Variable(f"channel{name}"), Variable("lane")
        from_ = bind(step, f"from{name}", right + channel * self.pitch + q)
        number = bind(step, f"number{name}", left + channel * self.block)
        columns = [
            bind(inner, f"column{v}", Load(self.matrices, from_ + v * lanes + lane))
            for v in range(vectors)
        ]
        for r in range(self.block):
            value = bind(inner, f"row{r}", self.number(number, r))
            for v in range(vectors):
                at = r * vectors + v
                total = multiply_add(value, columns[v], Get(sums, at), self.facts)
                inner.append(Set(sums, at, total))
        step.append(Vector(lane, lanes, lanes, inner))
        body.append(For(channel, self.problem.channels, step))
        kept = Body()
        for r in range(self.block):
            for v in range(vectors):
                own = to + (q + (r * self.count * self.pitch + v * lanes)) + lane
                kept.append(Store(self.products, own, Get(sums, r * vectors + v)))
        body.append(Vector(lane, lanes, lanes, kept))
        return body

    def turned_back(self, kept: Expression) -> Body:
        """Return what transforms the products of a block, `kept`, into tiles."""
        lanes, met = self.lanes, self.filter.met
        r, v, lane = Variable("done_row"), Variable("done"), Variable("lane")
        inner = Body()
        found = transformed(
            inner, "product", self.filter.of_products,
            lambda i, j: Load(
                self.products,
                kept + (r * self.count + (i * met + j)) * self.pitch + v * lanes + lane,
            ),
        )  # fmt: skip
        for number, value in enumerate(found):
            line, across = divmod(number, self.filter.places)
            at = self.spot(v * lanes + lane, across)
            at = at + (r * self.lines + line) * self.line
            inner.append(Store(self.sums, at, value))
        body: Body = [For(v, self.layout.vectors, [Vector(lane, lanes, lanes, inner)])]
        return [For(r, self.block, body)]
