"""Products on machines whose lanes are invocations that share the scratch memory of a
chunk: on graphics cards.

A chunk is a workgroup. It has a tile of the result, and each of its lanes some elements
of that in registers. All lanes together copy the part of both operands that is
multiplied next into scratch memory; so what lies far away is read once for the tile.
There it is turned, converted, and padded with zeros. A lane's elements are as far apart
as there are lanes side by side: neighbouring lanes then load and store neighbours.

    16 lanes as 4 by 4, 2 by 2 elements each:   0  1  2  3  0  1  2  3
                                                4  5  6  7  4  5  6  7
                                                8  9 10 11  8  9 10 11
                                                ...

Read first: `cut_of`, `lower_workgroup`.
"""

from __future__ import annotations

from typing import NamedTuple

from ...dtypes import float32
from ..loops.grammar import (
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Get,
    Kernel,
    Load,
    Operation,
    Registers,
    Set,
    Statement,
    Store,
    Variable,
    Vector,
)
from ..loops.traverse import ordered, roots
from .blocking import Facts, Shape, ceil
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    all_true,
    as_dtype,
    bind,
    multiply_add,
    smaller,
)

# Workgroups that keep a card busy.
BUSY = 128
# What an element costs that is copied, in products; and one that a lane takes from it.
_COPIED, _TAKEN = 8.0, 1.0
# What a step costs besides.
_STEP = 2.0
# Elements of the result that a lane has, at most, in all and each way.
_MOST, _LONGEST = 32, 8
# Steps of the sum that are copied at once, at most.
_DEEPEST = 32
# Expressions of what is done with the elements of a lane, if it is written out for
# each of them; elements that go through memory at once, else; and copies that are
# written out.
_SHORT, _TOGETHER, _COPIES = 200, 16, 4


class Cut(NamedTuple):
    """How a product is cut into tiles.

    Attributes:
        lanes_down, lanes_across: how the lanes lie on the tile.
        down, across: elements of each lane.
        depth: steps of the sum that are copied at once.
    """

    lanes_down: int
    lanes_across: int
    down: int
    across: int
    depth: int

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return self.lanes_down * self.down

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.lanes_across * self.across

    def tiles(self, shape: Shape) -> int:
        """Return how many tiles a product has."""
        return shape.batch * ceil(shape.m, self.rows) * ceil(shape.n, self.columns)


def wants_workgroup(contraction: Contraction, facts: Facts) -> bool:
    """Whether a product is computed by workgroups."""
    return facts.workgroup > 0 and contraction.sum_dtype.bits == 32


