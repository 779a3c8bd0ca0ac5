"""Distributions of a choice among several categories, and counts of such.

Read first: `Categorical`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from . import constraints
from .distribution import Distribution, Number, broadcast, clamped, known, one_of
from .sample import Sample, array


class _Choices(Distribution):
    """Distributions over categories, whose probabilities are given or their logits.

    Args:
        probs, logits: shape (..., k); one of them is given.
        event: whether the categories are the event, or their number is drawn.
    """

    arg_constraints: Mapping[str, constraints.Constraint] = constraints.of(
        probs=constraints.simplex, logits=constraints.real_vector
    )

    def __init__(
        self,
        probs: Tensor | None,
        logits: Tensor | None,
        validate_args: bool | None,
        event: bool,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        name = type(self).__name__
        given = one_of(name, probs=probs, logits=logits)
        ((form, x),) = given.items()
        x = plait.asarray(x)
        if not x.ndim:
            raise ShapeError(
                f"[{name}] the last axis of {form} must be that of the categories",
                got=f"shape {x.shape}",
            )
        if validate_args is None:
            validate_args = Distribution._validate_by_default
        if form == "probs":
            weight = x.sum(axis=-1, keepdims=True)
            right, scaled = (x >= 0).all() & (weight > 0).all(), x / weight
        else:
            right = constraints.real_vector.check(x).all()
            scaled = x - plait.logsumexp(x, axis=-1, keepdims=True)
        if validate_args and not known(right):
            self._refuse(form, x, self.arg_constraints[form])
        x = scaled
        shape = x.shape[-1:] if event else ()
        # Its weights need not sum to 1 when given; they do from here on.
        super().__init__({form: x}, shape, settings, validate_args=False)
        self._validate = validate_args

    @property
    def probs(self) -> Tensor:
        """The probabilities, shape (..., k)."""
        given = self._parameters
        return given["probs"] if "probs" in given else plait.softmax(given["logits"])

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities, shape (..., k)."""
        given = self._parameters
        if "logits" in given:
            return given["logits"]
        return plait.log(clamped(given["probs"]))

    def _count(self) -> int:
        return next(iter(self._parameters.values())).shape[-1]

    def _positions(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        given = self._parameters
        # Not `logits`: what is impossible is not drawn.
        logits = plait.log(given["probs"]) if "probs" in given else given["logits"]
        return plait.random.categorical(logits, shape=shape, key=key)

    def _negative_entropy(self) -> Tensor:
        logits = self.logits
        # 0 * -inf is 0 here.
        least = float(plait.finfo(logits.dtype).min)
        return (self.probs * plait.maximum(logits, least)).sum(axis=-1)

    def entropy(self) -> Tensor:
        return -self._negative_entropy()


class Categorical(_Choices):
    """The position of one of k categories.

    Probability: probs[x]. Support: 0 to k - 1, as int64.

    Args:
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.

    Special cases: the mean and the variance are nan.
    """

    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args, event=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        """0 to k - 1."""
        return constraints.integer_interval(0, self._count() - 1)

    @property
    def mean(self) -> Tensor:
        return plait.full(self.batch_shape, math.nan, dtype=self.logits.dtype)

    @property
    def mode(self) -> Tensor:
        return plait.argmax(self.probs, -1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._positions(key, shape)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value).long()
        logits = self.logits
        shape = broadcast("Categorical", x.shape, self.batch_shape)
        place = plait.expand_dims(plait.broadcast_to(x, shape), -1)
        full = plait.broadcast_to(logits, (*shape, self._count()))
        return plait.squeeze(plait.take_along_axis(full, place, axis=-1), axis=-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = plait.arange(self._count())
        values = plait.reshape(values, (-1, *[1] * len(self.batch_shape)))
        if not expand:
            return values
        return plait.broadcast_to(values, (values.shape[0], *self.batch_shape))

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample({"probs": array([0.2, 0.3, 0.5], [2, 1, 1])}, _integers(2, 0)),
            Sample({"logits": array(0.3, -1, 2)}, _integers(2, 0, 1)),
        ]


def _integers(*values: int) -> Any:
    return array(*values).astype("int64")


class OneHotCategorical(_Choices):
    """One of k categories, as a vector with a 1 in its place.

    Probability: the sum of probs * x. Support: vectors of one 1 among zeros.

    Args:
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.
    """

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args, event=True)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        probs = self.probs
        return plait.one_hot(plait.argmax(probs, -1), self._count(), dtype=probs.dtype)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        places = self._positions(key, shape[:-1])
        return plait.one_hot(places, self._count(), dtype=self.logits.dtype)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        return plait.where(x > 0.5, self.logits, 0.0).sum(axis=-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._count()
        values = plait.eye(n, dtype=self.logits.dtype)
        values = plait.reshape(values, (n, *[1] * len(self.batch_shape), n))
        if not expand:
            return values
        return plait.broadcast_to(values, (n, *self.batch_shape, n))

    @staticmethod
    def samples() -> list[Sample]:
        value = array([0, 0, 1], [1, 0, 0])
        return [
            Sample({"probs": array([0.2, 0.3, 0.5], [2, 1, 1])}, value, smooth=False),
            Sample({"logits": array(0.3, -1, 2)}, value, smooth=False),
        ]


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical`, with the derivative of its probabilities for its values.

    `rsample` gives vectors with a 1 in one place, and derivatives as if it had given
    `probs`: useful to train through a choice, but not the derivative of a mean.

    Probability: that of `OneHotCategorical`. Support: vectors of one 1 among zeros.

    Args:
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.

    Source: Y. Bengio, N. Léonard, A. Courville, "Estimating or propagating gradients
    through stochastic neurons for conditional computation", 2013.
    """

    has_rsample = True

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        probs = self.probs
        return super()._draw(key, shape).detach() + (probs - probs.detach())


class Multinomial(_Choices):
    """How often each of k categories comes up in `total_count` choices.

    Probability: n! / prod(x!) * prod(probs ** x), n the total count.
    Support: k counts whose sum is n.

    Args:
        total_count: how many choices, a whole number.
        probs: positive, shape (..., k); divided by their sum.
        logits: instead of `probs`, logarithms of them, up to a constant.
        validate_args: see `Distribution`.

    Raises:
        ArgumentError: `total_count` is negative, or no integer.
    """

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        whole: Any = total_count
        if not isinstance(whole, int) or whole < 0:
            raise ArgumentError(
                "[Multinomial] total_count must be a whole number",
                got=str(total_count),
            )
        settings = {"total_count": total_count}
        super().__init__(probs, logits, validate_args, True, settings)
        self.total_count = total_count

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Counts whose sum is `total_count`."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        places = self._positions(key, (self.total_count, *shape[:-1]))
        single = plait.one_hot(places, self._count(), dtype=self.logits.dtype)
        return single.sum(axis=0)

    def log_prob(self, value: Number) -> Tensor:
        x = self._value(value)
        # An impossible category that does not come up takes nothing away.
        logits = plait.where((x == 0) & (self.logits == -math.inf), 0.0, self.logits)
        ways = math.lgamma(self.total_count + 1) - plait.lgamma(x + 1).sum(axis=-1)
        return ways + (x * logits).sum(axis=-1)

    def entropy(self) -> Tensor:
        """Return the mean of `-log_prob`, by going through all counts of each
        category.
        """
        n = self.total_count
        p = plait.expand_dims(self.probs, 0)
        dtype = p.dtype
        k = plait.arange(n + 1, dtype=dtype)
        k = plait.reshape(k, (n + 1, *[1] * (p.ndim - 1)))
        ways = math.lgamma(n + 1) - plait.lgamma(k + 1) - plait.lgamma(n - k + 1)
        logs = ways + plait.xlogy(k, p) + plait.xlogy(n - k, 1 - p)
        inner = (plait.exp(logs) * plait.lgamma(k + 1)).sum(axis=(0, -1))
        return -n * self._negative_entropy() - math.lgamma(n + 1) + inner

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                {"total_count": 6, "probs": array([0.2, 0.3, 0.5], [2, 1, 1])},
                array([1, 2, 3], [6, 0, 0]),
            ),
            Sample({"total_count": 3, "logits": array(0.3, -1, 2)}, array(1, 2, 0)),
        ]
