"""The error function, the gamma function, and their relatives.

NumPy has none of them, so the references here are rational approximations. They are
worked out in float64, in blocks that fit the cache, and rounded to the operand's dtype
at the end; the error function, which `gelu` needs at every step of training, has a
shorter one in float32.

Read first: `by_block`, `ERF`, `erf`, and `LGAMMA`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from . import elementwise
from .family import EDGES, check_kind, choose, quiet, unary, uniform
from .operand import Operand, as_float, together

# A vector of float64 or float32: what NumPy's operators return has no closer type.
Array = Any

_BLOCK = 8192
_SQRT_PI = math.sqrt(math.pi)
_MAX_ORDER = 100


def by_block(
    double: Callable[..., Array], single: Callable[..., Array] | None = None
) -> Callable[..., Array]:
    """Return the reference, for any floating-point type, of a function of vectors.

    Args:
        double: takes and returns float64.
        single: takes and returns float32, for the types of at most 32 bits. Default:
            these go through float64 too.
    """

    def reference(x: Array, **attributes: int) -> Array:
        function, dtype = double, "float64"
        if single is not None and x.dtype.itemsize <= 4:
            function, dtype = single, "float32"
        flat = x.reshape(-1)
        result = np.empty(flat.shape, x.dtype)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK].astype(dtype)
            result[start : start + _BLOCK] = function(block, **attributes)
        return result.reshape(x.shape)

    return reference


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Return the polynomial by Horner's rule; the highest power's coefficient first."""
    first, second, *rest = coefficients
    result = x * first
    result += second
    for coefficient in rest:
        result *= x
        result += coefficient
    return result


def _ratio(x: Array, numerator: Sequence[float], denominator: Sequence[float]) -> Array:
    result = _polynomial(x, numerator)
    result /= _polynomial(x, denominator)
    return result


def _by_piece(
    x: Array,
    *pieces: tuple[Array, Callable[[Array], Array] | float],
) -> Array:
    """Return each function, or number, where its mask is true; nan outside of all."""
    result = np.full(x.shape, np.nan)
    for mask, function in pieces:
        if isinstance(function, float):
            result[mask] = function
        elif mask.all():
            return function(x)
        elif mask.any():
            result[mask] = function(x[mask])
    return result


def _times_gaussian(ct: Node, constant: float, x: Node) -> Node:
    """Return `ct * constant * exp(-x ** 2)`."""
    density = elementwise.exp(elementwise.negative(elementwise.square(x)))
    return elementwise.multiply(ct, elementwise.multiply(density, constant))


def _float_unary(primitive: Primitive, x: Operand) -> Node:
    (node,) = together(primitive.name, x)
    return apply(primitive, as_float(primitive.name, node))


# The error function
#
# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of
# Computation 23 (1969): erf on |x| <= 0.46875, erfc on 0.46875..4 and from 4 on.

_ERF_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
     3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)  # fmt: skip
ERFC_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
     6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
     1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
     3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
ERFC_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
     1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
     6.05183413124413191e-2, 2.33520497626869185e-3),
)  # fmt: skip

# For float32, interpolated at Chebyshev nodes: erf(x) / x in x ** 2 for |x| <= 0.5, to
# 2e-9; and exp(y ** 2) * erfc(y) for y in 0..10.2, to 4e-8.
_ERF_NEAR_FLOAT32 = (
    4.719082567e-3, -2.675773274e-2, 1.128283143e-1, -3.761260901e-1, 1.128379166,
)  # fmt: skip
_ERFC_FLOAT32 = (
    (6.40208861e-3, 6.017710965e-2, 2.882195759e-1, 8.473683479e-1, 1.590786489,
     1.810563307, 1.000000035),
    (1.134740659e-2, 1.066611514e-1, 5.165295387e-1, 1.555253279, 3.069327898,
     3.90701676, 2.938943927, 1.0),
)  # fmt: skip


def _erf_near(x: Array) -> Array:
    return x * _ratio(x * x, *_ERF_NEAR)


def _gaussian(y: Array) -> Array:
    """Return exp(-y * y) for y >= 0, with an exponent in two parts to lose nothing."""
    coarse = np.trunc(y * 16)
    coarse /= 16
    result = np.exp(-coarse * coarse)
    result *= np.exp((coarse - y) * (coarse + y))
    return result


