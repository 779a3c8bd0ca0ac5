"""Random numbers of distributions that need logarithms, rejection or sums.

Like those of `random` they are functions of a key, but their last digits may differ
between targets, with those of `exp`, `log` and `lgamma`. Computed in float64 where the
number of rounds is fixed beforehand.

Read first: `exponential`, `gamma`, `poisson`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import (
    DType,
    as_dtype,
    default_integer,
    float64,
)
from ..errors import ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape, broadcast, normalize_axis
from . import (
    elementwise,
    movement,
    philox,
    random,
    reduce,
    source,
    special,
)
from .operand import Operand, as_float


def standard_exponential(key: Node, shape: Shape, dtype: DType) -> Node:
    """Return exponentially distributed numbers, never 0, precise near 0 and far out."""
    word = philox.words64(key, shape) if dtype is float64 else philox.words(key, shape)
    width = word.dtype.bits
    upper = elementwise.bitwise_right_shift(word, width - 1)
    upper = elementwise.not_equal(upper, 0)
    folded = elementwise.select(upper, elementwise.bitwise_invert(word), word)
    # The middle of one of 2 ** width equal parts of 0..1, or that taken from 1.
    v = elementwise.multiply(
        elementwise.add(elementwise.cast(folded, dtype), 0.5), 2.0**-width
    )
    return elementwise.negative(
        elementwise.select(
            upper, elementwise.log(v), elementwise.log1p(elementwise.negative(v))
        )
    )


def exponential(
    key: Node,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return exponentially distributed random numbers, of mean `1 / rate`.

    Args:
        key: uint32, shape (4,).
        rate: positive, broadcast to `shape`.
        shape: of the result. Default: that of `rate`.
        dtype: of the result. Default: that of `rate`.

    Gradient: to `rate`.
    """
    philox.check_one_key("exponential", key)
    dtype = random.float_dtype("exponential", dtype, rate)
    full = random.shape_of("exponential", shape, rate)
    inner = random.computed(dtype)
    result = elementwise.divide(
        standard_exponential(key, full, inner),
        random.parameter("exponential", rate, inner, full),
    )
    return elementwise.cast(result, dtype)


def categorical(
    key: Node,
    logits: Node,
    *,
    axis: int = -1,
    shape: int | Sequence[int] | None = None,
) -> Node:
    """Return random positions along `axis`, each with probability softmax(logits).

    Formula: argmax(logits + g) with independent Gumbel numbers g.

    Args:
        key: uint32, shape (4,).
        logits: unnormalised logarithms of the probabilities.
        shape: of the result; the shape of `logits` without `axis` broadcasts to it.
            Default: that shape.

    Returns:
        int64.

    Raises:
        ShapeError: there are no positions.

    Special cases: -inf is never chosen, unless all are. If one is nan, its position.
    """
    op = "categorical"
    philox.check_one_key(op, key)
    axis = normalize_axis(op, axis, logits.ndim)
    logits = movement.moveaxis(as_float(op, logits), axis, -1)
    *lead, count = logits.shape
    asked = tuple(lead) if shape is None else as_shape(op, shape)
    if broadcast(op, tuple(lead), asked) != asked:
        raise ShapeError(
            f"[{op}] the logits do not broadcast to the shape asked for",
            got=f"{tuple(lead)} to {asked}",
        )
    dtype = random.computed(logits.dtype)
    full = (*asked, count)
    gumbel = elementwise.negative(
        elementwise.log(standard_exponential(key, full, dtype))
    )
    scores = movement.expand(elementwise.cast(logits, dtype), full)
    return reduce.argmax(elementwise.add(scores, gumbel), -1)


_GAMMA_ROUNDS = 8


