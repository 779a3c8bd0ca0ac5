"""Binomially distributed numbers against their probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from plait.dtypes import float32
from plait.ops import counts
from plait.ops.philox import key_of

from .op_checks import value

KEY = key_of(2024, 8)


@pytest.mark.parametrize(
    ("n", "p"),
    [(5, 0.3), (1, 0.9), (30, 0.99), (25, 0.4), (40, 0.5), (1000, 0.97), (10**6, 0.3)],
)
def test_counts(n, p):
    draws = 20000
    found = value(lambda key: counts.binomial(key, n, p, shape=draws), KEY)
    assert found.dtype == np.int64
    exact = scipy.stats.binom(n, p)
    edges = np.unique(np.rint(np.linspace(exact.ppf(0.002), exact.ppf(0.998), 12)))
    shares = np.diff([0, *exact.cdf(edges), 1])
    seen = np.bincount(np.searchsorted(edges, found), minlength=len(shares))
    common = shares * draws > 5
    assert seen[~common].sum() < 40
    z = (seen - shares * draws)[common] / np.sqrt(draws * shares * (1 - shares))[common]
    assert np.abs(z).max() < 5
    assert (z**2).sum() < len(z) + 5 * math.sqrt(2 * len(z))


def test_certain_and_impossible_parameters():
    n = np.array([0.0, 7.0, 7.0, -1.0, 5.0, 5.0, np.inf, np.nan])
    p = np.array([0.5, 0.0, 1.0, 0.5, 1.5, np.nan, 0.5, 0.5])
    found = value(counts.binomial, KEY, n, p, shape=(50, 8))
    assert (found == [0, 0, 7, -1, -1, -1, -1, -1]).all()
    narrow = value(lambda key: counts.binomial(key, 3, dtype=float32), KEY)
    assert narrow.dtype == np.float32
