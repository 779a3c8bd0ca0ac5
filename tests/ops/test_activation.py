"""Activations and normalisations against PyTorch and against definitions."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.dtypes import float32, int64
from plait.ir.build import make_input
from plait.ir.evaluate import interpret
from plait.ops import activation, source
from plait.ops.philox import key_of

from .op_checks import check_derivatives, gradient, recorded, value, values
from .torch_compare import EDGES, F, agree

inf, nan = np.inf, np.nan
rng = np.random.default_rng(0)
X = rng.normal(size=(4, 6)) * 3
VOLUME = rng.normal(size=(4, 6, 5))
KEY = key_of(3, 5)

# Name, arguments, PyTorch's name where it differs.
POINTWISE = [
    ("relu", (), None),
    ("relu6", (), None),
    ("leaky_relu", (), None),
    ("leaky_relu", (0.2,), None),
    ("rrelu", (), None),
    ("threshold", (0.5, 7.0), None),
    ("hardtanh", (), None),
    ("hardtanh", (-0.5, 6.0), None),
    ("hardsigmoid", (), None),
    ("hardswish", (), None),
    ("hardshrink", (), None),
    ("hardshrink", (3.0,), None),
    ("softshrink", (), None),
    ("tanhshrink", (), None),
    ("elu", (0.7,), None),
    ("celu", (0.5,), None),
    ("selu", (), None),
    ("gelu", (), None),
    ("silu", (), None),
    ("mish", (), None),
    ("softplus", (), None),
    ("softplus", (2.0, 15.0), None),
    ("softsign", (), None),
    ("log_sigmoid", (), "logsigmoid"),
]
# Where PyTorch's kernels differ by their own rounding or their own rules.
FLOAT32_CONSTANT = {"hardsigmoid", "celu"}
each_pointwise = pytest.mark.parametrize(("name", "arguments", "torch_name"), POINTWISE)


def pair(name, arguments, torch_name):
    op = getattr(activation, name)
    theirs = getattr(F, torch_name or name)
    return (lambda x: op(x, *arguments)), (lambda x: theirs(x, *arguments))


@each_pointwise
def test_pointwise(name, arguments, torch_name):
    op, theirs = pair(name, arguments, torch_name)
    tolerance = 1e-7 if name in FLOAT32_CONSTANT else 1e-12
    agree(op, theirs, X, tolerance=tolerance)
    agree(op, theirs, X.astype(np.float32), tolerance=2e-6)
    agree(op, theirs, X.astype(np.float16), tolerance=2e-3)
    agree(op, theirs, X[:, :0])
    agree(op, theirs, X[0, 0], tolerance=tolerance)


@each_pointwise
def test_pointwise_at_edges(name, arguments, torch_name):
    op, theirs = pair(name, arguments, torch_name)
    tolerance = 1e-7 if name in FLOAT32_CONSTANT else 1e-12
    x = EDGES
    if name == "hardswish":
        x = x[x != -inf]  # nan in PyTorch, and the limit here, 0
    agree(op, theirs, x, tolerance=tolerance, derivative=False)
    agree(op, theirs, x[~np.isnan(x)], tolerance=tolerance)
    if name == "gelu":
        x = x[np.isfinite(x)]  # nan in PyTorch's float32, even at inf
    agree(op, theirs, x.astype(np.float32), tolerance=1e-6, derivative=False)


def test_gelu_with_tanh():
    op = functools.partial(activation.gelu, approximate="tanh")
    theirs = functools.partial(F.gelu, approximate="tanh")
    for x in (X, EDGES, EDGES.astype(np.float32)):
        agree(op, theirs, x, tolerance=1e-6 if x.dtype == np.float32 else 1e-12)


SMOOTH = [
    activation.elu, activation.celu, activation.selu, activation.gelu,
    functools.partial(activation.gelu, approximate="tanh"), activation.silu,
    activation.mish, activation.softplus, activation.squareplus, activation.log_sigmoid,
    activation.tanhshrink, activation.softmax, activation.log_softmax,
    activation.softmin, activation.glu, activation.normalize, activation.sparsemax,
    activation.sparse_plus,
    functools.partial(activation.normalize, p=3.0),
    functools.partial(activation.layer_norm, normalized_shape=6),
    functools.partial(activation.rms_norm, normalized_shape=(4, 6)),
    functools.partial(activation.group_norm, num_groups=2),
    lambda x: activation.batch_norm_training(x)[0],
]  # fmt: skip


@pytest.mark.parametrize("op", SMOOTH)
def test_derivatives_are_those_of_the_values(op):
    x = np.where(np.abs(X) < 0.2, 0.3, X) / 3
    check_derivatives(op, [x], tolerance=1e-6)


@pytest.mark.parametrize(
    "op",
    [
        activation.softplus,
        activation.log_sigmoid,
        activation.mish,
        activation.squareplus,
    ],
)
def test_curvature_at_zero(op):
    check_derivatives(op, [np.zeros(2)])


def test_sparse_functions_by_their_formulas():
    x = np.array([-inf, -3, -1, -0.5, 0, 0.5, 1, 3, inf, nan])
    np.testing.assert_allclose(
        value(activation.sparse_plus, x),
        [0, 0, 0, 0.0625, 0.25, 0.5625, 1, 3, inf, nan],
    )
    np.testing.assert_allclose(
        value(activation.sparse_sigmoid, x), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, nan]
    )
    np.testing.assert_allclose(
        value(activation.squareplus, np.array([-1.5, 0, 1.5])), [0.5, 1, 2]
    )


def slope(op, x, ct=None):
    x = np.asarray(x, float)
    ct = np.ones(value(op, x).shape) if ct is None else ct
    return interpret(gradient(recorded(op, [x])), [x, ct])[0]


def test_slopes_at_kinks():
    assert slope(activation.relu, [-1, -0.0, 0, 1]).tolist() == [0, 0, 0, 1]
    assert slope(activation.relu6, [0, 3, 6]).tolist() == [0, 1, 0]
    assert slope(activation.sparse_sigmoid, [-1, 0, 1]).tolist() == [0, 0.5, 0]
    assert slope(activation.sparse_plus, [-inf, -1, 0, 1, inf]).tolist() == [
        0,
        0,
        0.5,
        1,
        1,
    ]
    assert slope(activation.hardswish, [-inf, -3, 0, 3, inf]).tolist() == [
        0,
        0,
        0.5,
        1,
        1,
    ]


def test_relu_keeps_integers():
    found = value(activation.relu, np.array([-2, 0, 3], np.int8))
    assert found.dtype == np.int8
    assert found.tolist() == [0, 0, 3]


@pytest.mark.parametrize("op", [activation.gelu, activation.softmax, activation.elu])
def test_integers_become_floats(op):
    x = np.array([-2, 0, 3])
    found = value(op, x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, value(op, x.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "softmax", "log_softmax", "mish", "selu"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_small_floats_are_rounded_once(name, dtype):
    x = X.astype(dtype)
    expected = value(getattr(activation, name), x.astype(np.float32)).astype(dtype)
    np.testing.assert_array_equal(
        value(getattr(activation, name), x).astype(float), expected.astype(float)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_is_right_to_an_ulp_of_x_far_out(dtype):
    x = np.array([-5.0, -20.0, -30.0, 5.0, 20.0], dtype)
    expected = x * scipy.special.ndtr(x.astype(float))
    error = np.abs(value(activation.gelu, x) - expected)
    assert (error <= np.spacing(np.abs(x))).all()


# --- with weights


def test_prelu():
    agree(activation.prelu, F.prelu, VOLUME, rng.normal(size=6))
    agree(activation.prelu, F.prelu, VOLUME, rng.normal(size=1))
    agree(activation.prelu, F.prelu, X[0], rng.normal(size=1))
    agree(activation.prelu, F.prelu, np.array([0.0, -0.0, inf, -inf]), np.array([0.5]))
    found = value(activation.prelu, X, np.array(0.25))
    np.testing.assert_array_equal(found, np.where(X > 0, X, X / 4))


def test_rrelu_draws_its_slopes():
    x = np.full(10000, -1.0)
    found = -value(activation.rrelu, x, KEY, lower=0.1, upper=0.3)
    assert found.min() >= 0.1
    assert found.max() <= 0.3
    assert abs(found.mean() - 0.2) < 0.002
    assert value(activation.rrelu, -x, KEY).tolist() == x.size * [1.0]


# --- along an axis


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis):
    x = VOLUME * 10
    for name in ("softmax", "softmin", "log_softmax"):
        op = functools.partial(getattr(activation, name), axis=axis)
        theirs = functools.partial(getattr(F, name), dim=axis)
        agree(op, theirs, x)
        agree(op, theirs, x * 1e5)
        agree(op, theirs, np.zeros((3, 0)))
        agree(op, theirs, np.zeros((0, 3)))
        x[0, 0, 0], x[1], x[2, 1, 1], x[3, 2, 2] = -inf, -inf, inf, nan
        agree(op, theirs, x)
    op, theirs = (
        functools.partial(activation.glu, axis=1),
        functools.partial(F.glu, dim=1),
    )
    agree(op, theirs, VOLUME)
    agree(op, theirs, VOLUME[:, :0])


def nearest_on_simplex(z):
    """Project by bisection on the threshold."""
    low, high = z.max() - 1, z.max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.maximum(z - middle, 0).sum() > 1:
            low = middle
        else:
            high = middle
    return np.maximum(z - high, 0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_sparsemax(scale):
    z = rng.normal(size=(20, 7)) * scale
    z[0] = 1.0
    z[1, 3] = -inf
    found = value(activation.sparsemax, z)
    np.testing.assert_allclose(
        found, [nearest_on_simplex(row) for row in z], atol=1e-13
    )
    found = value(activation.sparsemax, z.T, axis=0)
    np.testing.assert_allclose(found.T, value(activation.sparsemax, z))
    assert np.isnan(value(activation.sparsemax, np.array([[nan, 1.0]]))).all()
    assert value(activation.sparsemax, np.zeros((2, 0))).shape == (2, 0)


def gumbel(x, key, hard=False):
    return activation.gumbel_softmax(x, hard=hard, key=key)


def test_gumbel_softmax():
    logits = np.log([0.1, 0.2, 0.7]) * np.ones((20000, 1))
    soft = value(gumbel, logits, KEY)
    np.testing.assert_allclose(soft.sum(1), 1)
    hard = value(gumbel, logits, KEY, hard=True)
    np.testing.assert_array_equal(hard, np.eye(3)[soft.argmax(1)])
    np.testing.assert_allclose(hard.mean(0), [0.1, 0.2, 0.7], atol=0.01)
    key = functools.partial(source.constant, KEY, source.as_dtype("uint32"))
    ct = rng.normal(size=(2, 3))
    slopes = [
        slope(
            lambda x, h=h: activation.gumbel_softmax(x, 0.5, h, key=key()),
            logits[:2],
            ct,
        )
        for h in (False, True)
    ]
    np.testing.assert_allclose(slopes[0], slopes[1])
    assert np.abs(slopes[0]).max() > 0.01


# --- normalisation


@pytest.mark.parametrize("p", [1, 2, 3, 2.5, 0.5, inf])
def test_normalize(p):
    op = functools.partial(activation.normalize, p=p)
    theirs = functools.partial(F.normalize, p=p)
    agree(op, theirs, VOLUME)
    if p >= 1:
        x = VOLUME.copy()
        x[0, :, 0] = x[0, 0, 1] = 0
        agree(op, theirs, x)
    agree(functools.partial(op, axis=-1), functools.partial(theirs, dim=-1), X)


def test_normalize_over_several_axes():
    found = value(activation.normalize, VOLUME, axis=(1, 2))
    np.testing.assert_allclose(np.sum(found**2, (1, 2)), 1)


def test_cosine_similarity():
    op, theirs = activation.cosine_similarity, F.cosine_similarity
    agree(op, theirs, VOLUME, VOLUME[::-1])
    last, theirs_last = (
        functools.partial(op, axis=-1),
        functools.partial(theirs, dim=-1),
    )
    agree(last, theirs_last, VOLUME, VOLUME[0])
    x = VOLUME.copy()
    x[0, :, 0] = 0
    agree(op, theirs, x, VOLUME)
    found = value(op, np.array([[1, 0]]), np.array([[1, 1]]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.sqrt(0.5), rtol=1e-6)


def test_layer_norm_and_rms_norm():
    weight, bias = rng.normal(size=(2, 6, 5))

    def layer(x, *rest):
        return activation.layer_norm(x, (6, 5), *rest)

    def theirs(x, *rest):
        return F.layer_norm(x, (6, 5), *rest)

    agree(layer, theirs, VOLUME)
    agree(layer, theirs, VOLUME, weight, bias)
    one = functools.partial(activation.layer_norm, normalized_shape=5, eps=0.1)
    agree(one, lambda x: F.layer_norm(x, (5,), eps=0.1), VOLUME)

    def rms(x, *rest):
        return activation.rms_norm(x, (6, 5), *rest)

    agree(rms, lambda x, *rest: F.rms_norm(x, (6, 5), *rest), VOLUME, weight)
    single = VOLUME.astype(np.float32) * 1e-3
    agree(rms, lambda x: F.rms_norm(x, (6, 5)), single, tolerance=1e-5)


def test_batch_norm():
    weight, bias, mean = rng.normal(size=(3, 6))
    variance = rng.uniform(0.1, 2, 6)
    for x in (VOLUME, VOLUME[:, :, 0], VOLUME[..., None]):
        agree(activation.batch_norm, F.batch_norm, x, mean, variance, fixed=[1, 2])
        agree(
            activation.batch_norm, F.batch_norm, x, mean, variance, weight, bias,
            fixed=[1, 2],
        )  # fmt: skip
        agree(
            lambda *xs: activation.batch_norm_training(*xs)[0],
            lambda x, *rest: F.batch_norm(x, None, None, *rest, training=True),
            x, weight, bias,
        )  # fmt: skip
    check_derivatives(activation.batch_norm, [X, mean, variance, weight, bias])
    _, mean, variance = values(activation.batch_norm_training, VOLUME)
    np.testing.assert_allclose(mean, VOLUME.mean((0, 2)))
    np.testing.assert_allclose(variance, VOLUME.var((0, 2)))
    small = VOLUME.astype(np.float16)
    result, mean, _ = values(activation.batch_norm_training, small)
    assert (result.dtype, mean.dtype) == (np.float16, np.float32)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(groups):
    weight, bias = rng.normal(size=(2, 6))

    def op(x, *rest):
        return activation.group_norm(x, groups, *rest)

    for x in (VOLUME, VOLUME[..., None]):
        agree(op, lambda x, *rest: F.group_norm(x, groups, *rest), x, weight, bias)


# --- dropout, embedding


def dropped(x, key, p):
    return activation.dropout(x, p, key=key)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(p):
    x = rng.normal(size=(100, 200)) + 5
    found = value(dropped, x, KEY, p=p)
    kept = found != 0
    assert abs(kept.mean() - (1 - p)) < 4 * np.sqrt(p * (1 - p) / x.size)
    np.testing.assert_allclose(found[kept], x[kept] / (1 - p), rtol=1e-14)
    np.testing.assert_array_equal(value(dropped, x, KEY, p=p), found)
    other = value(dropped, x, key_of(3, 6), p=p)
    assert (other != found).any()


def test_dropout_at_the_ends():
    x = np.array([1.0, inf, nan])
    np.testing.assert_array_equal(value(dropped, x, KEY, p=0.0), x)
    np.testing.assert_array_equal(value(dropped, x, KEY, p=1.0), np.zeros(3))
    half = value(dropped, np.full(1000, inf), KEY, p=0.5)
    assert set(half.tolist()) == {0.0, inf}


def test_the_gradient_of_dropout_is_its_mask():
    def op(x):
        key = source.constant(KEY, source.as_dtype("uint32"))
        return activation.dropout(x, 0.25, key=key)

    x = np.full(50, 3.0)
    np.testing.assert_allclose(slope(op, x), value(op, x) / 3)


def test_dropout_of_whole_channels():
    x = rng.normal(size=(6, 50, 4, 5)) + 5

    def op(x, key):
        return activation.dropout(x, 0.4, key=key, shared=(2, -1))

    found = value(op, x, KEY)
    kept = found != 0
    assert (kept == kept[..., :1, :1]).all()
    assert 0.45 < kept.mean() < 0.75
    np.testing.assert_allclose(found[kept], x[kept] / 0.6, rtol=1e-14)


def test_alpha_dropout_keeps_mean_and_variance():
    def op(x, key):
        return activation.alpha_dropout(x, 0.3, key=key)

    x = rng.normal(size=(400, 500))
    found = value(op, x, KEY)
    numbers, counts = np.unique(found, return_counts=True)
    low = numbers[counts.argmax()]
    assert counts.max() / x.size == pytest.approx(0.3, abs=0.01)
    assert found.mean() == pytest.approx(0, abs=0.01)
    assert found.std() == pytest.approx(1, abs=0.01)
    slope_of_kept = np.polyfit(x[found != low], found[found != low], 1)
    limit = -1.7580993408473766
    a = (0.7 * (1 + 0.3 * limit**2)) ** -0.5
    np.testing.assert_allclose(slope_of_kept, [a, -a * 0.3 * limit])
    assert low == pytest.approx(a * limit - a * 0.3 * limit)


def test_alpha_dropout_at_the_ends_and_of_channels():
    def op(x, key, p, shared=()):
        return activation.alpha_dropout(x, p, key=key, shared=shared)

    x = np.array([1.0, inf, nan])
    np.testing.assert_array_equal(value(op, x, KEY, p=0.0), x)
    np.testing.assert_array_equal(value(op, x, KEY, p=1.0), np.zeros(3))
    zeros = np.zeros((3, 40, 6))
    found = value(op, zeros, KEY, p=0.5, shared=2)
    assert (found == found[..., :1]).all()
    assert len(np.unique(found)) == 2


def test_embedding():
    weight = rng.normal(size=(5, 3))
    agree(activation.embedding, F.embedding, np.array([[1, 4], [0, 1]]), weight)


# --- errors


def node(*shape, dtype=float32):
    return make_input(shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: activation.gelu(node(2), "erf"),
            errors.ArgumentError,
            "[gelu] there is no such approximation. Got: 'erf'. "
            'Expected: "none" or "tanh".',
        ),
        (
            lambda: activation.glu(node(2, 3)),
            errors.ShapeError,
            "[glu] the axis must have two halves. Got: axis 1 of shape (2, 3). "
            "Expected: an even size.",
        ),
        (
            lambda: activation.prelu(node(2, 3), node(2)),
            errors.ShapeError,
            "[prelu] one weight is needed, or one for each channel. "
            "Got: (2,) for an input of shape (2, 3). Expected: (1,) or (3,).",
        ),
        (
            lambda: activation.layer_norm(node(2, 3), 4),
            errors.ShapeError,
            "[layer_norm] the last axes of the input are not normalized_shape. "
            "Got: input (2, 3), normalized_shape (4,).",
        ),
        (
            lambda: activation.rms_norm(node(2, 3), 3, node(2)),
            errors.ShapeError,
            "[rms_norm] weight and bias must have normalized_shape. Got: (2,). "
            "Expected: (3,).",
        ),
        (
            lambda: activation.batch_norm_training(node(3)),
            errors.ShapeError,
            "[batch_norm_training] axis 1 holds the channels. Got: (3,). "
            "Expected: (n, channels, ...).",
        ),
        (
            lambda: activation.batch_norm(node(2, 3), node(2), node(3)),
            errors.ShapeError,
            "[batch_norm] one number for each channel is needed. "
            "Got: (2,) for an input of shape (2, 3). Expected: (3,).",
        ),
        (
            lambda: activation.batch_norm_training(node(0, 3)),
            errors.ShapeError,
            "[batch_norm_training] a channel has no elements. Got: (0, 3).",
        ),
        (
            lambda: activation.group_norm(node(2, 3), 2),
            errors.ArgumentError,
            "[group_norm] the channels cannot be divided into so many groups. "
            "Got: num_groups=2 for 3 channels.",
        ),
        (
            lambda: activation.dropout(node(2), 1.5, key=node(4)),
            errors.ArgumentError,
            "[dropout] a probability lies in 0..1. Got: p=1.5.",
        ),
        (
            lambda: activation.embedding(node(2), node(3, 4)),
            errors.DTypeError,
            "[embedding] rows are numbered with integers. Got: float32.",
        ),
        (
            lambda: activation.embedding(node(2, dtype=int64), node(3)),
            errors.ShapeError,
            "[embedding] the weight must have two axes. Got: (3,). "
            "Expected: (n, features).",
        ),
        (
            lambda: activation.hardtanh(node(2), 1.0, 1.0),
            errors.ArgumentError,
            "[hardtanh] min_value is not below max_value. "
            "Got: min_value=1.0, max_value=1.0.",
        ),
        (
            lambda: activation.softplus(node(2), 0.0),
            errors.ArgumentError,
            "[softplus] beta must be positive. Got: beta=0.0.",
        ),
        (
            lambda: activation.softshrink(node(2), -1.0),
            errors.ArgumentError,
            "[softshrink] lambd must not be negative. Got: lambd=-1.0.",
        ),
        (
            lambda: activation.celu(node(2), 0.0),
            errors.ArgumentError,
            "[celu] alpha must not be 0. Got: alpha=0.0.",
        ),
        (
            lambda: activation.rrelu(node(2), None, 0.5, 0.1),
            errors.ArgumentError,
            "[rrelu] lower is above upper. Got: lower=0.5, upper=0.1.",
        ),
        (
            lambda: activation.normalize(node(2, 2), 0.0),
            errors.ArgumentError,
            "[normalize] p must be positive. Got: p=0.0.",
        ),
        (
            lambda: activation.softmax(node(2), 1),
            errors.AxisError,
            "[softmax] the tensor has no such axis. "
            "Got: axis=1 for a tensor of 1 axes. Expected: -1 to 0.",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.message == message
