"""How something is computed: loops over flat buffers. Loop IR, on one page.

    Kernel    ::= kernel name (Buffer*) scratch Buffer*  chunks n  Statement*
    Buffer    ::= name: dtype[size] access         access: in | out | inout | scratch
    Statement ::= name = Expression                              Let
                | registers name: dtype[count x lanes]           Registers
                | name[place] = Expression                       Set
                | transpose name                                     Transpose
                | tile name: dtype[rows x columns]                   Tile
                | tile name = buffer[Expression] by step             TileLoad
                | tile buffer[Expression] by step = name             TileStore
                | tile name += name @ name                           TileProduct
                | buffer[Expression] = Expression (if Expression)  Store
                | for name in extent: Statement*                 For, kind serial
                | unroll name in extent: Statement*              For, kind unroll
                | vector name in extent of lanes: Statement*     Vector
                | if Expression: Statement* else: Statement*     If
    Expression::= constant | name                                Constant, Variable
                | buffer[Expression] (ahead n) (if Expression else Expression)  Load
                | registers[place]                               Get
                | operation(Expression*)                         Operation
                | fold operation registers[place]                Fold

Meaning, in short; `interpret` has the whole of it.

- A kernel runs its statements once for each value of the variable `chunk`, from 0 to
  `chunks` - 1, in any order and at the same time in different threads. What one chunk
  writes no other chunk reads or writes. Scratch buffers belong to one running chunk and
  begin with unknown values.
- Names are bound once in a body and seen in the rest of it and in the bodies inside.
  Every expression has a dtype; there is no implicit conversion. Indices are int64.
  Truth is `bool`, a byte 0 or 1 in memory.
- `vector` runs its body for all of `extent` values of its variable, in lockstep, and
  `extent` <= `lanes`. Lanes do not see one another. It holds no loops but `unroll`,
  no other `vector`, no `if`, and is not inside another.
- Registers are `count` places of `lanes` numbers that never lie in memory, zero at
  first. A place is an expression that is constant once loops are unrolled. Registers of
  one lane are plain variables, and cannot be set inside `vector`. Those of more lanes
  are got and set inside a `vector` of as many lanes, where each lane has its own
  number; lanes beyond the extent keep what they had. `fold` combines all lanes of one
  place: the upper half with the lower half, until one is left. `transpose`, outside of
  `vector`, exchanges places and lanes of registers that have as many of both.
- Tiles are registers of up to 16 rows of up to 64 bytes, zero at first, for products;
  no more than 8 are declared at once. They are used outside of `vector`, as a whole:
  loaded from rows in memory, `step` elements apart, and stored there. A product adds to
  a tile of float32 the matrix product of two tiles whose elements are pairs of bfloat16
  in 32 bits, as those of the operation `dot_pairs`.
- `ahead n` after a load says which element will be needed soon, and means nothing else.
- A load with a condition does not touch memory where it is false and gives the other
  value; a store with a condition does nothing where it is false. Inside `vector` the
  conditions may differ from lane to lane.

Read first: `Kernel`, `Expression`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ...dtypes import DType, bool_, int64

SERIAL = "serial"
UNROLL = "unroll"


class Buffer:
    """Flat memory that a kernel gets, or scratch memory of one chunk.

    Attributes:
        name: unique in the kernel.
        dtype, size: element type, and number of elements.
        access: "in", "out", "inout" or "scratch".
    """

    __slots__ = ("access", "dtype", "name", "size")

    def __init__(self, name: str, dtype: DType, size: int, access: str = "in") -> None:
        self.name = name
        self.dtype = dtype
        self.size = size
        self.access = access

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype.name}[{self.size}] {self.access}"


# Expressions


class Expression:
    """A value of one dtype; inside `vector`, possibly another one in each lane.

    Indices are written with Python's operators: `i * 64 + j`, `i // 8`, `i % 8`.
    """

    __slots__ = ("dtype",)
    dtype: DType

    def __add__(self, other: Expression | int) -> Expression:
        return _integer("add", self, other)

    def __radd__(self, other: int) -> Expression:
        return _integer("add", other, self)

    def __sub__(self, other: Expression | int) -> Expression:
        return _integer("subtract", self, other)

    def __rsub__(self, other: int) -> Expression:
        return _integer("subtract", other, self)

    def __mul__(self, other: Expression | int) -> Expression:
        return _integer("multiply", self, other)

    def __rmul__(self, other: int) -> Expression:
        return _integer("multiply", other, self)

    def __floordiv__(self, other: Expression | int) -> Expression:
        return _integer("floor_divide", self, other)

    def __mod__(self, other: Expression | int) -> Expression:
        return _integer("remainder", self, other)

    def __lt__(self, other: Expression | int) -> Expression:
        return Operation("less", (self, _index(other)), bool_)

    def __le__(self, other: Expression | int) -> Expression:
        return Operation("less_equal", (self, _index(other)), bool_)


class Constant(Expression):
    """A number: a Python int, float or bool that fits `dtype`."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: DType) -> None:
        self.value = value
        self.dtype = dtype


