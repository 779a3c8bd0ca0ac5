"""Reads kernels from text; the grammar stands in `text`.

Read first: `from_text`.
"""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from ...dtypes import ALL, DType, bool_, int64
from ...errors import GraphError, PlaitError
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
from .operations import OPERATIONS
from .signature import FUNCTIONS, result_dtype

# Deeper bodies than any kernel has; the reader recurses over them.
MAX_BODIES = 64
DTYPES = {dtype.name: dtype for dtype in ALL}
INFIX = {
    "less": ("<", 1), "less_equal": ("<=", 1), "equal": ("==", 1),
    "not_equal": ("!=", 1), "add": ("+", 2), "subtract": ("-", 2),
    "multiply": ("*", 3), "divide": ("/", 3), "floor_divide": ("//", 3),
    "remainder": ("%", 3),
}  # fmt: skip
SPELLED = {sign: (name, level) for name, (sign, level) in INFIX.items()}
COMPARED = 1
ATOM = 4
KEYWORDS = {
    "kernel", "chunks", "chunk", "registers", "streaming", "for", "unroll", "vector",
    "in", "of", "if", "else", "fold", "transpose", "tile", "by", "ahead", "True",
    "False", "inf", "nan", *DTYPES,
}  # fmt: skip


_TOKEN = re.compile(
    r"""(?P<space>[ ]+)
    | (?P<number>\d+(\.\d+)?(e[+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<sign>//|<=|==|!=|\+=|[-+*/%<=()\[\],:@])""",
    re.VERBOSE | re.ASCII,
)


def from_text(text: str) -> Kernel:
    """Return the kernel that `text` prints.

    Raises:
        GraphError: it does not follow the grammar. The message shows the line.
    """
    return _Reader(text).kernel()


