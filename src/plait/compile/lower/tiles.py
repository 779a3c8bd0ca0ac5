"""Elementwise kernels that read some operand across its rows: x + transpose(y).

Neighbouring elements of the result are then far apart in that operand. The domain is
cut into square tiles, as many lanes long and wide: the operand's part is loaded along
its own rows, exchanged in registers, and kept in scratch memory for the tile.

Read first: `write_tiles`, `crossed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ...dtypes import int64
from ..loops.grammar import (
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    If,
    Let,
    Load,
    Registers,
    Set,
    Store,
    Transpose,
    Variable,
    Vector,
)
from .chunk import Blocks
from .index import affine, unravel
from .lowering import Lowering
from .scalar import computed, widened

# With fewer elements one way, a tile would mostly be empty.
_LEAST = 8
_COLUMN = Variable("tile_column")
_ROW = Variable("tile_row")


class Crossed(NamedTuple):
    """Where an operand is read along the rows of a tile.

    Attributes:
        buffer: the operand.
        terms: the coefficient of each variable of its place.
        offset: the constant of its place.
    """

    buffer: Buffer
    terms: tuple[tuple[str, int], ...]
    offset: int


def crossed(lowering: Lowering) -> int | None:
    """Return the loop along which some operand of a kernel without reductions has
    neighbouring elements, if that is not the innermost one.
    """
    if lowering.reductions or len(lowering.outer) < 2:
        return None
    if lowering.outer[-1].size < _LEAST:
        return None
    names = [f"loop{i}" for i in range(len(lowering.outer))]
    index = lowering.index([Variable(name) for name in names], [])
    found: set[str] = set()

    def note(buffer: Buffer, place: Expression) -> Expression | None:
        at = affine(place)
        if at is not None and at[0].get(names[-1], 0) > 1:
            found.update(name for name, step in at[0].items() if step == 1)
        return None

    values = lowering.values
    with values.inside([]), values.watched(note):
        for node in lowering.outputs:
            values.at(node, lowering.role(node, index))
    for i, name in enumerate(names[:-1]):
        if name in found and lowering.outer[i].size >= _LEAST:
            return i
    return None


def write_tiles(lowering: Lowering, along: int) -> tuple[int, Body]:
    """Return the number of chunks and the body of the kernel.

    Args:
        along: what `crossed` has found.
    """
    return _Tiles(lowering, along).write()


class _Tiles:
    def __init__(self, lowering: Lowering, along: int) -> None:
        self.lowering = lowering
        self.values = lowering.values
        self.along = along
        self.width = lowering.width
        self.tiles: dict[Crossed, Buffer] = {}

    def write(self) -> tuple[int, Body]:
        sizes = tuple(loop.size for loop in self.lowering.outer)
        width = self.width
        rest = [i for i in range(len(sizes) - 1) if i != self.along]
        across, down = sizes[-1], sizes[self.along]
        lines = math.prod(sizes[i] for i in rest)
        row_tiles, column_tiles = -(-down // width), -(-across // width)
        tile_cost = 2 * self.lowering.element * width * width
        blocks = Blocks(
            lines * row_tiles * column_tiles,
            max(1, self.lowering.chunk_cost // tile_cost),
        )
        body: Body = []
        with self.values.inside(body):
            line, row_tile, column_tile = unravel(
                blocks.place, (lines, row_tiles, column_tiles)
            )
            places = dict(
                zip(
                    rest,
                    unravel(line, tuple(sizes[i] for i in rest)),
                    strict=True,
                )
            )
            named = {i: self._name(f"place{i}", place) for i, place in places.items()}
            row_tile = self._name("row_tile", row_tile)
            column_tile = self._name("column_tile", column_tile)
            columns = _extents(across, width)
            rows = _extents(down, width)
            body.extend(
                self._choose(
                    column_tile, column_tiles, columns,
                    lambda wide: self._choose(
                        row_tile, row_tiles, rows,
                        lambda high: self._tile(
                            named, row_tile * width, column_tile * width, high, wide
                        ),
                    ),
                )
            )  # fmt: skip
        return blocks.chunks, blocks.loop(body)

    def _name(self, name: str, value: Expression) -> Expression:
        """Give an index a name."""
        variable = Variable(name)
        self.values.body.append(Let(variable, value))
        return variable

    def _choose(
        self,
        tile: Expression,
        tiles: int,
        extents: list[int],
        write: Callable[[int], Body],
    ) -> Body:
        """Write a tile of each extent, and choose the last one for the last tile."""
        if len(extents) == 1:
            return write(extents[0])
        return [If(tile < tiles - 1, write(extents[0]), write(extents[1]))]

    def _tile(
        self,
        named: dict[int, Expression],
        first_row: Expression,
        first_column: Expression,
        high: int,
        wide: int,
    ) -> Body:
        lowering, values = self.lowering, self.values
        place = [named.get(i, _ROW) for i in range(len(lowering.outer) - 1)]
        index = lowering.index([*place, _COLUMN], [])
        found: dict[Crossed, Buffer] = {}
        row, lane = Variable(values.name("r")), Variable(values.name("l"))
        # What is known outside of the tile: an index that was looked up is not.
        known = {_ROW.name, _COLUMN.name, *(f"place{i}" for i in named)}

        def instead(buffer: Buffer, at: Expression) -> Expression | None:
            key = _crossing(buffer, at)
            if key is None or values.guard is not None:
                return None
            if not known.issuperset(name for name, _ in key.terms):
                return None
            tile = self.tiles.get(key)
            if tile is None:
                dtype = computed(buffer.dtype)
                tile = Buffer(
                    values.name("tile"), dtype, self.width * self.width, "scratch"
                )
                lowering.scratch.append(tile)
                self.tiles[key] = tile
            found[key] = tile
            return Load(tile, row * self.width + lane)

        one: Body = [Let(_COLUMN, first_column + lane)]
        with values.inside(one), values.watched(instead):
            stores = [lowering.store(node, index) for node in lowering.outputs]
            one.extend(stores)
        body: Body = []
        for key, tile in found.items():
            body.extend(self._exchange(key, tile, first_row, first_column, high, wide))
        vector = Vector(lane, wide, self.width, one)
        body.append(For(row, high, [Let(_ROW, first_row + row), vector]))
        return body

    def _exchange(
        self,
        key: Crossed,
        tile: Buffer,
        first_row: Expression,
        first_column: Expression,
        high: int,
        wide: int,
    ) -> Body:
        """Return the statements that bring a part of an operand into a tile."""
        values, width = self.values, self.width
        square = Registers(values.name("square"), tile.dtype, width, width)
        lane, u = Variable(values.name("l")), Variable(values.name("u"))
        at: Expression = Constant(key.offset, int64)
        for name, step in key.terms:
            if name == _COLUMN.name:
                at = at + (first_column + u) * step
            elif name == _ROW.name:
                at = at + (first_row + lane)
            else:
                at = at + Variable(name) * step
        take = Vector(
            lane, high, width, [Set(square, u, widened(Load(key.buffer, at)))]
        )
        put = Vector(
            lane, width, width, [Store(tile, u * width + lane, Get(square, u))]
        )
        return [
            square,
            For(u, wide, [take], UNROLL),
            Transpose(square),
            For(u, high, [put], UNROLL),
        ]


def _extents(size: int, width: int) -> list[int]:
    """Return the extent of a tile, and that of the last one if it is another."""
    rest = size % width
    if size < width:
        return [rest]
    return [width, rest] if rest else [width]


def _crossing(buffer: Buffer, place: Expression) -> Crossed | None:
    found = affine(place)
    if found is None:
        return None
    terms, offset = found
    if terms.get(_ROW.name) != 1 or terms.get(_COLUMN.name, 0) <= 1:
        return None
    return Crossed(buffer, tuple(sorted(terms.items())), offset)
