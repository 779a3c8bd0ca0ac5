"""What Loop IR means: kernels run in plain Python, on NumPy arrays.

Slow, and exact: every index is checked, and so is that lanes and chunks do not write
what others read or write. Targets are tested against it. Inside `vector` a varying
value is an array with one number for each of the `extent` lanes; a uniform value, there
and elsewhere, is a NumPy scalar.

Read first: `interpret`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from ...dtypes import DType
from ...errors import ArgumentError, GraphError, IndexingError
from .grammar import (
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
    Tile,
    TileLoad,
    TileProduct,
    TileStore,
    Transpose,
    Variable,
    Vector,
)
from .operations import OPERATIONS, tile_product
from .signature import FUNCTIONS
from .text import statement_text
from .traverse import ordered, roots

Names = dict[str, Any]
# Marks of elements that no chunk has touched, and that several have read.
_NOBODY = -1
_MANY = -2


def interpret(
    kernel: Kernel, arrays: Sequence[np.ndarray], order: Iterable[int] | None = None
) -> None:
    """Run `kernel` on arrays, one for each of its buffers, writing into the outputs.

    Args:
        arrays: of any shape with as many elements as the buffer; what is written to
            must lie in memory without gaps.
        order: the chunks to run, in this order; all, from 0, by default.

    Raises:
        ArgumentError: the arrays are not those that the kernel takes.
        IndexingError: an index is outside of its buffer or registers.
        GraphError: a name is not bound; or lanes or chunks write one element.
    """
    run = _Run(kernel, arrays)
    with np.errstate(all="ignore"):
        for chunk in range(kernel.chunks) if order is None else order:
            run.run_chunk(chunk)


class _Run:
    """Memory of one run; `names` are handed down, copied at each body."""

    def __init__(self, kernel: Kernel, arrays: Sequence[np.ndarray]) -> None:
        self.kernel = kernel
        self.chunk = 0
        # By identity, as buffers, registers, statements and expressions have no other.
        self.memory: dict[int, np.ndarray] = {}
        self.registers: dict[int, np.ndarray] = {}
        self.tiles: dict[int, np.ndarray] = {}
        self.orders: dict[int, list[Expression]] = {}
        self.writers: dict[int, np.ndarray] = {}
        self.readers: dict[int, np.ndarray] = {}
        if len(arrays) != len(kernel.buffers):
            raise ArgumentError(
                f"[interpret] kernel {kernel.name!r} takes another number of arrays",
                got=str(len(arrays)),
                expected=str(len(kernel.buffers)),
            )
        for buffer, array in zip(kernel.buffers, arrays, strict=True):
            self.memory[id(buffer)] = self.flat(buffer, array)
            if kernel.chunks > 1 and buffer.access in ("out", "inout"):
                for marks in (self.writers, self.readers):
                    marks[id(buffer)] = np.full(buffer.size, _NOBODY, np.int64)

    def flat(self, buffer: Buffer, array: np.ndarray) -> np.ndarray:
        fits = array.dtype == buffer.dtype.numpy and array.size == buffer.size
        if buffer.access != "in":
            fits = fits and array.flags.c_contiguous and array.flags.writeable
        if not fits:
            raise ArgumentError(
                f"[interpret] kernel {self.kernel.name!r} does not take this array",
                got=f"{array.dtype} of shape {array.shape}",
                expected=f"{buffer!r}, without gaps and writable if it is written to",
            )
        return array.reshape(-1)

    def run_chunk(self, chunk: int) -> None:
        self.chunk = chunk
        for buffer in self.kernel.scratch:
            self.memory[id(buffer)] = _garbage(buffer)
        self.body(self.kernel.body, {Kernel.CHUNK.name: np.int64(chunk)}, None)

    # --- statements

    def body(self, body: Body, names: Names, extent: int | None) -> None:
        """Run statements; `extent` is that of the `vector` around them."""
        for statement in body:
            values = self.evaluate(statement, names, extent)
            if isinstance(statement, Let):
                names[statement.variable.name] = values[id(statement.value)]
            elif isinstance(statement, Store):
                self.store(statement, values)
            elif isinstance(statement, Set):
                self.set(statement, values, extent)
            elif isinstance(statement, Registers):
                self.registers[id(statement)] = np.zeros(
                    (statement.count, statement.lanes), statement.dtype.numpy
                )
            elif isinstance(statement, Transpose):
                key = id(statement.registers)
                if key not in self.registers:
                    self.fail(GraphError, "the registers are not declared", statement)
                self.registers[key] = self.registers[key].T.copy()
            elif isinstance(statement, Tile):
                self.tiles[id(statement)] = np.zeros(
                    (statement.rows, statement.columns), statement.dtype.numpy
                )
            elif isinstance(statement, TileLoad):
                memory = self.memory[id(statement.buffer)]
                self.tiles[id(statement.tile)] = memory[self.rows(statement, values)]
            elif isinstance(statement, TileStore):
                memory = self.memory[id(statement.buffer)]
                memory[self.rows(statement, values)] = self.tile(statement.tile)
            elif isinstance(statement, TileProduct):
                one = [self.tile(x) for x in (statement.left, statement.right)]
                total = self.tile(statement.total)
                self.tiles[id(statement.total)] = tile_product(total, *one)
            elif isinstance(statement, For):
                count = statement.extent
                if isinstance(count, Expression):
                    count = int(values[id(count)])
                inner = dict(names)
                for i in range(count):
                    inner[statement.variable.name] = np.int64(i)
                    self.body(statement.body, inner, extent)
            elif isinstance(statement, Vector):
                lanes = np.arange(statement.extent)
                inner = {**names, statement.variable.name: lanes}
                self.body(statement.body, inner, statement.extent)
            elif isinstance(statement, If):
                true = values[id(statement.condition)]
                chosen = statement.body if true else statement.otherwise
                self.body(chosen, dict(names), extent)

    def store(self, statement: Store, values: Mapping[int, Any]) -> None:
        index = values[id(statement.index)]
        value = values[id(statement.value)]
        condition: Any = True
        if statement.condition is not None:
            condition = values[id(statement.condition)]
        index, value, condition = np.broadcast_arrays(index, value, condition)
        active = index[condition]
        buffer = statement.buffer
        if buffer.access == "in":
            self.fail(GraphError, "a store to an input", statement, repr(buffer))
        self.check_index(statement, buffer, active)
        if active.size > 1 and np.unique(active).size < active.size:
            self.fail(GraphError, "two lanes store to one element", statement)
        key = id(buffer)
        if key in self.writers:
            self.check_owner(statement, self.writers[key][active])
            self.check_owner(statement, self.readers[key][active])
            self.writers[key][active] = self.chunk
        self.memory[key][active] = value[condition]

    def rows(
        self, statement: TileLoad | TileStore, values: Mapping[int, Any]
    ) -> np.ndarray:
        """Return the indices of the elements of a tile in its buffer."""
        tile = statement.tile
        rows = np.arange(tile.rows)[:, None] * statement.step
        index: np.ndarray = values[id(statement.index)] + rows + np.arange(tile.columns)
        self.check_index(statement, statement.buffer, index)
        return index

    def tile(self, tile: Tile) -> np.ndarray:
        if id(tile) not in self.tiles:
            self.fail(GraphError, "the tile is not declared yet", tile)
        return self.tiles[id(tile)]

    def set(
        self, statement: Set, values: Mapping[int, Any], extent: int | None
    ) -> None:
        place = self.place(statement, values)
        store = self.registers[id(statement.registers)]
        store[place, self.lanes(statement, extent)] = values[id(statement.value)]

    def lanes(self, user: Set | Get, extent: int | None) -> Any:
        """Return which lanes of registers are meant here: one, or a slice."""
        registers = user.registers
        if id(registers) not in self.registers:
            self.fail(GraphError, "the registers are not declared yet", registers)
        if registers.lanes == 1:
            if extent is not None and isinstance(user, Set):
                self.fail(GraphError, "registers of one lane set in a vector", user)
            return 0
        if extent is None:
            self.fail(GraphError, "lanes are got and set inside vector", registers)
        return slice(0, extent)

    def place(self, user: Set | Get | Fold, values: Mapping[int, Any]) -> int:
        registers = user.registers
        place = int(values[id(user.place)])
        if not 0 <= place < registers.count:
            self.fail(
                IndexingError,
                f"there is no such place in the registers {registers.name!r}",
                None,
                str(place),
                f"0 to {registers.count - 1}",
            )
        return place

    # --- expressions

    def evaluate(
        self, statement: Statement, names: Names, extent: int | None
    ) -> dict[int, Any]:
        """Return the values of all expressions of a statement, by id."""
        order = self.orders.get(id(statement))
        if order is None:
            order = self.orders[id(statement)] = ordered(roots(statement))
        values: dict[int, Any] = {}
        for node in order:
            values[id(node)] = self.value(node, values, names, extent)
        return values

    def value(
        self,
        node: Expression,
        values: Mapping[int, Any],
        names: Names,
        extent: int | None,
    ) -> Any:
        if isinstance(node, Operation):
            operands = [values[id(operand)] for operand in node.operands]
            return apply(node.name, operands, node.dtype)
        if isinstance(node, Variable):
            if node.name not in names:
                self.fail(GraphError, f"the name {node.name!r} is not bound", None)
            return names[node.name]
        if isinstance(node, Constant):
            return node.dtype.numpy.type(node.value)
        if isinstance(node, Load):
            return self.load(node, values)
        if isinstance(node, Get):
            place = self.place(node, values)
            lanes = self.lanes(node, extent)
            return self.registers[id(node.registers)][place, lanes].copy()
        assert isinstance(node, Fold)
        row = self.registers[id(node.registers)][self.place(node, values)]
        while row.size > 1:
            half = row.size // 2
            row = apply(node.operation, [row[:half], row[half:]], node.dtype)
        return row[0]

    def load(self, node: Load, values: Mapping[int, Any]) -> Any:
        memory = self.memory.get(id(node.buffer))
        if memory is None:
            self.fail(GraphError, "the buffer is not the kernel's", None, f"{node!r}")
        index = values[id(node.index)]
        if node.condition is None:
            self.check_load(node, index)
            return memory[index]
        index, condition, other = np.broadcast_arrays(
            index, values[id(node.condition)], values[id(node.other)]
        )
        active = index[condition]
        self.check_load(node, active)
        result = other.copy()
        result[condition] = memory[active]
        return result[()]

    # --- checks

    def check_load(self, node: Load, index: Any) -> None:
        self.check_index(node, node.buffer, index)
        key = id(node.buffer)
        if key in self.writers:
            self.check_owner(node, self.writers[key][index])
            readers = self.readers[key]
            fresh = np.isin(readers[index], (_NOBODY, self.chunk))
            readers[index] = np.where(fresh, self.chunk, _MANY)

    def check_index(self, user: Any, buffer: Buffer, index: Any) -> None:
        wrong = (index < 0) | (index >= buffer.size)
        if np.any(wrong):
            self.fail(
                IndexingError,
                f"an index is outside of the buffer {buffer!r}",
                user,
                f"index {np.asarray(index)[wrong].flat[0]} in chunk {self.chunk}",
                f"0 to {buffer.size - 1}",
            )

    def check_owner(self, user: Any, owner: Any) -> None:
        wrong = (owner != _NOBODY) & (owner != self.chunk)
        if np.any(wrong):
            self.fail(GraphError, "chunks touch what another one writes", user)

    def fail(
        self,
        error: type[GraphError] | type[IndexingError],
        what: str,
        user: Any,
        got: str = "",
        expected: str = "",
    ) -> NoReturn:
        place = f": `{statement_text(user)}`" if user is not None else ""
        raise error(
            f"[interpret] kernel {self.kernel.name!r}: {what}{place}",
            got=got,
            expected=expected,
        )


def apply(name: str, operands: Sequence[Any], dtype: DType) -> Any:
    """Return the value of one operation on NumPy scalars and arrays.

    Raises:
        GraphError: there is no such operation.
    """
    if name == "cast":
        return operands[0].astype(dtype.numpy)
    if name == "bitcast":
        return operands[0].view(dtype.numpy)
    if name in OPERATIONS:
        return OPERATIONS[name].function(*operands)
    if name not in FUNCTIONS:
        raise GraphError(f"[interpret] there is no operation {name!r}")
    # References of primitives take arrays of one shape.
    shape = np.broadcast_shapes(*(np.shape(operand) for operand in operands))
    alike = [np.array(np.broadcast_to(x, shape or (1,))) for x in operands]
    result = FUNCTIONS[name].reference(*alike)
    return result if shape else result[0]


def _garbage(buffer: Buffer) -> np.ndarray:
    """Return memory whose use before it is written would show."""
    if buffer.dtype.is_float:
        return np.full(buffer.size, np.nan, buffer.dtype.numpy)
    if buffer.dtype.kind == "bool":
        return np.ones(buffer.size, np.bool_)
    pattern = np.full(buffer.size * buffer.dtype.itemsize, 0x5A, np.uint8)
    return pattern.view(buffer.dtype.numpy)
