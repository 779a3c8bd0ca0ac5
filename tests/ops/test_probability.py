"""Functions of probabilities, against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from plait import errors
from plait.ops import probability

from .op_checks import check_derivatives, value
from .torch_compare import agree
from .torch_table import torch

REAL = np.concatenate([np.linspace(-12, 12, 400), [0.0, -0.0, 1e-9, 26.0, 1e5]])
SHARES = np.concatenate(
    [np.linspace(0.001, 0.999, 300), 10.0 ** -np.arange(1, 300), [0.0, 1.0, 0.075]]
)


@pytest.mark.parametrize(
    ("name", "x", "tolerance"),
    [
        ("erfcx", REAL, 1e-13), ("ndtr", REAL, 1e-13), ("log_ndtr", REAL, 1e-12),
        ("log_ndtr", np.array([-30.0, -1e3, -1e10]), 1e-13),
        ("ndtri", SHARES, 1e-13), ("logit", SHARES, 1e-9), ("entr", SHARES, 1e-12),
        ("entr", np.array([-1.0, np.nan, 0.0, 2.0, np.inf]), 1e-12),
        ("ndtri", np.array([-0.1, 1.1, np.nan]), 1e-12),
        ("erfcx", np.array([-np.inf, np.inf, np.nan, 0.5, 4.0]), 1e-14),
        ("ndtr", np.array([-np.inf, np.inf, np.nan]), 1e-14),
    ],
)  # fmt: skip
def test_values(name, x, tolerance):
    op, theirs = getattr(probability, name), getattr(scipy.special, name)
    expected = theirs(x)
    np.testing.assert_allclose(value(op, x), expected, rtol=tolerance, atol=1e-15)
    found = value(op, x[::7].astype(np.float32))
    assert found.dtype == np.float32
    expected = theirs(x[::7].astype(np.float32).astype(float))
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["erfcx", "ndtr", "log_ndtr", "ndtri", "logit", "entr"]
)
def test_derivatives(name):
    real = name in ("erfcx", "ndtr", "log_ndtr")
    x = np.array([-3.0, -0.9, 0.1, 0.3, 2.0, 5.5] if real else [0.01, 0.2, 0.5, 0.93])
    op = getattr(probability, name)
    check_derivatives(op, [x], tolerance=1e-6)
    if torch is not None:
        agree(op, getattr(torch.special, name), x, tolerance=1e-8)


def test_limited_logit():
    x = np.array([-1.0, 0.0, 0.3, 1.0])
    expected = scipy.special.logit(x.clip(1e-3, 1 - 1e-3))
    np.testing.assert_allclose(value(probability.logit, x, eps=1e-3), expected)


def test_xlog1py():
    x, y = (
        g.ravel() for g in np.meshgrid([0.0, 1, -2], [-1.0, -2, 0, 3, 1e-20, np.inf])
    )
    with np.errstate(all="ignore"):
        expected = scipy.special.xlog1py(x, y)
    expected = np.where(x == 0, 0, expected)
    np.testing.assert_allclose(value(probability.xlog1py, x, y), expected)
    assert np.isnan(value(probability.xlog1py, 0.0, np.nan))
    check_derivatives(probability.xlog1py, [np.array([0.5, 2]), np.array([0.3, 4])])


def test_multigammaln():
    x = np.array([2.6, 3.0, 17.5])
    for p in (1, 2, 5):
        expected = [scipy.special.multigammaln(one, p) for one in x]
        found = value(probability.multigammaln, x, p=p)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    check_derivatives(lambda x: probability.multigammaln(x, 3), [x])
    with pytest.raises(errors.ArgumentError) as error:
        value(probability.multigammaln, x, p=0)
    assert error.value.message == "[multigammaln] p must be at least 1. Got: p=0."
