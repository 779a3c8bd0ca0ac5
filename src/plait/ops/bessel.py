"""The modified Bessel functions of orders 0 and 1.

They are means over a circle: of exp(x * cos(t)), and of that times cos(t). A few
points on it give all digits up to some `x`, as the functions are smooth and periodic;
beyond, their asymptotic series does.

Read first: `_near`, `_far`.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import float32, float64
from ..ir.graph import Node
from . import elementwise, movement, reduce, source
from .operand import Operand, as_float, inner_dtype, together

# How finely the circle is divided, and up to which argument, for all digits of float32
# and of float64; and how many terms the series takes beyond.
_NEAR = {float32: (32, 20.0), float64: (64, 50.0)}
_TERMS = 10


def _near(order: int, x: Node) -> Node:
    """Return the function for arguments that are not large.

    A quarter of the circle is enough: its points stand for those around it, with cosh
    and sinh in place of exp.
    """
    points, _ = _NEAR[x.dtype]
    angles = np.arange(points // 4 + 1) * (2 * math.pi / points)
    weights = np.full(angles.shape, 4 / points)
    weights[0] = weights[-1] = 2 / points
    # On the first axis: so there are sums of neighbours, not within each element.
    angles, weights = (y.reshape(-1, *(1,) * x.ndim) for y in (angles, weights))
    cosines = np.cos(angles)
    product = elementwise.multiply(
        movement.expand_dims(x, 0), source.constant(cosines, x.dtype)
    )
    if order:
        weights, waves = weights * cosines, elementwise.sinh(product)
    else:
        waves = elementwise.cosh(product)
    weighted = elementwise.multiply(waves, source.constant(weights, x.dtype))
    return reduce.sum(weighted, 0)


def _far(order: int, x: Node) -> Node:
    """Return exp(-x) times the function for large positive `x` (NIST DLMF 10.40.1)."""
    series: Node | float = 1.0
    for i in range(_TERMS, 0, -1):
        ratio = ((2 * i - 1) ** 2 - 4 * order**2) / (8 * i)
        term = elementwise.multiply(elementwise.divide(ratio, x), series)
        series = elementwise.add(term, 1)
    return elementwise.divide(
        series, elementwise.sqrt(elementwise.multiply(x, 2 * math.pi))
    )


def _bessel(op: str, order: int, x: Operand, scaled: bool) -> Node:
    (given,) = together(op, x)
    given = as_float(op, given)
    x = elementwise.cast(given, inner_dtype(given.dtype))
    size = elementwise.abs(x)
    _, most = _NEAR[x.dtype]
    sharp = elementwise.greater(size, most)
    near = _near(order, elementwise.select(sharp, 0, x))
    if scaled:
        decay = elementwise.negative(elementwise.select(sharp, 0, size))
        near = elementwise.multiply(near, elementwise.exp(decay))
    far = _far(order, elementwise.select(sharp, size, 2 * most))
    if not scaled:
        far = elementwise.multiply(far, elementwise.exp(size))
    if order:
        far = elementwise.multiply(far, elementwise.sign(x))
    return elementwise.cast(elementwise.select(sharp, far, near), given.dtype)


def i0(x: Operand) -> Node:
    """Return the modified Bessel function of the first kind of order 0 at `x`.

    Formula: the mean of exp(x * cos(t)) over a circle.

    Gradient: `ct * i1(x)`.

    Source: NIST DLMF 10.32.1, 10.40.1.
    """
    return _bessel("i0", 0, x, scaled=False)


def i0e(x: Operand) -> Node:
    """Return `exp(-abs(x)) * i0(x)`, which does not overflow.

    Source: NIST DLMF 10.32.1, 10.40.1.
    """
    return _bessel("i0e", 0, x, scaled=True)


def i1(x: Operand) -> Node:
    """Return the modified Bessel function of the first kind of order 1 at `x`.

    Formula: the mean of exp(x * cos(t)) * cos(t) over a circle.

    Source: NIST DLMF 10.32.3, 10.40.1.
    """
    return _bessel("i1", 1, x, scaled=False)


def i1e(x: Operand) -> Node:
    """Return `exp(-abs(x)) * i1(x)`, which does not overflow.

    Source: NIST DLMF 10.32.3, 10.40.1.
    """
    return _bessel("i1e", 1, x, scaled=True)


OPS = (i0, i0e, i1, i1e)
