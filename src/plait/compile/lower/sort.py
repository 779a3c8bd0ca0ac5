"""Sorting rows, and the first few of a sorted row.

A row is cut into equal runs of at most 16 numbers. In a run each number counts those
that come before it, which is its place. Then pairs of runs are merged, from both ends
at once: two chains of comparisons that do not wait for one another, without branches
and without looking whether a run has ended, as neither end goes beyond the half. All
steps keep the order of equal numbers.

Read first: `lower_sort`, `_Rows`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...dtypes import DType, bool_, int32, int64, uint32
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import (
    UNROLL,
    Body,
    Buffer,
    Constant,
    Expression,
    Fold,
    For,
    Get,
    If,
    Kernel,
    Let,
    Load,
    Operation,
    Registers,
    Set,
    Statement,
    Store,
    Variable,
    Vector,
)
from .chunk import CHUNK_COST, Blocks
from .keys import key_dtype, key_of, most
from .lowered import Lanes, Lowered
from .piece import Piece

# Numbers of a run, and lanes that order it.
_RUN = 16
# So many of the largest are kept in order while a row is looked through.
_FEW = 32
# Vectors that are looked at together: whether one of the numbers is among the largest.
_TOGETHER = 4


def lower_sort(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel that sorts rows."""
    return _lowered(node, results, name, None, node.attributes["descending"])


