"""Transforms: inverses, Jacobians, and those that belong to constraints."""

from __future__ import annotations

import math

import numpy as np
import pytest

import plait
from plait import distributions, errors
from plait.distributions import biject_to, constraints, transform_to, transforms

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

NUMBERS = [0.3, -1.2, 0.7]
POSITIVE = [0.3, 1.2, 0.7]


def case(make, x, **named):
    return pytest.param(make, np.array(x), **named)


CASES = [
    case(lambda d: d.transforms.ExpTransform(), NUMBERS, id="exp"),
    case(lambda d: d.transforms.PowerTransform(2.5), POSITIVE, id="power"),
    case(lambda d: d.transforms.PowerTransform(-1.0), POSITIVE, id="inverse"),
    case(lambda d: d.transforms.SigmoidTransform(), NUMBERS, id="sigmoid"),
    case(lambda d: d.transforms.TanhTransform(), NUMBERS, id="tanh"),
    case(lambda d: d.transforms.SoftplusTransform(), NUMBERS, id="softplus"),
    case(lambda d: d.transforms.AffineTransform(1.0, -2.5), NUMBERS, id="affine"),
    case(
        lambda d: d.transforms.AffineTransform(1.0, 3.0, event_dim=1),
        [NUMBERS, POSITIVE],
        id="affine of vectors",
    ),
    case(
        lambda d: d.transforms.CumulativeDistributionTransform(d.Laplace(0.0, 2.0)),
        NUMBERS,
        id="cumulative",
    ),
    case(
        lambda d: d.transforms.ComposeTransform(
            [d.transforms.AffineTransform(0.5, 2.0), d.transforms.TanhTransform()]
        ),
        NUMBERS,
        id="compose",
    ),
    case(
        lambda d: d.transforms.ComposeTransform(
            [d.transforms.ExpTransform(), d.transforms.StickBreakingTransform()]
        ),
        [NUMBERS, POSITIVE],
        id="compose of vectors",
    ),
    case(
        lambda d: d.transforms.ComposeTransform(
            [d.transforms.StickBreakingTransform(), d.transforms.ExpTransform()]
        ),
        [NUMBERS, POSITIVE],
        id="compose after vectors",
    ),
    case(
        lambda d: d.transforms.IndependentTransform(d.transforms.ExpTransform(), 1),
        [NUMBERS, POSITIVE],
        id="independent",
    ),
    case(
        lambda d: d.transforms.ReshapeTransform((3, 2), (6,)),
        [[NUMBERS[:2], NUMBERS[1:], POSITIVE[1:]]],
        id="reshape",
    ),
    case(lambda d: d.transforms.StickBreakingTransform(), [NUMBERS, POSITIVE],
         id="sticks"),
    case(lambda d: d.transforms.CorrCholeskyTransform(), [NUMBERS, POSITIVE],
         id="correlation"),
    case(lambda d: d.transforms.CorrCholeskyTransform(),
         [0.3, -0.5, 0.2, 1.0, -0.1, 0.4], id="correlation of four"),
    case(
        lambda d: d.transforms.CatTransform(
            [d.transforms.ExpTransform(), d.transforms.TanhTransform()], 0, [2, 1]
        ),
        NUMBERS,
        id="cat",
    ),
    case(
        lambda d: d.transforms.StackTransform(
            [d.transforms.ExpTransform(), d.transforms.TanhTransform()], -1
        ),
        [NUMBERS[:2], POSITIVE[:2]],
        id="stack",
    ),
    case(lambda d: d.transforms.ExpTransform().inv, POSITIVE, id="log"),
    case(lambda d: d.transforms.AbsTransform(), POSITIVE, id="abs"),
    case(lambda d: d.transforms.SoftmaxTransform(), [NUMBERS], id="softmax"),
    case(lambda d: d.transforms.LowerCholeskyTransform(),
         [[0.3, 0.0], [-1.2, 0.7]], id="cholesky"),
    case(lambda d: d.transforms.PositiveDefiniteTransform(),
         [[0.3, 0.0], [-1.2, 0.7]], id="definite"),
]  # fmt: skip
every_case = pytest.mark.parametrize(("make", "x"), CASES)


def close(found, expected, rtol=1e-9, atol=1e-11):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@every_case
def test_inverse(make, x):
    t, x = make(distributions), plait.tensor(x)
    y = t(x)
    assert y.shape == t.forward_shape(x.shape)
    assert x.shape == t.inverse_shape(y.shape)
    assert bool(plait.asarray(t.domain.check(x)).all())
    assert bool(plait.asarray(t.codomain.check(y)).all())
    close(t(t.inv(y)).numpy(), y.numpy())
    if t.bijective or isinstance(t, transforms.AbsTransform):
        close(t.inv(y).numpy(), x.numpy())
    assert t.inv.inv == t
    assert t.inv.forward_shape(y.shape) == x.shape
    close(t.inv(y).numpy(), t._inverse(y).numpy(), 0)


