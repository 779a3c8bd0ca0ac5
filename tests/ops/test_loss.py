"""Losses against PyTorch, and what is not PyTorch's: errors, edges, small cases."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.dtypes import float32, int64
from plait.ir.build import make_input
from plait.ops import distances, loss, margin, source

from .op_checks import check_derivatives, inputs_for, value
from .torch_compare import F, agree

REDUCTIONS = ("mean", "sum", "none")
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 4)) * 3
T = rng.normal(size=(5, 4)) * 3
T[0, 0] = X[0, 0]
P = rng.uniform(0, 1, (5, 4))
BINARY = np.where(rng.uniform(size=(5, 4)) > 0.5, 1.0, 0.0)
SIGNS = 2 * BINARY - 1
WEIGHT = rng.uniform(0.5, 2, 4)
LABELS = rng.integers(0, 4, 5)
LISTS = np.array(
    [[1, 3, -1, 0], [0, 1, 2, 3], [-1, 1, 2, 3], [2, -1, -1, -1], [3, 0, 1, -1]]
)
IMAGES = rng.normal(size=(3, 4, 2, 3))
IMAGE_LABELS = rng.integers(0, 4, (3, 2, 3))
IMAGE_LABELS[0, 0] = -100
IMAGE_SHARES = np.moveaxis(rng.dirichlet(np.ones(4), (3, 2, 3)), -1, 1).copy()


# --- without PyTorch


def labelled(name):
    op = getattr(margin if "margin" in name else loss, name)
    return lambda x: op(x, source.constant(LABELS, int64))


@pytest.mark.parametrize(
    ("op", "arrays"),
    [
        (loss.mse_loss, [X, T]),
        (loss.poisson_nll_loss, [X, P]),
        (
            functools.partial(loss.poisson_nll_loss, log_input=False, full=True),
            [P, P + 2],
        ),
        (loss.gaussian_nll_loss, [X, T, P + 0.1]),
        (loss.binary_cross_entropy, [P * 0.8 + 0.1, P[::-1].copy()]),
        (loss.binary_cross_entropy_with_logits, [X, P]),
        # The curvature of logistic regression where it starts.
        (loss.binary_cross_entropy_with_logits, [np.zeros(3), P[0, :3]]),
        (loss.cross_entropy, [X, P]),
        (labelled("cross_entropy"), [X]),
        (labelled("nll_loss"), [X]),
        (labelled("multi_margin_loss"), [X]),
        (loss.kl_div, [X, P + 0.1]),
        (margin.soft_margin_loss, [X, SIGNS]),
        (distances.pairwise_distance, [X, T + 0.1]),
        (margin.triplet_margin_loss, [X, T, P]),
    ],
)
def test_derivatives_are_those_of_the_values(op, arrays):
    check_derivatives(op, arrays, tolerance=1e-6)


def test_values_of_small_cases():
    log_p = scipy.special.log_softmax(X, 1)
    right = -log_p[np.arange(5), LABELS]
    np.testing.assert_allclose(
        value(loss.cross_entropy, X, LABELS, reduction="none"), right, rtol=1e-13
    )
    np.testing.assert_allclose(value(loss.cross_entropy, X, LABELS), right.mean())
    np.testing.assert_allclose(
        value(loss.cross_entropy, X, LABELS, WEIGHT),
        np.average(right, weights=WEIGHT[LABELS]),
    )
    np.testing.assert_allclose(value(loss.nll_loss, log_p, LABELS), right.mean())
    np.testing.assert_allclose(value(loss.mse_loss, X, T), np.mean((X - T) ** 2))
    np.testing.assert_allclose(
        value(loss.binary_cross_entropy_with_logits, X, P),
        value(loss.binary_cross_entropy, scipy.special.expit(X), P),
    )
    share = P / P.sum()
    np.testing.assert_allclose(
        value(loss.kl_div, np.log(share), share[::-1], reduction="sum"),
        scipy.special.rel_entr(share[::-1], share).sum(),
    )


# --- regression


@each_reduction
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_errors_of_numbers(name, reduction):
    agree(getattr(loss, name), getattr(F, name), X, T, reduction=reduction)
    agree(getattr(loss, name), getattr(F, name), X[0, 0], T[0, 0], reduction=reduction)


@each_reduction
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_huber(beta, reduction):
    agree(loss.smooth_l1_loss, F.smooth_l1_loss, X, T, beta=beta, reduction=reduction)
    if beta:
        agree(loss.huber_loss, F.huber_loss, X, T, delta=beta, reduction=reduction)


def test_huber_far_out_has_a_finite_gradient():
    agree(loss.huber_loss, F.huber_loss, np.array([1e300, -1e300]), np.zeros(2))


@each_reduction
@pytest.mark.parametrize("settings", [{}, {"log_input": False}, {"eps": 1e-3}])
def test_poisson(settings, reduction):
    op, theirs = loss.poisson_nll_loss, F.poisson_nll_loss
    counts = np.abs(T).round()
    agree(op, theirs, np.abs(X), counts, **settings, reduction=reduction)
    counts = np.maximum(counts, 2)  # PyTorch has a gradient of nan at counts of 0
    agree(op, theirs, np.abs(X), counts, full=True, reduction=reduction)


def test_poisson_full_adds_nothing_up_to_one():
    found = value(
        loss.poisson_nll_loss,
        np.zeros(3),
        np.array([0.0, 1, 2]),
        full=True,
        reduction="none",
    )
    stirling = 2 * np.log(2) - 2 + 0.5 * np.log(4 * np.pi)
    np.testing.assert_allclose(found, [1, 1, 1 + stirling])


@each_reduction
@pytest.mark.parametrize("full", [False, True])
def test_gaussian(full, reduction):
    variance = rng.uniform(0, 1, (5, 4))
    variance[0, 0] = 0  # below eps
    for var in (variance, variance[:, :1].copy(), variance[:, 0].copy()):
        agree(
            loss.gaussian_nll_loss, F.gaussian_nll_loss, X, T, var,
            full=full, reduction=reduction,
        )  # fmt: skip


# --- classification


@each_reduction
@pytest.mark.parametrize(
    "settings",
    [{}, {"label_smoothing": 0.1}, {"ignore_index": 1}, {"label_smoothing": 1.0}],
)
def test_cross_entropy_of_class_numbers(settings, reduction):
    settings = {**settings, "reduction": reduction}
    op, theirs = loss.cross_entropy, F.cross_entropy
    labels = np.where(
        IMAGE_LABELS < 0, settings.get("ignore_index", -100), IMAGE_LABELS
    )
    agree(op, theirs, IMAGES, labels, **settings)
    agree(op, theirs, IMAGES, labels, WEIGHT, fixed=[2], **settings)
    agree(op, theirs, X, LABELS, **settings)
    agree(op, theirs, X[0], np.array(2), **settings)


@each_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities(smoothing, reduction):
    settings = {"label_smoothing": smoothing, "reduction": reduction}
    op, theirs = loss.cross_entropy, F.cross_entropy
    agree(op, theirs, IMAGES, IMAGE_SHARES, **settings)
    agree(op, theirs, IMAGES, IMAGE_SHARES, WEIGHT, fixed=[2], **settings)
    agree(op, theirs, X[0], P[0] / P[0].sum(), **settings)


@each_reduction
def test_cross_entropy_at_edges(reduction):
    op, theirs = (
        functools.partial(loss.cross_entropy, reduction=reduction),
        F.cross_entropy,
    )
    theirs = functools.partial(theirs, reduction=reduction)
    x = X * 1e4
    agree(op, theirs, x, LABELS)
    agree(op, theirs, x.astype(np.float32), LABELS, tolerance=1e-6)
    x = X.copy()
    x[0, 0], x[1], x[2, 1], x[3, 2] = -np.inf, -np.inf, np.inf, np.nan
    agree(op, theirs, x, LABELS)
    agree(op, theirs, np.zeros((0, 4)), np.zeros(0, int))
    agree(op, theirs, X, np.full(5, -100))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_class_numbers_of_any_integer_type(dtype):
    expected = value(loss.cross_entropy, X, LABELS)
    assert value(loss.cross_entropy, X, LABELS.astype(dtype)) == expected


@pytest.mark.parametrize(
    "op", [loss.cross_entropy, loss.nll_loss, margin.multi_margin_loss]
)
@pytest.mark.parametrize("bad", [4, -1, 2**40])
def test_a_class_number_out_of_range_is_an_error(op, bad):
    with pytest.raises(errors.IndexingError) as caught:
        value(op, X, np.array([0, 3, bad, 3, 2]))
    name = op.__name__
    spared = ", or -100 for what is to be ignored"
    spared = "" if name == "multi_margin_loss" else spared
    assert caught.value.message == (
        f"[{name}] a target is no class number. Got: {bad} at (2,), with 4 classes. "
        f"Expected: 0 to 3{spared}."
    )


@each_reduction
@pytest.mark.parametrize("settings", [{}, {"ignore_index": 1}])
def test_nll(settings, reduction):
    settings = {**settings, "reduction": reduction}
    labels = np.where(IMAGE_LABELS < 0, 1, IMAGE_LABELS)
    agree(loss.nll_loss, F.nll_loss, IMAGES, labels, **settings)
    agree(loss.nll_loss, F.nll_loss, IMAGES, labels, WEIGHT, fixed=[2], **settings)
    agree(loss.nll_loss, F.nll_loss, X[0], np.array(2), **settings)


def test_gradient_of_class_weights():
    def op(x, weight):
        labels = source.constant(LABELS, int64)
        return loss.cross_entropy(x, labels, weight, label_smoothing=0.2)

    check_derivatives(op, [X, WEIGHT])


@each_reduction
def test_binary_cross_entropy(reduction):
    op, theirs = loss.binary_cross_entropy, F.binary_cross_entropy
    agree(op, theirs, P, BINARY, reduction=reduction)
    agree(op, theirs, P, P[::-1], WEIGHT, fixed=[2], reduction=reduction)
    p = np.array([0, 1, 0, 1, 1e-20, 0.5, 1e-300, 1 - 1e-16])
    y = np.array([0.0, 0, 1, 1, 1, 1, 1, 0])
    agree(op, theirs, p, y, reduction=reduction, derivative=False)
    p, y = p.astype(np.float32), y.astype(np.float32)
    agree(op, theirs, p, y, reduction=reduction, derivative=False, tolerance=1e-6)


@each_reduction
def test_binary_cross_entropy_with_logits(reduction):
    op, theirs = (
        loss.binary_cross_entropy_with_logits,
        F.binary_cross_entropy_with_logits,
    )
    agree(op, theirs, X, P, reduction=reduction)
    edges = np.array([0, 1, -1, 50, -50, 1e3, -1e3, 1e30, -1e30, np.nan])
    agree(op, theirs, edges, np.tile([0.0, 1], 5), reduction=reduction)

    def with_weights(x, y, weight, pos_weight):
        return theirs(x, y, weight, pos_weight=pos_weight, reduction=reduction)

    def ours(*operands):
        return op(*operands, reduction=reduction)

    column = rng.uniform(size=(5, 1))
    agree(ours, with_weights, X, BINARY, column, WEIGHT, fixed=[1, 2, 3])
    check_derivatives(op, [X, P, column, WEIGHT])


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction):
    settings = {"reduction": reduction}
    agree(loss.kl_div, F.kl_div, X, P, **settings)
    agree(loss.kl_div, F.kl_div, X, T, log_target=True, **settings)
    some_zero = np.where(P > 0.5, 0.0, P)
    agree(loss.kl_div, F.kl_div, X, some_zero, fixed=[1], **settings)


# --- margins


@each_reduction
def test_margins_of_pairs(reduction):
    settings = {"reduction": reduction}
    agree(
        margin.hinge_embedding_loss,
        F.hinge_embedding_loss,
        X,
        SIGNS.astype(int),
        **settings,
    )
    agree(
        margin.margin_ranking_loss, F.margin_ranking_loss, X, T, SIGNS, fixed=[2],
        margin=0.3, **settings,
    )  # fmt: skip
    for scale in (1, 100):
        agree(
            margin.soft_margin_loss,
            F.soft_margin_loss,
            X * scale,
            SIGNS,
            fixed=[1],
            **settings,
        )


@each_reduction
@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin(p, reduction):
    op, theirs = margin.multi_margin_loss, F.multi_margin_loss
    settings = {"p": p, "reduction": reduction}
    agree(op, theirs, X, LABELS, margin=0.7, **settings)
    agree(op, theirs, X[0], np.array(2), **settings)

    def with_weight(x, y, weight):
        return theirs(x, y, weight=weight, **settings)

    agree(functools.partial(op, **settings), with_weight, X, LABELS, WEIGHT, fixed=[2])


@each_reduction
def test_multilabel(reduction):
    settings = {"reduction": reduction}
    op, theirs = margin.multilabel_margin_loss, F.multilabel_margin_loss
    agree(op, theirs, X, LISTS, **settings)
    agree(op, theirs, X[0], LISTS[0], **settings)
    op, theirs = margin.multilabel_soft_margin_loss, F.multilabel_soft_margin_loss
    agree(op, theirs, X, BINARY, **settings)
    agree(op, theirs, X, BINARY, WEIGHT, fixed=[2], **settings)


def test_a_listed_class_out_of_range_contributes_nan():
    lists = np.array([[1, 4, -1, 0], [1, -1, 9, 0]])
    found = value(margin.multilabel_margin_loss, X[:2], lists, reduction="none")
    np.testing.assert_array_equal(np.isnan(found), [True, False])


@each_reduction
def test_cosine_embedding(reduction):
    op, theirs = margin.cosine_embedding_loss, F.cosine_embedding_loss
    other = T.copy()
    other[1] = 0
    target = SIGNS[:, 0].copy()
    agree(op, theirs, X, other, target, fixed=[2], margin=0.2, reduction=reduction)
    agree(op, theirs, X[0], T[0], np.array(1), reduction=reduction)


@each_reduction
@pytest.mark.parametrize(
    "settings", [{}, {"swap": True}, {"p": 1.0}, {"p": 3.0, "margin": 5.0}]
)
def test_triplet_margin(settings, reduction):
    op, theirs = margin.triplet_margin_loss, F.triplet_margin_loss
    agree(op, theirs, X, T, P, **settings, reduction=reduction)


@pytest.mark.parametrize("p", [1, 2, 3.5, np.inf])
def test_pairwise_distance(p):
    agree(distances.pairwise_distance, F.pairwise_distance, X, T, p=p)

    def kept(a, b):
        return F.pairwise_distance(a, b, p, keepdim=True)

    agree(
        functools.partial(distances.pairwise_distance, p=p, keepdims=True),
        kept,
        X,
        T[0],
    )


# --- dtypes


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    ("op", "other"),
    [
        (loss.mse_loss, T),
        (loss.smooth_l1_loss, T),
        (loss.cross_entropy, LABELS),
        (loss.binary_cross_entropy_with_logits, P),
        (loss.kl_div, P),
        (margin.triplet_margin_loss, None),
    ],
)
def test_small_floats_are_computed_in_float32(op, other, dtype):
    x = X.astype(dtype)
    others = [T, P] if other is None else [other]
    others = [y.astype(dtype) if y.dtype.kind == "f" else y for y in others]
    found = value(op, x, *others)
    assert found.dtype == x.dtype
    wide = [y.astype(np.float64) if y.dtype.kind == "f" else y for y in (x, *others)]
    expected = value(op, *wide)
    np.testing.assert_allclose(found, expected, rtol=2 * np.finfo(dtype).eps)


# --- errors


def refused(error, message, op, *shapes, **settings):
    nodes = [
        shape if not isinstance(shape, tuple) else make_input(shape, float32)
        for shape in shapes
    ]
    with pytest.raises(error) as caught:
        op(*nodes, **settings)
    assert caught.value.message == message


def integers(*shape):
    return inputs_for([np.zeros(shape, int)])[0]


def test_shapes_do_not_broadcast():
    refused(
        errors.ShapeError,
        "[mse_loss] input and target differ in shape. Got: (5, 1) and (5,). "
        "Fix: reshape one of them: a loss does not broadcast.",
        loss.mse_loss, (5, 1), (5,),
    )  # fmt: skip


def test_reductions_are_checked():
    refused(
        errors.ArgumentError,
        "[l1_loss] there is no such reduction. Got: 'avg'. "
        "Expected: 'mean' or 'sum' or 'none'.",
        loss.l1_loss, (2,), (2,), reduction="avg",
    )  # fmt: skip


def test_targets_of_classes_are_checked():
    op = loss.cross_entropy
    refused(
        errors.ShapeError,
        "[cross_entropy] the target has not the shape of the input without its "
        "classes. Got: input (5, 4), target (4,). Expected: target (5,).",
        op, (5, 4), integers(4),
    )  # fmt: skip
    refused(
        errors.ShapeError,
        "[cross_entropy] input and target differ in shape. Got: (5, 4) and (5,). "
        "Fix: reshape one of them: a loss does not broadcast.",
        op, (5, 4), (5,),
    )  # fmt: skip
    refused(
        errors.ShapeError,
        "[cross_entropy] one weight for each class is needed. Got: (5,). "
        "Expected: (4,).",
        op, (5, 4), integers(5), (5,),
    )  # fmt: skip
    refused(
        errors.ShapeError,
        "[cross_entropy] the input has no classes. Got: (). "
        "Expected: (n, classes, ...) or (classes,).",
        op, (), integers(),
    )  # fmt: skip
    refused(
        errors.ArgumentError,
        "[cross_entropy] label_smoothing lies in 0..1. Got: label_smoothing=1.5.",
        op, (5, 4), integers(5), label_smoothing=1.5,
    )  # fmt: skip
    refused(
        errors.DTypeError,
        "[nll_loss] class numbers are integers. Got: float32. "
        "Fix: cast the target with x.to(plait.int64).",
        loss.nll_loss, (5, 4), (5,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("op", "shapes", "settings"),
    [
        (loss.smooth_l1_loss, [(2,), (2,)], {"beta": -1.0}),
        (loss.huber_loss, [(2,), (2,)], {"delta": 0.0}),
        (loss.gaussian_nll_loss, [(2,), (2,), (2,)], {"eps": 0.0}),
        (margin.multi_margin_loss, [(2, 3), integers(2)], {"p": 3}),
        (margin.triplet_margin_loss, [(2,), (2,), (2,)], {"margin": 0.0}),
        (margin.triplet_margin_loss, [(2,), (2,), (2,)], {"p": 0.0}),
        (loss.kl_div, [(2,), (2,)], {"reduction": "batch"}),
    ],
)
def test_arguments_are_checked(op, shapes, settings):
    nodes = [make_input(s, float32) if isinstance(s, tuple) else s for s in shapes]
    with pytest.raises(errors.ArgumentError):
        op(*nodes, **settings)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (loss.gaussian_nll_loss, [(2, 3), (2, 3), (3,)]),
        (loss.binary_cross_entropy, [(2, 3), (2, 3), (4, 2, 3)]),
        (margin.margin_ranking_loss, [(2,), (2,), (1,)]),
        (margin.multi_margin_loss, [(2, 3, 4), integers(2, 4)]),
        (margin.multilabel_margin_loss, [(2, 3), integers(2)]),
        (margin.multilabel_soft_margin_loss, [(), ()]),
        (margin.cosine_embedding_loss, [(2, 3), (2, 3), (2, 3)]),
        (margin.triplet_margin_loss, [(2, 3), (2, 3), (3,)]),
        (distances.pairwise_distance, [(), ()]),
        (functools.partial(loss.kl_div, reduction="batchmean"), [(), ()]),
    ],
)
def test_shapes_are_checked(op, shapes):
    nodes = [make_input(s, float32) if isinstance(s, tuple) else s for s in shapes]
    with pytest.raises(errors.ShapeError):
        op(*nodes)
