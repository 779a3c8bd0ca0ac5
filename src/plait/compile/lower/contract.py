"""Sums of products, as Loop IR: matrix products of any layout, size and element type.

There are some shapes of inner loop. `block` keeps a block of the result in registers,
rows times vectors of columns, and adds to it one outer product after the other: a
number of the left operand in all lanes, times a vector of columns of the right one.
`dots` keeps it too, but its lanes run along the sum and are added up at the end: for
few rows, or few columns, of operands that both lie along the sum. Processors that
multiply tiles have a third one, `tiles`, and graphics cards a fourth, `workgroup`.

Read first: `Contraction`, `Operand`, `lower`.
"""

from __future__ import annotations

from ..loops.grammar import Constant, Expression, Statement
from .blocking import Facts, Shape, ceil
from .contract_block import lower_block
from .contract_dots import lower_dots, wants_dots
from .contract_split import parts_of, split
from .contract_tiles import lower_tiles, wants_tiles
from .contract_workgroup import lower_workgroup, wants_workgroup
from .product import Contraction, Finish, Operand, Piece

# Cycles for an element of an operand that must be copied and turned, and for one of the
# result that is not stored with its neighbours.
_COPIED = 0.4
_SCATTERED = 2.0

__all__ = ["Contraction", "Facts", "Finish", "Operand", "Piece", "lower"]


def lower(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    contiguous: str,
    facts: Facts,
    name: str = "product",
) -> list[Piece]:
    """Return the loops that compute a contraction, in the order in which they run.

    Args:
        finish: gives the statements that do something with one element of the result;
            it is called inside `vector`, and once for each element when it runs.
        contiguous: "n" or "m": the index along which `finish` stores contiguously.
        name: for people.
    """
    shape = contraction.shape
    if 0 in (shape.batch, shape.m, shape.n):
        return []
    if shape.k == 0:
        contraction = contraction._replace(shape=shape._replace(k=1))
        dtype = contraction.sum_dtype
        zero = Constant(0.0 if dtype.is_float else 0, dtype)
        left = right = Operand(lambda *_: zero, dtype, 0, 0, 0)
    if contiguous == "m":
        contraction, left, right, finish = _turned(contraction, left, right, finish)
    # Dot products have lanes along the sum, which cut it too.
    by_lanes = facts.workgroup > 0 and wants_dots(contraction, left, right, facts)
    if not by_lanes and parts_of(contraction.shape, facts) > 1:

        def part(
            contraction: Contraction,
            left: Operand,
            right: Operand,
            finish: Finish,
            name: str,
        ) -> list[Piece]:
            return _whole(contraction, left, right, finish, facts, name)

        return split(contraction, (left, right), finish, facts, name, part)
    return _whole(contraction, left, right, finish, facts, name)


def _whole(
    contraction: Contraction,
    left: Operand,
    right: Operand,
    finish: Finish,
    facts: Facts,
    name: str,
) -> list[Piece]:
    """Return the loops of a product whose sums are not cut."""
    if wants_dots(contraction, left, right, facts):
        return lower_dots(contraction, left, right, finish, facts, name)
    if wants_workgroup(contraction, facts):
        return lower_workgroup(contraction, left, right, finish, facts, name)
    if wants_tiles(contraction, left, right, facts):
        return lower_tiles(contraction, left, right, finish, facts, name)
    if _is_better_turned(contraction, left, right, facts):
        contraction, left, right, finish = _turned(contraction, left, right, finish)
    return lower_block(contraction, left, right, finish, facts, name)


def _turned(
    contraction: Contraction, left: Operand, right: Operand, finish: Finish
) -> tuple[Contraction, Operand, Operand, Finish]:
    """Exchange rows and columns."""
    b, m, n, k = contraction.shape

    def turned(
        b: Expression, m: Expression, n: Expression, value: Expression
    ) -> list[Statement]:
        return finish(b, n, m, value)

    fixed = contraction.fixed[1], contraction.fixed[0]
    contraction = contraction._replace(shape=Shape(b, n, m, k), fixed=fixed)
    return contraction, right, left, turned


def _is_better_turned(
    contraction: Contraction, left: Operand, right: Operand, facts: Facts
) -> bool:
    """Whether lanes should run along the rows, though they are finished one by one."""
    _, m, n, k = contraction.shape
    lanes = facts.lanes(contraction.sum_dtype)

    def cycles(rows: int, columns: int, right: Operand) -> float:
        copied = _COPIED if right.outer_stride != 1 else 0.0
        products = rows * ceil(columns, lanes) * lanes / (2 * lanes)
        return k * (products + copied * columns)

    scattered = _SCATTERED * m * n
    return cycles(n, m, left) + scattered < 0.9 * cycles(m, n, right)
