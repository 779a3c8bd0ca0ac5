"""Arithmetic that is made of the elementary functions.

Read first: `lerp`, `fmod`, `sinc`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import float64
from ..ir.graph import Node
from . import elementwise
from .family import NUMERIC
from .operand import Operand, as_float, require, together


def lerp(start: Operand, end: Operand, weight: Operand) -> Node:
    """Return numbers between `start` and `end`.

    Formula: start + weight * (end - start), and end itself where `weight` is 1.

    Args:
        start, end: tensors or numbers.
        weight: 0 gives `start`, 1 gives `end`; beyond is allowed. All are broadcast.

    Raises:
        ShapeError: the shapes do not broadcast.
    """
    start, end, weight = together("lerp", start, end, weight)
    start, end, weight = (as_float("lerp", x) for x in (start, end, weight))
    step = elementwise.subtract(end, start)
    near = elementwise.add(start, elementwise.multiply(weight, step))
    rest = elementwise.multiply(elementwise.subtract(1, weight), step)
    return elementwise.select(
        elementwise.less(weight, 0.5), near, elementwise.subtract(end, rest)
    )


def addcmul(x: Operand, y: Operand, z: Operand, *, value: float = 1) -> Node:
    """Return `x + value * y * z`, broadcast."""
    product = elementwise.multiply(y, z)
    if value != 1:
        product = elementwise.multiply(product, value)
    return elementwise.add(x, product)


def addcdiv(x: Operand, y: Operand, z: Operand, *, value: float = 1) -> Node:
    """Return `x + value * y / z`, broadcast."""
    quotient = elementwise.divide(y, z)
    if value != 1:
        quotient = elementwise.multiply(quotient, value)
    return elementwise.add(x, quotient)


def divide_no_nan(x: Operand, y: Operand) -> Node:
    """Return `x / y`, and 0 where `y` is 0, broadcast.

    Gradient: 0 where `y` is 0.
    """
    x, y = together("divide_no_nan", x, y)
    nothing = elementwise.equal(y, 0)
    quotient = elementwise.divide(x, elementwise.select(nothing, 1, y))
    return elementwise.select(nothing, 0, quotient)


def frac(x: Operand) -> Node:
    """Return what follows the point: `x - trunc(x)`, with the sign of `x`.

    Gradient: `ct`.
    """
    (node,) = together("frac", x)
    return elementwise.subtract(node, elementwise.trunc(node))


def fmod(x: Operand, y: Operand) -> Node:
    """Return `x - trunc(x / y) * y`, with the sign of `x`. `remainder` has that of `y`.

    Special cases: nan where `y` is 0 or `x` infinite; an integer by zero gives 0.

    Source: C17, fmod.
    """
    x, y = together("fmod", x, y)
    size = elementwise.remainder(elementwise.abs(x), elementwise.abs(y))
    below = elementwise.less(x, 0)
    return elementwise.select(below, elementwise.negative(size), size)


def _of_numbers(op: str, x: Operand, y: Operand, least: bool) -> Node:
    x, y = together(op, x, y)
    chosen = (elementwise.minimum if least else elementwise.maximum)(x, y)
    if not x.dtype.is_float:
        return chosen
    chosen = elementwise.select(elementwise.isnan(y), x, chosen)
    return elementwise.select(elementwise.isnan(x), y, chosen)


def fmax(x: Operand, y: Operand) -> Node:
    """Return the greater of `x` and `y`; where one is nan, the other.

    Gradient: to the greater; halved between equal ones.
    """
    return _of_numbers("fmax", x, y, least=False)


def fmin(x: Operand, y: Operand) -> Node:
    """Return the lesser of `x` and `y`; where one is nan, the other.

    Gradient: to the lesser; halved between equal ones.
    """
    return _of_numbers("fmin", x, y, least=True)


def heaviside(x: Operand, values: Operand) -> Node:
    """Return 0 where `x` is negative, 1 where it is positive, `values` where it is 0.

    Special cases: nan where `x` is nan. Gradient: to `values` where `x` is 0.
    """
    x, values = together("heaviside", x, values)
    require("heaviside", x, NUMERIC)
    step = elementwise.cast(elementwise.greater(x, 0), x.dtype)
    result = elementwise.select(elementwise.equal(x, 0), values, step)
    if x.dtype.is_float:
        result = elementwise.select(elementwise.isnan(x), math.nan, result)
    return result


def deg2rad(x: Operand) -> Node:
    """Return angles in radians of those in degrees: `x * pi / 180`."""
    (node,) = together("deg2rad", x)
    return elementwise.multiply(as_float("deg2rad", node), math.pi / 180)


def rad2deg(x: Operand) -> Node:
    """Return angles in degrees of those in radians: `x * 180 / pi`."""
    (node,) = together("rad2deg", x)
    return elementwise.multiply(as_float("rad2deg", node), 180 / math.pi)


def float_power(x: Operand, y: Operand) -> Node:
    """Return `x` raised to `y`, broadcast, computed and returned as float64."""
    return elementwise.pow(*together("float_power", x, y, dtype=float64))


def sinc(x: Operand) -> Node:
    """Return `sin(pi * x) / (pi * x)`, and 1 where `x` is 0.

    Gradient: 0 where `x` is 0; so is the second derivative there.
    """
    (node,) = together("sinc", x)
    node = as_float("sinc", node)
    middle = elementwise.equal(node, 0)
    angle = elementwise.multiply(elementwise.select(middle, 1, node), math.pi)
    wave = elementwise.divide(elementwise.sin(angle), angle)
    return elementwise.select(middle, 1, wave)


def logaddexp2(x: Operand, y: Operand) -> Node:
    """Return `log2(2 ** x + 2 ** y)` without overflow, broadcast."""
    scale = math.log(2)
    x, y = (elementwise.multiply(one, scale) for one in together("logaddexp2", x, y))
    return elementwise.divide(elementwise.logaddexp(x, y), scale)


# Polynomials


def polynomial(x: Node, coefficients: Sequence[float]) -> Node:
    """Return the polynomial by Horner's rule; the highest power's coefficient first."""
    first, second, *rest = coefficients
    result = elementwise.add(elementwise.multiply(x, first), second)
    for coefficient in rest:
        result = elementwise.add(elementwise.multiply(result, x), coefficient)
    return result


def ratio(x: Node, terms: tuple[Sequence[float], Sequence[float]]) -> Node:
    """Return the quotient of two polynomials."""
    return elementwise.divide(polynomial(x, terms[0]), polynomial(x, terms[1]))


OPS = (
    lerp, addcmul, addcdiv, divide_no_nan, frac, fmod, fmax, fmin, heaviside, deg2rad,
    rad2deg, float_power, sinc, logaddexp2,
)  # fmt: skip
