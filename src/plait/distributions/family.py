"""Families of distributions whose entropy and divergence come from one function.

Read first: `ExponentialFamily`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError
from .distribution import Distribution, total
from .divergence import register_kl


class ExponentialFamily(Distribution):
    """The base of distributions of one's own whose density has an exponential form.

    Density: h(x) * exp(sum(n_i * t_i(x)) - A(n)), with natural parameters n, functions
    t of the value, and the normaliser A. The means of t are the derivatives of A, and
    with them come `entropy` and, between two of a class, `kl_divergence`.

    A class derived from it defines `_natural_params`, a tuple of tensors, and
    `_log_normalizer(*natural_params)`, shape `batch_shape`; for the entropy also
    `_mean_carrier_measure`, the mean of log(h(x)), where that is not 0. The
    distributions of plait have formulas of their own and do not need it.

    Args:
        parameters, event_shape, settings, validate_args: see `Distribution`.

    Source: F. Nielsen, R. Nock, "Entropies and cross-entropies of exponential
    families", 2010.
    """

    _mean_carrier_measure: Any = 0.0

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        """The natural parameters, of the batch shape and maybe further axes."""
        raise self._lacks("_natural_params")

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        """Return A for natural parameters, shape `batch_shape`."""
        raise self._lacks("_log_normalizer")

    def _normalizer_and_means(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return A, and its derivatives by the natural parameters."""

        def added(*params: Tensor) -> Any:
            found = self._log_normalizer(*params)
            return found.sum(), found

        params = self._natural_params
        places = tuple(range(len(params)))
        pair, means = plait.value_and_grad(added, places, has_aux=True)(*params)
        return pair[1], means

    def _inner(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the product, added up over all axes but those of the batch."""
        return total(x * y, x.ndim - len(self.batch_shape))

    def entropy(self) -> Tensor:
        """Return the mean of `-log_prob`: A less the sum of n_i times its derivative,
        less the mean of log(h(x)).
        """
        result, means = self._normalizer_and_means()
        for param, mean in zip(self._natural_params, means, strict=True):
            result = result - self._inner(param, mean)
        found: Tensor = result - self._mean_carrier_measure
        return found


@register_kl(ExponentialFamily, ExponentialFamily)
def _family(p: ExponentialFamily, q: ExponentialFamily) -> Any:
    """The distance of A(q) from the tangent to A at p."""
    if type(p) is not type(q):
        raise ArgumentError(
            "[kl_divergence] both must be of one exponential family",
            got=f"{type(p).__name__} and {type(q).__name__}",
        )
    normalizer, means = p._normalizer_and_means()
    result = q._log_normalizer(*q._natural_params) - normalizer
    pairs = zip(p._natural_params, q._natural_params, means, strict=True)
    for own, other, mean in pairs:
        result = result - p._inner(other - own, mean)
    return result
