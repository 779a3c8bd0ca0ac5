"""Graphs as text: what is printed can be read back, and is the same graph.

    graph     ::= "graph" "(" [input {"," input}] ")" "{" {step} "return" [names] "}"
    input     ::= name ":" type {flag}
    step      ::= target {"," target} "=" primitive "(" [argument {"," argument}] ")"
                  ":" type {"," type} {flag}
    target    ::= name | "_"                          "_" is a result that nobody uses
    argument  ::= name | word "=" value               operands first, then attributes
    names     ::= name {"," name}
    type      ::= dtype "[" [integer {"," integer}] "]"
    flag      ::= "differentiable" | "weak"           "differentiable" on inputs only
    value     ::= integer | float | string | "True" | "False" | "None" | dtype | type
                | "(" [value {"," value} [","]] ")" | graph | literal
    literal   ::= type elements | type "base64" string      little-endian, row-major
    elements  ::= element | "[" [elements {"," elements}] "]"
    element   ::= integer | float | "True" | "False"
    float     ::= as Python's repr writes it, among them "inf", "-inf", "nan", "-nan"
    string    ::= as in JSON
    name      ::= "%" digits
    comment   ::= "#" to the end of the line          white space, like blanks, newlines

Names are local to one graph. The results of a primitive with several results are named
where it is applied, and `pick` does not appear; two picks of one result are one name.
The types repeat what the primitives infer, and are compared with it.

Knows no primitive: the reader is given those it may use. Read first: `to_text`,
`from_text`, and the grammar above.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..dtypes import ALL, DType, as_dtype, bool_
from ..errors import GraphError, PlaitError, ShapeError
from ..shapes import Shape, size_of
from .build import INPUT, PICK, flows, make_input, pick
from .graph import Graph, Literal, Node, TensorType
from .primitive import Primitive

# An array of at most so many elements is written out; a larger one as base64.
READABLE = 32
WIDTH = 88
INDENT = "  "
# Limits of the reader. No graph that could run comes near them.
MAX_NESTING = 64
MAX_DIGITS = 640  # the least that Python's own limit can be set to
MAX_NDIM = 64  # NumPy's
_TOO_LONG = 10 ** (MAX_DIGITS - 1)


# --- printing


def to_text(graph: Graph, *, show_where: bool = False) -> str:
    """Return `graph` in the grammar above, each step on its own line.

    Equal graphs give equal text. What breaks the grammar is printed as well as can be,
    so that a faulty graph can be looked at; it does not parse.

    Args:
        show_where: end each step with the user's line that recorded it, as a comment.

    Raises:
        GraphError: graphs are nested more than 64 deep.
    """
    return _graph_text(graph, show_where, 0) + "\n"


def _graph_text(graph: Graph, show_where: bool, depth: int) -> str:
    if depth > MAX_NESTING:
        raise GraphError(f"[to_text] more than {MAX_NESTING} graphs in one another")
    nodes = graph.nodes()
    names = Names(graph.inputs, nodes)
    inputs = [f"{names.of(node)}: {_typed(node)}" for node in graph.inputs]
    head = f"graph({', '.join(inputs)}) {{"
    if len(head) > WIDTH:
        head = "graph(\n" + ",\n".join(INDENT * 2 + one for one in inputs) + "\n) {"
    lines = []
    for node in nodes:
        if not is_pick(node):
            text = step_text(node, names, show_where, depth)
            if show_where and node.where:
                text += "  # " + " ".join(node.where.split())
            lines.append(text)
    returned = ", ".join(names.of(node) for node in graph.outputs)
    lines.append(f"return {returned}".rstrip())
    body = "\n".join(lines).replace("\n", "\n" + INDENT)
    return f"{head}\n{INDENT}{body}\n}}"


class Names:
    """The names of the values of one graph: `%0`, `%1` and so on, in order of use."""

    def __init__(self, inputs: Sequence[Node], nodes: Sequence[Node]) -> None:
        self._names: dict[Node, str] = {}
        self._results: dict[Node, dict[int, str]] = {}
        for node in nodes:
            if is_pick(node):
                picked = self._results.setdefault(node.operands[0], {})
                picked[node.attributes["index"]] = ""
        self._count = 0
        for node in (*inputs, *nodes):
            if node in self._names:
                continue
            if is_pick(node):
                name = self._results[node.operands[0]][node.attributes["index"]]
            elif isinstance(node.type, TensorType):
                name = self._new()
            else:
                picked = self._results.setdefault(node, {})
                self._results[node] = {i: self._new() for i in sorted(picked)}
                name = f"({', '.join(self.targets(node))})"
            self._names[node] = name

    def _new(self) -> str:
        self._count += 1
        return f"%{self._count - 1}"

    def of(self, node: Node) -> str:
        """Return the name of `node`; `%?` if it is not of this graph."""
        return self._names.get(node, "%?")

    def targets(self, node: Node) -> list[str]:
        """Return the names of the results of `node`."""
        if isinstance(node.type, TensorType) or not isinstance(node.type, tuple):
            return [self.of(node)]
        named = self._results.get(node, {})
        return [named.get(i, "_") for i in range(len(node.type))]


def is_pick(node: Node) -> bool:
    """Return whether `node` selects a result that is there."""
    if node.primitive is not PICK or len(node.operands) != 1:
        return False
    types, index = node.operands[0].type, node.attributes.get("index")
    return isinstance(types, tuple) and type(index) is int and 0 <= index < len(types)


def step_text(
    node: Node, names: Names, show_where: bool = False, depth: int = 0
) -> str:
    """Return the step that makes `node`."""
    arguments = [names.of(operand) for operand in node.operands]
    arguments += [
        f"{name}={_value_text(value, show_where, depth)}"
        for name, value in sorted(node.attributes.items())
    ]
    call = f"{node.primitive.name}({', '.join(arguments)})"
    return f"{', '.join(names.targets(node))} = {call} : {_typed(node)}"


def _typed(node: Node) -> str:
    types = node.type if isinstance(node.type, tuple) else (node.type,)
    text = ", ".join(_value_text(type, False, 0) for type in types)
    if node.primitive is INPUT and node.differentiable:
        text += " differentiable"
    return text + " weak" if node.weak else text


def _value_text(value: Any, show_where: bool, depth: int) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int) and abs(value) < _TOO_LONG:
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, str):
        return json.dumps(str(value))
    if isinstance(value, DType):
        return value.name
    if isinstance(value, TensorType):
        return f"{value.dtype.name}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, tuple):
        items = [_value_text(item, show_where, depth) for item in value]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, Graph):
        return _graph_text(value, show_where, depth + 1)
    if isinstance(value, Literal):
        return _literal_text(value.array)
    return f"<{type(value).__name__}>"  # the grammar has no such value


def _literal_text(array: np.ndarray) -> str:
    dtype = as_dtype(array.dtype)
    head = f"{dtype.name}[{', '.join(map(str, array.shape))}] "
    if array.size == 0:
        return head + "[]"
    if array.size <= READABLE:
        elements = [_element_text(x, dtype) for x in array.reshape(-1)]
        if None not in elements:
            return head + _nested(elements, array.shape)
    bits = np.ascontiguousarray(array).reshape(-1).view(_bits(dtype))
    return f'{head}base64 "{base64.b64encode(bits.tobytes()).decode("ascii")}"'


def _bits(dtype: DType) -> str:
    return f"<u{dtype.itemsize}"


def _element_text(x: Any, dtype: DType) -> str | None:
    """Return the shortest text that is read back as the same bits, or None."""
    if not dtype.is_float:
        return repr(x.item())
    for text in (str(x), float.__repr__(float(x)), "-nan"):
        try:
            back = np.asarray(float(text)).astype(dtype.numpy)
        except ValueError:
            continue
        if back.tobytes() == x.tobytes():
            return text if set(text) & set(".enif") else text + ".0"
    return None


def _nested(elements: Sequence[Any], shape: Shape) -> str:
    if not shape:
        return str(elements[0])
    step = size_of(shape[1:])
    parts = [
        _nested(elements[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])
    ]
    return f"[{', '.join(parts)}]"


# --- reading

_TOKEN = re.compile(
    r"""
    (?P<blank> (?: [ \t\r\n] | \#[^\n]* )+ )
    | (?P<name> %[0-9]+ )
    | (?P<number> -?[0-9]+ (?: \.[0-9]+ )? (?: [eE][+-]?[0-9]+ )? | -(?:inf|nan)\b )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<string> "(?: [^"\\\n] | \\[^\n] )*" )
    | (?P<mark> [()\[\]{},:=] )
    """,
    re.VERBOSE,
)
_DTYPES = {dtype.name: dtype for dtype in ALL}
_CONSTANTS = {"True": True, "False": False, "None": None}
_FLAGS = ("differentiable", "weak")


def from_text(text: str, primitives: Iterable[Primitive]) -> Graph:
    """Return the graph that `text` describes.

    Reads data only: nothing in the text is run, but for the type rules of `primitives`.

    Args:
        primitives: those that the text may apply.

    Raises:
        GraphError: the text breaks the grammar, names a value or primitive that is not
            there, or states a type that is not the inferred one. The message tells the
            line and column.
    """
    if not isinstance(text, str):
        raise GraphError("[from_text] not a text", got=type(text).__name__)
    reader = _Reader(text, primitives)
    graph = reader.graph()
    reader.expect("end", "the end of the text")
    return graph


class _Reader:
    """One method for each rule of the grammar; `kind` and `word` are the next token."""

    def __init__(self, text: str, primitives: Iterable[Primitive]) -> None:
        self.text = text
        self.primitives = {one.name: one for one in primitives}
        self.at = self.end = 0
        self.kind = self.word = ""
        self.depth = 0
        self.advance()

    # Tokens

    def advance(self) -> str:
        """Take the next token and return it."""
        taken = self.text[self.at : self.end]
        while True:
            self.at = self.end
            if self.at == len(self.text):
                self.kind = "end"
                break
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                self.kind, self.word = "bad", self.text[self.at]
                self.fail("this character cannot stand here")
            self.end = match.end()
            self.kind = str(match.lastgroup)
            if self.kind != "blank":
                break
        self.word = self.text[self.at : self.end]
        return taken

    def fail(self, what: str, *, at: int | None = None, **details: str) -> NoReturn:
        """Raise a GraphError that tells the place."""
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - (self.text.rfind("\n", 0, at) + 1) + 1
        if not details:
            shown = self.word if len(self.word) <= 40 else self.word[:37] + "..."
            details["got"] = (
                repr(shown) if self.kind != "end" else "the end of the text"
            )
        raise GraphError(f"[from_text] line {line}, column {column}: {what}", **details)

    def expect(self, kind: str, what: str) -> str:
        """Take a token of `kind`."""
        if self.kind != kind:
            self.fail(f"expected {what}")
        return self.advance()

    def take(self, word: str) -> None:
        """Take the token `word`."""
        if not self.next_is(word):
            self.fail(f"expected {word!r}")
        self.advance()

    def next_is(self, *words: str) -> bool:
        """Return whether the next token is one of `words`."""
        return self.kind in ("word", "mark") and self.word in words

    def accept(self, word: str) -> bool:
        """Take the token `word` if it is next, and return whether it was."""
        found = self.next_is(word)
        if found:
            self.advance()
        return found

    def items(self, read: Callable[[], Any], close: str) -> list[Any]:
        """Read items separated by commas up to the mark `close`, which is taken."""
        found: list[Any] = []
        while not self.accept(close):
            if found:
                self.take(",")
            found.append(read())
        return found

    def nest(self) -> None:
        """Enter something that may hold its like."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.fail(f"more than {MAX_NESTING} levels of nesting")

    # Graphs

    def graph(self) -> Graph:
        """Read a graph, with names of its own."""
        self.nest()
        self.take("graph")
        names: dict[str, Node] = {}
        self.take("(")
        inputs = self.items(lambda: self.read_input(names), ")")
        self.take("{")
        while not self.accept("return"):
            self.step(names)
        outputs = []
        if not self.next_is("}"):
            outputs = [self.value_of(names)]
            while self.accept(","):
                outputs.append(self.value_of(names))
        self.take("}")
        self.depth -= 1
        return Graph(inputs, outputs)

    def read_input(self, names: dict[str, Node]) -> Node:
        """Read an input and name it."""
        at = self.at
        name = self.expect("name", "the name of an input, such as %0")
        self.take(":")
        type = self.tensor_type()
        flags = self.flags(_FLAGS)
        node = make_input(
            type.shape, type.dtype,
            differentiable="differentiable" in flags, weak="weak" in flags,
        )  # fmt: skip
        self.define(names, name, node, at)
        return node

    def define(self, names: dict[str, Node], name: str, node: Node, at: int) -> None:
        """Give `node` a name that is still free."""
        if name in names:
            self.fail(f"{name} is defined twice", at=at, got=name)
        names[name] = node

    def value_of(self, names: dict[str, Node]) -> Node:
        """Read a name and return its value."""
        at = self.at
        name = self.expect("name", "the name of a value, such as %0")
        if name not in names:
            self.fail(f"{name} is not defined before its use", at=at, got=name)
        return names[name]

    def step(self, names: dict[str, Node]) -> None:
        """Read a step and name its results."""
        targets = [self.target()]
        while self.accept(","):
            targets.append(self.target())
        self.take("=")
        at = self.at
        word = self.expect("word", "the name of a primitive")
        primitive = self.primitives.get(word)
        if primitive is None or primitive in (INPUT, PICK):
            self.fail(f"there is no primitive {word!r} to apply", at=at, got=word)
        self.take("(")
        operands: list[Node] = []
        attributes: dict[str, Any] = {}
        self.items(lambda: self.argument(names, operands, attributes), ")")
        self.take(":")
        type = self.inferred(primitive, operands, attributes, at)
        stated = [self.tensor_type()]
        while self.accept(","):
            stated.append(self.tensor_type())
        if stated != (list(type) if isinstance(type, tuple) else [type]):
            self.fail(
                f"{word} does not give the type that is stated", at=at,
                got=", ".join(_value_text(one, False, 0) for one in stated),
                expected=_value_text(type, False, 0).strip("(,)"),
            )  # fmt: skip
        if len(targets) != len(stated):
            self.fail(
                f"{word} has another number of results", at=at,
                got=f"{len(targets)} names", expected=str(len(stated)),
            )  # fmt: skip
        weak = isinstance(type, TensorType) and bool(self.flags(("weak",)))
        flowing = flows(primitive, type, operands)
        node = Node(primitive, tuple(operands), attributes, type, flowing, weak)
        for index, (name, place) in enumerate(targets):
            if name != "_":
                result = pick(node, index) if isinstance(type, tuple) else node
                self.define(names, name, result, place)

    def target(self) -> tuple[str, int]:
        """Read the name of a result, and return it with its place."""
        at = self.at
        if self.accept("_"):
            return "_", at
        return self.expect("name", "a step or 'return'"), at

    def argument(
        self, names: dict[str, Node], operands: list[Node], attributes: dict[str, Any]
    ) -> None:
        """Read an operand or an attribute."""
        if self.kind == "name" and not attributes:
            operands.append(self.value_of(names))
            return
        at = self.at
        key = self.expect("word", "an operand, or an attribute after all operands")
        if key in attributes:
            self.fail(f"the attribute {key} is given twice", at=at, got=key)
        self.take("=")
        attributes[key] = self.value()

    def inferred(
        self,
        primitive: Primitive,
        operands: Sequence[Node],
        attributes: dict[str, Any],
        at: int,
    ) -> Any:
        """Return the type that the primitive infers."""
        try:
            return primitive.infer(*(node.type for node in operands), **attributes)
        except PlaitError as error:
            reason = error.message
        except Exception as error:  # a rule may trip in any way over hostile attributes
            reason = f"{type(error).__name__}: {error}"
        self.fail(f"{primitive.name} refuses its operands", at=at, got=reason)

    def flags(self, allowed: Sequence[str]) -> set[str]:
        """Read flags, each at most once."""
        found: set[str] = set()
        while self.next_is(*allowed) and self.word not in found:
            found.add(self.advance())
        return found

    # Values

    def tensor_type(self) -> TensorType:
        """Read a type."""
        if self.kind != "word" or self.word not in _DTYPES:
            self.fail("expected an element type, such as float32")
        dtype = _DTYPES[self.advance()]
        at = self.at
        self.take("[")
        shape = tuple(self.items(self.size, "]"))
        if len(shape) > MAX_NDIM:
            self.fail(f"more than {MAX_NDIM} axes", at=at, got=str(len(shape)))
        try:
            return TensorType(shape, dtype)
        except ShapeError as error:
            self.fail(error.what, at=at, got=error.got)

    def size(self) -> int:
        """Read the size of an axis."""
        at = self.at
        size = self.number()
        if not isinstance(size, int) or not 0 <= size < 2**63:
            self.fail("not the size of an axis", at=at, got=str(size)[:40])
        return size

    def number(self) -> int | float:
        """Read a number."""
        if self.kind == "number" and len(self.word) > MAX_DIGITS:
            self.fail("the number is too long")
        word = self.expect("number", "a number")
        return int(word) if word.lstrip("-").isdigit() else float(word)

    def value(self) -> Any:
        """Read the value of an attribute."""
        if self.kind == "number":
            return self.number()
        if self.kind == "string":
            return self.string()
        if self.next_is("inf", "nan"):
            return float(self.advance())
        if self.next_is(*_CONSTANTS):
            return _CONSTANTS[self.advance()]
        if self.next_is("graph"):
            return self.graph()
        if self.next_is("("):
            return self.sequence()
        if self.kind == "word" and self.word in _DTYPES:
            return self.dtype_type_or_literal()
        self.fail("expected the value of an attribute")

    def string(self) -> str:
        """Read a string."""
        try:
            text = json.loads(self.word)
        except ValueError:
            self.fail("not a string as JSON writes it")
        self.advance()
        return str(text)

    def sequence(self) -> tuple[Any, ...]:
        """Read a tuple; one item needs a comma behind it."""
        self.nest()
        at = self.at
        self.take("(")
        found: list[Any] = []
        comma = True
        while not self.accept(")"):
            if not comma:
                self.fail("expected ',' or ')'")
            found.append(self.value())
            comma = self.accept(",")
        if len(found) == 1 and not comma:
            self.fail("a tuple of one item needs a comma", at=at, got="no comma")
        self.depth -= 1
        return tuple(found)

    def dtype_type_or_literal(self) -> DType | TensorType | Literal:
        """Read what begins with an element type."""
        after = self.text[self.end : self.end + 1]
        if after != "[":
            return _DTYPES[self.advance()]
        at = self.at
        type = self.tensor_type()
        if self.accept("base64"):
            return self.encoded(type)
        if self.kind == "number" or self.next_is("[", "True", "False", "inf", "nan"):
            return self.written_out(type, at)
        return type

    def encoded(self, type: TensorType) -> Literal:
        """Read the bytes of an array."""
        at = self.at
        if self.kind != "string":
            self.fail("expected a string in base64")
        try:
            data = base64.b64decode(self.word[1:-1].encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            self.fail("not base64")
        self.advance()
        if len(data) != type.nbytes:
            self.fail(
                "the literal has another number of bytes", at=at,
                got=str(len(data)), expected=str(type.nbytes),
            )  # fmt: skip
        bits = np.frombuffer(data, _bits(type.dtype)) if data else np.empty(0, "<u1")
        if type.dtype is bool_ and (bits > 1).any():
            self.fail("a bool is neither 0 nor 1", at=at, got=str(bits.max()))
        native = bits.astype(bits.dtype.newbyteorder("="))
        return self.literal(native.view(type.dtype.numpy), type.shape, at)

    def literal(self, elements: np.ndarray, shape: Shape, at: int) -> Literal:
        """Return `elements` in `shape`."""
        try:
            return Literal(elements.reshape(shape))
        except ValueError:  # no elements, but an axis that is too long for NumPy
            self.fail("NumPy has no array of this shape", at=at, got=str(shape))

    def written_out(self, type: TensorType, at: int) -> Literal:
        """Read the elements of an array."""
        found: list[Any] = []
        if type.size == 0:
            self.take("[")
            self.take("]")
        else:
            self.elements(type.shape, type.dtype, found)
        return self.literal(np.array(found, type.dtype.numpy), type.shape, at)

    def elements(self, shape: Shape, dtype: DType, found: list[Any]) -> None:
        """Read the elements of one axis, or a single one."""
        if not shape:
            found.append(self.element(dtype))
            return
        self.take("[")
        for i in range(shape[0]):
            if i:
                self.take(",")
            self.elements(shape[1:], dtype, found)
        self.take("]")

    def element(self, dtype: DType) -> Any:
        """Read one element of an array."""
        at = self.at
        if self.next_is("True", "False", "inf", "nan"):
            word = self.advance()
            value = float(word) if word in ("inf", "nan") else word == "True"
        else:
            value = self.number()
        if dtype is bool_:
            fits = isinstance(value, bool)
        elif dtype.is_float:
            fits = isinstance(value, float)
        else:
            half = 2 ** (dtype.bits - 1)
            low, high = (-half, half) if dtype.kind == "signed" else (0, 2 * half)
            fits = type(value) is int and low <= value < high
        if not fits:
            self.fail(f"not an element of {dtype.name}", at=at, got=str(value)[:40])
        return value
