"""Every distribution, by the samples that it gives of itself."""

from __future__ import annotations

import functools
import inspect
import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats

import plait
from plait import distributions, errors
from plait.distributions import Distribution, Sample
from plait.settings import settings

from .references import REFERENCES

try:
    import torch
except ImportError:  # the comparisons with PyTorch are skipped
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

CLASSES = {
    name: cls
    for name in distributions.__all__
    if isinstance(cls := getattr(distributions, name), type)
    and issubclass(cls, Distribution)
    and cls not in (Distribution, distributions.ExponentialFamily)
}
CASES = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, cls in CLASSES.items()
    for i in range(len(cls.samples()))
]
every_sample = pytest.mark.parametrize(("name", "i"), CASES)
# Where the parameters are given otherwise, or it is made of others, the rest is alike.
every_kind = pytest.mark.parametrize(
    ("name", "i"),
    [case for case in CASES if not case.values[1] or "Transformed" in case.values[0]],
)

# Made of gamma distributed numbers, which come by rejection: with the same key, they
# do not move continuously, and a derivative is one in the mean.
REJECTED = {
    "Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "InverseGamma", "StudentT",
    "Wishart",
}  # fmt: skip
DRAWS = 20000


def sample_of(name: str, i: int) -> Sample:
    sample: Sample = CLASSES[name].samples()[i]
    return sample


def made(name: str, sample: Sample, parameters: Any, module: Any = None) -> Any:
    """Return the distribution with parameters in place of those of the sample."""
    module = distributions if module is None else module
    if sample.make is not None:
        return sample.make(module, **parameters)
    kind = module if hasattr(module, name) else module.relaxed_bernoulli
    if not hasattr(kind, name):
        kind = module.relaxed_categorical
    return getattr(kind, name)(**parameters)


def given(sample: Sample, dtype: Any = plait.float64) -> dict[str, Any]:
    return {
        key: plait.tensor(x, dtype=dtype) if isinstance(x, np.ndarray) else x
        for key, x in sample.parameters.items()
    }


def build(name: str, i: int, dtype: Any = plait.float64) -> Any:
    sample = sample_of(name, i)
    return made(name, sample, given(sample, dtype))


@functools.cache
def draws(name: str, i: int) -> np.ndarray:
    x = build(name, i).sample((DRAWS,), key=plait.random.key(1)).numpy()
    x.flags.writeable = False
    return x


def tensor(x: Any) -> Any:
    return plait.tensor(np.asarray(x))


def reference(name: str, i: int) -> Any:
    found = REFERENCES[name]
    found = found[i] if isinstance(found, list) else found
    return found(sample_of(name, i).parameters)


def log_density(exact: Any) -> Any:
    return exact.logpmf if hasattr(exact, "logpmf") else exact.logpdf


