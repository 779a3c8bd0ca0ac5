"""Errors and edges of losses that PyTorch does not have; their values are compared with
their references by tests/nn/test_every_layer.py.
"""

import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.ops import contrast, focal, loss, margin, overlap

from .op_checks import check_derivatives, value

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 4)) * 3
P = rng.uniform(0.1, 0.9, (5, 4))
LABELS = rng.integers(0, 4, 5)
SHARES = rng.dirichlet(np.ones(4), 5)


@pytest.mark.parametrize(
    ("op", "arrays"),
    [
        (loss.log_cosh_loss, [X, P]),
        (loss.mape_loss, [X, P + 1]),
        (loss.msle_loss, [P, P[::-1].copy()]),
        (focal.focal_loss, [X, SHARES]),
        (focal.sigmoid_focal_loss, [X, P]),
        (focal.poly_loss, [X, SHARES]),
        (focal.sparsemax_loss, [X, SHARES]),
        (overlap.dice_loss, [P, P[::-1].copy()]),
        (overlap.tversky_loss, [P, P[::-1].copy()]),
        (contrast.ranking_softmax_loss, [X, P]),
    ],
)
def test_derivatives_are_those_of_the_values(op, arrays):
    check_derivatives(op, arrays, tolerance=1e-6)


def test_limits_are_the_losses_one_knows():
    entropy = value(loss.cross_entropy, X, LABELS)
    np.testing.assert_allclose(value(focal.focal_loss, X, LABELS, gamma=0.0), entropy)
    np.testing.assert_allclose(value(focal.poly_loss, X, LABELS, epsilon=0.0), entropy)
    np.testing.assert_allclose(
        value(focal.generalized_cross_entropy, X, LABELS, q=1e-9), entropy, rtol=1e-6
    )
    right = scipy.special.softmax(X, 1)[np.arange(5), LABELS]
    np.testing.assert_allclose(
        value(focal.generalized_cross_entropy, X, LABELS, q=1.0), (1 - right).mean()
    )
    np.testing.assert_allclose(
        value(overlap.tversky_loss, P, P[::-1].copy(), eps=0.0),
        value(overlap.dice_loss, P, P[::-1].copy(), eps=0.0),
    )
    assert value(overlap.dice_loss, np.zeros(3), np.zeros(3)) == 1


def test_large_errors_do_not_overflow():
    far = np.array([1000.0, -1000.0])
    np.testing.assert_allclose(
        value(loss.log_cosh_loss, far, np.zeros(2), reduction="none"),
        1000 - np.log(2),
    )
    found = value(focal.sigmoid_focal_loss, far, np.array([0.0, 1.0]), alpha=None)
    np.testing.assert_allclose(found, 1000)
    found = value(focal.focal_loss, np.array([[1e4, 0.0]]), np.array([1]))
    np.testing.assert_allclose(found, 1e4)


def test_an_example_alone_with_its_label_costs_nothing():
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    alone = np.array([0, 1, 1, 1, 1])
    for op in (contrast.circle_loss, contrast.nt_xent_loss):
        found = value(op, x, alone, reduction="none")
        assert found[0] == 0
        assert (found[1:] > 0).all()
    assert not value(contrast.circle_loss, x, np.zeros(5, int)).any()


PAIR = (X, X[:, :3])


@pytest.mark.parametrize(
    ("op", "arrays", "named", "error", "message"),
    [
        (loss.mape_loss, (X, X), {"eps": 0}, errors.ArgumentError, "eps=0"),
        (loss.msle_loss, PAIR, {}, errors.ShapeError, "input and target differ"),
        (loss.log_cosh_loss, (X, X), {"reduction": "x"}, errors.ArgumentError, "'x'"),
        (focal.focal_loss, (X, LABELS), {"gamma": -1}, errors.ArgumentError, "gamma="),
        (focal.focal_loss, (X, X[0]), {}, errors.ShapeError, "differ in shape"),
        (focal.sigmoid_focal_loss, (X, P), {"alpha": 2}, errors.ArgumentError, "0..1"),
        (focal.poly_loss, (X, LABELS), {"epsilon": -2}, errors.ArgumentError, "-1"),
        (
            focal.generalized_cross_entropy, (X, LABELS), {"q": 0},
            errors.ArgumentError, "q=0",
        ),
        (focal.sparsemax_loss, (X, LABELS + 9), {}, errors.IndexingError, "no class"),
        (overlap.tversky_loss, (P, P), {"beta": -1}, errors.ArgumentError, "beta=-1"),
        (overlap.dice_loss, (P, P), {"dim": 5}, errors.AxisError, "5"),
        (contrast.circle_loss, (X, X), {}, errors.ShapeError, "target \\(n,\\)"),
        (contrast.circle_loss, (X, X[:, 0]), {}, errors.DTypeError, "float64"),
        (
            contrast.nt_xent_loss, (X, LABELS), {"temperature": 0},
            errors.ArgumentError, "temperature=0",
        ),
        (
            contrast.ranking_softmax_loss, (X[0, 0], X[0, 0]), {},
            errors.ShapeError, "axis",
        ),
        (margin.categorical_hinge_loss, PAIR, {}, errors.ShapeError, "differ in shape"),
        (margin.contrastive_loss, (X, X, X), {}, errors.ShapeError, "target \\(5,\\)"),
    ],
)  # fmt: skip
def test_errors(op, arrays, named, error, message):
    with pytest.raises(error, match=message):
        value(op, *arrays, **named)
