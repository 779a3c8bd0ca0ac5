"""Random numbers of distributions that need logarithms or rejection.

Like those of `random` they are functions of a key, but their last digits may differ
between targets, with those of `exp`, `log` and `lgamma`.

Read first: `exponential`, `gamma`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..dtypes import DType, float64, int64
from ..errors import ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape, broadcast, normalize_axis
from . import elementwise, movement, philox, random, reduce, sort, source
from .operand import Operand, as_float
from .rejection import negative_log_uniform, settled, wide_parameter


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

    Formula: how many of the cumulative sums of the probabilities are at most u, a
    uniform number in [0, 1). Computed in float64.

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
    best = reduce.argmax(logits, -1)
    wide = elementwise.cast(source.stop_gradient(logits), float64)
    top = reduce.max(wide, -1, keepdims=True)
    weights = elementwise.exp(elementwise.subtract(wide, top))
    sums = reduce.cumulative_sum(weights, axis=-1)
    # The last is 1 then, above all u.
    last = movement.slice_axis(sums, sums.ndim - 1, count - 1, count)
    sums = elementwise.divide(sums, last)
    u = random.unit_uniform(key, asked, float64)
    if not lead:
        found = sort.searchsorted(sums, u, side="right")
    else:
        beyond = elementwise.less_equal(sums, movement.expand_dims(u, -1))
        found = reduce.sum(elementwise.cast(beyond, int64), -1)
    usual = elementwise.isfinite(movement.squeeze(top, -1))
    return elementwise.select(movement.expand(usual, asked), found, best)


def _log_gamma_parts(key: Node, concentration: Node, shape: Shape) -> Sequence[Node]:
    """Return d, t and h such that d * (1 + t) ** 3 * exp(h) is gamma distributed with
    rate 1.

    By Marsaglia and Tsang's rejection for shapes of at least 1, which rejects with a
    probability of 0.049 at most. A smaller shape a is drawn as a + 1, times a uniform
    number to the power 1 / a, whose logarithm is h: it may be too small for its
    exponential.

    Args:
        concentration: float64, of `shape` or a scalar.
    """
    first, second = philox.keys_of(key, 2)
    small = elementwise.less(concentration, 1)
    large = elementwise.select(small, elementwise.add(concentration, 1), concentration)
    d = elementwise.subtract(large, 1 / 3)
    t = settled(first, shape, [d], _gamma_trial, rejected=0.05)
    e = standard_exponential(second, shape, float64)
    boost = elementwise.negative(elementwise.divide(e, concentration))
    return d, t, elementwise.select(small, boost, 0)


def _gamma_trial(key: Node, shape: Shape, d: Node) -> tuple[Node, Node]:
    first, second = philox.keys_of(key, 2)
    z = random.standard_normal(first, shape, float64)
    t = elementwise.multiply(elementwise.divide(1 / 3, elementwise.sqrt(d)), z)
    usable = elementwise.greater(t, -1)
    t = elementwise.select(usable, t, 0)
    base = elementwise.add(t, 1)
    trial = elementwise.multiply(base, elementwise.square(base))
    # log(u) < z ** 2 / 2 + d * (1 - v + log(v)) with a uniform u.
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
    e = negative_log_uniform(second, shape)
    accepted = elementwise.greater(elementwise.add(bound, e), 0)
    return t, elementwise.logical_and(usable, accepted)


def _log_gamma(key: Node, concentration: Node, shape: Shape) -> Node:
    d, t, h = _log_gamma_parts(key, concentration, shape)
    cube = elementwise.multiply(elementwise.log1p(t), 3)
    return elementwise.add(elementwise.add(elementwise.log(d), cube), h)


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
    ACM Transactions on Mathematical Software 26, 2000. With a probability below 1e-10
    all its trials fail, and the result is that of the first.
    """
    philox.check_one_key("gamma", key)
    dtype = random.float_dtype("gamma", dtype, concentration, rate)
    full = random.shape_of("gamma", shape, concentration, rate)
    shape_parameter = wide_parameter("gamma", concentration, full)
    d, t, h = _log_gamma_parts(key, shape_parameter, full)
    base = elementwise.add(t, 1)
    cube = elementwise.multiply(base, elementwise.square(base))
    result = elementwise.multiply(elementwise.multiply(d, cube), elementwise.exp(h))
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
    parameter = wide_parameter("loggamma", concentration, full)
    result = _log_gamma(key, parameter, full)
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
        _log_gamma(first, wide_parameter("beta", alpha, full), full),
        _log_gamma(second, wide_parameter("beta", beta, full), full),
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
    logs = _log_gamma(key, wide_parameter("dirichlet", concentration, full), full)
    top = reduce.max(logs, -1, keepdims=True)
    weights = elementwise.exp(elementwise.subtract(logs, top))
    result = elementwise.divide(weights, reduce.sum(weights, -1, keepdims=True))
    return elementwise.cast(result, dtype)


