"""What distributions must be, by SciPy or by formulas in NumPy.

Read first: `REFERENCES`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.special
import scipy.stats as st

Parameters = dict[str, Any]


class Formula(NamedTuple):
    """A density that SciPy lacks."""

    logpdf: Any
    cdf: Any = None


def probs(p: Parameters) -> Any:
    return p["probs"] if "probs" in p else scipy.special.expit(p["logits"])


def shares(p: Parameters) -> Any:
    if "probs" in p:
        return p["probs"] / p["probs"].sum(-1, keepdims=True)
    return scipy.special.softmax(p["logits"], -1)


def pair(p: Parameters) -> tuple[Any, Any]:
    return p["loc"], p["scale"]


def concentrations(p: Parameters) -> tuple[Any, Any]:
    return p["concentration1"], p["concentration0"]


def log_sum(x: Any) -> Any:
    return scipy.special.logsumexp(x, axis=-1, keepdims=True)


def categorical(p: Parameters) -> Formula:
    table = np.log(shares(p))

    def logpdf(x: Any) -> Any:
        x = np.asarray(x, int)
        shape = np.broadcast_shapes(x.shape, table.shape[:-1])
        full = np.broadcast_to(table, (*shape, table.shape[-1]))
        places = np.broadcast_to(x, shape)[..., None]
        return np.take_along_axis(full, places, -1)[..., 0]

    return Formula(logpdf)


def continuous_bernoulli(p: Parameters) -> Formula:
    a = probs(p)
    # The area under a ** x * (1 - a) ** (1 - x), with many points.
    grid, weights = np.polynomial.legendre.leggauss(60)
    grid, weights = (grid + 1) / 2, weights / 2
    area = (weights * a[..., None] ** grid * (1 - a[..., None]) ** (1 - grid)).sum(-1)
    t = np.log(a / (1 - a))
    return Formula(
        lambda x: scipy.special.xlogy(x, a) + scipy.special.xlogy(1 - x, 1 - a)
        - np.log(area),
        lambda x: np.expm1(t * x) / np.expm1(t),
    )  # fmt: skip


def kumaraswamy(p: Parameters) -> Formula:
    a, b = concentrations(p)
    return Formula(
        lambda x: np.log(a * b) + (a - 1) * np.log(x) + (b - 1) * np.log(1 - x**a),
        lambda x: 1 - (1 - x**a) ** b,
    )


def multivariate(p: Parameters) -> Formula:
    if "scale_tril" in p:
        c = p["scale_tril"] @ p["scale_tril"].T
    elif "precision_matrix" in p:
        c = np.linalg.inv(p["precision_matrix"])
    elif "cov_factor" in p:
        c = p["cov_factor"] @ p["cov_factor"].T + np.diag(p["cov_diag"])
    else:
        c = p["covariance_matrix"]

    def logpdf(x: Any) -> Any:
        off = x - p["loc"]
        inner = np.einsum("...i,ij,...j->...", off, np.linalg.inv(c), off)
        return -0.5 * (inner + np.log(np.linalg.det(2 * math.pi * c)))

    return Formula(logpdf)


def dirichlet(p: Parameters) -> Formula:
    a = p["concentration"]
    front = scipy.special.gammaln(a.sum(-1)) - scipy.special.gammaln(a).sum(-1)
    return Formula(lambda x: front + ((a - 1) * np.log(x)).sum(-1))


def multinomial(p: Parameters) -> Formula:
    n, a = p["total_count"], shares(p)

    def logpdf(x: Any) -> Any:
        ways = scipy.special.gammaln(n + 1) - scipy.special.gammaln(x + 1).sum(-1)
        return ways + scipy.special.xlogy(x, a).sum(-1)

    return Formula(logpdf)


def logit_relaxed(p: Parameters) -> Any:
    t, a = p["temperature"], probs(p)
    return st.logistic(np.log(a / (1 - a)) / t, 1 / t)


def relaxed_bernoulli(p: Parameters) -> Formula:
    inner = logit_relaxed(p)
    logit = scipy.special.logit
    return Formula(
        lambda x: inner.logpdf(logit(x)) - np.log(x * (1 - x)),
        lambda x: inner.cdf(logit(x)),
    )


def exp_relaxed(p: Parameters) -> Formula:
    t, a = p["temperature"], shares(p)
    k = a.shape[-1]

    def logpdf(x: Any) -> Any:
        s = np.log(a) - t * x
        front = scipy.special.gammaln(k) + (k - 1) * np.log(t)
        return front + (s - log_sum(s)).sum(-1)

    return Formula(logpdf)


def relaxed_one_hot(p: Parameters) -> Formula:
    inner = exp_relaxed(p)
    return Formula(lambda x: inner.logpdf(np.log(x)) - np.log(x).sum(-1))


def logistic_normal(p: Parameters) -> Formula:
    def logpdf(y: Any) -> Any:
        rest = 1 - np.cumsum(y, -1)[..., :-1]
        z = y[..., :-1] / (y[..., :-1] + rest)
        k = y.shape[-1]
        x = scipy.special.logit(z) + np.log(np.arange(k - 1, 0, -1))
        before = rest + y[..., :-1]
        stretch = np.log(z * (1 - z) * before).sum(-1)
        return st.norm(*pair(p)).logpdf(x).sum(-1) - stretch

    return Formula(logpdf)


def lkj(p: Parameters) -> Formula:
    n, eta = p["dim"], np.asarray(p["concentration"])

    def logpdf(x: Any) -> Any:
        # A row is a direction on a sphere, and a length whose square is beta.
        result: Any = 0.0
        for i in range(1, n):
            used = (x[i, :i] ** 2).sum()
            beta = st.beta(i / 2, eta + (n - 1 - i) / 2)
            sphere = math.log(2) + i / 2 * math.log(math.pi) - math.lgamma(i / 2)
            # Of y = r ** 2, dy = 2 r dr and the volume is r ** (i - 1) dr.
            result = result + beta.logpdf(used) - sphere
            result = result + math.log(2) - (i / 2 - 1) * np.log(used)
        return result

    return Formula(logpdf)


def wishart(p: Parameters) -> Formula:
    lower = p.get("scale_tril")
    c = p["covariance_matrix"] if lower is None else lower @ lower.T
    return Formula(lambda x: np.array([st.wishart(df, c).logpdf(x) for df in p["df"]]))


def transformed(p: Parameters) -> Formula:
    if p["loc"][1] == -1 and p["scale"][1] == 0.6:
        low, width = pair(p)
        # x -> 0.5 + scale * (1 - 2 x), of a uniform x.
        ends = 0.5 + width * (1 - 2 * low), 0.5 + width * (1 - 2 * (low + width))
        inner = st.uniform(ends[1], ends[0] - ends[1])
        return Formula(inner.logpdf, inner.cdf)
    raise AssertionError


def tanh(p: Parameters) -> Formula:
    return Formula(
        lambda y: (st.norm(*pair(p)).logpdf(np.arctanh(y)) - np.log1p(-(y**2))).sum(-1)
    )


def independent(p: Parameters) -> Formula:
    return Formula(lambda x: st.norm(*pair(p)).logpdf(x).sum(-1))


def mixture(p: Parameters) -> Formula:
    if "scale" not in p:
        a = shares(p)
        parts = st.laplace(p["loc"], 0.5)
        return Formula(
            lambda x: np.log(
                (a * np.exp(parts.logpdf(x[..., None, :]).sum(-1))).sum(-1)
            )
        )
    a, numbers = shares(p), st.norm(*pair(p))
    return Formula(
        lambda x: np.log((a * numbers.pdf(x[..., None])).sum(-1)),
        lambda x: (a * numbers.cdf(x[..., None])).sum(-1),
    )


# Name -> what gives logpdf or logpmf, and maybe cdf and entropy, for the parameters of
# one sample; a list where the samples are made differently.
REFERENCES: dict[str, Any] = {
    "Bernoulli": lambda p: st.bernoulli(probs(p)),
    "Beta": lambda p: st.beta(*concentrations(p)),
    "Binomial": lambda p: st.binom(p["total_count"], probs(p)),
    "Categorical": categorical,
    "Cauchy": lambda p: st.cauchy(*pair(p)),
    "Chi2": lambda p: st.chi2(p["df"]),
    "ContinuousBernoulli": continuous_bernoulli,
    "Dirichlet": dirichlet,
    "ExpRelaxedCategorical": exp_relaxed,
    "Exponential": lambda p: st.expon(scale=1 / p["rate"]),
    "FisherSnedecor": lambda p: st.f(p["df1"], p["df2"]),
    "Gamma": lambda p: st.gamma(p["concentration"], scale=1 / p["rate"]),
    "GeneralizedPareto": lambda p: st.genpareto(p["concentration"], *pair(p)),
    "Geometric": lambda p: st.geom(probs(p), loc=-1),
    "Gumbel": lambda p: st.gumbel_r(*pair(p)),
    "HalfCauchy": lambda p: st.halfcauchy(scale=p["scale"]),
    "HalfNormal": lambda p: st.halfnorm(scale=p["scale"]),
    "Independent": independent,
    "InverseGamma": lambda p: st.invgamma(p["concentration"], scale=p["rate"]),
    "Kumaraswamy": kumaraswamy,
    "LKJCholesky": lkj,
    "Laplace": lambda p: st.laplace(*pair(p)),
    "LogNormal": lambda p: st.lognorm(p["scale"], scale=np.exp(p["loc"])),
    "LogisticNormal": logistic_normal,
    "LogitRelaxedBernoulli": logit_relaxed,
    "LowRankMultivariateNormal": multivariate,
    "MixtureSameFamily": mixture,
    "Multinomial": multinomial,
    "MultivariateNormal": multivariate,
    "NegativeBinomial": lambda p: st.nbinom(p["total_count"], 1 - probs(p)),
    "Normal": lambda p: st.norm(*pair(p)),
    "OneHotCategorical": lambda p: multinomial({**p, "total_count": 1}),
    "OneHotCategoricalStraightThrough": lambda p: multinomial({**p, "total_count": 1}),
    "Pareto": lambda p: st.pareto(p["alpha"], scale=p["scale"]),
    "Poisson": lambda p: st.poisson(p["rate"]),
    "RelaxedBernoulli": relaxed_bernoulli,
    "RelaxedOneHotCategorical": relaxed_one_hot,
    "StudentT": lambda p: st.t(p["df"], *pair(p)),
    "TransformedDistribution": [transformed, tanh],
    "Uniform": lambda p: st.uniform(p["low"], p["high"] - p["low"]),
    "VonMises": lambda p: st.vonmises(p["concentration"], p["loc"]),
    "Weibull": lambda p: st.weibull_min(p["concentration"], scale=p["scale"]),
    "Wishart": wishart,
}
