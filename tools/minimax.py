"""Compute the polynomials of `plait.compile.loops.functions`.

usage: python tools/minimax.py > src/plait/compile/loops/functions/coefficients.py

Each is the best approximation in the greatest relative (or weighted) error, by Remez's
exchange algorithm in 60 digits: E. W. Cheney, "Introduction to Approximation Theory",
1966, chapter 3. Coefficients are rounded to the format one after the other and the
others fitted again, so that rounding costs next to nothing.

Needs mpmath. Read first: `fit`, `TABLES`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath as mp

mp.mp.dps = 60
GRID = 301
Real = Any  # mpmath's numbers
Function = Callable[[Real], Real]


def rounded(value: Real, dtype: str) -> Real:
    """Return the number of the format that is nearest."""
    if dtype == "float64":
        return mp.mpf(float(value))
    # By way of float64 it is the nearest but for ties, which do not matter here.
    return mp.mpf(struct.unpack("f", struct.pack("f", float(value)))[0])


def grid(low: Real, high: Real) -> list[Real]:
    """Return points from `low` to `high`, closer to one another at the ends."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * k / GRID) for k in range(GRID + 1)]


def exchange(
    target: Sequence[Real], basis: Sequence[Sequence[Real]], weight: Sequence[Real]
) -> list[Real]:
    """Return the coefficients of the best combination of `basis`.

    Args:
        target, weight: values at the points of the grid.
        basis: for each function, its values there.
    """
    count, points = len(basis), len(target)
    # Extrema of a Chebyshev polynomial, on a grid of them.
    chosen = [round(k * (points - 1) / count) for k in range(count + 1)]
    solution: list[Real] = []
    for _ in range(30):
        matrix = mp.matrix(count + 1, count + 1)
        right = mp.matrix(count + 1, 1)
        for row, at in enumerate(chosen):
            for column in range(count):
                matrix[row, column] = basis[column][at] * weight[at]
            matrix[row, count] = (-1) ** row
            right[row] = target[at] * weight[at]
        result = mp.lu_solve(matrix, right)
        solution = [result[k] for k in range(count)]
        level = abs(result[count])
        misses = [
            weight[at]
            * (
                target[at]
                - mp.fsum(c * b[at] for c, b in zip(solution, basis, strict=True))
            )
            for at in range(points)
        ]
        if max(abs(miss) for miss in misses) <= level * mp.mpf("1.01"):
            break
        chosen = _alternating(misses, count + 1, chosen)
    return solution


def _alternating(misses: Sequence[Real], count: int, before: list[int]) -> list[int]:
    """Return the places of `count` extrema of alternating sign."""
    runs: list[int] = []
    for at, miss in enumerate(misses):
        if runs and (misses[runs[-1]] > 0) == (miss > 0):
            if abs(miss) > abs(misses[runs[-1]]):
                runs[-1] = at
        else:
            runs.append(at)
    while len(runs) > count:
        runs.pop(0 if abs(misses[runs[0]]) < abs(misses[runs[-1]]) else -1)
    return runs if len(runs) == count else before


class Table(NamedTuple):
    """A polynomial to be computed.

    Attributes:
        function: what is approximated.
        low, high: where.
        degree: of the polynomial.
        weight: of the error. Default: 1 / function, for the relative error.
    """

    function: Function
    low: Real
    high: Real
    degree: int
    weight: Function | None = None


def _polynomial(coefficients: Sequence[Any], x: Any) -> Any:
    """Return a polynomial's value; the lowest power's coefficient first."""
    total = mp.mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def fit(table: Table, dtype: str) -> tuple[list[Real], Real]:
    """Return the coefficients, lowest power first, and the error of their function."""
    points = grid(mp.mpf(table.low), mp.mpf(table.high))
    target = [table.function(x) for x in points]
    if table.weight:
        weight = [abs(table.weight(x)) for x in points]
    else:
        weight = [abs(1 / f) for f in target]
    # Where the weight vanishes nothing is asked.
    kept = [k for k, w in enumerate(weight) if w > max(weight) * mp.mpf(10) ** -9]
    points, target, weight = ([v[k] for k in kept] for v in (points, target, weight))
    powers = [[x**k for x in points] for k in range(table.degree + 1)]
    order = list(range(table.degree + 1))
    if table.low < 0:
        # Without the lowest powers there would be no best approximation around 0.
        order.reverse()
    known: dict[int, Real] = {}
    for done, first in enumerate(order):
        rest = [
            f - mp.fsum(c * powers[k][at] for k, c in known.items())
            for at, f in enumerate(target)
        ]
        solution = exchange(rest, [powers[k] for k in order[done:]], weight)
        known[first] = rounded(solution[0], dtype)
    coefficients = [known[k] for k in range(table.degree + 1)]
    error = max(
        w * abs(f - _polynomial(coefficients, x))
        for w, f, x in zip(weight, target, points, strict=True)
    )
    return coefficients, error