class _Reader:
    """Lines as (indent, tokens), of which `row` is read, from token `at` on."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.rows: list[tuple[int, list[tuple[str, str]], int]] = []
        self.row = 0
        self.at = 0
        self.variables: dict[str, Variable] = {"chunk": Kernel.CHUNK}
        self.memory: dict[str, Buffer | Registers | Tile] = {}
        for number, line in enumerate(self.lines):
            if line.strip():
                self.rows.append(self.split(line, number))

    def split(self, line: str, number: int) -> tuple[int, list[tuple[str, str]], int]:
        tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(line):
            match = _TOKEN.match(line, at)
            if match is None:
                raise GraphError(
                    "[from_text] this is no kernel",
                    got=f"{line[at : at + 12]!r} in line {number + 1}: {line.strip()}",
                )
            at = match.end()
            if match.lastgroup != "space":
                tokens.append((str(match.lastgroup), match.group()))
        return len(line) - len(line.lstrip(" ")), [*tokens, ("end", "")], number

    def fail(self, expected: str) -> NoReturn:
        got = "the end of the text"
        if self.row < len(self.rows):
            _, tokens, number = self.rows[self.row]
            line = self.lines[number].strip()
            got = f"{tokens[self.at][1] or 'its end'!r} in line {number + 1}: {line}"
        raise GraphError("[from_text] this is no kernel", got=got, expected=expected)

    # --- tokens

    def peek(self) -> str:
        if self.row >= len(self.rows):
            return ""
        kind, text = self.rows[self.row][1][self.at]
        return "" if kind == "string" else text

    def next(self, kind: str, expected: str) -> str:
        if self.row >= len(self.rows):
            self.fail(expected)
        got, text = self.rows[self.row][1][self.at]
        if got != kind:
            self.fail(expected)
        self.at += 1
        return text

    def accept(self, *texts: str) -> str:
        text = self.peek()
        if text and text in texts:
            self.at += 1
            return text
        return ""

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(repr(text))

    def end_line(self) -> None:
        self.next("end", "the end of the line")
        self.row += 1
        self.at = 0

    def integer(self) -> int:
        sign = -1 if self.accept("-") else 1
        text = self.next("number", "an integer")
        if not text.isdigit() or len(text) > 20:
            self.at -= 1
            self.fail("an integer")
        return sign * int(text)

    def dtype(self) -> DType:
        name = self.next("name", "a dtype")
        if name not in DTYPES:
            self.at -= 1
            self.fail("a dtype")
        return DTYPES[name]

    def new_name(self) -> str:
        name = self.next("name", "a new name")
        if name in self.variables or name in self.memory or name in KEYWORDS:
            self.at -= 1
            self.fail("a new name")
        return name

    # --- statements

    def kernel(self) -> Kernel:
        self.expect("kernel")
        try:
            name = json.loads(self.next("string", "a name in quotes"))
        except ValueError:
            self.fail("a name in quotes")
        self.end_line()
        buffers: list[Buffer] = []
        while self.row < len(self.rows) and self.peek() != "chunks":
            buffers.append(self.buffer())
        self.expect("chunks")
        chunks = self.integer()
        self.end_line()
        body = self.body(0, 0)
        if self.row < len(self.rows):
            self.fail("a statement, indented as the others")
        given = [buffer for buffer in buffers if buffer.access != "scratch"]
        scratch = [buffer for buffer in buffers if buffer.access == "scratch"]
        return Kernel(name, given, body, chunks, scratch)

    def buffer(self) -> Buffer:
        name = self.new_name()
        self.expect(":")
        dtype = self.dtype()
        self.expect("[")
        size = self.integer()
        self.expect("]")
        access = self.accept("in", "out", "inout", "scratch")
        if not access:
            self.fail("in, out, inout or scratch")
        self.end_line()
        self.memory[name] = buffer = Buffer(name, dtype, size, access)
        return buffer

    def body(self, outer: int, depth: int) -> Body:
        """Read statements that are indented more than `outer`."""
        if depth > MAX_BODIES:
            self.fail(f"at most {MAX_BODIES} bodies in one another")
        variables, memory = self.variables, self.memory
        self.variables, self.memory = dict(variables), dict(memory)
        body: Body = []
        own = self.rows[self.row][0] if self.row < len(self.rows) else 0
        while self.row < len(self.rows) and own > outer:
            indent = self.rows[self.row][0]
            if indent < own:
                break
            if indent > own:
                self.fail("the same indent as before")
            body.append(self.statement(own, depth))
        self.variables, self.memory = variables, memory
        return body

    def statement(self, indent: int, depth: int) -> Statement:
        if self.accept("registers"):
            return self.registers()
        if self.accept("transpose"):
            registers = self.memory.get(self.peek())
            if not isinstance(registers, Registers):
                self.fail("the name of registers")
            self.at += 1
            self.end_line()
            return Transpose(registers)
        if self.accept("tile"):
            return self.tile()
        word = self.accept("for", "unroll", "vector")
        if word:
            return self.loop(word, indent, depth)
        if self.accept("if"):
            condition = self.level(COMPARED)
            self.expect(":")
            self.end_line()
            body = self.body(indent, depth + 1)
            otherwise: Body = []
            here = self.row < len(self.rows) and self.rows[self.row][0] == indent
            if here and self.accept("else"):
                self.expect(":")
                self.end_line()
                otherwise = self.body(indent, depth + 1)
            return If(condition, body, otherwise)
        streaming = bool(self.accept("streaming"))
        memory = self.memory.get(self.peek())
        if isinstance(memory, Tile):
            self.fail("`tile` before the name of one")
        if memory is not None:
            self.at += 1
            return self.assign(memory, streaming)
        name = self.new_name()
        self.expect("=")
        value = self.expression()
        self.end_line()
        self.variables[name] = variable = Variable(name, value.dtype)
        return Let(variable, value)

    def assign(self, memory: Buffer | Registers, streaming: bool) -> Statement:
        self.expect("[")
        index = self.expression()
        self.expect("]")
        self.expect("=")
        value = self.level(COMPARED)
        condition = None
        if self.accept("if"):
            condition = self.level(COMPARED)
            if self.accept("else"):
                value = self.choice(value, condition)
                condition = None
        self.end_line()
        if isinstance(memory, Buffer):
            return Store(memory, index, value, condition, streaming)
        if condition is not None or streaming:
            self.row -= 1
            self.fail("neither a condition nor streaming for registers")
        return Set(memory, index, value)

    def registers(self) -> Registers:
        name, dtype, count, lanes = self.declaration()
        self.memory[name] = registers = Registers(name, dtype, count, lanes)
        return registers

    def declaration(self) -> tuple[str, DType, int, int]:
        """Read a name, a dtype and two numbers in brackets, to the end of the line."""
        name = self.new_name()
        self.expect(":")
        dtype = self.dtype()
        self.expect("[")
        first = self.integer()
        self.expect("x")
        second = self.integer()
        self.expect("]")
        self.end_line()
        return name, dtype, first, second

    def tile(self) -> Statement:
        memory = self.memory.get(self.peek())
        if isinstance(memory, Buffer):
            self.at += 1
            index, step = self.spaced()
            self.expect("=")
            stored = self.named_tile()
            self.end_line()
            return TileStore(memory, index, step, stored)
        if isinstance(memory, Tile):
            self.at += 1
            if self.accept("+="):
                left = self.named_tile()
                self.expect("@")
                right = self.named_tile()
                self.end_line()
                return TileProduct(memory, left, right)
            self.expect("=")
            source = self.memory.get(self.peek())
            if not isinstance(source, Buffer):
                self.fail("the name of a buffer")
            self.at += 1
            index, step = self.spaced()
            self.end_line()
            return TileLoad(memory, source, index, step)
        name, dtype, rows, columns = self.declaration()
        self.memory[name] = tile = Tile(name, dtype, rows, columns)
        return tile

    def named_tile(self) -> Tile:
        tile = self.memory.get(self.peek())
        if not isinstance(tile, Tile):
            self.fail("the name of a tile")
        self.at += 1
        return tile

    def spaced(self) -> tuple[Expression, int]:
        index = self.bracket()
        self.expect("by")
        return index, self.integer()

    def loop(self, word: str, indent: int, depth: int) -> Statement:
        name = self.new_name()
        variable = Variable(name)
        self.expect("in")
        lanes = 0
        if word == "for":
            extent = self.expression()
        else:
            extent = Constant(self.integer(), int64)
        if word == "vector":
            self.expect("of")
            lanes = self.integer()
        self.expect(":")
        self.end_line()
        self.variables[name] = variable
        body = self.body(indent, depth + 1)
        del self.variables[name]
        if word == "vector":
            assert isinstance(extent, Constant)
            return Vector(variable, extent.value, lanes, body)
        known = extent.value if isinstance(extent, Constant) else extent
        return For(variable, known, body, SERIAL if word == "for" else UNROLL)

    # --- expressions

    def expression(self) -> Expression:
        value = self.level(COMPARED)
        if self.accept("if"):
            condition = self.level(COMPARED)
            self.expect("else")
            value = self.choice(value, condition)
        return value

    def choice(self, load: Expression, condition: Expression) -> Load:
        if not isinstance(load, Load) or load.condition is not None:
            self.fail("a load before its condition")
        other = self.level(COMPARED)
        return Load(load.buffer, load.index, condition, other, load.ahead)

    def level(self, level: int) -> Expression:
        if level == ATOM:
            return self.factor()
        value = self.level(level + 1)
        while SPELLED.get(self.peek(), ("", 0))[1] == level:
            name, _ = SPELLED[self.peek()]
            self.at += 1
            value = self.apply(name, [value, self.level(level + 1)])
            if level == COMPARED:
                break
        return value

    def apply(
        self, name: str, operands: list[Expression], dtype: DType | None = None
    ) -> Operation:
        try:
            known = result_dtype(name, [operand.dtype for operand in operands])
        except PlaitError as error:
            self.fail(f"operands that fit. {error.message}")
        if (known is None) == (dtype is None):
            self.fail("a dtype after the operands" if dtype is None else "no dtype")
        return Operation(name, operands, known or dtype)

    def factor(self) -> Expression:
        if self.accept("("):
            value = self.expression()
            self.expect(")")
            return value
        kind, text = self.rows[self.row][1][self.at]
        if kind == "number" or text == "-":
            return Constant(self.integer(), int64)
        if self.accept("True", "False"):
            return Constant(text == "True", bool_)
        if self.accept("fold"):
            operation = self.next("name", "an operation")
            registers = self.memory.get(self.next("name", "registers"))
            if not isinstance(registers, Registers):
                self.at -= 1
                self.fail("registers")
            return Fold(operation, registers, self.bracket())
        called = self.rows[self.row][1][self.at + 1][1] == "(" if text else False
        if called and (text in OPERATIONS or text in FUNCTIONS):
            return self.call()
        if text in self.memory:
            memory = self.memory[text]
            self.at += 1
            if isinstance(memory, Buffer):
                index = self.bracket()
                ahead = self.integer() if self.accept("ahead") else 0
                return Load(memory, index, ahead=ahead)
            if isinstance(memory, Registers):
                return Get(memory, self.bracket())
            self.at -= 1
            self.fail("an expression")
        if text in DTYPES:
            return self.number()
        if text in self.variables:
            self.at += 1
            return self.variables[text]
        return self.fail("an expression")

    def bracket(self) -> Expression:
        self.expect("[")
        index = self.expression()
        self.expect("]")
        return index

    def number(self) -> Constant:
        dtype = self.dtype()
        self.expect("(")
        value: float
        if dtype.is_float:
            sign = -1.0 if self.accept("-") else 1.0
            word = self.accept("inf", "nan") or self.next("number", "a number")
            value = math.copysign(float(word), sign)
        else:
            value = self.integer()
        self.expect(")")
        return Constant(value, dtype)

    def call(self) -> Operation:
        name = self.next("name", "an operation")
        self.expect("(")
        operands = [self.expression()]
        dtype = None
        while self.accept(","):
            if self.peek() in DTYPES and self.rows[self.row][1][self.at + 1][1] == ")":
                dtype = self.dtype()
                break
            operands.append(self.expression())
        self.expect(")")
        return self.apply(name, operands, dtype)
