"""Which values are equal, near to others, among others, or no ordinary numbers.

Read first: `isclose`, `isin`, `nan_to_num`.
"""

from __future__ import annotations

import ml_dtypes

from ..dtypes import bool_, float64
from ..ir.graph import Node
from . import elementwise, gather, movement, reduce, sort, source
from .family import NUMERIC
from .operand import Operand, as_node, common_dtype, require, together

# So many elements are compared with each one; more of them are sorted and searched.
_FEW = 32


def isclose(
    x: Operand,
    y: Operand,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Node:
    """Return whether `x` is near `y`, as bool.

    Formula: abs(x - y) <= atol + rtol * abs(y), or x == y.

    Args:
        x, y: tensors or numbers whose shapes broadcast. Integers are compared as
            float64.
        rtol: how far they may differ as a share of `y`.
        atol: how far they may differ besides.
        equal_nan: whether nan is near nan.

    Raises:
        ShapeError: the shapes do not broadcast.

    Special cases: an infinity is near itself alone.

    Source: NumPy, isclose.
    """
    x, y = together("isclose", x, y)
    same = elementwise.equal(x, y)
    if not x.dtype.is_float:
        x, y = elementwise.cast(x, float64), elementwise.cast(y, float64)
    room = elementwise.add(elementwise.multiply(elementwise.abs(y), rtol), atol)
    near = elementwise.less_equal(elementwise.abs(elementwise.subtract(x, y)), room)
    near = elementwise.logical_and(near, elementwise.isfinite(y))
    near = elementwise.logical_or(near, same)
    if equal_nan:
        both = elementwise.logical_and(elementwise.isnan(x), elementwise.isnan(y))
        near = elementwise.logical_or(near, both)
    return near


def allclose(
    x: Operand,
    y: Operand,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Node:
    """Return whether every element of `x` is near that of `y`, as a bool tensor.

    `if plait.allclose(x, y)` looks at its value.

    Args:
        x, y, rtol, atol, equal_nan: as in `isclose`.

    Raises:
        ShapeError: the shapes do not broadcast.

    Source: NumPy, allclose.
    """
    return reduce.all(isclose(x, y, rtol, atol, equal_nan))


def array_equal(x: Node, y: Node, equal_nan: bool = False) -> Node:
    """Return whether `x` and `y` have one shape and equal elements, as a bool tensor.

    Args:
        x, y: any tensors; nothing is broadcast.
        equal_nan: whether nan equals nan.

    Source: NumPy, array_equal.
    """
    if x.shape != y.shape:
        return source.constant(False, bool_)
    same = elementwise.equal(x, y)
    if equal_nan and x.dtype.is_float and y.dtype.is_float:
        both = elementwise.logical_and(elementwise.isnan(x), elementwise.isnan(y))
        same = elementwise.logical_or(same, both)
    return reduce.all(same)


def isin(x: Operand, test_elements: Operand, *, invert: bool = False) -> Node:
    """Return whether each element of `x` is among others, as bool in the shape of `x`.

    Args:
        x: any shape.
        test_elements: what is looked for, any shape; or one number.
        invert: return whether it is not.

    Special cases: nan is among nothing.

    Source: NumPy, isin.
    """
    dtype = common_dtype((x, test_elements))
    x = as_node("isin", x, dtype)
    elements = as_node("isin", test_elements, dtype)
    elements = movement.reshape(elements, (elements.size,))
    n = elements.size
    if n == 0:
        found = source.full(x.shape, False, bool_)
    elif n <= _FEW or dtype is bool_:
        equal = elementwise.equal(movement.expand_dims(x, -1), elements)
        found = reduce.any(equal, -1)
    else:
        line = sort.sort(elements)
        place = sort.searchsorted(line, x)
        place = elementwise.minimum(place, n - 1)
        found = elementwise.equal(gather.gather(line, place, 0), x)
    return elementwise.logical_not(found) if invert else found


def isposinf(x: Operand) -> Node:
    """Return whether `x` is the positive infinity, as bool."""
    (node,) = together("isposinf", x)
    require("isposinf", node, NUMERIC)
    if not node.dtype.is_float:
        return elementwise.not_equal(node, node)
    return elementwise.equal(node, float("inf"))


def isneginf(x: Operand) -> Node:
    """Return whether `x` is the negative infinity, as bool."""
    (node,) = together("isneginf", x)
    require("isneginf", node, NUMERIC)
    if not node.dtype.is_float:
        return elementwise.not_equal(node, node)
    return elementwise.equal(node, float("-inf"))


def nan_to_num(
    x: Operand,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Node:
    """Return `x` with numbers in place of nan and of the infinities.

    Args:
        x: any shape; integers stay as they are.
        nan: what stands for nan.
        posinf: what stands for inf. Default: the greatest number of the dtype.
        neginf: what stands for -inf. Default: the least number of the dtype.

    Gradient: `ct` where `x` is an ordinary number, else 0.

    Source: NumPy, nan_to_num.
    """
    (node,) = together("nan_to_num", x)
    if not node.dtype.is_float:
        return node
    limits = ml_dtypes.finfo(node.dtype.numpy)  # type: ignore[no-untyped-call]
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    result = elementwise.select(elementwise.isnan(node), nan, node)
    result = elementwise.select(isposinf(node), high, result)
    return elementwise.select(isneginf(node), low, result)


OPS = (isclose, allclose, array_equal, isin, isposinf, isneginf, nan_to_num)
