"""Checks that a kernel keeps the rules of Loop IR, before anything is made of it.

An index must be proven to lie within its buffer: by the ranges of the loops, and by the
conditions around it: those of `if`, and the load's or store's own. They count where
they are comparisons of int64, joined by `bitwise_and`. What comes from memory is proven
by a condition on that same value, or by `minimum` and `maximum` around it.

Read first: `verify`.
"""

from __future__ import annotations

from typing import NoReturn

from ...dtypes import DType, bool_, float32, int64, uint32
from ...errors import DTypeError, GraphError, IndexingError, PlaitError
from .grammar import (
    SERIAL,
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
    Tile,
    TileLoad,
    TileProduct,
    TileStore,
    Transpose,
    Variable,
    Vector,
)
from .linear import Linear, add, constant
from .operations import OPERATIONS
from .ranges import HIGH, LOW, Forms
from .signature import result_dtype
from .text import statement_text
from .traverse import ordered, roots

_ACCESS = ("in", "out", "inout")
# A tile has at most so many rows, and bytes in one.
_TILE_ROWS, _TILE_BYTES = 16, 64
_MOST_TILES = 8
FOLDS = (
    "add", "multiply", "minimum", "maximum", "bitwise_and", "bitwise_or", "bitwise_xor",
)  # fmt: skip


def verify(kernel: Kernel) -> None:
    """Raise unless `kernel` keeps the rules of the grammar, and of this module.

    Raises:
        GraphError: a name is not bound, or a statement stands where it may not.
        DTypeError: operands or values are of other dtypes than they must be.
        IndexingError: an index is not proven to lie within its buffer or registers.

    Each message shows the statement.
    """
    _Check(kernel).run()


