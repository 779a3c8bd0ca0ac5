"""Scales and triangles, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import plait
from plait import errors


@pytest.mark.parametrize("endpoint", [True, False])
def test_scales(endpoint):
    found = plait.logspace(-1, 2, 7, dtype=plait.float64, endpoint=endpoint)
    np.testing.assert_allclose(found, np.logspace(-1, 2, 7, endpoint=endpoint))
    found = plait.logspace(0, 8, 9, base=2, dtype=plait.int32)
    assert found.tolist() == [2**i for i in range(9)]
    found = plait.geomspace(2, 32, 5, dtype="float64", endpoint=endpoint)
    np.testing.assert_allclose(found, np.geomspace(2, 32, 5, endpoint=endpoint))
    assert plait.geomspace(-1, -100, 3).tolist() == [-1, -10, -100]
    assert plait.geomspace(1, 2, 0).shape == (0,)
    assert plait.logspace(0, 1, 3).dtype is plait.float32


@pytest.mark.parametrize("k", [-1, 0, 2])
@pytest.mark.parametrize(("n", "m"), [(3, None), (3, 5), (4, 2), (0, 2)])
def test_triangles(n, m, k):
    np.testing.assert_array_equal(plait.tri(n, m, k), np.tri(n, m, k))
    assert plait.tri(n, m, dtype=plait.int8).dtype is plait.int8
    found, right = plait.tril_indices(n, m, k), np.tril_indices(n, k, m)
    np.testing.assert_array_equal([x.numpy() for x in found], right)
    found, right = plait.triu_indices(n, m, k), np.triu_indices(n, k, m)
    np.testing.assert_array_equal([x.numpy() for x in found], right)
    x = plait.tensor(np.arange(9.0).reshape(3, 3))
    assert x[plait.tril_indices(3, k=-1)].tolist() == [3, 6, 7]


def test_wrong_ends():
    for start, stop, num in ((0, 1, 3), (-1, 1, 3), (1, 2, -1)):
        with pytest.raises(errors.ArgumentError) as error:
            plait.geomspace(start, stop, num)
        assert error.value.message == (
            "[geomspace] two ends of one sign are needed, and not less than 0 "
            f"numbers. Got: {start} to {stop}, num={num}."
        )