def _erfc_tail(y: Array) -> Array:
    """Return erfc for y > 0.46875."""
    y = np.minimum(y, 30.0)  # from there on it is 0

    def far(y: Array) -> Array:
        z = 1 / (y * y)
        return (1 / _SQRT_PI - z * _ratio(z, *ERFC_FAR)) / y

    close = y <= 4
    return _gaussian(y) * _by_piece(
        y, (close, lambda y: _ratio(y, *ERFC_MIDDLE)), (~close, far)
    )


def _erf(x: Array) -> Array:
    y = np.abs(x)
    return _by_piece(
        x,
        (y <= 0.46875, _erf_near),
        (y > 0.46875, lambda x: np.copysign(1 - _erfc_tail(np.abs(x)), x)),
    )


def _erfc(x: Array) -> Array:
    return _by_piece(
        x,
        (np.abs(x) <= 0.46875, lambda x: 1 - _erf_near(x)),
        (x > 0.46875, _erfc_tail),
        (x < -0.46875, lambda x: 2 - _erfc_tail(-x)),
    )


def _erfc_tail_float32(x: Array) -> Array:
    """Return erfc of the absolute value."""
    y = np.minimum(np.abs(x), np.float32(10.2))  # from there on it is 0
    return _gaussian(y) * _ratio(y, *_ERFC_FLOAT32)


def _erf_float32(x: Array) -> Array:
    far = np.copysign(1 - _erfc_tail_float32(x), x)
    near = x * _polynomial(x * x, _ERF_NEAR_FLOAT32)
    return choose(np.abs(x) <= 0.5, near, far)


def _erfc_float32(x: Array) -> Array:
    tail = _erfc_tail_float32(x)
    return choose(x < 0, 2 - tail, tail)


ERF = unary(
    "erf", by_block(_erf, _erf_float32),
    lambda ct, node, x: (_times_gaussian(ct, 2 / _SQRT_PI, x),),
    source="Cody 1969",
)  # fmt: skip
ERFC = unary(
    "erfc", by_block(_erfc, _erfc_float32),
    lambda ct, node, x: (_times_gaussian(ct, -2 / _SQRT_PI, x),),
    source="Cody 1969",
)  # fmt: skip


def erf(x: Operand) -> Node:
    """Return the error function.

    Formula: 2 / sqrt(pi) times the integral of exp(-t ** 2) over t from 0 to x.

    Gradient: `ct * 2 / sqrt(pi) * exp(-x ** 2)`.

    Source: W. J. Cody, Mathematics of Computation 23, 1969.
    """
    return _float_unary(ERF, x)


def erfc(x: Operand) -> Node:
    """Return `1 - erf(x)`, with full relative precision where that is small.

    Gradient: `-ct * 2 / sqrt(pi) * exp(-x ** 2)`.

    Source: W. J. Cody, Mathematics of Computation 23, 1969.
    """
    return _float_unary(ERFC, x)


# The inverse of the normal distribution function
#
# M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
# Applied Statistics 37 (1988), routine PPND16. With q = p - 0.5: q times a ratio in
# 0.180625 - q ** 2 for |q| <= 0.425; else a ratio in sqrt(-log(min(p, 1 - p))), less
# 1.6 up to 5, less 5 beyond.

QUANTILE_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
     4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
     1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
     2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
     4.2313330701600911252e1, 1.0),
)  # fmt: skip
QUANTILE_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
     4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
     2.05319162663775882187e0, 1.0),
)  # fmt: skip
QUANTILE_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
     5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def _erfinv_tail(x: Array) -> Array:
    r = np.sqrt(-np.log((1 - np.abs(x)) * 0.5))
    near = r <= 5
    quantile = _by_piece(
        r,
        (near, lambda r: _ratio(r - 1.6, *QUANTILE_TAIL)),
        (~near, lambda r: _ratio(r - 5, *QUANTILE_FAR_TAIL)),
    )
    return np.copysign(quantile * math.sqrt(0.5), x)


def _erfinv(x: Array) -> Array:
    y = np.abs(x)
    return _by_piece(
        x,
        (
            y <= 0.85,
            lambda x: (
                x
                * (_ratio(0.180625 - 0.25 * x * x, *QUANTILE_CENTRE) * math.sqrt(0.125))
            ),
        ),
        ((y > 0.85) & (y < 1), _erfinv_tail),
        (x == 1, math.inf),
        (x == -1, -math.inf),
    )


