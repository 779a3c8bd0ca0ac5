"""Kernels as text: what is printed can be read back, and means the same.

    kernel    ::= "kernel" string {buffer} "chunks" integer body
    buffer    ::= name ":" dtype "[" integer "]" access
    body      ::= {statement}               indented deeper than the line before it
    statement ::= name "=" expression
                | "registers" name ":" dtype "[" integer "x" integer "]"
                | name "[" expression "]" "=" expression       of registers
                | "transpose" name                             of registers
                | "tile" name ":" dtype "[" integer "x" integer "]"
                | "tile" name "=" place | "tile" place "=" name
                | "tile" name "+=" name "@" name               of tiles
                | ["streaming"] name "[" expression "]" "=" expression
                  ["if" condition]                             of a buffer
                | "for" name "in" expression ":" body
                | "unroll" name "in" integer ":" body
                | "vector" name "in" integer "of" integer ":" body
                | "if" condition ":" body ["else" ":" body]
    expression::= factor "if" condition "else" condition      of a load
                | condition
    condition ::= sum [("<" | "<=" | "==" | "!=") sum]
    sum       ::= term {("+" | "-") term}
    term      ::= factor {("*" | "/" | "//" | "%") factor}
    factor    ::= integer | "True" | "False" | dtype "(" number ")"
                | name | load ["ahead" integer] | "fold" operation load
                | operation "(" expression {"," expression} ["," dtype] ")"
                | "(" expression ")"
    load      ::= name "[" expression "]"
    place     ::= load "by" integer

A bare integer is int64. An operation gets a dtype where its operands do not tell it:
`cast` and `bitcast`. What is shared within a statement, or nested deep, is bound to a
name before it: nothing is printed twice, and a kernel that was read prints the same.

Read first: `to_text`, `from_text`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from ...dtypes import bool_, int64
from ...errors import GraphError
from .grammar import (
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
from .parse import ATOM, COMPARED, INFIX, KEYWORDS, from_text
from .traverse import ordered, parts, roots

__all__ = ["to_text", "from_text", "statement_text"]

INDENT = "  "
# Expressions nested deeper are bound to names, so that the reader may recurse.
MAX_NESTING = 12


# --- printing


def to_text(kernel: Kernel, *, canonical: bool = False) -> str:
    """Return `kernel` in the grammar above.

    Args:
        canonical: give all things names by their order, and the kernel none: kernels
            that differ in names only have one text.
    """
    return _Printer(canonical).kernel(kernel)


def statement_text(what: Statement | Expression, width: int = 160) -> str:
    """Return one statement, or expression, as a line for messages; bodies as `...`."""
    printer = _Printer(canonical=False, strict=False)
    if isinstance(what, Expression):
        lines = printer.bindings((what,), "")
        line = printer.texts[id(what)][0]
    else:
        lines = printer.bindings(roots(what), "")
        line = printer.head(what)
    line = "; ".join([*lines, line])
    return line if len(line) <= width else line[: width - 3] + "..."


class _Printer:
    """The names given so far, and the text of the expressions of one statement."""

    def __init__(self, canonical: bool, strict: bool = True) -> None:
        self.canonical = canonical
        # Whether names that are not bound are a fault.
        self.strict = strict
        self.count = 0
        self.variables: dict[str, str] = {Kernel.CHUNK.name: "chunk"}
        self.memory: dict[int, str] = {}  # id of buffer, registers or tile -> name
        self.taken: set[str] = set()
        # id -> (text, level of its outermost sign)
        self.texts: dict[int, tuple[str, int]] = {}

    def kernel(self, kernel: Kernel) -> str:
        lines = [f"kernel {json.dumps('' if self.canonical else kernel.name)}"]
        for buffer in (*kernel.buffers, *kernel.scratch):
            name = self.new(buffer.name, "b")
            self.memory[id(buffer)] = name
            lines.append(
                f"{INDENT}{name}: {buffer.dtype.name}[{buffer.size}] {buffer.access}"
            )
        lines.append(f"chunks {kernel.chunks}")
        self.body(kernel.body, INDENT, lines)
        return "\n".join(lines) + "\n"

    def new(self, name: str, letter: str) -> str:
        """Return a name that nothing seen here has: `name` where it can be."""
        if self.canonical:
            self.count += 1
            return f"{letter}{self.count - 1}"
        name = re.sub(r"\W", "_", name, flags=re.ASCII) or letter
        if name[0].isdigit():
            name = letter + name
        found, number = name, 0
        while found in self.taken or found in KEYWORDS:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found

    def body(self, body: Body, indent: str, lines: list[str]) -> None:
        """Add the lines of a body, whose names are forgotten after it."""
        variables, taken = self.variables, self.taken
        self.variables, self.taken = dict(variables), set(taken)
        for statement in body:
            self.statement(statement, indent, lines)
        self.variables, self.taken = variables, taken

    def statement(self, statement: Statement, indent: str, lines: list[str]) -> None:
        own = roots(statement)
        if own:
            lines.extend(self.bindings(own, indent))
        if isinstance(statement, For | Vector):
            # The variable is seen in the body only, and its name may come again.
            name = statement.variable.name
            shown, taken = self.variables.get(name), self.taken
            self.taken = set(taken)
            lines.append(indent + self.head(statement))
            self.body(statement.body, indent + INDENT, lines)
            self.taken = taken
            if shown is None:
                del self.variables[name]
            else:
                self.variables[name] = shown
            return
        lines.append(indent + self.head(statement))
        if isinstance(statement, If):
            self.body(statement.body, indent + INDENT, lines)
            if statement.otherwise:
                lines.append(f"{indent}else:")
                self.body(statement.otherwise, indent + INDENT, lines)

    def bind(self, variable: Variable) -> str:
        name = self.new(variable.name, "v")
        self.variables[variable.name] = name
        return name

    def head(self, statement: Statement) -> str:
        """Return the first line of a statement whose expressions have their text."""
        texts = self.texts
        if isinstance(statement, Let):
            value = texts[id(statement.value)][0]
            return f"{self.bind(statement.variable)} = {value}"
        if isinstance(statement, Store):
            target = f"{self.place(statement.buffer)}[{texts[id(statement.index)][0]}]"
            if statement.streaming:
                target = f"streaming {target}"
            value, level = texts[id(statement.value)]
            if statement.condition is None:
                return f"{target} = {value}"
            if level == 0:
                value = f"({value})"
            return f"{target} = {value} if {self.at(statement.condition, 1)}"
        if isinstance(statement, Set):
            place = texts[id(statement.place)][0]
            value = texts[id(statement.value)][0]
            return f"{self.place(statement.registers)}[{place}] = {value}"
        if isinstance(statement, Transpose):
            return f"transpose {self.place(statement.registers)}"
        if isinstance(statement, Registers):
            name = self.new(statement.name, "r")
            self.memory[id(statement)] = name
            size = f"{statement.count} x {statement.lanes}"
            return f"registers {name}: {statement.dtype.name}[{size}]"
        if isinstance(statement, Tile):
            name = self.new(statement.name, "m")
            self.memory[id(statement)] = name
            size = f"{statement.rows} x {statement.columns}"
            return f"tile {name}: {statement.dtype.name}[{size}]"
        if isinstance(statement, TileLoad | TileStore):
            tile, index = self.place(statement.tile), texts[id(statement.index)][0]
            rows = f"{self.place(statement.buffer)}[{index}] by {statement.step}"
            if isinstance(statement, TileLoad):
                return f"tile {tile} = {rows}"
            return f"tile {rows} = {tile}"
        if isinstance(statement, TileProduct):
            left, right = self.place(statement.left), self.place(statement.right)
            return f"tile {self.place(statement.total)} += {left} @ {right}"
        if isinstance(statement, For):
            extent = statement.extent
            if isinstance(extent, Expression):
                extent = texts[id(extent)][0]  # type: ignore[assignment]
            word = "unroll" if statement.kind == UNROLL else "for"
            return f"{word} {self.bind(statement.variable)} in {extent}:"
        if isinstance(statement, Vector):
            size = f"{statement.extent} of {statement.lanes}"
            return f"vector {self.bind(statement.variable)} in {size}:"
        if isinstance(statement, If):
            return f"if {self.at(statement.condition, 1)}:"
        raise GraphError(f"not a statement of Loop IR: {type(statement).__name__}")

    def place(self, memory: Buffer | Registers | Tile) -> str:
        name = self.memory.get(id(memory))
        if name is None:
            if self.strict:
                raise GraphError(f"{memory.name!r} is not declared")
            return memory.name
        return name

    # --- expressions

    def at(self, node: Expression, level: int) -> str:
        """Return the text of `node`, in parentheses if its sign binds less."""
        text, own = self.texts[id(node)]
        return text if own >= level else f"({text})"

    def bindings(self, own: Sequence[Expression], indent: str) -> list[str]:
        """Find the text of all expressions; return lines that bind what is shared."""
        texts = self.texts = {}
        if len(own) == 1 and not parts(own[0]):
            texts[id(own[0])] = self.text(own[0])
            return []
        order = ordered(own)
        uses: dict[int, int] = {}
        for node in order:
            for part in parts(node):
                uses[id(part)] = uses.get(id(part), 0) + 1
        for node in own:
            uses[id(node)] = uses.get(id(node), 0) + 1
        depths: dict[int, int] = {}
        lines: list[str] = []
        for node in order:
            key = id(node)
            below = parts(node)
            texts[key] = self.text(node)
            if not below:
                depths[key] = 0
                continue
            depth = 1 + max([depths[id(part)] for part in below])
            if uses[key] > 1 or depth > MAX_NESTING:
                name = self.new("t", "v")
                lines.append(f"{indent}{name} = {texts[key][0]}")
                texts[key] = (name, ATOM)
                depth = 0
            depths[key] = depth
        return lines

    def text(self, node: Expression) -> tuple[str, int]:
        """Return the text of an expression, whose parts have theirs."""
        texts = self.texts
        if isinstance(node, Operation):
            name = node.name
            if name in INFIX and len(node.operands) == 2:
                sign, level = INFIX[name]
                first, own = texts[id(node.operands[0])]
                # Comparisons do not chain.
                if own < level or own == COMPARED:
                    first = f"({first})"
                second, own = texts[id(node.operands[1])]
                if own <= level:
                    second = f"({second})"
                return f"{first} {sign} {second}", level
            inside = ", ".join([texts[id(operand)][0] for operand in node.operands])
            if name == "cast" or name == "bitcast":
                return f"{name}({inside}, {node.dtype.name})", ATOM
            return f"{name}({inside})", ATOM
        if isinstance(node, Variable):
            name = self.variables.get(node.name, "")
            if not name:
                if self.strict:
                    raise GraphError(f"the name {node.name!r} is not bound")
                name = node.name
            return name, ATOM
        if isinstance(node, Constant):
            return _number(node), ATOM
        if isinstance(node, Load):
            text = f"{self.place(node.buffer)}[{texts[id(node.index)][0]}]"
            if node.ahead:
                text += f" ahead {node.ahead}"
            if node.condition is None or node.other is None:
                return text, ATOM
            condition, other = self.at(node.condition, 1), self.at(node.other, 1)
            return f"{text} if {condition} else {other}", 0
        if isinstance(node, Get):
            return f"{self.place(node.registers)}[{texts[id(node.place)][0]}]", ATOM
        if isinstance(node, Fold):
            place = f"{self.place(node.registers)}[{texts[id(node.place)][0]}]"
            return f"fold {node.operation} {place}", ATOM
        raise GraphError(f"not an expression of Loop IR: {type(node).__name__}")


def _number(node: Constant) -> str:
    dtype = node.dtype
    if dtype is int64:
        return str(int(node.value))
    if dtype is bool_:
        return "True" if node.value else "False"
    if not dtype.is_float:
        return f"{dtype.name}({int(node.value)})"
    value = float(node.value)
    sign = "-" if value != value and math.copysign(1.0, value) < 0 else ""
    return f"{dtype.name}({sign}{value!r})"