def series(
    coefficient: Callable[[int], Real], otherwise: Function, near: float = 1e-3
) -> Function:
    """Return a function given by its power series at 0, where it would cancel."""

    def function(x: Real) -> Real:
        if abs(x) < near:
            return mp.fsum(coefficient(k) * x**k for k in range(25))
        return otherwise(x)

    return function


def of_square(function: Function, at_zero: Real) -> Function:
    """Return f(sqrt(y)) / sqrt(y) as a function of y."""

    def result(y: Real) -> Real:
        x = mp.sqrt(y)
        return function(x) / x if y else mp.mpf(at_zero)

    return result


def _rest_of_square(function: Function, sign: int, third: Real) -> Function:
    """Return (f(x) - x) / x ** 3 as a function of y = x ** 2 (or -x ** 2)."""

    def result(y: Real) -> Real:
        if abs(y) < mp.mpf(10) ** -24:
            return mp.mpf(third)
        x = mp.sqrt(sign * y)
        return (function(x) - x) / x**3

    return result


LN2 = mp.log(2)
_exp_rest = series(
    lambda k: 1 / mp.factorial(k + 2), lambda r: (mp.exp(r) - 1 - r) / r**2
)
_exp2_rest = series(
    lambda k: LN2 ** (k + 1) / mp.factorial(k + 1), lambda r: (2**r - 1) / r
)
_log_rest = series(
    lambda k: mp.mpf((-1) ** k) / (k + 3),
    lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
)
_log_ratio = series(
    # With s = f / (2 + f): log(1 + f) = 2 s + s R(s ** 2), and R(z) / z is this.
    lambda k: mp.mpf(2) / (2 * k + 3),
    lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
)


def _scaled_erfc(z: Real) -> Real:
    """Return (1 + 2 y) exp(y ** 2) erfc(y) with y = 3.75 (1 + z) / (1 - z)."""
    if z > 1 - mp.mpf(10) ** -3:
        w = (1 - z) / (mp.mpf("3.75") * (1 + z))  # 1 / y
        terms = mp.fsum(
            (-1) ** k * mp.fac2(2 * k - 1) * (w * w / 2) ** k for k in range(9)
        )
        return (w + 2) * terms / mp.sqrt(mp.pi)
    y = mp.mpf("3.75") * (1 + z) / (1 - z)
    return (1 + 2 * y) * mp.exp(y * y) * mp.erfc(y)


SQRT_HALF = mp.sqrt(mp.mpf(1) / 2)
QUARTER = mp.pi / 4 * mp.mpf("1.0001")
_sin_rest = _rest_of_square(mp.sin, 1, mp.mpf(-1) / 6)
_cos_rest = series(
    lambda k: mp.mpf((-1) ** k) / mp.factorial(2 * k + 4),
    lambda y: (mp.cos(mp.sqrt(y)) - 1 + y / 2) / y**2,
)
_sinh_rest = _rest_of_square(mp.sinh, 1, mp.mpf(1) / 6)
_asin_rest = _rest_of_square(mp.asin, 1, mp.mpf(1) / 6)
_atan_rest = _rest_of_square(mp.atan, 1, mp.mpf(-1) / 3)
_tangent_of_eighth = mp.mpf("0.41422")


def _both(make: Callable[[str], Table]) -> dict[str, Table]:
    return {"float32": make("float32"), "float64": make("float64")}


def _degree(dtype: str, single: int, double: int) -> int:
    return single if dtype == "float32" else double


