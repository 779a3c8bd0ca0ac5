"""What distributions share: shapes, types, checks and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import plait
from plait import distributions as d
from plait import errors


def message(call):
    with pytest.raises(errors.PlaitError) as caught:
        call()
    return caught.value.message


def test_parameters_broadcast_and_promote():
    p = d.Normal(plait.zeros((3, 1)), plait.ones(2, dtype=plait.float64))
    assert (p.batch_shape, p.event_shape) == ((3, 2), ())
    assert p.loc.shape == p.scale.shape == (3, 2)
    assert p.loc.dtype is p.sample().dtype is plait.float64
    assert d.Normal(0, 1).loc.dtype is plait.float32
    half = d.Gamma(plait.ones(3, dtype=plait.float16), 2.0)
    assert half.rate.dtype is half.rsample().dtype is plait.float16
    assert d.Poisson(plait.tensor([1, 2])).rate.dtype is plait.float32
    assert d.Normal([0.0, 1.0], np.ones(2)).batch_shape == (2,)
    assert p.sample(4).shape == p.sample((4,)).shape == (4, 3, 2)
    np.testing.assert_allclose(p.stddev.numpy(), 1)
    np.testing.assert_allclose(p.perplexity().log().numpy(), p.entropy().numpy())


def test_numbers_are_checked_without_being_asked():
    assert message(lambda: d.Normal(0.0, -1.0)) == (
        "[Normal] scale is outside its range. Got: -1.0. Expected: greater than 0."
    )
    assert message(lambda: d.Bernoulli(1.5)) == (
        "[Bernoulli] probs is outside its range. Got: 1.5. Expected: in 0..1."
    )
    assert message(lambda: d.Binomial(2.5, 0.5)) == (
        "[Binomial] total_count is outside its range. Got: 2.5. "
        "Expected: an integer, not negative."
    )
    assert message(lambda: d.Uniform(1.0, 1.0)) == (
        "[Uniform] low must be below high. Got: low=1.0, high=1.0."
    )
    assert message(lambda: d.Normal(math.nan, 1.0)).startswith("[Normal] loc is")
    assert message(lambda: d.RelaxedOneHotCategorical(0.0, plait.ones(2))) == (
        "[ExpRelaxedCategorical] temperature is outside its range. Got: 0.0. "
        "Expected: greater than 0."
    )
    d.Normal(0.0, -1.0, validate_args=False)


def test_tensors_are_checked_when_asked():
    scale = plait.tensor([1.0, -2.0])
    d.Normal(0.0, scale)
    wanted = (
        "[Normal] scale is outside its range. Got: [1.0, -2.0]. "
        "Expected: greater than 0."
    )
    assert message(lambda: d.Normal(0.0, scale, validate_args=True)) == wanted
    d.Distribution.set_default_validate_args(True)
    try:
        assert message(lambda: d.Normal(0.0, scale)) == wanted
        assert message(lambda: d.Categorical(plait.tensor([0.5, -0.5]))).startswith(
            "[Categorical] probs is outside its range"
        )
    finally:
        d.Distribution.set_default_validate_args(None)
    many = plait.full(100, -1.0)
    assert "..." in message(lambda: d.Normal(0.0, many, validate_args=True))
    matrix = plait.tensor([[1.0, 2.0], [2.0, 1.0]])
    assert message(
        lambda: d.MultivariateNormal(plait.zeros(2), matrix, validate_args=True)
    ) == (
        "[MultivariateNormal] covariance_matrix is outside its range. "
        "Got: [[1.0, 2.0], [2.0, 1.0]]. Expected: positive definite matrices."
    )
    assert message(lambda: d.Wishart(1.0, plait.eye(2))) == (
        "[Wishart] df is outside its range. Got: 1.0. Expected: greater than 1."
    )


def test_values_are_checked_when_asked():
    p = d.Gamma(plait.tensor([1.0, 2.0]), 1.0, validate_args=True)
    assert message(lambda: p.log_prob(plait.tensor([1.0, -1.0]))) == (
        "[Gamma] value is outside its range. Got: [1.0, -1.0]. Expected: at least 0."
    )
    assert message(lambda: d.Categorical(plait.ones(3), validate_args=True).log_prob(3)
                   ).endswith("Got: 3. Expected: an integer in 0..2.")  # fmt: skip
    p = d.Multinomial(3, plait.ones(2), validate_args=True)
    assert "Expected: counts whose sum is 3" in message(
        lambda: p.log_prob(plait.tensor([1.0, 1.0]))
    )


def test_checks_are_left_out_where_values_are_not_known():
    @plait.jit
    def density(scale, x):
        return d.Normal(0.0, scale, validate_args=True).log_prob(x)

    scale, x = plait.tensor([1.0, 2.0]), plait.tensor([0.5, 1.0])
    expected = d.Normal(0.0, scale).log_prob(x)
    np.testing.assert_allclose(density(scale, x).numpy(), expected.numpy(), rtol=1e-6)


def test_shapes_must_fit():
    p = d.Normal(plait.zeros((3, 2)), 1.0)
    assert message(lambda: p.log_prob(plait.zeros(3))) == (
        "[Normal] shapes do not broadcast. Got: (3,) and (3, 2)."
    )
    assert message(lambda: d.Normal(plait.zeros(3), plait.ones(2))) == (
        "[Normal] shapes do not broadcast. Got: loc of (3,), scale of (2,)."
    )
    p = d.Dirichlet(plait.ones(3))
    assert message(lambda: p.log_prob(plait.ones(4))) == (
        "[Dirichlet] a value does not end in the event shape. Got: shape (4,). "
        "Expected: (..., 3)."
    )
    assert message(lambda: d.Categorical(plait.tensor(1.0))) == (
        "[Categorical] the last axis of probs must be that of the categories. "
        "Got: shape ()."
    )
    assert message(lambda: d.Independent(p, 1)) == (
        "[Independent] the batch has not so many axes. "
        "Got: reinterpreted_batch_ndims=1 for Dirichlet(batch_shape=(), "
        "event_shape=(3,)). Expected: 0 to 0."
    )
    assert "each category needs one component" in message(
        lambda: d.MixtureSameFamily(
            d.Categorical(plait.ones(3)), d.Normal(plait.zeros(2), 1.0)
        )
    )


def test_one_form_of_a_parameter_is_needed():
    assert message(lambda: d.Bernoulli()) == (
        "[Bernoulli] one of probs, logits must be given. Got: none."
    )
    assert message(lambda: d.Bernoulli(0.5, 0.0)) == (
        "[Bernoulli] one of probs, logits must be given. Got: probs and logits."
    )
    assert "covariance_matrix, precision_matrix, scale_tril" in message(
        lambda: d.MultivariateNormal(plait.zeros(2))
    )


def test_what_is_lacking_is_said():
    assert message(lambda: d.Poisson(1.0).rsample()) == (
        "[Poisson] there is no rsample. Fix: use sample(), and log_prob() of what is."
    )
    assert message(lambda: d.Poisson(1.0).entropy()) == (
        "[Poisson] there is no entropy."
    )
    assert message(lambda: d.LKJCholesky(3).mean) == "[LKJCholesky] there is no mean."
    assert message(lambda: d.LKJCholesky(1)) == (
        "[LKJCholesky] dim must be at least 2. Got: 1."
    )
    assert message(lambda: d.Multinomial(-1, plait.ones(2))) == (
        "[Multinomial] total_count must be a whole number. Got: -1."
    )
    differ = d.Binomial(plait.tensor([1.0, 2.0]), 0.5)
    assert "the total counts differ" in message(differ.enumerate_support)


def test_draws_inside_jit_take_keys():
    @plait.jit
    def noise(key):
        return d.Normal(0.0, 1.0).sample((3,), key=key)

    @plait.jit
    def keyed(key):
        with plait.random.keyed(key):
            return d.Normal(0.0, 1.0).sample((3,))

    @plait.jit
    def keyless(x):
        return x + d.Normal(0.0, 1.0).sample()

    key = plait.random.key(1)
    expected = d.Normal(0.0, 1.0).sample((3,), key=key).numpy()
    np.testing.assert_array_equal(noise(key).numpy(), expected)
    np.testing.assert_array_equal(keyed(key).numpy(), expected)
    with pytest.raises(errors.TracingError):
        keyless(plait.zeros(3))


def test_infinite_densities_and_certain_events():
    certain = plait.tensor([0.0, 1.0])
    assert (d.Bernoulli(certain).sample((50,)).numpy() == [0, 1]).all()
    assert (d.Binomial(5, certain).sample((50,)).numpy() == [0, 5]).all()
    assert np.isfinite(d.Bernoulli(certain).log_prob(certain).numpy()).all()
    probs = plait.tensor([0.0, 1.0])
    assert (d.Categorical(probs).sample((50,)).numpy() == 1).all()
    assert d.Uniform(0.0, 1.0).log_prob(2.0).item() == -math.inf
    assert d.HalfNormal(1.0).log_prob(-0.1).item() == -math.inf
    assert d.Poisson(0.0).log_prob(0.0).item() == 0
    assert math.isinf(d.StudentT(1.5).variance.item())
    assert math.isnan(d.StudentT(0.5).variance.item())


def test_small_concentrations_keep_their_derivatives():
    def both(a):
        return d.Beta(a, a).rsample((200,), key=plait.random.key(1)).sum()

    a = plait.tensor(np.array([1e-3, 1e-2, 0.1]))
    x = d.Dirichlet(a).sample((500,)).numpy()
    np.testing.assert_allclose(x.sum(-1), 1)
    assert np.isfinite(plait.grad(both)(a).numpy()).all()


def test_training_through_draws_finds_the_parameters():
    """A gamma distribution is fitted to another one, through its draws alone."""
    target = d.Gamma(3.0, 2.0)
    free = plait.zeros(2, requires_grad=True)
    optimizer = plait.optim.Adam([free], lr=0.05)
    plait.manual_seed(0)
    for _ in range(150):
        optimizer.zero_grad()
        a, b = plait.unstack(plait.exp(free))
        q = d.Gamma(a, b)
        x = q.rsample((64,))
        (q.log_prob(x) - target.log_prob(x)).mean().backward()
        optimizer.step()
    found = d.Gamma(*plait.unstack(plait.exp(free.detach())))
    assert d.kl_divergence(found, target).item() < 0.01


def test_broad_and_narrow_angles():
    for k in (1e-6, 0.5, 30.0, 49.9, 50.1, 1e4, 1e8):
        p = d.VonMises(plait.tensor(np.array(0.3)), k)
        x = p.sample((2000,), key=plait.random.key(1)).numpy()
        assert ((x >= -math.pi) & (x <= math.pi)).all()
        spread = 1 - np.cos(x - 0.3)
        error = 5 * spread.std() / math.sqrt(2000)
        assert abs(spread.mean() - p.variance.item()) < error + 1e-12


def test_continuous_bernoulli_near_one_half():
    for t in (-0.31, -0.29, -0.011, -0.009, 0.0, 1e-5, 0.0101, 0.299, 0.301, 40.0):
        p = d.ContinuousBernoulli(logits=plait.tensor(np.array(t)))
        u = plait.tensor(np.array([0.05, 0.4, 0.9]))
        x = p.icdf(u)
        np.testing.assert_allclose(p.cdf(x).numpy(), u.numpy(), rtol=1e-6)
        nodes, weights = np.polynomial.legendre.leggauss(80)
        nodes, weights = (nodes + 1) / 2, weights / 2
        density = np.exp(p.log_prob(plait.tensor(nodes)).numpy()) * weights
        mean = (density * nodes).sum()
        np.testing.assert_allclose(density.sum(), 1, rtol=1e-10)
        np.testing.assert_allclose(p.mean.item(), mean, rtol=1e-9)
        variance = (density * (nodes - mean) ** 2).sum()
        np.testing.assert_allclose(p.variance.item(), variance, rtol=1e-8)
        np.testing.assert_allclose(
            p.entropy().item(),
            -(density * p.log_prob(plait.tensor(nodes)).numpy()).sum(),
            atol=1e-9,
        )


def test_what_is_impossible_is_not_drawn():
    key = plait.random.key(3)
    never = d.Categorical(plait.tensor([0.0, 1.0, 0.0])).sample((200000,), key=key)
    assert (never == 1).all().item()
    at_once = d.Geometric(plait.tensor(1.0)).sample((200000,), key=key)
    assert (at_once == 0).all().item()