def vonmises(
    key: Node,
    loc: Operand = 0.0,
    concentration: Operand = 1.0,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: DType | None = None,
) -> Node:
    """Return random angles around a direction, of the von Mises distribution.

    Args:
        key: uint32, shape (4,).
        loc: the direction, an angle in radians, broadcast to `shape`.
        concentration: how close to it, not negative, broadcast to `shape`.
        shape: of the result. Default: that of the parameters.
        dtype: of the result. Default: that of the parameters. Computed in float64.

    Returns:
        Angles in -pi..pi.

    Special cases: all angles are equally likely where `concentration` is 0; nan where
    it is negative, infinite or nan.

    Gradient: to `loc`. None flows to `concentration`.

    Source: D. J. Best, N. I. Fisher, "Efficient simulation of the von Mises
    distribution", 1979. With a probability below 1e-10 all trials fail, and the result
    is that of the first.
    """
    op = "vonmises"
    philox.check_one_key(op, key)
    dtype = random.float_dtype(op, dtype, loc, concentration)
    full = random.shape_of(op, shape, loc, concentration)
    k = wide_parameter(op, concentration, full)
    g = settled(key, full, [k], _angle_trial, rejected=0.35)
    # In float64, as the cosines of narrow angles would lose too much.
    half = elementwise.sqrt(elementwise.multiply(elementwise.abs(g), 0.5))
    angle = elementwise.multiply(elementwise.asin(elementwise.minimum(half, 1.0)), 2)
    valid = elementwise.logical_and(
        elementwise.greater_equal(k, 0), elementwise.less(k, math.inf)
    )
    angle = elementwise.select(valid, elementwise.copysign(angle, g), math.nan)
    inner = random.computed(dtype)
    angle = elementwise.add(
        elementwise.cast(angle, inner), random.parameter(op, loc, inner, full)
    )
    turns = elementwise.add(elementwise.multiply(angle, 0.5 / math.pi), 0.5)
    whole = elementwise.multiply(elementwise.floor(turns), 2 * math.pi)
    return elementwise.cast(elementwise.subtract(angle, whole), dtype)


def _angle_trial(key: Node, shape: Shape, k: Node) -> tuple[Node, Node]:
    """Propose 1 - cos(angle), with the sign of the angle."""
    first, second = philox.keys_of(key, 2)
    k = elementwise.maximum(k, 1e-300)
    # r is (1 + sqrt(1 + 4 k ** 2)) / (2 k); this is r - 1.
    twice = elementwise.multiply(k, 2)
    root = elementwise.sqrt(elementwise.add(elementwise.square(twice), 1))
    over = elementwise.reciprocal(elementwise.add(root, twice))
    more = elementwise.divide(elementwise.add(over, 1), twice)
    u = elementwise.subtract(random.unit_uniform(first, shape, float64), 0.5)
    # With z = cos(2 pi u), (1 + r * z) / (r + z) is the cosine.
    turn = elementwise.square(elementwise.sin(elementwise.multiply(u, math.pi)))
    drop = elementwise.multiply(turn, 2)
    below = elementwise.subtract(elementwise.add(more, 2), drop)
    g = elementwise.divide(elementwise.multiply(more, drop), below)
    c = elementwise.multiply(k, elementwise.add(more, g))
    e = elementwise.add(negative_log_uniform(second, shape), 1)
    bound = elementwise.subtract(elementwise.add(elementwise.log(c), e), c)
    return elementwise.copysign(g, u), elementwise.greater_equal(bound, 0)


# The first parameter is the key. Where it is left out, plait.random supplies one.
RANDOM_OPS = (categorical, exponential, gamma, loggamma, beta, dirichlet, vonmises)