class Variable(Expression):
    """What a `Let`, a loop or the kernel's `chunk` has bound."""

    __slots__ = ("name",)

    def __init__(self, name: str, dtype: DType = int64) -> None:
        self.name = name
        self.dtype = dtype


class Load(Expression):
    """An element of a buffer; `other` where `condition` is false.

    Args:
        ahead: the element so many further on will be needed soon, though it may not be
            in the caches yet; 0 if nothing is known. The result does not depend on it.
    """

    __slots__ = ("ahead", "buffer", "condition", "index", "other")

    def __init__(
        self,
        buffer: Buffer,
        index: Expression | int,
        condition: Expression | None = None,
        other: Expression | None = None,
        ahead: int = 0,
    ) -> None:
        self.buffer = buffer
        self.index = _index(index)
        self.condition = condition
        self.other = other
        self.ahead = ahead
        self.dtype = buffer.dtype


class Get(Expression):
    """The number at one place of registers; in `vector`, that of the lane."""

    __slots__ = ("place", "registers")

    def __init__(self, registers: Registers, place: Expression | int = 0) -> None:
        self.registers = registers
        self.place = _index(place)
        self.dtype = registers.dtype


class Fold(Expression):
    """All lanes at one place of registers, combined by a commutative operation.

    Args:
        operation: "add", "multiply", "minimum", "maximum", "bitwise_and", "bitwise_or"
            or "bitwise_xor".
    """

    __slots__ = ("operation", "place", "registers")

    def __init__(
        self, operation: str, registers: Registers, place: Expression | int = 0
    ) -> None:
        self.operation = operation
        self.registers = registers
        self.place = _index(place)
        self.dtype = registers.dtype


class Operation(Expression):
    """A scalar operation from the table in `operations`, applied to operands."""

    __slots__ = ("name", "operands")

    def __init__(
        self, name: str, operands: Sequence[Expression], dtype: DType | None = None
    ) -> None:
        self.name = name
        self.operands = tuple(operands)
        self.dtype = self.operands[0].dtype if dtype is None else dtype


# Statements


class Statement:
    """Something done."""

    __slots__ = ()


Body = list[Statement]


class Let(Statement):
    """Bind a name to a value."""

    __slots__ = ("value", "variable")

    def __init__(self, variable: Variable, value: Expression) -> None:
        self.variable = variable
        self.value = value


class Registers(Statement):
    """Declare `count` places of `lanes` numbers, zero at first.

    Written into a body it sets them to zero, also when it is met again in a loop.
    """

    __slots__ = ("count", "dtype", "lanes", "name")

    def __init__(self, name: str, dtype: DType, count: int = 1, lanes: int = 1) -> None:
        self.name = name
        self.dtype = dtype
        self.count = count
        self.lanes = lanes


class Set(Statement):
    """Set one place of registers."""

    __slots__ = ("place", "registers", "value")

    def __init__(
        self, registers: Registers, place: Expression | int, value: Expression
    ) -> None:
        self.registers = registers
        self.place = _index(place)
        self.value = value


class Transpose(Statement):
    """Exchange places and lanes: place i of lane j gets what place j of lane i had.

    The registers have as many places as lanes, a power of two.
    """

    __slots__ = ("registers",)

    def __init__(self, registers: Registers) -> None:
        self.registers = registers


class Tile(Statement):
    """Declare a matrix of `rows` rows and `columns` columns, zero at first.

    Written into a body it sets it to zero, also when it is met again in a loop.

    Args:
        dtype: of 32 bits.
    """

    __slots__ = ("columns", "dtype", "name", "rows")

    def __init__(self, name: str, dtype: DType, rows: int, columns: int) -> None:
        self.name = name
        self.dtype = dtype
        self.rows = rows
        self.columns = columns