def _log_gamma_parts(key: Node, concentration: Node) -> tuple[Node, Node]:
    """Return g and h such that g * exp(h) is gamma distributed with rate 1.

    Marsaglia and Tsang's rejection for shapes of at least 1: a round fails with
    probability 0.049 at most, all 8 with 4e-11. A smaller shape a is drawn as a + 1,
    times a uniform number to the power 1 / a, whose logarithm is h: it may be too small
    for its exponential.

    Args:
        concentration: float64.
    """
    keys = philox.keys_of(key, 2 * _GAMMA_ROUNDS + 1)
    shape = concentration.shape
    small = elementwise.less(concentration, 1)
    d = elementwise.subtract(
        elementwise.select(small, elementwise.add(concentration, 1), concentration),
        1 / 3,
    )
    c = elementwise.divide(1 / 3, elementwise.sqrt(d))
    v = source.full(shape, 1.0, float64)
    for i in reversed(range(_GAMMA_ROUNDS)):
        # The last rounds first, so that the first to accept has the last word.
        z = random.standard_normal(keys[2 * i], shape, float64)
        t = elementwise.multiply(c, z)
        usable = elementwise.greater(t, -1)
        t = elementwise.select(usable, t, 0)
        base = elementwise.add(t, 1)
        trial = elementwise.multiply(base, elementwise.square(base))
        # log(u) < z ** 2 / 2 + d * (1 - v + log(v)), with -log(u) exponential.
        bound = elementwise.add(
            elementwise.multiply(elementwise.square(z), 0.5),
            elementwise.multiply(
                d,
                elementwise.add(
                    elementwise.subtract(1, trial),
                    elementwise.multiply(elementwise.log1p(t), 3),
                ),
            ),
        )
        e = standard_exponential(keys[2 * i + 1], shape, float64)
        accepted = elementwise.logical_and(
            usable, elementwise.greater(elementwise.add(bound, e), 0)
        )
        v = elementwise.select(accepted, trial, v)
    e = standard_exponential(keys[-1], shape, float64)
    boost = elementwise.negative(elementwise.divide(e, concentration))
    return elementwise.multiply(d, v), elementwise.select(small, boost, 0)


def _log_gamma(key: Node, concentration: Node) -> Node:
    g, h = _log_gamma_parts(key, concentration)
    return elementwise.add(elementwise.log(g), h)


def _concentration(op: str, x: Operand, shape: Shape) -> Node:
    return source.stop_gradient(random.parameter(op, x, float64, shape))


