"""Long formulas of float64 as a table, and a loop in the shader that works it off.

Each operation on float64 is a function of dozens of lines, and compilers of shaders put
a copy of it wherever it is called. A power has hundreds of them, which takes half a
minute. The loop has one copy of each kind of operation.

Read first: `Machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...dtypes import DType
from ..loops.grammar import Body, Expression, Let, Operation, Variable
from ..loops.traverse import ordered
from .casting import as_long, bitcast, cast
from .scalar import apply
from .value import LONG, Value, is_long, type_of

# From that many operations on float64 in a row the loop is shorter.
_WORTH = 8
_NAMES = "xyz"


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
    """

    def __init__(self, name: str, native: Callable[[Expression], Value]) -> None:
        self.name = name
        self.names: dict[str, tuple[int, DType]] = {}
        self._native = native
        self._starts: dict[str, int] = {}  # what is there before the loop
        self._kinds: dict[str, int] = {}  # code of each kind of operation
        self._table: list[tuple[int, list[int]]] = []

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
        return self._emit(node, [self._operand(x, registers) for x in node.operands])

    def _operand(self, node: Expression, registers: dict[int, int]) -> int:
        found = registers.get(id(node))
        if found is None:
            text = _words(self._native(node))
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

    def table(self) -> str:
        """Return the declaration of the table, outside of functions."""
        begin = len(self._starts)
        words = []
        for kind, operands in self._table:
            a, b, c = [*(x + begin if x >= 0 else -1 - x for x in operands), 0, 0][:3]
            words.append(f"vec2<u32>({kind | a << 16}u, {b | c << 16}u)")
        kept = f"array<vec2<u32>, {len(words)}>"
        inside = ",\n  ".join(words)
        return f"var<private> {self.name}_table: {kept} = {kept}(\n  {inside});"

    def loop(self) -> list[str]:
        """Return the statements."""
        begin, count = len(self._starts), len(self._table)
        held = f"{self.name}_values"
        lines = [f"var {held}: array<vec2<u32>, {begin + count}>;"]
        for i, text in enumerate(self._starts):
            lines.append(f"{held}[{i}] = {text};")
        lines += [
            f"for (var i = 0u; i < {count}u; i++) {{",
            f"  let step = {self.name}_table[i];",
            f"  let x = {held}[step.x >> 16u];",
            f"  let y = {held}[step.y & 0xffffu];",
            f"  let z = {held}[step.y >> 16u];",
            "  var result = x;",
            "  switch (step.x & 0xffffu) {",
        ]
        for text, kind in self._kinds.items():
            lines.append(f"    case {kind}u: {{ result = {text}; }}")
        lines += [
            "    default: {}",
            "  }",
            f"  {held}[i + {begin}u] = result;",
            "}",
        ]
        return lines

    def value(self, name: str) -> Value:
        """Return what the loop has bound to a name."""
        register, dtype = self.names[name]
        return _read(f"{self.name}_values[{register + len(self._starts)}]", dtype)


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
