"""Long formulas of float64 as a table in memory, and a loop in the shader that works it
off.

Each operation on float64 is a function of dozens of lines, and compilers of shaders put
a copy of it wherever it is called. A power has hundreds of them, which takes half a
minute. The loop has one copy of each kind of operation.

Read first: `Machine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...dtypes import DType, float64
from ..loops.grammar import Body, Expression, Let, Operation, Variable
from ..loops.traverse import ordered
from .casting import as_long, bitcast, cast
from .scalar import apply
from .value import LONG, Value, is_long, type_of

# From that many operations on float64 in a row the loop is shorter.
_WORTH = 8
_NAMES = "xyz"
_SMALL_NUMBER = re.compile(r"long_of\(\(?(-?\d+)i\)?\)")
_NUMBER = re.compile(r"vec2<u32>\(\d+u, \d+u\)")
# As many have numbers in the table.
_MOST_PLACES = 1 << 12


def length_of(body: Body, start: int) -> int:
    """Return how many statements from `start` on are worked off, or 0 for none."""
    inside: set[str] = set()
    count = heavy = 0
    for statement in body[start:]:
        if not isinstance(statement, Let):
            break
        found = _marked(statement.value, inside)
        if found is None:
            break
        count += 1
        heavy += found
        if found:
            inside.add(statement.variable.name)
    return count if heavy >= _WORTH else 0


def _is_heavy(node: Expression) -> bool:
    if not isinstance(node, Operation):
        return False
    return any(x.dtype.is_float and x.dtype.bits == 64 for x in (node, *node.operands))


def _marked(value: Expression, inside: set[str]) -> int | None:
    """Return how many operations of an expression are done by the loop.

    None if something needs their result that is not done there.
    """
    marks: set[int] = set()
    for node in ordered([value]):
        if isinstance(node, Operation):
            if _is_heavy(node) or any(id(x) in marks for x in node.operands):
                marks.add(id(node))
        elif isinstance(node, Variable):
            if node.name in inside:
                marks.add(id(node))
        elif any(id(x) in marks for x in ordered([node])[:-1]):
            return None
    return sum(id(node) in marks for node in ordered([value])) if marks else 0


class Machine:
    """Writes the loop for some statements.

    Args:
        name: distinguishes its variables.
        native: gives the value of an expression that is not worked off.
        table: the words of the kernel's table, at the end of which its own go.
    """

    def __init__(
        self, name: str, native: Callable[[Expression], Value], table: list[int]
    ) -> None:
        self.name = name
        self._words = table
        self.names: dict[str, tuple[int, DType]] = {}
        self._native = native
        self._starts: dict[str, int] = {}  # what is there before the loop
        self._kinds: dict[str, int] = {}  # code of each kind of operation
        self._table: list[tuple[int, list[int]]] = []
        self._places: list[int] = []  # of results
        self._size = 0

    def take(self, statement: Let) -> bool:
        """Take a statement in, unless it has nothing to do with the loop."""
        value = statement.value
        registers: dict[int, int] = {}
        wanted = [value]
        for node in ordered(wanted):
            register = self._of(node, registers)
            if register is not None:
                registers[id(node)] = register
        if id(value) not in registers:
            return False
        found = registers[id(value)]
        self.names[statement.variable.name] = (found, value.dtype)
        return True

    def _of(self, node: Expression, registers: dict[int, int]) -> int | None:
        if isinstance(node, Variable) and node.name in self.names:
            return self.names[node.name][0]
        if not isinstance(node, Operation):
            return None
        if not _is_heavy(node) and not any(id(x) in registers for x in node.operands):
            return None
        if node.name == "fused_multiply_add":
            x, y, z = node.operands
            product = Operation("multiply", (x, y), node.dtype)
            first = self._emit(product, [self._operand(a, registers) for a in (x, y)])
            both = Operation("add", (z, z), node.dtype)
            return self._emit(both, [first, self._operand(z, registers)])
        operands = [self._operand(x, registers) for x in node.operands]
        if node.name == "subtract" and node.dtype is float64:
            # One kind of operation less, which is much code.
            y = node.operands[1]
            operands[1] = self._emit(Operation("negative", (y,)), operands[1:])
            node = Operation("add", node.operands)
        return self._emit(node, operands)

    def _operand(self, node: Expression, registers: dict[int, int]) -> int:
        found = registers.get(id(node))
        if found is None:
            text = _as_number(_words(self._native(node)))
            found = self._starts.setdefault(text, -1 - len(self._starts))
        return found

    def _emit(self, node: Operation, operands: Sequence[int]) -> int:
        dtypes = [x.dtype for x in node.operands]
        values = [_read(x, dtype) for x, dtype in zip(_NAMES, dtypes, strict=False)]
        old = dtypes[-1]
        if node.name in ("cast", "bitcast"):
            convert = cast if node.name == "cast" else bitcast
            result = convert(values[0], old, node.dtype)
        else:
            result = apply(node.name, values, old)
        if is_long(node.dtype):
            result = as_long(result)
        kind = self._kinds.setdefault(_words(result), len(self._kinds))
        self._table.append((kind, list(operands)))
        return len(self._table) - 1

    def finish(self, wanted: Sequence[str]) -> None:
        """Find a place for each result, which others may have after its last use.

        Args:
            wanted: names that are used after the loop.
        """
        last = {x: at for at, (_, operands) in enumerate(self._table) for x in operands}
        for name, (result, _) in self.names.items():
            if name in wanted:
                last[result] = len(self._table)
        free: list[int] = []
        # Numbers come first, and lie behind the steps: each store would be code.
        order = sorted(self._starts, key=_is_number, reverse=True)
        moved = {self._starts[text]: -1 - i for i, text in enumerate(order)}
        self._starts = {text: moved[self._starts[text]] for text in order}
        self._table = [
            (kind, [moved.get(x, x) for x in operands])
            for kind, operands in self._table
        ]
        self._size = len(self._starts)
        for at, (_, operands) in enumerate(self._table):
            ending = {x for x in operands if x >= 0 and last[x] == at}
            free += sorted(self._places[x] for x in ending)
            if free:
                self._places.append(free.pop())
            else:
                self._places.append(self._size)
                self._size += 1
            if at not in last:
                free.append(self._places[at])
        if self._size > _MOST_PLACES:
            raise AssertionError(f"{self._size} places are too many for the table")

    def _place(self, operand: int) -> int:
        return self._places[operand] if operand >= 0 else -1 - operand

    @property
    def _numbers(self) -> list[str]:
        return [text for text in self._starts if _is_number(text)]

    def _write_table(self) -> None:
        for at, (kind, operands) in enumerate(self._table):
            a, b, c = [*map(self._place, operands), 0, 0][:3]
            self._words += [kind | self._places[at] << 8 | a << 20, b | c << 16]
        for text in self._numbers:
            self._words += map(int, re.findall(r"(\d+)u[,)]", text))

    def loop(self, table: str) -> list[str]:
        """Return the statements, and write the table.

        Args:
            table: the place of the kernel's table, in pairs of words.
        """
        begin = f"{table} + {len(self._words) // 2}u"
        self._write_table()
        held, numbers = f"{self.name}_values", len(self._numbers)
        lines = [f"var {held}: array<vec2<u32>, {max(1, self._size - numbers)}>;"]
        for text, place in self._starts.items():
            if not _is_number(text):
                lines.append(f"{held}[{-1 - place - numbers}] = {text};")

        def operand(place: str) -> str:
            if not numbers:
                return f"{held}[{place}]"
            own = f"{held}[max({place}, {numbers}u) - {numbers}u]"
            at = f"{begin} + {len(self._table)}u + min({place}, {numbers - 1}u)"
            constant = f"long_at({at})"
            return f"select({own}, {constant}, {place} < {numbers}u)"

        lines += [
            f"for (var i = 0u; i < {len(self._table)}u; i++) {{",
            f"  let step = long_at({begin} + i);",
            f"  let x = {operand('(step.x >> 20u)')};",
            f"  let y = {operand('(step.y & 0xffffu)')};",
            f"  let z = {operand('(step.y >> 16u)')};",
            "  var result = x;",
            "  switch (step.x & 0xffu) {",
        ]
        for text, kind in self._kinds.items():
            lines.append(f"    case {kind}u: {{ result = {text}; }}")
        lines += [
            "    default: {}",
            "  }",
            f"  {held}[((step.x >> 8u) & 0xfffu) - {numbers}u] = result;",
            "}",
        ]
        return lines

    def value(self, name: str) -> Value:
        """Return what the loop has bound to a name."""
        register, dtype = self.names[name]
        place = self._places[register] - len(self._numbers)
        return _read(f"{self.name}_values[{place}]", dtype)


def _as_number(text: str) -> str:
    """Return a constant that fits into one word as two."""
    found = _SMALL_NUMBER.fullmatch(text)
    if found is None:
        return text
    bits = int(found[1]) % (1 << 64)
    return f"vec2<u32>({bits & 0xFFFFFFFF}u, {bits >> 32}u)"


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _words(value: Value) -> str:
    """Return a value as two words."""
    if value.type == LONG:
        return value.text
    if value.type == "bool":
        return f"vec2<u32>(select(0u, 1u, {value.text}), 0u)"
    if value.type == "u32":
        return f"vec2<u32>({value.text}, 0u)"
    if value.type == "i32" and value.range is not None:
        return as_long(value).text
    return f"vec2<u32>(bitcast<u32>({value.text}), 0u)"


def _read(words: str, dtype: DType) -> Value:
    """Return a value that lies in two words."""
    type = type_of(dtype)
    if type == LONG:
        return Value(words, LONG, named=True)
    if type == "bool":
        return Value(f"({words}.x != 0u)", "bool", depth=1)
    if type == "u32":
        return Value(f"{words}.x", "u32", depth=1)
    return Value(f"bitcast<{type}>({words}.x)", type, depth=1)
