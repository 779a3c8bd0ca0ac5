"""Activation functions, normalisations and embedding, all made of other ops.

16-bit operands are computed in float32 and rounded once, at the end. Where a formula
overflows on one side of a kink, `select` is given a harmless operand there too, since a
derivative of exactly 0 times an infinity is nan.

Read first: `_pointwise`, `relu`, `softplus`, `softmax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..dtypes import int64
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ir.graph import Node
from ..shapes import Shape, as_shape, normalize_axes, normalize_axis, size_of
from . import (
    distribution,
    elementwise,
    index,
    movement,
    random,
    reduce,
    sort,
    source,
    special,
)
from .operand import (
    RandomKey,
    as_float,
    float_dtype,
    inner_dtype,
    require,
    together,
)

Axes = int | Sequence[int]


def _pointwise(op: str, x: Node, formula: Callable[[Node], Node]) -> Node:
    dtype = float_dtype(x)
    (x,) = together(op, x, dtype=inner_dtype(dtype))
    return elementwise.cast(formula(x), dtype)


def _limited(x: Node, low: float, high: float) -> Node:
    """Return `x` limited to `low` and `high`; the derivative is 0 there and beyond."""
    return elementwise.select(
        elementwise.less_equal(x, low),
        low,
        elementwise.select(elementwise.greater_equal(x, high), high, x),
    )


def _positive(op: str, name: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(f"[{op}] {name} must be positive", got=f"{name}={value}")


# Rectifiers


def relu(x: Node) -> Node:
    """Return `max(x, 0)`.

    Args:
        x: any numeric tensor; its dtype is kept.

    Gradient: `ct` where `x > 0`, else 0, also at 0.
    """
    (x,) = together("relu", x)
    require("relu", x, "float signed unsigned")
    return elementwise.select(elementwise.less_equal(x, 0), 0, x)


def relu6(x: Node) -> Node:
    """Return `min(max(x, 0), 6)`. Gradient at 0 and at 6: 0."""
    return hardtanh(x, 0.0, 6.0)


def leaky_relu(x: Node, negative_slope: float = 0.01) -> Node:
    """Return `x` where it is positive, else `negative_slope * x`.

    Gradient at 0: `negative_slope`.
    """
    return _pointwise(
        "leaky_relu",
        x,
        lambda x: elementwise.select(
            elementwise.greater(x, 0), x, elementwise.multiply(x, negative_slope)
        ),
    )


def prelu(x: Node, weight: Node) -> Node:
    """Return `x` where it is positive, else `weight * x`.

    Args:
        x: shape (n, channels, ...), or any with one weight.
        weight: shape (channels,), (1,) or ().

    Raises:
        ShapeError: the number of weights is neither 1 nor that of the channels.

    Gradient: to both.
    """
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ShapeError(
            "[prelu] one weight is needed, or one for each channel",
            got=f"{weight.shape} for an input of shape {x.shape}",
            expected=f"(1,) or ({channels},)",
        )
    if weight.size == 1:
        weight = movement.reshape(weight, ())
    else:
        weight = movement.reshape(weight, (channels, *(1,) * (x.ndim - 2)))
    dtype = float_dtype(x, weight)
    x, weight = (elementwise.cast(node, inner_dtype(dtype)) for node in (x, weight))
    slope = elementwise.multiply(weight, _negative_side(x))
    result = elementwise.select(elementwise.greater(x, 0), x, slope)
    return elementwise.cast(result, dtype)


def rrelu(
    x: Node, key: Node | None = None, lower: float = 1 / 8, upper: float = 1 / 3
) -> Node:
    """Return `x` where it is positive, else `x` times a slope.

    Args:
        key: with a key, each element has its own random slope between `lower` and
            `upper`; without, all have the mean of the two.

    Source: B. Xu et al., "Empirical evaluation of rectified activations in
    convolutional network", 2015.
    """
    if not lower <= upper:
        raise ArgumentError(
            "[rrelu] lower is above upper", got=f"lower={lower}, upper={upper}"
        )
    if key is None:
        return leaky_relu(x, (lower + upper) / 2)

    def formula(x: Node) -> Node:
        slope = random.uniform(key, lower, upper, shape=x.shape, dtype=x.dtype)
        return elementwise.select(
            elementwise.greater(x, 0), x, elementwise.multiply(x, slope)
        )

    return _pointwise("rrelu", x, formula)


def threshold(x: Node, threshold: float, value: float) -> Node:
    """Return `x` where it is above `threshold`, else `value`."""
    return _pointwise(
        "threshold",
        x,
        lambda x: elementwise.select(elementwise.less_equal(x, threshold), value, x),
    )


def hardtanh(x: Node, min_value: float = -1.0, max_value: float = 1.0) -> Node:
    """Return `x` limited to `min_value` and `max_value`.

    Gradient: 0 at both limits and beyond.
    """
    if not min_value < max_value:
        raise ArgumentError(
            "[hardtanh] min_value is not below max_value",
            got=f"min_value={min_value}, max_value={max_value}",
        )
    return _pointwise("hardtanh", x, lambda x: _limited(x, min_value, max_value))


def hardsigmoid(x: Node) -> Node:
    """Return `min(max(x + 3, 0), 6) / 6`. Gradient at -3 and 3: 0."""
    return _pointwise("hardsigmoid", x, _hardsigmoid)


def _hardsigmoid(x: Node) -> Node:
    inner = elementwise.divide(elementwise.add(x, 3.0), 6.0)
    return elementwise.select(
        elementwise.less_equal(x, -3.0),
        0.0,
        elementwise.select(elementwise.greater_equal(x, 3.0), 1.0, inner),
    )


def hardswish(x: Node) -> Node:
    """Return `x * min(max(x + 3, 0), 6) / 6`.

    Gradient: 0 at -3 and below, `ct` at 3 and above.

    Source: A. Howard et al., "Searching for MobileNetV3", 2019.
    """

    def formula(x: Node) -> Node:
        middle = _limited(x, -3.0, 3.0)
        inner = elementwise.multiply(
            middle, elementwise.divide(elementwise.add(middle, 3.0), 6.0)
        )
        return elementwise.select(
            elementwise.less_equal(x, -3.0),
            0.0,
            elementwise.select(elementwise.greater_equal(x, 3.0), x, inner),
        )

    return _pointwise("hardswish", x, formula)


def hardshrink(x: Node, lambd: float = 0.5) -> Node:
    """Return 0 where `abs(x) <= lambd`, else `x`."""
    return _pointwise(
        "hardshrink",
        x,
        lambda x: elementwise.select(
            elementwise.less_equal(elementwise.abs(x), lambd), 0.0, x
        ),
    )


def softshrink(x: Node, lambd: float = 0.5) -> Node:
    """Return 0 where `abs(x) <= lambd`, else `x` moved towards 0 by `lambd`.

    Raises:
        ArgumentError: `lambd` is negative.
    """
    if not lambd >= 0:
        raise ArgumentError(
            "[softshrink] lambd must not be negative", got=f"lambd={lambd}"
        )

    def formula(x: Node) -> Node:
        down = elementwise.subtract(x, lambd)
        up = elementwise.add(x, lambd)
        return elementwise.select(
            elementwise.less_equal(elementwise.abs(x), lambd),
            0.0,
            elementwise.select(elementwise.greater(x, 0), down, up),
        )

    return _pointwise("softshrink", x, formula)


def tanhshrink(x: Node) -> Node:
    """Return `x - tanh(x)`."""
    return _pointwise(
        "tanhshrink", x, lambda x: elementwise.subtract(x, elementwise.tanh(x))
    )


def sparse_plus(x: Node) -> Node:
    """Return 0 up to -1, `(x + 1) ** 2 / 4` from there to 1, and then `x`."""

    def formula(x: Node) -> Node:
        middle = _limited(x, -1.0, 1.0)
        curve = elementwise.multiply(
            elementwise.square(elementwise.add(middle, 1)), 0.25
        )
        return elementwise.select(
            elementwise.less_equal(x, -1),
            0.0,
            elementwise.select(elementwise.greater_equal(x, 1), x, curve),
        )

    return _pointwise("sparse_plus", x, formula)


def sparse_sigmoid(x: Node) -> Node:
    """Return `min(max((x + 1) / 2, 0), 1)`. Gradient at -1 and 1: 0."""
    return _pointwise(
        "sparse_sigmoid",
        x,
        lambda x: elementwise.multiply(elementwise.add(_limited(x, -1.0, 1.0), 1), 0.5),
    )


# Smooth functions


def _negative_side(x: Node) -> Node:
    """Return `min(x, 0)`, to be given to an exponential that counts only there."""
    return elementwise.select(elementwise.greater(x, 0), 0.0, x)


def _elu(x: Node, alpha: float, inverse_scale: float) -> Node:
    inner = _negative_side(x)
    if inverse_scale != 1:
        inner = elementwise.multiply(inner, inverse_scale)
    curve = elementwise.multiply(elementwise.expm1(inner), alpha)
    return elementwise.select(elementwise.greater(x, 0), x, curve)


def elu(x: Node, alpha: float = 1.0) -> Node:
    """Return `x` where it is positive, else `alpha * (exp(x) - 1)`.

    Gradient at 0: `alpha * ct`.

    Source: D. Clevert et al., "Fast and accurate deep network learning by exponential
    linear units", 2016.
    """
    return _pointwise("elu", x, lambda x: _elu(x, alpha, 1.0))


def celu(x: Node, alpha: float = 1.0) -> Node:
    """Return `x` where it is positive, else `alpha * (exp(x / alpha) - 1)`.

    Raises:
        ArgumentError: `alpha` is 0.

    Source: J. Barron, "Continuously differentiable exponential linear units", 2017.
    """
    if alpha == 0:
        raise ArgumentError("[celu] alpha must not be 0", got=f"alpha={alpha}")
    return _pointwise("celu", x, lambda x: _elu(x, alpha, 1 / alpha))


# The fixed point of mean 0 and variance 1 (Klambauer et al. 2017, equation 14).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Node) -> Node:
    """Return `scale * elu(x, alpha)`, scale = 1.0507..., alpha = 1.6732....

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    return _pointwise(
        "selu",
        x,
        lambda x: elementwise.multiply(_elu(x, _SELU_ALPHA, 1.0), _SELU_SCALE),
    )