TABLES: dict[str, dict[str, Table]] = {
    # exp(r) = 1 + r + r ** 2 * this, for |r| <= log(2) and half of that.
    "EXP": _both(lambda d: Table(
        _exp_rest, -LN2 * 1.001, LN2 * 1.001, _degree(d, 5, 12),
        weight=lambda r: r**2 / mp.exp(r))),
    "EXP_NEAR": _both(lambda d: Table(
        _exp_rest, -LN2 * 0.5005, LN2 * 0.5005, _degree(d, 4, 10),
        weight=lambda r: abs(r))),
    # 2 ** r = 1 + r * this, for |r| <= 1.
    "EXP2": _both(lambda d: Table(
        _exp2_rest, -1, 1, _degree(d, 7, 15), weight=lambda r: abs(r) / 2**r)),
    # exp2 of f in |f| <= 1 / 2 to 2 ** -34, worked out in float64.
    "EXP2_SHORT": {"float64": Table(
        _exp2_rest, -0.5, 0.5, 6, weight=lambda r: abs(r) / 2**r)},
    # log(1 + f) = f - f ** 2 / 2 + f ** 3 * this.
    "LOG": {"float32": Table(
        _log_rest, SQRT_HALF - 1, mp.sqrt(2) - 1, 8,
        weight=lambda f: f**2)},
    # log(1 + f) = 2 s + s ** 3 * this(s ** 2) with s = f / (2 + f).
    "LOG_RATIO": {"float64": Table(
        _log_ratio, 0, mp.mpf("0.0295"), 6, weight=lambda z: z)},
    "LOG_RATIO_LONG": {"float64": Table(
        lambda z: (_log_ratio(z) - mp.mpf(2) / 3) / z if z > 1e-12 else mp.mpf(2) / 5,
        0, mp.mpf("0.0295"), 7, weight=lambda z: z * z)},
    "LOG_RATIO_SHORT": {"float64": Table(
        _log_ratio, 0, mp.mpf("0.0295"), 4, weight=lambda z: z)},
    # 2 ** r = 1 + r * this, for |r| <= 1 / 2, where it is taken from 1.
    "EXP2_NEAR": {"float32": Table(
        _exp2_rest, -0.5, 0.5, 4, weight=lambda r: abs(r) / 2**r)},
    # erf(x) = x + x * this(x ** 2) near 0, then 1 - 2 ** this(x). The error is that of
    # the error function.
    "ERF_FAR": {"float32": Table(
        lambda x: mp.log(mp.erfc(x), 2), mp.mpf("0.8"), mp.mpf("3.95"), 6,
        weight=lambda x: mp.erfc(x) * LN2)},
    "ERF_NEAR": _both(lambda d: Table(
        lambda y: of_square(mp.erf, 2 / mp.sqrt(mp.pi))(y) - 1, 0, mp.mpf("0.8"),
        _degree(d, 5, 11), weight=lambda y: mp.mpf(1))),
    "ERFC": _both(lambda d: Table(_scaled_erfc, -1, 1, _degree(d, 14, 28))),
    # sin(r) = r + r ** 3 * this, cos(r) = 1 - r ** 2 / 2 + r ** 4 * this.
    "SIN": _both(lambda d: Table(
        _sin_rest, 0, QUARTER**2, _degree(d, 2, 5), weight=lambda y: y)),
    "COS": _both(lambda d: Table(
        _cos_rest, 0, QUARTER**2, _degree(d, 2, 5), weight=lambda y: y**2)),
    "SINH": _both(lambda d: Table(
        _sinh_rest, 0, 1, _degree(d, 3, 6), weight=lambda y: y)),
    "ASIN": _both(lambda d: Table(
        _asin_rest, 0, mp.mpf("0.25"), _degree(d, 4, 11), weight=lambda y: y)),
    "ATAN": _both(lambda d: Table(
        _atan_rest, 0, _tangent_of_eighth**2, _degree(d, 3, 10), weight=lambda y: y)),
}  # fmt: skip


def main() -> None:
    """Print the module, or only the tables that are named."""
    names = sys.argv[1:] or list(TABLES)
    print('"""Coefficients, lowest power first: the output of `tools/minimax.py`.')
    print("\nErrors are those of exact arithmetic, relative to what is said there.")
    print('"""\n\nfrom __future__ import annotations')
    for name in names:
        for dtype, table in TABLES[name].items():
            suffix = "" if len(TABLES[name]) == 1 else f"_{dtype.upper()}"
            coefficients, error = fit(table, dtype)
            print(f"\n# For {dtype}. Error 2 ** {float(mp.log(error, 2)):.1f}.")
            print(f"{name}{suffix} = (")
            for coefficient in coefficients:
                print(f"    {float(coefficient)!r},")
            print(")")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