class _Check:
    """The check of one kernel; names and places are those of the statement at hand."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.forms = Forms(thorough=True)
        self.names: dict[str, DType] = {}
        # Ids of buffers, and of registers and tiles that are seen here.
        self.memory: set[int] = set()
        self.tiles = 0  # how many of them are tiles
        self.unrolled: set[int] = set()  # atoms of the variables of `unroll`
        self.vector: tuple[Vector, int] | None = None  # and the atom of its variable
        self.dead = kernel.chunks <= 0  # the code at hand never runs
        self.sure = True  # and it runs in every chunk
        self.checked: set[int] = set()
        self.statement: Statement | None = None
        self.chunk = -1

    def run(self) -> None:
        kernel = self.kernel
        for buffer in (*kernel.buffers, *kernel.scratch):
            known = ("scratch",) if buffer in kernel.scratch else _ACCESS
            if buffer.access not in known:
                self.fail("the access is not one of these", repr(buffer), str(known))
            if buffer.name in self.names or buffer.name == Kernel.CHUNK.name:
                self.fail("a name is bound twice", repr(buffer))
            if buffer.size < 0:
                self.fail("a size is negative", repr(buffer))
            self.names[buffer.name] = buffer.dtype
            self.memory.add(id(buffer))
        self.chunk = self.bind(Kernel.CHUNK, max(kernel.chunks - 1, 0))
        self.body(kernel.body)

    # --- statements

    def body(self, body: Body, dead: bool = False, sure: bool = True) -> None:
        state = (self.names, self.memory, self.dead, self.sure, self.tiles)
        self.names, self.memory = dict(self.names), set(self.memory)
        self.dead, self.sure = self.dead or dead, self.sure and sure
        for statement in body:
            self.statement = statement
            mark = self.expressions(statement)
            self.check(statement)
            self.forms.end(mark)
        self.names, self.memory, self.dead, self.sure, self.tiles = state

    def check(self, statement: Statement) -> None:
        if isinstance(statement, Let):
            self.let(statement)
        elif isinstance(statement, Store):
            self.store(statement)
        elif isinstance(statement, Set):
            self.same(statement.value.dtype, statement.registers.dtype, "a value")
            self.place(statement)
        elif isinstance(statement, Registers):
            self.new(statement.name, statement.dtype)
            if statement.count < 1 or statement.lanes < 1:
                self.fail("registers need a place and a lane")
            self.memory.add(id(statement))
        elif isinstance(statement, Transpose):
            self.transpose(statement.registers)
        elif isinstance(statement, Tile | TileLoad | TileStore | TileProduct):
            self.tile(statement)
        elif isinstance(statement, For):
            self.loop(statement)
        elif isinstance(statement, Vector):
            self.lanes(statement)
        elif isinstance(statement, If):
            self.branch(statement)
        else:
            self.statement = None  # it cannot be shown
            self.fail("this is not a statement", type(statement).__name__)

    def let(self, statement: Let) -> None:
        variable = statement.variable
        self.same(statement.value.dtype, variable.dtype, "a value")
        self.new(variable.name, variable.dtype)
        self.forms.names[variable.name] = self.forms.of(statement.value)

    def store(self, statement: Store) -> None:
        buffer = statement.buffer
        if id(buffer) not in self.memory:
            self.fail("the buffer is not the kernel's", repr(buffer))
        if buffer.access == "in":
            self.fail("a store to an input", repr(buffer))
        self.same(statement.value.dtype, buffer.dtype, "a value")
        self.inside(buffer, statement.index, statement.condition)
        self.race(statement)

    def race(self, statement: Store) -> None:
        """Find stores by several lanes or chunks that surely meet."""
        forms = self.forms
        form = forms.form(statement.index)
        condition = statement.condition
        if self.dead or (condition is not None and not forms.truth(condition).known):
            return
        if self.vector is not None:
            vector, lane = self.vector
            if vector.extent > 1 and not forms.depends(form, lane):
                self.fail("all lanes store to one element")
        shared = statement.buffer.access != "scratch" and self.kernel.chunks > 1
        if shared and self.sure and not forms.depends(form, self.chunk):
            self.fail("all chunks store to one element")

    def transpose(self, registers: Registers) -> None:
        if id(registers) not in self.memory:
            self.fail("the registers are not declared here", repr(registers.name))
        if self.vector is not None:
            self.fail("a transpose inside vector")
        lanes = registers.lanes
        if registers.count != lanes or lanes & (lanes - 1):
            size = f"{registers.count} x {registers.lanes}"
            self.fail("registers to transpose are no square of 2, 4, 8, ...", size)

    def tile(self, statement: Tile | TileLoad | TileStore | TileProduct) -> None:
        if self.vector is not None:
            self.fail("a tile inside vector")
        if isinstance(statement, Tile):
            self.new_tile(statement)
        elif isinstance(statement, TileProduct):
            total, left, right = statement.total, statement.left, statement.right
            for tile, dtype in ((total, float32), (left, uint32), (right, uint32)):
                self.known(tile)
                self.same(tile.dtype, dtype, "a tile of a product")
            wanted = (left.rows, right.columns, left.columns)
            if (total.rows, total.columns, right.rows) != wanted:
                self.fail("the tiles of a product do not fit together")
        else:
            tile, buffer = statement.tile, statement.buffer
            self.known(tile)
            self.same(tile.dtype, buffer.dtype, "a tile of this buffer")
            if isinstance(statement, TileStore) and buffer.access != "scratch":
                self.fail("a tile is not stored into scratch memory", repr(buffer))
            if statement.step < tile.columns and tile.rows > 1:
                self.fail("the rows of a tile lie upon one another")
            extent = (tile.rows - 1) * statement.step + tile.columns
            self.inside(buffer, statement.index, None, extent)

    def new_tile(self, tile: Tile) -> None:
        self.new(tile.name, tile.dtype)
        self.memory.add(id(tile))
        self.tiles += 1
        if self.tiles > _MOST_TILES:
            self.fail("there are more tiles at once", expected=str(_MOST_TILES))
        columns = _TILE_BYTES // tile.dtype.itemsize
        if not (1 <= tile.rows <= _TILE_ROWS and 1 <= tile.columns <= columns):
            size = f"{tile.rows} x {tile.columns}"
            self.fail("a tile of this size", size, f"up to {_TILE_ROWS} x {columns}")
        if tile.dtype.itemsize != 4:
            self.fail("elements of a tile have not 32 bits", tile.dtype.name)

    def known(self, tile: Tile) -> None:
        if id(tile) not in self.memory:
            self.fail("the tile is not declared here", repr(tile.name))

    def loop(self, statement: For) -> None:
        extent = statement.extent
        if statement.kind not in (SERIAL, UNROLL):
            self.fail("there is no such kind of loop", statement.kind)
        if statement.kind == UNROLL and isinstance(extent, Expression):
            self.fail("the extent of unroll is not a number")
        if statement.kind == SERIAL and self.vector is not None:
            self.fail("a loop inside vector that is not unroll")
        form = constant(extent) if isinstance(extent, int) else None
        if form is None:
            assert isinstance(extent, Expression)
            self.same(extent.dtype, int64, "an extent")
            form = self.forms.form(extent)
        most = self.forms.within(form)[1]
        mark = self.forms.enter()
        names = self.names
        self.names = dict(names)
        atom = self.bind(statement.variable, max(most - 1, 0))
        if statement.kind == UNROLL:
            self.unrolled.add(atom)
        if form[1] and self.forms.fits(form):
            before = add(form, (1, ((atom, 1),)), -1)
            self.forms.facts.append(before)
        sure = not form[1]
        self.body(statement.body, dead=most <= 0, sure=sure)
        self.names = names
        self.forms.leave(mark)

    def lanes(self, statement: Vector) -> None:
        if self.vector is not None:
            self.fail("a vector inside a vector")
        if not 0 <= statement.extent <= statement.lanes:
            self.fail("a vector has more values than lanes")
        mark = self.forms.enter()
        names = self.names
        self.names = dict(names)
        atom = self.bind(statement.variable, max(statement.extent - 1, 0))
        self.vector = (statement, atom)
        self.body(statement.body, dead=statement.extent == 0)
        self.vector = None
        self.names = names
        self.forms.leave(mark)

    def branch(self, statement: If) -> None:
        if self.vector is not None:
            self.fail("an if inside vector")
        self.same(statement.condition.dtype, bool_, "a condition")
        known, if_true, if_false = self.forms.truth(statement.condition)
        for body, facts, never in (
            (statement.body, if_true, False),
            (statement.otherwise, if_false, True),
        ):
            mark = self.forms.enter()
            self.forms.facts.extend(facts)
            self.body(body, dead=known is never, sure=False)
            self.forms.leave(mark)

    def bind(self, variable: Variable, most: int) -> int:
        """Bind the variable of a loop, from 0 to `most`; return its atom."""
        self.same(variable.dtype, int64, "the variable of a loop")
        self.new(variable.name, int64)
        form = self.forms.variable(variable, 0, most)
        self.forms.names[variable.name] = form
        return form[1][0][0]

    def new(self, name: str, dtype: DType) -> None:
        if name in self.names:
            self.fail("a name is bound twice", repr(name))
        self.names[name] = dtype

    # --- expressions

    def expressions(self, statement: Statement) -> int:
        """Check the expressions of a statement, and find what is known of them."""
        order = ordered(roots(statement))
        for node in order:
            if isinstance(node, Variable):
                if node.name not in self.names or node.name not in self.forms.names:
                    self.fail("a name is not bound", repr(node.name))
                self.same(node.dtype, self.names[node.name], f"the name {node.name!r}")
            elif id(node) not in self.checked:
                self.dtypes(node)
                self.checked.add(id(node))
        if isinstance(statement, TileLoad | TileStore):
            self.same(statement.index.dtype, int64, "an index")
        if isinstance(statement, Store):
            self.same(statement.index.dtype, int64, "an index")
            if statement.condition is not None:
                self.same(statement.condition.dtype, bool_, "a condition")
        if isinstance(statement, Set):
            self.same(statement.place.dtype, int64, "a place")
        mark = self.forms.begin(order)
        for node in order:
            if isinstance(node, Load):
                self.inside(node.buffer, node.index, node.condition)
            elif isinstance(node, Get | Fold):
                self.place(node)
        return mark

    def dtypes(self, node: Expression) -> None:
        """Check what does not depend on where the expression stands."""
        if isinstance(node, Operation):
            try:
                known = result_dtype(node.name, [x.dtype for x in node.operands])
            except PlaitError as error:
                raise type(error)(
                    f"[verify] kernel {self.kernel.name!r}: {error.what}{self.here()}",
                    got=error.got,
                    expected=error.expected,
                    fix=error.fix,
                ) from None
            if known is not None:
                self.same(node.dtype, known, f"the result of {node.name}")
            if node.name == "bitcast":
                source = node.operands[0].dtype
                if source.itemsize != node.dtype.itemsize:
                    self.same(node.dtype, source, "a bitcast to another size:")
        elif isinstance(node, Load):
            self.same(node.index.dtype, int64, "an index")
            if (node.condition is None) != (node.other is None):
                self.fail("a load has a condition, or another value, but not both")
            if node.condition is not None and node.other is not None:
                self.same(node.condition.dtype, bool_, "a condition")
                self.same(node.other.dtype, node.dtype, "the other value of a load")
        elif isinstance(node, Get | Fold):
            self.same(node.place.dtype, int64, "a place")
            if isinstance(node, Fold):
                self.fold(node)
        elif isinstance(node, Constant):
            self.number(node)
        else:
            self.statement = None  # it cannot be shown
            self.fail("this is not an expression", type(node).__name__)

    def fold(self, node: Fold) -> None:
        lanes = node.registers.lanes
        if node.operation not in FOLDS:
            self.fail("there is no fold of this", node.operation, ", ".join(FOLDS))
        if node.dtype.kind not in OPERATIONS[node.operation].kinds:
            self.same(node.dtype, None, f"a fold of {node.operation}")
        if lanes & (lanes - 1):
            self.fail("a fold of lanes that cannot be halved", str(lanes))

    def number(self, node: Constant) -> None:
        value, dtype = node.value, node.dtype
        if dtype is bool_:
            fits = type(value) is bool
        elif dtype.is_float:
            fits = type(value) in (float, int)
        else:
            low, high = 0, 2**dtype.bits - 1
            if dtype.kind == "signed":
                low, high = -(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1
            fits = type(value) is int and low <= value <= high
        if not fits:
            got = f"{value!r} of {type(value).__name__}"
            self.fail(f"a constant is no {dtype.name}", got)

    # --- places in memory

    def inside(
        self,
        buffer: Buffer,
        index: Expression,
        condition: Expression | None,
        extent: int = 1,
    ) -> None:
        """Prove that an index lies within a buffer where the condition is true, and so
        do all of `extent` elements from it on.
        """
        forms = self.forms
        if id(buffer) not in self.memory:
            self.fail("the buffer is not the kernel's", repr(buffer))
        if self.dead:
            return
        count = len(forms.facts)
        if condition is not None:
            truth = forms.truth(condition)
            if truth.known is False:
                return
            forms.facts.extend(truth.if_true)
        form = forms.form(index)
        forms.facts.extend(forms.implied(form))
        self.bounds(form, buffer.size - extent + 1, repr(buffer))
        del forms.facts[count:]

    def bounds(self, form: Linear, size: int, what: str) -> None:
        forms = self.forms
        for one in (form, forms.exact(form)):
            top = add(constant(size - 1), one, -1)
            if forms.holds(one) and forms.holds(top):
                break
        else:
            low, high = forms.range(form)
            seen = f"{low} to {high}"
            if low < LOW or high > HIGH:
                seen = "any number"
            raise IndexingError(
                f"[verify] kernel {self.kernel.name!r}: an index is not proven to lie "
                f"within {what}{self.here()}",
                got=seen,
                expected=f"0 to {size - 1}",
                fix="give the access a condition, or clamp the index",
            )

    def place(self, user: Set | Get | Fold) -> None:
        registers = user.registers
        if id(registers) not in self.memory:
            self.fail("the registers are not declared here", repr(registers.name))
        form = self.forms.form(user.place)
        if any(atom not in self.unrolled for atom, _ in self.leaves(form)):
            self.fail("a place that is not constant once loops are unrolled")
        if not self.dead:
            name = f"{registers.name}[{registers.count} x {registers.lanes}]"
            self.bounds(form, registers.count, name)
        if isinstance(user, Fold):
            if self.vector is not None:
                self.fail("a fold inside vector")
        elif registers.lanes > 1:
            if self.vector is None:
                self.fail("registers of several lanes got or set outside of vector")
            if self.vector[0].lanes != registers.lanes:
                self.fail(
                    "registers and vector differ in lanes",
                    f"{registers.lanes} and {self.vector[0].lanes}",
                )
        elif isinstance(user, Set) and self.vector is not None:
            self.fail("registers of one lane set inside vector")

    def leaves(self, form: Linear) -> list[tuple[int, int]]:
        """Return the terms of a form, and of what its atoms are made of."""
        found: list[tuple[int, int]] = []
        for term in form[1]:
            operands = self.forms.origins[term[0]].operands
            if not operands:
                found.append(term)
            for operand in operands:
                found.extend(self.leaves(operand))
        return found

    # --- messages

    def same(self, got: DType, expected: DType | None, what: str) -> None:
        if got is not expected:
            raise DTypeError(
                f"[verify] kernel {self.kernel.name!r}: {what} is of the wrong element "
                f"type{self.here()}",
                got=got.name,
                expected="" if expected is None else expected.name,
            )

    def fail(self, what: str, got: str = "", expected: str = "") -> NoReturn:
        raise GraphError(
            f"[verify] kernel {self.kernel.name!r}: {what}{self.here()}",
            got=got,
            expected=expected,
        )

    def here(self) -> str:
        if self.statement is None:
            return ""
        return f": `{statement_text(self.statement)}`"
