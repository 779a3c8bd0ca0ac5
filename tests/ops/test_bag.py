"""Bags of rows of a table, against loops and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from plait import errors
from plait.dtypes import int64
from plait.ops.bag import embedding_bag
from plait.ops.source import constant

from .op_checks import check_derivatives, like_torch, value
from .torch_table import torch

F = torch and torch.nn.functional
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 6, (3, 4))
TABLE = RNG.normal(size=(6, 5))
WEIGHTS = RNG.normal(size=(3, 4))
REDUCTIONS = {"sum": np.sum, "mean": np.mean, "max": np.max}


def looped(bags, mode, padding_idx=None, weights=None):
    result = np.zeros((len(bags), TABLE.shape[1]))
    for i, bag in enumerate(bags):
        rows = TABLE[bag]
        if weights is not None:
            rows = rows * weights[i][:, None]
        if padding_idx is not None:
            rows = rows[np.asarray(bag) != padding_idx % len(TABLE)]
        if len(rows):
            result[i] = REDUCTIONS[mode](rows, axis=0)
    return result


@pytest.mark.parametrize("mode", REDUCTIONS)
@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize(
    "offsets", [None, [0, 3, 3, 7], [0, 0, 12], [0, 12], [0, 3, 3, 12]]
)
@pytest.mark.parametrize("last", [False, True])
def test_against_loops(mode, padding_idx, offsets, last):
    if offsets is None and last:
        return
    ids = IDS if offsets is None else IDS.ravel()
    if offsets is None:
        bags = list(IDS)
    else:
        ends = offsets[1:] if last else [*offsets[1:], len(ids)]
        bags = [ids[a:b] for a, b in zip(offsets, ends, strict=last is False)]

    def ours(table):
        return embedding_bag(
            constant(ids, int64), table,
            None if offsets is None else constant(np.array(offsets), int64),
            mode=mode, padding_idx=padding_idx, include_last_offset=last,
        )  # fmt: skip

    expected = looped(bags, mode, padding_idx)
    np.testing.assert_allclose(value(ours, TABLE), expected, rtol=1e-12, atol=1e-15)
    check_derivatives(ours, [TABLE], second=False)
    # PyTorch lets the last bag go on to the end in any case.
    if torch is not None and not (last and offsets[-1] < len(ids)):
        like_torch(
            ours,
            lambda table: F.embedding_bag(
                torch.tensor(ids), table, None if offsets is None
                else torch.tensor(offsets), mode=mode, padding_idx=padding_idx,
                include_last_offset=last,
            ),
            [TABLE],
        )  # fmt: skip


def test_weights_of_rows():
    def bags(table, weights):
        return embedding_bag(
            constant(IDS, int64), table, None, weights, mode="sum", padding_idx=1
        )

    expected = looped(list(IDS), "sum", 1, WEIGHTS)
    np.testing.assert_allclose(value(bags, TABLE, WEIGHTS), expected, rtol=1e-12)
    check_derivatives(bags, [TABLE, WEIGHTS])


def test_rows_outside_of_all_bags():
    found = value(
        embedding_bag, np.array([0, 1, 2, 3]), TABLE, np.array([1, 2, 3]), mode="sum",
        include_last_offset=True,
    )  # fmt: skip
    np.testing.assert_array_equal(found, TABLE[1:3])


def test_no_bags_and_empty_bags():
    none = value(embedding_bag, np.zeros(0, int), TABLE, np.zeros(0, int))
    assert none.shape == (0, 5)
    for mode in REDUCTIONS:
        found = value(embedding_bag, np.zeros((2, 0), int), TABLE, mode=mode)
        assert found.tolist() == [[0] * 5] * 2


def test_sums_of_many_halves_are_exact():
    found = value(
        embedding_bag, np.zeros((1, 3000), int), np.ones((1, 1), np.float16), mode="sum"
    )
    assert found.dtype == np.float16
    assert found.tolist() == [[3000]]


FLAT = IDS.ravel()


@pytest.mark.parametrize(
    ("arrays", "settings", "kind", "message"),
    [
        ((IDS, TABLE), {"mode": "min"}, errors.ArgumentError,
         "[embedding_bag] there is no such mode. Got: 'min'. Expected: sum, mean, "
         "max."),
        ((FLAT, TABLE), {}, errors.ArgumentError,
         "[embedding_bag] offsets say where bags begin if the ids have one axis, and "
         "only then. Got: ids of shape (12,), no offsets."),
        ((IDS, TABLE, np.array([0])), {}, errors.ArgumentError,
         "[embedding_bag] offsets say where bags begin if the ids have one axis, and "
         "only then. Got: ids of shape (3, 4), offsets (1,)."),
        ((FLAT, TABLE, np.array([0.0])), {}, errors.DTypeError,
         "[embedding_bag] offsets are integers. Got: float64."),
        ((FLAT, TABLE, np.array([[0]])), {}, errors.ShapeError,
         "[embedding_bag] the offsets must have one axis. Got: (1, 1)."),
        ((IDS, TABLE, None, WEIGHTS), {}, errors.ArgumentError,
         "[embedding_bag] per_sample_weights are for sums. Got: mode='mean'."),
        ((IDS, TABLE, None, WEIGHTS[:2]), {"mode": "sum"}, errors.ShapeError,
         "[embedding_bag] each row needs one weight. Got: per_sample_weights (2, 4) "
         "for ids (3, 4)."),
        ((IDS, TABLE[0]), {}, errors.ShapeError,
         "[embedding_bag] the weight must have two axes. Got: (5,). Expected: "
         "(n, features)."),
        ((IDS[None], TABLE), {}, errors.ShapeError,
         "[embedding_bag] rows are numbered in one axis, or in one for each bag. Got: "
         "(1, 3, 4)."),
        ((IDS, TABLE[:2]), {}, errors.IndexingError,
         "[index] an index is out of range. Got: index 5 for axis 0 of size 2. "
         "Expected: -2 to 1."),
    ],
)  # fmt: skip
def test_wrong_arguments(arrays, settings, kind, message):
    with pytest.raises(kind) as error:
        value(embedding_bag, *arrays, **settings)
    assert error.value.message == message


def test_offsets_out_of_range():
    for offset in (13, -1):
        with pytest.raises(errors.IndexingError, match=f"index {offset} for axis 0"):
            value(embedding_bag, FLAT, TABLE, np.array([0, offset]))
