"""Products on the processor's tiles: bfloat16, and float32 as the sum of bfloat16.

A block of the result is up to two by two tiles, which stay in their registers, like two
of each operand. Where numbers are copied as several parts, a step of the sum is several
products of tiles, each of which has a part in common with that before.

Read first: `copies_tiles`, `wants_tiles`, `lower_tiles`.
"""

from __future__ import annotations

from ...dtypes import bfloat16, bool_, float16, float32, uint32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    If,
    Load,
    Operation,
    Registers,
    Set,
    Store,
    Tile,
    TileLoad,
    TileProduct,
    TileStore,
    Variable,
    Vector,
)
from .blocking import TILE_SPEED, Facts, ceil
from .contract_block import Block, Place, Writer
from .copies import DIRECT, in_pairs
from .copies_tiles import (
    ENDLESS,
    TileCopies,
    factors_of,
    parts_of,
    products_of,
)
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    as_dtype,
    bind,
    multiply_add,
    smaller,
)

# Cycles to copy a number, by how many parts it is copied as.
_COPIED = {1: 0.4, 2: 0.7, 3: 0.9}
# Sums of so many products of scaled numbers, each up to 2**102, are finite.
_LONGEST = 1 << 24
# Rows that are computed at once without tiles.
_PLAIN_ROWS = 8


def wants_tiles(
    contraction: Contraction, left: Operand, right: Operand, facts: Facts
) -> bool:
    """Whether a product is faster on tiles, with the copies that it takes."""
    known = (bfloat16, float16, float32)
    if facts.tiles != facts.lanes(float32) or contraction.sum_dtype is not float32:
        return False
    if left.dtype not in known or right.dtype not in known:
        return False
    _, m, n, k = contraction.shape
    if k > _LONGEST:
        return False
    parts = [parts_of(contraction, one.dtype) for one in (left, right)]
    speed = 2 * facts.tiles  # multiplications in a cycle, without tiles
    plain, copied = m * n * k / speed, 0.0
    if in_pairs(contraction, left, right, facts):
        plain, copied = plain / 2, (m + n) * k * _COPIED[1]
    # A part of a tile takes as long as all of it.
    whole = m * ceil(n, facts.tiles) * facts.tiles * ceil(k, 2) * 2
    count = sum(map(len, products_of(contraction, *parts)))
    tiles = whole * count / (speed * TILE_SPEED)
    tiles += (m * _COPIED[parts[0]] + n * _COPIED[parts[1]]) * k
    return tiles < 0.9 * (plain + copied)


def lower_tiles(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    facts: Facts,
    name: str,
) -> list[Piece]:
    """Return the loops of a product, by products of tiles."""
    copies = TileCopies(contraction, left, right, facts)
    return _TileBlock(contraction, copies, finish).pieces(name)


