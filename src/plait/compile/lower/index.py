"""Arithmetic on index expressions: where an element of a tensor lies.

Read first: `linear`, `affine`, `reshaped`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...dtypes import int64
from ...shapes import Shape
from ..loops.grammar import Constant, Expression, Operation, Variable

Index = tuple[Expression, ...]

ZERO = Constant(0, int64)


def strides_of(shape: Shape) -> Shape:
    """Return how many elements one step along each axis is, in row-major order."""
    strides = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def linear(index: Sequence[Expression], shape: Shape) -> Expression:
    """Return the place of an element in row-major order."""
    place: Expression = ZERO
    for i, n, stride in zip(index, shape, strides_of(shape), strict=True):
        if n > 1:
            place = i * stride if place is ZERO else place + i * stride
    return place


def unravel(place: Expression, shape: Shape) -> Index:
    """Return the index of the element at `place` in row-major order."""
    index: list[Expression] = [ZERO] * len(shape)
    axes = [axis for axis, n in enumerate(shape) if n > 1]
    rest = place
    for axis in reversed(axes):
        if axis == axes[0]:
            index[axis] = rest
        else:
            index[axis] = rest % shape[axis]
            rest = rest // shape[axis]
    return tuple(index)


def reshaped(index: Index, shape: Shape, before: Shape) -> Index:
    """Return the index before a reshape to `shape`, given the one after it.

    Axes are matched in groups of equal products, so that only axes that were really
    split or merged cost arithmetic.
    """
    if 0 in shape:
        return (ZERO,) * len(before)
    result: list[Expression] = [ZERO] * len(before)
    new = [axis for axis, n in enumerate(shape) if n > 1]
    old = [axis for axis, n in enumerate(before) if n > 1]
    i = j = 0
    while i < len(new):
        first, start = i, j
        left, right = shape[new[i]], before[old[j]]
        while left != right:
            if left < right:
                i += 1
                left *= shape[new[i]]
            else:
                j += 1
                right *= before[old[j]]
        i, j = i + 1, j + 1
        group, targets = new[first:i], old[start:j]
        if len(group) == len(targets) == 1:
            result[targets[0]] = index[group[0]]
            continue
        place = linear([index[a] for a in group], tuple(shape[a] for a in group))
        parts = unravel(place, tuple(before[a] for a in targets))
        for target, part in zip(targets, parts, strict=True):
            result[target] = part
    return tuple(result)


Affine = tuple[dict[str, int], int]


def affine(expression: Expression) -> Affine | None:
    """Return the coefficient of each variable and the constant, or None."""
    if isinstance(expression, Constant):
        return {}, expression.value
    if isinstance(expression, Variable):
        return {expression.name: 1}, 0
    if not isinstance(expression, Operation):
        return None
    if expression.name not in ("add", "subtract", "multiply"):
        return None
    first, second = (affine(operand) for operand in expression.operands)
    if first is None or second is None:
        return None
    if expression.name == "multiply":
        if first[0] and second[0]:
            return None
        terms, factor = (second, first[1]) if not first[0] else (first, second[1])
        return {name: n * factor for name, n in terms[0].items()}, terms[1] * factor
    sign = 1 if expression.name == "add" else -1
    total = dict(first[0])
    for name, n in second[0].items():
        total[name] = total.get(name, 0) + sign * n
    return {name: n for name, n in total.items() if n}, first[1] + sign * second[1]


def size_of(shape: Shape) -> int:
    """Return the number of elements."""
    return math.prod(shape)
