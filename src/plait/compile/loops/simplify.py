"""Makes the indices and conditions of a kernel short, and takes out what does nothing.

- int64 expressions become sums of multiples, outer loops first: `(i*64 + j) // 64` is
  `i` where `j` lies between 0 and 63. Names of indices are written out.
- Conditions that the ranges of the loops decide are gone, and with them branches,
  loops that run never or once, and selections.
- Values that nobody uses are gone.

It does not touch other arithmetic. Each expression of a statement is looked at once.

Read first: `simplify`.
"""

from __future__ import annotations

from collections.abc import Collection

from ...dtypes import bool_, int64
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
from .linear import ZERO, Linear, add, constant
from .ranges import LOW, Forms, Value
from .traverse import ordered, roots


def simplify(kernel: Kernel, inout: Collection[int] = ()) -> Kernel:
    """Return a kernel that does the same with less.

    Args:
        kernel: keeps the rules that `verify` checks; it is not changed.
        inout: buffers that the new kernel both reads and writes, by their numbers.
    """
    renewed = {
        id(x): Buffer(x.name, x.dtype, x.size, "inout")
        for x in (kernel.buffers[i] for i in inout)
    }
    buffers = [renewed.get(id(x), x) for x in kernel.buffers]
    rewriter = _Rewriter(kernel, renewed)
    body = _Pruner().body(rewriter.body(kernel.body))
    return Kernel(kernel.name, buffers, body, kernel.chunks, kernel.scratch)


