"""Which parts of the operands of a product are copied, where to, and when.

Numbers are read in place where the inner loop can. They are copied where they must be
converted or turned, or lie so that the caches could not hold them. A chunk copies what
it needs itself; where several chunks need the same, a kernel before them does it once.

Read first: `Copies`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...dtypes import DType, bfloat16, bool_, float32, uint32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    If,
    Kernel,
    Load,
    Operation,
    Variable,
)
from .blocking import Facts, Plan, ceil, plan
from .pack import Copy, pack_rows, pack_steps, row_pitch
from .product import Contraction, Operand, Piece, bind, count_from, smaller

# An operand of less than so many elements at a line of memory each is read in place.
_SPREAD_REUSE = 96
# Products of this many multiplications are worth a kernel of its own for a copy.
_SHARED_PRODUCTS = 6_000_000
# Addresses so far apart have the same place in the first cache of most machines.
_PAGE = 4096
# Lines of memory no further apart are fetched before they are needed.
_DENSE = 512
# Elements of a copy that one chunk makes.
_COPY_CHUNK = 32_000

DIRECT, ROWS, STEPS = "direct", "rows", "steps"


class Copies:
    """The plan of a product, and the copies that go with it.

    Attributes:
        pairs: two steps of the sum are one, of pairs of bfloat16.
        steps: of the sum.
        plan: how the product is cut.
        tail: columns in the last vector, if they are less than its lanes, else 0.
        masked: whether the last vector of the only panel has less than all lanes.
        left_way: how the left operand's numbers lie: DIRECT, where they are; or in a
            copy, ROWS as [row][step], or STEPS as [block][step][row].
        left_shared, right_shared: the copy is made by a kernel of its own.
        panels, rows: the copies of the right and of the left operand.
        panel_size, block_size: elements of one panel; of one block, or row.
        row_pitch: how far steps are apart in a block, or rows.
    """

    def __init__(
        self, contraction: Contraction, left: Operand, right: Operand, facts: Facts
    ) -> None:
        self.contraction = contraction
        self.shape, self.dtype = contraction.shape, contraction.sum_dtype
        self.left, self.right, self.facts = left, right, facts
        self.find_way()
        self.steps = ceil(self.shape.k, 2) if self.pairs else self.shape.k
        self.plan = cut = self.find_plan()
        self.tail = self.shape.n % cut.lanes
        self.masked = cut.panels == 1 and bool(self.tail)
        self.find_sizes()

    def find_way(self) -> None:
        """Find out how the operands are read."""
        left, right, facts = self.left, self.right, self.facts
        self.pairs = in_pairs(self.contraction, left, right, facts)
        self.packs_right = self.pairs or _packs_right(self.contraction, right, facts)
        self.left_way = self.find_left_way()

    def find_plan(self) -> Plan:
        """Return how the product is cut."""
        step = self.shape._replace(k=self.steps)
        lanes, size = self.facts.lanes(self.dtype), self.dtype.itemsize
        return plan(step, lanes, self.facts, size, self.packs_right)

    def find_sizes(self) -> None:
        """Set who makes the copies, and their sizes: they lie as they will be read."""
        cut, shape, dtype, lanes = self.plan, self.shape, self.dtype, self.plan.lanes
        large = shape.products >= _SHARED_PRODUCTS
        sliced = cut.slices > 1
        self.left_shared = self.left_way != DIRECT and (
            sliced or (large and cut.column_chunks > 1) or self.contraction.fixed[0]
        )
        # Pairs of a slice might begin at an odd number.
        self.right_shared = self.packs_right and (
            (sliced and self.pairs)
            or (large and cut.row_chunks > 1)
            or self.contraction.fixed[1]
        )
        packed = uint32 if self.pairs else dtype
        steps = self.steps if self.right_shared else cut.slice
        self.panel_size = cut.columns * steps
        panels = cut.panels_per_chunk
        if self.right_shared:
            panels = shape.batch * cut.panels
        access = "inout" if self.right_shared else "scratch"
        self.panels = Buffer("panels", packed, panels * self.panel_size, access)
        self.row_pitch = ceil(cut.rows, lanes) * lanes
        # An odd number of lines, as in `row_pitch`.
        size, count = self.row_pitch * (self.steps | 1), cut.blocks
        if self.left_way == ROWS:
            self.row_pitch = row_pitch(shape.k, lanes)
            size, count = self.row_pitch, shape.m
        self.block_size = size
        if self.left_shared:
            size *= shape.batch * count
        elif self.left_way == ROWS:
            size *= cut.rows
        access = "inout" if self.left_shared else "scratch"
        self.rows = Buffer("rows", packed, size, access)

    def find_left_way(self) -> str:
        left, shape = self.left, self.shape
        if self.pairs:
            direct = pairs_of(left, shape.k) and not self.crowded()
            return DIRECT if direct else STEPS
        plain = left.dtype is self.dtype and None not in (
            left.outer_stride,
            left.k_stride,
        )
        if left.outer_stride != 1 or left.k_stride == 1:
            return DIRECT if plain and not self.crowded() else ROWS
        if plain and (
            min(shape.n, 2 * shape.m) < _SPREAD_REUSE
            or _stays(shape.k, left.k_stride, self.dtype, self.facts)
        ):
            return DIRECT
        return STEPS

    def crowded(self) -> bool:
        """Whether rows of the left operand share their places in the first cache: they
        drive each other out.
        """
        left, shape = self.left, self.shape
        bytes = math.gcd((left.outer_stride or 0) * left.dtype.itemsize, _PAGE)
        crowded = bytes == _PAGE and shape.n >= _SPREAD_REUSE
        return crowded and shape.products >= _SHARED_PRODUCTS and shape.m >= 8

    @property
    def copies_panels(self) -> bool:
        """Whether a chunk copies panels itself."""
        return self.packs_right and not self.right_shared

    @property
    def copies_rows(self) -> bool:
        """Whether a chunk copies rows itself."""
        return self.left_way != DIRECT and not self.left_shared

    def scratch(self) -> list[Buffer]:
        """Return the memory of the copies that a chunk makes."""
        made = ((self.copies_panels, self.panels), (self.copies_rows, self.rows))
        return [buffer for here, buffer in made if here]

    def pieces(self, name: str) -> list[Piece]:
        """Return the kernels that copy for all chunks."""
        pieces = []
        if self.right_shared:
            pieces.append(self.copied_panels(f"{name}_columns"))
        if self.left_shared:
            pieces.append(self.copied_rows(f"{name}_rows"))
        return pieces

    # Kernels

    def copied_panels(self, name: str) -> Piece:
        """Return what copies the whole right operand, a panel in each chunk."""
        cut, body = self.plan, Body()
        b, panel = self.divided(body, cut.panels)
        place = bind(body, "place", Kernel.CHUNK * self.panel_size)
        body += self.pack_panel(b, panel, place)
        return Piece(name, body, self.shape.batch * cut.panels, (), (self.panels,))

    def copied_rows(self, name: str) -> Piece:
        """Return what copies the whole left operand."""
        cut, shape, body = self.plan, self.shape, Body()
        count = shape.m if self.left_way == ROWS else cut.blocks
        size = self.block_size
        if self.left_way == STEPS and self.left.outer_stride == 1:
            return self.copied_steps(name)
        each = max(1, min(count, _COPY_CHUNK // size))
        parts = -(-count // each)
        b, part = self.divided(body, parts)
        first = bind(body, "first", part * each)
        each_here = bind(body, "count", count_from(first, each, count))
        if self.left_way == ROWS:
            place = bind(body, "place", (b * count + first) * size)
            body += pack_rows(self.left_copy(), b, first, each_here, place, size)
        else:
            at = Variable("at")
            inner = Body()
            block = bind(inner, "block", smaller(first + at, count - 1))
            place = bind(inner, "place", (b * count + block) * size)
            body.append(For(at, each_here, inner + self.pack_block(b, block, place)))
        return Piece(name, body, shape.batch * parts, (), (self.rows,))

    def copied_steps(self, name: str) -> Piece:
        """Return what copies a left operand of which each step lies side by side.

        It is read in the order in which it lies, by steps, and written into all blocks.
        """
        cut, shape, body = self.plan, self.shape, Body()
        whole = shape.k // 2 if self.pairs else shape.k
        each = max(1, min(whole, _COPY_CHUNK // (cut.blocks * self.row_pitch)))
        parts = -(-whole // each)
        b, part = self.divided(body, parts)
        first = bind(body, "first", part * each)
        each_here = bind(body, "count", count_from(first, each, whole))
        at, block = Variable("at"), Variable("block")
        copy = self.left_copy()
        vectors = self.row_pitch // cut.lanes

        def blocks(step: Expression, odd: bool) -> Body:
            inner = Body()
            row = bind(inner, "row", smaller(block * cut.rows, shape.m - cut.rows))
            place = (b * cut.blocks + block) * self.block_size
            place = bind(inner, "place", place)
            for v in range(vectors):
                inner += copy.vector(
                    b, row + v * cut.lanes, step, v, vectors,
                    cut.rows % cut.lanes, place, odd,
                )  # fmt: skip
            return [For(block, cut.blocks, inner)]

        inner = Body()
        step = bind(inner, "step", smaller(first + at, whole - 1))
        body.append(For(at, each_here, inner + blocks(step, False)))
        if whole < self.steps:
            last = blocks(Constant(whole, at.dtype), True)
            is_last = (part, Constant(parts - 1, part.dtype))
            body.append(If(Operation("equal", is_last, bool_), last))
        return Piece(name, body, shape.batch * parts, (), (self.rows,))

    def divided(self, body: Body, parts: int) -> tuple[Expression, Expression]:
        """Return the item of the batch, and the part of it, that a chunk has."""
        zero = Constant(0, Kernel.CHUNK.dtype)
        if self.shape.batch == 1:
            return zero, Kernel.CHUNK if parts > 1 else zero
        b = bind(body, "b", Kernel.CHUNK // parts)
        return b, bind(body, "part", Kernel.CHUNK % parts)

    def left_copy(self) -> Copy:
        return Copy(
            self.left, self.rows, self.shape.k, self.plan.lanes, self.pairs, "rows",
            compact=self.facts.compact,
        )  # fmt: skip

    def pack_block(self, b: Expression, block: Expression, place: Expression) -> Body:
        """Copy one block of rows, as [step][row]."""
        cut = self.plan
        body = Body()
        row = smaller(block * cut.rows, self.shape.m - cut.rows)
        row = bind(body, "copied_row", row)
        body += pack_steps(
            self.left_copy(), b, lambda v: row + v * cut.lanes,
            self.row_pitch // cut.lanes, cut.rows % cut.lanes, place,
        )  # fmt: skip
        return body

    def pack_panel(self, b: Expression, panel: Expression, place: Expression) -> Body:
        """Copy one panel of columns."""
        return self.pack_part(b, panel, place, self.right, self.shape.k)

    def pack_part(
        self,
        b: Expression,
        panel: Expression,
        place: Expression,
        right: Operand,
        k: int,
    ) -> Body:
        cut, n = self.plan, self.shape.n
        body = Body()
        vectors = panel * cut.vectors
        if cut.wide < cut.panels:
            vectors = panel * (cut.vectors - 1) + smaller(panel, cut.wide)
        first: Expression = vectors * cut.lanes
        if self.tail and not self.masked:
            last = cut.vectors - (cut.wide < cut.panels)
            first = smaller(first, n - last * cut.lanes)
        first = bind(body, "copied_column", first)

        def column(v: int) -> Expression:
            # A panel has one vector less, maybe; it does not matter what is there.
            at = first + v * cut.lanes
            return at if cut.panels == 1 else smaller(at, n - cut.lanes)

        copy = Copy(
            right, self.panels, k, cut.lanes, self.pairs, "columns",
            compact=self.facts.compact,
        )  # fmt: skip
        self.pack_columns(body, copy, b, column, place)
        return body

    def pack_columns(
        self,
        body: Body,
        copy: Copy,
        b: Expression,
        column: Callable[[int], Expression],
        place: Expression,
    ) -> None:
        """Copy the columns of one panel, given the first one of each vector."""
        tail = self.tail if self.masked else 0
        body += pack_steps(copy, b, column, self.plan.vectors, tail, place)


def _packs_right(contraction: Contraction, right: Operand, facts: Facts) -> bool:
    """Whether panels of the right operand are copied."""
    dtype, shape = contraction.sum_dtype, contraction.shape
    if right.dtype is not dtype or right.k_stride is None:
        return True
    if right.outer_stride != 1:
        return shape.n > 1
    if shape.m < _SPREAD_REUSE:
        return False
    return not _stays(shape.k * 2, right.k_stride, dtype, facts)


def _stays(count: int, stride: int | None, dtype: DType, facts: Facts) -> bool:
    """Whether lines of memory so far apart can all stay in the second cache.

    Where they are apart by a multiple of a power of two they share a part of it.
    """
    if stride is None:
        return False
    if stride * dtype.itemsize <= _DENSE:
        return True  # read as it lies
    part = facts.l2 // 16
    lines = facts.l2 // facts.vector_bytes
    bytes = math.gcd(stride * dtype.itemsize, part)
    return count <= min(lines // 8, lines * facts.vector_bytes // (2 * bytes))


def pairs_of(
    operand: Operand, k: int
) -> Callable[[Expression, Expression, Expression], Load] | None:
    """Return what loads pairs of an operand where they are, if that can be."""
    return operand.pairs if k % 2 == 0 else None


def in_pairs(
    contraction: Contraction, left: Operand, right: Operand, facts: Facts
) -> bool:
    """Whether products of bfloat16 are added up two at a time."""
    if contraction.sum_dtype is not float32 or not facts.bf16_dot:
        return False
    if contraction.shape.k < 2:
        return False
    narrow = left.dtype is bfloat16 and right.dtype is bfloat16
    fast = contraction.precision == "fast" and contraction.dtype is float32
    return narrow or (fast and contraction.shape.k >= 32)