def gelu(x: Node, approximate: str = "none") -> Node:
    """Return `x` times the standard normal distribution function of `x`.

    Formula: x * (1 + erf(x / sqrt(2))) / 2; or, for "tanh",
    x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2. Far below 0, where the
    value is all but 0, it is right to an ulp of `x`.

    Args:
        approximate: "none" or "tanh".

    Raises:
        ArgumentError: `approximate` is something else.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(
            "[gelu] there is no such approximation",
            got=repr(approximate),
            expected='"none" or "tanh"',
        )

    def formula(x: Node) -> Node:
        half = elementwise.multiply(x, 0.5)
        if approximate == "none":
            share = special.erf(elementwise.multiply(x, math.sqrt(0.5)))
            return elementwise.multiply(half, elementwise.add(share, 1))
        factor = math.sqrt(2 / math.pi)
        slope = elementwise.multiply(elementwise.square(x), 0.044715 * factor)
        inner = elementwise.multiply(x, elementwise.add(slope, factor))
        return elementwise.multiply(half, elementwise.add(elementwise.tanh(inner), 1))

    return _pointwise("gelu", x, formula)


def silu(x: Node) -> Node:
    """Return `x * sigmoid(x)`, also known as swish."""
    return _pointwise(
        "silu", x, lambda x: elementwise.multiply(x, elementwise.sigmoid(x))
    )


def log1p_exp(x: Node) -> Node:
    """Return `log(1 + exp(x))` without overflow.

    Both sides of 0 are smooth functions, so that all derivatives are right there too.
    """
    positive = elementwise.greater(x, 0)
    negative = elementwise.select(positive, elementwise.negative(x), x)
    return elementwise.add(
        elementwise.select(positive, x, 0.0),
        elementwise.log1p(elementwise.exp(negative)),
    )


def mish(x: Node) -> Node:
    """Return `x * tanh(log(1 + exp(x)))`.

    Source: D. Misra, "Mish: a self regularized non-monotonic activation function",
    2020.
    """
    return _pointwise(
        "mish", x, lambda x: elementwise.multiply(x, elementwise.tanh(log1p_exp(x)))
    )


def softplus(x: Node, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """Return `log(1 + exp(beta * x)) / beta`, without overflow.

    Args:
        threshold: where `beta * x` is above it, the result is `x`.

    Raises:
        ArgumentError: `beta` is not positive.
    """
    _positive("softplus", "beta", beta)

    def formula(x: Node) -> Node:
        scaled = elementwise.multiply(x, beta)
        linear = elementwise.greater(scaled, threshold)
        curve = log1p_exp(elementwise.select(linear, 0.0, scaled))
        return elementwise.select(linear, x, elementwise.divide(curve, beta))

    return _pointwise("softplus", x, formula)


def squareplus(x: Node, b: float = 4.0) -> Node:
    """Return `(x + sqrt(x ** 2 + b)) / 2`.

    Source: J. Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
    """
    return _pointwise(
        "squareplus",
        x,
        lambda x: elementwise.multiply(
            elementwise.add(
                x, elementwise.sqrt(elementwise.add(elementwise.square(x), b))
            ),
            0.5,
        ),
    )


def softsign(x: Node) -> Node:
    """Return `x / (1 + abs(x))`."""
    return _pointwise(
        "softsign",
        x,
        lambda x: elementwise.divide(x, elementwise.add(elementwise.abs(x), 1)),
    )


def log_sigmoid(x: Node) -> Node:
    """Return `log(sigmoid(x))`, precise in both tails."""
    return _pointwise(
        "log_sigmoid",
        x,
        lambda x: elementwise.negative(log1p_exp(elementwise.negative(x))),
    )


def glu(x: Node, axis: int = -1) -> Node:
    """Return the first half of `x` along `axis` times the sigmoid of the second half.

    Raises:
        ShapeError: the size of the axis is odd.

    Source: Y. Dauphin et al., "Language modeling with gated convolutional networks",
    2017.
    """
    axis = normalize_axis("glu", axis, x.ndim)
    if x.shape[axis] % 2:
        raise ShapeError(
            "[glu] the axis must have two halves",
            got=f"axis {axis} of shape {x.shape}",
            expected="an even size",
        )

    def formula(x: Node) -> Node:
        n = x.shape[axis]
        value = movement.slice_axis(x, axis, 0, n // 2)
        gate = movement.slice_axis(x, axis, n // 2, n)
        return elementwise.multiply(value, elementwise.sigmoid(gate))

    return _pointwise("glu", x, formula)


# Softmax and its relatives


def shifted(x: Node, axis: int) -> Node:
    """Return `x` less its greatest element along `axis`: no exponential overflows.

    The shift cancels out of the derivatives of what it is used for.
    """
    top = source.stop_gradient(reduce.max(x, axis, keepdims=True))
    return elementwise.subtract(x, top)


def softmax(x: Node, axis: int = -1) -> Node:
    """Return `exp(x) / sum(exp(x))` along `axis`, without overflow.

    Special cases: nan where all are -inf, or one is inf or nan.
    """
    return _along("softmax", x, axis, _softmax)


def _along(op: str, x: Node, axis: int, formula: Callable[[Node, int], Node]) -> Node:
    axis = normalize_axis(op, axis, x.ndim)
    if not x.shape[axis]:
        return as_float(op, x)
    return _pointwise(op, x, lambda x: formula(x, axis))


def _softmax(x: Node, axis: int) -> Node:
    weights = elementwise.exp(shifted(x, axis))
    return elementwise.divide(weights, reduce.sum(weights, axis, keepdims=True))


def softmin(x: Node, axis: int = -1) -> Node:
    """Return `softmax(-x)` along `axis`."""
    return _along(
        "softmin", x, axis, lambda x, axis: _softmax(elementwise.negative(x), axis)
    )


def log_softmax(x: Node, axis: int = -1) -> Node:
    """Return `x - log(sum(exp(x)))` along `axis`, without overflow.

    Special cases: nan where all are -inf, or one is inf or nan.
    """

    def formula(x: Node, axis: int) -> Node:
        x = shifted(x, axis)
        total = reduce.sum(elementwise.exp(x), axis, keepdims=True)
        return elementwise.subtract(x, elementwise.log(total))

    return _along("log_softmax", x, axis, formula)


def sparsemax(x: Node, axis: int = -1) -> Node:
    """Return the point nearest to `x` among those that are positive or 0 and sum to 1.

    Formula: max(x - t, 0) along `axis`, with the t for which the sum is 1.

    Gradient: `ct` less its mean over the elements that are not 0; 0 to the others.

    Source: A. Martins, R. Astudillo, "From softmax to sparsemax", 2016.
    """

    def formula(x: Node, axis: int) -> Node:
        x = shifted(x, axis)
        ordered = sort.sort(source.stop_gradient(x), axis=axis, descending=True)
        count = elementwise.cast(_positions(x.shape, axis), x.dtype)
        count = elementwise.add(count, 1)
        running = reduce.cumulative_sum(ordered, axis=axis)
        inside = elementwise.greater(
            elementwise.add(elementwise.multiply(count, ordered), 1), running
        )
        support = elementwise.greater_equal(x, _least(ordered, inside, axis))
        size = reduce.sum(elementwise.cast(support, x.dtype), axis, keepdims=True)
        total = reduce.sum(elementwise.select(support, x, 0.0), axis, keepdims=True)
        bound = elementwise.divide(elementwise.subtract(total, 1), size)
        outside = elementwise.select(elementwise.isnan(x), x, 0.0)
        return elementwise.select(support, elementwise.subtract(x, bound), outside)

    return _along("sparsemax", x, axis, formula)


def _least(x: Node, chosen: Node, axis: int) -> Node:
    """Return the least of the chosen elements along `axis`."""
    return reduce.min(elementwise.select(chosen, x, math.inf), axis, keepdims=True)


def gumbel_softmax(
    x: Node, tau: float = 1.0, hard: bool = False, axis: int = -1, *, key: RandomKey
) -> Node:
    """Return `softmax((x + g) / tau)` along `axis` with independent Gumbel numbers g.

    Args:
        key: uint32, shape (4,). Default: the next one of `generator`, by default the
            generator that `manual_seed` sets.
        tau: the temperature.
        hard: return the one-hot vector of the greatest instead. The derivative stays
            that of the soft result.

    Source: E. Jang et al., "Categorical reparameterization with Gumbel-softmax", 2017.
    """
    _positive("gumbel_softmax", "tau", tau)

    def formula(x: Node, axis: int) -> Node:
        noise = elementwise.log(
            distribution.exponential(key, shape=x.shape, dtype=x.dtype)
        )
        soft = _softmax(elementwise.divide(elementwise.subtract(x, noise), tau), axis)
        if not hard:
            return soft
        winner = reduce.argmax(soft, axis, keepdims=True)
        one_hot = elementwise.cast(
            elementwise.equal(winner, _positions(x.shape, axis)), x.dtype
        )
        change = elementwise.subtract(soft, source.stop_gradient(soft))
        return elementwise.add(one_hot, change)

    return _along("gumbel_softmax", x, axis, formula)


def _positions(shape: Shape, axis: int) -> Node:
    """Return 0, 1, ... along `axis`, in a shape that broadcasts against `shape`."""
    sizes = [1] * len(shape)
    sizes[axis] = shape[axis]
    return movement.reshape(source.iota(shape[axis], int64), sizes)


# Normalisation


def norm_along(x: Node, p: float, axes: Axes, floor: float = 0.0) -> Node:
    """Return the `p`-norm over `axes`, kept with size 1, but at least `floor`.

    The derivative is 0 where the norm is 0 or below `floor`.
    """
    magnitude = elementwise.abs(x)
    if p == math.inf:
        norm = reduce.max(magnitude, axes, keepdims=True)
    elif p == 1:
        norm = reduce.sum(magnitude, axes, keepdims=True)
    else:
        if p == 2:
            total = reduce.sum(elementwise.square(x), axes, keepdims=True)
        else:
            # The derivative of a power below 1 is infinite at 0.
            zero = elementwise.equal(magnitude, 0)
            powers = elementwise.pow(elementwise.select(zero, 1.0, magnitude), p)
            powers = elementwise.select(zero, 0.0, powers)
            total = reduce.sum(powers, axes, keepdims=True)
        empty = elementwise.equal(total, 0)
        safe = elementwise.select(empty, 1.0, total)
        root = elementwise.sqrt(safe) if p == 2 else elementwise.pow(safe, 1 / p)
        norm = elementwise.select(empty, 0.0, root)
    return elementwise.select(elementwise.less(norm, floor), floor, norm)


def check_order(op: str, p: float) -> None:
    """Raise unless `p` is the order of a norm.

    Raises:
        ArgumentError: it is not positive.
    """
    _positive(op, "p", p)


def normalize(x: Node, p: float = 2.0, axis: Axes = 1, eps: float = 1e-12) -> Node:
    """Return `x / max(norm(x), eps)` with the `p`-norm over `axis`.

    Raises:
        ArgumentError: `p` is not positive.

    Gradient: that of the norm of zeros is 0.
    """
    check_order("normalize", p)
    axes = normalize_axes("normalize", axis, x.ndim)
    return _pointwise(
        "normalize", x, lambda x: elementwise.divide(x, norm_along(x, p, axes, eps))
    )


def cosine_similarity(x1: Node, x2: Node, axis: int = 1, eps: float = 1e-8) -> Node:
    """Return the cosine of the angle between vectors along `axis`.

    Formula: sum(x1 * x2) / (max(norm(x1), eps) * max(norm(x2), eps)).

    Args:
        x1, x2: shapes that broadcast; `axis` is counted in the result of that.
        eps: the least length to divide by.

    Returns:
        The broadcast shape without `axis`.
    """
    op = "cosine_similarity"
    dtype = float_dtype(x1, x2)
    x1, x2 = together(op, x1, x2, dtype=inner_dtype(dtype))
    result = cosine(x1, x2, normalize_axis(op, axis, x1.ndim), eps)
    return elementwise.cast(result, dtype)


def cosine(x1: Node, x2: Node, axis: int, eps: float) -> Node:
    """Return the cosine between floating-point tensors of one shape."""
    unit1 = elementwise.divide(x1, norm_along(x1, 2, axis, eps))
    unit2 = elementwise.divide(x2, norm_along(x2, 2, axis, eps))
    return reduce.sum(elementwise.multiply(unit1, unit2), axis)


def _normalized_axes(
    op: str, x: Node, normalized_shape: int | Sequence[int], *parameters: Node | None
) -> tuple[int, ...]:
    shape = as_shape(op, normalized_shape)
    n = len(shape)
    if not n or x.shape[max(x.ndim - n, 0) :] != shape:
        raise ShapeError(
            f"[{op}] the last axes of the input are not normalized_shape",
            got=f"input {x.shape}, normalized_shape {shape}",
        )
    for parameter in parameters:
        if parameter is not None and parameter.shape != shape:
            raise ShapeError(
                f"[{op}] weight and bias must have normalized_shape",
                got=str(parameter.shape),
                expected=str(shape),
            )
    return tuple(range(x.ndim - n, x.ndim))


def _centred(x: Node, axes: Axes, eps: float) -> Node:
    """Return `x` less its mean over `axes`, divided by `sqrt(variance + eps)`."""
    centred = elementwise.subtract(x, reduce.mean(x, axes, keepdims=True))
    variance = reduce.mean(elementwise.square(centred), axes, keepdims=True)
    return elementwise.multiply(
        centred, elementwise.rsqrt(elementwise.add(variance, eps))
    )


def _affine(x: Node, weight: Node | None, bias: Node | None) -> Node:
    """Return `x * weight + bias`, computed in the dtype of `x`."""
    if weight is not None:
        x = elementwise.multiply(x, elementwise.cast(weight, x.dtype))
    return x if bias is None else elementwise.add(x, elementwise.cast(bias, x.dtype))


_EPSILON = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}


def layer_norm(
    x: Node,
    normalized_shape: int | Sequence[int],
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
) -> Node:
    """Return `(x - mean) / sqrt(variance + eps) * weight + bias`.

    Args:
        normalized_shape: the last axes of `x`, over which mean and variance are taken;
            the variance is divided by the number of elements.
        weight, bias: of that shape.

    Raises:
        ShapeError: the shapes do not fit.

    Source: J. L. Ba et al., "Layer normalization", 2016.
    """
    axes = _normalized_axes("layer_norm", x, normalized_shape, weight, bias)
    dtype = float_dtype(x, weight, bias)
    x = elementwise.cast(x, inner_dtype(dtype))
    result = _affine(_centred(x, axes, eps), weight, bias)
    return elementwise.cast(result, dtype)


def rms_norm(
    x: Node,
    normalized_shape: int | Sequence[int],
    weight: Node | None = None,
    eps: float | None = None,
) -> Node:
    """Return `x / sqrt(mean(x ** 2) + eps) * weight`.

    Args:
        normalized_shape: the last axes of `x`, over which the mean is taken.
        weight: of that shape.
        eps: default: the distance from 1 to the next number of the dtype of `x`.

    Raises:
        ShapeError: the shapes do not fit.

    Source: B. Zhang, R. Sennrich, "Root mean square layer normalization", 2019.
    """
    axes = _normalized_axes("rms_norm", x, normalized_shape, weight)
    dtype = float_dtype(x, weight)
    if eps is None:
        eps = _EPSILON[float_dtype(x).name]
    x = elementwise.cast(x, inner_dtype(dtype))
    mean = reduce.mean(elementwise.square(x), axes, keepdims=True)
    result = elementwise.multiply(x, elementwise.rsqrt(elementwise.add(mean, eps)))
    return elementwise.cast(_affine(result, weight, None), dtype)


def _per_channel(op: str, x: Node, *parameters: Node | None) -> list[Node | None]:
    """Return `parameters`, of shape (channels,), shaped to broadcast against `x`."""
    if x.ndim < 2:
        raise ShapeError(
            f"[{op}] axis 1 holds the channels", got=str(x.shape),
            expected="(n, channels, ...)",
        )  # fmt: skip
    channels = x.shape[1]
    shape = (channels, *(1,) * (x.ndim - 2))
    found: list[Node | None] = []
    for parameter in parameters:
        if parameter is not None and parameter.shape != (channels,):
            raise ShapeError(
                f"[{op}] one number for each channel is needed",
                got=f"{parameter.shape} for an input of shape {x.shape}",
                expected=f"({channels},)",
            )
        found.append(None if parameter is None else movement.reshape(parameter, shape))
    return found


def batch_norm(
    x: Node,
    mean: Node,
    variance: Node,
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
) -> Node:
    """Return `(x - mean) / sqrt(variance + eps) * weight + bias`, channel by channel.

    Args:
        x: shape (n, channels, ...).
        mean, variance, weight, bias: shape (channels,).

    Raises:
        ShapeError: the shapes do not fit.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """
    op = "batch_norm"
    dtype = float_dtype(x, mean, variance, weight, bias)
    inner = inner_dtype(dtype)
    x = elementwise.cast(x, inner)
    parts = _per_channel(op, x, mean, variance, weight, bias)
    centre, spread, scale, offset = (
        None if part is None else elementwise.cast(part, inner) for part in parts
    )
    assert centre is not None
    assert spread is not None
    centred = elementwise.subtract(x, centre)
    return elementwise.cast(_scaled(centred, spread, scale, offset, eps), dtype)


def _scaled(
    centred: Node, variance: Node, scale: Node | None, offset: Node | None, eps: float
) -> Node:
    """Return `centred / sqrt(variance + eps) * scale + offset`."""
    factor = _affine(elementwise.rsqrt(elementwise.add(variance, eps)), scale, None)
    return _affine(elementwise.multiply(centred, factor), None, offset)


def batch_norm_training(
    x: Node, weight: Node | None = None, bias: Node | None = None, eps: float = 1e-5
) -> tuple[Node, Node, Node]:
    """Return `x` normalised by its own mean and variance, channel by channel.

    Args:
        x: shape (n, channels, ...).
        weight, bias: shape (channels,).
        eps: keeps the divisor from 0.

    Returns:
        The result of `batch_norm`; the mean; and the variance, divided by the number of
        elements of a channel. Mean and variance have shape (channels,) and are at least
        float32.

    Raises:
        ShapeError: the shapes do not fit, or a channel has no elements.

    Gradient: through mean and variance too.
    """
    op = "batch_norm_training"
    scale, offset = _per_channel(op, x, weight, bias)
    axes = (0, *range(2, x.ndim))
    if not size_of(x.shape[axis] for axis in axes):
        raise ShapeError(f"[{op}] a channel has no elements", got=str(x.shape))
    dtype = float_dtype(x, weight, bias)
    x = elementwise.cast(x, inner_dtype(dtype))
    mean = reduce.mean(x, axes, keepdims=True)
    centred = elementwise.subtract(x, mean)
    variance = reduce.mean(elementwise.square(centred), axes, keepdims=True)
    result = elementwise.cast(_scaled(centred, variance, scale, offset, eps), dtype)
    channels = (x.shape[1],)
    return (
        result,
        movement.reshape(mean, channels),
        movement.reshape(variance, channels),
    )


def group_norm(
    x: Node,
    num_groups: int,
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
) -> Node:
    """Return `x` normalised within groups of channels of each example.

    Args:
        x: shape (n, channels, ...).
        num_groups: divides the number of channels. As many as channels: instance
            normalisation.
        weight, bias: shape (channels,).
        eps: keeps the divisor from 0.

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: the channels cannot be divided into so many groups.

    Source: Y. Wu, K. He, "Group normalization", 2018.
    """
    op = "group_norm"
    scale, offset = _per_channel(op, x, weight, bias)
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ArgumentError(
            f"[{op}] the channels cannot be divided into so many groups",
            got=f"num_groups={num_groups} for {channels} channels",
        )
    dtype = float_dtype(x, weight, bias)
    x = elementwise.cast(x, inner_dtype(dtype))
    grouped = movement.reshape(
        x, (x.shape[0], num_groups, channels // num_groups, *x.shape[2:])
    )
    result = _centred(grouped, tuple(range(2, grouped.ndim)), eps)
    result = movement.reshape(result, x.shape)
    return elementwise.cast(_affine(result, scale, offset), dtype)


# Dropout, embedding


def _kept(op: str, x: Node, p: float, key: RandomKey, shared: Axes) -> Node | None:
    """Return where `x` is kept; None if p leaves out everything or nothing."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"[{op}] a probability lies in 0..1", got=f"p={p}")
    alike = normalize_axes(op, shared, x.ndim)
    shape = tuple(1 if axis in alike else n for axis, n in enumerate(x.shape))
    limit = round(p * 2**32)
    if limit in (0, 2**32):
        return None
    return elementwise.greater_equal(random.bits(key, shape=shape), limit)