class _Rewriter:
    """What names and registers of the old kernel are in the new one, so far."""

    def __init__(self, kernel: Kernel, renewed: dict[int, Buffer]) -> None:
        self.renewed = renewed  # id of a buffer -> the one in its place
        self.forms = Forms()
        self.names: dict[str, Expression] = {Kernel.CHUNK.name: Kernel.CHUNK}
        self.registers: dict[int, Registers] = {}
        self.tiles: dict[int, Tile] = {}
        buffers = (*kernel.buffers, *kernel.scratch)
        self.taken = {buffer.name for buffer in buffers} | {Kernel.CHUNK.name}
        self.built: dict[int, Expression] = {}
        # Of forms made of variables only, which are the same wherever they are met.
        self.steady: dict[Linear, Expression] = {}
        self.moving: dict[Linear, Expression] = {}  # the others, of one statement
        most = max(kernel.chunks - 1, 0)
        chunk = self.forms.variable(Kernel.CHUNK, 0, most)
        self.forms.names[Kernel.CHUNK.name] = chunk

    # --- statements

    def body(self, body: Body) -> Body:
        """Return the new statements of a body of its own."""
        taken = self.taken
        self.taken = set(taken)
        mark = self.forms.enter()
        found = self.statements(body)
        self.forms.leave(mark)
        self.taken = taken
        return found

    def statements(self, body: Body) -> Body:
        found: Body = []
        for statement in body:
            self.statement(statement, found)
        return found

    def statement(self, statement: Statement, found: Body) -> None:
        """Add to `found` what a statement becomes."""
        mark = self.expressions(roots(statement))
        if isinstance(statement, Let):
            self.let(statement, found)
        elif isinstance(statement, Store):
            condition = self.condition(statement.condition)
            if not isinstance(condition, Constant):
                found.append(
                    Store(
                        self.renewed.get(id(statement.buffer), statement.buffer),
                        self.new(statement.index),
                        self.new(statement.value),
                        condition,
                        statement.streaming,
                    )
                )
        elif isinstance(statement, Set):
            registers = self.registers[id(statement.registers)]
            place, value = self.new(statement.place), self.new(statement.value)
            found.append(Set(registers, place, value))
        elif isinstance(statement, Registers):
            name = self.fresh(statement.name)
            registers = Registers(
                name, statement.dtype, statement.count, statement.lanes
            )
            self.registers[id(statement)] = registers
            found.append(registers)
        elif isinstance(statement, Transpose):
            found.append(Transpose(self.registers[id(statement.registers)]))
        elif isinstance(statement, Tile):
            name = self.fresh(statement.name)
            tile = Tile(name, statement.dtype, statement.rows, statement.columns)
            self.tiles[id(statement)] = tile
            found.append(tile)
        elif isinstance(statement, TileLoad | TileStore):
            tile, index = self.tiles[id(statement.tile)], self.new(statement.index)
            buffer = self.renewed.get(id(statement.buffer), statement.buffer)
            if isinstance(statement, TileLoad):
                found.append(TileLoad(tile, buffer, index, statement.step))
            else:
                found.append(TileStore(buffer, index, statement.step, tile))
        elif isinstance(statement, TileProduct):
            tiles = (statement.total, statement.left, statement.right)
            found.append(TileProduct(*(self.tiles[id(tile)] for tile in tiles)))
        elif isinstance(statement, For):
            self.loop(statement, found)
        elif isinstance(statement, Vector):
            variable, body = self.inside(statement, statement.extent - 1, None)
            if statement.extent > 0:
                found.append(Vector(variable, statement.extent, statement.lanes, body))
        elif isinstance(statement, If):
            self.branch(statement, found)
        self.forms.end(mark)

    def let(self, statement: Let, found: Body) -> None:
        name, value = statement.variable.name, statement.value
        known: Value = self.forms.of(value)
        new = self.new(value)
        if value.dtype is int64:
            form = self.forms.form(value)
            if not self.forms.steady(form):
                variable = Variable(self.fresh(name))
                low, high = self.forms.within(form)
                known = self.forms.variable(variable, low, high)
                found.append(Let(variable, new))
        elif isinstance(new, Constant | Variable):
            self.names[name] = new
        else:
            self.names[name] = variable = Variable(self.fresh(name), value.dtype)
            found.append(Let(variable, new))
        self.forms.names[name] = known

    def loop(self, statement: For, found: Body) -> None:
        forms = self.forms
        extent = statement.extent
        form = constant(extent) if isinstance(extent, int) else forms.form(extent)
        low, high = forms.within(form)
        if high <= 0:
            return
        if low == high == 1:
            enter = forms.enter()
            forms.names[statement.variable.name] = ZERO
            # Its names become names of this body, taken until that ends.
            found.extend(self.statements(statement.body))
            forms.leave(enter)
            return
        count = low if low == high else self.write(form)
        known = form if form[1] and forms.fits(form) else None
        variable, body = self.inside(statement, high - 1, known)
        found.append(For(variable, count, body, statement.kind))

    def branch(self, statement: If, found: Body) -> None:
        known, if_true, if_false = self.forms.truth(statement.condition)
        if known is not None:
            chosen = statement.body if known else statement.otherwise
            enter = self.forms.enter()
            found.extend(self.statements(chosen))
            self.forms.leave(enter)
            return
        condition = self.new(statement.condition)
        bodies = []
        for body, facts in (
            (statement.body, if_true),
            (statement.otherwise, if_false),
        ):
            enter = self.forms.enter()
            self.forms.facts.extend(facts)
            bodies.append(self.body(body))
            self.forms.leave(enter)
        found.append(If(condition, *bodies))

    def inside(
        self, loop: For | Vector, most: int, extent: Linear | None
    ) -> tuple[Variable, Body]:
        """Return the new variable, from 0 to `most`, and the new body of a loop."""
        forms = self.forms
        enter = forms.enter()
        taken = self.taken
        self.taken = set(taken)
        new = Variable(self.fresh(loop.variable.name))
        form = forms.variable(new, 0, max(most, 0))
        forms.names[loop.variable.name] = form
        if extent is not None:
            forms.facts.append(add(extent, add(form, constant(1)), -1))
        body = self.body(loop.body)
        self.taken = taken
        forms.leave(enter)
        return new, body

    def fresh(self, name: str) -> str:
        """Return a name that nothing has in this body or around it."""
        found, number = name, 0
        while found in self.taken:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found

    # --- expressions

    def expressions(self, own: tuple[Expression, ...]) -> int:
        """Build the new expressions of a statement, for `new`."""
        order = ordered(own)
        forms = self.forms
        mark = forms.begin(order)
        built = self.built = {}
        self.moving = {}
        for node in order:
            # Indices are built from their forms, where they are wanted.
            if node.dtype is not int64 or forms.is_leaf(node):
                built[id(node)] = self.build(node)
        return mark

    def new(self, node: Expression) -> Expression:
        """Return what an expression of this statement becomes."""
        if node.dtype is int64:
            return self.write(self.forms.form(node))
        return self.built[id(node)]

    def condition(self, node: Expression | None) -> Expression | None:
        """Return a condition, None where it is true, a Constant where it is false."""
        new = None if node is None else self.built[id(node)]
        return None if isinstance(new, Constant) and new.value else new

    def build(self, node: Expression) -> Expression:
        if node.dtype is bool_:
            known = self.forms.truth(node).known
            if known is not None:
                return Constant(known, bool_)
        if isinstance(node, Operation):
            return self.operation(node)
        if isinstance(node, Variable):
            return self.names[node.name]
        if isinstance(node, Load):
            condition = self.condition(node.condition)
            other = None
            if condition is not None and node.other is not None:
                other = self.new(node.other)
                if isinstance(condition, Constant):
                    return other
            buffer = self.renewed.get(id(node.buffer), node.buffer)
            return Load(buffer, self.new(node.index), condition, other, node.ahead)
        if isinstance(node, Get):
            return Get(self.registers[id(node.registers)], self.new(node.place))
        if isinstance(node, Fold):
            registers = self.registers[id(node.registers)]
            return Fold(node.operation, registers, self.new(node.place))
        return node

    def operation(self, node: Operation) -> Expression:
        name = node.name
        first = node.operands[0]
        if name == "select":
            known = self.forms.truth(first).known
            if known is not None:
                return self.new(node.operands[1 if known else 2])
        elif node.dtype is bool_ and first.dtype is bool_:
            if name in ("bitwise_and", "bitwise_or"):
                # What is known does not decide, or this were known as a whole.
                for one, other in (node.operands, node.operands[::-1]):
                    if self.forms.truth(one).known is not None:
                        return self.new(other)
        elif node.dtype is bool_ and first.dtype is int64:
            return self.compare(node)
        operands = [self.new(operand) for operand in node.operands]
        return Operation(name, operands, node.dtype)

    def compare(self, node: Operation) -> Expression:
        """Return a comparison of indices without what both sides have."""
        forms = self.forms
        x, y = (forms.form(operand) for operand in node.operands)
        up = add(y, x, -1)
        right = (max(up[0], 0), tuple(term for term in up[1] if term[1] > 0))
        left = (max(-up[0], 0), tuple((atom, -k) for atom, k in up[1] if k < 0))
        if all(map(forms.fits, (x, y, left, right))):
            x, y = left, right
        return Operation(node.name, (self.write(x), self.write(y)), bool_)

    def write(self, form: Linear) -> Expression:
        """Return a sum of products: large multiples, of outer loops, first."""
        known = self.steady if self.forms.steady(form) else self.moving
        found = known.get(form)
        if found is None:
            found = known[form] = self.sum(form)
        return found

    def sum(self, form: Linear) -> Expression:
        number = _wrapped(form[0])
        terms = sorted(form[1], key=lambda term: (term[1] < 0, -abs(term[1]), term[0]))
        found: Expression | None = None
        for atom, times in terms:
            k = _wrapped(times)
            minus = LOW < k < 0
            term = self.atom(atom) * (-k if minus else k)
            if found is None:
                # Only if all terms are subtracted is the number written first.
                found = Constant(number, int64) - term if minus else term
                if minus:
                    number = 0
            else:
                found = found - term if minus else found + term
        if found is None:
            return Constant(number, int64)
        return found - -number if LOW < number < 0 else found + number

    def atom(self, atom: int) -> Expression:
        leaf, operation, operands = self.forms.origins[atom]
        if leaf is None:
            new = [self.write(operand) for operand in operands]
            return Operation(operation, new, int64)
        # An old name is never a leaf: each was bound again, to a new one.
        return leaf if isinstance(leaf, Variable) else self.built[id(leaf)]


def _wrapped(number: int) -> int:
    return (number - LOW) % 2**64 + LOW


class _Pruner:
    """Takes out, from the end on, values that nothing after them uses."""

    def __init__(self) -> None:
        self.met: set[int] = set()  # ids of variables are among these

    def body(self, body: Body) -> Body:
        found: Body = []
        for statement in reversed(body):
            if isinstance(statement, Let) and id(statement.variable) not in self.met:
                continue
            if isinstance(statement, For | Vector):
                statement.body = self.body(statement.body)
                if not statement.body:
                    continue
            elif isinstance(statement, If):
                statement.otherwise = self.body(statement.otherwise)
                statement.body = self.body(statement.body)
                if not statement.body and not statement.otherwise:
                    continue
            self.met.update(map(id, ordered(roots(statement), self.met)))
            found.append(statement)
        return found[::-1]
