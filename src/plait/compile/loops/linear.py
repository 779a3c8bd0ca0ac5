"""Arithmetic of linear forms, and of ranges of integers.

Read first: `Linear`, `add`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dtypes import DType

# (constant, ((atom, coefficient), ...) by atom), coefficients not zero.
Linear = tuple[int, tuple[tuple[int, int], ...]]
Range = tuple[int, int]

ZERO: Linear = (0, ())


def constant(value: int) -> Linear:
    """Return the form of a number."""
    return (value, ())


def add(x: Linear, y: Linear, times: int = 1) -> Linear:
    """Return `x + times * y`."""
    if not y[1]:
        return (x[0] + times * y[0], x[1])
    if not x[1] and times == 1:
        return (x[0] + y[0], y[1])
    terms = dict(x[1])
    for atom, k in y[1]:
        terms[atom] = terms.get(atom, 0) + times * k
    kept = sorted(term for term in terms.items() if term[1])
    return (x[0] + times * y[0], tuple(kept))


def scale(x: Linear, times: int) -> Linear:
    """Return `times * x`."""
    if times == 0:
        return ZERO
    return (x[0] * times, tuple((atom, k * times) for atom, k in x[1]))


def split(x: Linear, divisor: int) -> tuple[Linear, Linear]:
    """Return (quotient, rest) with `x == divisor * quotient + rest`, term by term."""
    whole, rest = [], []
    for atom, k in x[1]:
        if k % divisor:
            rest.append((atom, k))
        else:
            whole.append((atom, k // divisor))
    quotient, remainder = divmod(x[0], divisor)
    return (quotient, tuple(whole)), (remainder, tuple(rest))


def range_of(dtype: DType) -> Range:
    """Return the range of the numbers that an integer dtype has."""
    if dtype.kind == "signed":
        return -(1 << dtype.bits - 1), (1 << dtype.bits - 1) - 1
    return 0, (1 << dtype.bits) - 1


def integer_range(name: str, ranges: Sequence[Range]) -> Range | None:
    """Return the range of an operation on integers, None if it is not known."""
    if name == "cast":
        return ranges[0]
    if name == "select":
        ranges = ranges[1:]
        return min(x[0] for x in ranges), max(x[1] for x in ranges)
    if name == "minimum":
        return min(x[0] for x in ranges), min(x[1] for x in ranges)
    if name == "maximum":
        return max(x[0] for x in ranges), max(x[1] for x in ranges)
    if name == "add":
        return ranges[0][0] + ranges[1][0], ranges[0][1] + ranges[1][1]
    if name == "subtract":
        return ranges[0][0] - ranges[1][1], ranges[0][1] - ranges[1][0]
    if name == "multiply":
        corners = [x * y for x in ranges[0] for y in ranges[1]]
        return min(corners), max(corners)
    if name == "bitwise_and" and min(ranges[0][0], ranges[1][0]) >= 0:
        return 0, min(ranges[0][1], ranges[1][1])
    if name == "remainder" and ranges[1][0] > 0:
        return 0, ranges[1][1] - 1
    return None