def close(found: Any, expected: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def attempt(function: Any) -> Any:
    """Return what a function gives, or None where the distribution lacks that."""
    try:
        return function()
    except errors.ArgumentError as error:
        assert "there is no" in str(error)  # noqa: PT017
        return None


def moments(name: str, i: int) -> tuple[Any, Any] | None:
    """Return mean and variance, if there are any and they are finite."""
    d = build(name, i)
    mean, variance = attempt(lambda: d.mean), attempt(lambda: d.variance)
    if mean is None or variance is None or name == "VonMises":
        return None
    return mean.numpy(), variance.numpy()


# What they are


def test_every_distribution_gives_samples_and_has_a_reference():
    assert [name for name, cls in CLASSES.items() if not cls.samples()] == []
    assert set(CLASSES) == set(REFERENCES)


@pytest.mark.parametrize("name", CLASSES)
def test_the_docstring_says_it_all(name):
    cls = CLASSES[name]
    text = inspect.getdoc(cls)
    assert re.match(r"[A-Z0-9`].*\.$", text.split("\n\n")[0], re.DOTALL)
    assert "Args:" in text
    listed = set(re.findall(r"^    ([\w, ]+):", text[text.index("Args:") :], re.M))
    listed = {word for line in listed for word in line.split(", ")}
    assert set(inspect.signature(cls).parameters) <= listed
    assert re.search("Density|Probability|Support|log_prob|sigmoid", text)


# Densities


@every_sample
def test_log_prob_is_that_of_the_reference(name, i):
    value = sample_of(name, i).value
    found = build(name, i).log_prob(tensor(value)).numpy()
    close(found, log_density(reference(name, i))(value))


@every_sample
def test_gradients_of_log_prob_are_those_of_finite_differences(name, i):
    sample = sample_of(name, i)
    start = given(sample)
    moving = {
        key: x
        for key, x in start.items()
        if isinstance(x, plait.Tensor) and key not in sample.fixed
    }
    if sample.smooth and sample.value.dtype.kind == "f" and not discrete(name, i):
        moving["value"] = tensor(sample.value)

    def function(arrays: dict[str, Any]) -> Any:
        parameters = {**start, **{k: x for k, x in arrays.items() if k != "value"}}
        value = arrays.get("value", tensor(sample.value))
        logs = made(name, sample, parameters).log_prob(value)
        return (logs * tensor(np.cos(np.arange(logs.size)).reshape(logs.shape))).sum()

    check_slopes(function, moving)


def check_slopes(function: Any, moving: dict[str, Any]) -> None:
    """Raise unless the derivatives of a function agree with finite differences."""
    slopes = plait.grad(function)(moving)
    rng = np.random.default_rng(1)
    for _ in range(2):
        along = {k: tensor(rng.normal(size=x.shape)) for k, x in moving.items()}
        if "scale_tril" in along:
            along["scale_tril"] = plait.tril(along["scale_tril"])
        step = 1e-5
        ahead, behind = (
            function({k: x + sign * step * along[k] for k, x in moving.items()}).item()
            for sign in (1, -1)
        )
        found = sum((slopes[k] * along[k]).sum().item() for k in moving)
        expected = (ahead - behind) / (2 * step)
        assert found == pytest.approx(expected, rel=2e-6, abs=1e-7)


def discrete(name: str, i: int) -> bool:
    found: bool = build(name, i).support.is_discrete
    return found


@pytest.fixture
def in_double():
    """Have PyTorch compute in float64 where numbers meet tensors."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@needs_torch
@every_sample
@pytest.mark.usefixtures("in_double")
def test_equals_torch(name, i):
    sample = sample_of(name, i)
    if not hasattr(torch.distributions, name):
        return
    theirs_of = {
        key: torch.tensor(x, requires_grad=True) if isinstance(x, np.ndarray) else x
        for key, x in sample.parameters.items()
    }
    ours_of = given(sample)
    for x in ours_of.values():
        if isinstance(x, plait.Tensor):
            x.requires_grad_()
    ours = made(name, sample, ours_of)
    theirs = made(name, sample, theirs_of, torch.distributions)
    assert ours.batch_shape == tuple(theirs.batch_shape)
    assert ours.event_shape == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    value = torch.tensor(sample.value)
    found, expected = ours.log_prob(tensor(sample.value)), theirs.log_prob(value)
    rough = name in ("ContinuousBernoulli", "VonMises")  # approximations in PyTorch
    close(found.numpy(), expected.detach().numpy(), 1e-4 if rough else 1e-9)
    found.sum().backward()
    expected.sum().backward()
    for key, x in theirs_of.items():
        if isinstance(x, torch.Tensor) and x.grad is not None:
            # What lies above the diagonal has no part in a factor.
            part = np.tril if key == "scale_tril" else np.asarray
            slope = part(ours_of[key].grad.numpy())
            close(slope, part(x.grad.numpy()), 1e-4 if rough else 1e-6, 1e-8)
    share = torch.tensor(np.random.default_rng(0).uniform(0.1, 0.9, 1))
    facts = {
        "mean": lambda d, _: d.mean,
        "variance": lambda d, _: d.variance,
        "stddev": lambda d, _: d.stddev,
        "mode": lambda d, _: d.mode,
        "entropy": lambda d, _: d.entropy(),
        "cdf": lambda d, of: d.cdf(of(sample.value)),
        "icdf": lambda d, of: d.icdf(of(share.numpy())),
        "values": lambda d, _: d.enumerate_support(),
        "few values": lambda d, _: d.enumerate_support(expand=False),
    }
    for fact, get in facts.items():
        try:
            expected = get(theirs, torch.tensor)
        except (NotImplementedError, RuntimeError):
            continue
        if fact == "mode" and name in ("Beta", "Dirichlet", "Kumaraswamy", "Weibull"):
            continue  # theirs is nan in places, or wrong where the density is infinite
        found = get(ours, tensor)
        assert found.shape == tuple(expected.shape), fact
        close(found.numpy(), expected.detach().numpy(), 2e-4 if rough else 1e-7, 1e-7)


# Draws


@every_kind
def test_draws_have_their_shape_type_and_support(name, i):
    d = build(name, i, plait.float32)
    x = d.sample((4,))
    assert x.shape == (4, *d.batch_shape, *d.event_shape)
    assert x.dtype is (plait.int64 if name == "Categorical" else plait.float32)
    assert draws(name, i).shape == (DRAWS, *x.shape[1:])
    assert not x.requires_grad
    assert bool(d.support.check(x).all())
    assert np.isfinite(d.log_prob(x).numpy()).all()


@every_kind
def test_the_same_key_gives_the_same_draws(name, i):
    d = build(name, i)
    key = plait.random.key(3)
    first, second = d.sample((4,), key=key), d.sample((4,), key=key)
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    other = d.sample((4,), key=plait.random.key(4)).numpy()
    assert d.support.is_discrete or (other != first.numpy()).any()
    plait.manual_seed(5)
    third = d.sample((4,))
    generator = plait.Generator(5)
    fourth = d.sample((4,), generator=generator)
    np.testing.assert_array_equal(third.numpy(), fourth.numpy())
    if d.has_rsample:
        # The matrices of another program may lie otherwise in memory.
        close(first.numpy(), d.rsample((4,), key=key).numpy(), 1e-13)
    else:
        with pytest.raises(errors.ArgumentError, match=rf"\[{name}\] .* no rsample"):
            d.rsample()


@every_sample
def test_mean_and_variance_are_those_of_draws(name, i):
    found = moments(name, i)
    if found is None:
        return
    mean, variance = found
    finite = np.isfinite(mean) & np.isfinite(variance)
    x = draws(name, i)
    error = np.abs(x.mean(0) - mean)[finite]
    assert (error <= 5 * np.sqrt(variance[finite] / DRAWS) + 1e-12).all()
    # The deviation of a variance is known from the fourth power, itself of draws.
    off = x - x.mean(0)
    spread = np.sqrt(np.maximum((off**4).mean(0) - variance**2, 0) / DRAWS)
    error = np.abs((off**2).mean(0) - variance)[finite]
    assert (error <= 6 * spread[finite] + 1e-12).all()


@every_sample
def test_draws_follow_the_distribution(name, i):
    d, exact = build(name, i), reference(name, i)
    x = draws(name, i)
    if d.support.is_discrete:
        follow_the_probabilities(d, x)
    elif not d.event_shape:
        flat = x.reshape(DRAWS, -1)
        shares = exact.cdf(x).reshape(DRAWS, -1)
        for column, share in zip(flat.T, shares.T, strict=True):
            assert len(np.unique(column)) > 0.9 * DRAWS
            assert scipy.stats.kstest(share % 1, "uniform").pvalue > 1e-5
    else:
        # The mean of exp(-log p) over a part of the support is its volume; here the
        # mean of a bounded function, by weights from another distribution: itself,
        # moved a little, so that the weights have the mean 1.
        weights = moved_weights(name, i, x)
        if weights is not None:
            error = np.abs(weights.mean(0) - 1)
            assert (error < 5 * weights.std(0) / math.sqrt(DRAWS)).all()


def follow_the_probabilities(d: Any, x: np.ndarray) -> None:
    """Raise unless values come up as often as they should."""
    rank = len(d.event_shape)
    places = math.prod(d.batch_shape)
    flat = x.reshape(DRAWS, places, *d.event_shape)
    for place in range(places):
        values, counts = np.unique(flat[:, place], axis=0, return_counts=True)
        shape = (len(values), *[1] * len(d.batch_shape), *values.shape[1:])
        logs = d.log_prob(plait.tensor(values.reshape(shape)))
        logs = logs.numpy().reshape(len(values), places)[:, place]
        expected = np.exp(logs) * DRAWS
        assert rank or len(values) > 1
        often = expected > 5
        z = (counts - expected)[often] / np.sqrt(expected[often])
        assert (z**2).sum() < often.sum() + 5 * math.sqrt(2 * often.sum())
        seldom = np.abs(counts[~often].sum() - (DRAWS - expected[often].sum()))
        assert seldom < 5 * math.sqrt(max(DRAWS - expected[often].sum(), 4)) + 1


def moved_weights(name: str, i: int, x: np.ndarray) -> Any:
    """Return q(x) / p(x) with the parameters of q a little other than those of p."""
    sample = sample_of(name, i)
    changed = dict(sample.parameters)
    for key, value in changed.items():
        if isinstance(value, np.ndarray) and key not in sample.fixed:
            if name == "Wishart" and key == "df":
                changed[key] = value + 0.2
            elif key != "df":
                steps = np.arange(1, value.size + 1).reshape(value.shape)
                changed[key] = value * (1 + 0.02 * steps)
    q = made(name, sample, {
        key: tensor(v) if isinstance(v, np.ndarray) else v for key, v in changed.items()
    })  # fmt: skip
    p = build(name, i)
    return plait.exp(q.log_prob(tensor(x)) - p.log_prob(tensor(x))).numpy()


@every_sample
def test_derivatives_of_draws(name, i):
    sample = sample_of(name, i)
    d = build(name, i)
    if not d.has_rsample or "StraightThrough" in name:
        return
    start = given(sample)
    moving = {
        key: x
        for key, x in start.items()
        if isinstance(x, plait.Tensor) and key not in sample.fixed
    }
    key = plait.random.key(9)

    def function(arrays: dict[str, Any]) -> Any:
        x = made(name, sample, {**start, **arrays}).rsample((50,), key=key)
        return (plait.sin(x) * tensor(np.cos(np.arange(x.size)).reshape(x.shape))).sum()

    if name not in REJECTED:
        check_slopes(function, moving)


@pytest.mark.parametrize("name", sorted(REJECTED))
def test_derivatives_of_rejected_draws_are_right_in_the_mean(name):
    """The mean of the derivatives of f(x) is the derivative of the mean of f(x), which
    is also that of f(x) * d log p / d parameter: two ways to the same number.
    """
    sample = sample_of(name, 0)
    start = given(sample)
    moving = {k: x for k, x in start.items() if isinstance(x, plait.Tensor)}
    rank = len(build(name, 0).event_shape)
    axes = tuple(range(-rank, 0))

    def bounded(x: Any) -> Any:
        y = plait.tanh(x)
        return y.sum(axis=axes) if rank else y

    def one(key: Any) -> Any:
        """Return both estimates by one draw, of each parameter."""

        def drawn(arrays: Any) -> Any:
            return bounded(made(name, sample, arrays).rsample(key=key)).sum()

        x = made(name, sample, moving).sample(key=key)

        def scored(arrays: Any) -> Any:
            logs = made(name, sample, arrays).log_prob(x)
            return (bounded(x) * logs).sum()

        return plait.grad(drawn)(moving), plait.grad(scored)(moving)

    keys = plait.random.split(plait.random.key(4), 2000)
    by_path, by_score = plait.vmap(one)(keys)
    for key in moving:
        path, score = by_path[key].numpy(), by_score[key].numpy()
        if key == "scale_tril":
            path, score = np.tril(path), np.tril(score)
        off = path - score
        error = np.abs(off.mean(0))
        assert (error <= 5 * off.std(0) / math.sqrt(len(off)) + 1e-12).all(), key
        assert np.abs(path).max() > 0


@pytest.mark.parametrize("name", ["Gamma", "Chi2", "InverseGamma"])
def test_a_draw_moves_with_its_quantile(name):
    sample = sample_of(name, 0)
    parameters = {k: v.astype(float) for k, v in sample.parameters.items()}
    first = next(iter(parameters))
    key = plait.random.key(11)

    def function(x: Any) -> Any:
        values = {k: tensor(v) for k, v in parameters.items()}
        return made(name, sample, {**values, first: x}).rsample((20,), key=key).sum()

    slopes = plait.grad(function)(tensor(parameters[first])).numpy()
    x = made(name, sample, given(sample)).sample((20,), key=key).numpy()
    p = REFERENCES[name](parameters).cdf(x)
    step = 1e-5
    ahead, behind = (
        REFERENCES[name]({**parameters, first: parameters[first] + sign * step}).ppf(p)
        for sign in (1, -1)
    )
    close(slopes, ((ahead - behind) / (2 * step)).sum(0), 1e-5)


# Facts


@every_sample
def test_entropy_is_the_mean_of_minus_log_prob(name, i):
    d = build(name, i)
    entropy = attempt(d.entropy)
    if entropy is None:
        return
    assert entropy.shape == d.batch_shape
    logs = d.log_prob(tensor(draws(name, i))).numpy()
    error = np.abs(entropy.numpy() + logs.mean(0))
    assert (error <= 5 * logs.std(0) / math.sqrt(DRAWS) + 1e-12).all()


@every_sample
def test_cdf_is_that_of_the_reference_and_icdf_its_inverse(name, i):
    d, exact = build(name, i), reference(name, i)
    value = sample_of(name, i).value
    p = attempt(lambda: d.cdf(tensor(value)))
    if p is None:
        return
    close(p.numpy(), exact.cdf(value), 1e-8)
    x = attempt(lambda: d.icdf(p))
    if x is None:
        return
    close(x.numpy(), np.broadcast_to(value, x.shape), 1e-7)
    # And it is the derivative of one that the other's inverse has.
    slope = plait.grad(lambda v: d.cdf(v).sum())(tensor(value)).numpy()
    density = np.exp(d.log_prob(tensor(value)).numpy())
    close(slope, np.broadcast_to(density, p.shape).sum(
        axis=tuple(range(p.ndim - slope.ndim))), 1e-7)  # fmt: skip


@every_sample
def test_mode_has_the_highest_density(name, i):
    d = build(name, i)
    mode = attempt(lambda: d.mode)
    if mode is None:
        return
    known = np.isfinite(mode.numpy())
    if not known.all():
        return
    top = d.log_prob(mode).numpy()
    logs = d.log_prob(tensor(draws(name, i)[:1000])).numpy()
    assert (logs.max(0) <= top + 1e-9).all()


@every_kind
def test_expand(name, i):
    d = build(name, i)
    wide = d.expand((4, *d.batch_shape))
    assert type(wide) is type(d)
    assert wide.batch_shape == (4, *d.batch_shape)
    assert wide.event_shape == d.event_shape
    assert wide.sample().shape == (*wide.batch_shape, *wide.event_shape)
    value = tensor(draws(name, i)[0])
    found, once = wide.log_prob(value), d.log_prob(value).numpy()
    assert found.shape == wide.batch_shape
    close(found.numpy(), np.broadcast_to(once, found.shape))
    with pytest.raises(errors.ShapeError):
        wide.expand((3, *d.batch_shape))


@every_sample
def test_wrong_parameters_are_refused(name, i):
    sample = sample_of(name, i)
    if sample.make is not None:
        return
    constraints = CLASSES[name].arg_constraints
    checked = 0
    for key, constraint in constraints.items():
        if key not in sample.parameters or distributions.constraints.is_dependent(
            constraint
        ):
            continue
        value = sample.parameters[key]
        wrong = dict(given(sample))
        if not isinstance(value, np.ndarray):
            wrong[key] = math.nan
        elif "matrices" in constraint.text:
            wrong[key] = tensor(-value)
        else:
            wrong[key] = tensor(np.full(value.shape, np.nan))
        with pytest.raises(errors.PlaitError) as caught:
            CLASSES[name](**wrong, validate_args=True)
        text = str(caught.value)
        assert re.match(rf"\[\w+\] {key} is outside its range\. Got: ", text), text
        assert "Expected: " in text
        checked += 1
    assert checked or name == "Uniform" or not constraints


@every_kind
def test_text(name, i):
    d = build(name, i)
    shapes = f"batch_shape={d.batch_shape}, event_shape={d.event_shape}"
    assert repr(d) == f"{name}({shapes})"


# Compiled, vectorised


def everything(name: str, i: int, key: Any) -> Any:
    """Return densities, draws and derivatives of both."""
    sample = sample_of(name, i)
    start = given(sample)
    moving = {k: x for k, x in start.items() if isinstance(x, plait.Tensor)}

    def density(arrays: Any) -> Any:
        return made(name, sample, {**start, **arrays}).log_prob(tensor(sample.value))

    def drawn(arrays: Any) -> Any:
        d = made(name, sample, {**start, **arrays})
        return (d.rsample if d.has_rsample else d.sample)((3,), key=key)

    found = [density(moving), drawn(moving)]
    slopes = [plait.grad(lambda x: density(x).sum())(moving)]
    if build(name, i).has_rsample:
        slopes.append(plait.grad(lambda x: drawn(x).sum())(moving))
    return found + [x for part in slopes for x in part.values()]


@every_kind
def test_vmap_over_keys(name, i):
    d = build(name, i)
    keys = plait.random.split(plait.random.key(3), 3)
    found = plait.vmap(lambda key: d.sample((2,), key=key))(keys).numpy()
    for row, key in zip(found, plait.unstack(keys), strict=True):
        close(row, d.sample((2,), key=key).numpy(), 1e-12)


@every_kind
def test_compiled_is_interpreted(name, i, monkeypatch):
    key = plait.random.key(5)
    plain = [x.numpy() for x in everything(name, i, key)]
    pytest.importorskip("llvmlite")
    monkeypatch.setattr(settings, "execution", "compile")
    compiled = plait.jit(lambda key: everything(name, i, key))(key)
    for found, expected in zip(compiled, plain, strict=True):
        close(found.numpy(), expected, 1e-9, 1e-11)
