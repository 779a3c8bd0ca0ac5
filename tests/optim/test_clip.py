"""Limits on gradients."""

import math

import numpy as np
import pytest

import plait
from plait import errors, nn, optim

SHAPES = ((4, 3), (2,), ())


def parameters(scale=3.0, dtype=np.float64):
    rng = np.random.default_rng(0)
    found = [nn.Parameter(np.zeros(shape, dtype)) for shape in SHAPES]
    for one in found:
        one.grad = plait.asarray(np.asarray(rng.normal(size=one.shape) * scale, dtype))
    return [*found, nn.Parameter(np.zeros(2))]


def flat(tensors):
    return np.concatenate(
        [x.grad.numpy().ravel() for x in tensors if x.grad is not None]
    )


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("limit", [1.5, 1e6, 0.0])
def test_norms_are_limited(order, limit):
    owners = parameters()
    before = flat(owners)
    norm = optim.clip_grad_norm_(owners, limit, order)
    magnitudes = np.abs(before)
    expected = (
        magnitudes.max()
        if order == math.inf
        else (magnitudes**order).sum() ** (1 / order)
    )
    assert norm.item() == pytest.approx(expected)
    factor = min(1.0, limit / (expected + 1e-6))
    np.testing.assert_allclose(flat(owners), before * factor, rtol=1e-12)
    assert owners[-1].grad is None


def test_norms_of_16_bits_do_not_overflow():
    owners = parameters(dtype=np.float16, scale=300.0)
    exact = np.linalg.norm(flat(owners).astype(np.float64))
    norm = optim.clip_grad_norm_(owners, 1.0)
    assert norm.dtype is plait.float32
    assert norm.item() == pytest.approx(exact, rel=1e-3)
    assert owners[0].grad.dtype is plait.float16


def test_a_norm_that_is_not_finite():
    owners = parameters()
    owners[0].grad = owners[0].grad * math.inf
    before = owners[1].grad
    with pytest.raises(errors.ArgumentError, match="not finite"):
        optim.clip_grad_norm_(owners, 1.0, error_if_nonfinite=True)
    assert owners[1].grad is before
    assert optim.clip_grad_norm_(owners, 1.0).item() == math.inf
    assert owners[1].grad.tolist() == [0.0, 0.0]
    with pytest.raises(errors.ArgumentError, match="must be positive"):
        optim.clip_grad_norm_(owners, 1.0, norm_type=0.0)


def test_nothing_to_limit():
    assert optim.clip_grad_norm_([], 1.0).item() == 0.0
    optim.clip_grad_value_(nn.Parameter([1.0]), 1.0)


def test_values_are_limited():
    owners = parameters()
    before = flat(owners)
    optim.clip_grad_value_(owners, 1.25)
    np.testing.assert_array_equal(flat(owners), before.clip(-1.25, 1.25))
    optim.clip_grad_value_(owners[0], 0.5)
    assert plait.abs(owners[0].grad).max().item() == 0.5
    with pytest.raises(errors.ArgumentError, match="must not be negative"):
        optim.clip_grad_value_(owners, -1.0)


def test_gradients_of_units_are_limited_by_their_weights():
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (2, 3, 2), (5,), ())
    owners = [nn.Parameter(rng.normal(size=shape)) for shape in shapes]
    owners[0].data = owners[0].detach() * np.array([[0.0], [1.0], [9.0], [1.0]])
    gradients = [rng.normal(size=shape) for shape in shapes]
    for owner, gradient in zip(owners, gradients, strict=True):
        owner.grad = plait.tensor(gradient)
    unused = nn.Parameter(plait.ones(2))
    optim.adaptive_clip_grad_([*owners, unused], 0.5, eps=0.1)
    assert unused.grad is None
    for owner, gradient in zip(owners, gradients, strict=True):
        rows = owner.shape[0] if owner.ndim > 1 else 1
        weights = owner.numpy().reshape(rows, -1)
        given, found = gradient.reshape(rows, -1), owner.grad.numpy().reshape(rows, -1)
        for w, g, new in zip(weights, given, found, strict=True):
            limit = 0.5 * max(np.linalg.norm(w), 0.1)
            expected = g * min(1, limit / np.linalg.norm(g))
            np.testing.assert_allclose(new, expected, rtol=1e-12)
    with pytest.raises(errors.ArgumentError, match="clip_factor is negative"):
        optim.adaptive_clip_grad_(owners, -1.0)


def test_gradients_without_their_mean():
    matrix, vector = nn.Parameter(plait.ones(2, 3, 2)), nn.Parameter(plait.ones(3))
    gradient = np.random.default_rng(0).normal(size=(2, 3, 2))
    matrix.grad = plait.tensor(gradient, dtype=plait.float32)
    vector.grad = plait.tensor([1.0, 2.0, 3.0])
    optim.centralize_grad_([matrix, vector])
    expected = gradient - gradient.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(matrix.grad.numpy(), expected, atol=1e-6)
    assert vector.grad.tolist() == [1.0, 2.0, 3.0]
