"""Brings the operands of an op together: Python scalars, dtypes and shapes.

Read first: `together`, `Operand`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import shown
from ..dtypes import DType, as_dtype, default_float, float32, promote, promote_scalar
from ..errors import ArgumentTypeError, DTypeError
from ..ir.graph import Node
from ..shapes import broadcast
from . import elementwise, movement, source

Operand = Node | bool | int | float
# A key of random numbers; plait supplies one where the user gives none.
RandomKey = Node

_RANK = {"bool": 0, "unsigned": 1, "signed": 1, "float": 2}


def common_dtype(operands: Sequence[Operand]) -> DType:
    """Return the type that `operands` promote to; Python scalars and weak nodes yield.

    Only scalars: the default type of the highest kind among them.
    """
    strong: DType | None = None
    weak: DType | None = None
    for x in operands:
        if isinstance(x, Node) and not x.weak:
            strong = x.dtype if strong is None else promote(strong, x.dtype)
        else:
            kind = x.dtype if isinstance(x, Node) else as_dtype(type(x))
            kind = default_float if kind.is_float else kind
            if weak is None or _RANK[kind.kind] > _RANK[weak.kind]:
                weak = kind
    if strong is None:
        assert weak is not None
        return weak
    return strong if weak is None else promote_scalar(strong, weak)


def float_dtype(*operands: Node | None) -> DType:
    """Return the floating-point dtype that `operands` promote to."""
    dtype = common_dtype([x for x in operands if x is not None])
    return dtype if dtype.is_float else default_float


def inner_dtype(dtype: DType) -> DType:
    """Return the dtype in which a result of `dtype` is computed."""
    return float32 if dtype.bits == 16 else dtype


def as_node(op: str, x: Operand, dtype: DType) -> Node:
    """Return `x` as a node of `dtype`.

    Raises:
        ArgumentTypeError: `x` is no number.
    """
    if isinstance(x, Node):
        return elementwise.cast(x, dtype)
    if isinstance(x, (bool, int, float)):
        return source.constant(x, dtype)
    raise ArgumentTypeError(
        f"[{op}] an operand is neither a tensor nor a number",
        got=shown(x),
        fix="convert it with plait.asarray",
    )


def together(op: str, *operands: Operand, dtype: DType | None = None) -> list[Node]:
    """Return `operands` cast to their common dtype and expanded to their common shape.

    Args:
        op: the name in error messages.
        dtype: cast to this instead of the common type.
    """
    for x in operands:
        if not isinstance(x, (Node, bool, int, float)):
            as_node(op, x, default_float)
    if dtype is None:
        dtype = common_dtype(operands)
    shapes = [x.shape for x in operands if isinstance(x, Node)]
    shape = broadcast(op, *shapes) if shapes else ()
    return [movement.expand(as_node(op, x, dtype), shape) for x in operands]


def as_float(op: str, x: Node) -> Node:
    """Return `x`; an integer or bool becomes the default floating-point type."""
    if x.dtype.is_float and not x.weak:
        return x
    return elementwise.cast(x, x.dtype if x.dtype.is_float else default_float)


def require(op: str, x: Node, kinds: str) -> None:
    """Raise unless the dtype of `x` is one of `kinds`, words separated by spaces.

    Raises:
        DTypeError: it is another.
    """
    if x.dtype.kind not in kinds.split():
        raise DTypeError(
            f"[{op}] the element type is not accepted",
            got=x.dtype.name,
            expected=" or ".join(kinds.split()),
        )
