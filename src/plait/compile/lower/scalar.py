"""How elementwise primitives are spelled in Loop IR.

Most are operations or functions of the same name. 16-bit floats are computed in
float32: their values are float32 here, and are rounded where they are stored or cast.

Read first: `scalar`, `SCALARS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...dtypes import DType, bool_, float32
from ...ir.graph import Node
from ..loops.functions import FUNCTIONS
from ..loops.grammar import Constant, Expression, Operation
from ..loops.operations import OPERATIONS

Bind = Callable[[Expression], Expression]

# Primitives that are the identity once derivatives are settled.
IDENTITIES = ("stop_gradient", "variable")
# What one element costs, in additions. Others cost 1, functions `_FUNCTION`.
COSTS = {"divide": 4, "sqrt": 4, "floor_divide": 4, "remainder": 4}
_FUNCTION = 12


def computed(dtype: DType) -> DType:
    """Return the dtype in which values of `dtype` are computed."""
    return float32 if dtype.is_float and dtype.bits == 16 else dtype


def constant(value: Any, dtype: DType) -> Constant:
    """Return a constant of the dtype in which `dtype` is computed."""
    scalar = dtype.numpy.type(value).item()
    if dtype.is_float:
        scalar = float(dtype.numpy.type(value))
    return Constant(scalar, computed(dtype))


def is_scalar(node: Node) -> bool:
    """Return whether `node` is elementwise and can be written in Loop IR."""
    name = node.primitive.name
    if name not in SCALARS:
        return False
    if name == "bitcast":
        return node.dtype.itemsize == node.operands[0].dtype.itemsize
    if name == "nextafter":
        # The next number of 16 bits is not that of float32.
        return node.dtype is computed(node.dtype)
    return True


def cost(node: Node) -> int:
    """Return what one element of an elementwise node costs, in additions."""
    name = node.primitive.name
    if name in IDENTITIES:
        return 0
    return COSTS.get(name, _FUNCTION if name in FUNCTIONS else 1)


def scalar(node: Node, operands: Sequence[Expression]) -> Expression:
    """Return the value of an elementwise node, given those of its operands."""
    return SCALARS[node.primitive.name](node, operands)


def narrowed(value: Expression, dtype: DType) -> Expression:
    """Return a computed value as it is stored in memory of `dtype`."""
    return value if value.dtype is dtype else Operation("cast", (value,), dtype)


def widened(value: Expression) -> Expression:
    """Return a value from memory in the dtype in which it is computed."""
    dtype = computed(value.dtype)
    return value if value.dtype is dtype else Operation("cast", (value,), dtype)


def _plain(node: Node, operands: Sequence[Expression]) -> Expression:
    return Operation(node.primitive.name, operands, computed(node.dtype))


def _compared(node: Node, operands: Sequence[Expression]) -> Expression:
    return Operation(node.primitive.name, operands, bool_)


def _cast(node: Node, operands: Sequence[Expression]) -> Expression:
    value = operands[0]
    dtype = node.dtype
    if value.dtype is dtype and node.operands[0].dtype is dtype:
        return value
    if dtype is bool_:
        return Operation(
            "not_equal", (value, Constant(_zero(value.dtype), value.dtype)), bool_
        )
    # A cast to 16 bits rounds, though its value is carried on in float32.
    return widened(narrowed(value, dtype))


def _zero(dtype: DType) -> object:
    return 0.0 if dtype.is_float else 0


def _bitcast(node: Node, operands: Sequence[Expression]) -> Expression:
    stored = narrowed(operands[0], node.operands[0].dtype)
    if stored.dtype is node.dtype:
        return operands[0]
    return widened(Operation("bitcast", (stored,), node.dtype))


def _select(node: Node, operands: Sequence[Expression]) -> Expression:
    return Operation("select", operands, computed(node.dtype))


_COMPARISONS = ("equal", "not_equal", "less", "less_equal")
_OWN = {"cast": _cast, "bitcast": _bitcast, "select": _select}
SCALARS: dict[str, Callable[[Node, Sequence[Expression]], Expression]] = {
    **{
        name: _plain
        for name in (*OPERATIONS, *FUNCTIONS)
        if name not in (*_OWN, *_COMPARISONS, "fused_multiply_add", "dot_pairs")
    },
    **dict.fromkeys(_COMPARISONS, _compared),
    **_OWN,
    **dict.fromkeys(IDENTITIES, lambda node, operands: operands[0]),
}
