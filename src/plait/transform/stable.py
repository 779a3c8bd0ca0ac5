"""Rules that trade an expression for one that overflows, cancels or rounds less.

Users write formulas as they stand in books: `log(1 + exp(x))` overflows at x = 89 in
float32 although its value is 89. Where a graph shows such a formula, a form takes its
place that is accurate wherever the formula is, and beyond. The values agree to rounding
wherever the formula had none of these troubles.

Source: Theano's documentation, "Optimizations" (the idea, and log1p, expm1, sigmoid and
softplus); P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the
log-sum-exp and softmax functions", IMA Journal of Numerical Analysis 41 (2021).

Read first: the table `STABLE` at the end.
"""

from __future__ import annotations

import math

from ..ir.graph import Node
from ..ir.rewrite import Rule, derive
from ..ops.elementwise import (
    ABS,
    ADD,
    DIVIDE,
    EQUAL,
    EXP,
    EXPM1,
    LESS,
    LOG,
    LOG1P,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    POWER,
    SELECT,
    SIGMOID,
    SQRT,
    SUBTRACT,
)  # fmt: skip
from ..ops.movement import EXPAND, RESHAPE
from ..ops.reduce import MAX, SUM
from ..ops.source import STOP_GRADIENT
from ..shapes import Shape, reduced_shape
from .patterns import (
    expanded,
    full,
    is_number,
    moved,
    never_positive,
    number,
    replay,
    reshaped,
    without_lead,
)  # fmt: skip


def _other(node: Node, *wanted: float) -> Node | None:
    """Return the operand of `node` beside one of the constants `wanted`."""
    x, y = node.operands
    if is_number(y, *wanted):
        return x
    return y if is_number(x, *wanted) else None


def _added_to_one(node: Node) -> Node | None:
    """Return x of `1 + x`, `x + 1` or `x - -1`, or -x of `1 - x`."""
    if node.primitive is ADD:
        return _other(node, 1)
    if node.primitive is SUBTRACT:
        x, y = node.operands
        if is_number(x, 1):
            return derive(node, NEGATIVE, y)
        if is_number(y, -1):
            return x
    return None


# Logarithms and exponentials


def log_of_one_plus(node: Node) -> Node | None:
    """`log(1 + x) -> log1p(x), log(1 - x) -> log1p(-x)`"""
    x = _added_to_one(node.operands[0])
    return None if x is None else derive(node, LOG1P, x)


def log_of_exp(node: Node) -> Node | None:
    """`log(exp(x)) -> x`"""
    (x,) = node.operands
    return x.operands[0] if x.primitive is EXP else None


def log1p_of_expm1(node: Node) -> Node | None:
    """`log1p(expm1(x)) -> x`"""
    (x,) = node.operands
    return x.operands[0] if x.primitive is EXPM1 else None


def exp_minus_one(node: Node) -> Node | None:
    """`exp(x) - 1 -> expm1(x), exp(x) + -1 -> expm1(x)`"""
    if node.primitive is ADD:
        x = _other(node, -1)
    else:
        x = node.operands[0] if is_number(node.operands[1], 1) else None
    if x is None or x.primitive is not EXP:
        return None
    return derive(node, EXPM1, x.operands[0])


def one_minus_exp(node: Node) -> Node | None:
    """`1 - exp(x) -> -expm1(x)`"""
    one, x = node.operands
    if not is_number(one, 1) or x.primitive is not EXP:
        return None
    return derive(node, NEGATIVE, derive(node, EXPM1, x.operands[0]))


def softplus(node: Node) -> Node | None:
    """`log1p(exp(x)) -> max(x, 0) + log1p(exp(-abs(x)))`"""
    (inner,) = node.operands
    if inner.primitive is not EXP:
        return None
    (x,) = inner.operands
    if never_positive(x):
        return None
    return derive(node, ADD, derive(node, MAXIMUM, x, full(x, 0)), _tail(node, x))


def _tail(node: Node, x: Node) -> Node:
    gap = derive(node, NEGATIVE, derive(node, ABS, x))
    return derive(node, LOG1P, derive(node, EXP, gap))


