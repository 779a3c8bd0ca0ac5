"""From all numbers into a set: a transform for each constraint.

Read first: `transform_to`, `biject_to`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError
from . import constraints
from .arrangements import (
    CatTransform,
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StackTransform,
    StickBreakingTransform,
)
from .constraints import Constraint
from .transform import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    SigmoidTransform,
    Transform,
    identity_transform,
)


class ConstraintRegistry:
    """Knows for constraints a transform from all numbers into the set.

    Called with a constraint, it returns the transform.

    Args:
        name: in error messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._rules: dict[Any, Callable[[Any], Transform]] = {}

    def register(
        self, constraint: Any, factory: Callable[[Any], Transform] | None = None
    ) -> Any:
        """Register a function of a constraint that returns its transform.

        Args:
            constraint: one, or a class of constraints.
            factory: the function. Default: this is used as a decorator.

        Raises:
            ArgumentTypeError: the constraint is none.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        is_class = isinstance(constraint, type) and issubclass(constraint, Constraint)
        if not (is_class or isinstance(constraint, Constraint)):
            raise ArgumentTypeError(
                f"[{self._name}] a constraint or a class of such is needed",
                got=repr(constraint),
            )
        self._rules[constraint] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        rule = self._rules.get(constraint) or self._rules.get(type(constraint))
        if rule is None:
            raise ArgumentError(
                f"[{self._name}] no transform into this set is known",
                got=repr(constraint),
                fix=f"register one with {self._name}.register",
            )
        return rule(constraint)


biject_to = ConstraintRegistry("biject_to")
transform_to = ConstraintRegistry("transform_to")


def _both(constraint: Any) -> Callable[[Any], Any]:
    def register(factory: Callable[[Any], Transform]) -> Any:
        biject_to.register(constraint, factory)
        return transform_to.register(constraint, factory)

    return register


@_both(constraints.real)
@_both(constraints.real_vector)
def _everything(constraint: Constraint) -> Transform:
    return identity_transform


@_both(constraints.greater_than)
@_both(constraints.greater_than_eq)
def _above(constraint: Any) -> Transform:
    if isinstance(constraint.lower_bound, float) and constraint.lower_bound == 0:
        return ExpTransform()
    return ComposeTransform(
        [ExpTransform(), AffineTransform(constraint.lower_bound, 1.0)]
    )


@_both(constraints.less_than)
def _below(constraint: Any) -> Transform:
    return ComposeTransform(
        [ExpTransform(), AffineTransform(constraint.upper_bound, -1.0)]
    )


@_both(constraints.interval)
@_both(constraints.half_open_interval)
def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    numbers = isinstance(low, float) and isinstance(high, float)
    if numbers and (low, high) == (0.0, 1.0):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


biject_to.register(constraints.simplex, lambda _: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda _: SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda _: LowerCholeskyTransform())
for _matrices in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_matrices, lambda _: PositiveDefiniteTransform())


@_both(constraints.corr_cholesky)
def _corr_cholesky(constraint: Constraint) -> Transform:
    return CorrCholeskyTransform()


def _of_parts(registry: ConstraintRegistry) -> None:
    def independent(constraint: Any) -> Transform:
        inner = registry(constraint.base_constraint)
        return IndependentTransform(inner, constraint.reinterpreted_batch_ndims)

    def cat(constraint: Any) -> Transform:
        parts = [registry(part) for part in constraint.constraints]
        return CatTransform(parts, constraint.dim, constraint.lengths)

    def stack(constraint: Any) -> Transform:
        parts = [registry(part) for part in constraint.constraints]
        return StackTransform(parts, constraint.dim)

    registry.register(constraints.independent, independent)
    registry.register(constraints.cat, cat)
    registry.register(constraints.stack, stack)


_of_parts(biject_to)
_of_parts(transform_to)
