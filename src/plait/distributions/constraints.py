"""Sets of values: those that a parameter may have, and those that are drawn.

A constraint tells which elements, or whole events of several elements, belong to it:
`positive.check(x)`.

Read first: `Constraint`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import plait
from plait import Tensor


class Constraint:
    """A set of values.

    Attributes:
        is_discrete: whether its values are isolated, such as integers.
        event_dim: how many of the last axes hold one value together.
        text: the set in words, for messages.
    """

    is_discrete = False
    event_dim = 0
    text = "any value"

    def check(self, value: Any) -> Any:
        """Return, for each value, whether it belongs to the set.

        Args:
            value: a tensor; also a Python number where `event_dim` is 0.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<constraint: {self.text}>"


class _Dependent(Constraint):
    """A set that is known only once there is a distribution."""

    text = "depends on the parameters"

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete = is_discrete
        self.event_dim = event_dim


class _DependentProperty(property, _Dependent):
    """A property whose value is a constraint; on the class, a dependent one."""

    def __init__(
        self, get: Any = None, *, is_discrete: bool = False, event_dim: int = 0
    ) -> None:
        property.__init__(self, get)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, get: Callable[[Any], Constraint]) -> _DependentProperty:
        return type(self)(get, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _Single(Constraint):
    """A set of which each element is a value, given by what must hold."""

    def __init__(
        self, text: str, holds: Callable[[Any], Any], *, is_discrete: bool = False
    ) -> None:
        self.text = text
        self._holds = holds
        self.is_discrete = is_discrete

    def check(self, value: Any) -> Any:
        return self._holds(value)


class _GreaterThan(Constraint):
    """The numbers above a bound."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound
        self.text = f"greater than {_bound(lower_bound)}"

    def check(self, value: Any) -> Any:
        return value > self.lower_bound


class _GreaterThanEq(Constraint):
    """The numbers from a bound on."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound
        self.text = f"at least {_bound(lower_bound)}"

    def check(self, value: Any) -> Any:
        return value >= self.lower_bound


class _LessThan(Constraint):
    """The numbers below a bound."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound
        self.text = f"less than {_bound(upper_bound)}"

    def check(self, value: Any) -> Any:
        return value < self.upper_bound


class _Interval(Constraint):
    """The numbers between two bounds, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        self.text = f"in {_bound(lower_bound)}..{_bound(upper_bound)}"

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_Interval):
    """The numbers from one bound up to but without another."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        super().__init__(lower_bound, upper_bound)
        self.text += ", without the upper end"

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class _IntegerInterval(_Interval):
    """The integers between two bounds, both included."""

    is_discrete = True

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        super().__init__(lower_bound, upper_bound)
        self.text = f"an integer {self.text}"

    def check(self, value: Any) -> Any:
        return super().check(value) & (value % 1 == 0)


def _bound(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, (int, float)) else "a bound"


class _Events(Constraint):
    """A set of vectors or matrices, given by what must hold."""

    def __init__(
        self,
        text: str,
        event_dim: int,
        holds: Callable[[Tensor], Any],
        *,
        is_discrete: bool = False,
    ) -> None:
        self.text = text
        self.event_dim = event_dim
        self._holds = holds
        self.is_discrete = is_discrete

    def check(self, value: Any) -> Any:
        return self._holds(value)


class _Independent(Constraint):
    """Events whose parts all belong to a set.

    Args:
        base_constraint: the set of the parts.
        reinterpreted_batch_ndims: how many more axes an event has than a part.
    """

    def __init__(
        self, base_constraint: Constraint, reinterpreted_batch_ndims: int
    ) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims
        self.text = f"{base_constraint.text}, everywhere"

    def check(self, value: Any) -> Any:
        return _last(self.base_constraint.check(value), self.reinterpreted_batch_ndims)


class _Parts(Constraint):
    """Tensors whose slices along an axis belong to a set each."""

    def __init__(
        self, constraints: Sequence[Constraint], dim: int, lengths: Sequence[int]
    ) -> None:
        self.constraints, self.dim, self.lengths = list(constraints), dim, lengths
        self.is_discrete = any(c.is_discrete for c in constraints)
        self.event_dim = max(c.event_dim for c in constraints)
        self.text = "; ".join(c.text for c in constraints)


class _Cat(_Parts):
    """Tensors made by `concat` of values of one set each.

    Args:
        constraints: the sets.
        dim: the axis along which the values lie.
        lengths: how long each is. Default: 1.
    """

    def __init__(
        self,
        constraints: Sequence[Constraint],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(constraints, dim, lengths or [1] * len(constraints))

    def check(self, value: Any) -> Any:
        parts = plait.split(value, list(self.lengths), self.dim)
        checks = [c.check(x) for c, x in zip(self.constraints, parts, strict=True)]
        return plait.concat(checks, axis=self.dim)


class _Stack(_Parts):
    """Tensors made by `stack` of values of one set each.

    Args:
        constraints: the sets.
        dim: the axis along which the values lie.
    """

    def __init__(self, constraints: Sequence[Constraint], dim: int = 0) -> None:
        super().__init__(constraints, dim, [1] * len(constraints))

    def check(self, value: Any) -> Any:
        parts = plait.unstack(value, axis=self.dim)
        checks = [c.check(x) for c, x in zip(self.constraints, parts, strict=True)]
        return plait.stack(checks, axis=self.dim)


def _last(x: Any, count: int) -> Any:
    """Return whether all along the last `count` axes are true."""
    return x.all(axis=tuple(range(-count, 0))) if count else x


def _vector(x: Tensor) -> Any:
    return _last(x == x, 1)


def _simplex(x: Tensor) -> Any:
    return _last(x >= 0, 1) & (plait.abs(x.sum(axis=-1) - 1) < 1e-6)


def _one_hot(x: Tensor) -> Any:
    return _last((x == 0) | (x == 1), 1) & (x.sum(axis=-1) == 1)


def _square(x: Tensor) -> Tensor:
    right = x.ndim >= 2 and x.shape[-1] == x.shape[-2]
    return plait.full(x.shape[:-2], right)


def _symmetric(x: Tensor) -> Any:
    return _last(plait.abs(x - x.mT) <= 1e-6 + 1e-5 * plait.abs(x.mT), 2)


def _lower_triangular(x: Tensor) -> Any:
    return _last(plait.tril(x) == x, 2)


def _positive_diagonal(x: Tensor) -> Any:
    return _last(plait.diagonal(x) > 0, 1)


def _lower_cholesky(x: Tensor) -> Any:
    return _lower_triangular(x) & _positive_diagonal(x)


def _corr_cholesky(x: Tensor) -> Any:
    slack = float(plait.finfo(x.dtype).eps) * x.shape[-1] * 10
    rows = plait.abs((x * x).sum(axis=-1) - 1) <= slack
    return _lower_cholesky(x) & _last(rows, 1)


def _eigenvalues(bound: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def holds(x: Tensor) -> Any:
        return _symmetric(x) & _last(bound(plait.linalg.eigvalsh(x)), 1)

    return holds


def _is_whole(x: Any) -> Any:
    return x % 1 == 0


def of(**parameters: Constraint) -> Mapping[str, Constraint]:
    """Return where the parameters of a distribution lie, by their names."""
    return MappingProxyType(parameters)


def is_dependent(constraint: Any) -> bool:
    """Return whether a constraint is known only once there is a distribution."""
    return isinstance(constraint, _Dependent)


class _Multinomial(Constraint):
    """Vectors of counts whose sum is at most `upper_bound`."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound
        self.text = f"counts whose sum is {_bound(upper_bound)}"

    def check(self, value: Any) -> Any:
        counts = _last((value >= 0) & _is_whole(value), 1)
        return counts & (value.sum(axis=-1) == self.upper_bound)


