"""Minimal filtering: three taps at a few places by fewer products than places times
taps.

The elements that two neighbouring places meet, four along an axis, are transformed, and
so are the three numbers of the kernel. Then their products, one by one, are transformed
once more. These are sums, and they are shared: those of elements by all output
channels, those of products by all input channels. Over two axes 16 products take the
place of 36; with four neighbouring places, 36 take the place of 144.

Sums of sums round more often. Of 512 channels, with elements after a ReLU, the largest
error is 0.8e-6 of the largest result with two places and 4e-6 with four, and 1.8e-6 of
sums in order (simulated in float32). The points of four places are chosen for that:
with the usual 0, 1, -1, 2, -2 it is 12e-6.

Source: S. Winograd, "Arithmetic complexity of computations", 1980; for convolutions of
networks A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2015.

Read first: `TAPS`, `transformed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..loops.grammar import Body, Constant, Expression, Operation
from .product import bind

# Places that are found together along an axis, taps, and the elements that they meet.
PLACES, TAPS = 2, 3
MET = PLACES + TAPS - 1

Matrix = Sequence[Sequence[float]]

# result = OF_PRODUCTS @ ((OF_NUMBERS @ kernel) * (OF_ELEMENTS @ elements))
OF_ELEMENTS: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
OF_NUMBERS: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
OF_PRODUCTS: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))

# The gradient of a kernel: its taps are sums of what is found at the places.
OF_TAPS: Matrix = tuple(zip(*OF_NUMBERS, strict=True))
OF_PLACES: Matrix = tuple(zip(*OF_PRODUCTS, strict=True))


class Filter(NamedTuple):
    """A way of filtering.

    Attributes:
        places: how many are found together along an axis.
        of_elements, of_numbers, of_products: as above.
    """

    places: int
    of_elements: Matrix
    of_numbers: Matrix
    of_products: Matrix

    @property
    def met(self) -> int:
        """How many elements they meet."""
        return self.places + TAPS - 1


def from_points(points: Sequence[float]) -> Filter:
    """Return the way of filtering that multiplies polynomials at some points.

    Values at the points and at infinity tell the product of two polynomials; filtering
    is that, transposed.
    """
    places = len(points) + 2 - TAPS
    of_elements, of_numbers = [], []
    for point in points:
        others = _with_roots([x for x in points if x != point])
        scale = sum(factor * point**i for i, factor in enumerate(others))
        sign = 1 if scale > 0 else -1
        of_elements.append([*[sign * factor for factor in others], 0.0])
        of_numbers.append([point**i / abs(scale) for i in range(TAPS)])
    of_elements.append(_with_roots(points))
    of_numbers.append([0.0] * (TAPS - 1) + [1.0])
    of_products = [
        [*[point**i for point in points], float(i == places - 1)] for i in range(places)
    ]
    return Filter(places, of_elements, of_numbers, of_products)


def _with_roots(points: Sequence[float]) -> list[float]:
    """Return the factors of the product of x - point, the constant one first."""
    factors = [1.0]
    for point in points:
        moved = [0.0, *factors]
        factors = [x - point * y for x, y in zip(moved, [*factors, 0.0], strict=True)]
    return factors


TWO = Filter(PLACES, OF_ELEMENTS, OF_NUMBERS, OF_PRODUCTS)
# All are exact in binary, so that most factors are, too.
FOUR = from_points((0.0, 0.625, -0.625, 1.5, -1.5))


def transformed(
    body: Body, name: str, matrix: Matrix, value: Callable[[int, int], Expression]
) -> list[Expression]:
    """Return matrix @ values @ matrix transposed, row by row, in elements with names.

    Args:
        body: where the names are bound.
        value: gives the element at a row and column of the values.
    """
    size = len(matrix[0])
    values = [
        [bind(body, f"{name}_{i}{j}", value(i, j)) for j in range(size)]
        for i in range(size)
    ]
    across = [_sums(body, f"{name}_{i}of", matrix, values[i]) for i in range(size)]
    down = [
        _sums(body, f"{name}_{r}by", matrix, [line[r] for line in across])
        for r in range(len(matrix))
    ]
    return [down[r][q] for q in range(len(matrix)) for r in range(len(matrix))]


def _sums(
    body: Body, name: str, matrix: Matrix, values: Sequence[Expression]
) -> list[Expression]:
    """Return matrix @ values in elements with names.

    Rows that differ in signs only share their sums.
    """
    found: dict[int, Expression] = {}
    for r, row in enumerate(matrix):
        if r in found:
            continue
        other = _mirrored(matrix, r)
        if other is None:
            found[r] = bind(body, f"{name}{r}", _sum(row, values))
            continue
        same = [x if x == y else 0.0 for x, y in zip(row, matrix[other], strict=True)]
        signed = [x - y for x, y in zip(row, same, strict=True)]
        x = bind(body, f"{name}{r}even", _sum(same, values))
        y = bind(body, f"{name}{r}odd", _sum(signed, values))
        found[r] = bind(body, f"{name}{r}", Operation("add", (x, y)))
        found[other] = bind(body, f"{name}{other}", Operation("subtract", (x, y)))
    return [found[r] for r in range(len(matrix))]


def _mirrored(matrix: Matrix, r: int) -> int | None:
    """Return a later row that differs from row r in some signs, but not in all."""
    row = matrix[r]
    if sum(map(bool, row)) < 3:
        return None
    for other in range(r + 1, len(matrix)):
        pairs = [(x, y) for x, y in zip(row, matrix[other], strict=True) if x or y]
        equal = sum(x == y for x, y in pairs)
        if 0 < equal < len(pairs) and all(abs(x) == abs(y) for x, y in pairs):
            return other
    return None


def _sum(factors: Sequence[float], values: Sequence[Expression]) -> Expression:
    """Return the sum of values times factors, one of which at least is not 0.

    A factor that several have is applied once, to their sum.
    """
    sums: dict[float, Expression] = {}
    for factor, value in zip(factors, values, strict=True):
        if not factor:
            continue
        scale = abs(factor)
        if scale in sums:
            name = "add" if factor > 0 else "subtract"
            sums[scale] = Operation(name, (sums[scale], value))
        elif factor < 0:
            sums[scale] = Operation("negative", (value,))
        else:
            sums[scale] = value
    total: Expression | None = None
    for scale, part in sums.items():
        if scale != 1:
            part = Operation("multiply", (part, Constant(scale, part.dtype)))
        total = part if total is None else Operation("add", (total, part))
    assert total is not None
    return total
