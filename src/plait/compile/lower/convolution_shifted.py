"""Convolutions whose taps lie far apart, as one product of matrices for each tap.

Each tap of the kernel is multiplied with all elements where they lie, without copies.
A position then adds up what it finds of each product, where its taps have moved it.

A. Vasudevan, A. Anderson and D. Gregg 2017, Parallel multi channel convolution using
general matrix multiplication, calls this kn2row.

Read first: `lower_shifted`.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

from ...dtypes import bool_, float32
from ...ir.graph import Node
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    If,
    Let,
    Load,
    Operation,
    Store,
    Variable,
    Vector,
)
from . import contract
from .blocking import Facts, Shape
from .dot import operand
from .index import ZERO, affine, linear
from .laying import zeros
from .led import Epilogue, element
from .memory import Memory
from .product import (
    Contraction,
    Operand,
    Piece,
    all_true,
    bind,
    each_line,
    vectors,
)
from .ways import is_spelled_out

# Bytes that the products of taps may take, taps that have code of their own, and
# channels that are worth it.
_MOST_BYTES = 96 << 20
_MOST_TAPS = 64
_CHANNELS = 32


class _Slide(NamedTuple):
    """The taps along one axis that meet any element: `taps` from `first` on."""

    size: int
    positions: int
    gap: int
    low: int
    first: int
    taps: int

    def moved(self, tap: int) -> int:
        """Return how far a tap moves a position."""
        return (self.first + tap) * self.gap - self.low


def _slides(node: Node) -> list[_Slide]:
    x, weight = node.operands
    at = node.attributes
    found = []
    for size, count, taps, gap, (low, _) in zip(
        x.shape[2:], node.shape[2:], weight.shape[2:], at["dilation"], at["padding"],
        strict=True,
    ):  # fmt: skip
        met = [t for t in range(taps) if -count < t * gap - low < size]
        found.append(_Slide(size, count, gap, low, min(met, default=0), len(met)))
    return found


def is_shifted(node: Node) -> bool:
    """Return whether there is a product for each tap."""
    x, weight = node.operands
    at = node.attributes
    if at["groups"] > 1 or max(*at["stride"], *at["input_dilation"]) > 1:
        return False
    if weight.shape[1] < _CHANNELS or not is_spelled_out(node):
        return False
    taps = math.prod(slide.taps for slide in _slides(node))
    itemsize = max(node.dtype.itemsize, float32.itemsize)
    size = x.shape[0] * taps * weight.shape[0] * math.prod(x.shape[2:])
    return 0 < taps <= _MOST_TAPS and size * itemsize <= _MOST_BYTES


def lower_shifted(
    node: Node,
    memory: Memory,
    epilogue: Epilogue,
    facts: Facts,
    precision: str,
    name: str,
) -> list[Piece]:
    """Return the loops of a convolution."""
    x, weight = node.operands
    slides = _slides(node)
    taps = tuple(slide.taps for slide in slides)
    size, places = math.prod(taps), math.prod(x.shape[2:])
    batch, (rows, channels) = x.shape[0], weight.shape[:2]
    contraction = Contraction(
        Shape(batch * size, rows, places, channels), node.dtype, precision
    )
    shape = (batch, size, rows, *x.shape[2:])
    products = Buffer("products", contraction.sum_dtype, math.prod(shape), "inout")

    def finish(b: Expression, m: Expression, n: Expression, value: Expression) -> Body:
        return [Store(products, (b * rows + m) * places + n, value)]

    copied = _Copied(weight, slides, memory, facts.lanes(node.dtype))
    left = Operand(copied.load, weight.dtype, *copied.strides, None)
    items = operand(x, (1,), (0,), memory)
    right = items._replace(
        load=lambda b, n, k: items.load(b // size, n, k), batch_stride=None, pairs=None
    )
    pieces = contract.lower(contraction, left, right, finish, "n", facts, name)
    lanes = facts.lanes(products.dtype)
    first = copied.piece(f"{name}_weights")
    return [first, *pieces, _added(slides, products, shape, epilogue, lanes, name)]


class _Copied:
    """A copy of the kernel's numbers: a matrix for each tap.

    Attributes:
        strides: from row to row, and from channel to channel. Those that lie closer
            together in the kernel do so here.
    """

    def __init__(
        self, weight: Node, slides: list[_Slide], memory: Memory, lanes: int
    ) -> None:
        self.weight, self.slides, self.memory = weight, slides, memory
        self.lanes = lanes
        rows, channels = weight.shape[:2]
        self.taps = tuple(slide.taps for slide in slides)
        self.size = rows * channels
        self.target = Buffer(
            "numbers", weight.dtype, math.prod(self.taps) * self.size, "inout"
        )
        m, k = Variable("m"), Variable("k")
        value = element(weight, (m, k, *[ZERO] * len(slides)), memory)
        found = affine(value.index) if isinstance(value, Load) else None
        apart = [abs(found[0].get(one.name, 0)) if found else 0 for one in (m, k)]
        self.by_row = apart[0] >= apart[1]
        self.strides = (channels, 1) if self.by_row else (1, rows)

    def load(self, b: Expression, m: Expression, k: Expression) -> Expression:
        """Return the number of a row and channel, of tap number b of any item."""
        rows, channels = self.strides
        tap = b % math.prod(self.taps)
        return Load(self.target, tap * self.size + m * rows + k * channels)

    def piece(self, name: str) -> Piece:
        """Return what copies the numbers."""
        lines, across = self.weight.shape[:2]
        if not self.by_row:
            lines, across = across, lines
        lane = Variable("lane")

        def copied(line: Expression) -> Body:
            def numbers(first: Expression, extent: int) -> Vector:
                body = Body()
                place = first + lane
                pair = (line, place) if self.by_row else (place, line)
                for number, tap in enumerate(product(*map(range, self.taps))):
                    own = [
                        Constant(slide.first + t, line.dtype)
                        for slide, t in zip(self.slides, tap, strict=True)
                    ]
                    value = element(self.weight, (*pair, *own), self.memory)
                    to = line * across + (number * self.size) + place
                    body.append(Store(self.target, to, value))
                return Vector(lane, extent, self.lanes, body)

            return vectors(across, self.lanes, numbers, "column")

        body, chunks = each_line(lines, copied)
        return Piece(name, body, chunks, (), (self.target,))


def _added(
    slides: list[_Slide],
    products: Buffer,
    shape: tuple[int, ...],
    epilogue: Epilogue,
    lanes: int,
    name: str,
) -> Piece:
    """Return what adds up the products that meet at each position, line by line."""
    batch, _, rows, *_ = shape
    *outer, last = slides
    sums = Buffer("sums", products.dtype, last.positions, "scratch")
    lane = Variable("lane")
    local = [Variable(f"o{n}") for n in range(len(outer))]

    def line(number: Expression) -> Body:
        head = Body()
        b = bind(head, "b", number // rows)
        m = bind(head, "m", number % rows)
        body = zeros(sums, ZERO, last.positions, lanes, "clear")
        for tap, own in enumerate(product(*(range(slide.taps) for slide in slides))):
            *moves, move = (s.moved(t) for s, t in zip(slides, own, strict=True))
            first = max(0, -move)
            places = [place + by for place, by in zip(local, moves, strict=True)]
            at = [Constant(one, b.dtype) for one in (tap, first + move)]
            met = linear((b, at[0], m, *places, at[1]), shape)
            count = min(last.positions, last.size - move) - first
            added = _plus(sums, first, products, met, count, lanes, f"tap{tap}")
            there = all_true(_tests(places, outer, moves))
            body += added if there is None else [If(there, added)]

        def finished(at: Expression, extent: int) -> Vector:
            value = Variable("value", products.dtype)
            inner: Body = [Let(value, Load(sums, at + lane))]
            inner += epilogue.statements((b, m, *local, at + lane), value)
            return Vector(lane, extent, lanes, inner)

        body += vectors(last.positions, lanes, finished, "column")
        for variable, slide in zip(reversed(local), reversed(outer), strict=True):
            body = [For(variable, slide.positions, body)]
        return head + body

    body, chunks = each_line(batch * rows, line)
    return Piece(f"{name}_taps", body, chunks, (sums,), (products,))


def _tests(
    places: list[Expression], slides: list[_Slide], moves: list[int]
) -> list[Expression]:
    """Return whether a tap that moves positions to `places` meets elements there."""
    tests: list[Expression] = []
    for place, slide, by in zip(places, slides, moves, strict=True):
        if by < 0:
            tests.append(Operation("less_equal", (ZERO, place), bool_))
        if slide.positions + by > slide.size:
            tests.append(place < slide.size)
    return tests


def _plus(
    sums: Buffer,
    first: int,
    products: Buffer,
    met: Expression,
    count: int,
    lanes: int,
    name: str,
) -> Body:
    """Return what adds `count` products, from `met` on, to the sums from `first` on."""
    lane = Variable("lane")

    def write(at: Expression, extent: int) -> Vector:
        to = at + lane
        total = Operation("add", (Load(sums, to + first), Load(products, met + to)))
        return Vector(lane, extent, lanes, [Store(sums, to + first, total)])

    return vectors(count, lanes, write, name)
