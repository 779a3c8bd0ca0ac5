"""Gradients of kernels, as sums in registers over the places of many images.

Each tap of a gradient is a sum of products over all images and places, see
`convolution_dots`. The numbers, which are the gradient of the result, lie in memory as
they are needed: place after place. The elements are laid out around them. A line of
places that is not whole vectors is no line to go along: then elements are copied once
for each tap along all axes but the first, so that vectors may run on from line to line.

A block of rows times taps stays in registers while places and images go by; it keeps a
sum in each lane, and lanes are added up when a chunk has seen all of its images. Parts
of the images are added up in the end, in their order.

Read first: `lower_gradients`, `cycles_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..loops.grammar import (
    Body,
    Buffer,
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
from .convolution_tiles import offsets_of
from .index import ZERO, affine
from .laying import Laying, Span, lay_out, zero_of
from .product import Piece, bind, count_from, multiply_add, smaller, vectors
from .sliding import Axis, Layout, Problem, parts_of

# Products of one part of the images, and how many parts there are at most.
_PART_PRODUCTS, _MOST_PARTS = 600_000, 16
# Cycles of a product of vectors, to copy a vector of elements, to add up the lanes of a
# sum, and to add registers to the sums in memory.
_PRODUCT, _COPIED, _FOLDED, _ADDED = 0.6, 6, 8, 2.5


def cycles_of(problem: Problem, facts: Facts) -> float:
    """Return about how many cycles this way takes; infinite where it does not work.

    Args:
        problem: its axes are those of the convolution that the kernel belongs to.
    """
    places = math.prod(axis.count for axis in problem.axes)
    lanes = facts.lanes(problem.dtype)
    if places % lanes or not _in_a_row(problem):
        return math.inf
    found = _Gradients(problem, facts)
    room = facts.l2 // 2 // problem.dtype.itemsize
    if found.elements.size > room or found.results.size > room:
        return math.inf
    rows = ceil(problem.rows, found.block) * found.block
    sums = rows * problem.batch * found.taps
    steps = problem.channels * places // lanes
    lines = found.layout.size // found.layout.extents[-1]
    lines *= ceil(found.layout.extents[-1], lanes) * len(found.kinds)
    cycles = steps * sums * _PRODUCT * found.slowness
    cycles += problem.channels * problem.batch * lines * _COPIED
    cycles += sums * ceil(problem.channels, found.together) * _ADDED
    return cycles + sums * found.parts * _FOLDED


def lower_gradients(problem: Problem, facts: Facts, name: str) -> list[Piece]:
    """Return the loops of a convolution whose result is a kernel."""
    return _Gradients(problem, facts).pieces(name)


def _in_a_row(problem: Problem) -> bool:
    """Whether a row's numbers for one image lie side by side in memory."""
    names = [Variable(f"i{i}") for i in range(len(problem.axes) + 2)]
    value = problem.weight(names[0], names[1:])
    if not isinstance(value, Load) or value.dtype is not problem.dtype:
        return False
    found = affine(value.index)
    if found is None:
        return False
    step = 1
    for place, axis in zip(reversed(names[2:]), reversed(problem.axes), strict=True):
        if axis.count > 1 and found[0].get(place.name, 0) != step:
            return False
        step *= axis.count
    return True


