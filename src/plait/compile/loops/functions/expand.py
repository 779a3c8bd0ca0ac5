"""The table of functions, and the pass that writes them out in a kernel.

Read first: `FUNCTIONS`, `expand`, `expand_functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ....errors import DTypeError
from ..grammar import (
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
    Set,
    Statement,
    Store,
    Variable,
    Vector,
)
from ..operations import OPERATIONS
from ..traverse import ordered, parts, roots
from . import bitwise, exponential, logarithm, special, trigonometry
from .write import Bind, Value, Writer

# Names of values inside of formulas begin with it. Some are right only if they are
# rounded, as what is taken from them afterwards is the rounding.
PREFIX = "f."


class Bound(NamedTuple):
    """How far a function is from the exact value, at most, with or without `fused`.

    Where it is fused the error is mostly less by a quarter.

    Attributes:
        float32, float64: in units in the last place of the exact value, rounded; 0 is
            the reference's value exactly.
        floor: the unit is that of this number where the value is less.
    """

    float32: float
    float64: float
    floor: float = 0.0


class Function(NamedTuple):
    """A function and its formula.

    Attributes:
        operands: how many it takes.
        write: gives the value from named operands of one dtype.
        bound: see there.
    """

    operands: int
    write: Callable[..., Value]
    bound: Bound


def _power(x: Value, y: Value) -> Value:
    if not x.dtype.is_float:
        return bitwise.integer_power(x, y)
    if isinstance(y.expression, Constant):
        short = logarithm.constant_power(x, y.expression.value)
        if short is not None:
            return short
    if isinstance(x.expression, Constant) and x.expression.value == 2:
        return logarithm.exp2(y)
    return logarithm.power(x, y)


FUNCTIONS: dict[str, Function] = {
    "exp": Function(1, exponential.exp, Bound(2, 2)),
    "expm1": Function(1, exponential.expm1, Bound(2, 2)),
    "sigmoid": Function(1, exponential.sigmoid, Bound(3.5, 3)),
    "tanh": Function(1, exponential.tanh, Bound(2.5, 2.5)),
    "sinh": Function(1, exponential.sinh, Bound(2.5, 2)),
    "cosh": Function(1, exponential.cosh, Bound(2.2, 2)),
    "log": Function(1, logarithm.log, Bound(1, 1)),
    "log1p": Function(1, logarithm.log1p, Bound(1.5, 1)),
    "asinh": Function(1, logarithm.asinh, Bound(2, 2)),
    "acosh": Function(1, logarithm.acosh, Bound(2.5, 2.5)),
    "atanh": Function(1, logarithm.atanh, Bound(2.5, 2)),
    "power": Function(2, _power, Bound(1, 2)),
    "sin": Function(1, trigonometry.sin, Bound(1.6, 1)),
    "cos": Function(1, trigonometry.cos, Bound(1.6, 1)),
    "tan": Function(1, trigonometry.tan, Bound(3.5, 2)),
    "asin": Function(1, trigonometry.asin, Bound(2.2, 1.5)),
    "acos": Function(1, trigonometry.acos, Bound(1.5, 1.5)),
    "atan": Function(1, trigonometry.atan, Bound(2.2, 1.5)),
    "atan2": Function(2, trigonometry.atan2, Bound(2.5, 2)),
    "erf": Function(1, special.erf, Bound(2, 1.5)),
    "erfc": Function(1, special.erfc, Bound(5.5, 5)),
    "erfinv": Function(1, special.erfinv, Bound(1, 7)),
    "lgamma": Function(1, special.lgamma, Bound(1, 8, 1.0)),
    "digamma": Function(1, special.digamma, Bound(1, 8, 1.0)),
    "sign": Function(1, bitwise.sign, Bound(0, 0)),
    "signbit": Function(1, bitwise.signbit, Bound(0, 0)),
    "copysign": Function(2, bitwise.copysign, Bound(0, 0)),
    "nextafter": Function(2, bitwise.nextafter, Bound(0, 0)),
    "remainder": Function(2, bitwise.remainder, Bound(0, 0)),
    "floor_divide": Function(2, bitwise.floor_divide, Bound(0, 0)),
}
BOUNDS: dict[str, Bound] = {name: one.bound for name, one in FUNCTIONS.items()}


def expand(
    name: str, operands: Sequence[Expression], bind: Bind, fused: bool = True
) -> Expression:
    """Return a function of operands in basic operations.

    Args:
        operands: of one dtype, float32 or float64; integers for `sign` and `power`.
        bind: gives an expression that is used several times a name.
        fused: the target has `fused_multiply_add` with one rounding. The bounds hold
            either way.

    Raises:
        DTypeError: the operands are 16-bit floats.
    """
    dtype = operands[0].dtype
    if dtype.is_float and dtype.bits < 32:
        raise DTypeError(
            f"[{name}] functions are worked out in 32 bits or more",
            got=dtype.name,
            fix="cast the operands to float32 and the result back",
        )
    writer = Writer(bind, fused)
    values = [Value(operand, writer).let() for operand in operands]
    return FUNCTIONS[name].write(*values).expression


def expand_functions(kernel: Kernel, fused: bool = True) -> Kernel:
    """Return the kernel with all functions written out.

    What a function uses several times is bound by a `Let` before the statement that
    the function is in. Statements without functions are kept as they are.
    """
    pass_ = _Pass(fused)
    body = pass_.body(kernel.body)
    if body is kernel.body:
        return kernel
    return Kernel(kernel.name, kernel.buffers, body, kernel.chunks, kernel.scratch)


def _is_function(node: Expression) -> bool:
    if not isinstance(node, Operation) or node.name not in FUNCTIONS:
        return False
    # Of integers, division is basic.
    return node.name not in OPERATIONS or node.operands[0].dtype.is_float


class _Pass:
    """One run; names are unique in the whole kernel."""

    def __init__(self, fused: bool) -> None:
        self.fused = fused
        self.count = 0
        self.lets: Body = []

    def bind(self, value: Expression) -> Variable:
        self.count += 1
        variable = Variable(f"{PREFIX}{self.count}", value.dtype)
        self.lets.append(Let(variable, value))
        return variable

    def body(self, body: Body) -> Body:
        """Return the statements rewritten; `body` itself if nothing changes."""
        result: Body = []
        changed = False
        for statement in body:
            replaced = self.statement(statement)
            changed = changed or replaced is not statement or bool(self.lets)
            result.extend(self.lets)
            self.lets = []
            result.append(replaced)
        return result if changed else body

    def statement(self, statement: Statement) -> Statement:
        """Return one rewritten; what goes before it is in `lets`."""
        wanted = roots(statement)
        new = self.expressions(wanted) if wanted else wanted
        # Inner bodies come last: their Lets stay inside.
        if isinstance(statement, For | Vector | If):
            lets, self.lets = self.lets, []
            statement = self.nest(statement, new)
            self.lets = lets
            return statement
        if all(a is b for a, b in zip(wanted, new, strict=True)):
            return statement
        if isinstance(statement, Let):
            return Let(statement.variable, new[0])
        if isinstance(statement, Set):
            return Set(statement.registers, new[0], new[1])
        assert isinstance(statement, Store)
        index, value, *condition = new
        return Store(
            statement.buffer,
            index,
            value,
            condition[0] if condition else None,
            statement.streaming,
        )

    def nest(
        self, statement: For | Vector | If, new: Sequence[Expression]
    ) -> Statement:
        body = self.body(statement.body)
        same = body is statement.body
        if isinstance(statement, Vector):
            if same:
                return statement
            return Vector(statement.variable, statement.extent, statement.lanes, body)
        if isinstance(statement, For):
            extent = new[0] if new else statement.extent
            if same and extent is statement.extent:
                return statement
            return For(statement.variable, extent, body, statement.kind)
        otherwise = self.body(statement.otherwise)
        if same and otherwise is statement.otherwise and new[0] is statement.condition:
            return statement
        return If(new[0], body, otherwise)

    def name(
        self, old: Expression, new: Expression, known: dict[int, Expression]
    ) -> Expression:
        """Return what is known of `old` from now on: `new` under a name."""
        # Of two operands that are one expression, the second is bound already.
        new = known.get(id(old), new)
        if not isinstance(new, Variable | Constant):
            new = self.bind(new)
        known[id(old)] = new
        return new

    def expressions(self, wanted: Sequence[Expression]) -> Sequence[Expression]:
        nodes = ordered(wanted)
        if not any(_is_function(node) for node in nodes):
            return wanted
        known: dict[int, Expression] = {}
        uses: dict[int, int] = {}
        for node in nodes:
            for part in parts(node):
                uses[id(part)] = uses.get(id(part), 0) + 1
        for root in wanted:
            uses[id(root)] = uses.get(id(root), 0) + 1
        for node in nodes:
            key = id(node)
            old = parts(node)
            new = tuple(known[id(part)] for part in old)
            if _is_function(node):
                assert isinstance(node, Operation)
                new = tuple(
                    self.name(x, y, known) for x, y in zip(old, new, strict=True)
                )
                result = expand(node.name, new, self.bind, self.fused)
            elif all(a is b for a, b in zip(old, new, strict=True)):
                result = node
            else:
                result = _with_parts(node, new)
            # What is shared is bound once: inside of other formulas, it would be
            # met again only where all of them are in one statement.
            if uses.get(key, 0) > 1 and result is not node:
                result = self.name(node, result, known)
            known[key] = result
        return [known[id(one)] for one in wanted]


def _with_parts(node: Expression, new: tuple[Expression, ...]) -> Expression:
    if isinstance(node, Operation):
        return Operation(node.name, new, node.dtype)
    if isinstance(node, Load):
        condition, other = (*new[1:], None, None)[:2]
        return Load(node.buffer, new[0], condition, other, node.ahead)
    if isinstance(node, Get):
        return Get(node.registers, new[0])
    assert isinstance(node, Fold)
    return Fold(node.operation, node.registers, new[0])
