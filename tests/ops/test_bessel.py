"""The modified Bessel functions, against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from plait.ops import bessel

from .op_checks import check_derivatives, value
from .torch_compare import agree
from .torch_table import torch

SIZES = np.concatenate([np.geomspace(1e-12, 700, 300), [0.0, 49.9, 50.0, 50.1, 0.5]])
X = np.concatenate([SIZES, -SIZES])


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e"])
def test_values(name):
    op, theirs = getattr(bessel, name), getattr(scipy.special, name)
    np.testing.assert_allclose(value(op, X), theirs(X), rtol=2e-13)
    single = X[abs(X) < 80].astype(np.float32)
    expected = theirs(single.astype(float))
    found = value(op, single)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    edges = np.array([np.inf, -np.inf, np.nan, 2000.0])
    np.testing.assert_allclose(value(op, edges[3:]), theirs(edges[3:]), rtol=1e-12)
    assert np.isnan(value(op, edges[2:3]))
    assert value(op, np.array([10.0], np.float16)).dtype == np.float16
    assert value(op, np.array([1])).dtype == np.float32


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e"])
def test_derivatives(name):
    x = np.array([-3.0, 0.2, 1.7, 12.0, 30.0, 55.0])
    check_derivatives(getattr(bessel, name), [x / 8])
    check_derivatives(getattr(bessel, name), [x / 20])
    if name.endswith("e"):
        check_derivatives(getattr(bessel, name), [x])
    else:
        check_derivatives(getattr(bessel, name), [np.array([0.0])])
    if torch is not None:
        theirs = getattr(torch.special, name)
        agree(getattr(bessel, name), theirs, x[:4], tolerance=1e-6)