@every_case
def test_jacobian_is_that_of_derivatives(make, x):
    t, x = make(distributions), plait.tensor(x)
    if not t.bijective:
        return
    y = t(x)
    found = t.log_abs_det_jacobian(x, y)
    back = t.inv.log_abs_det_jacobian(y, x)
    close(back.numpy(), -found.numpy())
    if t.event_dim == 0:
        slopes = plait.grad(lambda x: t(x).sum())(x).numpy()
        # The parameters of the cumulative one, from numbers, are float32.
        close(found.numpy(), np.log(np.abs(slopes)), 1e-7)
        return
    rank = t.domain.event_dim
    events = x.numpy().reshape(-1, *x.shape[x.ndim - rank :])
    found = found.numpy().reshape(len(events), -1).sum(-1)
    for event, one in zip(events, found, strict=True):
        matrix = plait.jacobian(t)(plait.tensor(event)).numpy()
        matrix = matrix.reshape(-1, event.size)
        if "Stick" in repr(t):
            matrix = matrix[:-1] if "Exp" not in repr(t) else None
        if "Correlation" in repr(t) or "CorrCholesky" in repr(t):
            n = math.isqrt(len(matrix))
            rows, columns = np.tril_indices(n, -1)
            matrix = matrix[rows * n + columns]
        if matrix is not None:
            close(one, np.log(abs(np.linalg.det(matrix))), 1e-8)


@needs_torch
@every_case
def test_equals_torch(make, x):
    ours, theirs = make(distributions), make(torch.distributions)
    mine, other = plait.tensor(x), torch.tensor(x)
    y, expected = ours(mine), theirs(other)
    close(y.numpy(), expected.numpy(), 1e-6)
    assert ours.bijective == theirs.bijective
    if "Stack" not in repr(ours):  # whose log_abs_det_jacobian adds nothing up
        assert ours.domain.event_dim == theirs.domain.event_dim
        assert ours.codomain.event_dim == theirs.codomain.event_dim
    if not ours.bijective:
        return
    found = ours.log_abs_det_jacobian(mine, y)
    slopes = theirs.log_abs_det_jacobian(other, expected)
    close(found.numpy(), slopes.numpy(), 1e-6)
    try:
        sign = theirs.sign
    except NotImplementedError:
        return
    assert ours.sign == sign


