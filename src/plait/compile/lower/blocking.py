"""How a matrix product is cut: into blocks that fill the registers, and into chunks.

Everything here is a function of shapes and of the target, never of how many threads
there are. Read first: `Facts`, `plan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...dtypes import DType

# A chunk is worth handing out above this many multiplications, some microseconds.
_CHUNK_PRODUCTS = 100_000
# More chunks than this are not needed to keep any number of cores busy.
MOST_CHUNKS = 64
# Rows that are worth copying the columns that they are multiplied by once more.
_COPY_ROWS = 128
# So few rows, that a right operand read in place is not met again in a cache.
_FEW_ROWS = 4
# Rows of memory read side by side, that the processor can still foresee.
_STREAMS = 16
_PAGE = 4096
# Accumulators needed so that the latency of an addition is hidden: two units, each
# taking four cycles.
_IN_FLIGHT = 8
_WIDEST = 7
# Of one row there is room for more, and the right operand is read as it lies.
_WIDEST_ROW = 8
# Cycles for a line of the right operand that comes from the second cache.
_LINE_CYCLES = 0.4
# Code for panels of two widths is twice as much; the same where it shall be small.
_TWO_WIDTHS, _TWO_WIDTHS_COMPACT = 1.02, 1.5
# Multiplications of a tile while there would be one of float32.
TILE_SPEED = 16
_PAIR_BYTES = 4
# Cycles that go with one block, whatever the length of its sums.
_BLOCK_CYCLES = 30


@dataclass(frozen=True)
class Facts:
    """What a machine can do, as far as it decides how products are cut.

    Attributes:
        vector_bytes: width of one vector register.
        registers: how many vector registers there are.
        fma: has a fused multiply-add.
        bf16_dot: has the instruction behind `dot_pairs`.
        tiles: rows of a tile, and pairs of bfloat16 in one; 0: it has no tiles.
        l1, l2: bytes of the first and the second cache of one core.
        lasting: what is made of a convolution's kernel is there from the last run.
        finer: chunks are worth handing out that are so many times smaller.
        compact: code shall be small rather than fit for every size.
        workgroup: bytes of scratch memory that the lanes of a chunk share, where these
            are invocations of a workgroup; 0 where they are not.
    """

    vector_bytes: int = 64
    registers: int = 32
    fma: bool = True
    bf16_dot: bool = False
    tiles: int = 0
    l1: int = 32 << 10
    l2: int = 1 << 20
    lasting: bool = False
    finer: int = 1
    compact: bool = False
    workgroup: int = 0

    def lanes(self, dtype: DType) -> int:
        """Return how many numbers of `dtype` one register holds."""
        return max(2, self.vector_bytes // dtype.itemsize)


class Shape(NamedTuple):
    """The extents of a product: `batch` of (m x k) by (k x n)."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def products(self) -> int:
        """The number of multiplications."""
        return self.batch * self.m * self.n * self.k


class Plan(NamedTuple):
    """A product cut into blocks of `rows` rows and `vectors` or one vector less.

    Attributes:
        lanes: columns in one vector.
        rows: rows of one block; the last one begins early enough to have as many.
        blocks: blocks of rows.
        vectors: vectors of columns in one of the first `wide` panels; those after have
            one less.
        panels, wide: panels of columns, all and those with `vectors` vectors.
        spread: separate sums for each element, over every `spread`th product.
        slice: steps of the sum that are taken before the next block is.
        items: of the batch, in one chunk.
        blocks_per_chunk, panels_per_chunk: the part of one product in one chunk.
    """

    lanes: int
    rows: int
    blocks: int
    vectors: int
    panels: int
    wide: int
    spread: int
    slice: int
    steps: int
    items: int
    blocks_per_chunk: int
    panels_per_chunk: int

    @property
    def row_chunks(self) -> int:
        """Chunks that the rows of one product are cut into."""
        return ceil(self.blocks, self.blocks_per_chunk)

    @property
    def column_chunks(self) -> int:
        """Chunks that the columns of one product are cut into."""
        return ceil(self.panels, self.panels_per_chunk)

    @property
    def slices(self) -> int:
        """Slices that the sum is cut into."""
        return ceil(self.steps, self.slice)

    @property
    def columns(self) -> int:
        """Columns in the widest panel."""
        return self.vectors * self.lanes