def log_of_sigmoid(node: Node) -> Node | None:
    """`log(sigmoid(x)) -> min(x, 0) - log1p(exp(-abs(x)))`"""
    (inner,) = node.operands
    if inner.primitive is not SIGMOID:
        return None
    (x,) = inner.operands
    return derive(node, SUBTRACT, derive(node, MINIMUM, x, full(x, 0)), _tail(node, x))


def log1p_of_minus_sigmoid(node: Node) -> Node | None:
    """`log1p(-sigmoid(x)) -> log(sigmoid(-x))`"""
    (inner,) = node.operands
    if inner.primitive is not NEGATIVE or inner.operands[0].primitive is not SIGMOID:
        return None
    return derive(node, LOG, _mirrored(node, inner.operands[0]))


def log_of_quotient(node: Node) -> Node | None:
    """`log(exp(x) / y) -> x - log(y)`"""
    (inner,) = node.operands
    if inner.primitive is not DIVIDE or inner.operands[0].primitive is not EXP:
        return None
    (x,), y = inner.operands[0].operands, inner.operands[1]
    return derive(node, SUBTRACT, x, derive(node, LOG, y))


def log_of_product(node: Node) -> Node | None:
    """`log(exp(x) * y) -> x + log(y)`"""
    (inner,) = node.operands
    if inner.primitive is not MULTIPLY:
        return None
    x, y = (
        inner.operands if inner.operands[0].primitive is EXP else inner.operands[::-1]
    )
    if x.primitive is not EXP:
        return None
    return derive(node, ADD, x.operands[0], derive(node, LOG, y))


# The logistic function


def _mirrored(node: Node, sigmoid: Node) -> Node:
    """Return `sigmoid(-x)` for `sigmoid(x)`."""
    return derive(node, SIGMOID, derive(node, NEGATIVE, sigmoid.operands[0]))


def one_minus_sigmoid(node: Node) -> Node | None:
    """`1 - sigmoid(x) -> sigmoid(-x)`"""
    one, x = node.operands
    if not is_number(one, 1) or x.primitive is not SIGMOID:
        return None
    return _mirrored(node, x)


def sigmoid_from_exp(node: Node) -> Node | None:
    """`y / (1 + exp(-x)) -> y * sigmoid(x), exp(x) / (1 + exp(x)) -> sigmoid(x)`"""
    y, below = node.operands
    inner = _other(below, 1) if below.primitive is ADD else None
    if inner is None or inner.primitive is not EXP:
        return None
    if inner is y:
        return derive(node, SIGMOID, inner.operands[0])
    if node.dtype.bits == 16 and not is_number(y, 1):
        return None  # the logistic function would be rounded among subnormal numbers
    return derive(node, MULTIPLY, y, _mirrored(node, inner))


# Sums of exponentials


def _top(node: Node, x: Node, axes: tuple[int, ...]) -> Node:
    """Return the maximum over `axes`, 0 where it is infinite, so that x - top <= 0.

    An infinite shift would give inf - inf. The shift cancels out of the derivative.
    """
    top = derive(node, MAX, x, axes=axes)
    finite = derive(node, LESS, derive(node, ABS, top), full(top, math.inf))
    return derive(node, STOP_GRADIENT, derive(node, SELECT, finite, top, full(top, 0)))


def _shifted_exp(node: Node, x: Node, top: Node, axes: tuple[int, ...]) -> Node:
    kept = reshaped(node, top, reduced_shape(x.shape, axes, True))
    return derive(node, EXP, derive(node, SUBTRACT, x, expanded(node, kept, x.shape)))


