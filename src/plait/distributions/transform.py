"""Functions with an inverse, and how much they stretch: for new distributions from old.

Read first: `Transform`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plait
from plait import Tensor

from ..arguments import Checked
from ..errors import ArgumentError, ShapeError
from . import constraints
from .constraints import Constraint
from .distribution import total

if TYPE_CHECKING:
    from .distribution import Distribution


class Transform(Checked):
    """A function from one set of values to another, with an inverse.

    Attributes:
        domain: the set of its arguments.
        codomain: the set of its results.
        bijective: whether `inv(t(x)) == x` and `t(inv(y)) == y`.
        sign: 1 if it rises everywhere, -1 if it falls; only of functions of numbers.
    """

    domain: Constraint
    codomain: Constraint
    bijective = False

    @property
    def sign(self) -> int:
        raise ArgumentError(
            f"[{type(self).__name__}] neither rises nor falls everywhere"
        )

    @property
    def event_dim(self) -> int:
        """The more of the numbers of axes of an argument and of a result."""
        return max(self.domain.event_dim, self.codomain.event_dim)

    @property
    def inv(self) -> Transform:
        """The inverse, with `inv.inv` this transform."""
        return _Inverse(self)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the result for `x`."""
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        """Return an argument whose result is `y`."""
        raise ArgumentError(f"[{type(self).__name__}] there is no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log(abs(det(dy / dx))), one number for each event.

        Args:
            x: the argument.
            y: the result for it.
        """
        raise ArgumentError(f"[{type(self).__name__}] there is no Jacobian")

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the result for an argument of `shape`."""
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the argument for a result of `shape`."""
        return tuple(shape)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """The inverse of another transform."""

    def __init__(self, forward: Transform) -> None:
        self._forward = forward
        self.domain, self.codomain = forward.codomain, forward.domain
        self.bijective = forward.bijective

    @property
    def sign(self) -> int:
        return self._forward.sign

    @property
    def inv(self) -> Transform:
        return self._forward

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward._inverse(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._forward.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._forward.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._forward.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self._forward!r}.inv"


class _Rising(Transform):
    """A function of numbers that rises everywhere."""

    domain: Constraint = constraints.real
    codomain: Constraint = constraints.real
    bijective = True

    @property
    def sign(self) -> int:
        return 1


class ComposeTransform(Transform):
    """Transforms one after another.

    Args:
        parts: the transforms, the first to be applied first. None leave values as they
            are.
    """

    def __init__(self, parts: Sequence[Transform]) -> None:
        self.parts = list(parts)
        self.bijective = all(part.bijective for part in self.parts)
        # How many axes an event needs at the start, and what it has at the end, if
        # each part finds at least as many as it takes.
        rank = 0
        for part in reversed(self.parts):
            rank += part.domain.event_dim - part.codomain.event_dim
            rank = max(rank, part.domain.event_dim)
        self.domain = _widened(
            self.parts[0].domain if self.parts else constraints.real, rank
        )
        for part in self.parts:
            rank += part.codomain.event_dim - part.domain.event_dim
        self.codomain = _widened(
            self.parts[-1].codomain if self.parts else constraints.real, rank
        )

    @property
    def sign(self) -> int:
        return math.prod(part.sign for part in self.parts)

    def __call__(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inverse(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        rank = self.domain.event_dim
        result = plait.zeros(x.shape[: x.ndim - rank], dtype=x.dtype)
        for i, part in enumerate(self.parts):
            after = y if i == len(self.parts) - 1 else part(x)
            term = part.log_abs_det_jacobian(x, after)
            result = result + total(term, rank - part.domain.event_dim)
            rank += part.codomain.event_dim - part.domain.event_dim
            x = after
        return result

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


def _widened(constraint: Constraint, rank: int) -> Constraint:
    more = rank - constraint.event_dim
    return constraints.independent(constraint, more) if more > 0 else constraint


class IndependentTransform(Transform):
    """A transform whose results belong together as one event.

    Args:
        base_transform: acts on the parts of an event.
        reinterpreted_batch_ndims: how many more axes an event has than a part.
    """

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int
    ) -> None:
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.bijective = base_transform.bijective
        more = reinterpreted_batch_ndims
        self.domain = constraints.independent(base_transform.domain, more)
        self.codomain = constraints.independent(base_transform.codomain, more)

    @property
    def sign(self) -> int:
        return self.base_transform.sign

    def __call__(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inverse(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        parts = self.base_transform.log_abs_det_jacobian(x, y)
        return total(parts, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        more = self.reinterpreted_batch_ndims
        return f"IndependentTransform({self.base_transform!r}, {more})"


class ReshapeTransform(Transform):
    """Events in another shape.

    Args:
        in_shape: of the argument's events.
        out_shape: of the result's, of as many elements.
    """

    bijective = True

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> None:
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(in_shape) != math.prod(out_shape):
            raise ShapeError(
                "[ReshapeTransform] the shapes differ in their number of elements",
                got=f"{self.in_shape} and {self.out_shape}",
            )
        self.domain = _widened(constraints.real, len(self.in_shape))
        self.codomain = _widened(constraints.real, len(self.out_shape))

    def __call__(self, x: Tensor) -> Tensor:
        return plait.reshape(x, self.forward_shape(x.shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.reshape(y, self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return plait.zeros(x.shape[: x.ndim - len(self.in_shape)], dtype=x.dtype)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._swapped(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._swapped(shape, self.out_shape, self.in_shape)

    def _swapped(
        self, shape: Sequence[int], old: tuple[int, ...], new: tuple[int, ...]
    ) -> tuple[int, ...]:
        lead = len(shape) - len(old)
        if lead < 0 or tuple(shape[lead:]) != old:
            raise ShapeError(
                "[ReshapeTransform] the events have another shape",
                got=str(tuple(shape)),
                expected=f"(..., {', '.join(map(str, old))})",
            )
        return (*shape[:lead], *new)


class ExpTransform(_Rising):
    """y = exp(x)."""

    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return plait.exp(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """y = x ** exponent, of positive numbers.

    Args:
        exponent: a number or tensor, not 0.
    """

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: float | Tensor) -> None:
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        return _sign(self.exponent)

    def __call__(self, x: Tensor) -> Tensor:
        return plait.pow(x, self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.pow(y, 1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return plait.log(plait.abs(self.exponent * y / x))


def _sign(x: float | Tensor) -> Any:
    return plait.sign(x) if isinstance(x, Tensor) else (x > 0) - (x < 0)


class SigmoidTransform(_Rising):
    """y = 1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def __call__(self, x: Tensor) -> Tensor:
        return _kept_inside(plait.sigmoid(x))

    def _inverse(self, y: Tensor) -> Tensor:
        y = _kept_inside(y)
        return plait.log(y) - plait.log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return plait.log_sigmoid(x) + plait.log_sigmoid(-x)


def _kept_inside(y: Tensor) -> Tensor:
    """Return numbers of 0..1 kept from its ends, where inverses are infinite."""
    info = plait.finfo(y.dtype)
    return plait.clip(y, float(info.smallest_normal), 1 - float(info.eps))


class TanhTransform(_Rising):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        return plait.tanh(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # log(1 - tanh(x) ** 2), where that is all but 0 too.
        return 2 * (math.log(2) - x + plait.log_sigmoid(2 * x))


class SoftplusTransform(_Rising):
    """y = log(1 + exp(x))."""

    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return -plait.log_sigmoid(-x)

    def _inverse(self, y: Tensor) -> Tensor:
        return plait.log(-plait.expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return plait.log_sigmoid(x)


class AbsTransform(Transform):
    """y = abs(x). Its inverse gives the positive one of the two arguments."""

    domain = constraints.real
    codomain = constraints.positive

    def __call__(self, x: Tensor) -> Tensor:
        return plait.abs(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = loc + scale * x.

    Args:
        loc: a number or tensor.
        scale: a number or tensor, not 0.
        event_dim: how many axes an event has.
    """

    bijective = True

    def __init__(
        self, loc: float | Tensor, scale: float | Tensor, event_dim: int = 0
    ) -> None:
        self.loc, self.scale = loc, scale
        self.domain = self.codomain = _widened(constraints.real, event_dim)

    @property
    def sign(self) -> Any:
        return _sign(self.scale)

    def __call__(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        stretch = plait.log(plait.abs(self.scale + plait.zeros_like(x)))
        return total(stretch, self.domain.event_dim)


class CumulativeDistributionTransform(Transform):
    """y = the probability that a distribution gives a number up to x.

    Args:
        distribution: of numbers, with `cdf` and `icdf`.
    """

    bijective = True
    codomain = constraints.unit_interval

    def __init__(self, distribution: Distribution) -> None:
        self.distribution = distribution
        self.domain = distribution.support

    @property
    def sign(self) -> int:
        return 1

    def __call__(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)


identity_transform = ComposeTransform([])