def _erfinv_cotangent(ct: Node, node: Node) -> Node:
    slope = elementwise.multiply(
        elementwise.exp(elementwise.square(node)), _SQRT_PI / 2
    )
    return elementwise.multiply(ct, slope)


ERFINV = unary(
    "erfinv", by_block(_erfinv),
    lambda ct, node, x: (_erfinv_cotangent(ct, node),),
    low=-0.9, high=0.9, source="Wichura 1988, AS 241",
)  # fmt: skip


def erfinv(x: Operand) -> Node:
    """Return the number whose error function is `x`; nan outside -1..1.

    Gradient: `ct * sqrt(pi) / 2 * exp(erfinv(x) ** 2)`.

    Source: M. J. Wichura, Applied Statistics 37, 1988, algorithm AS 241.
    """
    return _float_unary(ERFINV, x)


# The gamma function
#
# The two ratios below interpolate at Chebyshev nodes, computed with 60 digits. They
# hold the zeros of the functions as factors, so that these keep their relative
# precision. Elsewhere: recurrences, reflection, and Stirling's series (NIST DLMF 5.5
# and 5.11).

# lgamma(x) / ((x - 1) * (x - 2)) in x - 0.75, for x in 0.75..2.5, to 3e-17.
LGAMMA_RATIO = (
    (1.311209601625346789e-6, 6.8059925163821114538e-4, 2.4138966319639325656e-2,
     2.7100912945946832621e-1, 1.3331047517495184072, 3.2758842923830938582,
     4.1812487655018509793, 2.6409615141709098461, 6.5049904458014517051e-1),
    (1.712525360921221086e-4, 9.7867974342607683202e-3, 1.619634443343959615e-1,
     1.1500209111963825016, 4.1185749679579167133, 7.9867877962025703565,
     8.4682246282348067002, 4.6015761905306281689, 1.0),
)  # fmt: skip
# digamma(x) / (x - root) in x - 1, for x in 1..2.5, to 1e-17.
DIGAMMA_RATIO = (
    (8.7334725026219173922e-7, 5.0702988809343326945e-4, 1.8342400959839153766e-2,
     2.0584084112744173533e-1, 9.4630580256811056286e-1, 1.8488025338240080779,
     1.250380137503405346),
    (1.0377232969374495711e-4, 5.5359223013224560839e-3, 8.5744489416947357023e-2,
     5.5111937487658344536e-1, 1.6329462354635019243, 2.1621391873864675709, 1.0),
)  # fmt: skip
DIGAMMA_ROOT = 1.4616321449683622  # and what that leaves of it:
DIGAMMA_ROOT_REST = 9.5499954299656977152e-17

# Bernoulli's numbers B_2, B_4, ..., B_24.
BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
    43867 / 798, -174611 / 330, 854513 / 138, -236364091 / 2730,
)  # fmt: skip
STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI[:8], 1))[
    ::-1
]
STIRLING_DERIVATIVE = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI[:9], 1))[::-1]


def _distance_to_integer(x: Array) -> Array:
    return x - np.rint(x)


def _lgamma_near(x: Array) -> Array:
    # Adding 0 makes 0.0 of the -0.0 at 1 and 2, as C has it.
    return (x - 1) * (x - 2) * _ratio(x - 0.75, *LGAMMA_RATIO) + 0.0


def _lgamma_middle(x: Array) -> Array:
    """Return it for x in 2.5..12, stepping down to 1.5..2.5."""
    product = np.ones_like(x)
    for _ in range(10):
        high = x > 2.5
        x = np.where(high, x - 1, x)
        product = np.where(high, product * x, product)
    return _lgamma_near(x) + np.log(product)


def _lgamma_far(x: Array) -> Array:
    series = _polynomial(1 / (x * x), STIRLING) / x
    return (x - 0.5) * np.log(x) - x + (0.5 * math.log(2 * math.pi) + series)


def _lgamma_positive(x: Array) -> Array:
    return _by_piece(
        x,
        ((x >= 0.75) & (x <= 2.5), _lgamma_near),
        (x < 0.75, lambda x: _lgamma_near(x + 1) - np.log(x)),
        ((x > 2.5) & (x < 12), _lgamma_middle),
        (x >= 12, _lgamma_far),
        (x == np.inf, math.inf),
    )


