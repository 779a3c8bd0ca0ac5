"""From a kernel in Loop IR to a shader in WGSL.

A workgroup runs a chunk, and its invocations are the lanes: registers of many lanes are
variables of each invocation. What is outside of `vector` all of them compute, and the
first one stores. A kernel without `vector` has one invocation.

Read first: `emit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...dtypes import float32
from ...errors import DeviceError
from ..loops.functions import PREFIX
from ..loops.grammar import (
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
    Transpose,
    Variable,
    Vector,
)
from ..loops.traverse import all_bodies, ordered, parts, roots
from .casting import as_long, as_small, bitcast, call, cast
from .exchange import Exchange
from .hazards import NEAR, Barriers, Hazards
from .library import text_of
from .machine import Machine, length_of
from .memory import Memory
from .scalar import apply
from .value import Value, is_long, literal, named, type_of

# Expressions that are nested deeper get a name: readers of WGSL have limits.
_DEEPEST = 12
_ROUNDS = frozenset({"add", "subtract", "multiply", "fused_multiply_add"})
# Any device runs that many invocations in a workgroup.
MOST_LANES = 256


class Shader(NamedTuple):
    """A kernel in WGSL, with the entry point "kernel".

    At group 0, binding 0 lies all memory, an array of words. At binding 1 lies what a
    launch says: four words (the first chunk of this dispatch, the number of all chunks,
    workgroups in one line of the dispatch, the word at which scratch memory begins),
    then a word for each buffer: its address divided by the size of an element.

    Attributes:
        text: the module.
        scratch: bytes of scratch memory for each workgroup of a dispatch.
        table: words of 32 bits, for which the launch has one more buffer, if there are
            any: of pairs of words.
    """

    text: str
    scratch: int
    table: tuple[int, ...] = ()


def emit(
    kernel: Kernel, inout: frozenset[int] = frozenset(), half: bool = False
) -> Shader:
    """Return a kernel as WGSL.

    Args:
        inout: numbers of buffers that are written over while they are read.
        half: the device has the feature "shader-f16".

    Raises:
        DeviceError: it needs more lanes than devices have.
    """
    shader = _Emitter(kernel, inout, half).shader()
    if half and shader.table:
        # There are other numbers in memory than those of its buffers.
        return _Emitter(kernel, inout, False).shader()
    return shader


class _Emitter:
    def __init__(self, kernel: Kernel, inout: frozenset[int], half: bool) -> None:
        self.kernel = kernel
        self.half = half
        self.lanes = _lanes_of(kernel)
        shared = frozenset(
            x for i, x in enumerate(kernel.buffers) if i in inout or x.access == "inout"
        )
        if inout:
            shared |= {x for x in kernel.buffers if x.access != "in"}
        self.memory = Memory(kernel.buffers, kernel.scratch, half)
        near = frozenset(x for x in kernel.scratch if self.memory.is_shared(x))
        self.hazards = Hazards(self.lanes, shared, _loaded(kernel), near)
        self.exchange = Exchange(self.lanes)
        self.turned = {
            one.registers
            for body in all_bodies(kernel.body)
            for one in body
            if isinstance(one, Transpose)
        }
        self.lines: list[str] = []
        self.names: dict[str, Value] = {}
        self.places: dict[Registers, list[str]] = {}
        self.results: dict[int, Value] = {}
        self.vector: Vector | None = None
        self.waits = 0  # barriers written so far
        self.count = 0
        self.table: list[int] = []  # of machines
        self._statements: dict[type, Callable[[Any], None]] = {
            Let: self._let,
            Registers: self._registers,
            Set: self._set,
            Store: self._store,
            For: self._for,
            Vector: self._vector,
            If: self._if,
            Transpose: self._transpose,
        }

    def shader(self) -> Shader:
        """Return the whole text."""
        kernel = self.kernel
        top = max(0, kernel.chunks - 1)
        chunk = Value("chunk", "i32", (0, top), True, True)
        if kernel.chunks == 1:
            chunk = literal(0, Variable("chunk").dtype)
        self.names[kernel.CHUNK.name] = chunk
        self._body(kernel.body)
        self.memory.write_helpers()
        body = [
            "lane = local;",
            "nothing = launch.head.y >> 31u;",
            "let turn = group.x + group.y * launch.head.z;",
            "let number = launch.head.x + turn;",
            "if (number >= launch.head.y) { return; }",
            *(["let chunk = i32(number);"] if kernel.chunks > 1 else []),
            *self.memory.beginning(),
            *self.lines,
        ]
        main = "\n".join(f"  {line}" for line in body)
        parts = [
            self.memory.declarations(),
            "var<private> lane: u32;\nvar<private> nothing: u32;",
            self.exchange.declarations(),
            text_of([main, self.exchange.declarations()], self.half),
            f"@compute @workgroup_size({self.lanes})\n"
            "fn kernel(@builtin(workgroup_id) group: vec3<u32>, "
            "@builtin(local_invocation_index) local: u32) {\n"
            f"{main}\n}}\n",
        ]
        text = "\n".join(part for part in parts if part)
        if "f16" in text:
            text = f"enable f16;\n{text}"
        return Shader(text, self.memory.scratch, tuple(self.table))

    def line(self, text: str) -> None:
        self.lines.append(text)

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def bound(self, value: Value) -> Value:
        """Return a value under a name."""
        if value.named:
            return value
        name = self.name()
        self.line(f"let {name} = {value.text};")
        return named(name, value)

    def wait(self, barriers: Barriers) -> None:
        """Write barriers, each of which all invocations wait at."""
        for wanted, text in zip(barriers, ("workgroup", "storage"), strict=True):
            if wanted:
                self.waits += 1
                self.line(f"{text}Barrier();")
        self.hazards.passed(barriers)

    # Statements

    def _body(self, body: Body) -> None:
        names, rests = dict(self.names), dict(self.hazards.names)
        lanes = self.vector.lanes if self.vector is not None else 0
        machines: list[tuple[Machine, int]] = []
        for at, statement in enumerate(body):
            if machines and machines[-1][1] == at:
                self._work_off(machines[-1][0], body[at:])
            self.wait(self.hazards.waits(statement, lanes))
            self.hazards.take(statement, lanes)
            if not machines or at >= machines[-1][1]:
                count = length_of(body, at)
                if count:
                    machine = Machine(self.name(), self._native, self.table)
                    machines.append((machine, at + count))
            if machines and at < machines[-1][1]:
                assert isinstance(statement, Let)
                if machines[-1][0].take(statement):
                    continue
            waits = self.waits
            self._compute(statement)
            if self.waits > waits:
                # There were barriers before the statement itself does anything.
                self.hazards.take(statement, lanes)
            handler = self._statements.get(type(statement))
            if handler is None:
                raise DeviceError(
                    "[webgpu] a kernel needs tiles, which WGSL does not have",
                    got=self.kernel.name,
                )
            handler(statement)
        if machines and machines[-1][1] == len(body):
            self._work_off(machines[-1][0], [])
        self.names, self.hazards.names = names, rests

    def _native(self, node: Expression) -> Value:
        """Return the value of an expression that a machine begins with."""
        for one in ordered([node]):
            self.results[id(one)] = self.bound(self._value(one))
        return self.results[id(node)]

    def _work_off(self, machine: Machine, rest: Body) -> None:
        """Write a machine's loop, and take its results.

        Args:
            rest: what comes after.
        """
        used = {
            node.name
            for body in all_bodies(rest)
            for statement in body
            for node in ordered(roots(statement))
            if isinstance(node, Variable)
        }
        wanted = sorted(machine.names.keys() & used)
        machine.finish(wanted)
        self.lines += machine.loop(self.memory.table())
        for name in wanted:
            self.names[name] = machine.value(name)

    def _let(self, statement: Let) -> None:
        name = statement.variable.name
        value = self.results[id(statement.value)]
        if name.startswith(PREFIX) and _rounds(statement.value):
            value = call("exact", value, type="f32")
        self.names[name] = self.bound(value)
        self.hazards.names[name] = self.hazards.rest(statement.value)

    def _registers(self, statement: Registers) -> None:
        type, names = type_of(statement.dtype), []
        if statement in self.turned:
            # Loops go along their places.
            name = self.name()
            self.line(f"var {name} = array<{type}, {statement.count}>();")
            self.places[statement] = [f"{name}[{i}]" for i in range(statement.count)]
            return
        for _ in range(statement.count):
            names.append(self.name())
            # What is declared in a loop begins anew in each turn.
            self.line(f"var {names[-1]} = {type}();")
        self.places[statement] = names

    def _set(self, statement: Set) -> None:
        name = self._register(statement.registers, statement.place)
        value = self.results[id(statement.value)]
        if is_long(statement.registers.dtype):
            value = as_long(value)
        self._guarded(f"{name} = {value.text};", None, statement.registers.lanes > 1)

    def _store(self, statement: Store) -> None:
        index = as_small(self.results[id(statement.index)])
        value = self.results[id(statement.value)]
        condition = statement.condition
        test = None if condition is None else self.results[id(condition)]
        self._guarded(self.memory.store(statement.buffer, index, value), test, True)

    def _guarded(self, text: str, test: Value | None, by_lane: bool) -> None:
        """Write a statement for the lanes that shall do it."""
        tests = []
        if by_lane and self.vector is None and self.lanes > 1:
            tests.append("lane == 0u")
        elif by_lane and self.vector is not None and self.vector.extent < self.lanes:
            tests.append(f"lane < {self.vector.extent}u")
        if test is not None:
            tests.append(test.text)
        self.line(f"if ({' && '.join(tests)}) {{ {text} }}" if tests else text)

    def _for(self, statement: For) -> None:
        name = statement.variable.name
        before, rest = self.names.get(name), self.hazards.names.get(name)
        extent = statement.extent
        if isinstance(extent, Constant):
            extent = extent.value
        if isinstance(extent, int) and (statement.kind == UNROLL or extent <= 1):
            for number in range(extent):
                self.names[name] = literal(number, statement.variable.dtype)
                self.hazards.names[name] = (0, number % self.lanes)
                self._body(statement.body)
        else:
            self._loop(statement, extent)
        self._rename(name, before)
        self.hazards.names[name] = rest

    def _loop(self, statement: For, extent: Expression | int) -> None:
        name, variable = statement.variable.name, self.name()
        if isinstance(extent, int):
            stop = literal(extent, statement.variable.dtype)
            last = extent - 1
        else:
            stop = self.bound(as_small(self.results[id(extent)]))
            last = stop.range[1] - 1 if stop.range else (1 << 31) - 2
        self.wait(self.hazards.loop_waits(statement))
        self.hazards.enter_loop(statement)
        before = self.hazards.snapshot()
        self.names[name] = Value(variable, "i32", (0, max(last, 0)), stop.uniform, True)
        self.hazards.names[name] = None
        lines, waits = self.lines, self.waits
        self.lines = []
        self._body(statement.body)
        inner, self.lines = self.lines, lines
        if self.waits > waits and not stop.uniform:
            stop = self._agreed(stop)
        head = f"for (var {variable} = 0i; {variable} < {stop.text}; {variable}++) {{"
        self.lines += [head, *(f"  {line}" for line in inner), "}"]
        # It may have been left at once.
        self.hazards.join(before)

    def _agreed(self, value: Value) -> Value:
        """Return a value that WGSL's analysis can tell to be the same everywhere."""
        name = self.name()
        self.waits += 1
        self.line(f"let {name} = {self.exchange.agreed(value)};")
        self.hazards.passed(NEAR)
        return Value(name, value.type, value.range, True, True)

    def _vector(self, statement: Vector) -> None:
        if statement.extent <= 0:
            return
        name = statement.variable.name
        before, rest = self.names.get(name), self.hazards.names.get(name)
        if statement.lanes == 1:
            self.names[name] = literal(0, statement.variable.dtype)
            self._body(statement.body)
        else:
            top = statement.extent - 1
            self.names[name] = Value("i32(lane)", "i32", (0, top), False, True)
            self.hazards.names[name] = (1, 0)
            self.vector = statement
            self._body(statement.body)
            self.vector = None
        self._rename(name, before)
        self.hazards.names[name] = rest

    def _rename(self, name: str, before: Value | None) -> None:
        if before is None:
            self.names.pop(name, None)
        else:
            self.names[name] = before

    def _if(self, statement: If) -> None:
        condition = self.results[id(statement.condition)]
        if condition.text in ("true", "false"):
            chosen = condition.text == "true"
            self._body(statement.body if chosen else statement.otherwise)
            return
        condition = self.bound(condition)
        lines, waits, start = self.lines, self.waits, self.hazards.snapshot()
        sides, ends = [], []
        for body in (statement.body, statement.otherwise):
            self.lines = []
            self.hazards.restore(start)
            self._body(body)
            sides.append(self.lines)
            ends.append(self.hazards.snapshot())
        self.lines = lines
        if self.waits > waits and not condition.uniform:
            condition = self._agreed(condition)
        self.hazards.restore(ends[0])
        self.hazards.join(ends[1])
        self.line(f"if ({condition.text}) {{")
        self.lines += [f"  {line}" for line in sides[0]]
        if sides[1]:
            self.line("} else {")
            self.lines += [f"  {line}" for line in sides[1]]
        self.line("}")

    def _transpose(self, statement: Transpose) -> None:
        self.waits += 1
        registers = statement.registers
        name = self.places[registers][0].removesuffix("[0]")
        type = type_of(registers.dtype)
        self.lines += self.exchange.transposed(name, registers.count, type)

    # Expressions

    def _compute(self, statement: Statement) -> None:
        """Put what all expressions of a statement are into `results`."""
        wanted = roots(statement)
        if not wanted:
            return
        nodes = ordered(wanted)
        uses: dict[int, int] = {}
        for node in nodes:
            for part in parts(node):
                uses[id(part)] = uses.get(id(part), 0) + 1
        for root in wanted:
            uses[id(root)] = uses.get(id(root), 0) + 1
        self.results = {}
        for node in nodes:
            value = self._value(node)
            if uses[id(node)] > 1 or value.depth > _DEEPEST:
                value = self.bound(value)
            self.results[id(node)] = value

    def _value(self, node: Expression) -> Value:
        results = self.results
        if isinstance(node, Operation):
            operands = [results[id(x)] for x in node.operands]
            old = node.operands[-1].dtype
            if node.name == "cast":
                return cast(operands[0], old, node.dtype)
            if node.name == "bitcast":
                return bitcast(operands[0], old, node.dtype)
            return apply(node.name, operands, old)
        if isinstance(node, Constant):
            return literal(node.value, node.dtype)
        if isinstance(node, Variable):
            return self.names[node.name]
        if isinstance(node, Load):
            return self._load(node)
        if isinstance(node, Get):
            name = self._register(node.registers, node.place)
            return Value(name, type_of(node.dtype))
        assert isinstance(node, Fold)
        name = self._register(node.registers, node.place)
        self.waits += 1
        text = self.exchange.fold(node, name)
        value = self.bound(Value(text, type_of(node.dtype), None, True))
        self.hazards.passed(NEAR)
        return value

    def _load(self, node: Load) -> Value:
        index = as_small(self.results[id(node.index)])
        value = self.memory.load(node.buffer, index)
        value.depth = max(value.depth, index.depth) + 1
        if node.condition is None or node.other is None:
            return value
        # Places that do not exist give some number, which is not taken.
        test, other = self.results[id(node.condition)], self.results[id(node.other)]
        triple = (test, value, other)
        return apply("select", list(triple), node.dtype)

    def _register(self, registers: Registers, place: Expression) -> str:
        # Places are constants once loops are written out: ranges of one number.
        ends = self.results[id(place)].range
        assert ends is not None
        return self.places[registers][ends[0]]


def _rounds(value: Expression) -> bool:
    """Return whether a value is rounded, which compilers may put off."""
    return isinstance(value, Operation) and (
        value.dtype is float32 and value.name in _ROUNDS
    )


def _loaded(kernel: Kernel) -> frozenset[Buffer]:
    return frozenset(
        node.buffer
        for body in all_bodies(kernel.body)
        for statement in body
        for node in ordered(roots(statement))
        if isinstance(node, Load)
    )


def _lanes_of(kernel: Kernel) -> int:
    """Return how many invocations a workgroup has."""
    most = 1
    for body in all_bodies(kernel.body):
        for statement in body:
            if isinstance(statement, Vector | Registers):
                most = max(most, statement.lanes)
    if most > MOST_LANES:
        raise DeviceError(
            "[webgpu] a kernel needs more lanes than a workgroup has",
            got=f"{most} lanes in {kernel.name!r}",
            expected=f"at most {MOST_LANES}",
        )
    return most
