"""Layers of several inputs beyond their samples."""

import numpy as np
import pytest

import plait
from plait import errors, nn

ONE, TWO = plait.ones(3, 4), plait.ones(3, 4) * 2


def test_branches_merge_with_any_function():
    layer = nn.Parallel(nn.Identity(), nn.ReLU(), merge=lambda x, y: x - y)
    x = plait.tensor([-1.0, 2.0])
    assert layer(x).tolist() == [-1.0, 0.0]
    assert [n for n, _ in nn.Parallel(nn.Linear(2, 3)).named_parameters()] == [
        "branches.0.weight", "branches.0.bias",
    ]  # fmt: skip
    both = nn.Parallel(nn.Add(), nn.Multiply())
    assert [x.tolist() for x in both(x, x)] == [[-2.0, 4.0], [1.0, 4.0]]


def test_a_residual_block_trains():
    block = nn.Residual(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))
    block(ONE).sum().backward()
    assert all(x.grad is not None for x in block.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Add()(), "tensors are needed. Got: none"),
        (lambda: nn.Add()(ONE, 2), "Got: Tensor, int"),
        (lambda: nn.Subtract()(ONE, ONE, ONE), "two tensors are needed. Got: 3"),
        (lambda: nn.Dot(1)(ONE), "two tensors are needed. Got: 1"),
        (lambda: nn.Dot(0), "behind the batch. Got: dims=0"),
        (lambda: nn.Dot((1, 2, 3)), "dims must be an integer or a tuple of 2 integers"),
        (
            lambda: nn.Dot(1)(ONE, plait.ones(3, 5)),
            r"\(3, 4\) and \(3, 5\) for dims=\(1, 1\)",
        ),
        (lambda: nn.Dot(2)(ONE, ONE), r"for dims=\(2, 2\)"),
        (lambda: nn.Dot(1)(ONE, plait.ones(2, 4)), "the same batch"),
        (
            lambda: nn.Residual(nn.Linear(4, 2))(ONE),
            r"changes the shape. Got: \(3, 4\) and \(3, 2\)\. Fix: give a shortcut",
        ),
        (lambda: nn.Parallel(plait.relu), "holds modules only"),
    ],
)
def test_errors(call, message):
    with pytest.raises(errors.PlaitError, match=message):
        call()


def test_integers_stay_integers():
    found = nn.Maximum()(plait.tensor([1, 5]), plait.tensor([3, 2]))
    assert found.dtype is plait.int64
    np.testing.assert_array_equal(found.numpy(), [3, 5])
