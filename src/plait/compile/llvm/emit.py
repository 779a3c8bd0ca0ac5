"""From a kernel in Loop IR to a function in LLVM's text.

The text is in the form that a compiler's optimiser would leave: registers are SSA
values, what does not change in a loop is computed before it, the same thing is computed
once, and addresses are a base, an index and a constant. So it goes to code generation
as it is, and making code stays fast.

Read first: `emit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...dtypes import bool_, int64
from ..loops.grammar import (
    UNROLL,
    Body,
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
from ..loops.traverse import all_bodies, ordered, roots
from . import index
from .casting import bitcast, cast
from .memory import Memory, empty
from .scalar import apply, zero
from .square import transposed
from .target import Target
from .tiles import Tiles
from .value import (
    Linear,
    Range,
    Value,
    constant,
    first_lanes,
    integer,
    register_type,
    spell,
)
from .write import Writer

# What an index may reach where nothing is known of it.
_FAR: Range = (-(1 << 61), 1 << 61)
_ON_INDICES = frozenset({"add", "subtract", "multiply", "negative"})
_COMPARISONS = frozenset({"less", "less_equal", "equal", "not_equal"})
Places = dict[Registers, list[Value]]


def emit(kernel: Kernel, target: Target, symbol: str = "kernel") -> str:
    """Return a kernel as LLVM's text: `void symbol(ptr arguments, i64 start, i64 stop,
    ptr scratch)`, which runs chunks `start` to `stop` - 1.
    """
    return in_module(_Emitter(kernel, target).function(symbol), target)


def define(kernel: Kernel, target: Target, symbol: str, divided: bool) -> str:
    """Return a kernel as a function for `in_module`, which others of it call.

    Its arguments are the addresses of its buffers; `start` and `stop` if it is
    `divided`, else it runs all chunks; and `scratch` if it needs any.
    """
    return _Emitter(kernel, target, direct=True).function(symbol, divided)


def in_module(text: str, target: Target) -> str:
    """Return functions as the text of a module."""
    return f'target triple = "{target.triple}"\n\n{text}\n!0 = !{{}}\n!1 = !{{i32 1}}\n'


class _Emitter:
    """Writes one kernel.

    Attributes:
        direct: the addresses of buffers are arguments, rather than in a list.
        names: what each name is bound to.
        places: what is in the registers.
        results: by its id, what each expression of the statement being written is.
    """

    def __init__(self, kernel: Kernel, target: Target, direct: bool = False) -> None:
        self.kernel = kernel
        self.target = target
        self.direct = direct
        self.writer = Writer(target)
        self.memory = Memory(self.writer, kernel.buffers, kernel.scratch, direct)
        self.tiles = Tiles(self.writer, self.memory)
        self.names: dict[str, Value | Linear] = {}
        self.places: Places = {}
        self.results: dict[int, Value | Linear] = {}
        self._orders: dict[int, list[Expression]] = {}
        self._sets: dict[int, frozenset[Registers]] = {}
        self._statements: dict[type, Callable[[Any], None]] = {
            Let: self._let,
            Registers: self._registers,
            Set: self._set,
            Store: self._store,
            For: self._for,
            Vector: self._vector,
            If: self._if,
            Transpose: self._transpose,
            Tile: self.tiles.declare,
            TileLoad: self._tile_moved,
            TileStore: self._tile_moved,
            TileProduct: self.tiles.product,
        }
        self._expressions: dict[type, Callable[[Any], Value | Linear]] = {
            Constant: self._constant,
            Variable: self._variable,
            Load: self._load,
            Get: self._get,
            Operation: self._operation,
            Fold: self._fold,
        }

    def function(self, symbol: str, divided: bool = True) -> str:
        """Return the function's text."""
        kernel, writer, word = self.kernel, self.writer, self.target.index_type
        name = kernel.CHUNK.name
        if kernel.chunks == 1:
            self.names[name] = Linear(0, {})
            self._body(kernel.body)
        elif kernel.chunks > 1:
            start, stop = Value("0", word), Value(f"{kernel.chunks}", word)
            if divided:
                start, stop = Value("%start", word), Value("%stop", word)
            self._loop(
                name,
                start,
                stop,
                (0, kernel.chunks - 1),
                kernel.body,
                certain=not divided,
            )
        if self.memory.streams:
            # Such stores are not ordered with those that tell threads of the end.
            writer.line("  call void @llvm.x86.sse.sfence()")
        body, constants = writer.scopes[0].lines, ""
        if self.tiles.used:
            constants = f"{self.tiles.sizes()}\n\n"
            body.insert(0, "  call void @llvm.x86.ldtilecfg(ptr @tiles)")
            writer.line("  call void @llvm.x86.tilerelease()")
        lines = "\n".join(body)
        attributes = "nounwind"
        if self.target.is_x86 and self.target.vector_bits == 512:
            # LLVM would split vectors of 512 bits on some processors.
            attributes += ' "prefer-vector-width"="512" "min-legal-vector-width"="512"'
        arguments = self._arguments(divided)
        linkage = "internal " if self.direct else ""
        return (
            f"{constants}define {linkage}void @{symbol}({arguments}) {attributes} {{\n"
            f"entry:\n{lines}\n  ret void\n}}\n"
        )

    def _arguments(self, divided: bool) -> str:
        """Return the parameters of the function."""
        word, kernel = self.target.index_type, self.kernel
        chosen = f"{word} %start, {word} %stop"
        if not self.direct:
            return f"ptr noalias readonly %arguments, {chosen}, ptr noalias %scratch"
        found = [f"ptr %b{i}" for i in range(len(kernel.buffers))]
        if divided:
            found.append(chosen)
        if kernel.scratch:
            found.append("ptr noalias %scratch")
        return ", ".join(found)

    # Statements

    def _body(self, body: Body) -> None:
        """Write statements; what they bind is forgotten after them."""
        hidden: list[tuple[str, Value | Linear | None]] = []
        declared: list[Registers] = []
        tiles: list[Tile] = []
        for statement in body:
            if isinstance(statement, Let):
                name = statement.variable.name
                hidden.append((name, self.names.get(name)))
            elif isinstance(statement, Registers):
                declared.append(statement)
            elif isinstance(statement, Tile):
                tiles.append(statement)
            self._compute(statement)
            self._statements[type(statement)](statement)
        for name, before in reversed(hidden):
            self._bind(name, before)
        for registers in declared:
            del self.places[registers]
        for tile in tiles:
            self.tiles.forget(tile)

    def _bind(self, name: str, value: Value | Linear | None) -> None:
        if value is None:
            del self.names[name]
        else:
            self.names[name] = value

    def _let(self, statement: Let) -> None:
        self.names[statement.variable.name] = self.results[id(statement.value)]

    def _registers(self, statement: Registers) -> None:
        type = register_type(statement.dtype)
        nothing = zero(type)
        if statement.lanes > 1:
            nothing = Value("zeroinitializer", type, statement.lanes)
        self.places[statement] = [nothing] * statement.count

    def _set(self, statement: Set) -> None:
        writer = self.writer
        held = self.places[statement.registers]
        place = self._place(statement.place)
        value = self._value(statement.value)
        lanes = statement.registers.lanes
        if lanes > 1:
            value = writer.broadcast(value, lanes)
            if writer.extent < lanes:
                mask = first_lanes(writer.extent, lanes)
                value = writer.select(mask, value, held[place])
        held[place] = value

    def _transpose(self, statement: Transpose) -> None:
        held = self.places[statement.registers]
        self.places[statement.registers] = transposed(self.writer, held)

    def _tile_moved(self, statement: TileLoad | TileStore) -> None:
        self.tiles.move(statement, self._linear(statement.index))

    def _store(self, statement: Store) -> None:
        condition = statement.condition
        self.memory.store(
            statement.buffer,
            self._linear(statement.index),
            self._value(statement.value),
            None if condition is None else self._value(condition),
            statement.streaming,
        )

    def _for(self, statement: For) -> None:
        extent = (
            self._linear(statement.extent)
            if isinstance(statement.extent, Expression)
            else Linear(statement.extent, {})
        )
        name = statement.variable.name
        if extent.known and (statement.kind == UNROLL or extent.constant <= 1):
            before = self.names.get(name)
            for number in range(extent.constant):
                self.names[name] = Linear(number, {})
                self._body(statement.body)
            if extent.constant > 0:
                self._bind(name, before)
            return
        ends = extent.range(0) or _FAR
        stop = self.writer.index(extent)
        self._loop(
            name,
            Value("0", stop.type),
            stop,
            (0, max(ends[1] - 1, 0)),
            statement.body,
            certain=ends[0] > 0,
        )

    def _loop(
        self,
        name: str,
        start: Value,
        stop: Value,
        ends: Range,
        body: Body,
        certain: bool,
    ) -> None:
        """Write a loop with its test at the end."""
        writer, word = self.writer, stop.type
        number = writer.name()
        first = writer.scopes[-1].label
        # In the order of their declarations, so that code is the same each time.
        set_there = self._set_in(body)
        changed = [registers for registers in self.places if registers in set_there]
        scope = writer.open(f"loop{number}", loop=True, certain=certain)
        counter = Value(f"%i{number}", word, 0, writer.depth, ends)
        # Narrower multiples might wrap around, for all that LLVM knows: then constants
        # are not added to them in addresses.
        if word == "i64" and not _has_loop(body):
            scope.counter = counter
        starts: list[list[Value]] = []
        phis: list[list[Value]] = []
        for registers in changed:
            starts.append(self.places[registers])
            type = register_type(registers.dtype)
            lanes = registers.lanes if registers.lanes > 1 else 0
            new = [
                Value(f"%r{writer.name()}", type, lanes, writer.depth)
                for _ in range(registers.count)
            ]
            phis.append(new)
            self.places[registers] = list(new)
        before = self.names.get(name)
        self.names[name] = index.as_linear(counter)
        self._body(body)
        self._bind(name, before)
        writer.close()
        again = f"loop{number}"
        done = f"done{number}"
        multiples = [
            (x, times, self._multiple(start, times))
            for times, x in scope.multiples.items()
        ]
        if certain:
            writer.line(f"  br label %{again}")
        else:
            enter = writer.compare("icmp slt", start, stop)
            writer.line(f"  br i1 {enter.text}, label %{again}, label %{done}")
        writer.line(f"{again}:")
        writer.line(
            f"  {counter.text} = phi {word} [ {start.text}, %{first} ], "
            f"[ {counter.text}.next, %{scope.label} ]"
        )
        for x, _, begin in multiples:
            writer.line(
                f"  {x.text} = phi {word} [ {begin.text}, %{first} ], "
                f"[ {x.text}.next, %{scope.label} ]"
            )
        after: list[str] = []
        for registers, old, new in zip(changed, starts, phis, strict=True):
            finals = self.places[registers]
            for place, (x, phi, y) in enumerate(zip(old, new, finals, strict=True)):
                type = spell(phi.type, phi.lanes)
                writer.line(
                    f"  {phi.text} = phi {type} [ {x.text}, %{first} ], "
                    f"[ {y.text}, %{scope.label} ]"
                )
                if y is phi and certain:
                    finals[place] = x  # never set
                    continue
                if certain:
                    left = y.text
                else:
                    left = f"%r{writer.name()}"
                    after.append(
                        f"  {left} = phi {type} [ {x.text}, %{first} ], "
                        f"[ {y.text}, %{scope.label} ]"
                    )
                depth = min(y.depth, writer.depth) if certain else writer.depth
                finals[place] = Value(left, phi.type, phi.lanes, depth)
        writer.scopes[-1].lines += scope.lines
        for x, times, _ in multiples:
            writer.line(f"  {x.text}.next = add {word} {x.text}, {times}")
        writer.line(f"  {counter.text}.next = add nuw nsw {word} {counter.text}, 1")
        writer.line(
            f"  {counter.text}.more = icmp slt {word} {counter.text}.next, {stop.text}"
        )
        writer.line(f"  br i1 {counter.text}.more, label %{again}, label %{done}")
        writer.block(done)
        for line in after:
            writer.line(line)

    def _multiple(self, start: Value, times: int) -> Value:
        """Return what a multiple of a loop's counter is at first."""
        if start.text == "0":
            return start
        return self.writer.binary("mul", start, integer(times, start.type))

    def _vector(self, statement: Vector) -> None:
        writer = self.writer
        name = statement.variable.name
        if statement.extent <= 0:
            return
        before = self.names.get(name)
        if statement.lanes == 1:
            self.names[name] = Linear(0, {})
        else:
            writer.lanes, writer.extent = statement.lanes, statement.extent
            self.names[name] = Linear(0, {}, 1)
        self._body(statement.body)
        writer.lanes = writer.extent = 0
        self._bind(name, before)

    def _if(self, statement: If) -> None:
        writer = self.writer
        condition = self._value(statement.condition)
        if condition.constant:
            chosen = condition.text == "true"
            self._body(statement.body if chosen else statement.otherwise)
            return
        number = writer.name()
        both = self._set_in(statement.body) | self._set_in(statement.otherwise)
        changed = [registers for registers in self.places if registers in both]
        start = {registers: self.places[registers] for registers in changed}
        done = f"done{number}"
        sides = []
        for label, body in (
            (f"then{number}", statement.body),
            (f"else{number}", statement.otherwise),
        ):
            for registers in changed:
                self.places[registers] = list(start[registers])
            scope = writer.open(label)
            self._body(body)
            writer.close()
            sides.append((label, scope, {r: self.places[r] for r in changed}))
        writer.line(
            f"  br i1 {condition.text}, label %then{number}, label %else{number}"
        )
        for label, scope, _ in sides:
            writer.line(f"{label}:")
            writer.scopes[-1].lines += scope.lines
            writer.line(f"  br label %{done}")
        writer.block(done)
        (_, one, xs), (_, two, ys) = sides
        for registers in changed:
            merged = []
            for x, y in zip(xs[registers], ys[registers], strict=True):
                if x.text == y.text:
                    merged.append(x)
                    continue
                type = spell(x.type, x.lanes)
                text = (
                    f"phi {type} [ {x.text}, %{one.label} ], [ {y.text}, %{two.label} ]"
                )
                merged.append(writer.effect(text, x.type, x.lanes))
            self.places[registers] = merged

    def _set_in(self, body: Body) -> frozenset[Registers]:
        """Return the registers that a body sets."""
        found = self._sets.get(id(body))
        if found is None:
            found = self._sets[id(body)] = frozenset(
                registers
                for statement in body
                for registers in self._sets_of(statement)
            )
        return found

    def _sets_of(self, statement: Statement) -> frozenset[Registers]:
        if isinstance(statement, Set | Transpose):
            return frozenset({statement.registers})
        if isinstance(statement, For | Vector):
            return self._set_in(statement.body)
        if isinstance(statement, If):
            return self._set_in(statement.body) | self._set_in(statement.otherwise)
        return frozenset()

    # Expressions

    def _compute(self, statement: Statement) -> None:
        """Put what all expressions of a statement are into `results`."""
        order = self._orders.get(id(statement))
        if order is None:
            order = self._orders[id(statement)] = ordered(roots(statement))
        results, expressions = self.results, self._expressions
        for expression in order:
            results[id(expression)] = expressions[type(expression)](expression)

    def _value(self, expression: Expression) -> Value:
        result = self.results[id(expression)]
        return self.writer.number(result) if isinstance(result, Linear) else result

    def _linear(self, expression: Expression) -> Linear:
        result = self.results[id(expression)]
        return index.as_linear(result) if isinstance(result, Value) else result

    def _place(self, expression: Expression) -> int:
        place = self._linear(expression)
        assert place.known, "a place of registers is not constant"
        return place.constant

    def _constant(self, expression: Constant) -> Value | Linear:
        if expression.dtype is int64:
            return Linear(int(expression.value), {})
        return constant(expression.value, expression.dtype)

    def _variable(self, expression: Variable) -> Value | Linear:
        return self.names[expression.name]

    def _load(self, expression: Load) -> Value:
        condition = None
        other = empty(expression.buffer)
        if expression.condition is not None:
            condition = self._value(expression.condition)
            if expression.other is not None:
                other = self._value(expression.other)
        index = self._linear(expression.index)
        if expression.ahead and self.target.fetches:
            self.memory.fetch(expression.buffer, index, expression.ahead)
        return self.memory.load(expression.buffer, index, condition, other)

    def _get(self, expression: Get) -> Value:
        return self.places[expression.registers][self._place(expression.place)]

    def _fold(self, expression: Fold) -> Value:
        writer = self.writer
        held = self.places[expression.registers]
        value = held[self._place(expression.place)]
        if value.text == "zeroinitializer":
            return zero(value.type)
        # A sum of numbers is shorter than shuffles of vectors are, if it is one
        # instruction.
        plain = expression.operation in ("add", "multiply")
        apart = 4 if self.target.compact and plain else 2
        while value.lanes > apart:
            half = value.lanes // 2
            lower = writer.shuffle(value, None, list(range(half)))
            upper = writer.shuffle(value, None, list(range(half, 2 * half)))
            value = apply(
                writer, expression.operation, [lower, upper], expression.dtype
            )
        numbers = [writer.extract(value, lane) for lane in range(max(value.lanes, 1))]
        while len(numbers) > 1:
            half = len(numbers) // 2
            numbers = [
                apply(writer, expression.operation, list(pair), expression.dtype)
                for pair in zip(numbers[:half], numbers[half:], strict=True)
            ]
        return numbers[0]

    def _operation(self, expression: Operation) -> Value | Linear:
        name, operands = expression.name, expression.operands
        last = operands[-1].dtype
        if last is int64:
            result = self._index(expression)
            if result is not None:
                return result
        writer = self.writer
        if name == "cast":
            return cast(writer, self._value(operands[0]), last, expression.dtype)
        if name == "bitcast":
            return bitcast(writer, self._value(operands[0]), expression.dtype)
        values = [self._value(operand) for operand in operands]
        return apply(writer, name, values, last)

    def _index(self, expression: Operation) -> Value | Linear | None:
        """Return an operation on int64, if it can be kept in linear form."""
        writer = self.writer
        name, operands = expression.name, expression.operands
        if name in _ON_INDICES:
            x = self._linear(operands[0])
            if name == "negative":
                return x.times(-1)
            y = self._linear(operands[1])
            if name == "multiply":
                return index.multiply(writer, x, y)
            return index.add(writer, x, y, 1 if name == "add" else -1)
        if name in ("floor_divide", "remainder"):
            x, y = self._linear(operands[0]), self._linear(operands[1])
            if y.known:
                result = index.divide(writer, x, y.constant)
                if result is not None:
                    return result[name == "remainder"]
            values = [writer.number(x), writer.number(y)]
            return apply(writer, name, values, int64)
        if name in _COMPARISONS:
            x, y = self._linear(operands[0]), self._linear(operands[1])
            return index.compare(writer, name, x, y)
        if name in ("minimum", "maximum"):
            return self._extreme(name, *operands)
        if name == "cast" and expression.dtype not in (int64, bool_):
            x = self._linear(operands[0])
            ends = x.range(index.last_lane(writer))
            dtype = expression.dtype
            if dtype.is_float:
                number = writer.index(x)
                number.range = number.range or ends
                return cast(writer, number, int64, dtype)
            return writer.number(x, register_type(dtype))
        return None

    def _extreme(self, name: str, first: Expression, second: Expression) -> Linear:
        writer = self.writer
        x, y = self._linear(first), self._linear(second)
        d = x.plus(y, -1).range(index.last_lane(writer))
        if d is not None and (d[1] <= 0 or d[0] >= 0):
            return x if (d[1] <= 0) == (name == "minimum") else y
        ends = x.range(index.last_lane(writer)), y.range(index.last_lane(writer))
        if ends[0] is None or ends[1] is None:
            values = [writer.number(x), writer.number(y)]
            return index.as_linear(apply(writer, name, values, int64))
        lows, highs = zip(ends[0], ends[1], strict=True)
        type = writer.index_type((min(lows), max(highs)))
        values = [writer.number(x, type), writer.number(y, type)]
        value = apply(writer, name, values, int64)
        if not value.constant:
            choose = min if name == "minimum" else max
            value.range = choose(lows), choose(highs)
        return index.as_linear(value)


def _has_loop(body: Body) -> bool:
    """Return whether there is a loop in a body that is not written out."""
    return any(
        isinstance(one, For) and one.kind != UNROLL
        for inner in all_bodies(body)
        for one in inner
    )
