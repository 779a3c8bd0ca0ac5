"""What the rules of `simplify` ask of nodes, and the nodes that many of them make.

A constant whose elements are all equal is written `expand(constant)` over a scalar, or
is that scalar; `simplify` brings all such constants to this form first.

Read first: `number`, `full`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import DType
from ..ir.graph import Literal, Node
from ..ir.primitive import Primitive
from ..ir.rewrite import derive
from ..ops.elementwise import (
    ABS,
    ADD,
    CAST,
    EXP,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    SELECT,
    SIGMOID,
    SUBTRACT,
)  # fmt: skip
from ..ops.movement import EXPAND, PERMUTE, RESHAPE
from ..ops.reduce import MAX
from ..ops.source import CONSTANT, IOTA, STOP_GRADIENT, VARIABLE
from ..shapes import Shape

# How far the questions below look into an expression.
DEPTH = 4


def is_a(node: Node, *primitives: Primitive) -> bool:
    """Return whether `node` applies one of `primitives`."""
    return node.primitive in primitives


def scalar(node: Node) -> np.ndarray | None:
    """Return the value of each element as an array without axes, if it is constant."""
    if node.primitive is EXPAND:
        node = node.operands[0]
    if node.primitive is CONSTANT and node.shape == ():
        value: Literal = node.attributes["value"]
        return value.array
    return None


def number(node: Node) -> Any:
    """Return the value of each element as a Python number, if it is one constant."""
    value = scalar(node)
    if value is None:
        return None
    return float(value) if node.dtype.is_float else value.item()


def is_number(node: Node, *wanted: float) -> bool:
    """Return whether `node` is one of the constants `wanted`; 0.0 is not -0.0."""
    value = number(node)
    return value is not None and any(
        value == one and math.copysign(1, value) == math.copysign(1, one)
        for one in wanted
    )


def literal(node: Node, array: np.ndarray) -> Node:
    """Return a constant, recorded at the place of `node`."""
    return derive(node, CONSTANT, value=Literal(array))


def full(
    node: Node, value: Any, shape: Shape | None = None, dtype: DType | None = None
) -> Node:
    """Return `value` in each element, by default in the shape and dtype of `node`."""
    array = np.asarray(value).astype((dtype or node.dtype).numpy)
    return expanded(node, literal(node, array), node.shape if shape is None else shape)


def expanded(node: Node, x: Node, shape: Shape) -> Node:
    """Return `x` broadcast to `shape`."""
    return x if x.shape == shape else derive(node, EXPAND, x, shape=shape)


def reshaped(node: Node, x: Node, shape: Shape) -> Node:
    """Return `x` in `shape`."""
    return x if x.shape == shape else derive(node, RESHAPE, x, shape=shape)


def without_lead(shape: Shape) -> Shape:
    """Return `shape` without its leading ones, which broadcasting adds."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


def moved(node: Node) -> tuple[Node, list[Node]]:
    """Return what reshape, expand and permute were applied to, and they, last first."""
    steps: list[Node] = []
    while is_a(node, RESHAPE, EXPAND, PERMUTE) and len(steps) < DEPTH:
        steps.append(node)
        node = node.operands[0]
    return node, steps


def replay(node: Node, x: Node, steps: list[Node]) -> Node:
    """Return `x` moved by `steps`."""
    for step in reversed(steps):
        x = derive(node, step.primitive, x, **step.attributes)
    return x


def never_minus_zero(node: Node, depth: int = DEPTH) -> bool:
    """Return whether no element can be -0.0."""
    if not node.dtype.is_float:
        return True
    value = scalar(node)
    if value is not None:
        return not (value == 0 and bool(np.signbit(value)))
    if is_a(node, EXP, ABS, SIGMOID, IOTA):
        return True
    if depth == 0:
        return False
    inner = node.operands
    if node.primitive is ADD:  # -0.0 only where both are
        return any(never_minus_zero(x, depth - 1) for x in inner)
    if node.primitive is MULTIPLY and inner[0] is inner[1]:
        return True
    if node.primitive is CAST:  # between floats, a tiny negative number may round to it
        return not inner[0].dtype.is_float
    if node.primitive is SELECT:
        return all(never_minus_zero(x, depth - 1) for x in inner[1:])
    if is_a(node, RESHAPE, EXPAND, PERMUTE):
        return never_minus_zero(inner[0], depth - 1)
    return False


def never_negative(node: Node) -> bool:
    """Return whether no element is below zero, nor is -0.0; nan may be."""
    if node.dtype.kind in ("unsigned", "bool"):
        return True
    if is_a(node, EXP, ABS, SIGMOID):
        return True
    # An integer square may wrap around.
    square = node.primitive is MULTIPLY and node.operands[0] is node.operands[1]
    return square and node.dtype.is_float


def never_positive(node: Node) -> bool:
    """Return whether no element is above zero, so that `exp` of it cannot overflow."""
    value = number(node)
    if value is not None:
        return bool(value <= 0)
    if node.primitive is NEGATIVE:
        return never_negative(node.operands[0])
    if node.primitive is MINIMUM:
        return any(never_positive(x) for x in node.operands if number(x) is not None)
    return is_shifted(node)


def is_shifted(node: Node) -> bool:
    """Return whether `node` is `u - max(u)`, however the maximum is guarded."""
    if node.primitive is not SUBTRACT:
        return False
    u, shift = node.operands
    waiting = [shift]
    for _ in range(DEPTH * DEPTH):
        if not waiting:
            break
        x = waiting.pop()
        if is_a(x, MAX, MAXIMUM) and any(y is u for y in x.operands):
            return True
        if is_a(x, RESHAPE, EXPAND, PERMUTE, SELECT, STOP_GRADIENT, VARIABLE, CAST):
            waiting.extend(x.operands[1:] if x.primitive is SELECT else x.operands)
    return False