def ceil(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def plan(shape: Shape, lanes: int, facts: Facts, itemsize: int, packed: bool) -> Plan:
    """Choose the blocks and the chunks of a product.

    Args:
        itemsize: bytes of a number as it is multiplied.
        packed: each chunk copies its columns of the right operand first.
    """
    rows, vectors = _block(shape, lanes, facts)
    all_vectors = ceil(shape.n, lanes)
    blocks, panels = ceil(shape.m, rows), ceil(all_vectors, vectors)
    wide = all_vectors - panels * (vectors - 1)
    spread, held = 1, rows * vectors
    while (
        spread < 4
        and spread * held < _IN_FLIGHT
        and 2 * spread * held + vectors < facts.registers
        and shape.k > 8 * spread
    ):
        spread *= 2
    items, parts = _chunks(shape, facts)
    slice = _slice(shape, itemsize, facts, packed)
    panel_bytes = slice * vectors * lanes * itemsize
    if slice < shape.k:
        # The rows of one chunk are met again for each of its panels.
        most = max(1, facts.l2 // 3 // (slice * rows * itemsize))
        row_parts = ceil(blocks, most)
        most = max(1, facts.l2 // 4 // panel_bytes)
        panels_per_chunk = min(most, ceil(panels, ceil(parts, row_parts)))
        spread = 1
    else:
        panels_per_chunk = ceil(panels, parts)
        if packed:
            # The panels of one chunk are met again for each block of rows.
            most = max(1, facts.l2 // 2 // panel_bytes)
            panels_per_chunk = min(panels_per_chunk, most)
        row_parts = max(1, parts // ceil(panels, panels_per_chunk))
        if packed:
            # Each of these parts copies the same columns again.
            row_parts = min(row_parts, max(1, shape.m * facts.finer // _COPY_ROWS))
    blocks_per_chunk = ceil(blocks, row_parts)
    return Plan(
        lanes, rows, blocks, vectors, panels, wide, spread, slice, shape.k, items,
        blocks_per_chunk, panels_per_chunk,
    )  # fmt: skip


def plan_tiles(
    shape: Shape, depth: int, parts: int, products: int, facts: Facts
) -> Plan:
    """Choose the blocks, of up to two tiles each way, and the chunks of a product.

    A step of the plan is one tile along the sum.

    Args:
        depth: pairs of bfloat16 in the row of a tile of the left operand.
        parts: how many bfloat16 a number of the right operand is copied as.
        products: how many tiles are multiplied for one of the result, at one step.
    """
    lanes = facts.tiles
    blocks, all_vectors = ceil(shape.m, 2 * lanes), ceil(shape.n, lanes)
    rows, vectors = ceil(shape.m, blocks), min(2, all_vectors)
    panels = ceil(all_vectors, vectors)
    wide = all_vectors - panels * (vectors - 1)
    steps = ceil(shape.k, 2 * depth)
    work = shape._replace(k=ceil(steps * 2 * depth * products, TILE_SPEED))
    items, wanted = _chunks(work, facts)
    # The fewer rows and columns a chunk reads for its part of the result, the better.
    cuts = []
    for column_parts in range(1, min(wanted, panels) + 1):
        row_parts = min(blocks, ceil(wanted, column_parts))
        cuts.append((ceil(blocks, row_parts), ceil(panels, column_parts)))
    enough = [x for x in cuts if ceil(blocks, x[0]) * ceil(panels, x[1]) >= wanted]
    chosen = min(enough or cuts, key=lambda x: (x[0] + x[1], x))
    # The panel of a slice stays in the second cache, with others and with rows.
    most = facts.l2 // 8 // (vectors * lanes * depth * _PAIR_BYTES * parts)
    slice = steps
    if steps > most:
        slice = ceil(steps, ceil(steps, max(1, most)))
    return Plan(
        lanes, rows, blocks, vectors, panels, wide, 1, slice, steps, items, *chosen
    )


def _slice(shape: Shape, itemsize: int, facts: Facts, packed: bool) -> int:
    """Return how much of a long sum is taken at once, so that it stays in caches."""
    size = shape.k * itemsize
    if shape.m <= _FEW_ROWS and not packed:
        # The right operand is read once only: in the order in which it lies.
        far = shape.n * itemsize >= _PAGE and shape.k > _STREAMS
        return _STREAMS if far else shape.k
    if size <= facts.l1 // 8:
        return shape.k
    return ceil(shape.k, ceil(size, facts.l1 // 16))


def _chunks(shape: Shape, facts: Facts) -> tuple[int, int]:
    """Return how many of the batch one chunk takes, and the parts of one product."""
    one = shape.m * shape.n * shape.k
    # With few rows it is memory that takes the time.
    enough = _CHUNK_PRODUCTS // (3 if shape.m <= _FEW_ROWS else 1) // facts.finer
    wanted = min(MOST_CHUNKS * facts.finer, max(1, shape.products // enough))
    if shape.batch >= wanted:
        return ceil(shape.batch, wanted), 1
    return 1, min(ceil(wanted, shape.batch), max(1, one // enough))


def _block(shape: Shape, lanes: int, facts: Facts) -> tuple[int, int]:
    """Return the rows and vectors of the block that takes the fewest cycles."""
    all_vectors = ceil(shape.n, lanes)
    best = (0.0, 0, 0)
    widest = _WIDEST_ROW if shape.m == 1 else _WIDEST
    for vectors in range(1, min(widest, all_vectors) + 1):
        # One register holds the number of the left operand, `vectors` of the right.
        most = min((facts.registers - 1 - vectors) // vectors, 24)
        if most < 1:
            break
        blocks = ceil(shape.m, most)
        rows = ceil(shape.m, blocks)
        panels = ceil(all_vectors, vectors)
        if vectors > ceil(all_vectors, panels):
            continue  # as many narrower panels do
        wide = all_vectors - panels * (vectors - 1)
        outside = shape.k * vectors * facts.vector_bytes > facts.l1
        line = _LINE_CYCLES if outside else 0.0
        cycles = wide * _cycles(rows, vectors, shape.k, line)
        if wide < panels:
            cycles += (panels - wide) * _cycles(rows, vectors - 1, shape.k, line)
            cycles *= _TWO_WIDTHS_COMPACT if facts.compact else _TWO_WIDTHS
        if not best[1] or blocks * cycles < 0.99 * best[0]:
            best = (blocks * cycles, rows, vectors)
    return best[1], best[2]


def _cycles(rows: int, vectors: int, k: int, line: float) -> float:
    """Return an estimate of the time of one block."""
    products, loads = rows * vectors, rows + vectors
    step = max(products, loads * 1.05) / 2 + vectors * line
    return k * step + _BLOCK_CYCLES + 2 * products
