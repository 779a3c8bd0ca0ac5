"""Gradients of kernels, as products of matrices.

A gradient is a convolution whose result is the kernel, see `convolution_dots`: each of
its taps is a sum over the places of the convolution that it belongs to. Two matrices
are written for that, of [item][place] and of [row][place], and multiplied.

The plain way has a matrix of elements for each tap, as the tap meets them. That takes
memory. For three by three taps that slide by one there is minimal filtering: places
are cut into tiles of two by two, and both what tiles meet and they themselves are
transformed into 16 matrices. Their products are transformed into taps in the end.

Read first: `lower_products`, `filtering`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

from ...dtypes import float32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Let,
    Load,
    Store,
    Variable,
    Vector,
)
from . import contract
from .blocking import Facts, Shape, ceil
from .convolution_gradients import cycles_of, lower_gradients
from .convolution_tiles import offsets_of, plain_taps, tiled_axes
from .filtering import (
    MET,
    OF_ELEMENTS,
    OF_PLACES,
    OF_TAPS,
    PLACES,
    Matrix,
    transformed,
)
from .index import ZERO
from .laying import Laying, Span, lay_out
from .product import (
    Contraction,
    Finish,
    Operand,
    Piece,
    as_dtype,
    bind,
    each_line,
    vectors,
)
from .sliding import Axis, Layout, Problem, Source, parts_of

PLAIN, FILTERED, DIRECT = "plain", "filtered", "direct"

_MATRICES = MET * MET
# Cycles for what a vector of places is multiplied by in a row, and in the usual way,
# where windows slide by one, where they slide by more, and for a single tap, which
# reads two vectors for each product.
_PRODUCT, _USUAL, _USUAL_STRIDED, _USUAL_ALONE = 0.7, 0.8, 1.1, 1.4
# Cycles to lay out a vector of elements, to transform and write one of a matrix, and to
# read it again.
_LAID_OUT, _WRITTEN = 4, 12
# Cycles for the taps of a vector of items, of one row.
_TAP_CYCLES = 100
_WORTH, _COUNTED = 0.85, 1.15
# Bytes that matrices may take.
_MOST_BYTES = 96 << 20
# Places that are laid out at once, of one item or row.
_AT_ONCE = 1024


def way_of(problem: Problem, facts: Facts, each: float = 1) -> str:
    """Return PLAIN, FILTERED or DIRECT if that is worth it, else nothing.

    Args:
        problem: its axes are turned: positions are those of the kernel, and taps those
            of the result.
        each: what a product costs in the usual way.
    """
    axes = problem.axes
    if problem.dtype is not float32 or problem.groups > 1 or not problem.channels:
        return ""
    if any(axis.phases != 1 for axis in axes):
        return ""
    lanes = facts.lanes(problem.dtype)
    rows, batch = problem.rows, problem.batch
    taps = math.prod(axis.taps for axis in axes)
    places = problem.channels * math.prod(axis.count for axis in axes)
    vectors = ceil(places, lanes)
    slides = all(axis.stride == 1 for axis in axes)
    usual = vectors * taps * rows * batch * each
    usual *= _USUAL_ALONE if taps == 1 else _USUAL if slides else _USUAL_STRIDED
    best = _WORTH * usual, ""
    # What comes before and after the products is counted here, but not in `usual`.
    direct = cycles_of(problem, facts) if taps > 1 else math.inf
    if direct < _COUNTED * usual:
        best = min(direct, best[0]), DIRECT
    room = _MOST_BYTES // problem.dtype.itemsize
    if places * (taps * batch + rows) <= room:
        parts = len(parts_of(axes))
        cycles = vectors * taps * rows * batch * _PRODUCT
        cycles += vectors * (parts * batch + rows) * _LAID_OUT
        cycles += vectors * (taps * batch + rows) * _WRITTEN
        best = min(best, (cycles, PLAIN))
    tiles = problem.channels * math.prod(ceil(axis.count, PLACES) for axis in axes)
    if len(axes) != 2 or not all(map(plain_taps, axes)):
        return best[1]
    if _MATRICES * tiles * (rows + batch) <= room:
        vectors = ceil(tiles, lanes)
        cycles = vectors * _MATRICES * rows * batch * _PRODUCT
        cycles += vectors * (rows + batch) * (_MATRICES * _WRITTEN + 8 * _LAID_OUT)
        cycles += ceil(batch, lanes) * rows * _TAP_CYCLES
        best = min(best, (cycles, FILTERED))
    return best[1]


def lower_products(
    problem: Problem, way: str, facts: Facts, precision: str, name: str
) -> list[Piece]:
    """Return the loops of a convolution whose result is a kernel.

    Args:
        way: PLAIN, FILTERED or DIRECT.
    """
    if way == DIRECT:
        return lower_gradients(problem, facts, name)
    products = _Products(problem, way, facts, precision)
    return products.filtered(name) if way == FILTERED else products.plain(name)


# From what is laid out, and where in it a vector begins, the vectors of each matrix.
_Change = Callable[[Body, Buffer, Expression], Sequence[Expression]]


class _Products:
    """Writes the bodies of the kernels.

    Attributes:
        axes: windows meet along them what a place, or tile, needs.
        layout: of the elements of some channels of an item.
        units: parts of the channels.
        part: places of a unit, and zeros up to the end of a vector.
        pitch: how far items are apart in a matrix, and rows.
    """

    def __init__(
        self, problem: Problem, way: str, facts: Facts, precision: str
    ) -> None:
        self.problem, self.facts, self.precision = problem, facts, precision
        self.dtype = problem.dtype
        self.lanes = facts.lanes(self.dtype)
        axes = problem.axes
        self.axes: Sequence[Axis] = [*axes[:-1], axes[-1].apart()]
        if way == FILTERED:
            self.axes = tiled_axes(axes)
        one = Layout(self.axes, 1, None, self.lanes)
        units = ceil(problem.channels, max(1, _AT_ONCE // one.whole))
        items = ceil(problem.channels, units)
        self.layout = Layout(self.axes, items, None, self.lanes, True)
        self.units = ceil(problem.channels, items)
        self.part = self.layout.vectors * self.lanes
        # Lines of neighbours shall not share their places in the caches.
        self.pitch = (self.units * self.layout.vectors | 1) * self.lanes

    def plain(self, name: str) -> list[Piece]:
        """Return the kernels that have a matrix of elements for each tap."""
        problem = self.problem
        offsets = offsets_of(self.axes, self.layout)
        taps, batch = len(offsets), problem.batch
        items = self.buffer("elements", taps * batch)
        rows = self.buffer("places", problem.rows)

        def met(body: Body, laid: Buffer, at: Expression) -> list[Expression]:
            return [Load(laid, at + offset) for offset in offsets]

        def itself(body: Body, laid: Buffer, at: Expression) -> list[Expression]:
            return [Load(laid, at)]

        def put(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
            tap = n // batch if taps > 1 else ZERO
            return problem.finish(n % batch if taps > 1 else n, m, [tap], value)

        shape = Shape(1, problem.rows, taps * batch, self.units * self.part)
        return [
            self.elements(items, met, f"{name}_elements"),
            self.places(rows, 1, itself, f"{name}_places"),
            *self.multiplied(shape, rows, items, put, name),
        ]

    def filtered(self, name: str) -> list[Piece]:
        """Return the kernels for minimal filtering."""
        problem, size = self.problem, self.layout.size
        offsets = offsets_of(self.axes, self.layout)
        items = self.buffer("elements", _MATRICES * problem.batch)
        rows = self.buffer("places", _MATRICES * problem.rows)
        count = problem.rows * problem.batch
        sums = Buffer("sums", self.dtype, _MATRICES * count, "inout")

        def change(matrix: Matrix, offsets: Sequence[int]) -> _Change:
            across = len(matrix[0])

            def changed(body: Body, laid: Buffer, at: Expression) -> list[Expression]:
                def value(i: int, j: int) -> Expression:
                    return Load(laid, at + offsets[i * across + j])

                return transformed(body, "element", matrix, value)

            return changed

        def put(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
            return [Store(sums, b * count + m * problem.batch + n, value)]

        elements = change(OF_ELEMENTS, offsets)
        places = change(OF_PLACES, [i * size for i in range(PLACES * PLACES)])
        shape = Shape(
            _MATRICES, problem.rows, problem.batch, self.units * self.part
        )  # fmt: skip
        return [
            self.elements(items, elements, f"{name}_elements"),
            self.places(rows, PLACES, places, f"{name}_places"),
            *self.multiplied(shape, rows, items, put, name),
            self.taps(sums, f"{name}_taps"),
        ]

    def buffer(self, name: str, lines: int) -> Buffer:
        return Buffer(name, self.dtype, lines * self.pitch, "inout")

    def multiplied(
        self, shape: Shape, rows: Buffer, items: Buffer, finish: Finish, name: str
    ) -> list[Piece]:
        """Return the products of matrices of rows and of items."""

        def operand(buffer: Buffer, outer: int) -> Operand:
            def load(b: Expression, m: Expression, k: Expression) -> Expression:
                return Load(buffer, (b * outer + m) * self.pitch + k)

            return Operand(load, self.dtype, self.pitch, 1, outer * self.pitch)

        return contract.lower(
            Contraction(shape, self.dtype, self.precision),
            operand(rows, shape.m), operand(items, shape.n), finish, "n", self.facts,
            name,
        )  # fmt: skip

    # Matrices

    def elements(self, target: Buffer, change: _Change, name: str) -> Piece:
        """Return what writes the matrices of elements, of [item][place]."""
        spans = [
            [
                Span(axis.stride, place, axis.size)
                for axis, place in zip(self.axes, part, strict=True)
            ]
            for part in parts_of(self.axes)
        ]
        problem = self.problem
        return self.written(target, problem.batch, spans, True, problem.x, change, name)

    def places(self, target: Buffer, tile: int, change: _Change, name: str) -> Piece:
        """Return what writes the matrices of the kernel's numbers, of [row][place].

        Args:
            tile: places of a tile, along an axis.
        """
        problem = self.problem
        spans = [
            [
                Span(tile, place, axis.count)
                for axis, place in zip(problem.axes, part, strict=True)
            ]
            for part in product(range(tile), repeat=len(problem.axes))
        ]
        return self.written(
            target, problem.rows, spans, False, problem.weight, change, name
        )

    def written(
        self,
        target: Buffer,
        outer: int,
        spans: Sequence[Sequence[Span]],
        moved: bool,
        source: Source,
        change: _Change,
        name: str,
    ) -> Piece:
        """Return what writes matrices of [outer][place].

        Args:
            spans: of each part that is laid out.
            moved: whether it begins where the first window does.
            source: gives the element at ([outer], [channel, *place]).
            change: gives the matrices of what is laid out.
        """
        problem, layout, lanes = self.problem, self.layout, self.lanes
        laid = Buffer("laid", self.dtype, len(spans) * layout.size, "scratch")
        unit, v, lane = map(Variable, ("unit", "v", "lane"))

        def line(own: Expression) -> Body:
            inner, vector = Body(), Body()
            first = bind(inner, "first", unit * layout.items)

            def element(channel: Expression, place: Sequence[Expression]) -> Expression:
                return as_dtype(source(own, [channel, *place]), self.dtype)

            for number, some in enumerate(spans):
                place = Constant(number * layout.size, own.dtype)
                inner += lay_out(
                    Laying(
                        laid, place, layout, some, moved, element, first,
                        problem.channels, ZERO, f"copy{number}",
                    )
                )  # fmt: skip
            to = bind(inner, "to", own * self.pitch + unit * self.part)
            for number, value in enumerate(change(vector, laid, v * lanes + lane)):
                spot = to + number * (outer * self.pitch) + v * lanes + lane
                vector.append(Store(target, spot, value))
            inner.append(For(v, layout.vectors, [Vector(lane, lanes, lanes, vector)]))
            return [For(unit, self.units, inner)]

        body, chunks = each_line(outer, line)
        return Piece(name, body, chunks, (laid,), (target,))

    def taps(self, sums: Buffer, name: str) -> Piece:
        """Return what transforms the sums into taps, and finishes these."""
        problem, lanes = self.problem, self.lanes
        rows, batch = problem.rows, problem.batch
        lane = Variable("lane")

        def row(m: Expression) -> Body:
            def items(first: Expression, extent: int) -> Vector:
                body = Body()
                b = first + lane
                found = transformed(
                    body, "sum", OF_TAPS,
                    lambda i, j: Load(sums, ((i * MET + j) * rows + m) * batch + b),
                )  # fmt: skip
                for number, value in enumerate(found):
                    own = Variable(f"value{number}", self.dtype)
                    tap = Constant(number, m.dtype)
                    body.append(Let(own, value))
                    body += problem.finish(b, m, [tap], own)
                return Vector(lane, extent, lanes, body)

            return vectors(batch, lanes, items, "v")

        body, chunks = each_line(rows, row)
        return Piece(name, body, chunks, (), (sums,))
