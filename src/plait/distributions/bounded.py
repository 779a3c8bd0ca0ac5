"""Distributions of grey values between 0 and 1, and of angles.

Read first: `ContinuousBernoulli`, `VonMises`.
"""

from __future__ import annotations

import math

import plait
from plait import Tensor

from . import constraints
from .distribution import Distribution, Number, logits_of, one_of
from .sample import Sample, array

# Below it in size, series in the logit are used: they leave 1e-11 out.
_FLAT = 0.3
_LOG_2PI = math.log(2 * math.pi)


class ContinuousBernoulli(Distribution):
    """Numbers between 0 and 1 whose density is that of `Bernoulli`, made to sum to 1.

    Density: c * probs ** x * (1 - probs) ** (1 - x). With the logit t = log(probs / (1
    - probs)) that is exp(t * x) * t / (exp(t) - 1). Support: 0 to 1.

    Args:
        probs: in 0..1; not the mean.
        logits: instead of `probs`, log(probs / (1 - probs)).
        validate_args: see `Distribution`.

    Source: G. Loaiza-Ganem, J. P. Cunningham, "The continuous Bernoulli: fixing a
    pervasive error in variational autoencoders", 2019.
    """

    arg_constraints = constraints.of(
        probs=constraints.unit_interval, logits=constraints.real
    )
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of("ContinuousBernoulli", probs=probs, logits=logits)
        super().__init__(given, validate_args=validate_args)

    @property
    def logits(self) -> Tensor:
        """log(probs / (1 - probs))."""
        given = self._parameters
        return given["logits"] if "logits" in given else logits_of(given["probs"])

    @property
    def probs(self) -> Tensor:
        """The base of the density."""
        given = self._parameters
        return given["probs"] if "probs" in given else plait.sigmoid(given["logits"])

    def _steep(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logit, whether it is near 0, and the logit or 1 where it is."""
        t = self.logits
        flat = plait.abs(t) < _FLAT
        return t, flat, plait.where(flat, 1.0, t)

    def log_normalizer(self) -> Tensor:
        """Return log((exp(t) - 1) / t) for the logit t."""
        t, flat, steep = self._steep()
        s = plait.square(t)
        even = s * (1 / 24 - s * (1 / 2880 - s * (1 / 181440 - s / 9676800)))
        size = plait.abs(steep)
        exact = plait.maximum(steep, 0.0) + plait.log(-plait.expm1(-size) / size)
        return plait.where(flat, t / 2 + even, exact)

    @property
    def mean(self) -> Tensor:
        t, flat, steep = self._steep()
        s = plait.square(t)
        odd = t * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s / 1209600)))
        exact = -1 / plait.expm1(-steep) - 1 / steep
        return plait.where(flat, 0.5 + odd, exact)

    @property
    def variance(self) -> Tensor:
        t, flat, steep = self._steep()
        s = plait.square(t)
        series = 1 / 12 - s * (1 / 240 - s * (1 / 6048 - s / 172800))
        # Over the square of 2 sinh(t / 2), which is exp(t) - 2 + exp(-t).
        size = plait.abs(steep)
        wave = plait.exp(-size) / plait.square(plait.expm1(-size))
        return plait.where(flat, series, 1 / plait.square(steep) - wave)

    def _quantile(self, u: Tensor) -> Tensor:
        """Return log1p(u * expm1(t)) / t, of the negative one of t and -t."""
        t = self.logits
        rising = t > 0
        u, t = plait.where(rising, 1 - u, u), -plait.abs(t)
        flat = plait.abs(t) < 1e-2
        steep = plait.where(flat, -1.0, t)
        exact = plait.log1p(u * plait.expm1(steep)) / steep
        v = u * (1 - u)
        bend = (1 - 2 * u) / 6 + t * (1 - 6 * v) / 24
        series = u + t * v * (0.5 + t * bend)
        x = plait.where(flat, series, exact)
        return plait.where(rising, 1 - x, x)

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        dtype = self.logits.dtype
        return self._quantile(plait.random.uniform(shape=shape, dtype=dtype, key=key))

    def log_prob(self, value: Number) -> Tensor:
        return self.logits * self._value(value) - self.log_normalizer()

    def cdf(self, value: Number) -> Tensor:
        t = self.logits
        rising = t > 0
        x = plait.clip(self._value(value), 0.0, 1.0)
        x, t = plait.where(rising, 1 - x, x), -plait.abs(t)
        flat = t > -1e-6
        steep = plait.where(flat, -1.0, t)
        exact = plait.expm1(steep * x) / plait.expm1(steep)
        p = plait.where(flat, x + 0.5 * t * x * (x - 1), exact)
        return plait.where(rising, 1 - p, p)

    def icdf(self, value: Number) -> Tensor:
        return self._quantile(plait.asarray(value))

    def entropy(self) -> Tensor:
        return self.log_normalizer() - self.mean * self.logits

    @staticmethod
    def samples() -> list[Sample]:
        x = array(0.2, 0.9, 0.55, 0.4)
        return [
            Sample({"probs": array(0.1, 0.9, 0.5001, 0.4)}, x),
            Sample({"logits": array(-3, 0.2, 8, 0.4)}, x),
        ]


class VonMises(Distribution):
    """The von Mises distribution, of angles around a direction.

    Density: exp(concentration * cos(x - loc)) / (2 * pi * I0(concentration)), with the
    modified Bessel function I0. Support: angles in radians; drawn from -pi..pi.

    Args:
        loc: the direction, an angle.
        concentration: how close to it, positive.
        validate_args: see `Distribution`.

    Special cases: `variance` is that of directions, 1 - I1 / I0.

    Source: K. V. Mardia, P. E. Jupp, "Directional statistics", 2000, 3.5.4; drawn by
    `plait.random.vonmises`.
    """

    arg_constraints = constraints.of(
        loc=constraints.real, concentration=constraints.positive
    )
    support = constraints.real
    loc: Tensor
    concentration: Tensor

    def __init__(
        self, loc: Number, concentration: Number, validate_args: bool | None = None
    ) -> None:
        parameters = {"loc": loc, "concentration": concentration}
        super().__init__(parameters, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 1 - self._alignment()

    def _alignment(self) -> Tensor:
        """Return the mean of cos(x - loc)."""
        k = self.concentration
        return plait.i1e(k) / plait.i0e(k)

    def log_prob(self, value: Number) -> Tensor:
        k = self.concentration
        # 1 - cos(d), also where that is small.
        half = plait.sin(0.5 * (self._value(value) - self.loc))
        return -2 * k * plait.square(half) - _LOG_2PI - plait.log(plait.i0e(k))

    def entropy(self) -> Tensor:
        k = self.concentration
        return k * (1 - self._alignment()) + _LOG_2PI + plait.log(plait.i0e(k))

    def _draw(self, key: Tensor, shape: tuple[int, ...]) -> Tensor:
        k = self.concentration
        return plait.random.vonmises(self.loc, k, shape=shape, key=key)

    @staticmethod
    def samples() -> list[Sample]:
        parameters = {"loc": array(0.5, -2, 1), "concentration": array(1, 0.1, 70)}
        return [Sample(parameters, array(1, 3, 0.9))]
