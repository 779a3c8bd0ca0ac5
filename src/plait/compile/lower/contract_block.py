"""Products by outer products: a block of the result stays in registers.

One step of the sum multiplies `rows` numbers of the left operand, each in all lanes,
by a few vectors of columns of the right one. The right operand's columns must lie side
by side for that, and are copied so, a panel of columns at a time, where they do not.

At edges nothing is masked where it can be avoided: the last block of rows and the last
panel of columns begin early enough to be whole, and only what is new is finished.

Read first: `lower_block`, `Block.compute`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...dtypes import bool_
from ..loops.grammar import (
    SERIAL,
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    If,
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
from .blocking import Facts
from .copies import DIRECT, ROWS, Copies
from .pack import pack_rows
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    as_dtype,
    bind,
    count_from,
    multiply_add,
    smaller,
)

# What is finished by less than so many statements is written out for each vector. Two
# always are: long chains of steps, such as those of tanh, then overlap.
_SHORT = 6


def lower_block(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    facts: Facts,
    name: str,
) -> list[Piece]:
    """Return the loops of a product, by outer products."""
    copies = Copies(contraction, left, right, facts)
    return Block(contraction, copies, finish).pieces(name)


Writer = Callable[[int], Body]


class Place(NamedTuple):
    """Where one block is.

    Attributes:
        b, panel, row: the product, panel of columns and first row that it is of.
        skip: rows that the block before has finished; None if there are none.
        left, right: where its numbers begin in the copies of the operands.
        k, k_skip, last: as in `Block.slice`.
        tile: where its sums lie.
        factors: what they are still to be multiplied by, one after the other.
    """

    b: Expression
    panel: Expression
    row: Expression
    skip: Expression | None
    left: Expression
    right: Expression
    k: Expression
    k_skip: Expression
    last: Expression | None
    tile: Expression
    factors: tuple[Expression, ...] = ()


class Block:
    """Writes the bodies of the kernels.

    Attributes:
        tile: the sums of one block; or of all of a chunk, if it adds up slices.
    """

    def __init__(
        self,
        contraction: Contraction,
        copies: Copies,
        finish: Finish,
    ) -> None:
        self.copies = copies
        self.plan = cut = copies.plan
        self.shape, self.steps = contraction.shape, cut.steps
        self.tail, self.masked = copies.tail, copies.masked
        self.dtype = contraction.sum_dtype
        self.left, self.right, self.facts = copies.left, copies.right, copies.facts
        self.finish = finish
        self.tile_size = cut.rows * cut.columns
        tiles = cut.panels_per_chunk * cut.blocks_per_chunk if cut.slices > 1 else 1
        self.tile = Buffer("tile", self.dtype, tiles * self.tile_size, "scratch")

    @property
    def chunks(self) -> int:
        cut = self.plan
        groups = -(-self.shape.batch // cut.items)
        return groups * cut.row_chunks * cut.column_chunks

    def pieces(self, name: str) -> list[Piece]:
        """Return the kernels, in their order."""
        scratch = (*self.scratch(), *self.copies.scratch())
        product = Piece(name, self.chunk(), self.chunks, scratch)
        return [*self.copies.pieces(name), product]

    def scratch(self) -> tuple[Buffer, ...]:
        """Return the memory of sums."""
        return (self.tile,)

    # Chunks

    def chunk(self) -> Body:
        cut, body = self.plan, Body()
        rest: Expression = Kernel.CHUNK
        column = bind(body, "column_chunk", rest % cut.column_chunks)
        rest = bind(body, "rest", rest // cut.column_chunks)
        row = bind(body, "row_chunk", rest % cut.row_chunks)
        group = bind(body, "group", rest // cut.row_chunks)
        if self.shape.batch <= cut.items:
            group = Constant(0, Kernel.CHUNK.dtype)
            if cut.row_chunks == 1:
                row = group
                column = Kernel.CHUNK if cut.column_chunks > 1 else group
            elif cut.column_chunks == 1:
                row = Kernel.CHUNK
        panel = bind(body, "first_panel", column * cut.panels_per_chunk)
        panels = bind(
            body, "panel_count", count_from(panel, cut.panels_per_chunk, cut.panels)
        )
        block = bind(body, "first_block", row * cut.blocks_per_chunk)
        blocks = bind(
            body, "block_count", count_from(block, cut.blocks_per_chunk, cut.blocks)
        )
        if cut.items == 1:
            return body + self.product(group, panel, panels, block, blocks)
        first = bind(body, "first_item", group * cut.items)
        items = bind(body, "item_count", count_from(first, cut.items, self.shape.batch))
        item = Variable("item")
        inner = Body()
        b = bind(inner, "b", _index(first, item, cut.items, self.shape.batch))
        inner += self.product(b, panel, panels, block, blocks)
        return [*body, For(item, items, inner)]

    def product(
        self,
        b: Expression,
        first_panel: Expression,
        panels: Expression,
        first_block: Expression,
        blocks: Expression,
    ) -> Body:
        """Return the part of one product that is one chunk's."""
        cut = self.plan
        if cut.slices == 1:
            zero = Constant(0, b.dtype)
            return self.slice(
                b, first_panel, panels, first_block, blocks, zero, zero, None
            )
        at, lane, number = Variable("zero_at"), Variable("lane"), Variable("slice")
        # Sums of all slices are added up here.
        empty = Store(
            self.tile,
            at * cut.lanes + lane,
            Constant(0.0 if self.dtype.is_float else 0, self.dtype),
        )
        cleared = Vector(lane, cut.lanes, cut.lanes, [empty])
        inner = Body()
        start: Expression = number * cut.slice
        skip: Expression = Constant(0, start.dtype)
        if self.steps % cut.slice:
            whole = smaller(start, self.steps - cut.slice)
            whole = bind(inner, "slice_start", whole)
            skip = bind(inner, "slice_skip", start - whole)
            start = whole
        is_last = (number, Constant(cut.slices - 1, number.dtype))
        last = bind(inner, "is_last", Operation("equal", is_last, bool_))
        inner += self.slice(
            b, first_panel, panels, first_block, blocks, start, skip, last
        )
        return [
            For(at, self.tile.size // cut.lanes, [cleared]),
            For(number, cut.slices, inner),
        ]

    def slice(
        self,
        b: Expression,
        first_panel: Expression,
        panels: Expression,
        first_block: Expression,
        blocks: Expression,
        k: Expression,
        k_skip: Expression,
        last: Expression | None,
    ) -> Body:
        """Return what adds up `cut.slice` steps from `k`, of which some are old.

        Args:
            last: whether it is the last slice; None if it is the only one.
        """
        copies = self.copies
        cut = self.plan
        body = Body()
        if self.copies.copies_panels:
            at = Variable("packed")
            inner = Body()
            p = _index(first_panel, at, cut.panels_per_chunk, cut.panels)
            p = bind(inner, "packed_panel", p)
            right_part, length = self.right, self.shape.k
            if last is not None:
                load, length = self.right.load, cut.slice
                right_part = self.right._replace(
                    load=lambda b, outer, step: load(b, outer, k + step)
                )
            to = at * copies.panel_size
            inner += copies.pack_part(b, p, to, right_part, length)
            body.append(For(at, panels, inner))
        p_at, i_at = Variable("panel_at"), Variable("block_at")
        panel_head, head = Body(), Body()
        p = _index(first_panel, p_at, cut.panels_per_chunk, cut.panels)
        p = bind(panel_head, "panel", p)
        i = _index(first_block, i_at, cut.blocks_per_chunk, cut.blocks)
        nominal = bind(head, "nominal", i * cut.rows)
        row, skip = nominal, None
        if self.cut_rows:
            row = bind(head, "row", smaller(nominal, self.shape.m - cut.rows))
            skip = bind(head, "skip", nominal - row)
        zero = Constant(0, p_at.dtype)
        copied = copies.copies_rows
        if copied and copies.left_way == ROWS:
            head += pack_rows(
                copies.left_copy(), b, row, cut.rows, zero, copies.row_pitch
            )
        elif copied:
            head += copies.pack_block(b, i, zero)
        left: Expression = zero
        if copies.left_shared and copies.left_way == ROWS:
            left = bind(head, "left", (b * self.shape.m + row) * copies.block_size)
        elif copies.left_shared:
            left = bind(head, "left", (b * cut.blocks + i) * copies.block_size)
        right = p_at * copies.panel_size
        if copies.right_shared:
            right = (b * cut.panels + p) * copies.panel_size
        right = bind(panel_head, "right", right)
        tile = (p_at * cut.blocks_per_chunk + i_at) * self.tile_size
        inner = Body()
        tile = zero if last is None else bind(inner, "tile_at", tile)
        block = Place(b, p, row, skip, left, right, k, k_skip, last, tile)
        inner += self.each_width(p, self.compute(block))
        if copied or self.rows_are_large():
            inner = [*head, For(p_at, panels, panel_head + inner)]
            body.append(For(i_at, blocks, inner))
        else:
            inner = [*panel_head, For(i_at, blocks, head + inner)]
            body.append(For(p_at, panels, inner))
        return body

    @property
    def cut_rows(self) -> bool:
        """Whether the last block of rows begins early."""
        return self.shape.m % self.plan.rows != 0

    def rows_are_large(self) -> bool:
        """Whether the rows of a chunk would not stay in the second cache."""
        rows = min(self.shape.m, self.plan.blocks_per_chunk * self.plan.rows)
        return rows * self.plan.slice * self.dtype.itemsize > self.facts.l2 // 2

    # Panels

    def start(self, panel: Expression, vectors: int) -> Expression:
        """Return the first column of a panel that no earlier one has."""
        cut = self.plan
        if vectors == cut.vectors:
            return panel * cut.columns
        return (panel * vectors + cut.wide) * cut.lanes

    def each_width(self, panel: Expression, write: Writer) -> Body:
        """Return what `write` gives for the width of a panel."""
        cut = self.plan
        if cut.wide == cut.panels:
            return write(cut.vectors)
        if isinstance(panel, Constant):
            return write(cut.vectors - (panel.value >= cut.wide))
        return [If(panel < cut.wide, write(cut.vectors), write(cut.vectors - 1))]

    def first(self, body: Body, start: Expression, vectors: int) -> Expression:
        """Return the first column that is computed with a panel."""
        if not self.tail or self.masked:
            return start
        whole = self.shape.n - vectors * self.plan.lanes
        return bind(body, f"first{vectors}", smaller(start, whole))

    # One block

    def compute(self, block: Place) -> Writer:
        """Return what computes and finishes a block."""

        def write(vectors: int) -> Body:
            cut, body = self.plan, Body()
            start = self.start(block.panel, vectors)
            start = bind(body, f"begin{vectors}", start)
            first = self.first(body, start, vectors)
            sums = Registers(
                f"sums{vectors}", self.dtype, cut.spread * cut.rows * vectors, cut.lanes
            )
            body.append(sums)
            step = Variable(f"step{vectors}")
            each = cut.slice // cut.spread
            inner = Body()
            for u in range(cut.spread):
                at = step * cut.spread + u
                inner += self.step(block, sums, first, at, vectors, u)
            body.append(For(step, each - block.k_skip, inner))
            rest = cut.slice - each * cut.spread
            if rest:
                more = Variable(f"more{vectors}")
                at = more + each * cut.spread
                inner = self.step(block, sums, first, at, vectors, 0)
                body.append(For(more, rest, inner))
            body.append(self.put(block, sums, vectors))
            done = self.finished(block, start, vectors)
            return [*body, If(block.last, done)] if block.last else body + done

        return write

    def put(self, block: Place, sums: Registers, vectors: int) -> Vector:
        """Return what writes the sums of a block into the tile."""
        cut, lane, body = self.plan, Variable("lane"), Body()
        count = cut.rows * vectors
        half = cut.spread // 2
        while half:
            for i in range(half * count):
                two = Get(sums, i), Get(sums, i + half * count)
                body.append(Set(sums, i, Operation("add", two)))
            half //= 2
        for r in range(cut.rows):
            for v in range(vectors):
                to = block.tile + (r * cut.columns + v * cut.lanes) + lane
                total: Expression = Get(sums, r * vectors + v)
                if block.last:
                    total = Operation("add", (Load(self.tile, to), total))
                body.append(Store(self.tile, to, total))
        return Vector(lane, cut.lanes, cut.lanes, body)

    def step(
        self,
        block: Place,
        sums: Registers,
        first: Expression,
        at: Expression,
        vectors: int,
        part: int,
    ) -> Body:
        """Return one step of the sum: an outer product."""
        cut, copies, lane = self.plan, self.copies, Variable("lane")
        body, inner = Body(), Body()
        at = bind(body, f"at{part}", block.k_skip + at)
        k = bind(body, f"k{part}", block.k + at)
        if copies.right_shared:
            at = k
        columns: list[Expression] = []
        for v in range(vectors):
            value: Expression
            column = first + v * cut.lanes
            if copies.packs_right:
                place = block.right + at * cut.columns + v * cut.lanes + lane
                value = Load(copies.panels, place)
            elif self.masked and v == vectors - 1:
                value = self.masked_column(body, block.b, column, k, part)
            else:
                value = self.right.load(block.b, column + lane, k)
                value = as_dtype(value, self.dtype)
            columns.append(bind(inner, f"y{part}_{v}", value))
        for r in range(cut.rows):
            value = bind(inner, f"x{part}_{r}", self.number(block, r, k))
            for v in range(vectors):
                sum = (part * cut.rows + r) * vectors + v
                total = self.added(value, columns[v], Get(sums, sum))
                inner.append(Set(sums, sum, total))
        body.append(Vector(lane, cut.lanes, cut.lanes, inner))
        return body

    def masked_column(
        self, body: Body, b: Expression, n: Expression, k: Expression, part: int
    ) -> Expression:
        """Load the last vector of the only panel, with zeros beyond its columns."""
        lane = Variable("lane")
        edge = Registers(f"edge{part}", self.dtype, 1, self.plan.lanes)
        value = as_dtype(self.right.load(b, n + lane, k), self.dtype)
        body.append(edge)
        body.append(Vector(lane, self.tail, self.plan.lanes, [Set(edge, 0, value)]))
        return Get(edge, 0)

    def added(self, x: Expression, y: Expression, total: Expression) -> Expression:
        if self.copies.pairs:
            return Operation("dot_pairs", (total, x, y), self.dtype)
        return multiply_add(x, y, total, self.facts)

    def number(self, block: Place, r: int, k: Expression) -> Expression:
        """Return one number of the left operand."""
        copies = self.copies
        if copies.left_way == DIRECT:
            if copies.pairs and self.left.pairs is not None:
                return self.left.pairs(block.b, block.row + r, k)
            return self.left.load(block.b, block.row + r, k)
        if copies.left_way == ROWS:
            return Load(copies.rows, block.left + k + r * copies.row_pitch)
        return Load(copies.rows, block.left + k * copies.row_pitch + r)

    def may_be_last(self, vectors: int) -> bool:
        """Whether the last panel, which has a part of a vector, is so wide."""
        cut = self.plan
        last = cut.vectors if cut.wide == cut.panels else cut.vectors - 1
        return bool(self.tail) and vectors == last

    def finished(self, block: Place, start: Expression, vectors: int) -> Body:
        """Return what finishes one block, whose numbers lie in the tile."""
        lanes, n = self.plan.lanes, self.shape.n
        if not self.may_be_last(vectors):
            return self.each_row(block, start, 0, vectors, 0)
        # What is known of its columns is written so that it can be proven.
        place = 0 if self.masked else lanes - self.tail
        first = Constant(n - (vectors - 1) * lanes - self.tail, start.dtype)
        last = self.each_row(block, first, place, vectors - 1, self.tail)
        if self.plan.panels == 1:
            return last
        other = self.each_row(block, start, 0, vectors, 0)
        return [If(start <= n - vectors * lanes, other, last)]

    def each_row(
        self, block: Place, start: Expression, place: int, whole: int, tail: int
    ) -> Body:
        """Finish columns from `start`, which lie from `place` on in each row."""
        cut = self.plan
        r, v = Variable("r"), Variable("v")
        rows = Body()
        inside = r if block.skip is None else bind(rows, "inside", r + block.skip)
        m = bind(rows, "m", block.row + inside)
        at = bind(rows, "place", block.tile + inside * cut.columns + place)
        if whole:
            statements = self.vector(block, m, start, at, v, cut.lanes)
            short = whole <= 2 or len(statements[0].body) < _SHORT
            short = short and not self.facts.compact
            rows.append(For(v, whole, list(statements), UNROLL if short else SERIAL))
        if tail:
            last = Constant(whole, v.dtype)
            rows += self.vector(block, m, start, at, last, tail)
        count = cut.rows if block.skip is None else cut.rows - block.skip
        return [For(r, count, rows)]

    def vector(
        self,
        block: Place,
        m: Expression,
        start: Expression,
        place: Expression,
        v: Expression,
        extent: int,
    ) -> list[Vector]:
        lanes = self.plan.lanes
        lane = Variable("lane")
        value = Variable("value", self.dtype)
        total: Expression = Load(self.tile, place + v * lanes + lane)
        for factor in block.factors:
            total = Operation("multiply", (total, factor))
        inner: Body = [Let(value, total)]
        inner += self.finish(block.b, m, start + v * lanes + lane, value)
        return [Vector(lane, extent, lanes, inner)]


def _index(first: Expression, at: Expression, each: int, all: int) -> Expression:
    """Return `first + at`, less than `all` in a form that shows it."""
    if isinstance(first, Constant) or all % each == 0:
        return first + at
    return smaller(first + at, all - 1)
