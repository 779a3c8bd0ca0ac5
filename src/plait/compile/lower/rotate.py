"""Singular values and eigenvalues by rotations: Jacobi's method, one-sided.

The rows of a matrix W are rotated in pairs until all are orthogonal to one another; the
same rotations of the identity give J, orthogonal, with W = J @ A and so A = J.T @ W.
The norms of the rows are the singular values. All of it is done with whole rows, which
are whole vectors. Threads share the matrices of a stack.

Source: Hestenes 1958, Inversion of matrices by biorthogonalization and related results;
Demmel and Veselic 1992, Jacobi's method is more accurate than QR (which gives the
condition for a rotation).

Read first: `lower_svd`, `lower_eigh`, `_Rotations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from ...dtypes import DType, bool_, float32, int32, int64, uint8
from ...ir.graph import Node, TensorType
from ...program import Work
from ..loops.grammar import (
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
)
from .chunk import CHUNK_COST, Blocks
from .eliminate import ScratchMatrix
from .index import ZERO
from .lowered import Lanes, Lowered
from .memory import ALARM
from .piece import Piece

# Quadratic convergence begins after a few of them; LAPACK's gesvj stops there, too.
_SWEEPS = 30
# A step of a sweep costs as much as so many of Gauss elimination.
_COST = 40


def lower_svd(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel of singular values and vectors."""
    (x,) = node.operands
    m, n = x.shape[-2:]
    k, longest = min(m, n), max(m, n)
    whole = node.attributes["full_matrices"]
    count = math.prod(x.shape[:-2])
    if not k:
        made = [identities(result, type, f"{name}_{i}")
                for i, (result, type) in enumerate(zip(results, node.type, strict=True))
                if type.size]  # fmt: skip
        return Lowered(made)
    given = Buffer("x", x.dtype, x.size)
    sizes = [count * math.prod(type.shape[-2:]) for type in node.type]
    sizes[1] = count * k
    u, s, vh = (
        Buffer(label, x.dtype, size, "out")
        for label, size in zip(("u", "s", "vh"), sizes, strict=True)
    )
    jacobi = _Rotations(k, longest, longest if whole else k, x.dtype, lanes(x.dtype))
    blocks = Blocks(count, CHUNK_COST // (_COST * k * k * longest), name="matrix")
    first = blocks.place * (m * n)
    row, column = Variable("row"), Variable("column")
    alarm = Buffer("alarm", uint8, 1, "out")
    # The vectors that W becomes are those on the longer side.
    place = column * n + row if m >= n else row * n + column
    long, short = jacobi.w, jacobi.j

    def element(matrix: ScratchMatrix, at: Expression, of: Expression) -> Expression:
        return Operation("multiply", (matrix.at(at, of), Load(jacobi.signs, at)))

    def written(buffer: Buffer, rows: int, columns: int, matrix: ScratchMatrix,
                turned: bool) -> Statement:  # fmt: skip
        there = blocks.place * (rows * columns) + row * columns + column
        value = element(matrix, column, row) if turned else element(matrix, row, column)
        return For(row, rows, [For(column, columns, [Store(buffer, there, value)])])

    deep = jacobi.full if m >= n else k
    wide = k if m >= n else jacobi.full
    body: Body = [
        *jacobi.filled(lambda at, of: Load(given, first + place), row, column),
        Store(alarm, ZERO, Constant(1, uint8), jacobi.is_unbounded()),
        *jacobi.rotated(),
        *jacobi.measured(),
        *jacobi.sorted(descending=True),
        *jacobi.completed(),
        *jacobi.signed(long if m >= n else short, k),
        *jacobi.signed_beyond(),
        For(row, k, [Store(s, blocks.place * k + row, jacobi.size(row))]),
        written(u, m, deep, long if m >= n else short, True),
        written(vh, wide, n, short if m >= n else long, False),
    ]
    kernel = Kernel(
        name, (given, u, s, vh, alarm), blocks.loop(body), blocks.chunks,
        jacobi.buffers,
    )  # fmt: skip
    work = Work(count * _COST * k * k * longest, 2 * x.type.nbytes)
    return Lowered([Piece(kernel, (x, *results, ALARM), work)])


def lower_eigh(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return the kernel of eigenvalues and eigenvectors of symmetric matrices.

    A multiple of the identity is added, with which all eigenvalues are greater than 0:
    then J has the eigenvectors v, and the eigenvalues are v @ A @ v (Rayleigh's
    quotient), which loses nothing by what was added.
    """
    (x,) = node.operands
    n = x.shape[-1]
    if not n:
        return Lowered([])
    dtype = x.dtype
    count = math.prod(x.shape[:-2])
    given = Buffer("x", dtype, x.size)
    w = Buffer("w", dtype, count * n, "out")
    v = Buffer("v", dtype, x.size, "out")
    alarm = Buffer("alarm", uint8, 1, "out")
    jacobi = _Rotations(n, n, n, dtype, lanes(dtype))
    matrix = ScratchMatrix("a", n, n, dtype, lanes(dtype))
    blocks = Blocks(count, CHUNK_COST // (_COST * n**3), name="matrix")
    first = blocks.place * (n * n)
    row, column = Variable("row"), Variable("column")
    half = Constant(0.5, dtype)

    def symmetric(i: Expression, j: Expression) -> Expression:
        one = Operation("multiply", (Load(given, first + i * n + j), half))
        other = Operation("multiply", (Load(given, first + j * n + i), half))
        return Operation("add", (one, other))

    there = first + row * n + column
    value = Operation("multiply", (jacobi.j.at(column, row), jacobi.sign(column)))
    body: Body = [
        *jacobi.filled(symmetric, row, column),
        Store(alarm, ZERO, Constant(1, uint8), jacobi.is_unbounded()),
        *jacobi.copied_to(matrix),
        *jacobi.shifted(),
        *jacobi.rotated(),
        *jacobi.quotients(matrix),
        *jacobi.sorted(descending=False),
        *jacobi.signed(jacobi.j, n),
        For(row, n, [Store(w, blocks.place * n + row, jacobi.size(row))]),
        For(row, n, [For(column, n, [Store(v, there, value)])]),
    ]
    kernel = Kernel(
        name, (given, w, v, alarm), blocks.loop(body), blocks.chunks,
        (*jacobi.buffers, matrix.buffer),
    )  # fmt: skip
    work = Work(count * _COST * n**3, 2 * x.type.nbytes)
    return Lowered([Piece(kernel, (x, *results, ALARM), work)])


def identities(result: Hashable, type: TensorType, name: str) -> Piece:
    """Return the kernel that makes identity matrices."""
    n, dtype = type.shape[-1], type.dtype
    blocks = Blocks(type.size // n**2, CHUNK_COST // n**2, name="matrix")
    made = Buffer("y", dtype, type.size, "out")
    i, j = Variable("i"), Variable("j")
    equal = Operation("equal", (i, j), bool_)
    choices = (equal, Constant(1.0, dtype), Constant(0.0, dtype))
    value = Operation("select", choices, dtype)
    there = blocks.place * (n * n) + i * n + j
    body: Body = [For(i, n, [For(j, n, [Store(made, there, value)])])]
    kernel = Kernel(name, (made,), blocks.loop(body), blocks.chunks)
    return Piece(kernel, (result,), Work(0, type.nbytes))


def power_below(largest: Expression, dtype: DType) -> Expression:
    """Return the power of two at or below a magnitude; dividing by it is exact.

    With it neither squares of the largest elements overflow nor do they vanish.
    """
    single = dtype is float32
    integer, bits, most = (
        (int32, 0x7F800000, 120) if single else (int64, 0x7FF << 52, 1000)
    )
    pattern = Operation("bitcast", (largest,), integer)
    exponent = Operation("bitwise_and", (pattern, Constant(bits, integer)))
    power = Operation("bitcast", (exponent,), dtype)
    low = Operation("maximum", (power, Constant(2.0**-most, dtype)))
    return Operation("minimum", (low, Constant(2.0**most, dtype)))


class _Rotations:
    """The rows W and J of one matrix, and what is done with them.

    Args:
        rows, columns: of W.
        full: how many rows W has once it is completed to more.
    """

    def __init__(
        self, rows: int, columns: int, full: int, dtype: DType, width: int
    ) -> None:
        self.rows, self.columns, self.full, self.dtype = rows, columns, full, dtype
        self.width = width
        # One row more to work with.
        self.w = ScratchMatrix("w", full + 1, columns, dtype, width)
        self.j = ScratchMatrix("j", rows, rows, dtype, width)
        self.sizes = Buffer("sizes", dtype, rows, "scratch")
        self.signs = Buffer("signs", dtype, max(full, rows), "scratch")
        self.ends = Buffer("ends", dtype, max(full, rows), "scratch")
        self.largest = Registers("largest", dtype)
        self.power = Variable("power", dtype)
        self.buffers = (
            self.w.buffer, self.j.buffer, self.sizes, self.signs, self.ends,
        )  # fmt: skip
        self._count = 0

    def name_of(self, what: str) -> str:
        """Return a new name."""
        self._count += 1
        return f"{what}{self._count}"

    def constant(self, value: float) -> Constant:
        """Return a number of the element type."""
        return Constant(value, self.dtype)

    def size(self, row: Expression) -> Expression:
        """Return the value that belongs to a row: of W its norm."""
        return Operation("multiply", (Load(self.sizes, row), self.power))

    def sign(self, row: Expression) -> Expression:
        """Return the sign that a row gets."""
        return Load(self.signs, row)

    def is_unbounded(self) -> Expression:
        """Return whether an element is infinite or nan."""
        # nan has been made an infinity.
        infinite = self.constant(math.inf)
        return Operation("equal", (Get(self.largest), infinite), bool_)

    # In the order in which they are done

    def filled(
        self,
        element: Callable[[Variable, Variable], Expression],
        i: Variable,
        j: Variable,
    ) -> Body:
        """Return what fills W, scaled, and makes J the identity.

        Args:
            element: returns that in row i and column j.
            i, j: the variables.
        """
        w, one, zero = self.w, self.constant(1.0), self.constant(0.0)
        size, value = Variable("size", self.dtype), Variable("value", self.dtype)
        number = Operation("equal", (size, size), bool_)
        choices = (number, size, self.constant(math.inf))
        bounded = Operation("select", choices, self.dtype)
        most = Operation("maximum", (Get(self.largest), bounded))
        scaled = Operation("divide", (w.at(i, j), self.power))
        onto = Operation("equal", (i, j), bool_)
        diagonal = Operation("select", (onto, one, zero), self.dtype)
        return [
            self.largest,
            *[For(i, part.rows, [self.zeros(part, i)]) for part in (self.w, self.j)],
            For(i, self.rows, [For(j, self.columns, [
                Let(value, element(i, j)),
                Let(size, Operation("abs", (value,))),
                Set(self.largest, 0, most),
                Store(w.buffer, i * w.pitch + j, value),
            ])]),
            Let(self.power, power_below(Get(self.largest), self.dtype)),
            For(i, self.rows, [For(j, self.columns, [
                Store(w.buffer, i * w.pitch + j, scaled)
            ])]),
            For(i, self.rows, [For(j, self.rows, [
                Store(self.j.buffer, i * self.j.pitch + j, diagonal)
            ])]),
        ]  # fmt: skip

    def zeros(self, matrix: ScratchMatrix, row: Expression) -> Statement:
        """Return what clears a row."""
        zero = self.constant(0.0)
        return matrix.along(
            0, lambda column: [Store(matrix.buffer, row * matrix.pitch + column, zero)]
        )

    def copied_to(self, matrix: ScratchMatrix) -> Body:
        """Return what copies W."""
        i = Variable(self.name_of("i"))

        def write(column: Expression) -> Body:
            return [
                Store(matrix.buffer, i * matrix.pitch + column, self.w.at(i, column))
            ]

        return [For(i, self.rows, [matrix.along(0, write)])]

    def shifted(self) -> Body:
        """Return what adds twice W's norm to its diagonal."""
        total = Registers("total", self.dtype)
        i, shift = Variable(self.name_of("i")), Variable("shift", self.dtype)
        square = Variable("square", self.dtype)
        add = Operation("add", (Get(total), square))
        here = i * self.w.pitch + i
        norm = Operation("sqrt", (Get(total),))
        more = Operation("add", (Load(self.w.buffer, here), shift))
        return [
            total,
            For(i, self.rows, [
                *self.products(self.w, [(i, i)], [square]), Set(total, 0, add),
            ]),
            Let(shift, Operation("multiply", (norm, self.constant(2.0)))),
            For(i, self.rows, [Store(self.w.buffer, here, more)]),
        ]  # fmt: skip

    def products(
        self,
        matrix: ScratchMatrix,
        pairs: Sequence[tuple[Expression, Expression]],
        names: Sequence[Variable],
        other: ScratchMatrix | None = None,
    ) -> Body:
        """Return what binds names to the scalar products of pairs of rows.

        Args:
            other: where the second rows are, if not in `matrix`.
        """
        right = other or matrix
        sums = [
            Registers(self.name_of("sum"), self.dtype, 1, self.width) for _ in pairs
        ]

        def write(column: Expression) -> Body:
            body: Body = []
            for one, (i, j) in zip(sums, pairs, strict=True):
                product = Operation(
                    "multiply", (matrix.at(i, column), right.at(j, column))
                )
                body.append(Set(one, 0, Operation("add", (Get(one), product))))
            return body

        return [
            *sums,
            matrix.along(0, write),
            *[
                Let(name, Fold("add", one))
                for name, one in zip(names, sums, strict=True)
            ],
        ]

    def rotated(self) -> Body:
        """Return what rotates pairs of rows until all are orthogonal."""
        dtype, rows = self.dtype, self.rows
        p, later, q = Variable("p"), Variable("later"), Variable("q")
        aa, bb, ab = (Variable(one, dtype) for one in ("aa", "bb", "ab"))
        ratio, size = Variable("ratio", dtype), Variable("tangent_size", dtype)
        tangent, half = Variable("tangent", dtype), Variable("half", dtype)
        sine, root = Variable("sine", dtype), Variable("secant", dtype)
        active = Registers("active", int64)
        one = self.constant(1.0)
        epsilon = float(np.finfo(dtype.numpy).eps) * math.sqrt(self.columns)
        norms = Operation(
            "multiply", (Operation("sqrt", (aa,)), Operation("sqrt", (bb,)))
        )
        limit = Operation("multiply", (norms, self.constant(epsilon)))
        needed = Operation("less", (limit, Operation("abs", (ab,))), bool_)
        difference = Operation("subtract", (bb, aa))
        twice = Operation("multiply", (ab, self.constant(2.0)))
        square = Operation("multiply", (ratio, ratio))
        length = Operation("sqrt", (Operation("add", (one, square)),))
        sum_ = Operation("add", (Operation("abs", (ratio,)), length))
        negative = Operation("less", (ratio, self.constant(0.0)), bool_)
        turned = Operation(
            "select", (negative, Operation("negative", (size,)), size), dtype
        )
        secant = Operation(
            "sqrt",
            (Operation("add", (one, Operation("multiply", (tangent, tangent)))),),
        )
        turn: Body = [
            Set(active, 0, Constant(1, int64)),
            Let(ratio, Operation("divide", (difference, twice))),
            Let(size, Operation("divide", (one, sum_))),
            Let(tangent, turned),
            Let(root, secant),
            Let(sine, Operation("divide", (tangent, root))),
            Let(half, Operation("divide", (tangent, Operation("add", (one, root))))),
            *[self.turned(part, p, q, sine, half) for part in (self.w, self.j)],
        ]
        sweep: Body = [
            Set(active, 0, ZERO),
            For(p, rows - 1, [
                For(later, Constant(rows - 1, int64) - p, [
                    Let(q, p + (later + 1)),
                    *self.products(self.w, [(p, p), (q, q), (p, q)], [aa, bb, ab]),
                    If(needed, turn),
                ])
            ]),
        ]  # fmt: skip
        going = Operation("not_equal", (Get(active), ZERO), bool_)
        return [
            active,
            Set(active, 0, Constant(1, int64)),
            For(Variable("sweep"), _SWEEPS, [If(going, sweep)]),
        ]

    def turned(
        self,
        matrix: ScratchMatrix,
        p: Expression,
        q: Expression,
        sine: Expression,
        half: Expression,
    ) -> Statement:
        """Return what rotates two rows: x - s (y + h x) and y + s (x - h y).

        With h, the tangent of half the angle, small rotations have small errors
        (Rutishauser 1966, The Jacobi method for real symmetric matrices).
        """
        x = Variable(self.name_of("x"), self.dtype)
        y = Variable(self.name_of("y"), self.dtype)

        def moved(
            name: str, one: Expression, other: str, two: Expression
        ) -> Expression:
            inner = Operation(other, (two, Operation("multiply", (half, one))))
            return Operation(name, (one, Operation("multiply", (sine, inner))))

        def write(column: Expression) -> Body:
            here, there = p * matrix.pitch + column, q * matrix.pitch + column
            return [
                Let(x, Load(matrix.buffer, here)),
                Let(y, Load(matrix.buffer, there)),
                Store(matrix.buffer, here, moved("subtract", x, "add", y)),
                Store(matrix.buffer, there, moved("add", y, "subtract", x)),
            ]

        return matrix.along(0, write)

    def measured(self) -> Body:
        """Return what finds the norms of the rows of W."""
        i, square = (
            Variable(self.name_of("i")),
            Variable(self.name_of("square"), self.dtype),
        )
        return [
            For(i, self.rows, [
                *self.products(self.w, [(i, i)], [square]),
                Store(self.sizes, i, Operation("sqrt", (square,))),
            ])
        ]  # fmt: skip

    def quotients(self, matrix: ScratchMatrix) -> Body:
        """Return what finds v @ A @ v for the rows v of J."""
        i, j = Variable(self.name_of("i")), Variable(self.name_of("j"))
        total = Registers(self.name_of("quotient"), self.dtype)
        inner = Variable(self.name_of("inner"), self.dtype)
        product = Operation("multiply", (inner, self.j.at(i, j)))
        return [
            For(i, self.rows, [
                total,
                For(j, self.rows, [
                    *self.products(self.j, [(i, j)], [inner], matrix),
                    Set(total, 0, Operation("add", (Get(total), product))),
                ]),
                Store(self.sizes, i, Get(total)),
            ])
        ]  # fmt: skip

    def sorted(self, descending: bool) -> Body:
        """Return what exchanges rows until their values are in order."""
        i, later, place = (
            Variable(self.name_of(one)) for one in ("i", "later", "place")
        )
        best, where = Registers("best", self.dtype), Registers("where", int64)
        here, chosen = Variable("here", self.dtype), Variable("chosen")
        other = Variable("other", self.dtype)
        pair = (Get(best), here) if descending else (here, Get(best))
        better = Variable("better", bool_)
        high = Operation("maximum", (Get(where), i), int64)
        last = Constant(self.rows - 1, int64)
        moved = Operation("not_equal", (chosen, i), bool_)
        larger = Operation("select", (better, here, Get(best)), self.dtype)
        place_of = Operation("select", (better, place, Get(where)), int64)
        return [
            best,
            where,
            For(i, self.rows - 1, [
                Set(best, 0, Load(self.sizes, i)),
                Set(where, 0, i),
                For(later, last - i, [
                    Let(place, i + (later + 1)),
                    Let(here, Load(self.sizes, place)),
                    Let(better, Operation("less", pair, bool_)),
                    Set(best, 0, larger),
                    Set(where, 0, place_of),
                ]),
                Let(chosen, Operation("minimum", (high, last), int64)),
                If(moved, [
                    self.w.exchanged(i, chosen, ZERO),
                    self.j.exchanged(i, chosen, ZERO),
                    Let(other, Load(self.sizes, i)),
                    Store(self.sizes, i, Load(self.sizes, chosen)),
                    Store(self.sizes, chosen, other),
                ]),
            ]),
        ]  # fmt: skip

    def completed(self) -> Body:
        """Return what makes the rows of W unit vectors, and completes them.

        Rows of next to nothing, and those beyond, become the unit vectors that are
        farthest from all rows before, less their parts along these, twice
        (Gram-Schmidt).
        """
        i = Variable(self.name_of("i"))
        norm = Variable("norm", self.dtype)
        value = Operation("divide", (self.constant(1.0), norm))
        # Of smaller ones the squares have too few digits.
        tiny = self.constant(2.0**-50 if self.dtype is float32 else 2.0**-400)
        zero = Operation("less", (norm, tiny), bool_)
        scaled = [self.scaled(i, value)]
        found: Body = [
            For(i, self.rows, [
                Let(norm, Load(self.sizes, i)),
                If(zero, self.added(i), scaled),
            ])
        ]  # fmt: skip
        if self.full > self.rows:
            more, row = Variable("more"), Variable("added")
            found.append(
                For(more, self.full - self.rows, [
                    Let(row, more + self.rows), *self.added(row)
                ])
            )  # fmt: skip
        return found

    def scaled(self, row: Expression, factor: Expression) -> Statement:
        """Return what multiplies a row of W."""

        def write(column: Expression) -> Body:
            value = Operation("multiply", (self.w.at(row, column), factor))
            return [Store(self.w.buffer, row * self.w.pitch + column, value)]

        return self.w.along(0, write)

    def added(self, row: Expression) -> Body:
        """Return what makes a row of W orthogonal to all before."""
        w, dtype = self.w, self.dtype
        before, place = (
            Variable(self.name_of("before")),
            Variable(self.name_of("place")),
        )
        rest = Constant(self.full, int64)
        most = Registers(self.name_of("most"), dtype)
        where = Registers(self.name_of("where"), int64)
        here, better = (
            Variable(self.name_of("here"), dtype),
            Variable(self.name_of("better"), bool_),
        )
        inner = Variable(self.name_of("inner"), dtype)
        square = Variable(self.name_of("square"), dtype)
        column = Variable(self.name_of("column"))
        last = Constant(self.columns - 1, int64)

        def fill(target: Expression, value: Constant) -> Statement:
            return w.along(
                0, lambda at: [Store(w.buffer, target * w.pitch + at, value)]
            )

        def less(at: Expression) -> Body:
            one = w.at(before, at)
            product = Operation("multiply", (one, one))
            value = Operation("subtract", (w.at(rest, at), product))
            return [Store(w.buffer, rest * w.pitch + at, value)]

        once: Body = [
            For(before, row, [
                *self.products(w, [(row, before)], [inner]),
                w.subtracted(row, before, inner, 0),
            ]),
        ]  # fmt: skip
        again = Variable(self.name_of("again"))
        root = Operation("sqrt", (square,))
        return [
            fill(rest, self.constant(1.0)),
            For(before, row, [w.along(0, less)]),
            most,
            where,
            Set(most, 0, self.constant(-1.0)),
            For(place, self.columns, [
                Let(here, w.at(rest, place)),
                Let(better, Operation("less", (Get(most), here), bool_)),
                Set(most, 0, Operation("select", (better, here, Get(most)), dtype)),
                Set(where, 0, Operation("select", (better, place, Get(where)), int64)),
            ]),
            Let(column, Operation("minimum", (Operation(
                "maximum", (Get(where), ZERO), int64), last), int64)),
            fill(row, self.constant(0.0)),
            Store(w.buffer, row * w.pitch + column, self.constant(1.0)),
            For(again, 2, once),
            *self.products(w, [(row, row)], [square]),
            self.scaled(row, Operation("divide", (self.constant(1.0), root))),
        ]  # fmt: skip

    def signed(self, matrix: ScratchMatrix, rows: int) -> Body:
        """Return what finds the signs with which rows begin with a positive element;
        what is less than half of the greatest does not count.
        """
        return [self._sign_of(matrix, rows, 0)]

    def signed_beyond(self) -> Body:
        """Return the same for rows that W was completed with."""
        if self.full == self.rows:
            return []
        return [self._sign_of(self.w, self.full - self.rows, self.rows)]

    def _sign_of(self, matrix: ScratchMatrix, rows: int, start: int) -> Statement:
        count, i, j = (Variable(self.name_of(one)) for one in ("count", "i", "j"))
        most = Registers(self.name_of("most"), self.dtype)
        sign = Registers(self.name_of("sign"), self.dtype)
        value = Variable(self.name_of("value"), self.dtype)
        one, zero = self.constant(1.0), self.constant(0.0)
        size = Operation("abs", (value,))
        half = Operation("multiply", (Get(most), self.constant(0.5)))
        unset = Operation("equal", (Get(sign), zero), bool_)
        large = Operation("less_equal", (half, size), bool_)
        first = Operation("bitwise_and", (unset, large), bool_)
        negative = Operation("less", (value, zero), bool_)
        found = Operation("select", (negative, self.constant(-1.0), one), self.dtype)
        kept = Operation("select", (first, found, Get(sign)), self.dtype)
        return For(count, rows, [
            Let(i, count + start),
            most,
            sign,
            For(j, matrix.columns, [
                Let(value, matrix.at(i, j)),
                Set(most, 0, Operation("maximum", (Get(most), size))),
            ]),
            For(j, matrix.columns, [
                Let(value, matrix.at(i, j)),
                Set(sign, 0, kept),
            ]),
            Store(self.signs, i, Get(sign)),
        ])  # fmt: skip