class _TileBlock(Block):
    """Writes the bodies of the kernels.

    Attributes:
        starts: the first row of each tile of a block.
        high: rows of a tile.
        part: the sums of one slice.
    """

    def __init__(
        self, contraction: Contraction, copies: TileCopies, finish: Finish
    ) -> None:
        super().__init__(contraction, copies, finish)
        self.tiled = copies
        rows = self.plan.rows
        self.high = rows if rows <= self.facts.tiles else ceil(rows, 2)
        # Of an odd number of rows one is in both tiles.
        self.starts = sorted({0, rows - self.high})
        self.part = Buffer("part", float32, self.tile_size, "scratch")

    def scratch(self) -> tuple[Buffer, ...]:
        adds = self.plan.slices > 1 and self.tiled.scaled
        return (self.tile, self.part) if adds else (self.tile,)

    def rows_are_large(self) -> bool:
        cut, copies = self.plan, self.tiled
        pairs = cut.slice * copies.depth * copies.left_parts
        rows = min(self.shape.m, cut.blocks_per_chunk * cut.rows)
        return rows * pairs * uint32.itemsize > self.facts.l2 // 2

    def compute(self, block: Place) -> Writer:
        def write(vectors: int) -> Body:
            body = Body()
            start = self.start(block.panel, vectors)
            start = bind(body, f"begin{vectors}", start)
            here, sums = block, self.multiplied(block, vectors)
            if self.tiled.scaled:
                tops = self.tops(body, block, vectors)
                most = Operation("maximum", tops)
                endless = bind(
                    body, f"endless{vectors}",
                    Operation("less_equal", (Constant(ENDLESS, uint32), most), bool_),
                )  # fmt: skip
                one, factors = Constant(1.0, float32), []
                for i, undone in enumerate(factors_of(body, *tops, f"undo{vectors}")):
                    factor = Operation("select", (endless, one, undone), float32)
                    factors.append(bind(body, f"factor{vectors}_{i}", factor))
                here = block._replace(factors=tuple(factors))
                plain = self.plain(block, start, vectors)
                if block.last is not None:
                    plain = [If(block.last, plain)]
                sums = [If(endless, plain, sums)]
            done = self.finished(here, start, vectors)
            body += sums
            return [*body, If(block.last, done)] if block.last else body + done

        return write

    def tops(
        self, body: Body, block: Place, vectors: int
    ) -> tuple[Expression, Expression]:
        """Return the bits of the largest magnitudes of the block's operands."""
        copies = self.tiled
        left = Load(copies.rows, block.left + copies.left_top)
        right = Load(copies.panels, block.right + copies.right_top)
        return (
            bind(body, f"left_top{vectors}", left),
            bind(body, f"right_top{vectors}", right),
        )

    def multiplied(self, block: Place, vectors: int) -> Body:
        """Return what computes the sums of a block by tiles."""
        cut, copies, body = self.plan, self.tiled, Body()
        lanes, depth = cut.lanes, copies.depth
        sums = [
            [Tile(f"sum{i}_{v}", float32, self.high, lanes) for v in range(vectors)]
            for i in range(len(self.starts))
        ]
        lefts = [Tile(f"left{i}", uint32, self.high, depth) for i in range(len(sums))]
        rights = [Tile(f"right{v}", uint32, depth, lanes) for v in range(vectors)]
        for row in (*sums, lefts, rights):
            body += row
        places = [
            (tile, block.tile + (first * cut.columns + v * lanes))
            for first, row in zip(self.starts, sums, strict=True)
            for v, tile in enumerate(row)
        ]
        adds = block.last is not None and copies.scaled
        if block.last is not None and not adds:
            body += [TileLoad(x, self.tile, at, cut.columns) for x, at in places]
        for number, products in enumerate(copies.products):
            step, inner = Variable(f"step{vectors}_{number}"), Body()
            at = bind(inner, "at", (block.k + block.k_skip + step) * depth)
            before = (-1, -1)
            for i, j in products:
                if i != before[0]:
                    for tile, first in zip(lefts, self.starts, strict=True):
                        inner.append(self.rows_loaded(tile, block, first, i, at))
                if j != before[1]:
                    for v, tile in enumerate(rights):
                        place = block.right + (j * copies.padded + at) * cut.columns
                        place = place + v * lanes
                        inner.append(TileLoad(tile, copies.panels, place, cut.columns))
                before = (i, j)
                for row, left in zip(sums, lefts, strict=True):
                    for total, right in zip(row, rights, strict=True):
                        inner.append(TileProduct(total, left, right))
            body.append(For(step, cut.slice - block.k_skip, inner))
        target = self.part if adds else self.tile
        for tile, at in places:
            at = at - block.tile if adds else at
            body.append(TileStore(target, at, cut.columns, tile))
        if adds:
            body.append(self.added_part(block))
        return body

    def rows_loaded(
        self, tile: Tile, block: Place, first: int, part: int, at: Expression
    ) -> TileLoad:
        """Return what loads a tile of the left operand, from row `first` of a block."""
        copies = self.tiled
        if copies.left_way == DIRECT:
            assert self.left.pairs is not None
            assert self.left.outer_stride is not None
            pairs = self.left.pairs(block.b, block.row + first, at)
            step = self.left.outer_stride // 2
            return TileLoad(tile, pairs.buffer, pairs.index, step)
        place = block.left + (first * copies.row_pitch + part * copies.padded) + at
        return TileLoad(tile, copies.rows, place, copies.row_pitch)

    def added_part(self, block: Place) -> For:
        """Return what adds the sums of one slice to those of the slices before."""
        cut, at, lane = self.plan, Variable("part_at"), Variable("lane")
        place = at * cut.lanes + lane
        sums = Load(self.tile, block.tile + place), Load(self.part, place)
        add = Store(self.tile, block.tile + place, Operation("add", sums))
        return For(
            at, self.part.size // cut.lanes, [Vector(lane, cut.lanes, cut.lanes, [add])]
        )

    def plain(self, block: Place, start: Expression, vectors: int) -> Body:
        """Return what computes the sums of a block from the operands as they are."""
        cut, shape, lane = self.plan, self.shape, Variable("lane")
        body = Body()
        first = self.first(body, start, vectors)
        rows = min(cut.rows, _PLAIN_ROWS)
        group, k = Variable(f"plain{vectors}"), Variable(f"plain_k{vectors}")
        inner, step, products = Body(), Body(), Body()
        begin = bind(inner, "plain_row", smaller(group * rows, cut.rows - rows))
        sums = Registers(f"plain_sums{vectors}", float32, rows * vectors, cut.lanes)
        inner.append(sums)
        columns: list[Expression] = []
        for v in range(vectors):
            column = first + v * cut.lanes
            if self.masked and v == vectors - 1:
                value = self.masked_column(step, block.b, column, k, 0)
            else:
                value = as_dtype(self.right.load(block.b, column + lane, k), float32)
            columns.append(bind(products, f"y{v}", value))
        for r in range(rows):
            value = self.left.load(block.b, block.row + begin + r, k)
            value = bind(products, f"x{r}", as_dtype(value, float32))
            for v in range(vectors):
                total = multiply_add(
                    value, columns[v], Get(sums, r * vectors + v), self.facts
                )
                products.append(Set(sums, r * vectors + v, total))
        step.append(Vector(lane, cut.lanes, cut.lanes, products))
        inner.append(For(k, shape.k, step))
        stores: Body = [
            Store(
                self.tile,
                block.tile + (begin + r) * cut.columns + v * cut.lanes + lane,
                Get(sums, r * vectors + v),
            )
            for r in range(rows)
            for v in range(vectors)
        ]
        inner.append(Vector(lane, cut.lanes, cut.lanes, stores))
        body.append(For(group, ceil(cut.rows, rows), inner))
        return body
