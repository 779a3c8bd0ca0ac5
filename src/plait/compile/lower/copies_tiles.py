"""Copies of the operands of products of tiles: pairs of bfloat16, parts of float32.

A float32 is the sum of three bfloat16, its parts: 24 bits are three times 8. So it is
copied as those, and the product of two numbers is the sum of products of their parts,
of which the smallest are left out. Two things could go wrong:

- Parts are small: some could be denormal, which tiles take for 0. So the numbers of
  each block of rows, and of each panel of columns, are multiplied by the power of two
  that makes the largest of them about 2**50, and the sums by its reciprocal. If the
  largest is below 2**27, all parts of all numbers are then normal.
- Infinity minus itself is nan. The bits of the largest magnitude of each block or panel
  are kept behind its copy, and tell whether there is an infinity or a nan. Then that
  part of the result is computed from the operands as they are; so it is in the rare
  case that a part of a number would still be lost.

Rows of pairs that lie in memory as tiles want them are not copied.

Source: G. Henry, P. Tang, A. Heinecke, "Leveraging the bfloat16 artificial intelligence
datatype for higher-precision computations", ARITH 2019.

Read first: `parts_of`, `TileCopies`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dtypes import DType, bfloat16, bool_, float16, float32, uint32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Operation,
    Store,
    Variable,
    Vector,
)
from .blocking import Facts, Plan, ceil, plan_tiles
from .copies import DIRECT, Copies, pairs_of
from .pack import Copy, extremes, pack_row_pairs, row_pitch
from .product import Contraction, Operand, bind, smaller

TILES = "tiles"
_LIMITS = {"highest": 2, "high": 1, "fast": 0}
_PARTS = {bfloat16: 1, float16: 2, float32: 3}
# The field of the exponent that the largest number of a copy gets, 2**50, and the
# largest that a scale can have; their sum with the bias.
_WANTED = 127 + 50
_MOST = 253
_BIAS = 127
_FRACTION = 23
# The least sum of the fields of a number and of its scale with which no part of their
# product is denormal: the last bit of the number, 2**-23 of its first, must not be
# below 2**-126.
_LEAST = 2 * _BIAS + _FRACTION - 126
# Bits of infinity; those of a nan are more.
ENDLESS = 0x7F800000


def parts_of(contraction: Contraction, dtype: DType) -> int:
    """Return of how many bfloat16 a number of an operand is copied as the sum."""
    return min(_PARTS[dtype], _limit(contraction) + 1)


def products_of(
    contraction: Contraction, left: int, right: int
) -> list[list[tuple[int, int]]]:
    """Return which parts are multiplied: those of one loop, then those of the next.

    In a loop most have a part in common with those before. Where every bit counts the
    large products have a loop of their own, the last one: what comes before them is
    added to small sums, and rounded less.

    Args:
        left, right: how many parts there are.
    """
    limit = _limit(contraction)
    loops = [((1, 0), (0, 0), (0, 1))]
    if limit == 2:
        loops = [((2, 0), (1, 0), (1, 1), (0, 1), (0, 2)), ((0, 0),)]  # type: ignore[list-item]
    found = [
        [(i, j) for i, j in loop if i < left and j < right and i + j <= limit]
        for loop in loops
    ]
    return [loop for loop in found if loop]


def _limit(contraction: Contraction) -> int:
    """Return the most that the numbers of two parts that are multiplied add up to."""
    if contraction.dtype.itemsize == 2:
        return 1  # closer than the result is rounded
    return _LIMITS[contraction.precision]


class TileCopies(Copies):
    """The plan of a product of tiles, and its copies.

    Attributes:
        left_parts, right_parts: how many bfloat16 a number is copied as.
        products: of parts that are multiplied, by loop.
        count: how many these are.
        scaled: numbers are multiplied by powers of two.
        depth: pairs in the row of a tile of the left operand.
        padded: pairs along the sum, whole tiles.
        row_pitch: how far rows of the left copy are apart.
        left_top, right_top: where, behind the numbers of a copy, the bits of the
            largest magnitude are.
    """

    def __init__(
        self, contraction: Contraction, left: Operand, right: Operand, facts: Facts
    ) -> None:
        self.left_parts = parts_of(contraction, left.dtype)
        self.right_parts = parts_of(contraction, right.dtype)
        self.products = products_of(contraction, self.left_parts, self.right_parts)
        self.count = sum(map(len, self.products))
        self.scaled = self.count > 1
        pairs = ceil(contraction.shape.k, 2)
        tiles = ceil(pairs, facts.tiles)
        self.depth = ceil(pairs, tiles)
        self.padded = tiles * self.depth
        super().__init__(contraction, left, right, facts)

    def find_way(self) -> None:
        self.pairs = self.packs_right = True
        whole = pairs_of(self.left, self.shape.k) and 2 * self.padded == self.shape.k
        direct = whole and self.left_parts == 1 and not self.crowded()
        self.left_way = DIRECT if direct else TILES

    def find_plan(self) -> Plan:
        return plan_tiles(
            self.shape, self.depth, self.right_parts, self.count, self.facts
        )

    def find_sizes(self) -> None:
        cut, lanes = self.plan, self.plan.lanes
        several = cut.row_chunks > 1, cut.column_chunks > 1
        self.right_shared, self.left_shared = (cut.slices > 1 or x for x in several)
        self.left_shared = self.left_shared and self.left_way != DIRECT
        top = lanes if self.scaled else 0
        self.right_top = self.right_parts * self.padded * cut.columns
        self.panel_size = self.right_top + top
        self.row_pitch = row_pitch(self.left_parts * self.padded, lanes)
        self.left_top = cut.rows * self.row_pitch
        self.block_size = self.left_top + top
        panels, blocks = cut.panels_per_chunk, 1
        if self.right_shared:
            panels = self.shape.batch * cut.panels
        if self.left_shared:
            blocks = self.shape.batch * cut.blocks
        self.panels = _buffer("panels", panels * self.panel_size, self.right_shared)
        self.rows = _buffer("rows", blocks * self.block_size, self.left_shared)

    def pack_block(self, b: Expression, block: Expression, place: Expression) -> Body:
        cut, lanes, body = self.plan, self.plan.lanes, Body()
        row = smaller(block * cut.rows, self.shape.m - cut.rows)
        row = bind(body, "copied_row", row)
        high = min(cut.rows, lanes)
        starts = [row] if high == cut.rows else [row, row + (cut.rows - high)]
        copy = Copy(
            self.left, self.rows, self.shape.k, lanes, True, "rows",
            self.left_parts, self.padded,
        )  # fmt: skip
        if self.scaled:
            copy = self.scale(body, copy, b, starts, high, 0, place + self.left_top)
        return body + pack_row_pairs(
            copy, b, row, cut.rows, place, self.row_pitch, self.padded
        )

    def pack_columns(
        self,
        body: Body,
        copy: Copy,
        b: Expression,
        column: Callable[[int], Expression],
        place: Expression,
    ) -> None:
        cut, lanes = self.plan, self.plan.lanes
        copy = copy._replace(parts=self.right_parts, apart=self.padded * cut.columns)
        if self.scaled:
            tail = self.tail if self.masked else 0
            starts = [column(v) for v in range(cut.vectors)]
            # The last vector may have fewer columns than the others.
            copy = self.scale(
                body, copy, b, starts, lanes, tail, place + self.right_top
            )
        empty = self.padded - copy.steps
        if empty:
            at, lane = Variable("padded_step"), Variable("lane")
            to = place + (copy.steps * cut.columns + lane) + at * lanes
            zeros = copy.stored(to, [Constant(0, uint32)] * copy.parts)
            count = empty * cut.vectors
            body.append(For(at, count, [Vector(lane, lanes, lanes, zeros)]))
        super().pack_columns(body, copy, b, column, place)

    def scale(
        self,
        body: Body,
        copy: Copy,
        b: Expression,
        starts: list[Expression],
        extent: int,
        tail: int,
        place: Expression,
    ) -> Copy:
        """Choose what the numbers of a copy are multiplied by, and keep the largest."""
        found, top, least = extremes(
            copy.operand, b, starts, extent, tail, copy.k, copy.lanes, copy.name
        )
        body += found
        top = bind(body, f"{copy.name}_most", top)
        # The last bit of a number has the exponent of its field less this.
        field = Operation("bitwise_right_shift", (least, Constant(_FRACTION, uint32)))
        field = Operation("maximum", (field, Constant(1, uint32)))
        sum = Operation("add", (field, exponent_of_scale(top)))
        lost = Operation("less", (sum, Constant(_LEAST, uint32)), bool_)
        endless = Constant(ENDLESS, uint32)
        kept = Operation("select", (lost, endless, top), uint32)
        body.append(Store(copy.target, place, kept))
        bits = Operation(
            "bitwise_left_shift", (exponent_of_scale(top), Constant(_FRACTION, uint32))
        )
        scale = bind(body, f"{copy.name}_scale", Operation("bitcast", (bits,), float32))
        return copy._replace(scale=scale)


def _buffer(name: str, size: int, shared: bool) -> Buffer:
    return Buffer(name, uint32, size, "inout" if shared else "scratch")


def exponent_of_scale(top: Expression) -> Expression:
    """Return the field of the exponent of what numbers up to `top` are scaled by."""
    field = Operation("bitwise_right_shift", (top, Constant(_FRACTION, uint32)))
    wanted = Operation("subtract", (Constant(_WANTED + _BIAS, uint32), field))
    return Operation("minimum", (wanted, Constant(_MOST, uint32)))


def factors_of(
    body: Body, left: Expression, right: Expression, name: str
) -> tuple[Expression, Expression]:
    """Return two powers of two that undo two scales, one after the other.

    Args:
        left, right: the bits of the largest magnitudes.
    """
    both = Operation("add", (exponent_of_scale(left), exponent_of_scale(right)))
    # What undoes them may be no float32: take half of it twice. The sum of the fields
    # of the halves is twice the bias less the exponents, which are the fields less the
    # bias.
    whole = Operation("subtract", (Constant(4 * _BIAS, uint32), both))
    fields = bind(body, f"{name}_fields", whole)
    half = Operation("bitwise_right_shift", (fields, Constant(1, uint32)))
    first = bind(body, f"{name}_half", half)
    shift = Constant(_FRACTION, uint32)

    def power(field: Expression, name: str) -> Expression:
        bits = Operation("bitwise_left_shift", (field, shift))
        return bind(body, name, Operation("bitcast", (bits,), float32))

    rest = Operation("subtract", (fields, first))
    return power(first, f"{name}_first"), power(rest, f"{name}_second")
