"""Tensors put together, taken apart and turned, against NumPy, SciPy and PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg

from plait import errors
from plait.ops import arrange

from .op_checks import check_derivatives, value, values
from .torch_compare import agree
from .torch_table import torch

RNG = np.random.default_rng(8)


def draw(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("offset", [-3, -1, 0, 2])
def test_diagonals(offset):
    line, matrix, cube = draw(4), draw(3, 5), draw(2, 3)
    for x in (line, matrix):
        found = value(arrange.diag, x, offset=offset)
        np.testing.assert_array_equal(found, np.diag(x, offset))
    found = value(arrange.diagflat, matrix, offset=offset)
    np.testing.assert_array_equal(found, np.diagflat(matrix, offset))
    found = value(arrange.diag_embed, cube, offset=offset)
    np.testing.assert_array_equal(found, [np.diag(row, offset) for row in cube])
    flags = value(arrange.diag, np.array([True, False]), offset=offset)
    np.testing.assert_array_equal(flags, np.diag([True, False], offset))
    check_derivatives(lambda x: arrange.diag_embed(x, offset=offset), [cube])
    if torch is not None:
        agree(
            lambda x: arrange.diag_embed(x, offset=offset),
            lambda x: torch.diag_embed(x, offset),
            cube,
        )


def test_block_diag():
    blocks = [draw(2, 3), draw(2), draw(0, 2), np.array(3.0), draw(1, 1)]
    expected = scipy.linalg.block_diag(*blocks)
    np.testing.assert_array_equal(value(arrange.block_diag, *blocks), expected)
    check_derivatives(arrange.block_diag, [draw(2, 3), draw(1, 2)])


@pytest.mark.parametrize(
    "shapes", [((2, 3), (4, 5)), ((3,), (2, 2)), ((2, 1, 3), (2,)), ((), (2,))]
)
def test_kron(shapes):
    x, y = (draw(*shape) for shape in shapes)
    np.testing.assert_allclose(value(arrange.kron, x, y), np.kron(x, y))
    check_derivatives(arrange.kron, [x, y])


@pytest.mark.parametrize("shapes", [((2, 3), (4, 3)), ((3,), (3,)), ((), (2,))])
def test_inner(shapes):
    x, y = (draw(*shape) for shape in shapes)
    np.testing.assert_allclose(value(arrange.inner, x, y), np.inner(x, y))


@pytest.mark.parametrize("k", range(-2, 6))
def test_rot90(k):
    x = draw(2, 3, 4)
    for axes in ((0, 1), (2, 0), (1, -1)):
        found = value(arrange.rot90, x, k=k, axes=axes)
        np.testing.assert_array_equal(found, np.rot90(x, k, axes))


@pytest.mark.parametrize("cuts", [1, 3, 9, (2, 5), (4, 2, -1, 20), ()])
def test_tensor_split(cuts):
    x = draw(7, 3)
    found = values(arrange.tensor_split, x, indices_or_sections=cuts)
    expected = np.array_split(x, cuts)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    found = values(arrange.tensor_split, x, indices_or_sections=2, axis=-1)
    assert [one.shape for one in found] == [(7, 2), (7, 1)]


def test_unflatten():
    x = draw(2, 12)
    for sizes in ((3, 4), (-1, 6), (2, 2, 3)):
        found = value(arrange.unflatten, x, axis=-1, sizes=sizes)
        np.testing.assert_array_equal(found, x.reshape(2, *sizes))
    assert value(arrange.unflatten, x[:0], axis=0, sizes=(0, 3)).shape == (0, 3, 12)


def test_vander():
    x = draw(4)
    for n in (None, 0, 3, 6):
        for increasing in (False, True):
            found = value(arrange.vander, x, n=n, increasing=increasing)
            np.testing.assert_allclose(found, np.vander(x, n, increasing))
    assert value(arrange.vander, np.array([2, 3]), n=3).tolist() == [
        [4, 2, 1],
        [9, 3, 1],
    ]
    check_derivatives(lambda x: arrange.vander(x, 4), [x])


def test_all_ways():
    x, y, z = np.array([1, 2]), np.array([3, 4, 5]), np.array([6, 7])
    found = value(arrange.cartesian_prod, x, y, z)
    np.testing.assert_array_equal(found, list(itertools.product(x, y, z)))
    np.testing.assert_array_equal(value(arrange.cartesian_prod, y), y)
    for r in (0, 1, 2, 3, 4):
        found = value(arrange.combinations, y, r=r)
        right = list(itertools.combinations(y, r))
        right = np.array(right).reshape(len(right), r)
        np.testing.assert_array_equal(found, right)
    found = value(arrange.combinations, y, with_replacement=True)
    right = list(itertools.combinations_with_replacement(y, 2))
    np.testing.assert_array_equal(found, right)


def test_unravel_index():
    places = RNG.integers(0, 24, (3, 2))
    found = values(arrange.unravel_index, places, shape=(2, 3, 4))
    np.testing.assert_array_equal(found, np.unravel_index(places, (2, 3, 4)))
    found = values(arrange.unravel_index, np.array(-1), shape=(2, 3))
    assert [int(one) for one in found] == [1, 2]


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (lambda: value(arrange.diag, draw(2, 3, 4)), errors.ShapeError,
         "[diag] a vector or a matrix is needed. Got: (2, 3, 4). "
         "Fix: use diag_embed or diagonal for stacks of them."),
        (lambda: value(arrange.diag_embed, np.array(1.0)), errors.ShapeError,
         "[diag_embed] at least one axis is needed. Got: ()."),
        (lambda: arrange.block_diag(), errors.ArgumentError,
         "[block_diag] at least one matrix is needed. Got: none."),
        (lambda: value(arrange.block_diag, draw(1, 2, 3)), errors.ShapeError,
         "[block_diag] matrices are needed. Got: (1, 2, 3)."),
        (lambda: value(arrange.rot90, draw(2, 3), axes=(0,)), errors.AxisError,
         "[rot90] two axes are needed. Got: axes=(0,)."),
        (lambda: value(arrange.tensor_split, draw(3), indices_or_sections=0),
         errors.ArgumentError,
         "[tensor_split] at least one piece is needed. Got: 0."),
        (lambda: value(arrange.unflatten, draw(6), axis=0, sizes=(4, -1)),
         errors.ShapeError,
         "[unflatten] the sizes do not fit. "
         "Got: sizes (4, -1) for axis 0 of shape (6,)."),
        (lambda: value(arrange.cartesian_prod, draw(2, 2)), errors.ShapeError,
         "[cartesian_prod] tensors of one axis are needed. Got: (2, 2)."),
        (lambda: value(arrange.combinations, draw(3), r=-1), errors.ArgumentError,
         "[combinations] r must not be negative. Got: r=-1."),
    ],
)  # fmt: skip
def test_wrong_arguments(run, kind, message):
    with pytest.raises(kind) as error:
        run()
    assert error.value.message == message
