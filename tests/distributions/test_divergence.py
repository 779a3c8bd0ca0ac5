"""Divergences: every pair against PyTorch, and against the mean over draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

import plait
from plait import distributions, errors
from plait.distributions import divergence, kl_divergence

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

LOWER = [[1.0, 0.0], [0.5, 0.7]]
# Two of each kind, by arguments.
ARGUMENTS = {
    "Bernoulli": [{"probs": [0.3, 0.9]}, {"probs": [0.6, 0.2]}],
    "Beta": [
        {"concentration1": [1.5, 3.0], "concentration0": [2.0, 0.8]},
        {"concentration1": [2.5, 1.0], "concentration0": [1.0, 1.3]},
    ],
    "Binomial": [
        {"total_count": 7, "probs": [0.3, 0.9]},
        {"total_count": 7, "probs": [0.6, 0.2]},
    ],
    "Categorical": [{"probs": [0.2, 0.3, 0.5]}, {"logits": [0.3, -1.0, 0.5]}],
    "Cauchy": [
        {"loc": [0.5, 1.0], "scale": [1.0, 2.0]},
        {"loc": [1.0, -1.0], "scale": [0.5, 3.0]},
    ],
    "ContinuousBernoulli": [{"probs": [0.3, 0.9]}, {"probs": [0.6, 0.2]}],
    "Dirichlet": [
        {"concentration": [0.8, 2.0, 3.0]}, {"concentration": [1.5, 0.7, 2.0]}
    ],
    "Exponential": [{"rate": [0.5, 2.0]}, {"rate": [1.5, 0.3]}],
    "Gamma": [
        {"concentration": [0.8, 3.0], "rate": [1.0, 2.0]},
        {"concentration": [1.5, 2.0], "rate": [0.7, 1.0]},
    ],
    "Geometric": [{"probs": [0.3, 0.9]}, {"probs": [0.6, 0.2]}],
    "Gumbel": [
        {"loc": [0.5, 1.0], "scale": [1.0, 0.5]},
        {"loc": [1.0, -1.0], "scale": [0.8, 3.0]},
    ],
    "HalfNormal": [{"scale": [0.5, 2.0]}, {"scale": [1.5, 0.3]}],
    "Laplace": [
        {"loc": [0.5, 1.0], "scale": [1.0, 0.5]},
        {"loc": [1.0, -1.0], "scale": [0.8, 3.0]},
    ],
    "LowRankMultivariateNormal": [
        {"loc": [0.5, 1.0], "cov_factor": [[1.0], [0.5]], "cov_diag": [0.3, 1.0]},
        {"loc": [1.0, -1.0], "cov_factor": [[0.2], [0.9]], "cov_diag": [1.0, 0.6]},
    ],
    "MultivariateNormal": [
        {"loc": [0.5, 1.0], "scale_tril": LOWER},
        {"loc": [1.0, -1.0], "covariance_matrix": [[2.0, 0.3], [0.3, 0.9]]},
    ],
    "Normal": [
        {"loc": [0.5, 1.0], "scale": [1.0, 0.5]},
        {"loc": [1.0, -1.0], "scale": [0.8, 3.0]},
    ],
    "OneHotCategorical": [{"probs": [0.2, 0.3, 0.5]}, {"logits": [0.3, -1.0, 0.5]}],
    "Pareto": [
        {"scale": [1.5, 2.0], "alpha": [3.0, 4.0]},
        {"scale": [1.0, 0.5], "alpha": [2.5, 5.0]},
    ],
    "Poisson": [{"rate": [0.5, 7.0]}, {"rate": [1.5, 4.0]}],
    "Uniform": [
        {"low": [0.2, 0.5], "high": [0.7, 0.9]}, {"low": [-0.5, -0.2], "high": [1.5, 2]}
    ],
}  # fmt: skip
PAIRS = sorted(
    (p.__name__, q.__name__)
    for p, q in divergence._RULES
    if p.__name__ in ARGUMENTS and q.__name__ in ARGUMENTS
)


def build(name, which, module, tensor, validate=None):
    arguments = {
        key: tensor(np.array(x, float)) if isinstance(x, list) else x
        for key, x in ARGUMENTS[name][which].items()
    }
    return getattr(module, name)(**arguments, validate_args=validate)


def ours(name, which):
    return build(name, which, distributions, plait.tensor)


def test_all_rules_are_tried():
    others = {"ExponentialFamily", "Independent", "TransformedDistribution"}
    names = {cls.__name__ for pair in divergence._RULES for cls in pair}
    assert names == {*ARGUMENTS, *others}


@needs_torch
def test_there_is_a_formula_for_all_that_pytorch_has():
    known = {(p.__name__, q.__name__) for p, q in divergence._RULES}
    theirs = {(p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY}
    assert theirs - known == set()


@needs_torch
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_equals_torch(p, q):
    found = kl_divergence(ours(p, 0), ours(q, 1))
    theirs = [
        build(name, which, torch.distributions, torch.tensor, False)
        for which, name in enumerate((p, q))
    ]
    if not any(
        p == a.__name__ and q == b.__name__
        for a, b in torch.distributions.kl._KL_REGISTRY
    ):
        return
    expected = torch.distributions.kl_divergence(*theirs).numpy()
    assert found.shape == expected.shape
    # Its Pareto and continuous Bernoulli have approximations.
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_equals_the_mean_over_draws(p, q):
    first, second = ours(p, 0), ours(q, 1)
    found = kl_divergence(first, second).numpy()
    x = first.sample((20000,), key=plait.random.key(1))
    logs = (first.log_prob(x) - second.log_prob(x)).numpy()
    for place in np.ndindex(found.shape):
        one = logs[:, *place]
        if np.isinf(found[place]):
            # Somewhere outside, where the density of the second is 0 or has no meaning.
            inside = second.support.check(x).numpy().reshape(len(one), -1).all()
            assert not inside
        else:
            error = 6 * one.std() / math.sqrt(len(one))
            assert abs(one.mean() - found[place]) < error + 1e-12


@pytest.mark.parametrize("name", ARGUMENTS)
def test_is_zero_for_the_same(name):
    p = ours(name, 0)
    np.testing.assert_allclose(kl_divergence(p, p).numpy(), 0, atol=1e-12)


def test_independent_and_transformed():
    p, q = ours("Normal", 0), ours("Normal", 1)
    parts = kl_divergence(p, q)
    d = distributions
    whole = kl_divergence(d.Independent(p, 1), d.Independent(q, 1))
    np.testing.assert_allclose(whole.numpy(), parts.numpy().sum())
    logs = kl_divergence(d.LogNormal(p.loc, p.scale), d.LogNormal(q.loc, q.scale))
    np.testing.assert_allclose(logs.numpy(), parts.numpy())
    tanh = [d.TransformedDistribution(x, d.TanhTransform()) for x in (p, q)]
    np.testing.assert_allclose(kl_divergence(*tanh).numpy(), parts.numpy())
    with pytest.raises(errors.ArgumentError, match="the same transforms"):
        kl_divergence(tanh[0], d.LogNormal(q.loc, q.scale))
    with pytest.raises(errors.ArgumentError, match="numbers of axes"):
        kl_divergence(d.Independent(p, 1), d.Independent(q, 0))


def test_batches_broadcast():
    d = distributions
    p = d.Normal(plait.zeros((3, 1)), 1.0)
    for q in (d.Normal(plait.zeros(2), 2.0), d.Uniform(plait.zeros(2), 1.0)):
        assert kl_divergence(p, q).shape == (3, 2)


def test_support_decides_about_infinity():
    d = distributions
    inside = d.Uniform(0.2, 0.5)
    assert kl_divergence(inside, d.Uniform(0.3, 1.0)).item() == math.inf
    assert kl_divergence(d.Uniform(-0.1, 0.5), d.Beta(1.0, 2.0)).item() == math.inf
    assert kl_divergence(d.Pareto(1.0, 2.0), d.Pareto(1.5, 2.0)).item() == math.inf
    certain = d.Bernoulli(plait.tensor([0.0, 0.5]))
    found = kl_divergence(certain, d.Bernoulli(plait.tensor([0.0, 0.0]))).tolist()
    assert found == [0.0, math.inf]
    few = d.Binomial(3, 0.5)
    assert kl_divergence(few, d.Binomial(2, 0.5)).item() == math.inf
    assert math.isnan(kl_divergence(few, d.Binomial(4, 0.5)).item())


def test_a_rule_of_ones_own():
    d = distributions

    class Mine(d.Normal):
        pass

    p, q = Mine(0.0, 1.0), d.Normal(1.0, 2.0)
    assert kl_divergence(p, q).item() == pytest.approx(
        kl_divergence(d.Normal(0.0, 1.0), q).item()
    )

    @d.register_kl(Mine, d.Normal)
    def rule(p, q):
        return plait.tensor(7.0)

    try:
        assert kl_divergence(p, q).item() == 7
        assert kl_divergence(p, p).item() == 7
    finally:
        del divergence._RULES[Mine, d.Normal]


def test_errors():
    d = distributions
    with pytest.raises(errors.ArgumentError) as caught:
        kl_divergence(d.Normal(0.0, 1.0), d.Poisson(1.0))
    assert str(caught.value).startswith(
        "[kl_divergence] no formula is known for this pair. Got: Normal and Poisson. "
        "Fix: take the mean of p.log_prob(x) - q.log_prob(x) over samples of p."
    )
    with pytest.raises(errors.ArgumentTypeError, match="a class of distributions"):
        d.register_kl(int, d.Normal)


def test_gradients():
    def loss(loc, scale):
        p = distributions.Normal(loc, scale)
        return kl_divergence(p, distributions.Normal(0.0, 1.0)).sum()

    loc, scale = plait.tensor([0.5, -1.0]), plait.tensor([0.4, 2.0])
    by_loc, by_scale = plait.grad(loss, (0, 1))(loc, scale)
    np.testing.assert_allclose(by_loc.numpy(), loc.numpy(), rtol=1e-6)
    expected = scale.numpy() - 1 / scale.numpy()
    np.testing.assert_allclose(by_scale.numpy(), expected, rtol=1e-6)
