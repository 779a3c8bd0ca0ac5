"""Distributions of functions of random values, and of values that belong together.

Read first: `TransformedDistribution`, `Independent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import plait
from plait import Tensor

from ..errors import ArgumentError
from . import constraints
from .distribution import Distribution, Number, Shape, broadcast, sizes, total
from .sample import Sample, array
from .transform import ComposeTransform, Transform


class TransformedDistribution(Distribution):
    """The distribution of transforms of random values.

    Density: log p(y) = log p_base(x) - log(abs(det(dy / dx))), where y = transform(x).
    Support: that of what the last transform gives.

    Args:
        base_distribution: of x.
        transforms: one, or several to apply one after another.
        validate_args: see `Distribution`.

    Attributes:
        base_dist: the distribution of x; independent where the transforms take more
            axes together than its events have.
        transforms: a list.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        one = isinstance(transforms, Transform)
        self.transforms: list[Transform] = [transforms] if one else list(transforms)  # type: ignore[list-item, arg-type]
        self._whole = ComposeTransform(self.transforms)
        base = base_distribution
        more = self._whole.domain.event_dim - len(base.event_shape)
        shape = (*base.batch_shape, *base.event_shape)
        # Parameters of a transform may broadcast values to more axes.
        forward = self._whole.forward_shape(shape)
        forward = broadcast(type(self).__name__, forward, self._stretched(forward))
        back = self._whole.inverse_shape(forward)
        if back != shape:
            base = base.expand(back[: len(back) - len(base.event_shape)])
        self.base_dist = Independent(base, more) if more > 0 else base
        rank = self._whole.codomain.event_dim + max(
            len(self.base_dist.event_shape) - self._whole.domain.event_dim, 0
        )
        super().__init__(
            {}, forward[len(forward) - rank :], validate_args=validate_args
        )
        self.batch_shape = forward[: len(forward) - rank]

    def _stretched(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that tensors inside the transforms broadcast to."""
        found = [
            x.shape
            for t in self.transforms
            for x in vars(t).values()
            if isinstance(x, Tensor)
        ]
        return broadcast(type(self).__name__, (), *found)

    def expand(self, batch_shape: Shape) -> Self:
        shape = sizes(batch_shape)
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        full = self._whole.inverse_shape((*shape, *self.event_shape))
        lead = full[: len(full) - len(self.base_dist.event_shape)]
        new.base_dist = self.base_dist.expand(lead)
        new.batch_shape = shape
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Where the values lie."""
        if not self.transforms:
            return self.base_dist.support  # type: ignore[no-any-return]
        last = self.transforms[-1].codomain
        more = len(self.event_shape) - last.event_dim
        return constraints.independent(last, more) if more > 0 else last

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self._whole(self.base_dist._draw(key, self._whole.inverse_shape(shape)))

    def log_prob(self, value: Number) -> Tensor:
        y = self._value(value)
        x = self._whole._inverse(y)
        stretch = self._whole.log_abs_det_jacobian(x, y)
        more = len(self.base_dist.event_shape) - self._whole.domain.event_dim
        return self.base_dist.log_prob(x) - total(stretch, more)

    def cdf(self, value: Number) -> Tensor:
        below = self.base_dist.cdf(self._whole._inverse(self._value(value)))
        return self._turned(below)

    def icdf(self, value: Number) -> Tensor:
        return self._whole(self.base_dist.icdf(self._turned(plait.asarray(value))))

    def _turned(self, p: Tensor) -> Tensor:
        """Return the probability of the other side where the transforms fall."""
        sign = self._whole.sign
        if isinstance(sign, Tensor):
            return plait.where(sign > 0, p, 1 - p)
        return p if sign > 0 else 1 - p

    @staticmethod
    def samples() -> list[Sample]:
        def affine(d: Any, loc: Any, scale: Any) -> Any:
            t = d.transforms.AffineTransform
            return d.TransformedDistribution(
                d.Uniform(loc, loc + scale), [t(1.0, -2.0), t(0.5, scale)]
            )

        def tanh(d: Any, loc: Any, scale: Any) -> Any:
            base = d.Independent(d.Normal(loc, scale), 1)
            return d.TransformedDistribution(base, d.transforms.TanhTransform())

        parameters = {"loc": array(0.5, -1, 1), "scale": array(1, 0.6, 2)}
        return [
            Sample(parameters, array(-0.1, 2.18, -7.9), affine),
            Sample(parameters, array(0.3, -0.8, 0.9), tanh),
        ]


class Independent(Distribution):
    """A distribution whose last axes of the batch belong to the event.

    Density: the product of the densities of the parts, which stay independent; so
    `log_prob` is a sum. Support: that of the parts, part by part.

    Args:
        base_distribution: of the parts.
        reinterpreted_batch_ndims: how many axes of the batch become axes of the event.
        validate_args: see `Distribution`.

    Attributes:
        base_dist: the distribution of the parts.

    Raises:
        ArgumentError: the batch has not so many axes.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        base, count = base_distribution, reinterpreted_batch_ndims
        if not 0 <= count <= len(base.batch_shape):
            raise ArgumentError(
                "[Independent] the batch has not so many axes",
                got=f"reinterpreted_batch_ndims={count} for {base!r}",
                expected=f"0 to {len(base.batch_shape)}",
            )
        self.base_dist = base
        self.reinterpreted_batch_ndims = count
        shape = (*base.batch_shape, *base.event_shape)
        lead = len(base.batch_shape) - count
        super().__init__({}, shape[lead:], validate_args=validate_args)
        self.batch_shape = shape[:lead]

    def expand(self, batch_shape: Shape) -> Self:
        shape = sizes(batch_shape)
        inner = self.event_shape[: self.reinterpreted_batch_ndims]
        base = self.base_dist.expand((*shape, *inner))
        return type(self)(base, self.reinterpreted_batch_ndims, self._validate)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        lone = self.reinterpreted_batch_ndims == 0
        return lone and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Where the values lie."""
        inner = self.base_dist.support
        count = self.reinterpreted_batch_ndims
        return constraints.independent(inner, count) if count else inner

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self.base_dist._draw(key, shape)

    def log_prob(self, value: Number) -> Tensor:
        parts = self.base_dist.log_prob(self._value(value))
        return total(parts, self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return total(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        if self.reinterpreted_batch_ndims:
            raise self._lacks("enumerate_support of several parts")
        return self.base_dist.enumerate_support(expand)

    @staticmethod
    def samples() -> list[Sample]:
        def make(d: Any, loc: Any, scale: Any) -> Any:
            return d.Independent(d.Normal(loc, scale), 1)

        parameters = {"loc": array([0.5, -1], [1, 0]), "scale": array(1, 0.6)}
        return [Sample(parameters, array(0.3, -0.8), make)]


class MixtureSameFamily(Distribution):
    """One of several distributions of a family, chosen at random.

    Density: the sum over k of p_k * density_k(x). Support: that of the components.

    Args:
        mixture_distribution: a `Categorical` over the components.
        component_distribution: the components along the last axis of its batch.
        validate_args: see `Distribution`.

    Attributes:
        mixture_distribution: as given.
        component_distribution: as given.

    Raises:
        ArgumentError: there are not as many components as the categories.
    """

    def __init__(
        self,
        mixture_distribution: Distribution,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        batch = component_distribution.batch_shape
        logits = getattr(mixture_distribution, "logits", None)
        count = logits.shape[-1] if isinstance(logits, Tensor) else 0
        if not batch or batch[-1] != count:
            raise ArgumentError(
                "[MixtureSameFamily] each category needs one component",
                got=f"{count} categories and components of batch shape {batch}",
            )
        event = component_distribution.event_shape
        super().__init__({}, event, validate_args=validate_args)
        self.batch_shape = broadcast(
            "MixtureSameFamily", batch[:-1], mixture_distribution.batch_shape
        )

    def expand(self, batch_shape: Shape) -> Self:
        shape = sizes(batch_shape)
        count = self.component_distribution.batch_shape[-1]
        return type(self)(
            self.mixture_distribution.expand(shape),
            self.component_distribution.expand((*shape, count)),
            self._validate,
        )

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Where the values of the components lie."""
        return self.component_distribution.support  # type: ignore[no-any-return]

    def _weights(self) -> Tensor:
        """Return the probabilities, shaped to multiply values of the components."""
        probs: Tensor = self.mixture_distribution.probs  # type: ignore[attr-defined]
        return plait.reshape(probs, (*probs.shape, *[1] * len(self.event_shape)))

    @property
    def mean(self) -> Tensor:
        weighted = self._weights() * self.component_distribution.mean
        return weighted.sum(axis=-1 - len(self.event_shape))

    @property
    def variance(self) -> Tensor:
        axis = -1 - len(self.event_shape)
        parts = self.component_distribution
        off = parts.mean - plait.expand_dims(self.mean, axis)
        return (self._weights() * (parts.variance + plait.square(off))).sum(axis=axis)

    def _components(self, value: Number) -> Tensor:
        x = self._value(value)
        return plait.expand_dims(x, -1 - len(self.event_shape))

    def log_prob(self, value: Number) -> Tensor:
        logs = self.component_distribution.log_prob(self._components(value))
        logits: Tensor = self.mixture_distribution.logits  # type: ignore[attr-defined]
        return plait.logsumexp(logs + plait.log_softmax(logits, -1), axis=-1)

    def cdf(self, value: Number) -> Tensor:
        parts = self.component_distribution.cdf(self._components(value))
        return (self._weights() * parts).sum(axis=-1)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        first, second = plait.unstack(plait.random.split(key, 2))
        lead = self._leading(shape)
        chosen = self.mixture_distribution._draw(first, lead)
        count = self.component_distribution.batch_shape[-1]
        all_of_them = self.component_distribution._draw(
            second, (*lead, count, *self.event_shape)
        )
        rank = len(self.event_shape)
        place = plait.reshape(chosen, (*lead, 1, *[1] * rank))
        place = plait.broadcast_to(place, (*lead, 1, *self.event_shape))
        taken = plait.take_along_axis(all_of_them, place, axis=-1 - rank)
        return plait.squeeze(taken, axis=-1 - rank)

    @staticmethod
    def samples() -> list[Sample]:
        def numbers(d: Any, probs: Any, loc: Any, scale: Any) -> Any:
            return d.MixtureSameFamily(d.Categorical(probs), d.Normal(loc, scale))

        def vectors(d: Any, logits: Any, loc: Any) -> Any:
            parts = d.Independent(d.Laplace(loc, 0.5), 1)
            return d.MixtureSameFamily(d.Categorical(logits=logits), parts)

        return [
            Sample(
                {
                    "probs": array(0.2, 0.3, 0.5),
                    "loc": array(-1, 0.5, 3),
                    "scale": array(0.4, 1, 0.7),
                },
                array(-2, 0.3, 2.5, 4),
                numbers,
            ),
            Sample(
                {"logits": array(0.3, -0.5), "loc": array([1, 2], [-1, 0.5])},
                array([0.3, 0.4], [-2, 2]),
                vectors,
            ),
        ]