class TileLoad(Statement):
    """Load a tile: element (i, j) is that at `index + i * step + j` of the buffer."""

    __slots__ = ("buffer", "index", "step", "tile")

    def __init__(
        self, tile: Tile, buffer: Buffer, index: Expression | int, step: int
    ) -> None:
        self.tile = tile
        self.buffer = buffer
        self.index = _index(index)
        self.step = step


class TileStore(Statement):
    """Store a tile into scratch memory, where `TileLoad` would find it."""

    __slots__ = ("buffer", "index", "step", "tile")

    def __init__(
        self, buffer: Buffer, index: Expression | int, step: int, tile: Tile
    ) -> None:
        self.buffer = buffer
        self.index = _index(index)
        self.step = step
        self.tile = tile


class TileProduct(Statement):
    """Add to a tile of float32 the product of two tiles of pairs of bfloat16.

    total[i, j] += sum over k of the two products of left[i, k] and right[k, j]. The
    order of additions, and denormals, are the target's.
    """

    __slots__ = ("left", "right", "total")

    def __init__(self, total: Tile, left: Tile, right: Tile) -> None:
        self.total = total
        self.left = left
        self.right = right


class Store(Statement):
    """Write an element of a buffer, where `condition` is true.

    Args:
        streaming: the element will not be read soon: go around the caches.
    """

    __slots__ = ("buffer", "condition", "index", "streaming", "value")

    def __init__(
        self,
        buffer: Buffer,
        index: Expression | int,
        value: Expression,
        condition: Expression | None = None,
        streaming: bool = False,
    ) -> None:
        self.buffer = buffer
        self.index = _index(index)
        self.value = value
        self.condition = condition
        self.streaming = streaming


class For(Statement):
    """Run the body for each value of `variable` from 0 to `extent` - 1.

    Args:
        extent: a number, or for a serial loop an int64 expression; negative means none.
        kind: SERIAL, or UNROLL, which is written out when code is emitted.
    """

    __slots__ = ("body", "extent", "kind", "variable")

    def __init__(
        self,
        variable: Variable,
        extent: Expression | int,
        body: Body,
        kind: str = SERIAL,
    ) -> None:
        self.variable = variable
        self.extent = extent
        self.body = body
        self.kind = kind


class Vector(Statement):
    """Run the body for all values of `variable` below `extent`, in lockstep."""

    __slots__ = ("body", "extent", "lanes", "variable")

    def __init__(self, variable: Variable, extent: int, lanes: int, body: Body) -> None:
        self.variable = variable
        self.extent = extent
        self.lanes = lanes
        self.body = body


class If(Statement):
    """Run one of two bodies."""

    __slots__ = ("body", "condition", "otherwise")

    def __init__(
        self, condition: Expression, body: Body, otherwise: Body | None = None
    ) -> None:
        self.condition = condition
        self.body = body
        self.otherwise = otherwise or []


class Kernel:
    """One loop nest, with the memory that it works on.

    Attributes:
        name: what it does, for people: it is part of no cache key.
        buffers: what it gets, in this order.
        scratch: memory of one running chunk.
        chunks: how often the body runs, for `chunk` from 0.
        body: statements that see the variable `CHUNK`.
    """

    __slots__ = ("body", "buffers", "chunks", "name", "scratch")
    CHUNK: ClassVar[Variable] = Variable("chunk")

    def __init__(
        self,
        name: str,
        buffers: Sequence[Buffer],
        body: Body,
        chunks: int = 1,
        scratch: Sequence[Buffer] = (),
    ) -> None:
        self.name = name
        self.buffers = tuple(buffers)
        self.body = body
        self.chunks = chunks
        self.scratch = tuple(scratch)


# Building


def _index(value: Expression | int) -> Expression:
    return value if isinstance(value, Expression) else Constant(value, int64)


def _integer(name: str, x: Expression | int, y: Expression | int) -> Expression:
    """Return an operation on indices, computed now where it can be."""
    x, y = _index(x), _index(y)
    known_x = x.value if isinstance(x, Constant) else None
    known_y = y.value if isinstance(y, Constant) else None
    if known_x is not None and known_y is not None:
        return Constant(_COMPUTE[name](known_x, known_y), int64)
    if name == "add":
        if known_x == 0:
            return y
        if known_y == 0:
            return x
    elif name == "subtract":
        if known_y == 0:
            return x
    elif name == "multiply":
        if known_x == 0 or known_y == 0:
            return Constant(0, int64)
        if known_x == 1:
            return y
        if known_y == 1:
            return x
    elif known_y == 1:
        return x if name == "floor_divide" else Constant(0, int64)
    return Operation(name, (x, y), int64)


_COMPUTE = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
}