def _lgamma_negative(x: Array) -> Array:
    sine = np.abs(np.sin(math.pi * _distance_to_integer(x)))
    return math.log(math.pi) - np.log(sine) - np.log(-x) - _lgamma_positive(-x)


def _lgamma(x: Array) -> Array:
    pole = (x == np.rint(x)) & (x <= 0)  # -inf too
    return _by_piece(
        x,
        (x > 0, _lgamma_positive),
        ((x < 0) & ~pole, _lgamma_negative),
        (pole, math.inf),
    )


def _digamma_near(x: Array) -> Array:
    distance = (x - DIGAMMA_ROOT) - DIGAMMA_ROOT_REST
    return distance * _ratio(x - 1, *DIGAMMA_RATIO)


def _digamma_middle(x: Array) -> Array:
    total = np.zeros_like(x)
    for _ in range(9):
        high = x > 2.5
        x = np.where(high, x - 1, x)
        total = np.where(high, total + 1 / x, total)
    return _digamma_near(x) + total


def _digamma_far(x: Array) -> Array:
    z = 1 / (x * x)
    return np.log(x) - 0.5 / x - z * _polynomial(z, STIRLING_DERIVATIVE)


def _digamma_positive(x: Array) -> Array:
    return _by_piece(
        x,
        ((x >= 1) & (x <= 2.5), _digamma_near),
        (x < 1, lambda x: _digamma_near(x + 1) - 1 / x),
        ((x > 2.5) & (x < 10), _digamma_middle),
        (x >= 10, _digamma_far),
    )


def _digamma_negative(x: Array) -> Array:
    cotangent = 1 / np.tan(math.pi * _distance_to_integer(x))
    return _digamma_positive(1 - x) - math.pi * cotangent


def _digamma(x: Array) -> Array:
    return _by_piece(
        x,
        (x > 0, _digamma_positive),
        ((x < 0) & (x != np.rint(x)), _digamma_negative),
        (x == 0, lambda x: -1 / x),
    )


@functools.cache
def cotangent_polynomial(order: int) -> tuple[float, ...]:
    """Return the coefficients, highest first, of Q with d^n cot(t) / dt^n = Q(cot(t)).

    Formula: Q_0(c) = c, and Q_{n+1}(c) = -(1 + c ** 2) * Q_n'(c).
    """
    lowest_first = [0, 1]
    for _ in range(order):
        derivative = [k * a for k, a in enumerate(lowest_first)][1:]
        lowest_first = [0] * (len(derivative) + 2)
        for k, a in enumerate(derivative):
            lowest_first[k] -= a
            lowest_first[k + 2] -= a
    return tuple(float(a) for a in reversed(lowest_first))


def _hurwitz_zeta(s: int, x: Array) -> Array:
    """Return the sum of (x + k) ** -s over k = 0, 1, ..., for x > 0 and s > 1.

    The first terms one by one, the others by Euler and Maclaurin (NIST DLMF 25.11.28).
    """
    start = 9 + s  # from here on the series below is precise
    total = np.zeros_like(x)
    for _ in range(start):
        low = x < start
        if not low.any():
            break
        total = np.where(low, total + _inverse_power(x, s), total)
        x = np.where(low, x + 1, x)
    inverse = _inverse_power(x, s)
    series = 0.5 + x / (s - 1)
    factor = s / x
    for k, b in enumerate(BERNOULLI, 1):
        series += b / math.factorial(2 * k) * factor
        factor = factor * (s + 2 * k - 1) * (s + 2 * k) / (x * x)
    return total + inverse * series


def _inverse_power(x: Array, n: int) -> Array:
    result, square = np.ones_like(x), 1 / x
    while n:
        if n & 1:
            result = result * square
        square = square * square
        n >>= 1
    return result


def _polygamma(x: Array, *, order: int) -> Array:
    sign = 1.0 if order % 2 else -1.0
    scale = sign * math.factorial(order)

    def positive(x: Array) -> Array:
        return scale * _hurwitz_zeta(order + 1, x)

    def negative(x: Array) -> Array:
        c = 1 / np.tan(math.pi * _distance_to_integer(x))
        reflected = _polynomial(c, cotangent_polynomial(order))
        return -sign * positive(1 - x) - math.pi ** (order + 1) * reflected

    whole = x == np.rint(x)
    return _by_piece(
        x,
        ((x > 0) & (x < np.inf), positive),
        ((x < 0) & ~whole, negative),
        (whole & (x <= 0) & (x > -np.inf), sign * math.inf),
        (x == np.inf, 0.0),
    )


