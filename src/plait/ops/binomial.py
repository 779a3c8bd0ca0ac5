"""Binomially distributed random numbers, as those of `distribution`.

Read first: `binomial`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import DType, as_dtype, default_integer, float64
from ..ir.graph import Node
from . import elementwise, philox, random, source, special
from .distribution import standard_exponential
from .operand import Operand

# Up to so many successes are found by adding up; more than 37 are then not to be seen.
_SMALL = 10.0
_TERMS = 38
_ROUNDS = 18


def binomial(
    key: Node,
    total_count: Operand,
    p: Operand = 0.5,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return binomially distributed random counts, of mean `total_count * p`.

    Where fewer than 10 successes, or failures if these are rarer, are to be expected,
    by adding up probabilities until they exceed a uniform number; else by Hörmann's
    rejection. Both are computed in float64.

    Args:
        key: uint32, shape (4,).
        total_count: how many trials, not negative, broadcast to `shape`.
        p: probability of a success in each, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: int64.

    Special cases: -1 where `total_count` is negative, infinite or nan, or `p` is
    outside 0..1.

    Gradient: none.

    Source: W. Hörmann, "The generation of binomial random variates", Journal of
    Statistical Computation and Simulation 46, 1993, algorithm BTRS.
    With a probability below 1e-8 all 18 rounds fail, and the result is the mode.
    """
    op = "binomial"
    philox.check_one_key(op, key)
    full = random.shape_of(op, shape, total_count, p)
    n = source.stop_gradient(random.parameter(op, total_count, float64, full))
    p = source.stop_gradient(random.parameter(op, p, float64, full))
    small_key, large_key = philox.keys_of(key, 2)
    valid = elementwise.logical_and(
        elementwise.logical_and(
            elementwise.greater_equal(n, 0), elementwise.less(n, math.inf)
        ),
        elementwise.logical_and(
            elementwise.greater_equal(p, 0), elementwise.less_equal(p, 1)
        ),
    )
    # Count what is rarer.
    swapped = elementwise.greater(p, 0.5)
    rare = elementwise.select(swapped, elementwise.subtract(1, p), p)
    small = elementwise.less(elementwise.multiply(n, rare), _SMALL)
    count = elementwise.select(
        small,
        _binomial_small(
            small_key,
            n,
            elementwise.select(elementwise.logical_and(small, valid), rare, 0.0),
        ),
        _binomial_large(
            large_key,
            elementwise.select(small, 4 * _SMALL, n),
            elementwise.select(small, 0.5, rare),
        ),
    )
    count = elementwise.select(swapped, elementwise.subtract(n, count), count)
    count = elementwise.select(valid, count, -1.0)
    return elementwise.cast(
        count, default_integer if dtype is None else as_dtype(dtype)
    )


def _binomial_small(key: Node, n: Node, p: Node) -> Node:
    u = random.unit_uniform(key, n.shape, float64)
    odds = elementwise.divide(p, elementwise.subtract(1, p))
    term = elementwise.exp(
        elementwise.multiply(n, elementwise.log1p(elementwise.negative(p)))
    )
    total = term
    count = source.full_like(n, 0)
    for k in range(1, _TERMS):
        beyond = elementwise.greater_equal(u, total)
        count = elementwise.add(count, elementwise.cast(beyond, float64))
        left = elementwise.maximum(elementwise.subtract(n, float(k - 1)), 0)
        ratio = elementwise.multiply(elementwise.divide(left, float(k)), odds)
        term = elementwise.multiply(term, ratio)
        total = elementwise.add(total, term)
    return elementwise.minimum(count, n)


def _binomial_large(key: Node, n: Node, p: Node) -> Node:
    keys = philox.keys_of(key, 2 * _ROUNDS)
    q = elementwise.subtract(1, p)
    log_odds = elementwise.log(elementwise.divide(p, q))
    mean = elementwise.multiply(n, p)
    deviation = elementwise.sqrt(elementwise.multiply(mean, q))
    b = elementwise.add(elementwise.multiply(deviation, 2.53), 1.15)
    a = elementwise.add(
        elementwise.add(elementwise.multiply(b, 0.0248), -0.0873),
        elementwise.multiply(p, 0.01),
    )
    centre = elementwise.add(mean, 0.5)
    scale = elementwise.multiply(
        elementwise.add(elementwise.divide(5.1, b), 2.83), deviation
    )
    mode = elementwise.floor(elementwise.add(mean, p))

    def log_weight(k: Node) -> Node:
        """Return the logarithm of the probability of k, less a constant."""
        ways = elementwise.add(
            special.lgamma(elementwise.add(k, 1)),
            special.lgamma(elementwise.add(elementwise.subtract(n, k), 1)),
        )
        return elementwise.subtract(elementwise.multiply(k, log_odds), ways)

    highest = log_weight(mode)
    count = mode
    for i in reversed(range(_ROUNDS)):
        # The last rounds first, so that the first to accept has the last word.
        u = elementwise.subtract(
            random.unit_uniform(keys[2 * i], n.shape, float64), 0.5
        )
        e = standard_exponential(keys[2 * i + 1], n.shape, float64)
        room = elementwise.maximum(
            elementwise.subtract(0.5, elementwise.abs(u)), 2.0**-54
        )
        stretch = elementwise.add(
            elementwise.divide(elementwise.multiply(a, 2), room), b
        )
        k = elementwise.floor(elementwise.add(elementwise.multiply(stretch, u), centre))
        possible = elementwise.logical_and(
            elementwise.greater_equal(k, 0), elementwise.less_equal(k, n)
        )
        k = elementwise.select(possible, k, mode)
        hat = elementwise.log(
            elementwise.divide(
                scale,
                elementwise.add(elementwise.divide(a, elementwise.square(room)), b),
            )
        )
        # log(v) + log(hat) <= log(probability / highest), with -log(v) exponential.
        accepted = elementwise.less_equal(
            elementwise.subtract(hat, e), elementwise.subtract(log_weight(k), highest)
        )
        count = elementwise.select(
            elementwise.logical_and(possible, accepted), k, count
        )
    return count


RANDOM_OPS = (binomial,)
