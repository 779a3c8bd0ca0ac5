"""How far one distribution is from another: the divergence of Kullback and Leibler.

Most of the formulas here are -H(p) - E[log q(x)], with E the mean over p: one for each
form that log q has, for all p whose moments are known.

Read first: `kl_divergence`, `register_kl`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError
from .bounded import ContinuousBernoulli
from .categorical import Categorical, OneHotCategorical
from .discrete import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution, broadcast, total
from .gamma import Beta, Dirichlet, Exponential, Gamma
from .location import EULER_GAMMA, Cauchy, Gumbel, Laplace, Uniform
from .multivariate import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    half_log_det,
    solved,
    squared_length,
)
from .normal import HALF_LOG_2PI, HalfNormal, Normal
from .tails import Pareto
from .transformed import Independent, TransformedDistribution

_RULES: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
_RELATIVES = (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace)


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Register a function of two distributions as their divergence; a decorator.

    It is used for `type_p`, `type_q` and those derived from them that have no closer
    rule.

    Args:
        type_p: the class of the first.
        type_q: the class of the second.

    Raises:
        ArgumentTypeError: one is not a class of distributions.

    Example:
        >>> from plait.distributions import Normal, Uniform, register_kl
        >>> @register_kl(Normal, Uniform)
        ... def normal_to_uniform(p, q):
        ...     return p.loc + float("inf")
    """
    for cls in (type_p, type_q):
        given: Any = cls
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise ArgumentTypeError(
                "[register_kl] a class of distributions is needed", got=repr(cls)
            )

    def register(rule: Any) -> Any:
        _RULES[type_p, type_q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Return the divergence of Kullback and Leibler of `q` from `p`.

    Formula: the mean of log(p(x) / q(x)) over p. It is 0 where both are the same, and
    positive else; inf where p has values that q has not.

    Args:
        p: what the values come from.
        q: what they are compared with; the batch shapes broadcast.

    Raises:
        ArgumentError: no formula is known for the pair. Use the mean of
            `p.log_prob(x) - q.log_prob(x)` over samples of p.

    Source: S. Kullback, R. A. Leibler, "On information and sufficiency", 1951.
    """
    best: tuple[int, int, Any] | None = None
    ways_p, ways_q = type(p).__mro__, type(q).__mro__
    for (one, other), rule in _RULES.items():
        if one in ways_p and other in ways_q:
            distance = ways_p.index(one), ways_q.index(other)
            if best is None or distance < best[:2]:
                best = (*distance, rule)
    if best is None:
        raise ArgumentError(
            "[kl_divergence] no formula is known for this pair",
            got=f"{type(p).__name__} and {type(q).__name__}",
            fix="take the mean of p.log_prob(x) - q.log_prob(x) over samples of p",
        )
    found: Tensor = best[2](p, q)
    return found


def _for_all(types: tuple[type, ...], other: type) -> Callable[[Any], Any]:
    """Register a rule for several classes as the first."""

    def register(rule: Any) -> Any:
        for one in types:
            register_kl(one, other)(rule)
        return rule

    return register


def _x_log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """Return p * log(p / q): 0 where p is 0, inf where only q is."""
    found = plait.xlogy(p, p) - plait.xlogy(p, q)
    found = plait.where(q == 0, math.inf, found)
    return plait.where(p == 0, 0.0, found)


# Counts


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    a, b = p.probs, q.probs
    return _x_log_ratio(a, b) + _x_log_ratio(1 - a, 1 - b)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * plait.log(q.rate) - q.rate)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    """Only for a second one that counts at least as many trials.

    Where it counts more, the divergence has no closed form; the number of trials must
    be the same.
    """
    each = _x_log_ratio(p.probs, q.probs) + _x_log_ratio(1 - p.probs, 1 - q.probs)
    same = p.total_count == q.total_count
    known = plait.where(same, p.total_count * each, math.nan)
    return plait.where(p.total_count > q.total_count, math.inf, known)


@register_kl(Categorical, Categorical)
@register_kl(OneHotCategorical, OneHotCategorical)
def _categorical(p: Any, q: Any) -> Any:
    each = p.probs * (p.logits - q.logits)
    each = plait.where(q.probs == 0, math.inf, each)
    return plait.where(p.probs == 0, 0.0, each).sum(axis=-1)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - plait.log1p(-q.probs) * p.mean - plait.log(q.probs)


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return _x_log_ratio(p.rate, q.rate) - (p.rate - q.rate)


# Numbers with the log density of q linear or quadratic in x, log(x) and log(1 - x)


def _mean_log(p: Any) -> Any:
    """Return the mean of log(x)."""
    if isinstance(p, Beta):
        a, b = p.concentration1, p.concentration0
        return plait.digamma(a) - plait.digamma(a + b)
    if isinstance(p, Exponential):
        return -EULER_GAMMA - plait.log(p.rate)
    if isinstance(p, Gamma):
        return plait.digamma(p.concentration) - plait.log(p.rate)
    if isinstance(p, Pareto):
        return plait.log(p.scale) + 1 / p.alpha
    ends = plait.xlogy(p.high, p.high) - plait.xlogy(p.low, p.low)
    return ends / (p.high - p.low) - 1


def _within(p: Uniform, low: float, high: float, value: Any) -> Tensor:
    return plait.where((p.low >= low) & (p.high <= high), value, math.inf)


@_for_all((Normal, *_RELATIVES, Pareto, Uniform), Normal)
def _to_normal(p: Any, q: Normal) -> Any:
    off = plait.square((p.mean - q.loc) / q.scale)
    spread = p.variance / plait.square(q.scale)
    return 0.5 * (off + spread) + plait.log(q.scale) + HALF_LOG_2PI - p.entropy()


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = plait.square(p.scale / q.scale)
    off = plait.square((p.loc - q.loc) / q.scale)
    return 0.5 * (ratio + off - 1 - plait.log(ratio))


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    ratio = plait.square(p.scale / q.scale)
    return 0.5 * (ratio - 1 - plait.log(ratio))


@_for_all((Beta, ContinuousBernoulli, Exponential, Gamma, Pareto), Exponential)
def _to_exponential(p: Any, q: Exponential) -> Any:
    return q.rate * p.mean - plait.log(q.rate) - p.entropy()


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Uniform, q: Exponential) -> Any:
    return _within(p, 0.0, math.inf, _to_exponential(p, q))


@_for_all((Beta, Exponential, Gamma, Pareto), Gamma)
def _to_gamma(p: Any, q: Gamma) -> Any:
    a = q.concentration
    front = a * plait.log(q.rate) - plait.lgamma(a)
    return q.rate * p.mean - (a - 1) * _mean_log(p) - front - p.entropy()


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Uniform, q: Gamma) -> Tensor:
    return _within(p, 0.0, math.inf, _to_gamma(p, q))


@_for_all((Beta, ContinuousBernoulli), ContinuousBernoulli)
def _to_continuous_bernoulli(p: Any, q: ContinuousBernoulli) -> Any:
    return q.log_normalizer() - q.logits * p.mean - p.entropy()


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Uniform, q: ContinuousBernoulli) -> Any:
    return _within(p, 0.0, 1.0, _to_continuous_bernoulli(p, q))


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Any:
    mirrored = Beta(p.concentration0, p.concentration1, validate_args=False)
    logs = (q.concentration1 - 1) * _mean_log(p)
    logs = logs + (q.concentration0 - 1) * _mean_log(mirrored)
    return q._log_beta() - logs - p.entropy()


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    mirrored = Uniform(1 - p.high, 1 - p.low, validate_args=False)
    logs = (q.concentration1 - 1) * _mean_log(p)
    logs = logs + (q.concentration0 - 1) * _mean_log(mirrored)
    return _within(p, 0.0, 1.0, q._log_beta() - logs - p.entropy())


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    top = plait.lgamma(a.sum(axis=-1)) - plait.lgamma(b.sum(axis=-1))
    parts = plait.lgamma(b) - plait.lgamma(a)
    logs = plait.digamma(a) - plait.digamma(a.sum(axis=-1, keepdims=True))
    return top + (parts + (a - b) * logs).sum(axis=-1)


# Numbers with the log density of q in exp(-x)


def _mean_exponential(p: Any, rate: Tensor) -> Any:
    """Return the mean of exp(-rate * x)."""
    if isinstance(p, Exponential):
        return p.rate / (p.rate + rate)
    if isinstance(p, Gamma):
        return plait.exp(-p.concentration * plait.log1p(rate / p.rate))
    if isinstance(p, Gumbel):
        return plait.exp(plait.lgamma(1 + rate * p.scale) - rate * p.loc)
    if isinstance(p, Normal):
        return plait.exp(0.5 * plait.square(rate * p.scale) - rate * p.loc)
    ends = plait.exp(-rate * p.low) - plait.exp(-rate * p.high)
    return ends / (rate * (p.high - p.low))


@_for_all((Exponential, Gamma, Gumbel, Normal, Uniform), Gumbel)
def _to_gumbel(p: Any, q: Gumbel) -> Any:
    rate = 1 / q.scale
    off = (p.mean - q.loc) * rate
    wave = plait.exp(q.loc * rate) * _mean_exponential(p, rate)
    return off + wave + plait.log(q.scale) - p.entropy()


# Others


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    off = plait.abs(p.loc - q.loc)
    mean = off + p.scale * plait.exp(-off / p.scale)
    return plait.log(q.scale / p.scale) + mean / q.scale - 1


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    z = (p.loc - q.loc) / p.scale
    density = plait.exp(-0.5 * plait.square(z) - HALF_LOG_2PI)
    mean = p.scale * (2 * density + z * (2 * plait.ndtr(z) - 1))
    return mean / q.scale + plait.log(2 * q.scale) - p.entropy()


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    """Source: F. Chyzak, F. Nielsen, "A closed-form formula for the Kullback-Leibler
    divergence between Cauchy distributions", 2019.
    """
    apart = plait.square(p.scale + q.scale) + plait.square(p.loc - q.loc)
    return plait.log(apart) - plait.log(4 * p.scale * q.scale)


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = plait.log(p.scale / q.scale)
    shapes = q.alpha / p.alpha
    found = q.alpha * ratio - plait.log(shapes) + shapes - 1
    return plait.where(p.scale < q.scale, math.inf, found)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Uniform, q: Pareto) -> Tensor:
    front = plait.log(q.alpha) + q.alpha * plait.log(q.scale)
    found = (q.alpha + 1) * _mean_log(p) - front - p.entropy()
    return plait.where(p.low < q.scale, math.inf, found)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    found = plait.log((q.high - q.low) / (p.high - p.low))
    return plait.where((q.low > p.low) | (q.high < p.high), math.inf, found)


@_for_all((Beta, ContinuousBernoulli), Uniform)
def _unit_uniform(p: Any, q: Uniform) -> Any:
    found = plait.log(q.high - q.low) - p.entropy()
    return plait.where((q.low > 0) | (q.high < 1), math.inf, found)


# Vectors


def _scattered(cov: Tensor, lower: Tensor) -> Tensor:
    """Return the trace of (L L^T)^-1 C, with C by a factor."""
    return plait.square(solved(lower, cov)).sum(axis=(-2, -1))


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _to_multivariate_normal(p: Any, q: MultivariateNormal) -> Any:
    lower = q.scale_tril
    if isinstance(p, LowRankMultivariateNormal):
        own = plait.diag_embed(plait.sqrt(p.cov_diag))
        trace = _scattered(p.cov_factor, lower) + _scattered(own, lower)
        log_det = p.half_log_det()
    else:
        trace = _scattered(p.scale_tril, lower)
        log_det = half_log_det(p.scale_tril)
    off = squared_length(lower, q.loc - p.loc)
    k = p.event_shape[0]
    return half_log_det(lower) - log_det + 0.5 * (trace + off - k)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _to_low_rank(p: Any, q: LowRankMultivariateNormal) -> Any:
    low_rank = isinstance(p, LowRankMultivariateNormal)
    log_det = p.half_log_det() if low_rank else half_log_det(p.scale_tril)
    # The trace of C_q^-1 C_p, from the columns of factors of C_p.
    factors = (
        [p.cov_factor, plait.diag_embed(plait.sqrt(p.cov_diag))]
        if low_rank
        else [p.scale_tril]
    )
    inverse = plait.expand_dims(1 / q.cov_diag, -1)
    capacitance = q.capacitance_tril()
    trace: Any = 0.0
    for factor in factors:
        scaled = factor * inverse
        inner = q.cov_factor.mT @ scaled
        part = (factor * scaled).sum(axis=(-2, -1)) - _scattered(inner, capacitance)
        trace = part + trace
    off = q.squared_length(q.loc - p.loc)
    k = p.event_shape[0]
    return q.half_log_det() - log_det + 0.5 * (trace + off - k)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    count = p.reinterpreted_batch_ndims
    if count != q.reinterpreted_batch_ndims:
        raise ArgumentError(
            "[kl_divergence] the events have different numbers of axes",
            got=f"{count} and {q.reinterpreted_batch_ndims}",
        )
    return total(kl_divergence(p.base_dist, q.base_dist), count)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise ArgumentError(
            "[kl_divergence] both must have the same transforms",
            got=f"{p.transforms} and {q.transforms}",
        )
    return kl_divergence(p.base_dist, q.base_dist)


# Values that the second does not have at all


def _never(p: Distribution, q: Distribution) -> Tensor:
    return plait.full(
        broadcast("kl_divergence", p.batch_shape, q.batch_shape), math.inf
    )


_BOUNDED = (Beta, ContinuousBernoulli, Uniform)
for _one, _others in {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (*_BOUNDED, Pareto),
    Gamma: (*_BOUNDED, Pareto),
    Gumbel: (*_BOUNDED, Exponential, Gamma, Pareto),
    Laplace: (*_BOUNDED, Exponential, Gamma, Pareto),
    Normal: (*_BOUNDED, Exponential, Gamma, Pareto),
    Pareto: _BOUNDED,
    Poisson: (Bernoulli, Binomial),
}.items():
    for _other in _others:
        register_kl(_one, _other)(_never)