CONSTRAINTS = {
    "real": (NUMBERS, [math.nan]),
    "boolean": ([0.0, 1.0], [0.5]),
    "positive": (POSITIVE, [0.0]),
    "nonnegative": ([0.0, 1.0], [-1.0]),
    "unit_interval": ([0.0, 0.3, 1.0], [1.1]),
    "nonnegative_integer": ([0.0, 3.0], [1.5]),
    "positive_integer": ([1.0, 3.0], [0.0]),
    "real_vector": (NUMBERS, [math.nan, 1.0]),
    "simplex": ([0.2, 0.3, 0.5], [0.2, 0.3, 0.6]),
    "one_hot": ([0.0, 1.0, 0.0], [0.0, 1.0, 1.0]),
    "square": ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0]]),
    "symmetric": ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    "lower_triangular": ([[1.0, 0.0], [2.0, -4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    "lower_cholesky": ([[1.0, 0.0], [2.0, 4.0]], [[1.0, 0.0], [2.0, -4.0]]),
    "corr_cholesky": ([[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [0.6, 0.9]]),
    "positive_semidefinite": ([[1.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]]),
    "positive_definite": ([[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name):
    constraint = getattr(constraints, name)
    inside, outside = (plait.tensor(np.array(x)) for x in CONSTRAINTS[name])
    assert bool(plait.asarray(constraint.check(inside)).all())
    assert not bool(plait.asarray(constraint.check(outside)).all())
    wide = plait.stack([inside, inside])
    assert (
        constraint.check(wide).shape == wide.shape[: wide.ndim - constraint.event_dim]
    )
    assert repr(constraint) == f"<constraint: {constraint.text}>"
    if torch is not None:
        theirs = getattr(torch.distributions.constraints, name)
        assert constraint.event_dim == theirs.event_dim
        assert constraint.is_discrete == theirs.is_discrete


def test_constraints_with_bounds():
    x = plait.tensor([-1.0, 0.5, 2.0, 3.0])
    of = constraints
    assert of.greater_than(0.5).check(x).tolist() == [False, False, True, True]
    assert of.greater_than_eq(0.5).check(x).tolist() == [False, True, True, True]
    assert of.less_than(2).check(x).tolist() == [True, True, False, False]
    assert of.interval(-1, 2).check(x).tolist() == [True, True, True, False]
    assert of.half_open_interval(-1, 2).check(x).tolist() == [True, True, False, False]
    assert of.integer_interval(-1, 2).check(x).tolist() == [True, False, True, False]
    assert of.multinomial(3).check(plait.tensor([[1, 2], [2, 2]])).tolist() == [
        True,
        False,
    ]
    assert of.independent(of.positive, 1).check(x).tolist() is False
    both = of.cat([of.positive, of.real], 0, [1, 3]).check(x)
    assert both.tolist() == [False, True, True, True]
    both = of.stack([of.real, of.real, of.real, of.boolean]).check(x)
    assert both.tolist() == [True, True, True, False]
    assert repr(of.interval(-1, 2)) == "<constraint: in -1..2>"
    assert repr(of.greater_than(x)) == "<constraint: greater than a bound>"
    assert of.is_dependent(of.dependent)
    assert of.is_dependent(distributions.Uniform.support)
    assert not of.is_dependent(distributions.Uniform(0.0, 1.0).support)


REGISTERED = [
    constraints.real,
    constraints.real_vector,
    constraints.positive,
    constraints.nonnegative,
    constraints.greater_than(2.0),
    constraints.less_than(-1.0),
    constraints.unit_interval,
    constraints.interval(-2.0, 5.0),
    constraints.half_open_interval(0.0, 5.0),
    constraints.simplex,
    constraints.corr_cholesky,
    constraints.lower_cholesky,
    constraints.positive_definite,
    constraints.independent(constraints.positive, 1),
    constraints.cat([constraints.positive, constraints.real], -1, [1, 2]),
    constraints.stack([constraints.positive] * 3, -1),
]


@pytest.mark.parametrize("constraint", REGISTERED, ids=repr)
def test_registry(constraint):
    matrices = "matrices" in constraint.text and "length" not in constraint.text
    x = plait.tensor(np.random.default_rng(0).normal(size=(2, 3, 3)))
    for registry in (transform_to, biject_to):
        if registry is biject_to and matrices:
            with pytest.raises(errors.ArgumentError) as caught:
                registry(constraint)
            assert "[biject_to] no transform into this set is known" in str(
                caught.value
            )
            continue
        t = registry(constraint)
        y = t(x)
        assert bool(constraint.check(y).all())
        if registry is biject_to:
            assert t.bijective
            close(t.inv(y).numpy(), x.numpy(), 1e-7, 1e-9)


def test_own_constraint():
    class Even(constraints.Constraint):
        pass

    with pytest.raises(errors.ArgumentError):
        transform_to(Even())
    transform_to.register(Even, lambda _: transforms.ExpTransform())
    assert isinstance(transform_to(Even()), transforms.ExpTransform)
    with pytest.raises(errors.ArgumentTypeError, match="a constraint or a class"):
        transform_to.register(int, lambda _: None)


def test_errors():
    x = plait.tensor(NUMBERS)
    with pytest.raises(errors.ShapeError, match="differ in their number of elements"):
        transforms.ReshapeTransform((2, 3), (5,))
    with pytest.raises(errors.ShapeError, match="the events have another shape"):
        transforms.ReshapeTransform((2, 2), (4,))(x)
    with pytest.raises(errors.ShapeError, match="no matrix has so many elements"):
        transforms.CorrCholeskyTransform()(plait.zeros(4))
    with pytest.raises(errors.ArgumentError, match="neither rises nor falls"):
        _ = transforms.AbsTransform().sign
    with pytest.raises(errors.ArgumentError, match="there is no Jacobian"):
        transforms.SoftmaxTransform().log_abs_det_jacobian(x, x)


def test_equality_and_text():
    t = transforms
    assert t.ExpTransform() == t.ExpTransform()
    assert t.ExpTransform() != t.TanhTransform()
    assert t.PowerTransform(2.0) == t.PowerTransform(2.0)
    assert t.PowerTransform(2.0) != t.PowerTransform(3.0)
    chain = t.ComposeTransform([t.ExpTransform(), t.TanhTransform().inv])
    assert repr(chain) == "ComposeTransform([ExpTransform(), TanhTransform().inv])"
