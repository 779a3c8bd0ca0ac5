"""Compares an op with a function of PyTorch, at ordinary numbers and at edges.

Where PyTorch is not installed, a test that gets as far as using `F` or `agree` is
skipped.

Read first: `agree`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from plait.ir.evaluate import interpret

from .op_checks import gradient, recorded, value
from .torch_table import torch


class Missing:
    """In place of `torch.nn.functional`: skips the test that wants a function."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip("torch is not installed")


F: Any = Missing() if torch is None else torch.nn.functional

# Where activations change their form, and numbers at which a formula may overflow.
EDGES = np.array(
    [0.0, -0.0, 1, -1, 0.5, -0.5, 3, -3, 6, -6, 20, 20.5, -20.5, 100, -100, 1e3, -1e3,
     1e-30, -1e-30, 1e30, -1e30, np.inf, -np.inf, np.nan]
)  # fmt: skip


def agree(
    op: Callable[..., Any],
    theirs: Callable[..., Any],
    *arrays: Any,
    fixed: Collection[int] = (),
    tolerance: float = 1e-10,
    derivative: bool = True,
    **settings: Any,
) -> None:
    """Raise unless values, dtypes and gradients agree, nan where PyTorch has nan.

    Args:
        fixed: the operands to which PyTorch has no gradient.
        derivative: False to compare values only.
        settings: keyword arguments of both functions.
    """
    if torch is None:
        pytest.skip("torch is not installed")
    arrays = tuple(np.array(x) for x in arrays)
    wanted = [i for i, x in enumerate(arrays) if x.dtype.kind == "f" and i not in fixed]
    tensors = [torch.tensor(x) for x in arrays]
    for i in wanted if derivative else ():
        tensors[i].requires_grad_()
    right = theirs(*tensors, **settings)
    found = value(op, *arrays, **settings)
    expected = right.detach().numpy()
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    close(found, expected, tolerance)
    if not derivative:
        return
    ct = np.asarray(np.random.default_rng(1).normal(size=found.shape), found.dtype)
    ours = interpret(gradient(recorded(op, arrays, **settings)), [*arrays, ct])
    chosen = [tensors[i] for i in wanted]
    theirs_too = torch.autograd.grad(right, chosen, torch.tensor(ct))
    for i, other in zip(wanted, theirs_too, strict=True):
        close(ours[i], other.numpy(), tolerance)


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(
        actual.astype(np.float64), expected.astype(np.float64), tolerance, tolerance
    )