def cut_of(shape: Shape, lanes: int, room: int) -> Cut:
    """Return the tiles that take the least time.

    There should be enough of them for a whole card, and large ones: of a tile with as
    many rows as columns each element is read once for as many products.

    Args:
        room: bytes of scratch memory for parts of the operands.
    """
    each = [1 << i for i in range(_LONGEST.bit_length())]
    sides = [1 << i for i in range(lanes.bit_length())]
    cuts = [
        Cut(side, lanes // side, down, across, 1)
        for side in sides
        for down in each
        for across in each
        if down * across <= _MOST
    ]

    def time(cut: Cut) -> float:
        copied = _COPIED * (cut.rows + cut.columns) / lanes
        taken = _TAKEN * (cut.down + cut.across)
        step = cut.down * cut.across + taken + copied + _STEP
        return max(cut.tiles(shape), BUSY) * step

    # Of equals the one with the squarest tiles.
    best = min(cuts, key=lambda cut: (time(cut), abs(cut.rows - cut.columns)))
    most = min(_DEEPEST, max(1, room // 4 // (best.rows + best.columns + 2)))
    # Nearly equal parts: no more zeros than must be.
    return best._replace(depth=ceil(shape.k, ceil(shape.k, most)))


def tiles_of(shape: Shape, facts: Facts) -> int:
    """Return how many tiles a product of float32 has."""
    return cut_of(shape, facts.lanes(float32), facts.workgroup).tiles(shape)


def lower_workgroup(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    facts: Facts,
    name: str,
) -> list[Piece]:
    """Return the loops of a product, a tile of the result in each chunk."""
    tile = _Tile(contraction, left, right, finish, facts)
    return [Piece(name, tile.chunk(), tile.cut.tiles(contraction.shape), tile.scratch)]


class _Side:
    """One operand, and the part of it that is in scratch memory.

    Args:
        size: elements of the tile along it, of `extent` in all.
    """

    def __init__(
        self, name: str, operand: Operand, size: int, extent: int, tile: _Tile
    ) -> None:
        self.operand, self.size, self.extent = operand, size, extent
        self.along_sum = operand.along_sum or operand.k_stride == 1
        # Lanes that store what lies along the sum are so far apart: an odd number, as
        # scratch memory has banks.
        self.pitch = size + 1 if self.along_sum and size % 2 == 0 else size
        depth = tile.cut.depth
        self.memory = Buffer(name, tile.dtype, depth * self.pitch, "scratch")

    def at(self, step: Expression, place: Expression) -> Load:
        """Return an element from scratch memory."""
        return Load(self.memory, step * self.pitch + place)


class _Tile:
    """Writes the body of the kernel."""

    def __init__(
        self,
        contraction: Contraction,
        left: Operand,
        right: Operand,
        finish: Finish,
        facts: Facts,
    ) -> None:
        self.shape, self.dtype = contraction.shape, contraction.sum_dtype
        self.facts, self.finish = facts, finish
        self.lanes = facts.lanes(self.dtype)
        cut = cut_of(self.shape, self.lanes, facts.workgroup)
        elements = cut.down * cut.across
        # Registers have no numbers while code runs: to be finished in a loop elements
        # go through memory, where each lane meets its own.
        self.together = 0
        if elements * self.length() > _SHORT:
            self.together = min(elements, _TOGETHER)
            room = facts.workgroup - self.together * self.lanes * self.dtype.itemsize
            cut = cut_of(self.shape, self.lanes, room)
        self.cut = cut
        self.left = _Side("left", left, cut.rows, self.shape.m, self)
        self.right = _Side("right", right, cut.columns, self.shape.n, self)
        self.zero = Constant(0.0 if self.dtype.is_float else 0, self.dtype)
        self.sums = Registers("sums", self.dtype, elements, self.lanes)
        self.done = Buffer("done", self.dtype, self.together * self.lanes, "scratch")
        self.scratch: tuple[Buffer, ...] = (self.left.memory, self.right.memory)
        if self.together:
            self.scratch = (*self.scratch, self.done)

    def chunk(self) -> Body:
        """Return the body of the kernel."""
        cut, shape = self.cut, self.shape
        down, across = ceil(shape.m, cut.rows), ceil(shape.n, cut.columns)
        body = Body()
        self.b = bind(body, "b", _part(Kernel.CHUNK, shape.batch, down * across))
        here = Kernel.CHUNK % (down * across) if shape.batch > 1 else Kernel.CHUNK
        row = bind(body, "row", _part(here, down, across) * cut.rows)
        last = here % across if across > 1 else _number(0)
        column = bind(body, "column", last * cut.columns)
        self.first = (row, column)
        body.append(self.sums)
        steps = ceil(shape.k, cut.depth)
        step = Variable("step") if steps > 1 else _number(0)
        inside = Body()
        start = bind(inside, "start", step * cut.depth)
        inside += self.copied(self.left, row, start, "x")
        inside += self.copied(self.right, column, start, "y")
        inside.append(self.products())
        if isinstance(step, Variable):
            inside = [For(step, steps, inside)]
        return [*body, *inside, *self.finished()]

    def copied(
        self, side: _Side, first: Expression, start: Expression, name: str
    ) -> Body:
        """Return what copies a part of an operand into scratch memory."""
        depth, lanes, lane = self.cut.depth, self.lanes, Variable("lane")

        def vector(number: Expression | int, extent: int) -> Statement:
            body = Body()
            place = bind(body, f"{name}_place", number * lanes + lane)
            fast, slow = (depth, side.size) if side.along_sum else (side.size, depth)
            slow_place = bind(body, f"{name}_slow", _part(place, slow, fast))
            fast_place = bind(body, f"{name}_fast", _rest(place, slow, fast))
            within, outer = (
                (fast_place, slow_place) if side.along_sum else (slow_place, fast_place)
            )
            k = bind(body, f"{name}_k", start + within)
            at = first + outer
            if side.extent % side.size:
                at = smaller(at, side.extent - 1)
            at = bind(body, f"{name}_at", at)
            there = k
            if self.shape.k % depth:
                there = bind(body, f"{name}_there", smaller(k, self.shape.k - 1))
            value = as_dtype(side.operand.load(self.b, at, there), self.dtype)
            if self.shape.k % depth:
                value = bind(body, f"{name}_value", value)
                test = k < self.shape.k
                value = Operation("select", (test, value, self.zero), self.dtype)
            body.append(Store(side.memory, within * side.pitch + outer, value))
            return Vector(lane, extent, lanes, body)

        full, rest = divmod(depth * side.size, lanes)
        number, turn = Variable(f"{name}_number"), Variable(f"{name}_turn")
        found: Body = []
        most = _COPIES if side.operand.outer_stride is not None else 1
        if full > most:
            together = next(n for n in range(most, 0, -1) if full % n == 0)
            each = vector(turn * together + number, lanes)
            copies: Body = [For(number, together, [each], UNROLL)]
            found.append(For(turn, full // together, copies))
        elif full:
            found.append(For(number, full, [vector(number, lanes)], UNROLL))
        if rest:
            found.append(vector(full, rest))
        return found

    def place(self, body: Body) -> tuple[Expression, Expression]:
        """Return the row and the column of the lane, among lanes."""
        across, lane = self.cut.lanes_across, Variable("lane")
        down = self.cut.lanes_down
        return (
            bind(body, "lane_row", _part(lane, down, across)),
            bind(body, "lane_column", _rest(lane, down, across)),
        )

    def products(self) -> Statement:
        """Return the loop that adds the products of a part of the operands."""
        cut, lane, step = self.cut, Variable("lane"), Variable("k")
        body = Body()
        row, column = self.place(body)
        rows = [
            bind(body, f"x{i}", self.left.at(step, row + i * cut.lanes_down))
            for i in range(cut.down)
        ]
        columns = [
            bind(body, f"y{j}", self.right.at(step, column + j * cut.lanes_across))
            for j in range(cut.across)
        ]
        for i, x in enumerate(rows):
            for j, y in enumerate(columns):
                number = i * cut.across + j
                total = multiply_add(x, y, Get(self.sums, number), self.facts)
                body.append(Set(self.sums, number, total))
        return For(step, cut.depth, [Vector(lane, self.lanes, self.lanes, body)])

    def finished(self) -> Body:
        """Return what finishes all elements of the tile."""
        cut, lanes, lane = self.cut, self.lanes, Variable("lane")
        elements, together = cut.down * cut.across, self.together
        if not together:
            return [
                self.element(_number(number), Get(self.sums, number))
                for number in range(elements)
            ]
        body = Body()
        for first in range(0, elements, together):
            inner: Body = [
                Store(self.done, i * lanes + lane, Get(self.sums, first + i))
                for i in range(together)
            ]
            body.append(Vector(lane, lanes, lanes, inner))
            i = Variable("i")
            element = self.element(i + first, Load(self.done, i * lanes + lane))
            body.append(For(i, together, [element]))
        return body

    def length(self) -> int:
        """Return how many expressions finish an element."""
        b, m, n = (Variable(name) for name in ("b", "m", "n"))
        found = self.finish(b, m, n, Variable("value", self.dtype))
        return len(ordered([one for statement in found for one in roots(statement)]))

    def element(self, number: Expression, value: Expression) -> Statement:
        """Return what finishes one element of each lane."""
        cut, lane = self.cut, Variable("lane")
        body = Body()
        row, column = number // cut.across, number % cut.across
        places: list[Expression] = []
        tests: list[Expression] = []
        for first, own, at, side, name in zip(
            self.first, self.place(body), (row, column), (self.left, self.right), "mn",
            strict=True,
        ):  # fmt: skip
            each = cut.lanes_down if side is self.left else cut.lanes_across
            at = bind(body, name, first + at * each + own)
            if side.extent % side.size:
                tests.append(at < side.extent)
                at = bind(body, f"{name}_there", smaller(at, side.extent - 1))
            places.append(at)
        value = bind(body, "value", value)
        statements = self.finish(self.b, places[0], places[1], value)
        test = all_true(tests)
        if test is not None:
            test = bind(body, "inside", test)
            statements = [_where(one, test) for one in statements]
        return Vector(lane, self.lanes, self.lanes, [*body, *statements])


def _number(value: int) -> Constant:
    return Constant(value, Variable("").dtype)


def _part(place: Expression, number: int, size: int) -> Expression:
    """Return `place // size`, of which there are `number`."""
    return place // size if number > 1 else _number(0)


def _rest(place: Expression, number: int, size: int) -> Expression:
    """Return `place % size`."""
    return place % size if number > 1 else place


def _where(statement: Statement, test: Expression) -> Statement:
    """Return a statement that stores only where a test is true."""
    if not isinstance(statement, Store):
        return statement
    old = statement.condition
    condition = all_true([test] if old is None else [test, old])
    return Store(statement.buffer, statement.index, statement.value, condition)