def _sum_of_exp(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """Return x and the axes if `node` is `sum(exp(x))` and its terms may overflow."""
    if node.primitive is not SUM or node.operands[0].primitive is not EXP:
        return None
    (x,) = node.operands[0].operands
    axes = node.attributes["axes"]
    if 0 in (x.shape[a] for a in axes) or never_positive(x):
        return None
    return x, axes


def logsumexp(node: Node) -> Node | None:
    """`log(sum(exp(x))) -> log(sum(exp(x - max(x)))) + max(x)`"""
    total, steps = moved(node.operands[0])
    found = _sum_of_exp(total)
    if found is None:
        return None
    x, axes = found
    top = _top(node, x, axes)
    shifted = derive(node, SUM, _shifted_exp(node, x, top, axes), axes=axes)
    result = derive(node, ADD, derive(node, LOG, shifted), top)
    return replay(node, result, steps)


def softmax(node: Node) -> Node | None:
    """`exp(x) / sum(exp(x)) -> exp(x - max(x)) / sum(exp(x - max(x)))`"""
    above, below = node.operands
    total, steps = moved(below)
    found = _sum_of_exp(total)
    if found is None or total.operands[0] is not above:
        return None
    x, axes = found
    if not _spread_back(total, steps, reduced_shape(x.shape, axes, True)):
        return None
    exps = _shifted_exp(node, x, _top(node, x, axes), axes)
    shifted = derive(node, SUM, exps, axes=axes)
    return derive(node, DIVIDE, exps, replay(node, shifted, steps))


def _spread_back(total: Node, steps: list[Node], kept: Shape) -> bool:
    """Return whether `steps` expand `total` along the axes that it was summed over."""
    if not steps or steps[0].primitive is not EXPAND or len(steps) > 2:
        return False
    if len(steps) == 2 and steps[1].primitive is not RESHAPE:
        return False
    return without_lead(steps[0].operands[0].shape) == without_lead(kept)


def logaddexp(node: Node) -> Node | None:
    """`log(exp(x) + exp(y)) -> max(x, y) + log1p(exp(-abs(x - y)))`"""
    (inner,) = node.operands
    if inner.primitive is not ADD or any(
        z.primitive is not EXP for z in inner.operands
    ):
        return None
    x, y = (z.operands[0] for z in inner.operands)
    if never_positive(x) and never_positive(y):
        return None
    top = derive(node, MAXIMUM, x, y)
    apart = derive(node, ADD, top, _tail(node, derive(node, SUBTRACT, x, y)))
    # The difference of equal infinities is nan.
    equal = derive(node, ADD, top, full(top, math.log(2)))
    return derive(node, SELECT, derive(node, EQUAL, x, y), equal, apart)


# Powers and roots


def sqrt_of_square(node: Node) -> Node | None:
    """`sqrt(x * x) -> abs(x)`"""
    (inner,) = node.operands
    if inner.primitive is not MULTIPLY or inner.operands[0] is not inner.operands[1]:
        return None
    return derive(node, ABS, inner.operands[0])


def small_power(node: Node) -> Node | None:
    """`x ** 2 -> x * x, x ** 3 -> x * x * x, x ** -1 -> 1 / x`"""
    x, y = node.operands
    exponent = number(y)
    if exponent in (2, 3):
        square = derive(node, MULTIPLY, x, x)
        return square if exponent == 2 else derive(node, MULTIPLY, square, x)
    if exponent == -1 and node.dtype.is_float:
        return derive(node, DIVIDE, full(node, 1), x)
    return None


STABLE = (
    Rule(log_of_one_plus, (LOG,), exact=False),
    Rule(log_of_exp, (LOG,), exact=False),
    Rule(log_of_sigmoid, (LOG,), exact=False),
    Rule(log_of_quotient, (LOG,), exact=False),
    Rule(log_of_product, (LOG,), exact=False),
    Rule(logaddexp, (LOG,), exact=False),
    Rule(logsumexp, (LOG,), exact=False),
    Rule(log1p_of_expm1, (LOG1P,), exact=False),
    Rule(log1p_of_minus_sigmoid, (LOG1P,), exact=False),
    Rule(softplus, (LOG1P,), exact=False),
    Rule(exp_minus_one, (SUBTRACT, ADD), exact=False),
    Rule(one_minus_exp, (SUBTRACT,), exact=False),
    Rule(one_minus_sigmoid, (SUBTRACT,), exact=False),
    Rule(sigmoid_from_exp, (DIVIDE,), exact=False),
    Rule(softmax, (DIVIDE,), exact=False),
    Rule(sqrt_of_square, (SQRT,), exact=False),
    Rule(small_power, (POWER,), exact=False),
)