LGAMMA = unary(
    "lgamma", by_block(_lgamma),
    lambda ct, node, x: (elementwise.multiply(ct, digamma(x)),),
    low=0.3, high=4.0, source="NIST DLMF 5.5, 5.11",
)  # fmt: skip
DIGAMMA = unary(
    "digamma", by_block(_digamma),
    lambda ct, node, x: (elementwise.multiply(ct, polygamma(1, x)),),
    low=0.3, high=4.0, source="NIST DLMF 5.5, 5.11",
)  # fmt: skip


def _polygamma_infer(x: TensorType, *, order: int) -> TensorType:
    check_kind("polygamma", x.dtype, "float")
    return x


POLYGAMMA = Primitive(
    name="polygamma",
    infer=_polygamma_infer,
    reference=quiet(by_block(_polygamma)),
    vjp=lambda ct, node, x: (
        elementwise.multiply(ct, polygamma(node.attributes["order"] + 1, x)),
    ),
    batch="elementwise",
    samples=lambda: [
        Sample((uniform((3, 4), 0.3, 4.0, 1),), {"order": 1}),
        Sample((uniform((3,), 0.5, 20.0, 2),), {"order": 2}),
        Sample((uniform((3,), -2.9, -2.1, 3),), {"order": 3}, smooth=False),
        Sample((EDGES,), {"order": 1}, smooth=False),
        Sample((EDGES.astype(np.float32),), {"order": 4}, smooth=False),
    ],
    failures=lambda: [
        Failure(
            (np.array([1]),), {"order": 1}, DTypeError,
            "[polygamma] the element type is not accepted. Got: int64. "
            "Expected: float. Fix: cast with x.to(...).",
        )
    ],
    source="NIST DLMF 5.15, 25.11",
)  # fmt: skip


def lgamma(x: Operand) -> Node:
    """Return the logarithm of the absolute value of the gamma function.

    Special cases: inf at 0, at the negative integers and at both infinities.

    Gradient: `ct * digamma(x)`.
    """
    return _float_unary(LGAMMA, x)


def digamma(x: Operand) -> Node:
    """Return the derivative of `lgamma`.

    Special cases: -inf at 0, inf at -0, nan at the negative integers and at -inf.

    Gradient: `ct * polygamma(1, x)`.
    """
    return _float_unary(DIGAMMA, x)


def polygamma(n: int, x: Node) -> Node:
    """Return the `n`-th derivative of `digamma`.

    Args:
        n: 0 is `digamma` itself; at most 100.
        x: floating-point, or it becomes so.

    Raises:
        ArgumentError: `n` is negative or above 100.

    Special cases: an infinity at 0 and at the negative integers.

    Gradient: `ct * polygamma(n + 1, x)`.
    """
    (node,) = together("polygamma", x)
    node = as_float("polygamma", node)
    if not 0 <= n <= _MAX_ORDER:
        raise ArgumentError(
            "[polygamma] the order is out of range",
            got=str(n),
            expected=f"0 to {_MAX_ORDER}",
        )
    return apply(DIGAMMA, node) if n == 0 else apply(POLYGAMMA, node, order=int(n))


def xlogy(x: Operand, y: Operand) -> Node:
    """Return `x * log(y)`, broadcast.

    Special cases: 0 where `x` is 0, unless `y` is nan.

    Gradient: `ct * log(y)`, 0 where `x` is 0 and the logarithm is not finite; and
    `ct * x / y`.
    """
    x, y = together("xlogy", x, y)
    x, y = as_float("xlogy", x), as_float("xlogy", y)
    outside = elementwise.logical_or(
        elementwise.less_equal(y, 0), elementwise.equal(y, math.inf)
    )
    nothing = elementwise.logical_and(elementwise.equal(x, 0), outside)
    logarithm = elementwise.log(elementwise.select(nothing, 1, y))
    return elementwise.multiply(x, logarithm)


PRIMITIVES = (ERF, ERFC, ERFINV, LGAMMA, DIGAMMA, POLYGAMMA)

OPS = (erf, erfc, erfinv, lgamma, digamma, polygamma, xlogy)
