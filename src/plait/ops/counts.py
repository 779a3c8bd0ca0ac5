"""Random counts: of events in a time, and of successes in trials.

Small ones are found by adding up probabilities, others by rejection.

Read first: `poisson`, `binomial`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..dtypes import DType, as_dtype, default_integer, float64, int64
from ..ir.graph import Node
from ..shapes import Shape
from . import elementwise, gather, philox, random, source
from .operand import Operand
from .rejection import negative_log_uniform, settled, wide_parameter

# Up to such a mean, counts are found by adding up; more than 37 are then not to be
# seen.
_SMALL = 10.0
_TERMS = 38


def poisson(
    key: Node,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return Poisson distributed random counts, of mean `rate`.

    Below a rate of 10 by adding up probabilities until they exceed a uniform number,
    from there on by Hörmann's rejection. Both are computed in float64.

    Args:
        key: uint32, shape (4,).
        rate: not negative, broadcast to `shape`.
        shape: of the result. Default: that of `rate`.
        dtype: of the result. Default: int64.

    Special cases: -1 where `rate` is negative, infinite or nan.

    Gradient: none.

    Source: W. Hörmann, "The transformed rejection method for generating Poisson random
    variables", Insurance: Mathematics and Economics 12, 1993, algorithm PTRS. With a
    probability below 1e-10 all trials fail, and the result is that of the first.
    """
    op = "poisson"
    philox.check_one_key(op, key)
    full = random.shape_of(op, shape, rate)
    mean = wide_parameter(op, rate, full)
    small_key, large_key = philox.keys_of(key, 2)
    valid = elementwise.logical_and(
        elementwise.greater_equal(mean, 0), elementwise.less(mean, math.inf)
    )
    mean = elementwise.select(valid, mean, 0.0)
    small = elementwise.less(mean, _SMALL)
    few = elementwise.select(small, mean, 0.0)
    many = elementwise.select(small, _SMALL, mean)
    count = elementwise.select(
        small,
        _added_up(
            small_key,
            full,
            elementwise.exp(elementwise.negative(few)),
            lambda k: elementwise.multiply(few, 1 / k),
        ),
        settled(large_key, full, [many], _poisson_trial, 0.25),
    )
    count = elementwise.select(valid, count, -1.0)
    return elementwise.cast(
        count, default_integer if dtype is None else as_dtype(dtype)
    )


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
    Statistical Computation and Simulation 46, 1993, algorithm BTRS. With a
    probability below 1e-10 all trials fail, and the result is that of the first.
    """
    op = "binomial"
    philox.check_one_key(op, key)
    full = random.shape_of(op, shape, total_count, p)
    n, p = (wide_parameter(op, x, full) for x in (total_count, p))
    small_key, large_key = philox.keys_of(key, 2)
    valid = elementwise.logical_and(
        elementwise.logical_and(
            elementwise.greater_equal(n, 0), elementwise.less(n, math.inf)
        ),
        elementwise.logical_and(
            elementwise.greater_equal(p, 0), elementwise.less_equal(p, 1)
        ),
    )
    n, p = (elementwise.select(valid, x, 0.0) for x in (n, p))
    # Count what is rarer.
    swapped = elementwise.greater(p, 0.5)
    rare = elementwise.select(swapped, elementwise.subtract(1, p), p)
    small = elementwise.less(elementwise.multiply(n, rare), _SMALL)
    few = elementwise.select(small, rare, 0.0)
    odds = elementwise.divide(few, elementwise.subtract(1, few))

    def ratio(k: float) -> Node:
        left = elementwise.maximum(elementwise.subtract(n, k - 1), 0)
        return elementwise.multiply(elementwise.multiply(left, 1 / k), odds)

    none = elementwise.multiply(n, elementwise.log1p(elementwise.negative(few)))
    trials = elementwise.select(small, 4 * _SMALL, n)
    part = elementwise.select(small, 0.5, rare)
    mode = elementwise.floor(elementwise.multiply(elementwise.add(trials, 1), part))
    highest = _log_weight(mode, trials, part)
    count = elementwise.select(
        small,
        elementwise.minimum(
            _added_up(small_key, full, elementwise.exp(none), ratio), n
        ),
        settled(large_key, full, [trials, part, highest], _binomial_trial, 0.36),
    )
    count = elementwise.select(swapped, elementwise.subtract(n, count), count)
    count = elementwise.select(valid, count, -1.0)
    return elementwise.cast(
        count, default_integer if dtype is None else as_dtype(dtype)
    )


def _added_up(
    key: Node, shape: Shape, term: Node, ratio: Callable[[float], Node]
) -> Node:
    """Return counts whose probabilities are added up until they exceed a number.

    Args:
        term: the probability of 0.
        ratio: from k to the probability of k over that of k - 1.
    """
    u = random.unit_uniform(key, shape, float64)
    total = term
    count = source.full(shape, 0.0, float64)
    for k in range(1, _TERMS):
        beyond = elementwise.greater_equal(u, total)
        count = elementwise.add(count, elementwise.cast(beyond, float64))
        term = elementwise.multiply(term, ratio(float(k)))
        total = elementwise.add(total, term)
    return count


def _poisson_trial(key: Node, shape: Shape, mean: Node) -> tuple[Node, Node]:
    b = elementwise.add(elementwise.multiply(elementwise.sqrt(mean), 2.53), 0.931)
    a = elementwise.subtract(elementwise.multiply(b, 0.02483), 0.059)
    scale = elementwise.add(
        elementwise.divide(1.1328, elementwise.subtract(b, 3.4)), 1.1239
    )
    # What is left of the logarithm of the probability: log(2 * pi * mean) / 2.
    rest = elementwise.multiply(
        elementwise.log(elementwise.multiply(mean, 2 * math.pi)), 0.5
    )

    def log_probability(k: Node) -> Node:
        past = elementwise.subtract(elementwise.add(k, 1), mean)
        return elementwise.subtract(elementwise.add(_log_part(k, mean), past), rest)

    centre = elementwise.add(mean, 0.43)
    return _transformed(key, shape, a, b, scale, centre, log_probability, math.inf)


def _log_weight(k: Node, n: Node, p: Node) -> Node:
    """Return the logarithm of the binomial probability of k, less a constant."""
    mean = elementwise.multiply(n, p)
    return elementwise.add(
        _log_part(k, mean),
        _log_part(elementwise.subtract(n, k), elementwise.subtract(n, mean)),
    )


def _binomial_trial(
    key: Node, shape: Shape, n: Node, p: Node, highest: Node
) -> tuple[Node, Node]:
    mean = elementwise.multiply(n, p)
    variance = elementwise.multiply(mean, elementwise.subtract(1, p))
    deviation = elementwise.sqrt(variance)
    b = elementwise.add(elementwise.multiply(deviation, 2.53), 1.15)
    a = elementwise.add(
        elementwise.add(elementwise.multiply(b, 0.0248), -0.0873),
        elementwise.multiply(p, 0.01),
    )
    scale = elementwise.multiply(
        elementwise.add(elementwise.divide(5.1, b), 2.83), deviation
    )
    return _transformed(
        *(key, shape, a, b, scale, elementwise.add(mean, 0.5)),
        lambda k: elementwise.subtract(_log_weight(k, n, p), highest),
        n,
    )


# log(k!) is (k + 1 / 2) * log(k + 1) - (k + 1) + log(2 * pi) / 2 and a rest; this is
# the rest for small k. For others Stirling's series of four terms leaves 4e-13 out.
_RESTS = np.array(
    [
        math.lgamma(k + 1)
        - (k + 0.5) * math.log(k + 1) + (k + 1) - 0.5 * math.log(2 * math.pi)
        for k in range(10)
    ]
)  # fmt: skip
_STIRLING = (-1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


def _log_part(k: Node, mean: Node) -> Node:
    """Return k * log(mean) - log(k!), less what is the same for all k, and less k.

    Formula: -(k + 1 / 2) * log((k + 1) / mean) - r, where r is the rest of log(k!).
    Nothing large is taken from something as large.
    """
    more = elementwise.add(k, 1)
    ratio = elementwise.divide(elementwise.subtract(more, mean), mean)
    over = elementwise.reciprocal(more)
    square = elementwise.square(over)
    rest: Operand = 0.0
    for coefficient in _STIRLING:
        rest = elementwise.add(elementwise.multiply(square, rest), coefficient)
    least = len(_RESTS) - 1
    place = elementwise.cast(elementwise.minimum(k, least), int64)
    known = gather.gather(source.constant(_RESTS, float64), place, 0)
    rest = elementwise.select(
        elementwise.greater(k, least), elementwise.multiply(rest, over), known
    )
    main = elementwise.multiply(elementwise.add(k, 0.5), elementwise.log1p(ratio))
    return elementwise.negative(elementwise.add(main, rest))


def _transformed(
    key: Node,
    shape: Shape,
    a: Node,
    b: Node,
    scale: Node,
    centre: Node,
    log_ratio: Callable[[Node], Node],
    most: Operand,
) -> tuple[Node, Node]:
    """Return counts and whether they are accepted, by transformed rejection.

    Args:
        a, b: how a uniform number is stretched: by 2 * a / (0.5 - abs(u)) + b.
        scale: how much higher the density of proposals is made.
        centre: what u = 0 becomes.
        log_ratio: the logarithm of the probability of a count, of a common factor.
        most: the greatest count.
    """
    first, second = philox.keys_of(key, 2)
    u = elementwise.subtract(random.unit_uniform(first, shape, float64), 0.5)
    room = elementwise.maximum(elementwise.subtract(0.5, elementwise.abs(u)), 2.0**-54)
    stretch = elementwise.add(elementwise.divide(elementwise.multiply(a, 2), room), b)
    k = elementwise.floor(elementwise.add(elementwise.multiply(stretch, u), centre))
    possible = elementwise.logical_and(
        elementwise.greater_equal(k, 0), elementwise.less_equal(k, most)
    )
    k = elementwise.select(possible, k, elementwise.floor(centre))
    slope = elementwise.add(elementwise.divide(a, elementwise.square(room)), b)
    hat = elementwise.log(elementwise.divide(scale, slope))
    # log(v) + log(hat) <= log(ratio) for a uniform v.
    below = elementwise.subtract(hat, negative_log_uniform(second, shape))
    accepted = elementwise.less_equal(below, log_ratio(k))
    return k, elementwise.logical_and(possible, accepted)


# The first parameter is the key. Where it is left out, plait.random supplies one.
RANDOM_OPS = (poisson, binomial)