def lower_top_k(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel that finds the largest numbers of rows."""
    return _lowered(node, results, name, node.attributes["k"], True)


def _lowered(
    node: Node,
    results: Sequence[Hashable],
    name: str,
    wanted: int | None,
    descending: bool,
) -> Lowered | None:
    (x,) = node.operands
    axis = node.attributes["axis"]
    n = x.shape[axis]
    if n >= 1 << 30:
        return None
    rows = _Rows(x, axis, n if wanted is None else wanted, descending)
    few = wanted is not None and wanted <= _FEW and n >= 4 * wanted
    body = rows.selected() if few else rows.sorted()
    cost = n if few else n * (4 * rows.levels + _RUN)
    blocks = Blocks(rows.count, CHUNK_COST // max(cost, 1))
    start: Body = [
        Let(rows.first, blocks.place // rows.inner * (n * rows.inner)
            + blocks.place % rows.inner),
        Let(rows.target, blocks.place // rows.inner * (rows.wanted * rows.inner)
            + blocks.place % rows.inner),
    ]  # fmt: skip
    kernel = Kernel(
        name,
        (rows.x, rows.values, rows.indices),
        blocks.loop([*start, *body]),
        blocks.chunks,
        (rows.keys, rows.places),
    )
    work = Work(rows.count * cost, x.type.nbytes)
    return Lowered([Piece(kernel, (x, *results), work)])


class _Rows:
    """What is done with one row, which begins at `first`.

    Attributes:
        keys, places: scratch: what is ordered, and where in the row it was.
        levels: how often runs are merged.
    """

    def __init__(self, x: Node, axis: int, wanted: int, descending: bool) -> None:
        self.n, self.wanted = x.shape[axis], wanted
        self.inner = math.prod(x.shape[axis + 1 :])
        self.count = math.prod(x.shape[:axis]) * self.inner
        self.descending = descending
        self.dtype: DType = key_dtype(x.dtype)
        self.first, self.target = Variable("first"), Variable("target")
        self.x = Buffer("x", x.dtype, x.size)
        self.values = Buffer("values", x.dtype, self.count * wanted, "out")
        self.indices = Buffer("indices", int64, self.count * wanted, "out")
        self.levels = max(0, (-(-self.n // _RUN) - 1).bit_length())
        self.run = -(-self.n // (1 << self.levels))
        self.padded = self.run << self.levels
        # A power of two: an index is kept inside by its lowest bits.
        self.half = 1 << max(0, self.padded - 1).bit_length()
        self.keys = Buffer("keys", self.dtype, 2 * self.half, "scratch")
        self.places = Buffer("places", int32, 2 * self.half, "scratch")

    # Parts

    def key(self, place: Expression) -> Expression:
        """Return the key of a number of the row."""
        value = Load(self.x, self.first + place * self.inner)
        return key_of(value, self.descending)

    def inside(self, place: Expression, half: Expression | int) -> Expression:
        """Return where something lies in one half of scratch memory."""
        low = Operation("cast", (place,), uint32)
        low = Operation("bitwise_and", (low, Constant(self.half - 1, uint32)))
        return Operation("cast", (low,), int64) + half

    def write(self, half: Expression | int) -> Body:
        """Return what writes the results."""
        lane, block, found = Variable("lane"), Variable("block"), Variable("found")

        def vector(first: Expression, extent: int) -> Statement:
            at = first + lane
            place = Operation("cast", (Load(self.places, at + half),), int64)
            low = Operation("maximum", (place, Constant(0, int64)), int64)
            last = Constant(self.n - 1, int64)
            target = self.target + at * self.inner
            value = Load(self.x, self.first + found * self.inner)
            return Vector(lane, extent, _RUN, [
                Let(found, Operation("minimum", (low, last), int64)),
                Store(self.values, target, value),
                Store(self.indices, target, found),
            ])  # fmt: skip

        whole, rest = divmod(self.wanted, _RUN)
        body: Body = []
        if whole:
            body.append(For(block, whole, [vector(block * _RUN, _RUN)]))
        if rest:
            body.append(vector(Constant(whole * _RUN, int64), rest))
        return body

    # All of a row

    def sorted(self) -> Body:
        """Return what sorts a row."""
        end = ((self.levels + 1) % 2) * self.half
        return [*self.runs(), *self.merges(), *self.write(end)]

    def runs(self) -> Body:
        """Return what sorts each run, from the first half of scratch to the second."""
        run, lane, j = Variable("run"), Variable("lane"), Variable("j")
        key, place = Variable("key", self.dtype), Variable("place")
        other, rank = Variable("other", self.dtype), Variable("rank")
        ranks = Registers("ranks", int32, 1, _RUN)
        value = self.key(place)
        if self.padded > self.n:
            last = Constant(self.n - 1, int64)
            safe = Operation("minimum", (place, last), int64)
            within = place < self.n
            value = Operation(
                "select", (within, self.key(safe), most(self.dtype)), self.dtype
            )
        number = Operation("cast", (place,), int32)
        load = Load(self.keys, run * self.run + lane)
        before = Operation("select", (
            j < lane,
            Operation("less_equal", (other, key), bool_),
            Operation("less", (other, key), bool_),
        ), bool_)  # fmt: skip
        count = Operation("add", (Get(ranks), Operation("cast", (before,), int32)))
        at = Operation("cast", (Get(ranks),), int64)
        at = Operation("maximum", (at, Constant(0, int64)), int64)
        at = Operation("minimum", (at, Constant(self.run - 1, int64)), int64)
        body: Body = [
            Vector(lane, self.run, _RUN, [
                Let(place, run * self.run + lane),
                Store(self.keys, place, value),
            ]),
            ranks,
            For(j, self.run, [
                Vector(lane, self.run, _RUN, [
                    Let(key, load),
                    Let(other, Load(self.keys, run * self.run + j)),
                    Set(ranks, 0, count),
                ])
            ], UNROLL),
            Vector(lane, self.run, _RUN, [
                Let(place, run * self.run + lane),
                Let(key, load),
                Let(rank, run * self.run + at + self.half),
                Store(self.keys, rank, key),
                Store(self.places, rank, number),
            ]),
        ]  # fmt: skip
        return [For(run, 1 << self.levels, body)]

    def merges(self) -> Body:
        """Return what merges runs until one is left."""
        if not self.levels:
            return []
        level, pair, t = Variable("level"), Variable("pair"), Variable("t")
        length, low = Variable("length"), Variable("low")
        source, target = Variable("source"), Variable("target_half")
        lengths = Registers("lengths", int64)
        left, right = Registers("left", int64), Registers("right", int64)
        one = Constant(1, int64)

        def taken(side: Registers, step: int, high: Expression, last: bool) -> Body:
            """Return what takes one number from either run.

            Args:
                side: where in the first run it is.
                step: 1 from the beginnings, -1 from the ends.
                high: where in the second run.
                last: take the one that comes last.
            """
            tag = "z" if last else "a"
            x, y = Variable(f"x{tag}", self.dtype), Variable(f"y{tag}", self.dtype)
            i, j = Variable(f"i{tag}"), Variable(f"j{tag}")
            at, turn = Variable(f"at{tag}"), Variable(f"turn{tag}", bool_)
            first, second = (Load(self.places, i), Load(self.places, j))
            to = low + t if step > 0 else low + length * 2 - t - 1
            # From the beginnings the second is taken if it is less, from the ends the
            # first if it is greater: of equal ones the first come first.
            keys = (x, y) if last else (y, x)
            places = (first, second) if last else (second, first)
            moves = Operation("cast", (turn,), int64)
            here = Get(side) - moves if last else Get(side) + (one - moves)
            return [
                Let(i, self.inside(Get(side), source)),
                Let(j, self.inside(high, source)),
                Let(x, Load(self.keys, i)),
                Let(y, Load(self.keys, j)),
                Let(turn, Operation("less", (y, x), bool_)),
                Let(at, self.inside(to, target)),
                Store(self.keys, at, Operation("select", (turn, *keys), self.dtype)),
                Store(self.places, at, Operation("select", (turn, *places), int32)),
                Set(side, 0, here),
            ]

        # As many were taken from both runs as there were turns.
        front = low * 2 + length + t - Get(left)
        back = (low + length) * 2 + (length - 2) - t - Get(right)
        merge: Body = [
            Let(low, pair * (length * 2)),
            Set(left, 0, low),
            Set(right, 0, low + length - 1),
            For(t, length, [
                *taken(left, 1, front, False), *taken(right, -1, back, True)
            ]),
        ]  # fmt: skip
        pairs = Constant(self.padded, int64) // (length * 2)
        body: Body = [
            Let(length, Get(lengths)),
            Let(source, (level + 1) % 2 * self.half),
            Let(target, level % 2 * self.half),
            For(pair, pairs, merge),
            Set(lengths, 0, length * 2),
        ]
        return [
            lengths, left, right, Set(lengths, 0, Constant(self.run, int64)),
            For(level, self.levels, body),
        ]  # fmt: skip

    # The first few

    def selected(self) -> Body:
        """Return what keeps the first few in order while it looks through the row."""
        p, i, block, e = (Variable(name) for name in ("p", "i", "block", "e"))
        none = Constant(self.n, int32)
        wide = _RUN * _TOGETHER
        blocks, rest = divmod(self.n - self.wanted, wide)
        least = Registers("least", self.dtype, 1, _RUN)
        v, lane = Variable("v"), Variable("lane")
        place = block * wide + self.wanted + v * _RUN + lane
        smaller = Operation("minimum", (Get(least), self.key(place)), self.dtype)
        low = Variable("low", self.dtype)
        look: Body = [
            least,
            Vector(lane, _RUN, _RUN, [Set(least, 0, most(self.dtype))]),
            For(v, _TOGETHER, [
                Vector(lane, _RUN, _RUN, [Set(least, 0, smaller)])
            ], UNROLL),
            Let(low, Fold("minimum", least)),
            If(Operation("less", (low, self.last()), bool_), [
                For(e, wide, self.tried(block * wide + self.wanted + e, "b"))
            ]),
        ]  # fmt: skip
        body: Body = [
            For(p, self.wanted, [
                Store(self.keys, p, most(self.dtype)), Store(self.places, p, none)
            ]),
            For(i, self.wanted, self.inserted(i, self.key(i), "a")),
        ]  # fmt: skip
        if blocks:
            body.append(For(block, blocks, look))
        if rest:
            tail = e + (self.n - rest)
            body.append(For(e, rest, self.tried(tail, "c")))
        return [*body, *self.write(0)]

    def last(self) -> Expression:
        """Return the key of the last one that is kept."""
        return Load(self.keys, Constant(self.wanted - 1, int64))

    def tried(self, place: Expression, tag: str) -> Body:
        """Return what keeps a number if it comes before one of those kept."""
        key = Variable(f"tried{tag}", self.dtype)
        less = Operation("less", (key, self.last()), bool_)
        return [
            Let(key, self.key(place)),
            If(less, self.inserted(place, key, tag)),
        ]

    def inserted(self, place: Expression, value: Expression, tag: str) -> Body:
        """Return what puts a number in its place among those kept."""
        key, number = Variable(f"key{tag}", self.dtype), Variable(f"number{tag}", int32)
        q, up, down = (Variable(f"{name}{tag}") for name in ("q", "up", "down"))
        none = Constant(self.n, int32)

        def before(at: Expression) -> Expression:
            less = Operation("less", (key, Load(self.keys, at)), bool_)
            free = Operation("equal", (Load(self.places, at), none), bool_)
            return Operation("bitwise_or", (less, free), bool_)

        def chosen(buffer: Buffer, own: Expression) -> Expression:
            kept = Operation("select", (before(up), own, Load(buffer, up)), own.dtype)
            return Operation(
                "select", (before(down), Load(buffer, down), kept), own.dtype
            )

        moved, shifted = Variable(f"m{tag}", self.dtype), Variable(f"s{tag}", int32)
        zero = Constant(0, int64)
        begin, where = Variable(f"f{tag}", self.dtype), Variable(f"g{tag}", int32)
        front = Variable(f"h{tag}", bool_)
        return [
            Let(key, value),
            Let(number, Operation("cast", (place,), int32)),
            For(q, self.wanted - 1, [
                Let(up, (self.wanted - 1) - q),
                Let(down, (self.wanted - 2) - q),
                Let(moved, chosen(self.keys, key)),
                Let(shifted, chosen(self.places, number)),
                Store(self.keys, up, moved),
                Store(self.places, up, shifted),
            ]),
            Let(front, before(zero)),
            Let(begin, Operation(
                "select", (front, key, Load(self.keys, zero)), self.dtype
            )),
            Let(where, Operation(
                "select", (front, number, Load(self.places, zero)), int32
            )),
            Store(self.keys, zero, begin),
            Store(self.places, zero, where),
        ]  # fmt: skip
