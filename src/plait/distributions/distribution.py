"""What all distributions have in common.

Read first: `Distribution`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Self

import plait
from plait import Generator, Tensor

from ..arguments import Arrays, Checked
from ..errors import ArgumentError, ShapeError, TracingError
from .constraints import Constraint, dependent, is_dependent
from .sample import Sample

Number = Annotated[float | Tensor, Arrays]
Shape = int | Sequence[int]


class Distribution(Checked):
    """The base of probability distributions.

    A distribution of batch shape B and event shape E stands for independent
    distributions, one for each place of B, each of which gives values of shape E.
    Parameters broadcast to B; `log_prob` of values of shape (..., *B, *E) has shape
    (..., *B).

    Args:
        parameters: numbers and tensors by name, None left out. All become attributes:
            tensors of one floating-point type, broadcast to the batch shape.
        event_shape: the shape of one value.
        settings: further arguments that `expand` makes a distribution with.
        validate_args: whether parameters and values are checked. Python numbers are
            checked unless this is False, tensors only if it is True: to look at their
            values, what they are computed from must be run there and then.

    Attributes:
        batch_shape: the shape of the parameters together.
        event_shape: the shape of one value.
        arg_constraints: where the parameters lie.
        support: where the values lie. Outside it, densities have no meaning.
        has_rsample: whether `rsample` gives derivatives by the parameters.
        has_enumerate_support: whether `enumerate_support` can list all values.

    Raises:
        ArgumentError: a parameter is outside its constraint.
    """

    arg_constraints: Mapping[str, Constraint] = MappingProxyType({})
    support: Any = dependent
    has_rsample = False
    has_enumerate_support = False
    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    _validate_by_default: bool | None = None

    def __init__(
        self,
        parameters: Mapping[str, Any],
        event_shape: Sequence[int] = (),
        settings: Mapping[str, Any] = MappingProxyType({}),
        validate_args: bool | None = None,
    ) -> None:
        if validate_args is None:
            validate_args = Distribution._validate_by_default
        given = {name: x for name, x in parameters.items() if x is not None}
        constraints = {
            name: c
            for name, c in self.arg_constraints.items()
            if name in given and not is_dependent(c)
        }
        if validate_args is not False:
            for name, constraint in constraints.items():
                number = given[name]
                if isinstance(number, (int, float)) and not constraint.check(number):
                    self._refuse(name, number, constraint)
        tensors = as_tensors(given)
        if validate_args:
            for name, constraint in constraints.items():
                if not _holds(constraint, tensors[name]):
                    self._refuse(name, tensors[name], constraint)
        ranks = {
            name: 0 if is_dependent(c) else c.event_dim
            for name, c in self.arg_constraints.items()
        }
        leads = {n: x.shape[: x.ndim - ranks[n]] for n, x in tensors.items()}
        try:
            self.batch_shape = broadcast(type(self).__name__, *leads.values())
        except ShapeError as error:
            error.got = ", ".join(f"{name} of {shape}" for name, shape in leads.items())
            raise
        self.event_shape = tuple(event_shape)
        self._ranks = ranks
        self._settings = dict(settings)
        self._validate = validate_args
        self._parameters = {
            name: self._batched(name, x, self.batch_shape)
            for name, x in tensors.items()
        }
        for name, x in self._parameters.items():
            # Of two forms of a parameter, properties work out the other.
            if not isinstance(getattr(type(self), name, None), property):
                setattr(self, name, x)

    # Making others

    def expand(self, batch_shape: Shape) -> Self:
        """Return this distribution with its parameters broadcast to a batch shape.

        Raises:
            ShapeError: they do not broadcast.
        """
        shape = sizes(batch_shape)
        parameters = {
            name: self._batched(name, x, shape) for name, x in self._parameters.items()
        }
        make: Any = type(self)
        return make(**parameters, **self._settings, validate_args=False)  # type: ignore[no-any-return]

    def _batched(self, name: str, x: Tensor, batch: tuple[int, ...]) -> Tensor:
        own = x.shape[x.ndim - self._ranks[name] :]
        full = (*batch, *own)
        return x if x.shape == full else plait.broadcast_to(x, full)

    # Facts

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise self._lacks("mean")

    @property
    def mode(self) -> Tensor:
        """A value of the highest probability, or density."""
        raise self._lacks("mode")

    @property
    def variance(self) -> Tensor:
        """The mean square of the distance from the mean, element by element."""
        raise self._lacks("variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return plait.sqrt(self.variance)

    def entropy(self) -> Tensor:
        """Return the mean of `-log_prob`, shape `batch_shape`."""
        raise self._lacks("entropy")

    def perplexity(self) -> Tensor:
        """Return `exp(entropy())`."""
        return plait.exp(self.entropy())

    def log_prob(self, value: Number) -> Tensor:
        """Return the logarithm of the probability, or density, of values."""
        raise self._lacks("log_prob")

    def cdf(self, value: Number) -> Tensor:
        """Return the probability of a number up to `value`."""
        raise self._lacks("cdf")

    def icdf(self, value: Number) -> Tensor:
        """Return the number up to which the probability is `value`, in 0..1."""
        raise self._lacks("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all possible values, one after another along a new axis 0.

        Args:
            expand: broadcast them to the batch shape; else its axes have size 1.
        """
        raise self._lacks("enumerate_support")

    # Drawing

    def sample(
        self,
        sample_shape: Shape = (),
        *,
        key: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return random values, shape (*sample_shape, *batch_shape, *event_shape).

        No derivative flows through them.

        Args:
            sample_shape: how many, for each place of the batch.
            key: uint32, shape (4,): the same key gives the same values. Default: the
                next of the generator.
            generator: gives the key. Default: that of `plait.manual_seed`.
        """
        shape = self._extended_shape(sample_shape)
        return self._draw(_key(key, generator), shape).detach()

    def rsample(
        self,
        sample_shape: Shape = (),
        *,
        key: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return random values as `sample` does, differentiable by the parameters.

        The derivative says how a value moves with the parameters while its place among
        all values, its quantile, stays the same.

        Raises:
            ArgumentError: values of this distribution cannot move continuously, or
                not in a known way.
        """
        if not self.has_rsample:
            raise self._lacks("rsample", fix="use sample(), and log_prob() of what is")
        shape = self._extended_shape(sample_shape)
        return self._draw(_key(key, generator), shape)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return random values of a shape that ends in batch and event."""
        raise self._lacks("sample")

    def _extended_shape(self, sample_shape: Shape = ()) -> tuple[int, ...]:
        return (*sizes(sample_shape), *self.batch_shape, *self.event_shape)

    def _leading(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of values without the axes of an event."""
        return shape[: len(shape) - len(self.event_shape)]

    # Checks

    @staticmethod
    def set_default_validate_args(value: bool | None) -> None:
        """Set whether distributions made without `validate_args` check tensors too.

        Args:
            value: None is the default, under which only Python numbers are checked.
        """
        Distribution._validate_by_default = value

    def _value(self, value: Any) -> Tensor:
        """Return values as a tensor, checked."""
        x: Tensor = plait.asarray(value)
        count = len(self.event_shape)
        event = x.shape[x.ndim - count :] if x.ndim >= count else None
        name = type(self).__name__
        if event != self.event_shape and not (
            event is not None and 1 in event and len(event) == count
        ):
            raise ShapeError(
                f"[{name}] a value does not end in the event shape",
                got=f"shape {x.shape}",
                expected=f"(..., {', '.join(map(str, self.event_shape))})",
            )
        broadcast(name, x.shape[: x.ndim - count], self.batch_shape)
        settled = self._validate and not is_dependent(self.support)
        if settled and not _holds(self.support, x):
            self._refuse("value", value, self.support)
        return x

    def _refuse(self, name: str, value: Any, constraint: Constraint) -> None:
        if isinstance(value, Tensor):
            value = value.numpy().tolist()
        text = str(value)
        raise ArgumentError(
            f"[{type(self).__name__}] {name} is outside its range",
            got=text if len(text) <= 80 else f"{text[:77]}...",
            expected=constraint.text,
        )

    def _lacks(self, what: str, fix: str = "") -> ArgumentError:
        return ArgumentError(f"[{type(self).__name__}] there is no {what}", fix=fix)

    def __repr__(self) -> str:
        shapes = f"batch_shape={self.batch_shape}, event_shape={self.event_shape}"
        return f"{type(self).__name__}({shapes})"

    @staticmethod
    def samples() -> list[Sample]:
        """Return ways to make this distribution, for the tests."""
        return []


def _holds(constraint: Constraint, value: Tensor) -> bool:
    """Return whether all values lie in a set; true where they are not known yet."""
    return known(constraint.check(value).all())


def known(condition: Tensor) -> bool:
    """Return what a condition is; true where that is not known, as inside `jit`."""
    try:
        return bool(condition)
    except TracingError:
        return True


def _key(key: Tensor | None, generator: Generator | None) -> Tensor:
    if key is not None:
        return key
    source: Any = plait.random if generator is None else generator
    found: Tensor = source.next_key()
    return found


def as_tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return numbers, arrays and tensors as tensors of one floating-point type.

    Numbers take the type of the others; alone they become float32.
    """
    tensors = {
        name: x if isinstance(x, Tensor) else plait.asarray(x)
        for name, x in given.items()
        if not isinstance(x, (int, float))
    }
    dtype = plait.result_type(*tensors.values()) if tensors else plait.float32
    if not dtype.is_float:
        dtype = plait.float32
    for name, x in given.items():
        if name not in tensors:
            tensors[name] = plait.asarray(float(x), dtype=dtype)
    return {name: tensors[name].to(dtype) for name in given}


def one_of(name: str, **choices: Any) -> dict[str, Any]:
    """Return the one parameter that was given, by its name.

    Raises:
        ArgumentError: none was, or more than one.
    """
    given = {key: x for key, x in choices.items() if x is not None}
    if len(given) != 1:
        raise ArgumentError(
            f"[{name}] one of {', '.join(choices)} must be given",
            got=" and ".join(given) or "none",
        )
    return given


def sizes(shape: Shape) -> tuple[int, ...]:
    """Return a shape, or one size, as a tuple."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


def broadcast(name: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape to which shapes broadcast.

    Raises:
        ShapeError: they do not.
    """
    rank = max(map(len, shapes), default=0)
    full = []
    for axis in range(-rank, 0):
        found = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(found) > 1:
            raise ShapeError(
                f"[{name}] shapes do not broadcast",
                got=" and ".join(str(tuple(shape)) for shape in shapes),
            )
        full.append(found.pop() if found else 1)
    return tuple(full)


def total(x: Tensor, count: int) -> Tensor:
    """Return the sum over the last `count` axes."""
    return x.sum(axis=tuple(range(-count, 0))) if count else x


def keys_of(key: Tensor, count: int) -> list[Tensor]:
    """Return further keys made from one."""
    return list(plait.unstack(plait.random.split(key, count)))


def standard_exponential(
    key: Tensor, shape: Sequence[int], dtype: plait.DType
) -> Tensor:
    """Return exponentially distributed numbers of mean 1, never 0."""
    return plait.random.exponential(shape=tuple(shape), dtype=dtype, key=key)


def clamped(probs: Tensor) -> Tensor:
    """Return probabilities kept as far from 0 and 1 as their type can tell."""
    eps = float(plait.finfo(probs.dtype).eps)
    return plait.clip(probs, eps, 1 - eps)


def logits_of(probs: Tensor) -> Tensor:
    """Return `log(p / (1 - p))`, which stays finite at 0 and 1."""
    p = clamped(probs)
    return plait.log(p) - plait.log1p(-p)