class _Gradients:
    """Writes the bodies of the kernels.

    Attributes:
        axes: where lines are not whole vectors, each tap has a part of its own along
            all but the first.
        layout: of the elements of one image, of one item.
        kinds: the parts of a layout.
        offsets: where the elements begin that each tap meets.
        block, width: rows and taps whose sums are in registers.
        slowness: how much longer a step takes than its products do.
        items: of one chunk.
        parts: of the images; `each` of them in one, and `together` at once.
    """

    def __init__(self, problem: Problem, facts: Facts) -> None:
        self.problem, self.facts, self.dtype = problem, facts, problem.dtype
        self.lanes = lanes = facts.lanes(problem.dtype)
        axes = problem.axes
        self.axes: Sequence[Axis] = axes
        self.lines = axes[-1].count % lanes == 0
        if not self.lines:
            self.axes = [axes[0], *(axis.apart() for axis in axes[1:])]
        self.layout = Layout(self.axes, 1, None, lanes)
        self.kinds = parts_of(self.axes)
        self.offsets = offsets_of(self.axes, self.layout)
        self.taps = len(self.offsets)
        self.places = math.prod(axis.count for axis in problem.axes)
        self.block, self.width, self.slowness = self.choose()
        self.blocks = ceil(problem.rows, self.block)
        rows = self.blocks * self.block
        room = facts.l2 // 3 // problem.dtype.itemsize
        most = max(1, room // (rows * self.taps * lanes))
        self.item_chunks = ceil(problem.batch, most)
        self.items = ceil(problem.batch, self.item_chunks)
        self.item_chunks = ceil(problem.batch, self.items)
        products = problem.channels * self.places * problem.rows * problem.batch
        parts = min(products * self.taps // _PART_PRODUCTS, _MOST_PARTS)
        parts = max(1, min(parts, problem.channels))
        self.each = ceil(problem.channels, parts)
        self.parts = ceil(problem.channels, self.each)
        # The numbers of a block stay in the first cache while items go by.
        self.image = self.items * len(self.kinds) * self.layout.size
        numbers = self.block * self.places * problem.dtype.itemsize
        together = min(facts.l1 * 2 // 3 // numbers, room // self.image)
        self.together = max(1, min(together, self.each))
        self.elements = Buffer(
            "elements", self.dtype, self.together * self.image, "scratch"
        )
        self.results = Buffer(
            "results", self.dtype, rows * self.items * self.taps * lanes, "scratch"
        )
        self.size = problem.rows * problem.batch * self.taps
        self.sums = Buffer("parts", self.dtype, self.parts * self.size, "inout")

    def choose(self) -> tuple[int, int, float]:
        """Return the rows and taps of a block, and how much slower than its products
        it is.
        """
        registers, rows = self.facts.registers, self.problem.rows
        best = (math.inf, 1, 1, 1.0)
        for width in range(1, self.taps + 1):
            if self.taps % width:
                continue
            for block in range(1, rows + 1):
                if block * width + min(block, width) + 1 > registers:
                    break
                # What is moved along lies in two lines of memory.
                slots = max(block * width, block + 2 * width, 8)
                cycles = ceil(rows, block) * (self.taps // width) * slots
                if cycles <= best[0]:
                    best = (cycles, block, width, slots / (block * width))
        return best[1:]

    # Kernels

    def pieces(self, name: str) -> list[Piece]:
        scratch = (self.elements, self.results)
        chunks = self.parts * self.item_chunks
        return [
            Piece(name, self.chunk(), chunks, scratch, (self.sums,)),
            self.added(f"{name}_sum"),
        ]

    def chunk(self) -> Body:
        problem, body = self.problem, Body()
        part = bind(body, "part", Kernel.CHUNK // self.item_chunks)
        item = bind(body, "first_item", Kernel.CHUNK % self.item_chunks * self.items)
        items = bind(body, "items", count_from(item, self.items, problem.batch))
        start = bind(body, "first_image", part * self.each)
        images = bind(body, "images", count_from(start, self.each, problem.channels))
        lane, at = Variable("lane"), Variable("cleared")
        place = at * self.lanes + lane
        clear = Store(self.results, place, zero_of(self.dtype))
        clear_all = Vector(lane, self.lanes, self.lanes, [clear])
        body.append(For(at, self.results.size // self.lanes, [clear_all]))
        turn = Variable("turn")
        inner = Body()
        done = bind(inner, "done", turn * self.together)
        count = bind(inner, "count", smaller(images - done, self.together))
        first = bind(inner, "first", start + done)
        inner += self.laid_out(item, items, first, count)
        inner += self.summed(items, first, count)
        turns = (images + (self.together - 1)) // self.together
        body.append(For(turn, turns, inner))
        return body + self.folded(part, item, items)

    def laid_out(
        self, item: Expression, items: Expression, first: Expression, count: Expression
    ) -> Body:
        """Return what lays out the elements of some images."""
        problem, layout = self.problem, self.layout
        image, own = Variable("copied_image"), Variable("copied_item")
        body = Body()

        def source(channel: Expression, at: Sequence[Expression]) -> Expression:
            return problem.x(item + own, [channel, *at])

        for number, kind in enumerate(self.kinds):
            place = own * (len(self.kinds) * layout.size) + number * layout.size
            place = bind(body, f"kind{number}", place + image * self.image)
            spans = [
                Span(axis.stride, one, axis.size)
                for axis, one in zip(self.axes, kind, strict=True)
            ]
            body += lay_out(
                Laying(
                    self.elements, place, layout, spans, True, source, first + image,
                    problem.channels, ZERO, f"copy{number}",
                )
            )  # fmt: skip
        return [For(image, count, [For(own, items, body)])]

    def summed(self, items: Expression, first: Expression, count: Expression) -> Body:
        """Return what adds the products of some images to all sums of a chunk."""
        block, item, body = Variable("block"), Variable("item"), Body()
        for start in range(0, self.taps, self.width):
            body += self.block_of(start, block * self.block, item, first, count)
        return [For(block, self.blocks, [For(item, items, body)])]

    def block_of(
        self,
        start: int,
        row: Expression,
        item: Expression,
        first: Expression,
        count: Expression,
    ) -> Body:
        """Return what adds to the sums of a block of rows and taps."""
        problem, lanes, layout = self.problem, self.lanes, self.layout
        image, lane = Variable("image"), Variable("lane")
        sums = Registers(f"sums{start}", self.dtype, self.block * self.width, lanes)
        inner = Body()
        right = image * self.image + item * (len(self.kinds) * layout.size)
        number: Expression = lane
        steps = self.steps()
        for at, _, near, far in steps:
            number, right = number + at * near, right + at * far
        right = right + lane
        offsets = self.offsets[start : start + self.width]
        columns = [
            bind(inner, f"column{c}", Load(self.elements, right + offset))
            for c, offset in enumerate(offsets)
        ]
        nowhere = [ZERO] * (len(problem.axes) - 1)
        for r in range(self.block):
            m = row + r
            if problem.rows % self.block:
                m = smaller(m, problem.rows - 1)
            value = problem.weight(m, [first + image, *nowhere, number])
            value = bind(inner, f"row{r}", value)
            for c, column in enumerate(columns):
                spot = r * self.width + c
                total = multiply_add(value, column, Get(sums, spot), self.facts)
                inner.append(Set(sums, spot, total))
        nest: Body = [Vector(lane, lanes, lanes, inner)]
        for at, extent, _, _ in reversed(steps):
            nest = [For(at, extent, nest)]
        added = Body()
        for r in range(self.block):
            for c in range(self.width):
                place = ((row + r) * self.items + item) * self.taps + (start + c)
                place = place * lanes + lane
                total = Operation(
                    "add", (Load(self.results, place), Get(sums, r * self.width + c))
                )
                added.append(Store(self.results, place, total))
        return [sums, For(image, count, nest), Vector(lane, lanes, lanes, added)]

    def steps(self) -> list[tuple[Variable, int, int, int]]:
        """Return the loops over the vectors of places of an image: how long each is,
        and how far it moves the numbers and the elements.
        """
        lanes, step = self.lanes, Variable("step")
        if not self.lines:
            return [(step, self.places // lanes, lanes, lanes)]
        counts = [axis.count for axis in self.axes]
        found = []
        for n, pitch in enumerate(self.layout.pitches[:-1]):
            near = math.prod(counts[n + 1 :])
            found.append((Variable(f"line{n}"), counts[n], near, pitch))
        return [*found, (step, counts[-1] // lanes, lanes, lanes)]

    def folded(self, part: Expression, item: Expression, items: Expression) -> Body:
        """Return what adds up the lanes of all sums of a chunk."""
        problem, lanes = self.problem, self.lanes
        r, i, lane = Variable("r"), Variable("i"), Variable("lane")
        body = Body()
        registers = Registers("lanes", self.dtype, self.taps, lanes)
        sets = Body()
        for tap in range(self.taps):
            place = ((r * self.items + i) * self.taps + tap) * lanes + lane
            sets.append(Set(registers, tap, Load(self.results, place)))
        body += [registers, Vector(lane, lanes, lanes, sets)]
        to = (part * problem.rows + r) * problem.batch + (item + i)
        to = bind(body, "to", to * self.taps)
        for tap in range(self.taps):
            body.append(Store(self.sums, to + tap, Fold("add", registers, tap)))
        return [For(r, problem.rows, [For(i, items, body)])]

    def added(self, name: str) -> Piece:
        """Return what adds up the parts of each sum, and finishes it."""
        problem, lanes = self.problem, self.lanes
        i, lane = Variable("i"), Variable("lane")

        def finished(first: Expression, extent: int) -> Vector:
            body = Body()
            tap = first + lane
            place = (Kernel.CHUNK * problem.batch + i) * self.taps + tap
            total: Expression = Load(self.sums, place)
            for part in range(1, self.parts):
                more = Load(self.sums, place + part * self.size)
                total = Operation("add", (total, more))
            value = Variable("value", self.dtype)
            body.append(Let(value, total))
            body += problem.finish(i, Kernel.CHUNK, [tap], value)
            return Vector(lane, extent, lanes, body)

        inner = vectors(self.taps, lanes, finished, "column")
        return Piece(
            name, [For(i, problem.batch, inner)], problem.rows, (), (self.sums,)
        )  # fmt: skip
