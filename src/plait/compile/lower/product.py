"""What a contraction is, for the code that writes its loops.

Read first: `Contraction`, `Operand`, `Piece`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...dtypes import DType, bool_, float32
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    For,
    Kernel,
    Let,
    Load,
    Operation,
    Variable,
    Vector,
)
from .blocking import MOST_CHUNKS, Facts, Shape, ceil

# (batch, row, column, value in the accumulating dtype) -> statements
Finish = Callable[[Expression, Expression, Expression, Expression], Body]


class Operand(NamedTuple):
    """One side of a product.

    Attributes:
        load: gives the element at (batch, outer index, index of the sum), in `dtype`.
            It may be called inside `vector`, with one index varying.
        outer_stride, k_stride, batch_stride: how far elements are apart in memory, in
            elements; None where it is not the same everywhere, or with conditions.
        pairs: of bfloat16 that lie along the sum from even places on, gives the load of
            two neighbours in 32 bits, at (batch, outer index, half the index of the
            sum); else None.
        along_sum: neighbours along the sum mostly lie side by side, though not so
            everywhere.
    """

    load: Callable[[Expression, Expression, Expression], Expression]
    dtype: DType
    outer_stride: int | None
    k_stride: int | None
    batch_stride: int | None
    pairs: Callable[[Expression, Expression, Expression], Load] | None = None
    along_sum: bool = False


class Contraction(NamedTuple):
    """result[b, m, n] = sum over k of left[b, m, k] * right[b, n, k].

    Attributes:
        shape: the extents.
        dtype: of the result's elements before they are finished.
        precision: "highest", "high" or "fast": what float32 may be rounded to.
        fixed: whether the left and the right operand are the same in each turn of a
            loop: a copy that has a kernel of its own is made only once then.
    """

    shape: Shape
    dtype: DType
    precision: str = "highest"
    fixed: tuple[bool, bool] = (False, False)

    @property
    def sum_dtype(self) -> DType:
        """The dtype in which products are added up."""
        if self.dtype.is_float and self.dtype.itemsize == 2:
            return float32
        return self.dtype


class Piece(NamedTuple):
    """What will be one kernel.

    Attributes:
        name: for people.
        body, chunks, scratch: as in `Kernel`.
        temporaries: buffers that an earlier piece writes and a later one reads.
    """

    name: str
    body: Body
    chunks: int
    scratch: tuple[Buffer, ...] = ()
    temporaries: tuple[Buffer, ...] = ()


def as_dtype(value: Expression, dtype: DType) -> Expression:
    """Return `value` in another dtype."""
    return value if value.dtype is dtype else Operation("cast", (value,), dtype)


def multiply_add(
    x: Expression, y: Expression, z: Expression, facts: Facts
) -> Expression:
    """Return x * y + z."""
    if facts.fma and z.dtype.is_float:
        return Operation("fused_multiply_add", (x, y, z))
    return Operation("add", (Operation("multiply", (x, y)), z))


def smaller(x: Expression, y: Expression | int) -> Expression:
    """Return the smaller of two indices."""
    if isinstance(y, int):
        y = Constant(y, x.dtype)
    if isinstance(x, Constant) and isinstance(y, Constant):
        return x if x.value <= y.value else y
    return Operation("minimum", (x, y))


def count_from(first: Expression, each: int, all: int) -> Expression:
    """Return how many of `all` one chunk has, that begins at `first`."""
    if all % each == 0:
        return Constant(each, first.dtype)
    return smaller(all - first, each)


def all_true(tests: Sequence[Expression]) -> Expression | None:
    """Return whether all tests are passed, None if there are none."""
    if not tests:
        return None
    found, *rest = tests
    for test in rest:
        found = Operation("bitwise_and", (found, test), bool_)
    return found


def vectors(
    count: int, lanes: int, write: Callable[[Expression, int], Vector], name: str
) -> Body:
    """Return what is done for each of `count` places, `lanes` of them at a time."""
    whole, tail = divmod(count, lanes)
    at = Variable(name)
    body = Body()
    if whole > 1:
        body.append(For(at, whole, [write(at * lanes, lanes)]))
    elif whole:
        body.append(write(Constant(0, at.dtype), lanes))
    if tail:
        body.append(write(Constant(whole * lanes, at.dtype), tail))
    return body


def each_line(lines: int, write: Callable[[Expression], Body]) -> tuple[Body, int]:
    """Return the body of a kernel that does something for each of some lines, and how
    many chunks it has.
    """
    each = ceil(lines, MOST_CHUNKS)
    at, inner = Variable("at"), Body()
    line = bind(inner, "line", Kernel.CHUNK * each + at)
    inner += write(line)
    count = count_from(Kernel.CHUNK * each, each, lines)
    return [For(at, count, inner)], ceil(lines, each)


def bind(body: Body, name: str, value: Expression | int) -> Expression:
    """Give a value a name in `body`, unless it is a number or has one."""
    if isinstance(value, int):
        value = Constant(value, Variable("").dtype)
    if isinstance(value, (Constant, Variable)):
        return value
    variable = Variable(name, value.dtype)
    body.append(Let(variable, value))
    return variable