def dropout(x: Node, p: float = 0.5, *, key: RandomKey, shared: Axes = ()) -> Node:
    """Return `x` with elements set to 0 with probability `p`, the others over `1 - p`.

    Formula: x / (1 - p) where w >= round(p * 2 ** 32), with a random word w of 32 bits
    for each element.

    Args:
        key: uint32, shape (4,). Default: the next one of `generator`, by default the
            generator that `manual_seed` sets.
        p: in 0..1. At 1 the result is 0.
        shared: axes along which elements are left out together, by one word: those of
            space leave out whole channels.

    Raises:
        ArgumentError: `p` is out of range.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", 2014; for channels, J. Tompson et al., "Efficient object localization
    using convolutional networks", 2015.
    """
    x = as_float("dropout", x)
    keep = _kept("dropout", x, p, key, shared)
    if keep is None:
        return x if p < 0.5 else source.full_like(x, 0)
    scaled = _pointwise("dropout", x, lambda x: elementwise.multiply(x, 1 / (1 - p)))
    return elementwise.select(keep, scaled, 0.0)


def alpha_dropout(
    x: Node, p: float = 0.5, *, key: RandomKey, shared: Axes = ()
) -> Node:
    """Return `x` with elements set to the lower limit of `selu` with probability `p`.

    What has mean 0 and variance 1 keeps them, in expectation.

    Formula: a * (x where kept, else l) + b, with l = -1.7580993408473766,
    a = 1 / sqrt((1 - p) * (1 + p * l ** 2)) and b = -a * p * l.

    Args:
        key: uint32, shape (4,). Default: the next one of `generator`, by default the
            generator that `manual_seed` sets.
        p: in 0..1. At 1 the result is 0, as in PyTorch.
        shared: axes along which elements are left out together, as in `dropout`.

    Raises:
        ArgumentError: `p` is out of range.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    x = as_float("alpha_dropout", x)
    keep = _kept("alpha_dropout", x, p, key, shared)
    if keep is None:
        return x if p < 0.5 else source.full_like(x, 0)
    low = -_SELU_ALPHA * _SELU_SCALE
    a = 1 / math.sqrt((1 - p) * (1 + p * low**2))

    def scaled(x: Node) -> Node:
        kept = elementwise.select(keep, x, low)
        return elementwise.subtract(elementwise.multiply(kept, a), a * p * low)

    return _pointwise("alpha_dropout", x, scaled)


def embedding(ids: Node, weight: Node) -> Node:
    """Return the rows of `weight` numbered `ids`.

    Args:
        ids: integers in -n..n-1, of any shape.
        weight: shape (n, features).

    Returns:
        The shape of `ids`, then features.

    Raises:
        DTypeError: `ids` are not integers.
        ShapeError: `weight` has not two axes.
        IndexingError: a number is out of range.

    Gradient: to the rows that were taken.
    """
    if not ids.dtype.is_integer:
        raise DTypeError(
            "[embedding] rows are numbered with integers", got=ids.dtype.name
        )
    if weight.ndim != 2:
        raise ShapeError(
            "[embedding] the weight must have two axes", got=str(weight.shape),
            expected="(n, features)",
        )  # fmt: skip
    return index.take(weight, ids, axis=0)


PRIMITIVES = ()

OPS = (
    relu, relu6, leaky_relu, prelu, rrelu, threshold, hardtanh, hardsigmoid, hardswish,
    hardshrink, softshrink, tanhshrink, sparse_plus, sparse_sigmoid, elu, celu, selu,
    gelu, silu, mish, softplus, squareplus, softsign, log_sigmoid, glu, softmax,
    softmin, log_softmax, sparsemax, gumbel_softmax, normalize, cosine_similarity,
    layer_norm, rms_norm, batch_norm, batch_norm_training, group_norm, dropout,
    alpha_dropout, embedding,
)  # fmt: skip