def gamma(
    key: Node,
    concentration: Operand,
    rate: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return gamma distributed random numbers, of mean `concentration / rate`.

    Args:
        key: uint32, shape (4,).
        concentration: the shape parameter, positive, broadcast to `shape`.
        rate: positive, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. Computed in float64.

    Special cases: nan where `concentration` is not positive.

    Gradient: to `rate`. None flows to `concentration`.

    Source: G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables",
    ACM Transactions on Mathematical Software 26, 2000. With a probability of 4e-11 all
    rounds of its rejection fail, and the result is `concentration - 1/3`.
    """
    philox.check_one_key("gamma", key)
    dtype = random.float_dtype("gamma", dtype, concentration, rate)
    full = random.shape_of("gamma", shape, concentration, rate)
    shape_parameter = _concentration("gamma", concentration, full)
    g, h = _log_gamma_parts(key, shape_parameter)
    result = elementwise.multiply(g, elementwise.exp(h))
    positive = elementwise.greater(shape_parameter, 0)
    result = elementwise.select(positive, result, math.nan)
    inner = random.computed(dtype)
    result = elementwise.divide(
        elementwise.cast(result, inner), random.parameter("gamma", rate, inner, full)
    )
    return elementwise.cast(result, dtype)


def loggamma(
    key: Node,
    concentration: Operand,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return logarithms of gamma distributed random numbers.

    They are exact where the numbers themselves are too small for their dtype, as is
    frequent where the concentration is far below 1.

    Args:
        key: uint32, shape (4,). The numbers are those of `gamma` for this key.
        concentration: the shape parameter, positive, broadcast to `shape`.
        shape: of the result. Default: that of `concentration`.
        dtype: of the result. Default: that of `concentration`. Computed in float64.

    Special cases: nan where `concentration` is not positive.

    Gradient: none. See `loggamma_slope`.
    """
    philox.check_one_key("loggamma", key)
    dtype = random.float_dtype("loggamma", dtype, concentration)
    full = random.shape_of("loggamma", shape, concentration)
    parameter = _concentration("loggamma", concentration, full)
    result = _log_gamma(key, parameter)
    positive = elementwise.greater(parameter, 0)
    return elementwise.cast(elementwise.select(positive, result, math.nan), dtype)


def beta(
    key: Node,
    alpha: Operand,
    beta: Operand,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return beta distributed random numbers, of mean `alpha / (alpha + beta)`.

    Formula: g / (g + h) with gamma numbers g and h of shapes `alpha` and `beta`.

    Args:
        key: uint32, shape (4,).
        alpha, beta: positive, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. Computed in float64.

    Gradient: none.
    """
    philox.check_one_key("beta", key)
    dtype = random.float_dtype("beta", dtype, alpha, beta)
    full = random.shape_of("beta", shape, alpha, beta)
    first, second = philox.keys_of(key, 2)
    difference = elementwise.subtract(
        _log_gamma(first, _concentration("beta", alpha, full)),
        _log_gamma(second, _concentration("beta", beta, full)),
    )
    return elementwise.cast(elementwise.sigmoid(difference), dtype)


def dirichlet(
    key: Node,
    concentration: Node,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return Dirichlet distributed random vectors: positive numbers whose sum is 1.

    Args:
        key: uint32, shape (4,).
        concentration: positive, shape (..., k).
        shape: of the result without its last axis. Default: that of `concentration`
            without its last axis.
        dtype: of the result. Default: that of `concentration`. Computed in float64.

    Raises:
        ShapeError: `concentration` is a scalar or has no elements on its last axis.

    Gradient: none.
    """
    philox.check_one_key("dirichlet", key)
    if not concentration.shape or not concentration.shape[-1]:
        raise ShapeError(
            "[dirichlet] the last axis must hold the concentrations",
            got=str(concentration.shape),
        )
    dtype = random.float_dtype("dirichlet", dtype, concentration)
    *lead, count = concentration.shape
    full = (*(lead if shape is None else as_shape("dirichlet", shape)), count)
    random.shape_of("dirichlet", full, concentration)
    logs = _log_gamma(key, _concentration("dirichlet", concentration, full))
    top = reduce.max(logs, -1, keepdims=True)
    weights = elementwise.exp(elementwise.subtract(logs, top))
    result = elementwise.divide(weights, reduce.sum(weights, -1, keepdims=True))
    return elementwise.cast(result, dtype)


_POISSON_SMALL = 10.0
_POISSON_TERMS = 38
_POISSON_ROUNDS = 15


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
    probability below 1e-9 all 15 rounds fail, and the result is the rate rounded down.
    """
    philox.check_one_key("poisson", key)
    full = random.shape_of("poisson", shape, rate)
    mean = source.stop_gradient(random.parameter("poisson", rate, float64, full))
    small_key, large_key = philox.keys_of(key, 2)
    small = elementwise.less(mean, _POISSON_SMALL)
    count = elementwise.select(
        small,
        _poisson_small(small_key, elementwise.select(small, mean, 1.0)),
        _poisson_large(large_key, elementwise.select(small, _POISSON_SMALL, mean)),
    )
    valid = elementwise.logical_and(
        elementwise.greater_equal(mean, 0), elementwise.less(mean, math.inf)
    )
    count = elementwise.select(valid, count, -1.0)
    return elementwise.cast(
        count, default_integer if dtype is None else as_dtype(dtype)
    )


def _poisson_small(key: Node, mean: Node) -> Node:
    u = random.unit_uniform(key, mean.shape, float64)
    term = elementwise.exp(elementwise.negative(mean))
    total = term
    count = source.full_like(mean, 0)
    for k in range(1, _POISSON_TERMS):
        beyond = elementwise.greater_equal(u, total)
        count = elementwise.add(count, elementwise.cast(beyond, float64))
        term = elementwise.multiply(term, elementwise.divide(mean, float(k)))
        total = elementwise.add(total, term)
    return count


def _poisson_large(key: Node, mean: Node) -> Node:
    keys = philox.keys_of(key, 2 * _POISSON_ROUNDS)
    log_mean = elementwise.log(mean)
    b = elementwise.add(elementwise.multiply(elementwise.sqrt(mean), 2.53), 0.931)
    a = elementwise.subtract(elementwise.multiply(b, 0.02483), 0.059)
    scale = elementwise.add(
        elementwise.divide(1.1328, elementwise.subtract(b, 3.4)), 1.1239
    )
    count = elementwise.floor(mean)
    for i in reversed(range(_POISSON_ROUNDS)):
        # The last rounds first, so that the first to accept has the last word.
        u = elementwise.subtract(
            random.unit_uniform(keys[2 * i], mean.shape, float64), 0.5
        )
        e = standard_exponential(keys[2 * i + 1], mean.shape, float64)
        room = elementwise.maximum(
            elementwise.subtract(0.5, elementwise.abs(u)), 2.0**-54
        )
        stretch = elementwise.add(
            elementwise.divide(elementwise.multiply(a, 2), room), b
        )
        k = elementwise.floor(
            elementwise.add(
                elementwise.multiply(stretch, u), elementwise.add(mean, 0.43)
            )
        )
        possible = elementwise.greater_equal(k, 0)
        k = elementwise.select(possible, k, 0)
        hat = elementwise.log(
            elementwise.divide(
                scale,
                elementwise.add(elementwise.divide(a, elementwise.square(room)), b),
            )
        )
        log_probability = elementwise.subtract(
            elementwise.subtract(elementwise.multiply(k, log_mean), mean),
            special.lgamma(elementwise.add(k, 1)),
        )
        # log(v) + log(hat) <= log(probability), with -log(v) exponential.
        accepted = elementwise.less_equal(elementwise.subtract(hat, e), log_probability)
        count = elementwise.select(
            elementwise.logical_and(possible, accepted), k, count
        )
    return count


# The first parameter is the key. Where it is left out, plait.random supplies one.
RANDOM_OPS = (categorical, exponential, gamma, loggamma, beta, dirichlet, poisson)