dependent = _Dependent()
dependent_property = _DependentProperty
independent = _Independent
cat = _Cat
stack = _Stack
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
interval = _Interval
half_open_interval = _HalfOpenInterval
integer_interval = _IntegerInterval
multinomial = _Multinomial
boolean = _Single("0 or 1", lambda x: (x == 0) | (x == 1), is_discrete=True)
one_hot = _Events("one 1 among zeros", 1, _one_hot, is_discrete=True)
nonnegative_integer = _Single(
    "an integer, not negative", lambda x: (x >= 0) & _is_whole(x), is_discrete=True
)
positive_integer = _Single(
    "a positive integer", lambda x: (x > 0) & _is_whole(x), is_discrete=True
)
real = _Single("a number", lambda x: x == x)  # nan is none
real_vector = _Events("a vector of numbers", 1, _vector)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
unit_interval = _Interval(0.0, 1.0)
simplex = _Events("positive numbers whose sum is 1", 1, _simplex)
square = _Events("square matrices", 2, _square)
symmetric = _Events("symmetric matrices", 2, _symmetric)
lower_triangular = _Events("lower triangular matrices", 2, _lower_triangular)
lower_cholesky = _Events(
    "lower triangular matrices with a positive diagonal", 2, _lower_cholesky
)
corr_cholesky = _Events(
    "lower triangular matrices with a positive diagonal and rows of length 1",
    2,
    _corr_cholesky,
)
positive_semidefinite = _Events(
    "positive semidefinite matrices", 2, _eigenvalues(lambda x: x >= 0)
)
positive_definite = _Events(
    "positive definite matrices", 2, _eigenvalues(lambda x: x > 0)
)

__all__ = [
    "Constraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "of",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
]
